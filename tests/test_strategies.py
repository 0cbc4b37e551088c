"""What the strategies draw: everything they say, and down to the smallest Case that fails."""

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, find, given, settings

from reference.case import Case
from reference.losses import LOSSES
from reference.rounding import DTYPES, LIMITS
from tests.strategies import EVERY_KIND, MOST_LAYERS, MOST_SAMPLES, MOST_UNITS, WITHIN, cases

DRAWN = settings(max_examples=20_000, suppress_health_check=list(HealthCheck), phases=[Phase.generate, Phase.shrink])


def met(condition, **about):
    """The smallest Case that Hypothesis finds for a condition."""
    return find(cases(**about), condition, settings=DRAWN)


@settings(max_examples=50, suppress_health_check=list(HealthCheck))
@given(case=cases())
def test_what_is_drawn_is_a_case_within_its_bounds(case):
    assert isinstance(case, Case)
    assert len(case.layers) <= MOST_LAYERS
    assert max(W.shape[1] for W in case.W.values()) <= MOST_UNITS
    assert case.samples <= MOST_SAMPLES


@pytest.mark.parametrize(
    "condition",
    [
        lambda case: len(case.layers) == MOST_LAYERS,
        lambda case: case.samples > 40,
        lambda case: max(len(b) for b in case.b.values()) > 40,
        *(lambda case, dtype=dtype: case.dtype == dtype for dtype in DTYPES),
        lambda case: case.hidden == "hardshrink",
        lambda case: case.output == "log_softmax",
    ],
    ids=["deep", "many samples", "wide", *DTYPES, "hardshrink", "log_softmax"],
)
def test_all_of_it_is_met(condition):
    assert condition(met(condition))


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_is_met(loss):
    assert met(lambda case: True, loss=(loss,)).loss == loss


def small(case):
    normal = float(LIMITS[case.dtype].smallest_normal)
    return any(((W != 0) & (np.abs(W) < normal)).any() for W in case.W.values())


EXTREMES = {
    "zeros": lambda case: not case.W[1].any(),
    "kinks": lambda case: (case.x @ case.W[1].T + case.b[1] == 0).any() and case.W[1].any() and case.x.any(),
    "tiny weights": lambda case: max(np.abs(W).max() for W in case.W.values()) < 2**-6,
    "subnormal": small,
    "saturated": lambda case: max(np.abs(b).max() for b in case.b.values()) > 100,
    "huge weights": lambda case: max(np.abs(W).max() for W in case.W.values()) > 100,
}


@pytest.mark.parametrize("kind", EXTREMES)
def test_every_extreme_is_met(kind):
    assert kind in EVERY_KIND
    assert EXTREMES[kind](met(EXTREMES[kind], kinds=(kind,)))


def test_a_case_that_fails_is_shrunk_to_the_smallest():
    """Of a fault in the third layer from 3 units on, in float16, whatever else there is."""

    def fails(case):
        return case.dtype == "float16" and len(case.layers) >= 3 and len(case.b[3]) >= 3

    case = met(fails)
    assert case.widths == (1, 1, 1, 3)
    assert case.samples == 1
    assert case.hidden == "identity"


def test_what_is_within_is_what_a_campaign_draws():
    assert set(WITHIN) == {"ordinary", "zeros", "kinks", "tiny weights", "subnormal"}
