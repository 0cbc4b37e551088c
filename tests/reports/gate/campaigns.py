"""Campaigns in which everything holds, changes that the gate must notice, and waivers, for the tests of the gate."""

import copy
from datetime import date, timedelta

import numpy as np

from reports.gate import baseline, gate, waivers
from tests.reports import samples

TODAY = date(2026, 11, 26)

CELL = "torch-eager/cpu/float32/tanh/sigmoid/binary_cross_entropy"

KINK = samples.divergence("relu-at-0") | {
    "id": "relu/derivative/float32/0.0",
    "function": "relu",
    "what": "derivative",
    "dtype": "float32",
    "kink": True,
    "engines": {"torch-eager": "0.0", "jax-jit": "0.0", "numpy": "not there"},
    "status": {"torch-eager": "convention", "jax-jit": "convention", "numpy": "not there"},
}


def campaign():
    """Results of a campaign in which everything holds, with a kink."""
    found = samples.sample()
    found["divergences"] = [copy.deepcopy(KINK)]
    return found


def cell_of(found, name=CELL):
    (cell,) = [cell for cell in found["cells"] if cell["id"] == name]
    return cell


def judged(now, before=None, waived=(), today=TODAY):
    """The outcome of the gate for results, held to others."""
    records = [*now["cells"], *now["training"]]
    return gate.judged(baseline.of(before or campaign()), baseline.of(now), records, waived, today)


def waiver(**changes):
    about = {
        "cells": "torch-eager/cpu/float32/*",
        "equation": "14",
        "ceiling": 2.0,
        "reason": "a kernel that rounds twice",
        "link": "https://example.org/1",
        "expires": TODAY + timedelta(days=30),
    }
    return waivers.Waiver(**about | changes)


def upgraded():
    """Two campaigns, the second after an upgrade that broke (14) of one cell, and the cell that broke."""
    before = samples.full()
    now = copy.deepcopy(before)
    now["environment"]["versions"]["torch"] = "2.14.0"
    now["times"]["seconds"]["torch-eager"]["engine"] += 100.0
    cell = next(cell for cell in now["cells"] if cell["verdict"] == "holds")
    samples.spoil(cell, "14", 2, 1.7)
    return before, now, cell["id"]


# --- changes of a campaign, in place


def breaks(found):
    samples.spoil(cell_of(found), "14", 2, 1.7)


def is_explained_otherwise(found):
    breaks(found)
    cell_of(found)["explained"] = "tanh/derivative/float32/0.0"


def crashes(found):
    samples.leave_out(cell_of(found), "it hangs")
    cell_of(found)["verdict"] = "timed-out"


def is_skipped(found):
    samples.leave_out(cell_of(found), "no such function")


def vanishes(found):
    found["cells"].remove(cell_of(found))


def compares_less(found):
    cell_of(found)["elements"] -= 1


def rises(found):
    cell_of(found)["checked"]["14"][0] = 0.9


def is_new(found):
    found["cells"].append(samples.cell(np.random.default_rng(0), "mine", "float32", "tanh", "tanh", "huber"))


def takes_another_side(found):
    found["divergences"][0]["engines"]["torch-eager"] = "1.0"


def loses_a_kink(found):
    found["divergences"] = []


def a_run_breaks(found):
    samples.spoil(found["training"][0], "2a", 1, 4.0)


TOML = """
[[waiver]]
cells = "torch-eager/cpu/float32/*"
equation = "14"
ceiling = 2.0
reason = "a kernel that rounds twice"
link = "https://example.org/1"
expires = 2026-12-26
"""
