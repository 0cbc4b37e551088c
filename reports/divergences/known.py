"""What is known of the places where engines depart from the equations: the reason, its source, and how far it goes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from reference import rounding as rd
from reference.arrays import Array
from reference.rounding import HALF

Parameters = Mapping[str, float]


@dataclass(frozen=True)
class Known:
    """A departure that somebody states: which engine, of what, where, and how far it goes.

    An approximation is documented, or plainly meant, and holds within `relative` |equation| + `absolute`. A defect is
    neither: it is here for its reason alone, and has no bound.
    """

    engines: tuple[str, ...]
    functions: tuple[str, ...]  # none: every function
    what: str
    dtypes: tuple[str, ...]
    where: Callable[[Array, Array, Parameters], bool]  # of the logits, the labels and the parameters
    reason: str
    source: str | None
    status: str = "approximation"
    relative: float = 0.0
    absolute: float = 0.0

    def covers(self, engine: str, function: str, what: str, dtype: str, place: tuple[Array, Array, Parameters]) -> bool:
        """Whether it speaks of this engine, function, format and place."""
        named = engine in self.engines and (not self.functions or function in self.functions)
        return named and what == self.what and dtype in self.dtypes and self.where(*place)

    def holds(self, observed: Array, nearest: Array, allowed: Array) -> bool:
        """Whether an approximation is within what is stated; of what is infinite nothing is."""
        within = np.abs(observed - nearest) <= self.relative * np.abs(nearest) + self.absolute + allowed
        return bool((within & np.isfinite(nearest)).all())

    @property
    def bound(self) -> str | None:
        """The bound as a row shows it."""
        stated = {"relative": self.relative, "absolute": self.absolute}
        return ", ".join(f"{name} {value:g}" for name, value in stated.items() if value) or None


JAX = ("jax-jit", "jax-whole")
TORCH = ("torch-eager",)
ALL = rd.DTYPES


def subnormal(normal: float) -> Callable[[Array, Array, Parameters], bool]:
    """Where some number is below the normal ones, and not 0."""
    return lambda z, y, p: bool(((z != 0) & (np.abs(z) < normal)).any())


def beyond(size: float) -> Callable[[Array, Array, Parameters], bool]:
    """Where |z| is at least so large."""
    return lambda z, y, p: bool((np.abs(z) >= size).any())


def saturated(z: Array, y: Array, p: Parameters) -> bool:
    """Where σ(z) or a softmax is, or is near, 0 or 1."""
    return float(np.abs(z - z.min() if len(z) > 1 else z).max()) > 5


def anywhere(z: Array, y: Array, p: Parameters) -> bool:
    return True


SOFTPLUS = "https://docs.pytorch.org/docs/stable/generated/torch.nn.Softplus.html"
COSINE = "https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.cosine_similarity.html"
BCE = "https://docs.pytorch.org/docs/stable/generated/torch.nn.BCELoss.html"
BCE_SOURCE = "https://github.com/pytorch/pytorch/blob/v2.13.0/aten/src/ATen/native/Loss.cpp"
TORCH_ACTIVATIONS = "https://github.com/pytorch/pytorch/blob/v2.13.0/aten/src/ATen/native/cpu/Activation.cpp"
HARDSIGMOID_CUDA = (
    "https://github.com/pytorch/pytorch/blob/v2.11.0/aten/src/ATen/native/cuda/ActivationHardsigmoidKernel.cu"
)
HARDSWISH_CUDA = (
    "https://github.com/pytorch/pytorch/blob/v2.11.0/aten/src/ATen/native/cuda/ActivationHardswishKernel.cu"
)
TORCH_XLOGY = "https://github.com/pytorch/pytorch/issues/80770"
TORCH_CELU = "https://github.com/pytorch/pytorch/blob/v2.13.0/tools/autograd/derivatives.yaml"
JAX_ACTIVATIONS = "https://github.com/jax-ml/jax/blob/jax-v0.10.2/jax/_src/nn/functions.py"
JAX_LAX = "https://github.com/jax-ml/jax/blob/jax-v0.10.2/jax/_src/lax/lax.py"
JAX_LOG1P = "https://github.com/jax-ml/jax/issues/39707"
FLUSHED = "https://github.com/jax-ml/jax/issues/16200"
HARD_SIGMOID = "https://docs.jax.dev/en/latest/_autosummary/jax.nn.hard_sigmoid.html"

EVERY = ("numpy", *TORCH, *JAX)
CROSS_ENTROPIES = (
    "categorical_cross_entropy_on_logits",
    "categorical_cross_entropy_with_classes",
    "smoothed_cross_entropy_on_logits",
)

LINEAR = "Documented: for numerical stability torch takes softplus for linear where beta z > 20."
CLAMPED = "Documented: torch clamps each logarithm at −100."
FADING = "torch divides by max(a (1 − a), 10⁻¹²), so that the gradient fades to 0 where a is near 0 or 1."
SUBNORMAL = "JAX sets the CPU to read subnormal numbers as 0 and to flush subnormal results to 0, as intended."
IN_HALF = "JAX sums the cotangents of what was broadcast in their own format; jnp.sum would in float32."
ADDED = "JAX adds 3 to z first: one number below 3 the sum rounds to 6, the kink of relu6."
SIXTH = "torch's backward pass multiplies by a 1/6 that it holds in float32."
SIXTH_ON_GPU = "torch's CUDA kernel multiplies by a 1/6 that it holds in float32."
SQUARE_IN_TANH = "z² overflows, and infinity times 1 − tanh² = 0 is NaN."
SQUARE = "z² overflows."
QUOTIENT = "JAX differentiates the quotient: of 1/(1 + |z|) − |z|/(1 + |z|)² the square overflows."
OVERFLOW = "Below z = −11.09, exp(−z) overflows float16, and 1/(1 + exp(−z)) is 0."
INVERSE = "torch's backward pass multiplies by a 1/α that it holds in float32 (derivatives.yaml: 1.0/alpha.toFloat())."
NO_EPSILON = "torch divides by max(a (1 − a), 10⁻¹²): in float16 10⁻¹² is 0."
XLOGY = "The derivative of xlogy(y, p) is y/p: 0/0 where p has rounded to 0 for a label of 0."
POLE = "y/a overflows before f' makes it small again."
SHORT_NORM = "JAX divides by ‖a‖², which is subnormal in float16 for a short vector: the quotient overflows."
EPSILON = "Documented: torch divides by a norm of at least 10⁻⁸."
VANISHED = "JAX divides by the norm as it is, whose square has underflowed."
NORM = "The square of a component overflows in the norm."
DIFFERENCE = "The difference of two logits overflows: infinite, and NaN where a label of 0 multiplies it."
MISCOMPILED = (
    "Under jit, in bfloat16 and from about 4096 rows on, the term through ‖a‖ is lost; without jit it is there."
)
LOG1P = "XLA's float64 log1p errs by up to 250 u around −0.414."


def above_20(z: Array, y: Array, p: Parameters) -> bool:
    """Where torch's softplus is linear."""
    return bool(p["beta"] * z[0] > 20)


def not_positive(z: Array, y: Array, p: Parameters) -> bool:
    """Where z is at most 0."""
    return bool(z[0] <= 0)


def short(z: Array, y: Array, p: Parameters) -> bool:
    """Where a vector's square is subnormal in float16."""
    return float(np.abs(z).max()) <= 0.01


def vanishing(z: Array, y: Array, p: Parameters) -> bool:
    """Where a vector is shorter than torch's epsilon, or its square may underflow."""
    return float(np.abs(z).max()) <= 1.2e-4


def below_3(z: Array, y: Array, p: Parameters) -> bool:
    """At the number before the kink at 3."""
    return bool(2.9 < z[0] < 3)


ON_A_GPU: tuple[Known, ...] = (
    Known(TORCH, ("hardsigmoid",), "value", ("float64",), anywhere, SIXTH_ON_GPU, HARDSIGMOID_CUDA, "defect"),
    Known(TORCH, ("hardswish",), "value", ("float64",), anywhere, SIXTH_ON_GPU, HARDSWISH_CUDA, "defect"),
)
"""What is met on a GPU alone."""

KNOWN: tuple[Known, ...] = (
    *ON_A_GPU,
    Known(TORCH, ("softplus",), "value", ("float64",), above_20, LINEAR, SOFTPLUS, relative=1.1e-10),  # e⁻²⁰/20
    Known(TORCH, ("softplus",), "derivative", ("float64",), above_20, LINEAR, SOFTPLUS, relative=2.1e-9),  # e⁻²⁰
    # 1 − 100/745: the smallest number of float64 is e⁻⁷⁴⁵
    Known(TORCH, ("binary_cross_entropy",), "value", ("float64",), beyond(100), CLAMPED, BCE, relative=0.87),
    Known(TORCH, ("binary_cross_entropy",), "derivative", ALL, saturated, FADING, BCE_SOURCE, relative=1),
    *(
        Known(JAX, (), "derivative", dtypes, subnormal(normal), SUBNORMAL, FLUSHED, absolute=1)
        for dtypes, normal in ((("float32", "bfloat16"), 2.0**-126), (("float64",), 2.0**-1022))
    ),
    *(
        Known(JAX, (name,), "flush", ("float32", "float64", "bfloat16"), anywhere, SUBNORMAL, FLUSHED, relative=1)
        for name in ("subnormal_input", "subnormal_product", "subnormal_sum")
    ),
    # n u: 128 terms, 2⁻⁸ in bfloat16
    Known(JAX, ("bias_gradient_sum",), "accumulation", HALF, anywhere, IN_HALF, JAX_LAX, relative=0.5),
    Known(JAX, ("hardsigmoid",), "derivative", ALL, below_3, ADDED, HARD_SIGMOID, absolute=1 / 6),
    Known(JAX, ("hardswish",), "derivative", ALL, below_3, ADDED, HARD_SIGMOID, absolute=0.5),
    # cos is at most 1, and ŷ/ε at most 10⁸
    Known(TORCH, ("cosine_distance",), "value", ALL, vanishing, EPSILON, COSINE, absolute=1),
    Known(TORCH, ("cosine_distance",), "derivative", ALL, vanishing, EPSILON, COSINE, relative=1, absolute=1e8),
    # defects, whose reason is known
    Known(TORCH, ("hardsigmoid",), "derivative", ("float64",), anywhere, SIXTH, TORCH_ACTIVATIONS, "defect"),
    Known((*TORCH, *JAX), ("gelu_tanh",), "derivative", ALL, beyond(140), SQUARE_IN_TANH, None, "defect"),
    Known(JAX, ("squareplus",), "value", ALL, beyond(140), SQUARE, JAX_ACTIVATIONS, "defect"),
    Known(JAX, ("squareplus",), "derivative", ALL, beyond(140), SQUARE, JAX_ACTIVATIONS, "defect"),
    Known(JAX, ("softsign",), "derivative", ALL, beyond(140), QUOTIENT, JAX_ACTIVATIONS, "defect"),
    Known(JAX, ("sigmoid", "silu"), "value", ("float16",), beyond(11), OVERFLOW, None, "defect"),
    Known(JAX, ("sigmoid", "silu"), "derivative", ("float16",), beyond(11), OVERFLOW, None, "defect"),
    Known(TORCH, ("celu",), "derivative", ("float64",), not_positive, INVERSE, TORCH_CELU, "defect"),
    Known(TORCH, ("binary_cross_entropy",), "derivative", ("float16",), saturated, NO_EPSILON, BCE_SOURCE, "defect"),
    Known(JAX, ("binary_cross_entropy",), "derivative", ALL, saturated, XLOGY, None, "defect"),
    Known((*TORCH, *JAX), ("categorical_cross_entropy",), "derivative", ALL, saturated, XLOGY, TORCH_XLOGY, "defect"),
    Known(("numpy",), ("binary_cross_entropy",), "derivative", ALL, saturated, POLE, None, "defect"),
    Known(("numpy",), ("categorical_cross_entropy",), "derivative", ALL, saturated, POLE, None, "defect"),
    Known(EVERY, ("cosine_distance",), "value", ALL, beyond(140), NORM, None, "defect"),
    Known(EVERY, ("cosine_distance",), "derivative", ALL, beyond(140), NORM, None, "defect"),
    Known(JAX, ("cosine_distance",), "derivative", ("float16",), short, SHORT_NORM, None, "defect"),
    Known(EVERY, CROSS_ENTROPIES, "value", ALL, beyond(6e4), DIFFERENCE, None, "defect"),
    Known(JAX, ("cosine_distance",), "value", ALL, vanishing, VANISHED, None, "defect"),
    Known(JAX, ("cosine_distance",), "derivative", ALL, vanishing, VANISHED, None, "defect"),
    Known(JAX, ("gradient_of_a_norm",), "derivative", ("bfloat16",), anywhere, MISCOMPILED, None, "defect"),
    Known(JAX, ("log1p",), "value", ("float64",), anywhere, LOG1P, JAX_LOG1P, "defect"),
)
"""Every entry is met by some row, those of ON_A_GPU on one: an entry that is not, is stale."""
