"""Sums and products at the edge of a format: what is flushed, and what sums are accumulated in."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from adapters.contract import Adapter, device_of
from reference import activations
from reference import rounding as rd
from reference.arrays import Array
from reference.case import Case
from reference.losses import LOSSES
from reference.rounding import UNIT_ROUNDOFF, Rounding, rounded
from reports.divergences import reproducers
from reports.divergences.inputs import Unchecked, subnormals
from reports.divergences.judging import Answer, Answers, Question, attempt, kinds_of_devices, rows_of
from reports.divergences.reproducers import shown
from reports.results.records import Divergence

# --- arithmetic

ROWS = 4096
"""Of a batch from which on XLA makes other code."""

TERMS = 128
"""Small terms in a sum that begins with 1: each is u, half of what 1 can tell, so that 1 + u + u + … is 1 in turn."""


@dataclass(frozen=True)
class Probe:
    """A piece of arithmetic: its name, what it shows, what the equation gives, and how an engine is asked for it."""

    name: str
    what: str
    input: str
    equation: float
    numbers: Mapping[str, Any]
    ask: Callable[[Adapter], float | None]

    def roundings(self, r: Rounding) -> float:
        """The allowance relative to the equation: none for a flush, γ_n of float32 and one u for a sum."""
        if self.what == "accumulation":
            return rd.gamma(TERMS, r.v) + r.stored
        return 0.0 if self.what == "flush" else 8 * r.u


def linear(
    dtype: str, x: Array, W: float = 1.0, b: float = 0.0, loss: str = "absolute_error", f: str = "identity"
) -> Case:
    """One layer z = W x + b for every component of x, with labels of 0."""
    n = x.shape[1]
    return Unchecked("identity", f, loss, dtype, {1: W * np.eye(n)}, {1: np.full(n, b)}, x, np.zeros_like(x))


def gradients(dtype: str, column: Array) -> Callable[[Adapter], Any]:
    """The vjp of one layer of weight 1 at z = 1, with a column of cotangents."""
    case = linear(dtype, np.ones_like(column))
    return lambda adapter: adapter.layer_vjp(case, 1, case.x, column)  # type: ignore[attr-defined]


def probes(dtype: str) -> Iterator[Probe]:
    """Every piece of arithmetic, in one format."""
    smallest, _, normal = subnormals(dtype)
    u = UNIT_ROUNDOFF[dtype]
    one = np.array([[1.0]])

    def z(x: float, W: float, b: float) -> Callable[[Adapter], float]:
        return lambda adapter: full_trace(adapter, linear(dtype, x * one, W, b)).z[1].item()

    yield Probe("subnormal_input", "flush", f"{smallest!r} · 1", smallest, {"x": smallest}, z(smallest, 1.0, 0.0))
    yield Probe("subnormal_product", "flush", f"{normal!r} · 0.5", normal / 2, {"x": normal}, z(normal, 0.5, 0.0))
    yield Probe(
        "subnormal_sum",
        "flush",
        f"{1.5 * normal!r} − {normal!r}",
        normal / 2,
        {"x": 1.5 * normal, "b": normal},
        z(1.5 * normal, 1.0, -normal),
    )
    column = np.array([[1.0]] + [[u]] * TERMS)
    total, terms = 1 + TERMS * u, f"1 + {TERMS} · {u!r}"
    numbers = {"x": u, "n": TERMS, "N": TERMS + 1}
    vjp = gradients(dtype, column)
    yield Probe("bias_gradient_sum", "accumulation", terms, total, numbers, lambda a: vjp(a)[1].item())
    yield Probe("weight_gradient_sum", "accumulation", terms, total, numbers, lambda a: vjp(a)[0].item())
    components, samples = linear(dtype, column.T), linear(dtype, column)
    yield Probe("loss_sum", "accumulation", terms, total, numbers, lambda a: full_trace(a, components).losses.item())
    yield Probe("loss_mean", "accumulation", terms, total, numbers, lambda a: (TERMS + 1) * full_trace(a, samples).loss)
    if dtype == "float64":
        x = -0.41421355
        code = partial(reproducers.of_arithmetic, name="log1p", dtype=dtype, numbers={"x": x})
        yield Probe("log1p", "value", f"log1p({x!r})", float(np.log1p(x)), {"x": x}, lambda a: printed(code(a.name), a))
    if dtype == "bfloat16":
        a, y = [3.21875, 8.0, 3.4375], [0.0, 1.0703125, 0.73828125]
        slope = LOSSES["cosine_distance"].derivative(np.array([a]), np.array([y]))[0, 0].item()
        operands = {"a": a, "y": y, "N": ROWS}
        code = partial(reproducers.of_arithmetic, name="gradient_of_a_norm", dtype=dtype, numbers=operands)
        where = f"1 − cos(a, y) in {ROWS} rows, a = {a}"
        yield Probe("gradient_of_a_norm", "derivative", where, slope, operands, lambda a: printed(code(a.name), a))
        fused = linear(dtype, one, -20.0, 15 * u, "half_squared_error", "sigmoid")
        z_rounded = rounded(fused.W[1][0] + fused.b[1], dtype)
        yield Probe(
            "excess_precision",
            "excess precision",
            f"σ(z), z = −20 + {15 * u!r}, rounded to {z_rounded.item()!r}",
            activations.sigmoid(z_rounded).item(),
            {"W": -20.0, "b": 15 * u},
            lambda a: full_trace(a, fused).a[1].item(),
        )


def printed(code: str | None, adapter: Adapter) -> float | None:
    """The number that a reproducer prints on the adapter's device."""
    return None if code is None else float(reproducers.run(reproducers.on_device(code, device_of(adapter))))


def full_trace(adapter: Adapter, case: Case) -> Any:
    """The adapter's trace; these probes take its optional fields to be there."""
    return adapter.trace(case)


def arithmetic_rows(adapters: Sequence[Adapter], dtype: str) -> Iterator[Divergence]:
    """Rows of sums and products, held to single roundings and to sums in float32, not to an engine's own allowance."""
    for probe in probes(dtype):
        expected = np.array([[probe.equation]])
        slack = probe.roundings(rd.rounding(dtype)) * np.abs(expected)
        answers: Answers = {}
        for adapter in adapters:
            result = attempt(partial(probe.ask, adapter))
            there = result is not None and not isinstance(result, str)
            answers[adapter.name] = Answer(np.array([[result]]), expected, expected, slack) if there else result
        question = Question(
            kind="arithmetic",
            function=probe.name,
            what=probe.what,
            dtype=dtype,
            z=np.array([[probe.numbers.get("x", probe.numbers.get("b", 0.0))]]),
            y=np.empty((1, 0)),
            inputs=(probe.input,),
            equation=(shown(expected),),
            kink=np.zeros(1, bool),
            parameters={},
            devices=kinds_of_devices(adapters),
            reproducer=partial(arithmetic_code, probe, dtype),
        )
        yield from rows_of([(question, answers)])


def arithmetic_code(probe: Probe, dtype: str, engine: str, _: int) -> str | None:
    """The reproducer of a piece of arithmetic."""
    return reproducers.of_arithmetic(engine, probe.name, dtype, probe.numbers)
