"""Engines for the tests: NumPy that is wrong, that shows little, or that remembers; and their cells."""

from dataclasses import replace

from adapters.numpy.engine import NumpyEngine
from reference.case import to_json
from reference.cases import Combination
from reports.campaign.cells import draw_cases, run_cell

SEED = 2026

COMBINATION = Combination("tanh", "sigmoid", "binary_cross_entropy")


class Recording(NumpyEngine):
    """NumPy that keeps the Cases it is given for a trace of the cell."""

    def __init__(self, name="recording"):
        super().__init__()
        self.name, self.seen = name, []

    def supports(self, case):
        self.seen.append(to_json(case))
        return True


def wrong(change=None, **members):
    """NumPy with another trace, or with other members."""

    class Wrong(NumpyEngine):
        name = "wrong"

    if change is not None:
        members["trace"] = lambda self, case: change(NumpyEngine.trace(self, case))
    for member, value in members.items():
        setattr(Wrong, member, value)
    return Wrong()


def run(adapter, dtype="float32", combination=COMBINATION, cases=2, seed=SEED):
    """One cell's record."""
    return run_cell(adapter, "cpu", dtype, combination, draw_cases(seed, combination, dtype, cases), seed)


def aside_from_time(found):
    """A record without what differs from run to run."""
    return {key: value for key, value in found.items() if key not in ("seconds", "spent")}


def broken(found):
    """The equations that do not hold; every finding that is recorded is one."""
    assert all(not finding["ratio"] <= 1 or finding["elements"] == 0 for finding in found["findings"])
    return {finding["equation"] for finding in found["findings"]}


def box(trace):
    """Loss and gradients alone."""
    return replace(trace, losses=None, z=None, a=None, delta=None)


class BlackBox:
    """An engine that shows its loss and gradients, and can do nothing else."""

    name = "box"

    def __init__(self, change=lambda trace: trace):
        self.change = change

    def supports(self, case):
        return True

    def trace(self, case):
        return self.change(box(NumpyEngine().trace(case)))
