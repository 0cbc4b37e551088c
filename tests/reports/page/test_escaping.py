"""What comes from adapters, files and exceptions stays text in every page: a script planted there is no script."""

from html.parser import HTMLParser

import pytest

from reports import __main__
from tests.reports import samples

PLANTED = "<script>alert(1)</script>"
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
    from reports.page.report import render

    found = samples.full()
    found["divergences"][0][field] = PLANTED + IMAGE
    assert hostile_in(render(found)) == []


def test_the_check_finds_what_is_planted():
    assert hostile_in(f"<p>{PLANTED}</p>") == ["alert(1)"]
    assert hostile_in(f"<p>{IMAGE}</p>") == ["img", "img"]
    assert hostile_in("<p>&lt;script&gt;alert(1)&lt;/script&gt;</p><script>let x = 1</script>") == []
