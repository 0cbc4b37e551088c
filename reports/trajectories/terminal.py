"""The trajectories in a terminal."""

import math
import textwrap
from collections.abc import Mapping, Sequence

from rich.table import Table

from reports.text.tables import grid
from reports.text.wording import ratio_text
from reports.trajectories.summary import (
    METRICS,
    DigitsSummary,
    LongSummary,
    Standings,
    Summary,
    percent,
    worst_texts,
)


def tables(summary: Summary) -> list[Table]:
    """The spread by optimiser and engine, the runs on digits by engine and dtype, and the long runs."""
    long = [long_table(summary.long)] if summary.long else []
    return [spread_table(summary.optimisers, summary.engines), digits_table(summary.digits), *long]


def spread_table(optimisers: Mapping[str, Mapping[str, Standings]], engines: Sequence[str]) -> Table:
    """A row for each optimiser: the worst ratio of its steps, and the largest share of the envelope, in each engine."""
    table = grid(
        "every optimiser: worst ratio of a step, and the largest share of the envelope",
        ("optimiser",),
        [f"{engine}\nratio share" for engine in engines],
        "–: not there; *: some break, where a known departure explains it",
    )
    for name, by_engine in optimisers.items():
        style = "bold red" if any(standings.broken for standings in by_engine.values()) else None
        wrapped = "\n".join(textwrap.wrap(name.replace("_", " "), 24))
        cells = ["  ".join(dict.fromkeys(worst_texts(by_engine[engine]))) for engine in engines]
        table.add_row(wrapped, *cells, style=style)
    return table


def digits_table(digits: Sequence[DigitsSummary]) -> Table:
    """A row for each engine and dtype: steps, worst ratio, share of the envelope, and the metrics on the test set."""
    table = grid("digits", ("engine", "dtype"), ("steps", "ratio", "share", "accuracy", "precision", "recall", "F1"))
    for of_run in digits:
        run = of_run.run
        metrics = [percent(run["scores"].get("test", {}), name) for name in METRICS]
        style = "bold red" if of_run.standings.broken else None
        texts = (f"{run['steps']:,}", *worst_texts(of_run.standings), *metrics)
        table.add_row(run["engine"], run["dtype"], *texts, style=style)
    return table


def long_table(long: Sequence[LongSummary]) -> Table:
    """A row for each engine: steps, worst ratio, distance from the reference, accuracy, and memory at either end."""
    table = grid(
        "long runs on digits", ("engine", "dtype"), ("steps", "ratio", "distance", "accuracy", "MiB", "at last")
    )
    for of_run in long:
        run = of_run.run
        table.add_row(
            run["engine"],
            run["dtype"],
            f"{run['steps']:,}",
            ratio_text(of_run.ratio),
            "–" if math.isnan(of_run.distance) else f"{of_run.distance:.1e}",
            percent(run["scores"].get("test", {}), "accuracy"),
            *(f"{size:,.0f}" for size in run["memory"]),
            style=None if of_run.holds else "bold red",
        )
    return table
