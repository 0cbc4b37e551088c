"""False alarms: honest engines over ordinary and adversarial Cases, where every finding that does not hold is counted.

A Case is made from the seed, its kind of draw, its dtype and its index alone: `case_of` makes it again. A finding that
does not hold is an alarm, unless a divergence (`reports/divergences.py`) explains it: then it is a finding about the
framework, and is counted under the divergence's id.
"""

import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import as_completed
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import numpy as np

from adapters.contract import FAILURES, Adapter, describe
from reference import equations as eq
from reference.activations import HIDDEN
from reference.arrays import Array
from reference.audit import Finding, MalformedTrace, audit, audit_composed
from reference.case import Case, Trace
from reference.cases import COMBINATIONS, LARGEST_IN_HALF, LARGEST_TOTAL_INPUT, Combination, Shape, draw_case, tempered
from reference.losses import LOSSES
from reference.network import trace as reference_trace
from reference.rounding import (
    FORMATS,
    HALF,
    LARGEST,
    LIMITS,
    carried_value,
    rounded,
    rounding,
    total_input_error,
    value_error,
)
from reports.campaign import (
    Record,
    divergences,
    generator,
    judged_as,
    loaded,
    pool,
    shortened,
)
from reports.journal import append, measured_with, opened, source
from reports.results import number

SCHEMA = "backprop-parity/alarms/1"

ENGINES = ("numpy", "torch-eager", "jax-jit")
"""The honest engines; jax-whole compiles a program for every network."""

Draw = Callable[[np.random.Generator, Combination, Shape, str], Case]


# --- kinds of draw

USUAL, WIDE, DEEP = Shape((6, 8, 4, 6), 8), Shape((16, 256, 256), 4), Shape((5,) * 13, 3)
ALONE, NARROW = Shape(USUAL.widths, 1), Shape((1, 1, 1, 1), 3)
"""The shapes of all draws: few, since JAX compiles a layer for each."""


def ordinary(rng: np.random.Generator, names: Combination, shape: Shape, dtype: str) -> Case:
    """As a campaign draws; one in two has the usual parameters."""
    return draw_case(rng, names, shape, dtype, usual=rng.random() < 0.5)


def scaled(lowest: float, highest: float) -> Draw:
    """Ordinary weights times 2^k in every layer, k even between the two; not tempered, so that z goes anywhere."""

    def draw(rng: np.random.Generator, names: Combination, shape: Shape, dtype: str) -> Case:
        case = ordinary(rng, names, shape, dtype)
        factors = {l: 2 ** rng.uniform(lowest, highest) for l in case.layers}
        W = {l: rounded(case.W[l] * factors[l], dtype) for l in case.layers}
        return within_poles(case.with_parameters(W, case.b))

    return draw


def saturated(rng: np.random.Generator, names: Combination, shape: Shape, dtype: str) -> Case:
    """Biases of ±2^k, k even between 3 and at most 10, beside ordinary weights: functions at their asymptotes."""
    case, highest = ordinary(rng, names, shape, dtype), rng.uniform(3, 10)
    sizes = {l: 2 ** rng.uniform(3, highest, size=b.shape) for l, b in case.b.items()}
    b = {l: rounded(rng.choice([-1, 1], size=size.shape) * size, dtype) for l, size in sizes.items()}
    return within_poles(case.with_parameters(case.W, b))


def within_poles(case: Case) -> Case:
    """The Case, tempered if its loss has poles, to which a saturated probability is rounded."""
    return tempered(case) if has_poles(case) else case


def has_poles(case: Case) -> bool:
    """Whether the loss is one on probabilities: infinite at 0 and 1."""
    return case.criterion.domain == (0.0, 1.0)


def on_kinks(rng: np.random.Generator, names: Combination, shape: Shape, dtype: str) -> Case:
    """Total inputs exactly at kinks, bends, 0 and ±1, or one number beside them; residuals of 0, or at a loss's bend.

    Small integers make W a exact, and the bias of a unit takes one sample to the point.
    """
    case = ordinary(rng, names, shape, dtype)
    x = a = rng.integers(-3, 4, size=case.x.shape).astype(float)
    W, b = dict(case.W), dict(case.b)
    for l in case.layers:
        f = case.activation(l)
        limit = LARGEST_IN_HALF if dtype in HALF and l == case.last and has_poles(case) else LARGEST_TOTAL_INPUT
        points = [0.0, 1.0, -1.0, *(kink.at for kink in f.kinks), *f.bends]
        grid = rng.integers(-1, 2, size=W[l].shape).astype(float)
        size = np.abs(a @ grid.T).max()
        W[l] = rounded(grid * 2.0 ** -np.ceil(np.log2(max(size / (limit / 4), 1))), dtype)
        at = rounded(rng.choice(np.array(points), size=len(grid)), dtype).astype(FORMATS[dtype])
        at = np.where(rng.random(len(at)) < 0.25, np.nextafter(at, rng.choice([-8, 8], len(at)).astype(at.dtype)), at)
        sample = rng.integers(case.samples, size=len(grid))
        b[l] = rounded(at.astype(float) - (a @ W[l].T)[sample, np.arange(len(grid))], dtype)
        a = rounded(f.value(rounded(eq.total_input(W[l], b[l], a), dtype)), dtype)
    y = case.y
    if LOSSES[names.loss].labels == "real":
        bend = next(iter(case.criterion.parameters.values()), 1.0)
        beside = rounded(a + rng.choice([0.0, 0.0, bend, -bend], size=a.shape), dtype)
        y = np.where(rng.random(a.shape) < 0.7, beside, y)
    return replace(case, W=W, b=b, x=x, y=y)


def subnormal(rng: np.random.Generator, names: Combination, shape: Shape, dtype: str) -> Case:
    """No, half or all numbers of an array lie between the smallest subnormal and 4 times the smallest normal number.

    Or just below the smallest normal, where what an engine reads as 0 is largest.
    """
    case = ordinary(rng, names, shape, dtype)
    lowest, normal = (float(np.log2(end)) for end in ends(dtype))

    def shrunk(array: Array) -> Array:
        span = (lowest, normal + 2) if rng.random() < 0.5 else (normal - 1, normal)
        small = rng.choice([-1, 1], size=array.shape) * 2 ** rng.uniform(*span, size=array.shape)
        return rounded(np.where(rng.random(array.shape) < rng.choice([0.0, 0.5, 1.0]), small, array), dtype)

    W, b = ({l: shrunk(array) for l, array in layers.items()} for layers in (case.W, case.b))
    y = shrunk(case.y) if LOSSES[names.loss].labels == "real" else case.y
    return tempered(replace(case, W=W, b=b, x=shrunk(case.x), y=y))


def ends(dtype: str) -> tuple[float, float]:
    """The smallest subnormal and the smallest normal number of a format."""
    return float(LIMITS[dtype].smallest_subnormal), float(LIMITS[dtype].smallest_normal)


def zeros(rng: np.random.Generator, names: Combination, shape: Shape, dtype: str) -> Case:
    """Some arrays are 0 throughout, some in half of their rows."""
    case = ordinary(rng, names, shape, dtype)

    def blanked(array: Array) -> Array:
        chance = rng.choice([0.0, 0.5, 1.0])
        return array * (rng.random((len(array), *[1] * (array.ndim - 1))) >= chance)

    W, b = ({l: blanked(array) for l, array in layers.items()} for layers in (case.W, case.b))
    return tempered(replace(case, W=W, b=b, x=blanked(case.x)))


def cancelling(rng: np.random.Generator, names: Combination, shape: Shape, dtype: str) -> Case:
    """Sums whose terms cancel: units and inputs in equal pairs, their weights nearly opposite, up to 2⁷ times as large.

    Samples come in pairs as well, with labels mirrored about a, so that their error terms cancel in (7a) and (7b).
    """
    case = ordinary(rng, names, shape, dtype)
    x = paired(paired(case.x.T).T)
    W, b = {}, {l: paired(case.b[l]) for l in case.layers}
    for l in case.layers:
        W[l] = paired(case.W[l])
        remainder = W[l][:, 1::2]
        W[l][:, 0::2] *= 2 ** rng.uniform(0, 7)
        W[l][:, 1::2] = remainder / 8 - W[l][:, 0::2]
        W[l] = rounded(W[l], dtype)
    case = tempered(replace(case, W=W, b=b, x=x))
    if LOSSES[names.loss].labels != "real":
        return case
    y = case.y.copy()
    a = reference_trace(case).a
    assert a is not None
    y[1::2] = rounded(2 * a[case.last][0::2] - y[0::2], dtype)
    return replace(case, y=y)


def paired(array: Array) -> Array:
    """Every other row a copy of the one before."""
    return np.repeat(array[0::2], 2, axis=0)


class Kind(NamedTuple):
    """A kind of draw: its shape, how it draws, and whether |z| goes beyond what a campaign draws."""

    shape: Shape
    draw: Draw
    beyond: bool = False


KINDS = {
    "ordinary": Kind(USUAL, ordinary),
    "wide": Kind(WIDE, ordinary),
    "deep": Kind(DEEP, ordinary),
    "single sample": Kind(ALONE, ordinary),
    "single unit": Kind(NARROW, ordinary),
    "huge weights": Kind(USUAL, scaled(1, 10), beyond=True),
    "tiny weights": Kind(USUAL, scaled(-16, -1)),
    "kinks": Kind(USUAL, on_kinks),
    "saturated": Kind(USUAL, saturated, beyond=True),
    "subnormal": Kind(USUAL, subnormal),
    "zeros": Kind(USUAL, zeros),
    "cancelling": Kind(USUAL, cancelling),
}

STRETCH = 50
"""Cases in a row that have one hidden activation."""

OF_HIDDEN = {f: tuple(names for names in COMBINATIONS if names.hidden == f) for f in HIDDEN}


def combination_of(kind: str, dtype: str, index: int) -> Combination:
    """The combinations of one hidden activation in turn, then of the next; each kind and dtype begins elsewhere."""
    start = crc32(f"{kind} {dtype}".encode())
    names = OF_HIDDEN[HIDDEN[(start + index // STRETCH) % len(HIDDEN)]]
    return names[(start + index) % len(names)]


def case_of(seed: int, kind: str, dtype: str, index: int) -> Case:
    """The Case of that index: the first that is drawn which has an answer in its format; raises Unanswerable."""
    return drawn(seed, kind, dtype, index)[0]


MOST_DRAWS = 1000


class Unanswerable(ValueError):
    """A combination that has no answer in such a draw: log-softmax of one unit is 0, which has no direction."""


def drawn(seed: int, kind: str, dtype: str, index: int) -> tuple[Case, int]:
    """The Case of an index, and how many were drawn before it that have no answer."""
    rng = generator(seed, "alarms", kind, dtype, index)
    names, (shape, draw, _) = combination_of(kind, dtype, index), KINDS[kind]
    with np.errstate(all="ignore"):
        for before in range(MOST_DRAWS):
            if answerable(case := draw(rng, names, shape, dtype)):
                return case, before
    raise Unanswerable(f"{', '.join(names)}: none of {MOST_DRAWS} draws of {kind!r} in {dtype} has an answer")


def answerable(case: Case) -> bool:
    """Whether the equations give a number for everything, so small that the format holds twice a batch of it.

    A loss has none at a pole, and a format none beyond its largest number, which a sum over the batch and a square,
    twice the half squared error, are to stay below.
    """
    trace = reference_trace(case)
    return bool(largest(case, trace) * 2 * case.samples <= LARGEST[case.dtype]) and directed(case, trace)


def directed(case: Case, trace: Trace) -> bool:
    """Whether a has a direction where the loss asks for one: in no sample do the last layer's roundings make it 0."""
    if LOSSES[case.loss].labels != "direction":
        return True
    assert trace.z is not None and trace.a is not None  # noqa: PT018
    l, f, r = case.last, case.f_o, rounding(case.dtype)
    a_prev = trace.a[l - 1] if l > 1 else case.x
    moved = carried_value(f, trace.z[l], total_input_error(case.W[l], case.b[l], a_prev, r))
    return bool((np.abs(trace.a[l]) > value_error(f, trace.z[l], r) + moved).any(axis=1).all())


def largest(case: Case, trace: Trace) -> float:
    """The largest size of a number in a trace, or of a factor or a sum of sizes on the way to it; NaN if one is NaN."""
    assert trace.z is not None and trace.a is not None and trace.delta is not None and trace.losses is not None  # noqa: PT018
    a, loss = {0: case.x, **trace.a}, case.criterion
    on_the_way = [np.abs(a[l - 1]) @ np.abs(case.W[l]).T for l in case.layers]  # (N, n^l)
    on_the_way += [np.abs(trace.delta[l]) @ np.abs(case.W[l]) for l in case.layers[1:]]  # (N, n^{l-1})
    on_the_way.append(loss.derivative(loss.argument(trace.z[case.last], a[case.last]), case.y))
    layers = (trace.z, trace.a, trace.delta, trace.dW, trace.db)
    arrays = [trace.losses, *on_the_way, *(array for each in layers for array in each.values())]
    return float(np.max([np.abs(array).max() for array in arrays]))


# --- what is found in a Case


def findings_of(adapter: Adapter, case: Case, engine: str | None) -> list[Finding]:
    """Every finding of the audit and of the composed equations."""
    with np.errstate(all="ignore"):
        trace = adapter.trace(case)
        return audit(case, trace, engine) + audit_composed(case, trace, engine)


def replay(spec: str, seed: int, kind: str, dtype: str, index: int, device: str = "cpu") -> list[Finding]:
    """The findings of an alarm's Case once more."""
    adapter = loaded(spec, device)
    return findings_of(adapter, case_of(seed, kind, dtype, index), judged_as(adapter, device))


def broken(finding: Finding) -> Record:
    """A finding that does not hold, as it stands in the journal."""
    worst = None if finding.worst is None else asdict(finding.worst)
    return {"equation": finding.equation, "layer": finding.layer, "ratio": finding.ratio, "worst": worst}


def breaks_of(adapter: Adapter, case: Case, engine: str | None) -> tuple[list[Finding], list[Record]]:
    """The findings of a Case, and those of them that do not hold, or in their place why there is none."""
    try:
        found = findings_of(adapter, case, engine)
    except MalformedTrace as error:
        return [], [unheard(f"malformed trace: {error}")]
    except FAILURES as error:
        return [], [unheard(describe(error))]
    return found, [broken(finding) for finding in found if not finding.holds] if found else [unheard("no finding")]


def unheard(reason: str) -> Record:
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


def run_turn(turn: Turn, journal: Path) -> int:
    """Audit so many Cases of each kind that the engine supports; each chunk becomes a line of the journal at once."""
    adapter, audited = loaded(turn.spec, turn.device), 0
    for kind, start, wanted in turn.stretches:
        index, left = start, wanted
        while left > 0 and index < start + PATIENCE * wanted + len(HIDDEN) * STRETCH:
            chunk = run_chunk(adapter, turn, kind, index, left)
            append(journal, chunk)
            index, left, audited = chunk["stop"], left - chunk["cases"], audited + chunk["cases"]
    return audited


PATIENCE = 4
"""Of so many Cases, and of all hidden activations, an engine supports at least one: else the kind stays short."""


def run_chunk(adapter: Adapter, turn: Turn, kind: str, start: int, wanted: int) -> Record:
    """Cases from an index on, to the end of its stretch, or until so many were audited."""
    began, engine = time.perf_counter(), judged_as(adapter, turn.device)
    cases = numbers = redrawn = 0
    worst: tuple[float, str | None] = (0.0, None)
    breaks, not_run = [], Counter[str]()
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
        found, bad = breaks_of(adapter, case, engine)
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


def header(seed: int, device: str) -> Record:
    """The first line of a journal: what its chunks depend on."""
    about = {"schema": SCHEMA, "seed": seed, "device": device}
    return {**about, "source": source("reference", "adapters", "reports"), **measured_with()}


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


def of_cell(chunks: Iterable[Record]) -> dict[Cell, list[Record]]:
    """The chunks of each cell."""
    found: dict[Cell, list[Record]] = {}
    for chunk in chunks:
        found.setdefault((chunk["engine"], chunk["dtype"], chunk["kind"]), []).append(chunk)
    return found


def turns(wanted: dict[Cell, int], chunks: Iterable[Record], device: str, seed: int) -> Iterator[Turn]:
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
    executor_workers: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
    tell: Callable[[str], None] = print,
) -> Record:
    """Audit so many Cases, spread evenly over engines, dtypes and kinds, and count what does not hold.

    What the journal in the folder has is not run again. `progress` is told how many are audited, of how many; `tell` is
    given notices. Raises ResultsError for a journal of another campaign, CampaignError where a worker dies.
    """
    began, journal, wanted = time.perf_counter(), folder / JOURNAL, quotas(specs, dtypes, cases)
    chunks = opened(journal, first := header(seed, device), tell)
    rows: list[Record] = []
    with pool(executor_workers) as executor:
        short = -1
        while (left := missing(wanted, chunks)) not in (0, short):
            short = left
            waiting = turns(wanted, chunks, device, seed)
            futures = [executor.submit(run_turn, turn, journal) for turn in sorted(waiting, key=costly, reverse=True)]
            for future in as_completed(futures):
                left -= future.result()
                progress(cases - left, cases)
            chunks = opened(journal, first, tell)
        departing = sorted({chunk["dtype"] for chunk in chunks if chunk["breaks"]})
        for part in [executor.submit(divergences, specs, device, [dtype]) for dtype in departing]:
            rows += part.result()
    kept = [chunk for cell, found in of_cell(chunks).items() if cell in wanted for chunk in found]
    return summary(kept, rows, seed) | {"seconds": round(time.perf_counter() - began, 1)}


def missing(wanted: dict[Cell, int], chunks: Iterable[Record]) -> int:
    """How many Cases are not yet audited."""
    done = of_cell(chunks)
    return sum(max(0, quota - sum(chunk["cases"] for chunk in done.get(cell, []))) for cell, quota in wanted.items())


def costly(turn: Turn) -> tuple[bool, int]:
    """What takes long, and is to begin first: engines that compile, and many Cases."""
    return turn.spec.startswith("jax"), sum(wanted for _, _, wanted in turn.stretches)


# --- what is said of all chunks


def summary(chunks: Sequence[Record], rows: Sequence[Record], seed: int) -> Record:
    """The counts, every alarm, and what the divergences explain."""
    alarms: list[Record] = []
    explained = Counter[str]()
    not_run = Counter[tuple[str, str]]()
    by: list[Record] = []
    for (engine, dtype, kind), found in of_cell(chunks).items():
        here: list[Record] = []
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
                "worst": shortened(worst[0]),
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
    findings: Sequence[Record], rows: Sequence[Record], engine: str, place: Place
) -> tuple[list[Record], list[str]]:
    """The findings of one Case that no divergence explains, and the ids of the rows that explain the others.

    A finding with an operand that is no number, or infinite, is the consequence of the one before it, where that is
    explained.
    """
    item = {"engine": engine, "dtype": place[2], **combination_of(*place[1:])._asdict()}
    unexplained, named, before = [], [], None
    for finding in findings:
        row = before
        if finite(finding):
            row = explanation(rows, item, finding, place)
        if row is None:
            unexplained.append(finding)
        else:
            named.append(row)
            before = row
    return unexplained, named


def finite(finding: Record) -> bool:
    """Whether there is a number that it should be, and one that it may be off by: its operands are numbers then."""
    if (worst := finding["worst"]) is None:
        return True
    return bool(np.isfinite([number(worst["expected"]), number(worst["allowed"])]).all())


def explanation(rows: Sequence[Record], item: Record, finding: Record, place: Place) -> str | None:
    """The id of the row that explains a finding, by the rule of a campaign, or None.

    Where z goes beyond what a campaign draws, a departure that is listed within may be larger, as torch's CELU is the
    farther off the larger |z| is; and what is listed beyond alone explains where the Case goes there.
    """
    from reports.divergences import explains

    if finding["equation"] is None:
        return None
    if softplus_overflows(item, finding, place):
        return f"softplus/derivative/{item['dtype']}/overflow"
    if (row := explains(rows, item, finding)) is not None or not KINDS[place[1]].beyond:
        return row
    larger = [{**row, "departure": dict.fromkeys(row.get("departure", ()), np.inf)} for row in rows]
    if (row := explains(larger, item, finding)) is not None:
        return row
    z = reference_trace(case_of(*place)).z
    assert z is not None
    size = max(float(np.abs(array).max()) for array in z.values())
    return explains([{**row, "ordinary": True} for row in larger if begins(row) <= size * NEAR], item, finding)


def softplus_overflows(item: Record, finding: Record, place: Place) -> bool:
    """Whether it is torch's softplus, which takes a gradient g back as g e^{βz}/(1 + e^{βz}): infinite if g e^{βz} is.

    No row can list it, as it depends on the gradient: 10³⁵ at z = 15 is infinite in float32. In float16 torch computes
    it in float32.
    """
    role, last = ("output", True) if finding["equation"] == "9" else ("hidden", False)
    torch_s = item["engine"] == "torch-eager" and item["dtype"] != "float16" and item[role] == "softplus"
    if not (torch_s and finding["equation"] in ("9", "14") and np.isinf(number(finding["worst"]["observed"]))):
        return False
    case = case_of(*place)
    trace, l, at = reference_trace(case), finding["layer"], tuple(finding["worst"]["index"])
    assert trace.z is not None and trace.a is not None and trace.delta is not None  # noqa: PT018
    g = case.criterion.derivative(trace.a[l], case.y) if last else trace.delta[l + 1] @ case.W[l + 1]
    exponent = case.activation(l).parameters["beta"] * trace.z[l][at] + np.log(np.abs(g[at]) / case.samples)
    return bool(exponent > np.log(LARGEST[case.dtype]) - 1)  # z itself is rounded


NEAR = 4.0
"""A departure begins up to so many times nearer to 0 than where it is asked for: z² overflows at half of 2 √largest."""


def begins(row: Record) -> float:
    """The smallest of the inputs that a row and its note name, each by its largest |z|, infinite at infinity."""
    inputs = re.findall(r"z = \[?([^\],;]+(?:, [^\],;=]+)*)", f"{row['input']}; {row['note']}")
    sizes = [re.findall(r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?", text.partition(" and ")[0]) for text in inputs]
    return min((max(abs(float(size)) for size in found) for found in sizes if found), default=np.inf)


def alarm(finding: Record, engine: str, dtype: str, kind: str, index: int, seed: int) -> Record:
    """A false alarm, and how to see it again."""
    return {
        "engine": engine,
        "dtype": dtype,
        "kind": kind,
        "index": index,
        "seed": seed,
        "combination": list(combination_of(kind, dtype, index)),
        **finding,
        "replay": f"reports.alarms.replay({engine!r}, {seed}, {kind!r}, {dtype!r}, {index})",
    }
