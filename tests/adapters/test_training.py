"""Training in every engine: each step of each optimiser, schedule and clipping that it has, audited by itself."""

from dataclasses import replace

import numpy as np
import pytest

from reference.audit import MalformedTrace
from reference.cases import Combination, Shape, draw_case
from reference.clipping import FORMS, Clipping
from reference.optimisers import OPTIMISERS, optimiser
from reference.schedules import Schedule
from reference.training import Plan, audit_training, descent, draw_batches

ENGINES = ("numpy", "torch-eager", "jax-jit")
NAMES = Combination("tanh", "softmax", "categorical_cross_entropy_on_logits")
BATCHES = draw_batches(np.random.default_rng(1), 20, 8, 3)
"""Nine, every third of them smaller."""

SCHEDULES = (
    Schedule("step", {"every": 3, "factor": 0.5}),
    Schedule("exponential", {"factor": 0.9}),
    Schedule("cosine", {"steps": 9, "lowest": 0.1}),
    Schedule("warm_up", {"steps": 5, "lowest": 0.1}),
)
CLIPPINGS = [Clipping(form, 0.05) for form in FORMS]
IN_FLOAT32 = ("step", "exponential", "warm_up")
"""Schedules that optax computes in float32, whatever the format."""


def case_of(dtype):
    return draw_case(np.random.default_rng(0), NAMES, Shape((5, 7, 3), 20), dtype)


def plan_of(name, schedule=None, clipping=None, **h):
    return Plan(BATCHES, optimiser(name, **h), schedule or Schedule(), clipping)


def audited(engine, case, plan, meant=None, wrong=lambda step: step):
    """The findings of every step, held to the plan that is meant."""
    meant, name = meant or plan, engine.name
    state, found = meant.start(case.W, case.b, case.dtype), []
    for number, (made, batch) in enumerate(zip(engine.train(case, plan), plan.batches, strict=True)):
        now, step = case.with_parameters(made.W, made.b).on_batch(case.x[batch], case.y[batch]), wrong(made)
        found += audit_training(now, meant, number, state, step, name)
        state = step.new_state
    return found


def broken(found):
    return {finding.equation for finding in found if not finding.holds}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", OPTIMISERS)
@pytest.mark.parametrize("engine", ENGINES)
def test_every_line_of_every_step_holds(engine, name, dtype, engine_named):
    plan, engine = plan_of(name), engine_named(engine)
    if engine.trains(plan) is not True:
        assert repr(name) in engine.trains(plan)
        return
    found = audited(engine, case_of(dtype), plan)
    lines = {"2a", "2b"} if name == "gradient_descent" else {f"{name}: {line}" for line in OPTIMISERS[name].observed}
    assert {finding.equation for finding in found} == lines | {"z", "a", "8", "1", "9", "14", "7a", "7b"}
    assert len([finding for finding in found if finding.equation in lines]) >= 4 * len(BATCHES)
    # PyTorch keeps the product in float32
    known = {f"{name}: mu_product"} if engine.name == "torch-eager" and dtype == "float64" else set()
    assert broken(found) == known & lines


def test_every_form_is_trained_by_an_engine_with_a_framework(engine_named):
    able = {name for name in OPTIMISERS for e in ENGINES[1:] if engine_named(e).trains(plan_of(name)) is True}
    assert able == set(OPTIMISERS)


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda schedule: schedule.name)
@pytest.mark.parametrize("engine", ENGINES)
def test_schedules_hold(engine, schedule, dtype, engine_named):
    found = audited(engine_named(engine), case_of(dtype), plan_of("adam", schedule, learning_rate=0.1))
    assert [finding.equation for finding in found].count("schedule: η") == len(BATCHES)
    in_float32 = engine == "jax-jit" and dtype == "float64" and schedule.name in IN_FLOAT32
    assert broken(found) == ({"schedule: η"} if in_float32 else set())


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("clipping", CLIPPINGS, ids=FORMS)
@pytest.mark.parametrize("engine", ENGINES)
def test_clippings_hold(engine, clipping, dtype, engine_named):
    engine, plan = engine_named(engine), plan_of("momentum", clipping=clipping, learning_rate=0.1)
    if engine.trains(plan) is not True:
        assert repr(clipping.form) in engine.trains(plan)
        return
    found = audited(engine, case_of(dtype), plan)
    assert [finding.equation for finding in found].count("clipping: W") == 2 * len(BATCHES)
    assert broken(found) == set()


@pytest.mark.parametrize("name", ["gradient_descent", "adam"])
def test_one_program_of_the_network_trains_as_well(name, engine_named):
    assert (
        broken(audited(engine_named("jax-whole"), case_of("float32"), plan_of(name, SCHEDULES[2], CLIPPINGS[1])))
        == set()
    )


@pytest.mark.parametrize("name", OPTIMISERS)
@pytest.mark.parametrize("engine", ENGINES)
def test_a_run_that_is_cut_goes_on_bit_for_bit(engine, name, engine_named):
    engine, case, plan = engine_named(engine), case_of("float32"), plan_of(name, SCHEDULES[2])
    if engine.trains(plan) is not True:
        return  # said by test_every_line_of_every_step_holds
    whole, cut = list(engine.train(case, plan)), 4
    left = whole[cut - 1]
    rest = replace(plan, batches=BATCHES[cut:], done=cut, states=left.new_state)
    for one, other in zip(whole[cut:], engine.train(case.with_parameters(left.new_W, left.new_b), rest), strict=True):
        assert one.rate == other.rate
        for l in case.layers:
            assert np.array_equal(one.new_W[l], other.new_W[l])
            assert np.array_equal(one.new_b[l], other.new_b[l])
        for place, kept in one.new_state.items():
            assert kept.keys() == other.new_state[place].keys()
            assert all(np.array_equal(value, other.new_state[place][line]) for line, value in kept.items())


@pytest.mark.parametrize(
    ("engine", "plan", "said"),
    [
        ("torch-eager", plan_of("lion"), "torch.optim has no optimiser 'lion'"),
        ("torch-eager", plan_of("adam", clipping=Clipping("norm", 1.0)), "torch clips by no 'norm'"),
        ("torch-eager", plan_of("adam", Schedule("warm_up", {"steps": 5, "lowest": 0.0})), "from no rate of 0"),
        ("torch-eager", plan_of("adam", Schedule("cosine", {"steps": 5, "lowest": 0.0})), "rises again"),
        ("jax-jit", plan_of("nadam"), "optax has no optimiser 'nadam'"),
        ("jax-jit", plan_of("momentum", dampening=0.5), "optax has no dampening"),
        ("jax-jit", plan_of("adam", clipping=Clipping("norm_with_eps", 1.0)), "optax clips by no 'norm_with_eps'"),
        ("jax-jit", plan_of("adam", Schedule("exponential", {"factor": 0.0})), "constant rate"),
    ],
)
def test_what_an_engine_lacks_is_said(engine, plan, said, engine_named):
    assert said in engine_named(engine).trains(plan)


# --- what is wrong is named

OTHER = {
    # what the engine is given, what is meant, and the first line that must be named
    "the rate": (plan_of("adam", learning_rate=0.1), plan_of("adam", learning_rate=0.2), "adam: w"),
    "β₂": (plan_of("adam", beta2=0.99), plan_of("adam"), "adam: v"),
    "the schedule": (plan_of("adam", SCHEDULES[0]), plan_of("adam", SCHEDULES[1]), "schedule: η"),
    "the limit": (
        plan_of("adam", clipping=Clipping("value", 0.01)),
        plan_of("adam", clipping=CLIPPINGS[0]),
        "clipping: W",
    ),
    "decay": (plan_of("adam", weight_decay=0.1), plan_of("adam"), "adam: m"),
    "descent": (descent(BATCHES, 0.1), descent(BATCHES, 0.11), "2a"),
}


@pytest.mark.parametrize("what", OTHER)
@pytest.mark.parametrize("engine", ENGINES)
def test_another_plan_is_found(engine, what, engine_named):
    given, meant, named = OTHER[what]
    found = audited(engine_named(engine), case_of("float32"), given, meant)
    assert next(finding.equation for finding in found if not finding.holds) == named


def with_state(step, **changed):
    """The step with something kept of W^1 reported as something else."""
    return replace(step, new_state={**step.new_state, ("W", 1): {**step.new_state["W", 1], **changed}})


MISREPORTED = {
    "the rate": (lambda step: replace(step, rate=step.rate * 1.001), "schedule: η"),
    "the clipped gradient": (
        lambda step: replace(step, clipped={place: 0.9 * array for place, array in step.clipped.items()}),
        "clipping: W",
    ),
    "what is kept": (lambda step: with_state(step, m=step.new_state["W", 1]["m"] * 1.001), "adam: m"),
    "the count": (lambda step: with_state(step, t=7.0), "adam: t"),
    "a NaN": (lambda step: with_state(step, v=step.new_state["W", 1]["v"] * np.nan), "adam: v"),
}


@pytest.mark.parametrize("what", MISREPORTED)
@pytest.mark.parametrize("engine", ENGINES)
def test_what_is_misreported_is_named(engine, what, engine_named):
    wrong, named = MISREPORTED[what]
    plan = plan_of("adam", SCHEDULES[2], CLIPPINGS[0])
    found = audited(engine_named(engine), case_of("float32"), plan, wrong=wrong)
    assert next(finding.equation for finding in found if not finding.holds) == named


@pytest.mark.parametrize(
    ("lacking", "said"),
    [
        ({"rate": None}, "the rate is missing"),
        ({"clipped": None}, "the clipped gradient is missing"),
        ({"new_state": {}}, "new W or state of layer 1 is missing"),
    ],
)
def test_what_is_missing_is_malformed(lacking, said, engine_named):
    plan = plan_of("adam", SCHEDULES[2], CLIPPINGS[0])
    with pytest.raises(MalformedTrace, match=said):
        audited(engine_named("numpy"), case_of("float32"), plan, wrong=lambda step: replace(step, **lacking))
