"""The sweep: its inputs, how it counts an error, that it goes on where it was cut off, and the record it left."""

import json
import tracemalloc
from dataclasses import replace
from itertools import islice, product

import numpy as np
import pytest
from flint import arb

from adapters.numpy.engine import NumpyEngine
from reference import accuracy, activations
from reference.activations import ACTIVATIONS, HIDDEN
from reference.losses import LOSSES
from reference.rounding import DTYPES, FORMATS, HALF, LARGEST, UNDERFLOW, UNIT_ROUNDOFF, rounded
from reports.accuracy import errors, sweep, true_values
from reports.accuracy.errors import WorstErrors, compared, spacing
from reports.accuracy.sweep import SweepPlan, members, resumed
from reports.divergences import known
from reports.divergences.known import Departure, anywhere, below, defects
from reports.results import environment, files
from reports.running.engines import WITH_FUNCTIONS

RECORDED, ON_GPU = (json.loads(accuracy.RECORDED[device].read_text(encoding="utf-8")) for device in ("cpu", "gpu"))


pytestmark = pytest.mark.usefixtures("ball_precision")


@pytest.fixture
def small_chunks(monkeypatch):
    """So that few inputs make several parts."""
    monkeypatch.setattr(errors, "CHUNK", 2**8)


@pytest.fixture
def thinned(monkeypatch):
    """So that of a half format every 16th number is swept."""
    inputs = SweepPlan.inputs

    def some(plan, name, dtype):
        return (x[::16] if dtype in HALF else x for x in inputs(plan, name, dtype))

    monkeypatch.setattr(SweepPlan, "inputs", some)


def quiet(text):
    """What a sweep tells, to nobody."""


def entries_of(adapters, folder, tell=quiet, **plan):
    """The entries of a sweep, of one adapter or several."""
    adapters = adapters if isinstance(adapters, list) else [adapters]
    return sweep.measure(adapters, SweepPlan(**plan), folder, tell)["entries"]


def worst_of(entries, what):
    """The largest number of roundings of the values or derivatives."""
    return max(entry["roundings"] for entry in entries if entry["what"] == what)


# --- the inputs


def bits_of(values, dtype):
    return np.asarray(values).astype(FORMATS[dtype]).view({"float32": np.uint32}.get(dtype, np.uint16))


@pytest.mark.parametrize(("dtype", "count"), [("float16", 63488), ("bfloat16", 65280)])
def test_a_half_format_is_swept_at_each_of_its_finite_values_once(dtype, count):
    x = np.concatenate(list(SweepPlan().inputs("tanh", dtype)))
    assert np.isfinite(x).all()
    bits = bits_of(x, dtype)
    assert len(x) == len(np.unique(bits)) == count
    every = np.arange(2**16, dtype=np.uint16)
    with np.errstate(invalid="ignore"):
        finite = np.isfinite(every.view(FORMATS[dtype]).astype(float))
    assert set(bits) == set(every[finite])


@pytest.mark.parametrize("inputs", [2**12, 2**16])
def test_a_stride_over_float32_reaches_every_exponent_both_signs_subnormals_and_the_neighbours_of_kinks(inputs):
    x = np.concatenate(list(SweepPlan(float32=inputs).inputs("tanh", "float32")))
    assert np.array_equal(x, rounded(x, "float32"))
    assert np.isfinite(x).all()
    bits = bits_of(x, "float32")
    exponents = (bits >> 23) & 0xFF
    for sign in (0, 1):
        of_sign = exponents[bits >> 31 == sign]
        assert set(of_sign) == set(range(255)), f"exponents of sign {sign} are missing"
        assert ((of_sign == 0) & (bits[bits >> 31 == sign] & 0x7FFFFF != 0)).any(), "no subnormal number"
    kinks = {kink.at for f in ACTIVATIONS.values() for kink in f.kinks} - {0.0}
    assert {-3.0, 3.0, 6.0, -0.5, 0.5} <= kinks
    for kink in kinks:
        up, down = (np.nextafter(np.float32(kink), np.float32(to)) for to in (np.inf, -np.inf))
        for beside in (kink, float(up), float(down)):
            assert beside in x, f"{beside!r}, at or beside the kink {kink}, is not swept"
    assert inputs <= len(x) <= 1.5 * inputs
    dense = np.mean(np.abs(x) <= errors.BENDING)
    assert dense > 0.55, f"{dense:.0%} of the inputs are where functions bend, but half of them and a fifth should be"


def test_the_same_seed_gives_the_same_inputs_and_another_others():
    def inputs(seed, dtype):
        return np.concatenate(list(SweepPlan(float32=2**10, drawn=64, seed=seed).inputs("tanh", dtype)))

    for dtype in ("float32", "float64"):
        assert np.array_equal(inputs(1, dtype), inputs(1, dtype))
        assert not np.array_equal(inputs(1, dtype), inputs(2, dtype))


def test_all_float32_numbers_come_in_chunks_of_bounded_memory():
    plan = SweepPlan(float32=2**32)
    stream = plan.inputs("tanh", "float32")
    next(stream)
    tracemalloc.start()
    first = [(len(x), bits_of(x[[0, -1]], "float32").tolist()) for x in islice(stream, 6)]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [length for length, _ in first] == [errors.CHUNK] * 6
    assert [ends for _, ends in first] == [[n * errors.CHUNK, (n + 1) * errors.CHUNK - 1] for n in range(1, 7)]
    assert peak < 32 * 8 * errors.CHUNK, f"{peak} bytes are held, though one chunk has {8 * errors.CHUNK}"


@pytest.mark.parametrize("count", [1, 7, 100])
@pytest.mark.parametrize("functions", [("hinge", "cosine_distance"), ("softmax",), ("relu", "elu")], ids=str)
def test_any_number_of_inputs_can_be_asked_for(functions, count, tmp_path):
    plan = {"functions": functions, "dtypes": ("float32", "float64"), "float32": count, "drawn": count}
    entries = entries_of(NumpyEngine(), tmp_path, **plan)
    assert {(entry["function"], entry["dtype"]) for entry in entries} == set(product(functions, plan["dtypes"]))


def test_members_have_the_usual_parameters_first_and_numbers_of_the_format():
    for name, dtype in product(("elu", "hardshrink", "huber"), DTYPES):
        usual = {**ACTIVATIONS, **LOSSES}[name].parameters
        first, *others = members(usual, dtype)
        assert first == dict(usual)
        assert len(others) == 2
        for given in others:
            assert given.keys() == usual.keys()
            assert all(rounded(np.float64(value), dtype) == value for value in given.values())
    assert members({}, "float32") == [{}]


def test_a_plan_has_every_function_in_every_format():
    jobs = SweepPlan().jobs()
    assert {(name, dtype) for name, dtype, _ in jobs} == set(product((*ACTIVATIONS, *LOSSES), DTYPES))
    assert len({(name, dtype, str(given)) for name, dtype, given in jobs}) == len(jobs)


# --- engines with a known error


class Off(NumpyEngine):
    """NumPy with one function's values and derivatives off by a number of roundings of their scale."""

    name = "off"

    def __init__(self, function, roundings):
        super().__init__()
        self.function, self.roundings = function, roundings

    def off(self, values, scale, dtype):
        return rounded(values + self.roundings * UNIT_ROUNDOFF[dtype] * scale, dtype)

    def trace(self, case):
        trace = super().trace(case)
        if case.hidden == self.function:
            f, a, z = case.f_h, dict(trace.a), trace.z[1]
            a[1] = self.off(a[1], f.value_scale(z), case.dtype)
            return replace(trace, a=a)
        loss, p = case.criterion, case.criterion.argument(trace.z[case.last], trace.a[case.last])
        if loss.name == self.function:
            losses = self.off(trace.losses, loss.value_scale(p, case.y).sum(axis=1), case.dtype)
            delta = self.off(trace.delta[case.last], loss.derivative_scale(p, case.y), case.dtype)
            return replace(trace, losses=losses, delta={**trace.delta, case.last: delta})
        if case.output == self.function:
            return replace(trace, a={**trace.a, 1: self.off(trace.a[1], case.f_o.value_scale(case.x), case.dtype)})
        return trace

    def layer_vjp(self, case, layer, z_prev, cotangent):
        dW, db, dz = super().layer_vjp(case, layer, z_prev, cotangent)
        if case.hidden == self.function:
            dz = self.off(dz, np.abs(cotangent) * case.f_h.derivative_scale(z_prev), case.dtype)
        return dW, db, dz


PLANTED = [
    *product((*ACTIVATIONS, *LOSSES), ("float32", "float64")),
    *product(("tanh", "gelu", "leaky_relu", "hardswish", "softmax", "huber"), HALF),
]


@pytest.mark.usefixtures("thinned")
@pytest.mark.parametrize(("function", "dtype"), PLANTED, ids=lambda name: name)
def test_20_roundings_are_measured_as_20(function, dtype, tmp_path):
    plan = {"functions": (function,), "dtypes": (dtype,), "float32": 2**10, "drawn": 128}
    honest = {(e["what"], str(e["parameters"])): e["roundings"] for e in entries_of(NumpyEngine(), tmp_path, **plan)}
    entries = entries_of(Off(function, 20), tmp_path, **plan)
    assert {(e["what"], str(e["parameters"])) for e in entries} == set(honest)
    for entry in entries:
        k, found = honest[entry["what"], str(entry["parameters"])], entry["roundings"]
        assert entry["engine"] == "off"
        exact = k == 0 and found == 0  # its scale is 0, and so is what was added
        assert exact or 19 <= found <= 21 + k, (
            f"{function}'s {entry['what']} is measured as {found:.3g}, but 20 is right"
        )
        assert np.max(np.abs(entry["at"] or 0)) <= errors.ORDINARY


class Places(NumpyEngine):
    """NumPy with the identity off by three units in the last place."""

    name = "places"

    def trace(self, case):
        trace = super().trace(case)
        up = rounded(trace.a[1] + 3 * spacing(trace.a[1], case.dtype), case.dtype)
        return replace(trace, a={**trace.a, 1: np.where(np.abs(trace.a[1]) <= 80, up, trace.a[1])})


def test_three_units_in_the_last_place_are_measured_as_three(dtype, tmp_path):
    """Where nothing may be rounded they are an infinite number of roundings."""
    found = entries_of(Places(), tmp_path, functions=("identity",), dtypes=(dtype,), float32=2**10, drawn=64)
    (value,) = [entry for entry in found if entry["what"] == "value"]
    assert (value["ulp"], value["roundings"]) == (3.0, np.inf)
    assert worst_of(found, "derivative") == 0.0


class At(NumpyEngine):
    """NumPy with another value of tanh or selu at one input."""

    name = "at"

    def __init__(self, x, value):
        super().__init__()
        self.x, self.value = x, value

    def trace(self, case):
        trace = super().trace(case)
        return replace(trace, a={**trace.a, 1: np.where(trace.z[1] == self.x, self.value, trace.a[1])})


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_value_that_is_no_number_is_written_as_an_infinite_error(bad, tmp_path):
    plan = {"functions": ("tanh",), "dtypes": ("float16",)}
    found = sweep.measure([At(1.0, bad)], SweepPlan(**plan), tmp_path, quiet)
    (value,) = [entry for entry in found["entries"] if entry["what"] == "value"]
    assert (value["roundings"], value["at"], value["ulp"]) == (np.inf, 1.0, np.inf)
    written = json.loads(files.dump(found))
    (value,) = [entry for entry in written["entries"] if entry["what"] == "value"]
    assert value["roundings"] == "Infinity"
    assert float(value["roundings"]) == np.inf
    (honest,) = [e for e in entries_of(NumpyEngine(), tmp_path, **plan) if e["what"] == "value"]
    assert honest["roundings"] < 1


def test_selu_overflows_where_it_should_and_nowhere_else(tmp_path):
    plan = {"functions": ("selu",), "dtypes": ("float16",)}

    def beyond(adapter):
        return max(e["beyond"] for e in entries_of(adapter, tmp_path, **plan) if e["what"] == "value")

    assert ACTIVATIONS["selu"].value(np.array([64000.0])) > LARGEST["float16"]
    assert beyond(NumpyEngine()) < 2
    assert beyond(At(64000.0, -np.inf)) == np.inf
    assert beyond(At(60000.0, np.inf)) == np.inf


class FromRounded(NumpyEngine):
    """NumPy whose backward pass makes tanhshrink' = tanh² from a = z − tanh z as it was stored; its vjp does not."""

    name = "from rounded"

    def trace(self, case):
        trace = super().trace(case)
        if case.hidden != "tanhshrink":
            return trace
        slope = np.square(trace.z[1] - trace.a[1]) * (trace.delta[2] @ case.W[2])
        return replace(trace, delta={**trace.delta, 1: rounded(slope, case.dtype)})


@pytest.mark.parametrize("dtype", HALF)
def test_a_backward_pass_from_a_rounded_activation_is_caught(dtype, tmp_path, monkeypatch):
    plan = {"functions": ("tanhshrink",), "dtypes": (dtype,)}
    assert worst_of(entries_of(NumpyEngine(), tmp_path, **plan), "derivative") <= 1
    assert worst_of(entries_of(FromRounded(), tmp_path, **plan), "derivative") > 2
    monkeypatch.setattr(sweep, "derivative_in_training", by_itself)
    (tmp_path / "alone").mkdir()
    assert worst_of(entries_of(FromRounded(), tmp_path / "alone", **plan), "derivative") <= 1, "the vjp shows it too"


def by_itself(adapter, case, weight):
    """f'(x) times a weight from the vjp of a layer by itself."""
    return sweep.activation_of(adapter, case, np.full(len(case.x), weight))[1]


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("name", ["tanh", "gelu", "softshrink", "logsigmoid", "relu6"])
def test_the_derivative_in_training_is_the_derivative(name, dtype):
    """At every sign and size of f(x), of a number of inputs that fills no batch."""
    x = next(SweepPlan().inputs(name, dtype))[:: 11 if dtype == "bfloat16" else 101]
    case = sweep.network(
        dtype, x[:, np.newaxis], np.zeros((len(x), 1)), (name, "identity", "half_squared_error"), 2, {}
    )
    assert len(x) % sweep.BATCH[dtype]
    weight = float(rounded(np.float64(sweep.WEIGHT), dtype))
    with np.errstate(all="ignore"):
        found = sweep.derivative_in_training(NumpyEngine(), case, weight)
        assert np.array_equal(found, by_itself(NumpyEngine(), case, weight))
    true, u = weight * ACTIVATIONS[name].derivative(x), UNIT_ROUNDOFF[dtype]
    assert (np.abs(found - true) <= 2 * u * np.abs(true) + UNDERFLOW[dtype]).all()


def add_defect(monkeypatch, engine, function, what, where):
    """List a defect in float32 more."""
    defect = Departure((engine,), (function,), what, ("float32",), where, "It is planted.", None, "defect")
    monkeypatch.setattr(known, "KNOWN", (*known.KNOWN, defect))


def test_no_error_is_counted_at_a_kink_or_where_an_engine_is_known_to_depart(tmp_path, monkeypatch):
    """An engine that gives ½ as the derivative of relu at 0, and a wrong tanh below −1 in float32."""

    class Chooses(NumpyEngine):
        name = "chooses"

        def layer_vjp(self, case, layer, z_prev, cotangent):
            dW, db, dz = super().layer_vjp(case, layer, z_prev, cotangent)
            return dW, db, np.where(z_prev == 0, 0.5, dz) if case.hidden == "relu" else dz

        def trace(self, case):
            trace = super().trace(case)
            return replace(trace, a={**trace.a, 1: np.where(trace.z[1] < -1, -0.5, trace.a[1])})

    plan = {"dtypes": ("float32",), "float32": 2**10}
    assert worst_of(entries_of(Chooses(), tmp_path, functions=("relu",), **plan), "derivative") == 0
    assert worst_of(entries_of(Chooses(), tmp_path, functions=("tanh",), **plan), "value") > 1e5
    add_defect(monkeypatch, "chooses", "tanh", "value", below(-1))
    (tmp_path / "known").mkdir()
    found = entries_of(Chooses(), tmp_path / "known", functions=("tanh",), **plan)
    assert worst_of(found, "value") < 1.5
    assert max(entry["beyond"] for entry in found) > 1e5


def test_what_departs_everywhere_has_no_entry(tmp_path, monkeypatch):
    """No accuracy is claimed there: an entry of 0 would say that it is exact."""
    add_defect(monkeypatch, "numpy", "elu", "value", anywhere)
    found = entries_of([NumpyEngine()], tmp_path, functions=("elu",), dtypes=("float32",), float32=64)
    assert {e["what"] for e in found} == {"derivative"}


def test_what_an_engine_does_not_support_has_no_entry(tmp_path):
    class Few(NumpyEngine):
        name = "few"

        def supports(self, case):
            return True if case.hidden in ("tanh", "identity") and case.loss != "hinge" else "no"

    found = entries_of(
        [NumpyEngine(), Few()], tmp_path, functions=("tanh", "elu", "hinge"), dtypes=("float32",), float32=64
    )
    assert {e["function"] for e in found if e["engine"] == "few"} == {"tanh"}
    assert {e["function"] for e in found if e["engine"] == "numpy"} == {"tanh", "elu", "hinge"}


SAMPLED = [
    *product(("numpy", "torch-eager"), (tuple(ACTIVATIONS), tuple(LOSSES)), ("float32", "float64")),
    *product(("numpy", "torch-eager"), (("tanh", "gelu", "softplus"), tuple(LOSSES)), ("bfloat16",)),
    *product(("jax-jit",), (("tanh", "elu", "cosine_distance"),), ("float32", "float64")),
]


every_sample = pytest.mark.parametrize(
    ("engine", "functions", "dtype"), SAMPLED, indirect=["engine"], ids=lambda v: v if isinstance(v, str) else v[0]
)


@every_sample
@pytest.mark.usefixtures("thinned")
def test_engines_are_within_what_is_assumed_of_them_on_other_inputs(engine, functions, dtype, tmp_path):
    beyond = beyond_what_is_assumed(engine, tmp_path, functions=functions, dtypes=(dtype,), drawn=48)
    assert not beyond, "\n".join(beyond)


@every_sample
@pytest.mark.exhaustive
def test_engines_are_within_what_is_assumed_of_them_on_many_other_inputs(engine, functions, dtype, tmp_path):
    beyond = beyond_what_is_assumed(engine, tmp_path, functions=functions, dtypes=(dtype,), drawn=96)
    assert not beyond, "\n".join(beyond)


def beyond_what_is_assumed(engine, folder, **plan):
    """The entries of a sweep that exceed k."""
    found = entries_of(engine, folder, float32=2**10, seed=7, **plan)
    assert found
    allowed = [accuracy.k(e["function"], e["what"], e["dtype"], engine.name) for e in found]
    return [
        f"{e['function']}'s {e['what']}, {e['parameters']}, errs by {e['roundings']:.3g} at {e['at']}, but k is {k}"
        for e, k in zip(found, allowed, strict=True)
        if not e["roundings"] <= k
    ]


# --- cut off, and started again


CUT = {
    "functions": ("tanh", "elu", "softmax", "huber"),
    "dtypes": ("float32", "float64"),
    "float32": 2**10,
    "drawn": 64,
}


class Cut(Exception):
    """What ends a sweep before its time."""


@pytest.fixture
def finished(monkeypatch, small_chunks):
    """A list of the parts that were swept to their end."""
    parts = []

    def recording(function):
        def swept(adapters, *about):
            found = function(adapters, *about)
            parts.append(" ".join(f"{a[0]!r}+{len(a)}" if isinstance(a, np.ndarray) else str(a) for a in about))
            return found

        return swept

    for name in ("sweep_activation", "sweep_loss", "sweep_coupled"):
        monkeypatch.setattr(sweep, name, recording(getattr(sweep, name)))
    return parts


@pytest.fixture
def whole(finished, tmp_path):
    """The entries, and the parts, of a sweep that nothing cuts off."""
    (tmp_path / "whole").mkdir()
    entries = entries_of(NumpyEngine(), tmp_path / "whole", **CUT)
    parts = finished.copy()
    finished.clear()
    assert len(set(parts)) == len(parts) > 20
    assert any(job["inputs"] > 1000 for job in entries)
    return entries, parts


def test_a_sweep_that_is_cut_off_after_every_part_is_as_if_it_were_not(whole, finished, tmp_path):
    def cut(text):
        if not text.startswith("going on"):
            raise Cut

    starts = 0
    while True:
        starts += 1
        try:
            entries = entries_of(NumpyEngine(), tmp_path, cut, **CUT)
            break
        except Cut:
            assert len(finished) == starts
    assert entries == whole[0]
    assert finished == whole[1], "a part was swept twice, or not at all"


@pytest.mark.parametrize("calls", [0, 1, 7, 16, 19])
def test_a_sweep_that_an_adapter_cuts_off_is_as_if_it_were_not(whole, finished, tmp_path, calls):
    class Fails(NumpyEngine):
        left = calls

        def trace(self, case):
            self.left -= 1
            if self.left == -1:
                raise Cut
            return super().trace(case)

    adapter, told = Fails(), []
    with pytest.raises(Cut):
        entries_of(adapter, tmp_path, told.append, **CUT)
    assert len(finished) == calls == len(told)
    again = []
    assert entries_of(adapter, tmp_path, again.append, **CUT) == whole[0]
    assert finished == whole[1]
    assert (again[0].startswith("going on after")) == (calls > 0)


def cut_after(parts, adapters, folder, **plan):
    """A sweep that is cut off after so many parts."""
    told = []

    def tell(text):
        told.append(text)
        if len(told) == parts:
            raise Cut

    with pytest.raises(Cut):
        entries_of(adapters, folder, tell, **plan)


class Renamed(NumpyEngine):
    name = "renamed"


@pytest.mark.parametrize(
    ("adapters", "changes"),
    [
        ([NumpyEngine()], {"seed": 1}),
        ([NumpyEngine()], {"float32": 2**11}),
        ([NumpyEngine()], {"drawn": 80}),
        ([NumpyEngine()], {"functions": ("tanh", "huber", "elu", "softmax")}),
        ([NumpyEngine()], {"dtypes": ("float64", "float32")}),
        ([Renamed()], {}),
        ([NumpyEngine(), Renamed()], {}),
    ],
    ids=["seed", "inputs", "drawn", "functions", "dtypes", "engine", "engines"],
)
def test_another_request_starts_anew(finished, tmp_path, adapters, changes):
    cut_after(9, NumpyEngine(), tmp_path, **CUT)
    finished.clear()
    told = []
    found = entries_of(adapters, tmp_path, told.append, **{**CUT, **changes})
    assert not any(text.startswith("going on") for text in told)
    assert len(finished) == len(told)
    (tmp_path / "other").mkdir()
    assert found == entries_of(adapters, tmp_path / "other", **{**CUT, **changes})


@pytest.mark.parametrize("field", ["versions", "devices"])
def test_other_versions_and_devices_start_anew(finished, tmp_path, monkeypatch, field):
    """What one version of an engine was measured to be is not said of another."""
    cut_after(9, NumpyEngine(), tmp_path, **CUT)
    finished.clear()
    before = environment.environment
    monkeypatch.setattr(sweep, "environment", lambda *about: {**before(*about), field: {"numpy": "another"}})
    told = []
    entries_of(NumpyEngine(), tmp_path, told.append, **CUT)
    assert len(finished) == len(told) > 20


def test_a_journal_is_read_back_as_it_was_written(tmp_path):
    worst = WorstErrors(3, np.inf, [1.5, -0.0], 0.1, 2.5, 1 / 3, None)
    path, first = tmp_path / "sweep.jsonl", {"request": {"drawn": [1, 2]}}
    progress = resumed(path, first, quiet)
    progress.part_done({("value", "numpy"): worst})
    progress.part_done({("value", "numpy"): worst})
    progress.job_done(("tanh", "float32", {"slope": 0.1}))
    progress.part_done({("value", "numpy"): worst})
    again = resumed(path, first, quiet)
    assert (again.jobs, again.parts, again.entries, again.errors) == (1, 1, progress.entries, progress.errors)
    assert again.errors == {("value", "numpy"): worst}
    (entry,) = again.entries
    assert (entry["function"], entry["dtype"], entry["parameters"]) == ("tanh", "float32", {"slope": 0.1})
    assert (entry["inputs"], entry["roundings"], entry["at"]) == (6, np.inf, [1.5, -0.0])
    other = resumed(path, {"request": {"drawn": [1, 3]}}, quiet)
    assert (other.jobs, other.parts, other.entries, other.errors) == (0, 0, [], {})
    assert len(path.read_text().splitlines()) == 1


def test_a_line_that_is_torn_is_swept_again(tmp_path):
    path, first, told = tmp_path / "sweep.jsonl", {"request": {}}, []
    progress = resumed(path, first, quiet)
    for _ in range(2):
        progress.part_done({("value", "numpy"): WorstErrors(3)})
    path.write_bytes(path.read_bytes()[:-9])
    assert resumed(path, first, told.append).parts == 1
    assert "torn" in told[0]


def test_measure_says_what_it_is_of(tmp_path):
    found = sweep.measure([NumpyEngine()], SweepPlan(("tanh",), ("float32",), 64, 16, 5), tmp_path, quiet)
    assert found["schema"] == sweep.SCHEMA == "backprop-parity/scalar-accuracy/2"
    assert found["environment"]["seed"] == 5
    assert found["request"] == {
        "functions": ["tanh"],
        "dtypes": ["float32"],
        "float32": 64,
        "drawn": 16,
        "seed": 5,
        "engines": ["numpy"],
    }
    assert [(e["function"], e["what"], e["engine"], e["dtype"]) for e in found["entries"]] == [
        ("tanh", what, "numpy", "float32") for what in ("value", "derivative")
    ]
    for entry in found["entries"]:
        assert entry["inputs"] > 64
        assert "tanh" in sweep.line(entry)
    json.dumps(files.jsonable(found), allow_nan=False)


# --- the record


@pytest.mark.parametrize(
    ("record", "engines"),
    [(RECORDED, set(WITH_FUNCTIONS)), (ON_GPU, set(WITH_FUNCTIONS) - {"numpy"})],
    ids=["on the CPU", "on a GPU"],
)
def test_the_record_is_of_this_sweep_and_of_every_engine(record, engines):
    assert record["schema"] == sweep.SCHEMA
    assert engines <= set(record["environment"]["devices"])
    found = [(e["function"], e["what"], e["dtype"], e["engine"], str(e["parameters"])) for e in record["entries"]]
    assert len(found) == len(set(found)), "something was measured twice"


def test_on_a_gpu_was_measured_what_was_on_the_cpu():
    """But for what departs everywhere."""
    names = [
        {(e["engine"], e["function"], e["what"], e["dtype"], str(e["parameters"])) for e in record["entries"]}
        for record in (RECORDED, ON_GPU)
    ]
    missing = {(name[:4]) for name in names[0] - names[1] if name[0] != "numpy"}
    departing = {
        name for name in names[0] if any(departure.where is anywhere for departure in defects(*name[:4], "cuda:0"))
    }
    assert missing == {name[:4] for name in departing}
    assert not names[1] - names[0]
    assert not any(device.startswith("cpu") for device in ON_GPU["environment"]["devices"].values())


def test_the_record_has_every_member_of_every_family():
    """NumPy has them all; every other engine what it supports."""
    jobs = [(name, dtype, given) for name, dtype, given in SweepPlan().jobs()]
    found = [
        (e["function"], e["dtype"], e["parameters"])
        for e in RECORDED["entries"]
        if (e["engine"], e["what"]) == ("numpy", "value")
    ]
    missing = [job for job in jobs if job not in found]
    assert not missing, f"{len(missing)} were not measured, such as {missing[0]}"
    assert len(found) == len(jobs)


def test_what_the_record_says_is_possible():
    for e in RECORDED["entries"] + ON_GPU["entries"]:
        about = f"{e['engine']}'s {e['function']}, {e['what']}, in {e['dtype']}"
        assert e["inputs"] >= 2**7, f"{about} was measured at {e['inputs']} inputs: too few"
        assert 0 <= float(e["roundings"]) < np.inf, about
        assert float(e["beyond"]) >= float(e["roundings"]), about
        if e["at"] is not None:
            assert np.max(np.abs(e["at"])) <= errors.ORDINARY, about


def test_the_inputs_of_the_record_show_the_errors_that_it_says():
    """NumPy's own values at the recorded inputs, in the formats in which a number decides it."""
    for e in RECORDED["entries"]:
        if (e["engine"], e["what"]) != ("numpy", "value") or e["function"] not in HIDDEN or e["at"] is None:
            continue
        f, x = (
            activations.activation(e["function"], e["parameters"]),
            np.array([[e["at"][0] if isinstance(e["at"], list) else e["at"]]]),
        )
        names = e["function"], "identity", "half_squared_error"
        case = sweep.network(
            e["dtype"], x, np.zeros_like(x), names, 2, {"hidden": e["parameters"]} if e["parameters"] else {}
        )
        observed = NumpyEngine().trace(case).a[1][0]
        true = [true_values.VALUE[e["function"]](arb(float(x[0, 0])), **e["parameters"])]
        error, _ = compared(observed, true, e["dtype"])
        k = float(error[0]) / (UNIT_ROUNDOFF[e["dtype"]] * f.value_scale(x)[0, 0])
        assert k <= 2 * e["roundings"] + 1e-6, (
            f"{e['function']} in {e['dtype']} at {x} errs by {k}, not {e['roundings']}"
        )
