"""`gate`: hold results.json to the baseline."""

import argparse
from datetime import date
from pathlib import Path

from rich.console import Console

from reports.gate import baseline, gate, text, waivers
from reports.results import files
from reports.text.wording import counted


def hold(options: argparse.Namespace, console: Console) -> int:
    """Hold results to the baseline, or make them the baseline."""
    found = files.load(options.results)
    now = baseline.of(found)
    if options.update:
        return accept(options.baseline, now, console)
    before = baseline.read(options.baseline)
    waived = waivers.read(options.waivers)
    if refused := gate.refusal(before, now):
        raise files.ResultsError(refused)
    folder = files.writable(options.out or options.results.parent)
    outcome = gate.judged(before, now, [*found["cells"], *found["training"]], waived, date.today())
    files.write(folder / "gate.md", text.markdown(outcome))
    files.write(folder / "gate.xml", text.junit(outcome, now.lines))
    if outcome.differences:
        console.print(text.terminal(outcome.differences))
    for line in (*text.notices(outcome), text.sentence(outcome)):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    console.print(f"{folder / 'gate.md'} and {folder / 'gate.xml'} written", highlight=False, soft_wrap=True)
    return 0 if outcome.passes else 1


def accept(path: Path, now: baseline.Baseline, console: Console) -> int:
    """Make results the baseline, and show what changes in it."""
    if not now.lines:
        raise files.ResultsError("results without a cell are no baseline")
    if path.exists():
        before = baseline.read(path)
        about = gate.changes(before.environment, now.environment) + gate.changes(before.request, now.request)
        found = gate.differences(before, now)
        for name, was, is_now in about:
            console.print(f"{name}: {was} → {is_now}", highlight=False, markup=False, soft_wrap=True)
        if found:
            console.print(text.terminal(found))
        console.print(f"{counted(len(found), 'difference')} accepted", highlight=False)
    baseline.write_to(path, now)
    console.print(f"{path} written: {len(now.lines):,} cells, to be reviewed and committed", highlight=False)
    return 0
