"""python -m reports VERB: audit engines, render the report, measure accuracy and speed."""

import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from adapters.contract import ENGINES, AdapterError
from reference.activations import ACTIVATIONS, HIDDEN, OUTPUT
from reference.case import CaseError
from reference.losses import LOSSES
from reference.rounding import DTYPES
from reports.campaign import shares
from reports.commands.audit import audit, share
from reports.commands.bench import bench
from reports.commands.compare import beside
from reports.commands.divergences import divergences
from reports.commands.faults import FAULT_ENGINES, FAULT_PARTS, faults
from reports.commands.gate import hold
from reports.commands.merge import merge
from reports.commands.options import (
    BUILD,
    ENGINES_SWEPT,
    SEED,
    Parser,
    UsageError,
    count,
    device,
    names,
    positive,
    seed,
)
from reports.commands.render import page
from reports.commands.replay import again
from reports.commands.sweep import sweep
from reports.commands.trajectories import train
from reports.gate import baseline, waivers
from reports.results import environment, files
from reports.running import workers
from reports.trajectories import measure


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
    audit.add_argument("--workers", type=positive, default=environment.cores(), help="processes (default: one a core)")
    audit.add_argument("--seed", type=seed, default=SEED, help=f"of every draw (default {SEED})")
    audit.add_argument(
        "--shard", type=share, default=shares.Share(1, 1), help="3/8: the third of eight shares; see merge"
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
    faults.add_argument("--workers", type=positive, default=environment.cores(), help="processes (default: one a core)")
    faults.add_argument("--seed", type=seed, default=SEED, help=f"of the honest cases (default {SEED})")
    faults.add_argument("--out", type=Path, default=BUILD, help=f"output folder (default {BUILD})")

    train = verbs.add_parser("trajectories", help="train every optimiser in every engine, every step audited")
    train.add_argument("--engines", type=names(measure.ENGINES, "engine"), default=measure.ENGINES)
    train.add_argument("--dtypes", type=names(measure.DTYPES, "dtype"), default=measure.DTYPES)
    train.add_argument("--steps", type=positive, default=40, help="of each run of the spread (default 40)")
    train.add_argument("--epochs", type=positive, default=20, help="on digits (default 20)")
    train.add_argument("--long", type=count, default=0, help="steps of a long run in each engine (default 0: none)")
    train.add_argument("--workers", type=positive, default=environment.cores(), help="processes (default: one a core)")
    train.add_argument("--seed", type=seed, default=SEED, help=f"of data, weights and batches (default {SEED})")
    train.add_argument("--out", type=Path, default=BUILD, help=f"output folder (default {BUILD})")

    bench = verbs.add_parser("bench", help="time the audit and the reference beside the engines")
    bench.add_argument("--rounds", type=positive, default=15, help="rounds of each, in turns (default 15)")
    bench.add_argument("--out", type=Path, default=BUILD, help=f"output folder (default {BUILD})")
    return main


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
    except (UsageError, AdapterError, CaseError, workers.CampaignError, files.ResultsError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    warnings.simplefilter("default")
    sys.exit(main())
