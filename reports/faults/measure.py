"""Measures what the audit catches: seeded faults, beside other checkers, its false alarms and its limits."""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from pathlib import Path
from shutil import which
from typing import Any, NamedTuple

from adapters.faults.catalogue import FAULTS
from adapters.faults.networks import NETWORKS
from adapters.faults.updates import UPDATES
from reports.faults import checkers, false_alarms, kill_matrix, smallest_fault
from reports.running.pool import in_turn, pool

Record = dict[str, Any]

COMPILERS = ("c++", "g++", "clang++")
"""One of these is what torch.compile makes its programs with."""


class Request(NamedTuple):
    """What is asked for."""

    engines: tuple[str, ...]
    dtypes: tuple[str, ...]
    seeds: int
    cases: int
    seed: int
    parts: tuple[str, ...]
    workers: int


def measure(
    request: Request, folder: Path, progress: Callable[[int, int, str], None], tell: Callable[[str], None]
) -> Record:
    """All that is asked for, as it stands in results.json; `progress` is told what is done, of how much."""
    engines, idle = able(request.engines)
    for line in idle:
        tell(line)
    found: Record = {"request": request._asdict(), "panel": panel(), "not_run": idle}
    with pool(request.workers) as executor:
        for part, run, tasks in (
            ("matrix", kill_matrix.run, list(kill_matrix.tasks(engines, request.dtypes, request.seeds))),
            ("beside", checkers.run, list(checkers.tasks(request.seeds))),
        ):
            if part in request.parts:
                found[part] = together(executor, run, tasks, part, progress)
        if "smallest" in request.parts:
            found["smallest"] = executor.submit(smallest_fault.measure, request.seed, request.dtypes).result()
    if "beside" in found:
        found["beside"] = checkers.table(found["beside"])
    if "alarms" in request.parts:
        found["alarms"] = false_alarms.measure(
            [engine for engine in engines if engine in false_alarms.ENGINES],
            "cpu",
            request.dtypes,
            request.cases,
            request.seed,
            folder,
            request.workers,
            lambda done, total: progress(done, total, "honest cases"),
            tell,
        )
    return found


def together(
    executor: Executor, run: Callable[[Any], list[Record]], tasks: Sequence[Any], part: str, progress: Any
) -> list[Record]:
    """The records of all tasks, in the order of the tasks."""
    done = 0

    def count(records: list[Record]) -> None:
        nonlocal done
        done += 1
        progress(done, len(tasks), part)

    futures = [executor.submit(run, task) for task in tasks]
    return [record for records in in_turn(futures, count) for record in records]


def able(engines: Sequence[str]) -> tuple[list[str], list[str]]:
    """The engines that can run here, and why the others cannot."""
    if "torch-compile" in engines and not any(map(which, COMPILERS)):
        reason = f"torch-compile is not run: it wants a C++ compiler, one of {', '.join(COMPILERS)}"
        return [engine for engine in engines if engine != "torch-compile"], [reason]
    return list(engines), []


def panel() -> list[Record]:
    """Every fault as it stands in results.json."""
    return [
        {
            "name": fault.name,
            "kind": fault.kind,
            "cause": fault.cause,
            "equation": fault.breaks[0],
            "layer": fault.breaks[1],
            "network": " → ".join(NETWORKS[fault.network].combination[:2])
            + ", "
            + NETWORKS[fault.network].combination[2],
            "sees": fault.sees,
            "trained": fault.trained,
            "source": fault.source,
        }
        for fault in (*FAULTS.values(), *UPDATES.values())
    ]
