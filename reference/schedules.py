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
            if counts and not (value >= 1 and value == int(value)):
                raise ValueError(f"{name} of {self.name} is {value}, but should be a whole number, at least 1")
            if not counts and not 0 <= value <= 1:
                raise ValueError(f"{name} of {self.name} is {value}, but should be in [0, 1]")

    def rate(self, learning_rate: float, t: int) -> float:
        """η_t"""
        return learning_rate * FORMULAS[self.name](t, **self.parameters)


ROUNDINGS_A_STEP = 8
"""Roundings of one step of torch's recursions, counted in its sources: of CosineAnnealingLR, which has the most, two
quotients and two cosines, two sums, a product and a sum."""

IN_FLOAT64 = ("numpy", "torch-eager")
"""Engines that compute η_t in Python's numbers; JAX does in its own."""


@quiet
def audit_rate(
    schedule: Schedule, learning_rate: float, t: int, observed: float, dtype: str, engine: str | None = None
) -> Finding:
    """The η that a step was made with, against η_t of the schedule.

    Allowance: torch makes η_t from η_{t−1}, by at most `ROUNDINGS_A_STEP` operations whose errors are at most u η each,
    and are not amplified later: the factors of a falling schedule are below 1, and those of the warm-up make η of its
    lowest. A formula that is computed at once errs by less; in a power, a factor that is rounded first counts t times.
    u is that of float64 where an engine computes in it, else that of the format, or of float32 for half precision.
    """
    expected = schedule.rate(learning_rate, t)
    u = rd.rounding("float64" if engine in IN_FLOAT64 else rd.ACCUMULATED_IN[dtype]).u
    allowed = ROUNDINGS_A_STEP * (t + 1) * u * learning_rate
    return finding("schedule: η", 0, np.float64(observed), np.float64(expected), np.float64(allowed))
