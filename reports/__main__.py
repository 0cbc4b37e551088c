"""python -m reports VERB: audit engines, render the report, measure accuracy and speed."""

import argparse
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from rich.console import Console

from adapters.contract import ENGINES, AdapterError, load
from adapters.faults.planting import PLANTED
from reference.activations import ACTIVATIONS, HIDDEN, OUTPUT
from reference.case import CaseError, choose, read
from reference.cases import COMBINATIONS, Combination, once
from reference.losses import LOSSES
from reference.rounding import DTYPES
from reports import (
    baseline,
    campaign,
    compare,
    gate,
    gate_text,
    proof,
    results,
    terminal,
    trained,
    trajectories,
    waivers,
    whole,
)
from reports.ledger import status, verdict
from reports.render import render
from reports.replay import audited, is_off, save_failures, save_smallest
from reports.words import counted
from reports.workers import Limits

BUILD = Path("reports/build")
SEED = 2026
DIVERGENCES = "backprop-parity/divergences/1"

ENGINES_SWEPT = tuple(name for name in ENGINES if name != "jax-whole")
"""Engines with functions of their own: jax-whole's are those of jax-jit."""

FAULT_ENGINES = tuple(PLANTED)
FAULT_PARTS = ("matrix", "beside", "smallest", "alarms")

ONCE = frozenset(once())
"""The combinations of jax-whole."""


class UsageError(ValueError):
    """A call that asks for what there is not; the message is one line."""


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}\n")


def names(allowed: Sequence[str], what: str) -> Any:
    """The type of an option that takes a comma-separated choice of names."""

    def parse(text: str) -> tuple[str, ...]:
        for name in text.split(","):
            if name not in allowed:
                raise argparse.ArgumentTypeError(str(choose(what, name, tuple(allowed))))
        return tuple(dict.fromkeys(text.split(",")))

    return parse


def positive(text: str) -> int:
    """The type of an option that counts."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no count: give a whole number, at least 1")
    return int(text)


def count(text: str) -> int:
    """The type of an option that may be nothing."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no count: give a whole number, at least 0")
    return int(text)


def device(text: str) -> str:
    """The type of a device."""
    if text not in ("cpu", "gpu"):
        raise argparse.ArgumentTypeError(str(choose("device", text, ("cpu", "gpu"))))
    return text


def seed(text: str) -> int:
    """The type of a seed."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no seed: give a whole number, at least 0")
    return int(text)


def share(text: str) -> whole.Share:
    """The type of a share of a campaign."""
    number, slash, of = text.partition("/")
    if not (slash and number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
        raise argparse.ArgumentTypeError(f"{text!r} is no share: give 1/8 to 8/8, say")
    return whole.Share(int(number), int(of))


def parser() -> Parser:
    """The verbs and their options."""
    main = Parser(prog="python -m reports", description=__doc__)
    verbs = main.add_subparsers(dest="verb", required=True, metavar="VERB", parser_class=Parser)

    audit = verbs.add_parser("audit", help="run a campaign and write results.json")
    audit.add_argument(
        "--engines",
        type=names(tuple(ENGINES), "engine"),
        help=f"of {', '.join(ENGINES)} (default: all, or none beside --adapter)",
    )
    audit.add_argument(
        "--adapter", action="append", default=[], help="audit path/to/file.py:ClassName as well; repeatable"
    )
    audit.add_argument("--dtypes", type=names(DTYPES, "dtype"), default=DTYPES, help=", ".join(DTYPES))
    audit.add_argument("--hidden", type=names(HIDDEN, "hidden activation"), default=HIDDEN)
    audit.add_argument("--output", type=names(OUTPUT, "output activation"), default=OUTPUT)
    audit.add_argument("--loss", type=names(tuple(LOSSES), "loss"), default=tuple(LOSSES))
    audit.add_argument("--cases", type=positive, default=1, help="random cases a cell (default 1)")
    audit.add_argument(
        "--further",
        type=count,
        default=3,
        help="further cases, with drawn parameters, of the cells that get every experiment (default 3)",
    )
    audit.add_argument("--workers", type=positive, default=results.cores(), help="processes (default: one a core)")
    audit.add_argument("--seed", type=seed, default=SEED, help=f"of every draw (default {SEED})")
    audit.add_argument(
        "--shard", type=share, default=whole.Share(1, 1), help="3/8: the third of eight shares; see merge"
    )
    audit.add_argument("--timeout", type=positive, default=600, help="seconds that a cell may take (default 600)")
    audit.add_argument("--memory", type=positive, default=8192, help="MiB that a worker may hold (default 8192)")
    audit.add_argument("--device", type=device, default="cpu", help="cpu (default) or gpu")
    audit.add_argument("--case", type=Path, help="audit this one Case, a JSON file, instead of random ones")
    audit.add_argument("--no-training", action="store_true", help="leave the training run on digits out")
    audit.add_argument("--no-divergences", action="store_true", help="leave the table of divergences out")
    audit.add_argument("--out", type=Path, default=BUILD, help=f"output folder (default {BUILD})")

    together = verbs.add_parser("merge", help="put the results of all shares of a campaign together")
    together.add_argument("results", type=Path, nargs="+", help="results.json of each share")
    together.add_argument("--out", type=Path, default=BUILD, help=f"output folder (default {BUILD})")

    again = verbs.add_parser("replay", help="audit the Case of a file in every engine, and say what breaks")
    again.add_argument("case", type=Path, metavar="FILE")
    again.add_argument(
        "--engines", type=names(tuple(ENGINES), "engine"), help=f"of {', '.join(ENGINES)} (default: all)"
    )
    again.add_argument("--adapter", action="append", default=[], help="path/to/file.py:ClassName as well; repeatable")
    again.add_argument("--device", type=device, default="cpu", help="cpu (default) or gpu")
    again.add_argument("--out", type=Path, help="folder for the smallest Case that breaks, and scripts of it")

    hold = verbs.add_parser("gate", help="hold results.json to the baseline; writes gate.md and gate.xml beside it")
    hold.add_argument("results", type=Path, nargs="?", default=BUILD / "results.json")
    hold.add_argument("--baseline", type=Path, default=baseline.PATH, help=f"default {baseline.PATH}")
    hold.add_argument("--waivers", type=Path, default=waivers.PATH, help=f"default {waivers.PATH}")
    hold.add_argument("--update", action="store_true", help="make these results the baseline, and show what changes")
    hold.add_argument("--out", type=Path, help="output folder (default: the results' own)")

    beside = verbs.add_parser(
        "compare", help="say what changed between two results.json, say before an upgrade and after"
    )
    beside.add_argument("before", type=Path, metavar="OLD.json")
    beside.add_argument("now", type=Path, metavar="NEW.json")
    beside.add_argument("--out", type=Path, default=BUILD, help=f"of compare.md and compare.html (default {BUILD})")

    page = verbs.add_parser("render", help="make report.html from results.json")
    page.add_argument("results", type=Path, nargs="?", default=BUILD / "results.json")
    page.add_argument("--out", type=Path, help="output folder (default: the results' own)")

    differ = verbs.add_parser("divergences", help="measure where the engines differ, from the equations and each other")
    differ.add_argument("--engines", type=names(tuple(ENGINES), "engine"), default=ENGINES_SWEPT)
    differ.add_argument("--dtypes", type=names(DTYPES, "dtype"), default=DTYPES, help=", ".join(DTYPES))
    differ.add_argument("--device", type=device, default="cpu", help="cpu (default) or gpu")
    differ.add_argument("--out", type=Path, default=BUILD, help=f"output folder (default {BUILD})")

    sweep = verbs.add_parser("sweep", help="measure the accuracy of every scalar function in every engine")
    functions = (*ACTIVATIONS, *LOSSES)
    sweep.add_argument("--engines", type=names(tuple(ENGINES), "engine"), default=ENGINES_SWEPT)
    sweep.add_argument("--functions", type=names(functions, "function"), default=functions)
    sweep.add_argument("--dtypes", type=names(DTYPES, "dtype"), default=DTYPES, help=", ".join(DTYPES))
    sweep.add_argument("--inputs", type=positive, default=2**22, help="float32 inputs a function (default 4194304)")
    sweep.add_argument("--exhaustive", action="store_true", help="all 4294967296 float32 inputs")
    sweep.add_argument("--drawn", type=positive, default=2**13, help="inputs where they are drawn (default 8192)")
    sweep.add_argument("--seed", type=seed, default=SEED, help=f"of what is drawn (default {SEED})")
    sweep.add_argument("--device", type=device, default="cpu", help="cpu (default) or gpu")
    sweep.add_argument("--out", type=Path, default=BUILD, help=f"output folder (default {BUILD})")

    faults = verbs.add_parser("faults", help="plant every seeded fault, audit honest engines, and say what is caught")
    faults.add_argument(
        "--engines", type=names(FAULT_ENGINES, "engine"), default=FAULT_ENGINES, help=", ".join(FAULT_ENGINES)
    )
    faults.add_argument("--dtypes", type=names(DTYPES, "dtype"), default=DTYPES, help=", ".join(DTYPES))
    faults.add_argument("--seeds", type=positive, default=10, help="draws of every fault, stage and dtype (default 10)")
    faults.add_argument("--cases", type=positive, default=12_000, help="honest cases (default 12000); resumable")
    faults.add_argument("--only", type=names(FAULT_PARTS, "part"), default=FAULT_PARTS, help=", ".join(FAULT_PARTS))
    faults.add_argument("--workers", type=positive, default=results.cores(), help="processes (default: one a core)")
    faults.add_argument("--seed", type=seed, default=SEED, help=f"of the honest cases (default {SEED})")
    faults.add_argument("--out", type=Path, default=BUILD, help=f"output folder (default {BUILD})")

    train = verbs.add_parser("trajectories", help="train every optimiser in every engine, every step audited")
    train.add_argument("--engines", type=names(trajectories.ENGINES, "engine"), default=trajectories.ENGINES)
    train.add_argument("--dtypes", type=names(trajectories.DTYPES, "dtype"), default=trajectories.DTYPES)
    train.add_argument("--steps", type=positive, default=40, help="of each run of the spread (default 40)")
    train.add_argument("--epochs", type=positive, default=20, help="on digits (default 20)")
    train.add_argument("--long", type=count, default=0, help="steps of a long run in each engine (default 0: none)")
    train.add_argument("--workers", type=positive, default=results.cores(), help="processes (default: one a core)")
    train.add_argument("--seed", type=seed, default=SEED, help=f"of data, weights and batches (default {SEED})")
    train.add_argument("--out", type=Path, default=BUILD, help=f"output folder (default {BUILD})")

    bench = verbs.add_parser("bench", help="time the audit and the reference beside the engines")
    bench.add_argument("--rounds", type=positive, default=15, help="rounds of each, in turns (default 15)")
    bench.add_argument("--out", type=Path, default=BUILD, help=f"output folder (default {BUILD})")
    return main


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
    folder = results.writable(options.out)
    started, clock = datetime.now(UTC).isoformat(timespec="seconds"), time.perf_counter()
    adapters = whole.asked(tuple(request.combinations), options.device, request.limits, options.workers)
    found = one_case(options, request) if options.case else whole_campaign(options, request, adapters, folder, console)
    seconds = time.perf_counter() - clock
    devices = {adapter.name: adapter.device for adapter in adapters.values()}
    flags = {name: value for adapter in adapters.values() for name, value in adapter.flags.items()}
    about = results.environment(devices, options.seed, started, seconds, flags)
    chapters, left_out = results.carried(folder / "results.json", about)
    found = {
        "schema": results.SCHEMA,
        "environment": about,
        "request": said(request, tuple(devices)),
        **found,
        **chapters,
    }
    results.write(folder / "results.json", results.dump(results.jsonable(found)))
    (folder / whole.JOURNAL).unlink(missing_ok=True)
    for path in save_failures(folder / "failures", found["cells"], options.seed) if options.case is None else ():
        console.print(f"failing Case written: python -m reports replay {path}", highlight=False, soft_wrap=True)
    return told(found, folder / "results.json", left_out, console)


def told(found: dict[str, Any], path: Path, notices: Sequence[str], console: Console) -> int:
    """Print what a campaign found; its exit status."""
    found = results.jsonable(found)
    for line in notices:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    console.print(terminal.summary(found))
    for line in terminal.breaks(found):
        console.print(line, style="red", highlight=False, markup=False, soft_wrap=True)
    console.print(f"{verdict(found)}", highlight=False, markup=False, soft_wrap=True)
    seconds = found["environment"]["seconds"]
    console.print(f"{path} written in {seconds:.0f} s", highlight=False, soft_wrap=True)
    return status(found)


def request_of(options: argparse.Namespace) -> whole.Request:
    """What the options ask for."""
    return whole.Request(
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


def said(request: whole.Request, engines: Sequence[str]) -> dict[str, Any]:
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


def one_case(options: argparse.Namespace, request: whole.Request) -> dict[str, Any]:
    """The one Case of a file in every engine."""
    case = read(options.case)
    names = Combination(case.hidden, case.output, case.loss)
    adapters = [load(spec, options.device) for spec in request.combinations]
    cells = [
        campaign.run_cell(adapter, options.device, case.dtype, names, [case], options.seed) for adapter in adapters
    ]
    return {"cells": cells, "training": [], "times": campaign.times(cells, 1)}


def whole_campaign(
    options: argparse.Namespace,
    request: whole.Request,
    adapters: dict[str, whole.Asked],
    folder: Path,
    console: Console,
) -> dict[str, Any]:
    """Every cell, training run and divergence, in worker processes."""
    names = {spec: adapter.name for spec, adapter in adapters.items()}
    found = whole.tasks(request, names)
    runs = sum(map(whole.is_run, found))
    cells = sum(len(task.keys) for task in found) - runs
    share = "" if request.share.of == 1 else f"share {request.share}: "
    console.print(
        f"seed {request.seed}: {share}{cells} cells, {runs} training runs, {options.workers} workers", highlight=False
    )
    with terminal.progress(console) as bar:
        task = bar.add_task("", total=cells + runs + 1)

        def done(what: str) -> None:
            bar.update(task, advance=1, description=what)

        def tell(notice: str) -> None:
            console.print(notice, highlight=False, markup=False, soft_wrap=True)

        measured = whole.measure(request, names, options.workers, folder, done, tell)
        bar.update(task, completed=cells + runs + 1, description="done")
    return {**measured, "accuracy": campaign.accuracy(request.device)}


def merge(options: argparse.Namespace, console: Console) -> int:
    """Put the shares of a campaign together."""
    shares = [results.load(path) for path in options.results]
    folder = results.writable(options.out)
    found = whole.merged(shares)
    results.write(folder / "results.json", results.dump(found))
    return told(found, folder / "results.json", [], console)


def again(options: argparse.Namespace, console: Console) -> int:
    """Audit the Case of a file in every engine."""
    case = read(options.case)
    console.print(f"{case!r}", highlight=False, markup=False, soft_wrap=True)
    cells = []
    for spec in (*(options.engines or tuple(ENGINES)), *options.adapter):
        adapter = load(spec, options.device)
        cells.append(audited(adapter, options.device, case))
        for line in terminal.of_cell(cells[-1]):
            console.print(line, highlight=False, markup=False, soft_wrap=True)
        if options.out and is_off(cells[-1]):
            written = save_smallest(options.out, options.case.stem, adapter, options.device, case)
            console.print(f"  written: {', '.join(map(str, written))}", highlight=False, markup=False, soft_wrap=True)
    if all(cell["verdict"] == "not-run" for cell in cells):
        console.print("no engine computes it", highlight=False)
        return 1
    return 0 if all(cell["verdict"] in ("holds", "not-run") for cell in cells) else 1


def hold(options: argparse.Namespace, console: Console) -> int:
    """Hold results to the baseline, or make them the baseline."""
    found = results.load(options.results)
    now = baseline.of(found)
    if options.update:
        return accept(options.baseline, now, console)
    before = baseline.read(options.baseline)
    waived = waivers.read(options.waivers)
    if refused := gate.refusal(before, now):
        raise results.ResultsError(refused)
    folder = results.writable(options.out or options.results.parent)
    outcome = gate.judged(before, now, [*found["cells"], *found["training"]], waived, date.today())
    results.write(folder / "gate.md", gate_text.markdown(outcome))
    results.write(folder / "gate.xml", gate_text.junit(outcome, now.lines))
    if outcome.differences:
        console.print(gate_text.terminal(outcome.differences))
    for line in (*gate_text.notices(outcome), gate_text.sentence(outcome)):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    console.print(f"{folder / 'gate.md'} and {folder / 'gate.xml'} written", highlight=False, soft_wrap=True)
    return 0 if outcome.passes else 1


def accept(path: Path, now: baseline.Baseline, console: Console) -> int:
    """Make results the baseline, and show what changes in it."""
    if not now.lines:
        raise results.ResultsError("results without a cell are no baseline")
    if path.exists():
        before = baseline.read(path)
        about = gate.changes(before.environment, now.environment) + gate.changes(before.request, now.request)
        found = gate.differences(before, now)
        for name, was, is_now in about:
            console.print(f"{name}: {was} → {is_now}", highlight=False, markup=False, soft_wrap=True)
        if found:
            console.print(gate_text.terminal(found))
        console.print(f"{counted(len(found), 'difference')} accepted", highlight=False)
    baseline.write_to(path, now)
    console.print(f"{path} written: {len(now.lines):,} cells, to be reviewed and committed", highlight=False)
    return 0


def beside(options: argparse.Namespace, console: Console) -> int:
    """Say what changed between two campaigns."""
    folder = results.writable(options.out)
    found = compare.compared(results.load(options.before), results.load(options.now))
    results.write(folder / "compare.md", compare.markdown(found))
    results.write(folder / "compare.html", compare.html(found))
    for table in compare.terminal(found):
        console.print(table)
    console.print(compare.sentence(found), highlight=False, markup=False, soft_wrap=True)
    console.print(f"{folder / 'compare.md'} and {folder / 'compare.html'} written", highlight=False, soft_wrap=True)
    return 0


def page(options: argparse.Namespace, console: Console) -> int:
    """Make report.html; the exit status is that of the results."""
    found = results.load(options.results)
    folder = results.writable(options.out or options.results.parent)
    results.write(folder / "report.html", render(found))
    console.print(f"{folder / 'report.html'} written: {verdict(found)}", highlight=False, markup=False, soft_wrap=True)
    return status(found)


def divergences(options: argparse.Namespace, console: Console) -> int:
    """Measure where the engines differ, and write divergences.json."""
    from reports.divergences import measure
    from reports.divergences import terminal as table

    folder = results.writable(options.out)
    rows = measure([load(engine, options.device) for engine in options.engines], options.dtypes)
    results.write(folder / "divergences.json", results.dump({"schema": DIVERGENCES, "rows": rows}))
    console.print(table(rows))
    console.print(f"{folder / 'divergences.json'} written", highlight=False, soft_wrap=True)
    return 0


def sweep(options: argparse.Namespace, console: Console) -> int:
    """Measure every scalar function and write scalar_accuracy.json."""
    from reports.sweep import PARTIAL, Plan, line, measure  # python-flint serves this verb and the tests alone

    folder = results.writable(options.out)
    plan = Plan(
        functions=options.functions,
        dtypes=options.dtypes,
        float32=2**32 if options.exhaustive else options.inputs,
        drawn=options.drawn,
        seed=options.seed,
    )
    adapters = [load(engine, options.device) for engine in options.engines]
    with console.status("sweeping") as progress:
        found = measure(adapters, plan, folder, progress.update)
    for entry in sorted(found["entries"], key=lambda entry: -float(entry["roundings"])):
        console.print(line(entry), highlight=False, soft_wrap=True)
    results.write(folder / "scalar_accuracy.json", results.dump(found))
    (folder / PARTIAL).unlink()
    console.print(f"{folder / 'scalar_accuracy.json'} written", highlight=False, soft_wrap=True)
    return 0


Progress = Callable[[int, int, str], None]
"""Told what is done, of how much, and of which part."""


Measure = Callable[[Path, Progress], dict[str, Any]]
"""Of the output folder, where it may keep what it has until then."""


def chapter(name: str, doing: str, said: Any, measure: Measure, options: argparse.Namespace, console: Console) -> int:
    """Measure a chapter of the results, put it into results.json beside what is there, and print what it says.

    `said` is the module with its tables, lines, sentence and verdict.
    """
    folder = results.writable(options.out)
    path = folder / "results.json"
    started, clock = datetime.now(UTC).isoformat(timespec="seconds"), time.perf_counter()
    found = results.load(path) if path.exists() else results.empty(options.seed, started)
    with terminal.progress(console, doing) as bar:
        task = bar.add_task("", total=None)

        def progress(done: int, total: int, part: str) -> None:
            bar.update(task, completed=done, total=total, description=part)

        made = measure(folder, progress)
    seconds = time.perf_counter() - clock
    found[name] = made | {"environment": results.environment({}, options.seed, started, seconds)}
    results.write(path, results.dump(found))
    for table in said.tables(made):
        console.print(table)
    for line in said.lines(made):
        console.print(line, style="red", highlight=False, markup=False, soft_wrap=True)
    console.print(said.sentence(made), highlight=False, markup=False, soft_wrap=True)
    console.print(f"{path} written in {seconds:.0f} s", highlight=False, soft_wrap=True)
    return 0 if said.holds(made) else 1


def faults(options: argparse.Namespace, console: Console) -> int:
    """Measure what the audit catches, on seeded faults and on honest engines."""
    from reports.faults import Request, measure  # torch's compiler serves this verb and the tests alone

    if "alarms" in options.only and not set(options.engines) & set(ENGINES_SWEPT):
        raise UsageError(
            f"alarms are counted in {', '.join(ENGINES_SWEPT)}, not in {', '.join(options.engines)}: name one of them, "
            "or leave alarms out of --only"
        )
    request = Request(
        options.engines, options.dtypes, options.seeds, options.cases, options.seed, options.only, options.workers
    )

    def tell(line: str) -> None:
        console.print(line, markup=False, highlight=False)

    return chapter(
        "faults",
        "measuring",
        proof,
        lambda folder, progress: measure(request, folder, progress, tell),
        options,
        console,
    )


def train(options: argparse.Namespace, console: Console) -> int:
    """Train every optimiser in every engine, each step audited."""
    request = trajectories.Request(
        options.engines, options.dtypes, options.steps, options.epochs, options.long, options.seed, options.workers
    )
    console.print(f"seed {options.seed}: {options.workers} workers", highlight=False)
    return chapter("trajectories", "training", trained, partial(trajectories.measure, request), options, console)


def bench(options: argparse.Namespace, console: Console) -> int:
    """Time the audit and the reference, and write bench.json."""
    from reports.bench import measure, tables

    folder = results.writable(options.out)
    found = measure(options.rounds, console)
    results.write(folder / "bench.json", results.dump(found))
    for table in tables(found):
        console.print(table)
    console.print(f"{folder / 'bench.json'} written", highlight=False, soft_wrap=True)
    return 0


VERBS = {
    "audit": audit,
    "merge": merge,
    "replay": again,
    "gate": hold,
    "compare": beside,
    "render": page,
    "divergences": divergences,
    "sweep": sweep,
    "faults": faults,
    "trajectories": train,
    "bench": bench,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb: 0 all hold, 1 something breaks, 2 the call or its input is wrong."""
    options = parser().parse_args(arguments)
    console = Console(stderr=False)
    try:
        return VERBS[options.verb](options, console)
    except (UsageError, AdapterError, CaseError, campaign.CampaignError, results.ResultsError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    warnings.simplefilter("default")
    sys.exit(main())
