"""The inputs at which implementations of a function differ."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from reference import rounding as rd
from reference.arrays import Array
from reference.case import Case
from reference.cases import scaled
from reference.rounding import FORMATS, rounded

Parameters = Mapping[str, float]


class Unchecked(Case):
    """A Case whose numbers are not checked: probes go to infinity and NaN, where a campaign does not."""

    def __post_init__(self) -> None:
        pass


# --- the inputs


def with_neighbours(points: Sequence[float], dtype: str) -> list[float]:
    """Each point, and the two numbers of the format next to it."""
    at = np.array(points).astype(FORMATS[dtype])
    sides = (np.nextafter(at, np.array(limit, at.dtype)) for limit in (-np.inf, np.inf))
    return [float(x) for column in (at, *sides) for x in column]


ORDINARY = (0.25, 0.41, 1.0, 3.0, 6.0, 10.0, 11.5, 15.0)
SATURATED = (20.5, 50.0, 100.0, 200.0, 1000.0)


def extremes(dtype: str) -> list[float]:
    """Where cubes and squares overflow, and the largest number."""
    largest = rd.LARGEST[dtype]
    return [2 * float(np.cbrt(largest)), 2 * float(np.sqrt(largest)), largest]


def subnormals(dtype: str) -> list[float]:
    """The smallest subnormal number, one in the middle, and the smallest normal number."""
    info = rd.LIMITS[dtype]
    smallest, normal = float(info.smallest_subnormal), float(info.smallest_normal)
    return [smallest, smallest * 2.0 ** (round(np.log2(normal / smallest)) // 2), normal]


def scalars(special: Sequence[float], dtype: str) -> Array:
    """The inputs of a function of one number that has these special points; each once, in a fixed order."""
    sizes = [*ORDINARY, *SATURATED, *extremes(dtype), *subnormals(dtype), np.inf]
    points = [sign * size for size in sizes for sign in (1, -1)] + [0.0, *with_neighbours(special, dtype), np.nan]
    return np.array(list(dict.fromkeys(rounded(np.array(points), dtype).tolist())))


SHORT = (0.01, 0.003, 0.001, 5e-5, 1e-9, 1e-20, 1e-160)
"""Lengths of vectors whose squares are subnormal or 0, in float16, float32, float64; one is below torch's ε of 10⁻⁸."""


def triples(dtype: str) -> Array:
    """Logits of three classes: one that dominates, all equal, one at each end; and short vectors."""
    # float64 stops short of its own overflow: the reference shares it
    largest = rd.LARGEST[dtype] / (2**20 if dtype == "float64" else 1)
    sizes = [0.0, *(sign * size for size in (1.0, *SATURATED, largest, np.inf) for sign in (1, -1))]
    rows = [row for t in sizes for row in ([t, 0, 0], [t, t, t], [0, t, -t])]
    rows += [[t, -2 * t, t / 2] for t in SHORT if rounded(np.array(t / 2), dtype) != 0]
    return rounded(np.array(rows, dtype=np.float64), dtype)


def members(family: Mapping[str, Callable[..., Any]], usual: Parameters, name: str, dtype: str) -> list[Parameters]:
    """The usual parameters, and another member of the family."""
    return [usual, scaled(usual, 0.3, dtype)] if name in family else [usual]  # 0.3 is not a binary fraction


def extended(f: Callable[[Array], Array], z: Array) -> Array:
    """f(z), by its asymptote beyond |z| = 2¹⁰⁰⁰ and at infinity: every f is proportional to z there, or constant.

    The formulas themselves may overflow there, where f does not.
    """
    edge = 2.0**1000
    beyond = np.abs(z) > edge
    near = f(np.where(beyond, np.copysign(edge, z), z))
    asymptote = np.where(np.abs(near) > 2.0**900, near / edge * np.abs(z), np.where(np.abs(near) < 2.0**-900, 0, near))
    return np.where(beyond, asymptote, near)
