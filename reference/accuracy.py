"""How accurate a scalar function is taken to be: k_f, in roundings of its scale s_f.

A correct implementation of f errs by at most k_f·u·s_f(z). k_f is not derived but measured, by sweeping every engine's
own function; the measurements stand in `reports/recorded/scalar_accuracy.json`, and a test holds this table to them:
never below what was measured, never above twice that. The margin is for the worst input, which a sample misses, and for
others who write σ as 1/(1 + e^{−z}) with a coarser exponential than these engines (NumPy's in float32).
"""

VALUE: dict[str, dict[str, float]] = {
    "float32": {
        "sigmoid": 4.5,
        "tanh": 5.5,
        "gelu": 8.0,
        "softplus": 5.0,
        "silu": 5.0,
        "softmax": 1.5,
        "half_squared_error": 3.0,
        "binary_cross_entropy": 4.0,
        "binary_cross_entropy_on_logits": 4.5,
        "categorical_cross_entropy": 3.5,
        "categorical_cross_entropy_on_logits": 2.0,
    },
    "float64": {
        "sigmoid": 3.0,
        "tanh": 8.0,
        "gelu": 3.0,
        "softplus": 5.0,
        "silu": 4.5,
        "softmax": 1.5,
        "half_squared_error": 3.0,
        "binary_cross_entropy": 4.0,
        "binary_cross_entropy_on_logits": 4.5,
        "categorical_cross_entropy": 3.5,
        "categorical_cross_entropy_on_logits": 2.0,
    },
}
"""Of f(z), and of one component's contribution to a loss."""

DERIVATIVE: dict[str, dict[str, float]] = {
    "float32": {"sigmoid": 5.5, "tanh": 10.0, "gelu": 6.0, "softplus": 4.5, "silu": 6.0},
    "float64": {"sigmoid": 4.5, "tanh": 16.0, "gelu": 3.0, "softplus": 3.5, "silu": 4.5},
}
"""Of f'(z), as an engine's autodiff gives it. Softmax's Jacobian is made of its values, and takes their k_f."""
