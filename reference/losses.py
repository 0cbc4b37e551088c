"""Loss functions: each component's contribution to L_i, its derivative, and the magnitudes of their rounding errors.

Contributions are summed over the components t by (8) and averaged over the samples by (1). No reduction happens here: a
loss that its field averages over the components as well holds the 1/n in its contributions. `p` is what the loss is
given: the output's activation a, or, for a loss on logits, its total input z. Such a loss holds its output activation
within itself, and its derivative is the error term δ of (9) at once.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from scipy.special import xlog1py, xlogy

from reference.activations import log_partition, log_softmax_scale, others, sigmoid, softmax, softmax_scale, softplus
from reference.arrays import Array

Contribution = Callable[[Array, Array], Array]

Interval = Callable[[Array, Array], tuple[Array, Array]]

Carried = Callable[[Array, Array, Array], Array]


@dataclass(frozen=True)
class Loss:
    """A loss with contributions ℓ(p_t, y_t), ∂L_i/∂p_t, the scales of both, and where it may stand.

    `labels`: what y is, a key of LABELS. `outputs`: the output activations it is defined for; empty means all.
    `on_logits`: p is z, not a. `domain`: the interval that p lies in. `interval`: the lowest and the highest derivative
    that may be given, which differ at a kink; None where there is no kink. `pieces`: which of the formulas that
    a loss is pieced together from holds. `carried`: for a loss whose derivative
    depends on the sample's other components, how far it moves, to first order, while each p_t moves by an error.
    `squares`: what an underflow in the square of a component moves the loss by, relative to its scale.
    """

    name: str
    value: Contribution
    derivative: Contribution
    value_scale: Contribution
    derivative_scale: Contribution
    labels: str = "real"
    outputs: tuple[str, ...] = ()
    on_logits: bool = False
    domain: tuple[float, float] = (-np.inf, np.inf)
    interval: Interval | None = None
    pieces: Contribution | None = None
    carried: Carried | None = None
    squares: Contribution | None = None
    parameters: Mapping[str, float] = field(default_factory=dict)

    def argument(self, z: Array, a: Array) -> Array:
        """p: the output's total input or its activation."""
        return z if self.on_logits else a


LABELS: dict[str, tuple[Callable[[Array], Array], str]] = {
    "real": (np.isfinite, "finite"),
    "direction": (
        lambda y: np.isfinite(y) & (y != 0).any(axis=1, keepdims=True),
        "finite, and not 0 throughout a sample",
    ),
    "sign": (lambda y: np.abs(y) == 1, "−1 or 1"),
    "count": (lambda y: y >= 0, "a count, at least 0"),
    "probability": (lambda y: (y >= 0) & (y <= 1), "a probability, between 0 and 1"),
    "distribution": (lambda y: (y >= 0) & (y <= 1), "a probability, between 0 and 1"),
    "class": (
        lambda y: ((y == 0) | (y == 1)) & (y.sum(axis=1, keepdims=True) == 1),
        "0, or 1 for the one class of the sample",
    ),
}
"""What the labels of a loss may be: a test of every element, and what it asks."""


# --- on the residual r = a − y


def half_squared(a: Array, y: Array) -> Array:
    """½(a_t − y_t)²: the ½ is the note's, (1)"""
    return np.square(a - y) / 2


def residual(a: Array, y: Array) -> Array:
    """|a_t − y_t|"""
    return np.abs(a - y)


def mean_squared(a: Array, y: Array) -> Array:
    """(a_t − y_t)²/n: with (1), the mean over all N n elements; no ½"""
    return np.square(a - y) / a.shape[1]


def sign_interval(a: Array, y: Array) -> tuple[Array, Array]:
    """sign(a_t − y_t), and anything from −1 to 1 where a_t = y_t"""
    return np.where(a > y, 1.0, -1.0), np.where(a < y, -1.0, 1.0)


def huber_of(delta: float = 1.0) -> Loss:
    """½r² where |r| ≤ δ, else δ(|r| − ½δ): m (|r| − ½m), m = min(|r|, δ)"""

    def value(a: Array, y: Array) -> Array:
        r = residual(a, y)
        m = np.minimum(r, delta)
        return m * (r - m / 2)

    def value_scale(a: Array, y: Array) -> Array:
        """½r² where |r| ≤ δ, else δ(|r| + ½δ), of the difference's two terms"""
        r = residual(a, y)
        m = np.minimum(r, delta)
        return m * np.where(r <= delta, m / 2, r + m / 2)

    return Loss(
        "huber",
        value,
        lambda a, y: np.clip(a - y, -delta, delta),
        value_scale,
        lambda a, y: np.full_like(a, delta),
        pieces=lambda a, y: np.sign(a - y) * (residual(a, y) > delta),
        parameters={"delta": delta},
    )


def smooth_l1_of(beta: float = 1.0) -> Loss:
    """½r²/β where |r| < β, else |r| − ½β: Huber's loss for δ = β, divided by β"""
    huber = huber_of(beta)
    return Loss(
        "smooth_l1",
        lambda a, y: huber.value(a, y) / beta,
        lambda a, y: huber.derivative(a, y) / beta,
        lambda a, y: huber.value_scale(a, y) / beta,
        lambda a, y: huber.derivative_scale(a, y) / beta,
        pieces=huber.pieces,
        parameters={"beta": beta},
    )


def one_more(a: Array, y: Array) -> Array:
    """1 + |a_t − y_t|: of formulas like log(e^r + e^{−r}) − log 2, and e^{r − log(…)} − e^{−r − log(…)} for tanh r"""
    return 1 + residual(a, y)


def log_cosh(a: Array, y: Array) -> Array:
    """log cosh r = log1p(2 sinh²(r/2)) below 2, where |r| + log1p(e^{−2|r|}) − log 2 would cancel"""
    r = residual(a, y)
    near = np.log1p(2 * np.square(np.sinh(np.minimum(r, 2) / 2)))
    return np.where(r < 2, near, r + np.log1p(np.exp(-2 * r)) - np.asarray(np.log(2), r.dtype))


def gaussian_nll_of(variance: float = 1.0) -> Loss:
    """½(log(2πv) + r²/v): the negative logarithm of the normal density, its constant included; v is given"""
    half_log = float(np.log(2 * np.pi * variance)) / 2
    return Loss(
        "gaussian_nll",
        lambda a, y: half_log + half_squared(a, y) / variance,
        lambda a, y: (a - y) / variance,
        lambda a, y: abs(np.log(variance)) / 2 + 1 + half_squared(a, y) / variance,
        lambda a, y: residual(a, y) / variance,
        parameters={"variance": variance},
    )


# --- on scores


def margin(a: Array, y: Array) -> Array:
    """max(0, 1 − y_t a_t), y = ±1"""
    return np.maximum(1 - y * a, 0)


def within_margin(a: Array, y: Array) -> Array:
    """Whether y_t a_t < 1"""
    return y * a < 1


def hinge_interval(a: Array, y: Array) -> tuple[Array, Array]:
    """−y_t inside the margin, 0 outside, and anything between where y_t a_t = 1"""
    inside, outside = np.where(y * a <= 1, -y, 0.0), np.where(y * a < 1, -y, 0.0)
    return np.minimum(inside, outside), np.maximum(inside, outside)


def poisson_nll(a: Array, y: Array) -> Array:
    """e^{a_t} − y_t a_t: a is the logarithm of the rate; log y! is left out"""
    return np.exp(a) - y * a


def norm(a: Array) -> Array:
    """‖a_i‖, (N, 1): m ‖a_i/m‖, m = max_t |a_t|, so that no square overflows or vanishes"""
    m = np.abs(a).max(axis=1, keepdims=True)
    return m * np.sqrt(np.square(a / m).sum(axis=1, keepdims=True))


def cosine_distance(a: Array, y: Array) -> Array:
    """1/n − a_t y_t/(‖a‖ ‖y‖): summed by (8), 1 − cos(a, y)"""
    return 1 / a.shape[1] - (a / norm(a)) * (y / norm(y))


def cosine_distance_derivative(a: Array, y: Array) -> Array:
    """(cos(a, y) a_t/‖a‖ − y_t/‖y‖)/‖a‖"""
    unit, label = a / norm(a), y / norm(y)
    return ((unit * label).sum(axis=1, keepdims=True) * unit - label) / norm(a)


def cosine_distance_scale(a: Array, y: Array) -> Array:
    """1/n + n |a_t y_t|/(‖a‖ ‖y‖): norms and the product are sums of n"""
    n = a.shape[1]
    return 1 / n + n * np.abs(a / norm(a) * (y / norm(y)))


def cosine_distance_derivative_scale(a: Array, y: Array) -> Array:
    """n (Σ_k |a_k y_k|/(‖a‖ ‖y‖) |a_t|/‖a‖ + |y_t|/‖y‖)/‖a‖"""
    unit, label = np.abs(a) / norm(a), np.abs(y) / norm(y)
    return a.shape[1] * ((unit * label).sum(axis=1, keepdims=True) * unit + label) / norm(a)


def cosine_distance_squares(a: Array, y: Array) -> Array:
    """2/‖a‖² + 2/‖y‖²"""
    return 2 / np.square(norm(a)) + 2 / np.square(norm(y))


def cosine_distance_carried(a: Array, y: Array, error: Array) -> Array:
    """(|ŷ| Σ|â|e + |â| Σ|ŷ|e + |c| e + 3|c||â| Σ|â|e)/‖a‖²,   â = a/‖a‖, ŷ = y/‖y‖, c = â·ŷ: the Hessian's entries"""
    unit, label = a / norm(a), np.abs(y / norm(y))
    c = np.abs((unit * y / norm(y)).sum(axis=1, keepdims=True))
    unit = np.abs(unit)
    along, across = (unit * error).sum(axis=1, keepdims=True), (label * error).sum(axis=1, keepdims=True)
    return (label * along + unit * across + c * error + 3 * c * unit * along) / np.square(norm(a))


# --- cross-entropy on probabilities


def binary(a: Array, y: Array) -> Array:
    """−y log a − (1 − y) log(1 − a)"""
    return -xlogy(y, a) - xlog1py(1 - y, -a)


def binary_scale(a: Array, y: Array) -> Array:
    """ℓ + (1 − y): a formula with log(1 − a) rounds 1 − a, which moves the logarithm by u however small a is"""
    return binary(a, y) + (1 - y)


def quotient(numerator: Array, denominator: Array) -> Array:
    """numerator/denominator, and 0 where the numerator is 0: a label of 0 asks nothing of its probability"""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(numerator == 0, np.zeros((), denominator.dtype), numerator / denominator)


def binary_derivative(a: Array, y: Array) -> Array:
    """(1 − y)/(1 − a) − y/a = (a − y)/(a (1 − a)); ±inf at the poles a = 0 and a = 1"""
    return quotient(1 - y, 1 - a) - quotient(y, a)


def binary_derivative_scale(a: Array, y: Array) -> Array:
    """(1 − y)/(1 − a) + y/a: the two cancel for a label between 0 and 1"""
    return quotient(1 - y, 1 - a) + quotient(y, a)


def categorical(a: Array, y: Array) -> Array:
    """−y_t log a_t"""
    return -xlogy(y, a)


def categorical_derivative(a: Array, y: Array) -> Array:
    """−y_t/a_t"""
    return -quotient(y, a)


# --- on log-probabilities


def on_log_probability(a: Array, y: Array) -> Array:
    """−y_t a_t,   a = log p"""
    return -y * a


def kullback_leibler(a: Array, y: Array) -> Array:
    """y_t (log y_t − a_t),   a = log p: the divergence of p from y"""
    return xlogy(y, y) - y * a


def kullback_leibler_scale(a: Array, y: Array) -> Array:
    """y_t (|log y_t| + |a_t|)"""
    return np.abs(xlogy(y, y)) + y * np.abs(a)


# --- cross-entropy fused with its output activation, on logits


def binary_on_logits(z: Array, y: Array) -> Array:
    """y softplus(−z) + (1 − y) softplus(z): two positive terms, nothing cancels"""
    return y * softplus(-z) + (1 - y) * softplus(z)


def binary_on_logits_scale(z: Array, y: Array) -> Array:
    """|z| + log(1 + e^{−|z|}): the usual formulas, (1 − y) z − log σ(z) or max(z, 0) − z y + log(1 + e^{−|z|}), pass
    through |z| however small their result (torch takes the first)
    """
    return softplus(np.abs(z))


def binary_on_logits_derivative(z: Array, y: Array) -> Array:
    """σ(z) − y = (1 − y) σ(z) − y σ(−z): (9) with f_o = σ, where σ' cancels a (1 − a)

    The second form keeps the digits of δ where a is right and saturates.
    """
    return (1 - y) * sigmoid(z) - y * sigmoid(-z)


def categorical_on_logits(z: Array, y: Array) -> Array:
    """−y_t log softmax_t(z)"""
    return y * (log_partition(z) - (z - z.max(axis=1, keepdims=True)))


def categorical_on_logits_scale(z: Array, y: Array) -> Array:
    """y_t times the scale of log_softmax, and |z_t|: a formula may subtract z_t from log Σ e^{z_k} without a shift"""
    return y * (log_softmax_scale(z) + np.abs(z))


def categorical_on_logits_derivative(z: Array, y: Array) -> Array:
    """a_t Σ_k y_k − y_t = a_t Σ_{k≠t} y_k − y_t Σ_{k≠t} a_k, a = softmax(z): (9) with its Jacobian; −y/a cancels a

    The second form keeps the digits of δ where a is right and saturates.
    """
    a = softmax(z)
    return a * others(y) - y * others(a)


def categorical_on_logits_derivative_scale(z: Array, y: Array) -> Array:
    """s_t Σ_k y_k + y_t, with s the scale of softmax"""
    return softmax_scale(z) * y.sum(axis=1, keepdims=True) + y


def softmax_carried(z: Array, y: Array, error: Array) -> Array:
    """a_t (e_t Σ_{k≠t} a_k + Σ_{k≠t} a_k e_k) Σ_k y_k: the moduli of softmax's Jacobian"""
    a = softmax(z)
    return a * (error * others(a) + others(a * error)) * y.sum(axis=1, keepdims=True)


def smoothed_of(smoothing: float = 0.1) -> Loss:
    """Categorical cross-entropy on logits with y'_t = (1 − ε) y_t + ε/n in place of y_t"""

    def smooth(y: Array) -> Array:
        return (1 - smoothing) * y + smoothing / y.shape[1]

    return Loss(
        "smoothed_cross_entropy_on_logits",
        lambda z, y: categorical_on_logits(z, smooth(y)),
        lambda z, y: categorical_on_logits_derivative(z, smooth(y)),
        lambda z, y: categorical_on_logits_scale(z, smooth(y)),
        lambda z, y: categorical_on_logits_derivative_scale(z, smooth(y)),
        "distribution",
        ("softmax",),
        on_logits=True,
        carried=lambda z, y, error: softmax_carried(z, smooth(y), error),
        parameters={"smoothing": smoothing},
    )


def cross_entropy_on_logits(name: str, labels: str) -> Loss:
    """The categorical cross-entropy on logits; its labels are distributions, or one class each."""
    return Loss(
        name,
        categorical_on_logits,
        categorical_on_logits_derivative,
        categorical_on_logits_scale,
        categorical_on_logits_derivative_scale,
        labels,
        ("softmax",),
        on_logits=True,
        carried=softmax_carried,
    )


FAMILIES: dict[str, Callable[..., Loss]] = {
    "huber": huber_of,
    "smooth_l1": smooth_l1_of,
    "gaussian_nll": gaussian_nll_of,
    "smoothed_cross_entropy_on_logits": smoothed_of,
}
"""Losses with parameters, each a positive number: called without any, the member with the usual ones."""

NEVER_ALL_ZERO = (
    *("identity", "sigmoid", "tanh", "logsigmoid", "softplus", "silu", "mish", "tanhshrink"),
    *("softsign", "squareplus", "elu", "selu", "celu", "leaky_relu", "hardtanh", "softmax", "log_softmax"),
)
"""Outputs that are 0 at isolated points at most: a vector of zeros has no direction, and so no cosine distance. GELU is
not one of them: its 1 + erf or 1 + tanh rounds to 0 from about z = −6 on."""

LOSSES: dict[str, Loss] = {
    loss.name: loss
    for loss in (
        Loss("half_squared_error", half_squared, np.subtract, half_squared, residual),
        Loss(
            "mean_squared_error",
            mean_squared,
            lambda a, y: 2 * (a - y) / a.shape[1],
            mean_squared,
            lambda a, y: 2 * residual(a, y) / a.shape[1],
        ),
        Loss(
            "absolute_error",
            residual,
            lambda a, y: np.sign(a - y),
            residual,
            lambda a, y: np.zeros_like(a),
            interval=sign_interval,
            pieces=lambda a, y: np.sign(a - y),
        ),
        huber_of(),
        smooth_l1_of(),
        Loss("log_cosh", log_cosh, lambda a, y: np.tanh(a - y), one_more, one_more),
        gaussian_nll_of(),
        Loss(
            "hinge",
            margin,
            lambda a, y: np.where(y * a < 1, -y, np.zeros_like(a)),
            lambda a, y: np.where(y * a < 1, 1 + np.abs(a), 0.0),
            lambda a, y: np.zeros_like(a),
            "sign",
            interval=hinge_interval,
            pieces=within_margin,
        ),
        Loss(
            "squared_hinge",
            lambda a, y: np.square(margin(a, y)),
            lambda a, y: -2 * y * margin(a, y),
            lambda a, y: margin(a, y) * (1 + np.abs(a)),
            lambda a, y: 2 * np.where(y * a < 1, 1 + np.abs(a), 0.0),
            "sign",
            pieces=within_margin,
        ),
        Loss(
            "poisson_nll",
            poisson_nll,
            lambda a, y: np.exp(a) - y,
            lambda a, y: np.exp(a) + y * np.abs(a),
            lambda a, y: np.exp(a) + y,
            "count",
        ),
        Loss(
            "cosine_distance",
            cosine_distance,
            cosine_distance_derivative,
            cosine_distance_scale,
            cosine_distance_derivative_scale,
            "direction",
            NEVER_ALL_ZERO,
            carried=cosine_distance_carried,
            squares=cosine_distance_squares,
        ),
        Loss(
            "binary_cross_entropy",
            binary,
            binary_derivative,
            binary_scale,
            binary_derivative_scale,
            "probability",
            ("sigmoid",),
            domain=(0.0, 1.0),
        ),
        Loss(
            "binary_cross_entropy_on_logits",
            binary_on_logits,
            binary_on_logits_derivative,
            binary_on_logits_scale,
            lambda z, y: sigmoid(z) + y,
            "probability",
            ("sigmoid",),
            on_logits=True,
        ),
        Loss(
            "categorical_cross_entropy",
            categorical,
            categorical_derivative,
            categorical,
            lambda a, y: quotient(y, a),
            "distribution",
            ("softmax",),
            domain=(0.0, 1.0),
        ),
        cross_entropy_on_logits("categorical_cross_entropy_on_logits", "distribution"),
        cross_entropy_on_logits("categorical_cross_entropy_with_classes", "class"),
        smoothed_of(),
        Loss(
            "negative_log_likelihood",
            on_log_probability,
            lambda a, y: -y,
            lambda a, y: y * np.abs(a),
            lambda a, y: y,
            "class",
            ("log_softmax",),
            domain=(-np.inf, 0.0),
        ),
        Loss(
            "kullback_leibler",
            kullback_leibler,
            lambda a, y: -y,
            kullback_leibler_scale,
            lambda a, y: y,
            "distribution",
            ("log_softmax",),
            domain=(-np.inf, 0.0),
        ),
    )
}


def loss(name: str, parameters: Mapping[str, float]) -> Loss:
    """The loss of that name with these parameters; with none, the usual one of the table."""
    return FAMILIES[name](**parameters) if parameters else LOSSES[name]
