"""The envelope: honest engines stay inside, an engine with other numbers leaves it."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from reference.cases import Combination, Shape, draw_case
from reference.optimisers import optimiser
from reference.training import Plan, descent, draw_batches
from reports.trajectories.envelope import MEMBERS, PAIRS, ensemble, envelope, growth, outside
from reports.trajectories.steps import flat

NAMES = Combination("tanh", "softmax", "categorical_cross_entropy_on_logits")
STEPS = 24
BATCHES = draw_batches(np.random.default_rng(1), 30, 8, 9)[:STEPS]


def case_of(dtype):
    return draw_case(np.random.default_rng(0), NAMES, Shape((5, 7, 3), 30), dtype)


def plan_of(name, **h):
    return Plan(BATCHES, optimiser(name, **h))


def drawn(case, plan, seed=3):
    thetas, distances = zip(*ensemble(case, plan, np.random.default_rng(seed)), strict=True)
    return np.array(thetas), np.array(distances)


@cache
def drawn_for(name, dtype):
    """An ensemble against which several engines are held."""
    return drawn(case_of(dtype), plan_of(name, learning_rate=0.05))


def distance(engine, case, plan, thetas):
    made = engine.train(case, plan)
    return np.array([np.linalg.norm(flat(s.new_W, s.new_b) - t) for s, t in zip(made, thetas, strict=True)])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["gradient_descent", "momentum", "adam"])
@pytest.mark.parametrize("engine", ["numpy", "torch-eager", "jax-jit"])
def test_honest_engines_stay_inside(engine, name, dtype, engine_named):
    case, plan = case_of(dtype), plan_of(name, learning_rate=0.05)
    thetas, distances = drawn_for(name, dtype)
    assert distances.shape == (STEPS, len(PAIRS[0])) == (STEPS, (MEMBERS + 1) * MEMBERS // 2)
    apart = distance(engine_named(engine), case, plan, thetas)
    ratio, left = outside(apart, envelope(distances))
    assert left is None
    assert ratio <= 1
    assert (ratio > 0) is (engine != "numpy" or dtype == "float32")


WRONG = {
    "another rate": lambda plan: replace(plan, optimiser=plan.optimiser.at_rate(plan.learning_rate * (1 + 1e-4))),
    "another ε": lambda plan: replace(plan, optimiser=optimiser("adam", learning_rate=0.05, eps=1e-6)),
    "other batches": lambda plan: replace(plan, batches=(*plan.batches[:5], plan.batches[6], *plan.batches[6:])),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_an_engine_that_trains_otherwise_leaves(wrong, engine_named):
    case, plan = case_of("float32"), plan_of("adam", learning_rate=0.05)
    thetas, distances = drawn_for("adam", "float32")
    ratio, left = outside(distance(engine_named("numpy"), case, WRONG[wrong](plan), thetas), envelope(distances))
    assert left is not None
    assert ratio > 1


def test_float32_leaves_the_envelope_of_float64(engine_named):
    single, plan = case_of("float32"), plan_of("momentum", learning_rate=0.05)
    thetas, distances = drawn(replace(single, dtype="float64"), plan)
    _, left = outside(distance(engine_named("numpy"), single, plan, thetas), envelope(distances))
    assert left == 0


def test_the_same_generator_draws_the_same():
    case, plan = case_of("float32"), plan_of("adam")
    assert np.array_equal(drawn(case, plan)[1], drawn(case, plan)[1])
    assert not np.array_equal(drawn(case, plan)[1], drawn(case, plan, seed=4)[1])


def test_all_members_differ_and_none_is_the_reference():
    _, distances = drawn(case_of("float32"), descent(BATCHES, 0.1))
    assert (distances > 0).all()
    assert len(set(distances[-1])) == len(PAIRS[0])


def test_the_envelope_is_the_largest_until_then():
    assert envelope(np.array([[1.0, 3.0], [2.0, 1.0], [5.0, 4.0]])).tolist() == [3, 3, 5]


def test_growth():
    steps = np.arange(10)
    assert growth(np.exp(0.3 * steps)[:, np.newaxis] * np.ones(4)) == pytest.approx(0.3)
    assert growth(np.zeros((10, 4))) == 0


@pytest.mark.parametrize(
    ("distance", "expected"),
    [([0.5, 1.0], (0.5, None)), ([1.5, 1.0], (1.5, 0)), ([0.5, 4.0], (2.0, 1)), ([0.0, 0.0], (0.0, None))],
)
def test_outside(distance, expected):
    assert outside(np.array(distance), np.array([1.0, 2.0])) == expected


def test_what_is_no_number_is_outside():
    ratio, left = outside(np.array([0.5, np.nan]), np.array([1.0, 2.0]))
    assert np.isnan(ratio)
    assert left == 1
    assert outside(np.array([1.0]), np.array([np.nan]))[1] == 0
    assert outside(np.array([1.0]), np.array([0.0])) == (np.inf, 0)
