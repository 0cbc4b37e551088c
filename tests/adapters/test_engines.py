"""Every engine: honest traces hold, and what it reports is its own, whole and exact."""

from dataclasses import fields, replace
from itertools import product

import numpy as np
import pytest

from adapters.contract import AdapterError, load
from adapters.numpy.engine import NumpyEngine
from reference import equations as eq
from reference.accuracy import on
from reference.activations import ACTIVATIONS, HIDDEN
from reference.audit import audit, audit_composed, audit_jacobian, audit_update, first_break
from reference.case import Case, Trace
from reference.cases import Combination, Shape, cover, draw_case, once
from reference.losses import LOSSES
from reference.rounding import DTYPES, HALF, UNIT_ROUNDOFF, rounded
from reference.training import descent
from reports.divergences.known import KNOWN
from tests.arithmetics import arithmetic
from tests.tables import over

COVER = cover()

COMPILED = ("jax-jit", "jax-whole")
"""Engines that compile every function anew in every format."""

SHAPE = Shape((4, 4, 4, 4), 8)
"""One for nearly all: JAX compiles a layer anew for each. In a batch of a power of two, N δ/N is exact."""

TANH = Combination("tanh", "sigmoid", "binary_cross_entropy")

LACKS = {
    "numpy": (set(), set()),
    "torch-eager": ({"squareplus"}, {"log_cosh"}),
    "jax-jit": ({"tanhshrink", "softshrink", "hardshrink"}, set()),
    "jax-whole": ({"tanhshrink", "softshrink", "hardshrink"}, set()),
}
"""The activations and the losses that an engine's framework does not have."""

DEFECTS = {
    (on(engine, device), dtype, function): known.reason
    for known in KNOWN
    if known.status == "defect" and known.where(np.zeros((1, 1)), {})[0]
    for engine in known.engines
    for device in known.devices
    for dtype in known.dtypes
    for function in known.functions
    if function in ACTIVATIONS
}
"""(engine, dtype, activation) of the defects that occur at 0, where every Case goes: left out of the properties, and
shown by example in test_torch_eager.py."""


def test_defects_that_are_left_out_are_few():
    assert set(DEFECTS) == {
        ("torch-eager", "float64", "hardsigmoid"),
        ("torch-eager", "float64", "celu"),
        ("torch-eager on gpu", "float64", "hardsigmoid"),
        ("torch-eager on gpu", "float64", "hardswish"),
        ("torch-eager on gpu", "float64", "celu"),
    }


def defect_in(engine, case):
    """The reason to leave a Case out, if an engine has a known defect in it."""
    engine = on(engine.name, str(engine.device))
    reasons = (DEFECTS.get((engine, case.dtype, name)) for name in (case.hidden, case.output))
    return next((reason for reason in reasons if reason), None)


def drawn(combination, dtype, seed=0, shape=SHAPE, usual=False):
    """A drawn Case."""
    return draw_case(np.random.default_rng([2026, seed]), combination, shape, dtype, usual)


def arrays_of(trace):
    """The arrays of a trace, by name."""
    for field in fields(Trace):
        value = getattr(trace, field.name)
        if isinstance(value, np.ndarray):
            yield field.name, value
        elif isinstance(value, dict):
            yield from ((f"{field.name}[{l}]", array) for l, array in value.items())


def breaks_in(case, trace, name, any_engine=None):
    """What breaks in a trace, judged by the engine's own accuracy and, in a second audit, by that of any engine."""
    for engine in (name, any_engine):
        guilty = first_break(audit(case, trace, arithmetic(engine)) + audit_composed(case, trace, arithmetic(engine)))
        if guilty is not None:
            yield f"{'-'.join(case_names(case))} {dict(case.parameters)} as of {engine}: {guilty}"


def case_names(case):
    """Hidden activation, output activation and loss."""
    return case.hidden, case.output, case.loss


# --- one trace


def lacking(name, combination):
    """Whether an engine lacks one of the three."""
    activations, losses = LACKS[name]
    return bool(activations & {combination.hidden, combination.output}) or combination.loss in losses


def supported_case(engine, combination, dtype, seed):
    """A drawn Case that the engine can compute, every other with drawn parameters; JAX's softplus keeps its β of 1."""
    case = drawn(combination, dtype, seed, usual=seed % 2 == 0)
    if engine.supports(case) is not True:
        given = {role: names for role, names in case.parameters.items() if getattr(case, role) != "softplus"}
        case = replace(case, parameters=given)
    assert engine.supports(case) is True, f"{engine.name} does not support {combination}"
    return case


def chosen(engine, dtype, exhaustive):
    """The cover; of an engine that compiles, each loss in one format, unless all is asked for.

    Its other functions are met one layer at a time, by their vjp.
    """
    if exhaustive or engine.name not in COMPILED:
        return COVER
    there = [names for names in (*COVER, *once()) if not lacking(engine.name, names)]
    first = {names.loss: names for names in reversed(there)}
    assert set(first) == set(LOSSES) - LACKS[engine.name][1]
    return [names for number, names in enumerate(first.values()) if DTYPES[number % 4] == dtype]


@pytest.mark.parametrize("engine", ["numpy", "torch-eager", "jax-jit"], indirect=True)
def test_honest_traces_hold(engine, dtype, exhaustive):
    broken, audited = [], 0
    combinations = chosen(engine, dtype, exhaustive)
    for seed, combination in enumerate(combinations):
        if lacking(engine.name, combination):
            continue
        case = supported_case(engine, combination, dtype, seed)
        if defect_in(engine, case):
            continue
        broken += breaks_in(case, engine.trace(case), engine.name)
        audited += 1
    assert audited > len(combinations) / 2, f"{audited} Cases, but should be most of {len(combinations)}"
    assert not broken, f"{engine.name} breaks {len(broken)} of {audited}: " + "; ".join(broken[:3])


WHOLE = (
    TANH,
    Combination("silu", "softmax", "categorical_cross_entropy"),
    Combination("gelu", "log_softmax", "kullback_leibler"),
    Combination("mish", "softplus", "poisson_nll"),
    Combination("elu", "identity", "huber"),
    Combination("celu", "tanh", "log_cosh"),
    Combination("squareplus", "gelu_tanh", "gaussian_nll"),
    Combination("relu", "softmax", "smoothed_cross_entropy_on_logits"),
    Combination("hardswish", "sigmoid", "binary_cross_entropy_on_logits"),
    Combination("leaky_relu", "softsign", "cosine_distance"),
    Combination("selu", "logsigmoid", "squared_hinge"),
    Combination("hardsigmoid", "hardtanh", "smooth_l1"),
)
"""For the engine that compiles every combination anew, each in two dtypes."""


WHOLE_IN = [
    pytest.param(dtype, combination, id=f"{dtype}-{'-'.join(combination)}")
    for i, combination in enumerate(WHOLE)
    for dtype in (DTYPES[i % 4], DTYPES[(i + 1) % 4])
]


@pytest.mark.parametrize("engine", ["jax-whole"], indirect=True)
@over(("dtype", "combination"), WHOLE_IN, quick=8)
def test_honest_traces_of_the_whole_program_hold(engine, dtype, combination):
    broken = []
    for seed in range(3):
        case = supported_case(engine, combination, dtype, seed)
        broken += breaks_in(case, engine.trace(case), engine.name)
    assert not broken, f"{engine.name} breaks " + "; ".join(broken)


@over(("widths", "samples"), list(product([(1, 1), (5, 2, 2, 2, 3), (40, 2)], [1, 16])), quick=4)
def test_honest_traces_hold_in_every_shape(engine, widths, samples):
    case = drawn(TANH, "float32", shape=Shape(widths, samples))
    broken = list(breaks_in(case, engine.trace(case), engine.name))
    assert not broken, f"{engine.name} breaks " + "; ".join(broken)


KINKS = [pytest.param(f, kink, id=f"{f.name} at {kink.at:g}") for f in ACTIVATIONS.values() for kink in f.kinks]


def assert_admissible_at(engine, dtype, f, kink):
    """That the derivative at a kink is within its interval, and the trace holds."""
    rng = np.random.default_rng(5)
    W = {1: np.eye(4), 2: rounded(rng.normal(size=(4, 4)), dtype)}
    b, x = {1: np.zeros(4), 2: np.zeros(4)}, np.full((8, 4), kink.at)
    case = Case(f.name, "identity", "half_squared_error", dtype, W, b, x, rounded(rng.normal(size=(8, 4)), dtype))
    if engine.supports(case) is not True:
        assert f.name in LACKS[engine.name][0]
        return
    trace = engine.trace(case)
    summed = trace.delta[2] @ W[2]
    slope = trace.delta[1] / summed
    near = 200 * UNIT_ROUNDOFF[dtype]
    assert ((slope >= kink.lowest - near) & (slope <= kink.highest + near)).all(), f"the derivatives are {slope}"
    broken = list(breaks_in(case, trace, engine.name))
    assert defect_in(engine, case) or not broken, f"{engine.name} breaks " + "; ".join(broken)


@over("dtype", DTYPES)
@over(("f", "kink"), KINKS)
@pytest.mark.parametrize("engine", ["numpy", "torch-eager"], indirect=True)
def test_the_derivative_at_a_kink_is_admissible(engine, dtype, f, kink):
    """torch gives one end of the interval, JAX the other (leaky_relu, hardtanh), or the middle: each is right."""
    assert_admissible_at(engine, dtype, f, kink)


@over(("f", "kink", "dtype"), [(*param.values, dtype) for param in KINKS for dtype in DTYPES], quick=20)
def test_the_derivative_of_jax_at_a_kink_is_admissible(engine_named, dtype, f, kink):
    assert_admissible_at(engine_named("jax-jit"), dtype, f, kink)


@pytest.mark.parametrize("combination", [TANH, Combination("relu", "softmax", "categorical_cross_entropy_on_logits")])
def test_a_trace_is_complete(engine, combination):
    case = drawn(combination, "float32", shape=Shape((2, 3, 4, 5), 6))
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


@over("dtype", DTYPES)
def test_every_number_is_float64_and_one_of_the_dtype(engine, dtype):
    case = drawn(TANH, dtype)
    trace = engine.trace(case)
    for name, array in (*arrays_of(trace), ("loss", np.array(trace.loss))):
        assert array.dtype == np.float64, f"{name} is {array.dtype}, but should be float64"
        assert np.array_equal(array, rounded(array, dtype)), f"{name} holds numbers that {dtype} does not have"


def test_float32_is_computed_in_float32(engine):
    """Numbers of float32 could be float64 results, rounded once: then almost every z would be the correctly rounded."""
    case = drawn(TANH, "float32", shape=Shape((12, 12), 16))
    exact = eq.total_input(case.W[1], case.b[1], case.x)
    error = np.abs(engine.trace(case).z[1] - exact) / (UNIT_ROUNDOFF["float32"] * np.abs(exact))
    assert error.max() > 1, f"the largest error of z is {error.max():.2g} u: no sum of 13 terms is that exact"


@over("dtype", DTYPES)
def test_a_trace_is_the_same_a_second_time(engine, dtype):
    case = drawn(TANH, dtype)
    first, second = engine.trace(case), engine.trace(case)
    assert first.loss == second.loss
    for (name, array), (_, again) in zip(arrays_of(first), arrays_of(second), strict=True):
        assert np.array_equal(array, again), f"{name} is another the second time"


@over("dtype", DTYPES)
def test_a_trace_leaves_its_case_alone(engine, dtype):
    case = drawn(TANH, dtype)
    before = [array.copy() for array in (*case.W.values(), *case.b.values(), case.x, case.y)]
    engine.trace(case)
    list(engine.train(case, descent((np.arange(case.samples),) * 2, 0.5)))
    after = [*case.W.values(), *case.b.values(), case.x, case.y]
    for old, new in zip(before, after, strict=True):
        assert np.array_equal(old, new)


@over("dtype", DTYPES, quick=2)
def test_each_delta_is_of_its_own_sample(engine, dtype):
    """δ is ∂L_i/∂z, not averaged: a batch of one pair, repeated, has the δ of the pair alone."""
    one = drawn(TANH, dtype, shape=Shape((4, 4, 4, 4), 1))
    several = one.on_batch(np.repeat(one.x, 8, axis=0), np.repeat(one.y, 8, axis=0))
    alone, repeated = engine.trace(one).delta, engine.trace(several).delta
    for l in one.layers:
        near = np.abs(repeated[l] - np.repeat(alone[l], 8, axis=0)) <= 64 * UNIT_ROUNDOFF[dtype] * np.abs(repeated[l])
        assert near.all(), f"δ of layer {l} is {repeated[l]}, but should be {alone[l]} throughout"


# --- half precision


@pytest.mark.parametrize("dtype", HALF)
def test_products_accumulate_in_float32(engine, dtype):
    """1 and 15 terms of half a spacing: a sum in half precision stays at 1."""
    half = UNIT_ROUNDOFF[dtype]
    x = np.full((1, 16), half)
    x[0, 0] = 1.0
    case = Case(
        "identity", "identity", "half_squared_error", dtype, {1: np.ones((1, 16))}, {1: np.zeros(1)}, x, 0 * x[:, :1]
    )
    assert engine.trace(case).z[1].item() == 1 + 16 * half


@pytest.mark.parametrize("dtype", HALF)
def test_the_sum_of_a_bias_gradient(engine, dtype):
    """δ = 1, and 15 times half a spacing: in float32 their sum is 1 + 7.5 spacings, rounded to 8; in half it stays 1.

    JAX's gradient of a bias is a plain sum, in the Case's own format; the weight's, a product with a = 1, is not.
    """
    half = UNIT_ROUNDOFF[dtype]
    y = np.full((16, 1), -half)
    y[0] = -1.0
    W, b = {1: np.zeros((1, 1))}, {1: np.zeros(1)}
    case = Case("identity", "identity", "half_squared_error", dtype, W, b, np.ones((16, 1)), y)
    trace = engine.trace(case)
    assert np.array_equal(trace.delta[1], -y)
    assert 16 * trace.dW[1].item() == 1 + 16 * half
    in_half = engine.name.startswith("jax")
    assert 16 * trace.db[1].item() == (1.0 if in_half else 1 + 16 * half)
    assert first_break(audit(case, trace, arithmetic(engine.name))) is None
    assert first_break(audit(case, trace)) is None
    guilty = first_break(audit(case, trace, arithmetic("torch-eager")))
    assert (guilty is not None and guilty.equation == "7b") == in_half


@over("dtype", HALF)
@over("hidden", [hidden for hidden in HIDDEN if hidden not in LACKS["torch-eager"][0]])
def test_torch_rounds_a_function_once(engine_named, dtype, hidden):
    """torch computes in float32 and rounds: a is the rounded f(z), but for the few that float32 puts across a tie."""
    rng = np.random.default_rng(4)
    x = rounded(rng.uniform(-4, 4, size=(64, 16)), dtype)
    W, b = {1: np.eye(16)}, {1: np.zeros(16)}
    case = Case("identity", hidden, "half_squared_error", dtype, W, b, x, 0 * x)
    trace = engine_named("torch-eager").trace(case)
    assert np.array_equal(trace.z[1], x)
    once = rounded(case.f_o.value(x), dtype) == trace.a[1]
    several = hidden in SEVERAL_OPERATIONS
    assert (once.mean() < 0.87) == several, f"{once.mean():.1%} of a are rounded once"


SEVERAL_OPERATIONS = ("softsign", "tanhshrink")
"""Functions that torch.nn.functional composes of several operations, each of which rounds: of their a at most 79 % are
the rounded f(z), of all others at least 94 % (GELU in float16 with AVX-512, whose float32 erf is less accurate)."""


@pytest.mark.parametrize("dtype", HALF)
def test_a_function_is_of_the_z_that_is_reported(engine, dtype):
    """z = x − 8.5 is rounded, and softplus(z), there e^z nearly, shows it: half a spacing of z moves it by 8 u.

    XLA may keep float32 between the operations of a fusion (xla_allow_excess_precision); on the CPU it rounds in each.
    """
    x = rounded(np.random.default_rng(0).uniform(-0.25, 0.25, size=(8, 4)), dtype)
    W, b = {1: np.eye(4)}, {1: np.full(4, -8.5)}
    case = Case("identity", "softplus", "half_squared_error", dtype, W, b, x, 0 * x)
    trace = engine.trace(case)

    def roundings(z):
        right = case.f_o.value(z)
        return (np.abs(trace.a[1] - right) / (UNIT_ROUNDOFF[dtype] * right)).max()

    assert np.array_equal(trace.z[1], rounded(x - 8.5, dtype))
    assert roundings(trace.z[1]) <= 1.1, f"a is {roundings(trace.z[1]):.2f} u from the softplus of the z reported"
    assert roundings(x - 8.5) > 5, f"a is {roundings(x - 8.5):.2f} u from the softplus of z before it was rounded"
    assert first_break(audit(case, trace, arithmetic(engine.name))) is None


@pytest.mark.parametrize("dtype", HALF)
def test_jax_rounds_within_a_function(engine_named, dtype):
    """σ(z) = 1/(1 + e^{−z}), each operation rounded: off by more than the one rounding that torch is allowed."""
    x = rounded(np.random.default_rng(1).uniform(-4, 4, size=(64, 4)), dtype)
    case = Case("identity", "sigmoid", "half_squared_error", dtype, {1: np.eye(4)}, {1: np.zeros(4)}, x, 0 * x)
    right = case.f_o.value(x)
    for name, fewest, most in (("torch-eager", 0.0, 1.01), ("jax-jit", 1.3, 3.0)):
        trace = engine_named(name).trace(case)
        worst = (np.abs(trace.a[1] - right) / (UNIT_ROUNDOFF[dtype] * right)).max()
        assert fewest <= worst <= most, f"{name}: a is {worst:.2f} u from σ(z)"
        assert first_break(audit(case, trace, arithmetic(name))) is None
    guilty = first_break(audit(case, trace, arithmetic("torch-eager")))
    assert guilty is not None, "JAX's trace holds as torch's, but should be too inaccurate for that"
    assert (guilty.equation, guilty.layer) == ("a", 1)


# --- supports


@pytest.mark.parametrize("name", LACKS)
def test_what_an_engine_lacks(engine_named, name):
    """Exactly these, and said in words; every other activation and loss is there."""
    engine = engine_named(name)
    no_activation, no_loss = LACKS[name]
    for combination in COVER:
        case = replace(drawn(combination, "float32"), parameters={})
        missing = [
            (what, value)
            for what, value, table in (
                ("hidden activation", combination.hidden, no_activation),
                ("output activation", combination.output, no_activation),
                ("loss", combination.loss, no_loss),
            )
            if value in table
        ]
        expected = f"{name} has no {missing[0][0]} {missing[0][1]!r}" if missing else True
        assert engine.supports(case) == expected


@pytest.mark.parametrize("name", ["torch-eager", "jax-jit"])
def test_the_tables_are_the_references(engine_named, name):
    import sys

    module = sys.modules[type(engine_named(name)).__module__]
    no_activation, no_loss = LACKS[name]
    assert set(ACTIVATIONS) - set(module.ACTIVATIONS) == no_activation
    assert set(LOSSES) - set(module.LOSSES) == no_loss
    assert set(module.ACTIVATIONS) <= set(ACTIVATIONS)
    assert set(module.LOSSES) <= set(LOSSES)


@pytest.mark.parametrize("role", ["hidden", "output"])
def test_softplus_with_a_beta(engine, role):
    names = {"hidden": "tanh", "output": "identity", role: "softplus"}
    case = drawn(Combination(names["hidden"], names["output"], "huber"), "float32")
    case = replace(case, parameters={role: {"beta": 2.0}})
    jax = engine.name.startswith("jax")
    assert engine.supports(case) == (f"{engine.name} has no softplus with another beta than 1" if jax else True)
    assert engine.supports(replace(case, parameters={role: {"beta": 1.0}})) is True


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
    reason = engine.supports(drawn(TANH, "float32"))
    assert isinstance(reason, str), f"supports is {reason!r}, but should be the reason"
    assert engine.name in reason
    assert repr(name) in reason


# --- training


@pytest.fixture
def plan():
    """Steps on batches of two sizes, with a learning rate that no format holds exactly."""
    order = np.random.default_rng(0).permutation(12)
    return descent((order[:8], order[8:], order[2:10]), 0.1)


def training_case(dtype):
    combination = Combination("tanh", "softmax", "categorical_cross_entropy_on_logits")
    return drawn(combination, dtype, 0, Shape((4, 4, 4, 4), 12))


def copied(step):
    """A Step's arrays, copied."""
    parts = (step.W, step.b, step.new_W, step.new_b)
    return [array.copy() for part in parts for array in part.values()] + [a.copy() for _, a in arrays_of(step.trace)]


def breaks_in_step(case, step, batch, plan, name):
    """What breaks in a step, judged by the accuracy of the engine of that name."""
    now = case.with_parameters(step.W, step.b).on_batch(case.x[batch], case.y[batch])
    found = audit(now, step.trace, arithmetic(name))
    return first_break(found + audit_update(now, step.trace, step.new_W, step.new_b, plan.learning_rate))


@over("dtype", DTYPES)
def test_every_step_holds(engine, dtype, plan):
    case = training_case(dtype)
    steps = list(engine.train(case, plan))
    assert len(steps) == len(plan.batches), f"{len(steps)} steps, but should be {len(plan.batches)}"
    for step, batch in zip(steps, plan.batches, strict=True):
        guilty = breaks_in_step(case, step, batch, plan, engine.name)
        assert guilty is None, f"{engine.name} breaks {guilty}, but should hold"


@over("dtype", DTYPES)
def test_each_step_starts_where_the_last_ended(engine, dtype, plan):
    case = training_case(dtype)
    W, b = case.W, case.b
    for step in engine.train(case, plan):
        for l in case.layers:
            assert np.array_equal(step.W[l], W[l])
            assert np.array_equal(step.b[l], b[l])
            assert not np.array_equal(step.W[l], step.new_W[l]), "the weights stay as they are, but should be updated"
        W, b = step.new_W, step.new_b


@over("dtype", DTYPES)
def test_a_later_step_changes_no_earlier_one(engine, dtype, plan):
    """torch updates its parameters in place: a Step that shows them would change after the fact."""
    steps, copies = [], []
    for step in engine.train(training_case(dtype), plan):
        steps.append(step)
        copies.append(copied(step))
    for number, (step, copy) in enumerate(zip(steps, copies, strict=True)):
        for now, then in zip(copied(step), copy, strict=True):
            assert np.array_equal(now, then), f"step {number} was changed by a later one"


@over("dtype", DTYPES)
def test_the_trace_of_a_step_is_that_of_its_parameters(engine, dtype, plan):
    case = training_case(dtype)
    for step, batch in zip(engine.train(case, plan), plan.batches, strict=True):
        again = engine.trace(case.with_parameters(step.W, step.b).on_batch(case.x[batch], case.y[batch]))
        for (name, array), (_, other) in zip(arrays_of(step.trace), arrays_of(again), strict=True):
            assert np.array_equal(array, other), f"{name} of the step is not that of its parameters"


# --- one layer's vjp


def assert_vjp_is_the_references(engine, dtype, hidden):
    """That the vjp of every layer is audited to hold, and is near what the equations give, if the engine has it."""
    combination = Combination(hidden, "identity", "half_squared_error")
    if lacking(engine.name, combination):
        return
    case = supported_case(engine, combination, dtype, 3)
    if defect_in(engine, case):  # a known one, shown by example
        return
    trace = NumpyEngine().trace(case)  # of which z alone counts; the engine would compile its own
    rng = np.random.default_rng(1)
    for l in case.layers:
        z_prev = trace.z[l - 1] if l > 1 else case.x
        cotangent = rounded(rng.normal(size=trace.z[l].shape), dtype)
        gradients = engine.layer_vjp(case, l, z_prev, cotangent)
        found = audit_jacobian(case, trace, l, cotangent, gradients, arithmetic(engine.name))
        assert first_break(found) is None, f"{engine.name} breaks {first_break(found)}, but should hold"
        assert first_break(audit_jacobian(case, trace, l, cotangent, gradients)) is None
        assert [finding.equation for finding in found] == ["6a", "6b", "13"][: 2 + (l > 1)]

        f = case.activation(l - 1)
        a_prev, df = f.value(z_prev), f.derivative(z_prev)
        expected = (
            np.einsum("it,if->tf", cotangent, a_prev),
            np.einsum("it->t", cotangent),
            np.einsum("it,tf,if->if", cotangent, case.W[l], df),
        )
        for observed, right in zip(gradients, expected, strict=True):
            assert observed.dtype == np.float64
            scale = 1 + np.abs(a_prev).max()
            assert (np.abs(observed - right) <= 200 * scale * UNIT_ROUNDOFF[dtype]).all()


@over("dtype", DTYPES)
@over("hidden", HIDDEN)
@pytest.mark.parametrize("engine", ["numpy", "torch-eager"], indirect=True)
def test_layer_vjp_is_the_references(engine, dtype, hidden):
    assert_vjp_is_the_references(engine, dtype, hidden)


@over(("hidden", "dtype"), [(hidden, dtype) for hidden in HIDDEN for dtype in DTYPES], quick=len(HIDDEN))
def test_layer_vjp_of_jax_is_the_references(engine_named, dtype, hidden):
    assert_vjp_is_the_references(engine_named("jax-jit"), dtype, hidden)


# --- GPU


def on_gpu(name):
    """The engine on a GPU, or a skip that says why not."""
    try:
        return load(name, "gpu")
    except AdapterError as error:
        pytest.skip(f"no GPU: {error}")


@pytest.mark.parametrize("name", ["torch-eager", "jax-jit", "jax-whole"])
def test_honest_traces_hold_on_a_gpu(name, dtype):
    gpu = on_gpu(name)
    broken = []
    for seed, combination in enumerate(WHOLE if name == "jax-whole" else COVER):
        if lacking(name, combination):
            continue
        case = supported_case(gpu, combination, dtype, seed)
        if not defect_in(gpu, case):
            broken += breaks_in(case, gpu.trace(case), on(name, "gpu"), on("any", "gpu"))
    assert not broken, f"{name} breaks {len(broken)} on the GPU: " + "; ".join(broken[:3])


@pytest.mark.parametrize("name", ["torch-eager", "jax-jit", "jax-whole"])
def test_training_holds_on_a_gpu(name, plan):
    gpu = on_gpu(name)
    case = training_case("float32")
    for step, batch in zip(gpu.train(case, plan), plan.batches, strict=True):
        assert breaks_in_step(case, step, batch, plan, on(name, "gpu")) is None


def test_numpy_has_no_gpu():
    case = drawn(TANH, "float32")
    assert load("numpy", "gpu").supports(case) == "numpy computes on the cpu, not on 'gpu'"
