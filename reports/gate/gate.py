"""The gate: a campaign is held to its baseline, and every difference that is not accepted fails it.

A difference is a verdict that changed, a cell that is gone, skipped, new, or compares another number of elements, a
worst ratio that rose by more than FACTOR, and another derivative at a kink. More elements alone do not fail. A waiver
lets the breaks of a cell pass until its date; one past its date fails.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from reports.gate.baseline import LOWEST, Baseline, Kinks, Lines
from reports.gate.waivers import Waiver, expired, idle, waived
from reports.results.records import ItemRecord
from reports.results.verdicts import NOT_RUN

Record = dict[str, Any]

FACTOR = 4.0
"""By which the step of a worst ratio may rise. Measured: kernels for other instruction sets (OpenBLAS SandyBridge, ATen
without AVX2, XLA with AVX) move 3,495 of 76,128 cells by a step, 30 by two, none by more; no verdict, no convention."""

ALONE = ("more elements",)
"""The differences that do not fail."""


@dataclass(frozen=True)
class Difference:
    """One thing that is not as in the baseline: of which cell, what, and both sides as a person reads them."""

    cell: str
    what: str
    before: str
    now: str
    waived: bool = False

    @property
    def fails(self) -> bool:
        """Whether the gate fails for it."""
        return not self.waived and self.what not in ALONE


@dataclass(frozen=True)
class Outcome:
    """What the gate found: differences, waivers past their date, waivers that no longer apply, and cells compared."""

    differences: tuple[Difference, ...]
    expired: tuple[Waiver, ...]
    idle: tuple[Waiver, ...]
    compared: int

    @property
    def passes(self) -> bool:
        """Whether nothing fails; nothing compared is no pass."""
        return self.compared > 0 and not self.expired and not any(found.fails for found in self.differences)


def judged(
    baseline: Baseline, now: Baseline, records: Sequence[ItemRecord], waivers: Sequence[Waiver], today: date
) -> Outcome:
    """A campaign held to its baseline; `records` are its cells and training runs, `now` the lines that they make."""
    by_id = {record["id"]: record for record in records}
    found = [
        replace(each, waived=each.what in ("verdict", "ratio") and waived(by_id[each.cell], waivers, today))
        for each in differences(baseline, now)
    ]
    compared = len(baseline.lines.keys() & now.lines.keys())
    past = expired(waivers, today)
    return Outcome(tuple(found), tuple(past), tuple(w for w in idle(waivers, records) if w not in past), compared)


def refusal(baseline: Baseline, now: Baseline) -> str | None:
    """Why a campaign cannot be compared with a baseline: it is of another environment, or of another request."""
    for what, before, after in (
        ("environment", baseline.environment, now.environment),
        ("request", baseline.request, now.request),
    ):
        if other := changes(before, after):
            named = "; ".join(f"{name} {was} there, {is_now} here" for name, was, is_now in other)
            return (
                f"the baseline is of another {what} and is not compared: {named}. `compare` shows what changed, "
                "`gate --update` makes this run the baseline"
            )
    return None


def changes(before: Mapping[str, Any], now: Mapping[str, Any], of: str = "") -> list[tuple[str, str, str]]:
    """The names whose values differ, with both; what is within an object is named after the dot."""
    found = []
    for name in dict.fromkeys((*before, *now)):
        was, is_now = before.get(name), now.get(name)
        if isinstance(was, Mapping) and isinstance(is_now, Mapping):
            found += changes(was, is_now, f"{name}.")
        elif was != is_now:
            found.append((f"{of}{name}", said(was), said(is_now)))
    return found


def said(value: Any) -> str:
    """A value as a person reads it."""
    return "none" if value is None else str(value)


# --- differences


def differences(before: Baseline, now: Baseline) -> list[Difference]:
    """Everything in which two campaigns differ: conventions, then cells."""
    return [*of_kinks(before.kinks, now.kinks), *of_lines(before.lines, now.lines)]


def of_kinks(before: Kinks, now: Kinks) -> list[Difference]:
    """The kinks at which another derivative is taken; one that is gone or new is another convention too."""
    found = []
    for key in sorted(before.keys() | now.keys()):
        sides = [side.get(key, {}) for side in (before, now)]
        for place in dict.fromkeys((*sides[0], *sides[1])):
            was, is_now = (f"{side[place]} at {place}" if place in side else "–" for side in sides)
            if was != is_now:
                found.append(Difference(key, "convention", was, is_now))
    return found


def of_lines(before: Lines, now: Lines) -> list[Difference]:
    """The cells that differ."""
    found: list[Difference] = []
    for cell in sorted(before.keys() | now.keys()):
        if cell not in now:
            found.append(Difference(cell, "vanished", verdict(before[cell]), "–"))
        elif cell not in before:
            found.append(Difference(cell, "not listed", "–", verdict(now[cell])))
        elif before[cell] != now[cell]:
            found += of_cell(cell, before[cell], now[cell])
    return found


def of_cell(cell: str, before: Record, now: Record) -> list[Difference]:
    """In which one cell differs; where the verdict does, the ratio and the elements follow from it."""
    if verdict(before) != verdict(now):
        what = "skipped" if now["verdict"] == NOT_RUN else "verdict"
        return [Difference(cell, what, verdict(before), verdict(now))]
    found = []
    if now["elements"] != before["elements"]:
        what = "fewer elements" if now["elements"] < before["elements"] else "more elements"
        found.append(Difference(cell, what, f"{before['elements']:,}", f"{now['elements']:,}"))
    if rose(before.get("ratio", 0.0), now.get("ratio", 0.0)):
        found.append(Difference(cell, "ratio", stepped(before.get("ratio", 0.0)), stepped(now.get("ratio", 0.0))))
    return found


def rose(before: float, now: float) -> bool:
    """Whether a step rose by more than FACTOR; NaN is above everything."""
    if math.isnan(before) or math.isnan(now):
        return math.isnan(now) and not math.isnan(before)
    return now > FACTOR * max(before, LOWEST)


def verdict(line: Record) -> str:
    """The verdict of a line as a person reads it."""
    return f"{line['verdict']}, as listed: {line['by']}" if "by" in line else str(line["verdict"])


def stepped(ratio: float) -> str:
    """A step of the worst ratio as a person reads it."""
    return f"≤ {ratio:.3g}" if math.isfinite(ratio) and ratio > 0 else f"{ratio:g}"
