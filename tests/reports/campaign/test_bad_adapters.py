"""Bad adapters cost the cells where they are bad, and nothing else."""

import pytest

from reports.running.workers import Limits
from tests.reports.campaign import bad_adapters
from tests.reports.campaign.campaigns import measured, request


@pytest.fixture(scope="module")
def beside_bad_ones(tmp_path_factory):
    """The cells of every bad adapter by its name: that with tanh, and that with relu."""
    names = tuple(bad_adapters.BAD)
    of = request(*map(bad_adapters.spec, names), limits=Limits(10, 700))
    found = measured(tmp_path_factory.mktemp("bad"), of, 2, names={bad_adapters.spec(n): n for n in names})
    return {name: found["cells"][2 * i : 2 * i + 2] for i, name in enumerate(names)}


def test_there_are_many_bad_adapters():
    assert sum(verdict != "holds" for verdict, _ in bad_adapters.VERDICTS.values()) >= 25


@pytest.mark.parametrize("name", bad_adapters.BAD)
def test_a_bad_adapter_costs_the_cell_where_it_is_bad_and_nothing_else(beside_bad_ones, name):
    (verdict, said), (bad, good) = bad_adapters.VERDICTS[name], beside_bad_ones[name]
    assert bad["verdict"] == verdict, f"{bad['verdict']}: {bad['reason']}"
    assert (bad["reason"] is None) if said is None else (said in bad["reason"])
    assert "\n" not in str(bad["reason"])
    assert bad["hidden"] == "tanh"
    assert (good["hidden"], good["verdict"], good["reason"]) == ("relu", "holds", None)
    assert good["elements"] > 0
    assert bad.keys() == good.keys()
