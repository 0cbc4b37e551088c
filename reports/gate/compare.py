"""What changed between two campaigns, say before and after an upgrade: environment, cells, conventions, times."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.markup import escape
from rich.table import Table

from reports.gate import baseline
from reports.gate.gate import Difference, changes, differences
from reports.text.markdown import markdown_table
from reports.text.templates import pages
from reports.text.wording import counted, six_digits

Record = dict[str, Any]

EXAMPLES = 3
"""Cells that are named for each change."""


@dataclass(frozen=True)
class Change:
    """What changed alike in several cells of one engine and dtype, and some of them."""

    column: str
    what: str
    before: str
    now: str
    cells: tuple[str, ...]

    @property
    def named(self) -> str:
        """The first cells, without what they have in common, and how many more there are."""
        found = [cell.removeprefix(f"{self.column}/") for cell in self.cells[:EXAMPLES]]
        more = len(self.cells) - len(found)
        return ", ".join(found) + (f" and {more:,} more" if more else "")


@dataclass(frozen=True)
class Time:
    """The seconds that an engine took in two campaigns, tracing and auditing."""

    engine: str
    before: float
    now: float

    @property
    def ratio(self) -> float | None:
        """now/before."""
        return self.now / self.before if self.before > 0 else None


@dataclass(frozen=True)
class Comparison:
    """Everything that changed, and how many cells both have."""

    environment: tuple[tuple[str, str, str], ...]
    cells: tuple[Change, ...]
    divergences: tuple[Change, ...]
    times: tuple[Time, ...]
    compared: int


def compared(before: Mapping[str, Any], now: Mapping[str, Any]) -> Comparison:
    """Two campaigns beside each other; ratios count, up or down, where their step changed by more than FACTOR."""
    old, new = baseline.of(before), baseline.of(now)
    settings = changes(settings_of(before), settings_of(now))
    environment = [each for each in settings if each[0].partition(".")[0] not in TIMES_AND_DATES]
    found = differences(old, new)
    fell = [
        Difference(each.cell, "ratio", each.now, each.before) for each in differences(new, old) if each.what == "ratio"
    ]
    return Comparison(
        tuple(environment),
        tuple(grouped([*found, *fell])),
        tuple(of_rows(before.get("divergences") or [], now.get("divergences") or [])),
        tuple(times(before.get("times") or {}, now.get("times") or {})),
        len(old.lines.keys() & new.lines.keys()),
    )


def settings_of(results: Mapping[str, Any]) -> Record:
    """Environment and request; each BLAS by the library that has it."""
    about = results["environment"]
    blas = {str(each["library"]): f"{each.get('version')} {each.get('architecture')}" for each in about["blas"]}
    return {**about, "blas": blas, "request": results["request"]}


TIMES_AND_DATES = ("seconds", "started")


def grouped(found: Iterable[Difference]) -> list[Change]:
    """Cells of one engine and dtype in which the same changed, the most numerous first."""
    groups: dict[tuple[str, str, str, str], list[str]] = {}
    for each in found:
        column = "/".join(each.cell.split("/")[:3])
        groups.setdefault((column, each.what, each.before, each.now), []).append(each.cell)
    made = [Change(*key, tuple(sorted(cells))) for key, cells in groups.items()]
    return sorted(made, key=lambda change: (change.what, -len(change.cells), change.column))


def of_rows(before: Sequence[Record], now: Sequence[Record]) -> list[Change]:
    """Divergences that are new, are gone, or in which an engine answers otherwise."""
    sides = [{row["id"]: answers(row) for row in rows} for rows in (before, now)]
    found = []
    for row in sorted(sides[0].keys() | sides[1].keys()):
        was, is_now = (side.get(row, {}) for side in sides)
        for engine in dict.fromkeys((*was, *is_now)):
            old, new = (side.get(engine, "equal") for side in (was, is_now))
            if old != new:
                found.append(Change(engine, "divergence", old, new, (row,)))
    return found


def answers(row: Record) -> dict[str, str]:
    """What each engine that departs answers, to six digits, and what that is."""
    departing = {engine: status for engine, status in row["status"].items() if status not in ("equal", "not there")}
    return {engine: f"{six_digits(row['engines'][engine])} ({status})" for engine, status in departing.items()}


def times(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[Time]:
    """The seconds of each engine that both have."""
    old, new = before.get("seconds") or {}, now.get("seconds") or {}
    return [Time(engine, sum(old[engine].values()), sum(new[engine].values())) for engine in old if engine in new]


def sentence(found: Comparison) -> str:
    """What changed in one line."""
    cells = len({cell for change in found.cells for cell in change.cells})
    return (
        f"{found.compared:,} cells are in both; changed: {counted(cells, 'cell')}, "
        f"{counted(len(found.divergences), 'divergence')}, {counted(len(found.environment), 'setting')}."
    )


# --- as tables: headings and rows

Rows = tuple[str, tuple[str, ...], list[tuple[str, ...]]]


def tables(found: Comparison) -> list[Rows]:
    """A title, headings and rows of each part in which something changed; the times always."""
    sides = ("before", "now")
    parts: list[Rows] = [
        ("Environment", ("setting", *sides), [*found.environment]),
        (
            "Cells",
            ("engine and dtype", "what", *sides, "count", "cells"),
            [(c.column, c.what, c.before, c.now, f"{len(c.cells):,}", c.named) for c in found.cells],
        ),
        (
            "Divergences",
            ("engine", "at", *sides),
            [(c.column, c.cells[0], c.before, c.now) for c in found.divergences],
        ),
        (
            "Seconds",
            ("engine", *sides, "now/before"),
            [
                (t.engine, f"{t.before:.1f}", f"{t.now:.1f}", "–" if t.ratio is None else f"{t.ratio:.2f}")
                for t in found.times
            ],
        ),
    ]
    return [part for part in parts if part[2]]


def terminal(found: Comparison) -> list[Table]:
    """The tables for a terminal."""
    made = []
    for title, headings, rows in tables(found):
        table = Table(title=title, box=box.SIMPLE, padding=(0, 1, 0, 0), show_edge=False, title_justify="left")
        for i, heading in enumerate(headings):
            table.add_column(heading, overflow="fold", no_wrap=i == 0 and "cells" in headings)
        for row in rows:
            table.add_row(*map(escape, row))
        made.append(table)
    return made


def markdown(found: Comparison) -> str:
    """The comparison for a pull request."""
    lines = ["### backprop-parity: what changed", "", sentence(found)]
    for title, headings, rows in tables(found):
        lines += ["", f"#### {title}", "", *markdown_table(headings, rows)]
    return "\n".join(lines) + "\n"


def html(found: Comparison) -> str:
    """The comparison as a page of its own."""
    return (
        pages(Path(__file__).parent)
        .get_template("compare.html.j2")
        .render(sentence=sentence(found), tables=tables(found))
    )
