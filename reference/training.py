"""The training cycle: batches drawn once for all engines, and one step of gradient descent after another."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reference import equations as eq
from reference.arrays import Array, Layers
from reference.case import Case, Trace
from reference.rounding import ACCUMULATED_IN, rounded


@dataclass(frozen=True, eq=False)
class Plan:
    """What a training run does: the samples of each batch, in order, and the learning rate η."""

    batches: tuple[NDArray[np.intp], ...]
    learning_rate: float


@dataclass(frozen=True, eq=False)
class Step:
    """One step as the engine made it: its parameters before, the trace on its batch, its parameters after."""

    W: Layers
    b: Layers
    trace: Trace
    new_W: Layers
    new_b: Layers


def draw_plan(rng: np.random.Generator, samples: int, size: int, epochs: int, learning_rate: float) -> Plan:
    """Batches of `size`; an epoch sees every sample once, in an order of its own, and its last batch may be smaller."""
    batches: list[NDArray[np.intp]] = []
    for _ in range(epochs):
        order = rng.permutation(samples)
        batches += [order[start : start + size] for start in range(0, samples, size)]
    return Plan(tuple(batches), learning_rate)


def descend(case: Case, plan: Plan, trace: Callable[[Case], Trace], dtype: str = "float64") -> Iterator[Step]:
    """Gradient descent by (2a) and (2b) in `dtype`, with gradients from `trace`."""
    W, b = case.W, case.b
    for batch in plan.batches:
        now = trace(case.with_parameters(W, b).on_batch(case.x[batch], case.y[batch]))
        new_W = {l: update(eq.eq_2a, W[l], now.dW[l], plan.learning_rate, dtype) for l in case.layers}
        new_b = {l: update(eq.eq_2b, b[l], now.db[l], plan.learning_rate, dtype) for l in case.layers}
        yield Step(W, b, now, new_W, new_b)
        W, b = new_W, new_b


def update(
    equation: Callable[[Array, Array, float], Array], old: Array, gradient: Array, learning_rate: float, dtype: str
) -> Array:
    """(2a) or (2b) carried out in `dtype`; in half precision, computed in float32 and rounded once."""
    format = np.dtype(ACCUMULATED_IN[dtype])
    new = equation(old.astype(format), gradient.astype(format), format.type(learning_rate))
    return rounded(new, dtype)
