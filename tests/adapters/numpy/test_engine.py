"""NumPy as an engine: in float64 it is the reference itself, in float32 it is not."""

import numpy as np
import pytest

from adapters.numpy.engine import NumpyEngine
from reference import network
from reference.cases import Combination, Shape, draw_case
from reference.rounding import HALF, rounded
from reference.training import descent, draw_batches

COMBINATION = Combination("gelu", "softmax", "categorical_cross_entropy")


def case_of(dtype):
    return draw_case(np.random.default_rng(7), COMBINATION, Shape((6, 5, 4), 9), dtype)


def test_float64_is_the_reference():
    case = case_of("float64")
    mine, reference = NumpyEngine().trace(case), network.trace(case)
    assert mine.loss == reference.loss
    for name in ("dW", "db", "z", "a", "delta"):
        for l in case.layers:
            assert np.array_equal(getattr(mine, name)[l], getattr(reference, name)[l])


def test_float32_is_rounded_in_every_step():
    case = case_of("float32")
    mine, reference = NumpyEngine().trace(case), network.trace(case)
    for name in ("dW", "z", "a", "delta"):
        for l in case.layers:
            observed, expected = getattr(mine, name)[l], getattr(reference, name)[l]
            assert not np.array_equal(observed, expected), f"{name}[{l}] carries no rounding, but should"
            assert np.allclose(observed, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dtype", HALF)
def test_half_precision_is_computed_in_float32_and_stored(dtype):
    """As GPUs do: every result of an equation is that of float32, rounded once."""
    case = case_of(dtype)
    mine = NumpyEngine().trace(case)
    x, W, b = (array.astype(np.float32) for array in (case.x, case.W[1], case.b[1]))
    assert np.array_equal(mine.z[1], rounded(x @ W.T + b, dtype))
    assert np.array_equal(mine.a[1], rounded(case.f_h.value(mine.z[1].astype(np.float32)), dtype))
    delta, a = mine.delta[2].astype(np.float32), mine.a[1].astype(np.float32)
    assert np.array_equal(mine.dW[2], rounded(delta.T @ a / np.float32(len(x)), dtype))


def test_training_takes_the_loss_down():
    case = case_of("float64")
    plan = descent(draw_batches(np.random.default_rng(0), case.samples, case.samples, 20), 0.5)
    losses = [step.trace.loss for step in NumpyEngine().train(case, plan)]
    assert losses[-1] < losses[0], f"the loss is {losses[-1]} after {losses[0]}, but should be less"
