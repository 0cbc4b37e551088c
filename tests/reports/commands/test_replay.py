"""`replay`: a Case of a file in every engine, and files from strangers, which get one line."""

import json
import os

import pytest

from reference.case import MOST_BYTES, CaseError, read, to_json
from reference.cases import Shape
from tests.reports.campaign.failing import drawn, numbers, run

# --- the verb


BAD = """
from dataclasses import replace
from adapters.numpy.engine import NumpyEngine
class Mine(NumpyEngine):
    name = "mine"
    def trace(self, case):
        trace = super().trace(case)
        return replace(trace, delta={**trace.delta, 1: trace.delta[1] * 1.00001})
"""


def test_a_case_is_replayed_in_every_engine(call, tmp_path):
    path = tmp_path / "case.json"
    path.write_text(to_json(drawn()), encoding="utf-8")
    status, out, _ = call("replay", path)
    assert status == 0
    for engine in ("numpy", "torch-eager", "jax-jit", "jax-whole"):
        assert f"{engine}: holds" in out
    assert "widths [3, 2, 2], 2 samples" in out


def test_an_adapter_that_breaks_is_named_and_its_scripts_are_written(call, tmp_path):
    path = tmp_path / "case.json"
    path.write_text(to_json(drawn(shape=Shape((5, 4, 3), 6))), encoding="utf-8")
    (tmp_path / "bad.py").write_text(BAD, encoding="utf-8")
    adapter = f"{tmp_path / 'bad.py'}:Mine"
    status, out, _ = call("replay", path, "--engines", "numpy", "--adapter", adapter, "--out", tmp_path / "s")
    assert status == 1
    assert "mine: breaks" in out
    assert "(14) in layer 1" in out
    least = read(tmp_path / "s" / "case-mine.json")
    assert least.samples == 1
    for framework in ("numpy", "torch", "jax"):
        printed = run(tmp_path / "s" / f"case-mine_{framework}.py")
        seen, gave, made = (numbers(line)[0] for line in printed.splitlines()[-3:])
        assert abs(gave - made) > 3 * abs(seen - made), "the script does not show the disagreement"


def test_no_engine_that_computes_it_is_no_pass(call, tmp_path):
    path = tmp_path / "case.json"
    path.write_text(to_json(drawn(("hardshrink", "identity", "huber"))), encoding="utf-8")
    assert call("replay", path, "--engines", "jax-jit")[0] == 1


def test_the_audit_writes_what_fails(call, tmp_path):
    (tmp_path / "bad.py").write_text(BAD, encoding="utf-8")
    arguments = (
        *("--adapter", f"{tmp_path / 'bad.py'}:Mine", "--hidden", "tanh", "--output", "sigmoid"),
        *("--loss", "half_squared_error", "--dtypes", "float32", "--workers", "1", "--further", "0"),
        *("--no-training", "--no-divergences", "--out", tmp_path),
    )
    status, out, _ = call("audit", *arguments)
    assert status == 1
    path = tmp_path / "failures" / "mine-cpu-float32-tanh-sigmoid-half_squared_error.json"
    assert f"replay {path}" in out.replace("\n", "")
    status, out, _ = call("replay", path, "--engines", "numpy", "--adapter", f"{tmp_path / 'bad.py'}:Mine")
    assert status == 1
    assert "numpy: holds" in out
    assert "mine: breaks" in out


# --- files from strangers

GOOD = json.loads(to_json(drawn()))


def wide(width, samples):
    """A small file of a network that is large."""
    one = GOOD | {"hidden": "identity", "output": "identity", "loss": "huber"}
    return one | {"W": [[[0]] * width], "b": [[0] * width], "x": [[0]] * samples, "y": [[0] * width] * samples}


HOSTILE_TEXTS = {
    "nothing": "",
    "no JSON": "{",
    "a number": "7",
    "a list": "[]",
    "null": "null",
    "deep nesting": "[" * 1_000_000,
    "deep nesting of an array": json.dumps(GOOD | {"x": 7}).replace("7", "[" * 900 + "]" * 900),
    "a name twice": json.dumps(GOOD)[:-1] + ', "x": [[1]]}',
    "another schema": json.dumps(GOOD | {"schema": "backprop-parity/case/99"}),
    "a schema that is not text": json.dumps(GOOD | {"schema": {"a": ["\x1b[31m"]}}),
    "escapes of a terminal": json.dumps(GOOD | {"hidden": "\x1b]0;owned\x07\x1b[2J"}),
    "a name of a line": json.dumps(GOOD | {"hidden": "tanh\nerror: all is well"}),
    "a long name": json.dumps(GOOD | {"loss": "x" * 1_000_000}),
    "a name that is not text": json.dumps(GOOD | {"hidden": ["tanh"]}),
    "an object for a name": json.dumps(GOOD | {"dtype": {"x": 1}}),
    "code": json.dumps(GOOD | {"hidden": "__import__('os').system('touch owned')"}),
    "code in a number": json.dumps(GOOD | {"x": [["__import__('os')"] * 3] * 2}),
    "a field more": json.dumps(GOOD | {"run": "x"}),
    "a field less": json.dumps({name: value for name, value in GOOD.items() if name != "y"}),
    "no layers": json.dumps(GOOD | {"W": [], "b": []}),
    "an empty layer": json.dumps(GOOD | {"W": [[], []]}),
    "layers that are an object": json.dumps(GOOD | {"W": {"1": [[1]]}}),
    "ragged rows": json.dumps(GOOD | {"x": [[1, 2, 3], [1]]}),
    "too many dimensions": json.dumps(GOOD | {"x": [[[[[[1]]]]]]}),
    "NaN": json.dumps(GOOD | {"x": [[float("nan")] * 3] * 2}),
    "infinite": json.dumps(GOOD | {"x": [["inf"] * 3] * 2}),
    "too large a number": json.dumps(GOOD | {"x": [["0x1p99999"] * 3] * 2}),
    "a number of many digits": json.dumps(GOOD | {"x": 7}).replace("7", "9" * 10_000),
    "a number that the format lacks": json.dumps(GOOD | {"x": [[0.1] * 3] * 2}),
    "true": json.dumps(GOOD | {"x": True}),
    "text for parameters": json.dumps(GOOD | {"parameters": "none"}),
    "a parameter that is a list": json.dumps(GOOD | {"parameters": {"hidden": {"alpha": [1]}}}),
    "a parameter that there is not": json.dumps(GOOD | {"parameters": {"hidden": {"evil": 1}}}),
    "absurd activations": json.dumps(wide(20_000, 20_000 // 20)),
    "absurd depth": json.dumps(GOOD | {"W": [[[0]]] * 5_000, "b": [[0]] * 5_000, "x": [[0]], "y": [[0]]}),
}


@pytest.mark.parametrize("verb", ["replay", "audit"])
@pytest.mark.parametrize("what", HOSTILE_TEXTS)
def test_a_file_from_a_stranger_gets_one_line(what, verb, call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "case.json"
    path.write_text(HOSTILE_TEXTS[what], encoding="utf-8")
    arguments = (
        ("replay", path) if verb == "replay" else ("audit", "--engines", "numpy", "--case", path, "--out", "out")
    )
    status, out, err = call(*arguments)
    assert status == 2
    assert len(err.splitlines()) == 1
    assert len(err) < 700
    assert err[:-1].isprintable()
    assert "error: case" in err
    assert "holds" not in out
    assert not (tmp_path / "owned").exists()


def files(tmp_path):
    """Paths that are not the file of a Case."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    with (tmp_path / "large").open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    return [tmp_path / name for name in ("pipe", "folder", "bytes", "large", "dangling", "missing")] + ["/dev/zero"]


def test_what_is_no_file_of_text_gets_one_line_and_is_not_waited_for(call, tmp_path):
    for path in files(tmp_path):
        status, _, err = call("replay", path)
        assert (status, len(err.splitlines())) == (2, 1), path
        assert str(path) in err


def test_a_case_that_is_good_is_read_to_the_last_bit(tmp_path):
    path, case = tmp_path / "case.json", drawn()
    path.write_text(to_json(case), encoding="utf-8")
    assert to_json(read(path)) == to_json(case)


def test_limits_are_of_what_is_computed_not_only_of_the_file(tmp_path):
    path = tmp_path / "case.json"
    path.write_text(HOSTILE_TEXTS["absurd activations"], encoding="utf-8")
    assert path.stat().st_size < MOST_BYTES * 2
    with pytest.raises(CaseError, match=r"activations|bytes"):
        read(path)
