"""Waivers: breaks that somebody has looked at, and lets pass until a date.

A waiver names the cells by a pattern, one equation, and the ratio up to which it holds; the reason and a link say why.
"""

import math
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from reports.campaign.standing import Check, checks
from reports.results.files import ResultsError
from reports.results.records import ItemRecord

Record = dict[str, Any]

PATH = Path("reports/gate/waivers.toml")

FIELDS = ("cells", "equation", "ceiling", "reason", "link", "expires")


@dataclass(frozen=True)
class Waiver:
    """What is waived: an equation in the cells of a pattern, up to a ratio and to the end of a day."""

    cells: str
    equation: str
    ceiling: float
    reason: str
    link: str
    expires: date

    def names(self, cell: str, equation: str) -> bool:
        """Whether it speaks of an equation of a cell."""
        return equation == self.equation and fnmatchcase(cell, self.cells)

    def covers(self, cell: str, equation: str, check: Check, today: date) -> bool:
        """Whether it lets a check pass."""
        return today <= self.expires and self.names(cell, equation) and check.ratio <= self.ceiling

    def __str__(self) -> str:
        return f"({self.equation}) in {self.cells}"


def read(path: Path) -> list[Waiver]:
    """The waivers in a file; none where it is not there. Raises ResultsError for one that is not understood."""
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ResultsError(f"waivers {str(path)!r} cannot be read: {error}") from error
    if unknown := [name for name in found if name != "waiver"]:
        raise ResultsError(f"waivers {str(path)!r} have {unknown[0]!r}, but may have [[waiver]] alone")
    given = found.get("waiver", [])
    if not (isinstance(given, list) and all(isinstance(each, dict) for each in given)):
        raise ResultsError(f"waivers {str(path)!r}: write each under [[waiver]]")
    for i, each in enumerate(given, 1):
        if wrong := malformed(each):
            raise ResultsError(f"waivers {str(path)!r}: waiver {i}: {wrong}")
    return [Waiver(**{**each, "ceiling": float(each["ceiling"])}) for each in given]


def malformed(given: Record) -> str | None:
    """What is wrong with a waiver."""
    for name in FIELDS:
        if name not in given:
            return f"it has no {name}, but needs {', '.join(FIELDS)}"
    if unknown := [name for name in given if name not in FIELDS]:
        return f"it has {unknown[0]!r}, but may have {', '.join(FIELDS)}"
    for name in ("cells", "equation", "reason", "link"):
        if not isinstance(given[name], str) or not given[name].strip():
            return f"its {name} is {given[name]!r}, but should be text"
    if not given["link"].startswith(("https://", "http://")):
        return f"its link is {given['link']!r}, but should begin with https://"
    ceiling, expires = given["ceiling"], given["expires"]
    if isinstance(ceiling, bool) or not isinstance(ceiling, (int, float)) or not 1 < ceiling < math.inf:
        return f"its ceiling is {ceiling!r}, but should be a number above 1, beneath which a check holds"
    if not isinstance(expires, date) or isinstance(expires, datetime):
        return f"it expires {expires!r}, but should on a date such as 2027-03-31, without quotes"
    return None


def broken(record: ItemRecord) -> dict[str, Check]:
    """The checks of a cell that do not hold, by equation."""
    return {equation: check for equation, check in checks(record).items() if not check.holds}


def waived(record: ItemRecord, waivers: Sequence[Waiver], today: date) -> bool:
    """Whether waivers let every break of a cell pass; it must have one."""
    found = broken(record)
    covered = [
        any(waiver.covers(record["id"], equation, check, today) for waiver in waivers)
        for equation, check in found.items()
    ]
    return bool(covered) and all(covered)


def expired(waivers: Iterable[Waiver], today: date) -> list[Waiver]:
    """Those past their date."""
    return [waiver for waiver in waivers if today > waiver.expires]


def idle(waivers: Iterable[Waiver], records: Sequence[ItemRecord]) -> list[Waiver]:
    """Those that no longer apply: nothing breaks where they are."""
    breaks = [(record["id"], equation) for record in records for equation in broken(record)]
    return [waiver for waiver in waivers if not any(waiver.names(*at) for at in breaks)]
