"""Data to train on: scikit-learn's digits, and three tasks that are drawn. Inputs are numbers that float32 has."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from reference.arrays import Array
from reference.rounding import rounded

SHARES = (0.7, 0.2, 0.1)
"""Of the training, the validation and the test set, as the note has it."""


class Split(NamedTuple):
    """Inputs x and labels y of the training, validation and test sets."""

    train: tuple[Array, Array]
    validation: tuple[Array, Array]
    test: tuple[Array, Array]


def split(rng: np.random.Generator, x: Array, y: Array, stratified: bool = False) -> Split:
    """The samples in a drawn order, 70:20:10.

    Stratified, every class of a one-hot y is split so by itself, but for rounding, and its samples are drawn among the
    others of their set.
    """
    order = rng.permutation(len(x))
    if not stratified:
        parts = np.split(order, ends(len(order)))
    else:
        classes = [order[y[order].argmax(axis=1) == t] for t in range(y.shape[1])]
        by_class = [np.split(samples, ends(len(samples))) for samples in classes]
        parts = [rng.permutation(np.concatenate(part)) for part in zip(*by_class, strict=True)]
    train, validation, test = ((x[part], y[part]) for part in parts)
    return Split(train, validation, test)


def ends(samples: int) -> list[int]:
    """Where the training set ends, and the validation set."""
    return [round(samples * share) for share in (SHARES[0], SHARES[0] + SHARES[1])]


def digits(rng: np.random.Generator, stratified: bool = False) -> Split:
    """1,797 images of 8 × 8 that ship inside scikit-learn, of ten classes; pixels from 0 to 1 in steps of 1/16."""
    data = load_digits()
    return split(rng, data.data / 16, np.eye(10)[data.target], stratified)


def xor(rng: np.random.Generator, samples: int = 200) -> Split:
    """Points of [−1, 1]², none within 0.1 of an axis; the class says whether their signs differ."""
    x = rng.uniform(0.1, 1, (samples, 2)) * rng.choice((-1, 1), (samples, 2))
    return split(rng, single(x), one_hot((x[:, 0] * x[:, 1] < 0).astype(int), 2))


def spirals(rng: np.random.Generator, samples: int = 400) -> Split:
    """Two spirals, one in the other, of one and a half turns, with a little noise.

    r = t, φ = 3π t + π c, 0 ≤ t ≤ 1 with equal density along t², c the class.
    Source: after K. J. Lang and M. J. Witbrock, *Learning to tell two spirals apart*, Connectionist Models Summer
    School 1988, whose spirals make three turns.
    """
    c = np.arange(samples) % 2
    t = np.sqrt(rng.uniform(0.01, 1, samples))
    angle = 3 * np.pi * t + np.pi * c
    x = np.stack((t * np.cos(angle), t * np.sin(angle)), axis=1) + rng.normal(0, 0.02, (samples, 2))
    return split(rng, single(x), one_hot(c, 2))


def teacher(rng: np.random.Generator, samples: int = 300, widths: tuple[int, int, int] = (4, 6, 3)) -> Split:
    """What a drawn network of one hidden layer of tanh makes of standard normal inputs."""
    n0, n1, n2 = widths
    x = single(rng.normal(size=(samples, n0)))
    W1, W2 = rng.normal(size=(n1, n0)) / np.sqrt(n0), rng.normal(size=(n2, n1)) / np.sqrt(n1)
    return split(rng, x, single(np.tanh(x @ W1.T) @ W2.T))


def single(x: Array) -> Array:
    """x rounded to float32."""
    return rounded(x, "float32")


def one_hot(classes: NDArray[np.int_], count: int) -> Array:
    """A row of zeros and a one for each sample; (N,) -> (N, count)."""
    return np.asarray(np.eye(count)[classes])
