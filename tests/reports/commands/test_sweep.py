"""`sweep`: the file that it writes, and what a sweep that was cut off leaves."""

import json
import sys

import pytest

from reports.accuracy import sweep


def test_a_sweep_is_written_and_leaves_nothing_unfinished(call, tmp_path):
    arguments = ("--functions", "tanh", "--dtypes", "float16", "--engines", "numpy", "--out", tmp_path)
    status, text, err = call("sweep", *arguments)
    assert (status, err) == (0, "")
    assert [path.name for path in tmp_path.iterdir()] == ["scalar_accuracy.json"]
    found = json.loads((tmp_path / "scalar_accuracy.json").read_text(encoding="utf-8"))
    assert found["schema"] == "backprop-parity/scalar-accuracy/2"
    assert [(e["function"], e["what"], e["engine"], e["dtype"], e["inputs"]) for e in found["entries"][:1]] == [
        ("tanh", "value", "numpy", "float16", 63488)
    ]
    assert len(found["entries"]) == 2
    for part in ("tanh", "float16", "value", "derivative", str(tmp_path / "scalar_accuracy.json")):
        assert part in text


def test_a_sweep_that_is_finished_is_swept_again(call, tmp_path, monkeypatch):
    """Another version, another accuracy: what a finished sweep found is not handed out as a new measurement."""
    arguments = ("--functions", "tanh", "--dtypes", "float32", "--inputs", "256", "--engines", "numpy")
    before = sweep.sweep_activation
    seen = []
    monkeypatch.setattr(sweep, "sweep_activation", lambda *about: seen.append(about) or before(*about))
    for number in (1, 2):
        assert call("sweep", *arguments, "--out", tmp_path)[0] == 0
        assert len(seen) == number * 3


def test_a_sweep_that_is_cut_off_goes_on(call, tmp_path, monkeypatch):
    arguments = ("--functions", "tanh,huber", "--dtypes", "float32", "--inputs", "256", "--engines", "numpy")
    before = sweep.sweep_loss

    def fails(*about):
        raise RuntimeError("cut off")

    monkeypatch.setattr(sweep, "sweep_loss", fails)
    with pytest.raises(RuntimeError, match="cut off"):
        call("sweep", *arguments, "--out", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [sweep.PARTIAL]
    monkeypatch.setattr(sweep, "sweep_loss", before)
    monkeypatch.setattr(sweep, "sweep_activation", fails)  # it is done
    assert call("sweep", *arguments, "--out", tmp_path)[0] == 0
    found = json.loads((tmp_path / "scalar_accuracy.json").read_text(encoding="utf-8"))
    assert {entry["function"] for entry in found["entries"]} == {"tanh", "huber"}


def test_without_python_flint_a_sweep_is_one_line(call, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "flint", None)
    status, text, err = call("sweep", "--functions", "tanh", "--out", tmp_path)
    assert (status, text) == (2, "")
    assert err.startswith("error: true values are computed with python-flint, which is not installed: ")
    assert err.endswith(" python -m pip install python-flint\n")
    assert err.count("\n") == 1
