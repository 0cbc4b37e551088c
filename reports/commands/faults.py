"""`faults`: plant every seeded fault, and audit honest engines."""

import argparse

from rich.console import Console

from adapters.faults.planting import PLANTED
from reports.commands.chapters import chapter
from reports.commands.options import ENGINES_SWEPT, UsageError
from reports.faults import summary

FAULT_ENGINES = tuple(PLANTED)
FAULT_PARTS = ("matrix", "beside", "smallest", "alarms")


def faults(options: argparse.Namespace, console: Console) -> int:
    """Measure what the audit catches, on seeded faults and on honest engines."""
    from reports.faults.measure import Request, measure  # torch's compiler serves this verb and the tests alone

    if "alarms" in options.only and not set(options.engines) & set(ENGINES_SWEPT):
        raise UsageError(
            f"alarms are counted in {', '.join(ENGINES_SWEPT)}, not in {', '.join(options.engines)}: name one of them, "
            "or leave alarms out of --only"
        )
    request = Request(
        options.engines, options.dtypes, options.seeds, options.cases, options.seed, options.only, options.workers
    )

    def tell(line: str) -> None:
        console.print(line, markup=False, highlight=False)

    return chapter(
        "faults",
        "measuring",
        summary,
        lambda folder, progress: measure(request, folder, progress, tell),
        options,
        console,
    )
