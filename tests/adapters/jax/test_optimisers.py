"""optax as the adapter chains it: schedules and clipping with every form, runs that are cut, and its staircase."""

from dataclasses import replace
from itertools import product

import jax
import numpy as np
import optax
import pytest

from adapters.jax import optimisers
from reference.cases import Combination, Shape, draw_case
from reference.clipping import Clipping
from reference.optimisers import OPTIMISERS, optimiser
from reference.schedules import Schedule
from reference.training import Plan, audit_training, descent, draw_batches
from tests.arithmetics import arithmetic
from tests.tables import over

NAMES = Combination("tanh", "softmax", "categorical_cross_entropy_on_logits")
BATCHES = draw_batches(np.random.default_rng(1), 20, 8, 4)
"""Twelve, every third of them smaller."""
CUT = 5
"""Steps before a run is cut: within an epoch."""

SCHEDULES = {
    "constant": Schedule(),
    "step": Schedule("step", {"every": 3, "factor": 0.5}),
    "exponential": Schedule("exponential", {"factor": 0.9}),
    "cosine": Schedule("cosine", {"steps": 10, "lowest": 0.1}),
    "warm_up": Schedule("warm_up", {"steps": 7, "lowest": 0.0}),
}
"""The cosine and the warm-up end within the run, and the warm-up starts at 0, which torch's does not."""
CLIPPINGS = {"value": Clipping("value", 0.02), "norm": Clipping("norm", 0.1)}
IN_FLOAT32 = ("step", "exponential", "warm_up")
"""Schedules that optax computes in float32, whatever the format."""

FORMS = tuple(optimisers.OPTIMISERS)
IN_TWO_FORMATS = [(name, dtype) for name in FORMS for dtype in ("float32", "float64")]
OF_EVERY_KIND = (
    "gradient_descent",
    "momentum",
    "adamw",
    "amsgrad_of_corrected",
    "rmsprop_eps_in_root_momentum",
    "lion",
)


def case_of(dtype):
    return draw_case(np.random.default_rng(0), NAMES, Shape((5, 7, 3), 20), dtype)


def plan_of(name, schedule="cosine", clipping="norm", **h):
    return Plan(BATCHES, optimiser(name, **h), SCHEDULES[schedule], CLIPPINGS.get(clipping))


def audited(engine, case, plan, steps, states=None):
    """The findings of steps, held to a plan; what is kept before the first is the plan's own, unless it is given."""
    state, found = plan.start(case.W, case.b, case.dtype) if states is None else states, []
    for number, (step, batch) in enumerate(zip(steps, plan.batches, strict=True)):
        now = case.with_parameters(step.W, step.b).on_batch(case.x[batch], case.y[batch])
        found += audit_training(now, plan, number, state, step, arithmetic(engine.name))
        state = step.new_state
    return found


def trained(engine, case, plan, meant=None):
    """The findings of a run of a plan, held to the one that is meant."""
    return audited(engine, case, meant or plan, engine.train(case, plan))


def broken(found):
    return {finding.equation for finding in found if not finding.holds}


def first_broken(found):
    return next(finding.equation for finding in found if not finding.holds)


def rest_of(plan, case, steps):
    """The plan and the case from the cut on."""
    left = steps[CUT - 1]
    rest = replace(plan, batches=plan.batches[CUT:], done=CUT, states=left.new_state)
    return rest, case.with_parameters(left.new_W, left.new_b)


def assert_same(one, other):
    """Two steps are the same, bit for bit."""
    assert (one.rate, one.trace.loss) == (other.rate, other.trace.loss)
    assert one.new_state.keys() == other.new_state.keys()
    assert (one.clipped is None) == (other.clipped is None)
    pairs = [(one.new_W, other.new_W), (one.new_b, other.new_b), (one.clipped or {}, other.clipped or {})]
    pairs += [(one.new_state[place], other.new_state[place]) for place in one.new_state]
    for mine, yours in pairs:
        assert mine.keys() == yours.keys()
        for name in mine:
            assert np.array_equal(mine[name], yours[name]), f"{name} is {mine[name]}, but should be {yours[name]}"


# --- the tables


@over("name", FORMS)
def test_what_optax_keeps_is_all_that_the_reference_keeps(name):
    """Its count too, or the adapter counts."""
    kept = list(optimisers.OPTIMISERS[name].kept.values())
    assert len(kept) == len(set(kept))
    assert set(kept) | {"t"} == set(OPTIMISERS[name].kept) | {"t"}


def test_optax_has_twenty_forms():
    assert len(FORMS) == 20
    assert set(FORMS) <= set(OPTIMISERS)


@over("name", OPTIMISERS)
@over("engine", ["jax-jit", "jax-whole"])
def test_a_form_is_trained_or_is_said_to_be_lacking(engine, name, engine_named):
    right = True if name in FORMS else f"optax has no optimiser {name!r}"
    assert engine_named(engine).trains(Plan(BATCHES, optimiser(name))) == right


# --- every form with a schedule and clipping


@over(("name", "dtype"), IN_TWO_FORMATS, quick=10)
def test_every_form_holds_with_a_schedule_and_clipping(name, dtype, engine_named):
    found = trained(engine_named("jax-jit"), case_of(dtype), plan_of(name))
    assert broken(found) == set()
    equations = [finding.equation for finding in found]
    assert (equations.count("schedule: η"), equations.count("clipping: W")) == (len(BATCHES), 2 * len(BATCHES))


@over("name", OF_EVERY_KIND, quick=3)
def test_forms_hold_in_half_precision(name, engine_named):
    assert broken(trained(engine_named("jax-jit"), case_of("bfloat16"), plan_of(name))) == set()


@pytest.mark.parametrize("name", OF_EVERY_KIND)
def test_forms_hold_in_one_program_of_the_network(name, engine_named):
    assert broken(trained(engine_named("jax-whole"), case_of("float64"), plan_of(name))) == set()


@over(("schedule", "clipping"), [(schedule, clipping) for schedule in SCHEDULES for clipping in CLIPPINGS], quick=5)
def test_every_schedule_holds_with_every_clipping(schedule, clipping, engine_named):
    plan = plan_of("adam", schedule, clipping)
    assert broken(trained(engine_named("jax-jit"), case_of("float32"), plan)) == set()
    in_float64 = broken(trained(engine_named("jax-whole"), case_of("float64"), plan))
    assert in_float64 == ({"schedule: η"} if schedule in IN_FLOAT32 else set())


def test_the_clipped_gradient_is_what_optax_was_given(engine_named):
    """Some of it is clipped and some is not; the gradient of the trace is as it was."""
    case, plan = case_of("float32"), plan_of("adam", clipping="value")
    for step in engine_named("jax-jit").train(case, plan):
        for l in case.layers:
            assert np.array_equal(step.clipped["W", l], np.clip(step.trace.dW[l], *np.float32([-0.02, 0.02])))
        assert max(np.abs(array).max() for array in step.trace.dW.values()) > 0.02
    unclipped = replace(plan, clipping=None)
    assert all(step.clipped is None for step in engine_named("jax-jit").train(case, unclipped))


def test_without_a_schedule_the_rate_is_the_number(engine_named):
    for step in engine_named("jax-jit").train(case_of("float32"), descent(BATCHES, 0.1)):
        assert step.rate == 0.1


# --- a run that is cut


@over(("name", "dtype"), IN_TWO_FORMATS, quick=10)
def test_every_form_goes_on_bit_for_bit(name, dtype, engine_named):
    engine, case, plan = engine_named("jax-jit"), case_of(dtype), plan_of(name)
    whole = list(engine.train(case, plan))
    rest, there = rest_of(plan, case, whole)
    for one, other in zip(engine.train(there, rest), whole[CUT:], strict=True):
        assert_same(one, other)


@over(
    ("schedule", "name", "engine"),
    # one has a count beside that of the schedule, and one has none
    list(product(SCHEDULES, ["adam", "gradient_descent"], ["jax-jit", "jax-whole"])),
    quick=6,
)
def test_every_schedule_goes_on_bit_for_bit(engine, schedule, name, engine_named):
    engine, case = engine_named(engine), case_of("bfloat16")
    plan = plan_of(name, schedule, clipping="value")
    whole = list(engine.train(case, plan))
    rest, there = rest_of(plan, case, whole)
    for one, other in zip(engine.train(there, rest), whole[CUT:], strict=True):
        assert_same(one, other)


@pytest.mark.parametrize("name", ["adam", "momentum"])
def test_what_goes_on_with_is_held_to_the_whole_run(name, engine_named):
    """The rest is audited as steps of the plan that was never cut."""
    engine, case, plan = engine_named("jax-jit"), case_of("float32"), plan_of(name)
    whole = list(engine.train(case, plan))
    rest, there = rest_of(plan, case, whole)
    assert broken(audited(engine, case, rest, engine.train(there, rest), rest.states)) == set()


GONE_WRONG = {
    # what a run goes on with, and the line that is then named
    "nothing kept": (lambda rest: replace(rest, states=None), "adam: t"),
    "another count": (lambda rest: replace(rest, done=CUT - 1), "schedule: η"),
    "m of another step": (lambda rest: replace(rest, states=with_half(rest.states, "m")), "adam: m"),
}


def with_half(states, name):
    return {place: {**state, name: state[name] / 2} for place, state in states.items()}


@pytest.mark.parametrize("what", GONE_WRONG)
def test_what_goes_on_wrongly_is_named(what, engine_named):
    wrong, named = GONE_WRONG[what]
    engine, case, plan = engine_named("jax-jit"), case_of("float32"), plan_of("adam")
    rest, there = rest_of(plan, case, list(engine.train(case, plan)))
    found = audited(engine, case, rest, engine.train(there, wrong(rest)), rest.states)
    assert first_broken(found) == named


# --- what is chained wrongly is named


OTHER = {
    # what optax is given, what is meant, and the line that is named first
    "schedule": (plan_of("lion", "exponential"), plan_of("lion", "cosine"), "schedule: η"),
    "limit": (replace(plan_of("lion"), clipping=Clipping("norm", 0.11)), plan_of("lion"), "clipping: W"),
    "form of clipping": (plan_of("lion", clipping="value"), plan_of("lion", clipping="norm"), "clipping: W"),
    "ε": (plan_of("rmsprop_eps_in_root", decay=0.99), plan_of("rmsprop"), "rmsprop: w"),
    "decay": (plan_of("adamw", weight_decay=0.5), plan_of("adamw"), "adamw: w"),
}


@over(("what", "engine"), [(what, name) for what in OTHER for name in ("jax-jit", "jax-whole")], quick=5)
def test_another_plan_is_named(engine, what, engine_named):
    given, meant, named = OTHER[what]
    assert first_broken(trained(engine_named(engine), case_of("float32"), given, meant)) == named


MISREPORTED = {
    "rate": (lambda step: replace(step, rate=step.rate * 1.0001), "schedule: η"),
    "state": (lambda step: replace(step, new_state=with_half(step.new_state, "b")), "momentum: b"),
    "clipped": (lambda step: replace(step, clipped=with_half({0: step.clipped}, ("W", 1))[0]), "clipping: W"),
}


@pytest.mark.parametrize("what", MISREPORTED)
def test_what_is_misreported_is_named(what, engine_named):
    wrong, named = MISREPORTED[what]
    engine, case, plan = engine_named("jax-jit"), case_of("float32"), plan_of("momentum")
    found = audited(engine, case, plan, (wrong(step) for step in engine.train(case, plan)))
    assert first_broken(found) == named


def test_a_chain_that_takes_another_rate_than_it_reports_is_named(engine_named, monkeypatch):
    form = optimisers.OPTIMISERS["adam"]
    wrong = form._replace(chain=lambda h, rate: optax.chain(form.chain(h, rate), optax.scale(1.001)))
    monkeypatch.setitem(optimisers.OPTIMISERS, "adam", wrong)
    monkeypatch.setattr(optimisers, "compiled", optimisers.compiled.__wrapped__)
    assert broken(trained(engine_named("jax-jit"), case_of("float32"), plan_of("adam"))) == {"adam: w"}


# --- optax's staircase

ONE_TOO_LATE = 41
"""The first of 135 numbers up to 1000 of which fl(n · fl(1/n)) is below 1, or fl(kn · fl(1/n)) below some k < 100."""


def test_the_staircase_of_optax_falls_one_step_too_late_when_it_is_compiled():
    """⌊t/n⌋: XLA multiplies by a rounded 1/n where a constant n divides, and 41/41 is below 1. Without jit it is 1."""
    with jax.numpy_dtype_promotion("standard"):
        made = optax.exponential_decay(1.0, ONE_TOO_LATE, 0.5, staircase=True)
        steps = (ONE_TOO_LATE - 1, ONE_TOO_LATE, ONE_TOO_LATE + 1)
        assert [float(made(np.int32(t))) for t in steps] == [1.0, 0.5, 0.5]
        assert [float(jax.jit(made)(np.int32(t))) for t in steps] == [1.0, 1.0, 0.5]
    reciprocal = np.float32(1) / np.float32(ONE_TOO_LATE)
    assert np.float32(ONE_TOO_LATE) * reciprocal < 1


@pytest.mark.parametrize("every", [40, ONE_TOO_LATE])
@pytest.mark.parametrize("engine", ["jax-jit", "jax-whole"])
def test_the_audit_finds_the_step_that_the_staircase_is_late(engine, every, engine_named):
    engine, case = engine_named(engine), case_of("float32")
    schedule = Schedule("step", {"every": every, "factor": 0.5})
    plan = Plan(BATCHES[:3], optimiser("gradient_descent"), schedule, done=every - 1)
    ratios = [f.ratio for f in trained(engine, case, plan) if f.equation == "schedule: η"]
    late = every == ONE_TOO_LATE
    assert [ratio <= 1 for ratio in ratios] == [True, not late, True]
    if late:
        assert ratios[1] > 1e5
