"""A fault planted in PyTorch: a wrong forward step, or a torch.autograd.Function with a wrong backward."""

from collections.abc import Callable
from functools import partial
from typing import Any

import array_api_compat.torch as xp
import torch
from torch import Tensor

from adapters.faults.fault import LINEAR, Fault, Machine, linear_rule
from adapters.faults.memory import remembered
from adapters.torch.eager import Layer, Loss, Network, TorchEager
from adapters.torch.functions import Function
from reference.arithmetic import UNDECLARED
from reference.case import Case
from reference.rounding import LARGEST


def digits(x: Tensor, p: int) -> Tensor:
    """x rounded to p significant bits, by Veltkamp's splitting; a narrower format than that is left as it is."""
    significand = round(1 - torch.log2(torch.tensor(torch.finfo(x.dtype).eps)).item())
    c = x * (2.0 ** (significand - p) + 1)
    return c - (c - x) if significand > p else x


def with_rule(value: Function, rule: Callable[..., Any]) -> Function:
    """A function with a backward of one's own: (g, *operands) -> the gradient of each operand."""

    class Planted(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *operands: Tensor) -> Tensor:
            ctx.save_for_backward(*operands)
            return value(*operands)

        @staticmethod
        def backward(ctx: Any, g: Tensor) -> Any:
            return rule(g, *ctx.saved_tensors)

    return Planted.apply


def pullback(f: Function) -> Function:
    """torch's own rule of an activation: (g, z) -> the gradient of z."""

    def rule(g: Tensor, z: Tensor) -> Tensor:
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            return torch.autograd.grad(f(z), z, g)[0]

    return rule


class PlantedTorch(TorchEager):
    """torch with one wrong step."""

    def __init__(self, fault: Fault) -> None:
        super().__init__()
        self.fault = fault

    def machine(self, case: Case, f: Function) -> Machine:
        past, b_below = remembered(self.fault, case, lambda x: self.tensor(x, case))
        return Machine(xp, digits, f, LARGEST[case.dtype], 1.0, past, b_below)

    def layer(self, case: Case, l: int) -> Layer:
        linear, f = super().layer(case, l)
        fault = self.fault
        if l != fault.layer:
            return linear, f
        wrong = partial(fault.wrong, self.machine(case, f))
        if fault.site == "z":
            return partial(wrong, linear), f
        if fault.site == "a":
            return linear, partial(wrong, f)
        if fault.site in ("f_h'", "f_o'"):
            return linear, with_rule(f, partial(wrong, pullback(f)))
        if fault.site in LINEAR:
            return with_rule(linear, linear_rule(fault.site, wrong)), f
        return linear, f

    def loss(self, case: Case) -> Loss:
        total, every = super().loss(case)
        fault, on = self.fault, self.machine(case, super().layer(case, case.last)[1])
        wrong = partial(fault.wrong, on)
        if fault.site == "8":
            return lambda p, y: wrong(every, p, y).mean(), partial(wrong, every)
        if fault.site == "1":
            return lambda p, y: wrong(torch.mean, every(p, y)), every
        if fault.site == "dL":

            def derivative(p: Tensor, y: Tensor) -> Tensor:
                with torch.enable_grad():
                    p = p.detach().requires_grad_()
                    return torch.autograd.grad(every(p, y).sum(), p)[0]

            return with_rule(total, lambda g, p, y: (g * wrong(derivative, p, y) / len(p), None)), every
        return total, every


class PlantedCompiled(PlantedTorch):
    """The same under torch.compile, which wants a C++ compiler."""

    name = "torch-compile"
    on_cpu = UNDECLARED

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault)
        torch._dynamo.reset()  # a fault is another network: none is to be refused for how many there were before
        self.compiled: dict[str, Network] = {}

    def network(self, case: Case) -> Network:
        if case.dtype not in self.compiled:
            self.compiled[case.dtype] = torch.compile(super().network(case), fullgraph=True, dynamic=False)
        return self.compiled[case.dtype]
