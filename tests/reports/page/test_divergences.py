"""The divergences on the page: their order, their digits, their anchors and links."""

from reports.campaign.ledger import causes
from reports.campaign.standing import items
from reports.page import divergences
from reports.results.verdicts import Verdict
from tests.reports.page.reading import read
from tests.reports.samples import Record, divergence, explain, full, small


def test_divergences_come_worst_first() -> None:
    order = ("convention", "equal", "defect", "approximation", "never heard of")
    rows = divergences.divergences({"divergences": [divergence(status, status) for status in order]})
    assert [d.status for d in rows] == ["never heard of", "defect", "approximation", "convention", "equal"]


def test_a_divergence_shows_all_that_is_known_of_it() -> None:
    reader = read(full() | {"divergences": [divergence(source=None), divergence("b", "convention", bound=None)]})
    shown = reader.text[reader.text.index("Where the frameworks differ") :]
    for text in (
        *("Defects", "Conventions", "softplus", "activation, float64", "z = 20.5", "20.500000001", "20.5"),
        *("Linear above its threshold.", "Bound: 9e5 u.", "torch.nn.functional.softplus(z)"),
        "docs.pytorch.org/softplus",
    ):
        assert text in shown
    assert shown.count("Bound") == 1
    assert [a["title"] for _, a in reader.seen if a.get("class") == "num" and a.get("title")] == [
        "20.500000001250152"
    ] * 4
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
    assert not any("javascript" in link or "ndtr" in link for link in reader.links)
    assert all(link.startswith("#") for link in reader.links)
    assert "ndtr, page 3" in reader.text


def test_engines_that_a_row_does_not_name_have_a_dash() -> None:
    rows = [divergence("a"), divergence("b", engines={"mine": "1"}, status={})]
    reader = read(small() | {"divergences": rows})
    assert divergences.answering({"divergences": rows}) == ["torch-eager", "jax-jit", "numpy", "mine"]
    assert "unknown" in reader.text


def order(*rows: Record) -> list[str]:
    return [d.record["id"] for d in divergences.divergences({"divergences": list(rows)})]


def test_within_a_status_what_ordinary_inputs_meet_comes_first_and_extreme_inputs_last() -> None:
    rows = (
        divergence("at 10³⁸", input="z = 3.4e+38", ordinary=False),
        divergence("at 200", input="z = 200.0", ordinary=False),
        divergence("ordinary, at 1e-20", input="z = [1e-20, -2e-20], y = [1.0, 2.0]", ordinary=True),
        divergence("ordinary, at 11", input="z = -11.5", ordinary=True),
        divergence(
            "ordinary, also at 0.25", input="z = 5e-324", note="By 1/6. Also at z = 0.25; z = 3.0.", ordinary=True
        ),
        divergence("a default", input="two samples", kind="default"),
        divergence("at infinity", input="z = -inf", ordinary=False),
        divergence("bounded", "approximation", input="z = 1.0", ordinary=True),
    )
    expected = [
        *("a default", "ordinary, also at 0.25", "ordinary, at 11", "ordinary, at 1e-20"),
        *("at 200", "at 10³⁸", "at infinity", "bounded"),
    ]
    assert order(*rows) == order(*reversed(rows)) == expected


def test_what_explains_a_break_comes_before_what_does_not() -> None:
    results = explain(small(2), 1, "b") | {"divergences": [divergence("a"), divergence("b", input="z = 1e-20")]}
    rows = divergences.divergences(results, causes(items(results), Verdict.EXPLAINED))
    assert [(d.record["id"], d.explains) for d in rows] == [("b", 1), ("a", 0)]


def test_the_inputs_of_a_row_are_its_own_and_those_that_its_note_names() -> None:
    alone = divergence(input="z = 5e-324", note="Linear above its threshold.")
    assert divergences.inputs(alone) == ["z = 5e-324"]
    assert divergences.inputs_text(alone) == "z = 5e-324"
    several = alone | {"note": "By 1/6 (toFloat()). Also at z = 7.5; z = 0.25 and 10 more."}
    assert divergences.inputs(several) == ["z = 5e-324", "z = 7.5", "z = 0.25"]
    assert divergences.inputs_text(several) == "z = 5e-324, and at 12 more inputs, such as z = 0.25"
    assert divergences.reason(several) == "By 1/6 (toFloat())."
    assert (
        divergences.inputs_text(alone | {"note": "Also at z = 7.5."})
        == "z = 5e-324, and at 1 more input, such as z = 7.5"
    )


def test_numbers_have_the_digits_in_which_what_departs_differs() -> None:
    engines = {"torch-eager": "0.1666666716337204", "jax-jit": "0.16666666666666663", "numpy": "nan"}
    statuses = {"torch-eager": "defect", "jax-jit": "equal", "numpy": "convention"}
    record = divergence() | {"equation": "0.16666666666666666", "engines": engines, "status": statuses}
    (row,) = divergences.divergences({"divergences": [record]})
    assert row.shown(record["equation"]) == "0.166666667"
    assert [row.shown(answer) for answer, _ in row.answers.values()] == ["0.166666672", "0.166666667", "NaN"]
    assert row.departing == ["torch-eager"]
