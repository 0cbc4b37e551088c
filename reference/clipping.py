"""Clipping of the gradient before the optimiser has it, and the audit of what is left."""

from dataclasses import dataclass

import numpy as np

from reference import rounding as rd
from reference.arrays import Array, Place, Tree
from reference.audit import Finding, MalformedTrace, finding, quiet

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

    def coefficient(self, g: Tree) -> float:
        """What `norm` and `norm_with_eps` multiply every element by."""
        norm = global_norm(g)
        if self.form == "norm":
            return float(self.limit / norm) if norm >= self.limit else 1.0
        return float(min(1.0, self.limit / (norm + EPS)))

    def clipped(self, g: Tree) -> dict[Place, Array]:
        """The gradient that is left, in the format of the arrays."""
        if self.form == "value":
            return {place: np.clip(array, -self.limit, self.limit).astype(array.dtype) for place, array in g.items()}
        factor = self.coefficient(g)
        return {place: array * array.dtype.type(factor) for place, array in g.items()}


def global_norm(g: Tree) -> float:
    """‖g‖ = √Σ g², over all elements of all arrays.

    Scaled by the largest element: a square neither overflows nor vanishes.
    """
    largest = max(float(np.abs(array).max()) for array in g.values())
    if largest == 0 or not np.isfinite(largest):
        return largest
    return largest * float(np.sqrt(sum(float(np.square(array / largest).sum()) for array in g.values())))


@quiet
def audit_clipping(clipping: Clipping, g: Tree, observed: Tree, dtype: str) -> list[Finding]:
    """Every element of the clipped gradient, against that of the gradient: a finding for each W and b, in its layer.

    Allowance, by value: the limit is rounded to the format, u c, where it is what is left. By norm: with c, the
    quotient and the product, each rounded, and of the norm half of what its square errs by, (Higham §3.1) γ_n for n
    squares added in any order, and one rounding of each array's norm, its square and its sum in the format. A square
    below the smallest normal number is lost: that is √(n·smallest) of the norm. The product underflows, and so does the
    quotient before it: optax multiplies g/‖g‖ by c, torch c/‖g‖ by g.

    Raises MalformedTrace where an array is missing or has another shape.
    """
    r = rd.rounding(dtype)
    left = clipping.clipped({place: array.astype(np.float64) for place, array in g.items()})
    relative = 0.0 if clipping.form == "value" else norm_error(g, r) + 4 * r.u
    findings = []
    for (which, l), expected in left.items():
        if (which, l) not in observed:
            raise MalformedTrace(f"the clipped gradient of {which}^{l} is missing")
        if clipping.form == "value":
            allowed = np.where(np.abs(expected) >= clipping.limit, r.u * clipping.limit, 0.0) + r.underflow
        else:
            multiplied = clipping.limit if clipping.form == "norm" else np.abs(g[which, l])
            allowed = relative * np.abs(expected) + (1 + multiplied) * r.underflow
        findings.append(finding(f"clipping: {which}", l, observed[which, l], expected, allowed, r.largest))
    return findings


def norm_error(g: Tree, r: rd.Rounding) -> float:
    """The relative error of ‖g‖."""
    elements, arrays, norm = sum(array.size for array in g.values()), len(g), global_norm(g)
    lost = np.sqrt(elements * r.underflow) / norm if norm > 0 else 0.0
    return float(rd.gamma(elements + 1, r.v) / 2 + (arrays + 3) * r.u + lost)
