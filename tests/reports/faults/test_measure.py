"""What the audit catches, measured: every part, in the order it is asked for, with a line for what cannot run."""

from dataclasses import replace

import pytest

from adapters.faults.batching import BATCH_FAULTS
from adapters.faults.catalogue import FAULTS
from adapters.faults.networks import NETWORKS
from adapters.faults.planting import OF_ONE_PROGRAM
from reference.rounding import DTYPES
from reports.faults import checkers, false_alarms, kill_matrix, smallest_fault, summary
from reports.faults import measure as faults_measure
from reports.faults.measure import COMPILERS, FaultsRequest, measure, panel, runnable
from reports.running import workers
from tests.reports import samples

TWO = ("derivative-at-activation", "loss-summed")
REQUEST = FaultsRequest(("numpy",), ("float32",), 1, 20, 2026, ("matrix", "alarms"), 1)


@pytest.fixture
def two(monkeypatch):
    """A panel of two faults, planted in this process."""
    chosen = samples.plant_only(monkeypatch, TWO)
    monkeypatch.setattr(workers, "each", samples.each_here)
    return chosen


def measured(request, folder):
    """The measurements, what progress was shown, and the lines."""
    progress, lines = [], []
    return measure(request, folder, lambda *done: progress.append(done), lines.append), progress, lines


def test_two_faults_and_honest_cases(two, tmp_path):
    found, progress, lines = measured(REQUEST, tmp_path)
    assert summary.holds(found)
    assert {cell["fault"] for cell in found["matrix"]} == set(TWO)
    assert [(c["engine"], c["dtype"], c["stage"], c["draws"]) for c in found["matrix"]] == [
        ("numpy", "float32", stage, 1) for _ in TWO for stage in samples.STAGES
    ]
    assert found["alarms"]["cases"] == 20
    assert found["request"] == REQUEST._asdict()
    assert [about["name"] for about in found["panel"]] == list(TWO)
    assert (found["not_run"], lines) == ([], [])
    assert progress[0] == (1, 1, "matrix")
    assert progress[-1] == (20, 20, "honest cases")


def test_a_fault_that_is_switched_off_is_a_miss(two, tmp_path):
    """The engine is then honest, and nothing is found; all that is claimed of the fault is missed."""
    two[TWO[0]] = replace(two[TWO[0]], wrong=lambda m, rule, g, z: rule(g, z))
    found, _, _ = measured(REQUEST._replace(parts=("matrix",)), tmp_path)
    assert not summary.holds(found)
    assert {cell["fault"] for cell in summary.summarise(found).matrix.missed} == {TWO[0]}
    assert [line.split(" in ")[0] for line in summary.summarise(found).lines][:2] == [f"missed: {TWO[0]}"] * 2


def test_only_what_is_asked_for_is_measured(two, tmp_path, monkeypatch):
    monkeypatch.setattr(
        smallest_fault, "measure", lambda seed, dtypes: [samples.limit(dtype=dtype) for dtype in dtypes]
    )
    found, _, _ = measured(REQUEST._replace(parts=("smallest",)), tmp_path)
    assert set(found) == {"request", "panel", "not_run", "smallest"}
    assert [row["dtype"] for row in found["smallest"]] == ["float32"]
    assert list(tmp_path.iterdir()) == []


def test_the_checkers_are_asked_about_the_panel(two, tmp_path, monkeypatch):
    few = [c for c in checkers.CHECKERS if c.name in ("audit", "NablaFuzz")]
    monkeypatch.setattr(checkers, "CHECKERS", few)
    monkeypatch.setattr(checkers, "NETWORKS", {"tanh": NETWORKS["tanh"]})
    found, progress, _ = measured(REQUEST._replace(parts=("beside",)), tmp_path)
    assert [row["rule"] for row in found["beside"]] == ["audit", "NablaFuzz"]
    audit, nabla = (row["killed"][samples.STAGES[0]] for row in found["beside"])
    assert (audit["of"], audit["faults"]) == (2, 2)
    assert nabla["of_draws"] == 2
    assert summary.holds(found)
    assert progress == [(1, 2, "beside"), (2, 2, "beside")]


def test_the_samples_are_like_what_is_measured(two, tmp_path, monkeypatch):
    """Other tests use records written by hand."""
    monkeypatch.setattr(checkers, "CHECKERS", checkers.CHECKERS[:1])
    monkeypatch.setattr(checkers, "NETWORKS", {"tanh": NETWORKS["tanh"]})
    monkeypatch.setattr(smallest_fault, "VERIFIED", 1)
    rows = smallest_fault.measure(dtypes=("float32",), draws=2)
    monkeypatch.setattr(smallest_fault, "measure", lambda seed, dtypes: rows)
    found, _, _ = measured(REQUEST._replace(parts=("matrix", "beside", "smallest", "alarms")), tmp_path)
    sample = samples.proved()
    assert set(found) == set(sample)
    assert set(found["request"]) == set(sample["request"])
    for part in ("panel", "matrix", "beside", "smallest"):
        assert set(found[part][0]) == set(sample[part][0]), part
    for key in ("killed", "false_alarms"):
        real, by_hand = found["beside"][0][key], sample["beside"][0][key]
        assert {stage: set(counts) for stage, counts in real.items()} == {
            stage: set(counts) for stage, counts in by_hand.items()
        }
    for key in ("one", "all"):
        assert set(found["smallest"][0][key]) == set(sample["smallest"][0][key])
    assert set(found["alarms"]) == set(sample["alarms"])
    assert set(found["alarms"]["by"][0]) == set(sample["alarms"]["by"][0])


@pytest.mark.parametrize("compiler", COMPILERS)
def test_one_compiler_is_enough(monkeypatch, compiler):
    monkeypatch.setattr(faults_measure, "which", lambda name: f"/bin/{name}" if name == compiler else None)
    assert runnable(("numpy", "torch-compile")) == (["numpy", "torch-compile"], [])


def test_without_a_compiler_torch_compile_is_not_run_and_a_line_says_so(monkeypatch):
    monkeypatch.setattr(faults_measure, "which", lambda name: None)
    engines, lines = runnable(("numpy", "torch-compile", "jax-whole"))
    assert engines == ["numpy", "jax-whole"]
    assert lines == ["torch-compile is not run: it wants a C++ compiler, one of c++, g++, clang++"]
    assert runnable(("numpy",)) == (["numpy"], []), "no line for what was not asked for"


def test_what_is_not_run_is_in_the_results(two, tmp_path, monkeypatch):
    monkeypatch.setattr(faults_measure, "which", lambda name: None)
    found, _, lines = measured(REQUEST._replace(engines=("numpy", "torch-compile"), parts=("matrix",)), tmp_path)
    assert lines == found["not_run"]
    assert "C++ compiler" in lines[0]
    assert {cell["engine"] for cell in found["matrix"]} == {"numpy"}


def test_the_panel_has_every_fault_that_is_planted():
    named = {row["name"] for row in panel()}
    planted = {
        name
        for planting in kill_matrix.plantings((*false_alarms.ENGINES, *OF_ONE_PROGRAM), DTYPES, 1)
        for name in planting.faults
    }
    assert planted <= named, f"the panel lacks {', '.join(sorted(planted - named))}"
    assert set(FAULTS) | set(BATCH_FAULTS) <= planted


def test_the_panel_says_what_each_fault_breaks():
    rows = {row["name"]: row for row in panel()}
    for fault in FAULTS.values():
        row = rows[fault.name]
        assert (row["equation"], row["layer"]) == fault.breaks
        assert row["cause"] == fault.cause
        assert all(part in row["network"] for part in NETWORKS[fault.network].combination)
