"""The training run on real data: the same network, from the same weights, on the same batches, in every engine."""

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from adapters.contract import FAILURES, Adapter
from reference import network
from reference.arrays import Array
from reference.case import Case, CaseError
from reference.cases import Combination
from reference.datasets import Split, digits
from reference.metrics import accuracy
from reference.training import Plan, Step, descent, draw_batches
from reference.training import train as descend
from reports.results.records import Record
from reports.running.engines import loaded
from reports.running.records import Clock, about, cell_id, failure, nothing, outcome
from reports.running.seeds import generator
from reports.running.tally import Tally
from reports.running.workers import Failure
from reports.trajectories.steps import flat, initial, steps, trains

WIDTHS = (64, 32, 10)
NAMES = Combination("tanh", "softmax", "categorical_cross_entropy_on_logits")
EPOCHS, BATCH, LEARNING_RATE = 5, 32, 0.5

CURVES = ("loss", "ratio", "drift", "validation")


def start(seed: int, dtype: str) -> tuple[Split, Case, Plan]:
    """The data, the network at its initial weights with the training set as its batch, and the plan."""
    split = digits(generator(seed, "digits", "split"))
    W, b = initial(generator(seed, "digits", "weights"), WIDTHS, dtype)
    case = Case(*NAMES, dtype=dtype, W=W, b=b, x=split.train[0], y=split.train[1])
    batches = draw_batches(generator(seed, "digits", "batches"), case.samples, BATCH, EPOCHS)
    return split, case, descent(batches, LEARNING_RATE)


def reference_weights(case: Case, plan: Plan) -> list[Array]:
    """The weights after every step of the reference in float64, which runs apart from every engine."""
    return [flat(step.new_W, step.new_b) for step in descend(replace(case, dtype="float64"), plan, network.trace)]


def predicted(case: Case, step: Step, data: tuple[Array, Array]) -> float:
    """Accuracy on a data set of the network that a step left."""
    x, y = data
    _, a = network.forward(case, step.new_W, step.new_b, x)
    return accuracy(a[case.last], y)


def train(adapter: Adapter, device: str, dtype: str, seed: int) -> Iterator[int | Record]:
    """Train and audit every step: yields the number of each step done, and the record at the end."""
    split, case, plan = start(seed, dtype)
    tally, clock = Tally(), Clock(adapter)
    curves: dict[str, list[float]] = {name: [] for name in CURVES}
    verdict, reason, done = None, None, 0
    scores: dict[str, float] = {}
    epoch = len(plan.batches) // EPOCHS
    try:
        if (able := trains(adapter, case, plan)) is not True:
            verdict, reason = "not-run", str(able)
        else:
            reference = reference_weights(case, plan)
            for step, _, ratio in steps(adapter, device, case, plan, tally):
                curves["ratio"].append(ratio)
                curves["loss"].append(float(step.trace.loss))
                apart = np.linalg.norm(flat(step.new_W, step.new_b) - reference[done])
                curves["drift"].append(float(apart / np.linalg.norm(reference[done])))
                done += 1
                if done % epoch == 0:
                    curves["validation"].append(predicted(case, step, split.validation))
                yield done
            scores = {name: predicted(case, step, getattr(split, name)) for name in split._fields}
    except CaseError as error:  # a weight is no number of the format
        verdict, reason = "breaks", f"step {done}: {error}"
    except FAILURES as error:
        verdict, reason = failure(error, f"step {done}")
    yield {
        "id": cell_id(adapter.name, device, dtype, "digits"),
        **about(adapter.name, device, dtype, NAMES),
        "widths": list(WIDTHS),
        "epochs": EPOCHS,
        "batch": BATCH,
        "learning_rate": LEARNING_RATE,
        "steps": done,
        **outcome(tally, verdict, reason, clock),
        "curves": curves,
        "accuracy": scores,
    }


class Run(NamedTuple):
    """A training run that a worker makes."""

    spec: str
    engine: str
    device: str
    dtype: str
    seed: int


def run(of: Run, start: int = 0) -> Iterator[Record]:
    """The record of a training run."""
    *_, last = train(loaded(of.spec, of.device), of.device, of.dtype, of.seed)
    assert isinstance(last, dict)
    yield last


def without_record(of: Run, index: int, failure: Failure) -> Record:
    """The record of a training run whose worker gave none."""
    return {
        "id": cell_id(of.engine, of.device, of.dtype, "digits"),
        **about(of.engine, of.device, of.dtype, NAMES),
        "widths": list(WIDTHS),
        "epochs": EPOCHS,
        "batch": BATCH,
        "learning_rate": LEARNING_RATE,
        "steps": 0,
        **nothing(failure),
        "curves": {name: [] for name in CURVES},
        "accuracy": {},
    }
