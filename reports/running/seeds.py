"""Generators of random numbers that depend on a seed and on names alone."""

import zlib

import numpy as np


def generator(seed: int, *names: str | int) -> np.random.Generator:
    """The generator of one draw: it depends on the seed and the names alone, not on what else is drawn."""
    return np.random.default_rng([seed, *(n if isinstance(n, int) else zlib.crc32(n.encode()) for n in names)])
