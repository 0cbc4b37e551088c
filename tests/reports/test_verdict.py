"""The verdict and the exit status of results."""

import pytest

from reports import verdict
from tests.reports import samples


def item(verdict):
    """A cell or a training run; one that is "listed" breaks where a listed divergence explains it."""
    ratio = 3.0 if verdict in ("breaks", "listed", "claimed") else 0.5
    finding = {"equation": "a", "layer": 1, "ratio": ratio, "elements": 4, "worst": None}
    return {
        "engine": "numpy",
        "dtype": "float32",
        "verdict": "breaks" if ratio > 1 else verdict,
        "checked": {} if verdict == "not-run" else {"a": [ratio, 1, 4]},
        "findings": [finding] if ratio > 1 else [],
        "explained": {"listed": "gelu/value", "claimed": "no such row"}.get(verdict),
    }


@pytest.mark.parametrize(
    ("verdicts", "training", "expected"),
    [
        (("holds",), (), 0),
        (("holds", "not-run"), (), 0),
        (("holds", "holds"), ("holds",), 0),
        ((), ("holds",), 0),
        (("holds", "breaks"), (), 1),
        (("holds",), ("breaks",), 1),
        (("breaks",), ("holds",), 1),
        (("holds", "listed"), (), 0),
        (("holds",), ("listed",), 0),
        (("listed",), ("holds",), 0),
        (("listed",), ("not-run",), 1),
        (("holds", "claimed"), (), 1),
        (("holds", "listed", "breaks"), (), 1),
        (("holds", "listed"), ("breaks",), 1),
        (("not-run",), (), 1),
        (("not-run",), ("not-run",), 1),
        ((), (), 1),
    ],
    ids=str,
)
def test_status(verdicts, training, expected):
    found = {
        "cells": [item(verdict) for verdict in verdicts],
        "training": [item(verdict) for verdict in training],
        "divergences": [{"id": "gelu/value"}],
    }
    assert verdict.summarise(found).status == expected, (
        f"the status is {verdict.summarise(found).status}, but should be {expected}"
    )


@pytest.mark.parametrize(
    ("verdicts", "proof", "expected"),
    [
        ((), samples.proved(), 0),
        (("holds",), samples.proved(), 0),
        (("holds", "listed"), samples.proved(), 0),
        (("not-run",), samples.proved(), 1),
        (("holds", "breaks"), samples.proved(), 1),
        (("holds",), samples.with_cell(samples.miss), 1),
        ((), samples.with_cell(samples.miss), 1),
        ((), samples.proved(alarms=samples.honest() | {"alarms": [samples.alarm()]}), 1),
        ((), samples.proved(matrix=[]), 1),
        ((), samples.without("matrix"), 0),
        ((), {"smallest": [samples.limit()]}, 1),
        (("holds",), {"smallest": [samples.limit()]}, 0),
        ((), {"request": {}}, 1),
        ((), {}, 1),
        (("holds",), {}, 0),
        (("holds",), None, 0),
    ],
)
def test_status_with_seeded_faults(verdicts, proof, expected):
    found = {"cells": [item(verdict) for verdict in verdicts], "training": [], "faults": proof}
    found["divergences"] = [{"id": "gelu/value"}]
    assert verdict.summarise(found).status == expected, (
        f"the status is {verdict.summarise(found).status}, but should be {expected}"
    )


def test_the_verdict_with_seeded_faults():
    campaign = samples.small()
    alone, missed = verdict.summarise(campaign).sentence, samples.with_cell(samples.miss)
    assert verdict.summarise(campaign | {"faults": samples.proved()}).sentence == alone
    doubt = "The audit itself falls short, see what it catches. "
    assert verdict.summarise(campaign | {"faults": missed}).sentence == f"{doubt}{alone}"
    assert verdict.summarise(samples.alone(missed)).sentence.startswith("219 of 220 draws of 3 seeded faults")
