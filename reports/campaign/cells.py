"""A campaign's cells: each a combination on one engine and dtype, audited over several random Cases.

Cells are handed to worker processes in groups; what a cell finds depends on the seed and its own names alone.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from adapters.contract import FAILURES, Adapter, arithmetic_of, lacks, received
from reference.audit import audit, audit_composed
from reference.case import Case
from reference.cases import Combination, cover, draw_case, draw_shape
from reference.diagnosis import diagnose
from reports.campaign.experiments import experiments
from reports.results.records import Record
from reports.running.engines import frozen, loaded
from reports.running.records import Clock, about, cell_id, failure, nothing, outcome
from reports.running.seeds import generator
from reports.running.tally import Tally
from reports.running.workers import Failure

THOROUGH = frozenset(cover())
"""Combinations that get every experiment, and further Cases with drawn parameters."""


def draw(seed: int, combination: Combination, dtype: str, cases: int) -> Iterator[Case]:
    """The Cases of a cell, the same for every engine: the first with the usual parameters, further ones with drawn."""
    shape = draw_shape(generator(seed, "shape", dtype))  # one for a dtype: an engine compiles for each shape
    for index in range(cases):
        rng = generator(seed, *combination, dtype, index)
        yield draw_case(rng, combination, shape, dtype, usual=index == 0)


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
    arithmetic = arithmetic_of(adapter, device)
    try:
        for index, case in enumerate(cases):
            if (lacking := lacks(adapter, frozen(case))) is not None:
                reason = reason or lacking
                continue
            with np.errstate(all="ignore"):  # what is not finite is a finding, not a warning
                with clock("engine"):
                    trace = received(adapter.trace(case))
                diagnosis = partial(diagnose, case, trace, arithmetic=arithmetic)
                with clock("audit"):
                    tally.add(audit(case, trace, arithmetic), index, diagnosis)
                with clock("experiments"):
                    if index == 0 and thorough:
                        rng = generator(seed, *names, dtype, "experiments")
                        tally.add(experiments(adapter, case, trace, rng, arithmetic), index)
                    elif trace.z is not None and trace.a is not None and trace.delta is not None:
                        tally.add(audit_composed(case, trace, arithmetic), index, diagnosis)
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
