"""A campaign: many cells, each a combination on one engine and dtype, audited over several random Cases.

Cells are handed to worker processes in groups; what a cell finds depends on the seed and its own names alone.
"""

import math
import os
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cache, partial
from multiprocessing import get_context
from typing import Any, NamedTuple

import numpy as np

from adapters.contract import ENGINES, FAILURES, Adapter, compilation, describe, lacks, load, received
from reference.accuracy import ON_GPU, k, on, recorded
from reference.audit import Finding, MalformedTrace, audit, audit_composed
from reference.case import Case
from reference.cases import Combination, cover, draw_case, draw_shape
from reference.diagnosis import diagnose
from reports.experiments import experiments
from reports.results import cores, number
from reports.workers import SETTINGS, Failure

Record = dict[str, Any]

THOROUGH = frozenset(cover())
"""Combinations that get every experiment, and further Cases with drawn parameters."""


class CampaignError(RuntimeError):
    """A campaign that cannot go on; its message is one line."""


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


# --- cells


def generator(seed: int, *names: str | int) -> np.random.Generator:
    """The generator of one draw: it depends on the seed and the names alone, not on what else is drawn."""
    return np.random.default_rng([seed, *(n if isinstance(n, int) else zlib.crc32(n.encode()) for n in names)])


def draw(seed: int, combination: Combination, dtype: str, cases: int) -> Iterator[Case]:
    """The Cases of a cell, the same for every engine: the first with the usual parameters, further ones with drawn."""
    shape = draw_shape(generator(seed, "shape", dtype))  # one for a dtype: an engine compiles for each shape
    for index in range(cases):
        rng = generator(seed, *combination, dtype, index)
        yield draw_case(rng, combination, shape, dtype, usual=index == 0)


def cell_id(engine: str, device: str, dtype: str, *names: str) -> str:
    """engine/device/dtype/…"""
    return "/".join((engine, device, dtype, *names))


def run_cell(
    adapter: Adapter,
    device: str,
    dtype: str,
    names: Combination,
    cases: Iterable[Case],
    seed: int,
    thorough: bool = True,
) -> Record:
    """Audit one cell: each Case's trace, and where it is `thorough`, the experiments on the first.

    Whatever the adapter raises is an answer of the adapter: the cell has crashed, with the reason; what it gives that
    is no trace of the Case is malformed.
    """
    tally, verdict, count, index, clock = Tally(), None, 0, 0, Clock(adapter)
    reason: str | None = None
    engine = judged_as(adapter, device)
    try:
        for index, case in enumerate(cases):
            if (lacking := lacks(adapter, frozen(case))) is not None:
                reason = reason or lacking
                continue
            with np.errstate(all="ignore"):  # what is not finite is a finding, not a warning
                with clock("engine"):
                    trace = received(adapter.trace(case))
                diagnosis = partial(diagnose, case, trace, engine=engine)
                with clock("audit"):
                    tally.add(audit(case, trace, engine), index, diagnosis)
                with clock("experiments"):
                    if index == 0 and thorough:
                        rng = generator(seed, *names, dtype, "experiments")
                        tally.add(experiments(adapter, case, trace, rng, engine), index)
                    elif trace.z is not None and trace.a is not None and trace.delta is not None:
                        tally.add(audit_composed(case, trace, engine), index, diagnosis)
            count += 1
        if not tally.worst and reason is not None:
            verdict = "not-run"
    except FAILURES as error:
        verdict, reason = failure(error, f"case {index}")
    return {
        "id": cell_id(adapter.name, device, dtype, *names),
        **about(adapter.name, device, dtype, names),
        "cases": count,
        **outcome(tally, verdict, reason, clock),
        "spent": clock.record(),
    }


def frozen(case: Case) -> Case:
    """The Case, whose arrays nobody writes into from now on: they are what its trace is audited on."""
    for array in (case.x, case.y, *case.W.values(), *case.b.values()):
        array.flags.writeable = False
    return case


def judged_as(adapter: Adapter, device: str) -> str | None:
    """The name under which the audit knows an engine on its device: those of the suite were measured."""
    if adapter.name in ENGINES:
        return on(adapter.name, device)
    return None if device == "cpu" else on("any", device)


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


# --- groups of cells, in worker processes


class Group(NamedTuple):
    """Cells of one engine and dtype that a worker audits in one go; `engine` is what the adapter calls itself."""

    spec: str
    engine: str
    device: str
    dtype: str
    combinations: tuple[Combination, ...]
    cases: int
    further: int
    seed: int


def run_group(group: Group, start: int = 0) -> Iterator[Record]:
    """The records of a group's cells, from one on, in their order."""
    adapter = loaded(group.spec, group.device)
    for names in group.combinations[start:]:
        thorough = names in THOROUGH
        drawn = draw(group.seed, names, group.dtype, group.cases + (group.further if thorough else 0))
        yield run_cell(adapter, group.device, group.dtype, names, drawn, group.seed, thorough)


def without_record(group: Group, index: int, failure: Failure) -> Record:
    """The record of a cell whose worker gave none."""
    names = group.combinations[index]
    return {
        "id": cell_id(group.engine, group.device, group.dtype, *names),
        **about(group.engine, group.device, group.dtype, names),
        "cases": 0,
        **nothing(failure),
        "spent": dict.fromkeys(("compile", "programs", "engine", "audit", "experiments"), 0),
    }


def nothing(failure: Failure) -> Record:
    """What is found where there is no record, as it stands in results.json."""
    found = {"elements": 0, "seconds": 0.0, "checked": {}, "findings": [], "explained": None}
    return {"verdict": failure.verdict, "reason": failure.reason, **found}


@cache
def loaded(spec: str, device: str) -> Adapter:
    """An adapter, made once in a process."""
    return load(spec, device)


@contextmanager
def pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Worker processes that share the cores: each has its own threads, and starts afresh, as JAX and torch need."""
    threads = str(max(1, cores() // workers))
    before = {name: os.environ.get(name) for name in SETTINGS}
    os.environ.update({name: threads if value == "1" else value for name, value in SETTINGS.items()})
    try:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as executor:
            yield executor
    except BrokenProcessPool as error:
        raise CampaignError(
            "a worker process died, of memory or of an adapter that ends it: ask for one engine at a time to see which"
        ) from error
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def in_turn(futures: Sequence[Future[Any]], done: Any) -> list[Any]:
    """The results in the order of the futures; `done` is told of each as it comes."""
    for future in as_completed(futures):
        done(future.result())
    return [future.result() for future in futures]


def groups(
    spec: str,
    engine: str,
    device: str,
    dtypes: Sequence[str],
    combinations: Sequence[Combination],
    cases: int,
    further: int,
    seed: int,
) -> Iterator[Group]:
    """The cells of one adapter, a group for each dtype and hidden activation."""
    for dtype in dtypes:
        for hidden in dict.fromkeys(names.hidden for names in combinations):
            of_hidden = tuple(names for names in combinations if names.hidden == hidden)
            yield Group(spec, engine, device, dtype, of_hidden, cases, further, seed)


def divergences(specs: Sequence[str], device: str, dtypes: Sequence[str]) -> list[Record]:
    """The table of divergences, for a worker process."""
    from reports.divergences import measure

    return measure([loaded(spec, device) for spec in specs], dtypes) if specs else []


# --- what is said of all cells


def explain(items: Iterable[Record], rows: Sequence[Record]) -> None:
    """Name the divergence that explains each cell or training run that breaks, if one does.

    Every finding that does not hold must have its row; the first one's is named. One whose expected value is no number
    has operands that are none, and is the consequence of an earlier one.
    """
    from reports.divergences import explains

    for item in items:
        if item["verdict"] == "breaks" and item["findings"]:
            first, *others = item["findings"]
            named = [explains(rows, item, finding) for finding in (first, *filter(own, others))]
            item["explained"] = named[0] if all(named) else None


def own(finding: Record) -> bool:
    """Whether a finding is about its own equation: there is a number that it should be."""
    return finding["worst"] is None or not math.isnan(number(finding["worst"]["expected"]))


PARTS = ("compile", "engine", "audit", "experiments")


def times(cells: Sequence[Record], workers: int) -> Record:
    """How the time of the cells divides, and what compiling a program for every cell would have cost.

    The latter from jax-whole, which does so: seconds a program there, times the cells of jax-jit. The cells lose their
    own part of it.
    """
    spent: dict[str, dict[str, float]] = {}
    programs: dict[str, int] = {}
    ran: dict[str, int] = {}
    for cell in cells:
        engine, part = cell["engine"], cell.pop("spent")
        of_engine = spent.setdefault(engine, dict.fromkeys(PARTS, 0.0))
        for name in PARTS:
            of_engine[name] += part[name]
        programs[engine] = programs.get(engine, 0) + part["programs"]
        ran[engine] = ran.get(engine, 0) + (cell["verdict"] != "not-run")
    without = None
    if programs.get("jax-whole") and ran.get("jax-jit"):
        each = spent["jax-whole"]["compile"] / programs["jax-whole"]
        without = {
            "seconds": each * ran["jax-jit"],
            "programs": ran["jax-jit"],
            "compiled": programs["jax-jit"],
            "how": f"{each:.3f} s a program of jax-whole ({programs['jax-whole']} measured), one a cell of jax-jit",
        }
    return {"seconds": spent, "workers": workers, "without_reuse": without}


def accuracy(device: str) -> list[Record]:
    """Every k_f that an allowance takes on a device, beside the measurement it comes from."""
    worst: dict[tuple[str, str, str, str], Record] = {}
    for entry in recorded():
        if entry["engine"] != on(entry["engine"].removesuffix(ON_GPU), device):
            continue
        key = entry["function"], entry["what"], entry["dtype"], entry["engine"]
        if key not in worst or float(entry["roundings"]) > float(worst[key]["roundings"]):
            worst[key] = entry
    return [
        {
            "function": function,
            "what": what,
            "dtype": dtype,
            "engine": engine,
            "k": k(function, what, dtype, engine),
            "measured": entry["roundings"],
            "ulp": entry["ulp"],
            "at": ", ".join(f"{x:.6g}" for x in np.ravel([] if entry["at"] is None else entry["at"])),
            "inputs": entry["inputs"],
        }
        for (function, what, dtype, engine), entry in worst.items()
    ]
