"""Learning-rate schedules: η_t of every step, as a share of η; and the audit of the η that an engine used.

t counts the steps made before: 0 in the first. The formulas are those of torch.optim.lr_scheduler 2.13 and
optax.schedules 0.2.8, read in their sources.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from inspect import signature

import numpy as np

from reference import rounding as rd
from reference.arithmetic import UNDECLARED, Arithmetic
from reference.audit import Finding, finding, quiet

Formula = Callable[..., float]
"""(t, parameters) -> η_t/η."""


def constant(t: int) -> float:
    """1"""
    return 1.0


def step(t: int, every: float, factor: float) -> float:
    """factor^⌊t/every⌋

    Source: torch.optim.lr_scheduler.StepLR; optax.exponential_decay(staircase=True).
    """
    return factor ** (t // every)


def exponential(t: int, factor: float) -> float:
    """factor^t

    Source: torch.optim.lr_scheduler.ExponentialLR; optax.exponential_decay.
    """
    return factor**t


def cosine(t: int, steps: float, lowest: float) -> float:
    """lowest + ½ (1 − lowest)(1 + cos(π t/steps)), and `lowest` after `steps`.

    Convention: torch's rises again after `steps`; optax's stays, as here.
    Source: torch.optim.lr_scheduler.CosineAnnealingLR; optax.cosine_decay_schedule; I. Loshchilov and F. Hutter,
    *SGDR*, ICLR 2017, (5), without restarts.
    """
    return lowest + 0.5 * (1 - lowest) * (1 + math.cos(math.pi * min(t, steps) / steps))


def warm_up(t: int, steps: float, lowest: float) -> float:
    """lowest + (1 − lowest) t/steps, and 1 after `steps`.

    Source: torch.optim.lr_scheduler.LinearLR; optax.linear_schedule.
    """
    return lowest + (1 - lowest) * min(t, steps) / steps


FORMULAS: dict[str, Formula] = {f.__name__: f for f in (constant, step, exponential, cosine, warm_up)}
"""Every schedule by its name."""


@dataclass(frozen=True)
class Schedule:
    """A schedule's name and its parameters: numbers of steps, and shares of η.

    Raises ValueError for a name or a parameter that there is not, or that is missing, and for a value out of range.
    """

    name: str = "constant"
    parameters: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.name not in FORMULAS:
            raise ValueError(f"schedule is {self.name!r}, but should be one of {', '.join(FORMULAS)}")
        takes = tuple(signature(FORMULAS[self.name]).parameters)[1:]
        if set(self.parameters) != set(takes):
            raise ValueError(
                f"{self.name} has {', '.join(self.parameters) or 'no parameter'}, "
                f"but should have {', '.join(takes) or 'none'}"
            )
        for name, value in self.parameters.items():
            counts = name in ("every", "steps")
            if counts and not (value >= 1 and float(value).is_integer()):
                raise ValueError(f"{name} of {self.name} is {value}, but should be a whole number, at least 1")
            if not counts and not 0 <= value <= 1:
                raise ValueError(f"{name} of {self.name} is {value}, but should be in [0, 1]")

    def rate(self, learning_rate: float, t: int) -> float:
        """η_t"""
        return learning_rate * FORMULAS[self.name](t, **self.parameters)


ROUNDINGS = 6
"""Of η_t, at once: η, the parameters' share of it and its complement, a power or a quotient, a product, and a sum."""

OF_ETA = {"cosine": 6, "warm_up": 6}
"""Roundings of a number as large as η where η_t may be small. optax's warm-up ends in a difference from η: two of t/T,
its difference from 1, two of η (1 − lowest), and their product. Of 1 + cos x, of which η takes half: cosine and sum,
and x sin x ≤ 1.9 for each of at most four roundings of x = π t/T."""


@quiet
def audit_rate(
    schedule: Schedule, learning_rate: float, t: int, observed: float, dtype: str, arithmetic: Arithmetic = UNDECLARED
) -> Finding:
    """The η that a step was made with, against η_t of the schedule.

    Allowance: u ((`ROUNDINGS` + k) η_t + `OF_ETA` η), and an underflow of η_t or of its share of η. k is what a
    recursion adds up over the steps, `recursive`; a factor that is rounded before it is raised to a power counts as
    often. u is that of the format in which the engine computes η_t.
    """
    expected = schedule.rate(learning_rate, t)
    r = rd.rounding(rd.wider(arithmetic.rates_in, dtype))
    roundings = ROUNDINGS + recursive(schedule, t, arithmetic.rates_at_once)
    allowed = r.u * (roundings * expected + OF_ETA.get(schedule.name, 0) * learning_rate)
    allowed += r.underflow * (1 + learning_rate)
    return finding("schedule: η", 0, np.float64(observed), np.float64(expected), np.float64(allowed))


def recursive(schedule: Schedule, t: int, at_once: bool) -> float:
    """Roundings that t steps of torch's recursions add up, each at most u of η_t.

    step, exponential   a product each time that the factor is applied
    cosine              of η_{t−1} − η_min: the difference, a quotient and a product; and the sum with η_min. The
                        quotients c_t/c_{t−1}, c = 1 + cos x, carry an error on, and are at most 1; of the errors of c
                        only that of the last is left
    warm_up             η_{t−1} (1 + q): the sum and the product; and five within q = Δ/(T s + (t − 1) Δ), where s is
                        the lowest and Δ = 1 − s. They count q/(1 + q) = Δ/(T s + t Δ) ≤ 1/t each, and Σ 1/t ≤ 1 + log t
    """
    p = schedule.parameters
    if schedule.name in ("step", "exponential"):
        return t // p.get("every", 1)
    if at_once or schedule.name == "constant" or t == 0:
        return 0
    if schedule.name == "cosine":
        return 4 * t
    steps = min(t, p["steps"])
    return 2 * steps + 5 * (1 + math.log(steps))
