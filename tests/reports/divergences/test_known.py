"""The known departures: where they occur, what shows them, and where the sweep claims no accuracy for them."""

from itertools import product

import numpy as np
import pytest

from adapters.contract import ENGINES
from reference.accuracy import ON_GPU
from reference.activations import ACTIVATIONS, HIDDEN
from reference.rounding import DTYPES
from reports.divergences import reproducers
from reports.divergences.known import (
    DEVICES,
    KNOWN,
    KNOWN_IN_TRAINING,
    SOFTPLUS_OVERFLOW,
    anywhere,
    defects,
    departing,
    kind_of,
)

NOT_CLAIMED = {
    ("torch-eager", "hardsigmoid", "derivative", "float64"): lambda x: np.abs(x) <= 3,
    ("torch-eager", "celu", "derivative", "float64"): lambda x: x <= 0,
    ("torch-eager on gpu", "hardsigmoid", "value", "float64"): anywhere,
    ("torch-eager on gpu", "hardsigmoid", "derivative", "float64"): lambda x: np.abs(x) <= 3,
    ("torch-eager on gpu", "hardswish", "value", "float64"): anywhere,
    ("torch-eager on gpu", "celu", "derivative", "float64"): lambda x: x <= 0,
    ("jax-jit", "sigmoid", "value", "float16"): lambda x: x < -11,
    ("jax-jit", "sigmoid", "derivative", "float16"): lambda x: x < -11,
    ("jax-jit", "silu", "value", "float16"): lambda x: x < -11,
    ("jax-jit", "silu", "derivative", "float16"): lambda x: x < -11,
    ("jax-jit on gpu", "sigmoid", "value", "float16"): lambda x: x < -11,
    ("jax-jit on gpu", "sigmoid", "derivative", "float16"): lambda x: x < -11,
    ("jax-jit on gpu", "silu", "value", "float16"): lambda x: x < -11,
    ("jax-jit on gpu", "silu", "derivative", "float16"): lambda x: x < -11,
}
"""Where no accuracy is claimed, among the ordinary inputs; `anywhere` has no entry in the record at all."""

ORDINARY = np.concatenate([np.linspace(-20, 20, 4001), [np.nextafter(-11, -20), np.nextafter(3, 20), -0.0, 5e-324]])


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("engine", ["numpy", "torch-eager", "jax-jit"])
def test_no_accuracy_is_claimed_where_a_defect_is_known(engine, device):
    met = 0
    for function, what, dtype in product(HIDDEN, ("value", "derivative"), DTYPES):
        known = defects(engine, function, what, dtype, "cpu" if device == "cpu" else "cuda:0")
        expected = NOT_CLAIMED.get((engine + ON_GPU * (device == "gpu"), function, what, dtype))
        assert (expected is anywhere) == any(departure.where is anywhere for departure in known)
        if expected is not anywhere:
            mask = departing(known, ORDINARY, ACTIVATIONS[function].parameters)
            assert np.array_equal(mask, expected(ORDINARY) if expected else np.zeros(len(ORDINARY), bool))
        met += expected is not None
    assert met == sum(name == engine + ON_GPU * (device == "gpu") for name, *_ in NOT_CLAIMED)


def test_departures_are_of_engines_devices_and_formats_that_there_are():
    for known in KNOWN:
        assert set(known.engines) <= set(ENGINES)
        assert set(known.dtypes) <= set(DTYPES)
        assert set(known.devices) <= set(DEVICES)
        assert known.status in ("approximation", "defect")
    assert (kind_of("cpu"), kind_of("cuda:0"), kind_of("gpu")) == (*DEVICES, "gpu")


def test_a_departure_covers_its_own_engine_function_format_device_and_inputs():
    (known,) = defects("torch-eager", "celu", "derivative", "float64", "cpu")
    (on_gpu,) = defects("torch-eager", "hardswish", "value", "float64", "cuda:0")
    at, y = np.array([-0.5]), np.empty(0)
    about = "torch-eager", "celu", "derivative", "float64"
    assert known.covers(*about, (at, y, {}))
    assert not known.covers(*about, (-at, y, {}))
    for i, other in enumerate(("jax-jit", "elu", "value", "float32")):
        assert not known.covers(*about[:i], other, *about[i + 1 :], (at, y, {}))
    about = "torch-eager", "hardswish", "value", "float64"
    assert on_gpu.covers(*about, (at, y, {}), "gpu")
    assert not on_gpu.covers(*about, (at, y, {}), "cpu")


def test_softplus_overflows_by_its_gradient():
    assert SOFTPLUS_OVERFLOW.concerns("torch-eager", "softplus", "float32")
    assert not SOFTPLUS_OVERFLOW.concerns("torch-eager", "softplus", "float16")
    assert not SOFTPLUS_OVERFLOW.concerns("jax-jit", "softplus", "float32")
    assert SOFTPLUS_OVERFLOW.overflows(15.0, 1e35, {"beta": 1.0}, "float32")
    assert not SOFTPLUS_OVERFLOW.overflows(15.0, 1e25, {"beta": 1.0}, "float32")
    assert SOFTPLUS_OVERFLOW.identity("float32") == "softplus/derivative/float32/overflow"


def test_the_reproducers_show_what_is_known_in_training():
    for known in KNOWN_IN_TRAINING:
        assert len(known.code.splitlines()) <= 10
        kind, difference = reproducers.run(known.code).split()
        assert kind in ("torch.float32", "float32")
        assert 1e-10 < abs(float(difference)) < 1e-7
