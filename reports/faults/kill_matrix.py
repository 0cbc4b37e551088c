"""The kill matrix: every seeded fault in every engine and format, at both stages of training, over many seeds."""

import math
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache, partial
from typing import NamedTuple, cast

import numpy as np

from adapters.contract import Adapter, Trainer, arithmetic_of, load
from adapters.faults.batching import BATCH_FAULTS, PLAN, TRAINED_IN, BatchFault, Misled
from adapters.faults.catalogue import FAULTS
from adapters.faults.fault import STAGES, Fault
from adapters.faults.networks import DRAWN
from adapters.faults.planting import OF_ONE_PROGRAM, planted
from adapters.faults.updates import UPDATES, UpdateFault, kept_as
from adapters.faults.updating import MAKERS, course, findings, honest_findings, planted_at, planted_step
from reference import audit as au
from reference.arithmetic import Arithmetic
from reference.arrays import Array, Place
from reference.audit import MalformedTrace
from reference.case import Case, Trace
from reference.optimisers import optimiser
from reference.rounding import LARGEST, UNIT_ROUNDOFF, rounding
from reference.training import Plan, draw_batches
from reports.results.fault_records import Elsewhere, MatrixCell
from reports.running.engines import loaded
from reports.running.tally import Tally
from reports.trajectories.steps import steps

Location = tuple[str, int]
"""Equation and layer."""

IN_ONE_PROGRAM = (
    *(
        "transposed-weight",
        "transposed-forward",
        "transposed-gradient",
        "bias-forgotten",
        "bias-subtracted",
        "bias-shifted",
    ),
    *("activation-forgotten", "activation-twice", "sigmoid-for-tanh", "units-swapped", "gradient-of-neighbours"),
    *("last-row-dropped", "last-sample-dropped", "last-unit-dropped", "bias-gradient-summed"),
    *(
        "weight-gradient-averaged-twice",
        "loss-summed",
        "losses-averaged",
        "labels-shifted",
        "frozen-weights",
        "detached",
    ),
    *("gradient-twice", "gradient-ascent", "one-element", "one-bias", "nan-in-gradient", "nan-in-loss", "last-bit"),
)
"""Faults planted under torch.compile and in one program of JAX."""

PANEL: dict[str, Fault] = {**FAULTS, **UPDATES, **BATCH_FAULTS}
"""Every fault: of the forward and the backward pass, of the update, and of the batches."""

CERTAIN = 2.0
"""Allowances: an honest engine cannot change a step by more than two of them, whatever its own rounding was."""


class Planting(NamedTuple):
    """Work for one worker: some faults, of one network where they are of the passes, planted in one engine."""

    engine: str
    dtypes: tuple[str, ...]
    faults: tuple[str, ...]
    seeds: tuple[int, ...]


def plantings(engines: Sequence[str], dtypes: Sequence[str], seeds: int) -> Iterator[Planting]:
    """All the work: by engine, format and network, and for an engine of one program a few faults at a time.

    Faults of the update are planted in the engines that have optimisers, in the formats in which those make a step; of
    the batches, in the formats in which training is audited.
    """
    numbers = tuple(range(seeds))
    networks = dict.fromkeys(fault.network for fault in FAULTS.values())
    for engine in engines:
        if engine in OF_ONE_PROGRAM:
            if "float32" in dtypes:
                yield from (Planting(engine, ("float32",), some, numbers) for some in at_most(7, IN_ONE_PROGRAM))
            continue
        for dtype in dtypes:
            for network in networks:
                names = tuple(name for name, fault in FAULTS.items() if fault.network == network)
                yield from (Planting(engine, (dtype,), some, numbers) for some in at_most(40, names))
            if engine in MAKERS:
                names = tuple(name for name, fault in UPDATES.items() if fault.runs(dtype))
                yield from (Planting(engine, (dtype,), some, numbers) for some in at_most(40, names))
                if dtype in TRAINED_IN:
                    yield from (Planting(engine, (dtype,), some, numbers) for some in at_most(40, BATCH_FAULTS))


def at_most(size: int, names: Iterable[str]) -> Iterator[tuple[str, ...]]:
    """The names, at most `size` at a time."""
    names = tuple(names)
    return (names[start : start + size] for start in range(0, len(names), size))


def run(planting: Planting) -> list[MatrixCell]:
    """The cell of each format, fault and stage."""
    return [
        cell
        for dtype in planting.dtypes
        for name in planting.faults
        for cell in cells_of_fault(planting.engine, PANEL[name], dtype, planting.seeds)
    ]


def cells_of_fault(engine: str, fault: Fault, dtype: str, seeds: Sequence[int]) -> Iterator[MatrixCell]:
    """The cells of a fault in an engine and format: one for each stage of training."""
    if isinstance(fault, UpdateFault):
        draw_one = partial(draw_update, engine, fault, dtype)
    elif isinstance(fault, BatchFault):
        draw_one = partial(draw_training, engine, fault, dtype)
    else:
        draw_one = partial(draw_pass, engine, planted(engine, fault), fault, dtype)
    for stage in STAGES:
        yield matrix_cell(engine, fault, dtype, stage, [draw_one(stage, seed) for seed in seeds])


class HonestTrace(NamedTuple):
    """A Case, the checks of an engine's trace without a fault, and the locations in which that breaks by itself."""

    case: Case
    checks: dict[Location, au.Check]
    broken: frozenset[Location]


@lru_cache(maxsize=64)
def honest_trace(engine: str, network: str, dtype: str, stage: str, seed: int) -> HonestTrace:
    """The trace of an engine without a fault; of torch-compile it is that of eager torch, which computes the same."""
    case, adapter = DRAWN[stage](network, dtype, seed), load("torch-eager" if engine == "torch-compile" else engine)
    with without_warnings():
        checks = checks_of(case, adapter.trace(case), arithmetic_of(adapter))
        return HonestTrace(case, checks, frozenset((f.equation, f.layer) for f in breaks(checks, dtype)))


@contextmanager
def without_warnings() -> Iterator[None]:
    """No warning of a number that is not finite, which is a finding."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        yield


def checks_of(case: Case, trace: Trace, arithmetic: Arithmetic) -> dict[Location, au.Check]:
    """The checks of a trace by equation and layer."""
    return {check[:2]: check for check in au.local(case, trace, rounding(case.dtype, arithmetic))}


def breaks(checks: dict[Location, au.Check], dtype: str) -> list[au.Finding]:
    """The findings that do not hold, in the order of the computation."""
    findings = (au.finding(*check, LARGEST[dtype]) for check in checks.values())
    return [finding for finding in findings if not finding.holds]


class Draw(NamedTuple):
    """A fault planted once: whether it is killed, where it is found, and by how much it changes the step it is in.

    What breaks in the honest engine as well (a listed divergence of it) is not a sign of the fault, and is set aside.

    found     the equation and the layer of the first finding that does not hold
    change    in allowances of the step's equation, the largest over its elements
    in_u      in units of u of the step's own values
    ratio     of that finding
    """

    seed: int
    killed: bool
    found: Location | None
    change: float
    in_u: float
    ratio: float


def draw_pass(engine: str, faulty: Adapter, fault: Fault, dtype: str, stage: str, seed: int) -> Draw:
    """A fault of the passes in one Case, whose trace is audited; the honest engine's trace shows what it changed."""
    right = honest_trace(engine, fault.network, dtype, stage, seed)
    with without_warnings():
        checks = checks_of(right.case, faulty.trace(right.case), arithmetic_of(faulty))
        broken = [f for f in breaks(checks, dtype) if (f.equation, f.layer) not in right.broken]
        change, in_u = change_of(right.checks[fault.breaks], checks[fault.breaks], UNIT_ROUNDOFF[dtype])
    if not broken:
        return Draw(seed, False, None, change, in_u, 0.0)
    return Draw(seed, True, (broken[0].equation, broken[0].layer), change, in_u, broken[0].ratio)


def draw_update(engine: str, fault: UpdateFault, dtype: str, stage: str, seed: int) -> Draw:
    """A fault in one step of an optimiser; it and the honest steps of its window are audited, each by itself.

    The change is that of the element with the worst ratio, the largest over the parameters that the fault is planted
    in. What breaks in the honest steps as well is not a sign of the fault; where it comes first, it names none either.
    """
    window, at = (engine, fault.setting, dtype, stage, seed, fault.window), planted_at(fault, seed)
    with without_warnings():
        moment, right = course(*window)[at], honest_findings(*window)
        before, after = (moment.new_w, moment.new_state), planted_step(engine, fault, dtype, stage, moment)
        wrong = findings(engine, fault.setting, dtype, stage, moment, *after)
        moves = [
            move_at_worst(
                dtype, finding, kept_as(finding.equation, place, *before), kept_as(finding.equation, place, *after)
            )
            for place, of_place in wrong.items()
            for finding in of_place
            if finding.equation in fault.equations
        ]
    aside, broken = breaks_by_step(right), breaks_by_step([*right[:at], right[at] | wrong, *right[at + 1 :]])
    change, in_u = (max(column) for column in zip(*moves, strict=True))
    if broken.keys() <= aside.keys():
        return Draw(seed, False, None, change, in_u, 0.0)
    key, first = next(iter(broken.items()))
    equation = f"{first.equation} of the honest step" if key in aside else first.equation
    return Draw(seed, True, (equation, first.layer), change, in_u, first.ratio)


BATCH, EPOCHS = 12, 3
"""Samples and epochs of the runs in which faults of the batches are planted: 32 samples are batches of 12, 12 and 8."""


class HonestRun(NamedTuple):
    """A training run without a fault, and whether it holds."""

    case: Case
    plan: Plan
    holds: bool


@lru_cache(maxsize=64)
def honest_run(engine: str, network: str, dtype: str, stage: str, seed: int) -> HonestRun:
    """The run of an engine that begins at the stage, without a fault of the batches."""
    case = DRAWN[stage](network, dtype, seed)
    plan = Plan(draw_batches(np.random.default_rng([seed, BATCH]), case.samples, BATCH, EPOCHS), optimiser("adam"))
    with without_warnings():
        return HonestRun(case, plan, first_break_of_run(loaded(engine, "cpu"), case, plan) is None)


def draw_training(engine: str, fault: BatchFault, dtype: str, stage: str, seed: int) -> Draw:
    """A fault of the batches in a training run that begins at the stage, every step of which is audited.

    It is killed in the step that breaks first, or that is malformed and so has no equation; but only if the same run
    without the fault holds. The change is that step's ratio: of the honest run it would be 1 at most.
    """
    right = honest_run(engine, fault.network, dtype, stage, seed)
    misled = cast(Adapter, Misled(cast(Trainer, loaded(engine, "cpu")), fault))
    with without_warnings():
        wrong = first_break_of_run(misled, right.case, right.plan)
        if wrong is None or not right.holds:
            return Draw(seed, False, None, 0.0, 0.0, 0.0)
        if isinstance(wrong, MalformedTrace):
            return Draw(seed, True, (PLAN, 0), math.inf, math.inf, math.inf)
        return Draw(seed, True, (wrong.equation, wrong.layer), wrong.ratio, in_u_of_expected(wrong, dtype), wrong.ratio)


def first_break_of_run(adapter: Adapter, case: Case, plan: Plan) -> au.Finding | MalformedTrace | None:
    """The first finding of a training run that does not hold, or why a step is not one of the plan; else None."""
    try:
        for audited in steps(adapter, "cpu", case, plan, Tally()):
            if (guilty := au.first_break(audited.findings)) is not None:
                return guilty
    except MalformedTrace as error:
        return error
    return None


def in_u_of_expected(finding: au.Finding, dtype: str) -> float:
    """How far off the worst element of a finding is, in u of what is expected."""
    if finding.worst is None:
        return math.inf
    off = np.abs(np.float64(finding.worst.observed) - finding.worst.expected)
    return largest_move(np.asarray(off), np.float64(UNIT_ROUNDOFF[dtype] * abs(finding.worst.expected)))


def breaks_by_step(
    steps: Sequence[dict[Place, list[au.Finding]]],
) -> dict[tuple[int, Place, str], au.Finding]:
    """The findings that do not hold, by step, parameter and line of the optimiser, in the order of the computation."""
    return {
        (step, place, finding.equation): finding
        for step, of_step in enumerate(steps)
        for place, of_place in of_step.items()
        for finding in of_place
        if not finding.holds
    }


def move_at_worst(dtype: str, finding: au.Finding, before: Array | float, after: Array | float) -> tuple[float, float]:
    """How far a fault moves an array: in allowances at the element with the worst ratio, and in u the farthest move."""
    moved = np.asarray(np.abs(np.subtract(after, before)))
    in_u = largest_move(moved, np.asarray(UNIT_ROUNDOFF[dtype] * np.abs(before)))
    if finding.worst is None:
        return math.inf, in_u
    return largest_move(moved[finding.worst.index], np.float64(finding.worst.allowed)), in_u


def change_of(right: au.Check, wrong: au.Check, u: float) -> tuple[float, float]:
    """How far a fault moves what its equation defines, relative to what is expected, in allowances and in u.

    Both checks expect the same, except where that follows what is observed, at a kink, and where another program
    rounds the operands differently. So a move from one admissible value to another is not a change.
    """
    _, _, before, expected, allowed = right
    _, _, after, expected_after, _ = wrong
    before, after = np.asarray(before), np.asarray(after)
    moved = np.abs((after - expected_after) - (before - expected))
    moved = np.where(after == before, 0.0, moved)  # equal infinities differ by nothing
    return largest_move(moved, allowed), largest_move(moved, u * np.abs(before))


def largest_move(moved: Array, unit: au.Number) -> float:
    """The largest move in units: infinite where one is NaN, and 0 in any unit for what has not moved."""
    ratio = np.where(moved == 0, 0.0, moved / unit)
    return float(np.where(np.isnan(ratio), math.inf, ratio).max())


def matrix_cell(engine: str, fault: Fault, dtype: str, stage: str, draws: Iterable[Draw]) -> MatrixCell:
    """The cell of a fault, engine, format and stage.

    A draw that is not killed is missed where the fault claims to show in that format, or moves its step by more than
    any honest engine could; else it is indistinguishable at this precision.
    """
    draws, claimed = list(draws), fault.exceeds(dtype, stage)
    survived = [d for d in draws if not d.killed]
    missed = [d for d in survived if claimed or not d.change <= CERTAIN]
    elsewhere: list[Elsewhere] = [
        {"seed": d.seed, "found": d.found, "ratio": d.ratio} for d in draws if d.found and not fault.names(*d.found)
    ]
    return {
        "fault": fault.name,
        "engine": engine,
        "dtype": dtype,
        "stage": stage,
        "claimed": claimed,
        "draws": len(draws),
        "killed": len(draws) - len(survived),
        "localised": len(draws) - len(survived) - len(elsewhere),
        "missed": len(missed),
        "indistinguishable": len(survived) - len(missed),
        "change": min(d.change for d in draws),
        "in_u": min(d.in_u for d in draws),
        "ratio": min((math.inf if math.isnan(d.ratio) else d.ratio for d in draws if d.killed), default=None),
        "misses": [{"seed": d.seed, "change": d.change} for d in missed],
        "elsewhere": elsewhere,
    }
