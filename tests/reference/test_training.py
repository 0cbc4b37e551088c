"""The training cycle: batches, steps of gradient descent and of every optimiser, and the audit of a step."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference import equations as eq
from reference import network
from reference.arrays import tree
from reference.audit import MalformedTrace, audit_update, first_break
from reference.case import CaseError
from reference.cases import Combination, Shape, draw_case
from reference.clipping import FORMS, Clipping, global_norm
from reference.optimisers import OPTIMISERS, optimiser
from reference.rounding import ACCUMULATED_IN, DTYPES, FORMATS, HALF, UNIT_ROUNDOFF, rounded
from reference.schedules import Schedule
from reference.training import Plan, audit_training, clip, descent, draw_batches, is_descent, train, update
from tests.arithmetics import arithmetic
from tests.tables import over


def small_case(dtype="float64"):
    combination = Combination("tanh", "sigmoid", "binary_cross_entropy_on_logits")
    return draw_case(np.random.default_rng(0), combination, Shape((3, 4, 2), 10), dtype)


@given(st.integers(1, 40), st.integers(1, 45), st.integers(1, 4), st.integers(0, 1000))
def test_every_epoch_sees_every_sample_once(samples, size, epochs, seed):
    drawn = draw_batches(np.random.default_rng(seed), samples, size, epochs)
    per_epoch = -(-samples // size)
    assert len(drawn) == per_epoch * epochs
    for epoch in range(epochs):
        batches = drawn[epoch * per_epoch : (epoch + 1) * per_epoch]
        seen = np.concatenate(batches)
        assert sorted(seen) == list(range(samples)), f"epoch {epoch} sees {sorted(seen)}"
        assert [len(batch) for batch in batches[:-1]] == [size] * (per_epoch - 1)
        assert len(batches[-1]) == samples - size * (per_epoch - 1)


def test_the_last_batch_is_smaller():
    batches = draw_batches(np.random.default_rng(0), 10, 4, 2)
    assert [len(batch) for batch in batches] == [4, 4, 2, 4, 4, 2]
    assert descent(batches, 0.5).learning_rate == 0.5


def test_epochs_have_orders_of_their_own_and_a_seed_has_one():
    def drawn(seed):
        return np.concatenate(draw_batches(np.random.default_rng(seed), 20, 5, 2))

    assert drawn(1).tolist() == drawn(1).tolist()
    assert drawn(1).tolist() != drawn(2).tolist()
    assert drawn(1)[:20].tolist() != drawn(1)[20:].tolist()


def test_descent_follows_the_equations(dtype):
    """In half precision an update is computed in float32, and rounded once."""
    case = small_case(dtype)
    plan = descent(draw_batches(np.random.default_rng(1), case.samples, 4, 2), 0.3)
    steps = list(train(case, plan, lambda now: network.trace(now, dtype), dtype))
    assert len(steps) == len(plan.batches)
    computed_in = ACCUMULATED_IN[dtype]
    eta = np.dtype(computed_in).type(0.3)
    W, b = case.W, case.b
    for batch, step in zip(plan.batches, steps, strict=True):
        before = case.with_parameters(W, b).on_batch(case.x[batch], case.y[batch])
        now = network.trace(before, dtype)
        assert step.trace.loss == now.loss
        for l in case.layers:
            assert np.array_equal(step.W[l], W[l])
            assert np.array_equal(step.b[l], b[l])
            assert np.array_equal(step.trace.dW[l], now.dW[l])
            new_W = eq.eq_2a(W[l].astype(computed_in), now.dW[l].astype(computed_in), eta)
            new_b = eq.eq_2b(b[l].astype(computed_in), now.db[l].astype(computed_in), eta)
            assert new_W.dtype == new_b.dtype == computed_in
            assert np.array_equal(step.new_W[l], rounded(new_W, dtype))
            assert np.array_equal(step.new_b[l], rounded(new_b, dtype))
        assert first_break(audit_update(before, step.trace, step.new_W, step.new_b, 0.3)) is None
        W, b = step.new_W, step.new_b
    assert any((step.new_W[1] != case.W[1]).any() for step in steps)


@pytest.mark.parametrize("dtype", HALF)
def test_an_update_below_half_the_spacing_is_lost_in_half_precision(dtype):
    """So training in half precision stands still; that is the format's doing, and within the allowance of (2a)."""
    old, u = np.ones((1, 1)), UNIT_ROUNDOFF[dtype]
    place, made = ("W", 1), optimiser("gradient_descent", learning_rate=1.0)

    def new(gradient, format):
        return update(made, {place: np.full((1, 1), gradient)}, {place: {}}, {place: old}, format)[place][0]

    assert new(-0.9 * u, dtype) == 1
    assert new(-1.1 * u, dtype) == 1 + 2 * u
    assert new(-0.9 * u, "float32") > 1


def test_new_parameters_are_numbers_of_the_format(dtype):
    case = small_case(dtype)
    plan = descent(draw_batches(np.random.default_rng(1), case.samples, 4, 1), 0.3)
    for step in train(case, plan, lambda now: network.trace(now, dtype), dtype):
        for layers in (step.new_W, step.new_b):
            for array in layers.values():
                assert array.dtype == "float64"
                assert np.array_equal(array.astype(FORMATS[dtype]).astype(float), array)


def test_descent_lowers_the_loss_as_eq_4_says():
    """For a small step, ΔC is −η‖∇C‖² but for a part that is of second order in η."""
    case = small_case()
    before = network.trace(case)
    gradient = {"W": before.dW, "b": before.db}
    rest = []
    for eta in (1e-2, 5e-3):
        plan = descent((np.arange(case.samples),), eta)
        (step,) = train(case, plan, network.trace)
        after = network.trace(case.with_parameters(step.new_W, step.new_b)).loss
        assert after < before.loss
        rest.append(abs(after - before.loss - eq.eq_4(gradient, eta)))
    assert rest[0] / rest[1] == pytest.approx(4, rel=0.05)


def test_a_step_uses_its_own_batch_only():
    case = small_case()
    seen = []

    def spy(now):
        seen.append(now)
        return network.trace(now)

    plan = descent((np.array([2, 5]), np.array([7])), 0.1)
    list(train(case, plan, spy))
    assert [now.x.tolist() for now in seen] == [case.x[[2, 5]].tolist(), case.x[[7]].tolist()]
    assert [now.y.tolist() for now in seen] == [case.y[[2, 5]].tolist(), case.y[[7]].tolist()]
    assert np.array_equal(seen[0].W[1], case.W[1])
    assert not np.array_equal(seen[1].W[1], case.W[1])


def test_descent_leaves_the_case_as_it_was():
    case = small_case()
    before = {l: W.copy() for l, W in case.W.items()}
    list(train(case, descent((np.arange(4),), 0.1), network.trace))
    assert all(np.array_equal(case.W[l], before[l]) for l in case.layers)


# --- plans

BATCHES = draw_batches(np.random.default_rng(1), 10, 4, 3)
"""Nine, every third of them of two samples."""

SCHEDULES = (
    Schedule("step", {"every": 2, "factor": 0.5}),
    Schedule("exponential", {"factor": 0.9}),
    Schedule("cosine", {"steps": 9, "lowest": 0.1}),
    Schedule("warm_up", {"steps": 5, "lowest": 0.1}),
)
CLIPPINGS = tuple(Clipping(form, 0.05) for form in FORMS)


def plan_of(name, schedule=None, clipping=None, **h):
    return Plan(BATCHES, optimiser(name, **h), schedule or Schedule(), clipping)


def in_format(name, dtype):
    """ε of a size that float16 has: the usual one is 0 there, and a denominator that may be 0 is not held."""
    return {"eps": 1e-2} if dtype == "float16" and "eps" in OPTIMISERS[name].hyperparameters else {}


def trained(plan, dtype="float64"):
    case = small_case(dtype)
    return case, list(train(case, plan, lambda now: network.trace(now, dtype), dtype))


def same(one, other):
    """Whether two trees of arrays, or of states, are equal bit for bit."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[name]) for name, value in one.items())
    return bool(np.array_equal(one, other))


def test_plain_descent_is_told_from_the_rest():
    assert is_descent(descent(BATCHES, 0.1))
    assert is_descent(plan_of("gradient_descent", SCHEDULES[0], CLIPPINGS[0]))
    assert not is_descent(plan_of("gradient_descent", weight_decay=0.1))
    assert not is_descent(plan_of("momentum"))


def test_the_rate_of_a_step_counts_the_steps_that_were_made_before():
    plan = plan_of("adam", SCHEDULES[0], learning_rate=0.8)
    assert [plan.rate(step) for step in range(5)] == [0.8, 0.8, 0.4, 0.4, 0.2]
    assert [replace(plan, done=3).rate(step) for step in range(2)] == [0.4, 0.2]


def test_a_run_starts_from_what_its_optimiser_starts_with_in_the_format(dtype):
    case = small_case(dtype)
    start = plan_of("adagrad_eps_in_root").start(case.W, case.b, dtype)
    assert list(start) == [("W", 1), ("b", 1), ("W", 2), ("b", 2)]
    for place, w in tree(case.W, case.b).items():
        assert np.array_equal(start[place]["s"], np.full_like(w, rounded(0.1, dtype)))
    assert plan_of("nadam").start(case.W, case.b, dtype)["W", 1]["mu_product"] == 1.0
    given = {("W", 1): {"s": np.ones((2, 2))}}
    assert replace(plan_of("adagrad"), states=given).start(case.W, case.b, dtype) == given


@over("name", OPTIMISERS)
def test_a_step_is_the_optimisers_own(name):
    """On the scheduled η and the clipped gradient; every parameter by itself."""
    plan = plan_of(name, SCHEDULES[2], CLIPPINGS[1])
    case, steps = trained(plan)
    state = plan.start(case.W, case.b, "float64")
    for number, step in enumerate(steps):
        now = plan.optimiser.at_rate(plan.rate(number))
        for place, w in tree(step.W, step.b).items():
            new, kept = now.update(step.clipped[place], state[place], w)
            assert np.array_equal(tree(step.new_W, step.new_b)[place], new)
            assert same(step.new_state[place], kept)
        assert step.rate == plan.rate(number)
        state = step.new_state


@pytest.mark.parametrize("clipping", CLIPPINGS, ids=FORMS)
def test_the_gradient_is_clipped_before_the_optimiser_has_it(clipping, dtype):
    _, steps = trained(plan_of("gradient_descent", clipping=clipping, learning_rate=0.1), dtype)
    for step in steps:
        g = tree(step.trace.dW, step.trace.db)
        assert global_norm(step.clipped) < global_norm(g)
        assert same(step.clipped, clip(clipping, g, dtype))
        for array in step.clipped.values():
            assert np.array_equal(rounded(array, dtype), array)
    _, unclipped = trained(plan_of("gradient_descent", learning_rate=0.1), dtype)
    assert all(step.clipped is None for step in unclipped)
    assert not same(steps[0].new_W, unclipped[0].new_W)


@over("dtype", ["float64", "bfloat16"])
@over("name", OPTIMISERS)
def test_a_run_that_is_cut_goes_on_bit_for_bit(name, dtype):
    plan, cut = plan_of(name, SCHEDULES[2], CLIPPINGS[0]), 4
    case, whole = trained(plan, dtype)
    left = whole[cut - 1]
    rest = replace(plan, batches=BATCHES[cut:], done=cut, states=left.new_state)
    again = train(case.with_parameters(left.new_W, left.new_b), rest, lambda now: network.trace(now, dtype), dtype)
    for one, other in zip(whole[cut:], again, strict=True):
        assert one.rate == other.rate
        assert same(one.new_W, other.new_W)
        assert same(one.new_b, other.new_b)
        assert same(one.new_state, other.new_state)


# --- the audit of a step

TRACE = ("z", "a", "8", "1", "9", "14", "7a", "7b")


def audited(plan, steps, case, wrong=lambda step: step, meant=None, engine=None):
    """The findings of every step, by step, held to the plan that is meant."""
    meant = meant or plan
    state, found = meant.start(case.W, case.b, case.dtype), []
    for number, (made, batch) in enumerate(zip(steps, plan.batches, strict=True)):
        now = case.with_parameters(made.W, made.b).on_batch(case.x[batch], case.y[batch])
        found.append(audit_training(now, meant, number, state, wrong(made), arithmetic(engine)))
        state = made.new_state
    return found


def broken(found):
    """The equations and layers of the findings that do not hold."""
    return [(finding.equation, finding.layer) for finding in found if not finding.holds]


def lines_of(name):
    """What the audit of a step says of an optimiser."""
    return ["2a", "2b"] if name == "gradient_descent" else [f"{name}: {line}" for line in OPTIMISERS[name].observed]


CENTRED = ("rmsprop_centred", "rmsprop_centred_momentum")
"""Forms with √(v − a²)."""


@over(
    ("name", "dtype"),
    [(name, dtype) for name in OPTIMISERS for dtype in DTYPES if dtype != "float16" or name not in CENTRED],
    quick=55,
)
def test_every_step_of_the_reference_holds_in_every_format(name, dtype):
    plan = plan_of(name, SCHEDULES[2], CLIPPINGS[1], **in_format(name, dtype))
    case, steps = trained(plan, dtype)
    findings = audited(plan, steps, case)
    assert len(findings) == len(BATCHES)
    for found in findings:
        assert broken(found) == []
        equations = {finding.equation for finding in found}
        assert equations == {*TRACE, "schedule: η", "clipping: W", "clipping: b", *lines_of(name)}
        for line in lines_of(name):  # once for every parameter, or for W and b apart
            layers = [finding.layer for finding in found if finding.equation == line]
            assert layers == ([1, 2] if name == "gradient_descent" else [1, 1, 2, 2])


@pytest.mark.parametrize("name", CENTRED)
def test_in_float16_the_root_of_a_centred_second_moment_is_no_number(name):
    """Of a small g the v that is kept is 0, and v − a² is below it."""
    with np.errstate(invalid="ignore"), pytest.raises(CaseError, match="should be finite"):
        trained(plan_of(name, clipping=CLIPPINGS[1]), "float16")


def test_in_float16_adam_with_the_usual_eps_is_not_held():
    """ε is 0, and so may √v̂ + ε be: no allowance of w is finite, and what has none does not hold."""
    plan = plan_of("adam", clipping=CLIPPINGS[1])
    case, steps = trained(plan, "float16")
    assert {equation for found in audited(plan, steps, case) for equation, _ in broken(found)} == {"adam: w"}


@over("name", ["adam", "gradient_descent", "momentum", "lion"], quick=1)
@over(("schedule", "clipping"), list(product([Schedule(), *SCHEDULES], [None, *CLIPPINGS])), quick=10)
def test_every_schedule_and_clipping_holds(schedule, clipping, name):
    for dtype in DTYPES:
        plan = plan_of(name, schedule, clipping, **in_format(name, dtype))
        case, steps = trained(plan, dtype)
        for found in audited(plan, steps, case):
            assert broken(found) == []
            equations = [finding.equation for finding in found]
            assert equations.count("schedule: η") == (schedule.name != "constant")
            assert equations.count("clipping: W") == (0 if clipping is None else 2)


@pytest.mark.parametrize("name", ["gradient_descent", "adam"])
def test_what_goes_on_from_steps_made_before_holds(name):
    plan, cut = plan_of(name, SCHEDULES[1], CLIPPINGS[1]), 4
    case, whole = trained(plan)
    rest = replace(plan, batches=BATCHES[cut:], done=cut, states=whole[cut - 1].new_state)
    for found in audited(rest, whole[cut:], case):
        assert broken(found) == []
    for found in audited(rest, whole[cut:], case, meant=replace(rest, done=cut + 1)):
        assert broken(found)[0] == ("schedule: η", 0)


def test_findings_come_in_the_order_of_the_computation():
    plan = plan_of("adam", SCHEDULES[2], CLIPPINGS[1])
    case, steps = trained(plan)
    found = audited(plan, steps, case)[0]
    order = list(dict.fromkeys(finding.equation for finding in found))
    assert set(order[: len(TRACE)]) == set(TRACE)
    assert order[len(TRACE) :] == ["schedule: η", "clipping: W", "clipping: b", *lines_of("adam")]


def with_part(mapping, key, change):
    return {**mapping, key: change(mapping[key])}


def one_off(array):
    """One element larger by a thousandth."""
    array = array.copy()
    array.flat[-1] *= 1.001
    return array


def with_state(step, place, **changes):
    """The step with something kept of one parameter changed."""
    kept = step.new_state[place]
    changed = {**kept, **{name: change(kept[name]) for name, change in changes.items()}}
    return replace(step, new_state={**step.new_state, place: changed})


def with_trace(step, **changes):
    """The step with something of its trace changed."""
    return replace(step, trace=replace(step.trace, **{n: f(getattr(step.trace, n)) for n, f in changes.items()}))


MISREPORTED = {
    # how a step is wrong, and the first that is named
    "z": (lambda step: with_trace(step, z=lambda z: with_part(z, 2, one_off)), ("z", 2)),
    "the error term": (lambda step: with_trace(step, delta=lambda delta: with_part(delta, 1, one_off)), ("14", 1)),
    "the gradient": (lambda step: with_trace(step, dW=lambda dW: with_part(dW, 1, one_off)), ("7a", 1)),
    "the gradient of a bias": (lambda step: with_trace(step, db=lambda db: with_part(db, 2, one_off)), ("7b", 2)),
    "the loss": (lambda step: with_trace(step, loss=lambda loss: 1.001 * loss), ("1", 2)),
    "η": (lambda step: replace(step, rate=1.001 * step.rate), ("schedule: η", 0)),
    "η, no number": (lambda step: replace(step, rate=np.nan), ("schedule: η", 0)),
    "what is clipped": (
        lambda step: replace(step, clipped=with_part(step.clipped, ("W", 2), one_off)),
        ("clipping: W", 2),
    ),
    "what is clipped of a bias": (
        lambda step: replace(step, clipped=with_part(step.clipped, ("b", 1), one_off)),
        ("clipping: b", 1),
    ),
    "m": (lambda step: with_state(step, ("W", 2), m=one_off), ("adam: m", 2)),
    "v": (lambda step: with_state(step, ("b", 1), v=one_off), ("adam: v", 1)),
    "v, no number": (lambda step: with_state(step, ("b", 1), v=lambda v: v * np.nan), ("adam: v", 1)),
    "the count": (lambda step: with_state(step, ("W", 1), t=lambda t: t + 1), ("adam: t", 1)),
    "W": (lambda step: replace(step, new_W=with_part(step.new_W, 1, one_off)), ("adam: w", 1)),
    "b": (lambda step: replace(step, new_b=with_part(step.new_b, 2, one_off)), ("adam: w", 2)),
    "W, no number": (lambda step: replace(step, new_W=with_part(step.new_W, 1, lambda W: W * np.nan)), ("adam: w", 1)),
    "W, where it was": (lambda step: replace(step, new_W=step.W), ("adam: w", 1)),
}


@over("engine", [None, "numpy"])
@over("what", MISREPORTED)
def test_what_is_misreported_is_named_at_every_step(what, engine):
    wrong, named = MISREPORTED[what]
    plan = plan_of("adam", SCHEDULES[2], CLIPPINGS[1], learning_rate=0.1)
    case, steps = trained(plan, "float32")
    for found in audited(plan, steps, case, wrong, engine=engine):
        assert broken(found)[0] == named


OF_DESCENT = {
    "W": (lambda step: replace(step, new_W=with_part(step.new_W, 1, one_off)), [("2a", 1)]),
    "b": (lambda step: replace(step, new_b=with_part(step.new_b, 2, one_off)), [("2b", 2)]),
    "b, no number": (lambda step: replace(step, new_b=with_part(step.new_b, 2, lambda b: b * np.nan)), [("2b", 2)]),
    "W and b, uphill": (
        lambda step: replace(
            step,
            new_W={l: 2 * step.W[l] - W for l, W in step.new_W.items()},
            new_b={l: 2 * step.b[l] - b for l, b in step.new_b.items()},
        ),
        [("2a", 1), ("2b", 1), ("2a", 2), ("2b", 2)],
    ),
    "nothing": (lambda step: step, []),
}


@over("clipping", [None, *CLIPPINGS], ids=["unclipped", *FORMS])
@over("what", OF_DESCENT)
def test_gradient_descent_is_held_to_its_equations(what, clipping):
    wrong, named = OF_DESCENT[what]
    plan = plan_of("gradient_descent", SCHEDULES[1], clipping, learning_rate=0.3)
    case, steps = trained(plan, "float32")
    for found in audited(plan, steps, case, wrong):
        assert broken(found) == named


OTHER = {
    # what is done, what is meant, and the first that is named
    "η": (plan_of("adam", learning_rate=0.1), plan_of("adam", learning_rate=0.11), "adam: w"),
    "η of descent": (descent(BATCHES, 0.1), descent(BATCHES, 0.11), "2a"),
    "β₁": (plan_of("adam", beta1=0.8), plan_of("adam"), "adam: m"),
    "β₂": (plan_of("adam", beta2=0.99), plan_of("adam"), "adam: v"),
    "ε": (plan_of("adam", eps=1e-3), plan_of("adam"), "adam: w"),
    "weight decay": (plan_of("adam", weight_decay=0.1), plan_of("adam"), "adam: m"),
    "decay of descent": (
        plan_of("gradient_descent", weight_decay=0.5),
        plan_of("gradient_descent", weight_decay=0.4),
        "gradient_descent: w",
    ),
    "decay where none is": (plan_of("gradient_descent", weight_decay=0.5), plan_of("gradient_descent"), "2a"),
    "the schedule": (plan_of("adam", SCHEDULES[0]), plan_of("adam", SCHEDULES[1]), "schedule: η"),
    "none of a schedule": (
        plan_of("adam", Schedule("exponential", {"factor": 1.0})),
        plan_of("adam", SCHEDULES[1]),
        "schedule: η",
    ),
    "the limit": (
        plan_of("adam", clipping=Clipping("value", 0.01)),
        plan_of("adam", clipping=CLIPPINGS[0]),
        "clipping: W",
    ),
    "the form of clipping": (
        plan_of("adam", clipping=CLIPPINGS[0]),
        plan_of("adam", clipping=CLIPPINGS[1]),
        "clipping: W",
    ),
    "clipping where none is": (plan_of("momentum", clipping=CLIPPINGS[1]), plan_of("momentum"), "momentum: b"),
    "clipping of descent where none is": (
        plan_of("gradient_descent", clipping=CLIPPINGS[1], learning_rate=0.1),
        descent(BATCHES, 0.1),
        "2a",
    ),
    "steps made before": (
        replace(plan_of("adam", SCHEDULES[1]), done=1),
        plan_of("adam", SCHEDULES[1]),
        "schedule: η",
    ),
}


@pytest.mark.parametrize("what", OTHER)
def test_another_plan_is_found(what):
    done, meant, named = OTHER[what]
    case, steps = trained(done, "float32")
    findings = [finding for found in audited(done, steps, case, meant=meant) for finding in found]
    assert broken(findings)[0][0] == named


@pytest.mark.parametrize(
    ("lacking", "said"),
    [
        ({"rate": None}, "the rate is missing"),
        ({"clipped": None}, "the clipped gradient is missing"),
        ({"clipped": {}}, r"the clipped gradient of W\^1 is missing"),
        ({"new_state": {}}, "new W or state of layer 1 is missing"),
        ({"new_W": {}}, "new W or state of layer 1 is missing"),
        ({"new_W": {1: np.zeros((2, 2))}}, "new w of adam has shape"),
        ({"new_b": {}}, "new b or state of layer 1 is missing"),
    ],
)
def test_what_is_missing_is_malformed(lacking, said):
    plan = plan_of("adam", SCHEDULES[2], CLIPPINGS[0])
    case, steps = trained(plan)
    with pytest.raises(MalformedTrace, match=said):
        audited(plan, steps, case, lambda step: replace(step, **lacking))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda step: with_trace(step, dW=lambda dW: {1: dW[1]}), "dW of layer 2 is missing"),
        (lambda step: with_trace(step, loss=lambda loss: None), "the loss is missing"),
        (lambda step: replace(step, new_b={1: step.new_b[1]}), "new W or b of layer 2 is missing"),
        (lambda step: replace(step, new_W={**step.new_W, 1: step.new_W[1].T}), "shape"),
    ],
)
def test_what_is_missing_of_descent_is_malformed(wrong, said):
    plan = descent(BATCHES, 0.1)
    case, steps = trained(plan)
    with pytest.raises(MalformedTrace, match=said):
        audited(plan, steps, case, wrong)
