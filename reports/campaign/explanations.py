"""Which listed divergence explains a cell that breaks."""

import math
from collections.abc import Iterable, Sequence

from reports.divergences.explaining import explains
from reports.results.files import number
from reports.results.records import Divergence, FindingRecord, ItemRecord
from reports.results.verdicts import Verdict


def explain(records: Iterable[ItemRecord], divergences: Sequence[Divergence]) -> None:
    """Name in each cell or training run that breaks the divergence that explains it, if one does.

    Every finding that does not hold must have its divergence; the first one's is named. A finding whose expected value
    is NaN follows from an earlier one, which gave it operands that are not numbers.
    """
    for record in records:
        if record["verdict"] == Verdict.BREAKS and record["findings"]:
            first, *others = record["findings"]
            names = [explains(divergences, record, finding) for finding in (first, *filter(expects_a_number, others))]
            record["explained"] = names[0] if all(names) else None


def expects_a_number(finding: FindingRecord) -> bool:
    """Whether there is a number that the worst element should be; or no such element, so that the finding counts."""
    return finding["worst"] is None or not math.isnan(number(finding["worst"]["expected"]))
