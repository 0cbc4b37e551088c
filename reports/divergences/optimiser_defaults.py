"""Optimisers, schedules and clipping that have one name and several forms: calls, and the forms they may stand for."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from reference.arrays import Array, Place
from reference.clipping import Clipping
from reference.optimisers import Optimiser, optimiser
from reference.rounding import rounded
from reference.schedules import Schedule
from reports.divergences.defaults import Default

W = np.array([1.0, -0.5, 2.0])
G = np.array([[0.5, -1.5, 0.03], [-0.25, 1.0, 0.01], [1.5, 0.75, -0.02]])
"""Gradients of three steps: large ones, and small ones, for which ε and what an average starts with matter."""

RATE = 0.125
"""η, a number of every format."""

PLACE: Place = ("W", 1)


def weights_after(form: Optimiser) -> Array:
    """w after the three steps."""
    w, state = W, form.init(W)
    for g in G:
        w, state = form.update(g, state, w)
    return w


def weights_of(name: str, **hyperparameters: float) -> Array:
    """w after the three steps of a form of the reference."""
    return weights_after(optimiser(name, learning_rate=RATE, **hyperparameters))


def nadam_in_float32() -> Array:
    """w of NAdam whose product of momenta is a float32."""
    nadam = optimiser("nadam", learning_rate=RATE)
    narrow = {"mu_product": lambda mu_product, mu: float(np.float32(mu_product) * np.float32(mu))}
    return weights_after(replace(nadam, lines={**nadam.lines, **narrow}))


def momentum_of_averages() -> Optimiser:
    """Momentum, the first gradient dampened like the others."""
    momentum = optimiser("momentum", learning_rate=RATE, dampening=0.5)
    return replace(
        momentum, lines={**momentum.lines, "b": lambda b, momentum, dampening, g: momentum * b + (1 - dampening) * g}
    )


def decayed_without_rate(decay: float) -> Array:
    """w of AdamW as its authors have it: λw is not multiplied by η."""
    return weights_of("adamw", weight_decay=decay / RATE)


def of_optimiser(name: str, torch: str | None, jax: str | None, forms: Mapping[str, Array]) -> Default:
    """An optimiser with its η and nothing else but what its name says, seen in w after the three steps."""
    sources = {}
    if torch is not None:
        sources["torch"] = f"optimiser = torch.optim.{torch}\nfor w.grad in g:\n    optimiser.step()\nw"
    if jax is not None:
        steps = "for row in g:\n    step, state = made.update(row, state, w); w = w + step\nw"
        sources["jax"] = f"made = optax.{jax}\nstate = made.init(w)\n{steps}"
    return Default(name, f"three steps, η = {RATE}", {"w": W, "g": G}, forms, sources)


def of_schedule(name: str, schedule: Schedule, t: int, torch: str | None, jax: str, **others: float) -> Default:
    """η of a step of a schedule, the first step being 0."""
    sources = {"jax": f"jax.jit(optax.{jax})(jnp.int32({t}))"}
    if torch is not None:
        made = f"optimiser = torch.optim.SGD([z], lr={RATE})\nschedule = torch.optim.lr_scheduler.{torch}"
        step = f"for _ in range({t}):\n    optimiser.step(); schedule.step()"
        sources["torch"] = f"{made}\n{step}\ntorch.tensor(schedule.get_last_lr(), dtype=torch.float64)"
    rates = {"by its formula": schedule.rate(RATE, t), **{n.replace("_", " "): r for n, r in others.items()}}
    parameters = ", ".join(f"{n} = {value:g}" for n, value in schedule.parameters.items())
    formulas = {n: np.array([r]) for n, r in rates.items()}
    return Default(
        name, f"t = {t}, {parameters}", {"z": np.zeros(1)}, formulas, sources, ("in float32", "one step late")
    )


def clipped(name: str, limit: float) -> Array:
    """The last gradient, clipped."""
    return Clipping(name, limit).clipped({PLACE: G[2]})[PLACE]


def kept_in_float32() -> Array:
    """The mean of two gradients, the first rounded to float32 until the second comes."""
    first = rounded(G[0], "float32")
    return first + (G[1] - first) / 2


def training_defaults() -> tuple[Default, ...]:
    """Every default of optimisers, schedules and clipping."""
    return (
        of_optimiser(
            "Adagrad",
            f"Adagrad([w], lr={RATE})",
            f"adagrad({RATE})",
            {
                "ε = 1e-10 outside the root, s from 0": weights_of("adagrad"),
                "ε = 1e-7 in the root, s from 0.1": weights_of("adagrad_eps_in_root"),
            },
        ),
        of_optimiser(
            "RMSProp",
            f"RMSprop([w], lr={RATE})",
            f"rmsprop({RATE})",
            {
                "ε outside the root, ρ = 0.99": weights_of("rmsprop"),
                "ε in the root, ρ = 0.9": weights_of("rmsprop_eps_in_root"),
            },
        ),
        of_optimiser(
            "RMSProp, centred",
            f"RMSprop([w], lr={RATE}, centered=True)",
            f"rmsprop({RATE}, centered=True)",
            {
                "ε outside the root, ρ = 0.99": weights_of("rmsprop_centred"),
                "ε in the root, ρ = 0.9": weights_of("rmsprop_eps_in_root_centred"),
            },
        ),
        of_optimiser(
            "momentum, dampened by 0.5",
            f"SGD([w], lr={RATE}, momentum=0.9, dampening=0.5)",
            None,
            {
                "the first gradient dampened as well": weights_after(momentum_of_averages()),
                "the first gradient not dampened": weights_of("momentum", dampening=0.5),
            },
        ),
        of_optimiser(
            "AdamW",
            f"AdamW([w], lr={RATE})",
            f"adamw({RATE})",
            {
                "λ = 0.01, not multiplied by η": decayed_without_rate(1e-2),
                "λ = 0.01, multiplied by η": weights_of("adamw"),
                "λ = 1e-4, multiplied by η": weights_of("adamw", weight_decay=1e-4),
            },
        ),
        of_optimiser(
            "AMSGrad",
            f"Adam([w], lr={RATE}, amsgrad=True)",
            f"amsgrad({RATE})",
            {
                "maximum of v, then corrected": weights_of("amsgrad"),
                "maximum of the corrected v": weights_of("amsgrad_of_corrected"),
            },
        ),
        of_optimiser(
            "NAdam",
            f"NAdam([w], lr={RATE})",
            f"nadam({RATE})",
            {
                "momentum that grows by a schedule": weights_of("nadam"),
                "as scheduled, its product in float32": nadam_in_float32(),
                "constant momentum": weights_of("nadam_constant"),
            },
        ),
        Default(
            "clipping by the global norm",
            "‖g‖ = 1.68, limit 1",
            {"z": G[2]},
            {"c/‖g‖": clipped("norm", 1.0), "c/(‖g‖ + 1e-6)": clipped("norm_with_eps", 1.0)},
            {
                "torch": "z.grad = z.clone()\nnorm = torch.nn.utils.clip_grad_norm_([z], 1.0)\nz.grad",
                "jax": "optax.clip_by_global_norm(1.0).update([z], optax.EmptyState())[0][0]",
            },
        ),
        Default(
            "gradients of two batches",
            "accumulated, then one step",
            {"z": G[:2]},
            {"mean": G[:2].mean(axis=0), "sum": G[:2].sum(axis=0), "mean, kept in float32": kept_in_float32()},
            {
                "torch": "w = torch.zeros(3, dtype=z.dtype, requires_grad=True)\n"
                "for row in z:\n    (w @ row).backward()\nw.grad",
                "jax": "made = optax.MultiSteps(optax.sgd(-1.0), 2)\nstate = made.init(z[0])\n"
                "for row in z:\n    step, state = made.update(row, state)\nstep",
            },
        ),
        of_schedule(
            "cosine schedule",
            Schedule("cosine", {"steps": 10, "lowest": 0.0}),
            15,
            "CosineAnnealingLR(optimiser, 10)",
            f"cosine_decay_schedule({RATE}, 10)",
            rises_again=RATE / 2,
        ),
        of_schedule(
            "exponential schedule",
            Schedule("exponential", {"factor": 0.9}),
            3,
            "ExponentialLR(optimiser, 0.9)",
            f"exponential_decay({RATE}, 1, 0.9)",
            in_float32=float(np.float32(RATE) * np.float32(0.9) ** np.float32(3)),
        ),
        of_schedule(
            "step schedule",
            Schedule("step", {"every": 41, "factor": 0.5}),
            41,
            "StepLR(optimiser, 41, 0.5)",
            f"exponential_decay({RATE}, 41, 0.5, staircase=True)",
            one_step_late=RATE,
        ),
    )
