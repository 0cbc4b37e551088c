"""Cases for honest engines, from ordinary to adversarial, each made from the seed, its kind, dtype and index alone."""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple
from zlib import crc32

import numpy as np

from reference import equations as eq
from reference.activations import HIDDEN
from reference.arrays import Array
from reference.case import Case, Trace
from reference.cases import COMBINATIONS, LARGEST_IN_HALF, LARGEST_TOTAL_INPUT, Combination, Shape, draw_case, tempered
from reference.losses import LOSSES
from reference.network import trace as reference_trace
from reference.rounding import (
    FORMATS,
    HALF,
    LARGEST,
    LIMITS,
    carried_value,
    rounded,
    rounding,
    total_input_error,
    value_error,
)
from reports.running.seeds import generator

DrawCase = Callable[[np.random.Generator, Combination, Shape, str], Case]


# --- kinds of draw

USUAL, WIDE, DEEP = Shape((6, 8, 4, 6), 8), Shape((16, 256, 256), 4), Shape((5,) * 13, 3)
ALONE, NARROW = Shape(USUAL.widths, 1), Shape((1, 1, 1, 1), 3)
"""The shapes of all draws: few, since JAX compiles a layer for each."""


def ordinary(rng: np.random.Generator, names: Combination, shape: Shape, dtype: str) -> Case:
    """As a campaign draws; one in two has the usual parameters."""
    return draw_case(rng, names, shape, dtype, usual=rng.random() < 0.5)


def scaled(lowest: float, highest: float) -> DrawCase:
    """Ordinary weights times 2^k in every layer, k even between the two; not tempered, so that z goes anywhere."""

    def draw(rng: np.random.Generator, names: Combination, shape: Shape, dtype: str) -> Case:
        case = ordinary(rng, names, shape, dtype)
        factors = {l: 2 ** rng.uniform(lowest, highest) for l in case.layers}
        W = {l: rounded(case.W[l] * factors[l], dtype) for l in case.layers}
        return within_poles(case.with_parameters(W, case.b))

    return draw


def saturated(rng: np.random.Generator, names: Combination, shape: Shape, dtype: str) -> Case:
    """Biases of ±2^k, k even between 3 and at most 10, beside ordinary weights: functions at their asymptotes."""
    case, highest = ordinary(rng, names, shape, dtype), rng.uniform(3, 10)
    sizes = {l: 2 ** rng.uniform(3, highest, size=b.shape) for l, b in case.b.items()}
    b = {l: rounded(rng.choice([-1, 1], size=size.shape) * size, dtype) for l, size in sizes.items()}
    return within_poles(case.with_parameters(case.W, b))


def within_poles(case: Case) -> Case:
    """The Case, tempered if its loss has poles, to which a saturated probability is rounded."""
    return tempered(case) if has_poles(case) else case


def has_poles(case: Case) -> bool:
    """Whether the loss is one on probabilities: infinite at 0 and 1."""
    return case.criterion.domain == (0.0, 1.0)


def on_kinks(rng: np.random.Generator, names: Combination, shape: Shape, dtype: str) -> Case:
    """Total inputs exactly at kinks, bends, 0 and ±1, or one number beside them; residuals of 0, or at a loss's bend.

    Small integers make W a exact, and the bias of a unit takes one sample to the point.
    """
    case = ordinary(rng, names, shape, dtype)
    x = a = rng.integers(-3, 4, size=case.x.shape).astype(float)
    W, b = dict(case.W), dict(case.b)
    for l in case.layers:
        f = case.activation(l)
        limit = LARGEST_IN_HALF if dtype in HALF and l == case.last and has_poles(case) else LARGEST_TOTAL_INPUT
        points = [0.0, 1.0, -1.0, *(kink.at for kink in f.kinks), *f.bends]
        grid = rng.integers(-1, 2, size=W[l].shape).astype(float)
        size = np.abs(a @ grid.T).max()
        W[l] = rounded(grid * 2.0 ** -np.ceil(np.log2(max(size / (limit / 4), 1))), dtype)
        at = rounded(rng.choice(np.array(points), size=len(grid)), dtype).astype(FORMATS[dtype])
        at = np.where(rng.random(len(at)) < 0.25, np.nextafter(at, rng.choice([-8, 8], len(at)).astype(at.dtype)), at)
        sample = rng.integers(case.samples, size=len(grid))
        b[l] = rounded(at.astype(float) - (a @ W[l].T)[sample, np.arange(len(grid))], dtype)
        a = rounded(f.value(rounded(eq.total_input(W[l], b[l], a), dtype)), dtype)
    y = case.y
    if LOSSES[names.loss].labels == "real":
        bend = next(iter(case.criterion.parameters.values()), 1.0)
        beside = rounded(a + rng.choice([0.0, 0.0, bend, -bend], size=a.shape), dtype)
        y = np.where(rng.random(a.shape) < 0.7, beside, y)
    return replace(case, W=W, b=b, x=x, y=y)


def subnormal(rng: np.random.Generator, names: Combination, shape: Shape, dtype: str) -> Case:
    """No, half or all numbers of an array lie between the smallest subnormal and 4 times the smallest normal number.

    Or just below the smallest normal, where what an engine reads as 0 is largest.
    """
    case = ordinary(rng, names, shape, dtype)
    lowest, normal = (float(np.log2(end)) for end in ends(dtype))

    def shrunk(array: Array) -> Array:
        span = (lowest, normal + 2) if rng.random() < 0.5 else (normal - 1, normal)
        small = rng.choice([-1, 1], size=array.shape) * 2 ** rng.uniform(*span, size=array.shape)
        return rounded(np.where(rng.random(array.shape) < rng.choice([0.0, 0.5, 1.0]), small, array), dtype)

    W, b = ({l: shrunk(array) for l, array in layers.items()} for layers in (case.W, case.b))
    y = shrunk(case.y) if LOSSES[names.loss].labels == "real" else case.y
    return tempered(replace(case, W=W, b=b, x=shrunk(case.x), y=y))


def ends(dtype: str) -> tuple[float, float]:
    """The smallest subnormal and the smallest normal number of a format."""
    return float(LIMITS[dtype].smallest_subnormal), float(LIMITS[dtype].smallest_normal)


def zeros(rng: np.random.Generator, names: Combination, shape: Shape, dtype: str) -> Case:
    """Some arrays are 0 throughout, some in half of their rows."""
    case = ordinary(rng, names, shape, dtype)

    def blanked(array: Array) -> Array:
        chance = rng.choice([0.0, 0.5, 1.0])
        return array * (rng.random((len(array), *[1] * (array.ndim - 1))) >= chance)

    W, b = ({l: blanked(array) for l, array in layers.items()} for layers in (case.W, case.b))
    return tempered(replace(case, W=W, b=b, x=blanked(case.x)))


def cancelling(rng: np.random.Generator, names: Combination, shape: Shape, dtype: str) -> Case:
    """Sums whose terms cancel: units and inputs in equal pairs, their weights nearly opposite, up to 2⁷ times as large.

    Samples come in pairs as well, with labels mirrored about a, so that their error terms cancel in (7a) and (7b).
    """
    case = ordinary(rng, names, shape, dtype)
    x = paired(paired(case.x.T).T)
    W, b = {}, {l: paired(case.b[l]) for l in case.layers}
    for l in case.layers:
        W[l] = paired(case.W[l])
        remainder = W[l][:, 1::2]
        W[l][:, 0::2] *= 2 ** rng.uniform(0, 7)
        W[l][:, 1::2] = remainder / 8 - W[l][:, 0::2]
        W[l] = rounded(W[l], dtype)
    case = tempered(replace(case, W=W, b=b, x=x))
    if LOSSES[names.loss].labels != "real":
        return case
    y = case.y.copy()
    a = reference_trace(case).a
    assert a is not None
    y[1::2] = rounded(2 * a[case.last][0::2] - y[0::2], dtype)
    return replace(case, y=y)


def paired(array: Array) -> Array:
    """Every other row a copy of the one before."""
    return np.repeat(array[0::2], 2, axis=0)


class Kind(NamedTuple):
    """A kind of draw: its shape, how it draws, and whether |z| goes beyond what a campaign draws."""

    shape: Shape
    draw: DrawCase
    beyond: bool = False


KINDS = {
    "ordinary": Kind(USUAL, ordinary),
    "wide": Kind(WIDE, ordinary),
    "deep": Kind(DEEP, ordinary),
    "single sample": Kind(ALONE, ordinary),
    "single unit": Kind(NARROW, ordinary),
    "huge weights": Kind(USUAL, scaled(1, 10), beyond=True),
    "tiny weights": Kind(USUAL, scaled(-16, -1)),
    "kinks": Kind(USUAL, on_kinks),
    "saturated": Kind(USUAL, saturated, beyond=True),
    "subnormal": Kind(USUAL, subnormal),
    "zeros": Kind(USUAL, zeros),
    "cancelling": Kind(USUAL, cancelling),
}

STRETCH = 50
"""Cases in a row that have one hidden activation."""

OF_HIDDEN = {f: tuple(names for names in COMBINATIONS if names.hidden == f) for f in HIDDEN}


def combination_of(kind: str, dtype: str, index: int) -> Combination:
    """The combinations of one hidden activation in turn, then of the next; each kind and dtype begins elsewhere."""
    start = crc32(f"{kind} {dtype}".encode())
    names = OF_HIDDEN[HIDDEN[(start + index // STRETCH) % len(HIDDEN)]]
    return names[(start + index) % len(names)]


def case_of(seed: int, kind: str, dtype: str, index: int) -> Case:
    """The Case of that index: the first drawn that has an answer in its format; raises Unanswerable."""
    return draw_answerable(seed, kind, dtype, index)[0]


MOST_DRAWS = 1000


class Unanswerable(ValueError):
    """A combination that has no answer in such a draw: log-softmax of one unit is 0, which has no direction."""


def draw_answerable(seed: int, kind: str, dtype: str, index: int) -> tuple[Case, int]:
    """The Case of an index, and how many were drawn before it that have no answer; raises Unanswerable."""
    rng = generator(seed, "alarms", kind, dtype, index)
    names, (shape, draw, _) = combination_of(kind, dtype, index), KINDS[kind]
    with np.errstate(all="ignore"):
        for redraws in range(MOST_DRAWS):
            if answerable(case := draw(rng, names, shape, dtype)):
                return case, redraws
    raise Unanswerable(f"{', '.join(names)}: none of {MOST_DRAWS} draws of {kind!r} in {dtype} has an answer")


def answerable(case: Case) -> bool:
    """Whether the equations give a number for everything, so small that the format holds twice a batch of it.

    A loss has none at a pole, and a format none beyond its largest number, which a sum over the batch and a square,
    twice the half squared error, are to stay below.
    """
    trace = reference_trace(case)
    return bool(largest(case, trace) * 2 * case.samples <= LARGEST[case.dtype]) and directed(case, trace)


def directed(case: Case, trace: Trace) -> bool:
    """Whether a has a direction where the loss asks for one: in no sample do the last layer's roundings make it 0."""
    if LOSSES[case.loss].labels != "direction":
        return True
    assert trace.z is not None and trace.a is not None  # noqa: PT018
    l, f, r = case.last, case.f_o, rounding(case.dtype)
    a_prev = trace.a[l - 1] if l > 1 else case.x
    moved = carried_value(f, trace.z[l], total_input_error(case.W[l], case.b[l], a_prev, r))
    return bool((np.abs(trace.a[l]) > value_error(f, trace.z[l], r) + moved).any(axis=1).all())


def largest(case: Case, trace: Trace) -> float:
    """The largest size of a number in a trace, or of a factor or a sum of sizes on the way to it; NaN if one is NaN."""
    assert trace.z is not None and trace.a is not None and trace.delta is not None and trace.losses is not None  # noqa: PT018
    a, loss = {0: case.x, **trace.a}, case.criterion
    on_the_way = [np.abs(a[l - 1]) @ np.abs(case.W[l]).T for l in case.layers]  # (N, n^l)
    on_the_way += [np.abs(trace.delta[l]) @ np.abs(case.W[l]) for l in case.layers[1:]]  # (N, n^{l-1})
    on_the_way.append(loss.derivative(loss.argument(trace.z[case.last], a[case.last]), case.y))
    layers = (trace.z, trace.a, trace.delta, trace.dW, trace.db)
    arrays = [trace.losses, *on_the_way, *(array for each in layers for array in each.values())]
    return float(np.max([np.abs(array).max() for array in arrays]))
