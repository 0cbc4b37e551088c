"""PyTorch, eager: torch.nn.functional and torch.autograd as anyone would call them."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from adapters.contract import AdapterError, steps_made, supported
from adapters.torch import optimisers
from adapters.torch.functions import ACTIVATIONS, LOSSES, Function
from reference.arithmetic import Arithmetic
from reference.arrays import Array, Layers, layers, tree
from reference.case import Case, Trace
from reference.training import Plan, Step

Tensors = Mapping[int, Tensor]
"""A tensor for every layer."""

Layer = tuple[Function, Function]
Loss = tuple[Function, Function]
Forward = tuple[Tensor, Tensor, dict[int, Tensor], dict[int, Tensor]]
Network = Callable[[Tensors, Tensors, Tensors, Tensor, Tensor], Forward]


def array(tensor: Tensor) -> Array:
    """A tensor's own values in float64."""
    return tensor.detach().cpu().to(torch.float64, copy=True).numpy()  # a copy: torch updates its parameters in place


class TorchEager:
    """torch.nn.functional, torch.autograd.grad and torch.optim, without compilation."""

    name = "torch-eager"
    on_cpu = Arithmetic(
        sums_in="float32",
        flushes=False,
        excess_precision=False,
        scalars_in="float64",  # Python's numbers
        rates_in="float64",
        accuracy="torch-eager",
    )
    on_gpu = Arithmetic(accuracy="torch-eager on gpu")

    def __init__(self, device: str = "cpu") -> None:
        if device != "cpu" and not torch.cuda.is_available():
            raise AdapterError(f"device {device!r} is not there for torch-eager: torch sees no GPU, choose cpu")
        try:
            self.device = torch.device("cuda" if device == "gpu" else device)
        except RuntimeError as error:
            raise AdapterError(f"device {device!r} is none of torch's: choose cpu or gpu") from error
        # TF32 keeps 10 bits of a float32, and reduced precision sums halves in half: other formats, not other roundings
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
        torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False

    @property
    def arithmetic(self) -> Arithmetic:
        """What torch's kernels do on the engine's device."""
        return self.on_cpu if self.device.type == "cpu" else self.on_gpu

    def supports(self, case: Case) -> bool | str:
        return supported(self.name, case, ACTIVATIONS, LOSSES)

    def tensor(self, values: Array, case: Case, requires_grad: bool = False) -> Tensor:
        tensor = torch.tensor(values, dtype=getattr(torch, case.dtype), device=self.device)
        return tensor.requires_grad_(requires_grad)

    def parameters(self, layers: Layers, case: Case) -> dict[int, Tensor]:
        return {l: self.tensor(layers[l], case, requires_grad=True) for l in case.layers}

    def layer(self, case: Case, l: int) -> Layer:
        """The two steps of a layer: (a^{l-1}, W^l, b^l) -> z^l, and z^l -> a^l."""
        f = case.activation(l)
        return F.linear, partial(ACTIVATIONS[f.name], **f.parameters)

    def loss(self, case: Case) -> Loss:
        """L, and every L_i, from what the loss is given, and y."""
        total, every = LOSSES[case.loss]
        return partial(total, **case.criterion.parameters), partial(every, **case.criterion.parameters)

    def network(self, case: Case) -> Network:
        """The forward pass, as a function of W, b, the probes, x and y: L, every L_i, z and a."""
        layers, (total, every) = {l: self.layer(case, l) for l in case.layers}, self.loss(case)
        last, on_logits = case.last, case.criterion.on_logits

        def forward(W: Tensors, b: Tensors, probes: Tensors, x: Tensor, y: Tensor) -> Forward:
            z, a = {}, {0: x}
            for l, (linear, f) in layers.items():
                z[l] = linear(a[l - 1], W[l], b[l]) + probes[l]
                a[l] = f(z[l])
            p = z[last] if on_logits else a[last]
            return total(p, y), every(p.detach(), y), z, a

        return forward

    def function(self, case: Case) -> tuple[Callable[..., Tensor], list[Tensor]]:
        """L as a function of W^1 … W^{L-1}, b^1 … b^{L-1}, and those."""
        forward, layers = self.network(case), case.layers
        x, y = self.tensor(case.x, case), self.tensor(case.y, case)
        zeros = dict.fromkeys(layers, torch.zeros((), dtype=x.dtype, device=x.device))

        def total(*parameters: Tensor) -> Tensor:
            W, b = parameters[: len(layers)], parameters[len(layers) :]
            return forward(dict(zip(layers, W, strict=True)), dict(zip(layers, b, strict=True)), zeros, x, y)[0]

        return total, [*self.parameters(case.W, case).values(), *self.parameters(case.b, case).values()]

    def trace(self, case: Case) -> Trace:
        W, b = self.parameters(case.W, case), self.parameters(case.b, case)
        return self.traced(case, W, b, self.tensor(case.x, case), self.tensor(case.y, case))

    def traced(self, case: Case, W: Tensors, b: Tensors, x: Tensor, y: Tensor) -> Trace:
        """One forward pass and one torch.autograd.grad; a zero probe added to each z receives δ/N."""
        probes = {l: torch.zeros(len(x), len(b[l]), dtype=x.dtype, device=x.device, requires_grad=True) for l in W}
        loss, losses, z, a = self.network(case)(W, b, probes, x, y)
        gradients = iter(torch.autograd.grad(loss, [*W.values(), *b.values(), *probes.values()]))
        dW, db, d_probes = ({l: array(next(gradients)) for l in case.layers} for _ in range(3))
        return Trace(
            loss=loss.item(),
            dW=dW,
            db=db,
            losses=array(losses),
            z={l: array(z[l]) for l in case.layers},
            a={l: array(a[l]) for l in case.layers},
            delta={l: len(x) * d_probes[l] for l in case.layers},
        )

    def trains(self, plan: Plan) -> bool | str:
        return optimisers.trains(plan)

    def train(self, case: Case, plan: Plan) -> Iterator[Step]:
        """Steps of torch.optim, from what it had kept where the plan goes on with a run."""
        W, b = self.parameters(case.W, case), self.parameters(case.b, case)
        x, y = self.tensor(case.x, case), self.tensor(case.y, case)
        w = tree(W, b)
        optimiser = optimisers.make(plan.optimiser.name, plan.optimiser.hyperparameters, list(w.values()))
        schedule = optimisers.scheduled(optimiser, plan)
        names = optimisers.OPTIMISERS[plan.optimiser.name].kept
        for place, kept in (plan.states or {}).items():
            optimiser.state[w[place]] = optimisers.loaded(kept, w[place], names, steps_made(plan))
        before = {place: array(p) for place, p in w.items()}
        begun = {place: float((plan.states or {}).get(place, {}).get("t", steps_made(plan))) for place in w}
        for number, batch in enumerate(plan.batches):
            rows = torch.from_numpy(batch).to(self.device)
            trace = self.traced(case, W, b, x[rows], y[rows])
            for (which, l), p in w.items():
                p.grad = self.tensor((trace.dW if which == "W" else trace.db)[l], case)
            clipped = None
            if plan.clipping is not None:
                optimisers.CLIPPINGS[plan.clipping.form](list(w.values()), plan.clipping.limit)
                clipped = {place: array(cast(Tensor, p.grad)) for place, p in w.items()}
            rate = float(optimiser.param_groups[0]["lr"])
            optimiser.step()
            if schedule is not None:
                schedule.step()
            after = {place: array(p) for place, p in w.items()}
            state = {place: optimisers.shown(optimiser, p, names, begun[place] + number + 1) for place, p in w.items()}
            old, new = ((layers(values, "W"), layers(values, "b")) for values in (before, after))
            yield Step(*old, trace, *new, state, rate, clipped)
            before = after

    def layer_vjp(self, case: Case, layer: int, z_prev: Array, cotangent: Array) -> tuple[Array, Array, Array]:
        f = case.activation(layer - 1)
        inputs = [self.tensor(values, case, requires_grad=True) for values in (case.W[layer], case.b[layer], z_prev)]
        z = F.linear(ACTIVATIONS[f.name](inputs[2], **f.parameters), inputs[0], inputs[1])
        dW, db, dz = torch.autograd.grad(z, inputs, grad_outputs=self.tensor(cotangent, case))
        return array(dW), array(db), array(dz)
