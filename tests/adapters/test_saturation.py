"""What each engine returns where the drawn Cases do not go: |z| beyond `cases.LARGEST_TOTAL_INPUT`, in every dtype."""

from itertools import product

import numpy as np
import pytest

from reference.audit import audit, first_break
from reference.case import Case
from reference.cases import LARGEST_IN_HALF, LARGEST_TOTAL_INPUT
from reference.rounding import DTYPES, HALF
from tests.arithmetics import arithmetic
from tests.tables import over

BINARY, CATEGORICAL = "binary_cross_entropy", "categorical_cross_entropy"


def saturated(dtype, z, y, output="sigmoid", loss=BINARY):
    """One sample whose total input is z."""
    n = len(z)
    return Case("identity", output, loss, dtype, {1: np.eye(n)}, {1: np.zeros(n)}, np.array([z]), np.array([y]))


def traced(engine, case):
    """The engine's trace, and the equation that its first break is in, by its own accuracy and by any engine's."""
    with np.errstate(all="ignore"):
        trace = engine.trace(case)
    by_own, by_any = (first_break(audit(case, trace, arithmetic(name))) for name in (engine.name, None))
    equations = tuple(found.equation if found else None for found in (by_own, by_any))
    assert equations[0] == equations[1], f"the guilty ones are {equations}, but should be one"
    return trace, equations[0]


def largest_drawn(dtype):
    """|z| of the output layer."""
    return LARGEST_IN_HALF if dtype in HALF else LARGEST_TOTAL_INPUT


MENDED = "what it returned with torch 2.13 and JAX 0.10.2 is in this test: another version has mended, or broken, it"


# --- the losses on probabilities, at the edge of what is drawn and beyond


@over("dtype", DTYPES, quick=2)
def test_nothing_saturates_within_what_is_drawn(engine, dtype):
    z = largest_drawn(dtype)
    for case in (
        saturated(dtype, [z], [0.0]),
        saturated(dtype, [-z], [1.0]),
        saturated(dtype, [-z, z], [1.0, 0.0], "softmax", CATEGORICAL),
    ):
        trace, guilty = traced(engine, case)
        assert guilty is None
        assert trace.loss < np.inf
        # to within a's own rounding, which a logarithm of 1 − a magnifies
        assert 0.8 < np.abs(trace.delta[1]).max() < 1.2


AT_ONE = {"float64": 40.0, "float32": 20.0, "float16": 10.0, "bfloat16": 10.0}
"""z whose sigmoid is rounded to 1."""


@over("dtype", DTYPES)
def test_binary_cross_entropy_of_a_probability_rounded_to_1(engine, dtype):
    """In exact arithmetic L = z and δ = 1; of a = 1, (8) makes infinity.

    NumPy gives that, torch clamps the logarithm at −100 and loses the gradient, JAX multiplies infinity by 0.
    """
    trace, guilty = traced(engine, saturated(dtype, [AT_ONE[dtype]], [0.0]))
    assert trace.a[1].item() == 1.0
    loss, delta, equation = {
        "numpy": (np.inf, np.inf, None),
        # a (1 − a) is kept above 1e−12, which float16 has not: 0/0
        "torch-eager": (100.0, np.nan if dtype == "float16" else 0.0, "8"),
        "jax-jit": (np.inf, np.nan, "9"),
        "jax-whole": (np.inf, np.nan, "9"),
    }[engine.name]
    assert trace.loss == loss, f"{engine.name}'s L is {trace.loss}; {MENDED}"
    np.testing.assert_equal(trace.delta[1].item(), delta, f"{engine.name}'s δ; {MENDED}")
    assert guilty == equation, f"{engine.name} breaks {guilty}, but should {equation}; {MENDED}"


ROUNDED_TO_ONE = {
    # z: the dtype, and the engines in which σ(z) is 1 already; JAX rounds e^{−z} and the sum within
    8.0: ("float16", {"jax-jit", "jax-whole"}),
    6.0: ("bfloat16", {"jax-jit", "jax-whole"}),
}


@pytest.mark.parametrize("z", ROUNDED_TO_ONE)
def test_jax_saturates_earlier_in_half_precision(engine, z):
    dtype, at_one = ROUNDED_TO_ONE[z]
    trace, guilty = traced(engine, saturated(dtype, [z], [0.0]))
    assert (trace.a[1].item() == 1.0) == (engine.name in at_one), f"σ({z}) is {trace.a[1].item()!r}"
    assert guilty == ("9" if engine.name in at_one else None)


def test_categorical_cross_entropy_whose_quotient_exceeds_float16(engine):
    """1/a = 8·10⁶ is infinite in float16: autodiff multiplies it by 0. NumPy takes it in float32, which holds it."""
    trace, guilty = traced(engine, saturated("float16", [0.0, 16.0], [1.0, 0.0], "softmax", CATEGORICAL))
    assert trace.a[1][0, 0] == 2.0**-23
    assert 15.9 < trace.loss < 16
    if engine.name == "numpy":
        assert guilty is None
        assert np.isfinite(trace.delta[1]).all()
    else:
        np.testing.assert_equal(trace.delta[1], [[np.nan, np.inf]])
        assert guilty == "9"


AT_ZERO = {"float64": 800.0, "float32": 120.0, "float16": 24.0, "bfloat16": 120.0}
"""z_k − z_t for which the softmax of t is 0."""


@over("dtype", DTYPES)
def test_categorical_cross_entropy_of_a_probability_of_0(engine, dtype):
    """In exact arithmetic L = z_k − z_t and δ = ∓1; of a = 0, (8) makes infinity, and no engine gives a δ."""
    trace, guilty = traced(engine, saturated(dtype, [0.0, AT_ZERO[dtype]], [1.0, 0.0], "softmax", CATEGORICAL))
    assert trace.a[1][0, 0] == 0.0
    assert trace.loss == np.inf
    assert not np.isfinite(trace.delta[1]).any()
    assert guilty is not None


@over(("dtype", "loss"), list(product(DTYPES, ["binary", "categorical", "negative", "divergence"])), quick=8)
def test_fused_or_on_logarithms_nothing_is_lost_there(engine, dtype, loss):
    z = AT_ZERO[dtype]
    case = {
        "binary": saturated(dtype, [AT_ONE[dtype]], [0.0], loss=f"{BINARY}_on_logits"),
        "categorical": saturated(dtype, [0.0, z], [1.0, 0.0], "softmax", f"{CATEGORICAL}_on_logits"),
        "negative": saturated(dtype, [0.0, z], [1.0, 0.0], "log_softmax", "negative_log_likelihood"),
        "divergence": saturated(dtype, [0.0, z], [1.0, 0.0], "log_softmax", "kullback_leibler"),
    }[loss]
    trace, guilty = traced(engine, case)
    assert guilty is None
    assert trace.loss == np.abs(case.x).max()
    assert np.array_equal(np.abs(trace.delta[1]), np.ones_like(trace.delta[1]))


@pytest.mark.parametrize("name", ["torch-eager"])
def test_torch_drops_the_gradient_of_a_probability_within_1e_12_of_1(engine_named, name):
    """torch divides by max(a (1 − a), 1e−12): at z = 30, 1 − a is 9.4e−14 and δ a tenth of what it should be."""
    case = saturated("float64", [30.0], [0.0])
    trace = engine_named(name).trace(case)
    guilty = first_break(audit(case, trace, arithmetic(name)))
    assert guilty is not None, "torch divides by a (1 − a) as it is: 1e−12 is gone, which was there in 2.13"
    assert (guilty.equation, guilty.layer) == ("9", 1)
    assert trace.delta[1].item() < 0.1


# --- activations


def test_softplus_above_20_in_float64(engine):
    case = saturated("float64", [20.5], [0.0], output="softplus", loss="half_squared_error")
    trace, guilty = traced(engine, case)
    linear = engine.name == "torch-eager"
    assert (trace.a[1].item() == 20.5) == linear, f"{engine.name}'s softplus(20.5) is {trace.a[1].item()!r}; {MENDED}"
    assert guilty == ("a" if linear else None)


@over("output", ["sigmoid", "silu"])
@over("z", [-11.0859375, -11.09375, -13.0])
def test_sigmoid_of_jax_is_0_where_e_to_the_minus_z_exceeds_float16(engine, output, z):
    """log 65504 = 11.0899: beyond, e^{−z} is infinite in float16, and σ(z), 1.5·10⁻⁵ there, is 0."""
    case = saturated("float16", [z], [1.0], output, "half_squared_error")
    trace, guilty = traced(engine, case)
    zero = engine.name.startswith("jax") and z < -np.log(65504)
    assert (trace.a[1].item() == 0.0) == zero, f"{engine.name}'s {output}({z}) is {trace.a[1].item()!r}; {MENDED}"
    assert guilty == ("a" if zero else None)
    assert (trace.delta[1].item() == 0.0) == zero


@over("output", ["logsigmoid", "softplus", "mish", "gelu", "gelu_tanh", "tanh", "elu", "celu", "selu"], quick=4)
def test_the_other_activations_hold_there_in_float16(engine, output):
    for z in (-11.0859375, -11.09375, -13.0):
        case = saturated("float16", [z], [1.0], output, "half_squared_error")
        assert traced(engine, case)[1] is None
