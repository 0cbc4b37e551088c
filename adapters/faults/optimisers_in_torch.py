"""torch.optim, as anyone would call it; and some of it misused, subclassed, or with one operation patched."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.optim import SGD, Optimizer
from torch.overrides import TorchFunctionMode

from adapters.torch import optimisers
from adapters.torch.eager import array
from adapters.torch.optimisers import Form
from reference.arrays import Tree
from reference.optimisers import Hyper, States


class Patched(TorchFunctionMode):
    """Inside it, one operation of torch is another: `wrong(honest, *operands)`."""

    def __init__(self, operation: str, wrong: Callable[..., Tensor]) -> None:
        super().__init__()
        self.operation, self.wrong = operation, wrong

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(function, "__name__", "") == self.operation:
            return self.wrong(function, *args, **(kwargs or {}))
        return function(*args, **(kwargs or {}))


class Lion(Optimizer):
    """Lion, which torch.optim does not have, written for it as users do."""

    def __init__(self, params: Iterable[Tensor], lr: float, betas: tuple[float, float], weight_decay: float) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for p in group["params"]:
                m = self.state[p].setdefault("exp_avg", torch.zeros_like(p))
                p.mul_(1 - group["lr"] * group["weight_decay"])
                self.move(p, p.grad, m, group["lr"], *group["betas"])

    def move(self, p: Tensor, g: Tensor, m: Tensor, lr: float, beta1: float, beta2: float) -> None:
        """w ← w − η sign(β₁ m + (1 − β₁) g), and then m."""
        p.add_(m.mul(beta1).add_(g, alpha=1 - beta1).sign_(), alpha=-lr)
        m.lerp_(g, 1 - beta2)


class LionWithoutSign(Lion):
    """Lion by w ← w − η (β₁ m + (1 − β₁) g)."""

    def move(self, p: Tensor, g: Tensor, m: Tensor, lr: float, beta1: float, beta2: float) -> None:
        p.add_(m.mul(beta1).add_(g, alpha=1 - beta1), alpha=-lr)
        m.lerp_(g, 1 - beta2)


class LionReplacedFirst(Lion):
    """Lion whose m is replaced before it is used."""

    def move(self, p: Tensor, g: Tensor, m: Tensor, lr: float, beta1: float, beta2: float) -> None:
        m.lerp_(g, 1 - beta2)
        p.add_(m.mul(beta1).add_(g, alpha=1 - beta1).sign_(), alpha=-lr)


class DecayOutside(SGD):
    """SGD which adds its weight decay past the momentum."""

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        group = self.param_groups[0]
        decay, group["weight_decay"] = group["weight_decay"], 0.0
        before = [p.clone() for p in group["params"]]
        super().step()
        for p, old in zip(group["params"], before, strict=True):
            p.add_(old, alpha=-group["lr"] * decay)


def with_options(name: str, **options: bool) -> Form:
    """torch's own, with options that it should not have, or that change no number."""
    form = optimisers.OPTIMISERS[name]
    return form._replace(arguments=lambda h: form.arguments(h) | options)


def lion(kind: type[Lion]) -> Form:
    return Form(kind, lambda h: optimisers.rate(h) | {"betas": (h["beta1"], h["beta2"])}, {"exp_avg": "m"})


class Made(NamedTuple):
    """How an optimiser is made, and what is patched while it makes a step."""

    form: Form
    patched: Callable[[], AbstractContextManager[Any]] = nullcontext


def patched(name: str, operation: str, wrong: Callable[..., Tensor]) -> Made:
    """torch's own with an operation of torch.Tensor patched: it takes one parameter after another."""
    return Made(with_options(name, foreach=False), lambda: Patched(operation, wrong))


def eps_in_root(add: Any, x: Tensor, other: Any, **options: Any) -> Tensor:
    """√(v̂ + ε) of the √v̂ to which ε, a number, is to be added; any other sum as it is, the count's 1 among them."""
    if isinstance(other, float):
        return (x * x + other).sqrt()
    result: Tensor = add(x, other, **options)
    return result


def dampened(h: Hyper) -> dict[str, Any]:
    """The gradient enters by 1 − μ."""
    return optimisers.sgd({**h, "dampening": h["momentum"]})


HONEST = ("gradient_descent", "momentum", "nesterov", "adam", "adamw", "amsgrad", "rmsprop")

OPTIMISERS: dict[str, Made] = {
    **{name: Made(optimisers.OPTIMISERS[name]) for name in HONEST},
    "lion": Made(lion(Lion)),
    "momentum, dampened": Made(optimisers.OPTIMISERS["momentum"]._replace(arguments=dampened)),
    "gradient_descent, uphill": Made(with_options("gradient_descent", maximize=True)),
    "momentum, decay outside": Made(optimisers.OPTIMISERS["momentum"]._replace(kind=DecayOutside)),
    "nesterov, backwards": patched("nesterov", "add", lambda add, g, b, alpha: add(g, b, alpha=-alpha)),
    "adam, eps in root": patched("adam", "add_", eps_in_root),
    "adam, v of |g|": patched("adam", "addcmul_", lambda addcmul, v, g, _, value: v.add_(g.abs(), alpha=value)),
    "rmsprop, eps in root": patched("rmsprop", "add_", eps_in_root),
    "lion, no sign": Made(lion(LionWithoutSign)),
    "lion, m first": Made(lion(LionReplacedFirst)),
}
"""Every optimiser, right or wrong."""


def step(made: str, dtype: str, h: Hyper, w: Tree, state: States, g: Tree) -> tuple[Tree, States]:
    """One step of an optimiser from a state, or from none before the first step."""
    format, (form, patch) = getattr(torch, dtype), OPTIMISERS[made]
    parameters = {place: torch.nn.Parameter(torch.tensor(array, dtype=format)) for place, array in w.items()}
    optimiser: Optimizer = form.kind(parameters.values(), **form.arguments(h))
    for place, p in parameters.items():
        p.grad = torch.tensor(g[place], dtype=format)
        if state[place]["t"]:
            optimiser.state[p] = optimisers.loaded(state[place], p, form.kept, float(state[place]["t"]))
    with patch():
        optimiser.step()
    return (
        {place: array(p) for place, p in parameters.items()},
        {
            place: optimisers.shown(optimiser, p, form.kept, float(state[place]["t"]) + 1)
            for place, p in parameters.items()
        },
    )
