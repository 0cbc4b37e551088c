"""A chapter of the results, measured by itself and put into results.json."""

import argparse
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from reports.results import environment, files
from reports.text import progress as text_progress

Progress = Callable[[int, int, str], None]
"""Told what is done, of how much, and of which part."""


Measure = Callable[[Path, Progress], dict[str, Any]]
"""Of the output folder, where it may keep what it has until then."""


def chapter(name: str, doing: str, said: Any, measure: Measure, options: argparse.Namespace, console: Console) -> int:
    """Measure a chapter of the results, put it into results.json beside what is there, and print what it says.

    `said` is the module with its tables, lines, sentence and verdict.
    """
    folder = files.writable(options.out)
    path = folder / "results.json"
    started, clock = datetime.now(UTC).isoformat(timespec="seconds"), time.perf_counter()
    found = files.load(path) if path.exists() else files.empty(options.seed, started)
    with text_progress.progress(console, doing) as bar:
        task = bar.add_task("", total=None)

        def progress(done: int, total: int, part: str) -> None:
            bar.update(task, completed=done, total=total, description=part)

        made = measure(folder, progress)
    seconds = time.perf_counter() - clock
    found[name] = made | {"environment": environment.environment({}, options.seed, started, seconds)}
    files.write(path, files.dump(found))
    for table in said.tables(made):
        console.print(table)
    for line in said.lines(made):
        console.print(line, style="red", highlight=False, markup=False, soft_wrap=True)
    console.print(said.sentence(made), highlight=False, markup=False, soft_wrap=True)
    console.print(f"{path} written in {seconds:.0f} s", highlight=False, soft_wrap=True)
    return 0 if said.holds(made) else 1
