"""Faults in torch: rules of the backward pass go through autograd, and an honest one at any site is not a fault."""

from shutil import which

import pytest
import torch

from adapters.faults.catalogue import FAULTS
from adapters.faults.fault import SITES
from adapters.faults.in_torch import PlantedCompiled, PlantedTorch, digits, pullback, with_rule
from adapters.faults.networks import initial
from reference.audit import audit, first_break
from reference.rounding import DTYPES, LARGEST
from reports.faults.measure import COMPILERS
from tests.adapters.faults.samples import DOWNSTREAM, FORWARD, OTHER_NETWORKS, ROUNDED, arrays, planted_at, to_round
from tests.arithmetics import arithmetic
from tests.tables import over


@over("dtype", DTYPES)
@over("site", SITES)
def test_an_honest_step_at_any_site_is_no_fault(site, dtype):
    """A rule of one's own that is right holds: what is found elsewhere is the fault, not the detour."""
    case = initial("tanh", dtype, 0)
    guilty = first_break(audit(case, PlantedTorch(planted_at(site)).trace(case), arithmetic("torch-eager")))
    assert guilty is None, f"a right step breaks {guilty}, but should hold"


@over("dtype", DTYPES)
@over(("site", "network"), OTHER_NETWORKS)
def test_nor_is_it_in_the_other_kinds_of_networks(site, network, dtype):
    case = initial(network, dtype, 0)
    guilty = first_break(
        audit(case, PlantedTorch(planted_at(site, network=network)).trace(case), arithmetic("torch-eager"))
    )
    assert guilty is None, f"a right step breaks {guilty}, but should hold"


@pytest.mark.parametrize("site", SITES)
def test_a_fault_changes_its_step_and_what_is_computed_from_that(site):
    case = initial("tanh", "float64", 0)
    honest = arrays(PlantedTorch(planted_at(site)).trace(case))
    planted = arrays(PlantedTorch(planted_at(site, lambda m, step, *operands: 1.5 * step(*operands))).trace(case))
    assert {name for name in honest if (planted[name] != honest[name]).any()} == DOWNSTREAM["torch-eager"][site]


class ReachedError(Exception):
    """The fault was called."""


def reached(m, honest, *operands):
    raise ReachedError


@pytest.mark.parametrize("site", SITES)
def test_a_rule_is_called_by_autograd_and_a_forward_step_before(site):
    """Every site of the backward pass is inside a torch.autograd.Function: without a gradient, nobody calls it."""
    case = initial("tanh", "float64", 0)
    total, parameters = PlantedTorch(planted_at(site, reached)).function(case)
    if site in FORWARD:
        with pytest.raises(ReachedError):
            total(*parameters)
        return
    loss = total(*parameters)
    assert loss.item() == PlantedTorch(planted_at(site)).trace(case).loss
    with pytest.raises(ReachedError):
        torch.autograd.grad(loss, parameters)


def test_a_function_has_the_rule_that_it_is_given():
    function = with_rule(lambda a, b: a * b, lambda g, a, b: (g * 7, g * a))
    a, b = torch.tensor(2.0, requires_grad=True), torch.tensor(3.0, requires_grad=True)
    value = function(a, b)
    assert value == 6
    assert torch.autograd.grad(value, (a, b)) == (7, 2)


def test_the_pullback_of_an_activation_is_torchs_own():
    z, g = torch.linspace(-2, 2, 5), torch.arange(5.0)
    assert torch.allclose(pullback(torch.tanh)(g, z), g * (1 - torch.tanh(z) ** 2), rtol=1e-6)


@over("dtype", DTYPES)
@over("site", SITES)
def test_a_fault_is_given_the_machine_and_operands_in_the_format(site, dtype):
    case, given = initial("tanh", dtype, 0), []

    def wrong(m, step, *operands):
        given.append((m, operands))
        return step(*operands)

    PlantedTorch(planted_at(site, wrong)).trace(case)
    for m, operands in given:
        assert {operand.dtype for operand in operands} == {getattr(torch, dtype)}
        assert (m.largest, m.share) == (LARGEST[dtype], 1.0)
        assert (m.past, m.b_below) == (None, None)
    assert given


# --- digits


@pytest.mark.parametrize("wide", ["float32", "float64"])
@pytest.mark.parametrize("p", ROUNDED)
def test_digits_rounds_as_the_narrower_format_does(wide, p):
    x = to_round(wide)
    found = digits(torch.tensor(x), p)
    assert (found.numpy() == x.astype(ROUNDED[p]).astype(wide)).all()
    assert found.dtype == getattr(torch, wide)


@pytest.mark.parametrize(("narrow", "p"), [("bfloat16", 8), ("bfloat16", 11), ("float16", 11), ("float16", 24)])
def test_digits_leaves_a_format_that_has_no_more_as_it_is(narrow, p):
    x = torch.tensor(to_round("float32")).to(getattr(torch, narrow))
    assert torch.equal(digits(x, p), x)


def test_digits_rounds_half_precision_too():
    x = torch.tensor(to_round("float64")).to(torch.float16) / 16  # c = 9 x is to be a number of float16
    assert torch.equal(digits(x, 8), x.to(torch.float32).to(torch.bfloat16).to(torch.float16))


# --- in one program


@pytest.mark.skipif(
    not any(map(which, COMPILERS)), reason=f"torch.compile wants a C++ compiler, one of {', '.join(COMPILERS)}"
)
@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning")  # importing inductor
@pytest.mark.filterwarnings(  # Dynamo makes one itself, to trace a torch.autograd.Function
    "ignore:<class 'torch.autograd.function.Function'> should not be instantiated:DeprecationWarning"
)
def test_faults_are_found_under_torch_compile():
    """One of the forward and one of the backward pass; the first compilation takes most of the time."""
    case = initial("tanh", "float32", 0)
    for name in ("transposed-forward", "weight-gradient-averaged-twice"):
        fault = FAULTS[name]
        torch._dynamo.utils.counters.clear()
        engine = PlantedCompiled(fault)
        guilty = first_break(audit(case, engine.trace(case)))
        assert guilty is not None, f"{name} is not found"
        assert (guilty.equation, guilty.layer) == fault.breaks
        assert list(engine.compiled) == ["float32"]
        assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1, "nothing was compiled, or more than once"
