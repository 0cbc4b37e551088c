"""How good a trained network is: from outputs or classes to a confusion matrix, and from that to one number or K.

C_ij     samples of class i that were predicted as class j, (K, K)
TP_t     C_tt, class t's own that were found
TP + FP  Σ_i C_it, how often t was predicted
TP + FN  Σ_j C_tj, how often t occurs: its support
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reference.arrays import Array

AVERAGES = (None, "micro", "macro", "weighted")


def accuracy(a: Array, y: Array) -> float:
    """Share of samples whose largest output is the labelled class.

    1/N Σ_i 1[argmax_t a_ti = argmax_t y_ti];  shapes: (N, n), one-hot (N, n) -> a number in [0, 1].
    Convention: of equal outputs the first counts. It is the micro average of precision, recall and F1.
    """
    return float(np.mean(a.argmax(axis=1) == y.argmax(axis=1)))


def confusion_matrix(true: ArrayLike, predicted: ArrayLike, classes: int) -> NDArray[np.int64]:
    """How often each class was taken for each.

    C_ij = Σ_n 1[true_n = i, predicted_n = j];  (N,), (N,) of integers 0 … K−1 -> (K, K).
    Convention: a row a true class, a column a predicted one, as scikit-learn.
    Raises ValueError if the arrays differ in length, are not of integers, or hold a class outside 0 … classes − 1.
    """
    if classes < 1:
        raise ValueError(f"classes is {classes}, but should be at least 1")
    rows, columns = class_indices("true", true, classes), class_indices("predicted", predicted, classes)
    if len(rows) != len(columns):
        raise ValueError(f"predicted has {len(columns)} samples, but should have {len(rows)}, as true has")
    C = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(C, (rows, columns), 1)  # C[rows, columns] += 1 would count a repeated pair once
    return C


def class_indices(name: str, indices: ArrayLike, classes: int) -> NDArray[Any]:
    """The indices as an array; raises ValueError, naming the first that is wrong."""
    array = np.asarray(indices)
    if array.ndim != 1 or (array.size and not np.issubdtype(array.dtype, np.integer)):
        raise ValueError(f"{name} is {array.dtype} of shape {array.shape}, but should be integers of shape (samples,)")
    outside = np.flatnonzero((array < 0) | (array >= classes))
    if outside.size:
        raise ValueError(f"{name}[{outside[0]}] is {array[outside[0]]}, but should be between 0 and {classes - 1}")
    return array.astype(np.intp)


def precision(C: NDArray[Any], average: str | None = None) -> Array | float:
    """Of the samples predicted as t, the share that is t.

    TP/(TP + FP);  (K, K) -> (K,), or a number for an average.
    Convention: 0 for a class that is never predicted, as scikit-learn's zero_division=0. Averages: see `averaged`.
    """
    return averaged(np.diag(C), C.sum(axis=0), C.sum(axis=1), average)


def recall(C: NDArray[Any], average: str | None = None) -> Array | float:
    """Of the samples that are t, the share predicted as t.

    TP/(TP + FN);  (K, K) -> (K,), or a number for an average.
    Convention: 0 for a class that never occurs, as scikit-learn's zero_division=0. Averages: see `averaged`.
    """
    return averaged(np.diag(C), C.sum(axis=1), C.sum(axis=1), average)


def f1(C: NDArray[Any], average: str | None = None) -> Array | float:
    """The harmonic mean of precision and recall.

    2 TP/((TP + FP) + (TP + FN));  (K, K) -> (K,), or a number for an average.
    Convention: 0 for a class that neither occurs nor is predicted, as scikit-learn's zero_division=0. An average is one
    of the classes' F1, not the F1 of averaged precision and recall. Averages: see `averaged`.
    """
    return averaged(2 * np.diag(C), C.sum(axis=0) + C.sum(axis=1), C.sum(axis=1), average)


def averaged(part: NDArray[Any], whole: NDArray[Any], support: NDArray[Any], average: str | None) -> Array | float:
    """A ratio r_t = part_t/whole_t of each class, averaged.

    None r_t;  "micro" Σ part/Σ whole;  "macro" 1/K Σ r_t;  "weighted" Σ support_t r_t/Σ support;  all (K,).
    Convention: a ratio to nothing is 0, and "macro" counts the classes that never occur.
    Raises ValueError for an unknown average.
    """
    if average not in AVERAGES:
        raise ValueError(f"average {average!r} is unknown: choose from {', '.join(map(str, AVERAGES))}")
    if average is None:
        return ratio(part, whole)
    if average == "micro":
        return float(ratio(part.sum(), whole.sum()))
    if average == "macro":
        return float(ratio(part, whole).mean())
    return float(ratio(support @ ratio(part, whole), support.sum()))


def ratio(part: ArrayLike, whole: ArrayLike) -> Array:
    """part/whole, and 0 where the whole is 0: the part then is 0 too"""
    return np.asarray(np.divide(part, np.where(np.equal(whole, 0), 1, whole)))
