"""What the terminal shows: every engine and dtype, and the equation and layer of every cause of a break."""

import io
import math

import pytest
from rich.console import Console

from reports.campaign.summary import summarise
from reports.campaign.terminal import LINES, break_lines, finding_text, in_millions, summary_table
from reports.results.files import jsonable
from tests.reports.samples import DTYPES, divergence, explain, finding, item, leave_out, sample, small, spoil


def cell(engine="numpy", dtype="float32", name="tanh", **changes):
    """A cell in which (7a) alone was checked, with a ratio of 0.5 over 960 numbers."""
    return item(engine, dtype, name, "tanh", "identity", "half_squared_error") | {"seconds": 1.25} | changes


def results_of(*cells, training=(), **more):
    return jsonable({"cells": list(cells), "training": list(training), **more})


def shown(results, width=200):
    """The table as text, a line for each row."""
    console = Console(file=io.StringIO(), width=width)
    console.print(summary_table(summarise(results)))
    return console.file.getvalue().splitlines()


def breaks(results):
    """The lines on what breaks."""
    return break_lines(summarise(results))


def row_of(lines, *words):
    """The one line that holds all of the words."""
    rows = [line for line in lines if all(word in line.split() for word in words)]
    assert len(rows) == 1, f"{len(rows)} rows hold {words}, but should be one"
    return rows[0].split()


# --- the table


def test_summary_has_every_engine_and_dtype():
    engines = ("numpy", "torch-eager", "jax-jit", "mine[bold]")
    lines = shown(results_of(*(cell(engine, dtype) for engine in engines for dtype in DTYPES)))
    for engine in engines:
        for dtype in DTYPES:
            row_of(lines, engine, dtype)


def test_summary_counts():
    idle = cell()
    leave_out(idle, "no tanh")
    results = results_of(
        cell(),
        spoil(cell(), "9", 3, 7.25),
        spoil(cell(), "a", 1, 9e5, explained="softplus-linear"),
        idle,
        cell("other"),
        training=[cell(elements=2000000)],
        divergences=[divergence()],
    )
    row = row_of(shown(results), "numpy")
    assert row == ["numpy", "float32", "2", "1", "1", "1", "2,060,480", "7.2", "(9)", "6"]
    assert row_of(shown(results), "other") == ["other", "float32", "1", "0", "0", "0", "20,160", "0.50", "(7a)", "1"]
    assert any("where a listed divergence explains it" in line for line in shown(results))
    assert not any("where a listed divergence explains it" in line for line in shown(results_of(cell())))


def test_summary_does_not_believe_a_cell_that_calls_itself_holding():
    row = row_of(shown(results_of(cell(checked={"7a": [1.5, 2, 960]}))), "numpy")
    assert row[2:6] == ["0", "1", "0", "0"]


def test_summary_of_a_nan():
    checked = {"7a": [5.0, 2, 9], "9": [math.nan, 3, 9], "1": [0.5, 3, 9]}
    row = row_of(shown(results_of(cell(verdict="breaks", checked=checked))), "numpy")
    assert row[-3:-1] == ["NaN", "(9)"], f"the worst is {row[-3:-1]}, but should be the NaN of (9)"


def test_summary_of_what_was_not_run():
    idle = cell()
    leave_out(idle, "no tanh")
    assert row_of(shown(results_of(idle)), "numpy")[2:9] == ["0", "0", "0", "1", "0", "–", "–"]


def test_summary_of_nothing():
    assert shown(results_of())


def test_summary_fits_80_columns_with_16_rows():
    engines = ("numpy", "torch-eager", "jax-jit", "jax-whole")
    many = {"elements": 1_234_567 * 6371, "seconds": 1234.5}
    cells = [cell(engine, dtype, **many) for engine in engines for dtype in DTYPES]
    broken = spoil(cell("torch-eager", "bfloat16"), "10a", 3, 1.234e7)
    explained = spoil(cell("torch-eager", "bfloat16"), "10a", 3, 9.9e9, explained="softplus-linear")
    lines = shown(results_of(*cells, *[cell()] * 6370, broken, explained, divergences=[divergence()]), width=80)
    assert row_of(lines, "torch-eager", "bfloat16")[2:] == [
        *("1", "1", "1", "0", "7,865.5", "M", "1.2e7", "(10a)", "1237")
    ]
    assert row_of(lines, "numpy", "float32")[2:5] == ["6,371", "0", "0"]
    for engine in engines:
        for dtype in DTYPES:
            row_of(lines, engine, dtype)
    assert not any("…" in line for line in lines)


@pytest.mark.parametrize(("n", "text"), [(0, "0"), (9_999_999, "9,999,999"), (123_456_789, "123.5 M")])
def test_large_counts_are_shortened(n, text):
    assert in_millions(n) == text


# --- the breaks


def test_breaks_name_cell_equation_layer_and_element():
    broken = cell("jax-jit", verdict="breaks", checked={"7a": [0.5, 2, 9], "14": [3.5, 1, 9], "7b": [100.0, 1, 9]})
    broken["findings"] = [finding("14", 1, 3.5), finding("7b", 1, 100.0)]
    (line,) = breaks(results_of(cell(), broken, cell("other")))
    for part in ("jax-jit/cpu/float32/tanh", "(14) in layer 1", "[1, 4]", "case 3", "3.5e-08", "0.0", "1e-08", "3.5"):
        assert part in line, f"the line is {line!r}, but should name {part!r}"
    assert "(7b)" not in line, "a later finding is named, but should be the first"
    assert "more cell" not in line


def test_breaks_of_one_cause_share_a_line():
    results = small(13)
    for i, record in enumerate(results["cells"]):
        spoil(record, "14", 2, 2.0 + i)
    spoil(results["cells"][0], "z", 1, 3.0)
    results["cells"][0]["findings"].reverse()
    assert len(breaks(results)) == 2
    assert breaks(results)[0].startswith(f"{results['cells'][12]['id']}: (14) in layer 2")
    assert breaks(results)[0].endswith("14 times what is allowed … and 11 more cells")
    assert "(z) in layer 1" in breaks(results)[1]


def test_breaks_of_other_dtypes_are_other_causes():
    lines = breaks(results_of(*(spoil(cell(dtype=dtype)) for dtype in DTYPES)))
    assert [line.split("/")[2] for line in lines] == list(DTYPES)


@pytest.mark.parametrize(("count", "lines"), [(40, 40), (41, 40), (60, 40)])
def test_breaks_take_few_lines(count, lines):
    cells = [spoil(cell(f"e{i:02}")) for i in range(count)] + [spoil(cell(f"e{count - 1:02}"))]
    said = breaks(results_of(*cells))
    assert len(said) == lines == LINES
    assert said[38].startswith("e38/")
    if count > LINES:
        assert said[-1] == f"… and {count - 39} more causes of {count - 38} breaks"


@pytest.mark.parametrize("ratio", [math.nan, math.inf])
def test_breaks_of_what_is_no_number(ratio):
    (line,) = breaks(results_of(spoil(cell(), "9", 3, ratio)))
    assert "(9) in layer 3" in line
    assert str(ratio) in line


def test_breaks_of_a_finding_that_compared_nothing():
    nothing = finding("9", 3, math.nan, elements=0, worst=None)
    (line,) = breaks(results_of(cell(verdict="breaks", findings=[nothing])))
    assert "(9) in layer 3 compared nothing" in line


def test_breaks_that_only_a_check_tells():
    (line,) = breaks(results_of(cell(checked={"9": [4.5, 3, 9]})))
    assert line == "numpy/cpu/float32/tanh: (9) in layer 3: 4.5 times what is allowed"


def test_breaks_by_a_reason():
    reason = "case 0: RuntimeError: no memory\nTraceback"
    (line,) = breaks(results_of(cell(verdict="breaks", checked={}, reason=reason)))
    assert line == "numpy/cpu/float32/tanh: case 0: RuntimeError: no memory"


def test_breaks_of_an_empty_cell():
    (line,) = breaks(results_of(cell(verdict="breaks", checked={})))
    assert line == "numpy/cpu/float32/tanh: nothing was compared"


def test_breaks_of_training_are_told():
    broken = spoil(cell("b", name="digits"), "2a", 1, 2.0)
    lines = breaks(results_of(spoil(cell("a"), "7a", 2, 9.0), training=[broken]))
    assert [line.split("/")[0] for line in lines] == ["a", "b"]


def test_what_holds_or_is_not_run_or_explained_is_no_break():
    results = explain(sample(("numpy",)), 3, "kink") | {"divergences": [divergence("kink")]}
    leave_out(results["cells"][5], "no tanh")
    assert breaks(results) == []
    assert len(breaks(results | {"divergences": []})) == 1


def test_finding_text_ends_with_the_diagnosis():
    said = finding_text(finding("14", 2, 2.0, diagnosis="δ^2 is 32 times what (14) gives: N = 32"))
    assert said.endswith("2 times what is allowed; δ^2 is 32 times what (14) gives: N = 32")
    for none in (finding("14", 2, 2.0, diagnosis=None), finding("14", 2, 2.0)):
        assert finding_text(none).endswith("2 times what is allowed")


def test_a_break_is_told_with_its_diagnosis():
    broken = cell(verdict="breaks", findings=[finding("14", 2, 9.0, diagnosis="δ^2 is 0 throughout")])
    (line,) = breaks(results_of(broken))
    assert line.endswith("9 times what is allowed; δ^2 is 0 throughout")


def test_finding_text_shows_all_digits():
    shown = finding("14", 2, 2.0)
    shown["worst"]["observed"] = 0.1 + 0.2
    assert "0.30000000000000004" in finding_text(shown)
    shown["worst"]["observed"] = 0.1
    assert "0.1000000000000000055" not in finding_text(shown)
