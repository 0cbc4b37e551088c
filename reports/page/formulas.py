"""The formulas of the ledger as MathML."""

import re
from itertools import pairwise

from markupsafe import Markup

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
