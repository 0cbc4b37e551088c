"""Engines in a worker process."""

from functools import cache

from adapters.contract import ENGINES, Adapter, load
from reference.case import Case

WITH_FUNCTIONS = tuple(name for name in ENGINES if name != "jax-whole")
"""Engines with functions of their own: jax-whole's are those of jax-jit."""


def frozen(case: Case) -> Case:
    """The Case, its arrays read-only: an engine may not change what its trace is audited on."""
    for array in (case.x, case.y, *case.W.values(), *case.b.values()):
        array.flags.writeable = False
    return case


@cache
def loaded(spec: str, device: str) -> Adapter:
    """An adapter, loaded once in a process."""
    return load(spec, device)
