"""optax under jit, as anyone would chain it; and some chains and transformations that are wrong."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from adapters.faults.updates import OTHER_FORMS
from adapters.jax import optimisers
from adapters.jax.optimisers import Form, Rate, Transformation, coupled, decay, moments
from reference.arrays import Array, Place, Tree
from reference.optimisers import Hyper, States
from reference.rounding import FORMATS


def descending(rate: Rate, made: Transformation) -> Transformation:
    return optax.chain(made, optax.scale_by_learning_rate(rate))


def decay_outside(h: Hyper, rate: Rate, made: Transformation) -> Transformation:
    """λw is added after everything else, before η multiplies it."""
    return descending(rate, optax.chain(made, optax.add_decayed_weights(**decay(h))))


def backwards(h: Hyper) -> Transformation:
    """g − μ b of a trace b."""
    trace, mu = optax.trace(h["momentum"]), h["momentum"]

    def update(g: Any, state: Any, params: Any = None) -> Any:
        b, state = trace.update(g, state)
        return jax.tree.map(lambda g, b: g - mu * b, g, b), state

    return optax.GradientTransformation(trace.init, update)


def adam_of_absolute(h: Hyper) -> Transformation:
    """scale_by_adam with an average of |g| for v."""
    right = optax.scale_by_adam(*moments(h))

    def update(g: Any, state: Any, params: Any = None) -> Any:
        count, m = state.count + 1, optax.tree.update_moment(g, state.mu, h["beta1"], 1)
        v = optax.tree.update_moment(jax.tree.map(jnp.abs, g), state.nu, h["beta2"], 1)
        m_hat = optax.tree.bias_correction(m, h["beta1"], count)
        v_hat = optax.tree.bias_correction(v, h["beta2"], count)
        step = jax.tree.map(lambda m, v: m / (jnp.sqrt(v) + h["eps"]), m_hat, v_hat)
        return step, state._replace(count=count, mu=m, nu=v)

    return optax.GradientTransformation(right.init, update)


def wrong_lion(h: Hyper, rate: Rate, direction: Callable[..., Any]) -> Transformation:
    """optax.lion whose step is `direction` of g, m before and m after it."""
    right = optax.scale_by_lion(h["beta1"], h["beta2"])

    def update(g: Any, state: Any, params: Any = None) -> Any:
        _, after = right.update(g, state)
        return jax.tree.map(partial(direction, h["beta1"]), g, state.mu, after.mu), after

    return decay_outside(h, rate, optax.GradientTransformation(right.init, update))


def adam_with_eps_in_root(h: Hyper, rate: Rate) -> Transformation:
    return coupled(h, optax.adam(rate, h["beta1"], h["beta2"], 0.0, eps_root=h["eps"]))


def rmsprop_with_eps_in_root(h: Hyper, rate: Rate) -> Transformation:
    return coupled(h, optimisers.rmsprop(h, rate, False, eps_in_sqrt=True))


def dampened(h: Hyper, rate: Rate) -> Transformation:
    """The gradient enters by 1 − μ."""
    return descending(rate, optax.ema(h["momentum"], debias=False))


def but(name: str, chain: Callable[[Hyper, Rate], Transformation]) -> Form:
    """What keeps the same as optax's own, but is chained otherwise."""
    return optimisers.OPTIMISERS[name]._replace(chain=chain)


HONEST = ("gradient_descent", "momentum", "nesterov", "adam", "adamw", "rmsprop", "lion")

OPTIMISERS: dict[str, Form] = {
    **{name: optimisers.OPTIMISERS[name] for name in HONEST},
    "amsgrad": optimisers.OPTIMISERS[OTHER_FORMS["jax-jit", "amsgrad"]],
    "momentum, dampened": Form(dampened, {"ema": "b"}),
    "gradient_descent, uphill": but("gradient_descent", lambda h, rate: optax.scale(rate)),
    "momentum, decay outside": but("momentum", lambda h, rate: decay_outside(h, rate, optax.trace(h["momentum"]))),
    "nesterov, backwards": but("nesterov", lambda h, rate: descending(rate, backwards(h))),
    "adam, eps in root": but("adam", adam_with_eps_in_root),
    "adam, v of |g|": but("adam", lambda h, rate: descending(rate, adam_of_absolute(h))),
    "rmsprop, eps in root": but("rmsprop", rmsprop_with_eps_in_root),
    "lion, no sign": but(
        "lion", lambda h, rate: wrong_lion(h, rate, lambda beta1, g, m, after: (1 - beta1) * g + beta1 * m)
    ),
    "lion, m first": but(
        "lion",
        lambda h, rate: wrong_lion(h, rate, lambda beta1, g, m, after: jnp.sign((1 - beta1) * g + beta1 * after)),
    ),
}
"""Every optimiser, right or wrong."""


@partial(jax.jit, static_argnames="made")
def update(made: str, h: Hyper, w: jax.Array, kept: Any, g: jax.Array) -> Any:
    """The new parameters and the new state; hyperparameters are arguments of the compiled code, not constants in it."""
    form = OPTIMISERS[made]
    optimiser = form.chain(h, h["learning_rate"])
    state = optimisers.loaded(optimiser.init(w), form.kept, kept, kept["t"])
    updates, state = optimiser.update(g, state, w)
    return optax.apply_updates(w, updates), optimisers.shown(state, form.kept)


def step(made: str, dtype: str, h: Hyper, w: Tree, state: States, g: Tree) -> tuple[Tree, States]:
    """One step of an optimiser from a state; all parameters are one vector, as optax.flatten has it."""
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
