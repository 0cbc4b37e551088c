"""The functions of the tables in ball arithmetic: every result is an interval that contains the true value.

Each is written from its definition, in a form that does not cancel (or with bits to spare), and independently of
`reference`. A float, a parameter's included, enters a ball exactly; a constant of a definition is that constant.
"""

import numpy as np
from flint import arb, ctx

BITS = 400

MANY = 1300
"""Bits for a difference: what is left of numbers below 1 is good to 2^{−1300}, below the smallest subnormal number."""


class Precision:
    """A block in which balls carry `bits` bits."""

    def __init__(self, bits=BITS):
        self.bits = bits

    def __enter__(self):
        self.before, ctx.prec = ctx.prec, self.bits

    def __exit__(self, *error):
        ctx.prec = self.before


def ball(number):
    return arb(float(number))


def total(numbers):
    return sum(numbers, arb(0))


# --- activations


def sigmoid(z):
    return z.exp() / (1 + z.exp()) if z < 0 else 1 / (1 + (-z).exp())


def sigmoid_derivative(z):
    return sigmoid(z) * sigmoid(-z)


def normal_cdf(z):
    return (-z / arb(2).sqrt()).erfc() / 2


def normal_density(z):
    return (-z * z / 2).exp() / (2 * arb.pi()).sqrt()


def softplus(z, beta=1.0):
    x = ball(beta) * z
    return (x + (-x).exp().log1p() if x > 0 else x.exp().log1p()) / ball(beta)


def mish_derivative(z):
    t = softplus(z).tanh()
    return t + z * (1 - t * t) * sigmoid(z)


def tanhshrink(z):
    """z³/3 − …: of z = 1e-107, below which z³ vanishes, 710 bits cancel."""
    with Precision(MANY):
        return z - z.tanh()


def tanh_argument(z):
    """2g of the tanh form of GELU, ½ z (1 + tanh g) = z σ(2g); 0.044715 is a decimal number."""
    return 2 * (2 / arb.pi()).sqrt() * (z + arb("0.044715") * z**3)


def gelu_tanh_derivative(z):
    slope = 2 * (2 / arb.pi()).sqrt() * (1 + 3 * arb("0.044715") * z**2)
    return sigmoid(tanh_argument(z)) + z * slope * sigmoid_derivative(tanh_argument(z))


def softsign_derivative(z):
    return 1 / (1 + abs(z)) ** 2


def squareplus(z, b=4.0):
    """(z + r)/2 = b/(2(r − z)),   r = √(z² + b)"""
    r = (z * z + ball(b)).sqrt()
    return ball(b) / (2 * (r - z)) if z < 0 else (z + r) / 2


def squareplus_derivative(z, b=4.0):
    """(1 + z/r)/2: the value over r"""
    return squareplus(z, b) / (z * z + ball(b)).sqrt()


with Precision():
    SELU_SCALE = arb("1.0507009873554804934193349852946")
    SELU_ALPHA = arb("1.6732632423543772848170429916717")


def elu(z, alpha=1.0):
    return z if z > 0 else ball(alpha) * z.expm1()


def elu_derivative(z, alpha=1.0):
    return arb(1) if z > 0 else ball(alpha) * z.exp()


def celu(z, alpha=1.0):
    return z if z > 0 else ball(alpha) * (z / ball(alpha)).expm1()


def celu_derivative(z, alpha=1.0):
    return arb(1) if z > 0 else (z / ball(alpha)).exp()


def step(inside):
    return arb(1) if inside else arb(0)


def relu(z):
    return arb(0).max(z)


def clipped(z, low, high):
    return arb(low).max(arb(high).min(z))


def hardswish_derivative(z):
    """Of z (z + 3)/6; at the kinks, those of the lines beyond."""
    return (2 * z + 3) / 6 if -3 < z < 3 else step(z >= 3)


def softshrink(z, threshold=0.5):
    edge = ball(threshold)
    return z - edge if z > edge else z + edge if z < -edge else arb(0)


VALUE = {
    "identity": lambda z: z,
    "sigmoid": sigmoid,
    "tanh": lambda z: z.tanh(),
    "logsigmoid": lambda z: -softplus(-z),
    "softplus": softplus,
    "silu": lambda z: z * sigmoid(z),
    "mish": lambda z: z * softplus(z).tanh(),
    "tanhshrink": tanhshrink,
    "gelu": lambda z: z * normal_cdf(z),
    "gelu_tanh": lambda z: z * sigmoid(tanh_argument(z)),
    "softsign": lambda z: z / (1 + abs(z)),
    "squareplus": squareplus,
    "elu": elu,
    "selu": lambda z: SELU_SCALE * (z if z > 0 else SELU_ALPHA * z.expm1()),
    "celu": celu,
    "relu": relu,
    "leaky_relu": lambda z, slope=0.01: z if z > 0 else ball(slope) * z,
    "relu6": lambda z: clipped(z, 0, 6),
    "hardtanh": lambda z: clipped(z, -1, 1),
    "hardsigmoid": lambda z: clipped(z + 3, 0, 6) / 6,
    "hardswish": lambda z: z * clipped(z + 3, 0, 6) / 6,
    "softshrink": softshrink,
    "hardshrink": lambda z, threshold=0.5: z if abs(z) > ball(threshold) else arb(0),
}

DERIVATIVE = {
    "identity": lambda z: arb(1),
    "sigmoid": sigmoid_derivative,
    "tanh": lambda z: 4 * sigmoid_derivative(2 * z),
    "logsigmoid": lambda z: sigmoid(-z),
    "softplus": lambda z, beta=1.0: sigmoid(ball(beta) * z),
    "silu": lambda z: sigmoid(z) + z * sigmoid_derivative(z),
    "mish": mish_derivative,
    "tanhshrink": lambda z: z.tanh() ** 2,
    "gelu": lambda z: normal_cdf(z) + z * normal_density(z),
    "gelu_tanh": gelu_tanh_derivative,
    "softsign": softsign_derivative,
    "squareplus": squareplus_derivative,
    "elu": elu_derivative,
    "selu": lambda z: SELU_SCALE * (1 if z > 0 else SELU_ALPHA * z.exp()),
    "celu": celu_derivative,
    "relu": lambda z: step(z > 0),
    "leaky_relu": lambda z, slope=0.01: arb(1) if z > 0 else ball(slope),
    "relu6": lambda z: step(0 < z < 6),
    "hardtanh": lambda z: step(-1 < z < 1),
    "hardsigmoid": lambda z: step(-3 < z < 3) / 6,
    "hardswish": hardswish_derivative,
    "softshrink": lambda z, threshold=0.5: step(abs(z) > ball(threshold)),
    "hardshrink": lambda z, threshold=0.5: step(abs(z) > ball(threshold)),
}
"""Of the elementwise ones. At a kink, the derivative that `reference` has chosen among the admissible ones."""


def others(row, t):
    """Σ_{k≠t}"""
    return total(number for k, number in enumerate(row) if k != t)


def softmax(row):
    powers = [(z - max(row, key=float)).exp() for z in row]
    return [power / total(powers) for power in powers]


def softmax_jacobian(row):
    """∂a_k/∂z_t, indexed [k][t]: off the diagonal −a_k a_t, on it a_k Σ_{j≠k} a_j."""
    a = softmax(row)
    n = range(len(row))
    return [[a[k] * others(a, k) if k == t else -a[k] * a[t] for t in n] for k in n]


def log_softmax(row):
    """−log(1 + Σ_{k≠t} e^{z_k − z_t})"""
    return [-others([(k - z).exp() for k in row], t).log1p() for t, z in enumerate(row)]


def log_softmax_jacobian(row):
    a = softmax(row)
    n = range(len(row))
    return [[others(a, k) if k == t else -a[t] for t in n] for k in n]


COUPLED_VALUE = {"softmax": softmax, "log_softmax": log_softmax}

JACOBIAN = {"softmax": softmax_jacobian, "log_softmax": log_softmax_jacobian}


# --- losses


def times_log(y, a):
    """y log a, which is 0 where y is 0."""
    return arb(0) if y == 0 else y * a.log()


def over(y, a):
    """y/a, which is 0 where y is 0."""
    return arb(0) if y == 0 else y / a


def sign(r):
    return arb(r > 0) - arb(r < 0)


def each(f):
    """A loss whose contribution, or derivative, is f(p_t, y_t)."""
    return lambda p, y, **parameters: [f(k, q, **parameters) for k, q in zip(p, y, strict=True)]


def huber(a, y, delta=1.0):
    r, delta = abs(a - y), ball(delta)
    return r**2 / 2 if r <= delta else delta * (r - delta / 2)


def huber_derivative(a, y, delta=1.0):
    r, delta = a - y, ball(delta)
    return r if abs(r) <= delta else delta * sign(r)


def log_cosh(a, y):
    """−½ log(1 − tanh² r), or |r| − log 2 + log(1 + e^{−2|r|}) where tanh² is near 1"""
    r = abs(a - y)
    return -(-(r.tanh() ** 2)).log1p() / 2 if r < 1 else r - arb(2).log() + (-2 * r).exp().log1p()


def gaussian_nll(a, y, variance=1.0):
    """−log of the density e^{−r²/2v}/√(2πv)"""
    v = ball(variance)
    return (2 * arb.pi() * v).log() / 2 + (a - y) ** 2 / (2 * v)


def hinge(a, y):
    return arb(0).max(1 - y * a)


def norm(row):
    return total(number**2 for number in row).sqrt()


def cosine_distance(a, y):
    size = norm(a) * norm(y)
    return [arb(1) / len(a) - p * q / size for p, q in zip(a, y, strict=True)]


def cosine_distance_derivative(a, y):
    """−y_t/(‖a‖‖y‖) + (a·y) a_t/(‖a‖³‖y‖)"""
    product = total(p * q for p, q in zip(a, y, strict=True))
    return [product * p / (norm(a) ** 3 * norm(y)) - q / (norm(a) * norm(y)) for p, q in zip(a, y, strict=True)]


def cross_entropy(z, y):
    return [-q * p for p, q in zip(log_softmax(z), y, strict=True)]


def cross_entropy_derivative(z, y):
    """a_t Σ_k y_k − y_t"""
    with Precision(MANY):
        return [a * total(y) - q for a, q in zip(softmax(z), y, strict=True)]


def binary_cross_entropy_derivative(z, y):
    with Precision(MANY):
        return sigmoid(z) - y


def smoothed(y, smoothing):
    """(1 − ε) y_t + ε/n"""
    with Precision(MANY):
        return [(1 - ball(smoothing)) * q + ball(smoothing) / len(y) for q in y]


LOSS = {
    "half_squared_error": each(lambda a, y: (a - y) ** 2 / 2),
    "mean_squared_error": lambda a, y: [(p - q) ** 2 / len(a) for p, q in zip(a, y, strict=True)],
    "absolute_error": each(lambda a, y: abs(a - y)),
    "huber": each(huber),
    "smooth_l1": each(lambda a, y, beta=1.0: huber(a, y, beta) / ball(beta)),
    "log_cosh": each(log_cosh),
    "gaussian_nll": each(gaussian_nll),
    "hinge": each(hinge),
    "squared_hinge": each(lambda a, y: hinge(a, y) ** 2),
    "poisson_nll": each(lambda a, y: a.exp() - y * a),
    "cosine_distance": cosine_distance,
    "binary_cross_entropy": each(lambda a, y: -times_log(y, a) - times_log(1 - y, 1 - a)),
    "binary_cross_entropy_on_logits": each(lambda z, y: y * softplus(-z) + (1 - y) * softplus(z)),
    "categorical_cross_entropy": each(lambda a, y: -times_log(y, a)),
    "categorical_cross_entropy_on_logits": cross_entropy,
    "categorical_cross_entropy_with_classes": cross_entropy,
    "smoothed_cross_entropy_on_logits": lambda z, y, smoothing=0.1: cross_entropy(z, smoothed(y, smoothing)),
    "negative_log_likelihood": each(lambda a, y: -y * a),
    "kullback_leibler": each(lambda a, y: times_log(y, y) - y * a),
}

LOSS_DERIVATIVE = {
    "half_squared_error": each(lambda a, y: a - y),
    "mean_squared_error": lambda a, y: [2 * (p - q) / len(a) for p, q in zip(a, y, strict=True)],
    "absolute_error": each(lambda a, y: sign(a - y)),
    "huber": each(huber_derivative),
    "smooth_l1": each(lambda a, y, beta=1.0: huber_derivative(a, y, beta) / ball(beta)),
    "log_cosh": each(lambda a, y: (a - y).tanh()),
    "gaussian_nll": each(lambda a, y, variance=1.0: (a - y) / ball(variance)),
    "hinge": each(lambda a, y: -y * step(y * a < 1)),
    "squared_hinge": each(lambda a, y: -2 * y * hinge(a, y)),
    "poisson_nll": each(lambda a, y: a.exp() - y),
    "cosine_distance": cosine_distance_derivative,
    "binary_cross_entropy": each(lambda a, y: over(1 - y, 1 - a) - over(y, a)),
    "binary_cross_entropy_on_logits": each(binary_cross_entropy_derivative),
    "categorical_cross_entropy": each(lambda a, y: -over(y, a)),
    "categorical_cross_entropy_on_logits": cross_entropy_derivative,
    "categorical_cross_entropy_with_classes": cross_entropy_derivative,
    "smoothed_cross_entropy_on_logits": lambda z, y, smoothing=0.1: cross_entropy_derivative(z, smoothed(y, smoothing)),
    "negative_log_likelihood": each(lambda a, y: -y),
    "kullback_leibler": each(lambda a, y: -y),
}
"""∂L_i/∂p_t, L_i the sum of the contributions: what (9) asks for, and on logits (9) itself."""


# --- distances


def flat(nested):
    """The balls of a nested list, in the order of a raveled array."""
    return [ball_ for item in nested for ball_ in (flat(item) if isinstance(item, list) else [item])]


def ratios(observed, exact, allowed):
    """|observed − exact|/allowed of every element, from above; infinite where an observed number is not finite."""
    out = []
    for number, ball_, bound in zip(np.ravel(observed), exact, np.ravel(allowed), strict=True):
        if not np.isfinite(number):
            out.append(np.inf)
            continue
        distance = float((ball(number) - ball_).abs_upper())
        out.append(0.0 if distance == 0 else distance / float(bound) if bound else np.inf)
    return np.array(out)


UNIT_ROUNDOFF = {"float32": 2.0**-24, "float64": 2.0**-53}

PLACES = {"float32": 5, "float64": 4}
"""How many units in the last place the tables may err by, or roundings of a magnitude that a formula passes through.
NumPy's functions are less accurate in float32, for which the tables are not a reference."""


def accuracy(observed, exact, magnitude, underflow):
    """Distance of every element from the truth, in units of what is certified.

    PLACES units in the last place of the true number; or PLACES u m, where the formula passes through the magnitude m;
    and an underflow, which may be multiplied in a formula.
    """
    dtype = observed.dtype
    true = np.array([float(ball_.mid()) for ball_ in exact])
    last_place = np.spacing(np.abs(true).astype(dtype)).astype(float)
    rounding = np.maximum(last_place, UNIT_ROUNDOFF[dtype.name] * np.ravel(magnitude))
    return ratios(observed, exact, PLACES[dtype.name] * rounding + np.ravel(underflow))


def moved(numbers, places=8):
    """Every number, moved by so many units in the last place."""
    return numbers + places * np.spacing(np.abs(numbers))
