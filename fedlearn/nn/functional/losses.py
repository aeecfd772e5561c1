"""Losses of numbers against numbers, and of probabilities; reduced to the mean, the sum, or not at all ("none")."""

from __future__ import annotations

from typing import Any

import numpy as np

from fedlearn.autograd import fused, ops
from fedlearn.autograd.node import raw
from fedlearn.checked import flag
from fedlearn.errors import BadInput
from fedlearn.nn.functional.arguments import finite, fits_into, floats, has_shape, real, same_shape

REDUCTIONS = ("mean", "sum", "none")
SMALLEST = 1e-12  # probabilities below it have the logarithm's slope here, as in PyTorch


def mse_loss(input: Any, target: Any, reduction: str = "mean", weight: Any = None) -> Any:
    """Squared differences of two tensors of one shape; `weight` multiplies them, and the mean is then weighted."""
    difference = _difference(input, target, "mse_loss", reduction)
    return _weighted(difference * difference, weight, reduction)


def l1_loss(input: Any, target: Any, reduction: str = "mean", weight: Any = None) -> Any:
    """Absolute differences of two tensors of one shape; `weight` as in `mse_loss`."""
    return _weighted(ops.abs_(_difference(input, target, "l1_loss", reduction)), weight, reduction)


def smooth_l1_loss(input: Any, target: Any, reduction: str = "mean", beta: float = 1.0) -> Any:
    """d^2 / (2 beta) for differences d below beta, |d| - beta / 2 beyond (Girshick 2015); beta 0 is `l1_loss`."""
    if real(beta, "smooth_l1_loss's beta", 0) == 0:
        return l1_loss(input, target, reduction)
    return reduced(_huber(_difference(input, target, "smooth_l1_loss", reduction), beta) / beta, reduction)


def huber_loss(input: Any, target: Any, reduction: str = "mean", delta: float = 1.0, weight: Any = None) -> Any:
    """d^2 / 2 for differences d below delta, delta (|d| - delta / 2) beyond (Huber 1964); `weight` multiplies them."""
    if real(delta, "huber_loss's delta", 0) == 0:
        raise BadInput("huber_loss's delta is 0: give a number above 0, or take l1_loss")
    losses = _huber(_difference(input, target, "huber_loss", reduction), delta)
    has_shape(weight, losses.shape, "huber_loss's weight")
    return reduced(losses if weight is None else losses * finite(floats(weight, "weight"), "weight"), reduction)


def _huber(difference: Any, delta: float) -> Any:
    far = np.abs(raw(difference)) >= delta
    inside = ops.where(far, 0.0, difference)
    return ops.where(far, delta * (ops.abs_(difference) - 0.5 * delta), 0.5 * (inside * inside))


def kl_div(input: Any, target: Any, reduction: str = "mean", log_target: bool = False) -> Any:
    """target (log target - input) for log-probabilities `input`; with `log_target` the target is given as logarithms.

    The reduction "batchmean" divides the sum by the length of the first axis: the divergence as defined.
    """
    x, target = floats(input, "kl_div's input"), floats(target, "kl_div's target")
    same_shape(x, target, "kl_div")
    if flag("log_target", log_target):
        losses = ops.exp(target) * (target - x)
    else:
        some = raw(target) != 0
        known = ops.where(some, target, 1.0)
        losses = ops.where(some, known * ops.log(known), 0.0) - target * x
    if isinstance(reduction, str) and reduction == "batchmean" and x.ndim:
        return reduced(losses, "sum") / len(x) if len(x) else reduced(losses, "mean")
    return reduced(losses, reduction)


def binary_cross_entropy_with_logits(
    input: Any, target: Any, weight: Any = None, reduction: str = "mean", pos_weight: Any = None
) -> Any:
    """-(t log p + (1 - t) log(1 - p)) for p = sigmoid(input); `pos_weight` multiplies the first term."""
    x, target = _both(input, target, "binary_cross_entropy_with_logits", reduction)
    fits_into(weight, x.shape, "binary_cross_entropy_with_logits's weight")
    fits_into(pos_weight, x.shape, "binary_cross_entropy_with_logits's pos_weight")
    if pos_weight is None:
        average = reduction == "mean" and weight is None and x.size
        losses = fused.bce_with_logits(x, target, average=x.ndim if average else 0)
        if average and x.ndim:
            return losses
    else:
        pos_weight = finite(floats(pos_weight, "pos_weight"), "pos_weight")
        losses = (1 - target) * ops.softplus(x) + pos_weight * target * ops.softplus(-x)
    return reduced(losses if weight is None else losses * finite(floats(weight, "weight"), "weight"), reduction)


def binary_cross_entropy(input: Any, target: Any, weight: Any = None, reduction: str = "mean") -> Any:
    """-(t log p + (1 - t) log(1 - p)) for probabilities `input`; logarithms are held above -100, as PyTorch's."""
    p, target = _both(input, target, "binary_cross_entropy", reduction)
    fits_into(weight, p.shape, "binary_cross_entropy's weight")
    for name, values in (("probabilities", raw(p)), ("targets", raw(target))):
        if values.size and not (values.min() >= 0 and values.max() <= 1):
            raise BadInput(f"binary_cross_entropy takes {name} in [0, 1]: for logits there is the with_logits form")
    losses = -(target * _bounded_log(p) + (1 - target) * _bounded_log(1 - p))
    return reduced(losses if weight is None else losses * finite(floats(weight, "weight"), "weight"), reduction)


def _bounded_log(p: Any) -> Any:
    """log p, at least -100; its slope is at most 1 / SMALLEST."""
    values = raw(p)
    small = values < SMALLEST
    value = np.log(np.where(values > 0, values, 1)) if small.any() else 0.0
    bounded = np.where(values > 0, np.maximum(value, -100), -100.0)
    return ops.where(small, (p - values) * (1 / SMALLEST) + bounded.astype(p.dtype), ops.log(ops.where(small, 1.0, p)))


def reduced(losses: Any, reduction: str) -> Any:
    """The mean of all losses, their sum, or the losses; the mean of none is nan, without a gradient."""
    check_reduction(reduction)
    if reduction == "none":
        return losses
    if reduction == "sum":
        return ops.sum_(losses)
    return ops.mean(losses) if losses.size else undefined(losses)


def undefined(losses: Any) -> Any:
    """nan, as 0 / 0 is; losses that count for nothing get gradients of 0."""
    return ops.sum_(ops.where(True, 0.0, losses)) + losses.dtype.type(np.nan)


def check_reduction(reduction: Any) -> None:
    if not isinstance(reduction, str) or reduction not in REDUCTIONS:
        raise BadInput(f"unknown reduction {reduction!r:.60}: choose {', '.join(REDUCTIONS)}")


def _weighted(losses: Any, weight: Any, reduction: str) -> Any:
    if weight is None:
        return reduced(losses, reduction)
    has_shape(weight, losses.shape, "the weight of the losses")
    weight = finite(floats(weight, "weight"), "weight")
    if reduction != "mean":
        return reduced(losses * weight, reduction)
    total = ops.sum_(weight)
    return reduced(losses * weight, "sum") / total if raw(total) else undefined(losses)


def _both(input: Any, target: Any, name: str, reduction: str) -> tuple[Any, Any]:
    check_reduction(reduction)
    x, target = floats(input, f"{name}'s input"), floats(target, f"{name}'s target")
    same_shape(x, target, name)
    return x, target


def _difference(input: Any, target: Any, name: str, reduction: str) -> Any:
    x, target = _both(input, target, name, reduction)
    return x - target
