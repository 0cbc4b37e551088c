"""The reference's optimisers in NumPy, computed in the engine's format; and some with a wrong line."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import wraps
from typing import Any

import numpy as np

from reference import optimisers
from reference.arrays import Tree
from reference.bounded import absolute, sqrt
from reference.optimisers import LION, Hyper, Line, Lines, Optimiser, States, average, optimiser
from reference.rounding import ACCUMULATED_IN, HALF, rounded


def honest(name: str) -> Callable[[Hyper], Optimiser]:
    """The optimiser of that name; hyperparameters that it does not have are left out."""
    has = optimisers.OPTIMISERS[name].hyperparameters
    return lambda h: optimiser(name, **{given: value for given, value in h.items() if given in has})


def with_lines(name: str, lines: Lines) -> Callable[[Hyper], Optimiser]:
    """The optimiser of that name with other lines."""
    return lambda h: replace(honest(name)(h), lines=lines)


def but(name: str, **wrong: Line) -> Callable[[Hyper], Optimiser]:
    """The optimiser of that name, some lines of it wrong."""
    return with_lines(name, {**optimisers.OPTIMISERS[name].lines, **wrong})


OPTIMISERS: dict[str, Callable[[Hyper], Optimiser]] = {
    **{name: honest(name) for name in ("gradient_descent", "momentum", "nesterov", "adam", "adamw", "amsgrad")},
    **{name: honest(name) for name in ("rmsprop", "lion")},
    "momentum, dampened": lambda h: honest("momentum")({**h, "dampening": h["momentum"]}),
    "gradient_descent, uphill": but("gradient_descent", w=lambda w, learning_rate, g: w + learning_rate * g),
    "momentum, decay outside": but(
        "momentum",
        g=lambda g: g,
        w=lambda w, learning_rate, b, weight_decay: w - learning_rate * (b + weight_decay * w),
    ),
    "nesterov, backwards": but(
        "nesterov", w=lambda w, learning_rate, momentum, g, b: w - learning_rate * (g - momentum * b)
    ),
    "adam, eps in root": but("adam", d=lambda v, beta2, t, eps: sqrt(v / (1 - beta2**t) + eps)),
    "adam, v of |g|": but("adam", v=lambda v, beta2, g: average(beta2, v, absolute(g))),
    "rmsprop, eps in root": but("rmsprop", d=lambda v, eps: sqrt(v + eps)),
    "lion, no sign": but("lion", c=lambda m, beta1, g: beta1 * m + (1 - beta1) * g),
    "lion, m first": with_lines("lion", {name: LION[name] for name in ("m", "c", "w")}),
}
"""Every optimiser, right or wrong, of its hyperparameters."""


def step(made: str, dtype: str, h: Hyper, w: Tree, state: States, g: Tree) -> tuple[Tree, States]:
    """One step, each parameter by itself; half precision is computed in float32, and stored after each line."""
    optimiser, computed_in = OPTIMISERS[made](h), ACCUMULATED_IN[dtype]
    if dtype in HALF:
        optimiser = replace(optimiser, lines={name: stored(line, dtype) for name, line in optimiser.lines.items()})
    new_w, new_state = {}, {}
    for place in w:
        after, kept = optimiser.update(*(placed(x, computed_in) for x in (g[place], state[place], w[place])))
        new_w[place] = placed(after, "float64")
        new_state[place] = {"t": state[place]["t"] + 1, **placed(kept, "float64")}
    return new_w, new_state


def stored(line: Line, dtype: str) -> Line:
    """The line, its result rounded to the format where it is an array."""

    @wraps(line)
    def rounding(*operands: Any) -> Any:
        result = line(*operands)
        return rounded(result, dtype).astype(ACCUMULATED_IN[dtype]) if isinstance(result, np.ndarray) else result

    return rounding


def placed(x: Any, format: str) -> Any:
    """An array, or all those of what is kept, in a format that NumPy computes in; single numbers stay as they are."""
    if isinstance(x, Mapping):
        return {name: placed(value, format) for name, value in x.items()}
    return x.astype(format) if isinstance(x, np.ndarray) else x
