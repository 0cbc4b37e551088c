"""Faults planted in each engine: the audit names the equation and the layer of every one.

A fault goes through the engine's own autodiff: a torch.autograd.Function with a wrong backward, a jax.custom_vjp with a
wrong rule, or another step in place of one of the reference's in NumPy. The engine is whole again when the trace is
judged, since the audit and NumPy share the equations.
"""

import itertools
from dataclasses import dataclass, replace
from functools import partial
from types import SimpleNamespace

import jax
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from adapters import jax_jit, torch_eager
from reference import activations, equations, losses, network, training
from reference.audit import audit, audit_update, first_break
from reference.cases import Combination, Shape, draw_case
from reference.rounding import DTYPES, UNIT_ROUNDOFF
from reference.training import Plan

SQUARE = Shape((4, 4, 4, 4), 8)
"""Square layers, on which a transposed weight fits; more than one sample, so that 1/N counts."""

COMBINATION = Combination("tanh", "sigmoid", "half_squared_error")

SMALLEST = {"float32": 1e-5, "float64": 1e-13, "float16": 2.0**-7, "bfloat16": 2.0**-4}
"""A relative error in one element that is to be found."""

LEARNING_RATE = 0.1


def case_of(dtype):
    return draw_case(np.random.default_rng(11), COMBINATION, SQUARE, dtype)


def of_layer(right, wrong, layer):
    """A function that is called once a layer, in order: the wrong one in one layer, the right one in the others."""
    calls = itertools.count(1)

    def function(*operands, **parameters):
        return (wrong if next(calls) == layer else right)(*operands, **parameters)

    return function


# --- torch: a torch.autograd.Function with a wrong backward


def torch_linear(backward):
    """F.linear with a backward of one's own: (g, a, W) -> the gradients of a, W and b."""

    class Linear(torch.autograd.Function):
        @staticmethod
        def forward(ctx, a, W, b):
            ctx.save_for_backward(a, W)
            return a @ W.T + b

        @staticmethod
        def backward(ctx, g):
            return backward(g, *ctx.saved_tensors)

    return Linear.apply


def torch_elementwise(value, backward):
    """An activation with a backward of one's own: (g, z) -> the gradient of z."""

    class Activation(torch.autograd.Function):
        @staticmethod
        def forward(ctx, z):
            ctx.save_for_backward(z)
            return value(z)

        @staticmethod
        def backward(ctx, g):
            return backward(g, *ctx.saved_tensors)

    return Activation.apply


def linear_in_torch(backward):
    """Plant a linear layer."""

    def plant(patch, layer, case):
        wrong = torch_linear(lambda g, a, W: backward(g, a, W, case.dtype))
        patch.setattr(torch_eager.F, "linear", of_layer(F.linear, wrong, layer))

    return plant


def activation_in_torch(name, backward):
    """Plant an activation."""

    def plant(patch, layer, _):
        right = torch_eager.ACTIVATIONS[name]
        wrong = torch_elementwise(right, backward)
        patch.setitem(torch_eager.ACTIVATIONS, name, of_layer(right, wrong, layer if name == COMBINATION.hidden else 1))

    return plant


def loss_in_torch(reduced):
    """Plant a reduction of the loss: L from L's honest value and N."""

    def plant(patch, _, case):
        right, partial = torch_eager.LOSSES[case.loss]
        wrong = lambda a, y: reduced(right(a, y), len(a))  # noqa: E731
        patch.setitem(torch_eager.LOSSES, case.loss, (wrong, partial))

    return plant


class Amplified(torch.autograd.Function):
    """The loss as it is, and N times its gradient."""

    @staticmethod
    def forward(ctx, loss, n):
        ctx.n = n
        return loss.clone()

    @staticmethod
    def backward(ctx, g):
        return g * ctx.n, None


def torch_product(g, a, W, _):
    return g @ W, g.T @ a, g.sum(0)


def torch_transposed(g, a, W, _):
    return g @ W.T, g.T @ a, g.sum(0)


def torch_summed_bias(g, a, W, _):
    return g @ W, g.T @ a, g.sum(0) * len(g)


def torch_averaged_twice(g, a, W, _):
    return g @ W, g.T @ a / len(g), g.sum(0)


def torch_nudged(g, a, W, dtype):
    dW = g.T @ a
    dW.view(-1)[dW.abs().argmax()] *= 1 + SMALLEST[dtype]
    return g @ W, dW, g.sum(0)


def torch_nan(g, z):
    wrong = g * (1 - torch.tanh(z) ** 2)
    wrong[2, 1] = float("nan")
    return wrong


def torch_sum_over_t(g, z):
    a = torch.sigmoid(z)
    return (g * a * (1 - a)).sum(1, keepdim=True).expand_as(g)


# --- JAX: a jax.custom_vjp with a wrong rule


def jax_function(value, backward):
    """A function of arrays with a vjp of one's own: (g, *operands) -> the gradient of each operand."""
    function = jax.custom_vjp(value)
    function.defvjp(lambda *operands: (value(*operands), operands), lambda operands, g: backward(g, *operands))
    return function


LAYER, TOTAL = jax_jit.layer.__wrapped__, jax_jit.total.__wrapped__
"""The engine's two functions, before they are compiled."""


def compiled_anew(function, **options):
    """A function under jit, with nothing compiled yet; jax.jit of one function twice is one cache."""

    def another(*operands):
        return function(*operands)

    return jax.jit(another, **options)


def layer_in_jax(linear=None, activation=None):
    """Plant a layer with another linear map, (a, W, b) -> z, or another activation, compiled as the engine's is."""

    @partial(jax.jit, static_argnames="f")
    def wrong(f, W, b, probe, a, given):
        z = (linear(a, W, b) if linear else a @ W.T + b) + probe
        return z, activation(z) if activation else jax_jit.ACTIVATIONS[f](z, **given)

    def plant(patch, layer, _):
        patch.setattr(jax_jit, "layer", of_layer(jax_jit.layer, wrong, layer))

    return plant


def linear_in_jax(backward):
    """Plant a linear layer with a vjp of one's own: (g, a, W) -> the gradients of a, W and b."""
    return layer_in_jax(linear=jax_function(lambda a, W, b: a @ W.T + b, lambda g, a, W, b: backward(g, a, W)))


def activation_in_jax(value, backward):
    """Plant an activation with a vjp of one's own: (g, z) -> the gradient of z."""
    return layer_in_jax(activation=jax_function(value, lambda g, z: (backward(g, z),)))


def loss_in_jax(reduced):
    """Plant a reduction of the loss: L from L's honest value and N."""

    @partial(jax.jit, static_argnames="loss")
    def wrong(loss, p, y, given):
        value, every = TOTAL(loss, p, y, given)
        return reduced(value, len(y)), every

    def plant(patch, _, __):
        patch.setattr(jax_jit, "total", wrong)

    return plant


def jax_product(g, a, W):
    return g @ W, g.T @ a, g.sum(0)


def jax_transposed(g, a, W):
    return g @ W.T, g.T @ a, g.sum(0)


def jax_summed_bias(g, a, W):
    return g @ W, g.T @ a, g.sum(0) * len(g)


def jax_averaged_twice(g, a, W):
    return g @ W, g.T @ a / len(g), g.sum(0)


def jax_nudged(g, a, W):
    dW = g.T @ a
    at = jax.numpy.abs(dW).argmax()
    return g @ W, dW.ravel().at[at].multiply(1 + SMALLEST[str(dW.dtype)]).reshape(dW.shape), g.sum(0)


def jax_nan(g, z):
    return (g * (1 - jax.numpy.tanh(z) ** 2)).at[2, 1].set(jax.numpy.nan)


def jax_sum_over_t(g, z):
    a = jax.nn.sigmoid(z)
    return jax.numpy.broadcast_to((g * a * (1 - a)).sum(1, keepdims=True), g.shape)


# --- NumPy: another step in place of one of the reference's


def step_in_numpy(name, wrong):
    """Plant an equation: (14) is called for one layer after the other from the last down, (7) from the first up."""

    def plant(patch, layer, case):
        right = getattr(equations, name)
        call = {"eq_14": case.last - layer + 1, "eq_7a": layer, "eq_7b": layer}.get(name, 1)
        chosen = of_layer(right, lambda *operands: wrong(right, case.dtype, *operands), call)
        planted = SimpleNamespace(**{**vars(equations), name: chosen})
        patch.setattr(network, "eq", planted)

    return plant


def numpy_transposed(right, _, df, delta, W):
    return right(df, delta, W.T)


def numpy_forgotten(_, __, df, delta, W):
    return delta @ W


def numpy_nan(right, _, *operands):
    delta = right(*operands)
    delta[2, 1] = np.nan
    return delta


def numpy_nudged(right, dtype, *operands):
    dW = right(*operands)
    dW.flat[np.abs(dW).argmax()] *= 1 + SMALLEST[dtype]
    return dW


def numpy_sum_over_t(_, __, dL_da, df):
    return np.broadcast_to((dL_da * df).sum(axis=1, keepdims=True), df.shape).copy()


# --- the faults


@dataclass(frozen=True)
class Fault:
    """What is wrong, in which engine, how it gets there, and the equation and layer to be named.

    The layer planted is that whose forward step carries the wrong rule; (14) takes its weight from the layer above.
    """

    what: str
    engine: str
    plant: object
    planted: int
    equation: str
    layer: int

    def __str__(self):
        return f"{self.engine}: {self.what}, layer {self.planted}"


def both(what, equation, offset=0, **plants):
    """The fault in each engine and in two layers; `offset` is from the layer planted to the one that is wrong."""
    for engine, plant in plants.items():
        for layer in (1, 2):
            yield Fault(what, NAMES[engine], plant, layer - offset, equation, layer)


def once(what, equation, **plants):
    """The fault in each engine, in the output layer."""
    for engine, plant in plants.items():
        yield Fault(what, NAMES[engine], plant, 3, equation, 3)


NAMES = {"numpy": "numpy", "torch": "torch-eager", "jax": "jax-jit"}

FAULTS = [
    *both(
        "transposed weight, w_ft as (14) is printed",
        "14",
        offset=-1,
        torch=linear_in_torch(torch_transposed),
        jax=linear_in_jax(jax_transposed),
    ),
    *(
        Fault(
            "transposed weight, w_ft as (14) is printed", "numpy", step_in_numpy("eq_14", numpy_transposed), l, "14", k
        )
        for l, k in ((3, 2), (2, 1))
    ),
    *both(
        "f' forgotten",
        "14",
        torch=activation_in_torch("tanh", lambda g, z: g.clone()),
        jax=activation_in_jax(jax.numpy.tanh, lambda g, z: g),
    ),
    *(Fault("f' forgotten", "numpy", step_in_numpy("eq_14", numpy_forgotten), l, "14", k) for l, k in ((3, 2), (2, 1))),
    *both(
        "NaN in δ", "14", torch=activation_in_torch("tanh", torch_nan), jax=activation_in_jax(jax.numpy.tanh, jax_nan)
    ),
    *(Fault("NaN in δ", "numpy", step_in_numpy("eq_14", numpy_nan), l, "14", k) for l, k in ((3, 2), (2, 1))),
    *both(
        "bias gradient summed, not averaged",
        "7b",
        torch=linear_in_torch(torch_summed_bias),
        jax=linear_in_jax(jax_summed_bias),
        numpy=step_in_numpy("eq_7b", lambda _, __, delta: delta.sum(axis=0)),
    ),
    *both(
        "weight gradient averaged twice",
        "7a",
        torch=linear_in_torch(torch_averaged_twice),
        jax=linear_in_jax(jax_averaged_twice),
        numpy=step_in_numpy("eq_7a", lambda right, _, delta, a: right(delta, a) / len(delta)),
    ),
    *both(
        "one element of dW off by little",
        "7a",
        torch=linear_in_torch(torch_nudged),
        jax=linear_in_jax(jax_nudged),
        numpy=step_in_numpy("eq_7a", numpy_nudged),
    ),
    *once(
        "no 1/N in the loss",
        "1",
        torch=loss_in_torch(lambda loss, n: loss * n),
        jax=loss_in_jax(lambda loss, n: loss * n),
        numpy=step_in_numpy("eq_1", lambda _, __, losses: losses.sum()),
    ),
    *once(
        "no 1/N in the gradient",
        "9",
        torch=loss_in_torch(Amplified.apply),
        jax=loss_in_jax(lambda loss, n: jax_function(lambda v: v, lambda g, _: (g * n,))(loss)),
    ),
    *once(
        "sum over t, as (9) is printed",
        "9",
        torch=activation_in_torch("sigmoid", torch_sum_over_t),
        jax=activation_in_jax(jax.nn.sigmoid, jax_sum_over_t),
        numpy=step_in_numpy("eq_9", numpy_sum_over_t),
    ),
    *once(
        "f' forgotten in the output layer",
        "9",
        torch=activation_in_torch("sigmoid", lambda g, z: g.clone()),
        jax=activation_in_jax(jax.nn.sigmoid, lambda g, z: g),
        numpy=step_in_numpy("eq_9", lambda _, __, dL_da, df: dL_da),
    ),
]


@pytest.fixture
def traced(monkeypatch, engine_named):
    """A function that gives the trace of an engine with a fault in it; the engine is whole again afterwards."""

    def trace(case, name, plant=None, layer=None):
        engine = engine_named(name)
        if plant is None:
            return engine.trace(case)
        with monkeypatch.context() as patch:
            if name == "jax-whole":  # what is compiled with the fault is kept apart from what is compiled without
                anew = compiled_anew(jax_jit.value_and_grad, static_argnums=0)
                patch.setattr(jax_jit.JaxWhole, "value_and_grad", staticmethod(anew))
            plant(patch, layer, case)
            return engine.trace(case)

    return trace


def largest_change(one, other):
    """The largest relative difference between two traces' numbers; a NaN in one of them alone is infinitely far."""
    worst = abs(one.loss - other.loss) / abs(other.loss)
    for name in ("dW", "db", "delta"):
        for l, array in getattr(other, name).items():
            change = np.abs(getattr(one, name)[l] - array) / np.abs(array)
            worst = max(worst, np.where(np.isnan(change), np.inf, change).max())
    return worst


def assert_guilty(case, planted, fault):
    """The fault is found, by the engine's own accuracy and by any engine's, and named rightly."""
    __tracebackhide__ = True
    for engine in (fault.engine, None):
        guilty = first_break(audit(case, planted, engine))
        assert guilty is not None, f"{fault} is not found"
        found, right = (guilty.equation, guilty.layer), (fault.equation, fault.layer)
        assert found == right, f"{fault}: the guilty one is {found}, but should be {right}"


EVERYWHERE = [
    pytest.param(dtype, fault, id=f"{dtype}-{fault}")
    for dtype in DTYPES
    for fault in FAULTS
    if fault.engine != "jax-jit" or fault.layer != 1 or dtype == "float32"
]
"""Every fault in every dtype; JAX compiles each anew, and so has those of layer 1 in float32 alone."""


@pytest.mark.parametrize(("dtype", "fault"), EVERYWHERE)
def test_a_planted_fault_is_found_where_it_is(fault, traced, dtype):
    case = case_of(dtype)
    honest = traced(case, fault.engine)
    assert first_break(audit(case, honest, fault.engine)) is None, f"{fault.engine} breaks without a fault"

    planted = traced(case, fault.engine, fault.plant, fault.planted)
    change = largest_change(planted, honest)
    assert change > 8 * UNIT_ROUNDOFF[dtype], f"the fault changes the trace by {change:.1g}: it was not planted"
    assert_guilty(case, planted, fault)

    again = traced(case, fault.engine)
    assert largest_change(again, honest) == 0, f"{fault} is still in {fault.engine}"


@pytest.mark.parametrize("fault", [f for f in FAULTS if f.what == "NaN in δ"], ids=str)
def test_a_nan_is_named_by_its_element(fault, traced):
    case = case_of("float32")
    guilty = first_break(audit(case, traced(case, fault.engine, fault.plant, fault.planted)))
    assert guilty.worst.index == (2, 1), f"the element is {guilty.worst.index}, but should be (2, 1)"
    assert np.isnan(guilty.ratio)


@pytest.mark.parametrize("engine", ["torch", "jax"])
def test_the_planting_itself_is_no_fault(engine, traced, dtype):
    """A rule of one's own that is right holds: what is found above is the fault, not the detour."""
    case = case_of(dtype)
    plants = {
        "torch": [
            linear_in_torch(torch_product),
            activation_in_torch("tanh", lambda g, z: g * (1 - torch.tanh(z) ** 2)),
            loss_in_torch(lambda loss, n: Amplified.apply(loss, 1)),
        ],
        "jax": [
            linear_in_jax(jax_product),
            activation_in_jax(jax.numpy.tanh, lambda g, z: g * (1 - jax.numpy.tanh(z) ** 2)),
            loss_in_jax(lambda loss, n: jax_function(lambda v: v, lambda g, _: (g,))(loss)),
        ],
    }
    for plant in plants[engine]:
        guilty = first_break(audit(case, traced(case, NAMES[engine], plant, 2), NAMES[engine]))
        assert guilty is None, f"a right rule breaks {guilty}, but should hold"


@pytest.mark.parametrize("fault", [f for f in FAULTS if f.engine == "jax-jit" and f.layer != 2], ids=str)
def test_a_fault_within_the_whole_program_is_found(fault, traced):
    """The same faults, compiled with all the rest."""
    case, whole = case_of("float32"), replace(fault, engine="jax-whole")
    assert first_break(audit(case, traced(case, "jax-whole"), "jax-whole")) is None
    assert_guilty(case, traced(case, "jax-whole", fault.plant, fault.planted), whole)


# --- another function than the one that was asked for


def in_torch(table, name, wrong):
    """Plant another function in place of one of torch's."""
    return lambda patch: patch.setitem(getattr(torch_eager, table), name, wrong)


def in_jax(table, name, wrong):
    """Plant another function in place of one of JAX's, and compile anew."""

    def plant(patch):
        patch.setitem(getattr(jax_jit, table), name, wrong)
        function, planted = ("layer", LAYER) if table == "ACTIVATIONS" else ("total", TOTAL)
        patch.setattr(jax_jit, function, compiled_anew(planted, static_argnums=0))

    return plant


def in_numpy(table, name, wrong):
    """Plant another function in place of one of the reference's."""
    return lambda patch: patch.setitem(table, name, wrong)


def one_elu(z):
    """The derivative of elu with α = 1."""
    return np.where(z > 0, np.ones_like(z), np.exp(np.minimum(z, 0)))


SLOPE = Combination("leaky_relu", "sigmoid", "half_squared_error"), {"hidden": {"slope": 0.25}}
ALPHA = Combination("elu", "sigmoid", "half_squared_error"), {"hidden": {"alpha": 2.0}}
SILU = Combination("silu", "sigmoid", "half_squared_error"), {}
DELTA = Combination("tanh", "sigmoid", "huber"), {"loss": {"delta": 0.25}}

FUNCTIONS = [
    ("the slope of leaky_relu is ignored", SLOPE, "a", 1, "numpy", in_numpy(
        activations.FAMILIES, "leaky_relu", lambda slope: activations.leaky_relu_of()
    )),
    ("the slope of leaky_relu is ignored", SLOPE, "a", 1, "torch-eager", in_torch(
        "ACTIVATIONS", "leaky_relu", lambda z, slope: F.leaky_relu(z)
    )),
    ("the slope of leaky_relu is ignored", SLOPE, "a", 1, "jax-jit", in_jax(
        "ACTIVATIONS", "leaky_relu", lambda z, slope: jax.nn.leaky_relu(z)
    )),
    ("the α of elu is ignored in its derivative", ALPHA, "14", 2, "numpy", in_numpy(
        activations.FAMILIES, "elu", lambda alpha: replace(activations.elu_of(alpha), derivative=one_elu)
    )),
    ("the α of elu is ignored in its derivative", ALPHA, "14", 2, "torch-eager", in_torch(
        "ACTIVATIONS",
        "elu",
        lambda z, alpha: torch_elementwise(lambda z: F.elu(z, alpha), lambda g, z: g * z.clamp(max=0).exp())(z),
    )),
    ("the α of elu is ignored in its derivative", ALPHA, "14", 2, "jax-jit", in_jax(
        "ACTIVATIONS",
        "elu",
        jax_function(
            jax.nn.elu, lambda g, z, alpha: (g * jax.numpy.exp(jax.numpy.minimum(z, 0)), jax.numpy.zeros_like(alpha))
        ),
    )),
    ("silu' is σ alone", SILU, "14", 2, "numpy", in_numpy(
        activations.ACTIVATIONS, "silu", replace(activations.ACTIVATIONS["silu"], derivative=activations.sigmoid)
    )),
    ("silu' is σ alone", SILU, "14", 2, "torch-eager", in_torch(
        "ACTIVATIONS", "silu", torch_elementwise(F.silu, lambda g, z: g * torch.sigmoid(z))
    )),
    ("silu' is σ alone", SILU, "14", 2, "jax-jit", in_jax(
        "ACTIVATIONS", "silu", jax_function(jax.nn.silu, lambda g, z: (g * jax.nn.sigmoid(z),))
    )),
    ("the δ of Huber's loss is ignored", DELTA, "8", 3, "numpy", in_numpy(
        losses.FAMILIES, "huber", lambda delta: losses.huber_of()
    )),
    ("the δ of Huber's loss is ignored", DELTA, "8", 3, "torch-eager", in_torch(
        "LOSSES", "huber", torch_eager.averaged(lambda a, y, reduction, delta: F.huber_loss(a, y, reduction))
    )),
    ("the δ of Huber's loss is ignored", DELTA, "8", 3, "jax-jit", in_jax(
        "LOSSES", "huber", lambda a, y, delta: jax_jit.optax.huber_loss(a, y).sum(axis=1)
    )),
]  # fmt: skip


@pytest.mark.parametrize(
    ("what", "of", "equation", "layer", "name", "plant"), FUNCTIONS, ids=[f"{f[4]}: {f[0]}" for f in FUNCTIONS]
)
def test_another_function_is_found(what, of, equation, layer, name, plant, engine_named, monkeypatch, dtype):
    combination, parameters = of
    case = draw_case(np.random.default_rng(11), combination, SQUARE, dtype, usual=True)
    case = replace(case, parameters=parameters)
    engine = engine_named(name)
    honest = engine.trace(case)
    assert first_break(audit(case, honest, name)) is None, f"{name} breaks without a fault"
    with monkeypatch.context() as patch:
        plant(patch)
        planted = engine.trace(case)
    assert_guilty(case, planted, Fault(what, name, plant, layer, equation, layer))
    assert largest_change(engine.trace(case), honest) == 0, f"{what}: still so in {name}"


# --- black boxes


def by_what(fault):
    return f"{fault.engine}: {fault.what}"


COARSE = [f for f in FAULTS if f.layer != 2 and f.what != "one element of dW off by little"]


@pytest.mark.parametrize("fault", COARSE, ids=by_what)
def test_a_black_box_with_a_fault_is_found(fault, traced):
    """Loss and gradients alone, end to end: weaker, but every coarse fault is far beyond it."""
    case = case_of("float32")

    def box(trace):
        return replace(trace, losses=None, z=None, a=None, delta=None)

    honest = box(traced(case, fault.engine))
    assert first_break(audit(case, honest)) is None
    guilty = first_break(audit(case, box(traced(case, fault.engine, fault.plant, fault.planted))))
    assert guilty is not None, f"{fault} is not found end to end"
    assert guilty.equation in ("1", "5a", "5b")


# --- faults of what is reported: the engine is right, its trace is not


def swapped(layers):
    """The arrays of layers 1 and 2 in each other's place."""
    return {**layers, 1: layers[2], 2: layers[1]}


def scaled(layers, layer, factor):
    """One layer's array, scaled."""
    return {**layers, layer: layers[layer] * factor}


REPORTED = {
    "z of another layer": (lambda t: replace(t, z=swapped(t.z)), ("z", 1)),
    "a of another layer": (lambda t: replace(t, a=swapped(t.a)), ("a", 1)),
    "a before its activation": (lambda t: replace(t, a={**t.a, 2: t.z[2]}), ("a", 2)),
    "a of neighbouring samples": (lambda t: replace(t, a={**t.a, 1: np.roll(t.a[1], 1, axis=0)}), ("a", 1)),
    "L_i averaged over t": (lambda t: replace(t, losses=t.losses / SQUARE.widths[-1]), ("8", 3)),
    "δ of neighbouring samples": (
        lambda t: replace(t, delta={**t.delta, 2: np.roll(t.delta[2], 1, axis=0)}),
        ("14", 2),
    ),
    "δ averaged": (lambda t: replace(t, delta={l: d / SQUARE.samples for l, d in t.delta.items()}), ("9", 3)),
    "dW transposed": (lambda t: replace(t, dW={**t.dW, 2: t.dW[2].T}), ("7a", 2)),
    "dW with the other sign": (lambda t: replace(t, dW=scaled(t.dW, 1, -1)), ("7a", 1)),
    "dW zero": (lambda t: replace(t, dW=scaled(t.dW, 3, 0)), ("7a", 3)),
    "db zero": (lambda t: replace(t, db=scaled(t.db, 1, 0)), ("7b", 1)),
    "δ infinite": (lambda t: replace(t, delta=scaled(t.delta, 1, np.inf)), ("14", 1)),
    "loss NaN": (lambda t: replace(t, loss=float("nan")), ("1", 3)),
}


@pytest.mark.parametrize("what", REPORTED)
def test_a_wrong_report_is_found(engine, dtype, what):
    change, right = REPORTED[what]
    case = case_of(dtype)
    honest = engine.trace(case)
    assert first_break(audit(case, honest, engine.name)) is None
    with np.errstate(all="ignore"):
        guilty = first_break(audit(case, change(honest), engine.name))
    assert guilty is not None, f"{what} is not found"
    assert (guilty.equation, guilty.layer) == right


# --- faults of the update

WRONG_RATE = 1.5
"""Far enough from 1 for a step that half precision rounds to a few digits."""


def wrong_rate_in_numpy(patch):
    right = training.update
    patch.setattr(training, "update", lambda eq, old, g, eta, dtype: right(eq, old, g, eta * WRONG_RATE, dtype))


def no_bias_in_numpy(patch):
    right = training.update
    patch.setattr(
        training, "update", lambda eq, old, g, *rest: old.copy() if eq is equations.eq_2b else right(eq, old, g, *rest)
    )


def uphill_in_numpy(patch):
    right = training.update
    patch.setattr(training, "update", lambda eq, old, g, *rest: right(eq, old, -g, *rest))


def sgd_in_torch(**options):
    sgd = torch.optim.SGD
    return lambda patch: patch.setattr(torch_eager.torch.optim, "SGD", lambda p, lr: sgd(p, lr=lr, **options))


def wrong_rate_in_torch(patch):
    sgd = torch.optim.SGD
    patch.setattr(torch_eager.torch.optim, "SGD", lambda p, lr: sgd(p, lr=lr * WRONG_RATE))


def no_bias_in_torch(patch):
    sgd = torch.optim.SGD
    patch.setattr(
        torch_eager.torch.optim, "SGD", lambda p, lr: sgd([tensor for tensor in p if tensor.ndim == 2], lr=lr)
    )


def wrong_rate_in_jax(patch):
    sgd = jax_jit.optax.sgd
    patch.setattr(jax_jit.optax, "sgd", lambda eta: sgd(eta * WRONG_RATE))


def uphill_in_jax(patch):
    sgd = jax_jit.optax.sgd
    patch.setattr(jax_jit.optax, "sgd", lambda eta: sgd(-eta))


UPDATES = [
    ("numpy", wrong_rate_in_numpy, "2a"),
    ("numpy", no_bias_in_numpy, "2b"),
    ("numpy", uphill_in_numpy, "2a"),
    ("torch-eager", wrong_rate_in_torch, "2a"),
    ("torch-eager", no_bias_in_torch, "2b"),
    ("torch-eager", sgd_in_torch(weight_decay=0.5), "2a"),
    ("torch-eager", sgd_in_torch(maximize=True), "2a"),
    ("jax-jit", wrong_rate_in_jax, "2a"),
    ("jax-jit", uphill_in_jax, "2a"),
]


@pytest.mark.parametrize(
    ("name", "plant", "equation"),
    UPDATES,
    ids=["rate", "no bias", "uphill", "torch rate", "torch no bias", "decay", "maximize", "jax rate", "jax uphill"],
)
def test_a_wrong_update_is_found(name, plant, equation, engine_named, monkeypatch, dtype):
    case, plan, engine = case_of(dtype), Plan((np.arange(SQUARE.samples),), LEARNING_RATE), engine_named(name)

    def update():
        (step,) = engine.train(case, plan)
        return first_break(audit_update(case, step.trace, step.new_W, step.new_b, LEARNING_RATE)), step

    guilty, _ = update()
    assert guilty is None, f"{name} breaks {guilty}, but should hold"
    with monkeypatch.context() as patch:
        patch.setattr(jax_jit, "compiled_update", jax_jit.compiled_update.__wrapped__)
        plant(patch)
        guilty, step = update()
    assert first_break(audit(case, step.trace)) is None, "the trace is wrong as well, but only the update should be"
    assert guilty is not None, "the wrong update is not found"
    assert (guilty.equation, guilty.layer) == (equation, 1)


def test_momentum_shows_in_the_second_step(engine_named, monkeypatch, dtype):
    """The first step of SGD with momentum is plain SGD: one step cannot tell them apart."""
    case, everything = case_of(dtype), np.arange(SQUARE.samples)
    with monkeypatch.context() as patch:
        sgd_in_torch(momentum=0.9)(patch)
        first, second = engine_named("torch-eager").train(case, Plan((everything, everything), LEARNING_RATE))
    assert first_break(audit_update(case, first.trace, first.new_W, first.new_b, LEARNING_RATE)) is None
    now = case.with_parameters(second.W, second.b)
    guilty = first_break(audit_update(now, second.trace, second.new_W, second.new_b, LEARNING_RATE))
    assert (guilty.equation, guilty.layer) == ("2a", 1)
