"""The accuracy of functions on the page."""

import math

import pytest

from reports.page import accuracy as page_accuracy
from tests.reports.page.reading import read
from tests.reports.samples import accuracy, full, small


def test_accuracies_come_worst_first() -> None:
    rows = [accuracy("a", 3.0, 2.0), accuracy("b", 9.0, 6.0), accuracy("c", 1.0, 1.5), accuracy("d", 5.0, "NaN")]
    found = page_accuracy.accuracy({"accuracy": rows})
    assert [a.record["function"] for a in found] == ["d", "c", "b", "a"]
    assert [a.holds for a in found] == [False, False, True, True]
    assert [a.margin for a in found[1:]] == [pytest.approx(2 / 3), 1.5, 1.5]


def test_a_function_that_rounds_nothing_has_no_margin() -> None:
    (found,) = page_accuracy.accuracy({"accuracy": [accuracy(k=0.0, measured=0.0)]})
    assert math.isnan(found.margin)
    assert found.holds
    assert found.used == 0
    assert not math.isfinite(page_accuracy.accuracy({"accuracy": [accuracy(k=0.0, measured=1.0)]})[0].used)


def test_an_accuracy_shows_all_that_is_known_of_it() -> None:
    shown = read(small() | {"accuracy": [accuracy("log_cosh", 3.0, 2.0), accuracy("gelu", 1.0, 7.5)]}).text
    shown = shown[shown.index("Accuracy of the scalar functions") :]
    for text in ("log cosh", "1.50×", "-0.414213", "262,144", "1.25", "✕ 7.5"):
        assert text in shown
    assert shown.count("✕") == 1


def test_the_tail_of_the_accuracies_is_folded_but_there() -> None:
    shown = read(full()).text
    assert "4 more" in shown[shown.index("Accuracy of the scalar functions") :]
    assert all(f"f{n} value" in shown for n in range(20))
