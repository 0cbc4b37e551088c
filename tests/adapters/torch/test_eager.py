"""PyTorch: one backward call, settings that keep float32 float32, the framework's own reductions, known defects."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from adapters.torch import optimisers
from adapters.torch.eager import TorchEager, array
from adapters.torch.functions import LOSSES
from reference.audit import audit, first_break
from reference.case import Case
from reference.cases import COMBINATIONS, Combination, Shape, draw_case
from reference.network import contributions
from reference.rounding import DTYPES, eq_1_error, rounding
from reference.training import descent
from tests.arithmetics import arithmetic
from tests.tables import over

COMBINATION = Combination("tanh", "softmax", "categorical_cross_entropy_on_logits")


def case_of(combination=COMBINATION, dtype="float64"):
    return draw_case(np.random.default_rng(3), combination, Shape((4, 3, 3), 6), dtype)


def one_layer(output, loss, z, y, dtype="float64", parameters=None):
    """A layer whose total input is z, (N, n), and its labels."""
    z, y = np.array(z), np.array(y)
    n = z.shape[1]
    return Case("identity", output, loss, dtype, {1: np.eye(n)}, {1: np.zeros(n)}, z, y, parameters or {})


def test_one_call_of_autograd(monkeypatch):
    calls = []
    grad = torch.autograd.grad

    def counted(*arguments, **options):
        calls.append(arguments)
        return grad(*arguments, **options)

    monkeypatch.setattr(torch.autograd, "grad", counted)
    TorchEager().trace(case_of())
    assert len(calls) == 1, f"torch.autograd.grad was called {len(calls)} times, but should be once"


def test_tf32_and_reduced_sums_are_off():
    matmul = torch.backends.cuda.matmul
    matmul.allow_tf32 = True
    matmul.allow_fp16_reduced_precision_reduction = True
    matmul.allow_bf16_reduced_precision_reduction = True
    TorchEager()
    assert matmul.allow_tf32 is False
    assert matmul.allow_fp16_reduced_precision_reduction is False
    assert matmul.allow_bf16_reduced_precision_reduction is False


def test_an_array_is_a_copy():
    tensor = torch.ones(3, dtype=torch.float64)
    copy = array(tensor)
    tensor.add_(1)
    assert np.array_equal(copy, np.ones(3))


def test_the_update_is_that_of_the_optimiser(monkeypatch):
    """Not a formula of the adapter's: another optimiser in its place makes another step."""
    case, plan = case_of(), descent((np.arange(6),), 0.1)
    (usual,) = TorchEager().train(case, plan)
    gradient_descent = optimisers.OPTIMISERS["gradient_descent"]
    monkeypatch.setitem(optimisers.OPTIMISERS, "gradient_descent", gradient_descent._replace(kind=torch.optim.Adam))
    (other,) = TorchEager().train(case, plan)
    assert not np.array_equal(usual.new_W[1], other.new_W[1])


def test_no_gradient_is_left_over_from_a_trace():
    """A second trace is the first: nothing accumulates."""
    case, engine = case_of(), TorchEager()
    first, second = engine.trace(case), engine.trace(case)
    assert np.array_equal(first.dW[1], second.dW[1])


# --- reductions


@over("dtype", DTYPES)
@over("loss", LOSSES)
def test_total_and_partial_losses_are_of_one_definition(loss, dtype):
    """L by the framework's own reduction is the mean of L_i, and L_i is the sum over t, whatever `mean` means there."""
    case = case_of(next(c for c in COMBINATIONS if c.loss == loss and c.hidden == "tanh"), dtype)
    trace = TorchEager().trace(case)
    terms = contributions(case, trace.z[case.last], trace.a[case.last], case.y)
    # once for the total, and once for the partial losses
    allowed = 2 * eq_1_error(np.abs(terms), np.zeros_like(terms), rounding(dtype, arithmetic("torch-eager")))
    ratio = abs(trace.loss - trace.losses.mean()) / allowed
    assert ratio <= 1, f"L is {trace.loss}, but should be the mean of L_i, {trace.losses.mean()} ± {allowed:.1g}"
    held = {finding.equation: finding.holds for finding in audit(case, trace, arithmetic("torch-eager"))}
    assert held["8"]
    assert held["1"]


A, Y = [[1.0, 4.0], [0.5, -2.0]], [[0.0, 1.0], [0.0, 0.0]]
"""Residuals 1, 3; ½, −2."""

LOG = np.log([[0.5, 0.5], [0.25, 0.75]])

BY_HAND = [
    # loss, parameters, p, y, L_i
    ("half_squared_error", {}, A, Y, [(1 + 9) / 2, (0.25 + 4) / 2]),  # ½ Σ r²
    ("mean_squared_error", {}, A, Y, [(1 + 9) / 2, (0.25 + 4) / 2]),  # the mean over the two elements, no ½
    ("absolute_error", {}, A, Y, [4.0, 2.5]),
    ("huber", {}, A, Y, [0.5 + 2.5, 0.125 + 1.5]),  # ½r² up to 1, |r| − ½ beyond
    ("huber", {"delta": 2.0}, A, Y, [0.5 + 4.0, 0.125 + 2.0]),  # ½r² up to 2, 2|r| − 2 beyond
    ("smooth_l1", {}, A, Y, [0.5 + 2.5, 0.125 + 1.5]),  # for β = 1 Huber's
    ("smooth_l1", {"beta": 2.0}, A, Y, [0.25 + 2.0, 0.0625 + 1.0]),  # Huber's, divided by 2
    ("hinge", {}, A, [[1.0, -1.0], [1.0, 1.0]], [5.0, 0.5 + 3.0]),
    ("squared_hinge", {}, A, [[1.0, -1.0], [1.0, 1.0]], [25.0, 0.25 + 9.0]),
    ("cosine_distance", {}, [[3.0, 4.0], [0.0, 2.0]], [[4.0, 3.0], [0.0, -1.0]], [1 - 24 / 25, 2.0]),
    ("gaussian_nll", {"variance": 1 / (2 * np.pi)}, A, Y, [10 * np.pi, 4.25 * np.pi]),  # log 2πv = 0
    ("kullback_leibler", {}, LOG, [[0.0, 1.0], [1.0, 0.0]], [np.log(2), np.log(4)]),  # the mean over N, not N n
    ("negative_log_likelihood", {}, LOG, [[0.0, 1.0], [1.0, 0.0]], [np.log(2), np.log(4)]),
]
"""Two samples of two components each: every one of N, n and N n shows in a number."""


@pytest.mark.parametrize(("loss", "parameters", "p", "y", "partial"), BY_HAND, ids=[f"{r[0]} {r[1]}" for r in BY_HAND])
def test_reductions_by_hand(loss, parameters, p, y, partial):
    p, y = torch.tensor(p, dtype=torch.float64), torch.tensor(y, dtype=torch.float64)
    total, every = (function(p, y, **parameters) for function in LOSSES[loss])
    assert np.abs(every.numpy() - partial).max() <= 1e-14, f"L_i are {every.tolist()}, but should be {partial}"
    assert abs(total.item() - np.mean(partial)) <= 1e-14, f"L is {total.item()}, but should be {np.mean(partial)}"


# --- known defects; where one of these fails in a later version, the defect is mended: take it out of DEFECTS too


def guilty_in(case):
    """The first finding that does not hold in torch's trace, by torch's own accuracy and by any engine's; the trace."""
    trace = TorchEager().trace(case)
    by_own, by_any = (first_break(audit(case, trace, arithmetic(engine))) for engine in ("torch-eager", None))
    assert (by_own and (by_own.equation, by_own.layer)) == (by_any and (by_any.equation, by_any.layer))
    return by_own, trace


def assert_defect(guilty, equation, layer, what):
    """The audit names the equation and the layer of a known defect."""
    __tracebackhide__ = True
    assert guilty is not None, f"torch {torch.__version__} is without its defect: {what}; it was there in 2.13"
    assert (guilty.equation, guilty.layer) == (equation, layer)


def test_hardsigmoid_backward_multiplies_by_a_float32_sixth():
    case = one_layer("hardsigmoid", "absolute_error", [[0.5]], [[-1.0]])
    guilty, trace = guilty_in(case)
    assert_defect(guilty, "9", 1, "hardsigmoid's float64 derivative is a float32 1/6")
    sixth = trace.delta[1].item()
    assert sixth == float(np.float32(1) / np.float32(6))
    assert f"{sixth:.11f}" == "0.16666667163"
    assert guilty.ratio > 1e7, f"the ratio is {guilty.ratio:.2g}, but should be that of float32 in float64"
    assert guilty_in(one_layer("hardsigmoid", "absolute_error", [[0.5]], [[-1.0]], "float32"))[0] is None


def test_hardsigmoid_in_a_hidden_layer():
    guilty, _ = guilty_in(case_of(Combination("hardsigmoid", "identity", "half_squared_error")))
    assert_defect(guilty, "14", 1, "hardsigmoid's float64 derivative is a float32 1/6")


@pytest.mark.parametrize("alpha", [0.7, 1.1])
def test_celu_backward_takes_alpha_as_a_float32(alpha):
    """derivatives.yaml: 1.0/alpha.toFloat(). The quotient is a float64, of an α that was rounded to float32."""
    case = one_layer("celu", "absolute_error", [[-0.5]], [[-9.0]], parameters={"output": {"alpha": alpha}})
    guilty, trace = guilty_in(case)
    assert_defect(guilty, "9", 1, "celu's float64 derivative takes alpha as a float32")
    inverse = 1 / float(np.float32(alpha))
    wrong, right = alpha * inverse * np.exp(-0.5 * inverse), np.exp(-0.5 / alpha)
    assert abs(trace.delta[1].item() - wrong) <= 1e-15, f"the derivative is {trace.delta[1].item()!r}"
    assert abs(trace.delta[1].item() - right) > 1e-9


@pytest.mark.parametrize("alpha", [1.0, 2.0, 3.0, float(np.float32(0.7))])
def test_celu_with_an_alpha_that_float32_holds_is_right(alpha):
    case = one_layer("celu", "absolute_error", [[-0.5]], [[-9.0]], parameters={"output": {"alpha": alpha}})
    assert guilty_in(case)[0] is None


def test_celu_in_a_hidden_layer():
    case = case_of(Combination("celu", "identity", "half_squared_error"))
    assert guilty_in(replace(case, parameters={}))[0] is None
    guilty, _ = guilty_in(replace(case, parameters={"hidden": {"alpha": 0.7}}))
    assert_defect(guilty, "14", 1, "celu's float64 derivative takes alpha as a float32")


@pytest.mark.parametrize(("beta", "z"), [(1.0, 20.5), (2.0, 10.25)])
def test_softplus_is_linear_where_beta_z_exceeds_20(beta, z):
    """threshold=20 is of βz: with a β of 2 it is met within the drawn |z|."""
    case = one_layer("softplus", "half_squared_error", [[z]], [[0.0]], parameters={"output": {"beta": beta}})
    guilty, trace = guilty_in(case)
    assert_defect(guilty, "a", 1, "softplus is linear above 20")
    assert trace.a[1].item() == z
    assert guilty.worst.expected > z + 1e-10
    nearer = one_layer(
        "softplus", "half_squared_error", [[19.5 / beta]], [[0.0]], parameters={"output": {"beta": beta}}
    )
    assert guilty_in(nearer)[0] is None
