"""The measure's structure, at sizes so small that it takes seconds; no time is asserted."""

import io
import json
import os
from dataclasses import replace

import pytest
from rich.console import Console

from adapters.contract import AdapterError
from reports import bench
from reports.results import files

TINY = bench.Sizes(
    engines=("numpy", "torch-eager"),
    audited=(2, 3),
    checked=(2,),
    networks=(3,),
    trained=(2,),
    samples=2,
    threads=(1,),
    slow_rounds=1,
)


def quiet():
    return Console(file=io.StringIO(), width=160)


@pytest.fixture(scope="module")
def found():
    return bench.measure(2, quiet(), TINY)


def test_what_is_measured_is_written_as_json(found):
    assert found["schema"] == "backprop-parity/bench/1"
    assert {"versions", "processor", "cores", "seconds", "started"} <= found["environment"].keys()
    assert found["request"]["rounds"] == 2
    assert json.loads(files.dump(found)) == found


def test_the_audit_stands_beside_every_engine_in_every_dtype(found):
    rows = [(row["width"], row["engine"], row["dtype"]) for row in found["audit"]]
    dtypes = ("float32", "float64")
    assert rows == [(width, engine, dtype) for width in (2, 3) for dtype in dtypes for engine in TINY.engines]


def test_gradcheck_stands_beside_the_audit_in_both_modes_where_it_is_asked_for(found):
    assert [(row["width"], row["mode"]) for row in found["gradcheck"]] == [(2, "fast"), (2, "slow")]


def test_audited_training_stands_beside_training_in_every_engine(found):
    rows = {(row["engine"], row["dtype"], row["optimiser"]) for row in found["training"]}
    assert len(rows) == len(found["training"]) == 2 * 2 * 2


@pytest.mark.parametrize("section", ["audit", "gradcheck", "training", "network"])
def test_every_timing_is_a_median_between_its_quartiles(found, section):
    assert found[section]
    for row in found[section]:
        timings = {name: value for name, value in row.items() if isinstance(value, dict)}
        assert len(timings) == (3 if section == "network" else 2)
        for name, timing in timings.items():
            assert 0 < timing["lower"] <= timing["median"] <= timing["upper"], (section, name)
            assert timing["rounds"] == (1 if (name, row.get("mode")) == ("gradcheck", "slow") else 2)


def test_ratios_are_those_of_the_medians(found):
    def medians(row, over, under):
        return row[over]["median"] / row[under]["median"]

    for row in found["audit"]:
        assert row["ratio"] == medians(row, "audit", "trace")
    for row in found["gradcheck"]:
        assert row["ratio"] == medians(row, "gradcheck", "audit")
    for row in found["training"]:
        assert row["ratio"] == medians(row, "audited", "train") - 1
    for row in found["network"]:
        assert row["numpy/torch"] == medians(row, "numpy", "torch")
        assert row["numpy/products"] == medians(row, "numpy", "products")


@pytest.mark.parametrize(("width", "parameters"), [(8, 216), (32, 3_168), (64, 12_480)])
def test_parameters_are_counted(width, parameters):
    network = bench.Network(width, 4, "float64")
    case = network.case()
    assert network.parameters == parameters
    assert sum(case.W[l].size + case.b[l].size for l in case.layers) == parameters


def test_the_tables_show_every_row(found):
    console = quiet()
    for table in bench.tables(found):
        console.print(table)
    text = console.file.getvalue()
    assert [table.row_count for table in bench.tables(found)] == [8, 2, 8, 1]
    for heading in (
        "audit/trace",
        "gradcheck/audit",
        "audit/training",
        "NumPy/torch",
        "NumPy/products",
        "torch-eager",
        "slow",
    ):
        assert heading in text


def test_the_default_sizes_are_those_that_are_reported():
    sizes = bench.Sizes()
    assert [bench.Network(width, 1, "float64").parameters for width in sizes.checked] == [216, 3_168, 12_480]
    assert set(sizes.checked) <= set(sizes.audited)
    assert 256 in sizes.audited
    assert sizes.threads[-1] == bench.cores()


# --- what is timed is what it says


@pytest.fixture
def case():
    return bench.Network(5, 3, "float64").case()


def test_torch_computes_the_network_of_the_reference(case):
    from adapters.numpy.engine import NumpyEngine

    trace = NumpyEngine().trace(case)
    gradients = bench.torch_passes(NumpyEngine(), case, None)()
    expected = [gradient[l] for l in case.layers for gradient in (trace.dW, trace.db)]
    assert len(gradients) == len(expected) == 6
    for observed, gradient in zip(gradients, expected, strict=True):
        assert observed.numpy() == pytest.approx(gradient, rel=1e-12)


@pytest.mark.parametrize("fast", [True, False])
def test_gradcheck_agrees_with_the_loss(case, fast):
    assert bench.gradcheck(fast)(None, case, None)() is True


def test_a_call_is_repeated_until_it_can_be_timed():
    calls = []
    seconds = bench.timed(lambda: calls.append(None))
    assert len(calls) > 100
    assert 0 < seconds < bench.ENOUGH


def test_contestants_take_turns():
    order = []

    class Recorded:
        def __init__(self, name):
            self.name = name

        def time(self):
            order.append(self.name)
            return float(len(order))

    found = bench.in_turns({name: Recorded(name) for name in "abc"}, 3, {"b": 1})
    assert "".join(order) == "abcacac"
    assert found["a"] == {"median": 4, "lower": 2.5, "upper": 5, "rounds": 3}
    assert found["b"]["rounds"] == 1


# --- an engine that fails


def test_an_engine_that_is_unknown_is_named():
    with pytest.raises(bench.BenchError, match=r"^engine 'nobody' cannot be timed: AdapterError: engine 'nobody' is"):
        bench.measure(1, quiet(), bench.Sizes(engines=("numpy", "torch-eager", "nobody"), audited=(2,), threads=(1,)))


FAILING = """
import os


class Raises:
    name = "raises"

    def supports(self, case):
        return True

    def trace(self, case):
        raise FloatingPointError("no\\nsuch number")


class Dies(Raises):
    def trace(self, case):
        os._exit(7)
"""


@pytest.mark.parametrize(
    ("name", "reason"),
    [("Raises", "FloatingPointError: no such number"), ("Dies", "its process ended with exit status 7")],
)
def test_a_worker_that_fails_gives_one_line(tmp_path, name, reason):
    path = tmp_path / "failing.py"
    path.write_text(FAILING, encoding="utf-8")
    engine = f"{path}:{name}"
    with bench.workers([engine], 1) as processes, pytest.raises(bench.BenchError) as caught:
        processes[engine].prepare("trace", bench.Network(2, 2, "float64"))
    assert str(caught.value) == f"engine {engine!r} cannot be timed: {reason}"
    assert isinstance(caught.value, AdapterError)  # which the command reports, and exits with 2


def test_workers_are_ended_and_the_environment_is_as_before():
    before = dict(os.environ)
    with bench.workers(["numpy"], 1) as processes:
        process = processes["numpy"].process
        assert process.is_alive()
        assert dict(os.environ) == before
    assert not process.is_alive()


@pytest.mark.parametrize(
    ("seconds", "text"), [(1.23456e-4, "0.123"), (0.0123456, "12.3"), (0.5, "500"), (12.3456, "12,346")]
)
def test_durations_are_milliseconds_of_three_digits(seconds, text):
    assert bench.duration({"median": seconds}) == text


def test_training_that_does_not_hold_is_not_timed(case):
    from adapters.numpy.engine import NumpyEngine

    class Wrong(NumpyEngine):
        def train(self, case, plan):
            for step in super().train(case, plan):
                yield replace(step, trace=replace(step.trace, loss=step.trace.loss + 1))

    bench.audited_training("adam")(NumpyEngine(), case, None)()
    with pytest.raises(bench.BenchError, match="does not hold"):
        bench.audited_training("adam")(Wrong(), case, None)()
