"""A fault planted in JAX: a wrong forward step, or a jax.custom_vjp with a wrong rule, under jit as all else is."""

from collections.abc import Callable
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp

from adapters.faults.fault import LINEAR, Fault, Machine, linear_rule
from adapters.faults.memory import remembered
from adapters.jax.functions import ACTIVATIONS, LOSSES
from adapters.jax.jit import JaxJit, Steps, layer, total
from adapters.jax.whole import JaxWhole
from reference.case import Case
from reference.rounding import LARGEST


def digits(x: jax.Array, p: int) -> jax.Array:
    """x rounded to p significant bits; a narrower format than that is left as it is."""
    format = jnp.finfo(x.dtype)  # type: ignore[no-untyped-call]
    return jax.lax.reduce_precision(x, format.nexp, min(p - 1, format.nmant))


def with_rule(value: Callable[..., Any], rule: Callable[..., Any]) -> Callable[..., Any]:
    """A function with a vjp of one's own: (g, *operands) -> the gradient of each operand."""
    function = jax.custom_vjp(value)
    function.defvjp(lambda *operands: (value(*operands), operands), lambda operands, g: tuple(rule(g, *operands)))
    return function


def linear(a: jax.Array, W: jax.Array, b: jax.Array) -> jax.Array:
    return a @ W.T + b


OF_THE_LOSS = ("8", "1", "dL")
"""The sites that are steps of `total`; all others are of `layer`."""


def zeros(tree: Any) -> Any:
    return jax.tree.map(jnp.zeros_like, tree)


def planted_layer(fault: Fault, on: Callable[[Callable[..., Any]], Machine]) -> Callable[..., Any]:
    """The engine's `layer` with one wrong step."""

    @partial(jax.jit, static_argnames="f")
    def layer(
        f: str, W: jax.Array, b: jax.Array, probe: jax.Array, a: jax.Array, settings: Any
    ) -> tuple[jax.Array, jax.Array]:
        value: Callable[..., jax.Array] = lambda z, settings: ACTIVATIONS[f](z, **settings)  # noqa: E731
        wrong = partial(fault.wrong, on(lambda z: value(z, settings)))
        if fault.site == "z":
            return (z := wrong(linear, a, W, b) + probe), value(z, settings)
        if fault.site == "a":
            return (z := linear(a, W, b) + probe), wrong(lambda z: value(z, settings), z)
        if fault.site in LINEAR:
            planted = with_rule(linear, linear_rule(fault.site, wrong))
            return (z := planted(a, W, b) + probe), value(z, settings)

        def rule(g: jax.Array, z: jax.Array, settings: Any) -> tuple[jax.Array, Any]:
            wrong = partial(fault.wrong, on(lambda z: value(z, settings)))
            return wrong(lambda g, z: jax.vjp(lambda z: value(z, settings), z)[1](g)[0], g, z), zeros(settings)

        return (z := linear(a, W, b) + probe), with_rule(value, rule)(z, settings)

    return layer


def planted_total(fault: Fault, m: Machine) -> Callable[..., Any]:
    """The engine's `total` with one wrong step."""
    wrong = partial(fault.wrong, m)

    @partial(jax.jit, static_argnames="loss")
    def total(loss: str, p: jax.Array, y: jax.Array, settings: Any) -> tuple[jax.Array, jax.Array]:
        every: Callable[..., jax.Array] = lambda p, y, settings: LOSSES[loss](p, y, **settings)  # noqa: E731
        losses = every(p, y, settings)
        if fault.site == "8":
            losses = wrong(lambda p, y: every(p, y, settings), p, y)
            return losses.mean(), losses
        if fault.site == "1":
            return wrong(jnp.mean, losses), losses

        def rule(g: jax.Array, p: jax.Array, y: jax.Array, settings: Any) -> tuple[Any, ...]:
            derivative = lambda p, y: jax.grad(lambda p: every(p, y, settings).sum())(p)  # noqa: E731
            return g * wrong(derivative, p, y) / len(p), zeros(y), zeros(settings)

        return with_rule(lambda p, y, settings: every(p, y, settings).mean(), rule)(p, y, settings), losses

    return total


class PlantedJax(JaxJit):
    """JAX with one wrong step."""

    def __init__(self, fault: Fault) -> None:
        super().__init__()
        self.fault = fault

    def planted(self, case: Case) -> Callable[..., Any]:
        """The wrong function; a fault that remembers another Case needs another."""
        past, b_below = remembered(self.fault, case, lambda x: self.place(x, case))
        m = partial(Machine, jnp, digits, largest=LARGEST[case.dtype], share=1.0, past=past, b_below=b_below)
        if self.fault.site in OF_THE_LOSS:
            return planted_total(self.fault, m(f=jnp.tanh))
        return planted_layer(self.fault, lambda f: m(f=f))

    @cached_property
    def compiled(self) -> dict[str, Callable[..., Any]]:
        """The wrong function of each format, once it was made: it holds the format's largest number."""
        return {}

    def steps(self, case: Case) -> Steps:
        if self.fault.remembers or case.dtype not in self.compiled:
            self.compiled[case.dtype] = self.planted(case)
        wrong, fault = self.compiled[case.dtype], self.fault
        if fault.site in OF_THE_LOSS:
            return Steps((layer,) * case.last, wrong)
        return Steps(tuple(wrong if l == fault.layer else layer for l in case.layers), total)


class PlantedWhole(PlantedJax, JaxWhole):
    """The same in one program."""

    name = "jax-whole"
