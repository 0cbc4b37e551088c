"""`gate`: its files, its table, its exit status, and the update of the baseline."""

from xml.etree import ElementTree

import pytest

from reports.gate import baseline, filing
from reports.results import files as results_files
from tests.reports.gate.campaigns import TOML, breaks, campaign


@pytest.fixture
def held(tmp_path, call):
    """A function that holds results to the baseline of `campaign()`: its exit status, stdout and stderr."""
    path = tmp_path / "results.json"
    files = "--baseline", tmp_path / "baseline.jsonl", "--waivers", tmp_path / "waivers.toml"
    path.write_text(results_files.dump(campaign()), encoding="utf-8")
    assert call("gate", path, "--update", *files)[0] == 0

    def hold(found, *arguments):
        path.write_text(results_files.dump(found), encoding="utf-8")
        return call("gate", path, *files, *arguments)

    return hold


def test_the_command_passes_and_writes_its_files(held, tmp_path):
    status, out, err = held(campaign())
    assert (status, err) == (0, "")
    assert "The gate passes" in out
    assert "passes" in (tmp_path / "gate.md").read_text(encoding="utf-8")
    ElementTree.parse(tmp_path / "gate.xml")


def test_the_command_fails_with_a_table(held, tmp_path):
    found = campaign()
    breaks(found)
    status, out, _ = held(found)
    assert status == 1
    assert "The gate fails" in out
    assert "verdict" in out
    assert max(len(line) for line in out.splitlines()[:-3]) <= 80
    assert "fails" in (tmp_path / "gate.md").read_text(encoding="utf-8")


def test_the_update_shows_what_it_accepts_and_the_gate_then_passes(held):
    found = campaign()
    breaks(found)
    status, out, _ = held(found, "--update")
    assert status == 0
    assert "1 difference accepted" in out
    assert "breaks" in out
    assert held(found)[0] == 0
    assert held(campaign())[0] == 1


def test_an_update_of_another_environment_says_what_changed(held):
    found = campaign()
    found["environment"]["versions"]["torch"] = "9.9.9"
    status, out, err = held(found)
    assert (status, out) == (2, "")
    assert err.startswith("error: the baseline is of another environment")
    assert len(err.splitlines()) == 1
    status, out, _ = held(found, "--update")
    assert "versions.torch" in out
    assert held(found)[0] == 0


@pytest.fixture
def in_new_class(tmp_path, call, monkeypatch):
    """A function that holds results to a folder of baselines in which there is none of their environment."""
    monkeypatch.setattr(filing, "FOLDER", tmp_path / "baselines")

    def hold(found, *arguments):
        path = tmp_path / "results.json"
        path.write_text(results_files.dump(found), encoding="utf-8")
        return call("gate", path, "--waivers", tmp_path / "waivers.toml", *arguments)

    return hold


def test_the_first_run_in_a_new_environment_says_how_to_make_its_baseline(in_new_class, tmp_path):
    status, out, err = in_new_class(campaign())
    assert (status, err) == (0, "")
    first, second, *_ = out.splitlines()
    assert "gate --update" in first
    assert filing.name_of(baseline.of(campaign())) in first
    assert second.startswith("The gate passes")
    assert second.endswith("none breaks unlisted.")
    assert "gate --update" in (tmp_path / "gate.md").read_text(encoding="utf-8")
    assert in_new_class(campaign(), "--update")[0] == 0
    status, out, _ = in_new_class(campaign())
    assert (status, "none has changed" in out) == (0, True)


def test_a_break_fails_in_a_new_environment_too(in_new_class, tmp_path):
    found = campaign()
    breaks(found)
    status, out, _ = in_new_class(found)
    assert status == 1
    assert "The gate fails" in out
    assert "1 cell breaks" in out
    (tmp_path / "waivers.toml").write_text(TOML, encoding="utf-8")
    status, out, _ = in_new_class(found)
    assert (status, "1 waived" in out) == (0, True)


def test_what_is_listed_passes_in_a_new_environment_and_a_crash_does_not(in_new_class):
    found = campaign()
    breaks(found)
    for cell in found["cells"]:
        if cell["verdict"] == "breaks":
            cell["explained"] = found["divergences"][0]["id"]
    assert in_new_class(found)[0] == 0
    found = campaign()
    found["cells"][0] |= {"verdict": "crashed", "reason": "x", "checked": {}, "elements": 0}
    assert in_new_class(found)[0] == 1


def test_nothing_that_ran_fails_in_a_new_environment(in_new_class):
    found = campaign()
    for record in (*found["cells"], *found["training"]):
        record |= {"verdict": "not-run", "reason": "x", "checked": {}, "elements": 0}
    status, out, _ = in_new_class(found)
    assert (status, "no cell ran" in out) == (1, True)


def test_without_the_baseline_that_is_named_there_is_one_line(call, tmp_path):
    path = tmp_path / "results.json"
    path.write_text(results_files.dump(campaign()), encoding="utf-8")
    status, out, err = call("gate", path, "--baseline", tmp_path / "none.jsonl")
    assert (status, out) == (2, "")
    assert "--update" in err
    assert len(err.splitlines()) == 1


def test_an_expired_waiver_fails_the_command(held, tmp_path):
    (tmp_path / "waivers.toml").write_text(TOML.replace("2026-12-26", "2026-01-01"), encoding="utf-8")
    status, out, _ = held(campaign())
    assert status == 1
    assert "expired on 2026-01-01" in out


def test_results_without_a_cell_are_no_baseline(held):
    found = campaign()
    found["cells"], found["training"] = [], []
    status, _, err = held(found, "--update")
    assert status == 2
    assert len(err.splitlines()) == 1
    assert held(campaign())[0] == 0, "the baseline is as it was"
