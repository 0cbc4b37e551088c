"""The smallest detectable fault: by how little a reported number may be wrong and still be flagged, in units of u.

A fault multiplies elements of an honest engine's array by 1 ± ε before they are stored. As it grows, each of them moves
in one direction through the interval expected ± allowed, which itself stays where it is; so there is one critical ε,
from which on the audit flags the fault. It is computed, not searched for: the first number of the format outside the
interval is reached where rounding turns to it, halfway from the number before it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np

from adapters.contract import ENGINES, Adapter, LayerVjp, Trainer, arithmetic_of, load
from reference import audit
from reference import rounding as rd
from reference.arithmetic import Arithmetic
from reference.arrays import Array
from reference.audit import Finding
from reference.case import Case
from reference.cases import Combination, Shape, draw_case
from reference.rounding import DTYPES, FORMATS, UNIT_ROUNDOFF, rounded
from reference.training import Step, descent
from reports.faults.limits import COMPOSED, ELEMENTS, JACOBIAN, MEASURED, UPDATE
from reports.results.fault_records import Sizes, SmallestRow

LEARNING_RATE = 0.1
"""η of (2a, 2b): not a binary fraction, so that its rounding counts."""

SHAPE = Shape((8, 16, 16, 4), 32)
"""A batch of a power of two: δ, which is N times what an autodiff gives, is then exact."""

NETWORKS = {
    Combination("tanh", "sigmoid", "half_squared_error"): MEASURED,
    Combination("tanh", "softmax", "categorical_cross_entropy"): ("9",),  # the sum over k of (9)
}
"""The networks, and the equations that are measured on each."""

FIELDS = {
    "z": "z",
    "12": "z",
    "a": "a",
    "8": "losses",
    "1": "loss",
    "9": "delta",
    "14": "delta",
    "7a": "dW",
    "10a": "dW",
    "7b": "db",
    "10b": "db",
    "2a": "new_W",
    "2b": "new_b",
}
"""The array that an equation is about; those of `JACOBIAN` are products of a layer's vjp."""

FLAGGED = 0.95
"""The share of the draws in which a detectable fault is flagged."""

VERIFIED = 10
"""Draws of each equation in which the audit itself is run on either side of the critical ε."""

MARGIN = 2.0**-12
"""How near on either side. Where a number is stored, ε ≥ u/2; in bfloat16, which NumPy rounds to by way of float32, a
change of 2⁻⁹ is then told within 2⁻²⁴/2⁻⁹ = 2⁻¹⁵ of itself, and in the other formats better."""


class MeasurementError(ValueError):
    """A measurement that would mean nothing; its message is one line."""


# --- the critical ε


@dataclass(frozen=True)
class Grid:
    """The numbers that an array can hold: `scale` times those of `dtype`."""

    dtype: str
    scale: int = 1

    def nearest(self, values: Array) -> Array:
        """The values, rounded to the grid."""
        return self.scale * rounded(values / self.scale, self.dtype)

    def next(self, values: Array, direction: Array) -> Array:
        """The neighbours of numbers of the grid, upwards where `direction` is 1, downwards where it is −1."""
        format = FORMATS[self.dtype]
        there = np.nextafter((values / self.scale).astype(format), (direction * np.inf).astype(format))
        return self.scale * there.astype(np.float64)


def perturbed(observed: Array, signs: Array, epsilon: float, grid: Grid) -> Array:
    """observed · (1 + sign ε), stored; 0 stands for an element that is left as it is.

    As a sum, because 1 + ε has no digits left for an ε of a few u of float64.
    """
    return grid.nearest(observed + signs * epsilon * observed)


def critical(observed: Array, expected: Array, allowed: Array, signs: Array, grid: Grid) -> Array:
    """The ε of each element at which `perturbed` leaves expected ± allowed; infinite for an element that stays.

    Raises MeasurementError where an observed number is outside already, is not one of the grid, or is near the largest.
    """
    require(bool(observed.any()), "is zero everywhere")
    require(not outside(observed, expected, allowed).any(), "is flagged before anything is wrong")
    require(np.array_equal(grid.nearest(observed), observed), f"holds no {grid.scale} times a number of {grid.dtype}")
    epsilon = np.full(observed.shape, np.inf)
    moves = signs * observed != 0
    o, e, up = observed[moves], expected[moves], np.sign(signs * observed)[moves]
    e_allowed = np.broadcast_to(allowed, observed.shape)[moves]
    first = grid.nearest(e + up * e_allowed)
    while (inside := ~outside(first, e, e_allowed)).any():
        first = np.where(inside, grid.next(first, up), first)
    last = grid.next(first, -up)  # inside: an end of the interval is nearer to `first`, or `first` was stepped to
    require(bool(np.isfinite(first).all()), f"may be as large as {grid.dtype} goes")
    epsilon[moves] = (np.abs(last - o) + np.abs(first - last) / 2) / np.abs(o)
    return epsilon


def outside(observed: Array, expected: Array, allowed: Array) -> Any:
    """Whether the ratio exceeds 1, in the audit's own arithmetic; NaN does."""
    return ~(np.abs(observed - expected) / allowed <= 1)


def require(holds: bool, what: str) -> None:
    """Raise MeasurementError with what an honest array should not be, unless it holds."""
    if not holds:
        raise MeasurementError(f"an honest array {what}")


# --- one step of an honest engine

ArrayCheck = tuple[str, int, Array, Array, Array]
"""A check of the audit: equation, layer, and as arrays what is observed, expected and allowed."""


@dataclass(frozen=True)
class HonestStep:
    """One step of an engine on a drawn Case, and its vjp of every layer: a cotangent and its three products."""

    engine: str
    arithmetic: Arithmetic
    case: Case
    step: Step
    vjps: dict[int, tuple[Array, tuple[Array, Array, Array]]]


def draw_step(adapter: Adapter, combination: Combination, dtype: str, rng: np.random.Generator) -> HonestStep:
    """One step of an engine on a drawn Case, and its vjps; raises MeasurementError where it lacks the network."""
    case = draw_case(rng, combination, SHAPE, dtype)
    if (reason := adapter.supports(case)) is not True:
        raise MeasurementError(f"engine {adapter.name!r} cannot be measured: {reason}")
    plan = descent((np.arange(case.samples),), LEARNING_RATE)
    (step,) = cast(Trainer, adapter).train(case, plan)
    vjp, vjps = cast(LayerVjp, adapter).layer_vjp, {}
    for l in case.layers:
        cotangent = rounded(rng.normal(size=(case.samples, case.widths[l])), dtype)
        vjps[l] = cotangent, vjp(case, l, layer_input(case, step, l), cotangent)
    return HonestStep(adapter.name, arithmetic_of(adapter), case, step, vjps)


def layer_input(case: Case, step: Step, layer: int) -> Array:
    """z^{l-1}; z^0 is x."""
    z, _, _ = audit.opened(case, step.trace)
    return z[layer - 1] if layer > 1 else case.x


@audit.quiet
def checks(honest: HonestStep) -> list[ArrayCheck]:
    """Every check of `MEASURED` in every layer."""
    case, step = honest.case, honest.step
    r = rd.rounding(case.dtype, honest.arithmetic)
    every_check = [
        *audit.local(case, step.trace, r),
        *audit.updated(case, step.trace, step.new_W, step.new_b, LEARNING_RATE, rd.rounding(case.dtype)),
        *audit.composed(case, step.trace, r),
        *(check for l in case.layers for check in audit.jacobian(case, step.trace, l, *honest.vjps[l], r)),
    ]
    return [
        (equation, l, *(np.asarray(o), np.asarray(e), np.asarray(allowed)))
        for equation, l, o, e, allowed in every_check
    ]


def grid(honest: HonestStep, equation: str) -> Grid:
    """The numbers that the engine's array can hold: δ is N times what its autodiff gives, but in `numpy` δ itself."""
    averaged = FIELDS.get(equation) == "delta" and honest.engine != "numpy"
    return Grid(honest.case.dtype, honest.case.samples if averaged else 1)


def reporting(honest: HonestStep, equation: str, layer: int, array: Array) -> HonestStep:
    """The same step, reporting another array where the equation looks."""
    if equation in JACOBIAN:
        of = differentiated(equation, layer)
        cotangent, products = honest.vjps[of]
        at = JACOBIAN.index(equation)
        others = cast(tuple[Array, Array, Array], (*products[:at], array, *products[at + 1 :]))
        return replace(honest, vjps={**honest.vjps, of: (cotangent, others)})
    field, updates = FIELDS[equation], equation in UPDATE
    owner: Any = honest.step if updates else honest.step.trace
    if field == "loss":
        changed = replace(owner, loss=float(array))
    elif field == "losses":
        changed = replace(owner, losses=array)
    else:
        changed = replace(owner, **{field: {**getattr(owner, field), layer: array}})
    return replace(honest, step=changed if updates else replace(honest.step, trace=changed))


def differentiated(equation: str, layer: int) -> int:
    """The layer whose vjp shows the equation: (13) is about the layer before."""
    return layer + 1 if equation == "13" else layer


def flagged(honest: HonestStep, equation: str, layer: int) -> bool:
    """Whether the audit itself finds that the equation does not hold in that layer."""
    findings = [f for f in audited(honest, equation, layer) if (f.equation, f.layer) == (equation, layer)]
    require(len(findings) == 1, f"has {len(findings)} findings of ({equation}) in layer {layer}, but should have one")
    return not findings[0].holds


def audited(honest: HonestStep, equation: str, layer: int) -> list[Finding]:
    """The findings of the audit that checks the equation."""
    case, step, arithmetic = honest.case, honest.step, honest.arithmetic
    if equation in UPDATE:
        return audit.audit_update(case, step.trace, step.new_W, step.new_b, LEARNING_RATE)
    if equation in JACOBIAN:
        of = differentiated(equation, layer)
        return audit.audit_jacobian(case, step.trace, of, *honest.vjps[of], arithmetic)
    return (audit.audit_composed if equation in COMPOSED else audit.audit)(case, step.trace, arithmetic)


def one(observed: Array, rng: np.random.Generator) -> Array:
    """A sign for one element, drawn among those that are not zero."""
    signs = np.zeros(observed.shape)
    signs.flat[rng.choice(np.flatnonzero(observed))] = rng.choice([-1.0, 1.0])
    return signs


def every(observed: Array, rng: np.random.Generator) -> Array:
    """A sign for every element."""
    return rng.choice([-1.0, 1.0], size=observed.shape)


SIGNS: dict[str, Callable[[Array, np.random.Generator], Array]] = {"one": one, "all": every}
"""In which direction a fault moves each element; 0 for one that it leaves."""


@audit.quiet
def smallest(check: ArrayCheck, signs: Array, grid: Grid) -> tuple[float, float]:
    """The critical ε of a fault, and the smallest allowed/|expected| of the elements that it changes: ∞ for a 0."""
    _, _, observed, expected, allowed = check
    epsilon = critical(observed, expected, allowed, signs, grid).min()
    moves = signs * observed != 0
    floor = np.broadcast_to(allowed, observed.shape)[moves] / np.abs(expected[moves])
    return float(epsilon), float(floor.min())


def verify(honest: HonestStep, check: ArrayCheck, signs: Array, epsilon: float) -> None:
    """Raise MeasurementError unless the audit flags a little more than ε and does not flag a little less."""
    equation, layer, observed, _, _ = check
    for factor, expected in ((1 + MARGIN, True), (1 - MARGIN, False)):
        array = perturbed(observed, signs, epsilon * factor, grid(honest, equation))
        if flagged(reporting(honest, equation, layer, array), equation, layer) is not expected:
            raise MeasurementError(
                f"({equation}) in layer {layer} of {honest.engine} in {honest.case.dtype} is "
                f"{'not ' if expected else ''}flagged at {factor} of the critical ε {epsilon!r}, but should"
                f"{'' if expected else ' not'} be"
            )


def measure(
    seed: int = 2026, dtypes: Sequence[str] = DTYPES, draws: int = 500, engine: str = "torch-eager"
) -> list[SmallestRow]:
    """How small a fault may be and still be flagged in 95 % of the draws, for each equation and dtype.

    A draw is a Case, a layer of it that has the equation, and a fault in one element and one in all. A row is
    {equation, dtype, engine, network, draws, verified, one, all}, and each of the two faults
    {in_u, median_in_u, floor_in_u, floor_median_in_u}, all relative and in units of u: the ε flagged in 95 % of the
    draws and in half of them; and the smallest allowed/|expected| of the same elements, 95th percentile and median.
    Raises MeasurementError for draws below 1, an unknown dtype or engine, and an honest trace that is flagged.
    """
    if draws < 1:
        raise MeasurementError(f"draws is {draws!r}, but should be at least 1")
    for what, names, known in (("dtype", dtypes, DTYPES), ("engine", [engine], tuple(ENGINES))):
        for name in names:
            if name not in known:
                raise MeasurementError(f"{what} {name!r} is unknown: choose from {', '.join(known)}")
    adapter = load(engine)
    return [
        row
        for dtype in dtypes
        for number, combination in enumerate(NETWORKS)
        for row in rows_of(adapter, combination, dtype, [seed, number, DTYPES.index(dtype)], draws)
    ]


def rows_of(
    adapter: Adapter, combination: Combination, dtype: str, seed: Sequence[int], draws: int
) -> Iterator[SmallestRow]:
    """The rows of one network and dtype."""
    equations = NETWORKS[combination]
    pairs: dict[tuple[str, str], list[tuple[float, float]]] = {
        (equation, elements): [] for equation in equations for elements in ELEMENTS
    }
    for i in range(draws):
        rng = np.random.default_rng([*seed, i])
        honest = draw_step(adapter, combination, dtype, rng)
        for equation, elements, pair in critical_in_drawn_layers(honest, equations, rng, i < VERIFIED):
            pairs[equation, elements].append(pair)
    for equation in equations:
        yield {
            "equation": equation,
            "dtype": dtype,
            "engine": adapter.name,
            "network": f"{combination.hidden} → {combination.output}, {combination.loss}",
            "draws": draws,
            "verified": min(draws, VERIFIED),
            "one": sizes(pairs[equation, "one"], UNIT_ROUNDOFF[dtype]),
            "all": sizes(pairs[equation, "all"], UNIT_ROUNDOFF[dtype]),
        }


def critical_in_drawn_layers(
    honest: HonestStep, equations: Sequence[str], rng: np.random.Generator, verified: bool
) -> Iterator[tuple[str, str, tuple[float, float]]]:
    """Equation, elements, and the critical ε and floor of a fault in them, for each equation in a drawn layer."""
    all_checks = checks(honest)
    for equation in equations:
        layers = [check for check in all_checks if check[0] == equation]
        check = layers[rng.integers(len(layers))]
        for elements in ELEMENTS:
            signs = SIGNS[elements](check[2], rng)
            pair = smallest(check, signs, grid(honest, equation))
            if verified:
                verify(honest, check, signs, pair[0])
            yield equation, elements, pair


def sizes(pairs: Sequence[tuple[float, float]], u: float) -> Sizes:
    """The 95th percentile and the median of critical ε and floor, in units of u."""
    epsilons, floors = np.array(pairs).T / u
    return {
        "in_u": at_least(FLAGGED, epsilons),
        "median_in_u": at_least(0.5, epsilons),
        "floor_in_u": at_least(FLAGGED, floors),
        "floor_median_in_u": at_least(0.5, floors),
    }


def at_least(share: float, sizes: Array) -> float:
    """The smallest of the sizes that at least that share of them does not exceed."""
    return float(np.quantile(sizes, share, method="inverted_cdf"))
