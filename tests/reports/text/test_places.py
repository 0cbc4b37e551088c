"""Where a finding is, in words."""

import pytest

from reports.text import places


@pytest.mark.parametrize(("equation", "text"), [("14", "(14)"), ("z", "(z)"), ("2a", "(2a)"), ("Adam: m", "Adam: m")])
def test_a_line_of_an_optimiser_has_no_number(equation: str, text: str) -> None:
    assert places.place_text(equation, 2) == f"{text} in layer 2"


def test_what_is_of_no_layer_stands_alone() -> None:
    """A training run with a step that is not one of its plan: there no equation breaks."""
    assert places.place_text("plan", 0) == "plan"
