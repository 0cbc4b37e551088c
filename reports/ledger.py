"""What the results of a campaign say: how each cell stands, the ledger of the equations, the breaks and the verdict."""

import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from reference.audit import EQUATIONS
from reports import proof as proofs
from reports import trained
from reports.results import number
from reports.words import (
    BREAKS,
    EXPLAINED,
    HOLDS,
    LABELS,
    NOT_RUN,
    UNKNOWN,
    clipped,
    context,
    counted,
    equation_text,
    listing,
    numbers_text,
    spans,
)

Record = dict[str, Any]
Results = dict[str, Any]
Column = tuple[str, str]
"""Engine and dtype."""

NUMBERS = tuple(range(1, 15))
PARTS = {n: [equation for equation in EQUATIONS if re.fullmatch(rf"{n}[ab]?", equation)] for n in NUMBERS}
"""(7) is checked where (7a) and (7b) are."""


# --- how a cell stands


class Check(NamedTuple):
    """One equation in one cell: the worst ratio of its layers and cases, its layer, how many numbers were compared."""

    ratio: float
    layer: int
    elements: int

    @property
    def holds(self) -> bool:
        """Whether something was compared and nothing exceeds its allowance; a NaN is never within."""
        return self.elements > 0 and self.ratio <= 1

    @property
    def rank(self) -> tuple[bool, float]:
        """Sorts checks: one that does not hold above every one that does, then by ratio."""
        return not self.holds, severity(self.ratio)


@dataclass(frozen=True, slots=True)
class Item:
    """A cell or training run, its checks by equation in the order of the computation, and how it stands."""

    record: Record
    checks: dict[str, Check]
    stands: str
    training: bool

    @property
    def column(self) -> Column:
        """Engine and dtype."""
        return self.record["engine"], self.record["dtype"]

    def finding(self) -> Record | None:
        """The first finding that does not hold; without one, the first check that does not, as a finding."""
        for finding in self.record["findings"]:
            if not _check(finding).holds:
                return dict(finding)
        for equation, check in self.checks.items():
            if not check.holds:
                return {"equation": equation, **check._asdict(), "worst": None}
        return None


def items(results: Results) -> list[Item]:
    """Every cell, then every training run; none is taken at its word, that it holds or that something explains it."""
    listed = {str(row["id"]) for row in results.get("divergences") or []}
    return [
        Item(record, found, standing(record, found, listed), training)
        for key, training in (("cells", False), ("training", True))
        for record in results[key]
        for found in [checks(record)]
    ]


def checks(record: Record) -> dict[str, Check]:
    """What was checked in a cell; where a finding does not hold, it counts, whatever `checked` says."""
    found = {
        equation: Check(number(ratio), int(layer), int(elements))
        for equation, (ratio, layer, elements) in record["checked"].items()
    }
    for finding in record["findings"]:
        equation, check = str(finding["equation"]), _check(finding)
        if not check.holds and (equation not in found or found[equation].holds):
            found[equation] = check
    return found


def _check(finding: Record) -> Check:
    return Check(number(finding["ratio"]), int(finding["layer"]), int(finding["elements"]))


def standing(record: Record, found: dict[str, Check], listed: Collection[str]) -> str:
    """How a cell stands. One that holds must have checks, and each must hold; only a listed row explains a break."""
    broken = not all(check.holds for check in found.values())
    if record["verdict"] == NOT_RUN and not broken:
        return NOT_RUN
    if record["verdict"] == HOLDS and found and not broken:
        return HOLDS
    return EXPLAINED if record["verdict"] == BREAKS and record.get("explained") in listed else BREAKS


def status(results: Results) -> int:
    """The exit status: 0 if something holds, and what breaks is explained by a listed divergence; else 1.

    What was measured beside a campaign, seeded faults and trajectories, must hold as well; it is enough without one.
    """
    standings, proof = {item.stands for item in items(results)}, results.get("faults")
    trajectories = results.get("trajectories")
    if (proof and not proofs.holds(proof)) or (trajectories and not trained.holds(trajectories)):
        return 1
    if (proof or trajectories) and not standings:
        return 0 if trajectories or (proof and proofs.decided(proof)) else 1
    return 0 if HOLDS in standings and BREAKS not in standings else 1


def severity(ratio: float) -> float:
    """Sorts ratios, NaN above everything."""
    return math.inf if math.isnan(ratio) else min(ratio, 1e308)


def columns(found: Iterable[Item]) -> list[Column]:
    """Every (engine, dtype), engines in the order in which they appear."""
    pairs = list(dict.fromkeys(item.column for item in found))
    engines = list(dict.fromkeys(engine for engine, _ in pairs))
    return sorted(pairs, key=lambda pair: engines.index(pair[0]))


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
    """One equation over everything that was audited for one column.

    `worst` is over all but the breaks that a listed divergence explains, `explained` the worst of those; None for none.
    """

    worst: Peak | None
    explained: Peak | None
    elements: int


@dataclass(frozen=True)
class Row:
    """One equation, and its entry in each column: None where it was not checked."""

    equation: str
    section: str
    name: str
    formula: str
    entries: dict[Column, Entry | None]

    @property
    def elements(self) -> int:
        """How many were compared, in all columns."""
        return sum(entry.elements for entry in self.entries.values() if entry)


Ranked = tuple[tuple[bool, float], Check, Item]
"""A check and its rank, which a ledger of 70,000 cells has no time to work out twice."""


@dataclass(slots=True)
class _Tally:
    """What an entry is made of."""

    worst: Ranked | None = None
    explained: Ranked | None = None
    elements: int = 0

    def add(self, check: Check, item: Item) -> None:
        self.elements += check.elements
        rank = check.rank
        if item.stands == EXPLAINED and rank[0]:
            if self.explained is None or rank > self.explained[0]:
                self.explained = rank, check, item
        elif self.worst is None or rank > self.worst[0]:
            self.worst = rank, check, item


def ledger(found: Sequence[Item]) -> list[Row]:
    """A row an equation, in the note's order; an equation that the note does not have comes last."""
    tallies: dict[str, dict[Column, _Tally]] = {equation: {} for equation in EQUATIONS}
    for item in found:
        column = item.column
        for equation, check in item.checks.items():
            tallies.setdefault(equation, {}).setdefault(column, _Tally()).add(check, item)
    heads, rows = columns(found), []
    for equation in (*EQUATIONS, *sorted(set(tallies) - set(EQUATIONS))):
        label = LABELS.get(equation, UNKNOWN)
        entries = {column: _entry(tallies[equation].get(column)) for column in heads}
        rows.append(Row(equation, label.section, label.name, label.formula, entries))
    return rows


def _entry(tally: _Tally | None) -> Entry | None:
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
    finding: Record | None

    @property
    def ratio(self) -> float:
        """Of the finding; NaN without one."""
        return number(self.finding["ratio"]) if self.finding else math.nan

    @property
    def cause(self) -> tuple[str, ...]:
        """Breaks with one cause look alike: engine, dtype, equation or reason, and what explains them."""
        record = self.item.record
        if self.finding:
            what = equation_text(self.finding["equation"])
        else:
            what = re.sub(r"^(case|step) \d+: ", "", clipped(record["reason"]))
        return *self.item.column, what, str(record.get("explained")) if self.item.stands == EXPLAINED else ""


@dataclass(frozen=True)
class Cause:
    """The breaks of one cause, the most informative first."""

    breaks: list[Break]

    @property
    def lead(self) -> Break:
        """The one to look at."""
        return self.breaks[0]

    @property
    def rest(self) -> list[Break]:
        """All others."""
        return self.breaks[1:]

    @property
    def size(self) -> int:
        """How many there are."""
        return len(self.breaks)


def causes(found: Iterable[Item], stands: str = BREAKS) -> list[Cause]:
    """Most informative first: a number that can be looked at before a NaN, a NaN before no finding at all.

    Within each, the largest ratio first.
    """
    broken = [Break(item, item.finding()) for item in found if item.stands == stands]
    broken.sort(key=lambda b: (b.finding is None, math.isnan(b.ratio), -severity(b.ratio)))
    alike: dict[tuple[str, ...], list[Break]] = {}
    for b in broken:
        alike.setdefault(b.cause, []).append(b)
    return [Cause(same) for same in alike.values()]


def in_common(found: Sequence[Break]) -> list[str]:
    """What all of several breaks share: the first guess at their cause."""
    if len(found) < 2:
        return []
    shared = [
        _shared(str(b.item.record[key]) for b in found) for key in ("engine", "dtype", "hidden", "output", "loss")
    ]
    equation = _shared(equation_text(b.finding["equation"]) if b.finding else "" for b in found)
    layer = _shared(f"layer {b.finding['layer']}" if b.finding else "" for b in found)
    return [text for text in (*shared, equation, layer) if text]


def _shared(values: Iterable[str]) -> str:
    distinct = set(values)
    return distinct.pop() if len(distinct) == 1 else ""


# --- the verdict


def verdict(results: Results) -> str:
    """What the campaign found, in a sentence. Only what was compared, and held, is said to hold.

    Without a campaign it is what the audit catches, and how training went; beside one, what of these does not hold is
    said first.
    """
    found, proof, trajectories = items(results), results.get("faults"), results.get("trajectories")
    apart = [proofs.sentence(proof)] if proof else []
    apart += [trained.sentence(trajectories)] if trajectories else []
    if apart and not found:
        return " ".join(apart)
    doubts = ["The audit itself falls short, see what it catches."] if proof and not proofs.holds(proof) else []
    doubts += ["Training breaks, see the trajectories."] if trajectories and not trained.holds(trajectories) else []
    return " ".join([*doubts, sentence(found)])


def sentence(found: Sequence[Item]) -> str:
    """The verdict on items."""
    if not found:
        return "Nothing was audited: the results have no cells."
    counts = Counter(item.stands for item in found)
    if counts[BREAKS]:
        return f"{_broken(causes(found))}{_explained(found)}."
    if counts[HOLDS]:
        return f"{_held(found)}{_explained(found)}{_left_out(found)}."
    if counts[EXPLAINED]:
        return f"Nothing holds{_explained(found)}{_left_out(found)}."
    return f"Nothing was audited: none of the {_number_of(found)} was run."


WITHOUT_A_NUMBER = {"crashed": "crashes", "timed-out": "runs out of time", "malformed": "gives no trace"}
"""What an adapter does that gave nothing to compare."""


def _broken(found: Sequence[Cause]) -> str:
    first = found[0].lead
    rest = [b.item for cause in found for b in cause.breaks if b is not first]
    more = [part.replace(" ", " more ", 1) for part in _parts(rest)]
    tail = f", and {listing(more)} {'breaks' if len(rest) == 1 else 'break'}" if rest else ""
    engine, where = first.item.record["engine"], f"({context(first.item.record)})"
    if finding := first.finding:
        return f"{engine} breaks {equation_text(finding['equation'])} in layer {finding['layer']} {where}{tail}"
    does = WITHOUT_A_NUMBER.get(first.item.record["verdict"], "breaks")
    return f"{engine} {does} {where}: {clipped(first.item.record['reason'])}{tail}"


def _explained(found: Sequence[Item]) -> str:
    listed = [item for item in found if item.stands == EXPLAINED]
    verb = "breaks" if len(listed) == 1 else "break"
    return f"; {_number_of(listed)} {verb} where a listed divergence explains it" if listed else ""


def _left_out(found: Sequence[Item]) -> str:
    idle = [item for item in found if item.stands == NOT_RUN]
    return f"; {_number_of(idle)} not run" if idle else ""


def _number_of(found: Sequence[Item]) -> str:
    """4 cells and 1 training run."""
    return listing(_parts(found))


def _parts(found: Sequence[Item]) -> list[str]:
    runs = sum(item.training for item in found)
    return [counted(n, word) for n, word in ((len(found) - runs, "cell"), (runs, "training run")) if n]


def _held(found: Sequence[Item]) -> str:
    parts = []
    for training, word in ((False, "cells"), (True, "training runs")):
        stands = [item.stands for item in found if item.training is training]
        if stands:
            n = stands.count(HOLDS)
            parts.append(f"{'all ' if n == len(stands) else ''}{n:,} of {len(stands):,} {word}")
    text = listing(parts)
    return f"{text[0].upper()}{text[1:]} hold: {', and '.join(_claims(found))}"


def _claims(found: Sequence[Item]) -> Iterator[str]:
    """What is said of each engine of which something held, engines of which the same is said together."""
    checked: dict[Column, set[str]] = {}
    for item in found:
        if item.stands == HOLDS:
            checked.setdefault(item.column, set()).update(item.checks)
    alike: dict[str, list[str]] = {}
    for engine in dict.fromkeys(engine for engine, _ in checked):
        claim = _claim({dtype: equations for (e, dtype), equations in checked.items() if e == engine})
        alike.setdefault(claim, []).append(engine)
    for claim, engines in alike.items():
        yield f"{listing(engines)} {'computes' if len(engines) == 1 else 'compute'} backpropagation as {claim}"


def _claim(checked: dict[str, set[str]]) -> str:
    """The equations that were checked in any dtype, in all of their parts, and which of them only in some."""
    where = {n: [dtype for dtype, equations in checked.items() if equations.issuperset(PARTS[n])] for n in NUMBERS}
    partly: dict[str, list[int]] = {}
    for n, dtypes in where.items():
        if 0 < len(dtypes) < len(checked):
            partly.setdefault(listing(dtypes), []).append(n)
    exceptions = "".join(f", {spans(numbers)} in {dtypes} only" for dtypes, numbers in partly.items())
    return f"{numbers_text([n for n in NUMBERS if where[n]])}, in {listing(list(checked))}{exceptions}"
