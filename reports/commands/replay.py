"""`replay`: audit the Case of a file in every engine, and say what breaks."""

import argparse
from pathlib import Path

from rich.console import Console

from adapters.contract import ENGINES, load
from reference.case import read
from reports.campaign import terminal
from reports.campaign.failing_cases import cell_of_case, first_number_off, save_smallest
from reports.commands import options as shared
from reports.results.verdicts import RIGHT, Verdict
from reports.text.console import say


def options(verb: argparse.ArgumentParser) -> None:
    """The options of `replay`."""
    verb.add_argument("case", type=Path, metavar="FILE", help="a Case as JSON, such as `audit` writes into failures/")
    shared.engines(verb, tuple(ENGINES), None)
    shared.adapters(verb)
    shared.device(verb)
    help = "folder for the smallest Case that still breaks, and scripts of it (default: they are not written)"
    verb.add_argument("--out", type=Path, metavar="FOLDER", help=help)


def replay(options: argparse.Namespace, console: Console) -> int:
    """Audit the Case of a file in every engine."""
    case = read(options.case)
    say(console, repr(case))
    verdicts = []
    for spec in (*(options.engines or tuple(ENGINES)), *options.adapter):
        adapter = load(spec, options.device)
        cell = cell_of_case(adapter, options.device, case)
        verdicts.append(cell["verdict"])
        for line in terminal.cell_lines(cell):
            say(console, line)
        if options.out and first_number_off(cell):
            written = save_smallest(options.out, options.case.stem, adapter, options.device, case)
            say(console, f"  written: {', '.join(map(str, written))}")
    if set(verdicts) == {Verdict.NOT_RUN}:
        say(console, "no engine computes it")
        return 1
    return 0 if set(verdicts) <= set(RIGHT) else 1
