"""Engines in a worker process."""

from functools import cache

from adapters.contract import Adapter, load
from reference.case import Case


def frozen(case: Case) -> Case:
    """The Case, whose arrays nobody writes into from now on: they are what its trace is audited on."""
    for array in (case.x, case.y, *case.W.values(), *case.b.values()):
        array.flags.writeable = False
    return case


@cache
def loaded(spec: str, device: str) -> Adapter:
    """An adapter, made once in a process."""
    return load(spec, device)
