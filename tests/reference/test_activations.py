"""Activation functions against ball arithmetic, differences, complex steps, and their own laws.

Certified are 4 units in the last place; beyond them only 4 u m, where a formula passes through a magnitude m that the
table MAGNITUDE states. u is the unit roundoff.
"""

import inspect

import numpy as np
import pytest
from flint import arb
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import erf, ndtr

from reference.activations import ACTIVATIONS, FAMILIES, HIDDEN, OUTPUT, activation
from tests.reference import exact
from tests.tables import over

DTYPES = ("float32", "float64")
PARTS = ("value", "derivative")
U = exact.UNIT_ROUNDOFF["float64"]
COUPLED = tuple(name for name in OUTPUT if ACTIVATIONS[name].coupled)

OTHERS = {
    "softplus": [{"beta": 0.3}, {"beta": 7.0}],
    "squareplus": [{"b": 0.01}, {"b": 30.0}],
    "elu": [{"alpha": 0.3}, {"alpha": 2.5}],
    "celu": [{"alpha": 0.3}, {"alpha": 2.5}],
    "leaky_relu": [{"slope": 0.3}, {"slope": 1.5}],
    "softshrink": [{"threshold": 0.1}, {"threshold": 2.7}],
    "hardshrink": [{"threshold": 0.1}, {"threshold": 2.7}],
}
"""Other members of the families: on both sides of the usual one, and such that a product with them is rounded."""

MEMBERS = [*((name, {}) for name in HIDDEN), *((name, given) for name, two in OTHERS.items() for given in two)]
"""Every elementwise activation, with its usual parameters and with others."""


def called(name, parameters):
    return name + "".join(f" {key}={value}" for key, value in parameters.items())


every_member = over(("name", "parameters"), MEMBERS, ids=[called(*member) for member in MEMBERS])


def test_the_exact_tables_have_every_activation():
    assert set(exact.VALUE) == set(exact.DERIVATIVE) == set(HIDDEN)
    assert set(exact.COUPLED_VALUE) == set(exact.JACOBIAN) == set(COUPLED)
    assert [f.name for f in ACTIVATIONS.values()] == list(ACTIVATIONS)
    assert set(OTHERS) == set(FAMILIES)


@over("name", HIDDEN)
def test_the_exact_tables_have_every_parameter(name):
    for function in (exact.VALUE[name], exact.DERIVATIVE[name]):
        defaults = {key: p.default for key, p in inspect.signature(function).parameters.items() if key != "z"}
        assert defaults == ACTIVATIONS[name].parameters


def test_a_family_makes_the_members_of_the_table():
    for name, two in OTHERS.items():
        assert activation(name, {}) is ACTIVATIONS[name]
        assert FAMILIES[name]().parameters == ACTIVATIONS[name].parameters
        for parameters in two:
            assert (activation(name, parameters).name, activation(name, parameters).parameters) == (name, parameters)


# --- where they are held


def in_format(parameters, dtype):
    """The parameters as a format holds them."""
    return {key: float(np.dtype(dtype).type(value)) for key, value in parameters.items()}


def extremes(dtype):
    """Tiny and subnormal numbers; roots, turning points and the ends of the exponential's range; huge numbers."""
    info = np.finfo(dtype)
    smallest, normal = float(info.smallest_subnormal), float(info.smallest_normal)
    near = [0.0, smallest, 3 * smallest, normal / 2, normal, np.sqrt(normal), float(info.eps), 2.0**-27, 2.0**-10]
    turns = [0.7517915, 0.7524614, 1.19208, 1.2784645, 2.3994, 1.5, 1.0]
    ends = [13.4, 17.4, 18.7, 36.7, 37.5, 38.5, 40.0, 88.7, 88.8, 103.9, 104.0, 354.9, 700.0, 709.7, 709.8]
    far = [710.5, 744.4, 745.2, 1e4, 1e6, np.sqrt(float(info.max)) * 3, float(info.max) / 100]
    positive = np.array([*near, *turns, *ends, *far, *np.arange(1.0, 20.0)])
    return np.concatenate([positive, -positive]).astype(dtype)


def about(places, dtype):
    """Each place, and 1, 2 and 7 units in the last place to either side."""
    at = np.array(places, dtype)
    return np.concatenate(
        [np.nextafter(at, at + sign * 1) + 0 * at for sign in (-1, 1)]
        + [at + count * np.spacing(at) for count in (-7, -2, -1, 0, 1, 2, 7)]
    ).astype(dtype)


def points(dtype, kinks=(), seed=0):
    """Extremes, both sides of kinks, normal numbers of several spreads, and numbers of every exponent up to 1e5."""
    rng = np.random.default_rng(seed)
    normal = [rng.normal(size=150) * spread for spread in (0.1, 1, 5, 30, 300)]
    lowest = np.log2(float(np.finfo(dtype).smallest_subnormal))
    every_exponent = np.exp2(rng.uniform(lowest, np.log2(1e5), size=300)) * rng.choice([-1, 1], size=300)
    drawn = np.concatenate([*normal, every_exponent]).astype(dtype)
    return np.concatenate([extremes(dtype), about([kink.at for kink in kinks], dtype), drawn])


def rows(dtype, seed=0):
    """Samples of a coupled activation: narrow, wide, equal, and with one unit far above or below the rest."""
    rng = np.random.default_rng(seed)
    drawn = [rng.normal(size=(5, n)) * spread for n in (1, 2, 3, 7) for spread in (1e-8, 1e-3, 1, 10, 60, 300)]
    special = [[[0.0, 0.0, 0.0]], [[1e4, -1e4]], [[-1e4, -1e4]], [[1e4, 1e4, 1e4]], [[0.0, -0.0]], [[5.0, 5.0, -740.0]]]
    beside = [[[1.0, 1.0 + 2.0**-20]], [[700.0, 0.0, -5e-324]], [[0.0, 40.0]], [[0.0, 37.0, -37.0]], [[709.0, -709.0]]]
    return [np.array(sample, dtype=dtype) for sample in (*drawn, *special, *beside)]


# --- what is certified

SATURATED = 100
"""Beyond it no magnitude below counts: φ, and the slope of the σ in the tanh form of GELU, are 0 long before."""


def density(z):
    return np.exp(-np.square(np.clip(z, -SATURATED, SATURATED)) / 2) / np.sqrt(2 * np.pi)


def logistic(z):
    return np.exp(-np.logaddexp(0, -z))


def logistic_slope(z):
    return logistic(z) * logistic(-z)


def exponent(z):
    """2g of the tanh form of GELU, and z times its derivative"""
    z = np.clip(z, -SATURATED, SATURATED)
    return 2 * np.sqrt(2 / np.pi) * (z + 0.044715 * z**3), 2 * np.sqrt(2 / np.pi) * (z + 3 * 0.044715 * z**3)


def gelu_tanh_derivative_magnitude(z):
    x, slope = exponent(z)
    return (logistic(x) + np.abs(slope) * logistic_slope(x)) * (1 + np.abs(x) * logistic(-x))


def mish_derivative_magnitude(z):
    t = np.tanh(np.logaddexp(z, 0))
    return t + np.abs(z) * (1 - np.square(t)) * logistic(z)


MAGNITUDE = {
    ("softplus", "value"): (
        lambda z, beta: (beta != 1) * np.abs(z) * logistic(beta * z),
        "βz is rounded, by which log(1 + e^{βz})/β moves by |z| σ(βz) u",
    ),
    ("softplus", "derivative"): (
        lambda z, beta: (beta != 1) * np.abs(beta * z) * logistic_slope(beta * z),
        "βz is rounded, by which σ(βz) moves by |βz| σ(βz) σ(−βz) u",
    ),
    ("silu", "derivative"): (
        lambda z: logistic(z) * (1 + np.abs(z) * logistic(-z)),
        "σ and z σ σ(−z) cancel about the root at −1.278",
    ),
    ("mish", "derivative"): (mish_derivative_magnitude, "t and z (1 − t²) σ cancel about the root at −1.192"),
    ("gelu", "value"): (
        lambda z: np.square(np.clip(z, -SATURATED, SATURATED)) * density(z),
        "z/√2 is rounded, by which Φ moves by |z| φ(z) u: for z ≪ 0, z² roundings of Φ",
    ),
    ("gelu", "derivative"): (
        lambda z: ndtr(z) + np.abs(z) * density(z) * (1 + np.square(np.clip(z, -SATURATED, SATURATED))),
        "Φ and zφ cancel about the root at −0.752, and the exponent z²/2 of φ is rounded",
    ),
    ("gelu_tanh", "value"): (
        lambda z: np.abs(z) * (np.abs(exponent(z)[0]) * logistic_slope(exponent(z)[0])),
        "the exponent 2g is rounded, by which z σ(2g) moves by |z| |2g| σ(2g) σ(−2g) u",
    ),
    ("gelu_tanh", "derivative"): (
        gelu_tanh_derivative_magnitude,
        "σ and 2 z g' σ σ(−2g) cancel about the root at −0.752, and the exponent 2g is rounded in both",
    ),
    ("celu", "derivative"): (
        lambda z, alpha: (alpha != 1) * (z < 0) * np.abs(z / alpha) * np.exp(np.minimum(z, 0) / alpha),
        "z/α is rounded, by which e^{z/α} moves by |z/α| e^{z/α} u",
    ),
}
"""m of each function whose formula passes through more than its result, and why."""

UNDERFLOW = {
    ("gelu_tanh", "derivative"): (
        lambda z, info: (1 + np.abs(exponent(z)[1])) * info.smallest_subnormal,
        "σ(2g) σ(−2g) is multiplied by 2 z g'",
    ),
}
"""What an underflow costs where it is not a smallest subnormal number times 1 + |z|, and why."""


def underflow(name, part, z, info):
    if (name, part) not in UNDERFLOW:
        return (1 + np.abs(z)) * info.smallest_subnormal
    return UNDERFLOW[name, part][0](z, info)


def magnitude(name, part, z, parameters):
    if (name, part) not in MAGNITUDE:
        return np.zeros_like(z)
    return MAGNITUDE[name, part][0](z, **parameters)


def scalar_ratios(name, part, f, z, parameters):
    """Distance of f(z) from the true value or derivative of the activation, in units of what is certified."""
    truth = (exact.VALUE if part == "value" else exact.DERIVATIVE)[name]
    wide = z.astype(float)
    passed = magnitude(name, part, wide, {**ACTIVATIONS[name].parameters, **parameters})
    below = underflow(name, part, wide, np.finfo(z.dtype))
    with exact.Precision():
        true = [truth(exact.ball(number), **parameters) for number in z]
        return exact.accuracy(f(z), true, passed, below)


# --- what is certified, for the coupled ones


def others(a):
    """Σ_{k≠t} a_k of each unit t"""
    n = a.shape[1]
    return np.stack([np.delete(a, t, axis=1).sum(axis=1) for t in range(n)], axis=1)


def conditions(z):
    """a, and c_t = 1 + n/4 + |z_t − m| + Σ_k a_k |z_k − m|, of which a_t has so many roundings.

    An exponent z_k − m is rounded, by which e^{z_k − m} moves by |z_k − m| u; n terms are summed.
    """
    shift = z - z.max(axis=1, keepdims=True)
    a = np.exp(shift) / np.exp(shift).sum(axis=1, keepdims=True)
    return a, 1 + z.shape[1] / 4 + np.abs(shift) + (a * np.abs(shift)).sum(axis=1, keepdims=True)


def softmax_magnitude(z):
    a, c = conditions(z)
    return a * c


def softmax_jacobian_magnitude(z):
    """Of a_k Σ_{j≠k} a_j and a_k a_t"""
    a, c = conditions(z)
    k, t, identity = (slice(None), slice(None), None), (slice(None), None, slice(None)), np.eye(z.shape[1])
    diagonal = a * (c * others(a) + others(a * c))
    return a[k] * a[t] * (c[k] + c[t]) * (1 - identity) + diagonal[k] * identity


def log_softmax_magnitude(z):
    """|f_t| + Σ_k a_k |z_k − m| + (n/4) log Σ_k e^{z_k − m}: of a logarithm, the relative error is an absolute one"""
    shift = z - z.max(axis=1, keepdims=True)
    a, _ = conditions(z)
    partition = -np.log(a.max(axis=1, keepdims=True))
    return np.abs(shift) + (1 + z.shape[1] / 4) * partition + (a * np.abs(shift)).sum(axis=1, keepdims=True)


def log_softmax_jacobian_magnitude(z):
    a, c = conditions(z)
    identity = np.eye(z.shape[1])
    return (a * c)[:, None, :] * (1 - identity) + others(a * c)[:, :, None] * identity


COUPLED_MAGNITUDE = {
    ("softmax", "value"): softmax_magnitude,
    ("softmax", "derivative"): softmax_jacobian_magnitude,
    ("log_softmax", "value"): log_softmax_magnitude,
    ("log_softmax", "derivative"): log_softmax_jacobian_magnitude,
}


def coupled_ratios(name, part, f, z):
    truth = (exact.COUPLED_VALUE if part == "value" else exact.JACOBIAN)[name]
    passed = COUPLED_MAGNITUDE[name, part](z.astype(float))
    with exact.Precision():
        true = exact.flat([truth([exact.ball(number) for number in sample]) for sample in z])
        return exact.accuracy(f(z), true, passed, 2 * float(np.finfo(z.dtype).smallest_subnormal))


def within(ratios, what):
    worst = ratios.max()
    assert worst <= 1, f"{what} is {worst} times its bound away from the true value, but should be at most 1"


# --- against ball arithmetic


@every_member
@over("part", PARTS)
@over("dtype", DTYPES)
def test_is_the_true_number(name, parameters, part, dtype):
    parameters = in_format(parameters, dtype)
    f = activation(name, parameters)
    z = points(dtype, f.kinks)
    within(scalar_ratios(name, part, getattr(f, part), z, parameters), f"{part} of {name}")


@every_member
@over("part", PARTS)
@settings(max_examples=20, derandomize=True)
@given(st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=20))
def test_is_the_true_number_anywhere(name, parameters, part, numbers):
    """Drawn alike every time: of 10⁶ numbers, two or three err by 4.1 units (six roundings may add up to that)."""
    f = getattr(activation(name, parameters), part)
    within(scalar_ratios(name, part, f, np.array(numbers), parameters), f"{part} of {name}")


@pytest.mark.parametrize("dtype", DTYPES)
@over("part", PARTS)
@over("name", COUPLED)
def test_a_coupled_one_is_the_true_number(name, part, dtype):
    for z in rows(dtype):
        within(coupled_ratios(name, part, getattr(ACTIVATIONS[name], part), z), f"{part} of {name} at {z}")


@every_member
@over("part", PARTS)
def test_a_function_8_places_off_is_caught(name, parameters, part):
    f = activation(name, parameters)
    for places in (-8, 8):
        wrong = scalar_ratios(
            name, part, lambda z, places=places: exact.moved(getattr(f, part)(z), places), points("float64"), parameters
        )
        assert not wrong.max() <= 1


@over("part", PARTS)
@over("name", COUPLED)
def test_a_coupled_function_off_is_caught(name, part):
    """By 8 places for two units; the magnitude of seven allows a few more."""
    f = getattr(ACTIVATIONS[name], part)
    z = np.array([[0.0, 0.1], [1.0, 0.3]])
    assert not coupled_ratios(name, part, lambda z: exact.moved(f(z), 25), z).max() <= 1
    assert not coupled_ratios(name, part, lambda z: exact.moved(f(z), -25), z).max() <= 1


def derivative_of(name):
    return ACTIVATIONS[name].derivative


def value_of(name):
    return ACTIVATIONS[name].value


FIXED = ("identity", "relu", "leaky_relu", "elu", "relu6", "hardtanh", "hardshrink")
"""f' at a = f(z) is f' at z, or is so almost everywhere."""

WRONG = {
    "sigmoid without 1 − σ": ("sigmoid", value_of("sigmoid")),
    "tanh without the square": ("tanh", lambda z: 1 - np.tanh(z)),
    "relu with a leak": ("relu", lambda z: np.where(z > 0, 1.0, 0.01)),
    "relu, 1 at its kink": ("relu", lambda z: np.where(z >= 0, 1.0, 0.0)),
    "relu6 without an end": ("relu6", derivative_of("relu")),
    "hardtanh with open ends": ("hardtanh", derivative_of("identity")),
    "hardsigmoid, not divided by 6": ("hardsigmoid", lambda z: 6 * derivative_of("hardsigmoid")(z)),
    "hardswish as hardsigmoid": ("hardswish", value_of("hardsigmoid")),
    "gelu without z φ": ("gelu", ndtr),
    "gelu of the tanh form": ("gelu", derivative_of("gelu_tanh")),
    "gelu_tanh of the erf form": ("gelu_tanh", derivative_of("gelu")),
    "softplus mirrored": ("softplus", lambda z: value_of("sigmoid")(-z)),
    "logsigmoid mirrored": ("logsigmoid", value_of("sigmoid")),
    "silu without its product term": ("silu", value_of("sigmoid")),
    "mish as silu": ("mish", derivative_of("silu")),
    "tanhshrink as tanh": ("tanhshrink", derivative_of("tanh")),
    "softsign of z, not |z|": ("softsign", lambda z: 1 / np.square(1 + np.maximum(z, 0))),
    "squareplus as softplus": ("squareplus", value_of("sigmoid")),
    "elu plus α": ("elu", lambda z: np.where(z > 0, 1.0, value_of("elu")(z))),
    "selu as elu": ("selu", derivative_of("elu")),
    "celu of another α": ("celu", FAMILIES["celu"](2.0).derivative),
    "leaky_relu of another slope": ("leaky_relu", FAMILIES["leaky_relu"](0.02).derivative),
    "softshrink of another threshold": ("softshrink", FAMILIES["softshrink"](0.6).derivative),
    "hardshrink everywhere 1": ("hardshrink", derivative_of("identity")),
    "identity as zero": ("identity", np.zeros_like),
    "tanh with a NaN": ("tanh", lambda z: np.where(z == 1e4, np.nan, derivative_of("tanh")(z))),
    **{
        f"{name} of a, not z": (name, lambda z, name=name: derivative_of(name)(value_of(name)(z)))
        for name in HIDDEN
        if name not in FIXED
    },
}
"""Wrong derivatives."""


def test_every_activation_has_a_wrong_derivative():
    assert {name for name, _ in WRONG.values()} == set(HIDDEN)


@over("wrong", WRONG)
def test_a_wrong_derivative_is_caught(wrong):
    name, f = WRONG[wrong]
    with np.errstate(over="ignore", divide="ignore"):
        assert not scalar_ratios(name, "derivative", f, points("float64"), {}).max() <= 1


@over(("name", "parameters"), MEMBERS, ids=[called(*member) for member in MEMBERS], quick=12)
def test_another_value_is_caught(name, parameters):
    """The value of any other activation of the table, or of the family, is not this one's."""
    z = points("float64")
    beside = [ACTIVATIONS[other] for other in HIDDEN if other != name]
    beside += [
        activation(name, other)
        for other in [*OTHERS.get(name, []), *({},) * bool(OTHERS.get(name))]
        if other != parameters
    ]
    beside = [
        f
        for f in beside
        if {f.name, name} != {"elu", "celu"} or f.parameters != activation(name, parameters).parameters
    ]
    for f in beside:
        assert not scalar_ratios(name, "value", f.value, z, parameters).max() <= 1, f"{f.name} passes for {name}"


def test_a_wrong_jacobian_is_caught():
    z = rows("float64")[14]
    for name in COUPLED:
        jacobian = derivative_of(name)
        wrong = {
            "diagonal": lambda z, jacobian=jacobian: jacobian(z) * np.eye(z.shape[1]),
            "sign": lambda z, jacobian=jacobian: -jacobian(z),
            "other": derivative_of("log_softmax" if name == "softmax" else "softmax"),
            "transposed": lambda z: np.swapaxes(derivative_of("log_softmax")(z), 1, 2),
            "a third": lambda z, jacobian=jacobian: jacobian(z) / 3,
        }
        for what, f in wrong.items():
            assert not coupled_ratios(name, "derivative", f, z).max() <= 1, f"{what} passes for {name}"
        other = value_of("log_softmax" if name == "softmax" else "softmax")
        assert not coupled_ratios(name, "value", other, z).max() <= 1


# --- the exact tables themselves


def exact_kinks(name, parameters):
    return [kink.at for kink in activation(name, parameters).kinks]


@every_member
def test_an_exact_derivative_is_the_limit_of_the_exact_difference(name, parameters):
    """Truncation is h²/6 f''', rounding 2^{−400}/h: with h = 2^{−100} either is below 1e-50."""
    z = np.concatenate([np.random.default_rng(9).normal(size=40) * 4, [-30.0, 30.0, 0.25, -0.25]])
    with exact.Precision():
        h = arb(2) ** -100
        for at in map(exact.ball, z):
            value = exact.VALUE[name]
            difference = (value(at + h, **parameters) - value(at - h, **parameters)) / (2 * h)
            assert abs(difference - exact.DERIVATIVE[name](at, **parameters)) < 1e-50


@over("name", COUPLED)
def test_an_exact_jacobian_is_the_limit_of_the_exact_difference(name):
    with exact.Precision():
        h = arb(2) ** -100
        z = [exact.ball(number) for number in (0.3, -1.0, 2.5)]
        jacobian = exact.JACOBIAN[name](z)
        for t in range(3):
            up, down = ([number + sign * h * (k == t) for k, number in enumerate(z)] for sign in (1, -1))
            ends = zip(exact.COUPLED_VALUE[name](up), exact.COUPLED_VALUE[name](down), strict=True)
            for k, (above, below) in enumerate(ends):
                assert abs((above - below) / (2 * h) - jacobian[k][t]) < 1e-50


# --- what a number of the table may be off by


def certified(name, part, z, parameters=None):
    """What is certified above, as a bound in float64: 4 units in the last place or 4 u m, and underflow."""
    parameters = {**ACTIVATIONS[name].parameters, **(parameters or {})}
    number = getattr(activation(name, parameters if parameters else {}), part)(z)
    rounding = np.maximum(np.spacing(np.abs(number)), U * magnitude(name, part, z, parameters))
    return exact.PLACES["float64"] * rounding + underflow(name, part, z, np.finfo(float))


# --- against finite differences

THIRD_DERIVATIVE = {
    "identity": 0.0,
    "sigmoid": 0.125,  # at 0
    "tanh": 2.0,  # at 0
    "logsigmoid": 0.0963,  # 1/(6√3)
    "softplus": 0.0963,
    "silu": 0.31,
    "mish": 0.6,
    "tanhshrink": 2.0,  # tanh's
    "gelu": 0.78,
    "gelu_tanh": 0.78,
    "softsign": 6.0,  # 6/(1 + |z|)⁴
    "squareplus": 0.11,
    "elu": 1.0,  # e^z
    "selu": 1.76,  # λα e^z
    "celu": 1.0,
    **dict.fromkeys(("relu", "leaky_relu", "relu6", "hardtanh", "hardsigmoid", "softshrink", "hardshrink"), 0.0),
    "hardswish": 0.0,
}
"""Above |f'''| away from 0 and from kinks."""

H = 2.0**-17


def grid(name, rng, size=200):
    """Multiples of 2^{−20} up to 30, of which z ± h is exact; none with a kink, or 0, within h of it."""
    z = np.round(rng.uniform(-30, 30, size=size) * rng.choice([0.1, 1.0], size=size) * 2**20) / 2**20
    breaks = np.array([0.0, *exact_kinks(name, {})])
    return z[(np.abs(z[:, np.newaxis] - breaks) > 2 * H).all(axis=1)]


def difference_ratios(name, derivative, z):
    """Distance of `derivative` from the central difference of f, in units of what both may err by.

    Truncation h²/6·|f'''|, rounding of the two values over 2h, two roundings of the quotient, and the derivative's own.
    """
    f = ACTIVATIONS[name].value
    difference = (f(z + H) - f(z - H)) / (2 * H)
    rounding = (certified(name, "value", z + H) + certified(name, "value", z - H)) / (2 * H)
    allowed = H**2 / 6 * THIRD_DERIVATIVE[name] + rounding + 2 * U * np.abs(difference)
    return np.abs(derivative(z) - difference) / (allowed + certified(name, "derivative", z) + 1e-300)


def test_every_activation_has_a_third_derivative():
    assert set(THIRD_DERIVATIVE) == set(HIDDEN)


@over("name", HIDDEN)
def test_third_derivatives_stay_below_their_bounds(name):
    f, edges = exact.DERIVATIVE[name], np.array([0.0, *exact_kinks(name, {})])
    with exact.Precision():
        h = arb(2) ** -60
        for number in np.arange(-9.001, 9, 0.01):
            z = exact.ball(number)
            third = abs((f(z + h) - 2 * f(z) + f(z - h)) / (h * h))
            assert third <= THIRD_DERIVATIVE[name] + 1e-15, f"f''' is {third} at {number}; kinks are {edges}"


@over("name", HIDDEN)
@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_derivative_is_the_limit_of_the_difference(name, seed):
    z = grid(name, np.random.default_rng(seed))
    within(difference_ratios(name, derivative_of(name), z), f"derivative of {name}")


@over("wrong", [wrong for wrong in WRONG if "kink" not in wrong and "NaN" not in wrong])
def test_a_wrong_derivative_is_no_limit_of_the_difference(wrong):
    name, derivative = WRONG[wrong]
    assert not difference_ratios(name, derivative, grid(name, np.random.default_rng(1))).max() <= 1


# --- against complex steps: f(z + ih) = f(z) + ih f'(z) − …, in which no difference is taken


def complex_gelu(z):
    return z * (1 + erf(z / np.sqrt(2))) / 2


def on_the_left(left, right=np.positive):
    """A function of two pieces, each analytic, that meet at 0."""
    return lambda z: np.where(z.real > 0, right(z), left(z))


ANALYTIC = {
    "identity": lambda z: z,
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "tanh": np.tanh,
    "logsigmoid": lambda z: -np.log(1 + np.exp(-z)),
    "softplus": lambda z: np.log(1 + np.exp(z)),
    "silu": lambda z: z / (1 + np.exp(-z)),
    "mish": lambda z: z * np.tanh(np.log(1 + np.exp(z))),
    "tanhshrink": lambda z: z - np.tanh(z),
    "gelu": complex_gelu,
    "gelu_tanh": lambda z: z / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (z + 0.044715 * z**3))),
    "softsign": on_the_left(lambda z: z / (1 - z), lambda z: z / (1 + z)),
    "squareplus": lambda z: (z + np.sqrt(z * z + 4)) / 2,
    "elu": on_the_left(lambda z: np.exp(z) - 1),
    "selu": on_the_left(
        lambda z: 1.0507009873554805 * 1.6732632423543772 * np.exp(z), lambda z: 1.0507009873554805 * z
    ),
    "celu": on_the_left(lambda z: np.exp(z) - 1),
}
"""Complex formulas, as a textbook has them."""

NOT_ANALYTIC = {
    **dict.fromkeys(
        ("relu", "leaky_relu", "relu6", "hardtanh", "hardsigmoid"), "linear pieces: the difference is exact"
    ),
    **dict.fromkeys(("softshrink", "hardshrink"), "linear pieces: the difference is exact"),
    "hardswish": "linear and quadratic pieces: the central difference has no truncation",
    **dict.fromkeys(COUPLED, "of several variables: below"),
}


def test_every_activation_is_analytic_or_has_a_reason():
    assert set(ANALYTIC) | set(NOT_ANALYTIC) == set(ACTIVATIONS)
    assert not set(ANALYTIC) & set(NOT_ANALYTIC)


COMPLEX_ROUNDINGS = 32
"""At most ten complex operations, each with an error of up to 3 u in a part, of numbers of the size of 1 + |z|."""


def complex_step(f, z):
    return f(z + 1j * 2.0**-70).imag * 2.0**70


def complex_ratios(name, derivative, z):
    """In units of 32 u (1 + |z|): the truncation h²/6 f''' is 2^{−142}."""
    return np.abs(derivative(z) - complex_step(ANALYTIC[name], z)) / (COMPLEX_ROUNDINGS * U * (1 + np.abs(z)))


@over("name", ANALYTIC)
@settings(max_examples=20)
@given(st.lists(st.floats(-6, 6), min_size=1, max_size=20))
def test_derivative_is_the_complex_step(name, numbers):
    within(complex_ratios(name, derivative_of(name), np.array(numbers)), f"derivative of {name}")


@over("name", ANALYTIC)
def test_a_wrong_derivative_is_no_complex_step(name):
    z = np.linspace(-5, 5, 41)
    derivative = derivative_of(name)
    assert not complex_ratios(name, lambda z: derivative(z) * (1 + 1e-13), z).max() <= 1
    for wrong, (of, f) in WRONG.items():
        if of == name and "NaN" not in wrong:
            assert not complex_ratios(name, f, z).max() <= 1, wrong


COMPLEX_ROWS = {
    "softmax": lambda z: np.exp(z) / np.exp(z).sum(axis=1, keepdims=True),
    "log_softmax": lambda z: z - np.log(np.exp(z).sum(axis=1, keepdims=True)),
}


def complex_jacobian_ratios(name, jacobian, z):
    """In units of 32 u (1 + max_t |z_t|)"""
    allowed = COMPLEX_ROUNDINGS * U * (1 + np.abs(z).max())
    step = 1j * 2.0**-70
    columns = [COMPLEX_ROWS[name](z + step * unit).imag * 2.0**70 for unit in np.eye(z.shape[1])]
    return np.abs(jacobian(z) - np.stack(columns, axis=2)) / allowed


samples = st.lists(st.floats(-10, 10), min_size=1, max_size=6).map(lambda row: np.array([row]))


@over("name", COUPLED)
@settings(max_examples=30)
@given(samples)
def test_jacobian_is_the_complex_step(name, z):
    within(complex_jacobian_ratios(name, derivative_of(name), z), f"Jacobian of {name}")


@over("name", COUPLED)
def test_a_wrong_jacobian_is_no_complex_step(name):
    z, jacobian = np.array([[0.3, -1.0, 2.0]]), derivative_of(name)
    for wrong in (lambda z: jacobian(z) * (1 + 1e-12), lambda z: -jacobian(z), lambda z: jacobian(z) * np.eye(3)):
        assert not complex_jacobian_ratios(name, wrong, z).max() <= 1


# --- formats, ends, scales


@every_member
@over("dtype", DTYPES)
@over("part", PARTS)
def test_keeps_its_format(name, parameters, part, dtype):
    z = np.array([[-1.5, 0.0, 2.5], [-9.0, 9.0, 0.1]], dtype=dtype)
    observed = getattr(activation(name, parameters), part)(z)
    assert observed.dtype == dtype, f"dtype of {name} is {observed.dtype}, but should be {dtype}"
    assert observed.shape == z.shape


@pytest.mark.parametrize("dtype", DTYPES)
@over("name", COUPLED)
def test_a_coupled_one_keeps_its_format(name, dtype):
    z = np.array([[-1.5, 0.0, 2.5], [-9.0, 9.0, 0.1]], dtype=dtype)
    f = ACTIVATIONS[name]
    assert (f.value(z).dtype, f.value(z).shape) == (dtype, (2, 3))
    assert (f.derivative(z).dtype, f.derivative(z).shape) == (dtype, (2, 3, 3))


@over("dtype", DTYPES)
@over("part", ["value", "derivative", "value_scale", "derivative_scale"])
@over("name", OUTPUT)
def test_ends_give_numbers_and_no_warning(name, part, dtype):
    z = extremes(dtype)
    z = z[np.abs(z) <= (1e4 if name in COUPLED else np.inf)]
    sets = [z[:, np.newaxis], z[np.newaxis, :], np.stack([z, z[::-1]], axis=1)]
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        for batch in sets:
            assert np.isfinite(getattr(ACTIVATIONS[name], part)(batch)).all(), f"{part} of {name} is not finite"


@over("name", OUTPUT)
def test_a_nan_stays_one(name):
    assert np.isnan(ACTIVATIONS[name].value(np.array([[np.nan]]))).all()


@over("part", PARTS)
@over("name", OUTPUT)
def test_scale_is_no_smaller_than_the_function(name, part):
    """|f| ≤ 2 s_f, so that k·u·s_f is never below half a unit in the last place; where s_f is 0, f is exact (below)."""
    f = ACTIVATIONS[name]
    for z in rows("float64") if f.coupled else [points("float64", f.kinks)]:
        scale = getattr(f, f"{part}_scale")(z)
        assert (scale >= 0).all()
        assert (np.abs(getattr(f, part)(z)) <= 2 * scale)[scale > 1e-300].all()


@every_member
@over("part", PARTS)
def test_is_exact_where_it_has_no_scale(name, parameters, part):
    """Nothing is rounded where s_f is 0, but for an underflow."""
    f = activation(name, parameters)
    z = points("float64", f.kinks)
    z = z[getattr(f, f"{part}_scale")(z) == 0]
    truth = (exact.VALUE if part == "value" else exact.DERIVATIVE)[name]
    with exact.Precision():
        true = [truth(exact.ball(number), **parameters) for number in z]
        allowed = underflow(name, part, z, np.finfo(float))
        assert (exact.ratios(getattr(f, part)(z), true, allowed) <= 1).all()


def test_exact_functions_have_no_scale():
    z = points("float64")
    for name in ("identity", "relu", "relu6", "hardtanh", "hardshrink"):
        assert not ACTIVATIONS[name].value_scale(z).any()
        assert not ACTIVATIONS[name].derivative_scale(z).any()


LIMITS = {
    "identity": (-1e4, 1e4, 1.0, 1.0),
    "tanhshrink": (1 - 1e4, 1e4 - 1, 1.0, 1.0),
    **dict.fromkeys(("sigmoid", "hardsigmoid"), (0.0, 1.0, 0.0, 0.0)),
    **dict.fromkeys(("tanh", "hardtanh"), (-1.0, 1.0, 0.0, 0.0)),
    "logsigmoid": (-1e4, 0.0, 1.0, 0.0),
    **dict.fromkeys(("softplus", "silu", "mish", "gelu", "gelu_tanh", "relu", "hardswish"), (0.0, 1e4, 0.0, 1.0)),
    "softsign": (-1e4 / 10001, 1e4 / 10001, 1 / 10001**2, 1 / 10001**2),
    "squareplus": (1e-4, 1e4, 1e-8, 1.0),  # b/4|z|, b/4z²
    "elu": (-1.0, 1e4, 0.0, 1.0),
    "celu": (-1.0, 1e4, 0.0, 1.0),
    "selu": (-1.7580993408473766, 10507.009873554804, 0.0, 1.0507009873554805),
    "leaky_relu": (-100.0, 1e4, 0.01, 1.0),
    "relu6": (0.0, 6.0, 0.0, 0.0),
    "softshrink": (0.5 - 1e4, 1e4 - 0.5, 1.0, 1.0),
    "hardshrink": (-1e4, 1e4, 1.0, 1.0),
}
"""f(−10⁴), f(10⁴), f'(−10⁴), f'(10⁴)"""


@over("dtype", DTYPES)
@over("name", HIDDEN)
def test_ends_reach_their_limits(name, dtype):
    """To a few roundings; squareplus to b²/z⁴, which its two limits leave out."""
    ends = np.array([-1e4, 1e4], dtype=dtype)
    f = ACTIVATIONS[name]
    tolerance = 1e-7 if dtype == "float32" else 1e-15
    for observed, limit in zip((*f.value(ends), *f.derivative(ends)), LIMITS[name], strict=True):
        rough = 1e-7 if name == "squareplus" else tolerance
        assert abs(observed - limit) <= rough * abs(limit), f"{name} at ±1e4 is {observed}, but should be {limit}"


# --- kinks

KINKS = {
    "relu": [0.0],
    "leaky_relu": [0.0],
    "selu": [0.0],
    "relu6": [0.0, 6.0],
    "hardtanh": [-1.0, 1.0],
    "hardsigmoid": [-3.0, 3.0],
    "hardswish": [-3.0, 3.0],
    "softshrink": [-0.5, 0.5],
    "hardshrink": [-0.5, 0.5],
}


def test_the_kinks_are_these():
    """ELU has one unless α = 1."""
    assert {name: [kink.at for kink in f.kinks] for name, f in ACTIVATIONS.items() if f.kinks} == KINKS
    assert [kink.at for kink in activation("elu", {"alpha": 2.0}).kinks] == [0.0]
    assert not activation("elu", {"alpha": 1.0}).kinks
    assert not activation("celu", {"alpha": 2.0}).kinks
    assert [kink.at for kink in activation("hardshrink", {"threshold": 2.0}).kinks] == [-2.0, 2.0]


def kink_is_right(name, parameters, kink, derivative):
    """Whether the exact one-sided derivatives are the kink's ends, and the given derivative at it lies between them.

    The ends are rounded: 1/6, λ and λα are known to 2 units in the last place.
    """
    with exact.Precision():
        h, at = arb(2) ** -200, exact.ball(kink.at)
        sides = [exact.DERIVATIVE[name](at + sign * h, **parameters) for sign in (-1, 1)]
        if name != "hardshrink":
            value = exact.VALUE[name]
            for sign, side in zip((-1, 1), sides, strict=True):
                slope = (value(at + sign * h, **parameters) - value(at, **parameters)) / (sign * h)
                assert abs(slope - side) < 1e-50, "the exact tables disagree"
        low, high = sorted(float(side.mid()) for side in sides)
    if name == "hardshrink":  # a jump: the slope on either side is 0 and 1, and that across it infinite
        assert (low, high) == (0.0, 1.0)
    near = all(abs(a - b) <= 2 * np.spacing(abs(b)) for a, b in ((kink.lowest, low), (kink.highest, high)))
    return near and kink.lowest <= derivative(np.array([kink.at])).item() <= kink.highest


@every_member
def test_kinks_hold_the_one_sided_derivatives(name, parameters):
    f = activation(name, parameters)
    for kink in f.kinks:
        assert kink_is_right(name, parameters, kink, f.derivative)


def test_a_wrong_kink_is_caught():
    for name in KINKS:
        f = ACTIVATIONS[name]
        for kink in f.kinks:
            wider = type(kink)(kink.at, kink.lowest - 0.1, kink.highest)
            beside = type(kink)(kink.at + 1.25, kink.lowest, kink.highest)
            assert not kink_is_right(name, {}, wider, f.derivative)
            assert name == "hardshrink" or not kink_is_right(name, {}, beside, f.derivative)
            assert not kink_is_right(name, {}, kink, lambda z: np.full_like(z, 2.0))


@every_member
def test_there_is_no_kink_elsewhere(name, parameters):
    """Between numbers h apart, f' changes by no more than h·max |f''| unless a kink lies between them."""
    kinks, h, z = exact_kinks(name, parameters), 2.0**-10, np.arange(-8, 8, 2.0**-10)
    derivative = activation(name, parameters).derivative(z)
    jumps = z[1:][np.abs(np.diff(derivative)) > 8 * h]
    assert all(any(jump - h <= kink <= jump for kink in kinks) for jump in jumps)
    assert len(jumps) == len(kinks)


def test_relu_at_and_beside_its_kink():
    smallest = float(np.finfo("float64").smallest_subnormal)
    z = np.array([-smallest, -0.0, 0.0, smallest])
    assert ACTIVATIONS["relu"].derivative(z).tolist() == [0, 0, 0, 1]
    assert ACTIVATIONS["relu"].value(z).tolist() == [0, 0, 0, smallest]


# --- laws

reals = st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=10).map(np.array)

ODD = ("identity", "tanh", "softsign", "tanhshrink", "hardtanh", "softshrink", "hardshrink")
EVEN_DERIVATIVE = (*ODD, "sigmoid", "hardsigmoid")
ONLY_ODD = tuple(name for name in HIDDEN if name not in ODD)


@over("name", ODD)
@settings(max_examples=30)
@given(reals)
def test_odd(name, z):
    assert np.array_equal(value_of(name)(-z), -value_of(name)(z))


@over("name", EVEN_DERIVATIVE)
@settings(max_examples=30)
@given(reals)
def test_derivative_is_even(name, z):
    assert (np.abs(derivative_of(name)(-z) - derivative_of(name)(z)) <= 2 * certified(name, "derivative", z)).all()


def test_no_other_is_odd_or_has_an_even_derivative():
    z = np.array([0.25, 2.0, 5.0])
    assert {name for name in HIDDEN if np.array_equal(value_of(name)(-z), -value_of(name)(z))} == set(ODD)
    near = {name for name in HIDDEN if np.allclose(derivative_of(name)(-z), derivative_of(name)(z), rtol=1e-14)}
    assert near == set(EVEN_DERIVATIVE)


def mirror_ratios(f, name, z):
    """f(z) − f(−z) = z, in units of what the two certified numbers and two roundings may make of it."""
    allowed = certified(name, "value", z) + certified(name, "value", -z) + 2 * U * np.abs(z)
    return np.abs(f(z) - f(-z) - z) / allowed


RAMPS = ("softplus", "logsigmoid", "squareplus", "relu", "silu", "gelu", "gelu_tanh", "hardswish")


@over("name", RAMPS)
@settings(max_examples=30)
@given(reals)
def test_differs_from_its_mirror_image_by_z(name, z):
    """z σ(z) + z σ(−z) = z, and so with Φ; softplus(z) − softplus(−z) = log e^z = log σ(z) − log σ(−z)."""
    within(mirror_ratios(value_of(name), name, z), f"f(z) − f(−z) of {name}")
    total = derivative_of(name)(z) + derivative_of(name)(-z)
    allowed = certified(name, "derivative", z) + certified(name, "derivative", -z) + 2 * U
    away = np.abs(np.abs(z)[:, np.newaxis] - [kink.at for kink in ACTIVATIONS[name].kinks] + 0.0).min(initial=1, axis=1)
    assert (np.abs(total - 1) <= allowed)[away > 0].all()


def test_a_function_that_does_not_is_caught():
    z = np.array([0.5, 2.0, 8.0])
    for name in set(HIDDEN) - set(RAMPS):
        assert not mirror_ratios(value_of(name), "softplus", z).max() <= 1, name
    assert mirror_ratios(value_of("softplus"), "softplus", z).max() <= 1


@settings(max_examples=30)
@given(reals)
@pytest.mark.parametrize("name", ["sigmoid", "hardsigmoid"])
def test_the_mirror_image_is_the_rest(name, z):
    allowed = certified(name, "value", z) + certified(name, "value", -z) + 2 * U
    assert (np.abs(value_of(name)(z) + value_of(name)(-z) - 1) <= allowed).all()


@settings(max_examples=30)
@given(reals)
def test_logsigmoid_is_softplus_mirrored_twice(z):
    assert np.array_equal(value_of("logsigmoid")(z), -value_of("softplus")(-z))


@settings(max_examples=30)
@given(reals)
def test_tanh_is_a_sigmoid_stretched(z):
    """tanh z = 2σ(2z) − 1, which cancels near 0, so the bound is that of 1."""
    allowed = certified("tanh", "value", z) + 2 * certified("sigmoid", "value", 2 * z) + U
    assert (np.abs(value_of("tanh")(z) - (2 * value_of("sigmoid")(2 * z) - 1)) <= allowed).all()


@settings(max_examples=30)
@given(reals)
def test_tanhshrink_is_what_tanh_leaves(z):
    allowed = certified("tanhshrink", "value", z) + certified("tanh", "value", z) + U * np.abs(z)
    assert (np.abs(value_of("tanhshrink")(z) - (z - np.tanh(z))) <= allowed).all()


@settings(max_examples=30)
@given(reals, st.sampled_from([0.25, 0.5, 2.0, 4.0]))
def test_families_scale(z, s):
    """softplus_β(z) = softplus(βz)/β, celu_α(z) = α celu(z/α), squareplus_{b s²}(sz) = s squareplus_b(z): all exactly,
    for a power of 2; and softshrink, hardshrink of sλ at sz are s times those of λ at z.
    """
    z = np.where(np.abs(z) < 1e-300, 0, z)  # s z is not a rounded subnormal number
    assert np.array_equal(FAMILIES["softplus"](s).value(z), FAMILIES["softplus"]().value(s * z) / s)
    assert np.array_equal(FAMILIES["celu"](s).value(z), s * FAMILIES["celu"]().value(z / s))
    for name in ("softshrink", "hardshrink"):
        assert np.array_equal(FAMILIES[name](0.5 * s).value(s * z), s * FAMILIES[name](0.5).value(z))
    left, right = FAMILIES["squareplus"](4 * s * s).value(s * z), s * FAMILIES["squareplus"](4.0).value(z)
    assert (np.abs(left - right) <= 8 * np.spacing(right)).all()


INCREASING = (
    *("identity", "sigmoid", "tanh", "logsigmoid", "softplus", "tanhshrink", "softsign", "squareplus", "elu", "selu"),
    *("celu", "relu", "leaky_relu", "relu6", "hardtanh", "hardsigmoid", "softshrink", "hardshrink"),
)
TURNING = {
    "silu": (-3.0, -1.2),
    "mish": (-3.0, -1.2),
    "gelu": (-2.0, -0.7),
    "gelu_tanh": (-2.0, -0.7),
    "hardswish": (-2.9, -1.5),
}
"""Those that fall before they rise, each with two numbers that show it."""


def test_every_activation_rises_or_turns():
    assert set(INCREASING) | set(TURNING) == set(HIDDEN)


@over("name", INCREASING)
@settings(max_examples=30)
@given(reals, reals)
def test_never_falls(name, one, other):
    """But for the rounding of either number."""
    one, other = one[: len(other)], other[: len(one)]
    low, high = np.minimum(one, other), np.maximum(one, other)
    allowed = certified(name, "value", low) + certified(name, "value", high)
    assert (value_of(name)(low) <= value_of(name)(high) + allowed).all()
    assert (derivative_of(name)(one) >= 0).all()


@pytest.mark.parametrize("name", TURNING)
def test_falls_before_it_rises(name):
    low, high = value_of(name)(np.array(TURNING[name]))
    assert low > high
    assert derivative_of(name)(np.array([sum(TURNING[name]) / 2])).item() < 0


RANGE = {
    "identity": (-np.inf, np.inf),
    "sigmoid": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
    "logsigmoid": (-np.inf, 0.0),
    "softplus": (0.0, np.inf),
    "silu": (-0.27847, np.inf),
    "mish": (-0.30885, np.inf),
    "tanhshrink": (-np.inf, np.inf),
    "gelu": (-0.16998, np.inf),
    "gelu_tanh": (-0.17005, np.inf),
    "softsign": (-1.0, 1.0),
    "squareplus": (0.0, np.inf),
    "elu": (-1.0, np.inf),
    "selu": (-1.7580993408473766, np.inf),
    "celu": (-1.0, np.inf),
    "relu": (0.0, np.inf),
    "leaky_relu": (-np.inf, np.inf),
    "relu6": (0.0, 6.0),
    "hardtanh": (-1.0, 1.0),
    "hardsigmoid": (0.0, 1.0),
    "hardswish": (-0.375, np.inf),
    "softshrink": (-np.inf, np.inf),
    "hardshrink": (-np.inf, np.inf),
}


def test_every_activation_has_a_range():
    assert set(RANGE) == set(HIDDEN)


@over("name", HIDDEN)
@settings(max_examples=30)
@given(reals)
def test_stays_in_its_range(name, z):
    low, high = RANGE[name]
    a = value_of(name)(z)
    assert ((a >= low) & (a <= high)).all(), f"{name} is {a}, but should be within {low} … {high}"


@over("name", HIDDEN)
def test_fills_its_range(name):
    """To within 1e-4 of a finite end, and beyond 10 of an infinite one."""
    low, high = RANGE[name]
    a = value_of(name)(np.concatenate([np.linspace(-5, 5, 10001), [-2e4, 2e4]]))
    assert a.min() <= (low + 1e-4 if np.isfinite(low) else -10)
    assert a.max() >= (high - 1e-4 if np.isfinite(high) else 10)


# --- laws of the coupled ones

wide = st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=8).map(lambda row: np.array([row]))


def coupled_bound(name, z):
    number = value_of(name)(z)
    rounding = np.maximum(np.spacing(np.abs(number)), U * COUPLED_MAGNITUDE[name, "value"](z))
    return exact.PLACES["float64"] * rounding + 2 * float(np.finfo(float).smallest_subnormal)


def sum_ratio(probabilities, bounds):
    """Distance of the sum from 1, in units of the errors of the terms and of n additions."""
    n = probabilities.shape[1]
    return np.abs(probabilities.sum(axis=1) - 1) / (bounds.sum(axis=1) + n * U)


@settings(max_examples=30)
@given(wide)
def test_probabilities_sum_to_1(z):
    within(sum_ratio(value_of("softmax")(z), coupled_bound("softmax", z)), "sum of softmax")
    logarithms = value_of("log_softmax")(z)
    moved = np.exp(logarithms) * (coupled_bound("log_softmax", z) + 4 * U)
    within(sum_ratio(np.exp(logarithms), moved), "sum of exp(log_softmax)")


def test_probabilities_that_do_not_sum_to_1_are_caught():
    z = np.array([[0.3, -1.0, 2.0]])
    for a in (value_of("sigmoid")(z), value_of("softmax")(z) * (1 + 1e-13), np.exp(z - z.max())):
        assert not sum_ratio(a, coupled_bound("softmax", z)).max() <= 1


@settings(max_examples=30)
@given(samples)
def test_log_softmax_is_the_logarithm_of_softmax(z):
    a = value_of("softmax")(z)
    allowed = coupled_bound("log_softmax", z) + coupled_bound("softmax", z) / a + 2 * U * np.abs(np.log(a))
    assert (np.abs(value_of("log_softmax")(z) - np.log(a)) <= allowed).all()
    assert (value_of("log_softmax")(z) <= 0).all()


@over("name", COUPLED)
@settings(max_examples=30)
@given(st.lists(st.integers(-100, 100), min_size=1, max_size=6), st.integers(-1000, 1000))
def test_a_coupled_one_does_not_see_a_shift(name, row, shift):
    z = np.array([row], dtype=float)
    assert np.array_equal(value_of(name)(z), value_of(name)(z + shift))


@settings(max_examples=30)
@given(wide)
def test_rows_and_columns_of_the_jacobian_sum_to_0(z):
    """Of softmax both, as Σ_k a_k = 1 and by the shift; of log_softmax the sum over t, by the shift."""
    for name in COUPLED:
        jacobian = derivative_of(name)(z)
        allowed = (
            exact.PLACES["float64"] * U * (COUPLED_MAGNITUDE[name, "derivative"](z) + np.abs(jacobian)) * 2 + 1e-322
        )
        assert (np.abs(jacobian.sum(axis=2)) <= allowed.sum(axis=2)).all()
        if name == "softmax":
            assert (np.abs(jacobian.sum(axis=1)) <= allowed.sum(axis=1)).all()
            assert np.array_equal(jacobian, np.swapaxes(jacobian, 1, 2))


@over("name", COUPLED)
@settings(max_examples=30)
@given(wide, st.randoms(use_true_random=False))
def test_a_coupled_one_follows_a_permutation(name, z, random):
    order = random.sample(range(z.shape[1]), z.shape[1])
    allowed = 2 * coupled_bound(name, z)[:, order]
    assert (np.abs(value_of(name)(z[:, order]) - value_of(name)(z)[:, order]) <= allowed).all()


@settings(max_examples=30)
@given(wide)
def test_softmax_of_two_units_is_a_sigmoid(z):
    pair = np.array([[z[0, 0], z[0, -1]]])
    difference = pair[:, :1] - pair[:, 1:]
    allowed = coupled_bound("softmax", pair)[:, :1] + U * np.abs(difference) * logistic_slope(difference)
    allowed = allowed + certified("sigmoid", "value", difference)
    assert (np.abs(value_of("softmax")(pair)[:, :1] - value_of("sigmoid")(difference)) <= allowed).all()
