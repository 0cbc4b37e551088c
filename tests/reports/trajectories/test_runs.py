"""A training run: honest engines hold, and what breaks is named."""

import json

import numpy as np
import pytest

from adapters.numpy.engine import NumpyEngine
from reports.results import files
from reports.results.verdicts import Verdict
from reports.trajectories import summary
from reports.trajectories.runs import explanation
from tests.reports.trajectories.chapters import adam_on_xor, chapter, trained


@pytest.fixture(scope="module")
def setup():
    return adam_on_xor()


def test_an_honest_run_holds(setup):
    record = trained(NumpyEngine(), setup)
    assert summary.stands(record) == record["verdict"] == Verdict.HOLDS
    assert (record["steps"], record["first"], record["free"]["left"]) == (12, None, None)
    assert 0 < record["free"]["ratio"] <= 1
    assert {"adam: m", "adam: v", "adam: w", "7a"} <= set(record["checked"])
    assert len(record["curves"]["validation"]) == 12 // 5
    assert set(record["scores"]["test"]) == {
        *("loss", "accuracy", "precision", "recall", "f1", "confusion", "predicted")
    }
    assert np.sum(record["scores"]["test"]["confusion"]) == len(record["scores"]["test"]["predicted"]) == 20
    json.dumps(files.jsonable(record), allow_nan=False)


class Late(NumpyEngine):
    """From the fifth step on, one weight is off by a part in a thousand: what the step has of it is wrong."""

    def train(self, case, plan):
        for number, step in enumerate(super().train(case, plan)):
            if number == 5:
                step.new_state["W", 2]["m"][0, 0] *= 1.001
            yield step


def test_the_first_break_is_named(setup):
    record = trained(Late(), setup)
    assert summary.stands(record) == Verdict.BREAKS
    assert {key: record["first"][key] for key in ("step", "equation", "layer")} == {
        "step": 5,
        "equation": "adam: m",
        "layer": 2,
    }
    (line,) = summary.summarise(chapter(spread=[record])).lines
    assert "step 5: adam: m in layer 2" in line


class Raises(NumpyEngine):
    """An engine that cannot train at all."""

    def train(self, case, plan):
        raise RuntimeError("no engine")


def test_an_engine_that_raises_is_its_own_finding(setup):
    record = trained(Raises(), setup)
    assert summary.stands(record) == Verdict.BREAKS
    assert record["reason"] == "step 0: RuntimeError: no engine"
    assert record["free"] is None
    assert "RuntimeError: no engine" in summary.summarise(chapter(spread=[record])).lines[0]


def test_what_an_engine_lacks_is_not_run(setup):
    class Without(NumpyEngine):
        def trains(self, plan):
            return "no adam here"

    record = trained(Without(), setup)
    assert (summary.stands(record), record["reason"], record["steps"]) == (Verdict.NOT_RUN, "no adam here", 0)


@pytest.mark.parametrize(
    ("engine", "dtype", "equations", "expected"),
    [
        ("jax-jit", "float64", ["schedule: η"], "optax.schedules: float32"),
        ("torch-eager", "float64", ["nadam: mu_product"], "torch.optim.NAdam: mu_product"),
        ("jax-jit", "float32", ["schedule: η"], None),
        ("jax-jit", "float64", [], None),
    ],
)
def test_only_what_is_known_is_explained(engine, dtype, equations, expected):
    record = {"engine": engine, "dtype": dtype, "findings": [{"equation": e} for e in equations], "reason": None}
    assert explanation(record) == expected
    assert explanation({**record, "reason": "step 3: RuntimeError"}) is None
