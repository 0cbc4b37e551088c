"""A chapter of the results, measured by itself and put into results.json; and the end of every measurement."""

import argparse
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, TypeVar

from rich.console import Console
from rich.table import Table

from reports.results import files
from reports.results.environment import environment
from reports.running.workers import SETTINGS
from reports.text.console import say
from reports.text.progress import progress

Advance = Callable[[int, int, str], None]
"""Shows how much is done, of how much, and which part is being measured."""


class Summary(Protocol):
    """The summary of a chapter: whether it holds, its verdict in a sentence, and a line for each break."""

    @property
    def holds(self) -> bool: ...

    @property
    def sentence(self) -> str: ...

    @property
    def lines(self) -> Sequence[str]: ...


Chapter = TypeVar("Chapter", bound=Mapping[str, Any])
AnySummary = TypeVar("AnySummary", bound=Summary)


def conclude(
    tables: Iterable[Table], breaks: Iterable[str], sentence: str, path: Path, seconds: float, console: Console
) -> None:
    """Print the end of a measurement: tables, a red line for each break, the verdict, and what was written."""
    for table in tables:
        console.print(table)
    for line in breaks:
        say(console, line, style="red")
    say(console, sentence)
    say(console, f"{path} written in {seconds:.0f} s")


def chapter(
    name: str,
    doing: str,
    measure: Callable[[Path, Advance], Chapter],
    summarise: Callable[[Chapter], AnySummary],
    tables: Callable[[AnySummary], Iterable[Table]],
    options: argparse.Namespace,
    console: Console,
) -> int:
    """Measure a chapter, put it into results.json beside what is there, and print its summary; the exit status.

    `measure` takes the output folder, where it may keep what it has until it is done.
    """
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
    about = environment({}, options.seed, started, seconds, {"threads of each worker": SETTINGS["OMP_NUM_THREADS"]})
    results[name] = {**measured, "environment": about}
    files.write(path, files.dump(results))
    summary = summarise(measured)
    conclude(tables(summary), summary.lines, summary.sentence, path, seconds, console)
    return 0 if summary.holds else 1
