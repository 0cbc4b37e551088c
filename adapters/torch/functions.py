"""PyTorch's activations and losses by the reference's names, as anyone would call them."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

# Parameters come by the names they have in reference.activations and reference.losses.
ACTIVATIONS: dict[str, Callable[..., Tensor]] = {
    "identity": lambda z: z,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "logsigmoid": F.logsigmoid,
    "softplus": lambda z, beta: F.softplus(z, beta=beta),
    "silu": F.silu,
    "mish": F.mish,
    "tanhshrink": F.tanhshrink,
    "gelu": F.gelu,
    "gelu_tanh": lambda z: F.gelu(z, approximate="tanh"),
    "softsign": F.softsign,
    "elu": lambda z, alpha: F.elu(z, alpha=alpha),
    "selu": F.selu,
    "celu": lambda z, alpha: F.celu(z, alpha=alpha),
    "relu": F.relu,
    "leaky_relu": lambda z, slope: F.leaky_relu(z, negative_slope=slope),
    "relu6": F.relu6,
    "hardtanh": F.hardtanh,
    "hardsigmoid": F.hardsigmoid,
    "hardswish": F.hardswish,
    "softshrink": lambda z, threshold: F.softshrink(z, lambd=threshold),
    "hardshrink": lambda z, threshold: F.hardshrink(z, lambd=threshold),
    "softmax": lambda z: F.softmax(z, dim=1),
    "log_softmax": lambda z: F.log_softmax(z, dim=1),
}

Function = Callable[..., Tensor]


def averaged(loss: Function) -> tuple[Function, Function]:
    """A loss of F that takes `reduction`: "mean" divides by N n, so n times it is L; "none" is summed over t."""

    def total(p: Tensor, y: Tensor, **parameters: float) -> Tensor:
        return loss(p, y, reduction="mean", **parameters) * y.shape[1]

    def partial(p: Tensor, y: Tensor, **parameters: float) -> Tensor:
        return loss(p, y, reduction="none", **parameters).sum(dim=1)

    return total, partial


def of_samples(loss: Function) -> tuple[Function, Function]:
    """A loss that gives one number a sample: L is their mean."""
    return lambda p, y, **parameters: loss(p, y, **parameters).mean(), loss


def classes(y: Tensor) -> Tensor:
    """The index of each sample's class."""
    return y.argmax(dim=1)


def hinge(a: Tensor, y: Tensor, reduction: str) -> Tensor:
    """max(0, −y (a − 0) + 1)"""
    return F.margin_ranking_loss(a, torch.zeros_like(a), y, margin=1.0, reduction=reduction)


LOSSES: dict[str, tuple[Function, Function]] = {
    # name: (L by the framework's own reduction, L_i of every sample)
    "half_squared_error": averaged(lambda a, y, reduction: F.mse_loss(a, y, reduction=reduction) / 2),
    "mean_squared_error": (F.mse_loss, lambda a, y: F.mse_loss(a, y, reduction="none").mean(dim=1)),
    "absolute_error": averaged(F.l1_loss),
    "huber": averaged(F.huber_loss),
    "smooth_l1": averaged(F.smooth_l1_loss),
    "gaussian_nll": averaged(
        lambda a, y, reduction, variance: F.gaussian_nll_loss(
            a, y, torch.full_like(a, variance), full=True, reduction=reduction
        )
    ),
    "hinge": averaged(hinge),
    "squared_hinge": of_samples(lambda a, y: hinge(a, y, "none").square().sum(dim=1)),
    "poisson_nll": averaged(lambda a, y, reduction: F.poisson_nll_loss(a, y, log_input=True, reduction=reduction)),
    "cosine_distance": of_samples(lambda a, y: 1 - F.cosine_similarity(a, y, dim=1)),
    "binary_cross_entropy": averaged(F.binary_cross_entropy),
    "binary_cross_entropy_on_logits": averaged(F.binary_cross_entropy_with_logits),
    # torch has no categorical cross-entropy on probabilities with soft labels: its xlogy is the closest it offers
    "categorical_cross_entropy": of_samples(lambda a, y: -torch.special.xlogy(y, a).sum(dim=1)),
    "categorical_cross_entropy_on_logits": (F.cross_entropy, lambda z, y: F.cross_entropy(z, y, reduction="none")),
    "categorical_cross_entropy_with_classes": (
        lambda z, y: F.cross_entropy(z, classes(y)),
        lambda z, y: F.cross_entropy(z, classes(y), reduction="none"),
    ),
    "smoothed_cross_entropy_on_logits": (
        lambda z, y, smoothing: F.cross_entropy(z, y, label_smoothing=smoothing),
        lambda z, y, smoothing: F.cross_entropy(z, y, label_smoothing=smoothing, reduction="none"),
    ),
    "negative_log_likelihood": (
        lambda a, y: F.nll_loss(a, classes(y)),
        lambda a, y: F.nll_loss(a, classes(y), reduction="none"),
    ),
    # "mean" would divide by N n: "batchmean" is the mean that (1) asks for
    "kullback_leibler": (
        lambda a, y: F.kl_div(a, y, reduction="batchmean"),
        lambda a, y: F.kl_div(a, y, reduction="none").sum(dim=1),
    ),
}
