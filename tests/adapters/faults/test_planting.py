"""Planting: every engine by its name, and the honest one left as it is."""

import pytest

from adapters.faults.catalogue import FAULTS
from adapters.faults.networks import initial
from adapters.faults.planting import OF_ONE_PROGRAM, PLANTED, planted

LAYERED = tuple(name for name in PLANTED if name not in OF_ONE_PROGRAM)


@pytest.mark.parametrize("engine", PLANTED)
def test_an_engine_bears_its_own_name_and_has_the_fault(engine):
    fault = FAULTS["frozen-bias"]
    adapter = planted(engine, fault)
    assert adapter.name == engine
    assert adapter.fault is fault


def test_every_engine_of_the_matrix_can_be_planted_in():
    assert set(PLANTED) == {*LAYERED, *OF_ONE_PROGRAM}


def test_the_engine_without_a_fault_stays_as_it_is(engine_named):
    case = initial("tanh", "float32", 0)
    for name in LAYERED:
        before = engine_named(name).trace(case)
        wrong = planted(name, FAULTS["gradient-ascent"]).trace(case)
        after = engine_named(name).trace(case)
        assert (after.dW[3] == before.dW[3]).all()
        assert not (wrong.dW[3] == before.dW[3]).any()
