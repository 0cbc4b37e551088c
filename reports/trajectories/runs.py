"""Training runs: every optimiser in an engine on many tasks, each run judged in two ways.

*Step-locked*, every step is audited on the engine's own weights and optimiser state, so that no error accumulates.
*Free-running*, the engine and the reference start from the same weights, and their distance must stay in an envelope.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, cast

import numpy as np

from adapters.contract import Adapter
from reference.arrays import Array
from reference.case import Case
from reference.datasets import Split
from reference.metrics import accuracy, confusion_matrix, f1, precision, recall
from reference.training import Plan
from reports.divergences.explaining import training_explanation
from reports.results.trajectory_records import DigitsRun, FreeRun, Scores
from reports.running.engines import loaded
from reports.running.records import Clock, cell_id, outcome_of, subject
from reports.running.seeds import generator
from reports.running.tally import Tally, shortened
from reports.trajectories.digits import predicted
from reports.trajectories.envelope import ensemble, envelope, growth, outside
from reports.trajectories.follow import follow
from reports.trajectories.setups import DrawnRun, Setup, compiles, draw_run, optimiser_setups, plotted_setup
from reports.trajectories.steps import AuditedStep, flat

# --- one run


class Ensemble(NamedTuple):
    """The reference's own run, θ, and the distance between any two of it and its perturbed runs; a row a step."""

    reference: Array
    distances: Array


def ensemble_of(case: Case, plan: Plan, seed: int, name: str) -> Ensemble:
    """The ensemble against which free-running engines are judged."""
    with np.errstate(all="ignore"):  # what is not finite leaves every envelope
        rows = list(ensemble(case, plan, generator(seed, name, "ensemble")))
    return Ensemble(np.array([theta for theta, _ in rows]), np.array([distances for _, distances in rows]))


def run(adapter: Adapter, device: str, setup: Setup, dtype: str, drawn: DrawnRun, right: Ensemble) -> DigitsRun:
    """Train an engine, audit every step, and compare the whole run with the envelope."""
    split, case, plan = drawn
    tally, clock = Tally(), Clock(adapter)
    curves: dict[str, list[float]] = {"loss": [], "ratio": [], "distance": [], "validation": []}
    epoch = math.ceil(case.samples / len(plan.batches[0]))

    def extend_curves(audited: AuditedStep) -> None:
        number, step = audited.number, audited.step
        distance = flat(step.new_W, step.new_b) - right.reference[number]
        curves["ratio"].append(shortened(audited.ratio))
        curves["loss"].append(float(step.trace.loss))
        curves["distance"].append(float(np.linalg.norm(distance)))
        if (number + 1) % epoch == 0 and is_one_hot(case.y):
            curves["validation"].append(predicted(case, step, split.validation))

    verdict, reason, done, last, first_break = follow(adapter, device, case, plan, tally, extend_curves)
    scored: dict[str, Scores] = {}
    if last is not None and verdict is None:
        scored = scores(adapter, case.with_parameters(last.new_W, last.new_b), split)
    record = {
        "id": cell_id(adapter.name, device, dtype, setup.name),
        **subject(adapter.name, device, dtype, setup.names),
        "task": setup.task,
        "optimiser": setup.optimiser.name,
        "hyperparameters": dict(setup.optimiser.hyperparameters),
        "schedule": {"name": setup.schedule.name, **setup.schedule.parameters},
        "clipping": setup.clipping and {"form": setup.clipping.form, "limit": setup.clipping.limit},
        "batching": setup.batching,
        "steps": done,
        **outcome_of(tally, verdict, reason, clock),
        "first": first_break,
        "free": None if last is None else free_run(curves["distance"], right.distances),
        "curves": curves,
        "scores": scored,
    }
    return cast(DigitsRun, record)


def free_run(distance: Sequence[float], distances: Array) -> FreeRun:
    """How far a free-running engine goes: the largest share of its envelope, and the step in which it left it."""
    limit = envelope(distances)
    ratio, left = outside(np.array(distance), limit[: len(distance)])
    return {"ratio": shortened(ratio), "left": left, "growth": growth(distances), "envelope": limit.tolist()}


def scores(adapter: Adapter, trained: Case, split: Split) -> dict[str, Scores]:
    """The loss and, of classes, the metrics of a trained network on each set, by the engine's own forward pass."""
    return {name: scores_on(adapter, trained.on_batch(*getattr(split, name))) for name in split._fields}


def scores_on(adapter: Adapter, case: Case) -> Scores:
    """The scores on one set; only the loss where y are not classes."""
    trace = adapter.trace(case)
    loss: Scores = {"loss": float(trace.loss)}
    if trace.a is None or not is_one_hot(case.y):
        return loss
    classes, true = trace.a[case.last].argmax(axis=1), case.y.argmax(axis=1)
    C = confusion_matrix(true, classes, case.y.shape[1])
    return {
        **loss,
        "accuracy": accuracy(trace.a[case.last], case.y),
        "precision": float(precision(C, "macro")),
        "recall": float(recall(C, "macro")),
        "f1": float(f1(C, "macro")),
        "confusion": C.tolist(),
        "predicted": classes.tolist(),
    }


def is_one_hot(y: Array) -> bool:
    """Whether every row is the label of one class."""
    return bool(((y == 0) | (y == 1)).all() and (y.sum(axis=1) == 1).all())


# --- many runs


SPREAD, DIGITS = "spread", "digits"

PARTS: dict[str, Callable[[int], list[Setup]]] = {
    SPREAD: optimiser_setups,
    DIGITS: lambda epochs: [plotted_setup(epochs)],
}
"""The setups of each part of the chapter, for a number of steps or epochs."""


class RunGroup(NamedTuple):
    """The runs of one task in one dtype, which a worker makes in one go: programs are compiled for its shapes."""

    part: str
    size: int
    task: str
    engines: tuple[str, ...]
    device: str
    dtype: str
    seed: int

    @property
    def setups(self) -> list[Setup]:
        """The setups of the task, in their order."""
        return [setup for setup in PARTS[self.part](self.size) if setup.task == self.task]


def groups(
    part: str, size: int, engines: Sequence[str], device: str, dtypes: Sequence[str], seed: int
) -> list[RunGroup]:
    """A group for each task and dtype."""
    tasks = dict.fromkeys(setup.task for setup in PARTS[part](size))
    return [RunGroup(part, size, task, tuple(engines), device, dtype, seed) for task in tasks for dtype in dtypes]


def records_of(group: RunGroup) -> list[DigitsRun]:
    """The records of a group, setup by setup."""
    return list(runs(group))


def runs(group: RunGroup) -> Iterator[DigitsRun]:
    """The record of every setup in every engine that can make it."""
    for setup in group.setups:
        drawn = draw_run(setup, group.dtype, group.seed)
        right = ensemble_of(drawn.case, drawn.plan, group.seed, setup.name)
        for engine in group.engines:
            adapter = loaded(engine, group.device)
            if engine == "jax-whole" and not compiles(setup):
                continue
            record = run(adapter, group.device, setup, group.dtype, drawn, right)
            yield {**record, "explained": explanation(record)}


def explanation(record: DigitsRun) -> str | None:
    """The name of the known departure that breaks a run, or None: all that does not hold in it must be known."""
    if record["reason"] is not None:
        return None
    equations = [finding["equation"] for finding in record["findings"]]
    return training_explanation(record["engine"], record["dtype"], equations)
