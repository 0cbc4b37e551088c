"""Waivers: breaks that somebody has examined, and lets pass until a date.

A waiver has a pattern of cells, one equation, and the ratio up to which it applies; the reason and a link say why.
"""

import math
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from reports.campaign.standing import Check, checks
from reports.results.files import ResultsError
from reports.results.records import ItemRecord

PATH = Path("reports/gate/waivers.toml")

FIELDS = ("cells", "equation", "ceiling", "reason", "link", "expires")


@dataclass(frozen=True)
class Waiver:
    """A waiver of an equation in the cells of a pattern, up to a ratio and until the end of a day."""

    cells: str
    equation: str
    ceiling: float
    reason: str
    link: str
    expires: date

    def names(self, cell: str, equation: str) -> bool:
        """Whether it is about an equation of a cell."""
        return equation == self.equation and fnmatchcase(cell, self.cells)

    def covers(self, cell: str, equation: str, check: Check, today: date) -> bool:
        """Whether it lets a check pass."""
        return today <= self.expires and self.names(cell, equation) and check.ratio <= self.ceiling

    def __str__(self) -> str:
        return f"({self.equation}) in {self.cells}"


def read(path: Path) -> list[Waiver]:
    """The waivers in a file; none where there is no file. Raises ResultsError for one that is malformed."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ResultsError(f"waivers {str(path)!r} cannot be read: {error}") from error
    if unknown := [name for name in document if name != "waiver"]:
        raise ResultsError(f"waivers {str(path)!r} have {unknown[0]!r}, but may have only [[waiver]]")
    tables = document.get("waiver", [])
    if not (isinstance(tables, list) and all(isinstance(table, dict) for table in tables)):
        raise ResultsError(f"waivers {str(path)!r}: 'waiver' is {tables!r:.80}: write each waiver under [[waiver]]")
    for i, table in enumerate(tables, 1):
        if wrong := malformed(table):
            raise ResultsError(f"waivers {str(path)!r}: waiver {i}: {wrong}")
    return [Waiver(**{**table, "ceiling": float(table["ceiling"])}) for table in tables]


def malformed(table: Mapping[str, Any]) -> str | None:
    """Why a table of the file is not a waiver; None for one that is."""
    for name in FIELDS:
        if name not in table:
            return f"it has no {name}, but needs {', '.join(FIELDS)}"
    if unknown := [name for name in table if name not in FIELDS]:
        return f"it has {unknown[0]!r}, but may have {', '.join(FIELDS)}"
    for name in ("cells", "equation", "reason", "link"):
        if not isinstance(table[name], str) or not table[name].strip():
            return f"its {name} is {table[name]!r}, but should be text"
    if not table["link"].startswith(("https://", "http://")):
        return f"its link is {table['link']!r}, but should begin with https://"
    ceiling, expires = table["ceiling"], table["expires"]
    if isinstance(ceiling, bool) or not isinstance(ceiling, (int, float)) or not 1 < ceiling < math.inf:
        return f"its ceiling is {ceiling!r}, but should be a number above 1: up to 1 a check holds without a waiver"
    if not isinstance(expires, date) or isinstance(expires, datetime):
        return f"its expires is {expires!r}, but should be a date without quotes, such as 2027-03-31"
    return None


def broken(record: ItemRecord) -> dict[str, Check]:
    """The checks of a cell that do not hold, by equation."""
    return {equation: check for equation, check in checks(record).items() if not check.holds}


def waived(record: ItemRecord, waivers: Sequence[Waiver], today: date) -> bool:
    """Whether a cell has breaks, and waivers let every one pass."""
    covered = [
        any(waiver.covers(record["id"], equation, check, today) for waiver in waivers)
        for equation, check in broken(record).items()
    ]
    return bool(covered) and all(covered)


def expired(waivers: Iterable[Waiver], today: date) -> list[Waiver]:
    """The waivers past their date."""
    return [waiver for waiver in waivers if today > waiver.expires]


def idle(waivers: Iterable[Waiver], records: Sequence[ItemRecord]) -> list[Waiver]:
    """The waivers that no longer apply, for nothing that they are about breaks."""
    breaks = [(record["id"], equation) for record in records for equation in broken(record)]
    return [waiver for waiver in waivers if not any(waiver.names(*at) for at in breaks)]
