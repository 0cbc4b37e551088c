"""How each cell and training run stands; none is taken at its word."""

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from reports.results.files import number
from reports.results.records import Cell, FindingRecord, ItemRecord, TrainingRun
from reports.results.schema import Results
from reports.results.verdicts import Verdict

Column = tuple[str, str]
"""Engine and dtype."""


class Check(NamedTuple):
    """One equation in one cell: the worst ratio of its layers and Cases, its layer, how many numbers were compared."""

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

    record: Cell | TrainingRun
    checks: dict[str, Check]
    stands: Verdict
    training: bool

    @property
    def column(self) -> Column:
        """Engine and dtype."""
        return self.record["engine"], self.record["dtype"]

    def finding(self) -> FindingRecord | None:
        """The first finding that does not hold; without one, the first check that does not, as a finding."""
        for finding in self.record["findings"]:
            if not check_of(finding).holds:
                return finding
        for equation, check in self.checks.items():
            if not check.holds:
                return {
                    "equation": equation,
                    "layer": check.layer,
                    "ratio": check.ratio,
                    "elements": check.elements,
                    "worst": None,
                }
        return None


def items(results: Results) -> list[Item]:
    """Every cell, then every training run, and how each stands, whatever it says itself."""
    listed = {str(row["id"]) for row in results.get("divergences") or []}
    cells = [item(record, listed, training=False) for record in results["cells"]]
    return [*cells, *(item(record, listed, training=True) for record in results["training"])]


def item(record: Cell | TrainingRun, listed: Collection[str], training: bool) -> Item:
    """A cell or training run beside the ids of the divergences that are listed."""
    of_record = checks(record)
    return Item(record, of_record, standing(record, of_record, listed), training)


def checks(record: ItemRecord) -> dict[str, Check]:
    """The checks of a cell by equation; a finding that does not hold counts, whatever `checked` says."""
    by_equation = {
        equation: Check(number(ratio), int(layer), int(elements))
        for equation, (ratio, layer, elements) in record["checked"].items()
    }
    for finding in record["findings"]:
        equation, check = str(finding["equation"]), check_of(finding)
        if not check.holds and (equation not in by_equation or by_equation[equation].holds):
            by_equation[equation] = check
    return by_equation


def check_of(finding: FindingRecord) -> Check:
    """A finding as a check."""
    return Check(number(finding["ratio"]), int(finding["layer"]), int(finding["elements"]))


def standing(record: ItemRecord, by_equation: dict[str, Check], listed: Collection[str]) -> Verdict:
    """How a cell stands. One that holds must have checks, and each must hold; only a listed row explains a break."""
    broken = not all(check.holds for check in by_equation.values())
    if record["verdict"] == Verdict.NOT_RUN and not broken:
        return Verdict.NOT_RUN
    if record["verdict"] == Verdict.HOLDS and by_equation and not broken:
        return Verdict.HOLDS
    explained = record["verdict"] == Verdict.BREAKS and record.get("explained") in listed
    return Verdict.EXPLAINED if explained else Verdict.BREAKS


def severity(ratio: float) -> float:
    """Sorts ratios, NaN above everything."""
    return math.inf if math.isnan(ratio) else min(ratio, 1e308)


def columns(items: Iterable[Item]) -> list[Column]:
    """Every (engine, dtype), engines in the order in which they appear."""
    pairs = list(dict.fromkeys(item.column for item in items))
    engines = list(dict.fromkeys(engine for engine, _ in pairs))
    return sorted(pairs, key=lambda pair: engines.index(pair[0]))


def worst_check(items: Sequence[Item]) -> tuple[str, Check] | None:
    """The worst check and its equation, but for those of breaks that a listed divergence explains."""
    counting = (
        (equation, check)
        for item in items
        for equation, check in item.checks.items()
        if check.holds or item.stands != Verdict.EXPLAINED
    )
    return max(counting, key=lambda pair: pair[1].rank, default=None)
