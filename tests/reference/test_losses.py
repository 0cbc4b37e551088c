"""Losses against ball arithmetic, differences, complex steps, their own laws, and one route against the other.

Certified are 4 units in the last place; beyond them only 4 u m, where a formula passes through a magnitude m that the
table MAGNITUDE states. u is the unit roundoff.
"""

from itertools import product

import numpy as np
import pytest
from flint import arb
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import xlogy

from reference.activations import ACTIVATIONS, OUTPUT
from reference.equations import eq_8, eq_9
from reference.losses import FAMILIES, LABELS, LOSSES, loss
from tests.reference import exact
from tests.tables import over

DTYPES = ("float32", "float64")
PARTS = ("value", "derivative")
NAMES = tuple(LOSSES)
U = exact.UNIT_ROUNDOFF["float64"]

OTHERS = {
    "huber": [{"delta": 0.3}, {"delta": 2.5}],
    "smooth_l1": [{"beta": 0.3}, {"beta": 2.5}],
    "gaussian_nll": [{"variance": 0.07}, {"variance": 30.0}],
    "smoothed_cross_entropy_on_logits": [{"smoothing": 0.01}, {"smoothing": 0.3}],
}
"""Other members of the families: on both sides of the usual one, and such that a product with them is rounded."""

MEMBERS = [*((name, {}) for name in NAMES), *((name, given) for name, two in OTHERS.items() for given in two)]
"""Every loss, with its usual parameters and with others."""


def called(name, parameters):
    return name + "".join(f" {key}={value}" for key, value in parameters.items())


every_member = over(("name", "parameters"), MEMBERS, ids=[called(*member) for member in MEMBERS])
every_loss = over("name", NAMES)


def test_the_exact_tables_have_every_loss():
    assert set(exact.LOSS) == set(exact.LOSS_DERIVATIVE) == set(LOSSES)
    assert [loss.name for loss in LOSSES.values()] == list(LOSSES)
    assert set(OTHERS) == set(FAMILIES)


def test_a_family_makes_the_member_of_the_table():
    for name, two in OTHERS.items():
        assert loss(name, {}) is LOSSES[name]
        assert FAMILIES[name]().parameters == LOSSES[name].parameters
        for parameters in two:
            assert (loss(name, parameters).name, loss(name, parameters).parameters) == (name, parameters)


def test_names_that_the_table_gives_are_known():
    for at in LOSSES.values():
        assert at.labels in LABELS
        assert set(at.outputs) <= set(OUTPUT)


# --- where they are held


def logits(rng, samples, width):
    z = rng.normal(size=(samples, width)) * rng.choice([1e-8, 0.1, 1, 10, 100], size=(samples, 1))
    rounded = np.where((np.round(z) == 0).all(axis=1, keepdims=True), 1, np.round(z))  # no sample is 0 throughout
    return np.where(rng.random((samples, 1)) < 0.1, rounded, z)


def predictions(name, rng, samples=200, width=3):
    """p in the loss's domain: of every size, down to 1e-12 from the ends of a probability."""
    shape = (samples, width)
    if LOSSES[name].domain == (0.0, 1.0):
        near_an_end = np.exp(rng.uniform(np.log(1e-12), np.log(0.5), size=shape))
        return np.where(rng.random(shape) < 0.5, near_an_end, 1 - near_an_end)
    if LOSSES[name].domain == (-np.inf, 0.0):
        return -np.exp(rng.uniform(np.log(1e-12), np.log(700), size=shape))
    return logits(rng, samples, width)


def labels(name, rng, samples=200, width=3):
    """What the loss takes: hard and soft labels in turn, and for a distribution free ones, which need not sum to 1."""
    shape = (samples, width)
    hard = np.eye(width)[rng.integers(width, size=samples)]
    kinds = {
        "real": [rng.normal(size=shape), rng.normal(size=shape) * 1e-3, rng.normal(size=shape) * 30],
        "direction": [rng.normal(size=shape), rng.normal(size=shape) * 1e-3, hard],
        "sign": [rng.choice([-1.0, 1.0], size=shape)] * 3,
        "count": [rng.poisson(3.0, size=shape).astype(float)] * 3,
        "probability": [(rng.random(shape) < 0.5).astype(float), rng.random(shape), hard],
        "distribution": [hard, rng.dirichlet(np.ones(width), size=samples), rng.random(shape)],
        "class": [hard] * 3,
    }
    return np.choose(np.arange(samples)[:, np.newaxis] % 3, kinds[LOSSES[name].labels])


def kink_of(name, parameters):
    """|a − y| of the residual losses' kinks, their curvature's included"""
    return {"delta": 1.0, "beta": 1.0, **parameters}.get("beta" if name == "smooth_l1" else "delta", 1.0)


def special(name, parameters):
    """Rows (p, y) at and beside kinks, equal numbers, tiny and huge ones."""
    tiny, places = 5e-324, np.array([-7, -2, -1, 0, 1, 2, 7])
    if LOSSES[name].labels == "real":
        kink = kink_of(name, parameters)
        beside = kink + places * np.spacing(kink)
        a = [
            beside,
            -beside,
            0 * beside,
            1 + places * np.spacing(1.0),
            [tiny, -tiny, 1e-200, 1e-160, 1e-150, 1e-20, 0.0],
        ]
        y = [0 * beside, 0 * beside, 0 * beside, np.ones(7), np.zeros(7)]
        far = [1e10, -1e10, 1e100, -1e100, 700.0, -745.0, 20.0]
        a, y = [*a, far, far], [*y, np.zeros(7), np.array(far) * (1 + 1e-15)]
        if name in ("absolute_error", "huber", "smooth_l1", "log_cosh"):
            a, y = [*a, [1e200, -1e200, 1e300, -1e300, 1e160, 0.0, 0.0]], [*y, np.zeros(7)]
        return np.array(a, float), np.array(y, float)
    if LOSSES[name].labels == "sign":
        one = 1 + places * np.spacing(1.0)
        a = np.array([one, -one, one, -one, [tiny, -tiny, 0.0, 1e-20, 1e100, -1e100, 1e-300]])
        return a, np.array([np.ones(7), -np.ones(7), -np.ones(7), np.ones(7), np.ones(7)])
    if LOSSES[name].labels == "count":
        return np.array([[tiny, 0.0, -700.0, 700.0, np.log(3.0), 1.0]]), np.array([[0.0, 0, 2, 1e6, 3, 0]])
    if LOSSES[name].labels == "direction":
        a = np.array([[1.0, 2, 3]]) * np.array([[1e-307], [1e-200], [1e-160], [1.0], [1e150], [1e200], [1e300], [-1.0]])
        return a, np.tile([[1.0, 2, 3.0]], (8, 1))
    if LOSSES[name].domain == (0.0, 1.0):
        a = np.array([[1e-307, 1e-300, 1 - 2.0**-53, 0.5, 2.0**-53, 0.25], [0.0, 1.0, 0.0, 1.0, 0.5, 0.5]])
        y = np.array([[1.0, 0.5, 0.0, 0.5, 1.0, 0.25], [0.0, 1.0, 0.0, 1.0, 1.0, 0.0]])
        return a, y
    if LOSSES[name].domain == (-np.inf, 0.0):
        return np.array([[-tiny, -0.0, -1e300], [-np.log(2), -1e-300, -700.0]]), np.array([[1.0, 0, 0], [0, 1, 0]])
    z = np.array([[40.0, -40, 0], [700, -700, 0], [1e4, -1e4, 0], [-1e4, -1e4, -1e4], [0, 0, tiny], [37, 0, 36]])
    return np.tile(z, (3, 1)), np.repeat(np.eye(3), 6, axis=0)


# --- what is certified


def logistic(z):
    return np.exp(-np.logaddexp(0, -z))


def unit(a):
    scaled = a / np.abs(a).max(axis=1, keepdims=True)
    return scaled / np.sqrt(np.square(scaled).sum(axis=1, keepdims=True))


def norm(a):
    return np.abs(a).max(axis=1, keepdims=True) / np.abs(unit(a)).max(axis=1, keepdims=True)


def cosine_derivative_magnitude(a, y):
    n, size = a.shape[1], norm(a)
    along = np.abs(unit(a) * unit(y)).sum(axis=1, keepdims=True) * np.abs(unit(a))
    return ((n / 2 + 3) * along + (n / 4 + 2) * np.abs(unit(y))) / size


def others(a):
    """Σ_{k≠t} a_k of each unit t"""
    return np.stack([np.delete(a, t, axis=1).sum(axis=1) for t in range(a.shape[1])], axis=1)


def conditions(z):
    """a, and c_t = 1 + n/4 + |z_t − m| + Σ_k a_k |z_k − m|, of which a_t has so many roundings."""
    shift = z - z.max(axis=1, keepdims=True)
    a = np.exp(shift) / np.exp(shift).sum(axis=1, keepdims=True)
    return a, 1 + z.shape[1] / 4 + np.abs(shift) + (a * np.abs(shift)).sum(axis=1, keepdims=True)


def cross_entropy_magnitude(z, y):
    """y_t (|z_t − m| + (1 + n/4) log Σ_k e^{z_k − m} + Σ_k a_k |z_k − m|)"""
    shift = np.abs(z - z.max(axis=1, keepdims=True))
    a, _ = conditions(z)
    partition = -np.log(a.max(axis=1, keepdims=True))
    return y * (shift + (1 + z.shape[1] / 4) * partition + (a * shift).sum(axis=1, keepdims=True))


def cross_entropy_derivative_magnitude(z, y):
    """Of a_t Σ_{k≠t} y_k − y_t Σ_{k≠t} a_k"""
    a, c = conditions(z)
    return a * c * others(y) + y * others(a * c)


def smoothed(magnitude):
    return lambda z, y, smoothing: magnitude(z, (1 - smoothing) * y + smoothing / y.shape[1])


MAGNITUDE = {
    ("gaussian_nll", "value"): (
        lambda a, y, variance: 1 + np.abs(np.log(variance)) / 2 + np.square(a - y) / variance / 2,
        "½ log(2πv) and r²/2v may have opposite signs",
    ),
    ("poisson_nll", "value"): (lambda a, y: np.exp(a) + y * np.abs(a), "e^a and y a cancel where both are the same"),
    ("poisson_nll", "derivative"): (lambda a, y: np.exp(a), "e^a is rounded, and cancels y at the minimum"),
    ("cosine_distance", "value"): (
        lambda a, y: 1 / a.shape[1] + (a.shape[1] / 4 + 2) * np.abs(unit(a) * unit(y)),
        "1/n and a_t y_t/(‖a‖‖y‖) cancel; each norm is a sum of n squares, half of whose roundings survive the root",
    ),
    ("cosine_distance", "derivative"): (
        cosine_derivative_magnitude,
        "c â_t and ŷ_t cancel where a is along y; norms and c are sums of n",
    ),
    ("binary_cross_entropy", "derivative"): (
        lambda a, y: (
            np.where(y < 1, (1 - y) / np.where(y < 1, 1 - a, 1), 0) + np.where(y > 0, y / np.where(y > 0, a, 1), 0)
        ),
        "(1 − y)/(1 − a) and y/a cancel for a label between 0 and 1 that is near its probability",
    ),
    ("binary_cross_entropy_on_logits", "derivative"): (
        lambda z, y: (1 - y) * logistic(z) + y * logistic(-z),
        "(1 − y) σ(z) and y σ(−z) cancel for a label between 0 and 1 that is near its probability",
    ),
    ("kullback_leibler", "value"): (
        lambda a, y: np.abs(xlogy(y, y)) + y * np.abs(a),
        "y log y and y a cancel where the probability is near its label",
    ),
    **{
        (f"categorical_cross_entropy_{which}", part): (
            cross_entropy_magnitude if part == "value" else cross_entropy_derivative_magnitude,
            "the exponents z_k − m are rounded, n of them are summed, and the labels' part cancels that of softmax",
        )
        for which in ("on_logits", "with_classes")
        for part in PARTS
    },
    ("smoothed_cross_entropy_on_logits", "value"): (
        smoothed(cross_entropy_magnitude),
        "as without smoothing",
    ),
    ("smoothed_cross_entropy_on_logits", "derivative"): (
        smoothed(cross_entropy_derivative_magnitude),
        "as without smoothing",
    ),
}
"""m of each function whose formula passes through more than its result, and why."""


def accuracy(name, part, f, p, y, parameters):
    """Distance of f(p, y) from the true value or derivative, in units of what is certified."""
    truth = (exact.LOSS if part == "value" else exact.LOSS_DERIVATIVE)[name]
    passed = 0.0
    if (name, part) in MAGNITUDE:
        passed = MAGNITUDE[name, part][0](p.astype(float), y.astype(float), **{**LOSSES[name].parameters, **parameters})
    with exact.Precision():
        true = exact.flat(
            truth([exact.ball(number) for number in row], [exact.ball(number) for number in label], **parameters)
            for row, label in zip(p, y, strict=True)
        )
        return exact.accuracy(f(p, y), true, passed * np.ones(p.shape), 2 * float(np.finfo(p.dtype).smallest_subnormal))


def within(ratios, what):
    worst = ratios.max()
    assert worst <= 1, f"{what} is {worst} times its bound away from the true value, but should be at most 1"


def samples(name, parameters):
    """Drawn samples of 1, 2, 3 and 7 components, and the special ones"""
    for width in (1, 2, 3, 7):
        rng = np.random.default_rng(width)
        yield predictions(name, rng, 90, width), labels(name, rng, 90, width)
    yield special(name, parameters)


# --- against ball arithmetic


@every_member
@over("part", PARTS)
def test_is_the_true_number(name, parameters, part):
    for p, y in samples(name, parameters):
        poles = ~np.isfinite(getattr(loss(name, parameters), part)(p, y))
        finite = ~poles.any(axis=1)
        if poles.any():  # only at an end of a probability, where test_ends_of_a_probability says what is right
            assert LOSSES[name].domain == (0.0, 1.0)
            assert np.isin(p[poles], [0.0, 1.0]).all()
        f = getattr(loss(name, parameters), part)
        within(accuracy(name, part, f, p[finite], y[finite], parameters), f"{part} of {name}")


def in_format(parameters, dtype):
    """The parameters as a format holds them."""
    return {key: float(np.dtype(dtype).type(value)) for key, value in parameters.items()}


@every_member
@over("part", PARTS)
def test_in_float32_it_is_the_true_number_in_float32(name, parameters, part):
    parameters = in_format({**LOSSES[name].parameters, **parameters}, "float32")
    for width in (1, 3):
        rng = np.random.default_rng(width)
        p, y = predictions(name, rng, 60, width), labels(name, rng, 60, width)
        if LOSSES[name].domain == (0.0, 1.0):
            p = np.clip(p, 1e-6, 1 - 1e-6)
        p, y = np.clip(p, -80, 80).astype("float32"), y.astype("float32")
        observed = getattr(loss(name, parameters), part)(p, y)
        assert observed.dtype == "float32", f"dtype of {name} is {observed.dtype}, but should be float32"
        within(accuracy(name, part, getattr(loss(name, parameters), part), p, y, parameters), f"{part} of {name}")


@every_member
@over("part", PARTS)
@settings(max_examples=15, derandomize=True)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_is_the_true_number_anywhere(name, parameters, part, seed, width):
    rng = np.random.default_rng(seed)
    p, y = predictions(name, rng, 6, width), labels(name, rng, 6, width)
    within(accuracy(name, part, getattr(loss(name, parameters), part), p, y, parameters), f"{part} of {name}")


@every_member
@over("part", PARTS)
def test_a_loss_8_places_off_is_caught(name, parameters, part):
    """Some magnitudes allow more than 8 everywhere: those of sums of n terms, whose n is here 1 or 2."""
    f = getattr(loss(name, parameters), part)
    summed = (name, part) in MAGNITUDE and name.startswith(("cosine", "categorical", "smoothed"))
    rng = np.random.default_rng(0)
    width = 2 if summed else 3
    p, y = predictions(name, rng, 200, width), labels(name, rng, 200, width)
    for places in (-8, 8) if not summed else (-40, 40):
        wrong = accuracy(name, part, lambda p, y, places=places: exact.moved(f(p, y), places), p, y, parameters)
        assert not wrong.max() <= 1


def derivative_of(name):
    return LOSSES[name].derivative


SIGMOID = ACTIVATIONS["sigmoid"].value
WRONG = {
    "half_squared_error": lambda a, y: 2 * (a - y),
    "mean_squared_error": derivative_of("half_squared_error"),
    "absolute_error": lambda a, y: a - y,
    "huber": derivative_of("half_squared_error"),
    "smooth_l1": lambda a, y: np.sign(a - y),
    "log_cosh": derivative_of("half_squared_error"),
    "gaussian_nll": lambda a, y: y - a,
    "hinge": lambda a, y: -y,
    "squared_hinge": lambda a, y: -y * LOSSES["hinge"].value(a, y),
    "poisson_nll": lambda a, y: np.exp(a) - 1,
    "cosine_distance": lambda a, y: -y / np.sqrt(np.square(a).sum(axis=1) * np.square(y).sum(axis=1))[:, np.newaxis],
    "binary_cross_entropy": lambda a, y: -y / a,
    "categorical_cross_entropy": lambda a, y: y / a,
    "binary_cross_entropy_on_logits": lambda z, y: y - SIGMOID(z),
    "categorical_cross_entropy_on_logits": lambda z, y: SIGMOID(z) - y,
    "categorical_cross_entropy_with_classes": lambda z, y: ACTIVATIONS["softmax"].value(z),
    "smoothed_cross_entropy_on_logits": derivative_of("categorical_cross_entropy_on_logits"),
    "negative_log_likelihood": lambda a, y: -y / a,
    "kullback_leibler": lambda a, y: np.exp(a) - y,
}
"""A wrong derivative of each loss: without a factor, of another loss, with another sign, or of a part of it."""


def test_every_loss_has_a_wrong_derivative():
    assert set(WRONG) == set(LOSSES)


@every_loss
def test_a_wrong_derivative_is_caught(name):
    rng = np.random.default_rng(0)
    p, y = predictions(name, rng), labels(name, rng)
    with np.errstate(over="ignore"):
        assert not accuracy(name, "derivative", WRONG[name], p, y, {}).max() <= 1


@every_loss
def test_a_wrong_value_is_caught(name):
    """Without the ½, averaged over the components, or in another base; or the value of another loss."""
    rng = np.random.default_rng(0)
    p, y = predictions(name, rng), labels(name, rng)
    value = LOSSES[name].value
    for factor in (2, 1 / 3, 1 / np.log(2), 1 + 1e-13):
        assert not accuracy(name, "value", lambda p, y, factor=factor: value(p, y) * factor, p, y, {}).max() <= 1
    for other in NAMES:
        same = {"huber", "smooth_l1"}, {"categorical_cross_entropy_on_logits", "categorical_cross_entropy_with_classes"}
        if other == name or {name, other} in same or LOSSES[other].domain != LOSSES[name].domain:
            continue
        with np.errstate(all="ignore"):
            wrong = accuracy(name, "value", LOSSES[other].value, p, y, {}).max()
        hard_labels = {"kullback_leibler", "negative_log_likelihood"}  # y log y is 0
        assert not wrong <= 1 or ({name, other} == hard_labels and name == "negative_log_likelihood"), other


@pytest.mark.parametrize("name", FAMILIES)
def test_another_parameter_is_caught(name):
    rng = np.random.default_rng(0)
    p, y = predictions(name, rng), labels(name, rng)
    for part, parameters in product(PARTS, OTHERS[name]):
        assert not accuracy(name, part, getattr(loss(name, parameters), part), p, y, {}).max() <= 1


# --- the exact tables themselves


@every_member
def test_an_exact_derivative_is_the_limit_of_the_exact_difference(name, parameters):
    """Truncation is h²/6 of a third derivative, rounding 2^{−400}/h: with h = 2^{−100} either is below 1e-40."""
    rng = np.random.default_rng(3)
    p, y = predictions(name, rng, 12, 3), labels(name, rng, 12, 3)
    if LOSSES[name].domain == (0.0, 1.0):
        p = np.clip(p, 0.01, 0.99)
    if name == "cosine_distance":
        p = unit(p)
    with exact.Precision():
        h = arb(2) ** -100
        for numbers, of in zip(np.clip(p, -30, 30), y, strict=True):
            row, label = [exact.ball(number) for number in numbers], [exact.ball(number) for number in of]
            derivative = exact.LOSS_DERIVATIVE[name](row, label, **parameters)
            for t in range(3):
                up, down = ([number + sign * h * (k == t) for k, number in enumerate(row)] for sign in (1, -1))
                above, below = (exact.total(exact.LOSS[name](end, label, **parameters)) for end in (up, down))
                assert abs((above - below) / (2 * h) - derivative[t]) < 1e-40


def test_the_exact_tables_have_every_parameter():
    for name in FAMILIES:
        p, y = [[exact.ball(number) for number in (0.75, 3.0)], [exact.ball(number) for number in (0.25, 0.75)]]
        for table in (exact.LOSS, exact.LOSS_DERIVATIVE):
            usual = table[name](p, y, **LOSSES[name].parameters)
            assert [str(number) for number in table[name](p, y)] == [str(number) for number in usual]


# --- what a number of the table may be off by


def certified(name, part, p, y):
    """What is certified above, as a bound in float64: 4 units in the last place or 4 u m, and underflow."""
    rounding = np.spacing(np.abs(getattr(LOSSES[name], part)(p, y)))
    if (name, part) in MAGNITUDE:
        rounding = np.maximum(rounding, U * MAGNITUDE[name, part][0](p, y, **LOSSES[name].parameters))
    return exact.PLACES["float64"] * rounding + 1e-322


def sum_bound(name, p, y):
    """Of L_i: the contributions' and that of n additions"""
    terms = LOSSES[name].value(p, y)
    return certified(name, "value", p, y).sum(axis=1) + p.shape[1] * U * np.abs(terms).sum(axis=1)


# --- against finite differences

THIRD_DERIVATIVE = {
    **dict.fromkeys(("half_squared_error", "mean_squared_error", "absolute_error", "huber", "smooth_l1"), 0.0),
    **dict.fromkeys(("gaussian_nll", "hinge", "squared_hinge", "negative_log_likelihood", "kullback_leibler"), 0.0),
    "log_cosh": 0.77,  # tanh'', 4/(3√3)
    "poisson_nll": np.exp(4.0),  # e^a, drawn to 4
    "cosine_distance": 18 / 0.5**3,  # 9 (1 + |c|)/‖a‖³, for ‖a‖ ≥ ½
    "binary_cross_entropy": 2 / 0.05**3,
    "categorical_cross_entropy": 2 / 0.05**3,
    **{name: 1.0 for name in NAMES if LOSSES[name].on_logits},  # those of logistic functions are below 1/8; Σ y ≤ 7
}
"""Above |∂³L_i/∂p_t³|: 2/a³ on probabilities no nearer than 0.05 to an end. All but the quadratic pieces' kinks."""

H = 2.0**-17


def on_a_grid(name, rng, samples=60, width=3):
    """Multiples of 2^{−20}, of which p ± h is exact; clear of ends, kinks and the origin of a direction."""
    p, y = predictions(name, rng, samples, width), labels(name, rng, samples, width)
    if LOSSES[name].domain == (0.0, 1.0):
        p = 0.06 + 0.88 * p
    if name in ("poisson_nll", "cosine_distance"):
        p = np.clip(p, -3.9, 3.9)
    if name == "cosine_distance":
        p = np.where(np.square(p).sum(axis=1, keepdims=True) < 0.3, 1.0, p)
    if LOSSES[name].labels == "real":
        y = np.round(y * 2**20) / 2**20
    p = np.round(p * 2**20) / 2**20
    if LOSSES[name].domain == (-np.inf, 0.0):
        p = np.minimum(p, -2 * H)
    kinks = [0.0, 1.0, -1.0] if LOSSES[name].labels == "real" else [0.0]
    r = p - y if LOSSES[name].labels == "real" else 1 - y * p
    if LOSSES[name].labels in ("real", "sign"):
        p = np.where(np.min([np.abs(r - kink) for kink in kinks], axis=0) <= 2 * H, p + 2.0**-10, p)
    return p, y


def difference_ratios(name, derivative, p, y):
    """Distance of `derivative` from the central difference of L_i, in units of what both may err by. p ± h is exact."""
    value = LOSSES[name].value
    worst = []
    for unit in np.eye(p.shape[1]):
        ends = [p + sign * H * unit for sign in (1, -1)]
        rounding = sum(sum_bound(name, end, y) for end in ends)
        difference = (eq_8(value(ends[0], y)) - eq_8(value(ends[1], y))) / (2 * H)
        allowed = rounding / (2 * H) + H**2 / 6 * THIRD_DERIVATIVE[name] + 2 * U * np.abs(difference)
        t = unit == 1
        allowed = allowed[:, np.newaxis] + certified(name, "derivative", p, y)[:, t] + 1e-300
        worst.append(np.abs(derivative(p, y)[:, t] - difference[:, np.newaxis]) / allowed)
    return np.array(worst)


@every_loss
@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_derivative_is_the_limit_of_the_difference(name, seed, width):
    p, y = on_a_grid(name, np.random.default_rng(seed), 20, width)
    within(difference_ratios(name, derivative_of(name), p, y), f"derivative of {name}")


@every_loss
def test_a_wrong_derivative_is_no_limit_of_the_difference(name):
    p, y = on_a_grid(name, np.random.default_rng(4))
    assert not difference_ratios(name, WRONG[name], p, y).max() <= 1


# --- against complex steps: L(p + ih) = L(p) + ih L'(p) − …, in which no difference is taken


def pieces(where, inside, outside):
    return lambda p, y: np.where(where(p.real, y), inside(p, y), outside(p, y))


def complex_cross_entropy(z, y):
    return y * (np.log(np.exp(z).sum(axis=1, keepdims=True)) - z)


def complex_cosine(a, y):
    norm = np.sqrt((a * a).sum(axis=1, keepdims=True))
    return 1 / a.shape[1] - a * y / (norm * np.sqrt(np.square(y).sum(axis=1, keepdims=True)))


complex_huber = pieces(
    lambda a, y: abs(a - y) < 1, lambda a, y: (a - y) ** 2 / 2, lambda a, y: np.sign((a - y).real) * (a - y) - 0.5
)

ANALYTIC = {
    "half_squared_error": lambda a, y: (a - y) ** 2 / 2,
    "mean_squared_error": lambda a, y: (a - y) ** 2 / a.shape[1],
    "huber": complex_huber,
    "smooth_l1": complex_huber,
    "log_cosh": lambda a, y: np.log(np.cosh(a - y)),
    "gaussian_nll": lambda a, y: np.log(2 * np.pi) / 2 + (a - y) ** 2 / 2,
    "squared_hinge": pieces(lambda a, y: y * a < 1, lambda a, y: (1 - y * a) ** 2, lambda a, y: 0 * a),
    "poisson_nll": lambda a, y: np.exp(a) - y * a,
    "cosine_distance": complex_cosine,
    "binary_cross_entropy": lambda a, y: -y * np.log(a) - (1 - y) * np.log(1 - a),
    "binary_cross_entropy_on_logits": lambda z, y: np.log(1 + np.exp(z)) - y * z,
    "categorical_cross_entropy": lambda a, y: -y * np.log(a),
    "categorical_cross_entropy_on_logits": complex_cross_entropy,
    "categorical_cross_entropy_with_classes": complex_cross_entropy,
    "smoothed_cross_entropy_on_logits": lambda z, y: complex_cross_entropy(z, 0.9 * y + 0.1 / y.shape[1]),
    "negative_log_likelihood": lambda a, y: -y * a,
    "kullback_leibler": lambda a, y: xlogy(y, y) - y * a,
}
"""Complex formulas, as a textbook has them."""

NOT_ANALYTIC = {
    "absolute_error": "|r|: linear pieces, of which the difference is exact, and a kink, which its interval is for",
    "hinge": "linear pieces, of which the difference is exact, and a kink, which its interval is for",
}


def test_every_loss_is_analytic_or_has_a_reason():
    assert set(ANALYTIC) | set(NOT_ANALYTIC) == set(LOSSES)
    assert not set(ANALYTIC) & set(NOT_ANALYTIC)


def complex_ratios(name, derivative, p, y):
    """In units of 64 u (s + |y|): some twenty complex operations, of 3 u each, on numbers of the derivative's scale."""
    step = 1j * 2.0**-70
    columns = [ANALYTIC[name](p + step * unit, y).sum(axis=1).imag * 2.0**70 for unit in np.eye(p.shape[1])]
    allowed = 64 * U * (LOSSES[name].derivative_scale(p, y) + np.abs(y) + 1e-3)
    return np.abs(derivative(p, y) - np.stack(columns, axis=1)) / allowed


def moderate(name, rng, samples, width):
    """On the grid, and logits up to 5, of which no exponential swamps another."""
    p, y = on_a_grid(name, rng, samples, width)
    return (np.clip(p, -5, 5) if LOSSES[name].domain == (-np.inf, np.inf) else p), y


@over("name", ANALYTIC)
@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_derivative_is_the_complex_step(name, seed, width):
    p, y = moderate(name, np.random.default_rng(seed), 20, width)
    within(complex_ratios(name, derivative_of(name), p, y), f"derivative of {name}")


@over("name", ANALYTIC)
def test_a_wrong_derivative_is_no_complex_step(name):
    p, y = moderate(name, np.random.default_rng(4), 60, 3)
    assert not complex_ratios(name, WRONG[name], p, y).max() <= 1
    right = derivative_of(name)
    assert not complex_ratios(name, lambda p, y: right(p, y) * (1 + 1e-12), p, y).max() <= 1


# --- signs and zeros

ANY_SIGN = {
    "gaussian_nll": "the logarithm of a density above 1 is positive",
    "poisson_nll": "log y! is left out",
    "cosine_distance": "1/n − â_t ŷ_t of one component; their sum is not negative",
    "kullback_leibler": "y_t log(y_t/p_t) of one component; their sum is not negative where y and p are distributions",
}


@every_loss
@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_no_contribution_is_negative(name, seed, width):
    rng = np.random.default_rng(seed)
    p, y = predictions(name, rng, 20, width), labels(name, rng, 20, width)
    if name not in ANY_SIGN:
        assert (LOSSES[name].value(p, y) >= 0).all()


def test_the_others_have_negative_contributions():
    rng = np.random.default_rng(0)
    for name in ANY_SIGN:
        p, y = predictions(name, rng), labels(name, rng)
        assert (
            loss(name, {"variance": 0.01} if name == "gaussian_nll" else {}).value(
                y if name == "gaussian_nll" else p, y
            )
            < 0
        ).any()


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_sums_that_are_not_negative(seed, width):
    rng = np.random.default_rng(seed)
    a, y = predictions("cosine_distance", rng, 20, width), labels("cosine_distance", rng, 20, width)
    distance = eq_8(LOSSES["cosine_distance"].value(a, y))
    assert (distance >= -sum_bound("cosine_distance", a, y)).all()
    assert (distance <= 2 + sum_bound("cosine_distance", a, y)).all()

    y = rng.dirichlet(np.ones(width), size=20)
    p = ACTIVATIONS["log_softmax"].value(rng.normal(size=(20, width)) * 5)
    divergence = eq_8(LOSSES["kullback_leibler"].value(p, y))
    assert (divergence >= -sum_bound("kullback_leibler", p, y) - 100 * U).all()


AT_THE_LABEL = {
    **{
        name: lambda y: y
        for name in ("half_squared_error", "mean_squared_error", "absolute_error", "huber", "smooth_l1", "log_cosh")
    },
    **dict.fromkeys(("hinge", "squared_hinge"), lambda y: 1.5 * y),
    **dict.fromkeys(("binary_cross_entropy", "categorical_cross_entropy"), lambda y: y),
    **dict.fromkeys(("negative_log_likelihood", "kullback_leibler"), lambda y: np.where(y == 1, 0.0, -50.0)),
    **dict.fromkeys(
        (name for name in NAMES if LOSSES[name].on_logits and "smoothed" not in name),
        lambda y: np.where(y == 1, 800.0, -800.0),
    ),
}
NEVER_ZERO = {
    "gaussian_nll": "½ log(2πv) is left",
    "poisson_nll": "e^a − y a is smallest, y (1 − log y), at a = log y",
    "cosine_distance": "0 in its sum, up to rounding: below",
    "smoothed_cross_entropy_on_logits": "the entropy of the smoothed label is left",
}


def test_every_loss_has_a_zero_or_a_reason():
    assert set(AT_THE_LABEL) | set(NEVER_ZERO) == set(LOSSES)
    assert not set(AT_THE_LABEL) & set(NEVER_ZERO)


@pytest.mark.parametrize("name", AT_THE_LABEL)
def test_is_0_at_the_label(name):
    """And its derivative there too, but for −y/a and −y on log-probabilities, of which (9) makes 0."""
    hard = LOSSES[name].labels in ("probability", "distribution", "class")
    y = np.eye(3) if hard else np.random.default_rng(0).choice([-1.0, 1.0], size=(3, 3))
    p = AT_THE_LABEL[name](y)
    assert not LOSSES[name].value(p, y).any()
    if not hard or LOSSES[name].on_logits:
        assert not LOSSES[name].derivative(p, y).any()


def test_minima_of_the_others():
    y = np.array([[1.0, 2.0, 3.0]])
    assert LOSSES["gaussian_nll"].value(y, y) == pytest.approx(np.log(2 * np.pi) / 2 * np.ones((1, 3)), rel=1e-15)
    assert not LOSSES["gaussian_nll"].derivative(y, y).any()
    assert LOSSES["poisson_nll"].value(np.log(y), y) == pytest.approx(y * (1 - np.log(y)), rel=1e-14)
    assert (np.abs(LOSSES["poisson_nll"].derivative(np.log(y), y)) <= 4 * U * y * (1 + np.log(y))).all()
    assert np.abs(eq_8(LOSSES["cosine_distance"].value(7 * y, y))) <= 8 * U
    assert (np.abs(LOSSES["cosine_distance"].derivative(7 * y, y)) <= 8 * U).all()


# --- one loss by another

seeds = st.integers(0, 2**32 - 1)
POWERS = st.sampled_from([0.25, 0.5, 2.0, 4.0])


def drawn(name, seed, width=3):
    rng = np.random.default_rng(seed)
    return predictions(name, rng, 20, width), labels(name, rng, 20, width)


@settings(max_examples=30)
@given(seeds, POWERS)
def test_huber_is_half_the_square_within_delta(seed, scale):
    a, y = drawn("huber", seed)
    far = loss("huber", {"delta": 1e6})
    assert np.array_equal(far.value(a, y), (a - y) * (a - y) / 2)
    assert np.array_equal(far.derivative(a, y), a - y)
    near, outside = loss("huber", {"delta": scale}), np.abs(a - y) > scale
    assert np.array_equal(near.derivative(a, y)[outside], scale * np.sign(a - y)[outside])
    assert (near.value(a, y)[outside] <= (np.square(a - y) / 2)[outside]).all()


@settings(max_examples=30)
@given(seeds, POWERS)
def test_huber_is_delta_times_smooth_l1(seed, delta):
    """Exactly, where δ is a power of 2."""
    a, y = drawn("huber", seed)
    huber, smooth = loss("huber", {"delta": delta}), loss("smooth_l1", {"beta": delta})
    for part in PARTS:
        assert np.array_equal(getattr(huber, part)(a, y), delta * getattr(smooth, part)(a, y))


@settings(max_examples=30)
@given(seeds)
def test_of_squares(seed):
    """MSE is 2/n half squares; with v = 1, the normal density's is the half square and a constant."""
    a, y = drawn("half_squared_error", seed, width=4)
    for part in PARTS:
        half = getattr(LOSSES["half_squared_error"], part)(a, y)
        assert np.array_equal(getattr(LOSSES["mean_squared_error"], part)(a, y), half / 2)
    assert np.array_equal(LOSSES["gaussian_nll"].derivative(a, y), a - y)
    hinge = LOSSES["hinge"].value(a, np.sign(y))
    assert np.array_equal(LOSSES["squared_hinge"].value(a, np.sign(y)), hinge * hinge)


@settings(max_examples=30)
@given(seeds, st.integers(1, 5))
def test_kullback_leibler_is_cross_entropy_less_entropy(seed, width):
    p, y = drawn("kullback_leibler", seed, width)
    terms = LOSSES["kullback_leibler"].value(p, y)
    expected = -y * p - -xlogy(y, y)
    assert (np.abs(terms - expected) <= 8 * U * MAGNITUDE["kullback_leibler", "value"][0](p, y)).all()


def likelihood(z, y, name="negative_log_likelihood"):
    """Of log_softmax: value, and δ by (9)"""
    a = ACTIVATIONS["log_softmax"].value(z)
    delta = eq_9(LOSSES[name].derivative(a, y), ACTIVATIONS["log_softmax"].derivative(z))
    return LOSSES[name].value(a, y), delta


def likelihood_ratios(likely, z, y, name="categorical_cross_entropy_with_classes"):
    """Distance of a value and a δ from those of the cross-entropy on logits, in units of what both are certified to."""
    value, delta = likely
    allowed = 3 * certified(name, "value", z, y) + 4 * U * np.abs(LOSSES[name].value(z, y)) + 1e-322
    spread = 3 * certified(name, "derivative", z, y) + 4 * z.shape[1] * U * y.sum(axis=1, keepdims=True)
    return np.maximum(
        np.abs(value - LOSSES[name].value(z, y)) / allowed, np.abs(delta - LOSSES[name].derivative(z, y)) / spread
    )


@settings(max_examples=30)
@given(seeds, st.integers(1, 5))
def test_likelihood_of_log_softmax_is_cross_entropy_on_logits(seed, width):
    z, y = drawn("categorical_cross_entropy_with_classes", seed, width)
    within(likelihood_ratios(likelihood(z, y), z, y), "negative log likelihood")


def test_another_likelihood_is_caught():
    z, y = drawn("categorical_cross_entropy_with_classes", 0)
    value, delta = likelihood(z, y)
    assert not likelihood_ratios((value * (1 + 1e-12), delta), z, y).max() <= 1
    assert not likelihood_ratios((value, delta + 1e-12), z, y).max() <= 1
    assert not likelihood_ratios((value, LOSSES["negative_log_likelihood"].derivative(z, y)), z, y).max() <= 1


@settings(max_examples=30)
@given(seeds, st.integers(2, 5), POWERS)
def test_smoothing_mixes_the_label_with_the_uniform_one(seed, width, fourth):
    """(1 − ε) CE(y) + ε CE(1/n): in both parts, as CE is linear in the label."""
    smoothing = fourth / 8
    z, y = drawn("smoothed_cross_entropy_on_logits", seed, width)
    plain, uniform = LOSSES["categorical_cross_entropy_on_logits"], np.full_like(y, 1 / width)
    for part in PARTS:
        mixed = (1 - smoothing) * getattr(plain, part)(z, y) + smoothing * getattr(plain, part)(z, uniform)
        observed = getattr(loss("smoothed_cross_entropy_on_logits", {"smoothing": smoothing}), part)(z, y)
        passed = MAGNITUDE["categorical_cross_entropy_on_logits", part][0]
        allowed = 12 * U * (passed(z, y) + passed(z, uniform)) + 1e-322
        within(np.abs(observed - mixed) / allowed, f"{part} of the mixture")
        other = getattr(loss("smoothed_cross_entropy_on_logits", {"smoothing": smoothing * 1.01}), part)(z, y)
        assert not (np.abs(other - mixed) / allowed).max() <= 1


@settings(max_examples=30)
@given(seeds, st.integers(1, 5), st.sampled_from([0.5, 2.0, 1024.0]))
def test_cosine_distance_does_not_see_a_scale(seed, width, scale):
    """Exactly, for a power of 2; its derivative is that of a function of a/‖a‖, hence shrinks as 1/‖a‖."""
    a, y = drawn("cosine_distance", seed, width)
    f = LOSSES["cosine_distance"]
    assert np.array_equal(f.value(scale * a, y), f.value(a, y))
    assert np.array_equal(f.derivative(scale * a, y), f.derivative(a, y) / scale)


def along(derivative, a, y):
    """a·∂L/∂a, in units of what the derivative is certified to."""
    allowed = (np.abs(a) * certified("cosine_distance", "derivative", a, y)).sum(axis=1)
    return np.abs((a * derivative(a, y)).sum(axis=1)) / (allowed + a.shape[1] * U)


@settings(max_examples=30)
@given(seeds, st.integers(1, 5))
def test_derivative_of_cosine_distance_is_orthogonal_to_a(seed, width):
    a, y = drawn("cosine_distance", seed, width)
    within(along(derivative_of("cosine_distance"), a, y), "a·∂L/∂a")


def test_a_derivative_along_a_is_caught():
    a, y = drawn("cosine_distance", 0)
    assert not along(WRONG["cosine_distance"], a, y).max() <= 1
    assert not along(lambda a, y: derivative_of("cosine_distance")(a, y) + 1e-12 * a, a, y).max() <= 1


# --- intervals


def interval_ratios(name, interval, a, y):
    """Whether the interval holds the derivative and is degenerate away from the kink: 0, or infinite where not."""
    low, high = interval(a, y)
    at = a == y if name == "absolute_error" else y * a == 1
    derivative = derivative_of(name)(a, y)
    right = (low <= derivative) & (derivative <= high) & np.where(at, high - low == abs_slope(name), low == high)
    return np.where(right, 0.0, np.inf)


def abs_slope(name):
    """How far the derivative jumps at the kink: from −1 to 1, from −y to 0"""
    return 2.0 if name == "absolute_error" else 1.0


WITH_INTERVAL = [name for name in NAMES if LOSSES[name].interval]


def test_the_losses_with_a_kink_are_these():
    assert WITH_INTERVAL == ["absolute_error", "hinge"]


@settings(max_examples=30)
@given(seeds)
@pytest.mark.parametrize("name", WITH_INTERVAL)
def test_interval_holds_the_derivative(name, seed):
    for a, y in (drawn(name, seed), special(name, {})):
        within(interval_ratios(name, LOSSES[name].interval, a, y), f"interval of {name}")


@pytest.mark.parametrize("name", WITH_INTERVAL)
def test_interval_ends_are_the_one_sided_derivatives(name):
    y = np.array([[1.0, -1.0]])
    low, high = LOSSES[name].interval(y, y)
    sides = [
        exact.LOSS_DERIVATIVE[name]([exact.ball(k + s * 2.0**-40) for k in y[0]], [exact.ball(k) for k in y[0]])
        for s in (-1, 1)
    ]
    sides = np.array([[float(number) for number in side] for side in sides])
    assert np.array_equal(np.sort(sides, axis=0), np.concatenate([low, high]))


@pytest.mark.parametrize("name", WITH_INTERVAL)
def test_a_wrong_interval_is_caught(name):
    a, y = special(name, {})
    interval = LOSSES[name].interval
    for wrong in (
        lambda a, y: (interval(a, y)[0] - 0.1, interval(a, y)[1]),
        lambda a, y: (interval(a, y)[0], interval(a, y)[0]),
        lambda a, y: (interval(a, -y)[0], interval(a, -y)[1]),
        lambda a, y: (derivative_of(name)(a, y) + np.nan, derivative_of(name)(a, y)),
    ):
        assert not interval_ratios(name, wrong, a, y).max() <= 1


# --- what a derivative moves by, while p moves by an error

CARRIED = [name for name in NAMES if LOSSES[name].carried]


def test_the_coupled_losses_are_these():
    fused = [name for name in NAMES if LOSSES[name].outputs == ("softmax",) and LOSSES[name].on_logits]
    assert ["cosine_distance", *fused] == CARRIED


@every_loss
@settings(max_examples=30)
@given(seeds)
def test_without_carried_a_derivative_depends_on_its_own_component(name, seed):
    p, y = drawn(name, seed)
    other = np.roll(p, 1, axis=0)
    other[:, 0] = p[:, 0]
    same = np.array_equal(derivative_of(name)(p, y)[:, 0], derivative_of(name)(other, y)[:, 0])
    assert same == (name not in CARRIED)


def carried_ratios(name, parameters, carried, p, y, error, tight=False):
    """Largest change of the derivative, over every choice of signs of the errors, in units of what is carried.

    The second order adds less than a thousandth to softmax's; to the cosine's at most 9 (Σ e)²/‖a‖³, as every entry of
    its second derivative is a sum of 15 products of â, ŷ and c, below 18/‖a‖³. Rounding adds its own.
    """
    derivative = loss(name, parameters).derivative
    before, changes = derivative(p, y), []
    for signs in product([-1, 1], repeat=p.shape[1]):
        changes.append(np.abs(derivative(p + np.array(signs) * error, y) - before))
    rounding = 64 * U * loss(name, parameters).derivative_scale(p, y)
    bound = carried(p, y, error) + 1e-300
    if name == "cosine_distance" and not tight:
        rounding = rounding + 9 * np.square(error.sum(axis=1, keepdims=True)) / norm(p) ** 3
    change = np.max(changes, axis=0)
    return (change - rounding) / (1.001 * bound) if not tight else (change + rounding) / bound


def errors(name, rng, samples=20, width=3):
    p, y = predictions(name, rng, samples, width), labels(name, rng, samples, width)
    p = np.clip(p, -20, 20)
    size = np.sqrt(np.square(p).sum(axis=1, keepdims=True)) if name == "cosine_distance" else 1.0
    return p, y, rng.random(p.shape) * size * 1e-5


COUPLED_MEMBERS = [(name, parameters) for name, parameters in MEMBERS if name in CARRIED]
every_coupled = over(("name", "parameters"), COUPLED_MEMBERS)


@every_coupled
@settings(max_examples=20)
@given(seeds, st.integers(1, 5))
def test_carried_bounds_the_change_of_the_derivative(name, parameters, seed, width):
    p, y, error = errors(name, np.random.default_rng(seed), width=width)
    within(carried_ratios(name, parameters, loss(name, parameters).carried, p, y, error), f"change of {name}")


@every_coupled
def test_carried_is_no_more_than_it_must_be(name, parameters):
    """The worst signs reach it (softmax's Jacobian), or a quarter of it (cosine, by the triangle inequality)."""
    p, y, error = errors(name, np.random.default_rng(1), samples=100)
    reached = carried_ratios(name, parameters, loss(name, parameters).carried, p, y, error, tight=True)
    assert np.median(reached) >= (0.25 if name == "cosine_distance" else 0.999)


@every_coupled
def test_too_small_a_bound_is_caught(name, parameters):
    p, y, error = errors(name, np.random.default_rng(1))
    carried = loss(name, parameters).carried
    too_small = {
        "of its own error": lambda p, y, error: carried(p, y, error * [[1, 0, 0]]),
        "by a tenth, or three quarters": lambda p, y, error: carried(p, y, error) * factor,
    }
    factor = 0.25 if name == "cosine_distance" else 0.9
    for what, wrong in too_small.items():
        assert not carried_ratios(name, parameters, wrong, p, y, error).max() <= 1, what


# --- labels, formats, ends

REFUSED = {
    "real": [[np.inf, 0.0], [np.nan, 0.0]],
    "direction": [[0.0, 0.0], [np.inf, 1.0]],
    "sign": [[0.0, 1.0], [2.0, -1.0], [np.nan, 1.0]],
    "count": [[-1.0, 1.0], [np.nan, 1.0]],
    "probability": [[1.5, 0.0], [-0.1, 0.0], [np.nan, 0.0]],
    "distribution": [[1.5, 0.0], [-0.1, 0.0], [np.nan, 0.0]],
    "class": [[0.5, 0.5], [1.0, 1.0], [0.0, 0.0], [np.nan, 1.0]],
}


@every_loss
def test_labels_are_as_the_table_says(name):
    test, what = LABELS[LOSSES[name].labels]
    assert test(labels(name, np.random.default_rng(0))).all()
    for refused in REFUSED[LOSSES[name].labels]:
        assert not test(np.array([refused])).all(), f"{refused} passes for {what}"


@over("dtype", DTYPES)
@every_member
def test_keeps_its_format(name, parameters, dtype):
    p, y = (array.astype(dtype) for array in drawn(name, 0))
    p = np.clip(p, 0.1, 0.9).astype(dtype) if LOSSES[name].domain == (0.0, 1.0) else np.clip(p, -60, 60)
    for part in PARTS:
        observed = getattr(loss(name, parameters), part)(p, y)
        assert observed.dtype == dtype, f"dtype of {name} is {observed.dtype}, but should be {dtype}"
        assert observed.shape == p.shape
    for part in ("value_scale", "derivative_scale"):
        assert (getattr(loss(name, parameters), part)(p, y) >= 0).all()


@over("part", PARTS)
@every_member
def test_scale_is_no_smaller_than_the_loss(name, parameters, part):
    """|f| ≤ 2 s, so that k·u·s is never below half a unit in the last place; where s is 0, f is −1, 0 or 1."""
    f = loss(name, parameters)
    p, y = drawn(name, 0)
    number, scale = np.abs(getattr(f, part)(p, y)), getattr(f, f"{part}_scale")(p, y)
    assert ((number <= 2 * scale) | ((scale == 0) & np.isin(number, [0.0, 1.0]))).all()


ENDS = {  # (a, y): value and derivative of the binary, then of the categorical cross-entropy
    (0.0, 0.0): (0.0, 1.0, 0.0, 0.0),
    (0.0, 1.0): (np.inf, -np.inf, np.inf, -np.inf),
    (1.0, 0.0): (np.inf, np.inf, 0.0, 0.0),
    (1.0, 1.0): (0.0, -1.0, 0.0, -1.0),
    (0.0, 0.5): (np.inf, -np.inf, np.inf, -np.inf),
    (1.0, 0.5): (np.inf, np.inf, 0.0, -0.5),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("a", "y"), ENDS)
def test_ends_of_a_probability(a, y, dtype):
    p, label = np.array([[a]], dtype), np.array([[y]], dtype)
    observed = tuple(
        getattr(LOSSES[name], part)(p, label).item()
        for name in ("binary_cross_entropy", "categorical_cross_entropy")
        for part in PARTS
    )
    assert observed == ENDS[a, y], f"at a = {a}, y = {y} is {observed}, but should be {ENDS[a, y]}"
    for name in ("binary_cross_entropy", "categorical_cross_entropy"):
        for part in ("value_scale", "derivative_scale"):
            assert getattr(LOSSES[name], part)(p, label).item() >= 0


ON_LOGITS = tuple(name for name in NAMES if LOSSES[name].on_logits)
RESIDUAL = tuple(name for name in NAMES if LOSSES[name].labels == "real")


@over("dtype", DTYPES)
@over("part", ["value", "derivative", "value_scale", "derivative_scale"])
@over("name", [*ON_LOGITS, *RESIDUAL])
def test_far_numbers_give_numbers_and_no_warning(name, part, dtype):
    p = np.array([[1e4, -1e4], [-1e4, 1e4], [1e4, 1e4], [-1e4, -1e4], [0.0, -0.0]], dtype)
    y = np.array([[1, 0], [1, 0], [0, 1], [0, 1], [0.5, 0.5]], dtype)
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        observed = getattr(LOSSES[name], part)(p, y)
    assert np.isfinite(observed).all()


@pytest.mark.parametrize("name", ["huber", "smooth_l1", "log_cosh", "absolute_error", "cosine_distance"])
def test_a_square_that_overflows_harms_no_loss_that_does_not(name):
    p, y = np.array([[1e200, -1e300], [3e-200, 4e-200]]), np.array([[0.0, 1.0], [3.0, 4.0]])
    with np.errstate(all="raise", under="ignore"):
        for part in PARTS:
            assert np.isfinite(getattr(LOSSES[name], part)(p, y)).all()
    if name == "cosine_distance":
        assert abs(eq_8(LOSSES[name].value(p, y))[1]) <= 8 * U


def test_far_logits_cost_their_distance():
    z, y = np.array([[1e4, -1e4]]), np.array([[0.0, 1.0]])
    for name in ON_LOGITS:
        if name != "smoothed_cross_entropy_on_logits":
            assert eq_8(LOSSES[name].value(z, y)).item() == 2e4
            assert LOSSES[name].derivative(z, y).tolist() == [[1, -1]]
            assert LOSSES[name].derivative(z, y[:, ::-1]).tolist() == [[0, 0]]


@pytest.mark.parametrize("name", ON_LOGITS[:3])
def test_delta_keeps_its_digits_where_a_saturates(name):
    """σ(z) − y and a Σy − y are 0 from z = 37 on, where δ is −e^{−z}."""
    z, y = np.array([[50.0, -50.0]]), np.array([[1.0, 0.0]])
    size = 50 if name == "binary_cross_entropy_on_logits" else 100
    assert LOSSES[name].derivative(z, y) == pytest.approx(np.exp(-size) * np.array([[-1, 1]]), rel=1e-14)


# --- the fused and the composed route

ROUTES = {
    "binary_cross_entropy_on_logits": ("sigmoid", "binary_cross_entropy"),
    "categorical_cross_entropy_on_logits": ("softmax", "categorical_cross_entropy"),
    "categorical_cross_entropy_with_classes": ("softmax", "categorical_cross_entropy"),
}


def routes(fused, z, y):
    """Differences of L_i and δ between the routes, each with what the two may differ by.

    a has c roundings, 4 of σ and 4 (1 + n/4 + …) of softmax; a value moves by |∂L/∂a| c u a, a derivative −y/a by c u
    of itself and (1 − y)/(1 − a) by c u a/(1 − a) of itself; the fused route is certified as above.
    """
    output, composed = ROUTES[fused]
    f, apart, at_once = ACTIVATIONS[output], LOSSES[composed], LOSSES[fused]
    a = f.value(z)
    roundings = 4 * (2 if output == "sigmoid" else conditions(z)[1]) * U
    amplified = a / (1 - a) if output == "sigmoid" else 0.0
    terms, fused_terms = apart.value(a, y), at_once.value(z, y)
    scale = apart.derivative_scale(a, y)
    value_allowed = scale * roundings * a + certified(composed, "value", a, y) + certified(fused, "value", z, y)
    value_allowed = value_allowed.sum(axis=1) + 2 * z.shape[1] * U * (terms + fused_terms).sum(axis=1)

    df = np.abs(f.derivative(z))
    delta = eq_9(apart.derivative(a, y), f.derivative(z))
    per_factor = scale * (4 * U + roundings * (1 + amplified))
    df_error = (4 * U * df if output == "sigmoid" else 4 * U * softmax_jacobian_passed(z)) + 8 * U * df
    delta_allowed = eq_9(per_factor, df) + eq_9(scale, df_error) + certified(fused, "derivative", z, y)
    return {
        "L_i": (eq_8(terms) - eq_8(fused_terms), value_allowed),
        "δ": (delta - at_once.derivative(z, y), delta_allowed),
    }


def softmax_jacobian_passed(z):
    """(c_k + c_t) a_k a_t off the diagonal, a_k Σ_{j≠k} (c_k + c_j) a_j on it"""
    a, c = conditions(z)
    off = a[:, :, None] * a[:, None, :] * (c[:, :, None] + c[:, None, :])
    return off + (a * (c * others(a) + others(a * c)))[:, :, None] * np.eye(z.shape[1])


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.floats(0.01, 4))
@pytest.mark.parametrize("fused", ROUTES)
def test_routes_agree(fused, seed, width, spread):
    """|z| ≤ 15: the composed route has lost every digit of 1 − a once a rounds to 1, at z = 37."""
    rng = np.random.default_rng(seed)
    z = np.clip(rng.normal(size=(4, width)) * spread, -15, 15)
    for quantity, (difference, allowed) in routes(fused, z, labels(fused, rng, 4, width)).items():
        assert np.isfinite(allowed).all()
        within(np.abs(difference) / (allowed + 1e-300), f"{quantity} of the composed route")


@pytest.mark.parametrize("fused", ROUTES)
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
