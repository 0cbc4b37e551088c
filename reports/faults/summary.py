"""What the measurements of seeded faults say: the share killed and localised, the misses, the verdict.

`summarise` computes all of it; terminal and page print it.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from reference.rounding import DTYPES
from reports.faults.limits import MEASURED
from reports.results.fault_records import (
    Alarm,
    Alarms,
    CheckerRow,
    FaultsChapter,
    HonestRow,
    Killed,
    MatrixCell,
    SmallestRow,
)
from reports.results.files import number
from reports.text.places import place_text
from reports.text.wording import clipped, counted, listing, ratio_text

LOCALISED = 0.97
"""The least share of the killed draws whose first finding names the equation and the layer."""

AUDIT = "audit"
"""The rule that is this suite's own, among the checkers."""


class Tally(NamedTuple):
    """Draws of some cells of the kill matrix: of faults that exceed the precision, and of all."""

    claimed: int
    claimed_killed: int
    draws: int
    killed: int
    localised: int
    missed: int
    indistinguishable: int

    @property
    def holds(self) -> bool:
        """Whether something was claimed, all of that was killed, nothing was missed, and enough was localised."""
        return (
            0 < self.claimed == self.claimed_killed and self.missed == 0 and self.localised >= LOCALISED * self.killed
        )


@dataclass(frozen=True)
class Matrix:
    """The kill matrix: how many faults, the sums of all draws, of each engine, and of engine, dtype and stage."""

    faults: int
    total: Tally
    by_engine: dict[str, Tally]
    by_column: dict[tuple[str, ...], Tally]
    missed: tuple[MatrixCell, ...]
    elsewhere: tuple[MatrixCell, ...]


@dataclass(frozen=True)
class Checker:
    """A checker beside the others: what it kills at each stage, and the honest draws that it refuses, of how many."""

    rule: str
    ours: bool
    engine: str
    source: str | None
    numbers: str | None
    called: bool
    killed: dict[str, Killed]
    refused: int
    honest: int
    milliseconds: float
    flawless: bool

    @property
    def draws(self) -> tuple[int, int]:
        """Killed of the draws of all stages, and how many they are."""
        stages = self.killed.values()
        return sum(stage["draws"] for stage in stages), sum(stage["of_draws"] for stage in stages)

    @property
    def share(self) -> str:
        """Killed of the draws of all stages, in per cent."""
        return share(*self.draws)


class HonestCases(NamedTuple):
    """Honest cases of an engine and format: how many, numbers compared, the worst ratio and its equation, alarms."""

    cases: int
    numbers: int
    worst: float
    equation: str | None
    alarms: int


@dataclass(frozen=True)
class Summary:
    """The chapter as it is printed; a part that was not measured is None."""

    holds: bool
    decided: bool
    sentence: str
    lines: tuple[str, ...]
    matrix: Matrix | None
    checkers: tuple[Checker, ...] | None
    limits: dict[str, dict[str, SmallestRow]] | None
    honest: dict[tuple[str, str], HonestCases] | None
    alarms: tuple[tuple[Alarm, str], ...]


def summarise(chapter: FaultsChapter) -> Summary:
    """All that is printed of a chapter."""
    cells = chapter.get("matrix")
    return Summary(
        holds(chapter),
        decided(chapter),
        sentence(chapter),
        tuple(lines(chapter)),
        None if cells is None else matrix(cells),
        tuple(map(checker, chapter["beside"])) if "beside" in chapter else None,
        by_equation(chapter["smallest"]) if "smallest" in chapter else None,
        honest_cases(chapter["alarms"]) if "alarms" in chapter else None,
        tuple((alarm, alarm_text(alarm)) for alarm in alarms(chapter)),
    )


# --- the kill matrix


def matrix(cells: Sequence[MatrixCell]) -> Matrix:
    """The sums of a kill matrix."""
    return Matrix(
        fault_count(cells),
        tally(cells),
        {engine: sums for (engine,), sums in tally_by(cells, "engine").items()},
        tally_by(cells, "engine", "dtype", "stage"),
        tuple(cell for cell in cells if cell["missed"]),
        tuple(cell for cell in cells if cell["elsewhere"]),
    )


def tally(cells: Iterable[MatrixCell]) -> Tally:
    """The sums over cells."""
    cells = list(cells)
    claimed = [cell for cell in cells if cell["claimed"]]
    return Tally(
        sum(cell["draws"] for cell in claimed),
        sum(cell["killed"] for cell in claimed),
        *(sum(cell[key] for cell in cells) for key in ("draws", "killed", "localised", "missed", "indistinguishable")),
    )


def tally_by(cells: Iterable[MatrixCell], *keys: str) -> dict[tuple[str, ...], Tally]:
    """The sums by some fields of the cells, in the order in which they appear."""
    groups: dict[tuple[str, ...], list[MatrixCell]] = {}
    for cell in cells:
        key = tuple(str(cell[name]) for name in keys)  # type: ignore[literal-required]
        groups.setdefault(key, []).append(cell)
    return {key: tally(group) for key, group in groups.items()}


def holds(chapter: FaultsChapter) -> bool:
    """Whether what was measured is what is claimed: every part that was, and at least one."""
    parts = []
    if "matrix" in chapter:
        parts.append(tally(chapter["matrix"]).holds and not short_of(chapter["matrix"]))
    if "alarms" in chapter:
        honest = chapter["alarms"]
        parts.append(honest["cases"] > 0 and not honest["alarms"] and not without_numbers(honest))
    if "beside" in chapter:
        parts.append(any(map(flawless, chapter["beside"])))
    if "smallest" in chapter:
        parts.append(bool(chapter["smallest"]))
    return bool(parts) and all(parts)


def decided(chapter: FaultsChapter) -> bool:
    """Whether a part was measured that a verdict can be given on."""
    return "matrix" in chapter or "alarms" in chapter


def short_of(cells: Iterable[MatrixCell]) -> dict[str, Tally]:
    """The engines in which not enough is killed or localised."""
    return {engine: sums for (engine,), sums in tally_by(cells, "engine").items() if not sums.holds}


def without_numbers(honest: Alarms) -> list[str]:
    """The engines and formats in which nothing was compared, though it was tried."""
    if not honest["by"]:
        return ["any engine"]
    return [f"{engine} {dtype}" for (engine, dtype), cases in honest_cases(honest).items() if not cases.numbers]


def flawless(row: CheckerRow) -> bool:
    """Whether a row is the audit's, and it kills every fault in every draw and refuses nothing honest."""
    killed, refused = row["killed"].values(), row["false_alarms"].values()
    caught = bool(killed) and all(0 < stage["draws"] == stage["of_draws"] for stage in killed)
    accepted = bool(refused) and all(0 == stage["draws"] < stage["of_draws"] for stage in refused)
    return row["rule"] == AUDIT and caught and accepted


def sentence(chapter: FaultsChapter) -> str:
    """The verdict in a sentence or two."""
    parts = []
    if "matrix" in chapter:
        cells = chapter["matrix"]
        sums, engines = tally(cells), listing(list(dict.fromkeys(cell["engine"] for cell in cells)))
        killed = f"{sums.claimed_killed:,} of {sums.claimed:,} draws of {counted(fault_count(cells), 'seeded fault')}"
        parts.append(
            f"{killed} that exceed the precision are killed in {engines or 'no engine'}, "
            f"{share(sums.localised, sums.killed)} of what is killed is localised"
        )
        if sums.missed:
            parts.append(f"{counted(sums.missed, 'draw')} missed")
        if short := [engine for engine, t in short_of(cells).items() if not t.missed]:
            parts.append(f"not enough is killed or localised in {listing(short)}")
    if "alarms" in chapter:
        honest = chapter["alarms"]
        parts.append(f"{counted(len(honest['alarms']), 'false alarm')} in {counted(honest['cases'], 'honest case')}")
        if idle := without_numbers(honest):
            parts.append(f"nothing was compared in {listing(idle)}")
    if "beside" in chapter and not any(map(flawless, chapter["beside"])):
        parts.append("beside other checkers, the audit misses a fault or refuses an honest engine")
    if "smallest" in chapter and not chapter["smallest"]:
        parts.append("no smallest fault was measured")
    return f"{'; '.join(parts)}." if parts else "No verdict on seeded faults: neither matrix nor alarms were measured."


def fault_count(cells: Iterable[MatrixCell]) -> int:
    """How many faults there are."""
    return len({cell["fault"] for cell in cells})


def share(n: int, of: int) -> str:
    """A share in per cent, rounded down: 100 % only for all of them, and 0 % only for none."""
    if not of:
        return "none"
    return "<0.1 %" if 0 < 1000 * n < of else f"{1000 * n // of / 10:g} %"


def by_equation(rows: Sequence[SmallestRow]) -> dict[str, dict[str, SmallestRow]]:
    """What was measured of each equation, by dtype, in the order of the computation: (9), (9) of softmax."""
    limits: dict[str, dict[str, SmallestRow]] = {}
    for row in sorted(rows, key=lambda row: MEASURED.index(row["equation"])):
        output = row["network"].split(",")[0].split(" → ")[-1]
        place = "" if row["network"] == rows[0]["network"] else f" of {output}"
        limits.setdefault(f"({row['equation']}){place}", {})[row["dtype"]] = row
    return limits


def honest_cases(honest: Alarms) -> dict[tuple[str, str], HonestCases]:
    """The honest cases of all kinds, by engine and format."""
    groups: dict[tuple[str, str], list[HonestRow]] = {}
    engines = list(dict.fromkeys(row["engine"] for row in honest["by"]))
    for row in sorted(honest["by"], key=lambda row: (engines.index(row["engine"]), DTYPES.index(row["dtype"]))):
        groups.setdefault((row["engine"], row["dtype"]), []).append(row)
    return {column: summed_cases(rows) for column, rows in groups.items()}


def summed_cases(rows: Sequence[HonestRow]) -> HonestCases:
    """The sums of some rows, and the worst of them."""
    worst = max(rows, key=lambda row: (math.isnan(number(row["worst"])), number(row["worst"])))
    return HonestCases(
        sum(row["cases"] for row in rows),
        sum(row["numbers"] for row in rows),
        number(worst["worst"]),
        worst["equation"],
        sum(row["alarms"] for row in rows),
    )


def checker(row: CheckerRow) -> Checker:
    """A checker beside the others."""
    refusals = row["false_alarms"].values()
    return Checker(
        row["rule"],
        row["rule"] == AUDIT,
        row["engine"],
        row["source"],
        row["numbers"],
        row["called"],
        row["killed"],
        sum(stage["draws"] for stage in refusals),
        sum(stage["of_draws"] for stage in refusals),
        number(row["milliseconds"]),
        flawless(row),
    )


def alarms(chapter: FaultsChapter) -> list[Alarm]:
    """Every false alarm."""
    return chapter["alarms"]["alarms"] if "alarms" in chapter else []


def alarm_text(alarm: Alarm) -> str:
    """(14) in layer 2, 1.7 times what is allowed; or why there is no finding."""
    if alarm["equation"] is None or alarm["layer"] is None:
        return clipped(alarm.get("reason"))
    ratio = ratio_text(number(alarm["ratio"]))
    return f"{place_text(alarm['equation'], alarm['layer'])}, {ratio} times what is allowed"


def where(cell: MatrixCell) -> str:
    """numpy, float32, at initialisation."""
    return f"{cell['engine']}, {cell['dtype']}, {cell['stage']}"


def lines(chapter: FaultsChapter) -> list[str]:
    """A line for each miss, each fault localised elsewhere, each engine that falls short, and each false alarm."""
    cells = chapter.get("matrix", [])
    misses = [
        f"missed: {cell['fault']} in {where(cell)}: {counted(cell['missed'], 'draw')} of {cell['draws']}, "
        f"seeds {listing([str(miss['seed']) for miss in cell['misses']])}"
        for cell in cells
        if cell["missed"]
    ]
    elsewhere = [
        f"localised elsewhere: {cell['fault']} in {where(cell)}, seed {draw['seed']}: {place_text(*draw['found'])}"
        for cell in cells
        for draw in cell["elsewhere"]
    ]
    short = [
        f"{engine} falls short: {sums.claimed_killed:,} of {sums.claimed:,} draws killed, "
        f"{share(sums.localised, sums.killed)} localised, but should be all, and at least {100 * LOCALISED:g} %"
        for engine, sums in short_of(cells).items()
    ]
    return [
        *misses,
        *elsewhere,
        *short,
        *(f"false alarm: {alarm_text(alarm)}; see {alarm['replay']}" for alarm in alarms(chapter)),
    ]
