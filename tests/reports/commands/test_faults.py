"""`faults`: its chapter is put beside the campaign; its exit status, and one line for what cannot be done."""

import pytest

from reports import __main__
from reports.commands import options
from reports.results import files
from tests.reports import samples
from tests.reports.commands.calls import refused, written

TWO = ("derivative-at-activation", "loss-summed")

FEW = ("--engines", "numpy", "--dtypes", "float32", "--seeds", "1", "--cases", "20", "--only", "matrix,alarms")


@pytest.fixture
def two(monkeypatch):
    """A panel of two faults, which the workers plant."""
    return samples.plant_only(monkeypatch, TWO)


def test_seeded_faults_are_put_beside_the_campaign(call, two, tmp_path):
    before = files.jsonable(samples.small())
    (tmp_path / "results.json").write_text(files.dump(before), encoding="utf-8")
    status, text, err = call("faults", *FEW, "--workers", "1", "--out", tmp_path)
    assert (status, err) == (0, "")
    after = written(tmp_path)
    found = after.pop("faults")
    assert after == before
    assert {cell["fault"] for cell in found["matrix"]} == set(TWO)
    assert {(cell["draws"], cell["killed"]) for cell in found["matrix"]} == {(1, 1)}
    assert (found["alarms"]["cases"], found["alarms"]["alarms"]) == (20, [])
    assert found["environment"]["seed"] == options.SEED
    assert found["environment"]["flags"]["threads of each worker"] == "1"
    assert found["request"]["parts"] == ["matrix", "alarms"]
    for part in (
        "4 of 4 draws of 2 seeded faults",
        "0 false alarms in 20 honest cases",
        str(tmp_path / "results.json"),
    ):
        assert part in text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["alarms.jsonl", "results.json"]
    assert call("render", tmp_path / "results.json")[0] == 0


def test_seeded_faults_that_are_missed_give_1(call, two, tmp_path, monkeypatch):
    """An engine in which the fault is switched off is honest: nothing is found."""
    from dataclasses import replace

    two[TWO[0]] = replace(two[TWO[0]], wrong=lambda m, rule, g, z: rule(g, z))
    monkeypatch.setattr("reports.running.workers.each", samples.each_here)
    status, text, err = call("faults", *FEW[:-1], "matrix", "--out", tmp_path)
    assert (status, err) == (1, "")
    for part in (
        "2 of 4 draws",
        "missed: derivative-at-activation in numpy, float32, at initialisation",
        "2 draws missed",
    ):
        assert part in text
    assert written(tmp_path)["cells"] == []
    assert call("render", tmp_path / "results.json")[0] == 1


def test_seeded_faults_measured_again_take_the_place_of_the_old(call, two, tmp_path, monkeypatch):
    monkeypatch.setattr("reports.running.workers.each", samples.each_here)
    (tmp_path / "results.json").write_text(files.dump(samples.alone()), encoding="utf-8")
    assert call("faults", *FEW[:-1], "matrix", "--out", tmp_path)[0] == 0
    assert {cell["fault"] for cell in written(tmp_path)["faults"]["matrix"]} == set(TWO)
    assert "alarms" not in written(tmp_path)["faults"]


def test_results_that_are_none_are_not_overwritten_by_seeded_faults(call, out):
    assert str(out / "results.json") in refused(call, out, "faults", *FEW, "--out", out)


def test_alarms_want_an_honest_engine(tmp_path, capsys):
    arguments = ["faults", "--engines", "jax-whole", "--only", "alarms", "--out", str(tmp_path)]
    assert __main__.main(arguments) == 2
    printed = capsys.readouterr()
    assert "not in jax-whole" in printed.out + printed.err
