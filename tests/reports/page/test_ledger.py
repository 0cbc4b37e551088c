"""The ledger on the page: its columns, how their cells stand, and what an entry tells."""

from reports.campaign import ledger as campaign
from reports.campaign.standing import items
from reports.page.ledger import ledger, standings
from reports.page.report import render
from tests.reports.page.reading import Reader, read
from tests.reports.samples import DTYPES, ENGINES, divergence, explain, full_and_broken, leave_out, sample, small


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
    counted = standings(items(results))
    column = ("torch-eager", "float32")
    assert {kind: counts.get(column) for kind, counts in counted.items()} == {
        "hold": 79,
        "break": 1,
        "break as listed": 3,
        "not run": 1,
    }
    assert set(standings(items(sample()))) == {"hold"}


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
    assert "≠ 9.0e5" in read(results).text


def test_an_equation_that_the_note_does_not_have_has_a_row_where_something_was_compared() -> None:
    results = small(1)
    results["cells"][0]["checked"] = {"7a": [0.5, 2, 9], "extra": [0.5, 2, 9], "empty": [0.0, 2, 0]}
    found = items(results)
    sections = ledger(found, campaign.ledger(found)).sections
    assert [row.equation for row in sections["Other checks"]] == ["extra"]
    assert "14" in {row.equation for row in sections["Hidden layers"]}, "an equation of the note has its row"
