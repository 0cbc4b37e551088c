"""Losses against ball arithmetic, finite differences, their ends, and one route against the other.

How far a value and a derivative may be from the true number is what `reference.rounding` allows in float64.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference import rounding as rd
from reference.activations import ACTIVATIONS
from reference.equations import eq_8, eq_9
from reference.losses import LOSSES
from reference.running_error import variation
from tests.reference import exact

NAMES = tuple(LOSSES)
ON_LOGITS = tuple(name for name in NAMES if LOSSES[name].on_logits)
R = rd.rounding("float64")
U = rd.UNIT_ROUNDOFF["float64"]


def predictions(name, rng, samples=200, width=3):
    """p of a loss: real numbers, probabilities down to 1e-12 from their ends, or logits up to ±40."""
    shape = (samples, width)
    if not LOSSES[name].outputs:
        return rng.normal(size=shape) * 10
    if LOSSES[name].on_logits:
        return rng.normal(size=shape) * rng.choice([0.1, 1, 10], size=(samples, 1))
    near_an_end = np.exp(rng.uniform(np.log(1e-12), np.log(0.5), size=shape))
    return np.where(rng.random(shape) < 0.5, near_an_end, 1 - near_an_end)


def labels(name, rng, samples=200, width=3):
    """Hard, soft and free labels in turn; the first two of a categorical loss sum to 1, the free ones need not."""
    if not LOSSES[name].outputs:
        return rng.normal(size=(samples, width))
    free = rng.random((samples, width))
    if "categorical" in name:
        hard, soft = np.eye(width)[rng.integers(width, size=samples)], rng.dirichlet(np.ones(width), size=samples)
    else:
        hard, soft = rng.integers(2, size=(samples, width)).astype(float), rng.random((samples, width))
    return np.choose(np.arange(samples)[:, np.newaxis] % 3, [hard, soft, free])


def ratios(name, part, f, p, y):
    """Distance of f(p, y) from the true value or derivative, in units of the allowance."""
    truth = exact.LOSS if part == "value" else exact.LOSS_DERIVATIVE
    error = rd.contribution_error if part == "value" else rd.loss_derivative_error
    with exact.Precision():
        numbers = []
        for row, label in zip(p, y, strict=True):
            numbers += truth[name]([exact.ball(number) for number in row], [exact.ball(number) for number in label])
        return exact.ratios(f(p, y), numbers, error(name, p, y, R))


def within(ratios, what):
    worst = ratios.max()
    assert worst <= 1, f"{what} is {worst} times its bound away from the true value, but should be at most 1"


@pytest.mark.parametrize("part", ["value", "derivative"])
@pytest.mark.parametrize("name", NAMES)
def test_is_the_true_number(name, part):
    rng = np.random.default_rng(0)
    p, y = predictions(name, rng), labels(name, rng)
    within(ratios(name, part, getattr(LOSSES[name], part), p, y), f"{part} of {name}")


WRONG = {
    "half_squared_error": ("derivative", lambda a, y: 2 * (a - y)),
    "binary_cross_entropy": ("derivative", lambda a, y: -y / a),
    "categorical_cross_entropy": ("derivative", lambda a, y: y / a),
    "binary_cross_entropy_on_logits": ("derivative", lambda z, y: y - ACTIVATIONS["sigmoid"].value(z)),
    "categorical_cross_entropy_on_logits": ("derivative", lambda z, y: ACTIVATIONS["sigmoid"].value(z) - y),
}


@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_derivative_is_caught(name):
    rng = np.random.default_rng(0)
    p, y = predictions(name, rng), labels(name, rng)
    part, wrong = WRONG[name]
    assert not ratios(name, part, wrong, p, y).max() <= 1
    right = LOSSES[name].derivative
    assert not ratios(name, part, lambda p, y: right(p, y) * (1 + 1e-13), p, y).max() <= 1


@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_value_is_caught(name):
    """Without the ½, averaged over the components, or in another base."""
    rng = np.random.default_rng(0)
    p, y = predictions(name, rng), labels(name, rng)
    value = LOSSES[name].value
    for factor in (2, 1 / 3, 1 / np.log(2), 1 + 1e-13):
        assert not ratios(name, "value", lambda p, y, factor=factor: value(p, y) * factor, p, y).max() <= 1


@pytest.mark.parametrize("name", NAMES)
def test_value_is_a_sum_of_nothing_negative(name):
    rng = np.random.default_rng(3)
    p, y = predictions(name, rng), labels(name, rng)
    assert (LOSSES[name].value(p, y) >= 0).all()


# --- against finite differences

THIRD_DERIVATIVE = {
    "half_squared_error": 0.0,
    "binary_cross_entropy": 2 / 0.05**3,
    "categorical_cross_entropy": 2 / 0.05**3,
    "binary_cross_entropy_on_logits": 1.0,
    "categorical_cross_entropy_on_logits": 1.0,
}
"""Above |∂³L_i/∂p_t³|: 2/a³ on probabilities no nearer than 0.05 to an end; that of a logistic function on logits."""


def difference_ratios(name, derivative, p, y):
    """Distance of `derivative` from the central difference of L_i, in units of what both may err by. p ± h is exact."""
    loss, h = LOSSES[name], 2.0**-17
    worst = []
    for t in range(p.shape[1]):
        step = h * np.eye(p.shape[1])[t]
        ends = [loss.value(p + sign * step, y) for sign in (1, -1)]
        rounding = sum(
            rd.eq_8_error(values, rd.contribution_error(name, p + sign * step, y, R), R)
            for values, sign in zip(ends, (1, -1), strict=True)
        )
        difference = (eq_8(ends[0]) - eq_8(ends[1])) / (2 * h)
        allowed = rounding / (2 * h) + h**2 / 6 * THIRD_DERIVATIVE[name] + 2 * U * np.abs(difference)
        allowed = allowed + rd.loss_derivative_error(name, p, y, R)[:, t]
        worst.append(np.abs(derivative(p, y)[:, t] - difference) / allowed)
    return np.array(worst)


def on_a_grid(name):
    """Multiples of 2^{−20}, so that p ± h is exact; probabilities between 0.05 and 0.95."""
    rng = np.random.default_rng(4)
    p = predictions(name, rng)
    if LOSSES[name].outputs and not LOSSES[name].on_logits:
        p = 0.06 + 0.88 * p
    return np.round(p * 2**20) / 2**20, labels(name, rng)


@pytest.mark.parametrize("name", NAMES)
def test_derivative_is_the_limit_of_the_difference(name):
    within(difference_ratios(name, LOSSES[name].derivative, *on_a_grid(name)), f"derivative of {name}")


@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_derivative_is_no_limit_of_the_difference(name):
    assert not difference_ratios(name, WRONG[name][1], *on_a_grid(name)).max() <= 1


# --- ends

ENDS = {  # (a, y): value and derivative of the binary, then of the categorical cross-entropy
    (0.0, 0.0): (0.0, 1.0, 0.0, 0.0),
    (0.0, 1.0): (np.inf, -np.inf, np.inf, -np.inf),
    (1.0, 0.0): (np.inf, np.inf, 0.0, 0.0),
    (1.0, 1.0): (0.0, -1.0, 0.0, -1.0),
    (0.0, 0.5): (np.inf, -np.inf, np.inf, -np.inf),
    (1.0, 0.5): (np.inf, np.inf, 0.0, -0.5),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("a", "y"), ENDS)
def test_ends_of_a_probability(a, y, dtype):
    p, label = np.array([[a]], dtype), np.array([[y]], dtype)
    observed = tuple(
        getattr(LOSSES[name], part)(p, label).item()
        for name in ("binary_cross_entropy", "categorical_cross_entropy")
        for part in ("value", "derivative")
    )
    assert observed == ENDS[a, y], f"at a = {a}, y = {y} is {observed}, but should be {ENDS[a, y]}"
    for name in ("binary_cross_entropy", "categorical_cross_entropy"):
        for part in ("value_scale", "derivative_scale"):
            assert getattr(LOSSES[name], part)(p, label).item() >= 0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("part", ["value", "derivative", "value_scale", "derivative_scale"])
@pytest.mark.parametrize("name", [*ON_LOGITS, "half_squared_error"])
def test_far_logits_give_numbers_and_no_warning(name, part, dtype):
    p = np.array([[1e4, -1e4], [-1e4, 1e4], [1e4, 1e4], [-1e4, -1e4], [0.0, -0.0]], dtype)
    y = np.array([[1, 0], [1, 0], [0, 1], [0, 1], [0.5, 0.5]], dtype)
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        observed = getattr(LOSSES[name], part)(p, y)
    assert np.isfinite(observed).all()
    assert observed.dtype == dtype, f"dtype is {observed.dtype}, but should be {dtype}"


def test_far_logits_cost_their_distance():
    z, y = np.array([[1e4, -1e4]]), np.array([[0.0, 1.0]])
    assert eq_8(LOSSES["binary_cross_entropy_on_logits"].value(z, y)).item() == 2e4
    assert eq_8(LOSSES["categorical_cross_entropy_on_logits"].value(z, y)).item() == 2e4
    for name in ON_LOGITS:
        assert LOSSES[name].derivative(z, y).tolist() == [[1, -1]]
        assert LOSSES[name].derivative(z, y[:, ::-1]).tolist() == [[0, 0]]


# --- the fused and the composed route

ROUTES = {
    "binary_cross_entropy_on_logits": ("sigmoid", "binary_cross_entropy"),
    "categorical_cross_entropy_on_logits": ("softmax", "categorical_cross_entropy"),
}


def routes(fused, z, y):
    """Differences of L_i and δ between the routes, each with what the two may differ by."""
    output, composed = ROUTES[fused]
    f, loss, at_once = ACTIVATIONS[output], LOSSES[composed], LOSSES[fused]
    a, a_error = f.value(z), rd.value_error(output, z, R)

    def moved(function):
        """How far `function` of a moves while a strays by its own rounding."""
        return variation(lambda p: function(np.clip(p, 0, 1), y), a, a_error)

    def partial(name, terms, p, carried):
        return rd.eq_8_error(terms, rd.contribution_error(name, p, y, R) + carried, R)

    terms, fused_terms = loss.value(a, y), at_once.value(z, y)
    loss_allowed = partial(composed, terms, a, moved(loss.value)) + partial(fused, fused_terms, z, 0)

    df = np.abs(f.derivative(z))
    delta = eq_9(loss.derivative(a, y), f.derivative(z))
    delta_allowed = (
        rd.eq_9_error(composed, output, z, a, y, R)
        + eq_9(moved(loss.derivative), df)
        + rd.eq_9_error(fused, output, z, a, y, R)
    )
    return {
        "L_i": (eq_8(terms) - eq_8(fused_terms), loss_allowed),
        "δ": (delta - at_once.derivative(z, y), delta_allowed),
    }


@settings(max_examples=80)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.floats(0.01, 4))
@pytest.mark.parametrize("fused", ON_LOGITS)
def test_routes_agree(fused, seed, width, spread):
    """|z| ≤ 15: the composed route has lost every digit of 1 − a once a rounds to 1, at z = 37."""
    rng = np.random.default_rng(seed)
    z = np.clip(rng.normal(size=(4, width)) * spread, -15, 15)
    for quantity, (difference, allowed) in routes(fused, z, labels(fused, rng, 4, width)).items():
        assert np.isfinite(allowed).all()
        within(np.abs(difference) / allowed, f"{quantity} of the composed route")


@pytest.mark.parametrize("fused", ON_LOGITS)
def test_bound_on_the_routes_is_worth_something(fused):
    """Near the middle it is below 1e-13, so that a route wrong in its tenth digit exceeds it by far."""
    rng = np.random.default_rng(5)
    z, y = rng.normal(size=(20, 3)), labels(fused, rng, 20, 3)
    for _, allowed in routes(fused, z, y).values():
        assert allowed.max() < 1e-13


def test_routes_part_where_a_rounds_to_1():
    """At z = 40, y = 0 the loss is 40; the composed route takes the logarithm of 1 − 1."""
    z, y = np.array([[40.0]]), np.array([[0.0]])
    a = ACTIVATIONS["sigmoid"].value(z)
    assert LOSSES["binary_cross_entropy_on_logits"].value(z, y).item() == 40
    assert LOSSES["binary_cross_entropy"].value(a, y).item() == np.inf
    assert LOSSES["binary_cross_entropy_on_logits"].derivative(z, y).item() == 1
    assert LOSSES["binary_cross_entropy"].derivative(a, y).item() == np.inf


def test_routes_part_where_a_probability_underflows():
    z, y = np.array([[0.0, -800.0]]), np.array([[0.0, 1.0]])
    a = ACTIVATIONS["softmax"].value(z)
    assert eq_8(LOSSES["categorical_cross_entropy_on_logits"].value(z, y)).item() == 800
    assert eq_8(LOSSES["categorical_cross_entropy"].value(a, y)).item() == np.inf
