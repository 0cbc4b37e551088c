"""`audit`: run a campaign and write results.json."""

import argparse
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from adapters.contract import ENGINES, load
from reference.case import read
from reference.cases import COMBINATIONS, Combination, once
from reports.accuracy import allowances
from reports.campaign import campaign as campaign_campaign
from reports.campaign import shares, terminal, times
from reports.campaign.campaign import JOURNAL, Request, asked
from reports.campaign.cells import run_cell
from reports.campaign.failing_cases import save_failures
from reports.commands.options import UsageError
from reports.results import environment, files
from reports.running.workers import Limits
from reports.text import progress
from reports.verdict import status, verdict

ONCE = frozenset(once())
"""The combinations of jax-whole."""


def share(text: str) -> shares.Share:
    """The type of a share of a campaign."""
    number, slash, of = text.partition("/")
    if not (slash and number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
        raise argparse.ArgumentTypeError(f"{text!r} is no share: give 1/8 to 8/8, say")
    return shares.Share(int(number), int(of))


def specs_of(options: argparse.Namespace) -> tuple[str, ...]:
    """The engines and adapters asked for; every engine where neither is named."""
    return (*(options.engines or (() if options.adapter else tuple(ENGINES))), *options.adapter)


def combinations_of(options: argparse.Namespace, spec: str) -> list[Combination]:
    """The combinations that the options leave to an adapter; raises UsageError if they leave none."""
    kept = [
        c for c in COMBINATIONS if c.hidden in options.hidden and c.output in options.output and c.loss in options.loss
    ]
    if not kept:
        raise UsageError(f"no loss of {', '.join(options.loss)} fits an output of {', '.join(options.output)}")
    if spec != "jax-whole" or len(kept) <= len(ONCE):
        return kept
    return [names for names in kept if names in ONCE] or kept[: len(ONCE)]  # it compiles a program for each


def audit(options: argparse.Namespace, console: Console) -> int:
    """Run a campaign: cells, training runs, divergences; write results.json and print the summary."""
    request = request_of(options)
    folder = files.writable(options.out)
    started, clock = datetime.now(UTC).isoformat(timespec="seconds"), time.perf_counter()
    adapters = asked(tuple(request.combinations), options.device, request.limits, options.workers)
    found = one_case(options, request) if options.case else whole_campaign(options, request, adapters, folder, console)
    seconds = time.perf_counter() - clock
    devices = {adapter.name: adapter.device for adapter in adapters.values()}
    flags = {name: value for adapter in adapters.values() for name, value in adapter.flags.items()}
    about = environment.environment(devices, options.seed, started, seconds, flags)
    chapters, left_out = files.carried(folder / "results.json", about)
    found = {
        "schema": files.SCHEMA,
        "environment": about,
        "request": said(request, tuple(devices)),
        **found,
        **chapters,
    }
    files.write(folder / "results.json", files.dump(files.jsonable(found)))
    (folder / JOURNAL).unlink(missing_ok=True)
    for path in save_failures(folder / "failures", found["cells"], options.seed) if options.case is None else ():
        console.print(f"failing Case written: python -m reports replay {path}", highlight=False, soft_wrap=True)
    return told(found, folder / "results.json", left_out, console)


def told(found: dict[str, Any], path: Path, notices: Sequence[str], console: Console) -> int:
    """Print what a campaign found; its exit status."""
    found = files.jsonable(found)
    for line in notices:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    console.print(terminal.summary(found))
    for line in terminal.breaks(found):
        console.print(line, style="red", highlight=False, markup=False, soft_wrap=True)
    console.print(f"{verdict(found)}", highlight=False, markup=False, soft_wrap=True)
    seconds = found["environment"]["seconds"]
    console.print(f"{path} written in {seconds:.0f} s", highlight=False, soft_wrap=True)
    return status(found)


def request_of(options: argparse.Namespace) -> Request:
    """What the options ask for."""
    return campaign_campaign.Request(
        {spec: tuple(combinations_of(options, spec)) for spec in specs_of(options)},
        options.device,
        tuple(options.dtypes),
        options.cases,
        options.further,
        options.seed,
        not options.no_training,
        not options.no_divergences,
        options.shard,
        Limits(options.timeout, options.memory),
    )


def said(request: campaign_campaign.Request, engines: Sequence[str]) -> dict[str, Any]:
    """The request as it stands in results.json."""
    return {
        "engines": list(engines),
        "dtypes": list(request.dtypes),
        "device": request.device,
        "cases": request.cases,
        "further": request.further,
        "seed": request.seed,
        "share": str(request.share),
    }


def one_case(options: argparse.Namespace, request: campaign_campaign.Request) -> dict[str, Any]:
    """The one Case of a file in every engine."""
    case = read(options.case)
    names = Combination(case.hidden, case.output, case.loss)
    adapters = [load(spec, options.device) for spec in request.combinations]
    cells = [run_cell(adapter, options.device, case.dtype, names, [case], options.seed) for adapter in adapters]
    return {"cells": cells, "training": [], "times": times.times(cells, 1)}


def whole_campaign(
    options: argparse.Namespace,
    request: campaign_campaign.Request,
    adapters: dict[str, campaign_campaign.Asked],
    folder: Path,
    console: Console,
) -> dict[str, Any]:
    """Every cell, training run and divergence, in worker processes."""
    names = {spec: adapter.name for spec, adapter in adapters.items()}
    found = campaign_campaign.tasks(request, names)
    runs = sum(map(campaign_campaign.is_run, found))
    cells = sum(len(task.keys) for task in found) - runs
    share = "" if request.share.of == 1 else f"share {request.share}: "
    console.print(
        f"seed {request.seed}: {share}{cells} cells, {runs} training runs, {options.workers} workers", highlight=False
    )
    with progress.progress(console) as bar:
        task = bar.add_task("", total=cells + runs + 1)

        def done(what: str) -> None:
            bar.update(task, advance=1, description=what)

        def tell(notice: str) -> None:
            console.print(notice, highlight=False, markup=False, soft_wrap=True)

        measured = campaign_campaign.measure(request, names, options.workers, folder, done, tell)
        bar.update(task, completed=cells + runs + 1, description="done")
    return {**measured, "accuracy": allowances.accuracy(request.device)}
