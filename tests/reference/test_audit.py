"""The audit: honest traces hold, and every planted fault is caught where it is."""

import dataclasses
from typing import NamedTuple

import numpy as np
import pytest
from scipy.special import erf, expit

from reference import equations as eq
from reference import network
from reference.activations import ACTIVATIONS
from reference.audit import (
    EQUATIONS,
    Finding,
    MalformedTrace,
    audit,
    audit_chain,
    audit_composed,
    audit_jacobian,
    audit_partial,
    audit_update,
    compare,
    first_break,
)
from reference.case import Case
from reference.cases import COMBINATIONS, Combination, Shape, draw_case, draw_shape
from reference.losses import LOSSES

DTYPES = ("float32", "float64")
SQUARE = Shape((4, 4, 4, 4), 6)
"""Square layers, on which the note's slips run."""

TANH = Combination("tanh", "sigmoid", "binary_cross_entropy")
RELU = Combination("relu", "identity", "half_squared_error")
SOFTMAX = Combination("silu", "softmax", "categorical_cross_entropy")
FUSED = Combination("gelu", "softmax", "categorical_cross_entropy_on_logits")
SQUARED = Combination("softplus", "tanh", "half_squared_error")
SOME = (TANH, RELU, SOFTMAX, FUSED, SQUARED)

combinations = pytest.mark.parametrize("combination", SOME, ids="-".join)
dtypes = pytest.mark.parametrize("dtype", DTYPES)


def drawn(combination, seed, dtype, shape=None):
    """The first Case of a seed whose every layer has error terms: behind ReLU there may be none."""
    rng = np.random.default_rng([seed, COMBINATIONS.index(combination)])
    while True:
        case = draw_case(rng, combination, shape or draw_shape(rng), dtype)
        if all(delta.any() for delta in network.trace(case).delta.values()):
            return case


def pair(combination, dtype, seed=0, shape=SQUARE):
    case = drawn(combination, seed, dtype, shape)
    return case, network.trace(case, dtype)


def black_box(trace):
    return dataclasses.replace(trace, z=None, a=None, delta=None, losses=None)


def replaced(trace, field, layer, array):
    return dataclasses.replace(trace, **{field: getattr(trace, field) | {layer: array}})


def changed(trace, field, layer, index, change):
    """The trace with one element put through `change`."""
    array = getattr(trace, field)[layer].copy()
    array[index] = change(array[index])
    return replaced(trace, field, layer, array)


def broken_places(findings):
    return [(finding.equation, finding.layer) for finding in findings if not finding.holds]


def assert_holds(findings):
    guilty = first_break(findings)
    assert guilty is None, f"{guilty} should hold"


def assert_localised(findings, equation, layer):
    guilty = first_break(findings)
    assert guilty is not None, f"no finding breaks, but ({equation}) of layer {layer} should"
    assert (guilty.equation, guilty.layer) == (equation, layer), (
        f"is {guilty}, but should be ({equation}), layer {layer}"
    )
    return guilty


# --- honest traces


@dtypes
@pytest.mark.parametrize("combination", COMBINATIONS, ids="-".join)
def test_honest_traces_hold(combination, dtype):
    for seed in range(5):
        case = drawn(combination, seed, dtype)
        trace = network.trace(case, dtype)
        assert_holds(audit(case, trace))
        assert_holds(audit_composed(case, trace))
        assert_holds(audit(case, black_box(trace)))
        assert_holds(audit(case, dataclasses.replace(trace, losses=None)))


@dtypes
@pytest.mark.parametrize("shape", [Shape((1, 1), 1), Shape((3, 1), 1), Shape((1, 3, 1), 2), Shape((2,) * 9, 3)])
@combinations
def test_honest_traces_hold_at_any_depth_and_width(combination, shape, dtype):
    case = draw_case(np.random.default_rng(4), combination, shape, dtype)
    trace = network.trace(case, dtype)
    assert_holds(audit(case, trace))
    assert_holds(audit_composed(case, trace))


@combinations
def test_findings_come_in_the_order_of_the_computation(combination):
    case, trace = pair(combination, "float32")
    places = [(finding.equation, finding.layer) for finding in audit(case, trace)]
    assert places == [
        *[(equation, l) for l in (1, 2, 3) for equation in ("z", "a")],
        *[("8", 3), ("1", 3), ("9", 3), ("14", 2), ("14", 1)],
        *[(equation, l) for l in (3, 2, 1) for equation in ("7a", "7b")],
    ]
    composed = [(finding.equation, finding.layer) for finding in audit_composed(case, trace)]
    assert composed == [("12", 2), ("12", 3), ("10a", 3), ("10b", 3)]
    end_to_end = [(finding.equation, finding.layer) for finding in audit(case, black_box(trace))]
    assert end_to_end == [("1", 3), *[(equation, l) for l in (3, 2, 1) for equation in ("5a", "5b")]]
    assert {equation for equation, _ in places + composed + end_to_end} <= set(EQUATIONS)


@combinations
def test_every_number_of_a_trace_is_compared_once(combination):
    case, trace = pair(combination, "float32", shape=Shape((3, 5, 2, 4), 6))
    elements = {(finding.equation, finding.layer): finding.elements for finding in audit(case, trace)}
    for l, (units, inputs) in enumerate([(5, 3), (2, 5), (4, 2)], start=1):
        assert (elements["z", l], elements["a", l]) == (6 * units, 6 * units)
        assert (elements["7a", l], elements["7b", l]) == (units * inputs, units)
        assert elements["9" if l == 3 else "14", l] == 6 * units
    assert (elements["8", 3], elements["1", 3]) == (6, 1)


@pytest.mark.parametrize("missing", ["z", "a", "delta"])
def test_a_trace_without_one_of_its_quantities_is_audited_end_to_end(missing):
    case, trace = pair(TANH, "float32")
    findings = audit(case, dataclasses.replace(trace, **{missing: None}))
    assert {finding.equation for finding in findings} == {"1", "5a", "5b"}


# --- another honest engine: sums in another order, functions by another formula


def backwards(W, b, a_prev):
    """z from the last input to the first, the bias first of all."""
    z = np.broadcast_to(b, (len(a_prev), len(b)))
    for f in reversed(range(W.shape[1])):
        z = z + a_prev[:, f : f + 1] * W[:, f]
    return z


def mean_of_outer_products(delta, a_prev):
    share = delta.dtype.type(1 / len(delta))
    return sum((share * delta[i])[:, np.newaxis] * a_prev[i] for i in reversed(range(len(delta))))


OTHER_SUMS = {
    "total_input": backwards,
    "eq_1": lambda losses: sum(losses[::-1]) / losses.dtype.type(len(losses)),
    "eq_7a": mean_of_outer_products,
    "eq_7b": lambda delta: sum(delta[::-1] * delta.dtype.type(1 / len(delta))),
    "eq_8": lambda terms: sum(terms.T[::-1]),
    "eq_14": lambda df, delta, W: sum(df * delta[:, t : t + 1] * W[t] for t in reversed(range(len(W)))),
}


def outer_jacobian(z):
    a = ACTIVATIONS["softmax"].value(z)
    return np.eye(z.shape[1], dtype=z.dtype) * a[:, np.newaxis, :] - a[:, :, np.newaxis] * a[:, np.newaxis, :]


OTHER_FORMULAS = {
    "sigmoid": {"derivative": lambda z: expit(z) * (1 - expit(z))},
    "tanh": {"derivative": lambda z: 1 - np.tanh(z) * np.tanh(z)},
    "softplus": {"value": lambda z: np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))},
    "silu": {"derivative": lambda z: expit(z) + z * expit(z) * (1 - expit(z))},
    "gelu": {"value": lambda z: z / 2 * (1 + erf(z / np.sqrt(np.array(2, z.dtype))))},
    "softmax": {"derivative": outer_jacobian},
}


def traced_otherwise(case, dtype, monkeypatch):
    with monkeypatch.context() as patch:
        for equation, other in OTHER_SUMS.items():
            patch.setattr(eq, equation, other)
        for name, other in OTHER_FORMULAS.items():
            patch.setitem(ACTIVATIONS, name, dataclasses.replace(ACTIVATIONS[name], **other))
        return network.trace(case, dtype)


@dtypes
@pytest.mark.parametrize("combination", COMBINATIONS, ids="-".join)
def test_another_honest_engine_holds(combination, dtype, monkeypatch):
    """In float64 too its numbers are not the reference's own, so that something is compared."""
    for seed in range(3):
        case = drawn(combination, seed, dtype)
        trace = traced_otherwise(case, dtype, monkeypatch)
        findings = audit(case, trace)
        assert_holds(findings)
        assert_holds(audit_composed(case, trace))
        assert_holds(audit(case, black_box(trace)))
        assert max(finding.ratio for finding in findings) > 0.01


# --- compare


def ratio_of(observed, expected, allowed=1.0):
    return compare("z", 1, np.array(observed), np.array(expected), np.array(allowed))


def test_compare_gives_the_worst_element():
    finding = compare(
        "z", 2, np.array([[1.0, 2.0], [3.0, 7.0]]), np.array([[1.0, 1.0], [3.0, 4.0]]), np.array([4.0, 6.0])
    )
    assert (finding.ratio, finding.elements, finding.holds) == (0.5, 4, True)
    worst = finding.worst
    assert (worst.index, worst.observed, worst.expected, worst.allowed) == ((1, 1), 7.0, 4.0, 6.0)


@pytest.mark.parametrize(
    ("distance", "holds"), [(0.0, True), (1.0, True), (1 + 1e-15, False), (-1.0, True), (-1.5, False)]
)
def test_a_ratio_of_1_is_the_last_that_holds(distance, holds):
    assert ratio_of([distance, 0.0], [0.0, 0.0]).holds is holds


@pytest.mark.parametrize(
    ("observed", "expected", "allowed"),
    [
        ([np.nan], [0.0], [1.0]),
        ([0.0, np.nan], [0.0, 0.0], [1.0, 1.0]),
        ([np.nan], [np.nan], [1.0]),
        ([0.0], [np.nan], [1.0]),
        ([0.0], [0.5], [np.nan]),
        ([np.nan], [0.0], [np.inf]),
        ([np.nan, np.inf], [0.0, np.inf], [1.0, 1.0]),
        ([np.inf], [np.inf * 0], [1.0]),
        ([np.inf], [0.0], [1.0]),
        ([0.0], [np.inf], [1.0]),
        ([np.inf], [-np.inf], [1.0]),
        ([-np.inf, 0.0], [np.inf, 0.0], [np.inf, 1.0]),
        ([np.inf], [0.0], [np.inf]),
        ([1e308], [-1e308], [1.0]),
        ([1.0], [1.0 + 1e-15], [0.0]),
    ],
)
def test_what_never_holds(observed, expected, allowed):
    finding = ratio_of(observed, expected, allowed)
    assert not finding.holds, f"{finding} should not hold"
    assert not finding.ratio <= 1


@pytest.mark.parametrize(
    ("observed", "expected", "allowed"),
    [
        ([np.inf], [np.inf], [1.0]),
        ([-np.inf, 1.0], [-np.inf, 1.0], [np.inf, 0.5]),
        ([np.inf], [np.inf], [np.nan]),
        ([1.0], [1.0], [0.0]),
        ([0.0], [-0.0], [0.0]),
    ],
)
def test_equal_numbers_differ_by_nothing(observed, expected, allowed):
    finding = ratio_of(observed, expected, allowed)
    assert (finding.ratio, finding.holds) == (0.0, True)


def test_zero_elements_never_hold():
    finding = ratio_of(np.zeros((0, 3)), np.zeros((0, 3)))
    assert (finding.elements, finding.holds, finding.worst) == (0, False, None)


@pytest.mark.parametrize(
    ("elements", "ratio", "holds"), [(1, 1.0, True), (0, 0.0, False), (1, np.nan, False), (1, 2.0, False)]
)
def test_a_finding_holds_by_its_ratio_and_its_elements(elements, ratio, holds):
    assert Finding("z", 1, ratio, elements, None).holds is holds


def test_compare_refuses_another_shape():
    with pytest.raises(MalformedTrace, match=r"equation \(7a\), layer 2: shape is \(2, 3\), but should be \(3, 2\)"):
        compare("7a", 2, np.zeros((2, 3)), np.zeros((3, 2)), np.array(1.0))


def test_a_nan_is_found_where_it_is():
    finding = ratio_of([[0.0, 9.0], [np.nan, 1.0]], [[0.0, 0.0], [0.0, 0.0]])
    assert finding.worst.index == (1, 0)


def test_first_break_is_the_first_that_does_not_hold():
    right, wrong, later = Finding("z", 1, 0.5, 1, None), Finding("a", 1, 2.0, 1, None), Finding("a", 2, np.nan, 1, None)
    assert first_break([right, wrong, later]) is wrong
    assert first_break([right, later, wrong]) is later
    assert first_break([right]) is None
    assert first_break([]) is None


# --- malformed traces


def without(layers, layer):
    return {l: array for l, array in layers.items() if l != layer}


MALFORMED = {
    "dW without layer 2": (lambda t: {"dW": without(t.dW, 2)}, "dW of layer 2 is missing"),
    "no db": (lambda t: {"db": None}, "db of layer 1 is missing"),
    "no dW": (lambda t: {"dW": None}, "dW of layer 1 is missing"),
    "z without layer 3": (lambda t: {"z": without(t.z, 3)}, "z of layer 3 is missing"),
    "empty delta": (lambda t: {"delta": {}}, "delta of layer 1 is missing"),
    "dW transposed": (
        lambda t: {"dW": t.dW | {1: t.dW[1].T}},
        r"dW of layer 1 has shape \(3, 5\), but should be \(5, 3\)",
    ),
    "db as a column": (
        lambda t: {"db": t.db | {2: t.db[2][:, np.newaxis]}},
        r"db of layer 2 has shape \(2, 1\), but should be \(2,\)",
    ),
    "a of one sample": (
        lambda t: {"a": t.a | {3: t.a[3][:1]}},
        r"a of layer 3 has shape \(1, 4\), but should be \(6, 4\)",
    ),
    "delta summed": (
        lambda t: {"delta": t.delta | {2: t.delta[2].sum(axis=0)}},
        r"delta of layer 2 has shape \(2,\), but should be \(6, 2\)",
    ),
    "no loss": (lambda t: {"loss": None}, "the loss is missing"),
    "a loss for each sample": (lambda t: {"loss": t.losses}, r"loss has shape \(6,\), but should be \(\)"),
    "losses of components": (
        lambda t: {"losses": t.a[3]},
        r"losses has shape \(6, 4\), but should be \(6,\)",
    ),
}


@pytest.mark.parametrize("check", [audit, audit_composed])
@pytest.mark.parametrize("fault", MALFORMED)
def test_a_malformed_trace_is_refused(fault, check):
    case, trace = pair(TANH, "float32", shape=Shape((3, 5, 2, 4), 6))
    change, message = MALFORMED[fault]
    with pytest.raises(MalformedTrace, match=message):
        check(case, dataclasses.replace(trace, **change(trace)))


def test_a_malformed_black_box_is_refused():
    case, trace = pair(TANH, "float32")
    with pytest.raises(MalformedTrace, match="dW of layer 3 is missing"):
        audit(case, dataclasses.replace(black_box(trace), dW=without(trace.dW, 3)))


# --- faults in one number


@dtypes
@combinations
@pytest.mark.parametrize("layer", [1, 2, 3])
def test_one_wrong_number_is_caught_in_its_equation(combination, layer, dtype):
    """Each field in turn, one element off by a thousandth of the largest, at one place."""
    case, trace = pair(combination, dtype)
    for field, equation in (
        ("z", "z"),
        ("a", "a"),
        ("delta", "9" if layer == 3 else "14"),
        ("dW", "7a"),
        ("db", "7b"),
    ):
        array = getattr(trace, field)[layer]
        index = np.unravel_index(np.argmax(np.abs(array)), array.shape)
        wrong = changed(trace, field, layer, index, lambda number: number * 1.001)
        guilty = assert_localised(audit(case, wrong), equation, layer)
        assert guilty.worst.index == tuple(index)
        assert guilty.worst.observed == getattr(wrong, field)[layer][index]


@dtypes
@combinations
def test_a_wrong_loss_is_caught_in_its_equation(combination, dtype):
    case, trace = pair(combination, dtype)
    assert_localised(audit(case, dataclasses.replace(trace, loss=trace.loss * 1.001)), "1", 3)
    losses = trace.losses.copy()
    losses[2] += 0.001 * losses.max()
    guilty = assert_localised(audit(case, dataclasses.replace(trace, losses=losses)), "8", 3)
    assert guilty.worst.index == (2,)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("layer", [1, 2, 3])
@pytest.mark.parametrize("field", ["z", "a", "delta", "dW", "db"])
@combinations
def test_a_number_that_is_none_is_caught_in_its_equation(combination, field, layer, bad):
    case, trace = pair(combination, "float32")
    index = (1,) * getattr(trace, field)[layer].ndim
    equation = {"dW": "7a", "db": "7b", "delta": "9" if layer == 3 else "14"}.get(field, field)
    wrong = changed(trace, field, layer, index, lambda number: bad)
    with np.errstate(all="ignore"):
        guilty = assert_localised(audit(case, wrong), equation, layer)
    assert guilty.worst.index == index


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("field", ["z", "a", "delta"])
@combinations
def test_a_number_that_is_none_gives_findings_and_no_warning(combination, field, bad):
    """Whatever it meets on its way through the other equations: a warning is an error here."""
    case, trace = pair(combination, "float32")
    for layer in case.layers:
        wrong = changed(trace, field, layer, (1, 1), lambda number: bad)
        assert broken_places(audit(case, wrong))
        audit_composed(case, wrong)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_loss_that_is_no_number_is_caught(bad):
    case, trace = pair(TANH, "float32")
    assert_localised(audit(case, dataclasses.replace(trace, loss=bad)), "1", 3)
    assert_localised(audit(case, dataclasses.replace(black_box(trace), loss=bad)), "1", 3)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("field", "equation"), [("dW", "5a"), ("db", "5b")])
def test_a_black_box_with_a_gradient_that_is_no_number_is_caught(field, equation, bad):
    case, trace = pair(TANH, "float32")
    index = (0,) * getattr(trace, field)[2].ndim
    assert_localised(audit(case, black_box(changed(trace, field, 2, index, lambda number: bad))), equation, 2)


@pytest.mark.parametrize(("dtype", "off"), [("float32", 1e-5), ("float64", 1e-13)])
@pytest.mark.parametrize("layer", [1, 2, 3])
@combinations
def test_a_gradient_off_in_its_last_digits_is_caught(combination, layer, dtype, off):
    """One element of dW, the largest: a thousand roundings of float32, a hundredth of what allclose lets through."""
    case, trace = pair(combination, dtype)
    array = trace.dW[layer]
    index = np.unravel_index(np.argmax(np.abs(array)), array.shape)
    guilty = assert_localised(
        audit(case, changed(trace, "dW", layer, index, lambda number: number * (1 + off))), "7a", layer
    )
    assert guilty.worst.index == tuple(index)


@dtypes
@combinations
def test_a_gradient_without_its_last_bit_holds(combination, dtype):
    """The audit judges rounding as rounding: moving every number by one unit in the last place is no fault."""
    case, trace = pair(combination, dtype)
    moved = {}
    for field in ("dW", "db"):
        moved[field] = {
            l: np.nextafter(array.astype(dtype), np.inf, dtype=dtype).astype(float)
            for l, array in getattr(trace, field).items()
        }
    assert_holds(audit(case, dataclasses.replace(trace, **moved)))


# --- faults in an equation: the rest of the trace is computed from what the fault gives


class Fault(NamedTuple):
    """An equation and what stands in its place, with where the audit must find it."""

    equation: str
    wrong: object
    found: tuple[str, int]
    combinations: tuple[Combination, ...] = SOME


def literal_9(dL_da, df):
    """Σ_t L'(a_t, y_t) f'(z_t) for every t, as printed."""
    if df.ndim > dL_da.ndim:
        df = np.einsum("itt->it", df)
    return np.broadcast_to((dL_da * df).sum(axis=1, keepdims=True), dL_da.shape)


ON_ACTIVATIONS = tuple(c for c in SOME if not LOSSES[c.loss].on_logits)
CURVED = tuple(c for c in SOME if c.hidden != "relu")

FAULTS = {
    "(1) without 1/N": Fault("eq_1", np.sum, ("1", 3)),
    "(7a) without 1/N": Fault("eq_7a", lambda delta, a: delta.T @ a, ("7a", 3)),
    "(7a) transposed": Fault("eq_7a", lambda delta, a: (delta.T @ a / len(delta)).T, ("7a", 3)),
    "(7b) without 1/N": Fault("eq_7b", lambda delta: delta.sum(axis=0), ("7b", 3)),
    "(8) as a mean": Fault("eq_8", lambda terms: terms.mean(axis=1), ("8", 3)),
    "(9) read literally": Fault("eq_9", literal_9, ("9", 3), ON_ACTIVATIONS),
    "(9) without f'": Fault("eq_9", lambda dL_da, df: dL_da, ("9", 3), (TANH, SOFTMAX, SQUARED)),
    "(9) with 1/N": Fault("eq_9", lambda dL_da, df: eq_9(dL_da, df) / len(dL_da), ("9", 3), ON_ACTIVATIONS),
    "(14) read literally": Fault("eq_14", lambda df, delta, W: df * (delta @ W.T), ("14", 2)),
    "(14) without f'": Fault("eq_14", lambda df, delta, W: delta @ W, ("14", 2)),
    "(14) with the wrong sign": Fault("eq_14", lambda df, delta, W: -df * (delta @ W), ("14", 2)),
    "(14) with f' before the sum": Fault("eq_14", lambda df, delta, W: (df * delta) @ W, ("14", 2)),
    "z without its bias": Fault("total_input", lambda W, b, a: a @ W.T, ("z", 1)),
    "z with its weight transposed": Fault("total_input", lambda W, b, a: a @ W + b, ("z", 1)),
    "z with the bias subtracted": Fault("total_input", lambda W, b, a: a @ W.T - b, ("z", 1)),
}
eq_9 = eq.eq_9


@dtypes
@pytest.mark.parametrize(
    ("fault", "combination"),
    [pytest.param(name, c, id=f"{name}-{'-'.join(c)}") for name, fault in FAULTS.items() for c in fault.combinations],
)
def test_a_fault_in_an_equation_is_caught_and_is_the_only_one(fault, combination, dtype, monkeypatch):
    """No later finding breaks: each is judged on the trace's own operands."""
    case = drawn(combination, 0, dtype, SQUARE)
    equation, wrong, place, _ = FAULTS[fault]
    assert_holds(audit(case, network.trace(case, dtype)))
    with monkeypatch.context() as patch:
        patch.setattr(eq, equation, wrong)
        trace = network.trace(case, dtype)
    findings = audit(case, trace)
    assert_localised(findings, *place)
    assert {name for name, _ in broken_places(findings)} == {place[0]} | ({"1"} if place[0] == "8" else set())


@pytest.mark.parametrize("fault", [name for name, fault in FAULTS.items() if fault.found[0] not in ("8",)])
def test_a_fault_in_an_equation_is_caught_in_a_black_box(fault, monkeypatch):
    combination = FAULTS[fault].combinations[0]
    case = drawn(combination, 0, "float32", SQUARE)
    with monkeypatch.context() as patch:
        patch.setattr(eq, *FAULTS[fault][:2])
        trace = network.trace(case, "float32")
    assert first_break(audit(case, black_box(trace))) is not None


def test_a_fault_in_one_layer_names_the_layer(monkeypatch):
    """f' is forgotten in layer 1 only."""
    case, honest = pair(TANH, "float32")
    df = ACTIVATIONS["tanh"].derivative(honest.z[1])
    delta = replaced(honest, "delta", 1, honest.delta[1] / df).delta
    dW, db = {**honest.dW, 1: eq.eq_7a(delta[1], case.x)}, {**honest.db, 1: eq.eq_7b(delta[1])}
    findings = audit(case, dataclasses.replace(honest, delta=delta, dW=dW, db=db))
    assert broken_places(findings) == [("14", 1)]


def test_a_wrong_activation_is_caught(monkeypatch):
    """tanh where the Case says sigmoid."""
    case = drawn(TANH, 0, "float32", SQUARE)
    other = dataclasses.replace(case, output="tanh", loss="half_squared_error")
    trace = network.trace(other, "float32")
    findings = audit(dataclasses.replace(case, loss="half_squared_error"), trace)
    assert_localised(findings, "a", 3)


def test_a_trace_of_other_weights_is_caught():
    case, trace = pair(TANH, "float32")
    other = case.with_parameters({**case.W, 2: case.W[2].T}, case.b)
    assert_localised(audit(other, trace), "z", 2)


def test_a_trace_of_another_batch_is_caught():
    case, trace = pair(TANH, "float32")
    assert_localised(audit(case.on_batch(case.x[::-1], case.y[::-1]), trace), "z", 1)
    assert_localised(audit(case.on_batch(case.x, case.y[::-1]), trace), "8", 3)


def test_a_float32_trace_does_not_pass_for_float64():
    case = drawn(TANH, 0, "float32", SQUARE)
    trace = network.trace(case, "float32")
    finer = dataclasses.replace(case, dtype="float64")
    assert_holds(audit(finer, network.trace(finer)))
    assert_localised(audit(finer, trace), "z", 1)


# --- composed equations


@dtypes
@combinations
def test_faults_in_the_composed_equations_are_caught(combination, dtype):
    case, trace = pair(combination, dtype)
    index = np.unravel_index(np.argmax(np.abs(trace.z[2])), trace.z[2].shape)
    wrong = changed(trace, "z", 2, index, lambda number: number * 1.001)
    assert ("12", 2) in broken_places(audit_composed(case, wrong))
    assert_localised(audit_composed(case, wrong), "12", 2)
    index = np.unravel_index(np.argmax(np.abs(trace.dW[3])), trace.dW[3].shape)
    assert_localised(audit_composed(case, changed(trace, "dW", 3, index, lambda number: number * 1.001)), "10a", 3)
    index = np.argmax(np.abs(trace.db[3]))
    assert_localised(audit_composed(case, changed(trace, "db", 3, index, lambda number: number * 1.001)), "10b", 3)


def test_the_literal_12_and_10_are_caught():
    case, trace = pair(TANH, "float32")
    literal = eq.eq_12(case.W[2].T, case.b[2], np.tanh, trace.z[1])
    assert_localised(audit_composed(case, replaced(trace, "z", 2, literal)), "12", 2)
    last = case.last
    summed = literal_9(
        LOSSES[case.loss].derivative(trace.a[last], case.y), ACTIVATIONS["sigmoid"].derivative(trace.z[last])
    )
    wrong = replaced(replaced(trace, "dW", last, eq.eq_7a(summed, trace.a[2])), "db", last, eq.eq_7b(summed))
    assert broken_places(audit_composed(case, wrong)) == [("10a", 3), ("10b", 3)]


def test_the_bias_of_the_wrong_layer_is_caught():
    """The slip in (12): b_t^l for b_t^{l+1}."""
    case, trace = pair(TANH, "float32")
    literal = eq.eq_12(case.W[2], case.b[1], np.tanh, trace.z[1])
    assert_localised(audit_composed(case, replaced(trace, "z", 2, literal)), "12", 2)


# --- updates

ETA = 0.1


def stepped(case, trace, dtype, eta_W=ETA, eta_b=ETA):
    """(2a) and (2b) in the format, as an engine would."""

    def step(old, gradient, eta):
        return (old.astype(dtype) - np.dtype(dtype).type(eta) * gradient.astype(dtype)).astype(float)

    W = {l: step(case.W[l], trace.dW[l], eta_W) for l in case.layers}
    b = {l: step(case.b[l], trace.db[l], eta_b) for l in case.layers}
    return W, b


@dtypes
@pytest.mark.parametrize("combination", COMBINATIONS[::3], ids="-".join)
def test_honest_updates_hold(combination, dtype):
    for seed in range(3):
        case, trace = pair(combination, dtype, seed)
        findings = audit_update(case, trace, *stepped(case, trace, dtype), ETA)
        assert_holds(findings)
        assert [(f.equation, f.layer) for f in findings] == [(e, l) for l in (1, 2, 3) for e in ("2a", "2b")]


@dtypes
@pytest.mark.parametrize("factor", [-1, 2, 0, 1.001], ids=["wrong sign", "doubled", "none", "a thousandth more"])
@combinations
def test_wrong_updates_are_caught(combination, factor, dtype):
    case, trace = pair(combination, dtype)
    wrong_W, wrong_b = stepped(case, trace, dtype, factor * ETA, factor * ETA)
    W, b = stepped(case, trace, dtype)
    assert broken_places(audit_update(case, trace, wrong_W, b, ETA)) == [("2a", l) for l in (1, 2, 3)]
    assert broken_places(audit_update(case, trace, W, wrong_b, ETA)) == [("2b", l) for l in (1, 2, 3)]
    assert_localised(audit_update(case, trace, W | {2: wrong_W[2]}, b, ETA), "2a", 2)


def test_an_update_with_a_nan_is_caught_and_one_of_another_shape_refused():
    case, trace = pair(TANH, "float32")
    W, b = stepped(case, trace, "float32")
    assert_localised(audit_update(case, trace, W, b | {2: b[2] * np.nan}, ETA), "2b", 2)
    with pytest.raises(MalformedTrace, match=r"equation \(2b\), layer 1: shape is \(4, 4\), but should be \(4,\)"):
        audit_update(case, trace, W, b | {1: W[1]}, ETA)


# --- one layer's Jacobian: (6a), (6b), (13)


def vjp(case, trace, layer, cotangent, dtype):
    """The cotangent taken back through one layer, by plain sums in the format."""
    z_prev = (trace.z[layer - 1] if layer > 1 else case.x).astype(dtype)
    f = ACTIVATIONS[case.activation(layer - 1)]
    c, W, a = cotangent.astype(dtype), case.W[layer].astype(dtype), f.value(z_prev)
    dW = np.stack([sum(c[i, t] * a[i] for i in range(case.samples)) for t in range(len(W))])
    db = sum(c[i] for i in range(case.samples))
    dz = f.derivative(z_prev) * sum(c[:, t : t + 1] * W[t] for t in range(len(W)))
    return tuple(array.astype(float) for array in (dW, db, dz))


def cotangent_of(case, layer, dtype):
    shape = (case.samples, case.widths[layer])
    return np.random.default_rng(layer).normal(size=shape).astype(dtype).astype(float)


@dtypes
@pytest.mark.parametrize("layer", [1, 2, 3])
@pytest.mark.parametrize("combination", COMBINATIONS[::4], ids="-".join)
def test_honest_jacobians_hold(combination, layer, dtype):
    for shape in (SQUARE, Shape((3, 5, 2, 4), 6)):
        case, trace = pair(combination, dtype, shape=shape)
        cotangent = cotangent_of(case, layer, dtype)
        findings = audit_jacobian(case, trace, layer, cotangent, vjp(case, trace, layer, cotangent, dtype))
        assert_holds(findings)
        expected = [("6a", layer), ("6b", layer), ("13", layer - 1)][: 2 + (layer > 1)]
        assert [(finding.equation, finding.layer) for finding in findings] == expected


@dtypes
@pytest.mark.parametrize("layer", [2, 3])
@combinations
def test_wrong_jacobians_are_caught(combination, layer, dtype):
    case, trace = pair(combination, dtype)
    cotangent = cotangent_of(case, layer, dtype)
    dW, db, dz = vjp(case, trace, layer, cotangent, dtype)
    W = case.W[layer]
    df = ACTIVATIONS[case.hidden].derivative(trace.z[layer - 1])

    def found(*gradients):
        return broken_places(audit_jacobian(case, trace, layer, cotangent, gradients))

    assert found(dW, db, dz) == []
    assert found(dW.T, db, dz) == [("6a", layer)]
    assert found(dW / case.samples, db, dz) == [("6a", layer)]
    assert found(dW, db / case.samples, dz) == [("6b", layer)]
    assert found(dW, 0 * db, dz) == [("6b", layer)]
    assert found(dW, db, df * (cotangent @ W.T)) == [("13", layer - 1)]
    assert found(dW, db, cotangent @ W) == [("13", layer - 1)]
    assert found(dW, db, dz * np.nan) == [("13", layer - 1)]
    assert found(dW * 1.001, db * 1.001, dz * 1.001) == [("6a", layer), ("6b", layer), ("13", layer - 1)]


LAST_DIGITS = pytest.mark.parametrize(("dtype", "off"), [("float32", 2e-5), ("float64", 2e-13)])


def largest_off(array, off):
    """The array with its largest element off by that share."""
    index = np.unravel_index(np.argmax(np.abs(array)), array.shape)
    wrong = array.copy()
    wrong[index] *= 1 + off
    return wrong


@LAST_DIGITS
@pytest.mark.parametrize("layer", [2, 3])
@combinations
def test_a_jacobian_off_in_its_last_digits_is_caught(combination, layer, dtype, off):
    case, trace = pair(combination, dtype)
    cotangent = cotangent_of(case, layer, dtype)
    dW, db, dz = vjp(case, trace, layer, cotangent, dtype)
    wrong = largest_off(dW, off), largest_off(db, off), largest_off(dz, off)
    findings = audit_jacobian(case, trace, layer, cotangent, wrong)
    assert broken_places(findings) == [("6a", layer), ("6b", layer), ("13", layer - 1)]


@LAST_DIGITS
@combinations
def test_a_composed_equation_off_in_its_last_digits_is_caught(combination, dtype, off):
    case, trace = pair(combination, dtype)
    for field, layer, equation in (("z", 2, "12"), ("dW", 3, "10a"), ("db", 3, "10b")):
        wrong = replaced(trace, field, layer, largest_off(getattr(trace, field)[layer], off))
        assert_localised(audit_composed(case, wrong), equation, layer)


# --- the chain, (11)


@dtypes
@pytest.mark.parametrize("layer", [1, 2])
@pytest.mark.parametrize("combination", COMBINATIONS[::4], ids="-".join)
def test_an_honest_chain_holds_and_a_wrong_one_is_caught(combination, layer, dtype):
    case, trace = pair(combination, dtype)
    _, _, transported = vjp(case, trace, layer + 1, trace.delta[layer + 1], dtype)

    def findings(of):
        return audit_chain(case, trace, layer, of)

    assert_holds(findings(transported))
    W, delta = case.W[layer + 1], trace.delta[layer + 1]
    df = ACTIVATIONS[case.hidden].derivative(trace.z[layer])
    assert_localised(findings(df * (delta @ W.T)), "11", layer)
    assert_localised(findings(transported / case.samples), "11", layer)
    assert_localised(findings(transported * 1.001), "11", layer)
    assert_localised(findings(transported * np.nan), "11", layer)
    if case.hidden != "identity":
        assert_localised(findings(delta @ W), "11", layer)


# --- one pair alone, (5a) and (5b)


@dtypes
@pytest.mark.parametrize("combination", COMBINATIONS[::3], ids="-".join)
def test_one_pair_alone_holds(combination, dtype):
    case, trace = pair(combination, dtype)
    for sample in range(case.samples):
        rows = slice(sample, sample + 1)
        alone = network.trace(case.on_batch(case.x[rows], case.y[rows]), dtype)
        findings = audit_partial(case, trace, sample, alone)
        assert_holds(findings)
        assert [(f.equation, f.layer) for f in findings] == [(e, l) for l in (1, 2, 3) for e in ("5a", "5b")]


@dtypes
@combinations
def test_a_wrong_pair_alone_is_caught(combination, dtype):
    case, trace = pair(combination, dtype)
    sample = int(np.argmax(np.abs(trace.delta[1]).max(axis=1)))
    rows = slice(sample, sample + 1)
    alone = network.trace(case.on_batch(case.x[rows], case.y[rows]), dtype)

    def found(of, by=trace):
        return broken_places(audit_partial(case, by, sample, of))

    assert found(alone) == []
    another = (sample + 1) % case.samples
    assert found(network.trace(case.on_batch(case.x[[another]], case.y[[another]]), dtype)) != []
    assert found(dataclasses.replace(alone, dW={l: 1.01 * dW for l, dW in alone.dW.items()})) == [
        ("5a", l) for l in (1, 2, 3)
    ]
    assert found(dataclasses.replace(alone, db={l: 1.01 * db for l, db in alone.db.items()})) == [
        ("5b", l) for l in (1, 2, 3)
    ]
    averaged = {l: delta / case.samples for l, delta in trace.delta.items()}
    assert len(found(alone, dataclasses.replace(trace, delta=averaged))) == 6
    assert ("5b", 2) in found(dataclasses.replace(alone, db=alone.db | {2: alone.db[2] * np.nan}))


# --- kinks


def at_the_kink(derivative, output="identity"):
    """A network of ReLU whose unit 0 has z = 0 in hidden layer 1, traced with `derivative` there.

    With output "relu", unit 0 of the output layer has z = 0 too, and takes the same derivative.
    """
    W = {1: np.array([[1.0, -1.0], [1.0, 1.0]]), 2: np.array([[2.0, 0.0], [1.0, 3.0]])}
    b = {1: np.array([0.0, 0.5]), 2: np.array([0.0, 1.0])}
    x, y = np.array([[2.0, 2.0], [3.0, 3.0]]), np.array([[1.0, -1.0], [2.0, 0.5]])
    case = Case("relu", output, "half_squared_error", "float32", W, b, x, y)
    honest = network.trace(case, "float32")
    assert not honest.z[1][:, 0].any()
    assert not honest.z[2][:, 0].any()

    def slope(z):
        return np.where(z == 0, derivative, (z > 0).astype(float))

    delta = {2: (honest.a[2] - y) * (slope(honest.z[2]) if output == "relu" else 1)}
    delta[1] = slope(honest.z[1]) * (delta[2] @ W[2])
    a = {0: x, **honest.a}
    dW = {l: eq.eq_7a(delta[l], a[l - 1]) for l in case.layers}
    db = {l: eq.eq_7b(delta[l]) for l in case.layers}
    return case, dataclasses.replace(honest, delta=delta, dW=dW, db=db)


@pytest.mark.parametrize("output", ["identity", "relu"])
@pytest.mark.parametrize("derivative", [0.0, 0.25, 0.5, 1.0])
def test_any_derivative_of_the_interval_is_admissible_at_a_kink(derivative, output):
    case, trace = at_the_kink(derivative, output)
    assert_holds(audit(case, trace))
    assert_holds(audit_composed(case, trace))
    assert_holds(audit(case, black_box(trace)))
    assert_holds(audit_chain(case, trace, 1, trace.delta[1]))
    assert_holds(audit_jacobian(case, trace, 2, trace.delta[2], kinked_vjp(case, trace)))


def kinked_vjp(case, trace):
    return trace.delta[2].T @ trace.a[1], trace.delta[2].sum(axis=0), trace.delta[1]


@pytest.mark.parametrize("derivative", [1.5, -0.5, 2.0, np.nan])
def test_no_other_derivative_is_admissible_at_a_kink(derivative):
    case, trace = at_the_kink(derivative)
    assert_localised(audit(case, trace), "14", 1)
    assert_localised(audit_jacobian(case, trace, 2, trace.delta[2], kinked_vjp(case, trace)), "13", 1)
    case, trace = at_the_kink(derivative, "relu")
    assert_localised(audit(case, trace), "9", 2)


@pytest.mark.parametrize("derivative", [1.5, 2.0, -1.5, np.nan])
def test_a_black_box_admits_at_a_kink_what_is_as_far_as_its_jump(derivative):
    """End to end the jump of f' counts in both directions, so −1 is the last that is let through, not 0."""
    case, trace = at_the_kink(derivative)
    assert first_break(audit(case, black_box(trace))) is not None
    assert_holds(audit(case, black_box(at_the_kink(-0.5)[1])))


def test_a_kink_admits_nothing_beside_it():
    """Where z is not 0 the derivative is 1: half of it is a fault."""
    case, trace = at_the_kink(0.0)
    wrong = changed(trace, "delta", 1, (0, 1), lambda number: number / 2)
    guilty = assert_localised(audit(case, wrong), "14", 1)
    assert guilty.worst.index == (0, 1)


@pytest.mark.parametrize("hidden", ["gelu", "silu", "softplus", "tanh", "sigmoid", "identity"])
def test_a_function_without_a_kink_has_one_derivative_at_0(hidden):
    W, b = {1: np.ones((2, 1)), 2: np.ones((1, 2))}, {1: np.zeros(2), 2: np.zeros(1)}
    case = Case(hidden, "identity", "half_squared_error", "float32", W, b, np.zeros((1, 1)), np.full((1, 1), 3.0))
    trace = network.trace(case, "float32")
    assert_holds(audit(case, trace))
    assert_localised(audit(case, changed(trace, "delta", 1, (0, 0), lambda number: 0.9 * number)), "14", 1)


# --- beyond what float32 can do


def test_an_infinite_loss_is_found_to_be_what_the_operands_give():
    """σ(24) is 1 in float32: the loss on its own operands is infinite, as reported."""
    W, b = {1: np.eye(1), 2: np.array([[24.0]])}, {1: np.zeros(1), 2: np.zeros(1)}
    case = Case("identity", "sigmoid", "binary_cross_entropy", "float32", W, b, np.ones((1, 1)), np.array([[0.5]]))
    trace = network.trace(case, "float32")
    assert trace.a[2].item() == 1
    assert (trace.loss, trace.delta[2].item()) == (np.inf, np.inf)
    with np.errstate(all="ignore"):
        findings = {finding.equation: finding for finding in audit(case, trace)}
        clamped = audit(case, dataclasses.replace(trace, loss=88.0))
    assert findings["1"].holds
    assert findings["8"].holds
    assert findings["9"].holds
    assert_localised(clamped, "1", 2)
