"""The records of results.json: what a cell, a training run, a finding, a divergence and the whole file hold.

The chapters on seeded faults and on trajectories have modules of their own.
"""

from typing import Any, NotRequired, TypedDict

Record = dict[str, Any]

Number = float | str
"""A number as JSON has it: "NaN", "Infinity" and "-Infinity" are strings in a file; `reports.results.files.number`."""

Checked = dict[str, tuple[Number, int, int]]
"""By equation: the worst ratio, the layer where it is, and the elements compared."""


class Worst(TypedDict):
    """The element with the largest ratio: the Case or step in which it is, its index, and both sides."""

    case: int
    index: list[int]
    observed: Number
    expected: Number
    allowed: Number


class FindingRecord(TypedDict):
    """One equation in one layer that does not hold."""

    equation: str
    layer: int
    ratio: Number
    elements: int
    worst: Worst | None
    diagnosis: NotRequired[str | None]


class About(TypedDict):
    """What was audited."""

    engine: str
    device: str
    dtype: str
    hidden: str
    output: str
    loss: str


class Outcome(TypedDict):
    """What was found: the verdict, why there is none, and every check."""

    verdict: str
    reason: str | None
    elements: int
    seconds: float
    checked: Checked
    findings: list[FindingRecord]
    explained: str | None


class Spent(TypedDict):
    """The seconds of a cell by what they went to, and the programs compiled."""

    compile: float
    programs: int
    engine: float
    audit: float
    experiments: float


class Item(About, Outcome):
    """What a cell and a training run have in common."""

    id: str


class Cell(Item):
    """A combination on one engine and dtype, audited over several Cases; `spent` until the times are summed."""

    cases: int
    spent: NotRequired[Spent]


class TrainingRun(Item):
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
    """What compiling a program for every cell would have cost."""

    seconds: float
    programs: int
    compiled: int
    how: str


class Times(TypedDict):
    """How the time of the cells divides: seconds by engine and part."""

    seconds: dict[str, dict[str, float]]
    workers: int
    without_reuse: WithoutReuse | None


class Blas(TypedDict):
    """A BLAS or OpenMP library that is loaded, and its threads."""

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


class Request(TypedDict, total=False):
    """What a campaign was asked for; empty where there was none."""

    engines: list[str]
    dtypes: list[str]
    device: str
    cases: int
    further: int
    seed: int
    share: str


class Results(TypedDict):
    """results.json; the chapters are there where they were measured."""

    schema: str
    environment: Environment
    request: Request
    cells: list[Cell]
    training: list[TrainingRun]
    times: Times | None
    divergences: NotRequired[list[Divergence]]
    accuracy: NotRequired[list[Accuracy]]
    faults: NotRequired[Any]
    trajectories: NotRequired[Any]
