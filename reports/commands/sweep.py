"""`sweep`: measure the accuracy of every scalar function."""

import argparse

from rich.console import Console

from adapters.contract import load
from reports.results import files


def sweep(options: argparse.Namespace, console: Console) -> int:
    """Measure every scalar function and write scalar_accuracy.json."""
    from reports.accuracy.sweep import PARTIAL, Plan, line, measure  # python-flint serves this verb and the tests alone

    folder = files.writable(options.out)
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
    files.write(folder / "scalar_accuracy.json", files.dump(found))
    (folder / PARTIAL).unlink()
    console.print(f"{folder / 'scalar_accuracy.json'} written", highlight=False, soft_wrap=True)
    return 0
