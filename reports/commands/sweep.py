"""`sweep`: measure the accuracy of every scalar function in every engine."""

import argparse
from importlib.util import find_spec

from rich.console import Console

from adapters.contract import ENGINES, load
from reference.activations import ACTIVATIONS
from reference.losses import LOSSES
from reports.commands import options as shared
from reports.commands.options import UsageError
from reports.results import files
from reports.running.engines import WITH_FUNCTIONS
from reports.text.console import say

FUNCTIONS = (*ACTIVATIONS, *LOSSES)


def options(verb: argparse.ArgumentParser) -> None:
    """The options of `sweep`."""
    shared.engines(verb, tuple(ENGINES), WITH_FUNCTIONS)
    help = f"some of {', '.join(FUNCTIONS)} (default: all)"
    verb.add_argument(
        "--functions", type=shared.names(FUNCTIONS, "function"), default=FUNCTIONS, metavar="NAMES", help=help
    )
    shared.dtypes(verb)
    shared.number(verb, "--inputs", 2**22, "float32 inputs of each function")
    verb.add_argument(
        "--exhaustive", action="store_true", help=f"all {2**32} float32 inputs (default: as many as --inputs)"
    )
    shared.number(verb, "--drawn", 2**13, "inputs where they are drawn: float64, losses, coupled activations")
    shared.seed(verb, "the drawn inputs")
    shared.device(verb)
    shared.out(verb)


def sweep(options: argparse.Namespace, console: Console) -> int:
    """Measure every scalar function, and write scalar_accuracy.json."""
    if find_spec("flint") is None:
        raise UsageError(
            "true values are computed with python-flint, which is not installed: python -m pip install python-flint"
        )
    from reports.accuracy.sweep import PARTIAL, SweepPlan, line, measure

    folder = files.writable(options.out)
    plan = SweepPlan(
        functions=options.functions,
        dtypes=options.dtypes,
        float32=2**32 if options.exhaustive else options.inputs,
        drawn=options.drawn,
        seed=options.seed,
    )
    adapters = [load(engine, options.device) for engine in options.engines]
    with console.status("sweeping") as progress:
        measured = measure(adapters, plan, folder, progress.update)
    for entry in sorted(measured["entries"], key=lambda entry: -float(entry["roundings"])):
        say(console, line(entry))
    files.write(folder / "scalar_accuracy.json", files.dump(dict(measured)))
    (folder / PARTIAL).unlink()
    say(console, f"{folder / 'scalar_accuracy.json'} written")
    return 0
