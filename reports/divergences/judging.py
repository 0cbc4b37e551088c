"""How engines' answers are judged (equal, a convention, an approximation, a defect), and the rows of the table."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from adapters.contract import FAILURES, Adapter, describe, device_of
from reference import rounding as rd
from reference.arrays import Array
from reference.cases import LARGEST_TOTAL_INPUT
from reports.divergences.inputs import Parameters
from reports.divergences.known import KNOWN, Departure, kind_of
from reports.divergences.reproducers import shown
from reports.results.files import number
from reports.results.records import Divergence

# --- questions and answers


@dataclass(frozen=True)
class Question:
    """A function's value or derivative at `count` inputs of n numbers each, which every engine is asked for.

    inputs      the inputs as their rows show them
    equation    what the equation gives at each, as its row shows it
    devices     the kind of device of every engine
    reproducer  the code that shows an engine's answer at an input, where there is such code
    """

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
    devices: Mapping[str, str]
    reproducer: Callable[[str, int], str | None]


@dataclass(frozen=True)
class Answer:
    """One engine's answer, and the interval that the equation gives on the engine's own operands; all (count, n)."""

    observed: Array
    lowest: Array
    highest: Array
    allowed: Array


Answers = dict[str, Answer | str | None]
"""By engine: an answer, what it raised instead, or None where it lacks the function."""


def kinds_of_devices(adapters: Sequence[Adapter]) -> dict[str, str]:
    """The kind of device that each engine computes on."""
    return {adapter.name: kind_of(device_of(adapter)) for adapter in adapters}


class Judgement(NamedTuple):
    """The status of one engine at one input, the known departure that is its reason, and its error.

    ratio     the error in units of the allowance
    relative  the error relative to what the equation gives
    """

    status: str
    known: Departure | None
    ratio: float
    relative: float = np.inf


def compared_at(answer: Answer, i: int, largest: float) -> tuple[Array, Array, float]:
    """The observed value, the nearest value that the equation gives, and their distance in units of the allowance."""
    observed, lowest, highest, allowed = (part[i] for part in (answer.observed, *bounds(answer)))
    nearest = np.clip(observed, lowest, highest)
    overflows = rd.overflows(observed, nearest, allowed, largest)
    same = (observed == nearest) | (np.isnan(observed) & np.isnan(lowest)) | overflows
    distance = np.abs(observed - nearest)
    ratio = np.where(same, 0.0, np.where(allowed > 0, distance / allowed, np.inf))
    return observed, nearest, float(np.where(np.isnan(ratio), np.inf, ratio).max())


def bounds(answer: Answer) -> tuple[Array, Array, Array]:
    """The interval and the allowance; an infinite allowance allows nothing."""
    return answer.lowest, answer.highest, np.where(np.isfinite(answer.allowed), answer.allowed, 0.0)


def judge(question: Question, engine: str, answer: Answer | str | None, i: int) -> Judgement:
    """The status of an engine's answer at input i."""
    if answer is None or isinstance(answer, str):
        return Judgement("not there" if answer is None else "defect", None, np.inf)
    observed, nearest, ratio = compared_at(answer, i, rd.LARGEST[question.dtype])
    relative = relative_distance(observed, nearest)
    if ratio <= 1:
        return Judgement("convention" if question.kink[i] else "equal", None, ratio, relative)
    about = engine, question.function, question.what, question.dtype
    at = question.z[i], question.y[i], question.parameters
    stated = [known for known in KNOWN if known.covers(*about, at, question.devices[engine])]
    for known in stated:
        if known.status == "approximation" and known.holds(observed, nearest, bounds(answer)[2][i]):
            return Judgement("approximation", known, ratio, relative)
    if has_several_answers(question, i, observed, answer.lowest[i]):
        return Judgement("convention", None, ratio, relative)
    return Judgement("defect", next((known for known in stated if known.status == "defect"), None), ratio, relative)


def relative_distance(observed: Array, expected: Array) -> float:
    """max |observed − expected|/|expected|; infinite where the two are not both numbers."""
    with np.errstate(all="ignore"):
        distance = np.where(observed == expected, 0.0, np.abs(observed - expected) / np.abs(expected))
    return float(np.where(np.isnan(distance), np.inf, distance).max())


def has_several_answers(question: Question, i: int, observed: Array, expected: Array) -> bool:
    """Whether several answers are usual: the input or the equation is NaN, infinity made it, or a loss is at a pole."""
    z = question.z[i]
    if np.isnan(z).any() or np.isnan(expected).any() or (np.isinf(z).any() and np.isnan(observed).any()):
        return True
    return question.kind == "loss" and not np.isfinite(expected).all()


CONVENTIONS = {
    "kink": "A kink: every number of the interval is a derivative there.",
    "NaN": "The input is not a number.",
    "infinite": "The equation has a limit, but a formula that meets ∞·0, ∞ − ∞ or ∞/∞ on its way makes NaN.",
    "pole": "A pole: the equation has no finite value, and a formula that meets ∞·0 or ∞ − ∞ makes NaN.",
}

"""Notes on inputs at which several answers are usual."""

CONVENTIONS_OF_FUNCTIONS = {
    ("cosine_distance", "pole"): "A vector of zeros has no direction: torch divides by at least 10⁻⁸, optax by 0.",
    ("binary_cross_entropy", "pole"): (
        "A pole: σ(z) has rounded to 0 or 1, and (8) makes infinity; torch clamps the logarithm at −100."
    ),
}
"""Notes on one function, in place of those."""


def convention_at(question: Question, i: int) -> str:
    """Why several answers are usual at an input: a key of CONVENTIONS."""
    if question.kink[i]:
        return "kink"
    if question.kind == "loss":
        return "pole"
    return "NaN" if np.isnan(question.z[i]).any() else "infinite"


class Candidate(NamedTuple):
    """The row of one input, and the worst ratio of an engine at it."""

    row: Divergence
    ratio: float


def row_at(question: Question, answers: Answers, i: int) -> Candidate | None:
    """The row of one input; None where no engine departs, or all give the same at NaN."""
    judgements = {engine: judge(question, engine, answer, i) for engine, answer in answers.items()}
    there = {engine: judgement for engine, judgement in judgements.items() if judgement.status != "not there"}
    departing = {engine: judgement for engine, judgement in there.items() if judgement.status != "equal"}
    texts = {engine: answer_text(answers[engine], i) for engine in judgements}
    if not departing or (np.isnan(question.z[i]).any() and len({texts[engine] for engine in there}) == 1):
        return None
    reasons = list(dict.fromkeys(judgement.known for judgement in departing.values() if judgement.known))
    notes = [known.reason for known in reasons]
    if any(judgement.status == "convention" for judgement in departing.values()):
        convention = convention_at(question, i)
        notes.append(CONVENTIONS_OF_FUNCTIONS.get((question.function, convention), CONVENTIONS[convention]))
    codes = {engine: question.reproducer(engine, i) for engine in departing}
    row: Divergence = {
        "id": identity(question.function, question.what, question.dtype, question.inputs[i]),
        "function": question.function,
        "kind": question.kind,
        "what": question.what,
        "dtype": question.dtype,
        "kink": bool(question.kink[i]),
        "input": question.inputs[i],
        "equation": question.equation[i],
        "engines": texts,
        "status": {engine: judgement.status for engine, judgement in judgements.items()},
        "departure": {engine: departing[engine].relative for engine in departing},
        "ordinary": bool((np.abs(question.z[i]) <= LARGEST_TOTAL_INPUT * REACH).all()),
        "bound": "; ".join(known.bound for known in reasons if known.bound) or None,
        "note": " ".join(notes) or "The reason is not known.",
        "source": next((known.source for known in reasons if known.source), None),
        "reproducer": {engine: code for engine, code in codes.items() if code is not None},
    }
    return Candidate(row, max(judgement.ratio for judgement in departing.values()))


def identity(function: str, what: str, dtype: str, at: str) -> str:
    """The id of a row: softplus/derivative/float64/20.5."""
    return "/".join((function, what, dtype, at.removeprefix("z = ").replace(" = ", "=").replace(", ", ",")))


def answer_text(answer: Answer | str | None, i: int) -> str:
    """An answer as the row shows it."""
    if answer is None:
        return "not there"
    return f"raises {answer}" if isinstance(answer, str) else shown(answer.observed[i])


def rows_of(asked: Sequence[tuple[Question, Answers]]) -> list[Divergence]:
    """A row for each kink, and one for all other inputs with the same statuses for the same reason."""
    groups: dict[Any, list[Candidate]] = {}
    for question, answers in asked:
        for i, text in enumerate(question.inputs):
            if (candidate := row_at(question, answers, i)) is not None:
                kink = text if question.kink[i] else None
                key = question.what, kink, *candidate.row["status"].items(), candidate.row["note"]
                groups.setdefault(key, []).append(candidate)
    return [row_of(group) for group in groups.values()]


def row_of(group: Sequence[Candidate]) -> Divergence:
    """The row of the worst input, the first of equals; its note names the other inputs, or counts them."""
    worst, _ = max(group, key=lambda candidate: float(f"{candidate.ratio:.1e}"))  # to two digits: of equals, the first
    departures = [row["departure"] for row, _ in group if row["ordinary"]] or [worst["departure"]]
    worst["departure"] = {engine: max(number(d.get(engine, 0.0)) for d in departures) for engine in worst["departure"]}
    worst["ordinary"] = any(row["ordinary"] for row, _ in group)
    others = [row["input"] for row, _ in group if row is not worst]
    if not others:
        return worst
    listing = "; ".join(others[:3]) + (f" and {len(others) - 3} more" if len(others) > 3 else "")
    return {**worst, "note": f"{worst['note']} Also at {listing}."}


def attempt(call: Callable[[], Any]) -> Any:
    """The result of an adapter's method, or what it raised, on one line."""
    try:
        return call()
    except FAILURES as error:
        return describe(error)


def parameters_text(parameters: Parameters, usual: Parameters) -> str:
    """The parameters that are not the usual ones, to stand after an input."""
    return "".join(f", {name} = {value!r}" for name, value in parameters.items() if value != usual[name])


REACH = 1.5
"""A row may lie a little beyond what is drawn: torch's softplus is linear from βz = 20 on, and is asked at 20.5."""
