"""The two shapes that data takes here: one array, and one array a layer."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
"""Real numbers of one format; over a batch, one row a sample."""

Layers = Mapping[int, Array]
"""An array for each layer l, by the layer's own number: `W[l]` is the note's W^l."""


def as_float64(layers: Layers) -> dict[int, Array]:
    """The same numbers in float64, which holds every narrower format exactly."""
    return {l: np.asarray(array, dtype=np.float64) for l, array in layers.items()}
