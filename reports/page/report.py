"""The report of a campaign as one HTML page."""

from pathlib import Path

from reports.campaign.ledger import in_common
from reports.faults.summary import share
from reports.page import faults, formulas, heatmaps, trajectories
from reports.page.accuracy import accuracy
from reports.page.divergences import STATUSES, answering, divergences
from reports.page.essentials import essentials
from reports.page.ledger import ledger
from reports.page.not_run import not_run
from reports.page.times import times
from reports.page.top import key_figures, replay, seal, started
from reports.page.training import training
from reports.results.files import number
from reports.results.schema import Results
from reports.text import places, wording
from reports.text.templates import pages
from reports.verdict import WholeSummary, summarise

SHOWN = 50
"""Causes of breaks, and reasons for not running, that are listed; of the others the page says how many there are."""

DTYPES = {"float32": "f32", "float64": "f64", "float16": "f16", "bfloat16": "bf16"}
"""Short heads of narrow columns."""


def render(results: Results, summary: WholeSummary | None = None) -> str:
    """The whole report as one HTML page, which loads nothing."""
    environment = pages(Path(__file__).parent)
    environment.filters |= {
        "ratio": wording.ratio_text,
        "value": wording.value_text,
        "small": wording.small_text,
        "share": wording.share_text,
        "count": "{:,}".format,
        "duration": wording.duration_text,
        "level": wording.level,
        "mathml": formulas.mathml,
        "words": wording.spaced,
        "equation": wording.equation_text,
        "listing": wording.listing,
    }
    environment.globals |= {
        "number": number,
        "element_text": wording.element_text,
        "dataset": wording.dataset,
        "counted": wording.counted,
        "share_of": share,
        "place_text": places.place_text,
    }
    return environment.get_template("report.html.j2").render(contents(results, summary or summarise(results)))


def contents(results: Results, summary: WholeSummary) -> dict[str, object]:
    """What the templates print: one object a chapter, which is empty or None where nothing of it was measured."""
    campaign = summary.campaign
    items, breaks = campaign.items, [b for cause in campaign.breaks for b in cause.breaks]
    apart = divergences(results, campaign.explained)
    tried, trained = faults.chapter(results.get("faults")), trajectories.chapter(results.get("trajectories"))
    alone = (tried.figures, tried.replay) if tried else (trained.figures, trained.replay) if trained else None
    figures, again = (key_figures(results, campaign), replay(results)) if items or not alone else alone
    return {
        "results": results,
        "verdict": summary.sentence,
        "seal": seal(items, tried, trained),
        "figures": figures,
        "chapter": tried,
        "trained": trained,
        "audited": bool(items),
        "broken": campaign.breaks,
        "in_common": in_common(breaks),
        "explained": campaign.explained,
        "essentials": essentials(apart, items),
        "shown": SHOWN,
        "ledger": ledger(items, campaign.ledger),
        "heads": DTYPES,
        "engines": heatmaps.engines(items),
        "design": heatmaps.DESIGNS.get(str(results["request"].get("design"))),
        "not_run": not_run(items),
        "divergences": {s: [d for d in apart if d.status == s] for s in dict.fromkeys(d.status for d in apart)},
        "statuses": STATUSES,
        "answering": answering(results),
        "explaining": {str(d.record["id"]): d for d in reversed(apart)},
        "accuracy": accuracy(results),
        "times": times(results),
        "training": training(results, items),
        "started": started(results),
        "replay": again,
    }
