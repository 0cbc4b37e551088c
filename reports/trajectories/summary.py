"""What trajectories say: how each run stands, and the verdict."""

import math
from collections.abc import Iterable
from typing import Any

from reports.results.files import number
from reports.results.verdicts import BREAKS, EXPLAINED, HOLDS, NOT_RUN
from reports.text.wording import counted, listing, ratio_text

Record = dict[str, Any]


def stands(run: Record) -> str:
    """How a run stands, both gates together; it is not taken at its word.

    A run holds where something was compared, every ratio is within 1, and it stayed in its envelope. What a known
    departure breaks, it explains, and with it that the run leaves the envelope.
    """
    if run["verdict"] == NOT_RUN:
        return NOT_RUN
    if step_locked(run) and run["free"] and inside(run):
        return HOLDS
    return EXPLAINED if run["verdict"] == BREAKS and run["explained"] and run["reason"] is None else BREAKS


def inside(run: Record) -> bool:
    """Whether a run stayed in its envelope; NaN is outside."""
    return run["free"]["left"] is None and number(run["free"]["ratio"]) <= 1


def step_locked(run: Record) -> bool:
    """Whether every step of a run holds, and something was compared."""
    checks = run["checked"].values()
    return run["verdict"] == HOLDS and bool(checks) and all(n > 0 and number(ratio) <= 1 for ratio, _, n in checks)


def worst_ratio(runs: Iterable[Record]) -> float:
    """The largest ratio of any step; NaN where nothing was compared."""
    return max((number(check[0]) for run in runs for check in run["checked"].values()), default=math.nan)


def largest_share(runs: Iterable[Record]) -> float:
    """The largest share of its envelope that a run has gone; NaN where none ran."""
    return max((number(run["free"]["ratio"]) for run in runs), default=math.nan)


def standing(runs: Iterable[Record], *standings: str) -> list[Record]:
    """Those that stand so."""
    return [run for run in runs if stands(run) in standings]


RAN = (HOLDS, EXPLAINED, BREAKS)


def percent(scored: Record, name: str) -> str:
    """95.0 %, or a dash."""
    return f"{100 * scored[name]:.1f} %" if name in scored else "–"


def every(found: Record) -> list[Record]:
    """All runs."""
    return [*found["spread"], *found["digits"]]


def holds(found: Record) -> bool:
    """Whether some run holds, and none breaks without an explanation; and engines agree where they should."""
    standings = {stands(run) for run in every(found)}
    far = all(map(step_locked, found["long"]))
    return HOLDS in standings and BREAKS not in standings and not disagreeing(found) and far


def disagreeing(found: Record) -> list[str]:
    """In float64, engines whose predictions on the test set are not the first one's."""
    runs = [run for run in found["digits"] if run["dtype"] == "float64" and run["scores"]]
    return [run["engine"] for run in runs[1:] if predictions(run) != predictions(runs[0])]


def predictions(run: Record) -> Any:
    return run["scores"]["test"].get("predicted")


def sentence(found: Record) -> str:
    """The verdict in a sentence or two."""
    runs = standing(every(found), *RAN)
    held, explained, broken = (standing(runs, way) for way in RAN)
    steps, engines = sum(run["steps"] for run in runs), list(dict.fromkeys(run["engine"] for run in runs))
    said = f"{len(held):,} of {counted(len(runs), 'training run')} hold"
    if explained:
        said += f", {len(explained):,} break where a known departure explains it"
    if broken:
        said += f", {len(broken):,} break"
    said += f": {steps:,} steps of {listing(engines) or 'no engine'}, each audited by itself"
    if held:
        said += f", and at most {largest_share(held):.2f} of the way to the edge of the envelope"
    if far := found["long"]:
        held_far = sum(map(step_locked, far))
        said += f". {held_far} of {counted(len(far), 'long run')} of {far[0]['steps']:,} steps hold in every step"
    if others := disagreeing(found):
        said += f". {listing(others)} predict otherwise than {found['digits'][0]['engine']} in float64"
    return f"{said}."


def worst_of(runs: Iterable[Record]) -> tuple[str, str]:
    """The worst ratio and share of those that hold, with a mark for those that do not; dashes where none ran."""
    ran = standing(runs, *RAN)
    if not ran:
        return "–", "–"
    held, explained, broken = (standing(ran, way) for way in RAN)
    mark = MARKS[BREAKS if broken else EXPLAINED if explained else HOLDS]
    return (ratio_text(worst_ratio(held)) + mark, f"{largest_share(held):.2f}") if held else (mark, mark)


MARKS = {HOLDS: "", EXPLAINED: "*", BREAKS: "✕"}

METRICS = ("accuracy", "precision", "recall", "f1")
"""Precision, recall and F1 are averages over the classes."""
