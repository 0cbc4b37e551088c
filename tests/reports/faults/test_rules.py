"""The rules of other projects: each accepts what is right, catches a gross fault, and has its published blind spots."""

import math
from itertools import product

import numpy as np
import pytest

from adapters.numpy.engine import NumpyEngine
from reference.cases import Combination, Shape, draw_case
from reference.rounding import DTYPES, rounded
from reports.faults.rules import CURVES, RULES, STEPS, Rule, quantities

BY_NAME = {rule.name: rule for rule in RULES}

SHAPES = (4, 3), (2, 4), (4,), (2,), ()
"""dW^1, dW^2, db^1, db^2 and the loss of a 3-4-2 network."""


def numbers(size, dtype="float32", seed=3):
    """Gradients and a loss of about that size, as numbers of the format."""
    rng = np.random.default_rng(seed)
    return [rounded(size * (1 + rng.random(shape)) * rng.choice([-1, 1], shape), dtype) for shape in SHAPES]


def changed(arrays, array, change):
    """The same arrays with one of them changed."""
    return [change(a) if i == array else a for i, a in enumerate(arrays)]


def with_element(value):
    """Puts a number in the place of the first."""

    def change(a):
        a = a.copy()
        a.flat[0] = value
        return a

    return change


def gradients(arrays, change):
    """The same arrays with every gradient changed, but not the loss."""
    return [*(change(a) for a in arrays[:-1]), arrays[-1]]


ABSOLUTE_1E_5 = {"torch.testing.assert_close", "Polygraphy, simple", "Polygraphy, distances"}
ABSOLUTE_1E_4 = {"torch dynamo, same", "torch dynamo, cosine similarity", "gradbench"}
ABSOLUTE_1E_3 = {"NNSmith", "MindStudio msprobe", "MindStudio msprobe, both figures"}
ABSOLUTE_1E_1 = {"NablaFuzz", "Muffin"}
ABSOLUTE_1 = {"array-api-tests"}
RELATIVE = {"numpy.testing.assert_allclose", "ONNX backend tests", "DifferentiationInterfaceTest", "ADBench", "PaDiff"}
"""Rules by what an absolute tolerance lets through; those in RELATIVE allow less than 10⁻⁶."""

ABOVE_1E_5 = ABSOLUTE_1E_4 | ABSOLUTE_1E_3 | ABSOLUTE_1E_1 | ABSOLUTE_1

NAN_IS_NAN = {
    "numpy.testing.assert_allclose",
    "torch dynamo, cosine similarity",
    "ONNX backend tests",
    "gradbench",
    "NNSmith",
    "Muffin",
    "MindStudio msprobe",
    "MindStudio msprobe, both figures",
    "array-api-tests",
    "PaDiff",
}

SMALL, MIDDLE, LARGE = numbers(1e-6), numbers(2e-3), numbers(10.0)
ONES = [np.ones(shape) for shape in SHAPES]

PROBES = {
    # what is observed, what is expected, and the rules that accept it
    "dW^1 with the wrong sign": (changed(LARGE, 0, np.negative), LARGE, set()),
    "every gradient of 1e-6 twice as large": (gradients(SMALL, lambda a: 2 * a), SMALL, ABSOLUTE_1E_5 | ABOVE_1E_5),
    "every gradient of 2e-3 twice as large": (
        gradients(MIDDLE, lambda a: 2 * a),
        MIDDLE,
        # the cosine knows no factor; max |o − e| > .001 alone is not a failure to msprobe
        ABSOLUTE_1E_1 | ABSOLUTE_1 | {"torch dynamo, cosine similarity", "MindStudio msprobe"},
    ),
    "every gradient of 10 twice as large": (
        gradients(LARGE, lambda a: 2 * a),
        LARGE,
        # to Muffin, the second layer alone is off while the loss agrees; the first follows from it
        {"torch dynamo, cosine similarity"},
    ),
    "every gradient of 10 off by 5e-4 of it": (
        gradients(LARGE, lambda a: 1.0005 * a),
        LARGE,
        {"ONNX backend tests", "NNSmith", "DifferentiationInterfaceTest", "torch dynamo, cosine similarity"}
        | {"MindStudio msprobe"}
        | ABSOLUTE_1E_1
        | ABSOLUTE_1,
    ),
    "NaN in dW^1": (changed(LARGE, 0, with_element(math.nan)), LARGE, {"gradbench", "Muffin"}),
    "infinity in dW^1": (changed(LARGE, 0, with_element(math.inf)), LARGE, {"gradbench"}),
    "NaN in dW^1, where NaN is expected": (
        changed(LARGE, 0, with_element(math.nan)),
        changed(LARGE, 0, with_element(math.nan)),
        NAN_IS_NAN,
    ),
    "dW^2 zero instead of .5": (
        changed(ONES, 1, np.zeros_like),
        changed(ONES, 1, lambda a: a / 2),
        {"MindStudio msprobe", "array-api-tests"},
    ),
    "one small element of dW^1 twice as large": (
        changed(LARGE, 0, with_element(2e-3)),
        changed(LARGE, 0, with_element(1e-3)),
        {"DifferentiationInterfaceTest", "torch dynamo, cosine similarity", "MindStudio msprobe"}
        | {"NNSmith"}  # 1e-3 off, and allowed 1e-3 + 1e-2 · 1e-3
        | ABSOLUTE_1E_1
        | ABSOLUTE_1,
    ),
    "dW^1 in another order": (changed(LARGE, 0, lambda a: a[::-1]), LARGE, {"PaDiff"}),
    "a loss twice as large": (
        changed(LARGE, 4, lambda a: 2 * a),
        LARGE,
        # the cosine of two numbers is their sign; msprobe and Muffin do not judge one
        {"torch dynamo, cosine similarity", "MindStudio msprobe", "Muffin"},
    ),
    "the next number of float32": (
        [a * (1 + 2.0**-23) for a in ONES],
        ONES,
        set(BY_NAME) - {"numpy.testing.assert_allclose", "ADBench", "PaDiff"},
    ),
    "gradients that are nothing but rounding": (
        gradients(SMALL, lambda a: 1e-18 + 0 * a),
        gradients(SMALL, lambda a: -3e-19 + 0 * a),
        set(BY_NAME)
        - {"numpy.testing.assert_allclose", "DifferentiationInterfaceTest", "PaDiff", "Polygraphy, distances"},
    ),
}


every_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)


@every_rule
def test_a_rule_accepts_what_its_project_accepts(rule):
    found = {probe for probe, (seen, right, _) in PROBES.items() if rule.agrees(seen, right, "float32")}
    assert found == {probe for probe, (_, _, accepting) in PROBES.items() if rule.name in accepting}


def test_probes_name_rules_that_are_there_and_every_rule_has_a_blind_spot():
    named = set().union(*(accepting for *_, accepting in PROBES.values()))
    assert named == set(BY_NAME)
    assert len(BY_NAME) == len(RULES)


@every_rule
def test_equal_arrays_agree(rule):
    for dtype, size in product(DTYPES, (1e-20, 1e-6, 1.0, 1e4)):
        arrays = numbers(size, dtype)
        assert rule.agrees(arrays, [a.copy() for a in arrays], dtype), f"{size} in {dtype}"


@every_rule
def test_a_gross_fault_is_caught_in_every_format(rule):
    for dtype in DTYPES:
        arrays = numbers(10.0, dtype)
        assert not rule.agrees(changed(arrays, 0, np.negative), arrays, dtype), dtype


@every_rule
def test_arrays_of_another_shape_disagree_and_nothing_to_compare_is_refused(rule):
    assert not rule.agrees([np.ones((2, 3))], [np.ones((3, 2))], "float32")
    assert not rule.agrees([np.ones(1)], [np.ones(())], "float32")
    for observed, expected in ([], []), ([np.ones(2)], []), ([np.ones((0, 2))], [np.ones((0, 2))]):
        with pytest.raises(ValueError, match="should be given as many of both, at least one, and none empty"):
            rule.agrees(observed, expected, "float32")


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [("float32", 1.3e-6), ("float16", 1e-3), ("bfloat16", 1.6e-2), ("float64", 1e-7)],
)
def test_assert_close_takes_its_tolerances_from_the_format(name, tolerance):
    """An error of half of what is allowed at 1000 is accepted, one of 4 times rejected, where the format can tell."""
    rule, expected = BY_NAME["torch.testing.assert_close"], [np.array([1000.0])]
    assert rule.agrees([rounded(expected[0] * (1 + tolerance / 2), name)], expected, name)
    assert not rule.agrees([rounded(expected[0] * (1 + 4 * tolerance), name)], expected, name)


def test_what_is_expected_is_rounded_to_the_format_where_the_project_compares_such_numbers():
    """A third is not a number of bfloat16: its rounding is 0.0013 of it off, which printed numbers show."""
    third = [np.full(shape, 1 / 3) for shape in SHAPES]
    observed = [rounded(a, "bfloat16") for a in third]
    agreeing = {rule.name for rule in RULES if rule.agrees(observed, third, "bfloat16")}
    assert agreeing == set(BY_NAME) - {"gradbench", "ADBench"}


def test_dynamo_allows_a_few_times_the_error_of_the_format():
    """Beyond the 1e-4 of the first comparison, RMSE against float64 decides: 3 times that of the expected, and 1e-5."""
    rule, exact = BY_NAME["torch dynamo, same"], np.array([1 + 2.0**-10, 1 - 2.0**-11])
    step = 2.0**-7
    assert rule.agrees([np.array([1.0, 1.0])], [exact], "bfloat16")
    assert not rule.agrees([np.array([1 + step, 1.0])], [exact], "bfloat16")


def test_quantities_are_in_the_order_of_the_layers_and_end_with_the_loss():
    case = draw_case(
        np.random.default_rng(5), Combination("tanh", "identity", "half_squared_error"), Shape((3, 4, 2), 6), "float32"
    )
    trace = NumpyEngine().trace(case)
    found = quantities(trace)
    assert [array.shape for array in found] == list(SHAPES)
    assert (found[1] == trace.dW[2]).all()
    assert (found[3] == trace.db[2]).all()
    assert found[4] == trace.loss


# --- Muffin's chain of layers


def test_muffin_blames_a_layer_only_where_the_layer_after_it_agrees():
    rule = BY_NAME["Muffin"]
    off = lambda a: a + 1  # noqa: E731
    assert not rule.agrees(changed(LARGE, 0, off), LARGE, "float32")  # the first layer's W
    assert not rule.agrees(changed(LARGE, 2, off), LARGE, "float32")  # its b
    assert not rule.agrees(changed(LARGE, 1, off), LARGE, "float32")  # the last layer
    slightly = changed(LARGE, 1, lambda a: a + 1e-2)
    assert rule.agrees(changed(slightly, 0, off), LARGE, "float32")  # the first, where the last differs a little


def test_muffin_refuses_arrays_that_are_no_network():
    with pytest.raises(
        ValueError, match="Muffin is given 2 arrays, but should be given dW and db of every layer and L"
    ):
        BY_NAME["Muffin"].agrees([np.ones(2)] * 2, [np.ones(2)] * 2, "float32")


# --- msprobe and numbers that stand alone


def test_msprobe_gives_no_verdict_on_one_number():
    rule = BY_NAME["MindStudio msprobe"]
    assert rule.agrees([np.array(1.0)], [np.array(-100.0)], "float32")
    assert rule.agrees([np.array([1.0])], [np.array([-100.0])], "float32")
    assert rule.agrees([np.array(math.nan)], [np.array(1.0)], "float32")
    assert not rule.agrees([np.array([math.nan])], [np.array([1.0])], "float32")


# --- curves of losses

LOSSES = np.linspace(2.0, 1.0, STEPS)
WITHIN_1E_2, WITHIN_1E_5 = CURVES


@pytest.mark.parametrize("rule", CURVES, ids=lambda rule: rule.name)
def test_equal_curves_agree_and_a_loss_that_is_off_by_one_is_caught(rule):
    assert rule.agrees([LOSSES], [LOSSES.copy()], "float32")
    for step in range(STEPS):
        off = LOSSES.copy()
        off[step] += 1
        assert not rule.agrees([off], [LOSSES], "float32")


@pytest.mark.parametrize(
    ("error", "accepting"),
    [(9e-3, {WITHIN_1E_2.name}), (2e-2, set()), (4e-6, {rule.name for rule in CURVES}), (math.nan, {WITHIN_1E_5.name})],
)
def test_a_curve_may_be_off_by_the_published_number_and_nan_passes_the_tighter_rule(error, accepting):
    off = LOSSES.copy()
    off[-1] += error
    assert {rule.name for rule in CURVES if rule.agrees([off], [LOSSES], "float32")} == accepting


@pytest.mark.parametrize("rule", CURVES, ids=lambda rule: rule.name)
def test_a_curve_of_another_length_is_refused(rule):
    with pytest.raises(ValueError, match=r"losses have shape \(3,\), but should be those of 10 steps"):
        rule.agrees([LOSSES[:3]], [LOSSES[:3]], "float32")


def test_a_rule_judges_every_array():
    """One that rejects only the last of three."""
    seen = []

    def decide(observed, expected, dtype):
        seen.append((len(observed), len(expected), dtype))
        return False

    rule = Rule("none", "", "", "", False, decide)
    assert not rule.agrees([np.ones(1)] * 3, [np.ones(1)] * 3, "float64")
    assert seen == [(3, 3, "float64")]


@every_rule
def test_no_array_escapes(rule):
    """But the first layer's of Muffin, where the second agrees."""
    caught = [array for array in range(4) if not rule.agrees(changed(LARGE, array, np.negative), LARGE, "float32")]
    if rule.name != "Muffin":
        assert caught == [0, 1, 2, 3]
