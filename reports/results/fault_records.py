"""The records of the chapter on seeded faults in results.json."""

from typing import NotRequired, TypedDict

from reports.results.records import Element, Environment, Number


class PanelFault(TypedDict):
    """A seeded fault: what a developer would have done to cause it, what it breaks, and the formats that see it."""

    name: str
    kind: str
    cause: str
    equation: str
    layer: int
    network: str
    sees: str
    trained: str | None
    source: str


class Miss(TypedDict):
    """A draw that should have been killed, and how far the fault moves its step, in allowances."""

    seed: int
    change: Number


class Elsewhere(TypedDict):
    """A killed draw whose first finding names another place: equation and layer."""

    seed: int
    found: tuple[str, int]
    ratio: Number


class MatrixCell(TypedDict):
    """What became of the draws of one fault in one engine and format at one stage of training.

    change, in_u   the smallest change of a draw, in allowances and in u
    ratio          the smallest ratio that killed one; None where none was killed
    """

    fault: str
    engine: str
    dtype: str
    stage: str
    claimed: bool
    draws: int
    killed: int
    localised: int
    missed: int
    indistinguishable: int
    change: Number
    in_u: Number
    ratio: Number | None
    misses: list[Miss]
    elsewhere: list[Elsewhere]


class CheckerRun(TypedDict):
    """How often a checker refused one fault, or one honest network, at one stage, and the seconds of each verdict."""

    rule: str
    fault: str | None
    stage: str
    draws: int
    refused: int
    seconds: list[float]


class Killed(TypedDict):
    """Faults killed in every draw, of how many; and draws killed, of how many."""

    faults: int
    of: int
    draws: int
    of_draws: int


class Refused(TypedDict):
    """Honest draws refused, of how many."""

    draws: int
    of_draws: int


class CheckerRow(TypedDict):
    """A checker beside the others; `killed` and `false_alarms` by stage."""

    rule: str
    engine: str
    source: str | None
    numbers: str | None
    called: bool
    killed: dict[str, Killed]
    false_alarms: dict[str, Refused]
    milliseconds: Number


class Sizes(TypedDict):
    """The smallest relative fault, and the allowance of the same elements, in u: 95th percentile and median of each."""

    in_u: Number
    median_in_u: Number
    floor_in_u: Number
    floor_median_in_u: Number


class SmallestRow(TypedDict):
    """The smallest detectable fault of one equation in one format, in one element and in all."""

    equation: str
    dtype: str
    engine: str
    network: str
    draws: int
    verified: int
    one: Sizes
    all: Sizes


class AlarmFinding(TypedDict):
    """A finding of an honest engine that does not hold, or the reason why there is none."""

    equation: str | None
    layer: int | None
    ratio: Number | None
    worst: Element | None
    reason: NotRequired[str]


class CaseBreaks(TypedDict):
    """What does not hold in the Case of an index."""

    index: int
    findings: list[AlarmFinding]


class AuditedRange(TypedDict):
    """Honest Cases of one engine, dtype and kind, from one index to before another: a line of the journal."""

    engine: str
    dtype: str
    kind: str
    start: int
    stop: int
    cases: int
    numbers: int
    redrawn: int
    not_run: dict[str, int]
    worst: tuple[Number, str | None]
    breaks: list[CaseBreaks]
    seconds: float


class Alarm(AlarmFinding):
    """A false alarm, where it is, and how to see it again."""

    engine: str
    dtype: str
    kind: str
    index: int
    seed: int
    combination: list[str]
    replay: str


class HonestRow(TypedDict):
    """The honest Cases of one engine, dtype and kind of draw."""

    engine: str
    dtype: str
    kind: str
    cases: int
    numbers: int
    redrawn: int
    worst: Number
    equation: str | None
    alarms: int
    seconds: float


class ExplainedAlarms(TypedDict):
    """Findings that a listed divergence explains: how many, and how many by its id."""

    findings: int
    rows: dict[str, int]


class NotRun(TypedDict):
    """Cases that an engine does not compute, and why."""

    engine: str
    reason: str
    cases: int


class Alarms(TypedDict):
    """Honest engines over ordinary and adversarial Cases."""

    cases: int
    numbers: int
    alarms: list[Alarm]
    explained: ExplainedAlarms
    not_run: list[NotRun]
    by: list[HonestRow]
    seconds: NotRequired[float]


class FaultsRequestRecord(TypedDict):
    """What was asked for."""

    engines: list[str]
    dtypes: list[str]
    seeds: int
    cases: int
    seed: int
    parts: list[str]
    workers: int


class FaultsChapter(TypedDict):
    """The chapter; a part that was not asked for is not there."""

    request: FaultsRequestRecord
    panel: list[PanelFault]
    not_run: list[str]
    matrix: NotRequired[list[MatrixCell]]
    beside: NotRequired[list[CheckerRow]]
    smallest: NotRequired[list[SmallestRow]]
    alarms: NotRequired[Alarms]
    environment: NotRequired[Environment]
