"""The ledger of the equations, and the breaks by their causes."""

import math

import pytest

from reference.audit import EQUATIONS
from reports.campaign import ledger, standing
from reports.campaign.ledger import Break, Entry, Peak
from reports.results.verdicts import Verdict
from tests.reports.samples import DTYPES, ENGINES, Results, divergence, explain, finding, sample, small, spoil

COLUMN = ("torch-eager", "float32")


def entry(results: Results, equation: str, column: tuple[str, str] = COLUMN) -> Entry | None:
    return next(row for row in ledger.ledger(standing.items(results)) if row.equation == equation).entries[column]


def found(results: Results, which: str = Verdict.BREAKS) -> list[Break]:
    return [b for cause in ledger.causes(standing.items(results), which) for b in cause.breaks]


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
    assert [cause.size for cause in ledger.causes(standing.items(results), Verdict.EXPLAINED)] == [1, 1]


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
