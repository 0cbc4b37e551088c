"""What results say: how a cell stands, the ledger, the breaks and the verdict, whatever the cells say of themselves."""

import math
from typing import Any

import numpy as np
import pytest

from reference.audit import EQUATIONS
from reports.campaign import ledger, standing
from reports.campaign.ledger import Break, Entry, Peak
from reports.results.verdicts import BREAKS, EXPLAINED, HOLDS
from reports.verdict import verdict
from tests.reports.samples import (
    DTYPES,
    ENGINES,
    Results,
    break_first,
    crash,
    divergence,
    explain,
    finding,
    full,
    leave_out,
    not_run,
    run,
    sample,
    small,
    spoil,
)

COLUMN = ("torch-eager", "float32")


def stands(results: Results) -> list[str]:
    return [item.stands for item in standing.items(results)]


def entry(results: Results, equation: str, column: tuple[str, str] = COLUMN) -> Entry | None:
    return next(row for row in ledger.ledger(standing.items(results)) if row.equation == equation).entries[column]


def found(results: Results, which: str = BREAKS) -> list[Break]:
    return [b for cause in ledger.causes(standing.items(results), which) for b in cause.breaks]


# --- how a cell stands


def test_what_holds_holds() -> None:
    assert set(stands(sample())) == {HOLDS}
    assert len(stands(sample())) == 504 + 6


@pytest.mark.parametrize(
    "changes",
    [
        {"checked": {}},
        {"checked": {"1": ["NaN", 3, 960]}},
        {"checked": {"1": [None, 3, 960]}},
        {"checked": {"1": ["Infinity", 3, 960]}},
        {"checked": {"1": [0.5, 3, 0]}},
        {"checked": {"1": [1.0000001, 3, 960]}},
        {"findings": [finding("1", 3, 1.0000001)]},
        {"findings": [finding("1", 3, "NaN")]},
        {"findings": [finding("1", 3, 0.5, elements=0)]},
        {"findings": [finding("15", 3, 2.0)]},
        {"verdict": "fine"},
        {"verdict": "not-run", "findings": [finding("1", 3, 2.0)]},
    ],
)
def test_a_cell_that_calls_itself_holding_is_not_believed(changes: dict[str, Any]) -> None:
    results = small()
    results["cells"][0] |= changes
    assert stands(results) == [BREAKS, HOLDS, HOLDS, HOLDS]
    assert "hold" not in verdict(results)
    assert "breaks" in verdict(results)


def test_exactly_the_allowance_holds() -> None:
    results = small(1)
    results["cells"][0]["checked"]["1"] = [1.0, 3, 1]
    assert stands(results) == [HOLDS]


def test_a_break_is_explained_by_a_listed_row_alone() -> None:
    results = explain(small(), 2, "softplus-linear")
    assert stands(results) == [BREAKS, BREAKS, HOLDS, HOLDS], "no row is listed"
    assert stands(results | {"divergences": [divergence("another")]}) == [BREAKS, BREAKS, HOLDS, HOLDS]
    assert stands(results | {"divergences": [divergence()]}) == [EXPLAINED, EXPLAINED, HOLDS, HOLDS]


def test_a_cell_that_calls_itself_holding_is_not_explained() -> None:
    results = explain(small(1), 1, "softplus-linear") | {"divergences": [divergence()]}
    results["cells"][0]["verdict"] = "holds"
    assert stands(results) == [BREAKS]


def test_a_finding_outdoes_what_was_checked() -> None:
    results = small(1)
    results["cells"][0]["findings"] = [finding("7a", 3, 5.0), finding("7a", 1, 9.0)]
    (item,) = standing.items(results)
    assert item.checks["7a"] == (5.0, 3, 960)
    assert (item.finding() or {})["layer"] == 3


def test_without_findings_the_check_that_breaks_is_one() -> None:
    results = small(1)
    results["cells"][0]["checked"]["9"] = [3.0, 2, 7]
    (item,) = standing.items(results)
    assert item.finding() == {"equation": "9", "ratio": 3.0, "layer": 2, "elements": 7, "worst": None}


# --- the ledger


def test_the_ledger_has_a_row_an_equation_in_order() -> None:
    rows = ledger.ledger(standing.items(sample(dtypes=DTYPES)))
    assert [row.equation for row in rows] == list(EQUATIONS)
    assert all(row.formula and row.name for row in rows)
    assert list(rows[0].entries) == [(engine, dtype) for engine in ENGINES for dtype in DTYPES]


def test_the_ledger_keeps_the_worst_and_where_it_is() -> None:
    results = small()
    for record, ratio in zip(results["cells"], (0.2, 0.9, 0.1, 0.3), strict=True):
        record["checked"] = {"7a": [ratio, 3, 960]}
    assert entry(results, "7a") == Entry(Peak(0.9, True, results["cells"][1]["id"], 3), None, 4 * 960)


@pytest.mark.parametrize("worse", ["NaN", "Infinity", 5.0])
def test_in_the_ledger_what_does_not_hold_outdoes_all_else(worse: float | str) -> None:
    results = small()
    for record, ratio, layer in zip(results["cells"], (0.99, worse, 1.5, 0.2), (1, 2, 3, 1), strict=True):
        record["checked"] = {"7a": [ratio, layer, 960]}
    worst = (entry(results, "7a") or Entry(None, None, 0)).worst
    assert worst is not None
    assert not worst.holds
    assert (worst.layer, math.isnan(worst.ratio)) == (2, worse == "NaN")


def test_zero_elements_do_not_hold_in_the_ledger_however_small_the_ratio() -> None:
    results = small(2)
    results["cells"][0]["checked"] = {"9": [0.0, 3, 0]}
    results["cells"][1]["checked"] = {"9": [0.9, 3, 5]}
    assert entry(results, "9") == Entry(Peak(0.0, False, results["cells"][0]["id"], 3), None, 5)


def test_what_a_divergence_explains_stands_beside_the_worst() -> None:
    results = explain(small(), 2, "softplus-linear") | {"divergences": [divergence()]}
    results["cells"][1]["checked"]["a"][0] = 10.0
    results["cells"][2]["checked"]["a"] = [0.75, 1, 960]
    results["cells"][3]["checked"]["a"] = [0.25, 1, 960]
    ids = [record["id"] for record in results["cells"]]
    assert entry(results, "a") == Entry(Peak(0.75, True, ids[2], 1), Peak(9e5, False, ids[0], 1), 4 * 960)
    z = entry(results, "z")
    assert z is not None
    assert z.explained is None, "(a) is explained, and z holds"


def test_what_was_not_checked_is_none() -> None:
    results = small(1)
    results["cells"][0]["checked"] = {"1": [0.5, 3, 960]}
    rows = ledger.ledger(standing.items(results))
    assert {row.equation for row in rows if row.entries[COLUMN]} == {"1"}
    assert {row.equation for row in rows if row.elements} == {"1"}


def test_a_training_run_counts_in_the_ledger() -> None:
    results = sample(("numpy",)) | {"cells": []}
    expected = Entry(Peak(0.4, True, "numpy/cpu/float32/digits", 1), None, 960)
    assert entry(results, "2a", ("numpy", "float32")) == expected


def test_an_equation_that_the_note_does_not_have_comes_last() -> None:
    results = small(1)
    results["cells"][0]["checked"]["15"] = [3.0, 2, 960]
    row = ledger.ledger(standing.items(results))[-1]
    assert (row.equation, row.section) == ("15", "Other checks")


# --- breaks


def test_breaks_come_with_the_most_informative_first() -> None:
    results = small(5)
    results["cells"][0] |= {"checked": {}}
    spoil(results["cells"][1], "z", 1, "NaN")
    spoil(results["cells"][2], "14", 2, 30.0)
    spoil(results["cells"][3], "14", 2, 40.0)
    spoil(results["cells"][4], "7a", 3, 2.0)
    assert [(b.finding or {}).get("equation") for b in found(results)] == ["14", "14", "7a", "z", None]
    assert [b.ratio for b in found(results)[:3]] == [40, 30, 2]


def test_breaks_of_one_cause_stand_together() -> None:
    results = sample(("torch-eager",))
    for i, (equation, ratio) in enumerate((("14", 5.0), ("14", 9.0), ("9", 7.0), ("14", 2.0))):
        spoil(results["cells"][i], equation, 2, ratio)
    spoil(results["cells"][84], "14", 2, 3.0)  # the same in float64
    causes = ledger.causes(standing.items(results))
    assert [[b.ratio for b in cause.breaks] for cause in causes] == [[9, 5, 2], [7], [3]]
    assert [(cause.size, len(cause.rest), cause.lead.ratio) for cause in causes] == [(3, 2, 9), (1, 0, 7), (1, 0, 3)]


def test_crashes_of_one_reason_stand_together_whatever_the_case() -> None:
    results = small(3)
    for record, reason in zip(results["cells"], ("case 0: no kernel", "case 3: no kernel", "no memory"), strict=True):
        record |= {"verdict": "breaks", "reason": reason, "checked": {}}
    assert [cause.size for cause in ledger.causes(standing.items(results))] == [2, 1]


def test_explained_breaks_are_apart_and_one_cause_a_divergence() -> None:
    results = explain(small(), 2, "softplus-linear") | {"divergences": [divergence(), divergence("other")]}
    results["cells"][1]["explained"] = "other"
    spoil(results["cells"][3], "14")
    assert [(b.finding or {})["equation"] for b in found(results)] == ["14"]
    assert [cause.size for cause in ledger.causes(standing.items(results), EXPLAINED)] == [1, 1]


def test_what_breaks_have_in_common_is_said() -> None:
    results = small(12)
    for record in results["cells"][:3]:
        spoil(record, "14", 2, 3.0)
    assert ledger.in_common(found(results)) == [
        *("torch-eager", "float32", "identity", "half_squared_error", "equation (14)", "layer 2")
    ]
    results["cells"][0]["findings"] = [finding("14", 1, 3.0)]
    assert "layer 2" not in ledger.in_common(found(results))
    assert ledger.in_common(found(results)[:1]) == []


# --- the verdict


def test_everything_holds() -> None:
    results = sample() | {"training": []}
    assert verdict(results) == (
        "All 504 of 504 cells hold: torch-eager, jax-jit and numpy compute backpropagation as equations (1)–(14) say, "
        "in float32 and float64."
    )


def test_training_runs_are_counted_too() -> None:
    assert verdict(sample()).startswith("All 504 of 504 cells and all 6 of 6 training runs hold: ")


def test_thousands_are_grouped() -> None:
    results = small(1)
    assert verdict(results | {"cells": results["cells"] * 1234}).startswith("All 1,234 of 1,234 cells hold")


def test_a_break_is_named_and_the_rest_counted() -> None:
    results = break_first(sample(), "14", 2, 1.7)
    for other in results["cells"][1:4]:
        spoil(other, "z", 1, 1.2)
    spoil(results["training"][0], "14", 1, 1.1)
    assert verdict(results) == (
        "torch-eager breaks equation (14) in layer 2 (float32, identity → identity, half_squared_error), "
        "and 3 more cells and 1 more training run break."
    )


def test_explained_breaks_are_counted_apart_from_others() -> None:
    results = explain(break_first(small(4), "14", 2, 1.7), 0, "") | {"divergences": [divergence()]}
    spoil(results["cells"][1], "a", 1, 9e5, explained="softplus-linear")
    assert verdict(results) == (
        "torch-eager breaks equation (14) in layer 2 (float32, identity → identity, half_squared_error); "
        "1 cell breaks where a listed divergence explains it."
    )


def test_explained_breaks_do_not_break() -> None:
    results = full() | {"training": []}
    assert verdict(results) == (
        "1,005 of 1,008 cells hold: torch-eager, jax-jit and numpy compute backpropagation as equations (1)–(14) say, "
        "in float32, float64, float16 and bfloat16; 3 cells break where a listed divergence explains it."
    )


def test_nothing_but_explained_breaks_never_holds() -> None:
    results = explain(small(2), 2, "softplus-linear") | {"divergences": [divergence()]}
    assert verdict(results) == "Nothing holds; 2 cells break where a listed divergence explains it."


def test_a_training_run_that_breaks_is_named() -> None:
    results = sample()
    spoil(results["training"][1], "2a", 1, "Infinity")
    assert verdict(results) == "torch-eager breaks equation (2a) in layer 1 (float64, training on digits)."


def test_a_crash_is_told() -> None:
    results = crash(small(2), "adapter raised RuntimeError: no kernel.\nTraceback ...")
    assert verdict(results) == (
        "torch-eager breaks (float32, identity → identity, half_squared_error): adapter raised RuntimeError: no kernel."
    )


@pytest.mark.parametrize("results", [not_run(sample()), not_run(small()), small(0)])
def test_nothing_run_never_holds(results: Results) -> None:
    assert verdict(results).startswith("Nothing was audited")
    assert "hold" not in verdict(results)


def test_an_engine_that_was_not_run_is_not_said_to_compute() -> None:
    results = sample()
    for record in results["cells"][168:336] + results["training"][2:4]:
        leave_out(record, "no jax")
    assert verdict(results) == (
        "336 of 504 cells and 4 of 6 training runs hold: torch-eager and numpy compute backpropagation as "
        "equations (1)–(14) say, in float32 and float64; 168 cells and 2 training runs not run."
    )


def test_only_equations_that_were_checked_are_said_to_hold() -> None:
    results = small()
    for record in results["cells"]:
        checked = ("z", "1", "5a", "5b", "6a", "7a", "7b", "8")
        record["checked"] = {e: check for e, check in record["checked"].items() if e in checked}
    assert "as equations (1), (5), (7) and (8) say, in float32" in verdict(results)


def test_only_what_held_is_said_to_hold() -> None:
    results = small(2) | {"divergences": [divergence()]}
    results["cells"][0]["checked"] = {"1": [0.5, 2, 9]}
    spoil(results["cells"][1], "9", 2, 9.0, explained="softplus-linear")
    assert "as equation (1) says, in float32; 1 cell breaks" in verdict(results)


def test_an_equation_that_was_checked_in_one_dtype_is_not_claimed_for_the_other() -> None:
    results = sample(("numpy",)) | {"training": []}
    for record in results["cells"]:
        if record["dtype"] == "float32":
            record["checked"] = {e: c for e, c in record["checked"].items() if e not in ("3", "4", "7b")}
    assert verdict(results).endswith(
        "as equations (1)–(14) say, in float32 and float64, (3), (4) and (7) in float64 only."
    )


def test_engines_of_which_different_things_were_checked_are_told_apart() -> None:
    results = sample(("numpy", "mine")) | {"training": []}
    for record in results["cells"]:
        if record["engine"] == "mine":
            record["checked"] = {"1": record["checked"]["1"]}
    assert verdict(results).endswith(
        "numpy computes backpropagation as equations (1)–(14) say, in float32 and float64, "
        "and mine computes backpropagation as equation (1) says, in float32 and float64."
    )


def test_columns_keep_an_engine_together() -> None:
    results = small(0)
    rng = np.random.default_rng(1)
    results["training"] = [run(rng, *c) for c in (("a", "float32"), ("b", "float32"), ("a", "bfloat16"))]
    assert standing.columns(standing.items(results)) == [("a", "float32"), ("a", "bfloat16"), ("b", "float32")]


@pytest.mark.parametrize(
    ("how", "does"),
    [
        ("crashed", "torch-eager crashes ("),
        ("timed-out", "torch-eager runs out of time ("),
        ("malformed", "torch-eager gives no trace ("),
        ("breaks", "torch-eager breaks ("),
    ],
)
def test_the_sentence_says_what_an_adapter_does_that_gave_nothing(how: str, does: str) -> None:
    results = crash(small(2), "it is not what it seems")
    results["cells"][0]["verdict"] = how
    assert verdict(results).startswith(does)
    assert "it is not what it seems" in verdict(results)
