"""results.json: written whole or not at all, and read."""

import json
import math
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from reports.results.environment import environment
from reports.results.records import Results

SCHEMA = "backprop-parity/results/3"


class ResultsError(ValueError):
    """Results that cannot be written or read; the message is one line."""


def empty(seed: int, started: str) -> dict[str, Any]:
    """Results without a campaign."""
    about = environment({}, seed, started, 0.0)
    return {"schema": SCHEMA, "environment": about, "request": {}, "cells": [], "training": [], "times": None}


CHAPTERS = ("faults", "trajectories")
"""What is measured apart from a campaign, each with an environment of its own."""

SAME = ("python", "platform", "processor", "versions")
"""What of an environment must be the same for a chapter to be of this machine and these versions."""


def carried(path: Path, about: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The chapters that stand in a file and were measured in this environment; and why others are left out."""
    if not path.exists():
        return {}, []
    try:
        before: Mapping[str, Any] = load(path)
    except ResultsError as error:
        return {}, [f"{error}: it is replaced"]
    kept, said = {}, []
    for name in CHAPTERS:
        if name not in before:
            continue
        measured_in = before[name].get("environment", {})
        other = [key for key in SAME if measured_in.get(key) != about[key]]
        if other:
            said.append(f"{name} were measured with another {', '.join(other)}: left out, measure them again")
        else:
            kept[name] = before[name]
    return kept, said


def jsonable(value: Any) -> Any:
    """The value with "NaN", "Infinity" and "-Infinity" for the numbers that JSON lacks."""
    if isinstance(value, dict):
        return {key: jsonable(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def number(value: Any) -> float:
    """The number that a JSON value stands for; NaN for what is missing."""
    return math.nan if value is None else float(value)


def writable(folder: Path) -> Path:
    """The folder, made if it is not there; raises ResultsError if nothing can be written in it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ResultsError(f"output folder {str(folder)!r} cannot be written: {error.strerror}") from error
    return folder


def write(path: Path, text: str) -> None:
    """Write a file whole or not at all: what stood there stays until the new text is complete."""
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise ResultsError(f"{str(path)!r} cannot be written: {error.strerror}") from error


def dump(results: Mapping[str, Any]) -> str:
    """Results as text: a line for each field, and for each item of a list."""
    fields = []
    for name, value in jsonable(results).items():
        if isinstance(value, list) and value:
            text = "[\n" + ",\n".join(json.dumps(item, allow_nan=False, ensure_ascii=False) for item in value) + "\n]"
        else:
            text = json.dumps(value, allow_nan=False, ensure_ascii=False)
        fields.append(f"{json.dumps(name)}: {text}")
    return "{\n" + ",\n".join(fields) + "\n}\n"


def load(path: Path) -> Results:
    """The results in a file; raises ResultsError if it holds none."""
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ResultsError(f"results {str(path)!r} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ResultsError(f"results {str(path)!r} are no JSON: {error}") from error
    if not isinstance(results, dict) or results.get("schema") != SCHEMA:
        found = results.get("schema") if isinstance(results, dict) else type(results).__name__
        raise ResultsError(f"results {str(path)!r} have the schema {found!r}, but should have {SCHEMA!r}")
    return cast(Results, results)
