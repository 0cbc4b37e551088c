"""A fault planted in NumPy: another step in place of one of the reference's."""

from collections.abc import Callable
from typing import Any

import array_api_compat.numpy as xp
import numpy as np

from adapters.faults.fault import Fault, Machine
from adapters.faults.memory import remembered
from adapters.numpy.engine import NumpyEngine
from reference import equations as eq
from reference import network
from reference.arrays import Array
from reference.case import Case
from reference.rounding import ACCUMULATED_IN, LARGEST


def digits(x: Array, p: int) -> Array:
    """x rounded to p significant bits, by Veltkamp's splitting."""
    c = x * (2.0 ** (np.finfo(x.dtype).nmant + 1 - p) + 1)
    return c - (c - x)


class PlantedNumpy(NumpyEngine):
    """NumPy with one wrong step."""

    def __init__(self, fault: Fault) -> None:
        super().__init__()
        self.fault = fault

    def step(self, case: Case) -> network.Step:
        place, wrong = self.fault.breaks, wrong_step(self.fault, case)
        return lambda equation, layer, function: wrong(function) if (equation, layer) == place else function


def wrong_step(fault: Fault, case: Case) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The step that a fault gives for the reference's own, by what it takes: see reference.network."""
    l, loss, f_o, f_h = fault.layer, case.criterion, case.f_o, case.f_h
    f = case.activation(l)
    past, b_below = remembered(fault, case, lambda x: x.astype(ACCUMULATED_IN[case.dtype]))
    m = Machine(xp, digits, f.value, LARGEST[case.dtype], 1 / case.samples, past, b_below)
    wrong = fault.wrong

    def output_delta(z: Array, a: Array, y: Array) -> Array:
        p = loss.argument(z, a)
        dL = wrong(m, loss.derivative, p, y) if fault.site == "dL" else loss.derivative(p, y)
        if loss.on_logits:
            return dL
        return wrong(m, back_through(f_o), dL, z) if fault.site == "f_o'" else back_through(f_o)(dL, z)

    def hidden_delta(z: Array, delta: Array, W: Array) -> Array:
        if fault.site == "δW":
            return wrong(m, lambda g, a, W: g @ W, delta, f_h.value(z), W) * f_h.derivative(z)
        return wrong(m, back_through(f_h), delta @ W, z)

    steps: dict[str, Callable[[Callable[..., Any]], Callable[..., Any]]] = {
        "z": lambda right: lambda W, b, a: wrong(m, lambda a, W, b: right(W, b, a), a, W, b),
        "a": lambda right: lambda z: wrong(m, right, z),
        "8": lambda right: lambda z, a, y: wrong(m, lambda p, y: eq.eq_8(loss.value(p, y)), loss.argument(z, a), y),
        "1": lambda right: lambda losses: wrong(m, right, losses),
        "9": lambda right: output_delta,
        "14": lambda right: hidden_delta,
        "7a": lambda right: lambda delta, a: wrong(m, lambda g, a, W: right(g, a), delta, a, case.W[l].astype(a.dtype)),
        "7b": lambda right: lambda delta: wrong(m, lambda g, a, W: right(g), delta, None, None),
    }
    return steps[fault.breaks[0]]


def back_through(f: Any) -> Callable[[Array, Array], Array]:
    """The rule of an activation: g f'(z), or Σ_k g_k ∂a_k/∂z_t."""
    return lambda g, z: eq.eq_9(g, f.derivative(z))
