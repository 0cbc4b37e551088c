"""The trajectories as the report shows them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from reports.page import plots
from reports.page.figures import Figure
from reports.results.trajectory_records import DigitsRun, Trajectories, TrajectoriesRequest
from reports.text.wording import listing, ratio_text
from reports.trajectories.summary import (
    METRICS,
    Confusion,
    DigitsSummary,
    Explanation,
    LongSummary,
    Standings,
    Summary,
    percent,
    summarise,
    worst_texts,
)


@dataclass(frozen=True)
class DigitsRow:
    """A run on digits: its worst ratio, its share of the envelope, how fast that grows, and the metrics, as text."""

    engine: str
    dtype: str
    steps: int
    ratio: str
    share: str
    growth: str
    metrics: list[str]


@dataclass(frozen=True)
class LongRow:
    """A long run: its worst ratio, its distance from the reference at the end, its accuracy and memory, as text."""

    engine: str
    dtype: str
    steps: int
    holds: bool
    ratio: str
    distance: str
    accuracy: str
    memory: str


@dataclass(frozen=True)
class Cell:
    """An optimiser in an engine: how many runs, break and are explained; of those that hold, the worst as text."""

    runs: int
    broken: int
    explained: int
    ratio: str
    share: str


@dataclass(frozen=True)
class Matrix:
    """A confusion matrix, and the runs that have it."""

    runs: str
    rows: list[list[int]]


@dataclass(frozen=True)
class Chapter:
    """All of it; a part that was not measured is empty."""

    holds: bool
    sentence: str
    lines: tuple[str, ...]
    figures: list[Figure]
    replay: str
    series: list[plots.Series]
    plots: list[tuple[plots.Plot, Markup]]
    digits: list[DigitsRow]
    agreement: str
    confusions: list[Matrix]
    long: list[LongRow]
    engines: tuple[str, ...]
    tasks: str
    optimisers: dict[str, list[Cell]]
    explanations: tuple[Explanation, ...]


def chapter(records: Trajectories | None) -> Chapter | None:
    """What is shown of the trajectories; None where nothing was trained."""
    if not records:
        return None
    summary = summarise(records)
    digits = [of_run for of_run in summary.digits if of_run.run["curves"]["loss"]]
    drawn = [of_run.run for of_run in digits]
    return Chapter(
        summary.holds,
        summary.sentence,
        summary.lines,
        figures(summary),
        replay(summary.request),
        plots.series(drawn),
        [(plot, Markup(plot.svg)) for plot in drawings(drawn)],
        [digits_row(of_run) for of_run in digits],
        agreement(summary.compared, summary.disagreeing),
        [matrix(confusion) for confusion in summary.confusions],
        [long_row(of_run) for of_run in summary.long],
        summary.engines,
        listing(summary.tasks),
        optimiser_rows(summary.optimisers, summary.engines),
        summary.explanations,
    )


def figures(summary: Summary) -> list[Figure]:
    """Runs, steps, how near to the envelope, and the accuracy on digits."""
    standings = summary.standings
    held = f"{standings.held:,} of {standings.runs:,}"
    shown = [
        Figure("training runs hold", held, f"{standings.explained} break as known"),
        Figure("steps audited", f"{summary.steps:,}", "each by itself"),
    ]
    if standings.held:
        remark = "of the way to the edge, free-running"
        shown.append(Figure("nearest to its envelope", f"{standings.share:.2f}", remark))
    if summary.accuracy is not None:
        shown.append(Figure("digits", f"{100 * summary.accuracy:.1f} %", "accuracy on the test set, at least"))
    return shown


def replay(request: TrajectoriesRequest) -> str:
    """The command that trains the same again."""
    several = f"--engines {','.join(request['engines'])}", f"--dtypes {','.join(request['dtypes'])}"
    counts = f"--steps {request['steps']}", f"--epochs {request['epochs']}", f"--long {request['long']}"
    return " ".join(("python -m reports trajectories", *several, *counts, f"--seed {request['seed']}"))


def drawings(runs: Sequence[DigitsRun]) -> list[plots.Plot]:
    """Loss, distance with its envelope, worst ratio and validation accuracy of the runs on digits."""
    if not runs:
        return []
    drawn, of = plots.series(runs), "trajectories-"
    envelopes = {s.label: envelope(run) for s, run in zip(drawn, runs, strict=True)}
    return [
        plots.loss(drawn, of),
        plots.validation(drawn, of),
        plots.distance(drawn, envelopes),
        plots.ratio(drawn, of),
    ]


def envelope(run: DigitsRun) -> NDArray[np.float64]:
    """The envelope of a run; empty where it ended in its first step."""
    return np.array(run["free"].get("envelope", []) if run["free"] else [], dtype=np.float64)


def digits_row(of_run: DigitsSummary) -> DigitsRow:
    """A run on digits."""
    run = of_run.run
    validation, test = (run["scores"].get(of, {}) for of in ("validation", "test"))
    metrics = [percent(validation, "accuracy"), *(percent(test, name) for name in METRICS)]
    growth = f"{100 * of_run.growth:.2g} %"
    return DigitsRow(run["engine"], run["dtype"], run["steps"], *worst_texts(of_run.standings), growth, metrics)


def long_row(of_run: LongSummary) -> LongRow:
    """A long run."""
    run = of_run.run
    first, last = run["memory"]
    return LongRow(
        run["engine"],
        run["dtype"],
        run["steps"],
        of_run.holds,
        ratio_text(of_run.ratio),
        f"{of_run.distance:.1e}",
        percent(run["scores"].get("test", {}), "accuracy"),
        f"{first:,.0f} MiB, {last:,.0f} at last",
    )


def agreement(compared: Sequence[str], disagreeing: Sequence[str]) -> str:
    """Whether the engines predict the same in float64."""
    if len(compared) < 2:
        return ""
    if disagreeing:
        return f"In float64, {listing(disagreeing)} predict otherwise than {compared[0]} on the test set."
    return f"In float64, {listing(compared)} predict the same for every sample of the test set."


def matrix(confusion: Confusion) -> Matrix:
    """A confusion matrix."""
    return Matrix(listing(confusion.runs), confusion.rows)


def optimiser_rows(optimisers: Mapping[str, Mapping[str, Standings]], engines: Sequence[str]) -> dict[str, list[Cell]]:
    """Every optimiser, in each of the engines."""
    return {name: [cell(by_engine[engine]) for engine in engines] for name, by_engine in optimisers.items()}


def cell(standings: Standings) -> Cell:
    """An optimiser in an engine."""
    worst = (ratio_text(standings.ratio), f"{standings.share:.2f}") if standings.held else ("—", "")
    return Cell(standings.runs, standings.broken, standings.explained, *worst)
