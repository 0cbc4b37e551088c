"""The command line: what it writes, its exit status, and one line for whatever cannot be done."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest

from adapters.contract import ENGINES
from adapters.faults.planting import PLANTED
from reference.activations import ACTIVATIONS, HIDDEN, OUTPUT
from reference.case import to_json
from reference.cases import Combination, Shape, draw_case
from reference.losses import LOSSES
from reference.rounding import DTYPES
from reports import __main__, verdict
from reports.accuracy import sweep
from reports.commands import options
from reports.commands.faults import PARTS
from reports.results import environment, files
from tests.reports import samples

LOSSES_ASKED = ("half_squared_error", "binary_cross_entropy", "binary_cross_entropy_on_logits")

SMALL = (
    *("--engines", "numpy", "--hidden", "tanh", "--output", "sigmoid", "--loss", ",".join(LOSSES_ASKED)),
    *("--cases", "2", "--further", "1", "--workers", "1", "--no-training", "--no-divergences"),
)
"""A small audit; from the third word on, of whatever else it is given."""

GOOD = """
from adapters.numpy.engine import NumpyEngine
class Mine(NumpyEngine):
    name = "mine"
"""

BROKEN = """
from dataclasses import replace
from adapters.numpy.engine import NumpyEngine
class Mine(NumpyEngine):
    name = "mine"
    def trace(self, case):
        trace = super().trace(case)
        return replace(trace, db={**trace.db, 2: 2 * trace.db[2]})
"""


@pytest.fixture
def out(tmp_path):
    """An output folder with results in it, from before."""
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "results.json").write_text("before")
    return folder


def written(folder):
    return json.loads((folder / "results.json").read_text(encoding="utf-8"))


def case_text(**changes):
    """A Case as JSON, with some of its fields changed."""
    case = draw_case(
        np.random.default_rng(0), Combination("tanh", "sigmoid", "binary_cross_entropy"), Shape((3, 4, 2), 5), "float32"
    )
    return json.dumps({**json.loads(to_json(case)), **changes})


# --- a small audit


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Status and results of a small audit."""
    folder = tmp_path_factory.mktemp("small")
    arguments = ["audit", *SMALL, "--workers", "2", "--seed", "5", "--out", str(folder)]
    return __main__.main(arguments), written(folder), (folder / "results.json").read_text(encoding="utf-8")


def test_a_small_audit_holds(small):
    status, found, _ = small
    assert status == 0
    assert {cell["verdict"] for cell in found["cells"]} == {"holds"}
    assert found["training"] == []
    assert [cell["id"] for cell in found["cells"]] == [
        f"numpy/cpu/{dtype}/tanh/sigmoid/{loss}" for dtype in DTYPES for loss in LOSSES_ASKED
    ]


def test_results_are_written_a_line_an_item(small):
    _, found, text = small
    lines = text.splitlines()
    for cell in found["cells"]:
        assert sum(f'"id": "{cell["id"]}"' in line for line in lines) == 1
    assert len(lines) == 2 + len(found) + sum(
        len(value) + 1 for value in found.values() if isinstance(value, list) and value
    )


def test_results_have_their_schema(small):
    _, found, _ = small
    assert found["schema"] == files.SCHEMA
    assert set(found) == {
        *("schema", "environment", "request", "cells", "training", "times", "divergences", "accuracy")
    }
    assert found["divergences"] == []
    assert found["request"] == {
        "engines": ["numpy"],
        "dtypes": list(DTYPES),
        "device": "cpu",
        "cases": 2,
        "further": 1,
        "seed": 5,
        "share": "1/1",
    }
    assert set(found["environment"]) == {
        *("python", "platform", "processor", "cores", "versions", "blas", "devices", "flags"),
        *("seed", "started", "seconds"),
    }
    assert found["environment"]["seed"] == 5
    for cell in found["cells"]:
        assert set(cell) == {
            *("id", "engine", "device", "dtype", "hidden", "output", "loss", "verdict", "reason", "cases"),
            *("elements", "seconds", "checked", "findings", "explained"),
        }
        assert cell["cases"] in (2, 3)
        assert (cell["findings"], cell["explained"]) == ([], None)
        assert {"z", "a", "8", "1", "9", "14", "7a", "7b"} <= set(cell["checked"])
        for ratio, layer, elements in cell["checked"].values():
            assert 0 <= ratio <= 1
            assert layer in (1, 2, 3)
            assert elements > 0
    assert set(found["times"]) == {"seconds", "workers", "without_reuse"}
    assert set(found["times"]["seconds"]["numpy"]) == {"compile", "engine", "audit", "experiments"}
    assert (found["times"]["workers"], found["times"]["without_reuse"]) == (2, None)
    spent, whole = sum(found["times"]["seconds"]["numpy"].values()), sum(cell["seconds"] for cell in found["cells"])
    assert 0 < spent <= whole + 1e-6 * len(found["cells"])
    for entry in found["accuracy"]:
        assert set(entry) == {"function", "what", "dtype", "engine", "k", "measured", "ulp", "at", "inputs"}


def test_the_same_seed_writes_the_same_whatever_the_number_of_workers(small, call, tmp_path):
    _, two, _ = small
    call("audit", *SMALL, "--seed", "5", "--workers", "1", "--out", tmp_path)
    one = written(tmp_path)
    for cells in zip(one["cells"], two["cells"], strict=True):
        first, second = ({key: value for key, value in cell.items() if key != "seconds"} for cell in cells)
        assert first == second
    assert one["times"]["workers"] == 1


def test_the_terminal_names_what_was_written(call, tmp_path):
    status, text, err = call("audit", *SMALL, "--dtypes", "float32", "--out", tmp_path)
    assert (status, err) == (0, "")
    assert "numpy" in text
    assert str(tmp_path / "results.json") in text


def test_results_take_the_place_of_the_old(call, out):
    assert call("audit", *SMALL, "--dtypes", "float32", "--out", out)[0] == 0
    assert written(out)["schema"] == files.SCHEMA


def test_training_and_divergences_are_part_of_an_audit(call, tmp_path):
    arguments = [argument for argument in SMALL if not argument.startswith("--no-")]
    status, _, _ = call("audit", *arguments, "--dtypes", "float32", "--out", tmp_path)
    assert status == 0
    rows = written(tmp_path)["divergences"]
    assert {row["dtype"] for row in rows} >= {"float32"}
    assert all("numpy" in row["engines"] for row in rows if row["dtype"] == "float32")
    (run,) = written(tmp_path)["training"]
    assert (run["id"], run["verdict"]) == ("numpy/cpu/float32/digits", "holds")


# --- adapters


@pytest.fixture
def adapter(tmp_path):
    """A function that writes an adapter file and gives the option's value."""

    def write(text):
        path = tmp_path / "mine.py"
        path.write_text(text)
        return f"{path}:Mine"

    return write


def test_an_adapter_runs_alone(call, adapter, tmp_path):
    arguments = (*SMALL[2:], "--dtypes", "float32,bfloat16", "--workers", "2")
    status, _, _ = call("audit", *arguments, "--adapter", adapter(GOOD), "--out", tmp_path)
    assert status == 0
    assert {cell["engine"] for cell in written(tmp_path)["cells"]} == {"mine"}


def test_an_adapter_runs_beside_engines(call, adapter, tmp_path):
    assert call("audit", *SMALL, "--dtypes", "float32", "--adapter", adapter(GOOD), "--out", tmp_path)[0] == 0
    assert {cell["engine"] for cell in written(tmp_path)["cells"]} == {"numpy", "mine"}


def test_a_broken_adapter_gives_1(call, adapter, tmp_path):
    status, text, err = call("audit", *SMALL, "--dtypes", "float32", "--adapter", adapter(BROKEN), "--out", tmp_path)
    assert (status, err) == (1, "")
    assert {cell["verdict"] for cell in written(tmp_path)["cells"] if cell["engine"] == "numpy"} == {"holds"}
    mine = [cell for cell in written(tmp_path)["cells"] if cell["engine"] == "mine"]
    assert {cell["verdict"] for cell in mine} == {"breaks"}
    for part in ("mine", "(7b) in layer 2"):
        assert part in text, f"the terminal says {text!r}, but should name {part!r}"
    for cell in mine:
        assert {"7b", "5b"} >= {finding["equation"] for finding in cell["findings"]} >= {"7b"}
        assert cell["explained"] is None
        assert not cell["checked"]["7b"][0] <= 1


@pytest.mark.parametrize(
    ("body", "verdict"),
    [
        ("raise RuntimeError('a\\nb')", "crashed"),
        ("return None", "malformed"),
        ("import sys; sys.exit(0)", "crashed"),
        ("import os; os._exit(0)", "crashed"),
    ],
    ids=["raises", "none", "exits", "dies"],
)
def test_an_adapter_that_fails_gives_1_and_results(call, adapter, tmp_path, body, verdict):
    text = f"class Mine:\n name = 'mine'\n def supports(self, case): return True\n def trace(self, case): {body}\n"
    assert call("audit", *SMALL, "--dtypes", "float32", "--adapter", adapter(text), "--out", tmp_path)[0] == 1
    assert {cell["verdict"] for cell in written(tmp_path)["cells"]} == {"holds", verdict}


def test_what_is_not_run_alone_gives_1(call, adapter, tmp_path):
    text = "class Mine:\n name = 'mine'\n trace = None\n def supports(self, case): return 'not today'\n"
    status, _, _ = call("audit", *SMALL[2:], "--dtypes", "float32", "--adapter", adapter(text), "--out", tmp_path)
    assert status == 1
    assert {cell["reason"] for cell in written(tmp_path)["cells"]} == {"not today"}


# --- one Case from a file


def test_a_case_from_a_file(call, tmp_path):
    path = tmp_path / "case.json"
    path.write_text(case_text())
    status, _, _ = call("audit", "--engines", "numpy", "--case", path, "--out", tmp_path)
    assert status == 0
    (cell,) = written(tmp_path)["cells"]
    assert (cell["id"], cell["cases"]) == ("numpy/cpu/float32/tanh/sigmoid/binary_cross_entropy", 1)
    assert "2a" in cell["checked"]
    assert "spent" not in cell
    assert written(tmp_path)["training"] == []
    status, _, _ = call("render", tmp_path / "results.json")
    assert status == 0


# --- what cannot be done


def refused(call, out, *arguments):
    """The one line on stderr; the exit status is 2, and the old results stay."""
    status, text, err = call(*arguments)
    assert status == 2, f"the exit status is {status}, but should be 2: {text}{err}"
    assert err.startswith("error: "), f"stderr is {err!r}, but should start with 'error: '"
    assert err.endswith("\n"), f"stderr is {err!r}, but should end its line"
    assert len(err.splitlines()) == 1, f"stderr is {err!r}, but should be one line"
    assert "Traceback" not in text + err
    assert (out / "results.json").read_text() == "before", "the old results are gone"
    assert sorted(path.name for path in out.iterdir()) == ["results.json"], "something was written beside them"
    return err


@pytest.mark.parametrize(
    ("option", "value", "allowed"),
    [
        ("--engines", "tensorflow", tuple(ENGINES)),
        ("--engines", "", tuple(ENGINES)),
        ("--dtypes", "float8", DTYPES),
        ("--hidden", "softmax", HIDDEN),
        ("--output", "swish", OUTPUT),
        ("--loss", "hing", tuple(LOSSES)),
        ("--device", "tpu", ("cpu", "gpu")),
        ("--cases", "0", ("at least 1",)),
        ("--cases", "-3", ("at least 1",)),
        ("--cases", "many", ("at least 1",)),
        ("--cases", "1.5", ("at least 1",)),
        ("--further", "-1", ("at least 0",)),
        ("--further", "x", ("at least 0",)),
        ("--workers", "0", ("at least 1",)),
        ("--workers", "all", ("at least 1",)),
        ("--seed", "-1", ("at least 0",)),
        ("--seed", "x", ("at least 0",)),
    ],
)
def test_a_value_that_is_not_allowed(call, out, option, value, allowed):
    err = refused(call, out, "audit", *SMALL, f"{option}={value}", "--out", out)
    assert option in err
    for part in (repr(value), *allowed):
        assert part in err, f"the message is {err!r}, but should name {part!r}"


@pytest.mark.parametrize(
    ("verb", "option", "value", "allowed"),
    [
        ("divergences", "--engines", "tensorflow", tuple(ENGINES)),
        ("divergences", "--dtypes", "float8", DTYPES),
        ("divergences", "--device", "tpu", ("cpu", "gpu")),
        ("sweep", "--engines", "tensorflow", tuple(ENGINES)),
        ("sweep", "--functions", "swish", (*ACTIVATIONS, *LOSSES)),
        ("sweep", "--dtypes", "float8", DTYPES),
        ("sweep", "--device", "tpu", ("cpu", "gpu")),
        ("sweep", "--inputs", "0", ("at least 1",)),
        ("sweep", "--inputs", "many", ("at least 1",)),
        ("sweep", "--drawn", "0", ("at least 1",)),
        ("sweep", "--seed", "-1", ("at least 0",)),
        ("bench", "--rounds", "0", ("at least 1",)),
        ("bench", "--rounds", "few", ("at least 1",)),
        ("faults", "--engines", "tensorflow", tuple(PLANTED)),
        ("faults", "--engines", "", tuple(PLANTED)),
        ("faults", "--dtypes", "float8", DTYPES),
        ("faults", "--only", "matrices", PARTS),
        ("faults", "--seeds", "0", ("at least 1",)),
        ("faults", "--seeds", "few", ("at least 1",)),
        ("faults", "--cases", "0", ("at least 1",)),
        ("faults", "--workers", "0", ("at least 1",)),
        ("faults", "--seed", "-1", ("at least 0",)),
    ],
)
def test_a_value_that_is_not_allowed_of_another_verb(call, out, verb, option, value, allowed):
    err = refused(call, out, verb, f"{option}={value}", "--out", out)
    assert option in err
    for part in (repr(value), *allowed):
        assert part in err, f"the message is {err!r}, but should name {part!r}"


@pytest.mark.parametrize("verb", ["divergences", "sweep", "faults", "bench", "render"])
@pytest.mark.parametrize("option", ["--nonsense", "--out"])
def test_an_option_that_is_none_or_has_no_value(call, out, verb, option):
    refused(call, out, verb, option)


@pytest.mark.parametrize("verb", ["divergences", "sweep", "faults", "bench"])
def test_another_verbs_folder_that_cannot_be_written(call, out, tmp_path, verb):
    file = tmp_path / "file"
    file.write_text("here")
    err = refused(call, out, verb, "--out", file / "folder")
    assert repr(str(file / "folder")) in err


@pytest.mark.parametrize("verb", ["divergences", "sweep"])
def test_a_gpu_that_is_not_there_for_another_verb(call, out, verb):
    import torch

    if torch.cuda.is_available():
        pytest.skip("torch sees a GPU here")
    err = refused(call, out, verb, "--engines", "torch-eager", "--device", "gpu", "--out", out)
    for part in ("'gpu'", "torch-eager", "cpu"):
        assert part in err


@pytest.mark.parametrize("option", ["--engines", "--dtypes", "--hidden", "--output", "--loss"])
def test_one_bad_name_among_good_ones(call, out, option):
    good = {"--engines": "numpy", "--dtypes": "float32", "--hidden": "tanh", "--output": "tanh"}
    err = refused(
        call, out, "audit", *SMALL, option, f"{good.get(option, 'half_squared_error')},nonsense", "--out", out
    )
    assert "'nonsense'" in err


def test_a_loss_that_fits_no_output(call, out):
    err = refused(call, out, "audit", *SMALL, "--loss", "categorical_cross_entropy", "--out", out)
    assert "categorical_cross_entropy" in err
    assert "sigmoid" in err


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["audit", "--nonsense"], ["audit", "--cases"]], ids=str)
def test_a_call_that_is_none(call, out, arguments):
    refused(call, out, *arguments)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "def broken(:\n",
        "import there_is_no_such_module\n",
        "x = 1\n",
        "class Mine:\n    pass\n",
        "import sys\nsys.exit(0)\n",
    ],
    ids=["missing", "syntax", "import", "no class", "no members", "exits"],
)
def test_an_adapter_that_cannot_be_had(call, out, tmp_path, text):
    path = tmp_path / "mine.py"
    if text is not None:
        path.write_text(text)
    err = refused(call, out, "audit", *SMALL, "--adapter", f"{path}:Mine", "--out", out)
    assert str(path) in err


def test_an_adapter_without_a_class(call, out):
    err = refused(call, out, "audit", *SMALL, "--adapter", "mine.py", "--out", out)
    for part in ("'mine.py'", *ENGINES, "path/to/file.py:ClassName"):
        assert part in err


def test_a_gpu_that_is_not_there(call, out):
    import torch

    if torch.cuda.is_available():
        pytest.skip("torch sees a GPU here")
    err = refused(call, out, "audit", *SMALL[2:], "--engines", "torch-eager", "--device", "gpu", "--out", out)
    for part in ("'gpu'", "torch-eager", "cpu"):
        assert part in err


@pytest.mark.parametrize("below", [".", "folder", "a/b"])
def test_an_output_folder_that_cannot_be_written(call, out, tmp_path, below):
    file = tmp_path / "file"
    file.write_text("here")
    err = refused(call, out, "audit", *SMALL, "--out", file / below)
    assert repr(str(file / below)) in err
    assert file.read_text() == "here"


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (None, "case.json"),
        (b"\xff\xfe\x00", "case.json"),
        ("", "JSON"),
        ("{", "JSON"),
        ("[]", "list"),
        ("{}", "schema"),
        (case_text(schema="backprop-parity/case/0"), "backprop-parity/case/0"),
        (case_text(colour="red"), "colour"),
        (case_text(hidden="swish"), "'swish' is unknown: choose from identity, sigmoid"),
        (case_text(output=["tanh"]), "tanh"),
        (case_text(dtype="float8"), "'float8' is unknown: choose from float32, float64, float16, bfloat16"),
        (case_text(parameters={"hidden": {"slope": 0.5}}), "hidden 'tanh' has no parameter 'slope'"),
        (case_text(parameters=[]), "parameters are []"),
        (case_text(loss="categorical_cross_entropy"), "'categorical_cross_entropy' fits the output softmax"),
        (case_text(W=[[[1.0]], [[1.0]]]), "W[1]"),
        (case_text(W=[]), "layers of W are []"),
        (case_text(W=None), "W is None"),
        (case_text(b=[[0.0], [0.0, 0.0]]), "b[1]"),
        (case_text(x=[[0.0, 0.0, 0.0], [0.0]]), "x is not an array"),
        (case_text(x=[]), "x has shape (0,)"),
        (case_text(x=[["one", "two", "three"]]), "x is not an array"),
        (case_text(x=[[0.1, 0.2, 0.3]] * 5), "x at (0, 0) is 0.1"),
        (case_text(y=[[0.0, 0.0]]), "y has shape (1, 2)"),
        (case_text(y=[[0.0, 2.0]] * 5), "y at (0, 1) is 2.0"),
        (case_text(b=[["nan", 0, 0, 0], [0, 0]]), "b[1] at (0,) is nan"),
        (case_text(b=[["inf", 0, 0, 0], [0, 0]]), "b[1] at (0,) is inf"),
        (case_text(b=[[1e39, 0, 0, 0], [0, 0]]), "b[1] at (0,) is 1e+39"),
        (case_text(b=[[10**400, 0, 0, 0], [0, 0]]), "b[1]"),
        ("[" * 100_000, "JSON"),
    ],
    ids=lambda value: (
        re.sub(r"\W+", "-", value[:30]) if isinstance(value, str) and not value.startswith(("{", "[")) else ""
    ),
)
def test_a_case_that_is_none(call, out, tmp_path, text, part):
    path = tmp_path / "case.json"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    err = refused(call, out, "audit", "--engines", "numpy", "--case", path, "--out", out)
    assert part in err, f"the message is {err!r}, but should name {part!r}"


def test_a_folder_is_no_case(call, out, tmp_path):
    assert str(tmp_path) in refused(call, out, "audit", "--engines", "numpy", "--case", tmp_path, "--out", out)


def test_a_bad_case_makes_no_folder(call, out, tmp_path):
    """Nothing is done for a call that cannot be carried out."""
    refused(call, out, "audit", "--engines", "numpy", "--case", tmp_path / "absent.json", "--out", tmp_path / "new")
    assert not (tmp_path / "new").exists() or list((tmp_path / "new").iterdir()) == []


def test_results_that_cannot_be_rendered(call, out):
    assert "results.json" in refused(call, out, "render", out / "results.json")
    assert "absent.json" in refused(call, out, "render", out / "absent.json")


# --- render, help, and the command itself


def test_render_gives_the_status_of_the_results(call, adapter, tmp_path):
    for name, text, expected in (("good", GOOD, 0), ("bad", BROKEN, 1)):
        folder = tmp_path / name
        arguments = (*SMALL[2:], "--adapter", adapter(text), "--dtypes", "float32")
        assert call("audit", *arguments, "--out", folder)[0] == expected
        status, _, _ = call("render", folder / "results.json")
        assert status == expected
        assert (folder / "report.html").stat().st_size > 0


def test_help_says_what_there_is(call):
    status, text, _ = call("audit", "--help")
    assert status == 0
    flat = " ".join(text.split())
    for part in (f"of {','.join(ENGINES)} (default: all, or none beside --adapter)", ",".join(DTYPES)):
        assert flat.count(part) == 1, f"help has {part!r} {flat.count(part)} times, but should have it once"
    assert "numpyof" not in flat


def test_every_verb_has_help(call):
    for verb in __main__.VERBS:
        status, text, _ = call(verb, "--help")
        assert status == 0, f"the exit status of {verb} --help is {status}, but should be 0"
        assert "--out" in text


def test_python_m_reports(tmp_path):
    def run(*arguments):
        done = subprocess.run(
            [sys.executable, "-m", "reports", *map(str, arguments)], capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout, done.stderr

    status, text, err = run("audit", *SMALL, "--dtypes", "float32", "--workers", "2", "--out", tmp_path)
    assert (status, err) == (0, "")
    assert "3 cells" in text
    assert "2 workers" in text
    status, _, err = run("audit", "--engines", "tensorflow")
    assert status == 2
    assert len(err.splitlines()) == 1
    assert "'tensorflow'" in err


# --- the exit status of results


def item(verdict):
    """A cell or a training run; one that is "listed" breaks where a listed divergence explains it."""
    ratio = 3.0 if verdict in ("breaks", "listed", "claimed") else 0.5
    finding = {"equation": "a", "layer": 1, "ratio": ratio, "elements": 4, "worst": None}
    return {
        "engine": "numpy",
        "dtype": "float32",
        "verdict": "breaks" if ratio > 1 else verdict,
        "checked": {} if verdict == "not-run" else {"a": [ratio, 1, 4]},
        "findings": [finding] if ratio > 1 else [],
        "explained": {"listed": "gelu/value", "claimed": "no such row"}.get(verdict),
    }


@pytest.mark.parametrize(
    ("verdicts", "training", "expected"),
    [
        (("holds",), (), 0),
        (("holds", "not-run"), (), 0),
        (("holds", "holds"), ("holds",), 0),
        ((), ("holds",), 0),
        (("holds", "breaks"), (), 1),
        (("holds",), ("breaks",), 1),
        (("breaks",), ("holds",), 1),
        (("holds", "listed"), (), 0),
        (("holds",), ("listed",), 0),
        (("listed",), ("holds",), 0),
        (("listed",), ("not-run",), 1),
        (("holds", "claimed"), (), 1),
        (("holds", "listed", "breaks"), (), 1),
        (("holds", "listed"), ("breaks",), 1),
        (("not-run",), (), 1),
        (("not-run",), ("not-run",), 1),
        ((), (), 1),
    ],
    ids=str,
)
def test_status(verdicts, training, expected):
    found = {
        "cells": [item(verdict) for verdict in verdicts],
        "training": [item(verdict) for verdict in training],
        "divergences": [{"id": "gelu/value"}],
    }
    assert verdict.status(found) == expected, f"the status is {verdict.status(found)}, but should be {expected}"


@pytest.mark.parametrize(
    ("verdicts", "proof", "expected"),
    [
        ((), samples.proved(), 0),
        (("holds",), samples.proved(), 0),
        (("holds", "listed"), samples.proved(), 0),
        (("not-run",), samples.proved(), 1),
        (("holds", "breaks"), samples.proved(), 1),
        (("holds",), samples.with_cell(samples.miss), 1),
        ((), samples.with_cell(samples.miss), 1),
        ((), samples.proved(alarms=samples.honest() | {"alarms": [samples.alarm()]}), 1),
        ((), samples.proved(matrix=[]), 1),
        ((), samples.without("matrix"), 0),
        ((), {"smallest": [samples.limit()]}, 1),
        (("holds",), {"smallest": [samples.limit()]}, 0),
        ((), {"request": {}}, 1),
        ((), {}, 1),
        (("holds",), {}, 0),
        (("holds",), None, 0),
    ],
)
def test_status_with_seeded_faults(verdicts, proof, expected):
    found = {"cells": [item(verdict) for verdict in verdicts], "training": [], "faults": proof}
    found["divergences"] = [{"id": "gelu/value"}]
    assert verdict.status(found) == expected, f"the status is {verdict.status(found)}, but should be {expected}"


def test_the_verdict_with_seeded_faults():
    campaign = samples.small()
    alone, missed = verdict.verdict(campaign), samples.with_cell(samples.miss)
    assert verdict.verdict(campaign | {"faults": samples.proved()}) == alone
    doubt = "The audit itself falls short, see what it catches. "
    assert verdict.verdict(campaign | {"faults": missed}) == f"{doubt}{alone}"
    assert verdict.verdict(samples.alone(missed)).startswith("219 of 220 draws of 3 seeded faults")


@pytest.mark.parametrize(("found", "expected"), [(samples.proved(), 0), (samples.with_cell(samples.miss), 1)])
@pytest.mark.parametrize("about", [samples.alone(), samples.small()], ids=["alone", "beside a campaign"])
def test_render_has_the_status_of_seeded_faults(call, tmp_path, about, found, expected):
    (tmp_path / "results.json").write_text(files.dump(about | {"faults": found}), encoding="utf-8")
    status, text, err = call("render", tmp_path / "results.json")
    assert (status, err) == (expected, "")
    assert verdict.verdict(about | {"faults": found}) in text
    assert "What the audit catches" in (tmp_path / "report.html").read_text(encoding="utf-8")


# --- seeded faults

TWO = ("derivative-at-activation", "loss-summed")
FEW = ("--engines", "numpy", "--dtypes", "float32", "--seeds", "1", "--cases", "20", "--only", "matrix,alarms")


@pytest.fixture
def two(monkeypatch):
    """A panel of two faults, which the workers plant."""
    return samples.plant_only(monkeypatch, TWO)


def test_seeded_faults_are_put_beside_the_campaign(call, two, tmp_path):
    before = files.jsonable(samples.small())
    (tmp_path / "results.json").write_text(files.dump(before), encoding="utf-8")
    status, text, err = call("faults", *FEW, "--workers", "1", "--out", tmp_path)
    assert (status, err) == (0, "")
    after = written(tmp_path)
    found = after.pop("faults")
    assert after == before
    assert {cell["fault"] for cell in found["matrix"]} == set(TWO)
    assert {(cell["draws"], cell["killed"]) for cell in found["matrix"]} == {(1, 1)}
    assert (found["alarms"]["cases"], found["alarms"]["alarms"]) == (20, [])
    assert found["environment"]["seed"] == options.SEED
    assert found["request"]["parts"] == ["matrix", "alarms"]
    for part in (
        "4 of 4 draws of 2 seeded faults",
        "0 false alarms in 20 honest cases",
        str(tmp_path / "results.json"),
    ):
        assert part in text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["alarms.jsonl", "results.json"]
    assert call("render", tmp_path / "results.json")[0] == 0


def test_seeded_faults_that_are_missed_give_1(call, two, tmp_path, monkeypatch):
    """An engine in which the fault is switched off is honest: nothing is found."""
    from dataclasses import replace

    two[TWO[0]] = replace(two[TWO[0]], wrong=lambda m, rule, g, z: rule(g, z))
    monkeypatch.setattr("reports.running.workers.each", samples.each_here)
    status, text, err = call("faults", *FEW[:-1], "matrix", "--out", tmp_path)
    assert (status, err) == (1, "")
    for part in (
        "2 of 4 draws",
        "missed: derivative-at-activation in numpy, float32, at initialisation",
        "2 draws missed",
    ):
        assert part in text
    assert written(tmp_path)["cells"] == []
    assert call("render", tmp_path / "results.json")[0] == 1


def test_seeded_faults_measured_again_take_the_place_of_the_old(call, two, tmp_path, monkeypatch):

    monkeypatch.setattr("reports.running.workers.each", samples.each_here)
    (tmp_path / "results.json").write_text(files.dump(samples.alone()), encoding="utf-8")
    assert call("faults", *FEW[:-1], "matrix", "--out", tmp_path)[0] == 0
    assert {cell["fault"] for cell in written(tmp_path)["faults"]["matrix"]} == set(TWO)
    assert "alarms" not in written(tmp_path)["faults"]


def measured_before(folder, **otherwise):
    """A results.json with seeded faults, measured here, or in another environment."""
    about = files.jsonable(environment.environment({}, 7, "2026-01-02T03:04:05+00:00", 1.0)) | otherwise
    found = samples.small() | {"faults": samples.proved() | {"environment": about}}
    (folder / "results.json").write_text(files.dump(found), encoding="utf-8")
    return written(folder)["faults"]


def test_an_audit_keeps_seeded_faults_that_were_measured_here(call, tmp_path):
    faults = measured_before(tmp_path)
    assert call("audit", *SMALL, "--out", tmp_path)[0] == 0
    assert written(tmp_path)["faults"] == faults


def test_an_audit_leaves_seeded_faults_of_another_environment_out_and_says_so(call, tmp_path):
    measured_before(tmp_path, versions={"torch": "0.1"}, python="2.7")
    status, text, _ = call("audit", *SMALL, "--out", tmp_path)
    assert status == 0
    assert "faults were measured with another python, versions: left out" in text
    assert "faults" not in written(tmp_path)


def test_an_audit_says_that_it_replaces_results_of_another_schema(call, tmp_path):
    (tmp_path / "results.json").write_text('{"schema": "old"}', encoding="utf-8")
    status, text, _ = call("audit", *SMALL, "--out", tmp_path)
    assert status == 0
    assert "'old'" in text
    assert "it is replaced" in text


def test_results_that_are_none_are_not_overwritten_by_seeded_faults(call, out):
    assert str(out / "results.json") in refused(call, out, "faults", *FEW, "--out", out)


# --- the measurements


def test_divergences_are_written(call, tmp_path):
    status, text, err = call("divergences", "--engines", "numpy", "--dtypes", "float16", "--out", tmp_path)
    assert (status, err) == (0, "")
    found = json.loads((tmp_path / "divergences.json").read_text(encoding="utf-8"))
    assert found["schema"] == "backprop-parity/divergences/1"
    assert found["rows"]
    assert len({row["id"] for row in found["rows"]}) == len(found["rows"])
    assert "float16" in {row["dtype"] for row in found["rows"]}
    assert str(tmp_path / "divergences.json") in text
    assert [path.name for path in tmp_path.iterdir()] == ["divergences.json"]


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


def test_alarms_want_an_honest_engine(tmp_path, capsys):
    arguments = ["faults", "--engines", "jax-whole", "--only", "alarms", "--out", str(tmp_path)]
    assert __main__.main(arguments) == 2
    said = capsys.readouterr()
    assert "not in jax-whole" in said.out + said.err
