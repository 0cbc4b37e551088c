"""Training in every engine: each step of each optimiser, schedule and clipping that it has, audited by itself."""

from collections import Counter
from dataclasses import replace
from functools import cache
from itertools import product

import numpy as np
import pytest

from adapters.jax import optimisers as jax_optimisers
from adapters.torch import optimisers
from reference.arrays import tree
from reference.audit import MalformedTrace
from reference.cases import Combination, Shape, draw_case
from reference.clipping import FORMS, Clipping
from reference.optimisers import OPTIMISERS, optimiser
from reference.schedules import FORMULAS, Schedule
from reference.training import Plan, audit_training, clip, descent, draw_batches
from tests.arithmetics import arithmetic
from tests.tables import over

NAMES = Combination("tanh", "softmax", "categorical_cross_entropy_on_logits")
BATCHES = draw_batches(np.random.default_rng(1), 40, 16, 4)
"""Twelve, every third of them smaller."""

SCHEDULES = {
    schedule.name: schedule
    for schedule in (
        Schedule("step", {"every": 3, "factor": 0.5}),
        Schedule("exponential", {"factor": 0.9}),
        Schedule("cosine", {"steps": len(BATCHES) - 1, "lowest": 0.1}),
        Schedule("warm_up", {"steps": 5, "lowest": 0.1}),
    )
}
IN_FLOAT32 = ("step", "exponential", "warm_up")
"""Schedules that optax computes in float32, whatever the format."""

CLIPPINGS = {form: Clipping(form, 0.01 if form == "value" else 0.05) for form in FORMS}
CLIPS = {
    "numpy": FORMS,
    "torch-eager": tuple(optimisers.CLIPPINGS),
    "jax-jit": tuple(jax_optimisers.CLIPPINGS),
}
"""Engines, and the forms of clipping that they have."""

TRAINS = {"numpy": OPTIMISERS, "torch-eager": optimisers.OPTIMISERS, "jax-jit": jax_optimisers.OPTIMISERS}
"""Engines, and the optimisers that they have."""

IN_HALF = ("momentum", "adam", "nadam", "rmsprop", "lion")
WHOLE = ("gradient_descent", "adam")
"""Optimisers of the network in one program."""

RUNS = [
    *((engine, name, dtype) for engine, names in TRAINS.items() for name in names for dtype in ("float32", "float64")),
    *((engine, name, "bfloat16") for engine, names in TRAINS.items() for name in names if name in IN_HALF),
    *(("jax-whole", name, dtype) for name in WHOLE for dtype in ("float32", "float64")),
]


def plan_of(name, schedule=None, clipping=None, **h):
    return Plan(BATCHES, optimiser(name, **h), schedule or Schedule(), clipping)


SCHEDULED = {name: plan_of(name, SCHEDULES["cosine"]) for name in OPTIMISERS}
"""Every optimiser under a schedule that all engines have in all formats."""


@cache
def case_of(dtype):
    return draw_case(np.random.default_rng(0), NAMES, Shape((6, 8, 4), 40), dtype)


@pytest.fixture(scope="module")
def trained(engine_named):
    """The steps that an engine makes, made once for each plan and format."""

    @cache
    def steps(engine, plan, dtype):
        return tuple(engine_named(engine).train(case_of(dtype), plan))

    return steps


def audited(engine, dtype, plan, steps, wrong=lambda step: step):
    """The findings of one step after another, held to a plan; each step is reported as `wrong` has it."""
    case = case_of(dtype)
    state = plan.start(case.W, case.b, dtype)
    for number, (made, batch) in enumerate(zip(steps, plan.batches, strict=True)):
        now, step = case.with_parameters(made.W, made.b).on_batch(case.x[batch], case.y[batch]), wrong(made)
        yield from audit_training(now, plan, number, state, step, arithmetic(engine))
        state = step.new_state


def broken(found):
    return {finding.equation for finding in found if not finding.holds}


def first_broken(found):
    return next((finding.equation for finding in found if not finding.holds), None)


TRACE = ("z", "a", "8", "1", "9", "14", "7a", "7b")


def lines_of(name):
    """What the audit of a step says of an optimiser, and how often: of W and b, or of each of them apart."""
    if name == "gradient_descent":
        return {"2a": 2, "2b": 2}
    return {f"{name}: {line}": 4 for line in OPTIMISERS[name].observed}


def known(engine, name, dtype):
    """PyTorch keeps the product of NAdam's momenta in float32."""
    there = engine == "torch-eager" and dtype == "float64" and name in ("nadam", "nadamw")
    return {f"{name}: mu_product"} if there else set()


# --- every line of every step


@over(("engine", "name", "dtype"), RUNS, quick=30)
def test_every_line_of_every_step_holds(engine, name, dtype, trained):
    plan = SCHEDULED[name]
    found = list(audited(engine, dtype, plan, trained(engine, plan, dtype)))
    counts = Counter(finding.equation for finding in found)
    assert set(counts) == {*TRACE, "schedule: η", *lines_of(name)}
    for line, times in {"schedule: η": 1, **lines_of(name)}.items():
        assert counts[line] == times * len(BATCHES)
    assert broken(found) == known(engine, name, dtype)


def test_batches_are_full_but_for_the_last_of_an_epoch():
    assert [len(batch) for batch in BATCHES] == 4 * [16, 16, 8]


@over(("engine", "schedule", "dtype"), list(product(TRAINS, SCHEDULES, ["float32", "float64", "bfloat16"])), quick=20)
def test_schedules_hold(engine, schedule, dtype, trained):
    plan = SCHEDULED["adam"] if schedule == "cosine" else plan_of("adam", SCHEDULES[schedule])
    steps = trained(engine, plan, dtype)
    found = list(audited(engine, dtype, plan, steps))
    assert [finding.equation for finding in found].count("schedule: η") == len(BATCHES)
    in_float32 = engine == "jax-jit" and dtype == "float64" and schedule in IN_FLOAT32
    assert broken(found) == ({"schedule: η"} if in_float32 else set())
    assert len({step.rate for step in steps}) > 3


@over("dtype", ["float32", "float64", "bfloat16"])
@over(("engine", "form"), [(engine, form) for engine, forms in CLIPS.items() for form in forms])
def test_clippings_hold(engine, form, dtype, trained):
    plan = plan_of("momentum", clipping=CLIPPINGS[form])
    steps = trained(engine, plan, dtype)
    found = list(audited(engine, dtype, plan, steps))
    for line in ("clipping: W", "clipping: b"):
        assert [finding.equation for finding in found].count(line) == 2 * len(BATCHES)
    assert broken(found) == set()
    for step in steps:
        g = tree(step.trace.dW, step.trace.db)
        assert any(np.any(array != g[place]) for place, array in step.clipped.items()), "nothing is clipped"


@pytest.mark.parametrize("engine", TRAINS)
@pytest.mark.parametrize("name", ["gradient_descent", "adam"])
def test_all_at_once_holds(engine, name, trained):
    plan = plan_of(name, SCHEDULES["cosine"], CLIPPINGS[CLIPS[engine][-1]], weight_decay=0.01)
    assert broken(audited(engine, "float32", plan, trained(engine, plan, "float32"))) == set()


def test_every_form_is_trained_by_an_engine_with_a_framework():
    assert {*TRAINS["torch-eager"], *TRAINS["jax-jit"]} == set(OPTIMISERS)
    assert {*CLIPS["torch-eager"], *CLIPS["jax-jit"]} == set(FORMS)
    for table in (optimisers.SCHEDULES, jax_optimisers.SCHEDULES):
        assert set(table) == set(FORMULAS) == {"constant", *SCHEDULES}


# --- a run that is cut goes on

CUT = 7
"""Steps made before: within an epoch, and no multiple of what a schedule counts in."""


def same_tree(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[place], other[place]) for place in one)


def same(one, other):
    """Whether two steps are the same, bit for bit: what they began with, what was computed, and what they left."""
    return (
        one.rate == other.rate
        and all(same_tree(getattr(one, name), getattr(other, name)) for name in ("W", "b", "new_W", "new_b"))
        and all(same_tree(getattr(one.trace, name), getattr(other.trace, name)) for name in ("dW", "db", "delta"))
        and one.new_state.keys() == other.new_state.keys()
        and all(same_tree(one.new_state[place], other.new_state[place]) for place in one.new_state)
    )


def going_on(plan, steps, dtype, cut=CUT):
    """The Case and the plan that are left after the cut."""
    left = steps[cut - 1]
    rest = replace(plan, batches=plan.batches[cut:], done=plan.done + cut, states=left.new_state)
    return case_of(dtype).with_parameters(left.new_W, left.new_b), rest


def goes_on(engine, plan, steps, dtype, cut=CUT):
    case, rest = going_on(plan, steps, dtype, cut)
    return all(same(one, other) for one, other in zip(steps[cut:], engine.train(case, rest), strict=True))


@over(("engine", "name", "dtype"), RUNS, quick=30)
def test_a_run_that_is_cut_goes_on_bit_for_bit(engine, name, dtype, trained, engine_named):
    plan = SCHEDULED[name]
    assert goes_on(engine_named(engine), plan, trained(engine, plan, dtype), dtype)


@pytest.mark.parametrize("schedule", [Schedule(), *SCHEDULES.values()], ids=lambda schedule: schedule.name)
@pytest.mark.parametrize("engine", TRAINS)
def test_a_schedule_goes_on_bit_for_bit(engine, schedule, trained, engine_named):
    plan = plan_of("adam", schedule)
    assert goes_on(engine_named(engine), plan, trained(engine, plan, "float32"), "float32")


FORGOTTEN = {
    "what is kept": {"states": None},
    "the steps made": {"done": 0},
    "the last step": {"done": CUT - 1},
    "where it was": None,
}


@pytest.mark.parametrize("what", FORGOTTEN)
@pytest.mark.parametrize("engine", TRAINS)
def test_a_run_that_forgets_is_another(engine, what, trained, engine_named):
    plan = SCHEDULED["adam"]
    steps = trained(engine, plan, "float32")
    case, rest = going_on(plan, steps, "float32")
    if FORGOTTEN[what] is None:
        case = case_of("float32")
    else:
        rest = replace(rest, **FORGOTTEN[what])
    for one, other in zip(steps[CUT:], engine_named(engine).train(case, rest), strict=True):
        assert not same(one, other)


@pytest.mark.parametrize("name", ["gradient_descent", "momentum", "adam"])
@pytest.mark.parametrize("engine", TRAINS)
def test_an_optimiser_that_starts_anew_within_a_schedule_holds(engine, name, trained, engine_named):
    """Steps were made before, of which nothing is kept: the optimiser counts from 0, the schedule does not."""
    whole = SCHEDULED[name]
    plan = replace(whole, batches=BATCHES[:4], done=5)
    steps = trained(engine, plan, "float32")
    assert broken(audited(engine, "float32", plan, steps)) == set()
    if "t" in steps[0].new_state.get(("W", 1), {}):
        assert [step.new_state["W", 1]["t"] for step in steps] == [1, 2, 3, 4]
    assert [step.rate for step in steps] == [step.rate for step in trained(engine, whole, "float32")[5:9]]
    assert goes_on(engine_named(engine), plan, steps, "float32", cut=2)


# --- what an engine lacks


def cosine_of(steps):
    return Schedule("cosine", {"steps": steps, "lowest": 0.1})


LACKING = {
    "torch: norm": ("torch-eager", plan_of("adam", clipping=Clipping("norm", 1.0)), "torch clips by no 'norm'"),
    "torch: warm-up": (
        "torch-eager",
        plan_of("adam", Schedule("warm_up", {"steps": 5, "lowest": 0.0})),
        "torch warms up from no rate of 0",
    ),
    "torch: cosine": (
        "torch-eager",
        plan_of("adam", cosine_of(len(BATCHES) - 2)),
        "torch's cosine rises again after its steps",
    ),
    "torch: cosine, later": (
        "torch-eager",
        replace(plan_of("adam", cosine_of(len(BATCHES) - 1)), done=1),
        "torch's cosine rises again after its steps",
    ),
    "torch: no momentum": (
        "torch-eager",
        plan_of("momentum", momentum=0.0),
        "torch.optim has no 'momentum' with a momentum of 0",
    ),
    "jax: dampening": ("jax-jit", plan_of("momentum", dampening=0.5), "optax has no dampening"),
    "jax: norm with ε": (
        "jax-jit",
        plan_of("adam", clipping=Clipping("norm_with_eps", 1.0)),
        "optax clips by no 'norm_with_eps'",
    ),
    "jax: step by 0": (
        "jax-jit",
        plan_of("adam", Schedule("step", {"every": 2, "factor": 0.0})),
        "optax takes a factor of 0 for a constant rate",
    ),
    "jax: exponential by 0": (
        "jax-jit",
        plan_of("adam", Schedule("exponential", {"factor": 0.0})),
        "optax takes a factor of 0 for a constant rate",
    ),
}


@pytest.mark.parametrize("what", LACKING)
def test_what_an_engine_lacks_is_said(what, engine_named):
    engine, plan, said = LACKING[what]
    assert engine_named(engine).trains(plan) == said
    assert "\n" not in said
    assert engine_named("numpy").trains(plan) is True


@pytest.mark.parametrize(("engine", "framework"), [("torch-eager", "torch.optim"), ("jax-jit", "optax")])
def test_an_optimiser_is_trained_or_said_to_be_lacking(engine, framework, engine_named):
    for name in OPTIMISERS:
        said = True if name in TRAINS[engine] else f"{framework} has no optimiser {name!r}"
        assert engine_named(engine).trains(SCHEDULED[name]) == said


DESERVED = {
    # what is lacking, and what breaks where an engine is made to train it
    "torch: cosine": {"schedule: η"},
    "jax: dampening": {"momentum: b"},
    "jax: step by 0": {"schedule: η"},
    "jax: exponential by 0": {"schedule: η"},
}


@pytest.mark.parametrize("what", DESERVED)
def test_what_is_said_to_be_lacking_would_break(what, trained):
    engine, plan, _ = LACKING[what]
    assert broken(audited(engine, "float32", plan, trained(engine, plan, "float32"))) == DESERVED[what]


def test_without_momentum_torch_keeps_no_buffer(trained):
    engine, plan, _ = LACKING["torch: no momentum"]
    with pytest.raises(MalformedTrace, match="b of momentum is missing"):
        list(audited(engine, "float32", plan, trained(engine, plan, "float32")))


def test_torch_refuses_a_warm_up_from_0(trained):
    engine, plan, _ = LACKING["torch: warm-up"]
    with pytest.raises(ValueError, match="Starting multiplicative factor"):
        trained(engine, plan, "float32")


# --- what is wrong is named


OTHER = {
    # what the engine is given, what is meant, and the first line that must be named
    "η": (plan_of("adam", learning_rate=1.1e-3), plan_of("adam"), "adam: w"),
    "η of descent": (descent(BATCHES, 0.1), descent(BATCHES, 0.11), "2a"),
    "β₂": (plan_of("adam", beta2=0.99), plan_of("adam"), "adam: v"),
    "ρ of the other framework": (plan_of("rmsprop", decay=0.9), plan_of("rmsprop", decay=0.99), "rmsprop: v"),
    "decay": (plan_of("adam", weight_decay=0.1), plan_of("adam"), "adam: m"),
    "decay that is not decoupled": (plan_of("adam", weight_decay=0.01), plan_of("adamw"), "adamw: m"),
    "the schedule": (plan_of("adam", SCHEDULES["step"]), SCHEDULED["adam"], "schedule: η"),
    "no schedule": (plan_of("adam"), SCHEDULED["adam"], "schedule: η"),
    "a schedule where none is meant": (SCHEDULED["adam"], plan_of("adam"), "adam: w"),
    "a schedule that is a step ahead": (
        replace(plan_of("adam", cosine_of(20)), done=1),
        plan_of("adam", cosine_of(20)),
        "schedule: η",
    ),
    "a schedule that is a step behind": (
        plan_of("adam", cosine_of(20)),
        replace(plan_of("adam", cosine_of(20)), done=1),
        "schedule: η",
    ),
    "the limit": (
        plan_of("adam", clipping=Clipping("value", 0.011)),
        plan_of("adam", clipping=CLIPPINGS["value"]),
        "clipping: W",
    ),
    "clipping where none is meant": (plan_of("adam", clipping=CLIPPINGS["value"]), plan_of("adam"), "adam: m"),
}


@over("what", OTHER)
@over("engine", TRAINS)
def test_another_plan_is_found(engine, what, trained):
    given, meant, named = OTHER[what]
    assert first_broken(audited(engine, "float32", meant, trained(engine, given, "float32"))) == named


@pytest.mark.parametrize("engine", TRAINS)
@pytest.mark.parametrize(
    ("name", "named"), [("gradient_descent", "2a"), ("momentum", "momentum: b"), ("adam", "adam: m")]
)
def test_a_clipped_gradient_that_is_not_handed_on_is_found(engine, name, named, trained):
    """It is computed and reported, but the optimiser has the gradient as it was."""
    clipping = CLIPPINGS["value"]
    given, meant = plan_of(name), plan_of(name, clipping=clipping)

    def clipped(step):
        return replace(step, clipped=clip(clipping, tree(step.trace.dW, step.trace.db), "float32"))

    assert first_broken(audited(engine, "float32", meant, trained(engine, given, "float32"), clipped)) == named


CLIPPED = plan_of("adam", SCHEDULES["cosine"], CLIPPINGS["value"])


def with_kept(step, **changes):
    """The step with something kept of W^1 reported as something else."""
    kept = step.new_state["W", 1]
    changed = {name: change(kept[name]) for name, change in changes.items()}
    return replace(step, new_state={**step.new_state, ("W", 1): {**kept, **changed}})


def one_off(array):
    """One element larger by a thousandth."""
    array = array.copy()
    array.flat[np.abs(array).argmax()] *= 1.001
    return array


MISREPORTED = {
    "η": (lambda step: replace(step, rate=step.rate * 1.001), "schedule: η"),
    "η, no number": (lambda step: replace(step, rate=np.nan), "schedule: η"),
    "the clipped gradient": (
        lambda step: replace(step, clipped={**step.clipped, ("b", 2): one_off(step.clipped["b", 2])}),
        "clipping: b",
    ),
    "the gradient for the clipped one": (
        lambda step: replace(step, clipped=tree(step.trace.dW, step.trace.db)),
        "clipping: W",
    ),
    "m": (lambda step: with_kept(step, m=one_off), "adam: m"),
    "v": (lambda step: with_kept(step, v=one_off), "adam: v"),
    "v, no number": (lambda step: with_kept(step, v=lambda v: v * np.nan), "adam: v"),
    "the count": (lambda step: with_kept(step, t=lambda t: t + 1), "adam: t"),
    "W": (lambda step: replace(step, new_W={**step.new_W, 2: one_off(step.new_W[2])}), "adam: w"),
    "W, as it was": (lambda step: replace(step, new_W=step.W), "adam: w"),
}


@pytest.mark.parametrize("engine", TRAINS)
def test_what_is_reported_rightly_holds(engine, trained):
    assert broken(audited(engine, "float32", CLIPPED, trained(engine, CLIPPED, "float32"))) == set()


@over("what", MISREPORTED)
@over("engine", TRAINS)
def test_what_is_misreported_is_named(engine, what, trained):
    wrong, named = MISREPORTED[what]
    assert first_broken(audited(engine, "float32", CLIPPED, trained(engine, CLIPPED, "float32"), wrong)) == named


@pytest.mark.parametrize(
    ("lacking", "said"),
    [
        ({"rate": None}, "the rate is missing"),
        ({"clipped": None}, "the clipped gradient is missing"),
        ({"new_state": {}}, "new W or state of layer 1 is missing"),
    ],
)
def test_what_is_missing_is_malformed(lacking, said, trained):
    steps = trained("numpy", CLIPPED, "float32")
    with pytest.raises(MalformedTrace, match=said):
        list(audited("numpy", "float32", CLIPPED, steps, lambda step: replace(step, **lacking)))
