"""Clipping: what is left of a gradient, and the audit of it, of the frameworks' own functions too."""

import math
from fractions import Fraction
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flint import arb, fmpq

from adapters.jax.optimisers import CLIPPINGS
from adapters.torch import optimisers
from reference.audit import MalformedTrace
from reference.clipping import FORMS, Clipping, audit_clipping, global_norm, norm_interval
from reference.rounding import ACCUMULATED_IN, DTYPES, FORMATS, HALF, LARGEST, LIMITS, rounded, rounding
from tests.reference.exact import Precision, ball
from tests.tables import over

LIMIT = 0.7


def gradient(scale=1.0, dtype="float64", layers=2, shape=(5, 3), seed=0):
    """A W and a b for each layer, numbers of a format up to `scale`."""
    rng = np.random.default_rng(seed)
    return {
        place: rounded(scale * rng.uniform(-1, 1, size), dtype)
        for l in range(1, layers + 1)
        for place, size in ((("W", l), shape), (("b", l), shape[:1]))
    }


def worst(findings):
    return max(findings, key=lambda finding: (math.isnan(finding.ratio), finding.ratio))


# --- the formulas


def exact_norm(g):
    """‖g‖ of exact squares, in ball arithmetic."""
    squares = sum(Fraction(float(x)) ** 2 for array in g.values() for x in array.ravel())
    return arb(fmpq(squares.numerator, squares.denominator)).sqrt()


def exact_factor(clipping, g):
    norm = exact_norm(g)
    if clipping.form == "norm":
        return ball(clipping.limit) / norm if norm >= ball(clipping.limit) else arb(1)
    factor = ball(clipping.limit) / (norm + ball(1e-6))
    return factor if factor < 1 else arb(1)


@over("scale", [1e-320, 1e-300, 1e-160, 1e-6, 1e-3, 1.0, 1e3, 1e160, 1e307])
@over("of_norm", [1e-3, 0.999, 1.001, 1e3])
@over("form", ["norm", "norm_with_eps"])
def test_the_reference_is_right_to_its_roundings(form, of_norm, scale):
    """n squares and additions, a root, a quotient and a product for the norm; and the factor, and its product."""
    g = gradient(scale)
    elements = sum(array.size for array in g.values())
    clipping = Clipping(form, min(max(of_norm * global_norm(g), 5e-324), 1.7e308))
    left = clipping.clipped(g)
    with Precision(2200):  # the squares of subnormal numbers and of the largest
        factor, u = exact_factor(clipping, g), 2.0**-53
        norm_error = abs(float(ball(global_norm(g)) / exact_norm(g) - 1))
        assert norm_error <= (elements + 6) * u / 2 + 2.0**-1074 / global_norm(g)
        for place, array in g.items():
            for x, observed in zip(array.ravel(), left[place].ravel(), strict=True):
                error = abs(float(ball(observed) - factor * ball(x)))
                assert error <= (norm_error + 4 * u) * abs(x) * float(factor) + 2.0**-1074 * (1 + abs(x))


def test_by_value():
    g = {("W", 1): np.array([[0.5, -0.8], [0.7, 2.0], [0.0, -0.7], [np.inf, -np.inf]])}
    expected = [[0.5, -0.7], [0.7, 0.7], [0.0, -0.7], [0.7, -0.7]]
    assert Clipping("value", 0.7).clipped(g)["W", 1].tolist() == expected


def test_a_norm_within_the_limit_is_left_and_one_at_it():
    g = {("W", 1): np.array([[3.0]]), ("b", 1): np.array([4.0])}
    for limit in (5.0, 6.0):
        assert Clipping("norm", limit).clipped(g) == g
    assert Clipping("norm_with_eps", 6.0).clipped(g) == g
    assert Clipping("norm_with_eps", 5.0).clipped(g)["W", 1].item() == 3.0 * (5.0 / (5.0 + 1e-6))


@pytest.mark.parametrize("form", FORMS)
def test_zeros_stay(form):
    g = {("W", 1): np.zeros((2, 2)), ("b", 1): np.zeros(2)}
    for limit in (1e-8, 1.0):
        left = Clipping(form, limit).clipped(g)
        assert not any(array.any() for array in left.values())


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("format", ["float32", "float64"])
def test_the_format_of_the_arrays_is_kept(form, format):
    g = {place: array.astype(format) for place, array in gradient().items()}
    for limit in (0.1, 1e39):  # beyond float32
        assert {array.dtype for array in Clipping(form, limit).clipped(g).values()} == {np.dtype(format)}


def test_the_gradient_given_is_left_alone():
    g = gradient()
    before = {place: array.copy() for place, array in g.items()}
    for form in FORMS:
        Clipping(form, 0.1).clipped(g)
    assert all(np.array_equal(array, before[place]) for place, array in g.items())


def test_the_norm_of_nothing_is_0_and_of_no_number_none():
    assert global_norm({("W", 1): np.zeros((2, 2))}) == 0
    assert global_norm({("W", 1): np.array([[math.inf]])}) == math.inf
    for places in (("W", "b"), ("b", "W")):
        arrays = (np.array([math.nan]), np.array([1.0]))
        assert math.isnan(global_norm({(place, 1): array for place, array in zip(places, arrays, strict=True)}))


@pytest.mark.parametrize("form", ["norm", "norm_with_eps"])
def test_one_nan_leaves_no_number_in_any_array(form):
    """As in torch and optax: the norm is NaN, and so is what is multiplied by it."""
    g = {("W", 1): np.array([[math.nan, 0.1]]), ("b", 1): np.array([0.2])}
    for left in (Clipping(form, LIMIT).clipped(g), in_torch("norm_with_eps", LIMIT, g, "float64")):
        assert all(np.isnan(array).all() for array in left.values())
    assert all(np.isnan(array).all() for array in in_optax("norm", LIMIT, g, "float32").values())


@pytest.mark.parametrize(
    ("form", "limit", "said"),
    [("norms", 1.0, "'norms'"), ("norm", 0.0, "is 0.0"), ("norm", math.nan, "is nan"), ("value", math.inf, "is inf")],
)
def test_what_is_not_allowed(form, limit, said):
    with pytest.raises(ValueError, match=said):
        Clipping(form, limit)


# --- the frameworks


def in_torch(form, limit, g, dtype):
    parameters = {place: torch.zeros(array.shape, dtype=getattr(torch, dtype)) for place, array in g.items()}
    for place, p in parameters.items():
        p.grad = torch.tensor(g[place], dtype=p.dtype)
    optimisers.CLIPPINGS[form](list(parameters.values()), limit)
    return {place: p.grad.double().numpy() for place, p in parameters.items()}


@partial(jax.jit, static_argnames=("form", "constant"))
def clipped_by_optax(form, constant, limit, g):
    clip = CLIPPINGS[form](limit if constant is None else constant)
    return clip.update(g, clip.init(g))[0]


def in_optax(form, limit, g, dtype, constant=True):
    """With the limit as a constant of the program, as anyone has it, or as an argument: one program for every limit."""
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        given = {place: jnp.asarray(array.astype(FORMATS[dtype])) for place, array in g.items()}
        left = clipped_by_optax(form, limit if constant else None, limit, given)
        return {place: np.asarray(array).astype(np.float64) for place, array in left.items()}


FRAMEWORKS = [("value", in_torch), ("norm_with_eps", in_torch), ("value", in_optax), ("norm", in_optax)]
NAMED = [f"{form}-{clip.__name__}" for form, clip in FRAMEWORKS]

SCALES = {
    # the smallest: subnormal; squares that are subnormal, or 0; usual numbers; squares near the largest, or beyond
    "float16": (2e-7, 1e-4, 3e-3, 0.9, 3e4),
    "bfloat16": (1e-39, 1e-23, 1e-19, 0.9, 1e16, 1e21),
    "float32": (1e-39, 1e-23, 1e-19, 0.9, 1e16, 1e21),
    "float64": (1e-309, 1e-170, 1e-154, 0.9, 1e150, 1e170),
}
NORMAL = {dtype: float(limits.smallest_normal) for dtype, limits in LIMITS.items()}
SHAPES = ((1, (1,)), (1, (5, 3)), (5, (7, 4)), (1, (1, 100_000)))
"""Layers, each of two arrays, and their W."""


def overflows(form, clip, dtype, g):
    """Whether a number on the way to the norm exceeds the largest number of its format.

    optax keeps the squares in the gradient's format; torch those of an array in float32 for half precision, and its
    norm in the gradient's format.
    """
    if form == "value":
        return False
    if clip is in_optax:
        return global_norm(g) > math.sqrt(LARGEST[dtype])
    norms = [global_norm({place: array}) for place, array in g.items()]
    squares = any(norm > math.sqrt(LARGEST[ACCUMULATED_IN[dtype]]) for norm in norms)
    return squares or global_norm(g) > LARGEST[dtype]


@over("dtype", DTYPES)
@over(("form", "clip"), FRAMEWORKS, ids=NAMED)
@over("constant", [False, True], quick=1)
def test_the_frameworks_hold_but_where_their_norm_overflows(form, clip, dtype, constant):
    outcomes, how = [], {"constant": constant} if clip is in_optax else {}
    for layers, shape in SHAPES:
        for scale in SCALES[dtype]:
            g = gradient(scale, dtype, layers, shape, seed=layers)
            norm = global_norm(g)
            # a limit that is a normal number
            for limit in {min(max(share * norm, NORMAL[dtype]), LARGEST[dtype]) for share in (1e-3, 1.0)}:
                found = audit_clipping(Clipping(form, limit), g, clip(form, limit, g, dtype, **how), dtype)
                assert len(found) == 2 * layers
                wrong = overflows(form, clip, dtype, g)
                assert all(finding.holds for finding in found) is not wrong, (scale, shape, limit, worst(found))
                outcomes.append(wrong)
    assert outcomes.count(False) > len(outcomes) / 2
    assert any(outcomes) == (form != "value")


@over("dtype", DTYPES)
@over(("form", "clip"), FRAMEWORKS, ids=NAMED)
def test_zeros_and_a_norm_exactly_at_the_limit_hold(form, clip, dtype):
    zeros = {("W", 1): np.zeros((3, 2)), ("b", 1): np.zeros(3)}
    exactly = {("W", 1): np.array([[3.0]]), ("b", 1): np.array([4.0])}
    for g, limit in ((zeros, 1e-4), (zeros, 1.0), (exactly, 5.0), (exactly, 3.0), (exactly, 4.96875)):
        found = audit_clipping(Clipping(form, limit), g, clip(form, limit, g, dtype), dtype)
        assert all(finding.holds for finding in found), worst(found)


@pytest.mark.parametrize(("form", "clip"), [("norm_with_eps", in_torch), ("norm", in_optax)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_frameworks_make_0_of_a_gradient_whose_norm_overflows(form, clip, dtype):
    """Whatever the limit: ‖g‖ is infinite, and c/‖g‖ is 0."""
    large = {"float16": 3e4, "bfloat16": 1e20, "float32": 1e20, "float64": 1e160}[dtype]
    g = {("W", 1): rounded(np.full((3, 3), large), dtype)}
    for limit in (1.0, large):
        left = clip(form, limit, g, dtype)
        assert not left["W", 1].any()
        (finding,) = audit_clipping(Clipping(form, limit), g, left, dtype)
        assert not finding.holds
        assert finding.worst.expected == pytest.approx(limit / 3)


def test_optax_does_so_in_float16_from_a_norm_of_256_on():
    for size, zero in ((180.0, False), (182.0, True)):
        g = {("W", 1): np.full((1, 2), size)}
        left = in_optax("norm", 1.0, g, "float16")
        assert (left["W", 1].any(), audit_clipping(Clipping("norm", 1.0), g, left, "float16")[0].holds) == (
            not zero,
            not zero,
        )


def test_torch_does_not_clip_in_float16_where_its_reciprocal_overflows():
    """1/(10⁻⁵ + 10⁻⁶) is beyond float16, and min(1, ∞) is 1."""
    g = {("W", 1): rounded(np.array([[1e-5]]), "float16")}
    left = in_torch("norm_with_eps", 1e-7, g, "float16")
    assert left["W", 1].item() == g["W", 1].item()
    assert not audit_clipping(Clipping("norm_with_eps", 1e-7), g, left, "float16")[0].holds


def test_optax_divides_0_by_0_where_the_limit_is_0_in_the_format():
    """10⁻⁸ is 0 in float16, and a norm of 0 is not below it."""
    g = {("W", 1): np.zeros((1, 1))}
    left = in_optax("norm", 1e-8, g, "float16")
    assert np.isnan(left["W", 1]).all()
    assert not audit_clipping(Clipping("norm", 1e-8), g, left, "float16")[0].holds


def test_torch_refuses_a_limit_beyond_float16():
    with pytest.raises(RuntimeError, match="without overflow"):
        in_torch("value", 1e5, {("W", 1): np.ones((1, 1))}, "float16")


def test_every_form_is_a_frameworks():
    assert {form for form, _ in FRAMEWORKS} == set(FORMS)


# --- another honest engine


def one_after_another(clipping, g, dtype):
    """The plainest: one sum of squares after the other in the format that products are accumulated in, no vector unit.

    The norm is rounded to the format, then c/‖g‖ is, then each product.
    """
    f = np.dtype(ACCUMULATED_IN[dtype]).type
    squares = np.concatenate([array.ravel() for array in g.values()]).astype(f) ** 2
    norm = rounded(np.sqrt(np.cumsum(squares)[-1]), dtype)
    norm = norm if clipping.form == "norm" else rounded(norm + 1e-6, dtype)
    factor = rounded(min(1.0, rounded(rounded(clipping.limit, dtype) / norm, dtype)), dtype)
    return {place: rounded(array * factor, dtype) for place, array in g.items()}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", ["norm", "norm_with_eps"])
def test_a_plain_loop_holds(form, dtype):
    for layers, shape in SHAPES:
        for scale, share in ((0.5, 0.01), (0.5, 1.0), (0.01, 0.3), (0.01, 2.0)):
            g = gradient(scale, dtype, layers, shape, seed=layers)
            clipping = Clipping(form, share * global_norm(g))
            found = audit_clipping(clipping, g, one_after_another(clipping, g, dtype), dtype)
            assert all(finding.holds for finding in found), worst(found)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_interval_of_the_norm_is_as_wide_as_its_roundings(dtype):
    """In 45 numbers, 23 roundings of v and 3.5 of u on each side; where squares vanish, all of the norm may."""
    g, r = gradient(1.0, dtype, 2, (6, 3)), rounding(dtype)
    n, norm = sum(array.size for array in g.values()), global_norm(g)
    least, largest = norm_interval(g, r)
    assert least < norm < largest
    assert (largest - least) / norm == pytest.approx((n + 1) * r.v + 7 * r.u, rel=0.1, abs=12 * r.underflow)
    tiny = {place: array * {"float16": 1e-5, "float64": 1e-170}.get(dtype, 1e-25) for place, array in g.items()}
    least, largest = norm_interval(tiny, r)
    assert least == 0
    assert norm_interval({("W", 1): np.zeros((2, 2))}, r) == (0, 3 * r.underflow)


# --- what is wrong


def by_array(clipping, g):
    return {place: clipping.clipped({place: array})[place] for place, array in g.items()}


def by_largest(clipping, g):
    """The ∞-norm."""
    largest = max(np.abs(array).max() for array in g.values())
    return {place: array * min(1.0, clipping.limit / largest) for place, array in g.items()}


def by_squares(clipping, g):
    """‖g‖² for ‖g‖."""
    return {place: array * min(1.0, clipping.limit / global_norm(g) ** 2) for place, array in g.items()}


def of_weights_alone(clipping, g):
    left = clipping.clipped({place: array for place, array in g.items() if place[0] == "W"})
    return {place: left.get(place, array) for place, array in g.items()}


def in_one(g, place, value):
    array = g[place].copy()
    array.flat[0] = value
    return {**g, place: array}


WRONG = {
    "another limit": lambda clipping, g: Clipping(clipping.form, LIMIT * 1.06).clipped(g),
    "not clipped": lambda clipping, g: g,
    "another form": lambda clipping, g: Clipping("value" if "norm" in clipping.form else "norm", LIMIT).clipped(g),
    "by the norm of each array": by_array,
    "by the largest": by_largest,
    "by the square of the norm": by_squares,
    "of the weights alone": of_weights_alone,
    "clipped twice as far": lambda clipping, g: {place: array / 2 for place, array in clipping.clipped(g).items()},
    "the other sign": lambda clipping, g: {place: -array for place, array in clipping.clipped(g).items()},
    "zeros": lambda clipping, g: {place: 0 * array for place, array in g.items()},
    "NaN": lambda clipping, g: {place: array * np.nan for place, array in g.items()},
    "one NaN": lambda clipping, g: in_one(clipping.clipped(g), ("b", 2), math.nan),
    "one infinity": lambda clipping, g: in_one(clipping.clipped(g), ("W", 1), math.inf),
    "one left as it was": lambda clipping, g: in_one(clipping.clipped(g), ("W", 2), g["W", 2].flat[0]),
}
BY_ELEMENT = ("by the norm of each array",)
"""By value each array is by itself."""


@over("dtype", DTYPES)
@over(
    ("form", "wrong"),
    [(form, wrong) for form in FORMS for wrong in WRONG if form != "value" or wrong not in BY_ELEMENT],
)
def test_what_is_wrong_is_found(form, wrong, dtype):
    clipping, g = Clipping(form, LIMIT), gradient(2.0, dtype)
    g["W", 2].flat[0] = 1.75  # above the limit by value
    left = {place: rounded(array, dtype) for place, array in WRONG[wrong](clipping, g).items()}
    found = audit_clipping(clipping, g, left, dtype)
    assert [(finding.equation, finding.layer) for finding in found] == [
        ("clipping: W", 1),
        ("clipping: b", 1),
        ("clipping: W", 2),
        ("clipping: b", 2),
    ]
    assert not all(finding.holds for finding in found)
    right = {place: rounded(array, dtype) for place, array in clipping.clipped(g).items()}
    assert all(finding.holds for finding in audit_clipping(clipping, g, right, dtype))


@pytest.mark.parametrize(("wrong", "place"), [("one NaN", ("b", 2)), ("one left as it was", ("W", 2))])
def test_what_is_wrong_in_one_element_is_found_there(wrong, place):
    clipping, g = Clipping("norm", LIMIT), gradient(2.0)
    found = audit_clipping(clipping, g, WRONG[wrong](clipping, g), "float64")
    (broken,) = [finding for finding in found if not finding.holds]
    assert (broken.equation, broken.layer) == (f"clipping: {place[0]}", place[1])
    assert not any(broken.worst.index)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_eps_where_none_is_and_none_where_one_is_are_found(dtype):
    """Where the norm is small, torch's ε is more than rounding: here it is 10⁻⁴ of the norm."""
    g = gradient(2e-3, dtype)
    forms = ("norm", "norm_with_eps")
    for form, other in (forms, forms[::-1]):
        left = {place: rounded(array, dtype) for place, array in Clipping(other, 1e-3).clipped(g).items()}
        found = audit_clipping(Clipping(form, 1e-3), g, left, dtype)
        assert not any(finding.holds for finding in found)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", FORMS)
def test_what_needs_no_clipping_may_not_change_at_all(form, dtype):
    """Not by one number of the format."""
    g = gradient(0.5, dtype)
    clipping = Clipping(form, 2 * global_norm(g))
    spacing = 2 * rounding(dtype).u
    assert all(finding.holds for finding in audit_clipping(clipping, g, g, dtype))
    for place, array in g.items():
        moved = {**g, place: rounded(array * (1 + spacing), dtype)}
        assert any(not finding.holds for finding in audit_clipping(clipping, g, moved, dtype))


@pytest.mark.parametrize("form", FORMS)
def test_a_gradient_that_is_no_number_never_holds(form):
    g = in_one(gradient(), ("W", 1), math.nan)
    left = Clipping(form, LIMIT).clipped(g)
    found = audit_clipping(Clipping(form, LIMIT), g, left, "float64")
    assert not found[0].holds
    assert any(finding.holds for finding in found) == (form == "value")


@pytest.mark.parametrize("form", ["norm", "norm_with_eps"])
def test_an_infinite_gradient_does_not_hold_by_norm(form):
    """∞ · c/∞ is NaN; the others are 0."""
    g = in_one(gradient(), ("W", 1), math.inf)
    with np.errstate(invalid="ignore"):
        left = Clipping(form, LIMIT).clipped(g)
    found = audit_clipping(Clipping(form, LIMIT), g, left, "float64")
    assert [finding.holds for finding in found] == [False, True, True, True]


@pytest.mark.parametrize("dtype", HALF)
def test_in_half_precision_a_tenth_more_is_found(dtype):
    for form, clip in FRAMEWORKS:
        g = gradient(1.0, dtype)
        left = clip(form, LIMIT * 1.1, g, dtype)
        assert not all(finding.holds for finding in audit_clipping(Clipping(form, LIMIT), g, left, dtype))


@pytest.mark.parametrize("form", FORMS)
def test_a_missing_array_and_another_shape_are_malformed(form):
    clipping, g = Clipping(form, LIMIT), gradient()
    left = clipping.clipped(g)
    with pytest.raises(MalformedTrace, match=r"the clipped gradient of b\^2 is missing"):
        audit_clipping(clipping, g, {place: array for place, array in left.items() if place != ("b", 2)}, "float64")
    with pytest.raises(MalformedTrace, match="shape"):
        audit_clipping(clipping, g, {**left, ("b", 2): np.zeros(4)}, "float64")
    with pytest.raises(MalformedTrace, match="shape"):
        audit_clipping(clipping, g, {**left, ("b", 2): np.array(0.0)}, "float64")
