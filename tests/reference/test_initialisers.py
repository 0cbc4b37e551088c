"""Initial weights: their range, their variance, their seed."""

import numpy as np
import pytest

from reference.initialisers import glorot_uniform


@pytest.mark.parametrize(("units", "inputs"), [(1, 1), (3, 5), (5, 3), (64, 10)])
def test_shape_and_range(units, inputs):
    W = glorot_uniform(np.random.default_rng(0), units, inputs)
    assert W.shape == (units, inputs)
    assert W.dtype == "float64"
    assert (np.abs(W) <= np.sqrt(6 / (units + inputs))).all()


def test_variance_is_2_over_the_units_of_both_layers():
    """A uniform number on ±c has variance c²/3; the mean of M squares strays from it by (c²/3)·√(4/(5M))."""
    units, inputs = 300, 100
    W = glorot_uniform(np.random.default_rng(0), units, inputs)
    variance = 2 / (units + inputs)
    spread = np.sqrt(4 / (5 * W.size))
    assert abs(np.mean(W**2) / variance - 1) < 5 * spread
    assert abs(W.mean()) < 5 * np.sqrt(variance / W.size)
    assert np.abs(W).max() > 0.99 * np.sqrt(6 / (units + inputs))


def test_activations_and_error_terms_keep_their_variance():
    """Forward and backward through a square layer."""
    rng = np.random.default_rng(1)
    W = glorot_uniform(rng, 400, 400)
    for transported in (rng.normal(size=(200, 400)) @ W.T, rng.normal(size=(200, 400)) @ W):
        assert transported.var() == pytest.approx(1, rel=0.1)


def test_a_seed_gives_one_matrix():
    def drawn(seed):
        return glorot_uniform(np.random.default_rng(seed), 3, 4)

    assert np.array_equal(drawn(2), drawn(2))
    assert not np.array_equal(drawn(2), drawn(3))
