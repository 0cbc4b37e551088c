"""Clipping of the gradient before the optimiser has it, and the audit of what is left."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from reference import rounding as rd
from reference.arrays import Array, Place, Tree
from reference.audit import Check, Finding, MalformedTrace, findings, quiet

FORMS = ("value", "norm", "norm_with_eps")

EPS = 1e-6
"""What torch adds to the norm."""


@dataclass(frozen=True)
class Clipping:
    """A form of clipping, and its limit c.

        value           g ← min(max(g, −c), c), each element
        norm            g ← g c/‖g‖ where ‖g‖ ≥ c
        norm_with_eps   g ← g min(1, c/(‖g‖ + 10⁻⁶))

    ‖g‖ is the 2-norm of all gradients together, of every W and b.
    Source: value: torch.nn.utils.clip_grad_value_, optax.clip; norm: optax.clip_by_global_norm; norm_with_eps:
    torch.nn.utils.clip_grad_norm_; R. Pascanu, T. Mikolov and Y. Bengio, *On the difficulty of training recurrent
    neural networks*, ICML 2013, algorithm 1, is `norm`.
    Raises ValueError for an unknown form, and for a limit that is not above 0.
    """

    form: str
    limit: float

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            raise ValueError(f"clipping is by {self.form!r}, but should be by one of {', '.join(FORMS)}")
        if not 0 < self.limit < np.inf:
            raise ValueError(f"limit of clipping is {self.limit}, but should be above 0")

    def coefficient(self, norm: float) -> float:
        """What `norm` and `norm_with_eps` multiply every element by; NaN where the norm is."""
        if self.form == "norm":
            return 1.0 if norm < self.limit else self.limit / norm
        return float(np.minimum(1.0, self.limit / (norm + EPS)))

    def clipped(self, g: Tree) -> dict[Place, Array]:
        """The gradient that is left, in the format of the arrays."""
        if self.form == "value":
            c = self.limit  # may be beyond the format of the array
            return {place: np.clip(np.float64(array), -c, c).astype(array.dtype) for place, array in g.items()}
        factor = self.coefficient(global_norm(g))
        return {place: array * array.dtype.type(factor) for place, array in g.items()}


def global_norm(g: Tree) -> float:
    """‖g‖ = √Σ g², over all elements of all arrays.

    Scaled by the largest element: a square neither overflows nor vanishes.
    """
    largest = float(np.max([np.abs(array).max() for array in g.values()]))  # NaN, if there is one
    if largest == 0 or not np.isfinite(largest):
        return largest
    squares = sum(float(np.square(np.float64(array) / largest).sum()) for array in g.values())
    return largest * float(np.sqrt(squares))


def norm_interval(g: Tree, r: rd.Rounding) -> tuple[float, float]:
    """The least and the largest ‖g‖ that an engine may compute.

    ‖g‖ √(1 ± lost/‖g‖²) (1 ± ρ) ± underflow,   ρ = (n + 1) v/2 + (arrays + 3) u/2

    v counts for the n squares and the additions, in any order (S. M. Rump, *Error estimation of floating-point
    summation and dot product*, BIT 52, 2012), and of a square half is an error of its root. u counts, half of it each,
    for a square, the sum of an array, and the addition of each array but the first, where they are kept in the format,
    as optax has them, and once for the root; torch rounds the norm of each array and that of all of them, 2u, which is
    no more. Of a square below the normal numbers at most itself is lost, and at most the underflow step. The norm of an
    array, that of all, and its sum with ε may underflow.
    """
    norm, arrays = global_norm(g), len(g)
    elements = sum(array.size for array in g.values())
    error = ((elements + 1) * r.v + (arrays + 3) * r.u) / 2
    underflow = (arrays + 2) * r.underflow
    share = 0.0
    if norm > 0:
        lost = sum(float(np.minimum(np.square(array / norm), r.underflow / norm / norm).sum()) for array in g.values())
        share = min(lost * (1 + 2 * error), 1.0)  # the reference adds up as well
    least, largest = norm * np.sqrt(1 - share) * (1 - error), norm * np.sqrt(1 + share) * (1 + error)
    return max(float(least - underflow), 0.0), float(largest + underflow)


ROUNDINGS = 4
"""Of c, of ‖g‖ + ε, of a quotient, and of a product: optax has c (g/‖g‖); torch (c (1/(‖g‖ + ε))) g, c unrounded."""


def factor_error(clipping: Clipping, g: Tree, r: rd.Rounding) -> float:
    """How far off the factor of g may be, its rounding and that of the product included; 0 where g is left as it is."""
    factors = [clipping.coefficient(norm) for norm in norm_interval(g, r)]
    if factors == [1.0, 1.0]:
        return 0.0
    exactly = clipping.coefficient(global_norm(g))
    return float(np.max([abs(factor - exactly) for factor in factors]) + ROUNDINGS * r.u * np.max(factors))


@quiet
def audit_clipping(clipping: Clipping, g: Tree, observed: Tree, dtype: str) -> list[Finding]:
    """Every element of the clipped gradient, against that of the gradient: a finding for each W and b, in its layer.

    Allowance, by value: the limit is rounded to the format, u c, where it is what is left. By norm: what the factor is
    off where the norm is anywhere in its interval, and the roundings of the formula; an underflow of g/‖g‖ is
    multiplied by c, one of c/‖g‖ by g, and one of 1/‖g‖ by both. Where no norm of the interval reaches the limit, g is
    left as it is. In every form, an underflow: g may be read as 0.

    Where ‖g‖², or in torch ‖g‖ of an array in half precision, exceeds the largest number of its format, torch and optax
    make 0 of the gradient: that does not hold.
    Raises MalformedTrace where an array is missing or has another shape.
    """
    r = rd.rounding(dtype)
    return findings(gradients_checked(clipping, g, observed, r), r)


def gradients_checked(clipping: Clipping, g: Tree, observed: Tree, r: rd.Rounding) -> Iterator[Check]:
    """The checks of `audit_clipping`."""
    limit = clipping.limit
    exact = {place: np.asarray(array, dtype=np.float64) for place, array in g.items()}
    off = 0.0 if clipping.form == "value" else factor_error(clipping, exact, r)
    for (which, l), expected in clipping.clipped(exact).items():
        if (which, l) not in observed:
            raise MalformedTrace(f"the clipped gradient of {which}^{l} is missing")
        size = np.abs(exact[which, l])
        if clipping.form == "value":
            allowed = r.u * limit * (size >= limit) + r.underflow
        else:
            allowed = off * size + r.underflow * ((1 + limit) * (1 + size) if off else 1)
        yield f"clipping: {which}", l, observed[which, l], expected, allowed
