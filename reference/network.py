"""The forward and the backward pass, composed of nothing but the equations."""

from collections.abc import Callable
from typing import Any

import numpy as np

from reference import equations as eq
from reference.arrays import Array, Layers, as_float64
from reference.case import Case, Trace
from reference.rounding import ACCUMULATED_IN, FORMATS

Parameters = tuple[Layers, Layers]
"""W and b."""

Store = Callable[[Array], Array]
"""How a result is kept: as it is, or rounded to a narrower format."""


Step = Callable[[str, int, Callable[..., Any]], Callable[..., Any]]
"""What carries out an equation in a layer: the function given, or another in its place."""


def as_it_is(array: Array) -> Array:
    return array


def as_written(equation: str, layer: int, function: Callable[..., Any]) -> Callable[..., Any]:
    return function


def forward(
    case: Case, W: Layers, b: Layers, x: Array, store: Store = as_it_is, step: Step = as_written
) -> tuple[dict[int, Array], dict[int, Array]]:
    """z^l and a^l of every layer, in the format of the arrays given; a^0 = x is included."""
    z: dict[int, Array] = {}
    a: dict[int, Array] = {0: x}
    for l in case.layers:
        z[l] = store(step("z", l, eq.total_input)(W[l], b[l], a[l - 1]))  # (N, n^l)
        a[l] = store(step("a", l, case.activation(l).value)(z[l]))  # (N, n^l)
    return z, a


def contributions(case: Case, z: Array, a: Array, y: Array) -> Array:
    """L_i(a_t, y_t) of every component, (N, n^{L-1}); a loss on logits is given z."""
    loss = case.criterion
    return loss.value(loss.argument(z, a), y)


def output_delta(case: Case, z: Array, a: Array, y: Array) -> Array:
    """δ of the output layer by (9), (N, n^{L-1}); for a loss on logits, by the product that it holds within itself."""
    loss = case.criterion
    if loss.on_logits:
        return loss.derivative(z, y)
    return eq.eq_9(loss.derivative(a, y), case.f_o.derivative(z))


def backward(
    case: Case, W: Layers, z: Layers, a: Layers, y: Array, store: Store = as_it_is, step: Step = as_written
) -> tuple[dict[int, Array], Parameters]:
    """δ^l, and ∂L/∂W^l and ∂L/∂b^l, from the output layer down."""
    last, f_prime = case.last, case.f_h.derivative

    def eq_9(z: Array, a: Array, y: Array) -> Array:
        return output_delta(case, z, a, y)

    def eq_14(z: Array, delta_next: Array, W_next: Array) -> Array:
        return eq.eq_14(f_prime(z), delta_next, W_next)

    delta = {last: store(step("9", last, eq_9)(z[last], a[last], y))}
    for l in reversed(range(1, last)):
        delta[l] = store(step("14", l, eq_14)(z[l], delta[l + 1], W[l + 1]))  # (N, n^l)
    dW = {l: store(step("7a", l, eq.eq_7a)(delta[l], a[l - 1])) for l in case.layers}  # (n^l, n^{l-1})
    db = {l: store(step("7b", l, eq.eq_7b)(delta[l])) for l in case.layers}  # (n^l,)
    return delta, (dW, db)


def trace(case: Case, dtype: str = "float64", step: Step = as_written) -> Trace:
    """The whole computation by the equations, carried out in `dtype`.

    In half precision every result of an equation is rounded to it, and computed in float32.
    """
    computed_in, last = ACCUMULATED_IN[dtype], case.last

    def store(array: Array) -> Array:
        return array if computed_in == dtype else array.astype(FORMATS[dtype]).astype(computed_in)

    def eq_8(z: Array, a: Array, y: Array) -> Array:
        return eq.eq_8(contributions(case, z, a, y))

    W = {l: case.W[l].astype(computed_in) for l in case.layers}
    b = {l: case.b[l].astype(computed_in) for l in case.layers}
    x, y = case.x.astype(computed_in), case.y.astype(computed_in)
    z, a = forward(case, W, b, x, store, step)
    losses = store(step("8", last, eq_8)(z[last], a[last], y))  # (N,)
    loss = store(np.asarray(step("1", last, eq.eq_1)(losses)))
    delta, (dW, db) = backward(case, W, z, a, y, store, step)
    return Trace(
        loss=float(loss),
        dW=as_float64(dW),
        db=as_float64(db),
        losses=losses.astype("float64"),
        z=as_float64(z),
        a=as_float64({l: a[l] for l in case.layers}),
        delta=as_float64(delta),
    )
