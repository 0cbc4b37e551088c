"""PyTorch: one backward call, settings that keep float32 float32, the framework's own reductions."""

import numpy as np
import pytest
import torch

from adapters import torch_eager
from adapters.torch_eager import LOSSES, TorchEager, array
from reference.cases import COMBINATIONS, Combination, Shape, draw_case
from reference.network import contributions
from reference.training import Plan

COMBINATION = Combination("tanh", "softmax", "categorical_cross_entropy_on_logits")


def case_of(combination=COMBINATION):
    return draw_case(np.random.default_rng(3), combination, Shape((4, 3, 3), 6), "float64")


def test_one_call_of_autograd(monkeypatch):
    calls = []
    grad = torch.autograd.grad

    def counted(*arguments, **options):
        calls.append(arguments)
        return grad(*arguments, **options)

    monkeypatch.setattr(torch.autograd, "grad", counted)
    TorchEager().trace(case_of())
    assert len(calls) == 1, f"torch.autograd.grad was called {len(calls)} times, but should be once"


def test_tf32_is_off():
    torch.backends.cuda.matmul.allow_tf32 = True
    TorchEager()
    assert torch.backends.cuda.matmul.allow_tf32 is False


@pytest.mark.parametrize("loss", LOSSES)
def test_reduced_and_partial_losses_are_of_one_definition(loss):
    """L by the framework's own reduction is the mean of L_i, and L_i is the sum over t, whatever `mean` means there."""
    combination = next(c for c in COMBINATIONS if c.loss == loss)
    case = case_of(combination)
    trace = TorchEager().trace(case)
    assert np.isclose(trace.loss, trace.losses.mean(), rtol=1e-14)
    expected = contributions(case, trace.z[case.last], trace.a[case.last], case.y).sum(axis=1)
    assert np.allclose(trace.losses, expected, rtol=1e-13)


def test_an_array_is_a_copy():
    tensor = torch.ones(3, dtype=torch.float64)
    copy = array(tensor)
    tensor.add_(1)
    assert np.array_equal(copy, np.ones(3))


def test_the_update_is_that_of_the_optimiser(monkeypatch):
    """Not a formula of the adapter's: another optimiser in its place makes another step."""
    case, plan = case_of(), Plan((np.arange(6),), 0.1)
    (usual,) = TorchEager().train(case, plan)
    monkeypatch.setattr(torch_eager.torch.optim, "SGD", torch.optim.Adam)
    (other,) = TorchEager().train(case, plan)
    assert not np.array_equal(usual.new_W[1], other.new_W[1])


def test_no_gradient_is_left_over_from_a_trace():
    """A second trace is the first: nothing accumulates."""
    case, engine = case_of(), TorchEager()
    first, second = engine.trace(case), engine.trace(case)
    assert np.array_equal(first.dW[1], second.dW[1])
