"""Running error analysis: the allowances of one operation, propagated through the whole network.

For an engine that shows only its loss and gradients. Every error of an earlier layer is carried on by the derivative of
what follows, to first order; a derivative is taken at both ends of the interval in which its argument lies, so that a
kink within it counts with its whole jump (Higham, *Accuracy and Stability*, §3.3).
"""

from dataclasses import dataclass

import numpy as np

from reference import equations as eq
from reference import rounding as rd
from reference.arithmetic import UNDECLARED, Arithmetic
from reference.arrays import Array, Layers
from reference.case import Case
from reference.network import backward, contributions, forward


@dataclass(frozen=True)
class RunningError:
    """How far an honest engine may stray from the exact network: loss, δ^l, ∂L/∂W^l and ∂L/∂b^l."""

    loss: float
    delta: dict[int, Array]
    dW: dict[int, Array]
    db: dict[int, Array]


def carried_output_delta(case: Case, z: Array, a: Array, z_error: Array, a_error: Array) -> Array:
    """The error of (9) that comes from z and a."""
    loss, f = case.criterion, case.f_o
    if loss.on_logits:
        return rd.carried_derivative(loss, z, case.y, z_error)
    slope = loss.derivative(a, case.y)
    g, df = np.abs(slope), np.abs(f.derivative(z))
    g_error = rd.carried_derivative(loss, a, case.y, a_error)
    if f.name == "softmax":
        # δ_t = a_t (g_t − Σ_k a_k g_k)
        sum_error = (a * g_error + g * a_error).sum(axis=1, keepdims=True)
        centred = np.abs(slope - (a * slope).sum(axis=1, keepdims=True))
        return a * (g_error + sum_error) + a_error * (centred + g_error + sum_error)
    df_error = rd.carried_jacobian(f, z, z_error) if f.coupled else rd.carried_slope(f, z, z_error)
    return eq.eq_9(g, df_error) + eq.eq_9(g_error, df + df_error)


def propagate(case: Case, arithmetic: Arithmetic = UNDECLARED) -> RunningError:
    """The running error of loss and gradients of a Case."""
    r, last = rd.rounding(case.dtype, arithmetic), case.last
    z, a = forward(case, case.W, case.b, case.x)

    z_error: dict[int, Array] = {}
    a_error: dict[int, Array] = {0: np.zeros_like(case.x)}
    for l in case.layers:
        f = case.activation(l)
        z_error[l] = rd.total_input_error(case.W[l], case.b[l], a[l - 1], r) + a_error[l - 1] @ np.abs(case.W[l]).T
        a_error[l] = rd.value_error(f, z[l], r) + rd.carried_value(f, z[l], z_error[l])

    loss = case.criterion
    p, p_error = loss.argument(z[last], a[last]), loss.argument(z_error[last], a_error[last])
    terms = contributions(case, z[last], a[last], case.y)
    errors = rd.contribution_error(loss, p, case.y, r) + rd.carried_contribution(loss, p, case.y, p_error)

    delta_error, dW, db = backward_error(case, z, a, z_error, a_error, r)
    return RunningError(float(rd.eq_1_error(terms, errors, r)), delta_error, dW, db)


def backward_error(
    case: Case, z: Layers, a: Layers, z_error: Layers, a_error: Layers, r: rd.Rounding
) -> tuple[dict[int, Array], dict[int, Array], dict[int, Array]]:
    """The running error of δ^l, ∂L/∂W^l and ∂L/∂b^l, given how far z and a may be from those of the pass; a^0 is x."""
    last = case.last
    delta, _ = backward(case, case.W, z, a, case.y)
    error = {
        last: rd.eq_9_error(case.criterion, case.f_o, z[last], a[last], case.y, r)
        + carried_output_delta(case, z[last], a[last], z_error[last], a_error[last])
    }
    for l in reversed(range(1, last)):
        W = case.W[l + 1]
        summed, size = delta[l + 1] @ W, rd.product_of_sizes(delta[l + 1], W)
        df = rd.steepest(case.f_h, z[l], r)
        df_error = rd.derivative_error(case.f_h, z[l], r) + rd.carried_slope(case.f_h, z[l], z_error[l])
        read = rd.read_as_zero(delta[l + 1], W, r, case.samples)
        local = rd.eq_14_error(df, df_error, summed, size, len(W), r, rd.amplified(case.f_h, z[l]), read)
        error[l] = local + (df + df_error) * (error[l + 1] @ np.abs(W))

    dW: dict[int, Array] = {}
    db: dict[int, Array] = {}
    for l in case.layers:
        carried = eq.eq_7a(error[l], np.abs(a[l - 1]) + a_error[l - 1]) + eq.eq_7a(np.abs(delta[l]), a_error[l - 1])
        dW[l] = rd.eq_7a_error(delta[l], a[l - 1], r) + carried
        db[l] = rd.eq_7b_error(delta[l], r) + eq.eq_7b(error[l])
    return error, dW, db
