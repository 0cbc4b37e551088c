"""NumPy as an engine: the reference's formulas, carried out in the Case's own dtype."""

from collections.abc import Iterator

from reference import equations as eq
from reference import network
from reference.arithmetic import Arithmetic
from reference.arrays import Array
from reference.case import Case, Trace
from reference.rounding import ACCUMULATED_IN, rounded
from reference.training import Plan, Step, train


class NumpyEngine:
    """Equations (1)–(14) in float32 or float64 NumPy; half precision is computed in float32, as GPUs do, and stored."""

    name = "numpy"
    arithmetic = Arithmetic(
        sums_in="float32",
        flushes=False,
        excess_precision=False,
        mean_of_all=False,
        scalars_in="float64",
        rates_in="float64",
        rates_at_once=True,
        accuracy="numpy",
    )

    def __init__(self, device: str = "cpu") -> None:
        self.device = device

    def supports(self, case: Case) -> bool | str:
        return True if self.device == "cpu" else f"numpy computes on the cpu, not on {self.device!r}"

    def trace(self, case: Case) -> Trace:
        return network.trace(case, case.dtype, self.step(case))

    def step(self, case: Case) -> network.Step:
        """What carries out an equation: the reference's own function."""
        return network.as_written

    def train(self, case: Case, plan: Plan) -> Iterator[Step]:
        return train(case, plan, self.trace, case.dtype)

    def trains(self, plan: Plan) -> bool | str:
        return True

    def layer_vjp(self, case: Case, layer: int, z_prev: Array, cotangent: Array) -> tuple[Array, Array, Array]:
        f, computed_in = case.activation(layer - 1), ACCUMULATED_IN[case.dtype]
        z, c, W = (array.astype(computed_in) for array in (z_prev, cotangent, case.W[layer]))
        a = rounded(f.value(z), case.dtype).astype(computed_in)
        gradients = c.T @ eq.eq_6a(a), (c * eq.eq_6b(c)).sum(axis=0), eq.eq_14(f.derivative(z), c, W)
        dW, db, dz = (rounded(gradient, case.dtype) for gradient in gradients)
        return dW, db, dz
