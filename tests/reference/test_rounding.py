"""The allowances: never below what honest arithmetic does, and of the size they state.

Honest arithmetic is NumPy's float32, in several orders; the true number is a fraction, or a ball.
"""

import dataclasses
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference import accuracy
from reference import equations as eq
from reference import rounding as rd
from reference.activations import ACTIVATIONS, HIDDEN
from reference.losses import LOSSES
from tests.reference import exact

U = rd.UNIT_ROUNDOFF["float32"]
R = rd.rounding("float32")
WITHOUT_UNDERFLOW = dataclasses.replace(R, underflow=0.0)


# --- formats and gamma


@pytest.mark.parametrize("dtype", rd.DTYPES)
def test_constants_are_those_of_the_format(dtype):
    info = np.finfo(dtype)
    assert float(info.eps) / 2 == rd.UNIT_ROUNDOFF[dtype]
    assert float(info.smallest_normal) == rd.SMALLEST_NORMAL[dtype]
    assert 1 + np.dtype(dtype).type(rd.UNIT_ROUNDOFF[dtype]) == 1


@pytest.mark.parametrize("dtype", rd.DTYPES)
def test_rounding_is_that_of_the_engine_and_of_the_reference(dtype):
    r = rd.rounding(dtype)
    assert r.u == rd.UNIT_ROUNDOFF[dtype] + 2.0**-53
    assert r.underflow == rd.SMALLEST_NORMAL[dtype]
    assert (r.value_accuracy, r.derivative_accuracy) == (accuracy.VALUE[dtype], accuracy.DERIVATIVE[dtype])


@pytest.mark.parametrize("n", [0, 1, 2, 1000, 10**6])
def test_gamma_is_its_formula(n):
    u = Fraction(U)
    expected = n * u / (1 - n * u)
    assert abs(Fraction(rd.gamma(n, U)) - expected) <= expected * 4 * Fraction(2) ** -53


def test_gamma_bounds_n_roundings_at_their_worst():
    for n in (1, 2, 10, 1000):
        assert (1 + Fraction(U)) ** n - 1 <= Fraction(rd.gamma(n, U)) * (1 + Fraction(2) ** -50)
        assert 1 - (1 - Fraction(U)) ** n <= Fraction(rd.gamma(n, U)) * (1 + Fraction(2) ** -50)
        assert (1 + Fraction(U)) ** (n + 1) - 1 > Fraction(rd.gamma(n, U))


@pytest.mark.parametrize("n", [2**24, 2**24 + 1, 10**9])
def test_gamma_refuses_a_sum_that_leaves_no_digit(n):
    with pytest.raises(ValueError, match=f"{n} roundings .* should be below 1"):
        rd.gamma(n, U)
    assert rd.gamma(2**24 - 1, U) == 2**24 - 1


# --- a contraction, in any order


def forward_sum(products):
    total = np.float32(0)
    for product in products:
        total = np.float32(total + product)
    return total


def pairwise_sum(products):
    if len(products) == 1:
        return products[0]
    middle = len(products) // 2
    return np.float32(pairwise_sum(products[:middle]) + pairwise_sum(products[middle:]))


ORDERS = {
    "forward": forward_sum,
    "reverse": lambda products: forward_sum(products[::-1]),
    "pairwise": pairwise_sum,
    "smallest first": lambda products: forward_sum(products[np.argsort(np.abs(products), kind="stable")]),
    "largest first": lambda products: forward_sum(products[np.argsort(-np.abs(products), kind="stable")]),
    "numpy": lambda products: products.sum(dtype=np.float32),
}


def true_sum(x, y):
    return sum((Fraction(float(p)) * Fraction(float(q)) for p, q in zip(x, y, strict=True)), Fraction(0))


def true_size(x, y):
    return true_sum(np.abs(x), np.abs(y))


def contraction_ratio(computed, x, y, r=R):
    """|computed − true|/allowed, in exact arithmetic."""
    allowed = Fraction(float(rd.contraction(len(x), np.float64(float(true_size(x, y))), r)))
    distance = abs(Fraction(float(computed)) - true_sum(x, y))
    return distance / allowed if allowed else Fraction(int(distance > 0))


finite = st.floats(-(2.0**40), 2.0**40, width=32)
vectors = st.lists(st.tuples(finite, finite), min_size=1, max_size=40)


@settings(max_examples=100)
@given(vectors)
@pytest.mark.parametrize("order", ORDERS)
def test_contraction_bounds_a_sum_in_any_order(order, pairs):
    """Factors up to 2^40, so that no product overflows; subnormal products are among them."""
    x, y = np.array(pairs, dtype=np.float32).T
    ratio = contraction_ratio(ORDERS[order](x * y), x, y)
    assert ratio <= 1, f"error is {float(ratio)} of its allowance, but should be at most 1"


@settings(max_examples=100)
@given(vectors, st.randoms(use_true_random=False))
@pytest.mark.parametrize("order", ORDERS)
def test_contraction_bounds_a_sum_that_cancels(order, pairs, random):
    """Every product stands there with its negative, so the true sum is 0 and any relative bound would be useless."""
    pairs = pairs + [(-p, q) for p, q in pairs]
    random.shuffle(pairs)
    x, y = np.array(pairs, dtype=np.float32).T
    assert true_sum(x, y) == 0
    assert contraction_ratio(ORDERS[order](x * y), x, y) <= 1


def test_contraction_catches_a_product_that_is_left_out():
    x, y = np.random.default_rng(0).normal(size=(2, 30)).astype(np.float32)
    for order, summed in ORDERS.items():
        assert contraction_ratio(summed(x * y), x, y) <= 1, order
        assert contraction_ratio(summed(x[1:] * y[1:]), x, y) > 1, order


def test_contraction_is_within_a_factor_of_what_a_sum_can_reach():
    """Adding ½ ulp and less to 1, n times, loses each: the error is the bound but for the smaller half of it."""
    n = 1000
    x = np.concatenate([[1.0], np.full(n - 1, U)]).astype(np.float32)
    ratio = contraction_ratio(forward_sum(x), x, np.ones_like(x))
    assert 0.9 < ratio <= 1


def test_contraction_allows_underflow():
    """Products of 1e-30 are 0 in float32; without the underflow step every such sum would be a false alarm."""
    x = y = np.full(8, 1e-30, dtype=np.float32)
    computed = (x * y).sum()
    assert computed == 0
    assert contraction_ratio(computed, x, y) <= 1
    assert contraction_ratio(computed, x, y, WITHOUT_UNDERFLOW) > 1


def test_contraction_allows_subnormals_to_be_flushed():
    x, y = np.full(8, 2.0**-100, dtype=np.float32), np.full(8, 2.0**-27, dtype=np.float32)
    assert true_sum(x, y) > 0
    assert contraction_ratio(np.float32(0), x, y) <= 1
    assert contraction_ratio(np.float32(2.0**-122), x, y) > 1


# --- scalar functions


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_a_function_that_rounds_nothing_is_allowed_underflow_only(name):
    z = np.array([[-3.0, 0.5, 4.0]])
    for error, table in ((rd.value_error, R.value_accuracy), (rd.derivative_error, R.derivative_accuracy)):
        allowed = error(name, z, R)
        if name in ("identity", "relu"):
            assert name not in table
            assert (allowed == R.underflow).all()
        else:
            assert (allowed > R.u * 2.0**-30).all()


@pytest.mark.parametrize("name", [name for name in ACTIVATIONS if name not in ("identity", "relu")])
def test_a_scalar_allowance_is_k_u_s(name):
    z = np.array([[-3.0, 0.5, 4.0]])
    f = ACTIVATIONS[name]
    k = accuracy.VALUE["float32"][name]
    value = rd.value_error(name, z, WITHOUT_UNDERFLOW)
    assert np.allclose(value, k * R.u * f.value_scale(z), rtol=1e-15, atol=0)
    k = k if f.coupled else accuracy.DERIVATIVE["float32"][name]
    slope = rd.derivative_error(name, z, WITHOUT_UNDERFLOW)
    assert np.allclose(slope, k * R.u * f.derivative_scale(z), rtol=1e-15, atol=0)


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_has_an_accuracy(name):
    for dtype in rd.DTYPES:
        assert accuracy.VALUE[dtype][name] > 0
    assert LOSSES[name].on_logits or rd.DERIVATIVE_ROUNDINGS[name] > 0


FORMULAS = {
    "sigmoid": (lambda z: 1 / (1 + np.exp(-z)), lambda z, a: a * (1 - a)),
    "tanh": (np.tanh, lambda z, a: 1 - a * a),
    "softplus": (lambda z: np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z))), lambda z, a: 1 / (1 + np.exp(-z))),
    "silu": (
        lambda z: z * (1 / (1 + np.exp(-z))),
        lambda z, a: (1 / (1 + np.exp(-z))) * (1 + z * (1 - 1 / (1 + np.exp(-z)))),
    ),
    "relu": (lambda z: np.where(z > 0, z, np.float32(0)), lambda z, a: np.where(z > 0, np.float32(1), np.float32(0))),
    "identity": (lambda z: z, lambda z, a: np.ones_like(z)),
}
"""How frameworks write them: value from z, derivative from z and the value."""


def formula_ratios(name, part, z):
    value, derivative = FORMULAS[name]
    truth, error = (exact.VALUE, rd.value_error) if part == "value" else (exact.DERIVATIVE, rd.derivative_error)
    computed = value(z) if part == "value" else derivative(z, value(z))
    assert computed.dtype == np.float32
    allowed = error(name, z.astype(float), R)
    with exact.Precision():
        return exact.ratios(computed, [truth[name](exact.ball(number)) for number in z], allowed)


@pytest.mark.parametrize("part", ["value", "derivative"])
@pytest.mark.parametrize("name", FORMULAS)
def test_an_honest_formula_is_within_its_allowance(name, part):
    z = np.linspace(-20, 80, 4001, dtype=np.float32)
    worst = formula_ratios(name, part, z).max()
    assert worst <= 1, f"{part} of {name} is {worst} times its allowance away, but should be at most 1"


FLUSHED = -np.linspace(80, 120, 401, dtype=np.float32)
"""Where σ(z) turns subnormal, and is 0 in an engine that flushes subnormal numbers or lets e^{−z} overflow."""


@pytest.mark.parametrize("part", ["value", "derivative"])
@pytest.mark.parametrize("name", HIDDEN)
def test_an_underflow_within_the_formula_is_allowed(name, part):
    truth, error = (exact.VALUE, rd.value_error) if part == "value" else (exact.DERIVATIVE, rd.derivative_error)
    computed = getattr(ACTIVATIONS[name], part)(FLUSHED)
    allowed = error(name, FLUSHED.astype(float), R)
    with exact.Precision():
        worst = exact.ratios(computed, [truth[name](exact.ball(number)) for number in FLUSHED], allowed).max()
    assert worst <= 1, f"{part} of {name} is {worst} times its allowance away, but should be at most 1"


# --- the equations: honest float32 stays within, and the allowance scales as it states


class Operands:
    """Operands of one layer, in float32."""

    def __init__(self, seed, samples=7, units=5, inputs=6, scale=1.0):
        rng = np.random.default_rng(seed)

        def draw(*shape):
            return (rng.normal(size=shape) * scale).astype(np.float32)

        self.W, self.b, self.a_prev = draw(units, inputs), draw(units), draw(samples, inputs)
        self.delta, self.df = draw(samples, units), draw(samples, inputs)
        self.dW, self.db = draw(units, inputs), draw(units)
        self.terms, self.partial = np.abs(draw(samples, units)), np.abs(draw(samples))


ETA = np.float32(0.1)


def wide(*arrays):
    return tuple(np.asarray(array, dtype=float) for array in arrays)


EQUATIONS = {
    "z": (
        lambda d: eq.total_input(d.W, d.b, d.a_prev),
        lambda d, r: rd.total_input_error(np.abs(d.W).astype(float), *wide(d.b, d.a_prev), r),
        2,
    ),
    "1": (
        lambda d: eq.eq_1(eq.eq_8(d.terms)),
        lambda d, r: rd.eq_1_error(*wide(d.terms, 0 * d.terms), r),
        1,
    ),
    "2a": (
        lambda d: eq.eq_2a(d.W, d.dW, ETA),
        lambda d, r: rd.eq_2_error(eq.eq_2a(*wide(d.W, d.dW), float(ETA)), d.dW.astype(float), float(ETA), r),
        1,
    ),
    "2b": (
        lambda d: eq.eq_2b(d.b, d.db, ETA),
        lambda d, r: rd.eq_2_error(eq.eq_2b(*wide(d.b, d.db), float(ETA)), d.db.astype(float), float(ETA), r),
        1,
    ),
    "7a": (lambda d: eq.eq_7a(d.delta, d.a_prev), lambda d, r: rd.eq_7a_error(*wide(d.delta, d.a_prev), r), 2),
    "7b": (lambda d: eq.eq_7b(d.delta), lambda d, r: rd.eq_7b_error(*wide(d.delta), r), 1),
    "8": (lambda d: eq.eq_8(d.terms), lambda d, r: rd.eq_8_error(*wide(d.terms, 0 * d.terms), r), 1),
    "14": (
        lambda d: eq.eq_14(d.df, d.delta, d.W),
        lambda d, r: rd.eq_14_error(
            d.df.astype(float),
            np.zeros(d.df.shape),
            d.delta.astype(float) @ d.W,
            np.abs(d.delta).astype(float) @ np.abs(d.W),
            len(d.W),
            r,
        ),
        3,
    ),
}
"""Equation, allowance, and the power with which both grow when every operand grows."""


def in_float64(d):
    copy = Operands(0)
    copy.__dict__ = {name: array.astype(float) for name, array in d.__dict__.items()}
    return copy


@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e-16, 1e-30])
@pytest.mark.parametrize("equation", EQUATIONS)
def test_honest_float32_is_within_the_allowance_of_an_equation(equation, scale):
    """Down to operands whose products underflow."""
    compute, error, _ = EQUATIONS[equation]
    for seed in range(20):
        d = Operands(seed, samples=1 + seed % 9, scale=scale)
        distance = np.abs(compute(d).astype(float) - compute(in_float64(d)))
        worst = (distance / error(d, R)).max()
        assert worst <= 1, f"({equation}) is {worst} times its allowance away, but should be at most 1"


@pytest.mark.parametrize("equation", EQUATIONS)
def test_an_allowance_is_not_far_above_what_arithmetic_does(equation):
    """In 20 draws an honest error reaches a thirtieth of it, and ten thousand roundings exceed it in each."""
    compute, error, _ = EQUATIONS[equation]
    ratios = []
    for seed in range(20):
        d = Operands(seed)
        true, allowed = compute(in_float64(d)), error(d, R)
        ratios.append((np.abs(compute(d).astype(float) - true) / allowed).max())
        assert (np.abs(10_000 * R.u * true) / allowed).max() > 1
    assert max(ratios) > 1 / 30, f"({equation}) reaches {max(ratios)} of its allowance only"


@pytest.mark.parametrize("equation", EQUATIONS)
def test_an_allowance_grows_with_its_operands_and_with_u(equation):
    _, error, power = EQUATIONS[equation]
    d = Operands(1)
    base = error(d, WITHOUT_UNDERFLOW)
    grown = Operands(1)
    grown.__dict__ = {name: array * np.float32(8) for name, array in d.__dict__.items()}
    if equation == "z":  # the bias grows with the product of the others
        grown.b = d.b * np.float32(64)
    assert np.allclose(error(grown, WITHOUT_UNDERFLOW), base * 8.0**power, rtol=1e-12, atol=0)

    finer = dataclasses.replace(WITHOUT_UNDERFLOW, u=R.u / 1024)
    assert np.allclose(error(d, finer), base / 1024, rtol=1e-5, atol=0)

    assert (error(d, R) > base * (1 - 1e-15)).all()
    nothing = Operands(1, scale=0.0)
    assert (error(nothing, WITHOUT_UNDERFLOW) == 0).all()
    assert (error(nothing, R) > 0).all()


def test_the_underflow_of_an_error_term_grows_with_the_batch():
    """An engine underflows in the gradient of the mean, 1/N of δ."""
    for samples in (1, 4, 16):
        nothing = Operands(1, samples=samples, scale=0.0)
        assert (EQUATIONS["14"][1](nothing, R) >= samples * R.underflow).all()
        z, y = np.full((samples, 2), -200.0), np.zeros((samples, 2))
        allowed = rd.eq_9_error("binary_cross_entropy_on_logits", "sigmoid", z, np.zeros_like(z), y, R)
        assert (allowed >= samples * R.underflow).all()


def test_eq_8_and_eq_1_carry_the_errors_of_their_contributions():
    terms, errors = np.zeros((4, 3)), np.full((4, 3), 2.0**-10)
    assert np.array_equal(rd.eq_8_error(terms, errors, WITHOUT_UNDERFLOW), np.full(4, 3 * 2.0**-10))
    assert rd.eq_1_error(terms, errors, WITHOUT_UNDERFLOW) == 3 * 2.0**-10


# --- (9)

ROUTES = [
    ("half_squared_error", "tanh"),
    ("half_squared_error", "softmax"),
    ("binary_cross_entropy", "sigmoid"),
    ("categorical_cross_entropy", "softmax"),
    ("binary_cross_entropy_on_logits", "sigmoid"),
    ("categorical_cross_entropy_on_logits", "softmax"),
]


def output_error_terms(loss, output, z, a, y):
    if LOSSES[loss].on_logits:
        return LOSSES[loss].derivative(z, y)
    return eq.eq_9(LOSSES[loss].derivative(a, y), ACTIVATIONS[output].derivative(z))


@pytest.mark.parametrize(("loss", "output"), ROUTES)
def test_honest_float32_is_within_the_allowance_of_eq_9(loss, output):
    reached = 0.0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        z = (rng.normal(size=(6, 4)) * 2).astype(np.float32)
        a = ACTIVATIONS[output].value(z)
        y = rng.dirichlet(np.ones(4), size=6).astype(np.float32)
        operands = wide(z, a, y)
        computed = output_error_terms(loss, output, z, a, y)
        assert computed.dtype == np.float32
        ratio = np.abs(computed - output_error_terms(loss, output, *operands)) / rd.eq_9_error(
            loss, output, *operands, R
        )
        reached = max(reached, ratio.max())
    assert 1 / 30 < reached <= 1, f"(9) reaches {reached} of its allowance"


# --- a large product of sizes is taken in float32, and stays an upper bound


def large(rng, scale):
    return rng.normal(size=(64, 200)) * scale, rng.normal(size=(200, 100))


@pytest.mark.parametrize("scale", [1.0, 2.0**-20, 2.0**19 / 8])
def test_a_large_product_of_sizes_is_an_upper_bound_and_close(scale):
    A, B = large(np.random.default_rng(5), scale)
    assert A.size * B.shape[1] >= rd.LARGE
    exact_product = np.abs(A) @ np.abs(B)
    bound = rd.product_of_sizes(A, B, 0.5)
    slack = 2 * rd.gamma(A.shape[1] + 3, 2.0**-24)
    ratio = bound / (0.5 * exact_product)
    assert ratio.min() >= 1 - 1e-13, f"bound is {ratio.min()} of the product, but should be at least 1"
    assert ratio.max() <= 1 + slack, f"bound is {ratio.max()} of the product, but should be at most {1 + slack}"


@pytest.mark.parametrize("planted", [np.nan, np.inf, 1e30, 2.0**21])
def test_a_number_out_of_range_leaves_the_product_to_float64(planted):
    A, B = large(np.random.default_rng(6), 1.0)
    A[3, 4] = planted
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(rd.product_of_sizes(A, B), np.abs(A) @ np.abs(B))


def test_a_vanishing_product_is_left_to_float64():
    A, B = large(np.random.default_rng(7), 1.0)
    A[3] = 0
    np.testing.assert_array_equal(rd.product_of_sizes(A, B), np.abs(A) @ np.abs(B))
