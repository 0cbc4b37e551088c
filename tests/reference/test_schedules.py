"""Schedules: their values, what they are given, and the audit of an η."""

import math

import jax
import numpy as np
import optax
import pytest
import torch
from flint import arb
from torch.optim import SGD

from adapters.jax import optimisers as jax_optimisers
from adapters.torch import optimisers
from reference.audit import MalformedTrace
from reference.schedules import FORMULAS, Schedule, audit_rate
from tests.arithmetics import arithmetic
from tests.reference.exact import Precision, ball
from tests.tables import over

RATE = 0.3
STEPS = 10_000
FEWER = 500
"""Of the quick tests."""

SCHEDULES = [
    Schedule(),
    Schedule("step", {"every": 7, "factor": 0.5}),
    Schedule("step", {"every": 100, "factor": 0.9}),
    Schedule("step", {"every": 1, "factor": 0.7}),
    Schedule("exponential", {"factor": 0.999}),
    Schedule("exponential", {"factor": 0.3}),
    Schedule("exponential", {"factor": 1e-6}),
    Schedule("exponential", {"factor": 1.0}),
    Schedule("cosine", {"steps": STEPS, "lowest": 0.0}),
    Schedule("cosine", {"steps": STEPS, "lowest": 0.3}),
    Schedule("cosine", {"steps": STEPS, "lowest": 1e-6}),
    Schedule("cosine", {"steps": 7, "lowest": 0.0}),
    Schedule("cosine", {"steps": 1, "lowest": 0.5}),
    Schedule("warm_up", {"steps": STEPS, "lowest": 1e-6}),
    Schedule("warm_up", {"steps": STEPS, "lowest": 0.1}),
    Schedule("warm_up", {"steps": 37, "lowest": 0.3}),
    Schedule("warm_up", {"steps": 1, "lowest": 1e-9}),
    Schedule("warm_up", {"steps": 37, "lowest": 1.0}),
]
FROM_NOTHING = Schedule("warm_up", {"steps": 37, "lowest": 0.0})
"""Not in torch."""


def named(schedule):
    return "-".join([schedule.name, *(f"{value:g}" for value in schedule.parameters.values())])


def test_every_formula_is_tried():
    assert {schedule.name for schedule in SCHEDULES} == set(FORMULAS)


@over(
    ("schedule", "t", "share"),
    [
        (Schedule(), 1000, 1),
        (Schedule("step", {"every": 10, "factor": 0.5}), 0, 1),
        (Schedule("step", {"every": 10, "factor": 0.5}), 9, 1),
        (Schedule("step", {"every": 10, "factor": 0.5}), 10, 0.5),
        (Schedule("step", {"every": 10, "factor": 0.5}), 29, 0.25),
        (Schedule("exponential", {"factor": 0.5}), 0, 1),
        (Schedule("exponential", {"factor": 0.5}), 3, 0.125),
        (Schedule("exponential", {"factor": 0.0}), 0, 1),
        (Schedule("exponential", {"factor": 0.0}), 1, 0),
        (Schedule("cosine", {"steps": 10, "lowest": 0.2}), 0, 1),
        (Schedule("cosine", {"steps": 10, "lowest": 0.2}), 5, 0.6),
        (Schedule("cosine", {"steps": 10, "lowest": 0.2}), 10, 0.2),
        (Schedule("cosine", {"steps": 10, "lowest": 0.2}), 15, 0.2),
        (Schedule("warm_up", {"steps": 10, "lowest": 0.2}), 0, 0.2),
        (Schedule("warm_up", {"steps": 10, "lowest": 0.2}), 5, 0.6),
        (Schedule("warm_up", {"steps": 10, "lowest": 0.2}), 10, 1),
        (Schedule("warm_up", {"steps": 10, "lowest": 0.2}), 99, 1),
        (Schedule("warm_up", {"steps": 10, "lowest": 0.0}), 0, 0),
    ],
)
def test_values(schedule, t, share):
    assert schedule.rate(RATE, t) == pytest.approx(RATE * share, rel=1e-15)


def exactly(schedule, t):
    """η_t in ball arithmetic."""
    p = {name: ball(value) for name, value in schedule.parameters.items()}
    if schedule.name == "constant":
        return ball(RATE)
    if schedule.name in ("step", "exponential"):
        return ball(RATE) * p["factor"] ** (t // int(schedule.parameters.get("every", 1)))
    way = arb(min(t, int(schedule.parameters["steps"]))) / p["steps"]
    share = (1 + (arb.pi() * way).cos()) / 2 if schedule.name == "cosine" else way
    return ball(RATE) * (p["lowest"] + (1 - p["lowest"]) * share)


@over("schedule", [*SCHEDULES, FROM_NOTHING], ids=named)
def test_values_are_right_to_a_few_roundings(schedule):
    """6 of η_t, and where numbers as large as η cancel, 6 of η: those that the audit counts at once."""
    cancel = 6 * RATE if schedule.name in ("cosine", "warm_up") else 0
    with Precision(200):
        for t in range(0, STEPS + 2, 7):
            exact = exactly(schedule, t)
            error = abs(float(ball(schedule.rate(RATE, t)) - exact))
            assert error <= 2**-53 * (6 * float(exact) + cancel) + 2**-1074, f"η of step {t}"


@pytest.mark.parametrize(
    ("name", "parameters", "said"),
    [
        ("linear", {}, "schedule is 'linear', but should be one of constant, step"),
        ("step", {"every": 3}, "step has every, but should have every, factor"),
        ("constant", {"factor": 0.5}, "constant has factor, but should have none"),
        ("exponential", {}, "exponential has no parameter, but should have factor"),
        ("step", {"every": 0, "factor": 0.5}, "every of step is 0, but should be a whole number, at least 1"),
        ("step", {"every": math.nan, "factor": 0.5}, "every of step is nan"),
        ("cosine", {"steps": 2.5, "lowest": 0.5}, "steps of cosine is 2.5, but should be a whole number"),
        ("cosine", {"steps": math.inf, "lowest": 0.5}, "steps of cosine is inf"),
        ("warm_up", {"steps": 5, "lowest": -0.1}, r"lowest of warm_up is -0.1, but should be in \[0, 1\]"),
        ("exponential", {"factor": 1.5}, r"factor of exponential is 1.5, but should be in \[0, 1\]"),
        ("exponential", {"factor": math.nan}, "factor of exponential is nan"),
    ],
)
def test_what_is_not_allowed(name, parameters, said):
    with pytest.raises(ValueError, match=said):
        Schedule(name, parameters)


# --- the audit of the frameworks


def of_torch(schedule, steps):
    """η of every step, as torch's recursion makes it."""
    optimiser = SGD([torch.zeros(1, requires_grad=True)], lr=RATE)
    made = optimisers.SCHEDULES[schedule.name](optimiser, schedule.parameters)
    for _ in range(steps):
        yield optimiser.param_groups[0]["lr"]
        optimiser.step()
        if made is not None:
            made.step()


def of_optax(schedule, steps, x64):
    """η of every step, as a compiled program makes it of an int32 count."""
    with jax.enable_x64(x64), jax.numpy_dtype_promotion("standard"):
        made = jax_optimisers.SCHEDULES[schedule.name](RATE, schedule.parameters)
        if not callable(made):
            return np.full(steps, RATE, dtype=jax.numpy.asarray(made).dtype)
        rates = jax.jit(jax.vmap(made))(np.arange(steps, dtype=np.int32))
        return np.asarray(rates)


def audited(schedule, rates, dtype, engine):
    """The findings of the η of every step, the first being 0."""
    return [audit_rate(schedule, RATE, t, float(rate), dtype, arithmetic(engine)) for t, rate in enumerate(rates)]


def worst(findings):
    return max(findings, key=lambda finding: (math.isnan(finding.ratio), finding.ratio))


@over("steps", [FEWER, STEPS], quick=1)
@over("schedule", SCHEDULES, ids=named)
def test_torch_holds_over_ten_thousand_steps(schedule, steps):
    # torch's cosine rises again after its steps
    steps = min(steps, int(schedule.parameters["steps"]) + 1) if schedule.name == "cosine" else steps
    findings = audited(schedule, of_torch(schedule, steps), "float64", "torch-eager")
    assert len(findings) == steps
    assert all(finding.holds for finding in findings), worst(findings)


@over("steps", [FEWER, STEPS], quick=1)
@over("schedule", [*SCHEDULES, FROM_NOTHING], ids=named)
def test_optax_holds_over_ten_thousand_steps(schedule, steps):
    for x64 in (False, True):
        rates = of_optax(schedule, steps, x64)
        findings = audited(schedule, rates, str(rates.dtype), "jax-jit")
        assert len(findings) == steps
        assert all(finding.holds for finding in findings), worst(findings)


@pytest.mark.parametrize("schedule", [SCHEDULES[2], SCHEDULES[4], SCHEDULES[9], SCHEDULES[14]], ids=named)
def test_in_half_precision_the_rate_is_held_to_float32(schedule):
    rates = of_optax(schedule, 100, False)
    assert all(finding.holds for finding in audited(schedule, rates, "bfloat16", "jax-jit"))
    assert not any(finding.holds for finding in audited(schedule, rates * 1.01, "bfloat16", "jax-jit"))


@pytest.mark.parametrize("schedule", [SCHEDULES[1], SCHEDULES[4], SCHEDULES[8], SCHEDULES[14]], ids=named)
def test_one_count_gives_what_many_at_once_give(schedule):
    rates = of_optax(schedule, 50, True)
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        made = jax.jit(jax_optimisers.SCHEDULES[schedule.name](RATE, schedule.parameters))
        assert [float(made(np.int32(t))) for t in range(50)] == rates.tolist()


@pytest.mark.parametrize("schedule", [SCHEDULES[1], SCHEDULES[4], SCHEDULES[14]], ids=named)
def test_optax_computes_these_in_float32_whatever_the_format(schedule):
    """jax_enable_x64 does not help: an int32 count divided by a number is a float32. The cosine first multiplies it."""
    rates = of_optax(schedule, 20, True)
    assert rates.dtype == "float32"
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        assert optax.cosine_decay_schedule(RATE, 100)(np.int32(3)).dtype == "float64"
    findings = audited(schedule, rates, "float64", "jax-jit")
    assert not all(finding.holds for finding in findings)


@over("schedule", SCHEDULES, ids=named)
def test_a_recursion_in_float32_holds_for_an_engine_of_unknown_ways(schedule):
    """One that does as torch, but in float32."""
    f = np.float32
    rate, rates, p = f(RATE), [], schedule.parameters
    steps = int(p["steps"]) + 1 if schedule.name == "cosine" else 1000
    if schedule.name == "warm_up":
        rate *= f(p["lowest"])
    for t in range(1, steps + 1):
        rates.append(rate)
        if schedule.name == "exponential" or (schedule.name == "step" and t % p["every"] == 0):
            rate = rate * f(p["factor"])
        elif schedule.name == "warm_up" and t <= p["steps"]:
            rest = f(1) - f(p["lowest"])
            rate = rate * (f(1) + rest / (f(p["steps"]) * f(p["lowest"]) + f(t - 1) * rest))
        elif schedule.name == "cosine" and t < steps:
            lowest = f(p["lowest"]) * f(RATE)
            now, before = (f(1) + np.cos(f(np.pi) * f(x) / f(p["steps"])) for x in (t, t - 1))
            rate = now / before * (rate - lowest) + lowest
    findings = audited(schedule, rates, "float32", None)
    assert all(finding.holds for finding in findings), worst(findings)


# --- what is wrong is found

FALLING_OR_RISING = [
    Schedule("step", {"every": 5, "factor": 0.5}),
    Schedule("exponential", {"factor": 0.9}),
    Schedule("cosine", {"steps": 100, "lowest": 0.1}),
    Schedule("warm_up", {"steps": 100, "lowest": 0.1}),
]

WRONG = {
    "a step late": lambda schedule, t: schedule.rate(RATE, t - 1),
    "a step early": lambda schedule, t: schedule.rate(RATE, t + 1),
    "none at all": lambda schedule, t: RATE,
    "of another η": lambda schedule, t: schedule.rate(RATE * 1.001, t),
    "a part in ten thousand": lambda schedule, t: schedule.rate(RATE, t) * (1 + 1e-4),
    "no number": lambda schedule, t: math.nan,
    "infinite": lambda schedule, t: math.inf,
    "negative": lambda schedule, t: -schedule.rate(RATE, t),
    "0": lambda schedule, t: 0.0,
}


@over("engine", ["torch-eager", "jax-jit", None])
@over("dtype", ["float32", "float64", "bfloat16"])
@over("wrong", WRONG)
@over("schedule", FALLING_OR_RISING, ids=named)
def test_another_rate_is_found(schedule, wrong, dtype, engine):
    """At a step where the staircase falls, and the next is another."""
    for t in (5, 10, 55):
        shifted = t - 1 if wrong == "a step early" else t
        finding = audit_rate(schedule, RATE, shifted, WRONG[wrong](schedule, shifted), dtype, arithmetic(engine))
        assert (finding.equation, finding.layer, finding.elements) == ("schedule: η", 0, 1)
        assert not finding.holds, finding


@pytest.mark.parametrize("engine", ["torch-eager", "jax-jit", None])
@pytest.mark.parametrize("schedule", FALLING_OR_RISING[:2], ids=named)
def test_another_rate_is_found_however_small_it_has_become(schedule, engine):
    """The allowance falls with η_t: at 2⁻⁹⁰ η, twice as much is as wrong as at first."""
    t = next(t for t in range(10_000) if schedule.rate(RATE, t) < RATE * 2.0**-90)
    assert audit_rate(schedule, RATE, t, schedule.rate(RATE, t), "float32", arithmetic(engine)).holds
    assert not audit_rate(schedule, RATE, t, 2 * schedule.rate(RATE, t), "float32", arithmetic(engine)).holds
    assert not audit_rate(schedule, RATE, t, schedule.rate(RATE, t) * (1 + 1e-3), "float32", arithmetic(engine)).holds
    assert not audit_rate(schedule, RATE, t, 0.0, "float32", arithmetic(engine)).holds


@pytest.mark.parametrize("schedule", FALLING_OR_RISING, ids=named)
def test_an_engine_is_held_to_the_format_that_it_computes_in(schedule):
    """torch to float64, whatever that of the network; JAX to float32, but in float64."""
    rate = schedule.rate(RATE, 10)
    for engine, dtype, holds in (
        ("torch-eager", "float32", False),
        ("numpy", "bfloat16", False),
        ("jax-jit", "float64", False),
        ("jax-jit", "float32", True),
        (None, "bfloat16", True),
        (None, "float64", False),
    ):
        assert audit_rate(schedule, RATE, 10, float(np.float32(rate)), dtype, arithmetic(engine)).holds is holds


def test_a_step_is_found_at_the_end_of_ten_thousand():
    for schedule in (Schedule("cosine", {"steps": STEPS, "lowest": 0.1}), Schedule("exponential", {"factor": 0.999})):
        for engine, dtype in (("torch-eager", "float64"), ("jax-jit", "float32")):
            t = STEPS // 2
            assert audit_rate(schedule, RATE, t, schedule.rate(RATE, t), dtype, arithmetic(engine)).holds
            assert not audit_rate(schedule, RATE, t, schedule.rate(RATE, t + 1), dtype, arithmetic(engine)).holds


def test_a_staircase_that_is_none_is_found():
    schedule = Schedule("step", {"every": 10, "factor": 0.5})
    for t in range(1, 10):
        smooth = RATE * 0.5 ** (t / 10)
        assert not audit_rate(schedule, RATE, t, smooth, "float32", arithmetic("jax-jit")).holds
    smoothed = Schedule("exponential", {"factor": 0.5**0.1})
    assert not audit_rate(smoothed, RATE, 5, RATE, "float32", arithmetic("jax-jit")).holds


def test_a_cosine_that_rises_again_is_found():
    """As torch's does, after `steps`."""
    schedule = Schedule("cosine", {"steps": 10, "lowest": 0.1})
    findings = audited(schedule, of_torch(schedule, 15), "float64", "torch-eager")
    assert [finding.holds for finding in findings] == [True] * 11 + [False] * 4


def test_another_lowest_is_found():
    schedule = Schedule("cosine", {"steps": 10, "lowest": 0.1})
    other = Schedule("cosine", {"steps": 10, "lowest": 0.1001})
    assert not audit_rate(schedule, RATE, 10, other.rate(RATE, 10), "float32", arithmetic("jax-jit")).holds


def test_an_eta_of_another_shape_is_malformed():
    with pytest.raises(MalformedTrace, match="shape"):
        audit_rate(Schedule(), RATE, 0, np.full(2, RATE), "float32", arithmetic("jax-jit"))


def test_optax_steps_one_step_late_for_some_periods_when_compiled():
    """41 · fl(1/41) < 1 in float32: XLA multiplies by the reciprocal of a constant. The audit refuses that η."""
    late = []
    for every in (1, 7, 40, 41, 47, 100):
        schedule = Schedule("step", {"every": every, "factor": 0.5})
        rates = of_optax(schedule, every + 2, False)
        broken = [t for t, found in enumerate(audited(schedule, rates, "float32", "jax-jit")) if not found.holds]
        assert broken in ([], [every])
        late += [every] if broken else []
    assert late == [41, 47]
