"""`merge`: put the results of all shares of a campaign together."""

import argparse

from rich.console import Console

from reports.campaign.shares import merged
from reports.commands.audit import told
from reports.results import files


def merge(options: argparse.Namespace, console: Console) -> int:
    """Put the shares of a campaign together."""
    shares = [files.load(path) for path in options.results]
    folder = files.writable(options.out)
    found = merged(shares)
    files.write(folder / "results.json", files.dump(found))
    return told(found, folder / "results.json", [], console)
