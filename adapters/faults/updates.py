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
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from adapters.faults.fault import CONVERGED, INITIAL, OUTPUT, Fault
from reference.arrays import Array
from reference.rounding import rounded

Place = tuple[str, int]
"""Which parameter: ("W", l) or ("b", l)."""

Tree = Mapping[Place, Array]
"""An array for every parameter."""

States = Mapping[Place, Mapping[str, Array | float]]
"""What is kept of every parameter, by the names of `reference.optimisers`, and the step count t."""

Hyper = Mapping[str, float]

Step = Callable[[Tree, States, Tree], tuple[Tree, States]]
"""(w, state, g) -> w and state after the step."""


# --- the optimisers that faults are planted in


class Setting(NamedTuple):
    """An optimiser as it should be.

    lines             its name in reference.optimisers
    hyperparameters   those that are not the usual ones; the learning rate is that at initialisation
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
        return {**self.hyperparameters, "learning_rate": self.hyperparameters["learning_rate"]} | (
            {"learning_rate": self.trained} if stage == CONVERGED else {}
        )


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
    "lion": Setting("lion", {"learning_rate": 1e-4, "beta1": 0.9, "beta2": 0.99, "weight_decay": 0.1}, 1e-5),
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
    given: Callable[[Hyper, float], Hyper] = lambda h, t: h
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
        """What a finding about it may be called: (2a) is for weights and (2b) for biases, and a line has other forms."""
        if self.site in ("2a", "2b"):
            return tuple({"W": "2a", "b": "2b"}[which] for which in self.of)
        lines, _, line = self.site.partition(": ")
        return self.site, *(f"{form}: {line}" for (_, name), form in OTHER_FORMS.items() if name == lines)

    def names(self, equation: str, layer: int) -> bool:
        return equation in self.equations and self.layer <= layer <= self.last

    def runs(self, dtype: str) -> bool:
        """Whether the honest optimiser makes a step in a format at all."""
        return dtype != "float16" or SETTINGS[self.setting].lines not in SQUARES


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


def kept_in_brain(name: str) -> Callable[..., tuple[Tree, States]]:
    """Something kept is held in bfloat16."""

    def wrong(m: Surroundings, step: Step, w: Tree, state: States, g: Tree) -> tuple[Tree, States]:
        new_w, new_state = step(w, state, g)
        return new_w, {place: {**kept, name: in_brain(kept[name], m)} for place, kept in new_state.items()}

    return wrong


def not_kept(name: str) -> Callable[..., tuple[Tree, States]]:
    """Something new is used, but what is kept stays as it was."""

    def wrong(m: Surroundings, step: Step, w: Tree, state: States, g: Tree) -> tuple[Tree, States]:
        new_w, new_state = step(w, state, g)
        return new_w, {place: {**kept, name: state[place][name]} for place, kept in new_state.items()}

    return wrong


def reset(name: str) -> Callable[..., tuple[Tree, States]]:
    """Something kept is zero at the start of each step."""

    def wrong(m: Surroundings, step: Step, w: Tree, state: States, g: Tree) -> tuple[Tree, States]:
        return step(w, {place: {**kept, name: np.zeros_like(kept[name])} for place, kept in state.items()}, g)

    return wrong


def count_off(by: float) -> Callable[..., tuple[Tree, States]]:
    """The bias correction is that of another step than t; t itself is counted rightly."""

    def wrong(m: Surroundings, step: Step, w: Tree, state: States, g: Tree) -> tuple[Tree, States]:
        new_w, new_state = step(w, counted(state, by), g)
        return new_w, counted(new_state, -by)

    return wrong


def counted(state: States, by: float) -> States:
    """The same with another step count."""
    return {place: {**kept, "t": kept["t"] + by} for place, kept in state.items()}


def shared(name: str, one: Place, other: Place) -> Callable[..., tuple[Tree, States]]:
    """Two parameters have one buffer, which is updated for the one and then for the other."""

    def wrong(m: Surroundings, step: Step, w: Tree, state: States, g: Tree) -> tuple[Tree, States]:
        first_w, first = step(w, state, g)
        new_w, second = step(w, {**state, other: {**state[other], name: first[one][name]}}, g)
        buffer = second[other][name]
        return {**new_w, one: first_w[one]}, {**second, one: {**first[one], name: buffer}}

    return wrong


# --- the faults

FORMULA, STATE, PARTIAL, PRECISION, HISTORICAL = (
    "wrong optimiser",
    "wrong state",
    "partial",
    "wrong precision",
    "historical",
)

GITHUB = "https://github.com/"

NEVER = 2.0**20
"""Steps after which no bias is left to correct."""


def with_given(**wrong: Callable[[Hyper, float], float]) -> Callable[[Hyper, float], Hyper]:
    """The right hyperparameters, but for some."""
    return lambda h, t: {**h, **{name: value(h, t) for name, value in wrong.items()}}


def eps_before_correction(h: Hyper, t: float) -> float:
    """(√v + ε)/√(1 − β₂^t) = √v̂ + ε/√(1 − β₂^t)"""
    return h["eps"] / math.sqrt(1 - h["beta2"] ** t)


def panel() -> Iterator[UpdateFault]:
    """All of them, by optimiser."""

    def fault(
        name: str,
        kind: str,
        cause: str,
        site: str,
        setting: str,
        layers: tuple[int, int] = (1, OUTPUT),
        wrong: Callable[..., tuple[Tree, States]] = as_it_is,
        made: str = "",
        given: Callable[[Hyper, float], Hyper] = lambda h, t: h,
        of: str = "Wb",
        window: int = 1,
        source: str = "",
    ) -> UpdateFault:
        sees, trained = SEES.get(name, ("float32", None))
        return UpdateFault(
            name, kind, cause, site, layers[0], wrong, "tanh", sees, trained, False, source and GITHUB + source,
            setting, made, given, layers[1], of, window,
        )  # fmt: skip

    rate_off = with_given(learning_rate=lambda h, t: 1.5 * h["learning_rate"])

    descent = "gradient descent"
    yield fault("rate-off", FORMULA, "η is off by 1.5", "2a", descent, given=rate_off)
    yield fault("uphill", FORMULA, "w + η g: the step has the sign of ascent", "2a", descent, made="uphill")
    yield fault("biases-not-updated", STATE, "the biases are not handed to the optimiser", "2b", descent,
        wrong=skipped, of="b")  # fmt: skip
    yield fault("layer-not-updated", STATE, "one layer is not handed to the optimiser", "2a", descent, (2, 2), skipped)
    yield fault("update-twice", STATE, "the step is made twice", "2a", descent, wrong=twice)
    yield fault("update-stale", STATE, "the step is made with the gradient of the step before", "2a", descent,
        wrong=stale)  # fmt: skip
    yield fault("gradient-not-zeroed", STATE, "the gradient of the step before is still in it", "2a", descent,
        wrong=accumulated)  # fmt: skip
    yield fault("updated-in-brain", PRECISION, "the weights are kept in bfloat16 after the step", "2a", descent,
        wrong=weights_in_brain)  # fmt: skip
    yield fault("one-weight-not-updated", PARTIAL, "one weight of a layer is not updated", "2a", descent, (2, 2),
        one_weight_left, of="W")  # fmt: skip
    yield fault("one-step-in-a-thousand", PARTIAL, "one step in a thousand is skipped", "2a", descent,
        wrong=skipped, window=10)  # fmt: skip

    yield fault("dampening-added", FORMULA, "the gradient enters the momentum by 1 − μ", "momentum: b", "momentum",
        made="momentum, dampened")  # fmt: skip
    yield fault("momentum-shared", STATE, "two arrays of a shape have one momentum buffer", "momentum: b", "momentum",
        (1, 2), shared("b", ("b", 1), ("b", 2)), of="b")  # fmt: skip
    yield fault("momentum-reset", STATE, "the momentum is zero before each step", "momentum: b", "momentum",
        wrong=reset("b"))  # fmt: skip
    yield fault("momentum-in-brain", PRECISION, "the momentum is kept in bfloat16", "momentum: b", "momentum", (2, 2),
        kept_in_brain("b"))  # fmt: skip
    yield fault("momentum-rate-off", FORMULA, "η of one layer is off by 1.5", "momentum: w", "momentum", (2, 2),
        given=rate_off)  # fmt: skip
    yield fault("dampening-lost", FORMULA, "the gradient enters the momentum whole, not by 1 − τ", "momentum: b",
        "dampened momentum", made="momentum")  # fmt: skip
    yield fault("decay-outside-momentum", HISTORICAL, "the weight decay is added past the momentum", "momentum: b",
        "momentum with decay", made="momentum, decay outside", source="pytorch/pytorch/pull/13801")  # fmt: skip
    yield fault("look-ahead-missing", FORMULA, "Nesterov's step is that of plain momentum", "nesterov: w", "nesterov",
        made="momentum")  # fmt: skip
    yield fault("look-ahead-backwards", HISTORICAL, "g − μ b where g + μ b belongs", "nesterov: w", "nesterov",
        made="nesterov, backwards", source="PaddlePaddle/Paddle/pull/12231")  # fmt: skip

    yield fault("eps-in-root", FORMULA, "√(v̂ + ε) where √v̂ + ε belongs", "adam: w", "adam", made="adam, eps in root")
    yield fault("eps-before-correction", HISTORICAL, "ε stands beside √v, not beside √v̂", "adam: w", "adam",
        given=with_given(eps=eps_before_correction), source="karpathy/nanochat/issues/304")  # fmt: skip
    yield fault("eps-of-another-framework", FORMULA, "ε = 10⁻⁷, the usual value elsewhere, for 10⁻⁸", "adam: w",
        "adam", given=with_given(eps=lambda h, t: 1e-7))  # fmt: skip
    yield fault("correction-missing", FORMULA, "m and v are not corrected for their start at 0", "adam: w", "adam",
        wrong=count_off(NEVER))  # fmt: skip
    yield fault("correction-of-step-before", STATE, "the correction is that of t − 1", "adam: w", "adam", (2, 2),
        count_off(-1))  # fmt: skip
    yield fault("correction-of-next-step", HISTORICAL, "the correction is that of t + 1", "adam: w", "adam",
        wrong=count_off(1), source="pytorch/torchtitan/pull/4382")  # fmt: skip
    yield fault("count-stands-still", STATE, "t is not advanced", "adam: t", "adam", wrong=not_kept("t"))
    yield fault("betas-exchanged", FORMULA, "β₁ and β₂ are exchanged", "adam: m", "adam",
        given=with_given(beta1=lambda h, t: h["beta2"], beta2=lambda h, t: h["beta1"]))  # fmt: skip
    yield fault("square-missing", FORMULA, "v averages |g|, not g²", "adam: v", "adam", made="adam, v of |g|")
    yield fault("first-moment-in-brain", PRECISION, "m is kept in bfloat16", "adam: m", "adam", (3, 3),
        kept_in_brain("m"))  # fmt: skip
    yield fault("maximum-not-kept", HISTORICAL, "the largest v is used, but not kept", "amsgrad: v_max", "amsgrad",
        wrong=not_kept("v_max"), source="pytorch/pytorch/issues/78807")  # fmt: skip

    yield fault("decay-coupled", FORMULA, "λw enters the gradient, and with it m and v", "adamw: m", "adamw",
        made="adam")  # fmt: skip
    yield fault("decay-twice", STATE, "w is shrunk by the optimiser and beside it", "adamw: w", "adamw", (2, 2),
        shrunk_before)  # fmt: skip
    yield fault("decay-without-rate", FORMULA, "w is shrunk by λ, not by ηλ", "adamw: w", "adamw",
        given=with_given(weight_decay=lambda h, t: h["weight_decay"] / h["learning_rate"]))  # fmt: skip
    yield fault("decay-missing", FORMULA, "the weight decay is not applied", "adamw: w", "adamw", (3, 3),
        given=with_given(weight_decay=lambda h, t: 0.0))  # fmt: skip
    yield fault("decay-of-biases", STATE, "the biases share the weight decay of the weights", "adamw: w",
        "adamw of weights", of="b")  # fmt: skip

    yield fault("rmsprop-eps-in-root", FORMULA, "√(v + ε) where √v + ε belongs", "rmsprop: w", "rmsprop",
        made="rmsprop, eps in root")  # fmt: skip
    yield fault("rmsprop-decay-of-another-framework", FORMULA, "ρ = 0.9, the usual value elsewhere, for 0.99",
        "rmsprop: v", "rmsprop", given=with_given(decay=lambda h, t: 0.9))  # fmt: skip
    yield fault("sign-missing", FORMULA, "Lion's step is not its sign", "lion: w", "lion", made="lion, no sign")
    yield fault("momentum-replaced-first", FORMULA, "Lion's step is made with the new m", "lion: w", "lion",
        made="lion, m first")  # fmt: skip


SEES: dict[str, tuple[str, str | None]] = {}
"""The coarsest format that sees a fault, and that near convergence, where it is not float32 in both."""

UPDATES = {fault.name: fault for fault in panel()}
"""Every fault of the update."""

assert INITIAL != CONVERGED
