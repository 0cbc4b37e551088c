"""The summary of a campaign: what terminal and page print of it."""

from dataclasses import FrozenInstanceError

import pytest

from reports.campaign import ledger, sentence, standing
from reports.campaign.summary import summarise
from reports.results.verdicts import Verdict
from reports.verdict import summarise as summarise_whole
from tests.reports.samples import divergence, explain, not_run, sample, small, spoil


def mixed():
    """Four cells: one breaks, one breaks where a divergence explains it, two hold."""
    results = explain(small(), 1, "softplus-linear") | {"divergences": [divergence()]}
    spoil(results["cells"][1], "14", 2, 3.0)
    return results


def test_the_summary_has_what_the_items_say():
    results = mixed()
    summary, items = summarise(results), standing.items(results)
    assert list(summary.items) == items
    assert summary.counts == {Verdict.HOLDS: 2, Verdict.BREAKS: 1, Verdict.EXPLAINED: 1}
    assert list(summary.breaks) == ledger.causes(items)
    assert list(summary.explained) == ledger.causes(items, Verdict.EXPLAINED)
    assert [cause.size for cause in (*summary.breaks, *summary.explained)] == [1, 1]
    assert list(summary.ledger) == ledger.ledger(items)
    assert summary.sentence == sentence.sentence(items)


def test_a_column_has_its_own_counts_numbers_and_worst_check():
    results = sample(("numpy", "mine"))
    spoil(results["cells"][0], "14", 2, 3.0)
    summary = summarise(results)
    assert [(column.engine, column.dtype) for column in summary.columns] == [
        *(("numpy", "float32"), ("numpy", "float64"), ("mine", "float32"), ("mine", "float64"))
    ]
    first, second, *_ = summary.columns
    assert (first.counts[Verdict.BREAKS], first.counts[Verdict.HOLDS]) == (1, 84)
    assert (second.counts[Verdict.BREAKS], second.counts[Verdict.HOLDS]) == (0, 85)
    assert first.worst == ("14", (3.0, 2, 960))
    assert second.worst is not None
    assert second.worst[1].holds
    assert sum(column.elements for column in summary.columns) == sum(i.record["elements"] for i in summary.items)
    assert sum(column.seconds for column in summary.columns) == pytest.approx(len(summary.items) * 0.12)


@pytest.mark.parametrize("explained", [True, False])
def test_the_worst_check_is_not_that_of_an_explained_break(explained):
    results = explain(small(), 1, "softplus-linear") | {"divergences": [divergence()] if explained else []}
    (column,) = summarise(results).columns
    assert column.worst is not None
    assert (column.worst[1].ratio > 1) is not explained


@pytest.mark.parametrize(
    ("results", "holds"),
    [
        (small(), True),
        (explain(small(), 1, "softplus-linear") | {"divergences": [divergence()]}, True),
        (explain(small(), 1, "softplus-linear"), False),
        (explain(small(1), 1, "softplus-linear") | {"divergences": [divergence()]}, False),
        (mixed(), False),
        (not_run(small()), False),
        (small(0), False),
    ],
    ids=["holds", "explained", "not listed", "explained alone", "breaks", "not run", "nothing"],
)
def test_a_campaign_holds_if_something_does_and_all_breaks_are_explained(results, holds):
    assert summarise(results).holds is holds
    assert summarise_whole(results).status == (not holds)


def test_a_summary_of_nothing_has_no_columns():
    summary = summarise(small(0))
    assert (summary.items, summary.columns, summary.breaks) == ((), (), ())


def test_a_summary_does_not_change():
    summary = summarise(small())
    with pytest.raises(FrozenInstanceError):
        summary.items = ()
