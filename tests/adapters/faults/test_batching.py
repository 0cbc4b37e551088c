"""Faults of the batches: each is found in every engine, in the first step that it changes, and the equation named."""

import numpy as np
import pytest

from adapters.contract import arithmetic_of
from adapters.faults.batching import BATCH_FAULTS, PLAN, TRAINED_IN, Misled
from adapters.faults.catalogue import FAULTS
from adapters.faults.updates import UPDATES
from reference.audit import MalformedTrace
from reference.cases import Combination, Shape, draw_case
from reference.optimisers import optimiser
from reference.training import Plan, draw_batches
from reports.running.tally import Tally
from reports.trajectories.steps import steps
from tests.tables import over

NAMES = Combination("tanh", "softmax", "categorical_cross_entropy_on_logits")


def drawn(seed, dtype="float32"):
    rng = np.random.default_rng(seed)
    case = draw_case(rng, NAMES, Shape((5, 7, 3), 20), dtype)
    return case, Plan(draw_batches(rng, 20, 8, 3), optimiser("adam"))


def first_found(engine, case, plan):
    """The step and the equation that are found first, or why a step is none of the plan."""
    made = steps(engine, "cpu", case, plan, Tally())
    for number in range(len(plan.batches)):
        try:
            found = next(made).findings
        except MalformedTrace as error:
            return number, str(error)
        except StopIteration:
            return number, "no step"
        if broken := [finding.equation for finding in found if not finding.holds]:
            return number, broken[0]
    return None


@pytest.mark.parametrize("engine", ["numpy", "torch-eager", "jax-jit"])
def test_the_honest_engine_holds(engine, engine_named):
    for seed in range(3):
        assert first_found(engine_named(engine), *drawn(seed)) is None


@over("seed", range(3), quick=1)
@over("dtype", TRAINED_IN)
@over("name", BATCH_FAULTS)
@over("engine", ["numpy", "torch-eager", "jax-jit"])
def test_every_fault_is_found_in_the_first_step_that_it_changes(engine, name, dtype, seed, engine_named):
    fault = BATCH_FAULTS[name]
    case, plan = drawn(seed, dtype)
    other, wrong = fault.wrong(case, plan)
    changed = next(
        i
        for i, batch in enumerate(plan.batches)
        if i >= len(wrong.batches)
        or not np.array_equal(other.x[wrong.batches[i]], case.x[batch])
        or not np.array_equal(other.y[wrong.batches[i]], case.y[batch])
    )
    number, equation = first_found(Misled(engine_named(engine), fault), case, plan)
    assert number == changed
    assert equation == fault.site if fault.site != PLAN else "shape" in equation or equation == "no step"


def test_a_misled_engine_declares_what_its_engine_does(engine):
    misled = Misled(engine, BATCH_FAULTS["batch-late"])
    assert misled.name == engine.name
    assert arithmetic_of(misled) == arithmetic_of(engine)


def test_no_two_faults_have_one_name():
    assert not set(BATCH_FAULTS) & (set(FAULTS) | set(UPDATES))
    assert not set(FAULTS) & set(UPDATES)
