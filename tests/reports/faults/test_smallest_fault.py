"""The smallest detectable fault: what is computed is what the audit does; where it is not, the measurement says so."""

import json
import re
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from reference import rounding as rd
from reference.rounding import DTYPES, UNIT_ROUNDOFF, rounded
from reports.faults import limits, smallest_fault
from reports.faults.smallest_fault import Grid, MeasurementError
from reports.results.fault_records import Sizes
from tests.exhaustive import quick

SQUARE, COUPLED = smallest_fault.NETWORKS


def honest_of(engine, dtype, seed=3, combination=SQUARE):
    return smallest_fault.draw_step(engine, combination, dtype, np.random.default_rng(seed))


@pytest.fixture(scope="module")
def torch(engine_named):
    return engine_named("torch-eager")


DRAWS, VERIFIED = 4, 3


@pytest.fixture(scope="module")
def rows():
    assert smallest_fault.VERIFIED == 10
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(smallest_fault, "VERIFIED", VERIFIED)
        return smallest_fault.measure(7, draws=DRAWS)


# --- the critical ε

SIZES = st.floats(2.0**-8, 2.0**8)


@given(st.sampled_from(DTYPES), SIZES, st.floats(-1, 1), st.floats(0, 100), st.booleans(), st.booleans(), st.data())
def test_the_critical_epsilon_is_where_a_number_leaves_the_interval(dtype, size, offset, width, up, negative, data):
    """Against a search over the numbers of the format, one after another."""
    u, scale = UNIT_ROUNDOFF[dtype], data.draw(st.sampled_from((1, 32)))
    grid, format = Grid(dtype, scale), rd.FORMATS[dtype]
    observed = grid.nearest(np.array([size * (-1 if negative else 1)]))
    allowed = np.abs(observed) * u * (0.5 + width)
    expected = observed + offset * allowed
    assume(not smallest_fault.outside(observed, expected, allowed).any())  # in float64 what is expected rounds as well
    signs = np.array([1.0 if up else -1.0])

    direction = format.type(np.inf * (signs * observed)[0])
    first = (observed / scale).astype(format)
    while not smallest_fault.outside(scale * first.astype(float), expected, allowed).any():
        last, first = first, np.nextafter(first, direction)
    last, first = scale * last.astype(float), scale * first.astype(float)
    by_search = np.abs((last - observed) + (first - last) / 2) / np.abs(observed)

    found = smallest_fault.critical(observed, expected, allowed, signs, grid)
    assert found == pytest.approx(by_search, rel=1e-12, abs=0)
    assert smallest_fault.perturbed(observed, signs, found[0] * (1 + smallest_fault.MARGIN), grid) == first
    assert smallest_fault.perturbed(observed, signs, found[0] * (1 - smallest_fault.MARGIN), grid) == last


def test_an_interval_narrower_than_the_format_leaves_half_an_ulp():
    """Where nothing but the observed number is inside, rounding hides what is below ½ ulp: u at 1, almost ½ u at 2."""
    observed = np.array([1.0, 1.9921875])
    epsilon = smallest_fault.critical(observed, observed, np.full(2, 1e-9), np.ones(2), Grid("bfloat16"))
    assert epsilon == pytest.approx([2.0**-8, 2.0**-8 / 1.9921875], rel=1e-15, abs=0)


def test_an_element_that_does_not_move_is_never_flagged():
    observed = np.array([0.0, 1.0, 1.0])
    epsilon = smallest_fault.critical(observed, observed, np.full(3, 0.1), np.array([1.0, 0.0, -1.0]), Grid("float32"))
    assert (epsilon == np.inf).tolist() == [True, True, False]
    assert epsilon[2] == pytest.approx(0.1, rel=1e-6, abs=0)


def test_there_is_no_relative_floor_where_zero_is_expected():
    check = ("7b", 1, np.array([0.5]), np.array([0.0]), np.array([0.75]))
    epsilon, floor = smallest_fault.smallest(check, np.ones(1), Grid("float32"))
    assert (epsilon, floor) == (pytest.approx(0.5, rel=1e-6, abs=0), np.inf)


def test_an_error_already_made_is_added_or_taken_up():
    observed, expected, allowed = np.array([1.5, 1.5]), np.array([1.25, 1.25]), np.array([0.5, 0.5])
    up, down = smallest_fault.critical(observed, expected, allowed, np.array([1.0, -1.0]), Grid("float64"))
    assert (up, down) == pytest.approx((0.25 / 1.5, 0.75 / 1.5), rel=1e-15, abs=0)


@pytest.mark.parametrize(
    ("observed", "expected", "allowed", "scale", "message"),
    [
        (1.0, 1.5, 0.25, 1, "an honest array is flagged before anything is wrong"),
        (np.nan, 1.5, 0.25, 1, "an honest array is flagged before anything is wrong"),
        (1.0, 1.0, np.nan, 1, "an honest array is flagged before anything is wrong"),
        (0.0, 0.0, 0.25, 1, "an honest array is zero everywhere"),
        (1 + 2.0**-40, 1.0, 0.25, 1, "an honest array holds no 1 times a number of float16"),
        (2.0**-24, 0.0, 0.25, 32, "an honest array holds no 32 times a number of float16"),
        (65504.0, 65504.0, 1e4, 1, "an honest array may be as large as float16 goes"),
    ],
)
def test_a_measurement_of_nothing_honest_is_refused(observed, expected, allowed, scale, message):
    arrays = (np.array([x]) for x in (observed, expected, allowed, 1.0))
    with pytest.raises(MeasurementError, match=f"^{message}$"):
        smallest_fault.critical(*arrays, Grid("float16", scale))


# --- beside the audit itself


TURNS = [
    *product(("numpy", "torch-eager"), DTYPES),
    *quick(product(("jax-jit",), ("float32", "float64", "bfloat16", "float16")), 2),
]


@pytest.mark.parametrize(("engine", "dtype"), TURNS, indirect=["engine"])
@pytest.mark.parametrize("fault", limits.ELEMENTS)
def test_the_audit_turns_at_the_critical_epsilon(engine, dtype, fault):
    """Every equation in every layer, on the audit's own findings: `verify` raises where it does not."""
    for combination in smallest_fault.NETWORKS:
        honest = honest_of(engine, dtype, combination=combination)
        rng, seen = np.random.default_rng(8), set()
        for check in smallest_fault.checks(honest):
            signs = smallest_fault.SIGNS[fault](check[2], rng)
            epsilon, floor = smallest_fault.smallest(check, signs, smallest_fault.grid(honest, check[0]))
            assert epsilon > 0
            assert floor > 0
            smallest_fault.verify(honest, check, signs, epsilon)
            seen.add(check[:2])
        both, hidden = (1, 2, 3), (1, 2)
        layers = dict.fromkeys(("z", "a", "7a", "7b", "2a", "2b", "6a", "6b"), both)
        layers |= {"14": hidden, "13": hidden, "12": (2, 3)} | dict.fromkeys(("8", "1", "9", "10a", "10b"), (3,))
        assert seen == {(equation, l) for equation, where in layers.items() for l in where}


@settings(max_examples=10)
@given(
    seed=st.integers(0, 2**32), dtype=st.sampled_from(DTYPES), network=st.sampled_from(list(smallest_fault.NETWORKS))
)
def test_the_audit_turns_there_in_any_draw(torch, seed, dtype, network):
    rng = np.random.default_rng(seed)
    honest = smallest_fault.draw_step(torch, network, dtype, rng)
    found = list(smallest_fault.critical_in_drawn_layers(honest, smallest_fault.NETWORKS[network], rng, verified=True))
    assert len(found) == len(limits.ELEMENTS) * len(smallest_fault.NETWORKS[network])


@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_a_wrong_critical_epsilon_is_caught(torch, dtype, factor):
    honest, rng = honest_of(torch, dtype), np.random.default_rng(1)
    first = {check[0]: check for check in reversed(smallest_fault.checks(honest))}
    found = {}
    for equation in limits.MEASURED:
        check = first[equation]
        signs = smallest_fault.every(check[2], rng)
        epsilon, _ = smallest_fault.smallest(check, signs, smallest_fault.grid(honest, equation))
        try:
            smallest_fault.verify(honest, check, signs, factor * epsilon)
        except MeasurementError as error:
            found[equation] = str(error)
    said = "is not flagged at 1.0" if factor < 1 else "is flagged at 0.9"
    right = {e for e, text in found.items() if re.match(rf"\({e}\) in layer \d of torch-eager in {dtype} {said}", text)}
    assert right == set(limits.MEASURED), f"{set(limits.MEASURED) - right} are not caught as they should be: {found}"


SAME_ARRAY = [{"z", "12"}, {"7a", "10a"}, {"7b", "10b"}]


def test_a_perturbation_changes_what_its_equation_is_about_and_nothing_else(torch):
    honest = honest_of(torch, "float32")
    before = {check[:2]: check[2] for check in smallest_fault.checks(honest)}
    for (equation, layer), observed in before.items():
        other = smallest_fault.reporting(honest, equation, layer, 2 * observed)
        after = {check[:2]: check[2] for check in smallest_fault.checks(other)}
        changed = {place for place in before if not np.array_equal(before[place], after[place])}
        names = next((same for same in SAME_ARRAY if equation in same), {equation})
        assert changed == {(name, layer) for name in names} & before.keys()
        assert all(np.array_equal(after[place], 2 * observed) for place in changed)


def test_delta_is_stored_as_the_engine_computes_it(engine_named):
    """An autodiff gives δ/N: in float16 the numbers of δ below 2⁻¹⁴ N are N times as far apart."""
    for name, scale in (("torch-eager", 32), ("jax-jit", 32), ("numpy", 1)):
        honest = honest_of(engine_named(name), "float16")
        assert [smallest_fault.grid(honest, e).scale for e in ("9", "14", "7a", "13")] == [scale, scale, 1, 1]


# --- the measurement


def test_every_equation_has_a_row_in_every_dtype(rows):
    expected = [
        (dtype, network, equation)
        for dtype in DTYPES
        for network, equations in (
            ("tanh → sigmoid, half_squared_error", limits.MEASURED),
            ("tanh → softmax, categorical_cross_entropy", ("9",)),
        )
        for equation in equations
    ]
    assert [(row["dtype"], row["network"], row["equation"]) for row in rows] == expected
    assert all((row["engine"], row["draws"], row["verified"]) == ("torch-eager", DRAWS, VERIFIED) for row in rows)


def test_what_is_measured_is_written_as_json(rows):
    assert json.loads(json.dumps(rows, allow_nan=False)) == rows
    for row in rows:
        for fault in limits.ELEMENTS:
            assert set(row[fault]) == set(Sizes.__annotations__)
            assert all(0 < size < np.inf for size in row[fault].values())
            assert row[fault]["median_in_u"] <= row[fault]["in_u"]


def test_the_same_seed_measures_the_same(rows):
    again = [row | {"verified": VERIFIED} for row in smallest_fault.measure(7, ["float16"], draws=DRAWS)]
    assert again == [row for row in rows if row["dtype"] == "float16"]
    assert smallest_fault.measure(8, ["float16"], draws=1) != smallest_fault.measure(7, ["float16"], draws=1)


@pytest.mark.parametrize(
    ("equation", "roundings"),
    [("z", 9), ("7a", 33), ("7b", 32), ("1", 128), ("12", 17), ("2a", 1), ("2b", 1), ("6a", 32)],
)
def test_the_floor_is_at_least_what_first_principles_allow(rows, equation, roundings):
    """γ_{n+1} Σ|w||a| over |z| is (n + 1) u at least, and so for each: a sum is no larger than the sum of the sizes."""
    (row,) = (row for row in rows if (row["equation"], row["dtype"]) == (equation, "float32"))
    for fault in limits.ELEMENTS:
        assert row[fault]["floor_median_in_u"] >= roundings


def test_nothing_below_half_an_ulp_is_ever_flagged(rows):
    assert min(row[fault]["median_in_u"] for row in rows for fault in limits.ELEMENTS) >= 0.5


HONEST = [*product(("numpy", "torch-eager"), DTYPES), *quick(product(("jax-jit", "jax-whole"), DTYPES), 2)]


@pytest.mark.parametrize(("engine", "dtype"), HONEST, indirect=["engine"])
def test_the_honest_error_is_all_that_parts_a_fault_from_its_floor(engine, dtype):
    """ε |observed| is between 0 and 2 allowed, to within the step between two numbers."""
    honest = honest_of(engine, dtype)
    for equation, _, observed, expected, allowed in smallest_fault.checks(honest):
        grid = smallest_fault.grid(honest, equation)
        signs = smallest_fault.every(observed, np.random.default_rng(5))
        epsilon = smallest_fault.critical(observed, expected, allowed, signs, grid)
        size = np.abs(observed)
        step = np.maximum(2 * UNIT_ROUNDOFF[dtype] * (size + 2 * allowed), grid.scale * 2.0**-24)
        moves = observed != 0
        assert (epsilon[moves] * size[moves] <= (2 * allowed + step)[moves]).all(), equation


@pytest.mark.parametrize(("count", "expected"), [(1, 1), (19, 19), (20, 19), (200, 190), (201, 191)])
def test_95_percent_are_at_least_95_percent(count, expected):
    sizes = np.random.default_rng(0).permutation(np.arange(1.0, count + 1))
    found = smallest_fault.at_least(0.95, sizes)
    assert found == expected
    assert np.mean(sizes <= found) >= 0.95
    assert np.mean(sizes < found) < 0.95


def test_a_summary_is_in_units_of_u():
    pairs = [(i * 2.0**-8, 3 * i * 2.0**-8) for i in range(1, 101)]
    assert smallest_fault.sizes(pairs, 2.0**-8) == {
        "in_u": 95,
        "median_in_u": 50,
        "floor_in_u": 285,
        "floor_median_in_u": 150,
    }


@pytest.mark.parametrize("moved", [0.99, 1.01])
def test_the_measurement_runs_the_audit_itself(monkeypatch, moved):
    """With the computed ε off by a hundredth, the first draws already tell."""
    exact = smallest_fault.critical
    monkeypatch.setattr(smallest_fault, "critical", lambda *check: moved * exact(*check))
    with pytest.raises(MeasurementError, match=r"^\(z\) in layer \d of torch-eager in float32 is (not )?flagged at "):
        smallest_fault.measure(7, ["float32"], draws=1)


def test_each_equation_is_measured_in_one_element_and_in_all(torch, monkeypatch):
    exact, drawn = smallest_fault.critical, []

    def recorded(observed, expected, allowed, signs, grid):
        drawn.append(signs)
        return exact(observed, expected, allowed, signs, grid)

    monkeypatch.setattr(smallest_fault, "critical", recorded)
    honest = honest_of(torch, "float32")
    found = list(
        smallest_fault.critical_in_drawn_layers(honest, limits.MEASURED, np.random.default_rng(2), verified=False)
    )
    assert [place[:2] for place in found] == [(e, fault) for e in limits.MEASURED for fault in ("one", "all")]
    for single, whole in zip(drawn[::2], drawn[1::2], strict=True):
        assert np.count_nonzero(single) == 1
        assert set(whole.flat) == {-1.0, 1.0} if whole.size > 1 else whole.size == 1


def test_one_element_is_drawn_from_all_that_are_not_zero_and_all_are_all():
    rng, observed = np.random.default_rng(4), np.array([[0.0, 1.0, -2.0], [0.0, 0.0, 3.0]])
    drawn = [smallest_fault.one(observed, rng) for _ in range(60)]
    assert all(np.abs(signs).sum() == 1 for signs in drawn)
    assert {tuple(map(int, (np.flatnonzero(s)[0], s.sum()))) for s in drawn} == {
        (i, d) for i in (1, 2, 5) for d in (1, -1)
    }
    every = [smallest_fault.every(observed, rng) for _ in range(20)]
    assert all((np.abs(signs) == 1).all() for signs in every)
    assert (np.ptp(every, axis=0) == 2).all()


def test_the_floor_is_the_smallest_of_the_elements_that_move():
    observed, allowed = np.array([1.0, 2.0, 4.0]), np.array([0.5, 0.5, 0.25])
    check = ("z", 1, observed, observed, allowed)
    assert smallest_fault.smallest(check, np.ones(3), Grid("float64"))[1] == 0.0625
    assert smallest_fault.smallest(check, np.array([0.0, -1.0, 0.0]), Grid("float64"))[1] == 0.25


def test_an_engine_that_is_not_honest_is_not_measured(torch, monkeypatch):
    train = type(torch).train

    def wrong(self, case, plan):
        for step in train(self, case, plan):
            db = {**step.trace.db, 2: rounded(1.5 * step.trace.db[2], case.dtype)}
            yield replace(step, trace=replace(step.trace, db=db))

    monkeypatch.setattr(type(torch), "train", wrong)
    with pytest.raises(MeasurementError, match=r"^an honest array is flagged before anything is wrong$"):
        smallest_fault.measure(7, ["float32"], draws=12)


def test_an_engine_that_lacks_the_network_says_why(torch, monkeypatch):
    monkeypatch.setattr(type(torch), "supports", lambda self, case: "no tanh today")
    with pytest.raises(MeasurementError, match=r"^engine 'torch-eager' cannot be measured: no tanh today$"):
        smallest_fault.measure(7, ["float32"], draws=1)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"draws": 0}, r"draws is 0, but should be at least 1"),
        (
            {"dtypes": ["float32", "float8"]},
            r"dtype 'float8' is unknown: choose from float32, float64, float16, bfloat16",
        ),
        ({"engine": "mine.py:Mine"}, r"engine 'mine.py:Mine' is unknown: choose from numpy, torch-eager, "),
    ],
)
def test_what_cannot_be_measured_is_named(asked, message):
    with pytest.raises(MeasurementError, match=f"^{message}"):
        smallest_fault.measure(7, **asked)
