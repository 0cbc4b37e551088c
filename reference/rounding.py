"""The rounding model: how far an honest engine may stray from each equation, given the equation's own operands.

After N. J. Higham, *Accuracy and Stability of Numerical Algorithms* (2nd ed., SIAM 2002), ch. 2 and 3. An operation in
a format of unit roundoff u commits a relative error of at most u, or, below the normal numbers, an absolute one of at
most `underflow`. Every allowance here is the sum of those errors over the operations of one equation, to first order in
u; the operands are the trace's own, so no error of an earlier layer enters.

The reference computes in float64 and rounds as well: u is the engine's unit roundoff plus the reference's.
"""

from dataclasses import dataclass

import numpy as np

from reference import accuracy
from reference.activations import ACTIVATIONS
from reference.arrays import Array
from reference.equations import eq_9
from reference.losses import LOSSES

UNIT_ROUNDOFF = {"float32": 2.0**-24, "float64": 2.0**-53}
"""u of each format, rounding to nearest: half the distance from 1 to the next number."""

SMALLEST_NORMAL = {"float32": 2.0**-126, "float64": 2.0**-1022}
"""The underflow step. XLA's CPU and GPU code flushes subnormal results to zero, an error of up to the smallest normal
number; an engine with gradual underflow errs by far less."""

DTYPES = tuple(UNIT_ROUNDOFF)


@dataclass(frozen=True)
class Rounding:
    """An engine's format as the audit sees it: u of engine and reference together, the underflow step, k_f's."""

    u: float
    underflow: float
    value_accuracy: dict[str, float]
    derivative_accuracy: dict[str, float]


def rounding(dtype: str) -> Rounding:
    """The rounding of an engine that computes in `dtype`, judged by a reference in float64."""
    u = UNIT_ROUNDOFF[dtype] + UNIT_ROUNDOFF["float64"]
    return Rounding(u, SMALLEST_NORMAL[dtype], accuracy.VALUE[dtype], accuracy.DERIVATIVE[dtype])


def gamma(n: int, u: float) -> float:
    """Bound on the relative error of n successive roundings.

    γ_n = n u/(1 − n u)   (Higham, lemma 3.1)

    Raises ValueError where n u ≥ 1: in such a format a sum of that length has no correct digit to speak of.
    """
    if n * u >= 1:
        raise ValueError(f"{n} roundings of unit roundoff {u} leave no digit: n·u should be below 1")
    return n * u / (1 - n * u)


def contraction(n: int, size: Array, r: Rounding) -> Array:
    """Allowance of a sum of n products, added in any order.

    γ_n Σ|x||y|, and an underflow in every product   (Higham, §3.1)

    `size` is Σ|x||y|.
    """
    return gamma(n, r.u) * size + n * r.underflow


LARGE = 2**20
"""Products of numbers in a product of matrices from which on it is worth taking in float32."""


def product_of_sizes(A: Array, B: Array, factor: float = 1.0) -> Array:
    """factor · |A||B|, or more by at most 2γ_{n+3}(2⁻²⁴): an allowance needs few digits.

    A large product is taken in float32, in half the time. With v = 2⁻²⁴, the two conversions, the product and n − 1
    additions leave Ŝ ≥ (1 − γ_{n+2}(v)) S − n η, where η, the underflow in one product, is below 2·2⁻¹²⁶·2²⁰ + 2⁻¹²⁶
    < 2⁻¹⁰⁴ for numbers up to 2²⁰. Where Ŝ ≥ 2⁻⁶⁰ and n < 2¹⁹, n η < v Ŝ/2, so that S ≤ Ŝ/(1 − γ_{n+3}(v)); and Ŝ < 2⁶⁰.
    Anything else is left to float64: other ranges, infinities, NaN.
    """
    n = A.shape[1]
    if A.size * B.shape[1] >= LARGE and n < 2**19:
        with np.errstate(over="ignore", under="ignore"):
            A32, B32 = A.astype(np.float32), B.astype(np.float32)
        np.abs(A32, out=A32)
        np.abs(B32, out=B32)
        if max(A32.max(), B32.max()) <= 2.0**20 and (size := A32 @ B32).min() >= 2.0**-60:
            return np.multiply(size, factor / (1 - gamma(n + 3, UNIT_ROUNDOFF["float32"])), dtype=np.float64)
    size = np.abs(A) @ np.abs(B)
    size *= factor
    return size


# --- scalar functions


def value_error(f: str, z: Array, r: Rounding) -> Array:
    """Allowance of a^l = f(z^l): k_f u s_f(z), and an underflow, which a formula like z σ(z) multiplies by z.

    A function without a k_f is exact: it rounds nothing.
    """
    if f not in r.value_accuracy:
        return np.full_like(z, r.underflow)
    return r.value_accuracy[f] * r.u * ACTIVATIONS[f].value_scale(z) + r.underflow * (1 + np.abs(z))


def derivative_error(f: str, z: Array, r: Rounding) -> Array:
    """Allowance of f'(z): k_f' u s_f'(z), and an underflow as in f; for softmax, of each element of the Jacobian."""
    if ACTIVATIONS[f].coupled:
        return r.value_accuracy[f] * r.u * ACTIVATIONS[f].derivative_scale(z) + r.underflow
    if f not in r.derivative_accuracy:
        return np.full_like(z, r.underflow)
    return r.derivative_accuracy[f] * r.u * ACTIVATIONS[f].derivative_scale(z) + r.underflow * (1 + np.abs(z))


def contribution_error(loss: str, p: Array, y: Array, r: Rounding) -> Array:
    """Allowance of one component's contribution to L_i: k u s(p, y)."""
    return r.value_accuracy[loss] * r.u * LOSSES[loss].value_scale(p, y) + r.underflow


DERIVATIVE_ROUNDINGS = {
    "half_squared_error": 1,  # a − y
    "binary_cross_entropy": 4,  # 1 − a, 1 − y or a − y, the quotient, the difference
    "categorical_cross_entropy": 1,  # y/a
}
"""Operations in the derivative of a loss that is plain arithmetic; on logits, it is f_o's accuracy that counts."""


def loss_derivative_error(loss: str, p: Array, y: Array, r: Rounding) -> Array:
    """Allowance of ∂L_i/∂p_t: its roundings, counted or (on logits) those of f_o, times its scale."""
    on_logits = LOSSES[loss].on_logits
    k = r.value_accuracy[LOSSES[loss].outputs[0]] + 1 if on_logits else DERIVATIVE_ROUNDINGS[loss]  # +1: minus y
    return k * r.u * LOSSES[loss].derivative_scale(p, y) + r.underflow


# --- the equations


def total_input_error(W: Array, b: Array, a_prev: Array, r: Rounding) -> Array:
    """Allowance of z^l: n^{l-1} products and the bias.   γ_{n+1} (|W||a| + |b|)"""
    return contraction(W.shape[1] + 1, product_of_sizes(a_prev, W.T) + np.abs(b), r)


def eq_1_error(terms: Array, errors: Array, r: Rounding) -> Array:
    """Allowance of the total loss: the errors of all contributions, N n additions in any order, the division by N."""
    return (errors.sum() + contraction(terms.size, np.abs(terms).sum(), r)) / len(terms)


def eq_2_error(new: Array, gradient: Array, learning_rate: float, r: Rounding) -> Array:
    """Allowance of one update: η is rounded, η ∂L/∂w is rounded, and so is the difference."""
    return r.u * (np.abs(new) + 2 * abs(learning_rate) * np.abs(gradient)) + 2 * r.underflow


def eq_7a_error(delta: Array, a_prev: Array, r: Rounding) -> Array:
    """Allowance of ∂L/∂W: N products, the division by N.   γ_{N+1} |δ|ᵀ|a|/N"""
    n = len(delta) + 1
    allowed = product_of_sizes(delta.T, a_prev, gamma(n, r.u) / len(delta))  # (n^l, n^{l-1})
    allowed += n * r.underflow
    return allowed


def eq_7b_error(delta: Array, r: Rounding) -> Array:
    """Allowance of ∂L/∂b: N terms, the division by N.   γ_N Σ|δ|/N"""
    return contraction(len(delta), np.abs(delta).sum(axis=0) / len(delta), r)


def eq_8_error(terms: Array, errors: Array, r: Rounding) -> Array:
    """Allowance of L_i: the errors of its contributions, n − 1 additions."""
    return errors.sum(axis=1) + contraction(terms.shape[1] - 1, np.abs(terms).sum(axis=1), r)


CHAIN = 4
"""Roundings in (9) beside the two factors: 1/N, the product with it, the product with f', and N times the result."""


def eq_9_error(loss: str, output: str, z: Array, a: Array, y: Array, r: Rounding) -> Array:
    """Allowance of δ^{L-1}: the error of each factor times the size of the other, and the products.

    Underflow strikes the gradient of the mean, 1/N of δ, and so counts N times.
    """
    p = LOSSES[loss].argument(z, a)
    g = np.abs(LOSSES[loss].derivative(p, y))
    g_error = loss_derivative_error(loss, p, y, r)
    underflow = 2 * len(z) * r.underflow
    if LOSSES[loss].on_logits:
        return g_error + CHAIN * r.u * g + underflow
    df = np.abs(ACTIVATIONS[output].derivative(z))
    df_error = derivative_error(output, z, r) + CHAIN * r.u * df
    return eq_9(g, df_error) + eq_9(g_error, df) + underflow


def eq_14_error(df: Array, df_error: Array, summed: Array, size: Array, n: int, r: Rounding) -> Array:
    """Allowance of δ^l: n = n^{l+1} products, then f', in two factors where an engine applies it so.

    |f'| γ_{n+2} |δ||W| + |δW| k_f' u s_f'

    `summed` is δW and `size` is |δ||W|. Underflow strikes the gradient of the mean, 1/N of δ, and so counts N times.
    """
    underflow = (n + 1) * len(summed) * r.underflow
    return np.abs(df) * (gamma(n + 2, r.u) * size + underflow) + np.abs(summed) * df_error + underflow
