"""How each cell and training run stands; none is taken at its word."""

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from reports.results.files import number
from reports.results.verdicts import BREAKS, EXPLAINED, HOLDS, NOT_RUN

Record = dict[str, Any]
Results = Mapping[str, Any]
Column = tuple[str, str]
"""Engine and dtype."""


# --- how a cell stands


class Check(NamedTuple):
    """One equation in one cell: the worst ratio of its layers and cases, its layer, how many numbers were compared."""

    ratio: float
    layer: int
    elements: int

    @property
    def holds(self) -> bool:
        """Whether something was compared and nothing exceeds its allowance; a NaN is never within."""
        return self.elements > 0 and self.ratio <= 1

    @property
    def rank(self) -> tuple[bool, float]:
        """Sorts checks: one that does not hold above every one that does, then by ratio."""
        return not self.holds, severity(self.ratio)


@dataclass(frozen=True, slots=True)
class Item:
    """A cell or training run, its checks by equation in the order of the computation, and how it stands."""

    record: Record
    checks: dict[str, Check]
    stands: str
    training: bool

    @property
    def column(self) -> Column:
        """Engine and dtype."""
        return self.record["engine"], self.record["dtype"]

    def finding(self) -> Record | None:
        """The first finding that does not hold; without one, the first check that does not, as a finding."""
        for finding in self.record["findings"]:
            if not _check(finding).holds:
                return dict(finding)
        for equation, check in self.checks.items():
            if not check.holds:
                return {"equation": equation, **check._asdict(), "worst": None}
        return None


def items(results: Results) -> list[Item]:
    """Every cell, then every training run; none is taken at its word, that it holds or that something explains it."""
    listed = {str(row["id"]) for row in results.get("divergences") or []}
    return [
        Item(record, found, standing(record, found, listed), training)
        for key, training in (("cells", False), ("training", True))
        for record in results[key]
        for found in [checks(record)]
    ]


def checks(record: Mapping[str, Any]) -> dict[str, Check]:
    """What was checked in a cell; where a finding does not hold, it counts, whatever `checked` says."""
    found = {
        equation: Check(number(ratio), int(layer), int(elements))
        for equation, (ratio, layer, elements) in record["checked"].items()
    }
    for finding in record["findings"]:
        equation, check = str(finding["equation"]), _check(finding)
        if not check.holds and (equation not in found or found[equation].holds):
            found[equation] = check
    return found


def _check(finding: Record) -> Check:
    return Check(number(finding["ratio"]), int(finding["layer"]), int(finding["elements"]))


def standing(record: Record, found: dict[str, Check], listed: Collection[str]) -> str:
    """How a cell stands. One that holds must have checks, and each must hold; only a listed row explains a break."""
    broken = not all(check.holds for check in found.values())
    if record["verdict"] == NOT_RUN and not broken:
        return NOT_RUN
    if record["verdict"] == HOLDS and found and not broken:
        return HOLDS
    return EXPLAINED if record["verdict"] == BREAKS and record.get("explained") in listed else BREAKS


def severity(ratio: float) -> float:
    """Sorts ratios, NaN above everything."""
    return math.inf if math.isnan(ratio) else min(ratio, 1e308)


def columns(found: Iterable[Item]) -> list[Column]:
    """Every (engine, dtype), engines in the order in which they appear."""
    pairs = list(dict.fromkeys(item.column for item in found))
    engines = list(dict.fromkeys(engine for engine, _ in pairs))
    return sorted(pairs, key=lambda pair: engines.index(pair[0]))
