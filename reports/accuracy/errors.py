"""The error of a scalar function at many inputs: which inputs, the distance to the truth, and the worst of them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from flint import arb

from reference.activations import ACTIVATIONS
from reference.arrays import Array
from reference.rounding import FORMATS, HALF, LARGEST, LIMITS, UNIT_ROUNDOFF, overflows, rounded
from reports.running.seeds import generator

ORDINARY = 20.0
"""|z|, times a parameter that exceeds 1, up to which k_f is claimed: beyond, and below the normal numbers, engines take
shortcuts (torch's softplus is linear, XLA flushes), which `python -m reports divergences` lists."""

BENDING = 16.0
"""|z| within which the functions bend: one in five of the float32 inputs is even on it."""


CHUNK = 2**19
"""Inputs given to an engine at once: the sweep's memory does not grow with their number."""


@dataclass(frozen=True)
class WorstErrors:
    """The largest errors of one function in one engine so far, and the inputs where they occur."""

    inputs: int = 0
    roundings: float = 0.0
    at: Any = None
    ulp: float = 0.0
    ulp_at: Any = None
    beyond: float = 0.0
    beyond_at: Any = None


# --- inputs


def patterns(dtype: str, stride: int, dense: int, seed: int) -> Iterator[Array]:
    """All finite numbers of a half-precision format; of float32, every stride-th pattern of bits, and `dense` numbers
    where functions bend and next to their kinks; in chunks, none of them empty or larger than CHUNK.
    """
    if dtype in HALF:
        yield finite(np.arange(2**16, dtype=np.uint16).view(FORMATS[dtype]))
        return
    for start in range(0, 2**32, CHUNK * stride):
        bits = np.arange(start, min(start + CHUNK * stride, 2**32), stride, dtype=np.uint64).astype(np.uint32)
        if len(numbers := finite(bits.view(np.float32))):  # NaN have 2²⁴ patterns in a row
            yield numbers
    if dense:
        rng = generator(seed, "dense", dtype)
        for start in range(0, dense, CHUNK):
            yield finite(rng.uniform(-BENDING, BENDING, min(CHUNK, dense - start)).astype(np.float32))
        kinks = sorted({kink.at for f in ACTIVATIONS.values() for kink in f.kinks})
        neighbours = np.array(kinks, np.float32).view(np.int32)[:, np.newaxis] + np.arange(-64, 65, dtype=np.int32)
        yield finite(neighbours[np.array(kinks) != 0].ravel().view(np.float32))


def finite(values: Array) -> Array:
    """The finite numbers, in float64."""
    with np.errstate(invalid="ignore"):
        wide = values.astype(np.float64)
    return wide[np.isfinite(wide)]


def drawn(rng: np.random.Generator, count: int, dtype: str) -> Array:
    """A quarter each: even on ±4, on ±20 and on ±80, and magnitudes down to 2⁻⁶⁰; float64 has too many to enumerate."""
    quarter = -(-count // 4)
    small = np.exp2(rng.uniform(-60, 4, quarter)) * rng.choice([-1, 1], quarter)
    even = [rng.uniform(-bound, bound, quarter) for bound in (4.0, ORDINARY, 80.0)]
    return rounded(np.concatenate([*even, small])[:count], dtype)


# --- errors


def smallest_normal(dtype: str) -> float:
    """The smallest normal number of a format."""
    return float(LIMITS[dtype].smallest_normal)


def spacing(true: Array, dtype: str) -> Array:
    """One ulp of a format at the true value: 2u·2^⌊log2|t|⌋, and below the normal numbers that of the smallest."""
    with np.errstate(all="ignore"):
        return 2 * UNIT_ROUNDOFF[dtype] * np.exp2(np.floor(np.log2(np.maximum(np.abs(true), smallest_normal(dtype)))))


def compared(observed: Array, true: Array | list[Any], dtype: str) -> tuple[Array, Array]:
    """|observed − true|, and the true values in float64; they come as float64 numbers, or as balls.

    An infinity is right where the true value is too large for the format; a NaN is infinitely off.
    """
    if isinstance(true, list):
        near = np.array([float(ball.mid()) for ball in true]).reshape(observed.shape)
        pairs = zip(observed.ravel(), true, strict=True)
        error = np.array([float(abs(arb(float(o)) - ball).mid()) if np.isfinite(o) else np.inf for o, ball in pairs])
        return error.reshape(observed.shape), near
    with np.errstate(all="ignore"):
        error = np.abs(observed - true)
        right = (observed == true) | overflows(observed, true, 0.0, LARGEST[dtype])
    return np.where(right, 0.0, np.where(np.isnan(error), np.inf, error)), true


def updated(
    worst: WorstErrors,
    x: Array,
    error: Array,
    true: Array,
    scale: Array,
    slack: Array | float,
    dtype: str,
    claimed: Any = True,
) -> WorstErrors:
    """The worst of the errors until now and of these inputs, a row each; `slack`, the underflow, is not a rounding."""
    if not len(x):
        return worst
    beyond = np.maximum(error - slack, 0)
    with np.errstate(all="ignore"):
        k = np.where(beyond == 0, 0.0, beyond / (UNIT_ROUNDOFF[dtype] * scale))
    k, ulp = (each.reshape(len(x), -1).max(axis=1) for each in (k, error / spacing(true, dtype)))
    size = np.abs(x).reshape(len(x), -1)
    normal = (size == 0) | (size >= smallest_normal(dtype))
    ordinary = (size <= ORDINARY).all(axis=1) & normal.all(axis=1) & claimed
    for name, where, values in (
        ("roundings", "at", np.where(ordinary, k, 0.0)),
        ("ulp", "ulp_at", np.where(ordinary, ulp, 0.0)),
        ("beyond", "beyond_at", k),
    ):
        i = int(values.argmax())
        if not values[i] <= getattr(worst, name):
            worst = replace(worst, **{name: float(values[i]), where: x[i].tolist()})
    return replace(worst, inputs=worst.inputs + len(x))


quiet = np.errstate(all="ignore")
"""Without warnings: overflow and NaN are what a sweep looks for."""

Errors = dict[tuple[str, str], WorstErrors]
"""The largest errors by what, value or derivative, and engine."""


def merged(one: Errors, other: Errors) -> Errors:
    """The worse of two measurements, for everything that either has."""
    return {key: worse(one.get(key, WorstErrors()), other.get(key, WorstErrors())) for key in {**one, **other}}


def worse(one: WorstErrors, other: WorstErrors) -> WorstErrors:
    """The worse of each error, and the inputs of both."""
    k = one if one.roundings >= other.roundings else other
    ulp = one if one.ulp >= other.ulp else other
    beyond = one if one.beyond >= other.beyond else other
    return WorstErrors(
        one.inputs + other.inputs, k.roundings, k.at, ulp.ulp, ulp.ulp_at, beyond.beyond, beyond.beyond_at
    )
