"""The campaign's training run on digits as the report shows it."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

from markupsafe import Markup

from reports.campaign.standing import Item, severity
from reports.page import plots
from reports.results.files import number
from reports.results.records import TrainingRun
from reports.results.schema import Results


@dataclass(frozen=True)
class TrainingRow:
    """What the table says of a training run; NaN for what it does not know."""

    run: TrainingRun
    stands: str
    ratio: float
    loss: float
    drift: float
    accuracy: dict[str, float]


@dataclass(frozen=True)
class Training:
    """The runs, how each is drawn, and the drawings with their SVG."""

    rows: list[TrainingRow]
    series: list[plots.Series]
    plots: list[tuple[plots.Plot, Markup]]


def training(results: Results, found: Iterable[Item]) -> Training | None:
    """The chapter on the training runs among the items; None where there are none."""
    rows = [training_row(item) for item in found if item.training]
    if not rows:
        return None
    runs = results["training"]
    return Training(rows, plots.series(runs), [(plot, Markup(plot.svg)) for plot in plots.plots(runs)])


def training_row(item: Item) -> TrainingRow:
    """The worst ratio of a run, the loss and the drift it ends with, and its accuracies."""
    run = cast(TrainingRun, item.record)
    ratio = max((check.ratio for check in item.checks.values()), key=severity, default=math.nan)
    loss, drift = (number([None, *run["curves"].get(curve, [])][-1]) for curve in ("loss", "drift"))
    accuracies = {part: number((run["accuracy"] or {}).get(part)) for part in ("train", "validation", "test")}
    return TrainingRow(run, item.stands, ratio, loss, drift, accuracies)
