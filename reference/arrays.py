"""The two shapes that data takes here: one array, and one array a layer."""

from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
"""Real numbers of one format; over a batch, one row a sample."""

Layers = Mapping[int, Array]
"""An array for each layer l, by the layer's own number: `W[l]` is the note's W^l."""


Place = tuple[str, int]
"""Which parameter: ("W", l) or ("b", l)."""

Tree = Mapping[Place, Array]
"""An array for every parameter."""


T = TypeVar("T")


def as_float64(layers: Layers) -> dict[int, Array]:
    """The same numbers in float64, which holds every narrower format exactly."""
    return {l: np.asarray(array, dtype=np.float64) for l, array in layers.items()}


def tree(W: Mapping[int, T], b: Mapping[int, T]) -> dict[Place, T]:
    """W and b by place, layer by layer."""
    return {place: array for l in W for place, array in ((("W", l), W[l]), (("b", l), b[l]))}


def layers(values: Mapping[Place, T], which: str) -> dict[int, T]:
    """Those of W, or of b, by layer."""
    return {l: array for (name, l), array in values.items() if name == which}
