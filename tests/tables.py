"""Tables of many rows in one test: hundreds of rows that take a millisecond each cost more as tests of their own."""

from functools import wraps
from inspect import Parameter, signature
from itertools import product

import pytest

from tests.exhaustive import spread

FAILED = (Exception, pytest.fail.Exception, pytest.skip.Exception)
"""A skip too: a row that has nothing to say does not belong in the table."""

PARAM = type(pytest.param())
EXHAUSTIVE = Parameter("exhaustive", Parameter.POSITIONAL_OR_KEYWORD)


def over(names, rows, ids=None, quick=None):
    """As `pytest.mark.parametrize`, but one test runs every row, and then fails with all that fail, each named.

    Of several, one above the other, every combination is run. Fixtures are the whole test's: what a row changes, it
    puts back itself. With `quick`, so many evenly spread rows are run, and every row with `--exhaustive`.
    """
    names = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
    rows = list(rows)
    assert rows, f"no rows of {', '.join(names)}"
    assert not any(type(row) is PARAM and row.marks for row in rows), "a row has no mark: it is the test that has"
    table = [(called(row, number, names, ids), values_of(row, names)) for number, row in enumerate(rows)]

    def decorated(test):
        tables = [(table, quick), *getattr(test, "tables", [])]
        one_row = getattr(test, "one_row", test)

        @wraps(test, updated=())
        def every_row(exhaustive, **fixtures):
            chosen = [rows if few is None or exhaustive else spread(rows, few) for rows, few in tables]
            run(one_row, fixtures, list(product(*chosen)))

        every_row.tables, every_row.one_row = tables, one_row
        every_row.pytestmark = list(getattr(test, "pytestmark", []))
        every_row.__signature__ = taking(signature(test), names)
        return every_row

    return decorated


def run(test, fixtures, rows):
    """Call the test once with each row; raise what failed as one group."""
    failed = []
    for parts in rows:
        values = {name: value for _, of_table in parts for name, value in of_table.items()}
        try:
            test(**fixtures, **values)
        except FAILED as error:
            error.add_note(f"in the row {'-'.join(name for name, _ in parts)}")
            failed.append(error)
    if failed:
        raise BaseExceptionGroup(f"{len(failed)} of {len(rows)} rows", failed)


def taking(test, names):
    """The signature without those arguments, and with the fixture that says whether every row is run."""
    assert set(names) <= set(test.parameters), f"{names} are not all among {list(test.parameters)}"
    fixtures = {name: p for name, p in test.parameters.items() if name not in names}
    return test.replace(parameters=({"exhaustive": EXHAUSTIVE} | fixtures).values())


def values_of(row, names):
    """A row's values by name."""
    values = row.values if type(row) is PARAM else row if len(names) > 1 else (row,)
    return dict(zip(names, values, strict=True))


def called(row, number, names, ids):
    """What a row is called: its id, or what its values are called."""
    if type(row) is PARAM and row.id:
        return row.id
    if ids is not None and not callable(ids):
        return str(list(ids)[number])
    values = values_of(row, names).values()
    return "-".join(str(ids(value)) if ids else getattr(value, "__name__", str(value)) for value in values)
