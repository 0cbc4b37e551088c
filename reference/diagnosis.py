"""The diagnosis of a finding: the known mistake that gives the numbers that were observed, in a sentence.

A hypothesis is the equation that breaks with one thing otherwise, an operand, a function or a factor, on the trace's
own operands, and the allowance that equation would then have. It is accepted where every observed number is within that
allowance and the right numbers are not; a single element that deviates refutes it. Of several that are accepted, all
are named: the numbers do not tell them apart.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from reference import equations as eq
from reference import rounding as rd
from reference.activations import ACTIVATIONS, HIDDEN, OUTPUT, Activation
from reference.arithmetic import UNDECLARED, Arithmetic
from reference.arrays import Array, Layers, as_float64
from reference.audit import Check, Finding, admissible, composed, end_to_end, finding, local, quiet, transported
from reference.case import Case, Trace, fits
from reference.losses import LABELS, LOSSES, Loss

IDENTITY = ACTIVATIONS["identity"]

LOCAL, COMPOSED, END_TO_END = ("z", "a", "8", "1", "9", "14", "7a", "7b"), ("12", "10a", "10b"), ("1", "5a", "5b")
"""The equations whose operands are in Case and Trace; what an experiment made besides is not."""


@dataclass(frozen=True, eq=False)
class Observed:
    """What was observed of one equation in one layer, what the equation gives, and what is allowed."""

    case: Case
    equation: str
    layer: int
    observed: Array
    expected: Array
    allowed: Array
    r: rd.Rounding

    @property
    def quantity(self) -> str:
        """The number that the equation is about, in the note's notation: δ^2."""
        if self.equation in ("2a", "2b"):
            return f"the new {'W' if self.equation == '2a' else 'b'}^{self.layer}"
        if self.equation.endswith(("a", "b")) and self.equation != "a":
            return f"∂L/∂{'W' if self.equation.endswith('a') else 'b'}^{self.layer}"
        names = {"1": "L", "8": "L_i", "a": f"a^{self.layer}", "9": f"δ^{self.layer}", "14": f"δ^{self.layer}"}
        return names.get(self.equation, f"z^{self.layer}")

    @property
    def given(self) -> str:
        """What the equation gives, in words."""
        return f"what {f'({self.equation})' if self.equation[0].isdigit() else 'its definition'} gives"

    @property
    def equal(self) -> Array:
        """Which elements are what they should be without any rounding: equal infinities, and an overflow."""
        overflows = rd.overflows(self.observed, self.expected, self.allowed, self.r.largest)
        return np.asarray((self.observed == self.expected) | overflows)

    @property
    def broken(self) -> Array:
        """Which elements exceed their allowance."""
        return ~((np.abs(self.observed - self.expected) <= self.allowed) | self.equal)

    @property
    def worst(self) -> tuple[int, ...]:
        """The element that exceeds its allowance by most."""
        ratio = np.abs(self.observed - self.expected) / self.allowed
        return tuple(int(i) for i in np.unravel_index(int(np.argmax(ratio)), ratio.shape))


class Hypothesis(NamedTuple):
    """What would have happened, a sentence's end in which `{}` stands for `name`, and the numbers that it gives.

    `fitted`: a number in it was measured on the element that tells it best.
    """

    what: str
    name: str
    expected: Array
    allowed: Array
    fitted: bool = False


Operands = tuple[Array, Array]
"""What an equation gives, and its allowance."""


@quiet
def diagnose(case: Case, trace: Trace, found: Finding, arithmetic: Arithmetic = UNDECLARED) -> str | None:
    """Why a finding does not hold, or None where it does, nothing known explains it, or its operands are not here.

    `found` is one of `audit` or `audit_composed` on this Case and Trace, with the same `arithmetic`.
    """
    if found.holds:
        return None
    r, black_box = rd.rounding(case.dtype, arithmetic), trace.z is None or trace.a is None or trace.delta is None
    check = checked(case, trace, found, r, black_box)
    if check is None:
        return None
    o = Observed(case, found.equation, found.layer, *broadcast(check), r)
    if not o.broken.any():  # a finding about another trace
        return None
    hypotheses = transposition(o) if black_box or o.equation in COMPOSED else HYPOTHESES[o.equation](o, shown(trace, o))
    return sentence(o, chain(hypotheses, scaled(o)), measured_factor(o))


@quiet
def diagnose_update(case: Case, trace: Trace, W: Layers, b: Layers, learning_rate: float, found: Finding) -> str | None:
    """Why a finding of `audit_update`, on the same operands, does not hold, or None."""
    if found.holds or found.equation not in ("2a", "2b"):
        return None
    l, r = found.layer, rd.rounding(case.dtype)
    old, reported, new = (case.W, trace.dW, W) if found.equation == "2a" else (case.b, trace.db, b)
    gradients = as_float64(reported)
    expected = eq.eq_2a(old[l], gradients[l], learning_rate)  # (2b) is the same arithmetic
    allowed = rd.eq_2_error(expected, gradients[l], learning_rate, r)
    o = Observed(case, found.equation, l, np.asarray(new[l], dtype=np.float64), expected, allowed, r)
    fitted = (fit(o, old[l], gradients[l], learning_rate) for fit in (measured_rate, decay))
    return sentence(o, of_2(o, old[l], gradients, learning_rate), chain.from_iterable(fitted))


def checked(case: Case, trace: Trace, found: Finding, r: rd.Rounding, black_box: bool) -> Check | None:
    """The check that the finding is of; None where the trace alone does not have it."""
    checks, equations = (end_to_end, END_TO_END) if black_box else (local, LOCAL)
    if not black_box and found.equation in COMPOSED:
        checks, equations = composed, COMPOSED
    if found.equation not in equations:
        return None
    return next(check for check in checks(case, trace, r) if check[:2] == (found.equation, found.layer))


def broadcast(check: Check) -> tuple[Array, Array, Array]:
    """Observed, expected and allowed of a check as arrays of one shape."""
    observed, expected, allowed = (np.asarray(part, dtype=np.float64) for part in check[2:])
    return observed, expected, np.broadcast_to(allowed, observed.shape)


def sentence(o: Observed, hypotheses: Iterable[Hypothesis], fitted: Iterable[Hypothesis]) -> str | None:
    """The most specific that can be said; `fitted` hypotheses have a number in them that was measured."""
    said = no_numbers(o) or all_zero(o) or accepted(o, hypotheses) or accepted(o, fitted)
    said = said or accepted(o, reordered(o)) or narrower(o) or alone(o)
    return f"{o.quantity} {said}" if said else None


def accepted(o: Observed, hypotheses: Iterable[Hypothesis]) -> str | None:
    """Every hypothesis that fits, and hardly by chance; those that differ by a name alone are said together."""
    chances: dict[tuple[str, str], float] = {}
    # a term of a sum may be missing, be there twice, or begin what is missing
    tried = 3 * max(o.case.samples, o.case.widths[-1])
    for h in hypotheses:
        tried += 1
        if explains(o, h):
            chances[h.what, h.name] = coincidence(o, h)
    names: dict[str, list[str]] = {}
    for (what, name), chance in chances.items():
        if tried * chance <= SLIGHT:
            names.setdefault(what, []).append(name)
    return ", or ".join(what.format(either(found)) for what, found in names.items()) or None


def explains(o: Observed, h: Hypothesis) -> bool:
    """Whether all that was observed is within what the hypothesis allows, and the right numbers are not."""

    def within(numbers: Array) -> bool:
        return finding(o.equation, o.layer, numbers, h.expected, h.allowed, o.r.largest).holds

    return within(o.observed) and not within(o.expected)


SLIGHT = 0.05
"""A chance that any of the hypotheses tried fits by coincidence above which none is believed: one number in half
precision may have too few digits."""


def coincidence(o: Observed, h: Hypothesis) -> float:
    """About how likely it is that numbers which are as wrong as these fit the hypothesis by chance.

    Each falls within its allowance with a chance of allowed/|observed − expected|; one that was fitted is not evidence.
    """
    shares = np.sort((h.allowed / np.abs(o.observed - o.expected)).ravel())[h.fitted :]
    return float(np.prod(shares[shares < 1]))


def either(names: list[str]) -> str:
    """a, b or c; with semicolons where there are commas within."""
    if any("," in name for name in names):
        return "; or ".join(names)
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


# --- what needs no hypothesis


def no_numbers(o: Observed) -> str | None:
    """Infinities and NaN where there should be numbers, and the other way round."""
    bad = ~np.isfinite(o.observed) & ~o.equal
    if bad.any():
        kind = "NaN" if np.isnan(o.observed[bad]).any() else "infinite"
        operands = ", where an operand is not a number" if not np.isfinite(o.expected[bad]).any() else ""
        return f"is {kind}{amount(bad)}{operands}"
    missing = ~np.isfinite(o.expected) & ~o.equal
    return f"is a number{amount(missing)}, where {o.given} is none" if missing.any() else None


def amount(chosen: Array) -> str:
    """How many of the elements, and which is the first; nothing of a single number."""
    if chosen.size == 1:
        return ""
    return f" in {chosen.sum()} of {chosen.size} elements, first at {position(np.argwhere(chosen)[0])}"


def position(index: Iterable[Any]) -> str:
    """(2, 1)"""
    return f"({', '.join(str(int(i)) for i in index)})"


def all_zero(o: Observed) -> str | None:
    """Zeros alone, where there should be other numbers."""
    return None if o.observed.any() else f"is 0{' throughout' if o.observed.size > 1 else ''}"


BY_DIGITS = ("bfloat16", "float16", "float32", "float64")
"""The formats, the one with the fewest digits first."""


def narrower(o: Observed) -> str | None:
    """Numbers of a format with fewer digits alone, each within a rounding to it, and hardly by chance."""
    names = [dtype for dtype in BY_DIGITS[: BY_DIGITS.index(o.case.dtype)] if stored_in(o, dtype)]
    fractions = np.unique(np.abs(np.frexp(o.observed)[0]))
    count = np.count_nonzero((fractions != 0) & (fractions != 0.5))  # a power of two is a number of any format
    if not names or (rd.UNIT_ROUNDOFF[o.case.dtype] / rd.UNIT_ROUNDOFF[names[0]]) ** count > SLIGHT:
        return None
    numbers = f"has numbers of {either(names)} alone" if o.observed.size > 1 else f"is a number of {either(names)}"
    return f"{numbers}: the result was stored in it"


def stored_in(o: Observed, dtype: str) -> bool:
    """Whether what was observed may be the right numbers, rounded to a format."""
    u = rd.UNIT_ROUNDOFF[dtype]
    near = np.abs(o.observed - o.expected) <= o.allowed + u * (np.abs(o.expected) + o.allowed) + rd.UNDERFLOW[dtype]
    return bool(near.all()) and np.array_equal(rd.rounded(o.observed, dtype), o.observed)


UNITS, WEIGHTS, ROWS = ("unit",), ("unit", "input"), ("sample", "unit")


def axes(equation: str) -> tuple[str, ...]:
    """What an index counts, by axis; the inputs of a layer are the units of the one before."""
    if equation in ("1", "8"):
        return ("sample",)
    if equation[0].isdigit() and equation.endswith(("a", "b")):
        return WEIGHTS if equation.endswith("a") else UNITS
    return ROWS


def alone(o: Observed) -> str | None:
    """Where the wrong elements are: one element, one row or column, or the last of them, up to a half."""
    broken = o.broken
    if broken.size == 1:
        return None
    if broken.sum() == 1:
        return f"is wrong in one element alone, {position(np.argwhere(broken)[0])}"
    state = "wrong" if o.observed[broken].any() else "0"
    for axis, word in enumerate(axes(o.equation)):
        lines = np.flatnonzero(np.moveaxis(broken, axis, 0).reshape(broken.shape[axis], -1).any(axis=1))
        if len(lines) == 1 < broken.shape[axis]:
            return f"is {state} in {word} {lines[0]} alone"
        if 2 * len(lines) <= broken.shape[axis] == lines[0] + len(lines):
            return f"is {state} in the last {len(lines)} {word}s alone"
    return f"is 0{amount(broken)}, and right elsewhere" if state == "0" else None


# --- a factor throughout


def factors(case: Case, equation: str, layer: int) -> Iterator[tuple[float, str]]:
    """The factors that a slip leaves, and the slip."""
    N, n = case.samples, case.widths[-1]
    yield 1 / N, f"N = {N}, averaged over the samples once too often"
    yield N, f"N = {N}, a sum where the mean belongs"
    yield 1 / n, f"n = {n}, a mean over the components where the sum belongs"
    yield n, f"n = {n}, a sum over the components where the mean belongs"
    yield 1 / (N * n), f"N n = {N * n}, a mean over samples and components once too often"
    yield N * n, f"N n = {N * n}, a sum over samples and components where the mean belongs"
    if equation == "14":
        width = case.widths[layer + 1]
        yield 1 / width, f"n^{layer + 1} = {width}, a mean over t where the sum belongs"
    yield 2, "counted twice, or without its ½"
    yield 1 / 2, "a ½ too many"
    yield -1, "the sign is wrong"


def scaled(o: Observed) -> Iterator[Hypothesis]:
    """c times what the equation gives: |c| times its allowance, and a rounding."""
    for c, why in factors(o.case, o.equation, o.layer):
        if c != 1:
            yield Hypothesis(f"is {times(c)} {o.given}: {{}}", why, *multiple(o, c))


def multiple(o: Observed, c: float, uncertain: float = 0.0) -> Operands:
    """c times what the equation gives, and its allowance, where c is known to within `uncertain`."""
    size = np.abs(o.expected)
    return c * o.expected, abs(c) * (o.allowed + o.r.u * size) + uncertain * size


def measured_factor(o: Observed) -> Iterator[Hypothesis]:
    """A factor that is the same throughout, whatever it is."""
    if (found := proportion(o.observed, o.expected, o.allowed)) is not None:
        c, at = found
        uncertain = abs(c) * (o.allowed.flat[at] / abs(o.expected.flat[at]) + o.r.u)
        yield Hypothesis(f"is {{}} {o.given}, throughout", times(c, uncertain), *multiple(o, c, uncertain), fitted=True)


TELLING = 8
"""How many allowances a number must measure to tell a factor, and so to better than an eighth."""


def proportion(part: Array, whole: Array, allowed: Array) -> tuple[float, int] | None:
    """part/whole where `whole` is largest beside its allowance, and the flat position; None where it tells little."""
    size = np.where(np.isfinite(part), np.abs(whole) / allowed, 0.0)
    at = int(np.argmax(size))
    return (float(part.flat[at] / whole.flat[at]), at) if size.flat[at] > TELLING else None


def times(c: float, uncertain: float = 0.0) -> str:
    """32 times, 1/32 of, −1 times, 1 + 2.98e-08 times."""
    if 0 < c < 1 and not uncertain:
        return f"1/{round(1 / c)} of"
    return f"{decimal(c, uncertain)} times"


def decimal(c: float, uncertain: float = 0.0) -> str:
    """A number to its first uncertain digit, or the difference from 1 where it is nearly that."""
    if 0 < abs(c - 1) < 1e-4:
        return f"1 {'+' if c > 1 else '−'} {digits(abs(c - 1), uncertain)}"
    return f"{'−' if c < 0 else ''}{digits(abs(c), uncertain)}"


def digits(c: float, uncertain: float) -> str:
    """A number that is not negative, to the first digit that is uncertain, six at most."""
    certain = 6 if uncertain == 0 or c == 0 else int(np.clip(np.ceil(np.log10(c / uncertain)) + 1, 1, 6))
    return f"{c:.{certain}g}"


# --- the same numbers in other places


def reordered(o: Observed) -> Iterator[Hypothesis]:
    """Samples, units or inputs in each other's places: rolled, reversed, two swapped, or in any order."""
    if o.observed.ndim == 0:
        return
    for axis, word in enumerate(axes(o.equation)):
        for what, order in orders(*(np.moveaxis(part, axis, 0) for part in (o.observed, o.expected, o.allowed))):
            expected, allowed = np.take(o.expected, order, axis), np.take(o.allowed, order, axis)
            yield Hypothesis("has its {}", what.format(word), expected, allowed)


def orders(observed: Array, expected: Array, allowed: Array) -> Iterator[tuple[str, Array]]:
    """Orders of the rows in which the expected may be what was observed, the simplest alone."""
    n, flat = len(observed), (len(observed), -1)
    observed, expected, allowed = observed.reshape(flat), expected.reshape(flat), allowed.reshape(flat)
    wrong = np.flatnonzero((~(np.abs(observed - expected) <= allowed)).any(axis=1))
    if len(wrong) < 2:
        return
    rows, column = np.arange(n), int(np.argmax(np.abs(expected).max(axis=0)))

    def sources(i: int) -> Array:
        """The rows that row i may be; one column is looked at before the others."""
        near = np.flatnonzero(np.abs(observed[i, column] - expected[:, column]) <= allowed[:, column])
        return near[(np.abs(observed[i] - expected[near]) <= allowed[near]).all(axis=1)]

    simple = [(f"{{}}s rolled by {s}", (rows - s) % n) for s in (int(wrong[0] - j) % n for j in sources(int(wrong[0])))]
    for what, order in (*simple, ("{}s reversed", rows[::-1])):
        if len(wrong) > 2 and (np.abs(observed - expected[order]) <= allowed[order]).all():
            yield what, order
            return
    found = [int(j[0]) if len(j := np.intersect1d(sources(int(i)), wrong)) else -1 for i in wrong]
    if sorted(found) == wrong.tolist():
        order = rows.copy()
        order[wrong] = found
        yield (f"{{}}s {wrong[0]} and {wrong[1]} swapped" if len(wrong) == 2 else "{}s in another order"), order


# --- the equation with something otherwise


class Shown(NamedTuple):
    """z^l, a^l with a^0 = x, and δ^l of a trace that shows them."""

    z: Layers
    a: Layers
    delta: Layers


def shown(trace: Trace, o: Observed) -> Shown:
    """What the trace shows of the network."""
    assert trace.z is not None
    assert trace.a is not None
    assert trace.delta is not None
    return Shown(as_float64(trace.z), {0: o.case.x, **as_float64(trace.a)}, as_float64(trace.delta))


def such(o: Observed, what: str, name: str, operands: Operands) -> Hypothesis:
    """What the equation gives, but with something otherwise."""
    return Hypothesis(f"is {o.given} {what}", name, *operands)


def alike(layers: Layers, layer: int) -> Iterator[tuple[int, Array]]:
    """The other layers whose array has the same shape."""
    return ((k, array) for k, array in layers.items() if k != layer and array.shape == layers[layer].shape)


def named(symbol: str, layer: int) -> str:
    """a^2, and x for a^0."""
    return "x" if (symbol, layer) == ("a", 0) else f"{symbol}^{layer}"


def of_another_layer(
    o: Observed, symbol: str, layers: Layers, layer: int, given: Callable[[Array], Operands]
) -> Iterator[Hypothesis]:
    """An operand taken from another layer, where it fits."""
    for k, array in alike(layers, layer):
        yield such(o, f"with {{}} in place of {named(symbol, layer)}", named(symbol, k), given(array))


def of_another_activation(
    o: Observed, f: Activation, names: Iterable[str], mark: str, given: Callable[[Activation], Operands]
) -> Iterator[Hypothesis]:
    """Another activation of the table in the place of f, or f with its usual parameters; `mark` is the ' of f'."""
    for g in map(ACTIVATIONS.__getitem__, names):
        if g is IDENTITY and f is not IDENTITY:
            yield such(o, "without {}", f"f{mark}", given(g))
        elif g.name != f.name or g.parameters != f.parameters:
            yield such(o, f"with {{}} in place of {f.name}{mark}", called(g, f, mark), given(g))


def called(g: Activation | Loss, f: Activation | Loss, mark: str = "") -> str:
    """What stands in the place of f: another function, or itself with its usual parameters."""
    return f"{g.name}{mark}{' with its usual parameters' if g.name == f.name else ''}"


def tf32(values: Array) -> Array:
    """The nearest numbers of 11 binary digits, which is what a GPU's tensor cores keep of a float32."""
    digits, exponent = np.frexp(values)
    return np.ldexp(np.rint(digits * 2.0**11) / 2.0**11, exponent)


CONVERSIONS: dict[str, Callable[[Array], Array]] = {
    "bfloat16": partial(rd.rounded, dtype="bfloat16"),
    "float16": partial(rd.rounded, dtype="float16"),
    "TF32": tf32,
    "float32": partial(rd.rounded, dtype="float32"),
}
"""Formats that an operand may have been rounded to."""


def rounded_operands(
    o: Observed, W: tuple[str, Array], other: tuple[str, Array], given: Callable[[Array, Array], Operands]
) -> Iterator[Hypothesis]:
    """A product whose weights, whose other operand, or both were rounded to fewer digits before; each with its name."""
    (w, weights), (v, values) = W, other
    for dtype, convert in CONVERSIONS.items():
        narrow_w, narrow_v = convert(weights), convert(values)
        yield such(o, f"with {w} rounded to {{}}", dtype, given(narrow_w, values))
        yield such(o, f"with {v} rounded to {{}}", dtype, given(weights, narrow_v))
        yield such(o, f"with {w} and {v} rounded to {{}}", dtype, given(narrow_w, narrow_v))


def of_z(o: Observed, t: Shown) -> Iterator[Hypothesis]:
    """The definition of z otherwise."""
    l, W, b, a = o.layer, o.case.W[o.layer], o.case.b[o.layer], t.a[o.layer - 1]

    def given(W: Array = W, b: Array = b, a: Array = a) -> Operands:
        return eq.total_input(W, b, a), rd.total_input_error(W, b, a, o.r)

    if W.shape[0] == W.shape[1]:
        yield such(o, "with the weights transposed: {}", "w_ft in place of w_tf", given(W=W.T))
    yield such(o, "without {}", "the bias", given(b=np.zeros_like(b)))
    yield from of_another_layer(o, "b", o.case.b, l, lambda other: given(b=other))
    yield from of_another_layer(o, "W", o.case.W, l, lambda other: given(W=other))
    yield from of_another_layer(o, "a", t.a, l - 1, lambda other: given(a=other))
    if l > 1:
        yield such(o, "with {} in place of " + named("a", l - 1), f"z^{l - 1}", given(a=t.z[l - 1]))
    yield from rounded_operands(o, (f"W^{l}", W), (named("a", l - 1), a), lambda W, a: given(W=W, a=a))


def of_a(o: Observed, t: Shown) -> Iterator[Hypothesis]:
    """The definition of a otherwise."""
    l, f, z = o.layer, o.case.activation(o.layer), t.z[o.layer]

    def given(f: Activation = f, z: Array = z) -> Operands:
        return f.value(z), rd.value_error(f, z, o.r)

    yield from of_another_activation(o, f, OUTPUT if l == o.case.last else HIDDEN, "", lambda g: given(f=g))
    yield from of_another_layer(o, "z", t.z, l, lambda other: given(z=other))
    if f.coupled:
        sideways = given(z=z.T)
        yield such(o, "with {}", f"{f.name} over the samples", (sideways[0].T, sideways[1].T))
    else:
        slope = f.derivative(z), rd.derivative_error(f, z, o.r)
        yield such(o, "with {} in place of f", "f'", slope)


def of_losses(o: Observed, t: Shown) -> Iterator[Hypothesis]:
    """(8) or (1) otherwise."""
    last, loss, y = o.case.last, o.case.criterion, o.case.y
    z, a = t.z[last], t.a[last]

    def given(loss: Loss, p: Array, weights: Array | float = 1.0) -> Operands:
        terms, errors = loss.value(p, y) * weights, rd.contribution_error(loss, p, y, o.r) * weights
        if o.equation == "8":
            return eq.eq_8(terms), rd.eq_8_error(terms, errors, o.r)
        return np.asarray(eq.eq_1(eq.eq_8(terms))), np.asarray(rd.eq_1_error(terms, errors, o.r))

    p, terms = loss.argument(z, a), loss.value(loss.argument(z, a), y)
    for other in other_losses(o.case):
        yield such(o, f"with {{}} in place of {loss.name}", called(other, loss), given(other, other.argument(z, a)))
    given_instead = "a in place of z" if loss.on_logits else "z in place of a"
    yield such(o, "with {} in the loss", given_instead, given(loss, a if loss.on_logits else z))
    if loss.on_logits and o.case.f_o.coupled:
        yield such(o, "with {}", f"{o.case.output} over the samples", given(sideways(loss), p))
    if o.equation == "1":
        for what, weights in miscounted(o, eq.eq_8(terms) / len(terms), "sample"):
            yield such(o, "{}", what, given(loss, p, weights[:, np.newaxis]))
    else:
        for what, weights in miscounted(o, terms[o.worst[0]], "component"):
            yield such(o, "{}", what, given(loss, p, weights))


def other_losses(case: Case) -> Iterator[Loss]:
    """The losses that are defined on the same output and labels, and the Case's own with its usual parameters."""
    for name, loss in LOSSES.items():
        another = name != case.loss or loss.parameters != case.criterion.parameters
        if another and fits(case.output, name) and np.all(LABELS[loss.labels][0](case.y)):
            yield loss


def sideways(loss: Loss) -> Loss:
    """The loss with samples and components in each other's roles."""

    def turned(g: Callable[[Array, Array], Array]) -> Callable[[Array, Array], Array]:
        return lambda p, y: g(p.T, y.T).T

    return replace(
        loss,
        value=turned(loss.value),
        derivative=turned(loss.derivative),
        value_scale=turned(loss.value_scale),
        derivative_scale=turned(loss.derivative_scale),
        carried=None,
    )


def miscounted(o: Observed, parts: Array, word: str) -> Iterator[tuple[str, Array]]:
    """Which of the terms of a sum may be missing from it, or be in it twice: how often each counts.

    `parts` are the terms of the worst element; what does not explain that element is not asked for the others.
    """
    gap, slack = o.observed[o.worst] - o.expected[o.worst], 2 * o.allowed[o.worst]
    for what, sign in (("without", 1), ("with", -1)):
        for i in np.flatnonzero(np.abs(gap + sign * parts) <= slack):
            weights = np.ones(len(parts))
            weights[i] -= sign
            yield f"{what} {word} {i}{' twice' if sign < 0 else ''}", weights
    tails = np.cumsum(parts[::-1])[1:-1]  # of the last 2, 3, … N − 1
    for count in np.flatnonzero(np.abs(gap + tails) <= slack) + 2:
        yield f"without the last {count} {word}s", (np.arange(len(parts)) < len(parts) - count).astype(float)


JACOBIANS = 2**24
"""Numbers in a Jacobian of f_o, N n², up to which it is formed: a dozen hypotheses each take one anew."""


def of_9(o: Observed, t: Shown) -> Iterator[Hypothesis]:
    """(9) otherwise; of wide outputs, only what takes no Jacobian."""
    last, y = o.case.last, o.case.y
    loss, f, z, a = o.case.criterion, o.case.f_o, t.z[last], t.a[last]

    def given(loss: Loss = loss, f: Activation = f, z: Array = z) -> Operands:
        allowed = rd.eq_9_error(loss, f, z, a, y, o.r)
        if loss.on_logits:
            return loss.derivative(z, y), allowed
        g = loss.derivative(a, y)
        return admissible(f, z, g, o.observed, eq.eq_9(g, f.derivative(z)), o.r), allowed

    if not f.coupled:
        yield such(o, "with {}, as the note prints (9)", "a sum over t", summed(o, *given()))
    small = z.size * z.shape[1] <= JACOBIANS
    formed = small or not f.coupled
    for other in other_losses(o.case):
        if formed or other.on_logits:
            yield such(o, f"with {{}} in place of {loss.name}", called(other, loss), given(loss=other))
    if loss.on_logits:
        if formed:
            twice = given(loss=replace(loss, on_logits=False))
            yield such(o, "with {} in the loss, which applies f_o itself", "a in place of z", twice)
        if f.coupled:
            yield such(o, "with {}", f"{f.name} over the samples", given(loss=sideways(loss)))
        return
    yield from of_another_activation(o, f, OUTPUT if small else HIDDEN, "'", lambda g: given(f=g))
    if formed:
        yield such(o, "with {}", "f'(a) in place of f'(z)", given(z=a))
    if f.coupled and formed:
        yield from of_coupled_9(o, loss, f, z, a)
    elif not f.coupled:
        yield from at_kinks(o, f, z, loss.derivative(a, y))


def of_coupled_9(o: Observed, loss: Loss, f: Activation, z: Array, a: Array) -> Iterator[Hypothesis]:
    """(9) with another Jacobian of softmax or log-softmax."""
    y = o.case.y
    g = loss.derivative(a, y)
    diagonal = g * np.einsum("itt->it", f.derivative(z))
    yield such(o, "with {}", "∂a_t/∂z_t alone", (diagonal, rd.eq_9_error(loss, f, z, a, y, o.r)))
    allowed = rd.eq_9_error(sideways(loss), f, z.T, a.T, y.T, o.r).T
    yield such(o, "with {}", f"{f.name} over the samples", (eq.eq_9(g.T, f.derivative(z.T)).T, allowed))


def summed(o: Observed, expected: Array, allowed: Array) -> Operands:
    """The sum over t in every t, of terms with these allowances."""
    total = expected.sum(axis=1, keepdims=True)
    size = np.abs(expected).sum(axis=1, keepdims=True)
    error = allowed.sum(axis=1, keepdims=True) + rd.contraction(expected.shape[1], size, total, o.r)
    return np.broadcast_to(total, expected.shape), np.broadcast_to(error, expected.shape)


def of_14(o: Observed, t: Shown) -> Iterator[Hypothesis]:
    """(14) otherwise."""
    l, f = o.layer, o.case.f_h
    z, delta, W = t.z[l], t.delta[l + 1], o.case.W[l + 1]

    def given(f: Activation = f, z: Array = z, delta: Array = delta, W: Array = W) -> Operands:
        return transported(f, z, delta, W, o.observed, o.r)

    if W.shape[0] == W.shape[1]:
        yield such(o, "with the weights transposed: {}", "w_ft, as the note prints (14)", given(W=W.T))
    yield such(o, "with {}", "f'(a) in place of f'(z)", given(z=t.a[l]))
    yield from of_another_activation(o, f, HIDDEN, "'", lambda g: given(f=g))
    yield from of_another_layer(o, "W", o.case.W, l + 1, lambda other: given(W=other))
    yield from of_another_layer(o, "δ", t.delta, l + 1, lambda other: given(delta=other))
    yield from of_another_layer(o, "z", t.z, l, lambda other: given(z=other))
    yield from rounded_operands(o, (f"W^{l + 1}", W), (f"δ^{l + 1}", delta), lambda W, delta: given(W=W, delta=delta))
    yield from at_kinks(o, f, z, delta @ W)


def at_kinks(o: Observed, f: Activation, z: Array, factor: Array) -> Iterator[Hypothesis]:
    """A derivative at a kink that lies beyond both sides, measured where the factor that it multiplies is largest."""
    for kink in f.kinks:
        at = rd.at_kink(z, kink, o.r)
        if not at.any() or (o.broken & ~at).any():
            continue
        size = np.where(at, np.abs(factor) / o.allowed, 0.0)
        most = np.unravel_index(int(size.argmax()), size.shape)
        if not size[most] > TELLING:
            continue
        c, uncertain = float(o.observed[most] / factor[most]), float(1 / size[most])
        steeper = max(1.0, abs(c) / max(abs(kink.lowest), abs(kink.highest)))
        allowed = np.where(at, steeper * o.allowed + uncertain * np.abs(factor), o.allowed)
        taken = f"f'({kink.at:g}) = {decimal(c, uncertain)} at the kink"
        admitted = f"where {kink.lowest:g} … {kink.highest:g} may be given"
        yield such(o, "with {}", f"{taken}, {admitted}", (np.where(at, c * factor, o.expected), allowed))


def transposition(o: Observed) -> Iterator[Hypothesis]:
    """A gradient of the weights with its indices in each other's place."""
    if axes(o.equation) == WEIGHTS and o.expected.shape[0] == o.expected.shape[1]:
        yield such(o, "transposed: {}", "∂L/∂w_ft in place of ∂L/∂w_tf", (o.expected.T, o.allowed.T))


def of_7a(o: Observed, t: Shown) -> Iterator[Hypothesis]:
    """(7a) otherwise."""
    l, delta, a = o.layer, t.delta[o.layer], t.a[o.layer - 1]

    def given(delta: Array = delta, a: Array = a) -> Operands:
        return eq.eq_7a(delta, a), rd.eq_7a_error(delta, a, o.r)

    yield from transposition(o)
    yield from of_another_layer(o, "a", t.a, l - 1, lambda other: given(a=other))
    if l > 1:
        yield such(o, f"with {{}} in place of a^{l - 1}", f"z^{l - 1}", given(a=t.z[l - 1]))
    yield from of_another_layer(o, "δ", t.delta, l, lambda other: given(delta=other))
    to, of = o.worst
    for what, weights in miscounted(o, delta[:, to] * a[:, of] / len(delta), "sample"):
        yield such(o, "{}", what, given(delta=delta * weights[:, np.newaxis]))


def of_7b(o: Observed, t: Shown) -> Iterator[Hypothesis]:
    """(7b) otherwise."""
    delta = t.delta[o.layer]

    def given(delta: Array) -> Operands:
        return eq.eq_7b(delta), rd.eq_7b_error(delta, o.r)

    yield from of_another_layer(o, "δ", t.delta, o.layer, given)
    for what, weights in miscounted(o, delta[:, o.worst[0]] / len(delta), "sample"):
        yield such(o, "{}", what, given(delta * weights[:, np.newaxis]))


HYPOTHESES: Mapping[str, Callable[[Observed, Shown], Iterator[Hypothesis]]] = {
    "z": of_z,
    "a": of_a,
    "8": of_losses,
    "1": of_losses,
    "9": of_9,
    "14": of_14,
    "7a": of_7a,
    "7b": of_7b,
}
"""What may have been otherwise in each equation."""


# --- the update


def updated(o: Observed, old: Array, gradient: Array, learning_rate: float) -> Operands:
    """What (2a) or (2b) gives, and its allowance."""
    new = eq.eq_2a(old, gradient, learning_rate)
    return new, rd.eq_2_error(new, gradient, learning_rate, o.r)


def of_2(o: Observed, old: Array, gradients: Layers, learning_rate: float) -> Iterator[Hypothesis]:
    """(2a) or (2b) otherwise."""
    given = partial(updated, o, old, learning_rate=learning_rate)
    gradient, symbol = gradients[o.layer], f"∂L/∂{'W' if o.equation == '2a' else 'b'}"
    yield such(o, "without {}", "the step: nothing was updated", given(np.zeros_like(gradient)))
    if gradient.ndim == 2 and gradient.shape[0] == gradient.shape[1]:
        yield such(o, "with {}", "the gradient transposed", given(gradient.T))
    yield from of_another_layer(o, symbol, gradients, o.layer, given)
    for c, why in factors(o.case, o.equation, o.layer):
        if c != 1:
            slip = "a step up the gradient" if c == -1 else why
            yield such(o, f"with {times(c)} η: {{}}", slip, updated(o, old, gradient, c * learning_rate))


def measured_rate(o: Observed, old: Array, gradient: Array, learning_rate: float) -> Iterator[Hypothesis]:
    """Another learning rate, the same throughout."""
    found = proportion(old - o.observed, gradient, o.allowed / abs(learning_rate))
    if found is not None:
        eta, at = found
        new, allowed = updated(o, old, gradient, eta)
        uncertain = allowed.flat[at] / abs(gradient.flat[at])
        what = such(o, f"with η = {{}} in place of {learning_rate:g}", decimal(eta, uncertain), (new, allowed))
        yield what._replace(allowed=allowed + uncertain * np.abs(gradient), fitted=True)


def decay(o: Observed, old: Array, gradient: Array, learning_rate: float) -> Iterator[Hypothesis]:
    """Weight decay: η λ w besides the step, whether taken from w or put into the gradient."""
    found = proportion(o.expected - o.observed, learning_rate * old, o.allowed)
    if found is not None:
        strength, at = found
        new, allowed = updated(o, old, gradient + strength * old, learning_rate)
        uncertain = allowed.flat[at] / abs(old.flat[at])
        what = such(o, "with weight decay, λ = {}", decimal(strength, uncertain), (new, allowed))
        yield what._replace(allowed=allowed + uncertain * np.abs(old), fitted=True)
