"""JAX under jit: jax.nn, optax and jax.value_and_grad, compiled once for a shape and then reused."""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from adapters.contract import AdapterError, supported
from reference.arrays import Array
from reference.case import Case, Trace
from reference.training import Plan, Step

ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "identity": lambda z: z,
    "sigmoid": jax.nn.sigmoid,
    "tanh": jnp.tanh,
    "relu": jax.nn.relu,
    "gelu": lambda z: jax.nn.gelu(z, approximate=False),
    "softplus": jax.nn.softplus,
    "silu": jax.nn.silu,
    "softmax": lambda z: jax.nn.softmax(z, axis=1),
}

LOSSES: dict[str, tuple[Callable[[jax.Array, jax.Array], jax.Array], bool]] = {
    # name: (L_i of every sample, given logits)
    "half_squared_error": (lambda a, y: optax.l2_loss(a, y).sum(axis=1), False),
    # optax has its cross-entropies on logits only: on probabilities they are written with JAX's own xlogy. Not with its
    # xlog1py: JAX 0.10's float64 log1p on the CPU errs by up to 250 u around −0.414 (jax-ml/jax#39707), which the audit
    # finds at once; tests/adapters/test_jax_jit.py shows it.
    "binary_cross_entropy": (
        lambda a, y: -(jax.scipy.special.xlogy(y, a) + jax.scipy.special.xlogy(1 - y, 1 - a)).sum(axis=1),
        False,
    ),
    "binary_cross_entropy_on_logits": (lambda z, y: optax.sigmoid_binary_cross_entropy(z, y).sum(axis=1), True),
    "categorical_cross_entropy": (lambda a, y: -jax.scipy.special.xlogy(y, a).sum(axis=1), False),
    "categorical_cross_entropy_on_logits": (optax.softmax_cross_entropy, True),
}

Parameters = dict[str, dict[int, jax.Array]]


@cache
def compiled_trace(hidden: str, output: str, loss: str, last: int) -> Callable[..., Any]:
    """The jitted value and gradient of a network with respect to its parameters and to a zero probe on each z."""
    partial, on_logits = LOSSES[loss]

    def total(parameters: Parameters, probes: dict[int, jax.Array], x: jax.Array, y: jax.Array) -> Any:
        z, a = {}, {0: x}
        for l in range(1, last + 1):
            z[l] = a[l - 1] @ parameters["W"][l].T + parameters["b"][l] + probes[l]
            a[l] = ACTIVATIONS[output if l == last else hidden](z[l])
        losses = partial(z[last] if on_logits else a[last], y)
        return losses.mean(), (losses, z, {l: a[l] for l in z})

    return jax.jit(jax.value_and_grad(total, argnums=(0, 1), has_aux=True))


@cache
def compiled_vjp(f: str) -> Callable[..., Any]:
    """The jitted vjp of one layer, z^{l-1} -> W f(z^{l-1}) + b."""

    def layer(W: jax.Array, b: jax.Array, z_prev: jax.Array) -> jax.Array:
        return ACTIVATIONS[f](z_prev) @ W.T + b

    def gradients(W: jax.Array, b: jax.Array, z_prev: jax.Array, cotangent: jax.Array) -> Any:
        return jax.vjp(layer, W, b, z_prev)[1](cotangent)

    return jax.jit(gradients)


@cache
def compiled_update(learning_rate: float) -> tuple[optax.GradientTransformation, Callable[..., Any]]:
    """optax.sgd, and its jitted update."""
    optimiser = optax.sgd(learning_rate)

    def update(gradients: Parameters, state: Any, parameters: Parameters) -> Any:
        updates, state = optimiser.update(gradients, state, parameters)
        return optax.apply_updates(parameters, updates), state

    return optimiser, jax.jit(update)


def float64(tree: Any) -> Any:
    """A tree of arrays with their own values in float64."""
    return jax.tree.map(lambda leaf: np.asarray(leaf, dtype=np.float64), jax.device_get(tree))


class JaxJit:
    """jax.nn and optax under jit; float64 is switched on for the whole process, as JAX has it."""

    name = "jax-jit"

    def __init__(self, device: str = "cpu") -> None:
        jax.config.update("jax_enable_x64", True)  # type: ignore[no-untyped-call]
        # the default on a GPU is TF32: another format, not another rounding
        jax.config.update("jax_default_matmul_precision", "highest")  # type: ignore[no-untyped-call]
        try:
            self.device = jax.devices(device)[0]
        except RuntimeError as error:
            there = ", ".join(sorted({d.platform for d in jax.devices()}))
            raise AdapterError(f"device {device!r} is not there for jax-jit: JAX sees {there}") from error

    def supports(self, case: Case) -> bool | str:
        return supported(self.name, case, ACTIVATIONS, LOSSES)

    def place(self, tree: Any, case: Case) -> Any:
        """A tree of arrays on the device, in the Case's dtype."""
        return jax.device_put(jax.tree.map(lambda leaf: np.asarray(leaf, dtype=case.dtype), tree), self.device)

    def trace(self, case: Case) -> Trace:
        parameters = self.place({"W": dict(case.W), "b": dict(case.b)}, case)
        return self.traced(case, parameters, case.x, case.y)[0]

    def traced(self, case: Case, parameters: Parameters, x: Array, y: Array) -> tuple[Trace, Parameters]:
        """The trace on a batch, and the gradient as JAX holds it."""
        probes = {l: np.zeros((len(x), case.widths[l])) for l in case.layers}
        probes, x, y = self.place((probes, x, y), case)
        function = compiled_trace(case.hidden, case.output, case.loss, case.last)
        (loss, (losses, z, a)), (gradients, d_probes) = function(parameters, probes, x, y)
        values = float64((loss, gradients, losses, z, a, d_probes))
        loss, gradient, losses, z, a, d_probes = values
        delta = {l: len(x) * d_probes[l] for l in case.layers}
        trace = Trace(float(loss), gradient["W"], gradient["b"], losses, z, a, delta)
        return trace, gradients

    def train(self, case: Case, plan: Plan) -> Iterator[Step]:
        """Steps of optax.sgd."""
        parameters = self.place({"W": dict(case.W), "b": dict(case.b)}, case)
        optimiser, update = compiled_update(plan.learning_rate)
        state = optimiser.init(parameters)
        for batch in plan.batches:
            trace, gradients = self.traced(case, parameters, case.x[batch], case.y[batch])
            new, state = update(gradients, state, parameters)
            before, after = float64(parameters), float64(new)
            yield Step(before["W"], before["b"], trace, after["W"], after["b"])
            parameters = new

    def layer_vjp(self, case: Case, layer: int, z_prev: Array, cotangent: Array) -> tuple[Array, Array, Array]:
        inputs = self.place((case.W[layer], case.b[layer], z_prev, cotangent), case)
        dW, db, dz = float64(compiled_vjp(case.activation(layer - 1))(*inputs))
        return dW, db, dz
