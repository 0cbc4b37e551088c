"""The same faults through what people use today: which of them each rule kills, and what it says of honest engines."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from adapters.checkers import check_grads, gradcheck
from adapters.contract import arithmetic_of
from adapters.faults.catalogue import FAULTS
from adapters.faults.fault import STAGES, Fault
from adapters.faults.networks import DRAWN, NETWORKS
from adapters.faults.planting import planted
from reference import network
from reference.arrays import Array
from reference.audit import audit, first_break
from reference.case import Case, Trace
from reference.training import Plan, Step, descent, train
from reports.faults.kill_matrix import parts, quiet
from reports.faults.rules import CURVES, RULES, Rule, quantities
from reports.results.fault_records import CheckerRow, CheckerRun, Killed, Refused
from reports.running.engines import loaded

Engine = Any
"""An adapter that a checker can examine: torch's for gradcheck, JAX's for check_grads, one that trains for a curve."""

DTYPE = "float32"
"""The format in which the rules are compared; gradcheck takes its own derivative in float64."""

STEPS, LEARNING_RATE = 10, 0.1

SLOW_SEEDS = 2
"""gradcheck evaluates the loss twice for every weight, and is given fewer draws."""


class Checker(NamedTuple):
    """A way to tell whether an engine computes a Case rightly.

    name       its own
    engine     whose autodiff it is shown
    content    engine and Case -> whether it finds nothing wrong
    given      what it is given, and is not timed: the trace, what is expected, the losses
    seeds      how many it is shown at most; None for all
    """

    name: str
    engine: str
    content: Callable[[Engine, Case], bool]
    given: Callable[[Engine, Case], object] = lambda adapter, case: None
    seeds: int | None = None


def audited(adapter: Engine, case: Case) -> bool:
    """What this suite does."""
    return first_break(audit(case, traced(adapter, case), arithmetic_of(adapter))) is None


def by_rule(rule: Rule) -> Callable[[Engine, Case], bool]:
    """The gradients and the loss against the reference's, in float64."""
    return lambda adapter, case: rule.agrees(quantities(traced(adapter, case)), expected(case), case.dtype)


def by_curve(rule: Rule) -> Callable[[Engine, Case], bool]:
    """The losses of ten steps of gradient descent against the reference's."""

    def content(adapter: Engine, case: Case) -> bool:
        return rule.agrees([curve(adapter, case)], [expected_curve(case)], case.dtype)

    return content


@lru_cache(maxsize=64)
def traced(adapter: Engine, case: Case) -> Trace:
    return adapter.trace(case)


@lru_cache(maxsize=64)
def expected(case: Case) -> list[Array]:
    """The reference's gradients and loss, in float64."""
    return quantities(network.trace(case))


@lru_cache(maxsize=64)
def curve(adapter: Engine, case: Case) -> Array:
    """The losses of an engine's ten steps."""
    return losses(adapter.train(case, plan(case)))


@lru_cache(maxsize=64)
def expected_curve(case: Case) -> Array:
    """The losses of the reference's ten steps, in float64."""
    return losses(train(replace(case, dtype="float64"), plan(case), network.trace))


def plan(case: Case) -> Plan:
    return descent((np.arange(case.samples),) * STEPS, LEARNING_RATE)


def losses(steps: Iterator[Step]) -> Array:
    return np.array([step.trace.loss for step in steps])


def both_traces(adapter: Engine, case: Case) -> object:
    return traced(adapter, case), expected(case)


def both_curves(adapter: Engine, case: Case) -> object:
    return curve(adapter, case), expected_curve(case)


CHECKERS = (
    Checker("audit", "torch-eager", audited, both_traces),
    *(Checker(rule.name, "torch-eager", by_rule(rule), both_traces) for rule in RULES),
    Checker("torch gradcheck, slow", "torch-eager", lambda e, c: gradcheck(e, c, fast=False), seeds=SLOW_SEEDS),
    Checker("torch gradcheck, fast", "torch-eager", lambda e, c: gradcheck(e, c, fast=True)),
    Checker("jax check_grads", "jax-jit", check_grads),
    *(Checker(rule.name, "torch-eager", by_curve(rule), both_curves) for rule in CURVES),
)
"""The audit first, then everything it is compared with."""


class Task(NamedTuple):
    """Some faults, or the networks without any, and the seeds."""

    faults: tuple[str, ...]
    networks: tuple[str, ...]
    seeds: tuple[int, ...]


def tasks(seeds: int) -> Iterator[Task]:
    """Every fault, then every honest network, a few at a time."""
    drawn = tuple(range(seeds))
    yield from (Task(part, (), drawn) for part in parts(tuple(FAULTS), 8))
    yield from (Task((), part, drawn) for part in parts(tuple(NETWORKS), 4))


def run(task: Task) -> list[CheckerRun]:
    """What each checker says of each fault, and of each network without one."""
    on_faults = [on_a_fault(checker, FAULTS[name], task.seeds) for name in task.faults for checker in CHECKERS]
    honest = [on_an_honest_engine(checker, name, task.seeds) for name in task.networks for checker in CHECKERS]
    return [record for records in (*on_faults, *honest) for record in records]


def on_a_fault(checker: Checker, fault: Fault, seeds: Sequence[int]) -> list[CheckerRun]:
    """The draws that a checker kills, of a fault that exceeds the precision; a record a stage."""
    wrong = faulty(checker.engine, fault.name)
    return [
        judged(checker, wrong, fault.network, stage, seeds, fault.name)
        for stage in STAGES
        if fault.exceeds(DTYPE, stage)
    ]


def on_an_honest_engine(checker: Checker, name: str, seeds: Sequence[int]) -> list[CheckerRun]:
    """The draws of an honest engine that a checker is not content with; a record a stage."""
    return [judged(checker, loaded(checker.engine, "cpu"), name, stage, seeds, None) for stage in STAGES]


@lru_cache(maxsize=4)
def faulty(engine: str, fault: str) -> Engine:
    """An engine with a fault, one for all checkers."""
    return planted(engine, FAULTS[fault])


def judged(
    checker: Checker, adapter: Engine, name: str, stage: str, seeds: Sequence[int], fault: str | None
) -> CheckerRun:
    """How often a checker is not content with an adapter."""
    refused, spent, chosen = 0, [], seeds[: checker.seeds]
    for seed in chosen:
        case = drawn(name, stage, seed)
        with quiet():
            checker.given(adapter, case)
            started = time.perf_counter()
            refused += not checker.content(adapter, case)
            spent.append(time.perf_counter() - started)
    return {
        "rule": checker.name,
        "fault": fault,
        "stage": stage,
        "draws": len(chosen),
        "refused": refused,
        "seconds": spent,
    }


@lru_cache(maxsize=64)
def drawn(name: str, stage: str, seed: int) -> Case:
    return DRAWN[stage](name, DTYPE, seed)


def table(records: Sequence[CheckerRun]) -> list[CheckerRow]:
    """A row for each checker: faults and draws killed at each stage, false alarms, milliseconds."""
    about = {rule.name: rule for rule in (*RULES, *CURVES)}
    rows: list[CheckerRow] = []
    for checker in CHECKERS:
        own = [record for record in records if record["rule"] == checker.name]
        rule = about.get(checker.name)
        rows.append(
            {
                "rule": checker.name,
                "engine": checker.engine,
                "source": rule.source if rule else None,
                "numbers": rule.numbers if rule else None,
                "called": rule.called if rule else True,
                "killed": {stage: killed(own, stage) for stage in STAGES},
                "false_alarms": {stage: alarms(own, stage) for stage in STAGES},
                "milliseconds": 1e3 * median(second for record in own for second in record["seconds"]),
            }
        )
    return rows


def killed(records: Sequence[CheckerRun], stage: str) -> Killed:
    """Faults killed in every draw, of how many; and draws killed, of how many."""
    of = [record for record in records if record["fault"] and record["stage"] == stage]
    return {
        "faults": sum(0 < record["draws"] == record["refused"] for record in of),
        "of": len(of),
        "draws": sum(record["refused"] for record in of),
        "of_draws": sum(record["draws"] for record in of),
    }


def alarms(records: Sequence[CheckerRun], stage: str) -> Refused:
    """Honest draws refused, of how many."""
    of = [record for record in records if not record["fault"] and record["stage"] == stage]
    return {"draws": sum(record["refused"] for record in of), "of_draws": sum(record["draws"] for record in of)}
