"""That the covering design finds every seeded fault that a campaign of all combinations finds.

Each fault is active only in the networks that have its function: a fault of tanh' where tanh is a hidden activation,
one of a loss where its own output activation has that loss. All cells of the covering design are cells of a full
campaign, with the same Cases; so of a fault that the covering design finds nothing more is to be asked.
"""

import pytest

from adapters.faults.catalogue import FAULTS
from adapters.faults.networks import NETWORKS
from adapters.faults.planting import planted
from reports.campaign.cells import draw_cases, run_cell
from reports.campaign.designs import DESIGNS, NO_EXPERIMENTS
from reports.results.verdicts import RIGHT
from tests.exhaustive import quick

SEED, FURTHER = 2026, 3


def active(fault, names):
    """Whether a network has what a fault is in."""
    own = NETWORKS[fault.network].combination
    if fault.site in ("dL", "8"):
        return (names.output, names.loss) == (own.output, own.loss)
    if fault.site == "f_o'" or (fault.site == "a" and fault.layer == 3):
        return names.output == own.output
    return fault.site in ("z", "1", "δW", "dW", "db") or names.hidden == own.hidden


def finds(design, engine, fault):
    """Whether a design finds a fault in some format, the finest first."""
    extent, adapter = DESIGNS[design].extent(engine), planted(engine, fault)
    for dtype in ("float64", "float32", "float16", "bfloat16"):
        having = [names for names in extent.of_dtype(dtype) if active(fault, names)]
        assert having, f"{fault.name} is in no cell of {engine} {dtype}"
        if any(breaks(adapter, dtype, names, extent.depth(names).experiments) for names in having):
            return True
    return False


def breaks(adapter, dtype, names, thorough):
    """Whether a cell shows what is planted, in the Cases that the campaign draws for it."""
    cases = draw_cases(SEED, names, dtype, 1 + (FURTHER if thorough else 0))
    cell = run_cell(adapter, "cpu", dtype, names, cases, SEED, NO_EXPERIMENTS)
    return cell["verdict"] not in RIGHT


BEYOND_A_CAMPAIGN = {"infinity-clamped", "nan-swallowed", "zero-past-first-page"}
"""They need what no Case of a campaign has: an infinity, a NaN, a layer of more than 16 units."""


@pytest.mark.parametrize("engine", quick(["numpy", "torch-eager", "jax-jit"], 1))
def test_the_covering_design_finds_the_seeded_faults(engine):
    asked = {name: fault for name, fault in FAULTS.items() if name not in BEYOND_A_CAMPAIGN}
    assert not {name for name, fault in asked.items() if not finds("covering", engine, fault)}


@pytest.mark.exhaustive
def test_what_it_does_not_find_all_combinations_do_not_find():
    assert not {name for name in BEYOND_A_CAMPAIGN if finds("full", "numpy", FAULTS[name])}
