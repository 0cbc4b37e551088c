"""The activations and losses of jax.nn and optax by the reference's names, as anyone would call them."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

# Parameters come by the names they have in reference.activations and reference.losses.
ACTIVATIONS: dict[str, Callable[..., jax.Array]] = {
    "identity": lambda z: z,
    "sigmoid": jax.nn.sigmoid,
    "tanh": jnp.tanh,
    "logsigmoid": jax.nn.log_sigmoid,
    "softplus": lambda z, beta: jax.nn.softplus(z),
    "silu": jax.nn.silu,
    "mish": jax.nn.mish,
    "gelu": lambda z: jax.nn.gelu(z, approximate=False),
    "gelu_tanh": lambda z: jax.nn.gelu(z, approximate=True),
    "softsign": jax.nn.soft_sign,
    "squareplus": jax.nn.squareplus,
    "elu": jax.nn.elu,
    "selu": jax.nn.selu,
    "celu": jax.nn.celu,
    "relu": jax.nn.relu,
    "leaky_relu": lambda z, slope: jax.nn.leaky_relu(z, negative_slope=slope),
    "relu6": jax.nn.relu6,
    "hardtanh": jax.nn.hard_tanh,
    "hardsigmoid": jax.nn.hard_sigmoid,
    "hardswish": jax.nn.hard_swish,
    "softmax": lambda z: jax.nn.softmax(z, axis=1),
    "log_softmax": lambda z: jax.nn.log_softmax(z, axis=1),
}

LOSSES: dict[str, Callable[..., jax.Array]] = {
    # name: L_i of every sample
    "half_squared_error": lambda a, y: optax.l2_loss(a, y).sum(axis=1),
    "mean_squared_error": lambda a, y: optax.squared_error(a, y).mean(axis=1),
    "absolute_error": lambda a, y: jnp.abs(a - y).sum(axis=1),
    "huber": lambda a, y, delta: optax.huber_loss(a, y, delta=delta).sum(axis=1),
    "smooth_l1": lambda a, y, beta: optax.huber_loss(a, y, delta=beta).sum(axis=1) / beta,  # Huber's, scaled
    "log_cosh": lambda a, y: optax.log_cosh(a, y).sum(axis=1),
    "gaussian_nll": lambda a, y, variance: -jax.scipy.stats.norm.logpdf(y, a, jnp.sqrt(variance)).sum(axis=1),
    "hinge": lambda a, y: optax.hinge_loss(a, y).sum(axis=1),
    "squared_hinge": lambda a, y: jnp.square(optax.hinge_loss(a, y)).sum(axis=1),
    "poisson_nll": lambda a, y: (jnp.exp(a) - y * a).sum(axis=1),
    "cosine_distance": optax.cosine_distance,
    # optax has its cross-entropies on logits only: on probabilities they are written with JAX's own xlogy. Not with its
    # xlog1py: JAX 0.10's float64 log1p on the CPU errs by up to 250 u around −0.414 (jax-ml/jax#39707), which the audit
    # finds at once; tests/adapters/test_jax_jit.py shows it.
    "binary_cross_entropy": lambda a, y: (
        -(jax.scipy.special.xlogy(y, a) + jax.scipy.special.xlogy(1 - y, 1 - a)).sum(axis=1)
    ),
    "binary_cross_entropy_on_logits": lambda z, y: optax.sigmoid_binary_cross_entropy(z, y).sum(axis=1),
    "categorical_cross_entropy": lambda a, y: -jax.scipy.special.xlogy(y, a).sum(axis=1),
    "categorical_cross_entropy_on_logits": optax.softmax_cross_entropy,
    "categorical_cross_entropy_with_classes": lambda z, y: optax.softmax_cross_entropy_with_integer_labels(
        z, y.argmax(axis=1)
    ),
    "smoothed_cross_entropy_on_logits": lambda z, y, smoothing: optax.softmax_cross_entropy(
        z, optax.smooth_labels(y, smoothing)
    ),
    "negative_log_likelihood": lambda a, y: -jnp.take_along_axis(a, y.argmax(axis=1)[:, jnp.newaxis], axis=1)[:, 0],
    "kullback_leibler": optax.kl_divergence,
}
