"""The chapter on seeded faults as it stands on the page."""

import pytest

from reports.faults import summary
from reports.page import report
from reports.page.report import render
from tests.reports.page.reading import PLANTED, everything_wrong, read, tooltips
from tests.reports.samples import Results, alarm, alone, divergence, honest, limit, miss, proved, small, without

CHAPTER = "What the audit catches"


def chapter_of(results: Results) -> str:
    """The text of the chapter, in one line."""
    shown = " ".join(read(results).text.split())
    return shown[shown.index(CHAPTER) : shown.index("What it ran on")]


def test_without_seeded_faults_there_is_no_chapter() -> None:
    for missing in ({}, {"faults": None}, {"faults": {}}):
        assert CHAPTER not in read(small() | missing).text


def test_the_chapter_says_its_verdict() -> None:
    assert f"✓ {summary.sentence(proved())}" in chapter_of(small() | {"faults": proved()})
    assert f"✕ falls short {summary.sentence(everything_wrong())}" in chapter_of(
        small() | {"faults": everything_wrong()}
    )


def test_a_verdict_alone_stands_once() -> None:
    shown = " ".join(read(alone()).text.split())
    assert shown.count(summary.sentence(proved())) == 1
    assert shown.count("220 of 220") == 2, "in the sentence, and as a figure"


def test_seeded_faults_alone_have_no_empty_chapter() -> None:
    shown = read(alone()).text
    absent = (
        "The ledger of equations",
        "Activations, outputs and losses",
        "A training run",
        "in each cell",
        "reports audit",
    )
    assert not any(text in shown for text in absent)
    assert "0 of 0" not in shown
    assert "python -m reports faults --engines" in shown


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
    assert all(other in chapter_of(alone(without(part))) for other in ("The audit itself is tested",))


def test_the_matrix_shows_all_that_is_known_of_a_fault() -> None:
    reader = read(alone())
    shown = " ".join(reader.text.split())
    for text in (
        "transposed-weight",
        "the cause of transposed-weight",
        "(14) in layer 1",
        "tanh → sigmoid, half squared",
    ):
        assert text in shown
    assert "https://example.org/transposed" in reader.links
    kinds = [(a.get("class") or "").replace(" first", "") for tag, a in reader.seen if tag == "td"]
    counts = {kind: kinds.count(kind) for kind in ("killed", "unclaimed part", "not-run-tile", "broken", "listed")}
    # three faults in two formats and stages, and one of them in one program
    assert counts == {"killed": 10 + 2, "unclaimed part": 1, "not-run-tile": 1, "broken": 0, "listed": 0}


def test_a_miss_is_unmistakable() -> None:
    reader = read(alone(everything_wrong()))
    assert tooltips(reader, "broken first") == ["numpy: 9 of 10 killed, 1 missed; torch-eager: 10 of 10 killed"]
    shown = chapter_of(alone(everything_wrong()))
    for text in ("✕ 1 missed", "✕ 99 of 100", "Seed 4: its step changes by 13 times", "≠ 1 localised elsewhere"):
        assert text in shown
    assert "No draw is missed" not in shown
    assert [("open" in a) for tag, a in reader.seen if tag == "details" and a.get("class") == "engine-maps"] == [
        True,
        False,
        False,
    ]


def test_nothing_missed_is_said() -> None:
    assert "No draw is missed, and every draw that is killed is localised." in chapter_of(alone())


def test_many_notes_are_folded_but_there() -> None:
    found = proved(matrix=[miss(cell) for _ in range(4) for cell in proved()["matrix"]])
    shown = chapter_of(alone(found))
    assert f"{len(found['matrix']) - report.SHOWN} more" in shown
    assert shown.count("Seed 4:") == len(found["matrix"])


def test_the_audit_is_the_first_of_the_checkers() -> None:
    reader = read(alone())
    rows = [a.get("class") for tag, a in reader.seen if tag == "tr"]
    assert rows.count("ours") == 1
    shown = chapter_of(alone())
    shown = shown[shown.index("other people’s checkers") :]
    assert shown.index("audit") < shown.index("close") < shown.index("gradcheck")
    for text in (
        "torch-eager, expressed anew",
        "torch-eager, called",
        "10 of 20",
        "50 %",
        "|o − e| ≤ 1e-5",
        "16 of 16",
    ):
        assert text in shown
    bars = [a["style"] for tag, a in reader.seen if tag == "i" and a.get("class") == "use-4" and a.get("style")]
    assert bars == [f"width: {share}%" for share in (100, 100, 50, 50, 100, 100, 25, 25)]


def test_the_smallest_faults_stand_beside_their_floor() -> None:
    shown = chapter_of(alone())
    assert "45.6 | 1,23044.4 | 1,200" in shown
    assert "A smaller change is indistinguishable at this precision" in shown
    assert "in 500 draws of torch-eager" in shown
    another = limit("9", network=f"tanh → {PLANTED}, hinge")
    assert f"(9) of {PLANTED}" in read(alone(proved(smallest=[limit("9"), another]))).text


def test_an_equation_that_was_not_measured_in_a_format_has_a_dash() -> None:
    found = proved(smallest=[limit("9"), limit("14"), limit("14", "float64")])
    shown = chapter_of(alone(found))
    assert shown[shown.index("(9)") + 3 :].split("(14)")[0].count("—") == 2


def test_a_false_alarm_shows_how_to_see_it_again() -> None:
    shown = chapter_of(alone(everything_wrong()))
    for text in (
        "(14) in layer 2, 1.01 times",
        "malformed trace",
        "reports.faults.false_alarms.replay('numpy', 2026",
        "kinks: tanh",
    ):
        assert text in shown
    assert "No false alarm." not in shown
    assert "No false alarm." in chapter_of(alone())


def test_many_alarms_are_cut_and_the_rest_counted() -> None:
    found = proved(alarms=honest() | {"alarms": [alarm(replay=f"again({n})") for n in range(60)]})
    shown = chapter_of(alone(found))
    assert "10 more alarms not listed here" in shown
    assert "again(49)" in shown
    assert "again(50)" not in shown


def test_what_a_divergence_explains_leads_to_its_row() -> None:
    results = small() | {"faults": proved(), "divergences": [divergence()]}
    assert "#divergence-softplus-linear" in read(results).links
    shown = chapter_of(results)
    assert "18 findings that a listed divergence explains" in shown
    assert "6: celu/derivative" in shown, "a row that the page does not have is named all the same"
    assert "12 draws left out, for 1 reason" in shown


def test_a_large_matrix_stays_a_small_page() -> None:
    """Each fault adds a row, not a cell for every engine: less than 2 kB."""
    few, many = proved(), proved()
    for n in range(100):
        many["panel"].append(many["panel"][0] | {"name": f"fault-{n}"})
        many["matrix"] += [
            cell | {"fault": f"fault-{n}"} for cell in few["matrix"] if cell["fault"] == "transposed-weight"
        ]
    assert 0 < len(render(alone(many))) - len(render(alone(few))) < 100 * 2000
