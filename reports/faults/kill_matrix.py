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
from reference.arrays import Array
from reference.audit import MalformedTrace
from reference.case import Case, Trace
from reference.optimisers import optimiser
from reference.rounding import LARGEST, UNIT_ROUNDOFF, rounding
from reference.training import Plan, draw_batches
from reports.results.fault_records import Elsewhere, MatrixCell
from reports.running.engines import loaded
from reports.running.tally import Tally
from reports.trajectories.steps import steps

Place = tuple[str, int]
"""Equation and layer."""

Parameter = tuple[str, int]
"""W or b, and layer."""

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
"""A change of more than two allowances is not an honest engine's, whatever its own rounding was."""


class Task(NamedTuple):
    """What a worker does in one go: the faults of one network in one engine, in some formats, over some seeds."""

    engine: str
    dtypes: tuple[str, ...]
    faults: tuple[str, ...]
    seeds: tuple[int, ...]


def tasks(engines: Sequence[str], dtypes: Sequence[str], seeds: int) -> Iterator[Task]:
    """Every task: one for each engine and network, and the one-program engines' by a few faults each.

    Faults of the update are planted in the engines that have optimisers, in the formats in which those make a step.
    """
    drawn = tuple(range(seeds))
    networks = dict.fromkeys(fault.network for fault in FAULTS.values())
    for engine in engines:
        if engine in OF_ONE_PROGRAM:
            if "float32" in dtypes:
                yield from (Task(engine, ("float32",), part, drawn) for part in parts(IN_ONE_PROGRAM, 7))
            continue
        for dtype in dtypes:
            for network in networks:
                names = tuple(name for name, fault in FAULTS.items() if fault.network == network)
                yield from (Task(engine, (dtype,), part, drawn) for part in parts(names, 40))
            if engine in MAKERS:
                names = tuple(name for name, fault in UPDATES.items() if fault.runs(dtype))
                yield from (Task(engine, (dtype,), part, drawn) for part in parts(names, 40))
                if dtype in TRAINED_IN:
                    yield from (Task(engine, (dtype,), part, drawn) for part in parts(tuple(BATCH_FAULTS), 40))


def parts(names: Sequence[str], size: int) -> Iterator[tuple[str, ...]]:
    """The names, at most `size` at a time."""
    return (tuple(names[start : start + size]) for start in range(0, len(names), size))


def run(task: Task) -> list[MatrixCell]:
    """A record for each fault, format and stage of a task."""
    return [
        record
        for dtype in task.dtypes
        for name in task.faults
        for record in of_fault(task.engine, PANEL[name], dtype, task.seeds)
    ]


def of_fault(engine: str, fault: Fault, dtype: str, seeds: Sequence[int]) -> Iterator[MatrixCell]:
    """What became of a fault in an engine and format: one record a stage of training."""
    if isinstance(fault, UpdateFault):
        draw_one = partial(draw_update, engine, fault, dtype)
    elif isinstance(fault, BatchFault):
        draw_one = partial(draw_batches_of, engine, fault, dtype)
    else:
        draw_one = partial(draw, engine, planted(engine, fault), fault, dtype)
    for stage in STAGES:
        yield summary(engine, fault, dtype, stage, [draw_one(stage, seed) for seed in seeds])


class Honest(NamedTuple):
    """A Case, the checks of the honest engine's trace by equation and layer, and where that engine itself breaks."""

    case: Case
    checks: dict[Place, au.Check]
    broken: frozenset[Place]


@lru_cache(maxsize=64)
def honest(engine: str, network: str, dtype: str, stage: str, seed: int) -> Honest:
    """An engine without a fault; torch-compile is set beside eager torch, which computes the same."""
    case, adapter = DRAWN[stage](network, dtype, seed), load("torch-eager" if engine == "torch-compile" else engine)
    with quiet():
        checks = checked(case, adapter.trace(case), arithmetic_of(adapter))
        return Honest(case, checks, frozenset((f.equation, f.layer) for f in breaks(checks, dtype)))


@contextmanager
def quiet() -> Iterator[None]:
    """What is not finite is a finding, not a warning."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        yield


def checked(case: Case, trace: Trace, arithmetic: Arithmetic) -> dict[Place, au.Check]:
    """The checks of a trace by equation and layer."""
    return {check[:2]: check for check in au.local(case, trace, rounding(case.dtype, arithmetic))}


def breaks(checks: dict[Place, au.Check], dtype: str) -> list[au.Finding]:
    """The findings that do not hold, in the order of the computation."""
    found = [au.finding(*check, LARGEST[dtype]) for check in checks.values()]
    return [finding for finding in found if not finding.holds]


class Draw(NamedTuple):
    """One planted trace: whether it was found and where, and by how much the fault changes the step it is in.

    What breaks in the honest engine as well (a listed divergence of it) is not a sign of the fault, and is set aside.

    change    in allowances of the step's equation, the largest over its elements
    in_u      in units of u of the step's own values
    ratio     of the first finding that does not hold
    """

    seed: int
    killed: bool
    found: Place | None
    change: float
    in_u: float
    ratio: float


def draw(engine: str, wrong: Adapter, fault: Fault, dtype: str, stage: str, seed: int) -> Draw:
    """Plant a fault in one Case and audit the trace; the honest engine's own trace says what the fault changed."""
    right = honest(engine, fault.network, dtype, stage, seed)
    with quiet():
        checks = checked(right.case, wrong.trace(right.case), arithmetic_of(wrong))
        found = [f for f in breaks(checks, dtype) if (f.equation, f.layer) not in right.broken]
        change, in_u = changed(right.checks[fault.breaks], checks[fault.breaks], UNIT_ROUNDOFF[dtype])
    place = (found[0].equation, found[0].layer) if found else None
    return Draw(seed, bool(found), place, change, in_u, found[0].ratio if found else 0.0)


def draw_update(engine: str, fault: UpdateFault, dtype: str, stage: str, seed: int) -> Draw:
    """Plant a fault in one step of an optimiser and audit it, and the honest steps of its window, each by itself.

    The change is that of the element which the audit finds the worst, in each parameter that the fault is planted in.
    What breaks in the honest steps as well is not a sign of the fault; where it is found first, it names none either.
    """
    which, at = (engine, fault.setting, dtype, stage, seed, fault.window), planted_at(fault, seed)
    with quiet():
        moment, right = course(*which)[at], honest_findings(*which)
        before, after = (moment.new_w, moment.new_state), planted_step(engine, fault, dtype, stage, moment)
        wrong = findings(engine, fault.setting, dtype, stage, moment, *after)
        moves = [
            moved_at_worst(
                dtype, finding, kept_as(finding.equation, place, *before), kept_as(finding.equation, place, *after)
            )
            for place, of_place in wrong.items()
            for finding in of_place
            if finding.equation in fault.equations
        ]
    aside, found = broken(right), broken([*right[:at], right[at] | wrong, *right[at + 1 :]])
    change, in_u = (max(column) for column in zip(*moves, strict=True))
    if found.keys() <= aside.keys():
        return Draw(seed, False, None, change, in_u, 0.0)
    key, first = next(iter(found.items()))
    equation = f"{first.equation} of the honest step" if key in aside else first.equation
    return Draw(seed, True, (equation, first.layer), change, in_u, first.ratio)


BATCH, EPOCHS = 12, 3
"""Of the training runs that the faults of the batches are planted in: 32 samples are batches of 12, 12 and 8."""


def draw_batches_of(engine: str, fault: BatchFault, dtype: str, stage: str, seed: int) -> Draw:
    """Plant a fault in the batches of a training run, every step of which is audited.

    The change is the ratio of the first finding that does not hold: the honest run, which must hold, would have at most
    one allowance of it. A step that is none of the plan has no equation.
    """
    case, adapter = DRAWN[stage](fault.network, dtype, seed), loaded(engine, "cpu")
    plan = Plan(draw_batches(np.random.default_rng([seed, BATCH]), case.samples, BATCH, EPOCHS), optimiser("adam"))
    with quiet():
        honest = first_broken(adapter, case, plan)
        wrong = first_broken(cast(Adapter, Misled(cast(Trainer, adapter), fault)), case, plan)
    if wrong is None or honest is not None:
        return Draw(seed, False, None, 0.0, 0.0, 0.0)
    if isinstance(wrong, MalformedTrace):
        return Draw(seed, True, (PLAN, 0), math.inf, math.inf, math.inf)
    return Draw(seed, True, (wrong.equation, wrong.layer), wrong.ratio, in_roundings(wrong, dtype), wrong.ratio)


def first_broken(adapter: Adapter, case: Case, plan: Plan) -> au.Finding | MalformedTrace | None:
    """The first finding of a training run that does not hold, or why a step is none of the plan; None if all hold."""
    try:
        for audited in steps(adapter, "cpu", case, plan, Tally()):
            if (guilty := au.first_break(audited.findings)) is not None:
                return guilty
    except MalformedTrace as error:
        return error
    return None


def in_roundings(finding: au.Finding, dtype: str) -> float:
    """How far off the worst element of a finding is, in u of what it should be."""
    if finding.worst is None:
        return math.inf
    off = np.abs(np.float64(finding.worst.observed) - finding.worst.expected)
    return worst(np.asarray(off), np.float64(UNIT_ROUNDOFF[dtype] * abs(finding.worst.expected)))


def broken(
    steps: Sequence[dict[Parameter, list[au.Finding]]],
) -> dict[tuple[int, Parameter, str], au.Finding]:
    """What does not hold, by step, parameter and line, in the order of the computation."""
    return {
        (step, place, finding.equation): finding
        for step, of_step in enumerate(steps)
        for place, of_place in of_step.items()
        for finding in of_place
        if not finding.holds
    }


def moved_at_worst(dtype: str, finding: au.Finding, before: Array | float, after: Array | float) -> tuple[float, float]:
    """How far a fault moves something, in allowances at the element with the worst ratio, and in u, the largest."""
    moved = np.asarray(np.abs(np.subtract(after, before)))
    in_u = worst(moved, np.asarray(UNIT_ROUNDOFF[dtype] * np.abs(before)))
    if finding.worst is None:
        return math.inf, in_u
    return worst(moved[finding.worst.index], np.float64(finding.worst.allowed)), in_u


def changed(right: au.Check, wrong: au.Check, u: float) -> tuple[float, float]:
    """How far a fault moves what its equation defines, beside what that expects, in allowances and in u.

    What is expected is the same in both, but where it follows what is observed, at a kink, and where another program
    rounds the operands otherwise. So a move from one admissible value to another is not a change.
    """
    _, _, before, expected, allowed = right
    _, _, after, followed, _ = wrong
    before, after = np.asarray(before), np.asarray(after)
    moved = np.abs((after - followed) - (before - expected))
    moved = np.where(after == before, 0.0, moved)  # equal infinities differ by nothing
    return worst(moved, allowed), worst(moved, u * np.abs(before))


def worst(moved: Array, unit: au.Number) -> float:
    """The largest move in units; NaN is beyond all numbers, and what has not moved is 0 in any unit."""
    ratio = np.where(moved == 0, 0.0, moved / unit)
    return float(np.where(np.isnan(ratio), math.inf, ratio).max())


def summary(engine: str, fault: Fault, dtype: str, stage: str, draws: Iterable[Draw]) -> MatrixCell:
    """The record of one cell of the matrix.

    A draw is killed; or missed, where the fault is said to show in that format or moves its step by more than any
    honest engine could; or else indistinguishable at this precision.
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
