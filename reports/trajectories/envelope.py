"""How far two training runs may drift apart by rounding alone: an ensemble of perturbed runs of the reference.

A run in float32 and the reference in float64 start from the same weights and differ by rounding, which the network and
its optimiser then amplify like any perturbation of that size. So the reference is trained again and again, with
every number that an engine stores perturbed by one unit roundoff of its format: z, a, δ, the losses, the gradient, what
the optimiser keeps, and w. (To perturb what is rounded, and to look at how the results spread, is discrete stochastic
arithmetic: J. Vignes, *Discrete stochastic arithmetic for validating results of numerical software*, Numerical
Algorithms 37, 2004.)

The envelope is the largest distance between any two of the runs until then, the reference among them: for engine and
reference are two such runs. Half of the perturbed ones have signs that are drawn anew in every step, as roundings fall;
in the others each number keeps its sign, so that roundings add up. A run outside has drifted by more than rounding can
explain; a run inside may still be wrong.
"""

import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from reference import network
from reference.arrays import Array
from reference.case import Case, Trace
from reference.rounding import UNIT_ROUNDOFF
from reference.training import Plan, train
from reports.trajectories.steps import flat

MEMBERS = 8
"""Runs of an ensemble: even ones with signs drawn anew, odd ones with steady signs."""


PAIRS = np.triu_indices(MEMBERS + 1, 1)
"""Any two of the runs, the reference being the first."""


def ensemble(case: Case, plan: Plan, rng: np.random.Generator) -> Iterator[tuple[Array, Array]]:
    """θ of the reference after every step, and the distance between any two runs, (pairs,).

    u is that of the Case's format; all runs are in float64.
    """
    exact, u = replace(case, dtype="float64"), UNIT_ROUNDOFF[case.dtype]
    members = [perturbed(exact, plan, draw, u, steady=bool(i % 2)) for i, draw in enumerate(rng.spawn(MEMBERS))]
    for step, *thetas in zip(train(exact, plan, network.trace), *members, strict=True):
        runs = np.array([flat(step.new_W, step.new_b), *thetas])
        yield runs[0], np.array([np.linalg.norm(runs[i] - runs[j]) for i, j in zip(*PAIRS, strict=True)])


def envelope(distances: Array) -> Array:
    """The largest distance until each step; (steps, pairs) -> (steps,)."""
    return np.asarray(np.maximum.accumulate(distances.max(axis=1)))


def perturbed(case: Case, plan: Plan, rng: np.random.Generator, u: float, steady: bool) -> Iterator[Array]:
    """θ after every step of the reference, every number that an engine stores perturbed by u."""
    seed = int(rng.integers(2**31))

    def nudged(value: Any, *place: str | int, size: Any = 0.0) -> Any:
        """value ± u (|value| + size), by signs that are drawn anew, or that the place keeps."""
        draw = np.random.default_rng([seed, zlib.crc32(repr(place).encode())]) if steady else rng
        return value + u * draw.choice((-1.0, 1.0), np.shape(value)) * (np.abs(value) + size)

    def step(equation: str, layer: int, function: Callable[..., Any]) -> Callable[..., Any]:
        def rounded_step(*operands: Any) -> Any:
            size = passed(case, equation, layer, *operands)
            return nudged(function(*operands), equation, layer, size=size)

        return rounded_step

    def trace(now: Case) -> Trace:
        return network.trace(now, step=step)

    W = {l: nudged(array, "W", l) for l, array in case.W.items()}
    b = {l: nudged(array, "b", l) for l, array in case.b.items()}
    states = plan.states
    for number, batch in enumerate(plan.batches):
        one = replace(plan, batches=(batch,), done=plan.done + number, states=states)
        (exact_step,) = train(case.with_parameters(W, b), one, trace)
        W = {l: nudged(array, "W", l) for l, array in exact_step.new_W.items()}
        b = {l: nudged(array, "b", l) for l, array in exact_step.new_b.items()}
        states = {
            place: {name: value if name == "t" else nudged(value, name, *place) for name, value in state.items()}
            for place, state in exact_step.new_state.items()
        }
        yield flat(W, b)


def passed(case: Case, equation: str, layer: int, *operands: Array) -> Array | float:
    """The magnitude that a formula passes through on its way, in addition to that of its result.

    s_f(z) of a;  s_f'(z) |δW| of (14), since f' may be 1 − a², of an a near 1;  a of (9), since a softmax is rounded
    before its label is taken from it.
    """
    if equation == "a":
        return case.activation(layer).value_scale(operands[0])
    if equation == "9":
        return np.abs(operands[1])
    if equation == "14":
        z, delta_next, W_next = operands
        return np.abs(delta_next @ W_next) * case.f_h.derivative_scale(z)
    return 0.0


def growth(distances: Array) -> float:
    """By how many powers of e the median distance grows in a step: the slope of its logarithm, by least squares.

    (steps, pairs) -> a number; 0 where there are no two distances to compare.
    """
    median = np.median(distances, axis=1)
    steps = np.flatnonzero(median > 0)
    return float(np.polyfit(steps, np.log(median[steps]), 1)[0]) if len(steps) > 1 else 0.0


def outside(distance: Array, limit: Array) -> tuple[float, int | None]:
    """The largest distance/limit over the steps, and the first step that is outside; a NaN is, and 0 of 0 is not."""
    with np.errstate(all="ignore"):
        ratio = np.where(distance == 0, 0.0, distance / limit)
    left = np.flatnonzero(~(ratio <= 1))
    worst = float(np.nan if np.isnan(ratio).any() else ratio.max())
    return worst, int(left[0]) if left.size else None
