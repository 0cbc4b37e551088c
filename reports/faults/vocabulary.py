"""What the measurements of seeded faults and those who print them both name."""

from collections.abc import Callable

import numpy as np

from reference.arrays import Array

COMPILED = ("torch-compile", "jax-whole")
"""Engines that make one program of a network: they take part in float32 alone, with the faults listed below."""

UPDATE, COMPOSED, JACOBIAN = ("2a", "2b"), ("12", "10a", "10b"), ("6a", "6b", "13")
MEASURED = ("z", "a", "8", "1", "9", "14", "7a", "7b", *UPDATE, *COMPOSED, *JACOBIAN)


# --- the measurement


def one(observed: Array, rng: np.random.Generator) -> Array:
    """A sign for one element, drawn among those that are not zero."""
    signs = np.zeros(observed.shape)
    signs.flat[rng.choice(np.flatnonzero(observed))] = rng.choice([-1.0, 1.0])
    return signs


def every(observed: Array, rng: np.random.Generator) -> Array:
    """A sign for every element."""
    return rng.choice([-1.0, 1.0], size=observed.shape)


FAULTS: dict[str, Callable[[Array, np.random.Generator], Array]] = {"one": one, "all": every}
