"""Replay: a failing Case as files that show it, and files from strangers, which get one line."""

import json
import os
import re
from dataclasses import replace

import numpy as np
import pytest

from adapters.numpy.engine import NumpyEngine
from reference.case import MOST_BYTES, CaseError, read, to_json
from reference.cases import COMBINATIONS, Combination, Shape, cover, draw_case
from reports.campaign import failing_cases, scripts, shrinking
from reports.campaign.scripts import QUANTITIES
from reports.divergences import reproducers

SHAPE = Shape((3, 2, 2), 2)
HOSTILE = '<script>"""\n/../x'


def drawn(combination=("tanh", "sigmoid", "binary_cross_entropy"), dtype="float32", seed=0, shape=SHAPE):
    return draw_case(np.random.default_rng([2026, seed]), Combination(*combination), shape, dtype, usual=True)


def finding(equation="14", layer=1, index=(0, 1)):
    worst = {"case": 0, "index": index, "observed": 0.25, "expected": 0.5, "allowed": 1e-8}
    return {"equation": equation, "layer": layer, "ratio": 9.0, "elements": 4, "worst": worst}


class Wrong(NumpyEngine):
    """δ of the first layer is off by 10⁻⁵."""

    name = "wrong"

    def trace(self, case):
        trace = super().trace(case)
        return replace(trace, delta={**trace.delta, 1: trace.delta[1] * 1.00001})


# --- scripts


@pytest.mark.parametrize("equations", QUANTITIES.values(), ids=QUANTITIES)
def test_a_script_computes_the_number_that_is_off(equations, tmp_path):
    """In float64 every framework comes as near to the reference as its rounding lets it."""
    case = drawn(dtype="float64")
    trace = NumpyEngine().trace(case)
    name = next(name for name, of in QUANTITIES.items() if of == equations)
    index = {"loss": (), "losses": (1,), "db": (1,)}.get(name, (1, 0))
    array = {"loss": trace.loss, "losses": trace.losses}.get(name)
    truth = float(np.asarray(getattr(trace, name)[1] if array is None else array)[index])
    paths = failing_cases.save(tmp_path, "it", case, "mine", finding(equations[0], 1, index))
    assert [path.name for path in paths] == ["it.json", "it_numpy.py", "it_torch.py", "it_jax.py"]
    for path in paths[1:]:
        printed = run(path)
        assert numbers(printed)[0] == pytest.approx(truth, rel=1e-12)
        assert "mine gave: 0.25" in printed
        assert "0.5 ± 1e-08" in printed


def numbers(text):
    """The numbers of a text that have a point."""
    return [float(found) for found in re.findall(r"-?\d+\.\d+(?:e-?\d+)?", text)]


def run(path):
    """What a script prints, in this process."""
    code = path.read_text(encoding="utf-8")
    return reproducers.run(f"__file__ = {str(path)!r}\n{code}")


@pytest.mark.parametrize("framework", ["torch", "jax"])
def test_every_function_has_a_script_that_agrees_with_the_equations(framework, tmp_path):
    asked = set(reproducers.ACTIVATIONS[framework]) | set(reproducers.LOSSES[framework])
    left = set(asked)
    for seed, combination in enumerate(COMBINATIONS):
        if not (set(combination) <= asked and set(combination) & left):
            continue
        case = drawn(combination, "float64", seed)
        trace = NumpyEngine().trace(case)
        failing_cases.save(tmp_path, f"{seed}", case, "mine", finding("9", 2, (1, 1)))
        printed = run(tmp_path / f"{seed}_{framework}.py").split("\n")
        found = float(printed[0 if framework == "torch" else 1].removeprefix("torch: "))
        # torch's hardsigmoid multiplies by a 1/6 that it holds in float32
        assert found == pytest.approx(trace.delta[2][1, 1], rel=3e-8, abs=1e-12), combination
        left -= set(combination)
    assert not left


def test_a_function_that_a_framework_lacks_has_no_script_of_it():
    assert set(scripts.scripts(drawn(("hardshrink", "identity", "huber")), "x", "mine", finding())) == {
        "numpy",
        "torch",
    }
    assert set(scripts.scripts(drawn(("tanh", "tanh", "log_cosh")), "x", "mine", finding())) == {"numpy", "jax"}


def test_no_script_is_longer_than_40_lines_or_wider_than_a_screen():
    for combination in cover():
        for code in scripts.scripts(drawn(combination), "a-file.json", "mine", finding()).values():
            assert len(code.splitlines()) <= 40
            assert max(map(len, code.splitlines())) <= 240


def test_a_parameter_that_a_framework_does_not_take_has_no_script_of_it():
    case = drawn(("softplus", "identity", "huber"))
    assert "jax" in scripts.scripts(case, "it.json", "mine", finding())
    other = replace(case, parameters={"hidden": {"beta": 2.0}})
    assert set(scripts.scripts(other, "it.json", "mine", finding())) == {"numpy", "torch"}


def test_names_from_elsewhere_stay_text(tmp_path):
    paths = failing_cases.save(tmp_path, HOSTILE, drawn(), HOSTILE, finding())
    assert all(path.parent == tmp_path for path in paths)
    for path in paths[1:]:
        assert repr(f"{HOSTILE} gave: 0.25") in path.read_text(encoding="utf-8")
        run(path)


# --- smaller Cases


def test_a_failing_case_is_made_as_small_as_still_fails():
    case = drawn(shape=Shape((7, 5, 4, 3), 9))
    least = shrinking.smaller(case, lambda each: failing_cases.is_off(failing_cases.audited(Wrong(), "cpu", each)))
    assert least.samples == 1
    assert [least.W[l].shape for l in least.layers] == [(1, 1), (1, 1), (3, 1)]
    assert failing_cases.is_off(failing_cases.audited(Wrong(), "cpu", least))


def test_what_makes_it_fail_stays():
    case = drawn(shape=Shape((3, 4, 2), 6))
    guilty = case.x[4]
    least = shrinking.smaller(case, lambda each: any(np.array_equal(row, guilty) for row in each.x))
    assert np.array_equal(least.x, guilty[np.newaxis])


# --- the command


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
    "a schema that is no text": json.dumps(GOOD | {"schema": {"a": ["\x1b[31m"]}}),
    "escapes of a terminal": json.dumps(GOOD | {"hidden": "\x1b]0;owned\x07\x1b[2J"}),
    "a name of a line": json.dumps(GOOD | {"hidden": "tanh\nerror: all is well"}),
    "a long name": json.dumps(GOOD | {"loss": "x" * 1_000_000}),
    "a name that is no text": json.dumps(GOOD | {"hidden": ["tanh"]}),
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
    """Paths that are no file of a Case."""
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
