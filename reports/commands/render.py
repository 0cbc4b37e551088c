"""`render`: make report.html from results.json."""

import argparse

from rich.console import Console

from reports.commands import options as shared
from reports.page import report
from reports.results import files
from reports.text.console import say
from reports.verdict import summarise


def options(verb: argparse.ArgumentParser) -> None:
    """The options of `render`."""
    shared.results(verb)


def render(options: argparse.Namespace, console: Console) -> int:
    """Make report.html; the exit status is that of the results."""
    results = files.load(options.results)
    summary = summarise(results)
    folder = files.writable(options.out or options.results.parent)
    files.write(folder / "report.html", report.render(results, summary))
    say(console, f"{folder / 'report.html'} written: {summary.sentence}")
    return summary.status
