"""The panel: every seeded fault, by its name.

A fault is written once, as a change to one step: `wrong(m, honest, *operands)` with what `adapters.faults.fault` says
of the operands of each step. Layers are those of a network 8-16-16-4: hidden layers 1 and 2, output layer 3; layer 2 is
square, so that a transposed weight fits.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace

from adapters.faults.fault import Fault, Machine, Tensor

Wrong = Callable[..., Tensor]
Formulas = list[tuple[str, str, str, Wrong]]
Steps = list[tuple[str, str, str, int, str, Wrong]]
Graded = list[tuple[str, str, str, int, str, str, Wrong]]

SIZE = 16
"""Units of a hidden layer."""


# --- what several faults need


def sigmoid(m: Machine, z: Tensor) -> Tensor:
    return 1 / (1 + m.xp.exp(-z))


def softmax(m: Machine, z: Tensor, axis: int = 1) -> Tensor:
    e = m.xp.exp(z - m.xp.max(z, axis=axis, keepdims=True))
    return e / m.xp.sum(e, axis=axis, keepdims=True)


def over(m: Machine, x: Tensor, axis: int) -> Tensor:
    """The sum over an axis, which stays."""
    return m.xp.sum(x, axis=axis, keepdims=True)


def rows(m: Machine, x: Tensor, *chosen: int) -> Tensor:
    """Which rows of x are chosen, as a column of booleans; negative indices count from the end."""
    return chosen_of(m, x, 0, chosen)[:, None]


def columns(m: Machine, x: Tensor, *chosen: int) -> Tensor:
    """Which columns of x are chosen, as a row of booleans."""
    return chosen_of(m, x, 1, chosen)[None, :]


def chosen_of(m: Machine, x: Tensor, axis: int, chosen: tuple[int, ...]) -> Tensor:
    """Which indices along an axis are chosen, as a vector of booleans."""
    length = x.shape[axis]
    index = m.xp.arange(length)
    found = index < 0
    for i in chosen:
        found = found | (index == i % length)
    return found


def swapped(m: Machine, x: Tensor, axis: int) -> Tensor:
    """x with its first two entries along an axis in each other's place."""
    first, second, rest = (x[0:1], x[1:2], x[2:]) if axis == 0 else (x[:, 0:1], x[:, 1:2], x[:, 2:])
    return m.xp.concat([second, first, rest], axis=axis)


def shifted(m: Machine, x: Tensor, axis: int = 0) -> Tensor:
    """x with every entry one further along an axis."""
    return m.xp.roll(x, 1, axis=axis)


def negative(m: Machine, z: Tensor) -> Tensor:
    """z where it is negative, else 0."""
    return m.xp.where(z < 0, z, 0 * z)


# --- wrong formula

FORMULA = "wrong formula"

DERIVATIVES: Formulas = [
    # name, cause, network, (m, rule, g, z) -> g f'(z); planted in layer 2
    ("derivative-at-activation", "f' is taken at a instead of z", "tanh", lambda m, rule, g, z: rule(g, m.f(z))),
    ("derivative-forgotten", "δ is carried back without f'", "tanh", lambda m, rule, g, z: 1.0 * g),
    ("derivative-sign", "f' has the other sign", "tanh", lambda m, rule, g, z: -rule(g, z)),
    ("derivative-twice", "f' is multiplied with twice", "tanh", lambda m, rule, g, z: rule(rule(g, z), z)),
    ("derivative-doubled", "a factor 2 is left from a squared error", "tanh", lambda m, rule, g, z: 2 * rule(g, z)),
    ("derivative-halved", "a factor ½ is left over", "tanh", lambda m, rule, g, z: rule(g, z) / 2),
    ("tanh-not-squared", "tanh' = 1 − a", "tanh", lambda m, rule, g, z: g * (1 - m.f(z))),
    ("tanh-plus", "tanh' = 1 + a²", "tanh", lambda m, rule, g, z: g * (1 + m.f(z) ** 2)),
    ("tanh-as-sigmoid", "tanh' = a (1 − a), the sigmoid's", "tanh", lambda m, rule, g, z: g * m.f(z) * (1 - m.f(z))),
    ("tanh-finite-difference", "tanh' is a central difference with h = 10⁻³", "tanh",
        lambda m, rule, g, z: g * (m.f(z + 1e-3) - m.f(z - 1e-3)) / 2e-3),
    ("sigmoid-plus", "σ' = a (1 + a)", "sigmoid", lambda m, rule, g, z: g * m.f(z) * (1 + m.f(z))),
    ("sigmoid-of-total-input", "σ' = z (1 − z): the function meant for a is given z", "sigmoid",
        lambda m, rule, g, z: g * z * (1 - z)),
    ("sigmoid-as-tanh", "σ' = 1 − a²", "sigmoid", lambda m, rule, g, z: g * (1 - m.f(z) ** 2)),
    ("sigmoid-quarter", "σ' is ¼ everywhere", "sigmoid", lambda m, rule, g, z: g / 4),
    ("relu-lets-through", "relu' is 1 on both sides", "relu", lambda m, rule, g, z: 1.0 * g),
    ("relu-other-side", "relu' is that of the other branch", "relu", lambda m, rule, g, z: g - rule(g, z)),
    ("relu-guided", "relu' also stops a negative gradient, as guided backpropagation does", "relu",
        lambda m, rule, g, z: m.xp.where(g > 0, rule(g, z), 0 * g)),
    ("leaky-slope-usual", "leaky_relu' has the usual slope 0.01, not its own", "leaky",
        lambda m, rule, g, z: m.xp.where(z > 0, g, 0.01 * g)),
    ("leaky-slope-twice", "leaky_relu' has the slope squared", "leaky",
        lambda m, rule, g, z: m.xp.where(z > 0, g, g / 16)),
    ("leaky-slope-both", "leaky_relu' has the slope on both sides", "leaky", lambda m, rule, g, z: g / 4),
    ("elu-wrong-branch", "elu' = α e^z on both sides", "elu", lambda m, rule, g, z: 2 * g * m.xp.exp(z)),
    ("elu-alpha-forgotten", "elu' forgets α", "elu",
        lambda m, rule, g, z: m.xp.where(z > 0, g, g * m.xp.exp(negative(m, z)))),
    ("elu-plus-one", "elu' = a + 1 where a + α belongs", "elu",
        lambda m, rule, g, z: m.xp.where(z > 0, g, g * (m.f(z) + 1))),
    ("selu-scale-forgotten", "selu' forgets λ", "selu", lambda m, rule, g, z: rule(g, z) / 1.0507009873554805),
    ("gelu-by-tanh", "gelu' is that of the tanh form", "gelu", lambda m, rule, g, z: g * gelu_tanh_derivative(m, z)),
    ("gelu-half", "gelu' = Φ(z) without z φ(z)", "gelu", lambda m, rule, g, z: g * m.f(z) / z),
    ("gelu-density-half", "gelu' has ½ z φ(z)", "gelu", lambda m, rule, g, z: (rule(g, z) + g * m.f(z) / z) / 2),
    ("silu-half", "silu' = σ(z) without its second term", "silu", lambda m, rule, g, z: g * m.f(z) / z),
    ("silu-forgotten-bracket", "silu' = σ + z σ instead of σ + z σ (1 − σ)", "silu",
        lambda m, rule, g, z: g * sigmoid(m, z) * (1 + z)),
    ("mish-half", "mish' = tanh(softplus(z)) without its second term", "mish", lambda m, rule, g, z: g * m.f(z) / z),
    ("softsign-not-squared", "softsign' = 1/(1 + |z|)", "softsign", lambda m, rule, g, z: g / (1 + m.xp.abs(z))),
    ("softplus-as-itself", "softplus' = softplus", "softplus", lambda m, rule, g, z: g * m.f(z)),
    ("logsigmoid-sign", "logsigmoid' = σ(z) instead of σ(−z)", "logsigmoid", lambda m, rule, g, z: g * sigmoid(m, z)),
    ("hardtanh-straight-through", "hardtanh' is 1 also where it is cut off", "hardtanh", lambda m, rule, g, z: 1.0 * g),
    ("hardswish-half", "hardswish' = (z + 3)/6 without z/6", "hardswish",
        lambda m, rule, g, z: m.xp.where((z > -3) & (z < 3), g * (z + 3) / 6, rule(g, z))),
]  # fmt: skip


def gelu_tanh_derivative(m: Machine, z: Tensor) -> Tensor:
    """½(1 + t) + ½ z (1 − t²) √(2/π) (1 + 3·0.044715 z²), t = tanh(√(2/π)(z + 0.044715 z³))."""
    c = math.sqrt(2 / math.pi)
    t = m.xp.tanh(c * (z + 0.044715 * z**3))
    return 0.5 * (1 + t) + 0.5 * z * (1 - t**2) * c * (1 + 3 * 0.044715 * z**2)


OUTPUTS: Formulas = [
    # name, cause, network, (m, rule, g, z) -> g f_o'(z); planted in layer 3
    ("output-derivative-forgotten", "the output's δ lacks f_o'", "tanh", lambda m, rule, g, z: 1.0 * g),
    ("sum-over-t", "(9) summed over t, as the note prints it", "tanh",
        lambda m, rule, g, z: over(m, rule(g, z), 1) + 0 * g),
    ("softmax-diagonal", "softmax' is taken for elementwise: a (1 − a)", "softmax",
        lambda m, rule, g, z: g * softmax(m, z) * (1 - softmax(m, z))),
    ("softmax-off-diagonal-sign", "the off-diagonal of softmax' is + a_k a_t", "softmax",
        lambda m, rule, g, z: softmax(m, z) * (g + over(m, g * softmax(m, z), 1))),
    ("softmax-as-exponential", "softmax' is taken for a", "softmax", lambda m, rule, g, z: g * softmax(m, z)),
    ("softmax-batch-jacobian", "the sum of softmax' goes over the samples", "softmax",
        lambda m, rule, g, z: softmax(m, z) * (g - over(m, g * softmax(m, z), 0))),
    ("log-softmax-unscaled", "log_softmax' subtracts a, not a Σ_k g_k", "log-softmax",
        lambda m, rule, g, z: g - softmax(m, z)),
    ("log-softmax-forgotten", "log_softmax' is taken for 1", "log-softmax", lambda m, rule, g, z: 1.0 * g),
]  # fmt: skip

LOSS_DERIVATIVES: Formulas = [
    # name, cause, network, (m, derivative, p, y) -> ∂L_i/∂p
    ("loss-sign", "y − a instead of a − y", "tanh", lambda m, dL, p, y: -dL(p, y)),
    ("half-missing", "2 (a − y): the ½ is missing in the gradient alone", "tanh", lambda m, dL, p, y: 2 * dL(p, y)),
    ("half-twice", "½ (a − y): the ½ is taken twice", "tanh", lambda m, dL, p, y: dL(p, y) / 2),
    ("labels-forgotten", "a instead of a − y", "tanh", lambda m, dL, p, y: 1.0 * p),
    ("absolute-instead", "sign(a − y): the gradient of another loss", "regression",
        lambda m, dL, p, y: m.xp.sign(p - y)),
    ("absolute-unsigned", "the gradient of |r| taken for r", "absolute", lambda m, dL, p, y: p - y),
    ("huber-unbounded", "Huber's gradient is r beyond δ as well", "huber", lambda m, dL, p, y: p - y),
    ("huber-branches", "the branches of Huber's gradient are exchanged", "huber",
        lambda m, dL, p, y: m.xp.where(m.xp.abs(p - y) < 0.25, 0.25 * m.xp.sign(p - y), p - y)),
    ("smooth-beta-forgotten", "the gradient of the smooth L1 loss lacks 1/β", "smooth",
        lambda m, dL, p, y: dL(p, y) / 2),
    ("hinge-other-side", "the hinge's gradient is that of the samples which satisfy the margin", "hinge",
        lambda m, dL, p, y: -y - dL(p, y)),
    ("hinge-at-zero", "the hinge's margin is 0 instead of 1", "hinge",
        lambda m, dL, p, y: m.xp.where(p * y < 0, -y, 0 * y)),
    ("poisson-rate", "the rate is taken for a, not e^a", "poisson", lambda m, dL, p, y: p - y),
    ("cosine-projection", "the cosine's gradient lacks its projection", "cosine",
        lambda m, dL, p, y: -y / m.xp.sqrt(over(m, p * p, 1) * over(m, y * y, 1))),
    ("gaussian-variance", "r/v² instead of r/v", "gaussian", lambda m, dL, p, y: 2 * dL(p, y)),
    ("bernoulli-shortcut", "a − y, which already holds σ', is multiplied with σ'", "bernoulli",
        lambda m, dL, p, y: p - y),
    ("bernoulli-one-sided", "the gradient of (1 − y) log(1 − a) is missing", "bernoulli", lambda m, dL, p, y: -y / p),
    ("bernoulli-other-sign", "both parts of the gradient have one sign", "bernoulli",
        lambda m, dL, p, y: -y / p - (1 - y) / (1 - p)),
    ("logits-softmax-forgotten", "z − y: softmax is missing in the gradient", "logits", lambda m, dL, p, y: p - y),
    ("logits-sigmoid", "σ(z) − y: another output's gradient", "logits", lambda m, dL, p, y: sigmoid(m, p) - y),
    ("bernoulli-logits-forgotten", "z − y: σ is missing in the gradient", "bernoulli logits",
        lambda m, dL, p, y: p - y),
    ("smoothing-forgotten", "the gradient ignores label smoothing", "smoothed", lambda m, dL, p, y: softmax(m, p) - y),
    ("smoothing-others", "ε is shared among the n − 1 other classes", "smoothed",
        lambda m, dL, p, y: softmax(m, p) - 0.75 * y - 0.25 * (1 - y) / 3),
    ("divergence-swapped", "the gradient of KL(p ‖ q) for that of KL(q ‖ p)", "divergence",
        lambda m, dL, p, y: m.xp.exp(p) * (p + 1 - m.xp.log(y))),
    ("cross-entropy-log", "−log a − y/a: the product rule on a constant", "softmax",
        lambda m, dL, p, y: -m.xp.log(p) - y / p),
]  # fmt: skip

VALUES: Steps = [
    # name, cause, site, layer, network, (m, honest, *operands)
    ("bias-forgotten", "a layer without its bias", "z", 2, "tanh", lambda m, linear, a, W, b: linear(a, W, 0 * b)),
    ("bias-subtracted", "W a − b", "z", 2, "tanh", lambda m, linear, a, W, b: linear(a, W, -b)),
    ("bias-twice", "the bias is added twice", "z", 2, "tanh", lambda m, linear, a, W, b: linear(a, W, 2 * b)),
    ("scaled-by-width", "W a is divided by √n, as attention is", "z", 2, "tanh",
        lambda m, linear, a, W, b: linear(a, W / 4, b)),
    ("activation-forgotten", "a layer without its activation", "a", 2, "tanh", lambda m, f, z: 1.0 * z),
    ("activation-twice", "the activation is applied twice", "a", 2, "tanh", lambda m, f, z: f(f(z))),
    ("activation-of-abs", "f(|z|)", "a", 2, "tanh", lambda m, f, z: f(m.xp.abs(z))),
    ("sigmoid-for-tanh", "another activation than the one asked for", "a", 2, "tanh", lambda m, f, z: sigmoid(m, z)),
    ("tanh-pade", "tanh by z (27 + z²)/(27 + 9 z²)", "a", 2, "tanh", lambda m, f, z: z * (27 + z**2) / (27 + 9 * z**2)),
    ("gelu-quick", "z σ(1.702 z) for GELU", "a", 2, "gelu", lambda m, f, z: z * sigmoid(m, 1.702 * z)),
    ("gelu-tanh-form", "the tanh form for GELU", "a", 2, "gelu", lambda m, f, z: 0.5 * z * (
        1 + m.xp.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)))),
    ("softmax-temperature", "softmax of z/2", "a", 3, "softmax", lambda m, f, z: f(z / 2)),
    ("half-missing-in-loss", "r² instead of ½ r²", "8", 3, "tanh", lambda m, losses, p, y: 2 * losses(p, y)),
    ("loss-not-negated", "Σ y log a without its sign", "8", 3, "softmax", lambda m, losses, p, y: -losses(p, y)),
    ("loss-one-sided", "−Σ y log a for the binary cross-entropy", "8", 3, "bernoulli",
        lambda m, losses, p, y: -m.xp.sum(y * m.xp.log(p), axis=1)),
    ("root-of-loss", "√L is reported", "1", 3, "tanh", lambda m, mean, losses: m.xp.sqrt(mean(losses))),
]  # fmt: skip


# --- wrong indices

INDICES = "wrong indices"

INDEXED: Steps = [
    # name, cause, site, layer, network, (m, honest, *operands)
    ("transposed-weight", "w_ft for w_tf in (14), as the note prints it", "δW", 2, "tanh",
        lambda m, rule, g, a, W: rule(g, a, W.T)),
    ("transposed-forward", "a W for a Wᵀ", "z", 2, "tanh", lambda m, linear, a, W, b: linear(a, W.T, b)),
    ("transposed-gradient", "aᵀδ for δᵀa", "dW", 2, "tanh", lambda m, rule, g, a, W: rule(g, a, W).T),
    ("reshaped-gradient", "aᵀδ, reshaped instead of transposed", "dW", 3, "tanh",
        lambda m, rule, g, a, W: m.xp.reshape(rule(g, a, W).T, (g.shape[1], a.shape[1]))),
    ("column-major-weight", "a weight in column-major order is read in row-major", "z", 1, "tanh",
        lambda m, linear, a, W, b: linear(a, m.xp.reshape(W.T, (SIZE, 8)), b)),
    ("bias-shifted", "b_{t+1} for b_t", "z", 2, "tanh", lambda m, linear, a, W, b: linear(a, W, shifted(m, b))),
    ("softmax-over-samples", "softmax over the axis of the samples", "a", 3, "softmax",
        lambda m, f, z: softmax(m, z, 0)),
    ("log-softmax-over-samples", "log_softmax over the axis of the samples", "a", 3, "divergence",
        lambda m, f, z: m.xp.log(softmax(m, z, 0))),
    ("softmax-over-everything", "softmax over samples and classes at once", "a", 3, "softmax",
        lambda m, f, z: softmax(m, z) * over(m, m.xp.exp(z), 1) / m.xp.sum(m.xp.exp(z))),
    ("units-swapped", "two units in each other's place", "a", 2, "tanh", lambda m, f, z: swapped(m, f(z), 1)),
    ("units-of-weight-swapped", "two units of W in each other's place on the way back", "δW", 2, "tanh",
        lambda m, rule, g, a, W: rule(g, a, swapped(m, W, 1))),
    ("error-units-swapped", "two units of δ in each other's place", "δW", 2, "tanh",
        lambda m, rule, g, a, W: swapped(m, rule(g, a, W), 1)),
    ("samples-swapped", "two samples in each other's place", "z", 2, "tanh",
        lambda m, linear, a, W, b: swapped(m, linear(a, W, b), 0)),
    ("gradient-of-neighbours", "δ of a sample with a of its neighbour", "dW", 2, "tanh",
        lambda m, rule, g, a, W: rule(g, shifted(m, a), W)),
    ("gradient-reversed", "the batch in reversed order on the way back", "dW", 2, "tanh",
        lambda m, rule, g, a, W: rule(m.xp.flip(g, axis=0), a, W)),
    ("error-of-neighbours", "δ of the next sample", "δW", 3, "tanh",
        lambda m, rule, g, a, W: rule(shifted(m, g), a, W)),
    ("unit-of-gradient-shifted", "∂L/∂w_{t,f+1} for ∂L/∂w_tf", "dW", 2, "tanh",
        lambda m, rule, g, a, W: shifted(m, rule(g, a, W), 1)),
    ("bias-gradient-shifted", "∂L/∂b_{t+1} for ∂L/∂b_t", "db", 2, "tanh",
        lambda m, rule, g, a, W: shifted(m, rule(g, a, W))),
    ("last-row-dropped", "a loop over t that ends one early", "dW", 2, "tanh",
        lambda m, rule, g, a, W: m.xp.where(rows(m, W, -1), 0.0, rule(g, a, W))),
    ("last-column-dropped", "a loop over f that ends one early", "dW", 2, "tanh",
        lambda m, rule, g, a, W: m.xp.where(columns(m, W, -1), 0.0, rule(g, a, W))),
    ("last-bias-dropped", "a loop over the biases that ends one early", "db", 2, "tanh",
        lambda m, rule, g, a, W: m.xp.where(chosen_of(m, g, 1, (-1,)), 0.0, rule(g, a, W))),
    ("last-sample-dropped", "a sum over the samples that ends one early", "dW", 2, "tanh",
        lambda m, rule, g, a, W: rule(m.xp.where(rows(m, g, -1), 0.0, g), a, W)),
    ("first-sample-dropped", "a sum over the samples that begins one late", "db", 2, "tanh",
        lambda m, rule, g, a, W: rule(m.xp.where(rows(m, g, 0), 0.0, g), a, W)),
    ("last-unit-dropped", "a sum over t that ends one early", "δW", 2, "tanh",
        lambda m, rule, g, a, W: rule(m.xp.where(columns(m, g, -1), 0.0, g), a, W)),
    ("last-input-dropped", "a sum over f that ends one early", "z", 2, "tanh",
        lambda m, linear, a, W, b: linear(m.xp.where(columns(m, a, -1), 0.0, a), W, b)),
    ("last-class-dropped", "the loss leaves the last class out", "8", 3, "tanh",
        lambda m, losses, p, y: losses(m.xp.where(columns(m, p, -1), y, p), y)),
    ("tile-remainder", "a kernel sums full tiles only: the last unit lacks half of its terms", "δW", 2, "tanh",
        lambda m, rule, g, a, W: m.xp.where(
            columns(m, a, -1), rule(m.xp.where(m.xp.arange(SIZE)[None, :] < 8, g, 0.0), a, W), rule(g, a, W))),
    ("broadcast-loss", "(N,) against (N, 1): every output beside every label", "8", 3, "one output",
        lambda m, losses, p, y: m.xp.mean((p - y.T) ** 2, axis=1) / 2),
    ("broadcast-gradient", "(N,) against (N, 1) in the gradient", "dL", 3, "one output",
        lambda m, dL, p, y: p - m.xp.mean(y)),
    ("labels-shifted", "labels of the next sample", "8", 3, "tanh", lambda m, losses, p, y: losses(p, shifted(m, y))),
    ("labels-shifted-in-gradient", "labels of the next sample on the way back", "dL", 3, "tanh",
        lambda m, dL, p, y: dL(p, shifted(m, y))),
    ("classes-shifted", "classes counted from 1", "dL", 3, "log-softmax", lambda m, dL, p, y: dL(p, shifted(m, y, 1))),
    ("classes-shifted-on-logits", "classes counted from 1", "dL", 3, "logits",
        lambda m, dL, p, y: dL(p, shifted(m, y, 1))),
]  # fmt: skip


# --- wrong reduction

REDUCTION = "wrong reduction"

HEAD = 20
"""Samples of the first of two unequal batches, of 32."""


def two_batches(m: Machine, x: Tensor) -> Tensor:
    """The weight of each sample in a mean of the means of two unequal batches, times N."""
    n, one = x.shape[0], 1 + 0 * x[:, 0]
    return m.xp.where(m.xp.arange(n) < HEAD, one * (n / (2 * HEAD)), one * (n / (2 * (n - HEAD))))


REDUCED: Steps = [
    # name, cause, site, layer, network, (m, honest, *operands)
    ("bias-gradient-summed", "the gradient of the biases is summed, not averaged", "db", 2, "tanh",
        lambda m, rule, g, a, W: rule(g, a, W) * g.shape[0]),
    ("weight-gradient-averaged-twice", "the gradient of the weights is averaged twice", "dW", 2, "tanh",
        lambda m, rule, g, a, W: rule(g, a, W) / g.shape[0]),
    ("bias-gradient-averaged-twice", "the gradient of the biases is averaged twice", "db", 3, "tanh",
        lambda m, rule, g, a, W: rule(g, a, W) / g.shape[0]),
    ("bias-gradient-of-all", "the gradient of the biases is averaged over the units", "db", 2, "tanh",
        lambda m, rule, g, a, W: m.xp.mean(rule(g, a, W)) + 0 * rule(g, a, W)),
    ("gradient-of-means", "the product of means for the mean of products", "dW", 2, "tanh",
        lambda m, rule, g, a, W: rule(g, m.xp.mean(a, axis=0, keepdims=True) + 0 * a, W)),
    ("loss-summed", "a sum where the mean belongs", "1", 3, "tanh", lambda m, mean, losses: m.xp.sum(losses)),
    ("loss-over-elements", "the mean over N n elements instead of N samples", "1", 3, "tanh",
        lambda m, mean, losses: mean(losses) / 4),
    ("loss-of-batch-means", "the mean of the means of batches of 20 and 12", "1", 3, "tanh",
        lambda m, mean, losses: (mean(losses[:HEAD]) + mean(losses[HEAD:])) / 2),
    ("loss-unbiased", "the sum over N − 1", "1", 3, "tanh",
        lambda m, mean, losses: m.xp.sum(losses) / (losses.shape[0] - 1)),
    ("loss-without-last", "the mean leaves the last sample out", "1", 3, "tanh",
        lambda m, mean, losses: mean(losses[:-1])),
    ("losses-averaged", "L_i is averaged over the components", "8", 3, "tanh",
        lambda m, losses, p, y: losses(p, y) / 4),
    ("losses-summed", "L_i is summed where it is a mean over the components", "8", 3, "mean squared",
        lambda m, losses, p, y: losses(p, y) * 4),
    ("gradient-not-averaged", "no 1/N in the gradient", "dL", 3, "tanh", lambda m, dL, p, y: dL(p, y) * p.shape[0]),
    ("gradient-averaged-twice", "1/N twice in the gradient", "dL", 3, "tanh",
        lambda m, dL, p, y: dL(p, y) / p.shape[0]),
    ("gradient-over-elements", "1/(N n) for 1/N in the gradient", "dL", 3, "tanh", lambda m, dL, p, y: dL(p, y) / 4),
    ("gradient-unbiased", "1/(N − 1) for 1/N in the gradient", "dL", 3, "tanh",
        lambda m, dL, p, y: dL(p, y) * (p.shape[0] / (p.shape[0] - 1))),
    ("gradient-of-batch-means", "the gradients of batches of 20 and 12 are averaged evenly", "dL", 3, "tanh",
        lambda m, dL, p, y: dL(p, y) * two_batches(m, p)[:, None]),
    ("gradient-over-positives", "the mean is over the positive labels only", "dL", 3, "bernoulli",
        lambda m, dL, p, y: dL(p, y) * (4 * p.shape[0] / m.xp.sum(y))),
    ("error-averaged", "δ is averaged in each layer on the way back", "δW", 2, "tanh",
        lambda m, rule, g, a, W: rule(g, a, W) / g.shape[0]),
]  # fmt: skip


# --- wrong state

STATE = "wrong state"

ETA = 0.1

STATEFUL: Steps = [
    # name, cause, site, layer, network, (m, honest, *operands)
    ("gradient-accumulated", "the gradient of the weights is not reset", "dW", 2, "tanh",
        lambda m, rule, g, a, W: rule(g, a, W) + m.past.dW),
    ("bias-gradient-accumulated", "the gradient of the biases is not reset", "db", 2, "tanh",
        lambda m, rule, g, a, W: rule(g, a, W) + m.past.db),
    ("gradient-smoothed", "a running average stands for the gradient", "dW", 2, "tanh",
        lambda m, rule, g, a, W: 0.1 * rule(g, a, W) + 0.9 * m.past.dW),
    ("stale-activation", "the activation of the batch before", "dW", 2, "tanh",
        lambda m, rule, g, a, W: rule(g, m.past.a, W)),
    ("stale-total-input", "f' at the total input of the batch before", "f_h'", 2, "tanh",
        lambda m, rule, g, z: rule(g, m.past.z)),
    ("bias-of-layer-below", "b^l for b^{l+1}, as the note prints (12)", "z", 2, "tanh",
        lambda m, linear, a, W, b: linear(a, W, m.b_below + 0 * b)),
]  # fmt: skip

IN_PLACE: Steps = [
    ("weights-updated-first", "the weights are updated before the backward pass has used them", "δW", 2, "tanh",
        lambda m, rule, g, a, W: rule(g, a, W - ETA * m.share * (g.T @ a))),
    ("input-normalised-in-place", "the input is centred in place after the forward pass", "dW", 1, "tanh",
        lambda m, rule, g, a, W: rule(g, a - m.xp.mean(a, axis=0, keepdims=True), W)),
    ("input-clipped-in-place", "the input is clipped in place before the forward pass", "z", 1, "tanh",
        lambda m, linear, a, W, b: linear(m.xp.clip(a, -1.0, 1.0), W, b)),
    ("activation-overwritten", "an in-place activation overwrites what (7a) needs", "dW", 3, "tanh",
        lambda m, rule, g, a, W: rule(g, m.xp.tanh(a), W)),
    ("total-input-overwritten", "an in-place activation overwrites the z that f' needs", "f_h'", 1, "silu",
        lambda m, rule, g, z: rule(g, m.f(z))),
    ("detached", "the graph is cut: no gradient flows on", "δW", 2, "tanh", lambda m, rule, g, a, W: 0 * rule(g, a, W)),
    ("frozen-weights", "a layer is left frozen", "dW", 1, "tanh", lambda m, rule, g, a, W: 0 * rule(g, a, W)),
    ("frozen-bias", "a bias is left frozen", "db", 1, "tanh", lambda m, rule, g, a, W: 0 * rule(g, a, W)),
    ("dropout-left-on", "dropout is left on: every fourth unit is 0", "a", 2, "tanh",
        lambda m, f, z: m.xp.where(m.xp.arange(SIZE)[None, :] % 4 == 0, 0.0, f(z))),
    ("dropout-mask-backward", "dropout's mask is applied on the way back alone", "δW", 2, "tanh",
        lambda m, rule, g, a, W: m.xp.where(m.xp.arange(SIZE)[None, :] % 4 == 0, 0.0, rule(g, a, W))),
    ("gradient-twice", "backward is called twice without a reset", "dW", 2, "tanh",
        lambda m, rule, g, a, W: 2 * rule(g, a, W)),
    ("bias-gradient-twice", "the gradient of a shared bias is added twice", "db", 2, "tanh",
        lambda m, rule, g, a, W: 2 * rule(g, a, W)),
    ("gradient-ascent", "the gradient of the weights with the other sign", "dW", 3, "tanh",
        lambda m, rule, g, a, W: -rule(g, a, W)),
    ("decay-in-gradient", "weight decay of 10⁻² is left in the gradient", "dW", 2, "tanh",
        lambda m, rule, g, a, W: rule(g, a, W) + 1e-2 * W),
]  # fmt: skip


# --- wrong precision

PRECISION = "wrong precision"

HALF, BRAIN = 11, 8
"""Significant bits of float16, which are also those of TF32, and of bfloat16."""

PRECISE: Graded = [
    # name, cause, site, layer, network, the coarsest format that sees it, (m, honest, *operands)
    ("error-in-half", "(14)'s product of matrices takes float16 operands", "δW", 2, "tanh", "float32",
        lambda m, rule, g, a, W: rule(m.digits(g, HALF), a, m.digits(W, HALF))),
    ("gradient-in-brain", "(7a)'s product of matrices takes bfloat16 operands", "dW", 2, "tanh", "float32",
        lambda m, rule, g, a, W: rule(m.digits(g, BRAIN), m.digits(a, BRAIN), W)),
    ("weights-in-brain", "the weights are rounded to bfloat16", "z", 2, "tanh", "float32",
        lambda m, linear, a, W, b: linear(a, m.digits(W, BRAIN), b)),
    ("tensor-float", "the product of matrices takes TF32 operands", "z", 2, "tanh", "float32",
        lambda m, linear, a, W, b: linear(m.digits(a, HALF), m.digits(W, HALF), b)),
    ("activation-in-half", "activations are kept in float16", "a", 2, "tanh", "float32",
        lambda m, f, z: m.digits(f(z), HALF)),
    ("error-kept-in-half", "δ is kept in float16", "f_h'", 2, "tanh", "float32",
        lambda m, rule, g, z: m.digits(rule(g, z), HALF)),
    ("bias-gradient-in-half", "the gradient of the biases is kept in float16", "db", 2, "tanh", "float32",
        lambda m, rule, g, a, W: m.digits(rule(g, a, W), HALF)),
    ("loss-in-half", "the loss is kept in float16", "8", 3, "tanh", "float32",
        lambda m, losses, p, y: m.digits(losses(p, y), HALF)),
    ("output-error-in-half", "the gradient of the loss is kept in float16", "dL", 3, "tanh", "float32",
        lambda m, dL, p, y: m.digits(dL(p, y), HALF)),
    ("single-in-double", "one layer's product takes float32 operands", "z", 2, "tanh", "float64",
        lambda m, linear, a, W, b: linear(m.digits(a, 24), m.digits(W, 24), b)),
    ("gradient-single-in-double", "one layer's gradient takes float32 operands", "dW", 2, "tanh", "float64",
        lambda m, rule, g, a, W: rule(m.digits(g, 24), m.digits(a, 24), W)),
    ("constant-in-single", "√(2/π) of GELU is held in 4 digits", "a", 2, "gelu_tanh", "float32",
        lambda m, f, z: 0.5 * z * (1 + m.xp.tanh(0.7979 * (z + 0.044715 * z**3)))),
    ("selu-constants-short", "λ of SELU is held in 5 digits", "f_h'", 2, "selu", "float64",
        lambda m, rule, g, z: rule(g, z) * (1.0507 / 1.0507009873554805)),
    ("epsilon-in-gradient", "ε = 10⁻⁷ is added to the gradient", "dW", 2, "tanh", "float32",
        lambda m, rule, g, a, W: rule(g, a, W) + 1e-7),
    ("epsilon-in-derivative", "ε = 10⁻⁵ is added to f'", "f_h'", 2, "tanh", "float32",
        lambda m, rule, g, z: rule(g, z) + 1e-5 * g),
    ("epsilon-in-logarithm", "log(a + 10⁻⁷)", "8", 3, "bernoulli", "float64",
        lambda m, losses, p, y: -m.xp.sum(y * m.xp.log(p + 1e-7) + (1 - y) * m.xp.log(1 - p + 1e-7), axis=1)),
    ("epsilon-in-softmax", "10⁻⁶ is added to softmax's sum", "a", 3, "softmax", "float64",
        lambda m, f, z: f(z) / (1 + 1e-6 / over(m, m.xp.exp(z), 1))),
    ("probability-clamped", "probabilities are kept within 0.4 and 0.6 before the logarithm",
        "8", 3, "bernoulli", "bfloat16", lambda m, losses, p, y: losses(m.xp.clip(p, 0.4, 0.6), y)),
    ("probability-clamped-in-gradient", "the clamp of a probability cuts its gradient off",
        "dL", 3, "bernoulli", "bfloat16",
        lambda m, dL, p, y: m.xp.where((p > 0.4) & (p < 0.6), dL(p, y), 0.0)),
    ("loss-scale-off", "a loss scale of 2¹⁰ is taken back as 1000", "dW", 2, "tanh", "float16",
        lambda m, rule, g, a, W: rule(g, a, W) * 1.024),
    ("gradient-clipped", "the gradient of the weights is clipped at 10⁻³", "dW", 2, "tanh", "bfloat16",
        lambda m, rule, g, a, W: m.xp.clip(rule(g, a, W), -1e-3, 1e-3)),
]  # fmt: skip

# --- partial faults

PARTIAL = "partial"

PARTS: Graded = [
    # name, cause, site, layer, network, the coarsest format that sees it, (m, honest, *operands)
    ("one-element", "one element of ∂L/∂W is off by a thousandth", "dW", 2, "tanh", "float32",
        lambda m, rule, g, a, W: m.xp.where(rows(m, W, 3) & columns(m, W, 5), 1.001 * rule(g, a, W), rule(g, a, W))),
    ("one-element-gross", "one element of ∂L/∂W is doubled", "dW", 2, "tanh", "bfloat16",
        lambda m, rule, g, a, W: m.xp.where(rows(m, W, 3) & columns(m, W, 5), 2 * rule(g, a, W), rule(g, a, W))),
    ("one-weight", "one weight is another on the way back", "δW", 2, "tanh", "bfloat16",
        lambda m, rule, g, a, W: rule(g, a, m.xp.where(rows(m, W, 3) & columns(m, W, 5), -W, W))),
    ("one-sample", "the δ of one sample is doubled", "f_h'", 2, "tanh", "bfloat16",
        lambda m, rule, g, z: m.xp.where(rows(m, z, 7), 2 * rule(g, z), rule(g, z))),
    ("one-sample-slightly", "the δ of one sample is off by a ten-thousandth", "f_h'", 2, "tanh", "float32",
        lambda m, rule, g, z: m.xp.where(rows(m, z, 7), 1.0001 * rule(g, z), rule(g, z))),
    ("one-sample-forward", "one sample is computed without a bias", "z", 2, "tanh", "bfloat16",
        lambda m, linear, a, W, b: m.xp.where(rows(m, a, 7), linear(a, W, 0 * b), linear(a, W, b))),
    ("one-unit", "one unit is carried back without f'", "f_h'", 2, "tanh", "bfloat16",
        lambda m, rule, g, z: m.xp.where(columns(m, z, 3), g, rule(g, z))),
    ("one-class", "the gradient of one class has the other sign", "dL", 3, "softmax", "bfloat16",
        lambda m, dL, p, y: m.xp.where(columns(m, p, 2), -dL(p, y), dL(p, y))),
    ("one-bias", "one bias is never trained", "db", 2, "tanh", "bfloat16",
        lambda m, rule, g, a, W: m.xp.where(chosen_of(m, g, 1, (3,)), 0.0, rule(g, a, W))),
    ("one-label", "one sample's label is another in the loss", "8", 3, "softmax", "bfloat16",
        lambda m, losses, p, y: losses(p, m.xp.where(rows(m, y, 7), shifted(m, y, 1), y))),
    ("one-loss", "one sample's loss is left out", "8", 3, "tanh", "bfloat16",
        lambda m, losses, p, y: losses(m.xp.where(rows(m, p, 7), y, p), y)),
    ("last-bit", "one value is off by 2⁻¹⁸", "a", 2, "tanh", "float32",
        lambda m, f, z: m.xp.where(rows(m, z, 7) & columns(m, z, 3), f(z) * (1 + 2.0**-18), f(z))),
    ("last-bits-double", "one value is off by 2⁻⁴⁶", "a", 2, "tanh", "float64",
        lambda m, f, z: m.xp.where(rows(m, z, 7) & columns(m, z, 3), f(z) * (1 + 2.0**-46), f(z))),
]  # fmt: skip


# --- values that are not finite

NOT_FINITE = "not finite"

NAN, INFINITY = math.nan, math.inf

UNFINITE: Steps = [
    # name, cause, site, layer, network, (m, honest, *operands)
    ("nan-in-error", "0/0 in f' of one element", "f_h'", 2, "tanh",
        lambda m, rule, g, z: m.xp.where(rows(m, z, 2) & columns(m, z, 1), NAN, rule(g, z))),
    ("nan-in-gradient", "NaN in one element of ∂L/∂W", "dW", 2, "tanh",
        lambda m, rule, g, a, W: m.xp.where(rows(m, W, 2) & columns(m, W, 1), NAN, rule(g, a, W))),
    ("nan-in-loss", "NaN in one sample's loss", "8", 3, "tanh",
        lambda m, losses, p, y: m.xp.where(m.xp.arange(p.shape[0]) == 2, NAN, losses(p, y))),
    ("infinity-in-bias-gradient", "an overflow in ∂L/∂b", "db", 2, "tanh",
        lambda m, rule, g, a, W: m.xp.where(chosen_of(m, g, 1, (2,)), INFINITY, rule(g, a, W))),
    ("nan-in-activation", "NaN in one activation", "a", 2, "tanh",
        lambda m, f, z: m.xp.where(rows(m, z, 2) & columns(m, z, 1), NAN, f(z))),
    ("all-nan", "every δ of a layer is NaN", "δW", 2, "tanh", lambda m, rule, g, a, W: NAN * rule(g, a, W)),
    ("nan-swallowed", "what is not finite is replaced by 0", "z", 2, "overflow",
        lambda m, linear, a, W, b: finite_or(m, linear(a, W, b), 0.0)),
    ("infinity-clamped", "what is not finite is replaced by the largest value seen", "z", 2, "overflow",
        lambda m, linear, a, W, b: finite_or(m, linear(a, W, b), 1.0)),
]  # fmt: skip


def finite_or(m: Machine, x: Tensor, otherwise: float) -> Tensor:
    """x where the format holds it."""
    return m.xp.where(m.xp.abs(x) <= m.largest, x, otherwise)


# --- faults that frameworks have had

HISTORICAL = "historical"

GITHUB = "https://github.com/"

SEEN_BEFORE: list[tuple[str, str, str, str, int, str, Wrong]] = [
    # name, cause, where, site, layer, network, (m, honest, *operands)
    ("kl-mean-over-elements", "the mean of kl_div is over N n elements", "pytorch/pytorch/issues/6622",
        "1", 3, "divergence", lambda m, mean, losses: mean(losses) / 4),
    ("chunk-means-summed", "the means of two chunks of a batch are added", "NVIDIA-NeMo/Automodel/issues/3803",
        "1", 3, "logits", lambda m, mean, losses: mean(losses[:SIZE]) + mean(losses[SIZE:])),
    ("accumulation-mean-of-means", "gradients of unequal micro-batches are averaged evenly",
        "huggingface/transformers/pull/34191",
        "dL", 3, "logits", lambda m, dL, p, y: dL(p, y) * two_batches(m, p)[:, None]),
    ("mse-broadcast-to-square", "(N,) against (N, 1) becomes N × N", "pytorch/pytorch/issues/16413",
        "8", 3, "one output", lambda m, losses, p, y: m.xp.mean((p - y.T) ** 2, axis=1) / 2),
    ("log-softmax-adds-upstream", "g + a where g − a Σ_k g_k belongs", "mlpack/mlpack/issues/2360",
        "f_o'", 3, "log-softmax regression", lambda m, rule, g, z: g + softmax(m, z)),
    ("softsign-derivative-of-output", "1/(1 + |a|)² for 1/(1 + |z|)²", "apache/mxnet/issues/10868",
        "f_h'", 2, "softsign", lambda m, rule, g, z: g / (1 + m.xp.abs(m.f(z))) ** 2),
    ("strides-ignored", "the derivative reads z in the order of memory, not of its indices",
        "pytorch/pytorch/issues/175188",
        "f_h'", 2, "silu", lambda m, rule, g, z: rule(g, m.xp.reshape(z.T, z.shape))),
    ("bias-along-batch", "the bias is added along the axis of the samples", "openxla/xla/issues/46897",
        "z", 2, "tanh", lambda m, linear, a, W, b: linear(a, W, 0 * b) + m.xp.concat([b, b])[:, None]),
    ("zero-past-first-page", "the gradient of the input is 0 from some sample on", "pytorch/pytorch/pull/189565",
        "δW", 2, "tanh",
        lambda m, rule, g, a, W: m.xp.where(m.xp.arange(a.shape[0])[:, None] < SIZE, rule(g, a, W), 0.0)),
    ("sixth-in-float32", "hardswish' with a 1/6 held in float32, as PyTorch 2.13 has it in hardsigmoid'", "",
        "f_h'", 2, "hardswish",
        lambda m, rule, g, z: m.xp.where((z > -3) & (z < 3), rule(g, z) * (1 + 2.0**-26), rule(g, z))),
]  # fmt: skip


# --- the panel

SEES = {
    **dict.fromkeys(("gelu-by-tanh", "gelu-tanh-form", "tanh-finite-difference"), "float32"),
    **dict.fromkeys(("loss-of-batch-means", "loss-without-last", "loss-unbiased"), "float32"),
    **dict.fromkeys(("weights-updated-first", "one-label", "one-bias", "last-bias-dropped"), "float32"),
    **dict.fromkeys(("first-sample-dropped", "smoothing-others", "smoothing-forgotten"), "float16"),
    **dict.fromkeys(("gradient-unbiased", "kl-mean-over-elements", "probability-clamped", "one-weight"), "float16"),
    "selu-scale-forgotten": "float16",
    "sixth-in-float32": "float64",
}
"""The coarsest format that sees a fault, where that is not bfloat16."""

TRAINED = {
    "weights-updated-first": "float64",  # a step of η·10⁻⁵
    "kl-mean-over-elements": "float64",  # a divergence near 0 is what is left of numbers near 1
    "divergence-swapped": "float64",  # where q is p, both divergences have the gradient 0
    # what a trained network no longer meets: every margin is kept, no residual exceeds δ, no gradient the clip
    **dict.fromkeys(("hinge-at-zero", "huber-unbounded", "gradient-clipped"), ""),
}
"""The coarsest format that sees a fault near convergence, where that is not the coarser of the usual and float32."""


def panel() -> Iterator[Fault]:
    """All of them, in the order of the chapters."""
    for site, layer, formulas in (("f_h'", 2, DERIVATIVES), ("f_o'", 3, OUTPUTS), ("dL", 3, LOSS_DERIVATIVES)):
        for name, cause, network, wrong in formulas:
            yield Fault(name, FORMULA, cause, site, layer, wrong, network)
    for kind, table in (
        (FORMULA, VALUES),
        (INDICES, INDEXED),
        (REDUCTION, REDUCED),
        (STATE, IN_PLACE),
        (NOT_FINITE, UNFINITE),
    ):
        for name, cause, site, layer, network, wrong in table:
            yield Fault(name, kind, cause, site, layer, wrong, network)
    for name, cause, site, layer, network, wrong in STATEFUL:
        yield Fault(name, STATE, cause, site, layer, wrong, network, remembers=True)
    for kind, graded in ((PRECISION, PRECISE), (PARTIAL, PARTS)):
        for name, cause, site, layer, network, sees, wrong in graded:
            yield Fault(name, kind, cause, site, layer, wrong, network, sees)
    for name, cause, where, site, layer, network, wrong in SEEN_BEFORE:
        yield Fault(name, HISTORICAL, cause, site, layer, wrong, network, source=where and GITHUB + where)


def graded(fault: Fault) -> Fault:
    """The fault with the formats that see it."""
    return replace(fault, sees=SEES.get(fault.name, fault.sees), trained=TRAINED.get(fault.name))


FAULTS = {fault.name: graded(fault) for fault in panel()}
"""Every fault of the forward and the backward pass."""
