"""A Case is everything that determines a computation; a Trace is what an engine reports of it."""

import json
import math
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from reference import activations, losses
from reference.activations import ACTIVATIONS, HIDDEN, OUTPUT, Activation
from reference.arrays import Array, Layers
from reference.losses import LABELS, LOSSES, Loss
from reference.rounding import DTYPES, rounded

SCHEMA = "backprop-parity/case/2"


class CaseError(ValueError):
    """A Case that describes no computation; its message is one line, with the offending value and what is allowed."""


@dataclass(frozen=True, eq=False, repr=False)
class Case:
    """A network, its weights and biases, and a batch.

    W[l] (n^l, n^{l-1}), b[l] (n^l,) for l = 1 … L-1; x (N, n^0); y (N, n^{L-1}). The arrays are float64, and every
    number in them is one that `dtype` holds exactly. `parameters` has, under "hidden", "output" and "loss", those of
    the function of that name, such as {"slope": 0.1}; one that is not given has its usual value.
    Raises CaseError if anything does not fit, is not finite, or is not a number of that format.
    """

    hidden: str
    output: str
    loss: str
    dtype: str
    W: Layers
    b: Layers
    x: Array
    y: Array
    parameters: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_names(self)
        check_parameters(self)
        check_shapes(self)
        check_numbers(self)

    def __repr__(self) -> str:
        names = f"{self.hidden} → {self.output}, {self.loss}, {self.dtype}"
        return f"<Case {names}: widths {list(self.widths)}, {self.samples} samples>"

    @property
    def layers(self) -> range:
        """The layers that compute, 1 … L-1."""
        return range(1, len(self.W) + 1)

    @property
    def last(self) -> int:
        """The output layer, L-1."""
        return len(self.W)

    @property
    def samples(self) -> int:
        """The size of the batch, N."""
        return len(self.x)

    @property
    def widths(self) -> tuple[int, ...]:
        """n^0 … n^{L-1}."""
        return (self.x.shape[1], *(len(self.b[l]) for l in self.layers))

    def parameters_of(self, role: str) -> Mapping[str, float]:
        """The parameters of the "hidden" or "output" activation or the "loss", usual ones included."""
        table: Mapping[str, Activation | Loss] = LOSSES if role == "loss" else ACTIVATIONS
        return {**table[getattr(self, role)].parameters, **self.parameters.get(role, {})}

    def activation(self, layer: int) -> Activation:
        """f of a layer: the identity in layer 0, f_o in the last, else f_h."""
        if layer == 0:
            return ACTIVATIONS["identity"]
        return self.f_o if layer == self.last else self.f_h

    @property
    def f_h(self) -> Activation:
        """The activation of the hidden layers."""
        return activations.activation(self.hidden, self.parameters.get("hidden", {}))

    @property
    def f_o(self) -> Activation:
        """The activation of the output layer."""
        return activations.activation(self.output, self.parameters.get("output", {}))

    @property
    def criterion(self) -> Loss:
        """The loss function, L_i."""
        return losses.loss(self.loss, self.parameters.get("loss", {}))

    def on_batch(self, x: Array, y: Array) -> "Case":
        """The same network on another batch."""
        return replace(self, x=x, y=y)

    def with_parameters(self, W: Layers, b: Layers) -> "Case":
        """The same network and batch with other weights and biases."""
        return replace(self, W=W, b=b)


@dataclass(frozen=True, eq=False)
class Trace:
    """What an engine computed in one forward pass and one call of its autodiff, in float64 arrays of its own values.

    loss       L, the total loss (1)
    dW, db     ∂L/∂W^l (n^l, n^{l-1}) and ∂L/∂b^l (n^l,)
    losses     L_i (N,)                                                                        or None
    z, a       z^l and a^l (N, n^l), l = 1 … L-1                                               or None
    delta      δ^l = ∂L_i/∂z^l (N, n^l), that is N times the gradient of L with respect to z   or None

    An engine that cannot give z, a or delta is audited end to end.
    """

    loss: float
    dW: Layers
    db: Layers
    losses: Array | None = None
    z: Layers | None = None
    a: Layers | None = None
    delta: Layers | None = None


def choose(what: str, value: object, allowed: object) -> CaseError:
    """An error that names the offending value and the allowed ones."""
    names = ", ".join(allowed) if isinstance(allowed, (tuple, list, dict, set, frozenset)) else str(allowed)
    return CaseError(f"{what} {value!r} is unknown: choose from {names}")


def check_names(case: Case) -> None:
    """Raise CaseError for a name that is in no table, or a loss that its output activation does not fit."""
    for what, value, allowed in (
        ("hidden activation", case.hidden, HIDDEN),
        ("output activation", case.output, OUTPUT),
        ("loss", case.loss, tuple(LOSSES)),
        ("dtype", case.dtype, DTYPES),
    ):
        if value not in allowed:
            raise choose(what, value, allowed)
    if not fits(case.output, case.loss):
        raise CaseError(
            f"loss {case.loss!r} fits the output {' or '.join(LOSSES[case.loss].outputs)}, not {case.output!r}"
        )


def fits(output: str, loss: str) -> bool:
    """Whether a loss is defined on what an output activation gives."""
    return not LOSSES[loss].outputs or output in LOSSES[loss].outputs


def check_parameters(case: Case) -> None:
    """Raise CaseError for a parameter that its function does not have, or whose value it cannot take."""
    if not set(case.parameters) <= {"hidden", "output", "loss"}:
        raise CaseError(f"parameters are of {sorted(case.parameters)}, but should be of hidden, output or loss")
    for role, given in case.parameters.items():
        name = getattr(case, role)
        known = (LOSSES if role == "loss" else ACTIVATIONS)[name].parameters
        for parameter, value in given.items():
            if parameter not in known:
                raise CaseError(f"{role} {name!r} has no parameter {parameter!r}: it has {', '.join(known) or 'none'}")
            if not (math.isfinite(value) and value > 0):
                raise CaseError(f"{parameter} of {role} {name!r} is {value!r}, but should be a positive number")
    for f in (case.f_h, case.f_o):
        for kink in f.kinks:
            if rounded(kink.at, case.dtype) != kink.at:
                raise CaseError(
                    f"{f.name!r} has a kink at {kink.at!r}, but should have it where {case.dtype} has a number"
                )
    if not case.criterion.parameters.get("smoothing", 0) <= 1:
        raise CaseError(f"smoothing is {case.criterion.parameters['smoothing']!r}, but should be at most 1")


def check_shapes(case: Case) -> None:
    """Raise CaseError unless the arrays are those of one network on one batch."""
    if not case.W or set(case.W) != set(case.layers) or set(case.b) != set(case.layers):
        raise CaseError(f"layers of W are {sorted(case.W)} and of b {sorted(case.b)}, but both should be 1 … L-1")
    if case.x.ndim != 2 or case.x.size == 0:
        raise CaseError(f"x has shape {case.x.shape}, but should be (samples, inputs), both at least 1")
    width = case.x.shape[1]
    for l in case.layers:
        if case.W[l].ndim != 2 or case.W[l].shape[1] != width or case.W[l].shape[0] == 0:
            raise CaseError(f"W[{l}] has shape {case.W[l].shape}, but should be (units, {width})")
        width = len(case.W[l])
        if case.b[l].shape != (width,):
            raise CaseError(f"b[{l}] has shape {case.b[l].shape}, but should be ({width},)")
    if case.y.shape != (case.samples, width):
        raise CaseError(f"y has shape {case.y.shape}, but should be {(case.samples, width)}")


def check_numbers(case: Case) -> None:
    """Raise CaseError for a number that is not finite, not of the Case's format, or no label for its loss."""
    arrays = {"x": case.x, "y": case.y}
    arrays |= {f"W[{l}]": W for l, W in case.W.items()} | {f"b[{l}]": b for l, b in case.b.items()}
    for name, array in arrays.items():
        require(np.isfinite(array), name, array, "finite")
        require(rounded(array, case.dtype) == array, name, array, f"a number that {case.dtype} holds exactly")
    allowed, what = LABELS[LOSSES[case.loss].labels]
    require(allowed(case.y) & np.ones_like(case.y, bool), "y", case.y, what)


def require(holds: np.ndarray[Any, np.dtype[np.bool_]], name: str, array: Array, what: str) -> None:
    """Raise CaseError naming the first element for which `holds` is false."""
    if not holds.all():
        index = tuple(int(i) for i in np.argwhere(~holds)[0])
        raise CaseError(f"{name} at {index} is {array[index]!s}, but should be {what}")


def to_json(case: Case) -> str:
    """A Case as JSON, every number in hexadecimal, so that it is read back to the last bit."""

    def hexadecimal(array: Array) -> Any:
        return [hexadecimal(row) for row in array] if array.ndim else float(array).hex()

    names = {name: getattr(case, name) for name in ("hidden", "output", "loss", "dtype")}
    parameters = {
        role: {name: float(value).hex() for name, value in given.items()} for role, given in case.parameters.items()
    }
    layers = {name: [hexadecimal(getattr(case, name)[l]) for l in case.layers] for name in ("W", "b")}
    batch = {"x": hexadecimal(case.x), "y": hexadecimal(case.y)}
    return json.dumps({"schema": SCHEMA, **names, "parameters": parameters, **layers, **batch})


MOST_BYTES = 2**25
"""Of a Case's file."""

MOST_LAYERS, MOST_NUMBERS = 256, 2**24
"""Of a Case that is read: the layers, and the numbers of its trace and of its weights."""


def read(path: Path) -> Case:
    """The Case in a file, which is data from anybody: it is checked, and nothing in it is executed.

    Raises CaseError, on one line of printable characters, for what is not a regular file, is larger than MOST_BYTES, is
    not a Case, or would make a trace of more than MOST_NUMBERS.
    """
    try:
        return within_limits(from_json(text_of(path)))
    except CaseError as error:
        message = "".join(c if c.isprintable() else " " for c in str(error))
        raise CaseError(f"case {str(path)!r}: {message[:400]}") from error


def text_of(path: Path) -> str:
    """The text of a regular file; a pipe or a device is not waited for."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            about = os.fstat(file.fileno())
            if not stat.S_ISREG(about.st_mode):
                raise CaseError("it is not a regular file")
            if about.st_size > MOST_BYTES:
                raise CaseError(f"it has {about.st_size} bytes, but may have {MOST_BYTES}")
            return file.read(MOST_BYTES).decode("utf-8")
    except OSError as error:
        raise CaseError(f"it cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CaseError(f"it is not text in UTF-8: {error.reason} at byte {error.start}") from error


def within_limits(case: Case) -> Case:
    """The Case, if a computer can be asked to compute it."""
    if len(case.layers) > MOST_LAYERS:
        raise CaseError(f"it has {len(case.layers)} layers, but may have {MOST_LAYERS}")
    for what, count in (
        ("weights", sum(n * m for n, m in pairwise(case.widths))),
        ("activations", case.samples * sum(case.widths)),
    ):
        if count > MOST_NUMBERS:
            raise CaseError(f"it has {count} {what}, but may have {MOST_NUMBERS}")
    return case


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of a JSON text, which names nothing twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("an object names something twice")
    return found


def from_json(text: str) -> Case:
    """The Case that `to_json` wrote; numbers may be hexadecimal strings or JSON numbers.

    Raises CaseError for anything else.
    """
    try:
        data = json.loads(text, object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise CaseError(f"a Case is JSON, but this text is not: {error}") from error
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        found = data.get("schema") if isinstance(data, dict) else type(data).__name__
        raise CaseError(f"the schema of a Case is {found!r}, but should be {SCHEMA!r}")
    names = ("hidden", "output", "loss", "dtype", "parameters", "W", "b", "x", "y")
    if set(data) != {"schema", *names}:
        raise CaseError(f"a Case has the fields {sorted(set(data) - {'schema'})}, but should have {sorted(names)}")
    for name in ("W", "b"):
        if not isinstance(data[name], list):
            raise CaseError(f"{name} is {repr(data[name])[:60]}, but should be a list with one array a layer")
        data[name] = {l: numbers(f"{name}[{l}]", rows) for l, rows in enumerate(data[name], start=1)}
    x, y, parameters = numbers("x", data["x"]), numbers("y", data["y"]), parameters_in(data["parameters"])
    return Case(data["hidden"], data["output"], data["loss"], data["dtype"], data["W"], data["b"], x, y, parameters)


def parameters_in(data: Any) -> dict[str, dict[str, float]]:
    """The parameters that `to_json` wrote."""
    if not isinstance(data, dict) or not all(isinstance(given, dict) for given in data.values()):
        raise CaseError(f"parameters are {repr(data)[:60]}, but should be an object of objects, such as of the loss")
    found = {role: {name: numbers(name, value) for name, value in given.items()} for role, given in data.items()}
    for name, value in (item for given in found.values() for item in given.items()):
        if value.ndim:
            raise CaseError(f"parameter {name} has shape {value.shape}, but should be a number")
    return {role: {name: float(value) for name, value in given.items()} for role, given in found.items()}


def numbers(name: str, rows: Any) -> Array:
    """Nested lists of numbers, or of hexadecimal strings, as a float64 array."""

    def parse(item: Any) -> Any:
        if isinstance(item, list):
            return [parse(part) for part in item]
        if isinstance(item, str):
            return float.fromhex(item)
        return float(item)

    try:
        return np.array(parse(rows), dtype=np.float64)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise CaseError(f"{name} is not an array of numbers: {error}") from error
