"""Workers: results in the order of the work, one thread each, and one line where something is missing.

What an adapter may do to its worker is in `tests.reports.campaign.test_bad_adapters`.
"""

import os
from collections.abc import Iterator

import pytest

from reports.results.verdicts import Verdict
from reports.running.workers import SETTINGS, UNLIMITED, CampaignError, Job, Limits, each, resident, run


def squared(n):
    return n * n


def ends_its_process(status):
    os._exit(status)


def raises(message):
    raise ValueError(message)


def settings_in(names):
    """The environment variables of this process, by their names."""
    return {name: os.environ.get(name) for name in names}


def counting(to, start) -> Iterator[int]:
    """The numbers from an item on."""
    yield from range(start, to)


def ending_after(to, start) -> Iterator[int]:
    """The same, but the process ends after its last number."""
    yield from range(start, to)
    os._exit(3)


def raising_after(to, start) -> Iterator[int]:
    """The same, but it raises after its last number."""
    yield from range(start, to)
    raise ValueError("too late")


def falling_silent(to, start) -> Iterator[int]:
    """One number less than there should be."""
    yield from range(start, to - 1)


def failed(argument, item, failure):
    return failure


def job(work, count, limits=UNLIMITED):
    return Job(work, count, count, failed, limits)


# --- each


def test_results_come_in_the_order_of_the_arguments_and_are_told_as_they_come():
    told = []
    assert each(squared, (3, 1, 2), 2, told.append) == [9, 1, 4]
    assert sorted(told) == [1, 4, 9]


def test_nothing_to_do_is_done():
    assert each(squared, (), 2) == []


def test_a_worker_that_dies_is_one_line():
    with pytest.raises(CampaignError, match=r"^[^\n]*ends_its_process gave no result: [^\n]* exit status 3$"):
        each(ends_its_process, (3,), 1)


def test_work_that_raises_is_one_line():
    with pytest.raises(CampaignError, match=r"^[^\n]*raises gave no result: ValueError: no such thing$"):
        each(raises, ("no such\nthing",), 1)


def test_the_environment_is_as_before_and_workers_have_one_thread(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    before = dict(os.environ)
    (seen,) = each(settings_in, (tuple(SETTINGS),), 1)
    assert seen == SETTINGS
    assert {SETTINGS[name] for name in SETTINGS if name.endswith("_NUM_THREADS")} == {"1"}
    assert dict(os.environ) == before


# --- jobs


def test_records_of_every_job_come_in_its_own_order():
    told = []
    assert run([job(counting, 3), job(counting, 0), job(counting, 2)], 2, lambda *done: told.append(done)) == [
        [0, 1, 2],
        [],
        [0, 1],
    ]
    assert sorted(told) == [(0, 0, 0), (0, 1, 1), (0, 2, 2), (2, 0, 0), (2, 1, 1)]


@pytest.mark.parametrize("work", [ending_after, raising_after])
def test_a_failure_after_the_last_record_loses_nothing(work):
    assert run([job(work, 2), job(counting, 2)], 1) == [[0, 1], [0, 1]]


def test_a_record_that_does_not_come_is_a_failure():
    (records,) = run([job(falling_silent, 2)], 1)
    assert records == [0, (Verdict.CRASHED, "1 of 2 items came")]


def hanging(to, start) -> Iterator[int]:
    """Nothing, for ever, for the first item alone."""
    while not start:
        pass
    yield from range(start, to)


def test_an_item_that_takes_too_long_costs_itself_alone():
    (records,) = run([job(hanging, 3, Limits(0.5, 4096))], 1)
    assert records == [(Verdict.TIMED_OUT, "it takes more than 0.5 s"), 1, 2]


# --- memory


def test_a_process_holds_memory_and_one_that_is_gone_holds_none():
    assert resident(os.getpid()) > 1
    assert resident(None) == 0
