"""The records of scalar_accuracy.json."""

from typing import TypedDict

from reports.results.records import Environment, Number

Input = float | list[float] | None
"""The number or the components at which an error occurs; None where there is none."""


class Entry(TypedDict):
    """The largest errors of one function of a family, in one format and engine, and the inputs where they occur.

    `roundings` and `ulp` are of the inputs for which an accuracy is claimed, `beyond` is in roundings and of all.
    """

    function: str
    what: str
    engine: str
    dtype: str
    parameters: dict[str, float]
    inputs: int
    roundings: Number
    at: Input
    ulp: Number
    ulp_at: Input
    beyond: Number
    beyond_at: Input


class SweepRequest(TypedDict):
    """What a sweep was asked for."""

    functions: list[str]
    dtypes: list[str]
    float32: int
    drawn: int
    seed: int
    engines: list[str]


class ScalarAccuracy(TypedDict):
    """scalar_accuracy.json."""

    schema: str
    environment: Environment
    request: SweepRequest
    entries: list[Entry]
