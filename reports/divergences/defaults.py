"""Defaults of the frameworks: calls that leave everything optional to them, and the formulas they may stand for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from reference import activations
from reference.activations import ACTIVATIONS
from reference.arrays import Array
from reference.losses import LOSSES
from reference.rounding import UNIT_ROUNDOFF, gamma
from reports.divergences import reproducers

A = np.array([[0.5, -1.5, 2.0], [3.0, 0.25, -0.75]])
LABELS = {
    "real": np.array([[0.0, 1.0, -1.0], [0.5, -2.0, 0.25]]),
    "direction": np.array([[1.0, 2.0, -2.0], [0.5, -2.0, 0.25]]),
    "probability": np.array([[0.5, 0.25, 1.0], [0.0, 0.75, 0.5]]),
    "distribution": np.array([[0.5, 0.25, 0.25], [0.0, 0.25, 0.75]]),
    "class": np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]),
    "sign": np.array([[1.0, -1.0, 1.0], [-1.0, 1.0, 1.0]]),
    "count": np.array([[0.0, 2.0, 1.0], [3.0, 1.0, 0.0]]),
}

REDUCTIONS: dict[str, Callable[[Array], Array]] = {
    "mean over the samples": lambda c: np.mean(c.sum(axis=1)),
    "mean over the elements": np.mean,
    "sum": np.sum,
    "one number a sample": lambda c: c.sum(axis=1),
    "one number an element": lambda c: c,
}


@dataclass(frozen=True)
class Default:
    """A call that leaves everything optional to the framework, and the formulas that it may then stand for.

    `formulas` give one number an element; the first is the equation's own, which is named by its reduction alone. Every
    reduction of each is a candidate. `defects` are the candidates that are not conventions.
    """

    function: str
    input: str
    arrays: Mapping[str, Array]
    formulas: Mapping[str, Array]
    sources: Mapping[str, str]
    defects: tuple[str, ...] = ()

    def candidates(self) -> dict[str, Array]:
        """Every answer that has a name."""
        if next(iter(self.formulas.values())).ndim < 2:
            return dict(self.formulas)
        return {
            f"{reduction}: {formula}".removesuffix(": "): reduce(c)
            for formula, c in self.formulas.items()
            for reduction, reduce in REDUCTIONS.items()
        }


def point(name: str, z: float, formulas: Mapping[str, float], torch: str, jax: str | None = None) -> Default:
    """A default of an activation, seen at one point."""
    sources = {"torch": torch} | ({"jax": jax} if jax else {})
    columns = {formula: np.array([value]) for formula, value in formulas.items()}
    return Default(name, f"z = {z!r}", {"z": np.array([z])}, columns, sources)


def reduced(name: str, torch: str | None, jax: str | None, **others: Callable[[Array, Array], Array]) -> Default:
    """The defaults of a loss, seen on two samples of three components."""
    loss = LOSSES[name]
    p, y = A, LABELS[loss.labels]
    if loss.domain == (0.0, 1.0):
        p = activations.sigmoid(p) if "sigmoid" in loss.outputs else activations.softmax(p)
    elif loss.domain == (-np.inf, 0.0):
        p = activations.log_softmax(p)
    formulas = {"": loss.value(p, y)} | {other.replace("_", " "): f(p, y) for other, f in others.items()}
    sources = {framework: code for framework, code in (("torch", torch), ("jax", jax)) if code}
    return Default(name, "two samples of three components", {"p": p, "y": y}, formulas, sources)


def defaults() -> tuple[Default, ...]:
    """Every default of activations and losses."""
    f = {name: activation.value for name, activation in ACTIVATIONS.items()}
    one, minus = np.array([1.0]), np.array([-1.0])

    def at(name: str, z: Array, **parameters: float) -> float:
        return float(activations.activation(name, parameters).value(z).item())

    return (
        point(
            "gelu",
            1.0,
            {"erf form": f["gelu"](one).item(), "tanh form": f["gelu_tanh"](one).item()},
            "F.gelu(z)",
            "jax.nn.gelu(z)",
        ),
        point(
            "softplus",
            1.0,
            {"beta = 1": at("softplus", one), "beta = 2": at("softplus", one, beta=2.0)},
            "F.softplus(z)",
            "jax.nn.softplus(z)",
        ),
        point(
            "elu",
            -1.0,
            {"alpha = 1": at("elu", minus), "alpha = 0.5": at("elu", minus, alpha=0.5)},
            "F.elu(z)",
            "jax.nn.elu(z)",
        ),
        point(
            "celu",
            -1.0,
            {"alpha = 1": at("celu", minus), "alpha = 0.5": at("celu", minus, alpha=0.5)},
            "F.celu(z)",
            "jax.nn.celu(z)",
        ),
        point(
            "leaky_relu",
            -1.0,
            {"slope = 0.01": -0.01, "slope = 0.2": -0.2, "slope = 0.3": -0.3},
            "F.leaky_relu(z)",
            "jax.nn.leaky_relu(z)",
        ),
        reduced(
            "half_squared_error",
            "F.mse_loss(p, y)",
            "optax.l2_loss(p, y)",
            without_the_half=lambda p, y: np.square(p - y),
        ),
        reduced(
            "mean_squared_error",
            "F.mse_loss(p, y)",
            "optax.squared_error(p, y)",
            not_divided_by_the_components=lambda p, y: np.square(p - y),
        ),
        reduced("absolute_error", "F.l1_loss(p, y)", None),
        reduced("huber", "F.huber_loss(p, y)", "optax.huber_loss(p, y)"),
        reduced("smooth_l1", "F.smooth_l1_loss(p, y)", "optax.huber_loss(p, y)"),
        reduced(
            "gaussian_nll",
            "F.gaussian_nll_loss(p, y, torch.ones_like(p))",
            "-jax.scipy.stats.norm.logpdf(y, p)",
            without_its_constant=lambda p, y: np.square(p - y) / 2,
        ),
        reduced(
            "hinge",
            "F.margin_ranking_loss(p, torch.zeros_like(p), y)",
            "optax.hinge_loss(p, y)",
            with_a_margin_of_0=lambda p, y: np.maximum(-y * p, 0),
        ),
        reduced("log_cosh", None, "optax.log_cosh(p, y)"),
        reduced(
            "poisson_nll",
            "F.poisson_nll_loss(p, y)",
            None,
            of_the_rate_itself=lambda p, y: p - y * np.log(np.abs(p) + 1e-8),
        ),
        reduced("cosine_distance", "1 - F.cosine_similarity(p, y)", "optax.cosine_distance(p, y)"),
        reduced("binary_cross_entropy", "F.binary_cross_entropy(p, y)", None),
        reduced(
            "binary_cross_entropy_on_logits",
            "F.binary_cross_entropy_with_logits(p, y)",
            "optax.sigmoid_binary_cross_entropy(p, y)",
        ),
        reduced("categorical_cross_entropy_on_logits", "F.cross_entropy(p, y)", "optax.softmax_cross_entropy(p, y)"),
        reduced(
            "categorical_cross_entropy_with_classes",
            "F.cross_entropy(p, y.argmax(dim=1))",
            "optax.softmax_cross_entropy_with_integer_labels(p, y.argmax(axis=1))",
        ),
        reduced("negative_log_likelihood", "F.nll_loss(p, y.argmax(dim=1))", None),
        reduced("kullback_leibler", "F.kl_div(p, y)", "optax.kl_divergence(p, y)"),
    )


SLACK = gamma(64, 2 * UNIT_ROUNDOFF["float64"])
"""Six components, each of a few functions accurate to at most 8 roundings, summed and divided; on either side."""

UNKNOWN = "none of the candidates"


def recognised(printed: str, candidates: Mapping[str, Array]) -> str:
    """The first candidate that the printed numbers are, within the roundings of a few sums and functions in float64."""
    try:
        numbers = np.array(reproducers.numbers_in(printed))
    except ValueError:  # the text of an error
        return UNKNOWN
    for name, value in candidates.items():
        expected = value.ravel()
        if numbers.shape == expected.shape and (np.abs(numbers - expected) <= SLACK * np.abs(expected)).all():
            return name
    return UNKNOWN
