"""Runs and chapters of trajectories, made small."""

import copy
from functools import cache
from itertools import islice

from reports.results import environment
from reports.trajectories import measure
from reports.trajectories.measure import brief
from reports.trajectories.runs import DIGITS, SPREAD, RunGroup, ensemble_of, run, runs
from reports.trajectories.setups import draw_run, optimiser_setups

SEED = 11


def adam_on_xor():
    """A setup of twelve steps."""
    return next(
        setup
        for setup in optimiser_setups(12)
        if (setup.optimiser.name, setup.task, setup.schedule.name) == ("adam", "xor", "constant")
    )


def trained(engine, setup, dtype="float32"):
    """The record of a run."""
    drawn = draw_run(setup, dtype, SEED)
    return run(engine, "cpu", setup, dtype, drawn, ensemble_of(drawn.case, drawn.plan, SEED, setup.name))


def chapter(**parts):
    """A chapter with these parts."""
    request = measure.ChapterRequest(("numpy", "jax-jit"), ("float32", "float64"), 6, 1, 0, SEED, 1)
    empty = {"request": request._asdict(), "spread": [], "digits": [], "long": [], "known": measure.known_records()}
    return empty | parts


@cache
def _measured():
    every_run = runs(RunGroup(SPREAD, 6, "xor", ("numpy",), "cpu", "float32", SEED))
    spread = [brief(record) for record in islice(every_run, 6)]
    digits = list(runs(RunGroup(DIGITS, 1, "digits", ("numpy", "jax-jit"), "cpu", "float64", SEED)))
    about = environment.environment({}, SEED, "2026-01-02T03:04:05+00:00", 1.0)
    return chapter(spread=spread, digits=digits, environment=about)


def measured():
    """Six setups of the spread in NumPy, and a short run on digits in NumPy and JAX: a copy to change at will."""
    return copy.deepcopy(_measured())


def but(whole, **changed):
    """The same with the first run of the spread changed."""
    other = copy.deepcopy(whole)
    other["spread"][0].update(changed)
    return other
