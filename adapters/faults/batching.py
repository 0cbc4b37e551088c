"""Faults of the batches: what a training loop may do wrong around a right engine, right optimiser and right equations.

Each is a change to what the engine is given, (case, plan) -> (case, plan); the audit has the right ones.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from reference.case import Case
from reference.training import Batches, Plan


class BatchFault(NamedTuple):
    """A fault, what a developer would have done to cause it, and the equation that breaks first.

    `equation` is "" where a step is none of the plan, which the audit says in its own words.
    """

    cause: str
    equation: str
    wrong: Callable[[Case, Plan], tuple[Case, Plan]]


def batches(change: Callable[[Batches], list[NDArray[np.intp]]]) -> Callable[[Case, Plan], tuple[Case, Plan]]:
    """Other samples in the batches."""
    return lambda case, plan: (case, replace(plan, batches=tuple(change(plan.batches))))


def in_order(drawn: Batches) -> list[NDArray[np.intp]]:
    """The same sizes, the samples in the order of the data, again and again."""
    made = np.concatenate(drawn)
    ends = np.cumsum([len(batch) for batch in drawn])[:-1]
    return np.split(np.arange(len(made)) % (made.max() + 1), ends)


def same_epoch(drawn: Batches) -> list[NDArray[np.intp]]:
    """The first epoch's batches in all others."""
    first = next(i for i, batch in enumerate(drawn) if len(batch) < len(drawn[0])) + 1
    return [drawn[i % first] for i in range(len(drawn))]


def shifted(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.roll(values, 1, axis=0)


BATCH_FAULTS: dict[str, BatchFault] = {
    "order-of-the-data": BatchFault("the samples are not shuffled", "z", batches(in_order)),
    "same-order-every-epoch": BatchFault("the order is drawn once, not in every epoch", "z", batches(same_epoch)),
    "batch-late": BatchFault(
        "each step has the batch of the step before", "z", batches(lambda drawn: [drawn[0], *drawn[:-1]])
    ),
    "sample-twice": BatchFault(
        "a sample stands in for another",
        "z",
        batches(lambda drawn: [np.concatenate((batch[:1], batch[:1], batch[2:])) for batch in drawn]),
    ),
    "last-batch-padded": BatchFault(
        "the last batch is filled up with samples that it has",
        "",
        batches(lambda drawn: [np.resize(batch, len(drawn[0])) for batch in drawn]),
    ),
    "last-batch-dropped": BatchFault(
        "the last batch of an epoch, which is smaller, is dropped",
        "",
        batches(lambda drawn: [batch for batch in drawn if len(batch) == len(drawn[0])]),
    ),
    "one-sample-short": BatchFault(
        "the last sample of each batch is left out", "", batches(lambda drawn: [batch[:-1] for batch in drawn])
    ),
    "labels-shifted": BatchFault(
        "the labels are those of the sample before", "8", lambda case, plan: (replace(case, y=shifted(case.y)), plan)
    ),
    "inputs-shifted": BatchFault(
        "the inputs are those of the sample before", "z", lambda case, plan: (replace(case, x=shifted(case.x)), plan)
    ),
    "labels-in-another-order": BatchFault(
        "the labels of a batch are sorted, and its inputs are not",
        "8",
        lambda case, plan: (replace(case, y=case.y[np.lexsort(case.y.T)]), plan),
    ),
}
"""Every fault of the batches by its name."""
