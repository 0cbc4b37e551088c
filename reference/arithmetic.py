"""What an engine does with numbers, as far as an allowance depends on it.

An engine declares its arithmetic and is then held to it. What it leaves out is allowed the widest of what engines
usually do, so that an engine which declares nothing is allowed all of it.
"""

from dataclasses import dataclass

from reference.accuracy import Accuracy


@dataclass(frozen=True)
class Arithmetic:
    """What the numbers of an engine go through.

    A format stands for itself or for the Case's own, whichever is wider; that of operands, whichever is narrower.

    operands          the format that the operands of a product of matrices are rounded to before; None: the Case's own
    accumulates_in    the format that products are accumulated in
    sums_in           the format of plain sums, such as the gradient of a bias, and of the differences and quotients
                      within functions; None: the Case's own
    flushes           whether a subnormal operand may be read as 0, in every format but float16 (XLA sets the CPU so)
    excess_precision  whether, in half precision, an operand may be used as it was before it was rounded to the number
                      that is reported (XLA's xla_allow_excess_precision keeps float32 within a fusion)
    recomputes        whether an operand may be another rounding of the number that is reported, in every format: a
                      compiler that makes one program of a network may compute a number for one fusion again
    mean_of_all       whether a loss on n components may be n times the mean of all N n, in which 1/(N n) of δ may
                      underflow
    scalars_in        the format that an optimiser's hyperparameters and step count are computed with
    rates_in          the format that η_t is computed in
    rates_at_once     whether η_t is computed from t alone, not from η_{t−1}
    accuracy          how accurate the scalar functions are: the name under which they were measured, or the engine's
                      own measurements; None: the least accurate of those measured on a CPU
    """

    operands: str | None = None
    accumulates_in: str = "float32"
    sums_in: str | None = None
    flushes: bool = True
    excess_precision: bool = True
    recomputes: bool = False
    mean_of_all: bool = True
    scalars_in: str = "float32"
    rates_in: str = "float32"
    rates_at_once: bool = False
    accuracy: Accuracy = None


UNDECLARED = Arithmetic()
"""The arithmetic of an engine that declares nothing."""
