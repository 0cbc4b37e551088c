"""Trajectories: every optimiser trained in every engine, runs on digits to draw, and long ones; in worker processes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from adapters import contract
from reports.divergences.training import KNOWN
from reports.results.records import Record
from reports.running.pool import in_turn, pool
from reports.trajectories.long_run import in_worker
from reports.trajectories.runs import DIGITS, SPREAD, run_unit, units

ENGINES = tuple(contract.ENGINES)
DTYPES = ("float32", "float64")


class Request(NamedTuple):
    """What is asked for."""

    engines: tuple[str, ...]
    dtypes: tuple[str, ...]
    steps: int
    epochs: int
    long: int
    seed: int
    workers: int


def measure(request: Request, folder: Path, progress: Callable[[int, int, str], None]) -> Record:
    """The spread, the runs on digits that are drawn, the long runs; `progress` is told what is done, of how much."""
    asked = [
        units(part, n, request.engines, "cpu", request.dtypes, request.seed)
        for part, n in ((SPREAD, request.steps), (DIGITS, request.epochs))
    ]
    far = request.engines if request.long else ()
    done, total = 0, sum(map(len, asked)) + len(far)

    def count(_: Any) -> None:
        nonlocal done
        done += 1
        progress(done, total, "training")

    with pool(request.workers) as executor:
        futures = [[executor.submit(run_unit, unit) for unit in of] for of in asked]
        alone = [
            executor.submit(in_worker, e, "cpu", request.dtypes[0], request.long, request.seed, folder) for e in far
        ]
        by_unit = in_turn([*(future for of in futures for future in of), *alone], count)
    ends = len(asked[0]), len(asked[0]) + len(asked[1])
    many = [brief(record) for records in by_unit[: ends[0]] for record in records]
    drawn = [record for records in by_unit[ends[0] : ends[1]] for record in records]
    return {
        "request": request._asdict(),
        "spread": many,
        "digits": drawn,
        "long": by_unit[ends[1] :],
        "known": [{"name": known.name, "note": known.note, "reproducer": known.code} for known in KNOWN],
    }


def brief(record: Record) -> Record:
    """A run of the spread as it stands in results.json: where its curves end, without predictions."""
    ends = {name: values[-1] if values else None for name, values in record.pop("curves").items()}
    where = record["free"] and {name: value for name, value in record["free"].items() if name != "envelope"}
    kept = ("loss", "accuracy", "precision", "recall", "f1")
    scored = {of: {n: v for n, v in found.items() if n in kept} for of, found in record["scores"].items()}
    return {**record, "free": where, "last": ends, "scores": scored}
