"""Which row of the table explains a finding, and which known departure a training run that breaks."""

from collections.abc import Iterable, Sequence

import numpy as np

from reports.divergences.judging import relative_distance
from reports.divergences.known import KNOWN_IN_TRAINING
from reports.results.fault_records import AlarmFinding
from reports.results.files import number
from reports.results.records import Divergence, FindingRecord, Origin, Role

EXPLAINED_BY: dict[str, tuple[Role, ...]] = {
    "a": ("hidden", "output"),
    "12": ("hidden", "output"),
    "6a": ("hidden",),
    "14": ("hidden",),
    "13": ("hidden",),
    "11": ("hidden",),
    "8": ("loss",),
    "1": ("loss",),
    "9": ("output", "loss"),
    "10a": ("output", "loss"),
    "10b": ("output", "loss"),
    "4": ("hidden", "output", "loss"),
}
"""The functions of a cell that occur in an equation."""

OF_VALUES = ("a", "12", "6a", "8", "1", "4")
OF_DERIVATIVES = ("14", "13", "11", "9", "10a", "10b", "4")
"""The equations in which values, and derivatives, of functions occur; in (4) both do."""

ELEMENTWISE = ("a", "9", "14", "13")
"""The equations whose every element is one value of a function, or a multiple of one, and has its relative error."""


def explains(rows: Sequence[Divergence], origin: Origin, finding: FindingRecord | AlarmFinding) -> str | None:
    """The id of the row that explains why a finding of a cell does not hold, or None.

    The row is of the cell's engine and dtype, of a function in the equation, and at an input like those drawn, and it
    is an approximation or a defect in it. An element's relative error must be at most twice that of the row.
    """
    equation = finding["equation"]
    functions = {origin[role] for role in EXPLAINED_BY.get(str(equation), ())}
    made_of = {"value": OF_VALUES, "derivative": OF_DERIVATIVES}
    worst = finding["worst"]
    sides = (worst["observed"], worst["expected"]) if worst else (np.nan, np.nan)
    distance = relative_distance(*(np.array(number(side)) for side in sides))
    for row in rows:
        if row["status"].get(origin["engine"]) not in ("approximation", "defect") or row["function"] not in functions:
            continue
        of_equation = row["dtype"] == origin["dtype"] and equation in made_of.get(str(row["what"]), ())
        alike = of_equation and row.get("ordinary", False)
        if alike and (equation not in ELEMENTWISE or distance <= 2 * number(row["departure"][origin["engine"]])):
            return str(row["id"])
    return None


def training_explanation(engine: str, dtype: str, equations: Iterable[str]) -> str | None:
    """The name of the known departure that explains why equations of a training run do not hold, or None.

    All of them must be explained; of several departures it is the first.
    """
    of_engine = [known for known in KNOWN_IN_TRAINING if engine in known.engines]
    names = [next((known.name for known in of_engine if equation in known.equations), None) for equation in equations]
    return names[0] if names and all(names) and dtype == "float64" else None
