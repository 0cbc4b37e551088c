"""The training cycle: batches drawn once for all engines, and one step of an optimiser after another."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import cast

import numpy as np
from numpy.typing import NDArray

from reference.arithmetic import UNDECLARED, Arithmetic
from reference.arrays import Array, Layers, Place, Tree, layers, tree
from reference.audit import Finding, MalformedTrace, audit, audit_update
from reference.case import Case, Trace
from reference.clipping import Clipping, audit_clipping
from reference.optimisers import Optimiser, State, States, audit_step, optimiser
from reference.rounding import ACCUMULATED_IN, rounded
from reference.schedules import Schedule, audit_rate

Batches = tuple[NDArray[np.intp], ...]
"""The samples of every step."""


@dataclass(frozen=True, eq=False)
class Plan:
    """What a training run does.

    batches     the samples of every step, in order
    optimiser   its form and hyperparameters; the schedule takes its share of the learning rate η
    schedule    η_t
    clipping    what the gradient is clipped by, if it is
    done        steps that were made before the first of these
    states      what the optimiser keeps from them; None: what it starts with
    """

    batches: Batches
    optimiser: Optimiser
    schedule: Schedule = field(default_factory=Schedule)
    clipping: Clipping | None = None
    done: int = 0
    states: States | None = None

    @property
    def learning_rate(self) -> float:
        """η"""
        return self.optimiser.learning_rate

    def start(self, W: Layers, b: Layers, dtype: str) -> dict[Place, State]:
        """What the optimiser keeps before the first step, in a format."""
        if self.states is not None:
            return dict(self.states)
        return {
            place: {
                name: rounded(value, dtype) if isinstance(value, np.ndarray) else value
                for name, value in self.optimiser.init(array).items()
            }
            for place, array in tree(W, b).items()
        }

    def rate(self, step: int) -> float:
        """η of a step, the first of the plan being 0."""
        return self.schedule.rate(self.learning_rate, self.done + step)


@dataclass(frozen=True, eq=False)
class Step:
    """One step as the engine made it.

    W, b          its parameters before
    trace         on the step's batch
    new_W, new_b  its parameters after
    new_state     what its optimiser keeps, by ("W", l) and ("b", l), under the names of `reference.optimisers`
    rate          the η that it used; a plan with a schedule asks for it
    clipped       the gradient that its optimiser was given, where the plan has it clipped
    """

    W: Layers
    b: Layers
    trace: Trace
    new_W: Layers
    new_b: Layers
    new_state: States = field(default_factory=dict)
    rate: float | None = None
    clipped: Tree | None = None


def draw_batches(rng: np.random.Generator, samples: int, size: int, epochs: int) -> Batches:
    """Batches of `size`; an epoch sees every sample once, in an order of its own, and its last batch may be smaller."""
    batches: list[NDArray[np.intp]] = []
    for _ in range(epochs):
        order = rng.permutation(samples)
        batches += [order[start : start + size] for start in range(0, samples, size)]
    return tuple(batches)


def descent(batches: Batches, learning_rate: float) -> Plan:
    """Gradient descent by (2a) and (2b), with one η for all steps."""
    return Plan(batches, optimiser("gradient_descent", learning_rate=learning_rate))


def is_descent(plan: Plan) -> bool:
    """Whether a plan is nothing but (2a) and (2b)."""
    return plan.optimiser.name == "gradient_descent" and not plan.optimiser.hyperparameters["weight_decay"]


# --- the reference's own training


def train(case: Case, plan: Plan, trace: Callable[[Case], Trace], dtype: str = "float64") -> Iterator[Step]:
    """The steps of a plan in `dtype`, with gradients from `trace`.

    In half precision a line is computed in float32, and rounded where it is kept.
    """
    w, state = tree(case.W, case.b), plan.start(case.W, case.b, dtype)
    for number, batch in enumerate(plan.batches):
        W, b, rate = layers(w, "W"), layers(w, "b"), plan.rate(number)
        now = trace(case.with_parameters(W, b).on_batch(case.x[batch], case.y[batch]))
        g = tree(now.dW, now.db)
        clipped = None if plan.clipping is None else clip(plan.clipping, g, dtype)
        after = update(plan.optimiser.at_rate(rate), g if clipped is None else clipped, state, w, dtype)
        w, state = (
            {place: new for place, (new, _) in after.items()},
            {place: kept for place, (_, kept) in after.items()},
        )
        yield Step(W, b, now, layers(w, "W"), layers(w, "b"), state, rate, clipped)


def clip(clipping: Clipping, g: Tree, dtype: str) -> dict[Place, Array]:
    """The clipped gradient, computed in `dtype` and rounded to it."""
    computed_in = ACCUMULATED_IN[dtype]
    left = clipping.clipped({place: array.astype(computed_in) for place, array in g.items()})
    return {place: rounded(array, dtype) for place, array in left.items()}


def update(
    optimiser: Optimiser, g: Tree, state: States, w: Tree, dtype: str
) -> dict[Place, tuple[Array, dict[str, Array | float]]]:
    """The new w and state of every parameter, computed in `dtype`."""
    computed_in = ACCUMULATED_IN[dtype]

    def placed(value: Array | float) -> Array | float:
        return value.astype(computed_in) if isinstance(value, np.ndarray) else value

    def stored(value: Array) -> Array:
        return value if computed_in == dtype else rounded(value, dtype).astype(computed_in)

    made_of = {}
    for place, old in w.items():
        before = {name: placed(value) for name, value in state[place].items()}
        new, kept = optimiser.update(g[place].astype(computed_in), before, old.astype(computed_in), stored)
        made_of[place] = (
            new.astype(np.float64),
            {n: x.astype(np.float64) if isinstance(x, np.ndarray) else x for n, x in kept.items()},
        )
    return made_of


# --- the audit of a step


def used_rate(plan: Plan, number: int, step: Step) -> float:
    """The η that a step is held to: its own where a schedule says it, which is audited, else that of the plan."""
    if plan.schedule.name == "constant":
        return plan.rate(number)
    if step.rate is None:
        raise MalformedTrace("the rate is missing")
    return step.rate


def used_gradient(plan: Plan, step: Step) -> Trace:
    """The trace, with the gradient that the optimiser was given: clipped, where the plan has it so."""
    if plan.clipping is None:
        return step.trace
    if step.clipped is None:
        raise MalformedTrace("the clipped gradient is missing")
    return replace(step.trace, dW=layers(step.clipped, "W"), db=layers(step.clipped, "b"))


def audit_training(
    case: Case, plan: Plan, number: int, state: States, step: Step, arithmetic: Arithmetic = UNDECLARED
) -> list[Finding]:
    """Every number that a step of training left: the trace, η_t, the clipped gradient, what is kept, and w.

    `case` has the parameters before the step, and its batch; `state` is what the step before left. Each is held on the
    engine's own operands: the update on the engine's η and clipped gradient. Gradient descent is held to (2a) and (2b).
    Raises MalformedTrace if the step is not one of this plan.
    """
    findings = audit(case, step.trace, arithmetic)
    rate, used = used_rate(plan, number, step), used_gradient(plan, step)
    if plan.schedule.name != "constant":
        t = plan.done + number
        findings.append(audit_rate(plan.schedule, plan.learning_rate, t, rate, case.dtype, arithmetic))
    if plan.clipping is not None:
        g = tree(step.trace.dW, step.trace.db)
        findings += audit_clipping(plan.clipping, g, cast(Tree, step.clipped), case.dtype)
    if is_descent(plan):
        return findings + audit_update(case, used, step.new_W, step.new_b, rate)
    now, g, new = plan.optimiser.at_rate(rate), tree(used.dW, used.db), {"W": step.new_W, "b": step.new_b}
    for (which, l), w in tree(case.W, case.b).items():
        place = (which, l)
        if l not in new[which] or place not in step.new_state:
            raise MalformedTrace(f"new {which} or state of layer {l} is missing")
        kept = step.new_state[place]
        findings += audit_step(now, case.dtype, w, state[place], g[place], new[which][l], kept, l, arithmetic)
    return findings
