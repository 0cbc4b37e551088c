"""The gate: each condition planted and caught, waivers, the baseline's file, and what a CI system is told."""

import copy
import json
import re
from datetime import date, timedelta
from xml.etree import ElementTree

import numpy as np
import pytest

from reports.gate import baseline, gate, waivers
from reports.gate import text as gate_text
from reports.gate.text import SAID, sentence
from reports.results import files as results_files
from reports.results.files import ResultsError
from reports.results.verdicts import NOT_RUN
from reports.text import markdown
from tests.reports import samples

TODAY = date(2026, 11, 26)

CELL = "torch-eager/cpu/float32/tanh/sigmoid/binary_cross_entropy"

KINK = samples.divergence("relu-at-0") | {
    "id": "relu/derivative/float32/0.0",
    "function": "relu",
    "what": "derivative",
    "dtype": "float32",
    "kink": True,
    "engines": {"torch-eager": "0.0", "jax-jit": "0.0", "numpy": "not there"},
    "status": {"torch-eager": "convention", "jax-jit": "convention", "numpy": "not there"},
}


def campaign():
    """Results of a campaign in which everything holds, with a kink."""
    found = samples.sample()
    found["divergences"] = [copy.deepcopy(KINK)]
    return found


def cell_of(found, name=CELL):
    (cell,) = [cell for cell in found["cells"] if cell["id"] == name]
    return cell


def judged(now, before=None, given=(), today=TODAY):
    """The outcome of the gate for results, held to others."""
    records = [*now["cells"], *now["training"]]
    return gate.judged(baseline.of(before or campaign()), baseline.of(now), records, given, today)


def waiver(**changes):
    about = {
        "cells": "torch-eager/cpu/float32/*",
        "equation": "14",
        "ceiling": 2.0,
        "reason": "a kernel that rounds twice",
        "link": "https://example.org/1",
        "expires": TODAY + timedelta(days=30),
    }
    return waivers.Waiver(**about | changes)


def test_what_has_not_changed_passes():
    outcome = judged(campaign())
    assert outcome.passes
    assert outcome.differences == ()
    assert outcome.compared == len(campaign()["cells"]) + len(campaign()["training"])


# --- the conditions, one after another


def breaks(found):
    samples.spoil(cell_of(found), "14", 2, 1.7)


def is_explained_otherwise(found):
    breaks(found)
    cell_of(found)["explained"] = "tanh/derivative/float32/0.0"


def crashes(found):
    samples.leave_out(cell_of(found), "it hangs")
    cell_of(found)["verdict"] = "timed-out"


def is_skipped(found):
    samples.leave_out(cell_of(found), "no such function")


def vanishes(found):
    found["cells"].remove(cell_of(found))


def compares_less(found):
    cell_of(found)["elements"] -= 1


def rises(found):
    cell_of(found)["checked"]["14"][0] = 0.9


def is_new(found):
    found["cells"].append(samples.cell(np.random.default_rng(0), "mine", "float32", "tanh", "tanh", "huber"))


def takes_another_side(found):
    found["divergences"][0]["engines"]["torch-eager"] = "1.0"


def loses_a_kink(found):
    found["divergences"] = []


def a_run_breaks(found):
    samples.spoil(found["training"][0], "2a", 1, 4.0)


PLANTED = [
    (breaks, CELL, "verdict", "holds", "breaks"),
    (is_explained_otherwise, CELL, "verdict", "holds", "breaks, as listed: tanh/derivative/float32/0.0"),
    (crashes, CELL, "verdict", "holds", "timed-out"),
    (is_skipped, CELL, "skipped", "holds", "not-run"),
    (vanishes, CELL, "vanished", "holds", "–"),
    (compares_less, CELL, "fewer elements", "20,160", "20,159"),
    (rises, CELL, "ratio", "≤ 0.125", "≤ 1"),
    (is_new, "mine/cpu/float32/tanh/tanh/huber", "not listed", "–", "holds"),
    (takes_another_side, "torch-eager/cpu/float32/relu", "convention", "0.0 at 0.0", "1.0 at 0.0"),
    (a_run_breaks, "torch-eager/cpu/float32/digits", "verdict", "holds", "breaks"),
]


def quiet(found):
    """All ratios of the cell are small, so that one can rise."""
    for check in cell_of(found)["checked"].values():
        check[0] = 0.1
    return found


@pytest.mark.parametrize(("plant", "cell", "what", "before", "now"), PLANTED, ids=[p[0].__name__ for p in PLANTED])
def test_the_gate_fails_on_each_condition_and_says_which_and_why(plant, cell, what, before, now):
    found = quiet(campaign())
    plant(found)
    outcome = judged(found, quiet(campaign()))
    assert not outcome.passes
    assert outcome.differences == (gate.Difference(cell, what, before, now),)
    assert f"1 {SAID[what][0]}" in sentence(outcome)


def test_a_convention_of_each_engine_that_is_lost_fails():
    found = campaign()
    loses_a_kink(found)
    outcome = judged(found)
    assert not outcome.passes
    assert {(each.cell, each.now) for each in outcome.differences} == {
        ("torch-eager/cpu/float32/relu", "–"),
        ("jax-jit/cpu/float32/relu", "–"),
    }


def test_what_breaks_no_longer_is_a_change_too():
    before = campaign()
    breaks(before)
    assert not judged(campaign(), before).passes


def test_what_breaks_as_it_did_passes():
    found = campaign()
    breaks(found)
    assert judged(found, copy.deepcopy(found)).passes


def test_more_elements_are_told_and_do_not_fail():
    found = campaign()
    cell_of(found)["elements"] += 1
    outcome = judged(found)
    assert outcome.passes
    assert [each.what for each in outcome.differences] == ["more elements"]


def test_nothing_compared_is_no_pass():
    found = campaign()
    assert not gate.judged(baseline.of(found)._replace(lines={}, kinks={}), baseline.of(found), [], (), TODAY).passes
    assert "no cell" in gate_text.sentence(gate.Outcome((), (), (), 0))


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


@pytest.mark.parametrize(
    ("before", "now", "rose"),
    [
        (0.25, 1.0, False),
        (0.25, 2.0, True),
        (0.0, 0.5, False),
        (0.0, 1.0, True),
        (1.0, 0.125, False),
        (4.0, np.inf, True),
        (np.inf, np.inf, False),
        (1.0, np.nan, True),
        (np.nan, np.nan, False),
        (np.nan, 1.0, False),
    ],
)
def test_a_step_may_rise_by_the_factor(before, now, rose):
    assert gate.rose(before, now) is rose


# --- waivers


def test_a_waiver_lets_a_break_pass():
    found = campaign()
    breaks(found)
    outcome = judged(found, given=[waiver()])
    assert outcome.passes
    assert [each.waived for each in outcome.differences] == [True]
    assert "1 waived" in gate_text.sentence(outcome)


@pytest.mark.parametrize(
    "changes",
    [{"cells": "jax-jit/*"}, {"equation": "9"}, {"ceiling": 1.6}, {"expires": TODAY - timedelta(days=1)}],
    ids=["of other cells", "of another equation", "beneath the ratio", "past its date"],
)
def test_a_waiver_lets_nothing_else_pass(changes):
    found = campaign()
    breaks(found)
    outcome = judged(found, given=[waiver(**changes)])
    assert not outcome.passes
    assert [each.waived for each in outcome.differences] == [False]


def test_a_waiver_of_one_equation_does_not_cover_another_that_breaks_too():
    found = campaign()
    breaks(found)
    samples.spoil(cell_of(found), "9", 3, 1.2)
    assert not judged(found, given=[waiver()]).passes
    assert judged(found, given=[waiver(), waiver(equation="9")]).passes


def test_nan_is_above_every_ceiling():
    found = campaign()
    samples.spoil(cell_of(found), "14", 2, "NaN")
    assert not judged(found, given=[waiver(ceiling=1e300)]).passes


@pytest.mark.parametrize("plant", [vanishes, compares_less, takes_another_side, crashes, is_skipped])
def test_no_waiver_covers_what_is_no_break(plant):
    found = campaign()
    plant(found)
    given = [waiver(cells="*", equation=equation, ceiling=1e300) for equation in ("14", "7a", "9")]
    assert not judged(found, given=given).passes


def test_a_waiver_past_its_date_fails_whatever_holds():
    outcome = judged(campaign(), given=[waiver(expires=TODAY - timedelta(days=1))])
    assert not outcome.passes
    assert "1 waiver past the date" in gate_text.sentence(outcome)
    assert any("expired on 2026-11-25" in line for line in gate_text.notices(outcome))
    assert judged(campaign(), given=[waiver(expires=TODAY)]).passes


def test_a_waiver_that_no_longer_applies_is_told():
    outcome = judged(campaign(), given=[waiver()])
    assert outcome.passes
    assert outcome.idle == (waiver(),)
    (line,) = gate_text.notices(outcome)
    assert "no longer applies" in line


TOML = """
[[waiver]]
cells = "torch-eager/cpu/float32/*"
equation = "14"
ceiling = 2.0
reason = "a kernel that rounds twice"
link = "https://example.org/1"
expires = 2026-12-26
"""


def test_waivers_are_read(tmp_path):
    path = tmp_path / "waivers.toml"
    path.write_text(TOML, encoding="utf-8")
    assert waivers.read(path) == [waiver()]
    assert waivers.read(tmp_path / "none.toml") == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("ceiling = 2.0\n", "", "ceiling"),
        ("ceiling = 2.0", "ceiling = 1", "above 1"),
        ("ceiling = 2.0", "ceiling = inf", "above 1"),
        ("ceiling = 2.0", "ceiling = true", "above 1"),
        ("2026-12-26", '"2026-12-26"', "date"),
        ("2026-12-26", "2026-12-26T00:00:00", "date"),
        ('"https://example.org/1"', '"see mail"', "https://"),
        ('"a kernel that rounds twice"', '" "', "reason"),
        ("equation", "equations", "equation"),
        ("[[waiver]]", "[[waivers]]", "waivers"),
        ("[[waiver]]", "[waiver]", "[[waiver]]"),
        ("[[waiver]]", "[[waiver", "read"),
        ("cells = ", "owner = 1\ncells = ", "owner"),
    ],
)
def test_a_waiver_that_is_not_understood_is_refused(old, new, said, tmp_path):
    path = tmp_path / "waivers.toml"
    assert old in TOML
    path.write_text(TOML.replace(old, new), encoding="utf-8")
    with pytest.raises(ResultsError, match=re.escape(said)) as error:
        waivers.read(path)
    assert "\n" not in str(error.value).split(": ")[0]


def test_the_waivers_of_this_project_are_understood_and_none_has_expired():
    assert not waivers.expired(waivers.read(waivers.PATH), date.today())


# --- the file


def test_a_baseline_is_read_as_it_was_written(tmp_path):
    path, made = tmp_path / "baseline.jsonl", baseline.of(campaign())
    baseline.write_to(path, made)
    assert baseline.read(path) == made


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


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda found: found["environment"]["versions"].update(torch="9.9.9"), "versions.torch"),
        (lambda found: found["environment"]["devices"].update({"torch-eager": "cuda"}), "devices.torch-eager"),
        (lambda found: found["environment"]["flags"].update(jax_enable_x64="False"), "flags.jax_enable_x64"),
        (lambda found: found["request"].update(seed=1), "seed"),
        (lambda found: found["request"].update(share="1/8"), "share"),
    ],
    ids=["version", "device", "precision", "seed", "share"],
)
def test_another_environment_or_request_is_refused_with_the_reason(change, said):
    found = campaign()
    found["request"] = {"seed": 2026, "share": "1/1"}
    before = baseline.of(found)
    assert gate.refusal(before, baseline.of(found)) is None
    change(found)
    assert said in gate.refusal(before, baseline.of(found))


@pytest.mark.parametrize(
    "change",
    [
        lambda about: about["versions"].update(torch=about["versions"]["torch"].partition("+")[0] + "+cu130"),
        lambda about: about["flags"].update({"torch threads": "64"}),
        lambda about: about.update(python="3.13.1", processor="another"),
    ],
    ids=["build", "threads", "Python"],
)
def test_what_changes_no_verdict_is_no_other_environment(change):
    found = campaign()
    before = baseline.of(found)
    change(found["environment"])
    assert gate.refusal(before, baseline.of(found)) is None


# --- what a person and a CI system see


HOSTILE = "<script>alert(1)</script>|`x`\x07\x1b[31m"


def outcome_of(plant=breaks):
    found = campaign()
    plant(found)
    return judged(found), baseline.of(found)


def test_markdown_has_the_verdict_and_the_table():
    text = gate_text.markdown(outcome_of()[0])
    assert text.startswith("### backprop-parity: the gate fails\n")
    assert "| cell | what | baseline | now |" in text
    (row,) = [line for line in text.splitlines() if "binary" in line]
    assert row.endswith("| verdict | holds | breaks |")
    assert "passes" in gate_text.markdown(judged(campaign()))


def test_markdown_escapes_what_comes_from_elsewhere():
    hostile = gate.Difference(HOSTILE, "verdict", HOSTILE, HOSTILE)
    text = gate_text.markdown(gate.Outcome((hostile,), (waiver(reason=HOSTILE, expires=TODAY),), (), 1))
    assert "<script" not in text
    assert "\n" not in markdown.cell_text("two\nlines")
    assert re.search(r"(?<!\\)\|x", text) is None


def test_junit_has_a_failure_for_each_group_that_fails():
    outcome, now = outcome_of()
    suites = ElementTree.fromstring(gate_text.junit(outcome, now.lines))
    failures = suites.findall(".//failure")
    assert len(failures) == 1
    assert CELL in failures[0].get("message")
    assert sum(int(suite.get("failures")) for suite in suites) == 1
    names = [(suite.get("name"), case.get("name")) for suite in suites for case in suite]
    assert len(names) == len(set(names))
    assert ("torch-eager/cpu/float32", "digits") in names
    assert {suite.get("name") for suite in suites} == {"/".join(cell.split("/")[:3]) for cell in now.lines}


def test_junit_says_what_is_skipped_and_which_waiver_has_expired():
    found = campaign()
    for each in found["cells"]:
        if each["engine"] == "jax-jit" and each["dtype"] == "float32":
            samples.leave_out(each, "no such function")
    past = waiver(expires=TODAY - timedelta(days=1))
    outcome = judged(found, copy.deepcopy(found), [past])
    suites = ElementTree.fromstring(gate_text.junit(outcome, baseline.of(found).lines))
    assert [case.get("name") for case in suites.findall(".//skipped/..")] == sorted(samples.HIDDEN)
    assert suites.find("./testsuite[@name='waivers']/testcase/failure") is not None


def test_junit_is_well_formed_whatever_comes_from_elsewhere():
    cell = f"{HOSTILE}/cpu/float32/tanh/tanh/huber"
    outcome = gate.Outcome((gate.Difference(cell, "vanished", HOSTILE, "–"),), (), (), 1)
    suites = ElementTree.fromstring(gate_text.junit(outcome, {}))
    assert "<script>" in suites.find(".//failure").text


def test_many_differences_are_counted_beyond_those_that_are_shown():
    found = [gate.Difference(str(i), "more elements", "1", "2") for i in range(100)]
    kept, more = gate_text.shown([*found, gate.Difference("x", "verdict", "holds", "breaks")])
    assert kept[0].cell == "x", "what fails comes first"
    assert f"{100 - gate_text.LINES} more" in gate_text.markdown(gate.Outcome(tuple(found), (), (), 1))
    assert (len(kept), more) == (gate_text.LINES, 101 - gate_text.LINES)


# --- the command


@pytest.fixture
def held(tmp_path, call):
    """A function that holds results to the baseline of `campaign()`: its exit status, stdout and stderr."""
    path = tmp_path / "results.json"
    files = "--baseline", tmp_path / "baseline.jsonl", "--waivers", tmp_path / "waivers.toml"
    path.write_text(results_files.dump(campaign()), encoding="utf-8")
    assert call("gate", path, "--update", *files)[0] == 0

    def hold(found, *arguments):
        path.write_text(results_files.dump(found), encoding="utf-8")
        return call("gate", path, *files, *arguments)

    return hold


def test_the_command_passes_and_writes_its_files(held, tmp_path):
    status, out, err = held(campaign())
    assert (status, err) == (0, "")
    assert "The gate passes" in out
    assert "passes" in (tmp_path / "gate.md").read_text(encoding="utf-8")
    ElementTree.parse(tmp_path / "gate.xml")


def test_the_command_fails_with_a_table(held, tmp_path):
    found = campaign()
    breaks(found)
    status, out, _ = held(found)
    assert status == 1
    assert "The gate fails" in out
    assert "verdict" in out
    assert max(len(line) for line in out.splitlines()[:-3]) <= 80
    assert "fails" in (tmp_path / "gate.md").read_text(encoding="utf-8")


def test_the_update_shows_what_it_accepts_and_the_gate_then_passes(held):
    found = campaign()
    breaks(found)
    status, out, _ = held(found, "--update")
    assert status == 0
    assert "1 difference accepted" in out
    assert "breaks" in out
    assert held(found)[0] == 0
    assert held(campaign())[0] == 1


def test_an_update_of_another_environment_says_what_changed(held):
    found = campaign()
    found["environment"]["versions"]["torch"] = "9.9.9"
    status, out, err = held(found)
    assert (status, out) == (2, "")
    assert err.startswith("error: the baseline is of another environment")
    assert len(err.splitlines()) == 1
    status, out, _ = held(found, "--update")
    assert "versions.torch" in out
    assert held(found)[0] == 0


def test_without_a_baseline_there_is_one_line(call, tmp_path):
    path = tmp_path / "results.json"
    path.write_text(results_files.dump(campaign()), encoding="utf-8")
    status, out, err = call("gate", path, "--baseline", tmp_path / "none.jsonl")
    assert (status, out) == (2, "")
    assert "--update" in err
    assert len(err.splitlines()) == 1


def test_an_expired_waiver_fails_the_command(held, tmp_path):
    (tmp_path / "waivers.toml").write_text(TOML.replace("2026-12-26", "2026-01-01"), encoding="utf-8")
    status, out, _ = held(campaign())
    assert status == 1
    assert "expired on 2026-01-01" in out


def test_results_without_a_cell_are_no_baseline(held):
    found = campaign()
    found["cells"], found["training"] = [], []
    status, _, err = held(found, "--update")
    assert status == 2
    assert len(err.splitlines()) == 1
    assert held(campaign())[0] == 0, "the baseline is as it was"


RECORDED = baseline.PATH.parent / "baseline_gpu.jsonl"


@pytest.mark.parametrize("path", [baseline.PATH, RECORDED], ids=["on the CPU", "on a GPU"])
def test_the_baselines_of_this_project_are_read_and_nothing_in_them_breaks_unexplained(path):
    found = baseline.read(path)
    assert found.kinks
    wrong = [line for line in found.lines.values() if line["verdict"] not in ("holds", NOT_RUN) and "by" not in line]
    assert not wrong, f"{len(wrong)} break, such as {wrong[0]}"
