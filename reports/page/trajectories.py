"""The trajectories as the report shows them."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup

from reports.page import plots
from reports.page.figures import Figure
from reports.results.files import number
from reports.results.verdicts import EXPLAINED, HOLDS
from reports.text.wording import listing, ratio_text
from reports.trajectories import summary, terminal

Record = Any


class Cell(NamedTuple):
    """The runs of an optimiser in an engine: how many, how many break and are explained, and the worst that holds."""

    runs: int
    broken: int
    explained: int
    ratio: str
    share: str


def page(found: Record | None) -> Record | None:
    """All that the template asks for; None where nothing was trained."""
    if not found:
        return None
    drawn = [run for run in found["digits"] if run["curves"]["loss"]]
    engines = list(dict.fromkeys(run["engine"] for run in found["spread"]))
    return {
        "holds": summary.holds(found),
        "figures": figures(found),
        "replay": replay(found["request"]),
        "sentence": summary.sentence(found),
        "lines": terminal.lines(found),
        "series": plots.series(drawn),
        "plots": [(plot, Markup(plot.svg)) for plot in drawings(drawn)],
        "digits": [digits_row(run) for run in drawn],
        "agreement": agreement(found),
        "confusion": confusion(drawn),
        "long": [long_row(run) for run in found["long"]],
        "engines": engines,
        "tasks": listing(list(dict.fromkeys(run["task"] for run in found["spread"]))),
        "rows": {
            name: [
                cell(run for run in found["spread"] if (run["optimiser"], run["engine"]) == (name, engine))
                for engine in engines
            ]
            for name in dict.fromkeys(run["optimiser"] for run in found["spread"])
        },
        "known": [
            {**known, "runs": sum(run["explained"] == known["name"] for run in summary.every(found))}
            for known in found["known"]
        ],
    }


def figures(found: Record) -> list[Figure]:
    """Runs, steps, how near to the envelope, and the accuracy on digits."""
    runs = summary.standing(summary.every(found), *summary.RAN)
    held, explained = (summary.standing(runs, way) for way in (HOLDS, EXPLAINED))
    test = [run["scores"]["test"]["accuracy"] for run in found["digits"] if "test" in run["scores"]]
    said = [
        Figure("training runs hold", f"{len(held):,} of {len(runs):,}", f"{len(explained)} break as known"),
        Figure("steps audited", f"{sum(run['steps'] for run in runs):,}", "each by itself"),
    ]
    if held:
        share = f"{summary.largest_share(held):.2f}"
        said.append(Figure("nearest to its envelope", share, "of the way to the edge, free-running"))
    if test:
        said.append(Figure("digits", f"{100 * min(test):.1f} %", "accuracy on the test set, at least"))
    return said


def replay(request: Record) -> str:
    """The command that trains the same again."""
    several = (f"--{name} {','.join(request[name])}" for name in ("engines", "dtypes"))
    counts = (f"--{name} {request[name]}" for name in ("steps", "epochs", "long", "seed"))
    return " ".join(("python -m reports trajectories", *several, *counts))


def drawings(runs: Sequence[Record]) -> list[plots.Plot]:
    """Loss, distance with its envelope, worst ratio and validation accuracy of the runs on digits."""
    drawn = plots.series(runs)
    envelopes = {s.label: np.array(run["free"]["envelope"]) for s, run in zip(drawn, runs, strict=True)}
    if not drawn:
        return []
    of = "trajectories-"
    return [
        plots.loss(drawn, of),
        plots.validation(drawn, of),
        plots.distance(drawn, envelopes),
        plots.ratio(drawn, of),
    ]


def digits_row(run: Record) -> Record:
    """A run on digits: its worst ratio, its share of the envelope, how fast that grows, and the metrics."""
    ratio, share = summary.worst_of([run])
    validation, test = (run["scores"].get(of, {}) for of in ("validation", "test"))
    metrics = [summary.percent(validation, "accuracy"), *(summary.percent(test, name) for name in summary.METRICS)]
    growth = f"{100 * (np.exp(number(run['free']['growth'])) - 1):.2g} %"
    return {**run, "ratio": ratio, "share": share, "growth": growth, "metrics": metrics}


def long_row(run: Record) -> Record:
    """A long run: its worst ratio, how far it is from the reference at last, the accuracy, and its memory."""
    first, last = run["memory"]
    return {
        **run,
        "holds": summary.step_locked(run),
        "ratio": ratio_text(summary.worst_ratio([run])),
        "distance": f"{number(run['curves']['distance'][-1]):.1e}",
        "accuracy": summary.percent(run["scores"].get("test", {}), "accuracy"),
        "size": f"{first:,.0f} MiB, {last:,.0f} at last",
    }


def agreement(found: Record) -> str:
    """Whether the engines predict the same in float64."""
    engines = [run["engine"] for run in found["digits"] if run["dtype"] == "float64" and run["scores"]]
    if len(engines) < 2:
        return ""
    if others := summary.disagreeing(found):
        return f"In float64, {listing(others)} predict otherwise than {engines[0]} on the test set."
    return f"In float64, {listing(engines)} predict the same for every sample of the test set."


def confusion(runs: Sequence[Record]) -> list[Record]:
    """The confusion matrices on the test set: those that are the same are shown once."""
    groups: dict[str, list[Record]] = {}
    for run in runs:
        if "confusion" in run["scores"].get("test", {}):
            groups.setdefault(str(run["scores"]["test"]["confusion"]), []).append(run)
    return [
        {
            "label": listing([f"{run['engine']} {run['dtype']}" for run in group]),
            "rows": group[0]["scores"]["test"]["confusion"],
        }
        for group in groups.values()
    ]


def cell(runs: Iterable[Record]) -> Cell:
    """An optimiser in an engine."""
    ran = summary.standing(runs, *summary.RAN)
    held, explained, broken = (summary.standing(ran, way) for way in summary.RAN)
    ratio, share = ratio_text(summary.worst_ratio(held)), f"{summary.largest_share(held):.2f}"
    return Cell(len(ran), len(broken), len(explained), *((ratio, share) if held else ("—", "")))
