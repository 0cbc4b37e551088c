"""Data to train on: its split 70:20:10, the digits, and the drawn tasks."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from reference.datasets import apportioned, digits, spirals, split, teacher, xor

DRAWN = {"xor": xor, "spirals": spirals, "teacher": teacher}
WITH_CLASSES = {"xor": xor, "spirals": spirals}
SEED = 2026


def rng(seed=SEED):
    return np.random.default_rng(seed)


def joined(parts):
    """x and y of all sets, one after the other."""
    return tuple(np.concatenate(arrays) for arrays in zip(*parts, strict=True))


def sizes(parts):
    assert [len(x) for x, _ in parts] == [len(y) for _, y in parts]
    return [len(x) for x, _ in parts]


def equal(one, other):
    return all(
        np.array_equal(a, b)
        for part, counterpart in zip(one, other, strict=True)
        for a, b in zip(part, counterpart, strict=True)
    )


# --- the split


def numbered(samples, classes=3):
    """x is the number of its sample, and y its class: of each class fewer than of the one before."""
    x = np.arange(float(samples))[:, np.newaxis]
    return x, np.eye(classes)[np.sort(np.minimum(rng(1).geometric(0.5, samples) - 1, classes - 1))]


@given(st.integers(0, 500), st.integers(0, 1000), st.booleans(), st.sampled_from([(0.7, 0.9), (0.5, 0.5), (0.0, 1.0)]))
def test_every_sample_is_there_once_with_its_own_target(samples, seed, stratified, shares):
    x, y = numbered(samples)
    parts = split(rng(seed), x, y, shares, stratified)
    seen, targets = joined(parts)
    assert sorted(seen[:, 0]) == list(range(samples))
    assert np.array_equal(targets, y[seen[:, 0].astype(int)])


@pytest.mark.parametrize(("samples", "expected"), [(10, [7, 2, 1]), (100, [70, 20, 10]), (1797, [1258, 359, 180])])
def test_sizes_are_70_20_10(samples, expected):
    assert sizes(split(rng(), *numbered(samples))) == expected


def test_other_shares():
    x, y = numbered(200)
    for stratified in (False, True):
        parts = split(rng(), x, y, (0.5, 0.75), stratified)
        assert np.abs(np.array(sizes(parts)) - [100, 50, 50]).max() <= (3 if stratified else 0)


@pytest.mark.parametrize("shares", [(0.9, 0.7), (-0.1, 0.9), (0.7, 1.1), (np.nan, 0.9), (0.7, np.nan)])
def test_shares_rise_from_0_to_1(shares):
    with pytest.raises(ValueError, match="should rise from 0 to 1"):
        split(rng(), *numbered(10), shares)


@pytest.mark.parametrize(
    "y", [np.full((10, 2), 0.5), np.ones((10, 2)), np.zeros((10, 2)), np.arange(10.0), np.full((10, 2), np.nan)]
)
def test_only_classes_are_stratified(y):
    x = np.zeros((10, 1))
    with pytest.raises(ValueError, match="should be one-hot"):
        split(rng(), x, y, stratified=True)
    assert sizes(split(rng(), x, y)) == [7, 2, 1]


def test_the_order_is_drawn():
    x, y = numbered(300)
    for stratified in (False, True):
        for seen, _ in split(rng(), x, y, stratified=stratified):
            order = seen[:, 0]
            # a rank correlation with the given order beyond five deviations is not that of a drawn order
            assert abs(np.corrcoef(order.argsort().argsort(), np.arange(len(order)))[0, 1]) < 5 / np.sqrt(len(order))


def share_of_each_class(parts):
    """Samples of each class in each set: (sets, classes)."""
    return np.array([y.sum(axis=0) for _, y in parts])


def within_one(parts, shares=(0.7, 0.2, 0.1)):
    """Whether each set has of each class its share to within one sample."""
    counts = share_of_each_class(parts)
    return bool((np.abs(counts - np.outer(shares, counts.sum(axis=0))) < 1).all())


@given(st.integers(1, 300), st.integers(0, 1000))
def test_stratified_every_set_has_its_share_of_every_class(samples, seed):
    x, y = numbered(samples)
    assert within_one(split(rng(seed), x, y, stratified=True))


def test_not_stratified_a_set_may_have_another_share():
    assert not within_one(digits(rng()))
    assert within_one(digits(rng(), stratified=True))


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        (0, [0, 0, 0]),
        (1, [1, 0, 0]),  # 0.7, 0.2, 0.1
        (2, [2, 0, 0]),  # 1.4, 0.4, 0.2: of equal remainders the first
        (3, [2, 1, 0]),  # 2.1, 0.6, 0.3
        (5, [4, 1, 0]),  # 3.5, 1, 0.5
        (9, [6, 2, 1]),  # 6.3, 1.8, 0.9
        (10, [7, 2, 1]),
        (178, [125, 35, 18]),  # 124.6, 35.6, 17.8
    ],
)
def test_largest_remainders(samples, expected):
    assert apportioned(samples, (0.7, 0.9)).tolist() == expected


@given(st.integers(0, 100_000))
def test_largest_remainders_are_those_of_exact_quotas(samples):
    quotas = [Fraction(share, 10) * samples for share in (7, 2, 1)]
    exact = [int(quota) for quota in quotas]
    rest = sorted(range(3), key=lambda i: exact[i] - quotas[i])[: samples - sum(exact)]
    assert apportioned(samples, (0.7, 0.9)).tolist() == [size + (i in rest) for i, size in enumerate(exact)]


# --- the digits


@pytest.fixture(scope="module", params=[False, True], ids=["drawn", "stratified"])
def images(request):
    return digits(rng(0), request.param)


def test_the_split_of_the_digits_is_the_recorded_one():
    """Curves of earlier reports were made with it."""
    parts = digits(rng(0))
    assert sizes(parts) == [1258, 359, 180]
    assert parts.train[0] is parts[0][0]
    assert parts.test[0] is parts[2][0]
    order = rng(0).permutation(1797)
    data = load_digits()
    for (x, y), samples in zip(parts, np.split(order, [1258, 1617]), strict=True):
        assert np.array_equal(x, data.data[samples] / 16)
        assert np.array_equal(y.argmax(axis=1), data.target[samples])


def test_every_image_is_there_once_with_its_label(images):
    """No overlap: the images are distinct, and together they are the package's own."""
    data = load_digits()
    x, y = joined(images)
    expected = sorted((*pixels, label) for pixels, label in zip(data.data.tolist(), data.target.tolist(), strict=True))
    observed = sorted(
        (*pixels, label) for pixels, label in zip((x * 16).tolist(), y.argmax(axis=1).tolist(), strict=True)
    )
    assert observed == expected
    assert len({tuple(pixels) for pixels in x.tolist()}) == 1797


def test_labels_are_one_hot(images):
    _, y = joined(images)
    assert y.shape == (1797, 10)
    assert set(np.unique(y)) == {0, 1}
    assert (y.sum(axis=1) == 1).all()
    assert all(y.any(axis=0).all() for _, y in images)


def test_pixels_are_sixteenths_and_exact_in_every_format(images):
    x, _ = joined(images)
    assert x.shape == (1797, 64)
    assert (x.min(), x.max()) == (0, 1)
    assert np.array_equal(x * 16, np.round(x * 16))
    for dtype in ("float16", "float32"):
        assert np.array_equal(x.astype(dtype), x)


def test_stratified_the_digits_are_70_20_10_but_for_a_sample_a_class():
    counts = share_of_each_class(digits(rng(0), stratified=True))
    assert counts.sum() == 1797
    assert np.abs(counts.sum(axis=1) - [1258, 359, 180]).max() <= 10


# --- what is drawn


@pytest.mark.parametrize("data", [*DRAWN.values(), digits, lambda rng: digits(rng, stratified=True)])
def test_a_seed_has_its_data(data):
    assert equal(data(rng(0)), data(rng(0)))
    assert not np.array_equal(data(rng(0)).train[0], data(rng(1)).train[0])


@pytest.mark.parametrize("samples", [10, 137, 1000])
@pytest.mark.parametrize("name", DRAWN)
def test_as_many_samples_as_asked_for_70_20_10_and_none_twice(name, samples):
    parts = DRAWN[name](rng(), samples)
    ends = [0, round(0.7 * samples), round(0.9 * samples), samples]
    assert sizes(parts) == np.diff(ends).tolist()
    x, _ = joined(parts)
    assert len({tuple(row) for row in x.tolist()}) == samples


@pytest.mark.parametrize("name", DRAWN)
def test_inputs_are_numbers_of_float32_in_float64(name):
    x, y = joined(DRAWN[name](rng(), 500))
    assert x.dtype == y.dtype == "float64"
    for array in (x, y):
        assert np.isfinite(array).all()
        assert np.array_equal(array.astype("float32"), array)
    assert not np.array_equal(x.astype("float16"), x)


@pytest.mark.parametrize("name", WITH_CLASSES)
def test_the_two_classes_are_one_hot(name):
    _, y = joined(WITH_CLASSES[name](rng(), 500))
    assert y.shape == (500, 2)
    assert set(np.unique(y)) == {0, 1}
    assert (y.sum(axis=1) == 1).all()
    assert y.sum(axis=0).min() > 200
    if name == "spirals":
        assert y.sum(axis=0).tolist() == [250, 250]


def accuracy_of(fit, parts):
    """Of the class that `fit` gives: accuracies on the training, the validation and the test set."""
    return [float((fit(x).argmax(axis=1) == y.argmax(axis=1)).mean()) for x, y in parts]


def least_squares(x, y):
    """The best linear map with a bias, as a classifier."""
    A, *_ = np.linalg.lstsq(np.column_stack((x, np.ones(len(x)))), y)
    return lambda x: np.column_stack((x, np.ones(len(x)))) @ A


def nearest(x, y):
    """The class of the nearest training sample."""
    return lambda new: y[np.square(new[:, np.newaxis] - x).sum(axis=2).argmin(axis=1)]


@pytest.mark.parametrize("samples", [None, 1000])
@pytest.mark.parametrize("name", WITH_CLASSES)
def test_a_linear_classifier_fails(name, samples):
    """What these tasks are for: no network without a hidden layer learns them.

    Of 20 draws, since the least squares of xor are a chance of each: its true best slope is 0.
    """
    found = []
    for seed in range(20):
        parts = WITH_CLASSES[name](rng(seed), *([] if samples is None else [samples]))
        found += accuracy_of(least_squares(*parts.train), [joined(parts)])
    assert 0.45 < np.mean(found) < 0.65
    assert np.quantile(found, 0.9) < 0.7


def best_line(x, y):
    """The best accuracy of any line in one of 32 directions, either side of it being either class."""
    classes, best = y[:, 1], 0.0
    for angle in np.linspace(0, np.pi, 32, endpoint=False):
        ordered = classes[(x @ (np.cos(angle), np.sin(angle))).argsort()]
        right = np.cumsum(np.concatenate(([0], 1 - ordered))) + np.cumsum(np.concatenate(([0], ordered[::-1])))[::-1]
        best = max(best, right.max() / len(x), 1 - right.min() / len(x))
    return best


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", WITH_CLASSES)
def test_no_line_separates_the_classes_and_the_nearest_neighbour_does(name, seed):
    parts = WITH_CLASSES[name](rng(seed))
    assert best_line(*joined(parts)) < 0.8
    assert min(accuracy_of(nearest(*parts.train), parts)) > 0.95


def test_a_line_that_separates_is_found():
    """So the one above would."""
    x = rng().normal(size=(100, 2))
    assert best_line(x, np.eye(2)[(x @ (3, -2) > 0.5).astype(int)]) > 0.9


def test_a_linear_classifier_learns_the_digits():
    """So the one above is able to."""
    parts = digits(rng())
    assert min(accuracy_of(least_squares(*parts.train), parts)) > 0.85


def test_xor_is_the_sign_of_the_product_away_from_the_axes():
    x, y = joined(xor(rng(), 1000))
    assert np.array_equal(y[:, 1] == 1, x[:, 0] * x[:, 1] < 0)
    assert (np.abs(x).min() >= 0.1, np.abs(x).max() <= 1) == (True, True)
    quadrants = np.unique(np.sign(x), axis=0, return_counts=True)[1]
    assert len(quadrants) == 4
    assert quadrants.min() > 200


def test_spirals_lie_on_their_curves():
    """By the angle that a radius has, within the noise: deviation 0.02 along the radius and across."""
    x, y = joined(spirals(rng(), 1000))
    r, phi = np.hypot(*x.T), np.arctan2(x[:, 1], x[:, 0])
    off = (phi - 4 * np.pi * r - np.pi * y[:, 1] + np.pi) % (2 * np.pi) - np.pi
    outer = r > 0.5
    assert (np.abs(off[outer]) < 5 * 0.02 * (4 * np.pi + 2)).all()
    assert 0.02 * 4 * np.pi * 0.9 < off[outer].std() < 0.02 * (4 * np.pi + 2)
    assert (r.min() > 0, r.max() < 1 + 5 * 0.02) == (True, True)


@pytest.mark.parametrize("widths", [(4, 6, 3), (2, 5, 5, 1), (3, 2)])
def test_a_teacher_has_the_widths_asked_for(widths):
    parts = teacher(rng(), 50, widths)
    for x, y in parts:
        assert (x.shape[1], y.shape[1]) == (widths[0], widths[-1])


def test_the_targets_of_a_teacher_are_a_function_of_its_inputs_that_is_not_linear():
    x, y = joined(teacher(rng(), 1000))
    fit = least_squares(x, y)(x)
    unexplained = np.square(y - fit).mean(axis=0) / y.var(axis=0)
    assert (unexplained > 0.005).all()
    n0, n1, n2 = 4, 6, 3
    again = rng()
    inputs = again.normal(size=(1000, n0))
    W1, W2 = again.normal(size=(n1, n0)) / 2, again.normal(size=(n2, n1)) / np.sqrt(6)
    order = again.permutation(1000)
    assert np.array_equal(x, inputs[order].astype("float32"))
    assert np.allclose(y, np.tanh(x @ W1.T) @ W2.T, rtol=1e-6, atol=1e-6)


def test_a_teacher_without_a_hidden_layer_is_linear():
    x, y = joined(teacher(rng(), 200, (3, 2)))
    assert np.allclose(least_squares(x, y)(x), y, atol=1e-6)
