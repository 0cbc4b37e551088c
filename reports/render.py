"""The report of a campaign: what its results say, in a sentence, in a ledger of the equations, and as one HTML page."""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from reference.audit import EQUATIONS
from reports import plots
from reports.results import number

Results = dict[str, Any]
Column = tuple[str, str]
"""Engine and dtype."""

HOLDS, BREAKS, NOT_RUN = "holds", "breaks", "not-run"
NUMBERS = tuple(range(1, 15))


@dataclass(frozen=True)
class Equation:
    """What a row of the ledger shows of an equation: where the note has it, what it is, and the formula.

    The formula is in the notation of `reference.equations`, which reads as it stands in a terminal; `mathml` sets it.
    """

    section: str
    name: str
    formula: str


DEFINITIONS, LEARNING, ONE_LAYER = "Definitions", "Loss and gradient descent", "Gradients in any layer"
OUTPUT_LAYER, HIDDEN_LAYERS = "Output layer", "Hidden layers"

LABELS = {
    "z": Equation(DEFINITIONS, "total input", "z_t^l = Σ_f w_tf^l a_f^{l−1} + b_t^l"),
    "a": Equation(DEFINITIONS, "activation", "a_t^l = f(z_t^l)"),
    "1": Equation(LEARNING, "total loss", "L = 1/N Σ_i L_i"),
    "2a": Equation(LEARNING, "descent, weights", "w_new = w_old − η ∂L/∂w"),
    "2b": Equation(LEARNING, "descent, biases", "b_new = b_old − η ∂L/∂b"),
    "3": Equation(LEARNING, "change of the cost", "ΔC ≈ Σ_v ∂C/∂v Δv"),
    "4": Equation(LEARNING, "change down the gradient", "ΔC ≈ −η ‖∇C‖²"),
    "5a": Equation(ONE_LAYER, "chain rule, weights", "∂L_i/∂w_tf = δ_t ∂z_t/∂w_tf"),
    "5b": Equation(ONE_LAYER, "chain rule, biases", "∂L_i/∂b_t = δ_t ∂z_t/∂b_t"),
    "6a": Equation(ONE_LAYER, "total input by weight", "∂z_t/∂w_tf = a_f^{l−1}"),
    "6b": Equation(ONE_LAYER, "total input by bias", "∂z_t/∂b_t = 1"),
    "7a": Equation(ONE_LAYER, "gradient, weights", "∂L/∂w_tf = 1/N Σ_i δ_t a_f^{l−1}"),
    "7b": Equation(ONE_LAYER, "gradient, biases", "∂L/∂b_t = 1/N Σ_i δ_t"),
    "8": Equation(OUTPUT_LAYER, "partial loss", "L_i = Σ_t L_i(a_t, y_t)"),
    "9": Equation(OUTPUT_LAYER, "error term", "δ_t = Σ_k ∂L_i/∂a_k ∂a_k/∂z_t"),
    "10a": Equation(OUTPUT_LAYER, "(9) in (7a)", "∂L/∂w_tf = 1/N Σ_i,k ∂L_i/∂a_k ∂a_k/∂z_t a_f"),
    "10b": Equation(OUTPUT_LAYER, "(9) in (7b)", "∂L/∂b_t = 1/N Σ_i,k ∂L_i/∂a_k ∂a_k/∂z_t"),
    "11": Equation(HIDDEN_LAYERS, "error term, chain rule", "δ_f^l = Σ_t δ_t^{l+1} ∂z_t^{l+1}/∂z_f^l"),
    "12": Equation(HIDDEN_LAYERS, "total input of the next layer", "z_t^{l+1} = Σ_f w_tf^{l+1} f_h(z_f^l) + b_t^{l+1}"),
    "13": Equation(HIDDEN_LAYERS, "from layer to layer", "∂z_t^{l+1}/∂z_f^l = w_tf^{l+1} f_h'(z_f^l)"),
    "14": Equation(HIDDEN_LAYERS, "error term", "δ_f^l = f_h'(z_f^l) Σ_t δ_t^{l+1} w_tf^{l+1}"),
}
UNKNOWN = Equation("Other checks", "not an equation of the note", "")


# --- what the results say


def holds(finding: dict[str, Any]) -> bool:
    """Whether something was compared and nothing exceeds its allowance; a NaN is never within."""
    return number(finding["elements"]) > 0 and number(finding["ratio"]) <= 1


def standing(item: dict[str, Any]) -> str:
    """holds, breaks or not-run of a cell or training run. One that holds must have findings, and each must hold."""
    if item["verdict"] == NOT_RUN:
        return NOT_RUN
    findings = item["findings"]
    return HOLDS if item["verdict"] == HOLDS and findings and all(map(holds, findings)) else BREAKS


def severity(ratio: float) -> float:
    """Sorts ratios, NaN above everything."""
    return math.inf if math.isnan(ratio) else min(ratio, 1e308)


def audited(results: Results) -> list[dict[str, Any]]:
    """Cells, then training runs."""
    return [*results["cells"], *results["training"]]


def columns(results: Results) -> list[Column]:
    """Every (engine, dtype), engines in the order in which they appear."""
    pairs = list(dict.fromkeys((item["engine"], item["dtype"]) for item in audited(results)))
    engines = list(dict.fromkeys(engine for engine, _ in pairs))
    return sorted(pairs, key=lambda pair: engines.index(pair[0]))


# --- the ledger


@dataclass(frozen=True)
class Entry:
    """One equation over everything that was audited for one column; `cell` and `layer` are where the worst ratio is."""

    ratio: float
    elements: int
    holds: bool
    cell: str
    layer: int


@dataclass(frozen=True)
class Row:
    """One equation, and its entry in each column: None where it was not checked."""

    equation: str
    section: str
    name: str
    formula: str
    entries: dict[Column, Entry | None]

    @property
    def elements(self) -> int:
        """How many were compared, in all columns."""
        return sum(entry.elements for entry in self.entries.values() if entry)


def ledger(results: Results) -> list[Row]:
    """A row an equation, in the note's order; an equation that the note does not have comes last."""
    found: dict[tuple[str, Column], list[tuple[str, dict[str, Any]]]] = {}
    for item in audited(results):
        for finding in item["findings"]:
            key = str(finding["equation"]), (item["engine"], item["dtype"])
            found.setdefault(key, []).append((item["id"], finding))
    others = sorted({equation for equation, _ in found} - set(EQUATIONS))
    rows = []
    for equation in (*EQUATIONS, *others):
        label = LABELS.get(equation, UNKNOWN)
        entries = {column: _entry(found.get((equation, column), [])) for column in columns(results)}
        rows.append(Row(equation, label.section, label.name, label.formula, entries))
    return rows


def _entry(found: Sequence[tuple[str, dict[str, Any]]]) -> Entry | None:
    """The findings of one equation in one column, as one; the worst is one that does not hold, if there is any."""
    if not found:
        return None
    cell, worst = max(found, key=lambda pair: (not holds(pair[1]), severity(number(pair[1]["ratio"]))))
    elements = sum(int(finding["elements"]) for _, finding in found)
    return Entry(number(worst["ratio"]), elements, all(holds(f) for _, f in found), cell, int(worst["layer"]))


# --- the breaks


@dataclass(frozen=True)
class Break:
    """A cell or training run that breaks, and its first finding that does not hold, if it has one."""

    item: dict[str, Any]
    finding: dict[str, Any] | None

    @property
    def training(self) -> bool:
        """Whether this is a training run."""
        return "curves" in self.item

    @property
    def ratio(self) -> float:
        """Of the finding; NaN without one."""
        return number(self.finding["ratio"]) if self.finding else math.nan

    @property
    def cause(self) -> tuple[str, str, str]:
        """Breaks with one cause look alike: the same engine, dtype and equation."""
        return self.item["engine"], self.item["dtype"], str(self.finding["equation"]) if self.finding else "no finding"


def breaks(results: Results) -> list[Break]:
    """Most informative first: a number that can be looked at before a NaN, a NaN before no finding at all.

    Within each the largest ratio first, and one of each cause before the repeats of any.
    """
    found = [Break(item, first_broken(item)) for item in audited(results) if standing(item) == BREAKS]
    found.sort(key=lambda b: (b.finding is None, math.isnan(b.ratio), -severity(b.ratio)))
    leading = {b.cause: b for b in reversed(found)}
    return [*(b for b in found if b is leading[b.cause]), *(b for b in found if b is not leading[b.cause])]


def first_broken(item: dict[str, Any]) -> dict[str, Any] | None:
    """The first finding of a cell or training run that does not hold."""
    return next((finding for finding in item["findings"] if not holds(finding)), None)


def in_common(found: Sequence[Break]) -> list[str]:
    """What all of several breaks share: the first guess at their cause."""
    if len(found) < 2:
        return []
    shared = [_shared(str(b.item[key]) for b in found) for key in ("engine", "dtype", "hidden", "output", "loss")]
    equation = _shared(equation_text(b.finding["equation"]) if b.finding else "" for b in found)
    layer = _shared(f"layer {b.finding['layer']}" if b.finding else "" for b in found)
    return [text for text in (*shared, equation, layer) if text]


def _shared(values: Iterable[str]) -> str:
    distinct = set(values)
    return distinct.pop() if len(distinct) == 1 else ""


# --- the verdict


def verdict(results: Results) -> str:
    """What the campaign found, in a sentence. Only what was compared, and held, is said to hold."""
    found = breaks(results)
    if found:
        return _broken(found)
    if not any(standing(item) == HOLDS for item in audited(results)):
        return _nothing(results)
    return _held(results)


def _broken(found: Sequence[Break]) -> str:
    first, rest = found[0], found[1:]
    cells, runs = sum(not b.training for b in rest), sum(b.training for b in rest)
    more = listing([f"{n} more {plural(n, word)}" for n, word in ((cells, "cell"), (runs, "training run")) if n])
    tail = f", and {more} {'breaks' if cells + runs == 1 else 'break'}" if more else ""
    engine, where = first.item["engine"], f"({context(first.item)})"
    if first.finding:
        finding = first.finding
        return f"{engine} breaks {equation_text(finding['equation'])} in layer {finding['layer']} {where}{tail}."
    return f"{engine} breaks {where}: {clipped(first.item['reason'])}{tail}."


def _nothing(results: Results) -> str:
    items = audited(results)
    if not items:
        return "Nothing was audited: the results have no cells."
    return f"Nothing was audited: {counted_parts(results, 'none of the {} was run', NOT_RUN)}."


def _held(results: Results) -> str:
    not_run = sum(standing(item) == NOT_RUN for item in audited(results))
    tail = f"; {counted_parts(results, '{} not run', NOT_RUN)}" if not_run else ""
    return f"{_held_counts(results)} hold: {_claims(results)}{tail}."


def _held_counts(results: Results) -> str:
    parts = []
    for items, word in ((results["cells"], "cell"), (results["training"], "training run")):
        if items:
            n = sum(standing(item) == HOLDS for item in items)
            parts.append(f"{'all ' if n == len(items) else ''}{n} of {len(items)} {word}s")
    text = listing(parts)
    return text[0].upper() + text[1:]


def counted_parts(results: Results, phrase: str, which: str) -> str:
    """The phrase with how many cells and training runs stand so."""
    parts = []
    for key, word in (("cells", "cell"), ("training", "training run")):
        n = sum(standing(item) == which for item in results[key])
        if n:
            parts.append(f"{n} {plural(n, word)}")
    return phrase.format(listing(parts))


def _claims(results: Results) -> str:
    """What is said of each engine that ran, engines of which the same is said together."""
    rows = ledger(results)
    ran = dict.fromkeys((item["engine"], item["dtype"]) for item in audited(results) if standing(item) == HOLDS)
    alike: dict[str, list[str]] = {}
    for engine in dict.fromkeys(engine for engine, _ in ran):
        claim = _claim(rows, engine, [dtype for e, dtype in ran if e == engine])
        alike.setdefault(claim, []).append(engine)
    return ", and ".join(
        f"{listing(engines)} {'computes' if len(engines) == 1 else 'compute'} backpropagation as {claim}"
        for claim, engines in alike.items()
    )


def _claim(rows: Sequence[Row], engine: str, dtypes: Sequence[str]) -> str:
    """The equations that were checked in any of the dtypes, and which of them only in some."""
    checked = {n: [d for d in dtypes if _checked(rows, n, (engine, d))] for n in NUMBERS}
    partly: dict[str, list[int]] = {}
    for n, where in checked.items():
        if 0 < len(where) < len(dtypes):
            partly.setdefault(listing(where), []).append(n)
    exceptions = "".join(f", {spans(numbers)} in {where} only" for where, numbers in partly.items())
    return f"{numbers_text([n for n in NUMBERS if checked[n]])}, in {listing(dtypes)}{exceptions}"


def _checked(rows: Sequence[Row], n: int, column: Column) -> bool:
    """Whether every part, a and b, of equation n was."""
    parts = [row for row in rows if re.fullmatch(rf"{n}[ab]?", row.equation)]
    return all(row.entries.get(column) for row in parts)


# --- words and numbers


def numbers_text(numbers: Sequence[int]) -> str:
    """equations (1), (3) and (5)–(14) say; the definitions of z and a, where no number was checked."""
    if not numbers:
        return "the definitions say"
    return f"equation{'s' if len(numbers) > 1 else ''} {spans(numbers)} {'say' if len(numbers) > 1 else 'says'}"


def spans(numbers: Sequence[int]) -> str:
    """(1), (3) and (5)–(14)."""
    runs: list[list[int]] = []
    for n in numbers:
        if runs and n == runs[-1][-1] + 1:
            runs[-1].append(n)
        else:
            runs.append([n])
    parts: list[str] = []
    for run in runs:
        parts += [f"({run[0]})–({run[-1]})"] if len(run) > 2 else [f"({n})" for n in run]
    return listing(parts)


def equation_text(equation: Any) -> str:
    """equation (14), but the definition of z."""
    return f"the definition of {equation}" if equation in ("z", "a") else f"equation ({equation})"


def context(item: dict[str, Any]) -> str:
    """float32, gelu → identity, half_squared_error; a training run says of what."""
    activations = f"{item['hidden']} → {item['output']}, {item['loss']}"
    return f"{item['dtype']}, {'training on ' + dataset(item) if 'curves' in item else activations}"


def dataset(run: dict[str, Any]) -> str:
    """The last part of a training run's id."""
    return str(run["id"]).rsplit("/", 1)[-1]


def place(finding: dict[str, Any], training: bool) -> str:
    """Where in the cell the worst element is: case 3 [1, 4], or step 37 [1, 4]."""
    worst = finding["worst"]
    if not worst:
        return "nothing was compared" if not number(finding["elements"]) else "—"
    index = ", ".join(str(i) for i in worst["index"])
    return f"{'step' if training else 'case'} {worst['case']}" + (f" [{index}]" if index else "")


def listing(items: Sequence[str]) -> str:
    """a, b and c."""
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)


def plural(n: int, word: str) -> str:
    """The word, with an s unless there is one."""
    return word if n == 1 else f"{word}s"


def clipped(reason: Any, length: int = 160) -> str:
    """The first line of a reason, without its full stop, and not longer than fits a sentence."""
    line = (str(reason or "no reason was given").strip().splitlines() or [""])[0].rstrip(".")
    return line if len(line) <= length else f"{line[: length - 1]}…"


def ratio_text(ratio: float) -> str:
    """Two digits and never a rounding to 1 of what exceeds it: 0.31, 1.03, 380, 2.1e5."""
    if not math.isfinite(ratio):
        return "NaN" if math.isnan(ratio) else "∞"
    if ratio == 0:
        return "0"
    if ratio < 0.01:
        return "<0.01"
    if ratio <= 1:
        return f"{math.floor(ratio * 100) / 100:.2f}" if ratio < 1 else "1.00"
    if ratio < 9.95:
        return f"{math.ceil(ratio * 100) / 100:.2f}" if ratio < 1.1 else f"{ratio:.1f}"
    return f"{ratio:.0f}" if ratio < 9999 else f"{ratio:.1e}".replace("e+0", "e").replace("e+", "e")


def small_text(x: float) -> str:
    """Three digits: 0.0412, 2.31e-07; a dash for what is not known."""
    return "—" if math.isnan(x) else f"{x:.3g}"


def share_text(x: float) -> str:
    """96.4 %; a dash for what is not known."""
    return "—" if math.isnan(x) else f"{100 * x:.1f} %"


def value_text(value: Any, sign: str = "") -> str:
    """All the digits of a number, so that observed and expected can be told apart.

    `sign` stands before a number that has none of its own; where it is ±, two digits are enough.
    """
    x = number(value)
    if not math.isfinite(x):
        text = "NaN" if math.isnan(x) else "∞"
    else:
        text = f"{abs(x):.2g}" if sign == "±" else repr(abs(x))
    return f"{'−' if x < 0 else sign}{text}"


def level(ratio: float) -> str:
    """The class of a tile: how many fifths of the allowance are used, or that it is exceeded."""
    if not ratio <= 1:
        return "broken"
    return f"use-{min(4, int(ratio * 5))}"


# --- formulas

ATOM = re.compile(
    r"(?P<base>\d+|.)(?:_(?P<sub>\w+(?:,\w+)*))?(?:\^(?:\{(?P<group>[^}]*)\}|(?P<sup>\w)))?(?P<mark>['²]?)"
)
OPERATORS = "=≈+−Σ(),‖∇"


def mathml(formula: str) -> Markup:
    """The formula of a label as MathML: _ starts a subscript, ^ a superscript, and a/b without spaces is a fraction."""
    if not formula:
        return Markup("")
    words = formula.split(" ")
    parts = [_word(words[0])]
    for before, word in pairwise(words):
        if not {before, word} & set(OPERATORS) and not before.startswith("Σ"):
            parts.append(Markup('<mspace width="0.17em"></mspace>'))
        parts.append(_word(word))
    return Markup("<math>{}</math>").format(Markup("").join(parts))


def _word(word: str) -> Markup:
    numerator, slash, denominator = word.partition("/")
    if slash:
        return Markup("<mfrac><mrow>{}</mrow><mrow>{}</mrow></mfrac>").format(_atoms(numerator), _atoms(denominator))
    return _atoms(word) if len(word) == 1 else Markup("<mrow>{}</mrow>").format(_atoms(word))


def _atoms(text: str) -> Markup:
    return Markup("").join(_atom(match) for match in ATOM.finditer(text))


def _atom(match: re.Match[str]) -> Markup:
    """A symbol with its scripts."""
    base, sub = _symbol(match["base"]), match["sub"]
    mark = {"'": Markup("<mo>′</mo>"), "²": Markup("<mn>2</mn>"), "": Markup("")}[match["mark"]]
    sup = Markup("").join(_symbol(c) for c in match["group"] or match["sup"] or "") + mark
    lower = (
        Markup("<mtext>{}</mtext>").format(sub) if sub in ("new", "old") else Markup("").join(map(_symbol, sub or ""))
    )
    if sub and sup:
        return Markup("<msubsup>{}<mrow>{}</mrow><mrow>{}</mrow></msubsup>").format(base, lower, sup)
    if sub:
        return Markup("<msub>{}<mrow>{}</mrow></msub>").format(base, lower)
    return Markup("<msup>{}<mrow>{}</mrow></msup>").format(base, sup) if sup else base


def _symbol(text: str) -> Markup:
    if text.isdigit():
        return Markup("<mn>{}</mn>").format(text)
    if text in OPERATORS:
        return Markup('<mo stretchy="false">{}</mo>').format(text.replace("Σ", "∑"))
    return Markup("<mi>{}</mi>").format(text)


# --- the page


@dataclass(frozen=True)
class Figure:
    """A key figure: what it counts, the number, and a remark."""

    label: str
    value: str
    remark: str


@dataclass(frozen=True)
class Tile:
    """A tile of the heat map: its class, what stands in it, and what its tooltip says."""

    kind: str
    text: str
    title: str


@dataclass(frozen=True)
class HeatMap:
    """One engine in one dtype: a tile for each hidden activation (across) and each output, grouped by loss (down)."""

    engine: str
    dtype: str
    hidden: list[str]
    losses: dict[str, dict[str, list[Tile]]]


def render(results: Results) -> str:
    """The whole report as one HTML page, which loads nothing."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "ratio": ratio_text,
        "value": value_text,
        "small": small_text,
        "share": share_text,
        "level": level,
        "mathml": mathml,
        "words": words,
        "equation": equation_text,
        "listing": listing,
    }
    environment.globals |= {"number": number, "place": place, "dataset": dataset}
    return environment.get_template("report.html.j2").render(_page(results))


def _page(results: Results) -> dict[str, Any]:
    found = breaks(results)
    rows = [row for row in ledger(results) if row.equation in EQUATIONS or row.elements]
    return {
        "results": results,
        "verdict": verdict(results),
        "standing_of_all": BREAKS if found else HOLDS if _any_holds(results) else NOT_RUN,
        "figures": key_figures(results),
        "breaks": found,
        "in_common": in_common(found),
        "columns": columns(results),
        "held": {column: _held_in(results, column) for column in columns(results)},
        "sections": {s: [row for row in rows if row.section == s] for s in dict.fromkeys(row.section for row in rows)},
        "heat_maps": heat_maps(results),
        "not_run": not_run_reasons(results),
        "series": plots.series(results["training"]),
        "plots": [(plot, Markup(plot.svg)) for plot in plots.plots(results["training"])],
        "training": [training_row(run) for run in results["training"]],
        "started": started(results),
        "replay": replay(results),
    }


def _any_holds(results: Results) -> bool:
    return any(standing(item) == HOLDS for item in audited(results))


def _held_in(results: Results, column: Column) -> str:
    """84 of 84, the cells that hold in one column."""
    cells = [cell for cell in results["cells"] if (cell["engine"], cell["dtype"]) == column]
    return f"{sum(standing(cell) == HOLDS for cell in cells)} of {len(cells)}"


def key_figures(results: Results) -> list[Figure]:
    """Cells, elements compared, the worst ratio and the time."""
    counts = Counter(standing(cell) for cell in results["cells"])
    others = [
        f"{counts[s]} {word}" for s, word in ((BREAKS, plural_verb(counts[BREAKS])), (NOT_RUN, "not run")) if counts[s]
    ]
    rows, seconds = ledger(results), number(results["environment"].get("seconds"))
    elements = sum(row.elements for row in rows)
    worst = max(
        ((row, column, entry) for row in rows for column, entry in row.entries.items() if entry),
        key=lambda found: (not found[2].holds, severity(found[2].ratio)),
        default=None,
    )
    figures = [
        Figure("cells hold", f"{counts[HOLDS]} of {len(results['cells'])}", ", ".join(others) or "every one was run"),
        Figure("numbers compared", f"{elements:,}", f"{sum(row.elements > 0 for row in rows)} kinds of check"),
    ]
    if worst:
        row, (engine, dtype), entry = worst
        remark = f"{equation_text(row.equation)}, {engine} {dtype}"
        figures.append(Figure("worst ratio", ratio_text(entry.ratio), remark))
    figures.append(Figure("seconds", f"{seconds:,.0f}" if math.isfinite(seconds) else "—", started(results)))
    return figures


def plural_verb(n: int) -> str:
    """break, or breaks for one."""
    return "breaks" if n == 1 else "break"


def started(results: Results) -> str:
    """2026-11-24 07:00 UTC."""
    text = str(results["environment"].get("started") or "")
    return re.sub(r"^(\d{4}-\d\d-\d\d)T(\d\d:\d\d)[\d:.]*(\+00:00|Z)$", r"\1 \2 UTC", text)


def replay(results: Results) -> str:
    """The command that draws the same cases again."""
    request = results["request"]
    return f"python -m reports audit --seed {request['seed']} --cases {request['cases']}"


def words(name: str) -> str:
    """A name from a table as words: half_squared_error is half squared error."""
    return name.replace("_", " ")


def heat_maps(results: Results) -> list[HeatMap]:
    """One for each column that has cells, all with the same rows and columns, so that they can be compared."""
    cells = results["cells"]
    hidden = list(dict.fromkeys(cell["hidden"] for cell in cells))
    pairs = sorted(dict.fromkeys((cell["loss"], cell["output"]) for cell in cells), key=_first_seen(cells))
    maps = []
    for engine, dtype in columns({"cells": cells, "training": []}):
        found: dict[tuple[str, str, str], Tile] = {}
        for cell in sorted((c for c in cells if (c["engine"], c["dtype"]) == (engine, dtype)), key=_tile_rank):
            found[cell["hidden"], cell["output"], cell["loss"]] = tile(cell)
        losses: dict[str, dict[str, list[Tile]]] = {}
        for loss, output in pairs:
            losses.setdefault(loss, {})[output] = [found.get((h, output, loss), Tile("absent", "", "")) for h in hidden]
        maps.append(HeatMap(engine, dtype, hidden, losses))
    return maps


def _first_seen(cells: Sequence[dict[str, Any]]) -> Callable[[tuple[str, str]], int]:
    """Sorts (loss, output) so that a loss stays together, losses in the order in which they appear."""
    losses = list(dict.fromkeys(cell["loss"] for cell in cells))
    return lambda pair: losses.index(pair[0])


def _tile_rank(cell: dict[str, Any]) -> int:
    """Of several cells on one tile, such as of two devices, one that breaks is shown before any other."""
    return (NOT_RUN, HOLDS, BREAKS).index(standing(cell))


def tile(cell: dict[str, Any]) -> Tile:
    """The worst ratio of a cell; its first break, if it has one; why it was not run, if it was not."""
    where = f"{cell['hidden']} → {cell['output']}, {words(cell['loss'])}"
    stands = standing(cell)
    if stands == NOT_RUN:
        return Tile(NOT_RUN, "", f"{where}: not run, {cell['reason'] or 'no reason was given'}")
    finding = first_broken(cell) or _telling(cell["findings"])
    if finding is None:
        return Tile("broken", "✕", f"{where}: breaks, {cell['reason'] or 'nothing was compared'}")
    ratio = number(finding["ratio"])
    title = f"{where}: {ratio_text(ratio)} in {equation_text(finding['equation'])}, layer {finding['layer']}"
    if stands == HOLDS:
        return Tile(level(ratio), tile_text(ratio), title)
    return Tile("broken", f"✕{'' if ratio <= 1 else tile_text(ratio)}", f"{title}: breaks")


def _telling(findings: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """The worst finding beside (2a) and (2b): one rounding may use all of their allowance, whatever the activation."""
    telling = [f for f in findings if f["equation"] not in ("2a", "2b")] or findings
    return max(telling, key=lambda f: number(f["ratio"]), default=None)


def tile_text(ratio: float) -> str:
    """As short as a tile is: .31, 0 for less than a hundredth."""
    return "0" if ratio < 0.01 else ratio_text(ratio).removeprefix("0")


@dataclass(frozen=True)
class TrainingRow:
    """What the table says of a training run; NaN for what it does not know."""

    run: dict[str, Any]
    stands: str
    ratio: float
    loss: float
    drift: float
    accuracy: dict[str, float]


def training_row(run: dict[str, Any]) -> TrainingRow:
    """The worst ratio of a run, the loss and the drift it ends with, and its accuracies."""
    ratio = max((number(finding["ratio"]) for finding in run["findings"]), key=severity, default=math.nan)
    loss, drift = (number([None, *run["curves"].get(curve, [])][-1]) for curve in ("loss", "drift"))
    accuracy = {part: number((run["accuracy"] or {}).get(part)) for part in ("train", "validation", "test")}
    return TrainingRow(run, standing(run), ratio, loss, drift, accuracy)


def not_run_reasons(results: Results) -> list[tuple[str, int, list[str]]]:
    """Each reason for not running, how many cells and training runs it kept, and the engines."""
    reasons: dict[str, list[str]] = {}
    for item in audited(results):
        if standing(item) == NOT_RUN:
            reasons.setdefault(str(item["reason"] or "no reason was given"), []).append(
                f"{item['engine']} {item['dtype']}"
            )
    return [(reason, len(who), list(dict.fromkeys(who))) for reason, who in reasons.items()]
