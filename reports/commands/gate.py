"""`gate`: hold results.json to the baseline, or make it the baseline."""

import argparse
from datetime import date
from pathlib import Path

from rich.console import Console

from reports.commands import options as shared
from reports.gate import baseline, text, waivers
from reports.gate.gate import changes, differences, judged, refusal
from reports.results import files
from reports.text.console import say
from reports.text.wording import counted


def options(verb: argparse.ArgumentParser) -> None:
    """The options of `gate`."""
    shared.results(verb)
    for name, path in (("--baseline", baseline.PATH), ("--waivers", waivers.PATH)):
        verb.add_argument(
            name, type=Path, default=path, metavar="FILE", help=f"file of the {name[2:]} (default: {path})"
        )
    verb.add_argument(
        "--update",
        action="store_true",
        help="make these results the baseline, and show what changes (default: compare them with it)",
    )


def gate(options: argparse.Namespace, console: Console) -> int:
    """Hold results to the baseline, or make them the baseline."""
    results = files.load(options.results)
    now = baseline.of(results)
    if options.update:
        return replace_baseline(options.baseline, now, console)
    before = baseline.read(options.baseline)
    waived = waivers.read(options.waivers)
    if reason := refusal(before, now):
        raise files.ResultsError(reason)
    folder = files.writable(options.out or options.results.parent)
    outcome = judged(before, now, baseline.items_of(results), waived, date.today())
    files.write(folder / "gate.md", text.markdown(outcome))
    files.write(folder / "gate.xml", text.junit(outcome, now.lines))
    if outcome.differences:
        console.print(text.terminal(outcome.differences))
    for line in (*text.notices(outcome), text.sentence(outcome)):
        say(console, line)
    say(console, f"{folder / 'gate.md'} and {folder / 'gate.xml'} written")
    return 0 if outcome.passes else 1


def replace_baseline(path: Path, now: baseline.Baseline, console: Console) -> int:
    """Make results the baseline, and print what changes in it."""
    if not now.lines:
        raise files.ResultsError("results without a cell cannot be a baseline: run `audit` first")
    if path.exists():
        before = baseline.read(path)
        for setting in (*changes(before.environment, now.environment), *changes(before.request, now.request)):
            say(console, f"{setting.name}: {setting.before} → {setting.now}")
        found = differences(before, now)
        if found:
            console.print(text.terminal(found))
        say(console, f"{counted(len(found), 'difference')} accepted")
    baseline.write_to(path, now)
    say(console, f"{path} written: {len(now.lines):,} cells, to be reviewed and committed")
    return 0
