"""Whole campaigns: bad adapters cost their own cells, a killed campaign goes on, shares make the whole."""

import pytest

from adapters.contract import AdapterError
from reference.cases import Combination
from reports.campaign.campaign import JOURNAL, asked, no_divergences, tasks
from reports.campaign.cells import groups, without_record
from reports.campaign.shares import Share, merged
from reports.results import environment, files, journal
from reports.results.files import ResultsError
from reports.running.workers import CampaignError, Failure, Limits
from tests.reports.campaign.campaigns import RELU, SEED, TANH, keys_in, measured, request


def aside_from_time(found):
    """The text of what was found."""
    cells, runs = (
        [{key: value for key, value in record.items() if key not in ("seconds", "spent")} for record in found[part]]
        for part in ("cells", "training")
    )
    return files.dump({"cells": cells, "training": runs, "divergences": found["divergences"]})


# --- adapters that cannot be had


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import os; os._exit(3)", "cannot be had: its process ended with exit status 3"),
        ("while True: pass", "cannot be had: it takes more than 4 s"),
        ("1 / 0", "does not import: ZeroDivisionError"),
        ("class Mine: pass", "has no 'name'"),
        ("class Mine:\n name = '<b>\\n'\n supports = trace = None", "has the name"),
        ("class Mine:\n name = 3\n supports = trace = None", "has the name 3"),
    ],
)
def test_an_adapter_that_cannot_be_had_is_one_line(tmp_path, text, said):
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(AdapterError, match=r"^[^\n]*$") as error:
        asked((f"{path}:Mine",), "cpu", Limits(4, 4096), 1)
    assert said in str(error.value)


def test_divergences_that_cannot_be_measured_end_the_campaign():
    with pytest.raises(CampaignError, match=r"^the divergences cannot be measured: gone$"):
        no_divergences(None, 0, Failure("crashed", "gone"))


# --- the same numbers however they are made


SOME = (
    TANH,
    RELU,
    Combination("elu", "identity", "half_squared_error"),
    Combination("gelu", "log_softmax", "kullback_leibler"),
)


@pytest.fixture(scope="module")
def in_one(tmp_path_factory):
    """A campaign in one worker."""
    return measured(
        tmp_path_factory.mktemp("one"), request("numpy", "torch-eager", combinations=SOME, training=True), 1
    )


def test_one_seed_gives_the_same_bytes_in_any_number_of_workers(in_one, tmp_path):
    again = measured(tmp_path, request("numpy", "torch-eager", combinations=SOME, training=True), 3)
    assert aside_from_time(again) == aside_from_time(in_one)
    assert len(again["cells"]) == 8
    assert {record["verdict"] for record in again["cells"] + again["training"]} == {"holds"}


def in_results(found, share):
    about = environment.environment({"numpy": "cpu"}, SEED, "2026-01-02T03:04:05+00:00", 1.0)
    return {"schema": files.SCHEMA, "environment": about, "request": {"seed": SEED, "share": share}, **found}


def test_shares_put_together_give_the_same_bytes_in_any_order(in_one, tmp_path):
    shares = []
    for number in (1, 2, 3):
        of = request("numpy", "torch-eager", combinations=SOME, training=True, share=Share(number, 3))
        shares.append(in_results(measured(tmp_path / str(number), of), f"{number}/3"))
    assert all(share["cells"] for share in shares)
    together = merged([shares[1], shares[2], shares[0]])
    assert aside_from_time(together) == aside_from_time(in_one)
    assert together["request"]["share"] == "1/1"
    assert together["times"]["seconds"].keys() == in_one["times"]["seconds"].keys()


@pytest.mark.parametrize(
    ("shares", "said"),
    [
        (("1/3", "2/3"), "the shares are 1/3, 2/3, but should be 1/3, 2/3, 3/3"),
        (("1/2", "1/2"), "the shares are 1/2, 1/2, but should be 1/2, 2/2"),
        (("1/2", "2/3"), "the shares are 1/2, 2/3"),
    ],
)
def test_shares_that_are_not_all_there_once_are_refused(in_one, shares, said):
    with pytest.raises(ResultsError, match=f"^{said}"):
        merged([in_results(in_one, share) for share in shares])


def test_shares_measured_with_something_else_are_refused(in_one):
    one, other = in_results(in_one, "1/2"), in_results(in_one, "2/2")
    other["environment"]["versions"] = {"torch": "2.12.0"}
    with pytest.raises(ResultsError, match=r"a share has the versions \{'torch': '2.12.0'}"):
        merged([one, other])
    with pytest.raises(ResultsError, match="a share has the seed 7"):
        merged([one, {**in_results(in_one, "2/2"), "request": {"seed": 7, "share": "2/2"}}])


# --- killed, and gone on with


def test_what_is_gone_on_with_gives_the_same_bytes(in_one, tmp_path):
    of = request("numpy", "torch-eager", combinations=SOME, training=True)
    measured(tmp_path, of)
    lines, told = (tmp_path / JOURNAL).read_text().splitlines(keepends=True), []
    (tmp_path / JOURNAL).write_text("".join([*lines[:4], lines[5], lines[4][:50]]))
    again = measured(tmp_path, of, 2, tell=told.append)
    assert aside_from_time(again) == aside_from_time(in_one)
    assert "is torn and dropped" in told[0]
    assert "4 finished before" in told[1]


def test_another_campaign_begins_anew_and_says_why(tmp_path):
    measured(tmp_path, request("numpy"))
    told = []
    measured(tmp_path, request("numpy", dtypes=("float64",)), tell=told.append)
    (notice,) = told
    assert "other dtypes: begun anew" in notice
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


def test_every_task_is_in_one_share():
    names = {"numpy": "numpy"}
    of = request("numpy", combinations=SOME, dtypes=("float32", "float64"), training=True)
    alone = [task.keys for task in tasks(of, names)]
    shared = [[t.keys for t in tasks(of._replace(share=Share(k, 3)), names)] for k in (1, 2, 3)]
    assert [shared[i % 3][i // 3] for i in range(len(alone))] == alone


def test_a_cell_without_a_record_has_the_fields_of_one(in_one):
    group = next(groups("numpy", "numpy", "cpu", ("float32",), SOME, 1, 0, SEED))
    lost = without_record(group, 0, Failure("timed-out", "it takes more than 1 s"))
    lost.pop("spent")
    assert lost.keys() == in_one["cells"][0].keys()
    assert lost["id"] == in_one["cells"][0]["id"]
