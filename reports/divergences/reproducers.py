"""Reproducers: at most ten lines of plain PyTorch or JAX that print a number which an engine computed.

They are put together from tables of source snippets, one a function: the calls of `adapters/`. `z`, `p` and `y` are
arrays of shape (1, n); a parameter stands in braces. The frameworks are imported by the code itself, when it is run.
"""

import io
import warnings
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from typing import Any

import numpy as np

from reference.arrays import Array

FRAMEWORK = {"torch-eager": "torch", "jax-jit": "jax", "jax-whole": "jax"}
"""The framework that an engine is made of; an engine that is not here has no reproducers."""

TORCH_ACTIVATIONS = {
    "identity": "z",
    "sigmoid": "torch.sigmoid(z)",
    "tanh": "torch.tanh(z)",
    "logsigmoid": "F.logsigmoid(z)",
    "softplus": "F.softplus(z, beta={beta})",
    "silu": "F.silu(z)",
    "mish": "F.mish(z)",
    "tanhshrink": "F.tanhshrink(z)",
    "gelu": "F.gelu(z)",
    "gelu_tanh": 'F.gelu(z, approximate="tanh")',
    "softsign": "F.softsign(z)",
    "elu": "F.elu(z, alpha={alpha})",
    "selu": "F.selu(z)",
    "celu": "F.celu(z, alpha={alpha})",
    "relu": "F.relu(z)",
    "leaky_relu": "F.leaky_relu(z, negative_slope={slope})",
    "relu6": "F.relu6(z)",
    "hardtanh": "F.hardtanh(z)",
    "hardsigmoid": "F.hardsigmoid(z)",
    "hardswish": "F.hardswish(z)",
    "softshrink": "F.softshrink(z, lambd={threshold})",
    "hardshrink": "F.hardshrink(z, lambd={threshold})",
    "softmax": "F.softmax(z, dim=1)",
    "log_softmax": "F.log_softmax(z, dim=1)",
}

JAX_ACTIVATIONS = {
    "identity": "z",
    "sigmoid": "jax.nn.sigmoid(z)",
    "tanh": "jnp.tanh(z)",
    "logsigmoid": "jax.nn.log_sigmoid(z)",
    "softplus": "jax.nn.softplus(z)",
    "silu": "jax.nn.silu(z)",
    "mish": "jax.nn.mish(z)",
    "gelu": "jax.nn.gelu(z, approximate=False)",
    "gelu_tanh": "jax.nn.gelu(z, approximate=True)",
    "softsign": "jax.nn.soft_sign(z)",
    "squareplus": "jax.nn.squareplus(z, b={b})",
    "elu": "jax.nn.elu(z, alpha={alpha})",
    "selu": "jax.nn.selu(z)",
    "celu": "jax.nn.celu(z, alpha={alpha})",
    "relu": "jax.nn.relu(z)",
    "leaky_relu": "jax.nn.leaky_relu(z, negative_slope={slope})",
    "relu6": "jax.nn.relu6(z)",
    "hardtanh": "jax.nn.hard_tanh(z)",
    "hardsigmoid": "jax.nn.hard_sigmoid(z)",
    "hardswish": "jax.nn.hard_swish(z)",
    "softmax": "jax.nn.softmax(z, axis=1)",
    "log_softmax": "jax.nn.log_softmax(z, axis=1)",
}

TORCH_LOSSES = {
    "half_squared_error": 'F.mse_loss(p, y, reduction="sum") / 2',
    "mean_squared_error": "F.mse_loss(p, y)",
    "absolute_error": 'F.l1_loss(p, y, reduction="sum")',
    "huber": 'F.huber_loss(p, y, reduction="sum", delta={delta})',
    "smooth_l1": 'F.smooth_l1_loss(p, y, reduction="sum", beta={beta})',
    "gaussian_nll": 'F.gaussian_nll_loss(p, y, torch.full_like(p, {variance}), full=True, reduction="sum")',
    "hinge": 'F.margin_ranking_loss(p, torch.zeros_like(p), y, margin=1.0, reduction="sum")',
    "squared_hinge": ('F.margin_ranking_loss(p, torch.zeros_like(p), y, margin=1.0, reduction="none").square().sum()'),
    "poisson_nll": 'F.poisson_nll_loss(p, y, log_input=True, reduction="sum")',
    "cosine_distance": "(1 - F.cosine_similarity(p, y, dim=1)).sum()",
    "binary_cross_entropy": 'F.binary_cross_entropy(p, y, reduction="sum")',
    "binary_cross_entropy_on_logits": 'F.binary_cross_entropy_with_logits(p, y, reduction="sum")',
    "categorical_cross_entropy": "-torch.special.xlogy(y, p).sum()",
    "categorical_cross_entropy_on_logits": "F.cross_entropy(p, y)",
    "categorical_cross_entropy_with_classes": "F.cross_entropy(p, y.argmax(dim=1))",
    "smoothed_cross_entropy_on_logits": "F.cross_entropy(p, y, label_smoothing={smoothing})",
    "negative_log_likelihood": "F.nll_loss(p, y.argmax(dim=1))",
    "kullback_leibler": 'F.kl_div(p, y, reduction="batchmean")',
}

JAX_LOSSES = {
    "half_squared_error": "optax.l2_loss(p, y).sum()",
    "mean_squared_error": "optax.squared_error(p, y).mean()",
    "absolute_error": "jnp.abs(p - y).sum()",
    "huber": "optax.huber_loss(p, y, delta={delta}).sum()",
    "smooth_l1": "optax.huber_loss(p, y, delta={beta}).sum() / {beta}",
    "log_cosh": "optax.log_cosh(p, y).sum()",
    "gaussian_nll": "-jax.scipy.stats.norm.logpdf(y, p, {variance} ** 0.5).sum()",
    "hinge": "optax.hinge_loss(p, y).sum()",
    "squared_hinge": "jnp.square(optax.hinge_loss(p, y)).sum()",
    "poisson_nll": "(jnp.exp(p) - y * p).sum()",
    "cosine_distance": "optax.cosine_distance(p, y).sum()",
    "binary_cross_entropy": "-(jax.scipy.special.xlogy(y, p) + jax.scipy.special.xlogy(1 - y, 1 - p)).sum()",
    "binary_cross_entropy_on_logits": "optax.sigmoid_binary_cross_entropy(p, y).sum()",
    "categorical_cross_entropy": "-jax.scipy.special.xlogy(y, p).sum()",
    "categorical_cross_entropy_on_logits": "optax.softmax_cross_entropy(p, y).sum()",
    "categorical_cross_entropy_with_classes": (
        "optax.softmax_cross_entropy_with_integer_labels(p, y.argmax(axis=1)).sum()"
    ),
    "smoothed_cross_entropy_on_logits": "optax.softmax_cross_entropy(p, optax.smooth_labels(y, {smoothing})).sum()",
    "negative_log_likelihood": "-p[0, y.argmax()]",
    "kullback_leibler": "optax.kl_divergence(p, y).sum()",
}

ACTIVATIONS = {"torch": TORCH_ACTIVATIONS, "jax": JAX_ACTIVATIONS}
LOSSES = {"torch": TORCH_LOSSES, "jax": JAX_LOSSES}

HEADER = {
    "torch": ("import torch", "import torch.nn.functional as F"),
    "jax": (
        "import jax, optax",
        "import jax.numpy as jnp",
        'jax.config.update("jax_enable_x64", True)',
    ),
}

ARRAY = {
    "torch": "{name} = torch.tensor({values}, dtype=torch.{dtype})",
    "jax": "{name} = jnp.array({values}, jnp.{dtype})",
}

ACCUMULATED = {
    "torch": {
        "log1p": ("[{x}]", "torch.log1p(z)"),
        "subnormal_input": ("[{x}]", "z * 1"),
        "subnormal_product": ("[{x}]", "z * 0.5"),
        "subnormal_sum": ("[{x}]", "z - {b}"),
        "bias_gradient_sum": ("[[1.0]] + [[{x}]] * {n}", "z.sum(dim=0)"),
        "weight_gradient_sum": ("[[1.0]] + [[{x}]] * {n}", "z.T @ torch.ones_like(z)"),
        "loss_sum": ("[[1.0] + [{x}] * {n}]", 'F.l1_loss(z, torch.zeros_like(z), reduction="none").sum(dim=1)'),
        "loss_mean": ("[[1.0]] + [[{x}]] * {n}", "F.l1_loss(z, torch.zeros_like(z)) * {N}"),
        "gradient_of_a_norm": (
            "[{a}] * {N}",
            "torch.func.grad(lambda a: (1 - F.cosine_similarity(a, z * 0 + z.new_tensor({y}))).sum())(z)[:1, :1]",
        ),
        "excess_precision": ("[[1.0]]", "torch.sigmoid(F.linear(z, z * {W}, z[0] * {b}))"),
    },
    "jax": {
        "log1p": ("[{x}]", "jax.jit(jnp.log1p)(z)"),
        "subnormal_input": ("[{x}]", "jax.jit(lambda z, b: z + b)(z, z * 0)"),
        "subnormal_product": ("[{x}]", "jax.jit(lambda z: z * 0.5)(z)"),
        "subnormal_sum": ("[{x}]", "jax.jit(lambda z: z - {b})(z)"),
        "bias_gradient_sum": (
            "[[1.0]] + [[{x}]] * {n}",
            "jax.jit(lambda c: jax.vjp(lambda b: jnp.zeros_like(c) + b, c[0])[1](c)[0])(z)",
        ),
        "weight_gradient_sum": ("[[1.0]] + [[{x}]] * {n}", "jax.jit(lambda z: z.T @ jnp.ones_like(z))(z)"),
        "loss_sum": ("[[1.0] + [{x}] * {n}]", "jax.jit(lambda z: jnp.abs(z).sum(axis=1))(z)"),
        "loss_mean": ("[[1.0]] + [[{x}]] * {n}", "jax.jit(lambda z: jnp.abs(z).sum(axis=1).mean())(z) * {N}"),
        "gradient_of_a_norm": (
            "[{a}] * {N}",
            "jax.jit(jax.grad(lambda a: optax.cosine_distance(a, z * 0 + jnp.array({y}, z.dtype)).sum()))(z)[:1, :1]",
        ),
        "excess_precision": ("[[1.0]]", "jax.jit(lambda z, W, b: jax.nn.sigmoid(z @ W + b))(z, z * {W}, z[0] * {b})"),
    },
}
"""Arithmetic: the array z, and an expression of it."""


def literal(values: Array) -> str:
    """An array as Python source: nested lists, with float("inf") and float("nan") for what has no literal."""
    if np.ndim(values):
        return f"[{', '.join(literal(part) for part in values)}]"
    value = float(values)
    return repr(value) if np.isfinite(value) else f'float("{value}")'


def script(framework: str, dtype: str, arrays: Mapping[str, str], *rest: str) -> str:
    """The imports, an array of the format for each name, and the rest."""
    definitions = (ARRAY[framework].format(name=name, values=values, dtype=dtype) for name, values in arrays.items())
    return "\n".join((*HEADER[framework], *definitions, *rest))


def listed(framework: str, array: str) -> str:
    """Source that prints a row of an array as floats: one alone, several in a list."""
    tolist = f"{array}.tolist()" if framework == "torch" else f"[float(v) for v in {array}]"
    return f"print(*{tolist}, sep=', ')"


def of_activation(
    engine: str, function: str, what: str, dtype: str, z: float, parameters: Mapping[str, float]
) -> str | None:
    """f(z) or f'(z) of one number."""
    framework = FRAMEWORK.get(engine)
    if framework is None or function not in ACTIVATIONS[framework]:
        return None
    arrays = {"z": literal(np.array([z]))}
    if framework == "torch":
        f = ACTIVATIONS[framework][function].format(**parameters)
        if what == "value":
            return script(framework, dtype, arrays, listed(framework, f"({f})"))
        return script(framework, dtype, arrays, "z.requires_grad_()", f"({f}).backward()", listed(framework, "z.grad"))
    arrays = {"z": literal(np.array([z, z]))}  # twice: of one element alone XLA makes other code
    f, signature, values = with_arguments(ACTIVATIONS[framework][function], "z", parameters)
    if what == "value":
        return script(
            framework, dtype, arrays, f"f = jax.jit(lambda {signature}: {f})", listed(framework, f"f({values})[:1]")
        )
    slope = f"slope = jax.jit(lambda c, {signature}: jax.vjp(lambda z: {f}, z)[1](c)[0])"
    return script(framework, dtype, arrays, slope, listed(framework, f"slope(jnp.ones_like(z), {values})[:1]"))


def with_arguments(template: str, argument: str, parameters: Mapping[str, float]) -> tuple[str, str, str]:
    """Source, signature and arguments of a function whose parameters are arguments of the compiled code.

    As constants in it they would let XLA take other steps.
    """
    signature = ", ".join((argument, *parameters))
    values = ", ".join((argument, *(repr(value) for value in parameters.values())))
    return template.format(**{name: name for name in parameters}), signature, values


def of_loss(
    engine: str,
    names: tuple[str, str],
    what: str,
    dtype: str,
    z: Array,
    y: Array,
    parameters: Mapping[str, float],
    on_logits: bool,
) -> str | None:
    """L_i, or δ_i, of one sample's logits z and labels y; `names` are the output activation and the loss.

    What is "output" prints a = f_o(z) itself.
    """
    framework = FRAMEWORK.get(engine)
    output, loss = names
    if framework is None or loss not in LOSSES[framework] or output not in ACTIVATIONS[framework]:
        return None
    f = "z" if on_logits else ACTIVATIONS[framework][output]
    arrays = {"z": literal(z[np.newaxis]), "y": literal(y[np.newaxis])}
    if framework == "torch":
        rest = ["z.requires_grad_()", f"p = {f}", f"L = {LOSSES[framework][loss].format(**parameters)}"]
        rest += {
            "output": [listed(framework, "p[0]")],
            "value": ["print(L.item())"],
            "derivative": ["L.sum().backward()", listed(framework, "z.grad[0]")],
        }[what]
        return script(framework, dtype, arrays, *rest)
    whole = "jax.jit" if engine == "jax-whole" else ""
    L, signature, values = with_arguments(LOSSES[framework][loss], "p", parameters)
    of_z = f"lambda z: L({values.replace('p', 'f(z)', 1)})"
    rest = [f"f = jax.jit(lambda z: {f})", f"L = jax.jit(lambda {signature}: {L})"]
    rest += {
        "output": [listed(framework, "f(z)[0]")],
        "value": [f"print(float({whole}({of_z})(z)))"],
        "derivative": [listed(framework, f"{whole}(jax.grad({of_z}))(z)[0]")],
    }[what]
    return script(framework, dtype, arrays, *rest)


def of_arithmetic(engine: str, name: str, dtype: str, numbers: Mapping[str, Any]) -> str | None:
    """A sum, a product or a fusion by itself."""
    framework = FRAMEWORK.get(engine)
    if framework is None:
        return None
    array, result = (source.format(**numbers) for source in ACCUMULATED[framework][name])
    return script(framework, dtype, {"z": array}, listed(framework, f"({result}).reshape(-1)"))


def of_default(engine: str, sources: Mapping[str, str], arrays: Mapping[str, Array]) -> str | None:
    """A call that leaves everything optional to the framework; `sources` are by framework, the call last."""
    framework = FRAMEWORK.get(engine)
    if framework is None or framework not in sources:
        return None
    literals = {name: literal(values) for name, values in arrays.items()}
    *before, call = sources[framework].split("\n")
    return script(framework, "float64", literals, *before, listed(framework, f"({call}).reshape(-1)"))


def on_device(code: str, device: str) -> str:
    """The code for a device: JAX takes the first GPU by itself, torch names it."""
    return code if device.startswith("cpu") else code.replace(", dtype=torch.", f', device="{device}", dtype=torch.')


def run(code: str) -> str:
    """The text that the code prints when this process runs it, without warnings, which are for people."""
    printed = io.StringIO()
    with redirect_stdout(printed), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(compile(code, "<reproducer>", "exec"), {})
    return printed.getvalue().strip()


def numbers_in(text: str) -> list[float]:
    """The numbers in the text of a row, or of a reproducer's output."""
    return [float(part) for part in text.strip("[]").split(", ")]


def shown(values: Sequence[float] | Array) -> str:
    """Numbers as a row shows them, to the last digit: one by itself, several in brackets."""
    parts = [repr(float(value)) for value in np.ravel(values)]
    return parts[0] if len(parts) == 1 else f"[{', '.join(parts)}]"
