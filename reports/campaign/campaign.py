"""A whole campaign: every cell, training run and divergence that is asked for, in workers, and journalled.

What is found depends on the request alone: not on the workers, nor on how often the campaign was killed and went on,
nor on the shares in which it was made.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from adapters.contract import ENGINES, AdapterError, device_of
from reference.cases import Combination
from reports.campaign import explanations, times
from reports.campaign.cells import Group, groups, run_group, without_record
from reports.campaign.shares import Share
from reports.divergences import measure as divergences_measure
from reports.results import journal
from reports.results.environment import flags
from reports.results.records import Record
from reports.running import engines, workers
from reports.running.workers import UNLIMITED, CampaignError, Failure, Job, Limits
from reports.trajectories import digits

JOURNAL = "campaign.jsonl"
SCHEMA = "backprop-parity/campaign/1"

DIVERGENCES_OF = tuple(name for name in ENGINES if name != "jax-whole")
"""Engines with functions of their own: jax-whole's are those of jax-jit."""


class Request(NamedTuple):
    """What is asked for: adapters by what names them, and the combinations that each is audited on."""

    combinations: dict[str, tuple[Combination, ...]]
    device: str
    dtypes: tuple[str, ...]
    cases: int
    further: int
    seed: int
    training: bool
    divergences: bool
    share: Share
    limits: Limits


# --- what there is to do


class Task(NamedTuple):
    """A job, and what names each of its items in the journal."""

    keys: tuple[tuple[str, ...], ...]
    job: Job


def tasks(request: Request, names: dict[str, str]) -> list[Task]:
    """Groups of cells, then training runs, of a share; `names` are what the adapters call themselves."""
    asked: list[Task] = []
    for spec, combinations in request.combinations.items():
        of = request.device, request.dtypes, combinations, request.cases, request.further, request.seed
        for group in groups(spec, names[spec], *of):
            keys = tuple((spec, group.dtype, *names_) for names_ in group.combinations)
            asked.append(Task(keys, cells_of(group, request.limits)))
    for spec in request.combinations if request.training else ():
        for dtype in request.dtypes:
            run = digits.Run(spec, names[spec], request.device, dtype, request.seed)
            asked.append(
                Task(((spec, dtype, "digits"),), Job(digits.run, run, 1, digits.without_record, request.limits))
            )
    return asked[request.share.number - 1 :: request.share.of]


def cells_of(group: Group, limits: Limits) -> Job:
    """The job that a group is."""
    return Job(run_group, group, len(group.combinations), without_record, limits)


def divergences(argument: tuple[Sequence[str], str, Sequence[str]], start: int) -> Iterator[list[Any]]:
    """The table of divergences, as a job of one item."""
    yield divergences_measure.divergences(*argument)


def no_divergences(argument: Any, index: int, failure: Failure) -> NoReturn:
    """Nothing is judged without the table."""
    raise CampaignError(f"the divergences cannot be measured: {failure.reason}")


def table_of(request: Request) -> Task:
    """The task that measures the divergences of the engines that are asked for."""
    swept = [spec for spec in request.combinations if spec in DIVERGENCES_OF] if request.divergences else []
    return Task(
        (("divergences",),), Job(divergences, (swept, request.device, request.dtypes), 1, no_divergences, UNLIMITED)
    )


class Asked(NamedTuple):
    """What an adapter calls itself, the device that it is on, and the flags that its framework then has."""

    name: str
    device: str
    flags: dict[str, str]


def name_of(argument: tuple[str, str], start: int) -> Iterator[Asked]:
    """What an adapter says of itself, as a job of one item: importing it may hang, or end the process."""
    adapter = engines.loaded(*argument)
    yield Asked(adapter.name, device_of(adapter), flags())


def unnamed(argument: tuple[str, str], index: int, failure: Failure) -> NoReturn:
    """An adapter that cannot be had is no campaign."""
    message = failure.reason.removeprefix("AdapterError: ")
    raise AdapterError(message if message != failure.reason else f"adapter {argument[0]!r} cannot be had: {message}")


def asked(specs: Sequence[str], device: str, limits: Limits, count: int) -> dict[str, Asked]:
    """What each adapter says of itself; raises AdapterError where one cannot be had."""
    jobs = [Job(name_of, (spec, device), 1, unnamed, limits) for spec in specs]
    return {spec: found for spec, (found,) in zip(specs, workers.run(jobs, count), strict=True)}


# --- doing it

Done = Callable[[str], None]
"""Told what is done."""


def measure(
    request: Request, names: dict[str, str], count: int, folder: Path, done: Done, tell: Callable[[str], None]
) -> Record:
    """Cells, training runs, their times and divergences; what the journal in the folder has is not made again.

    Raises ResultsError for a journal that cannot be read or written, CampaignError without divergences.
    """
    path = folder / JOURNAL
    before = finished(path, header(request), tell)
    todo = [table_of(request), *tasks(request, names)]
    parts = [part for task in todo if (part := rest(task, before))]

    def finish(number: int, item: int, record: Any) -> None:
        key = parts[number].keys[item]
        journal.append(path, {"key": key, "record": record})
        before[key] = record
        done("/".join(key))

    workers.run([part.job for part in parts], count, finish)
    (rows,), *found = [[before[key] for key in task.keys] for task in todo]
    training = [record for task, records in zip(todo[1:], found, strict=True) for record in records if is_run(task)]
    cells = [record for task, records in zip(todo[1:], found, strict=True) for record in records if not is_run(task)]
    explanations.explain([*cells, *training], rows)
    return {"cells": cells, "training": training, "times": times.times(cells, count), "divergences": rows}


def is_run(task: Task) -> bool:
    """Whether a task is a training run."""
    return isinstance(task.job.argument, digits.Run)


def rest(task: Task, before: dict[tuple[str, ...], Any]) -> Task | None:
    """What of a task is not finished: the cells that are left of a group."""
    left = [i for i, key in enumerate(task.keys) if key not in before]
    if len(left) == len(task.keys) or not left:
        return task if left else None
    group = task.job.argument
    combinations = tuple(group.combinations[i] for i in left)
    return Task(tuple(task.keys[i] for i in left), cells_of(group._replace(combinations=combinations), task.job.limits))


def header(request: Request) -> Record:
    """The first line of the journal: what the records depend on."""
    asked = {**request._asdict(), "share": str(request.share), "limits": list(request.limits)}
    asked["combinations"] = {spec: [list(names) for names in found] for spec, found in request.combinations.items()}
    files = [Path(spec.rpartition(":")[0]) for spec in request.combinations if ".py:" in spec]
    source = journal.source("reference", "adapters", "reports"), journal.digest(files)
    about = {"schema": SCHEMA, **asked, "dtypes": list(request.dtypes), "source": list(source)}
    return {**about, **journal.measured_with()}


def finished(path: Path, first: Record, tell: Callable[[str], None]) -> dict[tuple[str, ...], Any]:
    """The records of a journal by their keys; one of another campaign is begun anew, with a notice."""
    lines = journal.read(path, tell) if path.is_file() else []
    if lines and lines[0].get("schema") == SCHEMA and lines[0] != first:
        changed = ", ".join(
            name for name in dict.fromkeys((*lines[0], *first)) if lines[0].get(name) != first.get(name)
        )
        tell(f"journal {str(path)!r} is of a campaign with other {changed}: begun anew")
        path.unlink()
    records = {tuple(line["key"]): restored(line["record"]) for line in journal.opened(path, first, tell)}
    if records:
        tell(f"journal {str(path)!r}: {len(records)} finished before, which are not made again")
    return records


def restored(value: Any) -> Any:
    """What `jsonable` made of a record, back: the numbers that JSON lacks."""
    if isinstance(value, dict):
        return {key: restored(part) for key, part in value.items()}
    if isinstance(value, list):
        return [restored(part) for part in value]
    return float(value) if value in ("NaN", "Infinity", "-Infinity") else value
