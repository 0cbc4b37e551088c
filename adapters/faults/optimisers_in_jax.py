"""optax under jit, as anyone would chain it; and some chains and transformations that are wrong."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from adapters.faults.updates import Hyper, Place, States, Tree
from reference.arrays import Array
from reference.rounding import FORMATS

Transformation = Any
"""optax.GradientTransformation."""


def descending(h: Hyper) -> Transformation:
    return optax.scale_by_learning_rate(h["learning_rate"])


def decayed(h: Hyper) -> Transformation:
    return optax.add_decayed_weights(h["weight_decay"])


def adam(h: Hyper, eps: Any, eps_root: Any) -> Transformation:
    return optax.chain(decayed(h), optax.adam(h["learning_rate"], h["beta1"], h["beta2"], eps, eps_root))


def rmsprop(h: Hyper, in_root: bool) -> Transformation:
    return optax.rmsprop(h["learning_rate"], h["decay"], h["eps"], eps_in_sqrt=in_root)


def backwards(h: Hyper) -> Transformation:
    """g − μ b of a trace b."""
    trace, mu = optax.trace(h["momentum"]), h["momentum"]

    def update(g: Any, state: Any, params: Any = None) -> Any:
        b, state = trace.update(g, state)
        return jax.tree.map(lambda g, b: g - mu * b, g, b), state

    return optax.GradientTransformation(trace.init, update)


def adam_of_absolute(h: Hyper) -> Transformation:
    """scale_by_adam with an average of |g| for v."""
    right = optax.scale_by_adam(h["beta1"], h["beta2"], h["eps"])

    def update(g: Any, state: Any, params: Any = None) -> Any:
        count, m = state.count + 1, optax.tree.update_moment(g, state.mu, h["beta1"], 1)
        v = optax.tree.update_moment(jax.tree.map(jnp.abs, g), state.nu, h["beta2"], 1)
        m_hat = optax.tree.bias_correction(m, h["beta1"], count)
        v_hat = optax.tree.bias_correction(v, h["beta2"], count)
        step = jax.tree.map(lambda m, v: m / (jnp.sqrt(v) + h["eps"]), m_hat, v_hat)
        return step, state._replace(count=count, mu=m, nu=v)

    return optax.GradientTransformation(right.init, update)


def wrong_lion(h: Hyper, direction: Callable[..., Any]) -> Transformation:
    """optax.lion whose step is `direction` of g, m before and m after it."""
    right = optax.scale_by_lion(h["beta1"], h["beta2"])

    def update(g: Any, state: Any, params: Any = None) -> Any:
        _, after = right.update(g, state)
        return jax.tree.map(partial(direction, h["beta1"]), g, state.mu, after.mu), after

    return optax.chain(optax.GradientTransformation(right.init, update), decayed(h), descending(h))


OPTIMISERS: dict[str, Callable[[Hyper], Transformation]] = {
    "gradient_descent": lambda h: optax.sgd(h["learning_rate"]),
    "momentum": lambda h: optax.chain(decayed(h), optax.sgd(h["learning_rate"], h["momentum"])),
    "momentum, dampened": lambda h: optax.chain(optax.ema(h["momentum"], debias=False), descending(h)),
    "nesterov": lambda h: optax.sgd(h["learning_rate"], h["momentum"], nesterov=True),
    "adam": lambda h: adam(h, h["eps"], 0.0),
    "adamw": lambda h: optax.adamw(
        h["learning_rate"], h["beta1"], h["beta2"], h["eps"], weight_decay=h["weight_decay"]
    ),
    "amsgrad": lambda h: optax.amsgrad(h["learning_rate"], h["beta1"], h["beta2"], h["eps"]),
    "rmsprop": lambda h: rmsprop(h, in_root=False),
    "lion": lambda h: optax.lion(h["learning_rate"], h["beta1"], h["beta2"], weight_decay=h["weight_decay"]),
    "gradient_descent, uphill": lambda h: optax.scale(h["learning_rate"]),
    "momentum, decay outside": lambda h: optax.chain(optax.trace(h["momentum"]), decayed(h), descending(h)),
    "nesterov, backwards": lambda h: optax.chain(backwards(h), descending(h)),
    "adam, eps in root": lambda h: adam(h, 0.0, h["eps"]),
    "adam, v of |g|": lambda h: optax.chain(adam_of_absolute(h), descending(h)),
    "rmsprop, eps in root": lambda h: rmsprop(h, in_root=True),
    "lion, no sign": lambda h: wrong_lion(h, lambda beta1, g, m, after: (1 - beta1) * g + beta1 * m),
    "lion, m first": lambda h: wrong_lion(h, lambda beta1, g, m, after: jnp.sign((1 - beta1) * g + beta1 * after)),
}
"""Every optimiser, right or wrong, of its hyperparameters."""

KEPT = {"mu": "m", "nu": "v", "nu_max": "v_max", "trace": "b", "ema": "b", "count": "t"}
"""What optax keeps, and what it is called in `reference.optimisers`."""


@partial(jax.jit, static_argnames="made")
def update(made: str, h: Hyper, w: jax.Array, kept: Any, g: jax.Array) -> Any:
    """The new parameters, and what is kept, of what was; hyperparameters are no constants in it."""
    optimiser = OPTIMISERS[made](h)
    state = optimiser.init(w)
    held = {name: ours for name, ours in KEPT.items() if optax.tree.get(state, name) is not None}
    state = optax.tree.set(state, **{name: kept[ours] for name, ours in held.items()})
    updates, state = optimiser.update(g, state, w)
    return optax.apply_updates(w, updates), {ours: optax.tree.get(state, name) for name, ours in held.items()}


def step(made: str, dtype: str, h: Hyper, w: Tree, state: States, g: Tree) -> tuple[Tree, States]:
    """One step of an optimiser that has kept what is given; all parameters are one vector, as optax.flatten has it."""
    jax.config.update("jax_enable_x64", True)  # type: ignore[no-untyped-call]
    places, t = list(w), state["W", 1]["t"]
    ends = np.cumsum([w[place].size for place in places])[:-1]

    def joined(arrays: Any) -> Any:
        return np.concatenate([np.ravel(array) for array in arrays]).astype(FORMATS[dtype])

    def parted(vector: Any) -> dict[Place, Array]:
        parts = np.split(np.asarray(vector).astype(np.float64), ends)
        return {place: part.reshape(w[place].shape) for place, part in zip(places, parts, strict=True)}

    kept = {name: joined(state[place][name] for place in places) for name in state["W", 1] if name != "t"}
    with jax.numpy_dtype_promotion("standard"):  # optax raises β to the power of a count in int32
        new, after = update(made, dict(h), joined(w.values()), {**kept, "t": np.int32(t)}, joined(g.values()))
    count = float(after.pop("t", t + 1))
    held = {name: parted(vector) for name, vector in after.items()}
    return parted(new), {place: {"t": count, **{name: held[name][place] for name in held}} for place in places}
