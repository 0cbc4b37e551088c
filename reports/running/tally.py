"""The worst finding of every equation in every layer."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from reference.audit import Finding, Worst
from reports.results.records import Checked, FindingRecord, WorstElement


@dataclass
class Tally:
    """The worst finding of every equation in every layer, the Case where it occurred, and all elements compared.

    Where the worst does not hold, its diagnosis as well, or without one that of the worst that had one.
    """

    worst: dict[tuple[str, int], tuple[Finding, int]] = field(default_factory=dict)
    elements: dict[tuple[str, int], int] = field(default_factory=dict)
    diagnoses: dict[tuple[str, int], str | None] = field(default_factory=dict)

    def add(
        self, findings: Iterable[Finding], case: int, diagnosis: Callable[[Finding], str | None] = lambda finding: None
    ) -> float:
        """Take findings in, those that do not hold with their `diagnosis`; gives the largest ratio among them."""
        largest = 0.0
        for finding in findings:
            key = finding.equation, finding.layer
            self.elements[key] = self.elements.get(key, 0) + finding.elements
            if key not in self.worst or badness(finding) > badness(self.worst[key][0]):
                self.worst[key] = finding, case
                if not finding.holds:
                    self.diagnoses[key] = diagnosis(finding) or self.diagnoses.get(key)
            largest = max(largest, badness(finding))
        return largest

    def holds(self) -> bool:
        """Whether there are findings, and all of them hold."""
        return bool(self.worst) and all(finding.holds for finding, _ in self.worst.values())

    def checked(self) -> Checked:
        """By equation: the worst ratio, to four digits, the layer where it is, and the elements compared."""
        worst: dict[str, tuple[float, int]] = {}
        elements: dict[str, int] = {}
        for (equation, layer), (finding, _) in sorted(self.worst.items(), key=lambda item: -badness(item[1][0])):
            worst.setdefault(equation, (shortened(finding.ratio), layer))
            elements[equation] = elements.get(equation, 0) + self.elements[equation, layer]
        return {equation: (*worst[equation], elements[equation]) for equation, _ in self.worst}

    def broken(self) -> list[FindingRecord]:
        """The findings that do not hold, as results.json has them."""
        return [
            finding_record(finding, case, self.elements[key], self.diagnoses[key])
            for key, (finding, case) in self.worst.items()
            if not finding.holds
        ]


def shortened(ratio: float) -> float:
    """A ratio to four digits, rounded up: what exceeds 1 does not read 1."""
    if not math.isfinite(ratio) or ratio == 0:
        return ratio
    unit = 10.0 ** (math.floor(math.log10(ratio)) - 3)
    return float(f"{math.ceil(ratio / unit) * unit:.4g}")


def badness(finding: Finding) -> float:
    """The ratio by which findings are ordered: NaN, and a finding that compared nothing, are worse than any number."""
    return math.inf if finding.elements == 0 or math.isnan(finding.ratio) else finding.ratio


def finding_record(finding: Finding, case: int, elements: int, diagnosis: str | None = None) -> FindingRecord:
    """A finding as results.json has it; `case` is the Case or step in which it is worst."""
    return {
        "equation": finding.equation,
        "layer": finding.layer,
        "ratio": finding.ratio,
        "elements": elements,
        "worst": None if finding.worst is None else element_record(finding.worst, case),
        "diagnosis": diagnosis,
    }


def element_record(worst: Worst, case: int) -> WorstElement:
    """The element with the largest ratio, as results.json has it."""
    return {
        "case": case,
        "index": worst.index,
        "observed": worst.observed,
        "expected": worst.expected,
        "allowed": worst.allowed,
    }
