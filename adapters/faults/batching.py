"""Faults of the batches: what a training loop may do wrong around a right engine, right optimiser and right equations.

Each is a change to what the engine is given, (case, plan) -> (case, plan); the audit has the right ones.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from adapters.contract import Trainer, arithmetic_of
from adapters.faults.fault import OUTPUT, Fault
from reference.arithmetic import Arithmetic
from reference.case import Case
from reference.training import Batches, Plan, Step

PLAN = "plan"
"""The site of a fault that leaves a step which is not one of the plan; the audit says so before any equation."""

TRAINED_IN = ("float32", "float64")
"""The formats in which the faults of the batches are planted."""

Wrong = Callable[[Case, Plan], tuple[Case, Plan]]


@dataclass(frozen=True)
class BatchFault(Fault):
    """A change to the batches of a training run: `site` is the equation that breaks first, or PLAN."""

    @property
    def breaks(self) -> tuple[str, int]:
        """The equation that it breaks, and the layer: (8) in the last, z in the first; a step as a whole has none."""
        return self.site, {"8": OUTPUT, "z": 1, PLAN: 0}[self.site]

    def names(self, equation: str, layer: int) -> bool:
        """Whether a finding names this fault."""
        return (equation, layer) == self.breaks

    def exceeds(self, dtype: str, stage: str) -> bool:
        """Whether every draw of it is beyond the rounding of a format: other samples are other numbers."""
        return dtype in TRAINED_IN


class Misled:
    """An engine that is given other batches than those that its steps are audited on."""

    def __init__(self, engine: Trainer, fault: BatchFault) -> None:
        self.name: str = engine.name  # type: ignore[attr-defined]
        self.engine, self.fault = engine, fault

    @property
    def arithmetic(self) -> Arithmetic:
        """The engine's own."""
        return arithmetic_of(self.engine)  # type: ignore[arg-type]

    def train(self, case: Case, plan: Plan) -> Iterator[Step]:
        """The engine's steps of the wrong plan."""
        return self.engine.train(*self.fault.wrong(case, plan))


def batches(change: Callable[[Batches], list[NDArray[np.intp]]]) -> Wrong:
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


PLANTED: tuple[tuple[str, str, str, Wrong], ...] = (
    ("order-of-the-data", "the samples are not shuffled", "z", batches(in_order)),
    ("same-order-every-epoch", "the order is drawn once, not in every epoch", "z", batches(same_epoch)),
    (
        "batch-late",
        "each step has the batch of the step before",
        "z",
        batches(lambda drawn: [drawn[0], *drawn[:-1]]),
    ),
    (
        "sample-twice",
        "a sample stands in for another",
        "z",
        batches(lambda drawn: [np.concatenate((batch[:1], batch[:1], batch[2:])) for batch in drawn]),
    ),
    (
        "last-batch-padded",
        "the last batch is filled up with samples that it has",
        PLAN,
        batches(lambda drawn: [np.resize(batch, len(drawn[0])) for batch in drawn]),
    ),
    (
        "last-batch-dropped",
        "the last batch of an epoch, which is smaller, is dropped",
        PLAN,
        batches(lambda drawn: [batch for batch in drawn if len(batch) == len(drawn[0])]),
    ),
    (
        "one-sample-short",
        "the last sample of each batch is left out",
        PLAN,
        batches(lambda drawn: [batch[:-1] for batch in drawn]),
    ),
    (
        "batch-labels-shifted",
        "the labels are those of the sample before",
        "8",
        lambda case, plan: (replace(case, y=shifted(case.y)), plan),
    ),
    (
        "batch-inputs-shifted",
        "the inputs are those of the sample before",
        "z",
        lambda case, plan: (replace(case, x=shifted(case.x)), plan),
    ),
    (
        "labels-in-another-order",
        "the labels of a batch are sorted, and its inputs are not",
        "8",
        lambda case, plan: (replace(case, y=case.y[np.lexsort(case.y.T)]), plan),
    ),
)

BATCH_FAULTS = {
    name: BatchFault(name, "batches", cause, site, 1, wrong, sees="float32", trained="float32")
    for name, cause, site, wrong in PLANTED
}
"""Every fault of the batches by its name."""
