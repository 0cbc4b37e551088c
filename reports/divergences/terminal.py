"""The table of divergences in a terminal."""

import re
from collections.abc import Callable, Sequence

from rich import box
from rich.table import Table

from reports.divergences.judging import Row

STYLES = {"convention": "", "approximation": "yellow", "defect": "bold red"}


def terminal(rows: Sequence[Row]) -> Table:
    """The table in 80 columns: formats in which the same is so share a line."""
    table = Table(title=summary(rows), title_style="dim", box=box.SIMPLE, padding=(0, 1, 0, 0), show_edge=False)
    for heading, width in (("function", 15), ("of", 10), ("at", 15), ("equation", 12), ("engines", 22)):
        table.add_column(heading, width=width, overflow="fold")
    groups: dict[tuple[str, ...], list[Row]] = {}
    for found in rows:
        departing = tuple(e for e, status in found["status"].items() if status not in ("equal", "not there"))
        statuses = tuple(found["status"].values())
        groups.setdefault((found["function"], found["what"], *departing, *statuses, found["note"][:40]), []).append(
            found
        )
    for group in groups.values():
        table.add_row(*cells(group), style=STYLES[max(group[0]["status"].values(), key=SEVERITY.index)])
    return table


SEVERITY = ("not there", "equal", "convention", "approximation", "defect")


def summary(rows: Sequence[Row]) -> str:
    """How many rows there are, each counted by its worst engine."""
    worst = [max(found["status"].values(), key=SEVERITY.index) for found in rows]
    counts = ", ".join(f"{worst.count(status)} {status}" for status in STYLES)
    return f"{len(rows)} rows: {counts}"


def cells(group: Sequence[Row]) -> tuple[str, ...]:
    """One line of the table, from the rows of several formats."""
    first = group[0]
    departing = [engine for engine, status in first["status"].items() if status not in ("equal", "not there")]
    show: Callable[[str], str] = label if first["kind"] == "default" else short
    if show(first["equation"]) in [show(first["engines"][engine]) for engine in departing]:
        show = str  # six digits do not tell them apart
    engines = "\n".join(f"{engine} {show(first['engines'][engine])}" for engine in departing)
    formats = " ".join(dict.fromkeys(found["dtype"].replace("float", "f") for found in group))
    return first["function"], f"{first['what']}\n{formats}", short(first["input"]), show(first["equation"]), engines


def short(text: str) -> str:
    """Numbers to six digits."""
    return re.sub(r"-?\d+\.\d+(e[-+]?\d+)?", lambda match: f"{float(match[0]):.6g}", text)


def label(text: str) -> str:
    """The name of the candidate that a default is, without its number."""
    return text[text.index("(") + 1 : -1]
