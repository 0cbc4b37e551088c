"""Defaults of optimisers, schedules and clipping: the forms of one name differ."""

import pytest

from reports.divergences import defaults, reproducers
from reports.divergences.optimiser_defaults import training_defaults


@pytest.mark.parametrize("default", training_defaults(), ids=lambda default: default.function)
def test_no_two_forms_of_a_name_give_the_same(default):
    candidates = default.candidates()
    for name, values in candidates.items():
        assert defaults.recognised(reproducers.shown(values).strip("[]"), candidates) == name
