"""False alarms: honest engines over ordinary and adversarial Cases, where every finding that does not hold is counted.

A Case follows from the seed, its kind of draw, its dtype and its index alone: `case_of` draws the same again. A finding
that does not hold is an alarm, unless a divergence (`reports/divergences/`) explains it: then it is a finding about the
framework, and is counted under the divergence's id.
"""

import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import NamedTuple, TypedDict, cast

import numpy as np

from adapters.contract import FAILURES, Adapter, arithmetic_of, describe
from reference.activations import HIDDEN
from reference.arithmetic import Arithmetic
from reference.audit import Finding, MalformedTrace, audit, audit_composed
from reference.case import Case
from reference.cases import Shape
from reference.network import trace as reference_trace
from reports.divergences.explaining import explains
from reports.divergences.known import SOFTPLUS_OVERFLOW
from reports.divergences.measure import divergences
from reports.faults.adversarial_cases import KINDS, STRETCH, Unanswerable, case_of, combination_of, draw_answerable
from reports.results.fault_records import Alarm, AlarmFinding, Alarms, AuditedRange, CaseBreaks, HonestRow
from reports.results.files import number
from reports.results.journal import append, measured_with, opened, source
from reports.results.records import Divergence, Element, Origin
from reports.running import workers
from reports.running.engines import loaded
from reports.running.tally import shortened

SCHEMA = "backprop-parity/alarms/1"

ENGINES = ("numpy", "torch-eager", "jax-jit")
"""The honest engines; jax-whole, which compiles a program for every network, is not among them."""

THREADS = int(workers.SETTINGS["OMP_NUM_THREADS"])
"""Threads of each worker, on which the order of a sum may depend."""


# --- the findings of a Case


def findings_of(adapter: Adapter, case: Case, arithmetic: Arithmetic) -> list[Finding]:
    """Every finding of the audit and of the composed equations."""
    with np.errstate(all="ignore"):
        trace = adapter.trace(case)
        return audit(case, trace, arithmetic) + audit_composed(case, trace, arithmetic)


def replay(spec: str, seed: int, kind: str, dtype: str, index: int, device: str = "cpu") -> list[Finding]:
    """The findings of an alarm's Case once more."""
    adapter = loaded(spec, device)
    return findings_of(adapter, case_of(seed, kind, dtype, index), arithmetic_of(adapter, device))


def finding_record(finding: Finding) -> AlarmFinding:
    """A finding as it stands in the journal."""
    worst = None if finding.worst is None else cast(Element, asdict(finding.worst))
    return {"equation": finding.equation, "layer": finding.layer, "ratio": finding.ratio, "worst": worst}


def without_finding(reason: str) -> AlarmFinding:
    """The record of why there is no finding."""
    return {"equation": None, "layer": None, "ratio": None, "worst": None, "reason": reason}


def examined(adapter: Adapter, case: Case, arithmetic: Arithmetic) -> tuple[list[Finding], list[AlarmFinding]]:
    """The findings of a Case, and the records of those that do not hold; or the record of why there are none."""
    try:
        findings = findings_of(adapter, case, arithmetic)
    except MalformedTrace as error:
        return [], [without_finding(f"malformed trace: {error}")]
    except FAILURES as error:
        return [], [without_finding(describe(error))]
    if not findings:
        return [], [without_finding("no finding")]
    return findings, [finding_record(finding) for finding in findings if not finding.holds]


# --- the work


class Portion(NamedTuple):
    """So many Cases of a kind of draw, from an index on."""

    kind: str
    start: int
    cases: int


@dataclass(frozen=True)
class Workload:
    """Work for one worker: Cases of one engine, dtype and shape, and the journal that they go into."""

    spec: str
    device: str
    dtype: str
    seed: int
    portions: tuple[Portion, ...]
    journal: Path


PATIENCE = 4
"""Indices tried for each Case wanted, beside a stretch of each hidden activation; then the kind stays short."""


def run(workload: Workload) -> int:
    """Audit as many Cases of each kind as are wanted, adding a line to the journal for each range of them."""
    adapter, audited = loaded(workload.spec, workload.device), 0
    for kind, start, cases in workload.portions:
        index, left = start, cases
        while left > 0 and index < start + PATIENCE * cases + len(HIDDEN) * STRETCH:
            line = audit_range(adapter, workload, kind, index, left)
            append(workload.journal, line)
            index, left, audited = line["stop"], left - line["cases"], audited + line["cases"]
    return audited


def audit_range(adapter: Adapter, workload: Workload, kind: str, start: int, most: int) -> AuditedRange:
    """Audit Cases from an index on, to the end of its stretch, or until so many were audited."""
    began, arithmetic = time.perf_counter(), arithmetic_of(adapter, workload.device)
    cases = numbers = redrawn = 0
    worst: tuple[float, str | None] = (0.0, None)
    breaks: list[CaseBreaks] = []
    not_run = Counter[str]()
    stop = start
    for stop in range(start + 1, (start // STRETCH + 1) * STRETCH + 1):
        try:
            case, redraws = draw_answerable(workload.seed, kind, workload.dtype, stop - 1)
        except Unanswerable as error:
            not_run[str(error)] += 1
            continue
        if (supported := adapter.supports(case)) is not True:
            not_run[str(supported)] += 1
            continue
        findings, broken = examined(adapter, case, arithmetic)
        if broken:
            breaks.append({"index": stop - 1, "findings": broken})
        else:
            worst = max(worst, *((finding.ratio, finding.equation) for finding in findings), key=lambda pair: pair[0])
        cases, redrawn = cases + 1, redrawn + redraws
        numbers += sum(finding.elements for finding in findings)
        if cases == most:
            break
    return {
        "engine": workload.spec,
        "dtype": workload.dtype,
        "kind": kind,
        "start": start,
        "stop": stop,
        "cases": cases,
        "numbers": numbers,
        "redrawn": redrawn,
        "not_run": dict(not_run),
        "worst": worst,
        "breaks": breaks,
        "seconds": round(time.perf_counter() - began, 3),
    }


# --- the journal

JOURNAL = "alarms.jsonl"


class Header(TypedDict):
    """The first line of a journal: what its ranges depend on."""

    schema: str
    seed: int
    device: str
    threads: int
    source: str
    versions: dict[str, str]
    processor: str


def header(seed: int, device: str) -> Header:
    """The header of a journal that is begun now."""
    return {
        "schema": SCHEMA,
        "seed": seed,
        "device": device,
        "threads": THREADS,
        "source": source(__name__),
        **measured_with(),
    }


# --- what is left to do

Stratum = tuple[str, str, str]
"""Engine, dtype and kind of draw: the Cases are spread evenly over all of them."""

MOST_AT_ONCE = 5000
"""Cases of one stratum in a workload at most; its workloads follow one another, so that its indices have no gap."""


def quotas(specs: Sequence[str], dtypes: Sequence[str], cases: int) -> dict[Stratum, int]:
    """How many Cases each stratum gets; where the division leaves some, the first ones get one more."""
    strata = list(product(specs, dtypes, KINDS))
    each, rest = divmod(cases, len(strata))
    return {stratum: each + (i < rest) for i, stratum in enumerate(strata)}


def by_stratum(ranges: Iterable[AuditedRange]) -> dict[Stratum, list[AuditedRange]]:
    """The ranges of each stratum."""
    groups: dict[Stratum, list[AuditedRange]] = {}
    for each in ranges:
        groups.setdefault((each["engine"], each["dtype"], each["kind"]), []).append(each)
    return groups


def cases_left(quota: Mapping[Stratum, int], ranges: Iterable[AuditedRange]) -> dict[Stratum, int]:
    """How many Cases of each stratum are not yet audited."""
    done = by_stratum(ranges)
    return {
        stratum: max(0, cases - sum(each["cases"] for each in done.get(stratum, ())))
        for stratum, cases in quota.items()
    }


def workloads(
    quota: Mapping[Stratum, int], ranges: Sequence[AuditedRange], device: str, seed: int, journal: Path
) -> Iterator[Workload]:
    """The work that is left, by engine, dtype and shape, as an engine that compiles does so once for these."""
    done = by_stratum(ranges)
    portions: dict[tuple[str, str, Shape], list[Portion]] = {}
    for (spec, dtype, kind), left in cases_left(quota, ranges).items():
        start = max((each["stop"] for each in done.get((spec, dtype, kind), ())), default=0)
        if left:
            portion = Portion(kind, start, min(left, MOST_AT_ONCE))
            portions.setdefault((spec, dtype, KINDS[kind].shape), []).append(portion)
    for (spec, dtype, _), of_shape in portions.items():
        yield Workload(spec, device, dtype, seed, tuple(of_shape), journal)


def cost(workload: Workload) -> tuple[bool, int]:
    """Sorts workloads by how long they take: an engine that compiles takes longer than any other, then many Cases."""
    return workload.spec.startswith("jax"), sum(portion.cases for portion in workload.portions)


# --- the whole


def measure(
    specs: Sequence[str],
    device: str,
    dtypes: Sequence[str],
    cases: int,
    seed: int,
    folder: Path,
    processes: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
    tell: Callable[[str], None] = print,
) -> Alarms:
    """Audit so many Cases, spread evenly over engines, dtypes and kinds, and count what does not hold.

    What the journal in the folder has is not audited again. `progress` gets how many are done, of how many; `tell` gets
    notices. Raises ResultsError for a journal of another measurement, CampaignError where a worker dies.
    """
    began, journal, quota = time.perf_counter(), folder / JOURNAL, quotas(specs, dtypes, cases)
    first = header(seed, device)
    ranges = cast(list[AuditedRange], opened(journal, first, tell))
    before = -1
    while (left := sum(cases_left(quota, ranges).values())) not in (0, before):
        before = left

        def count(audited: int) -> None:
            nonlocal left
            left -= audited
            progress(cases - left, cases)

        longest_first = sorted(workloads(quota, ranges, device, seed, journal), key=cost, reverse=True)
        workers.each(run, longest_first, processes, count)
        ranges = cast(list[AuditedRange], opened(journal, first, tell))
    departing = sorted({each["dtype"] for each in ranges if each["breaks"]})
    tables = workers.each(divergences_in, [(tuple(specs), device, dtype) for dtype in departing], processes)
    rows = [row for table in tables for row in table]
    done = by_stratum(ranges)  # in the order in which the workers came to them, which differs from run to run
    in_order = [each for stratum in quota for each in done.get(stratum, ())]
    return alarms_of(in_order, rows, seed) | {"seconds": round(time.perf_counter() - began, 1)}


def divergences_in(argument: tuple[tuple[str, ...], str, str]) -> list[Divergence]:
    """The table of divergences of engines on a device in one dtype, in a worker."""
    specs, device, dtype = argument
    return divergences(specs, device, [dtype])


# --- alarms, and what is explained


def alarms_of(ranges: Sequence[AuditedRange], rows: Sequence[Divergence], seed: int) -> Alarms:
    """The counts over ranges of Cases, every alarm, and what the rows of divergences explain."""
    alarms: list[Alarm] = []
    explained = Counter[str]()
    not_run = Counter[tuple[str, str]]()
    by: list[HonestRow] = []
    for (engine, dtype, kind), of_stratum in by_stratum(ranges).items():
        here: list[Alarm] = []
        for each in of_stratum:
            for case in each["breaks"]:
                with np.errstate(all="ignore"):
                    unexplained, ids = explain_findings(
                        case["findings"], rows, engine, (seed, kind, dtype, case["index"])
                    )
                explained.update(ids)
                here += [alarm(finding, engine, dtype, kind, case["index"], seed) for finding in unexplained]
            not_run.update({(engine, reason): n for reason, n in each["not_run"].items()})
        worst = max((each["worst"] for each in of_stratum), key=lambda pair: pair[0])
        by.append(
            {
                "engine": engine,
                "dtype": dtype,
                "kind": kind,
                "cases": sum(each["cases"] for each in of_stratum),
                "numbers": sum(each["numbers"] for each in of_stratum),
                "redrawn": sum(each["redrawn"] for each in of_stratum),
                "worst": shortened(number(worst[0])),
                "equation": worst[1],
                "alarms": len(here),
                "seconds": round(sum(each["seconds"] for each in of_stratum), 1),
            }
        )
        alarms += here
    return {
        "cases": sum(row["cases"] for row in by),
        "numbers": sum(row["numbers"] for row in by),
        "alarms": alarms,
        "explained": {"findings": explained.total(), "rows": dict(explained.most_common())},
        "not_run": [{"engine": e, "reason": reason, "cases": n} for (e, reason), n in not_run.most_common()],
        "by": by,
    }


CaseKey = tuple[int, str, str, int]
"""What a Case is drawn from: seed, kind of draw, dtype and index."""


def explain_findings(
    findings: Sequence[AlarmFinding], rows: Sequence[Divergence], engine: str, key: CaseKey
) -> tuple[list[AlarmFinding], list[str]]:
    """The findings of one Case that no divergence explains, and the ids of the rows that explain the others.

    A finding with an operand that is infinite, or not a number, is the consequence of the one before it, where that is
    explained.
    """
    _, kind, dtype, index = key
    hidden, output, loss = combination_of(kind, dtype, index)
    origin: Origin = {"engine": engine, "dtype": dtype, "hidden": hidden, "output": output, "loss": loss}
    unexplained, ids, before = [], [], None
    for finding in findings:
        row = explanation(rows, origin, finding, key) if finite(finding) else before
        if row is None:
            unexplained.append(finding)
        else:
            ids.append(row)
            before = row
    return unexplained, ids


def finite(finding: AlarmFinding) -> bool:
    """Whether what is expected and what is allowed are numbers, as they are where the operands are."""
    if (worst := finding["worst"]) is None:
        return True
    return bool(np.isfinite([number(worst["expected"]), number(worst["allowed"])]).all())


def explanation(rows: Sequence[Divergence], origin: Origin, finding: AlarmFinding, key: CaseKey) -> str | None:
    """The id of the row that explains a finding, by the rule of a campaign, or None.

    Where z goes beyond what a campaign draws, a departure that is listed within may be larger, as torch's CELU is the
    farther off the larger |z| is; and what is listed beyond alone explains where the Case goes there.
    """
    if finding["equation"] is None:
        return None
    if softplus_overflows(origin, finding, key):
        return SOFTPLUS_OVERFLOW.identity(origin["dtype"])
    if (row := explains(rows, origin, finding)) is not None or not KINDS[key[1]].beyond:
        return row
    larger = [cast(Divergence, {**row, "departure": dict.fromkeys(row.get("departure", ()), np.inf)}) for row in rows]
    if (row := explains(larger, origin, finding)) is not None:
        return row
    z = reference_trace(case_of(*key)).z
    assert z is not None
    size = max(float(np.abs(array).max()) for array in z.values())
    reached = [cast(Divergence, {**row, "ordinary": True}) for row in larger if begins(row) <= size * NEAR]
    return explains(reached, origin, finding)


def softplus_overflows(origin: Origin, finding: AlarmFinding, key: CaseKey) -> bool:
    """Whether a finding is the overflow of torch's softplus, SOFTPLUS_OVERFLOW."""
    last = finding["equation"] == "9"
    function = origin["output"] if last else origin["hidden"]
    concerned = SOFTPLUS_OVERFLOW.concerns(origin["engine"], function, origin["dtype"])
    worst, l = finding["worst"], finding["layer"]
    if worst is None or l is None or not (concerned and finding["equation"] in ("9", "14")):
        return False
    if not np.isinf(number(worst["observed"])):
        return False
    case = case_of(*key)
    trace, at = reference_trace(case), tuple(worst["index"])
    assert trace.z is not None and trace.a is not None and trace.delta is not None  # noqa: PT018
    g = case.criterion.derivative(trace.a[l], case.y) if last else trace.delta[l + 1] @ case.W[l + 1]
    parameters = case.activation(l).parameters
    return SOFTPLUS_OVERFLOW.overflows(trace.z[l][at], np.abs(g[at]) / case.samples, parameters, case.dtype)


NEAR = 4.0
"""A departure may begin so many times nearer to 0 than where it is listed: z² overflows at half of 2 √largest."""


def begins(row: Divergence) -> float:
    """The smallest of the inputs that a row and its note name, each by its largest |z|, infinite at infinity."""
    inputs = re.findall(r"z = \[?([^\],;]+(?:, [^\],;=]+)*)", f"{row['input']}; {row['note']}")
    sizes = [re.findall(r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?", text.partition(" and ")[0]) for text in inputs]
    return min((max(abs(float(size)) for size in of_input) for of_input in sizes if of_input), default=np.inf)


def alarm(finding: AlarmFinding, engine: str, dtype: str, kind: str, index: int, seed: int) -> Alarm:
    """The record of a false alarm, with the call that shows it again."""
    return {
        "engine": engine,
        "dtype": dtype,
        "kind": kind,
        "index": index,
        "seed": seed,
        "combination": list(combination_of(kind, dtype, index)),
        **finding,
        "replay": f"reports.faults.false_alarms.replay({engine!r}, {seed}, {kind!r}, {dtype!r}, {index})",
    }
