"""The accuracy of functions as the report shows it."""

import math
from dataclasses import dataclass

from reports.campaign.standing import severity
from reports.results.files import number
from reports.results.records import Accuracy
from reports.results.schema import Results


@dataclass(frozen=True)
class AccuracyRow:
    """How accurate a function is taken to be, k, and was measured to be, in roundings; the margin is k/measured."""

    record: Accuracy
    k: float
    measured: float
    ulp: float

    @property
    def holds(self) -> bool:
        """Whether the allowance covers what was measured."""
        return self.measured <= self.k

    @property
    def used(self) -> float:
        """The share of the allowance that the measured error takes."""
        return self.measured / self.k if self.k > 0 else 0.0 if self.measured == 0 else math.nan

    @property
    def margin(self) -> float:
        """k/measured; NaN for a function that rounds nothing."""
        return self.k / self.measured if self.measured > 0 else math.nan


def accuracy(results: Results) -> list[AccuracyRow]:
    """What exceeds its allowance first, then the least accurate."""
    rows = [
        AccuracyRow(record, number(record["k"]), number(record["measured"]), number(record.get("ulp")))
        for record in results.get("accuracy") or []
    ]
    return sorted(rows, key=lambda row: (row.holds, -severity(row.measured)))
