"""`gate`: hold results.json to the baseline, or make it the baseline."""

import argparse
from datetime import date
from pathlib import Path

from rich.console import Console

from reports.commands import options as shared
from reports.gate import baseline, filing, text, waivers
from reports.gate.gate import Outcome, changes, differences, judged, judged_alone, refusal
from reports.results import files
from reports.results.schema import Results
from reports.text.console import say
from reports.text.wording import counted


def options(verb: argparse.ArgumentParser) -> None:
    """The options of `gate`."""
    shared.results(verb)
    help = f"file of the baseline (default: that of this environment and request in {filing.FOLDER})"
    verb.add_argument("--baseline", type=Path, metavar="FILE", help=help)
    help = f"file of the waivers (default: {waivers.PATH})"
    verb.add_argument("--waivers", type=Path, default=waivers.PATH, metavar="FILE", help=help)
    verb.add_argument(
        "--update",
        action="store_true",
        help="make these results the baseline, and show what changes (default: compare them with it)",
    )


def gate(options: argparse.Namespace, console: Console) -> int:
    """Hold results to the baseline, or make them the baseline."""
    results = files.load(options.results)
    now = baseline.of(results)
    path = options.baseline or filing.file_for(filing.FOLDER, now)
    if options.update:
        return replace_baseline(path or filing.FOLDER / filing.name_of(now), now, console)
    outcome = held(path, now, results, options.waivers)
    folder = files.writable(options.out or options.results.parent)
    files.write(folder / "gate.md", text.markdown(outcome))
    files.write(folder / "gate.xml", text.junit(outcome, now.lines))
    if outcome.differences:
        console.print(text.terminal(outcome.differences))
    for line in (*text.notices(outcome), text.sentence(outcome)):
        say(console, line)
    say(console, f"{folder / 'gate.md'} and {folder / 'gate.xml'} written")
    return 0 if outcome.passes else 1


def held(path: Path | None, now: baseline.Baseline, results: Results, waivers_file: Path) -> Outcome:
    """Results held to a baseline; where there is none of their environment, to what must be."""
    items, waived, today = baseline.items_of(results), waivers.read(waivers_file), date.today()
    if path is None:
        new = (
            "no baseline is of this environment and request yet, so every break that is not listed fails: "
            f"`gate --update` makes {filing.FOLDER / filing.name_of(now)}, to be committed"
        )
        return judged_alone(now, items, waived, today, new)
    before = baseline.read(path)
    if reason := refusal(before, now):
        raise files.ResultsError(reason)
    return judged(before, now, items, waived, today)


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
    path.parent.mkdir(parents=True, exist_ok=True)
    baseline.write_to(path, now)
    say(console, f"{path} written: {len(now.lines):,} cells, to be reviewed and committed")
    return 0
