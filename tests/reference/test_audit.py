"""The audit: honest traces hold, and every planted fault is caught where it is."""

import dataclasses
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import erf, expit

from reference import activations, losses, network
from reference import equations as eq
from reference import rounding as rd
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
    local,
)
from reference.case import Case
from reference.cases import COMBINATIONS, Combination, Shape, cover, draw_case, draw_shape, once
from reference.losses import LOSSES
from reference.rounding import ACCUMULATED_IN, DTYPES, HALF, LARGEST, UNIT_ROUNDOFF, rounded
from reference.running_error import propagate
from tests.arithmetics import arithmetic
from tests.tables import over

FINE = ("float32", "float64")
"""Formats in which a thousandth is more than rounding."""

SQUARE = Shape((4, 4, 4, 4), 6)
"""Square layers, on which the note's slips run."""

TANH = Combination("tanh", "sigmoid", "binary_cross_entropy")
RELU = Combination("relu", "identity", "half_squared_error")
SOFTMAX = Combination("silu", "softmax", "categorical_cross_entropy")
FUSED = Combination("gelu", "softmax", "categorical_cross_entropy_on_logits")
SQUARED = Combination("softplus", "tanh", "half_squared_error")
LEAKY = Combination("leaky_relu", "celu", "huber")
LOGARITHMS = Combination("mish", "log_softmax", "kullback_leibler")
SOME = (TANH, RELU, SOFTMAX, FUSED, SQUARED, LEAKY, LOGARITHMS)

combinations = over("combination", SOME, ids="-".join)
spread = over("combination", once(), ids="-".join)
dtypes = over("dtype", DTYPES)
fine = over("dtype", FINE)


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


def assert_holds_altogether(case, trace, engine=None):
    assert_holds(audit(case, trace, arithmetic(engine)))
    assert_holds(audit_composed(case, trace, arithmetic(engine)))
    assert_holds(audit(case, dataclasses.replace(trace, losses=None), arithmetic(engine)))
    with np.errstate(all="ignore"):
        bounded = case.dtype not in HALF or np.isfinite(propagate(case, arithmetic(engine)).loss)
    if bounded:  # in half precision a pole may be within reach, which leaves no bound
        assert_holds(audit(case, black_box(trace), arithmetic(engine)))


@dtypes
@over("combination", cover(), ids="-".join, quick=30)
def test_honest_traces_hold(combination, dtype):
    """Every output with every loss, and every hidden activation."""
    case = drawn(combination, 0, dtype)
    assert_holds_altogether(case, network.trace(case, dtype))


@settings(max_examples=300)
@given(st.sampled_from(COMBINATIONS), st.sampled_from(DTYPES), st.integers(0, 2**32))
def test_any_honest_trace_holds(combination, dtype, seed):
    """With drawn parameters, by an engine without a name, and by NumPy held to its own accuracy."""
    rng = np.random.default_rng(seed)
    case = draw_case(rng, combination, draw_shape(rng), dtype)
    trace = network.trace(case, dtype)
    assert_holds_altogether(case, trace)
    assert_holds(audit(case, trace, arithmetic("numpy")))


@dtypes
@over("shape", [Shape((1, 1), 1), Shape((3, 1), 1), Shape((1, 3, 1), 2), Shape((2,) * 9, 3)])
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
    "logsigmoid": {"value": lambda z: np.minimum(z, 0) - np.log1p(np.exp(-np.abs(z)))},
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
@spread
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


@over("check", [audit, audit_composed])
@over("fault", MALFORMED)
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


def allowances(case, trace, engine=None):
    """(equation, layer) -> observed, expected and allowed, as the audit has them."""
    with np.errstate(all="ignore"):
        checks = list(local(case, trace, rd.rounding(case.dtype, arithmetic(engine))))
    return {
        (equation, layer): [np.broadcast_to(part, np.shape(observed)) for part in (observed, expected, allowed)]
        for equation, layer, observed, expected, allowed in checks
    }


def places(case):
    """Every field and layer of a trace, with the equation that is about it."""
    last = case.last
    for l in case.layers:
        yield from (("z", l, "z"), ("a", l, "a"), ("delta", l, "9" if l == last else "14"))
        yield from (("dW", l, "7a"), ("db", l, "7b"))
    yield from (("losses", last, "8"), ("loss", last, "1"))


def moved_to(trace, field, layer, index, number):
    if field == "loss":
        return dataclasses.replace(trace, loss=float(number))
    if field == "losses":
        array = trace.losses.copy()
        array[index] = number
        return dataclasses.replace(trace, losses=array)
    return changed(trace, field, layer, index, lambda _: number)


@dtypes
@over("combination", SOME, ids="-".join, quick=3)
def test_a_number_a_few_allowances_off_is_caught_and_one_within_is_not(combination, dtype):
    """Of every field in every layer, the element that is allowed most, and the one that is allowed least."""
    case, trace = pair(combination, dtype, shape=Shape((3, 5, 2, 4), 6))
    for engine in (None, "numpy"):
        found = allowances(case, trace, engine)
        for field, layer, equation in places(case):
            observed, expected, allowed = found[equation, layer]
            for flat in {int(np.argmax(allowed)), int(np.argmin(allowed))}:
                index = tuple(int(i) for i in np.unravel_index(flat, allowed.shape))
                at = expected[index]
                off = max(3 * allowed[index], 3 * np.spacing(np.abs(at)))  # no less than float64 can add
                left = allowed[index] - abs(observed[index] - at)
                for sign in (-1, 1):
                    wrong = moved_to(trace, field, layer, index, at + sign * off)
                    guilty = assert_localised(audit(case, wrong, arithmetic(engine)), equation, layer)
                    assert guilty.worst.index == index
                    assert guilty.ratio > 2
                    right = np.nextafter(observed[index] + sign * 0.99 * left, observed[index])
                    judged = audit(case, moved_to(trace, field, layer, index, right), arithmetic(engine))
                    assert_holds([f for f in judged if (f.equation, f.layer) == (equation, layer)])


@fine
@combinations
@over("layer", [1, 2, 3])
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


@fine
@combinations
def test_a_wrong_loss_is_caught_in_its_equation(combination, dtype):
    case, trace = pair(combination, dtype)
    assert_localised(audit(case, dataclasses.replace(trace, loss=trace.loss * 1.001)), "1", 3)
    losses = trace.losses.copy()
    losses[2] += 0.001 * losses.max()
    guilty = assert_localised(audit(case, dataclasses.replace(trace, losses=losses)), "8", 3)
    assert guilty.worst.index == (2,)


@over("bad", [np.nan, np.inf, -np.inf])
@over("field", ["z", "a", "delta", "dW", "db"])
@over(("dtype", "layer"), [("float32", 1), ("float16", 2), ("bfloat16", 3)])
@combinations
def test_a_number_that_is_none_is_caught_in_its_equation(combination, field, layer, dtype, bad):
    case, trace = pair(combination, dtype)
    index = (1,) * getattr(trace, field)[layer].ndim
    equation = {"dW": "7a", "db": "7b", "delta": "9" if layer == 3 else "14"}.get(field, field)
    wrong = changed(trace, field, layer, index, lambda number: bad)
    with np.errstate(all="ignore"):
        guilty = assert_localised(audit(case, wrong), equation, layer)
    assert guilty.worst.index == index


@over("bad", [np.nan, np.inf, -np.inf])
@over("field", ["z", "a", "delta"])
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


@over(("dtype", "off"), [("float32", 1e-5), ("float64", 1e-13)])
@over("layer", [1, 2, 3])
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
    """The audit judges rounding as rounding: moving every number by one unit in the last place is not a fault."""
    case, trace = pair(combination, dtype)
    u = UNIT_ROUNDOFF[dtype]
    moved = {
        field: {l: rounded(array * (1 + 1.01 * u), dtype) for l, array in getattr(trace, field).items()}
        for field in ("dW", "db")
    }
    assert any((moved["dW"][l] != trace.dW[l]).any() for l in case.layers)
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
@over(
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


def test_a_fault_in_one_layer_names_the_layer():
    """f' is forgotten in layer 1 only."""
    case, honest = pair(TANH, "float32")
    df = ACTIVATIONS["tanh"].derivative(honest.z[1])
    delta = replaced(honest, "delta", 1, honest.delta[1] / df).delta
    dW, db = {**honest.dW, 1: eq.eq_7a(delta[1], case.x)}, {**honest.db, 1: eq.eq_7b(delta[1])}
    findings = audit(case, dataclasses.replace(honest, delta=delta, dW=dW, db=db))
    assert broken_places(findings) == [("14", 1)]


# --- faults in a function: what is traced is another Case


@dtypes
def test_a_wrong_activation_is_caught(dtype):
    """tanh where the Case says sigmoid."""
    case = drawn(TANH, 0, dtype, SQUARE)
    other = dataclasses.replace(case, output="tanh", loss="half_squared_error")
    trace = network.trace(other, dtype)
    findings = audit(dataclasses.replace(case, loss="half_squared_error"), trace)
    assert_localised(findings, "a", 3)


SOFT = Combination("tanh", "softmax", "smoothed_cross_entropy_on_logits")


def family_cases():
    """(role, combination) for every function with parameters; huber and smooth_l1 are given a delta that is met."""
    for name in activations.FAMILIES:
        yield "hidden", Combination(name, "identity", "half_squared_error")
        yield "output", Combination("tanh", name, "half_squared_error")
    for name in losses.FAMILIES:
        yield "loss", Combination("tanh", "softmax" if LOSSES[name].outputs else "identity", name)


@dtypes
@over("factor", [None, 1.5])
@over(("role", "combination"), list(family_cases()))
def test_a_wrong_parameter_is_caught_in_its_function(role, combination, factor, dtype):
    """The usual one in place of the Case's own, or one and a half times it: in a, or in the loss."""
    usual = drawn(combination, 0, dtype, SQUARE)
    usual = dataclasses.replace(usual, parameters={})
    own = {name: 2 * value for name, value in usual.parameters_of(role).items()}
    case = dataclasses.replace(usual, parameters={role: own})
    wrong = {} if factor is None else {role: {name: factor * value for name, value in own.items()}}
    found = {"hidden": {("a", 1)}, "output": {("a", 3)}, "loss": {("8", 3)}}[role]
    if dtype == "bfloat16" and role == "loss":  # where residuals are small, the loss itself may be the same
        found = found | {("9", 3)}
    assert_holds(audit(case, network.trace(case, dtype)))
    guilty = first_break(audit(case, network.trace(dataclasses.replace(case, parameters=wrong), dtype)))
    assert guilty is not None
    assert (guilty.equation, guilty.layer) in found


@dtypes
@over("name", ["leaky_relu", "elu", "celu", "softplus"])
def test_a_wrong_parameter_in_the_derivative_alone_is_caught_there(name, dtype):
    case = drawn(Combination(name, "identity", "half_squared_error"), 0, dtype, SQUARE)
    trace = network.trace(case, dtype)
    ((parameter, value),) = case.parameters_of("hidden").items()
    other = activations.activation(name, {parameter: 2 * value})
    findings = audit(case, backward_by(case, trace, dtype, {1: other.derivative(trace.z[1])}))
    assert broken_places(findings) == [("14", 1)]


def backward_by(case, trace, dtype, slopes):
    """The trace with f' of some layers given, and what follows from it, stored in the format."""
    delta = dict(trace.delta)
    for l in reversed(range(1, case.last)):
        df = slopes[l] if l in slopes else case.activation(l).derivative(trace.z[l])
        delta[l] = rounded(eq.eq_14(df, delta[l + 1], case.W[l + 1]), dtype)
    a = {0: case.x, **trace.a}
    dW = {l: rounded(eq.eq_7a(delta[l], a[l - 1]), dtype) for l in case.layers}
    db = {l: rounded(eq.eq_7b(delta[l]), dtype) for l in case.layers}
    return dataclasses.replace(trace, delta=delta, dW=dW, db=db)


@dtypes
@over("hidden", ["tanh", "sigmoid", "silu", "mish", "gelu", "celu", "softsign"])
@over("layer", [1, 2])
def test_a_derivative_at_a_in_place_of_z_is_caught(hidden, layer, dtype):
    case = drawn(Combination(hidden, "identity", "half_squared_error"), 0, dtype, SQUARE)
    trace = network.trace(case, dtype)
    assert_holds(audit(case, backward_by(case, trace, dtype, {})))
    findings = audit(case, backward_by(case, trace, dtype, {layer: case.f_h.derivative(trace.a[layer])}))
    assert broken_places(findings) == [("14", layer)]


@fine
@pytest.mark.parametrize(("right", "wrong"), [("gelu", "gelu_tanh"), ("gelu_tanh", "gelu")])
def test_one_form_of_gelu_for_the_other_is_caught(right, wrong, dtype):
    """They differ by up to 5e-4, which float16 cannot tell."""
    case = drawn(Combination(right, "identity", "half_squared_error"), 0, dtype, SQUARE)
    assert_localised(audit(case, network.trace(dataclasses.replace(case, hidden=wrong), dtype)), "a", 1)
    case = drawn(Combination("tanh", right, "half_squared_error"), 0, dtype, SQUARE)
    assert_localised(audit(case, network.trace(dataclasses.replace(case, output=wrong), dtype)), "a", 3)


def with_loss(case, monkeypatch, dtype, **changes):
    """The trace of a Case whose loss is another."""
    wrong = dataclasses.replace(case.criterion, **changes)
    with monkeypatch.context() as patch:
        patch.setattr(losses, "loss", lambda name, parameters: wrong)
        return network.trace(case, dtype)


@dtypes
def test_a_sum_for_the_mean_of_the_squared_error_is_caught(dtype, monkeypatch):
    case = drawn(Combination("tanh", "identity", "mean_squared_error"), 0, dtype, SQUARE)
    n, right = case.widths[-1], case.criterion
    assert_holds(audit(case, with_loss(case, monkeypatch, dtype)))
    value = {"value": lambda a, y: n * right.value(a, y)}
    slope = {"derivative": lambda a, y: n * right.derivative(a, y)}
    assert_localised(audit(case, with_loss(case, monkeypatch, dtype, **value)), "8", 3)
    assert broken_places(audit(case, with_loss(case, monkeypatch, dtype, **slope))) == [("9", 3)]
    assert_localised(audit(case, with_loss(case, monkeypatch, dtype, **value, **slope)), "8", 3)
    half = dataclasses.replace(case, loss="half_squared_error")
    assert_localised(audit(case, network.trace(half, dtype)), "8", 3)


@dtypes
def test_labels_smoothed_twice_or_never_are_caught(dtype):
    case = drawn(SOFT, 0, dtype, SQUARE)
    case = dataclasses.replace(case, parameters={"loss": {"smoothing": 0.25}}, y=np.eye(4)[[0, 1, 2, 3, 0, 1]])
    assert_holds(audit(case, network.trace(case, dtype)))
    smoothed = 0.75 * case.y + 0.25 / 4
    assert np.array_equal(rounded(smoothed, dtype), smoothed)
    twice = case.on_batch(case.x, smoothed)
    never = dataclasses.replace(case, loss="categorical_cross_entropy_on_logits", parameters={})
    for wrong in (twice, never):
        trace = network.trace(wrong, dtype)
        assert_localised(audit(case, trace), "8", 3)
        honest = network.trace(case, dtype)
        assert_localised(audit(case, dataclasses.replace(trace, losses=honest.losses, loss=honest.loss)), "9", 3)


@dtypes
@over("wrong", ["half_squared_error", "huber", "log_cosh", "absolute_error", "poisson_nll"])
def test_another_loss_is_caught(wrong, dtype):
    case = drawn(Combination("tanh", "identity", "gaussian_nll"), 0, dtype, SQUARE)
    case = dataclasses.replace(case, y=np.abs(case.y), parameters={})
    assert_localised(audit(case, network.trace(dataclasses.replace(case, loss=wrong), dtype)), "8", 3)


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
def test_coarse_faults_in_the_composed_equations_are_caught(combination, dtype):
    """A half more of the largest number: in half precision (12) is allowed two layers' roundings."""
    case, trace = pair(combination, dtype)
    for field, layer, equation in (("z", 2, "12"), ("dW", 3, "10a"), ("db", 3, "10b")):
        wrong = replaced(trace, field, layer, largest_off(getattr(trace, field)[layer], 0.5))
        assert_localised(audit_composed(case, wrong), equation, layer)


@fine
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
    """(2a) and (2b) in the format, as an engine would: every result is rounded to it."""
    format = np.dtype(ACCUMULATED_IN[dtype])

    def step(old, gradient, eta):
        share = rounded(format.type(eta) * gradient.astype(format), dtype)
        return rounded(old.astype(format) - share.astype(format), dtype)

    W = {l: step(case.W[l], trace.dW[l], eta_W) for l in case.layers}
    b = {l: step(case.b[l], trace.db[l], eta_b) for l in case.layers}
    return W, b


@dtypes
@combinations
def test_honest_updates_hold(combination, dtype):
    for seed in range(3):
        case, trace = pair(combination, dtype, seed)
        findings = audit_update(case, trace, *stepped(case, trace, dtype), ETA)
        assert_holds(findings)
        assert [(f.equation, f.layer) for f in findings] == [(e, l) for l in (1, 2, 3) for e in ("2a", "2b")]


@over(
    ("factor", "dtype"),
    [*((factor, dtype) for factor in (-1, 2, 0) for dtype in DTYPES), *((1.001, dtype) for dtype in FINE)],
)
@over("combination", [c for c in SOME if c.loss != "huber"], ids="-".join)
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
    format = ACCUMULATED_IN[dtype]
    z_prev = (trace.z[layer - 1] if layer > 1 else case.x).astype(format)
    f = case.activation(layer - 1)
    c, W, a = cotangent.astype(format), case.W[layer].astype(format), rounded(f.value(z_prev), dtype).astype(format)
    dW = np.stack([sum(c[i, t] * a[i] for i in range(case.samples)) for t in range(len(W))])
    db = sum(c[i] for i in range(case.samples))
    dz = f.derivative(z_prev) * sum(c[:, t : t + 1] * W[t] for t in range(len(W)))
    return tuple(rounded(array, dtype) for array in (dW, db, dz))


def cotangent_of(case, layer, dtype):
    shape = (case.samples, case.widths[layer])
    return rounded(np.random.default_rng(layer).normal(size=shape), dtype)


@dtypes
@over("layer", [1, 2, 3])
@spread
def test_honest_jacobians_hold(combination, layer, dtype):
    for shape in (SQUARE, Shape((3, 5, 2, 4), 6)):
        case, trace = pair(combination, dtype, shape=shape)
        cotangent = cotangent_of(case, layer, dtype)
        findings = audit_jacobian(case, trace, layer, cotangent, vjp(case, trace, layer, cotangent, dtype))
        assert_holds(findings)
        expected = [("6a", layer), ("6b", layer), ("13", layer - 1)][: 2 + (layer > 1)]
        assert [(finding.equation, finding.layer) for finding in findings] == expected


@dtypes
@over("layer", [2, 3])
@combinations
def test_wrong_jacobians_are_caught(combination, layer, dtype):
    case, trace = pair(combination, dtype)
    cotangent = cotangent_of(case, layer, dtype)
    dW, db, dz = vjp(case, trace, layer, cotangent, dtype)
    W = case.W[layer]
    df = case.f_h.derivative(trace.z[layer - 1])

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
    off = 1.001 if dtype in FINE else 1.5
    assert found(dW * off, db * off, dz * off) == [("6a", layer), ("6b", layer), ("13", layer - 1)]


LAST_DIGITS = over(("dtype", "off"), [("float32", 2e-5), ("float64", 2e-13)])


def largest_off(array, off):
    """The array with its largest element off by that share."""
    index = np.unravel_index(np.argmax(np.abs(array)), array.shape)
    wrong = array.copy()
    wrong[index] *= 1 + off
    return wrong


@LAST_DIGITS
@over("layer", [2, 3])
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
@over("layer", [1, 2])
@combinations
def test_an_honest_chain_holds_and_a_wrong_one_is_caught(combination, layer, dtype):
    case, trace = pair(combination, dtype)
    _, _, transported = vjp(case, trace, layer + 1, trace.delta[layer + 1], dtype)

    def findings(of):
        return audit_chain(case, trace, layer, of)

    assert_holds(findings(transported))
    W, delta = case.W[layer + 1], trace.delta[layer + 1]
    df = case.f_h.derivative(trace.z[layer])
    assert_localised(findings(df * (delta @ W.T)), "11", layer)
    assert_localised(findings(transported / case.samples), "11", layer)
    assert_localised(findings(transported * (1.001 if dtype in FINE else 1.5)), "11", layer)
    assert_localised(findings(transported * np.nan), "11", layer)
    assert_localised(findings(delta @ W), "11", layer)


# --- one pair alone, (5a) and (5b)


@dtypes
@spread
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
    wrong = network.trace(case.on_batch(case.x[[another]], case.y[[another]]), dtype)
    # where z differs, the difference is carried on, and may leave no bound: then it is the trace alone that breaks
    assert found(wrong) or broken_places(audit(case.on_batch(case.x[rows], case.y[rows]), wrong))
    off = 1.01 if dtype in FINE else 4.0
    assert found(dataclasses.replace(alone, dW={l: off * dW for l, dW in alone.dW.items()})) == [
        ("5a", l) for l in (1, 2, 3)
    ]
    assert found(dataclasses.replace(alone, db={l: off * db for l, db in alone.db.items()})) == [
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


KINKS = [(name, kink) for name, f in ACTIVATIONS.items() for kink in f.kinks]

kinked = over(("name", "kink"), KINKS, ids=lambda part: part if isinstance(part, str) else str(part.at))


def test_functions_have_the_kinks_that_calculus_gives_them():
    assert {name for name, _ in KINKS} == {
        *("relu", "leaky_relu", "relu6", "hardtanh", "hardsigmoid", "hardswish", "softshrink", "hardshrink", "selu"),
    }
    assert ACTIVATIONS["elu"].kinks == ()
    (kink,) = activations.activation("elu", {"alpha": 2.0}).kinks
    assert (kink.at, kink.lowest, kink.highest) == (0.0, 1.0, 2.0)


def through_a_unit(name, z, dtype, layer, derivative):
    """One unit a layer, whose z in hidden layer 1, or in the output layer 2, is given; traced with that derivative."""
    names = (name, "identity") if layer == 1 else ("identity", name)
    W, b = {1: np.ones((1, 1)), 2: np.ones((1, 1))}, {1: np.zeros(1), 2: np.zeros(1)}
    case = Case(*names, "half_squared_error", dtype, W, b, np.full((1, 1), z), np.full((1, 1), -9.0))
    honest = network.trace(case, dtype)
    assert honest.z[layer].item() == z
    delta = {2: honest.a[2] - case.y}
    delta[layer] = derivative * delta[2]
    delta[1] = delta[1] if layer == 1 else delta[2]
    a = {0: case.x, **honest.a}
    dW = {l: eq.eq_7a(delta[l], a[l - 1]) for l in case.layers}
    db = {l: eq.eq_7b(delta[l]) for l in case.layers}
    return case, dataclasses.replace(honest, delta=delta, dW=dW, db=db)


def vjp_through(case, trace):
    return trace.delta[2].T @ trace.a[1], trace.delta[2].sum(axis=0), trace.delta[1]


@dtypes
@over("layer", [1, 2])
@kinked
def test_every_derivative_of_the_interval_holds_at_a_kink_and_none_outside(name, kink, layer, dtype):
    """In a hidden layer and in the output; −3 of hardswish has an interval below 0."""
    equation = "14" if layer == 1 else "9"
    for share in (0.0, 0.25, 1.0):
        inside = kink.lowest + share * (kink.highest - kink.lowest)
        case, trace = through_a_unit(name, kink.at, dtype, layer, inside)
        for engine in (None, "numpy"):
            assert_holds(audit(case, trace, arithmetic(engine)))
            assert_holds(audit_composed(case, trace, arithmetic(engine)))
        assert_holds(audit(case, black_box(trace)))
        if layer == 1:
            assert_holds(audit_chain(case, trace, 1, trace.delta[1]))
            assert_holds(audit_jacobian(case, trace, 2, trace.delta[2], vjp_through(case, trace)))
    width = kink.highest - kink.lowest
    for outside in (kink.lowest - 0.3 * width, kink.highest + 0.3 * width, np.nan):
        case, trace = through_a_unit(name, kink.at, dtype, layer, outside)
        assert_localised(audit(case, trace, arithmetic("numpy")), equation, layer)
        if layer == 1:
            found = audit_jacobian(case, trace, 2, trace.delta[2], vjp_through(case, trace), arithmetic("numpy"))
            assert_localised(found, "13", 1)


@dtypes
@over("layer", [1, 2])
@kinked
def test_beside_a_kink_one_derivative_holds(name, kink, layer, dtype):
    """But for those numbers that the function's formula rounds onto the kink: Kink.reach."""
    equation = "14" if layer == 1 else "9"
    step = 2 * UNIT_ROUNDOFF[dtype] * max(1.0, 2.0 ** np.floor(np.log2(abs(kink.at) or 1.0)))
    width = kink.highest - kink.lowest
    for steps in (-4, -2, -1, 1, 2, 4):
        z = float(rounded(np.float64(kink.at + steps * step), dtype))
        right = ACTIVATIONS[name].derivative(np.array([[z]])).item()
        assert_holds(audit(*through_a_unit(name, z, dtype, layer, right), arithmetic("numpy")))
        for other in (kink.lowest, kink.highest):
            if abs(other - right) < 0.5 * width:
                continue
            case, trace = through_a_unit(name, z, dtype, layer, other)
            findings = audit(case, trace, arithmetic("numpy"))
            if abs(z - kink.at) <= kink.reach * rd.rounding(dtype).u:
                assert_holds(findings)
                if layer == 1:
                    vjps = vjp_through(case, trace)
                    assert_holds(audit_jacobian(case, trace, 2, trace.delta[2], vjps, arithmetic("numpy")))
            else:
                assert_localised(findings, equation, layer)


@dtypes
@over("derivative", [0.5, 1.0])
@over("layer", [1, 2])
def test_a_product_with_the_derivative_at_a_kink_is_allowed_its_rounding(layer, derivative, dtype):
    """The reference's own derivative there is 0, but an engine that takes another one rounds what it gives."""
    rng = np.random.default_rng(3)
    for _ in range(40):
        W = {1: np.zeros((3, 1)), 2: rounded(rng.normal(size=(3, 3)), dtype)}
        b = {1: np.zeros(3), 2: np.zeros(3) if layer == 2 else rounded(rng.normal(size=3), dtype)}
        y = rounded(rng.normal(size=(1, 3)), dtype)
        names = ("relu", "identity") if layer == 1 else ("identity", "relu")
        case = Case(*names, "mean_squared_error", dtype, W, b, np.ones((1, 1)), y)
        trace = network.trace(case, dtype)
        assert not trace.z[layer].any()
        format = ACCUMULATED_IN[dtype]
        p, labels = trace.a[2].astype(format), y.astype(format)
        delta = {2: rounded(case.criterion.derivative(p, labels), dtype)}
        df = np.full((1, 3), derivative, format)
        if layer == 2:
            delta[2] = rounded(df * delta[2].astype(format), dtype)
            delta[1] = rounded(eq.eq_14(np.ones_like(df), delta[2].astype(format), W[2].astype(format)), dtype)
        else:
            delta[1] = rounded(eq.eq_14(df, delta[2].astype(format), W[2].astype(format)), dtype)
        a = {0: case.x, **trace.a}
        dW = {l: rounded(eq.eq_7a(delta[l], a[l - 1]), dtype) for l in case.layers}
        db = {l: rounded(eq.eq_7b(delta[l]), dtype) for l in case.layers}
        trace = dataclasses.replace(trace, delta=delta, dW=dW, db=db)
        assert_holds(audit(case, trace, arithmetic("numpy")))
        assert_holds(audit(case, black_box(trace), arithmetic("numpy")))


def test_reach_is_met_on_both_sides():
    """3 + 4u is a number of every format, and within the 6u of hardsigmoid; 3 + 8u is not."""
    reaches = {(name, kink.at): kink.reach for name, kink in KINKS if kink.reach}
    assert reaches == {("hardsigmoid", 3.0): 6.0, ("hardswish", 3.0): 6.0}


def on_an_output(output, loss, dtype, z, y, factors):
    """A single layer with that z, whose ∂L_i/∂a is `factors`, put through the output's own derivative."""
    z, y = np.array([z]), np.array([y])
    n = z.shape[1]
    case = Case("identity", output, loss, dtype, {1: np.eye(n)}, {1: np.zeros(n)}, z, y)
    honest = network.trace(case, dtype)
    assert np.array_equal(honest.z[1], z)
    delta = {1: eq.eq_9(np.array([factors]), case.f_o.derivative(z))}
    dW, db = {1: eq.eq_7a(delta[1], z)}, {1: eq.eq_7b(delta[1])}
    return case, dataclasses.replace(honest, delta=delta, dW=dW, db=db)


AT_A_LOSS = {
    "absolute error at a = y": ("identity", "absolute_error", [1.5, 0.5], [1.5, 2.0], [(-1, 1), (-1, -1)]),
    "absolute error at a = y, bent": ("hardswish", "absolute_error", [-1.0, 0.5], [None, 2.0], [(-1, 1), (-1, -1)]),
    "hinge at y a = 1": ("identity", "hinge", [1.0, 3.0], [1.0, -1.0], [(-1, 0), (1, 1)]),
    "hinge at y a = 1, below": ("identity", "hinge", [-1.0, 0.5], [-1.0, 1.0], [(0, 1), (-1, -1)]),
    "absolute error of a softmax": ("softmax", "absolute_error", [0.0, 0.0], [0.5, 0.5], [(-1, 1), (-1, 1)]),
    "absolute error of a log-softmax": ("log_softmax", "absolute_error", [0.0, 0.0], [None, 3.0], [(-1, 1), (-1, -1)]),
}
"""Output, loss, z, y (None: the output's own a) and the interval of ∂L_i/∂a_t of each component."""


def loss_kink(which, dtype):
    output, loss, z, y, intervals = AT_A_LOSS[which]
    a = rounded(ACTIVATIONS[output].value(np.array([z]).astype(ACCUMULATED_IN[dtype])), dtype)[0]
    labels = [float(own) if label is None else label for own, label in zip(a, y, strict=True)]
    return output, loss, dtype, z, labels, intervals


@dtypes
@over("which", AT_A_LOSS)
def test_every_derivative_of_the_interval_holds_at_a_kink_of_a_loss_and_none_outside(which, dtype):
    *parts, intervals = loss_kink(which, dtype)
    lowest, highest = (np.array(ends, dtype=float) for ends in zip(*intervals, strict=True))
    rng = np.random.default_rng(0)
    for share in (0.0, 0.25, 0.5, 1.0, *rng.random((8, len(lowest)))):
        case, trace = on_an_output(*parts, lowest + share * (highest - lowest))
        assert_holds(audit(case, trace))
        assert_holds(audit(case, trace, arithmetic("numpy")))
        assert_holds(audit_composed(case, trace))
        assert_holds(audit(case, black_box(trace)))
    kinked = int(np.argmax(highest - lowest))
    for t, opposite in ((kinked, 0.5), (kinked, 2.0)):
        reach = opposite * (highest - lowest)
        for outside in (highest + reach, lowest - reach):
            factors = np.where(np.arange(len(lowest)) == t, outside, np.where(lowest == highest, lowest, -outside))
            case, trace = on_an_output(*parts, factors)
            assert_localised(audit(case, trace, arithmetic("numpy")), "9", 1)
    case, trace = on_an_output(*parts, np.full(len(lowest), np.nan))
    assert_localised(audit(case, trace), "9", 1)


@dtypes
def test_a_kink_of_the_output_and_of_the_loss_at_once(dtype):
    """ReLU at z = 0 with y = 0: any product of [0, 1] and [−1, 1]."""
    for slope in (-1.0, -0.25, 0.0, 1.0):
        for factor in (0.0, 0.5, 1.0):
            case, trace = on_an_output("relu", "absolute_error", dtype, [0.0, 1.0], [0.0, 2.0], [0.0, -1.0])
            delta = np.array([[slope * factor, -1.0]])
            trace = dataclasses.replace(
                trace, delta={1: delta}, dW={1: eq.eq_7a(delta, case.x)}, db={1: eq.eq_7b(delta)}
            )
            assert_holds(audit(case, trace))
    for beyond in (-1.25, 1.25):
        delta = np.array([[beyond, -1.0]])
        trace = dataclasses.replace(trace, delta={1: delta}, dW={1: eq.eq_7a(delta, case.x)}, db={1: eq.eq_7b(delta)})
        assert_localised(audit(case, trace, arithmetic("numpy")), "9", 1)


@dtypes
@pytest.mark.parametrize("loss", ["absolute_error", "hinge"])
def test_beside_a_kink_of_a_loss_one_derivative_holds(loss, dtype):
    """At the next number of the format the other one-sided derivative is a fault."""
    z = 1 + 2 * UNIT_ROUNDOFF[dtype]
    wrong = {"absolute_error": -1.0, "hinge": -1.0}[loss]
    right = {"absolute_error": 1.0, "hinge": 0.0}[loss]
    assert_holds(audit(*on_an_output("identity", loss, dtype, [z], [1.0], [right]), arithmetic("numpy")))
    assert_localised(audit(*on_an_output("identity", loss, dtype, [z], [1.0], [wrong]), arithmetic("numpy")), "9", 1)


# --- beyond what a format can do


def large_case(dtype, size, label=0.0):
    """a = √largest · size, so that the squared error, and its product with a, may exceed the format.

    r² is formed before ½r²: an engine overflows where half of the largest number is expected, so nothing is near that.
    """
    root = float(rounded(np.float64(np.sqrt(LARGEST[dtype]) * size), dtype))
    W, b = {1: np.ones((1, 1))}, {1: np.zeros(1)}
    x, y = np.array([[root], [root / 4]]), np.full((2, 1), label)
    return Case("identity", "identity", "half_squared_error", dtype, W, b, x, y)


def quietly(case, dtype):
    with np.errstate(all="ignore"):
        return network.trace(case, dtype)


OVERFLOWING = ("float32", "float16", "bfloat16")


@pytest.mark.parametrize("dtype", OVERFLOWING)
def test_an_honest_overflow_holds(dtype):
    """½r² of the first sample exceeds the format, and the mean with it: infinities where the equations exceed it."""
    case = large_case(dtype, 2.5)
    trace = quietly(case, dtype)
    assert trace.losses[0] == trace.loss == np.inf
    assert trace.dW[1].item() == np.inf
    for engine in (None, "numpy"):
        assert_holds(audit(case, trace, arithmetic(engine)))
        assert_holds(audit(case, black_box(trace), arithmetic(engine)))
        assert_holds(audit_composed(case, trace, arithmetic(engine)))


@pytest.mark.parametrize("dtype", OVERFLOWING)
def test_an_honest_overflow_of_an_update_or_of_a_pair_alone_holds(dtype):
    case = large_case(dtype, 2.5)
    trace = quietly(case, dtype)
    alone = quietly(case.on_batch(case.x[:1], case.y[:1]), dtype)
    assert alone.dW[1].item() == np.inf
    assert_holds(audit_partial(case, trace, 0, alone))
    assert_localised(audit_partial(case, trace, 0, replaced(alone, "dW", 1, -alone.dW[1])), "5a", 1)
    gradient = rounded(np.full((1, 1), -0.75 * LARGEST[dtype]), dtype)
    large = case.with_parameters({1: -gradient}, case.b)
    steep = replaced(trace, "dW", 1, gradient)
    new_b = {1: rounded(-trace.db[1], dtype)}
    assert_holds(audit_update(large, steep, {1: np.full((1, 1), np.inf)}, new_b, 1.0))
    for wrong in (-np.inf, np.nan, LARGEST[dtype]):
        assert_localised(audit_update(large, steep, {1: np.full((1, 1), wrong)}, new_b, 1.0), "2a", 1)
    smaller = replaced(trace, "dW", 1, gradient / 8)
    assert_localised(audit_update(large, smaller, {1: np.full((1, 1), np.inf)}, new_b, 1.0), "2a", 1)


@pytest.mark.parametrize("dtype", OVERFLOWING)
def test_an_infinity_must_have_the_sign_of_what_is_expected(dtype):
    case = large_case(dtype, 2.5)
    trace = quietly(case, dtype)
    assert_localised(audit(case, dataclasses.replace(trace, loss=-np.inf)), "1", 1)
    assert_localised(audit(case, changed(trace, "dW", 1, (0, 0), lambda number: -number)), "7a", 1)
    assert_localised(audit(case, dataclasses.replace(trace, losses=-trace.losses)), "8", 1)
    assert_localised(audit(case, black_box(dataclasses.replace(trace, loss=-np.inf))), "1", 1)
    negative = dataclasses.replace(case, W={1: -case.W[1]}, x=-case.x)
    assert_holds(audit(negative, quietly(negative, dtype)))


@pytest.mark.parametrize("dtype", OVERFLOWING)
def test_an_infinity_where_the_format_has_a_number_is_caught(dtype):
    """½r² is ⅛ of the largest number."""
    case = large_case(dtype, 0.5)
    trace = quietly(case, dtype)
    assert_holds(audit(case, trace))
    assert_localised(audit(case, dataclasses.replace(trace, loss=np.inf)), "1", 1)
    assert_localised(audit(case, black_box(dataclasses.replace(trace, loss=np.inf))), "1", 1)
    for field, equation in (("z", "z"), ("a", "a"), ("delta", "9"), ("dW", "7a"), ("db", "7b")):
        index = (0,) * getattr(trace, field)[1].ndim
        assert_localised(audit(case, changed(trace, field, 1, index, lambda _: np.inf)), equation, 1)


@dtypes
@pytest.mark.parametrize("size", [0.5, 2.5])
def test_a_nan_never_holds_though_the_format_overflows(size, dtype):
    case = large_case(dtype, size)
    trace = quietly(case, dtype)
    assert_localised(audit(case, dataclasses.replace(trace, loss=np.nan)), "1", 1)
    assert_localised(audit(case, changed(trace, "dW", 1, (0, 0), lambda _: np.nan)), "7a", 1)


@over(
    ("observed", "expected", "allowed", "holds"),
    [
        (np.inf, 70000.0, 1.0, True),
        (np.inf, 65504.0, 1.0, True),
        (np.inf, 65480.0, 32.0, True),
        (np.inf, 65480.0, 16.0, False),
        (np.inf, 60000.0, 100.0, False),
        (np.inf, 0.0, 1.0, False),
        (np.inf, -70000.0, 1.0, False),
        (-np.inf, -70000.0, 1.0, True),
        (-np.inf, 70000.0, 1.0, False),
        (np.inf, np.inf, 1.0, True),
        (np.inf, -np.inf, 1.0, False),
        (np.inf, 70000.0, np.inf, False),
        (np.inf, 70000.0, np.nan, False),
        (np.inf, np.nan, 1.0, False),
        (np.nan, 70000.0, 1.0, False),
        (65504.0, 70000.0, 1.0, False),
        (70000.0, 70000.0, 1.0, True),
    ],
)
def test_an_infinity_is_right_where_the_format_ends(observed, expected, allowed, holds):
    """The largest of float16 is 65504: a result that may exceed it may be infinite, with that sign."""
    parts = (np.array([number]) for number in (observed, expected, allowed))
    finding = compare("z", 1, *parts, LARGEST["float16"])
    assert finding.holds is holds, f"{finding} should {'hold' if holds else 'break'}"
    beside = [np.array([number, 1.0]) for number in (observed, expected, allowed)]
    assert compare("z", 1, *beside, LARGEST["float16"]).holds is holds
    assert not compare("z", 1, np.array([observed, np.nan]), *beside[1:], LARGEST["float16"]).holds


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


# --- subnormal operands that are read as 0


def reading_as_zero(array, dtype):
    """The array as XLA's CPU reads it."""
    return np.where(np.abs(array) < rd.UNDERFLOW[dtype], 0.0, array)


FLUSHED = ("float32", "float64", "bfloat16")


@pytest.mark.parametrize("dtype", FLUSHED)
def test_weights_that_are_read_as_zero_hold_for_an_engine_that_does_so_alone(dtype):
    """z^1 = W x with x of 12 and W below the normal numbers, and δ^1 = δ^2 W with δ^2 of 48."""
    below = rd.UNDERFLOW[dtype] * (1 - 2.0**-7)
    W, b = {1: np.full((2, 3), below), 2: np.full((3, 2), below)}, {1: np.zeros(2), 2: np.zeros(3)}
    x, y = np.full((4, 3), 12.0), np.full((4, 3), -48.0)
    case = Case("identity", "identity", "half_squared_error", dtype, W, b, x, y)
    read = {l: reading_as_zero(W[l], dtype) for l in W}
    honest = network.trace(case.with_parameters(read, b))
    assert not honest.z[1].any()
    assert not honest.delta[1].any()
    assert_holds([*audit(case, honest, arithmetic("jax-jit")), *audit_composed(case, honest, arithmetic("jax-jit"))])
    assert {(f.equation, f.layer) for f in audit(case, honest, arithmetic("numpy")) if not f.holds} == {
        ("z", 1),
        ("14", 1),
    }


@pytest.mark.parametrize("dtype", FLUSHED)
def test_a_residual_that_is_read_as_zero_has_any_sign_for_an_engine_that_does_so_alone(dtype):
    tiny = rd.UNDERFLOW[dtype] / 4
    for slope in (-1.0, 0.0, 1.0):
        case, trace = on_an_output("identity", "absolute_error", dtype, [tiny], [2 * tiny], [slope])
        assert_holds([*audit(case, trace, arithmetic("jax-jit")), *audit_composed(case, trace, arithmetic("jax-jit"))])
        if slope != -1:
            assert_localised(audit(case, trace, arithmetic("torch-eager")), "9", 1)
    case, trace = on_an_output("identity", "absolute_error", dtype, [tiny], [2 * tiny], [1.5])
    assert_localised(audit(case, trace, arithmetic("jax-jit")), "9", 1)
    far = 8 * rd.UNDERFLOW[dtype]
    assert_localised(
        audit(*on_an_output("identity", "absolute_error", dtype, [far], [2 * far], [1.0]), arithmetic("jax-jit")),
        "9",
        1,
    )
