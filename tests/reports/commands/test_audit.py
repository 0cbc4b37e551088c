"""`audit`: what it writes, its exit status, and one line for whatever cannot be done."""

import re
from collections import Counter

import pytest

from adapters.contract import ENGINES
from reference.activations import HIDDEN, OUTPUT
from reference.losses import LOSSES
from reference.rounding import DTYPES
from reports import __main__
from reports.__main__ import parser
from reports.campaign.designs import DESIGNS
from reports.commands.audit import found_so_far, request_of
from reports.results import environment, files
from tests.reports import samples
from tests.reports.commands.calls import BROKEN, GOOD, LOSSES_ASKED, SMALL, case_text, refused, written

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
        "design": "covering",
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


# --- chapters that were measured before


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


# --- what cannot be done


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


def test_the_bar_says_what_was_found_so_far():
    assert found_so_far(Counter(), "numpy/float32") == "all hold; numpy/float32"
    found = Counter({"breaks": 1200, "crashed": 1})
    assert found_so_far(found, "x") == "1,200 breaks, 1 crashed; x"


def test_quick_measures_no_divergences():
    for options, measured in (((), True), (("--full",), True), (("--quick",), False), (("--no-divergences",), False)):
        assert request_of(parser().parse_args(["audit", *options])).divergences == measured, options


@pytest.mark.parametrize("before", [True, False])
def test_other_options_count_beside_quick_in_any_order(before):
    others = ["--dtypes", "float16", "--hidden", "celu", "--engines", "jax-jit"]
    asked = request_of(parser().parse_args(["audit", *(["--quick", *others] if before else [*others, "--quick"])]))
    assert tuple(asked.combinations) == ("jax-jit",)
    assert asked.dtypes == ("float16",)
    (kept,) = asked.combinations["jax-jit"].values()
    assert {names.hidden for names in kept} == {"celu"}
    assert {names.output for names in kept} == set(DESIGNS["quick"].output)
