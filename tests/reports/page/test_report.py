"""The page: well formed, complete, escaped, and every chapter there where the results have something for it."""

import math
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest

from reports.campaign import ledger
from reports.campaign.standing import items
from reports.faults import summary
from reports.page import accuracy as page_accuracy
from reports.page import divergences, report, times
from reports.page.report import render
from reports.results import files
from reports.verdict import verdict
from tests.reports.samples import (
    DTYPES,
    ENGINES,
    Record,
    Results,
    accuracy,
    alarm,
    alone,
    break_first,
    crash,
    displace,
    divergence,
    explain,
    finding,
    full,
    full_and_broken,
    honest,
    leave_out,
    limit,
    miss,
    not_run,
    proved,
    sample,
    small,
    spoil,
    with_cell,
    without,
)

VOID = ("meta", "br", "col")
PLANTED = "<script>alert(1)</script>"


# --- the page as a reader of HTML sees it


class Reader(HTMLParser):
    """Collects the text, and complains of a tag that is not closed or not open."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.loads: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.said = self.html = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id" and value]
        self.links += [value for name, value in attrs if tag == "a" and name == "href" and value]
        loading = ("src", "href", "srcset", "action", "data", "poster", "formaction", "ping")
        self.loads += [value for name, value in attrs if tag != "a" and name in loading and value]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert "svg" in self.open, f"<{tag}/> closes itself only in a drawing, line {self.getpos()[0]}"
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        opened = self.open.pop()
        assert opened == tag, f"</{tag}> closes <{opened}>, line {self.getpos()[0]}"

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.said += data


def read(results: Results) -> Reader:
    """The rendered page, read to its end."""
    reader = Reader()
    reader.html = render(results)
    reader.feed(reader.html)
    reader.close()
    assert reader.open == []
    return reader


def tiles(reader: Reader, kind: str) -> list[str]:
    """The tooltips of the tiles of one kind."""
    return [a["title"] or "" for tag, a in reader.seen if tag == "td" and a.get("class") == kind and a.get("title")]


SITUATIONS: dict[str, Callable[[], Results]] = {
    "everything holds": sample,
    "every chapter": full,
    "a cell breaks": lambda: break_first(sample(), "14", 2, 1.7),
    "explained and not": full_and_broken,
    "a NaN": lambda: break_first(small(), "z", 1, "NaN"),
    "a crash": lambda: crash(small(), "adapter raised RuntimeError: no kernel"),
    "nothing but explained breaks": lambda: explain(small(2), 2, "kink") | {"divergences": [divergence("kink")]},
    "nothing was run": lambda: not_run(sample()),
    "no cells": lambda: small(0),
    "another engine": lambda: sample(("mine", "theirs")),
    "seeded faults": lambda: small() | {"faults": proved()},
    "seeded faults alone": alone,
    "seeded faults missed": lambda: small() | {"faults": everything_wrong()},
    "seeded faults missed, alone": lambda: alone(everything_wrong()),
    "seeded faults and what breaks": lambda: break_first(small()) | {"faults": proved()},
}


def everything_wrong() -> Record:
    """Measurements of seeded faults with a miss, a draw localised elsewhere, alarms, and an engine that is not run."""
    found = with_cell(miss)
    found["matrix"][2] = displace(found["matrix"][2], ("7a", 2))
    found["not_run"] = ["torch-compile is not run: it wants a C++ compiler"]
    found["alarms"]["alarms"] = [alarm(), alarm(equation=None, layer=None, ratio=None, reason="malformed trace")]
    return found


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
    said = read(results).said
    assert verdict(results) in said
    assert said.index(verdict(results)) < said.index("How to read this")


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
    assert all(chapter in read(results).said for chapter in chapters)
    for chapter, key in chapters.items():
        for missing in ({}, {key: None}, {key: type(results[key])()}):
            without = {k: value for k, value in results.items() if k != key} | missing
            assert chapter not in read(without).said, f"{chapter} with {missing}"
    for chapter in ("Activations, outputs and losses", "A training run", "What breaks", "Not run"):
        assert chapter not in read(small(0)).said


# --- the top


@pytest.mark.parametrize(
    ("results", "kind", "text"),
    [
        (sample(), "holds", "✓ holds"),
        (full(), "holds", "✓ holds, but for listed divergences"),
        (full_and_broken(), "breaks", "✕ breaks"),
        (not_run(sample()), "not-run", "– nothing audited"),
        (SITUATIONS["nothing but explained breaks"](), "not-run", "≠ nothing holds"),
        (SITUATIONS["seeded faults"](), "holds", "✓ holds"),
        (SITUATIONS["seeded faults alone"](), "holds", "✓ holds"),
        (SITUATIONS["seeded faults missed"](), "breaks", "✕ the audit falls short"),
        (SITUATIONS["seeded faults missed, alone"](), "breaks", "✕ the audit falls short"),
        (SITUATIONS["seeded faults and what breaks"](), "breaks", "✕ breaks"),
        (alone({**proved(matrix=[]), "alarms": honest() | {"cases": 0}}), "breaks", "✕ the audit falls short"),
        (alone({k: v for k, v in without("matrix").items() if k != "alarms"}), "not-run", "– nothing audited"),
        (not_run(sample()) | {"faults": proved()}, "not-run", "– nothing audited"),
    ],
)
def test_the_seal(results: Results, kind: str, text: str) -> None:
    reader = read(results)
    assert ("span", {"class": f"seal {kind}"}) in reader.seen
    assert f"{text} · backprop-parity" in reader.said


@pytest.mark.parametrize("results", [not_run(sample()), small(0), alone(everything_wrong())])
def test_nothing_run_has_no_tick(results: Results) -> None:
    assert "✓" not in render(results)


def test_key_figures() -> None:
    results = full()
    leave_out(results["cells"][10], "no tanh")
    found = items(results)
    figures = {f.label: f for f in report.key_figures(results, found, ledger.ledger(found))}
    assert figures["cells hold"].value == "1,004 of 1,008"
    assert figures["cells hold"].remark == "3 break as listed, 1 not run"
    elements = sum(check.elements for item in found for check in item.checks.values())
    assert figures["numbers compared"].value == f"{elements:,}"
    assert files.number(figures["worst ratio"].value) <= 1, "the worst ratio is one that a divergence explains"
    assert figures["time"].value == "93 s"
    spoil(results["cells"][20], "14", 2, "NaN")
    found = items(results)
    figures = {f.label: f for f in report.key_figures(results, found, ledger.ledger(found))}
    worst = figures["worst ratio"]
    assert (worst.value, worst.remark) == ("NaN", "equation (14), torch-eager float32")


# --- the ledger


def test_columns_are_grouped_by_engine_under_short_heads() -> None:
    results = sample(dtypes=DTYPES)
    results["training"] = []
    reader = read(results)
    spans = [a["colspan"] for tag, a in reader.seen if tag == "th" and "engine" in (a.get("class") or "").split()]
    assert spans == ["4"] * len(ENGINES)
    heads = [a["title"] for tag, a in reader.seen if tag == "th" and a.get("title")]
    assert heads == list(DTYPES) * len(ENGINES)
    assert all(f">{head}</th>" in render(results) for head in ("f32", "f64", "f16", "bf16"))


def test_an_unknown_dtype_keeps_its_name() -> None:
    assert ">float8</th>" in render(sample(dtypes=("float8",)))


def test_the_ledger_tells_how_the_cells_of_a_column_stand() -> None:
    results = full_and_broken()
    leave_out(results["cells"][11], "no tanh")
    standings = report.standings(items(results))
    column = ("torch-eager", "float32")
    assert {kind: counts.get(column) for kind, counts in standings.items()} == {
        "hold": 79,
        "break": 1,
        "break as listed": 3,
        "not run": 1,
    }
    assert set(report.standings(items(sample()))) == {"hold"}


def entries(reader: Reader) -> list[str]:
    """The tooltips of the ledger's entries."""
    return [a["title"] or "" for tag, a in reader.seen if tag == "td" and "entry" in (a.get("class") or "").split()]


def test_an_entry_tells_the_worst_and_what_is_explained() -> None:
    results = explain(small(2), 1, "kink") | {"divergences": [divergence("kink")]}
    results["cells"][1]["checked"]["a"] = [0.25, 1, 960]
    first, second = (record["id"] for record in results["cells"])
    beside = f"0.25 in {second}, layer 1; 9.0e5 in {first}, as a listed divergence explains; 1,920 numbers compared"
    assert beside in entries(read(results))
    del results["cells"][1]
    alone = f"breaks: 9.0e5 in {first}, layer 1, as a listed divergence explains; 960 numbers compared"
    assert alone in entries(read(results))
    assert "≠ 9.0e5" in read(results).said


# --- breaks


def test_a_break_shows_all_that_is_known_of_it() -> None:
    results = break_first(sample(), "14", 2, 1.7)
    results["cells"][0]["findings"][0]["worst"] |= {"observed": 0.12345678901, "expected": 0.12345678902}
    said = read(results).said
    for text in ("✕ breaks", "equation (14)", "✕ 1.7", "case 3 [1, 4]", "0.12345678901", "0.12345678902", "1e-08"):
        assert text in said
    assert said.index("What breaks") < said.index("The ledger of equations")


def test_a_break_shows_its_diagnosis() -> None:
    results = break_first(sample(), "14", 2, 1.7)
    before = read(results).said
    results["cells"][0]["findings"][0]["diagnosis"] = "δ^2 is what (14) gives without f' <b>"
    assert "δ^2 is what (14) gives without f' <b>" in read(results).said
    results["cells"][0]["findings"][0]["diagnosis"] = None
    assert read(results).said == before


def test_a_break_that_only_a_check_tells_is_shown() -> None:
    results = small()
    results["cells"][0]["checked"]["9"] = [4.25, 3, 5]
    said = read(results).said
    assert "What breaks" in said
    assert "✕ 4.2" in said


def test_cells_of_one_cause_are_a_row_and_counted() -> None:
    results = small(40)
    for i, record in enumerate(results["cells"][:20]):
        spoil(record, "14", 2, 100.0 + i)
    said = read(results).said
    assert "and 19 more cells" in said
    assert "… and 7 more" in said
    assert said.count("✕ 119") == 2, "once in the row, once in the ledger"
    assert "more cause" not in said


def causes(count: int) -> Results:
    """Cells that break for as many causes."""
    results = sample(("torch-eager",), tuple(f"d{i}" for i in range(count))) | {"training": []}
    results["cells"] = results["cells"][::84]
    for i, record in enumerate(results["cells"]):
        spoil(record, "14", 2, 1000.0 - i)
    return results


def test_the_causes_beyond_the_first_are_folded_but_there() -> None:
    said = read(causes(12)).said
    assert "4 more causes" in said
    assert "not listed here" not in said
    assert all(f"✕ {1000 - i}" in said.split("How to read this")[0] for i in range(12))


def test_long_lists_of_causes_are_cut_and_the_rest_counted() -> None:
    results = causes(60)
    results["cells"].append(results["cells"][-1])
    said = read(results).said.split("How to read this")[0]
    assert "10 more causes, of 11 cells, not listed here" in said
    assert "✕ 951" in said
    assert "✕ 950" not in said


def test_explained_breaks_are_apart_and_lead_to_their_row() -> None:
    reader = read(full_and_broken())
    said = reader.said
    breaking, explained = said.split("Breaks that a listed divergence explains")
    assert "✕ 1.7" in breaking.split("How to read this")[0]
    assert "≠ 9.0e5" not in breaking.split("How to read this")[0]
    assert "≠ 9.0e5" in explained
    assert "and 2 more cells" in explained
    assert "#divergence-softplus-linear" in reader.links
    assert explained.count("Explains 3 cells that break.") == 1


def test_without_a_break_there_is_no_section_for_it() -> None:
    reader = read(sample())
    assert "What breaks" not in reader.said
    assert "listed divergence" not in reader.said
    assert tiles(reader, "broken") == []


# --- tiles


def test_a_nan_is_unmistakable_everywhere() -> None:
    reader = read(break_first(small(), "z", 1, "NaN"))
    assert "✕ NaN" in reader.said
    assert "✕NaN" in reader.said
    assert all("NaN in (z), layer 1" in title for title in tiles(reader, "broken"))
    assert len(tiles(reader, "broken")) == 2, "a tile above, one below"


def test_every_tile_of_the_maps_is_on_the_page() -> None:
    reader = read(sample())
    told = [title for kind in range(5) for title in tiles(reader, f"use-{kind}")]
    assert len(told) == 6 * (7 * 8 + 12)


def test_a_tile_that_was_not_run_shows_its_reason() -> None:
    results = small()
    leave_out(results["cells"][2], "tanh is not supported")
    reader = read(results)
    assert tiles(reader, "not-run-tile") == [
        f"{where}: tanh is not supported; 1 cell not run" for where in ("identity → tanh", "half squared error of tanh")
    ]


def test_engines_are_folded_but_the_first_and_those_that_break() -> None:
    results = sample()
    spoil(results["cells"][-1])
    folded = [("open" in a) for tag, a in read(results).seen if tag == "details" and a.get("class") == "engine-maps"]
    assert folded == [True, False, True]


# --- not run


def test_reasons_for_not_running_are_counted_with_their_engines() -> None:
    results = sample()
    for record in (*results["cells"][:3], *results["cells"][84:86]):
        leave_out(record, "no CUDA device")
    leave_out(results["cells"][200], "no <exp>")
    assert report.not_run_reasons(items(results)) == [
        ("no CUDA device", 5, ["torch-eager float32, float64"]),
        ("no <exp>", 1, ["jax-jit float32"]),
    ]
    said = read(results).said
    assert "no CUDA device" in said
    assert "no <exp>" in said


def test_of_many_reasons_the_rest_are_counted() -> None:
    results = small(60)
    for i, record in enumerate(results["cells"]):
        leave_out(record, f"reason {i}")
    said = read(results).said.split("Not run")[1]
    assert "for 10 other reasons" in said
    assert "reason 49" in said
    assert "reason 50" not in said


# --- divergences


def test_divergences_come_worst_first() -> None:
    order = ("convention", "equal", "defect", "approximation", "never heard of")
    rows = divergences.divergences({"divergences": [divergence(status, status) for status in order]})
    assert [d.status for d in rows] == ["never heard of", "defect", "approximation", "convention", "equal"]


def test_a_divergence_shows_all_that_is_known_of_it() -> None:
    reader = read(full() | {"divergences": [divergence(source=None), divergence("b", "convention", bound=None)]})
    said = reader.said[reader.said.index("Where the frameworks differ") :]
    for text in (
        *("Defects", "Conventions", "softplus", "activation, float64", "z = 20.5", "20.500000001250152", "20.5"),
        *("Linear above its threshold.", "Bound: 9e5 u.", "torch.nn.functional.softplus(z)"),
        "docs.pytorch.org/softplus",
    ):
        assert text in said
    assert said.count("Bound") == 1
    statuses = [a["class"] for tag, a in reader.seen if tag == "span" and (a.get("class") or "").startswith("status ")]
    rows = ("defect", "equal", "not-there", "convention", "equal", "not-there")
    assert statuses[4:] == [f"status is-{status}" for status in rows], "after the four of the key"


def test_each_divergence_has_an_anchor_of_its_own() -> None:
    rows = [divergence(name) for name in ("a b", "a/b", 'a"b', "", "é")]
    anchors = [d.anchor for d in divergences.divergences({"divergences": rows})]
    assert len(set(anchors)) == 5
    assert not any(character in anchor for anchor in anchors for character in ' "/')
    assert set(anchors) <= set(read(full() | {"divergences": rows}).ids)


def test_only_a_source_on_the_web_is_a_link() -> None:
    rows = [divergence("a", source="javascript:alert(1)"), divergence("b", source="ndtr, page 3")]
    reader = read(small() | {"divergences": rows})
    assert reader.links == []
    assert "ndtr, page 3" in reader.said


def test_engines_that_a_row_does_not_name_have_a_dash() -> None:
    rows = [divergence("a"), divergence("b", engines={"mine": "1"}, status={})]
    reader = read(small() | {"divergences": rows})
    assert divergences.answering({"divergences": rows}) == ["torch-eager", "jax-jit", "numpy", "mine"]
    assert "unknown" in reader.said


# --- accuracy


def test_accuracies_come_worst_first() -> None:
    rows = [accuracy("a", 3.0, 2.0), accuracy("b", 9.0, 6.0), accuracy("c", 1.0, 1.5), accuracy("d", 5.0, "NaN")]
    found = page_accuracy.accuracy({"accuracy": rows})
    assert [a.row["function"] for a in found] == ["d", "c", "b", "a"]
    assert [a.holds for a in found] == [False, False, True, True]
    assert [a.margin for a in found[1:]] == [pytest.approx(2 / 3), 1.5, 1.5]


def test_a_function_that_rounds_nothing_has_no_margin() -> None:
    (found,) = page_accuracy.accuracy({"accuracy": [accuracy(k=0.0, measured=0.0)]})
    assert math.isnan(found.margin)
    assert found.holds
    assert found.used == 0
    assert not math.isfinite(page_accuracy.accuracy({"accuracy": [accuracy(k=0.0, measured=1.0)]})[0].used)


def test_an_accuracy_shows_all_that_is_known_of_it() -> None:
    said = read(small() | {"accuracy": [accuracy("log_cosh", 3.0, 2.0), accuracy("gelu", 1.0, 7.5)]}).said
    said = said[said.index("Accuracy of the scalar functions") :]
    for text in ("log cosh", "1.50×", "-0.414213", "262,144", "1.25", "✕ 7.5"):
        assert text in said
    assert said.count("✕") == 1


def test_the_tail_of_the_accuracies_is_folded_but_there() -> None:
    said = read(full()).said
    assert "4 more" in said[said.index("Accuracy of the scalar functions") :]
    assert all(f"f{n} value" in said for n in range(20))


# --- times


def test_the_time_divides() -> None:
    found = times.times(full())
    assert found is not None
    assert [(s.engine, s.total) for s in found.engines] == [("torch-eager", 100), ("jax-jit", 205)]
    assert (found.total, found.largest, found.compiled, found.workers) == (305, 205, 150, 2)
    reader = read(full())
    bars = [
        a for tag, a in reader.seen if tag == "i" and (a.get("class") or "").startswith("spent-") and a.get("style")
    ]
    widths = ("14.63", "24.39", "9.76", "73.17", "4.88", "19.51", "2.44", "10.00")
    assert [a["style"] for a in bars] == [f"width: {width}%" for width in widths]
    for text in ("5 min 5 s, in 2 processes", "25 min, 24,000 programs", "one program timed", "2 min 30 s"):
        assert text in " ".join(reader.said.split())


def test_programs_that_were_used_again_are_counted_where_that_is_known() -> None:
    results = full()
    results["times"]["without_reuse"]["reused"] = 321
    assert "2 min 30 s, 321 programs" in read(results).said


def test_times_may_lack_parts() -> None:
    told = {"seconds": {"mine": {"audit": "NaN", "idle": 2.0}, "none": {}}, "workers": 1, "without_reuse": None}
    found = times.times({"times": told})
    assert found is not None
    assert found.kinds == ["compile", "engine", "audit", "experiments", "idle"]
    assert [s.total for s in found.engines] == [2, 0]
    reader = read(small() | {"times": told})
    assert "if nothing that was compiled" not in reader.said
    assert "processes" not in reader.said


# --- training


def test_a_training_run_has_its_row() -> None:
    results = full()
    spoil(results["training"][0], "2a", 1, 3.5)
    spoil(results["training"][1], "a", 1, 9.5, explained="kink")
    results["training"].append(full()["training"][0])
    rows = [report.training_row(item) for item in items(results) if item.training]
    assert [(row.stands, row.ratio) for row in rows] == [("breaks", 3.5), ("explained", 9.5), ("holds", 0.4)]
    said = read(results).said
    for text in ("✕ breaks", "≠ as listed", "✓ holds", "98.7 %", "64 → 32 → 10"):
        assert text in said


# --- seeded faults

CHAPTER = "What the audit catches"


def chapter_of(results: Results) -> str:
    """The text of the chapter, in one line."""
    said = " ".join(read(results).said.split())
    return said[said.index(CHAPTER) : said.index("What it ran on")]


def test_without_seeded_faults_there_is_no_chapter() -> None:
    for missing in ({}, {"faults": None}, {"faults": {}}):
        assert CHAPTER not in read(small() | missing).said


def test_the_chapter_says_its_verdict() -> None:
    assert f"✓ {summary.sentence(proved())}" in chapter_of(small() | {"faults": proved()})
    assert f"✕ falls short {summary.sentence(everything_wrong())}" in chapter_of(
        small() | {"faults": everything_wrong()}
    )


def test_a_verdict_alone_stands_once() -> None:
    said = " ".join(read(alone()).said.split())
    assert said.count(summary.sentence(proved())) == 1
    assert said.count("220 of 220") == 2, "in the sentence, and as a figure"


def test_seeded_faults_alone_have_no_empty_chapter() -> None:
    said = read(alone()).said
    absent = (
        "The ledger of equations",
        "Activations, outputs and losses",
        "A training run",
        "in each cell",
        "reports audit",
    )
    assert not any(text in said for text in absent)
    assert "0 of 0" not in said
    assert "python -m reports faults --engines" in said


@pytest.mark.parametrize(
    ("part", "heading"),
    [
        ("matrix", "The kill matrix"),
        ("matrix", "By kind and engine"),
        ("matrix", "Missed, or localised elsewhere"),
        ("beside", "other people’s checkers"),
        ("smallest", "The smallest detectable fault"),
        ("alarms", "False alarms"),
    ],
)
def test_a_part_that_was_not_measured_has_no_heading(part: str, heading: str) -> None:
    assert heading in chapter_of(alone())
    assert heading not in chapter_of(alone(without(part)))
    assert all(other in chapter_of(alone(without(part))) for other in ("The audit is itself tried",))


def test_the_matrix_shows_all_that_is_known_of_a_fault() -> None:
    reader = read(alone())
    said = " ".join(reader.said.split())
    for text in (
        "transposed-weight",
        "the cause of transposed-weight",
        "(14) in layer 1",
        "tanh → sigmoid, half squared",
    ):
        assert text in said
    assert "https://example.org/transposed" in reader.links
    kinds = [(a.get("class") or "").replace(" first", "") for tag, a in reader.seen if tag == "td"]
    counts = {kind: kinds.count(kind) for kind in ("killed", "unclaimed part", "not-run-tile", "broken", "listed")}
    # three faults in two formats and stages, and one of them in one program
    assert counts == {"killed": 10 + 2, "unclaimed part": 1, "not-run-tile": 1, "broken": 0, "listed": 0}


def test_a_miss_is_unmistakable() -> None:
    reader = read(alone(everything_wrong()))
    assert tiles(reader, "broken first") == ["numpy: 9 of 10 killed, 1 missed; torch-eager: 10 of 10 killed"]
    said = chapter_of(alone(everything_wrong()))
    for text in ("✕ 1 missed", "✕ 99 of 100", "Seed 4: its step changes by 13 times", "≠ 1 localised elsewhere"):
        assert text in said
    assert "No draw is missed" not in said
    assert [("open" in a) for tag, a in reader.seen if tag == "details" and a.get("class") == "engine-maps"] == [
        True,
        False,
        False,
    ]


def test_nothing_missed_is_said() -> None:
    assert "No draw is missed, and every draw that is killed is localised." in chapter_of(alone())


def test_many_notes_are_folded_but_there() -> None:
    found = proved(matrix=[miss(cell) for _ in range(4) for cell in proved()["matrix"]])
    said = chapter_of(alone(found))
    assert f"{len(found['matrix']) - report.SHOWN} more" in said
    assert said.count("Seed 4:") == len(found["matrix"])


def test_the_audit_is_the_first_of_the_checkers() -> None:
    reader = read(alone())
    rows = [a.get("class") for tag, a in reader.seen if tag == "tr"]
    assert rows.count("ours") == 1
    said = chapter_of(alone())
    said = said[said.index("other people’s checkers") :]
    assert said.index("audit") < said.index("close") < said.index("gradcheck")
    for text in (
        "torch-eager, expressed anew",
        "torch-eager, called",
        "10 of 20",
        "50 %",
        "|o − e| ≤ 1e-5",
        "16 of 16",
    ):
        assert text in said
    bars = [a["style"] for tag, a in reader.seen if tag == "i" and a.get("class") == "use-4" and a.get("style")]
    assert bars == [f"width: {share}%" for share in (100, 100, 50, 50, 100, 100, 25, 25)]


def test_the_smallest_faults_stand_beside_their_floor() -> None:
    said = chapter_of(alone())
    assert "45.6 | 1,23044.4 | 1,200" in said
    assert "A smaller change is indistinguishable at this precision" in said
    assert "in 500 draws of torch-eager" in said
    another = limit("9", network=f"tanh → {PLANTED}, hinge")
    assert f"(9) of {PLANTED}" in read(alone(proved(smallest=[limit("9"), another]))).said


def test_an_equation_that_was_not_measured_in_a_format_has_a_dash() -> None:
    found = proved(smallest=[limit("9"), limit("14"), limit("14", "float64")])
    said = chapter_of(alone(found))
    assert said[said.index("(9)") + 3 :].split("(14)")[0].count("—") == 2


def test_a_false_alarm_shows_how_to_see_it_again() -> None:
    said = chapter_of(alone(everything_wrong()))
    for text in (
        "(14) in layer 2, 1.01 times",
        "malformed trace",
        "reports.faults.false_alarms.replay('numpy', 2026",
        "kinks: tanh",
    ):
        assert text in said
    assert "No false alarm." not in said
    assert "No false alarm." in chapter_of(alone())


def test_many_alarms_are_cut_and_the_rest_counted() -> None:
    found = proved(alarms=honest() | {"alarms": [alarm(replay=f"again({n})") for n in range(60)]})
    said = chapter_of(alone(found))
    assert "10 more alarms not listed here" in said
    assert "again(49)" in said
    assert "again(50)" not in said


def test_what_a_divergence_explains_leads_to_its_row() -> None:
    results = small() | {"faults": proved(), "divergences": [divergence()]}
    assert "#divergence-softplus-linear" in read(results).links
    said = chapter_of(results)
    assert "18 findings that a listed divergence explains" in said
    assert "6: celu/derivative" in said, "a row that the page does not have is named all the same"
    assert "12 draws left out, for 1 reason" in said


def test_a_large_matrix_stays_a_small_page() -> None:
    """Each fault adds a row, not a cell for every engine: less than 2 kB."""
    few, many = proved(), proved()
    for n in range(100):
        many["panel"].append(many["panel"][0] | {"name": f"fault-{n}"})
        many["matrix"] += [
            cell | {"fault": f"fault-{n}"} for cell in few["matrix"] if cell["fault"] == "transposed-weight"
        ]
    assert 0 < len(render(alone(many))) - len(render(alone(few))) < 100 * 2000


# --- text


def plant(value: Any) -> Any:
    """The same results with a script in every string that is no word of the schema."""
    if isinstance(value, dict):
        kept = ("verdict", "ratio", "observed", "expected", "allowed", "schema", "checked", "k", "measured", "ulp")
        kept += ("matrix", "smallest", "beside", "panel", "by", "found")  # see PLANTED_FAULTS
        return {k: v if k in kept else plant(v) for k, v in value.items()}
    if isinstance(value, list):
        return [plant(item) for item in value]
    return f"{value}{PLANTED}" if isinstance(value, str) else value


def plant_keys(results: Results) -> Results:
    """The same, with a script in the keys that are names of the adapter's choice."""
    for name in ("versions", "flags"):
        results["environment"][name][PLANTED] = "1"
    results["environment"]["devices"][PLANTED] = "cpu"
    for record in results["cells"][:1]:
        record["checked"][PLANTED] = [0.5, 1, 9]
    for row in results.get("divergences", []):
        for key in ("engines", "status", "reproducer"):
            row[key][PLANTED] = "1"
    if results.get("times"):
        results["times"]["seconds"][PLANTED] = {"compile": 1.0, PLANTED: 2.0}
    return results


@pytest.mark.parametrize("situation", SITUATIONS)
def test_every_string_is_escaped(situation: str) -> None:
    reader = read(plant_keys(plant(SITUATIONS[situation]())))
    assert "script" not in {tag for tag, _ in reader.seen}
    assert PLANTED in reader.said


PLANTED_FIELDS = {
    "cells": ("id", "engine", "dtype", "hidden", "output", "loss", "reason"),
    "training": ("engine", "dtype", "hidden", "output", "loss"),
    "divergences": ("function", "kind", "what", "dtype", "input", "equation", "bound", "note", "source"),
    "accuracy": ("function", "what", "dtype", "engine", "at", "inputs"),
}


@pytest.mark.parametrize(("key", "field"), [(key, field) for key, fields in PLANTED_FIELDS.items() for field in fields])
def test_each_field_is_shown_and_escaped(key: str, field: str) -> None:
    results = full()
    results["cells"] = results["cells"][:4]
    target = results[key][0]
    if field == "reason":
        leave_out(target, "")
    target[field] = PLANTED
    html = render(results)
    assert PLANTED not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html


PLANTED_FAULTS = {
    "panel": ("kind", "cause", "equation", "network"),
    "beside": ("engine", "numbers"),
    "smallest": ("engine",),
    "not_run": (0,),
    "alarm": ("engine", "dtype", "kind", "replay", "reason"),
    "left": ("engine", "reason"),
    "by": ("kind",),
}


@pytest.mark.parametrize(("part", "field"), [(part, f) for part, fields in PLANTED_FAULTS.items() for f in fields])
def test_each_field_of_seeded_faults_is_shown_and_escaped(part: str, field: Any) -> None:
    found = everything_wrong()
    said = found["alarms"]
    targets = {"alarm": said["alarms"][1], "left": said["not_run"][0], "by": said["by"][0]}
    target = targets[part] if part in targets else found["not_run"] if part == "not_run" else found[part][0]
    target[field] = PLANTED
    html = render(alone(found))
    assert PLANTED not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html


def test_names_of_faults_rules_engines_and_stages_are_escaped() -> None:
    found = everything_wrong()
    for cell in found["matrix"]:
        cell |= {key: f"{cell[key]}{PLANTED}" for key in ("fault", "engine", "stage")}
    found["panel"] = [about | {"name": f"{about['name']}{PLANTED}"} for about in found["panel"]]
    for row in found["beside"]:
        row["rule"] += PLANTED if row["rule"] != "audit" else ""
        for key in ("killed", "false_alarms"):
            row[key] = {f"{stage}{PLANTED}": said for stage, said in row[key].items()}
    found["alarms"]["explained"]["rows"][PLANTED] = 1
    reader = read(alone(found))
    assert "script" not in {tag for tag, _ in reader.seen}
    assert reader.said.count(PLANTED) > 20


def test_a_quote_does_not_leave_its_attribute() -> None:
    results = full()
    leave_out(results["cells"][10], '" onclick="alert(1)')
    results["divergences"][0] |= {"id": '" onclick="alert(1)', "source": 'https://x" onclick="alert(1)'}
    results["times"]["seconds"]['" onclick="alert(1)'] = {'" onclick="alert(1)': 1.0}
    assert not any("onclick" in attributes for _, attributes in read(results).seen)


def test_the_replay_is_the_request() -> None:
    results = sample()
    results["request"] |= {"seed": 11, "cases": 3}
    assert "python -m reports audit --seed 11 --cases 3" in read(results).said


def test_a_finding_without_its_worst_element_has_a_dash() -> None:
    results = small()
    results["cells"][0] |= {"verdict": "breaks", "findings": [finding("14", 2, 3.0, worst=None)]}
    assert "observed" not in read(results).said.split("How to read this")[0]
