"""Every known departure of a framework from the equations, each with its reason and what shows it.

`KNOWN` lists values and derivatives of functions, and pieces of arithmetic: the table of divergences takes its reasons
from it, and the sweep claims no accuracy where it lists a defect. `KNOWN_IN_TRAINING` lists lines of optimisers and
schedules, and `SOFTPLUS_OVERFLOW` is a derivative that depends on more than its input.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from reference import rounding as rd
from reference.arrays import Array
from reference.rounding import HALF

Parameters = Mapping[str, float]

Mask = NDArray[np.bool_]
Where = Callable[[Array, Parameters], Mask]
"""The logits of some inputs, (count, n), and the parameters -> the inputs at which a departure occurs, (count,)."""

DEVICES = ("cpu", "gpu")


def kind_of(device: str) -> str:
    """The kind of a device: "cpu", or "gpu" for "cuda:0"."""
    return "cpu" if device.startswith("cpu") else "gpu"


# --- departures of functions


@dataclass(frozen=True)
class Departure:
    """A departure of a function or of a piece of arithmetic: in which engines, where, why, and how large.

    An approximation is documented, or plainly intended, and stays within `relative` |equation| + `absolute`. A defect
    is neither: it is listed for its reason alone, and has no bound.
    """

    engines: tuple[str, ...]
    functions: tuple[str, ...]  # none: every function
    what: str
    dtypes: tuple[str, ...]
    where: Where
    reason: str
    source: str | None
    status: str = "approximation"
    relative: float = 0.0
    absolute: float = 0.0
    devices: tuple[str, ...] = DEVICES

    def concerns(self, engine: str, function: str, what: str, dtype: str, device: str) -> bool:
        """Whether it is a departure of this function, in this engine and format, on this kind of device."""
        of_function = not self.functions or function in self.functions
        of_engine = engine in self.engines and device in self.devices
        return of_engine and of_function and what == self.what and dtype in self.dtypes

    def covers(
        self,
        engine: str,
        function: str,
        what: str,
        dtype: str,
        at: tuple[Array, Array, Parameters],
        device: str = "cpu",
    ) -> bool:
        """Whether it occurs in this function at an input: its logits (n,), its labels, and the parameters."""
        if not self.concerns(engine, function, what, dtype, device):
            return False
        z, _, parameters = at
        return bool(self.where(z[np.newaxis], parameters)[0])

    def holds(self, observed: Array, nearest: Array, allowed: Array) -> bool:
        """Whether an approximation stays within its bound; where the equation is infinite, it does not."""
        within = np.abs(observed - nearest) <= self.relative * np.abs(nearest) + self.absolute + allowed
        return bool((within & np.isfinite(nearest)).all())

    @property
    def bound(self) -> str | None:
        """The bound as a row shows it."""
        stated = {"relative": self.relative, "absolute": self.absolute}
        return ", ".join(f"{name} {value:g}" for name, value in stated.items() if value) or None


def defects(engine: str, function: str, what: str, dtype: str, device: str) -> list[Departure]:
    """The known defects of a function in an engine, on a device such as "cpu" or "cuda:0"."""
    about = engine, function, what, dtype, kind_of(device)
    return [known for known in KNOWN if known.status == "defect" and known.concerns(*about)]


def departing(departures: Sequence[Departure], x: Array, parameters: Parameters) -> Mask:
    """The inputs x of a function of one number, (count,), at which some of these departures occur."""
    masks = [known.where(x[:, np.newaxis], parameters) for known in departures]
    return np.logical_or.reduce([np.zeros(len(x), bool), *masks])


# --- where they occur

JAX = ("jax-jit", "jax-whole")
TORCH = ("torch-eager",)
ALL = rd.DTYPES


def anywhere(z: Array, p: Parameters) -> Mask:
    return np.ones(len(z), bool)


def subnormal(normal: float) -> Where:
    """Where some number is smaller than the smallest normal one, and not 0."""
    return lambda z, p: np.asarray(((z != 0) & (np.abs(z) < normal)).any(axis=1))


def at_least(size: float) -> Where:
    """Where some |z| is at least so large."""
    return lambda z, p: np.asarray((np.abs(z) >= size).any(axis=1))


def at_most(size: float) -> Where:
    """Where every |z| is at most so large."""
    return lambda z, p: np.asarray(np.abs(z).max(axis=1) <= size)


def below(edge: float) -> Where:
    """Where z is less than an edge."""
    return lambda z, p: np.asarray(z[:, 0] < edge)


def saturated(z: Array, p: Parameters) -> Mask:
    """Where σ(z) or a softmax is 0 or 1, or nearly so."""
    spread = z - z.min(axis=1, keepdims=True) if z.shape[1] > 1 else z
    return np.asarray(np.abs(spread).max(axis=1) > 5)


def linear(z: Array, p: Parameters) -> Mask:
    """Where torch's softplus is linear."""
    return np.asarray(p["beta"] * z[:, 0] > 20)


def not_positive(z: Array, p: Parameters) -> Mask:
    return np.asarray(z[:, 0] <= 0)


def just_below_3(z: Array, p: Parameters) -> Mask:
    """At the number before the kink at 3."""
    return np.asarray((z[:, 0] > 2.9) & (z[:, 0] < 3))


SHORT = at_most(0.01)
"""Where a vector's square is subnormal in float16."""

VANISHING = at_most(1.2e-4)
"""Where a vector is shorter than torch's epsilon, or its square may underflow."""


# --- sources

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


# --- reasons

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


# --- the list

GPU = ("gpu",)
EVERY = ("numpy", *TORCH, *JAX)
CROSS_ENTROPIES = (
    "categorical_cross_entropy_on_logits",
    "categorical_cross_entropy_with_classes",
    "smoothed_cross_entropy_on_logits",
)

KNOWN: tuple[Departure, ...] = (
    Departure(
        TORCH, ("hardsigmoid",), "value", ("float64",), anywhere, SIXTH_ON_GPU, HARDSIGMOID_CUDA, "defect", devices=GPU
    ),
    Departure(
        TORCH, ("hardswish",), "value", ("float64",), anywhere, SIXTH_ON_GPU, HARDSWISH_CUDA, "defect", devices=GPU
    ),
    Departure(TORCH, ("softplus",), "value", ("float64",), linear, LINEAR, SOFTPLUS, relative=1.1e-10),  # e⁻²⁰/20
    Departure(TORCH, ("softplus",), "derivative", ("float64",), linear, LINEAR, SOFTPLUS, relative=2.1e-9),  # e⁻²⁰
    # 1 − 100/745: the smallest number of float64 is e⁻⁷⁴⁵
    Departure(TORCH, ("binary_cross_entropy",), "value", ("float64",), at_least(100), CLAMPED, BCE, relative=0.87),
    Departure(TORCH, ("binary_cross_entropy",), "derivative", ALL, saturated, FADING, BCE_SOURCE, relative=1),
    *(
        Departure(JAX, (), "derivative", dtypes, subnormal(normal), SUBNORMAL, FLUSHED, absolute=1)
        for dtypes, normal in ((("float32", "bfloat16"), 2.0**-126), (("float64",), 2.0**-1022))
    ),
    *(
        Departure(JAX, (name,), "flush", ("float32", "float64", "bfloat16"), anywhere, SUBNORMAL, FLUSHED, relative=1)
        for name in ("subnormal_input", "subnormal_product", "subnormal_sum")
    ),
    # n u: 128 terms, 2⁻⁸ in bfloat16
    Departure(JAX, ("bias_gradient_sum",), "accumulation", HALF, anywhere, IN_HALF, JAX_LAX, relative=0.5),
    Departure(JAX, ("hardsigmoid",), "derivative", ALL, just_below_3, ADDED, HARD_SIGMOID, absolute=1 / 6),
    Departure(JAX, ("hardswish",), "derivative", ALL, just_below_3, ADDED, HARD_SIGMOID, absolute=0.5),
    # cos is at most 1, and ŷ/ε at most 10⁸
    Departure(TORCH, ("cosine_distance",), "value", ALL, VANISHING, EPSILON, COSINE, absolute=1),
    Departure(TORCH, ("cosine_distance",), "derivative", ALL, VANISHING, EPSILON, COSINE, relative=1, absolute=1e8),
    # defects, whose reason is known
    Departure(TORCH, ("hardsigmoid",), "derivative", ("float64",), at_most(3), SIXTH, TORCH_ACTIVATIONS, "defect"),
    Departure((*TORCH, *JAX), ("gelu_tanh",), "derivative", ALL, at_least(140), SQUARE_IN_TANH, None, "defect"),
    Departure(JAX, ("squareplus",), "value", ALL, at_least(140), SQUARE, JAX_ACTIVATIONS, "defect"),
    Departure(JAX, ("squareplus",), "derivative", ALL, at_least(140), SQUARE, JAX_ACTIVATIONS, "defect"),
    Departure(JAX, ("softsign",), "derivative", ALL, at_least(140), QUOTIENT, JAX_ACTIVATIONS, "defect"),
    Departure(JAX, ("sigmoid", "silu"), "value", ("float16",), below(-11), OVERFLOW, None, "defect"),
    Departure(JAX, ("sigmoid", "silu"), "derivative", ("float16",), below(-11), OVERFLOW, None, "defect"),
    Departure(TORCH, ("celu",), "derivative", ("float64",), not_positive, INVERSE, TORCH_CELU, "defect"),
    Departure(
        TORCH, ("binary_cross_entropy",), "derivative", ("float16",), saturated, NO_EPSILON, BCE_SOURCE, "defect"
    ),
    Departure(JAX, ("binary_cross_entropy",), "derivative", ALL, saturated, XLOGY, None, "defect"),
    Departure(
        (*TORCH, *JAX), ("categorical_cross_entropy",), "derivative", ALL, saturated, XLOGY, TORCH_XLOGY, "defect"
    ),
    Departure(("numpy",), ("binary_cross_entropy",), "derivative", ALL, saturated, POLE, None, "defect"),
    Departure(("numpy",), ("categorical_cross_entropy",), "derivative", ALL, saturated, POLE, None, "defect"),
    Departure(EVERY, ("cosine_distance",), "value", ALL, at_least(140), NORM, None, "defect"),
    Departure(EVERY, ("cosine_distance",), "derivative", ALL, at_least(140), NORM, None, "defect"),
    Departure(JAX, ("cosine_distance",), "derivative", ("float16",), SHORT, SHORT_NORM, None, "defect"),
    Departure(EVERY, CROSS_ENTROPIES, "value", ALL, at_least(6e4), DIFFERENCE, None, "defect"),
    Departure(JAX, ("cosine_distance",), "value", ALL, VANISHING, VANISHED, None, "defect"),
    Departure(JAX, ("cosine_distance",), "derivative", ALL, VANISHING, VANISHED, None, "defect"),
    Departure(JAX, ("gradient_of_a_norm",), "derivative", ("bfloat16",), anywhere, MISCOMPILED, None, "defect"),
    Departure(JAX, ("log1p",), "value", ("float64",), anywhere, LOG1P, JAX_LOG1P, "defect"),
)
"""Every entry must occur in some row, those of a GPU alone in a row measured on one: one that does not is stale."""


# --- a derivative that depends on more than its input


class GradientOverflow(NamedTuple):
    """A backward pass that overflows on its way: no row lists it, since it depends on the gradient that it is given."""

    engine: str
    function: str
    dtypes: tuple[str, ...]
    exponent: Callable[[float, float, Parameters], float]
    """z, |gradient| and the parameters -> the logarithm of the largest number on the way."""
    reason: str

    def concerns(self, engine: str, function: str, dtype: str) -> bool:
        """Whether it is an overflow of this function in this engine and format."""
        return engine == self.engine and function == self.function and dtype in self.dtypes

    def overflows(self, z: float, gradient: float, parameters: Parameters, dtype: str) -> bool:
        """Whether it overflows at z, or may: z itself is rounded."""
        return bool(self.exponent(z, gradient, parameters) > np.log(rd.LARGEST[dtype]) - 1)

    def identity(self, dtype: str) -> str:
        """What it is called among the ids of the rows."""
        return f"{self.function}/derivative/{dtype}/overflow"


SOFTPLUS_OVERFLOW = GradientOverflow(
    "torch-eager",
    "softplus",
    ("float32", "float64", "bfloat16"),  # float16 is computed in float32
    lambda z, gradient, p: float(p["beta"] * z + np.log(gradient)),
    "torch's softplus takes a gradient g back as g e^{βz}/(1 + e^{βz}), which is infinite where g e^{βz} is.",
)
"""10³⁵ at z = 15 is infinite in float32."""


# --- departures of optimisers and schedules


class TrainingDeparture(NamedTuple):
    """A departure from lines of an optimiser or a schedule, in float64, and the code that shows it."""

    name: str
    engines: tuple[str, ...]
    equations: tuple[str, ...]
    note: str
    code: str


KNOWN_IN_TRAINING = (
    TrainingDeparture(
        "torch.optim.NAdam: mu_product",
        ("torch-eager",),
        ("nadam: mu_product", "nadamw: mu_product"),
        "torch.optim.NAdam keeps the product of its momenta in float32, whatever the format of the parameters.",
        """\
import torch

w = torch.ones(1, dtype=torch.float64, requires_grad=True)
optimiser = torch.optim.NAdam([w])
w.grad = torch.ones_like(w)
optimiser.step()
product = optimiser.state[w]["mu_product"]
print(product.dtype, product.item() - 0.9 * (1 - 0.5 * 0.96**0.004))
""",
    ),
    TrainingDeparture(
        "optax.schedules: float32",
        ("jax-jit", "jax-whole"),
        ("schedule: η",),
        "optax.exponential_decay and linear_schedule compute the rate in float32, with jax_enable_x64 too: they divide "
        "an int32 count. cosine_decay_schedule does not.",
        """\
import jax
import optax

jax.config.update("jax_enable_x64", True)
rate = optax.exponential_decay(0.1, 1, 0.9)(jax.numpy.int32(3))
print(rate.dtype, float(rate) - 0.1 * 0.9**3)
""",
    ),
)
"""Every one that a training run may meet."""
