"""The words of a report: what an equation, a number, a place and a list of things are called in a sentence."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from markupsafe import Markup

from reports.results import number

Record = dict[str, Any]


# --- the equations


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
HOLDS, BREAKS, EXPLAINED, NOT_RUN = "holds", "breaks", "explained", "not-run"
"""How a cell or training run stands; explained: it breaks, where a listed divergence says that and why it does."""

UNKNOWN = Equation("Other checks", "not an equation of the note", "")


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


def context(record: Record) -> str:
    """float32, gelu → identity, half_squared_error; a training run says of what."""
    activations = f"{record['hidden']} → {record['output']}, {record['loss']}"
    return f"{record['dtype']}, {'training on ' + dataset(record) if 'curves' in record else activations}"


def dataset(run: Record) -> str:
    """The last part of a training run's id."""
    return str(run["id"]).rsplit("/", 1)[-1]


def place(finding: Record, training: bool) -> str:
    """Where in the cell the worst element is: case 3 [1, 4], or step 37 [1, 4]."""
    worst = finding["worst"]
    if not worst:
        return "nothing was compared" if not number(finding["elements"]) else "—"
    index = ", ".join(str(i) for i in worst["index"])
    return f"{'step' if training else 'case'} {worst['case']}" + (f" [{index}]" if index else "")


def listing(items: Sequence[str]) -> str:
    """a, b and c."""
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)


def spaced(name: Any) -> str:
    """A name from a table as words: half_squared_error is half squared error."""
    return str(name).replace("_", " ")


def counted(n: int, word: str) -> str:
    """1 cell, 70,000 cells."""
    return f"{n:,} {word}" if n == 1 else f"{n:,} {word}s"


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


def short_text(ratio: float) -> str:
    """As short as a tile is: .31, 0 for less than a hundredth."""
    return "0" if ratio < 0.01 else ratio_text(ratio).removeprefix("0")


def small_text(x: float) -> str:
    """Three digits: 0.0412, 2.31e-07; a dash for what is not known."""
    return "—" if math.isnan(x) else f"{x:.3g}"


def share_text(x: float) -> str:
    """96.4 %; a dash for what is not known."""
    return "—" if math.isnan(x) else f"{100 * x:.1f} %"


def duration_text(seconds: float) -> str:
    """0.42 s, 93 s, 41 min 3 s, 2 h 5 min; a dash for what is not known."""
    if not math.isfinite(seconds):
        return "—"
    if seconds < 10:
        return f"{seconds:.2g} s"
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 120:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    return f"{minutes // 60:,} h {minutes % 60} min"


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
