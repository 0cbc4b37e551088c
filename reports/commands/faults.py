"""`faults`: plant every seeded fault, audit honest engines, and say what is caught."""

import argparse
from functools import partial
from pathlib import Path

from rich.console import Console

from adapters.faults.planting import PLANTED
from reports.commands import options as shared
from reports.commands.chapters import Advance, chapter
from reports.commands.options import UsageError
from reports.faults.summary import summarise
from reports.faults.terminal import tables
from reports.results.fault_records import FaultsChapter
from reports.running.engines import WITH_FUNCTIONS
from reports.text.console import say

PARTS = ("matrix", "beside", "smallest", "alarms")


def options(verb: argparse.ArgumentParser) -> None:
    """The options of `faults`."""
    shared.engines(verb, tuple(PLANTED), tuple(PLANTED))
    shared.dtypes(verb)
    shared.number(verb, "--seeds", 10, "draws of every fault, stage and dtype")
    shared.number(verb, "--cases", 12_000, "honest cases; a run that was cut off goes on where it was")
    help = f"some of {', '.join(PARTS)} (default: all)"
    verb.add_argument("--only", type=shared.names(PARTS, "part"), default=PARTS, metavar="PARTS", help=help)
    shared.workers(verb)
    shared.seed(verb, "the honest cases")
    shared.out(verb)


def faults(options: argparse.Namespace, console: Console) -> int:
    """Measure what the audit catches, on seeded faults and on honest engines."""
    from reports.faults.measure import FaultsRequest, measure  # loads torch and its compiler

    if "alarms" in options.only and not set(options.engines) & set(WITH_FUNCTIONS):
        raise UsageError(
            f"alarms are counted in {', '.join(WITH_FUNCTIONS)}, not in {', '.join(options.engines)}: "
            "name one of them, or leave alarms out of --only"
        )
    request = FaultsRequest(
        options.engines, options.dtypes, options.seeds, options.cases, options.seed, options.only, options.workers
    )

    def measured(folder: Path, advance: Advance) -> FaultsChapter:
        return measure(request, folder, advance, partial(say, console))

    return chapter("faults", "measuring", measured, summarise, tables, options, console)
