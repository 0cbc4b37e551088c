"""The tables of seeded faults in a terminal: what they show, that they fit, and that what falls short is red."""

import io
from itertools import product

import pytest
from rich.console import Console

from adapters.faults.planting import OF_ONE_PROGRAM
from reference.rounding import DTYPES
from reports.faults import terminal
from reports.faults.adversarial_cases import KINDS
from reports.faults.checkers import CHECKERS
from reports.faults.false_alarms import ENGINES
from reports.faults.limits import MEASURED
from reports.faults.summary import summarise
from tests.reports.samples import (
    FAULT_ENGINES,
    STAGES,
    audited,
    checker,
    honest,
    kill,
    limit,
    miss,
    proved,
    with_cell,
    without,
)

WIDE = 100


def shown(found, width=WIDE):
    """The tables as lines of text, each table's in a list of its own."""
    texts = []
    for table in terminal.tables(summarise(found)):
        console = Console(file=io.StringIO(), width=width)
        console.print(table)
        texts.append(console.file.getvalue().splitlines())
    return texts


def row_of(lines, *words):
    """The one line that holds all of the words."""
    rows = [line.split() for line in lines if all(word in line.split() for word in words)]
    assert len(rows) == 1, f"{len(rows)} rows hold {words}, but should be one"
    return rows[0]


def test_there_is_a_table_for_each_part_that_was_measured():
    titles = ("kill matrix: draws of 3 faults", "the same faults", "smallest relative fault", "honest engines")
    assert all(lines[0].strip().startswith(title) for lines, title in zip(shown(proved()), titles, strict=True))
    assert [len(shown(without(part))) for part in ("matrix", "beside", "smallest", "alarms")] == [3] * 4
    assert shown({"request": {}, "panel": [], "not_run": []}) == []
    assert len(shown(proved(matrix=[], beside=[], smallest=[]))) == 4


def large(seeds, size):
    """As large as it gets: every engine, format, rule and equation."""
    sizes = dict.fromkeys(("in_u", "median_in_u", "floor_in_u", "floor_median_in_u"), size)
    return proved(
        matrix=[
            kill(f"f{i}", e, d, stage=s, draws=seeds, killed=seeds, localised=seeds)
            for e, d, s, i in product((*ENGINES, *OF_ONE_PROGRAM), DTYPES, STAGES, range(207))
        ],
        beside=[checker(c.name, 1.0, 8, milliseconds=0.00935) for c in CHECKERS],
        smallest=[
            limit(q, d, one=sizes, network=f"tanh → {o}, half_squared_error")
            for d, o, q in product(DTYPES, ("sigmoid", "softmax"), MEASURED)
        ],
        alarms=honest()
        | {"by": [audited(*about, numbers=10**9, cases=10**5) for about in product(ENGINES, DTYPES, KINDS)]},
    )


@pytest.mark.parametrize(("seeds", "size", "width"), [(10, 98_700.0, 80), (100, 9.87e6, WIDE)])
def test_no_cell_is_cut(seeds, size, width):
    """A terminal that does not say how wide it is, such as a log's, has 80 columns."""
    texts = shown(large(seeds, size), width)
    assert len(texts) == 4
    for lines in texts:
        assert "…" not in "\n".join(lines)
        assert max(map(len, lines)) <= width
    matrix, _, smallest, alarms = texts
    assert sum("bfloat16" in line for line in matrix) == 5 * 2
    assert "bfloat16" in "\n".join(smallest)
    assert sum("bfloat16" in line for line in alarms) == 3


def test_the_matrix_has_a_row_for_each_engine_format_and_stage():
    found = with_cell(miss)
    lines = shown(found)[0]
    assert row_of(lines, "numpy", "float32", "initial")[3:] == ["29/30", "29/30", "100", "%", "0", "1"]
    assert row_of(lines, "numpy", "bfloat16", "trained")[3:] == ["20/20", "26/30", "100", "%", "4", "0"]
    assert row_of(lines, "torch-compile", "float32", "initial")[3:] == ["10/10", "10/10", "100", "%", "0", "0"]
    assert sum(any(engine in line for engine in FAULT_ENGINES) for line in lines) == 2 * 4 + 2


def test_the_checkers_have_a_row_each():
    lines = shown(proved(beside=[checker(), checker("[red]theirs", 0.5, 3, milliseconds=250.0)]))[1]
    assert row_of(lines, "audit")[1:] == ["20/20", "100", "%", "20/20", "100", "%", "0/16", "0.53"]
    assert row_of(lines, "[red]theirs")[1:] == ["10/20", "50", "%", "10/20", "50", "%", "6/16", "250"]


def test_the_smallest_faults_have_a_row_for_each_equation():
    lines = shown(proved())[2]
    assert row_of(lines, "(14)")[1:] == ["1,230", "12.3", "1,230", "12.3"]
    assert [line.split()[0] for line in lines if line.strip().startswith("(")] == ["(9)", "(9)", "(14)"]
    assert row_of(lines, "of", "softmax")[3:] == ["1,230", "12.3"], "not measured in bfloat16"


def test_the_alarms_have_a_row_for_each_engine_and_format():
    by = [
        audited(kind="ordinary", worst=0.31, equation="z"),
        audited(kind="kinks", worst=0.996, equation="7a"),
        audited(dtype="float64", worst=0.0, equation=None),
        audited("jax-jit", "float16", worst=0.5, alarms=2),
        audited("jax-jit", "float32"),
    ]
    lines = shown(proved(alarms=honest() | {"by": by}))[3]
    assert row_of(lines, "numpy", "float32")[2:] == ["100", "67,300", "0.99", "(7a)", "0"]
    assert row_of(lines, "numpy", "float64")[2:] == ["50", "33,650", "0", "–", "0"]
    assert row_of(lines, "jax-jit", "float16")[2:] == ["50", "33,650", "0.50", "(a)", "2"]
    by[0]["worst"] = "NaN"
    assert "NaN" in row_of(shown(proved(alarms=honest() | {"by": by}))[3], "numpy", "float32")
    order = [line.split()[:2] for line in lines if line.split()[:1] in (["numpy"], ["jax-jit"])]
    assert order == [["numpy", "float32"], ["numpy", "float64"], ["jax-jit", "float32"], ["jax-jit", "float16"]]


def test_what_falls_short_is_red():
    def styles(found, at):
        return [row.style for row in terminal.tables(summarise(found))[at].rows]

    assert set(styles(proved(), 0)) == {None}
    assert styles(with_cell(miss), 0)[0] == "bold red"
    assert styles(with_cell(lambda cell: cell | {"killed": 9}), 0)[0] == "bold red"
    assert styles(proved(), 1)[:2] == ["bold", None]
    assert styles(proved(beside=[checker(share=0.5)]), 1) == ["bold red"]
    rows = [audited(alarms=1), audited("mine", numbers=0), audited("yours")]
    assert styles(proved(alarms=honest() | {"by": rows}), 3) == ["bold red", "bold red", None]


@pytest.mark.parametrize(("time", "text"), [(63.4, "63"), (0.388, "0.39"), (0.0044, "0.004"), (0.01, "0.01")])
def test_a_time_fits_its_column(time, text):
    assert terminal.milliseconds_text(time) == text
