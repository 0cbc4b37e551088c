"""A campaign that several tests look at."""

import pytest

from tests.reports.campaign.campaigns import SOME, measured, request


@pytest.fixture(scope="session")
def in_one(tmp_path_factory):
    """A campaign in one worker."""
    return measured(
        tmp_path_factory.mktemp("one"), request("numpy", "torch-eager", combinations=SOME, training=True), 1
    )
