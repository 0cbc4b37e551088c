"""Numbers in a text, with as many digits as tell one text from another."""

import re
from collections.abc import Iterable

NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:e[+-]?\d+)?(?![\w.])")

FEWEST, ALL = 3, 17
"""Significant digits: at least these are shown; 17 are all that a float64 has."""


def numbers(text: str) -> list[float]:
    """The decimal numbers in a text; part of a word, such as the 32 of float32, is not one."""
    return [float(found) for found in NUMBER.findall(text)]


def digits(text: str, others: Iterable[str]) -> int:
    """The fewest significant digits, at least 3, in which some number of a text differs from each of the others."""
    differing = [other for other in others if other != text]
    for count in range(FEWEST, ALL):
        if all(numbers(rounded(text, count)) != numbers(rounded(other, count)) for other in differing):
            return count
    return ALL


def rounded(text: str, count: int) -> str:
    """The text with its numbers rounded to so many significant digits; with all of them, as it is."""
    return text if count >= ALL else NUMBER.sub(lambda match: _rounded(float(match[0]), count), text)


def _rounded(x: float, count: int) -> str:
    """A number that six digits give exactly keeps them: 65504, not 6.55e+04."""
    exact = f"{x:g}"
    return exact if float(exact) == x else f"{x:.{count}g}"
