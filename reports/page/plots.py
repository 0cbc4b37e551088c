"""Curves of the training runs: matplotlib's SVG, inlined, whose colours are the page's CSS variables."""

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from reports.results.records import Number, TrainingRun
from reports.results.trajectory_records import DigitsRun

WIDTH, HEIGHT = 5.6, 2.9
"""Inches; the page scales the drawing to its column, so this only fixes the shape and how large the text is in it."""

SERIES_COLOURS = 8
GRID, ALLOWANCE, BROKEN = "#0a0b01", "#0a0b02", "#0a0b03"
VARIABLES = {GRID: "--rule", ALLOWANCE: "--ink", BROKEN: "--break"} | {
    f"#0a0c{i:02x}": f"--series-{i}" for i in range(1, SERIES_COLOURS + 1)
}
"""Sentinel colours, and the CSS variable that takes the place of each."""

DASHES = ("", "4 2", "1 1.5", "6 2 1 2")
SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Series:
    """How one training run is drawn: colour by engine, dashes by dtype."""

    label: str
    colour: str
    variable: str
    dash: str
    curves: dict[str, NDArray[np.float64]]
    name: str


@dataclass(frozen=True)
class Plot:
    """A drawing, its title, and a sentence on how to read it."""

    title: str
    caption: str
    svg: str


def series(training: Sequence[TrainingRun | DigitsRun]) -> list[Series]:
    """One a run, in the order of the results."""
    runs = [run for run in training if run.get("curves")]
    engines = list(dict.fromkeys(run["engine"] for run in runs))
    dtypes = list(dict.fromkeys(run["dtype"] for run in runs))
    colours = [sentinel for sentinel, variable in VARIABLES.items() if variable.startswith("--series")]
    drawn = []
    for run in runs:
        colour = colours[engines.index(run["engine"]) % len(colours)]
        dash = DASHES[dtypes.index(run["dtype"]) % len(DASHES)]
        curves = {name: _numbers(values) for name, values in run["curves"].items()}
        drawn.append(
            Series(f"{run['engine']} {run['dtype']}", colour, VARIABLES[colour], dash, curves, str(run.get("id")))
        )
    return drawn


def plots(training: Sequence[TrainingRun | DigitsRun]) -> list[Plot]:
    """Loss, drift, worst ratio and validation accuracy of every run; a curve that no run has gives no plot."""
    drawn = series(training)
    makers: tuple[tuple[str, Callable[[Sequence[Series]], Plot]], ...] = (
        ("loss", loss),
        ("drift", drift),
        ("ratio", ratio),
        ("validation", validation),
    )
    return [maker(drawn) for curve, maker in makers if any(curve in s.curves and s.curves[curve].size for s in drawn)]


def loss(drawn: Sequence[Series], of: str = "") -> Plot:
    """The loss at each step. Runs that agree lie on one another, so the earlier ones are drawn wider.

    `of` sets its ids apart from those of a like drawing on the page; so it does below.
    """
    title = "Loss at each step"
    figure, axes = _canvas("step")
    _lines(axes, drawn, "loss", nested=True)
    _finite_limits(axes)
    caption = "Where engines agree, their lines lie on one another, the wider ones underneath."
    return Plot(title, caption, to_svg(figure, f"{of}loss", title))


def validation(drawn: Sequence[Series], of: str = "") -> Plot:
    """The accuracy on the validation set after each epoch."""
    title = "Validation accuracy after each epoch"
    figure, axes = _canvas("epoch")
    _lines(axes, drawn, "validation", nested=True, marker="o")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return Plot(
        title,
        "The share of held-out samples that are classified as labelled.",
        to_svg(figure, f"{of}validation", title),
    )


def drift(drawn: Sequence[Series]) -> Plot:
    """How far the weights have moved from the reference's, ‖θ − θ_reference‖/‖θ_reference‖, on a log scale."""
    title = "Drift from the reference"
    figure, axes = _canvas("step")
    shown = _not_0(drawn, "drift")
    _lines(axes, shown, "drift", transform=_positive)
    if shown:
        _log_scale(axes)
    caption = "Distance of all weights from the float64 reference that trains beside it, relative to their norm."
    caption += _exact(drawn, "drift")
    return Plot(title, caption, to_svg(figure, "drift", title))


def distance(drawn: Sequence[Series], envelopes: dict[str, NDArray[np.float64]]) -> Plot:
    """‖θ_engine − θ_reference‖ after each step, on a log scale, under the envelope of its format, which is shaded."""
    title = "Distance from the reference, and its envelope"
    figure, axes = _canvas("step")
    shown = _not_0(drawn, "distance")
    for s in {s.dash: s for s in shown}.values():
        limit = envelopes[s.label]
        steps = np.arange(1, limit.size + 1)
        axes.fill_between(steps, _positive(limit), 0, color=GRID, alpha=0.45, linewidth=0)
        axes.plot(steps, _positive(limit), color=ALLOWANCE, linewidth=1.2)
    _lines(axes, shown, "distance", transform=_positive)
    if shown:
        _log_scale(axes)
        axes.set_ylim(bottom=0.5 * min(np.nanmin(_positive(s.curves["distance"])) for s in shown))
    caption = (
        "‖θ − θ_reference‖ on a log scale. The dark line is the envelope of a format: what one unit roundoff makes."
    )
    caption += _exact(drawn, "distance")
    return Plot(title, caption, to_svg(figure, "distance", title))


def ratio(drawn: Sequence[Series], of: str = "") -> Plot:
    """The worst ratio of all steps so far, which many runs can be read in, under the line of the allowance.

    A cross at the top is a step whose ratio is not a finite number.
    """
    title = "Worst ratio up to each step"
    figure, axes = _canvas("step")
    _lines(axes, drawn, "ratio", transform=_so_far)
    values = np.concatenate([s.curves["ratio"] for s in drawn if "ratio" in s.curves])
    finite = values[np.isfinite(values)]
    top = float(finite.max()) if finite.size else 0.0
    if top > 5:
        _log_scale(axes)
    else:
        axes.set_ylim(0, max(1.15, 1.1 * top))
    axes.axhline(1, color=ALLOWANCE, linewidth=1.2)
    _label_allowance(axes)
    broken = _mark_not_finite(axes, drawn)
    caption = "The largest ratio of all steps so far; 1 is the whole allowance. Every step of every run is audited."
    if broken:
        caption += f" ✕ at the top: {broken} step{'s' if broken > 1 else ''} where the ratio is not a finite number."
    return Plot(title, caption, to_svg(figure, f"{of}ratio", title))


def power_of_ten(value: float) -> str:
    """10⁻⁷ for 1e-7, and nothing between the powers."""
    exponent = np.log10(value) if value > 0 else 0.5
    return f"10{str(round(exponent)).translate(SUPERSCRIPT)}" if abs(exponent - round(exponent)) < 1e-6 else ""


def to_svg(figure: Figure, name: str, title: str) -> str:
    """The figure as an <svg> element for an HTML page: themed, with ids of its own, the same bytes every time."""
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(buffer, format="svg", metadata=metadata, transparent=True)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", text, flags=re.DOTALL)
    text = re.sub(r"<svg[^>]*viewBox=\"([^\"]*)\"[^>]*>", rf'<svg viewBox="\1" role="img" aria-label="{title}">', text)
    text = re.sub(r"font-family: [^;\"]*;?", "", text)
    text = text.replace("xlink:href", "href")
    text = re.sub(r'( id="|url\(#|href="#)', rf"\g<1>{name}-", text)
    return re.sub("|".join(VARIABLES), lambda match: f"var({VARIABLES[match.group()]})", text)


def _canvas(x_label: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH, HEIGHT))
    axes = figure.add_axes((0.09, 0.15, 0.895, 0.8))
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(GRID)
    axes.grid(axis="y", color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", length=0, labelsize=10.5, pad=5)
    axes.set_xlabel(x_label, fontsize=10.5, labelpad=3)
    axes.margins(x=0.01)
    return figure, axes


def _lines(
    axes: Axes,
    drawn: Sequence[Series],
    curve: str,
    *,
    nested: bool = False,
    marker: str = "",
    transform: Callable[[NDArray[np.float64]], NDArray[np.float64]] = lambda values: values,
) -> None:
    """Draw one curve of every run that has it, counting from 1; what is not finite leaves a gap."""
    widths = np.linspace(4.5, 1.1, len(drawn)) if nested and len(drawn) > 1 else np.full(len(drawn), 1.4)
    for s, width in zip(drawn, widths, strict=True):
        values = s.curves.get(curve)
        if values is None or not values.size:
            continue
        dashes = tuple(float(length) for length in s.dash.split())
        axes.plot(
            np.arange(1, values.size + 1),
            np.where(np.isfinite(values), transform(values), np.nan),
            color=s.colour,
            linewidth=width,
            linestyle=(0, dashes) if dashes else "solid",
            marker=marker,
            markersize=width + 2.5,
            dash_capstyle="butt",
        )


def _log_scale(axes: Axes) -> None:
    """Powers of ten, and nothing between them."""
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(lambda value, _: power_of_ten(value))
    axes.yaxis.set_minor_formatter(lambda value, _: "")


def _not_0(drawn: Sequence[Series], curve: str) -> list[Series]:
    """The runs with a curve that a log scale can show."""
    return [s for s in drawn if np.any(_positive(s.curves.get(curve, _numbers([]))) > 0)]


def _exact(drawn: Sequence[Series], curve: str) -> str:
    """What a caption says of the runs with a curve that is 0."""
    exact = [s.label for s in drawn if curve in s.curves and np.all(s.curves[curve] == 0)]
    return f" Exactly 0 throughout, so not drawn: {', '.join(exact)}." if exact else ""


def _finite_limits(axes: Axes) -> None:
    """Start the axis at zero where every value is positive."""
    if axes.lines and axes.dataLim.y0 >= 0 and np.isfinite(axes.dataLim.y1):
        axes.set_ylim(bottom=0)


def _label_allowance(axes: Axes) -> None:
    axes.annotate(
        "allowance",
        (1, 1),
        xycoords=("axes fraction", "data"),
        xytext=(-2, 3),
        textcoords="offset points",
        ha="right",
        fontsize=10,
    )


def _mark_not_finite(axes: Axes, drawn: Sequence[Series]) -> int:
    """A cross at the top for each step whose ratio is NaN or infinite; how many there are."""
    steps = [np.flatnonzero(~np.isfinite(s.curves["ratio"])) + 1 for s in drawn if "ratio" in s.curves]
    every = np.concatenate(steps)
    if every.size:
        axes.plot(
            every,
            np.full(every.size, 0.96),
            transform=axes.get_xaxis_transform(),
            color=BROKEN,
            linestyle="none",
            marker="x",
            markersize=6,
            markeredgewidth=1.8,
        )
    return int(every.size)


def _positive(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(values > 0, values, np.nan)


def _so_far(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The running maximum, past what is not finite."""
    largest: NDArray[np.float64] = np.fmax.accumulate(np.where(np.isfinite(values), values, np.nan))
    return largest


def _numbers(values: Sequence[Number | None]) -> NDArray[np.float64]:
    """As float64; the strings NaN and Infinity, and None, are what they say."""
    return np.array([float("nan" if value is None else value) for value in values])
