"""The verdict of a campaign in a sentence."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import cast

from reference.audit import EQUATIONS
from reports.campaign.ledger import Cause, causes
from reports.campaign.standing import Column, Item
from reports.results import records
from reports.results.verdicts import BREAKS, EXPLAINED, HOLDS, NOT_RUN
from reports.text.wording import clipped, context, counted, equation_text, listing, numbers_text, spans

NUMBERS = tuple(range(1, 15))
PARTS = {n: [equation for equation in EQUATIONS if re.fullmatch(rf"{n}[ab]?", equation)] for n in NUMBERS}
"""(7) is checked where (7a) and (7b) are."""


def sentence(found: Sequence[Item]) -> str:
    """The verdict on items."""
    if not found:
        return "Nothing was audited: the results have no cells."
    counts = Counter(item.stands for item in found)
    if counts[BREAKS]:
        return f"{_broken(causes(found))}{_explained(found)}."
    if counts[HOLDS]:
        return f"{_held(found)}{_explained(found)}{_left_out(found)}."
    if counts[EXPLAINED]:
        return f"Nothing holds{_explained(found)}{_left_out(found)}."
    return f"Nothing was audited: none of the {_number_of(found)} was run."


WITHOUT_A_NUMBER = {"crashed": "crashes", "timed-out": "runs out of time", "malformed": "gives no trace"}
"""What an adapter does that gave nothing to compare."""


def _broken(found: Sequence[Cause]) -> str:
    first = found[0].lead
    rest = [b.item for cause in found for b in cause.breaks if b is not first]
    more = [part.replace(" ", " more ", 1) for part in _parts(rest)]
    tail = f", and {listing(more)} {'breaks' if len(rest) == 1 else 'break'}" if rest else ""
    engine, where = first.item.record["engine"], f"({context(cast(records.Item, first.item.record))})"
    if finding := first.finding:
        return f"{engine} breaks {equation_text(finding['equation'])} in layer {finding['layer']} {where}{tail}"
    does = WITHOUT_A_NUMBER.get(first.item.record["verdict"], "breaks")
    return f"{engine} {does} {where}: {clipped(first.item.record['reason'])}{tail}"


def _explained(found: Sequence[Item]) -> str:
    listed = [item for item in found if item.stands == EXPLAINED]
    verb = "breaks" if len(listed) == 1 else "break"
    return f"; {_number_of(listed)} {verb} where a listed divergence explains it" if listed else ""


def _left_out(found: Sequence[Item]) -> str:
    idle = [item for item in found if item.stands == NOT_RUN]
    return f"; {_number_of(idle)} not run" if idle else ""


def _number_of(found: Sequence[Item]) -> str:
    """4 cells and 1 training run."""
    return listing(_parts(found))


def _parts(found: Sequence[Item]) -> list[str]:
    runs = sum(item.training for item in found)
    return [counted(n, word) for n, word in ((len(found) - runs, "cell"), (runs, "training run")) if n]


def _held(found: Sequence[Item]) -> str:
    parts = []
    for training, word in ((False, "cells"), (True, "training runs")):
        stands = [item.stands for item in found if item.training is training]
        if stands:
            n = stands.count(HOLDS)
            parts.append(f"{'all ' if n == len(stands) else ''}{n:,} of {len(stands):,} {word}")
    text = listing(parts)
    return f"{text[0].upper()}{text[1:]} hold: {', and '.join(_claims(found))}"


def _claims(found: Sequence[Item]) -> Iterator[str]:
    """What is said of each engine of which something held, engines of which the same is said together."""
    checked: dict[Column, set[str]] = {}
    for item in found:
        if item.stands == HOLDS:
            checked.setdefault(item.column, set()).update(item.checks)
    alike: dict[str, list[str]] = {}
    for engine in dict.fromkeys(engine for engine, _ in checked):
        claim = _claim({dtype: equations for (e, dtype), equations in checked.items() if e == engine})
        alike.setdefault(claim, []).append(engine)
    for claim, engines in alike.items():
        yield f"{listing(engines)} {'computes' if len(engines) == 1 else 'compute'} backpropagation as {claim}"


def _claim(checked: dict[str, set[str]]) -> str:
    """The equations that were checked in any dtype, in all of their parts, and which of them only in some."""
    where = {n: [dtype for dtype, equations in checked.items() if equations.issuperset(PARTS[n])] for n in NUMBERS}
    partly: dict[str, list[int]] = {}
    for n, dtypes in where.items():
        if 0 < len(dtypes) < len(checked):
            partly.setdefault(listing(dtypes), []).append(n)
    exceptions = "".join(f", {spans(numbers)} in {dtypes} only" for dtypes, numbers in partly.items())
    return f"{numbers_text([n for n in NUMBERS if where[n]])}, in {listing(list(checked))}{exceptions}"
