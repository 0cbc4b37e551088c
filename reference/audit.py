"""The audit: every number of a trace against the equation that defines it, on the trace's own operands.

Nothing is carried from one layer to the next, so each allowance is that of one equation, at any depth, and the equation
that fails is the equation that is wrong. Findings come in the order of the computation: the first that does not hold
names the guilty equation and layer.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from reference import equations as eq
from reference import rounding as rd
from reference.activations import Activation
from reference.arithmetic import UNDECLARED, Arithmetic
from reference.arrays import Array, Layers
from reference.case import Case, Trace
from reference.network import contributions, output_delta
from reference.network import trace as reference_trace
from reference.running_error import backward_error, propagate

EQUATIONS = (
    *("z", "a", "1", "2a", "2b", "3", "4", "5a", "5b", "6a", "6b", "7a", "7b"),
    *("8", "9", "10a", "10b", "11", "12", "13", "14"),
)
"""What a finding can be about: the definitions of z and a, which the note leaves without a number, and (1)–(14)."""


class MalformedTrace(ValueError):
    """A trace that is not one of its Case: a layer or a field is missing, or an array has the wrong shape."""


@dataclass(frozen=True)
class Worst:
    """The element with the largest ratio."""

    index: tuple[int, ...]
    observed: float
    expected: float
    allowed: float


@dataclass(frozen=True)
class Finding:
    """One equation in one layer: the largest |observed − expected|/allowed over its elements, and where it is."""

    equation: str
    layer: int
    ratio: float
    elements: int
    worst: Worst | None

    @property
    def holds(self) -> bool:
        """Whether something was compared and nothing exceeds its allowance; a NaN is never within."""
        return self.elements > 0 and self.ratio <= 1


Number = Array | np.floating[Any]

quiet = np.errstate(all="ignore")
"""What is not finite is a finding, not a warning."""

Check = tuple[str, int, Number, Number, Number]
"""Equation, layer, observed, expected, allowed."""


def finding(
    equation: str, layer: int, observed: Number, expected: Number, allowed: Number, largest: float = np.inf
) -> Finding:
    """The finding of one equation in one layer, for a caller that is `quiet`: to enter it costs a sixth of the rest.

    ratio = max |observed − expected|/allowed; equal infinities differ by nothing, a NaN anywhere makes the ratio NaN,
    and so does an infinite allowance, which would allow anything. An infinity is right where what is expected may
    exceed the largest number of the format.
    Raises MalformedTrace where the shapes differ.
    """
    observed, expected, allowed = np.asarray(observed, dtype=np.float64), np.asarray(expected), np.asarray(allowed)
    if observed.shape != expected.shape:
        raise MalformedTrace(
            f"equation ({equation}), layer {layer}: shape is {observed.shape}, but should be {expected.shape}"
        )
    if observed.size == 0:
        return Finding(equation, layer, float("nan"), 0, None)
    if allowed.shape != observed.shape:
        allowed = np.broadcast_to(allowed, observed.shape)
    ratio = np.asarray(observed - expected)
    np.divide(np.abs(ratio, out=ratio), allowed, out=ratio)  # in place: on large layers, memory is what counts
    at = int(ratio.argmax())  # argmax stops at the first NaN
    if not (ratio.item(at) <= 1 and np.maximum.reduce(allowed, axis=None) < np.inf):
        overflows = rd.overflows(observed, expected, allowed, largest)
        right = (observed == expected) | (overflows & np.isfinite(allowed))
        ratio = np.where(right, 0.0, np.where(np.isfinite(allowed), ratio, np.nan))
        at = int(ratio.argmax())
    worst = Worst(position(at, ratio.shape), observed.item(at), expected.item(at), allowed.item(at))
    return Finding(equation, layer, ratio.item(at), observed.size, worst)


def position(at: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The index of the element at a flat position: np.unravel_index, without its overhead."""
    index: tuple[int, ...] = ()
    for length in reversed(shape):
        at, i = divmod(at, length)
        index = (i, *index)
    return index


compare = quiet(finding)
"""The finding of one equation in one layer."""


@quiet
def audit(case: Case, trace: Trace, arithmetic: Arithmetic = UNDECLARED) -> list[Finding]:
    """Every number of the trace, once, against the equation that defines it: z, a, (8), (1), (9), (14), (7a), (7b).

    `arithmetic` is what the engine that made the trace declares: it is held to that.
    A trace without z, a or delta is held to the whole network's running error instead: (1), (5a), (5b) end to end.
    Raises MalformedTrace if the trace is not one of this Case.
    """
    r = rd.rounding(case.dtype, arithmetic)
    checks = end_to_end if trace.z is None or trace.a is None or trace.delta is None else local
    return findings(checks(case, trace, r), r)


@quiet
def audit_composed(case: Case, trace: Trace, arithmetic: Arithmetic = UNDECLARED) -> list[Finding]:
    """The equations that the note composes of others: (12), (10a), (10b)."""
    r = rd.rounding(case.dtype, arithmetic)
    return findings(composed(case, trace, r), r)


@quiet
def audit_update(case: Case, trace: Trace, W: Layers, b: Layers, learning_rate: float) -> list[Finding]:
    """(2a) and (2b): the new weights and biases of one step from the Case's own, by the trace's gradient."""
    r = rd.rounding(case.dtype)  # plain arithmetic: every engine's is the same
    return findings(updated(case, trace, W, b, learning_rate, r), r)


@quiet
def audit_jacobian(
    case: Case,
    trace: Trace,
    layer: int,
    cotangent: Array,
    gradients: tuple[Array, Array, Array],
    arithmetic: Arithmetic = UNDECLARED,
) -> list[Finding]:
    """(6a), (6b) and (13), from the engine's vjp of one layer, z^{l-1} -> z^l, at the trace's own z^{l-1}.

    `gradients` are the cotangent's products with ∂z^l/∂W^l, ∂z^l/∂b^l and ∂z^l/∂z^{l-1}; z^0 is x. The products are
    sums over the batch for (6a) and (6b). Layer 1, whose input has no total input, has no (13).
    """
    r = rd.rounding(case.dtype, arithmetic)
    return findings(jacobian(case, trace, layer, cotangent, gradients, r), r)


@quiet
def audit_chain(
    case: Case, trace: Trace, layer: int, transported_delta: Array, arithmetic: Arithmetic = UNDECLARED
) -> list[Finding]:
    """(11): the trace's δ^l is its δ^{l+1} put through the engine's own ∂z^{l+1}/∂z^l.

    Both sides are the engine's, each within the allowance of (14). δ^{l+1} was rounded before it was handed back, since
    N times a number of the format need not be one: u |f'| |δ||W| more.
    """
    r = rd.rounding(case.dtype, arithmetic)
    return findings(chained(case, trace, layer, transported_delta, r), r)


@quiet
def audit_partial(
    case: Case, trace: Trace, sample: int, alone: Trace, arithmetic: Arithmetic = UNDECLARED
) -> list[Finding]:
    """(5a) and (5b): δ_i is the derivative of L_i, so the gradient of the pair i alone is its δ_i times ∂z/∂w, ∂z/∂b.

    `alone` is the trace of a batch of that one pair, whose total loss is L_i. Both backward passes are the engine's,
    each within its running error; where the two forward passes differ, the difference seen is carried on, so `alone`
    is to be audited itself.
    """
    r = rd.rounding(case.dtype, arithmetic)
    return findings(single_pair(case, trace, sample, alone, r), r)


def findings(checks: Iterable[Check], r: rd.Rounding) -> list[Finding]:
    """The finding of every check, for a caller that is `quiet`."""
    return [finding(*check, r.largest) for check in checks]


def first_break(found: list[Finding]) -> Finding | None:
    """The guilty one: the first finding, in the order of the computation, that does not hold."""
    return next((each for each in found if not each.holds), None)


def require_complete(case: Case, trace: Trace) -> None:
    """Raise MalformedTrace unless every field that is given has an array of the right shape for every layer."""
    n, widths = case.samples, case.widths
    rows: dict[int, tuple[int, ...]] = {l: (n, widths[l]) for l in case.layers}
    shapes: dict[str, dict[int, tuple[int, ...]]] = {
        "dW": {l: (widths[l], widths[l - 1]) for l in case.layers},
        "db": {l: (widths[l],) for l in case.layers},
        "z": rows,
        "a": rows,
        "delta": rows,
    }
    for name, expected in shapes.items():
        layers = getattr(trace, name)
        if layers is None and name in ("z", "a", "delta"):
            continue
        for l, shape in expected.items():
            if layers is None or l not in layers:
                raise MalformedTrace(f"{name} of layer {l} is missing")
            if np.shape(layers[l]) != shape:
                raise MalformedTrace(f"{name} of layer {l} has shape {np.shape(layers[l])}, but should be {shape}")
    if trace.loss is None:
        raise MalformedTrace("the loss is missing")
    for name, value, shape in (("loss", trace.loss, ()), ("losses", trace.losses, (n,))):
        if value is not None and np.shape(value) != shape:
            raise MalformedTrace(f"{name} has shape {np.shape(value)}, but should be {shape}")


def opened(case: Case, trace: Trace) -> tuple[Layers, Layers, Layers]:
    """z^l, a^l with a^0 = x, and δ^l of a trace; raises MalformedTrace for a black box, which shows none of them."""
    require_complete(case, trace)
    if trace.z is None or trace.a is None or trace.delta is None:
        raise MalformedTrace("z, a or delta is missing")
    return trace.z, {0: case.x, **trace.a}, trace.delta


def local(case: Case, trace: Trace, r: rd.Rounding) -> Iterator[Check]:
    """The checks of `audit`, in the order of the computation."""
    z, a, delta = opened(case, trace)
    last, f_h = case.last, case.f_h

    for l in case.layers:
        f = case.activation(l)
        expected = eq.total_input(case.W[l], case.b[l], a[l - 1])
        yield "z", l, z[l], expected, rd.total_input_error(case.W[l], case.b[l], a[l - 1], r)
        yield "a", l, a[l], f.value(z[l]), rd.value_error(f, z[l], r)

    yield from losses(case, trace, z[last], a[last], r)

    yield "9", last, delta[last], *output_error_term(case, z[last], a[last], delta[last], r)
    for l in reversed(range(1, last)):
        yield "14", l, delta[l], *transported(f_h, z[l], delta[l + 1], case.W[l + 1], delta[l], r)

    for l in reversed(case.layers):
        yield "7a", l, trace.dW[l], eq.eq_7a(delta[l], a[l - 1]), rd.eq_7a_error(delta[l], a[l - 1], r)
        yield "7b", l, trace.db[l], eq.eq_7b(delta[l]), rd.eq_7b_error(delta[l], r)


def losses(case: Case, trace: Trace, z: Array, a: Array, r: rd.Rounding) -> Iterator[Check]:
    """(8) for the partial losses, where the trace has them, and (1) for the total."""
    loss = case.criterion
    terms = contributions(case, z, a, case.y)
    errors = rd.contribution_error(loss, loss.argument(z, a), case.y, r)
    partial = eq.eq_8(terms)
    if trace.losses is not None:
        yield "8", case.last, trace.losses, partial, rd.eq_8_error(terms, errors, r)
    yield "1", case.last, np.float64(trace.loss), eq.eq_1(partial), rd.eq_1_error(terms, errors, r)


def output_error_term(case: Case, z: Array, a: Array, observed: Array, r: rd.Rounding) -> tuple[Array, Array]:
    """What (9) gives, and its allowance; at a kink, the admissible value nearest to what was observed."""
    loss, f = case.criterion, case.f_o
    expected, allowed = output_delta(case, z, a, case.y), rd.eq_9_error(loss, f, z, a, case.y, r)
    if loss.on_logits:
        return expected, allowed
    if loss.interval is None:
        return admissible(f, z, loss.derivative(a, case.y), observed, expected, r), allowed
    lowest, highest = rd.interval(loss, a, case.y, r)
    if f.coupled:
        df = f.derivative(z)
        centre, reach = eq.eq_9((lowest + highest) / 2, df), eq.eq_9((highest - lowest) / 2, np.abs(df))
        return nearest(observed, expected, centre - reach, centre + reach), allowed
    ends = (
        admissible(f, z, end, limit, f.derivative(z) * end, r)
        for end in (lowest, highest)
        for limit in (np.full_like(a, -np.inf), np.full_like(a, np.inf))
    )
    return nearest(observed, expected, *ends), allowed


def nearest(observed: Array, expected: Array, *ends: Array) -> Array:
    """`expected`, but where the ends of what is admissible differ, the number between them nearest to the observed."""
    lowest, highest = np.minimum.reduce(ends), np.maximum.reduce(ends)
    return np.where(lowest == highest, expected, np.clip(observed, lowest, highest))


def transported(
    f: Activation, z: Array, delta_next: Array, W_next: Array, observed: Array, r: rd.Rounding
) -> tuple[Array, Array]:
    """What (14) gives, and its allowance: delta_next, or any cotangent in its place, taken back through W and f."""
    summed = (W_next.T @ delta_next.T).T  # (N, n^l); BLAS is up to half faster at this than at delta_next @ W_next
    size = rd.product_of_sizes(delta_next, W_next)  # (N, n^l)
    df = f.derivative(z)
    error = rd.derivative_error(f, z, r)
    steep = rd.steepest(f, z, r) if f.kinks else np.abs(df)
    read = rd.read_as_zero(delta_next, W_next, r, len(z))
    allowed = rd.eq_14_error(steep, error, summed, size, len(W_next), r, rd.amplified(f, z), read)
    return admissible(f, z, summed, observed, df * summed, r), allowed


def admissible(f: Activation, z: Array, factor: Array, observed: Array, expected: Array, r: rd.Rounding) -> Array:
    """`expected` = f'(z) · factor, but at a kink of f the admissible value that is nearest to what was observed.

    A z within an underflow of the kink, or within the rounding of its formula, is at it.
    """
    for kink in f.kinks:
        at = rd.at_kink(z, kink, r)
        if at.any():
            at_kink = nearest(observed, expected, kink.lowest * factor, kink.highest * factor)
            expected = np.where(at, at_kink, expected)
    return expected


def composed(case: Case, trace: Trace, r: rd.Rounding) -> Iterator[Check]:
    """The checks of `audit_composed`."""
    z, a, reported = opened(case, trace)
    last, f = case.last, case.f_h.value

    for l in range(1, last):
        W, b = case.W[l + 1], case.b[l + 1]
        allowed = rd.total_input_error(W, b, f(z[l]), r) + rd.value_error(case.f_h, z[l], r) @ np.abs(W).T
        yield "12", l + 1, z[l + 1], eq.eq_12(W, b, f, z[l]), allowed

    delta, error = output_error_term(case, z[last], a[last], reported[last], r)
    allowed_W = rd.eq_7a_error(delta, a[last - 1], r) + eq.eq_7a(error, np.abs(a[last - 1]))
    allowed_b = rd.eq_7b_error(delta, r) + eq.eq_7b(error)
    loss = case.criterion
    if loss.on_logits or loss.interval is not None or case.f_o.kinks:
        expected_W, expected_b = eq.eq_7a(delta, a[last - 1]), eq.eq_7b(delta)
    else:
        factors = loss.derivative(a[last], case.y), case.f_o.derivative(z[last])
        expected_W, expected_b = eq.eq_10a(*factors, a[last - 1]), eq.eq_10b(*factors)
    yield "10a", last, trace.dW[last], expected_W, allowed_W
    yield "10b", last, trace.db[last], expected_b, allowed_b


def updated(case: Case, trace: Trace, W: Layers, b: Layers, learning_rate: float, r: rd.Rounding) -> Iterator[Check]:
    """The checks of `audit_update`."""
    for l in case.layers:
        if l not in W or l not in b:
            raise MalformedTrace(f"new W or b of layer {l} is missing")
        for equation, update, old, gradient, observed in (
            ("2a", eq.eq_2a, case.W[l], trace.dW[l], W[l]),
            ("2b", eq.eq_2b, case.b[l], trace.db[l], b[l]),
        ):
            new = update(old, gradient, learning_rate)
            yield equation, l, observed, new, rd.eq_2_error(new, gradient, learning_rate, r)


def jacobian(
    case: Case, trace: Trace, layer: int, cotangent: Array, gradients: tuple[Array, Array, Array], r: rd.Rounding
) -> Iterator[Check]:
    """The checks of `audit_jacobian`."""
    z, _, _ = opened(case, trace)
    n, f = case.samples, case.activation(layer - 1)
    z_prev = z[layer - 1] if layer > 1 else case.x
    a_prev, a_error = f.value(z_prev), rd.value_error(f, z_prev, r)
    dW, db, dz = gradients
    size = np.abs(cotangent)
    products = size.T @ np.abs(a_prev)
    expected_W = eq.eq_5a(cotangent, eq.eq_6a(a_prev)).sum(axis=0)
    expected_b = eq.eq_5b(cotangent, eq.eq_6b(cotangent)).sum(axis=0)
    allowed_W = rd.contraction(n, products, expected_W, r) + size.T @ a_error
    yield "6a", layer, dW, expected_W, allowed_W + r.reduced * products if r.reduced else allowed_W
    yield "6b", layer, db, expected_b, rd.eq_7b_error(n * cotangent, r)
    if layer > 1:
        W = case.W[layer]
        expected, allowed = transported(f, z_prev, cotangent, W, dz, r)
        if not any(rd.at_kink(z_prev, kink, r).any() for kink in f.kinks):
            expected = eq.eq_11(cotangent, eq.eq_13(W, f.derivative(z_prev)))
        yield "13", layer - 1, dz, expected, allowed


def chained(case: Case, trace: Trace, layer: int, transported_delta: Array, r: rd.Rounding) -> Iterator[Check]:
    """The check of `audit_chain`."""
    z, _, delta = opened(case, trace)
    W, f = case.W[layer + 1], case.f_h
    _, allowed = transported(f, z[layer], delta[layer + 1], W, delta[layer], r)
    handed_back = r.u * rd.steepest(f, z[layer], r) * rd.product_of_sizes(delta[layer + 1], W)
    yield "11", layer, delta[layer], transported_delta, 2 * allowed + handed_back


def single_pair(case: Case, trace: Trace, sample: int, alone: Trace, r: rd.Rounding) -> Iterator[Check]:
    """The checks of `audit_partial`."""
    rows = slice(sample, sample + 1)
    single = case.on_batch(case.x[rows], case.y[rows])
    batch_z, batch_a, batch_delta = opened(case, trace)
    alone_z, alone_a, _ = opened(single, alone)
    z = {l: batch_z[l][rows] for l in case.layers}
    a = {l: batch_a[l][rows] for l in batch_a}
    z_apart = {l: np.abs(z[l] - alone_z[l]) for l in z}
    a_apart = {l: np.abs(a[l] - alone_a[l]) for l in a}
    _, dW_error, db_error = backward_error(single, z, a, z_apart, a_apart, r)
    for l in case.layers:
        delta = batch_delta[l][rows]
        yield "5a", l, alone.dW[l], eq.eq_5a(delta, eq.eq_6a(a[l - 1]))[0], 2 * dW_error[l]
        yield "5b", l, alone.db[l], eq.eq_5b(delta, eq.eq_6b(delta))[0], 2 * db_error[l]


def end_to_end(case: Case, trace: Trace, r: rd.Rounding) -> Iterator[Check]:
    """Loss and gradients of a black box, against the whole network's running error."""
    require_complete(case, trace)
    bound, expected = propagate(case, r.arithmetic), reference_trace(case)
    yield "1", case.last, np.float64(trace.loss), np.float64(expected.loss), np.float64(bound.loss)
    for l in reversed(case.layers):
        yield "5a", l, trace.dW[l], expected.dW[l], bound.dW[l]
        yield "5b", l, trace.db[l], expected.db[l], bound.db[l]
