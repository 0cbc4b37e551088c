"""The loop of a training run: what is handed on, and what ends it."""

import numpy as np
import pytest

from adapters.numpy.engine import NumpyEngine
from reference.training import descent, draw_batches
from reports.results.files import ResultsError
from reports.running.tally import Tally
from reports.trajectories.follow import follow
from tests.reports.trajectories.test_steps import case_of

PLAN = descent(draw_batches(np.random.default_rng(1), 20, 8, 2), 0.1)


class Changed(NumpyEngine):
    """NumPy with something done to its third step."""

    def __init__(self, change):
        super().__init__()
        self.change = change

    def train(self, case, plan):
        for number, step in enumerate(super().train(case, plan)):
            if number == 2:
                self.change(step)
            yield step


def raise_it(step):
    raise RuntimeError("no\nway")


def test_every_step_is_handed_on():
    seen, tally = [], Tally()
    followed = follow(NumpyEngine(), "cpu", case_of(), PLAN, tally, seen.append)
    assert followed[:3] == (None, None, len(PLAN.batches))
    assert [audited.number for audited in seen] == list(range(len(PLAN.batches)))
    assert followed.last is seen[-1].step
    assert followed.first_break is None
    assert tally.holds()


def test_the_first_break_is_kept():
    def change(step):
        step.trace.dW[1][0, 0] += 1

    followed = follow(Changed(change), "cpu", case_of(), PLAN, Tally(), lambda audited: None)
    assert followed[:3] == (None, None, len(PLAN.batches))
    assert {key: followed.first_break[key] for key in ("step", "equation", "layer")} == {
        "step": 2,
        "equation": "7a",
        "layer": 1,
    }


def test_what_an_engine_raises_ends_the_run():
    seen = []
    followed = follow(Changed(raise_it), "cpu", case_of(), PLAN, Tally(), seen.append)
    assert followed[:3] == ("crashed", "step 2: RuntimeError: no way", 2)
    assert followed.last is seen[-1].step


def test_what_an_engine_cannot_make_is_not_run():
    class Without(NumpyEngine):
        def trains(self, plan):
            return "not today"

    followed = follow(Without(), "cpu", case_of(), PLAN, Tally(), lambda audited: None)
    assert followed == ("not-run", "not today", 0, None, None)


def test_what_the_caller_raises_is_not_the_engines():
    def full(audited):
        raise ResultsError("no space left")

    with pytest.raises(ResultsError, match="no space left"):
        follow(NumpyEngine(), "cpu", case_of(), PLAN, Tally(), full)
