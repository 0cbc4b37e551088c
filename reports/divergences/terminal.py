"""The table of divergences in a terminal."""

from collections.abc import Callable, Sequence

from rich import box
from rich.table import Table

from reports.results.records import Divergence
from reports.text.wording import six_digits

STYLES = {"convention": "", "approximation": "yellow", "defect": "bold red"}


def table(rows: Sequence[Divergence]) -> Table:
    """The table in 80 columns: formats in which the rows are alike share a line."""
    grid = Table(title=summary(rows), title_style="dim", box=box.SIMPLE, padding=(0, 1, 0, 0), show_edge=False)
    for heading, width in (("function", 15), ("of", 10), ("at", 15), ("equation", 12), ("engines", 22)):
        grid.add_column(heading, width=width, overflow="fold")
    groups: dict[tuple[str, ...], list[Divergence]] = {}
    for row in rows:
        about = row["function"], row["what"], *departing(row), *row["status"].values(), row["note"][:40]
        groups.setdefault(about, []).append(row)
    for group in groups.values():
        grid.add_row(*cells(group), style=STYLES[worst_status(group[0])])
    return grid


SEVERITY = ("not there", "equal", "convention", "approximation", "defect")


def worst_status(row: Divergence) -> str:
    """The status of the engine that departs most."""
    return max(row["status"].values(), key=SEVERITY.index)


def departing(row: Divergence) -> list[str]:
    """The engines that depart."""
    return [engine for engine, status in row["status"].items() if status not in ("equal", "not there")]


def summary(rows: Sequence[Divergence]) -> str:
    """How many rows there are, each counted by its worst engine."""
    worst = [worst_status(row) for row in rows]
    counts = ", ".join(f"{worst.count(status)} {status}" for status in STYLES)
    return f"{len(rows)} rows: {counts}"


def cells(group: Sequence[Divergence]) -> tuple[str, ...]:
    """One line of the table, from the rows of several formats."""
    first = group[0]
    text: Callable[[str], str] = candidate if first["kind"] == "default" else six_digits
    if text(first["equation"]) in [text(first["engines"][engine]) for engine in departing(first)]:
        text = str  # six digits do not tell them apart
    engines = "\n".join(f"{engine} {text(first['engines'][engine])}" for engine in departing(first))
    formats = " ".join(dict.fromkeys(row["dtype"].replace("float", "f") for row in group))
    return (
        first["function"],
        f"{first['what']}\n{formats}",
        six_digits(first["input"]),
        text(first["equation"]),
        engines,
    )


def candidate(text: str) -> str:
    """The name of the candidate that a default is, without its number."""
    return text[text.index("(") + 1 : -1]
