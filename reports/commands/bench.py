"""`bench`: time the audit and the reference beside the engines."""

import argparse

from rich.console import Console

from reports.bench import measure, tables
from reports.commands import options as shared
from reports.results import files
from reports.text.console import say


def options(verb: argparse.ArgumentParser) -> None:
    """The options of `bench`."""
    shared.number(verb, "--rounds", 15, "rounds of each, in turns")
    shared.out(verb)


def bench(options: argparse.Namespace, console: Console) -> int:
    """Time the audit and the reference, and write bench.json."""
    folder = files.writable(options.out)
    times = measure(options.rounds, console)
    files.write(folder / "bench.json", files.dump(times))
    for table in tables(times):
        console.print(table)
    say(console, f"{folder / 'bench.json'} written")
    return 0
