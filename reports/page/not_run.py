"""What was not run: the functions that an engine does not have, and every other reason."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from reports.campaign.standing import Item
from reports.results.records import Role
from reports.results.verdicts import Verdict
from reports.text.wording import listing

MISSING = re.compile(r"\S+ has no (?P<role>hidden activation|output activation|loss) '(?P<function>\w+)'")
MISSING_WITH = re.compile(r"\S+ has no (?P<function>\w+) with (?P<parameter>.+)")
"""How adapters say that they lack a function, or lack it with some parameter."""

ROLES: dict[str, Role] = {"hidden activation": "hidden", "output activation": "output", "loss": "loss"}
"""The key of a cell by what its function there is called."""


class Lack(NamedTuple):
    """A cell or training run that was left out for a function: which, as what or with which parameter."""

    item: Item
    function: str
    role: str | None
    parameter: str | None


@dataclass(frozen=True)
class MissingFunction:
    """A function that some engine lacks, how many cells and training runs that left out, and an entry an engine.

    The entry is "missing", and where, if it is not everywhere; "there"; or nothing where the engine was not asked.
    """

    name: str
    count: int
    entries: dict[str, str]


@dataclass(frozen=True)
class Reason:
    """Another reason for not running, how many cells and training runs it left out, and of which engines and dtypes."""

    text: str
    count: int
    engines: list[str]


@dataclass(frozen=True)
class NotRun:
    """The functions that some engine lacks, the engines, and the other reasons; the most frequent first."""

    functions: list[MissingFunction]
    engines: list[str]
    reasons: list[Reason]


def not_run(items: Sequence[Item]) -> NotRun | None:
    """What kept cells and training runs from running; None where everything was run."""
    idle = [item for item in items if item.stands == Verdict.NOT_RUN]
    if not idle:
        return None
    lacks: dict[str, list[Lack]] = {}
    others = []
    for item in idle:
        if lack := missing(item):
            lacks.setdefault(lack.function, []).append(lack)
        else:
            others.append(item)
    engines = list(dict.fromkeys(item.column[0] for item in items))
    functions = [missing_function(name, lacks[name], items, engines) for name in lacks]
    return NotRun(sorted(functions, key=lambda f: -f.count), engines, reasons(others))


def missing(item: Item) -> Lack | None:
    """The function of a cell that its reason says is missing; None for any other reason."""
    match = MISSING.fullmatch(reason(item)) or MISSING_WITH.fullmatch(reason(item))
    if not match or match["function"] not in functions_of(item).values():
        return None
    found = match.groupdict()
    return Lack(item, found["function"], found.get("role"), found.get("parameter"))


def functions_of(item: Item) -> dict[str, str]:
    """The functions of a cell by their roles."""
    return {role: str(item.record[key]) for role, key in ROLES.items()}


def missing_function(
    name: str, lacks: Sequence[Lack], items: Iterable[Item], engines: Iterable[str]
) -> MissingFunction:
    """The row of one function."""
    ran = [item for item in items if item.stands != Verdict.NOT_RUN and name in functions_of(item).values()]
    entries = {
        engine: entry(
            [lack for lack in lacks if lack.item.column[0] == engine],
            [item for item in ran if item.column[0] == engine],
        )
        for engine in engines
    }
    return MissingFunction(name, len(lacks), entries)


def entry(lacks: Sequence[Lack], ran: Sequence[Item]) -> str:
    """What the table says of one engine, from the cells that it lacks the function for and those that it ran with it.

    missing; missing with another beta than 1; missing as output activation; missing in float16.
    """
    if not lacks:
        return "there" if ran else ""
    name = lacks[0].function
    where = [f"with {parameter}" for parameter in dict.fromkeys(lack.parameter for lack in lacks) if parameter]
    roles = list(dict.fromkeys(lack.role for lack in lacks if lack.role))
    if any(name == function for item in ran for role, function in functions_of(item).items() if role not in roles):
        where += [f"as {listing(roles)}"] if roles else []
    dtypes = list(dict.fromkeys(lack.item.column[1] for lack in lacks))
    if any(item.column[1] not in dtypes for item in ran):
        where.append(f"in {listing(dtypes)}")
    return " ".join(("missing", *where))


def reasons(idle: Iterable[Item]) -> list[Reason]:
    """Each reason, how many cells and training runs it left out, and the engines; the most frequent first."""
    dtypes: dict[str, dict[str, list[str]]] = {}
    counts: Counter[str] = Counter()
    for item in idle:
        (engine, dtype), text = item.column, reason(item)
        counts[text] += 1
        own = dtypes.setdefault(text, {}).setdefault(engine, [])
        if dtype not in own:
            own.append(dtype)
    return [
        Reason(text, count, [f"{engine} {', '.join(own)}" for engine, own in dtypes[text].items()])
        for text, count in counts.most_common()
    ]


def reason(item: Item) -> str:
    """Why a cell was not run."""
    return str(item.record["reason"] or "no reason was given")
