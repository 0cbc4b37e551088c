"""python -m reports VERB: audit engines, render the report, measure accuracy and speed."""

import argparse
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

from rich.console import Console

from adapters.contract import ENGINES, Adapter, AdapterError, load
from reference.activations import HIDDEN, OUTPUT
from reference.case import Case, CaseError, choose, from_json
from reference.cases import COMBINATIONS, Combination
from reference.losses import LOSSES
from reference.rounding import DTYPES
from reports import campaign, digits, results, terminal
from reports.render import render, verdict

BUILD = Path("reports/build")
SEED = 2026


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
    audit.add_argument("--cases", type=positive, default=8, help="random cases a cell (default 8)")
    audit.add_argument("--seed", type=seed, default=SEED, help=f"of every draw (default {SEED})")
    audit.add_argument("--device", type=device, default="cpu", help="cpu (default) or gpu")
    audit.add_argument("--case", type=Path, help="audit this one Case, a JSON file, instead of random ones")
    audit.add_argument("--no-training", action="store_true", help="leave the training run on digits out")
    audit.add_argument("--out", type=Path, default=BUILD, help=f"output folder (default {BUILD})")

    page = verbs.add_parser("render", help="make report.html from results.json")
    page.add_argument("results", type=Path, nargs="?", default=BUILD / "results.json")
    page.add_argument("--out", type=Path, help="output folder (default: the results' own)")

    sweep = verbs.add_parser("sweep", help="measure the accuracy of every scalar function in every engine")
    sweep.add_argument("--inputs", type=positive, default=2**18, help="inputs a function (default 262144)")
    sweep.add_argument("--seed", type=seed, default=SEED, help=f"of the inputs (default {SEED})")
    sweep.add_argument("--out", type=Path, default=BUILD, help=f"output folder (default {BUILD})")

    bench = verbs.add_parser("bench", help="time the audit and the reference beside the engines")
    bench.add_argument("--rounds", type=positive, default=15, help="rounds of each, in turns (default 15)")
    bench.add_argument("--out", type=Path, default=BUILD, help=f"output folder (default {BUILD})")
    return main


def adapters_of(options: argparse.Namespace) -> list[Adapter]:
    """The engines and adapters asked for; every engine where neither is named."""
    engines = options.engines or (() if options.adapter else tuple(ENGINES))
    return [load(spec, options.device) for spec in (*engines, *options.adapter)]


def combinations_of(options: argparse.Namespace) -> list[Combination]:
    """The combinations that the options leave; raises UsageError if they leave none."""
    kept = [
        c for c in COMBINATIONS if c.hidden in options.hidden and c.output in options.output and c.loss in options.loss
    ]
    if not kept:
        raise UsageError(f"no loss of {', '.join(options.loss)} fits an output of {', '.join(options.output)}")
    return kept


def read_case(path: Path) -> Case:
    """The Case in a file."""
    try:
        return from_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"case {str(path)!r} cannot be read: {error}") from error


def cells(options: argparse.Namespace, adapters: list[Adapter]) -> Iterator[tuple[str, Any]]:
    """Every cell in turn: its id, and the adapter, dtype, combination and Cases that make it."""
    if options.case is not None:
        case = read_case(options.case)
        combination = Combination(case.hidden, case.output, case.loss)
        for adapter in adapters:
            yield (
                campaign.cell_id(adapter, options.device, case.dtype, *combination),
                (adapter, case.dtype, combination, [case]),
            )
        return
    for adapter in adapters:
        for dtype in options.dtypes:
            for combination in combinations_of(options):
                drawn = campaign.draw(options.seed, combination, dtype, options.cases)
                yield (
                    campaign.cell_id(adapter, options.device, dtype, *combination),
                    (adapter, dtype, combination, drawn),
                )


def audit(options: argparse.Namespace, console: Console) -> int:
    """Run a campaign: every cell, then the training run; write results.json and print the summary."""
    adapters = adapters_of(options)
    folder = results.writable(options.out)
    started, clock = datetime.now(UTC).isoformat(timespec="seconds"), time.perf_counter()
    work = list(cells(options, adapters))
    training = [] if options.case or options.no_training else [(a, d) for a in adapters for d in options.dtypes]
    console.print(f"seed {options.seed}: {len(work)} cells, {len(training)} training runs", highlight=False)
    found: dict[str, Any] = {"cells": [], "training": []}
    with terminal.progress(console) as bar:
        task = bar.add_task("", total=len(work) + len(training))
        for name, (adapter, dtype, combination, drawn) in work:
            bar.update(task, description=name)
            found["cells"].append(campaign.run_cell(adapter, options.device, dtype, combination, drawn, options.seed))
            bar.advance(task)
        for adapter, dtype in training:
            bar.update(task, description=campaign.cell_id(adapter, options.device, dtype, "digits"))
            *_, last = digits.train(adapter, options.device, dtype, options.seed)
            found["training"].append(last)
            bar.advance(task)
        bar.update(task, description="done")
    request = {
        "engines": [adapter.name for adapter in adapters],
        "dtypes": list(options.dtypes),
        "device": options.device,
        "cases": options.cases,
        "seed": options.seed,
    }
    seconds = time.perf_counter() - clock
    about = results.environment(adapters, options.seed, started, seconds)
    found = results.jsonable({"schema": results.SCHEMA, "environment": about, "request": request, **found})
    results.write(folder / "results.json", results.dump(found))
    console.print(terminal.summary(found))
    for line in terminal.breaks(found):
        console.print(line, style="red", highlight=False, markup=False, soft_wrap=True)
    console.print(f"{verdict(found)}", highlight=False, markup=False, soft_wrap=True)
    console.print(f"{folder / 'results.json'} written in {seconds:.0f} s", highlight=False, soft_wrap=True)
    return results.status(found)


def page(options: argparse.Namespace, console: Console) -> int:
    """Make report.html; the exit status is that of the results."""
    found = results.load(options.results)
    folder = results.writable(options.out or options.results.parent)
    results.write(folder / "report.html", render(found))
    console.print(f"{folder / 'report.html'} written: {verdict(found)}", highlight=False, markup=False, soft_wrap=True)
    return results.status(found)


def sweep(options: argparse.Namespace, console: Console) -> int:
    """Measure every scalar function and write scalar_accuracy.json."""
    from reports.sweep import measure  # python-flint serves this verb and the tests alone

    folder = results.writable(options.out)
    found = measure([load(engine) for engine in ENGINES], DTYPES, options.seed, options.inputs, console)
    results.write(folder / "scalar_accuracy.json", results.dump(found))
    console.print(f"{folder / 'scalar_accuracy.json'} written", highlight=False, soft_wrap=True)
    return 0


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


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb: 0 all hold, 1 something breaks, 2 the call or its input is wrong."""
    options = parser().parse_args(arguments)
    console = Console(stderr=False)
    try:
        return {"audit": audit, "render": page, "sweep": sweep, "bench": bench}[options.verb](options, console)
    except (UsageError, AdapterError, CaseError, results.ResultsError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    warnings.simplefilter("default")
    sys.exit(main())
