"""Whole campaigns: the same numbers however they are measured, and a killed campaign goes on."""

import pytest

from adapters.contract import AdapterError
from reports.campaign.campaign import JOURNAL, adapter_infos, journal_header, keyed_jobs, raise_without_divergences
from reports.campaign.shares import Share
from reports.results import journal
from reports.results.files import ResultsError
from reports.results.verdicts import Verdict
from reports.running.workers import CampaignError, Failure, Limits
from tests.reports.campaign.campaigns import SOME, aside_from_time, keys_in, measured, request

# --- adapters that do not load


@pytest.mark.parametrize(
    ("text", "said", "seconds"),
    [
        ("import os; os._exit(3)", "cannot be loaded: its process ended with exit status 3", 60),
        ("import threading; threading.Event().wait()", "cannot be loaded: it takes more than 4 s", 4),
        ("1 / 0", "does not import: ZeroDivisionError", 60),
        ("class Mine: pass", "has no 'name'", 60),
        ("class Mine:\n name = '<b>\\n'\n supports = trace = None", "has the name", 60),
        ("class Mine:\n name = 3\n supports = trace = None", "has the name 3", 60),
    ],
)
def test_an_adapter_that_does_not_load_is_one_line(tmp_path, text, said, seconds):
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(AdapterError, match=r"^[^\n]*$") as error:
        adapter_infos((f"{path}:Mine",), "cpu", Limits(seconds, 4096), 1)
    assert said in str(error.value)


def test_divergences_that_cannot_be_measured_end_the_campaign():
    with pytest.raises(CampaignError, match=r"^the divergences cannot be measured: gone$"):
        raise_without_divergences(None, 0, Failure(Verdict.CRASHED, "gone"))


# --- the same numbers however they are made


def test_one_seed_gives_the_same_bytes_in_any_number_of_workers(in_one, tmp_path):
    again = measured(tmp_path, in_one.request, 3)
    assert aside_from_time(again) == aside_from_time(in_one.found)
    assert len(again["cells"]) == len(SOME) * len(in_one.request.combinations)
    assert {record["verdict"] for record in again["cells"] + again["training"]} == {"holds"}


# --- killed, and gone on with


def test_what_is_gone_on_with_gives_the_same_bytes(in_one, tmp_path):
    lines, told = in_one.journal.splitlines(keepends=True), []
    (tmp_path / JOURNAL).write_text("".join([*lines[:4], lines[5], lines[4][:50]]))
    again = measured(tmp_path, in_one.request, 2, tell=told.append)
    assert aside_from_time(again) == aside_from_time(in_one.found)
    assert "is torn and dropped" in told[0]
    assert "4 finished before" in told[1]


def test_another_campaign_begins_anew_and_says_why(tmp_path):
    measured(tmp_path, request("numpy"))
    told = []
    measured(tmp_path, request("numpy", dtypes=("float64",)), tell=told.append)
    (notice,) = told
    assert "other combinations, dtypes: begun anew" in notice
    assert {key[1] for key in keys_in(tmp_path / JOURNAL) if len(key) > 1} == {"float64"}


def test_a_file_of_somebody_is_no_journal_and_stays(tmp_path):
    (tmp_path / JOURNAL).write_text("dear diary\n")
    with pytest.raises(ResultsError, match="line 1 is unreadable"):
        measured(tmp_path, request("numpy"))
    assert (tmp_path / JOURNAL).read_text() == "dear diary\n"


def test_a_full_disk_is_one_line_and_ends_the_workers(tmp_path, monkeypatch):
    def full(path, record):
        raise ResultsError(f"journal {str(path)!r} cannot be written: No space left on device")

    monkeypatch.setattr(journal, "append", full)
    with pytest.raises(ResultsError, match=r"^journal [^\n]* cannot be written: No space left on device$"):
        measured(tmp_path, request("numpy"))


# --- shares


def test_every_job_is_in_one_share():
    names = {"numpy": "numpy"}
    of = request("numpy", combinations=SOME, dtypes=("float32", "float64"), training=True)
    alone = [job.keys for job in keyed_jobs(of, names)]
    shared = [[job.keys for job in keyed_jobs(of._replace(share=Share(k, 3)), names)] for k in (1, 2, 3)]
    assert [shared[i % 3][i // 3] for i in range(len(alone))] == alone


@pytest.mark.parametrize("named", ["path", "module"])
def test_an_adapter_that_is_changed_is_measured_anew(named, tmp_path, monkeypatch):
    file = tmp_path / "own_engine.py"
    spec = f"{file}:Own" if named == "path" else "own_engine:Own"
    monkeypatch.syspath_prepend(tmp_path)
    digests = []
    for text in ("class Own: pass\n", "class Own: pass\n", "class Own: name = 'own'\n"):
        file.write_text(text, encoding="utf-8")
        digests.append(journal_header(request()._replace(combinations={spec: {"float32": SOME}}))["source"])
    assert digests[0] == digests[1] != digests[2]
