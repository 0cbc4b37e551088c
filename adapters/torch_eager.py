"""PyTorch, eager: torch.nn.functional and torch.autograd as anyone would call them."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from adapters.contract import AdapterError, supported
from reference.arrays import Array, Layers
from reference.case import Case, Trace
from reference.training import Plan, Step

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda z: z,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": F.relu,
    "gelu": F.gelu,
    "softplus": F.softplus,
    "silu": F.silu,
    "softmax": lambda z: F.softmax(z, dim=1),
}

Reduced = Callable[[Tensor, Tensor], Tensor]

LOSSES: dict[str, tuple[Reduced, Reduced, bool]] = {
    # name: (L by the framework's own reduction, L_i of every sample, given logits)
    "half_squared_error": (
        lambda a, y: F.mse_loss(a, y, reduction="sum") / 2 / len(a),
        lambda a, y: F.mse_loss(a, y, reduction="none").sum(dim=1) / 2,
        False,
    ),
    "binary_cross_entropy": (
        lambda a, y: F.binary_cross_entropy(a, y, reduction="sum") / len(a),
        lambda a, y: F.binary_cross_entropy(a, y, reduction="none").sum(dim=1),
        False,
    ),
    "binary_cross_entropy_on_logits": (
        lambda z, y: F.binary_cross_entropy_with_logits(z, y, reduction="sum") / len(z),
        lambda z, y: F.binary_cross_entropy_with_logits(z, y, reduction="none").sum(dim=1),
        True,
    ),
    # torch has no categorical cross-entropy on probabilities with soft labels: its xlogy is the closest it offers
    "categorical_cross_entropy": (
        lambda a, y: -torch.special.xlogy(y, a).sum() / len(a),
        lambda a, y: -torch.special.xlogy(y, a).sum(dim=1),
        False,
    ),
    "categorical_cross_entropy_on_logits": (
        lambda z, y: F.cross_entropy(z, y, reduction="mean"),
        lambda z, y: F.cross_entropy(z, y, reduction="none"),
        True,
    ),
}


def array(tensor: Tensor) -> Array:
    """A tensor's own values in float64."""
    return tensor.detach().cpu().numpy().astype(np.float64)  # a copy: torch updates its parameters in place


class TorchEager:
    """torch.nn.functional, torch.autograd.grad and torch.optim.SGD, without compilation."""

    name = "torch-eager"

    def __init__(self, device: str = "cpu") -> None:
        if device != "cpu" and not torch.cuda.is_available():
            raise AdapterError(f"device {device!r} is not there for torch-eager: torch sees no GPU, choose cpu")
        try:
            self.device = torch.device("cuda" if device == "gpu" else device)
        except RuntimeError as error:
            raise AdapterError(f"device {device!r} is none of torch's: choose cpu or gpu") from error
        # TF32 keeps 10 bits of a float32: another format, not another rounding
        torch.backends.cuda.matmul.allow_tf32 = False

    def supports(self, case: Case) -> bool | str:
        return supported(self.name, case, ACTIVATIONS, LOSSES)

    def tensor(self, values: Array, case: Case, requires_grad: bool = False) -> Tensor:
        tensor = torch.tensor(values, dtype=getattr(torch, case.dtype), device=self.device)
        return tensor.requires_grad_(requires_grad)

    def parameters(self, layers: Layers, case: Case) -> dict[int, Tensor]:
        return {l: self.tensor(layers[l], case, requires_grad=True) for l in case.layers}

    def trace(self, case: Case) -> Trace:
        W, b = self.parameters(case.W, case), self.parameters(case.b, case)
        return self.traced(case, W, b, self.tensor(case.x, case), self.tensor(case.y, case))

    def traced(self, case: Case, W: dict[int, Tensor], b: dict[int, Tensor], x: Tensor, y: Tensor) -> Trace:
        """One forward pass and one torch.autograd.grad; a zero probe added to each z receives δ/N."""
        reduced, partial, on_logits = LOSSES[case.loss]
        probes = {l: torch.zeros(len(x), len(b[l]), dtype=x.dtype, device=x.device, requires_grad=True) for l in W}
        z, a = {}, {0: x}
        for l in case.layers:
            z[l] = F.linear(a[l - 1], W[l], b[l]) + probes[l]
            a[l] = ACTIVATIONS[case.activation(l)](z[l])
        p = z[case.last] if on_logits else a[case.last]
        loss = reduced(p, y)
        gradients = iter(torch.autograd.grad(loss, [*W.values(), *b.values(), *probes.values()]))
        dW, db, d_probes = ({l: array(next(gradients)) for l in case.layers} for _ in range(3))
        return Trace(
            loss=loss.item(),
            dW=dW,
            db=db,
            losses=array(partial(p.detach(), y)),
            z={l: array(z[l]) for l in case.layers},
            a={l: array(a[l]) for l in case.layers},
            delta={l: len(x) * d_probes[l] for l in case.layers},
        )

    def train(self, case: Case, plan: Plan) -> Iterator[Step]:
        """Steps of torch.optim.SGD."""
        W, b = self.parameters(case.W, case), self.parameters(case.b, case)
        x, y = self.tensor(case.x, case), self.tensor(case.y, case)
        optimiser = torch.optim.SGD([*W.values(), *b.values()], lr=plan.learning_rate)
        for batch in plan.batches:
            rows = torch.from_numpy(batch).to(self.device)
            old_W, old_b = ({l: array(p[l]) for l in case.layers} for p in (W, b))
            trace = self.traced(case, W, b, x[rows], y[rows])
            for l in case.layers:
                W[l].grad, b[l].grad = self.tensor(trace.dW[l], case), self.tensor(trace.db[l], case)
            optimiser.step()
            yield Step(old_W, old_b, trace, *({l: array(p[l]) for l in case.layers} for p in (W, b)))

    def layer_vjp(self, case: Case, layer: int, z_prev: Array, cotangent: Array) -> tuple[Array, Array, Array]:
        inputs = [self.tensor(values, case, requires_grad=True) for values in (case.W[layer], case.b[layer], z_prev)]
        z = F.linear(ACTIVATIONS[case.activation(layer - 1)](inputs[2]), inputs[0], inputs[1])
        dW, db, dz = torch.autograd.grad(z, inputs, grad_outputs=self.tensor(cotangent, case))
        return array(dW), array(db), array(dz)
