"""`bench`: time the audit and the reference beside the engines."""

import argparse

from rich.console import Console

from reports.results import files


def bench(options: argparse.Namespace, console: Console) -> int:
    """Time the audit and the reference, and write bench.json."""
    from reports.bench import measure, tables

    folder = files.writable(options.out)
    found = measure(options.rounds, console)
    files.write(folder / "bench.json", files.dump(found))
    for table in tables(found):
        console.print(table)
    console.print(f"{folder / 'bench.json'} written", highlight=False, soft_wrap=True)
    return 0
