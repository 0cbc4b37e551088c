"""Faults of the batches: each is found in every engine, in the first step that it changes, and the equation named."""

import numpy as np
import pytest

from adapters.faults.batching import BATCH_FAULTS
from reference.audit import MalformedTrace
from reference.cases import Combination, Shape, draw_case
from reference.optimisers import optimiser
from reference.training import Plan, draw_batches
from reports.running.tally import Tally
from reports.trajectories.steps import steps

NAMES = Combination("tanh", "softmax", "categorical_cross_entropy_on_logits")


def drawn(seed, dtype="float32"):
    rng = np.random.default_rng(seed)
    case = draw_case(rng, NAMES, Shape((5, 7, 3), 20), dtype)
    return case, Plan(draw_batches(rng, 20, 8, 3), optimiser("adam"))


class Misled:
    """An engine that is given something else than what is audited."""

    def __init__(self, engine, fault):
        self.name, self.engine, self.fault = engine.name, engine, fault

    def train(self, case, plan):
        return self.engine.train(*self.fault.wrong(case, plan))


def first_found(engine, case, plan):
    """The step and the equation that are found first, or what is said of a step that is none of the plan."""
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


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", BATCH_FAULTS)
@pytest.mark.parametrize("engine", ["numpy", "torch-eager", "jax-jit"])
def test_every_fault_is_found_in_the_first_step_that_it_changes(engine, name, dtype, engine_named):
    fault = BATCH_FAULTS[name]
    for seed in range(3):
        case, plan = drawn(seed, dtype)
        other, wrong = fault.wrong(case, plan)
        changed = next(
            i
            for i, batch in enumerate(plan.batches)
            if i >= len(wrong.batches)
            or not np.array_equal(other.x[wrong.batches[i]], case.x[batch])
            or not np.array_equal(other.y[wrong.batches[i]], case.y[batch])
        )
        number, said = first_found(Misled(engine_named(engine), fault), case, plan)
        assert number == changed
        assert said == fault.equation if fault.equation else "shape" in said or said == "no step"
