"""The measurements of seeded faults in a terminal."""

from collections.abc import Callable, Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table

from adapters.faults.fault import CONVERGED, INITIAL
from reports.faults.limits import ELEMENTS
from reports.faults.summary import (
    AUDIT,
    LOCALISED,
    Record,
    alarm_text,
    alarms,
    audited,
    by,
    by_equation,
    elsewhere,
    faults,
    flawless,
    missed,
    share,
    short_of,
    where,
)
from reports.results.files import number
from reports.text.places import place_text
from reports.text.tables import grid
from reports.text.wording import counted, listing, ratio_text, size_text

# --- the terminal

SHORT = {INITIAL: "initial", CONVERGED: "trained"}
"""The heads of columns too narrow for a stage's name."""


def tables(proof: Record) -> list[Table]:
    """What a person sees: the matrix by engine, format and stage; the checkers; the limits; the false alarms."""
    made: dict[str, Callable[[Any], Table]] = {
        "matrix": matrix_table,
        "beside": beside_table,
        "smallest": smallest_table,
        "alarms": alarms_table,
    }
    return [table(proof[part]) for part, table in made.items() if part in proof]


def matrix_table(cells: Sequence[Record]) -> Table:
    """A row for each engine, format and stage: draws killed of those that exceed the precision; of all; localised."""
    table = grid(
        f"kill matrix: draws of {counted(faults(cells), 'fault')}",
        ("engine", "dtype", "stage"),
        ("killed,\nbeyond u", "killed,\nof all", "local-\nised", "below\nu", "missed"),
        "beyond u: faults that exceed the precision; below u: indistinguishable",
    )
    for (engine, dtype, stage), t in by(cells, "engine", "dtype", "stage").items():
        killed = f"{t.claimed_killed:,}/{t.claimed:,}", f"{t.killed:,}/{t.draws:,}", share(t.localised, t.killed)
        style = "bold red" if t.missed or t.claimed != t.claimed_killed else None
        others = f"{t.indistinguishable:,}", f"{t.missed:,}"
        table.add_row(engine, dtype, SHORT.get(stage, stage), *killed, *others, style=style)
    return table


def beside_table(rows: Sequence[Record]) -> Table:
    """A row a checker: faults killed in every draw, and share of the draws, a stage; false alarms; milliseconds."""
    stages = list(rows[0]["killed"]) if rows else []
    columns = [f"{word}\n{SHORT.get(stage, stage)}" for stage in stages for word in ("faults", "draws")]
    table = grid("the same faults through other checkers", ("rule",), (*columns, "false\nalarms", "ms"))
    for row in rows:
        numbers: list[str] = []
        for killed in row["killed"].values():
            numbers += [f"{killed['faults']}/{killed['of']}", share(killed["draws"], killed["of_draws"])]
        refused, of = (sum(said[key] for said in row["false_alarms"].values()) for key in ("draws", "of_draws"))
        bad = row["rule"] == AUDIT and not flawless(row)
        table.add_row(
            escape(row["rule"]),
            *numbers,
            f"{refused}/{of}",
            milliseconds_text(number(row["milliseconds"])),
            style="bold red" if bad else "bold" if row["rule"] == AUDIT else None,
        )
    return table


def milliseconds_text(time: float) -> str:
    """Two digits, or one where the column has no room for more: 63, 0.39, 0.004."""
    return size_text(float(f"{time:.2g}" if time >= 0.01 else f"{time:.1g}"))


def smallest_table(rows: Sequence[Record]) -> Table:
    """A row an equation: the smallest fault that is flagged in 95 % of the draws, in one element and in all."""
    dtypes = list(dict.fromkeys(row["dtype"] for row in rows))
    table = grid(
        "smallest relative fault flagged in 95 % of the draws, in u",
        ("equation",),
        [f"{'' if i else dtype}\n{fault}" for dtype in dtypes for i, fault in enumerate(ELEMENTS)],
        "one, all: elements changed; a smaller change is indistinguishable",
    )
    for name, sizes in by_equation(rows).items():
        texts = (size_text(number(sizes[d][fault]["in_u"])) if d in sizes else "" for d in dtypes for fault in ELEMENTS)
        table.add_row(name, *texts)
    return table


def alarms_table(said: Record) -> Table:
    """A row for each engine and format: honest cases, numbers compared, the worst ratio and its equation, alarms."""
    table = grid("honest engines", ("engine", "dtype"), ("cases", "numbers", "worst", "in", "alarms"))
    for (engine, dtype), found in audited(said).items():
        table.add_row(
            engine,
            dtype,
            f"{found.cases:,}",
            f"{found.numbers:,}",
            ratio_text(found.worst),
            f"({found.equation})" if found.equation else "–",
            f"{found.alarms:,}",
            style="bold red" if found.alarms or not found.numbers else None,
        )
    return table


def lines(proof: Record) -> list[str]:
    """A line for each miss, each fault localised elsewhere, each engine that falls short, and each false alarm."""
    cells = proof.get("matrix", [])
    said = [
        f"missed: {cell['fault']} in {where(cell)}: {counted(cell['missed'], 'draw')} of {cell['draws']}, "
        f"seeds {listing([str(miss['seed']) for miss in cell['misses']])}"
        for cell in missed(cells)
    ]
    said += [
        f"localised elsewhere: {cell['fault']} in {where(cell)}, seed {draw['seed']}: {place_text(*draw['found'])}"
        for cell in elsewhere(cells)
        for draw in cell["elsewhere"]
    ]
    said += [
        f"{engine} falls short: {found.claimed_killed:,} of {found.claimed:,} draws killed, "
        f"{share(found.localised, found.killed)} localised, but should be all, and at least {100 * LOCALISED:g} %"
        for engine, found in short_of(cells).items()
    ]
    return said + [f"false alarm: {alarm_text(alarm)}; see {alarm['replay']}" for alarm in alarms(proof)]
