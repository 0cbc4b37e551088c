"""The data of the chapter on seeded faults: tiles, rows, notes, checkers, limits, honest cases."""

import pytest

from adapters.faults.networks import initial
from reference.audit import local
from reference.network import trace
from reference.rounding import rounding
from reports.faults import summary
from reports.faults.summary import by_equation, summarise
from reports.page import faults
from reports.page.faults import Tile, chapter, tile
from tests.reports.samples import (
    PANEL,
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

BY_NAME = {str(about["name"]): about for about in PANEL}


def made(found=None):
    """The chapter on some measurements."""
    told = chapter(proved() if found is None else found)
    assert told is not None
    return told


# --- the whole


def test_without_measurements_there_is_no_chapter():
    assert chapter(None) is None
    assert chapter({}) is None


def test_each_part_may_be_missing():
    assert made(without("matrix")).summary is None
    assert made(without("matrix")).kinds == made(without("matrix")).notes == []
    assert made(without("beside")).checkers == []
    assert made(without("smallest")).limits is None
    assert made(without("alarms")).alarms is None


def test_an_empty_part_is_no_table():
    told = made(proved(matrix=[], beside=[], smallest=[]))
    assert (told.summary, told.heads, told.kinds, told.checkers, told.limits, told.holds) == (
        None,
        [],
        [],
        [],
        None,
        False,
    )


def test_the_verdict_is_that_of_the_proof():
    for found in (proved(), with_cell(miss), without("matrix")):
        told = made(found)
        assert (told.holds, told.decided, told.sentence) == (
            summary.holds(found),
            summary.decided(found),
            summary.sentence(found),
        )


def test_the_replay_is_the_request():
    assert made().replay == (
        "python -m reports faults --engines numpy,torch-eager,torch-compile --dtypes float32,bfloat16 --seeds 10 "
        "--cases 400 --seed 2026 --only matrix,beside,smallest,alarms"
    )


def test_key_figures():
    figures = {f.label: (f.value, f.remark) for f in made().figures}
    assert figures == {
        "draws killed": ("220 of 220", "of 3 faults, beyond the precision"),
        "localised": ("100 %", "232 of 232 draws killed"),
        "false alarms": ("0", "in 400 honest cases, 269,200 numbers"),
        "best other checker": ("kills 50 %", "close; refuses 0 % of what is honest"),
    }


def test_the_best_other_checker_is_not_the_one_that_refuses_everything():
    """Killed less refused: ½ − 0 for "close" is more than 1 − 1 for "strict", and than ¼ for "gradcheck"."""
    best = faults.best_other(summarise(proved()).checkers)
    assert best is not None
    assert best.rule == "close"
    assert faults.best_other(summarise({**proved(), "beside": [checker()]}).checkers) is None
    assert faults.best_other(()) is None


# --- tiles

WORST_FIRST = [
    ([kill(), miss(kill(engine="b"))], Tile("broken", "✕", "numpy: 10 of 10 killed; b: 9 of 10 killed, 1 missed")),
    ([kill(killed=9, localised=9)], Tile("broken", "✕", "numpy: 9 of 10 killed")),
    ([miss(unseen(kill(), 0))], Tile("broken", "✕", "numpy: 9 of 10 killed, 1 missed")),
    (
        [displace(kill(), ("7a", 2)), unseen(kill(engine="b"))],
        Tile("listed", "≠", "numpy: 10 of 10 killed, 9 localised; b: 0 of 10 killed, 10 indistinguishable"),
    ),
    ([kill(), kill(engine="b")], Tile("killed")),
    ([unseen(kill(), 0)], Tile("unclaimed")),
    (
        [unseen(kill(), 4), unseen(kill(engine="b"), 0)],
        Tile("unclaimed part", "16/20", "numpy: 6 of 10 killed, 4 indistinguishable; b: 10 of 10 killed"),
    ),
    ([unseen(kill())], Tile("not-run-tile")),
    ([], Tile(title="not planted")),
]


@pytest.mark.parametrize(("cells", "expected"), WORST_FIRST, ids=[expected.kind for _, expected in WORST_FIRST])
def test_a_tile_is_the_worst_of_its_cells(cells, expected):
    assert tile(cells) == expected


def test_the_heads_are_stages_and_engines_of_one_program():
    heads = faults.heads(proved()["matrix"])
    assert [(h.name, [name for _, name in h.columns], h.engines) for h in heads] == [
        (STAGES[0], ["float32", "bfloat16"], ["numpy", "torch-eager"]),
        (STAGES[1], ["float32", "bfloat16"], ["numpy", "torch-eager"]),
        ("torch-compile", ["initial", "trained"], ["torch-compile"]),
    ]


def test_one_program_alone_has_no_other_heads():
    cells = [kill("loss-summed", "jax-whole", stage=stage) for stage in STAGES]
    assert [h.name for h in faults.heads(cells)] == ["jax-whole"]
    (kind,) = faults.kinds(cells, BY_NAME)
    assert [[t.kind for t in tiles] for tiles in kind.rows[0].tiles] == [["killed", "killed"]]


def test_every_cell_is_in_some_tile():
    """Each of the cells, made a miss, shows."""
    for at, cell in enumerate(proved()["matrix"]):
        rows = {row.fault["name"]: row for kind in made(with_cell(miss, at)).kinds for row in kind.rows}
        broken = {name: sum(t.kind == "broken" for tiles in row.tiles for t in tiles) for name, row in rows.items()}
        assert broken == {name: int(name == cell["fault"]) for name in broken}


def test_kinds_are_in_the_order_of_the_panel_and_open_where_there_is_something_to_see():
    kinds = made().kinds
    assert [(k.name, len(k.rows), k.open) for k in kinds] == [
        ("wrong indices", 1, False),
        ("wrong reduction", 1, False),
        ("wrong precision", 1, False),
    ]
    assert [k.open for k in made(with_cell(miss)).kinds] == [True, False, False]
    assert [k.open for k in made(with_cell(lambda cell: displace(cell, ("7a", 2)))).kinds] == [True, False, False]


def test_a_row_has_its_link_and_the_least_change_that_is_claimed():
    cells = [kill(change=8.4), kill(change="Infinity", dtype="float64"), unseen(kill(change=0.2, dtype="float16"))]
    (kind,) = faults.kinds(cells, BY_NAME)
    (row,) = kind.rows
    assert (row.change, row.link) == ("8.4", "https://example.org/transposed")
    (kind,) = faults.kinds([unseen(kill("loss-summed"))], BY_NAME)
    assert (kind.rows[0].change, kind.rows[0].link) == ("—", None)


def test_only_a_source_on_the_web_is_a_link():
    assert faults.link("javascript:alert(1)") is None
    assert faults.link(None) is None
    assert faults.link("http://x") == "http://x"


def test_the_summary_is_of_kinds_and_engines():
    told = made(with_cell(miss)).summary
    assert told is not None
    assert told.engines == ["numpy", "torch-eager", "torch-compile"]
    assert told.faults == {"wrong indices": 1, "wrong reduction": 1, "wrong precision": 1}
    assert set(told.rows["wrong indices"]) == {"numpy", "torch-eager"}
    assert told.rows["wrong indices"]["numpy"].claimed_killed == 39
    assert told.together["numpy"].claimed == 100
    assert told.total == summary.tally(with_cell(miss)["matrix"])


# --- notes


def test_nothing_missed_and_all_localised_is_no_note():
    assert made().notes == []


def test_a_miss_is_explained():
    (note,) = made(with_cell(miss)).notes
    assert (note.kind, note.mark, note.where) == ("", "✕ 1", "numpy, float32, at initialisation")
    assert note.draws == "1 of 10 draws missed"
    assert note.why == ["Seed 4: its step changes by 13 times what is allowed."]


def test_what_is_localised_elsewhere_is_explained_once_a_place():
    places = ("7a", 2), ("14", 2), ("7a", 2), ("Adam: m", 1)
    (note,) = made(with_cell(lambda cell: displace(cell, *places))).notes
    assert (note.kind, note.mark) == ("listed", "≠ 4")
    assert note.draws == "4 of 10 killed draws localised elsewhere"
    first, times = "is the first that does not hold", "times what is allowed"
    assert note.why == [
        f"Seeds 3 and 5: (7a) in layer 2 {first}, 1.5 to 3.5 {times}; (14) in layer 1 is itself within its allowance.",
        f"Seed 4: (14) in layer 2 {first}, 2.5 {times}; it comes before (14) in layer 1 in the computation.",
        f"Seed 6: Adam: m in layer 1 {first}, 4.5 {times}; the fault is planted in (14) in layer 1.",
    ]


def test_the_order_of_the_computation_is_the_audits():
    case = initial("tanh", "float64", 0)
    order = [(equation, layer) for equation, layer, *_ in local(case, trace(case), rounding("float64"))]
    assert len(order) > 10
    assert sorted(order, key=lambda place: faults.position(*place)) == order


# --- checkers


def test_a_checker_says_its_rule():
    rows = made().checkers
    assert [row.checker.ours for row in rows] == [True, False, False, False]
    assert [(row.numbers, row.checker.called, row.link) for row in rows[:2]] == [
        ("every equation in every layer, within its allowance", True, None),
        ("|o − e| ≤ 1e-5", False, "https://example.org/close"),
    ]
    assert rows[3].numbers == "the derivative against finite differences, with its own defaults"
    assert [(r.checker.refused, r.checker.honest, r.checker.share, r.milliseconds) for r in rows[1:3]] == [
        (0, 16, "50 %", "0.531"),
        (16, 16, "100 %", "0.531"),
    ]
    assert made().stages == list(STAGES)


# --- limits


def test_the_smallest_faults_are_by_equation_and_format():
    told = made().limits
    assert told is not None
    assert told.dtypes == ["float32", "bfloat16"]
    assert list(told.rows) == ["(9)", "(9) of softmax", "(14)"]
    sizes = {"in_u": "1,230", "median_in_u": "45.6", "floor_in_u": "1,200", "floor_median_in_u": "44.4"}
    tenths = {"in_u": "12.3", "median_in_u": "0.456", "floor_in_u": "12", "floor_median_in_u": "0.444"}
    assert told.rows["(14)"] == [sizes, sizes, tenths, tenths]
    assert told.rows["(9) of softmax"] == [sizes, None, tenths, None]
    assert (told.draws, told.engine) == ("500", "torch-eager")
    assert faults.limits(by_equation([limit(), limit(dtype="float64", draws=20)])).draws == "20 or 500"


# --- false alarms


def test_honest_cases_are_by_kind_engine_and_format():
    told = made().alarms
    assert told is not None
    assert list(told.columns) == [(e, d) for e in ("torch-eager", "jax-jit") for d in ("float32", "bfloat16")]
    assert {kind: len(tiles) for kind, tiles in told.kinds.items()} == {"ordinary": 4, "kinks": 4}
    assert told.kinds["kinks"][0] == Tile("use-3", ".65", "50 cases, 33,650 numbers, worst 0.65 in (a), 0 alarms")
    assert (told.findings, told.explained) == (18, {"softplus-linear": 12, "celu/derivative": 6})


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (audited(alarms=3), Tile("broken", "✕3", "50 cases, 33,650 numbers, worst 0.65 in (a), 3 alarms")),
        (audited(numbers=0, cases=1), Tile("not-run-tile", "", "1 case, 0 numbers, worst 0.65 in (a), 0 alarms")),
        (audited(worst=0.0, equation=None), Tile("use-0", "0", "50 cases, 33,650 numbers, exactly equal, 0 alarms")),
        (audited(worst="NaN"), Tile("broken", "NaN", "50 cases, 33,650 numbers, worst NaN in (a), 0 alarms")),
        (None, Tile(title="not run")),
    ],
)
def test_a_tile_of_honest_cases(row, expected):
    assert faults.honest(row) == expected


def test_a_kind_that_was_not_drawn_everywhere_has_an_empty_tile():
    said = honest() | {"by": [audited(), audited(kind="kinks", dtype="float64")]}
    told = faults.honest_engines(said, summarise({**proved(), "alarms": said}))
    assert [t.title for t in told.kinds["ordinary"]] == [
        "50 cases, 33,650 numbers, worst 0.65 in (a), 0 alarms",
        "not run",
    ]


def test_an_alarm_has_its_text():
    unheard = alarm(equation=None, layer=None, ratio=None, reason="no finding")
    said = honest() | {"alarms": [alarm(), unheard]}
    told = faults.honest_engines(said, summarise({**proved(), "alarms": said}))
    assert [text for _, text in told.alarms] == ["(14) in layer 2, 1.01 times what is allowed", "no finding"]
