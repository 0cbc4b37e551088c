"""The equations that no single trace can show: what each takes from the engine to be checked.

(2a, 2b) one step of the engine's own optimiser; (3), (4) the loss near the Case's weights; (5a, 5b) one pair alone;
(6a, 6b), (11), (13) the engine's vjp of one layer.
"""

from collections.abc import Callable, Iterator

import numpy as np

from adapters.contract import Adapter
from reference import audit
from reference import equations as eq
from reference.arithmetic import UNDECLARED, Arithmetic
from reference.arrays import Array, Layers
from reference.audit import Finding
from reference.case import Case, Trace
from reference.rounding import rounded
from reference.running_error import propagate
from reference.training import descent
from reports.campaign.designs import EVERY_EXPERIMENT, Depth

LEARNING_RATE = 0.1
"""η of (2a, 2b): not a binary fraction, so that its rounding counts."""

STEPS = 2.0 ** -np.arange(6)
"""Lengths along one direction, as fractions of the longest: five halvings."""

DIRECTIONS = 4
"""Directions of the Taylor test; their remainders are taken together, since the curvature may vanish along one."""

LONGEST_STEP = 2.0**-8
"""Where the third order of (3) is far below the second, and the second far above float64's rounding."""

SIGNAL = 100
"""A remainder is fitted where it exceeds the loss's rounding this many times."""

ORDER_ALLOWED = 0.02
"""How far the fitted order may be from 2. Noise of 1/SIGNAL moves the slope of six points by at most 0.0075, a third
order c times the second by c·2⁻⁸/2; this admits c = 6. Honest engines: at most 0.0013 off."""


def experiments(
    adapter: Adapter,
    case: Case,
    trace: Trace,
    rng: np.random.Generator,
    depth: Depth = EVERY_EXPERIMENT,
    arithmetic: Arithmetic = UNDECLARED,
) -> Iterator[Finding]:
    """The findings of every experiment that the engine's own members and the Case's format allow."""
    if hasattr(adapter, "train"):
        yield from one_update(adapter.train, case)
    # (3) and (4) are limits: a float32 loss has too few digits on the way to them, and a kink must be seen in z and a
    if depth.first_order and case.dtype == "float64" and not (pieced(case) and (trace.z is None or trace.a is None)):
        yield from first_order(adapter.trace, case, trace, rng, arithmetic)
    if trace.z is None or trace.a is None or trace.delta is None:
        return
    yield from audit.audit_composed(case, trace, arithmetic)
    sample = int(rng.integers(case.samples))
    if depth.alone:
        rows = slice(sample, sample + 1)
        single = case.on_batch(case.x[rows], case.y[rows])
        alone = adapter.trace(single)
        yield from audit.audit(single, alone, arithmetic)
        yield from audit.audit_partial(case, trace, sample, alone, arithmetic)
    if hasattr(adapter, "layer_vjp"):
        yield from one_layer(adapter.layer_vjp, arithmetic, case, trace, rng)


def one_update(train: Callable[..., Iterator[object]], case: Case) -> Iterator[Finding]:
    """(2a) and (2b): one step of the engine's optimiser on the whole batch."""
    plan = descent((np.arange(case.samples),), LEARNING_RATE)
    for step, _ in zip(train(case, plan), plan.batches, strict=True):
        yield from audit.audit_update(case, step.trace, step.new_W, step.new_b, LEARNING_RATE)  # type: ignore[attr-defined]


def one_layer(
    vjp: Callable[..., tuple[Array, Array, Array]],
    arithmetic: Arithmetic,
    case: Case,
    trace: Trace,
    rng: np.random.Generator,
) -> Iterator[Finding]:
    """(6a), (6b), (13) with a drawn cotangent, and (11) with the trace's own δ^{l+1}."""
    assert trace.z is not None and trace.delta is not None  # noqa: PT018
    for l in case.layers:
        z_prev = trace.z[l - 1] if l > 1 else case.x
        cotangent = rounded(rng.normal(size=trace.z[l].shape), case.dtype)
        yield from audit.audit_jacobian(case, trace, l, cotangent, vjp(case, l, z_prev, cotangent), arithmetic)
        if l > 1:
            delta = rounded(trace.delta[l], case.dtype)
            yield from audit.audit_chain(case, trace, l - 1, vjp(case, l, z_prev, delta)[2], arithmetic)


# --- (3) and (4): the loss along a line


def first_order(
    trace_of: Callable[[Case], Trace], case: Case, trace: Trace, rng: np.random.Generator, arithmetic: Arithmetic
) -> Iterator[Finding]:
    """The Taylor test of (3), and the limit of (4)."""
    gradient: dict[str, Layers] = {"W": trace.dW, "b": trace.db}
    noise = 2 * propagate(case, arithmetic).loss  # of a difference of two losses

    def change(direction: dict[str, Layers], length: float) -> tuple[float, float]:
        """ΔC, and its first order by (3), for a step of that length; the step is what rounding leaves of it."""
        moved, step = move(case, direction, length)
        return trace_of(moved).loss - trace.loss, eq.eq_3(gradient, step)

    directions = [draw_direction(rng, case) for _ in range(DIRECTIONS)]
    longest = min(smooth_length(trace_of, case, trace, direction, LONGEST_STEP) for direction in directions)
    remainders, kept = [], []
    for length in longest * STEPS:
        parts = [after - first for after, first in (change(direction, length) for direction in directions)]
        remainder = float(np.linalg.norm(parts))
        if not remainder <= SIGNAL * noise:  # NaN is kept, and shows
            remainders.append(remainder)
            kept.append(length)
    if len(kept) >= 3:
        order = np.polynomial.Polynomial.fit(np.log2(kept), np.log2(remainders), 1).convert().coef[1]
        yield audit.compare("3", case.last, np.float64(order), np.float64(2.0), np.float64(ORDER_ALLOWED))

    squared = eq.eq_3(gradient, gradient)
    if not squared <= 0:
        yield from limit(change, gradient, squared, noise, case, trace_of, trace)


def limit(
    change: Callable[[dict[str, Layers], float], tuple[float, float]],
    gradient: dict[str, Layers],
    squared: float,
    noise: float,
    case: Case,
    trace_of: Callable[[Case], Trace],
    trace: Trace,
) -> Iterator[Finding]:
    """(4): ΔC/(−η‖∇C‖²) at falling η, extrapolated to η = 0, is 1; and ΔC is negative.

    The allowance of the limit is the loss's rounding, through the weights of the extrapolation, and the extrapolation's
    last correction. ΔC is negative where it differs from −η‖∇C‖² by less than its size.
    """
    downhill: dict[str, Layers] = {kind: {l: -g for l, g in layers.items()} for kind, layers in gradient.items()}
    longest = smooth_length(trace_of, case, trace, downhill, min(2.0**-6, LONGEST_STEP / np.sqrt(squared)))
    rates = longest * STEPS[:4]
    changes = np.array([change(downhill, rate)[0] for rate in rates])
    expected = np.array([eq.eq_4(gradient, rate) for rate in rates])
    weights, shorter = extrapolation(rates), extrapolation(rates[1:])
    ratios = changes / expected
    at_zero, correction = weights @ ratios, abs(weights @ ratios - shorter @ ratios[1:])
    allowed = np.abs(weights) @ (noise / np.abs(expected)) + correction
    yield audit.compare("4", case.last, at_zero, np.float64(1.0), allowed)
    yield audit.compare("4", case.last, changes, expected, np.abs(expected) + noise)


def extrapolation(points: Array) -> Array:
    """Weights that take values at `points` to the value at 0 of the polynomial through them (Lagrange)."""
    return np.array([np.prod([q / (q - p) for q in points if q != p]) for p in points])


def draw_direction(rng: np.random.Generator, case: Case) -> dict[str, Layers]:
    """A direction of length 1 in the space of all weights and biases."""
    direction = {
        "W": {l: rng.normal(size=case.W[l].shape) for l in case.layers},
        "b": {l: rng.normal(size=case.b[l].shape) for l in case.layers},
    }
    length = np.sqrt(eq.eq_3(direction, direction))
    return {kind: {l: v / length for l, v in layers.items()} for kind, layers in direction.items()}


def move(case: Case, direction: dict[str, Layers], length: float) -> tuple[Case, dict[str, Layers]]:
    """The Case a step further, and the step that rounding left."""
    W = {l: case.W[l] + length * direction["W"][l] for l in case.layers}
    b = {l: case.b[l] + length * direction["b"][l] for l in case.layers}
    return case.with_parameters(W, b), {"W": {l: W[l] - case.W[l] for l in W}, "b": {l: b[l] - case.b[l] for l in b}}


def smooth_length(
    trace_of: Callable[[Case], Trace], case: Case, trace: Trace, direction: dict[str, Layers], length: float
) -> float:
    """The longest step, halved from `length`, within which the loss is one formula: beyond, (3) has no second order."""
    if not pieced(case):
        return length
    here = pieces(case, trace)
    for _ in range(12):
        there = pieces(case, trace_of(move(case, direction, length)[0]))
        if all(np.array_equal(one, other) for one, other in zip(here, there, strict=True)):
            break
        length /= 2
    return length


def pieced(case: Case) -> bool:
    """Whether the loss has a kink, or a jump of its second derivative, anywhere."""
    return any(joints(case, l) for l in case.layers) or case.criterion.pieces is not None


def joints(case: Case, layer: int) -> list[float]:
    """Where the formulas of a layer's activation meet."""
    f = case.activation(layer)
    return [*(kink.at for kink in f.kinks), *f.bends]


def pieces(case: Case, trace: Trace) -> list[Array]:
    """On which side of each joint every z lies, and which formula of the loss holds."""
    assert trace.z is not None and trace.a is not None  # noqa: PT018
    sides = [np.sign(trace.z[l] - at) for l in case.layers for at in joints(case, l)]
    loss = case.criterion
    if loss.pieces is not None:
        sides.append(loss.pieces(loss.argument(trace.z[case.last], trace.a[case.last]), case.y))
    return sides
