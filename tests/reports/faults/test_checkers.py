"""The panel through other people's checkers: each examines the same, and what it refuses is counted."""

import math
from collections import Counter
from statistics import StatisticsError

import numpy as np
import pytest

from adapters.faults.catalogue import FAULTS
from adapters.faults.fault import CONVERGED, INITIAL, STAGES
from adapters.faults.networks import NETWORKS
from reference.case import Case
from reports.faults import checkers as faults_checkers
from reports.faults import rules
from reports.faults.checkers import CHECKERS, DTYPE, SLOW_SEEDS, Checker, Examination, checker_rows, examinations, run
from reports.faults.rules import CURVES, RULES

BY_NAME = {checker.name: checker for checker in CHECKERS}

ACCEPTING = Checker("accepts everything", "numpy", lambda adapter, case: True)
REFUSING = Checker("refuses everything", "numpy", lambda adapter, case: False)


@pytest.fixture
def checkers(monkeypatch):
    """The function that puts other checkers in the place of all."""
    return lambda *chosen: monkeypatch.setattr("reports.faults.checkers.CHECKERS", chosen)


# --- who takes part


def test_the_audit_comes_first_and_every_rule_takes_part_once():
    names = [checker.name for checker in CHECKERS]
    assert names[0] == "audit"
    assert max(Counter(names).values()) == 1
    assert {rule.name for rule in (*RULES, *CURVES)} < set(names)
    assert set(names) - {rule.name for rule in (*RULES, *CURVES)} == {
        "audit",
        "torch gradcheck, slow",
        "torch gradcheck, fast",
        "jax check_grads",
    }


def test_every_fault_and_every_network_is_examined_once():
    planned = list(examinations(3))
    assert [name for examination in planned for name in examination.faults] == list(FAULTS)
    assert [name for examination in planned for name in examination.networks] == list(NETWORKS)
    assert {examination.seeds for examination in planned} == {(0, 1, 2)}


# --- what is counted


def record(rule, fault, stage, draws, refused, seconds=(1.0,)):
    return {
        "rule": rule,
        "fault": fault,
        "stage": stage,
        "draws": draws,
        "refused": refused,
        "seconds": list(seconds),
    }


def test_a_table_of_made_up_records(checkers):
    checkers(ACCEPTING, REFUSING)
    mine, other = ACCEPTING.name, REFUSING.name
    rows = checker_rows(
        [
            record(mine, "one", INITIAL, 4, 4, [0.001, 0.003]),
            record(mine, "two", INITIAL, 4, 3, [0.002]),
            record(mine, "three", INITIAL, 4, 0, [0.5]),
            record(mine, "one", CONVERGED, 4, 1, [0.002]),
            record(mine, None, INITIAL, 5, 2, [0.002]),
            record(mine, None, CONVERGED, 6, 0, [0.002]),
            record(other, "one", INITIAL, 7, 7, [2.0]),
        ]
    )
    assert rows == [
        {
            "rule": mine,
            "engine": "numpy",
            "source": None,
            "numbers": None,
            "called": True,
            "killed": {
                INITIAL: {"faults": 1, "of": 3, "draws": 7, "of_draws": 12},
                CONVERGED: {"faults": 0, "of": 1, "draws": 1, "of_draws": 4},
            },
            "false_alarms": {INITIAL: {"draws": 2, "of_draws": 5}, CONVERGED: {"draws": 0, "of_draws": 6}},
            "milliseconds": 2.0,
        },
        {
            "rule": other,
            "engine": "numpy",
            "source": None,
            "numbers": None,
            "called": True,
            "killed": {
                INITIAL: {"faults": 1, "of": 1, "draws": 7, "of_draws": 7},
                CONVERGED: {"faults": 0, "of": 0, "draws": 0, "of_draws": 0},
            },
            "false_alarms": {INITIAL: {"draws": 0, "of_draws": 0}, CONVERGED: {"draws": 0, "of_draws": 0}},
            "milliseconds": 2000.0,
        },
    ]


def test_a_rule_is_listed_with_its_source_and_its_numbers():
    rows = {
        row["rule"]: row for row in checker_rows([record(checker.name, None, INITIAL, 1, 0) for checker in CHECKERS])
    }
    assert list(rows) == [checker.name for checker in CHECKERS]
    for rule in (*RULES, *CURVES):
        row = rows[rule.name]
        assert (row["source"], row["numbers"], row["called"]) == (rule.source, rule.numbers, rule.called)


def test_a_fault_that_was_never_drawn_is_not_killed(checkers):
    checkers(ACCEPTING)
    (row,) = checker_rows([record(ACCEPTING.name, "one", INITIAL, 0, 0)])
    assert row["killed"][INITIAL] == {"faults": 0, "of": 1, "draws": 0, "of_draws": 0}


def test_there_is_no_table_of_nothing():
    with pytest.raises(StatisticsError):
        checker_rows([])


# --- end to end


def test_a_checker_that_is_accepts_everything_kills_nothing(checkers):
    checkers(ACCEPTING, REFUSING)
    names = ("gradient-twice", "derivative-sign")
    accepting, refusing = checker_rows(run(Examination(names, ("tanh",), (0, 1))))
    for stage in STAGES:
        assert accepting["killed"][stage] == {"faults": 0, "of": 2, "draws": 0, "of_draws": 4}
        assert accepting["false_alarms"][stage] == {"draws": 0, "of_draws": 2}
        assert refusing["killed"][stage] == {"faults": 2, "of": 2, "draws": 4, "of_draws": 4}
        assert refusing["false_alarms"][stage] == {"draws": 2, "of_draws": 2}


@pytest.fixture(scope="module")
def rows():
    """A fault and an honest network, one seed, through the audit and some of the others."""
    chosen = tuple(
        BY_NAME[name]
        for name in (
            "audit",
            "torch.testing.assert_close",
            "NablaFuzz",
            "numpy.testing.assert_allclose",
            "torch gradcheck, slow",
            "torch gradcheck, fast",
            "jax check_grads",
            CURVES[0].name,
        )
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(faults_checkers, "CHECKERS", chosen)
        return {
            row["rule"]: row
            for row in checker_rows(faults_checkers.run(Examination(("gradient-twice",), ("tanh",), (0,))))
        }


def test_the_audit_kills_and_never_refuses_an_honest_engine(rows):
    for stage in STAGES:
        assert rows["audit"]["killed"][stage] == {"faults": 1, "of": 1, "draws": 1, "of_draws": 1}
        assert rows["audit"]["false_alarms"][stage] == {"draws": 0, "of_draws": 1}


@pytest.mark.parametrize(
    ("name", "at_first", "trained"),
    [
        ("torch.testing.assert_close", 1, 0),
        ("torch gradcheck, slow", 1, 0),
        ("torch gradcheck, fast", 1, 0),
        ("jax check_grads", 1, 0),
        ("NablaFuzz", 0, 0),
        ("numpy.testing.assert_allclose", 1, 1),
        (CURVES[0].name, 0, 0),
    ],
)
def test_what_others_say_of_a_gradient_that_is_twice_as_large(rows, name, at_first, trained):
    """An absolute tolerance of 10⁻⁵ sees nothing of it near convergence, a large one not even at initialisation."""
    assert rows[name]["killed"][INITIAL]["draws"] == at_first
    assert rows[name]["killed"][CONVERGED]["draws"] == trained


def test_a_relative_tolerance_below_the_precision_refuses_honest_engines(rows):
    assert rows["numpy.testing.assert_allclose"]["false_alarms"][INITIAL]["draws"] == 1
    others = set(rows) - {"numpy.testing.assert_allclose"}
    assert all(rows[name]["false_alarms"][stage]["draws"] == 0 for name in others for stage in STAGES)


def test_a_fault_counts_where_it_exceeds_the_precision():
    """What is not beyond float32's rounding is nothing that a checker of float32 could be blamed for."""
    assert faults_checkers.runs_on_fault(ACCEPTING, FAULTS["single-in-double"], (0,)) == []
    (only,) = faults_checkers.runs_on_fault(ACCEPTING, FAULTS["gradient-clipped"], (0,))
    assert (only["stage"], only["draws"]) == (INITIAL, 1)


def test_a_slow_checker_is_shown_fewer_draws():
    slow = ACCEPTING._replace(seeds=SLOW_SEEDS)
    seeds = range(SLOW_SEEDS + 3)
    assert [r["draws"] for r in faults_checkers.runs_on_honest(slow, "tanh", seeds)] == [SLOW_SEEDS] * 2
    assert [r["draws"] for r in faults_checkers.runs_on_honest(ACCEPTING, "tanh", seeds)] == [len(seeds)] * 2
    assert BY_NAME["torch gradcheck, slow"].seeds == SLOW_SEEDS


def test_a_checker_is_shown_the_faulty_engine_and_the_networks_case():
    seen = []
    watching = Checker("watching", "numpy", lambda adapter, case: seen.append((adapter, case)) or True)
    faults_checkers.runs_on_fault(watching, FAULTS["one-loss"], (0,))
    faults_checkers.runs_on_honest(watching, "softmax", (0,))
    assert all(isinstance(case, Case) and case.dtype == DTYPE for _, case in seen)
    faulty, honest = seen[0][0], seen[-1][0]
    assert faulty.fault is FAULTS["one-loss"]
    assert not hasattr(honest, "fault")
    assert [case.output for _, case in seen] == ["sigmoid", "sigmoid", "softmax", "softmax"]


def test_what_a_checker_compares_is_computed_before_its_clock_starts(monkeypatch):
    """Only what the checker does itself is timed."""
    clock = iter((1.0, 1.5))
    order = []
    monkeypatch.setattr(faults_checkers.time, "perf_counter", lambda: order.append("clock") or next(clock))
    checker = Checker(
        "ordered",
        "numpy",
        lambda adapter, case: order.append("accepts") or False,
        lambda adapter, case: order.append("prepare"),
    )
    record = faults_checkers.checker_run(checker, object(), "tanh", INITIAL, (0,), None)
    assert order == ["prepare", "clock", "accepts", "clock"]
    assert record["seconds"] == [0.5]
    assert record["refused"] == 1


# --- what the rules are given


def test_rules_are_given_what_the_engine_and_the_reference_computed(engine_named):
    case, torch = faults_checkers.drawn_case("tanh", INITIAL, 0), engine_named("torch-eager")
    seen = []

    def decide(observed, expected, dtype):
        seen.append((observed, expected, dtype))
        return True

    rule = rules.Rule("watching", "", "", "", False, decide)
    assert faults_checkers.by_rule(rule)(torch, case)
    ((observed, expected, dtype),) = seen
    assert dtype == DTYPE
    assert [np.shape(a) for a in observed] == [np.shape(a) for a in expected]
    assert all((a == b).all() for a, b in zip(observed, rules.quantities(torch.trace(case)), strict=True))
    assert all(0 < np.abs(a - b).max() < 1e-6 for a, b in zip(observed, expected, strict=True))


def test_curves_are_the_losses_of_ten_steps_that_descend(engine_named):
    case, torch = faults_checkers.drawn_case("tanh", INITIAL, 0), engine_named("torch-eager")
    observed, expected = faults_checkers.curve(torch, case), faults_checkers.expected_curve(case)
    assert observed.shape == expected.shape == (rules.STEPS,)
    assert (np.diff(expected) < 0).all()
    assert 0 < np.abs(observed - expected).max() < 1e-6
    assert faults_checkers.STEPS == rules.STEPS


def test_a_curve_shows_a_fault_that_is_large_enough():
    """The gradient with the other sign climbs: in ten steps by more than 10⁻²."""
    kills = {
        rule.name: faults_checkers.runs_on_fault(BY_NAME[rule.name], FAULTS["loss-sign"], (0,))[0]["refused"]
        for rule in CURVES
    }
    assert kills == {CURVES[0].name: 1, CURVES[1].name: 1}


def test_a_nan_is_let_through_by_rules_that_compare_wrongly():
    """NaN is not greater than any tolerance: the audit is not among them."""
    refused = {
        name: faults_checkers.runs_on_fault(BY_NAME[name], FAULTS["nan-in-gradient"], (0,))[0]["refused"]
        for name in ("audit", "gradbench", "torch.testing.assert_close")
    }
    assert refused == {"audit": 1, "gradbench": 0, "torch.testing.assert_close": 1}
    assert math.isnan(
        faults_checkers.traced(
            faults_checkers.faulty("torch-eager", "nan-in-gradient"), faults_checkers.drawn_case("tanh", INITIAL, 0)
        )
        .dW[2]
        .max()
    )
