"""What the measurements of seeded faults say: the share killed and localised, the misses, the verdict."""

import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from rich import box
from rich.markup import escape
from rich.table import Table

from adapters.faults.fault import CONVERGED, INITIAL
from reference.rounding import DTYPES
from reports.results import number
from reports.smallest import FAULTS, MEASURED, size_text
from reports.words import clipped, counted, listing, ratio_text

Record = dict[str, Any]

LOCALISED = 0.97
"""The least share of the killed draws whose first finding names the equation and the layer."""

AUDIT = "audit"
"""The rule that is this suite's own, among the checkers."""


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
        parts.append(tally(proof["matrix"]).holds and not short_of(proof["matrix"]))
    if "alarms" in proof:
        said = proof["alarms"]
        parts.append(said["cases"] > 0 and not said["alarms"] and not silent(said))
    if "beside" in proof:
        parts.append(any(map(flawless, proof["beside"])))
    if "smallest" in proof:
        parts.append(bool(proof["smallest"]))
    return bool(parts) and all(parts)


def decided(proof: Record) -> bool:
    """Whether a part was measured that a verdict can be given on."""
    return "matrix" in proof or "alarms" in proof


def short_of(cells: Iterable[Record]) -> dict[str, Tally]:
    """The engines in which not enough is killed or localised."""
    return {engine: found for (engine,), found in by(cells, "engine").items() if not found.holds}


def silent(said: Record) -> list[str]:
    """The engines and formats in which nothing was compared, though it was tried."""
    if not said["by"]:
        return ["any engine"]
    return [f"{engine} {dtype}" for (engine, dtype), found in audited(said).items() if not found.numbers]


def flawless(row: Record) -> bool:
    """Whether a row is the audit's, and it kills every fault in every draw and refuses nothing honest."""
    killed, refused = row["killed"].values(), row["false_alarms"].values()
    caught = bool(killed) and all(0 < stage["draws"] == stage["of_draws"] for stage in killed)
    quiet = bool(refused) and all(0 == stage["draws"] < stage["of_draws"] for stage in refused)
    return row["rule"] == AUDIT and caught and quiet


def sentence(proof: Record) -> str:
    """The verdict in a sentence or two."""
    parts = []
    if "matrix" in proof:
        cells = proof["matrix"]
        found, engines = tally(cells), listing(list(dict.fromkeys(cell["engine"] for cell in cells)))
        killed = f"{found.claimed_killed:,} of {found.claimed:,} draws of {counted(faults(cells), 'seeded fault')}"
        parts.append(
            f"{killed} that exceed the precision are killed in {engines or 'no engine'}, "
            f"{share(found.localised, found.killed)} of what is killed is localised"
        )
        if found.missed:
            parts.append(f"{counted(found.missed, 'draw')} missed")
        if short := [engine for engine, t in short_of(cells).items() if not t.missed]:
            parts.append(f"not enough is killed or localised in {listing(short)}")
    if "alarms" in proof:
        said = proof["alarms"]
        parts.append(f"{counted(len(said['alarms']), 'false alarm')} in {counted(said['cases'], 'honest case')}")
        if idle := silent(said):
            parts.append(f"nothing was compared in {listing(idle)}")
    if "beside" in proof and not any(map(flawless, proof["beside"])):
        parts.append("beside other checkers, the audit misses a fault or refuses an honest engine")
    if "smallest" in proof and not proof["smallest"]:
        parts.append("no smallest fault was measured")
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


def share(n: int, of: int) -> str:
    """A share in per cent, rounded down: 100 % only for all of them, and 0 % only for none."""
    if not of:
        return "none"
    return "<0.1 %" if 0 < 1000 * n < of else f"{1000 * n // of / 10:g} %"


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


def grid(title: str, words: Sequence[str], numbers: Sequence[str], caption: str | None = None) -> Table:
    """A table whose last columns are numbers."""
    table = Table(
        title=title,
        title_style="dim",
        caption=caption,
        caption_style="dim",
        box=box.SIMPLE,
        padding=(0, 0),
    )
    for word in words:
        table.add_column(word, no_wrap=True, vertical="bottom")
    for heading in numbers:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


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
        [f"{'' if i else dtype}\n{fault}" for dtype in dtypes for i, fault in enumerate(FAULTS)],
        "one, all: elements changed; a smaller change is indistinguishable",
    )
    for name, sizes in by_equation(rows).items():
        texts = (size_text(number(sizes[d][fault]["in_u"])) if d in sizes else "" for d in dtypes for fault in FAULTS)
        table.add_row(name, *texts)
    return table


def by_equation(rows: Sequence[Record]) -> dict[str, dict[str, Record]]:
    """What was measured of each equation, by dtype, in the order of the computation: (9), (9) of softmax."""
    found: dict[str, dict[str, Record]] = {}
    for row in sorted(rows, key=lambda row: MEASURED.index(row["equation"])):
        output = row["network"].split(",")[0].split(" → ")[-1]
        place = "" if row["network"] == rows[0]["network"] else f" of {output}"
        found.setdefault(f"({row['equation']}){place}", {})[row["dtype"]] = row
    return found


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


class Audited(NamedTuple):
    """Honest cases of an engine and format: how many, numbers compared, the worst ratio and its equation, alarms."""

    cases: int
    numbers: int
    worst: float
    equation: str | None
    alarms: int


def audited(said: Record) -> dict[tuple[str, str], Audited]:
    """The honest cases of all kinds, by engine and format."""
    groups: dict[tuple[str, str], list[Record]] = {}
    engines = list(dict.fromkeys(row["engine"] for row in said["by"]))
    for row in sorted(said["by"], key=lambda row: (engines.index(row["engine"]), DTYPES.index(row["dtype"]))):
        groups.setdefault((row["engine"], row["dtype"]), []).append(row)
    return {column: together(rows) for column, rows in groups.items()}


def together(rows: Sequence[Record]) -> Audited:
    """The sums of some rows, and the worst of them."""
    worst = max(rows, key=lambda row: (math.isnan(number(row["worst"])), number(row["worst"])))
    cases, numbers, alarms = (sum(row[key] for row in rows) for key in ("cases", "numbers", "alarms"))
    return Audited(cases, numbers, number(worst["worst"]), worst["equation"], alarms)


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


def alarms(proof: Record) -> list[Record]:
    """Every false alarm."""
    return list(proof.get("alarms", {}).get("alarms", []))


def alarm_text(alarm: Record) -> str:
    """(14) in layer 2, 1.7 times what is allowed; or why there is no finding."""
    if alarm["equation"] is None:
        return clipped(alarm.get("reason"))
    ratio = ratio_text(number(alarm["ratio"]))
    return f"{place_text(alarm['equation'], alarm['layer'])}, {ratio} times what is allowed"


def place_text(equation: str, layer: int) -> str:
    """(14) in layer 2; a line of an optimiser has a name, and no number."""
    return f"{f'({equation})' if re.fullmatch('[0-9]+[ab]?|[az]', equation) else equation} in layer {layer}"


def where(cell: Record) -> str:
    """numpy, float32, at initialisation."""
    return f"{cell['engine']}, {cell['dtype']}, {cell['stage']}"
