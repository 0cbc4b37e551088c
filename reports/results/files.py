"""results.json: written whole or not at all, and read."""

import json
import math
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from reports.results.environment import environment
from reports.results.records import Environment
from reports.results.schema import Chapters, Results

SCHEMA = "backprop-parity/results/3"


class ResultsError(ValueError):
    """Results that cannot be written or read; the message is one line."""


def empty(seed: int, started: str) -> Results:
    """Results without a campaign."""
    return {
        "schema": SCHEMA,
        "environment": environment({}, seed, started, 0.0),
        "request": {},
        "cells": [],
        "training": [],
        "times": None,
    }


# --- chapters that are measured apart


CHAPTERS = ("faults", "trajectories")
"""The names of the chapters that are measured apart from a campaign."""

SAME = ("python", "platform", "processor", "versions")
"""The fields of an environment that must be the same for two measurements to be of one machine and of one software."""


def carried(path: Path, now: Environment) -> tuple[Chapters, list[str]]:
    """The chapters of a file that were measured in this environment; and for each of the others, why it is left out."""
    if not path.exists():
        return {}, []
    try:
        before: Mapping[str, Any] = load(path)
    except ResultsError as error:
        return {}, [f"{error}: it is replaced"]
    kept, notices = {}, []
    for name in CHAPTERS:
        if name not in before:
            continue
        measured_in = before[name].get("environment", {})
        other = [key for key in SAME if measured_in.get(key) != dict(now)[key]]
        if other:
            notices.append(f"{name} were measured with another {', '.join(other)}: left out, measure them again")
        else:
            kept[name] = before[name]
    return cast(Chapters, kept), notices


# --- numbers that JSON lacks


def jsonable(value: Any) -> Any:
    """The value with "NaN", "Infinity" and "-Infinity" for the numbers that JSON lacks."""
    if isinstance(value, dict):
        return {key: jsonable(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def restored(value: Any) -> Any:
    """The value of which `jsonable` made this: with the numbers that JSON lacks."""
    if isinstance(value, dict):
        return {key: restored(part) for key, part in value.items()}
    if isinstance(value, list):
        return [restored(part) for part in value]
    return float(value) if value in ("NaN", "Infinity", "-Infinity") else value


def number(value: Any) -> float:
    """The number that a JSON value stands for; NaN for a missing one."""
    return math.nan if value is None else float(value)


# --- files


def writable(folder: Path) -> Path:
    """The folder, created if it is not there; raises ResultsError if nothing can be written in it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ResultsError(f"output folder {str(folder)!r} cannot be written: {error.strerror}") from error
    return folder


def write(path: Path, text: str) -> None:
    """Write a file whole or not at all: the old one stays until the new text is complete."""
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
    """The results in a file; raises ResultsError for a file that holds none, or another schema."""
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ResultsError(f"results {str(path)!r} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ResultsError(f"results {str(path)!r} are not JSON: {error}") from error
    if not isinstance(results, dict) or results.get("schema") != SCHEMA:
        schema = results.get("schema") if isinstance(results, dict) else type(results).__name__
        raise ResultsError(f"results {str(path)!r} have the schema {schema!r}, but should have {SCHEMA!r}")
    return cast(Results, results)
