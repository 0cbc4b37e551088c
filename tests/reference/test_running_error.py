"""The running error of a whole network: above what an honest pass does in its format, and not far above."""

import dataclasses

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from reference import equations as eq
from reference import network
from reference.activations import ACTIVATIONS, HIDDEN
from reference.audit import audit, first_break
from reference.case import Case
from reference.cases import COMBINATIONS, Combination, Shape, cover, draw_case, draw_shape, once
from reference.rounding import HALF, carried_value, variation
from reference.running_error import propagate
from tests.tables import over

SEEDS = range(6)

NARROWER = ("float32", "float16", "bfloat16")
"""Formats that differ from the reference's."""

SATURATES = 8.0
"""Where 1 − σ(z) is 3e-4, and float32 keeps half of its digits. A cross-entropy on probabilities divides by it; in a
softmax output an engine's δ is then so exact that no bound made of absolute roundings can be near it."""


def black_box(trace):
    """What an engine shows that gives only loss and gradients."""
    return dataclasses.replace(trace, z=None, a=None, delta=None, losses=None)


def saturates(case):
    """Whether some output of a sigmoid or softmax is so near to its ends that its logarithm loses its digits."""
    z, _ = network.forward(case, case.W, case.b, case.x)
    if case.f_o.coupled:
        return np.ptp(z[case.last], axis=1).max() > SATURATES
    return case.output == "sigmoid" and np.abs(z[case.last]).max() > SATURATES


def drawn(combination, seed, dtype="float32"):
    """The first Case of a seed that does not saturate and, behind ReLU, has a gradient."""
    rng = np.random.default_rng([seed, COMBINATIONS.index(combination)])
    while True:
        case = draw_case(rng, combination, draw_shape(rng), dtype)
        if not saturates(case) and all(delta.any() for delta in network.trace(case).delta.values()):
            return case


def errors_and_bounds(case, dtype):
    """|narrower − float64| of loss, δ, dW and db, and the bound of each, flattened."""
    coarse, fine = network.trace(case, dtype), network.trace(case)
    with np.errstate(invalid="ignore"):  # of an infinite bound: some BLAS multiply it by the 0 that they pad rows with
        bound = propagate(case)
    errors, bounds = [np.array([abs(coarse.loss - fine.loss)])], [np.array([bound.loss])]
    for field in ("delta", "dW", "db"):
        for l in case.layers:
            errors.append(np.abs(getattr(coarse, field)[l] - getattr(fine, field)[l]).ravel())
            bounds.append(getattr(bound, field)[l].ravel())
    assert not any(np.isnan(each).any() for each in bounds)
    return np.concatenate(errors), np.concatenate(bounds)


@over("dtype", NARROWER)
@over("combination", cover()[::2], ids="-".join)
def test_an_honest_pass_stays_within(combination, dtype):
    case = drawn(combination, 0, dtype)
    errors, bounds = errors_and_bounds(case, dtype)
    if dtype == "bfloat16" and not np.isfinite(bounds).all():  # a pole within reach: asserted below
        assert combination.loss == "categorical_cross_entropy"
        return
    worst = (errors / bounds).max()
    assert worst <= 1, f"error is {worst} of its bound, but should be at most 1"


@settings(max_examples=200)
@given(st.sampled_from(COMBINATIONS), st.sampled_from(NARROWER), st.integers(0, 2**32))
def test_any_honest_pass_stays_within(combination, dtype, seed):
    rng = np.random.default_rng(seed)
    case = draw_case(rng, combination, draw_shape(rng), dtype)
    with np.errstate(all="ignore"):
        errors, bounds = errors_and_bounds(case, dtype)
    assume(np.isfinite(bounds).all())
    worst = (errors / bounds).max()
    assert worst <= 1, f"error is {worst} of its bound, but should be at most 1"


def widths_of_bound(combination, dtype):
    ratios = []
    for seed in SEEDS:
        errors, bounds = errors_and_bounds(drawn(combination, seed, dtype), dtype)
        ratios.append(bounds[errors > 0] / errors[errors > 0])
    return np.median(np.concatenate(ratios))


@pytest.mark.parametrize("dtype", NARROWER)
def test_bound_is_not_absurd(dtype):
    """A bound through three layers adds up what in fact mostly cancels; its median is about 250 errors.

    It is widest for the cosine distance of a softmax, whose derivative depends on every component twice.
    """
    widths = {combination: widths_of_bound(combination, dtype) for combination in once()}
    typical = np.median(list(widths.values()))
    assert typical <= 600, f"bound is {typical} times the error, but should be at most 600 times"
    widest = max(widths, key=widths.get)
    assert widths[widest] <= 10_000, f"bound of {widest} is {widths[widest]} times the error"


def scaled(layers, factor):
    return {l: array * factor for l, array in layers.items()}


WRONG_GRADIENTS = {
    "weights": lambda trace, off: {"dW": scaled(trace.dW, 1 + off)},
    "biases": lambda trace, off: {"db": scaled(trace.db, 1 + off)},
    "both": lambda trace, off: {"dW": scaled(trace.dW, 1 - off), "db": scaled(trace.db, 1 - off)},
}

OFF = {"float64": 1e-11, "float32": 5e-3, "float16": 0.9}
"""The share by which a gradient is off: more than the bound, which is some hundred roundings of a whole network."""


@over("dtype", OFF)
@over("wrong", WRONG_GRADIENTS)
@over("hidden", ["tanh", "relu", "gelu", "celu"])
def test_a_gradient_that_is_off_is_caught_end_to_end(hidden, wrong, dtype):
    case = drawn(Combination(hidden, "identity", "half_squared_error"), 0, dtype)
    honest = black_box(network.trace(case, dtype))
    assert first_break(audit(case, honest)) is None
    broken = dataclasses.replace(honest, **WRONG_GRADIENTS[wrong](honest, OFF[dtype]))
    guilty = first_break(audit(case, broken))
    assert guilty is not None
    assert guilty.equation == ("5b" if wrong == "biases" else "5a")


@over("combination", once(), ids="-".join)
def test_a_gradient_off_by_a_hundredth_is_caught_end_to_end(combination):
    case = drawn(combination, 0)
    honest = black_box(network.trace(case, "float32"))
    assert first_break(audit(case, honest)) is None
    for wrong, change in WRONG_GRADIENTS.items():
        guilty = first_break(audit(case, dataclasses.replace(honest, **change(honest, 0.01))))
        assert guilty is not None
        assert guilty.equation == ("5b" if wrong == "biases" else "5a")


# --- kinks


def relu_case(W1, b1, x, dtype="float32"):
    """One hidden layer of ReLU with the weights given, and an output layer that passes every unit on."""
    units = len(b1)
    W = {1: np.array(W1, dtype=float), 2: np.ones((1, units))}
    b = {1: np.array(b1, dtype=float), 2: np.zeros(1)}
    x = np.array(x, dtype=float)
    return Case("relu", "identity", "half_squared_error", dtype, W, b, x, np.full((len(x), 1), 2.0))


def test_a_pre_activation_of_0_admits_either_derivative():
    """Unit 0 has z = 0 exactly: an engine may take 0, ½ or 1 for its derivative, so 0, half or all of its gradient."""
    case = relu_case([[1.0, -1.0], [1.0, 1.0]], [0.0, 0.5], [[2.0, 2.0], [3.0, 3.0]])
    honest = black_box(network.trace(case, "float32"))
    assert not honest.dW[1][0].any()
    assert not honest.db[1][0].any()
    delta = network.trace(case).delta[2][:, 0]  # W[2] is 1, so this is Σ_t δ_t w_tf
    for derivative in (0.0, 0.5, 1.0):
        dW = {1: honest.dW[1].copy(), 2: honest.dW[2]}
        db = {1: honest.db[1].copy(), 2: honest.db[2]}
        dW[1][0], db[1][0] = derivative * delta @ case.x / 2, derivative * delta.mean()
        findings = audit(case, dataclasses.replace(honest, dW=dW, db=db))
        assert first_break(findings) is None, f"derivative {derivative} at the kink should be admissible"
    dW[1][0] = 1.5 * delta @ case.x / 2
    guilty = first_break(audit(case, dataclasses.replace(honest, dW=dW, db=db)))
    assert (guilty.equation, guilty.layer, guilty.worst.index[0]) == ("5a", 1, 0)


def one_after_another(W, b, a_prev):
    """z summed from left to right, each sum rounded; a matrix product may keep its sums in a wider format."""
    z = np.zeros((len(a_prev), len(W)), W.dtype)
    for f in range(W.shape[1]):
        z = z + a_prev[:, f : f + 1] * W[:, f]
    return z + b


def test_a_pre_activation_that_rounds_to_0_raises_no_alarm(monkeypatch):
    """p + q − fl(p + q) is some 2^{−26} in float64 and 0 in float32, whose f' is 0 where the reference has 1."""
    met = 0
    for pair in np.random.default_rng(7).uniform(0.1, 1, size=(100, 2)).astype(np.float32):
        row = np.array([*pair, -pair.sum()], dtype=float)
        case = relu_case([row if row.sum() > 0 else -row], [0.0], [[1.0, 1.0, 1.0]])
        with monkeypatch.context() as patch:
            patch.setattr(eq, "total_input", one_after_another)
            coarse = network.trace(case, "float32")
        assert first_break(audit(case, coarse)) is None
        assert first_break(audit(case, black_box(coarse))) is None
        met += coarse.db[1].item() == 0 != network.trace(case).db[1].item()
    assert met > 10, f"{met} of 100 sums round to 0, so the kink is not met"


def test_a_network_without_input_is_at_every_kink():
    case = relu_case(np.ones((3, 2)), np.zeros(3), np.zeros((2, 2)))
    for dtype in ("float32", "float64"):
        assert first_break(audit(case, black_box(network.trace(case, dtype)))) is None
    for dtype in HALF:
        case = dataclasses.replace(case, dtype=dtype)
        assert first_break(audit(case, black_box(network.trace(case, dtype)))) is None


def test_a_pre_activation_away_from_0_admits_one_derivative():
    case = relu_case([[1.0, -1.0]], [0.5], [[2.0, 2.0]])
    honest = black_box(network.trace(case, "float32"))
    assert first_break(audit(case, honest)) is None
    broken = dataclasses.replace(honest, dW={1: 0 * honest.dW[1], 2: honest.dW[2]})
    assert first_break(audit(case, broken)).equation == "5a"


@pytest.mark.parametrize("dtype", HALF)
def test_a_jump_that_rounding_meets_raises_no_alarm(dtype):
    """hardshrink is 0 up to ½ and z beyond: an engine that rounds z to ½ loses the whole of it, and its gradient."""
    u = {"float16": 2.0**-11, "bfloat16": 2.0**-8}[dtype]
    for hidden, output in (("hardshrink", "identity"), ("identity", "hardshrink"), ("hardshrink", "hardshrink")):
        W, b = {1: np.array([[0.5, u / 8]]), 2: np.ones((1, 1))}, {1: np.zeros(1), 2: np.zeros(1)}
        x, y = np.ones((1, 2)), np.full((1, 1), 2.0)
        case = Case(hidden, output, "half_squared_error", dtype, W, b, x, y)
        coarse, fine = network.trace(case, dtype), network.trace(case)
        assert (coarse.a[2].item(), fine.a[2].item() > 0.5) == (0.0, True)
        assert first_break(audit(case, coarse)) is None
        assert first_break(audit(case, black_box(coarse))) is None
        away = dataclasses.replace(case, W={**W, 1: 3 * W[1]})
        assert first_break(audit(away, black_box(network.trace(away, dtype)))) is None
        wrong = dataclasses.replace(black_box(network.trace(away, dtype)), loss=2.0)  # as if a were 0
        assert first_break(audit(away, wrong)).equation == "1"


def test_two_kinks_within_one_error_are_both_met():
    """|z| = 0 ± 2: outside hardtanh's kinks at both ends f' is 0, and 1 between them."""
    W = {1: np.array([[256.0, -256.0]]), 2: np.ones((1, 1))}
    b = {1: np.array([3.0]), 2: np.zeros(1)}
    case = Case("hardtanh", "identity", "half_squared_error", "bfloat16", W, b, np.ones((1, 2)), np.full((1, 1), 9.0))
    bound, fine = propagate(case), network.trace(case)
    assert (fine.z[1].item(), fine.delta[1].item()) == (3.0, 0.0)
    assert bound.delta[1].item() >= abs(fine.delta[2].item())


def test_a_pole_within_reach_leaves_no_bound_and_nothing_holds():
    """Where a may be 0 the loss may be infinite: such a bound would allow anything, so it allows nothing."""
    W, b = {1: np.diag([255.0, 1.0])}, {1: np.array([-255.0, 0.0])}
    case = Case(
        *("identity", "softmax", "categorical_cross_entropy", "bfloat16"),
        *(W, b, np.array([[1.0, 0.5]]), np.array([[0.5, 0.5]])),
    )
    with np.errstate(all="ignore"):
        assert propagate(case).loss == np.inf
    trace = network.trace(case, "bfloat16")
    assert first_break(audit(case, trace)) is None
    assert not audit(case, black_box(trace))[0].holds


# --- its pieces


def test_variation_is_the_larger_of_both_sides():
    x, error = np.array([1.0, -3.0, 0.0]), np.array([0.5, 1.0, 2.0])
    assert variation(np.square, x, error).tolist() == [1.25, 7.0, 4.0]
    assert not variation(np.square, x, 0 * error).any()


@over("name", ACTIVATIONS)
@over("size", [1e-9, 1e-4, 1e-2])
def test_carried_value_bounds_the_movement_of_an_activation(name, size):
    """To first order in the movement; what is of second order is below size times the whole, times a few."""
    rng = np.random.default_rng(6)
    f = ACTIVATIONS[name]
    z = rng.normal(size=(50, 4))
    z = np.concatenate([z, np.zeros((1, 4)), rng.normal(size=(5, 4)) * size])
    error = size * rng.uniform(0.1, 1, size=z.shape)
    allowed = carried_value(f, z, error) * (1 + 8 * size) + 1e-15
    for signs in rng.choice([-1, 1], size=(16, 4)):
        assert (np.abs(f.value(z + signs * error) - f.value(z)) <= allowed).all()


@over("hidden", HIDDEN)
def test_a_deeper_network_has_a_larger_bound(hidden):
    """The same last layers, behind more of them: what the first layers err by is carried on."""
    combination = Combination(hidden, "identity", "half_squared_error")
    deep = draw_case(np.random.default_rng(5), combination, Shape((4, 4, 4, 4), 3), "float32")
    z, a = network.forward(deep, deep.W, deep.b, deep.x)
    assert z[1].shape == (3, 4)
    inputs = a[1].astype("float32").astype(float)
    W, b = {1: deep.W[2], 2: deep.W[3]}, {1: deep.b[2], 2: deep.b[3]}
    shallow = dataclasses.replace(deep, W=W, b=b, x=inputs)
    assert propagate(deep).loss > propagate(shallow).loss
    assert np.median(propagate(deep).db[3] / propagate(shallow).db[2]) > 1


def test_the_bound_follows_the_format():
    combination = Combination("tanh", "sigmoid", "half_squared_error")
    case = draw_case(np.random.default_rng(5), combination, Shape((4, 4, 4), 3), "float32")
    finer = dataclasses.replace(case, dtype="float64")
    assert propagate(finer).loss < propagate(case).loss * 2.0**-27
    errors, bounds = errors_and_bounds(finer, "float32")
    assert (errors > bounds).any()


# --- beyond what float32 can do


def test_a_saturated_output_is_no_number_that_can_be_held_to_a_bound():
    """σ(24) is 1 in float32 but not in float64: with a label of ½ the loss is infinite in one, and 12 in the other."""
    W, b = {1: np.array([[1.0]])}, {1: np.array([0.0])}
    case = Case("tanh", "sigmoid", "binary_cross_entropy", "float32", W, b, np.array([[24.0]]), np.array([[0.5]]))
    coarse, fine = network.trace(case, "float32"), network.trace(case)
    assert coarse.loss == np.inf
    assert fine.loss == pytest.approx(12, rel=1e-6)
    guilty = first_break(audit(case, black_box(coarse)))
    assert (guilty.equation, guilty.worst.observed) == ("1", np.inf)
    fused = dataclasses.replace(case, loss="binary_cross_entropy_on_logits")
    assert first_break(audit(fused, black_box(network.trace(fused, "float32")))) is None
