"""The digits, split 70:20:10."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from reference.datasets import digits


@pytest.fixture(scope="module")
def split():
    return digits(np.random.default_rng(0))


def images(split):
    return np.concatenate([x for x, _ in split]), np.concatenate([y for _, y in split])


def test_sizes_are_70_20_10(split):
    assert [len(x) for x, _ in split] == [1258, 359, 180]
    assert [len(y) for _, y in split] == [1258, 359, 180]
    assert sum(len(x) for x, _ in split) == 1797
    assert split.train[0] is split[0][0]
    assert split.test[0] is split[2][0]


def test_every_image_is_there_once_with_its_label(split):
    """No overlap: the images are distinct, and together they are the package's own."""
    data = load_digits()
    x, y = images(split)
    expected = sorted((*pixels, label) for pixels, label in zip(data.data.tolist(), data.target.tolist(), strict=True))
    observed = sorted(
        (*pixels, label) for pixels, label in zip((x * 16).tolist(), y.argmax(axis=1).tolist(), strict=True)
    )
    assert observed == expected
    assert len({tuple(pixels) for pixels in x.tolist()}) == 1797


def test_labels_are_one_hot(split):
    _, y = images(split)
    assert y.shape == (1797, 10)
    assert set(np.unique(y)) == {0, 1}
    assert (y.sum(axis=1) == 1).all()
    assert all(y.any(axis=0).all() for _, y in split)


def test_pixels_are_sixteenths_and_exact_in_every_format(split):
    x, _ = images(split)
    assert x.shape == (1797, 64)
    assert (x.min(), x.max()) == (0, 1)
    assert np.array_equal(x * 16, np.round(x * 16))
    for dtype in ("float16", "float32"):
        assert np.array_equal(x.astype(dtype), x)


def test_the_order_is_the_seeds():
    again, other = digits(np.random.default_rng(0)), digits(np.random.default_rng(1))
    assert np.array_equal(again.train[0], digits(np.random.default_rng(0)).train[0])
    assert not np.array_equal(again.train[0], other.train[0])
