"""Options that several verbs share, and their types."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from adapters.contract import ENGINES
from reference.case import choose

BUILD = Path("reports/build")
SEED = 2026

ENGINES_SWEPT = tuple(name for name in ENGINES if name != "jax-whole")
"""Engines with functions of their own: jax-whole's are those of jax-jit."""


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
