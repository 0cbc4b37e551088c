"""The functions of the note in ball arithmetic: every result is an interval that contains the true value.

Each is written from its definition, in a form that does not cancel, and independently of `reference`. A float enters a
ball exactly.
"""

import numpy as np
from flint import arb, ctx

BITS = 400


class Precision:
    """A block in which balls carry `BITS` bits."""

    def __enter__(self):
        self.before, ctx.prec = ctx.prec, BITS

    def __exit__(self, *error):
        ctx.prec = self.before


def ball(number):
    return arb(float(number))


def sigmoid(z):
    return 1 / (1 + (-z).exp())


def normal_cdf(z):
    return (-z / arb(2).sqrt()).erfc() / 2


def normal_density(z):
    return (-z * z / 2).exp() / (2 * arb.pi()).sqrt()


def softplus(z):
    return z.exp().log1p()


def relu(z):
    return z if z > 0 else arb(0)


def softmax(row):
    powers = [z.exp() for z in row]
    total = sum(powers, arb(0))
    return [power / total for power in powers]


def softmax_jacobian(row):
    """∂a_k/∂z_t, indexed [k][t]: off the diagonal −a_k a_t, on it a_k Σ_{j≠k} a_j."""
    a = softmax(row)
    n = len(row)
    others = [sum((a[j] for j in range(n) if j != k), arb(0)) for k in range(n)]
    return [[a[k] * others[k] if k == t else -a[k] * a[t] for t in range(n)] for k in range(n)]


VALUE = {
    "identity": lambda z: z,
    "sigmoid": sigmoid,
    "tanh": lambda z: z.tanh(),
    "relu": relu,
    "gelu": lambda z: z * normal_cdf(z),
    "softplus": softplus,
    "silu": lambda z: z * sigmoid(z),
}

DERIVATIVE = {
    "identity": lambda z: arb(1),
    "sigmoid": lambda z: sigmoid(z) * sigmoid(-z),
    "tanh": lambda z: 1 / z.cosh() ** 2,
    "relu": lambda z: arb(1) if z > 0 else arb(0),
    "gelu": lambda z: normal_cdf(z) + z * normal_density(z),
    "softplus": sigmoid,
    "silu": lambda z: sigmoid(z) + z * sigmoid(z) * sigmoid(-z),
}


def times_log(y, a):
    """y log a, which is 0 where y is 0."""
    return arb(0) if y == 0 else y * a.log()


LOSS = {
    "half_squared_error": lambda a, y: [(p - q) ** 2 / 2 for p, q in zip(a, y, strict=True)],
    "binary_cross_entropy": lambda a, y: [
        -times_log(q, p) - times_log(1 - q, 1 - p) for p, q in zip(a, y, strict=True)
    ],
    "binary_cross_entropy_on_logits": lambda z, y: [
        q * softplus(-p) + (1 - q) * softplus(p) for p, q in zip(z, y, strict=True)
    ],
    "categorical_cross_entropy": lambda a, y: [-times_log(q, p) for p, q in zip(a, y, strict=True)],
    "categorical_cross_entropy_on_logits": lambda z, y: [
        q * (sum((k.exp() for k in z), arb(0)).log() - p) for p, q in zip(z, y, strict=True)
    ],
}

LOSS_DERIVATIVE = {
    "half_squared_error": lambda a, y: [p - q for p, q in zip(a, y, strict=True)],
    "binary_cross_entropy": lambda a, y: [(p - q) / (p * (1 - p)) for p, q in zip(a, y, strict=True)],
    "binary_cross_entropy_on_logits": lambda z, y: [sigmoid(p) - q for p, q in zip(z, y, strict=True)],
    "categorical_cross_entropy": lambda a, y: [-q / p for p, q in zip(a, y, strict=True)],
    "categorical_cross_entropy_on_logits": lambda z, y: [
        a * sum(y, arb(0)) - q for a, q in zip(softmax(z), y, strict=True)
    ],
}


def ratios(observed, exact, allowed):
    """|observed − exact|/allowed of every element, from above; infinite where an observed number is no finite one."""
    out = []
    for number, ball_, bound in zip(np.ravel(observed), exact, np.ravel(allowed), strict=True):
        if not np.isfinite(number):
            out.append(np.inf)
            continue
        distance = float((ball(number) - ball_).abs_upper())
        out.append(0.0 if distance == 0 else distance / float(bound) if bound else np.inf)
    return np.array(out)
