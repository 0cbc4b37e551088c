"""The times as the report shows them."""

import math
from dataclasses import dataclass
from typing import Any

from reports.campaign.standing import Record, Results
from reports.results.files import number

SPENT = ("compile", "engine", "audit", "experiments")
"""What the time of the cells goes to."""


@dataclass(frozen=True)
class Spent:
    """The seconds of the cells of one engine, by what they went to."""

    engine: str
    seconds: dict[str, float]

    @property
    def total(self) -> float:
        """All of them."""
        return sum(self.seconds.values())


@dataclass(frozen=True)
class Times:
    """How the time of the cells divides, the largest total, and what compilation would take if nothing were reused."""

    engines: list[Spent]
    kinds: list[str]
    largest: float
    workers: int
    compiled: float
    without_reuse: Record | None

    @property
    def total(self) -> float:
        """Of all engines."""
        return sum(spent.total for spent in self.engines)


def times(results: Results) -> Times | None:
    """None where the results do not tell."""
    told = results.get("times") or {}
    by_engine: dict[str, dict[str, Any]] = told.get("seconds") or {}
    if not by_engine:
        return None
    kinds = list(dict.fromkeys((*SPENT, *(kind for seconds in by_engine.values() for kind in seconds))))
    spent = [
        Spent(engine, {kind: _finite(seconds.get(kind)) for kind in kinds}) for engine, seconds in by_engine.items()
    ]
    compiled = sum(s.seconds["compile"] for s in spent)
    largest = max(s.total for s in spent)
    return Times(spent, kinds, largest, int(told.get("workers") or 1), compiled, told.get("without_reuse"))


def _finite(seconds: Any) -> float:
    """A number of seconds; 0 for what is none."""
    value = number(seconds)
    return max(value, 0.0) if math.isfinite(value) else 0.0
