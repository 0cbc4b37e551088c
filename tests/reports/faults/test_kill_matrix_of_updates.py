"""The kill matrix of faults of the update: what a draw of one is, and that it stands beside those of the passes."""

import math
from dataclasses import replace

import numpy as np
import pytest

from adapters.faults import updating
from adapters.faults.catalogue import FAULTS
from adapters.faults.fault import INITIAL, STAGES
from adapters.faults.planting import OF_ONE_PROGRAM, PLANTED
from adapters.faults.updates import UPDATES
from reference.audit import Finding, Worst
from reference.rounding import DTYPES, UNIT_ROUNDOFF
from reports.faults import kill_matrix
from reports.faults.kill_matrix import Planting, breaks_by_step, cells_of_fault, draw_update, move_at_worst, plantings
from reports.faults.measure import panel

INF, NAN = math.inf, math.nan

FAULT, WINDOWED, GROSS = (UPDATES[name] for name in ("layer-not-updated", "one-step-in-a-thousand", "betas-exchanged"))

LAYERED = tuple(name for name in PLANTED if name not in OF_ONE_PROGRAM)


def found(equation="2a", layer=2, ratio=5.0, index=(0,), allowed=0.5):
    return Finding(equation, layer, ratio, 4, Worst(index, 1.0, 2.0, allowed))


def left_as(**wrong):
    """A fault whose step leaves some of its w otherwise: (w after) -> w."""

    def around(m, step, w, state, g):
        new_w, new_state = step(w, state, g)
        return {place: wrong["w"](array) for place, array in new_w.items()}, new_state

    return replace(UPDATES["rate-off"], wrong=around, given=lambda h, t: h)


# --- a draw


def test_a_draw_of_a_gross_fault_is_killed_and_says_where_and_by_how_much():
    draw = draw_update("numpy", GROSS, "float32", INITIAL, 0)
    assert (draw.seed, draw.killed, draw.found) == (0, True, ("adam: m", 1))
    assert draw.change > 1e6
    assert draw.in_u > 1e6
    assert draw.ratio > 1


def test_a_change_within_the_rounding_is_no_kill_and_counts_in_allowances_and_in_u():
    """One unit in the last place of each new w: at most one allowance, and up to 2 u."""
    draw = draw_update("numpy", left_as(w=lambda x: np.nextafter(np.float32(x), np.inf)), "float32", INITIAL, 0)
    assert 0.5 < draw.change < 2
    assert 1 <= draw.in_u <= 2


def test_a_change_is_beyond_any_rounding_where_it_is_five_units():
    right = left_as(w=lambda x: x + 5 * 2 * UNIT_ROUNDOFF["float32"] * np.maximum(np.abs(x), 2.0**-10))
    draw = draw_update("numpy", right, "float32", INITIAL, 0)
    assert draw.killed
    assert draw.change > kill_matrix.CERTAIN


@pytest.mark.parametrize("value", [NAN, INF])
def test_what_becomes_no_number_is_killed_and_beyond_all_numbers(value):
    draw = draw_update("numpy", left_as(w=lambda x: np.full_like(x, value)), "float64", INITIAL, 0)
    assert draw.killed
    assert draw.found == ("2a", 1)
    assert (draw.change, draw.in_u) == (INF, INF)


def test_one_nan_is_killed():
    def one(x):
        x = x.copy()
        x.flat[-1] = NAN
        return x

    draw = draw_update("numpy", left_as(w=one), "float64", INITIAL, 0)
    assert (draw.killed, draw.change) == (True, INF)


def with_honest(monkeypatch, fault, step, place, finding):
    """As if the honest engine had left something that is found."""
    which = ("numpy", fault.setting, "float32", INITIAL, 0, fault.window)
    steps = [dict(of_step) for of_step in updating.honest_findings(*which)]
    steps[step][place] = [finding]
    monkeypatch.setattr(kill_matrix, "honest_findings", lambda *_: tuple(steps))


@pytest.mark.parametrize("place", [("W", 1), ("W", 2)])
def test_what_breaks_in_the_honest_step_kills_nothing(monkeypatch, place):
    harmless = replace(FAULT, wrong=lambda m, step, w, state, g: step(w, state, g))
    with_honest(monkeypatch, harmless, 0, place, found(layer=place[1]))
    assert not draw_update("numpy", harmless, "float32", INITIAL, 0).killed


def test_what_breaks_in_the_honest_step_first_names_no_fault(monkeypatch):
    with_honest(monkeypatch, FAULT, 0, ("W", 1), found(layer=1))
    draw = draw_update("numpy", FAULT, "float32", INITIAL, 0)
    assert draw.killed
    assert draw.found == ("2a of the honest step", 1)
    assert not FAULT.names(*draw.found)
    record = kill_matrix.matrix_cell("numpy", FAULT, "float32", INITIAL, [draw])
    assert (record["killed"], record["localised"]) == (1, 0)


def test_of_a_window_only_the_planted_step_names_the_fault(monkeypatch):
    at = updating.planted_at(WINDOWED, 0)
    assert at > 0
    draw = draw_update("numpy", WINDOWED, "float32", INITIAL, 0)
    assert (draw.killed, WINDOWED.names(*draw.found)) == (True, True)
    with_honest(monkeypatch, WINDOWED, at - 1, ("W", 1), found(layer=1))
    draw = draw_update("numpy", WINDOWED, "float32", INITIAL, 0)
    assert (draw.killed, WINDOWED.names(*draw.found)) == (True, False)


def test_what_does_not_hold_comes_in_the_order_of_the_computation():
    W, b = ("W", 1), ("b", 1)
    holds, breaks = found(ratio=1.0), found(ratio=1.5)
    steps = [{W: [holds]}, {W: [found("adam: m", ratio=0.0), found("adam: w", ratio=NAN)], b: [breaks]}]
    assert list(breaks_by_step(steps)) == [(1, W, "adam: w"), (1, b, "2a")]
    assert breaks_by_step(steps)[1, b, "2a"] is breaks
    assert breaks_by_step([{W: [replace(holds, elements=0)]}])  # nothing compared is no pass
    assert breaks_by_step([]) == {}


# --- by how much


def test_a_move_is_that_of_the_worst_element_in_allowances_and_the_largest_in_u():
    before, after = np.array([1.0, 4.0]), np.array([1.5, 5.0])
    u = UNIT_ROUNDOFF["float32"]
    assert move_at_worst("float32", found(index=(1,), allowed=0.25), before, after) == (4.0, 0.5 / u)
    assert move_at_worst("float32", found(), before, before) == (0.0, 0.0)


def test_a_number_that_is_kept_once_moves_beyond_its_allowance_of_nothing():
    count = found("adam: t", index=(), allowed=0.0)
    with kill_matrix.without_warnings():
        assert move_at_worst("float64", count, 5.0, 4.0)[0] == INF
        assert move_at_worst("float64", count, 5.0, 5.0) == (0.0, 0.0)


@pytest.mark.parametrize("after", [NAN, INF])
def test_a_move_to_no_number_is_beyond_all_numbers(after):
    assert move_at_worst("float64", found(), np.array([1.0]), np.array([after])) == (INF, INF)


def test_where_nothing_was_compared_anything_may_have_moved():
    assert move_at_worst("float64", replace(found(), worst=None), np.ones(1), np.ones(1))[0] == INF


# --- cells of the matrix


def test_a_cell_has_what_a_cell_of_the_passes_has():
    (first, second) = cells_of_fault("numpy", FAULT, "float32", (0, 1))
    (other, _) = cells_of_fault("numpy", FAULTS["derivative-sign"], "float32", (0,))
    assert list(first) == list(other)
    assert [record["stage"] for record in (first, second)] == list(STAGES)
    for record in (first, second):
        assert (record["fault"], record["engine"], record["dtype"]) == (FAULT.name, "numpy", "float32")
        assert (record["claimed"], record["draws"], record["killed"], record["localised"]) == (True, 2, 2, 2)
        assert (record["missed"], record["misses"], record["elsewhere"]) == (0, [], [])


@pytest.mark.parametrize("engine", LAYERED)
def test_faults_of_the_update_and_of_the_passes_run_alike(engine):
    records = kill_matrix.run(Planting(engine, ("float32", "bfloat16"), ("decay-coupled", "updated-in-brain"), (0,)))
    cells = {(r["fault"], r["dtype"], r["stage"]): (r["claimed"], r["killed"]) for r in records}
    assert {cells["decay-coupled", dtype, stage] for dtype in ("float32", "bfloat16") for stage in STAGES} == {
        (True, 1)
    }
    assert {cells["updated-in-brain", "float32", stage] for stage in STAGES} == {(True, 1)}
    assert {cells["updated-in-brain", "bfloat16", stage] for stage in STAGES} == {(False, 0)}  # it is that format


def test_what_is_not_claimed_and_not_found_is_below_the_precision():
    (first, _) = cells_of_fault("numpy", UPDATES["updated-in-brain"], "bfloat16", (0,))
    assert (first["indistinguishable"], first["missed"], first["change"]) == (1, 0, 0.0)


def test_a_format_in_which_an_optimiser_makes_no_step_has_no_cell():
    planned = {
        dtype: {name for planting in plantings(("numpy",), (dtype,), 1) for name in planting.faults} & set(UPDATES)
        for dtype in DTYPES
    }
    assert planned["float32"] == planned["float64"] == planned["bfloat16"] == set(UPDATES)
    assert set(UPDATES) - planned["float16"] == {name for name, fault in UPDATES.items() if not fault.runs("float16")}
    assert {"momentum-reset", "sign-missing"} <= planned["float16"]


@pytest.mark.parametrize("engine", OF_ONE_PROGRAM)
def test_engines_without_optimisers_of_their_own_have_no_cell(engine):
    assert not {name for planting in plantings((engine,), DTYPES, 1) for name in planting.faults} & set(UPDATES)


def test_the_panel_tells_of_faults_of_the_update_as_of_others():
    rows = {row["name"]: row for row in panel()}
    assert set(rows) >= {*FAULTS, *UPDATES}
    assert len({tuple(row) for row in rows.values()}) == 1
    for name, fault in UPDATES.items():
        assert (rows[name]["equation"], rows[name]["layer"]) == fault.breaks
        assert (rows[name]["sees"], rows[name]["source"]) == (fault.sees, fault.source)
