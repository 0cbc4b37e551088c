"""How accurate the scalar functions are, as each engine computes them: the measurements behind k_f.

A function is reached through the adapter contract alone: a layer with the weight 1 and the bias 0 has z = x, its trace
holds f(x), and its vjp with the cotangent 1 is f'(x). The truth is ball arithmetic (Arb, through python-flint) at the
engine's own inputs; the error is counted in roundings, |observed − true|/(u s_f).
"""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import product
from typing import Any

import numpy as np
from flint import arb, ctx
from rich.console import Console

from adapters.contract import Adapter
from reference.activations import ACTIVATIONS, HIDDEN
from reference.arrays import Array
from reference.case import Case
from reference.losses import LOSSES
from reference.rounding import SMALLEST_NORMAL, UNIT_ROUNDOFF
from reports.campaign import generator
from reports.results import environment

BITS = 200
"""Of the ball arithmetic: far more than cancels at |z| ≤ 80, where e^{−|z|} > 2⁻¹¹⁶."""

ORDINARY = 20.0
"""|z| up to which k_f is claimed. Beyond, engines take shortcuts (torch's softplus is linear): listed as found."""

BENDING = 4.0
"""|z| within which the functions bend."""

EXTREME = 80.0
"""Largest |z| that is swept: e^{−80} is a normal number in float32."""

one = arb(1)


def sigmoid(x: arb) -> arb:
    return one / (one + (-x).exp())


def cdf(x: arb) -> arb:
    return (-x / arb(2).sqrt()).erfc() / 2


def density(x: arb) -> arb:
    return (-x * x / 2).exp() / (2 * arb.pi()).sqrt()


def softplus(x: arb) -> arb:
    return x.exp().log1p()


VALUE: dict[str, Callable[[arb], arb]] = {
    "sigmoid": sigmoid,
    "tanh": lambda x: x.tanh(),
    "gelu": lambda x: x * cdf(x),
    "softplus": softplus,
    "silu": lambda x: x * sigmoid(x),
}

DERIVATIVE: dict[str, Callable[[arb], arb]] = {
    "sigmoid": lambda x: sigmoid(x) * sigmoid(-x),
    "tanh": lambda x: 4 * sigmoid(2 * x) * sigmoid(-2 * x),
    "gelu": lambda x: cdf(x) + x * density(x),
    "softplus": sigmoid,
    "silu": lambda x: sigmoid(x) * (one + x * sigmoid(-x)),
}


def log_softmax(row: list[arb]) -> list[arb]:
    total = sum((x.exp() for x in row), arb(0)).log()
    return [x - total for x in row]


def contribution(loss: str, p: list[arb], y: list[arb]) -> arb:
    """L_i by ball arithmetic; a label of 0 asks nothing, whatever its logarithm."""
    if loss == "half_squared_error":
        return sum(((a - t) ** 2 / 2 for a, t in zip(p, y, strict=True)), arb(0))
    if loss == "binary_cross_entropy":
        logs = [(a.log(), (-a).log1p()) for a in p]
    elif loss == "binary_cross_entropy_on_logits":
        logs = [(-softplus(-z), -softplus(z)) for z in p]
    elif loss == "categorical_cross_entropy":
        return -sum((t * a.log() for a, t in zip(p, y, strict=True) if t != 0), arb(0))
    else:
        return -sum((t * log for log, t in zip(log_softmax(p), y, strict=True) if t != 0), arb(0))
    terms = [t * log for (log, _), t in zip(logs, y, strict=True) if t != 0]
    return -sum(terms + [(one - t) * log for (_, log), t in zip(logs, y, strict=True) if t != 1], arb(0))


def balls(values: Array) -> list[arb]:
    return [arb(float(value)) for value in values]


def inputs(rng: np.random.Generator, count: int, dtype: str) -> Array:
    """A quarter each: even on ±4, where the functions bend, on ±20 and on ±80, and magnitudes down to 2⁻⁶⁰."""
    small = np.exp2(rng.uniform(-60, 4, count // 4)) * rng.choice([-1, 1], count // 4)
    even = [rng.uniform(-bound, bound, count // 4) for bound in (BENDING, ORDINARY, EXTREME)]
    return np.concatenate([*even, small]).astype(dtype).astype(np.float64)


def network(dtype: str, x: Array, y: Array, output: str, loss: str, hidden: str = "identity") -> Case:
    """One layer with the identity as its weights, so that z = x; two of them where a hidden activation is asked for."""
    layers = range(1, 2 if hidden == "identity" else 3)
    W, b = {l: np.eye(x.shape[1]) for l in layers}, {l: np.zeros(x.shape[1]) for l in layers}
    return Case(hidden, output, loss, dtype, W, b, x, y)


def roundings(observed: Array, exact: list[arb], scale: Array, dtype: str) -> Array:
    """The error in roundings, beyond an underflow: (|observed − exact| − underflow)/(u s_f)."""
    error = np.array([float(abs(arb(float(o)) - e).mid()) for o, e in zip(observed, exact, strict=True)])
    beyond = np.maximum(error - SMALLEST_NORMAL[dtype], 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(beyond == 0, 0.0, beyond / (UNIT_ROUNDOFF[dtype] * scale))


def entry(what: str, name: str, engine: str, dtype: str, k: Array, x: Array) -> dict[str, Any]:
    """The worst of the ordinary inputs, and the worst of all."""
    size = np.abs(x).reshape(len(k), -1).max(axis=1)
    ordinary = np.where(size <= ORDINARY, k, 0.0)
    worst, overall = int(ordinary.argmax()), int(k.argmax())
    return {
        "function": name,
        "what": what,
        "engine": engine,
        "dtype": dtype,
        "inputs": len(k),
        "roundings": float(ordinary[worst]),
        "at": x[worst].tolist(),
        "beyond": {"roundings": float(k[overall]), "at": x[overall].tolist()},
    }


def sweep(adapters: list[Adapter], dtypes: tuple[str, ...], seed: int, count: int) -> Iterator[dict[str, Any]]:
    """An entry for every engine, dtype and function, of the value and of the derivative."""
    ctx.prec = BITS
    for dtype, name in product(dtypes, (f for f in HIDDEN if f in VALUE)):
        x = inputs(generator(seed, name, dtype), count, dtype)
        exact = [[f[name](ball) for ball in balls(x)] for f in (VALUE, DERIVATIVE)]
        scales = ACTIVATIONS[name].value_scale(x), ACTIVATIONS[name].derivative_scale(x)
        column = x[:, np.newaxis]
        case = network(dtype, column, np.zeros_like(column), "identity", "half_squared_error", name)
        for adapter in adapters:
            observed = activation_of(adapter, case)
            for what, seen, true, scale in zip(("value", "derivative"), observed, exact, scales, strict=True):
                yield entry(what, name, adapter.name, dtype, roundings(seen, true, scale, dtype), x)
    for dtype in dtypes:
        yield from sweep_losses(adapters, dtype, seed, count // 4)


def activation_of(adapter: Adapter, case: Case) -> tuple[Array, Array]:
    """f(x) from the trace, and f'(x) from the vjp of the second layer with the cotangent 1."""
    trace = adapter.trace(case)
    assert trace.a is not None
    _, _, derivative = adapter.layer_vjp(case, 2, case.x, np.ones_like(case.x))  # type: ignore[attr-defined]
    return trace.a[1][:, 0], derivative[:, 0]


def sweep_losses(adapters: list[Adapter], dtype: str, seed: int, count: int) -> Iterator[dict[str, Any]]:
    """Softmax, and the partial loss L_i of every loss at what the engine reports as its argument.

    One component, or two for softmax: the fewer are summed, the more the functions themselves count.
    """
    for name, loss in LOSSES.items():
        rng = generator(seed, name, dtype)
        output = loss.outputs[0] if loss.outputs else "identity"
        coupled = ACTIVATIONS[output].coupled
        x = rng.permutation(inputs(rng, 2 * count, dtype)).reshape(2, count).T[:, : 1 + coupled]
        labels = rng.dirichlet(np.ones(2), count)[:, : 1 + coupled]
        hard = np.eye(2)[rng.integers(2, size=count)][:, : 1 + coupled]
        y = np.where(rng.random((count, 1)) < 0.5, hard, labels).astype(dtype).astype(np.float64)
        case = network(dtype, x, y, output, name)
        for adapter in adapters:
            trace = adapter.trace(case)
            assert trace.a is not None and trace.losses is not None  # noqa: PT018
            p = loss.argument(x, trace.a[1])
            inside = np.all((p > 0) & (p < 1), axis=1) if loss.outputs and not loss.on_logits else np.ones(count, bool)
            exact = [
                contribution(name, balls(row), balls(labels)) for row, labels in zip(p[inside], y[inside], strict=True)
            ]
            scale = loss.value_scale(p, y)[inside].sum(axis=1)
            yield entry(
                "value", name, adapter.name, dtype, roundings(trace.losses[inside], exact, scale, dtype), x[inside]
            )
            if name == "categorical_cross_entropy_on_logits":
                rows = [[log.exp() for log in log_softmax(balls(row))] for row in x]
                k = [
                    roundings(a, e, s, dtype).max()
                    for a, e, s in zip(trace.a[1], rows, ACTIVATIONS["softmax"].value_scale(x), strict=True)
                ]
                yield entry("value", "softmax", adapter.name, dtype, np.array(k), x)


def measure(
    adapters: list[Adapter], dtypes: tuple[str, ...], seed: int, count: int, console: Console
) -> dict[str, Any]:
    """scalar_accuracy.json: every entry, and what it was measured on."""
    started, clock, entries = datetime.now(UTC).isoformat(timespec="seconds"), time.perf_counter(), []
    for found in sweep(adapters, dtypes, seed, count):
        entries.append(found)
        console.print(
            f"{found['dtype']:8} {found['function']:36} {found['what']:11} {found['engine']:12}"
            f"{found['roundings']:8.2f} u   beyond |z| = {ORDINARY:g}: {found['beyond']['roundings']:.3g} u",
            highlight=False,
        )
    about = environment(adapters, seed, started, time.perf_counter() - clock)
    return {"schema": "backprop-parity/scalar-accuracy/1", "environment": about, "entries": entries}
