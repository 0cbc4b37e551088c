"""What each engine returns where the drawn Cases do not go: |z| beyond `cases.LARGEST_TOTAL_INPUT`."""

import numpy as np
import pytest

from adapters.contract import ENGINES, load
from reference.audit import audit, first_break
from reference.case import Case


def saturated(dtype: str, z: float, y: float, output: str = "sigmoid", loss: str = "binary_cross_entropy") -> Case:
    """One unit whose total input is z."""
    W, b = {1: np.ones((1, 1))}, {1: np.zeros(1)}
    return Case("identity", output, loss, dtype, W, b, np.array([[z]]), np.array([[y]]))


@pytest.mark.parametrize(
    ("name", "loss", "delta", "guilty"),
    [("numpy", np.inf, np.inf, None), ("torch-eager", 100.0, 0.0, "8"), ("jax-jit", np.inf, np.nan, "9")],
)
def test_binary_cross_entropy_of_a_probability_rounded_to_1(
    name: str, loss: float, delta: float, guilty: str | None
) -> None:
    """In exact arithmetic L = 20 and δ = 1; of a = 1, (8) makes infinity.

    NumPy gives that, torch clamps the logarithm at −100 and loses the gradient, JAX multiplies infinity by 0.
    """
    case = saturated("float32", 20.0, 0.0)
    with np.errstate(all="ignore"):
        trace = load(name).trace(case)
    assert trace.a[1].item() == 1.0
    assert trace.loss == loss
    np.testing.assert_equal(trace.delta[1].item(), delta)
    found = first_break(audit(case, trace))
    assert (found.equation if found else None) == guilty


@pytest.mark.parametrize("name", ENGINES)
def test_fused_on_logits_nothing_is_lost_there(name: str) -> None:
    case = saturated("float32", 20.0, 0.0, loss="binary_cross_entropy_on_logits")
    assert first_break(audit(case, load(name).trace(case))) is None


def test_torch_drops_the_gradient_of_a_probability_within_1e_12_of_1() -> None:
    """torch divides by max(a (1 − a), 1e−12): at z = 30, 1 − a is 9.4e−14 and δ a tenth of what it should be."""
    case = saturated("float64", 30.0, 0.0)
    trace = load("torch-eager").trace(case)
    guilty = first_break(audit(case, trace))
    assert guilty is not None
    assert (guilty.equation, guilty.layer) == ("9", 1)
    assert trace.delta[1].item() < 0.1


@pytest.mark.parametrize(("name", "linear"), [("numpy", False), ("torch-eager", True), ("jax-jit", False)])
def test_softplus_above_20_in_float64(name: str, linear: bool) -> None:
    case = saturated("float64", 20.5, 0.0, output="softplus", loss="half_squared_error")
    trace = load(name).trace(case)
    guilty = first_break(audit(case, trace))
    assert (trace.a[1].item() == 20.5) == linear
    assert (guilty is not None and guilty.equation == "a") == linear
