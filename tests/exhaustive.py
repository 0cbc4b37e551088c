"""Which rows of a table the quick tests have; `--exhaustive` has them all."""

import pytest


def spread(rows, count):
    """So many of the rows, evenly spread; all where there are no more."""
    rows = list(rows)
    count = min(count, len(rows))
    return [rows[round(i * (len(rows) - 1) / max(1, count - 1))] for i in range(count)]


def quick(rows, count):
    """The rows as parameters, of which the quick tests run so many, evenly spread, and `--exhaustive` all."""
    rows = list(rows)
    chosen = set(spread(range(len(rows)), count))
    marks = [() if number in chosen else pytest.mark.exhaustive for number in range(len(rows))]
    return [
        pytest.param(*(row if type(row) is tuple else (row,)), marks=mark)
        for row, mark in zip(rows, marks, strict=True)
    ]
