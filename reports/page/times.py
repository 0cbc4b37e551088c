"""The times as the report shows them."""

import math
from dataclasses import dataclass
from typing import Any

from reports.campaign.times import PARTS
from reports.results.files import number
from reports.results.records import WithoutReuse
from reports.results.schema import Results


@dataclass(frozen=True)
class EngineTime:
    """The seconds of the cells of one engine, by what they went to."""

    engine: str
    seconds: dict[str, float]

    @property
    def total(self) -> float:
        """All of them."""
        return sum(self.seconds.values())


@dataclass(frozen=True)
class TimeChapter:
    """How the time of the cells divides, the largest total, and what compilation would take if nothing were reused."""

    engines: list[EngineTime]
    kinds: list[str]
    largest: float
    workers: int
    compiled: float
    without_reuse: WithoutReuse | None

    @property
    def total(self) -> float:
        """The seconds of all engines."""
        return sum(engine.total for engine in self.engines)


def times(results: Results) -> TimeChapter | None:
    """How the time divides; None where the results have no times."""
    measured = results.get("times")
    if not measured or not measured.get("seconds"):
        return None
    by_engine = measured["seconds"]
    kinds = list(dict.fromkeys((*PARTS, *(kind for seconds in by_engine.values() for kind in seconds))))
    engines = [
        EngineTime(engine, {kind: _finite(seconds.get(kind)) for kind in kinds})
        for engine, seconds in by_engine.items()
    ]
    compiled = sum(engine.seconds["compile"] for engine in engines)
    largest = max(engine.total for engine in engines)
    return TimeChapter(
        engines, kinds, largest, int(measured.get("workers") or 1), compiled, measured.get("without_reuse")
    )


def _finite(seconds: Any) -> float:
    """A number of seconds; 0 for what is not one."""
    value = number(seconds)
    return max(value, 0.0) if math.isfinite(value) else 0.0
