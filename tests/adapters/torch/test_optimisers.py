"""torch.optim trained by the adapter: every form in every format, what it keeps and goes on from, and what it lacks."""

from dataclasses import replace
from itertools import pairwise, product

import numpy as np
import pytest
import torch

from adapters.torch import optimisers
from adapters.torch.eager import TorchEager
from reference import network
from reference.arrays import tree
from reference.cases import Combination, Shape, draw_case
from reference.clipping import Clipping
from reference.optimisers import OPTIMISERS, optimiser
from reference.rounding import DTYPES, HALF
from reference.schedules import Schedule
from reference.training import Plan, audit_training, draw_batches
from tests.arithmetics import arithmetic
from tests.tables import over

NAMES = Combination("tanh", "softmax", "categorical_cross_entropy_on_logits")
BATCHES = draw_batches(np.random.default_rng(1), 20, 6, 3)
"""Twelve, every fourth of two samples instead of six."""

CUT = 5

SCHEDULES = (
    Schedule("constant"),
    Schedule("step", {"every": 3, "factor": 0.5}),
    Schedule("exponential", {"factor": 0.9}),
    Schedule("cosine", {"steps": 11, "lowest": 0.1}),
    Schedule("warm_up", {"steps": 7, "lowest": 0.1}),
)
SMALL = Clipping("norm_with_eps", 0.05)
EQUATIONS = {"z", "a", "8", "1", "9", "14", "7a", "7b"}

OTHER_VALUES = {
    "weight_decay": 0.125,
    "learning_rate_decay": 0.25,
    "dampening": 0.5,
    "momentum": 0.4,
    "beta1": 0.3,
    "beta2": 0.6,
    "decay": 0.7,
    "initial_accumulator": 0.5,
    "momentum_decay": 1.5,
}
"""Far from the usual ones."""


def case_of(dtype="float32"):
    return draw_case(np.random.default_rng(0), NAMES, Shape((5, 7, 3), 20), dtype)


def plan_of(name, schedule=SCHEDULES[0], clipping=None, **h):
    return Plan(BATCHES, optimiser(name, **h), schedule, clipping)


def other_values(name):
    return {key: value for key, value in OTHER_VALUES.items() if key in OPTIMISERS[name].hyperparameters}


def audited(case, plan, meant=None, wrong=lambda step: step):
    """The findings of every step, held to the plan that is meant."""
    meant, found = meant or plan, []
    state = meant.start(case.W, case.b, case.dtype)
    for number, (made, batch) in enumerate(zip(TorchEager().train(case, plan), plan.batches, strict=True)):
        now, step = case.with_parameters(made.W, made.b).on_batch(case.x[batch], case.y[batch]), wrong(made)
        found += audit_training(now, meant, number, state, step, arithmetic("torch-eager"))
        state = step.new_state
    return found


def broken(found):
    return {finding.equation for finding in found if not finding.holds}


def lines(name):
    """What findings about an optimiser are called."""
    return {"2a", "2b"} if name == "gradient_descent" else {f"{name}: {line}" for line in OPTIMISERS[name].observed}


def assert_same(one, other):
    """Two steps are the same, bit for bit, in all that they are made of."""
    __tracebackhide__ = True
    assert one.rate == other.rate
    pairs = [(tree(one.W, one.b), tree(other.W, other.b)), (tree(one.new_W, one.new_b), tree(other.new_W, other.new_b))]
    pairs += [(one.new_state[place], other.new_state[place]) for place in one.new_state]
    pairs += [(one.clipped or {}, other.clipped or {})]
    for left, right in pairs:
        assert left.keys() == right.keys()
        assert all(np.array_equal(left[key], right[key]) for key in left)


# --- every form holds


@over(("name", "dtype"), list(product(optimisers.OPTIMISERS, DTYPES)), quick=32)
def test_every_form_holds_in_every_format_far_from_its_usual_values(name, dtype):
    # 1e-8 is 0 in float16, and 0/0 NaN
    in_half = {"eps": 2.0**-6} if dtype == "float16" and "eps" in OPTIMISERS[name].hyperparameters else {}
    plan = plan_of(name, **other_values(name), **in_half)
    found = audited(case_of(dtype), plan)
    held = lines(name) if name != "gradient_descent" else {f"{name}: w"}  # with a weight decay it is not (2a) and (2b)
    assert {finding.equation for finding in found} == held | EQUATIONS
    for equation in held:
        assert [finding.equation for finding in found].count(equation) == 4 * len(BATCHES)
    # torch keeps the product in float32, unless its default is float64
    assert broken(found) == ({f"{name}: mu_product"} & held if dtype == "float64" else set())


@pytest.mark.parametrize("name", ["nadam", "nadamw"])
def test_the_product_of_momenta_holds_where_float64_is_the_default(name):
    torch.set_default_dtype(torch.float64)
    try:
        case, plan = case_of("float64"), plan_of(name)
        assert broken(audited(case, plan)) == set()
        assert_goes_on(case, plan)
    finally:
        torch.set_default_dtype(torch.float32)


@over("clipping", [None, SMALL, Clipping("value", 0.01)], ids=["unclipped", "norm", "value"])
@over("schedule", SCHEDULES, ids=lambda schedule: schedule.name)
@over("dtype", HALF)
def test_schedules_and_clippings_hold_in_half_precision(dtype, schedule, clipping):
    found = audited(case_of(dtype), plan_of("momentum", schedule, clipping, learning_rate=0.1))
    names = [finding.equation for finding in found]
    assert names.count("schedule: η") == (0 if schedule.name == "constant" else len(BATCHES))
    assert names.count("clipping: W") == (0 if clipping is None else 2 * len(BATCHES))
    assert broken(found) == set()


def test_clipping_clips():
    """‖g‖ is above the limit in some step, or the tests of clipping would hold of one that does nothing."""
    for step in TorchEager().train(case_of(), plan_of("momentum", clipping=SMALL)):
        g = tree(step.trace.dW, step.trace.db)
        assert np.sqrt(sum(np.sum(array**2) for array in g.values())) > SMALL.limit
        assert all(np.abs(step.clipped[place]).max() < np.abs(g[place]).max() for place in g)


# --- made as anyone would


@pytest.mark.parametrize("name", optimisers.OPTIMISERS)
def test_an_optimiser_is_one_of_torch_with_its_defaults(name):
    made = optimisers.make(name, OPTIMISERS[name].hyperparameters, [torch.zeros(2, requires_grad=True)])
    assert type(made).__module__.startswith("torch.optim")
    assert made.param_groups[0]["foreach"] is None
    assert made.param_groups[0].get("fused") is None


def test_schedules_and_clippings_are_those_of_torch():
    made = optimisers.make("adam", OPTIMISERS["adam"].hyperparameters, [torch.zeros(2, requires_grad=True)])
    schedulers = {s.name: type(optimisers.SCHEDULES[s.name](made, s.parameters)).__name__ for s in SCHEDULES}
    assert schedulers == {
        "constant": "NoneType",
        "step": "StepLR",
        "exponential": "ExponentialLR",
        "cosine": "CosineAnnealingLR",
        "warm_up": "LinearLR",
    }
    assert set(optimisers.CLIPPINGS) == {"value", "norm_with_eps"}
    assert optimisers.CLIPPINGS["value"] is torch.nn.utils.clip_grad_value_
    assert optimisers.CLIPPINGS["norm_with_eps"] is torch.nn.utils.clip_grad_norm_


def test_a_step_is_not_changed_by_the_steps_after_it():
    """torch updates its parameters and what it keeps in place: a step has copies."""
    case, plan, made = case_of(), plan_of("adam"), TorchEager()
    first = next(iter(made.train(case, plan)))
    steps = list(made.train(case, plan))
    assert_same(first, steps[0])
    assert np.array_equal(first.W[1], case.W[1])
    for before, after in pairwise(steps):
        assert np.array_equal(before.new_W[1], after.W[1])
        assert not np.array_equal(after.W[1], after.new_W[1])


# --- a run goes on


def assert_goes_on(case, plan):
    """What is left after a cut makes the same steps as a run that is not cut."""
    __tracebackhide__ = True
    whole = list(TorchEager().train(case, plan))
    left = whole[CUT - 1]
    rest = replace(plan, batches=BATCHES[CUT:], done=CUT, states=left.new_state)
    for one, other in zip(
        whole[CUT:], TorchEager().train(case.with_parameters(left.new_W, left.new_b), rest), strict=True
    ):
        assert_same(one, other)


@over(
    ("name", "schedule", "dtype"),
    list(product(optimisers.OPTIMISERS, SCHEDULES, ["float32", "float64", "bfloat16"])),
    quick=70,
)
def test_a_run_that_is_cut_goes_on_bit_for_bit(name, schedule, dtype):
    assert_goes_on(case_of(dtype), plan_of(name, schedule, SMALL, **other_values(name)))


@over("dtype", DTYPES)
@over("name", optimisers.OPTIMISERS)
def test_what_is_shown_and_loaded_again_is_what_torch_keeps(name, dtype):
    form = optimisers.OPTIMISERS[name]
    p = torch.tensor([1.0, -2.0, 3.0], dtype=getattr(torch, dtype), requires_grad=True)
    made = optimisers.make(name, OPTIMISERS[name].hyperparameters, [p])
    for g in ([0.5, 0.25, -1.0], [1.0, -0.125, 0.5]):
        p.grad = torch.tensor(g, dtype=p.dtype)
        made.step()
    kept = made.state[p]
    again = optimisers.loaded(optimisers.shown(made, p, form.kept, 2.0), p, form.kept, 2)
    assert again.keys() == kept.keys()
    for theirs, value in again.items():
        assert value.dtype == kept[theirs].dtype
        assert value.shape == kept[theirs].shape
        assert torch.equal(value, kept[theirs])


@pytest.mark.parametrize("name", optimisers.OPTIMISERS)
def test_what_the_reference_starts_with_is_what_torch_starts_with(name):
    """The reference's state has no count where its lines need none, and momentum's first step is not dampened."""
    case, plan = case_of(), plan_of(name, **other_values(name))
    given = replace(plan, states=plan.start(case.W, case.b, "float32"))
    for one, other in zip(TorchEager().train(case, plan), TorchEager().train(case, given), strict=True):
        assert_same(one, other)


@pytest.mark.parametrize("name", optimisers.OPTIMISERS)
def test_an_optimiser_may_start_afresh_within_a_schedule(name):
    plan = replace(plan_of(name, SCHEDULES[2], **other_values(name)), done=4)
    found = audited(case_of(), plan)
    assert "schedule: η" in {finding.equation for finding in found}
    assert broken(found) == set()
    first = next(iter(TorchEager().train(case_of(), plan)))
    assert first.rate == pytest.approx(plan.learning_rate * 0.9**4, rel=1e-14)


def test_a_run_that_goes_on_from_another_is_named():
    """States of four steps that are loaded as those of five."""
    case, plan = case_of(), plan_of("adam")
    left = list(TorchEager().train(case, plan))[CUT - 1]
    rest = replace(plan, batches=BATCHES[CUT:], done=CUT, states=left.new_state)
    late = replace(rest, states={place: {**kept, "t": kept["t"] - 1} for place, kept in left.new_state.items()})
    assert broken(audited(case.with_parameters(left.new_W, left.new_b), rest)) == set()
    assert "adam: t" in broken(audited(case.with_parameters(left.new_W, left.new_b), late, rest))


# --- what torch lacks


@pytest.mark.parametrize("name", ["momentum", "nesterov", "rmsprop_momentum", "rmsprop_centred_momentum"])
def test_a_momentum_of_0_is_said_to_lack(name):
    plan = plan_of(name, momentum=0.0)
    assert TorchEager().trains(plan) == f"torch.optim has no {name!r} with a momentum of 0"
    if name == "nesterov":
        with pytest.raises(ValueError, match="Nesterov momentum requires a momentum"):
            next(iter(TorchEager().train(case_of(), plan)))
    else:
        assert "b" not in next(iter(TorchEager().train(case_of(), plan))).new_state["W", 1]


def test_every_form_of_the_reference_is_trained_or_said_to_lack():
    for name in OPTIMISERS:
        said = TorchEager().trains(plan_of(name))
        assert said is True if name in optimisers.OPTIMISERS else said == f"torch.optim has no optimiser {name!r}"
    assert len(optimisers.OPTIMISERS) == 15


def test_torch_warms_up_from_no_rate_of_0():
    plan = plan_of("adam", Schedule("warm_up", {"steps": 7, "lowest": 0.0}))
    assert TorchEager().trains(plan) == "torch warms up from no rate of 0"
    with pytest.raises(ValueError, match="Starting multiplicative factor"):
        next(iter(TorchEager().train(case_of(), plan)))


def test_torch_clips_by_no_norm_without_an_eps():
    assert TorchEager().trains(plan_of("adam", clipping=Clipping("norm", 0.05))) == "torch clips by no 'norm'"


def test_a_cosine_is_refused_just_where_it_rises_again():
    """η is the lowest at the end of twelve steps of a cosine of eleven; of one of ten it has risen."""
    last, rising = (plan_of("adam", Schedule("cosine", {"steps": steps, "lowest": 0.1})) for steps in (11, 10))
    assert TorchEager().trains(last) is True
    assert broken(audited(case_of(), last)) == set()
    assert TorchEager().trains(rising) == "torch's cosine rises again after its steps"
    assert TorchEager().trains(replace(rising, batches=BATCHES[:11])) is True
    assert TorchEager().trains(replace(rising, batches=BATCHES[:11], done=1)) is not True
    found = [finding for finding in audited(case_of(), rising) if finding.equation == "schedule: η"]
    assert [finding.holds for finding in found] == [True] * 11 + [False]


# --- what is wrong is named

WRONG_SCHEDULES = {
    "η_min is not a share of η": (
        SCHEDULES[3],
        lambda o, p: torch.optim.lr_scheduler.CosineAnnealingLR(o, int(p["steps"]), p["lowest"]),
    ),
    "half a period": (
        SCHEDULES[3],
        lambda o, p: torch.optim.lr_scheduler.CosineAnnealingLR(
            o, 2 * int(p["steps"]), p["lowest"] * o.param_groups[0]["lr"]
        ),
    ),
    "exponential where steps are meant": (
        SCHEDULES[1],
        lambda o, p: torch.optim.lr_scheduler.ExponentialLR(o, p["factor"] ** (1 / p["every"])),
    ),
    "one part in 10⁹": (
        SCHEDULES[2],
        lambda o, p: torch.optim.lr_scheduler.ExponentialLR(o, p["factor"] * (1 - 1e-9)),
    ),
    "torch's own number of steps": (SCHEDULES[4], lambda o, p: torch.optim.lr_scheduler.LinearLR(o, p["lowest"])),
    "none": (SCHEDULES[4], lambda o, p: None),
}


@pytest.mark.parametrize("what", WRONG_SCHEDULES)
def test_a_wrong_schedule_is_named(what, monkeypatch):
    schedule, wrong = WRONG_SCHEDULES[what]
    plan = plan_of("adam", schedule)
    assert broken(audited(case_of(), plan)) == set()
    monkeypatch.setitem(optimisers.SCHEDULES, schedule.name, wrong)
    assert broken(audited(case_of(), plan)) == {"schedule: η"}


def nearly_trained(dtype):
    """A case whose labels are what it computes, but for 10⁻⁶: a gradient about as large as torch's ε."""
    names = Combination("tanh", "identity", "half_squared_error")
    case = draw_case(np.random.default_rng(0), names, Shape((5, 7, 3), 20), dtype)
    y = network.trace(case).a[case.last] + 1e-6 * np.random.default_rng(2).standard_normal(case.y.shape)
    return replace(case, y=y.astype(dtype).astype(np.float64))


def by_norm_alone(parameters, limit):
    """g c/‖g‖, as optax has it."""
    norm = torch.sqrt(sum((p.grad**2).sum() for p in parameters))
    for p in parameters:
        p.grad.mul_(min(1.0, limit / norm.item()))


def each_by_its_own_norm(parameters, limit):
    for p in parameters:
        torch.nn.utils.clip_grad_norm_([p], limit)


def not_at_all(parameters, limit):
    pass


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("wrong", [by_norm_alone, each_by_its_own_norm, not_at_all])
def test_a_wrong_clipping_by_norm_is_named(wrong, dtype, monkeypatch):
    """Near the end of a training ε is as large as the norm."""
    case = nearly_trained(dtype)
    plan = replace(plan_of("gradient_descent", clipping=Clipping("norm_with_eps", 1e-9)), batches=BATCHES[:1])
    assert broken(audited(case, plan)) == set()
    monkeypatch.setitem(optimisers.CLIPPINGS, "norm_with_eps", wrong)
    assert broken(audited(case, plan)) == {"clipping: W", "clipping: b"}


def test_the_norm_of_torch_is_not_taken_for_that_of_optax():
    case = nearly_trained("float32")
    plan = replace(plan_of("gradient_descent", clipping=Clipping("norm_with_eps", 1e-9)), batches=BATCHES[:1])
    meant = replace(plan, clipping=Clipping("norm", 1e-9))
    assert broken(audited(case, plan, meant)) == {"clipping: W", "clipping: b"}


@pytest.mark.parametrize("by", [1e-9, -1e-9, np.nan])
@pytest.mark.parametrize("schedule", SCHEDULES[1:], ids=lambda schedule: schedule.name)
def test_a_misreported_rate_is_named(schedule, by):
    """torch computes η in float64, whatever the format."""
    found = audited(
        case_of(), plan_of("adam", schedule), wrong=lambda step: replace(step, rate=step.rate * (1 + float(by)))
    )
    assert [finding.holds for finding in found if finding.equation == "schedule: η"] == [False] * len(BATCHES)


KEPT = [(name, kept) for name in optimisers.OPTIMISERS for kept in OPTIMISERS[name].kept]


@over("factor", [1.001, np.nan])
@over(("name", "kept"), KEPT)
def test_what_is_kept_and_misreported_is_named(name, kept, factor):
    """In the place where it is misreported, first of all."""
    place = ("b", 2)

    def wrong(step):
        state = step.new_state[place]
        return replace(step, new_state={**step.new_state, place: {**state, kept: state[kept] * factor}})

    found = audited(case_of(), replace(plan_of(name), batches=BATCHES[:2]), wrong=wrong)
    first = next(finding for finding in found if not finding.holds)
    assert (first.equation, first.layer) == (f"{name}: {kept}", 2)


@pytest.mark.parametrize("name", optimisers.OPTIMISERS)
def test_a_form_that_is_made_with_another_rate_is_named(name, monkeypatch):
    form = optimisers.OPTIMISERS[name]
    wrong = form._replace(arguments=lambda h: form.arguments(h) | {"lr": 1.001 * h["learning_rate"]})
    monkeypatch.setitem(optimisers.OPTIMISERS, name, wrong)
    found = broken(audited(case_of("float64"), plan_of(name)))
    assert found - {f"{name}: mu_product"} == ({"2a", "2b"} if name == "gradient_descent" else {f"{name}: w"})
