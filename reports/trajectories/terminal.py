"""The trajectories in a terminal."""

import math
import textwrap
from collections.abc import Sequence

from rich.table import Table

from reports.results.files import number
from reports.results.verdicts import BREAKS
from reports.text.places import place_text
from reports.text.tables import grid
from reports.text.wording import ratio_text
from reports.trajectories.summary import (
    METRICS,
    Record,
    every,
    inside,
    percent,
    stands,
    step_locked,
    worst_of,
    worst_ratio,
)


def tables(found: Record) -> list[Table]:
    """What a person sees: the spread by optimiser and engine; the digits by engine and dtype."""
    far = [long_table(found["long"])] if found["long"] else []
    return [spread_table(found["spread"]), digits_table(found["digits"]), *far]


def spread_table(runs: Sequence[Record]) -> Table:
    """A row an optimiser: the worst ratio of its steps, and the largest share of the envelope, of each engine."""
    engines = list(dict.fromkeys(run["engine"] for run in runs))
    table = grid(
        "every optimiser: worst ratio of a step, and the largest share of the envelope",
        ("optimiser",),
        [f"{engine}\nratio share" for engine in engines],
        "–: not there; *: some break, where a known departure explains it",
    )
    for name in dict.fromkeys(run["optimiser"] for run in runs):
        of = [[run for run in runs if run["optimiser"] == name and run["engine"] == engine] for engine in engines]
        style = "bold red" if any(stands(run) == BREAKS for group in of for run in group) else None
        shown = "\n".join(textwrap.wrap(name.replace("_", " "), 24))
        table.add_row(shown, *("  ".join(dict.fromkeys(worst_of(group))) for group in of), style=style)
    return table


def digits_table(runs: Sequence[Record]) -> Table:
    """A row for each engine and dtype: steps, worst ratio, share of the envelope, and the metrics on the test set."""
    table = grid("digits", ("engine", "dtype"), ("steps", "ratio", "share", "accuracy", "precision", "recall", "F1"))
    for run in runs:
        metrics = [percent(run["scores"].get("test", {}), name) for name in METRICS]
        style = "bold red" if stands(run) == BREAKS else None
        table.add_row(run["engine"], run["dtype"], f"{run['steps']:,}", *worst_of([run]), *metrics, style=style)
    return table


def long_table(runs: Sequence[Record]) -> Table:
    """A row an engine: steps, the worst ratio, the distance from the reference, accuracy, and memory at either end."""
    table = grid(
        "long runs on digits", ("engine", "dtype"), ("steps", "ratio", "distance", "accuracy", "MiB", "at last")
    )
    for run in runs:
        table.add_row(
            run["engine"],
            run["dtype"],
            f"{run['steps']:,}",
            ratio_text(worst_ratio([run])),
            f"{number(run['curves']['distance'][-1]):.1e}",
            percent(run["scores"].get("test", {}), "accuracy"),
            *(f"{size:,.0f}" for size in run["memory"]),
            style=None if step_locked(run) else "bold red",
        )
    return table


def lines(found: Record) -> list[str]:
    """A line for each run that breaks, without an explanation: where first, or that it left its envelope."""
    said = [f"breaks: long run of {run['engine']}: {run['first']}" for run in found["long"] if not step_locked(run)]
    for run in every(found):
        if stands(run) != BREAKS:
            continue
        if run["reason"]:
            why = run["reason"]
        elif first := run["first"]:
            place = place_text(first["equation"], first["layer"])
            why = f"step {first['step']}: {place}, {ratio_text(number(first['ratio']))} times what is allowed"
        elif run["free"] and not inside(run):
            ratio = number(run["free"]["ratio"])
            size = "no number" if math.isnan(ratio) else f"{ratio:.3g} times its distance"
            why = f"leaves its envelope in step {run['free']['left']}, {size}"
        else:
            why = "nothing was compared"
        said.append(f"breaks: {run['id']}: {why}")
    return said
