"""`trajectories`: train every optimiser in every engine, every step audited."""

import argparse
from functools import partial

from rich.console import Console

from reports.commands import options as shared
from reports.commands.chapters import chapter
from reports.text.console import say
from reports.trajectories.measure import DTYPES, ENGINES, ChapterRequest, measure
from reports.trajectories.summary import summarise
from reports.trajectories.terminal import tables


def options(verb: argparse.ArgumentParser) -> None:
    """The options of `trajectories`."""
    shared.engines(verb, ENGINES, ENGINES)
    shared.dtypes(verb, DTYPES)
    shared.number(verb, "--steps", 40, "steps of each run of the spread")
    shared.number(verb, "--epochs", 20, "epochs on digits")
    shared.number(verb, "--long", 0, "steps of a long run in each engine, or 0 for none", 0)
    shared.workers(verb)
    shared.seed(verb, "data, weights and batches")
    shared.out(verb)


def trajectories(options: argparse.Namespace, console: Console) -> int:
    """Train every optimiser in every engine, each step audited."""
    request = ChapterRequest(
        options.engines, options.dtypes, options.steps, options.epochs, options.long, options.seed, options.workers
    )
    say(console, f"seed {options.seed}: {options.workers} workers")
    return chapter("trajectories", "training", partial(measure, request), summarise, tables, options, console)
