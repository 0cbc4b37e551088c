"""The records of the chapter on trajectories in results.json."""

from typing import Any, NotRequired, TypedDict

from reports.results.records import Checked, Environment, FindingRecord, ItemRecord, Number

Curves = dict[str, list[Number]]
"""By name, a number a step; of the validation, a number an epoch."""


class FirstBreak(TypedDict):
    """The first finding of a run that does not hold: its step, equation and layer, and its ratio."""

    step: int
    equation: str
    layer: int
    ratio: Number


class FreeRun(TypedDict):
    """How far a free-running engine goes: the largest share of its envelope, and the step in which it left it.

    `growth` is by how many powers of e the envelope grows in a step; runs of the spread have no envelope.
    """

    ratio: Number
    left: int | None
    growth: Number
    envelope: NotRequired[list[Number]]


class Scores(TypedDict, total=False):
    """The loss of a trained network on one set, and its metrics where the labels are classes."""

    loss: Number
    accuracy: Number
    precision: Number
    recall: Number
    f1: Number
    confusion: list[list[int]]
    predicted: list[int]


class ClippingRecord(TypedDict):
    """What the gradient is clipped by."""

    form: str
    limit: float


class TrajectoryRun(ItemRecord):
    """A training run: what is trained and how, what was found in its steps, and how far it went from the reference."""

    task: str
    optimiser: str
    hyperparameters: dict[str, float]
    schedule: dict[str, Any]
    clipping: ClippingRecord | None
    batching: str
    steps: int
    first: FirstBreak | None
    free: FreeRun | None
    scores: dict[str, Scores]


class DigitsRun(TrajectoryRun):
    """A run on digits, whose curves are drawn."""

    curves: Curves


class SpreadRun(TrajectoryRun):
    """A run of the spread: only the ends of its curves."""

    last: dict[str, Number | None]


class LongRun(TypedDict):
    """A long run in one engine, its curves thinned, and the MiB of its process at either end.

    `reason` is there where the run ended early.
    """

    engine: str
    device: str
    dtype: str
    steps: int
    verdict: str
    checked: Checked
    findings: list[FindingRecord]
    first: FirstBreak | None
    curves: Curves
    scores: dict[str, Scores]
    memory: list[float]
    reason: NotRequired[str]


class KnownRecord(TypedDict):
    """A known departure from lines of an optimiser or a schedule."""

    name: str
    note: str
    reproducer: str


class TrajectoriesRequest(TypedDict):
    """What was asked for."""

    engines: list[str]
    dtypes: list[str]
    steps: int
    epochs: int
    long: int
    seed: int
    workers: int


class Trajectories(TypedDict):
    """The chapter."""

    request: TrajectoriesRequest
    spread: list[SpreadRun]
    digits: list[DigitsRun]
    long: list[LongRun]
    known: list[KnownRecord]
    environment: NotRequired[Environment]
