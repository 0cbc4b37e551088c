"""results.json: what stands in it, and that it is whole or not there."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from reports.results.files import SCHEMA, ResultsError, dump, jsonable, load, number, restored, writable, write

FOUND = {"schema": SCHEMA, "cells": [{"verdict": "holds", "checked": {"7a": [0.5, 2, 960]}}], "training": []}


# --- numbers that JSON lacks


@pytest.mark.parametrize(
    ("value", "text"),
    [(math.nan, "NaN"), (math.inf, "Infinity"), (-math.inf, "-Infinity"), (0.1, 0.1), (3, 3)],
    ids=str,
)
def test_jsonable(value, text):
    nested = {"a": [value, (value, None, True, "text")]}
    assert jsonable(nested) == {"a": [text, [text, None, True, "text"]]}
    again = number(jsonable(value))
    assert again == value or (math.isnan(again) and math.isnan(value))


def test_restored_takes_back_what_jsonable_does():
    record = {"a": [math.inf, -math.inf, 0.5, None, True, "text"], "b": {"c": [[1, 2]]}}
    assert restored(jsonable(record)) == record
    assert math.isnan(restored(jsonable([math.nan]))[0])


@pytest.mark.parametrize("value", [np.float64("nan"), np.float64("inf"), np.float64(0.5)])
def test_jsonable_takes_numpys_float64(value):
    json.loads(json.dumps(jsonable([value]), allow_nan=False))


def test_every_number_is_read_back_to_the_last_bit():
    values = [0.1, 5e-324, 1.7976931348623157e308, -0.0, 1 / 3]
    again = json.loads(dump({"values": values}))["values"]
    assert [value.hex() for value in again] == [value.hex() for value in values]


def test_a_line_for_every_field_and_every_item_of_a_list():
    found = {
        "schema": SCHEMA,
        "cells": [{"id": "σ", "ratios": [1, math.nan]}, {"id": "b"}],
        "training": [],
        "times": {"a": 1},
    }
    text = dump(found)
    assert text.splitlines() == [
        "{",
        f'"schema": "{SCHEMA}",',
        '"cells": [',
        '{"id": "σ", "ratios": [1, "NaN"]},',
        '{"id": "b"}',
        "],",
        '"training": [],',
        '"times": {"a": 1}',
        "}",
    ]
    assert text.endswith("\n")
    assert json.loads(text) == jsonable(found)


def test_the_schema_is_the_third():
    assert SCHEMA == "backprop-parity/results/3"


# --- written whole or not at all


def test_write_and_load(tmp_path):
    write(tmp_path / "results.json", dump(FOUND))
    assert load(tmp_path / "results.json") == FOUND
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"], "something was left beside the file"


def full(path, text, **options):
    """A disk that is full after half of the text."""
    with path.open("w", **options) as file:
        file.write(text[: len(text) // 2])
    raise OSError(28, "No space left on device")


def refused(path, target):
    raise OSError(13, "Permission denied")


@pytest.mark.parametrize(
    ("method", "failing", "reason"),
    [("write_text", full, "No space left on device"), ("replace", refused, "Permission denied")],
    ids=["writing", "replacing"],
)
def test_the_old_file_stays_where_writing_fails(tmp_path, monkeypatch, method, failing, reason):
    path = tmp_path / "results.json"
    path.write_text("old")
    monkeypatch.setattr(Path, method, failing)
    with pytest.raises(ResultsError) as caught:
        write(path, "new and longer")
    monkeypatch.undo()
    assert path.read_text() == "old"
    assert str(caught.value) == f"{str(path)!r} cannot be written: {reason}"


def test_write_into_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(ResultsError, match="cannot be written"):
        write(tmp_path / "absent" / "results.json", "text")


def test_writable_makes_the_folder(tmp_path):
    folder = tmp_path / "a" / "b"
    assert writable(folder) == folder
    assert list(folder.iterdir()) == []
    assert writable(folder) == folder


@pytest.mark.parametrize("below", ["", "folder", "a/b"])
def test_a_folder_below_a_file_is_not_writable(tmp_path, below):
    file = tmp_path / "file"
    file.write_text("here")
    with pytest.raises(ResultsError) as caught:
        writable(file / below)
    assert str(file / below) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert file.read_text() == "here"


# --- read


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "cannot be read: No such file"),
        (b"", "are not JSON"),
        (b"{", "are not JSON"),
        (b"\xff\xfe\x00", "are not JSON"),
        (b"[]", "have the schema 'list'"),
        (b"{}", "have the schema None"),
        (b'{"schema": "backprop-parity/results/1"}', "have the schema 'backprop-parity/results/1'"),
    ],
    ids=["absent", "empty", "cut", "bytes", "list", "no schema", "old"],
)
def test_what_cannot_be_loaded(tmp_path, content, reason):
    path = tmp_path / "results.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ResultsError) as caught:
        load(path)
    message = str(caught.value)
    assert str(path) in message
    assert reason in message, f"the message is {message!r}, but should say {reason!r}"
    assert "\n" not in message


def test_a_folder_cannot_be_loaded(tmp_path):
    with pytest.raises(ResultsError, match="cannot be read"):
        load(tmp_path)
