"""`divergences`: measure where the engines differ."""

import argparse

from rich.console import Console

from adapters.contract import load
from reports.results import files

DIVERGENCES = "backprop-parity/divergences/1"


def divergences(options: argparse.Namespace, console: Console) -> int:
    """Measure where the engines differ, and write divergences.json."""
    from reports.divergences.measure import measure
    from reports.divergences.terminal import terminal as table

    folder = files.writable(options.out)
    rows = measure([load(engine, options.device) for engine in options.engines], options.dtypes)
    files.write(folder / "divergences.json", files.dump({"schema": DIVERGENCES, "rows": rows}))
    console.print(table(rows))
    console.print(f"{folder / 'divergences.json'} written", highlight=False, soft_wrap=True)
    return 0
