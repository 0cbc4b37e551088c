"""`render`: make report.html from results.json."""

import argparse

from rich.console import Console

from reports.page.report import render
from reports.results import files
from reports.verdict import status, verdict


def page(options: argparse.Namespace, console: Console) -> int:
    """Make report.html; the exit status is that of the results."""
    found = files.load(options.results)
    folder = files.writable(options.out or options.results.parent)
    files.write(folder / "report.html", render(found))
    console.print(f"{folder / 'report.html'} written: {verdict(found)}", highlight=False, markup=False, soft_wrap=True)
    return status(found)
