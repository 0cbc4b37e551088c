"""Laws that need no oracle: what a backward pass must do under a change of the network or the batch.

A law makes other Cases of one, and says how their traces hang together. Both sides are computed by the engine, each
with its running error about the exact result (`reference.running_error`), and the exact results obey the law: so they
may differ by the sum of the two errors, carried through the law. What this module computes, in float64, adds γ_n.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from reference.case import Case
from reference.rounding import UNIT_ROUNDOFF, gamma, rounded
from reference.running_error import RunningError, propagate
from tests.arithmetics import arithmetic

Array = np.ndarray


class Side(NamedTuple):
    """One Case in one engine: the trace, and how far it may be from the exact one."""

    case: Case
    trace: object
    error: RunningError


class Claim(NamedTuple):
    """Two numbers, or arrays, that a law makes equal, and how far they may be apart."""

    what: str
    one: Array
    other: Array
    allowed: Array


def side(engine, case, name):
    """An engine's trace of a Case, beside its running error."""
    with np.errstate(all="ignore"):
        return Side(case, engine.trace(case), propagate(case, arithmetic(name)))


class Judgement(NamedTuple):
    """A line for each claim that is not met, and how many numbers were claimed."""

    violations: list[str]
    claimed: int


def judged(claims: Iterable[Claim]) -> Judgement:
    """What becomes of the claims of a law in one Case; NaN meets none.

    Nothing is claimed where no number bounds the error, as beside a pole, to which the error may reach.
    """
    violations, count = [], 0
    for claim in claims:
        one, other, allowed = np.broadcast_arrays(claim.one, claim.other, claim.allowed)
        claimed = np.isfinite(allowed)
        count += int(claimed.sum())
        with np.errstate(all="ignore"):
            off = claimed & ~((np.abs(one - other) <= allowed) | (one == other))
        if off.any():
            at = np.unravel_index(np.argmax(off), off.shape)
            where = f"{claim.what} at {tuple(map(int, at))}"
            violations.append(f"{where}: {one[at]!r} and {other[at]!r} differ by more than {allowed[at]!r}")
    return Judgement(violations, count)


def own(n: int, size: Array) -> Array:
    """The rounding of this module's own n operations in float64, on terms of that size."""
    return gamma(n, UNIT_ROUNDOFF["float64"]) * size


# --- the batch


def same_gradients(one: Side, other: Side) -> Iterator[Claim]:
    """Loss and gradients are equal."""
    yield Claim("L", one.trace.loss, other.trace.loss, one.error.loss + other.error.loss)
    for l in one.case.layers:
        for what in ("dW", "db"):
            pair = [getattr(each.trace, what)[l] for each in (one, other)]
            errors = [getattr(each.error, what)[l] for each in (one, other)]
            yield Claim(f"{what}^{l}", *pair, sum(errors))


def with_batch(case, rows):
    return case.on_batch(case.x[rows], case.y[rows])


def permuted(case: Case, rows: Array) -> Case:
    """The batch in another order: δ is permuted, loss and gradients stay."""
    return with_batch(case, rows)


def of_permuted(one: Side, other: Side, rows: Array) -> Iterator[Claim]:
    yield from same_gradients(one, other)
    for l in one.case.layers:
        allowed = one.error.delta[l][rows] + other.error.delta[l]
        yield Claim(f"δ^{l}", one.trace.delta[l][rows], other.trace.delta[l], allowed)


def of_cut(whole: Side, first: Side, second: Side) -> Iterator[Claim]:
    """The mean over a batch is that of its two parts, each with its share of the samples."""
    n, m = first.case.samples, second.case.samples
    shares = n / (n + m), m / (n + m)

    def claim(what, values, errors):
        mean = shares[0] * values[1] + shares[1] * values[2]
        size = shares[0] * np.abs(values[1]) + shares[1] * np.abs(values[2])
        return Claim(what, values[0], mean, errors[0] + shares[0] * errors[1] + shares[1] * errors[2] + own(4, size))

    sides = (whole, first, second)
    yield claim("L", [each.trace.loss for each in sides], [each.error.loss for each in sides])
    for l in whole.case.layers:
        for what in ("dW", "db"):
            values = [getattr(each.trace, what)[l] for each in sides]
            yield claim(f"{what}^{l}", values, [getattr(each.error, what)[l] for each in sides])


# --- the units


def with_units_permuted(case: Case, l: int, order: Array) -> Case:
    """The units of hidden layer l in another order: their weights, in and out, move along."""
    W, b = dict(case.W), dict(case.b)
    W[l], b[l], W[l + 1] = W[l][order], b[l][order], W[l + 1][:, order]
    return case.with_parameters(W, b)


def of_units_permuted(one: Side, other: Side, l: int, order: Array) -> Iterator[Claim]:
    """Gradients and error terms move along."""
    yield Claim("L", one.trace.loss, other.trace.loss, one.error.loss + other.error.loss)
    for what, layer, place in (
        ("dW", l, np.s_[order]),
        ("db", l, np.s_[order]),
        ("delta", l, np.s_[:, order]),
        ("dW", l + 1, np.s_[:, order]),
        ("db", l + 1, np.s_[:]),
    ):
        yield placed(one, other, what, layer, place, np.s_[:])


def placed(one: Side, other: Side, what: str, layer: int, here: object, there: object) -> Claim:
    """A part of an array of one side equals a part of that of the other."""
    values = [getattr(each.trace, what)[layer] for each in (one, other)]
    errors = [getattr(each.error, what)[layer] for each in (one, other)]
    return Claim(f"{what}^{layer}", values[0][here], values[1][there], errors[0][here] + errors[1][there])


def padded(case: Case, l: int, count: int) -> Case:
    """Hidden layer l with units more whose weights, in and out, and bias are 0."""
    W, b = dict(case.W), dict(case.b)
    W[l] = np.pad(W[l], ((0, count), (0, 0)))
    b[l] = np.pad(b[l], (0, count))
    W[l + 1] = np.pad(W[l + 1], ((0, 0), (0, count)))
    return case.with_parameters(W, b)


def of_padded(one: Side, other: Side, l: int) -> Iterator[Claim]:
    """Everything that was there stays, and nothing comes back through a weight of 0."""
    n = len(one.case.b[l])
    yield Claim("L", one.trace.loss, other.trace.loss, one.error.loss + other.error.loss)
    for layer in one.case.layers:
        rows, columns = (n if layer == l else None), (n if layer == l + 1 else None)
        yield placed(one, other, "dW", layer, np.s_[:], np.s_[:rows, :columns])
        yield placed(one, other, "db", layer, np.s_[:], np.s_[:rows])
        yield placed(one, other, "delta", layer, np.s_[:], np.s_[:, :rows])
    for what, place in (("dW", np.s_[n:]), ("db", np.s_[n:]), ("delta", np.s_[:, n:])):
        values = getattr(other.trace, what)[l][place]
        yield Claim(
            f"{what}^{l} of the units of 0", values, np.zeros_like(values), getattr(other.error, what)[l][place]
        )


# --- the output


def of_classes(one: Side) -> Iterator[Claim]:
    """δ of the logits of a softmax sums to 0 over the classes: they may be shifted together."""
    l, delta = one.case.last, one.trace.delta[one.case.last]
    allowed = one.error.delta[l].sum(axis=1) + own(delta.shape[1], np.abs(delta).sum(axis=1))
    yield Claim("Σ δ", delta.sum(axis=1), np.zeros(len(delta)), allowed)


def shifted(case: Case, by: float) -> Case:
    """Every logit moved by the same; the biases are put on a grid on which that is exact in every format."""
    grid = np.round(np.clip(case.b[case.last], -3, 3) * 8) / 8
    return case.with_parameters(case.W, {**case.b, case.last: grid + by})


# --- ReLU, and linear networks


def rescaled(case: Case, l: int, exponent: int) -> Case | None:
    """Hidden layer l times 2^k, the next one's weights by it: ReLU passes the factor through.

    None where that is not exact in the format.
    """
    W, b = dict(case.W), dict(case.b)
    W[l], b[l], W[l + 1] = W[l] * 2.0**exponent, b[l] * 2.0**exponent, W[l + 1] / 2.0**exponent
    exact = all(np.array_equal(rounded(each, case.dtype), each) for each in (W[l], b[l], W[l + 1]))
    return case.with_parameters(W, b) if exact else None


def of_rescaled(one: Side, other: Side, l: int, exponent: int) -> Iterator[Claim]:
    """The loss stays; gradients of what was multiplied are divided, and the other way round."""
    yield Claim("L", one.trace.loss, other.trace.loss, one.error.loss + other.error.loss)
    for what, layer, power in (("dW", l, -exponent), ("db", l, -exponent), ("dW", l + 1, exponent)):
        values = [getattr(each.trace, what)[layer] for each in (one, other)]
        errors = [getattr(each.error, what)[layer] for each in (one, other)]
        factor = 2.0**power
        yield Claim(f"{what}^{layer}", values[0] * factor, values[1], errors[0] * factor + errors[1])


def without_biases(case: Case) -> Case:
    return case.with_parameters(case.W, {l: np.zeros_like(b) for l, b in case.b.items()})


def of_balance(one: Side) -> Iterator[Claim]:
    """Σ w·∂L/∂w is the same in every layer of a ReLU network without biases (Du, Hu & Lee 2018, theorem 2.1)."""
    W, dW = one.case.W, one.trace.dW
    sums = {l: (W[l] * dW[l]).sum() for l in W}
    errors = {
        l: (np.abs(W[l]) * one.error.dW[l]).sum() + own(W[l].size + 1, (np.abs(W[l]) * np.abs(dW[l])).sum()) for l in W
    }
    for l in list(W)[1:]:
        yield Claim(f"Σ w·∂L/∂w of layers 1 and {l}", sums[1], sums[l], errors[1] + errors[l])


def of_normal_equation(one: Side) -> Iterator[Claim]:
    """∂L/∂W^l of a linear network without biases: Aᵀ (M XᵀX − YᵀX) Bᵀ/N, M the product of all W, A and B of those
    after and before l; 0 at the solution of the normal equation M XᵀX = YᵀX.
    """
    case = one.case
    W, x, y = case.W, case.x, case.y
    depth = sum(map(max, (w.shape for w in W.values()))) + case.samples + 8

    def gradient(W, x, y, minus):
        after, before = {case.last: np.eye(len(W[case.last]))}, {1: np.eye(W[1].shape[1])}
        for l in reversed(range(1, case.last)):
            after[l] = after[l + 1] @ W[l + 1]
        for l in range(2, case.last + 1):
            before[l] = W[l - 1] @ before[l - 1]
        M = after[1] @ W[1]
        R = M @ (x.T @ x) + minus * (y.T @ x)
        return {l: after[l].T @ R @ before[l].T / len(x) for l in W}

    expected = gradient(W, x, y, -1.0)
    size = gradient({l: np.abs(w) for l, w in W.items()}, np.abs(x), np.abs(y), 1.0)
    for l in case.layers:
        yield Claim(f"dW^{l}", one.trace.dW[l], expected[l], one.error.dW[l] + own(2 * depth, size[l]))
