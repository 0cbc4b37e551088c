"""Accuracy against a count by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference.metrics import accuracy

ONE_HOT = np.eye(3)


@pytest.mark.parametrize(
    ("a", "classes", "expected"),
    [
        ([[0.7, 0.2, 0.1]], [0], 1.0),
        ([[0.7, 0.2, 0.1]], [1], 0.0),
        ([[0.7, 0.2, 0.1], [0.1, 0.2, 0.7]], [0, 1], 0.5),
        ([[-3.0, -2.0, -1.0], [5.0, 9.0, 7.0], [0.0, 0.0, 1e-300]], [2, 1, 2], 1.0),
        ([[0.4, 0.4, 0.2]], [0], 1.0),
        ([[0.4, 0.4, 0.2]], [1], 0.0),
    ],
)
def test_is_the_share_of_samples_whose_largest_output_is_labelled(a, classes, expected):
    assert accuracy(np.array(a), ONE_HOT[classes]) == expected


@given(st.lists(st.tuples(st.permutations([0.1, 0.3, 0.6]), st.integers(0, 2)), min_size=1, max_size=30))
def test_is_what_counting_gives(samples):
    right = sum(a.index(max(a)) == label for a, label in samples)
    a, y = np.array([a for a, _ in samples]), ONE_HOT[[label for _, label in samples]]
    assert accuracy(a, y) == right / len(samples)


def test_is_a_python_float():
    assert type(accuracy(ONE_HOT, ONE_HOT)) is float
