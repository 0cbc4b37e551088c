"""The verdict of a campaign in a sentence."""

import pytest

from reports.verdict import summarise
from tests.reports.samples import (
    Results,
    break_first,
    crash,
    divergence,
    explain,
    full,
    leave_out,
    not_run,
    sample,
    small,
    spoil,
)


def test_everything_holds() -> None:
    results = sample() | {"training": []}
    assert summarise(results).sentence == (
        "All 504 of 504 cells hold: torch-eager, jax-jit and numpy compute backpropagation as equations (1)–(14) say, "
        "in float32 and float64."
    )


def test_training_runs_are_counted_too() -> None:
    assert summarise(sample()).sentence.startswith("All 504 of 504 cells and all 6 of 6 training runs hold: ")


def test_thousands_are_grouped() -> None:
    results = small(1)
    assert summarise(results | {"cells": results["cells"] * 1234}).sentence.startswith("All 1,234 of 1,234 cells hold")


def test_a_break_is_named_and_the_rest_counted() -> None:
    results = break_first(sample(), "14", 2, 1.7)
    for other in results["cells"][1:4]:
        spoil(other, "z", 1, 1.2)
    spoil(results["training"][0], "14", 1, 1.1)
    assert summarise(results).sentence == (
        "torch-eager breaks equation (14) in layer 2 (float32, identity → identity, half_squared_error), "
        "and 3 more cells and 1 more training run break."
    )


def test_explained_breaks_are_counted_apart_from_others() -> None:
    results = explain(break_first(small(4), "14", 2, 1.7), 0, "") | {"divergences": [divergence()]}
    spoil(results["cells"][1], "a", 1, 9e5, explained="softplus-linear")
    assert summarise(results).sentence == (
        "torch-eager breaks equation (14) in layer 2 (float32, identity → identity, half_squared_error); "
        "1 cell breaks where a listed divergence explains it."
    )


def test_explained_breaks_do_not_break() -> None:
    results = full() | {"training": []}
    assert summarise(results).sentence == (
        "1,005 of 1,008 cells hold: torch-eager, jax-jit and numpy compute backpropagation as equations (1)–(14) say, "
        "in float32, float64, float16 and bfloat16; 3 cells break where a listed divergence explains it."
    )


def test_nothing_but_explained_breaks_never_holds() -> None:
    results = explain(small(2), 2, "softplus-linear") | {"divergences": [divergence()]}
    assert summarise(results).sentence == "Nothing holds; 2 cells break where a listed divergence explains it."


def test_a_training_run_that_breaks_is_named() -> None:
    results = sample()
    spoil(results["training"][1], "2a", 1, "Infinity")
    assert summarise(results).sentence == "torch-eager breaks equation (2a) in layer 1 (float64, training on digits)."


def test_a_crash_is_told() -> None:
    results = crash(small(2), "adapter raised RuntimeError: no kernel.\nTraceback ...")
    assert summarise(results).sentence == (
        "torch-eager breaks (float32, identity → identity, half_squared_error): adapter raised RuntimeError: no kernel."
    )


@pytest.mark.parametrize("results", [not_run(sample()), not_run(small()), small(0)])
def test_nothing_run_never_holds(results: Results) -> None:
    assert summarise(results).sentence.startswith("Nothing was audited")
    assert "hold" not in summarise(results).sentence


def test_an_engine_that_was_not_run_is_not_said_to_compute() -> None:
    results = sample()
    for record in results["cells"][168:336] + results["training"][2:4]:
        leave_out(record, "no jax")
    assert summarise(results).sentence == (
        "336 of 504 cells and 4 of 6 training runs hold: torch-eager and numpy compute backpropagation as "
        "equations (1)–(14) say, in float32 and float64; 168 cells and 2 training runs not run."
    )


def test_only_equations_that_were_checked_are_said_to_hold() -> None:
    results = small()
    for record in results["cells"]:
        checked = ("z", "1", "5a", "5b", "6a", "7a", "7b", "8")
        record["checked"] = {e: check for e, check in record["checked"].items() if e in checked}
    assert "as equations (1), (5), (7) and (8) say, in float32" in summarise(results).sentence


def test_only_what_held_is_said_to_hold() -> None:
    results = small(2) | {"divergences": [divergence()]}
    results["cells"][0]["checked"] = {"1": [0.5, 2, 9]}
    spoil(results["cells"][1], "9", 2, 9.0, explained="softplus-linear")
    assert "as equation (1) says, in float32; 1 cell breaks" in summarise(results).sentence


def test_an_equation_that_was_checked_in_one_dtype_is_not_claimed_for_the_other() -> None:
    results = sample(("numpy",)) | {"training": []}
    for record in results["cells"]:
        if record["dtype"] == "float32":
            record["checked"] = {e: c for e, c in record["checked"].items() if e not in ("3", "4", "7b")}
    assert summarise(results).sentence.endswith(
        "as equations (1)–(14) say, in float32 and float64, (3), (4) and (7) in float64 only."
    )


def test_engines_of_which_different_things_were_checked_are_told_apart() -> None:
    results = sample(("numpy", "mine")) | {"training": []}
    for record in results["cells"]:
        if record["engine"] == "mine":
            record["checked"] = {"1": record["checked"]["1"]}
    assert summarise(results).sentence.endswith(
        "numpy computes backpropagation as equations (1)–(14) say, in float32 and float64, "
        "and mine computes backpropagation as equation (1) says, in float32 and float64."
    )


@pytest.mark.parametrize(
    ("how", "does"),
    [
        ("crashed", "torch-eager crashes ("),
        ("timed-out", "torch-eager runs out of time ("),
        ("malformed", "torch-eager gives no trace ("),
        ("breaks", "torch-eager breaks ("),
    ],
)
def test_the_sentence_says_what_an_adapter_does_that_gave_nothing(how: str, does: str) -> None:
    results = crash(small(2), "it is not what it seems")
    results["cells"][0]["verdict"] = how
    assert summarise(results).sentence.startswith(does)
    assert "it is not what it seems" in summarise(results).sentence
