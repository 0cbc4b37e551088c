"""python -m reports VERB: audit engines, render the report, measure accuracy and speed."""

import sys
import warnings
from collections.abc import Collection, Sequence
from importlib import import_module
from types import ModuleType

from rich.console import Console

from adapters.contract import AdapterError
from reference.case import CaseError
from reports.commands.options import Parser, UsageError
from reports.results.files import ResultsError
from reports.running.workers import CampaignError

VERBS = {
    "audit": "audit engines cell by cell, and write results.json",
    "merge": "put the results of all shares of a campaign together",
    "replay": "audit the Case of a file in every engine, and say what breaks",
    "render": "make report.html from results.json",
    "gate": "hold results.json to the baseline, and write gate.md and gate.xml",
    "compare": "say what changed between two results.json, such as before and after an upgrade",
    "divergences": "measure where the engines differ from the equations and from each other",
    "sweep": "measure the accuracy of every scalar function in every engine",
    "faults": "plant every seeded fault, audit honest engines, and say what is caught",
    "trajectories": "train with every optimiser in every engine, and audit every step",
    "bench": "time the audit and the reference beside the engines",
}
"""The verbs; `reports/commands/VERB.py` has `options`, which adds options to a parser, and a function of its name."""


def command(verb: str) -> ModuleType:
    """The module of a verb, which imports what the verb needs."""
    return import_module(f"reports.commands.{verb}")


def parser(with_options: Collection[str] = tuple(VERBS)) -> Parser:
    """The parser of all verbs, with the options of some: only their modules are imported."""
    main = Parser(prog="python -m reports", description=__doc__)
    verbs = main.add_subparsers(dest="verb", required=True, metavar="VERB", parser_class=Parser)
    for name, line in VERBS.items():
        verb = verbs.add_parser(name, help=line, description=f"{line[0].upper()}{line[1:]}.")
        if name in with_options:
            command(name).options(verb)
    return main


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb: 0 all hold, 1 something breaks, 2 the call or its input is wrong."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = parser(arguments[:1]).parse_args(arguments)
    try:
        return int(getattr(command(options.verb), options.verb)(options, Console()))
    except (UsageError, AdapterError, CaseError, CampaignError, ResultsError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    warnings.simplefilter("default")
    sys.exit(main())
