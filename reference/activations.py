"""Activation functions: value, derivative, and the magnitudes their rounding errors are measured in.

Every function works in the format of its input, so the same table is the float64 reference and a float32 engine.
A scale s_f(z) is the magnitude that the usual formula of f passes through: an implementation that is accurate to k_f
roundings errs by at most k_f·u·s_f(z). Where the formula cancels, s_f exceeds |f|. k_f is measured (`accuracy.py`).
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from reference.arrays import Array

Function = Callable[[Array], Array]


@dataclass(frozen=True)
class Kink:
    """A point where f is not differentiable, and the interval of derivatives that may be given there.

    `reach`: where the usual formula meets the kink after a rounding, how far that moves it, in units of u.
    """

    at: float
    lowest: float
    highest: float
    reach: float = 0.0


@dataclass(frozen=True)
class Activation:
    """An activation a = f(z), its derivative, the scales of both, its kinks, and the parameters it was made with.

    `bends`: where f' is continuous and f'' is not. `inner`: the largest factor that its formulas multiply a result by.
    `coupled`: a_t depends on every z_k of the sample, and `derivative` is the Jacobian ∂a_k/∂z_t of shape (N, n, n).
    """

    name: str
    value: Function
    derivative: Function
    value_scale: Function
    derivative_scale: Function
    kinks: tuple[Kink, ...] = ()
    bends: tuple[float, ...] = ()
    inner: Function = np.abs
    coupled: bool = False
    parameters: Mapping[str, float] = field(default_factory=dict)


def magnitude(f: Function) -> Function:
    """|f|: the scale of a function whose formula does not cancel."""
    return lambda z: np.abs(f(z))


# --- the logistic family


def sigmoid(z: Array) -> Array:
    """σ(z) = 1/(1 + e^{−z}) = e^z/(1 + e^z): by e^{−|z|}, which never overflows, so it ends at z = −745, not −709"""
    e = np.exp(-np.abs(z))
    return np.where(z < 0, e, 1) / (1 + e)


def sigmoid_derivative(z: Array) -> Array:
    """σ'(z) = σ(z) σ(−z)"""
    return sigmoid(z) * sigmoid(-z)


def logistic_scale(z: Array) -> Array:
    """σ(z) (1 + |z|): of formulas that add z σ(z) σ(−z), or round an exponent z, to σ(z)"""
    return sigmoid(z) * (1 + np.abs(z))


def logsigmoid(z: Array) -> Array:
    """log σ(z) = −log(1 + e^{−z})"""
    return -softplus(-z)


def tanh_derivative(z: Array) -> Array:
    """tanh'(z) = 1 − tanh²(z) = 4e/(1 + e)², e = e^{−2|z|}; this form keeps its digits where tanh saturates."""
    e = np.exp(-2 * np.abs(z))
    return 4 * e / np.square(1 + e)


def tanh_scale(z: Array) -> Array:
    """min(|z|, 1), at most 1.31 |tanh z|: cheaper than a second tanh"""
    return np.minimum(np.abs(z), 1)


def tanhshrink(z: Array) -> Array:
    """z − tanh z = z c/(1 + c), with the continued fraction tanh z = z/(1 + c), c = z²/(3 + z²/(5 + z²/(7 + …)))

    Within |z| < 1 the difference would cancel; nine levels leave less than 2⁻⁶⁰ there (Lambert).
    """
    square = np.square(np.clip(z, -1, 1))
    c = np.zeros_like(square)
    for odd in range(19, 1, -2):
        c = square / (odd + c)
    return np.where(np.abs(z) < 1, z * (c / (1 + c)), z - np.tanh(z))


def softplus(z: Array) -> Array:
    """log(1 + e^z) = max(z, 0) + log(1 + e^{−|z|})"""
    return np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))


def softplus_of(beta: float = 1.0) -> Activation:
    """log(1 + e^{βz})/β; unless β = 1, βz is rounded, which moves the result by |z| σ(βz) u"""
    return Activation(
        "softplus",
        lambda z: softplus(beta * z) / beta,
        lambda z: sigmoid(beta * z),
        softplus if beta == 1 else lambda z: softplus(beta * z) / beta + np.abs(z) * sigmoid(beta * z),
        lambda z: logistic_scale(beta * z),
        parameters={"beta": beta},
    )


def silu(z: Array) -> Array:
    """z σ(z)"""
    return z * sigmoid(z)


def silu_derivative(z: Array) -> Array:
    """σ(z) (1 + z σ(−z))"""
    return sigmoid(z) * (1 + z * sigmoid(-z))


def tanh_of_softplus(z: Array) -> tuple[Array, Array]:
    """t = tanh(softplus z) = p/(1 + p), p = e^z + e^{2z}/2, and 1 − t²

    From q = e^{−|z|}, which never overflows; where z > 0 and t nears 1, 1 − t = 2q²/(1 + 2q + 2q²).
    """
    q = np.exp(-np.abs(z))
    up, down = 1 + 2 * q, q + q * q / 2
    total = np.where(z > 0, up + 2 * q * q, 1 + down)
    t = np.where(z > 0, up, down) / total
    return t, np.where(z > 0, np.square(2 * q * (1 + q) / total), 1 - t * t)


def mish(z: Array) -> Array:
    """z tanh(softplus z)"""
    return z * tanh_of_softplus(z)[0]


def mish_derivative(z: Array) -> Array:
    """t + z (1 − t²) σ(z),   t = tanh(softplus z)"""
    t, rest = tanh_of_softplus(z)
    return t + z * rest * sigmoid(z)


# --- the Gaussian


def density(z: Array) -> Array:
    """φ(z) = e^{−z²/2}/√(2π); zero in every format beyond |z| = 40, so z is cut there and z² cannot overflow."""
    return np.exp(np.square(np.minimum(np.abs(z), 40)) / -2) / float(np.sqrt(2 * np.pi))


erfc = np.vectorize(math.erfc, otypes=[float])
"""The C library's: SciPy's `erfc` and `ndtr` err by up to 13 u for z in (−√2, −1), and are 0 from −37.7 on."""


def normal(z: Array) -> Array:
    """Φ(z) = ½(1 + erf(z/√2)) = ½ erfc(−z/√2)"""
    return erfc(z / -float(np.sqrt(2))).astype(z.dtype) / 2


def gelu(z: Array) -> Array:
    """z Φ(z), the erf form"""
    return z * normal(z)


def gelu_derivative(z: Array) -> Array:
    """Φ(z) + z φ(z)"""
    return normal(z) + z * density(z)


def gelu_derivative_scale(z: Array) -> Array:
    """½(1 + |erf|) ≤ 1, and |z|φ(z), whose exponent z²/2 carries its own rounding into the result"""
    return 1 + np.abs(z) * density(z) * (1 + np.square(np.minimum(np.abs(z), 40)) / 2)


ROOT = float(np.sqrt(2 / np.pi))
CUBIC = 0.044715
"""Of the tanh form of GELU (Hendrycks and Gimpel, *Gaussian Error Linear Units*, 2016)."""


def gelu_tanh_argument(z: Array) -> Array:
    """g = √(2/π) (z + 0.044715 z³); both forms have saturated beyond |z| = 40, where z is cut"""
    z = np.clip(z, -40, 40)
    return ROOT * z * (1 + CUBIC * np.square(z))


def gelu_tanh_slope(z: Array) -> Array:
    """z g'(z) = √(2/π) (z + 3·0.044715 z³)"""
    z = np.clip(z, -40, 40)
    return ROOT * z * (1 + 3 * CUBIC * np.square(z))


def gelu_tanh(z: Array) -> Array:
    """½ z (1 + tanh g) = z σ(2g), the tanh form"""
    return z * sigmoid(2 * gelu_tanh_argument(z))


def gelu_tanh_derivative(z: Array) -> Array:
    """σ(2g) + 2 z g' σ(2g) σ(−2g)"""
    g = 2 * gelu_tanh_argument(z)
    return sigmoid(g) + 2 * gelu_tanh_slope(z) * sigmoid_derivative(g)


def gelu_tanh_inner(z: Array) -> Array:
    """3z²: autodiff takes 0.044715 z³ back as (0.044715 δ)·3z²; from |z| = 5 on, 1 − tanh² leaves no δ to speak of"""
    return np.where(np.abs(z) < 5, 3 * np.square(np.clip(z, -5, 5)), np.abs(z))


def gelu_tanh_derivative_scale(z: Array) -> Array:
    """1 + |z g'| (½ + (1 + |g|) σ(2g) σ(−2g)): 1 − tanh² cancels, and the exponent 2g carries its own rounding"""
    g = gelu_tanh_argument(z)
    return 1 + np.abs(gelu_tanh_slope(z)) * (0.5 + (1 + np.abs(g)) * sigmoid_derivative(2 * g))


# --- algebraic


def softsign(z: Array) -> Array:
    """z/(1 + |z|)"""
    return z / (1 + np.abs(z))


def softsign_derivative(z: Array) -> Array:
    """1/(1 + |z|)²"""
    s = 1 + np.abs(z)  # its square may overflow
    return 1 / s / s


def softsign_scale(z: Array) -> Array:
    """1/(1 + |z|), from which autodiff subtracts |z|/(1 + |z|)²"""
    return 1 / (1 + np.abs(z))


def squareplus_of(b: float = 4.0) -> Activation:
    """½(z + √(z² + b)), which is b/(2(√(z² + b) − z)) where z < 0 and the sum would cancel"""

    def root(z: Array) -> Array:
        return np.hypot(z, np.asarray(np.sqrt(b), z.dtype))

    def value(z: Array) -> Array:
        half = root(z) / 2 + np.abs(z) / 2  # halved first: the sum of the two largest numbers would overflow
        return np.where(z < 0, b / 4 / half, half)

    def derivative(z: Array) -> Array:
        """½(1 + z/√(z² + b))"""
        s = root(z)
        half = s / 2 + np.abs(z) / 2
        return np.where(z < 0, b / 4 / half / s, half / s)

    return Activation("squareplus", value, derivative, root, np.ones_like, parameters={"b": b})


# --- exponential on the negative side


def elu_of(alpha: float = 1.0) -> Activation:
    """z where z > 0, else α (e^z − 1); autodiff may form the derivative α e^z as (f + α), whose scale is α"""
    return exponential("elu", 1.0, alpha, {"alpha": alpha})


SELU_SCALE, SELU_ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717
"""Klambauer et al., *Self-Normalizing Neural Networks*, NeurIPS 2017, §2."""


def exponential(name: str, scale: float, alpha: float, parameters: Mapping[str, float]) -> Activation:
    """λz where z > 0, else λα (e^z − 1)"""
    steep = scale * alpha
    return Activation(
        name,
        lambda z: np.where(z > 0, scale * z, steep * np.expm1(np.minimum(z, 0))),
        lambda z: np.where(z > 0, np.full_like(z, scale), steep * np.exp(np.minimum(z, 0))),
        lambda z: np.where(z > 0, (scale != 1) * scale * z, steep * np.minimum(np.abs(z), 1)),
        lambda z: np.where(z > 0, np.full_like(z, (scale != 1) * scale), np.full_like(z, steep)),
        () if alpha == 1 else (Kink(0.0, min(scale, steep), max(scale, steep)),),
        (0.0,),
        parameters=parameters,
    )


def celu_of(alpha: float = 1.0) -> Activation:
    """z where z > 0, else α (e^{z/α} − 1); its derivative e^{z/α} meets 1 at 0, so there is no kink"""
    return Activation(
        "celu",
        lambda z: np.where(z > 0, z, alpha * np.expm1(np.minimum(z, 0) / alpha)),
        lambda z: np.exp(np.minimum(z, 0) / alpha),
        lambda z: np.where(z > 0, np.zeros_like(z), np.minimum(np.abs(z), alpha)),
        lambda z: np.where(z > 0, np.zeros_like(z), np.ones_like(z)),
        bends=(0.0,),
        parameters={"alpha": alpha},
    )


# --- piecewise linear


def relu(z: Array) -> Array:
    """max(z, 0)"""
    return np.maximum(z, 0)


def relu_derivative(z: Array) -> Array:
    """1 where z > 0, else 0"""
    return (z > 0).astype(z.dtype)


def leaky_relu_of(slope: float = 0.01) -> Activation:
    """z where z > 0, else s z; the slope s is rounded, and so is the product"""
    return Activation(
        "leaky_relu",
        lambda z: np.where(z > 0, z, slope * z),
        lambda z: np.where(z > 0, np.ones_like(z), np.full_like(z, slope)),
        lambda z: np.where(z > 0, np.zeros_like(z), slope * np.abs(z)),
        lambda z: np.where(z > 0, np.zeros_like(z), np.full_like(z, slope)),
        (Kink(0.0, min(slope, 1.0), max(slope, 1.0)),),
        parameters={"slope": slope},
    )


def between(low: float, high: float) -> Function:
    """1 where low < z < high, else 0"""
    return lambda z: ((z > low) & (z < high)).astype(z.dtype)


def hardsigmoid(z: Array) -> Array:
    """min(max(z + 3, 0), 6)/6"""
    return np.clip(z + 3, 0, 6) / 6


def hardswish_derivative(z: Array) -> Array:
    """(2z + 3)/6 where |z| < 3, 0 below, 1 above"""
    return np.where(z >= 3, np.ones_like(z), np.where(z <= -3, np.zeros_like(z), (2 * np.clip(z, -3, 3) + 3) / 6))


def softshrink_of(threshold: float = 0.5) -> Activation:
    """z − λ where z > λ, z + λ where z < −λ, else 0"""
    return Activation(
        "softshrink",
        lambda z: z - np.clip(z, -threshold, threshold),
        lambda z: (np.abs(z) > threshold).astype(z.dtype),
        lambda z: np.maximum(np.abs(z) - threshold, 0),
        np.zeros_like,
        (Kink(-threshold, 0.0, 1.0), Kink(threshold, 0.0, 1.0)),
        parameters={"threshold": threshold},
    )


def hardshrink_of(threshold: float = 0.5) -> Activation:
    """z where |z| > λ, else 0: a jump, at which neither one-sided derivative is the slope of anything else"""
    return Activation(
        "hardshrink",
        lambda z: np.where(np.abs(z) <= threshold, np.zeros_like(z), z),
        lambda z: (np.abs(z) > threshold).astype(z.dtype),
        np.zeros_like,
        np.zeros_like,
        (Kink(-threshold, 0.0, 1.0), Kink(threshold, 0.0, 1.0)),
        parameters={"threshold": threshold},
    )


# --- coupled


def softmax(z: Array) -> Array:
    """a_t = e^{z_t − m}/Σ_k e^{z_k − m},   m = max_k z_k"""
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def others(a: Array) -> Array:
    """Σ_{k≠t} a_k, as a sum: for softmax it is 1 − a_t, which would cancel where a_t nears 1."""
    return a @ (1 - np.eye(a.shape[1], dtype=a.dtype))


def diagonal(a: Array) -> Array:
    """The matrix of each sample with a on its diagonal, (N, n, n)"""
    return a[:, :, np.newaxis] * np.eye(a.shape[1], dtype=a.dtype)


def softmax_jacobian(z: Array) -> Array:
    """∂a_k/∂z_t = a_k (1[k = t] − a_t): a_t Σ_{j≠t} a_j on the diagonal, −a_k a_t off it"""
    a = softmax(z)
    off = 1 - np.eye(z.shape[1], dtype=z.dtype)
    return diagonal(a * others(a)) - a[:, :, np.newaxis] * a[:, np.newaxis, :] * off


def spread(z: Array) -> tuple[Array, Array, Array]:
    """|z_t − m|, a_t and n + Σ_k a_k |z_k − m|: each exponent is rounded, and n terms are summed"""
    a, shift = softmax(z), np.abs(z - z.max(axis=1, keepdims=True))
    return shift, a, z.shape[1] + (a * shift).sum(axis=1, keepdims=True)


def softmax_scale(z: Array) -> Array:
    """a_t (n + |z_t − m| + Σ_k a_k |z_k − m|)"""
    shift, a, total = spread(z)
    return a * (total + shift)


def softmax_jacobian_scale(z: Array, s: Array | None = None) -> Array:
    """s_k (1[k = t] + a_t) + a_k s_t, with s the scale of softmax itself, or an error of its values"""
    a, s = softmax(z), softmax_scale(z) if s is None else s
    identity = np.eye(z.shape[1], dtype=z.dtype)
    return s[:, :, np.newaxis] * (identity + a[:, np.newaxis, :]) + a[:, :, np.newaxis] * s[:, np.newaxis, :]


def log_partition(z: Array) -> Array:
    """log Σ_k e^{z_k − m},   m = max_k z_k; log1p over all but one maximum, so that a sum near 1 keeps its digits"""
    e = np.exp(z - z.max(axis=1, keepdims=True))
    first = z.argmax(axis=1)[:, np.newaxis]
    np.put_along_axis(e, first, 0, axis=1)
    return np.log1p(e.sum(axis=1, keepdims=True))


def log_softmax(z: Array) -> Array:
    """(z_t − m) − log Σ_k e^{z_k − m}"""
    return z - z.max(axis=1, keepdims=True) - log_partition(z)


def log_softmax_jacobian(z: Array) -> Array:
    """∂a_k/∂z_t = 1[k = t] − softmax_t(z): Σ_{j≠t} softmax_j(z) on the diagonal"""
    a = softmax(z)
    return diagonal(others(a)) - a[:, np.newaxis, :] * (1 - np.eye(z.shape[1], dtype=z.dtype))


def log_softmax_scale(z: Array) -> Array:
    """2|z_t − m| + log Σ + n + Σ_k a_k |z_k − m|: the rounding of exponents and sum is absolute in a logarithm"""
    shift, _, total = spread(z)
    return 2 * shift + log_partition(z) + total


def log_softmax_jacobian_scale(z: Array) -> Array:
    """1[k = t] + s_t, with s the scale of softmax"""
    return np.eye(z.shape[1], dtype=z.dtype) + softmax_scale(z)[:, np.newaxis, :] + np.zeros_like(z)[:, :, np.newaxis]


SELU = exponential("selu", SELU_SCALE, SELU_ALPHA, {})

FAMILIES: dict[str, Callable[..., Activation]] = {
    "softplus": softplus_of,
    "squareplus": squareplus_of,
    "elu": elu_of,
    "celu": celu_of,
    "leaky_relu": leaky_relu_of,
    "softshrink": softshrink_of,
    "hardshrink": hardshrink_of,
}
"""Activations with parameters, each a positive number: called without any, the member with the usual ones."""

SHIFTED = 6.0
"""z + 3 is compared with 6, and rounded by up to 6u before."""

ONE, ZERO = np.ones_like, np.zeros_like

ACTIVATIONS: dict[str, Activation] = {
    f.name: f
    for f in (
        Activation("identity", np.positive, ONE, ZERO, ZERO),
        Activation("sigmoid", sigmoid, sigmoid_derivative, sigmoid, sigmoid),
        Activation("tanh", np.tanh, tanh_derivative, tanh_scale, ONE),
        Activation(
            "logsigmoid", logsigmoid, lambda z: sigmoid(-z), magnitude(logsigmoid), lambda z: logistic_scale(-z)
        ),
        softplus_of(),
        Activation("silu", silu, silu_derivative, magnitude(silu), logistic_scale),
        Activation("mish", mish, mish_derivative, magnitude(mish), logistic_scale),
        Activation("tanhshrink", tanhshrink, lambda z: np.square(np.tanh(z)), np.abs, ONE),
        Activation("gelu", gelu, gelu_derivative, np.abs, gelu_derivative_scale),
        Activation(
            "gelu_tanh", gelu_tanh, gelu_tanh_derivative, np.abs, gelu_tanh_derivative_scale, inner=gelu_tanh_inner
        ),
        Activation("softsign", softsign, softsign_derivative, magnitude(softsign), softsign_scale, bends=(0.0,)),
        squareplus_of(),
        elu_of(),
        SELU,
        celu_of(),
        Activation("relu", relu, relu_derivative, ZERO, ZERO, (Kink(0.0, 0.0, 1.0),)),
        leaky_relu_of(),
        Activation(
            "relu6", lambda z: np.clip(z, 0, 6), between(0, 6), ZERO, ZERO, (Kink(0.0, 0.0, 1.0), Kink(6.0, 0.0, 1.0))
        ),
        Activation(
            "hardtanh",
            lambda z: np.clip(z, -1, 1),
            between(-1, 1),
            ZERO,
            ZERO,
            (Kink(-1.0, 0.0, 1.0), Kink(1.0, 0.0, 1.0)),
        ),
        Activation(
            "hardsigmoid",
            hardsigmoid,
            lambda z: between(-3, 3)(z) / 6,
            lambda z: np.minimum(np.abs(z) + 3, 6) / 6,
            lambda z: between(-3, 3)(z) / 6,
            (Kink(-3.0, 0.0, 1 / 6), Kink(3.0, 0.0, 1 / 6, SHIFTED)),
        ),
        Activation(
            "hardswish",
            lambda z: z * hardsigmoid(z),
            hardswish_derivative,
            np.abs,
            lambda z: (2 * np.minimum(np.abs(z), 3) + 3) / 6,
            (Kink(-3.0, -0.5, 0.0), Kink(3.0, 1.0, 1.5, SHIFTED)),
        ),
        softshrink_of(),
        hardshrink_of(),
        Activation("softmax", softmax, softmax_jacobian, softmax_scale, softmax_jacobian_scale, coupled=True),
        Activation(
            "log_softmax",
            log_softmax,
            log_softmax_jacobian,
            log_softmax_scale,
            log_softmax_jacobian_scale,
            coupled=True,
        ),
    )
}


def activation(name: str, parameters: Mapping[str, float]) -> Activation:
    """The activation of that name with these parameters; with none, the usual one of the table."""
    return FAMILIES[name](**parameters) if parameters else ACTIVATIONS[name]


HIDDEN = tuple(name for name, f in ACTIVATIONS.items() if not f.coupled)
"""Activations of hidden layers: f_h is elementwise."""

OUTPUT = tuple(ACTIVATIONS)
"""Activations of the output layer, f_o."""
