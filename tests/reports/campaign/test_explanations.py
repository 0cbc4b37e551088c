"""Which divergence explains a cell that breaks."""

from dataclasses import replace

import pytest

from reference.cases import Combination
from reports.campaign import explanations
from tests.reports.campaign.engines import broken, run, wrong


def breaking(*equations, **changes):
    findings = [{"equation": equation, "layer": 1, "ratio": 2.0, "worst": None} for equation in equations]
    about = {"engine": "jax-jit", "dtype": "float32", "verdict": "breaks", "explained": None, "findings": findings}
    names = {"hidden": "hardswish", "output": "sigmoid", "loss": "binary_cross_entropy"}
    return {**about, **names, **changes}


@pytest.fixture
def explained(monkeypatch):
    """What explains a cell, where rows say which equation each explains."""

    def by_equation(rows, item, finding):
        assert finding in item["findings"]
        return rows.get(finding["equation"])

    monkeypatch.setattr(explanations, "explains", by_equation)

    def explain(item, rows):
        explanations.explain([item], rows)
        return item["explained"]

    return explain


ROWS = {"14": "hardswish/derivative", "13": "hardswish/derivative", "a": "hardswish/value"}


def test_a_break_in_what_is_listed_is_explained_by_the_row_of_its_first_finding(explained):
    assert explained(breaking("14", "13"), ROWS) == "hardswish/derivative"
    assert explained(breaking("a", "14"), ROWS) == "hardswish/value"


@pytest.mark.parametrize("equations", [("7a",), ("14", "7a"), ("7a", "14"), ("14", "7a", "a"), ()], ids=str)
def test_a_break_that_is_not_listed_in_full_is_not_explained(explained, equations):
    assert explained(breaking(*equations), ROWS) is None


def test_without_rows_nothing_is_explained(explained):
    assert explained(breaking("14"), {}) is None


@pytest.mark.parametrize("verdict", ["holds", "not-run"])
def test_what_does_not_break_is_not_explained(explained, verdict):
    assert explained(breaking("14", verdict=verdict), ROWS) is None


def test_every_item_is_explained_by_itself(explained):
    items = [breaking("14"), breaking("7a"), breaking("a")]
    explanations.explain(items, ROWS)
    assert [item["explained"] for item in items] == ["hardswish/derivative", None, "hardswish/value"]


@pytest.mark.parametrize("status", ["defect", "equal"])
def test_a_real_record_is_explained_by_the_table(status):
    """The total loss of an engine whose loss is listed, or is not."""
    found = run(wrong(lambda t: replace(t, loss=2 * t.loss)), combination=Combination("tanh", "sigmoid", "huber"))
    row = {"function": "huber", "what": "value", "dtype": "float32", "ordinary": True}
    row |= {"id": "huber/value", "status": {"wrong": status}, "departure": {"wrong": 1.0}}
    explanations.explain([found], [row])
    assert broken(found) == {"1"}
    assert found["explained"] == ("huber/value" if status == "defect" else None)
