"""Every engine: honest traces hold, and what it reports is its own, whole and exact."""

from dataclasses import fields

import numpy as np
import pytest

from adapters.contract import AdapterError, load
from reference import equations as eq
from reference.activations import ACTIVATIONS, HIDDEN
from reference.audit import audit, audit_composed, audit_jacobian, audit_update, first_break
from reference.case import Case, Trace
from reference.cases import COMBINATIONS, Combination, Shape, draw_case, draw_shape
from reference.rounding import DTYPES, UNIT_ROUNDOFF
from reference.training import Plan

PAIRS = tuple(dict.fromkeys((c.output, c.loss) for c in COMBINATIONS))

FEWER = tuple(
    dict.fromkeys(
        [Combination(HIDDEN[i % len(HIDDEN)], *pair) for i, pair in enumerate(PAIRS)]
        + [Combination(hidden, "identity", "half_squared_error") for hidden in HIDDEN]
    )
)
"""Each (output, loss) once and each hidden activation at least twice: JAX compiles every combination."""

CELLS = [
    pytest.param(engine, combination, id=f"{engine}-{'-'.join(combination)}")
    for engine, combinations in (("numpy", COMBINATIONS), ("torch-eager", COMBINATIONS), ("jax-jit", FEWER))
    for combination in combinations
]

TANH = Combination("tanh", "sigmoid", "binary_cross_entropy")


def case_of(combination, dtype, seed=0, shape=None):
    """A drawn Case."""
    rng = np.random.default_rng([2026, seed])
    return draw_case(rng, combination, shape or draw_shape(rng), dtype)


def arrays_of(trace):
    """The arrays of a trace, by name."""
    for field in fields(Trace):
        value = getattr(trace, field.name)
        if isinstance(value, np.ndarray):
            yield field.name, value
        elif isinstance(value, dict):
            yield from ((f"{field.name}[{l}]", array) for l, array in value.items())


def test_the_fewer_combinations_leave_nothing_out():
    assert {(c.output, c.loss) for c in FEWER} == set(PAIRS)
    assert {c.hidden for c in FEWER} == set(HIDDEN)


# --- one trace


@pytest.mark.parametrize(("engine", "combination"), CELLS, indirect=["engine"])
def test_honest_traces_hold(engine, combination, dtype):
    case = case_of(combination, dtype)
    assert engine.supports(case) is True
    for seed in range(3):
        case = case_of(combination, dtype, seed, Shape(case.widths, case.samples))
        trace = engine.trace(case)
        guilty = first_break(audit(case, trace) + audit_composed(case, trace))
        assert guilty is None, f"{engine.name} breaks {guilty}, but should hold"


@pytest.mark.parametrize("samples", [1, 2, 16])
@pytest.mark.parametrize("widths", [(1, 1), (3, 1), (1, 4), (5, 2, 2, 2, 2, 3), (40, 2)], ids=str)
def test_honest_traces_hold_in_every_shape(engine, widths, samples):
    case = case_of(TANH, "float32", shape=Shape(widths, samples))
    guilty = first_break(audit(case, engine.trace(case)))
    assert guilty is None, f"{engine.name} breaks {guilty}, but should hold"


@pytest.mark.parametrize("combination", [TANH, Combination("relu", "softmax", "categorical_cross_entropy_on_logits")])
def test_a_trace_is_complete(engine, combination, dtype):
    case = case_of(combination, dtype)
    trace = engine.trace(case)
    n, widths = case.samples, case.widths
    assert isinstance(trace.loss, float)
    assert trace.losses.shape == (n,)
    for name in ("dW", "db", "z", "a", "delta"):
        layers = getattr(trace, name)
        assert set(layers) == set(case.layers), f"layers of {name} are {sorted(layers)}, but should be 1 … L-1"
        for l, array in layers.items():
            shape = {"dW": (widths[l], widths[l - 1]), "db": (widths[l],)}.get(name, (n, widths[l]))
            assert array.shape == shape, f"{name}[{l}] has shape {array.shape}, but should be {shape}"


def test_every_number_is_float64_and_one_of_the_dtype(engine, dtype):
    case = case_of(TANH, dtype, shape=Shape((5, 4, 3), 8))  # a batch of a power of two: N δ/N is exact
    trace = engine.trace(case)
    for name, array in (*arrays_of(trace), ("loss", np.array(trace.loss))):
        assert array.dtype == np.float64, f"{name} is {array.dtype}, but should be float64"
        exact = array.astype(dtype).astype(np.float64)
        assert np.array_equal(array, exact), f"{name} holds numbers that {dtype} does not have"


def test_float32_is_computed_in_float32(engine):
    """Numbers of float32 could be float64 results, rounded once: then almost every z would be the correctly rounded."""
    case = case_of(TANH, "float32", shape=Shape((12, 12), 16))
    exact = eq.total_input(case.W[1], case.b[1], case.x)
    error = np.abs(engine.trace(case).z[1] - exact) / (UNIT_ROUNDOFF["float32"] * np.abs(exact))
    assert error.max() > 1, f"the largest error of z is {error.max():.2g} u: no sum of 13 terms is that exact"


def test_a_trace_is_the_same_a_second_time(engine, dtype):
    case = case_of(TANH, dtype)
    first, second = engine.trace(case), engine.trace(case)
    assert first.loss == second.loss
    for (name, array), (_, again) in zip(arrays_of(first), arrays_of(second), strict=True):
        assert np.array_equal(array, again), f"{name} is another the second time"


def test_a_trace_leaves_its_case_alone(engine, dtype):
    case = case_of(TANH, dtype)
    before = [array.copy() for array in (*case.W.values(), *case.b.values(), case.x, case.y)]
    engine.trace(case)
    list(engine.train(case, Plan((np.arange(case.samples),) * 2, 0.5)))
    after = [*case.W.values(), *case.b.values(), case.x, case.y]
    for old, new in zip(before, after, strict=True):
        assert np.array_equal(old, new)


def test_each_delta_is_of_its_own_sample(engine, dtype):
    """δ is ∂L_i/∂z, not averaged: a batch of one pair, repeated, has the δ of the pair alone."""
    one = case_of(TANH, dtype, shape=Shape((4, 3, 2), 1))
    four = one.on_batch(np.repeat(one.x, 4, axis=0), np.repeat(one.y, 4, axis=0))
    alone, repeated = engine.trace(one).delta, engine.trace(four).delta
    for l in one.layers:
        assert np.allclose(repeated[l], np.repeat(alone[l], 4, axis=0), rtol=64 * UNIT_ROUNDOFF[dtype], atol=0)


# --- supports


@pytest.mark.parametrize("combination", COMBINATIONS, ids="-".join)
def test_every_combination_is_supported(engine, combination):
    assert engine.supports(case_of(combination, "float32", shape=Shape((2, 2, 2), 1))) is True


@pytest.mark.parametrize("engine", ["torch-eager", "jax-jit"], indirect=True)
@pytest.mark.parametrize(
    ("table", "name"),
    [("ACTIVATIONS", "tanh"), ("ACTIVATIONS", "sigmoid"), ("LOSSES", "binary_cross_entropy")],
    ids=["hidden", "output", "loss"],
)
def test_what_an_engine_lacks_is_named(engine, monkeypatch, table, name):
    import sys

    module = sys.modules[type(engine).__module__]
    monkeypatch.delitem(getattr(module, table), name)
    reason = engine.supports(case_of(TANH, "float32"))
    assert isinstance(reason, str), f"supports is {reason!r}, but should be the reason"
    assert engine.name in reason
    assert repr(name) in reason


# --- training


@pytest.fixture
def plan():
    """Six steps on batches of unequal sizes, with a learning rate that no format holds exactly."""
    order = np.random.default_rng(0).permutation(12)
    return Plan((order[:5], order[5:10], order[10:], order[:4], order[4:8], order[3:11]), 0.1)


def training_case(dtype):
    return case_of(
        Combination("tanh", "softmax", "categorical_cross_entropy_on_logits"), dtype, 0, Shape((5, 4, 3), 12)
    )


def copied(step):
    """A Step's arrays, copied."""
    parts = (step.W, step.b, step.new_W, step.new_b)
    return [array.copy() for part in parts for array in part.values()] + [a.copy() for _, a in arrays_of(step.trace)]


def test_every_step_holds(engine, dtype, plan):
    case = training_case(dtype)
    steps = list(engine.train(case, plan))
    assert len(steps) == len(plan.batches), f"{len(steps)} steps, but should be {len(plan.batches)}"
    for step, batch in zip(steps, plan.batches, strict=True):
        now = case.with_parameters(step.W, step.b).on_batch(case.x[batch], case.y[batch])
        found = audit(now, step.trace) + audit_update(now, step.trace, step.new_W, step.new_b, plan.learning_rate)
        assert first_break(found) is None, f"{engine.name} breaks {first_break(found)}, but should hold"


def test_each_step_starts_where_the_last_ended(engine, dtype, plan):
    case = training_case(dtype)
    W, b = case.W, case.b
    for step in engine.train(case, plan):
        for l in case.layers:
            assert np.array_equal(step.W[l], W[l])
            assert np.array_equal(step.b[l], b[l])
            assert not np.array_equal(step.W[l], step.new_W[l]), "the weights stay as they are, but should be updated"
        W, b = step.new_W, step.new_b


def test_a_later_step_changes_no_earlier_one(engine, dtype, plan):
    """torch updates its parameters in place: a Step that shows them would change after the fact."""
    steps, copies = [], []
    for step in engine.train(training_case(dtype), plan):
        steps.append(step)
        copies.append(copied(step))
    for number, (step, copy) in enumerate(zip(steps, copies, strict=True)):
        for now, then in zip(copied(step), copy, strict=True):
            assert np.array_equal(now, then), f"step {number} was changed by a later one"


def test_the_trace_of_a_step_is_that_of_its_parameters(engine, dtype, plan):
    case = training_case(dtype)
    for step, batch in zip(engine.train(case, plan), plan.batches, strict=True):
        again = engine.trace(case.with_parameters(step.W, step.b).on_batch(case.x[batch], case.y[batch]))
        for (name, array), (_, other) in zip(arrays_of(step.trace), arrays_of(again), strict=True):
            assert np.array_equal(array, other), f"{name} of the step is not that of its parameters"


# --- one layer's vjp


@pytest.mark.parametrize("hidden", HIDDEN)
def test_layer_vjp_is_the_references(engine, dtype, hidden):
    case = case_of(Combination(hidden, "identity", "half_squared_error"), dtype, 3, Shape((5, 4, 3, 6), 7))
    trace = engine.trace(case)
    rng = np.random.default_rng(1)
    for l in case.layers:
        z_prev = trace.z[l - 1] if l > 1 else case.x
        cotangent = rng.normal(size=trace.z[l].shape).astype(dtype).astype(np.float64)
        gradients = engine.layer_vjp(case, l, z_prev, cotangent)
        found = audit_jacobian(case, trace, l, cotangent, gradients)
        assert first_break(found) is None, f"{engine.name} breaks {first_break(found)}, but should hold"
        assert [finding.equation for finding in found] == ["6a", "6b", "13"][: 2 + (l > 1)]

        f = ACTIVATIONS[case.activation(l - 1)]
        a_prev, df = f.value(z_prev), f.derivative(z_prev)
        expected = (
            np.einsum("it,if->tf", cotangent, a_prev),
            np.einsum("it->t", cotangent),
            np.einsum("it,tf,if->if", cotangent, case.W[l], df),
        )
        for observed, right in zip(gradients, expected, strict=True):
            assert observed.dtype == np.float64
            assert np.allclose(observed, right, rtol=0, atol=200 * UNIT_ROUNDOFF[dtype])


# --- GPU


def on_gpu(name):
    """The engine on a GPU, or a skip that says why not."""
    try:
        return load(name, "gpu")
    except AdapterError as error:
        pytest.skip(f"no GPU: {error}")


@pytest.mark.parametrize("combination", FEWER, ids="-".join)
@pytest.mark.parametrize("name", ["torch-eager", "jax-jit"])
def test_honest_traces_hold_on_a_gpu(name, combination):
    gpu = on_gpu(name)
    for dtype in DTYPES:
        case = case_of(combination, dtype)
        trace = gpu.trace(case)
        guilty = first_break(audit(case, trace) + audit_composed(case, trace))
        assert guilty is None, f"{name} breaks {guilty} on the GPU, but should hold"


@pytest.mark.parametrize("name", ["torch-eager", "jax-jit"])
def test_training_holds_on_a_gpu(name, plan):
    gpu = on_gpu(name)
    case = training_case("float32")
    for step, batch in zip(gpu.train(case, plan), plan.batches, strict=True):
        now = case.with_parameters(step.W, step.b).on_batch(case.x[batch], case.y[batch])
        found = audit(now, step.trace) + audit_update(now, step.trace, step.new_W, step.new_b, plan.learning_rate)
        assert first_break(found) is None


def test_numpy_has_no_gpu():
    case = case_of(TANH, "float32")
    assert isinstance(case, Case)
    assert load("numpy", "gpu").supports(case) == "numpy computes on the cpu, not on 'gpu'"
