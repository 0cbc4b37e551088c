"""k_f: measured for whatever rounding may ask, and not far above what was measured."""

import json

import numpy as np
import pytest

from adapters.contract import ENGINES
from reference import accuracy
from reference import rounding as rd
from reference.activations import ACTIVATIONS
from reference.losses import LOSSES
from reference.rounding import DTYPES
from tests.arithmetics import arithmetic
from tests.tables import over

NAMES = (None, *ENGINES, "mine", *(f"{name} on gpu" for name in ("any", *ENGINES)))
"""No engine, those of the suite, and one that was never measured; the same on a GPU."""


def asked():
    """(function, what, dtype) that the allowances of some Case ask for."""
    functions = [
        *((name, "value") for name in (*ACTIVATIONS, *LOSSES)),
        *((name, "derivative") for name, f in ACTIVATIONS.items() if not f.coupled),
        *((name, "derivative") for name in LOSSES if name not in rd.DERIVATIVE_ROUNDINGS),
    ]
    return [(name, what, dtype) for dtype in DTYPES for name, what in functions]


ASKED = asked()

MOST = 32.0
"""Roundings that some function of some engine errs by, at most: measured, 21 for JAX's cosine distance in float16."""

EXACT = {
    "value": {"identity", "relu", "relu6", "hardtanh", "hardshrink", "negative_log_likelihood"},
    "derivative": {
        *("identity", "relu", "relu6", "hardtanh", "hardshrink", "softshrink"),
        *("absolute_error", "hinge"),
    },
}
"""What rounds nothing: it selects, changes a sign, or multiplies by 0 or 1."""


def missing():
    """What the allowances ask for and the table lacks."""
    return [key for key in ASKED if key not in accuracy.measured()]


@pytest.fixture
def recorded_as(monkeypatch, tmp_path):
    """The function that puts other entries in the place of those recorded, until the test ends."""

    def forget():
        for cached in (accuracy.recorded, accuracy.measured, accuracy.k):
            cached.cache_clear()

    def record(entries):
        tables = {"cpu": [], "gpu": []}
        for entry in entries:
            name = entry["engine"].removesuffix(accuracy.ON_GPU)
            tables["cpu" if name == entry["engine"] else "gpu"].append({**entry, "engine": name})
        for device, table in tables.items():
            (tmp_path / device).write_text(json.dumps({"entries": table}), encoding="utf-8")
        monkeypatch.setattr(accuracy, "RECORDED", {device: tmp_path / device for device in tables})
        forget()

    yield record
    monkeypatch.undo()
    forget()


def entry(function="tanh", what="value", dtype="float32", engine="numpy", roundings=1.0, **parameters):
    return {
        "function": function,
        "what": what,
        "dtype": dtype,
        "engine": engine,
        "roundings": roundings,
        "parameters": parameters,
    }


# --- the table as recorded


def test_whatever_is_asked_for_was_measured():
    assert missing() == []


@pytest.mark.parametrize("engine", NAMES)
def test_k_is_between_once_and_twice_what_was_measured(engine):
    for function, what, dtype in ASKED:
        engines = accuracy.measured()[function, what, dtype]
        measured = engines.get(arithmetic(engine).accuracy, worst_for(engine, engines))
        k = rd.rounding(dtype, arithmetic(engine)).k(function, what)
        assert measured <= k <= 2 * measured, f"k of {function}, {what}, in {dtype} is {k}, but measured was {measured}"
        assert k == accuracy.MARGIN * measured


def worst_for(engine, engines):
    """The largest measurement of any engine on the CPU; on a GPU, of any at all."""
    on_gpu = engine is not None and engine.endswith(accuracy.ON_GPU)
    return max(k for name, k in engines.items() if on_gpu or not name.endswith(accuracy.ON_GPU))


def test_an_engine_without_a_name_is_allowed_what_any_engine_on_its_device_is():
    for key in ASKED:
        engines = accuracy.measured()[key]
        for any_engine in (None, "mine", "any on gpu"):
            assert accuracy.k(*key, any_engine) == accuracy.MARGIN * worst_for(any_engine, engines)


def test_a_gpu_does_not_widen_what_is_allowed_on_a_cpu(recorded_as):
    recorded_as([entry(engine=name, roundings=k) for name, k in (("numpy", 1.0), ("jax-jit on gpu", 3.0))])
    names = ("numpy", "mine", None, "jax-jit on gpu", "any on gpu")
    found = [accuracy.k("tanh", "value", "float32", name) for name in names]
    assert found == [accuracy.MARGIN * k for k in (1.0, 1.0, 1.0, 3.0, 3.0)]
    assert rd.rounding("float32", arithmetic("jax-whole on gpu")).k("tanh", "value") == accuracy.MARGIN * 3


def test_of_a_gpu_that_was_measured_in_part_the_rest_is_allowed_what_any_engine_is(recorded_as):
    recorded_as([entry(engine=name, roundings=k) for name, k in (("numpy", 4.0), ("jax-jit on gpu", 3.0))])
    assert accuracy.k("tanh", "value", "float32", "torch-eager on gpu") == accuracy.MARGIN * 4


@pytest.mark.parametrize(
    ("device", "name"), [("cpu", "x"), ("cpu:0", "x"), ("cuda:0", "x on gpu"), ("gpu", "x on gpu")]
)
def test_an_engine_has_a_name_on_its_device(device, name):
    assert accuracy.on("x", device) == name


def test_no_engine_is_so_wrong_that_others_could_hide_behind_it():
    """An engine without a name is allowed the worst of all: thousands of roundings are a departure, not an accuracy."""
    wrong = {key: engines for key, engines in accuracy.measured().items() if max(engines.values()) > MOST}
    assert wrong == {}


def test_an_engine_that_shares_the_functions_of_another_has_its_k():
    for engine, other in (("jax-whole", "jax-jit"), ("jax-whole on gpu", "jax-jit on gpu")):
        assert arithmetic(engine).accuracy == other
        for function, what, dtype in ASKED:
            assert rd.rounding(dtype, arithmetic(engine)).k(function, what) == accuracy.k(function, what, dtype, other)


def test_an_engine_is_held_to_the_roundings_that_it_declares():
    own = (("tanh", "value", 0.25), ("tanh", "derivative", 3.0))
    assert accuracy.k("tanh", "value", "float16", own) == accuracy.MARGIN * 0.25
    assert accuracy.k("tanh", "derivative", "float64", own) == accuracy.MARGIN * 3
    for what in ("value", "derivative"):
        assert accuracy.k("gelu", what, "float32", own) == accuracy.k("gelu", what, "float32", None)


@over("function", [*ACTIVATIONS, *LOSSES])
def test_what_rounds_has_an_error_and_what_does_not_has_none(function):
    """A measurement of 0 for a function that rounds is one that looked at nothing."""
    for name, what, dtype in ASKED:
        if name != function:
            continue
        worst = max(accuracy.measured()[name, what, dtype].values())
        if (name, what, dtype) == ("leaky_relu", "derivative", "float64"):  # the slope itself, where an engine keeps it
            assert worst < 1
        elif name in EXACT[what]:
            assert worst == 0, f"{what} in {dtype} errs by {worst} roundings, but should by none"
        else:
            assert 0 < worst < np.inf, f"{what} in {dtype} errs by {worst} roundings, but should by some"


@over("dtype", DTYPES)
@over("engine", NAMES)
def test_every_allowance_of_a_function_can_be_had(engine, dtype):
    """None raises, for any function in any role."""
    r, z = rd.rounding(dtype, arithmetic(engine)), np.array([[-1.5, 0.25, 1.0]])
    for f in ACTIVATIONS.values():
        assert np.isfinite(rd.value_error(f, z, r)).all(), f.name
        assert np.isfinite(rd.derivative_error(f, z, r)).all(), f.name
    for loss in LOSSES.values():
        p = -np.abs(z) if loss.domain[1] == 0 else np.abs(z) / 2 if loss.domain[1] == 1 else z
        y = np.array([[0.0, 1.0, 0.0]]) if loss.labels == "class" else np.ones_like(z)
        f = ACTIVATIONS[loss.outputs[0] if loss.outputs else "identity"]
        assert np.isfinite(rd.contribution_error(loss, p, y, r)).all(), loss.name
        assert np.isfinite(rd.loss_derivative_error(loss, p, y, r)).all(), loss.name
        assert np.isfinite(rd.eq_9_error(loss, f, z, p, y, r)).all(), loss.name


# --- the checks themselves, on other tables


@pytest.mark.parametrize("key", [("tanh", "value", "float32"), ("huber", "derivative", "bfloat16")])
def test_an_entry_that_is_removed_is_missed(key, recorded_as):
    entries = accuracy.recorded()
    recorded_as(entries)
    assert missing() == []
    recorded_as([e for e in entries if (e["function"], e["what"], e["dtype"]) != key])
    assert missing() == [key]
    for engine in NAMES:
        with pytest.raises(KeyError, match=key[0]):
            rd.rounding(key[2], arithmetic(engine)).k(*key[:2])


def test_k_is_the_engines_own_or_the_worst_of_all(recorded_as):
    recorded_as([entry(engine="numpy", roundings=1.0), entry(engine="jax-jit", roundings=3.0)])
    found = [accuracy.k("tanh", "value", "float32", engine) for engine in ("numpy", "jax-jit", "torch-eager", None)]
    assert found == [accuracy.MARGIN * k for k in (1.0, 3.0, 3.0, 3.0)]


def test_of_several_parameters_the_worst_counts(recorded_as):
    recorded_as([entry("elu", roundings=k, alpha=alpha) for k, alpha in ((1.0, 1.0), (4.0, 0.3), (2.0, 3.0))])
    assert accuracy.k("elu", "value", "float32", "numpy") == accuracy.MARGIN * 4


def test_value_and_derivative_and_formats_are_kept_apart(recorded_as):
    recorded_as(
        [entry(), entry(what="derivative", roundings=2.0), entry(dtype="float64", roundings=4.0)],
    )
    found = [accuracy.k("tanh", *key, None) for key in (("value", "float32"), ("derivative", "float32"))]
    assert found == [accuracy.MARGIN, 2 * accuracy.MARGIN]
    assert accuracy.k("tanh", "value", "float64", None) == 4 * accuracy.MARGIN
    with pytest.raises(KeyError):
        accuracy.k("tanh", "value", "float16", None)
