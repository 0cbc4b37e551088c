"""The kill matrix: what counts as killed, as missed and as indistinguishable, and that every fault has its turn."""

import math
from collections import Counter
from dataclasses import replace
from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest

from adapters.faults.batching import BATCH_FAULTS, TRAINED_IN
from adapters.faults.catalogue import FAULTS
from adapters.faults.fault import CONVERGED, INITIAL, STAGES
from adapters.faults.networks import DRAWN
from adapters.faults.planting import OF_ONE_PROGRAM, PLANTED, planted
from adapters.faults.updates import UPDATES
from adapters.numpy.engine import NumpyEngine
from reference.arithmetic import UNDECLARED
from reference.optimisers import optimiser
from reference.rounding import DTYPES
from reference.training import Plan, draw_batches
from reports.faults import kill_matrix
from reports.faults.kill_matrix import (
    CERTAIN,
    IN_ONE_PROGRAM,
    PANEL,
    Draw,
    HonestTrace,
    Planting,
    matrix_cell,
    plantings,
)

INF, NAN = math.inf, math.nan

FAULT = FAULTS["transposed-weight"]  # breaks (14) in layer 1
SLIGHT = FAULTS["last-bits-double"]  # does not claim to show in float32

LAYERED = tuple(name for name in PLANTED if name not in OF_ONE_PROGRAM)


# --- by how much a fault moves its step


def check(observed, expected, allowed):
    return "7a", 1, np.array(observed), np.array(expected), np.array(allowed)


def changed(right, wrong, u):
    with kill_matrix.without_warnings():
        return kill_matrix.change_of(right, wrong, u)


def test_a_change_is_the_largest_in_allowances_and_in_units_of_u():
    right = check([1.0, 2.0, 4.0], [1.0, 2.0, 4.0], [0.5, 0.25, 1.0])
    wrong = check([1.0, 3.0, 2.0], [1.0, 2.0, 4.0], [0.5, 0.25, 1.0])
    assert changed(right, wrong, 0.125) == (4.0, 4.0)
    assert changed(right, right, 0.125) == (0.0, 0.0)


def test_a_change_counts_from_what_the_honest_engine_gives_not_from_what_is_right():
    """An honest engine that errs by one allowance, and a fault that takes that back: a move of one."""
    right, wrong = check([1.5], [1.0], [0.5]), check([1.0], [1.0], [0.5])
    assert changed(right, wrong, 0.125)[0] == 1.0


@pytest.mark.parametrize("after", [NAN, INF, -INF])
def test_what_becomes_no_number_is_beyond_all_numbers(after):
    right, wrong = check([1.0, 2.0], [1.0, 2.0], [1.0, 1.0]), check([1.0, after], [1.0, 2.0], [1.0, 1.0])
    assert changed(right, wrong, 0.5) == (INF, INF)


def test_what_becomes_no_number_and_is_followed_at_a_kink_is_beyond_all_numbers_too():
    right, wrong = check([1.0], [1.0], [1.0]), check([NAN], [NAN], [1.0])
    assert changed(right, wrong, 0.5) == (INF, INF)


def test_infinities_are_equal_or_beyond_all_numbers():
    right = check([INF, 1.0], [INF, 1.0], [1.0, 1.0])
    assert changed(right, right, 0.5) == (0.0, 0.0)
    for after in (-INF, 0.0, NAN):
        assert changed(right, check([after, 1.0], [INF, 1.0], [1.0, 1.0]), 0.5)[0] == INF


def test_zero_that_stays_zero_has_not_moved():
    right, wrong = check([0.0, 1.0], [0.0, 1.0], [1.0, 1.0]), check([0.0, 1.5], [0.0, 1.0], [1.0, 1.0])
    assert changed(right, wrong, 0.5) == (0.5, 1.0)


def test_zero_that_moves_does_so_by_infinitely_many_of_its_units():
    assert changed(check([0.0], [0.0], [1.0]), check([0.25], [0.0], [1.0]), 0.5) == (0.25, INF)


def test_a_move_from_one_admissible_value_to_another_is_no_change():
    """At a kink, what is expected is what was observed; beside one that is not admissible it stays."""
    right = check([0.0, 1.0], [0.0, 1.0], [0.25, 0.25])
    assert changed(right, check([0.7, 1.0], [0.7, 1.0], [0.25, 0.25]), 0.5)[0] == 0
    assert changed(right, check([1.5, 1.0], [1.0, 1.0], [0.25, 0.25]), 0.5)[0] == 2.0
    assert changed(right, check([0.7, 2.0], [0.7, 1.0], [0.25, 0.25]), 0.5)[0] == 4.0


def test_a_change_is_seen_though_operands_are_rounded_otherwise():
    """As in another program: what is expected moves by a little, and the fault is not to hide behind that."""
    right, wrong = check([1.0], [1.0], [0.125]), check([2.0], [1.015625], [0.125])
    assert changed(right, wrong, 0.5)[0] == 7.875
    honest = check([1.015625], [1.015625], [0.125])
    assert changed(right, honest, 0.5)[0] == 0


@pytest.mark.parametrize(
    ("moved", "unit", "expected"),
    [
        ([0.0, 3.0], [1.0, 2.0], 1.5),
        ([0.0], [0.0], 0.0),
        ([0.0], [NAN], 0.0),
        ([1.0], [0.0], INF),
        ([NAN, 1.0], [1.0, 1.0], INF),
        ([INF], [INF], INF),
        ([1.0], [NAN], INF),
    ],
)
def test_the_worst_of_some_moves(moved, unit, expected):
    with np.errstate(all="ignore"):
        assert kill_matrix.largest_move(np.array(moved), np.array(unit)) == expected


# --- what became of a draw


def survivor(change, seed=0):
    return Draw(seed, False, None, change, change, 0.0)


def kill(found=("14", 1), ratio=10.0, change=100.0, seed=0):
    return Draw(seed, True, found, change, change, ratio)


def summed(*draws, fault=FAULT, dtype="float32", stage=INITIAL):
    return matrix_cell("numpy", fault, dtype, stage, draws)


def test_a_fault_that_is_killed_in_every_draw():
    record = summed(kill(ratio=30.0, change=8.0), kill(ratio=20.0, change=9.0, seed=1))
    assert record == {
        "fault": "transposed-weight",
        "engine": "numpy",
        "dtype": "float32",
        "stage": INITIAL,
        "claimed": True,
        "draws": 2,
        "killed": 2,
        "localised": 2,
        "missed": 0,
        "indistinguishable": 0,
        "change": 8.0,
        "in_u": 8.0,
        "ratio": 20.0,
        "misses": [],
        "elsewhere": [],
    }


@pytest.mark.parametrize("change", [0.0, 0.5, 1.0, CERTAIN, 3.0, INF, NAN])
def test_a_survivor_is_missed_where_the_fault_claims_to_show(change):
    record = summed(kill(), survivor(change, seed=7))
    assert record["claimed"]
    assert (record["killed"], record["missed"], record["indistinguishable"]) == (1, 1, 0)
    ((seed, seen),) = (miss.values() for miss in record["misses"])
    assert seed == 7
    assert seen == change or (math.isnan(change) and math.isnan(seen))


@pytest.mark.parametrize(
    ("change", "missed"),
    [(0.0, 0), (1.0, 0), (CERTAIN, 0), (math.nextafter(CERTAIN, 3), 1), (3.0, 1), (INF, 1), (NAN, 1)],
)
def test_elsewhere_a_survivor_is_missed_where_it_moves_its_step_by_more_than_an_honest_engine_could(change, missed):
    record = summed(survivor(change, seed=7), fault=SLIGHT)
    assert not record["claimed"]
    assert (record["killed"], record["missed"], record["indistinguishable"]) == (0, missed, 1 - missed)
    assert len(record["misses"]) == missed


def test_a_fault_that_is_only_indistinguishable_near_convergence():
    trained = FAULTS["gradient-clipped"]
    assert summed(survivor(0.0), fault=trained, stage=CONVERGED)["indistinguishable"] == 1
    assert summed(survivor(0.0), fault=trained, stage=INITIAL)["missed"] == 1


def test_a_kill_counts_however_small_the_change_is():
    record = summed(kill(change=0.9), fault=SLIGHT)
    assert (record["killed"], record["missed"], record["indistinguishable"]) == (1, 0, 0)


@pytest.mark.parametrize("found", [("7a", 1), ("14", 2), ("z", 1)])
def test_a_kill_in_another_place_is_listed(found):
    record = summed(kill(), kill(found, ratio=3.0, seed=5))
    assert (record["killed"], record["localised"]) == (2, 1)
    assert record["elsewhere"] == [{"seed": 5, "found": found, "ratio": 3.0}]


def test_a_survivor_is_not_listed_as_found_elsewhere():
    assert summed(survivor(0.0))["elsewhere"] == []


@pytest.mark.parametrize(("ratios", "smallest"), [((NAN,), INF), ((NAN, 4.0), 4.0), ((INF, NAN), INF), ((), None)])
def test_the_smallest_ratio_is_of_what_was_killed(ratios, smallest):
    record = summed(survivor(0.5), *(kill(ratio=ratio) for ratio in ratios))
    assert record["ratio"] == smallest


@pytest.mark.parametrize("draws", [[kill()], [survivor(0.1)], [kill(), survivor(5.0), kill(("z", 1))]])
@pytest.mark.parametrize("fault", [FAULT, SLIGHT])
def test_every_draw_is_counted_once(draws, fault):
    record = summed(*draws, fault=fault)
    assert record["killed"] + record["missed"] + record["indistinguishable"] == record["draws"] == len(draws)
    assert record["localised"] + len(record["elsewhere"]) == record["killed"]


def test_no_draws_are_no_cell():
    with pytest.raises(ValueError, match="empty"):
        summed()


# --- every fault has its turn


def test_the_panel_has_every_fault_of_every_pass():
    assert len(PANEL) == len(FAULTS) + len(UPDATES) + len(BATCH_FAULTS)
    assert set(PANEL) == {*FAULTS, *UPDATES, *BATCH_FAULTS}


@pytest.mark.parametrize("engine", LAYERED)
def test_every_fault_is_planted_once_in_every_engine_and_format(engine):
    planned = list(plantings((engine,), DTYPES, 3))
    seen = Counter((dtype, name) for planting in planned for dtype in planting.dtypes for name in planting.faults)
    wanted = {(dtype, name) for dtype in DTYPES for name in FAULTS}
    wanted |= {(dtype, name) for dtype in DTYPES for name, fault in UPDATES.items() if fault.runs(dtype)}
    wanted |= {(dtype, name) for dtype in TRAINED_IN for name in BATCH_FAULTS}
    assert set(seen) == wanted
    assert set(seen.values()) == {1}
    assert {planting.engine for planting in planned} == {engine}
    assert {planting.seeds for planting in planned} == {(0, 1, 2)}


@pytest.mark.parametrize("engine", OF_ONE_PROGRAM)
def test_one_program_engines_take_part_in_float32_with_the_faults_listed_for_them(engine):
    planned = list(plantings((engine,), DTYPES, 2))
    assert [name for planting in planned for name in planting.faults] == list(IN_ONE_PROGRAM)
    assert {(planting.engine, planting.dtypes, planting.seeds) for planting in planned} == {
        (engine, ("float32",), (0, 1))
    }
    assert list(plantings((engine,), ("float64", "bfloat16"), 2)) == []


def test_engines_and_formats_that_are_not_asked_for_are_left_out():
    planned = list(plantings(("numpy",), ("bfloat16",), 1))
    assert planned
    assert {(planting.engine, planting.dtypes) for planting in planned} == {("numpy", ("bfloat16",))}


def test_a_planting_of_the_passes_is_of_one_network():
    """The worker that has it computes the honest engine once a seed."""
    for planting in plantings(("numpy",), ("float64",), 1):
        assert len({PANEL[name].network for name in planting.faults}) == 1


def test_names_are_parted_without_loss():
    names = tuple("abcdefgh")
    assert [len(part) for part in kill_matrix.at_most(3, names)] == [3, 3, 2]
    assert [name for part in kill_matrix.at_most(3, names) for name in part] == list(names)
    assert list(kill_matrix.at_most(3, ())) == []


# --- end to end


def test_two_faults_end_to_end():
    names = ("derivative-sign", "frozen-bias")
    records = kill_matrix.run(Planting("numpy", ("float32", "float64"), names, (0,)))
    assert [(r["dtype"], r["fault"], r["stage"]) for r in records] == [
        (dtype, name, stage) for dtype in ("float32", "float64") for name in names for stage in STAGES
    ]
    for record in records:
        assert (record["draws"], record["killed"], record["localised"]) == (1, 1, 1)
        assert record["claimed"]
        assert record["change"] > CERTAIN
        assert record["ratio"] > 1


def test_a_fault_of_the_update_end_to_end():
    for record in kill_matrix.run(Planting("numpy", ("float64",), ("rate-off",), (0,))):
        assert (record["draws"], record["killed"], record["localised"]) == (1, 1, 1)
        assert record["change"] > CERTAIN


def test_a_fault_that_is_not_there_is_missed():
    """The honest step in its place, in all of a cell: what the matrix would say if the planting failed."""
    fault = replace(FAULT, wrong=lambda m, honest, *operands: honest(*operands))
    for record in kill_matrix.cells_of_fault("numpy", fault, "float64", (0, 1)):
        assert (record["draws"], record["killed"], record["missed"], record["indistinguishable"]) == (2, 0, 2, 0)
        assert record["change"] == 0
        assert record["ratio"] is None


def test_a_fault_below_the_precision_is_indistinguishable():
    """What rounds to float32's digits is no change of a float32."""
    (first, second) = kill_matrix.cells_of_fault("numpy", FAULTS["single-in-double"], "float32", (0,))
    for record in (first, second):
        assert (record["killed"], record["missed"], record["indistinguishable"]) == (0, 0, 1)
        assert record["change"] == 0


def test_a_draw_of_a_nan_is_killed_and_its_ratio_is_none_of_the_numbers():
    fault = FAULTS["nan-in-gradient"]
    draw = kill_matrix.draw_pass("numpy", planted("numpy", fault), fault, "float32", INITIAL, 0)
    assert (draw.killed, draw.found, draw.change, draw.in_u) == (True, ("7a", 2), INF, INF)
    assert math.isnan(draw.ratio)


# --- the honest engine beside it


def test_the_honest_engine_is_computed_once_and_holds():
    first = kill_matrix.honest_trace("numpy", "tanh", "float64", INITIAL, 0)
    assert kill_matrix.honest_trace("numpy", "tanh", "float64", INITIAL, 0) is first
    assert first.broken == frozenset()
    assert {place[0] for place in first.checks} == {"z", "a", "8", "1", "9", "14", "7a", "7b"}


def test_what_breaks_in_the_honest_engine_as_well_is_no_sign_of_a_fault(monkeypatch):
    """An engine that breaks in (14) without a fault: a fault there is not credited with it, one in (7b) still is."""
    right = kill_matrix.honest_trace("numpy", "tanh", "float64", INITIAL, 0)
    monkeypatch.setattr(
        kill_matrix, "honest_trace", lambda *_: HonestTrace(right.case, right.checks, frozenset({("14", 1)}))
    )
    draws = {
        name: kill_matrix.draw_pass("numpy", planted("numpy", FAULTS[name]), FAULTS[name], "float64", INITIAL, 0)
        for name in ("transposed-weight", "frozen-bias")
    }
    assert not draws["transposed-weight"].killed
    assert draws["transposed-weight"].change > CERTAIN
    assert draws["frozen-bias"].found == ("7b", 1)


def test_a_broken_honest_engine_says_where(monkeypatch):
    """What an honest engine's own breaks are is found by the same audit."""
    fault = FAULTS["frozen-bias"]
    monkeypatch.setattr(kill_matrix, "load", lambda name: planted("numpy", fault))
    kill_matrix.honest_trace.cache_clear()
    try:
        assert kill_matrix.honest_trace("numpy", "tanh", "float64", INITIAL, 0).broken == {fault.breaks}
    finally:
        kill_matrix.honest_trace.cache_clear()


def test_torch_compile_is_set_beside_eager_torch(monkeypatch):
    asked = []

    def load(name):
        asked.append(name)
        return planted("numpy", replace(FAULT, wrong=lambda m, honest, *operands: honest(*operands)))

    monkeypatch.setattr(kill_matrix, "load", load)
    kill_matrix.honest_trace.cache_clear()
    try:
        kill_matrix.honest_trace("torch-compile", "tanh", "float32", INITIAL, 0)
        kill_matrix.honest_trace("jax-whole", "tanh", "float32", INITIAL, 0)
    finally:
        kill_matrix.honest_trace.cache_clear()
    assert asked == ["torch-eager", "jax-whole"]


def test_an_engine_that_was_not_measured_is_judged_as_any(monkeypatch):
    """torch-compile is not an engine of the campaign and declares nothing: it is allowed the widest."""
    asked = []
    right = kill_matrix.checks_of
    monkeypatch.setattr(
        kill_matrix, "checks_of", lambda case, trace, declared: asked.append(declared) or right(case, trace, declared)
    )
    engine = planted("numpy", FAULT)
    other = SimpleNamespace(name="torch-compile", trace=engine.trace)
    for wrong in (engine, other):
        assert kill_matrix.draw_pass("numpy", wrong, FAULT, "float32", INITIAL, 3).killed
    assert asked[-1] == UNDECLARED
    assert NumpyEngine.arithmetic in asked


# --- faults of the batches


@pytest.mark.parametrize(
    ("engine", "dtype"),
    [
        pytest.param(engine, dtype, marks=pytest.mark.exhaustive if (engine, dtype) == ("jax-jit", "float64") else ())
        for engine, dtype in product(LAYERED, TRAINED_IN)
    ],
)
def test_every_fault_of_the_batches_is_planted_in_every_engine_that_trains_and_killed(engine, dtype):
    (planting,) = [each for each in plantings((engine,), (dtype,), 1) if set(each.faults) & set(BATCH_FAULTS)]
    assert set(planting.faults) == set(BATCH_FAULTS)
    cells = kill_matrix.run(planting)
    assert [(cell["fault"], cell["stage"]) for cell in cells] == list(product(BATCH_FAULTS, STAGES))
    for cell in cells:
        assert (cell["claimed"], cell["killed"], cell["localised"]) == (True, 1, 1), cell["fault"]
        assert cell["change"] > CERTAIN


@pytest.mark.parametrize("engine", LAYERED)
def test_an_honest_run_is_not_killed(engine, engine_named):
    fault = BATCH_FAULTS["batch-late"]
    for dtype, stage in product(TRAINED_IN, STAGES):
        case = DRAWN[stage](fault.network, dtype, 0)
        plan = Plan(draw_batches(np.random.default_rng(0), case.samples, kill_matrix.BATCH, 2), optimiser("adam"))
        assert kill_matrix.first_break_of_run(engine_named(engine), case, plan) is None


def test_faults_of_the_batches_are_not_planted_where_no_training_is_audited():
    planned = [name for planting in plantings(("numpy", *OF_ONE_PROGRAM), ("bfloat16",), 1) for name in planting.faults]
    assert planned
    assert not set(planned) & set(BATCH_FAULTS)


def test_a_fault_of_the_batches_that_is_switched_off_is_missed():
    fault = replace(BATCH_FAULTS["batch-late"], wrong=lambda case, plan: (case, plan))
    for record in kill_matrix.cells_of_fault("numpy", fault, "float64", (0,)):
        assert (record["killed"], record["missed"], record["change"]) == (0, 1, 0)


def test_a_fault_of_the_batches_is_not_credited_with_what_breaks_without_it(monkeypatch):
    """An engine whose honest run breaks as well: nothing tells the fault from the engine."""
    fault = BATCH_FAULTS["batch-late"]
    guilty = kill_matrix.au.Finding("z", 1, 3.0, 4, None)
    monkeypatch.setattr(kill_matrix, "first_break_of_run", lambda *run: guilty)
    kill_matrix.honest_run.cache_clear()
    try:
        assert not kill_matrix.draw_training("numpy", fault, "float32", INITIAL, 0).killed
    finally:
        kill_matrix.honest_run.cache_clear()


def test_where_a_fault_of_the_batches_is_found_decides_whether_it_is_localised():
    late, dropped = BATCH_FAULTS["batch-late"], BATCH_FAULTS["last-batch-dropped"]
    assert late.names("z", 1)
    assert not late.names("z", 2)
    assert dropped.names("plan", 0)
    assert not dropped.names("z", 1)
