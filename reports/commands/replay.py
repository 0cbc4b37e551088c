"""`replay`: audit the Case of a file in every engine."""

import argparse

from rich.console import Console

from adapters.contract import ENGINES, load
from reference.case import read
from reports.campaign import terminal
from reports.campaign.failing_cases import audited, is_off, save_smallest


def again(options: argparse.Namespace, console: Console) -> int:
    """Audit the Case of a file in every engine."""
    case = read(options.case)
    console.print(f"{case!r}", highlight=False, markup=False, soft_wrap=True)
    cells = []
    for spec in (*(options.engines or tuple(ENGINES)), *options.adapter):
        adapter = load(spec, options.device)
        cells.append(audited(adapter, options.device, case))
        for line in terminal.of_cell(cells[-1]):
            console.print(line, highlight=False, markup=False, soft_wrap=True)
        if options.out and is_off(cells[-1]):
            written = save_smallest(options.out, options.case.stem, adapter, options.device, case)
            console.print(f"  written: {', '.join(map(str, written))}", highlight=False, markup=False, soft_wrap=True)
    if all(cell["verdict"] == "not-run" for cell in cells):
        console.print("no engine computes it", highlight=False)
        return 1
    return 0 if all(cell["verdict"] in ("holds", "not-run") for cell in cells) else 1
