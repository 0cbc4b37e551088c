"""What is trained: every optimiser on every task, drawn from the seed."""

import numpy as np
import pytest

from adapters.contract import load
from reference.clipping import FORMS
from reference.optimisers import OPTIMISERS
from reference.schedules import FORMULAS
from reports.trajectories import measure
from reports.trajectories.setups import TASKS, compiles, draw_run, optimiser_setups

SEED = 11


def test_every_optimiser_is_trained_on_every_task():
    setups = optimiser_setups(40)
    assert {(setup.optimiser.name, setup.task) for setup in setups} == {(o, t) for o in OPTIMISERS for t in TASKS}
    assert {setup.schedule.name for setup in setups} == set(FORMULAS)
    assert {setup.clipping.form for setup in setups if setup.clipping} == set(FORMS)
    assert {setup.batching for setup in setups} == {"full", "mini", "stochastic"}
    assert {setup.names for setup in setups} == {names for task in TASKS.values() for names in task.networks}
    assert len({setup.name for setup in setups}) == len(setups)


@pytest.mark.parametrize("engine", measure.ENGINES)
def test_every_form_that_an_engine_has_is_trained_in_it(engine):
    adapter, able, trained_in = load(engine), set(), set()
    for setup in optimiser_setups(5):
        _, _, plan = draw_run(setup, "float32", SEED)
        if adapter.trains(plan) is True:
            able.add(setup.optimiser.name)
            if engine != "jax-whole" or compiles(setup):
                trained_in.add(setup.optimiser.name)
    assert able == trained_in
    assert len(able) >= 15


@pytest.mark.parametrize("batching", ["full", "mini", "stochastic"])
def test_batches_are_those_of_the_batching(batching):
    setup = next(setup for setup in optimiser_setups(12) if setup.batching == batching and setup.task == "xor")
    _, case, plan = draw_run(setup, "float32", SEED)
    sizes = {len(batch) for batch in plan.batches}
    assert len(plan.batches) == 12
    assert sizes == {"full": {case.samples}, "mini": {32, case.samples % 32}, "stochastic": {1}}[batching]


def test_all_formats_start_from_the_same_weights():
    setup = optimiser_setups(5)[0]
    single, double = (draw_run(setup, dtype, SEED).case for dtype in ("float32", "float64"))
    assert all(np.array_equal(single.W[l], double.W[l]) for l in single.layers)
