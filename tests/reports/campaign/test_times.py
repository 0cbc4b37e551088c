"""How the time of a campaign divides."""

import pytest

from reports.campaign.times import times


def timed_cell(engine, verdict="holds", compile=0.0, programs=0, **parts):
    spent = {"compile": compile, "programs": programs, "engine": 1.0, "audit": 0.5, "experiments": 0.25, **parts}
    return {"engine": engine, "verdict": verdict, "spent": spent}


def test_times_are_summed_by_engine_and_taken_from_the_cells():
    cells = [timed_cell("numpy"), timed_cell("jax-jit", compile=3.0, programs=2), timed_cell("numpy", audit=1.5)]
    assert times(cells, 2) == {
        "seconds": {
            "numpy": {"compile": 0.0, "engine": 2.0, "audit": 2.0, "experiments": 0.5},
            "jax-jit": {"compile": 3.0, "engine": 1.0, "audit": 0.5, "experiments": 0.25},
        },
        "workers": 2,
        "without_reuse": None,
    }
    assert all("spent" not in cell for cell in cells)


def test_without_reuse_is_seconds_a_program_times_cells():
    """jax-whole: 12 s for 8 programs; jax-jit: 3 cells that ran, and 5 programs for them."""
    cells = [
        timed_cell("jax-whole", compile=9.0, programs=6),
        timed_cell("jax-whole", compile=3.0, programs=2),
        *(timed_cell("jax-jit", compile=1.0, programs=n) for n in (5, 0, 0)),
        timed_cell("jax-jit", verdict="not-run"),
        timed_cell("torch-eager"),
    ]
    found = times(cells, 1)["without_reuse"]
    assert (found["seconds"], found["programs"], found["compiled"]) == (4.5, 3, 5)
    for part in ("1.500 s", "8 measured"):
        assert part in found["how"], f"how is {found['how']!r}, but should say {part!r}"


@pytest.mark.parametrize(
    "cells",
    [
        [timed_cell("jax-jit", compile=1.0, programs=5)],
        [timed_cell("jax-whole", compile=1.0, programs=5)],
        [timed_cell("jax-whole", "not-run"), timed_cell("jax-jit", compile=1.0, programs=5)],
        [timed_cell("jax-whole", compile=1.0, programs=5), timed_cell("jax-jit", "not-run")],
        [],
    ],
    ids=["no whole", "no jit", "whole not run", "jit not run", "nothing"],
)
def test_without_reuse_is_left_out_where_it_was_not_measured(cells):
    assert times(cells, 1)["without_reuse"] is None
