"""A chapter of the results, measured by itself and put into results.json."""

import argparse
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from reports.results import files
from reports.results.environment import environment
from reports.text.console import say
from reports.text.progress import progress

Advance = Callable[[int, int, str], None]
"""Shows how much is done, of how much, and which part is being measured."""

Measure = Callable[[Path, Advance], Mapping[str, Any]]
"""Measures a chapter; the folder is for what it keeps until it is finished."""


@dataclass(frozen=True)
class Summary:
    """What a person sees of a chapter."""

    holds: bool
    sentence: str
    lines: tuple[str, ...]
    tables: tuple[Table, ...]


def chapter(
    name: str,
    doing: str,
    measure: Measure,
    summarise: Callable[[Any], Summary],
    options: argparse.Namespace,
    console: Console,
) -> int:
    """Measure a chapter, put it into results.json beside what is there, and print its summary."""
    folder = files.writable(options.out)
    path = folder / "results.json"
    started, clock = datetime.now(UTC).isoformat(timespec="seconds"), time.perf_counter()
    results: dict[str, Any] = {**(files.load(path) if path.exists() else files.empty(options.seed, started))}
    with progress(console, doing) as bar:
        task = bar.add_task("", total=None)

        def advance(done: int, total: int, part: str) -> None:
            bar.update(task, completed=done, total=total, description=part)

        measured = measure(folder, advance)
    seconds = time.perf_counter() - clock
    results[name] = {**measured, "environment": environment({}, options.seed, started, seconds)}
    files.write(path, files.dump(results))
    summary = summarise(measured)
    for table in summary.tables:
        console.print(table)
    for line in summary.lines:
        say(console, line, style="red")
    say(console, summary.sentence)
    say(console, f"{path} written in {seconds:.0f} s")
    return 0 if summary.holds else 1
