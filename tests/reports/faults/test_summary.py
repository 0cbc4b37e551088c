"""What is said of seeded faults: when it holds, the sentence, the lines, and tables that fit a terminal."""

import io
from itertools import product

import pytest
from rich.console import Console

from adapters.faults.planting import OF_ONE_PROGRAM
from reference.rounding import DTYPES
from reports.faults import summary, terminal
from reports.faults.adversarial_cases import KINDS
from reports.faults.checkers import CHECKERS
from reports.faults.false_alarms import ENGINES
from reports.faults.limits import MEASURED
from reports.results.files import jsonable
from reports.text import places
from tests.reports.samples import (
    FAULT_ENGINES,
    STAGES,
    alarm,
    audited,
    checker,
    displace,
    honest,
    kill,
    limit,
    miss,
    proved,
    unseen,
    with_cell,
    without,
)


def parts(**kept):
    """Measurements with these parts only."""
    return {key: value for key, value in proved().items() if key in ("request", "panel", "not_run")} | kept


# --- tallies


def test_a_tally_counts_what_is_claimed_and_what_is_not():
    cells = [kill(), unseen(kill(), 4), miss(kill()), displace(kill(), ("7a", 2), ("9", 3))]
    assert summary.tally(cells) == summary.Tally(30, 29, 40, 35, 33, 1, 4)
    assert not summary.tally(cells).holds


@pytest.mark.parametrize(
    ("cells", "holds"),
    [
        ([kill()], True),
        ([kill(), unseen(kill())], True),
        ([unseen(kill(), 0)], False),
        ([], False),
        ([miss(kill())], False),
        ([kill(), miss(unseen(kill(), 0))], False),
        ([kill(killed=9, localised=9)], False),
        ([kill(draws=100, killed=100, localised=97)], True),
        ([kill(draws=100, killed=100, localised=96)], False),
    ],
    ids=["killed", "unseen", "unclaimed", "none", "missed", "missed unclaimed", "survives", "97 %", "96 %"],
)
def test_a_tally_holds_where_all_that_is_claimed_is_killed_and_enough_is_localised(cells, holds):
    assert summary.tally(cells).holds is holds


def test_tallies_are_of_the_fields_in_the_order_of_the_cells():
    found = summary.by([kill(engine="b"), kill(engine="a"), kill(engine="b", dtype="float64")], "engine", "dtype")
    assert list(found) == [("b", "float32"), ("a", "float32"), ("b", "float64")]
    assert [t.draws for t in found.values()] == [10, 10, 10]


# --- the verdict


def test_what_is_as_it_should_be_holds():
    assert summary.holds(proved())
    assert summary.holds(jsonable(proved()))


@pytest.mark.parametrize("part", ["matrix", "beside", "smallest", "alarms"])
def test_each_part_holds_by_itself(part):
    assert summary.holds(parts(**{part: proved()[part]}))
    assert summary.holds(without(part))


OF_TEN = 10
FALLS_SHORT = {
    "a miss": with_cell(miss),
    "a claimed draw that is not killed": with_cell(lambda cell: cell | {"killed": 9, "localised": 9}),
    "a miss where nothing is claimed": with_cell(lambda cell: miss(unseen(cell, 0))),
    "localised below 97 %": with_cell(lambda cell: displace(cell, *[("7a", 2)] * OF_TEN)),
    "localised below 97 % in one engine": with_cell(lambda cell: displace(cell, ("7a", 2)), at=-1),
    "no claim": parts(matrix=[unseen(kill(), 0)]),
    "no claim in one engine": parts(matrix=[kill(), unseen(kill(engine="mine"), 0)]),
    "an empty matrix": parts(matrix=[]),
    "an alarm": proved(alarms=honest() | {"alarms": [alarm()]}),
    "zero cases": proved(alarms=honest() | {"cases": 0}),
    "no engine and format": proved(alarms=honest() | {"by": []}),
    "zero numbers in one format": proved(alarms=honest() | {"by": [audited(), audited(dtype="float16", numbers=0)]}),
    "a fault that the audit lets through beside others": proved(beside=[checker(share=0.95), checker("close")]),
    "an honest engine that the audit refuses": proved(beside=[checker(refused=1)]),
    "no honest engine beside others": proved(beside=[checker(false_alarms={"initially": {"draws": 0, "of_draws": 0}})]),
    "no fault beside others": proved(beside=[checker(killed={"initially": {"draws": 0, "of_draws": 0}})]),
    "no stage beside others": proved(beside=[checker(killed={}, false_alarms={})]),
    "others without the audit": proved(beside=[checker("close")]),
    "an empty comparison": proved(beside=[]),
    "no smallest fault": proved(smallest=[]),
    "nothing measured": parts(),
    "nothing at all": {},
}


@pytest.mark.parametrize("reason", FALLS_SHORT)
def test_it_does_not_hold_with(reason):
    assert not summary.holds(FALLS_SHORT[reason])


@pytest.mark.parametrize("reason", [reason for reason in FALLS_SHORT if not reason.startswith("nothing ")])
def test_what_does_not_hold_is_said(reason):
    """No sentence reads as if all were well."""
    found = FALLS_SHORT[reason]
    assert summary.sentence(found) != summary.sentence({key: value for key, value in proved().items() if key in found})


def test_a_verdict_is_given_on_the_matrix_or_the_alarms():
    assert all(summary.decided(parts(**{part: proved()[part]})) for part in ("matrix", "alarms"))
    assert not summary.decided(without("matrix") | {"alarms": None} and parts(smallest=[limit()], beside=[checker()]))


# --- the sentence


def test_the_sentence():
    assert summary.sentence(proved()) == (
        "220 of 220 draws of 3 seeded faults that exceed the precision are killed in numpy, torch-eager and "
        "torch-compile, 100 % of what is killed is localised; 0 false alarms in 400 honest cases."
    )
    assert summary.sentence(without("matrix")) == "0 false alarms in 400 honest cases."
    assert summary.sentence(parts()) == "No verdict on seeded faults: neither matrix nor alarms were measured."


def test_the_sentence_says_what_falls_short():
    found = with_cell(lambda cell: displace(cell, *[("7a", 2)] * OF_TEN), at=-1)
    found["matrix"][0] = miss(found["matrix"][0])
    found |= {"beside": [checker(refused=1)], "smallest": [], "alarms": honest() | {"alarms": [alarm()]}}
    assert summary.sentence(found) == (
        "219 of 220 draws of 3 seeded faults that exceed the precision are killed in numpy, torch-eager and "
        "torch-compile, 95.6 % of what is killed is localised; 1 draw missed; not enough is killed or localised in "
        "torch-compile; 1 false alarm in 400 honest cases; beside other checkers, the audit misses a fault or refuses "
        "an honest engine; no smallest fault was measured."
    )


@pytest.mark.parametrize(
    ("n", "of", "text"),
    [
        (0, 0, "none"),
        (0, 9, "0 %"),
        (1, 10_000, "<0.1 %"),
        (1, 3, "33.3 %"),
        (99_999, 100_000, "99.9 %"),
        (7, 7, "100 %"),
    ],
)
def test_a_share_is_rounded_down(n, of, text):
    assert summary.share(n, of) == text


# --- the lines


def test_nothing_to_tell_is_no_line():
    assert list(summary.summarise(proved()).lines) == []
    assert list(summary.summarise(parts()).lines) == []


def test_a_line_for_each_thing_that_is_not_as_it_should_be():
    found = with_cell(miss)
    found["matrix"][2] = displace(found["matrix"][2], ("7a", 2), ("9", 3))
    unheard = alarm(equation=None, layer=None, ratio=None, reason="malformed trace: z is missing\nat line 3")
    found["alarms"]["alarms"] = [alarm(), alarm(ratio="NaN"), unheard]
    assert list(summary.summarise(found).lines) == [
        "missed: transposed-weight in numpy, float32, at initialisation: 1 draw of 10, seeds 4",
        "localised elsewhere: transposed-weight in numpy, bfloat16, at initialisation, seed 3: (7a) in layer 2",
        "localised elsewhere: transposed-weight in numpy, bfloat16, at initialisation, seed 4: (9) in layer 3",
        "numpy falls short: 99 of 100 draws killed, 98 % localised, but should be all, and at least 97 %",
        "false alarm: (14) in layer 2, 1.01 times what is allowed; see "
        "reports.faults.false_alarms.replay('numpy', 2026, 'kinks', 'float32', 17)",
        "false alarm: (14) in layer 2, NaN times what is allowed; see "
        "reports.faults.false_alarms.replay('numpy', 2026, 'kinks', 'float32', 17)",
        "false alarm: malformed trace: z is missing; see "
        "reports.faults.false_alarms.replay('numpy', 2026, 'kinks', 'float32', 17)",
    ]


@pytest.mark.parametrize(("equation", "text"), [("14", "(14)"), ("z", "(z)"), ("2a", "(2a)"), ("Adam: m", "Adam: m")])
def test_a_line_of_an_optimiser_has_no_number(equation, text):
    assert places.place_text(equation, 2) == f"{text} in layer 2"


# --- the tables

WIDE = 100


def shown(found, width=WIDE):
    """The tables as lines of text, each table's in a list of its own."""
    made = []
    for table in terminal.tables(summary.summarise(found)):
        console = Console(file=io.StringIO(), width=width)
        console.print(table)
        made.append(console.file.getvalue().splitlines())
    return made


def row_of(lines, *words):
    """The one line that holds all of the words."""
    rows = [line.split() for line in lines if all(word in line.split() for word in words)]
    assert len(rows) == 1, f"{len(rows)} rows hold {words}, but should be one"
    return rows[0]


def test_there_is_a_table_for_each_part_that_was_measured():
    titles = ("kill matrix: draws of 3 faults", "the same faults", "smallest relative fault", "honest engines")
    assert all(lines[0].strip().startswith(title) for lines, title in zip(shown(proved()), titles, strict=True))
    assert [len(shown(without(part))) for part in ("matrix", "beside", "smallest", "alarms")] == [3] * 4
    assert shown(parts()) == []
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
    made = shown(large(seeds, size), width)
    assert len(made) == 4
    for lines in made:
        assert "…" not in "\n".join(lines)
        assert max(map(len, lines)) <= width
    matrix, _, smallest, alarms = made
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
        return [row.style for row in terminal.tables(summary.summarise(found))[at].rows]

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
