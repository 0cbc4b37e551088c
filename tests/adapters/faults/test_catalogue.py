"""The panel: every fault is killed in every engine, by the equation and the layer that it breaks, and not by its mere
being planted."""

import re
from collections import Counter
from dataclasses import replace

import array_api_compat.numpy
import array_api_compat.torch
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from scipy import special

from adapters.faults import catalogue, in_jax, in_numpy, in_torch
from adapters.faults.catalogue import FAULTS, SEES, TRAINED, panel
from adapters.faults.fault import CONVERGED, INITIAL, OUTPUT, PRECISIONS, SITES, Machine
from adapters.faults.memory import batch_before
from adapters.faults.networks import NETWORKS, initial
from adapters.faults.planting import OF_ONE_PROGRAM, PLANTED, planted
from reference import audit as au
from reference.activations import ACTIVATIONS
from reference.network import trace
from reference.rounding import LARGEST
from reports.faults import kill_matrix
from tests.adapters.faults.samples import AT_OUTPUT, BACKWARD, as_it_is
from tests.arithmetics import arithmetic
from tests.tables import over

SEED = 0

TRANSPARENT = 0.5
"""What an honest step of our own may move a number by, in allowances: torch's mean of L_i is not the sum that its
reduction takes, and a program of JAX rounds as it is compiled."""

LAYERED = tuple(name for name in PLANTED if name not in OF_ONE_PROGRAM)


def killed(engine, fault, dtype, stage=INITIAL):
    """Assert that the honest engine holds, and that the fault is there, is found, and is called by its name."""
    __tracebackhide__ = True
    right = kill_matrix.honest_trace(engine, fault.network, dtype, stage, SEED)
    assert right.checks
    assert not right.broken, f"{engine} breaks without a fault in {sorted(right.broken)}"
    draw = kill_matrix.draw_pass(engine, planted(engine, fault), fault, dtype, stage, SEED)
    assert draw.change > kill_matrix.CERTAIN, f"{fault.name} changes its step by {draw.change:.3g} allowances"
    assert draw.killed, f"{fault.name} is not found"
    assert fault.names(*draw.found), f"{fault.name} is found in {draw.found}, but should be in {fault.breaks}"


# --- the panel itself


def test_the_panel_is_large_and_no_two_faults_share_a_name():
    names = [fault.name for fault in panel()]
    assert len(names) >= 120
    assert max(Counter(names).values()) == 1
    assert list(FAULTS) == names
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name) for name in names)


@over("fault", FAULTS.values(), ids=FAULTS)
def test_a_fault_has_a_cause_and_a_place_that_exists(fault):
    assert len(fault.cause) > 5
    assert fault.kind
    assert fault.network in NETWORKS
    assert fault.sees in PRECISIONS
    assert fault.trained in (None, "", *PRECISIONS)
    assert fault.site in SITES
    if fault.site in AT_OUTPUT:
        assert fault.layer == OUTPUT
    elif fault.site == "f_h'":
        assert fault.layer in (1, 2)
    else:
        assert fault.layer in range(2 if fault.site == "δW" else 1, OUTPUT + 1)


def test_causes_and_places_tell_the_faults_apart():
    seen = Counter((fault.cause, fault.site, fault.layer, fault.network) for fault in FAULTS.values())
    assert max(seen.values()) == 1


def test_most_faults_are_rules_that_autodiff_calls():
    """In torch a torch.autograd.Function, in JAX a custom vjp: tests of `in_torch` and `in_jax` say so of each site."""
    assert sum(fault.site in BACKWARD for fault in FAULTS.values()) >= 60
    assert {fault.site for fault in FAULTS.values()} == set(SITES)


def test_every_network_has_a_fault():
    assert {fault.network for fault in FAULTS.values()} == set(NETWORKS)


def test_faults_of_the_past_say_where_they_were():
    sources = [fault.source for fault in FAULTS.values() if fault.source]
    assert sources
    assert all(re.fullmatch(r"https://github\.com/[\w.-]+/[\w.-]+/(issues|pull)/\d+", source) for source in sources)
    assert {fault.kind for fault in FAULTS.values() if fault.source} == {catalogue.HISTORICAL}


def test_exceptions_are_of_faults_that_are_there():
    assert set(SEES) | set(TRAINED) <= set(FAULTS)
    assert all(FAULTS[name].sees == format for name, format in SEES.items())
    assert all(FAULTS[name].trained == format for name, format in TRAINED.items())


def test_some_faults_are_planted_in_one_program():
    """None of them remembers: what is compiled holds the batch before of one Case only."""
    assert len(set(kill_matrix.IN_ONE_PROGRAM)) == len(kill_matrix.IN_ONE_PROGRAM) >= 20
    assert set(kill_matrix.IN_ONE_PROGRAM) <= set(FAULTS)
    assert not any(FAULTS[name].remembers for name in kill_matrix.IN_ONE_PROGRAM)


# --- every fault in every engine

EVERYWHERE = [
    pytest.param(engine, dtype, fault, id=f"{engine}-{dtype}-{fault.name}")
    for engine in ("numpy", "torch-eager")
    for dtype in PRECISIONS
    for fault in FAULTS.values()
    if dtype in ("float64", fault.sees)
]
"""In float64, and in the coarsest format that is said to see the fault."""


@over(("engine", "dtype", "fault"), EVERYWHERE)
def test_a_fault_is_killed(engine, dtype, fault):
    killed(engine, fault, dtype)


@over("fault", FAULTS.values(), ids=FAULTS, quick=18)
def test_a_fault_is_killed_under_jit(fault, engine_named):
    engine_named("jax-jit")  # which has no format promoted that is not asked for
    killed("jax-jit", fault, "float64")


@over(
    "fault",
    [fault for fault in FAULTS.values() if fault.exceeds("float64", CONVERGED)],
    ids=lambda fault: fault.name,
    quick=50,
)
def test_a_fault_is_killed_near_convergence(fault):
    killed("numpy", fault, "float64", CONVERGED)


@pytest.mark.parametrize("name", [name for name, format in TRAINED.items() if format == ""])
def test_a_trained_network_no_longer_meets_some_faults(name):
    fault = FAULTS[name]
    draw = kill_matrix.draw_pass("numpy", planted("numpy", fault), fault, "float64", CONVERGED, SEED)
    assert draw.change == 0
    assert not draw.killed


def test_formats_and_faults_are_all_there():
    """No fault is left out, and each is seen in its coarsest format."""
    ids = [param.id for param in EVERYWHERE]
    assert len(ids) == 2 * sum(1 + (fault.sees != "float64") for fault in FAULTS.values())


# --- a fault that is switched off


@over("engine", LAYERED)
@over("site", SITES)
def test_a_fault_that_is_switched_off_fails_the_test(engine, site, engine_named):
    """The honest step in its place: nothing is moved, nothing is found, and the assertion above does not hold."""
    engine_named(engine)
    fault = replace(next(fault for fault in FAULTS.values() if fault.site == site), wrong=as_it_is)
    draw = kill_matrix.draw_pass(engine, planted(engine, fault), fault, "float64", INITIAL, SEED)
    assert not draw.killed
    assert draw.change <= (0 if engine == "numpy" else TRANSPARENT)
    with pytest.raises(AssertionError, match="changes its step by"):
        killed(engine, fault, "float64")


def test_a_fault_in_another_place_than_is_said_fails_the_test():
    fault = replace(FAULTS["frozen-bias"], site="dW")
    wrong = planted("numpy", FAULTS["frozen-bias"])
    draw = kill_matrix.draw_pass("numpy", wrong, fault, "float64", INITIAL, SEED)
    assert draw.killed
    assert not fault.names(*draw.found)
    assert draw.change == 0


@pytest.mark.parametrize("fault", [f for f in FAULTS.values() if f.remembers], ids=lambda fault: fault.name)
def test_a_fault_that_remembers_needs_to(fault):
    with pytest.raises((AttributeError, TypeError)):
        planted("numpy", replace(fault, remembers=False)).trace(initial(fault.network, "float64", SEED))


# --- what a finding says of a NaN


@pytest.mark.parametrize("engine", ["numpy", "torch-eager"])
@pytest.mark.parametrize(
    ("name", "index"), [("nan-in-error", (2, 1)), ("nan-in-gradient", (2, 1)), ("nan-in-loss", (2,))]
)
def test_a_nan_is_named_by_its_element(engine, name, index):
    fault = FAULTS[name]
    case = initial(fault.network, "float32", SEED)
    with kill_matrix.without_warnings():
        guilty = au.first_break(au.audit(case, planted(engine, fault).trace(case), arithmetic(engine)))
    assert guilty.worst.index == index
    assert np.isnan(guilty.ratio)


# --- faults whose cause is another computation: the same numbers as that


def reference_of(name):
    """The network of a fault, its wrong trace in float64 NumPy, and the right one."""
    fault = FAULTS[name]
    case = initial(fault.network, "float64", SEED)
    return case, planted("numpy", fault).trace(case), trace(case)


def agree(one, other):
    return np.abs(one - other).max() <= 1e-13 * np.abs(other).max()


def halves(case):
    """The Case on the first 20 and on the last 12 of its samples."""
    return [case.on_batch(case.x[part], case.y[part]) for part in (slice(20), slice(20, None))]


def test_gradients_that_are_not_reset_are_those_of_both_batches():
    case, wrong, right = reference_of("gradient-accumulated")
    assert agree(wrong.dW[2], right.dW[2] + trace(batch_before(case)).dW[2])
    case, wrong, right = reference_of("bias-gradient-accumulated")
    assert agree(wrong.db[2], right.db[2] + trace(batch_before(case)).db[2])


def test_the_gradient_of_batch_means_is_the_mean_of_two_gradients():
    case, wrong, _ = reference_of("gradient-of-batch-means")
    first, second = (trace(half) for half in halves(case))
    for l in case.layers:
        assert agree(wrong.dW[l], (first.dW[l] + second.dW[l]) / 2)


def test_the_loss_of_batch_means_is_the_mean_of_two_losses():
    case, wrong, _ = reference_of("loss-of-batch-means")
    first, second = (trace(half) for half in halves(case))
    assert agree(np.array(wrong.loss), np.array((first.loss + second.loss) / 2))


def test_weights_updated_first_carry_the_error_back_through_the_new_ones():
    case, wrong, right = reference_of("weights-updated-first")
    W = {**case.W, 2: case.W[2] - 0.1 * right.dW[2]}
    df = ACTIVATIONS["tanh"].derivative(right.z[1])
    assert agree(wrong.delta[1], df * (right.delta[2] @ W[2]))


def test_a_transposed_weight_is_the_notes_literal_14():
    case, wrong, right = reference_of("transposed-weight")
    df = ACTIVATIONS["tanh"].derivative(right.z[1])
    assert agree(wrong.delta[1], df * (right.delta[2] @ case.W[2].T))


def test_the_bias_of_the_layer_below_is_the_notes_literal_12():
    case, wrong, right = reference_of("bias-of-layer-below")
    assert agree(wrong.z[2], right.a[1] @ case.W[2].T + case.b[1])


# --- what several faults need, in every engine's arrays

MACHINES = {
    "numpy": (Machine(array_api_compat.numpy, in_numpy.digits, np.tanh, LARGEST["float64"], 1.0), np.asarray),
    "torch": (Machine(array_api_compat.torch, in_torch.digits, torch.tanh, LARGEST["float64"], 1.0), torch.tensor),
    "jax": (Machine(jnp, in_jax.digits, jnp.tanh, LARGEST["float64"], 1.0), jnp.asarray),
}


@pytest.fixture(params=MACHINES)
def machine(request, engine_named):
    """An engine's functions, and how it makes an array."""
    engine_named("jax-jit")  # float64
    return MACHINES[request.param]


Z = np.random.default_rng(6).normal(size=(5, 4)) * 3


def test_softmax_and_sigmoid(machine):
    m, array = machine
    for axis in (0, 1):
        assert agree(np.asarray(catalogue.softmax(m, array(Z), axis)), special.softmax(Z, axis=axis))
    assert agree(np.asarray(catalogue.sigmoid(m, array(Z))), special.expit(Z))


def test_the_derivative_of_the_tanh_form_of_gelu(machine):
    m, array = machine
    assert agree(np.asarray(catalogue.gelu_tanh_derivative(m, array(Z))), ACTIVATIONS["gelu_tanh"].derivative(Z))


def test_rows_and_columns_are_counted_from_both_ends(machine):
    m, array = machine
    rows, columns = catalogue.rows(m, array(Z), 1, -1), catalogue.columns(m, array(Z), 0, -2)
    assert np.asarray(rows).tolist() == [[False], [True], [False], [False], [True]]
    assert np.asarray(columns).tolist() == [[True, False, True, False]]


def test_entries_are_swapped_and_shifted(machine):
    m, array = machine
    x = array(np.arange(6.0).reshape(3, 2))
    assert np.asarray(catalogue.swapped(m, x, 0)).tolist() == [[2, 3], [0, 1], [4, 5]]
    assert np.asarray(catalogue.swapped(m, x, 1)).tolist() == [[1, 0], [3, 2], [5, 4]]
    assert np.asarray(catalogue.shifted(m, x)).tolist() == [[4, 5], [0, 1], [2, 3]]
    assert np.asarray(catalogue.shifted(m, x, 1)).tolist() == [[1, 0], [3, 2], [5, 4]]


def test_sums_keep_their_axis(machine):
    m, array = machine
    x = array(np.arange(6.0).reshape(3, 2))
    assert np.asarray(catalogue.over(m, x, 0)).tolist() == [[6, 9]]
    assert np.asarray(catalogue.over(m, x, 1)).tolist() == [[1], [5], [9]]


def test_what_is_negative(machine):
    m, array = machine
    assert np.asarray(catalogue.negative(m, array(np.array([-2.0, 0.0, 3.0])))).tolist() == [-2, 0, 0]


def test_what_the_format_does_not_hold_is_replaced(machine):
    m, array = machine
    x = np.array([1.0, np.inf, -np.inf, np.nan, m.largest, -m.largest, 0.0])
    assert np.asarray(catalogue.finite_or(m, array(x), 7.0)).tolist() == [1, 7, 7, 7, m.largest, -m.largest, 0]


def test_weights_of_two_batches_sum_to_n(machine):
    """Each batch counts one half, whatever its samples: the weights are those of a mean of means, times N."""
    m, array = machine
    weights = np.asarray(catalogue.two_batches(m, array(np.zeros((32, 4)))))
    assert weights.shape == (32,)
    assert weights.sum() == pytest.approx(32, rel=1e-15)
    assert weights[: catalogue.HEAD].sum() == pytest.approx(16, rel=1e-15)
    x = np.arange(32.0)
    means = (x[: catalogue.HEAD].mean() + x[catalogue.HEAD :].mean()) / 2
    assert (weights * x).mean() == pytest.approx(means, rel=1e-15)
