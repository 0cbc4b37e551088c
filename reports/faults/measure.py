"""Measures what the audit catches: seeded faults, beside other checkers, its false alarms and its limits."""

from collections.abc import Callable, Sequence
from pathlib import Path
from shutil import which
from typing import Any, NamedTuple, cast

from adapters.faults.networks import NETWORKS
from reports.faults import checkers, false_alarms, kill_matrix, smallest_fault
from reports.results.fault_records import FaultsChapter, PanelFault
from reports.running import workers

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
) -> FaultsChapter:
    """All that is asked for, as it stands in results.json; `progress` is told what is done, of how much."""
    engines, notices = able(request.engines)
    for line in notices:
        tell(line)
    records = in_workers(request, engines, progress)
    chapter: dict[str, Any] = {"request": request._asdict(), "panel": panel(), "not_run": notices, **records}
    if "beside" in records:
        chapter["beside"] = checkers.table(records["beside"])
    if "alarms" in request.parts:
        chapter["alarms"] = false_alarms.measure(
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
    return cast(FaultsChapter, chapter)


def in_workers(
    request: Request, engines: Sequence[str], progress: Callable[[int, int, str], None]
) -> dict[str, list[Any]]:
    """The records of the parts that are asked for but the false alarms, in the order of their tasks."""
    tasks: dict[str, list[Any]] = {
        "matrix": list(kill_matrix.tasks(engines, request.dtypes, request.seeds)),
        "beside": list(checkers.tasks(request.seeds)),
        "smallest": [(request.seed, dtype) for dtype in request.dtypes],
    }
    wanted = [(part, task) for part in tasks if part in request.parts for task in tasks[part]]
    done = 0

    def count(result: tuple[str, list[Any]]) -> None:
        nonlocal done
        done += 1
        progress(done, len(wanted), result[0])

    records: dict[str, list[Any]] = {part: [] for part in tasks if part in request.parts}
    for part, of_task in workers.each(run, wanted, request.workers, count):
        records[part] += of_task
    return records


def run(task: tuple[str, Any]) -> tuple[str, list[Any]]:
    """A part, and the records of one task of it, in a worker."""
    part, of = task
    if part == "matrix":
        return part, kill_matrix.run(of)
    if part == "beside":
        return part, checkers.run(of)
    seed, dtype = of
    return part, [*smallest_fault.measure(seed, [dtype])]


def able(engines: Sequence[str]) -> tuple[list[str], list[str]]:
    """The engines that can run here, and why the others cannot."""
    if "torch-compile" in engines and not any(map(which, COMPILERS)):
        reason = f"torch-compile is not run: it wants a C++ compiler, one of {', '.join(COMPILERS)}"
        return [engine for engine in engines if engine != "torch-compile"], [reason]
    return list(engines), []


def panel() -> list[PanelFault]:
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
        for fault in kill_matrix.PANEL.values()
    ]
