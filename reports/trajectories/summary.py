"""The summary of the chapter on trajectories: how each run stands, the verdict, and all that is shown of it."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from reports.results.files import number
from reports.results.trajectory_records import (
    DigitsRun,
    FirstBreak,
    KnownRecord,
    LongRun,
    Scores,
    SpreadRun,
    Trajectories,
    TrajectoriesRequest,
    TrajectoryRun,
)
from reports.results.verdicts import Verdict
from reports.text.places import place_text
from reports.text.wording import counted, listing, ratio_text

METRICS = ("accuracy", "precision", "recall", "f1")
"""Precision, recall and F1 are averages over the classes."""

Run = TypeVar("Run", bound=TrajectoryRun)


@dataclass(frozen=True)
class Standings:
    """How some runs stand, of those that ran; of those that hold, the largest ratio and share of the envelope."""

    runs: int
    held: int
    explained: int
    broken: int
    ratio: float  # NaN where none holds
    share: float


@dataclass(frozen=True)
class DigitsSummary:
    """A run on digits, and by which part its envelope grows in a step."""

    run: DigitsRun
    standings: Standings
    growth: float


@dataclass(frozen=True)
class LongSummary:
    """A long run: whether every step holds, the worst ratio, and the distance from the reference at the end."""

    run: LongRun
    holds: bool
    ratio: float
    distance: float


@dataclass(frozen=True)
class Confusion:
    """A confusion matrix on the test set, and the engines and formats that have it."""

    runs: tuple[str, ...]
    rows: list[list[int]]


@dataclass(frozen=True)
class Explanation:
    """A known departure, and how many runs it explains."""

    known: KnownRecord
    runs: int


@dataclass(frozen=True)
class Summary:
    """What the chapter shows.

    lines        why each run breaks that no known departure explains, a line each
    standings    of all runs
    steps        that were audited, over all runs
    accuracy     the least on the test set of digits; None where no run was scored
    optimisers   by optimiser and engine, the runs of the spread
    compared     engines whose predictions in float64 were compared with the first one's
    disagreeing  those of them that predict otherwise
    """

    holds: bool
    sentence: str
    lines: tuple[str, ...]
    request: TrajectoriesRequest
    standings: Standings
    steps: int
    accuracy: float | None
    engines: tuple[str, ...]
    tasks: tuple[str, ...]
    optimisers: Mapping[str, Mapping[str, Standings]]
    digits: tuple[DigitsSummary, ...]
    long: tuple[LongSummary, ...]
    compared: tuple[str, ...]
    disagreeing: tuple[str, ...]
    confusions: tuple[Confusion, ...]
    explanations: tuple[Explanation, ...]


def summarise(chapter: Trajectories) -> Summary:
    """The summary of the chapter; verdicts are checked, not believed."""
    runs, spread, digits = every(chapter), chapter["spread"], chapter["digits"]
    standings = standings_of(runs)
    steps = sum(run["steps"] for run in standing(runs, *RAN))
    long = tuple(long_summary(run) for run in chapter["long"])
    compared, others = engines_compared(digits), tuple(disagreeing(chapter))
    scored = [number(run["scores"]["test"]["accuracy"]) for run in digits if "test" in run["scores"]]
    engines = tuple(dict.fromkeys(run["engine"] for run in spread))
    return Summary(
        holds=bool(standings.held) and not standings.broken and not others and all(run.holds for run in long),
        sentence=sentence_of(runs, standings, steps, long, compared, others),
        lines=tuple(lines_of(runs, long)),
        request=chapter["request"],
        standings=standings,
        steps=steps,
        accuracy=min(scored, default=None),
        engines=engines,
        tasks=tuple(dict.fromkeys(run["task"] for run in spread)),
        optimisers=by_optimiser(spread, engines),
        digits=tuple(digits_summary(run) for run in digits),
        long=long,
        compared=compared,
        disagreeing=others,
        confusions=tuple(confusions(digits)),
        explanations=tuple(
            Explanation(known, sum(run["explained"] == known["name"] for run in runs)) for known in chapter["known"]
        ),
    )


# --- how a run stands


def stands(run: TrajectoryRun) -> Verdict:
    """How a run stands in both ways together; its own verdict is checked.

    A run holds where something was compared, every ratio is at most 1, and it stayed in its envelope. A known departure
    that explains why it breaks explains also that it leaves the envelope.
    """
    if run["verdict"] == Verdict.NOT_RUN:
        return Verdict.NOT_RUN
    if step_locked(run) and run["free"] and inside(run):
        return Verdict.HOLDS
    return (
        Verdict.EXPLAINED
        if run["verdict"] == Verdict.BREAKS and run["explained"] and run["reason"] is None
        else Verdict.BREAKS
    )


RAN = (Verdict.HOLDS, Verdict.EXPLAINED, Verdict.BREAKS)


def inside(run: TrajectoryRun) -> bool:
    """Whether a run stayed in its envelope; NaN is outside."""
    free = run["free"]
    return free is not None and free["left"] is None and number(free["ratio"]) <= 1


def step_locked(run: TrajectoryRun | LongRun) -> bool:
    """Whether every step of a run holds, and something was compared."""
    checks = run["checked"].values()
    return (
        run["verdict"] == Verdict.HOLDS and bool(checks) and all(n > 0 and number(ratio) <= 1 for ratio, _, n in checks)
    )


def worst_ratio(runs: Iterable[TrajectoryRun | LongRun]) -> float:
    """The largest ratio of any step; NaN where nothing was compared."""
    return max((number(check[0]) for run in runs for check in run["checked"].values()), default=math.nan)


def largest_share(runs: Iterable[TrajectoryRun]) -> float:
    """The largest share of its envelope that a run has gone; NaN where there is no run."""
    return max((number(run["free"]["ratio"]) for run in runs if run["free"]), default=math.nan)


def standing(runs: Iterable[Run], *standings: str) -> list[Run]:
    """The runs that stand in one of these ways."""
    return [run for run in runs if stands(run) in standings]


def standings_of(runs: Iterable[TrajectoryRun]) -> Standings:
    """How some runs stand."""
    held, explained, broken = (standing(runs, way) for way in RAN)
    counts = len(held), len(explained), len(broken)
    return Standings(sum(counts), *counts, worst_ratio(held), largest_share(held))


# --- parts of the summary


def every(chapter: Trajectories) -> list[TrajectoryRun]:
    """All runs but the long ones."""
    return [*chapter["spread"], *chapter["digits"]]


def by_optimiser(spread: Sequence[SpreadRun], engines: Sequence[str]) -> dict[str, dict[str, Standings]]:
    """How the runs of the spread stand, by optimiser and engine."""
    return {
        name: {
            engine: standings_of([run for run in spread if (run["optimiser"], run["engine"]) == (name, engine)])
            for engine in engines
        }
        for name in dict.fromkeys(run["optimiser"] for run in spread)
    }


def digits_summary(run: DigitsRun) -> DigitsSummary:
    """A run on digits."""
    growth = math.nan if run["free"] is None else float(np.exp(number(run["free"]["growth"])) - 1)
    return DigitsSummary(run, standings_of([run]), growth)


def long_summary(run: LongRun) -> LongSummary:
    """A long run."""
    distances = run["curves"]["distance"]
    return LongSummary(run, step_locked(run), worst_ratio([run]), number(distances[-1] if distances else None))


def scored_in_float64(digits: Iterable[DigitsRun]) -> list[DigitsRun]:
    """The runs whose predictions can be compared."""
    return [run for run in digits if run["dtype"] == "float64" and run["scores"]]


def engines_compared(digits: Iterable[DigitsRun]) -> tuple[str, ...]:
    """The engines whose predictions in float64 can be compared."""
    return tuple(run["engine"] for run in scored_in_float64(digits))


def disagreeing(chapter: Trajectories) -> list[str]:
    """In float64, the engines whose predictions on the test set differ from the first one's."""
    runs = scored_in_float64(chapter["digits"])
    return [run["engine"] for run in runs[1:] if predictions(run) != predictions(runs[0])]


def predictions(run: TrajectoryRun) -> list[int] | None:
    """The classes that a trained network predicts on the test set."""
    return run["scores"]["test"].get("predicted")


def confusions(digits: Iterable[DigitsRun]) -> list[Confusion]:
    """The confusion matrices on the test set, each once."""
    runs_with: dict[str, list[DigitsRun]] = {}
    for run in digits:
        if "confusion" in run["scores"].get("test", {}):
            runs_with.setdefault(str(run["scores"]["test"]["confusion"]), []).append(run)
    return [
        Confusion(tuple(f"{run['engine']} {run['dtype']}" for run in runs), runs[0]["scores"]["test"]["confusion"])
        for runs in runs_with.values()
    ]


def sentence_of(
    runs: Iterable[TrajectoryRun],
    standings: Standings,
    steps: int,
    long: Sequence[LongSummary],
    compared: Sequence[str],
    others: Sequence[str],
) -> str:
    """The verdict in a sentence or two."""
    engines = list(dict.fromkeys(run["engine"] for run in standing(runs, *RAN)))
    text = f"{standings.held:,} of {counted(standings.runs, 'training run')} hold"
    if standings.explained:
        text += f", {standings.explained:,} break where a known departure explains it"
    if standings.broken:
        text += f", {standings.broken:,} break"
    text += f": {steps:,} steps of {listing(engines) or 'no engine'}, each audited by itself"
    if standings.held:
        text += f", and at most {standings.share:.2f} of the way to the edge of the envelope"
    if long:
        held = sum(run.holds for run in long)
        text += f". {held} of {counted(len(long), 'long run')} of {long[0].run['steps']:,} steps hold in every step"
    if others:
        text += f". {listing(others)} predict otherwise than {compared[0]} in float64"
    return f"{text}."


def lines_of(runs: Iterable[TrajectoryRun], long: Iterable[LongSummary]) -> list[str]:
    """A line for each run that breaks without an explanation: where it does first, or that it left its envelope."""
    of_long = [
        f"breaks: long run of {each.run['engine']}: {why_a_long_run_breaks(each.run)}"
        for each in long
        if not each.holds
    ]
    return of_long + [f"breaks: {run['id']}: {why_it_breaks(run)}" for run in standing(runs, Verdict.BREAKS)]


def why_it_breaks(run: TrajectoryRun) -> str:
    """What ended a run, the first finding that does not hold, or where it left its envelope."""
    if run["reason"]:
        return run["reason"]
    if run["first"]:
        return first_text(run["first"])
    if run["free"] and not inside(run):
        ratio = number(run["free"]["ratio"])
        size = "not a number" if math.isnan(ratio) else f"{ratio:.3g} times its distance"
        return f"leaves its envelope in step {run['free']['left']}, {size}"
    return "nothing was compared"


def why_a_long_run_breaks(run: LongRun) -> str:
    """What ended it, or the first finding that does not hold."""
    return run.get("reason") or (first_text(run["first"]) if run["first"] else "nothing was compared")


# --- words


def first_text(first: FirstBreak) -> str:
    """step 5: (14) in layer 2, 3.1 times what is allowed."""
    place = place_text(first["equation"], first["layer"])
    return f"step {first['step']}: {place}, {ratio_text(number(first['ratio']))} times what is allowed"


def percent(scores: Scores, name: str) -> str:
    """95.0 %, or a dash."""
    value = scores.get(name)
    return "–" if value is None else f"{100 * number(value):.1f} %"


MARKS = {Verdict.HOLDS: "", Verdict.EXPLAINED: "*", Verdict.BREAKS: "✕"}


def worst_texts(standings: Standings) -> tuple[str, str]:
    """The worst ratio and share of the runs that hold, with a mark where others do not; dashes where none ran."""
    if not standings.runs:
        return "–", "–"
    mark = MARKS[Verdict.BREAKS if standings.broken else Verdict.EXPLAINED if standings.explained else Verdict.HOLDS]
    return (ratio_text(standings.ratio) + mark, f"{standings.share:.2f}") if standings.held else (mark, mark)
