"""optax: every optimiser, schedule and clipping by the reference's names, as anyone would chain them; and a step."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

from reference.clipping import Clipping
from reference.optimisers import Hyper
from reference.training import Plan

Rate = Any
"""η: a number, or a schedule of optax."""

Transformation = Any
"""optax.GradientTransformation."""


class Form(NamedTuple):
    """How an optimiser is chained, and what optax calls that which it keeps."""

    chain: Callable[[Hyper, Rate], Transformation]
    kept: Mapping[str, str]


def coupled(h: Hyper, transformation: Transformation) -> Transformation:
    """λw is added to the gradient, before everything else."""
    return optax.chain(optax.add_decayed_weights(h["weight_decay"]), transformation)


def rmsprop(h: Hyper, rate: Rate, centred: bool, **more: Any) -> Transformation:
    return optax.rmsprop(rate, h["decay"], h["eps"], centered=centred, momentum=h.get("momentum"), **more)


def eps_in_root(h: Hyper, rate: Rate, centred: bool = False) -> Transformation:
    return rmsprop(h, rate, centred, initial_scale=h["initial_accumulator"])


def moments(h: Hyper) -> tuple[float, float, float]:
    return h["beta1"], h["beta2"], h["eps"]


def decay(h: Hyper) -> dict[str, float]:
    return {"weight_decay": h["weight_decay"]}


COUNT = {"count": "t"}
MOMENTS = COUNT | {"mu": "m", "nu": "v"}
SQUARE, MEAN, BUFFER = {"nu": "v"}, {"mu": "a"}, {"trace": "b"}

OPTIMISERS: dict[str, Form] = {
    "gradient_descent": Form(lambda h, rate: coupled(h, optax.sgd(rate)), {}),
    "gradient_descent_decoupled": Form(lambda h, rate: coupled(h, optax.scale_by_learning_rate(rate)), {}),
    "momentum": Form(lambda h, rate: coupled(h, optax.sgd(rate, h["momentum"])), BUFFER),
    "nesterov": Form(lambda h, rate: coupled(h, optax.sgd(rate, h["momentum"], nesterov=True)), BUFFER),
    "adagrad_eps_in_root": Form(
        lambda h, rate: optax.adagrad(rate, h["initial_accumulator"], h["eps"]), {"sum_of_squares": "s"}
    ),
    "rmsprop": Form(lambda h, rate: coupled(h, rmsprop(h, rate, False, eps_in_sqrt=False)), SQUARE),
    "rmsprop_centred": Form(lambda h, rate: coupled(h, rmsprop(h, rate, True, eps_in_sqrt=False)), SQUARE | MEAN),
    "rmsprop_eps_in_root": Form(eps_in_root, SQUARE),
    "rmsprop_eps_in_root_momentum": Form(eps_in_root, SQUARE | BUFFER),
    "rmsprop_eps_in_root_centred": Form(lambda h, rate: eps_in_root(h, rate, True), SQUARE | MEAN),
    "rmsprop_eps_in_root_centred_momentum": Form(lambda h, rate: eps_in_root(h, rate, True), SQUARE | MEAN | BUFFER),
    "adadelta": Form(
        lambda h, rate: optax.adadelta(rate, h["decay"], h["eps"], h["weight_decay"]), {"e_g": "v", "e_x": "x"}
    ),
    "adam": Form(lambda h, rate: coupled(h, optax.adam(rate, *moments(h))), MOMENTS),
    "adamw": Form(lambda h, rate: optax.adamw(rate, *moments(h), **decay(h)), MOMENTS),
    "nadam_constant": Form(lambda h, rate: optax.nadam(rate, *moments(h)), MOMENTS),
    "nadamw_constant": Form(lambda h, rate: optax.nadamw(rate, *moments(h), **decay(h)), MOMENTS),
    "amsgrad_of_corrected": Form(lambda h, rate: optax.amsgrad(rate, *moments(h)), MOMENTS | {"nu_max": "v_max"}),
    "adamax": Form(lambda h, rate: coupled(h, optax.adamax(rate, *moments(h))), COUNT | {"mu": "m", "nu": "u"}),
    "adamaxw": Form(lambda h, rate: optax.adamaxw(rate, *moments(h), **decay(h)), COUNT | {"mu": "m", "nu": "u"}),
    "lion": Form(lambda h, rate: optax.lion(rate, h["beta1"], h["beta2"], **decay(h)), {"mu": "m"}),
}
"""Every form of the reference that optax has: name of the form -> how it is chained."""

SCHEDULES: dict[str, Callable[[float, Hyper], Rate]] = {
    "constant": lambda rate, p: rate,
    "step": lambda rate, p: optax.exponential_decay(rate, int(p["every"]), p["factor"], staircase=True),
    "exponential": lambda rate, p: optax.exponential_decay(rate, 1, p["factor"]),
    "cosine": lambda rate, p: optax.cosine_decay_schedule(rate, int(p["steps"]), p["lowest"]),
    "warm_up": lambda rate, p: optax.linear_schedule(p["lowest"] * rate, rate, int(p["steps"])),
}
"""Every schedule, of η and its parameters."""

CLIPPINGS: dict[str, Callable[[float], Transformation]] = {"value": optax.clip, "norm": optax.clip_by_global_norm}
"""Every form of clipping, of the limit."""


def trains(plan: Plan) -> bool | str:
    """True, or what of a plan optax lacks."""
    name, h = plan.optimiser.name, plan.optimiser.hyperparameters
    if name not in OPTIMISERS:
        return f"optax has no optimiser {name!r}"
    if h.get("dampening"):
        return "optax has no dampening"
    if plan.clipping is not None and plan.clipping.form not in CLIPPINGS:
        return f"optax clips by no {plan.clipping.form!r}"
    if plan.schedule.name in ("step", "exponential") and plan.schedule.parameters["factor"] == 0:
        return "optax takes a factor of 0 for a constant rate"
    return True


class Made(NamedTuple):
    """An optimiser that is ready to train.

    init    parameters, steps of the schedule -> state
    resume  state, what was kept, steps made -> the state that goes on from there
    update  gradient, state, parameters, steps made -> parameters, state, what is kept, η, the clipped gradient or None
    """

    init: Callable[..., Any]
    resume: Callable[..., Any]
    update: Callable[..., Any]


def make(plan: Plan) -> Made:
    """The optimiser of a plan; plans with the same one share its compiled step."""
    optimiser, schedule = plan.optimiser, plan.schedule
    return compiled(
        optimiser.name,
        tuple(optimiser.hyperparameters.items()),
        schedule.name,
        tuple(schedule.parameters.items()),
        plan.clipping,
    )


@cache
def compiled(name: str, hyperparameters: Any, schedule: str, parameters: Any, clipping: Clipping | None) -> Made:
    """As `make`, of what can be looked up."""
    form, h = OPTIMISERS[name], dict(hyperparameters)
    rate = SCHEDULES[schedule](h["learning_rate"], dict(parameters))
    optimiser = form.chain(h, rate)
    clip = optax.identity() if clipping is None else CLIPPINGS[clipping.form](clipping.limit)

    def init(w: Any, steps: int) -> Any:
        state = optimiser.init(w)
        return optax.tree.set(state, of_schedule, count=np.int32(steps)) if callable(rate) else state

    def resume(state: Any, kept: Any, steps: int) -> Any:
        return loaded(state, form.kept, kept, np.int32(steps))

    def update(g: Any, state: Any, w: Any, steps: Any) -> Any:
        clipped, _ = clip.update(g, optax.EmptyState())
        updates, state = optimiser.update(clipped, state, w)
        used = rate(steps) if callable(rate) else rate
        new = optax.apply_updates(w, updates)
        return new, state, shown(state, form.kept), used, None if clipping is None else clipped

    return Made(init, resume, jax.jit(update))


def of_schedule(path: Any, value: Any = None) -> bool:
    """Whether it is a schedule that keeps what is found there."""
    return path[-1].tuple_name == optax.ScaleByScheduleState.__name__


def of_optimiser(path: Any, value: Any) -> bool:
    return not of_schedule(path)


def loaded(state: Any, names: Mapping[str, str], kept: Mapping[str, Any], steps: Any) -> Any:
    """The state that has kept this, under the reference's names, in so many steps of the optimiser."""
    held = {theirs: kept[ours] for theirs, ours in names.items() if ours != "t"}
    if optax.tree.get(state, "count", filtering=of_optimiser) is not None:
        held["count"] = steps
    return optax.tree.set(state, of_optimiser, **held)


def shown(state: Any, names: Mapping[str, str]) -> dict[str, Any]:
    """What is kept, under the reference's names."""
    return {ours: optax.tree.get(state, theirs, filtering=of_optimiser) for theirs, ours in names.items()}
