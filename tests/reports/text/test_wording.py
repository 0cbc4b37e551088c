"""Words and numbers: nothing reads better than it is, and a formula loses nothing."""

import math
import re
from typing import Any

import pytest

from reference.audit import EQUATIONS
from reports.page import formulas
from reports.text import equations, wording
from tests.reports.samples import finding, small


@pytest.mark.parametrize(
    ("ratio", "text"),
    [
        (0.0, "0"),
        (0.001, "<0.01"),
        (0.314, "0.31"),
        (0.9999, "0.99"),
        (1.0, "1.00"),
        (1.0000001, "1.01"),
        (1.72, "1.7"),
        (9.97, "10"),
        (380.2, "380"),
        (2.1e5, "2.1e5"),
        (1e40, "1.0e40"),
        (math.inf, "∞"),
        (math.nan, "NaN"),
    ],
)
def test_a_ratio_never_looks_like_one_of_the_other_side(ratio: float, text: str) -> None:
    assert wording.ratio_text(ratio) == text
    assert (wording.level(ratio) == "broken") is not (ratio <= 1)


@pytest.mark.parametrize(("ratio", "text"), [(0.001, "0"), (0.314, ".31"), (1.7, "1.7"), (math.nan, "NaN")])
def test_a_short_ratio(ratio: float, text: str) -> None:
    assert wording.short_text(ratio) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [(0.5432, "0.543"), (1.0, "1"), (32.06, "32.1"), (99.96, "100"), (1234.5, "1,230"), (45678, "45,700")],
)
def test_sizes_have_three_digits(size: float, text: str) -> None:
    assert wording.size_text(size) == text


def test_levels_are_fifths_of_the_allowance() -> None:
    assert [wording.level(ratio)[-1] for ratio in (0, 0.19, 0.2, 0.5, 0.79, 0.8, 1)] == [*"0012344"]


@pytest.mark.parametrize(
    ("value", "text"), [(0.1, "0.1"), (None, "NaN"), ("NaN", "NaN"), ("Infinity", "∞"), ("-Infinity", "−∞")]
)
def test_a_value_keeps_its_digits(value: Any, text: str) -> None:
    assert wording.value_text(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.423, "0.42 s"),
        (93.2, "93 s"),
        (120, "2 min"),
        (2463.4, "41 min 3 s"),
        (7500, "2 h 5 min"),
        (math.nan, "—"),
        (math.inf, "—"),
    ],
)
def test_a_duration(seconds: float, text: str) -> None:
    assert wording.duration_text(seconds) == text


def test_numbers_of_equations_are_spans() -> None:
    assert wording.numbers_text((1, 2, 5, 6, 7, 14)) == "equations (1), (2), (5)–(7) and (14) say"
    assert wording.numbers_text((3,)) == "equation (3) says"
    assert wording.numbers_text(()) == "the definitions say"


def test_counts_have_their_plural() -> None:
    assert [wording.counted(n, "cell") for n in (0, 1, 70000)] == ["0 cells", "1 cell", "70,000 cells"]


def test_a_reason_is_clipped_to_its_first_line() -> None:
    assert wording.clipped("no kernel.\nTraceback") == "no kernel"
    assert wording.clipped(None) == "no reason was given"
    assert len(wording.clipped("x" * 500)) == 160


def test_an_element_is_named_as_far_as_it_is_known() -> None:
    assert wording.element_text(finding("14"), False) == "case 3 [1, 4]"
    assert wording.element_text(finding("14"), True) == "step 3 [1, 4]"
    assert wording.element_text(finding("14", worst=None), False) == "—"
    assert wording.element_text(finding("14", worst=None, elements=0), False) == "nothing was compared"


def test_the_context_of_a_cell() -> None:
    assert wording.context(small()["cells"][0]) == "float32, identity → identity, half_squared_error"


# --- formulas


def test_every_equation_has_a_label() -> None:
    assert tuple(equations.LABELS) == EQUATIONS


@pytest.mark.parametrize("equation", EQUATIONS)
def test_a_formula_loses_nothing_on_its_way_to_mathml(equation: str) -> None:
    formula = equations.LABELS[equation].formula
    shown = re.sub(r"<[^>]*>", "", formulas.mathml(formula))
    plain = formula.replace("²", "2").replace("'", "′").replace("Σ", "∑")
    assert sorted(shown) == sorted(re.sub(r"[ _^{}/]", "", plain))


def test_mathml_sets_scripts_and_fractions() -> None:
    assert formulas.mathml("∂L/w_tf^{l+1}") == (
        "<math><mfrac><mrow><mi>∂</mi><mi>L</mi></mrow><mrow><msubsup><mi>w</mi><mrow><mi>t</mi><mi>f</mi></mrow>"
        '<mrow><mi>l</mi><mo stretchy="false">+</mo><mn>1</mn></mrow></msubsup></mrow></mfrac></math>'
    )


def test_nothing_is_no_formula() -> None:
    assert formulas.mathml("") == ""
