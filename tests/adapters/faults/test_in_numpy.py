"""Faults in NumPy: an honest step at any site is not a fault, and a fault changes its own step alone."""

import ml_dtypes
import numpy as np
import pytest

from adapters.faults.fault import SITES
from adapters.faults.in_numpy import PlantedNumpy, digits
from adapters.faults.networks import initial
from reference.audit import audit, first_break
from reference.rounding import ACCUMULATED_IN, DTYPES, LARGEST
from tests.adapters.faults.samples import DOWNSTREAM, OTHER_NETWORKS, ROUNDED, arrays, planted_at, to_round
from tests.arithmetics import arithmetic
from tests.tables import over


@over("dtype", DTYPES)
@over("site", SITES)
def test_an_honest_step_at_any_site_is_no_fault(site, dtype, engine_named):
    """What is found elsewhere is the fault, not the detour: the trace is the engine's own, to the last bit."""
    case = initial("tanh", dtype, 0)
    honest, planted = engine_named("numpy").trace(case), PlantedNumpy(planted_at(site)).trace(case)
    assert first_break(audit(case, planted, arithmetic("numpy"))) is None
    ours, theirs = arrays(planted), arrays(honest)
    assert all((ours[name] == theirs[name]).all() for name in theirs)


@over("dtype", DTYPES)
@over(("site", "network"), OTHER_NETWORKS)
def test_nor_is_it_in_the_other_kinds_of_networks(site, network, dtype):
    case = initial(network, dtype, 0)
    guilty = first_break(audit(case, PlantedNumpy(planted_at(site, network=network)).trace(case), arithmetic("numpy")))
    assert guilty is None, f"a right step breaks {guilty}, but should hold"


@pytest.mark.parametrize("site", SITES)
def test_a_fault_changes_its_step_and_what_is_computed_from_that(site, engine_named):
    case = initial("tanh", "float64", 0)
    honest = arrays(engine_named("numpy").trace(case))
    fault = planted_at(site, lambda m, step, *operands: 1.5 * step(*operands))
    planted = arrays(PlantedNumpy(fault).trace(case))
    assert {name for name in honest if (planted[name] != honest[name]).any()} == DOWNSTREAM["numpy"][site]


def test_share_makes_the_product_of_g_and_a_the_gradient(dtype, engine_named):
    """g is δ in NumPy, whose samples count 1/N each."""
    case, shares = initial("tanh", dtype, 0), []

    def wrong(m, rule, g, a, W):
        shares.append(m.share)
        return m.share * (g.T @ a)

    planted = PlantedNumpy(planted_at("dW", wrong)).trace(case)
    assert shares == [1 / case.samples]
    assert first_break(audit(case, planted, arithmetic("numpy"))) is None
    assert (planted.dW[2] != 0).any()


@over("dtype", DTYPES)
@over("site", SITES)
def test_a_fault_is_given_the_machine_and_operands_in_the_format_that_numpy_computes_in(site, dtype):
    case, given = initial("tanh", dtype, 0), []

    def wrong(m, step, *operands):
        given.append((m, operands))
        return step(*operands)

    PlantedNumpy(planted_at(site, wrong)).trace(case)
    ((m, operands),) = given
    assert {operand.dtype for operand in operands if operand is not None} == {np.dtype(ACCUMULATED_IN[dtype])}
    assert m.largest == LARGEST[dtype]
    assert (m.f(np.array([0.5])) == case.activation(planted_at(site).layer).value(np.array([0.5]))).all()
    assert (m.past, m.b_below) == (None, None)


# --- digits


@pytest.mark.parametrize("wide", ["float32", "float64"])
@pytest.mark.parametrize("p", ROUNDED)
def test_digits_rounds_as_the_narrower_format_does(wide, p):
    x = to_round(wide)
    assert (digits(x, p) == x.astype(ROUNDED[p]).astype(wide)).all()
    assert digits(x, p).dtype == x.dtype
    assert (wide, p) == ("float32", 24) or (digits(x, p) != x).any()


def test_digits_are_those_of_the_three_formats():
    assert {p: ml_dtypes.finfo(format).nmant + 1 for p, format in ROUNDED.items()} == {p: p for p in ROUNDED}
