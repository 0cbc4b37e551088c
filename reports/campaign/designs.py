"""Which cells a campaign has: a covering design, every combination, or a first look.

The audit is local: each equation is judged on the trace's own operands. (9) takes the output activation and the loss,
(14) the hidden activation and δ of the layer above; none takes the hidden activation and the loss. So a design in which
all neighbours meet has every equation with all that it depends on; all combinations together only have it more often.
"""

from typing import NamedTuple

from adapters.contract import ENGINES
from reference.activations import HIDDEN, OUTPUT
from reference.cases import COMBINATIONS, Combination, cover, neighbours, once
from reference.losses import LOSSES
from reference.rounding import DTYPES

THOROUGH = frozenset(cover())
"""Combinations that get every experiment, and further Cases with drawn parameters."""

WHOLE = frozenset(once())
"""Combinations of jax-whole, which compiles a program for each."""


class Design(NamedTuple):
    """What is audited where an option leaves it open.

    `combinations` are those of an audit for which no function is named; in those of `first_order` the loss is followed
    along lines, for (3) and (4), which takes dozens of traces.
    """

    engines: tuple[str, ...]
    dtypes: tuple[str, ...]
    hidden: tuple[str, ...]
    output: tuple[str, ...]
    loss: tuple[str, ...]
    combinations: frozenset[Combination]
    first_order: frozenset[Combination]
    divergences: bool


EVERYTHING = tuple(ENGINES), DTYPES, HIDDEN, OUTPUT, tuple(LOSSES)

DESIGNS = {
    "covering": Design(*EVERYTHING, frozenset(neighbours()), WHOLE, True),
    "full": Design(*EVERYTHING, frozenset(COMBINATIONS), THOROUGH, True),
    "quick": Design(
        engines=("numpy", "torch-eager"),  # they do not compile
        dtypes=("float32", "float64"),
        hidden=("identity", "sigmoid", "tanh", "relu", "leaky_relu", "elu", "gelu", "silu", "softplus"),
        output=("identity", "sigmoid", "softmax"),
        loss=(
            *("half_squared_error", "mean_squared_error", "absolute_error", "huber"),
            *("binary_cross_entropy", "categorical_cross_entropy", "categorical_cross_entropy_on_logits"),
        ),
        combinations=frozenset(COMBINATIONS),
        first_order=THOROUGH,
        divergences=False,
    ),
}
"""The designs by their names: the default, `--full` and `--quick`."""
