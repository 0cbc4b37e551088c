"""The ledger of the equations over all cells, and the breaks by their causes."""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from reference.audit import EQUATIONS
from reports.campaign.standing import Check, Column, Item, columns, severity
from reports.results.files import number
from reports.results.records import FindingRecord
from reports.results.verdicts import Verdict
from reports.text.equations import LABELS, UNKNOWN
from reports.text.wording import clipped, equation_text

# --- the ledger


@dataclass(frozen=True)
class Peak:
    """A worst ratio, and the cell and layer where it is."""

    ratio: float
    holds: bool
    cell: str
    layer: int


@dataclass(frozen=True)
class Entry:
    """One equation in one column, over all cells and training runs.

    `worst` leaves out the breaks that a listed divergence explains, `explained` is the worst of those.
    """

    worst: Peak | None
    explained: Peak | None
    elements: int


@dataclass(frozen=True)
class LedgerRow:
    """One equation, and its entry in each column: None where it was not checked."""

    equation: str
    section: str
    name: str
    formula: str
    entries: dict[Column, Entry | None]

    @property
    def elements(self) -> int:
        """The numbers compared, in all columns."""
        return sum(entry.elements for entry in self.entries.values() if entry)


Ranked = tuple[tuple[bool, float], Check, Item]
"""A check and its rank, which a ledger of 70,000 cells has no time to work out twice."""


@dataclass(slots=True)
class _EntryTally:
    """What an entry is computed from."""

    worst: Ranked | None = None
    explained: Ranked | None = None
    elements: int = 0

    def add(self, check: Check, item: Item) -> None:
        self.elements += check.elements
        rank = check.rank
        if item.stands == Verdict.EXPLAINED and rank[0]:
            if self.explained is None or rank > self.explained[0]:
                self.explained = rank, check, item
        elif self.worst is None or rank > self.worst[0]:
            self.worst = rank, check, item


def ledger(items: Sequence[Item]) -> list[LedgerRow]:
    """A row for each equation, in the note's order; an equation that the note does not have comes last."""
    tallies: dict[str, dict[Column, _EntryTally]] = {equation: {} for equation in EQUATIONS}
    for item in items:
        column = item.column
        for equation, check in item.checks.items():
            tallies.setdefault(equation, {}).setdefault(column, _EntryTally()).add(check, item)
    heads, rows = columns(items), []
    for equation in (*EQUATIONS, *sorted(set(tallies) - set(EQUATIONS))):
        label = LABELS.get(equation, UNKNOWN)
        entries = {column: _entry(tallies[equation].get(column)) for column in heads}
        rows.append(LedgerRow(equation, label.section, label.name, label.formula, entries))
    return rows


def _entry(tally: _EntryTally | None) -> Entry | None:
    return Entry(_peak(tally.worst), _peak(tally.explained), tally.elements) if tally else None


def _peak(ranked: Ranked | None) -> Peak | None:
    if ranked is None:
        return None
    _, check, item = ranked
    return Peak(check.ratio, check.holds, str(item.record["id"]), check.layer)


# --- the breaks


@dataclass(frozen=True)
class Break:
    """A cell or training run that breaks, and its first finding that does not hold, if it has one."""

    item: Item
    finding: FindingRecord | None

    @property
    def ratio(self) -> float:
        """The ratio of the finding; NaN without one."""
        return number(self.finding["ratio"]) if self.finding else math.nan

    @property
    def cause(self) -> tuple[str, ...]:
        """Breaks of one cause have the same engine, dtype, equation or reason, and divergence that explains them."""
        record = self.item.record
        if self.finding:
            what = equation_text(self.finding["equation"])
        else:
            what = re.sub(r"^(case|step) \d+: ", "", clipped(record["reason"]))
        return *self.item.column, what, str(record.get("explained")) if self.item.stands == Verdict.EXPLAINED else ""


@dataclass(frozen=True)
class Cause:
    """The breaks of one cause, the most informative first."""

    breaks: list[Break]

    @property
    def lead(self) -> Break:
        """The break to look at."""
        return self.breaks[0]

    @property
    def rest(self) -> list[Break]:
        """All other breaks."""
        return self.breaks[1:]

    @property
    def size(self) -> int:
        """The number of breaks."""
        return len(self.breaks)


def causes(items: Iterable[Item], stands: Verdict = Verdict.BREAKS) -> list[Cause]:
    """The causes of breaks, or of explained breaks, the most informative first.

    A number that can be looked at comes before a NaN, a NaN before a break without a finding; within each, the largest
    ratio comes first.
    """
    broken = [Break(item, item.finding()) for item in items if item.stands == stands]
    broken.sort(key=lambda b: (b.finding is None, math.isnan(b.ratio), -severity(b.ratio)))
    alike: dict[tuple[str, ...], list[Break]] = {}
    for b in broken:
        alike.setdefault(b.cause, []).append(b)
    return [Cause(same) for same in alike.values()]


def in_common(breaks: Sequence[Break]) -> list[str]:
    """What all of several breaks share: the first guess at their cause."""
    if len(breaks) < 2:
        return []
    records = [b.item.record for b in breaks]
    names = [(r["engine"], r["dtype"], r["hidden"], r["output"], r["loss"]) for r in records]
    shared = [_shared(of_all) for of_all in zip(*names, strict=True)]
    equation = _shared(equation_text(b.finding["equation"]) if b.finding else "" for b in breaks)
    layer = _shared(f"layer {b.finding['layer']}" if b.finding else "" for b in breaks)
    return [text for text in (*shared, equation, layer) if text]


def _shared(values: Iterable[str]) -> str:
    distinct = set(values)
    return distinct.pop() if len(distinct) == 1 else ""
