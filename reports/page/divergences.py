"""The divergences as the report shows them."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from reports.campaign.ledger import Cause
from reports.campaign.standing import Record, Results
from reports.text import wording

STATUSES = ("defect", "approximation", "convention", "equal", "not there")
"""What an engine's answer can be beside the equation's, worst first."""


@dataclass(frozen=True)
class Divergence:
    """A row of the divergences: its anchor and worst status, each engine's answer with its status, its link."""

    row: Record
    anchor: str
    status: str
    answers: dict[str, tuple[str, str]]
    link: str | None
    explains: int

    @property
    def title(self) -> str:
        """softplus value, float64."""
        return f"{wording.spaced(self.row['function'])} {wording.spaced(self.row['what'])}, {self.row['dtype']}"


def divergences(results: Results, explained: Iterable[Cause] = ()) -> list[Divergence]:
    """Worst first: a defect before an approximation before a convention; a status that has no name here before all."""
    explains: Counter[str] = Counter()
    for cause in explained:
        explains[str(cause.lead.item.record["explained"])] += len(cause.breaks)
    rows, taken = [], set[str]()
    for row in results.get("divergences") or []:
        anchor = unique("divergence-" + re.sub(r"[^\w.-]+", "-", str(row["id"])), taken)
        answers = {e: (str(answer), str(row["status"].get(e, "unknown"))) for e, answer in row["engines"].items()}
        status = min((status for _, status in answers.values()), key=_severity, default="equal")
        source = str(row.get("source") or "")
        link = source if re.match(r"https?://", source) else None
        rows.append(Divergence(row, anchor, status, answers, link, explains[str(row["id"])]))
    return sorted(rows, key=lambda d: _severity(d.status))


def unique(name: str, taken: set[str]) -> str:
    """The name, with a number if it is taken; taken from now on."""
    free, n = name, 1
    while free in taken:
        n += 1
        free = f"{name}-{n}"
    taken.add(free)
    return free


def _severity(status: str) -> int:
    return STATUSES.index(status) if status in STATUSES else -1


def answering(results: Results) -> list[str]:
    """Every engine that answers in some row of the divergences."""
    return list(dict.fromkeys(engine for row in results.get("divergences") or [] for engine in row["engines"]))
