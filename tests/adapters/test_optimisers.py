"""torch.optim and optax beside the hand-derived optimisers: every line of every step, on the framework's own state."""

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch

from adapters.jax.optimisers import OPTIMISERS as OPTAX
from adapters.torch.optimisers import OPTIMISERS as TORCH
from reference import rounding as rd
from reference.optimisers import OPTIMISERS, SINGLE, audit_step, optimiser
from tests.arithmetics import arithmetic
from tests.tables import over

N, STEPS, SEEDS = 250, 10, (2026, 2027)

FUSED = ("gradient_descent", "momentum", "nesterov", "adagrad", "adam", "adamw", "amsgrad")
"""Those that torch has a fused kernel of on the CPU."""

WRONG_WHERE_FUSED = [(name, dtype) for name in ("gradient_descent", "momentum", "nesterov") for dtype in rd.HALF]
"""pytorch/pytorch#191763: whole vectors of w are left as they are, and the buffer is read in another format."""


# --- their steps


def float64(value):
    """What a framework has, as it has it; what it keeps once is a number."""
    array = value.detach().double().numpy().copy() if isinstance(value, torch.Tensor) else np.asarray(value)
    return array.astype(np.float64)


def kept(o, names, get, count):
    """The framework's state by our names; the steps that it does not count, we do."""
    theirs = {ours: name for name, ours in names.items()}
    assert set(o.kept) - set(theirs) <= {"t"}
    state = {name: float64(get(theirs[name])) if name in theirs else count for name in o.kept}
    return {name: float(value) if name in SINGLE else value for name, value in state.items()}


def first_state(o, w, dtype):
    return {name: x if name in SINGLE else rd.rounded(x, dtype) for name, x in o.init(w).items()}


def torch_steps(o, dtype, w, gradients, **how):
    """(w, state, g, new w, new state) of every step of torch.optim."""
    form = TORCH[o.name]
    parameter = torch.nn.Parameter(torch.tensor(w).to(getattr(torch, dtype)))
    made = form.kind([parameter], **form.arguments(o.hyperparameters), **how)
    state = first_state(o, w, dtype)
    for count, g in enumerate(gradients, start=1):
        old = float64(parameter)
        parameter.grad = torch.tensor(g).to(parameter.dtype)
        made.step()
        new_state = kept(o, form.kept, made.state[parameter].__getitem__, count)
        yield old, state, g, float64(parameter), new_state
        state = new_state


def optax_steps(o, dtype, w, gradients, jit=True):
    """(w, state, g, new w, new state) of every step of optax, update and addition compiled together.

    optax subtracts β^t, t an int32, from 1: strict promotion, which the other tests switch on, refuses that.
    """
    form = OPTAX[o.name]
    made = form.chain(o.hyperparameters, o.learning_rate)

    def step(g, state, parameter):
        updates, state = made.update(g, state, parameter)
        return optax.apply_updates(parameter, updates), state

    step = jax.jit(step) if jit else step
    parameter = jnp.asarray(w).astype(dtype)
    held = made.init(parameter)
    state = first_state(o, w, dtype)
    for count, g in enumerate(gradients, start=1):
        old = float64(parameter)
        parameter, held = step(jnp.asarray(g).astype(dtype), held, parameter)
        new_state = kept(o, form.kept, lambda name, held=held: optax.tree.get(held, name), count)
        yield old, state, g, float64(parameter), new_state
        state = new_state


@pytest.fixture(autouse=True)
def as_the_adapter_has_jax():
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        yield


# --- what is drawn


def numbers(rng, dtype, lowest, highest):
    """Numbers of every magnitude between two powers of ten, and a few zeros."""
    sizes = 10.0 ** rng.uniform(lowest, highest, N)
    return rd.rounded(np.where(rng.random(N) < 0.03, 0.0, rng.choice([-1, 1], N) * sizes), dtype)


def reach(name, dtype):
    """Powers of ten: all whose squares are finite in the format.

    In half precision v may underflow where a² does not, and the centred root is NaN.
    """
    if dtype == "float16":
        return (-1, 2) if "centred" in name else (-5, 2)
    return (-12, 15) if "centred" in name and dtype == "bfloat16" else (-44, 15)


OTHER_VALUES = dict(
    **dict.fromkeys(("beta1", "decay", "dampening"), 0.3),
    **dict.fromkeys(("weight_decay", "learning_rate_decay"), 0.125),
    learning_rate=0.25,
    momentum=0.4,
    beta2=0.6,
    eps=1e-3,
    momentum_decay=1.5,
    initial_accumulator=0.7,
)
"""Far from the usual ones; β₁ and ρ below ½, where torch's `lerp` starts from the other end."""


def variants(name, dtype, lacking=()):
    """The usual values, and others that are far from them but for those that the framework lacks."""
    usual = OPTIMISERS[name].hyperparameters
    other = {key: value for key, value in OTHER_VALUES.items() if key not in lacking}
    in_half = {"eps": 1 / 16} if dtype == "float16" else {}  # 1e-8 is 0 there, and 0/0 NaN
    if "centred" in name and dtype in rd.HALF:  # the gradient of a large w would stay the same: another test shows it
        in_half["weight_decay"] = 0.0
    for given in (in_half, other | in_half):
        yield optimiser(name, **{key: value for key, value in given.items() if key in usual})


def breaks(name, dtype, engine, steps, **how):
    """The findings that do not hold, over both variants and seeds; every line is compared in every step."""
    found = []
    for o in variants(name, dtype, ("dampening",) if steps is optax_steps else ()):
        for seed in SEEDS:
            rng = np.random.default_rng(seed)
            w, *gradients = (numbers(rng, dtype, *reach(name, dtype)) for _ in range(STEPS + 1))
            for step in steps(o, dtype, w, gradients, **how):
                findings = audit_step(o, dtype, *step, 1, arithmetic(engine))
                assert [f.equation for f in findings] == [f"{name}: {line}" for line in o.observed]
                assert all(finding.elements for finding in findings)
                found += [finding for finding in findings if not finding.holds]
    return found


# --- every form holds


def test_every_optimiser_is_one_of_a_framework():
    assert set(TORCH) | set(OPTAX) == set(OPTIMISERS)


@over(("name", "foreach", "dtype"), list(product(TORCH, [False, True], rd.DTYPES)), quick=55)
def test_torch_holds(name, dtype, foreach):
    found = breaks(name, dtype, "torch-eager", torch_steps, foreach=foreach)
    if name.startswith("nadam") and dtype == "float64":  # see test_torch_keeps_nadams_product_of_momenta_in_float32
        assert {finding.equation for finding in found} == {f"{name}: mu_product"}
    else:
        assert found == []


@over(
    ("name", "dtype"),
    [(name, dtype) for name in FUSED for dtype in rd.DTYPES if (name, dtype) not in WRONG_WHERE_FUSED],
)
def test_fused_torch_holds(name, dtype):
    engine = None if dtype in rd.HALF else "torch-eager"  # in half precision it uses m and v before it stores them
    assert breaks(name, dtype, engine, torch_steps, fused=True) == []


@over(("name", "dtype"), [(name, dtype) for name in OPTAX for dtype in rd.DTYPES], quick=14)
def test_optax_holds(name, dtype):
    assert breaks(name, dtype, "jax-jit", optax_steps) == []


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["adam", "nadam_constant", "amsgrad_of_corrected", "lion", "rmsprop_eps_in_root"])
def test_optax_holds_without_jit(name, dtype):
    assert breaks(name, dtype, "jax-jit", optax_steps, jit=False) == []


WITHOUT_FLOAT64 = ("adam", "adamw", "nadam_constant", "amsgrad_of_corrected", "adamax")


@over(("name", "dtype"), [(name, dtype) for name in WITHOUT_FLOAT64 for dtype in ("float32", "bfloat16")], quick=4)
def test_optax_without_float64_holds_for_an_engine_without_a_name(name, dtype):
    with jax.enable_x64(False):
        assert breaks(name, dtype, None, optax_steps) == []


def test_optax_without_float64_is_not_within_what_it_is_with_it():
    with jax.enable_x64(False):
        found = breaks("nadam_constant", "float32", "jax-jit", optax_steps)
    assert {finding.equation for finding in found} == {"nadam_constant: w"}


# --- where a framework departs


def draw(dtype, seed=5):
    rng = np.random.default_rng(seed)
    return [numbers(rng, dtype, -3, 1) for _ in range(4)]


@pytest.mark.parametrize("name", ["nadam", "nadamw"])
def test_torch_keeps_nadams_product_of_momenta_in_float32(name):
    o = optimiser(name)
    w, *gradients = draw("float64")
    found = [
        f
        for step in torch_steps(o, "float64", w, gradients)
        for f in audit_step(o, "float64", *step, 1, arithmetic("numpy"))
    ]
    broken = [finding for finding in found if not finding.holds]
    assert {finding.equation for finding in broken} == {f"{name}: mu_product"}
    assert max(finding.ratio for finding in broken) > 1e6
    torch.set_default_dtype(torch.float64)
    try:
        steps = list(torch_steps(o, "float64", w, gradients))
    finally:
        torch.set_default_dtype(torch.float32)
    assert all(f.holds for step in steps for f in audit_step(o, "float64", *step, 1, arithmetic("numpy")))


@pytest.mark.parametrize(("name", "dtype"), WRONG_WHERE_FUSED)
def test_the_fused_gradient_descent_of_torch_is_wrong_in_half_precision(name, dtype):
    o = optimiser(name)
    w, *gradients = draw(dtype)
    found = [
        finding
        for step in torch_steps(o, dtype, w, gradients, fused=True)
        for finding in audit_step(o, dtype, *step, 1)
        if not finding.holds
    ]
    assert f"{name}: w" in {finding.equation for finding in found}


def test_adam_with_an_ε_that_float16_does_not_have_divides_0_by_0_in_torch():
    o = optimiser("adam")
    zeros = np.zeros(3)
    (step,) = torch_steps(o, "float16", zeros, [zeros])
    new_w = step[3]
    assert np.isnan(new_w).all()
    assert not audit_step(o, "float16", *step, 1, arithmetic("torch-eager"))[-1].holds


@pytest.mark.parametrize(("steps", "engine"), [(torch_steps, "torch-eager"), (optax_steps, "jax-jit")])
def test_a_centred_root_becomes_nan_under_a_constant_gradient(steps, engine):
    """v − a², which goes to 0, is negative by rounding; in float32 too, after 133 and 131 steps."""
    o = optimiser("rmsprop_centred", decay=0.9, eps=1e-3)
    g = rd.rounded(np.linspace(0.1, 3, 200), "float32")
    found = [
        audit_step(o, "float32", *step, 1, arithmetic(engine))[-1] for step in steps(o, "float32", 0 * g, [g] * 140)
    ]
    first = next(finding for finding in found if not finding.holds)
    assert first.equation == "rmsprop_centred: w"
    assert np.isnan(first.worst.observed)
    assert 100 < found.index(first) < 140


# --- what they were given wrongly is named

WRONGLY_MADE = {
    # what the framework is given, what it is audited as, the lines that must be named
    "ε inside the root": ("rmsprop_eps_in_root", {"decay": 0.99}, "rmsprop", {}, {"w"}),
    "decoupled where coupled is meant": (
        "adamw",
        {"weight_decay": 0.5},
        "adam",
        {"weight_decay": 0.5},
        {"m", "v", "w"},
    ),
    "the other β₁": ("adam", {"beta1": 0.8}, "adam", {}, {"m", "w"}),
    "the other β₂": ("adam", {"beta2": 0.99}, "adam", {}, {"v", "w"}),
    "one momentum where a schedule is meant": ("nadam_constant", {"learning_rate": 2e-3}, "nadam", {}, {"w"}),
    "the other η": ("lion", {"learning_rate": 2e-4}, "lion", {}, {"w"}),
    "AMSGrad of the corrected v": ("amsgrad_of_corrected", {}, "amsgrad", {}, {"v_max", "w"}),
    "Nesterov's where heavy-ball is meant": ("nesterov", {}, "momentum", {}, {"w"}),
}


@pytest.mark.parametrize("wrongly", WRONGLY_MADE)
def test_a_framework_that_is_made_wrongly_is_named(wrongly):
    made, given, meant, hyperparameters, named = WRONGLY_MADE[wrongly]
    o, audited = optimiser(made, **given), optimiser(meant, **hyperparameters)
    rng = np.random.default_rng(11)
    w, *gradients = (numbers(rng, "float32", -6, 1) for _ in range(5))
    found = set()
    product = 1.0
    for count, (old, state, g, new_w, new_state) in enumerate(optax_steps(o, "float32", w, gradients), start=1):
        before = {"t": count - 1, "mu_product": product, **state}
        product *= 0.9 * (1 - 0.5 * 0.96 ** (count * 0.004))
        after = {"t": count, "mu_product": product, **new_state}
        findings = audit_step(audited, "float32", old, before, g, new_w, after, 1, arithmetic("jax-jit"))
        found |= {finding.equation for finding in findings if not finding.holds}
    assert found == {f"{meant}: {line}" for line in named}
