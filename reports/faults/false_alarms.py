"""False alarms: honest engines over ordinary and adversarial Cases, where every finding that does not hold is counted.

A Case is made from the seed, its kind of draw, its dtype and its index alone: `case_of` makes it again. A finding that
does not hold is an alarm, unless a divergence (`reports/divergences/`) explains it: then it is a finding about the
framework, and is counted under the divergence's id.
"""

import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any, cast

import numpy as np

from adapters.contract import FAILURES, Adapter, arithmetic_of, describe
from reference.activations import HIDDEN
from reference.arithmetic import Arithmetic
from reference.audit import Finding, MalformedTrace, audit, audit_composed
from reference.case import Case
from reference.cases import Shape
from reference.network import trace as reference_trace
from reports.divergences.known import SOFTPLUS_OVERFLOW
from reports.divergences.measure import divergences
from reports.faults.adversarial_cases import KINDS, STRETCH, Unanswerable, case_of, combination_of, drawn
from reports.results.fault_records import Alarm, AlarmFinding, Alarms, CaseBreaks, Chunk, HonestRow
from reports.results.files import number
from reports.results.journal import append, measured_with, opened, source
from reports.results.records import Divergence, Element, Origin
from reports.running import workers
from reports.running.engines import loaded
from reports.running.tally import shortened

SCHEMA = "backprop-parity/alarms/1"

ENGINES = ("numpy", "torch-eager", "jax-jit")
"""The honest engines; jax-whole compiles a program for every network."""


# --- what is found in a Case


def findings_of(adapter: Adapter, case: Case, arithmetic: Arithmetic) -> list[Finding]:
    """Every finding of the audit and of the composed equations."""
    with np.errstate(all="ignore"):
        trace = adapter.trace(case)
        return audit(case, trace, arithmetic) + audit_composed(case, trace, arithmetic)


def replay(spec: str, seed: int, kind: str, dtype: str, index: int, device: str = "cpu") -> list[Finding]:
    """The findings of an alarm's Case once more."""
    adapter = loaded(spec, device)
    return findings_of(adapter, case_of(seed, kind, dtype, index), arithmetic_of(adapter, device))


def broken(finding: Finding) -> AlarmFinding:
    """A finding that does not hold, as it stands in the journal."""
    worst = None if finding.worst is None else cast(Element, asdict(finding.worst))
    return {"equation": finding.equation, "layer": finding.layer, "ratio": finding.ratio, "worst": worst}


def breaks_of(adapter: Adapter, case: Case, arithmetic: Arithmetic) -> tuple[list[Finding], list[AlarmFinding]]:
    """The findings of a Case, and those of them that do not hold, or in their place why there is none."""
    try:
        found = findings_of(adapter, case, arithmetic)
    except MalformedTrace as error:
        return [], [without_finding(f"malformed trace: {error}")]
    except FAILURES as error:
        return [], [without_finding(describe(error))]
    return found, [broken(finding) for finding in found if not finding.holds] if found else [
        without_finding("no finding")
    ]


def without_finding(reason: str) -> AlarmFinding:
    """In the place of a finding, why there is none."""
    return {"equation": None, "layer": None, "ratio": None, "worst": None, "reason": reason}


@dataclass(frozen=True)
class Turn:
    """What a worker does in one go: Cases of one engine, dtype and shape; (kind, first index, how many) each."""

    spec: str
    device: str
    dtype: str
    seed: int
    stretches: tuple[tuple[str, int, int], ...]


def run_turn(task: tuple[Turn, Path]) -> int:
    """Audit so many Cases of each kind that the engine supports; each chunk becomes a line of the journal at once."""
    turn, journal = task
    adapter, audited = loaded(turn.spec, turn.device), 0
    for kind, start, wanted in turn.stretches:
        index, left = start, wanted
        while left > 0 and index < start + PATIENCE * wanted + len(HIDDEN) * STRETCH:
            chunk = run_chunk(adapter, turn, kind, index, left)
            append(journal, dict(chunk))
            index, left, audited = chunk["stop"], left - chunk["cases"], audited + chunk["cases"]
    return audited


PATIENCE = 4
"""Of so many Cases, and of all hidden activations, an engine supports at least one: else the kind stays short."""


def run_chunk(adapter: Adapter, turn: Turn, kind: str, start: int, wanted: int) -> Chunk:
    """Cases from an index on, to the end of its stretch, or until so many were audited."""
    began, arithmetic = time.perf_counter(), arithmetic_of(adapter, turn.device)
    cases = numbers = redrawn = 0
    worst: tuple[float, str | None] = (0.0, None)
    breaks: list[CaseBreaks] = []
    not_run = Counter[str]()
    stop = start
    for stop in range(start + 1, (start // STRETCH + 1) * STRETCH + 1):
        try:
            case, before = drawn(turn.seed, kind, turn.dtype, stop - 1)
        except Unanswerable as error:
            not_run[str(error)] += 1
            continue
        if (supported := adapter.supports(case)) is not True:
            not_run[str(supported)] += 1
            continue
        found, bad = breaks_of(adapter, case, arithmetic)
        if bad:
            breaks.append({"index": stop - 1, "findings": bad})
        else:
            worst = max(worst, *((finding.ratio, finding.equation) for finding in found), key=lambda pair: pair[0])
        cases, redrawn, numbers = cases + 1, redrawn + before, numbers + sum(finding.elements for finding in found)
        if cases == wanted:
            break
    return {
        "engine": turn.spec,
        "dtype": turn.dtype,
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


def header(seed: int, device: str) -> dict[str, Any]:
    """The first line of a journal: what its chunks depend on."""
    about = {"schema": SCHEMA, "seed": seed, "device": device}
    return {**about, "source": source(__name__), **measured_with()}


# --- the campaign

Cell = tuple[str, str, str]
"""Engine, dtype and kind."""

MOST_IN_TURN = 5000
"""Cases of one cell in one turn: turns of a cell follow one another, so that its indices leave no gap."""


def quotas(specs: Sequence[str], dtypes: Sequence[str], cases: int) -> dict[Cell, int]:
    """How many Cases each engine, dtype and kind gets; the first ones get one more where the division leaves some."""
    cells = list(product(specs, dtypes, KINDS))
    each, rest = divmod(cases, len(cells))
    return {cell: each + (i < rest) for i, cell in enumerate(cells)}


def of_cell(chunks: Iterable[Chunk]) -> dict[Cell, list[Chunk]]:
    """The chunks of each cell."""
    found: dict[Cell, list[Chunk]] = {}
    for chunk in chunks:
        found.setdefault((chunk["engine"], chunk["dtype"], chunk["kind"]), []).append(chunk)
    return found


def turns(wanted: dict[Cell, int], chunks: Iterable[Chunk], device: str, seed: int) -> Iterator[Turn]:
    """What is left to do: a turn for each engine, dtype and shape, as a worker compiles for these once."""
    done = of_cell(chunks)
    left: dict[tuple[str, str, Shape], list[tuple[str, int, int]]] = {}
    for (spec, dtype, kind), quota in wanted.items():
        before = done.get((spec, dtype, kind), [])
        missing = quota - sum(chunk["cases"] for chunk in before)
        start = max((chunk["stop"] for chunk in before), default=0)
        if missing > 0:
            stretch = kind, start, min(missing, MOST_IN_TURN)
            left.setdefault((spec, dtype, KINDS[kind].shape), []).append(stretch)
    for (spec, dtype, _), stretches in left.items():
        yield Turn(spec, device, dtype, seed, tuple(stretches))


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

    What the journal in the folder has is not run again. `progress` is told how many are audited, of how many; `tell` is
    given notices. Raises ResultsError for a journal of another campaign, CampaignError where a worker dies.
    """
    began, journal, wanted = time.perf_counter(), folder / JOURNAL, quotas(specs, dtypes, cases)
    chunks = cast(list[Chunk], opened(journal, first := header(seed, device), tell))
    rows: list[Divergence] = []
    short = -1
    while (left := missing(wanted, chunks)) not in (0, short):
        short = left

        def count(audited: int) -> None:
            nonlocal left
            left -= audited
            progress(cases - left, cases)

        ordered = sorted(turns(wanted, chunks, device, seed), key=costly, reverse=True)
        workers.each(run_turn, [(turn, journal) for turn in ordered], processes, count)
        chunks = cast(list[Chunk], opened(journal, first, tell))
    departing = sorted({chunk["dtype"] for chunk in chunks if chunk["breaks"]})
    for of_dtype in workers.each(rows_of, [(tuple(specs), device, dtype) for dtype in departing], processes):
        rows += of_dtype
    kept = [chunk for cell, found in of_cell(chunks).items() if cell in wanted for chunk in found]
    return summary(kept, rows, seed) | {"seconds": round(time.perf_counter() - began, 1)}


def rows_of(task: tuple[tuple[str, ...], str, str]) -> list[Divergence]:
    """The table of divergences in one dtype, in a worker."""
    specs, device, dtype = task
    return divergences(specs, device, [dtype])


def missing(wanted: dict[Cell, int], chunks: Iterable[Chunk]) -> int:
    """How many Cases are not yet audited."""
    done = of_cell(chunks)
    return sum(max(0, quota - sum(chunk["cases"] for chunk in done.get(cell, []))) for cell, quota in wanted.items())


def costly(turn: Turn) -> tuple[bool, int]:
    """What takes long, and is to begin first: engines that compile, and many Cases."""
    return turn.spec.startswith("jax"), sum(wanted for _, _, wanted in turn.stretches)


# --- what is said of all chunks


def summary(chunks: Sequence[Chunk], rows: Sequence[Divergence], seed: int) -> Alarms:
    """The counts, every alarm, and what the divergences explain."""
    alarms: list[Alarm] = []
    explained = Counter[str]()
    not_run = Counter[tuple[str, str]]()
    by: list[HonestRow] = []
    for (engine, dtype, kind), found in of_cell(chunks).items():
        here: list[Alarm] = []
        for chunk in found:
            for item in chunk["breaks"]:
                with np.errstate(all="ignore"):
                    unexplained, named = judged(item["findings"], rows, engine, (seed, kind, dtype, item["index"]))
                explained.update(named)
                here += [alarm(finding, engine, dtype, kind, item["index"], seed) for finding in unexplained]
            not_run.update({(engine, reason): n for reason, n in chunk["not_run"].items()})
        worst = max((chunk["worst"] for chunk in found), key=lambda pair: pair[0])
        by.append(
            {
                "engine": engine,
                "dtype": dtype,
                "kind": kind,
                "cases": sum(c["cases"] for c in found),
                "numbers": sum(c["numbers"] for c in found),
                "redrawn": sum(c["redrawn"] for c in found),
                "worst": shortened(number(worst[0])),
                "equation": worst[1],
                "alarms": len(here),
                "seconds": round(sum(c["seconds"] for c in found), 1),
            }
        )
        alarms += here
    return {
        "cases": sum(item["cases"] for item in by),
        "numbers": sum(item["numbers"] for item in by),
        "alarms": alarms,
        "explained": {"findings": explained.total(), "rows": dict(explained.most_common())},
        "not_run": [{"engine": e, "reason": reason, "cases": n} for (e, reason), n in not_run.most_common()],
        "by": by,
    }


Place = tuple[int, str, str, int]
"""Seed, kind, dtype and index of a Case."""


def judged(
    findings: Sequence[AlarmFinding], rows: Sequence[Divergence], engine: str, place: Place
) -> tuple[list[AlarmFinding], list[str]]:
    """The findings of one Case that no divergence explains, and the ids of the rows that explain the others.

    A finding with an operand that is not a number, or infinite, is the consequence of the one before it, where that is
    explained.
    """
    hidden, output, loss = combination_of(*place[1:])
    origin: Origin = {"engine": engine, "dtype": place[2], "hidden": hidden, "output": output, "loss": loss}
    unexplained, named, before = [], [], None
    for finding in findings:
        row = before
        if finite(finding):
            row = explanation(rows, origin, finding, place)
        if row is None:
            unexplained.append(finding)
        else:
            named.append(row)
            before = row
    return unexplained, named


def finite(finding: AlarmFinding) -> bool:
    """Whether there is a number that it should be, and one that it may be off by: its operands are numbers then."""
    if (worst := finding["worst"]) is None:
        return True
    return bool(np.isfinite([number(worst["expected"]), number(worst["allowed"])]).all())


def explanation(rows: Sequence[Divergence], origin: Origin, finding: AlarmFinding, place: Place) -> str | None:
    """The id of the row that explains a finding, by the rule of a campaign, or None.

    Where z goes beyond what a campaign draws, a departure that is listed within may be larger, as torch's CELU is the
    farther off the larger |z| is; and what is listed beyond alone explains where the Case goes there.
    """
    from reports.divergences.explaining import explains

    if finding["equation"] is None:
        return None
    if softplus_overflows(origin, finding, place):
        return SOFTPLUS_OVERFLOW.identity(origin["dtype"])
    if (row := explains(rows, origin, finding)) is not None or not KINDS[place[1]].beyond:
        return row
    larger = [cast(Divergence, {**row, "departure": dict.fromkeys(row.get("departure", ()), np.inf)}) for row in rows]
    if (row := explains(larger, origin, finding)) is not None:
        return row
    z = reference_trace(case_of(*place)).z
    assert z is not None
    size = max(float(np.abs(array).max()) for array in z.values())
    near = [cast(Divergence, {**row, "ordinary": True}) for row in larger if begins(row) <= size * NEAR]
    return explains(near, origin, finding)


def softplus_overflows(origin: Origin, finding: AlarmFinding, place: Place) -> bool:
    """Whether a finding is the overflow of torch's softplus, SOFTPLUS_OVERFLOW."""
    last = finding["equation"] == "9"
    function = origin["output"] if last else origin["hidden"]
    concerned = SOFTPLUS_OVERFLOW.concerns(origin["engine"], function, origin["dtype"])
    worst, l = finding["worst"], finding["layer"]
    if worst is None or l is None or not (concerned and finding["equation"] in ("9", "14")):
        return False
    if not np.isinf(number(worst["observed"])):
        return False
    case = case_of(*place)
    trace, at = reference_trace(case), tuple(worst["index"])
    assert trace.z is not None and trace.a is not None and trace.delta is not None  # noqa: PT018
    g = case.criterion.derivative(trace.a[l], case.y) if last else trace.delta[l + 1] @ case.W[l + 1]
    parameters = case.activation(l).parameters
    return SOFTPLUS_OVERFLOW.overflows(trace.z[l][at], np.abs(g[at]) / case.samples, parameters, case.dtype)


NEAR = 4.0
"""A departure begins up to so many times nearer to 0 than where it is asked for: z² overflows at half of 2 √largest."""


def begins(row: Divergence) -> float:
    """The smallest of the inputs that a row and its note name, each by its largest |z|, infinite at infinity."""
    inputs = re.findall(r"z = \[?([^\],;]+(?:, [^\],;=]+)*)", f"{row['input']}; {row['note']}")
    sizes = [re.findall(r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?", text.partition(" and ")[0]) for text in inputs]
    return min((max(abs(float(size)) for size in found) for found in sizes if found), default=np.inf)


def alarm(finding: AlarmFinding, engine: str, dtype: str, kind: str, index: int, seed: int) -> Alarm:
    """A false alarm, and how to see it again."""
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
