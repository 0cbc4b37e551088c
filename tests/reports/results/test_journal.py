"""A journal: whole lines only, of one campaign, and one clear line where it cannot be."""

import os
from pathlib import Path

import pytest

from reports.campaign import campaign
from reports.faults import false_alarms
from reports.results import journal
from reports.results.files import ResultsError
from reports.results.journal import append, opened, read
from reports.trajectories import long_run

FIRST = {"schema": "mine/1", "seed": 7}


def silent(notice):
    raise AssertionError(f"there is the notice {notice!r}, but should be none")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "mine.jsonl"


def test_what_is_appended_is_there_when_it_is_opened_again(path):
    assert opened(path, FIRST, silent) == []
    for number in range(3):
        append(path, {"number": number, "ratio": float("inf")})
    assert opened(path, FIRST, silent) == [{"number": n, "ratio": "Infinity"} for n in range(3)]


@pytest.mark.parametrize("torn", [b"{", b'{"number": 3', b'{"number": 3}', b"\xff\xfe", b'{"number":\n'])
def test_a_torn_last_line_is_dropped_with_a_notice(path, torn):
    opened(path, FIRST, silent)
    append(path, {"number": 0})
    whole, told = path.read_bytes(), []
    path.write_bytes(whole + torn)
    assert opened(path, FIRST, told.append) == [{"number": 0}]
    assert told == [f"journal {str(path)!r}: its last line, 3, is torn and dropped"]
    assert path.read_bytes() == whole


def test_a_torn_line_in_the_middle_is_refused(path):
    opened(path, FIRST, silent)
    path.write_bytes(path.read_bytes() + b'{"engine":\n')
    append(path, {"number": 0})
    with pytest.raises(ResultsError, match="line 2 is unreadable"):
        opened(path, FIRST, silent)


@pytest.mark.parametrize("text", [b'{"schema": ', b"[]\n", b"no JSON\n", b"a file of somebody's, without an end"])
def test_a_file_without_a_readable_first_line_is_refused_and_left(path, text):
    path.write_bytes(text)
    with pytest.raises(ResultsError, match="line 1 is unreadable"):
        opened(path, FIRST, silent)
    assert path.read_bytes() == text


def test_a_journal_of_another_campaign_is_refused_in_one_line(path):
    opened(path, FIRST, silent)
    with pytest.raises(ResultsError, match=r"^journal [^\n]* has the seed 7, but should have 8: [^\n]*$"):
        opened(path, FIRST | {"seed": 8}, silent)


def test_a_full_disk_is_one_line_and_leaves_whole_lines(path, monkeypatch):
    opened(path, FIRST, silent)
    append(path, {"number": 0})
    whole, write = path.read_bytes(), os.write
    monkeypatch.setattr(os, "write", lambda file, line: write(file, line[: len(line) // 2]))
    with pytest.raises(ResultsError, match="cannot be written: No space left on device"):
        append(path, {"number": 1})
    assert path.read_bytes() == whole


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_a_device_that_is_full_is_one_line():
    with pytest.raises(ResultsError, match="journal '/dev/full' cannot be written: No space left on device"):
        append(Path("/dev/full"), {"number": 1})


def test_a_folder_is_not_a_journal(tmp_path):
    with pytest.raises(ResultsError, match="cannot be read: Is a directory"):
        read(tmp_path, silent)


# --- the digest of the source

MODULES = ("reports.measure.cells",)

FILES = {
    "reference/audit.py": "",
    "reference/recorded/accuracy.json": "{}",
    "adapters/numpy.py": "",
    "adapters/faults/panel.py": "",
    "reports/__init__.py": "",
    "reports/measure/__init__.py": "",
    "reports/measure/cells.py": "import reports.running.tally\nfrom reports import seeds\n",
    "reports/measure/terminal.py": "from reports.measure import cells\n",
    "reports/seeds.py": "from reports.known import KNOWN, places\n",
    "reports/known/__init__.py": "from . import functions\nKNOWN = 1\n",
    "reports/known/functions.py": "def late():\n    from ..running import clock\n",
    "reports/known/places.py": "",
    "reports/known/unused.py": "",
    "reports/running/__init__.py": "",
    "reports/running/tally.py": "from reports.measure import cells\n",
    "reports/running/clock.py": "",
    "reports/page/report.py": "from reports.measure import cells, terminal\n",
}
"""A small tree: imports of modules, of names, of packages with a name and a submodule, relative, late, in a circle."""

DECIDE = {
    *("reference/audit.py", "reference/recorded/accuracy.json", "adapters/numpy.py", "adapters/faults/panel.py"),
    *("reports/__init__.py", "reports/measure/__init__.py", "reports/measure/cells.py", "reports/seeds.py"),
    *("reports/known/__init__.py", "reports/known/functions.py", "reports/known/places.py"),
    *("reports/running/__init__.py", "reports/running/tally.py", "reports/running/clock.py"),
}


@pytest.fixture
def tree(tmp_path, monkeypatch):
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(journal, "ROOT", tmp_path)
    return tmp_path


def uncached(*modules):
    return journal.source.__wrapped__(*modules)


def test_the_files_that_decide_are_those_that_are_imported_and_all_of_reference_and_adapters(tree):
    files = journal.deciding_files(tree, MODULES)
    assert {path.relative_to(tree).as_posix() for path in files} == DECIDE
    assert files == sorted(files)


@pytest.mark.parametrize("name", FILES)
def test_a_change_of_a_file_that_decides_and_of_no_other_is_another_digest(tree, name):
    before = uncached(*MODULES)
    assert uncached(*MODULES) == before
    with (tree / name).open("a") as file:
        file.write("# changed\n")
    assert (uncached(*MODULES) != before) is (name in DECIDE)


@pytest.mark.parametrize("name", ["adapters/faults/deep/new.py", "reference/recorded/new.json", "reference/new.py"])
def test_a_new_file_of_reference_or_adapters_is_another_digest(tree, name):
    before = uncached(*MODULES)
    (tree / name).parent.mkdir(exist_ok=True)
    (tree / name).write_text("")
    assert uncached(*MODULES) != before


@pytest.mark.parametrize("name", ["adapters/README.md", "reports/measure/new.py", "reports/page/new.json", "new.py"])
def test_a_new_file_of_another_kind_or_place_is_not(tree, name):
    before = uncached(*MODULES)
    (tree / name).write_text("new")
    assert uncached(*MODULES) == before


def test_text_that_moves_from_one_file_to_another_is_another_digest(tree):
    (tree / "adapters/numpy.py").write_text("x")
    before = uncached(*MODULES)
    (tree / "adapters/numpy.py").write_text("")
    (tree / "adapters/faults/panel.py").write_text("x")
    assert uncached(*MODULES) != before


def test_a_module_that_there_is_not_is_refused(tree):
    with pytest.raises(ModuleNotFoundError, match=r"reports\.absent"):
        uncached("reports.absent")


@pytest.mark.parametrize("modules", [campaign.DECIDING, (long_run.__name__,), (false_alarms.__name__,)], ids=str)
def test_the_digest_of_a_real_measurement_covers_what_decides_its_numbers_and_nothing_else(modules):
    root = journal.ROOT
    names = {path.relative_to(root).as_posix() for path in journal.deciding_files(root, modules)}
    assert names >= {
        *(module.replace(".", "/") + ".py" for module in modules),
        *("adapters/contract.py", "adapters/faults/catalogue.py", "adapters/torch/eager.py"),
        *("reference/audit.py", "reference/recorded/scalar_accuracy.json"),
        *("reports/running/tally.py", "reports/running/seeds.py", "reports/running/workers.py"),
    }
    for name in names:
        assert not name.startswith(("reports/page/", "reports/commands/", "reports/gate/", "tests/")), name
        assert not name.endswith(("terminal.py", "__main__.py", "verdict.py", "bench.py")), name


def test_the_digest_of_a_campaign_covers_the_known_departures_and_its_training_run():
    names = {
        path.relative_to(journal.ROOT).as_posix() for path in journal.deciding_files(journal.ROOT, campaign.DECIDING)
    }
    assert names >= {
        *("reports/divergences/known.py", "reports/divergences/explaining.py", "reports/divergences/reproducers.py"),
        *("reports/trajectories/digits.py", "reports/trajectories/steps.py", "reports/campaign/experiments.py"),
    }
