"""The verdict of a campaign in a sentence."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from reference.audit import EQUATIONS
from reports.campaign.ledger import Cause, causes
from reports.campaign.standing import Column, Item
from reports.results.verdicts import Verdict
from reports.text.wording import clipped, context, counted, equation_text, listing, numbers_text, spans

NUMBERS = tuple(range(1, 15))
PARTS = {n: [equation for equation in EQUATIONS if re.fullmatch(rf"{n}[ab]?", equation)] for n in NUMBERS}
"""(7) is checked where (7a) and (7b) are."""


def sentence(items: Sequence[Item]) -> str:
    """The verdict on cells and training runs."""
    if not items:
        return "Nothing was audited: the results have no cells."
    counts = Counter(item.stands for item in items)
    if counts[Verdict.BREAKS]:
        return f"{_breaks_clause(causes(items))}{_explained_clause(items)}."
    if counts[Verdict.HOLDS]:
        return f"{_holds_clause(items)}{_explained_clause(items)}{_not_run_clause(items)}."
    if counts[Verdict.EXPLAINED]:
        return f"Nothing holds{_explained_clause(items)}{_not_run_clause(items)}."
    return f"Nothing was audited: none of the {_counts(items)} was run."


WITHOUT_A_NUMBER: dict[str, str] = {
    Verdict.CRASHED: "crashes",
    Verdict.TIMED_OUT: "runs out of time",
    Verdict.MALFORMED: "gives no trace",
}
"""What an adapter does that gives nothing to compare, by the verdict."""


def _breaks_clause(of_causes: Sequence[Cause]) -> str:
    """torch-eager breaks equation (14) in layer 2 (…), and 3 more cells break."""
    first = of_causes[0].lead
    rest = [b.item for cause in of_causes for b in cause.breaks if b is not first]
    more = [part.replace(" ", " more ", 1) for part in _counts_by_kind(rest)]
    tail = f", and {listing(more)} {'breaks' if len(rest) == 1 else 'break'}" if rest else ""
    engine, where = first.item.record["engine"], f"({context(first.item.record)})"
    if finding := first.finding:
        return f"{engine} breaks {equation_text(finding['equation'])} in layer {finding['layer']} {where}{tail}"
    does = WITHOUT_A_NUMBER.get(first.item.record["verdict"], "breaks")
    return f"{engine} {does} {where}: {clipped(first.item.record['reason'])}{tail}"


def _explained_clause(items: Sequence[Item]) -> str:
    """; 3 cells break where a listed divergence explains it."""
    explained = [item for item in items if item.stands == Verdict.EXPLAINED]
    verb = "breaks" if len(explained) == 1 else "break"
    return f"; {_counts(explained)} {verb} where a listed divergence explains it" if explained else ""


def _not_run_clause(items: Sequence[Item]) -> str:
    """; 168 cells and 2 training runs not run."""
    not_run = [item for item in items if item.stands == Verdict.NOT_RUN]
    return f"; {_counts(not_run)} not run" if not_run else ""


def _counts(items: Sequence[Item]) -> str:
    """4 cells and 1 training run."""
    return listing(_counts_by_kind(items))


def _counts_by_kind(items: Sequence[Item]) -> list[str]:
    """4 cells, and 1 training run, each where there is one."""
    runs = sum(item.training for item in items)
    return [counted(n, word) for n, word in ((len(items) - runs, "cell"), (runs, "training run")) if n]


def _holds_clause(items: Sequence[Item]) -> str:
    """336 of 504 cells and all 4 of 4 training runs hold: …, what each engine computes."""
    parts = []
    for training, word in ((False, "cells"), (True, "training runs")):
        stands = [item.stands for item in items if item.training is training]
        if stands:
            n = stands.count(Verdict.HOLDS)
            parts.append(f"{'all ' if n == len(stands) else ''}{n:,} of {len(stands):,} {word}")
    text = listing(parts)
    return f"{text[0].upper()}{text[1:]} hold: {', and '.join(_claims(items))}"


def _claims(items: Sequence[Item]) -> Iterator[str]:
    """What each engine computes of which something holds; engines of which the same is claimed share a claim."""
    checked: dict[Column, set[str]] = {}
    for item in items:
        if item.stands == Verdict.HOLDS:
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
