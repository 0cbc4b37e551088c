"""How others decide that two gradients agree: the rules of other projects, to be run on the same faults as the audit.

Each rule is what its project publishes, blind spots included; where it is a function of a framework that is installed
here, that function is called. A rule is given what an engine computed and what it should have computed: a list of
arrays each, in the order of `quantities`. Where the project compares numbers of the engine's format, what is expected
is rounded to it first; where it compares printed numbers (gradbench, ADBench) or Python's own (array-api-tests), not.
"""

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from torch._dynamo.utils import same

from reference.arrays import Array
from reference.case import Trace
from reference.rounding import ACCUMULATED_IN, FORMATS

Arrays = Sequence[Array]
Agrees = Callable[[Arrays, Arrays, str], bool]
Pair = Callable[[Array, Array], bool]

STEPS = 10
"""Losses in a curve of llm.c's tests."""


class Rule(NamedTuple):
    """One way to decide.

    name       the project, and which of its rules
    source     where the project defines it
    numbers    the rule in words
    blind      what it lets through, or takes offence at, by construction
    called     whether the project's own function is called; else the rule is expressed anew
    decide     (observed, expected, dtype) -> whether they agree
    """

    name: str
    source: str
    numbers: str
    blind: str
    called: bool
    decide: Agrees

    def agrees(self, observed: Arrays, expected: Arrays, dtype: str) -> bool:
        """Whether the rule holds for every array; arrays of different shapes agree by no rule.

        Raises ValueError where there is nothing to compare, or not as much on both sides.
        """
        if not len(observed) == len(expected) > 0 or any(np.size(array) == 0 for array in (*observed, *expected)):
            raise ValueError(
                f"{self.name} is given {len(observed)} and {len(expected)} arrays, but should be given as many of "
                "both, at least one, and none empty"
            )
        if any(np.shape(o) != np.shape(e) for o, e in zip(observed, expected, strict=True)):
            return False
        with np.errstate(all="ignore"):  # a NaN or an infinity is the rule's to judge
            return bool(self.decide(observed, expected, dtype))


def quantities(trace: Trace) -> list[Array]:
    """dW^1 … dW^{L-1}, db^1 … db^{L-1} and the loss: what the rules compare."""
    layers = sorted(trace.dW)
    return [*(trace.dW[l] for l in layers), *(trace.db[l] for l in layers), np.array(trace.loss)]


# --- from a rule for two arrays to one for lists of them


def as_given(pair: Pair) -> Agrees:
    """Each array by itself, in float64."""
    return lambda observed, expected, dtype: all(pair(o, e) for o, e in zip(observed, expected, strict=True))


def formatted(arrays: Arrays, dtype: str) -> list[Array]:
    """The arrays in a format."""
    return [np.asarray(array).astype(FORMATS[dtype]) for array in arrays]


def in_format(pair: Pair) -> Agrees:
    """Each array by itself, in the engine's format."""
    each = as_given(pair)
    return lambda observed, expected, dtype: each(formatted(observed, dtype), formatted(expected, dtype), dtype)


def cast_up(pair: Pair) -> Agrees:
    """Each array by itself: of the engine's format, half precision then computed with in float32."""
    return in_format(lambda o, e: pair(*(array.astype(ACCUMULATED_IN[array.dtype.name]) for array in (o, e))))


def in_torch(check: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], bool]) -> Agrees:
    """Each array by itself: observed and expected as tensors of the engine's format, and expected in float64."""

    def agrees(observed: Arrays, expected: Arrays, dtype: str) -> bool:
        format = getattr(torch, dtype)
        sides = ([torch.from_numpy(np.array(a, np.float64, order="C")) for a in side] for side in (observed, expected))
        return all(check(o.to(format), e.to(format), e) for o, e in zip(*sides, strict=True))

    return agrees


def passes(check: Callable[..., Any], *operands: Any, **options: Any) -> bool:
    """Whether an assertion holds."""
    try:
        check(*operands, **options)
    except AssertionError:
        return False
    return True


def assert_allclose(**options: Any) -> Agrees:
    """numpy.testing.assert_allclose: |o − e| ≤ atol + rtol |e| everywhere, in the engine's format."""
    return in_format(lambda o, e: passes(np.testing.assert_allclose, o, e, **options))


# --- the rules


@contextmanager
def unlogged() -> Iterator[None]:
    """Dynamo logs each disagreement; here disagreeing is the answer."""
    log = logging.getLogger("torch._dynamo.utils")
    before, log.disabled = log.disabled, True
    try:
        yield
    finally:
        log.disabled = before


def dynamo(**options: Any) -> Agrees:
    """torch._dynamo.utils.same(ref, res, fp64_ref): ref is what is expected, in the engine's format."""

    def check(o: torch.Tensor, e: torch.Tensor, exact: torch.Tensor) -> bool:
        with unlogged():
            return same(e, o, exact, **options)

    return in_torch(check)


def polygraphy_simple(o: Array, e: Array) -> bool:
    """An element fails if it is off by more than 10⁻⁵ and by more than 10⁻⁵ of what is expected."""
    difference = np.abs(o - e)
    relative = difference / np.abs(np.where(e == 0, 2.220446049250313e-16, e))
    return not ((~(difference <= 1e-5)) & (~(relative <= 1e-5))).any()


def polygraphy_distances(o: Array, e: Array) -> bool:
    """‖o − e‖ ≤ 10⁻⁵ and cos(o, e) ≥ .997."""
    norms = np.sqrt((o**2).sum()), np.sqrt((e**2).sum())
    cosine = (o * e).sum() / (norms[0] * norms[1]) if all(norms) else float(not any(norms))
    return bool(np.sqrt(((o - e) ** 2).sum()) <= 1e-5 and cosine >= 0.997)


def adbench_difference(x: Array, y: Array) -> Array:
    """|x − y| / max(1, |x| + |y|)"""
    return np.abs(x - y) / np.maximum(1, np.abs(x) + np.abs(y))


def gradbench(o: Array, e: Array) -> bool:
    return not (adbench_difference(o, e) > 1e-4).any()


def adbench(o: Array, e: Array) -> bool:
    return bool(((o == e) | (adbench_difference(o, e) <= 1e-8)).all())


def muffin(observed: Arrays, expected: Arrays, dtype: str) -> bool:
    """A layer disagrees if it is off by more than .15 while L, the last layer and the layer after it agree to 10⁻⁵.

    Muffin compares the gradient with respect to each layer's output; here stand those of the layer's W and b, and those
    of the last layer in the place of the loss function's, which has to follow a loss that agrees.
    Raises ValueError where the arrays are not those of `quantities`.
    """
    if len(observed) < 3 or len(observed) % 2 == 0:
        raise ValueError(f"Muffin is given {len(observed)} arrays, but should be given dW and db of every layer and L")
    sides = formatted(observed, dtype), formatted(expected, dtype)
    *gradients, loss = (np.abs(o - e).max() for o, e in zip(*sides, strict=True))
    last = len(gradients) // 2 - 1
    delta = [np.max(pair) for pair in zip(gradients[: last + 1], gradients[last + 1 :], strict=True)]
    guilty_loss = delta[last] > 0.15 and loss < 1e-5
    guilty_layer = any(
        delta[l] > 0.15 and delta[l + 1] < 1e-5 and loss < 1e-5 and delta[last] < 1e-5 for l in range(last)
    )
    return not (guilty_loss or guilty_layer)


def zero_where_both_are_not_finite(o: Array, e: Array) -> tuple[Array, Array] | None:
    """msprobe's treatment of NaN and infinity: zeros if they stand at the same places, else None."""
    if not (np.array_equal(np.isnan(o), np.isnan(e)) and np.array_equal(np.isinf(o), np.isinf(e))):
        return None
    return np.where(np.isfinite(o), o, 0), np.where(np.isfinite(e), e, 0)


def msprobe_figures(o: Array, e: Array) -> tuple[float, float] | None:
    """Cosine and the largest absolute error, or None where NaN or infinity stand at different places.

    The cosine is NaN where one array is zero, and 1 where both are.
    """
    if (finite := zero_where_both_are_not_finite(o.ravel().astype(np.float64), e.ravel().astype(np.float64))) is None:
        return None
    o, e = finite
    norms = np.linalg.norm(o), np.linalg.norm(e)
    is_zero = [norm <= np.finfo(np.float64).eps for norm in norms]
    cosine = 1.0 if all(is_zero) else math.nan if any(is_zero) else float(o @ e / (norms[0] * norms[1]))
    return cosine, float(np.abs(o - e).max())


def msprobe(o: Array, e: Array) -> bool:
    """Not accurate: cos < .99 and max > .001, or cos < .9, or max > 1. One number alone gets no verdict."""
    if o.ndim == 0:
        return True
    if (figures := msprobe_figures(o, e)) is None:
        return False
    cosine, largest = figures
    return o.size == 1 or not ((cosine < 0.99 and largest > 0.001) or cosine < 0.9 or largest > 1)


def msprobe_both(o: Array, e: Array) -> bool:
    """cos > .99 and max < .001; the cosine does not apply to one number alone."""
    if (figures := msprobe_figures(o, e)) is None:
        return False
    cosine, largest = figures
    return (o.size == 1 or cosine > 0.99) and largest < 0.001


def array_api_tests(o: Array, e: Array) -> bool:
    """math.isclose(o, e, rel_tol=.25, abs_tol=1) for each number, and NaN where NaN is expected."""
    return all(
        math.isnan(x) if math.isnan(y) else math.isclose(x, y, rel_tol=0.25, abs_tol=1)
        for x, y in zip(o.ravel().tolist(), e.ravel().tolist(), strict=True)
    )


def isapprox(o: Array, e: Array) -> bool:
    """Julia's isapprox(o, e; atol=0, rtol=1e-3): ‖o − e‖ ≤ 10⁻³ max(‖o‖, ‖e‖), or each number if that is not finite."""
    distance = np.linalg.norm((o - e).ravel())
    if np.isfinite(distance):
        return bool(distance <= 1e-3 * max(np.linalg.norm(o.ravel()), np.linalg.norm(e.ravel())))
    finite = np.isfinite(o) & np.isfinite(e)
    return bool(((o == e) | (finite & (np.abs(o - e) <= 1e-3 * np.maximum(np.abs(o), np.abs(e))))).all())


def padiff(o: Array, e: Array) -> bool:
    return passes(np.testing.assert_allclose, o.mean(), e.mean(), atol=0, rtol=1e-7)


GITHUB = "https://github.com/"

RULES: tuple[Rule, ...] = (
    Rule(
        "torch.testing.assert_close",
        "https://docs.pytorch.org/docs/stable/testing.html#torch.testing.assert_close",
        "|o − e| ≤ atol + rtol |e|; atol 1e-5, rtol 1.3e-6 in float32, 1e-3 in float16, 1.6e-2 in bfloat16; "
        "1e-7 both in float64",
        "gradients below atol",
        True,
        in_torch(lambda o, e, _: passes(torch.testing.assert_close, o, e)),
    ),
    Rule(
        "numpy.testing.assert_allclose",
        "https://numpy.org/doc/stable/reference/generated/numpy.testing.assert_allclose.html",
        "|o − e| ≤ 1e-7 |e|",
        "NaN where NaN is expected; rejects an honest float32, whose numbers lie 1.2e-7 apart",
        True,
        assert_allclose(),
    ),
    Rule(
        "torch dynamo, same",
        GITHUB + "pytorch/pytorch/blob/v2.13.0/torch/_dynamo/utils.py",
        "|o − e| ≤ 1e-4 + 1e-4 |e|, or else RMSE of o ≤ 1e-5 + 3 times RMSE of e (2 times from 1000 elements on in "
        "float32 and float64), both against float64",
        "gradients below 1e-4; one wrong element among many",
        True,
        dynamo(),
    ),
    Rule(
        "torch dynamo, cosine similarity",
        GITHUB + "pytorch/pytorch/blob/v2.13.0/torch/_dynamo/utils.py",
        "|o − e| ≤ 1e-4 + 1e-4 |e|, or else cos(o, e) ≥ .99",
        "any positive factor; gradients below 1e-4; one wrong element among many; NaN where NaN is expected",
        True,
        dynamo(cos_similarity=True),
    ),
    Rule(
        "Polygraphy, simple",
        "https://docs.nvidia.com/deeplearning/tensorrt/latest/_static/polygraphy/comparator/compare_func.html",
        "an element fails if |o − e| > 1e-5 and |o − e| > 1e-5 |e|",
        "gradients below 1e-5",
        False,
        cast_up(polygraphy_simple),
    ),
    Rule(
        "Polygraphy, distances",
        "https://docs.nvidia.com/deeplearning/tensorrt/latest/_static/polygraphy/comparator/compare_func.html",
        "‖o − e‖ ≤ 1e-5 and cos(o, e) ≥ .997",
        "a factor on gradients below 1e-5; rejects a gradient that is all rounding",
        False,
        cast_up(polygraphy_distances),
    ),
    Rule(
        "ONNX backend tests",
        GITHUB + "onnx/onnx/blob/main/onnx/backend/test/loader/__init__.py",
        "|o − e| ≤ 1e-7 + 1e-3 |e|",
        "a relative error of 1e-3; NaN where NaN is expected",
        False,
        assert_allclose(rtol=1e-3, atol=1e-7),
    ),
    Rule(
        "gradbench",
        GITHUB + "gradbench/gradbench/blob/main/python/gradbench/gradbench/comparison.py",
        "an element fails if |o − e| / max(1, |o| + |e|) > 1e-4",
        "any NaN or infinity; gradients below 1e-4",
        False,
        as_given(gradbench),
    ),
    Rule(
        "NNSmith",
        GITHUB + "ise-uiuc/nnsmith/blob/main/nnsmith/difftest.py",
        "|o − e| ≤ 1e-3 + 1e-2 |e|",
        "gradients below 1e-3; NaN where NaN is expected",
        False,
        assert_allclose(rtol=1e-2, atol=1e-3),
    ),
    Rule(
        "NablaFuzz",
        GITHUB + "ise-uiuc/NablaFuzz/blob/main/NablaFuzz-PyTorch-Jax/src/helper_torch.py",
        "|o − e| ≤ .1 + 1e-3 |e|",
        "gradients below .1",
        False,
        in_torch(lambda o, e, _: torch.allclose(o, e, atol=1e-1, rtol=1e-3)),
    ),
    Rule(
        "Muffin",
        GITHUB + "library-testing/Muffin/blob/main/scripts/incons/layer_grads_incons.py",
        "a layer fails if max |o − e| > .15 there and < 1e-5 in the loss, the last layer and the layer after it",
        "any NaN; errors below .15; any error once the loss, the last layer or the layer after differs",
        False,
        muffin,
    ),
    Rule(
        "MindStudio msprobe",
        "https://www.hiascend.com/doc_center/source/zh/canncommercial/700/modeldevpt/ptmigr/AImpug_000197.html",
        "fails if cos(o, e) < .99 and max |o − e| > .001, or cos < .9, or max > 1",
        "a factor; gradients of which one side is zero, up to 1; NaN where NaN is expected; single numbers",
        False,
        cast_up(msprobe),
    ),
    Rule(
        "MindStudio msprobe, both figures",
        "https://www.hiascend.com/doc_center/source/zh/canncommercial/700/modeldevpt/ptmigr/AImpug_000197.html",
        "cos(o, e) > .99 and max |o − e| < .001, the thresholds stated for each by itself",
        "a factor on gradients below .001; NaN where NaN is expected",
        False,
        cast_up(msprobe_both),
    ),
    Rule(
        "array-api-tests",
        GITHUB + "data-apis/array-api-tests/blob/master/array_api_tests/pytest_helpers.py",
        "|o − e| ≤ max(1, .25 max(|o|, |e|))",
        "gradients below 1; NaN where NaN is expected",
        False,
        as_given(array_api_tests),
    ),
    Rule(
        "DifferentiationInterfaceTest",
        GITHUB
        + "JuliaDiff/DifferentiationInterface.jl/blob/main/DifferentiationInterfaceTest/src/test_differentiation.jl",
        "‖o − e‖ ≤ 1e-3 max(‖o‖, ‖e‖)",
        "one wrong element among larger ones; rejects a gradient that is all rounding",
        False,
        cast_up(isapprox),
    ),
    Rule(
        "ADBench",
        GITHUB + "microsoft/ADBench/blob/master/ADBench/run-all.ps1",
        "|o − e| / max(1, |o| + |e|) ≤ 1e-8, or o = e; meant for float64",
        "gradients below 1e-8; rejects an honest float32",
        False,
        as_given(adbench),
    ),
    Rule(
        "PaDiff",
        GITHUB + "PaddlePaddle/PaDiff/blob/develop/padiff/utils/utils.py",
        "|mean o − mean e| ≤ 1e-7 |mean e|",
        "elements in another order, errors that cancel, NaN where NaN is expected; rejects an honest float32",
        False,
        in_format(padiff),
    ),
)
"""Over `quantities`."""


# --- rules over the losses of a training run: one array each, with the loss of every step


def curve(within: Pair) -> Agrees:
    """A rule over the losses of ten steps."""

    def agrees(observed: Arrays, expected: Arrays, dtype: str) -> bool:
        (o,), (e,) = observed, expected
        if o.shape != (STEPS,):
            raise ValueError(f"losses have shape {o.shape}, but should be those of {STEPS} steps")
        return within(o, e)

    return agrees


CURVES: tuple[Rule, ...] = (
    Rule(
        "llm.c, losses within 1e-2",
        GITHUB + "karpathy/llm.c/blob/master/test_gpt2.c",
        "|o − e| < 1e-2 for the loss of each of 10 steps",
        "gradients whose error changes the loss by less",
        False,
        curve(lambda o, e: bool((np.abs(o - e) < 1e-2).all())),
    ),
    Rule(
        "llm.c, losses within 1e-5",
        GITHUB + "karpathy/llm.c/blob/master/test_gpt2.cu",
        "a step fails if |o − e| ≥ 1e-5, losses rounded to six decimals, for each of 10 steps",
        "any NaN; gradients whose error changes the loss by less",
        False,
        curve(lambda o, e: not (np.abs(o.round(6) - e.round(6)) >= 1e-5).any()),
    ),
)
"""Over [the losses of ten steps]."""
