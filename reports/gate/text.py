"""The outcome of the gate: in the terminal, as Markdown for a pull request, and as JUnit XML for a CI system."""

import re
from collections import Counter
from collections.abc import Sequence
from xml.etree import ElementTree

from rich import box
from rich.markup import escape
from rich.table import Table

from reports.gate.baseline import Lines
from reports.gate.gate import Difference, Outcome
from reports.results.verdicts import Verdict
from reports.text.markdown import cell_text, markdown_table
from reports.text.wording import counted

LINES = 40
"""The most differences that are shown; the others are counted."""

PHRASES = {
    "verdict": ("verdict changed", "verdicts changed"),
    "breaks": ("cell breaks", "cells break"),
    "skipped": ("cell is skipped", "cells are skipped"),
    "vanished": ("cell is gone", "cells are gone"),
    "not listed": ("cell is not listed", "cells are not listed"),
    "fewer elements": ("cell compares fewer elements", "cells compare fewer elements"),
    "more elements": ("cell compares more elements", "cells compare more elements"),
    "ratio": ("ratio rose", "ratios rose"),
    "convention": ("convention changed", "conventions changed"),
}
"""The words for a difference in a sentence: of one, and of several."""

HEADINGS = ("cell", "what", "baseline", "now")


def sentence(outcome: Outcome) -> str:
    """The verdict of the gate in one line."""
    changed = Counter(each.what for each in outcome.differences if not each.waived)
    waived = sum(each.waived for each in outcome.differences)
    counts = [f"{count:,} {PHRASES[what][count > 1]}" for what, count in changed.items()]
    counts += [counted(len(outcome.expired), "waiver") + " past the date"] if outcome.expired else []
    if not outcome.compared:
        counts.append("no cell ran" if outcome.new else "no cell of the baseline is here")
    how, none = ("ran", "none breaks unlisted") if outcome.new else ("compared", "none has changed")
    text = f"The gate {'passes' if outcome.passes else 'fails'}: {counted(outcome.compared, 'cell')} {how}"
    text += f"; {', '.join(counts)}" if counts else f", {none}" if not outcome.differences else ""
    return f"{text}; {waived:,} waived." if waived else f"{text}."


def notices(outcome: Outcome) -> list[str]:
    """A line for a baseline that is missing, and for each waiver that is past its date, or no longer applies."""
    past = [f"waiver of {w} expired on {w.expires}: {w.reason} ({w.link})" for w in outcome.expired]
    first = [outcome.new] if outcome.new else []
    return first + past + [f"waiver of {w} no longer applies: nothing breaks there, remove it" for w in outcome.idle]


def shown(differences: Sequence[Difference]) -> tuple[list[Difference], int]:
    """The differences that are shown, those that fail first, and the number of the others."""
    ordered = sorted(differences, key=lambda each: not each.fails)
    return ordered[:LINES], max(0, len(ordered) - LINES)


def columns_of(each: Difference) -> tuple[str, str, str, str]:
    """The columns of a difference in a table."""
    return each.cell, f"{each.what} (waived)" if each.waived else each.what, each.before, each.now


def terminal(differences: Sequence[Difference]) -> Table:
    """The table of differences in 80 columns."""
    table = Table(box=box.SIMPLE, padding=(0, 1, 0, 0), show_edge=False)
    for heading, ratio in zip(HEADINGS, (4, 2, 3, 2), strict=True):
        table.add_column(heading, ratio=ratio, overflow="fold")
    kept, more = shown(differences)
    for each in kept:
        table.add_row(*map(escape, columns_of(each)), style="red" if each.fails else "dim")
    if more:
        table.add_row(f"… and {more:,} more", "", "", "")
    return table


def markdown(outcome: Outcome) -> str:
    """The summary of a pull request."""
    lines = [f"### backprop-parity: the gate {'passes' if outcome.passes else 'fails'}", "", sentence(outcome), ""]
    lines += [f"* {cell_text(notice)}" for notice in notices(outcome)]
    if outcome.differences:
        kept, more = shown(outcome.differences)
        lines += ["", *markdown_table(HEADINGS, map(columns_of, kept))]
        lines += ["", f"… and {more:,} more."] if more else []
    return "\n".join(lines).rstrip() + "\n"


# --- JUnit


def junit(outcome: Outcome, lines: Lines) -> str:
    """A test case for each engine, dtype and hidden activation, and one for the waivers.

    A difference that fails is a failure of its test case; a test case of which no cell was run is skipped.
    """
    groups: dict[tuple[str, str], list[str]] = {}
    failing: dict[tuple[str, str], list[Difference]] = {}
    for cell in lines:
        groups.setdefault(group_of(cell), []).append(cell)
    for each in outcome.differences:
        if each.fails:
            groups.setdefault(group_of(each.cell), [])
            failing.setdefault(group_of(each.cell), []).append(each)
    suites = ElementTree.Element("testsuites", name="backprop-parity gate")
    by_suite: dict[str, ElementTree.Element] = {}
    for group in sorted(groups):
        if group[0] not in by_suite:
            by_suite[group[0]] = ElementTree.SubElement(suites, "testsuite", name=printable(group[0]))
        suite = by_suite[group[0]]
        case = ElementTree.SubElement(suite, "testcase", classname=printable(group[0]), name=printable(group[1]))
        if group in failing:
            texts = [" | ".join(columns_of(each)) for each in failing[group]]
            node = ElementTree.SubElement(case, "failure", message=printable(texts[0]))
            node.text = printable("\n".join(texts))
        elif all(lines[cell]["verdict"] == Verdict.NOT_RUN for cell in groups[group]):
            ElementTree.SubElement(case, "skipped", message="the engine has no such function")
    if outcome.expired or outcome.idle:
        suite = ElementTree.SubElement(suites, "testsuite", name="waivers")
        case = ElementTree.SubElement(suite, "testcase", classname="waivers", name="dates")
        if outcome.expired:
            node = ElementTree.SubElement(case, "failure", message=f"{len(outcome.expired)} past the date")
            node.text = printable("\n".join(notices(outcome)))
    for suite in suites:
        suite.set("tests", str(len(suite)))
        suite.set("failures", str(len(suite.findall("testcase/failure"))))
        suite.set("skipped", str(len(suite.findall("testcase/skipped"))))
    ElementTree.indent(suites)
    return ElementTree.tostring(suites, encoding="unicode", xml_declaration=True) + "\n"


def group_of(cell: str) -> tuple[str, str]:
    """The suite and the case of a cell: engine, device and dtype; the hidden activation, or a training run's data."""
    *column, rest = cell.split("/", 3)
    return "/".join(column), rest.split("/")[0]


def printable(text: str) -> str:
    """Text in which a replacement character stands for each character that XML does not allow."""
    return re.sub(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", text)
