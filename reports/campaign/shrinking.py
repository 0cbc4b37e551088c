"""Smaller Cases that still fail."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from reference.case import Case


def shrunk(case: Case, fails: Callable[[Case], bool]) -> Case:
    """The Case with fewer samples and fewer units, as few as still make it fail."""
    while (smaller := next((each for each in smaller_cases(case) if fails(each)), None)) is not None:
        case = smaller
    return case


def smaller_cases(case: Case) -> Iterator[Case]:
    """Cases with half the samples, one sample less, and one hidden unit or input less."""
    rows = list(range(case.samples))
    halves = [rows[: len(rows) // 2], rows[len(rows) // 2 :]] if len(rows) > 1 else []
    ones = [rows[:i] + rows[i + 1 :] for i in rows] if 1 < len(rows) <= 8 else []
    for kept in (*halves, *ones):
        yield case.on_batch(case.x[kept], case.y[kept])
    for l in range(case.last):
        width = case.W[l + 1].shape[1]
        for unit in range(width) if width > 1 else ():
            yield without_unit(case, l, unit)


def without_unit(case: Case, l: int, unit: int) -> Case:
    """The Case without a unit of layer l; of layer 0, without an input."""
    kept = [i for i in range(case.W[l + 1].shape[1]) if i != unit]
    W, b, x = {**case.W, l + 1: case.W[l + 1][:, kept]}, dict(case.b), case.x
    if l == 0:
        x = case.x[:, kept]
    else:
        W[l], b[l] = case.W[l][kept], case.b[l][kept]
    return replace(case, W=W, b=b, x=x)
