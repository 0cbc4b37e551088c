"""The gate: each kind of difference is planted and caught; nothing else fails; waivers let breaks pass."""

import copy

import numpy as np
import pytest

from reports.gate import baseline, gate
from reports.gate.text import PHRASES, sentence
from tests.reports.gate.campaigns import (
    CELL,
    TODAY,
    a_run_breaks,
    breaks,
    campaign,
    cell_of,
    compares_less,
    crashes,
    is_explained_otherwise,
    is_new,
    is_skipped,
    judged,
    loses_a_kink,
    rises,
    takes_another_side,
    vanishes,
)


def test_what_has_not_changed_passes():
    outcome = judged(campaign())
    assert outcome.passes
    assert outcome.differences == ()
    assert outcome.compared == len(campaign()["cells"]) + len(campaign()["training"])


# --- the conditions, one after another


PLANTED = [
    (breaks, CELL, "verdict", "holds", "breaks"),
    (is_explained_otherwise, CELL, "verdict", "holds", "breaks, as listed: tanh/derivative/float32/0.0"),
    (crashes, CELL, "verdict", "holds", "timed-out"),
    (is_skipped, CELL, "skipped", "holds", "not-run"),
    (vanishes, CELL, "vanished", "holds", "–"),
    (compares_less, CELL, "fewer elements", "20,160", "20,159"),
    (rises, CELL, "ratio", "≤ 0.125", "≤ 1"),
    (is_new, "mine/cpu/float32/tanh/tanh/huber", "not listed", "–", "holds"),
    (takes_another_side, "torch-eager/cpu/float32/relu", "convention", "0.0 at 0.0", "1.0 at 0.0"),
    (a_run_breaks, "torch-eager/cpu/float32/digits", "verdict", "holds", "breaks"),
]


def quiet(found):
    """All ratios of the cell are small, so that one can rise."""
    for check in cell_of(found)["checked"].values():
        check[0] = 0.1
    return found


@pytest.mark.parametrize(("plant", "cell", "what", "before", "now"), PLANTED, ids=[p[0].__name__ for p in PLANTED])
def test_the_gate_fails_on_each_condition_and_says_which_and_why(plant, cell, what, before, now):
    found = quiet(campaign())
    plant(found)
    outcome = judged(found, quiet(campaign()))
    assert not outcome.passes
    assert outcome.differences == (gate.Difference(cell, what, before, now),)
    assert f"1 {PHRASES[what][0]}" in sentence(outcome)


def test_a_convention_of_each_engine_that_is_lost_fails():
    found = campaign()
    loses_a_kink(found)
    outcome = judged(found)
    assert not outcome.passes
    assert {(each.cell, each.now) for each in outcome.differences} == {
        ("torch-eager/cpu/float32/relu", "–"),
        ("jax-jit/cpu/float32/relu", "–"),
    }


def test_what_breaks_no_longer_is_a_change_too():
    before = campaign()
    breaks(before)
    assert not judged(campaign(), before).passes


def test_what_breaks_as_it_did_passes():
    found = campaign()
    breaks(found)
    assert judged(found, copy.deepcopy(found)).passes


def test_more_elements_are_named_and_do_not_fail():
    found = campaign()
    cell_of(found)["elements"] += 1
    outcome = judged(found)
    assert outcome.passes
    assert [each.what for each in outcome.differences] == ["more elements"]


def test_nothing_compared_is_no_pass():
    found = campaign()
    assert not gate.judged(baseline.of(found)._replace(lines={}, kinks={}), baseline.of(found), [], (), TODAY).passes
    assert "no cell" in sentence(gate.Outcome((), (), (), 0))


# --- ratios


@pytest.mark.parametrize(
    ("before", "now", "rose"),
    [
        (0.25, 1.0, False),
        (0.25, 2.0, True),
        (0.0, 0.5, False),
        (0.0, 1.0, True),
        (1.0, 0.125, False),
        (4.0, np.inf, True),
        (np.inf, np.inf, False),
        (1.0, np.nan, True),
        (np.nan, np.nan, False),
        (np.nan, 1.0, False),
    ],
)
def test_a_step_may_rise_by_the_factor(before, now, rose):
    assert gate.rose(before, now) is rose


# --- another environment or request


@pytest.mark.parametrize(
    ("before", "now", "name"),
    [
        ({"a": 1}, {"a": 2}, "a"),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, "a.b"),
        ({"a": {"b": {"c": 1}}}, {"a": {"b": {"c": 2}}}, "a.b.c"),
        ({"a": {"b": {"c": {"d": 1}}}}, {"a": {"b": {"c": {"d": 2}}}}, "a.b.c.d"),
    ],
)
def test_a_setting_is_named_with_all_that_it_is_within(before, now, name):
    assert gate.changes(before, now) == [(name, "1", "2")]


def test_settings_that_are_new_or_gone_are_changes_and_equal_ones_are_not():
    before, now = {"x": {"y": {"z": 1, "same": 3}}}, {"x": {"y": {"w": None, "v": 2, "same": 3}}}
    assert gate.changes(before, now) == [("x.y.z", "1", "none"), ("x.y.v", "none", "2")]


def test_a_ratio_that_fell_is_a_difference_only_where_falls_count():
    before, now = quiet(campaign()), quiet(campaign())
    rises(before)
    before, now = baseline.of(before), baseline.of(now)
    assert gate.differences(before, now) == []
    assert gate.differences(before, now, falls=True) == [gate.Difference(CELL, "ratio", "≤ 1", "≤ 0.125")]


@pytest.mark.parametrize(
    ("change", "setting"),
    [
        (lambda found: found["environment"]["versions"].update(torch="9.9.9"), "versions.torch"),
        (lambda found: found["environment"]["devices"].update({"torch-eager": "cuda"}), "devices.torch-eager"),
        (lambda found: found["environment"]["flags"].update(jax_enable_x64="False"), "flags.jax_enable_x64"),
        (lambda found: found["request"].update(seed=1), "seed"),
        (lambda found: found["request"].update(share="1/8"), "share"),
    ],
    ids=["version", "device", "precision", "seed", "share"],
)
def test_another_environment_or_request_is_refused_with_the_reason(change, setting):
    found = campaign()
    found["request"] = {"seed": 2026, "share": "1/1"}
    before = baseline.of(found)
    assert gate.refusal(before, baseline.of(found)) is None
    change(found)
    assert setting in gate.refusal(before, baseline.of(found))


@pytest.mark.parametrize(
    "change",
    [
        lambda about: about["versions"].update(torch=about["versions"]["torch"].partition("+")[0] + "+cu130"),
        lambda about: about["flags"].update({"torch threads": "64"}),
        lambda about: about.update(python="3.13.1", processor="another"),
    ],
    ids=["build", "threads", "Python"],
)
def test_what_changes_no_verdict_is_no_other_environment(change):
    found = campaign()
    before = baseline.of(found)
    change(found["environment"])
    assert gate.refusal(before, baseline.of(found)) is None
