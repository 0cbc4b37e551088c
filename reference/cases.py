"""Random Cases from a recorded seed."""

from typing import NamedTuple

import numpy as np

from reference.activations import ACTIVATIONS, HIDDEN, OUTPUT
from reference.arrays import Array
from reference.case import Case, fits
from reference.equations import total_input
from reference.losses import LOSSES


class Combination(NamedTuple):
    """Hidden activation f_h, output activation f_o and loss."""

    hidden: str
    output: str
    loss: str


class Shape(NamedTuple):
    """Widths n^0 … n^{L-1} and batch size N."""

    widths: tuple[int, ...]
    samples: int


COMBINATIONS = tuple(
    Combination(hidden, output, loss) for hidden in HIDDEN for output in OUTPUT for loss in LOSSES if fits(output, loss)
)
"""Every valid (hidden, output, loss)."""

MOST_UNITS, MOST_SAMPLES = 12, 16


def draw_shape(rng: np.random.Generator) -> Shape:
    """Three layers that compute, so that (11)–(14) link hidden layers; widths 2 … 12, batch 1 … 16."""
    widths = tuple(int(n) for n in rng.integers(2, MOST_UNITS + 1, size=4))
    return Shape(widths, int(rng.integers(1, MOST_SAMPLES + 1)))


LARGEST_TOTAL_INPUT = 15.0
"""|z| of a drawn Case. At 15 a sigmoid is still 3·10⁻⁷ from 1, which float32 can tell; beyond, a loss on probabilities
is given a rounded 0 or 1, and torch's softplus turns linear (20). What each engine does there is asserted by example,
in tests/adapters/test_saturation.py."""


def draw_case(rng: np.random.Generator, combination: Combination, shape: Shape, dtype: str) -> Case:
    """Normal weights of standard deviation g/√n^{l-1}, g between ½ and 2; normal inputs; labels that fit the loss.

    Labels of a cross-entropy are hard in one half of the Cases and soft in the other.
    """
    widths, samples = shape
    gain = 2 ** rng.uniform(-1, 1)

    def rounded(array: Array) -> Array:
        return array.astype(dtype).astype(np.float64)

    layers = range(1, len(widths))
    W = {l: rounded(rng.normal(size=(widths[l], widths[l - 1])) * gain / np.sqrt(widths[l - 1])) for l in layers}
    b = {l: rounded(rng.normal(size=widths[l]) / 2) for l in layers}
    x = rounded(rng.normal(size=(samples, widths[0])))
    y = rounded(draw_labels(rng, combination, samples, widths[-1]))
    return tempered(Case(*combination, dtype, W, b, x, y))


def tempered(case: Case) -> Case:
    """The Case with each layer halved until its |z| is at most LARGEST_TOTAL_INPUT; halving is exact in any format."""
    W, b, a = dict(case.W), dict(case.b), case.x
    for l in case.layers:
        while np.abs(total_input(W[l], b[l], a)).max() > LARGEST_TOTAL_INPUT:
            W[l], b[l] = W[l] / 2, b[l] / 2
        a = ACTIVATIONS[case.activation(l)].value(total_input(W[l], b[l], a))
    return case.with_parameters(W, b)


def draw_labels(rng: np.random.Generator, combination: Combination, samples: int, width: int) -> Array:
    """Real labels for a loss on every output; probabilities otherwise, each row summing to 1 where f_o is coupled."""
    if not LOSSES[combination.loss].outputs:
        return rng.normal(size=(samples, width))
    hard = rng.random() < 0.5
    if ACTIVATIONS[combination.output].coupled:
        return np.eye(width)[rng.integers(width, size=samples)] if hard else rng.dirichlet(np.ones(width), size=samples)
    return rng.integers(2, size=(samples, width)).astype(float) if hard else rng.random((samples, width))
