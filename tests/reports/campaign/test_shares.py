"""Shares of a campaign, which put together make the whole."""

import pytest

from reports.campaign.shares import Share, merged
from reports.results import environment, files
from reports.results.files import ResultsError
from tests.reports.campaign.campaigns import SEED, aside_from_time, measured


def in_results(found, share):
    about = environment.environment({"numpy": "cpu"}, SEED, "2026-01-02T03:04:05+00:00", 1.0)
    return {"schema": files.SCHEMA, "environment": about, "request": {"seed": SEED, "share": share}, **found}


def test_shares_put_together_give_the_same_bytes_in_any_order(in_one, tmp_path):
    shares = []
    for number in (1, 2, 3):
        of = in_one.request._replace(share=Share(number, 3))
        shares.append(in_results(measured(tmp_path / str(number), of), f"{number}/3"))
    assert all(share["cells"] for share in shares)
    together = merged([shares[1], shares[2], shares[0]])
    assert aside_from_time(together) == aside_from_time(in_one.found)
    assert together["request"]["share"] == "1/1"
    assert together["times"]["seconds"].keys() == in_one.found["times"]["seconds"].keys()


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
        merged([in_results(in_one.found, share) for share in shares])


def test_shares_measured_with_something_else_are_refused(in_one):
    one, other = in_results(in_one.found, "1/2"), in_results(in_one.found, "2/2")
    other["environment"]["versions"] = {"torch": "2.12.0"}
    with pytest.raises(ResultsError, match=r"a share has the versions \{'torch': '2.12.0'}"):
        merged([one, other])
    with pytest.raises(ResultsError, match="a share has the seed 7"):
        merged([one, {**in_results(in_one.found, "2/2"), "request": {"seed": 7, "share": "2/2"}}])
