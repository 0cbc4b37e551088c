"""Schedules: their values, what they are given, and the audit of an η."""

import math

import jax
import numpy as np
import optax
import pytest
import torch
from torch.optim import SGD

from adapters import jax_optimisers, torch_optimisers
from reference.schedules import FORMULAS, Schedule, audit_rate

SCHEDULES = [
    Schedule(),
    Schedule("step", {"every": 7, "factor": 0.5}),
    Schedule("exponential", {"factor": 0.999}),
    Schedule("exponential", {"factor": 0.5}),
    Schedule("cosine", {"steps": 1000, "lowest": 0.0}),
    Schedule("cosine", {"steps": 1000, "lowest": 0.3}),
    Schedule("warm_up", {"steps": 37, "lowest": 0.1}),
]
RATE = 0.3


def test_every_formula_is_tried():
    assert {schedule.name for schedule in SCHEDULES} == set(FORMULAS)


@pytest.mark.parametrize(
    ("schedule", "t", "share"),
    [
        (Schedule(), 1000, 1),
        (Schedule("step", {"every": 10, "factor": 0.5}), 9, 1),
        (Schedule("step", {"every": 10, "factor": 0.5}), 10, 0.5),
        (Schedule("step", {"every": 10, "factor": 0.5}), 29, 0.25),
        (Schedule("exponential", {"factor": 0.5}), 3, 0.125),
        (Schedule("cosine", {"steps": 10, "lowest": 0.2}), 0, 1),
        (Schedule("cosine", {"steps": 10, "lowest": 0.2}), 5, 0.6),
        (Schedule("cosine", {"steps": 10, "lowest": 0.2}), 10, 0.2),
        (Schedule("cosine", {"steps": 10, "lowest": 0.2}), 15, 0.2),
        (Schedule("warm_up", {"steps": 10, "lowest": 0.2}), 0, 0.2),
        (Schedule("warm_up", {"steps": 10, "lowest": 0.2}), 5, 0.6),
        (Schedule("warm_up", {"steps": 10, "lowest": 0.2}), 99, 1),
    ],
)
def test_values(schedule, t, share):
    assert schedule.rate(RATE, t) == pytest.approx(RATE * share, rel=1e-15)


@pytest.mark.parametrize(
    ("name", "parameters", "said"),
    [
        ("linear", {}, "schedule is 'linear', but should be one of constant, step"),
        ("step", {"every": 3}, "step has every, but should have every, factor"),
        ("constant", {"factor": 0.5}, "constant has factor, but should have none"),
        ("step", {"every": 0, "factor": 0.5}, "every of step is 0, but should be a whole number, at least 1"),
        ("cosine", {"steps": 2.5, "lowest": 0.5}, "steps of cosine is 2.5, but should be a whole number"),
        ("exponential", {"factor": 1.5}, r"factor of exponential is 1.5, but should be in \[0, 1\]"),
        ("exponential", {"factor": math.nan}, "factor of exponential is nan"),
    ],
)
def test_what_is_not_allowed(name, parameters, said):
    with pytest.raises(ValueError, match=said):
        Schedule(name, parameters)


# --- the audit


def of_torch(schedule, steps):
    """η of every step, as torch's recursion makes it."""
    optimiser = SGD([torch.zeros(1, requires_grad=True)], lr=RATE)
    made = torch_optimisers.SCHEDULES[schedule.name](optimiser, schedule.parameters)
    for _ in range(steps):
        yield optimiser.param_groups[0]["lr"]
        optimiser.step()
        if made is not None:
            made.step()


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda schedule: schedule.name)
def test_torch_holds_over_thousands_of_steps(schedule):
    steps = 1000 if schedule.name == "cosine" else 5000  # torch's cosine rises again
    findings = [
        audit_rate(schedule, RATE, t, rate, "float64", "torch-eager")
        for t, rate in enumerate(of_torch(schedule, steps))
    ]
    assert len(findings) == steps
    assert all(finding.holds for finding in findings), max(findings, key=lambda finding: finding.ratio)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda schedule: schedule.name)
def test_optax_holds(schedule, dtype):
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        made = jax_optimisers.SCHEDULES[schedule.name](RATE, schedule.parameters)
        rates = [made] * 2000 if not callable(made) else jax.jit(jax.vmap(made))(np.arange(2000, dtype=np.int32))
        findings = [audit_rate(schedule, RATE, t, float(rate), dtype, "jax-jit") for t, rate in enumerate(rates)]
    assert all(finding.holds for finding in findings), max(findings, key=lambda finding: finding.ratio)


@pytest.mark.parametrize("name", ["step", "exponential", "warm_up"])
def test_optax_computes_these_in_float32_whatever_the_format(name):
    """So does jax_enable_x64 not help: an int32 count over a number is a float32."""
    schedule = next(schedule for schedule in SCHEDULES if schedule.name == name)
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        made = jax_optimisers.SCHEDULES[name](RATE, schedule.parameters)
        rates = jax.jit(jax.vmap(made))(np.arange(20, dtype=np.int32))
        assert rates.dtype == "float32"
        assert optax.cosine_decay_schedule(RATE, 100)(np.int32(3)).dtype == "float64"
    findings = [audit_rate(schedule, RATE, t, float(rate), "float64", "jax-jit") for t, rate in enumerate(rates)]
    assert not all(finding.holds for finding in findings)


@pytest.mark.parametrize(
    ("wrong", "by"),
    [
        (lambda schedule, t: schedule.rate(RATE, t + 1), "a step late"),
        (lambda schedule, t: RATE, "none at all"),
        (lambda schedule, t: schedule.rate(RATE, t) * (1 + 1e-6), "a part in a million"),
        (lambda schedule, t: math.nan, "no number"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("schedule", SCHEDULES[1:], ids=lambda schedule: schedule.name)
def test_another_rate_is_found(schedule, wrong, by):
    finding = audit_rate(schedule, RATE, 20, wrong(schedule, 20), "float32", "torch-eager")
    assert (finding.equation, finding.layer, finding.holds) == ("schedule: η", 0, False)


def test_a_staircase_that_is_none_is_found():
    schedule = Schedule("step", {"every": 10, "factor": 0.5})
    assert not audit_rate(schedule, RATE, 5, RATE * 0.5**0.5, "float32", "jax-jit").holds
