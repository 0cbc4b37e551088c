"""What the measurements of seeded faults say: the share killed and localised, the misses, the verdict."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from rich import box
from rich.table import Table

from reports.results import number
from reports.words import counted, listing

Record = dict[str, Any]

LOCALISED = 0.97
"""The least share of the killed draws whose first finding names the equation and the layer."""


class Tally(NamedTuple):
    """Draws of some cells of the kill matrix: of faults that exceed the precision, and of all."""

    claimed: int
    claimed_killed: int
    draws: int
    killed: int
    localised: int
    missed: int
    indistinguishable: int

    @property
    def holds(self) -> bool:
        """Whether something was claimed, all of that was killed, nothing was missed, and enough was localised."""
        return (
            0 < self.claimed == self.claimed_killed and self.missed == 0 and self.localised >= LOCALISED * self.killed
        )


def tally(cells: Iterable[Record]) -> Tally:
    """The sums over cells."""
    cells = list(cells)
    claimed = [cell for cell in cells if cell["claimed"]]
    return Tally(
        sum(cell["draws"] for cell in claimed),
        sum(cell["killed"] for cell in claimed),
        *(sum(cell[key] for cell in cells) for key in ("draws", "killed", "localised", "missed", "indistinguishable")),
    )


def by(cells: Iterable[Record], *keys: str) -> dict[tuple[str, ...], Tally]:
    """The sums by some fields of the cells, in the order in which they appear."""
    groups: dict[tuple[str, ...], list[Record]] = {}
    for cell in cells:
        groups.setdefault(tuple(cell[key] for key in keys), []).append(cell)
    return {key: tally(group) for key, group in groups.items()}


def holds(proof: Record) -> bool:
    """Whether what was measured is what is claimed: every part that was, and at least one."""
    parts = []
    if "matrix" in proof:
        parts.append(all(t.holds for t in by(proof["matrix"], "engine").values()) and tally(proof["matrix"]).holds)
    if "alarms" in proof:
        parts.append(proof["alarms"]["cases"] > 0 and not proof["alarms"]["alarms"])
    parts += [bool(proof[key]) for key in ("beside", "smallest") if key in proof]
    return bool(parts) and all(parts)


def sentence(proof: Record) -> str:
    """The verdict in a sentence or two."""
    parts = []
    if "matrix" in proof:
        cells = proof["matrix"]
        found, engines = tally(cells), listing(list(dict.fromkeys(cell["engine"] for cell in cells)))
        share = f"{found.claimed_killed:,} of {found.claimed:,} draws of {counted(faults(cells), 'seeded fault')}"
        localised = f"{100 * found.localised / found.killed:.1f} %" if found.killed else "none"
        parts.append(
            f"{share} that exceed the precision are killed in {engines}, {localised} of what is killed is localised"
        )
    if "alarms" in proof:
        said = proof["alarms"]
        parts.append(f"{counted(len(said['alarms']), 'false alarm')} in {counted(said['cases'], 'honest case')}")
    return f"{'; '.join(parts)}." if parts else "No verdict on seeded faults: neither matrix nor alarms were measured."


def faults(cells: Iterable[Record]) -> int:
    """How many faults there are."""
    return len({cell["fault"] for cell in cells})


def missed(cells: Iterable[Record]) -> list[Record]:
    """The cells with a miss."""
    return [cell for cell in cells if cell["missed"]]


def elsewhere(cells: Iterable[Record]) -> list[Record]:
    """The cells with a draw whose first finding names another place."""
    return [cell for cell in cells if cell["elsewhere"]]


# --- the terminal


def tables(proof: Record) -> list[Table]:
    """What a person sees: the matrix by engine, format and stage; the checkers; the false alarms by kind."""
    found = []
    if "matrix" in proof:
        found.append(matrix_table(proof["matrix"]))
    if "beside" in proof:
        found.append(beside_table(proof["beside"]))
    if "alarms" in proof:
        found.append(alarms_table(proof["alarms"]["by"]))
    return found


def grid(title: str, words: Sequence[str], numbers: Sequence[str]) -> Table:
    """A table whose last columns are numbers."""
    table = Table(title=title, title_style="dim", box=box.SIMPLE, padding=(0, 1))
    for word in words:
        table.add_column(word, no_wrap=True)
    for heading in numbers:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def matrix_table(cells: Sequence[Record]) -> Table:
    """Draws killed of those that exceed the precision, of all, localised, indistinguishable, missed."""
    table = grid(
        f"kill matrix: {counted(faults(cells), 'fault')}",
        ("engine", "dtype", "stage"),
        ("exceed", "killed", "draws", "killed", "localised", "below", "missed"),
    )
    for (engine, dtype, stage), t in by(cells, "engine", "dtype", "stage").items():
        numbers = (t.claimed, t.claimed_killed, t.draws, t.killed, t.localised, t.indistinguishable, t.missed)
        bad = t.missed or t.claimed != t.claimed_killed
        table.add_row(engine, dtype, stage, *(f"{n:,}" for n in numbers), style="bold red" if bad else None)
    return table


def beside_table(rows: Sequence[Record]) -> Table:
    """Faults killed in every draw, share of the draws, false alarms, milliseconds."""
    stages = list(rows[0]["killed"]) if rows else []
    columns = [f"{word} {stage.split()[-1]}" for stage in stages for word in ("faults", "draws", "alarms")]
    table = grid("the same faults, float32", ("rule",), (*columns, "ms"))
    for row in rows:
        numbers: list[str] = []
        for stage in stages:
            killed, alarms = row["killed"][stage], row["false_alarms"][stage]
            numbers += [
                f"{killed['faults']}/{killed['of']}",
                percent(killed["draws"], killed["of_draws"]),
                f"{alarms['draws']}/{alarms['of_draws']}",
            ]
        table.add_row(row["rule"], *numbers, f"{number(row['milliseconds']):.2g}")
    return table


def alarms_table(rows: Sequence[Record]) -> Table:
    """Honest cases by engine and kind of draw: numbers compared, the worst ratio, alarms."""
    table = grid("honest engines", ("engine", "dtype", "kind"), ("cases", "numbers", "worst", "in", "alarms"))
    for row in rows:
        table.add_row(
            row["engine"],
            row["dtype"],
            row["kind"],
            f"{row['cases']:,}",
            f"{row['numbers']:,}",
            f"{number(row['worst']):.3g}",
            str(row["equation"]),
            f"{row['alarms']:,}",
            style="bold red" if row["alarms"] else None,
        )
    return table


def percent(n: int, of: int) -> str:
    """A share in whole per cent, which is 100 only for all of them."""
    return f"{min(99, round(100 * n / of)) if n < of else 100}%" if of else "–"


def lines(proof: Record) -> list[str]:
    """A line for each miss, each fault localised elsewhere, and each false alarm."""
    said = [
        f"missed: {cell['fault']} in {where(cell)}: {counted(cell['missed'], 'draw')} of {cell['draws']}, "
        f"seeds {listing([str(miss['seed']) for miss in cell['misses']])}"
        for cell in missed(proof.get("matrix", []))
    ]
    said += [
        f"localised elsewhere: {cell['fault']} in {where(cell)}, seed {draw['seed']}: "
        f"({draw['found'][0]}) in layer {draw['found'][1]}"
        for cell in elsewhere(proof.get("matrix", []))
        for draw in cell["elsewhere"]
    ]
    for alarm in proof.get("alarms", {}).get("alarms", []):
        said.append(
            f"false alarm: ({alarm['equation']}) in layer {alarm['layer']}, {number(alarm['ratio']):.3g} times what is "
            f"allowed; see {alarm['replay']}"
        )
    return said


def where(cell: Record) -> str:
    """numpy, float32, at initialisation."""
    return f"{cell['engine']}, {cell['dtype']}, {cell['stage']}"
