"""Faults planted in each engine: the audit names the equation and the layer of every one.

A fault goes through the engine's own autodiff: a torch.autograd.Function with a wrong backward, a jax.custom_vjp with a
wrong rule, or another step in place of one of the reference's in NumPy. The engine is whole again when the trace is
judged, since the audit and NumPy share the equations.
"""

import itertools
from dataclasses import dataclass, replace
from types import SimpleNamespace

import jax
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from adapters import jax_jit, torch_eager
from reference import equations, network, training
from reference.audit import audit, audit_update, first_break
from reference.cases import Combination, Shape, draw_case
from reference.rounding import UNIT_ROUNDOFF
from reference.training import Plan

SQUARE = Shape((4, 4, 4, 4), 6)
"""Square layers, on which a transposed weight fits; more than one sample, so that 1/N counts."""

COMBINATION = Combination("tanh", "sigmoid", "half_squared_error")

SMALLEST = {"float32": 1e-5, "float64": 1e-13}
"""A relative error in one element that is to be found."""

LEARNING_RATE = 0.1


def case_of(dtype):
    return draw_case(np.random.default_rng(11), COMBINATION, SQUARE, dtype)


def of_layer(right, wrong, layer):
    """A function that is called once a layer, in order: the wrong one in one layer, the right one in the others."""
    calls = itertools.count(1)

    def function(*operands):
        return (wrong if next(calls) == layer else right)(*operands)

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
        right, partial, on_logits = torch_eager.LOSSES[case.loss]
        wrong = lambda a, y: reduced(right(a, y), len(a))  # noqa: E731
        patch.setitem(torch_eager.LOSSES, case.loss, (wrong, partial, on_logits))

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


class Weight:
    """A weight matrix whose product a @ W.T is differentiated by a rule of one's own."""

    def __init__(self, W, product):
        self.W, self.product = W, product

    @property
    def T(self):
        return self

    def __rmatmul__(self, a):
        return self.product(a, self.W)


def parameters_in_jax(change):
    """Plant a change of the parameters on their way into the network, through which their gradients come back."""

    def plant(patch, layer, case):
        value_and_grad = jax.value_and_grad

        def planted(total, **options):
            def changed(parameters, probes, x, y):
                return total(change(parameters, layer, case.dtype), probes, x, y)

            return value_and_grad(changed, **options)

        patch.setattr(jax_jit.jax, "value_and_grad", planted)

    return plant


def activation_in_jax(name, backward):
    """Plant an activation."""

    def plant(patch, layer, _):
        right = jax_jit.ACTIVATIONS[name]
        wrong = jax_function(right, lambda g, z: (backward(g, z),))
        patch.setitem(jax_jit.ACTIVATIONS, name, of_layer(right, wrong, layer if name == COMBINATION.hidden else 1))

    return plant


def loss_in_jax(wrong):
    """Plant a change of the L_i on their way to the mean."""

    def plant(patch, _, __):
        value_and_grad = jax.value_and_grad

        def planted(total, **options):
            def changed(parameters, probes, x, y):
                loss, rest = total(parameters, probes, x, y)
                return wrong(loss, len(x)), rest

            return value_and_grad(changed, **options)

        patch.setattr(jax_jit.jax, "value_and_grad", planted)

    return plant


def gradient_in_jax(kind, backward):
    """Plant the gradient of one layer's weight or bias."""

    def change(parameters, layer, dtype):
        through = jax_function(lambda p: p, lambda g, p: (backward(g, dtype),))
        return {**parameters, kind: {**parameters[kind], layer: through(parameters[kind][layer])}}

    return parameters_in_jax(change)


def jax_transposed(parameters, layer, _):
    product = jax_function(lambda a, W: a @ W.T, lambda g, a, W: (g @ W, g.T @ a))
    wrong = jax_function(lambda a, W: a @ W.T, lambda g, a, W: (g @ W.T, g.T @ a))
    W = {l: Weight(W, wrong if l == layer else product) for l, W in parameters["W"].items()}
    return {**parameters, "W": W}


def jax_nudged(g, dtype):
    at = jax.numpy.abs(g).argmax()
    return g.ravel().at[at].multiply(1 + SMALLEST[dtype]).reshape(g.shape)


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
        jax=parameters_in_jax(jax_transposed),
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
        jax=activation_in_jax("tanh", lambda g, z: g),
    ),
    *(Fault("f' forgotten", "numpy", step_in_numpy("eq_14", numpy_forgotten), l, "14", k) for l, k in ((3, 2), (2, 1))),
    *both("NaN in δ", "14", torch=activation_in_torch("tanh", torch_nan), jax=activation_in_jax("tanh", jax_nan)),
    *(Fault("NaN in δ", "numpy", step_in_numpy("eq_14", numpy_nan), l, "14", k) for l, k in ((3, 2), (2, 1))),
    *both(
        "bias gradient summed, not averaged",
        "7b",
        torch=linear_in_torch(torch_summed_bias),
        jax=gradient_in_jax("b", lambda g, _: g * SQUARE.samples),
        numpy=step_in_numpy("eq_7b", lambda _, __, delta: delta.sum(axis=0)),
    ),
    *both(
        "weight gradient averaged twice",
        "7a",
        torch=linear_in_torch(torch_averaged_twice),
        jax=gradient_in_jax("W", lambda g, _: g / SQUARE.samples),
        numpy=step_in_numpy("eq_7a", lambda right, _, delta, a: right(delta, a) / len(delta)),
    ),
    *both(
        "one element of dW off by little",
        "7a",
        torch=linear_in_torch(torch_nudged),
        jax=gradient_in_jax("W", jax_nudged),
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
        jax=activation_in_jax("sigmoid", jax_sum_over_t),
        numpy=step_in_numpy("eq_9", numpy_sum_over_t),
    ),
    *once(
        "f' forgotten in the output layer",
        "9",
        torch=activation_in_torch("sigmoid", lambda g, z: g.clone()),
        jax=activation_in_jax("sigmoid", lambda g, z: g),
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
        kept = jax_jit.compiled_trace
        with monkeypatch.context() as patch:
            # what is compiled with the fault is kept apart from what is compiled without
            patch.setattr(jax_jit, "compiled_trace", kept.__wrapped__)
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


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_a_planted_fault_is_found_where_it_is(fault, traced, dtype):
    case = case_of(dtype)
    honest = traced(case, fault.engine)
    assert first_break(audit(case, honest)) is None, f"{fault.engine} breaks without a fault"

    planted = traced(case, fault.engine, fault.plant, fault.planted)
    change = largest_change(planted, honest)
    assert change > 64 * UNIT_ROUNDOFF[dtype], f"the fault changes the trace by {change:.1g}: it was not planted"

    guilty = first_break(audit(case, planted))
    assert guilty is not None, f"{fault} is not found"
    found, right = (guilty.equation, guilty.layer), (fault.equation, fault.layer)
    assert found == right, f"{fault}: the guilty one is {found}, but should be {right}"

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
            parameters_in_jax(lambda parameters, layer, _: jax_transposed(parameters, 0, _)),
            gradient_in_jax("W", lambda g, _: g),
            activation_in_jax("tanh", lambda g, z: g * (1 - jax.numpy.tanh(z) ** 2)),
        ],
    }
    for plant in plants[engine]:
        guilty = first_break(audit(case, traced(case, NAMES[engine], plant, 2)))
        assert guilty is None, f"a right rule breaks {guilty}, but should hold"


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
    assert first_break(audit(case, honest)) is None
    with np.errstate(all="ignore"):
        guilty = first_break(audit(case, change(honest)))
    assert guilty is not None, f"{what} is not found"
    assert (guilty.equation, guilty.layer) == right


# --- faults of the update


def wrong_rate_in_numpy(patch):
    right = training.update
    patch.setattr(
        training, "update", lambda eq, old, g, eta, dtype: right(eq, old, g, np.dtype(dtype).type(eta * 1.001), dtype)
    )


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
    patch.setattr(torch_eager.torch.optim, "SGD", lambda p, lr: sgd(p, lr=lr * 1.001))


def no_bias_in_torch(patch):
    sgd = torch.optim.SGD
    patch.setattr(
        torch_eager.torch.optim, "SGD", lambda p, lr: sgd([tensor for tensor in p if tensor.ndim == 2], lr=lr)
    )


def wrong_rate_in_jax(patch):
    sgd = jax_jit.optax.sgd
    patch.setattr(jax_jit.optax, "sgd", lambda eta: sgd(eta * 1.001))


def uphill_in_jax(patch):
    sgd = jax_jit.optax.sgd
    patch.setattr(jax_jit.optax, "sgd", lambda eta: sgd(-eta))


UPDATES = [
    ("numpy", wrong_rate_in_numpy, "2a"),
    ("numpy", no_bias_in_numpy, "2b"),
    ("numpy", uphill_in_numpy, "2a"),
    ("torch-eager", wrong_rate_in_torch, "2a"),
    ("torch-eager", no_bias_in_torch, "2b"),
    ("torch-eager", sgd_in_torch(weight_decay=1e-3), "2a"),
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
