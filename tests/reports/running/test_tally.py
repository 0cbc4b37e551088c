"""The tally: the worst finding of every equation and layer, and all that was compared."""

import math
from itertools import product

import numpy as np
import pytest

from reference.audit import Finding, Worst
from reports.running.tally import Tally, badness, finding_record, shortened


def finding(ratio, elements=4, equation="7a", layer=1):
    return Finding(equation, layer, ratio, elements, Worst((0, 1), 1.5, 1.0, 0.5) if elements else None)


@pytest.mark.parametrize("ratios", list(product((0.5, 3.0, math.nan, math.inf), repeat=2)), ids=str)
def test_the_worst_is_kept_whatever_comes_first(ratios):
    tally = Tally()
    for case, ratio in enumerate(ratios):
        tally.add([finding(ratio)], case)
    kept, case = tally.worst["7a", 1]
    assert badness(kept) == max(badness(finding(ratio)) for ratio in ratios)
    assert tally.holds() is all(ratio <= 1 for ratio in ratios)
    assert tally.elements["7a", 1] == 8
    assert badness(finding(ratios[case])) == badness(kept), "the case is not the one of the worst"


@pytest.mark.parametrize("order", [(0, 4), (4, 0)])
def test_a_finding_that_compared_nothing_is_the_worst(order):
    tally = Tally()
    for case, elements in enumerate(order):
        tally.add([finding(0.1, elements)], case)
    assert tally.worst["7a", 1][0].elements == 0
    assert not tally.holds()


def test_an_empty_tally_does_not_hold():
    assert Tally().holds() is False
    assert Tally().add([], 0) == 0.0


def test_add_gives_the_largest_ratio():
    assert Tally().add([finding(0.2), finding(0.9, layer=2), finding(0.3, layer=3)], 0) == 0.9
    assert Tally().add([finding(0.2), finding(math.nan, layer=2)], 0) == math.inf


def test_equations_and_layers_are_kept_apart():
    tally = Tally()
    tally.add([finding(0.1), finding(0.2, layer=2), finding(0.3, equation="7b")], 0)
    assert {key: kept.ratio for key, (kept, _) in tally.worst.items()} == {
        ("7a", 1): 0.1,
        ("7a", 2): 0.2,
        ("7b", 1): 0.3,
    }


def test_what_is_checked_has_the_worst_layer_and_all_elements():
    tally = Tally()
    tally.add([finding(0.1), finding(0.4, 6, layer=2), finding(0.2, layer=3), finding(0.3, 1, equation="7b")], 0)
    tally.add([finding(0.2), finding(0.3, 6, layer=2), finding(0.35, layer=3)], 1)
    assert tally.checked() == {"7a": (0.4, 2, 28), "7b": (0.3, 1, 1)}


@pytest.mark.parametrize("order", [(0.5, math.nan, 7.0), (math.nan, 7.0, 0.5), (7.0, 0.5, math.nan)], ids=str)
def test_a_layer_that_is_no_number_is_the_worst_of_what_is_checked(order):
    tally = Tally()
    tally.add([finding(ratio, layer=layer) for layer, ratio in enumerate(order, start=1)], 0)
    ratio, layer, elements = tally.checked()["7a"]
    assert math.isnan(ratio), f"the worst of {order} is {ratio}, but should be NaN"
    assert elements == 12
    assert math.isnan(order[layer - 1])


def test_only_what_does_not_hold_and_is_the_worst_is_diagnosed():
    tally, diagnosed = Tally(), []

    def diagnosis(found):
        diagnosed.append(found.ratio)
        return f"said of {found.ratio}" if found.ratio != 7.0 else None

    tally.add([finding(0.9), finding(1.5, layer=2), finding(0.5, layer=3)], 0, diagnosis)
    tally.add([finding(0.8), finding(1.25, layer=2), finding(3.0, layer=3)], 1, diagnosis)
    tally.add([finding(7.0, layer=3)], 2, diagnosis)
    assert diagnosed == [1.5, 3.0, 7.0]
    assert [f["diagnosis"] for f in tally.broken()] == ["said of 1.5", "said of 3.0"]


def test_broken_are_the_findings_that_do_not_hold():
    tally = Tally()
    tally.add([finding(0.9), finding(1.1, layer=2), finding(math.nan, layer=3), finding(0.1, 0, layer=4)], 6)
    assert [(found["layer"], found["elements"]) for found in tally.broken()] == [(2, 4), (3, 4), (4, 0)]
    assert tally.broken()[0]["worst"]["case"] == 6


@pytest.mark.parametrize(
    ("ratio", "short"),
    [
        *((0.0, 0.0), (1.0, 1.0), (0.25, 0.25), (0.12345, 0.1235), (0.12341, 0.1235), (1.00001, 1.001)),
        *((0.99991, 1.0), (99999.0, 1e5), (1.2345678e-300, 1.235e-300), (3.0000001e12, 3.001e12), (math.inf, math.inf)),
    ],
)
def test_shortened(ratio, short):
    assert shortened(ratio) == short


def test_shortened_never_rounds_down():
    rng = np.random.default_rng(0)
    ratios = [1.0, np.nextafter(1, 2), np.nextafter(1, 0), *np.exp2(rng.uniform(-1000, 1000, 20_000))]
    ratios += [*(float(f"{digits:.4g}") for digits in rng.uniform(1, 10, 2_000)), *np.exp2(np.arange(-1020.0, 1020.0))]
    for ratio in map(float, ratios):
        short = shortened(ratio)
        assert ratio <= short <= 1.0011 * ratio, f"{ratio!r} is shortened to {short!r}"
        assert float(f"{short:.4g}") == short
    assert shortened(np.nextafter(1, 2)) > 1, "what breaks reads as if it held"


def test_shortened_keeps_nan():
    assert math.isnan(shortened(math.nan))


def test_finding_record():
    assert finding_record(finding(0.5), 7, 40) == {
        "equation": "7a",
        "layer": 1,
        "ratio": 0.5,
        "elements": 40,
        "worst": {"case": 7, "index": (0, 1), "observed": 1.5, "expected": 1.0, "allowed": 0.5},
        "diagnosis": None,
    }
    assert finding_record(finding(1.5), 7, 40, "a sentence")["diagnosis"] == "a sentence"
    assert finding_record(finding(math.nan, 0), 7, 0)["worst"] is None
