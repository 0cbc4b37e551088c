"""What the terminal shows: every engine, and the equation and layer of every break."""

import io
import math

import pytest
from rich.console import Console

from reports.results import jsonable
from reports.terminal import badness, breaks, describe, progress, summary


def finding(equation="7a", layer=2, ratio=0.5, elements=12, observed=1.0):
    worst = {"case": 3, "index": [0, 1], "observed": observed, "expected": 1.25, "allowed": 1e-7} if elements else None
    return {"equation": equation, "layer": layer, "ratio": ratio, "elements": elements, "worst": worst}


def cell(engine="numpy", verdict="holds", findings=None, dtype="float32", reason=None, name="tanh"):
    findings = [finding()] if findings is None else findings
    return {
        "id": f"{engine}/cpu/{dtype}/{name}",
        "engine": engine,
        "dtype": dtype,
        "verdict": verdict,
        "reason": reason,
        "elements": sum(f["elements"] for f in findings),
        "seconds": 1.25,
        "findings": findings,
    }


def results_of(*cells, training=()):
    return jsonable({"cells": list(cells), "training": list(training)})


def shown(table):
    """The table as text, a line for each row."""
    console = Console(file=io.StringIO(), width=200)
    console.print(table)
    return console.file.getvalue().splitlines()


def row_of(lines, *words):
    """The one line that holds all of the words."""
    rows = [line for line in lines if all(word in line.split() for word in words)]
    assert len(rows) == 1, f"{len(rows)} rows hold {words}, but should be one"
    return rows[0].split()


# --- the table


def test_summary_has_every_engine_and_dtype():
    engines = ("numpy", "torch-eager", "jax-jit", "mine[1]")
    cells = [cell(engine, dtype=dtype) for engine in engines for dtype in ("float32", "float64")]
    lines = shown(summary(results_of(*cells)))
    for engine in engines:
        for dtype in ("float32", "float64"):
            row_of(lines, engine, dtype)


def test_summary_counts():
    lines = shown(
        summary(
            results_of(
                cell(),
                cell(verdict="breaks", findings=[finding(ratio=7.25), finding("9", 3, 2.0)]),
                cell(verdict="not-run", findings=[]),
                cell("other"),
                training=[cell(findings=[finding(elements=2000)])],
            )
        )
    )
    row = row_of(lines, "numpy")
    assert row == ["numpy", "float32", "2", "1", "1", "2,036", "7.25", "(7a)", "5"]
    assert row_of(lines, "other") == ["other", "float32", "1", "0", "0", "12", "0.5", "(7a)", "1"]


def test_summary_of_a_nan():
    findings = [finding(ratio=5.0), finding("9", 3, math.nan), finding("1", 3, 0.5)]
    row = row_of(shown(summary(results_of(cell(verdict="breaks", findings=findings)))), "numpy")
    assert row[-3:-1] == ["nan", "(9)"], f"the worst is {row[-3:-1]}, but should be the NaN of (9)"


def test_summary_of_what_was_not_run():
    row = row_of(shown(summary(results_of(cell(verdict="not-run", findings=[])))), "numpy")
    assert row[2:8] == ["0", "0", "1", "0", "–", "–"]


def test_summary_of_nothing():
    assert shown(summary(results_of()))


def test_summary_fits_80_columns():
    console = Console(file=io.StringIO(), width=80)
    console.print(summary(results_of(cell("torch-eager", dtype="float64", findings=[finding(elements=2345678)]))))
    text = console.file.getvalue()
    assert "torch-eager" in text
    assert "2,345,678" in text


# --- the breaks


def test_breaks_name_cell_equation_layer_and_element():
    findings = [finding(), finding("14", 1, 3.5, observed=0.75), finding("7b", 1, 100.0)]
    (line,) = breaks(results_of(cell(), cell("jax-jit", "breaks", findings), cell("other")))
    for part in ("jax-jit/cpu/float32/tanh", "(14) in layer 1", "[0, 1]", "case 3", "0.75", "1.25", "1e-07", "3.5"):
        assert part in line, f"the line is {line!r}, but should name {part!r}"
    assert "(7b)" not in line, "a later finding is named, but should be the first"


@pytest.mark.parametrize("ratio", [math.nan, math.inf])
def test_breaks_of_what_is_no_number(ratio):
    (line,) = breaks(results_of(cell(verdict="breaks", findings=[finding(), finding("9", 3, ratio, observed=ratio)])))
    assert "(9) in layer 3" in line
    assert str(ratio) in line


def test_breaks_of_a_finding_that_compared_nothing():
    (line,) = breaks(results_of(cell(verdict="breaks", findings=[finding(), finding("9", 3, math.nan, 0)])))
    assert "(9) in layer 3 compared nothing" in line


def test_breaks_by_a_reason():
    (line,) = breaks(results_of(cell(verdict="breaks", findings=[], reason="case 0: RuntimeError: no memory")))
    assert line == "numpy/cpu/float32/tanh: case 0: RuntimeError: no memory"


def test_breaks_of_an_empty_cell():
    (line,) = breaks(results_of(cell(verdict="breaks", findings=[])))
    assert line == "numpy/cpu/float32/tanh: nothing was compared"


def test_breaks_of_training_come_after_the_cells():
    broken = cell("b", "breaks", [finding("2a", 1, 9.0)], name="digits")
    lines = breaks(results_of(cell("a", "breaks", [finding(ratio=2.0)]), training=[broken]))
    assert [line.split("/")[0] for line in lines] == ["a", "b"]


def test_what_holds_or_is_not_run_is_no_break():
    assert breaks(results_of(cell(), cell(verdict="not-run", findings=[], reason="no tanh"))) == []


def test_describe_shows_all_digits():
    assert "0.1000000000000000055" not in describe(finding(observed=0.1))
    assert "0.30000000000000004" in describe(finding(ratio=2.0, observed=0.1 + 0.2))


def test_badness():
    assert badness("NaN") == badness(math.nan) == badness("Infinity") == math.inf
    assert badness(0.5) == 0.5


def test_progress_shows_names_as_they_are():
    console = Console(file=io.StringIO(), width=120, force_terminal=True)
    with progress(console) as bar:
        bar.add_task("mine[bold]/cpu", total=2)
        bar.refresh()
    assert "mine[bold]/cpu" in console.file.getvalue()
