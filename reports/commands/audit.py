"""`audit`: run a campaign and write results.json."""

import argparse
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from adapters.contract import ENGINES, load
from reference.activations import HIDDEN, OUTPUT
from reference.case import Case, read
from reference.cases import COMBINATIONS, Combination
from reference.losses import LOSSES
from reports.accuracy import allowances
from reports.campaign import campaign, terminal
from reports.campaign.cells import run_cell
from reports.campaign.designs import DESIGNS, FEW
from reports.campaign.failing_cases import save_failures
from reports.campaign.shares import Share
from reports.campaign.times import times
from reports.commands import options as shared
from reports.commands.chapters import conclude
from reports.commands.options import UsageError
from reports.results import files
from reports.results.environment import environment
from reports.results.records import RequestRecord
from reports.results.schema import Measurements, Results
from reports.results.verdicts import RIGHT
from reports.running.workers import Limits
from reports.text.console import say
from reports.text.progress import progress
from reports.verdict import summarise


def options(verb: argparse.ArgumentParser) -> None:
    """The options of `audit`."""
    size = verb.add_mutually_exclusive_group()
    for name, what in (
        (
            "quick",
            "a first result in half a minute: numpy and torch-eager in float32 and float64, the functions that most "
            "networks are made of, no table of divergences",
        ),
        ("full", "every combination of functions"),
    ):
        help = f"{what} (default: combinations in which all neighbours meet)"
        size.add_argument(f"--{name}", dest="design", action="store_const", const=name, default="covering", help=help)
    shared.engines(verb, tuple(ENGINES), None, "all, or none beside --adapter")
    shared.adapters(verb)
    shared.dtypes(verb)
    verb.set_defaults(dtypes=None)
    for name, allowed, what in (
        ("--hidden", HIDDEN, "hidden activation"),
        ("--output", OUTPUT, "output activation"),
        ("--loss", tuple(LOSSES), "loss"),
    ):
        help = f"some of {', '.join(allowed)} (default: all)"
        verb.add_argument(name, type=shared.names(allowed, what), metavar="NAMES", help=help)
    shared.number(verb, "--cases", 1, "random Cases of each cell")
    shared.number(
        verb, "--further", 3, "further Cases, with drawn parameters, of the cells that get every experiment", 0
    )
    shared.workers(verb)
    shared.seed(verb, "every draw")
    help = "one of N shares of the campaign, to be put together by `merge` (default: %(default)s)"
    verb.add_argument("--shard", type=share, default=Share(1, 1), metavar="I/N", help=help)
    shared.number(verb, "--timeout", 600, "seconds that a cell may take")
    shared.number(verb, "--memory", 8192, "MiB that a worker may hold")
    shared.device(verb)
    verb.add_argument("--case", type=Path, metavar="FILE", help="audit only the Case of a file (default: random Cases)")
    for part, what in (("training", "training runs on digits"), ("divergences", "table of divergences")):
        help = f"leave out the {what} (default: measured too)"
        verb.add_argument(f"--no-{part}", action="store_true", help=help)
    shared.out(verb)


def share(text: str) -> Share:
    """The type of a share of a campaign."""
    number, slash, of = text.partition("/")
    if not (slash and number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a share: give a number and a total, such as 3/8 for the third of eight"
        )
    return Share(int(number), int(of))


def audit(options: argparse.Namespace, console: Console) -> int:
    """Run a campaign: cells, training runs, divergences; write results.json and print the summary."""
    request, case = request_of(options), read(options.case) if options.case else None
    folder = files.writable(options.out)
    started, clock = datetime.now(UTC).isoformat(timespec="seconds"), time.perf_counter()
    adapters = campaign.adapter_infos(tuple(request.combinations), options.device, request.limits, options.workers)
    parts = one_case(case, options, request) if case else whole_campaign(options, request, adapters, folder, console)
    seconds = time.perf_counter() - clock
    devices = {adapter.name: adapter.device for adapter in adapters.values()}
    flags = {name: value for adapter in adapters.values() for name, value in adapter.flags.items()}
    about = environment(devices, options.seed, started, seconds, flags)
    chapters, notices = files.carried(folder / "results.json", about)
    results: Results = {
        "schema": files.SCHEMA,
        "environment": about,
        "request": request_record(request, tuple(devices)),
        **parts,
        **chapters,
    }
    results = files.jsonable(results)
    files.write(folder / "results.json", files.dump(results))
    (folder / campaign.JOURNAL).unlink(missing_ok=True)
    for path in save_failures(folder / "failures", parts["cells"], options.seed) if options.case is None else ():
        say(console, f"failing Case written: python -m reports replay {path}")
    for notice in notices:
        say(console, notice)
    return show(results, folder / "results.json", console)


def show(results: Results, path: Path, console: Console) -> int:
    """Print the summary of a campaign; its exit status."""
    summary, seconds = summarise(results), results["environment"]["seconds"]
    table, lines = terminal.summary_table(summary.campaign), terminal.break_lines(summary.campaign)
    conclude([table], lines, summary.sentence, path, seconds, console)
    return summary.status


# --- the request


def chosen(options: argparse.Namespace, name: str) -> tuple[str, ...]:
    """The names that an option gives, or what the design has where it is left open."""
    given: tuple[str, ...] | None = getattr(options, name)
    of_design: tuple[str, ...] = getattr(DESIGNS[options.design], name)
    return given or of_design


def specs_of(options: argparse.Namespace) -> tuple[str, ...]:
    """The engines and adapters asked for; where neither is named, the engines that stand for them."""
    engines = () if options.adapter and not options.engines else chosen(options, "engines")
    return (*engines, *options.adapter)


def combinations_of(options: argparse.Namespace, spec: str, dtype: str) -> tuple[Combination, ...]:
    """An adapter's combinations in a format: the design's, or all of the functions that options name.

    Raises UsageError where there are none.
    """
    hidden, output, loss = (chosen(options, role) for role in ("hidden", "output", "loss"))
    kept = [c for c in COMBINATIONS if c.hidden in hidden and c.output in output and c.loss in loss]
    if not kept:
        raise UsageError(f"no loss of {', '.join(loss)} fits an output of {', '.join(output)}: add one that fits")
    if not (options.hidden or options.output or options.loss):
        of_design = set(DESIGNS[options.design].extent(spec).of_dtype(dtype))
        return tuple(names for names in kept if names in of_design)
    if spec != "jax-whole" or len(kept) <= len(FEW):
        return tuple(kept)
    return tuple(names for names in kept if names in FEW) or tuple(kept[: len(FEW)])  # it compiles a program for each


def request_of(options: argparse.Namespace) -> campaign.CampaignRequest:
    """The campaign that the options ask for."""
    return campaign.CampaignRequest(
        options.design,
        {
            spec: {dtype: combinations_of(options, spec, dtype) for dtype in chosen(options, "dtypes")}
            for spec in specs_of(options)
        },
        options.device,
        chosen(options, "dtypes"),
        options.cases,
        options.further,
        options.seed,
        not options.no_training,
        DESIGNS[options.design].divergences and not options.no_divergences,
        options.shard,
        Limits(options.timeout, options.memory),
    )


def request_record(request: campaign.CampaignRequest, engines: Sequence[str]) -> RequestRecord:
    """The request as it stands in results.json."""
    return {
        "design": request.design,
        "engines": list(engines),
        "dtypes": list(request.dtypes),
        "device": request.device,
        "cases": request.cases,
        "further": request.further,
        "seed": request.seed,
        "share": str(request.share),
    }


# --- the campaign


def one_case(case: Case, options: argparse.Namespace, request: campaign.CampaignRequest) -> Measurements:
    """The one Case of a file in every engine."""
    names = Combination(case.hidden, case.output, case.loss)
    adapters = [load(spec, options.device) for spec in request.combinations]
    cells = [run_cell(adapter, options.device, case.dtype, names, [case], options.seed) for adapter in adapters]
    return {"cells": cells, "training": [], "times": times(cells, 1)}


def whole_campaign(
    options: argparse.Namespace,
    request: campaign.CampaignRequest,
    adapters: dict[str, campaign.AdapterInfo],
    folder: Path,
    console: Console,
) -> Measurements:
    """Every cell, training run and divergence, in worker processes."""
    names = {spec: adapter.name for spec, adapter in adapters.items()}
    jobs = campaign.keyed_jobs(request, names)
    runs = sum(job.trains for job in jobs)
    cells = sum(len(job.keys) for job in jobs) - runs
    part = "" if request.share.of == 1 else f"share {request.share}: "
    say(console, f"seed {request.seed}: {part}{cells} cells, {runs} training runs, {options.workers} workers")
    found: Counter[str] = Counter()
    with progress(console) as bar:
        shown = bar.add_task("", total=cells + runs + 1)

        def finished(key: str, record: Any) -> None:
            if isinstance(record, dict) and record["verdict"] not in RIGHT:
                found[record["verdict"]] += 1
            bar.update(shown, advance=1, description=found_so_far(found, key))

        measured = campaign.measure(
            request,
            names,
            options.workers,
            folder,
            finished,
            lambda notice: say(console, notice),
        )
        bar.update(shown, completed=cells + runs + 1, description="done")
    return {**measured, "accuracy": allowances.accuracy(request.device)}


def found_so_far(found: Counter[str], item: str) -> str:
    """What the bar says beside the time: 12 breaks, 1 crashed; and the last item."""
    counts = ", ".join(f"{count:,} {verdict}" for verdict, count in found.items())
    return f"{counts or 'all hold'}; {item}"
