"""What a seeded fault is, and what it may use of the engine that it is planted in."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

Tensor = Any
"""An array of NumPy, torch or JAX: a fault is written once, in what they have in common."""

SITES = {
    # site: the equation that it breaks, and the layer of that from the layer in which it is planted
    "z": ("z", 0),  # (linear, a, W, b) -> z
    "a": ("a", 0),  # (f, z) -> a
    "8": ("8", 0),  # (losses, p, y) -> L_i
    "1": ("1", 0),  # (mean, L_i) -> L
    "dL": ("9", 0),  # (derivative, p, y) -> ∂L_i/∂p
    "f_o'": ("9", 0),  # (rule, g, z) -> g f_o'(z)
    "f_h'": ("14", 0),  # (rule, g, z) -> g f_h'(z)
    "δW": ("14", -1),  # (rule, g, a, W) -> g W
    "dW": ("7a", 0),  # (rule, g, a, W) -> gᵀ a
    "db": ("7b", 0),  # (rule, g, a, W) -> Σ g
}
"""The steps of the forward pass, and of the backward pass, that a fault can change.

A fault is `wrong(m, honest, *operands)`: `honest` is the engine's own function or rule, p what the loss is given, and g
the gradient that arrives: δ in NumPy, δ/N where the framework averages the loss. What a fault makes of g is therefore
linear in g, but for those that add, clip or round.
"""

LINEAR: dict[str, Callable[..., Tensor]] = {
    "δW": lambda g, a, W: g @ W,
    "dW": lambda g, a, W: g.T @ a,
    "db": lambda g, a, W: g.sum(0),
}
"""The three gradients of a linear layer, by the site of each."""


def linear_rule(site: str, wrong: Callable[..., Tensor]) -> Callable[..., tuple[Tensor, ...]]:
    """The gradients of a, W and b, that of the site by `wrong`: (honest, g, a, W) -> the gradient."""
    rules: dict[str, Callable[..., Tensor]] = {**LINEAR, site: partial(wrong, LINEAR[site])}
    return lambda g, a, W, b: tuple(rule(g, a, W) for rule in rules.values())


PRECISIONS = ("bfloat16", "float16", "float32", "float64")
"""From the coarsest on."""

OUTPUT = 3
"""The output layer of the networks that faults are planted in."""

INITIAL, CONVERGED = "at initialisation", "near convergence"
STAGES = (INITIAL, CONVERGED)


@dataclass(frozen=True)
class Past:
    """What the engine computed in one layer for the batch before: a^{l-1}, z^l, ∂L/∂W^l and ∂L/∂b^l."""

    a: Tensor
    z: Tensor
    dW: Tensor
    db: Tensor


@dataclass(frozen=True)
class Machine:
    """What a fault may use of an engine.

    xp         its array functions, by the names of the array API standard
    digits     (x, p) -> x rounded to p significant bits
    f          the activation of the layer
    largest    the largest finite number of the format
    share      what gᵀa is to be multiplied with to be ∂L/∂W: 1, or 1/N where g is δ
    past       of the batch before, for a fault that remembers
    b_below    b^{l-1}, for a fault that remembers
    """

    xp: Any
    digits: Callable[[Tensor, int], Tensor]
    f: Callable[[Tensor], Tensor]
    largest: float
    share: float
    past: Any = None
    b_below: Any = None


@dataclass(frozen=True)
class Fault:
    """A change to one step.

    name        its identifier
    kind        the chapter of the panel
    cause       what a developer would have done to cause it
    site        the step, a key of SITES
    layer       the layer in which it is planted
    wrong       the step as it is then: (m, honest, *operands)
    network     the network that it is planted in, a key of NETWORKS
    sees        the coarsest format in which every draw of it is beyond rounding
    trained     the same near convergence: "" where it then does nothing, None for the usual
    remembers   whether it uses the batch before or another layer
    source      where it was seen, of a historical one
    """

    name: str
    kind: str
    cause: str
    site: str
    layer: int
    wrong: Callable[..., Tensor]
    network: str = "tanh"
    sees: str = "bfloat16"
    trained: str | None = None
    remembers: bool = False
    source: str = ""

    @property
    def breaks(self) -> tuple[str, int]:
        """The equation that it breaks, and the layer."""
        equation, offset = SITES[self.site]
        return equation, self.layer + offset

    def names(self, equation: str, layer: int) -> bool:
        """Whether a finding names this fault: what it breaks, or the derivative that autodiff took of a wrong value."""
        derivative = {"a": "9" if self.layer == OUTPUT else "14", "8": "9", "1": "9"}.get(self.site)
        return (equation, layer) in (self.breaks, (derivative, self.layer))

    def exceeds(self, dtype: str, stage: str) -> bool:
        """Whether every draw of it is beyond the rounding of a format at a stage of training.

        Of a trained network in half precision nothing is said: there a residual is a unit or two in the last place, and
        whether a change of it shows is a matter of the draw.
        """
        coarsest = self.sees
        if stage == CONVERGED:
            coarsest = max(self.sees, "float32", key=PRECISIONS.index) if self.trained is None else self.trained
        return coarsest != "" and PRECISIONS.index(dtype) >= PRECISIONS.index(coarsest)
