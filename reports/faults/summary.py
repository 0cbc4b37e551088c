"""What the measurements of seeded faults say: the share killed and localised, the misses, the verdict."""

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from reference.rounding import DTYPES
from reports.faults.limits import MEASURED
from reports.results.files import number
from reports.text.places import place_text
from reports.text.wording import clipped, counted, listing, ratio_text

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


def by_equation(rows: Sequence[Record]) -> dict[str, dict[str, Record]]:
    """What was measured of each equation, by dtype, in the order of the computation: (9), (9) of softmax."""
    found: dict[str, dict[str, Record]] = {}
    for row in sorted(rows, key=lambda row: MEASURED.index(row["equation"])):
        output = row["network"].split(",")[0].split(" → ")[-1]
        place = "" if row["network"] == rows[0]["network"] else f" of {output}"
        found.setdefault(f"({row['equation']}){place}", {})[row["dtype"]] = row
    return found


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


def alarms(proof: Record) -> list[Record]:
    """Every false alarm."""
    return list(proof.get("alarms", {}).get("alarms", []))


def alarm_text(alarm: Record) -> str:
    """(14) in layer 2, 1.7 times what is allowed; or why there is no finding."""
    if alarm["equation"] is None:
        return clipped(alarm.get("reason"))
    ratio = ratio_text(number(alarm["ratio"]))
    return f"{place_text(alarm['equation'], alarm['layer'])}, {ratio} times what is allowed"


def where(cell: Record) -> str:
    """numpy, float32, at initialisation."""
    return f"{cell['engine']}, {cell['dtype']}, {cell['stage']}"
