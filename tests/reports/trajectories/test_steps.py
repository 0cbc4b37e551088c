"""Training runs held step by step: what is asked of an engine, and what is found."""

from dataclasses import replace

import numpy as np
import pytest

from adapters.numpy.engine import NumpyEngine
from reference.audit import MalformedTrace
from reference.cases import Combination, Shape, draw_case
from reference.clipping import Clipping
from reference.optimisers import optimiser
from reference.schedules import Schedule
from reference.training import Plan, descent, draw_batches
from reports.running.tally import Tally
from reports.trajectories.steps import flat, steps, trains

NAMES = Combination("tanh", "softmax", "categorical_cross_entropy_on_logits")
BATCHES = draw_batches(np.random.default_rng(1), 20, 8, 2)
ADAM = Plan(BATCHES, optimiser("adam"), Schedule("exponential", {"factor": 0.9}))


def case_of():
    return draw_case(np.random.default_rng(0), NAMES, Shape((5, 7, 3), 20), "float32")


class Wrong(NumpyEngine):
    """An engine whose third step is changed."""

    def __init__(self, wrong):
        super().__init__()
        self.wrong = wrong

    def train(self, case, plan):
        for number, step in enumerate(super().train(case, plan)):
            yield self.wrong(step) if number == 2 else step


def audited(engine, plan=ADAM):
    tally = Tally()
    return list(steps(engine, "cpu", case_of(), plan, tally)), tally


def test_every_step_is_audited():
    made, tally = audited(NumpyEngine())
    assert len(made) == len(BATCHES)
    assert tally.holds()
    assert {"z", "7a", "schedule: η", "adam: m", "adam: w"} <= set(tally.checked())
    assert all(0 < audited.ratio <= 1 for audited in made)


def test_the_step_and_the_line_are_named():
    made, tally = audited(Wrong(lambda step: replace(step, rate=1.01 * step.rate)))
    broken = [(i, f.equation) for i, step in enumerate(made) for f in step.findings if not f.holds]
    assert broken[0] == (2, "schedule: η")
    assert not tally.holds()


def test_a_wrong_descent_has_a_diagnosis():
    class Twice(NumpyEngine):
        def train(self, case, plan):
            return super().train(case, replace(plan, optimiser=plan.optimiser.at_rate(2 * plan.learning_rate)))

    _, tally = audited(Twice(), descent(BATCHES, 0.1))
    found = {record["equation"]: record["diagnosis"] for record in tally.broken()}
    assert set(found) == {"2a", "2b"}
    assert "2 times η" in found["2a"]


def test_a_step_that_starts_elsewhere_is_malformed():
    with pytest.raises(MalformedTrace, match="W of layer 1 is not what the step before left"):
        audited(Wrong(lambda step: replace(step, W={l: array + 1 for l, array in step.W.items()})))


@pytest.mark.parametrize("count", [2, 7])
def test_another_number_of_steps_is_an_error(count):
    class Other(NumpyEngine):
        def train(self, case, plan):
            made = list(super().train(case, plan))
            return iter((made + made)[:count])

    with pytest.raises((ValueError, MalformedTrace)):
        audited(Other())


def test_what_an_engine_is_asked_for():
    class Plain:
        name = "plain"

        def supports(self, case):
            return True

        def train(self, case, plan):
            return iter(())

    case, plain = case_of(), Plain()
    assert trains(plain, case, descent(BATCHES, 0.1)) is True
    for plan in (ADAM, replace(descent(BATCHES, 0.1), clipping=Clipping("norm", 1.0))):
        assert trains(plain, case, plan) == "plain has no trains, and so only plain gradient descent"
    plain.supports = lambda case: "not today"
    assert trains(plain, case, ADAM) == "not today"
    assert trains(NumpyEngine(), case, ADAM) is True


def test_all_parameters_are_one_vector():
    case = case_of()
    assert flat(case.W, case.b).shape == (5 * 7 + 7 * 3 + 7 + 3,)
