"""What an adapter declares of its arithmetic: how it is read, what it is allowed then, and what is refused."""

import re
from dataclasses import replace

import numpy as np
import pytest

from adapters.contract import AdapterError, arithmetic_of
from adapters.numpy.engine import NumpyEngine
from reference.arithmetic import UNDECLARED, Arithmetic
from reference.audit import audit, first_break
from reference.cases import Combination, Shape, draw_case


class Declaring(NumpyEngine):
    """An engine of somebody's own, with a declaration."""

    name = "mine"

    def __init__(self, declared):
        super().__init__()
        self.arithmetic = declared


TIGHT = {
    "sums_in": "float32",
    "flushes": False,
    "excess_precision": False,
    "mean_of_all": False,
    "accuracy": "numpy",
}


class Attributes:
    """The same in plain attributes."""

    sums_in, flushes, excess_precision, mean_of_all, accuracy = TIGHT.values()

    def helper(self):
        """Methods are not a declaration."""


@pytest.mark.parametrize(
    "declared", [TIGHT, Attributes, Attributes(), Arithmetic(**TIGHT)], ids=["dict", "class", "instance", "object"]
)
def test_an_arithmetic_is_declared_as_an_object_a_dict_or_attributes(declared):
    assert arithmetic_of(Declaring(declared)) == Arithmetic(**TIGHT)


def test_an_engine_that_declares_nothing_is_allowed_the_widest():
    assert arithmetic_of(Declaring(None)) == UNDECLARED
    assert arithmetic_of(Declaring(None), "gpu") == Arithmetic(accuracy="any on gpu")


def test_what_is_left_out_is_the_widest():
    assert arithmetic_of(Declaring({"flushes": False})) == replace(UNDECLARED, flushes=False)
    assert arithmetic_of(Declaring({"flushes": False}), "gpu").accuracy == "any on gpu"


def test_a_declaration_gives_the_tight_allowance():
    """A bias's gradient that is summed in bfloat16 is one that flushing engines give, and no engine of float32 sums."""
    case = draw_case(
        np.random.default_rng(1), Combination("tanh", "identity", "huber"), Shape((4, 3, 2), 8), "bfloat16"
    )
    trace = NumpyEngine().trace(case)
    off = replace(trace, db={l: db * (1 + 2.0**-6) for l, db in trace.db.items()})
    assert first_break(audit(case, off, arithmetic_of(Declaring(None)))) is None
    assert first_break(audit(case, off, arithmetic_of(Declaring(TIGHT)))).equation == "7b"
    assert first_break(audit(case, trace, arithmetic_of(Declaring(TIGHT)))) is None


def test_roundings_of_ones_own():
    accuracy = {"tanh": {"value": 0.5, "derivative": 2}, "huber": {"value": 1.0}}
    declared = arithmetic_of(Declaring({"accuracy": accuracy}))
    assert declared.accuracy == (("tanh", "value", 0.5), ("tanh", "derivative", 2.0), ("huber", "value", 1.0))
    hash(declared)


@pytest.mark.parametrize(
    ("declared", "named"),
    [
        ({"flush": True}, "'flush', but may have operands"),
        ({1: True}, "1, but may have"),
        ({"flushes": 1}, "flushes = 1, but should have True or False"),
        ({"sums_in": "float8"}, "sums_in = 'float8', but should have one of float32"),
        ({"accumulates_in": None}, "accumulates_in = None"),
        ({"operands": ["bfloat16"]}, "operands = ['bfloat16']"),
        ({"accuracy": 3}, "accuracy = 3, but should have a name, or a dict"),
        ({"accuracy": {"tangent": {"value": 1}}}, "accuracy of 'tangent'"),
        ({"accuracy": {"tanh": 1}}, "accuracy of tanh of ''"),
        (
            {"accuracy": {"tanh": {"slope": 1}}},
            "accuracy of tanh of 'slope', but should have it of value and derivative",
        ),
        ({"accuracy": {"tanh": {"value": -1}}}, "accuracy of tanh = -1, but should have a number of roundings"),
        ({"accuracy": {"tanh": {"value": float("nan")}}}, "accuracy of tanh = nan"),
        ({"accuracy": {"tanh": {"value": "1"}}}, "accuracy of tanh = '1'"),
    ],
)
def test_a_declaration_that_is_not_understood_names_what_is_wrong(declared, named):
    with pytest.raises(AdapterError, match=re.escape(named)) as caught:
        arithmetic_of(Declaring(declared))
    assert "\n" not in str(caught.value)
    assert "arithmetic of adapter 'mine'" in str(caught.value)
