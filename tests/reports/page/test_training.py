"""The campaign’s training runs on the page."""

from reports.campaign.standing import items
from reports.page.training import training, training_row
from tests.reports.page.reading import read
from tests.reports.samples import full, spoil


def test_a_training_run_has_its_row() -> None:
    results = full()
    spoil(results["training"][0], "2a", 1, 3.5)
    spoil(results["training"][1], "a", 1, 9.5, explained="kink")
    results["training"].append(full()["training"][0])
    rows = [training_row(item) for item in items(results) if item.training]
    assert [(row.stands, row.ratio) for row in rows] == [("breaks", 3.5), ("explained", 9.5), ("holds", 0.4)]
    shown = read(results).text
    for text in ("✕ breaks", "≠ as listed", "✓ holds", "98.7 %", "64 → 32 → 10"):
        assert text in shown


def test_without_a_training_run_there_is_no_chapter() -> None:
    results = full()
    assert training(results, [item for item in items(results) if not item.training]) is None
    chapter = training(results, items(results))
    assert chapter is not None
    assert (len(chapter.rows), len(chapter.series), len(chapter.plots)) == (2, 2, 4)
