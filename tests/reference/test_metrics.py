"""Metrics against counts by hand and scikit-learn; some classes never occur, and some are never predicted."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sklearn import metrics as sklearn

from reference.metrics import AVERAGES, accuracy, averaged, confusion_matrix, f1, precision, recall

ONE_HOT = np.eye(3)


# --- accuracy


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
def test_accuracy_is_the_share_of_samples_whose_largest_output_is_labelled(a, classes, expected):
    assert accuracy(np.array(a), ONE_HOT[classes]) == expected


@given(st.lists(st.tuples(st.permutations([0.1, 0.3, 0.6]), st.integers(0, 2)), min_size=1, max_size=30))
def test_accuracy_is_what_counting_gives(samples):
    right = sum(a.index(max(a)) == label for a, label in samples)
    a, y = np.array([a for a, _ in samples]), ONE_HOT[[label for _, label in samples]]
    assert accuracy(a, y) == right / len(samples)


def test_accuracy_is_a_python_float():
    assert type(accuracy(ONE_HOT, ONE_HOT)) is float


# --- against scikit-learn


@st.composite
def labels(draw):
    """True classes, predicted classes and their number K; few samples for many classes, so that some never occur."""
    classes = draw(st.integers(1, 7))
    pairs = st.tuples(st.integers(0, classes - 1), st.integers(0, classes - 1))
    true, predicted = zip(*draw(st.lists(pairs, min_size=1, max_size=25)), strict=True)
    return np.array(true), np.array(predicted), classes


NEVER_PREDICTED = (np.array([0, 1, 1, 2]), np.array([0, 0, 1, 1]), 3)
NEVER_OCCURS = (np.array([0, 1, 1, 0]), np.array([0, 2, 1, 1]), 3)
NEITHER = (np.array([0, 2, 2]), np.array([2, 2, 0]), 4)
NOTHING_RIGHT = (np.array([0, 1, 2]), np.array([1, 2, 0]), 3)
MIXED = (np.array([0, 0, 0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 1, 2, 1, 0, 1]), 4)

RIGHT = [(precision, sklearn.precision_score), (recall, sklearn.recall_score), (f1, sklearn.f1_score)]


def departures(metric, theirs, true, predicted, classes):
    """The averages for which a metric is not scikit-learn's, with zero_division=0 and every class counted.

    All terms are positive, and a number passes through at most K + 5 roundings on either side.
    """
    C = confusion_matrix(true, predicted, classes)
    allowed = 2 * (classes + 5) * np.finfo(np.float64).eps / 2

    def agrees(average):
        expected = theirs(true, predicted, labels=range(classes), average=average, zero_division=0)
        observed = metric(C, average)
        return np.shape(observed) == np.shape(expected) and np.all(np.abs(observed - expected) <= allowed * expected)

    return [average for average in AVERAGES if not agrees(average)]


@given(labels())
@example(NEVER_PREDICTED)
@example(NEVER_OCCURS)
@example(NEITHER)
def test_the_confusion_matrix_is_scikit_learns(drawn):
    true, predicted, classes = drawn
    # scikit-learn warns of a single class, so it is given one more
    expected = sklearn.confusion_matrix(true, predicted, labels=range(classes + 1))[:classes, :classes]
    assert np.array_equal(confusion_matrix(true, predicted, classes), expected)


@pytest.mark.parametrize(("metric", "theirs"), RIGHT)
@given(drawn=labels())
@example(drawn=NEVER_PREDICTED)
@example(drawn=NEVER_OCCURS)
@example(drawn=NEITHER)
@example(drawn=NOTHING_RIGHT)
@example(drawn=MIXED)
def test_metrics_are_scikit_learns(metric, theirs, drawn):
    assert departures(metric, theirs, *drawn) == []


@given(labels())
def test_every_micro_average_is_the_accuracy(drawn):
    """Each sample has one class and one prediction, so a false positive of one class is a false negative of another."""
    true, predicted, classes = drawn
    C = confusion_matrix(true, predicted, classes)
    expected = accuracy(np.eye(classes)[predicted], np.eye(classes)[true])
    assert precision(C, "micro") == recall(C, "micro") == f1(C, "micro") == expected


# --- wrong ones are caught


def transposed(metric):
    """Rows taken for predictions."""
    return lambda C, average: metric(C.T, average)


def occurring_only(metric):
    """A macro average without the classes that never occur."""

    def wrong(C, average):
        if average == "macro":
            return float(metric(C, None)[C.sum(axis=1) > 0].mean())
        return metric(C, average)

    return wrong


def f1_of_averages(C, average):
    """The harmonic mean of averaged precision and recall."""
    p, r = precision(C, average), recall(C, average)
    return 2 * p * r / np.where(p + r == 0, 1, p + r)


def weighted_by_predictions(C, average):
    return averaged(np.diag(C), C.sum(axis=0), C.sum(axis=0), average)


def undefined_is(value):
    """Precision with another value for a class that is never predicted."""

    def wrong(C, average):
        if average is None:
            return np.where(C.sum(axis=0) == 0, value, precision(C))
        return precision(C, average)

    return wrong


WRONG = {
    "recall for precision": (recall, sklearn.precision_score, [None, "macro", "weighted"]),
    "precision for recall": (precision, sklearn.recall_score, [None, "macro", "weighted"]),
    "rows for columns": (transposed(precision), sklearn.precision_score, [None, "macro", "weighted"]),
    "macro over the classes that occur": (occurring_only(recall), sklearn.recall_score, ["macro"]),
    "F1 of the averages": (f1_of_averages, sklearn.f1_score, ["macro", "weighted"]),
    "weighted by predictions": (weighted_by_predictions, sklearn.precision_score, ["weighted"]),
    "1 where nothing is predicted": (undefined_is(1.0), sklearn.precision_score, [None]),
    "NaN where nothing is predicted": (undefined_is(np.nan), sklearn.precision_score, [None]),
    "NaN always": (lambda C, average: precision(C, average) * np.nan, sklearn.precision_score, list(AVERAGES)),
    "one number for all classes": (
        lambda C, _: precision(C, "micro"),
        sklearn.precision_score,
        [None, "macro", "weighted"],
    ),
}


@pytest.mark.parametrize("defect", WRONG)
def test_a_wrong_metric_is_caught(defect):
    """Micro averages forgive what the others do not: precision and recall are there the same."""
    metric, theirs, expected = WRONG[defect]
    assert departures(metric, theirs, *MIXED) == expected


# --- by hand


def test_mixed_by_hand():
    """Rows: class 0 is found twice in 5, class 1 once in 2, class 2 never, and class 3 never occurs."""
    C = confusion_matrix(*MIXED)
    assert C.tolist() == [[2, 2, 1, 0], [1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    assert precision(C).tolist() == [2 / 3, 1 / 4, 0, 0]
    assert recall(C).tolist() == [2 / 5, 1 / 2, 0, 0]
    assert f1(C).tolist() == [4 / 8, 2 / 6, 0, 0]
    assert recall(C, "micro") == 3 / 8
    assert recall(C, "macro") == (2 / 5 + 1 / 2) / 4
    assert recall(C, "weighted") == 3 / 8
    assert f1(C, "weighted") == pytest.approx((5 * 4 / 8 + 2 * 2 / 6) / 8, rel=1e-15)


@pytest.mark.parametrize("average", ["micro", "macro", "weighted"])
@pytest.mark.parametrize("metric", [precision, recall, f1])
def test_averages_are_python_floats(metric, average):
    assert type(metric(confusion_matrix(*MIXED), average)) is float


@pytest.mark.parametrize("average", ["micro", "macro", "weighted"])
@pytest.mark.parametrize("metric", [precision, recall, f1])
def test_no_samples_give_0(metric, average):
    C = confusion_matrix([], [], 3)
    assert C.tolist() == [[0] * 3] * 3
    assert metric(C).tolist() == [0, 0, 0]
    assert metric(C, average) == 0


def test_narrow_integers_do_not_overflow():
    true = np.array([200, 255], dtype="uint8")
    assert confusion_matrix(true, true, 256)[[200, 255], [200, 255]].tolist() == [1, 1]


# --- bad input


@pytest.mark.parametrize(
    ("true", "predicted", "classes", "message"),
    [
        ([0, 1, 3], [0, 1, 2], 3, "true[2] is 3, but should be between 0 and 2"),
        ([0, 1, 2], [0, -1, 2], 3, "predicted[1] is -1, but should be between 0 and 2"),
        ([0, 1], [0, 1, 2], 3, "predicted has 3 samples, but should have 2, as true has"),
        ([0.0, 1.0], [0, 1], 2, "true is float64 of shape (2,), but should be integers of shape (samples,)"),
        ([0, 1], [[0], [1]], 2, "predicted is int64 of shape (2, 1), but should be integers of shape (samples,)"),
        ([], [], 0, "classes is 0, but should be at least 1"),
    ],
)
def test_bad_classes_are_refused(true, predicted, classes, message):
    with pytest.raises(ValueError, match="but should") as error:
        confusion_matrix(true, predicted, classes)
    assert str(error.value) == message


@pytest.mark.parametrize("metric", [precision, recall, f1])
def test_an_unknown_average_is_refused(metric):
    with pytest.raises(ValueError, match="unknown") as error:
        metric(confusion_matrix(*MIXED), "mean")
    assert str(error.value) == "average 'mean' is unknown: choose from None, micro, macro, weighted"
