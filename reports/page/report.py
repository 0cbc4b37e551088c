"""The report of a campaign as one HTML page."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from reference.audit import EQUATIONS
from reports.campaign.ledger import Row, causes, in_common, ledger
from reports.campaign.standing import Column, Item, Record, Results, columns, items, severity
from reports.faults import summary
from reports.page import formulas, heatmaps, plots
from reports.page.accuracy import accuracy
from reports.page.divergences import STATUSES, answering, divergences
from reports.page.faults import Chapter, chapter
from reports.page.figures import Figure
from reports.page.times import times
from reports.page.trajectories import page
from reports.results.files import number
from reports.results.verdicts import BREAKS, EXPLAINED, HOLDS, NOT_RUN
from reports.text import places, wording
from reports.text.templates import pages
from reports.verdict import verdict

__all__ = ["render", "verdict"]

SHOWN = 50
"""How many causes of breaks, and reasons for not running, are listed; of the others only how many there are."""

DTYPES = {"float32": "f32", "float64": "f64", "float16": "f16", "bfloat16": "bf16"}
"""The heads of columns too narrow for more."""


def render(results: Results) -> str:
    """The whole report as one HTML page, which loads nothing."""
    environment = pages(Path(__file__).parent)
    environment.filters |= {
        "ratio": wording.ratio_text,
        "value": wording.value_text,
        "small": wording.small_text,
        "share": wording.share_text,
        "count": "{:,}".format,
        "duration": wording.duration_text,
        "level": wording.level,
        "mathml": formulas.mathml,
        "words": wording.spaced,
        "equation": wording.equation_text,
        "listing": wording.listing,
    }
    environment.globals |= {
        "number": number,
        "place": wording.place,
        "dataset": wording.dataset,
        "counted": wording.counted,
        "share_of": summary.share,
        "place_text": places.place_text,
    }
    return environment.get_template("report.html.j2").render(_page(results))


def _page(results: Results) -> dict[str, Any]:
    found = items(results)
    every = ledger(found)
    rows = [row for row in every if row.equation in EQUATIONS or row.elements]
    broken, explained = causes(found), causes(found, EXPLAINED)
    apart, tried = divergences(results, explained), chapter(results.get("faults"))
    trained = page(results.get("trajectories"))
    apart_from = (
        (tried.figures, tried.replay) if tried else (trained["figures"], trained["replay"]) if trained else None
    )
    return {
        "results": results,
        "verdict": verdict(results),
        "seal": seal(found, tried, trained),
        "figures": key_figures(results, found, every) if found or not apart_from else apart_from[0],
        "chapter": tried,
        "trained": trained,
        "audited": bool(found),
        "broken": broken,
        "in_common": in_common([b for cause in broken for b in cause.breaks]),
        "explained": explained,
        "shown": SHOWN,
        "columns": columns(found),
        "heads": DTYPES,
        "standings": standings(found),
        "sections": {s: [row for row in rows if row.section == s] for s in dict.fromkeys(row.section for row in rows)},
        "engines": heatmaps.engines(found),
        "not_run": not_run_reasons(found),
        "divergences": {s: [d for d in apart if d.status == s] for s in dict.fromkeys(d.status for d in apart)},
        "statuses": STATUSES,
        "answering": answering(results),
        "explaining": {str(d.row["id"]): d for d in reversed(apart)},
        "accuracy": accuracy(results),
        "times": times(results),
        "series": plots.series(results["training"]),
        "plots": [(plot, Markup(plot.svg)) for plot in plots.plots(results["training"])],
        "training": [training_row(item) for item in found if item.training],
        "started": started(results),
        "replay": replay(results) if found or not apart_from else apart_from[1],
    }


# --- the top


@dataclass(frozen=True)
class Seal:
    """The verdict in a word: its class, a mark, and the word."""

    kind: str
    mark: str
    text: str


def seal(found: Iterable[Item], tried: Chapter | None = None, trained: Record | None = None) -> Seal:
    """Breaks where anything does that no divergence explains, or where the audit does not catch what it should."""
    counts = Counter(item.stands for item in found)
    if counts[BREAKS]:
        return Seal(BREAKS, "✕", "breaks")
    if tried and not tried.holds:
        return Seal(BREAKS, "✕", "the audit falls short")
    if trained and not trained["holds"]:
        return Seal(BREAKS, "✕", "training breaks")
    if not counts and (trained or (tried and tried.decided)):
        return Seal(HOLDS, "✓", "holds")
    if counts[HOLDS]:
        return Seal(HOLDS, "✓", "holds, but for listed divergences" if counts[EXPLAINED] else "holds")
    if counts[EXPLAINED]:
        return Seal(NOT_RUN, "≠", "nothing holds")
    return Seal(NOT_RUN, "–", "nothing audited")


def key_figures(results: Results, found: Sequence[Item], rows: Sequence[Row]) -> list[Figure]:
    """Cells, elements compared, the worst ratio that no divergence explains, and the time."""
    counts = Counter(item.stands for item in found if not item.training)
    kinds = (
        (BREAKS, "breaks" if counts[BREAKS] == 1 else "break"),
        (EXPLAINED, "breaks as listed" if counts[EXPLAINED] == 1 else "break as listed"),
        (NOT_RUN, "not run"),
    )
    others = ", ".join(f"{counts[stands]:,} {word}" for stands, word in kinds if counts[stands])
    elements = sum(row.elements for row in rows)
    figures = [
        Figure("cells hold", f"{counts[HOLDS]:,} of {counts.total():,}", others or "every one was run"),
        Figure("numbers compared", f"{elements:,}", f"{sum(row.elements > 0 for row in rows)} kinds of check"),
    ]
    peaks = [
        (entry.worst, row, column) for row in rows for column, entry in row.entries.items() if entry and entry.worst
    ]
    if peaks:
        worst, row, (engine, dtype) = max(peaks, key=lambda found: (not found[0].holds, severity(found[0].ratio)))
        remark = f"{wording.equation_text(row.equation)}, {engine} {dtype}"
        figures.append(Figure("worst ratio", wording.ratio_text(worst.ratio), remark))
    figures.append(
        Figure("time", wording.duration_text(number(results["environment"].get("seconds"))), started(results))
    )
    return figures


def started(results: Results) -> str:
    """2026-11-24 07:00 UTC."""
    text = str(results["environment"].get("started") or "")
    return re.sub(r"^(\d{4}-\d\d-\d\d)T(\d\d:\d\d)[\d:.]*(\+00:00|Z)$", r"\1 \2 UTC", text)


def replay(results: Results) -> str:
    """The command that draws the same cases again."""
    request = results["request"]
    options = (f"--{name} {request[name]}" for name in ("seed", "cases", "further") if name in request)
    return " ".join(("python -m reports audit", *options))


def standings(found: Iterable[Item]) -> dict[str, dict[Column, int]]:
    """How many cells of each column hold, break and so on; what no cell does is left out, but for holding."""
    counts = Counter((item.stands, item.column) for item in found if not item.training)
    kinds = {HOLDS: "hold", BREAKS: "break", EXPLAINED: "break as listed", NOT_RUN: "not run"}
    return {
        text: {column: n for (stood, column), n in counts.items() if stood == stands}
        for stands, text in kinds.items()
        if stands == HOLDS or any(stood == stands for stood, _ in counts)
    }


# --- the chapters


def not_run_reasons(found: Iterable[Item]) -> list[tuple[str, int, list[str]]]:
    """Each reason for not running, how many cells and training runs it kept, and the engines; most frequent first."""
    reasons: dict[str, dict[str, list[str]]] = {}
    counts: Counter[str] = Counter()
    for item in found:
        if item.stands == NOT_RUN:
            reason, (engine, dtype) = str(item.record["reason"] or "no reason was given"), item.column
            counts[reason] += 1
            dtypes = reasons.setdefault(reason, {}).setdefault(engine, [])
            if dtype not in dtypes:
                dtypes.append(dtype)
    return [
        (reason, n, [f"{engine} {', '.join(dtypes)}" for engine, dtypes in reasons[reason].items()])
        for reason, n in counts.most_common()
    ]


@dataclass(frozen=True)
class TrainingRow:
    """What the table says of a training run; NaN for what it does not know."""

    run: Record
    stands: str
    ratio: float
    loss: float
    drift: float
    accuracy: dict[str, float]


def training_row(item: Item) -> TrainingRow:
    """The worst ratio of a run, the loss and the drift it ends with, and its accuracies."""
    run = item.record
    ratio = max((check.ratio for check in item.checks.values()), key=severity, default=math.nan)
    loss, drift = (number([None, *run["curves"].get(curve, [])][-1]) for curve in ("loss", "drift"))
    accuracies = {part: number((run["accuracy"] or {}).get(part)) for part in ("train", "validation", "test")}
    return TrainingRow(run, item.stands, ratio, loss, drift, accuracies)
