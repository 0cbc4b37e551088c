"""The report of a campaign as one HTML page."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from reference.audit import EQUATIONS
from reports import heatmaps, plots, proof
from reports import words as w
from reports.chapter import Chapter, Figure, chapter
from reports.ledger import (
    Cause,
    Column,
    Item,
    Record,
    Results,
    Row,
    causes,
    columns,
    in_common,
    items,
    ledger,
    severity,
    verdict,
)
from reports.results import number
from reports.trained_page import page
from reports.words import BREAKS, EXPLAINED, HOLDS, NOT_RUN

__all__ = ["render", "verdict"]

SHOWN = 50
"""How many causes of breaks, and reasons for not running, are listed; of the others only how many there are."""

DTYPES = {"float32": "f32", "float64": "f64", "float16": "f16", "bfloat16": "bf16"}
"""The heads of columns too narrow for more."""

STATUSES = ("defect", "approximation", "convention", "equal", "not there")
"""What an engine's answer can be beside the equation's, worst first."""

SPENT = ("compile", "engine", "audit", "experiments")
"""What the time of the cells goes to."""


def pages() -> Environment:
    """The templates, in which whatever comes from elsewhere stays text."""
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render(results: Results) -> str:
    """The whole report as one HTML page, which loads nothing."""
    environment = pages()
    environment.filters |= {
        "ratio": w.ratio_text,
        "value": w.value_text,
        "small": w.small_text,
        "share": w.share_text,
        "count": "{:,}".format,
        "duration": w.duration_text,
        "level": w.level,
        "mathml": w.mathml,
        "words": w.spaced,
        "equation": w.equation_text,
        "listing": w.listing,
    }
    environment.globals |= {
        "number": number,
        "place": w.place,
        "dataset": w.dataset,
        "counted": w.counted,
        "share_of": proof.share,
        "place_text": proof.place_text,
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
        remark = f"{w.equation_text(row.equation)}, {engine} {dtype}"
        figures.append(Figure("worst ratio", w.ratio_text(worst.ratio), remark))
    figures.append(Figure("time", w.duration_text(number(results["environment"].get("seconds"))), started(results)))
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
class Divergence:
    """A row of the divergences: its anchor and worst status, each engine's answer with its status, its link."""

    row: Record
    anchor: str
    status: str
    answers: dict[str, tuple[str, str]]
    link: str | None
    explains: int

    @property
    def title(self) -> str:
        """softplus value, float64."""
        return f"{w.spaced(self.row['function'])} {w.spaced(self.row['what'])}, {self.row['dtype']}"


def divergences(results: Results, explained: Iterable[Cause] = ()) -> list[Divergence]:
    """Worst first: a defect before an approximation before a convention; a status that has no name here before all."""
    explains: Counter[str] = Counter()
    for cause in explained:
        explains[str(cause.lead.item.record["explained"])] += len(cause.breaks)
    rows, taken = [], set[str]()
    for row in results.get("divergences") or []:
        anchor = unique("divergence-" + re.sub(r"[^\w.-]+", "-", str(row["id"])), taken)
        answers = {e: (str(answer), str(row["status"].get(e, "unknown"))) for e, answer in row["engines"].items()}
        status = min((status for _, status in answers.values()), key=_severity, default="equal")
        source = str(row.get("source") or "")
        link = source if re.match(r"https?://", source) else None
        rows.append(Divergence(row, anchor, status, answers, link, explains[str(row["id"])]))
    return sorted(rows, key=lambda d: _severity(d.status))


def unique(name: str, taken: set[str]) -> str:
    """The name, with a number if it is taken; taken from now on."""
    free, n = name, 1
    while free in taken:
        n += 1
        free = f"{name}-{n}"
    taken.add(free)
    return free


def _severity(status: str) -> int:
    return STATUSES.index(status) if status in STATUSES else -1


def answering(results: Results) -> list[str]:
    """Every engine that answers in some row of the divergences."""
    return list(dict.fromkeys(engine for row in results.get("divergences") or [] for engine in row["engines"]))


@dataclass(frozen=True)
class Accuracy:
    """How accurate a function is taken to be, k, and was measured to be, in roundings; the margin is k/measured."""

    row: Record
    k: float
    measured: float
    ulp: float

    @property
    def holds(self) -> bool:
        """Whether the allowance covers what was measured."""
        return self.measured <= self.k

    @property
    def used(self) -> float:
        """The share of the allowance that the measured error takes."""
        return self.measured / self.k if self.k > 0 else 0.0 if self.measured == 0 else math.nan

    @property
    def margin(self) -> float:
        """k/measured; NaN for a function that rounds nothing."""
        return self.k / self.measured if self.measured > 0 else math.nan


def accuracy(results: Results) -> list[Accuracy]:
    """What exceeds its allowance first, then the least accurate."""
    rows = [
        Accuracy(row, number(row["k"]), number(row["measured"]), number(row.get("ulp")))
        for row in results.get("accuracy") or []
    ]
    return sorted(rows, key=lambda a: (a.holds, -severity(a.measured)))


@dataclass(frozen=True)
class Spent:
    """The seconds of the cells of one engine, by what they went to."""

    engine: str
    seconds: dict[str, float]

    @property
    def total(self) -> float:
        """All of them."""
        return sum(self.seconds.values())


@dataclass(frozen=True)
class Times:
    """How the time of the cells divides, the largest total, and what compilation would take if nothing were reused."""

    engines: list[Spent]
    kinds: list[str]
    largest: float
    workers: int
    compiled: float
    without_reuse: Record | None

    @property
    def total(self) -> float:
        """Of all engines."""
        return sum(spent.total for spent in self.engines)


def times(results: Results) -> Times | None:
    """None where the results do not tell."""
    told = results.get("times") or {}
    by_engine: dict[str, dict[str, Any]] = told.get("seconds") or {}
    if not by_engine:
        return None
    kinds = list(dict.fromkeys((*SPENT, *(kind for seconds in by_engine.values() for kind in seconds))))
    spent = [
        Spent(engine, {kind: _finite(seconds.get(kind)) for kind in kinds}) for engine, seconds in by_engine.items()
    ]
    compiled = sum(s.seconds["compile"] for s in spent)
    largest = max(s.total for s in spent)
    return Times(spent, kinds, largest, int(told.get("workers") or 1), compiled, told.get("without_reuse"))


def _finite(seconds: Any) -> float:
    """A number of seconds; 0 for what is none."""
    value = number(seconds)
    return max(value, 0.0) if math.isfinite(value) else 0.0


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
