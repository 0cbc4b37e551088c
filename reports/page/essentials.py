"""What an engineer must know: the divergences that explain breaks, then the defects that ordinary inputs meet."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from reference.rounding import UNIT_ROUNDOFF
from reports.campaign.standing import Item
from reports.page.divergences import DivergenceRow, inputs, inputs_text, reason
from reports.results.files import number
from reports.results.records import Divergence
from reports.results.verdicts import Verdict
from reports.text.wording import clipped, counted, listing, ratio_text, spaced

MOST = 12
"""Causes that the page leads with; the other defects stand in the table of divergences alone."""

PARTLY_RIGHT = 0.1
"""A relative error below this is told in roundings; above it, the two numbers say all there is."""


@dataclass(frozen=True)
class Essential:
    """One cause: a sentence with the size, the reason, the input, who is affected, and code that shows it.

    Sentence, input and code are of the first of `rows`, the divergences that the cause makes.
    """

    sentence: str
    reason: str
    where: str
    affected: str
    rows: list[DivergenceRow]
    reproducer: dict[str, str]

    @property
    def breaks(self) -> int:
        """How many cells and training runs the divergences explain."""
        return sum(row.explains for row in self.rows)


@dataclass(frozen=True)
class Essentials:
    """The causes of explained breaks, the defects that ordinary inputs meet, and how many others the table lists."""

    breaking: list[Essential]
    defects: list[Essential]
    further: int


def essentials(rows: Sequence[DivergenceRow], items: Iterable[Item]) -> Essentials:
    """The causes of explained breaks, the most frequent first; then defects that ordinary inputs meet, in their order.

    `rows` are sorted, the worst first.
    """
    broken: dict[str, list[Item]] = {}
    for item in items:
        if item.stands == Verdict.EXPLAINED:
            broken.setdefault(str(item.record["explained"]), []).append(item)
    causes: dict[tuple[str, ...], list[DivergenceRow]] = {}
    for row in rows:
        if row.explains or (row.defect and row.ordinary):
            causes.setdefault(cause(row), []).append(row)
    every = [essential(same, broken) for same in causes.values()]
    shown = sorted(every, key=lambda e: -e.breaks)[:MOST]
    anchors = {row.anchor for e in shown for row in e.rows}
    further = sum(row.defect and row.anchor not in anchors for row in rows)
    return Essentials([e for e in shown if e.breaks], [e for e in shown if not e.breaks], further)


def cause(row: DivergenceRow) -> tuple[str, ...]:
    """What divergences of one cause share: the first sentence of the note, and the engines.

    A default stands for itself, and so does a divergence without a note.
    """
    why = re.split(r"(?<=\.)\s", reason(row.record))[0]
    return (row.anchor,) if row.record["kind"] == "default" or not why else (why, *row.departing)


def essential(same: Sequence[DivergenceRow], broken: dict[str, list[Item]]) -> Essential:
    """What there is to know of divergences of one cause; the one that explains most breaks comes first."""
    rows = sorted(same, key=lambda row: -row.explains)
    lead = rows[0]
    code = {engine: text for engine, text in lead.record["reproducer"].items() if engine in lead.departing}
    affected = affected_text(rows, broken)
    return Essential(sentence(lead), reason(lead.record), inputs_text(lead.record), affected, rows, code)


def sentence(row: DivergenceRow) -> str:
    """jax-jit gives 0 for silu in float16 instead of -0.000116."""
    by_answer: dict[str, list[str]] = {}
    for engine in row.departing:
        by_answer.setdefault(row.shown(clipped(row.answers[engine][0])), []).append(engine)
    answers = listing(
        [f"{listing(names)} {'gives' if len(names) == 1 else 'give'} {answer}" for answer, names in by_answer.items()]
    )
    asked, expected = f"{quantity(row.record)} in {row.record['dtype']}", row.shown(row.record["equation"])
    return f"{answers} for {asked} instead of {expected}{off_text(row)}."


def quantity(record: Divergence) -> str:
    """What was asked for: silu, the derivative of silu, an arithmetic operation, what a call does by default."""
    function, what = spaced(record["function"]), record["what"]
    if what == "value" or record["kind"] in ("arithmetic", "default"):
        return function
    return f"the {spaced(what)} of {function}"


def off_text(row: DivergenceRow) -> str:
    """By how many roundings of the format the answer is off; nothing where it is not even near, or not known."""
    departures = row.record.get("departure") or {}
    largest = max((number(departures[engine]) for engine in row.departing if engine in departures), default=math.nan)
    u = UNIT_ROUNDOFF.get(row.record["dtype"])
    if u is None or not 0 < largest < PARTLY_RIGHT:
        return ""
    return f", off by {'up to ' if len(inputs(row.record)) > 1 else ''}{ratio_text(largest / u)} roundings"


def affected_text(rows: Sequence[DivergenceRow], broken: dict[str, list[Item]]) -> str:
    """428 cells of torch-eager with hardsigmoid in float64; nothing where no cell breaks of it."""
    groups: Counter[tuple[str, str, str, bool]] = Counter()
    for row in rows:
        for item in broken.get(str(row.record["id"]), ()):
            engine, dtype = item.column
            groups[engine, spaced(row.record["function"]), dtype, item.training] += 1
    return listing(
        [
            f"{counted(n, 'training run' if training else 'cell')} of {engine} with {function} in {dtype}"
            for (engine, function, dtype, training), n in groups.items()
        ]
    )
