"""Where engines depart from the equations, or from each other: a table made by measurement.

Every function of `reference/` is asked at the inputs where implementations part: at its kinks and just beside them, at
0, among the subnormal numbers, where it saturates, where squares overflow, at infinity and NaN. An engine is reached
through the adapter contract alone; what a framework does by default is asked of the framework, by the reproducer that
the row then holds. A row is kept where an engine departs from the equation, and at every kink, where there is a choice.

The status of an engine in a row:

equal          the equation's value, within the allowance of `reference.rounding` for that engine
convention     at a kink, a derivative of the admissible interval; an answer where the equation has no finite one: a
               pole, NaN, or NaN for an infinite input; a default that is one of the usual
approximation  outside the allowance, but in KNOWN as documented or deliberate, and within the bound stated there
defect         anything else: NaN for a finite truth, a derivative outside the interval, an error that nobody states
not there      the engine has no such function

Inputs with the same answers for the same reason share a row: that of the worst.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from rich import box
from rich.table import Table

from adapters.contract import FAILURES, Adapter, describe, device_of
from reference import activations, losses
from reference import equations as eq
from reference import rounding as rd
from reference.activations import ACTIVATIONS, Activation
from reference.arrays import Array
from reference.audit import output_error_term
from reference.case import Case, fits
from reference.cases import LARGEST_TOTAL_INPUT, scaled
from reference.losses import LOSSES, Loss
from reference.network import contributions, output_delta
from reference.rounding import FORMATS, UNIT_ROUNDOFF, Rounding, rounded
from reports import reproducers
from reports.defaults import UNKNOWN, defaults, recognised
from reports.known import KNOWN, Known
from reports.reproducers import shown
from reports.results import number
from reports.training_defaults import training_defaults

Row = dict[str, Any]
Parameters = Mapping[str, float]


class Unchecked(Case):
    """A Case whose numbers are not checked: probes go to infinity and NaN, where a campaign does not."""

    def __post_init__(self) -> None:
        pass


# --- the inputs


def beside(points: Sequence[float], dtype: str) -> list[float]:
    """Each point, and the numbers of the format next to it."""
    at = np.array(points).astype(FORMATS[dtype])
    sides = (np.nextafter(at, np.array(limit, at.dtype)) for limit in (-np.inf, np.inf))
    return [float(x) for column in (at, *sides) for x in column]


ORDINARY = (0.25, 0.41, 1.0, 3.0, 6.0, 10.0, 11.5, 15.0)
SATURATED = (20.5, 50.0, 100.0, 200.0, 1000.0)


def extremes(dtype: str) -> list[float]:
    """Where cubes and squares overflow, and the largest number."""
    largest = rd.LARGEST[dtype]
    return [2 * float(np.cbrt(largest)), 2 * float(np.sqrt(largest)), largest]


def subnormals(dtype: str) -> list[float]:
    """The smallest subnormal number, one in the middle, and the smallest normal number."""
    info = rd.LIMITS[dtype]
    smallest, normal = float(info.smallest_subnormal), float(info.smallest_normal)
    return [smallest, smallest * 2.0 ** (round(np.log2(normal / smallest)) // 2), normal]


def line(special: Sequence[float], dtype: str) -> Array:
    """The inputs of a function of one number, whose special points these are; each once, in a fixed order."""
    sizes = [*ORDINARY, *SATURATED, *extremes(dtype), *subnormals(dtype), np.inf]
    points = [sign * size for size in sizes for sign in (1, -1)] + [0.0, *beside(special, dtype), np.nan]
    return np.array(list(dict.fromkeys(rounded(np.array(points), dtype).tolist())))


SHORT = (0.01, 0.003, 0.001, 5e-5, 1e-9, 1e-20, 1e-160)
"""Lengths of vectors whose squares are subnormal or 0, in float16, float32, float64; one is below torch's ε of 10⁻⁸."""


def triples(dtype: str) -> Array:
    """Logits of three classes: one that dominates, all equal, one at each end; and short vectors."""
    # float64 stops short of its own overflow: the reference shares it
    largest = rd.LARGEST[dtype] / (2**20 if dtype == "float64" else 1)
    sizes = [0.0, *(sign * size for size in (1.0, *SATURATED, largest, np.inf) for sign in (1, -1))]
    rows = [row for t in sizes for row in ([t, 0, 0], [t, t, t], [0, t, -t])]
    rows += [[t, -2 * t, t / 2] for t in SHORT if rounded(np.array(t / 2), dtype) != 0]
    return rounded(np.array(rows, dtype=np.float64), dtype)


def members(family: Mapping[str, Callable[..., Any]], usual: Parameters, name: str, dtype: str) -> list[Parameters]:
    """The usual parameters, and another member of the family."""
    return [usual, scaled(usual, 0.3, dtype)] if name in family else [usual]  # 0.3 is no binary fraction


def far(f: Callable[[Array], Array], z: Array) -> Array:
    """f(z), by its asymptote beyond |z| = 2¹⁰⁰⁰ and at infinity: every f is proportional to z there, or constant.

    The formulas themselves may overflow there, where f does not.
    """
    edge = 2.0**1000
    beyond = np.abs(z) > edge
    near = f(np.where(beyond, np.copysign(edge, z), z))
    asymptote = np.where(np.abs(near) > 2.0**900, near / edge * np.abs(z), np.where(np.abs(near) < 2.0**-900, 0, near))
    return np.where(beyond, asymptote, near)


# --- questions and answers


@dataclass(frozen=True)
class Question:
    """What is asked of every engine at once: a function's value or derivative at `count` inputs of n numbers each."""

    kind: str
    function: str
    what: str
    dtype: str
    z: Array  # (count, n)
    y: Array  # (count, n), or (count, 0) where there are no labels
    inputs: tuple[str, ...]
    equation: tuple[str, ...]
    kink: Array  # (count,)
    parameters: Parameters
    reproducer: Callable[[str, int], str | None]


@dataclass(frozen=True)
class Answer:
    """What one engine gives, and the interval that the equation allows it on its own operands; all (count, n)."""

    observed: Array
    lowest: Array
    highest: Array
    allowed: Array


Answers = dict[str, Answer | str | None]
"""By engine: an answer, what it raised instead, or None where it has no such function."""


class Verdict(NamedTuple):
    """The status of one engine at one input, the entry of KNOWN that names the reason, and how far off it is.

    In units of the allowance, and relative to what the equation says.
    """

    status: str
    known: Known | None
    ratio: float
    relative: float = np.inf


def excess(answer: Answer, i: int, largest: float) -> tuple[Array, Array, float]:
    """What was observed, what is nearest to it of what the equation says, and how many allowances lie between them."""
    observed, lowest, highest, allowed = (part[i] for part in (answer.observed, *bounds(answer)))
    nearest = np.clip(observed, lowest, highest)
    overflows = rd.overflows(observed, nearest, allowed, largest)
    same = (observed == nearest) | (np.isnan(observed) & np.isnan(lowest)) | overflows
    apart = np.abs(observed - nearest)
    ratio = np.where(same, 0.0, np.where(allowed > 0, apart / allowed, np.inf))
    return observed, nearest, float(np.where(np.isnan(ratio), np.inf, ratio).max())


def bounds(answer: Answer) -> tuple[Array, Array, Array]:
    """The interval and the allowance; an infinite allowance allows nothing."""
    return answer.lowest, answer.highest, np.where(np.isfinite(answer.allowed), answer.allowed, 0.0)


def judge(question: Question, engine: str, answer: Answer | str | None, i: int) -> Verdict:
    """The status by the rule of this module."""
    if answer is None or isinstance(answer, str):
        return Verdict("not there" if answer is None else "defect", None, np.inf)
    observed, nearest, ratio = excess(answer, i, rd.LARGEST[question.dtype])
    relative = departure(observed, nearest)
    if ratio <= 1:
        return Verdict("convention" if question.kink[i] else "equal", None, ratio, relative)
    place = question.z[i], question.y[i], question.parameters
    stated = [k for k in KNOWN if k.covers(engine, question.function, question.what, question.dtype, place)]
    for known in stated:
        if known.status == "approximation" and known.holds(observed, nearest, bounds(answer)[2][i]):
            return Verdict("approximation", known, ratio, relative)
    if free(question, i, observed, answer.lowest[i]):
        return Verdict("convention", None, ratio, relative)
    return Verdict("defect", next((known for known in stated if known.status == "defect"), None), ratio, relative)


def departure(observed: Array, expected: Array) -> float:
    """max |observed − expected|/|expected|; infinite where the two are not both numbers."""
    with np.errstate(all="ignore"):
        apart = np.where(observed == expected, 0.0, np.abs(observed - expected) / np.abs(expected))
    return float(np.where(np.isnan(apart), np.inf, apart).max())


def free(question: Question, i: int, observed: Array, expected: Array) -> bool:
    """Whether several answers are usual: NaN is given or asked for, infinity makes it, or a loss is at a pole."""
    z = question.z[i]
    if np.isnan(z).any() or np.isnan(expected).any() or (np.isinf(z).any() and np.isnan(observed).any()):
        return True
    return question.kind == "loss" and not np.isfinite(expected).all()


PLACES = {
    "kink": "A kink: every number of the interval is a derivative there.",
    "NaN": "The input is no number.",
    "infinite": "The equation has a limit, but a formula that meets ∞·0, ∞ − ∞ or ∞/∞ on its way makes NaN.",
    "pole": "A pole: the equation has no finite value, and a formula that meets ∞·0 or ∞ − ∞ makes NaN.",
}

OF_FUNCTION = {
    ("cosine_distance", "pole"): "A vector of zeros has no direction: torch divides by at least 10⁻⁸, optax by 0.",
    ("binary_cross_entropy", "pole"): (
        "A pole: σ(z) has rounded to 0 or 1, and (8) makes infinity; torch clamps the logarithm at −100."
    ),
}
"""Notes on one function, in place of the usual."""


def place_of(question: Question, i: int) -> str:
    """What is special about an input at which several answers are usual: a key of PLACES."""
    if question.kink[i]:
        return "kink"
    if question.kind == "loss":
        return "pole"
    return "NaN" if np.isnan(question.z[i]).any() else "infinite"


def row(question: Question, answers: Answers, i: int) -> tuple[Row, float] | None:
    """The row of one input and how far off its worst engine is; None where there is nothing to tell."""
    verdicts = {engine: judge(question, engine, answer, i) for engine, answer in answers.items()}
    there = {engine: verdict for engine, verdict in verdicts.items() if verdict.status != "not there"}
    departing = {engine: v for engine, v in there.items() if v.status != "equal"}
    seen = {engine: show(answers[engine], i) for engine in verdicts}
    if not departing or (np.isnan(question.z[i]).any() and len({seen[engine] for engine in there}) == 1):
        return None
    reasons = list(dict.fromkeys(v.known for v in departing.values() if v.known))
    notes = [known.reason for known in reasons]
    if any(v.status == "convention" for v in departing.values()):
        place = place_of(question, i)
        notes.append(OF_FUNCTION.get((question.function, place), PLACES[place]))
    codes = {engine: question.reproducer(engine, i) for engine in departing}
    return {
        "id": identity(question.function, question.what, question.dtype, question.inputs[i]),
        "function": question.function,
        "kind": question.kind,
        "what": question.what,
        "dtype": question.dtype,
        "kink": bool(question.kink[i]),
        "input": question.inputs[i],
        "equation": question.equation[i],
        "engines": seen,
        "status": {engine: verdict.status for engine, verdict in verdicts.items()},
        "departure": {engine: departing[engine].relative for engine in departing},
        "ordinary": bool((np.abs(question.z[i]) <= LARGEST_TOTAL_INPUT * REACH).all()),
        "bound": "; ".join(known.bound for known in reasons if known.bound) or None,
        "note": " ".join(notes) or "The reason is not known.",
        "source": next((known.source for known in reasons if known.source), None),
        "reproducer": {engine: code for engine, code in codes.items() if code is not None},
    }, max(verdict.ratio for verdict in departing.values())


def identity(function: str, what: str, dtype: str, inputs: str) -> str:
    """The id of a row: softplus/derivative/float64/20.5."""
    return "/".join((function, what, dtype, inputs.removeprefix("z = ").replace(" = ", "=").replace(", ", ",")))


def show(answer: Answer | str | None, i: int) -> str:
    """An answer as the row shows it."""
    if answer is None:
        return "not there"
    return f"raises {answer}" if isinstance(answer, str) else shown(answer.observed[i])


def rows_of(asked: Sequence[tuple[Question, Answers]]) -> list[Row]:
    """A row for each kink, and one for all other inputs with the same statuses for the same reason."""
    groups: dict[Any, list[tuple[Row, float]]] = {}
    for question, answers in asked:
        for i, where in enumerate(question.inputs):
            if (found := row(question, answers, i)) is not None:
                alone = where if question.kink[i] else None
                key = question.what, alone, *found[0]["status"].items(), found[0]["note"]
                groups.setdefault(key, []).append(found)
    return [worst_of(group) for group in groups.values()]


def worst_of(group: list[tuple[Row, float]]) -> Row:
    """The row of the worst input, the first of equals; its note says at how many others it is so."""
    worst, _ = max(group, key=lambda found: float(f"{found[1]:.1e}"))  # to two digits: of equals, the first
    reach = [found["departure"] for found, _ in group if found["ordinary"]] or [worst["departure"]]
    worst |= {
        "departure": {engine: max(each.get(engine, 0.0) for each in reach) for engine in worst["departure"]},
        "ordinary": any(found["ordinary"] for found, _ in group),
    }
    others = [found["input"] for found, _ in group if found is not worst]
    if not others:
        return worst
    named = "; ".join(others[:3]) + (f" and {len(others) - 3} more" if len(others) > 3 else "")
    return {**worst, "note": f"{worst['note']} Also at {named}."}


def attempt(call: Callable[[], Any]) -> Any:
    """What an adapter's method returns, or what it raised, on one line."""
    try:
        return call()
    except FAILURES as error:
        return describe(error)


def named(parameters: Parameters, usual: Parameters) -> str:
    """Parameters that are not the usual ones, to stand behind an input."""
    return "".join(f", {name} = {value!r}" for name, value in parameters.items() if value != usual[name])


# --- activations


def exact_input(dtype: str, engine: str) -> Rounding:
    """The rounding of an engine that is given z itself: no operand can be unrounded, and underflow is counted apart."""
    return replace(rd.rounding(dtype, engine), operand=0.0, underflow=0.0)


NEGLIGIBLE = 745.0
"""|z| beyond which e^{−|z|} is 0 in every format: no underflow is multiplied by a larger z."""


def activation_answer(adapter: Adapter, f: Activation, dtype: str, z: Array) -> dict[str, Answer | str | None]:
    """f(z) and f'(z) as an engine has them.

    By (6a), the vjp of a layer of one unit with the cotangent 1 is f(z) with respect to its weights; with weights of 1
    it is f'(z) with respect to z: no sum, and every product one with 1. An adapter without `layer_vjp` gives f(z) in
    its trace.
    """
    n, r, loss = len(z), exact_input(dtype, adapter.name), "half_squared_error"
    given = {role: {role: f.parameters} if f.parameters else {} for role in ("hidden", "output")}
    W, b = {1: np.eye(n), 2: np.ones((1, n))}, {1: np.zeros(n), 2: np.zeros(1)}
    case = Unchecked(f.name, "identity", loss, dtype, W, b, z[np.newaxis], np.zeros((1, 1)), given["hidden"])
    one, column = ({1: np.eye(1)}, {1: np.zeros(1)}), z[:, np.newaxis]
    single = Unchecked("identity", f.name, loss, dtype, *one, column, np.zeros((n, 1)), given["output"])
    if attempt(lambda: adapter.supports(single)) is not True:
        return {"value": None, "derivative": None}
    if hasattr(adapter, "layer_vjp"):
        seen = attempt(lambda: adapter.layer_vjp(case, 2, case.x, np.ones((1, 1))))
        value, derivative = (seen, seen) if isinstance(seen, str) else (seen[0][0], seen[2][0])
    else:
        trace = attempt(lambda: adapter.trace(single))
        value, derivative = trace if isinstance(trace, str) else trace.a[1][:, 0], None
    underflow = rd.rounding(dtype, adapter.name).underflow * rd.amplified(f, np.minimum(np.abs(z), NEGLIGIBLE))
    return {
        "value": held(value, *2 * (far(f.value, z),), far(lambda x: rd.value_error(f, x, r), z) + underflow),
        "derivative": held(derivative, *derivatives(f, z), far(lambda x: rd.derivative_error(f, x, r), z) + underflow),
    }


def held(observed: Any, lowest: Array, highest: Array, allowed: Array) -> Answer | str | None:
    """An answer of one number an input; what is no array passes as it is."""
    if observed is None or isinstance(observed, str):
        return observed
    columns = (np.asarray(part, dtype=np.float64)[:, np.newaxis] for part in (observed, lowest, highest, allowed))
    return Answer(*columns)


def derivatives(f: Activation, z: Array) -> tuple[Array, Array]:
    """The interval of f' at each z: more than one number at a kink."""
    lowest = far(f.derivative, z)
    highest = lowest.copy()
    for kink in f.kinks:
        lowest[z == kink.at], highest[z == kink.at] = kink.lowest, kink.highest
    return lowest, highest


def intervals(lowest: Array, highest: Array) -> tuple[str, ...]:
    """What the equation says, as a row shows it; (count, n) each."""
    return tuple(
        f"[{shown(low)}, {shown(high)}]" if (low < high).any() else "undefined" if np.isnan(low).any() else shown(low)
        for low, high in zip(lowest, highest, strict=True)
    )


def activation_rows(adapters: Sequence[Adapter], name: str, dtype: str) -> Iterator[Row]:
    """Every row of one elementwise activation, in one format."""
    usual, asked = ACTIVATIONS[name].parameters, []
    for parameters in members(activations.FAMILIES, usual, name, dtype):
        f = activations.activation(name, parameters)
        z = line([kink.at for kink in f.kinks], dtype)
        answers = {adapter.name: activation_answer(adapter, f, dtype, z) for adapter in adapters}
        kinks = np.isin(z, [kink.at for kink in f.kinks])
        inputs = tuple(f"z = {x!r}{named(parameters, usual)}" for x in z.tolist())
        lowest, highest = derivatives(f, z)
        for what, ends in (("value", 2 * (far(f.value, z),)), ("derivative", (lowest, highest))):
            question = Question(
                kind="activation",
                function=name,
                what=what,
                dtype=dtype,
                z=z[:, np.newaxis],
                y=np.empty((len(z), 0)),
                inputs=inputs,
                equation=intervals(*(end[:, np.newaxis] for end in ends)),
                kink=kinks if what == "derivative" else np.zeros_like(kinks),
                parameters=parameters,
                reproducer=partial(activation_code, name, what, dtype, z, parameters),
            )
            asked.append((question, {engine: answer[what] for engine, answer in answers.items()}))
    yield from rows_of(asked)


def activation_code(
    name: str, what: str, dtype: str, z: Array, parameters: Parameters, engine: str, i: int
) -> str | None:
    """The reproducer of one input."""
    return reproducers.of_activation(engine, name, what, dtype, float(z[i]), parameters)


# --- losses, and activations that are coupled


SAMPLES = 32
"""Of a batch of probes: a power of 2, so that the mean over the samples rounds nothing."""

TARGETS: dict[str, list[float]] = {"real": [0, 1], "sign": [1, -1], "count": [0, 2], "probability": [0, 1, 0.5]}
ONE_HOT = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
TRIPLE_TARGETS: dict[str, list[list[float]]] = {
    "class": ONE_HOT,
    "distribution": [*ONE_HOT, [0.5, 0.25, 0.25]],
    "direction": [[1.0, 2, -2]],
}
"""Labels of each kind, for one component and for three."""


def samples(loss: Loss, output: str, dtype: str) -> tuple[Array, Array]:
    """Logits and labels of a loss, (count, n): three components where they are coupled, else one."""
    targets: list[list[float]]
    if ACTIVATIONS[output].coupled or loss.carried is not None:
        z, targets = triples(dtype), TRIPLE_TARGETS.get(loss.labels, ONE_HOT)
    else:
        largest = rd.LARGEST["float64"]
        special = [0.0, 1.0, -1.0, *(sign * value for value in loss.parameters.values() for sign in (1, -1))]
        z = line(special, dtype)[:-1, np.newaxis]  # without NaN
        z = np.where(np.abs(z) == largest, z / 2**20, z)  # the reference shares this overflow
        targets = [[t] for t in TARGETS[loss.labels]]
    return np.tile(z, (len(targets), 1)), np.repeat(np.array(targets, dtype=np.float64), len(z), axis=0)


def batches(case: Case) -> Iterator[Case]:
    """The Case in batches of SAMPLES, the last one filled with its last sample."""
    for start in range(0, case.samples, SAMPLES):
        index = np.minimum(np.arange(start, start + SAMPLES), case.samples - 1)
        yield case.on_batch(case.x[index], case.y[index])


def loss_answer(adapter: Adapter, case: Case) -> dict[str, Answer | str | None]:
    """f_o(z), L_i and δ_i of every sample, each held to the equation at the engine's own operands."""
    if attempt(lambda: adapter.supports(case)) is not True:
        return dict.fromkeys(("output", "value", "derivative"))
    parts: dict[str, list[Answer]] = {}
    for batch in batches(case):
        trace = attempt(partial(adapter.trace, batch))
        if isinstance(trace, str):
            return dict.fromkeys(("output", "value", "derivative"), trace)
        for what, answer in audited(batch, trace, adapter.name).items():
            parts.setdefault(what, []).append(answer)
    return {what: joined(answers, case.samples) for what, answers in parts.items()}


def audited(case: Case, trace: Any, engine: str) -> dict[str, Answer]:
    """(8) and (9) of a trace, and its output, each with its allowance."""
    r, z, a, loss = rd.rounding(case.dtype, engine), trace.z[1], trace.a[1], case.criterion
    terms = contributions(case, z, a, case.y)
    errors = rd.contribution_error(loss, loss.argument(z, a), case.y, r)
    total = eq.eq_8(terms)[:, np.newaxis]
    expected, allowed = output_error_term(case, z, a, trace.delta[1], r)
    output, exact = case.f_o.value(z), exact_input(case.dtype, engine)
    found = {
        "output": Answer(a, output, output, rd.value_error(case.f_o, z, exact) + r.underflow),
        "derivative": Answer(trace.delta[1], expected, expected, np.broadcast_to(allowed, expected.shape)),
    }
    if trace.losses is not None:
        found["value"] = Answer(
            trace.losses[:, np.newaxis], total, total, rd.eq_8_error(terms, errors, r)[:, np.newaxis]
        )
    return found


def joined(answers: Sequence[Answer], count: int) -> Answer:
    """The answers of all batches in one."""
    names = ("observed", "lowest", "highest", "allowed")
    return Answer(*(np.concatenate([getattr(answer, name) for answer in answers])[:count] for name in names))


def said(case: Case) -> dict[str, tuple[Array, Array]]:
    """What the equations say of f_o(z), L_i and δ_i where a is the format's number nearest to f_o(z): intervals."""
    z, loss = case.x, case.criterion
    a = rounded(case.f_o.value(z), case.dtype)
    total, delta = eq.eq_8(contributions(case, z, a, case.y))[:, np.newaxis], output_delta(case, z, a, case.y)
    ends = (delta, delta)
    if loss.interval is not None and not case.f_o.coupled:
        products = [end * case.f_o.derivative(z) for end in loss.interval(a, case.y)]
        ends = np.minimum(*products), np.maximum(*products)
    return {"output": (a, a), "value": (total, total), "derivative": ends}


def single_layer(output: str, loss: str, dtype: str, x: Array, y: Array, parameters: Parameters) -> Case:
    """One layer with the identity as its weights, so that z = x."""
    n = x.shape[1]
    given = {"loss": parameters} if parameters else {}
    return Unchecked("identity", output, loss, dtype, {1: np.eye(n)}, {1: np.zeros(n)}, x, y, given)


def loss_rows(adapters: Sequence[Adapter], name: str, dtype: str) -> Iterator[Row]:
    """Every row of one loss, in one format."""
    usual, asked = LOSSES[name].parameters, []
    for parameters in members(losses.FAMILIES, usual, name, dtype):
        loss = losses.loss(name, parameters)
        output = loss.outputs[0] if loss.outputs else "identity"
        case = single_layer(output, name, dtype, *samples(loss, output, dtype), loss.parameters)
        asked += trace_questions(adapters, case, "loss", name, ("value", "derivative"), named(parameters, usual))
    yield from rows_of(asked)


def coupled_rows(adapters: Sequence[Adapter], name: str, dtype: str) -> Iterator[Row]:
    """Every row of a coupled activation; its Jacobian is seen as the δ of a loss, which of −y a is a row of it."""
    loss = "negative_log_likelihood" if fits(name, "negative_log_likelihood") else "half_squared_error"
    case = single_layer(name, loss, dtype, *samples(LOSSES[loss], name, dtype), {})
    yield from rows_of(trace_questions(adapters, case, "activation", name, ("output", "derivative"), ""))


def trace_questions(
    adapters: Sequence[Adapter], case: Case, kind: str, function: str, whats: Sequence[str], suffix: str
) -> list[tuple[Question, Answers]]:
    """What is asked of traces of one layer."""
    asked: list[tuple[Question, Answers]] = []
    answers = {adapter.name: loss_answer(adapter, case) for adapter in adapters}
    truth = said(case)
    inputs = tuple(f"z = {shown(z)}, y = {shown(y)}{suffix}" for z, y in zip(case.x, case.y, strict=True))
    for what in whats:
        lowest, highest = truth[what]
        question = Question(
            kind=kind,
            function=function,
            what="value" if what == "output" else what,
            dtype=case.dtype,
            z=case.x,
            y=case.y,
            inputs=inputs,
            equation=intervals(lowest, highest),
            kink=np.asarray((lowest < highest).any(axis=1)),
            parameters=case.parameters_of("loss"),
            reproducer=partial(loss_code, case, what),
        )
        asked.append((question, {engine: answer.get(what) for engine, answer in answers.items()}))
    return asked


def loss_code(case: Case, what: str, engine: str, i: int) -> str | None:
    """The reproducer of one sample."""
    names, parameters = (case.output, case.loss), case.parameters_of("loss")
    on_logits = case.criterion.on_logits
    return reproducers.of_loss(engine, names, what, case.dtype, case.x[i], case.y[i], parameters, on_logits)


# --- defaults


def default_rows(engines: Sequence[str]) -> Iterator[Row]:
    """A row for each call whose defaults are not the equation's; each is measured by running its reproducer."""
    for default in (*defaults(), *training_defaults()):
        candidates = default.candidates()
        usual = next(iter(candidates))
        codes = {engine: reproducers.of_default(engine, default.sources, default.arrays) for engine in engines}
        printed = {code: attempt(partial(reproducers.run, code)) for code in dict.fromkeys(codes.values()) if code}
        found = {engine: recognised(printed[code], candidates) if code else None for engine, code in codes.items()}
        status = {
            engine: "not there"
            if name is None
            else "defect"
            if name in (UNKNOWN, *default.defects)
            else "equal"
            if name == usual
            else "convention"
            for engine, name in found.items()
        }
        if set(status.values()) <= {"equal", "not there"}:
            continue
        yield {
            "id": identity(default.function, "default", "float64", default.input),
            "function": default.function,
            "kind": "default",
            "what": "default",
            "dtype": "float64",
            "kink": False,
            "input": default.input,
            "equation": f"{shown(candidates[usual])} ({usual})",
            "engines": {
                engine: f"{printed[code]} ({found[engine]})" if code else "not there" for engine, code in codes.items()
            },
            "status": status,
            "bound": None,
            "note": "What the call computes when nothing but its inputs is given.",
            "source": None,
            "reproducer": {
                engine: code for engine, code in codes.items() if code and status[engine] not in ("equal", "not there")
            },
        }


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
        slack = piece.roundings(rd.rounding(dtype, "numpy")) * np.abs(expected)
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


# --- the table


def measure(adapters: Sequence[Adapter], dtypes: Sequence[str]) -> list[Row]:
    """Every row, of these engines and formats: activations, losses, defaults, arithmetic."""
    with np.errstate(all="ignore"):
        rows: list[Row] = []
        for name, f in ACTIVATIONS.items():
            for dtype in dtypes:
                rows += (coupled_rows if f.coupled else activation_rows)(adapters, name, dtype)
        for name in LOSSES:
            for dtype in dtypes:
                rows += loss_rows(adapters, name, dtype)
        rows += default_rows([adapter.name for adapter in adapters])
        for dtype in dtypes:
            rows += arithmetic_rows(adapters, dtype)
    devices = {adapter.name: device_of(adapter) for adapter in adapters}
    for found in rows:
        codes = found["reproducer"].items()
        found["reproducer"] = {name: code and reproducers.on_device(code, devices[name]) for name, code in codes}
    return rows


EXPLAINED_BY = {
    "a": ("hidden", "output"),
    "12": ("hidden", "output"),
    "6a": ("hidden",),
    "14": ("hidden",),
    "13": ("hidden",),
    "11": ("hidden",),
    "8": ("loss",),
    "1": ("loss",),
    "9": ("output", "loss"),
    "10a": ("output", "loss"),
    "10b": ("output", "loss"),
    "4": ("hidden", "output", "loss"),
}
"""The functions of a cell that an equation is made of."""

OF_VALUES = ("a", "12", "6a", "8", "1", "4")
OF_DERIVATIVES = ("14", "13", "11", "9", "10a", "10b", "4")
"""What the equations are made of: (4), of the loss and of its slope."""

ELEMENTWISE = ("a", "9", "14", "13")
"""The equations whose every element is one value of a function, or a multiple of one: as far off as that is."""

REACH = 1.5
"""A row may lie a little beyond what is drawn: torch's softplus is linear from βz = 20 on, and is asked at 20.5."""


def explains(rows: Sequence[Row], item: Mapping[str, Any], finding: Mapping[str, Any]) -> str | None:
    """The id of the row that explains why a finding of a cell does not hold, or None.

    The row is of the cell's engine and dtype and a function of the equation, at an input like those that are drawn, and
    reads approximation or defect. An element must be off by no more than twice what the row is, relative to its value.
    """
    equation = finding["equation"]
    functions = {item[role] for role in EXPLAINED_BY.get(equation, ())}
    of = {"value": OF_VALUES, "derivative": OF_DERIVATIVES}
    worst = finding["worst"] or {"observed": np.nan, "expected": np.nan}
    off = departure(*(np.array(number(worst[side])) for side in ("observed", "expected")))
    for row in rows:
        if row["status"].get(item["engine"]) not in ("approximation", "defect") or row["function"] not in functions:
            continue
        alike = row["dtype"] == item["dtype"] and equation in of.get(row["what"], ()) and row.get("ordinary", False)
        if alike and (equation not in ELEMENTWISE or off <= 2 * number(row["departure"][item["engine"]])):
            return str(row["id"])
    return None


STYLES = {"convention": "", "approximation": "yellow", "defect": "bold red"}


def terminal(rows: Sequence[Row]) -> Table:
    """The table in 80 columns: formats in which the same is so share a line."""
    table = Table(title=summary(rows), title_style="dim", box=box.SIMPLE, padding=(0, 1, 0, 0), show_edge=False)
    for heading, width in (("function", 15), ("of", 10), ("at", 15), ("equation", 12), ("engines", 22)):
        table.add_column(heading, width=width, overflow="fold")
    groups: dict[tuple[str, ...], list[Row]] = {}
    for found in rows:
        departing = tuple(e for e, status in found["status"].items() if status not in ("equal", "not there"))
        statuses = tuple(found["status"].values())
        groups.setdefault((found["function"], found["what"], *departing, *statuses, found["note"][:40]), []).append(
            found
        )
    for group in groups.values():
        table.add_row(*cells(group), style=STYLES[max(group[0]["status"].values(), key=SEVERITY.index)])
    return table


SEVERITY = ("not there", "equal", "convention", "approximation", "defect")


def summary(rows: Sequence[Row]) -> str:
    """How many rows there are, each counted by its worst engine."""
    worst = [max(found["status"].values(), key=SEVERITY.index) for found in rows]
    counts = ", ".join(f"{worst.count(status)} {status}" for status in STYLES)
    return f"{len(rows)} rows: {counts}"


def cells(group: Sequence[Row]) -> tuple[str, ...]:
    """One line of the table, from the rows of several formats."""
    first = group[0]
    departing = [engine for engine, status in first["status"].items() if status not in ("equal", "not there")]
    show: Callable[[str], str] = label if first["kind"] == "default" else short
    if show(first["equation"]) in [show(first["engines"][engine]) for engine in departing]:
        show = str  # six digits do not tell them apart
    engines = "\n".join(f"{engine} {show(first['engines'][engine])}" for engine in departing)
    formats = " ".join(dict.fromkeys(found["dtype"].replace("float", "f") for found in group))
    return first["function"], f"{first['what']}\n{formats}", short(first["input"]), show(first["equation"]), engines


def short(text: str) -> str:
    """Numbers to six digits."""
    return re.sub(r"-?\d+\.\d+(e[-+]?\d+)?", lambda match: f"{float(match[0]):.6g}", text)


def label(text: str) -> str:
    """The name of the candidate that a default is, without its number."""
    return text[text.index("(") + 1 : -1]
