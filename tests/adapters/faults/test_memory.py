"""What a fault remembers: the batch before, as the reference computes it in the engine's format, and b^{l-1}."""

import numpy as np
import pytest

from adapters.faults.memory import batch_before, remembered
from adapters.faults.networks import NETWORKS, initial
from reference.network import trace
from reference.rounding import rounded
from tests.adapters.faults.samples import planted_at
from tests.tables import over

CASE = initial("tanh", "float64", 0)


def test_the_batch_before_is_other_samples_of_the_same_network():
    before = batch_before(CASE)
    assert all((before.x != CASE.x).any(axis=1)), "a sample is the same as it was"
    assert all((before.y != CASE.y).any(axis=1)), "a label is the same as it was"
    assert before.W is CASE.W
    assert before.b is CASE.b
    assert np.sort(before.x, axis=1).tolist() == np.sort(CASE.x, axis=1).tolist()
    assert np.sort(before.y, axis=0).tolist() == np.sort(CASE.y, axis=0).tolist()


@over("name", NETWORKS)
def test_the_batch_before_is_one_that_the_loss_takes(name):
    batch_before(initial(name, "float32", 0))  # a Case checks its labels


def test_the_batch_before_has_another_gradient():
    now, before = trace(CASE), trace(batch_before(CASE))
    for l in CASE.layers:
        assert np.abs(before.dW[l] - now.dW[l]).max() > 0.1 * np.abs(now.dW[l]).max()
        assert np.abs(before.db[l] - now.db[l]).max() > 0.01 * np.abs(now.db[l]).max()


def test_nothing_is_handed_to_a_fault_that_does_not_remember():
    def place(array):
        raise AssertionError("something is placed")

    assert remembered(planted_at("dW"), CASE, place) == (None, None)


@pytest.mark.parametrize("layer", [2, 3])
def test_what_is_remembered_is_of_the_batch_before_and_of_the_layer(layer):
    past, b_below = remembered(planted_at("dW", layer=layer, remembers=True), CASE, lambda x: x)
    before = trace(batch_before(CASE))
    assert (past.a == before.a[layer - 1]).all()
    assert (past.z == before.z[layer]).all()
    assert (past.dW == before.dW[layer]).all()
    assert (past.db == before.db[layer]).all()
    assert (b_below == CASE.b[layer - 1]).all()


def test_what_is_remembered_is_of_the_engines_format(dtype):
    case = initial("tanh", dtype, 0)
    past, b_below = remembered(planted_at("dW", remembers=True), case, lambda x: x)
    for array in (past.a, past.z, past.dW, past.db, b_below):
        assert array.tolist() == rounded(array, dtype).tolist()


def test_every_array_is_placed():
    past, b_below = remembered(planted_at("dW", remembers=True), CASE, lambda x: "placed")
    assert {past.a, past.z, past.dW, past.db, b_below} == {"placed"}
