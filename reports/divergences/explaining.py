"""Which row of the table explains a finding, and which known departure a training run that breaks."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from reports.divergences.judging import relative_distance
from reports.divergences.known import KNOWN_IN_TRAINING
from reports.results.files import number

EXPLAINED_BY = {
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


def explains(rows: Sequence[Mapping[str, Any]], item: Mapping[str, Any], finding: Mapping[str, Any]) -> str | None:
    """The id of the row that explains why a finding of a cell does not hold, or None.

    The row is of the cell's engine and dtype, of a function in the equation, and at an input like those drawn, and it
    is an approximation or a defect in it. An element's relative error must be at most twice that of the row.
    """
    equation = finding["equation"]
    functions = {item[role] for role in EXPLAINED_BY.get(equation, ())}
    made_of = {"value": OF_VALUES, "derivative": OF_DERIVATIVES}
    worst = finding["worst"] or {"observed": np.nan, "expected": np.nan}
    distance = relative_distance(*(np.array(number(worst[side])) for side in ("observed", "expected")))
    for row in rows:
        if row["status"].get(item["engine"]) not in ("approximation", "defect") or row["function"] not in functions:
            continue
        of_equation = row["dtype"] == item["dtype"] and equation in made_of.get(row["what"], ())
        alike = of_equation and row.get("ordinary", False)
        if alike and (equation not in ELEMENTWISE or distance <= 2 * number(row["departure"][item["engine"]])):
            return str(row["id"])
    return None


def training_explanation(engine: str, dtype: str, equations: Iterable[str]) -> str | None:
    """The name of the known departure that explains why equations of a training run do not hold, or None.

    All of them must be explained; of several departures it is the first.
    """
    of_engine = [known for known in KNOWN_IN_TRAINING if engine in known.engines]
    names = [next((known.name for known in of_engine if equation in known.equations), None) for equation in equations]
    return names[0] if names and all(names) and dtype == "float64" else None
