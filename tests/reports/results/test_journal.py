"""A journal: whole lines only, of one campaign, and one clear line where it cannot be."""

import os
from pathlib import Path

import pytest

from reports.results import journal
from reports.results.files import ResultsError
from reports.results.journal import append, opened, read

FIRST = {"schema": "mine/1", "seed": 7}


def silent(notice):
    raise AssertionError(f"{notice!r} is said, but nothing was to be")


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


def test_a_folder_is_no_journal(tmp_path):
    with pytest.raises(ResultsError, match="cannot be read: Is a directory"):
        read(tmp_path, silent)


def test_the_digest_follows_every_file_of_a_package(tmp_path, monkeypatch):
    (tmp_path / "reports" / "recorded").mkdir(parents=True)
    (tmp_path / "reports" / "recorded" / "scalar_accuracy.json").write_text("{}")
    (tmp_path / "reports" / "a.py").write_text("1")
    monkeypatch.setattr(journal, "ROOT", tmp_path)
    uncached = journal.source.__wrapped__
    before = uncached("reports")
    assert uncached("reports") == before
    (tmp_path / "reports" / "a.py").write_text("2")
    assert uncached("reports") != before
