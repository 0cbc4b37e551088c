"""What a person sees in the terminal: progress, the summary table, the breaks."""

from typing import Any

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from reports.render import audited, first_broken
from reports.results import number

Record = dict[str, Any]


def progress(console: Console) -> Progress:
    """A bar with the cell being audited and the time left."""
    return Progress(
        TextColumn("auditing"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.description}", markup=False),
        console=console,
    )


def summary(results: Record) -> Table:
    """A row for each engine and dtype: verdicts, elements compared, worst ratio and where, seconds."""
    table = Table(
        title="worst ratio = |observed − expected| / allowed; up to 1 holds",
        title_style="dim",
        box=box.SIMPLE,
        padding=(0, 0),
    )
    for heading in ("engine", "dtype"):
        table.add_column(heading, no_wrap=True)
    for heading in ("holds", "breaks", "not run", "elements", "worst", "in", "seconds"):
        table.add_column(heading, justify="right", no_wrap=True)
    groups: dict[tuple[str, str], list[Record]] = {}
    for cell in audited(results):
        groups.setdefault((cell["engine"], cell["dtype"]), []).append(cell)
    for (engine, dtype), cells in groups.items():
        counts = [sum(cell["verdict"] == verdict for cell in cells) for verdict in ("holds", "breaks", "not-run")]
        findings = [finding for cell in cells for finding in cell["findings"]]
        worst = max(findings, key=lambda finding: badness(finding["ratio"]), default=None)
        table.add_row(
            engine,
            dtype,
            *(str(count) for count in counts),
            f"{sum(cell['elements'] for cell in cells):,}",
            f"{number(worst['ratio']):.3g}" if worst else "–",
            f"({worst['equation']})" if worst else "–",
            f"{sum(cell['seconds'] for cell in cells):.0f}",
            style="bold red" if counts[1] else None,
        )
    return table


def badness(ratio: float | str) -> float:
    """A ratio that orders: NaN is worse than any number."""
    value = number(ratio)
    return value if value == value else float("inf")


def breaks(results: Record) -> list[str]:
    """A line for each cell that breaks: the first finding that does not hold, or the reason."""
    lines = []
    for cell in audited(results):
        if cell["verdict"] != "breaks":
            continue
        guilty = first_broken(cell)
        lines.append(f"{cell['id']}: {describe(guilty) if guilty else cell['reason'] or 'nothing was compared'}")
    return lines


def describe(finding: Record) -> str:
    """A finding in a sentence."""
    where = f"({finding['equation']}) in layer {finding['layer']}"
    worst = finding["worst"]
    if worst is None:
        return f"{where} compared nothing"
    return (
        f"{where} at {worst['index']} of case {worst['case']} is {worst['observed']!r}, but should be "
        f"{worst['expected']!r} ± {number(worst['allowed']):.2g}: {number(finding['ratio']):.3g} times what is allowed"
    )
