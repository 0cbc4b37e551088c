"""The arithmetic that each engine declares, by the engine's name."""

from functools import cache

from adapters.contract import ENGINES, arithmetic_of, load
from reference.accuracy import ANY_ON_GPU, ON_GPU
from reference.arithmetic import UNDECLARED, Arithmetic


@cache
def arithmetic(engine: str | None) -> Arithmetic:
    """What an engine of the suite declares, on a GPU where its name says so; of any other, what is undeclared."""
    name = (engine or "").removesuffix(ON_GPU)
    if name != (engine or ""):
        return (
            getattr(load(name), "on_gpu", Arithmetic(accuracy=ANY_ON_GPU))
            if name in ENGINES
            else Arithmetic(accuracy=ANY_ON_GPU)
        )
    return arithmetic_of(load(name)) if name in ENGINES else UNDECLARED
