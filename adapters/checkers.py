"""The checkers that come with the frameworks, run on an engine's own loss: derivatives against finite differences.

Both change each parameter by a small step and hold the change of L against the gradient; neither knows an equation.
Each framework is imported by the function that needs it, so that a process loads only the one it asks for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from reference.case import Case

if TYPE_CHECKING:
    import jax
    from torch import Tensor


class TorchLoss(Protocol):
    """An engine that gives its loss in torch."""

    def function(self, case: Case) -> tuple[Callable[..., Tensor], list[Tensor]]:
        """L as a function of W^1 … W^{L-1}, b^1 … b^{L-1}, and those."""
        ...


class JaxLoss(Protocol):
    """An engine that gives its loss in JAX."""

    def function(self, case: Case) -> tuple[Callable[..., jax.Array], list[jax.Array]]:
        """L as a function of W^1 … W^{L-1}, b^1 … b^{L-1}, and those."""
        ...


def gradcheck(engine: TorchLoss, case: Case, fast: bool) -> bool:
    """Whether torch.autograd.gradcheck, with its defaults, accepts the gradient of L with respect to every W and b.

    |numerical − analytical| ≤ 10⁻⁵ + 10⁻³ |analytical| for every element, numerical by central differences with a step
    of 10⁻⁶; fast: for one projection of each parameter, drawn from a fixed seed. Computed in float64, as such a step
    needs: what goes wrong in the Case's own format only is not seen.
    Source: https://docs.pytorch.org/docs/stable/generated/torch.autograd.gradcheck.gradcheck.html
    """
    import torch

    loss, parameters = engine.function(replace(case, dtype="float64"))
    return torch.autograd.gradcheck(loss, parameters, raise_exception=False, fast_mode=fast)


def check_grads(engine: JaxLoss, case: Case) -> bool:
    """Whether jax.test_util.check_grads, to first order in reverse mode, accepts the gradient of L.

    The derivative of L in one direction, the same in every call, by central differences with a step of 10⁻⁴, computed
    in the Case's own format; absolute and relative tolerance 10⁻⁵ in float64, 2·10⁻³ in float32, 10⁻² in float16,
    10⁻¹ in bfloat16.
    Source: https://docs.jax.dev/en/latest/_autosummary/jax.test_util.check_grads.html
    """
    from jax import test_util

    loss, parameters = engine.function(case)
    try:
        test_util.check_grads(loss, parameters, order=1, modes=["rev"])  # type: ignore[no-untyped-call]
    except AssertionError:
        return False
    return True
