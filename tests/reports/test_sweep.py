"""The measured accuracy of scalar functions: the truths, the measuring, and the table that rests on them."""

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from flint import arb, ctx
from rich.console import Console

from adapters.contract import ENGINES
from adapters.numpy_engine import NumpyEngine
from reference import accuracy
from reference.activations import ACTIVATIONS, HIDDEN
from reference.losses import LOSSES
from reference.rounding import DTYPES, UNIT_ROUNDOFF
from reports import sweep

RECORDED = json.loads(
    (Path(__file__).parents[2] / "reports" / "recorded" / "scalar_accuracy.json").read_text(encoding="utf-8")
)

COUNT = 400


@pytest.fixture(autouse=True)
def precise():
    """The ball arithmetic's precision is global: as the sweep has it, and back."""
    before, ctx.prec = ctx.prec, sweep.BITS
    yield
    ctx.prec = before


def entries_of(adapter, dtype):
    return list(sweep.sweep([adapter], (dtype,), 0, COUNT))


# --- the table


def measured():
    """(what, function, dtype) -> the largest of all engines."""
    largest = {}
    for found in RECORDED["entries"]:
        key = found["what"], found["function"], found["dtype"]
        largest[key] = max(largest.get(key, 0.0), found["roundings"])
    return largest


def tabled():
    """(what, function, dtype) -> k_f."""
    tables = {"value": accuracy.VALUE, "derivative": accuracy.DERIVATIVE}
    return {(w, f, d): k for w, table in tables.items() for d, ks in table.items() for f, k in ks.items()}


def test_table_and_measurement_have_the_same_functions():
    assert set(tabled()) == set(measured())


@pytest.mark.parametrize("key", sorted(tabled()), ids="-".join)
def test_k_is_what_was_measured_and_at_most_twice_that(key):
    k, worst = tabled()[key], measured()[key]
    assert worst <= k <= 2 * worst, f"k of {key} is {k}, but should be between {worst:.3g} and {2 * worst:.3g}"


def test_every_function_that_rounds_is_in_the_table():
    exact = {"identity", "relu"}
    assert set(ACTIVATIONS) - exact | set(LOSSES) == {f for w, f, _ in tabled() if w == "value"}
    assert set(HIDDEN) - exact == {f for w, f, _ in tabled() if w == "derivative"}, "softmax has no entry of its own"


def test_every_engine_was_measured_in_every_function_and_dtype():
    found = [(e["what"], e["function"], e["dtype"], e["engine"]) for e in RECORDED["entries"]]
    assert len(found) == len(set(found)), "something was measured twice"
    assert set(found) == {(*key, engine) for key in tabled() for engine in ENGINES}
    assert {dtype for _, _, dtype in tabled()} == set(DTYPES)


def test_the_measurement_says_what_it_is_of():
    assert RECORDED["schema"] == "backprop-parity/scalar-accuracy/1"
    assert set(RECORDED["environment"]["devices"]) == set(ENGINES)
    for found in RECORDED["entries"]:
        assert found["inputs"] >= 2**12, f"{found['function']} was measured at {found['inputs']} inputs: too few"
        assert np.max(np.abs(found["at"])) <= sweep.ORDINARY
        assert found["beyond"]["roundings"] >= found["roundings"]


# --- the truths


POINTS = np.concatenate([np.linspace(-20, 20, 201), [1e-12, -1e-12, 1e-300, -60.0, 60.0]])


@pytest.mark.parametrize("name", sweep.VALUE)
@pytest.mark.parametrize("what", ["value", "derivative"])
def test_the_truth_is_the_references_function(name, what):
    """Within 32 roundings of the scale: the reference's own accuracy, far below any mistake in a formula."""
    truth = {"value": sweep.VALUE, "derivative": sweep.DERIVATIVE}[what][name]
    exact = np.array([float(truth(arb(float(x))).mid()) for x in POINTS])
    f = ACTIVATIONS[name]
    observed = getattr(f, what)(POINTS)
    scale = getattr(f, f"{what}_scale")(POINTS)
    allowed = 32 * UNIT_ROUNDOFF["float64"] * (scale + np.abs(exact))
    off = np.abs(observed - exact) - allowed
    assert off.max() <= 0, f"{name} at {POINTS[off.argmax()]} is {observed[off.argmax()]}, but should be the truth"


@pytest.mark.parametrize("name", sweep.VALUE)
def test_the_truth_of_a_derivative_is_the_slope_of_the_truth_of_its_value(name):
    """By a difference quotient in 200 bits."""
    step = arb(2) ** -60
    for x in (-7.5, -1.0, -1e-3, 0.25, 3.0):
        slope = (sweep.VALUE[name](arb(x) + step) - sweep.VALUE[name](arb(x) - step)) / (2 * step)
        exact = sweep.DERIVATIVE[name](arb(x))
        assert float(abs(slope - exact).mid()) < 1e-25, f"{name}' at {x} is {exact}, but should be {slope}"


def test_the_truths_cover_the_activations_that_round():
    assert set(sweep.VALUE) == set(sweep.DERIVATIVE) == set(HIDDEN) - {"identity", "relu"}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("hard", [False, True], ids=["soft", "hard"])
def test_the_truth_of_a_loss_is_the_references(name, hard):
    rng = np.random.default_rng(1)
    loss, width = LOSSES[name], 2 if "categorical" in name else 1
    p = rng.normal(size=(50, width)) * 4 if loss.on_logits or not loss.outputs else rng.uniform(0.01, 0.99, (50, width))
    y = np.eye(2)[rng.integers(2, size=50)][:, :width] if hard else rng.dirichlet(np.ones(2), 50)[:, :width]
    observed = loss.value(p, y).sum(axis=1)
    rows = zip(p, y, strict=True)
    exact = np.array([float(sweep.contribution(name, sweep.balls(a), sweep.balls(t)).mid()) for a, t in rows])
    allowed = 32 * UNIT_ROUNDOFF["float64"] * loss.value_scale(p, y).sum(axis=1)
    assert np.all(np.abs(observed - exact) <= allowed)


def test_balls_hold_the_numbers_exactly():
    assert [float(ball.mid()) for ball in sweep.balls(np.array([0.1, 5e-324, -3.0]))] == [0.1, 5e-324, -3.0]


# --- the measuring


def test_inputs_cover_what_they_claim(dtype):
    x = sweep.inputs(np.random.default_rng(0), 4000, dtype)
    assert len(x) == 4000
    assert np.array_equal(x, x.astype(dtype).astype(np.float64))
    assert np.abs(x).max() <= sweep.EXTREME
    assert np.mean(np.abs(x) <= sweep.ORDINARY) > 0.7
    assert np.abs(x).min() < 2.0**-50
    assert min(np.mean(x > 0), np.mean(x < 0)) > 0.4


def test_roundings_counts_roundings(dtype):
    u = UNIT_ROUNDOFF[dtype]
    exact = sweep.balls(np.array([1.0, 1.0, 4.0, 0.0, 1.0]))
    scale = np.array([1.0, 1.0, 8.0, 0.0, 1.0])
    observed = np.array([1.0, 1 + 6 * u, 4 + 16 * u, 0.0, np.nextafter(1.0, 2)])
    expected = [0.0, 6.0, 2.0, 0.0, (np.nextafter(1.0, 2) - 1) / u]
    assert np.allclose(sweep.roundings(observed, exact, scale, dtype), expected, rtol=1e-9)


def test_roundings_of_what_is_no_number(dtype):
    found = sweep.roundings(np.array([np.nan, np.inf]), sweep.balls(np.ones(2)), np.ones(2), dtype)
    assert not (found <= 1e6).any(), f"NaN and inf are measured as {found} roundings, but should be no small number"


def test_an_underflow_is_no_rounding():
    tiny = 2.0**-130
    assert sweep.roundings(np.array([0.0]), sweep.balls(np.array([tiny])), np.array([tiny]), "float32") == 0


def test_an_error_where_nothing_may_err_is_infinite():
    assert sweep.roundings(np.array([1.0]), [arb(0)], np.zeros(1), "float64") == np.inf


def test_entry_keeps_ordinary_and_extreme_inputs_apart():
    x = np.array([1.0, 50.0, -20.0, 3.0])
    found = sweep.entry("value", "tanh", "mine", "float32", np.array([1.0, 9.0, 4.0, 2.0]), x)
    assert (found["roundings"], found["at"]) == (4.0, -20.0)
    assert found["beyond"] == {"roundings": 9.0, "at": 50.0}


class OffBy(NumpyEngine):
    """NumPy with one function's values and derivatives off by a number of roundings of their scale."""

    name = "off"

    def __init__(self, function, roundings):
        super().__init__()
        self.function, self.roundings = function, roundings

    def off(self, values, scale, dtype):
        return (values + self.roundings * UNIT_ROUNDOFF[dtype] * scale).astype(dtype).astype(np.float64)

    def trace(self, case):
        trace = super().trace(case)
        if case.hidden == self.function:
            scale = ACTIVATIONS[self.function].value_scale(trace.z[1])
            return replace(trace, a={**trace.a, 1: self.off(trace.a[1], scale, case.dtype)})
        if case.loss == self.function:
            loss = LOSSES[self.function]
            p = trace.z[1] if loss.on_logits else trace.a[1]
            return replace(trace, losses=self.off(trace.losses, loss.value_scale(p, case.y).sum(axis=1), case.dtype))
        return trace

    def layer_vjp(self, case, layer, z_prev, cotangent):
        dW, db, dz = super().layer_vjp(case, layer, z_prev, cotangent)
        if case.hidden == self.function:
            dz = self.off(dz, ACTIVATIONS[self.function].derivative_scale(z_prev), case.dtype)
        return dW, db, dz


@pytest.mark.parametrize(
    "function", [*sweep.VALUE, "half_squared_error", "binary_cross_entropy", "categorical_cross_entropy_on_logits"]
)
def test_20_roundings_are_measured_as_20(function, dtype):
    k = {"value": accuracy.VALUE[dtype].get(function), "derivative": accuracy.DERIVATIVE[dtype].get(function)}
    for found in entries_of(OffBy(function, 20), dtype):
        if found["function"] == function:
            honest = k[found["what"]]
            assert 19 <= found["roundings"] <= 21 + honest, (
                f"{function}'s {found['what']} is measured as {found['roundings']:.3g} roundings, but should be 20"
            )
        else:
            table = {"value": accuracy.VALUE, "derivative": accuracy.DERIVATIVE}[found["what"]]
            assert found["roundings"] <= table[dtype][found["function"]]


def test_engines_are_within_the_table_on_other_inputs(engine, dtype):
    tables = {"value": accuracy.VALUE, "derivative": accuracy.DERIVATIVE}
    found = entries_of(engine, dtype)
    assert {(e["what"], e["function"], e["dtype"]) for e in found} == {key for key in tabled() if key[2] == dtype}
    for e in found:
        k = tables[e["what"]][dtype][e["function"]]
        assert e["roundings"] <= k, f"{engine.name}'s {e['function']} errs by {e['roundings']:.3g}, but k is {k}"


def test_measure_writes_what_it_found():
    console = Console(file=io.StringIO(), width=200)
    found = sweep.measure([NumpyEngine()], ("float32",), 0, 200, console)
    assert found["schema"] == "backprop-parity/scalar-accuracy/1"
    assert found["environment"]["seed"] == 0
    assert len(console.file.getvalue().splitlines()) == len(found["entries"])
    json.dumps(found)
