"""`merge`: put the results of all shares of a campaign together."""

import argparse
from pathlib import Path

from rich.console import Console

from reports.campaign.shares import merged
from reports.commands import options as shared
from reports.commands.audit import show
from reports.results import files


def options(verb: argparse.ArgumentParser) -> None:
    """The options of `merge`."""
    verb.add_argument("results", type=Path, nargs="+", metavar="RESULTS", help="results.json of each share")
    shared.out(verb)


def merge(options: argparse.Namespace, console: Console) -> int:
    """Put the shares of a campaign together."""
    shares = [files.load(path) for path in options.results]
    folder = files.writable(options.out)
    results = merged(shares)
    files.write(folder / "results.json", files.dump(results))
    return show(results, folder / "results.json", console)
