"""The worst finding of every equation in every layer."""

import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from reference.audit import Finding
from reports.results.records import Record

# --- what is found in a cell


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
        """Take findings in; the largest ratio among them. `diagnosis` is asked about those that do not hold."""
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

    def checked(self) -> dict[str, list[Any]]:
        """Of every equation: the worst ratio, to four digits, the layer where it is, and the elements compared."""
        found: dict[str, list[Any]] = {}
        for (equation, layer), (finding, _) in sorted(self.worst.items(), key=lambda item: -badness(item[1][0])):
            of_equation = found.setdefault(equation, [shortened(finding.ratio), layer, 0])
            of_equation[2] += self.elements[equation, layer]
        return {equation: found[equation] for equation, _ in self.worst}

    def broken(self) -> list[Record]:
        """The findings that do not hold."""
        return [
            record(finding, case, self.elements[key], self.diagnoses[key])
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
    """A ratio that orders: what compared nothing, and NaN, are worse than any number."""
    return math.inf if finding.elements == 0 or math.isnan(finding.ratio) else finding.ratio


def record(finding: Finding, case: int, elements: int, diagnosis: str | None = None) -> Record:
    """A finding as it stands in results.json."""
    worst = None if finding.worst is None else {"case": case, **asdict(finding.worst)}
    return {
        "equation": finding.equation,
        "layer": finding.layer,
        "ratio": finding.ratio,
        "elements": elements,
        "worst": worst,
        "diagnosis": diagnosis,
    }
