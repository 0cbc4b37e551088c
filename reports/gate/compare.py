"""What changed between two campaigns, such as before and after an upgrade: environment, cells, divergences, times."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from rich import box
from rich.markup import escape
from rich.table import Table

from reports.gate import baseline
from reports.gate.gate import Difference, Setting, changes, differences
from reports.results.records import Divergence, Times
from reports.results.schema import Results
from reports.text.markdown import markdown_table
from reports.text.templates import pages
from reports.text.wording import counted, six_digits

EXAMPLES = 3
"""The most cells that are named for each change."""


@dataclass(frozen=True)
class Change:
    """A change that several cells of one engine and dtype have in common, and those cells."""

    column: str
    what: str
    before: str
    now: str
    cells: tuple[str, ...]

    @property
    def named(self) -> str:
        """The first cells, without what they have in common, and the number of the others."""
        first = [cell.removeprefix(f"{self.column}/") for cell in self.cells[:EXAMPLES]]
        more = len(self.cells) - len(first)
        return ", ".join(first) + (f" and {more:,} more" if more else "")


@dataclass(frozen=True)
class Time:
    """The seconds of an engine in two campaigns, all parts together."""

    engine: str
    before: float
    now: float

    @property
    def ratio(self) -> float | None:
        """now/before."""
        return self.now / self.before if self.before > 0 else None


@dataclass(frozen=True)
class Comparison:
    """Everything that changed, and the number of cells that both campaigns have."""

    environment: tuple[Setting, ...]
    cells: tuple[Change, ...]
    divergences: tuple[Change, ...]
    times: tuple[Time, ...]
    compared: int


def compared(before: Results, now: Results) -> Comparison:
    """The comparison of two campaigns; a ratio counts where its step rose or fell by more than FACTOR."""
    old, new = baseline.of(before), baseline.of(now)
    settings = changes(settings_of(before), settings_of(now))
    return Comparison(
        tuple(each for each in settings if each.name not in TIMES_AND_DATES),
        tuple(grouped(differences(old, new, falls=True))),
        tuple(of_rows(before.get("divergences") or [], now.get("divergences") or [])),
        tuple(times(before.get("times"), now.get("times"))),
        len(old.lines.keys() & new.lines.keys()),
    )


def settings_of(results: Results) -> Mapping[str, object]:
    """Environment and request; each BLAS by the library that has it."""
    about = results["environment"]
    blas = {each["library"]: f"{each.get('version')} {each.get('architecture')}" for each in about["blas"]}
    return {**about, "blas": blas, "request": results["request"]}


TIMES_AND_DATES = ("seconds", "started")


def grouped(found: Iterable[Difference]) -> list[Change]:
    """The changes that cells of one engine and dtype have in common, those of the most cells first."""
    groups: dict[tuple[str, str, str, str], list[str]] = {}
    for each in found:
        column = "/".join(each.cell.split("/")[:3])
        groups.setdefault((column, each.what, each.before, each.now), []).append(each.cell)
    changed = [Change(*key, tuple(sorted(cells))) for key, cells in groups.items()]
    return sorted(changed, key=lambda change: (change.what, -len(change.cells), change.column))


def of_rows(before: Sequence[Divergence], now: Sequence[Divergence]) -> list[Change]:
    """The divergences that are new, are gone, or in which an engine gives another answer."""
    sides = [{row["id"]: answers(row) for row in rows} for rows in (before, now)]
    found = []
    for row in sorted(sides[0].keys() | sides[1].keys()):
        was, is_now = (side.get(row, {}) for side in sides)
        for engine in dict.fromkeys((*was, *is_now)):
            old, new = (side.get(engine, "equal") for side in (was, is_now))
            if old != new:
                found.append(Change(engine, "divergence", old, new, (row,)))
    return found


def answers(row: Divergence) -> dict[str, str]:
    """The answer of each engine that departs, to six digits, and its status."""
    departing = {engine: status for engine, status in row["status"].items() if status not in ("equal", "not there")}
    return {engine: f"{six_digits(row['engines'][engine])} ({status})" for engine, status in departing.items()}


def times(before: Times | None, now: Times | None) -> list[Time]:
    """The seconds of each engine that both campaigns have."""
    old, new = (side["seconds"] if side else {} for side in (before, now))
    return [Time(engine, sum(old[engine].values()), sum(new[engine].values())) for engine in old if engine in new]


def sentence(comparison: Comparison) -> str:
    """The numbers of changes in one line."""
    cells = len({cell for change in comparison.cells for cell in change.cells})
    return (
        f"{comparison.compared:,} cells are in both; changed: {counted(cells, 'cell')}, "
        f"{counted(len(comparison.divergences), 'divergence')}, {counted(len(comparison.environment), 'setting')}."
    )


# --- as tables


class Part(NamedTuple):
    """A part of a comparison as a table of texts."""

    title: str
    headings: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


def tables(comparison: Comparison) -> list[Part]:
    """The parts in which something changed, and the times."""
    sides = ("before", "now")
    parts = [
        Part("Environment", ("setting", *sides), comparison.environment),
        Part(
            "Cells",
            ("engine and dtype", "what", *sides, "count", "cells"),
            [(c.column, c.what, c.before, c.now, f"{len(c.cells):,}", c.named) for c in comparison.cells],
        ),
        Part(
            "Divergences",
            ("engine", "at", *sides),
            [(c.column, c.cells[0], c.before, c.now) for c in comparison.divergences],
        ),
        Part(
            "Seconds",
            ("engine", *sides, "now/before"),
            [
                (t.engine, f"{t.before:.1f}", f"{t.now:.1f}", "–" if t.ratio is None else f"{t.ratio:.2f}")
                for t in comparison.times
            ],
        ),
    ]
    return [part for part in parts if part.rows]


def terminal(comparison: Comparison) -> list[Table]:
    """The tables for a terminal."""
    printed = []
    for title, headings, rows in tables(comparison):
        table = Table(title=title, box=box.SIMPLE, padding=(0, 1, 0, 0), show_edge=False, title_justify="left")
        for i, heading in enumerate(headings):
            table.add_column(heading, overflow="fold", no_wrap=i == 0 and "cells" in headings)
        for row in rows:
            table.add_row(*map(escape, row))
        printed.append(table)
    return printed


def markdown(comparison: Comparison) -> str:
    """The comparison for a pull request."""
    lines = ["### backprop-parity: what changed", "", sentence(comparison)]
    for title, headings, rows in tables(comparison):
        lines += ["", f"#### {title}", "", *markdown_table(headings, rows)]
    return "\n".join(lines) + "\n"


def html(comparison: Comparison) -> str:
    """The comparison as a page of its own."""
    return (
        pages(Path(__file__).parent)
        .get_template("compare.html.j2")
        .render(sentence=sentence(comparison), tables=tables(comparison))
    )
