"""Defaults: an answer is recognised as one of the formulas, or as none."""

import numpy as np
import pytest

from reports.divergences import defaults


@pytest.mark.parametrize("printed", ["0.5", "nan", "1.0, 2.0", "RuntimeError: no"])
def test_an_answer_that_is_no_candidate_is_not_recognised(printed):
    assert defaults.recognised(printed, {"one": np.array([1.0])}) == defaults.UNKNOWN
    assert defaults.recognised("1.0", {"one": np.array([1.0])}) == "one"
