"""Equations (1)–(14) of the lecture note, each by its number, over a whole batch.

Shapes: N samples, n^l units in layer l; t (*to*) is a unit of the later layer, f (*from*) of the earlier one.

    x, a, z, delta   (N, n^l)            one row a sample
    W                (n^l, n^{l-1})      W[t, f] = w_tf
    b                (n^l,)

The note writes L for the number of layers and, in (1), for the loss; here the loss is L and the last layer is L-1.
Gradients with respect to weights and biases are those of the total loss (1), hence averaged over the batch; the error
term delta is the note's, of one sample's partial loss L_i, hence not averaged.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from reference.arrays import Array, Layers


def total_input(W: Array, b: Array, a_prev: Array) -> Array:
    """Total input of a layer; the note's definition of z, which bears no number.

    z_t^l = Σ_f w_tf^l a_f^{l-1} + b_t^l

    Shapes: (n^l, n^{l-1}), (n^l,), (N, n^{l-1}) -> (N, n^l).
    """
    return a_prev @ W.T + b


def eq_1(partial_losses: Array) -> np.floating[Any]:
    """Total loss.

    L = 1/N Σ_i L_i                                                                            (1)

    Shapes: (N,) -> (). The ½ of the half squared error belongs to L_i, the 1/N stands here. The note prints (1) for the
    half squared error; every loss is averaged the same way.
    """
    return np.mean(partial_losses)


def eq_2a(W: Array, dW: Array, learning_rate: float) -> Array:
    """Gradient descent on the weights.

    w_new = w_old − η ∂L/∂w                                                                   (2a)

    Shapes: (n^l, n^{l-1}) twice, η a number -> (n^l, n^{l-1}).
    """
    return W - learning_rate * dW


def eq_2b(b: Array, db: Array, learning_rate: float) -> Array:
    """Gradient descent on the biases.

    b_new = b_old − η ∂L/∂b                                                                   (2b)

    Shapes: (n^l,) twice, η a number -> (n^l,).
    """
    return b - learning_rate * db


def eq_3(gradient: Mapping[str, Layers], step: Mapping[str, Layers]) -> float:
    """First-order change of the cost.

    ΔC ≈ Σ_v ∂C/∂v Δv   over every weight and bias v                                          (3)

    `gradient` and `step` map "W" and "b" to the arrays of each layer. What (3) leaves out is of second order.
    """
    return float(sum(np.vdot(gradient[kind][l], step[kind][l]) for kind in ("W", "b") for l in gradient[kind]))


def eq_4(gradient: Mapping[str, Layers], learning_rate: float) -> float:
    """First-order change of the cost for a step against the gradient.

    ΔC ≈ −η ‖∇C‖²                                                                             (4)

    This is (3) for Δv = −η ∇C; it is negative wherever the gradient is not zero.
    """
    return -learning_rate * eq_3(gradient, gradient)


def eq_5a(delta: Array, dz_dw: Array) -> Array:
    """Weight gradient of one sample's partial loss by the chain rule.

    ∂L_i/∂w_tf = δ_t ∂z_t/∂w_tf,   δ_t ≡ ∂L_i/∂z_t                                             (5a)

    Shapes: (N, n^l), (N, n^{l-1}) -> (N, n^l, n^{l-1}); ∂z_t/∂w_tf is the same for every t (6a).
    """
    return delta[:, :, np.newaxis] * dz_dw[:, np.newaxis, :]


def eq_5b(delta: Array, dz_db: Array) -> Array:
    """Bias gradient of one sample's partial loss by the chain rule.

    ∂L_i/∂b_t = δ_t ∂z_t/∂b_t                                                                  (5b)

    Shapes: (N, n^l), (N, n^l) -> (N, n^l).
    """
    return delta * dz_db


def eq_6a(a_prev: Array) -> Array:
    """Derivative of the total input with respect to a weight.

    ∂z_t/∂w_tf = a_f^{l-1}                                                                    (6a)

    Shapes: (N, n^{l-1}) -> (N, n^{l-1}).
    """
    return a_prev


def eq_6b(z: Array) -> Array:
    """Derivative of the total input with respect to the bias.

    ∂z_t/∂b_t = 1                                                                             (6b)

    Shapes: (N, n^l) -> (N, n^l).
    """
    return np.ones_like(z)


def eq_7a(delta: Array, a_prev: Array) -> Array:
    """Weight gradient from the error term, averaged over the batch as (1) averages.

    ∂L_i/∂w_tf^l = δ_t^l a_f^{l-1};   ∂L/∂w = 1/N Σ_i ∂L_i/∂w                                 (7a)

    Shapes: (N, n^l), (N, n^{l-1}) -> (n^l, n^{l-1}).
    """
    dW = delta.T @ a_prev  # (n^l, n^{l-1})
    dW /= len(delta)
    return dW


def eq_7b(delta: Array) -> Array:
    """Bias gradient from the error term, averaged over the batch as (1) averages.

    ∂L_i/∂b_t^l = δ_t^l;   ∂L/∂b = 1/N Σ_i ∂L_i/∂b                                            (7b)

    Shapes: (N, n^l) -> (n^l,).
    """
    return delta.sum(axis=0) / len(delta)


def eq_8(contributions: Array) -> Array:
    """Partial loss of each sample.

    L_i = Σ_t L_i(a_t^{L-1}, y_t)                                                              (8)

    Shapes: (N, n^{L-1}) -> (N,). A sum over the output's components, never a mean.
    """
    return contributions.sum(axis=1)


def eq_9(dL_da: Array, df: Array) -> Array:
    """Error term of the output layer.

    elementwise f_o:  δ_t = L_i'(a_t, y_t) f_o'(z_t)                                           (9)
    softmax:          δ_t = Σ_k ∂L_i/∂a_k ∂a_k/∂z_t

    Shapes: (N, n), (N, n) -> (N, n); for softmax the Jacobian (N, n, n), indexed [i, k, t].
    Slip: the note sums over t, which is free on the left; an elementwise f_o has no sum, and softmax sums over k.
    """
    if df.ndim == dL_da.ndim:
        return dL_da * df
    return np.einsum("ik,ikt->it", dL_da, df)


def eq_10a(dL_da: Array, df: Array, a_prev: Array) -> Array:
    """Weight gradient of the output layer: (9) put into (7a).

    ∂L_i/∂w_tf = L_i'(a_t, y_t) f_o'(z_t) a_f^{L-2}, averaged over the batch                   (10a)

    Shapes: as (9), and (N, n^{L-2}) -> (n^{L-1}, n^{L-2}). Slip: as in (9).
    """
    return eq_7a(eq_9(dL_da, df), a_prev)


def eq_10b(dL_da: Array, df: Array) -> Array:
    """Bias gradient of the output layer: (9) put into (7b).

    ∂L_i/∂b_t = L_i'(a_t, y_t) f_o'(z_t), averaged over the batch                              (10b)

    Shapes: as (9) -> (n^{L-1},). Slip: as in (9).
    """
    return eq_7b(eq_9(dL_da, df))


def eq_11(delta_next: Array, dz_dz: Array) -> Array:
    """Error term of a hidden layer by the chain rule.

    δ_f^l = Σ_t δ_t^{l+1} ∂z_t^{l+1}/∂z_f^l                                                    (11)

    Shapes: (N, n^{l+1}), the Jacobian (13) of shape (N, n^{l+1}, n^l) -> (N, n^l).
    """
    return np.einsum("it,itf->if", delta_next, dz_dz)


def eq_12(W_next: Array, b_next: Array, f: Callable[[Array], Array], z: Array) -> Array:
    """Total input of the next layer from the total input of this one.

    z_t^{l+1} = Σ_f w_tf^{l+1} f_h(z_f^l) + b_t^{l+1}                                          (12)

    Shapes: (n^{l+1}, n^l), (n^{l+1},), (N, n^l) -> (N, n^{l+1}).
    Slips: the note prints w_ft^{l+1} and b_t^l; by its own definition of w_tf they are w_tf^{l+1} and b_t^{l+1}.
    """
    return total_input(W_next, b_next, f(z))


def eq_13(W_next: Array, df: Array) -> Array:
    """Derivative of the next layer's total input with respect to this one's.

    ∂z_t^{l+1}/∂z_f^l = w_tf^{l+1} f_h'(z_f^l)                                                 (13)

    Shapes: (n^{l+1}, n^l), (N, n^l) -> (N, n^{l+1}, n^l), indexed [i, t, f]. Slip: the note prints w_ft^{l+1}.
    """
    return W_next[np.newaxis, :, :] * df[:, np.newaxis, :]


def eq_14(df: Array, delta_next: Array, W_next: Array) -> Array:
    """Error term of a hidden layer: (13) put into (11).

    δ_f^l = f_h'(z_f^l) Σ_t δ_t^{l+1} w_tf^{l+1}                                               (14)

    Shapes: (N, n^l), (N, n^{l+1}), (n^{l+1}, n^l) -> (N, n^l).
    Slip: the note prints w_ft^{l+1}; on square layers that reading runs and is wrong, on others it does not fit.
    """
    return df * (delta_next @ W_next)
