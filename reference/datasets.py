"""Data to train on: scikit-learn's digits, and three tasks that are drawn. Inputs are numbers that float32 has."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from reference.arrays import Array
from reference.rounding import rounded

Shares = tuple[float, float]
"""Where the training set ends, and the validation set, of all samples."""

SHARES: Shares = (0.7, 0.9)
"""70:20:10, as the note has it."""


class Split(NamedTuple):
    """Inputs x and targets y of the training, validation and test sets."""

    train: tuple[Array, Array]
    validation: tuple[Array, Array]
    test: tuple[Array, Array]


def split(rng: np.random.Generator, x: Array, y: Array, shares: Shares = SHARES, stratified: bool = False) -> Split:
    """The samples in a drawn order, 70:20:10 or in other shares.

    Stratified, every class of a one-hot y is split by itself, so that each set has of each class its share to within
    one sample, by `apportioned`; each set is then put in a drawn order. Its own size may be off by one a class.

    Raises ValueError for shares that do not rise from 0 to 1, and for a stratified y that is not one-hot.
    """
    if not 0 <= shares[0] <= shares[1] <= 1:
        raise ValueError(f"shares are {shares}, but should rise from 0 to 1")
    order = rng.permutation(len(x))
    if not stratified:
        parts = np.split(order, [round(len(x) * share) for share in shares])
    else:
        if y.ndim != 2 or not (((y == 0) | (y == 1)).all() and (y.sum(axis=1) == 1).all()):
            raise ValueError("a stratified y should be one-hot")
        classes = [order[y[order, t] == 1] for t in range(y.shape[1])]
        by_class = [np.split(samples, np.cumsum(apportioned(len(samples), shares))[:2]) for samples in classes]
        parts = [rng.permutation(np.concatenate(part)) for part in zip(*by_class, strict=True)]
    train, validation, test = ((x[part], y[part]) for part in parts)
    return Split(train, validation, test)


def apportioned(samples: int, shares: Shares) -> NDArray[np.int_]:
    """Samples of the training, validation and test sets, by largest remainders (Hamilton's method).

    Each set has the whole part of its quota, and those with the largest remainders one more; of equal ones, the first.
    """
    quotas = samples * np.diff((0.0, *shares, 1.0))
    quotas = np.round(quotas, 9)  # 0.9 − 0.7 is not 0.2
    sizes = np.floor(quotas).astype(int)
    remainders = np.round(quotas - sizes, 9)
    sizes[np.argsort(-remainders, kind="stable")[: samples - sizes.sum()]] += 1
    return sizes


def digits(rng: np.random.Generator, stratified: bool = False) -> Split:
    """1,797 images of 8 × 8 that ship inside scikit-learn, of ten classes; pixels from 0 to 1 in steps of 1/16."""
    from sklearn.datasets import load_digits  # a second, which a process that does not train on digits is spared

    data = load_digits()
    return split(rng, data.data / 16, one_hot(data.target, 10), stratified=stratified)


def xor(rng: np.random.Generator, samples: int = 200) -> Split:
    """Points of [−1, 1]², none within 0.1 of an axis; the class says whether their signs differ."""
    x = rng.uniform(0.1, 1, (samples, 2)) * rng.choice((-1, 1), (samples, 2))
    return split(rng, single(x), one_hot((x[:, 0] * x[:, 1] < 0).astype(int), 2))


def spirals(rng: np.random.Generator, samples: int = 400) -> Split:
    """Two spirals, one in the other, of two turns, with a little noise; as many samples of each class.

    r = t, φ = 4π t + π c, 0.1 ≤ t ≤ 1 with equal density along t², c the class; noise of deviation 0.02.
    Source: after K. J. Lang and M. J. Witbrock, *Learning to tell two spirals apart*, Connectionist Models Summer
    School 1988, whose spirals make three turns.
    """
    c = np.arange(samples) % 2
    t = np.sqrt(rng.uniform(0.01, 1, samples))
    angle = 4 * np.pi * t + np.pi * c
    x = np.stack((t * np.cos(angle), t * np.sin(angle)), axis=1) + rng.normal(0, 0.02, (samples, 2))
    return split(rng, single(x), one_hot(c, 2))


def teacher(rng: np.random.Generator, samples: int = 300, widths: Sequence[int] = (4, 6, 3)) -> Split:
    """What a drawn network without biases makes of standard normal inputs: tanh in its hidden layers, then none.

    Weights are normal, of variance 1/n^{l−1}. Convention: y is real, and its targets are numbers of float32 as well.
    """
    a = x = single(rng.normal(size=(samples, widths[0])))  # (N, n^0)
    for l in range(1, len(widths)):
        W = rng.normal(size=(widths[l], widths[l - 1])) / np.sqrt(widths[l - 1])
        z = a @ W.T  # (N, n^l)
        a = np.tanh(z)
    return split(rng, x, single(z))


def single(x: Array) -> Array:
    """x rounded to float32."""
    return rounded(x, "float32")


def one_hot(classes: NDArray[np.int_], count: int) -> Array:
    """A row of zeros and a one for each sample; (N,) -> (N, count)."""
    return np.asarray(np.eye(count)[classes])
