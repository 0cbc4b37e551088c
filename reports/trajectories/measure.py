"""The chapter on trajectories: the spread of optimisers, runs on digits to draw, and long runs; in worker processes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, cast

from adapters import contract
from reports.divergences.known import KNOWN_IN_TRAINING
from reports.results.trajectory_records import (
    DigitsRun,
    KnownRecord,
    LongRun,
    SpreadRun,
    Trajectories,
    TrajectoriesRequest,
)
from reports.running.workers import each
from reports.trajectories import long_run, runs
from reports.trajectories.runs import DIGITS, SPREAD, RunGroup, groups

ENGINES = tuple(contract.ENGINES)
DTYPES = ("float32", "float64")


class ChapterRequest(NamedTuple):
    """What is asked for."""

    engines: tuple[str, ...]
    dtypes: tuple[str, ...]
    steps: int
    epochs: int
    long: int
    seed: int
    workers: int


def measure(request: ChapterRequest, folder: Path, progress: Callable[[int, int, str], None]) -> Trajectories:
    """The chapter; `progress` gets the pieces of work that are done, their number, and what they are."""
    spread, digits = (
        groups(part, size, request.engines, "cpu", request.dtypes, request.seed)
        for part, size in ((SPREAD, request.steps), (DIGITS, request.epochs))
    )
    long = [
        long_run.LongRunRequest(engine, "cpu", request.dtypes[0], request.long, request.seed, folder)
        for engine in (request.engines if request.long else ())
    ]
    work = [*spread, *digits, *long]
    done = 0

    def count(_: Any) -> None:
        nonlocal done
        done += 1
        progress(done, len(work), "training")

    records = each(records_of, work, request.workers, count)
    of_spread, of_digits = records[: len(spread)], records[len(spread) : len(spread) + len(digits)]
    return {
        "request": cast(TrajectoriesRequest, request._asdict()),
        "spread": [brief(record) for of_group in of_spread for record in of_group],
        "digits": [record for of_group in of_digits for record in of_group],
        "long": [record for of_run in records[len(spread) + len(digits) :] for record in of_run],
        "known": known_records(),
    }


def records_of(asked: RunGroup | long_run.LongRunRequest) -> list[DigitsRun] | list[LongRun]:
    """The records of a piece of work."""
    return [long_run.record_of(asked)] if isinstance(asked, long_run.LongRunRequest) else runs.records_of(asked)


def known_records() -> list[KnownRecord]:
    """The known departures that may explain a run."""
    return [{"name": known.name, "note": known.note, "reproducer": known.code} for known in KNOWN_IN_TRAINING]


KEPT = ("loss", "accuracy", "precision", "recall", "f1")
"""The scores of a run of the spread."""


def brief(record: DigitsRun) -> SpreadRun:
    """A run of the spread as it stands in results.json: the ends of its curves, without predictions."""
    whole = {name: value for name, value in record.items() if name != "curves"}
    ends = {name: values[-1] if values else None for name, values in record["curves"].items()}
    free = record["free"] and {name: value for name, value in record["free"].items() if name != "envelope"}
    scores = {of: {n: v for n, v in scored.items() if n in KEPT} for of, scored in record["scores"].items()}
    return cast(SpreadRun, {**whole, "free": free, "last": ends, "scores": scores})
