"""`render`: make report.html from results.json."""

import argparse

from rich.console import Console

from reports.commands import options as shared
from reports.page import report
from reports.results import files
from reports.text.console import say
from reports.verdict import status, verdict


def options(verb: argparse.ArgumentParser) -> None:
    """The options of `render`."""
    shared.results(verb)


def render(options: argparse.Namespace, console: Console) -> int:
    """Make report.html; the exit status is that of the results."""
    results = files.load(options.results)
    folder = files.writable(options.out or options.results.parent)
    files.write(folder / "report.html", report.render(results))
    say(console, f"{folder / 'report.html'} written: {verdict(results)}")
    return status(results)
