"""`divergences`: measure where the engines differ, from the equations and from each other."""

import argparse

from rich.console import Console

from adapters.contract import ENGINES, load
from reports.commands import options as shared
from reports.divergences.measure import measure
from reports.divergences.terminal import table
from reports.results import files
from reports.running.engines import WITH_FUNCTIONS
from reports.text.console import say

SCHEMA = "backprop-parity/divergences/1"


def options(verb: argparse.ArgumentParser) -> None:
    """The options of `divergences`."""
    shared.engines(verb, tuple(ENGINES), WITH_FUNCTIONS)
    shared.dtypes(verb)
    shared.device(verb)
    shared.out(verb)


def divergences(options: argparse.Namespace, console: Console) -> int:
    """Measure where the engines differ, and write divergences.json."""
    folder = files.writable(options.out)
    rows = measure([load(engine, options.device) for engine in options.engines], options.dtypes)
    files.write(folder / "divergences.json", files.dump({"schema": SCHEMA, "rows": rows}))
    console.print(table(rows))
    say(console, f"{folder / 'divergences.json'} written")
    return 0
