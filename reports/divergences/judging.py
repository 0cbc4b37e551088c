"""Questions, answers and their status: equal, a convention, an approximation, a defect; and the rows made of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from adapters.contract import FAILURES, describe
from reference import rounding as rd
from reference.arrays import Array
from reference.cases import LARGEST_TOTAL_INPUT
from reports.divergences.inputs import Parameters
from reports.divergences.known import KNOWN, Known
from reports.divergences.reproducers import shown

Row = dict[str, Any]


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


REACH = 1.5
"""A row may lie a little beyond what is drawn: torch's softplus is linear from βz = 20 on, and is asked at 20.5."""
