"""The baseline: steps of ratios, and a file that is read as it was written, or refused in one line."""

import json
import re

import numpy as np
import pytest

from adapters.contract import ENGINES
from reference.rounding import DTYPES
from reports.gate import baseline, filing, gate
from reports.results import files as results_files
from reports.results.verdicts import Verdict
from tests.reports import samples
from tests.reports.gate.campaigns import CELL, campaign, cell_of, judged

# --- ratios


@pytest.mark.parametrize(
    ("ratio", "step"),
    [(0.0, 0.0), (1e-9, 0.125), (0.125, 0.125), (0.126, 0.25), (0.5, 0.5), (0.51, 1.0), (1.0, 1.0), (1.01, 2.0)],
)
def test_a_ratio_stands_in_steps(ratio, step):
    assert baseline.step(ratio) == step


def test_what_is_no_number_stays_so():
    assert np.isnan(baseline.step(np.nan))
    assert baseline.step(np.inf) == np.inf


# --- the file


def test_a_baseline_is_read_as_it_was_written(tmp_path):
    path, recorded = tmp_path / "baseline.jsonl", baseline.of(campaign())
    baseline.write_to(path, recorded)
    assert baseline.read(path) == recorded


def test_what_is_no_number_is_read_as_it_was_written(tmp_path):
    found = campaign()
    samples.spoil(cell_of(found), "14", 2, "NaN")
    samples.spoil(found["cells"][0], "14", 2, "Infinity")
    path = tmp_path / "baseline.jsonl"
    baseline.write_to(path, baseline.of(found))
    assert judged(found, found).passes
    read = baseline.read(path)
    assert gate.differences(read, baseline.of(found)) == []
    assert np.isnan(read.lines[CELL]["ratio"])


def test_the_lines_are_sorted_and_each_is_of_one_cell(tmp_path):
    path, found = tmp_path / "baseline.jsonl", campaign()
    found["cells"].reverse()
    baseline.write_to(path, baseline.of(found))
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()[1:]]
    cells = [line["id"] for line in lines if "kinks" not in line]
    assert cells == sorted({record["id"] for record in (*found["cells"], *found["training"])})
    assert [line["id"] for line in lines if "kinks" in line] == [
        "jax-jit/cpu/float32/relu",
        "torch-eager/cpu/float32/relu",
    ]


def malformed(text):
    first, _, *rest = text.splitlines(keepends=True)
    cell = next(line for line in rest if '"verdict"' in line)
    return {
        "nothing": "",
        "no JSON": "no JSON\n",
        "a list": "[]\n",
        "another schema": first.replace("baseline/1", "baseline/9"),
        "no environment": '{"schema":"backprop-parity/baseline/1"}\n',
        "no cell": first,
        "a torn line": text[: len(text) - 20],
        "the same twice": text + cell,
        "a field more": text + '{"id":"x","verdict":"holds","elements":1,"extra":1}\n',
        "no verdict": text + '{"id":"x","elements":1}\n',
        "elements that are text": text + '{"id":"x","verdict":"holds","elements":"1"}\n',
        "a ratio that is text": text + '{"id":"x","verdict":"holds","elements":1,"ratio":"small"}\n',
        "too deep": text + "[" * 100_000 + "\n",
    }


@pytest.mark.parametrize("what", sorted(malformed('{}\n{}\n"verdict"\n')))
def test_a_baseline_that_cannot_be_read_is_one_line(what, tmp_path):
    path = tmp_path / "baseline.jsonl"
    baseline.write_to(path, baseline.of(campaign()))
    path.write_text(malformed(path.read_text(encoding="utf-8"))[what], encoding="utf-8")
    with pytest.raises(results_files.ResultsError, match=re.escape(str(path))) as error:
        baseline.read(path)
    assert "\n" not in str(error.value)


# --- the folder


def in_folder(folder, *campaigns):
    """The baselines of campaigns, in a folder, each under its own name."""
    for found in campaigns:
        now = baseline.of(found)
        baseline.write_to(folder / filing.name_of(now), now)


def other(**versions):
    """The campaign with other versions."""
    found = campaign()
    found["environment"]["versions"] |= versions
    return found


def test_a_campaign_finds_the_baseline_of_its_environment(tmp_path):
    in_folder(tmp_path, campaign(), other(torch="9.9.9"))
    assert len(list(tmp_path.iterdir())) == 2
    for found in (campaign(), other(torch="9.9.9")):
        now = baseline.of(found)
        assert filing.file_for(tmp_path, now) == tmp_path / filing.name_of(now)


def test_a_campaign_of_another_environment_or_request_has_none(tmp_path):
    in_folder(tmp_path, campaign())
    asked = campaign()
    asked["request"]["seed"] = 7
    for found in (other(torch="9.9.9"), other(numpy="9.9.9"), asked):
        assert filing.file_for(tmp_path, baseline.of(found)) is None
    assert filing.file_for(tmp_path / "not there", baseline.of(campaign())) is None


def test_the_kernels_of_openblas_and_the_local_part_of_a_version_are_not_of_the_class(tmp_path):
    in_folder(tmp_path, campaign())
    found = other(torch=f"{campaign()['environment']['versions']['torch']}+cpu")
    found["environment"]["flags"]["OPENBLAS_CORETYPE"] = "Haswell"
    assert filing.file_for(tmp_path, baseline.of(found)) is not None


def test_a_name_says_device_versions_and_what_is_unusual():
    found = campaign()
    found["environment"]["versions"] |= {"torch": "2.13.0+cpu", "jax": "0.10.2"}
    found["request"] |= {"design": "covering", "device": "cpu", "engines": list(ENGINES), "dtypes": list(DTYPES)}
    assert filing.name_of(baseline.of(found)) == "cpu-torch-2.13.0-jax-0.10.2.jsonl"
    found["request"] |= {"design": "full", "engines": ["numpy", "mine"], "dtypes": ["float32"]}
    found["environment"]["flags"]["GPU"] = "NVIDIA X/1"
    assert filing.name_of(baseline.of(found)) == ("nvidia-x-1-torch-2.13.0-jax-0.10.2-full-numpy+mine-float32.jsonl")


def test_a_file_in_the_folder_that_is_no_baseline_is_refused(tmp_path):
    (tmp_path / "x.jsonl").write_text("{}")
    with pytest.raises(results_files.ResultsError, match="schema"):
        filing.file_for(tmp_path, baseline.of(campaign()))


# --- the baselines of this project


RECORDED = sorted(filing.FOLDER.glob("*.jsonl"))


def test_there_are_baselines_of_a_cpu_and_a_gpu():
    assert {baseline.read(path).request["device"] for path in RECORDED} == {"cpu", "gpu"}


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_the_baselines_of_this_project_are_read_and_nothing_in_them_breaks_unexplained(path):
    found = baseline.read(path)
    assert found.kinks
    wrong = [
        line for line in found.lines.values() if line["verdict"] not in ("holds", Verdict.NOT_RUN) and "by" not in line
    ]
    assert not wrong, f"{len(wrong)} break, such as {wrong[0]}"
