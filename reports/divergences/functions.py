"""The rows of every activation and every loss: what each engine computes at the inputs of `inputs`."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from adapters.contract import Adapter, arithmetic_of
from reference import activations, losses
from reference import equations as eq
from reference import rounding as rd
from reference.activations import ACTIVATIONS, Activation
from reference.arithmetic import Arithmetic
from reference.arrays import Array
from reference.audit import output_error_term
from reference.case import Case, fits
from reference.losses import LOSSES, Loss
from reference.network import contributions, output_delta
from reference.rounding import Rounding, rounded
from reports.divergences import reproducers
from reports.divergences.inputs import Parameters, Unchecked, extended, members, scalars, triples
from reports.divergences.judging import Answer, Answers, Question, attempt, kinds_of_devices, parameters_text, rows_of
from reports.divergences.reproducers import shown
from reports.results.records import Divergence

# --- activations


def exact_input(dtype: str, arithmetic: Arithmetic) -> Rounding:
    """The rounding of an engine that gets z itself: no operand is unrounded, and underflow is counted separately."""
    return replace(rd.rounding(dtype, arithmetic), operand=0.0, underflow=0.0)


NEGLIGIBLE = 745.0
"""|z| beyond which e^{−|z|} is 0 in every format: no underflow is multiplied by a larger z."""


def activation_answer(adapter: Adapter, f: Activation, dtype: str, z: Array) -> dict[str, Answer | str | None]:
    """f(z) and f'(z) as an engine computes them.

    By (6a), the vjp of a layer of one unit with the cotangent 1 is f(z) with respect to its weights; with weights of 1
    it is f'(z) with respect to z: no sum, and every product one with 1. An adapter without `layer_vjp` gives f(z) in
    its trace.
    """
    n, r, loss = len(z), exact_input(dtype, arithmetic_of(adapter)), "half_squared_error"
    parameters = {role: {role: f.parameters} if f.parameters else {} for role in ("hidden", "output")}
    W, b = {1: np.eye(n), 2: np.ones((1, n))}, {1: np.zeros(n), 2: np.zeros(1)}
    case = Unchecked(f.name, "identity", loss, dtype, W, b, z[np.newaxis], np.zeros((1, 1)), parameters["hidden"])
    one, column = ({1: np.eye(1)}, {1: np.zeros(1)}), z[:, np.newaxis]
    single = Unchecked("identity", f.name, loss, dtype, *one, column, np.zeros((n, 1)), parameters["output"])
    if attempt(lambda: adapter.supports(single)) is not True:
        return {"value": None, "derivative": None}
    if hasattr(adapter, "layer_vjp"):
        vjp = attempt(lambda: adapter.layer_vjp(case, 2, case.x, np.ones((1, 1))))
        value, derivative = (vjp, vjp) if isinstance(vjp, str) else (vjp[0][0], vjp[2][0])
    else:
        trace = attempt(lambda: adapter.trace(single))
        value, derivative = trace if isinstance(trace, str) else trace.a[1][:, 0], None
    underflow = rd.UNDERFLOW[dtype] * rd.amplified(f, np.minimum(np.abs(z), NEGLIGIBLE))
    expected, value_error = (extended(g, z) for g in (f.value, lambda x: rd.value_error(f, x, r)))
    derivative_error = extended(lambda x: rd.derivative_error(f, x, r), z)
    return {
        "value": answer_of(value, expected, expected, value_error + underflow),
        "derivative": answer_of(derivative, *derivatives(f, z), derivative_error + underflow),
    }


def answer_of(observed: Any, lowest: Array, highest: Array, allowed: Array) -> Answer | str | None:
    """An answer of one number an input; None, and the text of an error, stay as they are."""
    if observed is None or isinstance(observed, str):
        return observed
    columns = (np.asarray(part, dtype=np.float64)[:, np.newaxis] for part in (observed, lowest, highest, allowed))
    return Answer(*columns)


def derivatives(f: Activation, z: Array) -> tuple[Array, Array]:
    """The interval of f' at each z: more than one number at a kink."""
    lowest = extended(f.derivative, z)
    highest = lowest.copy()
    for kink in f.kinks:
        lowest[z == kink.at], highest[z == kink.at] = kink.lowest, kink.highest
    return lowest, highest


def intervals(lowest: Array, highest: Array) -> tuple[str, ...]:
    """What the equation gives, as a row shows it, from the ends of its intervals; (count, n) each."""
    return tuple(
        f"[{shown(low)}, {shown(high)}]" if (low < high).any() else "undefined" if np.isnan(low).any() else shown(low)
        for low, high in zip(lowest, highest, strict=True)
    )


def activation_rows(adapters: Sequence[Adapter], name: str, dtype: str) -> Iterator[Divergence]:
    """Every row of one elementwise activation, in one format."""
    usual, asked = ACTIVATIONS[name].parameters, []
    for parameters in members(activations.FAMILIES, usual, name, dtype):
        f = activations.activation(name, parameters)
        z = scalars([kink.at for kink in f.kinks], dtype)
        answers = {adapter.name: activation_answer(adapter, f, dtype, z) for adapter in adapters}
        kinks = np.isin(z, [kink.at for kink in f.kinks])
        inputs = tuple(f"z = {x!r}{parameters_text(parameters, usual)}" for x in z.tolist())
        lowest, highest = derivatives(f, z)
        for what, ends in (("value", 2 * (extended(f.value, z),)), ("derivative", (lowest, highest))):
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
                devices=kinds_of_devices(adapters),
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


def loss_inputs(loss: Loss, output: str, dtype: str) -> tuple[Array, Array]:
    """Logits and labels of a loss, (count, n): three components where they are coupled, else one."""
    targets: list[list[float]]
    if ACTIVATIONS[output].coupled or loss.carried is not None:
        z, targets = triples(dtype), TRIPLE_TARGETS.get(loss.labels, ONE_HOT)
    else:
        largest = rd.LARGEST["float64"]
        special = [0.0, 1.0, -1.0, *(sign * value for value in loss.parameters.values() for sign in (1, -1))]
        z = scalars(special, dtype)[:-1, np.newaxis]  # without NaN
        z = np.where(np.abs(z) == largest, z / 2**20, z)  # the reference shares this overflow
        targets = [[t] for t in TARGETS[loss.labels]]
    return np.tile(z, (len(targets), 1)), np.repeat(np.array(targets, dtype=np.float64), len(z), axis=0)


def batches(case: Case) -> Iterator[Case]:
    """The Case in batches of SAMPLES, the last one filled with its last sample."""
    for start in range(0, case.samples, SAMPLES):
        index = np.minimum(np.arange(start, start + SAMPLES), case.samples - 1)
        yield case.on_batch(case.x[index], case.y[index])


def loss_answer(adapter: Adapter, case: Case) -> dict[str, Answer | str | None]:
    """f_o(z), L_i and δ_i of every sample, each with what its equation gives at the engine's own operands."""
    if attempt(lambda: adapter.supports(case)) is not True:
        return dict.fromkeys(("output", "value", "derivative"))
    parts: dict[str, list[Answer]] = {}
    for batch in batches(case):
        trace = attempt(partial(adapter.trace, batch))
        if isinstance(trace, str):
            return dict.fromkeys(("output", "value", "derivative"), trace)
        for what, answer in answers_in(batch, trace, arithmetic_of(adapter)).items():
            parts.setdefault(what, []).append(answer)
    return {what: joined(answers, case.samples) for what, answers in parts.items()}


def answers_in(case: Case, trace: Any, arithmetic: Arithmetic) -> dict[str, Answer]:
    """What a trace has of (8), of (9) and of the output, each with its allowance."""
    r, z, a, loss = rd.rounding(case.dtype, arithmetic), trace.z[1], trace.a[1], case.criterion
    terms = contributions(case, z, a, case.y)
    errors = rd.contribution_error(loss, loss.argument(z, a), case.y, r)
    total = eq.eq_8(terms)[:, np.newaxis]
    expected, allowed = output_error_term(case, z, a, trace.delta[1], r)
    output, exact = case.f_o.value(z), exact_input(case.dtype, arithmetic)
    answers = {
        "output": Answer(a, output, output, rd.value_error(case.f_o, z, exact) + r.underflow),
        "derivative": Answer(trace.delta[1], expected, expected, np.broadcast_to(allowed, expected.shape)),
    }
    if trace.losses is not None:
        answers["value"] = Answer(
            trace.losses[:, np.newaxis], total, total, rd.eq_8_error(terms, errors, r)[:, np.newaxis]
        )
    return answers


def joined(answers: Sequence[Answer], count: int) -> Answer:
    """The answers of all batches in one."""
    names = ("observed", "lowest", "highest", "allowed")
    return Answer(*(np.concatenate([getattr(answer, name) for answer in answers])[:count] for name in names))


def expected_of(case: Case) -> dict[str, tuple[Array, Array]]:
    """The intervals that the equations give for f_o(z), L_i and δ_i, a being the format's number nearest to f_o(z)."""
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
    roles = {"loss": parameters} if parameters else {}
    return Unchecked("identity", output, loss, dtype, {1: np.eye(n)}, {1: np.zeros(n)}, x, y, roles)


def loss_rows(adapters: Sequence[Adapter], name: str, dtype: str) -> Iterator[Divergence]:
    """Every row of one loss, in one format."""
    usual, asked = LOSSES[name].parameters, []
    for parameters in members(losses.FAMILIES, usual, name, dtype):
        loss = losses.loss(name, parameters)
        output = loss.outputs[0] if loss.outputs else "identity"
        case = single_layer(output, name, dtype, *loss_inputs(loss, output, dtype), loss.parameters)
        asked += trace_questions(
            adapters, case, "loss", name, ("value", "derivative"), parameters_text(parameters, usual)
        )
    yield from rows_of(asked)


def coupled_rows(adapters: Sequence[Adapter], name: str, dtype: str) -> Iterator[Divergence]:
    """Every row of a coupled activation; its Jacobian shows in the δ of a loss: of −y a that is a row of it."""
    loss = "negative_log_likelihood" if fits(name, "negative_log_likelihood") else "half_squared_error"
    case = single_layer(name, loss, dtype, *loss_inputs(LOSSES[loss], name, dtype), {})
    yield from rows_of(trace_questions(adapters, case, "activation", name, ("output", "derivative"), ""))


def trace_questions(
    adapters: Sequence[Adapter], case: Case, kind: str, function: str, whats: Sequence[str], suffix: str
) -> list[tuple[Question, Answers]]:
    """The questions that traces of one layer answer."""
    asked: list[tuple[Question, Answers]] = []
    answers = {adapter.name: loss_answer(adapter, case) for adapter in adapters}
    expected = expected_of(case)
    inputs = tuple(f"z = {shown(z)}, y = {shown(y)}{suffix}" for z, y in zip(case.x, case.y, strict=True))
    for what in whats:
        lowest, highest = expected[what]
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
            devices=kinds_of_devices(adapters),
            reproducer=partial(loss_code, case, what),
        )
        asked.append((question, {engine: answer.get(what) for engine, answer in answers.items()}))
    return asked


def loss_code(case: Case, what: str, engine: str, i: int) -> str | None:
    """The reproducer of one sample."""
    names, parameters = (case.output, case.loss), case.parameters_of("loss")
    on_logits = case.criterion.on_logits
    return reproducers.of_loss(engine, names, what, case.dtype, case.x[i], case.y[i], parameters, on_logits)
