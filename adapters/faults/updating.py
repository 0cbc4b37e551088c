"""Steps of an engine's own optimiser, honest and with a fault in one, and the audit of each by itself."""

import importlib
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np

from adapters.contract import arithmetic_of, load
from adapters.faults.networks import DRAWN
from adapters.faults.updates import (
    OTHER_FORMS,
    SETTINGS,
    Setting,
    Surroundings,
    UpdateFault,
)
from reference.arrays import Place, Tree, layers, tree
from reference.audit import Finding, audit_update
from reference.case import Case, Trace
from reference.network import trace
from reference.optimisers import OPTIMISERS, Hyper, Optimiser, States, audit_step, optimiser

MAKERS = {
    "numpy": "adapters.faults.optimisers_in_numpy",
    "torch-eager": "adapters.faults.optimisers_in_torch",
    "jax-jit": "adapters.faults.optimisers_in_jax",
}
"""The engines whose optimisers faults are planted in: name -> the module with `step`."""

WARM = 4
"""Honest steps before the first that is audited: m, v and b have left their initial values."""

HALF = 16
"""Samples of a batch: half of them, so that no two steps in a row have the same."""


class Moment(NamedTuple):
    """A step as the honest engine made it.

    case     the parameters before it, and its batch
    trace    the gradient, computed by the reference in the engine's format
    past     the gradient of the step before
    """

    case: Case
    trace: Trace
    past: Tree
    state: States
    new_w: Tree
    new_state: States

    @property
    def w(self) -> Tree:
        return tree(self.case.W, self.case.b)

    @property
    def g(self) -> Tree:
        return tree(self.trace.dW, self.trace.db)


def step(engine: str, made: str, dtype: str, h: Hyper, w: Tree, state: States, g: Tree) -> tuple[Tree, States]:
    """One step of an engine's optimiser."""
    module = importlib.import_module(MAKERS[engine])
    after: tuple[Tree, States] = module.step(made, dtype, h, w, state, g)
    return after


def honest_step(
    engine: str, setting: Setting, dtype: str, h: Hyper, w: Tree, state: States, g: Tree
) -> tuple[Tree, States]:
    """One step as it should be; where the biases have hyperparameters of their own, they have their own optimiser."""
    make = partial(step, engine, setting.made or setting.lines, dtype)
    after = make(h, w, state, g)
    if not setting.biases:
        return after
    biases = tuple(place for place in w if place[0] == "b")
    return instead(biases, make({**h, **setting.biases}, w, state, g), after)


def instead(places: tuple[Place, ...], one: tuple[Tree, States], other: tuple[Tree, States]) -> tuple[Tree, States]:
    """What the one step has left in some places, and the other in all others."""
    return (
        {place: (one if place in places else other)[0][place] for place in other[0]},
        {place: (one if place in places else other)[1][place] for place in other[1]},
    )


@lru_cache(maxsize=256)
def course(engine: str, setting_name: str, dtype: str, stage: str, seed: int, steps: int) -> tuple[Moment, ...]:
    """Honest steps of an engine from a drawn network, those after the first WARM: batches are halves of the samples."""
    setting = SETTINGS[setting_name]
    h, case = setting.at(stage), DRAWN[stage]("tanh", dtype, seed)
    W, b = dict(case.W), dict(case.b)
    start = optimiser(setting.lines).init
    w: Tree = tree(W, b)
    state: States = {place: {"t": 0.0, **start(array)} for place, array in w.items()}
    past: Tree = {}
    rng, moments = np.random.default_rng(seed), []
    for _ in range(WARM + steps):
        batch = rng.permutation(case.samples)[:HALF]
        now = case.with_parameters(layers(w, "W"), layers(w, "b")).on_batch(case.x[batch], case.y[batch])
        seen = trace(now, dtype)
        g = tree(seen.dW, seen.db)
        new_w, new_state = honest_step(engine, setting, dtype, h, w, state, g)
        moments.append(Moment(now, seen, past, state, new_w, new_state))
        w, state, past = new_w, new_state, g
    return tuple(moments[WARM:])


SELDOM = 1000
"""Steps of which a fault strikes one, where it is planted in a window of steps."""


def planted_at(fault: UpdateFault, seed: int) -> int:
    """The step of the window in which a fault is planted.

    It is drawn among 1,000. Each step is audited by itself, so that only those of its window are run: from the drawn
    network, not after hundreds of steps.
    """
    return int(np.random.default_rng([seed, SELDOM]).integers(SELDOM)) % fault.window


def planted_step(engine: str, fault: UpdateFault, dtype: str, stage: str, moment: Moment) -> tuple[Tree, States]:
    """The same step with the fault in it: what is left of the parameters that it is planted in."""
    setting = SETTINGS[fault.setting]
    h, w, state = setting.at(stage), moment.w, moment.state
    t = float(state["W", 1]["t"]) + 1
    real = partial(step, engine, fault.made or setting.made or setting.lines, dtype, fault.given(h, t))
    new_w, new_state = fault.wrong(Surroundings(h, dtype, moment.past), real, w, state, moment.g)
    return {place: new_w[place] for place in fault.places}, {place: new_state[place] for place in fault.places}


def findings(
    engine: str, setting_name: str, dtype: str, stage: str, moment: Moment, new_w: Tree, new_state: States
) -> dict[Place, list[Finding]]:
    """The audit of what a step left of some parameters, each by itself: its lines in their order."""
    setting = SETTINGS[setting_name]
    h = setting.at(stage)
    if setting.lines == "gradient_descent":
        all_w = {**moment.new_w, **new_w}
        W, b = layers(all_w, "W"), layers(all_w, "b")
        found = audit_update(moment.case, moment.trace, W, b, h["learning_rate"])
        return {place: [finding] for place, finding in zip(moment.w, found, strict=True) if place in new_w}
    arithmetic = arithmetic_of(load(engine))
    judged = {which: lines(engine, setting.lines, own) for which, own in (("W", h), ("b", {**h, **setting.biases}))}
    return {
        place: audit_step(
            judged[place[0]], dtype, moment.w[place], moment.state[place], moment.g[place], new, new_state[place],
            place[1], arithmetic,
        )
        for place, new in new_w.items()
    }  # fmt: skip


def lines(engine: str, name: str, h: Hyper) -> Optimiser:
    """The optimiser that an engine is judged by; its form in the engine may lack a hyperparameter."""
    form = OPTIMISERS[OTHER_FORMS.get((engine, name), name)]
    return optimiser(form.name, **{given: value for given, value in h.items() if given in form.hyperparameters})


@lru_cache(maxsize=256)
def honest_findings(
    engine: str, setting_name: str, dtype: str, stage: str, seed: int, steps: int
) -> tuple[dict[Place, list[Finding]], ...]:
    """The audit of each step of a course."""
    return tuple(
        findings(engine, setting_name, dtype, stage, moment, moment.new_w, moment.new_state)
        for moment in course(engine, setting_name, dtype, stage, seed, steps)
    )
