"""The divergences as the report shows them: the worst first, and of those what ordinary inputs meet."""

import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from reports.campaign.ledger import Cause
from reports.page.digits import digits, numbers, rounded
from reports.results.records import Divergence
from reports.results.schema import Results
from reports.text.wording import counted, spaced

STATUSES = ("defect", "approximation", "convention", "equal", "not there")
"""How an engine's answer can stand to the equation's, worst first."""

SIGNS = {"nan": "NaN", "inf": "∞"}

WITHIN = ("convention", "equal", "not there")
"""Statuses of an answer that is not off, or of none."""


@dataclass(frozen=True)
class DivergenceRow:
    """A divergence: its anchor and worst status, each engine's answer with its status, its link, what it explains.

    `digits` are as many significant digits as tell the answers that depart from the equation's.
    """

    record: Divergence
    anchor: str
    status: str
    answers: dict[str, tuple[str, str]]
    link: str | None
    explains: int
    digits: int

    @property
    def title(self) -> str:
        """softplus value, float64."""
        return f"{spaced(self.record['function'])} {spaced(self.record['what'])}, {self.record['dtype']}"

    @property
    def ordinary(self) -> bool:
        """Whether an input such as a campaign draws meets it; a default, which has no input, is always met."""
        return self.record.get("ordinary", True)

    @property
    def defect(self) -> bool:
        """Whether an engine is off and nothing states it or bounds it, or has a status that has no name here."""
        return _severity(self.status) <= _severity("defect")

    @property
    def departing(self) -> list[str]:
        """The engines whose status is the row's."""
        return [engine for engine, (_, status) in self.answers.items() if status == self.status]

    def shown(self, text: str) -> str:
        """An answer, or what the equation says, with as many digits as tell them apart."""
        return re.sub(r"\b(nan|inf)\b", lambda match: SIGNS[match[0]], rounded(text, self.digits))


def divergences(results: Results, explained: Iterable[Cause] = ()) -> list[DivergenceRow]:
    """Worst status first, one that has no name here before all.

    Within a status what ordinary inputs meet comes before what they do not, what explains a break of the campaign
    before what does not, and then the row with the mildest input.
    """
    explains: Counter[str] = Counter()
    for cause in explained:
        explains[str(cause.lead.item.record["explained"])] += len(cause.breaks)
    taken = set[str]()
    rows = [row(record, explains[str(record["id"])], taken) for record in results.get("divergences") or []]
    return sorted(rows, key=lambda d: (_severity(d.status), not d.ordinary, not d.explains, extremity(d.record)))


def row(record: Divergence, explains: int, taken: set[str]) -> DivergenceRow:
    """A row of the table, under an anchor that is not taken."""
    anchor = unique("divergence-" + re.sub(r"[^\w.-]+", "-", str(record["id"])), taken)
    answers = {
        engine: (str(answer), str(record["status"].get(engine, "unknown")))
        for engine, answer in record["engines"].items()
    }
    status = min((status for _, status in answers.values()), key=_severity, default="equal")
    source = str(record.get("source") or "")
    link = source if re.match(r"https?://", source) else None
    departing = [answer for answer, status in answers.values() if status not in WITHIN]
    return DivergenceRow(record, anchor, status, answers, link, explains, digits(str(record["equation"]), departing))


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


# --- inputs

ALSO = re.compile(r"\s*\bAlso at (?P<inputs>.+?)(?: and (?P<more>\d+) more)?\.$", re.DOTALL)
"""How a note ends that names further inputs."""


def inputs(record: Divergence) -> list[str]:
    """The input of the row, and those that its note names beside it."""
    also = ALSO.search(record["note"] or "")
    return [record["input"], *(also["inputs"].split("; ") if also else ())]


def inputs_text(record: Divergence) -> str:
    """z = 5e-324, and at 13 more inputs, such as z = 0.25: the mildest that is named."""
    first, *others = inputs(record)
    if not others:
        return first
    also = ALSO.search(record["note"])
    count = len(others) + int((also and also["more"]) or 0)
    return f"{first}, and at {counted(count, 'more input')}, such as {min(others, key=_extremity)}"


def reason(record: Divergence) -> str:
    """The note without the further inputs."""
    return ALSO.sub("", record["note"] or "")


def extremity(record: Divergence) -> float:
    """By how many powers of ten the mildest input of a row is away from 1; infinite where all are infinite or NaN."""
    return min(map(_extremity, inputs(record)))


def _extremity(text: str) -> float:
    if re.search(r"\b(inf|nan)\b", text):
        return math.inf
    return max((abs(math.log10(abs(x))) for x in numbers(text) if x), default=0.0)


def answering(results: Results) -> list[str]:
    """Every engine that answers in some row of the divergences."""
    return list(dict.fromkeys(engine for row in results.get("divergences") or [] for engine in row["engines"]))
