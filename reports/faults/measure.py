"""Measures what the audit catches: seeded faults, beside other checkers, its false alarms and its limits."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from shutil import which
from typing import Any, NamedTuple, cast

from adapters.faults.networks import NETWORKS
from reports.faults import checkers, false_alarms, kill_matrix, smallest_fault
from reports.results.fault_records import FaultsChapter, FaultsRequestRecord, PanelFault, SmallestRow
from reports.running import workers

COMPILERS = ("c++", "g++", "clang++")
"""torch.compile needs one of these to build its programs."""


class FaultsRequest(NamedTuple):
    """What is asked for: engines, formats, draws of each fault, honest Cases, the parts to measure, and processes."""

    engines: tuple[str, ...]
    dtypes: tuple[str, ...]
    seeds: int
    cases: int
    seed: int
    parts: tuple[str, ...]
    workers: int


class Work(NamedTuple):
    """A piece of a part: run(argument) gives some of its records."""

    part: str
    run: Callable[[Any], Sequence[Any]]
    argument: Any


def measure(
    request: FaultsRequest, folder: Path, progress: Callable[[int, int, str], None], tell: Callable[[str], None]
) -> FaultsChapter:
    """The chapter of results.json; `progress` gets how much is done, of how much, and of which part."""
    engines, notices = runnable(request.engines)
    for line in notices:
        tell(line)
    chapter: FaultsChapter = {
        "request": cast(FaultsRequestRecord, request._asdict()),
        "panel": panel(),
        "not_run": notices,
    }
    records = run_all(list(work_of(request, engines)), request.workers, progress)
    if "matrix" in request.parts:
        chapter["matrix"] = records["matrix"]
    if "beside" in request.parts:
        chapter["beside"] = checkers.checker_rows(records["beside"])
    if "smallest" in request.parts:
        chapter["smallest"] = records["smallest"]
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
    return chapter


def work_of(request: FaultsRequest, engines: Sequence[str]) -> Iterator[Work]:
    """The work for all parts but the false alarms, which keep a journal."""
    if "matrix" in request.parts:
        for planting in kill_matrix.plantings(engines, request.dtypes, request.seeds):
            yield Work("matrix", kill_matrix.run, planting)
    if "beside" in request.parts:
        for examination in checkers.examinations(request.seeds):
            yield Work("beside", checkers.run, examination)
    if "smallest" in request.parts:
        for dtype in request.dtypes:
            yield Work("smallest", smallest_rows, (request.seed, dtype))


def smallest_rows(argument: tuple[int, str]) -> list[SmallestRow]:
    """The smallest detectable faults of a seed and format."""
    seed, dtype = argument
    return smallest_fault.measure(seed, [dtype])


def run_all(
    work: Sequence[Work], processes: int, progress: Callable[[int, int, str], None]
) -> defaultdict[str, list[Any]]:
    """The records of each part, in the order of its work; done in worker processes."""
    done = 0

    def count(result: tuple[str, Sequence[Any]]) -> None:
        nonlocal done
        done += 1
        progress(done, len(work), result[0])

    records: defaultdict[str, list[Any]] = defaultdict(list)
    for part, some in workers.each(run, work, processes, count):
        records[part] += some
    return records


def run(work: Work) -> tuple[str, Sequence[Any]]:
    """The part and the records of a piece of work, in a worker."""
    return work.part, work.run(work.argument)


def runnable(engines: Sequence[str]) -> tuple[list[str], list[str]]:
    """The engines that can run here, and a line for each that cannot."""
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
