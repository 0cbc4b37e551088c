"""The scalar functions and the losses in ball arithmetic (Arb): every result encloses the true value.

Each is its definition, for there are bits enough for anything that cancels. A float enters a ball exactly.
"""

from collections.abc import Callable
from typing import Any

from flint import arb, ctx

from reference.activations import SELU_ALPHA, SELU_SCALE
from reference.arrays import Array

BITS = 320
"""What cancels at |z| ≤ 80 takes 2·80/log 2 < 231 of them: tanh² z within e^{−160} of 1."""

Ball = Any
Balls = list[Any]

zero, one = arb(0), arb(1)


def exactly() -> None:
    """Compute with BITS bits from here on."""
    ctx.prec = BITS


def balls(values: Array) -> Balls:
    """Floats as balls of radius 0."""
    return [arb(float(value)) for value in values]


def sigmoid(x: Ball) -> Ball:
    return one / (one + (-x).exp())


def sech2(x: Ball) -> Ball:
    return 4 * sigmoid(2 * x) * sigmoid(-2 * x)


def cdf(x: Ball) -> Ball:
    return (-x / arb(2).sqrt()).erfc() / 2


def density(x: Ball) -> Ball:
    return (-x * x / 2).exp() / (2 * arb.pi()).sqrt()


def softplus(x: Ball, beta: float = 1.0) -> Ball:
    return (arb(beta) * x).exp().log1p() / arb(beta)


def cubic(x: Ball) -> Ball:
    """2g of the tanh form of GELU"""
    return 2 * (2 / arb.pi()).sqrt() * (x + arb(0.044715) * x**3)


def cubic_slope(x: Ball) -> Ball:
    return 2 * (2 / arb.pi()).sqrt() * (1 + 3 * arb(0.044715) * x**2)


def mish_derivative(x: Ball) -> Ball:
    return softplus(x).tanh() + x * sech2(softplus(x)) * sigmoid(x)


def root(x: Ball, b: float) -> Ball:
    return (x * x + arb(b)).sqrt()


def clip(x: Ball, low: float, high: float) -> Ball:
    return arb(low) if x < low else arb(high) if x > high else x


def inside(x: Ball, low: float, high: float) -> Ball:
    return one if low < x < high else zero


VALUE: dict[str, Callable[..., Ball]] = {
    "identity": lambda x: x,
    "sigmoid": sigmoid,
    "tanh": lambda x: x.tanh(),
    "logsigmoid": lambda x: -softplus(-x),
    "softplus": softplus,
    "silu": lambda x: x * sigmoid(x),
    "mish": lambda x: x * softplus(x).tanh(),
    "tanhshrink": lambda x: x - x.tanh(),
    "gelu": lambda x: x * cdf(x),
    "gelu_tanh": lambda x: x * sigmoid(cubic(x)),
    "softsign": lambda x: x / (1 + abs(x)),
    "squareplus": lambda x, b: (x + root(x, b)) / 2,
    "elu": lambda x, alpha: x if x > 0 else arb(alpha) * x.expm1(),
    "selu": lambda x: arb(SELU_SCALE) * (x if x > 0 else arb(SELU_ALPHA) * x.expm1()),
    "celu": lambda x, alpha: x if x > 0 else arb(alpha) * (x / arb(alpha)).expm1(),
    "relu": lambda x: x if x > 0 else zero,
    "leaky_relu": lambda x, slope: x if x > 0 else arb(slope) * x,
    "relu6": lambda x: clip(x, 0, 6),
    "hardtanh": lambda x: clip(x, -1, 1),
    "hardsigmoid": lambda x: clip(x + 3, 0, 6) / 6,
    "hardswish": lambda x: x * clip(x + 3, 0, 6) / 6,
    "softshrink": lambda x, threshold: x - clip(x, -threshold, threshold),
    "hardshrink": lambda x, threshold: zero if abs(x) <= threshold else x,
}

DERIVATIVE: dict[str, Callable[..., Ball]] = {
    "identity": lambda x: one,
    "sigmoid": lambda x: sigmoid(x) * sigmoid(-x),
    "tanh": sech2,
    "logsigmoid": lambda x: sigmoid(-x),
    "softplus": lambda x, beta=1.0: sigmoid(arb(beta) * x),
    "silu": lambda x: sigmoid(x) * (1 + x * sigmoid(-x)),
    "mish": mish_derivative,
    "tanhshrink": lambda x: x.tanh() ** 2,
    "gelu": lambda x: cdf(x) + x * density(x),
    "gelu_tanh": lambda x: sigmoid(cubic(x)) * (1 + x * cubic_slope(x) * sigmoid(-cubic(x))),
    "softsign": lambda x: 1 / (1 + abs(x)) ** 2,
    "squareplus": lambda x, b: (1 + x / root(x, b)) / 2,
    "elu": lambda x, alpha: one if x > 0 else arb(alpha) * x.exp(),
    "selu": lambda x: arb(SELU_SCALE) * (one if x > 0 else arb(SELU_ALPHA) * x.exp()),
    "celu": lambda x, alpha: one if x > 0 else (x / arb(alpha)).exp(),
    "relu": lambda x: one if x > 0 else zero,
    "leaky_relu": lambda x, slope: one if x > 0 else arb(slope),
    "relu6": lambda x: inside(x, 0, 6),
    "hardtanh": lambda x: inside(x, -1, 1),
    "hardsigmoid": lambda x: inside(x, -3, 3) / 6,
    "hardswish": lambda x: one if x >= 3 else inside(x, -3, 3) * (2 * x + 3) / 6,
    "softshrink": lambda x, threshold: zero if abs(x) <= threshold else one,
    "hardshrink": lambda x, threshold: zero if abs(x) <= threshold else one,
}


def log_partition(row: Balls) -> Ball:
    return sum((x.exp() for x in row), zero).log()


def softmax(row: Balls) -> Balls:
    total = log_partition(row)
    return [(x - total).exp() for x in row]


def log_softmax(row: Balls) -> Balls:
    total = log_partition(row)
    return [x - total for x in row]


COUPLED = {"softmax": softmax, "log_softmax": log_softmax}


def times_log(y: Ball, a: Ball) -> Ball:
    """y log a; a label of 0 asks nothing, whatever its logarithm."""
    return zero if y == 0 else y * a.log()


def quotient(y: Ball, a: Ball) -> Ball:
    return zero if y == 0 else y / a


def huber(r: Ball, delta: float) -> Ball:
    return r * r / 2 if abs(r) <= delta else arb(delta) * (abs(r) - arb(delta) / 2)


def unit(row: Balls) -> Balls:
    length = norm(row)
    return [x / length for x in row]


def norm(row: Balls) -> Ball:
    return sum((x * x for x in row), zero).sqrt()


def cosine(p: Balls, y: Balls) -> Ball:
    return sum((a * t for a, t in zip(unit(p), unit(y), strict=True)), zero)


def smooth(y: Balls, smoothing: float) -> Balls:
    return [(1 - arb(smoothing)) * t + arb(smoothing) / len(y) for t in y]


def cross_entropy(z: Balls, y: Balls) -> Ball:
    return -sum((t * log for log, t in zip(log_softmax(z), y, strict=True) if t != 0), zero)


def cross_entropy_slope(z: Balls, y: Balls) -> Balls:
    total = sum(y, zero)
    return [a * total - t for a, t in zip(softmax(z), y, strict=True)]


def each(f: Callable[..., Ball]) -> Callable[..., Balls]:
    """f of every component and its label."""
    return lambda p, y, **given: [f(a, t, **given) for a, t in zip(p, y, strict=True)]


def summed(f: Callable[..., Ball]) -> Callable[..., Ball]:
    """Σ_t f(p_t, y_t)"""
    return lambda p, y, **given: sum((f(a, t, **given) for a, t in zip(p, y, strict=True)), zero)


LOSS: dict[str, Callable[..., Ball]] = {
    "half_squared_error": summed(lambda a, y: (a - y) ** 2 / 2),
    "mean_squared_error": lambda p, y: sum(((a - t) ** 2 for a, t in zip(p, y, strict=True)), zero) / len(p),
    "absolute_error": summed(lambda a, y: abs(a - y)),
    "huber": summed(lambda a, y, delta: huber(a - y, delta)),
    "smooth_l1": summed(lambda a, y, beta: huber(a - y, beta) / arb(beta)),
    "log_cosh": summed(lambda a, y: (a - y).cosh().log()),
    "gaussian_nll": summed(
        lambda a, y, variance: ((2 * arb.pi() * arb(variance)).log() + (a - y) ** 2 / arb(variance)) / 2
    ),
    "hinge": summed(lambda a, y: zero if y * a >= 1 else 1 - y * a),
    "squared_hinge": summed(lambda a, y: zero if y * a >= 1 else (1 - y * a) ** 2),
    "poisson_nll": summed(lambda a, y: a.exp() - y * a),
    "cosine_distance": lambda p, y: 1 - cosine(p, y),
    "binary_cross_entropy": summed(lambda a, y: -times_log(y, a) - times_log(1 - y, 1 - a)),
    "binary_cross_entropy_on_logits": summed(lambda z, y: y * softplus(-z) + (1 - y) * softplus(z)),
    "categorical_cross_entropy": summed(lambda a, y: -times_log(y, a)),
    "categorical_cross_entropy_on_logits": cross_entropy,
    "categorical_cross_entropy_with_classes": cross_entropy,
    "smoothed_cross_entropy_on_logits": lambda z, y, smoothing: cross_entropy(z, smooth(y, smoothing)),
    "negative_log_likelihood": summed(lambda a, y: -y * a),
    "kullback_leibler": summed(lambda a, y: times_log(y, y) - y * a),
}

LOSS_DERIVATIVE: dict[str, Callable[..., Balls]] = {
    "half_squared_error": each(lambda a, y: a - y),
    "mean_squared_error": lambda p, y: [2 * (a - t) / len(p) for a, t in zip(p, y, strict=True)],
    "absolute_error": each(lambda a, y: one if a > y else -one if a < y else zero),
    "huber": each(lambda a, y, delta: clip(a - y, -delta, delta)),
    "smooth_l1": each(lambda a, y, beta: clip(a - y, -beta, beta) / arb(beta)),
    "log_cosh": each(lambda a, y: (a - y).tanh()),
    "gaussian_nll": each(lambda a, y, variance: (a - y) / arb(variance)),
    "hinge": each(lambda a, y: zero if y * a >= 1 else -y),
    "squared_hinge": each(lambda a, y: zero if y * a >= 1 else -2 * y * (1 - y * a)),
    "poisson_nll": each(lambda a, y: a.exp() - y),
    "cosine_distance": lambda p, y: [(cosine(p, y) * a - t) / norm(p) for a, t in zip(unit(p), unit(y), strict=True)],
    "binary_cross_entropy": each(lambda a, y: quotient(1 - y, 1 - a) - quotient(y, a)),
    "binary_cross_entropy_on_logits": each(lambda z, y: sigmoid(z) - y),
    "categorical_cross_entropy": each(lambda a, y: -quotient(y, a)),
    "categorical_cross_entropy_on_logits": cross_entropy_slope,
    "categorical_cross_entropy_with_classes": cross_entropy_slope,
    "smoothed_cross_entropy_on_logits": lambda z, y, smoothing: cross_entropy_slope(z, smooth(y, smoothing)),
    "negative_log_likelihood": each(lambda a, y: -y),
    "kullback_leibler": each(lambda a, y: -y),
}
