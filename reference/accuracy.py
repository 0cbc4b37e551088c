"""How accurate a scalar function is taken to be: k_f, in roundings of its scale s_f.

A correct implementation of f errs by at most k_f·u·s_f(z). k_f is not derived but measured, by sweeping every engine's
own function; the measurements stand in `reports/recorded/scalar_accuracy.json`, and a test holds this table to them:
never below what was measured, never above twice that.
"""

VALUE: dict[str, dict[str, float]] = {
    "float32": {
        "sigmoid": 8.0,
        "tanh": 12.0,
        "gelu": 8.0,
        "softplus": 8.0,
        "silu": 8.0,
        "softmax": 4.0,
        "half_squared_error": 3.0,
        "binary_cross_entropy": 6.0,
        "binary_cross_entropy_on_logits": 8.0,
        "categorical_cross_entropy": 6.0,
        "categorical_cross_entropy_on_logits": 4.0,
    },
}
VALUE["float64"] = VALUE["float32"]

DERIVATIVE: dict[str, dict[str, float]] = {
    "float32": {"sigmoid": 8.0, "tanh": 8.0, "gelu": 8.0, "softplus": 8.0, "silu": 8.0, "softmax": 4.0},
}
DERIVATIVE["float64"] = DERIVATIVE["float32"]
