"""The trajectories on the page."""

import pytest

from adapters.numpy.engine import NumpyEngine
from reports.page.report import render
from reports.page.trajectories import chapter
from reports.results import files
from reports.trajectories import long_run
from tests.reports.trajectories.chapters import SEED, but, measured


@pytest.fixture
def found():
    return measured()


def test_the_chapter(found):
    shown = chapter(found)
    assert shown.holds
    assert shown.agreement == "In float64, numpy and jax-jit predict the same for every sample of the test set."
    assert [plot.title for plot, _ in shown.plots][2] == "Distance from the reference, and its envelope"
    assert [row.metrics[0].endswith(" %") for row in shown.digits] == [True, True]
    html = render(files.jsonable(files.empty(SEED, "2026-01-02T03:04:05+00:00") | {"trajectories": found}))
    for part in ("Training, step by step", "Every optimiser", "Confusion matrix of numpy float64", "explains 0 runs"):
        assert part in html
    ids = [part.split('"')[0] for part in html.split(' id="')[1:]]
    assert len(ids) == len(set(ids))
    assert chapter(None) is None


def test_long_runs_are_on_the_page(found, tmp_path):
    far = long_run.long_run(NumpyEngine(), "cpu", "float32", 6, SEED, tmp_path, lambda done: None)
    whole = {
        **found,
        "long": [far, {**far, "verdict": "breaks", "first": {"step": 3, "equation": "14", "layer": 2, "ratio": 2.5}}],
    }
    assert [row.holds for row in chapter(whole).long] == [True, False]
    html = render(files.jsonable(files.empty(SEED, "2026-01-02T03:04:05+00:00") | {"trajectories": whole}))
    assert "Long runs on digits" in html


def test_what_breaks_is_on_the_chapter(found):
    whole = but(found, verdict="breaks", reason="step 3: <script>alert(1)</script>")
    html = render(files.jsonable(files.empty(SEED, "2026-01-02T03:04:05+00:00") | {"trajectories": whole}))
    assert "training breaks" in html
    assert "<script>alert" not in html
