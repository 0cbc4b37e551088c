"""What a person sees of a campaign in the terminal: the summary table, and what breaks."""

from rich import box
from rich.markup import escape
from rich.table import Table

from reports.campaign.ledger import Cause
from reports.campaign.standing import severity
from reports.campaign.summary import CampaignSummary
from reports.results.files import number
from reports.results.records import Cell, FindingRecord
from reports.results.verdicts import Verdict
from reports.text.wording import clipped, counted, ratio_text

LINES = 40
"""How many lines the breaks take at most."""


# --- a campaign


def summary_table(summary: CampaignSummary) -> Table:
    """A row for each engine and dtype: how its cells stand, numbers compared, worst ratio and where, seconds.

    What breaks where a listed divergence explains it has a column of its own, and is not the worst ratio.
    """
    any_listed = summary.counts[Verdict.EXPLAINED] > 0
    table = Table(
        title="worst ratio = |observed − expected| / allowed; up to 1 holds",
        title_style="dim",
        box=box.SIMPLE,
        padding=(0, 0),
        caption="listed: breaks, where a listed divergence explains it" if any_listed else None,
        caption_style="dim",
    )
    for heading in ("engine", "dtype"):
        table.add_column(heading, no_wrap=True)
    for heading in ("holds", "breaks", "listed", "not run", "elements", "worst", "in", "seconds"):
        table.add_column(heading, justify="right", no_wrap=True)
    for column in summary.columns:
        equation, check = column.worst or ("", None)
        table.add_row(
            escape(column.engine),
            escape(column.dtype),
            f"{column.counts[Verdict.HOLDS]:,}",
            f"{column.counts[Verdict.BREAKS]:,}",
            f"{column.counts[Verdict.EXPLAINED]:,}",
            f"{column.counts[Verdict.NOT_RUN]:,}",
            in_millions(column.elements),
            ratio_text(check.ratio) if check else "–",
            f"({equation})" if check else "–",
            f"{column.seconds:.0f}",
            style="bold red" if column.counts[Verdict.BREAKS] else None,
        )
    return table


def in_millions(n: int) -> str:
    """2,345,678 and 123.4 M."""
    return f"{n:,}" if n < 10_000_000 else f"{n / 1e6:,.1f} M"


def break_lines(summary: CampaignSummary) -> list[str]:
    """A line for each cause of breaks that no listed divergence explains: one cell of it, and how many more."""
    causes = summary.breaks
    shown = causes if len(causes) <= LINES else causes[: LINES - 1]
    lines = [cause_line(cause) for cause in shown]
    if rest := causes[len(shown) :]:
        lines.append(f"… and {counted(len(rest), 'more cause')} of {counted(sum(c.size for c in rest), 'break')}")
    return lines


def cause_line(cause: Cause) -> str:
    """The finding to look at, or the reason, of a cell, and how many others break in the same equation."""
    first = cause.lead
    reason = clipped(first.item.record["reason"] or "nothing was compared")
    more = f" … and {counted(len(cause.rest), 'more cell')}" if cause.rest else ""
    return f"{first.item.record['id']}: {finding_text(first.finding) if first.finding else reason}{more}"


# --- one cell


def cell_lines(cell: Cell) -> list[str]:
    """How one cell stands, with its reason, and a line for each finding that does not hold."""
    line = f"{cell['engine']}: {cell['verdict']}"
    if cell["checked"]:
        equation, (ratio, *_) = max(cell["checked"].items(), key=lambda item: severity(number(item[1][0])))
        line += f", {counted(cell['elements'], 'number')}, worst ratio {ratio_text(number(ratio))} in ({equation})"
    if cell["reason"]:
        line += f": {clipped(cell['reason'])}"
    return [line, *(f"  {finding_text(finding)}" for finding in cell["findings"])]


def finding_text(finding: FindingRecord) -> str:
    """A finding in a sentence, and its diagnosis in another."""
    diagnosis = f"; {finding['diagnosis']}" if finding.get("diagnosis") else ""
    return f"{comparison(finding)}{diagnosis}"


def comparison(finding: FindingRecord) -> str:
    """What was observed of an equation and layer, and what it should be."""
    where = f"({finding['equation']}) in layer {finding['layer']}"
    worst = finding["worst"]
    if worst is None:
        if not finding["elements"]:
            return f"{where} compared nothing"
        return f"{where}: {number(finding['ratio']):.3g} times what is allowed"
    return (
        f"{where} at {worst['index']} of case {worst['case']} is {worst['observed']!r}, but should be "
        f"{worst['expected']!r} ± {number(worst['allowed']):.2g}: {number(finding['ratio']):.3g} times what is allowed"
    )
