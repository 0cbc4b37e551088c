"""What the panel of seeded faults has no site for: other functions, black boxes, wrong reports, wrong updates.

The engine is whole again when the trace is judged, since the audit and NumPy share the equations.
"""

from dataclasses import replace

import jax
import numpy as np
import optax
import torch
import torch.nn.functional as F

from adapters.faults.catalogue import FAULTS
from adapters.faults.networks import initial
from adapters.faults.planting import OF_ONE_PROGRAM, PLANTED, planted
from adapters.jax import functions as jax_functions
from adapters.jax import jit
from adapters.jax import optimisers as jax_optimisers
from adapters.jax.optimisers import OPTIMISERS
from adapters.torch import functions as torch_functions
from adapters.torch import optimisers
from reference import activations, losses, training
from reference.audit import audit, audit_update, first_break
from reference.cases import Combination, Shape, draw_case
from reference.rounding import DTYPES
from reference.training import descent
from reports.faults.kill_matrix import without_warnings
from tests.arithmetics import arithmetic
from tests.tables import over

SQUARE = Shape((4, 4, 4, 4), 8)
"""Square layers, on which what is transposed or exchanged fits; more than one sample, so that 1/N counts."""

COMBINATION = Combination("tanh", "sigmoid", "half_squared_error")

LEARNING_RATE = 0.1

LAYERED = tuple(name for name in PLANTED if name not in OF_ONE_PROGRAM)


def case_of(dtype):
    return draw_case(np.random.default_rng(11), COMBINATION, SQUARE, dtype)


def largest_change(one, other):
    """The largest relative difference between two traces' numbers; a NaN in one of them alone is infinitely far."""
    worst = abs(one.loss - other.loss) / abs(other.loss)
    for name in ("dW", "db", "delta"):
        for l, array in getattr(other, name).items():
            change = np.abs(getattr(one, name)[l] - array) / np.abs(array)
            worst = max(worst, np.where(np.isnan(change), np.inf, change).max())
    return worst


# --- another function than the one that was asked for


def in_torch(table, name, wrong):
    """Plant another function in place of one of torch's."""
    return lambda patch: patch.setitem(getattr(torch_functions, table), name, wrong)


def compiled_anew(function, **options):
    """A function under jit, with nothing compiled yet; jax.jit of one function twice is one cache."""

    def another(*operands):
        return function(*operands)

    return jax.jit(another, **options)


def in_jax(table, name, wrong):
    """Plant another function in place of one of JAX's, and compile anew."""

    def plant(patch):
        patch.setitem(getattr(jax_functions, table), name, wrong)
        function = "layer" if table == "ACTIVATIONS" else "total"
        patch.setattr(jit, function, compiled_anew(getattr(jit, function).__wrapped__, static_argnums=0))

    return plant


def in_numpy(table, name, wrong):
    """Plant another function in place of one of the reference's."""
    return lambda patch: patch.setitem(table, name, wrong)


SLOPE = Combination("leaky_relu", "sigmoid", "half_squared_error"), {"hidden": {"slope": 0.25}}
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
    ("the δ of Huber's loss is ignored", DELTA, "8", 3, "numpy", in_numpy(
        losses.FAMILIES, "huber", lambda delta: losses.huber_of()
    )),
    ("the δ of Huber's loss is ignored", DELTA, "8", 3, "torch-eager", in_torch(
        "LOSSES", "huber", torch_functions.averaged(lambda a, y, reduction, delta: F.huber_loss(a, y, reduction))
    )),
    ("the δ of Huber's loss is ignored", DELTA, "8", 3, "jax-jit", in_jax(
        "LOSSES", "huber", lambda a, y, delta: optax.huber_loss(a, y).sum(axis=1)
    )),
]  # fmt: skip


@over("dtype", DTYPES, quick=2)
@over(("what", "of", "equation", "layer", "name", "plant"), FUNCTIONS, ids=[f"{f[4]}: {f[0]}" for f in FUNCTIONS])
def test_another_function_is_found(what, of, equation, layer, name, plant, engine_named, monkeypatch, dtype):
    combination, parameters = of
    case = draw_case(np.random.default_rng(11), combination, SQUARE, dtype, usual=True)
    case = replace(case, parameters=parameters)
    engine = engine_named(name)
    honest = engine.trace(case)
    assert first_break(audit(case, honest, arithmetic(name))) is None, f"{name} breaks without a fault"
    with monkeypatch.context() as patch:
        plant(patch)
        wrong = engine.trace(case)
    for judged in (name, None):  # by the engine's own accuracy, and by any engine's
        guilty = first_break(audit(case, wrong, arithmetic(judged)))
        assert guilty is not None, f"{what} is not found"
        assert (guilty.equation, guilty.layer) == (equation, layer)
    assert largest_change(engine.trace(case), honest) == 0, f"{what}: still so in {name}"


# --- black boxes


COARSE = (
    *("transposed-weight", "derivative-forgotten", "nan-in-error", "output-derivative-forgotten", "sum-over-t"),
    *("gradient-not-averaged", "loss-summed", "weight-gradient-averaged-twice", "bias-gradient-summed"),
)


def box(trace):
    """Loss and gradients alone."""
    return replace(trace, losses=None, z=None, a=None, delta=None)


@over("name", COARSE)
@over("engine", LAYERED)
def test_a_black_box_with_a_fault_is_found(engine, name, engine_named):
    """End to end: weaker, but every coarse fault is far beyond it."""
    fault = FAULTS[name]
    case = initial(fault.network, "float32", 0)
    assert first_break(audit(case, box(engine_named(engine).trace(case)))) is None
    with without_warnings():
        guilty = first_break(audit(case, box(planted(engine, fault).trace(case))))
    assert guilty is not None, f"{name} is not found end to end"
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


@over("dtype", DTYPES, quick=2)
@over("what", REPORTED)
def test_a_wrong_report_is_found(engine, dtype, what):
    change, right = REPORTED[what]
    case = case_of(dtype)
    honest = engine.trace(case)
    assert first_break(audit(case, honest, arithmetic(engine.name))) is None
    with np.errstate(all="ignore"):
        guilty = first_break(audit(case, change(honest), arithmetic(engine.name)))
    assert guilty is not None, f"{what} is not found"
    assert (guilty.equation, guilty.layer) == right


# --- faults of the update

WRONG_RATE = 1.5
"""Far enough from 1 for a step that half precision rounds to a few digits."""


def update_in_numpy(wrong):
    """The reference's update, made wrongly: `wrong` has the right one, and what that is given."""
    right = training.update

    def update(made, g, state, w, dtype):
        return wrong(right, made, g, state, w, dtype)

    return lambda patch: patch.setattr(training, "update", update)


def wrong_rate(right, made, g, state, w, dtype):
    return right(made.at_rate(made.learning_rate * WRONG_RATE), g, state, w, dtype)


def no_bias(right, made, g, state, w, dtype):
    return {
        place: (w[place], kept) if place[0] == "b" else (new, kept)
        for place, (new, kept) in right(made, g, state, w, dtype).items()
    }


def uphill(right, made, g, state, w, dtype):
    return right(made, {place: -array for place, array in g.items()}, state, w, dtype)


def sgd_in_torch(**options):
    form = optimisers.OPTIMISERS["gradient_descent"]
    wrong = form._replace(arguments=lambda h: form.arguments(h) | options)
    return lambda patch: patch.setitem(optimisers.OPTIMISERS, "gradient_descent", wrong)


def no_bias_in_torch(patch):
    form = optimisers.OPTIMISERS["gradient_descent"]
    wrong = form._replace(
        kind=lambda p, **given: torch.optim.SGD([tensor for tensor in p if tensor.ndim == 2], **given)
    )
    patch.setitem(optimisers.OPTIMISERS, "gradient_descent", wrong)


def sgd_in_jax(factor):
    form = OPTIMISERS["gradient_descent"]
    wrong = form._replace(chain=lambda h, rate: form.chain(h, factor * rate))
    return lambda patch: patch.setitem(jax_optimisers.OPTIMISERS, "gradient_descent", wrong)


UPDATES = [
    ("numpy", update_in_numpy(wrong_rate), "2a"),
    ("numpy", update_in_numpy(no_bias), "2b"),
    ("numpy", update_in_numpy(uphill), "2a"),
    ("torch-eager", sgd_in_torch(lr=WRONG_RATE * LEARNING_RATE), "2a"),
    ("torch-eager", no_bias_in_torch, "2b"),
    ("torch-eager", sgd_in_torch(weight_decay=0.5), "2a"),
    ("torch-eager", sgd_in_torch(maximize=True), "2a"),
    ("jax-jit", sgd_in_jax(WRONG_RATE), "2a"),
    ("jax-jit", sgd_in_jax(-1), "2a"),
]


@over("dtype", DTYPES)
@over(
    ("name", "plant", "equation"),
    UPDATES,
    ids=["rate", "no bias", "uphill", "torch rate", "torch no bias", "decay", "maximize", "jax rate", "jax uphill"],
)
def test_a_wrong_update_is_found(name, plant, equation, engine_named, monkeypatch, dtype):
    case, plan, engine = case_of(dtype), descent((np.arange(SQUARE.samples),), LEARNING_RATE), engine_named(name)

    def update():
        (step,) = engine.train(case, plan)
        return first_break(audit_update(case, step.trace, step.new_W, step.new_b, LEARNING_RATE)), step

    guilty, _ = update()
    assert guilty is None, f"{name} breaks {guilty}, but should hold"
    with monkeypatch.context() as patch:
        patch.setattr(jax_optimisers, "compiled", jax_optimisers.compiled.__wrapped__)
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
        first, second = engine_named("torch-eager").train(case, descent((everything, everything), LEARNING_RATE))
    assert first_break(audit_update(case, first.trace, first.new_W, first.new_b, LEARNING_RATE)) is None
    now = case.with_parameters(second.W, second.b)
    guilty = first_break(audit_update(now, second.trace, second.new_W, second.new_b, LEARNING_RATE))
    assert (guilty.equation, guilty.layer) == ("2a", 1)
