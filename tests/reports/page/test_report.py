"""The page: well formed, complete, and every chapter there where the results have something for it."""

import pytest

from reports.verdict import summarise
from tests.reports.page.reading import SITUATIONS, Reader, read, tooltips
from tests.reports.samples import (
    Results,
    break_first,
    finding,
    full,
    full_and_broken,
    sample,
    small,
    spoil,
)


@pytest.mark.parametrize("situation", SITUATIONS)
def test_the_page_is_well_formed_and_loads_nothing(situation: str) -> None:
    reader = read(SITUATIONS[situation]())
    assert all(load.startswith("#") for load in reader.loads)
    assert all(link.startswith(("#", "https://")) for link in reader.links)
    assert {link[1:] for link in reader.links if link.startswith("#")} <= set(reader.ids)
    assert len(set(reader.ids)) == len(reader.ids)
    assert "url(" not in reader.html.replace("url(#", "")
    assert "@import" not in reader.html


@pytest.mark.parametrize("situation", SITUATIONS)
def test_the_verdict_stands_at_the_top(situation: str) -> None:
    results = SITUATIONS[situation]()
    shown = read(results).text
    assert summarise(results).sentence in shown
    assert shown.index(summarise(results).sentence) < shown.index("How to read this")


def test_the_reader_of_these_tests_catches_a_tag_that_is_not_closed() -> None:
    with pytest.raises(AssertionError, match="closes"):
        Reader().feed("<div><b></div>")


def test_chapters_without_results_are_absent() -> None:
    chapters = {
        "Where the frameworks differ": "divergences",
        "Accuracy of the scalar functions": "accuracy",
        "Where the time goes": "times",
    }
    results = full() | {"training": []}
    results["cells"] = results["cells"][:4]
    assert all(chapter in read(results).text for chapter in chapters)
    for chapter, key in chapters.items():
        for missing in ({}, {key: None}, {key: type(results[key])()}):
            without = {k: value for k, value in results.items() if k != key} | missing
            assert chapter not in read(without).text, f"{chapter} with {missing}"
    for chapter in (
        "Activations, outputs and losses",
        "A training run",
        "What breaks",
        "What was not run",
        "What an engineer must know",
    ):
        assert chapter not in read(small(0)).text


def test_a_break_shows_all_that_is_known_of_it() -> None:
    results = break_first(sample(), "14", 2, 1.7)
    results["cells"][0]["findings"][0]["worst"] |= {"observed": 0.12345678901, "expected": 0.12345678902}
    shown = read(results).text
    for text in ("✕ breaks", "equation (14)", "✕ 1.7", "case 3 [1, 4]", "0.12345678901", "0.12345678902", "1e-08"):
        assert text in shown
    assert shown.index("What breaks") < shown.index("The ledger of equations")


def test_a_break_shows_its_diagnosis() -> None:
    results = break_first(sample(), "14", 2, 1.7)
    before = read(results).text
    results["cells"][0]["findings"][0]["diagnosis"] = "δ^2 is what (14) gives without f' <b>"
    assert "δ^2 is what (14) gives without f' <b>" in read(results).text
    results["cells"][0]["findings"][0]["diagnosis"] = None
    assert read(results).text == before


def test_a_break_that_only_a_check_tells_is_shown() -> None:
    results = small()
    results["cells"][0]["checked"]["9"] = [4.25, 3, 5]
    shown = read(results).text
    assert "What breaks" in shown
    assert "✕ 4.2" in shown


def test_cells_of_one_cause_are_a_row_and_counted() -> None:
    results = small(40)
    for i, record in enumerate(results["cells"][:20]):
        spoil(record, "14", 2, 100.0 + i)
    shown = read(results).text
    assert "and 19 more cells" in shown
    assert "… and 7 more" in shown
    assert shown.count("✕ 119") == 2, "once in the row, once in the ledger"
    assert "more cause" not in shown


def causes(count: int) -> Results:
    """Cells that break for as many causes."""
    results = sample(("torch-eager",), tuple(f"d{i}" for i in range(count))) | {"training": []}
    results["cells"] = results["cells"][::84]
    for i, record in enumerate(results["cells"]):
        spoil(record, "14", 2, 1000.0 - i)
    return results


def test_the_causes_beyond_the_first_are_folded_but_there() -> None:
    shown = read(causes(12)).text
    assert "4 more causes" in shown
    assert "not listed here" not in shown
    assert all(f"✕ {1000 - i}" in shown.split("How to read this")[0] for i in range(12))


def test_long_lists_of_causes_are_cut_and_the_rest_counted() -> None:
    results = causes(60)
    results["cells"].append(results["cells"][-1])
    shown = read(results).text.split("How to read this")[0]
    assert "10 more causes, of 11 cells, not listed here" in shown
    assert "✕ 951" in shown
    assert "✕ 950" not in shown


def test_explained_breaks_are_apart_and_lead_to_their_row() -> None:
    reader = read(full_and_broken())
    shown = reader.text
    breaking, explained = shown.split("Breaks that a listed divergence explains")
    assert "✕ 1.7" in breaking.split("How to read this")[0]
    assert "≠ 9.0e5" not in breaking.split("How to read this")[0]
    assert "≠ 9.0e5" in explained
    assert "and 2 more cells" in explained
    assert "#divergence-softplus-linear" in reader.links
    assert explained.count("Explains 3 cells that break.") == 1


def test_without_a_break_there_is_no_section_for_it() -> None:
    reader = read(sample())
    assert "What breaks" not in reader.text
    assert "listed divergence" not in reader.text
    assert tooltips(reader, "broken") == []


def test_a_finding_without_its_worst_element_has_a_dash() -> None:
    results = small()
    results["cells"][0] |= {"verdict": "breaks", "findings": [finding("14", 2, 3.0, worst=None)]}
    assert "observed" not in read(results).text.split("How to read this")[0]
