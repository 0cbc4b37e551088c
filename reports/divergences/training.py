"""Where a framework departs from a line of an optimiser or schedule, and what shows it."""

from typing import NamedTuple

from reports.results.records import Record

# --- what is known of the frameworks


class Known(NamedTuple):
    """Where a framework departs from a line, in float64, and what shows it."""

    name: str
    engines: tuple[str, ...]
    equations: tuple[str, ...]
    note: str
    code: str


KNOWN = (
    Known(
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
    Known(
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
"""Every one that a run may meet."""


def explanation(record: Record) -> str | None:
    """The name of what is known to break a run: all that does not hold in it must be."""
    known = [
        next((k.name for k in KNOWN if record["engine"] in k.engines and finding["equation"] in k.equations), None)
        for finding in record["findings"]
    ]
    return known[0] if known and all(known) and record["dtype"] == "float64" and record["reason"] is None else None
