"""The training runs: tasks, optimisers, schedules, clippings, batches."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from reference.case import Case
from reference.cases import Combination
from reference.clipping import Clipping
from reference.datasets import Split, digits, spirals, teacher, xor
from reference.optimisers import OPTIMISERS, Optimiser, optimiser
from reference.schedules import Schedule
from reference.training import Plan, draw_batches
from reports.running.seeds import generator
from reports.trajectories.steps import initial

# --- what is trained


class LearningTask(NamedTuple):
    """What is learned: the data, widths of the network, samples of a mini-batch, and networks to learn it."""

    data: Callable[[np.random.Generator], Split]
    widths: tuple[int, ...]
    size: int
    networks: tuple[Combination, ...]


DIGITS_NETWORK = Combination("tanh", "softmax", "categorical_cross_entropy_on_logits")

TASKS = {
    "digits": LearningTask(
        digits,
        (64, 32, 10),
        32,
        (DIGITS_NETWORK, Combination("relu", "log_softmax", "negative_log_likelihood")),
    ),
    "xor": LearningTask(
        xor,
        (2, 8, 8, 2),
        32,
        (
            Combination("sigmoid", "sigmoid", "binary_cross_entropy"),
            Combination("gelu", "softmax", "smoothed_cross_entropy_on_logits"),
            Combination("leaky_relu", "sigmoid", "mean_squared_error"),
        ),
    ),
    "spirals": LearningTask(
        spirals,
        (2, 16, 16, 2),
        32,
        (
            Combination("silu", "sigmoid", "binary_cross_entropy_on_logits"),
            Combination("elu", "softmax", "categorical_cross_entropy"),
            Combination("mish", "softmax", "categorical_cross_entropy_with_classes"),
        ),
    ),
    "teacher": LearningTask(
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
"""η, where it is not RATE."""

RATE = 0.01
"""η of the Adam family."""

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
    """A training run: what is learned, and how.

    The data are drawn under the name `draw`, from the seed and the task.
    """

    task: str
    names: Combination
    optimiser: Optimiser
    schedule: Schedule
    clipping: Clipping | None
    batching: str
    steps: int
    draw: str = "data"

    @property
    def name(self) -> str:
        """digits/tanh-softmax-…/adam/mini"""
        clipping = [] if self.clipping is None else [f"clipped by {self.clipping.form}"]
        usual = OPTIMISERS[self.optimiser.name].hyperparameters
        others = [
            f"{name} {h:g}"
            for name, h in self.optimiser.hyperparameters.items()
            if name != "learning_rate" and h != usual[name]
        ]
        parts = (self.optimiser.name, *others, self.schedule.name, *clipping, self.batching)
        return "/".join((self.task, "-".join(self.names), ", ".join(parts)))


def optimiser_setups(count: int) -> list[Setup]:
    """Every optimiser on every task; networks, schedules, clippings and batchings take turns.

    And once more on xor without a schedule and clipping, so that no engine with the optimiser is left out.
    """
    falling = schedules(count)
    setups = [Setup("xor", TASKS["xor"].networks[0], form, Schedule(), None, "mini", count) for form in SETTINGS]
    for i, form in enumerate(SETTINGS):
        for j, (name, task) in enumerate(TASKS.items()):
            network = task.networks[(i // len(TASKS) + j) % len(task.networks)]
            schedule, clipping = falling[(i + j) % len(falling)], CLIPPINGS[(i + 3 * j) % len(CLIPPINGS)]
            batching = BATCHINGS[(i + 2 * j) % len(BATCHINGS)]
            setups.append(Setup(name, network, form, schedule, clipping, batching, count))
    return setups


EPOCH = 40
"""Mini-batches of the 1,258 digits to train on."""


def plotted_setup(epochs: int) -> Setup:
    """The run whose curves the report shows."""
    return adam_on_digits(epochs * EPOCH, 0.003)


def adam_on_digits(steps: int, learning_rate: float) -> Setup:
    """Adam on digits."""
    return Setup(
        "digits", DIGITS_NETWORK, optimiser("adam", learning_rate=learning_rate), Schedule(), None, "mini", steps
    )


class DrawnRun(NamedTuple):
    """The data, the network at its initial weights with the training set as its batch, and the plan."""

    split: Split
    case: Case
    plan: Plan


def draw_run(setup: Setup, dtype: str, seed: int) -> DrawnRun:
    """The run of a setup in a format, drawn from the seed."""
    task = TASKS[setup.task]
    split = task.data(generator(seed, setup.task, setup.draw))
    x, y = split.train
    W, b = initial(generator(seed, setup.task, "weights"), task.widths, dtype)
    case = Case(*setup.names, dtype=dtype, W=W, b=b, x=x, y=y)
    size = {"full": case.samples, "mini": task.size, "stochastic": 1}[setup.batching]
    epochs = math.ceil(setup.steps * size / case.samples)
    batches = draw_batches(generator(seed, setup.task, "batches"), case.samples, size, epochs)[: setup.steps]
    return DrawnRun(split, case, Plan(batches, setup.optimiser, setup.schedule, setup.clipping))


def compiles(setup: Setup) -> bool:
    """Whether jax-whole makes a run: it compiles a program for each network and batch."""
    return setup.names == TASKS[setup.task].networks[0] and setup.batching == "mini"
