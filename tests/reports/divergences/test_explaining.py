"""Which row explains a finding, and which known departure a training run."""

import math

import pytest

from reports.divergences.explaining import explains, training_explanation


def departing(identity, function, what, status="defect", departure=1e-3, ordinary=True):
    return {
        "id": identity,
        "function": function,
        "what": what,
        "dtype": "float64",
        "status": {"torch-eager": status},
        "departure": {"torch-eager": departure},
        "ordinary": ordinary,
    }


TABLE = [
    departing("0", "softplus", "value", departure=1.0, ordinary=False),
    departing("1", "softplus", "value", "approximation"),
    departing("2", "softplus", "derivative"),
    departing("3", "huber", "value"),
    departing("4", "relu", "derivative", "convention"),
]

CELL = ("engine", "dtype", "hidden", "output", "loss")


def finding(equation, off):
    return {"equation": equation, "worst": {"observed": 1 + off, "expected": 1.0}}


@pytest.mark.parametrize(
    ("cell", "equation", "row"),
    [
        (("torch-eager", "float64", "softplus", "identity", "hinge"), "a", "1"),
        (("torch-eager", "float64", "softplus", "identity", "hinge"), "12", "1"),
        (("torch-eager", "float64", "softplus", "identity", "hinge"), "6a", "1"),
        (("torch-eager", "float64", "softplus", "identity", "hinge"), "14", "2"),
        (("torch-eager", "float64", "softplus", "identity", "hinge"), "9", None),
        (("torch-eager", "float64", "tanh", "softplus", "hinge"), "a", "1"),
        (("torch-eager", "float64", "tanh", "softplus", "hinge"), "9", "2"),
        (("torch-eager", "float64", "tanh", "softplus", "hinge"), "14", None),
        (("torch-eager", "float64", "tanh", "identity", "huber"), "8", "3"),
        (("torch-eager", "float64", "tanh", "identity", "huber"), "9", None),
        (("torch-eager", "float64", "relu", "relu", "hinge"), "14", None),
        (("torch-eager", "float64", "tanh", "softplus", "hinge"), "4", "1"),
        (("torch-eager", "float64", "tanh", "identity", "huber"), "4", "3"),
        (("torch-eager", "float64", "relu", "relu", "hinge"), "4", None),
        (("torch-eager", "float32", "softplus", "identity", "hinge"), "a", None),
        (("jax-jit", "float64", "softplus", "identity", "hinge"), "a", None),
        (("torch-eager", "float64", "softplus", "softplus", "huber"), "7a", None),
    ],
)
def test_a_cell_is_explained_by_a_departure_of_its_own_function(cell, equation, row):
    assert explains(TABLE, dict(zip(CELL, cell, strict=True)), finding(equation, 1e-3)) == row


@pytest.mark.parametrize("off", [3e-3, -1.0, math.nan, math.inf])
@pytest.mark.parametrize("equation", ["a", "14"])
def test_an_element_that_is_further_off_than_the_row_is_not_explained(equation, off):
    """Another fault of the same function does not hide behind the one that is known."""
    cell = dict(zip(CELL, ("torch-eager", "float64", "softplus", "identity", "hinge"), strict=True))
    assert explains(TABLE, cell, finding(equation, 1e-3)) is not None
    assert explains(TABLE, cell, finding(equation, off)) is None
    assert explains(TABLE, cell, {"equation": equation, "worst": None}) is None


@pytest.mark.parametrize(
    ("engine", "dtype", "equations", "expected"),
    [
        ("jax-jit", "float64", ["schedule: η"], "optax.schedules: float32"),
        ("torch-eager", "float64", ["nadam: mu_product"], "torch.optim.NAdam: mu_product"),
        ("jax-jit", "float32", ["schedule: η"], None),
        ("torch-eager", "float64", ["schedule: η"], None),
        ("jax-jit", "float64", ["schedule: η", "adam: w"], None),
        ("jax-jit", "float64", [], None),
    ],
)
def test_only_what_is_known_explains_a_training_run(engine, dtype, equations, expected):
    assert training_explanation(engine, dtype, equations) == expected
