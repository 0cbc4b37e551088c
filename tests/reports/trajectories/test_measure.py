"""Trajectories: what is trained, how a run stands, the verdict, the command and the page."""

import copy
import json

import numpy as np
import pytest
from reports.divergences.training import KNOWN, explanation

from adapters.contract import load
from adapters.numpy.engine import NumpyEngine
from reference.clipping import FORMS
from reference.optimisers import OPTIMISERS
from reference.schedules import FORMULAS
from reports import __main__
from reports.divergences import reproducers
from reports.page.report import render
from reports.page.trajectories import page
from reports.results import environment, files
from reports.results.verdicts import BREAKS, EXPLAINED, HOLDS, NOT_RUN
from reports.trajectories import long_run, measure, summary, terminal
from reports.trajectories.measure import brief
from reports.trajectories.runs import DIGITS, SPREAD, Unit, apart, run, runs
from reports.trajectories.setups import SETTINGS, TASKS, compiles, spread, start
from reports.verdict import status, verdict
from tests.reports import samples

SEED = 11


# --- what is trained


def test_every_optimiser_is_trained_on_every_task():
    setups = spread(40)
    assert {(setup.optimiser.name, setup.task) for setup in setups} == {(o, t) for o in OPTIMISERS for t in TASKS}
    assert {setup.schedule.name for setup in setups} == set(FORMULAS)
    assert {setup.clipping.form for setup in setups if setup.clipping} == set(FORMS)
    assert {setup.batching for setup in setups} == {"full", "mini", "stochastic"}
    assert {setup.names for setup in setups} == {names for task in TASKS.values() for names in task.networks}
    assert len({setup.name for setup in setups}) == len(setups)


@pytest.mark.parametrize("engine", measure.ENGINES)
def test_every_form_that_an_engine_has_is_trained_in_it(engine):
    adapter, able, trained_in = load(engine), set(), set()
    for setup in spread(5):
        _, _, plan = start(setup, "float32", SEED)
        if adapter.trains(plan) is True:
            able.add(setup.optimiser.name)
            if engine != "jax-whole" or compiles(setup):
                trained_in.add(setup.optimiser.name)
    assert able == trained_in
    assert len(able) >= 15


@pytest.mark.parametrize("batching", ["full", "mini", "stochastic"])
def test_batches_are_those_of_the_batching(batching):
    setup = next(setup for setup in spread(12) if setup.batching == batching and setup.task == "xor")
    _, case, plan = start(setup, "float32", SEED)
    sizes = {len(batch) for batch in plan.batches}
    assert len(plan.batches) == 12
    assert sizes == {"full": {case.samples}, "mini": {32, case.samples % 32}, "stochastic": {1}}[batching]


def test_all_formats_start_from_the_same_weights():
    setup = spread(5)[0]
    single, double = (start(setup, dtype, SEED)[1] for dtype in ("float32", "float64"))
    assert all(np.array_equal(single.W[l], double.W[l]) for l in single.layers)


# --- a run


def of(engine, setup, dtype="float32"):
    drawn = start(setup, dtype, SEED)
    return run(engine, "cpu", setup, dtype, drawn, apart(drawn[1], drawn[2], SEED, setup.name))


@pytest.fixture(scope="module")
def setup():
    return next(
        s for s in spread(12) if s.optimiser.name == "adam" and s.task == "xor" and s.schedule.name == "constant"
    )


def test_an_honest_run_holds(setup):
    record = of(NumpyEngine(), setup)
    assert summary.stands(record) == record["verdict"] == HOLDS
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
    record = of(Late(), setup)
    assert summary.stands(record) == BREAKS
    assert {key: record["first"][key] for key in ("step", "equation", "layer")} == {
        "step": 5,
        "equation": "adam: m",
        "layer": 2,
    }
    (line,) = terminal.lines({"spread": [record], "digits": [], "long": []})
    assert "step 5: adam: m in layer 2" in line


class Raises(NumpyEngine):
    """An engine that cannot train at all."""

    def train(self, case, plan):
        raise RuntimeError("no engine")


def test_an_engine_that_raises_is_its_own_finding(setup):
    record = of(Raises(), setup)
    assert summary.stands(record) == BREAKS
    assert record["reason"] == "step 0: RuntimeError: no engine"
    assert record["free"] is None
    assert "RuntimeError: no engine" in terminal.lines({"spread": [record], "digits": [], "long": []})[0]


def test_what_an_engine_lacks_is_not_run(setup):
    class Without(NumpyEngine):
        def trains(self, plan):
            return "no adam here"

    record = of(Without(), setup)
    assert (summary.stands(record), record["reason"], record["steps"]) == (NOT_RUN, "no adam here", 0)


def test_a_run_of_the_spread_is_kept_in_brief(setup):
    record = brief(of(NumpyEngine(), setup))
    assert "curves" not in record
    assert "envelope" not in record["free"]
    assert set(record["last"]) == {"loss", "ratio", "distance", "validation"}
    assert "predicted" not in record["scores"]["test"]


# --- what is known


def test_the_reproducers_show_what_is_known():
    for known in KNOWN:
        assert len(known.code.splitlines()) <= 10
        kind, difference = reproducers.run(known.code).split()
        assert kind in ("torch.float32", "float32")
        assert 1e-10 < abs(float(difference)) < 1e-7


@pytest.mark.parametrize(
    ("engine", "dtype", "equations", "expected"),
    [
        ("jax-jit", "float64", ["schedule: η"], "optax.schedules: float32"),
        ("torch-eager", "float64", ["nadam: mu_product"], "torch.optim.NAdam: mu_product"),
        ("jax-jit", "float32", ["schedule: η"], None),
        ("torch-eager", "float64", ["schedule: η"], None),
        ("jax-jit", "float64", ["schedule: η", "adam: w"], None),
        ("jax-jit", "float64", [], None),
    ],
)
def test_only_what_is_known_is_explained(engine, dtype, equations, expected):
    findings = [{"equation": equation} for equation in equations]
    assert explanation({"engine": engine, "dtype": dtype, "findings": findings, "reason": None}) == expected


# --- the verdict


@pytest.fixture(scope="module")
def found():
    """Six setups of the spread, in NumPy and JAX, and a short run on digits."""
    many = [r for e in ("numpy",) for r in runs(Unit(SPREAD, 6, "xor", (e,), "cpu", "float32", SEED))][:6]
    drawn = list(runs(Unit(DIGITS, 1, "digits", ("numpy", "jax-jit"), "cpu", "float64", SEED)))
    request = measure.Request(("numpy", "jax-jit"), ("float32", "float64"), 6, 1, 0, SEED, 1)
    known = [{"name": known.name, "note": known.note, "reproducer": known.code} for known in KNOWN]
    made = {"request": request._asdict(), "spread": list(map(brief, many)), "digits": drawn, "long": [], "known": known}
    return made | {"environment": environment.environment({}, SEED, "2026-01-02T03:04:05+00:00", 1.0)}


def but(found, **changed):
    """The same with the first run of the spread changed."""
    other = copy.deepcopy(found)
    other["spread"][0].update(changed)
    return other


def test_what_holds_holds(found):
    for said in (found, files.jsonable(found)):
        assert summary.holds(said)
        assert terminal.lines(said) == []
        assert summary.sentence(said).startswith("8 of 8 training runs hold: 116 steps of numpy and jax-jit")


WRONG = {
    "outside": {"free": {"ratio": 1.5, "left": 3, "growth": 0.0}},
    "no number": {"free": {"ratio": "NaN", "left": 3, "growth": 0.0}},
    "a ratio": {"checked": {"z": [1.5, 1, 10]}},
    "nothing": {"checked": {}},
    "nothing compared": {"checked": {"z": [0.5, 1, 0]}},
    "a verdict": {"verdict": "breaks"},
    "no free run": {"free": None},
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_does_not_hold_is_not_taken_at_its_word(found, wrong):
    said = but(found, **WRONG[wrong])
    assert not summary.holds(said)
    assert len(terminal.lines(said)) == 1
    assert "1 break" in summary.sentence(said)
    assert status({"cells": [], "training": [], "trajectories": said}) == 1


def test_what_is_explained_is_not_said_to_hold(found):
    said = but(found, verdict="breaks", explained="optax.schedules: float32", free={"ratio": 9, "left": 0, "growth": 0})
    assert summary.stands(said["spread"][0]) == EXPLAINED
    assert summary.holds(said)
    assert "7 of 8 training runs hold, 1 break where a known departure explains it" in summary.sentence(said)


def test_engines_that_predict_otherwise_in_float64_are_named(found):
    said = copy.deepcopy(found)
    predicted = said["digits"][1]["scores"]["test"]["predicted"]
    predicted[0] = (predicted[0] + 1) % 10
    assert not summary.holds(said)
    assert "jax-jit predict otherwise than numpy in float64" in summary.sentence(said)


def test_nothing_trained_does_not_hold():
    assert not summary.holds({"spread": [], "digits": [], "long": []})


def test_the_status_and_the_sentence_of_results(found):
    alone = files.empty(SEED, "2026-01-02T03:04:05+00:00") | {"trajectories": found}
    assert status(alone) == 0
    assert verdict(alone) == summary.sentence(found)
    broken = alone | {"trajectories": but(found, verdict="breaks")}
    assert status(broken) == 1


# --- what a person sees


def test_the_page(found):
    shown = page(found)
    assert shown["holds"]
    assert shown["agreement"] == "In float64, numpy and jax-jit predict the same for every sample of the test set."
    assert [plot.title for plot, _ in shown["plots"]][2] == "Distance from the reference, and its envelope"
    assert [row["metrics"][0].endswith(" %") for row in shown["digits"]] == [True, True]
    html = render(files.jsonable(files.empty(SEED, "2026-01-02T03:04:05+00:00") | {"trajectories": found}))
    for part in ("Training, step by step", "Every optimiser", "Confusion matrix of numpy float64", "explains 0 runs"):
        assert part in html
    ids = [part.split('"')[0] for part in html.split(' id="')[1:]]
    assert len(ids) == len(set(ids))
    assert page(None) is None


def test_long_runs_are_on_the_page_and_in_the_terminal(found, tmp_path):
    far = long_run.long_run(NumpyEngine(), "cpu", "float32", 6, SEED, tmp_path, lambda done: None)
    said = {**found, "long": [far, {**far, "verdict": "breaks", "first": {"step": 3}}]}
    assert [row["holds"] for row in page(said)["long"]] == [True, False]
    assert len(terminal.tables(said)) == 3
    assert not summary.holds(said)
    assert summary.holds({**found, "long": [far]})
    assert "1 of 2 long runs of 6 steps hold in every step" in summary.sentence(said)
    assert terminal.lines(said) == ["breaks: long run of numpy: {'step': 3}"]
    html = render(files.jsonable(files.empty(SEED, "2026-01-02T03:04:05+00:00") | {"trajectories": said}))
    assert "Long runs on digits" in html


def test_what_breaks_is_on_the_page(found):
    said = but(found, verdict="breaks", reason="step 3: <script>alert(1)</script>")
    html = render(files.jsonable(files.empty(SEED, "2026-01-02T03:04:05+00:00") | {"trajectories": said}))
    assert "training breaks" in html
    assert "<script>alert" not in html


def test_the_command(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("reports.trajectories.setups.SETTINGS", SETTINGS[:1])
    monkeypatch.setattr(measure, "pool", samples.here)
    arguments = ("--engines", "numpy", "--dtypes", "float32", "--steps", "3", "--epochs", "1", "--out", str(tmp_path))
    assert __main__.main(["trajectories", *arguments]) == 0
    text, _ = capsys.readouterr()
    for part in ("seed 2026", "gradient descent", "6 of 6 training runs hold", "results.json written"):
        assert part in text
    written = files.load(tmp_path / "results.json")
    assert len(written["trajectories"]["spread"]) == 5
    assert written["trajectories"]["environment"]["seed"] == 2026
    assert max(map(len, text.splitlines())) <= 250
