"""The functions in ball arithmetic, beside the reference's, those of the tests, and their slopes; faults are caught."""

import numpy as np
import pytest
from flint import arb

from reference import activations, losses
from reference.activations import ACTIVATIONS, HIDDEN
from reference.losses import LOSSES
from reference.rounding import UNIT_ROUNDOFF
from reports.accuracy import true_values
from reports.accuracy.sweep import members
from tests.reference import exact

U = UNIT_ROUNDOFF["float64"]

POINTS = np.concatenate([np.linspace(-20, 20, 83), [1e-12, -1e-12, 1e-300, -60.0, 60.0, 80.0, -80.0]])
"""Beside no kink."""

FROM_FLOATS = {"gelu_tanh", "selu"}
"""Their constants are those of the reference, as float64 numbers: the decimal ones are up to half a last place away,
which an exponent magnifies: they are compared within |z| = 4."""


pytestmark = pytest.mark.usefixtures("ball_precision")


def as_floats(row):
    return np.array([float(ball.mid()) for ball in row])


def labels_of(name, rng, rows, width):
    """Labels that the loss takes: hard ones in half of the rows."""
    kind = LOSSES[name].labels
    hard = np.eye(width)[rng.integers(width, size=rows)]
    soft = {
        "sign": rng.choice([-1.0, 1.0], size=(rows, width)),
        "count": rng.poisson(2, size=(rows, width)).astype(float),
        "probability": rng.random((rows, width)),
        "distribution": rng.dirichlet(np.ones(width), rows),
        "class": hard,
    }.get(kind, rng.normal(size=(rows, width)))
    keep = np.arange(rows)[:, np.newaxis] % 2 == 0
    return np.where(keep & (kind in ("probability", "distribution")), hard, soft)


def arguments(name, rows=40, width=3):
    """p in the loss's domain, and labels."""
    rng = np.random.default_rng(len(name))
    p = rng.normal(size=(rows, width)) * 4
    if LOSSES[name].domain == (0.0, 1.0):
        p = rng.uniform(0.01, 0.99, (rows, width))
    elif LOSSES[name].domain == (-np.inf, 0.0):
        p = -np.abs(p)
    return p, labels_of(name, rng, rows, width)


FAMILIES = [(name, given) for name in HIDDEN for given in members(ACTIVATIONS[name].parameters, "float64")]
LOSS_FAMILIES = [(name, given) for name in LOSSES for given in members(LOSSES[name].parameters, "float64")]


def called(member):
    name, given = member
    return "-".join([name, *(f"{value:.3g}" for value in given.values())])


def wrong_in(family, check):
    """The members of a family of which a check does not hold."""
    return [called(member) for member in family if not check(*member)]


# --- they are all there


def test_the_balls_have_every_function_of_the_reference():
    assert set(true_values.VALUE) == set(true_values.DERIVATIVE) == set(HIDDEN)
    assert set(true_values.COUPLED) == {name for name, f in ACTIVATIONS.items() if f.coupled}
    assert set(true_values.LOSS) == set(true_values.LOSS_DERIVATIVE) == set(LOSSES)


def test_they_take_the_parameters_of_the_family():
    for name, given in FAMILIES:
        if given:
            assert set(given) == set(ACTIVATIONS[name].parameters)
            with pytest.raises(TypeError):
                true_values.VALUE[name](arb(-1), **given, nonsense=1.0)


def test_balls_hold_the_numbers_exactly():
    row = true_values.balls(np.array([0.1, 5e-324, -3.0, 1e300]))
    assert [float(ball.mid()) for ball in row] == [0.1, 5e-324, -3.0, 1e300]
    assert [float(ball.rad()) for ball in row] == [0.0] * 4


# --- and agree with the reference


def off(observed, truth, allowed):
    """The largest |observed − truth|/allowed; a NaN anywhere is as bad as can be."""
    with np.errstate(all="ignore"):
        ratio = np.where(observed == truth, 0.0, np.abs(observed - truth) / allowed)
    return np.inf if np.isnan(ratio).any() else ratio.max()


def activation_off(name, given, what):
    """In 32 roundings of the scale: the reference's own accuracy, far below any mistake in a formula."""
    truth = {"value": true_values.VALUE, "derivative": true_values.DERIVATIVE}[what][name]
    f = activations.activation(name, given)
    observed, scale = getattr(f, what)(POINTS), getattr(f, f"{what}_scale")(POINTS)
    found = as_floats([truth(ball, **given) for ball in true_values.balls(POINTS)])
    return off(observed, found, 32 * U * (scale + np.abs(found)) + 1e-300)


def loss_off(name, given, what):
    loss, (p, y) = losses.loss(name, given), arguments(name)
    rows = [(true_values.balls(a), true_values.balls(b)) for a, b in zip(p, y, strict=True)]
    if what == "value":
        found = as_floats([true_values.LOSS[name](*row, **given) for row in rows])
        observed, scale = loss.value(p, y).sum(axis=1), loss.value_scale(p, y).sum(axis=1)
    else:
        found = np.array([as_floats(true_values.LOSS_DERIVATIVE[name](*row, **given)) for row in rows])
        observed, scale = loss.derivative(p, y), loss.derivative_scale(p, y)
    return off(observed, found, 32 * U * (scale + np.abs(found)))


@pytest.mark.parametrize("what", ["value", "derivative"])
def test_the_functions_are_the_references(what):
    assert not wrong_in(FAMILIES, lambda name, given: activation_off(name, given, what) <= 1)


@pytest.mark.parametrize("what", ["value", "derivative"])
def test_the_losses_are_the_references(what):
    assert not wrong_in(LOSS_FAMILIES, lambda name, given: loss_off(name, given, what) <= 1)


@pytest.mark.parametrize("name", true_values.COUPLED)
def test_a_coupled_function_is_the_references(name):
    z = np.random.default_rng(0).normal(size=(50, 3)) * np.array([[1.0], [40.0]] * 25)
    found = np.array([as_floats(true_values.COUPLED[name](true_values.balls(row))) for row in z])
    assert off(ACTIVATIONS[name].value(z), found, 32 * U * ACTIVATIONS[name].value_scale(z)) <= 1


# --- and with the balls of the tests, which are written independently


def apart(one, other, name):
    """|one − other| relative to the other, in units of what is allowed: 2⁻¹⁶⁰, or a float64 rounding of a constant."""
    allowed = 2.0**-51 if name in FROM_FLOATS else 2.0**-160
    ratios = [
        0.0 if o == 0 and e == 0 else float(abs(o - e) / (abs(e) * allowed)) for o, e in zip(one, other, strict=True)
    ]
    assert not np.isnan(ratios).any()
    return max(ratios)


@pytest.mark.parametrize("what", ["VALUE", "DERIVATIVE"])
def test_the_functions_are_those_of_the_tests(what):
    def agree(name, given):
        far = [] if name in FROM_FLOATS else [80.0, -80.0, 20.0, -20.0, 7.25, -7.25]
        inputs = true_values.balls(np.concatenate([np.linspace(-4, 4, 21), [1e-3, -1e-7], far]))
        ours, theirs = getattr(true_values, what)[name], getattr(exact, what)[name]
        with exact.Precision():
            expected = [theirs(x, **given) for x in inputs]
        return apart([ours(x, **given) for x in inputs], expected, name) <= 1

    assert not wrong_in(FAMILIES, agree)


def test_the_losses_are_those_of_the_tests():
    def agree(name, given):
        p, y = arguments(name, rows=8)
        off = []
        for a, t in zip(p, y, strict=True):
            row = true_values.balls(a), true_values.balls(t)
            with exact.Precision():
                value, slope = exact.total(exact.LOSS[name](*row, **given)), exact.LOSS_DERIVATIVE[name](*row, **given)
            off.append(apart([true_values.LOSS[name](*row, **given)], [value], name))
            off.append(apart(true_values.LOSS_DERIVATIVE[name](*row, **given), slope, name))
        return all(each <= 1 for each in off)

    assert not wrong_in(LOSS_FAMILIES, agree)


@pytest.mark.parametrize("name", true_values.COUPLED)
def test_a_coupled_function_is_the_one_of_the_tests(name):
    for row in ([0.5, -3.0, 7.0], [80.0, -80.0, 1.0], [0.0, 0.0, 0.0]):
        ours = true_values.COUPLED[name](true_values.balls(np.array(row)))
        with exact.Precision():
            expected = exact.COUPLED_VALUE[name](true_values.balls(np.array(row)))
        assert apart(ours, expected, name) <= 1


# --- and with themselves


def test_a_derivative_is_the_slope_of_its_value():
    """By a difference quotient in all the bits."""
    step = arb(2) ** -100

    def is_slope(name, given):
        value, derivative = true_values.VALUE[name], true_values.DERIVATIVE[name]
        off = [
            (value(arb(x) + step, **given) - value(arb(x) - step, **given)) / (2 * step) - derivative(arb(x), **given)
            for x in (-7.3, -1.1, -1e-3, 0.26, 1.3, 3.1, 30.0)
        ]
        return all(float(abs(each).mid()) <= 1e-40 for each in off)

    assert not wrong_in(FAMILIES, is_slope)


def test_a_losss_derivative_is_the_slope_of_its_value():
    step = arb(2) ** -100

    def is_slope(name, given):
        value, derivative = true_values.LOSS[name], true_values.LOSS_DERIVATIVE[name]
        p, y = arguments(name, rows=6)
        off = []
        for a, t in zip(map(true_values.balls, p), map(true_values.balls, y), strict=True):
            for i, slope in enumerate(derivative(a, t, **given)):
                up, down = ([*a[:i], a[i] + move, *a[i + 1 :]] for move in (step, -step))
                off.append((value(up, t, **given) - value(down, t, **given)) / (2 * step) - slope)
        return all(float(abs(each).mid()) <= 1e-40 for each in off)

    assert not wrong_in(LOSS_FAMILIES, is_slope)


def test_the_bits_are_enough():
    """The radius of what is given in float64 is far below its last place, up to where a sweep goes."""

    def narrow(name, given):
        inputs = true_values.balls(np.array([80.0, -80.0, 20.0, -20.0, 1e-12, -1e-12, 2.0**-60]))
        found = [table[name](x, **given) for x in inputs for table in (true_values.VALUE, true_values.DERIVATIVE)]
        return all(float(each.rad()) <= 2.0**-70 * abs(float(each.mid())) for each in found)

    assert not wrong_in(FAMILIES, narrow)


# --- a wrong formula is caught


WRONG = [
    ("VALUE", "tanh", lambda x: x.tanh() * (1 + arb(2) ** -40)),
    ("VALUE", "silu", true_values.sigmoid),
    ("VALUE", "gelu", lambda x: x * true_values.cdf(-x)),
    ("VALUE", "softplus", lambda x, beta: true_values.softplus(x)),
    ("VALUE", "celu", lambda x, alpha: x if x > 0 else arb(alpha) * x.expm1()),
    ("VALUE", "hardshrink", lambda x, threshold: true_values.zero if abs(x) >= threshold else x),
    ("DERIVATIVE", "tanh", lambda x: 1 - x.tanh()),
    ("DERIVATIVE", "elu", lambda x, alpha: true_values.one if x > 0 else arb(alpha) * x.expm1()),
    ("DERIVATIVE", "hardswish", lambda x: true_values.inside(x, -3, 3) * (2 * x + 3) / 6),
    ("DERIVATIVE", "selu", lambda x: true_values.one if x > 0 else x.exp()),
    ("LOSS", "huber", lambda p, y, delta: true_values.huber(p[0] - y[0], delta)),
    ("LOSS", "gaussian_nll", true_values.summed(lambda a, y, variance: (a - y) ** 2 / arb(variance) / 2)),
    ("LOSS", "cosine_distance", true_values.cosine),
    ("LOSS_DERIVATIVE", "mean_squared_error", true_values.each(lambda a, y: 2 * (a - y))),
    ("LOSS_DERIVATIVE", "hinge", true_values.each(lambda a, y: -y)),
    (
        "LOSS_DERIVATIVE",
        "smoothed_cross_entropy_on_logits",
        lambda z, y, smoothing: true_values.cross_entropy_slope(z, y),
    ),
]


@pytest.mark.parametrize(("table", "name", "wrong"), WRONG, ids=[f"{table}-{name}" for table, name, _ in WRONG])
def test_a_wrong_formula_is_caught(table, name, wrong, monkeypatch):
    of_losses, what = table.startswith("LOSS"), "derivative" if "DERIVATIVE" in table else "value"
    check = loss_off if of_losses else activation_off
    family = [given for other, given in (LOSS_FAMILIES if of_losses else FAMILIES) if other == name]
    assert all(check(name, given, what) <= 1 for given in family)
    monkeypatch.setitem(getattr(true_values, table), name, wrong)
    assert not all(check(name, given, what) <= 1 for given in family), f"another {name} goes unseen"
