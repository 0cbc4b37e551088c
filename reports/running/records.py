"""The records of cells and training runs, and where their time goes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from adapters.contract import FAILURES, Adapter, compilation, describe
from reference.audit import MalformedTrace
from reference.cases import Combination
from reports.results.records import Outcome, Spent, Subject
from reports.results.verdicts import Verdict
from reports.running.tally import Tally
from reports.running.workers import Failure


class Clock:
    """Where the time of a cell goes: each part is timed by `clock("part")`, compilation by the engine itself."""

    def __init__(self, adapter: Adapter) -> None:
        self.adapter, self.started = adapter, seconds()
        self.seconds = {"engine": 0.0, "audit": 0.0, "experiments": 0.0}
        self.compiled = self.compilation()

    def compilation(self) -> tuple[float, int]:
        """The seconds and programs that the engine has compiled until now; 0 where it fails to say."""
        try:
            spent, programs = compilation(self.adapter)
            return float(spent), int(programs)
        except FAILURES:
            return 0.0, 0

    @contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        """Add the time of the block to a part, without the compilation in it."""
        started, compiled = seconds(), self.compilation()[0]
        try:
            yield
        finally:
            self.seconds[part] += seconds() - started - (self.compilation()[0] - compiled)

    def record(self) -> Spent:
        """The seconds of each part, and the programs compiled."""
        (spent, programs), (spent_before, programs_before) = self.compilation(), self.compiled
        return {
            "compile": spent - spent_before,
            "programs": programs - programs_before,
            "engine": self.seconds["engine"],
            "audit": self.seconds["audit"],
            "experiments": self.seconds["experiments"],
        }


def seconds() -> float:
    """A clock that never goes back."""
    return time.perf_counter()


def cell_id(engine: str, device: str, dtype: str, *names: str) -> str:
    """engine/device/dtype/…"""
    return "/".join((engine, device, dtype, *names))


def subject(engine: str, device: str, dtype: str, names: Combination) -> Subject:
    """What was audited, as results.json has it."""
    return {
        "engine": engine,
        "device": device,
        "dtype": dtype,
        "hidden": names.hidden,
        "output": names.output,
        "loss": names.loss,
    }


def verdict_on_error(error: BaseException, where: str) -> tuple[Verdict, str]:
    """The verdict and the reason where an adapter raises something, or gives what is not a trace."""
    if isinstance(error, MalformedTrace):
        return Verdict.MALFORMED, f"{where}: {error}"
    return Verdict.CRASHED, f"{where}: {describe(error)}"


def outcome_of(tally: Tally, verdict: Verdict | None, reason: str | None, clock: Clock) -> Outcome:
    """The outcome of an audit, as results.json has it; a finding that does not hold decides before anything else."""
    broken = tally.broken()
    of_tally = Verdict.HOLDS if tally.holds() else Verdict.BREAKS
    return {
        "verdict": Verdict.BREAKS if broken else verdict or of_tally,
        "reason": reason,
        "elements": sum(tally.elements.values()),
        "seconds": round(seconds() - clock.started, 6),
        "checked": tally.checked(),
        "findings": broken,
        "explained": None,
    }


def outcome_of_failure(failure: Failure) -> Outcome:
    """The outcome where a worker gave no record, as results.json has it."""
    return {
        "verdict": failure.verdict,
        "reason": failure.reason,
        "elements": 0,
        "seconds": 0.0,
        "checked": {},
        "findings": [],
        "explained": None,
    }
