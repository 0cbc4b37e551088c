"""The panel of the update: every fault is killed in every engine, by the line and the layer that it breaks."""

import importlib
import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from adapters.faults import updates
from adapters.faults.catalogue import FAULTS, GITHUB, HISTORICAL
from adapters.faults.fault import CONVERGED, INITIAL, PRECISIONS, STAGES
from adapters.faults.optimisers_in_torch import OPTIMISERS as TORCH
from adapters.faults.optimisers_in_torch import Patched
from adapters.faults.updates import (
    AT_EVERY_STAGE,
    IN_HALF,
    OTHER_FORMS,
    SEES,
    SETTINGS,
    SQUARES,
    UPDATES,
    Surroundings,
    UpdateFault,
    as_it_is,
    panel,
)
from adapters.faults.updating import (
    MAKERS,
    WARM,
    course,
    findings,
    honest_findings,
    lines,
    planted_at,
    planted_step,
    step,
)
from reference import optimisers
from reference.rounding import DTYPES, HALF, rounded
from reports.faults import kill_matrix
from tests.tables import over

SEED = 0

WINDOWED = UPDATES["one-step-in-a-thousand"]


CELLS = [
    (setting, dtype)
    for setting in SETTINGS
    for dtype in DTYPES
    if dtype != "float16" or SETTINGS[setting].lines not in SQUARES
]
"""Optimisers, and the formats in which they make a step."""

IN_HALF_PRECISION = [
    (fault, dtype, stage)
    for fault in UPDATES.values()
    for dtype in HALF
    for stage in STAGES
    if fault.runs(dtype) and fault.exceeds(dtype, stage)
]
"""Faults that are said to show in half precision, and where."""

OF_ONE_FORM = [
    (engine, fault)
    for engine in ("torch-eager", "jax-jit")
    for fault in UPDATES.values()
    if (engine, SETTINGS[fault.setting].lines) not in OTHER_FORMS
]
"""Engines, and faults of optimisers that they have in the form that NumPy has."""


def called(value):
    """A fault by its name."""
    return value.name if isinstance(value, UpdateFault) else str(value)


def nowhere(fault):
    """The same fault, planted nowhere: the honest optimiser, with the hyperparameters that belong there."""
    own = SETTINGS[fault.setting].biases
    return replace(fault, wrong=as_it_is, made="", given=lambda h, t: {**h, **own})


# --- the panel itself


def test_the_panel_is_large_and_no_two_faults_share_a_name():
    names = [fault.name for fault in panel()]
    assert len(names) >= 35
    assert max(Counter(names).values()) == 1
    assert list(UPDATES) == names
    assert not set(names) & set(FAULTS)
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name) for name in names)


@over("fault", UPDATES.values(), ids=UPDATES)
def test_a_fault_has_a_cause_and_a_line_that_exists(fault):
    assert fault.cause
    setting = SETTINGS[fault.setting]
    if setting.lines == "gradient_descent":
        assert fault.site in ("2a", "2b")
    else:
        name, _, line = fault.site.partition(": ")
        assert name == setting.lines
        assert line in optimisers.OPTIMISERS[name].observed
    assert fault.breaks == (fault.site, fault.layer)
    assert fault.sees in PRECISIONS
    assert fault.trained is None or fault.trained in PRECISIONS
    assert fault.source.startswith(GITHUB) == (fault.kind == HISTORICAL)
    assert fault.of == "b" or not SETTINGS[fault.setting].biases


def test_every_optimiser_has_a_fault_and_every_list_is_of_faults():
    assert {fault.setting for fault in UPDATES.values()} == set(SETTINGS)
    assert set(SEES) | {*IN_HALF, *AT_EVERY_STAGE} <= set(UPDATES)


@pytest.mark.parametrize("engine", MAKERS)
def test_every_engine_makes_every_optimiser_and_none_that_nobody_asks_for(engine):
    made = importlib.import_module(MAKERS[engine]).OPTIMISERS
    right = {setting.made or setting.lines for setting in SETTINGS.values()}
    assert set(made) == right | {fault.made for fault in UPDATES.values() if fault.made}


def test_a_fault_is_named_by_its_line_in_its_layers():
    everywhere, one = UPDATES["rate-off"], UPDATES["layer-not-updated"]
    assert all(everywhere.names(equation, layer) for equation in ("2a", "2b") for layer in (1, 2, 3))
    assert not everywhere.names("7a", 1)
    assert [layer for layer in (1, 2, 3) if one.names("2a", layer)] == [2]
    weights = UPDATES["one-weight-not-updated"]
    assert weights.names("2a", 2)
    assert not weights.names("2b", 2)
    assert not UPDATES["biases-not-updated"].names("2a", 1)
    assert not UPDATES["betas-exchanged"].names("adam: v", 1)
    assert not UPDATES["betas-exchanged"].names("adam: m of the honest step", 1)


def test_a_fault_is_named_by_its_line_in_the_form_that_the_engine_has():
    ((_, lines_of), form) = next(iter(OTHER_FORMS.items()))
    fault = UPDATES["maximum-not-kept"]
    assert lines_of == "amsgrad"
    assert fault.names("amsgrad: v_max", 1)
    assert fault.names(f"{form}: v_max", 3)
    assert not fault.names(f"{form}: v", 1)


# --- the honest optimisers


@over("stage", STAGES)
@over(("setting", "dtype"), CELLS, quick=16)
@over("engine", MAKERS)
def test_the_honest_optimiser_holds(engine, setting, dtype, stage):
    steps = WINDOWED.window if setting == WINDOWED.setting else 1
    for seed in range(2):
        of_steps = honest_findings(engine, setting, dtype, stage, seed, steps)
        assert len(of_steps) == steps
        for of_step in of_steps:
            assert len(of_step) == 6
            for found in of_step.values():
                assert found
                assert all(finding.holds for finding in found)


@pytest.mark.parametrize("setting", [name for name in SETTINGS if (name, "float16") not in CELLS])
@pytest.mark.parametrize("engine", MAKERS)
def test_what_is_not_run_in_float16_makes_no_step_there(engine, setting):
    moment = course(engine, "momentum", "float16", INITIAL, SEED, 1)[0]
    start = optimisers.optimiser(SETTINGS[setting].lines).init
    state = {place: {"t": 0.0, **start(array)} for place, array in moment.w.items()}
    h = SETTINGS[setting].at(INITIAL)
    with kill_matrix.without_warnings():
        new_w, _ = step(engine, SETTINGS[setting].lines, "float16", h, moment.w, state, moment.g)
    assert not all(np.isfinite(array).all() for array in new_w.values())


def test_only_what_divides_by_squares_is_not_run_and_only_in_float16():
    left_out = {SETTINGS[f.setting].lines for f in UPDATES.values() for dtype in DTYPES if not f.runs(dtype)}
    assert left_out == set(SQUARES)
    assert all(fault.runs(dtype) for fault in UPDATES.values() for dtype in DTYPES if dtype != "float16")


@over("engine", MAKERS)
@over("setting", SETTINGS)
def test_what_is_kept_is_no_longer_what_it_starts_with(engine, setting):
    moment = course(engine, setting, "float32", INITIAL, SEED, 1)[0]
    for place, kept in moment.state.items():
        assert kept["t"] == WARM
        assert moment.new_state[place]["t"] == WARM + 1
        assert all(np.any(array != 0) for array in kept.values())
        assert all(array.shape == moment.w[place].shape for name, array in kept.items() if name != "t")
        assert np.any(moment.past[place] != moment.g[place])


@over("setting", SETTINGS)
@over(("stage", "lowest", "highest"), [(INITIAL, 1e-3, 1.0), (CONVERGED, 1e-6, 1e-3)])
def test_gradients_are_as_large_as_the_stage_says(setting, stage, lowest, highest):
    for seed in range(3):
        moment = course("numpy", setting, "float64", stage, seed, 1)[0]
        assert lowest < max(np.abs(array).max() for array in moment.g.values()) < highest


def test_the_biases_have_their_own_hyperparameters_where_they_should():
    weights, alike = (course("numpy", name, "float64", INITIAL, SEED, 1)[0] for name in ("adamw of weights", "adam"))
    decay = 1 - SETTINGS["adamw of weights"].at(INITIAL)["weight_decay"] * 1e-3
    for place in weights.w:
        shrunk = weights.new_w[place] - weights.w[place] * (decay if place[0] == "W" else 1)
        m_hat = weights.new_state[place]["m"] / (1 - 0.9 ** (WARM + 1))
        v_hat = weights.new_state[place]["v"] / (1 - 0.999 ** (WARM + 1))
        np.testing.assert_allclose(shrunk, -1e-3 * m_hat / (np.sqrt(v_hat) + 1e-8), rtol=1e-10)
    assert alike.w.keys() == weights.w.keys()


# --- every fault is killed, and named


@over("fault", UPDATES.values(), ids=UPDATES, quick=20)
@over("engine", MAKERS)
def test_a_fault_is_killed_and_named(engine, fault):
    for dtype in ("float32", "float64"):
        for stage in STAGES:
            assert fault.exceeds(dtype, stage)
            draw = kill_matrix.draw_update(engine, fault, dtype, stage, SEED)
            where = f"{dtype}, {stage}"
            assert draw.change > kill_matrix.CERTAIN, f"{fault.name} changes its step by {draw.change:.3g}: {where}"
            assert draw.killed, f"{fault.name} is not found: {where}"
            assert fault.names(*draw.found), f"{fault.name} is found in {draw.found}, not in {fault.breaks}: {where}"


@over(("fault", "dtype", "stage"), IN_HALF_PRECISION, ids=called, quick=30)
@over("engine", MAKERS)
def test_a_fault_is_killed_in_half_precision_where_that_is_said_to_see_it(engine, fault, dtype, stage):
    draw = kill_matrix.draw_update(engine, fault, dtype, stage, SEED)
    assert draw.change > kill_matrix.CERTAIN
    assert draw.killed
    assert fault.names(*draw.found)


@over("fault", UPDATES.values(), ids=UPDATES)
def test_a_fault_that_is_planted_nowhere_is_missed(fault):
    clean = nowhere(fault)
    draws = [kill_matrix.draw_update("numpy", clean, "float32", stage, SEED) for stage in STAGES]
    assert all((draw.killed, draw.change, draw.in_u) == (False, 0.0, 0.0) for draw in draws)
    for stage, draw in zip(STAGES, draws, strict=True):
        record = kill_matrix.matrix_cell("numpy", clean, "float32", stage, [draw])
        assert (record["claimed"], record["missed"], record["killed"]) == (True, 1, 0)


@pytest.mark.parametrize("engine", ["torch-eager", "jax-jit"])
@pytest.mark.parametrize("name", ["uphill", "square-missing", "count-stands-still", "sign-missing"])
def test_a_fault_that_is_planted_nowhere_is_missed_in_the_frameworks_too(engine, name):
    draw = kill_matrix.draw_update(engine, nowhere(UPDATES[name]), "float32", INITIAL, SEED)
    assert (draw.killed, draw.change) == (False, 0.0)


@over(("engine", "fault"), OF_ONE_FORM, ids=called)
def test_a_fault_is_the_same_in_every_engine(engine, fault):
    """Planted in the same step in float64, it leaves the same numbers but for rounding."""
    moment = course("numpy", fault.setting, "float64", INITIAL, SEED, 1)[0]
    expected, kept = planted_step("numpy", fault, "float64", INITIAL, moment)
    new_w, new_state = planted_step(engine, fault, "float64", INITIAL, moment)
    assert set(new_w) == set(new_state) == set(expected) == set(fault.places)
    for place in new_w:
        np.testing.assert_allclose(new_w[place], expected[place], rtol=1e-12, atol=1e-15)
        for name, array in kept[place].items():
            np.testing.assert_allclose(new_state[place][name], array, rtol=1e-12, atol=1e-18)


def test_a_patch_is_gone_after_its_step():
    x = torch.ones(2)
    with Patched("add_", lambda add, x, other: add(x, 10 * other)):
        x.add_(1.0)
    assert x.tolist() == [11.0, 11.0]
    assert x.add_(1.0).tolist() == [12.0, 12.0]
    assert TORCH["adam"].patched is not TORCH["adam, eps in root"].patched


# --- one step in a thousand


def test_the_skipped_step_is_anywhere_in_its_window():
    drawn = Counter(planted_at(WINDOWED, seed) for seed in range(200))
    assert set(drawn) == set(range(WINDOWED.window))
    assert {planted_at(UPDATES["rate-off"], seed) for seed in range(20)} == {0}


@pytest.mark.parametrize("engine", MAKERS)
def test_of_ten_steps_only_the_skipped_one_breaks(engine):
    at = planted_at(WINDOWED, SEED)
    moments = course(engine, WINDOWED.setting, "float32", INITIAL, SEED, WINDOWED.window)
    assert len(moments) == WINDOWED.window
    for i, moment in enumerate(moments):
        left = moment.new_w, moment.new_state
        if i == at:
            left = planted_step(engine, WINDOWED, "float32", INITIAL, moment)
            assert all(np.array_equal(left[0][place], moment.w[place]) for place in moment.w)
        found = findings(engine, WINDOWED.setting, "float32", INITIAL, moment, *left)
        assert all(finding.holds == (i != at) for of_place in found.values() for finding in of_place)


# --- what is around a step

PLACES = (("W", 1), ("b", 1), ("b", 2))


def toy(w, state, g):
    """A step by which everything can be followed: w − g, b + g, t + 1."""
    return (
        {place: w[place] - g[place] for place in w},
        {place: {"t": kept["t"] + 1, "b": kept["b"] + g[place]} for place, kept in state.items()},
    )


def around(wrong, dtype="float64"):
    """What a fault makes of a step from w = 1, b = 10, t = 4 with g = ½ after one of ¼."""
    w, g, past = ({place: np.full(2, x) for place in PLACES} for x in (1.0, 0.5, 0.25))
    state = {place: {"t": 4.0, "b": np.full(2, 10.0)} for place in PLACES}
    m = Surroundings({"learning_rate": 0.5, "weight_decay": 0.25}, dtype, past)
    new_w, new_state = wrong(m, toy, w, state, g)
    return [(new_w[p][0], new_state[p]["b"][0], new_state[p]["t"]) for p in PLACES]


def test_what_is_around_a_step_is_what_the_cause_says():
    assert around(as_it_is) == 3 * [(0.5, 10.5, 5)]
    assert around(updates.skipped) == 3 * [(1.0, 10.0, 4)]
    assert around(updates.twice) == 3 * [(0.0, 11.0, 6)]
    assert around(updates.stale) == 3 * [(0.75, 10.25, 5)]
    assert around(updates.accumulated) == 3 * [(0.25, 10.75, 5)]
    assert around(updates.shrunk_before) == 3 * [(0.375, 10.5, 5)]
    assert around(updates.not_kept("b")) == 3 * [(0.5, 10.0, 5)]
    assert around(updates.reset("b")) == 3 * [(0.5, 0.5, 5)]
    assert around(updates.shared("b", ("b", 1), ("b", 2))) == [(0.5, 10.5, 5), (0.5, 11.0, 5), (0.5, 11.0, 5)]


def test_a_count_is_off_in_the_step_and_right_after_it():
    seen = []

    def counting(w, state, g):
        seen.append({kept["t"] for kept in state.values()})
        return toy(w, state, g)

    w = {place: np.ones(2) for place in PLACES}
    state = {place: {"t": 4.0, "b": np.ones(2)} for place in PLACES}
    _, new_state = updates.count_off(-1)(None, counting, w, state, w)
    assert seen == [{3.0}]
    assert {kept["t"] for kept in new_state.values()} == {5.0}


def test_bfloat16_is_rounded_to_in_what_is_kept_or_left_and_in_nothing_else():
    third = lambda m, step, w, state, g: (  # noqa: E731
        {place: w[place] / 3 for place in w},
        {place: {"t": 5.0, "b": state[place]["b"] / 3} for place in state},
    )
    coarse = lambda x: float(rounded(x, "bfloat16"))  # noqa: E731
    stepped = lambda wrong: around(lambda m, _, *rest: wrong(m, lambda *now: third(m, None, *now), *rest))  # noqa: E731
    assert stepped(updates.kept_in_brain("b")) == 3 * [(1 / 3, coarse(10 / 3), 5)]
    assert stepped(updates.weights_in_brain) == 3 * [(coarse(1 / 3), 10 / 3, 5)]


def test_the_weight_with_the_largest_gradient_is_left():
    w = {("W", 2): np.array([[1.0, 2.0], [3.0, 4.0]])}
    g = {("W", 2): np.array([[0.5, -2.0], [1.0, 0.25]])}
    state = {("W", 2): {"t": 0.0, "b": np.zeros((2, 2))}}
    new_w, _ = updates.one_weight_left(None, toy, w, state, g)
    assert new_w["W", 2].tolist() == [[0.5, 2.0], [2.0, 3.75]]


# --- what judges


def test_an_engine_is_judged_by_its_own_form():
    h = SETTINGS["amsgrad"].at(INITIAL)
    assert lines("torch-eager", "amsgrad", h).name == "amsgrad"
    judged = lines("jax-jit", "amsgrad", h)
    assert judged.name == "amsgrad_of_corrected"
    assert judged.hyperparameters["learning_rate"] == h["learning_rate"]
    assert "weight_decay" not in judged.hyperparameters


def test_near_convergence_the_learning_rate_is_another():
    setting = SETTINGS["adam"]
    assert setting.at(INITIAL)["learning_rate"] == 1e-3
    assert setting.at(CONVERGED) == {**setting.at(INITIAL), "learning_rate": 1e-4}
