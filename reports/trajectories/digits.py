"""The campaign's training run on digits: the same network, weights and batches in every engine."""

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple, cast

import numpy as np

from adapters.contract import Adapter
from reference import network
from reference.arrays import Array
from reference.case import Case
from reference.metrics import accuracy
from reference.optimisers import optimiser
from reference.schedules import Schedule
from reference.training import Step, train
from reports.results.records import Number, TrainingRun
from reports.running.engines import loaded
from reports.running.records import Clock, cell_id, outcome_of, outcome_of_failure, subject
from reports.running.tally import Tally
from reports.running.workers import Failure
from reports.trajectories.follow import follow
from reports.trajectories.setups import DIGITS_NETWORK, EPOCH, TASKS, Setup, draw_run
from reports.trajectories.steps import AuditedStep, flat

EPOCHS, LEARNING_RATE = 5, 0.5

CURVES = ("loss", "ratio", "drift", "validation")


def setup() -> Setup:
    """Gradient descent on digits."""
    descent = optimiser("gradient_descent", learning_rate=LEARNING_RATE)
    return Setup("digits", DIGITS_NETWORK, descent, Schedule(), None, "mini", EPOCHS * EPOCH, draw="split")


def predicted(case: Case, step: Step, data: tuple[Array, Array]) -> float:
    """Accuracy on a data set of the network that a step left, by the reference's forward pass."""
    x, y = data
    _, a = network.forward(case, step.new_W, step.new_b, x)
    return accuracy(a[case.last], y)


def train_on_digits(adapter: Adapter, device: str, dtype: str, seed: int) -> TrainingRun:
    """Train an engine, audit every step, and measure how far it drifts from the reference in float64."""
    split, case, plan = draw_run(setup(), dtype, seed)
    tally, clock = Tally(), Clock(adapter)
    curves: dict[str, list[Number]] = {name: [] for name in CURVES}
    reference = train(replace(case, dtype="float64"), plan, network.trace)

    def extend_curves(audited: AuditedStep) -> None:
        step, right = audited.step, next(reference)
        theta = flat(right.new_W, right.new_b)
        distance = np.linalg.norm(flat(step.new_W, step.new_b) - theta)
        curves["ratio"].append(audited.ratio)
        curves["loss"].append(float(step.trace.loss))
        curves["drift"].append(float(distance / np.linalg.norm(theta)))
        if (audited.number + 1) % EPOCH == 0:
            curves["validation"].append(predicted(case, step, split.validation))

    followed = follow(adapter, device, case, plan, tally, extend_curves)
    scores: dict[str, Number] = {}
    if followed.verdict is None and followed.last is not None:
        scores = {name: predicted(case, followed.last, getattr(split, name)) for name in split._fields}
    record = {
        **about_run(adapter.name, device, dtype, followed.done),
        **outcome_of(tally, followed.verdict, followed.reason, clock),
        "curves": curves,
        "accuracy": scores,
    }
    return cast(TrainingRun, record)


def about_run(engine: str, device: str, dtype: str, done: int) -> dict[str, object]:
    """What was trained, and the steps that were made, as it stands in results.json."""
    task = TASKS["digits"]
    return {
        "id": cell_id(engine, device, dtype, "digits"),
        **subject(engine, device, dtype, DIGITS_NETWORK),
        "widths": list(task.widths),
        "epochs": EPOCHS,
        "batch": task.size,
        "learning_rate": LEARNING_RATE,
        "steps": done,
    }


# --- in a worker


class Run(NamedTuple):
    """A training run that a worker makes."""

    spec: str
    engine: str
    device: str
    dtype: str
    seed: int


def run(of: Run, start: int = 0) -> Iterator[TrainingRun]:
    """The record of a training run."""
    yield train_on_digits(loaded(of.spec, of.device), of.device, of.dtype, of.seed)


def without_record(of: Run, index: int, failure: Failure) -> TrainingRun:
    """The record of a training run whose worker gave none."""
    record = {
        **about_run(of.engine, of.device, of.dtype, 0),
        **outcome_of_failure(failure),
        "curves": {name: [] for name in CURVES},
        "accuracy": {},
    }
    return cast(TrainingRun, record)
