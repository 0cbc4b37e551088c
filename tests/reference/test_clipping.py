"""Clipping: what is left of a gradient, and the audit of it, of the frameworks' own functions too."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from adapters import jax_optimisers, torch_optimisers
from reference.audit import MalformedTrace
from reference.clipping import FORMS, Clipping, audit_clipping, global_norm
from reference.rounding import DTYPES, FORMATS, LARGEST, rounded

LIMIT = 0.7


def gradient(scale=1.0, dtype="float64", arrays=2, shape=(5, 3), seed=0):
    """A W and a b for each layer, numbers of a format."""
    rng = np.random.default_rng(seed)
    return {
        place: rounded(scale * rng.normal(size=size), dtype)
        for l in range(1, arrays + 1)
        for place, size in ((("W", l), shape), (("b", l), shape[:1]))
    }


def norm(g):
    return math.sqrt(math.fsum(float(x) ** 2 for array in g.values() for x in array.ravel()))


def test_by_value():
    g = {("W", 1): np.array([[0.5, -0.8], [0.7, 2.0]])}
    assert Clipping("value", 0.7).clipped(g)["W", 1].tolist() == [[0.5, -0.7], [0.7, 0.7]]


def test_by_norm():
    g = gradient()
    left = Clipping("norm", LIMIT).clipped(g)
    assert norm(left) == pytest.approx(LIMIT, rel=1e-14)
    for place, array in g.items():
        assert left[place] == pytest.approx(array * LIMIT / norm(g), rel=1e-14)


def test_a_norm_within_the_limit_is_left():
    g = gradient(0.01)
    left = Clipping("norm", LIMIT).clipped(g)
    assert all(np.array_equal(left[place], g[place]) for place in g)


def test_the_eps_of_torch():
    g = gradient(1e-5)
    left = Clipping("norm_with_eps", 1e-7).clipped(g)
    assert norm(left) == pytest.approx(1e-7 * norm(g) / (norm(g) + 1e-6), rel=1e-14)


@pytest.mark.parametrize("scale", [1e-200, 1e-3, 1.0, 1e200])
def test_the_norm_neither_overflows_nor_vanishes(scale):
    unit = gradient()
    assert global_norm({place: scale * array for place, array in unit.items()}) == pytest.approx(scale * norm(unit))


def test_the_norm_of_nothing_is_0_and_of_no_number_none():
    assert global_norm({("W", 1): np.zeros((2, 2))}) == 0
    assert math.isnan(global_norm({("W", 1): np.array([[math.nan]])}))
    assert global_norm({("W", 1): np.array([[math.inf]])}) == math.inf


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
    torch_optimisers.CLIPPINGS[form](list(parameters.values()), limit)
    return {place: p.grad.double().numpy() for place, p in parameters.items()}


def in_optax(form, limit, g, dtype):
    clip = jax_optimisers.CLIPPINGS[form](limit)
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        given = {place: jnp.asarray(array.astype(FORMATS[dtype])) for place, array in g.items()}
        left, _ = jax.jit(lambda g: clip.update(g, clip.init(g)))(given)
        return {place: np.asarray(array).astype(np.float64) for place, array in left.items()}


def overflows_in_optax(form, dtype, g):
    """optax adds the squares of float16 in float16."""
    return form == "norm" and dtype == "float16" and global_norm(g) ** 2 > LARGEST["float16"]


FRAMEWORKS = [("value", in_torch), ("norm_with_eps", in_torch), ("value", in_optax), ("norm", in_optax)]
SCALES = (1e-6, 1e-2, 1.0, 100.0)
SHAPES = ((1, 1, 1), (2, 5, 3), (10, 7, 4), (1, 300, 300))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("form", "clip"), FRAMEWORKS, ids=[f"{form}-{clip.__name__}" for form, clip in FRAMEWORKS])
def test_the_frameworks_hold(form, clip, dtype):
    found = []
    for arrays, *shape in SHAPES:
        for scale in SCALES:
            g = gradient(scale, dtype, arrays, tuple(shape), seed=arrays)
            exactly = rounded(global_norm(g), dtype).item() if form != "value" else LIMIT
            for limit in (LIMIT, exactly):
                if not overflows_in_optax(form, dtype, g):
                    found += audit_clipping(Clipping(form, limit), g, clip(form, limit, g, dtype), dtype)
    assert len(found) > 100
    assert all(finding.holds for finding in found), max(found, key=lambda finding: finding.ratio)


def test_optax_clips_to_zero_where_a_sum_of_squares_overflows_in_float16():
    """Of two numbers, 256 each: ‖g‖² is infinity, and g c/‖g‖ is 0."""
    g = {("W", 1): np.full((1, 2), 256.0)}
    assert overflows_in_optax("norm", "float16", g)
    left = in_optax("norm", 1.0, g, "float16")
    assert left["W", 1].tolist() == [[0, 0]]
    (finding,) = audit_clipping(Clipping("norm", 1.0), g, left, "float16")
    assert (finding.equation, finding.holds) == ("clipping: W", False)
    assert finding.worst.expected == pytest.approx(0.5**0.5)


def test_every_form_is_a_frameworks():
    assert {form for form, _ in FRAMEWORKS} == set(FORMS)


# --- what is wrong


def by_array(clipping, g):
    return {place: clipping.clipped({place: array})[place] for place, array in g.items()}


WRONG = {
    "another limit": lambda clipping, g: Clipping(clipping.form, 0.75).clipped(g),
    "not clipped": lambda clipping, g: g,
    "another form": lambda clipping, g: Clipping("value" if "norm" in clipping.form else "norm", LIMIT).clipped(g),
    "by the norm of each array": by_array,
    "clipped twice as far": lambda clipping, g: {place: array / 2 for place, array in clipping.clipped(g).items()},
    "a NaN": lambda clipping, g: {place: array * np.nan for place, array in clipping.clipped(g).items()},
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_is_wrong_is_found(form, wrong, dtype):
    if form == "value" and wrong == "by the norm of each array":
        return  # by value, each array is by itself
    clipping, g = Clipping(form, LIMIT), gradient(dtype=dtype)
    left = {place: rounded(array, dtype) for place, array in WRONG[wrong](clipping, g).items()}
    found = audit_clipping(clipping, g, left, dtype)
    assert [finding.equation for finding in found] == ["clipping: W", "clipping: b"] * 2
    assert [finding.layer for finding in found] == [1, 1, 2, 2]
    assert not all(finding.holds for finding in found)


def test_the_other_eps_is_found():
    """Where the norm is small, torch's ε is no rounding."""
    clipping, g = Clipping("norm", 1e-3), gradient(1e-2, "float32")
    left = Clipping("norm_with_eps", 1e-3).clipped(g)
    assert not all(finding.holds for finding in audit_clipping(clipping, g, left, "float32"))


def test_a_missing_array_and_another_shape_are_malformed():
    clipping, g = Clipping("norm", LIMIT), gradient()
    left = clipping.clipped(g)
    with pytest.raises(MalformedTrace, match=r"the clipped gradient of b\^2 is missing"):
        audit_clipping(clipping, g, {place: array for place, array in left.items() if place != ("b", 2)}, "float64")
    with pytest.raises(MalformedTrace, match="shape"):
        audit_clipping(clipping, g, {**left, ("b", 2): np.zeros(4)}, "float64")
