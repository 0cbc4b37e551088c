"""Options that several verbs share, and the types of their values."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from reference.case import choose
from reference.rounding import DTYPES
from reports.results.environment import cores

BUILD = Path("reports/build")
SEED = 2026


class UsageError(ValueError):
    """A call that cannot be carried out; the message is one line."""


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}\n")


# --- types of values


def names(allowed: Sequence[str], what: str) -> Callable[[str], tuple[str, ...]]:
    """The type of an option that takes a comma-separated choice of names."""

    def parse(text: str) -> tuple[str, ...]:
        for name in text.split(","):
            if name not in allowed:
                raise argparse.ArgumentTypeError(str(choose(what, name, tuple(allowed))))
        return tuple(dict.fromkeys(text.split(",")))

    return parse


def whole_number(least: int, what: str = "count") -> Callable[[str], int]:
    """The type of an option that takes a whole number, of at least so many."""

    def parse(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} is not a {what}: give a whole number, at least {least}")
        return int(text)

    return parse


positive, count, seed_value = whole_number(1), whole_number(0), whole_number(0, "seed")


def device_name(text: str) -> str:
    """The type of an option that takes a device."""
    if text not in ("cpu", "gpu"):
        raise argparse.ArgumentTypeError(str(choose("device", text, ("cpu", "gpu"))))
    return text


# --- options, added to the parser of a verb


def engines(
    verb: argparse.ArgumentParser, allowed: Sequence[str], default: Sequence[str] | None, otherwise: str = "all"
) -> None:
    """Add --engines; without a default, `otherwise` says what is run."""
    what = ", ".join(default) if default and tuple(default) != tuple(allowed) else otherwise
    help = f"some of {', '.join(allowed)} (default: {what})"
    verb.add_argument("--engines", type=names(allowed, "engine"), default=default, metavar="NAMES", help=help)


def adapters(verb: argparse.ArgumentParser) -> None:
    """Add --adapter."""
    help = "an engine of your own, path/to/file.py:ClassName; repeatable (default: none)"
    verb.add_argument("--adapter", action="append", default=[], metavar="FILE:CLASS", help=help)


def dtypes(verb: argparse.ArgumentParser, allowed: Sequence[str] = DTYPES) -> None:
    """Add --dtypes."""
    help = f"some of {', '.join(allowed)} (default: all)"
    verb.add_argument("--dtypes", type=names(allowed, "dtype"), default=tuple(allowed), metavar="NAMES", help=help)


def device(verb: argparse.ArgumentParser) -> None:
    """Add --device."""
    verb.add_argument("--device", type=device_name, default="cpu", metavar="DEVICE", help="cpu or gpu (default: cpu)")


def workers(verb: argparse.ArgumentParser) -> None:
    """Add --workers."""
    help = "worker processes, of one thread each (default: one for each core)"
    verb.add_argument("--workers", type=positive, default=cores(), metavar="N", help=help)


def seed(verb: argparse.ArgumentParser, of: str) -> None:
    """Add --seed, the seed `of` something."""
    help = f"seed of {of} (default: {SEED})"
    verb.add_argument("--seed", type=seed_value, default=SEED, metavar="N", help=help)


def number(verb: argparse.ArgumentParser, name: str, default: int, what: str, least: int = 1) -> None:
    """Add an option that takes a whole number."""
    help = f"{what} (default: {default})"
    verb.add_argument(name, type=whole_number(least), default=default, metavar="N", help=help)


def out(verb: argparse.ArgumentParser) -> None:
    """Add --out."""
    help = f"output folder (default: {BUILD})"
    verb.add_argument("--out", type=Path, default=BUILD, metavar="FOLDER", help=help)


def results(verb: argparse.ArgumentParser) -> None:
    """Add the results that a verb reads, and --out, which is their folder where it is not given."""
    path = BUILD / "results.json"
    verb.add_argument(
        "results", type=Path, nargs="?", default=path, metavar="RESULTS", help=f"results of `audit` (default: {path})"
    )
    verb.add_argument("--out", type=Path, metavar="FOLDER", help="output folder (default: that of RESULTS)")
