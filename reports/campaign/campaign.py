"""A whole campaign: every cell, training run and divergence of a request, measured in workers and journalled.

The numbers depend on the request alone: not on the number of workers, nor on how often the campaign was killed and went
on, nor on the shares in which it was measured.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from adapters.contract import ENGINES, AdapterError, device_of, file_of
from reference.cases import Combination
from reports.campaign.cells import CellGroup, cell_groups, failed_cell, run_group
from reports.campaign.explanations import explain
from reports.campaign.shares import Share
from reports.campaign.times import times
from reports.divergences import measure as divergences
from reports.results import journal
from reports.results.environment import flags
from reports.results.files import restored
from reports.results.journal import MeasuredWith
from reports.results.records import Divergence
from reports.results.schema import Measurements
from reports.running import workers
from reports.running.engines import WITH_FUNCTIONS, loaded
from reports.running.workers import UNLIMITED, CampaignError, Failure, Job, Limits
from reports.trajectories import digits

JOURNAL = "campaign.jsonl"
SCHEMA = "backprop-parity/campaign/1"

DECIDING = tuple(work.__module__ for work in (run_group, digits.run, divergences.divergences, explain))
"""The modules that decide the numbers of a campaign."""


class CampaignRequest(NamedTuple):
    """What is asked for: adapters by their specs, and by dtype the combinations of a design that each is audited on."""

    design: str
    combinations: dict[str, dict[str, tuple[Combination, ...]]]
    device: str
    dtypes: tuple[str, ...]
    cases: int
    further: int
    seed: int
    training: bool
    divergences: bool
    share: Share
    limits: Limits


# --- adapters


class AdapterInfo(NamedTuple):
    """The name that an adapter gives itself, the device that it is on, and the flags of its framework there."""

    name: str
    device: str
    flags: dict[str, str]


def adapter_infos(specs: Sequence[str], device: str, limits: Limits, count: int) -> dict[str, AdapterInfo]:
    """The name, device and flags of each adapter, from so many workers; raises AdapterError if one does not load."""
    jobs = [Job(adapter_info, (spec, device), 1, raise_unavailable, limits) for spec in specs]
    return {spec: info for spec, (info,) in zip(specs, workers.run(jobs, count), strict=True)}


def adapter_info(spec_and_device: tuple[str, str], start: int) -> Iterator[AdapterInfo]:
    """What an adapter is, as a job of one item: importing it may hang, or end the process."""
    adapter = loaded(*spec_and_device)
    yield AdapterInfo(adapter.name, device_of(adapter), flags())


def raise_unavailable(spec_and_device: tuple[str, str], index: int, failure: Failure) -> NoReturn:
    """Raise AdapterError: an adapter that does not load has no campaign."""
    spec, _ = spec_and_device
    message = failure.reason.removeprefix("AdapterError: ")
    raise AdapterError(message if message != failure.reason else f"adapter {spec!r} cannot be loaded: {message}")


# --- the jobs of a request

Key = tuple[str, ...]
"""Names an item of a job in the journal: the spec and dtype, and the combination or "digits"; or "divergences"."""


class KeyedJob(NamedTuple):
    """A job, and the key of each of its items."""

    keys: tuple[Key, ...]
    job: Job

    @property
    def trains(self) -> bool:
        """Whether it is a training run."""
        return isinstance(self.job.argument, digits.Run)


def keyed_jobs(request: CampaignRequest, names: dict[str, str]) -> list[KeyedJob]:
    """The jobs of a share: groups of cells, then training runs; `names` are those of the adapters, by their specs."""
    jobs = [*group_jobs(request, names), *(training_jobs(request, names) if request.training else ())]
    return jobs[request.share.number - 1 :: request.share.of]


def group_jobs(request: CampaignRequest, names: dict[str, str]) -> Iterator[KeyedJob]:
    """A job for each group of cells."""
    for spec, combinations in request.combinations.items():
        shared = request.cases, request.further, request.seed, request.design
        for group in cell_groups(spec, names[spec], request.device, combinations, *shared):
            keys = tuple((spec, group.dtype, *combination) for combination in group.combinations)
            yield KeyedJob(keys, group_job(group, request.limits))


def group_job(group: CellGroup, limits: Limits) -> Job:
    """The job that audits a group of cells."""
    return Job(run_group, group, len(group.combinations), failed_cell, limits, f"{group.spec}/{group.dtype}")


def training_jobs(request: CampaignRequest, names: dict[str, str]) -> Iterator[KeyedJob]:
    """A job for each training run."""
    for spec in request.combinations:
        for dtype in request.dtypes:
            run = digits.Run(spec, names[spec], request.device, dtype, request.seed)
            yield KeyedJob(
                ((spec, dtype, "digits"),),
                Job(digits.run, run, 1, digits.without_record, request.limits, f"{spec}/{dtype}"),
            )


def divergences_job(request: CampaignRequest) -> KeyedJob:
    """The job that measures the table of divergences, of the engines of a request."""
    specs = [spec for spec in request.combinations if spec in WITH_FUNCTIONS] if request.divergences else []
    arguments = specs, request.device, request.dtypes
    return KeyedJob((("divergences",),), Job(divergences_table, arguments, 1, raise_without_divergences, UNLIMITED))


def divergences_table(arguments: tuple[Sequence[str], str, Sequence[str]], start: int) -> Iterator[list[Divergence]]:
    """The table of divergences, as a job of one item."""
    yield divergences.divergences(*arguments)


def raise_without_divergences(arguments: Any, index: int, failure: Failure) -> NoReturn:
    """Raise CampaignError: without the table no cell is judged."""
    raise CampaignError(f"the divergences cannot be measured: {failure.reason}")


def unfinished(keyed: KeyedJob, records: dict[Key, Any]) -> KeyedJob | None:
    """The part of a job whose items have no record yet: the cells that are left of a group; None if none is left."""
    left = [i for i, key in enumerate(keyed.keys) if key not in records]
    if len(left) == len(keyed.keys) or not left:
        return keyed if left else None
    group = keyed.job.argument
    rest = group._replace(combinations=tuple(group.combinations[i] for i in left))
    return KeyedJob(tuple(keyed.keys[i] for i in left), group_job(rest, keyed.job.limits))


# --- measuring


def measure(
    request: CampaignRequest,
    names: dict[str, str],
    count: int,
    folder: Path,
    done: Callable[[str, Any], None],
    tell: Callable[[str], None],
) -> Measurements:
    """Measure a request in so many workers; what the journal in the folder has is not measured again.

    `done` is called with the key and the record of each item, `tell` with notices. Raises ResultsError for a journal
    that cannot be read or written, CampaignError without divergences.
    """
    path = folder / JOURNAL
    records = finished_records(path, journal_header(request), tell)
    table, jobs = divergences_job(request), keyed_jobs(request, names)
    left = [part for keyed in (table, *jobs) if (part := unfinished(keyed, records))]

    def finish(number: int, item: int, record: Any) -> None:
        key = left[number].keys[item]
        journal.append(path, {"key": key, "record": record})
        records[key] = record
        done("/".join(key), record)

    workers.run([part.job for part in left], count, finish)
    cells = [records[key] for keyed in jobs if not keyed.trains for key in keyed.keys]
    training = [records[key] for keyed in jobs if keyed.trains for key in keyed.keys]
    rows = records[table.keys[0]]
    explain([*cells, *training], rows)
    return {"cells": cells, "training": training, "times": times(cells, count), "divergences": rows}


# --- the journal


class JournalHeader(MeasuredWith):
    """The first line of the journal: what the records depend on."""

    schema: str
    design: str
    combinations: dict[str, dict[str, list[list[str]]]]
    device: str
    dtypes: list[str]
    cases: int
    further: int
    seed: int
    training: bool
    divergences: bool
    share: str
    limits: list[float]
    source: list[str]


def journal_header(request: CampaignRequest) -> JournalHeader:
    """The first line of a request's journal; an adapter of a third party counts as its file."""
    files = [file for spec in request.combinations if spec not in ENGINES and (file := file_of(spec))]
    return {
        "schema": SCHEMA,
        "design": request.design,
        "combinations": {
            spec: {dtype: [list(names) for names in kept] for dtype, kept in of.items()}
            for spec, of in request.combinations.items()
        },
        "device": request.device,
        "dtypes": list(request.dtypes),
        "cases": request.cases,
        "further": request.further,
        "seed": request.seed,
        "training": request.training,
        "divergences": request.divergences,
        "share": str(request.share),
        "limits": list(request.limits),
        "source": [journal.source(*DECIDING), journal.digest_of(files)],
        **journal.measured_with(),
    }


def finished_records(path: Path, header: JournalHeader, tell: Callable[[str], None]) -> dict[Key, Any]:
    """The records of a journal by their keys; a journal of another campaign is begun anew, with a notice."""
    lines = journal.read(path, tell) if path.is_file() else []
    if lines and lines[0].get("schema") == SCHEMA and lines[0] != header:
        before: dict[str, Any] = lines[0]
        other = [name for name in dict.fromkeys((*before, *header)) if before.get(name) != dict(header).get(name)]
        tell(f"journal {str(path)!r} is of a campaign with other {', '.join(other)}: begun anew")
        path.unlink()
    records = {tuple(line["key"]): restored(line["record"]) for line in journal.opened(path, header, tell)}
    if records:
        tell(f"journal {str(path)!r}: {len(records)} finished before, which are not measured again")
    return records
