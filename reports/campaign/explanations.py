"""Which listed divergence explains a cell that breaks."""

import math
from collections.abc import Iterable, Sequence

from reports.results.files import number
from reports.results.records import Record

# --- what is said of all cells


def explain(items: Iterable[Record], rows: Sequence[Record]) -> None:
    """Name the divergence that explains each cell or training run that breaks, if one does.

    Every finding that does not hold must have its row; the first one's is named. One whose expected value is no number
    has operands that are none, and is the consequence of an earlier one.
    """
    from reports.divergences.explaining import explains

    for item in items:
        if item["verdict"] == "breaks" and item["findings"]:
            first, *others = item["findings"]
            named = [explains(rows, item, finding) for finding in (first, *filter(own, others))]
            item["explained"] = named[0] if all(named) else None


def own(finding: Record) -> bool:
    """Whether a finding is about its own equation: there is a number that it should be."""
    return finding["worst"] is None or not math.isnan(number(finding["worst"]["expected"]))
