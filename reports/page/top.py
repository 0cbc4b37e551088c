"""The top of the page: the verdict in a word, and the key figures."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from reports.campaign.standing import Item, severity
from reports.campaign.summary import CampaignSummary
from reports.page import faults, trajectories
from reports.page.figures import Figure
from reports.results.files import number
from reports.results.schema import Results
from reports.results.verdicts import Verdict
from reports.text.wording import duration_text, equation_text, ratio_text


@dataclass(frozen=True)
class Seal:
    """The verdict in a word: its class, a mark, and the word."""

    kind: str
    mark: str
    text: str


def seal(
    found: Iterable[Item], tried: faults.Chapter | None = None, trained: trajectories.Chapter | None = None
) -> Seal:
    """Breaks where anything does that no divergence explains, or where the audit does not catch what it should."""
    counts = Counter(item.stands for item in found)
    if counts[Verdict.BREAKS]:
        return Seal(Verdict.BREAKS, "✕", "breaks")
    if tried and not tried.holds:
        return Seal(Verdict.BREAKS, "✕", "the audit falls short")
    if trained and not trained.holds:
        return Seal(Verdict.BREAKS, "✕", "training breaks")
    if not counts and (trained or (tried and tried.decided)):
        return Seal(Verdict.HOLDS, "✓", "holds")
    if counts[Verdict.HOLDS]:
        return Seal(Verdict.HOLDS, "✓", "holds, but for listed divergences" if counts[Verdict.EXPLAINED] else "holds")
    if counts[Verdict.EXPLAINED]:
        return Seal(Verdict.NOT_RUN, "≠", "nothing holds")
    return Seal(Verdict.NOT_RUN, "–", "nothing audited")


def key_figures(results: Results, campaign: CampaignSummary) -> list[Figure]:
    """Cells, elements compared, the worst ratio that no divergence explains, and the time."""
    counts, rows = Counter(item.stands for item in campaign.items if not item.training), campaign.ledger
    kinds = (
        (Verdict.BREAKS, "breaks" if counts[Verdict.BREAKS] == 1 else "break"),
        (Verdict.EXPLAINED, "breaks as listed" if counts[Verdict.EXPLAINED] == 1 else "break as listed"),
        (Verdict.NOT_RUN, "not run"),
    )
    others = ", ".join(f"{counts[stands]:,} {word}" for stands, word in kinds if counts[stands])
    elements = sum(row.elements for row in rows)
    figures = [
        Figure("cells hold", f"{counts[Verdict.HOLDS]:,} of {counts.total():,}", others or "every one was run"),
        Figure("numbers compared", f"{elements:,}", f"{sum(row.elements > 0 for row in rows)} kinds of check"),
    ]
    peaks = [
        (entry.worst, row, column) for row in rows for column, entry in row.entries.items() if entry and entry.worst
    ]
    if peaks:
        worst, row, (engine, dtype) = max(peaks, key=lambda found: (not found[0].holds, severity(found[0].ratio)))
        remark = f"{equation_text(row.equation)}, {engine} {dtype}"
        figures.append(Figure("worst ratio", ratio_text(worst.ratio), remark))
    figures.append(Figure("time", duration_text(number(results["environment"].get("seconds"))), started(results)))
    return figures


def started(results: Results) -> str:
    """2026-11-24 07:00 UTC."""
    text = str(results["environment"].get("started") or "")
    return re.sub(r"^(\d{4}-\d\d-\d\d)T(\d\d:\d\d)[\d:.]*(\+00:00|Z)$", r"\1 \2 UTC", text)


def replay(results: Results) -> str:
    """The command that draws the same cases again."""
    request = results["request"]
    size = [f"--{request['design']}"] if request.get("design") in ("full", "quick") else []
    options = (f"--{name} {request[name]}" for name in ("seed", "cases", "further") if name in request)
    return " ".join(("python -m reports audit", *size, *options))
