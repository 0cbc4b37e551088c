"""The whole network against exact rational arithmetic, against ball arithmetic, and against its own equations."""

import ast
import dataclasses
import inspect
from fractions import Fraction

import numpy as np
import pytest
from flint import arb
from hypothesis import given, settings
from hypothesis import strategies as st

from reference import equations as eq
from reference import network
from reference.activations import HIDDEN
from reference.case import Case
from reference.cases import COMBINATIONS, Combination, Shape, cover, draw_case, once
from reference.rounding import DTYPES, HALF, rounded
from reference.running_error import propagate
from tests.reference import exact
from tests.tables import over

# --- exact rational arithmetic, by dual numbers: forward mode, so that no equation of the note is used


class Dual:
    """A rational number and its derivative with respect to one parameter."""

    def __init__(self, value, slope=0):
        self.value, self.slope = Fraction(value), Fraction(slope)

    def __add__(self, other):
        return Dual(self.value + other.value, self.slope + other.slope)

    def __mul__(self, other):
        return Dual(self.value * other.value, self.value * other.slope + self.slope * other.value)

    def times(self, slope):
        """Itself put through a line with that slope: 0 at 0."""
        return Dual(slope * self.value, slope * self.slope)


HALF_SLOPE = Fraction(1, 2)

RATIONAL = {
    "identity": lambda z: z,
    "relu": lambda z: z.times(z.value > 0),
    "leaky_relu": lambda z: z if z.value > 0 else z.times(HALF_SLOPE),
    "hardtanh": lambda z: z if -1 < z.value < 1 else Dual(min(max(z.value, -1), 1)),
    "relu6": lambda z: z if 0 < z.value < 6 else Dual(min(max(z.value, 0), 6)),
    "softshrink": lambda z: (
        Dual(0) if abs(z.value) <= HALF_SLOPE else z + Dual(-HALF_SLOPE if z.value > 0 else HALF_SLOPE)
    ),
}
"""Piecewise linear functions; at a kink, the derivative that the tables have chosen."""


def absolute(r):
    return r.times((r.value > 0) - (r.value < 0))


RATIONAL_LOSS = {
    "half_squared_error": lambda r: r * r * Dual(Fraction(1, 2)),
    "absolute_error": absolute,
    "squared_hinge": lambda m: m * m if m.value > 0 else Dual(0),
}
"""Of the residual a − y; of the margin 1 − y a for the hinge."""


def rational_loss(case, parameter=None):
    """Total loss, and its derivative; a parameter is ("W" or "b", l, index)."""

    def number(kind, l, index):
        return Dual(getattr(case, kind)[l][index], (kind, l, index) == parameter)

    total = Dual(0)
    for x, y in zip(case.x, case.y, strict=True):
        a = [Dual(value) for value in x]
        for l in case.layers:
            z = [
                sum((number("W", l, (t, f)) * a[f] for f in range(len(a))), number("b", l, (t,)))
                for t in range(len(case.b[l]))
            ]
            a = [RATIONAL[case.activation(l).name](unit) for unit in z]
        for unit, label in zip(a, y, strict=True):
            hinge = case.loss == "squared_hinge"
            of = Dual(1) + unit.times(-Fraction(label)) if hinge else unit + Dual(-Fraction(label))
            total = total + RATIONAL_LOSS[case.loss](of)
    return Dual(total.value / case.samples, total.slope / case.samples)


def rational_gradient(case):
    return {
        (kind, l, index): rational_loss(case, (kind, l, index)).slope
        for kind in ("W", "b")
        for l in case.layers
        for index in np.ndindex(getattr(case, kind)[l].shape)
    }


def small_integers(draw, *shape):
    size = int(np.prod(shape))
    return np.array(draw(st.lists(st.integers(-3, 3), min_size=size, max_size=size)), dtype=float).reshape(shape)


@st.composite
def rational_cases(draw):
    """Integers and quarters up to 3, so that float64 holds every sum; only the division by N may round, once."""
    widths = [draw(st.integers(1, 3)) for _ in range(draw(st.integers(2, 4)))]
    samples = draw(st.integers(1, 4))
    W = {
        l: small_integers(draw, widths[l], widths[l - 1]) / draw(st.sampled_from([1, 4])) for l in range(1, len(widths))
    }
    b = {l: small_integers(draw, widths[l]) / 2 for l in range(1, len(widths))}
    x, y = small_integers(draw, samples, widths[0]), small_integers(draw, samples, widths[-1])
    hidden, output, loss = (draw(st.sampled_from(list(table))) for table in (RATIONAL, RATIONAL, RATIONAL_LOSS))
    if loss == "squared_hinge":
        y = np.where(y > 0, 1.0, -1.0)
    slopes = {
        role: {"slope": float(HALF_SLOPE)}
        for role, name in (("hidden", hidden), ("output", output))
        if name == "leaky_relu"
    }
    return Case(hidden, output, loss, "float64", W, b, x, y, slopes)


def assert_rational(case, trace):
    loss = rational_loss(case).value
    assert trace.loss == float(loss), f"loss is {trace.loss}, but should be {float(loss)}"
    for (kind, l, index), slope in rational_gradient(case).items():
        observed = (trace.dW if kind == "W" else trace.db)[l][index]
        assert observed == float(slope), f"d{kind}[{l}] at {index} is {observed}, but should be {float(slope)}"


@settings(max_examples=150)
@given(rational_cases())
def test_loss_and_gradient_are_those_of_rational_arithmetic(case):
    assert_rational(case, network.trace(case))


def square_case():
    """Two hidden layers of equal widths, nothing symmetric, no unit at a kink."""
    W = {
        1: np.array([[1.0, -2.0], [3.0, 0.5]]),
        2: np.array([[2.0, 1.0], [-1.0, 3.0]]),
        3: np.array([[1.0, 2.0], [-3.0, 0.25]]),
    }
    b = {1: np.array([1.0, 0.5]), 2: np.array([-1.0, 2.0]), 3: np.array([0.5, -0.5])}
    x, y = np.array([[2.0, 1.0], [-1.0, 3.0]]), np.array([[1.0, 0.0], [0.0, -2.0]])
    return Case("relu", "identity", "half_squared_error", "float64", W, b, x, y)


WRONG_EQUATIONS = {
    "the literal (14)": ("eq_14", lambda df, delta, W: df * (delta @ W.T)),
    "(14) without f'": ("eq_14", lambda df, delta, W: delta @ W),
    "(9) summed over t": ("eq_9", lambda dL_da, df: (dL_da * df).sum(axis=1, keepdims=True) + 0 * df),
    "(7a) not averaged": ("eq_7a", lambda delta, a: delta.T @ a),
    "(7b) not averaged": ("eq_7b", lambda delta: delta.sum(axis=0)),
    "(1) not averaged": ("eq_1", np.sum),
    "(8) averaged": ("eq_8", lambda terms: terms.mean(axis=1)),
    "z without its bias": ("total_input", lambda W, b, a: a @ W.T),
}


@pytest.mark.parametrize("wrong", WRONG_EQUATIONS)
def test_a_wrong_equation_is_not_that_of_rational_arithmetic(wrong, monkeypatch):
    case = square_case()
    assert_rational(case, network.trace(case))
    monkeypatch.setattr(eq, *WRONG_EQUATIONS[wrong])
    broken = network.trace(case)
    with pytest.raises(AssertionError, match="but should be"):
        assert_rational(case, broken)


# --- ball arithmetic: the central difference of the loss, with a step so small that it is the derivative


STEP = arb(2) ** -100
"""h: truncation is h²/6 times a third derivative, some 2^{−200}, and a difference keeps 200 of its 400 bits."""

TRUNCATION = 1e-30


def ball_loss(case, kind=None, layer=None, index=None, sign=0):
    """Total loss, with one parameter moved by ±h."""

    def number(name, l, *at):
        value = exact.ball(getattr(case, name)[l][at])
        return value + sign * STEP if (name, l, at) == (kind, layer, index) else value

    total = arb(0)
    for x, y in zip(case.x, case.y, strict=True):
        a = [exact.ball(value) for value in x]
        for l in case.layers:
            z = [
                sum((number("W", l, t, f) * a[f] for f in range(len(a))), number("b", l, t))
                for t in range(len(case.b[l]))
            ]
            f = case.activation(l)
            a = exact.COUPLED_VALUE[f.name](z) if f.coupled else [exact.VALUE[f.name](k, **f.parameters) for k in z]
        loss = case.criterion
        p = z if loss.on_logits else a
        total += sum(exact.LOSS[loss.name](p, [exact.ball(value) for value in y], **loss.parameters), arb(0))
    return total / case.samples


def gradient_ratios(case, trace):
    """Distance of each gradient from the difference of the true loss, in units of the network's running error."""
    bound = propagate(case)
    with exact.Precision():
        out = [exact.ratios([trace.loss], [ball_loss(case)], [bound.loss])]
        for kind, gradient, allowed in (("W", trace.dW, bound.dW), ("b", trace.db, bound.db)):
            for l in case.layers:
                differences = [
                    (ball_loss(case, kind, l, index, 1) - ball_loss(case, kind, l, index, -1)) / (2 * STEP)
                    for index in np.ndindex(gradient[l].shape)
                ]
                out.append(exact.ratios(gradient[l], differences, allowed[l] + TRUNCATION))
    return np.concatenate(out)


@over("combination", once(), ids="-".join)
def test_gradient_is_the_limit_of_the_difference_of_the_loss(combination):
    """With drawn parameters; every activation in either role, and every loss."""
    case = draw_case(np.random.default_rng(11), combination, Shape((2, 3, 2, 2), 2), "float64")
    worst = gradient_ratios(case, network.trace(case)).max()
    assert worst <= 1, f"distance is {worst} of its bound, but should be at most 1"


@settings(max_examples=25)
@given(st.sampled_from(COMBINATIONS), st.integers(0, 2**32))
def test_any_gradient_is_the_limit_of_the_difference_of_the_loss(combination, seed):
    case = draw_case(np.random.default_rng(seed), combination, Shape((2, 2, 2), 1), "float64")
    worst = gradient_ratios(case, network.trace(case)).max()
    assert worst <= 1, f"distance is {worst} of its bound, but should be at most 1"


WRONG_PARAMETERS = [
    ("hidden", Combination("leaky_relu", "identity", "half_squared_error")),
    ("output", Combination("tanh", "squareplus", "half_squared_error")),
    ("output", Combination("tanh", "celu", "absolute_error")),
    ("loss", Combination("tanh", "identity", "huber")),
    ("loss", Combination("tanh", "softmax", "smoothed_cross_entropy_on_logits")),
]


@pytest.mark.parametrize(("role", "combination"), WRONG_PARAMETERS)
def test_the_usual_parameter_for_the_cases_own_is_no_limit_of_the_difference(role, combination):
    case = draw_case(np.random.default_rng(11), combination, Shape((2, 3, 3), 2), "float64")
    usual = dataclasses.replace(case, parameters={r: p for r, p in case.parameters.items() if r != role})
    assert usual.parameters_of(role) != case.parameters_of(role)
    assert gradient_ratios(case, network.trace(case)).max() <= 1
    assert not gradient_ratios(case, network.trace(usual)).max() <= 1


@pytest.mark.parametrize("wrong", ["the literal (14)", "(14) without f'", "(9) summed over t", "(7a) not averaged"])
def test_a_wrong_gradient_is_no_limit_of_the_difference(wrong, monkeypatch):
    combination = Combination("tanh", "sigmoid", "binary_cross_entropy")
    case = draw_case(np.random.default_rng(11), combination, Shape((2, 2, 2, 2), 2), "float64")
    assert gradient_ratios(case, network.trace(case)).max() <= 1
    monkeypatch.setattr(eq, *WRONG_EQUATIONS[wrong])
    broken = network.trace(case)
    monkeypatch.undo()
    assert not gradient_ratios(case, broken).max() <= 1


# --- composed of equations only

FIELDS = {
    "total_input": ("z", "a", "loss", "delta", "dW", "db"),
    "eq_1": ("loss",),
    "eq_7a": ("dW",),
    "eq_7b": ("db",),
    "eq_8": ("losses", "loss"),
    "eq_9": ("delta", "dW", "db"),
    "eq_14": ("delta", "dW", "db"),
}


def differs(one, other):
    if isinstance(one, dict):
        return any(not np.array_equal(one[l], other[l]) for l in one)
    return not np.array_equal(one, other)


@pytest.mark.parametrize("equation", FIELDS)
def test_every_number_comes_out_of_its_equation(equation, monkeypatch):
    """Doubling what an equation gives changes the fields that rest on it, and no other."""
    case = square_case()
    before = network.trace(case)
    honest = getattr(eq, equation)
    monkeypatch.setattr(eq, equation, lambda *arguments: 2 * honest(*arguments))
    after = network.trace(case)
    for field in ("z", "a", "losses", "loss", "delta", "dW", "db"):
        expected = field in FIELDS[equation] or (equation == "total_input" and field == "losses")
        assert differs(getattr(before, field), getattr(after, field)) is expected, field


def test_the_passes_do_no_arithmetic_of_their_own():
    """Nothing but l − 1 and l + 1, and NumPy nowhere but in the annotations."""
    for function in (network.forward, network.contributions, network.output_delta, network.backward):
        nodes = list(ast.walk(ast.parse(inspect.getsource(function))))
        operations = [node for node in nodes if isinstance(node, ast.BinOp)]
        assert {ast.unparse(operation) for operation in operations} <= {"l - 1", "l + 1"}
        assert "np" not in {node.id for node in nodes if isinstance(node, ast.Name)}


# --- the trace


@over("dtype", DTYPES)
@over("combination", once(), ids="-".join)
def test_a_trace_holds_numbers_of_its_format(combination, dtype):
    case = draw_case(np.random.default_rng(2), combination, Shape((3, 4, 2, 3), 5), dtype)
    trace = network.trace(case, dtype)
    arrays = [np.array(trace.loss), trace.losses]
    for layers, shape in (
        (trace.z, lambda l: (5, case.widths[l])),
        (trace.a, lambda l: (5, case.widths[l])),
        (trace.delta, lambda l: (5, case.widths[l])),
        (trace.dW, lambda l: (case.widths[l], case.widths[l - 1])),
        (trace.db, lambda l: (case.widths[l],)),
    ):
        assert sorted(layers) == list(case.layers)
        for l in case.layers:
            assert layers[l].shape == shape(l), f"shape is {layers[l].shape}, but should be {shape(l)}"
            arrays.append(layers[l])
    for array in arrays:
        assert array.dtype == "float64"
        assert np.array_equal(rounded(array, dtype), array), f"holds numbers that are not {dtype}"


@over("dtype", HALF)
@over("combination", cover()[::20], ids="-".join)
def test_half_precision_stores_every_result_and_computes_in_float32(combination, dtype):
    """Each equation on what was stored, in float32, and rounded once: nothing else is between two of its numbers."""
    case = draw_case(np.random.default_rng(2), combination, Shape((3, 4, 2, 3), 5), dtype)
    trace = network.trace(case, dtype)

    def narrow(array):
        return np.asarray(array).astype("float32")

    def same(observed, computed):
        assert np.asarray(computed).dtype == "float32"
        assert np.array_equal(observed, rounded(np.asarray(computed), dtype))

    a = {0: case.x, **trace.a}
    last, loss = case.last, case.criterion
    for l in case.layers:
        same(trace.z[l], eq.total_input(narrow(case.W[l]), narrow(case.b[l]), narrow(a[l - 1])))
        same(trace.a[l], case.activation(l).value(narrow(trace.z[l])))
        same(trace.dW[l], eq.eq_7a(narrow(trace.delta[l]), narrow(a[l - 1])))
        same(trace.db[l], eq.eq_7b(narrow(trace.delta[l])))
    z, p, y = narrow(trace.z[last]), narrow(loss.argument(trace.z[last], trace.a[last])), narrow(case.y)
    same(trace.losses, eq.eq_8(loss.value(p, y)))
    same(trace.loss, eq.eq_1(narrow(trace.losses)))
    slope = loss.derivative(p, y)
    same(trace.delta[last], slope if loss.on_logits else eq.eq_9(slope, case.f_o.derivative(z)))
    for l in range(1, last):
        df = case.f_h.derivative(narrow(trace.z[l]))
        same(trace.delta[l], eq.eq_14(df, narrow(trace.delta[l + 1]), narrow(case.W[l + 1])))


def test_what_exceeds_a_format_is_infinite_in_it():
    W, b, x = {1: np.full((1, 1), 300.0)}, {1: np.zeros(1)}, np.full((1, 1), 300.0)
    case = Case("identity", "identity", "absolute_error", "float16", W, b, x, np.zeros((1, 1)))
    with np.errstate(over="ignore"):
        assert network.trace(case, "float16").z[1].item() == np.inf
    assert network.trace(case, "bfloat16").z[1].item() == rounded(np.float64(90000.0), "bfloat16")


@over("hidden", HIDDEN)
def test_a_batch_is_the_mean_of_its_samples(hidden):
    """Sample by sample the gradients average to the batch's, within the running errors of both."""
    combination = Combination(hidden, "sigmoid", "binary_cross_entropy")
    case = draw_case(np.random.default_rng(3), combination, Shape((3, 4, 3, 2), 4), "float64")
    whole, allowed = network.trace(case), propagate(case)
    singles = [case.on_batch(case.x[i : i + 1], case.y[i : i + 1]) for i in range(case.samples)]
    parts = [network.trace(single) for single in singles]
    bounds = [propagate(single) for single in singles]
    for l in case.layers:
        mean = sum(part.dW[l] for part in parts) / case.samples
        bound = allowed.dW[l] + sum(single.dW[l] for single in bounds) / case.samples
        assert (np.abs(mean - whole.dW[l]) <= 2 * bound).all()
        for i, part in enumerate(parts):
            close = np.abs(part.delta[l][0] - whole.delta[l][i]) <= 2 * bounds[i].delta[l][0]
            assert close.all()


def test_forward_includes_the_input():
    case = square_case()
    z, a = network.forward(case, case.W, case.b, case.x)
    assert sorted(z) == [1, 2, 3]
    assert sorted(a) == [0, 1, 2, 3]
    assert a[0] is case.x
    assert z[1].tolist() == [[1, 7], [-6, -1]]
    assert a[1].tolist() == [[1, 7], [0, 0]]
