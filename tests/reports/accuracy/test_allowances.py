"""The accuracy that allowances assume, beside the measurement that it comes from."""

from itertools import product

import pytest

from adapters.contract import ENGINES, arithmetic_of
from reference import accuracy
from reference.activations import ACTIVATIONS
from reference.losses import LOSSES
from reference.rounding import DTYPES
from reports.accuracy import allowances


def test_accuracy_has_every_measurement_once_with_the_k_that_is_assumed():
    found = [row for device in ("cpu", "gpu") for row in allowances.accuracy(device)]
    keys = [(entry["function"], entry["what"], entry["dtype"], entry["engine"]) for entry in found]
    entries = accuracy.recorded()
    assert len(keys) == len(set(keys))
    assert set(keys) == {(e["function"], e["what"], e["dtype"], e["engine"]) for e in entries}
    assert {(function, "value", dtype) for function, dtype in product((*ACTIVATIONS, *LOSSES), DTYPES)} <= {
        key[:3] for key in keys
    }
    for entry, key in zip(found, keys, strict=True):
        assert float(entry["measured"]) == accuracy.measured()[key[:3]][key[3]]
        assert entry["k"] == accuracy.k(*key)
        assert set(entry) == {"function", "what", "dtype", "engine", "k", "measured", "ulp", "at", "inputs"}
        assert entry["inputs"] > 0


@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_is_judged_by_an_accuracy_that_was_measured(name, engine_named):
    measured = {entry["engine"] for entry in accuracy.recorded()}
    assert arithmetic_of(engine_named(name)).accuracy in measured


def test_accuracy_of_several_parameters_is_the_worst(monkeypatch):
    def entry(roundings, **changes):
        about = {"function": "elu", "what": "value", "dtype": "float32", "engine": "numpy", "at": [1.5], "inputs": 8}
        return {**about, "roundings": roundings, "ulp": roundings, **changes}

    entries = [entry(1.0), entry(3.0, at=[2.5]), entry(2.0), entry(9.0, engine="torch-eager")]
    monkeypatch.setattr(allowances, "recorded", lambda: entries)
    monkeypatch.setattr(allowances, "k", lambda *key: 7.0)
    found = {entry["engine"]: entry for entry in allowances.accuracy("cpu")}
    assert {engine: entry["measured"] for engine, entry in found.items()} == {"numpy": 3.0, "torch-eager": 9.0}
    assert (found["numpy"]["at"], found["numpy"]["k"]) == ("2.5", 7.0)
    entries[:] = [entry(0.0, at=None)]
    assert [entry["at"] for entry in allowances.accuracy("cpu")] == [""]
