"""The shares of a campaign, and how their results are put together."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from reports.results.files import SAME, ResultsError
from reports.results.records import Cell, Times, TrainingRun
from reports.results.schema import Results


class Share(NamedTuple):
    """One of the equal parts of a campaign: number 1 … of."""

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


# --- shares put together


def merged(shares: Sequence[Results]) -> Results:
    """The results of a campaign of which these are all shares, in any order.

    Raises ResultsError where one is missing, is there twice, or was measured with something else.
    """
    ordered = by_number(shares)
    first, groups = ordered[0], [cells_in_groups(share["cells"]) for share in ordered]
    return {
        **first,
        "environment": {**first["environment"], "seconds": sum(share["environment"]["seconds"] for share in ordered)},
        "request": {**first["request"], "share": "1/1"},
        "cells": cells_in_turn(groups),
        "training": runs_in_turn(ordered, sum(map(len, groups))),
        "times": summed([share["times"] for share in ordered]),
    }


def by_number(shares: Sequence[Results]) -> list[Results]:
    """The shares in the order of their numbers; raises ResultsError where they are not all shares of one campaign."""
    names = [str(share["request"].get("share")) for share in shares]
    first, of = shares[0], int(names[0].partition("/")[2] or 0)
    wanted = [f"{number}/{of}" for number in range(1, of + 1)]
    if sorted(names) != sorted(wanted):
        raise ResultsError(f"the shares are {', '.join(names)}, but should be {', '.join(wanted) or 'of one campaign'}")
    of_request = [name for name in first["request"] if name != "share"]
    for share in shares[1:]:
        require_same(share["environment"], first["environment"], SAME)
        require_same(share["request"], first["request"], of_request)
    return [shares[names.index(name)] for name in wanted]


def require_same(fields: Mapping[str, Any], wanted: Mapping[str, Any], names: Sequence[str]) -> None:
    """Raise ResultsError where a share differs from the first in one of these fields."""
    for name in names:
        if fields.get(name) != wanted.get(name):
            raise ResultsError(
                f"a share has the {name} {fields.get(name)!r:.200}, but should have {wanted.get(name)!r:.200}"
            )


def cells_in_groups(cells: Sequence[Cell]) -> list[list[Cell]]:
    """Cells in the groups in which workers audited them."""
    return [list(g) for _, g in groupby(cells, key=lambda cell: (cell["engine"], cell["dtype"], cell["hidden"]))]


def cells_in_turn(groups: Sequence[list[list[Cell]]]) -> list[Cell]:
    """The cells of all shares, which took one group in turn."""
    total, of = sum(map(len, groups)), len(groups)
    return [cell for i in range(total) for cell in groups[i % of][i // of]]


def runs_in_turn(shares: Sequence[Results], begun: int) -> list[TrainingRun]:
    """The training runs of all shares, which went on taking turns after so many groups."""
    left = [iter(share["training"]) for share in shares]
    total = sum(len(share["training"]) for share in shares)
    return [next(left[i % len(shares)]) for i in range(begun, begun + total)]


def summed(times: Sequence[Times | None]) -> Times:
    """The seconds of every engine and part over all shares; what reuse saves is measured in a whole campaign alone."""
    seconds: dict[str, dict[str, float]] = {}
    measured = [each for each in times if each is not None]
    for each in measured:
        for engine, parts in each["seconds"].items():
            of_engine = seconds.setdefault(engine, dict.fromkeys(parts, 0.0))
            for part, spent in parts.items():
                of_engine[part] += spent
    return {"seconds": seconds, "workers": sum(each["workers"] for each in measured), "without_reuse": None}
