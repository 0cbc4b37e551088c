"""Smaller Cases that still fail."""

from dataclasses import replace

import numpy as np

from adapters.numpy.engine import NumpyEngine
from reference.cases import Shape
from reports.campaign.failing_cases import cell_of_case, first_number_off
from reports.campaign.shrinking import shrunk
from tests.reports.campaign.failing import drawn


class Wrong(NumpyEngine):
    """δ of the first layer is off by 10⁻⁵."""

    name = "wrong"

    def trace(self, case):
        trace = super().trace(case)
        return replace(trace, delta={**trace.delta, 1: trace.delta[1] * 1.00001})


def breaks(case):
    """Whether a number of the Case is off in the wrong engine."""
    return first_number_off(cell_of_case(Wrong(), "cpu", case)) is not None


def test_a_failing_case_is_made_as_small_as_still_fails():
    case = drawn(shape=Shape((7, 5, 4, 3), 9))
    least = shrunk(case, breaks)
    assert least.samples == 1
    assert [least.W[l].shape for l in least.layers] == [(1, 1), (1, 1), (3, 1)]
    assert breaks(least)


def test_what_makes_it_fail_stays():
    case = drawn(shape=Shape((3, 4, 2), 6))
    guilty = case.x[4]
    least = shrunk(case, lambda each: any(np.array_equal(row, guilty) for row in each.x))
    assert np.array_equal(least.x, guilty[np.newaxis])
