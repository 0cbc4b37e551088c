"""The records of cells, and where their time goes."""

import pytest

from adapters.numpy.engine import NumpyEngine
from reference.cases import Combination
from reports.running import records
from reports.running.records import Clock, cell_id

COMBINATION = Combination("tanh", "sigmoid", "binary_cross_entropy")


def test_cell_id():
    assert cell_id("numpy", "cpu", "float32", *COMBINATION) == ("numpy/cpu/float32/tanh/sigmoid/binary_cross_entropy")


# --- times


def test_compilation_is_no_part_of_what_it_interrupts():
    """An engine that says it compiled for the time of a part leaves next to nothing of it."""

    class Compiling:
        name, spent = "compiling", 0.0

        def compilation(self):
            return self.spent, 4 if self.spent else 1

    adapter = Compiling()
    clock = Clock(adapter)
    with clock("engine"):
        started = records.seconds()
        sum(range(20_000))
        adapter.spent = records.seconds() - started
    found = clock.record()
    assert found["compile"] == adapter.spent > 0
    assert found["programs"] == 3
    assert 0 <= found["engine"] < adapter.spent


def test_a_part_that_raises_is_timed():
    clock = Clock(NumpyEngine())
    with pytest.raises(KeyError), clock("audit"):
        raise KeyError
    assert clock.record()["audit"] > 0
