"""A campaign's cells: each a combination on one engine and dtype, audited over several random Cases.

Workers audit cells in groups; what a cell gives depends on the seed and its own names alone.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from adapters.contract import FAILURES, Adapter, arithmetic_of, lacks, received
from reference.arithmetic import Arithmetic
from reference.audit import audit, audit_composed
from reference.case import Case
from reference.cases import Combination, Shape, draw_case, draw_one_width, draw_shape
from reference.diagnosis import diagnose
from reports.campaign.designs import DESIGNS, EVERY_EXPERIMENT, Depth
from reports.campaign.experiments import experiments
from reports.results.records import Cell
from reports.results.verdicts import Verdict
from reports.running.engines import frozen, loaded
from reports.running.records import Clock, cell_id, outcome_of, outcome_of_failure, subject, verdict_on_error
from reports.running.seeds import generator
from reports.running.tally import Tally
from reports.running.workers import Failure


def draw_cases(seed: int, combination: Combination, dtype: str, count: int) -> Iterator[Case]:
    """The Cases of a cell, the same for every engine: the first with the usual parameters, further ones with drawn."""
    shape = shape_of(seed, dtype)
    for index in range(count):
        rng = generator(seed, *combination, dtype, index)
        yield draw_case(rng, combination, shape, dtype, usual=index == 0)


def shape_of(seed: int, dtype: str) -> Shape:
    """The shape of all Cases of a dtype, since an engine compiles for each shape; in float32 its widths differ."""
    draw = draw_shape if dtype == "float32" else draw_one_width
    return draw(generator(seed, "shape", dtype))


# --- one cell


def run_cell(
    adapter: Adapter,
    device: str,
    dtype: str,
    names: Combination,
    cases: Iterable[Case],
    seed: int,
    depth: Depth = EVERY_EXPERIMENT,
) -> Cell:
    """Audit one cell: each Case's trace, and the experiments on the first.

    Whatever the adapter raises is its answer: the cell has crashed, with the reason, or is malformed where the adapter
    gives what is not a trace of the Case.
    """
    tally, clock, arithmetic = Tally(), Clock(adapter), arithmetic_of(adapter, device)
    verdict: Verdict | None = None
    reason: str | None = None
    count = index = 0
    try:
        for index, case in enumerate(cases):
            if (lacking := lacks(adapter, frozen(case))) is not None:
                reason = reason or lacking
                continue
            rng = generator(seed, *names, dtype, "experiments") if index == 0 and depth.experiments else None
            with np.errstate(all="ignore"):  # what is not finite is a finding, not a warning
                audit_case(adapter, case, index, arithmetic, tally, clock, rng, depth)
            count += 1
        if not tally.worst and reason is not None:
            verdict = Verdict.NOT_RUN
    except FAILURES as error:
        verdict, reason = verdict_on_error(error, f"case {index}")
    return {
        "id": cell_id(adapter.name, device, dtype, *names),
        **subject(adapter.name, device, dtype, names),
        "cases": count,
        **outcome_of(tally, verdict, reason, clock),
        "spent": clock.record(),
    }


def audit_case(
    adapter: Adapter,
    case: Case,
    index: int,
    arithmetic: Arithmetic,
    tally: Tally,
    clock: Clock,
    rng: np.random.Generator | None,
    depth: Depth,
) -> None:
    """Take the findings of one Case into the tally: those of its trace, and with a generator those of experiments."""
    with clock("engine"):
        trace = received(adapter.trace(case))
    diagnosis = partial(diagnose, case, trace, arithmetic=arithmetic)
    with clock("audit"):
        tally.add(audit(case, trace, arithmetic), index, diagnosis)
    with clock("experiments"):
        if rng is not None:
            tally.add(experiments(adapter, case, trace, rng, depth, arithmetic), index)
        elif trace.z is not None and trace.a is not None and trace.delta is not None:
            tally.add(audit_composed(case, trace, arithmetic), index, diagnosis)


# --- groups of cells, in worker processes


class CellGroup(NamedTuple):
    """Cells of one engine and dtype that a worker audits in one go; `engine` is the name that the adapter has."""

    spec: str
    engine: str
    device: str
    dtype: str
    combinations: tuple[Combination, ...]
    cases: int
    further: int
    seed: int
    design: str


def run_group(group: CellGroup, start: int = 0) -> Iterator[Cell]:
    """The records of a group's cells, from one on, in their order."""
    adapter, extent = loaded(group.spec, group.device), DESIGNS[group.design].extent(group.spec)
    for names in group.combinations[start:]:
        depth = extent.depth(names)
        count = group.cases + (group.further if depth.experiments else 0)
        cases = draw_cases(group.seed, names, group.dtype, count)
        yield run_cell(adapter, group.device, group.dtype, names, cases, group.seed, depth)


def failed_cell(group: CellGroup, index: int, failure: Failure) -> Cell:
    """The record of a cell for which its worker gave none."""
    names = group.combinations[index]
    return {
        "id": cell_id(group.engine, group.device, group.dtype, *names),
        **subject(group.engine, group.device, group.dtype, names),
        "cases": 0,
        **outcome_of_failure(failure),
        "spent": {"compile": 0, "programs": 0, "engine": 0, "audit": 0, "experiments": 0},
    }


def cell_groups(
    spec: str,
    engine: str,
    device: str,
    combinations: Mapping[str, Sequence[Combination]],
    cases: int,
    further: int,
    seed: int,
    design: str,
) -> Iterator[CellGroup]:
    """The cells of one adapter, given its combinations by dtype: a group for each dtype and hidden activation."""
    for dtype, names_of_dtype in combinations.items():
        for hidden in dict.fromkeys(names.hidden for names in names_of_dtype):
            of_hidden = tuple(names for names in names_of_dtype if names.hidden == hidden)
            yield CellGroup(spec, engine, device, dtype, of_hidden, cases, further, seed, design)
