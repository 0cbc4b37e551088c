"""Activation functions: value, derivative, and the magnitudes their rounding errors are measured in.

Every function works in the format of its input, so the same table is the float64 reference and a float32 engine.
A scale s_f(z) is the magnitude that the usual formula of f passes through: an implementation that is accurate to k_f
roundings errs by at most k_f·u·s_f(z). Where the formula cancels, s_f exceeds |f|. k_f is measured (`accuracy.py`).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, ndtr

from reference.arrays import Array

Function = Callable[[Array], Array]


@dataclass(frozen=True)
class Kink:
    """A point where f is not differentiable, and the interval of derivatives that may be given there."""

    at: float
    lowest: float
    highest: float


@dataclass(frozen=True)
class Activation:
    """An activation a = f(z), its derivative, the scales of both, and its kinks.

    `coupled`: a_t depends on every z_k of the sample, and `derivative` is the Jacobian ∂a_k/∂z_t of shape (N, n, n).
    """

    value: Function
    derivative: Function
    value_scale: Function
    derivative_scale: Function
    kinks: tuple[Kink, ...] = ()
    coupled: bool = False


def magnitude(f: Function) -> Function:
    """|f|: the scale of a function whose formula does not cancel."""
    return lambda z: np.abs(f(z))


# --- the logistic family


def sigmoid(z: Array) -> Array:
    """σ(z) = 1/(1 + e^{−z})"""
    return expit(z)


def sigmoid_derivative(z: Array) -> Array:
    """σ'(z) = σ(z) σ(−z)"""
    return expit(z) * expit(-z)


def tanh_derivative(z: Array) -> Array:
    """tanh'(z) = 1 − tanh²(z) = 4e/(1 + e)², e = e^{−2|z|}; this form keeps its digits where tanh saturates."""
    e = np.exp(-2 * np.abs(z))
    return 4 * e / np.square(1 + e)


def tanh_scale(z: Array) -> Array:
    """min(|z|, 1), at most 1.31 |tanh z|: cheaper than a second tanh"""
    return np.minimum(np.abs(z), 1)


def softplus(z: Array) -> Array:
    """log(1 + e^z)"""
    return np.logaddexp(z, np.zeros((), z.dtype))


def silu(z: Array) -> Array:
    """z σ(z)"""
    return z * expit(z)


def silu_derivative(z: Array) -> Array:
    """σ(z) (1 + z σ(−z))"""
    return expit(z) * (1 + z * expit(-z))


# --- the Gaussian


def density(z: Array) -> Array:
    """φ(z) = e^{−z²/2}/√(2π); zero in every format beyond |z| = 40, so z is cut there and z² cannot overflow."""
    return np.exp(np.square(np.minimum(np.abs(z), 40)) / -2) / float(np.sqrt(2 * np.pi))


def gelu(z: Array) -> Array:
    """z Φ(z), the erf form: Φ(z) = ½(1 + erf(z/√2))"""
    return z * ndtr(z)


def gelu_derivative(z: Array) -> Array:
    """Φ(z) + z φ(z)"""
    return ndtr(z) + z * density(z)


def gelu_derivative_scale(z: Array) -> Array:
    """½(1 + |erf|) ≤ 1, and |z|φ(z), whose exponent z²/2 carries its own rounding into the result"""
    return 1 + np.abs(z) * density(z) * (1 + np.square(np.minimum(np.abs(z), 40)) / 2)


# --- piecewise linear


def relu(z: Array) -> Array:
    """max(z, 0)"""
    return np.maximum(z, 0)


def relu_derivative(z: Array) -> Array:
    """1 where z > 0, else 0"""
    return (z > 0).astype(z.dtype)


# --- coupled


def softmax(z: Array) -> Array:
    """a_t = e^{z_t − m}/Σ_k e^{z_k − m},   m = max_k z_k"""
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def softmax_jacobian(z: Array) -> Array:
    """∂a_k/∂z_t = a_k (1[k = t] − a_t)"""
    a = softmax(z)
    return a[:, :, np.newaxis] * (np.eye(z.shape[1], dtype=z.dtype) - a[:, np.newaxis, :])


def softmax_scale(z: Array) -> Array:
    """a_t (n + |z_t − m| + Σ_k a_k |z_k − m|): each exponent is rounded, and n terms are summed"""
    a, shift = softmax(z), np.abs(z - z.max(axis=1, keepdims=True))
    return a * (z.shape[1] + shift + (a * shift).sum(axis=1, keepdims=True))


def softmax_jacobian_scale(z: Array) -> Array:
    """s_k (1[k = t] + a_t) + a_k s_t, with s the scale of softmax itself"""
    a, s = softmax(z), softmax_scale(z)
    identity = np.eye(z.shape[1], dtype=z.dtype)
    return s[:, :, np.newaxis] * (identity + a[:, np.newaxis, :]) + a[:, :, np.newaxis] * s[:, np.newaxis, :]


ACTIVATIONS: dict[str, Activation] = {
    "identity": Activation(np.positive, np.ones_like, np.zeros_like, np.zeros_like),
    "sigmoid": Activation(sigmoid, sigmoid_derivative, sigmoid, sigmoid),
    "tanh": Activation(np.tanh, tanh_derivative, tanh_scale, np.ones_like),
    "relu": Activation(relu, relu_derivative, np.zeros_like, np.zeros_like, (Kink(0.0, 0.0, 1.0),)),
    "gelu": Activation(gelu, gelu_derivative, np.abs, gelu_derivative_scale),
    "softplus": Activation(softplus, sigmoid, softplus, lambda z: sigmoid(z) * (1 + np.abs(z))),
    "silu": Activation(silu, silu_derivative, magnitude(silu), lambda z: sigmoid(z) * (1 + np.abs(z))),
    "softmax": Activation(softmax, softmax_jacobian, softmax_scale, softmax_jacobian_scale, coupled=True),
}

HIDDEN = tuple(name for name, f in ACTIVATIONS.items() if not f.coupled)
"""Activations of hidden layers: f_h is elementwise."""

OUTPUT = tuple(ACTIVATIONS)
"""Activations of the output layer, f_o."""
