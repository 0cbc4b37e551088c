"""The training run: every step is held to the equations, and the run to its own start and thread."""

from dataclasses import replace

import numpy as np
import pytest

from adapters.numpy.engine import NumpyEngine
from reference.rounding import UNIT_ROUNDOFF, rounded
from reports.running.workers import Failure
from reports.trajectories import digits
from reports.trajectories.setups import TASKS, draw_run

SEED = 2026
STEPS = 40


@pytest.fixture(autouse=True)
def one_epoch(monkeypatch):
    monkeypatch.setattr(digits, "EPOCHS", 1)


def run(adapter, dtype="float64", seed=SEED):
    """The record of a run, whose curves have a point a step."""
    record = digits.train_on_digits(adapter, "cpu", dtype, seed)
    assert [len(record["curves"][name]) for name in ("loss", "ratio", "drift")] == [record["steps"]] * 3
    return record


def start(seed, dtype):
    """The data, the network and the plan of a run."""
    return draw_run(digits.setup(), dtype, seed)


class Changed(NumpyEngine):
    """NumPy with something done to one step."""

    name = "changed"

    def __init__(self, number, change):
        super().__init__()
        self.number, self.change = number, change

    def train(self, case, plan):
        for number, step in enumerate(super().train(case, plan)):
            yield self.change(step) if number == self.number else step


def broken(record):
    """Equation, layer and step of every finding that does not hold."""
    assert not any(f["ratio"] <= 1 for f in record["findings"])
    return [(f["equation"], f["layer"], f["worst"]["case"]) for f in record["findings"]]


# --- honest


def test_numpy_holds(dtype):
    record = run(NumpyEngine(), dtype)
    assert record["verdict"] == "holds", f"{record['verdict']}: {record['reason'] or broken(record)}"
    assert record["reason"] is None
    assert record["steps"] == STEPS
    assert set(record["checked"]) == {"z", "a", "8", "1", "9", "14", "7a", "7b", "2a", "2b"}
    assert all(0 <= ratio <= 1 for ratio, _, _ in record["checked"].values())
    assert record["elements"] == sum(elements for _, _, elements in record["checked"].values()) > 0
    assert (record["findings"], record["explained"]) == ([], None)
    assert record["id"] == f"numpy/cpu/{dtype}/digits"
    assert (record["epochs"], record["widths"]) == (1, [64, 32, 10])
    for curve in ("loss", "ratio", "drift"):
        assert len(record["curves"][curve]) == STEPS
    assert len(record["curves"]["validation"]) == 1


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_holds_and_learns_over_several_epochs(dtype, monkeypatch):
    monkeypatch.setattr(digits, "EPOCHS", 3)
    record = run(NumpyEngine(), dtype)
    assert record["verdict"] == "holds", f"{record['verdict']}: {record['reason'] or broken(record)}"
    assert (record["steps"], len(record["curves"]["validation"])) == (3 * STEPS, 3)
    u = UNIT_ROUNDOFF[dtype]
    assert 0 < record["curves"]["drift"][0] < 4 * u
    assert record["curves"]["drift"][-1] < 64 * u, "the weights are far from those of the reference"
    assert record["curves"]["loss"][-1] < record["curves"]["loss"][0] / 2
    assert min(record["accuracy"].values()) > 0.8


@pytest.mark.parametrize("engine", ["torch-eager", "jax-jit"], indirect=True)
def test_frameworks_hold(engine):
    record = run(engine, "float32")
    assert record["verdict"] == "holds", f"{record['verdict']}: {record['reason'] or broken(record)}"


def test_drift_of_numpy_is_zero_in_float64_and_of_rounding_in_float32():
    assert set(run(NumpyEngine(), "float64")["curves"]["drift"]) == {0.0}
    drift = run(NumpyEngine(), "float32")["curves"]["drift"]
    assert 0 < drift[0] < 4 * UNIT_ROUNDOFF["float32"], f"the drift starts at {drift[0]}, but should be a rounding"
    assert drift[-1] < 1e-5


def test_it_learns():
    record = run(NumpyEngine())
    assert record["curves"]["loss"][-1] < record["curves"]["loss"][0] / 2
    assert set(record["accuracy"]) == {"train", "validation", "test"}
    assert min(record["accuracy"].values()) > 0.7
    assert record["accuracy"]["validation"] == record["curves"]["validation"][-1]


def test_a_worker_process_makes_the_same_record(dtype):
    def aside_from_time(record):
        return {key: value for key, value in record.items() if key not in ("seconds", "spent")}

    (made,) = digits.run(digits.Run("numpy", "numpy", "cpu", dtype, SEED))
    assert aside_from_time(made) == aside_from_time(run(NumpyEngine(), dtype))


def test_a_run_without_a_record_has_the_fields_of_one():
    lost = digits.without_record(digits.Run("numpy", "numpy", "cpu", "float32", SEED), 0, Failure("crashed", "gone"))
    assert (lost["verdict"], lost["reason"], lost["checked"]) == ("crashed", "gone", {})
    assert lost.keys() == run(NumpyEngine(), "float32").keys()


def test_all_dtypes_start_alike():
    """From the same float32 numbers, as nearly as the format holds them."""
    _, single, _ = start(SEED, "float32")
    _, double, plan = start(SEED, "float64")
    for l in double.layers:
        assert np.array_equal(single.W[l], double.W[l])
        for dtype in ("float16", "bfloat16"):
            half = start(SEED, dtype)[1]
            assert np.array_equal(half.W[l], rounded(double.W[l], dtype))
            assert np.array_equal(half.y, double.y)
    assert len(plan.batches) == STEPS
    assert sorted(np.concatenate(plan.batches)) == list(range(double.samples))


def test_a_seed_decides_everything():
    def same(one, other):
        return np.array_equal(one.W[1], other.W[1]) and np.array_equal(one.x, other.x)

    cases = [start(seed, "float64")[1] for seed in (SEED, SEED, SEED + 1)]
    assert same(cases[0], cases[1])
    assert not same(cases[0], cases[2])


# --- planted


def off(layers, layer, factor):
    return {**layers, layer: layers[layer] * factor}


@pytest.mark.parametrize("number", [0, 7, STEPS - 1])
def test_a_wrong_update_is_found_at_its_step(number, dtype):
    factor = 1 + 16 * UNIT_ROUNDOFF[dtype]
    record = run(Changed(number, lambda step: replace(step, new_W=off(step.new_W, 2, factor))), dtype)
    assert record["verdict"] == "breaks"
    assert ("2a", 2, number) in broken(record)
    curve = record["curves"]["ratio"]
    assert curve[number] > 1
    assert number == 0 or max(curve[:number]) <= 1


def test_a_wrong_gradient_is_found_at_its_step():
    def change(step):
        return replace(step, trace=replace(step.trace, dW=off(step.trace.dW, 1, 1.001)))

    record = run(Changed(11, change))
    assert record["verdict"] == "breaks"
    assert ("7a", 1, 11) in broken(record)


@pytest.mark.parametrize(
    ("change", "diagnosis"),
    [
        (
            lambda step: replace(step, new_W={**step.new_W, 1: step.W[1] + digits.LEARNING_RATE * step.trace.dW[1]}),
            "the new W^1 is what (2a) gives with −1 times η: a step up the gradient",
        ),
        (
            lambda step: replace(step, trace=replace(step.trace, dW=off(step.trace.dW, 1, TASKS["digits"].size))),
            "∂L/∂W^1 is 32 times what (7a) gives: N = 32, a sum where the mean belongs",
        ),
    ],
    ids=["update", "gradient"],
)
def test_a_break_has_its_diagnosis(change, diagnosis):
    record = run(Changed(7, change))
    assert diagnosis in [finding["diagnosis"] for finding in record["findings"]]


@pytest.mark.parametrize("what", ["new_W", "W", "trace"])
def test_a_nan_is_found_at_its_step(what):
    def change(step):
        if what == "trace":
            return replace(step, trace=replace(step.trace, loss=np.nan))
        return replace(step, **{what: off(getattr(step, what), 1, np.nan)})

    record = run(Changed(5, change))
    assert record["verdict"] == ("malformed" if what == "W" else "breaks")
    assert "step 5" in str(record["reason"]) or {step for *_, step in broken(record)} == {5}


class Stuck(NumpyEngine):
    """Every step starts from the initial weights: each is right by itself, and nothing is learned."""

    name = "stuck"

    def train(self, case, plan):
        for batch in plan.batches:
            yield from super().train(case, replace(plan, batches=(batch,)))


class Elsewhere(NumpyEngine):
    """A run that is right in every step, from weights of its own."""

    name = "elsewhere"

    def train(self, case, plan):
        return super().train(case.with_parameters({l: W / 2 for l, W in case.W.items()}, case.b), plan)


@pytest.mark.parametrize("adapter", [Stuck(), Elsewhere()], ids=["stuck", "elsewhere"])
def test_a_step_that_does_not_start_where_the_last_ended_is_found(adapter):
    record = run(adapter)
    assert record["verdict"] == "malformed", (
        f"{adapter.name} holds, but its weights are not those that its run leads to"
    )


class Shortened(NumpyEngine):
    """Some steps left out at the end, or one too many."""

    name = "shortened"

    def __init__(self, steps):
        super().__init__()
        self.steps = steps

    def train(self, case, plan):
        batches = (*plan.batches, plan.batches[0])[: self.steps]
        return super().train(case, replace(plan, batches=batches))


@pytest.mark.parametrize("steps", [0, 3, STEPS + 1])
def test_another_number_of_steps_breaks(steps):
    record = run(Shortened(steps))
    assert record["verdict"] == "malformed"
    assert f"{STEPS} steps" in record["reason"]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError("lost the\ndevice"), "step 2: RuntimeError: lost the device"),
        (SystemExit(0), "step 2: SystemExit"),
    ],
    ids=["raises", "exits"],
)
def test_an_adapter_that_fails_breaks_with_the_step(error, reason):
    def change(step):
        raise error

    record = run(Changed(2, change))
    assert record["verdict"] == "crashed"
    assert record["reason"].startswith(reason)
    assert record["steps"] == 2


def test_an_adapter_that_cannot_say_what_it_supports_breaks():
    class Unsure(NumpyEngine):
        name = "unsure"

        def supports(self, case):
            raise ValueError("no\nidea")

    record = run(Unsure())
    assert (record["verdict"], record["reason"], record["steps"]) == ("crashed", "step 0: ValueError: no idea", 0)


def test_a_malformed_step_breaks_with_the_step():
    def change(step):
        return replace(step, trace=replace(step.trace, dW={1: step.trace.dW[1]}))

    record = run(Changed(4, change))
    assert (record["verdict"], record["reason"]) == ("malformed", "step 4: dW of layer 2 is missing")


# --- not run


def test_without_train_it_is_not_run():
    class Untrained:
        name = "untrained"
        supports, trace = NumpyEngine().supports, NumpyEngine().trace

    record = run(Untrained())
    assert (record["verdict"], record["reason"], record["steps"]) == ("not-run", "untrained has no train", 0)


def test_what_is_not_supported_is_not_run():
    record = run(NumpyEngine("gpu"))
    assert record["verdict"] == "not-run"
    assert "'gpu'" in record["reason"]
