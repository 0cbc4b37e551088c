"""What the tests of the seeded faults share: honest steps in the place of faults, and what a fault must leave alone."""

import ml_dtypes
import numpy as np

from adapters.faults.fault import OUTPUT, Fault

FORWARD, BACKWARD = ("z", "a", "8", "1"), ("dL", "f_o'", "f_h'", "δW", "dW", "db")
"""The sites of the forward pass, and those whose step is a rule of the backward pass."""

AT_OUTPUT = ("8", "1", "dL", "f_o'")

OTHER_NETWORKS = (
    *(("f_o'", name) for name in ("softmax", "log-softmax", "regression")),
    *(("f_h'", name) for name in ("relu", "leaky", "elu")),
    *(("dL", name) for name in ("logits", "huber", "absolute", "smoothed")),
    *(("8", name) for name in ("logits", "bernoulli", "one output")),
    ("a", "softmax"),
)
"""Sites in networks where their step is of another kind: coupled, with kinks or parameters, on logits."""


def as_it_is(m, honest, *operands):
    """The honest step."""
    return honest(*operands)


def planted_at(site, wrong=as_it_is, network="tanh", layer=None, remembers=False):
    """A change to the step of a site, in the output layer or in layer 2."""
    layer = layer or (OUTPUT if site in AT_OUTPUT or (site, network) == ("a", "softmax") else 2)
    return Fault("made-up", "none", "a test", site, layer, wrong, network, remembers=remembers)


# --- what a trace says, by name


def arrays(trace):
    """Every array of a trace: z1, z2, …, losses, loss."""
    layered = {f"{name}{l}": array for name in LAYERED for l, array in getattr(trace, name).items()}
    return {**layered, "losses": trace.losses, "loss": np.array(trace.loss)}


LAYERED = ("z", "a", "delta", "dW", "db")

EVERY_DELTA = {f"delta{l}" for l in (1, 2, 3)}
EVERY_GRADIENT = EVERY_DELTA | {f"{name}{l}" for name in ("dW", "db") for l in (1, 2, 3)}
AFTER_A2 = {"a2", "z3", "a3", "losses", "loss"} | EVERY_GRADIENT
BELOW_3 = {f"{name}{l}" for name in ("delta", "dW", "db") for l in (1, 2)}
BELOW_2 = {"delta1", "dW1", "db1"}

DOWNSTREAM = {
    engine: {
        "z": {"z2"} | AFTER_A2,
        "a": AFTER_A2,
        "8": {"losses", "loss"} | derived,
        "1": {"loss"} | derived,
        "dL": EVERY_GRADIENT,
        "f_o'": EVERY_GRADIENT,
        "f_h'": BELOW_3,
        "δW": BELOW_2,
        "dW": {"dW2"},
        "db": {"db2"},
    }
    for engine, derived in (("numpy", set()), ("torch-eager", EVERY_GRADIENT))
}
"""What a fault in layer 2, or at the output, changes; autodiff takes the derivative of a wrong loss, NumPy does not."""


# --- rounding to p digits

ROUNDED = {8: ml_dtypes.bfloat16, 11: np.float16, 24: np.float32}
"""Significant bits, and the format that has them."""


def to_round(wide):
    """Numbers of a format in the range of them all, and numbers halfway between two with 8, 11 or 24 bits."""
    rng = np.random.default_rng(4)
    exponents = np.arange(-14, 15)
    halfway = [1 + (2 * k + 1) * 2.0**-p for p in ROUNDED for k in range(16)]
    x = np.concatenate([
        rng.choice([-1, 1], 10_000) * 2 ** rng.uniform(-14, 15.9, 10_000),
        np.outer(halfway, 2.0**exponents).ravel(),
        [0.0, 1.0, -1.0],
    ])  # fmt: skip
    return x.astype(wide)
