"""The same faults through what people use today: which of them each checker refuses, and which honest engines."""

import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from statistics import median
from typing import Any, NamedTuple, Protocol, cast

import numpy as np

from adapters.checkers import check_grads, gradcheck
from adapters.contract import Adapter, Trainer, arithmetic_of
from adapters.faults.catalogue import FAULTS
from adapters.faults.fault import STAGES, Fault
from adapters.faults.networks import DRAWN, NETWORKS
from adapters.faults.planting import planted
from reference import network
from reference.arrays import Array
from reference.audit import audit, first_break
from reference.case import Case, Trace
from reference.training import Plan, Step, descent, train
from reports.faults.kill_matrix import at_most, without_warnings
from reports.faults.rules import CURVES, RULES, Rule, quantities
from reports.results.fault_records import CheckerRow, CheckerRun, Killed, Refused
from reports.running.engines import loaded


class Examined(Adapter, Trainer, Hashable, Protocol):
    """An engine that a checker can examine: torch's for gradcheck, JAX's for check_grads."""

    def function(self, case: Case) -> tuple[Callable[..., Any], list[Any]]:
        """L as a function of W^1 … W^{L-1}, b^1 … b^{L-1}, and those, in the framework's own arrays."""
        ...


DTYPE = "float32"
"""The format in which the rules are compared; gradcheck takes its own derivative in float64."""

STEPS, LEARNING_RATE = 10, 0.1

SLOW_SEEDS = 2
"""gradcheck evaluates the loss twice for every weight, and is given fewer draws."""


class Checker(NamedTuple):
    """A way to tell whether an engine computes a Case rightly.

    name       its own
    engine     whose autodiff it examines
    accepts    engine and Case -> whether it finds nothing wrong
    prepare    computes what it compares, such as traces and losses, which is not timed
    seeds      the most draws that it examines; None for all
    """

    name: str
    engine: str
    accepts: Callable[[Examined, Case], bool]
    prepare: Callable[[Examined, Case], object] = lambda adapter, case: None
    seeds: int | None = None


def accepted_by_audit(adapter: Examined, case: Case) -> bool:
    """Whether this suite's audit holds throughout."""
    return first_break(audit(case, traced(adapter, case), arithmetic_of(adapter))) is None


def by_rule(rule: Rule) -> Callable[[Examined, Case], bool]:
    """Whether a rule accepts the gradients and the loss, beside the reference's in float64."""
    return lambda adapter, case: rule.agrees(quantities(traced(adapter, case)), expected(case), case.dtype)


def by_curve(rule: Rule) -> Callable[[Examined, Case], bool]:
    """Whether a rule accepts the losses of ten steps of gradient descent, beside the reference's."""
    return lambda adapter, case: rule.agrees([curve(adapter, case)], [expected_curve(case)], case.dtype)


@lru_cache(maxsize=64)
def traced(adapter: Examined, case: Case) -> Trace:
    """The engine's trace, computed once for all checkers."""
    return adapter.trace(case)


@lru_cache(maxsize=64)
def expected(case: Case) -> list[Array]:
    """The reference's gradients and loss, in float64."""
    return quantities(network.trace(case))


@lru_cache(maxsize=64)
def curve(adapter: Examined, case: Case) -> Array:
    """The losses of an engine's ten steps."""
    return losses(adapter.train(case, plan(case)))


@lru_cache(maxsize=64)
def expected_curve(case: Case) -> Array:
    """The losses of the reference's ten steps, in float64."""
    return losses(train(replace(case, dtype="float64"), plan(case), network.trace))


def plan(case: Case) -> Plan:
    """Gradient descent on the whole set."""
    return descent((np.arange(case.samples),) * STEPS, LEARNING_RATE)


def losses(steps: Iterator[Step]) -> Array:
    """The loss of every step."""
    return np.array([step.trace.loss for step in steps])


def both_traces(adapter: Examined, case: Case) -> object:
    """What a rule compares."""
    return traced(adapter, case), expected(case)


def both_curves(adapter: Examined, case: Case) -> object:
    """What a rule over losses compares."""
    return curve(adapter, case), expected_curve(case)


CHECKERS = (
    Checker("audit", "torch-eager", accepted_by_audit, both_traces),
    *(Checker(rule.name, "torch-eager", by_rule(rule), both_traces) for rule in RULES),
    Checker("torch gradcheck, slow", "torch-eager", lambda e, c: gradcheck(e, c, fast=False), seeds=SLOW_SEEDS),
    Checker("torch gradcheck, fast", "torch-eager", lambda e, c: gradcheck(e, c, fast=True)),
    Checker("jax check_grads", "jax-jit", check_grads),
    *(Checker(rule.name, "torch-eager", by_curve(rule), both_curves) for rule in CURVES),
)
"""The audit first, then everything that it is compared with."""


class Examination(NamedTuple):
    """Work for one worker, through every checker: some faults, or some networks without one, and the seeds."""

    faults: tuple[str, ...]
    networks: tuple[str, ...]
    seeds: tuple[int, ...]


def examinations(seeds: int) -> Iterator[Examination]:
    """All the work: every fault, then every honest network, a few at a time."""
    numbers = tuple(range(seeds))
    yield from (Examination(names, (), numbers) for names in at_most(8, FAULTS))
    yield from (Examination((), names, numbers) for names in at_most(4, NETWORKS))


def run(examination: Examination) -> list[CheckerRun]:
    """The runs of each checker, on each fault and on each network without one."""
    seeds = examination.seeds
    of_faults = [runs_on_fault(checker, FAULTS[name], seeds) for name in examination.faults for checker in CHECKERS]
    honest = [runs_on_honest(checker, name, seeds) for name in examination.networks for checker in CHECKERS]
    return [record for records in (*of_faults, *honest) for record in records]


def runs_on_fault(checker: Checker, fault: Fault, seeds: Sequence[int]) -> list[CheckerRun]:
    """A run for each stage at which the fault exceeds the precision."""
    adapter = faulty(checker.engine, fault.name)
    return [
        checker_run(checker, adapter, fault.network, stage, seeds, fault.name)
        for stage in STAGES
        if fault.exceeds(DTYPE, stage)
    ]


def runs_on_honest(checker: Checker, network: str, seeds: Sequence[int]) -> list[CheckerRun]:
    """A run on the engine without a fault for each stage."""
    adapter = cast(Examined, loaded(checker.engine, "cpu"))
    return [checker_run(checker, adapter, network, stage, seeds, None) for stage in STAGES]


@lru_cache(maxsize=4)
def faulty(engine: str, fault: str) -> Examined:
    """An engine with a fault, the same for all checkers."""
    return cast(Examined, planted(engine, FAULTS[fault]))


def checker_run(
    checker: Checker, adapter: Examined, network: str, stage: str, seeds: Sequence[int], fault: str | None
) -> CheckerRun:
    """How many draws of a network a checker refuses, and the seconds that it takes for each."""
    refused, spent, chosen = 0, [], seeds[: checker.seeds]
    for seed in chosen:
        case = drawn_case(network, stage, seed)
        with without_warnings():
            checker.prepare(adapter, case)
            started = time.perf_counter()
            refused += not checker.accepts(adapter, case)
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
def drawn_case(network: str, stage: str, seed: int) -> Case:
    """The Case of a network, the same for all checkers."""
    return DRAWN[stage](network, DTYPE, seed)


def checker_rows(records: Sequence[CheckerRun]) -> list[CheckerRow]:
    """A row for each checker: faults and draws killed at each stage, false alarms, milliseconds."""
    rules = {rule.name: rule for rule in (*RULES, *CURVES)}
    rows: list[CheckerRow] = []
    for checker in CHECKERS:
        own = [record for record in records if record["rule"] == checker.name]
        rule = rules.get(checker.name)
        rows.append(
            {
                "rule": checker.name,
                "engine": checker.engine,
                "source": rule.source if rule else None,
                "numbers": rule.numbers if rule else None,
                "called": rule.called if rule else True,
                "killed": {stage: killed(own, stage) for stage in STAGES},
                "false_alarms": {stage: refused(own, stage) for stage in STAGES},
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


def refused(records: Sequence[CheckerRun], stage: str) -> Refused:
    """Honest draws refused, of how many."""
    of = [record for record in records if not record["fault"] and record["stage"] == stage]
    return {"draws": sum(record["refused"] for record in of), "of_draws": sum(record["draws"] for record in of)}
