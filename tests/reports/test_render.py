"""The report: its sentence, its ledger and its page, from results that hold, break, or were not run."""

import copy
import math
import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from reference.audit import EQUATIONS
from reports import render as page
from reports.render import ledger, render, verdict

Results = dict[str, Any]

HIDDEN = ("identity", "sigmoid", "tanh", "relu", "gelu", "softplus", "silu")
PAIRS = (
    *((output, "half_squared_error") for output in (*HIDDEN, "softmax")),
    ("sigmoid", "binary_cross_entropy"),
    ("sigmoid", "binary_cross_entropy_on_logits"),
    ("softmax", "categorical_cross_entropy"),
    ("softmax", "categorical_cross_entropy_on_logits"),
)
ENGINES = ("torch-eager", "jax-jit", "numpy")
DTYPES = ("float32", "float64")
VOID = ("meta", "br")
PLANTED = "<script>alert(1)</script>"


# --- results


def finding(equation: str, layer: int, ratio: float | str, **changes: Any) -> dict[str, Any]:
    """A finding whose worst element is off by that ratio."""
    off = 1e-8 * ratio if isinstance(ratio, float) else ratio
    worst = {"case": 3, "index": [1, 4], "observed": off, "expected": 0.0, "allowed": 1e-8}
    return {"equation": equation, "layer": layer, "ratio": ratio, "elements": 960, "worst": worst} | changes


def findings(rng: np.random.Generator) -> list[dict[str, Any]]:
    """One of every equation, each within its allowance."""
    return [finding(equation, int(rng.integers(1, 4)), float(rng.beta(2, 5))) for equation in EQUATIONS]


def cell(rng: np.random.Generator, engine: str, dtype: str, hidden: str, output: str, loss: str) -> dict[str, Any]:
    """One cell that holds."""
    return {
        "id": f"{engine}/cpu/{dtype}/{hidden}/{output}/{loss}",
        "engine": engine,
        "device": "cpu",
        "dtype": dtype,
        "hidden": hidden,
        "output": output,
        "loss": loss,
        "verdict": "holds",
        "reason": None,
        "cases": 8,
        "elements": 20160,
        "seconds": 0.12,
        "findings": findings(rng),
    }


def run(rng: np.random.Generator, engine: str, dtype: str, steps: int = 200) -> dict[str, Any]:
    """One training run that holds; its loss is the same for every engine."""
    t = np.arange(1, steps + 1)
    noise = np.random.default_rng(1).normal(size=steps)
    exact = engine == "numpy" and dtype == "float64"
    drift = 0 * t if exact else (3e-8 if dtype == "float32" else 6e-17) * np.sqrt(t) * rng.uniform(0.8, 1.6)
    return {
        "id": f"{engine}/cpu/{dtype}/digits",
        "engine": engine,
        "device": "cpu",
        "dtype": dtype,
        "verdict": "holds",
        "reason": None,
        "widths": [64, 32, 10],
        "epochs": 5,
        "batch": 32,
        "learning_rate": 0.5,
        "steps": steps,
        "elements": 480000,
        "hidden": "tanh",
        "output": "softmax",
        "loss": "categorical_cross_entropy_on_logits",
        "findings": [finding("2a", 1, 0.4), finding("2b", 1, 0.35), finding("14", 1, 0.22)],
        "curves": {
            "loss": (2.3 * np.exp(-t / 40) + 0.08 + 0.05 * np.abs(noise)).tolist(),
            "ratio": rng.uniform(0.2, 0.5, steps).tolist(),
            "drift": drift.tolist(),
            "validation": [0.71, 0.88, 0.93, 0.94, 0.951],
        },
        "accuracy": {"train": 0.987, "validation": 0.951, "test": 0.958},
    }


def sample(engines: tuple[str, ...] = ENGINES) -> Results:
    """A campaign of every cell of every engine, and a training run of each, in which everything holds."""
    rng = np.random.default_rng(7)
    columns = [(engine, dtype) for engine in engines for dtype in DTYPES]
    cells = [cell(rng, *column, hidden, *pair) for column in columns for hidden in HIDDEN for pair in PAIRS]
    return {
        "schema": "backprop-parity/results/1",
        "environment": {
            "python": "3.11.7",
            "platform": "Linux-6.1-x86_64-with-glibc2.36",
            "processor": "x86_64",
            "cores": 2,
            "versions": {"numpy": "2.4.6", "torch": "2.13.0", "jax": "0.10.2", "scipy": "1.17.1"},
            "blas": [{"name": "openblas", "version": "0.3.30", "threads": 2, "library": "numpy"}],
            "devices": dict.fromkeys(engines, "cpu"),
            "flags": {"jax_enable_x64": "True", "jax_default_matmul_precision": "highest"},
            "seed": 2026,
            "started": "2026-11-24T07:00:00+00:00",
            "seconds": 93.2,
        },
        "request": {"engines": list(engines), "dtypes": list(DTYPES), "device": "cpu", "cases": 8, "seed": 2026},
        "cells": cells,
        "training": [run(rng, *column) for column in columns],
    }


def small(count: int = 4) -> Results:
    """A few cells of torch-eager in float32, and no training."""
    results = sample(("torch-eager",))
    return results | {"cells": results["cells"][:count], "training": []}


def not_run(results: Results, reason: str = "no CUDA device") -> Results:
    """The same, with no cell and no training run having been run."""
    for item in (*results["cells"], *results["training"]):
        item |= {"verdict": "not-run", "reason": reason, "findings": [], "elements": 0}
        if "curves" in item:
            item |= {"curves": {}, "accuracy": {}}
    return results


def break_first(results: Results, equation: str, layer: int, ratio: float | str) -> Results:
    """The same, with one finding of the first cell that does not hold."""
    target = results["cells"][0]
    target["verdict"] = "breaks"
    target["findings"][EQUATIONS.index(equation)] = finding(equation, layer, ratio)
    return results


def crash(results: Results, reason: str) -> Results:
    """The same, with a first cell that gave nothing to audit."""
    results["cells"][0] |= {"verdict": "breaks", "reason": reason, "findings": []}
    return results


# --- the page as a reader of HTML sees it


class Reader(HTMLParser):
    """Collects the text, and complains of a tag that is not closed or not open."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.said = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id" and value]
        self.links += [value for name, value in attrs if name in ("src", "href", "srcset", "action") and value]
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
    reader.feed(render(results))
    reader.close()
    assert reader.open == []
    return reader


def tiles(reader: Reader, kind: str) -> list[str]:
    """The tooltips of the tiles of one kind."""
    return [a["title"] or "" for tag, a in reader.seen if tag == "td" and a.get("class") == kind and a.get("title")]


SITUATIONS: dict[str, Callable[[], Results]] = {
    "everything holds": sample,
    "a cell breaks": lambda: break_first(sample(), "14", 2, 1.7),
    "a NaN": lambda: break_first(small(), "z", 1, "NaN"),
    "a crash": lambda: crash(small(), "adapter raised RuntimeError: no kernel"),
    "nothing was run": lambda: not_run(sample()),
    "no cells": lambda: small(0),
    "another engine": lambda: sample(("mine", "theirs")),
}


@pytest.mark.parametrize("situation", SITUATIONS)
def test_the_page_is_well_formed_and_loads_nothing(situation: str) -> None:
    reader = read(SITUATIONS[situation]())
    assert all(link.startswith("#") for link in reader.links)
    assert len(set(reader.ids)) == len(reader.ids)
    html = render(SITUATIONS[situation]())
    assert "http:" not in html
    assert "https:" not in html
    assert "url(" not in html.replace("url(#", "")


@pytest.mark.parametrize("situation", SITUATIONS)
def test_the_verdict_stands_at_the_top(situation: str) -> None:
    results = SITUATIONS[situation]()
    said = read(results).said
    assert verdict(results) in said
    assert said.index(verdict(results)) < said.index("How to read this")


def test_the_reader_of_these_tests_catches_a_tag_that_is_not_closed() -> None:
    with pytest.raises(AssertionError, match="closes"):
        Reader().feed("<div><b></div>")


# --- the verdict


def test_everything_holds() -> None:
    results = sample() | {"training": []}
    assert verdict(results) == (
        "All 504 of 504 cells hold: torch-eager, jax-jit and numpy compute backpropagation as equations (1)–(14) say, "
        "in float32 and float64."
    )


def test_training_runs_are_counted_too() -> None:
    assert verdict(sample()).startswith("All 504 of 504 cells and all 6 of 6 training runs hold: ")


def test_a_break_is_named_and_the_rest_counted() -> None:
    results = break_first(sample(), "14", 2, 1.7)
    for other in results["cells"][1:4]:
        other |= {"verdict": "breaks"}
        other["findings"][0]["ratio"] = 1.2
    assert verdict(results) == (
        "torch-eager breaks equation (14) in layer 2 (float32, identity → identity, half_squared_error), "
        "and 3 more cells break."
    )


def test_a_training_run_that_breaks_is_named() -> None:
    results = sample()
    results["training"][1] |= {"verdict": "breaks", "findings": [finding("2a", 1, "Infinity")]}
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
    assert "✓" not in render(results)


def test_an_engine_that_was_not_run_is_not_said_to_compute() -> None:
    results = sample()
    for item in results["cells"][168:336] + results["training"][2:4]:
        item |= {"verdict": "not-run", "reason": "no jax", "findings": []}
    assert verdict(results) == (
        "336 of 504 cells and 4 of 6 training runs hold: torch-eager and numpy compute backpropagation as "
        "equations (1)–(14) say, in float32 and float64; 168 cells and 2 training runs not run."
    )


def test_only_equations_that_were_checked_are_said_to_hold() -> None:
    results = small()
    for item in results["cells"]:
        checked = ("z", "1", "5a", "5b", "6a", "7a", "7b", "8")
        item["findings"] = [f for f in item["findings"] if f["equation"] in checked]
    assert "as equations (1), (5), (7) and (8) say, in float32" in verdict(results)


def test_an_equation_that_was_checked_in_one_dtype_is_not_claimed_for_the_other() -> None:
    results = sample(("numpy",)) | {"training": []}
    for item in results["cells"]:
        if item["dtype"] == "float32":
            item["findings"] = [f for f in item["findings"] if f["equation"] not in ("3", "4", "7b")]
    assert verdict(results).endswith(
        "as equations (1)–(14) say, in float32 and float64, (3), (4) and (7) in float64 only."
    )


def test_engines_of_which_different_things_were_checked_are_told_apart() -> None:
    results = sample(("numpy", "mine")) | {"training": []}
    for item in results["cells"]:
        if item["engine"] == "mine":
            item["findings"] = [f for f in item["findings"] if f["equation"] == "1"]
    assert verdict(results).endswith(
        "numpy computes backpropagation as equations (1)–(14) say, in float32 and float64, "
        "and mine computes backpropagation as equation (1) says, in float32 and float64."
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"findings": []},
        {"findings": [finding("1", 3, "NaN")]},
        {"findings": [finding("1", 3, 0.5, elements=0)]},
        {"findings": [finding("1", 3, 1.0000001)]},
        {"findings": [finding("1", 3, 0.5) | {"ratio": None}]},
        {"verdict": "fine"},
    ],
)
def test_a_cell_that_calls_itself_holding_is_not_believed(changes: dict[str, Any]) -> None:
    results = small()
    results["cells"][0] |= changes
    assert "hold" not in verdict(results)
    assert "breaks" in verdict(results)
    assert "What breaks" in render(results)


# --- the ledger


def test_the_ledger_has_a_row_an_equation_in_order() -> None:
    rows = ledger(sample())
    assert [row.equation for row in rows] == list(EQUATIONS)
    assert all(row.formula and row.name for row in rows)
    assert set(rows[0].entries) == {(engine, dtype) for engine in ENGINES for dtype in DTYPES}


def test_the_ledger_keeps_the_worst_and_where_it_is() -> None:
    results = small()
    for i, ratio in enumerate((0.2, 0.9, 0.1, 0.3)):
        results["cells"][i]["findings"] = [finding("7a", 1, 0.05), finding("7a", 3, ratio)]
    entry = next(row for row in ledger(results) if row.equation == "7a").entries["torch-eager", "float32"]
    assert entry == page.Entry(0.9, 8 * 960, True, results["cells"][1]["id"], 3)


@pytest.mark.parametrize("worse", ["NaN", "Infinity", 5.0])
def test_in_the_ledger_what_does_not_hold_outdoes_all_else(worse: float | str) -> None:
    results = small()
    results["cells"][0]["findings"] = [finding("7a", 1, 0.99)]
    results["cells"][1]["findings"] = [finding("7a", 2, worse)]
    results["cells"][2]["findings"] = [finding("7a", 3, 1.5)]
    entry = next(row for row in ledger(results) if row.equation == "7a").entries["torch-eager", "float32"]
    assert entry is not None
    assert not entry.holds
    assert (entry.layer, math.isnan(entry.ratio)) == (2, worse == "NaN")


def test_zero_elements_do_not_hold_in_the_ledger() -> None:
    results = small(1)
    results["cells"][0]["findings"] = [finding("9", 3, 0.0, elements=0)]
    entry = next(row for row in ledger(results) if row.equation == "9").entries["torch-eager", "float32"]
    assert entry is not None
    assert not entry.holds


def test_what_was_not_checked_is_none() -> None:
    results = small(1)
    results["cells"][0]["findings"] = [finding("1", 3, 0.5)]
    assert {row.equation for row in ledger(results) if row.entries["torch-eager", "float32"]} == {"1"}


def test_a_training_run_counts_in_the_ledger() -> None:
    results = sample(("numpy",)) | {"cells": []}
    entry = next(row for row in ledger(results) if row.equation == "2a").entries["numpy", "float32"]
    assert entry == page.Entry(0.4, 960, True, "numpy/cpu/float32/digits", 1)


def test_an_equation_that_the_note_does_not_have_comes_last() -> None:
    results = small(1)
    results["cells"][0]["findings"].append(finding("15", 2, 3.0))
    row = ledger(results)[-1]
    assert (row.equation, row.entries["torch-eager", "float32"].ratio) == ("15", 3.0)  # type: ignore[union-attr]
    assert "(15)" in read(results).said


# --- breaks


def test_breaks_come_with_the_most_informative_first() -> None:
    results = small(5)
    for i, changes in enumerate(
        [
            {"findings": []},
            {"findings": [finding("z", 1, "NaN")]},
            {"findings": [finding("14", 2, 40.0)]},
            {"findings": [finding("14", 2, 30.0)]},
            {"findings": [finding("9", 3, 0.5), finding("7a", 3, 2.0)]},
        ]
    ):
        results["cells"][i] |= changes
    found = page.breaks(results)
    assert [b.finding and b.finding["equation"] for b in found] == ["14", "7a", "z", None, "14"]


def test_what_breaks_have_in_common_is_said() -> None:
    results = small(12)
    for other in results["cells"][:3]:
        other["findings"][-1] = finding("14", 2, 3.0)
    assert page.in_common(page.breaks(results)) == [
        *("torch-eager", "float32", "identity", "half_squared_error", "equation (14)", "layer 2")
    ]
    results["cells"][0]["findings"][-1] = finding("14", 1, 3.0)
    assert "layer 2" not in page.in_common(page.breaks(results))


def test_a_break_shows_all_that_is_known_of_it() -> None:
    results = break_first(sample(), "14", 2, 1.7)
    results["cells"][0]["findings"][-1]["worst"] |= {"observed": 0.12345678901, "expected": 0.12345678902}
    said = read(results).said
    for text in ("✕ breaks", "equation (14)", "✕ 1.7", "case 3 [1, 4]", "0.12345678901", "0.12345678902", "1e-08"):
        assert text in said
    assert said.index("What breaks") < said.index("The ledger of equations")


def test_the_breaks_beyond_the_first_are_folded_but_there() -> None:
    results = small(12)
    for i, other in enumerate(results["cells"]):
        other["findings"][-1] = finding("14", 2, 100.0 + i)
    said = read(results).said
    assert "4 more" in said
    assert all(f"✕ {100 + i}" in said for i in range(12))


def test_without_a_break_there_is_no_section_for_it() -> None:
    said = read(sample()).said
    assert "What breaks" not in said
    assert "✓ holds" in said
    assert len(tiles(read(sample()), "broken")) == 0


# --- tiles


def test_a_nan_is_unmistakable_everywhere() -> None:
    reader = read(break_first(small(), "z", 1, "NaN"))
    assert "✕ NaN" in reader.said
    assert "✕NaN" in reader.said
    assert tiles(reader, "broken") == [
        "identity → identity, half squared error: NaN in the definition of z, layer 1: breaks"
    ]


def test_a_tile_that_was_not_run_shows_its_reason() -> None:
    results = small()
    results["cells"][2] |= {"verdict": "not-run", "reason": "tanh is not supported", "findings": []}
    reader = read(results)
    assert tiles(reader, "not-run-tile") == ["identity → tanh, half squared error: not run, tanh is not supported"]
    assert "tanh is not supported" in reader.said


def test_a_crash_shows_its_reason() -> None:
    reader = read(crash(small(), "adapter raised RuntimeError: no kernel"))
    assert "adapter raised RuntimeError: no kernel" in reader.said
    assert len(tiles(reader, "broken")) == 1


def test_every_cell_has_its_tile() -> None:
    reader = read(sample())
    titled = [title for kind in range(5) for title in tiles(reader, f"use-{kind}")]
    assert len(titled) == 504


def test_of_two_devices_the_one_that_breaks_is_shown() -> None:
    results = small(1)
    other = copy.deepcopy(results["cells"][0]) | {"device": "cuda", "id": "torch-eager/cuda/float32/x"}
    other["findings"] = [finding("14", 2, 9.0)]
    for cells in ([results["cells"][0], other], [other, results["cells"][0]]):
        assert len(tiles(read(results | {"cells": cells}), "broken")) == 1


# --- text


def plant(value: Any) -> Any:
    """The same results with a script in every string that is no word of the schema."""
    if isinstance(value, dict):
        kept = ("verdict", "ratio", "observed", "expected", "allowed", "schema")
        return {f"{k}": v if k in kept else plant(v) for k, v in value.items()}
    if isinstance(value, list):
        return [plant(item) for item in value]
    return f"{value}{PLANTED}" if isinstance(value, str) else value


@pytest.mark.parametrize("situation", SITUATIONS)
def test_every_string_is_escaped(situation: str) -> None:
    results = plant(SITUATIONS[situation]())
    results["environment"]["versions"][PLANTED] = results["environment"]["flags"][PLANTED] = "1"
    reader = read(results)
    assert "script" not in {tag for tag, _ in reader.seen}
    assert PLANTED in reader.said


def test_a_quote_does_not_leave_its_attribute() -> None:
    results = small()
    results["cells"][0] |= {"verdict": "not-run", "reason": '" onclick="alert(1)', "findings": []}
    reader = read(results)
    assert not any("onclick" in attributes for _, attributes in reader.seen)


@pytest.mark.parametrize(
    ("ratio", "text"),
    [
        (0.0, "0"),
        (0.001, "<0.01"),
        (0.314, "0.31"),
        (0.9999, "0.99"),
        (1.0, "1.00"),
        (1.0000001, "1.01"),
        (1.72, "1.7"),
        (9.97, "10"),
        (380.2, "380"),
        (2.1e5, "2.1e5"),
        (1e40, "1.0e40"),
        (math.inf, "∞"),
        (math.nan, "NaN"),
    ],
)
def test_a_ratio_never_looks_like_one_of_the_other_side(ratio: float, text: str) -> None:
    assert page.ratio_text(ratio) == text
    assert (page.level(ratio) == "broken") is not (ratio <= 1)


@pytest.mark.parametrize(
    ("value", "text"), [(0.1, "0.1"), (None, "NaN"), ("NaN", "NaN"), ("Infinity", "∞"), ("-Infinity", "−∞")]
)
def test_a_value_keeps_its_digits(value: Any, text: str) -> None:
    assert page.value_text(value) == text


def test_numbers_of_equations_are_spans() -> None:
    assert page.numbers_text((1, 2, 5, 6, 7, 14)) == "equations (1), (2), (5)–(7) and (14) say"
    assert page.numbers_text((3,)) == "equation (3) says"
    assert page.numbers_text(()) == "the definitions say"


def test_every_equation_has_a_label() -> None:
    assert tuple(page.LABELS) == EQUATIONS


@pytest.mark.parametrize("equation", EQUATIONS)
def test_a_formula_loses_nothing_on_its_way_to_mathml(equation: str) -> None:
    formula = page.LABELS[equation].formula
    said = re.sub(r"<[^>]*>", "", page.mathml(formula))
    plain = formula.replace("²", "2").replace("'", "′").replace("Σ", "∑")
    assert sorted(said) == sorted(re.sub(r"[ _^{}/]", "", plain))


def test_mathml_sets_scripts_and_fractions() -> None:
    assert page.mathml("∂L/w_tf^{l+1}") == (
        "<math><mfrac><mrow><mi>∂</mi><mi>L</mi></mrow><mrow><msubsup><mi>w</mi><mrow><mi>t</mi><mi>f</mi></mrow>"
        '<mrow><mi>l</mi><mo stretchy="false">+</mo><mn>1</mn></mrow></msubsup></mrow></mfrac></math>'
    )


def test_the_replay_is_the_request() -> None:
    results = sample()
    results["request"] |= {"seed": 11, "cases": 3}
    assert "python -m reports audit --seed 11 --cases 3" in read(results).said
