"""Faults in JAX: rules of the backward pass are custom vjps under jit, and an honest one at any site is not a fault."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adapters.faults.catalogue import FAULTS
from adapters.faults.fault import SITES
from adapters.faults.in_jax import PlantedJax, PlantedWhole, digits, with_rule
from adapters.faults.memory import batch_before
from adapters.faults.networks import initial
from reference.audit import audit, first_break
from reference.network import trace
from reference.rounding import LARGEST
from tests.adapters.faults.samples import BACKWARD, OTHER_NETWORKS, ROUNDED, planted_at, to_round
from tests.arithmetics import arithmetic
from tests.tables import over


@pytest.fixture(autouse=True)
def strictly(engine_named):
    """JAX as the engine's tests have it: float64, and no promotion of formats that nobody asked for."""
    engine_named("jax-jit")


@over(("site", "name"), [(site, name) for site in SITES for name in ("float32", "bfloat16")], quick=10)
def test_an_honest_step_at_any_site_is_no_fault(site, name):
    """A rule of one's own that is right holds: what is found elsewhere is the fault, not the detour."""
    case = initial("tanh", name, 0)
    guilty = first_break(audit(case, PlantedJax(planted_at(site)).trace(case), arithmetic("jax-jit")))
    assert guilty is None, f"a right step breaks {guilty}, but should hold"


@over(("site", "network"), OTHER_NETWORKS, quick=7)
def test_nor_is_it_in_the_other_kinds_of_networks(site, network):
    case = initial(network, "float32", 0)
    guilty = first_break(audit(case, PlantedJax(planted_at(site, network=network)).trace(case), arithmetic("jax-jit")))
    assert guilty is None, f"a right step breaks {guilty}, but should hold"


@pytest.mark.parametrize("site", SITES)
def test_a_rule_is_a_custom_vjp_and_a_forward_step_is_not(site):
    """As the program says that JAX is given, before it compiles it."""
    loss, parameters = PlantedJax(planted_at(site)).function(initial("regression", "float32", 0))
    program = str(jax.make_jaxpr(loss)(*parameters))
    assert ("custom_vjp_call" in program) == (site in BACKWARD)


class ReachedError(Exception):
    """The fault was called."""


def reached(m, honest, *operands):
    raise ReachedError


@pytest.mark.parametrize("site", SITES)
def test_a_rule_is_called_by_the_gradient_and_a_forward_step_before(site):
    loss, parameters = PlantedJax(planted_at(site, reached)).function(initial("tanh", "float32", 0))
    if site in BACKWARD:
        jax.eval_shape(loss, *parameters)
        with pytest.raises(ReachedError):
            jax.eval_shape(jax.grad(loss), *parameters)
        return
    with pytest.raises(ReachedError):
        jax.eval_shape(loss, *parameters)


def test_a_function_has_the_rule_that_it_is_given():
    function = with_rule(lambda a, b: a * b, lambda g, a, b: (g * 7, g * a))
    assert function(2.0, 3.0) == 6
    assert jax.grad(function, argnums=(0, 1))(2.0, 3.0) == (7, 2)


@pytest.mark.parametrize("name", ["float32", "float64"])
def test_one_engine_serves_every_format(name):
    """What is compiled for one format is not used for another: its largest number is in it."""
    given = []

    def wrong(m, linear, *operands):
        given.append((m.largest, m.share, {str(operand.dtype) for operand in operands}))
        return linear(*operands)

    engine = PlantedJax(planted_at("z", wrong))
    for dtype in ("float16", name):
        jax.eval_shape(*(lambda loss, parameters: (loss, *parameters))(*engine.function(initial("tanh", dtype, 0))))
    assert given == [(LARGEST[dtype], 1.0, {dtype}) for dtype in ("float16", name)]


def test_a_fault_that_remembers_remembers_the_batch_before_of_each_case():
    """∂L/∂W of two batches are added; the second Case through the same engine has its own batch before."""
    engine = PlantedJax(FAULTS["gradient-accumulated"])
    for seed in (0, 1):
        case = initial("tanh", "float64", seed)
        expected = trace(case).dW[2] + trace(batch_before(case)).dW[2]
        assert np.abs(engine.trace(case).dW[2] - expected).max() < 1e-13 * np.abs(expected).max()


# --- digits


@pytest.mark.parametrize("wide", ["float32", "float64"])
@pytest.mark.parametrize("p", ROUNDED)
def test_digits_rounds_as_the_narrower_format_does(wide, p):
    x = to_round(wide)
    found = digits(jnp.asarray(x), p)
    assert (np.asarray(found) == x.astype(ROUNDED[p]).astype(wide)).all()
    assert found.dtype == x.dtype


@pytest.mark.parametrize(("narrow", "p"), [("bfloat16", 8), ("bfloat16", 11), ("float16", 11), ("float16", 24)])
def test_digits_leaves_a_format_that_has_no_more_as_it_is(narrow, p):
    x = jnp.asarray(to_round("float32")).astype(narrow)
    assert (digits(x, p) == x).all()


def test_digits_rounds_half_precision_too():
    x = jnp.asarray(to_round("float64")).astype(jnp.float16)
    x = x[abs(x) < 2.0**15]  # those beyond may round to 2¹⁶, which float16 does not hold
    assert (digits(x, 8) == x.astype(jnp.bfloat16).astype(jnp.float16)).all()


# --- in one program


@pytest.mark.parametrize("name", ["bias-shifted", "gradient-ascent"])
def test_faults_are_found_within_the_whole_program(name):
    """One of the forward and one of the backward pass."""
    case, fault = initial("tanh", "float32", 0), FAULTS[name]
    guilty = first_break(audit(case, PlantedWhole(fault).trace(case), arithmetic("jax-whole")))
    assert guilty is not None, f"{name} is not found"
    assert (guilty.equation, guilty.layer) == fault.breaks


def test_an_honest_step_within_the_whole_program_is_no_fault():
    case = initial("tanh", "float32", 0)
    for site in ("z", "f_h'"):
        planted = PlantedWhole(planted_at(site)).trace(case)
        assert first_break(audit(case, planted, arithmetic("jax-whole"))) is None
