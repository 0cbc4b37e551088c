"""What an adapter of a third party declares of its arithmetic, as a dict or in attributes, read and checked."""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from reference.accuracy import WHATS, Accuracy
from reference.activations import ACTIVATIONS
from reference.arithmetic import Arithmetic
from reference.losses import LOSSES
from reference.rounding import DTYPES

FIELDS: dict[str, Any] = {each.name: each.default for each in fields(Arithmetic)}
"""The fields of Arithmetic, and what an engine that leaves one out is allowed."""


def understood(declared: object, widest: Arithmetic) -> Arithmetic:
    """The arithmetic that is declared, and the widest in what it leaves out.

    Raises ValueError, in words that follow "has", for a field that there is not or a value that it may not have.
    """
    if isinstance(declared, Arithmetic):
        return declared
    values = declared if isinstance(declared, Mapping) else public(declared)
    return replace(widest, **{name: of_field(name, value) for name, value in values.items()})


def public(declared: object) -> dict[str, Any]:
    """The attributes of an object, without its methods and what begins with an underscore."""
    names = (name for name in dir(declared) if not name.startswith("_"))
    return {name: value for name in names if not callable(value := getattr(declared, name))}


def of_field(name: object, value: Any) -> Any:
    """The value of a field of Arithmetic; raises ValueError, in words, for one that there is not."""
    if name not in FIELDS:
        raise ValueError(f"{name!r:.60}, but may have {', '.join(FIELDS)}")
    if name == "accuracy":
        return accuracy_of(value)
    kind = type(FIELDS[str(name)])
    if kind is bool:
        if not isinstance(value, bool):
            raise ValueError(f"{name} = {value!r:.60}, but should have True or False")
        return value
    if value not in DTYPES and not (value is None and FIELDS[str(name)] is None):
        raise ValueError(f"{name} = {value!r:.60}, but should have one of {', '.join(DTYPES)}")
    return value


def accuracy_of(value: Any) -> Accuracy:
    """A name under which an engine was measured; or {function: {"value": roundings, "derivative": roundings}}."""
    if value is None or isinstance(value, str):
        return value
    if not isinstance(value, Mapping):
        raise ValueError(f"accuracy = {value!r:.60}, but should have a name, or a dict of roundings by function")
    return tuple(
        (name, part, roundings_of(name, part, number))
        for name, parts in value.items()
        for part, number in (parts.items() if isinstance(parts, Mapping) else [("", parts)])
    )


def roundings_of(function: Any, part: Any, value: Any) -> float:
    """The roundings that the value or the derivative of a function errs by at most."""
    if function not in ACTIVATIONS and function not in LOSSES:
        raise ValueError(f"accuracy of {function!r:.60}, but should have it of {', '.join((*ACTIVATIONS, *LOSSES))}")
    if part not in WHATS:
        raise ValueError(f"accuracy of {function} of {part!r:.60}, but should have it of {' and '.join(WHATS)}")
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
        raise ValueError(f"accuracy of {function} = {value!r:.60}, but should have a number of roundings, at least 0")
    return float(value)
