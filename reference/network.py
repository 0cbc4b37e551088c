"""The forward and the backward pass, composed of nothing but the equations."""

from collections.abc import Callable

from reference import equations as eq
from reference.activations import ACTIVATIONS
from reference.arrays import Array, Layers, as_float64
from reference.case import Case, Trace
from reference.losses import LOSSES

Parameters = tuple[Layers, Layers]
"""W and b."""


def forward(case: Case, W: Layers, b: Layers, x: Array) -> tuple[dict[int, Array], dict[int, Array]]:
    """z^l and a^l of every layer, in the format of the arrays given; a^0 = x is included."""
    z: dict[int, Array] = {}
    a: dict[int, Array] = {0: x}
    for l in case.layers:
        z[l] = eq.total_input(W[l], b[l], a[l - 1])  # (N, n^l)
        a[l] = ACTIVATIONS[case.activation(l)].value(z[l])  # (N, n^l)
    return z, a


def contributions(case: Case, z: Array, a: Array, y: Array) -> Array:
    """L_i(a_t, y_t) of every component, (N, n^{L-1}); a loss on logits is given z."""
    loss = LOSSES[case.loss]
    return loss.value(loss.argument(z, a), y)


def output_delta(case: Case, z: Array, a: Array, y: Array) -> Array:
    """δ of the output layer by (9), (N, n^{L-1}); for a loss on logits, by the product that it holds within itself."""
    loss = LOSSES[case.loss]
    if loss.on_logits:
        return loss.derivative(z, y)
    return eq.eq_9(loss.derivative(a, y), ACTIVATIONS[case.output].derivative(z))


def backward(case: Case, W: Layers, z: Layers, a: Layers, y: Array) -> tuple[dict[int, Array], Parameters]:
    """δ^l, and ∂L/∂W^l and ∂L/∂b^l, from the output layer down."""
    delta = {case.last: output_delta(case, z[case.last], a[case.last], y)}
    f_prime: Callable[[Array], Array] = ACTIVATIONS[case.hidden].derivative
    for l in reversed(range(1, case.last)):
        delta[l] = eq.eq_14(f_prime(z[l]), delta[l + 1], W[l + 1])  # (N, n^l)
    dW = {l: eq.eq_7a(delta[l], a[l - 1]) for l in case.layers}  # (n^l, n^{l-1})
    db = {l: eq.eq_7b(delta[l]) for l in case.layers}  # (n^l,)
    return delta, (dW, db)


def trace(case: Case, dtype: str = "float64") -> Trace:
    """The whole computation by the equations, carried out in `dtype`."""
    W = {l: case.W[l].astype(dtype) for l in case.layers}
    b = {l: case.b[l].astype(dtype) for l in case.layers}
    x, y = case.x.astype(dtype), case.y.astype(dtype)
    z, a = forward(case, W, b, x)
    losses = eq.eq_8(contributions(case, z[case.last], a[case.last], y))  # (N,)
    delta, (dW, db) = backward(case, W, z, a, y)
    return Trace(
        loss=float(eq.eq_1(losses)),
        dW=as_float64(dW),
        db=as_float64(db),
        losses=losses.astype("float64"),
        z=as_float64(z),
        a=as_float64({l: a[l] for l in case.layers}),
        delta=as_float64(delta),
    )
