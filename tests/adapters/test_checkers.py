"""The checkers of the frameworks: they accept honest engines, catch a wrong backward, and have their blind spots."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from adapters.checkers import check_grads, gradcheck
from adapters.jax import functions, jit
from adapters.jax.jit import JaxJit
from adapters.jax.whole import JaxWhole
from adapters.torch.eager import TorchEager
from reference import network
from reference.cases import Combination, Shape, draw_case
from reference.rounding import DTYPES, rounded
from tests.tables import over

SHAPE = Shape((3, 4, 4, 2), 6)

COMBINATION = Combination("tanh", "identity", "half_squared_error")

FAULTY = 2
"""The layer with the wrong backward."""


def case_of(dtype):
    return draw_case(np.random.default_rng(2), COMBINATION, SHAPE, dtype)


def converged(case, residual):
    """The same network with labels that it misses by about `residual`, so that its gradients are about that size."""
    a = network.forward(case, case.W, case.b, case.x)[1][case.last]
    noise = np.random.default_rng(8).normal(size=a.shape)
    return replace(case, y=rounded(a + residual * noise, case.dtype))


class FaultyTorch(TorchEager):
    """torch with another gradient of W^2: `wrong` of the right one."""

    def __init__(self, wrong):
        super().__init__()
        self.wrong = wrong

    def layer(self, case, l):
        linear, f = super().layer(case, l)
        return (self.planted if l == FAULTY else linear), f

    def planted(self, a, W, b):
        wrong = self.wrong

        class Linear(torch.autograd.Function):
            @staticmethod
            def forward(ctx, a, W, b):
                ctx.save_for_backward(a, W)
                return F.linear(a, W, b)

            @staticmethod
            def backward(ctx, g):
                a, W = ctx.saved_tensors
                return g @ W, wrong(g.T @ a), g.sum(0)

        return Linear.apply(a, W, b)


class FaultyJax(JaxJit):
    """JAX with another gradient of W^2: `wrong` of the right one."""

    def __init__(self, wrong):
        super().__init__()
        linear = jax.custom_vjp(lambda a, W, b: a @ W.T + b)
        linear.defvjp(
            lambda a, W, b: (a @ W.T + b, (a, W)),
            lambda saved, g: (g @ saved[1], wrong(g.T @ saved[0]), g.sum(0)),
        )

        @partial(jax.jit, static_argnames="f")
        def planted(f, W, b, probe, a, given):
            z = linear(a, W, b) + probe
            return z, functions.ACTIVATIONS[f](z, **given)

        self.planted = planted

    def steps(self, case):
        right = super().steps(case)
        return right._replace(layers=tuple(self.planted if l == FAULTY else jit.layer for l in case.layers))


def one_element(dW):
    """An error of a tenth in one element."""
    dW = dW.clone()
    dW[1, 1] *= 1.1
    return dW


@pytest.fixture(params=[False, True], ids=["slow", "fast"])
def fast(request):
    return request.param


@pytest.mark.parametrize("engine_class", [JaxJit, JaxWhole])
@pytest.mark.parametrize("name", ["float32", "float64"])
def test_check_grads_accepts_an_honest_engine(engine_class, name):
    assert check_grads(engine_class(), case_of(name))


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_check_grads_rejects_an_honest_engine_in_half_precision(name):
    """Its step of 1e-4 is lost in rounding there: the differences are of rounding errors."""
    assert not check_grads(JaxJit(), case_of(name))


def test_gradcheck_accepts_an_honest_engine_in_every_format(fast, dtype):
    assert gradcheck(TorchEager(), case_of(dtype), fast)


def test_the_engines_with_a_fault_are_honest_but_for_it(fast):
    assert gradcheck(FaultyTorch(lambda dW: dW), case_of("float64"), fast)
    assert check_grads(FaultyJax(lambda dW: dW), case_of("float64"))


WRONG = {
    "twice as large": lambda dW: 2 * dW,
    "of the wrong sign": lambda dW: -dW,
    "transposed": lambda dW: dW.T,
    "zero": lambda dW: 0 * dW,
    "NaN": lambda dW: dW * float("nan"),
}


@over("dtype", DTYPES)
@over("wrong", WRONG.values(), ids=WRONG)
def test_gradcheck_catches_a_wrong_backward(wrong, fast, dtype):
    assert not gradcheck(FaultyTorch(wrong), case_of(dtype), fast)


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("name", ["float32", "float64"])
def test_check_grads_catches_a_wrong_backward(wrong, name):
    assert not check_grads(FaultyJax(wrong), case_of(name))


def test_gradcheck_is_blind_where_gradients_are_below_its_absolute_tolerance(fast):
    case = converged(case_of("float64"), 1e-6)
    assert np.abs(TorchEager().trace(case).dW[FAULTY]).max() < 1e-5
    assert gradcheck(FaultyTorch(lambda dW: 2 * dW), case, fast)


def test_check_grads_is_blind_where_gradients_are_below_its_absolute_tolerance():
    case = converged(case_of("float64"), 1e-6)
    assert check_grads(FaultyJax(lambda dW: 2 * dW), case)


def test_fast_gradcheck_may_miss_an_error_in_one_element_that_the_slow_mode_finds():
    case = converged(case_of("float64"), 1e-2)
    engine = FaultyTorch(one_element)
    assert not gradcheck(engine, case, fast=False)
    assert gradcheck(engine, case, fast=True)


def test_check_grads_looks_in_one_direction_and_misses_an_error_that_is_orthogonal_to_it():
    """Its direction comes from a fixed seed, so the error can be chosen."""
    case = case_of("float64")
    loss, parameters = JaxJit().function(case)
    rng = np.random.RandomState(0)
    directions = [rng.randn(*p.shape) for p in parameters]
    first, second = directions[FAULTY - 1].ravel()[:2]
    error = np.zeros((4, 4))
    error.flat[:2] = second, -first
    engine = FaultyJax(lambda dW: dW + jnp.asarray(error))
    assert check_grads(engine, case)
    off = jax.grad(lambda W: engine.function(case)[0](parameters[0], W, *parameters[2:]))(parameters[1])
    right = jax.grad(lambda W: loss(parameters[0], W, *parameters[2:]))(parameters[1])
    assert np.allclose(off - right, error)
    assert np.abs(error).max() > 0.1
