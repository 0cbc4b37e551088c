"""torch.optim: every optimiser, schedule and clipping by the reference's names, as anyone would make them."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor
from torch.optim import SGD, Adadelta, Adagrad, Adam, Adamax, AdamW, NAdam, Optimizer, RMSprop
from torch.optim.lr_scheduler import CosineAnnealingLR, ExponentialLR, LinearLR, LRScheduler, StepLR

from reference.optimisers import Hyper, State
from reference.training import Plan


class Form(NamedTuple):
    """How an optimiser is made, and what torch calls that which it keeps."""

    kind: type[Optimizer]
    arguments: Callable[[Hyper], dict[str, Any]]
    kept: Mapping[str, str]


def rate(h: Hyper) -> dict[str, Any]:
    return {"lr": h["learning_rate"], "weight_decay": h["weight_decay"]}


def sgd(h: Hyper, **more: Any) -> dict[str, Any]:
    return rate(h) | {"momentum": h["momentum"], "dampening": h.get("dampening", 0.0)} | more


def adagrad(h: Hyper) -> dict[str, Any]:
    decay, initial = h["learning_rate_decay"], h["initial_accumulator"]
    return rate(h) | {"lr_decay": decay, "eps": h["eps"], "initial_accumulator_value": initial}


def rmsprop(h: Hyper, centred: bool) -> dict[str, Any]:
    momentum = h.get("momentum", 0.0)
    return rate(h) | {"alpha": h["decay"], "eps": h["eps"], "momentum": momentum, "centered": centred}


def betas(h: Hyper, **more: Any) -> dict[str, Any]:
    return rate(h) | {"betas": (h["beta1"], h["beta2"]), "eps": h["eps"]} | more


def nadam(h: Hyper, **more: Any) -> dict[str, Any]:
    return betas(h, momentum_decay=h["momentum_decay"], **more)


COUNT = {"step": "t"}
BUFFER = {"momentum_buffer": "b"}
SQUARE, MEAN = {"square_avg": "v"}, {"grad_avg": "a"}
MOMENTS = COUNT | {"exp_avg": "m", "exp_avg_sq": "v"}

OPTIMISERS: dict[str, Form] = {
    "gradient_descent": Form(SGD, rate, {}),
    "momentum": Form(SGD, sgd, BUFFER),
    "nesterov": Form(SGD, lambda h: sgd(h, nesterov=True), BUFFER),
    "adagrad": Form(Adagrad, adagrad, COUNT | {"sum": "s"}),
    "rmsprop": Form(RMSprop, lambda h: rmsprop(h, False), COUNT | SQUARE),
    "rmsprop_momentum": Form(RMSprop, lambda h: rmsprop(h, False), COUNT | SQUARE | BUFFER),
    "rmsprop_centred": Form(RMSprop, lambda h: rmsprop(h, True), COUNT | SQUARE | MEAN),
    "rmsprop_centred_momentum": Form(RMSprop, lambda h: rmsprop(h, True), COUNT | SQUARE | MEAN | BUFFER),
    "adadelta": Form(
        Adadelta, lambda h: rate(h) | {"rho": h["decay"], "eps": h["eps"]}, COUNT | SQUARE | {"acc_delta": "x"}
    ),
    "adam": Form(Adam, betas, MOMENTS),
    "adamw": Form(AdamW, betas, MOMENTS),
    "amsgrad": Form(Adam, lambda h: betas(h, amsgrad=True), MOMENTS | {"max_exp_avg_sq": "v_max"}),
    "adamax": Form(Adamax, betas, COUNT | {"exp_avg": "m", "exp_inf": "u"}),
    "nadam": Form(NAdam, nadam, MOMENTS | {"mu_product": "mu_product"}),
    "nadamw": Form(NAdam, lambda h: nadam(h, decoupled_weight_decay=True), MOMENTS | {"mu_product": "mu_product"}),
}
"""Every form of the reference that torch.optim has: name of the form -> how it is made."""

SCHEDULES: dict[str, Callable[[Optimizer, Hyper], LRScheduler | None]] = {
    "constant": lambda optimiser, p: None,
    "step": lambda optimiser, p: StepLR(optimiser, int(p["every"]), p["factor"]),
    "exponential": lambda optimiser, p: ExponentialLR(optimiser, p["factor"]),
    "cosine": lambda optimiser, p: CosineAnnealingLR(
        optimiser, int(p["steps"]), p["lowest"] * optimiser.param_groups[0]["lr"]
    ),
    "warm_up": lambda optimiser, p: LinearLR(optimiser, p["lowest"], 1.0, int(p["steps"])),
}
"""Every schedule, of its parameters."""

CLIPPINGS: dict[str, Callable[[list[Tensor], float], Any]] = {
    "value": torch.nn.utils.clip_grad_value_,
    "norm_with_eps": torch.nn.utils.clip_grad_norm_,
}
"""Every form of clipping, of the parameters and the limit."""


def trains(plan: Plan) -> bool | str:
    """True, or what of a plan torch lacks."""
    schedule, steps = plan.schedule, plan.done + len(plan.batches)
    if plan.optimiser.name not in OPTIMISERS:
        return f"torch.optim has no optimiser {plan.optimiser.name!r}"
    if plan.optimiser.hyperparameters.get("momentum") == 0:
        return f"torch.optim has no {plan.optimiser.name!r} with a momentum of 0"  # no b, and Nesterov's is refused
    if plan.clipping is not None and plan.clipping.form not in CLIPPINGS:
        return f"torch clips by no {plan.clipping.form!r}"
    if schedule.name == "warm_up" and schedule.parameters["lowest"] == 0:
        return "torch warms up from no rate of 0"
    if schedule.name == "cosine" and steps > schedule.parameters["steps"] + 1:
        return "torch's cosine rises again after its steps"
    return True


def make(name: str, hyperparameters: Hyper, parameters: list[Tensor]) -> Optimizer:
    """The optimiser of a form."""
    form = OPTIMISERS[name]
    optimiser: Optimizer = form.kind(parameters, **form.arguments(hyperparameters))
    return optimiser


def shown(optimiser: Optimizer, p: Tensor, names: Mapping[str, str], steps: float) -> dict[str, Any]:
    """What is kept of a parameter, under the reference's names; where torch does not count, the steps made."""
    kept = {names[name]: single_or_array(value) for name, value in optimiser.state[p].items() if name in names}
    return {"t": steps, **kept}


def single_or_array(value: Any) -> Any:
    """torch's own numbers in float64; one that is kept once is a tensor without a shape, or a number."""
    if isinstance(value, Tensor) and value.dim():
        return value.detach().cpu().to(torch.float64, copy=True).numpy()
    return float(value)


def loaded(kept: State, p: Tensor, names: Mapping[str, str], steps: float) -> dict[str, Tensor]:
    """What torch keeps, of what is kept under the reference's names; where that has no count, after so many steps.

    Single numbers are in float32 unless torch's default is float64, and on the CPU.
    """
    if "step" not in names and kept.get("t") == 0:
        return {}  # SGD takes a momentum that is not there yet for a first step, whose gradient is not dampened
    single, kept = torch.promote_types(torch.float32, torch.get_default_dtype()), {"t": steps, **kept}
    return {
        name: torch.tensor(kept[ours], dtype=p.dtype, device=p.device)
        if isinstance(kept[ours], np.ndarray)
        else torch.tensor(kept[ours], dtype=single)
        for name, ours in names.items()
    }


def scheduled(optimiser: Optimizer, plan: Plan) -> LRScheduler | None:
    """The schedule of a plan, advanced by the steps that were made."""
    schedule = SCHEDULES[plan.schedule.name](optimiser, plan.schedule.parameters)
    for _ in range(plan.done if schedule is not None else 0):
        optimiser.step()  # without a gradient it changes nothing, but a schedule asks for it
        cast(LRScheduler, schedule).step()
    return schedule
