"""Loss functions: each component's contribution to L_i, its derivative, and the magnitudes of their rounding errors.

Contributions are summed over the components t by (8) and averaged over the samples by (1); no reduction happens here.
`p` is what the loss is given: the output's activation a, or, for a loss on logits, its total input z. Such a loss holds
its output activation within itself, and its derivative is the error term δ of (9) at once.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, xlog1py, xlogy

from reference.activations import softmax, softmax_scale, softplus
from reference.arrays import Array

Contribution = Callable[[Array, Array], Array]


@dataclass(frozen=True)
class Loss:
    """A loss with contributions ℓ(p_t, y_t), ∂L_i/∂p_t, the scales of both, the outputs it fits, and what p is.

    `outputs`: the output activations it is defined for; empty means all. `on_logits`: p is z, not a.
    """

    value: Contribution
    derivative: Contribution
    value_scale: Contribution
    derivative_scale: Contribution
    outputs: tuple[str, ...] = ()
    on_logits: bool = False

    def argument(self, z: Array, a: Array) -> Array:
        """p: the output's total input or its activation."""
        return z if self.on_logits else a


# --- squared


def half_squared(a: Array, y: Array) -> Array:
    """½(a_t − y_t)²: the ½ is the note's, (1)"""
    return np.square(a - y) / 2


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
    """σ(z) − y: (9) with f_o = σ, where σ' cancels a (1 − a)"""
    return expit(z) - y


def log_partition(z: Array) -> Array:
    """log Σ_k e^{z_k − m},   m = max_k z_k"""
    return np.log(np.exp(z - z.max(axis=1, keepdims=True)).sum(axis=1, keepdims=True))


def categorical_on_logits(z: Array, y: Array) -> Array:
    """−y_t log softmax_t(z)"""
    return y * (log_partition(z) - (z - z.max(axis=1, keepdims=True)))


def categorical_on_logits_scale(z: Array, y: Array) -> Array:
    """y_t (2|z_t − m| + log Σ e^{z_k − m} + n + Σ_k a_k |z_k − m|): the rounding of exponents and sum is absolute"""
    shift = np.abs(z - z.max(axis=1, keepdims=True))
    spread = (softmax(z) * shift).sum(axis=1, keepdims=True)
    return y * (2 * shift + log_partition(z) + z.shape[1] + spread)


def categorical_on_logits_derivative(z: Array, y: Array) -> Array:
    """a_t Σ_k y_k − y_t, a = softmax(z): (9) with the full Jacobian, where −y/a cancels a"""
    return softmax(z) * y.sum(axis=1, keepdims=True) - y


def categorical_on_logits_derivative_scale(z: Array, y: Array) -> Array:
    """s_t Σ_k y_k + y_t, with s the scale of softmax"""
    return softmax_scale(z) * y.sum(axis=1, keepdims=True) + y


LOSSES: dict[str, Loss] = {
    "half_squared_error": Loss(half_squared, np.subtract, half_squared, lambda a, y: np.abs(a - y)),
    "binary_cross_entropy": Loss(binary, binary_derivative, binary_scale, binary_derivative_scale, ("sigmoid",)),
    "binary_cross_entropy_on_logits": Loss(
        binary_on_logits,
        binary_on_logits_derivative,
        binary_on_logits_scale,
        lambda z, y: expit(z) + y,
        ("sigmoid",),
        on_logits=True,
    ),
    "categorical_cross_entropy": Loss(
        categorical, categorical_derivative, categorical, lambda a, y: quotient(y, a), ("softmax",)
    ),
    "categorical_cross_entropy_on_logits": Loss(
        categorical_on_logits,
        categorical_on_logits_derivative,
        categorical_on_logits_scale,
        categorical_on_logits_derivative_scale,
        ("softmax",),
        on_logits=True,
    ),
}
