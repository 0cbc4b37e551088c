"""torch.optim, as anyone would call it; and some of it misused, subclassed, or with one operation patched."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop
from torch.overrides import TorchFunctionMode

from adapters.faults.updates import Hyper, States, Tree
from reference.arrays import Array

Parameters = list[Tensor]


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


def sgd(kind: type[SGD] = SGD, **options: bool) -> Callable[[Parameters, Hyper], Optimizer]:
    return lambda parameters, h: kind(
        parameters,
        lr=h["learning_rate"],
        momentum=h.get("momentum", 0.0),
        dampening=h.get("dampening", 0.0),
        weight_decay=h["weight_decay"],
        **options,
    )


def adam(kind: type[Adam] = Adam, **options: bool) -> Callable[[Parameters, Hyper], Optimizer]:
    return lambda parameters, h: kind(
        parameters,
        lr=h["learning_rate"],
        betas=(h["beta1"], h["beta2"]),
        eps=h["eps"],
        weight_decay=h["weight_decay"],
        **options,
    )


def rmsprop(parameters: Parameters, h: Hyper) -> Optimizer:
    return RMSprop(
        parameters, lr=h["learning_rate"], alpha=h["decay"], eps=h["eps"], weight_decay=h["weight_decay"], foreach=False
    )


def lion(kind: type[Lion] = Lion) -> Callable[[Parameters, Hyper], Optimizer]:
    return lambda parameters, h: kind(parameters, h["learning_rate"], (h["beta1"], h["beta2"]), h["weight_decay"])


class Made(NamedTuple):
    """An optimiser, and what is patched while it makes a step."""

    make: Callable[[Parameters, Hyper], Optimizer]
    patched: Callable[[], AbstractContextManager[Any]] = nullcontext


def eps_in_root(add: Any, x: Tensor, other: Any, **options: Any) -> Tensor:
    """√(v̂ + ε) of the √v̂ to which ε, a number, is to be added; any other sum as it is, the count's 1 among them."""
    if isinstance(other, float):
        return (x * x + other).sqrt()
    result: Tensor = add(x, other, **options)
    return result


OPTIMISERS: dict[str, Made] = {
    "gradient_descent": Made(sgd()),
    "momentum": Made(sgd()),
    "momentum, dampened": Made(lambda parameters, h: sgd()(parameters, {**h, "dampening": h["momentum"]})),
    "nesterov": Made(sgd(nesterov=True, foreach=False)),
    "adam": Made(adam(foreach=False)),
    "adamw": Made(adam(AdamW)),
    "amsgrad": Made(adam(amsgrad=True)),
    "rmsprop": Made(rmsprop),
    "lion": Made(lion()),
    "gradient_descent, uphill": Made(sgd(maximize=True)),
    "momentum, decay outside": Made(sgd(DecayOutside)),
    "nesterov, backwards": Made(
        sgd(nesterov=True, foreach=False),
        lambda: Patched("add", lambda add, g, b, alpha: add(g, b, alpha=-alpha)),
    ),
    "adam, eps in root": Made(adam(foreach=False), lambda: Patched("add_", eps_in_root)),
    "adam, v of |g|": Made(
        adam(foreach=False),
        lambda: Patched("addcmul_", lambda addcmul, v, g, _, value: v.add_(g.abs(), alpha=value)),
    ),
    "rmsprop, eps in root": Made(rmsprop, lambda: Patched("add_", eps_in_root)),
    "lion, no sign": Made(lion(LionWithoutSign)),
    "lion, m first": Made(lion(LionReplacedFirst)),
}
"""Every optimiser, right or wrong. The patched ones take one parameter after another, by operations of torch.Tensor."""

KEPT = {
    "exp_avg": "m",
    "exp_avg_sq": "v",
    "square_avg": "v",
    "max_exp_avg_sq": "v_max",
    "momentum_buffer": "b",
    "step": "t",
}
"""What torch.optim keeps, and what it is called in `reference.optimisers`."""

HOLDS: dict[type[Optimizer], tuple[str, ...]] = {
    SGD: ("momentum_buffer",),
    Adam: ("step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq"),
    RMSprop: ("step", "square_avg"),
    Lion: ("exp_avg",),
}
"""What each of its optimisers keeps, or may keep."""


def step(made: str, dtype: str, h: Hyper, w: Tree, state: States, g: Tree) -> tuple[Tree, States]:
    """One step of an optimiser that has kept what is given, or, before the first step, nothing."""
    format = getattr(torch, dtype)
    parameters = {place: torch.nn.Parameter(torch.tensor(array, dtype=format)) for place, array in w.items()}
    optimiser = OPTIMISERS[made].make(list(parameters.values()), h)
    for place, p in parameters.items():
        p.grad = torch.tensor(g[place], dtype=format)
        if state[place]["t"]:
            optimiser.state[p] = loaded(optimiser, state[place], format)
    with OPTIMISERS[made].patched():
        optimiser.step()
    return (
        {place: double(p) for place, p in parameters.items()},
        {place: {"t": state[place]["t"] + 1, **shown(optimiser.state[p])} for place, p in parameters.items()},
    )


def loaded(optimiser: Optimizer, kept: Any, format: torch.dtype) -> dict[str, Tensor]:
    """What is kept, under torch's names; t is held in float32."""
    names = next(names for kind, names in HOLDS.items() if isinstance(optimiser, kind))
    return {
        name: torch.tensor(kept[KEPT[name]], dtype=torch.float32 if name == "step" else format)
        for name in names
        if KEPT[name] in kept
    }


def shown(kept: dict[str, Any]) -> dict[str, Any]:
    """What torch keeps, under the reference's names."""
    return {KEPT[name]: x.item() if name == "step" else double(x) for name, x in kept.items() if isinstance(x, Tensor)}


def double(x: Tensor) -> Array:
    """A tensor's own values in float64, in memory of their own."""
    return np.array(x.detach().double().numpy())
