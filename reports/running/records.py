"""The records of cells and training runs, and where their time goes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from adapters.contract import FAILURES, Adapter, compilation, describe
from reference.audit import MalformedTrace
from reference.cases import Combination
from reports.results.records import Record
from reports.running.tally import Tally
from reports.running.workers import Failure


class Clock:
    """Where the time of a cell goes: each part is timed by `clock("part")`, compilation by the engine itself."""

    def __init__(self, adapter: Adapter) -> None:
        self.adapter, self.seconds, self.started = adapter, {"engine": 0.0, "audit": 0.0, "experiments": 0.0}, seconds()
        self.compiled = self.compilation()

    def compilation(self) -> tuple[float, int]:
        """What the engine has compiled until now: nothing, where it fails to say."""
        try:
            spent, programs = compilation(self.adapter)
            return float(spent), int(programs)
        except FAILURES:
            return 0.0, 0

    @contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        started, compiled = seconds(), self.compilation()[0]
        try:
            yield
        finally:
            self.seconds[part] += seconds() - started - (self.compilation()[0] - compiled)

    def record(self) -> Record:
        """Seconds of each part, and the programs compiled."""
        spent, programs = (now - before for now, before in zip(self.compilation(), self.compiled, strict=True))
        return {"compile": spent, "programs": programs, **self.seconds}


def seconds() -> float:
    return time.perf_counter()


def cell_id(engine: str, device: str, dtype: str, *names: str) -> str:
    """engine/device/dtype/…"""
    return "/".join((engine, device, dtype, *names))


def failure(error: BaseException, where: str) -> tuple[str, str]:
    """The verdict and the reason where an adapter raised something, or gave what is no trace."""
    if isinstance(error, MalformedTrace):
        return "malformed", f"{where}: {error}"
    return "crashed", f"{where}: {describe(error)}"


def about(engine: str, device: str, dtype: str, names: Combination) -> Record:
    """What was audited, as it stands in results.json."""
    return {"engine": engine, "device": device, "dtype": dtype, **names._asdict()}


def outcome(tally: Tally, verdict: str | None, reason: str | None, clock: Clock) -> Record:
    """What was found, as it stands in results.json; a finding that does not hold decides before anything else."""
    broken = tally.broken()
    return {
        "verdict": "breaks" if broken else verdict or ("holds" if tally.holds() else "breaks"),
        "reason": reason,
        "elements": sum(tally.elements.values()),
        "seconds": round(seconds() - clock.started, 6),
        "checked": tally.checked(),
        "findings": broken,
        "explained": None,
    }


def nothing(failure: Failure) -> Record:
    """What is found where there is no record, as it stands in results.json."""
    found = {"elements": 0, "seconds": 0.0, "checked": {}, "findings": [], "explained": None}
    return {"verdict": failure.verdict, "reason": failure.reason, **found}
