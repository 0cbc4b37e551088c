"""Engines in a worker process."""

from functools import cache

from adapters.contract import ENGINES, Adapter, load
from reference.accuracy import on
from reference.case import Case


def frozen(case: Case) -> Case:
    """The Case, whose arrays nobody writes into from now on: they are what its trace is audited on."""
    for array in (case.x, case.y, *case.W.values(), *case.b.values()):
        array.flags.writeable = False
    return case


def judged_as(adapter: Adapter, device: str) -> str | None:
    """The name under which the audit knows an engine on its device: those of the suite were measured."""
    if adapter.name in ENGINES:
        return on(adapter.name, device)
    return None if device == "cpu" else on("any", device)


@cache
def loaded(spec: str, device: str) -> Adapter:
    """An adapter, made once in a process."""
    return load(spec, device)
