"""The panel of the update: every seeded fault of an optimiser, by its name.

A fault is planted in a real optimiser in one of three ways, or in several of them:

    made    another optimiser, or one that is made wrongly, stands where the right one belongs; each engine has its own,
            under one name
    given   the right one is given other hyperparameters: (h, t) -> h, in the step t
    wrong   what is around it is wrong: (m, step, w, state, g) -> w and state after a step that should have been
            step(w, state, g); once for all engines, on numbers of the engine's format

An optimiser is judged by the lines of `reference.optimisers`, gradient descent by (2a) and (2b).
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from adapters.faults.catalogue import GITHUB, HISTORICAL, PARTIAL, PRECISION, STATE
from adapters.faults.fault import CONVERGED, OUTPUT, Fault
from reference.arrays import Array, Place, Tree
from reference.optimisers import Hyper, States
from reference.rounding import rounded

Step = Callable[[Tree, States, Tree], tuple[Tree, States]]
"""(w, state, g) -> w and state after the step."""

Wrong = Callable[..., tuple[Tree, States]]
"""(m, step, w, state, g) -> w and state after a wrong step; m are the `Surroundings`."""


# --- the optimisers that faults are planted in


class Setting(NamedTuple):
    """An optimiser as it should be.

    lines             its name in reference.optimisers
    hyperparameters   all that an engine is given; the learning rate is that at initialisation
    trained           the learning rate near convergence, where gradients should remain of the order of 10⁻⁵
    biases            the hyperparameters that the biases have otherwise
    made              its name among an engine's optimisers, where it is not that of its lines
    """

    lines: str
    hyperparameters: Hyper
    trained: float
    biases: Hyper = {}  # noqa: RUF012 - never written to
    made: str = ""

    def at(self, stage: str) -> Hyper:
        """The hyperparameters at a stage of training."""
        trained = {"learning_rate": self.trained} if stage == CONVERGED else {}
        return {**self.hyperparameters, **trained}


DESCENT = {"learning_rate": 0.1}
ADAM = {"learning_rate": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.0}
MOMENTUM = {**DESCENT, "momentum": 0.9, "dampening": 0.0, "weight_decay": 0.0}

SETTINGS = {
    "gradient descent": Setting("gradient_descent", {**DESCENT, "weight_decay": 0.0}, 0.1),
    "momentum": Setting("momentum", MOMENTUM, 0.1),
    "momentum with decay": Setting("momentum", {**MOMENTUM, "weight_decay": 1e-2}, 0.1),
    "dampened momentum": Setting("momentum", {**MOMENTUM, "dampening": 0.9}, 0.1, made="momentum, dampened"),
    "nesterov": Setting("nesterov", {**DESCENT, "momentum": 0.9, "weight_decay": 0.0}, 0.1),
    "adam": Setting("adam", ADAM, 1e-4),
    "adamw": Setting("adamw", {**ADAM, "weight_decay": 0.1}, 1e-4),
    "adamw of weights": Setting("adamw", {**ADAM, "weight_decay": 0.1}, 1e-4, {"weight_decay": 0.0}),
    "amsgrad": Setting("amsgrad", ADAM, 1e-4),
    "rmsprop": Setting("rmsprop", {"learning_rate": 1e-3, "decay": 0.99, "eps": 1e-8, "weight_decay": 0.0}, 1e-5),
    # with the usual β₁ = 0.9 and β₂ = 0.99, an m of four steps turns the sign in too few elements to show its order
    "lion": Setting("lion", {"learning_rate": 1e-4, "beta1": 0.95, "beta2": 0.98, "weight_decay": 0.1}, 1e-5),
}
"""Every one by its name."""

OTHER_FORMS = {("jax-jit", "amsgrad"): "amsgrad_of_corrected"}
"""Engines that have an optimiser in another form, of which the lines are judged."""

SQUARES = ("adam", "adamw", "amsgrad", "rmsprop")
"""Optimisers that are not run in float16: there g² and ε = 10⁻⁸ are 0, and the honest step divides by 0."""


# --- what a fault is


@dataclass(frozen=True)
class Surroundings:
    """What a fault may use beside the step.

    hyperparameters   the right ones
    dtype             the engine's format
    past              the gradient of the step before
    """

    hyperparameters: Hyper
    dtype: str
    past: Tree


def as_it_is(m: Surroundings, step: Step, w: Tree, state: States, g: Tree) -> tuple[Tree, States]:
    return step(w, state, g)


def as_given(h: Hyper, t: float) -> Hyper:
    return h


@dataclass(frozen=True)
class UpdateFault(Fault):
    """A change to one step of an optimiser: `site` is the line that it breaks, `layer` the first that it is planted in.

    setting   the optimiser, a key of SETTINGS
    made      what stands in its place, a name among an engine's optimisers; "" for itself
    given     its hyperparameters, of the right ones and t
    last      the last layer that it is planted in
    of        the parameters that it is planted in: W, b or both
    window    steps that are audited, in one of which it is planted
    """

    setting: str = ""
    made: str = ""
    given: Callable[[Hyper, float], Hyper] = as_given
    last: int = OUTPUT
    of: str = "Wb"
    window: int = 1

    @property
    def places(self) -> tuple[Place, ...]:
        """The parameters that it is planted in."""
        return tuple((which, l) for l in range(self.layer, self.last + 1) for which in self.of)

    @property
    def breaks(self) -> tuple[str, int]:
        return self.site, self.layer

    @property
    def equations(self) -> tuple[str, ...]:
        """What a finding may call it: (2a) of weights, (2b) of biases, or the line, in the form that an engine has."""
        if self.site in ("2a", "2b"):
            return tuple({"W": "2a", "b": "2b"}[which] for which in self.of)
        lines, _, line = self.site.partition(": ")
        return self.site, *(f"{form}: {line}" for (_, name), form in OTHER_FORMS.items() if name == lines)

    def names(self, equation: str, layer: int) -> bool:
        return equation in self.equations and self.layer <= layer <= self.last

    def runs(self, dtype: str) -> bool:
        """Whether the honest optimiser makes a step in a format at all."""
        return dtype != "float16" or SETTINGS[self.setting].lines not in SQUARES


def kept_as(equation: str, place: Place, w: Tree, state: States) -> Array | float:
    """What a finding is about: w, or something kept."""
    line = equation.partition(": ")[2]
    return state[place][line] if line in state[place] else w[place]


# --- what is around a step


def skipped(m: Surroundings, step: Step, w: Tree, state: States, g: Tree) -> tuple[Tree, States]:
    return w, state


def twice(m: Surroundings, step: Step, w: Tree, state: States, g: Tree) -> tuple[Tree, States]:
    return step(*step(w, state, g), g)


def stale(m: Surroundings, step: Step, w: Tree, state: States, g: Tree) -> tuple[Tree, States]:
    return step(w, state, m.past)


def accumulated(m: Surroundings, step: Step, w: Tree, state: States, g: Tree) -> tuple[Tree, States]:
    return step(w, state, {place: rounded(g[place] + m.past[place], m.dtype) for place in g})


def weights_in_brain(m: Surroundings, step: Step, w: Tree, state: States, g: Tree) -> tuple[Tree, States]:
    new_w, new_state = step(w, state, g)
    return {place: in_brain(array, m) for place, array in new_w.items()}, new_state


def one_weight_left(m: Surroundings, step: Step, w: Tree, state: States, g: Tree) -> tuple[Tree, States]:
    """The weight with the largest gradient of its layer stays as it is."""
    new_w, new_state = step(w, state, g)
    largest = {place: np.abs(array) == np.abs(array).max() for place, array in g.items()}
    return {place: np.where(largest[place], w[place], array) for place, array in new_w.items()}, new_state


def shrunk_before(m: Surroundings, step: Step, w: Tree, state: States, g: Tree) -> tuple[Tree, States]:
    keep = 1 - m.hyperparameters["learning_rate"] * m.hyperparameters["weight_decay"]
    return step({place: rounded(keep * array, m.dtype) for place, array in w.items()}, state, g)


def in_brain(array: Array | float, m: Surroundings) -> Array:
    """bfloat16, and again the engine's format."""
    return rounded(rounded(array, "bfloat16"), m.dtype)


def kept_in_brain(name: str) -> Wrong:
    """Something kept is held in bfloat16."""

    def wrong(m: Surroundings, step: Step, w: Tree, state: States, g: Tree) -> tuple[Tree, States]:
        new_w, new_state = step(w, state, g)
        return new_w, {place: {**kept, name: in_brain(kept[name], m)} for place, kept in new_state.items()}

    return wrong


def not_kept(name: str) -> Wrong:
    """Something new is used, but what is kept stays as it was."""

    def wrong(m: Surroundings, step: Step, w: Tree, state: States, g: Tree) -> tuple[Tree, States]:
        new_w, new_state = step(w, state, g)
        return new_w, {place: {**kept, name: state[place][name]} for place, kept in new_state.items()}

    return wrong


def reset(name: str) -> Wrong:
    """Something kept is zero at the start of each step."""

    def wrong(m: Surroundings, step: Step, w: Tree, state: States, g: Tree) -> tuple[Tree, States]:
        return step(w, {place: {**kept, name: np.zeros_like(kept[name])} for place, kept in state.items()}, g)

    return wrong


def count_off(by: float) -> Wrong:
    """The bias correction is that of another step than t; t itself is counted rightly."""

    def wrong(m: Surroundings, step: Step, w: Tree, state: States, g: Tree) -> tuple[Tree, States]:
        new_w, new_state = step(w, counted(state, by), g)
        return new_w, counted(new_state, -by)

    return wrong


def counted(state: States, by: float) -> States:
    """The same with another step count."""
    return {place: {**kept, "t": kept["t"] + by} for place, kept in state.items()}


def shared(name: str, one: Place, other: Place) -> Wrong:
    """Two parameters have one buffer, which is updated for the one and then for the other."""

    def wrong(m: Surroundings, step: Step, w: Tree, state: States, g: Tree) -> tuple[Tree, States]:
        first_w, first = step(w, state, g)
        new_w, second = step(w, {**state, other: {**state[other], name: first[one][name]}}, g)
        buffer = second[other][name]
        return {**new_w, one: first_w[one]}, {**second, one: {**first[one], name: buffer}}

    return wrong


# --- the faults

OPTIMISER = "wrong optimiser"


def but(**wrong: Callable[[Hyper, float], float]) -> Callable[[Hyper, float], Hyper]:
    """The right hyperparameters, but for some."""
    return lambda h, t: {**h, **{name: value(h, t) for name, value in wrong.items()}}


RATE_OFF = but(learning_rate=lambda h, t: 1.5 * h["learning_rate"])

EPS_BEFORE_CORRECTION = but(eps=lambda h, t: h["eps"] / math.sqrt(1 - h["beta2"] ** t))
"""(√v + ε)/√(1 − β₂^t) = √v̂ + ε/√(1 − β₂^t)"""

BETAS_EXCHANGED = but(beta1=lambda h, t: h["beta2"], beta2=lambda h, t: h["beta1"])

NEVER = 2.0**20
"""A step in which no bias is left to correct."""


def only(layer: int) -> dict[str, Any]:
    """Planted in one layer alone."""
    return {"layer": layer, "last": layer}


PLANTED: list[tuple[str, str, str, str, str, dict[str, Any]]] = [
    # name, kind, cause, line, optimiser, what is wrong, and where
    ("rate-off", OPTIMISER, "η is off by 1.5", "2a", "gradient descent", {"given": RATE_OFF}),
    ("uphill", OPTIMISER, "the step has the sign of ascent", "2a", "gradient descent",
        {"made": "gradient_descent, uphill"}),
    ("biases-not-updated", STATE, "the biases are not handed to the optimiser", "2b", "gradient descent",
        {"wrong": skipped, "of": "b"}),
    ("layer-not-updated", STATE, "one layer is not handed to the optimiser", "2a", "gradient descent",
        {"wrong": skipped, **only(2)}),
    ("update-twice", STATE, "the step is made twice", "2a", "gradient descent", {"wrong": twice}),
    ("update-stale", STATE, "the step is made with the gradient of the step before", "2a", "gradient descent",
        {"wrong": stale}),
    ("gradient-not-zeroed", STATE, "the gradient of the step before is still in it", "2a", "gradient descent",
        {"wrong": accumulated}),
    ("updated-in-brain", PRECISION, "the weights are kept in bfloat16 after the step", "2a", "gradient descent",
        {"wrong": weights_in_brain}),
    ("one-weight-not-updated", PARTIAL, "the weight with the largest gradient of a layer is not updated",
        "2a", "gradient descent", {"wrong": one_weight_left, "of": "W", **only(2)}),
    ("one-step-in-a-thousand", PARTIAL, "one step in a thousand is skipped: ten around it are audited",
        "2a", "gradient descent", {"wrong": skipped, "window": 10}),

    ("dampening-added", OPTIMISER, "the gradient enters the momentum by 1 − μ", "momentum: b", "momentum",
        {"made": "momentum, dampened"}),
    ("dampening-lost", OPTIMISER, "the gradient enters the momentum whole, not by 1 − τ",
        "momentum: b", "dampened momentum", {"made": "momentum", "given": but(dampening=lambda h, t: 0.0)}),
    ("momentum-shared", STATE, "two arrays of a shape have one momentum buffer", "momentum: b", "momentum",
        {"wrong": shared("b", ("b", 1), ("b", 2)), "of": "b", "last": 2}),
    ("momentum-reset", STATE, "the momentum is zero before each step", "momentum: b", "momentum",
        {"wrong": reset("b")}),
    ("momentum-in-brain", PRECISION, "the momentum is kept in bfloat16", "momentum: b", "momentum",
        {"wrong": kept_in_brain("b"), **only(2)}),
    ("momentum-rate-off", OPTIMISER, "η of one layer is off by 1.5", "momentum: w", "momentum",
        {"given": RATE_OFF, **only(2)}),
    ("look-ahead-missing", OPTIMISER, "Nesterov's step is that of plain momentum", "nesterov: w", "nesterov",
        {"made": "momentum"}),

    ("eps-in-root", OPTIMISER, "√(v̂ + ε) where √v̂ + ε belongs", "adam: w", "adam", {"made": "adam, eps in root"}),
    ("eps-of-another-framework", OPTIMISER, "ε = 10⁻⁷, the usual value elsewhere, for 10⁻⁸", "adam: w", "adam",
        {"given": but(eps=lambda h, t: 1e-7)}),
    ("correction-missing", OPTIMISER, "m and v are not corrected for their start at 0", "adam: w", "adam",
        {"wrong": count_off(NEVER)}),
    ("correction-of-step-before", STATE, "the correction is that of t − 1", "adam: w", "adam",
        {"wrong": count_off(-1), **only(2)}),
    ("count-stands-still", STATE, "t is not advanced", "adam: t", "adam", {"wrong": not_kept("t")}),
    ("betas-exchanged", OPTIMISER, "β₁ and β₂ are exchanged", "adam: m", "adam", {"given": BETAS_EXCHANGED}),
    ("square-missing", OPTIMISER, "v averages |g|, not g²", "adam: v", "adam", {"made": "adam, v of |g|"}),
    ("first-moment-in-brain", PRECISION, "m is kept in bfloat16", "adam: m", "adam",
        {"wrong": kept_in_brain("m"), **only(3)}),

    ("decay-coupled", OPTIMISER, "λw enters the gradient, and with it m and v", "adamw: m", "adamw", {"made": "adam"}),
    ("decay-twice", STATE, "w is shrunk by the optimiser and beside it", "adamw: w", "adamw",
        {"wrong": shrunk_before, **only(2)}),
    ("decay-without-rate", OPTIMISER, "w is shrunk by λ, not by ηλ", "adamw: w", "adamw",
        {"given": but(weight_decay=lambda h, t: h["weight_decay"] / h["learning_rate"])}),
    ("decay-missing", OPTIMISER, "the weight decay is not applied", "adamw: w", "adamw",
        {"given": but(weight_decay=lambda h, t: 0.0), **only(3)}),
    ("decay-of-biases", STATE, "the biases share the weight decay of the weights", "adamw: w", "adamw of weights",
        {"of": "b"}),

    ("rmsprop-eps-in-root", OPTIMISER, "√(v + ε) where √v + ε belongs", "rmsprop: w", "rmsprop",
        {"made": "rmsprop, eps in root"}),
    ("rmsprop-decay-of-another-framework", OPTIMISER, "ρ = 0.9, the usual value elsewhere, for 0.99",
        "rmsprop: v", "rmsprop", {"given": but(decay=lambda h, t: 0.9)}),
    ("sign-missing", OPTIMISER, "Lion's step lacks the sign", "lion: w", "lion", {"made": "lion, no sign"}),
    ("momentum-replaced-first", OPTIMISER, "Lion's step is made with the new m", "lion: w", "lion",
        {"made": "lion, m first"}),
]  # fmt: skip

SEEN_BEFORE: list[tuple[str, str, str, str, str, dict[str, Any]]] = [
    # name, cause, where, line, optimiser, what is wrong
    ("decay-outside-momentum", "the weight decay is added past the momentum", "pytorch/pytorch/pull/13801",
        "momentum: b", "momentum with decay", {"made": "momentum, decay outside"}),
    ("look-ahead-backwards", "g − μ b where g + μ b belongs", "PaddlePaddle/Paddle/pull/12231",
        "nesterov: w", "nesterov", {"made": "nesterov, backwards"}),
    ("eps-before-correction", "ε stands beside √v, not beside √v̂; before pytorch/pytorch#22628 as well",
        "karpathy/nanochat/issues/304", "adam: w", "adam", {"given": EPS_BEFORE_CORRECTION}),
    ("correction-of-next-step", "the correction is that of t + 1", "pytorch/torchtitan/pull/4382",
        "adam: w", "adam", {"wrong": count_off(1)}),
    ("maximum-not-kept", "AMSGrad's largest v is used, but not kept", "pytorch/pytorch/issues/78807",
        "amsgrad: v_max", "amsgrad", {"wrong": not_kept("v_max")}),
]  # fmt: skip

IN_HALF = ("rate-off", "uphill", "layer-not-updated", "update-twice", "update-stale", "gradient-not-zeroed")
AT_EVERY_STAGE = ("dampening-added", "dampening-lost", "momentum-shared", "momentum-reset", "decay-outside-momentum")

SEES: dict[str, tuple[str, str | None]] = {
    **dict.fromkeys((*IN_HALF, "one-step-in-a-thousand", "momentum-rate-off"), ("bfloat16", None)),
    **dict.fromkeys(("look-ahead-missing", "look-ahead-backwards"), ("bfloat16", None)),
    **dict.fromkeys(("biases-not-updated", "one-weight-not-updated", "sign-missing"), ("float16", None)),
    **dict.fromkeys((*AT_EVERY_STAGE, "correction-missing", "count-stands-still"), ("bfloat16", "bfloat16")),
    **dict.fromkeys(("betas-exchanged", "square-missing", "maximum-not-kept"), ("bfloat16", "bfloat16")),
    **dict.fromkeys(("decay-coupled", "decay-without-rate"), ("bfloat16", "bfloat16")),
    "rmsprop-decay-of-another-framework": ("bfloat16", "bfloat16"),
    "updated-in-brain": ("float16", "float16"),
}
"""The coarsest format that sees a fault, and that near convergence, where it is not float32 in both.

Measured over 30 draws in every engine: where the change is at least four allowances in each. None is the usual: nothing
is said of half precision near convergence.
"""


def panel() -> Iterator[UpdateFault]:
    """All of them."""
    for name, kind, cause, line, setting, wrong in PLANTED:
        yield update_fault(name, kind, cause, line, setting, **wrong)
    for name, cause, where, line, setting, wrong in SEEN_BEFORE:
        yield update_fault(name, HISTORICAL, cause, line, setting, source=GITHUB + where, **wrong)


def update_fault(
    name: str, kind: str, cause: str, line: str, setting: str, layer: int = 1, wrong: Wrong = as_it_is, **more: Any
) -> UpdateFault:
    """A fault, in all layers unless said otherwise, with the formats that see it."""
    sees, trained = SEES.get(name, ("float32", None))
    return UpdateFault(name, kind, cause, line, layer, wrong, sees=sees, trained=trained, setting=setting, **more)


UPDATES = {fault.name: fault for fault in panel()}
"""Every fault of the update."""
