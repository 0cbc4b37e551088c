"""The training run on real data: the same network, from the same weights, on the same batches, in every engine."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from adapters.contract import FAILURES, Adapter, describe
from reference import network
from reference.arrays import Array
from reference.audit import MalformedTrace
from reference.case import Case, CaseError
from reference.cases import Combination
from reference.datasets import Split, digits
from reference.metrics import accuracy
from reference.training import Plan, Step, descent, draw_batches
from reference.training import train as descend
from reports.campaign import Clock, Record, Tally, about, cell_id, generator, loaded, outcome
from reports.training import flat, initial, steps, trains

WIDTHS = (64, 32, 10)
NAMES = Combination("tanh", "softmax", "categorical_cross_entropy_on_logits")
EPOCHS, BATCH, LEARNING_RATE = 5, 32, 0.5


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
    curves: dict[str, list[float]] = {"loss": [], "ratio": [], "drift": [], "validation": []}
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
    except (MalformedTrace, CaseError) as error:
        verdict, reason = "breaks", f"step {done}: {error}"
    except FAILURES as error:
        verdict, reason = "breaks", f"step {done}: {describe(error)}"
    yield {
        "id": cell_id(adapter.name, device, dtype, "digits"),
        **about(adapter, device, dtype, NAMES),
        "widths": list(WIDTHS),
        "epochs": EPOCHS,
        "batch": BATCH,
        "learning_rate": LEARNING_RATE,
        "steps": done,
        **outcome(tally, verdict, reason, clock),
        "curves": curves,
        "accuracy": scores,
    }


def run(spec: str, device: str, dtype: str, seed: int) -> Record:
    """The record of a training run, for a worker process."""
    *_, last = train(loaded(spec, device), device, dtype, seed)
    assert isinstance(last, dict)
    return last
