"""The top of the page: the verdict in a word, the key figures, the command that draws the same again."""

import pytest

from reports.campaign.summary import summarise
from reports.page.report import render
from reports.page.top import key_figures, replay, started
from reports.results import files
from tests.reports.page.reading import SITUATIONS, everything_wrong, read
from tests.reports.samples import (
    Results,
    alone,
    full,
    full_and_broken,
    honest,
    leave_out,
    not_run,
    proved,
    sample,
    small,
    spoil,
    without,
)


@pytest.mark.parametrize(
    ("results", "kind", "text"),
    [
        (sample(), "holds", "✓ holds"),
        (full(), "holds", "✓ holds, but for listed divergences"),
        (full_and_broken(), "breaks", "✕ breaks"),
        (not_run(sample()), "not-run", "– nothing audited"),
        (SITUATIONS["nothing but explained breaks"](), "not-run", "≠ nothing holds"),
        (SITUATIONS["seeded faults"](), "holds", "✓ holds"),
        (SITUATIONS["seeded faults alone"](), "holds", "✓ holds"),
        (SITUATIONS["seeded faults missed"](), "breaks", "✕ the audit falls short"),
        (SITUATIONS["seeded faults missed, alone"](), "breaks", "✕ the audit falls short"),
        (SITUATIONS["seeded faults and what breaks"](), "breaks", "✕ breaks"),
        (alone({**proved(matrix=[]), "alarms": honest() | {"cases": 0}}), "breaks", "✕ the audit falls short"),
        (alone({k: v for k, v in without("matrix").items() if k != "alarms"}), "not-run", "– nothing audited"),
        (not_run(sample()) | {"faults": proved()}, "not-run", "– nothing audited"),
    ],
)
def test_the_seal(results: Results, kind: str, text: str) -> None:
    reader = read(results)
    assert ("span", {"class": f"seal {kind}"}) in reader.seen
    assert f"{text} · backprop-parity" in reader.text


@pytest.mark.parametrize("results", [not_run(sample()), small(0), alone(everything_wrong())])
def test_nothing_run_has_no_tick(results: Results) -> None:
    assert "✓" not in render(results)


def test_key_figures() -> None:
    results = full()
    leave_out(results["cells"][10], "no tanh")
    campaign = summarise(results)
    figures = {f.label: f for f in key_figures(results, campaign)}
    assert figures["cells hold"].value == "1,004 of 1,008"
    assert figures["cells hold"].remark == "3 break as listed, 1 not run"
    elements = sum(check.elements for item in campaign.items for check in item.checks.values())
    assert figures["numbers compared"].value == f"{elements:,}"
    assert files.number(figures["worst ratio"].value) <= 1, "the worst ratio is one that a divergence explains"
    assert figures["time"].value == "93 s"
    spoil(results["cells"][20], "14", 2, "NaN")
    figures = {f.label: f for f in key_figures(results, summarise(results))}
    worst = figures["worst ratio"]
    assert (worst.value, worst.remark) == ("NaN", "equation (14), torch-eager float32")


def test_the_replay_is_the_request() -> None:
    results = sample()
    results["request"] |= {"seed": 11, "cases": 3}
    assert "python -m reports audit --seed 11 --cases 3" in read(results).text


@pytest.mark.parametrize(("design", "option"), [("full", " --full"), ("quick", " --quick"), ("covering", "")])
def test_the_replay_has_the_size_of_the_audit(design: str, option: str) -> None:
    results = sample()
    results["request"]["design"] = design
    assert replay(results).startswith(f"python -m reports audit{option} --seed")


def test_the_start_is_a_date_and_a_time_where_it_is_one() -> None:
    results = sample()
    assert started(results) == "2026-11-24 07:00 UTC"
    results["environment"]["started"] = "yesterday"
    assert started(results) == "yesterday"
