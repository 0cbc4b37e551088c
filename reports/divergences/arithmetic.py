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
from reports.divergences.judging import Answer, Answers, Question, Row, attempt, rows_of
from reports.divergences.reproducers import shown

# --- arithmetic

ROWS = 4096
"""Of a batch from which on XLA makes other code."""

TERMS = 128
"""Small terms in a sum that begins with 1: each is u, half of what 1 can tell, so that 1 + u + u + … is 1 in turn."""


@dataclass(frozen=True)
class Sum:
    """A piece of arithmetic: its name, what it shows, what the equation gives, and how an engine is asked."""

    name: str
    what: str
    input: str
    equation: float
    numbers: Mapping[str, Any]
    ask: Callable[[Adapter], float | None]

    def roundings(self, r: Rounding) -> float:
        """What is allowed, relative to the equation: nothing to a flush, γ_n of float32 and one u to a sum."""
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


def sums(dtype: str) -> Iterator[Sum]:
    """Every piece of arithmetic, in one format."""
    smallest, _, normal = subnormals(dtype)
    u = UNIT_ROUNDOFF[dtype]
    one = np.array([[1.0]])

    def z(x: float, W: float, b: float) -> Callable[[Adapter], float]:
        return lambda adapter: traced(adapter, linear(dtype, x * one, W, b)).z[1].item()

    yield Sum("subnormal_input", "flush", f"{smallest!r} · 1", smallest, {"x": smallest}, z(smallest, 1.0, 0.0))
    yield Sum("subnormal_product", "flush", f"{normal!r} · 0.5", normal / 2, {"x": normal}, z(normal, 0.5, 0.0))
    yield Sum(
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
    yield Sum("bias_gradient_sum", "accumulation", terms, total, numbers, lambda a: vjp(a)[1].item())
    yield Sum("weight_gradient_sum", "accumulation", terms, total, numbers, lambda a: vjp(a)[0].item())
    row, batch = linear(dtype, column.T), linear(dtype, column)
    yield Sum("loss_sum", "accumulation", terms, total, numbers, lambda a: float(traced(a, row).losses.item()))
    yield Sum("loss_mean", "accumulation", terms, total, numbers, lambda a: (TERMS + 1) * traced(a, batch).loss)
    if dtype == "float64":
        x = -0.41421355
        code = partial(reproducers.of_arithmetic, name="log1p", dtype=dtype, numbers={"x": x})
        yield Sum("log1p", "value", f"log1p({x!r})", float(np.log1p(x)), {"x": x}, lambda a: printed(code(a.name), a))
    if dtype == "bfloat16":
        a, y = [3.21875, 8.0, 3.4375], [0.0, 1.0703125, 0.73828125]
        slope = LOSSES["cosine_distance"].derivative(np.array([a]), np.array([y]))[0, 0].item()
        given = {"a": a, "y": y, "N": ROWS}
        code = partial(reproducers.of_arithmetic, name="gradient_of_a_norm", dtype=dtype, numbers=given)
        where = f"1 − cos(a, y) in {ROWS} rows, a = {a}"
        yield Sum("gradient_of_a_norm", "derivative", where, slope, given, lambda a: printed(code(a.name), a))
        fused = linear(dtype, one, -20.0, 15 * u, "half_squared_error", "sigmoid")
        seen = rounded(fused.W[1][0] + fused.b[1], dtype)
        yield Sum(
            "excess_precision",
            "excess precision",
            f"σ(z), z = −20 + {15 * u!r}, rounded to {seen.item()!r}",
            activations.sigmoid(seen).item(),
            {"W": -20.0, "b": 15 * u},
            lambda a: traced(a, fused).a[1].item(),
        )


def printed(code: str | None, adapter: Adapter) -> float | None:
    """The number that a reproducer prints on the adapter's device."""
    return None if code is None else float(reproducers.run(reproducers.on_device(code, device_of(adapter))))


def traced(adapter: Adapter, case: Case) -> Any:
    """The adapter's trace, whose optional fields these probes take to be there."""
    return adapter.trace(case)


def arithmetic_rows(adapters: Sequence[Adapter], dtype: str) -> Iterator[Row]:
    """Rows of sums and products: held to single roundings and to sums in float32, not to an engine's own allowance."""
    for piece in sums(dtype):
        expected = np.array([[piece.equation]])
        slack = piece.roundings(rd.rounding(dtype)) * np.abs(expected)
        answers: Answers = {}
        for adapter in adapters:
            seen = attempt(partial(piece.ask, adapter))
            there = seen is not None and not isinstance(seen, str)
            answers[adapter.name] = Answer(np.array([[seen]]), expected, expected, slack) if there else seen
        question = Question(
            kind="arithmetic",
            function=piece.name,
            what=piece.what,
            dtype=dtype,
            z=np.array([[piece.numbers.get("x", piece.numbers.get("b", 0.0))]]),
            y=np.empty((1, 0)),
            inputs=(piece.input,),
            equation=(shown(expected),),
            kink=np.zeros(1, bool),
            parameters={},
            reproducer=partial(arithmetic_code, piece, dtype),
        )
        yield from rows_of([(question, answers)])


def arithmetic_code(piece: Sum, dtype: str, engine: str, _: int) -> str | None:
    """The reproducer of a piece of arithmetic."""
    return reproducers.of_arithmetic(engine, piece.name, dtype, piece.numbers)
