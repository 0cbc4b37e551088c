"""The outcome of the gate as Markdown and as JUnit XML, whatever comes from elsewhere."""

import copy
import re
from datetime import timedelta
from xml.etree import ElementTree

from reports.gate import baseline, gate
from reports.gate import text as gate_text
from reports.text import markdown
from tests.reports import samples
from tests.reports.gate.campaigns import CELL, TODAY, breaks, campaign, judged, waiver

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
