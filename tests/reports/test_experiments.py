"""The experiments: each equation holds for honest engines, and each is broken by an adapter planted for it."""

from dataclasses import replace

import numpy as np
import pytest

from adapters.numpy_engine import NumpyEngine
from reference import equations as eq
from reference.activations import ACTIVATIONS
from reference.cases import Combination, Shape, draw_case
from reports.experiments import LEARNING_RATE, draw_direction, experiments, extrapolation, kinked, move, smooth_length

SQUARE = Shape((4, 4, 4, 4), 5)

COMBINATIONS = [
    Combination("tanh", "sigmoid", "binary_cross_entropy"),
    Combination("relu", "identity", "half_squared_error"),
    Combination("silu", "softmax", "categorical_cross_entropy"),
    Combination("gelu", "softmax", "categorical_cross_entropy_on_logits"),
    Combination("relu", "relu", "half_squared_error"),
    Combination("softplus", "softmax", "half_squared_error"),
]

EVERYWHERE = {"2a", "2b", "5a", "5b", "6a", "6b", "10a", "10b", "11", "12", "13"}
LIMITS = {"3", "4"}
ALONE = {"z", "a", "8", "1", "9", "14", "7a", "7b"}
"""Of the trace of one pair alone, which (5a) and (5b) rest on."""


def case_of(combination, dtype, seed=4, shape=SQUARE):
    return draw_case(np.random.default_rng(seed), combination, shape, dtype)


def findings_of(adapter, case, seed=9):
    return list(experiments(adapter, case, adapter.trace(case), np.random.default_rng(seed)))


def broken(findings):
    return {finding.equation for finding in findings if not finding.holds}


# --- honest engines


@pytest.mark.parametrize("combination", COMBINATIONS, ids="-".join)
def test_every_equation_holds_for_honest_engines(engine, dtype, combination):
    findings = findings_of(engine, case_of(combination, dtype))
    assert broken(findings) == set(), f"{engine.name} breaks {[f for f in findings if not f.holds]}, but should hold"
    checked = {finding.equation for finding in findings}
    expected = EVERYWHERE | ALONE | (LIMITS if dtype == "float64" else set())
    assert checked == expected, f"checked is {sorted(checked)}, but should be {sorted(expected)}"
    assert all(finding.elements > 0 for finding in findings)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("combination", COMBINATIONS, ids="-".join)
def test_every_draw_holds(combination, seed):
    """The limits (3) and (4) most of all: other weights and directions, same verdict."""
    rng = np.random.default_rng([seed, 1])
    shape = Shape(tuple(int(n) for n in rng.integers(2, 9, size=4)), int(rng.integers(1, 9)))
    findings = findings_of(NumpyEngine(), case_of(combination, "float64", seed, shape), seed)
    assert broken(findings) == set(), f"breaks are {[f for f in findings if not f.holds]}, but should be none"


def test_layers_are_all_there():
    findings = findings_of(NumpyEngine(), case_of(COMBINATIONS[0], "float32"))
    layers = {}
    for finding in findings:
        layers.setdefault(finding.equation, []).append(finding.layer)
    everywhere = {"2a", "2b", "5a", "5b", "6a", "6b", "7a", "7b", "z", "a"}
    assert {eq: sorted(found) for eq, found in layers.items()} == {
        **{equation: [1, 2, 3] for equation in everywhere},
        **{equation: [1, 2] for equation in ("11", "13", "14")},
        **{equation: [3] for equation in ("10a", "10b", "9", "8", "1")},
        "12": [2, 3],
    }


# --- planted


class Planted(NumpyEngine):
    """NumPy with something wrong in it."""

    name = "planted"


class WrongRate(Planted):
    def train(self, case, plan):
        return super().train(case, replace(plan, learning_rate=1.001 * plan.learning_rate))


class BiasLeftAsItIs(Planted):
    def train(self, case, plan):
        for step in super().train(case, plan):
            yield replace(step, new_b=step.b)


class Scaled(Planted):
    """The gradient too large by a factor, the loss as it is."""

    factor = 1 + 1e-6

    def trace(self, case):
        trace = super().trace(case)
        dW, db = ({l: self.factor * g for l, g in part.items()} for part in (trace.dW, trace.db))
        return replace(trace, dW=dW, db=db)


class OneElement(Planted):
    """One element of one weight gradient missing: what is left is a gradient along the others, so that (4) holds."""

    def trace(self, case):
        trace = super().trace(case)
        dW = trace.dW[2].copy()
        dW[1, 2] = 0
        return replace(trace, dW={**trace.dW, 2: dW})


class Uphill(Scaled):
    factor = -1.0


class Neighbour(Planted):
    """δ of a neighbouring sample."""

    def trace(self, case):
        trace = super().trace(case)
        return replace(trace, delta={l: np.roll(d, 1, axis=0) for l, d in trace.delta.items()})


class NotAlone(Planted):
    """A batch of one pair has a gradient that is too large."""

    def trace(self, case):
        trace = super().trace(case)
        if case.samples > 1:
            return trace
        dW, db = ({l: 1.001 * g for l, g in part.items()} for part in (trace.dW, trace.db))
        return replace(trace, dW=dW, db=db)


class WrongOutputWeight(Planted):
    """The output layer's gradient of the weights off by little, of the biases as it is."""

    def trace(self, case):
        trace = super().trace(case)
        return replace(trace, dW={**trace.dW, case.last: 1.0001 * trace.dW[case.last]})


class WrongOutputBias(Planted):
    """The output layer's gradient of the biases summed over the batch."""

    def trace(self, case):
        trace = super().trace(case)
        return replace(trace, db={**trace.db, case.last: case.samples * trace.db[case.last]})


class BiasOfTheLayerBelow(Planted):
    """(12) as it is printed: b_t^l where b_t^{l+1} is meant."""

    def trace(self, case):
        trace = super().trace(case)
        z = {l: trace.z[l] + (case.b[l - 1] - case.b[l] if l > 1 else 0) for l in case.layers}
        return replace(trace, z=z)


class TransposedInForward(Planted):
    """(12) as it is printed: w_ft^{l+1} where w_tf^{l+1} is meant."""

    def trace(self, case):
        trace = super().trace(case)
        z = {l: trace.z[l] if l == 1 else eq.total_input(case.W[l].T, case.b[l], trace.a[l - 1]) for l in case.layers}
        return replace(trace, z=z)


class TransposedInVjp(Planted):
    """(13) as it is printed: w_ft^{l+1} where w_tf^{l+1} is meant."""

    def layer_vjp(self, case, layer, z_prev, cotangent):
        dW, db, _ = super().layer_vjp(case, layer, z_prev, cotangent)
        f = ACTIVATIONS[case.activation(layer - 1)]
        return dW, db, f.derivative(z_prev) * (cotangent @ case.W[layer].T)


class NoActivationInVjp(Planted):
    """∂z/∂w of the total input below, where its activation is meant."""

    def layer_vjp(self, case, layer, z_prev, cotangent):
        _, db, dz = super().layer_vjp(case, layer, z_prev, cotangent)
        return cotangent.T @ z_prev, db, dz


class AveragedInVjp(Planted):
    """∂z/∂b averaged over the batch."""

    def layer_vjp(self, case, layer, z_prev, cotangent):
        dW, db, dz = super().layer_vjp(case, layer, z_prev, cotangent)
        return dW, db / case.samples, dz


class WrongDelta(Planted):
    """A trace's δ^1 off by little, which its own vjp does not give."""

    def trace(self, case):
        trace = super().trace(case)
        return replace(trace, delta={**trace.delta, 1: 1.001 * trace.delta[1]})


PLANTED = [
    (WrongRate, {"2a", "2b"}),
    (BiasLeftAsItIs, {"2b"}),
    (Scaled, {"4"}),
    (OneElement, {"3"}),
    (Uphill, {"3", "4"}),
    (Neighbour, {"5a", "5b"}),
    (NotAlone, {"5a", "5b"}),
    (WrongOutputWeight, {"10a"}),
    (WrongOutputBias, {"10b"}),
    (BiasOfTheLayerBelow, {"12"}),
    (TransposedInForward, {"12"}),
    (TransposedInVjp, {"11", "13"}),
    (NoActivationInVjp, {"6a"}),
    (AveragedInVjp, {"6b"}),
    (WrongDelta, {"11"}),
]


@pytest.mark.parametrize(("planted", "equations"), PLANTED, ids=[planted.__name__ for planted, _ in PLANTED])
def test_a_planted_fault_breaks_its_equation(planted, equations):
    for seed in range(3):
        case = case_of(COMBINATIONS[0], "float64", seed)
        assert broken(findings_of(NumpyEngine(), case)) == set(), "breaks without the fault"
        found = broken(findings_of(planted(), case))
        assert equations <= found, f"broken is {sorted(found)}, but should include {sorted(equations)}"


def test_every_equation_of_the_experiments_is_broken_by_something():
    assert set().union(*(equations for _, equations in PLANTED)) == EVERYWHERE | LIMITS


@pytest.mark.parametrize(
    ("planted", "equations"),
    [
        (WrongRate, {"2a", "2b"}),
        (BiasLeftAsItIs, {"2b"}),
        (NoActivationInVjp, {"6a"}),
        (AveragedInVjp, {"6b"}),
        (TransposedInVjp, {"11", "13"}),
    ],
)
def test_a_fault_beside_the_trace_breaks_nothing_else(planted, equations):
    """The equation that fails is the equation that is wrong."""
    found = broken(findings_of(planted(), case_of(COMBINATIONS[0], "float64")))
    assert found == equations, f"broken is {sorted(found)}, but should be {sorted(equations)}"


# --- (3) and (4)


def finding_of(equation, adapter, case):
    return next(finding for finding in findings_of(adapter, case) if finding.equation == equation)


class FarOff(Scaled):
    factor = 1.1


@pytest.mark.parametrize("planted", [Uphill, FarOff])
def test_the_order_of_a_wrong_gradient_is_1(planted):
    """What (3) leaves out is then of the first order."""
    case = case_of(COMBINATIONS[0], "float64")
    assert abs(finding_of("3", NumpyEngine(), case).worst.observed - 2) < 0.01
    order = finding_of("3", planted(), case).worst.observed
    assert abs(order - 1) < 0.1, f"the order is {order:.3f}, but should be 1"


def test_the_limit_of_a_wrong_gradient_is_its_factor():
    """ΔC/(−η‖∇C‖²) of a gradient that is f times the right one goes to 1/f."""
    limit = finding_of("4", Scaled(), case_of(COMBINATIONS[0], "float64")).worst.observed
    assert abs(limit - 1 / Scaled.factor) < 1e-7, f"the limit is {limit}, but should be {1 / Scaled.factor}"


def test_4_has_both_parts():
    findings = [f for f in findings_of(NumpyEngine(), case_of(COMBINATIONS[0], "float64")) if f.equation == "4"]
    assert [finding.elements for finding in findings] == [1, 4]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_loss_that_is_no_number_away_from_the_weights_breaks_3_and_4(bad):
    case = case_of(COMBINATIONS[0], "float64")

    class Lost(Planted):
        def trace(self, moved):
            trace = super().trace(moved)
            return trace if np.array_equal(moved.W[1], case.W[1]) else replace(trace, loss=bad)

    with np.errstate(all="ignore"):
        assert broken(findings_of(Lost(), case)) >= {"3", "4"}


def test_extrapolation_is_exact_for_a_cubic():
    points = np.array([1.0, 0.5, 0.25, 0.125])
    weights = extrapolation(points)
    assert np.isclose(weights @ (7 + points - 3 * points**2 + points**3), 7)
    assert np.isclose(weights.sum(), 1)


def test_a_direction_has_length_1():
    direction = draw_direction(np.random.default_rng(0), case_of(COMBINATIONS[0], "float64"))
    assert np.isclose(eq.eq_3(direction, direction), 1)


def test_a_move_reports_the_step_that_rounding_left():
    case = case_of(COMBINATIONS[0], "float64")
    moved, step = move(case, draw_direction(np.random.default_rng(0), case), 2.0**-20)
    for l in case.layers:
        assert np.array_equal(case.W[l] + step["W"][l], moved.W[l])
        assert np.array_equal(case.b[l] + step["b"][l], moved.b[l])


def test_kinked_layers():
    assert kinked(case_of(COMBINATIONS[1], "float64")) == [1, 2]
    assert kinked(case_of(COMBINATIONS[4], "float64")) == [1, 2, 3]
    assert kinked(case_of(COMBINATIONS[0], "float64")) == []


def test_a_step_stays_on_its_side_of_a_kink():
    """A z close to 0, and a direction straight at it."""
    case = case_of(COMBINATIONS[1], "float64")
    engine = NumpyEngine()
    b, distance = case.b[1].copy(), 0.7 * 2.0**-11
    b[0] -= engine.trace(case).z[1][0, 0] - distance
    case = case.with_parameters(case.W, {**case.b, 1: b})
    trace = engine.trace(case)
    towards = {
        "W": {l: np.zeros_like(w) for l, w in case.W.items()},
        "b": {l: np.zeros_like(v) for l, v in case.b.items()},
    }
    towards["b"][1][0] = -1.0
    length = smooth_length(engine.trace, case, trace, towards, 2.0**-8)
    assert distance / 2 <= length < distance, f"the length is {length}, but should be just below {distance}"
    assert np.array_equal(np.sign(engine.trace(move(case, towards, length)[0]).z[1]), np.sign(trace.z[1]))


# --- what an engine cannot do is left out, and nothing else


def test_without_train():
    class Without:
        name = "without"
        supports, trace, layer_vjp = NumpyEngine.supports, NumpyEngine().trace, NumpyEngine().layer_vjp

    checked = {finding.equation for finding in findings_of(Without(), case_of(COMBINATIONS[0], "float64"))}
    assert checked == (EVERYWHERE | ALONE | LIMITS) - {"2a", "2b"}


def test_without_layer_vjp():
    class Without:
        name = "without"
        supports, trace, train = NumpyEngine.supports, NumpyEngine().trace, NumpyEngine().train

    checked = {finding.equation for finding in findings_of(Without(), case_of(COMBINATIONS[0], "float64"))}
    assert checked == (EVERYWHERE | ALONE | LIMITS) - {"6a", "6b", "11", "13"}


@pytest.mark.parametrize(("combination", "limits"), [(COMBINATIONS[0], LIMITS), (COMBINATIONS[1], set())])
def test_a_black_box_is_put_to_the_limits_where_it_has_no_kink(combination, limits):
    class Box:
        name = "box"

        def trace(self, case):
            return replace(NumpyEngine().trace(case), z=None, a=None, delta=None)

    findings = findings_of(Box(), case_of(combination, "float64"))
    assert {finding.equation for finding in findings} == limits
    assert broken(findings) == set()


def test_the_learning_rate_is_no_binary_fraction():
    assert float(np.float32(LEARNING_RATE)) != LEARNING_RATE
