"""A campaign that several tests look at."""

from typing import Any, NamedTuple

import pytest

from reports.campaign.campaign import JOURNAL, CampaignRequest
from tests.reports.campaign.campaigns import SOME, measured, request


class InOne(NamedTuple):
    """A request, what one worker measured of it, and the journal's text."""

    request: CampaignRequest
    found: Any
    journal: str


@pytest.fixture(
    scope="session",
    params=[("numpy",), pytest.param(("numpy", "torch-eager"), marks=pytest.mark.exhaustive)],
    ids="+".join,
)
def in_one(tmp_path_factory, request):
    """A campaign in one worker."""
    folder, of = tmp_path_factory.mktemp("one"), asked(request.param)
    found = measured(folder, of, 1)
    return InOne(of, found, (folder / JOURNAL).read_text())


def asked(specs):
    """Some cells of these engines, and their training runs."""
    return request(*specs, combinations=SOME, training=True)
