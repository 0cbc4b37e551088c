"""The curves: what is drawn, what is told of what cannot be drawn, and that the page's theme reaches it."""

import re
from typing import Any

import numpy as np
import pytest

from reports.page import plots


def run(engine: str = "torch-eager", dtype: str = "float32", **curves: Any) -> dict[str, Any]:
    """A training run of four steps and two epochs."""
    drawn = {
        "loss": [2.3, 1.2, 0.8, 0.7],
        "ratio": [0.2, 0.3, 0.25, 0.4],
        "drift": [1e-8, 2e-8, 3e-8, 4e-8],
        "validation": [0.7, 0.9],
    }
    return {"id": f"{engine}/cpu/{dtype}/digits", "engine": engine, "dtype": dtype, "curves": drawn | curves}


def drawn(training: list[dict[str, Any]], title: str) -> plots.Plot:
    return next(plot for plot in plots.plots(training) if title in plot.title)


def test_each_curve_has_its_plot() -> None:
    assert [plot.title.split()[0] for plot in plots.plots([run()])] == ["Loss", "Drift", "Worst", "Validation"]


def test_a_curve_that_no_run_has_gives_no_plot() -> None:
    assert plots.plots([]) == []
    assert plots.plots([run() | {"curves": {}}]) == []
    assert [plot.title for plot in plots.plots([run(drift=[], ratio=[], validation=[])])] == ["Loss at each step"]


def test_engines_differ_in_colour_and_dtypes_in_dashes() -> None:
    series = plots.series([run(engine, dtype) for engine in ("a", "b") for dtype in ("float32", "float64")])
    assert [(s.variable, s.dash) for s in series] == [
        *(("--series-1", ""), ("--series-1", "4 2"), ("--series-2", ""), ("--series-2", "4 2"))
    ]


def test_more_engines_than_colours_are_still_drawn() -> None:
    assert len(plots.series([run(f"engine {i}") for i in range(20)])) == 20


@pytest.mark.parametrize("title", ["Loss", "Drift", "Worst", "Validation"])
def test_colours_are_those_of_the_page(title: str) -> None:
    svg = drawn([run(), run("jax-jit")], title).svg
    assert "var(--series-1)" in svg
    assert "var(--series-2)" in svg
    assert not re.search(r"#[0-9a-f]{6}\b", svg.replace("#000000", ""))


@pytest.mark.parametrize("title", ["Loss", "Drift", "Worst", "Validation"])
def test_a_drawing_is_the_same_every_time_and_names_no_font_or_date(title: str) -> None:
    svg = drawn([run()], title).svg
    assert svg == drawn([run()], title).svg
    assert svg.startswith("<svg viewBox=")
    for word in ("font-family", "metadata", "xmlns", "http", "<style", "DOCTYPE"):
        assert word not in svg


def test_the_ids_of_drawings_do_not_meet() -> None:
    ids = [found for plot in plots.plots([run()]) for found in re.findall(r' id="([^"]*)"', plot.svg)]
    used = [found for plot in plots.plots([run()]) for found in re.findall(r'(?:url\(|href=")#([^")]*)', plot.svg)]
    assert len(set(ids)) == len(ids)
    assert set(used) <= set(ids)
    assert used


def test_a_ratio_that_is_no_number_is_marked_and_told() -> None:
    plot = drawn([run(ratio=[0.2, "NaN", "Infinity", 0.3])], "Worst")
    assert "2 steps where the ratio is not a finite number" in plot.caption
    assert "var(--break)" in plot.svg
    honest = drawn([run()], "Worst")
    assert "not a finite number" not in honest.caption
    assert "var(--break)" not in honest.svg


def test_a_ratio_beyond_the_allowance_is_within_the_axis() -> None:
    for top in (1.4, 30.0, 1e9):
        figure_text = drawn([run(ratio=[0.2, top, 0.1, 0.3])], "Worst").svg
        heights = [float(y) for y in re.findall(r"[ML] [\d.]+ (-?[\d.]+)", figure_text)]
        assert min(heights) >= 0


def test_nothing_but_nan_is_still_a_plot() -> None:
    nothing = ["NaN"] * 4
    training = [run(loss=nothing, ratio=nothing, drift=nothing, validation=["NaN"] * 2)]
    assert len(plots.plots(training)) == 4
    assert "4 steps" in drawn(training, "Worst").caption


def test_a_drift_of_zero_is_told_as_a_logarithm_cannot_show_it() -> None:
    assert "Exactly 0 throughout, so not drawn: numpy float64." in (
        drawn([run(), run("numpy", "float64", drift=[0, 0, 0, 0])], "Drift").caption
    )
    assert "Exactly 0" in drawn([run(drift=[0, 0, 0, 0])], "Drift").caption
    assert "Exactly 0" not in drawn([run(drift=["NaN", 0, 0, 0])], "Drift").caption


@pytest.mark.parametrize(("value", "text"), [(1e-7, "10⁻⁷"), (1.0, "10⁰"), (1000.0, "10³"), (2e-7, ""), (0.0, "")])
def test_powers_of_ten(value: float, text: str) -> None:
    assert plots.power_of_ten(value) == text


def test_missing_values_are_gaps() -> None:
    np.testing.assert_array_equal(plots.series([run(loss=[1.0, None, "NaN"])])[0].curves["loss"], [1, np.nan, np.nan])
