"""`trajectories`: train every optimiser in every engine, every step audited."""

import argparse
from functools import partial

from rich.console import Console

from reports.commands.chapters import chapter
from reports.trajectories import measure, summary


def train(options: argparse.Namespace, console: Console) -> int:
    """Train every optimiser in every engine, each step audited."""
    request = measure.Request(
        options.engines, options.dtypes, options.steps, options.epochs, options.long, options.seed, options.workers
    )
    console.print(f"seed {options.seed}: {options.workers} workers", highlight=False)
    return chapter("trajectories", "training", summary, partial(measure.measure, request), options, console)
