"""The summary of seeded faults: when it holds, the sentence, and the lines."""

import pytest

from reports.faults import summary
from reports.results.files import jsonable
from tests.reports.samples import (
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
    found = summary.tally_by([kill(engine="b"), kill(engine="a"), kill(engine="b", dtype="float64")], "engine", "dtype")
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
    malformed = alarm(equation=None, layer=None, ratio=None, reason="malformed trace: z is missing\nat line 3")
    found["alarms"]["alarms"] = [alarm(), alarm(ratio="NaN"), malformed]
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
