"""Training runs: every optimiser in an engine on a spread of tasks, each run held in two ways.

*Step-locked*, every step is audited on the engine's own weights and optimiser state, so that no error accumulates.
*Free-running*, the engine and the reference part from the same weights, and their distance is held against an envelope.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from adapters.contract import FAILURES, Adapter
from reference.arrays import Array
from reference.case import Case, CaseError
from reference.cases import Combination
from reference.clipping import Clipping
from reference.datasets import Split, digits, spirals, teacher, xor
from reference.metrics import accuracy, confusion_matrix, f1, precision, recall
from reference.optimisers import OPTIMISERS, Optimiser, optimiser
from reference.schedules import Schedule
from reference.training import Plan, Step, draw_batches
from reports.campaign import (
    Clock,
    Record,
    Tally,
    about,
    badness,
    cell_id,
    failure,
    generator,
    loaded,
    outcome,
    shortened,
)
from reports.digits import BATCH, NAMES, WIDTHS, predicted
from reports.envelope import ensemble, envelope, growth, outside
from reports.training import flat, initial, steps, trains

# --- what is trained


class Task(NamedTuple):
    """What is learned: the data, widths of the network, samples of a mini-batch, and networks to learn it."""

    data: Callable[[np.random.Generator], Split]
    widths: tuple[int, ...]
    size: int
    networks: tuple[Combination, ...]


TASKS = {
    "digits": Task(
        digits,
        WIDTHS,
        BATCH,
        (NAMES, Combination("relu", "log_softmax", "negative_log_likelihood")),
    ),
    "xor": Task(
        xor,
        (2, 8, 8, 2),
        32,
        (
            Combination("sigmoid", "sigmoid", "binary_cross_entropy"),
            Combination("gelu", "softmax", "smoothed_cross_entropy_on_logits"),
            Combination("leaky_relu", "sigmoid", "mean_squared_error"),
        ),
    ),
    "spirals": Task(
        spirals,
        (2, 16, 16, 2),
        32,
        (
            Combination("silu", "sigmoid", "binary_cross_entropy_on_logits"),
            Combination("elu", "softmax", "categorical_cross_entropy"),
            Combination("mish", "softmax", "categorical_cross_entropy_with_classes"),
        ),
    ),
    "teacher": Task(
        teacher,
        (4, 12, 3),
        32,
        (
            Combination("tanh", "identity", "half_squared_error"),
            Combination("softplus", "identity", "huber"),
            Combination("hardswish", "identity", "gaussian_nll"),
            Combination("selu", "identity", "cosine_distance"),
        ),
    ),
}
"""Every task by its name; the first of its networks is the one that jax-whole compiles."""

RATES = {
    **dict.fromkeys(("gradient_descent", "gradient_descent_decoupled"), 0.2),
    **dict.fromkeys(("momentum", "nesterov"), 0.05),
    **dict.fromkeys(("adagrad", "adagrad_eps_in_root"), 0.05),
    **{name: 0.005 for name in OPTIMISERS if name.startswith("rmsprop")},
    "adadelta": 1.0,
    "lion": 0.003,
}
"""η, where it is not that of the Adam family."""

RATE = 0.01

SETTINGS: tuple[Optimiser, ...] = (
    *(optimiser(name, learning_rate=RATES.get(name, RATE)) for name in OPTIMISERS),
    optimiser("momentum", learning_rate=0.1, dampening=0.5, weight_decay=1e-3),
    optimiser("adam", learning_rate=RATE, weight_decay=1e-3),
)
"""Every form with its usual values but for η, and what weight decay and dampening add to two of them."""


def schedules(count: int) -> tuple[Schedule, ...]:
    """Every schedule; the cosine falls over all steps."""
    return (
        Schedule(),
        Schedule("step", {"every": 20, "factor": 0.5}),
        Schedule("exponential", {"factor": 0.98}),
        Schedule("cosine", {"steps": count, "lowest": 0.05}),
        Schedule("warm_up", {"steps": 20, "lowest": 0.1}),
    )


CLIPPINGS = (None, Clipping("norm_with_eps", 0.5), Clipping("norm", 0.5), Clipping("value", 0.05))
BATCHINGS = ("mini", "full", "stochastic")


@dataclass(frozen=True, eq=False)
class Setup:
    """A training run: what is learned, and how."""

    task: str
    names: Combination
    optimiser: Optimiser
    schedule: Schedule
    clipping: Clipping | None
    batching: str
    steps: int

    @property
    def name(self) -> str:
        """digits/tanh-softmax-…/adam/mini"""
        clipping = [] if self.clipping is None else [f"clipped by {self.clipping.form}"]
        usual = OPTIMISERS[self.optimiser.name].hyperparameters
        given = [
            f"{name} {h:g}"
            for name, h in self.optimiser.hyperparameters.items()
            if name != "learning_rate" and h != usual[name]
        ]
        parts = (self.optimiser.name, *given, self.schedule.name, *clipping, self.batching)
        return "/".join((self.task, "-".join(self.names), ", ".join(parts)))


def spread(count: int) -> list[Setup]:
    """Every optimiser on every task; networks, schedules, clippings and batchings take turns.

    And once more on xor without a schedule and clipping, so that no engine with the optimiser is left out.
    """
    falling = schedules(count)
    setups = [Setup("xor", TASKS["xor"].networks[0], made, Schedule(), None, "mini", count) for made in SETTINGS]
    for i, made in enumerate(SETTINGS):
        for j, (name, task) in enumerate(TASKS.items()):
            network = task.networks[(i // len(TASKS) + j) % len(task.networks)]
            schedule, clipping = falling[(i + j) % len(falling)], CLIPPINGS[(i + 3 * j) % len(CLIPPINGS)]
            batching = BATCHINGS[(i + 2 * j) % len(BATCHINGS)]
            setups.append(Setup(name, network, made, schedule, clipping, batching, count))
    return setups


EPOCH = 40
"""Mini-batches of the 1,258 digits to train on."""


def drawn_in_report(epochs: int) -> Setup:
    """The run whose curves the report has."""
    return on_digits(epochs * EPOCH, 0.003)


def on_digits(steps: int, learning_rate: float) -> Setup:
    """Adam on digits."""
    return Setup("digits", NAMES, optimiser("adam", learning_rate=learning_rate), Schedule(), None, "mini", steps)


def start(setup: Setup, dtype: str, seed: int) -> tuple[Split, Case, Plan]:
    """The data, the network at its initial weights with the training set as its batch, and the plan."""
    task = TASKS[setup.task]
    split = task.data(generator(seed, setup.task, "data"))
    x, y = split.train
    W, b = initial(generator(seed, setup.task, "weights"), task.widths, dtype)
    case = Case(*setup.names, dtype=dtype, W=W, b=b, x=x, y=y)
    size = {"full": case.samples, "mini": task.size, "stochastic": 1}[setup.batching]
    epochs = math.ceil(setup.steps * size / case.samples)
    batches = draw_batches(generator(seed, setup.task, "batches"), case.samples, size, epochs)[: setup.steps]
    return split, case, Plan(batches, setup.optimiser, setup.schedule, setup.clipping)


# --- one run


class Apart(NamedTuple):
    """The reference's own run, θ, a row a step, and how far any two of it and its perturbed runs part, a row a step."""

    reference: Array
    distances: Array


def apart(case: Case, plan: Plan, seed: int, name: str) -> Apart:
    """What a free-running engine is held against."""
    with np.errstate(all="ignore"):  # what is not finite leaves every envelope
        rows = list(ensemble(case, plan, generator(seed, name, "ensemble")))
    return Apart(np.array([theta for theta, _ in rows]), np.array([distances for _, distances in rows]))


def run(
    adapter: Adapter, device: str, setup: Setup, dtype: str, drawn: tuple[Split, Case, Plan], right: Apart
) -> Record:
    """Train an engine, audit every step, and hold the whole run against the envelope."""
    split, case, plan = drawn
    tally, clock = Tally(), Clock(adapter)
    curves: dict[str, list[float]] = {"loss": [], "ratio": [], "distance": [], "validation": []}
    epoch = math.ceil(case.samples / len(plan.batches[0]))
    verdict, reason, first, last = None, None, None, None
    try:
        if (able := trains(adapter, case, plan)) is not True:
            verdict, reason = "not-run", str(able)
        else:
            with np.errstate(all="ignore"):  # what is not finite is a finding, not a warning
                for number, audited in enumerate(steps(adapter, device, case, plan, tally)):
                    last = audited.step
                    first = first or first_break(number, audited.findings)
                    curves["ratio"].append(shortened(audited.ratio))
                    curves["loss"].append(float(last.trace.loss))
                    away = flat(last.new_W, last.new_b) - right.reference[number]
                    curves["distance"].append(float(np.linalg.norm(away)))
                    if (number + 1) % epoch == 0 and is_one_hot(case.y):
                        curves["validation"].append(predicted(case, last, split.validation))
    except CaseError as error:  # a weight is no number of the format
        verdict, reason = "breaks", f"step {len(curves['loss'])}: {error}"
    except FAILURES as error:
        verdict, reason = failure(error, f"step {len(curves['loss'])}")
    return {
        "id": cell_id(adapter.name, device, dtype, setup.name),
        **about(adapter.name, device, dtype, setup.names),
        "task": setup.task,
        "optimiser": setup.optimiser.name,
        "hyperparameters": dict(setup.optimiser.hyperparameters),
        "schedule": {"name": setup.schedule.name, **setup.schedule.parameters},
        "clipping": setup.clipping and {"form": setup.clipping.form, "limit": setup.clipping.limit},
        "batching": setup.batching,
        "steps": len(curves["loss"]),
        **outcome(tally, verdict, reason, clock),
        "first": first,
        "free": None if last is None else free(curves["distance"], right.distances),
        "curves": curves,
        "scores": {} if last is None or verdict else scores(adapter, case, last, split),
    }


# --- what is known of the frameworks


class Known(NamedTuple):
    """Where a framework departs from a line, in float64, and what shows it."""

    name: str
    engines: tuple[str, ...]
    equations: tuple[str, ...]
    note: str
    code: str


KNOWN = (
    Known(
        "torch.optim.NAdam: mu_product",
        ("torch-eager",),
        ("nadam: mu_product", "nadamw: mu_product"),
        "torch.optim.NAdam keeps the product of its momenta in float32, whatever the format of the parameters.",
        """\
import torch

w = torch.ones(1, dtype=torch.float64, requires_grad=True)
optimiser = torch.optim.NAdam([w])
w.grad = torch.ones_like(w)
optimiser.step()
product = optimiser.state[w]["mu_product"]
print(product.dtype, product.item() - 0.9 * (1 - 0.5 * 0.96**0.004))
""",
    ),
    Known(
        "optax.schedules: float32",
        ("jax-jit", "jax-whole"),
        ("schedule: η",),
        "optax.exponential_decay and linear_schedule compute the rate in float32, with jax_enable_x64 too: they divide "
        "an int32 count. cosine_decay_schedule does not.",
        """\
import jax
import optax

jax.config.update("jax_enable_x64", True)
rate = optax.exponential_decay(0.1, 1, 0.9)(jax.numpy.int32(3))
print(rate.dtype, float(rate) - 0.1 * 0.9**3)
""",
    ),
)
"""Every one that a run may meet."""


def explanation(record: Record) -> str | None:
    """The name of what is known to break a run: all that does not hold in it must be."""
    known = [
        next((k.name for k in KNOWN if record["engine"] in k.engines and finding["equation"] in k.equations), None)
        for finding in record["findings"]
    ]
    return known[0] if known and all(known) and record["dtype"] == "float64" and record["reason"] is None else None


def first_break(number: int, findings: Sequence[Any]) -> Record | None:
    """The step, equation and layer of the first finding that does not hold."""
    for finding in findings:
        if not finding.holds:
            return {"step": number, "equation": finding.equation, "layer": finding.layer, "ratio": badness(finding)}
    return None


def free(distance: Sequence[float], distances: Array) -> Record:
    """How a free-running engine stands to the envelope: the largest share of it, and where it first was outside."""
    limit = envelope(distances)
    ratio, left = outside(np.array(distance), limit[: len(distance)])
    return {"ratio": shortened(ratio), "left": left, "growth": growth(distances), "envelope": limit.tolist()}


def scores(adapter: Adapter, case: Case, last: Step, split: Split) -> Record:
    """The loss and, of classes, the metrics of the trained network on each set, by the engine's own forward pass."""
    return {
        name: of_set(adapter, case.with_parameters(last.new_W, last.new_b).on_batch(*getattr(split, name)))
        for name in split._fields
    }


def of_set(adapter: Adapter, case: Case) -> Record:
    """The metrics on one set; none but the loss where y are no classes."""
    trace = adapter.trace(case)
    found: Record = {"loss": float(trace.loss)}
    if trace.a is None or not is_one_hot(case.y):
        return found
    classes, true = trace.a[case.last].argmax(axis=1), case.y.argmax(axis=1)
    C = confusion_matrix(true, classes, case.y.shape[1])
    averages = {name: float(f(C, "macro")) for name, f in (("precision", precision), ("recall", recall), ("f1", f1))}
    return found | {
        "accuracy": accuracy(trace.a[case.last], case.y),
        **averages,
        "confusion": C.tolist(),
        "predicted": classes.tolist(),
    }


def is_one_hot(y: Array) -> bool:
    """Whether every row is the label of one class."""
    return bool(((y == 0) | (y == 1)).all() and (y.sum(axis=1) == 1).all())


# --- many runs


SPREAD, DIGITS = "spread", "digits"

PARTS: dict[str, Callable[[int], list[Setup]]] = {
    SPREAD: spread,
    DIGITS: lambda epochs: [drawn_in_report(epochs)],
}
"""The setups of a part, of the steps or epochs asked for."""


class Unit(NamedTuple):
    """The runs of one task in one dtype, which a worker makes in one go: programs are compiled for its shapes."""

    part: str
    size: int
    task: str
    engines: tuple[str, ...]
    device: str
    dtype: str
    seed: int

    @property
    def setups(self) -> list[Setup]:
        """In their order."""
        return [setup for setup in PARTS[self.part](self.size) if setup.task == self.task]


def units(part: str, size: int, engines: Sequence[str], device: str, dtypes: Sequence[str], seed: int) -> list[Unit]:
    """A unit for each task and dtype."""
    tasks = dict.fromkeys(setup.task for setup in PARTS[part](size))
    return [Unit(part, size, task, tuple(engines), device, dtype, seed) for task in tasks for dtype in dtypes]


def run_unit(unit: Unit) -> list[Record]:
    """The records of a unit, setup by setup."""
    return list(runs(unit))


def runs(unit: Unit) -> Iterator[Record]:
    for setup in unit.setups:
        drawn = start(setup, unit.dtype, unit.seed)
        _, case, plan = drawn
        right = apart(case, plan, unit.seed, setup.name)
        for engine in unit.engines:
            adapter = loaded(engine, unit.device)
            if engine == "jax-whole" and not compiles(setup):
                continue
            record = run(adapter, unit.device, setup, unit.dtype, drawn, right)
            yield {**record, "explained": explanation(record)}


def compiles(setup: Setup) -> bool:
    """Whether jax-whole makes a run: it compiles a program for each network and batch."""
    return setup.names == TASKS[setup.task].networks[0] and setup.batching == "mini"
