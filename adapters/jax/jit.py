"""JAX under jit: jax.nn, optax and jax.value_and_grad; what is compiled for one network serves every other."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple, cast

import jax
import numpy as np

from adapters.contract import AdapterError, steps_made, supported
from adapters.jax import optimisers
from adapters.jax.functions import ACTIVATIONS, LOSSES
from reference.arithmetic import Arithmetic
from reference.arrays import Array, layers, tree
from reference.case import Case, Trace
from reference.optimisers import States
from reference.rounding import FORMATS
from reference.training import Plan, Step

Parameters = dict[str, dict[int, jax.Array]]
Settings = dict[str, dict[str, float]]
"""The parameters of the functions, by role."""


@partial(jax.jit, static_argnames="f")
def layer(
    f: str, W: jax.Array, b: jax.Array, probe: jax.Array, a: jax.Array, settings: Any
) -> tuple[jax.Array, jax.Array]:
    """z and a of one layer; a zero probe on z receives δ/N."""
    z = a @ W.T + b + probe
    return z, ACTIVATIONS[f](z, **settings)


@partial(jax.jit, static_argnames="loss")
def total(loss: str, p: jax.Array, y: jax.Array, settings: Any) -> tuple[jax.Array, jax.Array]:
    """L and every L_i."""
    losses = LOSSES[loss](p, y, **settings)
    return losses.mean(), losses


class Names(NamedTuple):
    """What a network is made of, apart from its numbers."""

    hidden: str
    output: str
    loss: str
    last: int
    on_logits: bool


class Steps(NamedTuple):
    """The functions that compute it: `layer` for each layer from the first on, and `total`."""

    layers: tuple[Callable[..., tuple[jax.Array, jax.Array]], ...]
    total: Callable[..., tuple[jax.Array, jax.Array]]


def network(
    names: Names,
    steps: Steps,
    parameters: Parameters,
    probes: dict[int, jax.Array],
    x: jax.Array,
    y: jax.Array,
    settings: Settings,
) -> Any:
    """L, and every L_i, z and a beside it: one jitted function after another."""
    z, a = {}, {0: x}
    for l, compute in enumerate(steps.layers, start=1):
        role, f = ("output", names.output) if l == names.last else ("hidden", names.hidden)
        z[l], a[l] = compute(f, parameters["W"][l], parameters["b"][l], probes[l], a[l - 1], settings[role])
    p = z[names.last] if names.on_logits else a[names.last]
    loss, losses = steps.total(names.loss, p, y, settings["loss"])
    return loss, (losses, z, {l: a[l] for l in z})


value_and_grad = jax.value_and_grad(network, argnums=(2, 3), has_aux=True)


@partial(jax.jit, static_argnames="f")
def vjp(f: str, W: jax.Array, b: jax.Array, z_prev: jax.Array, cotangent: jax.Array, settings: Any) -> Any:
    """The vjp of one layer by itself, z^{l-1} -> W f(z^{l-1}) + b."""
    return jax.vjp(lambda W, b, z: ACTIVATIONS[f](z, **settings) @ W.T + b, W, b, z_prev)[1](cotangent)


def float64(tree: Any) -> Any:
    """A tree of arrays with their own values in float64."""
    return jax.tree.map(lambda leaf: np.asarray(leaf).astype(np.float64), jax.device_get(tree))


def settings_of(case: Case) -> Settings:
    """The parameters of the functions; they are arguments of the compiled code, not constants in it."""
    return {role: dict(case.parameters_of(role)) for role in ("hidden", "output", "loss")}


def names_of(case: Case) -> Names:
    """The names of the Case's network."""
    return Names(case.hidden, case.output, case.loss, case.last, case.criterion.on_logits)


def by_layer(states: States, name: str) -> Any:
    """One of the quantities that an optimiser keeps, as a tree of the parameters' own form."""
    kept = {place: cast(Array, state[name]) for place, state in states.items()}
    return {"W": layers(kept, "W"), "b": layers(kept, "b")}


def by_place(kept: Any, parameters: Any, steps: int) -> States:
    """What an optimiser keeps of every parameter; where optax does not count, the steps that were made."""
    count = float(kept.get("t", steps))
    trees = {name: tree(values["W"], values["b"]) for name, values in kept.items() if name != "t"}
    places = tree(parameters["W"], parameters["b"])
    return {place: {"t": count, **{name: of[place] for name, of in trees.items()}} for place in places}


LOWERING, COMPILING = "/jax/core/compile/jaxpr_to_mlir_module_duration", "/jax/core/compile/backend_compile_duration"

compiled = {LOWERING: 0.0, COMPILING: 0.0, "programs": 0}
"""Seconds spent so far in this process, as JAX reports them, and programs optimiser."""


def count_compilation(event: str, duration_secs: float, **_: Any) -> None:
    if event in compiled:
        compiled[event] += duration_secs
        compiled["programs"] += event == COMPILING


jax.monitoring.register_event_duration_secs_listener(count_compilation)


class JaxJit:
    """jax.nn and optax, each layer and the loss under jit; float64 is switched on for the whole process, as JAX has it.

    A layer is compiled once for its activation, dtype and shape, and then serves every network that it stands in.
    """

    name = "jax-jit"
    on_cpu = Arithmetic(
        excess_precision=False, mean_of_all=False, scalars_in="float64", rates_at_once=True, accuracy="jax-jit"
    )
    on_gpu = Arithmetic(accuracy="jax-jit on gpu")
    value_and_grad = staticmethod(value_and_grad)

    def __init__(self, device: str = "cpu") -> None:
        jax.config.update("jax_enable_x64", True)  # type: ignore[no-untyped-call]
        # the default on a GPU is TF32: another format, not another rounding
        jax.config.update("jax_default_matmul_precision", "highest")  # type: ignore[no-untyped-call]
        try:
            self.device = jax.devices(device)[0]
        except RuntimeError as error:
            there = ", ".join(sorted({d.platform for d in jax.devices()}))
            raise AdapterError(f"device {device!r} is not there for {self.name}: JAX sees {there}") from error

    @property
    def arithmetic(self) -> Arithmetic:
        """What XLA makes of a layer on the engine's device, with float64 switched on."""
        return self.on_cpu if self.device.platform == "cpu" else self.on_gpu

    def supports(self, case: Case) -> bool | str:
        for f in (case.f_h, case.f_o):
            if f.name == "softplus" and f.parameters["beta"] != 1:
                return f"{self.name} has no softplus with another beta than 1"
        return supported(self.name, case, ACTIVATIONS, LOSSES)

    def compilation(self) -> tuple[float, int]:
        return compiled[LOWERING] + compiled[COMPILING], int(compiled["programs"])

    def place(self, tree: Any, case: Case) -> Any:
        """A tree of arrays on the device, in the Case's dtype."""
        return jax.device_put(jax.tree.map(lambda leaf: leaf.astype(FORMATS[case.dtype]), tree), self.device)

    def steps(self, case: Case) -> Steps:
        """The functions that compute the Case's network."""
        return Steps((layer,) * case.last, total)

    def function(self, case: Case) -> tuple[Callable[..., jax.Array], list[jax.Array]]:
        """L as a function of W^1 … W^{L-1}, b^1 … b^{L-1}, and those."""
        layers, names, steps, settings = case.layers, names_of(case), self.steps(case), settings_of(case)
        probes = {l: np.zeros((case.samples, case.widths[l])) for l in layers}
        W, b, x, y, probes = self.place((dict(case.W), dict(case.b), case.x, case.y, probes), case)

        def loss(*parameters: jax.Array) -> jax.Array:
            W, b = (dict(zip(layers, part, strict=True)) for part in (parameters[: case.last], parameters[case.last :]))
            value: jax.Array = network(names, steps, {"W": W, "b": b}, probes, x, y, settings)[0]
            return value

        return loss, [*W.values(), *b.values()]

    def trace(self, case: Case) -> Trace:
        parameters = self.place({"W": dict(case.W), "b": dict(case.b)}, case)
        return self.traced(case, parameters, case.x, case.y)[0]

    def traced(self, case: Case, parameters: Parameters, x: Array, y: Array) -> tuple[Trace, Parameters]:
        """The trace on a batch, and the gradient as JAX holds it."""
        probes = {l: np.zeros((len(x), case.widths[l])) for l in case.layers}
        probes, x, y = self.place((probes, x, y), case)
        (loss, aux), (gradients, d_probes) = self.value_and_grad(
            names_of(case), self.steps(case), parameters, probes, x, y, settings_of(case)
        )
        loss, gradient, (losses, z, a), d_probes = float64((loss, gradients, aux, d_probes))
        delta = {l: len(x) * d_probes[l] for l in case.layers}
        trace = Trace(float(loss), gradient["W"], gradient["b"], losses, z, a, delta)
        return trace, gradients

    def trains(self, plan: Plan) -> bool | str:
        return optimisers.trains(plan)

    def train(self, case: Case, plan: Plan) -> Iterator[Step]:
        """Steps of optax, from what it had kept where the plan goes on with a run."""
        before = {"W": dict(case.W), "b": dict(case.b)}
        parameters = self.place(before, case)
        optimiser, names = optimisers.make(plan), optimisers.OPTIMISERS[plan.optimiser.name].kept
        state, begun = optimiser.init(parameters, plan.done), steps_made(plan)
        if plan.states is not None:
            kept = {ours: self.place(by_layer(plan.states, ours), case) for ours in names.values() if ours != "t"}
            state = optimiser.resume(state, kept, begun)
        state = jax.device_put(state, self.device)  # where the update leaves it: elsewhere, it is compiled once more
        for number, batch in enumerate(plan.batches):
            trace, gradients = self.traced(case, parameters, case.x[batch], case.y[batch])
            with jax.numpy_dtype_promotion("standard"):  # optax subtracts β^t, t an int32, from 1
                parameters, state, kept, rate, clipped = optimiser.update(
                    gradients, state, parameters, np.int32(plan.done + number)
                )
            after, kept, clipped = float64((parameters, kept, clipped))
            yield Step(
                before["W"],
                before["b"],
                trace,
                after["W"],
                after["b"],
                by_place(kept, before, begun + number + 1),
                float(rate),
                None if clipped is None else tree(clipped["W"], clipped["b"]),
            )
            before = after

    def layer_vjp(self, case: Case, layer: int, z_prev: Array, cotangent: Array) -> tuple[Array, Array, Array]:
        inputs = self.place((case.W[layer], case.b[layer], z_prev, cotangent), case)
        f = case.activation(layer - 1)
        dW, db, dz = float64(vjp(f.name, *inputs, dict(f.parameters)))
        return dW, db, dz
