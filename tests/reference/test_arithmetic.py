"""What an engine declares narrows what it is allowed, and what it leaves out is the widest."""

from dataclasses import replace

import pytest

from adapters.contract import ENGINES
from reference import rounding as rd
from reference.arithmetic import UNDECLARED
from tests.arithmetics import arithmetic
from tests.tables import over

ERRORS = ("u", "v", "sums", "stored", "operand", "reduced", "underflow", "read", "mean_of_all")


@over("dtype", rd.DTYPES)
@over("engine", ENGINES)
def test_what_is_declared_allows_no_more_than_what_is_not(engine, dtype):
    """But for a compiler that may compute a number again: it has to say so."""
    declared, widest = (rd.rounding(dtype, of) for of in (arithmetic(engine), UNDECLARED))
    wider = {name for name in ERRORS if getattr(declared, name) > getattr(widest, name)}
    assert wider == ({"operand"} if engine == "jax-whole" and dtype in ("float32", "float64") else set())
    for what in ("value", "derivative"):
        assert declared.k("tanh", what) <= widest.k("tanh", what)


@pytest.mark.parametrize(
    ("change", "dtype", "name"),
    [
        ({"flushes": False}, "float32", "read"),
        ({"sums_in": "float32"}, "bfloat16", "sums"),
        ({"excess_precision": False}, "float16", "operand"),
        ({"mean_of_all": False}, "float64", "mean_of_all"),
        ({"accumulates_in": "float64"}, "float32", "v"),
    ],
)
def test_each_declaration_narrows_its_own_allowance_alone(change, dtype, name):
    narrowed, widest = (rd.rounding(dtype, of) for of in (replace(UNDECLARED, **change), UNDECLARED))
    narrower = {each for each in ERRORS if getattr(narrowed, each) < getattr(widest, each)}
    assert narrower == {name}


@pytest.mark.parametrize(("change", "name"), [({"recomputes": True}, "operand"), ({"operands": "bfloat16"}, "reduced")])
def test_what_costs_precision_widens_what_is_allowed(change, name):
    widened, widest = (rd.rounding("float32", of) for of in (replace(UNDECLARED, **change), UNDECLARED))
    assert {each for each in ERRORS if getattr(widened, each) > getattr(widest, each)} == {name}
