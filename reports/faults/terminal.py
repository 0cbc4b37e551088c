"""The measurements of seeded faults in a terminal."""

from rich.markup import escape
from rich.table import Table

from adapters.faults.fault import CONVERGED, INITIAL
from reports.faults.limits import ELEMENTS
from reports.faults.summary import Checker, HonestCases, Matrix, Summary, share
from reports.results.fault_records import SmallestRow
from reports.results.files import number
from reports.text.tables import grid
from reports.text.wording import counted, ratio_text, size_text

SHORT = {INITIAL: "initial", CONVERGED: "trained"}
"""The heads of columns too narrow for a stage's name."""


def tables(summary: Summary) -> list[Table]:
    """The matrix by engine, format and stage; the checkers; the limits; the honest cases: those that were measured."""
    return [
        *([] if summary.matrix is None else [matrix_table(summary.matrix)]),
        *([] if summary.checkers is None else [checkers_table(summary.checkers)]),
        *([] if summary.limits is None else [limits_table(summary.limits)]),
        *([] if summary.honest is None else [honest_table(summary.honest)]),
    ]


def matrix_table(matrix: Matrix) -> Table:
    """A row for each engine, format and stage: draws killed of those that exceed the precision; of all; localised."""
    table = grid(
        f"kill matrix: draws of {counted(matrix.faults, 'fault')}",
        ("engine", "dtype", "stage"),
        ("killed,\nbeyond u", "killed,\nof all", "local-\nised", "below\nu", "missed"),
        "beyond u: faults that exceed the precision; below u: indistinguishable",
    )
    for (engine, dtype, stage), t in matrix.by_column.items():
        killed = f"{t.claimed_killed:,}/{t.claimed:,}", f"{t.killed:,}/{t.draws:,}", share(t.localised, t.killed)
        style = "bold red" if t.missed or t.claimed != t.claimed_killed else None
        others = f"{t.indistinguishable:,}", f"{t.missed:,}"
        table.add_row(engine, dtype, SHORT.get(stage, stage), *killed, *others, style=style)
    return table


def checkers_table(checkers: tuple[Checker, ...]) -> Table:
    """A row a checker: faults killed in every draw, and share of the draws, a stage; false alarms; milliseconds."""
    stages = checkers[0].killed if checkers else ()
    columns = [f"{word}\n{SHORT.get(stage, stage)}" for stage in stages for word in ("faults", "draws")]
    table = grid("the same faults through other checkers", ("rule",), (*columns, "false\nalarms", "ms"))
    for checker in checkers:
        numbers: list[str] = []
        for killed in checker.killed.values():
            numbers += [f"{killed['faults']}/{killed['of']}", share(killed["draws"], killed["of_draws"])]
        table.add_row(
            escape(checker.rule),
            *numbers,
            f"{checker.refused}/{checker.honest}",
            milliseconds_text(checker.milliseconds),
            style="bold red" if checker.ours and not checker.flawless else "bold" if checker.ours else None,
        )
    return table


def milliseconds_text(time: float) -> str:
    """Two digits, or one where the column has no room for more: 63, 0.39, 0.004."""
    return size_text(float(f"{time:.2g}" if time >= 0.01 else f"{time:.1g}"))


def limits_table(limits: dict[str, dict[str, SmallestRow]]) -> Table:
    """A row an equation: the smallest fault that is flagged in 95 % of the draws, in one element and in all."""
    dtypes = list(dict.fromkeys(dtype for rows in limits.values() for dtype in rows))
    table = grid(
        "smallest relative fault flagged in 95 % of the draws, in u",
        ("equation",),
        [f"{'' if i else dtype}\n{elements}" for dtype in dtypes for i, elements in enumerate(ELEMENTS)],
        "one, all: elements changed; a smaller change is indistinguishable",
    )
    for name, rows in limits.items():
        sizes = (sizes for d in dtypes for sizes in ((rows[d]["one"], rows[d]["all"]) if d in rows else (None, None)))
        table.add_row(name, *("" if each is None else size_text(number(each["in_u"])) for each in sizes))
    return table


def honest_table(honest: dict[tuple[str, str], HonestCases]) -> Table:
    """A row for each engine and format: honest cases, numbers compared, the worst ratio and its equation, alarms."""
    table = grid("honest engines", ("engine", "dtype"), ("cases", "numbers", "worst", "in", "alarms"))
    for (engine, dtype), cases in honest.items():
        table.add_row(
            engine,
            dtype,
            f"{cases.cases:,}",
            f"{cases.numbers:,}",
            ratio_text(cases.worst),
            f"({cases.equation})" if cases.equation else "–",
            f"{cases.alarms:,}",
            style="bold red" if cases.alarms or not cases.numbers else None,
        )
    return table
