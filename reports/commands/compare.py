"""`compare`: say what changed between two results.json."""

import argparse

from rich.console import Console

from reports.gate import compare
from reports.results import files


def beside(options: argparse.Namespace, console: Console) -> int:
    """Say what changed between two campaigns."""
    folder = files.writable(options.out)
    found = compare.compared(files.load(options.before), files.load(options.now))
    files.write(folder / "compare.md", compare.markdown(found))
    files.write(folder / "compare.html", compare.html(found))
    for table in compare.terminal(found):
        console.print(table)
    console.print(compare.sentence(found), highlight=False, markup=False, soft_wrap=True)
    console.print(f"{folder / 'compare.md'} and {folder / 'compare.html'} written", highlight=False, soft_wrap=True)
    return 0
