"""The experiments: each equation holds for honest engines, and each is broken by an adapter planted for it."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from adapters.numpy.engine import NumpyEngine
from reference import equations as eq
from reference.activations import ACTIVATIONS
from reference.cases import Combination, Shape, cover, draw_case
from reference.losses import LOSSES
from reference.rounding import DTYPES
from reports.campaign.experiments import (
    LEARNING_RATE,
    LONGEST_STEP,
    STEPS,
    draw_direction,
    experiments,
    extrapolation,
    joints,
    move,
    pieced,
    pieces,
    smooth_length,
)
from tests.arithmetics import arithmetic
from tests.exhaustive import quick

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


def case_of(combination, dtype, seed=4, shape=SQUARE, usual=False):
    return draw_case(np.random.default_rng(seed), combination, shape, dtype, usual)


def findings_of(adapter, case, seed=9):
    rng = np.random.default_rng(seed)
    return list(experiments(adapter, case, adapter.trace(case), rng, arithmetic=arithmetic(adapter.name)))


def broken(findings):
    return {finding.equation for finding in findings if not finding.holds}


# --- honest engines


@pytest.mark.parametrize(
    ("engine", "combination", "dtype"),
    [
        *product(("numpy", "torch-eager"), COMBINATIONS, DTYPES),
        *quick(product(("jax-jit",), COMBINATIONS[:1], ("float64", "float32", "float16", "bfloat16")), 2),
    ],
    indirect=["engine"],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_every_equation_holds_for_honest_engines(engine, combination, dtype):
    findings = findings_of(engine, case_of(combination, dtype))
    assert broken(findings) == set(), f"{engine.name} breaks {[f for f in findings if not f.holds]}, but should hold"
    checked = {finding.equation for finding in findings}
    expected = EVERYWHERE | ALONE | (LIMITS if dtype == "float64" else set())
    assert checked == expected, f"checked is {sorted(checked)}, but should be {sorted(expected)}"
    assert all(finding.elements > 0 for finding in findings)


PIECED = [
    Combination("elu", "identity", "huber"),
    Combination("celu", "elu", "smooth_l1"),
    Combination("selu", "softsign", "half_squared_error"),
    Combination("softsign", "identity", "absolute_error"),
    Combination("hardswish", "hardswish", "log_cosh"),
    Combination("tanh", "identity", "huber"),
    Combination("hardsigmoid", "tanh", "hinge"),
    Combination("leaky_relu", "identity", "squared_hinge"),
    Combination("relu6", "hardtanh", "gaussian_nll"),
    Combination("softshrink", "sigmoid", "absolute_error"),
    Combination("hardshrink", "softmax", "categorical_cross_entropy"),
    Combination("elu", "softsign", "cosine_distance"),
    Combination("squareplus", "log_softmax", "kullback_leibler"),
]
"""Kinks, jumps of the second derivative, and losses pieced together from several formulas; the last has none."""


@pytest.mark.parametrize("seeds", [range(3), pytest.param(range(3, 20), marks=pytest.mark.exhaustive)], ids=str)
@pytest.mark.parametrize("combination", [*COMBINATIONS, *PIECED], ids="-".join)
def test_every_draw_holds(combination, seeds):
    """The limits (3) and (4) most of all: other weights and directions, same verdict."""
    for seed in seeds:
        rng = np.random.default_rng([seed, 1])
        shape = Shape(tuple(int(n) for n in rng.integers(2, 9, size=4)), int(rng.integers(1, 9)))
        findings = findings_of(NumpyEngine(), case_of(combination, "float64", seed, shape), seed)
        assert broken(findings) == set(), f"breaks of seed {seed} are {[f for f in findings if not f.holds]}"


@pytest.mark.parametrize("combination", PIECED, ids="-".join)
def test_every_draw_holds_where_the_limits_cannot_be_taken(combination):
    for dtype in ("float32", "float16", "bfloat16"):
        findings = findings_of(NumpyEngine(), case_of(combination, dtype))
        assert broken(findings) == set(), f"breaks in {dtype} are {[f for f in findings if not f.holds]}"
        assert {finding.equation for finding in findings} == EVERYWHERE | ALONE, dtype


@pytest.mark.parametrize("start", quick(range(6), 2))
def test_the_limits_hold_over_all_outputs_and_losses(start):
    """Every (output, loss), and every hidden activation, in turns: (3) and (4) are there, and hold."""
    missing = []
    for combination in cover()[start::6]:
        findings = findings_of(NumpyEngine(), case_of(combination, "float64"))
        assert broken(findings) == set(), f"{combination} breaks {[f for f in findings if not f.holds]}"
        missing += [combination] if not {f.equation for f in findings} >= LIMITS else []
    # a network whose loss is of first order along every direction leaves (3) nothing to fit
    assert all(LOSSES[names.loss].interval is not None for names in missing), f"no limits for {missing}"


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
        return super().train(case, replace(plan, optimiser=plan.optimiser.at_rate(1.001 * plan.learning_rate)))


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
        f = case.activation(layer - 1)
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


def off_by(direction, factor):
    """The gradient with its component along one parameter off by a factor."""

    class Off(Planted):
        def trace(self, case):
            trace = super().trace(case)
            kind, layer, index = direction
            layers = getattr(trace, kind)
            wrong = layers[layer].copy()
            wrong[index] *= factor
            return replace(trace, **{kind: {**layers, layer: wrong}})

    return Off()


@pytest.mark.parametrize("combination", PIECED, ids="-".join)
def test_the_order_is_2_of_the_right_gradient_and_not_of_a_wrong_one(combination):
    case = case_of(combination, "float64")
    (order,) = [f for f in findings_of(NumpyEngine(), case) if f.equation == "3"]
    assert abs(order.worst.observed - 2) < 0.01, f"the order is {order.worst.observed}, but should be 2"
    honest = NumpyEngine().trace(case)
    for kind in ("dW", "db"):
        for layer in case.layers:
            gradient = getattr(honest, kind)[layer]
            index = np.unravel_index(np.abs(gradient).argmax(), gradient.shape)
            if gradient[index] == 0:  # a dead layer: any factor is right
                continue
            found = broken(findings_of(off_by((kind, layer, index), 1.1), case))
            assert "3" in found, f"{kind} of layer {layer} is off by a tenth, but (3) holds: broken is {sorted(found)}"


@pytest.mark.parametrize("combination", PIECED, ids="-".join)
def test_the_derivative_of_a_wrong_piece_is_caught(combination):
    """δ of the output layer as if the other formula held: it goes into every gradient, and (3) and (4) break."""

    class OtherPiece(Planted):
        def trace(self, case):
            trace = super().trace(case)
            other = {l: 1.5 * g for l, g in trace.dW.items()}, {l: 1.5 * g for l, g in trace.db.items()}
            return replace(trace, dW=other[0], db=other[1])

    assert broken(findings_of(OtherPiece(), case_of(combination, "float64"))) >= LIMITS


def test_where_formulas_meet():
    def found(*names):
        case = case_of(Combination(*names), "float64", usual=True)
        return [joints(case, l) for l in case.layers], pieced(case)

    assert found("relu", "identity", "half_squared_error") == ([[0.0], [0.0], []], True)
    assert found("tanh", "sigmoid", "binary_cross_entropy") == ([[], [], []], False)
    assert found("tanh", "sigmoid", "huber") == ([[], [], []], True)
    assert found("elu", "softsign", "half_squared_error") == ([[0.0], [0.0], [0.0]], True)
    assert found("hardswish", "relu6", "hinge") == ([[-3.0, 3.0], [-3.0, 3.0], [0.0, 6.0]], True)


@pytest.mark.parametrize("name", [name for name, f in ACTIVATIONS.items() if not f.coupled])
def test_every_activation_names_the_points_where_its_second_derivative_jumps(name):
    """By difference quotients of f' on both sides of what could be a joint, and of a point that is none."""
    f = ACTIVATIONS[name]
    named = {*(kink.at for kink in f.kinks), *f.bends}
    step = 2.0**-20
    for at in {-6.0, -3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0, 6.0, 0.3, *named}:
        x = at + step * np.array([-2.0, -1.0, 1.0, 2.0])
        d = f.derivative(x)
        left, right, across = (d[1] - d[0]) / step, (d[3] - d[2]) / step, d[2] - d[1]
        jumps = abs(right - left) > 1e-3 or abs(across) > 1e-3
        jumps |= abs(f.value(x[2:3])[0] - f.value(x[1:2])[0]) > 1e-3
        assert jumps == (at in named), f"{name} at {at}: the joints are {sorted(named)}"


@pytest.mark.parametrize("name", [name for name, loss in LOSSES.items() if not loss.outputs])
def test_every_loss_names_its_pieces(name):
    """Its second derivative jumps along a line somewhere if, and only if, it has pieces, and there alone."""
    loss, step = LOSSES[name], 2.0**-12
    y = {"sign": 1.0, "count": 2.0}.get(loss.labels, 0.25)
    p = np.arange(-4, 4, step)[:, np.newaxis] + step / 3
    d = loss.derivative(p, np.full_like(p, y))
    second = np.diff(d, axis=0) / step
    jumps = np.abs(np.diff(second, axis=0)).ravel() > 0.5
    assert jumps.any() == (loss.pieces is not None)
    if loss.pieces is not None:
        changes = np.flatnonzero(np.diff(loss.pieces(p, np.full_like(p, y)).astype(float), axis=0).ravel())
        assert np.abs(np.flatnonzero(jumps)[:, np.newaxis] - changes).min(axis=1).max() <= 1
        assert np.abs(changes[:, np.newaxis] - np.flatnonzero(jumps)).min(axis=1).max() <= 1


def crossing(combination, which, distance):
    """A Case of one sample whose z or residual is `distance` above a joint, and the direction straight across it.

    `which` is "z" for the first unit's total input in the first layer, "p" for the output's residual.
    """
    case = case_of(combination, "float64", shape=Shape((3, 4, 3, 1), 1))
    trace = NumpyEngine().trace(case)
    b = {l: v.copy() for l, v in case.b.items()}
    towards = {
        "W": {l: np.zeros_like(w) for l, w in case.W.items()},
        "b": {l: np.zeros_like(v) for l, v in case.b.items()},
    }
    if which == "z":
        b[1][0] += joints(case, 1)[-1] + distance - trace.z[1][0, 0]
        towards["b"][1][0] = -1.0
        return case.with_parameters(case.W, b), towards
    (joint,) = case.criterion.parameters.values() or (0.0,)
    towards["b"][case.last][0] = -1.0
    return case.on_batch(case.x, trace.a[case.last] - joint - distance), towards


CROSSINGS = [
    *((Combination(f, "identity", "half_squared_error"), "z") for f in ("elu", "hardswish", "softsign", "leaky_relu")),
    (Combination("softshrink", "identity", "half_squared_error"), "z"),
    *((Combination("tanh", "identity", loss), "p") for loss in ("absolute_error", "huber", "smooth_l1")),
]


@pytest.mark.parametrize(("combination", "which"), CROSSINGS, ids=lambda v: v if isinstance(v, str) else "-".join(v))
def test_a_step_ends_before_it_crosses_a_joint(combination, which):
    distance = 0.7 * LONGEST_STEP / 8
    case, towards = crossing(combination, which, distance)
    trace_of = NumpyEngine().trace
    trace = trace_of(case)
    length = smooth_length(trace_of, case, trace, towards, LONGEST_STEP)
    assert distance / 2 <= length < distance, f"the length is {length}, but should be just below {distance}"
    for step in length * STEPS:
        there = pieces(case, trace_of(move(case, towards, step)[0]))
        assert all(np.array_equal(one, other) for one, other in zip(pieces(case, trace), there, strict=True))
    beyond = pieces(case, trace_of(move(case, towards, LONGEST_STEP)[0]))
    assert not all(np.array_equal(one, other) for one, other in zip(pieces(case, trace), beyond, strict=True))


@pytest.mark.parametrize(("combination", "which"), CROSSINGS, ids=lambda v: v if isinstance(v, str) else "-".join(v))
def test_the_limits_hold_beside_a_joint(combination, which, monkeypatch):
    """And would not, if steps crossed it."""
    case, towards = crossing(combination, which, 2.0**-10)

    def along(rng, case):
        """Every direction the same, straight across the joint, and half as much of another."""
        other = draw_direction(rng, case)
        return {k: {l: v + other[k][l] / 2 for l, v in layers.items()} for k, layers in towards.items()}

    monkeypatch.setattr("reports.campaign.experiments.draw_direction", along)
    findings = findings_of(NumpyEngine(), case)
    assert broken(findings) == set()
    assert {f.equation for f in findings} >= LIMITS
    monkeypatch.setattr("reports.campaign.experiments.smooth_length", lambda *operands: operands[-1])
    assert "3" in broken(findings_of(NumpyEngine(), case))


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


@pytest.mark.parametrize(
    ("combination", "limits"),
    [
        (COMBINATIONS[0], LIMITS),
        (COMBINATIONS[1], set()),
        (Combination("tanh", "identity", "huber"), set()),
        (Combination("softsign", "identity", "half_squared_error"), set()),
    ],
    ids=lambda value: str(value) if isinstance(value, Combination) else "both" if value else "neither",
)
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
