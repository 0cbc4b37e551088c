"""`faults`: plant every seeded fault, audit honest engines, and say what is caught."""

import argparse
from typing import Any

from rich.console import Console

from adapters.faults.planting import PLANTED
from reports.commands import options as shared
from reports.commands.chapters import Summary, chapter
from reports.commands.options import WITH_FUNCTIONS, UsageError
from reports.faults.measure import Request, measure
from reports.faults.summary import summarise
from reports.faults.terminal import tables
from reports.text.console import say

PARTS = ("matrix", "beside", "smallest", "alarms")


def options(verb: argparse.ArgumentParser) -> None:
    """The options of `faults`."""
    shared.engines(verb, tuple(PLANTED), tuple(PLANTED))
    shared.dtypes(verb)
    shared.number(verb, "--seeds", 10, "draws of every fault, stage and dtype")
    shared.number(verb, "--cases", 12_000, "honest cases; interrupted, it goes on where it was")
    help = f"some of {','.join(PARTS)} (default: all)"
    verb.add_argument("--only", type=shared.names(PARTS, "part"), default=PARTS, metavar="PARTS", help=help)
    shared.workers(verb)
    shared.seed(verb, "the honest cases")
    shared.out(verb)


def faults(options: argparse.Namespace, console: Console) -> int:
    """Measure what the audit catches, on seeded faults and on honest engines."""
    if "alarms" in options.only and not set(options.engines) & set(WITH_FUNCTIONS):
        raise UsageError(
            f"alarms are counted in {', '.join(WITH_FUNCTIONS)}, not in {', '.join(options.engines)}: "
            "name one of them, or leave alarms out of --only"
        )
    request = Request(
        options.engines, options.dtypes, options.seeds, options.cases, options.seed, options.only, options.workers
    )
    return chapter(
        "faults",
        "measuring",
        lambda folder, advance: measure(request, folder, advance, lambda line: say(console, line)),
        summarised,
        options,
        console,
    )


def summarised(measured: Any) -> Summary:
    """What a person sees of the chapter."""
    summary = summarise(measured)
    return Summary(summary.holds, summary.sentence, summary.lines, tuple(tables(summary)))
