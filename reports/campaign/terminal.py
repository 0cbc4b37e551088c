"""What a person sees in the terminal: progress, the summary table, the breaks."""

from typing import Any

from rich import box
from rich.markup import escape
from rich.table import Table

from reports.campaign.ledger import Cause, causes
from reports.campaign.standing import Check, Item, Results, columns, items, severity
from reports.results.files import number
from reports.results.verdicts import BREAKS, EXPLAINED, HOLDS, NOT_RUN
from reports.text.wording import clipped, counted, ratio_text

Record = dict[str, Any]

LINES = 40
"""How many lines the breaks take at most."""


def summary(results: Results) -> Table:
    """A row for each engine and dtype: how its cells stand, elements compared, worst ratio and where, seconds.

    What breaks where a listed divergence explains it has a column of its own, and is not the worst ratio.
    """
    found = items(results)
    any_listed = any(item.stands == EXPLAINED for item in found)
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
    groups: dict[tuple[str, str], list[Item]] = {column: [] for column in columns(found)}
    for item in found:
        groups[item.column].append(item)
    for (engine, dtype), group in groups.items():
        counts = [sum(item.stands == stands for item in group) for stands in (HOLDS, BREAKS, EXPLAINED, NOT_RUN)]
        worst = worst_check(group)
        table.add_row(
            escape(engine),
            escape(dtype),
            *(f"{count:,}" for count in counts),
            shortened(sum(item.record["elements"] for item in group)),
            ratio_text(worst[1].ratio) if worst else "–",
            f"({worst[0]})" if worst else "–",
            f"{sum(item.record['seconds'] for item in group):.0f}",
            style="bold red" if counts[1] else None,
        )
    return table


def worst_check(found: list[Item]) -> tuple[str, Check] | None:
    """The worst check and its equation, beside those of breaks that a listed divergence explains."""
    told = (
        (equation, check)
        for item in found
        for equation, check in item.checks.items()
        if check.holds or item.stands != EXPLAINED
    )
    return max(told, key=lambda pair: pair[1].rank, default=None)


def shortened(n: int) -> str:
    """2,345,678 and 123.4 M."""
    return f"{n:,}" if n < 10_000_000 else f"{n / 1e6:,.1f} M"


def breaks(results: Results) -> list[str]:
    """A line for each cause of what breaks and no listed divergence explains: one cell of it, and how many more."""
    found = causes(items(results))
    shown = found if len(found) <= LINES else found[: LINES - 1]
    lines = [line(cause) for cause in shown]
    if rest := found[len(shown) :]:
        lines.append(f"… and {counted(len(rest), 'more cause')} of {counted(sum(c.size for c in rest), 'break')}")
    return lines


def line(cause: Cause) -> str:
    """The finding to look at, or the reason, of a cell, and how many others break in the same equation."""
    first = cause.lead
    said = describe(first.finding) if first.finding else clipped(first.item.record["reason"] or "nothing was compared")
    more = f" … and {counted(len(cause.rest), 'more cell')}" if cause.rest else ""
    return f"{first.item.record['id']}: {said}{more}"


def of_cell(cell: Record) -> list[str]:
    """How one cell stands, with its reason, and a line for each finding that does not hold."""
    said = f"{cell['engine']}: {cell['verdict']}"
    if cell["checked"]:
        equation, (ratio, *_) = max(cell["checked"].items(), key=lambda item: severity(number(item[1][0])))
        said += f", {counted(cell['elements'], 'number')}, worst ratio {ratio_text(number(ratio))} in ({equation})"
    if cell["reason"]:
        said += f": {clipped(cell['reason'])}"
    return [said, *(f"  {describe(finding)}" for finding in cell["findings"])]


def describe(finding: Record) -> str:
    """A finding in a sentence, and its diagnosis in another."""
    diagnosis = f"; {finding['diagnosis']}" if finding.get("diagnosis") else ""
    return f"{comparison(finding)}{diagnosis}"


def comparison(finding: Record) -> str:
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
