"""A Case is everything that determines a computation; a Trace is what an engine reports of it."""

import json
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from reference.activations import HIDDEN, OUTPUT
from reference.arrays import Array, Layers
from reference.losses import LOSSES
from reference.rounding import DTYPES

SCHEMA = "backprop-parity/case/1"


class CaseError(ValueError):
    """A Case that describes no computation; its message is one line, with the offending value and what is allowed."""


@dataclass(frozen=True, eq=False)
class Case:
    """A network, its parameters and a batch.

    W[l] (n^l, n^{l-1}), b[l] (n^l,) for l = 1 … L-1; x (N, n^0); y (N, n^{L-1}). The arrays are float64, and every
    number in them is one that `dtype` holds exactly.
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

    def __post_init__(self) -> None:
        check_names(self)
        check_shapes(self)
        check_numbers(self)

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

    def activation(self, layer: int) -> str:
        """The name of f in a layer: the identity in layer 0, f_o in the last, else f_h."""
        if layer == 0:
            return "identity"
        return self.output if layer == self.last else self.hidden

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
        with np.errstate(over="ignore"):
            require(array.astype(case.dtype) == array, name, array, f"a number that {case.dtype} holds exactly")
    if LOSSES[case.loss].outputs:
        require((case.y >= 0) & (case.y <= 1), "y", case.y, "a probability, between 0 and 1")


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
    parameters = {name: [hexadecimal(getattr(case, name)[l]) for l in case.layers] for name in ("W", "b")}
    return json.dumps({"schema": SCHEMA, **names, **parameters, "x": hexadecimal(case.x), "y": hexadecimal(case.y)})


def from_json(text: str) -> Case:
    """The Case that `to_json` wrote; numbers may be hexadecimal strings or JSON numbers.

    Raises CaseError for anything else.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CaseError(f"a Case is JSON, but this text is not: {error}") from error
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        found = data.get("schema") if isinstance(data, dict) else type(data).__name__
        raise CaseError(f"the schema of a Case is {found!r}, but should be {SCHEMA!r}")
    names = ("hidden", "output", "loss", "dtype", "W", "b", "x", "y")
    if set(data) != {"schema", *names}:
        raise CaseError(f"a Case has the fields {sorted(set(data) - {'schema'})}, but should have {sorted(names)}")
    for name in ("W", "b"):
        if not isinstance(data[name], list):
            raise CaseError(f"{name} is {repr(data[name])[:60]}, but should be a list with one array a layer")
        data[name] = {l: numbers(f"{name}[{l}]", rows) for l, rows in enumerate(data[name], start=1)}
    x, y = numbers("x", data["x"]), numbers("y", data["y"])
    return Case(data["hidden"], data["output"], data["loss"], data["dtype"], data["W"], data["b"], x, y)


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
        raise CaseError(f"{name} is no array of numbers: {error}") from error
