"""A campaign: many cells, each a combination on one engine and dtype, audited over several random Cases."""

import math
import time
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from adapters.contract import FAILURES, Adapter, describe
from reference.audit import Finding, MalformedTrace, audit
from reference.case import Case
from reference.cases import Combination, draw_case, draw_shape
from reports.experiments import experiments

Record = dict[str, Any]


@dataclass
class Tally:
    """The worst finding of every equation in every layer, the Case where it occurred, and all elements compared."""

    worst: dict[tuple[str, int], tuple[Finding, int]] = field(default_factory=dict)
    elements: dict[tuple[str, int], int] = field(default_factory=dict)

    def add(self, findings: Iterable[Finding], case: int) -> float:
        """Take findings in; the largest ratio among them."""
        largest = 0.0
        for finding in findings:
            key = finding.equation, finding.layer
            self.elements[key] = self.elements.get(key, 0) + finding.elements
            if key not in self.worst or badness(finding) > badness(self.worst[key][0]):
                self.worst[key] = finding, case
            largest = max(largest, badness(finding))
        return largest

    def holds(self) -> bool:
        """Whether there are findings, and all of them hold."""
        return bool(self.worst) and all(finding.holds for finding, _ in self.worst.values())

    def records(self) -> list[Record]:
        """The findings as they stand in results.json."""
        return [record(finding, case, self.elements[key]) for key, (finding, case) in self.worst.items()]


def badness(finding: Finding) -> float:
    """A ratio that orders: what compared nothing, and NaN, are worse than any number."""
    return math.inf if finding.elements == 0 or math.isnan(finding.ratio) else finding.ratio


def record(finding: Finding, case: int, elements: int) -> Record:
    """A finding as it stands in results.json."""
    worst = None if finding.worst is None else {"case": case, **asdict(finding.worst)}
    return {
        "equation": finding.equation,
        "layer": finding.layer,
        "ratio": finding.ratio,
        "elements": elements,
        "worst": worst,
    }


def generator(seed: int, *names: str | int) -> np.random.Generator:
    """The generator of one draw: it depends on the seed and the names alone, not on what else is drawn."""
    return np.random.default_rng([seed, *(n if isinstance(n, int) else zlib.crc32(n.encode()) for n in names)])


def draw(seed: int, combination: Combination, dtype: str, cases: int) -> Iterator[Case]:
    """The Cases of a cell: of one shape, so that an engine compiles once, and the same for every engine."""
    shape = draw_shape(generator(seed, *combination, dtype))
    for index in range(cases):
        yield draw_case(generator(seed, *combination, dtype, index), combination, shape, dtype)


def cell_id(adapter: Adapter, device: str, dtype: str, *names: str) -> str:
    """engine/device/dtype/…"""
    return "/".join((adapter.name, device, dtype, *names))


def run_cell(adapter: Adapter, device: str, dtype: str, names: Combination, cases: Iterable[Case], seed: int) -> Record:
    """Audit one cell: each Case's trace, and on the first Case the experiments as well.

    Whatever the adapter raises is an answer of the adapter: the cell breaks, with the reason.
    """
    tally, reason, verdict, count, started = Tally(), None, None, 0, time.perf_counter()
    try:
        for index, case in enumerate(cases):
            if (supported := adapter.supports(case)) is not True:
                if tally.holds() or not tally.worst:  # what broke before stays broken
                    verdict, reason = "not-run", str(supported)
                break
            with np.errstate(all="ignore"):  # what is not finite is a finding, not a warning
                trace = adapter.trace(case)
                tally.add(audit(case, trace), index)
                if index == 0:
                    tally.add(experiments(adapter, case, trace, generator(seed, *names, dtype, "experiments")), index)
            count += 1
    except MalformedTrace as error:
        verdict, reason = "breaks", f"case {count}: malformed trace: {error}"
    except FAILURES as error:
        verdict, reason = "breaks", f"case {count}: {describe(error)}"
    return {
        "id": cell_id(adapter, device, dtype, *names),
        **about(adapter, device, dtype, names),
        "cases": count,
        **outcome(tally, verdict, reason, started),
    }


def about(adapter: Adapter, device: str, dtype: str, names: Combination) -> Record:
    """What was audited, as it stands in results.json."""
    return {"engine": adapter.name, "device": device, "dtype": dtype, **names._asdict()}


def outcome(tally: Tally, verdict: str | None, reason: str | None, started: float) -> Record:
    """What was found, as it stands in results.json; without another verdict, that of the findings."""
    return {
        "verdict": verdict or ("holds" if tally.holds() else "breaks"),
        "reason": reason,
        "elements": sum(tally.elements.values()),
        "seconds": time.perf_counter() - started,
        "findings": tally.records(),
    }
