"""Activation functions against ball arithmetic, finite differences and their own laws.

Bounds are k·u·s_f(z), s_f the function's scale: where f's formula does not cancel that is k units in the last place.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference.activations import ACTIVATIONS, HIDDEN, OUTPUT
from reference.rounding import UNIT_ROUNDOFF, gamma
from tests.reference import exact

DTYPES = ("float32", "float64")
ROUNDINGS = 4
"""k: how many roundings of its scale NumPy's and SciPy's scalar functions may err by."""

SMALLEST = {dtype: float(np.finfo(dtype).smallest_normal) for dtype in DTYPES}
"""What underflow may cost: SciPy's σ(z) is 0 where e^{−z} overflows, which is where σ itself turns subnormal."""

SMOOTH = tuple(name for name in HIDDEN if not ACTIVATIONS[name].kinks)
CURVED = tuple(name for name in SMOOTH if name != "identity")
PARTS = ("value", "derivative")

THIRD_DERIVATIVE = 2.0
"""Above |f'''| of every activation: tanh has 2 at 0; σ has 1/8, softplus less, SiLU and GELU below 1."""


def extremes(dtype):
    info = np.finfo(dtype)
    smallest, normal = float(info.smallest_subnormal), float(info.smallest_normal)
    near = [0.0, smallest, 3 * smallest, normal, np.sqrt(normal), float(info.eps), 2.0**-10]
    roots_and_turns = [0.7517915, 1.2784645, 1.1968, 2.3994]
    ends = [13.4, 17.4, 38.5, 40.0, 88.7, 88.8, 103.9, 104.0, 709.7, 709.8, 744.5, 745.2, 1e4]
    positive = np.array([*near, *roots_and_turns, *ends, *np.arange(1.0, 20.0)])
    return np.concatenate([positive, -positive]).astype(dtype)


def points(dtype, seed=0):
    """Extremes, normal numbers of several spreads, and numbers of every exponent up to 1e4, of both signs."""
    rng = np.random.default_rng(seed)
    normal = [rng.normal(size=150) * spread for spread in (0.1, 1, 5, 30, 200)]
    lowest = np.log2(float(np.finfo(dtype).smallest_normal))
    every_exponent = np.exp2(rng.uniform(lowest, np.log2(1e4), size=300)) * rng.choice([-1, 1], size=300)
    return np.concatenate([extremes(dtype), *normal, every_exponent]).astype(dtype)


def rows(dtype, seed=0):
    """Samples of a coupled activation: narrow, wide, equal, and with one unit far above or below the rest."""
    rng = np.random.default_rng(seed)
    drawn = [rng.normal(size=(4, n)) * spread for n in (1, 2, 3, 7) for spread in (1e-3, 1, 10, 60)]
    special = [[[0.0, 0.0, 0.0]], [[1e4, -1e4]], [[-1e4, -1e4]], [[1e4, 1e4, 1e4]], [[0.0, -0.0]], [[5.0, 5.0, -740.0]]]
    return [np.array(sample, dtype=dtype) for sample in (*drawn, *special)]


def within(ratios, what):
    worst = ratios.max()
    assert worst <= 1, f"{what} is {worst} times its bound away from the true value, but should be at most 1"


def scalar_ratios(name, part, f, z):
    """Distance of f(z) from the true value or derivative of the activation, in units of k·u·s_f + underflow."""
    truth = exact.VALUE if part == "value" else exact.DERIVATIVE
    wide = z.astype("float64")
    scale = getattr(ACTIVATIONS[name], f"{part}_scale")(wide)
    allowed = ROUNDINGS * UNIT_ROUNDOFF[z.dtype.name] * scale + SMALLEST[z.dtype.name] * (1 + np.abs(wide))
    with exact.Precision():
        return exact.ratios(f(z), [truth[name](exact.ball(number)) for number in z], allowed)


def softmax_ratios(part, f, z):
    truth = exact.softmax if part == "value" else exact.softmax_jacobian
    wide = z.astype("float64")
    scale = getattr(ACTIVATIONS["softmax"], f"{part}_scale")(wide)
    allowed = ROUNDINGS * UNIT_ROUNDOFF[z.dtype.name] * scale + SMALLEST[z.dtype.name]
    with exact.Precision():
        numbers = []
        for sample in z:
            for item in truth([exact.ball(number) for number in sample]):
                numbers += item if isinstance(item, list) else [item]
        return exact.ratios(f(z), numbers, allowed)


# --- against ball arithmetic


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("name", HIDDEN)
def test_is_the_true_number(name, part, dtype):
    within(scalar_ratios(name, part, getattr(ACTIVATIONS[name], part), points(dtype)), f"{part} of {name}")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("part", PARTS)
def test_softmax_is_the_true_number(part, dtype):
    for z in rows(dtype):
        within(softmax_ratios(part, getattr(ACTIVATIONS["softmax"], part), z), f"{part} of softmax at {z}")


@settings(max_examples=60)
@given(st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=20))
@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("name", HIDDEN)
def test_is_the_true_number_anywhere(name, part, numbers):
    z = np.array(numbers)
    within(scalar_ratios(name, part, getattr(ACTIVATIONS[name], part), z), f"{part} of {name}")


def gelu_of_the_tanh_form(z):
    return z / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (z + 0.044715 * z**3)))


WRONG = {
    "sigmoid without 1 − σ": ("sigmoid", "derivative", ACTIVATIONS["sigmoid"].value),
    "tanh without the square": ("tanh", "derivative", lambda z: 1 - np.tanh(z)),
    "relu with a leak": ("relu", "derivative", lambda z: np.where(z > 0, 1.0, 0.01)),
    "relu, 1 at its kink": ("relu", "derivative", lambda z: np.where(z >= 0, 1.0, 0.0)),
    "gelu without z φ": ("gelu", "derivative", lambda z: ACTIVATIONS["gelu"].value(z) / np.where(z == 0, 1, z)),
    "gelu of the tanh form": ("gelu", "value", lambda z: gelu_of_the_tanh_form(np.clip(z, -30, 30))),
    "softplus mirrored": ("softplus", "derivative", lambda z: ACTIVATIONS["sigmoid"].value(-z)),
    "silu without its product term": ("silu", "derivative", ACTIVATIONS["sigmoid"].value),
    "identity as zero": ("identity", "derivative", np.zeros_like),
    "tanh with a NaN": ("tanh", "derivative", lambda z: np.where(z == 1e4, np.nan, ACTIVATIONS["tanh"].derivative(z))),
    **{
        f"{name}, derivative 1e-13 too large": (
            name,
            "derivative",
            lambda z, name=name: ACTIVATIONS[name].derivative(z) * (1 + 1e-13),
        )
        for name in HIDDEN
    },
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_function_is_caught(wrong):
    name, part, f = WRONG[wrong]
    assert not scalar_ratios(name, part, f, points("float64")).max() <= 1


def test_a_wrong_softmax_is_caught():
    z = rows("float64")[9]
    softmax, jacobian = ACTIVATIONS["softmax"].value, ACTIVATIONS["softmax"].derivative

    def diagonal_only(z):
        return jacobian(z) * np.eye(z.shape[1])

    assert not softmax_ratios("derivative", diagonal_only, z).max() <= 1
    assert not softmax_ratios("derivative", lambda z: -jacobian(z), z).max() <= 1
    assert not softmax_ratios("value", lambda z: softmax(z) * (1 + 1e-13), z).max() <= 1


# --- against finite differences


def difference_ratios(name, derivative, z):
    """Distance of `derivative` from the central difference of f, in units of what both may err by.

    Truncation h²/6·|f'''|, rounding of the two values k·u·s_f/h, and the derivative's own. z ± h is exact.
    """
    f, u, h = ACTIVATIONS[name], UNIT_ROUNDOFF["float64"], 2.0**-17
    difference = (f.value(z + h) - f.value(z - h)) / (2 * h)
    rounding = np.maximum(f.value_scale(z + h), f.value_scale(z - h)) / h + f.derivative_scale(z)
    last_two = 2 * u * np.abs(difference)
    allowed = h**2 / 6 * THIRD_DERIVATIVE + ROUNDINGS * u * rounding + last_two
    return np.abs(derivative(z) - difference) / allowed


def grid(seed=1):
    """Multiples of 2^{−20} up to 30, no nearer to 0 than 2^{−10}."""
    rng = np.random.default_rng(seed)
    z = np.round(rng.uniform(-30, 30, size=500) * 2**20) / 2**20
    return z[np.abs(z) > 2.0**-10]


@pytest.mark.parametrize("name", HIDDEN)
def test_derivative_is_the_limit_of_the_difference(name):
    within(difference_ratios(name, ACTIVATIONS[name].derivative, grid()), f"derivative of {name}")


VISIBLE = [
    wrong
    for wrong, (_, part, _) in WRONG.items()
    if part == "derivative" and "1e-13" not in wrong and "kink" not in wrong
]
"""What a difference resolves, away from kinks; ball arithmetic sees the others."""


@pytest.mark.parametrize("wrong", VISIBLE)
def test_a_wrong_derivative_is_no_limit_of_the_difference(wrong):
    name, _, derivative = WRONG[wrong]
    z = np.concatenate([grid(), [1e4]])
    assert not difference_ratios(name, derivative, z).max() <= 1


def test_softmax_jacobian_is_the_limit_of_the_difference():
    softmax, u, h = ACTIVATIONS["softmax"], UNIT_ROUNDOFF["float64"], 2.0**-17
    z = np.round(np.random.default_rng(2).normal(size=(20, 5)) * 2**20) / 2**18
    jacobian = softmax.derivative(z)  # (N, k, t)
    for t in range(5):
        step = h * np.eye(5)[t]
        difference = (softmax.value(z + step) - softmax.value(z - step)) / (2 * h)
        # |∂³a_k/∂z_t³| ≤ 1/8 for k = t, where a is a logistic function of z_t, and less elsewhere
        allowed = h**2 / 6 * THIRD_DERIVATIVE + ROUNDINGS * u * (
            softmax.value_scale(z + step) / h + softmax.derivative_scale(z)[:, :, t]
        )
        within(np.abs(jacobian[:, :, t] - difference) / (2 * allowed), f"column {t} of the Jacobian")
        assert not (np.abs(softmax.value(z) - difference) / allowed).max() <= 1


# --- formats, ends and scales


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("name", OUTPUT)
def test_keeps_its_format(name, part, dtype):
    z = np.array([[-1.5, 0.0, 2.5]], dtype=dtype)
    observed = getattr(ACTIVATIONS[name], part)(z)
    assert observed.dtype == dtype, f"dtype of {name} is {observed.dtype}, but should be {dtype}"
    assert observed.shape == ((1, 3, 3) if ACTIVATIONS[name].coupled and part == "derivative" else (1, 3))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("part", ["value", "derivative", "value_scale", "derivative_scale"])
@pytest.mark.parametrize("name", OUTPUT)
def test_ends_give_numbers_and_no_warning(name, part, dtype):
    z = extremes(dtype)
    sets = [z[:, np.newaxis], z[np.newaxis, :], np.stack([z, z[::-1]], axis=1)]
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        for batch in sets:
            assert np.isfinite(getattr(ACTIVATIONS[name], part)(batch)).all(), f"{part} of {name} is not finite"


LIMITS = {
    "identity": (-1e4, 1e4, 1.0, 1.0),
    "sigmoid": (0.0, 1.0, 0.0, 0.0),
    "tanh": (-1.0, 1.0, 0.0, 0.0),
    "relu": (0.0, 1e4, 0.0, 1.0),
    "gelu": (0.0, 1e4, 0.0, 1.0),
    "softplus": (0.0, 1e4, 0.0, 1.0),
    "silu": (0.0, 1e4, 0.0, 1.0),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", HIDDEN)
def test_ends_reach_their_limits(name, dtype):
    ends = np.array([-1e4, 1e4], dtype=dtype)
    f = ACTIVATIONS[name]
    observed = (*f.value(ends), *f.derivative(ends))
    assert observed == LIMITS[name], f"{name} at ±1e4 is {observed}, but should be {LIMITS[name]}"


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("name", [*CURVED, "softmax"])
def test_scale_is_no_smaller_than_the_function(name, part):
    """|f| ≤ 2 s_f, so that k·u·s_f is never below half a unit in the last place of f."""
    f = ACTIVATIONS[name]
    sets = rows("float64") if f.coupled else [points("float64")]
    for z in sets:
        assert (np.abs(getattr(f, part)(z)) <= 2 * getattr(f, f"{part}_scale")(z)).all()


def test_exact_functions_have_no_scale():
    z = points("float64")
    for name in ("identity", "relu"):
        assert not ACTIVATIONS[name].value_scale(z).any()
        assert not ACTIVATIONS[name].derivative_scale(z).any()


# --- kinks


@pytest.mark.parametrize("name", HIDDEN)
def test_kinks_hold_the_one_sided_derivatives(name):
    f, h = ACTIVATIONS[name], 2.0**-20
    for kink in f.kinks:
        below, at, above = f.value(np.array([kink.at - h, kink.at, kink.at + h]))
        assert ((at - below) / h, (above - at) / h) == (kink.lowest, kink.highest)
        assert kink.lowest <= f.derivative(np.array([kink.at]))[0] <= kink.highest


def test_only_relu_has_a_kink():
    assert [(name, f.kinks[0].at) for name, f in ACTIVATIONS.items() if f.kinks] == [("relu", 0.0)]


def test_relu_at_and_beside_its_kink():
    smallest = float(np.finfo("float64").smallest_subnormal)
    z = np.array([-smallest, -0.0, 0.0, smallest])
    assert ACTIVATIONS["relu"].derivative(z).tolist() == [0, 0, 0, 1]
    assert ACTIVATIONS["relu"].value(z).tolist() == [0, 0, 0, smallest]


# --- laws

reals = st.floats(-1e4, 1e4)
U = UNIT_ROUNDOFF["float64"]


def at(name, part, z):
    return float(getattr(ACTIVATIONS[name], part)(np.array([z]))[0])


@given(reals)
def test_tanh_is_odd(z):
    assert at("tanh", "value", -z) == -at("tanh", "value", z)


@given(reals)
@pytest.mark.parametrize("name", ["sigmoid", "tanh"])
def test_derivative_is_even(name, z):
    assert at(name, "derivative", -z) == at(name, "derivative", z)


@given(reals)
def test_sigmoid_of_minus_z_is_the_rest(z):
    assert abs(at("sigmoid", "value", z) + at("sigmoid", "value", -z) - 1) <= (ROUNDINGS + 1) * U


@given(reals)
@pytest.mark.parametrize("name", ["softplus", "silu", "gelu", "relu"])
def test_differs_from_its_mirror_image_by_z(name, z):
    """f(z) − f(−z) = z for softplus and ReLU; f(z) + f(−z) carries |z| in SiLU and GELU: z σ(z) + z σ(−z) = z."""
    scale = abs(z) + float(ACTIVATIONS["softplus"].value(np.array([-abs(z)]))[0])
    tiny = (1 + abs(z)) * SMALLEST["float64"]
    assert abs(at(name, "value", z) - at(name, "value", -z) - z) <= (2 * ROUNDINGS + 2) * U * scale + tiny


@given(reals)
@pytest.mark.parametrize("name", ["softplus", "silu", "gelu"])
def test_derivative_and_its_mirror_image_sum_to_1(name, z):
    scale = at(name, "derivative_scale", z) + at(name, "derivative_scale", -z)
    assert abs(at(name, "derivative", z) + at(name, "derivative", -z) - 1) <= (ROUNDINGS + 1) * U * scale


@given(reals)
def test_tanh_is_a_sigmoid_stretched(z):
    """tanh z = 2σ(2z) − 1, which cancels near 0, so the bound is that of 1."""
    assert abs(at("tanh", "value", z) - (2 * at("sigmoid", "value", 2 * z) - 1)) <= (3 * ROUNDINGS + 1) * U


samples = st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=8).map(lambda row: np.array([row]))


@given(samples)
def test_softmax_rows_sum_to_1(z):
    n = z.shape[1]
    total = float(ACTIVATIONS["softmax"].value(z).sum())
    assert abs(total - 1) <= gamma(3 * n + 2, U), f"sum is {total!r}, but should be 1"


@given(samples)
def test_softmax_jacobian_rows_and_columns_sum_to_0(z):
    softmax = ACTIVATIONS["softmax"]
    jacobian = softmax.derivative(z)[0]
    for axis in (0, 1):
        allowed = ROUNDINGS * U * softmax.derivative_scale(z)[0].sum(axis=axis)
        assert (np.abs(jacobian.sum(axis=axis)) <= allowed).all()
    assert (np.abs(jacobian - jacobian.T) <= ROUNDINGS * U * softmax.derivative_scale(z)[0]).all()


@given(samples, st.randoms(use_true_random=False))
def test_softmax_follows_a_permutation(z, random):
    order = random.sample(range(z.shape[1]), z.shape[1])
    softmax = ACTIVATIONS["softmax"]
    allowed = 2 * ROUNDINGS * U * softmax.value_scale(z)[:, order] + SMALLEST["float64"]
    assert (np.abs(softmax.value(z[:, order]) - softmax.value(z)[:, order]) <= allowed).all()


@given(st.lists(st.integers(-100, 100), min_size=1, max_size=6), st.integers(-1000, 1000))
def test_softmax_does_not_see_a_shift(row, shift):
    z = np.array([row], dtype=float)
    assert np.array_equal(ACTIVATIONS["softmax"].value(z), ACTIVATIONS["softmax"].value(z + shift))


@given(samples)
def test_softmax_of_two_units_is_a_sigmoid(z):
    pair = np.array([[z[0, 0], z[0, -1]]])
    softmax = ACTIVATIONS["softmax"]
    difference = pair[0, 0] - pair[0, 1]
    allowed = ROUNDINGS * U * softmax.value_scale(pair)[0, 0] * 2 + U * abs(difference) + SMALLEST["float64"]
    assert abs(softmax.value(pair)[0, 0] - at("sigmoid", "value", difference)) <= allowed
