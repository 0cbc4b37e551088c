"""Training runs, step by step: each step is audited on the engine's own weights and optimiser state."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple, cast

import numpy as np

from adapters.contract import Adapter, Trainer, arithmetic_of
from reference.arithmetic import Arithmetic
from reference.arrays import Array, Layers
from reference.audit import EQUATIONS, Finding, MalformedTrace
from reference.case import Case
from reference.diagnosis import diagnose, diagnose_update
from reference.initialisers import glorot_uniform
from reference.optimisers import States
from reference.rounding import rounded
from reference.training import Plan, Step, audit_training, is_descent, used_gradient, used_rate
from reports.results.trajectory_records import FirstBreak
from reports.running.tally import Tally, badness


def trains(adapter: Adapter, case: Case, plan: Plan) -> bool | str:
    """True, or the reason why an engine cannot make this run; one that does not say descends by (2a) and (2b) alone."""
    if (supported := adapter.supports(case)) is not True:
        return supported
    if not hasattr(adapter, "train"):
        return f"{adapter.name} has no train"
    if hasattr(adapter, "trains"):
        return cast(Trainer, adapter).trains(plan)
    plain = is_descent(plan) and plan.schedule.name == "constant" and plan.clipping is None
    return True if plain else f"{adapter.name} has no trains, and so only plain gradient descent"


class AuditedStep(NamedTuple):
    """A step, its number in the whole run, its findings, and the worst ratio among them."""

    number: int
    step: Step
    findings: list[Finding]
    ratio: float

    @property
    def first_break(self) -> FirstBreak | None:
        """The first finding that does not hold."""
        for finding in self.findings:
            if not finding.holds:
                return {
                    "step": self.number,
                    "equation": finding.equation,
                    "layer": finding.layer,
                    "ratio": badness(finding),
                }
        return None


def steps(adapter: Adapter, device: str, case: Case, plan: Plan, tally: Tally) -> Iterator[AuditedStep]:
    """Every step of a plan as the engine makes it, audited by itself; the findings go into the tally.

    Raises MalformedTrace where a step is missing or too many, or does not start from what the step before left.
    """
    W, b, arithmetic = case.W, case.b, arithmetic_of(adapter, device)
    state: States = plan.start(W, b, case.dtype)
    engine_steps = iter(cast(Trainer, adapter).train(case, plan))
    for number, batch in enumerate(plan.batches):
        if (step := next(engine_steps, None)) is None:
            raise MalformedTrace(f"the run ends, but should have {len(plan.batches)} steps")
        require_start(step.W, step.b, W, b)
        now = case.with_parameters(step.W, step.b).on_batch(case.x[batch], case.y[batch])
        findings = audit_training(now, plan, number, state, step, arithmetic)
        ratio = tally.add(findings, plan.done + number, partial(diagnosis, now, plan, number, step, arithmetic))
        yield AuditedStep(plan.done + number, step, findings, ratio)
        W, b, state = step.new_W, step.new_b, step.new_state or state
    if next(engine_steps, None) is not None:
        raise MalformedTrace(f"the run goes on after its {len(plan.batches)} steps")


def require_start(W: Layers, b: Layers, left_W: Layers, left_b: Layers) -> None:
    """Raise MalformedTrace unless a step starts from exactly what the step before left."""
    for name, start, left in (("W", W, left_W), ("b", b, left_b)):
        for l in left:
            if l not in start or not np.array_equal(start[l], left[l]):
                raise MalformedTrace(f"{name} of layer {l} is not what the step before left")


def diagnosis(case: Case, plan: Plan, number: int, step: Step, arithmetic: Arithmetic, finding: Finding) -> str | None:
    """Why a finding about a step does not hold, where that is known; the name of an optimiser's line says enough."""
    if finding.equation in ("2a", "2b"):
        used, rate = used_gradient(plan, step), used_rate(plan, number, step)
        return diagnose_update(case, used, step.new_W, step.new_b, rate, finding)
    return diagnose(case, step.trace, finding, arithmetic) if finding.equation in EQUATIONS else None


def initial(rng: np.random.Generator, widths: Sequence[int], dtype: str) -> tuple[dict[int, Array], dict[int, Array]]:
    """W by Glorot's uniform initialiser, and b = 0.

    They are drawn as float32 numbers, so that every dtype starts from the same, as nearly as it holds them.
    """
    numbers = range(1, len(widths))
    drawn = {l: rounded(glorot_uniform(rng, widths[l], widths[l - 1]), "float32") for l in numbers}
    return {l: rounded(W, dtype) for l, W in drawn.items()}, {l: np.zeros(widths[l]) for l in numbers}


def flat(W: Layers, b: Layers) -> Array:
    """All parameters as one vector θ."""
    return np.concatenate([array.ravel() for layers in (W, b) for array in layers.values()])
