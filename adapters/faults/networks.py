"""The networks that faults are planted in, as they are drawn and as they are when they are trained."""

import math
import zlib
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize

from adapters.faults.fault import CONVERGED, INITIAL
from reference.activations import ACTIVATIONS
from reference.arrays import Array
from reference.case import Case
from reference.cases import Combination, Shape, draw_case
from reference.losses import LOSSES
from reference.network import forward, trace
from reference.rounding import LARGEST, rounded


class Network(NamedTuple):
    """The functions of a network, its widths, and the parameters that are not the usual ones."""

    combination: Combination
    widths: tuple[int, ...] = (8, 16, 16, 4)
    parameters: dict[str, dict[str, float]] = {}  # noqa: RUF012 - never written to


SAMPLES = 32

HALF_SQUARED = "sigmoid", "half_squared_error"

NETWORKS = {
    "tanh": Network(Combination("tanh", *HALF_SQUARED)),
    "sigmoid": Network(Combination("sigmoid", *HALF_SQUARED)),
    "relu": Network(Combination("relu", *HALF_SQUARED)),
    "leaky": Network(Combination("leaky_relu", *HALF_SQUARED), parameters={"hidden": {"slope": 0.25}}),
    "elu": Network(Combination("elu", *HALF_SQUARED), parameters={"hidden": {"alpha": 2.0}}),
    "selu": Network(Combination("selu", *HALF_SQUARED)),
    "gelu": Network(Combination("gelu", *HALF_SQUARED)),
    "gelu_tanh": Network(Combination("gelu_tanh", *HALF_SQUARED)),
    "silu": Network(Combination("silu", *HALF_SQUARED)),
    "mish": Network(Combination("mish", *HALF_SQUARED)),
    "softsign": Network(Combination("softsign", *HALF_SQUARED)),
    "softplus": Network(Combination("softplus", *HALF_SQUARED)),
    "hardtanh": Network(Combination("hardtanh", *HALF_SQUARED)),
    "hardswish": Network(Combination("hardswish", *HALF_SQUARED)),
    "logsigmoid": Network(Combination("logsigmoid", *HALF_SQUARED)),
    "one output": Network(Combination("tanh", *HALF_SQUARED), (8, 16, 16, 1)),
    "regression": Network(Combination("tanh", "identity", "half_squared_error")),
    "mean squared": Network(Combination("tanh", "sigmoid", "mean_squared_error")),
    "absolute": Network(Combination("tanh", "identity", "absolute_error")),
    "huber": Network(Combination("tanh", "identity", "huber"), parameters={"loss": {"delta": 0.25}}),
    "smooth": Network(Combination("tanh", "identity", "smooth_l1"), parameters={"loss": {"beta": 0.5}}),
    "hinge": Network(Combination("tanh", "identity", "hinge")),
    "poisson": Network(Combination("tanh", "identity", "poisson_nll")),
    "cosine": Network(Combination("tanh", "identity", "cosine_distance")),
    "gaussian": Network(Combination("tanh", "identity", "gaussian_nll"), parameters={"loss": {"variance": 0.5}}),
    "bernoulli": Network(Combination("tanh", "sigmoid", "binary_cross_entropy")),
    "bernoulli logits": Network(Combination("tanh", "sigmoid", "binary_cross_entropy_on_logits")),
    "softmax": Network(Combination("tanh", "softmax", "categorical_cross_entropy")),
    "logits": Network(Combination("tanh", "softmax", "categorical_cross_entropy_on_logits")),
    "smoothed": Network(
        Combination("tanh", "softmax", "smoothed_cross_entropy_on_logits"), parameters={"loss": {"smoothing": 0.25}}
    ),
    "log-softmax": Network(Combination("tanh", "log_softmax", "negative_log_likelihood")),
    "divergence": Network(Combination("tanh", "log_softmax", "kullback_leibler")),
    "log-softmax regression": Network(Combination("tanh", "log_softmax", "half_squared_error")),
    "overflow": Network(Combination("sigmoid", *HALF_SQUARED)),
}

SMALL = 1e-5
"""The largest |∂L/∂w| of a network near convergence: there an absolute tolerance of 10⁻⁵ sees nothing."""


def initial(name: str, dtype: str, seed: int) -> Case:
    """A network as it is drawn."""
    return in_format(drawn(name, seed), dtype, name)


def drawn(name: str, seed: int) -> Case:
    """A network as it is drawn, in float64; its labels are those of a second network, where such can be learned."""
    names, widths, parameters = NETWORKS[name]
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    student, teacher = (draw_case(rng, names, Shape(widths, SAMPLES), "float64", usual=True) for _ in range(2))
    case = replace(student, parameters=parameters)
    if LOSSES[names.loss].labels in LEARNED:
        case = case.on_batch(case.x, within(forward(teacher, teacher.W, teacher.b, case.x)[0][case.last], case))
    return case


LEARNED = ("real", "direction", "probability", "distribution", "count")
"""Labels that a network can come near to: drawn ones would drive it into saturation, where nothing is left to learn."""


def within(z: Array, case: Case) -> Array:
    """Labels that the network's output can take, from another network's total input."""
    return np.exp(z) if case.loss == "poisson_nll" else ACTIVATIONS[LABELLED.get(case.output, case.output)].value(z)


LABELLED = {"log_softmax": "softmax"}
"""Where the loss asks for probabilities and is given their logarithms."""


def converged(name: str, dtype: str, seed: int) -> Case:
    """The same network after training in float64, rounded to the format."""
    return in_format(trained(name, seed), dtype, name)


def in_format(case: Case, dtype: str, name: str) -> Case:
    """The Case with every number rounded to a format; in the network "overflow", z_0^2 does so where a_0^1 > ¼."""
    W, b = ({l: rounded(array, dtype) for l, array in layers.items()} for layers in (case.W, case.b))
    x, y = rounded(case.x, dtype), rounded(case.y, dtype)
    if name == "overflow":
        W[2][0], b[2][0] = 0.0, rounded(LARGEST[dtype] * (1 - 2.0**-6), dtype)
        W[2][0, 0] = LARGEST[dtype] / 16
    return replace(case, dtype=dtype, W=W, b=b, x=x, y=y)


@lru_cache(maxsize=1024)
def trained(name: str, seed: int) -> Case:
    """The network trained by L-BFGS until no |∂L/∂w| exceeds 10⁻⁵, or as far as that gets."""
    case = drawn(name, seed)

    def cost(theta: Array) -> tuple[float, Array]:
        now = trace(at(case, theta))
        return now.loss, np.concatenate([g.ravel() for layers in (now.dW, now.db) for g in layers.values()])

    theta = np.concatenate([p.ravel() for layers in (case.W, case.b) for p in layers.values()])
    optimum = minimize(
        cost, theta, jac=True, method="L-BFGS-B", options={"gtol": SMALL, "ftol": 0, "maxiter": 5000, "maxfun": 6000}
    )
    return at(case, optimum.x)


def at(case: Case, theta: Array) -> Case:
    """The Case with the weights and biases of one long vector."""
    shapes = [array.shape for layers in (case.W, case.b) for array in layers.values()]
    ends = np.cumsum([math.prod(shape) for shape in shapes])[:-1]
    parts = [part.reshape(shape) for part, shape in zip(np.split(theta, ends), shapes, strict=True)]
    W, b = (dict(zip(case.layers, half, strict=True)) for half in (parts[: case.last], parts[case.last :]))
    return case.with_parameters(W, b)


DRAWN: dict[str, Callable[[str, str, int], Case]] = {INITIAL: initial, CONVERGED: converged}
"""The two stages of training."""
