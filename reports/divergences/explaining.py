"""Which row of the table explains a finding."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from reports.divergences.judging import Row, departure
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
"""The functions of a cell that an equation is made of."""

OF_VALUES = ("a", "12", "6a", "8", "1", "4")
OF_DERIVATIVES = ("14", "13", "11", "9", "10a", "10b", "4")
"""What the equations are made of: (4), of the loss and of its slope."""

ELEMENTWISE = ("a", "9", "14", "13")
"""The equations whose every element is one value of a function, or a multiple of one: as far off as that is."""


def explains(rows: Sequence[Row], item: Mapping[str, Any], finding: Mapping[str, Any]) -> str | None:
    """The id of the row that explains why a finding of a cell does not hold, or None.

    The row is of the cell's engine and dtype and a function of the equation, at an input like those that are drawn, and
    reads approximation or defect. An element must be off by no more than twice what the row is, relative to its value.
    """
    equation = finding["equation"]
    functions = {item[role] for role in EXPLAINED_BY.get(equation, ())}
    of = {"value": OF_VALUES, "derivative": OF_DERIVATIVES}
    worst = finding["worst"] or {"observed": np.nan, "expected": np.nan}
    off = departure(*(np.array(number(worst[side])) for side in ("observed", "expected")))
    for row in rows:
        if row["status"].get(item["engine"]) not in ("approximation", "defect") or row["function"] not in functions:
            continue
        alike = row["dtype"] == item["dtype"] and equation in of.get(row["what"], ()) and row.get("ordinary", False)
        if alike and (equation not in ELEMENTWISE or off <= 2 * number(row["departure"][item["engine"]])):
            return str(row["id"])
    return None
