"""The records of a campaign: what a cell, a training run, a finding and a divergence hold."""

from collections.abc import Sequence
from typing import Literal, NotRequired, TypedDict

Number = float | str
"""A number as JSON has it, with strings for NaN and what is infinite; `reports.results.files.number` reads it."""

Role = Literal["hidden", "output", "loss"]
"""The key of a function of a cell."""

Checked = dict[str, tuple[Number, int, int]]
"""By equation: the worst ratio, the layer where it is, and the elements compared."""


class Element(TypedDict):
    """An element that was compared: its index, both sides, and what is allowed."""

    index: Sequence[int]
    observed: Number
    expected: Number
    allowed: Number


class WorstElement(Element):
    """The element with the largest ratio, and its Case or step."""

    case: int


class FindingRecord(TypedDict):
    """One equation in one layer that does not hold."""

    equation: str
    layer: int
    ratio: Number
    elements: int
    worst: WorstElement | None
    diagnosis: NotRequired[str | None]


class Origin(TypedDict):
    """Where a departure may come from."""

    engine: str
    dtype: str
    hidden: str
    output: str
    loss: str


class Subject(Origin):
    """What was audited."""

    device: str


class Outcome(TypedDict):
    """The outcome of an audit: the verdict, the reason if there is one, every check, and findings that do not hold."""

    verdict: str
    reason: str | None
    elements: int
    seconds: float
    checked: Checked
    findings: list[FindingRecord]
    explained: str | None


class Spent(TypedDict):
    """The seconds of each part of a cell, and the programs compiled."""

    compile: float
    programs: int
    engine: float
    audit: float
    experiments: float


class ItemRecord(Subject, Outcome):
    """What a cell and a training run have in common."""

    id: str


class Cell(ItemRecord):
    """A combination on one engine and dtype, audited over several Cases; `spent` until the times are summed."""

    cases: int
    spent: NotRequired[Spent]


class TrainingRun(ItemRecord):
    """The campaign's training run on digits."""

    widths: list[int]
    epochs: int
    batch: int
    learning_rate: float
    steps: int
    curves: dict[str, list[Number]]
    accuracy: dict[str, Number]


class Divergence(TypedDict):
    """Where engines depart from an equation or where there is a choice; by engine: answer, status, departure, code."""

    id: str
    function: str
    kind: str
    what: str
    dtype: str
    kink: bool
    input: str
    equation: str
    engines: dict[str, str]
    status: dict[str, str]
    departure: NotRequired[dict[str, Number]]
    ordinary: NotRequired[bool]
    bound: str | None
    note: str
    source: str | None
    reproducer: dict[str, str]


class Accuracy(TypedDict):
    """A k_f that an allowance takes, beside the measurement it comes from."""

    function: str
    what: str
    dtype: str
    engine: str
    k: Number
    measured: Number
    ulp: Number
    at: str
    inputs: int


class WithoutReuse(TypedDict):
    """The seconds and programs of compiling one for every cell, as estimated, and the programs that were compiled."""

    seconds: float
    programs: int
    compiled: int
    how: str


class Times(TypedDict):
    """The seconds of all cells by engine and part, and the workers that they were spent in."""

    seconds: dict[str, dict[str, float]]
    workers: int
    without_reuse: WithoutReuse | None


class Blas(TypedDict):
    """A BLAS or OpenMP library that is loaded, and its number of threads."""

    name: str | None
    version: str | None
    threads: int | None
    architecture: str | None
    library: str


class Environment(TypedDict):
    """What a measurement ran on."""

    python: str
    platform: str
    processor: str
    cores: int
    versions: dict[str, str]
    blas: list[Blas]
    devices: dict[str, str]
    flags: dict[str, str]
    seed: int
    started: str
    seconds: float


class RequestRecord(TypedDict, total=False):
    """The request of a campaign; empty without one."""

    design: str
    engines: list[str]
    dtypes: list[str]
    device: str
    cases: int
    further: int
    seed: int
    share: str
