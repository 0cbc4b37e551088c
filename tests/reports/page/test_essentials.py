"""What an engineer must know: which divergences the page leads with, in what order, and what it says of each."""

from typing import Any

import pytest

from reports.campaign.ledger import causes
from reports.campaign.standing import items
from reports.page.divergences import divergences
from reports.page.essentials import MOST, Essentials, essentials, sentence
from reports.results.verdicts import Verdict
from tests.reports.page.reading import read
from tests.reports.samples import Record, Results, divergence, explain, full_and_broken, sample, small, spoil


def of(results: Results) -> Essentials:
    found = items(results)
    return essentials(divergences(results, causes(found, Verdict.EXPLAINED)), found)


def with_rows(*rows: Record) -> Results:
    return small() | {"divergences": list(rows)}


def defect(name: str = "a", status: str = "defect", **changes: Any) -> Record:
    """A defect of its own cause, which ordinary inputs meet."""
    return divergence(name, status) | {"ordinary": True, "note": f"The cause of {name}."} | changes


# --- which, and in what order


def test_what_explains_most_breaks_comes_first_then_the_defects_that_ordinary_inputs_meet() -> None:
    results = explain(explain(sample(), 5, "often"), 2, "rarely")
    rows = [defect("none"), defect("rarely"), defect("often", "approximation"), defect("extreme", ordinary=False)]
    told = of(results | {"divergences": rows})
    assert [e.reason for e in told.breaking] == ["The cause of often.", "The cause of rarely."]
    assert [e.breaks for e in told.breaking] == [3, 2]
    assert [e.reason for e in told.defects] == ["The cause of none."]
    assert told.further == 1, "what only extreme inputs meet is counted"


@pytest.mark.parametrize("status", ["approximation", "convention", "equal", "not there"])
def test_what_is_no_defect_and_explains_nothing_is_not_among_them(status: str) -> None:
    told = of(with_rows(divergence("a", status, ordinary=True)))
    assert (told.breaking, told.defects, told.further) == ([], [], 0)


def test_a_default_that_is_off_is_met_by_everyone() -> None:
    row = divergence("a", kind="default", what="default", note="By default.")
    assert "ordinary" not in row
    assert len(of(with_rows(row, row | {"id": "b"})).defects) == 2, "each by itself, though their notes are the same"


def test_divergences_of_one_cause_stand_together() -> None:
    note = "exp(−z) overflows."
    rows = [
        defect("value", note=note, function="silu"),
        defect("derivative", note=f"{note} Also at z = -15.0.", what="derivative"),
        defect("more", note=f"{note} A pole."),
        defect("another engine", note=note)
        | {"status": {"torch-eager": "defect", "jax-jit": "defect", "numpy": "equal"}},
    ]
    told = of(with_rows(*rows)).defects
    assert sorted(len(e.rows) for e in told) == [1, 3]


def test_rows_without_a_note_are_causes_of_their_own() -> None:
    assert len(of(with_rows(defect("a", note=""), defect("b", note=""))).defects) == 2


def test_at_most_a_dozen_are_shown_and_the_rest_counted() -> None:
    results = with_rows(*(defect(f"f{n}") for n in range(MOST + 3)))
    assert (len(of(results).defects), of(results).further) == (MOST, 3)
    assert "3 more defects" in read(results).text


# --- what is said


def line(**changes: Any) -> str:
    """The sentence on a divergence with some fields of its own."""
    (row,) = divergences({"divergences": [divergence() | changes]})
    return sentence(row)


def test_a_sentence_says_who_gives_what_and_how_far_off_that_is() -> None:
    torch, jax = {"torch-eager": "0.1666666716337204"}, {"jax-jit": "0.16666666666666666"}
    changes = {
        "function": "hardsigmoid",
        "what": "derivative",
        "equation": "0.16666666666666666",
        "engines": torch | jax,
        "status": {"torch-eager": "defect", "jax-jit": "equal"},
        "departure": {"torch-eager": 2.0**-25},
    }
    text = "torch-eager gives 0.166666672 for the derivative of hardsigmoid in float64 instead of 0.166666667"
    assert line(**changes) == f"{text}, off by 2.7e8 roundings."
    assert line(**changes, note="By 1/6. Also at z = 0.25.") == f"{text}, off by up to 2.7e8 roundings."
    assert line(**changes | {"dtype": "float8"}) == f"{text.replace('float64', 'float8')}."


@pytest.mark.parametrize("departure", [1.0, "Infinity", "NaN", 0.0])
def test_what_is_not_near_has_no_size_but_the_two_numbers(departure: float | str) -> None:
    changes = {"equation": "1.0129990980873921e-05", "engines": {"jax-jit": "0.0"}, "status": {"jax-jit": "defect"}}
    text = line(**changes, dtype="float16", departure={"jax-jit": departure})
    assert text == "jax-jit gives 0 for softplus in float16 instead of 1.01e-05."


def test_engines_with_one_answer_are_named_together() -> None:
    engines = {"torch-eager": "nan", "jax-jit": "inf", "jax-whole": "nan", "numpy": "1.0"}
    status = dict.fromkeys(engines, "defect") | {"numpy": "equal"}
    assert line(engines=engines, status=status, equation="1.0") == (
        "torch-eager and jax-whole give NaN and jax-jit gives ∞ for softplus in float64 instead of 1."
    )


def test_who_is_affected_is_counted_by_engine_function_and_dtype() -> None:
    results = sample() | {"divergences": [defect("kink", "approximation")]}
    spoil(results["cells"][0], explained="kink")
    for record in (*results["cells"][84:86], results["training"][2]):
        spoil(record, explained="kink")
    (told,) = of(results).breaking
    assert told.affected == (
        "1 cell of torch-eager with softplus in float32, 2 cells of torch-eager with softplus in float64 "
        "and 1 training run of jax-jit with softplus in float32"
    )


# --- on the page


def test_the_page_leads_with_what_breaks_unexplained_then_with_what_is_known() -> None:
    shown = read(full_and_broken()).text
    order = ["What breaks", "What an engineer must know", "The ledger of equations", "Activations, outputs and losses"]
    order += ["Breaks that a listed divergence explains", "Where the frameworks differ"]
    assert sorted(order, key=shown.index) == order
    lead = shown[shown.index("What an engineer must know") : shown.index("How to read this")]
    for text in (
        "≠ breaks torch-eager gives 20.5 for softplus in float64 instead of 20.500000001.",
        "It breaks 3 cells of torch-eager with softplus in float32. Linear above its threshold.",
        "At z = 20.5.",
        "torch.nn.functional.softplus(z)",
    ):
        assert text in " ".join(lead.split())


def test_the_reproducer_and_the_row_are_a_click_away() -> None:
    reader = read(with_rows(defect(reproducer={"torch-eager": "print(1)", "jax-jit": "print(2)"})))
    lead = reader.text[: reader.text.index("How to read this")]
    assert "print(1)" in lead
    assert "print(2)" not in lead, "of an engine that is not off"
    assert "#divergence-a" in reader.links
    assert "defect" in lead


def test_where_nothing_is_to_be_known_there_is_no_section() -> None:
    assert "What an engineer must know" not in read(sample()).text
    assert "What an engineer must know" not in read(with_rows(divergence("a", "convention"))).text
