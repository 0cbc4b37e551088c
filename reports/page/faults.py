"""The chapter on seeded faults: what the page shows of the kill matrix, the checkers, the limits, the false alarms."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, cast

from adapters.faults.planting import OF_ONE_PROGRAM
from reference.rounding import DTYPES
from reports.faults import terminal
from reports.faults.limits import ELEMENTS
from reports.faults.summary import (
    Checker,
    HonestCases,
    Matrix,
    Summary,
    Tally,
    fault_count,
    share,
    summarise,
    tally,
    tally_by,
    where,
)
from reports.page.figures import Figure
from reports.results.fault_records import (
    Alarm,
    Elsewhere,
    FaultsChapter,
    FaultsRequestRecord,
    HonestRow,
    MatrixCell,
    Miss,
    NotRun,
    PanelFault,
    SmallestRow,
)
from reports.results.fault_records import Alarms as AlarmsRecord
from reports.results.files import number
from reports.results.records import Number
from reports.text import wording
from reports.text.places import place_text
from reports.text.wording import size_text

Place = tuple[str, int]
"""Equation and layer."""


@dataclass(frozen=True)
class Chapter:
    """All of it; a part that was not measured is empty."""

    holds: bool
    decided: bool
    sentence: str
    figures: list[Figure]
    summary: "KindsByEngine | None"
    heads: list["Head"]
    kinds: list["Kind"]
    notes: list["Note"]
    stages: list[str]
    checkers: list["CheckerRow"]
    limits: "Limits | None"
    alarms: "HonestEngines | None"
    not_run: list[str]
    replay: str


def chapter(records: FaultsChapter | None) -> Chapter | None:
    """What is shown of the measurements of seeded faults; None where there are none."""
    if not records:
        return None
    summary = summarise(records)
    cells = records.get("matrix", [])
    panel = {str(fault["name"]): fault for fault in records["panel"]}
    return Chapter(
        summary.holds,
        summary.decided,
        summary.sentence,
        figures(summary, records.get("alarms")),
        kinds_by_engine(cells, panel) if cells else None,
        heads(cells),
        kinds(cells, panel),
        notes(summary.matrix, panel) if summary.matrix else [],
        list(summary.checkers[0].killed) if summary.checkers else [],
        [checker_row(checker) for checker in summary.checkers or ()],
        limits(summary.limits) if summary.limits else None,
        honest_engines(records["alarms"], summary) if "alarms" in records else None,
        records["not_run"],
        replay(records["request"]),
    )


def replay(request: FaultsRequestRecord) -> str:
    """The command that measures the same again."""
    several = f"--engines {','.join(request['engines'])}", f"--dtypes {','.join(request['dtypes'])}"
    counts = f"--seeds {request['seeds']}", f"--cases {request['cases']}", f"--seed {request['seed']}"
    return " ".join(("python -m reports faults", *several, *counts, f"--only {','.join(request['parts'])}"))


def figures(summary: Summary, honest: AlarmsRecord | None) -> list[Figure]:
    """Draws killed, localised, false alarms, and what the best of the other checkers kills."""
    shown = []
    if summary.matrix and summary.matrix.total.draws:
        t, faults = summary.matrix.total, wording.counted(summary.matrix.faults, "fault")
        shown += [
            Figure("draws killed", f"{t.claimed_killed:,} of {t.claimed:,}", f"of {faults}, beyond the precision"),
            Figure("localised", share(t.localised, t.killed), f"{t.localised:,} of {t.killed:,} draws killed"),
        ]
    if honest:
        remark = f"in {wording.counted(honest['cases'], 'honest case')}, {honest['numbers']:,} numbers"
        shown.append(Figure("false alarms", f"{len(honest['alarms']):,}", remark))
    if best := best_other(summary.checkers or ()):
        remark = f"{best.rule}; refuses {share(best.refused, best.honest)} of what is honest"
        shown.append(Figure("best other checker", f"kills {best.share}", remark))
    return shown


# --- the kill matrix

KILLED, UNCLAIMED, PART, IDLE = "killed", "unclaimed", "unclaimed part", "not-run-tile"
MISSED, ELSEWHERE = "broken", "listed"


@dataclass(frozen=True)
class Tile:
    """Some cells of one fault: the worst of them, as a class and a mark; what there is to tell beyond that."""

    kind: str = ""
    mark: str = ""
    title: str = ""


def tile(cells: Sequence[MatrixCell]) -> Tile:
    """A miss before a draw localised elsewhere before one that is not told from rounding; empty for no cells."""
    if not cells:
        return Tile(title="not planted")
    t, title = tally(cells), "; ".join(map(cell_text, cells))
    if t.missed or t.claimed_killed < t.claimed:
        return Tile(MISSED, "✕", title)
    if t.localised < t.killed:
        return Tile(ELSEWHERE, "≠", title)
    if t.claimed == t.draws:
        return Tile(KILLED)
    if t.killed == t.draws:
        return Tile(UNCLAIMED)
    return Tile(PART, f"{t.killed}/{t.draws}", title) if t.killed else Tile(IDLE)


def cell_text(cell: MatrixCell) -> str:
    """numpy: 10 of 10 killed, 9 localised; what there is none of is left out."""
    counts = (cell["missed"], "missed"), (cell["indistinguishable"], "indistinguishable")
    localised = [f"{cell['localised']:,} localised"] if cell["localised"] < cell["killed"] else []
    parts = [
        f"{cell['killed']:,} of {cell['draws']:,} killed",
        *localised,
        *(f"{n:,} {word}" for n, word in counts if n),
    ]
    return f"{cell['engine']}: {', '.join(parts)}"


@dataclass(frozen=True)
class Head:
    """The columns of tiles that stand together: formats under a stage, stages under an engine of one program."""

    name: str
    columns: list[tuple[str, str]]
    """What each is, and its head."""
    keys: list[tuple[str, str]]
    """Stage and format of each."""
    engines: list[str]


def heads(cells: Sequence[MatrixCell]) -> list[Head]:
    """A head for each stage, over the engines that go layer by layer; then one for each engine of one program."""
    stages, dtypes, engines = (distinct(cells, key) for key in ("stage", "dtype", "engine"))
    dtypes = sorted(dtypes, key=DTYPES.index)
    layered = [engine for engine in engines if engine not in OF_ONE_PROGRAM]
    shown = [
        Head(stage, [(dtype, dtype) for dtype in dtypes], [(stage, dtype) for dtype in dtypes], layered)
        for stage in stages
        if layered
    ]
    for engine in engines:
        if engine in OF_ONE_PROGRAM:
            own = [(stage, dtype) for stage in stages for dtype in distinct(of(cells, engine), "dtype")]
            columns = [(f"{dtype}, {stage}", terminal.SHORT.get(stage, stage)) for stage, dtype in own]
            shown.append(Head(engine, columns, own, [engine]))
    return shown


def distinct(cells: Iterable[MatrixCell], key: str) -> list[str]:
    """The values of a field, in the order in which they appear."""
    return list(dict.fromkeys(str(cell[key]) for cell in cells))  # type: ignore[literal-required]


def of(cells: Iterable[MatrixCell], engine: str) -> list[MatrixCell]:
    """The cells of one engine."""
    return [cell for cell in cells if cell["engine"] == engine]


@dataclass(frozen=True)
class Row:
    """A fault, its link, the smallest change it makes where it exceeds the precision, and its tiles, by head."""

    fault: PanelFault
    link: str | None
    change: str
    tiles: list[list[Tile]]


@dataclass(frozen=True)
class Kind:
    """The faults of one kind; open where something is missed or localised elsewhere."""

    name: str
    rows: list[Row]
    tally: Tally

    @property
    def open(self) -> bool:
        """Whether there is something to see."""
        return not self.tally.holds or self.tally.localised < self.tally.killed


def kinds(cells: Sequence[MatrixCell], panel: dict[str, PanelFault]) -> list[Kind]:
    """Every kind, in the order of the panel."""
    shown, own = heads(cells), by_fault(cells)
    groups: dict[str, list[str]] = {}
    for name in own:
        groups.setdefault(panel[name]["kind"], []).append(name)
    return [
        Kind(
            kind,
            [row(panel[name], own[name], shown) for name in names],
            tally(cell for name in names for cell in own[name]),
        )
        for kind, names in groups.items()
    ]


def by_fault(cells: Iterable[MatrixCell]) -> dict[str, list[MatrixCell]]:
    """The cells of each fault."""
    groups: dict[str, list[MatrixCell]] = {}
    for cell in cells:
        groups.setdefault(cell["fault"], []).append(cell)
    return groups


def row(fault: PanelFault, cells: Sequence[MatrixCell], shown: Sequence[Head]) -> Row:
    """One fault."""
    places: dict[tuple[str, str, str], MatrixCell] = {(c["engine"], c["stage"], c["dtype"]): c for c in cells}
    tiles = [
        [tile([places[engine, *key] for engine in head.engines if (engine, *key) in places]) for key in head.keys]
        for head in shown
    ]
    changes = [number(cell["change"]) for cell in cells if cell["claimed"]]
    return Row(fault, link(fault["source"]), wording.ratio_text(min(changes)) if changes else "—", tiles)


def link(source: Any) -> str | None:
    """A source on the web."""
    return source if re.match(r"https?://", str(source or "")) else None


@dataclass(frozen=True)
class KindsByEngine:
    """How each kind fares in each engine, how many faults it has, and all of them together."""

    engines: list[str]
    rows: dict[str, dict[str, Tally]]
    faults: dict[str, int]
    together: dict[str, Tally]
    total: Tally


def kinds_by_engine(cells: Sequence[MatrixCell], panel: dict[str, PanelFault]) -> KindsByEngine:
    """The table of kinds by engines."""
    groups: dict[str, list[MatrixCell]] = {}
    for cell in cells:
        groups.setdefault(panel[cell["fault"]]["kind"], []).append(cell)
    return KindsByEngine(
        distinct(cells, "engine"),
        {kind: {engine: sums for (engine,), sums in tally_by(own, "engine").items()} for kind, own in groups.items()},
        {kind: fault_count(own) for kind, own in groups.items()},
        {engine: sums for (engine,), sums in tally_by(cells, "engine").items()},
        tally(cells),
    )


# --- what was missed, and what was localised elsewhere


@dataclass(frozen=True)
class Note:
    """A cell that is not as it should be, in how many draws, and what there is to say of it."""

    kind: str
    mark: str
    fault: PanelFault
    where: str
    draws: str
    why: list[str]


def notes(matrix: Matrix, panel: dict[str, PanelFault]) -> list[Note]:
    """The misses, then the draws that are localised elsewhere."""
    shown = []
    for cell in matrix.missed:
        text = f"{cell['missed']} of {wording.counted(cell['draws'], 'draw')} missed"
        why = [miss_text(miss) for miss in cell["misses"]]
        shown.append(Note("", f"✕ {cell['missed']}", panel[cell["fault"]], where(cell), text, why))
    for cell in matrix.elsewhere:
        fault, draws = panel[cell["fault"]], cell["elsewhere"]
        text = f"{len(draws)} of {wording.counted(cell['killed'], 'killed draw')} localised elsewhere"
        places: dict[tuple[str, int], list[Elsewhere]] = {}
        for draw in draws:
            equation, layer = draw["found"]
            places.setdefault((equation, layer), []).append(draw)
        why = [elsewhere_text(*place, same, fault) for place, same in places.items()]
        shown.append(Note("listed", f"≠ {len(draws)}", fault, where(cell), text, why))
    return shown


def miss_text(miss: Miss) -> str:
    """Seed 3: its step changes by 12 times what is allowed."""
    return (
        f"Seed {miss['seed']}: its step changes by {wording.ratio_text(number(miss['change']))} times what is allowed."
    )


def elsewhere_text(equation: str, layer: int, draws: Sequence[Elsewhere], fault: PanelFault) -> str:
    """Seed 3: (7a) in layer 2 is the first that does not hold, 1.7 times …; (14) in layer 2 is within its allowance."""
    ratios = list(dict.fromkeys(wording.ratio_text(x) for x in sorted(number(draw["ratio"]) for draw in draws)))
    size = ratios[0] if len(ratios) == 1 else f"{ratios[0]} to {ratios[-1]}"
    seeds = wording.listing([str(draw["seed"]) for draw in draws])
    return (
        f"Seed{'s' if len(draws) > 1 else ''} {seeds}: {place_text(equation, layer)} is the first that does not "
        f"hold, {size} times what is allowed; {order_text((equation, layer), (fault['equation'], fault['layer']))}."
    )


def order_text(found: Place, planted: Place) -> str:
    """What follows for the place that a fault is planted in from the first place that does not hold."""
    what = place_text(*planted)
    if {found[0], planted[0]} - set(chain(*ORDER)):
        return f"the fault is planted in {what}"
    if position(*found) > position(*planted):
        return f"{what} is itself within its allowance"
    return f"it comes before {what} in the computation"


ORDER = (("z", "a"), ("8",), ("1",), ("9", "14"), ("7a", "7b"))
"""The order in which `reference.audit.local` checks: forwards through the layers, the losses, backwards, twice."""


def position(equation: str, layer: int) -> tuple[int, int, int]:
    """Where in that order an equation of a layer stands; sorts."""
    part = next(i for i, equations in enumerate(ORDER) if equation in equations)
    return part, layer if part == 0 else -layer, ORDER[part].index(equation)


# --- beside other checkers


@dataclass(frozen=True)
class CheckerRow:
    """A row of the comparison: the checker, its link, what it compares, and its time as text."""

    checker: Checker
    link: str | None
    numbers: str
    milliseconds: str


NUMBERS = {
    True: "every equation in every layer, within its allowance",
    False: "the derivative against finite differences, with its own defaults",
}
"""What the audit, and a checker that is not a rule over two arrays, compares."""


def checker_row(checker: Checker) -> CheckerRow:
    """One row of the comparison."""
    numbers = checker.numbers or NUMBERS[checker.ours]
    return CheckerRow(checker, link(checker.source), numbers, size_text(checker.milliseconds))


def best_other(checkers: Iterable[Checker]) -> Checker | None:
    """The one that tells best: by the share of the draws that it kills, less the share of honest ones it refuses."""
    others = [c for c in checkers if not c.ours and c.honest and c.draws[1]]
    return max(others, key=lambda c: c.draws[0] / c.draws[1] - c.refused / c.honest, default=None)


# --- the smallest detectable fault


@dataclass(frozen=True)
class Limits:
    """The smallest detectable fault: of each equation, for each fault and format, sizes and floors as text."""

    faults: list[tuple[str, str]]
    dtypes: list[str]
    rows: dict[str, list[dict[str, str] | None]]
    draws: str
    engine: str


def limits(by_equation: dict[str, dict[str, SmallestRow]]) -> Limits:
    """The table of equations by formats, one element and all."""
    rows = [row for own in by_equation.values() for row in own.values()]
    dtypes = sorted({row["dtype"] for row in rows}, key=DTYPES.index)
    table = {
        name: [
            {key: size_text(number(cast(Number, size))) for key, size in own[dtype][elements].items()}
            if dtype in own
            else None
            for elements in ELEMENTS
            for dtype in dtypes
        ]
        for name, own in by_equation.items()
    }
    draws = " or ".join(f"{draws:,}" for draws in sorted({row["draws"] for row in rows}))
    engines = list(dict.fromkeys(row["engine"] for row in rows))
    heads = {"one": "one element is wrong", "all": "every element is wrong"}
    return Limits([(e, heads[e]) for e in ELEMENTS], dtypes, table, draws, wording.listing(engines))


# --- false alarms


@dataclass(frozen=True)
class HonestEngines:
    """Honest engines: the worst ratio of each kind of draw by engine and format; what was an alarm, or explained."""

    columns: dict[tuple[str, str], HonestCases]
    kinds: dict[str, list[Tile]]
    alarms: tuple[tuple[Alarm, str], ...]
    explained: dict[str, int]
    findings: int
    not_run: list[NotRun]


def honest_engines(records: AlarmsRecord, summary: Summary) -> HonestEngines:
    """The counts as they are shown."""
    rows = {(row["kind"], (row["engine"], row["dtype"])): row for row in records["by"]}
    kinds, columns = dict.fromkeys(row["kind"] for row in records["by"]), summary.honest or {}
    return HonestEngines(
        columns,
        {kind: [honest(rows.get((kind, column))) for column in columns] for kind in kinds},
        summary.alarms,
        records["explained"]["rows"],
        records["explained"]["findings"],
        records["not_run"],
    )


def honest(row: HonestRow | None) -> Tile:
    """The honest cases of one kind of draw in one engine and format."""
    if row is None:
        return Tile(title="not run")
    worst = number(row["worst"])
    where = f", worst {wording.ratio_text(worst)} in ({row['equation']})" if row["equation"] else ", exactly equal"
    cases, alarms = wording.counted(row["cases"], "case"), wording.counted(row["alarms"], "alarm")
    title = f"{cases}, {row['numbers']:,} numbers{where}, {alarms}"
    if row["alarms"]:
        return Tile("broken", f"✕{row['alarms']:,}", title)
    return Tile(
        wording.level(worst) if row["numbers"] else IDLE, wording.short_text(worst) if row["numbers"] else "", title
    )
