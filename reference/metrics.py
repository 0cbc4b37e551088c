"""How good a trained network is."""

import numpy as np

from reference.arrays import Array


def accuracy(a: Array, y: Array) -> float:
    """Share of samples whose largest output is the labelled class.

    1/N Σ_i 1[argmax_t a_ti = argmax_t y_ti];  shapes: (N, n), one-hot (N, n) -> a number in [0, 1].
    """
    return float(np.mean(a.argmax(axis=1) == y.argmax(axis=1)))
