"""How cells stand, whatever they say of themselves."""

from typing import Any

import numpy as np
import pytest

from reports.campaign import standing
from reports.results.verdicts import Verdict
from reports.verdict import summarise
from tests.reports.samples import Results, divergence, explain, finding, run, sample, small


def stands(results: Results) -> list[str]:
    return [item.stands for item in standing.items(results)]


def test_what_holds_holds() -> None:
    assert set(stands(sample())) == {Verdict.HOLDS}
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
    assert stands(results) == [Verdict.BREAKS, Verdict.HOLDS, Verdict.HOLDS, Verdict.HOLDS]
    assert "hold" not in summarise(results).sentence
    assert "breaks" in summarise(results).sentence


def test_exactly_the_allowance_holds() -> None:
    results = small(1)
    results["cells"][0]["checked"]["1"] = [1.0, 3, 1]
    assert stands(results) == [Verdict.HOLDS]


def test_a_break_is_explained_by_a_listed_row_alone() -> None:
    results = explain(small(), 2, "softplus-linear")
    assert stands(results) == [Verdict.BREAKS, Verdict.BREAKS, Verdict.HOLDS, Verdict.HOLDS], "no row is listed"
    assert stands(results | {"divergences": [divergence("another")]}) == [
        Verdict.BREAKS,
        Verdict.BREAKS,
        Verdict.HOLDS,
        Verdict.HOLDS,
    ]
    assert stands(results | {"divergences": [divergence()]}) == [
        Verdict.EXPLAINED,
        Verdict.EXPLAINED,
        Verdict.HOLDS,
        Verdict.HOLDS,
    ]


def test_a_cell_that_calls_itself_holding_is_not_explained() -> None:
    results = explain(small(1), 1, "softplus-linear") | {"divergences": [divergence()]}
    results["cells"][0]["verdict"] = "holds"
    assert stands(results) == [Verdict.BREAKS]


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


def test_columns_keep_an_engine_together() -> None:
    results = small(0)
    rng = np.random.default_rng(1)
    results["training"] = [run(rng, *c) for c in (("a", "float32"), ("b", "float32"), ("a", "bfloat16"))]
    assert standing.columns(standing.items(results)) == [("a", "float32"), ("a", "bfloat16"), ("b", "float32")]
