"""The inputs of a sweep, and how the error at them is counted."""

import ml_dtypes
import numpy as np
import pytest
from flint import arb

from reference.rounding import FORMATS, LARGEST, UNDERFLOW, UNIT_ROUNDOFF, rounded
from reports.accuracy import errors, true_values
from reports.accuracy.errors import WorstErrors, compared, drawn, merged, patterns, spacing, updated, worse

pytestmark = pytest.mark.usefixtures("ball_precision")


# --- the inputs


def test_no_chunk_is_empty_or_too_large(monkeypatch):
    """The NaN of float32 have 2²³ patterns in a row, more than a chunk of every one; here a chunk of every 1024th."""
    monkeypatch.setattr(errors, "CHUNK", 2**10)
    lengths = [len(x) for x in patterns("float32", 2**10, 0, 0)]
    assert sum(lengths) == 2**22 - 2 * 2**13
    assert min(lengths) > 0, "a chunk is empty"
    assert max(lengths) <= errors.CHUNK
    dense = [len(x) for x in patterns("float32", 2**22, 3 * 2**10 + 5, 0)]
    assert max(dense) <= errors.CHUNK, f"a chunk has {max(dense)} inputs, but should have at most {errors.CHUNK}"
    assert sum(dense) > 3 * 2**10


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("count", [4000, 17, 1])
def test_drawn_inputs_cover_what_they_claim(dtype, count):
    x = drawn(np.random.default_rng(0), count, dtype)
    assert len(x) == count
    assert np.array_equal(x, rounded(x, dtype))
    assert np.abs(x).max() <= 80
    if count == 4000:
        assert np.mean(np.abs(x) <= errors.ORDINARY) > 0.7
        assert np.abs(x).min() < 2.0**-50
        assert min(np.mean(x > 0), np.mean(x < 0)) > 0.4


# --- how an error is counted


@pytest.mark.parametrize("of_balls", [False, True], ids=["numbers", "balls"])
def test_an_error_is_counted_in_ulp_and_in_roundings(dtype, of_balls):
    u = UNIT_ROUNDOFF[dtype]
    true = np.array([1.0, 1.5, 4.0, -0.75, 0.0])
    scale = np.array([1.0, 3.0, 8.0, 0.75, 1.0])
    observed = np.array([1.0, 1.5 + 6 * u, 4.0, -0.75, 0.0])
    x = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    pair = compared(observed, true_values.balls(true) if of_balls else true, dtype)
    found = updated(WorstErrors(), x, *pair, scale, 0.0, dtype)
    assert (found.inputs, found.at, found.ulp_at) == (5, 2.0, 2.0)
    assert np.isclose(found.roundings, 2.0, rtol=1e-6)
    assert np.isclose(found.ulp, 3.0, rtol=1e-6)
    assert found.beyond == found.roundings


def test_one_ulp_is_the_spacing_of_the_format(dtype):
    f = ml_dtypes.finfo(FORMATS[dtype])
    assert spacing(np.array([1.0, 1.5, 2.0, -3.0]), dtype).tolist() == [float(f.eps) * n for n in (1, 1, 2, 2)]
    smallest = float(f.smallest_subnormal)
    tiny = spacing(np.array([0.0, smallest]), dtype)
    assert (tiny == (smallest if dtype != "float64" else 5e-324)).all()


def test_errors_beyond_what_is_claimed_are_kept_apart(dtype):
    x = np.array([1.0, 50.0, -20.0, 3.0, 2.0**-16 * UNDERFLOW[dtype], 2.0])
    error = np.array([1.0, 9.0, 4.0, 2.0, 30.0, 20.0]) * UNIT_ROUNDOFF[dtype]
    claimed = np.array([True, True, True, True, True, False])
    found = updated(WorstErrors(), x, error, np.ones(6), np.ones(6), 0.0, dtype, claimed)
    assert (found.roundings, found.at) == (4.0, -20.0)
    assert (found.ulp, found.ulp_at) == (2.0, -20.0)
    assert (found.beyond, found.beyond_at) == (30.0, x[4])


@pytest.mark.parametrize("of_balls", [False, True], ids=["numbers", "balls"])
def test_what_is_no_number_is_infinitely_off(of_balls):
    true = np.array([1.0, 2.0, 0.0])
    observed = np.array([np.nan, -np.inf, np.inf])
    error, _ = compared(observed, true_values.balls(true) if of_balls else true, "float32")
    assert error.tolist() == [np.inf] * 3


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_an_overflow_is_no_error_where_the_true_value_is_too_large(dtype):
    largest = LARGEST[dtype]
    true = np.array([1.001 * largest, -2 * largest, 1.001 * largest, 0.99 * largest, np.inf])
    observed = np.array([np.inf, -np.inf, -np.inf, np.inf, np.inf])
    error, _ = compared(observed, true, dtype)
    assert error.tolist() == [0.0, 0.0, np.inf, np.inf, 0.0]


def test_an_underflow_is_no_rounding():
    tiny = np.array([2.0**-130])
    found = updated(WorstErrors(), tiny, *compared(np.zeros(1), tiny, "float32"), tiny, UNDERFLOW["float32"], "float32")
    assert (found.roundings, found.beyond) == (0.0, 0.0)


def test_an_error_where_nothing_may_err_is_infinite():
    pair = compared(np.ones(1), [arb(0)], "float32")
    assert updated(WorstErrors(), np.ones(1), *pair, np.zeros(1), 0.0, "float32").roundings == np.inf


def test_nothing_is_updated_by_nothing():
    before = WorstErrors(3, 1.0, 2.0, 1.0, 2.0, 1.0, 2.0)
    assert updated(before, *(np.zeros(0),) * 4, 0.0, "float32") == before


def test_the_worse_of_each_error_is_kept_and_inputs_are_added():
    one = WorstErrors(3, 1.0, "a", 5.0, "b", 1.0, "c")
    other = WorstErrors(4, 2.0, "d", 4.0, "e", np.inf, "f")
    assert worse(one, other) == worse(other, one) == WorstErrors(7, 2.0, "d", 5.0, "b", np.inf, "f")
    assert merged({"x": one}, {"y": other}) == {"x": one, "y": other}
    assert merged({"x": one}, {"x": other}) == {"x": worse(one, other)}
