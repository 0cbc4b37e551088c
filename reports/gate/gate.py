"""The gate: it fails a campaign that differs from its baseline, except where a waiver lets a difference pass.

A difference is a verdict that changed, a cell that is gone, skipped, new, or compares another number of elements, a
worst ratio that rose by more than FACTOR, and another derivative at a kink. More elements alone do not fail. A waiver
lets the breaks of a cell pass until its date; one past its date fails the campaign.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import NamedTuple

from reports.gate.baseline import LOWEST, Baseline, Kinks, Line, Lines
from reports.gate.waivers import Waiver, expired, idle, waived
from reports.results.records import ItemRecord
from reports.results.verdicts import RIGHT, Verdict

FACTOR = 4.0
"""By which the step of a worst ratio may rise. Measured: kernels for other instruction sets (OpenBLAS SandyBridge, ATen
without AVX2, XLA with AVX) move 3,495 of 76,128 cells by a step, 30 by two, none by more; no verdict, no convention."""

ALONE = ("more elements",)
"""The differences that do not fail."""


@dataclass(frozen=True)
class Difference:
    """A difference from the baseline: the cell, what differs, and both sides as a person reads them."""

    cell: str
    what: str
    before: str
    now: str
    waived: bool = False

    @property
    def fails(self) -> bool:
        """Whether the gate fails because of it."""
        return not self.waived and self.what not in ALONE


@dataclass(frozen=True)
class Outcome:
    """Differences, waivers past their date, waivers that no longer apply, and the number of cells compared.

    Without a baseline of the environment, `new` says so, and the cells are held to what must be: to break nowhere.
    """

    differences: tuple[Difference, ...]
    expired: tuple[Waiver, ...]
    idle: tuple[Waiver, ...]
    compared: int
    new: str | None = None

    @property
    def passes(self) -> bool:
        """Whether something was compared, and nothing fails."""
        return self.compared > 0 and not self.expired and not any(each.fails for each in self.differences)


def judged(
    baseline: Baseline, now: Baseline, records: Sequence[ItemRecord], waivers: Sequence[Waiver], today: date
) -> Outcome:
    """A campaign held to its baseline; `records` are its cells and training runs, `now` their lines."""
    by_id = {record["id"]: record for record in records}
    held = [
        replace(each, waived=each.what in ("verdict", "ratio") and waived(by_id[each.cell], waivers, today))
        for each in differences(baseline, now)
    ]
    return outcome_of(held, len(baseline.lines.keys() & now.lines.keys()), records, waivers, today)


def judged_alone(
    now: Baseline, records: Sequence[ItemRecord], waivers: Sequence[Waiver], today: date, new: str
) -> Outcome:
    """A campaign without a baseline: each cell that breaks, and that no divergence explains, is a difference."""
    by_id = {record["id"]: record for record in records}
    wrong = [line for line in now.lines.values() if line["verdict"] not in RIGHT and "by" not in line]
    held = [
        Difference(line["id"], "breaks", "–", verdict_text(line), waived(by_id[line["id"]], waivers, today))
        for line in wrong
    ]
    ran = sum(line["verdict"] != Verdict.NOT_RUN for line in now.lines.values())
    return outcome_of(held, ran, records, waivers, today, new)


def outcome_of(
    held: Sequence[Difference],
    compared: int,
    records: Sequence[ItemRecord],
    waivers: Sequence[Waiver],
    today: date,
    new: str | None = None,
) -> Outcome:
    """The outcome of differences, with the waivers that are past their date or no longer apply."""
    past = expired(waivers, today)
    return Outcome(tuple(held), tuple(past), tuple(w for w in idle(waivers, records) if w not in past), compared, new)


def refusal(baseline: Baseline, now: Baseline) -> str | None:
    """Why a campaign cannot be compared with a baseline, of another environment or request; None if it can."""
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


class Setting(NamedTuple):
    """A setting that changed, and both values as a person reads them; "none" for one that is not there."""

    name: str
    before: str
    now: str


def changes(before: Mapping[str, object], now: Mapping[str, object], prefix: str = "") -> list[Setting]:
    """The settings that changed; one within others has a dot for each of them: versions.torch."""
    changed = []
    for name in dict.fromkeys((*before, *now)):
        was, is_now = before.get(name), now.get(name)
        if isinstance(was, Mapping) and isinstance(is_now, Mapping):
            changed += changes(was, is_now, f"{prefix}{name}.")
        elif was != is_now:
            texts = ("none" if value is None else str(value) for value in (was, is_now))
            changed.append(Setting(f"{prefix}{name}", *texts))
    return changed


# --- differences


def differences(before: Baseline, now: Baseline, falls: bool = False) -> list[Difference]:
    """All differences: conventions, then cells; with `falls`, of ratios that fell as well as of those that rose."""
    return [*of_kinks(before.kinks, now.kinks), *of_lines(before.lines, now.lines, falls)]


def of_kinks(before: Kinks, now: Kinks) -> list[Difference]:
    """The kinks at which another derivative is taken; one that is gone or new is another convention too."""
    found = []
    for key in sorted(before.keys() | now.keys()):
        sides = [side.get(key, {}) for side in (before, now)]
        for kink in dict.fromkeys((*sides[0], *sides[1])):
            was, is_now = (f"{side[kink]} at {kink}" if kink in side else "–" for side in sides)
            if was != is_now:
                found.append(Difference(key, "convention", was, is_now))
    return found


def of_lines(before: Lines, now: Lines, falls: bool) -> list[Difference]:
    """The differences of cells."""
    found: list[Difference] = []
    for cell in sorted(before.keys() | now.keys()):
        if cell not in now:
            found.append(Difference(cell, "vanished", verdict_text(before[cell]), "–"))
        elif cell not in before:
            found.append(Difference(cell, "not listed", "–", verdict_text(now[cell])))
        elif before[cell] != now[cell]:
            found += of_cell(before[cell], now[cell], falls)
    return found


def of_cell(before: Line, now: Line, falls: bool) -> list[Difference]:
    """The differences of one cell; where the verdict changed, those of ratio and elements follow from it."""
    cell, verdicts = now["id"], (verdict_text(before), verdict_text(now))
    if verdicts[0] != verdicts[1]:
        return [Difference(cell, "skipped" if now["verdict"] == Verdict.NOT_RUN else "verdict", *verdicts)]
    found = []
    if now["elements"] != before["elements"]:
        what = "fewer elements" if now["elements"] < before["elements"] else "more elements"
        found.append(Difference(cell, what, f"{before['elements']:,}", f"{now['elements']:,}"))
    was, is_now = before.get("ratio", 0.0), now.get("ratio", 0.0)
    if rose(was, is_now) or (falls and rose(is_now, was)):
        found.append(Difference(cell, "ratio", step_text(was), step_text(is_now)))
    return found


def rose(before: float, now: float) -> bool:
    """Whether a step rose by more than FACTOR; NaN is above everything."""
    if math.isnan(before) or math.isnan(now):
        return math.isnan(now) and not math.isnan(before)
    return now > FACTOR * max(before, LOWEST)


def verdict_text(line: Line) -> str:
    """The verdict of a line as a person reads it."""
    return f"{line['verdict']}, as listed: {line['by']}" if "by" in line else str(line["verdict"])


def step_text(ratio: float) -> str:
    """The step of a worst ratio as a person reads it."""
    return f"≤ {ratio:.3g}" if math.isfinite(ratio) and ratio > 0 else f"{ratio:g}"
