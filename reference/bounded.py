"""Numbers that carry a bound on their rounding error: a formula computed with them yields its own allowance.

After Higham, *Accuracy and Stability of Numerical Algorithms* (2nd ed.), §3.3, running error analysis. A Bounded x
says: an engine that computes the same formula has a number within x.bound of x.value. Every operation carries the
bounds of its operands on, second order included, and adds its own rounding:

    |fl(r) − r| ≤ u |r| + η        r the engine's own exact result, |r| ≤ |value| + carried bound;  η the underflow

A format's u is the engine's unit roundoff plus the float64 reference's (`reference.rounding`): the value errs as well.
An operation whose result is exact in any format, x + 0, x · 0 and x · 1, adds nothing.

The functions √, |·|, max and sign, and `either`, take plain arrays too: one formula is the reference and its allowance.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from reference.arrays import Array

QUOTIENT = 2
"""Roundings of a quotient: a compiler may take the reciprocal, and its product with the numerator."""

POWER = 2
"""Roundings of a power of a scalar, at least: a library's `pow` errs by at most a unit in the last place, 2 u.
Measured for XLA's on the CPU, bases 0.5 to 0.999, exponents to 5000: 0.93 u in float32, 0.84 u in float64."""


class Format(NamedTuple):
    """What rounds: the unit roundoff, with the reference's own, and the underflow step."""

    u: float
    underflow: float


@dataclass(frozen=True, eq=False)
class Bounded:
    """A number, or an array of them, that an engine has within `bound`, in a format.

    Numbers of two formats give one of the coarser, to which the other is rounded first; a plain number is exact.
    `floor` is the least that the engine's number may be, where that is known to be more than value − bound: a root is
    not negative, and so √x + ε is ε at least. Rounding is monotone, so a sum rounds its floor as it does itself.
    """

    value: Array
    bound: Array
    format: Format
    floor: Array | None = None

    __array_ufunc__ = None  # an array on the left leaves the operation to the Bounded on the right

    def within(self, bound: Array | float) -> "Bounded":
        """The same number, further off by a bound."""
        return Bounded(self.value, self.bound + bound, self.format, None if self.floor is None else self.floor - bound)

    def above(self, floor: Array) -> "Bounded":
        """The same number, not below what this floor is rounded to."""
        lowest = floor - self.format.u * np.abs(floor) - self.format.underflow
        return Bounded(self.value, self.bound, self.format, np.maximum(lowest, least(self)))

    def __add__(self, other: Any) -> "Bounded":
        x, y = common(self, other)  # beside an exact 0 the other's bound is carried on: its own is 0
        sum_ = rounded(x.value + y.value, x.bound + y.bound, ~(is_exactly(x, 0) | is_exactly(y, 0)), x.format)
        return sum_ if x.floor is None and y.floor is None else sum_.above(least(x) + least(y))

    def __neg__(self) -> "Bounded":
        return Bounded(-self.value, self.bound, self.format)

    def __sub__(self, other: Any) -> "Bounded":
        return self + -other

    def __mul__(self, other: Any) -> "Bounded":
        x, y = common(self, other)
        carried = times(np.abs(x.value), y.bound) + times(np.abs(y.value), x.bound) + times(x.bound, y.bound)
        rounds = ~(is_exactly(x, 0) | is_exactly(y, 0) | is_exactly(x, 1) | is_exactly(y, 1))
        return rounded(x.value * y.value, carried, rounds, x.format)

    def __truediv__(self, other: Any) -> "Bounded":
        """x/y; a y that may be zero leaves the quotient anywhere, within an infinite bound.

        |x'/y' − x/y| ≤ (x.bound + |x/y| y.bound)/min |y'|
        """
        x, y = common(self, other)
        value = x.value / y.value
        smallest = np.where(y.value > 0, least(y), np.abs(y.value) - y.bound)
        carried = over(x.bound + times(np.abs(value), y.bound), smallest)
        exact = is_exactly(x, 0) | is_exactly(y, 1)
        return rounded(value, carried, QUOTIENT * ~exact, x.format)

    def __pow__(self, n: float) -> "Bounded":
        """x^n, n exact and at least 1: x · x, or of a positive x, by a library's function or by n − 1 products.

        |x'^n − x^n| ≤ n (x + b)^{n−1} b
        """
        if n == 2:
            return self * self
        value, carried = self.value**n, n * (self.value + self.bound) ** (n - 1) * self.bound
        return rounded(value, carried, max(POWER, n - 1), self.format)

    def __rpow__(self, c: float) -> "Bounded":
        """c^x, 0 < c < 1 rounded to the format.

        |c'^{x'} − c^x| ≤ c^{x−b} (|log c| b + |x| u)
        """
        value = c**self.value
        slope = np.abs(np.log(c)) * self.bound + np.abs(self.value) * self.format.u
        return rounded(value, c ** (self.value - self.bound) * slope, POWER, self.format)

    def __radd__(self, other: Any) -> "Bounded":
        return self + other

    def __rsub__(self, other: Any) -> "Bounded":
        return -self + other

    def __rmul__(self, other: Any) -> "Bounded":
        return self * other

    def __rtruediv__(self, other: Any) -> "Bounded":
        return exactly(other, self.format) / self


def exactly(value: Any, format: Format) -> Bounded:
    """A number that the engine has as it is; one that is smaller than the underflow step may be read as 0."""
    value = np.asarray(value, dtype=np.float64)
    return Bounded(value, np.where(np.abs(value) < format.underflow, np.abs(value), 0.0), format)


def once_rounded(value: Any, format: Format) -> Bounded:
    """A number that the engine has rounded to a format; 0 and 1 are numbers of every one."""
    x = Bounded(np.asarray(value, dtype=np.float64), np.zeros(()), format)
    return rounded(x.value, x.bound, ~(is_exactly(x, 0) | is_exactly(x, 1)), format)


def least(x: Bounded) -> Array:
    """The least that the engine's number may be."""
    return x.value - x.bound if x.floor is None else x.floor


def is_exactly(x: Bounded, number: float) -> Any:
    """Where |x| is that number, without a bound; a single False where it nowhere is."""
    there = np.abs(x.value) == number
    return there & (x.bound == 0) if there.any() else np.False_


def plain(x: Any) -> Any:
    """The value of a number, without its bound."""
    return x.value if isinstance(x, Bounded) else x


def times(x: Array, y: Array) -> Array:
    """x y, where nothing times infinity is nothing: an infinite number has no rounding error."""
    product = x * y
    if np.max(product, initial=0.0) < np.inf:  # a NaN is not
        return product
    return np.where((x == 0) | (y == 0), 0.0, product)


def over(x: Array, y: Array) -> Array:
    """x/y where y is above 0, infinite elsewhere."""
    if np.min(y, initial=np.inf) > 0:
        return x / y
    return np.where(y > 0, x / np.where(y > 0, y, 1.0), np.inf)


def rounded(value: Array, carried: Array, roundings: Any, format: Format) -> Bounded:
    """The result of an operation: n (u |r| + η) beside what is carried on; infinity rounds to itself."""
    own = roundings * (format.u * (np.abs(value) + carried) + format.underflow)
    if not np.max(own, initial=0.0) < np.inf:
        own = np.where((roundings > 0) & np.isfinite(value), own, 0.0)
    return Bounded(value, carried + own, format)


def common(x: Any, y: Any) -> tuple[Bounded, Bounded]:
    """Both in one format: the coarser of two, and that of a Bounded for a plain number."""
    if not isinstance(x, Bounded):
        return exactly(x, y.format), y
    if not isinstance(y, Bounded):
        return x, exactly(y, x.format)
    coarser = max(x.format, y.format)
    return converted(x, coarser), converted(y, coarser)


def converted(x: Bounded, format: Format) -> Bounded:
    """x, rounded to a format; 0 and 1 are numbers of every one."""
    if x.format == format:
        return x
    return rounded(x.value, x.bound, ~(is_exactly(x, 0) | is_exactly(x, 1)), format)


def sqrt(x: Any) -> Any:
    """√x, correctly rounded, as IEEE 754 has it; a value that is negative within its bound counts as 0.

    |√x' − √x| ≤ min(b/(√x + √max(x − b, 0)), √b)
    """
    if not isinstance(x, Bounded):
        return np.sqrt(x)
    value = np.where((x.value < 0) & (-x.value <= x.bound), 0.0, x.value)
    root, below = np.sqrt(value), np.sqrt(np.maximum(value - x.bound, 0))
    carried = np.where(x.bound == 0, 0.0, np.minimum(over(x.bound, root + below), np.sqrt(x.bound)))
    return rounded(root, carried, ~is_exactly(x, 0), x.format).above(below)


def absolute(x: Any) -> Any:
    """|x|"""
    return Bounded(np.abs(x.value), x.bound, x.format) if isinstance(x, Bounded) else np.abs(x)


def maximum(x: Any, y: Any) -> Any:
    """max(x, y), of two numbers of a format"""
    if not isinstance(x, Bounded):
        return np.maximum(x, y)
    x, y = common(x, y)
    return Bounded(np.maximum(x.value, y.value), np.maximum(x.bound, y.bound), x.format)


def sign(x: Any) -> Any:
    """sign x: −1, 0 or 1; where x is 0 within its bound, any of them"""
    if not isinstance(x, Bounded):
        return np.sign(x)
    value = np.sign(x.value)
    uncertain = (np.abs(x.value) <= x.bound) & (x.bound > 0)
    return Bounded(value, np.where(uncertain, 1 + np.abs(value), 0.0), x.format)


def either(*groupings: Any) -> Any:
    """One formula, with its operations grouped in several ways: the first, within the largest of their bounds.

    The groupings are equal but for rounding, and engines choose among them.
    """
    first = groupings[0]
    if not isinstance(first, Bounded):
        return first
    bound = np.maximum.reduce([x.bound for x in groupings])
    floored = any(x.floor is not None for x in groupings)
    return Bounded(
        first.value, bound, first.format, np.minimum.reduce([least(x) for x in groupings]) if floored else None
    )
