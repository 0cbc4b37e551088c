"""Random Cases: complete, valid, and the same from the same seed."""

import itertools

import numpy as np
import pytest

from reference import network
from reference.activations import ACTIVATIONS, HIDDEN, OUTPUT
from reference.case import fits, to_json
from reference.cases import (
    COMBINATIONS,
    LARGEST_TOTAL_INPUT,
    MOST_SAMPLES,
    MOST_UNITS,
    Combination,
    Shape,
    draw_case,
    draw_labels,
    draw_shape,
)
from reference.losses import LOSSES

CROSS_ENTROPIES = tuple(dict.fromkeys((c.output, c.loss) for c in COMBINATIONS if LOSSES[c.loss].outputs))


def test_combinations_are_all_the_valid_ones():
    every = set(itertools.product(HIDDEN, OUTPUT, LOSSES))
    assert len(COMBINATIONS) == len(set(COMBINATIONS))
    assert set(COMBINATIONS) == {(hidden, output, loss) for hidden, output, loss in every if fits(output, loss)}
    assert {c.hidden for c in COMBINATIONS} == set(HIDDEN)
    assert {c.output for c in COMBINATIONS} == set(OUTPUT)
    assert {c.loss for c in COMBINATIONS} == set(LOSSES)


def test_cross_entropies_fit_one_output_each():
    assert set(CROSS_ENTROPIES) == {
        ("sigmoid", "binary_cross_entropy"),
        ("sigmoid", "binary_cross_entropy_on_logits"),
        ("softmax", "categorical_cross_entropy"),
        ("softmax", "categorical_cross_entropy_on_logits"),
    }


def test_shapes_link_hidden_layers_and_reach_their_ends():
    rng = np.random.default_rng(0)
    shapes = [draw_shape(rng) for _ in range(1000)]
    assert {len(shape.widths) for shape in shapes} == {4}
    assert {n for shape in shapes for n in shape.widths} == set(range(2, MOST_UNITS + 1))
    assert {shape.samples for shape in shapes} == set(range(1, MOST_SAMPLES + 1))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("combination", COMBINATIONS, ids="-".join)
def test_a_drawn_case_is_what_was_asked_for(combination, dtype):
    shape = Shape((3, 5, 2, 4), 7)
    case = draw_case(np.random.default_rng(1), combination, shape, dtype)
    assert (case.hidden, case.output, case.loss, case.dtype) == (*combination, dtype)
    assert (case.widths, case.samples) == shape
    for array in (case.x, case.y, *case.W.values(), *case.b.values()):
        assert array.dtype == "float64"
        assert np.array_equal(array.astype(dtype), array)
        assert array.any()


@pytest.mark.parametrize("combination", COMBINATIONS, ids="-".join)
def test_no_total_input_is_beyond_the_largest(combination):
    for seed in range(10):
        rng = np.random.default_rng(seed)
        case = draw_case(rng, combination, draw_shape(rng), "float32")
        z, _ = network.forward(case, case.W, case.b, case.x)
        largest = max(np.abs(layer).max() for layer in z.values())
        assert largest <= LARGEST_TOTAL_INPUT, f"|z| is {largest}, but should be at most {LARGEST_TOTAL_INPUT}"


def test_a_seed_gives_one_case():
    def drawn(seed):
        rng = np.random.default_rng(seed)
        return to_json(draw_case(rng, COMBINATIONS[0], draw_shape(rng), "float32"))

    assert drawn(3) == drawn(3)
    assert drawn(3) != drawn(4)


@pytest.mark.parametrize(("output", "loss"), CROSS_ENTROPIES)
def test_labels_of_a_cross_entropy_are_hard_or_soft_probabilities(output, loss):
    combination = Combination("tanh", output, loss)
    hard = 0
    for seed in range(60):
        y = draw_labels(np.random.default_rng(seed), combination, 6, 3)
        assert y.shape == (6, 3)
        assert ((y >= 0) & (y <= 1)).all()
        if ACTIVATIONS[output].coupled:
            assert np.allclose(y.sum(axis=1), 1, rtol=0, atol=1e-15)
        hard += bool(np.isin(y, [0, 1]).all())
    assert 15 < hard < 45, f"{hard} of 60 labels are hard, but about half should be"


def test_labels_of_a_squared_error_are_real_numbers():
    y = draw_labels(np.random.default_rng(0), Combination("tanh", "identity", "half_squared_error"), 200, 3)
    assert y.shape == (200, 3)
    assert y.min() < -1
    assert y.max() > 1


def test_weights_keep_the_size_of_the_activations():
    """A standard deviation of g/√n^{l-1} with g between ½ and 2."""
    gains = []
    for seed in range(50):
        case = draw_case(np.random.default_rng(seed), COMBINATIONS[0], Shape((100, 50, 50), 1), "float64")
        gains += [float(case.W[l].std() * np.sqrt(case.W[l].shape[1])) for l in case.layers]
    assert 0.45 < min(gains) < 0.7
    assert 1.5 < max(gains) < 2.2
