"""The shares of a campaign, and how their results are put together."""

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from reports.results.files import SAME, ResultsError
from reports.results.records import Record


class Share(NamedTuple):
    """One part of so many: number 1 … of."""

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


# --- shares put together


def merged(shares: Sequence[Record]) -> Record:
    """The results of a campaign of which these are all shares, in any order.

    Raises ResultsError where one is missing, is there twice, or was measured with something else.
    """
    by_number = in_order(shares)
    first, of = by_number[0], len(by_number)
    cells = interleaved([in_groups(share["cells"]) for share in by_number], of)
    n_groups = sum(len(in_groups(share["cells"])) for share in by_number)
    training = runs_in_order(by_number, n_groups)
    times = summed([share["times"] for share in by_number])
    request = {**first["request"], "share": "1/1"}
    environment = {**first["environment"], "seconds": sum(s["environment"]["seconds"] for s in by_number)}
    return {
        **first,
        "environment": environment,
        "request": request,
        "cells": cells,
        "training": training,
        "times": times,
    }


def in_order(shares: Sequence[Record]) -> list[Record]:
    """The shares by their numbers."""
    said = [str(share["request"].get("share")) for share in shares]
    first, of = shares[0], int(said[0].partition("/")[2] or 0)
    wanted = [f"{number}/{of}" for number in range(1, of + 1)]
    if sorted(said) != sorted(wanted):
        raise ResultsError(f"the shares are {', '.join(said)}, but should be {', '.join(wanted) or 'of one campaign'}")
    for share in shares[1:]:
        for part, names in (("environment", SAME), ("request", [n for n in first["request"] if n != "share"])):
            for name in names:
                if share[part].get(name) != first[part].get(name):
                    found, right = share[part].get(name), first[part].get(name)
                    raise ResultsError(f"a share has the {name} {found!r:.200}, but should have {right!r:.200}")
    return [shares[said.index(name)] for name in wanted]


def in_groups(cells: Sequence[Record]) -> list[list[Record]]:
    """Cells in the groups in which they were made."""
    return [list(g) for _, g in groupby(cells, key=lambda cell: (cell["engine"], cell["dtype"], cell["hidden"]))]


def interleaved(groups: Sequence[list[list[Record]]], of: int) -> list[Record]:
    """The groups of all shares, which took one in turn."""
    total = sum(map(len, groups))
    return [cell for i in range(total) for cell in groups[i % of][i // of]]


def runs_in_order(shares: Sequence[Record], begun: int) -> list[Record]:
    """The training runs of all shares, which went on taking turns after so many groups."""
    left = [iter(share["training"]) for share in shares]
    total = sum(len(share["training"]) for share in shares)
    return [next(left[i % len(shares)]) for i in range(begun, begun + total)]


def summed(times: Sequence[Record]) -> Record:
    """The seconds of every engine and part, over all shares; what reuse saved is of one campaign alone."""
    seconds: dict[str, dict[str, float]] = {}
    for found in times:
        for engine, parts in found["seconds"].items():
            of_engine = seconds.setdefault(engine, dict.fromkeys(parts, 0.0))
            for part, spent in parts.items():
                of_engine[part] += spent
    return {"seconds": seconds, "workers": sum(found["workers"] for found in times), "without_reuse": None}
