"""Which cells a campaign has, and how thoroughly each is audited: a covering design, everything, or a first look.

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

ALL, NEIGHBOURS, FEW = frozenset(COMBINATIONS), frozenset(neighbours()), frozenset(once())
THOROUGH, FEWER = FEW.union(cover()), frozenset(once()[::6])


class Depth(NamedTuple):
    """Which experiments a cell gets beside the audit of its traces; `first_order` and `alone` are parts of them."""

    experiments: bool = True
    first_order: bool = True
    alone: bool = True


EVERY_EXPERIMENT, NO_EXPERIMENTS = Depth(), Depth(experiments=False)


class Extent(NamedTuple):
    """What one engine is audited on.

    combinations  of an audit for which no function is named
    thorough      those of them that get every experiment, and further Cases with drawn parameters
    first_order   those of `thorough` in which the loss is followed along lines, for (3) and (4): dozens of traces each
    alone         those of `thorough` in which one pair is given alone, for (5a) and (5b): another shape to compile for
    turns         4: each format has every fourth of the combinations, in turn
    """

    combinations: frozenset[Combination]
    thorough: frozenset[Combination] = THOROUGH
    first_order: frozenset[Combination] = THOROUGH
    alone: frozenset[Combination] = THOROUGH
    turns: int = 1

    def of_dtype(self, dtype: str) -> tuple[Combination, ...]:
        """The combinations of a format."""
        every = [names for names in COMBINATIONS if names in self.combinations]
        return tuple(every[DTYPES.index(dtype) % self.turns :: self.turns])

    def depth(self, names: Combination) -> Depth:
        """How thoroughly the cells of a combination are audited."""
        return Depth(names in self.thorough, names in self.first_order, names in self.alone)


class Design(NamedTuple):
    """What is audited where an option leaves it open: the names, whether divergences, and the extent of each engine."""

    engines: tuple[str, ...]
    dtypes: tuple[str, ...]
    hidden: tuple[str, ...]
    output: tuple[str, ...]
    loss: tuple[str, ...]
    divergences: bool
    extents: dict[str, Extent]

    def extent(self, spec: str) -> Extent:
        """What an adapter is audited on; one of a third party, whose functions are not known, on everything."""
        return self.extents.get(spec, Extent(ALL))


EVERYTHING = tuple(ENGINES), DTYPES, HIDDEN, OUTPUT, tuple(LOSSES), True

DESIGNS = {
    "covering": Design(
        *EVERYTHING,
        extents={
            **dict.fromkeys(("numpy", "torch-eager"), Extent(NEIGHBOURS, first_order=FEW)),
            "jax-jit": Extent(NEIGHBOURS, FEW, FEW, FEWER),
            "jax-whole": Extent(FEW, FEW, FEW, FEWER, turns=4),  # it compiles a program for each combination
        },
    ),
    "full": Design(*EVERYTHING, extents={"jax-whole": Extent(FEW)}),
    "quick": Design(
        engines=("numpy", "torch-eager"),  # they do not compile
        dtypes=("float32", "float64"),
        hidden=("identity", "sigmoid", "tanh", "relu", "leaky_relu", "elu", "gelu", "silu", "softplus"),
        output=("identity", "sigmoid", "softmax"),
        loss=(
            *("half_squared_error", "mean_squared_error", "absolute_error", "huber"),
            *("binary_cross_entropy", "categorical_cross_entropy", "categorical_cross_entropy_on_logits"),
        ),
        divergences=False,
        extents={"jax-whole": Extent(FEW)},
    ),
}
"""The designs by their names: the default, `--full` and `--quick`."""
