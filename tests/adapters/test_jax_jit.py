"""JAX: compiled once for a shape, in the Case's own dtype; and a defect of its log1p that the audit finds."""

import jax
import numpy as np
import pytest

from adapters import jax_jit
from adapters.jax_jit import compiled_trace, compiled_update, compiled_vjp
from reference.audit import audit, first_break
from reference.case import Case
from reference.cases import Combination, Shape, draw_case
from reference.training import Plan

COMBINATION = Combination("silu", "softplus", "half_squared_error")


@pytest.fixture
def jax_engine(engine_named):
    return engine_named("jax-jit")


@pytest.fixture
def cleared():
    """Nothing compiled before the test, and nothing of the test's afterwards."""
    for compiled in (compiled_trace, compiled_vjp, compiled_update):
        compiled.cache_clear()
    yield
    for compiled in (compiled_trace, compiled_vjp, compiled_update):
        compiled.cache_clear()


SHAPE = Shape((4, 3, 3), 6)


def case_of(dtype="float32", shape=SHAPE, seed=3):
    return draw_case(np.random.default_rng(seed), COMBINATION, shape, dtype)


# --- compiled once


@pytest.mark.usefixtures("cleared")
def test_compiled_once_for_a_shape(jax_engine):
    function = compiled_trace(*COMBINATION, 2)
    for seed in range(4):
        jax_engine.trace(case_of(seed=seed))
    assert function._cache_size() == 1, f"compiled {function._cache_size()} times for one shape, but should be once"
    jax_engine.trace(case_of(shape=Shape((4, 3, 3), 7)))
    jax_engine.trace(case_of(dtype="float64"))
    jax_engine.trace(case_of(shape=Shape((4, 3, 3), 7), seed=5))
    assert function._cache_size() == 3, f"compiled {function._cache_size()} times for three, but should be 3"


@pytest.mark.usefixtures("cleared")
def test_training_compiles_once_for_a_batch_size(jax_engine):
    case = case_of()
    list(jax_engine.train(case, Plan((np.arange(3), np.arange(3, 6), np.arange(1, 4)), 0.1)))
    assert compiled_trace(*COMBINATION, 2)._cache_size() == 1
    assert compiled_update(0.1)[1]._cache_size() == 1


@pytest.mark.usefixtures("cleared")
def test_a_vjp_is_compiled_once_for_a_shape(jax_engine):
    case = case_of(shape=Shape((4, 3, 3, 3), 6))
    z, cotangent = np.ones((6, 3)), np.ones((6, 3))
    for layer in (2, 3, 2):
        jax_engine.layer_vjp(case, layer, z, cotangent)
    assert compiled_vjp("silu")._cache_size() == 1


# --- the dtype


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_whole_computation_has_the_cases_dtype(jax_engine, monkeypatch, dtype):
    seen = []

    def watched(values):
        seen.extend(leaf.dtype for leaf in jax.tree.leaves(values))
        return float64(values)

    float64 = jax_jit.float64
    monkeypatch.setattr(jax_jit, "float64", watched)
    case = case_of(dtype)
    jax_engine.trace(case)
    list(jax_engine.train(case, Plan((np.arange(6),), 0.1)))
    jax_engine.layer_vjp(case, 2, np.ones((6, 3)), np.ones((6, 3)))
    assert {str(found) for found in seen} == {dtype}, f"dtypes are {set(seen)}, but should be {dtype} alone"


def test_float64_and_full_precision_are_switched_on(jax_engine):
    assert jax.config.jax_enable_x64 is True
    assert jax.config.jax_default_matmul_precision == "highest"


# --- jax-ml/jax#39707: float64 log1p on the CPU errs by up to 250 u around −0.414


def with_xlog1py(a, y):
    """The binary cross-entropy as one would write it first."""
    return -(jax.scipy.special.xlogy(y, a) + jax.scipy.special.xlog1py(1 - y, -a)).sum(axis=1)


def logistic_case(dtype):
    """One sigmoid unit whose activations are close to √2 − 1, with the label 0: L_i = −log(1 − a)."""
    a = np.linspace(0.405, 0.42, 64)
    x = np.log(a / (1 - a))[:, np.newaxis].astype(dtype).astype(np.float64)
    return Case("identity", "sigmoid", "binary_cross_entropy", dtype, {1: np.eye(1)}, {1: np.zeros(1)}, x, 0 * x)


@pytest.mark.usefixtures("cleared")
def test_log1p_of_jax_breaks_8_in_float64(jax_engine, monkeypatch):
    if jax_engine.device.platform != "cpu":
        pytest.skip(f"the defect is the CPU's, and JAX computes on {jax_engine.device.platform}")
    case = logistic_case("float64")
    assert first_break(audit(case, jax_engine.trace(case))) is None
    monkeypatch.setitem(jax_jit.LOSSES, "binary_cross_entropy", (with_xlog1py, False))
    compiled_trace.cache_clear()
    guilty = first_break(audit(case, jax_engine.trace(case)))
    assert guilty is not None, "the audit finds nothing, but should find the error of log1p"
    assert (guilty.equation, guilty.layer) == ("8", 1)
    assert guilty.ratio > 5, f"the ratio is {guilty.ratio:.2g}, but should be far above 1"


@pytest.mark.usefixtures("cleared")
def test_log1p_of_jax_holds_in_float32(jax_engine, monkeypatch):
    case = logistic_case("float32")
    monkeypatch.setitem(jax_jit.LOSSES, "binary_cross_entropy", (with_xlog1py, False))
    assert first_break(audit(case, jax_engine.trace(case))) is None
