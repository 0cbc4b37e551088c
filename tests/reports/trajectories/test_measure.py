"""The chapter: its parts in brief, and the command that measures it."""

from adapters.numpy.engine import NumpyEngine
from reports import __main__
from reports.results import files
from reports.trajectories import measure
from reports.trajectories.measure import brief
from reports.trajectories.setups import SETTINGS
from tests.reports.trajectories.chapters import adam_on_xor, trained


def test_a_run_of_the_spread_is_kept_in_brief():
    record = brief(trained(NumpyEngine(), adam_on_xor()))
    assert "curves" not in record
    assert "envelope" not in record["free"]
    assert set(record["last"]) == {"loss", "ratio", "distance", "validation"}
    assert "predicted" not in record["scores"]["test"]


def here(work, arguments, workers, done):
    """In the place of worker processes: the same in this one."""
    results = []
    for argument in arguments:
        results.append(work(argument))
        done(results[-1])
    return results


def test_the_command(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("reports.trajectories.setups.SETTINGS", SETTINGS[:1])
    monkeypatch.setattr(measure, "each", here)
    arguments = ("--engines", "numpy", "--dtypes", "float32", "--steps", "3", "--epochs", "1", "--out", str(tmp_path))
    assert __main__.main(["trajectories", *arguments]) == 0
    text, _ = capsys.readouterr()
    for part in ("seed 2026", "gradient descent", "6 of 6 training runs hold", "results.json written"):
        assert part in text
    written = files.load(tmp_path / "results.json")
    assert len(written["trajectories"]["spread"]) == 5
    assert written["trajectories"]["environment"]["seed"] == 2026
    assert max(map(len, text.splitlines())) <= 250


def test_long_runs_are_measured_where_they_are_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr("reports.trajectories.setups.SETTINGS", SETTINGS[:1])
    monkeypatch.setattr(measure, "each", here)
    told = []
    request = measure.ChapterRequest(("numpy",), ("float32",), 2, 1, 3, 7, 1)
    found = measure.measure(request, tmp_path, lambda *about: told.append(about))
    assert [(run["engine"], run["steps"], run["verdict"]) for run in found["long"]] == [("numpy", 3, "holds")]
    assert (len(found["spread"]), len(found["digits"])) == (5, 1)
    assert told[-1] == (len(told), len(told), "training")
