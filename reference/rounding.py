"""The rounding model: how far an honest engine may stray from each equation, given the equation's own operands.

After N. J. Higham, *Accuracy and Stability of Numerical Algorithms* (2nd ed., SIAM 2002), ch. 2 and 3. An operation in
a format of unit roundoff u commits a relative error of at most u, or, below the normal numbers, an absolute one of at
most `underflow`. Every allowance here is the sum of those errors over the operations of one equation, to first order in
u; the operands are the trace's own, so no error of an earlier layer enters.

The reference computes in float64 and rounds as well: u is the engine's unit roundoff plus the reference's.

A half-precision format is one to store numbers in: engines accumulate products of its numbers in float32 and round the
result. There a contraction carries γ_n of float32, and u for each time that a result is stored.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import ml_dtypes
import numpy as np

from reference import accuracy
from reference.activations import (
    ACTIVATIONS,
    SELU_ALPHA,
    SELU_SCALE,
    Activation,
    Function,
    Kink,
    log_partition,
    softmax,
    softmax_jacobian_scale,
    spread,
)
from reference.arithmetic import UNDECLARED, Arithmetic
from reference.arrays import Array
from reference.equations import eq_9
from reference.losses import Loss

UNIT_ROUNDOFF = {"float16": 2.0**-11, "bfloat16": 2.0**-8, "float32": 2.0**-24, "float64": 2.0**-53}
"""u of each format, rounding to nearest: half the distance from 1 to the next number."""

ACCUMULATED_IN = {"float16": "float32", "bfloat16": "float32", "float32": "float32", "float64": "float64"}
"""The format that products are accumulated in."""

UNDERFLOW = {"float16": 2.0**-25, "bfloat16": 2.0**-126, "float32": 2.0**-126, "float64": 2.0**-1022}
"""The underflow step. XLA's CPU and GPU code flushes subnormal results of float32 and float64 to zero, and bfloat16
with them, an error of up to the smallest normal number; an engine with gradual underflow errs by far less. No engine
flushes float16, whose subnormal numbers are normal in the float32 it is computed in: half their spacing is lost."""

FORMATS: dict[str, np.dtype[Any]] = {name: np.dtype(getattr(ml_dtypes, name, name)) for name in UNIT_ROUNDOFF}
"""NumPy's dtype of each format; bfloat16 is an extension of NumPy."""

LIMITS = {name: ml_dtypes.finfo(format) for name, format in FORMATS.items()}  # type: ignore[no-untyped-call]
"""What each format says of itself."""

LARGEST = {name: float(limits.max) for name, limits in LIMITS.items()}
"""The largest finite number of each format."""

DTYPES = ("float32", "float64", "float16", "bfloat16")
HALF = ("bfloat16", "float16")


def rounded(values: Array | float, dtype: str) -> Array:
    """The nearest numbers of a format, in float64; what is too large for it is infinite."""
    with np.errstate(over="ignore"):
        return np.asarray(values).astype(FORMATS[dtype]).astype(np.float64)


def overflows(observed: Array, expected: Array, allowed: Array | float, largest: float) -> Any:
    """Where an infinity is right: what is expected may exceed the largest number of the format."""
    return np.isinf(observed) & (np.sign(observed) * expected + allowed > largest)


@dataclass(frozen=True)
class Rounding:
    """A format and an engine's arithmetic in it, as the audit sees them.

    u            of a number, with the reference's own
    v            of the format that products are accumulated in, with the reference's own
    sums         of the format that plain sums are accumulated in, with the reference's own
    stored       u where results are rounded from v to u, else 0
    operand      u where an operand may be used that is another rounding of the one reported, else 0
    reduced      the relative error of a product whose operands are rounded to a narrower format before, else 0
    underflow    the underflow step
    read         the size below which an operand may be read as 0, else 0
    mean_of_all  whether a loss may be n times the mean of N n components
    largest      the largest finite number: beyond it a result is infinite
    """

    dtype: str
    arithmetic: Arithmetic
    u: float
    v: float
    sums: float
    stored: float
    operand: float
    reduced: float
    underflow: float
    read: float
    mean_of_all: bool
    largest: float

    def k(self, function: str, what: str) -> float:
        """k_f of the value or the derivative of a function."""
        return accuracy.k(function, what, self.dtype, self.arithmetic.accuracy)


def wider(one: str, other: str) -> str:
    """The format of the two with the smaller unit roundoff."""
    return min(one, other, key=lambda dtype: UNIT_ROUNDOFF[dtype])


@cache
def rounding(dtype: str, arithmetic: Arithmetic = UNDECLARED) -> Rounding:
    """The rounding of an engine that computes in `dtype`, judged by a reference in float64."""
    reference = UNIT_ROUNDOFF["float64"]
    accumulated = wider(arithmetic.accumulates_in, dtype)
    u = UNIT_ROUNDOFF[dtype] + reference
    reused = arithmetic.recomputes or (dtype in HALF and arithmetic.excess_precision)
    narrowed = UNIT_ROUNDOFF[arithmetic.operands or dtype]
    return Rounding(
        dtype=dtype,
        arithmetic=arithmetic,
        u=u,
        v=UNIT_ROUNDOFF[accumulated] + reference,
        sums=UNIT_ROUNDOFF[wider(arithmetic.sums_in or dtype, dtype)] + reference,
        stored=u if accumulated != dtype else 0.0,
        operand=u if reused else 0.0,
        reduced=narrowed * (2 + narrowed) if narrowed > UNIT_ROUNDOFF[dtype] else 0.0,
        underflow=UNDERFLOW[dtype],
        read=UNDERFLOW[dtype] if arithmetic.flushes and dtype != "float16" else 0.0,
        mean_of_all=arithmetic.mean_of_all,
        largest=LARGEST[dtype],
    )


def gamma(n: int, u: float) -> float:
    """Bound on the relative error of n successive roundings.

    γ_n = n u/(1 − n u)   (Higham, lemma 3.1)

    Raises ValueError where n u ≥ 1: in such a format a sum of that length has no correct digit to speak of.
    """
    if n * u >= 1:
        raise ValueError(f"{n} roundings of unit roundoff {u} leave no digit: n·u should be below 1")
    return n * u / (1 - n * u)


def contraction(n: int, size: Array, result: Array, r: Rounding) -> Array:
    """Allowance of a sum of n products, added in any order.

    γ_n Σ|x||y|, an underflow in every product (Higham, §3.1), and the rounding of a result that is stored in half

    `size` is Σ|x||y|; `result` is the sum.
    """
    allowed = gamma(n, r.v) * size + n * r.underflow
    return allowed + r.stored * np.abs(result) if r.stored else allowed


def read_as_zero(A: Array, B: Array, r: Rounding, N: int = 1) -> Array | float:
    """How far AB is off where subnormal operands are read as 0; the engine holds 1/N of A.

    η (Σ_f |A_if| + N Σ_f |B_ft|)

    Each operand is off by less than η, the smallest normal number, and multiplied by the other. η comes first, since
    the sums of numbers near the largest may exceed it.
    """
    if not r.read:
        return 0.0
    return (r.read * np.abs(A)).sum(axis=1)[:, np.newaxis] + (r.read * N * np.abs(B)).sum(axis=0)


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


def variation(f: Function, x: Array, error: Array) -> Array:
    """How far f moves while its argument moves by at most `error`: max |f(x ± error) − f(x)|."""
    centre = f(x)
    return np.maximum(np.abs(f(x + error) - centre), np.abs(f(x - error) - centre))


def carried_slope(f: Activation, z: Array, error: Array) -> Array:
    """The error of f'(z) that comes from z: that at the ends, and at each kink between them the whole of its jump."""
    moved = variation(f.derivative, z, error)
    df = f.derivative(z) if f.kinks else moved
    for kink in f.kinks:
        jump = np.maximum(kink.highest - df, df - kink.lowest)
        moved = np.where(np.abs(z - kink.at) < error, np.maximum(moved, jump), moved)
    return moved


def carried_value(f: Activation, z: Array, error: Array) -> Array:
    """The error of f(z) that comes from z: sup |f'| · error, or Σ_t |∂a_k/∂z_t| e_t where f is coupled.

    hardshrink jumps at its kinks: no derivative tells by how much.
    """
    if f.coupled:
        return np.einsum("ikt,it->ik", np.abs(f.derivative(z)), error)
    carried = (np.abs(f.derivative(z)) + carried_slope(f, z, error)) * error
    return np.maximum(carried, variation(f.value, z, error)) if f.kinks else carried


def carried_jacobian(f: Activation, z: Array, error: Array) -> Array:
    """The error of each element of a coupled f's Jacobian that comes from z."""
    return of_softmax(f, z, carried_value(ACTIVATIONS["softmax"], z, error))


def of_softmax(f: Activation, z: Array, moved: Array) -> Array:
    """The error of each element of a coupled f's Jacobian that comes from that of softmax, of which it is made."""
    if f.name == "softmax":
        return softmax_jacobian_scale(z, moved)
    return moved[:, np.newaxis, :] + np.zeros_like(z)[:, :, np.newaxis]  # 1[k = t] − softmax_t


def carried_derivative(loss: Loss, p: Array, y: Array, error: Array) -> Array:
    """The error of ∂L_i/∂p_t that comes from p."""
    if loss.carried is not None:
        return loss.carried(p, y, error)
    return variation(lambda q: loss.derivative(np.clip(q, *loss.domain), y), p, error)


def at_kink(z: Array, kink: Kink, r: Rounding) -> Array:
    """Whether z is at a kink: within an underflow of it, or within the rounding of the formula that meets it."""
    return np.abs(z - kink.at) <= kink.reach * r.u + r.underflow


def steepest(f: Activation, z: Array, r: Rounding) -> Array:
    """|f'(z)|, and at a kink the largest of the derivatives that may be given."""
    size = np.abs(f.derivative(z))
    for kink in f.kinks:
        size = np.where(at_kink(z, kink, r), max(abs(kink.lowest), abs(kink.highest)), size)
    return size


def interval(loss: Loss, p: Array, y: Array, r: Rounding) -> tuple[Array, Array]:
    """The lowest and the highest ∂L_i/∂p_t that may be given, of a loss with kinks.

    Where p and y may each be read as 0, a p within two underflows of the kink is at it.
    """
    assert loss.interval is not None
    ends = [loss.interval(p + off, y) for off in ((-2 * r.read, 0.0, 2 * r.read) if r.read else (0.0,))]
    lowest, highest = zip(*ends, strict=True)
    return np.minimum.reduce(lowest), np.maximum.reduce(highest)


def largest_derivative(loss: Loss, p: Array, y: Array, r: Rounding) -> Array:
    """|∂L_i/∂p_t|, and at a kink the largest of the derivatives that may be given."""
    if loss.interval is None:
        return np.abs(loss.derivative(p, y))
    return np.maximum.reduce(np.abs(interval(loss, p, y, r)))


def amplified(f: Activation, z: Array) -> Array:
    """How often an underflow may count: in the result, in each factor of formulas like z σ(z) σ(−z), which an inner
    factor multiplies, and in α (e^{z/α} − 1) or λα (e^z − 1), which their parameters multiply (λα < 2 of SELU).

    XLA has e^z − 1 as tanh(z/2)(e^z + 1): half of a subnormal z is off by one underflow, which counts twice, and so is
    the product.
    """
    return 3 + 2 * f.inner(z) + sum(f.parameters.values()) + 3 * exponential_factor(f)


def exponential_factor(f: Activation) -> float:
    """What e^z − 1 is multiplied by: α of ELU and CELU, λα of SELU; 0 in a function that has none."""
    return SELU_SCALE * SELU_ALPHA if f.name == "selu" else f.parameters.get("alpha", 0.0)


def value_error(f: Activation, z: Array, r: Rounding) -> Array:
    """Allowance of a^l = f(z^l): k_f u s_f(z), and an underflow.

    Where z may be used before it was rounded, the condition |f'(z)| |z| u as well. The k_f was measured on a sample: a
    result that is stored in half precision may err by |f| u, and a coupled one by what its exponents are rounded by.
    """
    scale = f.value_scale(z)
    allowed = r.k(f.name, "value") * r.u * scale
    if r.stored:
        least = r.stored * np.abs(f.value(z)) + (exponents_error(f, z, r) if f.coupled else 0.0)
        allowed = np.where(scale > 0, np.maximum(allowed, least), allowed)
    allowed += r.underflow * amplified(f, z)
    return allowed + carried_value(f, z, r.operand * np.abs(z)) if r.operand else allowed


def exponents_error(f: Activation, z: Array, r: Rounding) -> Array:
    """The error of softmax, or log-softmax, that every z_t − m is rounded, and exponential and sum once each.

    softmax:      a_t (e^{w (2 + |z_t − m| + Σ_k a_k |z_k − m|)} − 1), w the unit roundoff of the function's own steps
    log-softmax:  w (2 + |z_t − m| + log Σ + Σ_k a_k |z_k − m|)

    In bfloat16 w |z_t − m| is not a small number: what is of second order in it counts as well.
    """
    shift, a, total = spread(z)
    moved = r.sums * (2 + shift + total - z.shape[1])
    return grown(a, moved) if f.name == "softmax" else moved + r.sums * log_partition(z)


def grown(a: Array, error: Array) -> Array:
    """a (e^error − 1), of softmax's values: where an error of their logarithms exceeds 700, they are 0."""
    return a * np.expm1(np.minimum(error, 700.0))


def softmax_within(f: Activation, z: Array, r: Rounding) -> Array:
    """The least that must be allowed of the softmax which a coupled f's Jacobian is made of.

    That of log-softmax is e^a of the stored a, and so carries the error of a: a_t (e^{error of log a_t} − 1).
    """
    moved = exponents_error(f, z, r) + r.u * np.abs(f.value(z))
    return moved if f.name == "softmax" else grown(softmax(z), moved)


def derivative_error(f: Activation, z: Array, r: Rounding) -> Array:
    """Allowance of f'(z): k_f' u s_f'(z), and an underflow as in f; where f is coupled, of each element ∂a_k/∂z_t."""
    scale = r.u * f.derivative_scale(z)
    moved = r.operand * np.abs(z)
    if f.coupled:  # the Jacobian is made of the values, and takes their k_f
        allowed = np.maximum(r.k(f.name, "value") * scale, of_softmax(f, z, softmax_within(f, z, r))) + r.underflow
        return allowed + carried_jacobian(f, z, moved) if r.operand else allowed
    allowed = r.k(f.name, "derivative") * scale + r.underflow * amplified(f, z)
    return allowed + carried_slope(f, z, moved) if r.operand else allowed


def contribution_error(loss: Loss, p: Array, y: Array, r: Rounding) -> Array:
    """Allowance of one component's contribution to L_i: k u s(p, y)."""
    scale = loss.value_scale(p, y)
    allowed = (r.k(loss.name, "value") * r.u + lost_squares(loss, p, y, r)) * scale
    allowed = allowed + r.underflow * loss_underflows(loss)
    return allowed + carried_contribution(loss, p, y, r.operand * np.abs(p)) if r.operand else allowed


def lost_squares(loss: Loss, p: Array, y: Array, r: Rounding) -> Array | float:
    """How far the underflow of a square moves a loss that divides by norms, relative to its scale.

    At most (1 + n)^{3/2}: each square that is lost is below the underflow step η, and what is left of ‖a‖² is at least
    η, if there is anything; so ‖a‖² ≤ (1 + n) of it, and a derivative divides by ‖a‖³. Nothing left is not an answer.
    """
    if loss.squares is None:
        return 0.0
    return np.minimum(r.underflow * loss.squares(p, y), (1 + p.shape[1]) ** 1.5)


def loss_underflows(loss: Loss) -> float:
    """How often an underflow may count in ℓ: in a square, in the result, and in a quotient by a parameter."""
    return 3 + 2 * sum(1 / value for value in loss.parameters.values())


def carried_contribution(loss: Loss, p: Array, y: Array, error: Array) -> Array:
    """The error of a contribution that comes from p; to first order for a loss whose components are coupled."""
    if loss.carried is None:  # the losses are convex: the ends of the interval are the worst
        return variation(lambda q: loss.value(np.clip(q, *loss.domain), y), p, error)
    return np.abs(loss.derivative(p, y)) * error + loss.carried(p, y, error) * error


DERIVATIVE_ROUNDINGS = {
    "binary_cross_entropy": 4,  # 1 − a, 1 − y or a − y, the quotient, the difference
    "categorical_cross_entropy": 1,  # y/a
    "negative_log_likelihood": 0,  # −y
    "kullback_leibler": 0,  # −y
}
"""Operations in the derivative of a loss that is given no logits and is defined on one output only: no engine shows it
by itself, but it is plain arithmetic."""


def loss_derivative_error(loss: Loss, p: Array, y: Array, r: Rounding) -> Array:
    """Allowance of ∂L_i/∂p_t: k u s'(p, y)."""
    counted = DERIVATIVE_ROUNDINGS.get(loss.name)
    k = r.k(loss.name, "derivative") if counted is None else counted
    allowed = (k * r.u + lost_squares(loss, p, y, r)) * loss.derivative_scale(p, y) + r.underflow
    return allowed + carried_derivative(loss, p, y, r.operand * np.abs(p)) if r.operand else allowed


# --- the equations


def total_input_error(W: Array, b: Array, a_prev: Array, r: Rounding) -> Array:
    """Allowance of z^l: n^{l-1} products and the bias.   γ_{n+1} (|W||a| + |b|), and what operands are read as 0

    In half precision Wa is stored, and so is the sum with b.
    """
    products = product_of_sizes(a_prev, W.T)
    allowed = contraction(W.shape[1] + 1, products + np.abs(b), np.zeros(()), r) + read_as_zero(a_prev, W.T, r)
    if r.stored:
        product = a_prev @ W.T
        allowed += r.stored * (np.abs(product) + np.abs(product + b)) + r.operand * products
    return allowed + r.reduced * products if r.reduced else allowed


STORED_LOSSES = 3
"""Times that a number of the loss is stored: each L_i, their sum, and its quotient by N."""


def eq_1_error(terms: Array, errors: Array, r: Rounding) -> Array:
    """Allowance of the total loss: the errors of all contributions, N n additions in any order, the division by N."""
    size = np.abs(terms).sum()
    return (errors.sum() + contraction(terms.size, size, STORED_LOSSES * size, r)) / len(terms)


def eq_2_error(new: Array, gradient: Array, learning_rate: float, r: Rounding) -> Array:
    """Allowance of one update: η is rounded, η ∂L/∂w is rounded, and so is the difference."""
    return r.u * (np.abs(new) + 2 * abs(learning_rate) * np.abs(gradient)) + 2 * r.underflow


def eq_7a_error(delta: Array, a_prev: Array, r: Rounding) -> Array:
    """Allowance of ∂L/∂W: N products, the division by N.   γ_{N+1} |δ|ᵀ|a|/N, and what operands are read as 0"""
    n = len(delta) + 1
    allowed = product_of_sizes(
        delta.T, a_prev, (gamma(n, r.v) + 2 * r.operand + r.reduced) / len(delta)
    )  # (n^l, n^{l-1})
    allowed += n * r.underflow + read_as_zero(delta.T, a_prev, r, len(delta)) / len(delta)
    if r.stored:
        allowed += r.stored * np.abs(delta.T @ a_prev) / len(delta)
    return allowed


def eq_7b_error(delta: Array, r: Rounding) -> Array:
    """Allowance of ∂L/∂b: N terms, the division by N.   N u Σ|δ|/N

    For a plain sum γ_N is N u, however large N is: a half-precision sum may leave no digit at all (S. M. Rump, *Error
    estimation of floating-point summation and dot product*, BIT 52, 2012).
    """
    n = len(delta)
    allowed = (n * r.sums + r.operand) * np.abs(delta).sum(axis=0) / n + n * r.underflow
    return allowed + r.stored * np.abs(delta.sum(axis=0)) / n if r.stored else allowed


def eq_8_error(terms: Array, errors: Array, r: Rounding) -> Array:
    """Allowance of L_i: the errors of its contributions, n − 1 additions."""
    size = np.abs(terms).sum(axis=1)
    return errors.sum(axis=1) + contraction(terms.shape[1] - 1, size, size, r)


CHAIN = 4
"""Roundings in (9) beside the two factors: 1/N, the product with it, the product with f', and N times the result."""


def eq_9_error(loss: Loss, f: Activation, z: Array, a: Array, y: Array, r: Rounding) -> Array:
    """Allowance of δ^{L-1}: the error of each factor times the size of the other, and the products.

    Where f is coupled, n products are summed, and a diagonal element of its Jacobian is a sum of n − 1 as well.
    Underflow strikes the gradient of the mean, 1/N of δ, and so counts N times, as often as f' multiplies it; the mean
    of all components holds 1/(N n) of δ, and there it counts N n times.
    """
    p = loss.argument(z, a)
    g = largest_derivative(loss, p, y, r)
    g_error = loss_derivative_error(loss, p, y, r)
    underflow = (1 + amplified(f, z)) * (z.size if r.mean_of_all else len(z)) * r.underflow
    if loss.on_logits:
        return g_error + CHAIN * r.u * g + underflow
    df = steepest(f, z, r)
    roundings = CHAIN * r.u + (2 * z.shape[1] * r.sums if f.coupled else 0.0)
    df_error = derivative_error(f, z, r) + roundings * df
    return eq_9(g, df_error) + eq_9(g_error, df) + underflow


def eq_14_error(
    df: Array,
    df_error: Array,
    summed: Array,
    size: Array,
    n: int,
    r: Rounding,
    amplify: Array | float = 1.0,
    read: Array | float = 0.0,
) -> Array:
    """Allowance of δ^l: n = n^{l+1} products, then f', in two factors where an engine applies it so.

    |f'| γ_{n+2} |δ||W| + |δW| k_f' u s_f'

    `df` is |f'|, `summed` is δW, `size` is |δ||W|, and `read` is what δW is off by where operands are read as 0.
    Underflow strikes the gradient of the mean, 1/N of δ, and so counts N times, and as often as the formula of f'
    multiplies it, `amplify`, on its way through f'. In half precision δW is stored, and its two products with f' are.
    """
    underflow = len(summed) * r.underflow
    products = (gamma(n + 2, r.v) + r.operand + r.reduced) * size
    if r.stored:
        products += 3 * r.stored * np.abs(summed)
    return df * (products + read + (n + 1) * underflow) + np.abs(summed) * df_error + (n + amplify) * underflow
