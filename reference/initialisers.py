"""Initial weights."""

import numpy as np

from reference.arrays import Array


def glorot_uniform(rng: np.random.Generator, units: int, inputs: int) -> Array:
    """Uniform on ±√(6/(n^l + n^{l-1})), so that activations and error terms keep their variance from layer to layer.

    Shape: (n^l, n^{l-1}). Source: Glorot and Bengio, *Understanding the difficulty of training deep feedforward neural
    networks*, AISTATS 2010, eq. (16).
    """
    limit = np.sqrt(6 / (units + inputs))
    return rng.uniform(-limit, limit, size=(units, inputs))
