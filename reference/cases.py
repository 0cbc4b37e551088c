"""Random Cases from a recorded seed."""

from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

import numpy as np

from reference.activations import ACTIVATIONS, HIDDEN, OUTPUT
from reference.arrays import Array
from reference.case import Case, fits
from reference.equations import total_input
from reference.losses import LOSSES
from reference.rounding import HALF, rounded


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


USUAL_HIDDEN, USUAL_OUTPUT, USUAL_LOSS = "tanh", "identity", "half_squared_error"
"""What any engine has: a combination of one function with these is computed wherever that function is."""


@cache
def neighbours() -> tuple[Combination, ...]:
    """Combinations in which every two functions that are neighbours in a network meet: (f_h, f_o) and (f_o, loss).

    Every (f_h, f_o) has the usual loss, every (f_o, loss) the usual f_h. No equation takes both f_h and the loss: (9)
    takes f_o and the loss, (14) the f of its own layer and δ of the next one.
    """
    pairs = [Combination(hidden, output, USUAL_LOSS) for hidden in HIDDEN for output in OUTPUT]
    return (*pairs, *(names for names in cover() if names.loss != USUAL_LOSS))


@cache
def cover() -> tuple[Combination, ...]:
    """Every (f_o, loss) with the usual f_h."""
    return tuple(names for names in COMBINATIONS if names.hidden == USUAL_HIDDEN)


@cache
def once() -> tuple[Combination, ...]:
    """Neighbours in which every activation occurs as f_h, where it can, and as f_o, and every loss.

    An activation stands in both roles of one combination, so that an engine that lacks it loses no other function.
    """
    of_losses = [(loss.outputs[0] if loss.outputs else USUAL_OUTPUT, name) for name, loss in LOSSES.items()]
    return (
        *(Combination(f, f, USUAL_LOSS) for f in HIDDEN),
        *(Combination(USUAL_HIDDEN, output, loss) for output, loss in of_losses if loss != USUAL_LOSS),
    )


def draw_one_width(rng: np.random.Generator) -> Shape:
    """A shape whose layers all have one width, 5 … 12, so that an engine compiles a function once for all of them."""
    return Shape((int(rng.integers(5, MOST_UNITS + 1)),) * 4, int(rng.integers(2, MOST_SAMPLES + 1)))


def draw_shape(rng: np.random.Generator) -> Shape:
    """Three layers that compute, so that (11)–(14) link hidden layers; widths 2 … 12, batch 1 … 16."""
    widths = tuple(int(n) for n in rng.integers(2, MOST_UNITS + 1, size=4))
    return Shape(widths, int(rng.integers(1, MOST_SAMPLES + 1)))


LARGEST_TOTAL_INPUT = 15.0
"""|z| of a drawn Case. At 15 a sigmoid is still 3·10⁻⁷ from 1, which float32 can tell; beyond, a loss on probabilities
is given a rounded 0 or 1, and torch's softplus turns linear (20). What each engine does there is asserted by example,
in tests/adapters/test_saturation.py, and listed by `python -m reports divergences`."""

LARGEST_IN_HALF = 4.0
"""|z| of the output layer in half precision, for the same reason: σ(4) = 1 − 0.018 is 5 numbers of bfloat16 from 1, and
a softmax's smallest a is above 2·10⁻⁵, so that 1/a does not exceed float16."""


def draw_case(
    rng: np.random.Generator, combination: Combination, shape: Shape, dtype: str, usual: bool = False
) -> Case:
    """Normal weights of standard deviation g/√n^{l-1}, g between ½ and 2; normal inputs; labels that fit the loss.

    Labels of a cross-entropy are hard in one half of the Cases and soft in the other; the parameters of the functions
    are drawn, unless they are to have their usual values.
    """
    widths, samples = shape
    gain = 2 ** rng.uniform(-1, 1)
    layers = range(1, len(widths))
    W = {l: rng.normal(size=(widths[l], widths[l - 1])) * gain / np.sqrt(widths[l - 1]) for l in layers}
    b = {l: rng.normal(size=widths[l]) / 2 for l in layers}
    W, b = ({l: rounded(array, dtype) for l, array in layers.items()} for layers in (W, b))
    x = rounded(rng.normal(size=(samples, widths[0])), dtype)
    y = rounded(draw_labels(rng, LOSSES[combination.loss].labels, samples, widths[-1]), dtype)
    parameters = {} if usual else draw_parameters(rng, combination, dtype)
    return tempered(Case(*combination, dtype, W, b, x, y, parameters))


def scaled(parameters: Mapping[str, float], factor: float, dtype: str) -> dict[str, float]:
    """Parameters times a factor, as numbers of the format."""
    return {name: float(rounded(value * factor, dtype)) for name, value in parameters.items()}


def draw_parameters(rng: np.random.Generator, combination: Combination, dtype: str) -> dict[str, dict[str, float]]:
    """Between half and twice the usual value of each parameter of the functions, as a number of the format."""
    usual = {
        "hidden": ACTIVATIONS[combination.hidden].parameters,
        "output": ACTIVATIONS[combination.output].parameters,
        "loss": LOSSES[combination.loss].parameters,
    }
    return {
        role: {name: float(rounded(value * 2 ** rng.uniform(-1, 1), dtype)) for name, value in given.items()}
        for role, given in usual.items()
    }


def tempered(case: Case) -> Case:
    """The Case with each layer halved until its |z| is at most what is drawn; halving a subnormal number rounds."""
    W, b, a = dict(case.W), dict(case.b), case.x
    for l in case.layers:
        largest = LARGEST_IN_HALF if case.dtype in HALF and l == case.last else LARGEST_TOTAL_INPUT
        while np.abs(total_input(W[l], b[l], a)).max() > largest:
            W[l], b[l] = (rounded(array / 2, case.dtype) for array in (W[l], b[l]))
        a = case.activation(l).value(total_input(W[l], b[l], a))
    return case.with_parameters(W, b)


def draw_labels(rng: np.random.Generator, labels: str, samples: int, width: int) -> Array:
    """Labels of the kind that a loss asks for: probabilities are hard, 0 or 1, in one half of the draws."""
    shape = samples, width
    if labels in ("real", "direction"):
        return rng.normal(size=shape)
    if labels == "sign":
        return rng.choice([-1.0, 1.0], size=shape)
    if labels == "count":
        return rng.poisson(2, size=shape).astype(float)
    if labels == "class" or rng.random() < 0.5:
        one_hot = np.eye(width)[rng.integers(width, size=samples)]
        return one_hot if labels != "probability" else rng.integers(2, size=shape).astype(float)
    return rng.dirichlet(np.ones(width), size=samples) if labels == "distribution" else rng.random(shape)
