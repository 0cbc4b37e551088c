"""Initial weights in distribution, against formulas, torch.nn.init and jax.nn.initializers; and what zeros spoils.

Two samples, or a sample and a distribution, differ where the Kolmogorov–Smirnov test gives less than LEVEL. Every draw
has a recorded seed, so an outcome is the same in every run on the same versions.
"""

import jax
import numpy as np
import pytest
import torch
from jax.example_libraries import stax
from jax.nn import initializers
from scipy import stats

from reference import network
from reference.activations import ACTIVATIONS, HIDDEN
from reference.case import Case
from reference.initialisers import (
    INITIALISERS,
    glorot_normal,
    glorot_uniform,
    he_normal,
    he_uniform,
    lecun_normal,
    lecun_uniform,
    normal,
    orthogonal,
    uniform,
    zeros,
)
from reference.training import descent, train
from tests.tables import over

SEED = 2026
LEVEL = 1e-6
UNITS, INPUTS = 500, 200  # 10⁵ numbers: enough to tell a truncated normal from a whole one of equal variance
U = np.finfo(np.float64).eps / 2


def drawn(initialiser, units=UNITS, inputs=INPUTS, seed=SEED, **keywords):
    return initialiser(np.random.default_rng(seed), units, inputs, **keywords)


def same_distribution(sample, other):
    """Whether a sample may come from a distribution (an object of scipy.stats), or from that of another sample."""
    sample = np.ravel(sample)
    if hasattr(other, "cdf"):
        return stats.kstest(sample, other.cdf).pvalue >= LEVEL
    return stats.ks_2samp(sample, np.ravel(other), method="asymp").pvalue >= LEVEL


def symmetric_uniform(limit):
    return stats.uniform(-limit, 2 * limit)


def from_torch(fill, units=UNITS, inputs=INPUTS, **keywords):
    """Filled by a function of torch.nn.init."""
    W = torch.empty(units, inputs, dtype=torch.float64)
    return fill(W, generator=torch.Generator().manual_seed(SEED), **keywords).numpy()


def from_jax(initializer, units=UNITS, inputs=INPUTS):
    """By an initializer of jax.nn, whose W is (n^{l-1}, n^l)."""
    return np.asarray(initializer(jax.random.key(SEED), (inputs, units), "float32"), dtype="float64").T


DISTRIBUTIONS = {
    "uniform": symmetric_uniform(1 / np.sqrt(INPUTS)),
    "normal": stats.norm(0, 0.01),
    "glorot_uniform": symmetric_uniform(np.sqrt(6 / (UNITS + INPUTS))),
    "glorot_normal": stats.norm(0, np.sqrt(2 / (UNITS + INPUTS))),
    "he_uniform": symmetric_uniform(np.sqrt(6 / INPUTS)),
    "he_normal": stats.norm(0, np.sqrt(2 / INPUTS)),
    "lecun_uniform": symmetric_uniform(np.sqrt(3 / INPUTS)),
    "lecun_normal": stats.norm(0, np.sqrt(1 / INPUTS)),
}

TORCH = {
    "uniform": lambda: from_torch(torch.nn.init.uniform_, a=-1 / np.sqrt(INPUTS), b=1 / np.sqrt(INPUTS)),
    "normal": lambda: from_torch(torch.nn.init.normal_, std=0.01),
    "glorot_uniform": lambda: from_torch(torch.nn.init.xavier_uniform_),
    "glorot_normal": lambda: from_torch(torch.nn.init.xavier_normal_),
    "he_uniform": lambda: from_torch(torch.nn.init.kaiming_uniform_, nonlinearity="relu"),
    "he_normal": lambda: from_torch(torch.nn.init.kaiming_normal_, nonlinearity="relu"),
    "lecun_uniform": lambda: from_torch(torch.nn.init.kaiming_uniform_, nonlinearity="linear"),
    "lecun_normal": lambda: from_torch(torch.nn.init.kaiming_normal_, nonlinearity="linear"),
}

JAX = {
    # on [0, scale)
    "uniform": lambda: from_jax(initializers.uniform(2 / np.sqrt(INPUTS))) - 1 / np.sqrt(INPUTS),
    "normal": lambda: from_jax(initializers.normal()),
    "glorot_uniform": lambda: from_jax(initializers.glorot_uniform()),
    "he_uniform": lambda: from_jax(initializers.he_uniform()),
    "lecun_uniform": lambda: from_jax(initializers.lecun_uniform()),
}

TRUNCATED = {
    "glorot_normal": initializers.glorot_normal(),
    "he_normal": initializers.he_normal(),
    "lecun_normal": initializers.lecun_normal(),
}
"""jax's normals of a variance that the widths give."""

PARENT = 0.87962566103423978
"""Deviation of a standard normal number cut at ±2."""


def test_the_tables_miss_no_initialiser():
    assert set(INITIALISERS) == {*DISTRIBUTIONS, "zeros", "orthogonal"}
    assert set(TORCH) == set(DISTRIBUTIONS)
    assert set(JAX) | set(TRUNCATED) == set(DISTRIBUTIONS)


@over(("units", "inputs"), [(1, 1), (3, 5), (5, 3), (64, 10)])
@over("name", INITIALISERS)
def test_shape_format_and_seed(name, units, inputs):
    W = drawn(INITIALISERS[name], units, inputs)
    assert W.shape == (units, inputs)
    assert W.dtype == "float64"
    assert np.array_equal(W, drawn(INITIALISERS[name], units, inputs))


@pytest.mark.parametrize("name", sorted(set(INITIALISERS) - {"zeros"}))
def test_another_seed_gives_another_matrix(name):
    assert not np.array_equal(drawn(INITIALISERS[name]), drawn(INITIALISERS[name], seed=SEED + 1))


# --- in distribution


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_numbers_follow_the_formula(name):
    assert same_distribution(drawn(INITIALISERS[name]), DISTRIBUTIONS[name])


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_mean_and_variance_are_the_formulas(name):
    """Of M numbers, the mean strays by σ/√M and the mean square by σ²√((κ − 1)/M), κ the kurtosis."""
    W, expected = drawn(INITIALISERS[name]), DISTRIBUTIONS[name]
    variance, excess = expected.var(), float(expected.stats(moments="k"))
    assert abs(W.mean()) <= 5 * np.sqrt(variance / W.size)
    assert abs(np.mean(W**2) / variance - 1) <= 5 * np.sqrt((excess + 2) / W.size)


@pytest.mark.parametrize("name", [name for name in DISTRIBUTIONS if name.endswith("uniform")])
def test_uniform_numbers_fill_their_interval(name):
    limit = DISTRIBUTIONS[name].support()[1]
    assert 0.999 * limit < np.abs(drawn(INITIALISERS[name])).max() <= limit


@pytest.mark.parametrize("name", TORCH)
def test_torch_draws_from_the_same_distribution(name):
    assert same_distribution(drawn(INITIALISERS[name]), TORCH[name]())


@pytest.mark.parametrize("name", JAX)
def test_jax_draws_from_the_same_distribution(name):
    assert same_distribution(drawn(INITIALISERS[name]), JAX[name]())


@pytest.mark.parametrize("name", TRUNCATED)
def test_jax_truncates_its_normals_and_keeps_their_variance(name):
    W, expected = from_jax(TRUNCATED[name]), DISTRIBUTIONS[name]
    parent = expected.std() / PARENT
    truncated = stats.truncnorm(-2, 2, scale=parent)
    assert truncated.var() == pytest.approx(expected.var())
    assert abs(np.mean(W**2) / expected.var() - 1) <= 5 * np.sqrt((float(truncated.stats(moments="k")) + 2) / W.size)
    assert 1.99 * parent < np.abs(W).max() <= 2 * parent * (1 + 2.0**-22)  # float32
    assert np.abs(drawn(INITIALISERS[name])).max() > 4 * expected.std()
    assert same_distribution(W, truncated)
    assert not same_distribution(W, expected)
    assert not same_distribution(W, drawn(INITIALISERS[name]))


@pytest.mark.parametrize("keyword", [0.3, 2.0])
def test_limit_and_deviation_are_those_asked_for(keyword):
    assert same_distribution(drawn(uniform, limit=keyword), symmetric_uniform(keyword))
    assert same_distribution(drawn(normal, deviation=keyword), stats.norm(0, keyword))


# --- wrong ones are caught


def fans_swapped(initialiser):
    """fan_out where fan_in should be."""
    return lambda rng, units, inputs: initialiser(rng, inputs, units).T


WRONG = {
    "he for glorot": ("glorot_uniform", he_uniform),
    "glorot for he": ("he_normal", glorot_normal),
    "lecun for glorot": ("glorot_normal", lecun_normal),
    "fan_out for fan_in, he uniform": ("he_uniform", fans_swapped(he_uniform)),
    "fan_out for fan_in, he normal": ("he_normal", fans_swapped(he_normal)),
    "fan_out for fan_in, lecun": ("lecun_normal", fans_swapped(lecun_normal)),
    "fan_out for fan_in, uniform": ("uniform", fans_swapped(uniform)),
    "normal for uniform of equal variance": ("lecun_uniform", lecun_normal),
    "1/√fan_in for √(3/fan_in)": ("lecun_uniform", uniform),
    "variance for deviation": ("normal", lambda rng, units, inputs: normal(rng, units, inputs, deviation=0.01**2)),
    "the sum of the widths halved": ("glorot_normal", lambda rng, units, inputs: glorot_normal(rng, units, inputs) / 2),
    "[0, c) for ±c": ("glorot_uniform", lambda rng, units, inputs: np.abs(glorot_uniform(rng, units, inputs))),
    "4% too wide": ("he_uniform", lambda rng, units, inputs: 1.04 * he_uniform(rng, units, inputs)),
    "NaN": ("he_normal", lambda rng, units, inputs: he_normal(rng, units, inputs) * np.nan),
}


@pytest.mark.parametrize("defect", WRONG)
def test_a_wrong_initialiser_is_caught(defect):
    name, wrong = WRONG[defect]
    W = drawn(wrong)
    assert W.shape == (UNITS, INPUTS)
    assert not same_distribution(W, DISTRIBUTIONS[name])
    assert not same_distribution(W, TORCH[name]())


def test_glorot_does_not_tell_its_fans_apart():
    """Its formula is symmetric, so the check above must let it through."""
    assert same_distribution(drawn(fans_swapped(glorot_uniform)), DISTRIBUTIONS["glorot_uniform"])


# --- what they are for


def relu(z):
    return ACTIVATIONS["relu"].value(z)


@pytest.mark.parametrize(
    ("initialiser", "activation"),
    [
        (glorot_uniform, np.positive),
        (glorot_normal, np.positive),
        (lecun_uniform, np.positive),
        (lecun_normal, np.positive),
        (orthogonal, np.positive),
        (he_uniform, relu),
        (he_normal, relu),
    ],
)
def test_variance_is_kept_forward_and_backward_through_a_square_layer(initialiser, activation):
    """Half of the units of a ReLU layer are off, and so is half of what goes back: He makes up for that."""
    W = drawn(initialiser, 400, 400)
    z = np.random.default_rng(1).normal(size=(200, 400))
    assert np.mean((activation(z) @ W.T) ** 2) == pytest.approx(1, rel=0.05)
    on = ACTIVATIONS["relu"].derivative(z) if activation is relu else 1
    delta = np.random.default_rng(2).normal(size=(200, 400))
    assert np.mean((on * (delta @ W)) ** 2) == pytest.approx(1, rel=0.05)


# --- orthogonal


@over("gain", [1.0, np.sqrt(2), 0.1])
@over(("units", "inputs"), [(1, 1), (2, 2), (30, 30), (7, 40), (40, 7), (1, 9), (9, 1)])
def test_the_smaller_side_is_orthonormal(units, inputs, gain):
    """Within √n γ_mn in norm (Higham, eq. 19.13), n the smaller side."""
    W = drawn(orthogonal, units, inputs, gain=gain)
    product = W.T @ W if units >= inputs else W @ W.T
    side = min(units, inputs)
    assert np.linalg.norm(product / gain**2 - np.eye(side)) <= 4 * np.sqrt(side) * units * inputs * U


def without_signs(rng, units, inputs):
    """What LAPACK gives."""
    return np.linalg.qr(rng.normal(size=(units, inputs)))[0]


def signs_of_q(rng, units, inputs):
    """The signs of the wrong factor's diagonal."""
    Q = without_signs(rng, units, inputs)
    return Q * np.sign(np.diag(Q))


def many(initialiser, units, inputs, count=2000):
    rng = np.random.default_rng(SEED)
    return np.array([initialiser(rng, units, inputs) for _ in range(count)])


def is_haar(matrices):
    """Whether every entry is as in a Haar matrix: a coordinate w of a random unit vector of n, (1 + w)/2 ~ Beta."""
    n = max(matrices.shape[1:])
    half = (n - 1) / 2
    entry = stats.beta(half, half, loc=-1, scale=2)
    return all(same_distribution(matrices[:, t, f], entry) for t, f in np.ndindex(matrices.shape[1:]))


@pytest.mark.parametrize(("units", "inputs"), [(3, 3), (5, 3), (3, 5)])
def test_orthogonal_matrices_are_haar_distributed(units, inputs):
    assert is_haar(many(orthogonal, units, inputs))


@pytest.mark.parametrize("wrong", [without_signs, signs_of_q])
def test_wrong_signs_are_caught(wrong):
    assert not is_haar(many(wrong, 3, 3))


@pytest.mark.parametrize("n", [2, 3, 4])
def test_rotations_and_reflections_occur_equally_often(n):
    """Of M determinants ±1, the mean strays from 0 by 1/√M; LAPACK's own are all of one sign."""
    determinants = np.linalg.det(many(orthogonal, n, n))
    assert set(np.round(determinants)) == {-1, 1}
    assert abs(np.mean(determinants)) <= 5 / np.sqrt(len(determinants))
    assert set(np.round(np.linalg.det(many(without_signs, n, n)))) == {(-1.0) ** (n - 1)}


def orthogonal_of_torch(units, inputs, count=2000):
    generator = torch.Generator().manual_seed(SEED)
    W = torch.empty(units, inputs, dtype=torch.float64)
    return np.array([torch.nn.init.orthogonal_(W, generator=generator).numpy().copy() for _ in range(count)])


def orthogonal_of_jax(units, inputs, count=2000):
    keys = jax.random.split(jax.random.key(SEED), count)
    W = jax.vmap(lambda key: initializers.orthogonal()(key, (inputs, units), "float32"))(keys)
    return np.asarray(W, dtype="float64").transpose(0, 2, 1)


@pytest.mark.parametrize("framework", [orthogonal_of_torch, orthogonal_of_jax])
def test_frameworks_draw_orthogonal_matrices_from_the_same_distribution(framework):
    assert is_haar(framework(3, 5))
    ours, theirs = many(orthogonal, 3, 3), framework(3, 3)
    assert same_distribution(np.trace(ours, axis1=1, axis2=2), np.trace(theirs, axis1=1, axis2=2))


# --- zeros, and the symmetry it leaves

STEPS, SAMPLES, WIDTHS = 20, 30, (3, 5, 2)


def trained(initialiser, hidden):
    """Steps of gradient descent from an initialiser's weights and biases of zero."""
    rng = np.random.default_rng(SEED)
    W = {l: initialiser(rng, WIDTHS[l], WIDTHS[l - 1]) for l in (1, 2)}
    b = {l: np.zeros(WIDTHS[l]) for l in (1, 2)}
    x, y = rng.normal(size=(SAMPLES, WIDTHS[0])), rng.normal(size=(SAMPLES, WIDTHS[-1]))
    case = Case(hidden, "identity", "half_squared_error", "float64", W, b, x, y)
    return list(train(case, descent((np.arange(SAMPLES),) * STEPS, 0.1), network.trace))


def spread(W):
    """How far the rows of W differ, relative to the largest number."""
    return np.ptp(W, axis=0).max() / np.abs(W).max()


STILL = [name for name in HIDDEN if ACTIVATIONS[name].value(np.zeros((1, 1))) == 0]
MOVING = [name for name in HIDDEN if name not in STILL]


def test_both_kinds_of_activation_are_tested():
    assert {"tanh", "relu"} <= set(STILL)
    assert "sigmoid" in MOVING


@over("hidden", STILL)
def test_from_zeros_no_weight_moves_where_f_of_0_is_0(hidden):
    """a^1 = f(0) = 0, so dW^2 = 0; and W^2 = 0, so δ^1 = 0 and dW^1 = 0: only the bias of the output learns."""
    steps = trained(zeros, hidden)
    for step in steps:
        assert not step.trace.dW[1].any()
        assert not step.trace.dW[2].any()
    assert not steps[-1].new_W[1].any()
    assert steps[-1].new_b[2].all()


@pytest.mark.parametrize("hidden", MOVING)
def test_from_zeros_hidden_units_stay_equal_to_each_other(hidden):
    """Each learns, and all learn the same, up to the order in which a BLAS adds the samples of each."""
    steps = trained(zeros, hidden)
    assert not steps[0].trace.dW[1].any()
    assert all(step.trace.dW[1].any() for step in steps[1:])
    for step in steps[1:]:
        assert spread(step.new_W[1]) <= STEPS * SAMPLES * U
        assert spread(step.new_W[2].T) <= STEPS * SAMPLES * U


@pytest.mark.parametrize("hidden", ["tanh", "relu", "sigmoid", "softplus"])
@pytest.mark.parametrize("initialiser", [glorot_uniform, orthogonal], ids=lambda f: f.__name__)
def test_random_weights_break_the_symmetry(initialiser, hidden):
    steps = trained(initialiser, hidden)
    assert all(step.trace.dW[1].any() for step in steps)
    assert spread(steps[-1].new_W[1]) > 0.5
    assert steps[-1].trace.loss < steps[0].trace.loss


# --- the frameworks' own layers


def linear(inputs, units):
    """W and b of a new torch.nn.Linear."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        layer = torch.nn.Linear(inputs, units, dtype=torch.float64)
    return layer.weight.detach().numpy(), layer.bias.detach().numpy()


def test_torch_linear_is_uniform_with_our_default_limit():
    """kaiming_uniform_ with a = √5: √(6/((1 + 5) fan_in)); neither He nor LeCun nor Glorot."""
    W, _ = linear(INPUTS, UNITS)
    assert same_distribution(W, DISTRIBUTIONS["uniform"])
    assert same_distribution(W, drawn(uniform))
    for other in ("he_uniform", "lecun_uniform", "glorot_uniform"):
        assert not same_distribution(W, DISTRIBUTIONS[other])


def test_torch_linear_draws_its_bias_from_the_interval_of_its_weights():
    _, b = linear(4, 100_000)
    assert same_distribution(b, symmetric_uniform(1 / np.sqrt(4)))
    assert np.abs(b).max() <= 1 / np.sqrt(4)


def dense(inputs, units):
    """W (n^l, n^{l-1}) and b of a new stax.Dense."""
    _, (W, b) = stax.Dense(units)[0](jax.random.key(SEED), (-1, inputs))
    return np.asarray(W, dtype="float64").T, np.asarray(b, dtype="float64")


def test_stax_dense_is_glorot_normal_truncated():
    W, _ = dense(INPUTS, UNITS)
    deviation = np.sqrt(2 / (UNITS + INPUTS))
    assert same_distribution(W, stats.truncnorm(-2, 2, scale=deviation / PARENT))
    assert not same_distribution(W, DISTRIBUTIONS["glorot_normal"])


def test_stax_dense_draws_its_bias_with_our_default_deviation():
    _, b = dense(2, 100_000)
    assert same_distribution(b, stats.norm(0, 0.01))
    assert same_distribution(b, drawn(normal, 100_000, 1))
