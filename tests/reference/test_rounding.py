"""The allowances: never below what honest arithmetic does, and of the size they state.

Honest arithmetic is NumPy's float32, in several orders, or half precision rounded where the model says that engines
round it; the true number is a fraction, or a ball.
"""

import dataclasses
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.contract import ENGINES
from reference import accuracy, activations
from reference import equations as eq
from reference import rounding as rd
from reference.activations import ACTIVATIONS, HIDDEN
from reference.arithmetic import Arithmetic
from reference.cases import draw_labels
from reference.losses import LOSSES
from tests.arithmetics import arithmetic
from tests.reference import exact
from tests.tables import over

U = rd.UNIT_ROUNDOFF["float32"]
R = rd.rounding("float32")
WITHOUT_UNDERFLOW = dataclasses.replace(R, underflow=0.0, read=0.0)

halves = over("dtype", rd.HALF)


# --- formats and gamma


def test_the_formats_are_four():
    assert set(rd.DTYPES) == set(rd.UNIT_ROUNDOFF) == set(rd.UNDERFLOW) == set(rd.LARGEST) == set(rd.FORMATS)
    assert len(rd.DTYPES) == 4
    assert set(rd.HALF) == {"float16", "bfloat16"}


@pytest.mark.parametrize("dtype", rd.DTYPES)
def test_constants_are_those_of_the_format(dtype):
    info = ml_dtypes.finfo(rd.FORMATS[dtype])
    one = rd.FORMATS[dtype].type(1)
    assert float(info.eps) / 2 == rd.UNIT_ROUNDOFF[dtype]
    assert float(info.max) == rd.LARGEST[dtype]
    assert one + rd.FORMATS[dtype].type(rd.UNIT_ROUNDOFF[dtype]) == one
    below = float(info.smallest_subnormal) / 2 if dtype == "float16" else float(info.smallest_normal)
    assert rd.UNDERFLOW[dtype] == below


@over("engine", [None, *ENGINES, "mine"])
@over("dtype", rd.DTYPES)
def test_rounding_is_that_of_the_engine_and_of_the_reference(dtype, engine):
    r = rd.rounding(dtype, arithmetic(engine))
    half, reference = dtype in rd.HALF, 2.0**-53
    assert r.u == rd.UNIT_ROUNDOFF[dtype] + reference
    assert r.v == (2.0**-24 if half else rd.UNIT_ROUNDOFF[dtype]) + reference
    assert (r.dtype, r.arithmetic) == (dtype, arithmetic(engine))
    undeclared = engine in (None, "mine")
    assert (r.underflow, r.largest) == (rd.UNDERFLOW[dtype], rd.LARGEST[dtype])
    reads = dtype != "float16" and (undeclared or engine in ("jax-jit", "jax-whole"))
    assert r.read == (float(ml_dtypes.finfo(rd.FORMATS[dtype]).smallest_normal) if reads else 0)
    assert r.mean_of_all == (undeclared or engine == "torch-eager")
    assert r.stored == (r.u if half else 0)
    assert r.operand == (r.u if engine == "jax-whole" or (half and undeclared) else 0)
    assert r.sums == (r.v if engine in ("numpy", "torch-eager") else r.u)
    for what in ("value", "derivative"):
        assert r.k("tanh", what) == accuracy.k("tanh", what, dtype, arithmetic(engine).accuracy)


def test_rounding_to_a_format_gives_its_nearest_number():
    third, beyond = np.array([1 / 3, -1 / 3, 1 + 2.0**-12, 2.0**-25 * 1.5]), np.array([65520.0, -1e6, 65519.0])
    assert np.array_equal(rd.rounded(third, "float16"), third.astype("float16").astype(float))
    assert rd.rounded(beyond, "float16").tolist() == [np.inf, -np.inf, 65504.0]
    assert rd.rounded(np.array([1 + 2.0**-8, 1 + 3 * 2.0**-8]), "bfloat16").tolist() == [1.0, 1 + 2.0**-6]
    for dtype in rd.DTYPES:
        assert np.isnan(rd.rounded(np.array([np.nan]), dtype)).all()


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
    allowed = Fraction(float(rd.contraction(len(x), np.float64(float(true_size(x, y))), np.zeros(()), r)))
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


EXACT = ("identity", "relu", "relu6", "hardtanh", "hardshrink")
"""Functions that select: value and derivative are those of the table in any format."""


@over("name", ACTIVATIONS)
def test_a_function_that_rounds_nothing_is_allowed_underflow_only(name):
    z = np.array([[-3.0, 0.75, 4.0]])
    f = ACTIVATIONS[name]
    underflow = R.underflow * rd.amplified(f, z)
    assert (rd.amplified(f, z) >= 1 + np.abs(z)).all()
    for error in (rd.value_error, rd.derivative_error):
        allowed = error(f, z, R)
        if name in EXACT:
            assert (allowed == underflow).all()
    if name not in EXACT:
        assert (rd.value_error(f, z, R) > R.u * 2.0**-30).any()


@over("name", ACTIVATIONS)
@over("dtype", rd.DTYPES)
def test_a_scalar_allowance_is_k_u_s(name, dtype):
    z = np.array([[-3.0, 0.5, 4.0]])
    f, r = ACTIVATIONS[name], dataclasses.replace(rd.rounding(dtype), underflow=0.0, operand=0.0)
    k = {part: r.k(name, "value" if f.coupled else part) for part in ("value", "derivative")}
    expected, slope = k["value"] * r.u * f.value_scale(z), k["derivative"] * r.u * f.derivative_scale(z)
    if r.stored:
        exponents = rd.exponents_error(f, z, r) if f.coupled else 0.0
        expected = np.where(f.value_scale(z) > 0, np.maximum(expected, r.u * np.abs(f.value(z)) + exponents), expected)
    if f.coupled:
        slope = np.maximum(slope, rd.of_softmax(f, z, rd.softmax_within(f, z, r)))
    assert np.allclose(rd.value_error(f, z, r), expected, rtol=1e-15, atol=0)
    assert np.allclose(rd.derivative_error(f, z, r), slope, rtol=1e-15, atol=0)


@pytest.mark.parametrize(("name", "parameters"), [("elu", {"alpha": 7.0}), ("softplus", {"beta": 3.0})])
def test_an_allowance_is_that_of_the_function_with_its_own_parameters(name, parameters):
    z = np.array([[-3.0, 0.5, 4.0]])
    f = activations.activation(name, parameters)
    assert (rd.value_error(f, z, R) != rd.value_error(ACTIVATIONS[name], z, R)).any()
    allowed = R.k(name, "value") * R.u * f.value_scale(z) + R.underflow * rd.amplified(f, z)
    assert np.allclose(rd.value_error(f, z, R), allowed, rtol=1e-15, atol=0)


def test_a_loss_whose_derivative_no_engine_shows_has_its_operations_counted():
    assert {name for name, loss in LOSSES.items() if loss.outputs and not loss.on_logits} == {
        *rd.DERIVATIVE_ROUNDINGS,
        "cosine_distance",
    }


@halves
def test_a_softmax_of_two_stored_in_half_precision_is_within_its_allowance(dtype):
    """k_f is of a sample: it must not count for less than a correct rounding of the result."""
    f = ACTIVATIONS["softmax"]
    z = rd.rounded(np.random.default_rng(0).normal(size=(4000, 2)) * np.array([[1.0], [0.1]] * 2000), dtype)
    for engine in (None, *ENGINES):
        ratio = np.abs(rd.rounded(f.value(z), dtype) - f.value(z)) / rd.value_error(
            f, z, rd.rounding(dtype, arithmetic(engine))
        )
        assert ratio.max() <= 1, f"{engine}: rounding is {ratio.max()} of what is allowed, but should be at most 1"


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
    allowed = error(ACTIVATIONS[name], z.astype(float), R)
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


@over("part", ["value", "derivative"])
@over("name", HIDDEN)
def test_an_underflow_within_the_formula_is_allowed(name, part):
    truth, error = (exact.VALUE, rd.value_error) if part == "value" else (exact.DERIVATIVE, rd.derivative_error)
    computed = getattr(ACTIVATIONS[name], part)(FLUSHED)
    allowed = error(ACTIVATIONS[name], FLUSHED.astype(float), R)
    with exact.Precision():
        worst = exact.ratios(computed, [truth[name](exact.ball(number)) for number in FLUSHED], allowed).max()
    assert worst <= 1, f"{part} of {name} is {worst} times its allowance away, but should be at most 1"


# --- what a sample of inputs may miss


@halves
@pytest.mark.parametrize("engine", ENGINES)
def test_a_stored_result_may_err_by_u_times_its_size_whatever_was_measured(dtype, engine):
    """Up to 20, where k_f was measured, z − 1 is a number of bfloat16; above 256 it is none: there every other is."""
    f, r = ACTIVATIONS["tanhshrink"], rd.rounding(dtype, arithmetic(engine))
    z = 1 / rd.UNIT_ROUNDOFF[dtype] + np.arange(2.0, 64, 2)
    stored = rd.rounded(f.value(z), dtype)
    off = np.abs(stored - f.value(z))
    assert off.max() == 1
    assert (off <= rd.value_error(f, z, r)).all()
    assert (3 * r.u * z > rd.value_error(f, z, r)).all()


def test_a_function_that_rounds_nothing_has_no_stored_result():
    z = np.array([[300.0]])
    for name in EXACT:
        assert rd.value_error(ACTIVATIONS[name], z, rd.rounding("bfloat16", arithmetic("numpy"))) < 1e-30


def stepwise(name, z, dtype):
    """Softmax or log-softmax with every step rounded."""

    def kept(array):
        return rd.rounded(array, dtype)

    shift = kept(z - z.max(axis=1, keepdims=True))
    e = kept(np.exp(shift))
    total = kept(e.sum(axis=1, keepdims=True))
    return kept(e / total) if name == "softmax" else kept(shift - kept(np.log(total)))


@halves
@pytest.mark.parametrize("size", [4.0, 15.0, 60.0])
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_exponents_that_are_rounded_are_within_the_allowance(name, dtype, size):
    """z_t − m = −67 is off by up to 67 u = 0.26 in bfloat16, which e^… turns into 0.3."""
    rng = np.random.default_rng(3)
    z = rd.rounded(rng.uniform(-size, size, size=(4000, 6)), dtype)
    f, r = ACTIVATIONS[name], rd.rounding(dtype, arithmetic("jax-jit"))
    off = np.abs(stepwise(name, z, dtype) - f.value(z))
    least = rd.exponents_error(f, z, r) + r.stored * np.abs(f.value(z)) + 2 * r.underflow
    worst = (off / least).max()
    assert 0.5 < worst <= 1
    assert (off <= rd.value_error(f, z, r)).all()


def test_as_measured_alone_exponents_would_be_a_false_alarm():
    """k_f was measured up to 20, where what does not grow with the exponents is most of the scale."""
    z = rd.rounded(np.random.default_rng(3).uniform(-60, 60, size=(40_000, 2)), "bfloat16")
    f, r = ACTIVATIONS["softmax"], rd.rounding("bfloat16", arithmetic("jax-jit"))
    off = np.abs(stepwise("softmax", z, "bfloat16") - f.value(z))
    assert (off > r.k("softmax", "value") * r.u * f.value_scale(z) + r.underflow * rd.amplified(f, z)).any()
    assert (off <= rd.value_error(f, z, r)).all()


@pytest.mark.parametrize("dtype", rd.DTYPES)
def test_the_softmax_of_a_stored_log_softmax_is_within_the_allowance(dtype):
    """e^a, as autodiff takes log-softmax back: with e^−60, each rounding of −60 is one of 60 u."""
    z = rd.rounded(np.random.default_rng(4).uniform(-60, 60, size=(4000, 3)), dtype)
    f, r = ACTIVATIONS["log_softmax"], rd.rounding(dtype, arithmetic("jax-jit"))
    if dtype == "float64":
        computed = np.exp(activations.log_softmax(z))
    elif dtype == "float32":
        computed = np.exp(activations.log_softmax(z.astype(np.float32))).astype(float)
    else:
        computed = rd.rounded(np.exp(stepwise("log_softmax", z, dtype)), dtype)
    off = np.abs(computed - activations.softmax(z))
    # its own rounding, which the products of (9) allow for
    within = rd.softmax_within(f, z, r) + r.u * activations.softmax(z) + 2 * r.underflow
    assert 0.3 < (off / within).max() <= 1


def test_where_softmax_is_0_its_allowance_is_a_number():
    z = np.array([[0.0, -1e5, -1e8]])
    for name in ("softmax", "log_softmax"):
        for error in (rd.value_error, rd.derivative_error):
            assert np.isfinite(error(ACTIVATIONS[name], z, rd.rounding("bfloat16"))).all()


def halved(z, factors, dtype):
    """e^z − 1 as 2 tanh(z/2), to first order, with every step rounded; then times each factor, rounded."""
    result = rd.rounded(2 * rd.rounded(z / 2, dtype), dtype)
    for factor in factors:
        result = rd.rounded(factor * result, dtype)
    return result


@pytest.mark.parametrize("alpha", [1.0, 1.7, 2.0, 7.0])
@pytest.mark.parametrize("name", ["elu", "celu", "selu"])
def test_half_of_a_subnormal_number_may_count_twice_in_an_exponential(name, alpha):
    z = -np.arange(1.0, 400) * 2.0**-24
    f = ACTIVATIONS["selu"] if name == "selu" else activations.activation(name, {"alpha": alpha})
    steps = {
        "elu": (z, (alpha,)),
        "celu": (rd.rounded(z / alpha, "float16"), (alpha,)),
        "selu": (z, rd.rounded(np.array([activations.SELU_ALPHA, activations.SELU_SCALE]), "float16")),
    }[name]
    off = np.abs(halved(*steps, "float16") - f.value(z))
    r = rd.rounding("float16", arithmetic("jax-jit"))
    assert (off <= rd.value_error(f, z, r)).all()
    assert off.max() > rd.value_error(f, z, r).min() / 4


def test_without_the_halving_selu_would_be_a_false_alarm():
    """XLA's float16: z of −101 steps becomes −100, and SELU −175 steps in place of −177.6."""
    z, r = np.array([-101 * 2.0**-24]), rd.rounding("float16", arithmetic("jax-jit"))
    off = np.abs(-175 * 2.0**-24 - ACTIVATIONS["selu"].value(z))
    without = (
        rd.value_error(ACTIVATIONS["selu"], z, r) - 3 * activations.SELU_SCALE * activations.SELU_ALPHA * r.underflow
    )
    assert without < off <= rd.value_error(ACTIVATIONS["selu"], z, r)


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_what_is_read_as_zero_is_allowed_to_an_engine_that_does_so_alone(dtype):
    below = rd.UNDERFLOW[dtype] * (1 - 2.0**-7)
    large, tiny, none = np.full((2, 3), 12.0), np.full((4, 3), below), np.zeros(4)
    flushing, keeping = rd.rounding(dtype, arithmetic("jax-jit")), rd.rounding(dtype, arithmetic("numpy"))
    for W, a in ((tiny, large), (12 * np.ones((4, 3)), np.full((2, 3), below))):
        z = eq.total_input(W, none, a)
        assert (z <= rd.total_input_error(W, none, a, flushing)).all()
        assert (z > rd.total_input_error(W, none, a, keeping)).all()
        assert (2 * z > rd.total_input_error(W, none, a, flushing)).all()
    for delta, a in (
        (12 * np.ones((4, 3)), np.full((4, 2), below)),
        (np.full((4, 3), 4 * below), 12 * np.ones((4, 2))),
    ):
        dW = eq.eq_7a(delta, a)  # the engine holds δ/4
        assert (dW <= rd.eq_7a_error(delta, a, flushing)).all()
        assert (dW > rd.eq_7a_error(delta, a, keeping)).all()
        assert (3 * dW > rd.eq_7a_error(delta, a, flushing)).all()


def test_nothing_is_read_as_zero_in_float16():
    for engine in (None, *ENGINES):
        assert rd.read_as_zero(np.ones((2, 2)), np.ones((2, 2)), rd.rounding("float16", arithmetic(engine))) == 0


@pytest.mark.parametrize("dtype", rd.DTYPES)
@pytest.mark.parametrize("n", [1, 3, 64])
def test_squares_that_underflow_are_allowed_for_and_no_more_than_leaves_a_number(dtype, n):
    """Norms whose squares are cut at multiples of the underflow step, down to the last that is left."""
    loss, r, step = LOSSES["cosine_distance"], rd.rounding(dtype), 2 * rd.UNDERFLOW[dtype]
    rng = np.random.default_rng(5)
    size = np.sqrt(step) * 2 ** rng.uniform(-1, 8, size=(500, 1))
    a, y = size * rng.normal(size=(500, n)), np.ones((500, n))
    square = np.round(np.square(a) / step).sum(axis=1, keepdims=True) * step
    left = square[:, 0] > 0
    assert left.sum() > 10
    a, y, norm = a[left], y[left], np.sqrt(square[left])
    unit, label = a / norm, y / np.sqrt(n)
    c = (unit * label).sum(axis=1, keepdims=True)
    lost = rd.lost_squares(loss, a, y, r)
    assert (np.abs(1 / n - unit * label - loss.value(a, y)) <= lost * loss.value_scale(a, y)).all()
    slope = (c * unit - label) / norm
    assert (np.abs(slope - loss.derivative(a, y)) <= lost * loss.derivative_scale(a, y) * (1 + 1e-9)).all()
    tiny = np.full((1, n), np.sqrt(step) / 2**20)
    with np.errstate(over="ignore"):
        assert np.array_equal(rd.lost_squares(loss, tiny, np.ones((1, n)), r), np.full((1, 1), (1 + n) ** 1.5))


def test_a_residual_that_is_read_as_zero_is_at_the_kink():
    loss, a = LOSSES["absolute_error"], np.array([[2.0**-127, -(2.0**-127), 2.0**-124, -(2.0**-124), 1.0]])
    y = np.zeros_like(a)
    for engine, lowest, highest in (
        ("jax-jit", [-1, -1, 1, -1, 1], [1, 1, 1, -1, 1]),
        ("numpy", [1, -1, 1, -1, 1], [1, -1, 1, -1, 1]),
        ("torch-eager", [1, -1, 1, -1, 1], [1, -1, 1, -1, 1]),
    ):
        ends = rd.interval(loss, a, y, rd.rounding("float32", arithmetic(engine)))
        assert np.array_equal(ends, [[lowest], [highest]])


def test_the_mean_of_all_components_underflows_n_times_as_early():
    """torch multiplies a − y by 2/(N n) first: in float16, 4/2048 of 0.0017 is known to 55 steps, not to 2¹⁰."""
    z, loss, f = np.zeros((4, 256)), LOSSES["half_squared_error"], ACTIVATIONS["identity"]
    errors = {
        engine: rd.eq_9_error(loss, f, z, z, z, rd.rounding("float16", arithmetic(engine))) / rd.UNDERFLOW["float16"]
        - 1  # of a − y
        for engine in ("torch-eager", "jax-jit", "numpy", None)
    }
    assert (errors["torch-eager"] == 256 * errors["jax-jit"]).all()
    assert (errors["numpy"] == errors["jax-jit"]).all()
    assert (errors[None] == errors["torch-eager"]).all()


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
        lambda d, r: rd.total_input_error(*wide(d.W, d.b, d.a_prev), r),
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
            np.abs(d.df).astype(float),
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


@over("scale", [1.0, 1e-3, 1e-16, 1e-30])
@over("equation", EQUATIONS)
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

    finer = dataclasses.replace(WITHOUT_UNDERFLOW, u=R.u / 1024, v=R.v / 1024, sums=R.sums / 1024)
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
        loss, f = LOSSES["binary_cross_entropy_on_logits"], ACTIVATIONS["sigmoid"]
        allowed = rd.eq_9_error(loss, f, z, np.zeros_like(z), y, R)
        assert (allowed >= samples * R.underflow).all()


def test_eq_8_and_eq_1_carry_the_errors_of_their_contributions():
    terms, errors = np.zeros((4, 3)), np.full((4, 3), 2.0**-10)
    assert np.array_equal(rd.eq_8_error(terms, errors, WITHOUT_UNDERFLOW), np.full(4, 3 * 2.0**-10))
    assert rd.eq_1_error(terms, errors, WITHOUT_UNDERFLOW) == 3 * 2.0**-10


# --- half precision: each term is needed, and suffices


def spaced(dtype):
    """u of a format: 1 + 2u follows 1, and 1 + u is rounded to 1."""
    return rd.UNIT_ROUNDOFF[dtype]


def without(r, term):
    return dataclasses.replace(r, **{term: r.v if term == "sums" else 0.0})


def column(*numbers):
    return np.array(numbers, dtype=float)[:, np.newaxis]


def assert_needed(error, allowed, r, term):
    """An error that honest arithmetic commits: within the allowance, but not without that term of it."""
    ratio = float(np.squeeze(error)) / float(np.squeeze(allowed(r)))
    assert ratio <= 1, f"error is {ratio} of its allowance, but should be at most 1"
    assert np.squeeze(error) > np.squeeze(allowed(without(r, term))), f"{term} is allowed for, but not needed"
    return ratio


@halves
def test_a_total_input_is_stored_twice(dtype):
    """Wa = 1 + u is stored as 1, and so is 1 + u once more: z = 1 + 2u is reported as 1."""
    u, r = spaced(dtype), rd.rounding(dtype, arithmetic("torch-eager"))
    W, b, a = column(1.0, u).T, np.array([u]), np.ones((1, 2))
    stored = rd.rounded(rd.rounded(eq.total_input(W, 0 * b, a), dtype) + b, dtype)
    error = eq.total_input(W, b, a) - stored
    assert (stored.item(), error.item()) == (1.0, 2 * u)

    def allowed(r):
        return rd.total_input_error(W, b, a, r)

    assert assert_needed(error, allowed, r, "stored") > 0.95
    assert error > allowed(dataclasses.replace(r, stored=r.u / 2))  # once is not enough


@halves
def test_gradients_and_losses_are_stored(dtype):
    """Sums of 1 and u, accumulated exactly and stored as 1."""
    u, r = spaced(dtype), rd.rounding(dtype, arithmetic("torch-eager"))
    d, one = column(1.0, u), np.ones((2, 1))
    for exact_sum, allowed in (
        (eq.eq_7a(d, one), lambda r: rd.eq_7a_error(d, one, r)),
        (eq.eq_7b(d), lambda r: rd.eq_7b_error(d, r)),
        (eq.eq_8(d.T), lambda r: rd.eq_8_error(d.T, 0 * d.T, r)),
        (eq.eq_1(eq.eq_8(d)), lambda r: rd.eq_1_error(d, 0 * d, r)),
    ):
        error = np.squeeze(exact_sum) - rd.rounded(np.squeeze(exact_sum), dtype)
        assert error > 0
        assert_needed(error, allowed, r, "stored")


@halves
def test_the_total_loss_is_stored_three_times(dtype):
    """L_i, their sum and its quotient by N: with N = 3 each rounds in its turn, and down."""
    u, r = spaced(dtype), rd.rounding(dtype, arithmetic("torch-eager"))
    terms = column(1 + u, 1 + u, 1 + u)
    partial = rd.rounded(terms, dtype)
    found = rd.rounded(rd.rounded(partial.sum(), dtype) / 3, dtype)
    assert_needed(terms.mean() - found, lambda r: rd.eq_1_error(terms, 0 * terms, r), r, "stored")


@halves
def test_a_hidden_error_term_is_stored_and_so_are_its_products(dtype):
    """δW = 1 + u is stored as 1; 1 · f' with f' = 1 + 2u, in two factors, is stored twice."""
    u, r = spaced(dtype), rd.rounding(dtype, arithmetic("torch-eager"))
    delta, W, df = column(1.0, u).T, np.ones((2, 1)), np.array([[1 + 2 * u]])
    stored = rd.rounded(rd.rounded(eq.eq_14(np.ones_like(df), delta, W), dtype) * df, dtype)
    error = (eq.eq_14(df, delta, W) - stored).item()
    summed = delta @ W
    assert_needed(error, lambda r: rd.eq_14_error(df, 0 * df, summed, summed, 2, r), r, "stored")


@pytest.mark.parametrize("engine", [None, "jax-jit", "jax-whole"])
@halves
def test_plain_sums_may_be_accumulated_in_half(dtype, engine):
    """1 + u + u + …, each sum rounded: it stays 1, however many there are."""
    u, r = spaced(dtype), rd.rounding(dtype, arithmetic(engine))
    delta = column(1.0, *[u] * 15)
    total = 0.0
    for number in delta[:, 0]:
        total = rd.rounded(np.float64(total + number), dtype)
    assert total == 1
    error = (delta.sum() - total) / 16
    alone = dataclasses.replace(r, operand=0.0)
    assert_needed(error, lambda r: rd.eq_7b_error(delta, r), alone, "sums")
    for other in ("numpy", "torch-eager"):
        assert error > rd.eq_7b_error(delta, rd.rounding(dtype, arithmetic(other))), f"{other} accumulates in float32"


@halves
def test_an_operand_may_be_used_before_it_was_rounded(dtype):
    """A fusion keeps 1 + u and −1 + u/2, and reports 1 and −1, whose sum is 0."""
    u, r = spaced(dtype), rd.rounding(dtype)
    kept = column(1 + 0.99 * u, -(1 - 0.49 * u))
    told = rd.rounded(kept, dtype)
    assert told[:, 0].tolist() == [1.0, -1.0]
    one = np.ones((2, 1))
    size = np.full((1, 1), 2.0)
    zero = np.zeros((1, 1))
    cases = (
        (eq.total_input(kept.T, np.zeros(1), one.T), lambda r: rd.total_input_error(told.T, np.zeros(1), one.T, r)),
        (eq.eq_7a(kept, one), lambda r: rd.eq_7a_error(told, one, r)),
        (eq.eq_7b(kept), lambda r: rd.eq_7b_error(told, dataclasses.replace(r, sums=r.v))),
        (eq.eq_14(one[:1], kept.T, one), lambda r: rd.eq_14_error(one[:1], zero, zero, size, 2, r)),
    )
    for unrounded, allowed in cases:
        error = rd.rounded(np.squeeze(unrounded), dtype)  # the sum of what is reported is 0
        assert_needed(error, allowed, r, "operand")
        for other in ("numpy", "torch-eager", "jax-jit"):
            assert error > np.squeeze(allowed(rd.rounding(dtype, arithmetic(other)))), f"{other} rounds every result"


@halves
def test_both_operands_of_a_weight_gradient_may_be_unrounded(dtype):
    """(1 + u)² − (1 − u/2)² = 3u: more than one operand's share of Σ|δ||a| = 2."""
    u, r = spaced(dtype), rd.rounding(dtype)
    delta, a = column(1 + 0.99 * u, -(1 - 0.49 * u)), column(1 + 0.99 * u, 1 - 0.49 * u)
    error = eq.eq_7a(delta, a).item()
    allowed = rd.eq_7a_error(rd.rounded(delta, dtype), rd.rounded(a, dtype), r).item()
    assert 0.5 < error / allowed <= 1


def farthest(f, z, u):
    """How far f moves while z is any number that is rounded to z."""
    ends = (z * (1 + 0.99 * u), z * (1 - 0.49 * u))
    return np.maximum.reduce([np.abs(f(end) - f(z)) for end in ends])


NEEDED = {
    "value": {
        *("identity", "sigmoid", "logsigmoid", "softplus", "silu", "mish", "elu", "celu", "relu", "leaky_relu"),
        *("relu6", "hardtanh", "softshrink", "hardshrink"),
    },
    "derivative": {
        *("sigmoid", "silu", "relu6", "hardtanh", "hardsigmoid", "hardswish", "softshrink", "hardshrink"),
    },
}
"""Functions that an unrounded operand moves by more than they may err by themselves, within |z| ≤ 8."""


@over("part", NEEDED)
@over("name", HIDDEN)
@halves
def test_a_function_of_an_unrounded_operand_is_within_its_allowance(dtype, name, part):
    """Kinks and jumps included: z may lie on the one side, and the z that is reported on the other."""
    f, r = ACTIVATIONS[name], rd.rounding(dtype)
    error = {"value": rd.value_error, "derivative": rd.derivative_error}[part]
    z = rd.rounded(np.linspace(-8, 8, 1601)[:, np.newaxis], dtype)
    moved = farthest(getattr(f, part), z, spaced(dtype))
    ratio = (moved / error(f, z, r)).max()
    assert ratio <= 1, f"error is {ratio} of its allowance, but should be at most 1"
    exceeds = (moved > error(f, z, without(r, "operand"))).any()
    assert exceeds or name not in NEEDED[part]


@halves
def test_a_loss_of_an_unrounded_operand_is_within_its_allowance(dtype):
    u, r = spaced(dtype), rd.rounding(dtype)
    loss, p, y = LOSSES["half_squared_error"], np.array([[4.0]]), np.array([[3.75]])

    def moved(f):
        return np.abs(f(p * (1 + 0.99 * u), y) - f(p, y)).item()

    assert_needed(moved(loss.value), lambda r: rd.contribution_error(loss, p, y, r), r, "operand")
    assert_needed(moved(loss.derivative), lambda r: rd.loss_derivative_error(loss, p, y, r), r, "operand")


class HalfEngine:
    """An engine that rounds where the model says; a fused one uses a, δ and z before they were rounded."""

    def __init__(self, dtype, fused):
        self.dtype, self.fused = dtype, fused

    def store(self, array):
        return rd.rounded(np.asarray(array, dtype=float), self.dtype)

    def operand(self, rng, array):
        """A number that is rounded to the one reported."""
        if not self.fused:
            return array
        u = rd.UNIT_ROUNDOFF[self.dtype]
        moved = array * (1 + rng.uniform(-0.49, 0.49, size=array.shape) * u)
        return np.where(self.store(moved) == array, moved, array)


def half_layer(dtype, fused, seed, scale):
    """(equation, what the engine gives, what is right, allowance), on operands of the format."""
    rng, engine = np.random.default_rng(seed), HalfEngine(dtype, fused)
    samples, units, inputs = (int(n) for n in rng.integers(1, 9, size=3))

    def draw(*shape):
        return rd.rounded(rng.normal(size=shape) * scale, dtype)

    W, b, a, delta, df = (
        draw(units, inputs),
        draw(units),
        draw(samples, inputs),
        draw(samples, units),
        draw(samples, inputs),
    )
    use_a, use_delta = engine.operand(rng, a), engine.operand(rng, delta)
    store = engine.store
    r = rd.rounding(dtype, arithmetic(None if fused else "torch-eager"))
    summed, size = delta @ W, np.abs(delta) @ np.abs(W)
    zero = np.zeros_like(df)
    yield "z", store(store(use_a @ W.T) + b), eq.total_input(W, b, a), rd.total_input_error(W, b, a, r)
    yield "7a", store(eq.eq_7a(use_delta, use_a)), eq.eq_7a(delta, a), rd.eq_7a_error(delta, a, r)
    yield "7b", store(eq.eq_7b(use_delta)), eq.eq_7b(delta), rd.eq_7b_error(delta, r)
    hidden = store(store(use_delta @ W) * df)
    yield "14", hidden, eq.eq_14(df, delta, W), rd.eq_14_error(np.abs(df), zero, summed, size, units, r)
    terms = np.abs(delta)
    partial = store(eq.eq_8(terms))
    yield "8", partial, eq.eq_8(terms), rd.eq_8_error(terms, 0 * terms, r)
    yield "1", store(store(partial.sum()) / samples), eq.eq_1(eq.eq_8(terms)), rd.eq_1_error(terms, 0 * terms, r)


@halves
@settings(max_examples=200)
@given(st.integers(0, 2**32), st.sampled_from([1.0, 2.0**-6, 2.0**-14]))
@pytest.mark.parametrize("fused", [False, True])
def test_an_engine_that_rounds_where_the_model_says_is_within_every_allowance(dtype, fused, seed, scale):
    """Down to operands whose products underflow in float16."""
    for equation, computed, true, allowed in half_layer(dtype, fused, seed, scale):
        apart = np.abs(computed - true)  # nothing is allowed, and nothing apart, where all terms are 0
        assert np.all(apart <= allowed), f"({equation}) is {np.max(apart - allowed)} beyond its allowance"


@halves
def test_float32_has_none_of_these_terms_and_half_is_far_wider(dtype):
    d = Operands(1)
    for equation, (_, error, _) in EQUATIONS.items():
        if equation in ("2a", "2b"):
            continue
        wide_, narrow = error(d, rd.rounding(dtype, arithmetic("numpy"))), error(d, R)
        assert np.median(wide_ / narrow) > 100, equation


# --- (9)

ROUTES = [
    *[(name, loss.outputs[0]) for name, loss in LOSSES.items() if loss.outputs],
    *[
        (name, output)
        for name, loss in LOSSES.items()
        if not loss.outputs
        for output in ("tanh", "softmax", "log_softmax")
    ],
    *[("cosine_distance", output) for output in ("softmax", "log_softmax")],
]
"""Every loss, on its own output, or on an elementwise one and both coupled ones."""


def output_error_terms(loss, f, z, a, y):
    if loss.on_logits:
        return loss.derivative(z, y)
    return eq.eq_9(loss.derivative(a, y), f.derivative(z))


def honest_ratios(loss, f, seed, width):
    rng = np.random.default_rng(seed)
    z = (rng.normal(size=(6, width)) * 2).astype(np.float32)
    a = f.value(z)
    y = draw_labels(rng, loss.labels, 6, width).astype(np.float32)
    computed = output_error_terms(loss, f, z, a, y)
    assert computed.dtype == np.float32
    operands = wide(z, a, y)
    return np.abs(computed - output_error_terms(loss, f, *operands)) / rd.eq_9_error(loss, f, *operands, R)


@over(("loss", "output"), ROUTES)
def test_honest_float32_is_within_the_allowance_of_eq_9(loss, output):
    worst = max(honest_ratios(LOSSES[loss], ACTIVATIONS[output], seed, 4).max() for seed in range(20))
    least = 0.0 if loss in ("absolute_error", "hinge") and output == "identity" else 1 / 50
    assert least <= worst <= 1, f"(9) reaches {worst} of its allowance"


@pytest.mark.parametrize("width", [2, 12, 60])
@pytest.mark.parametrize("output", ["softmax", "log_softmax"])
def test_the_sums_of_a_coupled_output_are_allowed_for(output, width):
    """δ_t = Σ_k g_k ∂a_k/∂z_t has n products, and the diagonal of the Jacobian is a sum of n − 1."""
    for loss in ("huber", "hinge", "half_squared_error"):
        worst = max(honest_ratios(LOSSES[loss], ACTIVATIONS[output], seed, width).max() for seed in range(40))
        assert worst <= 1, f"(9) of {loss} reaches {worst} of its allowance"


def test_the_sums_of_a_coupled_output_are_needed():
    """64 products of one sign: what adding them in any order may lose exceeds the allowance of their factors."""
    f, loss = ACTIVATIONS["log_softmax"], LOSSES["absolute_error"]
    z = np.zeros((1, 64))
    z[0, 0] = 8.0
    a, y = f.value(z), np.full_like(z, 30.0)  # every g_k is −1
    df = f.derivative(z)
    size = eq.eq_9(np.abs(loss.derivative(a, y)), np.abs(df))  # Σ_k |g_k||∂a_k/∂z_t|
    lost = rd.gamma(64, R.u) * size
    assert (lost <= rd.eq_9_error(loss, f, z, a, y, R)).all()
    assert (lost > rd.eq_9_error(loss, f, z, a, y, dataclasses.replace(R, sums=0.0))).any()


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


# --- what an error of the argument moves


def test_a_slope_moves_by_its_ends_and_by_every_kink_between_them():
    hardtanh, relu = ACTIVATIONS["hardtanh"], ACTIVATIONS["relu"]
    z = np.array([[0.0, -0.5, 0.9, 3.0, 1.5]])
    error = np.array([[0.5, 0.25, 0.2, 5.0, 0.25]])
    assert rd.carried_slope(hardtanh, z, error).tolist() == [[0.0, 0.0, 1.0, 1.0, 0.0]]
    assert not rd.variation(hardtanh.derivative, z, error)[0, 3]  # both ends are outside
    assert rd.carried_slope(relu, z, error).tolist() == [[1.0, 0.0, 0.0, 1.0, 0.0]]
    smooth = ACTIVATIONS["tanh"]
    assert np.array_equal(rd.carried_slope(smooth, z, error), rd.variation(smooth.derivative, z, error))


def test_a_jump_is_carried_whole():
    """hardshrink is 0 at ½ and ½ just beyond: f' tells nothing of it."""
    f = ACTIVATIONS["hardshrink"]
    z, error = np.array([[0.5, 0.4, 0.6, -0.5, 2.0]]), np.array([[0.01, 0.2, 0.2, 0.01, 0.5]])
    carried = rd.carried_value(f, z, error)
    moved = rd.variation(f.value, z, error)
    assert np.allclose(moved, [[0.51, 0.6, 0.6, 0.51, 0.5]])
    assert (carried >= moved).all()


@over("name", HIDDEN)
@over("size", [1e-6, 1e-2, 0.3])
def test_a_carried_value_bounds_the_movement(name, size):
    """To first order beyond the kinks: f' bends by at most 1.1 within an error, in every function."""
    f = ACTIVATIONS[name]
    kinks = [kink.at for kink in f.kinks]
    z = np.concatenate([np.linspace(-4, 4, 801), kinks, np.array(kinks) + size / 2])[:, np.newaxis]
    error = np.full_like(z, size)
    allowed = rd.carried_value(f, z, error) * (1 + 1e-9) + 0.5 * size**2 + 1e-12
    for share in np.linspace(-1, 1, 21):
        assert (np.abs(f.value(z + share * error) - f.value(z)) <= allowed).all()


# --- what an engine may declare


@pytest.mark.parametrize("narrow", ["bfloat16", "float16"])
def test_products_of_operands_that_are_rounded_before_are_within_what_is_declared(narrow):
    """z, ∂L/∂W and δ of a hidden layer, from operands in a narrower format; undeclared, they are not allowed."""
    rng = np.random.default_rng(5)
    W, b, a = (rd.rounded(rng.normal(size=shape), "float32") for shape in ((40, 60), (40,), (30, 60)))
    delta = rd.rounded(rng.normal(size=(30, 40)), "float32")
    declared, undeclared = (rd.rounding("float32", Arithmetic(operands=name)) for name in (narrow, None))
    near_W, near_a, near_delta = (rd.rounded(x, narrow) for x in (W, a, delta))
    error = np.abs(near_a @ near_W.T - a @ W.T)
    assert (error <= rd.total_input_error(W, b, a, declared)).all()
    assert (error > rd.total_input_error(W, b, a, undeclared)).any()
    error = np.abs(near_delta.T @ near_a - delta.T @ a) / len(delta)
    assert (error <= rd.eq_7a_error(delta, a, declared)).all()
    assert (error > rd.eq_7a_error(delta, a, undeclared)).any()
    error, sizes = np.abs(near_delta @ near_W - delta @ W), np.abs(delta) @ np.abs(W)
    ones, zeros = np.ones_like(sizes), np.zeros_like(sizes)
    allowed = [rd.eq_14_error(ones, zeros, delta @ W, sizes, len(W), r) for r in (declared, undeclared)]
    assert (error <= allowed[0]).all()
    assert (error > allowed[1]).any()


@pytest.mark.parametrize("dtype", rd.DTYPES)
def test_a_format_that_is_declared_stands_for_the_wider_of_it_and_the_cases_own(dtype):
    r = rd.rounding(dtype, Arithmetic(accumulates_in="float64", sums_in="float64"))
    assert r.v == r.sums == 2 * 2.0**-53
    assert r.stored == (0 if dtype == "float64" else r.u)
    narrow = rd.rounding(dtype, Arithmetic(accumulates_in="float16", sums_in="float16"))
    assert narrow.v == narrow.sums == min(rd.UNIT_ROUNDOFF[dtype], 2.0**-11) + 2.0**-53
