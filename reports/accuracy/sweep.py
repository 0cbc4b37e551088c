"""How accurate the scalar functions of each engine are: the measurements behind k_f.

A function is reached through the adapter contract alone: a layer with the weight 1 and the bias 0 has z = x, its trace
holds f(x), and its vjp with the cotangent 1 is f'(x). For the formats up to float32 the truth is the reference in
float64, which tests certify to a few of its own ulp, 2⁻²⁹ of theirs; for float64 it is ball arithmetic. The error is
counted in ulp of the true value, and in roundings, (|observed − true| − underflow)/(u s_f). Where `divergences.known`
lists a defect, no accuracy is claimed.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, cast

import numpy as np

from adapters.contract import Adapter, device_of
from reference import activations, losses
from reference.activations import ACTIVATIONS
from reference.arrays import Array
from reference.case import Case
from reference.cases import draw_labels, scaled
from reference.equations import eq_8
from reference.losses import LOSSES, Loss
from reference.rounding import DTYPES, HALF, UNDERFLOW, UNIT_ROUNDOFF, amplified, loss_underflows, rounded
from reports.accuracy import true_values
from reports.accuracy.errors import (
    ORDINARY,
    Errors,
    WorstErrors,
    compared,
    drawn,
    merged,
    patterns,
    quiet,
    updated,
    worse,
)
from reports.accuracy.records import Entry, ScalarAccuracy
from reports.divergences.known import anywhere, defects, departing
from reports.results.environment import environment
from reports.results.files import jsonable, number
from reports.results.journal import append, opened, read
from reports.running.seeds import generator

SCHEMA = "backprop-parity/scalar-accuracy/2"


FACTORS = (0.3, 3.0)
"""Each function of a family is swept with its usual parameters, and with them times each of these."""


# --- activations


def network(dtype: str, x: Array, y: Array, names: tuple[str, str, str], layers: int, parameters: Any) -> Case:
    """Layers with the identity as their weights, so that z = x; `names` are f_h, f_o and the loss."""
    n = x.shape[1]
    W, b = {l: np.eye(n) for l in range(1, layers + 1)}, {l: np.zeros(n) for l in range(1, layers + 1)}
    return Case(*names, dtype, W, b, x, y, parameters)


def members(usual: Mapping[str, float], dtype: str) -> list[dict[str, float]]:
    """The parameters a function is swept with: the usual ones, and others, as numbers of the format."""
    return [dict(usual), *(scaled(usual, factor, dtype) for factor in FACTORS)] if usual else [{}]


def activation_of(adapter: Adapter, case: Case, cotangent: Array) -> tuple[Array, Array]:
    """f(x) from the trace, and f'(x) times a cotangent from the vjp of the second layer.

    A cotangent of 1 would hide what an engine rounds on the way: JAX's tanh forms (c + c a)(1 − a).
    """
    trace = adapter.trace(case)
    assert trace.a is not None
    _, _, derivative = adapter.layer_vjp(case, 2, case.x, cotangent[:, np.newaxis])  # type: ignore[attr-defined]
    return trace.a[1][:, 0], derivative[:, 0]


BATCH = {"float16": 2**6, "bfloat16": 2**6}
"""Samples of a batch in half precision, a power of 2."""


def derivative_in_training(adapter: Adapter, case: Case, weight: float) -> Array:
    """f'(x) times a weight, as δ^1 where δ^2 is 1: an engine may have rounded f(x) before it makes f'(x) from it.

    The hinge loss of the label −1 has the slope 1 wherever a > −1, that of the label 1 has −1 wherever a < 1. N is a
    power of 2, and small in float16, whose numbers 1/N δ would be subnormal.
    """
    slopes, a, n = [], case.f_h.value(case.x), BATCH[case.dtype]
    W = {1: case.W[1], 2: np.full((1, 1), weight)}
    for start in range(0, len(case.x), n):
        x, slope = case.x[start : start + n], np.where(a[start : start + n] >= 0, 1.0, -1.0)
        filled = np.zeros((n - len(x), 1))
        labels = np.concatenate([-slope, filled - 1])
        trace = adapter.trace(replace(case, loss="hinge", W=W, x=np.concatenate([x, filled]), y=labels))
        assert trace.delta is not None
        slopes.append((trace.delta[1][: len(x)] * slope)[:, 0])
    return np.concatenate(slopes)


@quiet
def sweep_activation(adapters: list[Adapter], name: str, parameters: dict[str, float], dtype: str, x: Array) -> Errors:
    """The worst value and derivative of one function in every engine that has it, at some inputs."""
    f = activations.activation(name, parameters)
    column = x[:, np.newaxis]
    names = name, "identity", "half_squared_error"
    case = network(dtype, column, np.zeros_like(column), names, 2, {"hidden": parameters} if parameters else {})
    smooth = np.ones(len(x), bool)
    for kink in f.kinks:  # there an engine chooses its derivative: that is not an error
        smooth &= np.abs(x - kink.at) > kink.reach * UNIT_ROUNDOFF[dtype]
    within = np.abs(x) * max([1.0, *parameters.values()]) <= ORDINARY
    able = [adapter for adapter in adapters if adapter.supports(case) is True]
    value: Any
    derivative: Any
    if dtype == "float64":
        inputs = true_values.balls(x)
        value = [true_values.VALUE[name](ball, **parameters) for ball in inputs]
        derivative = [
            true_values.DERIVATIVE[name](ball, **parameters) for ball, kept in zip(inputs, smooth, strict=True) if kept
        ]
    else:
        value, derivative = f.value(x), f.derivative(x[smooth])
    errors: Errors = {}
    all_rows, weight = np.ones(len(x), bool), np.full(len(x), rounded(WEIGHT, dtype))
    cotangent = rounded(generator(len(x), name, dtype).uniform(1, 2, len(x)), dtype)
    for adapter in able:
        seen = activation_of(adapter, case, cotangent)
        measured = [("value", seen[0], np.ones(len(x)), all_rows, 1), ("derivative", seen[1], cotangent, smooth, 1)]
        if dtype in HALF:
            trained = derivative_in_training(adapter, case, float(weight[0]))
            measured.append(("derivative", trained, weight, smooth, 2 * BATCH[dtype]))
        for what, observed, factor, rows, underflows in measured:
            at, by = x[rows], factor[rows]
            true, scale = (value, f.value_scale) if what == "value" else (derivative, f.derivative_scale)
            known = defects(adapter.name, name, what, dtype, device_of(adapter))
            if any(departure.where is anywhere for departure in known):
                continue  # no accuracy is claimed: an entry of 0 would say that the function is exact
            pair = compared(observed[rows], times(by, true), dtype)
            slack = underflows * UNDERFLOW[dtype] * amplified(f, at)
            claimed = within[rows] & ~departing(known, at, parameters)
            worst = updated(WorstErrors(), at, *pair, by * scale(at), slack, dtype, claimed)
            errors[what, adapter.name] = worse(errors.get((what, adapter.name), WorstErrors()), worst)
    return errors


def times(factors: Array, true: Any) -> Any:
    """Every true value, a number or a ball, times its factor."""
    if isinstance(true, list):
        return [factor * ball for factor, ball in zip(true_values.balls(factors), true, strict=True)]
    return factors * true


WEIGHT = 1.37
"""Of the cotangents in training: not a binary fraction, so that its products are rounded."""


# --- losses, and coupled activations


def width_of(loss: Loss) -> int:
    """Components of a sample: one, unless the loss depends on their number or links them."""
    linked = loss.carried is not None or loss.name == "mean_squared_error"
    return 3 if linked or any(ACTIVATIONS[output].coupled for output in loss.outputs) else 1


@quiet
def sweep_loss(
    adapters: list[Adapter], name: str, parameters: dict[str, float], dtype: str, seed: int, count: int
) -> Errors:
    """The partial loss L_i of a loss at what the engine reports as its argument, and its derivative.

    The derivative is δ of the output layer, which is ∂L_i/∂p itself on logits and where f_o is the identity; N is
    a power of 2, at least the count, so that δ/N rounds nothing.
    """
    loss = losses.loss(name, parameters)
    count = 1 << (count - 1).bit_length()
    rng = generator(seed, name, dtype, str(parameters))
    n = width_of(loss)
    output = loss.outputs[0] if loss.outputs else "identity"
    limit = HALF_RANGE if dtype in HALF else np.inf  # beyond, sums and quotients overflow: that is another matter
    x = rng.permutation(np.clip(drawn(rng, 4 * n * count, dtype), -limit, limit))[: n * count].reshape(count, n)
    if name == "poisson_nll":
        x = np.minimum(x, EXPONENT)
    if name == "cosine_distance":  # torch takes a norm below 1e-8 as that, and half precision loses its square
        x = rounded(np.copysign(np.maximum(np.abs(x), 0.125), x), dtype)
    y = rounded(draw_both(rng, loss.labels, count, n), dtype)
    case = network(dtype, x, y, ("identity", output, name), 1, {"loss": parameters} if parameters else {})
    errors = {}
    for adapter in adapters:
        if adapter.supports(case) is not True:
            continue
        a, observed, delta = in_batches(adapter, case, BATCH.get(dtype, count))
        p = loss.argument(case.x, a)
        kept = (np.isfinite(loss.value(p, y)) & np.isfinite(loss.derivative(p, y))).all(axis=1)  # not at a pole
        if loss.interval is not None:
            kept &= np.equal(*loss.interval(p, y)).all(axis=1)
        p, t, observed, delta = p[kept], y[kept], observed[kept], delta[kept]
        if dtype == "float64":
            rows = [(true_values.balls(a), true_values.balls(b)) for a, b in zip(p, t, strict=True)]
            value: Any = [true_values.LOSS[name](*row, **parameters) for row in rows]
            slope: Any = [ball for row in rows for ball in true_values.LOSS_DERIVATIVE[name](*row, **parameters)]
        else:
            value, slope = eq_8(loss.value(p, t)), loss.derivative(p, t)
        scale, slack = loss.value_scale(p, t).sum(axis=1), UNDERFLOW[dtype] * loss_underflows(loss)
        errors["value", adapter.name] = updated(
            WorstErrors(), p, *compared(observed, value, dtype), scale, slack, dtype
        )
        if loss.on_logits or not loss.outputs or output == "identity":
            scale = loss.derivative_scale(p, t)
            slack = 2 * BATCH.get(dtype, count) * UNDERFLOW[dtype]
            errors["derivative", adapter.name] = updated(
                WorstErrors(), p, *compared(delta, slope, dtype), scale, slack, dtype
            )
    return errors


def in_batches(adapter: Adapter, case: Case, size: int) -> tuple[Array, Array, Array]:
    """a, L_i and δ of the output layer, a batch at a time: 1/N δ of many samples would be subnormal in float16."""
    parts = []
    for start in range(0, case.samples, size):
        rows = slice(start, start + size)
        trace = adapter.trace(case.on_batch(case.x[rows], case.y[rows]))
        assert trace.a is not None and trace.losses is not None and trace.delta is not None  # noqa: PT018
        parts.append((trace.a[1], trace.losses, trace.delta[1]))
    a, partial_losses, delta = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return a, partial_losses, delta


HALF_RANGE, EXPONENT = 8.0, 8.0
"""|p| up to which a loss is swept in half precision, and up to which e^p is taken in any."""


def draw_both(rng: np.random.Generator, labels: str, count: int, n: int) -> Array:
    """Labels of a kind, hard and soft ones in turns."""
    draws = [draw_labels(rng, labels, -(-count // 16), n) for _ in range(16)]
    return np.concatenate(draws)[:count]


@quiet
def sweep_coupled(adapters: list[Adapter], name: str, dtype: str, seed: int, count: int) -> Errors:
    """Each component of a coupled activation of three logits."""
    f = ACTIVATIONS[name]
    rng = generator(seed, name, dtype)
    x = rng.permutation(drawn(rng, 3 * count, dtype)).reshape(-1, 3)
    case = network(dtype, x, np.zeros_like(x), ("identity", name, "half_squared_error"), 1, {})
    true: Any = f.value(x)
    if dtype == "float64":
        true = [ball for row in x for ball in true_values.COUPLED[name](true_values.balls(row))]
    errors = {}
    for adapter in adapters:
        trace = adapter.trace(case)
        assert trace.a is not None
        scale, slack = f.value_scale(x), UNDERFLOW[dtype] * (1 + np.abs(x))
        errors["value", adapter.name] = updated(
            WorstErrors(), x, *compared(trace.a[1], true, dtype), scale, slack, dtype
        )
    return errors


# --- the whole sweep

Job = tuple[str, str, dict[str, float]]
"""A function, a format, and the parameters of a member of its family."""


@dataclass(frozen=True)
class SweepPlan:
    """What is swept.

    float32  inputs of float32 at least; 2³² are all
    drawn    inputs where they are drawn
    """

    functions: tuple[str, ...] = (*ACTIVATIONS, *LOSSES)
    dtypes: tuple[str, ...] = DTYPES
    float32: int = 2**22
    drawn: int = 2**13
    seed: int = 2026

    def jobs(self) -> list[Job]:
        """Every function, format and member of its family."""
        usual = {name: f.parameters for name, f in ACTIVATIONS.items()} | {n: f.parameters for n, f in LOSSES.items()}
        return [
            (name, dtype, parameters)
            for dtype, name in product(self.dtypes, self.functions)
            for parameters in members(usual[name], dtype)
        ]

    def parts(
        self, adapters: list[Adapter], name: str, dtype: str, parameters: dict[str, float]
    ) -> Iterator[Callable[[], Errors]]:
        """A job cut into parts: each, when called, sweeps some of the inputs."""
        if name in LOSSES:
            yield partial(sweep_loss, adapters, name, parameters, dtype, self.seed, self.drawn)
        elif ACTIVATIONS[name].coupled:
            yield partial(sweep_coupled, adapters, name, dtype, self.seed, self.drawn)
        else:
            for x in self.inputs(name, dtype):
                yield partial(sweep_activation, adapters, name, parameters, dtype, x)

    def inputs(self, name: str, dtype: str) -> Iterator[Array]:
        """The inputs of an activation, in chunks."""
        if dtype == "float64":
            return iter([drawn(generator(self.seed, name, dtype), self.drawn, dtype)])
        stride = max(1, 2**32 // self.float32)
        return patterns(dtype, stride, 0 if stride == 1 else self.float32 // 4, self.seed)


PARTIAL = "sweep.partial.jsonl"
"""The journal of a sweep: it is there while the sweep is unfinished."""


@dataclass
class Progress:
    """What an unfinished sweep has measured: entries of the finished jobs, and parts and errors of the present one.

    Every part and every finished job is a line of the journal; the parts of a job are merged when they are read.
    """

    journal: Path
    entries: list[Entry] = field(default_factory=list)
    jobs: int = 0
    parts: int = 0
    errors: Errors = field(default_factory=dict)

    def part_done(self, errors: Errors) -> None:
        """Write down a part of the present job."""
        self.write({"part": [(what, engine, asdict(worst)) for (what, engine), worst in errors.items()]})

    def job_done(self, job: Job) -> None:
        """Write down that the present job is finished."""
        self.write({"finished": job})

    def write(self, line: Mapping[str, Any]) -> None:
        append(self.journal, dict(line))
        self.add(line)

    def add(self, line: Mapping[str, Any]) -> None:
        """Take in a line, written just now or read."""
        if "part" in line:
            part = {(what, engine): worst_errors(worst) for what, engine, worst in line["part"]}
            self.errors, self.parts = merged(self.errors, part), self.parts + 1
        else:
            name, dtype, parameters = line["finished"]
            self.entries += entries_of(name, dtype, parameters, self.errors)
            self.jobs, self.parts, self.errors = self.jobs + 1, 0, {}


def worst_errors(record: Mapping[str, Any]) -> WorstErrors:
    """The errors of a line: an infinite one is a string in JSON."""
    return WorstErrors(**{**record, **{name: number(record[name]) for name in ("roundings", "ulp", "beyond")}})


def entries_of(name: str, dtype: str, parameters: dict[str, float], errors: Errors) -> list[Entry]:
    """The entries of a job."""
    about = {"dtype": dtype, "parameters": parameters}
    return [
        cast(Entry, {"function": name, "what": what, "engine": engine, **about, **asdict(worst)})
        for (what, engine), worst in errors.items()
    ]


def resumed(journal: Path, first: dict[str, Any], tell: Callable[[str], None]) -> Progress:
    """The progress of a sweep with this first line; the journal of another is replaced."""
    if journal.is_file() and read(journal, tell)[:1] != [first]:
        journal.unlink()
    progress = Progress(journal)
    for line in opened(journal, first, tell):
        progress.add(line)
    return progress


def sweep(
    adapters: list[Adapter], plan: SweepPlan, journal: Path, first: dict[str, Any], tell: Callable[[str], None]
) -> list[Entry]:
    """An entry for every function, format, engine and member; what the journal has is not swept again."""
    true_values.exactly()
    jobs, progress = plan.jobs(), resumed(journal, first, tell)
    if progress.jobs or progress.parts:
        tell(f"going on after {progress.jobs} jobs and {progress.parts} parts")
    for job in jobs[progress.jobs :]:
        name, dtype, parameters = job
        for index, part in enumerate(plan.parts(adapters, name, dtype, parameters)):
            if index >= progress.parts:
                progress.part_done(part())
                tell(f"{progress.jobs + 1} of {len(jobs)}: {dtype} {name}, part {progress.parts}")
        progress.job_done(job)
    return progress.entries


def line(entry: Entry) -> str:
    """An entry on one line."""
    parameters = ", ".join(f"{name} {value:.3g}" for name, value in entry["parameters"].items())
    roundings, ulp, beyond = (number(entry[name]) for name in ("roundings", "ulp", "beyond"))
    return (
        f"{entry['dtype']:8} {entry['function']:38} {entry['what']:10} {entry['engine']:11}"
        f"{roundings:9.3g} u s  {ulp:9.3g} ulp  beyond {ORDINARY:g}: {beyond:9.3g}  {parameters}"
    )


def measure(adapters: list[Adapter], plan: SweepPlan, folder: Path, tell: Callable[[str], None]) -> ScalarAccuracy:
    """scalar_accuracy.json: every entry, and what it was measured on."""
    started, clock = datetime.now(UTC).isoformat(timespec="seconds"), time.perf_counter()
    request = jsonable({**asdict(plan), "engines": [adapter.name for adapter in adapters]})
    devices = {adapter.name: device_of(adapter) for adapter in adapters}
    about = environment(devices, plan.seed, started, 0.0)
    first = {"request": request, "versions": about["versions"], "devices": about["devices"]}
    entries = sweep(adapters, plan, folder / PARTIAL, first, tell)
    about = environment(devices, plan.seed, started, time.perf_counter() - clock)
    return {"schema": SCHEMA, "environment": about, "request": request, "entries": entries}
