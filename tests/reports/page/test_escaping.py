"""What comes from adapters, files and exceptions stays text in every page: a script planted there is no script."""

from collections.abc import Iterable
from html.parser import HTMLParser
from typing import Any

import pytest

from reports import __main__
from reports.page.report import render
from tests.reports.page.reading import PLANTED, SITUATIONS, everything_wrong, read
from tests.reports.samples import Results, alone, full, leave_out

IMAGE = "<img src=x onerror=alert(1)>"

ADAPTER = f"""
from dataclasses import replace
from adapters.numpy.engine import NumpyEngine
class Mine(NumpyEngine):
    name = {PLANTED!r}
    def supports(self, case):
        return True if case.loss != "huber" else {"no " + PLANTED + IMAGE!r}
    def trace(self, case):
        if case.loss == "hinge":
            raise ValueError({PLANTED + IMAGE!r})
        if case.loss == "poisson_nll":
            return {PLANTED!r}
        trace = super().trace(case)
        factor = 2 if case.loss == "half_squared_error" else 1
        return replace(trace, db={{l: factor * g for l, g in trace.db.items()}})
"""


class Tags(HTMLParser):
    """The tags of a page, with their attributes, and the text of its scripts."""

    def __init__(self):
        super().__init__()
        self.found, self.scripts, self.inside = [], [], False

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))
        self.inside = tag == "script"

    def handle_data(self, data):
        if self.inside:
            self.scripts.append(data)

    def handle_endtag(self, tag):
        self.inside = False


def hostile_in(page):
    """Tags that would run what was planted."""
    tags = Tags()
    tags.feed(page)
    scripts = [script for script in tags.scripts if "alert(1)" in script]
    handlers = [tag for tag, attributes in tags.found for name in attributes if name.startswith("on")]
    images = [tag for tag, attributes in tags.found if tag == "img" and attributes.get("src") == "x"]
    return scripts + handlers + images


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The folder of a campaign of the hostile adapter, from a folder with a hostile name, and its pages."""
    folder = tmp_path_factory.mktemp("x") / IMAGE
    folder.mkdir()
    (folder / "mine.py").write_text(ADAPTER, encoding="utf-8")
    arguments = [
        *("audit", "--adapter", f"{folder / 'mine.py'}:Mine", "--hidden", "tanh", "--output", "identity,sigmoid"),
        *("--dtypes", "float32", "--further", "0", "--workers", "1", "--no-divergences", "--out", str(folder)),
    ]
    assert __main__.main(arguments) == 1
    assert __main__.main(["render", str(folder / "results.json")]) == 1
    results = str(folder / "results.json")
    assert __main__.main(["compare", results, results, "--out", str(folder)]) == 0
    return folder


def test_a_page_of_a_hostile_adapter_runs_nothing(pages):
    page = (pages / "report.html").read_text(encoding="utf-8")
    assert hostile_in(page) == []
    assert "&lt;script&gt;alert(1)" in page, "what was planted is not there at all"
    assert "&lt;img src=x" in page


def test_the_reasons_that_were_planted_are_on_the_page(pages):
    """Of the verdicts: not run, crashed, malformed, breaks."""
    results = (pages / "results.json").read_text(encoding="utf-8")
    for verdict in ("not-run", "crashed", "malformed", "breaks"):
        assert f'"verdict": "{verdict}"' in results


def test_the_other_pages_run_nothing_either(pages):
    assert hostile_in((pages / "compare.html").read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("field", ["note", "source", "equation", "input"])
def test_a_divergence_is_text(field):
    found = full()
    found["divergences"][0][field] = PLANTED + IMAGE
    assert hostile_in(render(found)) == []


def test_the_check_finds_what_is_planted():
    assert hostile_in(f"<p>{PLANTED}</p>") == ["alert(1)"]
    assert hostile_in(f"<p>{IMAGE}</p>") == ["img", "img"]
    assert hostile_in("<p>&lt;script&gt;alert(1)&lt;/script&gt;</p><script>let x = 1</script>") == []


# --- every field of the results


def plant(value: Any) -> Any:
    """The same results with a script in every string that is not a word of the schema."""
    if isinstance(value, dict):
        kept = ("verdict", "ratio", "observed", "expected", "allowed", "schema", "checked", "k", "measured", "ulp")
        kept += ("matrix", "smallest", "beside", "panel", "by", "found")  # see PLANTED_FAULTS
        return {k: v if k in kept else plant(v) for k, v in value.items()}
    if isinstance(value, list):
        return [plant(item) for item in value]
    return f"{value}{PLANTED}" if isinstance(value, str) else value


def plant_keys(results: Results) -> Results:
    """The same, with a script in the keys that are names of the adapter's choice."""
    for name in ("versions", "flags"):
        results["environment"][name][PLANTED] = "1"
    results["environment"]["devices"][PLANTED] = "cpu"
    for record in results["cells"][:1]:
        record["checked"][PLANTED] = [0.5, 1, 9]
    for row in results.get("divergences", []):
        for key in ("engines", "status", "reproducer"):
            row[key][PLANTED] = "1"
    if results.get("times"):
        results["times"]["seconds"][PLANTED] = {"compile": 1.0, PLANTED: 2.0}
    return results


@pytest.mark.parametrize("situation", SITUATIONS)
def test_every_string_is_escaped(situation: str) -> None:
    reader = read(plant_keys(plant(SITUATIONS[situation]())))
    assert "script" not in {tag for tag, _ in reader.seen}
    assert PLANTED in reader.text


PLANTED_FIELDS = {
    "cells": ("id", "engine", "dtype", "hidden", "output", "loss", "reason"),
    "training": ("engine", "dtype", "hidden", "output", "loss"),
    "divergences": ("function", "kind", "what", "dtype", "input", "equation", "bound", "note", "source"),
    "accuracy": ("function", "what", "dtype", "engine", "at", "inputs"),
}


def marked(field: Any) -> str:
    """What is planted in a field."""
    return f"{field} {PLANTED}"


def not_shown(html: str, fields: Iterable[Any]) -> list[Any]:
    """The fields whose text is not on the page, escaped."""
    return [field for field in fields if f"{field} &lt;script&gt;alert(1)&lt;/script&gt;" not in html]


@pytest.mark.parametrize("key", PLANTED_FIELDS)
def test_each_field_is_shown_and_escaped(key: str) -> None:
    results = full()
    results["cells"] = results["cells"][:4]
    for field in PLANTED_FIELDS[key]:
        target = results[key][1 if field == "reason" else 0]
        if field == "reason":
            leave_out(target, "")
        target[field] = marked(field)
    html = render(results)
    assert PLANTED not in html
    assert not not_shown(html, PLANTED_FIELDS[key])


PLANTED_FAULTS = {
    "panel": ("kind", "cause", "equation", "network"),
    "beside": ("engine", "numbers"),
    "smallest": ("engine",),
    "not_run": (0,),
    "alarm": ("engine", "dtype", "kind", "replay", "reason"),
    "left": ("engine", "reason"),
    "by": ("kind",),
}


@pytest.mark.parametrize("part", PLANTED_FAULTS)
def test_each_field_of_seeded_faults_is_shown_and_escaped(part: str) -> None:
    found = everything_wrong()
    said = found["alarms"]
    targets = {"alarm": said["alarms"][1], "left": said["not_run"][0], "by": said["by"][0]}
    target = targets[part] if part in targets else found["not_run"] if part == "not_run" else found[part][0]
    for field in PLANTED_FAULTS[part]:
        target[field] = marked(field)
    html = render(alone(found))
    assert PLANTED not in html
    assert not not_shown(html, PLANTED_FAULTS[part])


def test_names_of_faults_rules_engines_and_stages_are_escaped() -> None:
    found = everything_wrong()
    for cell in found["matrix"]:
        cell |= {key: f"{cell[key]}{PLANTED}" for key in ("fault", "engine", "stage")}
    found["panel"] = [about | {"name": f"{about['name']}{PLANTED}"} for about in found["panel"]]
    for row in found["beside"]:
        row["rule"] += PLANTED if row["rule"] != "audit" else ""
        for key in ("killed", "false_alarms"):
            row[key] = {f"{stage}{PLANTED}": said for stage, said in row[key].items()}
    found["alarms"]["explained"]["rows"][PLANTED] = 1
    reader = read(alone(found))
    assert "script" not in {tag for tag, _ in reader.seen}
    assert reader.text.count(PLANTED) > 20


def test_a_quote_does_not_leave_its_attribute() -> None:
    results = full()
    leave_out(results["cells"][10], '" onclick="alert(1)')
    results["divergences"][0] |= {"id": '" onclick="alert(1)', "source": 'https://x" onclick="alert(1)'}
    results["times"]["seconds"]['" onclick="alert(1)'] = {'" onclick="alert(1)': 1.0}
    assert not any("onclick" in attributes for _, attributes in read(results).seen)
