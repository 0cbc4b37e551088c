"""The whole of results.json: the records of a campaign, and the chapters that are measured apart from one."""

from typing import NotRequired, TypedDict

from reports.results.fault_records import FaultsChapter
from reports.results.records import Accuracy, Cell, Divergence, Environment, RequestRecord, Times, TrainingRun
from reports.results.trajectory_records import Trajectories


class Measurements(TypedDict):
    """The chapters of a campaign; the last two are not there where a single Case was audited."""

    cells: list[Cell]
    training: list[TrainingRun]
    times: Times | None
    divergences: NotRequired[list[Divergence]]
    accuracy: NotRequired[list[Accuracy]]


class Chapters(TypedDict, total=False):
    """The chapters that are measured apart from a campaign, each with an environment of its own."""

    faults: FaultsChapter
    trajectories: Trajectories


class Results(Measurements, Chapters):
    """results.json; a chapter is there where it was measured."""

    schema: str
    environment: Environment
    request: RequestRecord
