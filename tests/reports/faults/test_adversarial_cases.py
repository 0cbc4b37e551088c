"""Cases for honest engines: each follows from its place, is of its kind, and has an answer."""

from collections import Counter
from itertools import product

import numpy as np
import pytest

from adapters.numpy.engine import NumpyEngine
from reference.activations import HIDDEN
from reference.case import Case, to_json
from reference.cases import COMBINATIONS, LARGEST_IN_HALF, LARGEST_TOTAL_INPUT
from reference.network import trace as reference_trace
from reference.rounding import DTYPES, HALF, LARGEST, LIMITS
from reports.faults import adversarial_cases
from reports.faults.adversarial_cases import (
    KINDS,
    STRETCH,
    Unanswerable,
    answerable,
    case_of,
    combination_of,
    draw_answerable,
)

SEED = 2026
CASES = 12


def cases_of(kind, dtype, count=CASES):
    """The first Cases of a kind that have an answer."""
    found = []
    for index in range(count):
        try:
            found.append(case_of(SEED, kind, dtype, index))
        except Unanswerable:
            continue
    assert found, f"no Case of {kind!r} in {dtype} has an answer"
    return found


def inputs_of(case):
    """z of every layer."""
    return reference_trace(case).z


@pytest.mark.parametrize("kind", KINDS)
def test_seed_kind_dtype_and_index_make_the_same_case_again(kind):
    for dtype in DTYPES:
        one, again, other, seeded = (
            to_json(case_of(seed, kind, dtype, index)) for seed, index in ((SEED, 5), (SEED, 5), (SEED, 6), (1, 5))
        )
        assert one == again, dtype
        assert len({one, other, seeded}) == 3, dtype


@pytest.mark.parametrize("kind", KINDS)
def test_every_case_has_the_shape_and_the_combination_of_its_place(kind):
    for dtype, index in product(DTYPES, (0, 7, STRETCH)):
        case = case_of(SEED, kind, dtype, index)
        assert (case.widths, case.samples) == KINDS[kind].shape
        assert (case.hidden, case.output, case.loss) == combination_of(kind, dtype, index)
        assert case.dtype == dtype


def test_combinations_go_through_one_hidden_activation_after_another_and_leave_none_out():
    indices = range(STRETCH * len(HIDDEN))
    by_stretch = [
        {combination_of("kinks", "float32", i).hidden for i in indices[start:][:STRETCH]}
        for start in indices[::STRETCH]
    ]
    assert all(len(hidden) == 1 for hidden in by_stretch)
    assert set.union(*by_stretch) == set(HIDDEN)
    seen = {combination_of(kind, dtype, i) for kind, dtype, i in product(KINDS, DTYPES, indices)}
    assert seen == set(COMBINATIONS)


def test_usual_and_drawn_parameters_both_occur():
    given = [bool(case_of(SEED, "ordinary", "float32", i).parameters) for i in range(20)]
    assert {True, False} == set(given)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not KINDS[kind].beyond])
def test_the_kinds_that_do_not_go_beyond_stay_within_what_a_campaign_draws(kind):
    for dtype in DTYPES:
        for case in cases_of(kind, dtype):
            assert max(np.abs(z).max() for z in inputs_of(case).values()) <= LARGEST_TOTAL_INPUT * 1.01, dtype


@pytest.mark.parametrize("kind", [kind for kind in KINDS if KINDS[kind].beyond])
def test_the_kinds_that_go_beyond_do(kind, dtype):
    largest = [max(np.abs(z).max() for z in inputs_of(case).values()) for case in cases_of(kind, dtype)]
    assert max(largest) > 2 * LARGEST_TOTAL_INPUT


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["float32", "float16"], indirect=True)
def test_no_probability_is_near_a_pole(kind, dtype, monkeypatch):
    names = next(names for names in COMBINATIONS if names.loss == "binary_cross_entropy")
    monkeypatch.setattr(adversarial_cases, "combination_of", lambda *place: names)
    for case in cases_of(kind, dtype, 4):
        limit = LARGEST_IN_HALF if dtype in HALF else LARGEST_TOTAL_INPUT
        assert np.abs(inputs_of(case)[case.last]).max() <= limit * 1.01


def test_kinks_are_met_exactly_and_by_one_number_beside_them(dtype):
    exact, beside = 0, 0
    for case in cases_of("kinks", dtype, 60):
        z = NumpyEngine().trace(case).z[1]
        points = [0.0, 1.0, -1.0, *(kink.at for kink in case.activation(1).kinks)]
        off = np.min([np.abs(z - point) for point in points], axis=0)
        exact += (off == 0).any()
        beside += ((off > 0) & (off <= 2**-6)).any()
    assert exact >= 50
    assert beside >= 1


@pytest.mark.parametrize("loss", ["absolute_error", "huber"])
def test_residuals_meet_the_bends_of_a_loss(loss, monkeypatch):
    names = next(names for names in COMBINATIONS if names.loss == loss and names[:2] == ("relu", "identity"))
    monkeypatch.setattr(adversarial_cases, "combination_of", lambda *place: names)
    at = []
    for case in cases_of("kinks", "float32"):
        trace = NumpyEngine().trace(case)
        r = np.abs(trace.a[case.last] - case.y)
        at.append(np.isin(r, [0.0, *case.criterion.parameters.values()]).mean())
    assert np.mean(at) > 0.2  # of an ordinary draw: none


def test_subnormal_numbers_occur_in_every_place(dtype):
    normal, seen = float(LIMITS[dtype].smallest_normal), Counter()
    for case in cases_of("subnormal", dtype, 20):
        arrays = {"x": case.x, **{f"W{l}": case.W[l] for l in case.layers}, **{f"b{l}": case.b[l] for l in case.layers}}
        seen.update(name for name, array in arrays.items() if ((array != 0) & (np.abs(array) < normal)).any())
    assert set(seen) == {"x", "W1", "W2", "W3", "b1", "b2", "b3"}


def test_whole_arrays_are_zero(dtype):
    cases = cases_of("zeros", dtype, 20)
    assert any(not case.W[2].any() for case in cases)
    assert any(not case.b[3].any() for case in cases)
    assert any(not case.x.any() for case in cases)
    assert any(case.W[2].any() and not case.W[2].any(axis=1).all() for case in cases)


def test_sums_cancel(dtype):
    worst = []
    for case in cases_of("cancelling", dtype):
        size = np.abs(case.x) @ np.abs(case.W[1]).T
        worst.append((size / np.abs(case.x @ case.W[1].T)).max())
    assert np.median(worst) > 100


def test_tiny_weights_are_and_huge_ones_too():
    tiny, usual, huge = (
        np.median([np.abs(case.W[1]).max() for case in cases_of(kind, "float32", 30)])
        for kind in ("tiny weights", "ordinary", "huge weights")
    )
    assert tiny < usual / 16 < usual * 4 < huge


def one_layer(y, output="identity", loss="half_squared_error", x=1.0, dtype="float16"):
    return Case("identity", output, loss, dtype, {1: np.eye(2)}, {1: np.zeros(2)}, np.full((1, 2), x), np.array([y]))


def test_what_has_no_answer_is_none():
    assert answerable(one_layer([0.0, 0.0]))
    assert answerable(one_layer([1.0, 0.0], loss="cosine_distance"))
    with np.errstate(all="ignore"):
        assert not answerable(one_layer([1.0, 0.0], loss="cosine_distance", x=0.0))  # no direction
        assert not answerable(one_layer([0.0, 0.0], x=512.0))  # ½ 512² is above 65504
    assert answerable(one_layer([0.0, 0.0], x=512.0, dtype="bfloat16"))


def test_what_is_too_large_on_the_way_has_no_answer():
    """δW of 1.6·10⁴ times 8 is above 65504, though f' makes it 0; and so is a sum whose terms cancel."""

    def of(W, x, hidden="relu", b=0.0):
        layers = {1: np.eye(2), 2: np.array([W])}
        biases = {1: np.full(2, b), 2: np.zeros(1)}
        return Case(hidden, "identity", "half_squared_error", "float16", layers, biases, np.array([x]), np.ones((1, 1)))

    assert answerable(of([1.0, 1.0], [-2.0, -2.0]))
    assert not answerable(of([4e4, 1.0], [-2.0, -2.0]))
    assert answerable(of([1e4, -1e4], [1.0, 1.0], "identity"))
    assert not answerable(of([1e4, -1e4], [2.0, 2.0], "identity"))


def test_a_factor_that_is_too_large_has_no_answer():
    """∂L/∂a = 1/‖a‖ of 10⁵ is above 65504, though σ' makes it 0."""

    def of(z):
        return one_layer([1.0, 0.0], "sigmoid", "cosine_distance", z)

    assert answerable(of(-7.0))
    assert not answerable(of(-11.5))


def test_a_vector_that_its_roundings_may_make_0_has_no_direction():
    def of(x):
        return one_layer([1.0, 0.0], "tanh", "cosine_distance", x, "float32")

    assert answerable(of(2.0**-100))
    with np.errstate(all="ignore"):
        assert not answerable(of(2.0**-126))
        assert not answerable(of(2.0**-140))


def test_every_drawn_case_has_an_answer(dtype):
    for kind in KINDS:
        for case in cases_of(kind, dtype, 4):
            found = reference_trace(case)
            for part in (found.z, found.a, found.delta, found.dW):
                assert all(np.abs(array).max() < LARGEST[dtype] for array in part.values())
            assert np.isfinite(found.loss)


def test_a_combination_without_an_answer_says_so(monkeypatch):
    names = next(names for names in COMBINATIONS if names[1:] == ("log_softmax", "cosine_distance"))
    monkeypatch.setattr(adversarial_cases, "combination_of", lambda *place: names)
    with pytest.raises(Unanswerable, match="log_softmax, cosine_distance: none of 1000 draws of 'single unit'"):
        draw_answerable(SEED, "single unit", "float32", 0)


def test_draws_without_an_answer_are_counted():
    assert sum(draw_answerable(SEED, "saturated", "float16", index)[1] for index in range(30)) > 0
