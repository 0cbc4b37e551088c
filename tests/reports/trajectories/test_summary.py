"""The summary: how runs stand, the verdict, its sentence and lines."""

import copy

import pytest

from adapters.numpy.engine import NumpyEngine
from reports.results import files
from reports.results.verdicts import Verdict
from reports.trajectories import long_run, summary, terminal
from reports.verdict import summarise
from tests.reports.trajectories.chapters import SEED, but, chapter, measured

FIRST = {"step": 3, "equation": "14", "layer": 2, "ratio": 2.5}


@pytest.fixture
def found():
    return measured()


def test_what_holds_holds(found):
    for whole in (found, files.jsonable(found)):
        assert summary.summarise(whole).holds
        assert summary.summarise(whole).lines == ()
        assert summary.summarise(whole).sentence.startswith("8 of 8 training runs hold: 116 steps of numpy and jax-jit")


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
    whole = but(found, **WRONG[wrong])
    assert not summary.summarise(whole).holds
    assert len(summary.summarise(whole).lines) == 1
    assert "1 break" in summary.summarise(whole).sentence
    assert summarise({"cells": [], "training": [], "trajectories": whole}).status == 1


def test_what_is_explained_is_not_said_to_hold(found):
    whole = but(
        found, verdict="breaks", explained="optax.schedules: float32", free={"ratio": 9, "left": 0, "growth": 0}
    )
    assert summary.stands(whole["spread"][0]) == Verdict.EXPLAINED
    assert summary.summarise(whole).holds
    assert "7 of 8 training runs hold, 1 break where a known departure explains it" in summary.summarise(whole).sentence


def test_engines_that_predict_otherwise_in_float64_are_named(found):
    whole = copy.deepcopy(found)
    predicted = whole["digits"][1]["scores"]["test"]["predicted"]
    predicted[0] = (predicted[0] + 1) % 10
    assert not summary.summarise(whole).holds
    assert "jax-jit predict otherwise than numpy in float64" in summary.summarise(whole).sentence


def test_nothing_trained_does_not_hold():
    assert not summary.summarise(chapter()).holds


def test_the_status_and_the_sentence_of_results(found):
    alone = files.empty(SEED, "2026-01-02T03:04:05+00:00") | {"trajectories": found}
    assert summarise(alone).status == 0
    assert summarise(alone).sentence == summary.summarise(found).sentence
    broken = alone | {"trajectories": but(found, verdict="breaks")}
    assert summarise(broken).status == 1


def test_long_runs_are_part_of_the_verdict(found, tmp_path):
    far = long_run.long_run(NumpyEngine(), "cpu", "float32", 6, SEED, tmp_path, lambda done: None)
    whole = {**found, "long": [far, {**far, "verdict": "breaks", "first": FIRST}]}
    assert [run.holds for run in summary.summarise(whole).long] == [True, False]
    assert len(terminal.tables(summary.summarise(whole))) == 3
    assert not summary.summarise(whole).holds
    assert summary.summarise({**found, "long": [far]}).holds
    assert "1 of 2 long runs of 6 steps hold in every step" in summary.summarise(whole).sentence
    assert summary.summarise(whole).lines == (
        "breaks: long run of numpy: step 3: (14) in layer 2, 2.5 times what is allowed",
    )


def test_the_summary_counts_what_it_shows(found):
    shown = summary.summarise(found)
    assert (shown.standings.runs, shown.standings.held, shown.steps) == (8, 8, 116)
    assert shown.engines == ("numpy",)
    assert shown.tasks == ("xor",)
    assert sum(of["numpy"].runs for of in shown.optimisers.values()) == 6
    assert shown.compared == ("numpy", "jax-jit")
    assert shown.disagreeing == ()
    assert [of.run["engine"] for of in shown.digits] == ["numpy", "jax-jit"]
    assert [each.runs for each in shown.explanations] == [0] * len(found["known"])
    (confusion,) = shown.confusions
    assert confusion.runs == ("numpy float64", "jax-jit float64")
    assert shown.accuracy == min(run["scores"]["test"]["accuracy"] for run in found["digits"])


def test_a_group_of_runs_stands_as_its_worst(found):
    runs = found["spread"][:3]
    runs[0].update(verdict="breaks")
    runs[1].update(verdict="not-run")
    standings = summary.standings_of(runs)
    assert (standings.runs, standings.held, standings.explained, standings.broken) == (2, 1, 0, 1)
    assert summary.worst_texts(standings)[0].endswith("✕")
    assert summary.worst_texts(summary.standings_of([runs[1]])) == ("–", "–")
    assert summary.worst_texts(summary.standings_of([runs[0]])) == ("✕", "✕")


def test_a_long_run_that_ended_early_says_why(found, tmp_path):
    class Raises(NumpyEngine):
        def train(self, case, plan):
            raise RuntimeError("no engine")

    record = long_run.long_run(Raises(), "cpu", "float32", 6, SEED, tmp_path, lambda done: None)
    assert (record["verdict"], record["reason"], record["steps"]) == ("crashed", "step 0: RuntimeError: no engine", 0)
    whole = {**found, "long": [record]}
    assert not summary.summarise(whole).holds
    assert summary.summarise(whole).lines == ("breaks: long run of numpy: step 0: RuntimeError: no engine",)
    assert terminal.tables(summary.summarise(whole))[2].row_count == 1
