"""Random Cases: complete, valid, and the same from the same seed."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference import network
from reference.activations import ACTIVATIONS, FAMILIES, HIDDEN, OUTPUT
from reference.case import Case, fits, from_json, to_json
from reference.cases import (
    COMBINATIONS,
    LARGEST_IN_HALF,
    LARGEST_TOTAL_INPUT,
    MOST_SAMPLES,
    MOST_UNITS,
    USUAL_HIDDEN,
    USUAL_LOSS,
    USUAL_OUTPUT,
    Combination,
    Shape,
    cover,
    draw_case,
    draw_labels,
    draw_one_width,
    draw_parameters,
    draw_shape,
    neighbours,
    once,
    tempered,
)
from reference.losses import LABELS, LOSSES
from reference.rounding import DTYPES, HALF, rounded
from tests.tables import over

spread = over("combination", once(), ids="-".join)


# --- combinations


def test_combinations_are_all_the_valid_ones_and_each_once():
    every = set(itertools.product(HIDDEN, OUTPUT, LOSSES))
    assert len(COMBINATIONS) == len(set(COMBINATIONS))
    assert set(COMBINATIONS) == {(hidden, output, loss) for hidden, output, loss in every if fits(output, loss)}
    assert {c.hidden for c in COMBINATIONS} == set(HIDDEN)
    assert {c.output for c in COMBINATIONS} == set(OUTPUT)
    assert {c.loss for c in COMBINATIONS} == set(LOSSES)


def test_hidden_activations_are_the_elementwise_ones():
    assert set(HIDDEN) == {name for name, f in ACTIVATIONS.items() if not f.coupled}
    assert set(OUTPUT) == set(ACTIVATIONS)


def test_losses_fit_the_outputs_that_they_name():
    """Written out: a loss on probabilities fits what gives them, the cosine distance what is never all 0."""
    outputs = {loss: {output for output in OUTPUT if fits(output, loss)} for loss in LOSSES}
    zero = {"gelu", "gelu_tanh", "relu", "relu6", "hardsigmoid", "hardswish", "softshrink", "hardshrink"}
    expected = {loss: set(OUTPUT) for loss in LOSSES}
    expected["cosine_distance"] = set(OUTPUT) - zero
    expected |= {"binary_cross_entropy": {"sigmoid"}, "binary_cross_entropy_on_logits": {"sigmoid"}}
    for name in ("", "_on_logits", "_with_classes"):
        expected[f"categorical_cross_entropy{name}"] = {"softmax"}
    expected["smoothed_cross_entropy_on_logits"] = {"softmax"}
    expected |= {"negative_log_likelihood": {"log_softmax"}, "kullback_leibler": {"log_softmax"}}
    assert outputs == expected
    assert len(COMBINATIONS) == len(HIDDEN) * sum(len(names) for names in expected.values())


def test_cover_has_every_output_with_every_loss_once():
    pairs = [(c.output, c.loss) for c in cover()]
    assert len(pairs) == len(set(pairs))
    assert set(pairs) == {(c.output, c.loss) for c in COMBINATIONS}
    assert set(cover()) <= set(COMBINATIONS)


def test_once_has_every_activation_in_either_role_and_every_loss():
    assert {c.hidden for c in once()} == set(HIDDEN)
    assert {c.output for c in once()} == set(OUTPUT)
    assert {c.loss for c in once()} == set(LOSSES)
    assert len(once()) == len(set(once())) < len(cover())
    assert set(once()) <= set(neighbours())


def test_neighbours_meet():
    every = neighbours()
    assert {(c.hidden, c.output) for c in every} == set(itertools.product(HIDDEN, OUTPUT))
    assert {(c.output, c.loss) for c in every} == {(c.output, c.loss) for c in COMBINATIONS}
    assert len(every) == len(set(every)) < len(COMBINATIONS) / 7
    assert set(cover()) <= set(every) <= set(COMBINATIONS)


@pytest.mark.parametrize("absent", [*ACTIVATIONS, *LOSSES])
def test_what_an_engine_lacks_takes_no_other_function_with_it(absent):
    """But for the usual ones, which any engine has, and for a loss or activation that has no other partner."""
    if absent in (USUAL_HIDDEN, USUAL_OUTPUT, USUAL_LOSS):
        return
    for design in (neighbours(), cover(), once()):
        roles = {(role, name) for names in design for role, name in names._asdict().items() if name != absent}
        left = {(role, name) for names in design if absent not in names for role, name in names._asdict().items()}
        possible = {(r, name) for c in COMBINATIONS if absent not in c for r, name in c._asdict().items()}
        assert left == roles & possible


# --- what is drawn


def test_shapes_link_hidden_layers_and_reach_their_ends():
    rng = np.random.default_rng(0)
    shapes = [draw_shape(rng) for _ in range(1000)]
    assert {len(shape.widths) for shape in shapes} == {4}
    assert {n for shape in shapes for n in shape.widths} == set(range(2, MOST_UNITS + 1))
    assert {shape.samples for shape in shapes} == set(range(1, MOST_SAMPLES + 1))


def test_one_width_is_that_of_all_layers():
    rng = np.random.default_rng(0)
    shapes = [draw_one_width(rng) for _ in range(1000)]
    assert {(len(shape.widths), len(set(shape.widths))) for shape in shapes} == {(4, 1)}
    assert {shape.widths[0] for shape in shapes} == set(range(5, MOST_UNITS + 1))
    assert {shape.samples for shape in shapes} == set(range(2, MOST_SAMPLES + 1))


@over("dtype", DTYPES)
@spread
def test_a_drawn_case_is_what_was_asked_for(combination, dtype):
    shape = Shape((3, 5, 2, 4), 7)
    case = draw_case(np.random.default_rng(1), combination, shape, dtype)
    assert (case.hidden, case.output, case.loss, case.dtype) == (*combination, dtype)
    assert (case.widths, case.samples) == shape
    for array in (case.x, case.y, *case.W.values(), *case.b.values()):
        assert array.dtype == "float64"
        assert np.array_equal(rounded(array, dtype), array)
        assert array.any()


drawn_anywhere = given(st.sampled_from(COMBINATIONS), st.sampled_from(DTYPES), st.integers(0, 2**32))


def drawn(combination, dtype, seed):
    rng = np.random.default_rng(seed)
    return draw_case(rng, combination, draw_shape(rng), dtype)


def largest_total_inputs(case):
    z, _ = network.forward(case, case.W, case.b, case.x)
    return {l: np.abs(z[l]).max() for l in case.layers}


def assert_within(case):
    for l, largest in largest_total_inputs(case).items():
        most = LARGEST_IN_HALF if case.dtype in HALF and l == case.last else LARGEST_TOTAL_INPUT
        assert largest <= most, f"|z| of layer {l} is {largest}, but should be at most {most}"


@settings(max_examples=200)
@drawn_anywhere
def test_no_total_input_is_beyond_the_largest(combination, dtype, seed):
    assert_within(drawn(combination, dtype, seed))


def steep(dtype, scale):
    """Large inputs, and weights that end in odd subnormal numbers of float16, which halving cannot hold."""
    W = {1: rounded(np.array([[3 * 2.0**-24, scale], [5 * 2.0**-24, -scale]]), dtype), 2: np.full((1, 2), scale)}
    b = {1: np.array([7 * 2.0**-24, 0.0]), 2: np.zeros(1)}
    x = np.array([[0.0, 1.0], [1.0, scale]])
    return Case("identity", "identity", "half_squared_error", dtype, W, b, x, np.zeros((2, 1)))


@pytest.mark.parametrize("scale", [1.0, 16.0, 200.0])
def test_a_tempered_case_is_one_of_its_format(scale, dtype):
    """Halving is exact but for subnormal numbers: a float16 with an odd last bit there has no half."""
    case = steep(dtype, scale)
    calm = tempered(case)  # a Case refuses numbers that are none of its format
    assert_within(calm)
    if scale == 1:
        assert all(np.array_equal(calm.W[l], case.W[l]) for l in case.layers)
    assert calm.x is case.x


@settings(max_examples=100)
@drawn_anywhere
def test_a_seed_gives_one_case(combination, dtype, seed):
    case = to_json(drawn(combination, dtype, seed))
    assert case == to_json(drawn(combination, dtype, seed)) == to_json(from_json(case))
    assert case != to_json(drawn(combination, dtype, seed + 1))


def test_weights_keep_the_size_of_the_activations():
    """A standard deviation of g/√n^{l-1} with g between ½ and 2."""
    gains = []
    for seed in range(50):
        case = draw_case(np.random.default_rng(seed), COMBINATIONS[0], Shape((100, 50, 50), 1), "float64")
        gains += [float(case.W[l].std() * np.sqrt(case.W[l].shape[1])) for l in case.layers]
    assert 0.45 < min(gains) < 0.7
    assert 1.5 < max(gains) < 2.2


# --- parameters

PARAMETRISED = Combination("leaky_relu", "softshrink", "huber")


def test_parameters_are_drawn_unless_the_usual_ones_are_asked_for(dtype):
    """Everything else is the same."""
    for seed in range(10):
        shape = Shape((2, 3, 2), 2)
        case = draw_case(np.random.default_rng(seed), PARAMETRISED, shape, dtype)
        usual = draw_case(np.random.default_rng(seed), PARAMETRISED, shape, dtype, usual=True)
        assert set(case.parameters) == {"hidden", "output", "loss"}
        assert usual.parameters == {}
        assert np.array_equal(case.x, usual.x)
        assert np.array_equal(case.W[1], usual.W[1])
        assert all(case.parameters_of(role) != usual.parameters_of(role) for role in case.parameters)


@pytest.mark.parametrize("combination", [PARAMETRISED, Combination("celu", "softplus", "smooth_l1")], ids="-".join)
def test_drawn_parameters_are_between_half_and_twice_the_usual(combination, dtype):
    shares = []
    for seed in range(60):
        parameters = draw_parameters(np.random.default_rng(seed), combination, dtype)
        assert set(parameters) == {"hidden", "output", "loss"}
        for role, given_ in parameters.items():
            table = LOSSES if role == "loss" else ACTIVATIONS
            usual = table[getattr(combination, role)].parameters
            assert set(given_) == set(usual)
            for name, value in given_.items():
                assert rounded(np.float64(value), dtype) == value
                shares.append(value / usual[name])
    assert 0.49 < min(shares) < 0.6
    assert 1.7 < max(shares) < 2.02


@over("dtype", DTYPES)
@over("name", [*FAMILIES, *(loss for loss in LOSSES if LOSSES[loss].parameters)])
def test_drawn_parameters_make_a_case_in_every_format(name, dtype):
    """Thresholds that are numbers of the format, smoothings below 1."""
    if name in LOSSES:
        combination = Combination("tanh", "softmax" if LOSSES[name].outputs else "identity", name)
    else:
        combination = Combination(name, name, "half_squared_error")
    seen = {
        str(draw_case(np.random.default_rng(s), combination, Shape((2, 2, 2), 2), dtype).parameters) for s in range(8)
    }
    assert len(seen) > 2


# --- labels


@pytest.mark.parametrize("kind", LABELS)
def test_labels_are_of_their_kind_in_every_format(kind):
    allowed, what = LABELS[kind]
    for seed in range(60):
        y = draw_labels(np.random.default_rng(seed), kind, 6, 3)
        assert y.shape == (6, 3)
        for dtype in DTYPES:
            assert np.all(allowed(rounded(y, dtype))), f"{kind} is {y}, but should be {what}"


def test_every_kind_of_label_is_asked_for():
    assert {loss.labels for loss in LOSSES.values()} == set(LABELS)


@pytest.mark.parametrize("kind", ["probability", "distribution"])
def test_probabilities_are_hard_in_one_half_of_the_draws(kind):
    draws = [draw_labels(np.random.default_rng(seed), kind, 6, 3) for seed in range(60)]
    hard = sum(bool(np.isin(y, [0, 1]).all()) for y in draws)
    assert 15 < hard < 45, f"{hard} of 60 labels are hard, but about half should be"
    if kind == "distribution":
        assert all(np.allclose(y.sum(axis=1), 1, rtol=0, atol=1e-15) for y in draws)


def test_labels_of_a_class_are_hard_always():
    for seed in range(60):
        y = draw_labels(np.random.default_rng(seed), "class", 6, 3)
        assert np.isin(y, [0, 1]).all()
        assert (y.sum(axis=1) == 1).all()


def test_other_labels_reach_both_sides():
    rng = np.random.default_rng(0)
    real = draw_labels(rng, "real", 200, 3)
    assert (real.min() < -1, real.max() > 1) == (True, True)
    assert set(draw_labels(rng, "sign", 200, 3).ravel()) == {-1.0, 1.0}
    counts = draw_labels(rng, "count", 200, 3)
    assert (counts == np.round(counts)).all()
    assert {0.0, 1.0, 2.0, 3.0} <= set(counts.ravel())
