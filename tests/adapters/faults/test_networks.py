"""The networks of the panel: drawn from their seed, trained until an absolute tolerance of 10⁻⁵ sees nothing."""

import numpy as np

from adapters.faults import networks
from adapters.faults.fault import OUTPUT, STAGES
from adapters.faults.networks import DRAWN, LEARNED, NETWORKS, SAMPLES, SMALL, at, converged, drawn, initial
from reference.losses import LOSSES
from reference.network import trace
from reference.rounding import DTYPES, LARGEST, rounded
from tests.tables import over

SEEDS = range(10)

LEARNABLE = [name for name in NETWORKS if name not in ("absolute", "hinge", "overflow")]


def parameters(case):
    return [array for layers in (case.W, case.b) for array in layers.values()]


def steepest(case):
    """max |∂L/∂w| over all weights and biases."""
    now = trace(case)
    return max(np.abs(gradient).max() for layers in (now.dW, now.db) for gradient in layers.values())


def same(one, other):
    numbers = ((*parameters(case), case.x, case.y) for case in (one, other))
    return all(np.array_equal(a, b) for a, b in zip(*numbers, strict=True))


@over("name", NETWORKS)
def test_a_network_is_as_it_is_listed(name):
    case, (names, widths, given) = initial(name, "float64", 0), NETWORKS[name]
    assert (case.hidden, case.output, case.loss) == names
    assert case.widths == widths
    assert case.samples == SAMPLES
    assert case.last == OUTPUT
    assert case.parameters == given


@over("name", NETWORKS)
def test_a_seed_gives_one_network_and_another_seed_another(name):
    assert same(initial(name, "float64", 3), initial(name, "float64", 3))
    assert not any((a == b).all() for a, b in zip(*(parameters(drawn(name, s)) for s in (3, 4)), strict=True))


def test_networks_are_drawn_apart():
    first = [drawn(name, 0).x for name in NETWORKS]
    assert len({x.tobytes() for x in first}) == len(first)


@over("dtype", DTYPES)
@over("name", [name for name in NETWORKS if name != "overflow"])
def test_a_network_in_a_format_is_the_same_rounded(name, dtype):
    exact, case = drawn(name, 0), initial(name, dtype, 0)
    assert case.dtype == dtype
    for array, wide in zip((*parameters(case), case.x, case.y), (*parameters(exact), exact.x, exact.y), strict=True):
        assert np.array_equal(array, rounded(wide, dtype))


def test_stages_are_drawn_by_their_functions():
    assert tuple(DRAWN) == STAGES
    assert tuple(DRAWN.values()) == (initial, converged)


@over("name", [name for name in LEARNABLE if LOSSES[NETWORKS[name].combination.loss].labels in LEARNED])
def test_labels_are_those_of_another_network_and_vary(name):
    """Soft where the loss asks for probabilities: not the 0 or 1 that only a saturated output meets."""
    y = drawn(name, 0).y
    assert np.ptp(y, axis=0).min() > 0
    if LOSSES[NETWORKS[name].combination.loss].labels in ("probability", "distribution"):
        assert 0 < y.min() < y.max() < 1


# --- near convergence


@over("name", LEARNABLE)
@over("seed", [0, 1])
def test_near_convergence_no_gradient_exceeds_1e_5(name, seed):
    case, before = converged(name, "float64", seed), initial(name, "float64", seed)
    assert 0 < steepest(case) <= SMALL < steepest(before)
    assert trace(case).loss < trace(before).loss
    assert np.array_equal(case.x, before.x)
    assert np.array_equal(case.y, before.y)


def test_the_hinge_keeps_every_margin_and_has_no_gradient_left():
    case = converged("hinge", "float64", 0)
    assert trace(case).loss == 0
    assert steepest(case) == 0
    assert (trace(case).a[OUTPUT] * case.y >= 1).all()


def test_the_absolute_error_falls_though_its_gradient_does_not():
    """Its derivative is ±1 wherever it is not at its kink."""
    case, before = converged("absolute", "float64", 0), initial("absolute", "float64", 0)
    assert trace(case).loss < trace(before).loss / 10
    assert steepest(case) > SMALL


def test_a_network_is_trained_once_and_rounded_to_each_format(dtype):
    assert networks.trained("tanh", 0) is networks.trained("tanh", 0)
    exact, case = networks.trained("tanh", 0), converged("tanh", dtype, 0)
    assert all(np.array_equal(a, rounded(b, dtype)) for a, b in zip(parameters(case), parameters(exact), strict=True))


def test_parameters_in_one_vector_are_put_back_where_they_were():
    case = drawn("one output", 2)
    theta = np.concatenate([array.ravel() for array in parameters(case)])
    assert same(at(case, theta), case)
    moved = at(case, np.arange(len(theta), dtype=float))
    assert [array.flat[0] for array in parameters(moved)] == [0, 128, 384, 400, 416, 432]
    assert [array.shape for array in parameters(moved)] == [array.shape for array in parameters(case)]


# --- overflow


@over("dtype", DTYPES)
@over("seed", SEEDS)
@over("stage", STAGES)
def test_the_network_that_overflows_does_so_in_every_format(seed, stage, dtype, engine_named):
    """z_0^2 = largest (a_0^1/16 + 1 − 2⁻⁶) is `largest` at a = ¼, and nothing else overflows.

    The bias and z are rounded to 2⁻⁹ of the largest each in bfloat16: 2⁻⁴ of a between them.
    """
    case = DRAWN[stage]("overflow", dtype, seed)
    with np.errstate(over="ignore"):
        now = engine_named("numpy").trace(case)
    above, below = now.a[1][:, 0] > 5 / 16, now.a[1][:, 0] < 3 / 16
    infinite = np.isinf(now.z[2])
    assert infinite[:, 0].any(), "nothing overflows"
    assert infinite[above, 0].all()
    assert not infinite[below, 0].any()
    assert not infinite[:, 1:].any()
    assert np.isfinite(case.W[2]).all()
    assert max(np.abs(case.W[2]).max(), np.abs(case.b[2]).max()) < LARGEST[dtype]
    assert not any(
        np.isnan(array).any() for layers in (now.z, now.a, now.delta, now.dW, now.db) for array in layers.values()
    )
