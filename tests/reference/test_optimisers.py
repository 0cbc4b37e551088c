"""The optimisers, by hand and by what they have in common; their audit, with a wrong line that it must name."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from reference import rounding as rd
from reference.audit import MalformedTrace
from reference.bounded import sign, sqrt
from reference.optimisers import (
    COUPLED,
    OPTIMISERS,
    SINGLE,
    audit_step,
    needs,
    optimiser,
)
from tests.arithmetics import arithmetic
from tests.tables import over

F = Fraction
N, STEPS = 400, 8

every_optimiser = over("name", OPTIMISERS)


def numbers(rng, dtype, lowest=-9, highest=3):
    """Numbers of a format, of every magnitude between two powers of ten, and a few zeros."""
    sizes = 10.0 ** rng.uniform(lowest, highest, N)
    return rd.rounded(np.where(rng.random(N) < 0.03, 0.0, rng.choice([-1, 1], N) * sizes), dtype)


def steps(makes, dtype, seed=2026, count=STEPS, at_once=False, **range_of_numbers):
    """Steps of an optimiser in NumPy, in `dtype`; half precision is computed in float32, and stored.

    `at_once` uses what is kept before it is stored.
    """
    rng = np.random.default_rng(seed)
    computed_in = rd.ACCUMULATED_IN[dtype]

    def stored(values):
        return values if np.ndim(values) == 0 else rd.rounded(values, dtype).astype(computed_in)

    w = stored(numbers(rng, dtype, **range_of_numbers))
    state = {name: stored(value) for name, value in makes.init(w).items()}
    for _ in range(count):
        g = stored(numbers(rng, dtype, **range_of_numbers))
        if at_once:
            new_w, new_state = makes.update(g, state, w)
            new_w, new_state = stored(new_w), {name: stored(value) for name, value in new_state.items()}
        else:
            new_w, new_state = makes.update(g, state, w, stored)
        yield in_float64(w), in_float64(state), in_float64(g), in_float64(new_w), in_float64(new_state)
        w, state = new_w, new_state


def in_float64(given):
    if isinstance(given, dict):
        return {name: in_float64(value) for name, value in given.items()}
    return given if np.ndim(given) == 0 else given.astype(np.float64)


def breaks(audited, made, dtype, engine="numpy", **how):
    """The lines that do not hold, in any step."""
    found = []
    for step in steps(made, dtype, **how):
        findings = audit_step(audited, dtype, *step, 1, arithmetic(engine))
        assert [f.equation for f in findings] == [f"{audited.name}: {line}" for line in audited.observed]
        found += [finding for finding in findings if not finding.holds]
    return found


# --- the table


@every_optimiser
def test_an_optimiser_computes_what_it_keeps_and_w_from_what_it_has(name):
    o = OPTIMISERS[name]
    assert o.name == name
    assert set(o.kept) <= set(o.lines)
    assert set(o.observed) == {*o.kept, "w"}
    known = {*o.hyperparameters, *o.kept, "w", "g"}
    for line, compute in o.lines.items():
        assert set(needs(compute)) <= known, line
        known.add(line)
    used = {needed for compute in o.lines.values() for needed in needs(compute)}
    assert set(o.hyperparameters) <= used | {str(start) for start in o.kept.values()}


@every_optimiser
def test_the_first_state_and_a_step_have_the_shape_and_the_format_of_w(name):
    w = np.ones((3, 2), dtype=np.float32)
    o = OPTIMISERS[name]
    state = o.init(w)
    new_w, new_state = o.update(np.full_like(w, 0.5), state, w)
    assert set(state) == set(new_state) == set(o.kept)
    for arrays in (state, new_state):
        for kept, value in arrays.items():
            if kept in SINGLE:
                assert np.ndim(value) == 0
            else:
                assert (value.shape, value.dtype) == (w.shape, w.dtype), kept
    assert (new_w.shape, new_w.dtype) == (w.shape, w.dtype)


@every_optimiser
def test_a_step_goes_against_the_gradient_and_changes_nothing_in_place(name):
    w, g = np.array([1.0, 1.0]), np.array([0.5, -0.5])
    o = optimiser(name, **({"weight_decay": 0.0} if "weight_decay" in OPTIMISERS[name].hyperparameters else {}))
    state = o.init(w)
    before = {kept: np.copy(value) for kept, value in state.items()}
    new_w, _ = o.update(g, state, w)
    assert new_w[0] < 1 < new_w[1]
    assert w.tolist() == [1, 1]
    assert all(np.array_equal(before[kept], state[kept]) for kept in before)


def test_what_is_not_an_optimiser_or_not_a_hyperparameter_is_refused():
    with pytest.raises(ValueError, match=r"optimiser is 'adm', but should be one of gradient_descent, "):
        optimiser("adm")
    with pytest.raises(ValueError, match=r"adam has no 'momentum', but learning_rate, beta1, beta2, eps"):
        optimiser("adam", momentum=0.9)


@pytest.mark.parametrize(
    ("name", "given", "value", "right"),
    [
        ("adam", "beta1", 1.0, r"\[0, 1\)"),
        ("adam", "beta2", -0.1, r"\[0, 1\)"),
        ("adam", "learning_rate", float("nan"), r"\[0, ∞\)"),
        ("adam", "eps", float("inf"), r"\[0, ∞\)"),
        ("momentum", "dampening", 1.1, r"\[0, 1\]"),
        ("rmsprop", "decay", 1.0, r"\[0, 1\)"),
    ],
)
def test_a_hyperparameter_out_of_range_is_refused(name, given, value, right):
    with pytest.raises(ValueError, match=rf"{given} of {name} is {value}, but should be in {right}"):
        optimiser(name, **{given: value})


def test_what_is_not_given_has_its_usual_value():
    o = optimiser("adam", beta1=0.5)
    assert o.hyperparameters == OPTIMISERS["adam"].hyperparameters | {"beta1": 0.5}
    assert OPTIMISERS["adam"].hyperparameters["beta1"] == 0.9


# --- by hand, in fractions

BY_HAND = {
    # (2a): 3 − ½ (2 + ¼·3)
    "gradient_descent": ({"learning_rate": 0.5, "weight_decay": 0.25}, [2], [F(13, 8)]),
    "gradient_descent_decoupled": ({"learning_rate": 0.5, "weight_decay": 0.25}, [2], [F(13, 8)]),
    # b = 2, then ½·2 + ¾·4 = 4
    "momentum": ({"learning_rate": 0.5, "momentum": 0.5, "dampening": 0.25}, [2, 4], [F(2), F(0)]),
    # b = 2, step 2 + ½·2 = 3; then b = ½·2 + 4 = 5, step 4 + ½·5 = 13/2
    "nesterov": ({"learning_rate": 0.5, "momentum": 0.5}, [2, 4], [F(3, 2), F(-7, 4)]),
    # s = 0 + 9, 9 + 16; η = ½, then ½/(1 + ½); d = 3 + 1, 5 + 1
    "adagrad": (
        {"learning_rate": 0.5, "learning_rate_decay": 0.5, "eps": 1},
        [3, 4],
        [3 - F(1, 2) * F(3, 4), 3 - F(3, 8) - F(1, 3) * F(4, 6)],
    ),
    # s = 2 + 9, √(11 + 5) = 4
    "adagrad_eps_in_root": ({"learning_rate": 0.5, "eps": 5, "initial_accumulator": 2}, [3], [3 - F(3, 8)]),
    # v = ¼·16 = 4; then ¾·4 + ¼·4 = 4
    "rmsprop": ({"learning_rate": 0.5, "decay": 0.75, "eps": 2}, [4, 2], [F(5, 2), F(9, 4)]),
    # b = 4/4 = 1; then ½ + 2/4 = 1
    "rmsprop_momentum": (
        {"learning_rate": 0.5, "decay": 0.75, "eps": 2, "momentum": 0.5},
        [4, 2],
        [F(5, 2), F(2)],
    ),
    # v = ½·32, a = ½·√32: v − a² = 16 − 8; with g = 4: v = 8, a = 2, √(8 − 4) = 2, d = 4
    "rmsprop_centred": ({"learning_rate": 0.5, "decay": 0.5, "eps": 2}, [4], [F(5, 2)]),
    "rmsprop_centred_momentum": (
        {"learning_rate": 0.5, "decay": 0.5, "eps": 2, "momentum": 0.5},
        [4],
        [F(5, 2)],
    ),
    # v = ¼·16 = 4, √(4 + 5) = 3
    "rmsprop_eps_in_root": ({"learning_rate": 0.5, "decay": 0.75, "eps": 5}, [4], [3 - F(1, 2) * F(4, 3)]),
    # b = −½·4/3, then ½ b − ½·2/√(¾·4 + ¼·4 + 5)
    "rmsprop_eps_in_root_momentum": (
        {"learning_rate": 0.5, "decay": 0.75, "eps": 5, "momentum": 0.5},
        [4, 2],
        [3 - F(2, 3), 3 - F(2, 3) - F(1, 3) - F(1, 3)],
    ),
    # v − a² = 8 − 4, √(4 + 5) = 3
    "rmsprop_eps_in_root_centred": ({"learning_rate": 0.5, "decay": 0.5, "eps": 5}, [4], [3 - F(1, 2) * F(4, 3)]),
    "rmsprop_eps_in_root_centred_momentum": (
        {"learning_rate": 0.5, "decay": 0.5, "eps": 5, "momentum": 0.5},
        [4],
        [3 - F(1, 2) * F(4, 3)],
    ),
    # v = ¾·4 = 3: d = √(0 + 1)/√(3 + 1)·2 = 1; x = ¾
    # v = ¼·3 + ¾·3 = 3, g = √3 is not a fraction: g = −2 again: v = ¾ + 3 = 15/4 is not a square; one step
    "adadelta": ({"learning_rate": 0.5, "decay": 0.25, "eps": 1}, [2], [F(5, 2)]),
    # m̂ = 1/½ = 2, √v̂ = √(1/¼) = 2; then m = ½ − 1, m̂ = −½/¾, v = ¾ + ¼·4, v̂ = 7/4·16/7 = 4
    "adam": (
        {"learning_rate": 0.1, "beta1": 0.5, "beta2": 0.75, "eps": 0.5},
        [2, -2],
        [3 - F(1, 10) * F(4, 5), 3 - F(2, 25) + F(1, 10) * F(2, 3) * F(2, 5)],
    ),
    # the same beside (1 − ½·½) w
    "adamw": (
        {"learning_rate": 0.5, "beta1": 0.5, "beta2": 0.75, "eps": 0.5, "weight_decay": 0.5},
        [2],
        [3 * F(3, 4) - F(1, 2) * F(4, 5)],
    ),
    # ψ = 0: μ = ½·½ = ¼ in every step; m̂ = ¾/(1 − ¼)·2 + ¼/(1 − 1/16)·1 = 2 + 4/15; √v̂ = 2
    "nadam": (
        {"learning_rate": 0.5, "beta1": 0.5, "beta2": 0.75, "eps": 0.5, "momentum_decay": 0},
        [2],
        [3 - F(1, 2) * F(34, 15) * F(2, 5)],
    ),
    "nadamw": (
        {"learning_rate": 0.5, "beta1": 0.5, "beta2": 0.75, "eps": 0.5, "momentum_decay": 0, "weight_decay": 0.5},
        [2],
        [3 * F(3, 4) - F(1, 2) * F(34, 15) * F(2, 5)],
    ),
    # m̂ = ½·1/(1 − ¼) + ½·2/(1 − ½) = 2/3 + 2
    "nadam_constant": (
        {"learning_rate": 0.5, "beta1": 0.5, "beta2": 0.75, "eps": 0.5},
        [2],
        [3 - F(1, 2) * F(8, 3) * F(2, 5)],
    ),
    "nadamw_constant": (
        {"learning_rate": 0.5, "beta1": 0.5, "beta2": 0.75, "eps": 0.5, "weight_decay": 0.5},
        [2],
        [3 * F(3, 4) - F(1, 2) * F(8, 3) * F(2, 5)],
    ),
    # v = 1, then ¾: v_max = 1, √(1·16/7) is not a fraction; β₂ = 0: v̂ = v = 4, then 1: v_max = 4
    "amsgrad": (
        {"learning_rate": 0.5, "beta1": 0.0, "beta2": 0.0, "eps": 0.5},
        [2, 1],
        [3 - F(1, 2) * F(2) * F(2, 5), 3 - F(2, 5) - F(1, 2) * F(1) * F(2, 5)],
    ),
    "amsgrad_of_corrected": (
        {"learning_rate": 0.5, "beta1": 0.0, "beta2": 0.75, "eps": 0.5},
        [2, 0],
        [3 - F(2, 5), 3 - F(2, 5)],
    ),
    # u = 2 + ½; then max(½·5/2, 1 + ½) = 3/2; m̂ = 2, then m = ½·1 + ½·1 = 1, m̂ = 4/3
    "adamax": (
        {"learning_rate": 0.5, "beta1": 0.5, "beta2": 0.5, "eps": 0.5},
        [2, 1],
        [3 - F(1, 2) * F(4, 5), 3 - F(2, 5) - F(1, 2) * F(4, 3) * F(2, 3)],
    ),
    "adamaxw": (
        {"learning_rate": 0.5, "beta1": 0.5, "beta2": 0.5, "eps": 0.5, "weight_decay": 0.5},
        [2],
        [3 * F(3, 4) - F(1, 2) * F(4, 5)],
    ),
    # c = 1, m = ¼·2; then ½·½ − ½·4 < 0: c = −1
    "lion": (
        {"learning_rate": 0.5, "beta1": 0.5, "beta2": 0.75, "weight_decay": 0.5},
        [2, -4],
        [3 * F(3, 4) - F(1, 2), (3 * F(3, 4) - F(1, 2)) * F(3, 4) + F(1, 2)],
    ),
}


@every_optimiser
def test_a_number_by_hand(name):
    given, gradients, expected = BY_HAND[name]
    o, w = optimiser(name, **given), np.array(3.0)
    state = o.init(w)
    for g, by_hand in zip(gradients, expected, strict=True):
        w, state = o.update(np.array(float(g)), state, w)
        assert float(w) == pytest.approx(float(by_hand), rel=1e-14)


def test_the_schedule_of_nadams_momenta_by_hand():
    o = optimiser("nadam", beta1=0.5, momentum_decay=1.0)
    _, state = o.update(np.array(1.0), o.init(np.array(0.0)), np.array(0.0))
    first = F(1, 2) * (1 - F(1, 2) * F(96, 100))
    assert state["mu_product"] == pytest.approx(float(first), rel=1e-15)
    _, state = o.update(np.array(1.0), state, np.array(0.0))
    assert state["mu_product"] == pytest.approx(float(first * F(1, 2) * (1 - F(1, 2) * F(96, 100) ** 2)), rel=1e-15)


def test_adadelta_uses_the_x_of_the_step_before():
    o = optimiser("adadelta", decay=0.25, eps=1.0)
    w = np.array(0.0)
    _, state = o.update(np.array(2.0), {"v": np.array(0.0), "x": np.array(8.0)}, w)
    assert float(state["v"]) == 3
    assert float(state["x"]) == 0.25 * 8 + 0.75 * (np.sqrt(9) / np.sqrt(4) * 2) ** 2


# --- what they have in common


def trajectory(o, count=6):
    """w after each of several steps in float64."""
    rng = np.random.default_rng(7)
    w = rng.normal(size=20)
    state, ws = o.init(w), []
    for _ in range(count):
        w, state = o.update(rng.normal(size=20), state, w)
        ws.append(w)
    return np.array(ws)


SAME = {
    "momentum 0 is gradient descent": (("momentum", {"momentum": 0.0}), ("gradient_descent", {})),
    "Nesterov's momentum 0 is gradient descent": (("nesterov", {"momentum": 0.0}), ("gradient_descent", {})),
    "momentum 0, all dampened, stands still after the first step": (
        ("momentum", {"momentum": 0.0, "dampening": 1.0, "learning_rate": 0.0}),
        ("gradient_descent", {"learning_rate": 0.0}),
    ),
    "coupled and decoupled are the same in gradient descent": (
        ("gradient_descent", {"weight_decay": 0.3, "learning_rate": 0.1}),
        ("gradient_descent_decoupled", {"weight_decay": 0.3, "learning_rate": 0.1}),
    ),
    "AdamW without decay is Adam": (("adamw", {"weight_decay": 0.0}), ("adam", {})),
    "NAdamW without decay is NAdam": (("nadamw", {"weight_decay": 0.0}), ("nadam", {})),
    "NAdamW with one momentum without decay is NAdam": (
        ("nadamw_constant", {"weight_decay": 0.0}),
        ("nadam_constant", {}),
    ),
    "Adamax without decay": (("adamaxw", {"weight_decay": 0.0}), ("adamax", {})),
    "Adam, β₁ = β₂ = 0, is RMSProp that forgets": (
        ("adam", {"beta1": 0.0, "beta2": 0.0, "learning_rate": 1e-2}),
        ("rmsprop", {"decay": 0.0}),
    ),
    "AMSGrad's two forms agree where nothing is corrected": (
        ("amsgrad", {"beta2": 0.0}),
        ("amsgrad_of_corrected", {"beta2": 0.0}),
    ),
    "NAdam, β₁ = 0, is Adam, β₁ = 0": (("nadam_constant", {"beta1": 0.0}), ("adam", {"beta1": 0.0})),
    "and so is the one with a schedule": (("nadam", {"beta1": 0.0}), ("adam", {"beta1": 0.0, "learning_rate": 2e-3})),
    "RMSProp's momentum 0 is none": (("rmsprop_momentum", {"momentum": 0.0}), ("rmsprop", {})),
    "and centred": (("rmsprop_centred_momentum", {"momentum": 0.0}), ("rmsprop_centred", {})),
    "and with ε in the root": (("rmsprop_eps_in_root_momentum", {"momentum": 0.0}), ("rmsprop_eps_in_root", {})),
    "and centred with ε in the root": (
        ("rmsprop_eps_in_root_centred_momentum", {"momentum": 0.0}),
        ("rmsprop_eps_in_root_centred", {}),
    ),
    "where η stands does not matter while it does not change": (
        ("rmsprop_momentum", {"decay": 0.9, "eps": 0.0}),
        ("rmsprop_eps_in_root_momentum", {"eps": 0.0}),
    ),
    "nor where no ε stands": (("rmsprop", {"decay": 0.9, "eps": 0.0}), ("rmsprop_eps_in_root", {"eps": 0.0})),
    "Adagrad without ε": (
        ("adagrad", {"eps": 0.0, "initial_accumulator": 0.1}),
        ("adagrad_eps_in_root", {"eps": 0.0}),
    ),
}


@over("identity", SAME)
def test_two_optimisers_are_the_same(identity):
    (one, given), (other, others) = SAME[identity]
    np.testing.assert_allclose(
        trajectory(optimiser(one, **given)), trajectory(optimiser(other, **others)), rtol=1e-12, atol=1e-14
    )


def test_the_first_step_of_adam_is_η_against_the_sign():
    o = optimiser("adam", eps=0.0, learning_rate=0.25)
    w, g = np.zeros(3), np.array([1e-8, -3.0, 1e8])
    new_w, _ = o.update(g, o.init(w), w)
    np.testing.assert_allclose(new_w, -0.25 * np.sign(g), rtol=1e-14)


def test_lion_does_not_move_where_there_is_nothing():
    o = optimiser("lion", weight_decay=0.0)
    w = np.ones(2)
    assert o.update(np.zeros(2), o.init(w), w)[0].tolist() == [1, 1]


# --- the audit, of honest steps


def honest(name, dtype):
    """An optimiser with decay, and for float16, which has no number near 1e-8, with a larger ε.

    In float16 a gradient of 0 with decay is so small that a centred root is NaN: see `reach`.
    """
    usual = OPTIMISERS[name].hyperparameters
    given = {"weight_decay": 0.03, "eps": 1 / 16} if dtype == "float16" else {"weight_decay": 0.03}
    if dtype == "float16" and "centred" in name:
        given["weight_decay"] = 0.0
    return optimiser(name, **{key: value for key, value in given.items() if key in usual})


def reach(name, dtype):
    """Powers of ten that leave the squares of float16 finite.

    In half precision v may underflow where a² does not, and the centred root is NaN: another test shows that.
    """
    if "centred" in name and dtype in rd.HALF:
        return {"lowest": -1, "highest": 1} if dtype == "float16" else {"lowest": -15, "highest": 15}
    return {"lowest": -5, "highest": 1} if dtype == "float16" else {"lowest": -20, "highest": 15}


@over("dtype", rd.DTYPES)
@over("engine", ["numpy", "jax-whole", None])
@every_optimiser
def test_honest_steps_hold(name, dtype, engine):
    o = honest(name, dtype)
    assert breaks(o, o, dtype, engine, **reach(name, dtype)) == []


@over("dtype", rd.DTYPES)
@every_optimiser
def test_honest_steps_that_store_at_the_end_hold_for_an_engine_without_a_name(name, dtype):
    o = honest(name, dtype)
    assert breaks(o, o, dtype, None, at_once=True, **reach(name, dtype)) == []


@every_optimiser
def test_an_honest_step_uses_much_of_its_allowance(name):
    worst = 0.0
    o = OPTIMISERS[name]
    for step in steps(o, "float32"):
        worst = max([worst, *(finding.ratio for finding in audit_step(o, "float32", *step, 1, arithmetic("numpy")))])
    assert 0.4 < worst <= 1


# --- the audit, of wrong steps

DECAY = {"weight_decay": 0.5, "learning_rate": 0.1}  # ηλ is to be seen in bfloat16

WRONG = {
    # what is wrong: the optimiser, its hyperparameters, the lines that are wrong, the line that must be named
    "ε inside the root": ("adam", {}, {"d": lambda v, beta2, t, eps: sqrt(v / (1 - beta2**t) + eps)}, "w"),
    "ε beside the uncorrected root": (
        "adam",
        {},
        {"d": lambda v, beta2, t, eps: (sqrt(v) + eps) / sqrt(1 - beta2**t)},
        "w",
    ),
    "no ε": ("adam", {}, {"d": lambda v, beta2, t: sqrt(v / (1 - beta2**t)) + 1e-30}, "w"),
    "m not corrected": ("adam", {}, {"m_hat": lambda m: m}, "w"),
    "v not corrected": ("adam", {}, {"d": lambda v, eps: sqrt(v) + eps}, "w"),
    "corrected with t − 1": (
        "adam",
        {},
        {"m_hat": lambda m, beta1, t: m / (1 - beta1 ** max(t - 1, 1))},
        "w",
    ),
    "corrected with t + 1": ("adam", {}, {"m_hat": lambda m, beta1, t: m / (1 - beta1 ** (t + 1))}, "w"),
    "corrected with the other β": ("adam", {}, {"m_hat": lambda m, beta2, t: m / (1 - beta2**t)}, "w"),
    "steps not counted": ("adam", {}, {"t": lambda t: max(t, 1)}, "t"),
    "β₁ and β₂ swapped": (
        "adam",
        {},
        {
            "m": lambda m, beta2, g: beta2 * m + (1 - beta2) * g,
            "v": lambda v, beta1, g: beta1 * v + (1 - beta1) * g**2,
        },
        "m v",
    ),
    "m without 1 − β₁": ("adam", {}, {"m": lambda m, beta1, g: beta1 * m + g}, "m"),
    "v without the square": ("adam", {}, {"v": lambda v, beta2, g: beta2 * v + (1 - beta2) * np.abs(g)}, "v"),
    "v of the new m": ("adam", {}, {"v": lambda v, beta2, m: beta2 * v + (1 - beta2) * m**2}, "v"),
    "no root": ("adam", {}, {"d": lambda v, beta2, t, eps: v / (1 - beta2**t) + eps}, "w"),
    "m in place of m̂, beside the right one": (
        "adam",
        {},
        {"w": lambda w, learning_rate, m, d: w - learning_rate * m / d},
        "w",
    ),
    "the sign": ("adam", {}, {"w": lambda w, learning_rate, m_hat, d: w + learning_rate * m_hat / d}, "w"),
    "decay coupled instead of decoupled": ("adamw", DECAY, {**COUPLED, "w": OPTIMISERS["adam"].lines["w"]}, "m v w"),
    "decay coupled as well": ("adamw", DECAY, dict(COUPLED), "m v"),
    "decay forgotten": (
        "adamw",
        DECAY,
        {"w": lambda w, learning_rate, m_hat, d: w - learning_rate * m_hat / d},
        "w",
    ),
    "decay not multiplied by η": (
        "adamw",
        DECAY,
        {"w": lambda w, learning_rate, weight_decay, m_hat, d: (1 - weight_decay) * w - learning_rate * m_hat / d},
        "w",
    ),
    "decay applied twice": (
        "adamw",
        DECAY,
        {
            "w": lambda w, learning_rate, weight_decay, m_hat, d: (
                (1 - learning_rate * weight_decay) ** 2 * w - learning_rate * m_hat / d
            )
        },
        "w",
    ),
    "decay applied after the step": (
        "adamw",
        DECAY,
        {
            "w": lambda w, learning_rate, weight_decay, m_hat, d: (
                (1 - learning_rate * weight_decay) * (w - learning_rate * m_hat / d)
            )
        },
        "w",
    ),
    "decay decoupled instead of coupled": (
        "adam",
        DECAY,
        {
            "g": lambda g: g,
            "w": lambda w, learning_rate, weight_decay, m_hat, d: (
                (1 - learning_rate * weight_decay) * w - learning_rate * m_hat / d
            ),
        },
        "m v w",
    ),
    "coupled decay twice": (
        "gradient_descent",
        DECAY,
        {"g": lambda g, weight_decay, w: g + 2 * weight_decay * w},
        "w",
    ),
    "coupled decay without effect": ("momentum", DECAY, {"g": lambda g: g}, "b"),
    "the sign of decay": (
        "gradient_descent",
        DECAY,
        {"g": lambda g, weight_decay, w: g - weight_decay * w},
        "w",
    ),
    "gradient descent's sign": ("gradient_descent", {}, {"w": lambda w, learning_rate, g: w + learning_rate * g}, "w"),
    "dampening forgotten": (
        "momentum",
        {"dampening": 0.1},
        {"b": lambda b, momentum, g: momentum * b + g},
        "b",
    ),
    "dampening added": ("momentum", {}, {"b": lambda b, momentum, g: momentum * b + (1 - momentum) * g}, "b"),
    "the first gradient dampened": (
        "momentum",
        {"dampening": 0.1},
        {"b": lambda b, momentum, dampening, g: momentum * b + (1 - dampening) * g},
        "b",
    ),
    "momentum lost": ("momentum", {}, {"b": lambda g: g}, "b"),
    "η inside the momentum": (
        "momentum",
        {},
        {
            "b": lambda b, momentum, learning_rate, g: momentum * b + learning_rate * g,
            "w": lambda w, b: w - b,
        },
        "b w",
    ),
    "no looking ahead": ("nesterov", {}, {"w": lambda w, learning_rate, b: w - learning_rate * b}, "w"),
    "looking ahead twice": (
        "nesterov",
        {},
        {"w": lambda w, learning_rate, momentum, g, b: w - learning_rate * (g + momentum * (g + momentum * b))},
        "w",
    ),
    "Adagrad that forgets": ("adagrad", {}, {"s": lambda s, g: 0.9 * s + g**2}, "s"),
    "Adagrad's ε inside the root": (
        "adagrad",
        {},
        {"w": lambda w, rate, g, s, eps: w - rate * g / sqrt(s + eps)},
        "w",
    ),
    "Adagrad's ε outside the root": (
        "adagrad_eps_in_root",
        {"initial_accumulator": 0.0},
        {"w": lambda w, learning_rate, g, s, eps: w - learning_rate * g / (sqrt(s) + eps)},
        "w",
    ),
    "Adagrad's η falls a step early": (
        "adagrad",
        {"learning_rate_decay": 0.1},
        {"rate": lambda learning_rate, learning_rate_decay, t: learning_rate / (1 + t * learning_rate_decay)},
        "w",
    ),
    "RMSProp's ε inside the root": ("rmsprop", {}, {"d": lambda v, eps: sqrt(v + eps)}, "w"),
    "RMSProp's ε outside the root": (
        "rmsprop_eps_in_root",
        {},
        {"d": lambda g, s, eps: g / (sqrt(s) + eps)},
        "w",
    ),
    "RMSProp not centred": ("rmsprop_centred", {"decay": 0.5}, {"d": lambda v, eps: sqrt(v) + eps}, "w"),
    "centred without the square": (
        "rmsprop_centred",
        {},
        {"d": lambda v, a, eps: sqrt(np.maximum(v - np.abs(a), 0)) + eps},
        "w",
    ),
    "RMSProp with the old v": (
        "rmsprop_momentum",
        {},
        {"b": lambda b, momentum, g, d: momentum * b + (1 - momentum) * g / d},
        "b",
    ),
    "Adadelta with the new x": (
        "adadelta",
        {},
        {"d": lambda x, v, g, eps: sqrt(v + eps) / sqrt(x + eps) * g},
        "x w",
    ),
    "Adadelta that averages g": (
        "adadelta",
        {},
        {"x": lambda x, decay, g: decay * x + (1 - decay) * g**2},
        "x",
    ),
    "the uncorrected v kept": (
        "amsgrad_of_corrected",
        {},
        {"v_max": lambda v_max, v: np.maximum(v, v_max)},
        "v_max",
    ),
    "decoupled decay forgotten": (
        "gradient_descent_decoupled",
        DECAY,
        {"w": lambda w, learning_rate, g: w - learning_rate * g},
        "w",
    ),
    "centred by the gradient alone": (
        "rmsprop_centred",
        {"decay": 0.5},
        {"a": lambda decay, g: (1 - decay) * g},
        "a",
    ),
    "v_max not kept": ("amsgrad", {"beta2": 0.9}, {"v_max": lambda v: v}, "v_max"),
    "v_max not used": ("amsgrad", {"beta2": 0.9}, {"d": lambda v, beta2, t, eps: sqrt(v / (1 - beta2**t)) + eps}, "w"),
    "the least v": ("amsgrad", {}, {"v_max": lambda v_max, v, t: v if t == 1 else np.minimum(v_max, v)}, "v_max"),
    "the corrected v kept": (
        "amsgrad",
        {},
        {"v_max": lambda v_max, v, beta2, t: np.maximum(v_max, v / (1 - beta2**t))},
        "v_max",
    ),
    "Adamax without ε": (
        "adamax",
        {},
        {"u": lambda u, beta2, g: np.maximum(np.maximum(beta2 * u, np.abs(g)), 1e-30)},
        "u",
    ),
    "Adamax that averages": ("adamax", {}, {"u": lambda u, beta2, g, eps: beta2 * u + np.abs(g) + eps}, "u"),
    "Adamax that corrects u": (
        "adamax",
        {},
        {"w": lambda w, learning_rate, m_hat, u, beta2, t: w - learning_rate * m_hat / (u / (1 - beta2**t))},
        "w",
    ),
    "NAdam with μ for μ_next": (
        "nadam",
        {"momentum_decay": 5.0},
        {"ahead": lambda mu, m, mu_product: mu / (1 - mu_product * mu) * m},
        "w",
    ),
    "the product of momenta not kept": ("nadam", {}, {"mu_product": lambda mu: mu}, "mu_product"),
    "NAdam that is Adam": (
        "nadam_constant",
        {},
        {"m_hat": lambda m, beta1, t: m / (1 - beta1**t)},
        "w",
    ),
    "NAdam corrected with t twice": (
        "nadam_constant",
        {},
        {"m_hat": lambda m, g, beta1, t: (beta1 * m + (1 - beta1) * g) / (1 - beta1**t)},
        "w",
    ),
    "Lion without the sign": ("lion", {}, {"c": lambda m, beta1, g: beta1 * m + (1 - beta1) * g}, "w"),
    "Lion's β₁ and β₂ swapped": (
        "lion",
        {},
        {
            "c": lambda m, beta2, g: sign(beta2 * m + (1 - beta2) * g),
            "m": lambda m, beta1, g: beta1 * m + (1 - beta1) * g,
        },
        "w m",
    ),
    "Lion with the new m": ("lion", {}, {"c": lambda m, g, beta2: sign(beta2 * m + (1 - beta2) * g)}, "w"),
}


def with_lines(right, lines):
    """The optimiser with other lines in their places, and lines of new names before all."""
    added = {name: line for name, line in lines.items() if name not in right.lines}
    return replace(right, lines={**added, **right.lines, **lines})


@over("dtype", ["float64", "float32", "bfloat16"])
@over("wrong", WRONG)
def test_a_wrong_line_is_named_and_no_other(wrong, dtype):
    name, given, lines, named = WRONG[wrong]
    right = optimiser(name, **given)
    found = {finding.equation for finding in breaks(right, with_lines(right, lines), dtype)}
    assert found == {f"{name}: {line}" for line in named.split()}


@over("wrong", WRONG)
def test_an_engine_without_a_name_is_not_let_off(wrong):
    name, given, lines, named = WRONG[wrong]
    right = optimiser(name, **given)
    found = {finding.equation for finding in breaks(right, with_lines(right, lines), "float32", None)}
    assert found == {f"{name}: {line}" for line in named.split()}


def test_every_optimiser_has_a_wrong_line_but_those_made_of_the_lines_of_others():
    of_others = {
        *("rmsprop_centred_momentum", "rmsprop_eps_in_root_momentum", "rmsprop_eps_in_root_centred"),
        *("rmsprop_eps_in_root_centred_momentum", "nadamw", "nadamw_constant", "adamaxw"),
    }
    assert set(OPTIMISERS) - {name for name, *_ in WRONG.values()} == of_others


# --- what a finding says


def one_step(name="adam", dtype="float32", **given):
    o = optimiser(name, **given)
    return o, next(steps(o, dtype))


def test_a_finding_names_the_line_the_layer_and_the_element():
    o, (w, state, g, new_w, new_state) = one_step()
    v = new_state["v"].copy()
    v[7] *= 1 + 1e-5
    findings = audit_step(o, "float32", w, state, g, new_w, new_state | {"v": v}, 3, arithmetic("numpy"))
    assert [f.equation for f in findings] == ["adam: t", "adam: m", "adam: v", "adam: w"]
    assert {f.layer for f in findings} == {3}
    assert [f.elements for f in findings] == [1, N, N, N]
    broken = findings[2]
    assert not broken.holds
    assert broken.worst.index == (7,)
    assert broken.worst.observed == v[7]
    assert broken.worst.expected == pytest.approx(v[7] / (1 + 1e-5), rel=1e-7)


@pytest.mark.parametrize("which", ["w", "m", "v"])
def test_a_nan_never_holds(which):
    o, (w, state, g, new_w, new_state) = one_step()
    changed = new_state | {"w": new_w.copy()}
    changed[which] = changed[which].copy()
    changed[which][0] = np.nan
    new_w = changed.pop("w")
    findings = {f.equation: f for f in audit_step(o, "float32", w, state, g, new_w, changed, 1, arithmetic("numpy"))}
    assert not findings[f"adam: {which}"].holds


def test_nothing_compared_does_not_hold():
    o, empty = optimiser("gradient_descent"), np.zeros(0)
    (found,) = audit_step(o, "float32", empty, {}, empty, empty, {}, 1)
    assert (found.elements, found.holds) == (0, False)


def test_what_is_missing_or_has_another_shape_is_said():
    o, (w, state, g, new_w, new_state) = one_step()
    with pytest.raises(MalformedTrace, match=r"^new v of adam is missing$"):
        audit_step(o, "float32", w, state, g, new_w, {k: x for k, x in new_state.items() if k != "v"}, 1)
    with pytest.raises(MalformedTrace, match=r"^m of adam is missing$"):
        audit_step(o, "float32", w, {k: x for k, x in state.items() if k != "m"}, g, new_w, new_state, 1)
    with pytest.raises(MalformedTrace, match=rf"^g of adam has shape \(1,\), but should be \({N},\)$"):
        audit_step(o, "float32", w, state, g[:1], new_w, new_state, 1)
    with pytest.raises(MalformedTrace, match=rf"^new t of adam has shape \({N},\), but should be \(\)$"):
        audit_step(o, "float32", w, state, g, new_w, new_state | {"t": np.ones(N)}, 1)


def test_an_infinity_is_right_where_the_format_ends_and_wrong_elsewhere():
    o = optimiser("adam")
    w, g = np.zeros(2), np.array([1e25, 1.0])
    state = o.init(w)
    made = {"t": 1, "m": 0.1 * g, "v": np.array([np.inf, 0.001])}
    made |= {name: rd.rounded(made[name], "float32") for name in ("m", "v")}
    new_w = rd.rounded(np.array([0.0, -1e-3 / (1 + 1e-8)]), "float32")
    assert all(f.holds for f in audit_step(o, "float32", w, state, g, new_w, made, 1, arithmetic("numpy")))
    made["v"] = np.array([made["v"][0], np.inf])
    v = audit_step(o, "float32", w, state, g, new_w, made, 1, arithmetic("numpy"))[2]
    assert (v.equation, v.holds, v.worst.index) == ("adam: v", False, (1,))


def test_an_engine_without_a_name_may_have_its_β_in_float32():
    o = optimiser("adam")
    rng = np.random.default_rng(3)
    w, g = numbers(rng, "float32"), numbers(rng, "float32")
    beta2 = np.float32(0.999)
    v = ((np.float32(1) - beta2) * g.astype(np.float32) ** 2).astype(np.float64)
    _, honest = o.update(g.astype(np.float32), o.init(w.astype(np.float32)), w.astype(np.float32))
    for engine, holds in ((None, True), ("numpy", False)):
        found = audit_step(o, "float32", w, o.init(w), g, w, {**honest, "v": v}, 1, arithmetic(engine))[2]
        assert (found.equation, found.holds) == ("adam: v", holds)


def test_a_centred_root_of_what_underflow_made_negative_is_not_held():
    o, w, g = optimiser("rmsprop_centred"), np.zeros(1), rd.rounded(np.array([1e-3]), "float16")
    made = {"v": np.zeros(1), "a": rd.rounded(0.01 * g, "float16")}  # 0.01 g² underflows, the square of a does not
    v, a, new_w = audit_step(o, "float16", w, o.init(w), g, np.array([np.nan]), made, 1, arithmetic("torch-eager"))
    assert v.holds
    assert a.holds
    assert (new_w.equation, new_w.holds) == ("rmsprop_centred: w", False)


def test_an_engine_that_uses_m_before_it_is_stored_in_half_precision_must_be_one_that_may():
    o = optimiser("adam")
    tiny = {"lowest": -43, "highest": -39}  # where m is stored as 0
    engines = (None, "jax-whole", "torch-eager")
    found = {engine: breaks(o, o, "bfloat16", engine, at_once=True, **tiny) for engine in engines}
    assert found[None] == found["jax-whole"] == []
    assert {finding.equation for finding in found["torch-eager"]} == {"adam: w"}
