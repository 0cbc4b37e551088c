"""Training runs: every optimiser in an engine on a spread of tasks, each run held in two ways.

*Step-locked*, every step is audited on the engine's own weights and optimiser state, so that no error accumulates.
*Free-running*, the engine and the reference part from the same weights, and their distance is held against an envelope.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from adapters.contract import FAILURES, Adapter
from reference.arrays import Array
from reference.case import Case, CaseError
from reference.datasets import Split
from reference.metrics import accuracy, confusion_matrix, f1, precision, recall
from reference.training import Plan, Step
from reports.divergences.training import explanation
from reports.results.records import Record
from reports.running.engines import loaded
from reports.running.records import Clock, about, cell_id, failure, outcome
from reports.running.seeds import generator
from reports.running.tally import Tally, badness, shortened
from reports.trajectories.digits import predicted
from reports.trajectories.envelope import ensemble, envelope, growth, outside
from reports.trajectories.setups import Setup, compiles, drawn_in_report, spread, start
from reports.trajectories.steps import flat, steps, trains

# --- one run


class Apart(NamedTuple):
    """The reference's own run, θ, a row a step, and how far any two of it and its perturbed runs part, a row a step."""

    reference: Array
    distances: Array


def apart(case: Case, plan: Plan, seed: int, name: str) -> Apart:
    """What a free-running engine is held against."""
    with np.errstate(all="ignore"):  # what is not finite leaves every envelope
        rows = list(ensemble(case, plan, generator(seed, name, "ensemble")))
    return Apart(np.array([theta for theta, _ in rows]), np.array([distances for _, distances in rows]))


def run(
    adapter: Adapter, device: str, setup: Setup, dtype: str, drawn: tuple[Split, Case, Plan], right: Apart
) -> Record:
    """Train an engine, audit every step, and hold the whole run against the envelope."""
    split, case, plan = drawn
    tally, clock = Tally(), Clock(adapter)
    curves: dict[str, list[float]] = {"loss": [], "ratio": [], "distance": [], "validation": []}
    epoch = math.ceil(case.samples / len(plan.batches[0]))
    verdict, reason, first, last = None, None, None, None
    try:
        if (able := trains(adapter, case, plan)) is not True:
            verdict, reason = "not-run", str(able)
        else:
            with np.errstate(all="ignore"):  # what is not finite is a finding, not a warning
                for number, audited in enumerate(steps(adapter, device, case, plan, tally)):
                    last = audited.step
                    first = first or first_break(number, audited.findings)
                    curves["ratio"].append(shortened(audited.ratio))
                    curves["loss"].append(float(last.trace.loss))
                    away = flat(last.new_W, last.new_b) - right.reference[number]
                    curves["distance"].append(float(np.linalg.norm(away)))
                    if (number + 1) % epoch == 0 and is_one_hot(case.y):
                        curves["validation"].append(predicted(case, last, split.validation))
    except CaseError as error:  # a weight is no number of the format
        verdict, reason = "breaks", f"step {len(curves['loss'])}: {error}"
    except FAILURES as error:
        verdict, reason = failure(error, f"step {len(curves['loss'])}")
    return {
        "id": cell_id(adapter.name, device, dtype, setup.name),
        **about(adapter.name, device, dtype, setup.names),
        "task": setup.task,
        "optimiser": setup.optimiser.name,
        "hyperparameters": dict(setup.optimiser.hyperparameters),
        "schedule": {"name": setup.schedule.name, **setup.schedule.parameters},
        "clipping": setup.clipping and {"form": setup.clipping.form, "limit": setup.clipping.limit},
        "batching": setup.batching,
        "steps": len(curves["loss"]),
        **outcome(tally, verdict, reason, clock),
        "first": first,
        "free": None if last is None else free(curves["distance"], right.distances),
        "curves": curves,
        "scores": {} if last is None or verdict else scores(adapter, case, last, split),
    }


def first_break(number: int, findings: Sequence[Any]) -> Record | None:
    """The step, equation and layer of the first finding that does not hold."""
    for finding in findings:
        if not finding.holds:
            return {"step": number, "equation": finding.equation, "layer": finding.layer, "ratio": badness(finding)}
    return None


def free(distance: Sequence[float], distances: Array) -> Record:
    """How a free-running engine stands to the envelope: the largest share of it, and where it first was outside."""
    limit = envelope(distances)
    ratio, left = outside(np.array(distance), limit[: len(distance)])
    return {"ratio": shortened(ratio), "left": left, "growth": growth(distances), "envelope": limit.tolist()}


def scores(adapter: Adapter, case: Case, last: Step, split: Split) -> Record:
    """The loss and, of classes, the metrics of the trained network on each set, by the engine's own forward pass."""
    return {
        name: of_set(adapter, case.with_parameters(last.new_W, last.new_b).on_batch(*getattr(split, name)))
        for name in split._fields
    }


def of_set(adapter: Adapter, case: Case) -> Record:
    """The metrics on one set; none but the loss where y are no classes."""
    trace = adapter.trace(case)
    found: Record = {"loss": float(trace.loss)}
    if trace.a is None or not is_one_hot(case.y):
        return found
    classes, true = trace.a[case.last].argmax(axis=1), case.y.argmax(axis=1)
    C = confusion_matrix(true, classes, case.y.shape[1])
    averages = {name: float(f(C, "macro")) for name, f in (("precision", precision), ("recall", recall), ("f1", f1))}
    return found | {
        "accuracy": accuracy(trace.a[case.last], case.y),
        **averages,
        "confusion": C.tolist(),
        "predicted": classes.tolist(),
    }


def is_one_hot(y: Array) -> bool:
    """Whether every row is the label of one class."""
    return bool(((y == 0) | (y == 1)).all() and (y.sum(axis=1) == 1).all())


# --- many runs


SPREAD, DIGITS = "spread", "digits"

PARTS: dict[str, Callable[[int], list[Setup]]] = {
    SPREAD: spread,
    DIGITS: lambda epochs: [drawn_in_report(epochs)],
}
"""The setups of a part, of the steps or epochs asked for."""


class Unit(NamedTuple):
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
        """In their order."""
        return [setup for setup in PARTS[self.part](self.size) if setup.task == self.task]


def units(part: str, size: int, engines: Sequence[str], device: str, dtypes: Sequence[str], seed: int) -> list[Unit]:
    """A unit for each task and dtype."""
    tasks = dict.fromkeys(setup.task for setup in PARTS[part](size))
    return [Unit(part, size, task, tuple(engines), device, dtype, seed) for task in tasks for dtype in dtypes]


def run_unit(unit: Unit) -> list[Record]:
    """The records of a unit, setup by setup."""
    return list(runs(unit))


def runs(unit: Unit) -> Iterator[Record]:
    for setup in unit.setups:
        drawn = start(setup, unit.dtype, unit.seed)
        _, case, plan = drawn
        right = apart(case, plan, unit.seed, setup.name)
        for engine in unit.engines:
            adapter = loaded(engine, unit.device)
            if engine == "jax-whole" and not compiles(setup):
                continue
            record = run(adapter, unit.device, setup, unit.dtype, drawn, right)
            yield {**record, "explained": explanation(record)}
