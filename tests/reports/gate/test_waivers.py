"""Waivers: what they let pass, what they do not, and the file that they are read from."""

import re
from datetime import date, timedelta

import pytest

from reports.gate import text as gate_text
from reports.gate import waivers
from reports.results.files import ResultsError
from tests.reports import samples
from tests.reports.gate.campaigns import (
    TODAY,
    TOML,
    breaks,
    campaign,
    cell_of,
    compares_less,
    crashes,
    is_skipped,
    judged,
    takes_another_side,
    vanishes,
    waiver,
)


def test_a_waiver_lets_a_break_pass():
    found = campaign()
    breaks(found)
    outcome = judged(found, waived=[waiver()])
    assert outcome.passes
    assert [each.waived for each in outcome.differences] == [True]
    assert "1 waived" in gate_text.sentence(outcome)


@pytest.mark.parametrize(
    "changes",
    [{"cells": "jax-jit/*"}, {"equation": "9"}, {"ceiling": 1.6}, {"expires": TODAY - timedelta(days=1)}],
    ids=["of other cells", "of another equation", "beneath the ratio", "past its date"],
)
def test_a_waiver_lets_nothing_else_pass(changes):
    found = campaign()
    breaks(found)
    outcome = judged(found, waived=[waiver(**changes)])
    assert not outcome.passes
    assert [each.waived for each in outcome.differences] == [False]


def test_a_waiver_of_one_equation_does_not_cover_another_that_breaks_too():
    found = campaign()
    breaks(found)
    samples.spoil(cell_of(found), "9", 3, 1.2)
    assert not judged(found, waived=[waiver()]).passes
    assert judged(found, waived=[waiver(), waiver(equation="9")]).passes


def test_nan_is_above_every_ceiling():
    found = campaign()
    samples.spoil(cell_of(found), "14", 2, "NaN")
    assert not judged(found, waived=[waiver(ceiling=1e300)]).passes


@pytest.mark.parametrize("plant", [vanishes, compares_less, takes_another_side, crashes, is_skipped])
def test_no_waiver_covers_what_is_no_break(plant):
    found = campaign()
    plant(found)
    every = [waiver(cells="*", equation=equation, ceiling=1e300) for equation in ("14", "7a", "9")]
    assert not judged(found, waived=every).passes


def test_a_waiver_past_its_date_fails_whatever_holds():
    outcome = judged(campaign(), waived=[waiver(expires=TODAY - timedelta(days=1))])
    assert not outcome.passes
    assert "1 waiver past the date" in gate_text.sentence(outcome)
    assert any("expired on 2026-11-25" in line for line in gate_text.notices(outcome))
    assert judged(campaign(), waived=[waiver(expires=TODAY)]).passes


def test_a_waiver_that_no_longer_applies_is_named():
    outcome = judged(campaign(), waived=[waiver()])
    assert outcome.passes
    assert outcome.idle == (waiver(),)
    (line,) = gate_text.notices(outcome)
    assert "no longer applies" in line


# --- the file


def test_waivers_are_read(tmp_path):
    path = tmp_path / "waivers.toml"
    path.write_text(TOML, encoding="utf-8")
    assert waivers.read(path) == [waiver()]
    assert waivers.read(tmp_path / "none.toml") == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("ceiling = 2.0\n", "", "ceiling"),
        ("ceiling = 2.0", "ceiling = 1", "above 1"),
        ("ceiling = 2.0", "ceiling = inf", "above 1"),
        ("ceiling = 2.0", "ceiling = true", "above 1"),
        ("2026-12-26", '"2026-12-26"', "date"),
        ("2026-12-26", "2026-12-26T00:00:00", "date"),
        ('"https://example.org/1"', '"see mail"', "https://"),
        ('"a kernel that rounds twice"', '" "', "reason"),
        ("equation", "equations", "equation"),
        ("[[waiver]]", "[[waivers]]", "waivers"),
        ("[[waiver]]", "[waiver]", "[[waiver]]"),
        ("[[waiver]]", "[[waiver", "read"),
        ("cells = ", "owner = 1\ncells = ", "owner"),
    ],
)
def test_a_waiver_that_is_not_understood_is_refused(old, new, message, tmp_path):
    path = tmp_path / "waivers.toml"
    assert old in TOML
    path.write_text(TOML.replace(old, new), encoding="utf-8")
    with pytest.raises(ResultsError, match=re.escape(message)) as error:
        waivers.read(path)
    assert "\n" not in str(error.value).split(": ")[0]


def test_the_waivers_of_this_project_are_understood_and_none_has_expired():
    assert not waivers.expired(waivers.read(waivers.PATH), date.today())
