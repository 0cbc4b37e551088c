"""Batches and steps of gradient descent."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference import equations as eq
from reference import network
from reference.audit import audit_update, first_break
from reference.cases import Combination, Shape, draw_case
from reference.optimisers import optimiser
from reference.rounding import ACCUMULATED_IN, FORMATS, HALF, UNIT_ROUNDOFF, rounded
from reference.training import descent, draw_batches, train, update


def small_case(dtype="float64"):
    combination = Combination("tanh", "sigmoid", "binary_cross_entropy_on_logits")
    return draw_case(np.random.default_rng(0), combination, Shape((3, 4, 2), 10), dtype)


@given(st.integers(1, 40), st.integers(1, 45), st.integers(1, 4), st.integers(0, 1000))
def test_every_epoch_sees_every_sample_once(samples, size, epochs, seed):
    drawn = draw_batches(np.random.default_rng(seed), samples, size, epochs)
    per_epoch = -(-samples // size)
    assert len(drawn) == per_epoch * epochs
    for epoch in range(epochs):
        batches = drawn[epoch * per_epoch : (epoch + 1) * per_epoch]
        seen = np.concatenate(batches)
        assert sorted(seen) == list(range(samples)), f"epoch {epoch} sees {sorted(seen)}"
        assert [len(batch) for batch in batches[:-1]] == [size] * (per_epoch - 1)
        assert len(batches[-1]) == samples - size * (per_epoch - 1)


def test_the_last_batch_is_smaller():
    batches = draw_batches(np.random.default_rng(0), 10, 4, 2)
    assert [len(batch) for batch in batches] == [4, 4, 2, 4, 4, 2]
    assert descent(batches, 0.5).learning_rate == 0.5


def test_epochs_have_orders_of_their_own_and_a_seed_has_one():
    def drawn(seed):
        return np.concatenate(draw_batches(np.random.default_rng(seed), 20, 5, 2))

    assert drawn(1).tolist() == drawn(1).tolist()
    assert drawn(1).tolist() != drawn(2).tolist()
    assert drawn(1)[:20].tolist() != drawn(1)[20:].tolist()


def test_descent_follows_the_equations(dtype):
    """In half precision an update is computed in float32, and rounded once."""
    case = small_case(dtype)
    plan = descent(draw_batches(np.random.default_rng(1), case.samples, 4, 2), 0.3)
    steps = list(train(case, plan, lambda now: network.trace(now, dtype), dtype))
    assert len(steps) == len(plan.batches)
    computed_in = ACCUMULATED_IN[dtype]
    eta = np.dtype(computed_in).type(0.3)
    W, b = case.W, case.b
    for batch, step in zip(plan.batches, steps, strict=True):
        before = case.with_parameters(W, b).on_batch(case.x[batch], case.y[batch])
        now = network.trace(before, dtype)
        assert step.trace.loss == now.loss
        for l in case.layers:
            assert np.array_equal(step.W[l], W[l])
            assert np.array_equal(step.b[l], b[l])
            assert np.array_equal(step.trace.dW[l], now.dW[l])
            new_W = eq.eq_2a(W[l].astype(computed_in), now.dW[l].astype(computed_in), eta)
            new_b = eq.eq_2b(b[l].astype(computed_in), now.db[l].astype(computed_in), eta)
            assert new_W.dtype == new_b.dtype == computed_in
            assert np.array_equal(step.new_W[l], rounded(new_W, dtype))
            assert np.array_equal(step.new_b[l], rounded(new_b, dtype))
        assert first_break(audit_update(before, step.trace, step.new_W, step.new_b, 0.3)) is None
        W, b = step.new_W, step.new_b
    assert any((step.new_W[1] != case.W[1]).any() for step in steps)


@pytest.mark.parametrize("dtype", HALF)
def test_an_update_below_half_the_spacing_is_lost_in_half_precision(dtype):
    """So training in half precision stands still; that is the format's doing, and within the allowance of (2a)."""
    old, u = np.ones((1, 1)), UNIT_ROUNDOFF[dtype]
    place, made = ("W", 1), optimiser("gradient_descent", learning_rate=1.0)

    def new(gradient, format):
        return update(made, {place: np.full((1, 1), gradient)}, {place: {}}, {place: old}, format)[place][0]

    assert new(-0.9 * u, dtype) == 1
    assert new(-1.1 * u, dtype) == 1 + 2 * u
    assert new(-0.9 * u, "float32") > 1


def test_new_parameters_are_numbers_of_the_format(dtype):
    case = small_case(dtype)
    plan = descent(draw_batches(np.random.default_rng(1), case.samples, 4, 1), 0.3)
    for step in train(case, plan, lambda now: network.trace(now, dtype), dtype):
        for layers in (step.new_W, step.new_b):
            for array in layers.values():
                assert array.dtype == "float64"
                assert np.array_equal(array.astype(FORMATS[dtype]).astype(float), array)


def test_descent_lowers_the_loss_as_eq_4_says():
    """For a small step, ΔC is −η‖∇C‖² but for a part that is of second order in η."""
    case = small_case()
    before = network.trace(case)
    gradient = {"W": before.dW, "b": before.db}
    rest = []
    for eta in (1e-2, 5e-3):
        plan = descent((np.arange(case.samples),), eta)
        (step,) = train(case, plan, network.trace)
        after = network.trace(case.with_parameters(step.new_W, step.new_b)).loss
        assert after < before.loss
        rest.append(abs(after - before.loss - eq.eq_4(gradient, eta)))
    assert rest[0] / rest[1] == pytest.approx(4, rel=0.05)


def test_a_step_uses_its_own_batch_only():
    case = small_case()
    seen = []

    def spy(now):
        seen.append(now)
        return network.trace(now)

    plan = descent((np.array([2, 5]), np.array([7])), 0.1)
    list(train(case, plan, spy))
    assert [now.x.tolist() for now in seen] == [case.x[[2, 5]].tolist(), case.x[[7]].tolist()]
    assert [now.y.tolist() for now in seen] == [case.y[[2, 5]].tolist(), case.y[[7]].tolist()]
    assert np.array_equal(seen[0].W[1], case.W[1])
    assert not np.array_equal(seen[1].W[1], case.W[1])


def test_descent_leaves_the_case_as_it_was():
    case = small_case()
    before = {l: W.copy() for l, W in case.W.items()}
    list(train(case, descent((np.arange(4),), 0.1), network.trace))
    assert all(np.array_equal(case.W[l], before[l]) for l in case.layers)
