"""`compare`: say what changed between two results.json."""

import argparse
from pathlib import Path

from rich.console import Console

from reports.commands import options as shared
from reports.gate import compare as comparison
from reports.results import files
from reports.text.console import say


def options(verb: argparse.ArgumentParser) -> None:
    """The options of `compare`."""
    verb.add_argument("before", type=Path, metavar="OLD.json", help="the results before")
    verb.add_argument("now", type=Path, metavar="NEW.json", help="the results now, such as after an upgrade")
    shared.out(verb)


def compare(options: argparse.Namespace, console: Console) -> int:
    """Say what changed between two campaigns; write compare.md and compare.html."""
    folder = files.writable(options.out)
    changes = comparison.compared(files.load(options.before), files.load(options.now))
    files.write(folder / "compare.md", comparison.markdown(changes))
    files.write(folder / "compare.html", comparison.html(changes))
    for table in comparison.terminal(changes):
        console.print(table)
    say(console, comparison.sentence(changes))
    say(console, f"{folder / 'compare.md'} and {folder / 'compare.html'} written")
    return 0
