"""The bounds: never below what honest arithmetic does to operands within theirs, and no larger than stated.

Honest arithmetic is the exact result, a fraction, rounded to float32. The bound is that of the float32 format alone.
"""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from reference import bounded
from reference.bounded import (
    Bounded,
    Format,
    absolute,
    either,
    exactly,
    least,
    maximum,
    once_rounded,
    plain,
    sign,
    sqrt,
)
from reference.rounding import UNDERFLOW, UNIT_ROUNDOFF

REFERENCE = UNIT_ROUNDOFF["float64"]
FORMAT = Format(UNIT_ROUNDOFF["float32"] + REFERENCE, UNDERFLOW["float32"])
COARSE = Format(UNIT_ROUNDOFF["bfloat16"] + REFERENCE, UNDERFLOW["bfloat16"])

OPERATIONS = {
    "+": lambda x, y: x + y,
    "-": lambda x, y: x - y,
    "*": lambda x, y: x * y,
    "/": lambda x, y: x / y,
}
operations = pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)

numbers = st.builds(
    lambda s, m, e: s * m * 2.0**e, st.sampled_from([-1, 1]), st.floats(1, 2, width=32), st.integers(-60, 60)
)
shares = st.floats(0, 0.5)
places = st.floats(-1, 1)


def given_within(x, share):
    """x within that share of its size."""
    return Bounded(np.float64(x), np.float64(share * abs(x)), FORMAT)


def somewhere(x, place):
    """A number of float32 within the bound of x, towards an end of it as `place` goes to −1 and 1."""
    number = float32(Fraction(float(x.value)) + Fraction(place) * Fraction(float(x.bound)))
    assume(holds(x, number))
    return number


def float32(fraction):
    """The nearest number of float32, subnormal results flushed to zero."""
    with np.errstate(under="ignore"):
        number = np.float32(float(fraction))
    return Fraction(0) if abs(number) < 2.0**-126 else Fraction(float(number))


def holds(result, number):
    return abs(number - Fraction(float(result.value))) <= Fraction(float(result.bound))


@operations
@given(numbers, numbers, shares, shares, places, places)
def test_a_bound_contains_what_honest_arithmetic_makes_of_operands_within_theirs(operation, x, y, sx, sy, px, py):
    x, y = given_within(x, sx), given_within(y, sy)
    result = operation(x, y)
    assert holds(result, float32(operation(somewhere(x, px), somewhere(y, py))))


@given(numbers, shares, places)
def test_a_bounded_root_contains_the_honest_one(x, share, place):
    x = given_within(abs(x), share)
    assert holds(sqrt(x), float32(np.sqrt(float(somewhere(x, place)))))


@given(st.floats(0.01, 1), st.floats(0, 1e-3), places, st.integers(1, 40))
def test_a_bounded_power_contains_the_honest_one(x, share, place, n):
    x = given_within(x, share)
    assert holds(x**n, float32(somewhere(x, place) ** n))


@given(st.floats(0.1, 0.99), st.floats(0, 10), st.floats(0, 1e-3), places)
def test_a_bounded_exponent_contains_the_honest_power(c, x, share, place):
    x = given_within(x, share)
    assert holds(c**x, float32(c ** float(somewhere(x, place))))


@given(numbers, numbers, shares, shares, places, places)
def test_size_maximum_and_sign_contain_those_of_any_number_within(x, y, sx, sy, px, py):
    x, y = given_within(x, sx * 3), given_within(y, sy * 3)
    inside, other = somewhere(x, px), somewhere(y, py)
    assert holds(absolute(x), abs(inside))
    assert holds(maximum(x, y), max(inside, other))
    assert holds(sign(x), (inside > 0) - (inside < 0))


@given(numbers, shares, places, st.floats(2**-20, 1, width=32))
def test_a_root_and_what_is_added_to_it_are_not_below_their_floor(x, share, place, eps):
    x = given_within(abs(x), share * 4)
    number = float(somewhere(x, place))
    assume(number >= 0)
    root = float32(np.sqrt(number))
    for result, honest in ((sqrt(x), root), (sqrt(x) + eps, float32(root + Fraction(eps)))):
        assert least(result) <= honest
        assert holds(result, honest)
    assert holds(1 / (sqrt(x) + eps), float32(1 / float32(root + Fraction(eps))))


# --- as large as stated, and no larger


def draw(seed, n=4000):
    rng = np.random.default_rng(seed)
    return (np.float32(2) ** rng.uniform(-3, 3, n)).astype(np.float32)


def worst_share(result, observed):
    return np.max(np.abs(observed.astype(np.float64) - result.value) / result.bound)


@operations
def test_exact_operands_make_one_rounding_and_a_quotient_two(operation):
    x, y = draw(1), draw(2)
    observed = x * (np.float32(1) / y) if operation is OPERATIONS["/"] else operation(x, y)
    share = worst_share(operation(exactly(x, FORMAT), exactly(y, FORMAT)), observed)
    assert 0.7 < share <= 1


def test_a_root_makes_one_rounding():
    x = draw(3)
    assert 0.7 < worst_share(sqrt(exactly(x, FORMAT)), np.sqrt(x)) <= 1


@operations
def test_half_the_unit_roundoff_is_caught(operation):
    x, y = draw(1), draw(2)
    half = Format(FORMAT.u / 2, FORMAT.underflow)
    observed = x * (np.float32(1) / y) if operation is OPERATIONS["/"] else operation(x, y)
    assert worst_share(operation(exactly(x, half), exactly(y, half)), observed) > 1


def test_the_bound_of_a_sum_is_that_of_its_parts_and_a_rounding():
    x, y = Bounded(np.float64(3), np.float64(0.5), FORMAT), Bounded(np.float64(-2), np.float64(0.25), FORMAT)
    assert (x + y).bound == pytest.approx(0.75 + FORMAT.u * 1.75, rel=1e-12)
    assert (x - y).bound == pytest.approx(0.75 + FORMAT.u * 5.75, rel=1e-12)
    assert (x * y).bound == pytest.approx(3 * 0.25 + 2 * 0.5 + 0.125 + FORMAT.u * 7.875, rel=1e-9)
    assert (x / y).bound == pytest.approx((0.5 + 1.5 * 0.25) / 1.75, rel=1e-6)


def test_underflow_has_its_step():
    tiny = exactly(2.0**-100, FORMAT)
    assert (tiny * tiny).bound >= FORMAT.underflow
    assert exactly(2.0**-130, FORMAT).bound == 2.0**-130
    assert exactly(2.0**-126, FORMAT).bound == 0


# --- exact operations


def test_nothing_is_rounded_where_the_result_is_exact():
    x = exactly([0.1, -3.0, 1e30], FORMAT)
    zero, one = exactly(0, FORMAT), exactly(1, FORMAT)
    for result in (x + 0, 0 + x, x - zero, x * 1, one * x, x / 1, x * -1, x * 0, 0 / x, -x):
        assert np.array_equal(result.bound, np.zeros(3))


def test_a_zero_that_is_not_exact_is_rounded():
    x, zero = exactly(0.1, FORMAT), Bounded(np.float64(0), np.float64(1e-3), FORMAT)
    assert (x + zero).bound > 1e-3
    assert (x * zero).bound > 1e-4


def test_an_infinite_number_has_no_rounding_error():
    infinite, one = exactly(np.inf, FORMAT), exactly(2.0, FORMAT)
    with np.errstate(all="ignore"):
        for result in (infinite + one, infinite * one, sqrt(infinite), absolute(infinite), maximum(infinite, one)):
            assert result.value == np.inf
            assert result.bound == 0
        assert (one / infinite).value == 0


# --- edges


def test_a_denominator_that_may_be_zero_leaves_no_bound():
    x, y = exactly([1.0, 1.0], FORMAT), Bounded(np.array([1.0, 1.0]), np.array([0.5, 1.0]), FORMAT)
    assert np.isfinite((x / y).bound).tolist() == [True, False]


def test_a_root_of_what_is_negative_by_rounding_only_is_zero():
    x = Bounded(np.array([-1e-9, -1.0]), np.array([1e-8, 1e-8]), FORMAT)
    with np.errstate(invalid="ignore"):
        root = sqrt(x)
    assert root.value[0] == 0
    assert root.bound[0] >= np.sqrt(9e-9)  # the root of its upper end
    assert np.isnan(root.value[1])


def test_a_denominator_with_a_floor_leaves_a_bound():
    root = sqrt(Bounded(np.float64(1e-9), np.float64(1e-8), FORMAT))
    assert least(root) == pytest.approx(0, abs=1e-30)
    assert least(root + 1e-6) == pytest.approx(1e-6, rel=1e-6)
    assert np.isfinite((1 / (root + 1e-6)).bound)
    assert (1 / root).bound == (1 / -(root + 1e-6)).bound == np.inf
    assert least(either(root + 1e-6, root + 2e-6)) == least(root + 1e-6)
    assert least((root + 1e-6).within(1e-7)) == pytest.approx(9e-7, rel=1e-5)
    assert least(exactly(2.0, FORMAT) + 1) == pytest.approx(3 - 3 * FORMAT.u)


def test_a_sign_that_rounding_may_turn_may_be_any():
    x = Bounded(np.array([0.5, 0.5, 0.0, 0.0]), np.array([0.1, 0.5, 0.1, 0.0]), FORMAT)
    assert sign(x).value.tolist() == [1, 1, 0, 0]
    assert sign(x).bound.tolist() == [0, 2, 1, 0]


# --- formats, plain numbers and arrays


def test_the_coarser_of_two_formats_rounds():
    fine, coarse = exactly(0.1, FORMAT), exactly(3.0, COARSE)
    for result in (fine * coarse, coarse * fine):
        assert result.format == COARSE
        assert result.bound == pytest.approx(2 * 0.3 * COARSE.u, rel=0.01)  # 0.1 is rounded, and the product
    assert (exactly(1, FORMAT) * coarse).bound == 0


def test_a_plain_number_is_exact():
    x = exactly(3.0, FORMAT)
    assert (0.1 * x).bound == pytest.approx(0.3 * FORMAT.u, rel=1e-6)
    assert (x - 0.1).bound == (0.1 - x).bound == pytest.approx(2.9 * FORMAT.u, rel=1e-6)
    assert (1 / x).value == 1 / 3


def test_an_array_on_the_left_leaves_the_operation_to_the_bounded():
    assert (np.array([1.0, 2.0]) * exactly(3.0, FORMAT)).value.tolist() == [3, 6]


def test_a_number_that_was_rounded_once_is_within_a_rounding_unless_every_format_has_it():
    assert once_rounded(0.999, FORMAT).bound == pytest.approx(0.999 * FORMAT.u)
    assert once_rounded(0, FORMAT).bound == once_rounded(1, FORMAT).bound == 0


def test_a_square_is_one_product_and_a_power_at_least_two_roundings():
    x = exactly(0.9, FORMAT)
    assert (x**2).bound == pytest.approx(0.81 * FORMAT.u)
    assert (x**1).bound == pytest.approx(2 * 0.9 * FORMAT.u)
    assert (x**10).bound == pytest.approx(9 * 0.9**10 * FORMAT.u)
    assert bounded.POWER == 2


def test_functions_take_arrays_and_give_what_numpy_does():
    x, y = np.array([4.0, 9.0], dtype=np.float32), np.array([-5.0, 10.0], dtype=np.float32)
    assert np.array_equal(sqrt(x), np.sqrt(x))
    assert np.array_equal(absolute(y), np.abs(y))
    assert np.array_equal(maximum(x, y), np.maximum(x, y))
    assert np.array_equal(sign(y), np.sign(y))
    assert sqrt(x).dtype == np.float32
    assert either(x, y) is x
    assert plain(x) is x


def test_groupings_share_the_first_value_and_the_largest_bound():
    x = exactly(np.array([1.0, 1e-3]), FORMAT)
    groupings = (0.3 * x + 0.7 * x, x * (0.3 + 0.7), x + 0.3 * (x - 1))
    result = either(*groupings)
    assert np.array_equal(result.value, groupings[0].value)
    assert np.array_equal(result.bound, np.max([grouping.bound for grouping in groupings], axis=0))


@given(numbers, numbers, shares, shares)
def test_the_bound_grows_with_those_of_the_operands(x, y, sx, sy):
    assume(sx > 0 or sy > 0)
    wide = given_within(x, sx), given_within(y, sy)
    narrow = given_within(x, 0), given_within(y, 0)
    for operation in OPERATIONS.values():
        assert operation(*wide).bound >= operation(*narrow).bound
