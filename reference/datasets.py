"""Real data: scikit-learn's digits, 1,797 images of 8 × 8 that ship inside the package."""

from typing import NamedTuple

import numpy as np
from sklearn.datasets import load_digits

from reference.arrays import Array


class Split(NamedTuple):
    """Inputs x and one-hot labels y of the training, validation and test sets."""

    train: tuple[Array, Array]
    validation: tuple[Array, Array]
    test: tuple[Array, Array]


def digits(rng: np.random.Generator) -> Split:
    """Digits in a drawn order, 70:20:10 as the note says; pixels from 0 to 1 in steps of 1/16, exact everywhere."""
    data = load_digits()
    order = rng.permutation(len(data.target))
    x, y = data.data[order] / 16, np.eye(10)[data.target[order]]  # (1797, 64), (1797, 10)
    ends = [round(len(x) * share) for share in (0.7, 0.9)]
    train, validation, test = zip(np.split(x, ends), np.split(y, ends), strict=True)
    return Split(train, validation, test)
