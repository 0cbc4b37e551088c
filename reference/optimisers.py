"""Optimisers: what one step does with a gradient, as a few lines in the order of computation; and the audit of a step.

A line computes one quantity from those that its parameters name: the parameter w, the gradient g, the step count t,
what is kept from step to step, hyperparameters, and earlier lines. A line with the name of something kept replaces it:
m stands for m_{t−1} until the line m, and for m_t after it. All is elementwise, on an array w and its gradient.

    learning_rate   η        eps            ε, outside a root unless the name says otherwise
    weight_decay    λ        beta1, beta2   β₁, β₂; decay ρ: what an average keeps of its past
    momentum        μ        t              1 in the first step

λ is *coupled* where it adds λw to the gradient (the penalty ½λ‖w‖²), before everything else, and *decoupled* where it
shrinks w by ηλ beside the step, past the averages. torch and optax multiply a decoupled λ by η; Loshchilov and Hutter
do not.

The formulas are those of torch.optim 2.13 and optax 0.2.8, read in their sources; each form has a name of its own where
the two differ. The usual values are torch's defaults, or optax's where only optax has the form.

One set of lines is both the reference, on arrays, and its allowance, on bounded numbers (`reference.bounded`).
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from inspect import signature
from typing import Any

import numpy as np

from reference import rounding as rd
from reference.arithmetic import UNDECLARED, Arithmetic
from reference.arrays import Array, Place
from reference.audit import Check, Finding, MalformedTrace, findings, quiet
from reference.bounded import Bounded, Format, absolute, either, exactly, maximum, once_rounded, plain, sign, sqrt

Line = Callable[..., Any]
Lines = Mapping[str, Line]

Hyper = Mapping[str, float]
"""Hyperparameters by their names."""

State = Mapping[str, Array | float]
"""What is kept from step to step: an array of w's shape under each name, and single numbers, `SINGLE`."""

States = Mapping[Place, State]
"""What is kept of every parameter."""

SINGLE = ("t", "mu_product")
"""What is kept once for a whole array: the step count, and the product of the momenta in NAdam."""


# --- shared lines


def average(beta: Any, past: Any, new: Any) -> Any:
    """β past + (1 − β) new; torch's `lerp` goes the rest of the way from the nearer end"""
    apart = new - past
    lerp = past + (1 - beta) * apart if plain(beta) > 0.5 else new - (1 - (1 - beta)) * apart
    return either(beta * past + (1 - beta) * new, lerp)


def step(rate: Any, numerator: Any, denominator: Any) -> Any:
    """η n/d; torch's `addcdiv` multiplies n by η before it divides"""
    return either(rate * (numerator / denominator), (rate * numerator) / denominator)


def over_root(numerator: Any, square: Any) -> Any:
    """n/√s; optax multiplies by a reciprocal root"""
    root = sqrt(square)
    return either(numerator / root, (1 / root) * numerator)


COUNTED: Lines = {"t": lambda t: t + 1}
COUPLED: Lines = {"g": lambda g, weight_decay, w: g + weight_decay * w}


# --- gradient descent

GRADIENT_DESCENT: Lines = {
    **COUPLED,
    "w": lambda w, learning_rate, g: w - learning_rate * g,
}
"""Gradient descent, (2a) and (2b).

g ← g + λw;  w ← w − η g

Source: torch.optim.SGD; optax.sgd, after optax.add_decayed_weights.
"""

GRADIENT_DESCENT_DECOUPLED: Lines = {
    "w": lambda w, learning_rate, weight_decay, g: either(
        (1 - learning_rate * weight_decay) * w - learning_rate * g, w - learning_rate * (g + weight_decay * w)
    ),
}
"""Gradient descent, w shrunk beside it: the same as coupled but for rounding, since nothing is averaged.

w ← (1 − ηλ) w − η g

Source: I. Loshchilov and F. Hutter, *Decoupled weight decay regularization*, ICLR 2019, proposition 1.
"""

MOMENTUM: Lines = {
    **COUNTED,
    **COUPLED,
    "b": lambda b, momentum, dampening, g, t: g if t == 1 else momentum * b + (1 - dampening) * g,
    "w": lambda w, learning_rate, b: w - learning_rate * b,
}
"""Heavy-ball momentum.

g ← g + λw;  b ← μ b + (1 − τ) g, but g in the first step;  w ← w − η b

Conventions: without dampening τ, b is not an average: μ + 1 is above 1. η multiplies b where it is used, not where it
is added up (Sutskever et al.). The first gradient is not dampened. optax has no dampening.
Source: torch.optim.SGD; optax.sgd.
"""

NESTEROV: Lines = {
    **COUPLED,
    "b": lambda b, momentum, g: momentum * b + g,
    "w": lambda w, learning_rate, momentum, g, b: w - learning_rate * (g + momentum * b),
}
"""Nesterov's accelerated gradient.

g ← g + λw;  b ← μ b + g;  w ← w − η (g + μ b)

Convention: w is the point looked ahead to, at which the gradient is taken, so that a step looks ahead by the new b.
Source: torch.optim.SGD(nesterov=True); optax.sgd(nesterov=True); I. Sutskever et al., *On the importance of
initialization and momentum in deep learning*, ICML 2013, in the form of Y. Bengio, N. Boulanger-Lewandowski and
R. Pascanu, *Advances in optimizing recurrent networks*, ICASSP 2013.
"""


# --- a learning rate for each parameter

ADAGRAD: Lines = {
    **COUNTED,
    **COUPLED,
    "s": lambda s, g: s + g**2,
    "rate": lambda learning_rate, learning_rate_decay, t: learning_rate / (1 + (t - 1) * learning_rate_decay),
    "w": lambda w, rate, g, s, eps: w - step(rate, g, sqrt(s) + eps),
}
"""Adagrad, ε outside the root.

g ← g + λw;  s ← s + g²;  w ← w − η/(1 + (t − 1) decay) · g/(√s + ε)

Convention: s starts at 0.
Source: torch.optim.Adagrad; J. Duchi, E. Hazan and Y. Singer, *Adaptive subgradient methods*, JMLR 12, 2011.
"""

ADAGRAD_EPS_IN_ROOT: Lines = {
    "s": lambda s, g: s + g**2,
    "w": lambda w, learning_rate, g, s, eps: w - learning_rate * over_root(g, s + eps),
}
"""Adagrad, ε inside the root.

s ← s + g²;  w ← w − η g/√(s + ε)

Conventions: s starts at 0.1. optax makes no step where s is 0.
Source: optax.adagrad.
"""


def rmsprop(centred: bool, momentum: bool) -> Lines:
    """RMSProp, ε outside the root.

    g ← g + λw;  v ← ρ v + (1 − ρ) g²;  d = √v + ε, or where centred,  a ← ρ a + (1 − ρ) g;  d = √(v − a²) + ε
    w ← w − η g/d,  or with momentum,  b ← μ b + g/d;  w ← w − η b

    Convention: v − a², which goes to 0 as the gradient stays the same, may be negative by rounding; then w is NaN.
    Source: torch.optim.RMSprop; T. Tieleman and G. Hinton, lecture 6.5, COURSERA 2012; centred: A. Graves, *Generating
    sequences with recurrent neural networks*, arXiv:1308.0850, (38)–(45), with ε inside the root.
    """
    return {
        **COUPLED,
        "v": lambda v, decay, g: average(decay, v, g**2),
        **({"a": lambda a, decay, g: average(decay, a, g)} if centred else {}),
        "d": (lambda v, a, eps: sqrt(v - a**2) + eps) if centred else (lambda v, eps: sqrt(v) + eps),
        **(
            {
                "b": lambda b, momentum, g, d: momentum * b + g / d,
                "w": lambda w, learning_rate, b: w - learning_rate * b,
            }
            if momentum
            else {"w": lambda w, learning_rate, g, d: w - step(learning_rate, g, d)}
        ),
    }


def rmsprop_eps_in_root(centred: bool, momentum: bool) -> Lines:
    """RMSProp, ε inside the root; η enters the momentum.

    v ← ρ v + (1 − ρ) g²;  s = v, or where centred,  a ← ρ a + (1 − ρ) g;  s = v − a²
    w ← w − η g/√(s + ε),  or with momentum,  b ← μ b − η g/√(s + ε);  w ← w + b

    Conventions: b is the step, which is negative; when η changes, what b holds keeps its old η. v starts at optax's
    `initial_scale`, 0 by default (TensorFlow's starts at 1).
    Source: optax.rmsprop, without `nesterov` and `bias_correction`; Graves, as above.
    """
    return {
        "v": lambda v, decay, g: average(decay, v, g**2),
        **({"a": lambda a, decay, g: average(decay, a, g)} if centred else {}),
        "s": (lambda v, a: v - a**2) if centred else (lambda v: v),
        "d": lambda g, s, eps: over_root(g, s + eps),
        **(
            {"b": lambda b, momentum, learning_rate, d: momentum * b - learning_rate * d, "w": lambda w, b: w + b}
            if momentum
            else {"w": lambda w, learning_rate, d: w - learning_rate * d}
        ),
    }


ADADELTA: Lines = {
    **COUPLED,
    "v": lambda v, decay, g: average(decay, v, g**2),
    "d": lambda x, v, g, eps: sqrt(x + eps) / sqrt(v + eps) * g,
    "x": lambda x, decay, d: average(decay, x, d**2),
    "w": lambda w, learning_rate, d: w - learning_rate * d,
}
"""Adadelta.

g ← g + λw;  v ← ρ v + (1 − ρ) g²;  d = √(x + ε)/√(v + ε) · g;  x ← ρ x + (1 − ρ) d²;  w ← w − η d

Conventions: ε inside both roots; d is made with the x of the step before; η, which the paper does not have, is 1.
Source: torch.optim.Adadelta; optax.adadelta; M. D. Zeiler, *ADADELTA*, arXiv:1212.5701, algorithm 1.
"""


# --- adaptive moments

MOMENTS: Lines = {
    **COUNTED,
    "m": lambda m, beta1, g: average(beta1, m, g),
    "v": lambda v, beta2, g: average(beta2, v, g**2),
}
CORRECTED_M: Lines = {"m_hat": lambda m, beta1, t: m / (1 - beta1**t)}
CORRECTED_V: Lines = {"v_hat": lambda v, beta2, t: v / (1 - beta2**t)}


def corrected_root(v: Any, beta2: Any, t: float) -> Any:
    """√(v/(1 − β₂^t)); torch divides the roots"""
    correction = 1 - beta2**t
    return either(sqrt(v / correction), sqrt(v) / sqrt(correction))


ADAM_MOMENTS: Lines = {
    **MOMENTS,
    **CORRECTED_M,
    "d": lambda v, beta2, t, eps: corrected_root(v, beta2, t) + eps,
}
STEP: Lines = {"w": lambda w, learning_rate, m_hat, d: w - step(learning_rate, m_hat, d)}
SHRINK_AND_STEP: Lines = {
    "w": lambda w, learning_rate, weight_decay, m_hat, d: either(
        (1 - learning_rate * weight_decay) * w - step(learning_rate, m_hat, d),
        w - learning_rate * (m_hat / d + weight_decay * w),
    )
}

ADAM: Lines = {**COUPLED, **ADAM_MOMENTS, **STEP}
"""Adam.

g ← g + λw;  m ← β₁ m + (1 − β₁) g;  v ← β₂ v + (1 − β₂) g²
m̂ = m/(1 − β₁^t);  d = √(v/(1 − β₂^t)) + ε;  w ← w − η m̂/d

Convention: ε stands outside the root, beside the corrected v (the paper's algorithm 1; its ε̂, and TensorFlow's, stands
beside the uncorrected one).
Source: torch.optim.Adam; optax.adam; D. P. Kingma and J. Ba, *Adam*, ICLR 2015, algorithm 1.
"""

ADAMW: Lines = {**ADAM_MOMENTS, **SHRINK_AND_STEP}
"""AdamW: Adam with decoupled weight decay.

m, v, m̂, d as in Adam of g itself;  w ← (1 − ηλ) w − η m̂/d

Convention: λ is 0.01 in torch, 0.0001 in optax by default.
Source: torch.optim.AdamW; optax.adamw; Loshchilov and Hutter, ICLR 2019, algorithm 2, whose λ is our ηλ.
"""

AMSGRAD: Lines = {
    **COUPLED,
    **MOMENTS,
    "v_max": lambda v_max, v: maximum(v, v_max),
    **CORRECTED_M,
    "d": lambda v_max, beta2, t, eps: corrected_root(v_max, beta2, t) + eps,
    **STEP,
}
"""AMSGrad, which corrects the largest v.

g, m, v, m̂ as in Adam;  v_max ← max(v_max, v);  d = √(v_max/(1 − β₂^t)) + ε;  w ← w − η m̂/d

Source: torch.optim.Adam(amsgrad=True); S. J. Reddi, S. Kale and S. Kumar, *On the convergence of Adam and beyond*, ICLR
2018, algorithm 2, which corrects nothing.
"""

AMSGRAD_OF_CORRECTED: Lines = {
    **MOMENTS,
    **CORRECTED_V,
    "v_max": lambda v_max, v_hat: maximum(v_hat, v_max),
    **CORRECTED_M,
    "d": lambda v_max, eps: sqrt(v_max) + eps,
    **STEP,
}
"""AMSGrad, which keeps the largest corrected v: the first ones, which the correction makes the least certain, last.

m, v, m̂ as in Adam;  v̂ = v/(1 − β₂^t);  v_max ← max(v_max, v̂);  d = √v_max + ε;  w ← w − η m̂/d

Source: optax.amsgrad.
"""

ADAMAX_MOMENTS: Lines = {
    **COUNTED,
    "m": lambda m, beta1, g: average(beta1, m, g),
    "u": lambda u, beta2, g, eps: maximum(beta2 * u, absolute(g) + eps),
    **CORRECTED_M,
}
ADAMAX: Lines = {
    **COUPLED,
    **ADAMAX_MOMENTS,
    "w": lambda w, learning_rate, m_hat, u: w - step(learning_rate, m_hat, u),
}
"""Adamax: Adam with the maximum norm.

g ← g + λw;  m ← β₁ m + (1 − β₁) g;  u ← max(β₂ u, |g| + ε);  m̂ = m/(1 − β₁^t);  w ← w − η m̂/u

Convention: ε enters the maximum, beside |g|; the paper has none, and divides 0 by 0 while g is 0.
Source: torch.optim.Adamax; optax.adamax; Kingma and Ba, algorithm 2.
"""

ADAMAXW: Lines = {
    **ADAMAX_MOMENTS,
    "w": lambda w, learning_rate, weight_decay, m_hat, u: either(
        (1 - learning_rate * weight_decay) * w - step(learning_rate, m_hat, u),
        w - learning_rate * (m_hat / u + weight_decay * w),
    ),
}
"""Adamax with decoupled weight decay.   w ← (1 − ηλ) w − η m̂/u

Source: optax.adamaxw.
"""


def apart(w: Any, rate: Any, one: Any, other: Any, denominator: Any) -> Any:
    """w − η x/d − η y/d; torch takes the two terms of NAdam's m̂ from w one after the other"""
    return w - (rate * one) / denominator - (rate * other) / denominator


NADAM_MOMENTS: Lines = {
    **COUNTED,
    "mu": lambda beta1, momentum_decay, t: beta1 * (1 - 0.5 * 0.96 ** (t * momentum_decay)),
    "mu_next": lambda beta1, momentum_decay, t: beta1 * (1 - 0.5 * 0.96 ** ((t + 1) * momentum_decay)),
    "mu_product": lambda mu_product, mu: mu_product * mu,
    **{name: line for name, line in MOMENTS.items() if name != "t"},
    "now": lambda mu, g, mu_product: (1 - mu) / (1 - mu_product) * g,
    "ahead": lambda mu_next, m, mu_product: mu_next / (1 - mu_product * mu_next) * m,
    "m_hat": lambda now, ahead: now + ahead,
    "d": lambda v, beta2, t, eps: corrected_root(v, beta2, t) + eps,
}
NADAM: Lines = {
    **COUPLED,
    **NADAM_MOMENTS,
    "w": lambda w, learning_rate, m_hat, now, ahead, d: either(
        w - step(learning_rate, m_hat, d), apart(w, learning_rate, now, ahead, d)
    ),
}
"""NAdam with a schedule of momenta.

g, m, v, d as in Adam;  μ_t = β₁ (1 − ½ 0.96^{tψ});  Πμ ← Πμ · μ_t
m̂ = (1 − μ_t)/(1 − Πμ) g + μ_{t+1}/(1 − Πμ μ_{t+1}) m;  w ← w − η m̂/d

Conventions: ψ is `momentum_decay`, and Πμ `mu_product`, from μ_1 on; m is averaged with β₁, not with μ_t. Dozat also
multiplies v by β₂ when he corrects it; torch and optax do not.
Source: torch.optim.NAdam; T. Dozat, *Incorporating Nesterov momentum into Adam*, ICLR 2016 workshop, algorithm 2.
"""

NADAMW: Lines = {
    **NADAM_MOMENTS,
    "w": lambda w, learning_rate, weight_decay, m_hat, now, ahead, d: either(
        (1 - learning_rate * weight_decay) * w - step(learning_rate, m_hat, d),
        apart((1 - learning_rate * weight_decay) * w, learning_rate, now, ahead, d),
    ),
}
"""NAdam with a schedule of momenta and decoupled weight decay.   w ← (1 − ηλ) w − η m̂/d

Source: torch.optim.NAdam(decoupled_weight_decay=True).
"""

NADAM_CONSTANT_MOMENTS: Lines = {
    **MOMENTS,
    "m_hat": lambda m, g, beta1, t: beta1 * (m / (1 - beta1 ** (t + 1))) + (1 - beta1) * (g / (1 - beta1**t)),
    "d": lambda v, beta2, t, eps: corrected_root(v, beta2, t) + eps,
}
NADAM_CONSTANT: Lines = {**NADAM_CONSTANT_MOMENTS, **STEP}
"""NAdam with one momentum, β₁, for all steps.

m, v, d as in Adam of g itself;  m̂ = β₁ m/(1 − β₁^{t+1}) + (1 − β₁) g/(1 − β₁^t);  w ← w − η m̂/d

Source: optax.nadam; Dozat, algorithm 2 with μ_t = β₁.
"""

NADAMW_CONSTANT: Lines = {**NADAM_CONSTANT_MOMENTS, **SHRINK_AND_STEP}
"""NAdam with one momentum and decoupled weight decay.   w ← (1 − ηλ) w − η m̂/d

Source: optax.nadamw.
"""

LION: Lines = {
    "c": lambda m, beta1, g: sign(beta1 * m + (1 - beta1) * g),
    "w": lambda w, learning_rate, weight_decay, c: either(
        (1 - learning_rate * weight_decay) * w - learning_rate * c, w - learning_rate * (c + weight_decay * w)
    ),
    "m": lambda m, beta2, g: average(beta2, m, g),
}
"""Lion.

c = sign(β₁ m + (1 − β₁) g);  w ← (1 − ηλ) w − η c;  m ← β₂ m + (1 − β₂) g

Conventions: decoupled weight decay; sign 0 = 0; m is replaced last. Where rounding may turn the sign, any is allowed.
Source: optax.lion; X. Chen et al., *Symbolic discovery of optimization algorithms*, NeurIPS 2023, algorithm 2.
"""


# --- the table


@dataclass(frozen=True)
class Optimiser:
    """An optimiser: its lines, its hyperparameters, and what each thing that it keeps starts with.

    What a kept thing starts with is a number, or the name of the hyperparameter that says it.
    """

    name: str
    lines: Lines
    hyperparameters: Hyper
    kept: Mapping[str, float | str]

    def init(self, w: Array) -> dict[str, Array | float]:
        """The state before the first step, in the format of w."""
        starts = {name: self.hyperparameters.get(str(start), start) for name, start in self.kept.items()}
        return {
            name: float(start) if name in SINGLE else np.full_like(w, float(start)) for name, start in starts.items()
        }

    def update(
        self, g: Array, state: State, w: Array, stored: Callable[[Array], Array] = lambda values: values
    ) -> tuple[Array, dict[str, Array | float]]:
        """One step: the new w and the new state, from a gradient, in the format of the arrays.

        `stored` is what storing an array does to it, where it is kept in a narrower format than it is computed in.
        """
        now: dict[str, Any] = {**self.hyperparameters, **state, "w": w, "g": g}
        for name, line in self.lines.items():
            result = line(*(now[needed] for needed in needs(line)))
            now[name] = stored(result) if name in self.observed and name not in SINGLE else result
        return now["w"], {name: now[name] for name in self.kept}

    @property
    def learning_rate(self) -> float:
        """η"""
        return self.hyperparameters["learning_rate"]

    def at_rate(self, learning_rate: float) -> "Optimiser":
        """The same with another η."""
        return replace(self, hyperparameters={**self.hyperparameters, "learning_rate": learning_rate})

    @property
    def observed(self) -> tuple[str, ...]:
        """The lines whose result an engine shows: what is kept, and w."""
        return tuple(name for name in self.lines if name in self.kept or name == "w")


@cache
def needs(line: Line) -> tuple[str, ...]:
    """The names of the quantities that a line is computed from."""
    return tuple(signature(line).parameters)


def table(*optimisers: Optimiser) -> dict[str, Optimiser]:
    return {optimiser.name: optimiser for optimiser in optimisers}


M_V = {"t": 0, "m": 0, "v": 0}
ADAM_VALUES = {"learning_rate": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8}
NADAM_VALUES = {**ADAM_VALUES, "learning_rate": 2e-3, "momentum_decay": 4e-3}
RMSPROP_VALUES = {"learning_rate": 1e-2, "decay": 0.99, "eps": 1e-8, "weight_decay": 0.0}
RMSPROP_IN_ROOT_VALUES = {"learning_rate": 1e-2, "decay": 0.9, "eps": 1e-8, "initial_accumulator": 0.0}
FALLING = {"momentum": 0.9}
V_FROM = {"v": "initial_accumulator"}

OPTIMISERS = table(
    Optimiser("gradient_descent", GRADIENT_DESCENT, {"learning_rate": 1e-3, "weight_decay": 0.0}, {}),
    Optimiser(
        "gradient_descent_decoupled", GRADIENT_DESCENT_DECOUPLED, {"learning_rate": 1e-3, "weight_decay": 0.0}, {}
    ),
    Optimiser(
        "momentum",
        MOMENTUM,
        {"learning_rate": 1e-3, "momentum": 0.9, "dampening": 0.0, "weight_decay": 0.0},
        {"t": 0, "b": 0},
    ),
    Optimiser("nesterov", NESTEROV, {"learning_rate": 1e-3, "momentum": 0.9, "weight_decay": 0.0}, {"b": 0}),
    Optimiser(
        "adagrad",
        ADAGRAD,
        {
            "learning_rate": 1e-2,
            "learning_rate_decay": 0.0,
            "eps": 1e-10,
            "initial_accumulator": 0.0,
            "weight_decay": 0.0,
        },
        {"t": 0, "s": "initial_accumulator"},
    ),
    Optimiser(
        "adagrad_eps_in_root",
        ADAGRAD_EPS_IN_ROOT,
        {"learning_rate": 1e-2, "eps": 1e-7, "initial_accumulator": 0.1},
        {"s": "initial_accumulator"},
    ),
    Optimiser("rmsprop", rmsprop(False, False), RMSPROP_VALUES, {"v": 0}),
    Optimiser("rmsprop_momentum", rmsprop(False, True), RMSPROP_VALUES | FALLING, {"v": 0, "b": 0}),
    Optimiser("rmsprop_centred", rmsprop(True, False), RMSPROP_VALUES, {"v": 0, "a": 0}),
    Optimiser("rmsprop_centred_momentum", rmsprop(True, True), RMSPROP_VALUES | FALLING, {"v": 0, "a": 0, "b": 0}),
    Optimiser("rmsprop_eps_in_root", rmsprop_eps_in_root(False, False), RMSPROP_IN_ROOT_VALUES, V_FROM),
    Optimiser(
        "rmsprop_eps_in_root_momentum",
        rmsprop_eps_in_root(False, True),
        RMSPROP_IN_ROOT_VALUES | FALLING,
        {**V_FROM, "b": 0},
    ),
    Optimiser(
        "rmsprop_eps_in_root_centred", rmsprop_eps_in_root(True, False), RMSPROP_IN_ROOT_VALUES, {**V_FROM, "a": 0}
    ),
    Optimiser(
        "rmsprop_eps_in_root_centred_momentum",
        rmsprop_eps_in_root(True, True),
        RMSPROP_IN_ROOT_VALUES | FALLING,
        {**V_FROM, "a": 0, "b": 0},
    ),
    Optimiser(
        "adadelta",
        ADADELTA,
        {"learning_rate": 1.0, "decay": 0.9, "eps": 1e-6, "weight_decay": 0.0},
        {"v": 0, "x": 0},
    ),
    Optimiser("adam", ADAM, {**ADAM_VALUES, "weight_decay": 0.0}, M_V),
    Optimiser("adamw", ADAMW, {**ADAM_VALUES, "weight_decay": 1e-2}, M_V),
    Optimiser("nadam", NADAM, {**NADAM_VALUES, "weight_decay": 0.0}, {**M_V, "mu_product": 1}),
    Optimiser("nadamw", NADAMW, {**NADAM_VALUES, "weight_decay": 1e-2}, {**M_V, "mu_product": 1}),
    Optimiser("nadam_constant", NADAM_CONSTANT, ADAM_VALUES, M_V),
    Optimiser("nadamw_constant", NADAMW_CONSTANT, {**ADAM_VALUES, "weight_decay": 1e-4}, M_V),
    Optimiser("amsgrad", AMSGRAD, {**ADAM_VALUES, "weight_decay": 0.0}, {**M_V, "v_max": 0}),
    Optimiser("amsgrad_of_corrected", AMSGRAD_OF_CORRECTED, ADAM_VALUES, {**M_V, "v_max": 0}),
    Optimiser("adamax", ADAMAX, {**ADAM_VALUES, "learning_rate": 2e-3, "weight_decay": 0.0}, {"t": 0, "m": 0, "u": 0}),
    Optimiser(
        "adamaxw", ADAMAXW, {**ADAM_VALUES, "learning_rate": 2e-3, "weight_decay": 1e-4}, {"t": 0, "m": 0, "u": 0}
    ),
    Optimiser("lion", LION, {"learning_rate": 1e-4, "beta1": 0.9, "beta2": 0.99, "weight_decay": 1e-3}, {"m": 0}),
)
"""Every optimiser by its name, with the usual values."""

BELOW_1 = ("beta1", "beta2", "decay", "momentum")
"""Hyperparameters in [0, 1); dampening is in [0, 1], and the others are not negative."""


def optimiser(name: str, **hyperparameters: float) -> Optimiser:
    """The optimiser of that name, with the usual value of each hyperparameter that is not given.

    Raises ValueError for a name or a hyperparameter that it does not have, and for a value out of range.
    """
    if name not in OPTIMISERS:
        raise ValueError(f"optimiser is {name!r}, but should be one of {', '.join(OPTIMISERS)}")
    usual = OPTIMISERS[name]
    for given, value in hyperparameters.items():
        if given not in usual.hyperparameters:
            raise ValueError(f"{name} has no {given!r}, but {', '.join(usual.hyperparameters)}")
        interval = "[0, 1)" if given in BELOW_1 else "[0, 1]" if given == "dampening" else "[0, ∞)"
        right = math.isfinite(value) and value >= 0
        if not right or (given in BELOW_1 and value >= 1) or (given == "dampening" and value > 1):
            raise ValueError(f"{given} of {name} is {value}, but should be in {interval}")
    return replace(usual, hyperparameters={**usual.hyperparameters, **hyperparameters})


# --- the audit of one step


@quiet
def audit_step(
    optimiser: Optimiser,
    dtype: str,
    w: Array,
    state: State,
    g: Array,
    new_w: Array,
    new_state: State,
    layer: int,
    arithmetic: Arithmetic = UNDECLARED,
) -> list[Finding]:
    """Every number that one step left, once, against its line: first what is kept, in the order of the lines, and w.

    Each line is held on the engine's own operands: the new m on the old m and g, the new w on the new m and v. What the
    engine does not show, such as m̂, is computed from what it does. A finding's equation is "adam: m".

    Allowance: the running error of the line (`reference.bounded`) in the worst grouping known, every operation rounded
    to `dtype`. Where an engine may use a number before it is stored in half precision, or a compiler may compute it
    again, the gradient is within u of what is reported, and what the step has made within u in half precision and
    within the allowance of its own line otherwise. An allowance without end, where a denominator may be 0 within its
    bound, is not held. A hyperparameter is exact where scalars are computed in float64; else β₂ = 0.999 may be a
    float32, where 1 − β₂ has lost ten bits.

    Raises MalformedTrace where something kept is missing, or has another shape than w.
    """
    require_complete(optimiser, w, state, g, new_w, new_state)
    r = rd.rounding(dtype, arithmetic)
    return findings(lines_checked(optimiser, w, state, g, new_w, new_state, layer, r), r)


def lines_checked(
    optimiser: Optimiser,
    w: Array,
    state: State,
    g: Array,
    new_w: Array,
    new_state: State,
    layer: int,
    r: rd.Rounding,
) -> Iterator[Check]:
    """The checks of `audit_step`."""
    array, single, scalar = formats(r)
    given = exactly if r.arithmetic.scalars_in == "float64" else once_rounded
    now: dict[str, Any] = {name: given(value, scalar) for name, value in optimiser.hyperparameters.items()}
    now |= {name: exactly(state[name], single if name in SINGLE else array) for name in optimiser.kept}
    now |= {"w": exactly(w, array), "g": exactly(g, array).within(r.operand * np.abs(g))}
    if "t" in optimiser.kept:
        now["t"] = float(state["t"])

    for name, line in optimiser.lines.items():
        result = line(*(now[needed] for needed in needs(line)))
        if name not in optimiser.observed:
            now[name] = result
            continue
        observed = new_w if name == "w" else new_state[name]
        bounded = isinstance(result, Bounded)
        expected, allowed = (result.value, result.bound) if bounded else (np.float64(result), np.float64(0))
        yield f"{optimiser.name}: {name}", layer, np.asarray(observed), expected, allowed
        if name == "t":
            now["t"] = float(observed)
        else:
            now[name] = exactly(observed, result.format).within(remade(np.asarray(observed), np.asarray(allowed), r))


def remade(observed: Array, allowed: Array, r: rd.Rounding) -> Array | float:
    """How far a number that the step goes on with may be from the one it reports."""
    if not r.operand:
        return 0.0
    return r.operand * np.abs(observed) + r.underflow if r.stored else allowed


def formats(r: rd.Rounding) -> tuple[Format, Format, Format]:
    """What rounds the arrays, the single numbers that are kept, and the scalars made of hyperparameters and t."""
    accumulated = rd.wider(r.arithmetic.accumulates_in, r.dtype)
    scalars_in = rd.wider(r.arithmetic.scalars_in, r.dtype)
    return (
        Format(r.u, r.underflow),
        Format(r.v, rd.UNDERFLOW[accumulated]),
        Format(rd.rounding(scalars_in).u, rd.UNDERFLOW[scalars_in]),
    )


def require_complete(optimiser: Optimiser, w: Array, state: State, g: Array, new_w: Array, new_state: State) -> None:
    """Raise MalformedTrace unless both states have what is kept, and every array has the shape of w."""
    given: dict[str, Any] = {"g": g, "new w": new_w}
    for which, values in (("", state), ("new ", new_state)):
        for name in optimiser.kept:
            if name not in values:
                raise MalformedTrace(f"{which}{name} of {optimiser.name} is missing")
            given[f"{which}{name}"] = values[name]
    for name, array in given.items():
        shape = () if name.removeprefix("new ") in SINGLE else np.shape(w)
        if np.shape(array) != shape:
            raise MalformedTrace(f"{name} of {optimiser.name} has shape {np.shape(array)}, but should be {shape}")
