"""The ledger of equations as the report shows it: rows by section, columns by engine and dtype."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from reference.audit import EQUATIONS
from reports.campaign.ledger import LedgerRow
from reports.campaign.standing import Column, Item, columns
from reports.results.verdicts import Verdict


@dataclass(frozen=True)
class Ledger:
    """The rows of each section, the columns, and how many cells of each column stand how."""

    columns: list[Column]
    standings: dict[str, dict[Column, int]]
    sections: dict[str, list[LedgerRow]]


def ledger(found: Sequence[Item], rows: Iterable[LedgerRow]) -> Ledger:
    """The ledger of items; an equation that the note does not have has a row where something was compared."""
    sections: dict[str, list[LedgerRow]] = {}
    for row in rows:
        if row.equation in EQUATIONS or row.elements:
            sections.setdefault(row.section, []).append(row)
    return Ledger(columns(found), standings(found), sections)


def standings(found: Iterable[Item]) -> dict[str, dict[Column, int]]:
    """How many cells of each column hold, break and so on; what no cell does is left out, but for holding."""
    counts = Counter((item.stands, item.column) for item in found if not item.training)
    kinds = {
        Verdict.HOLDS: "hold",
        Verdict.BREAKS: "break",
        Verdict.EXPLAINED: "break as listed",
        Verdict.NOT_RUN: "not run",
    }
    return {
        text: {column: n for (stood, column), n in counts.items() if stood == stands}
        for stands, text in kinds.items()
        if stands == Verdict.HOLDS or any(stood == stands for stood, _ in counts)
    }
