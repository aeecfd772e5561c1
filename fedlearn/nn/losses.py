"""Losses as modules: what was predicted, what is true -> one number, or one each with reduction="none"."""

from __future__ import annotations

from typing import Any

from fedlearn.errors import BadInput
from fedlearn.nn import functional as F
from fedlearn.nn.functional.arguments import real, whole
from fedlearn.nn.functional.losses import check_reduction
from fedlearn.nn.module import Module


class _Loss(Module):
    reduction: str

    def _reduce_by(self, reduction: str) -> None:
        check_reduction(reduction)
        self.reduction = reduction


class MSELoss(_Loss):
    """Mean (or sum) of squared differences."""

    replayable = True

    def __init__(self, reduction: str = "mean"):
        self._reduce_by(reduction)

    def forward(self, input: Any, target: Any) -> Any:
        return F.mse_loss(input, target, self.reduction)


class L1Loss(_Loss):
    """Mean (or sum) of absolute differences."""

    def __init__(self, reduction: str = "mean"):
        self._reduce_by(reduction)

    def forward(self, input: Any, target: Any) -> Any:
        return F.l1_loss(input, target, self.reduction)


class SmoothL1Loss(_Loss):
    """Squared near 0, absolute from `beta` on; divided by beta, so that its slope ends at 1."""

    def __init__(self, reduction: str = "mean", beta: float = 1.0):
        self._reduce_by(reduction)
        self.beta = real(beta, "beta", 0)

    def forward(self, input: Any, target: Any) -> Any:
        return F.smooth_l1_loss(input, target, self.reduction, self.beta)


class HuberLoss(_Loss):
    """Half the square near 0, and from `delta` on a line of that slope."""

    def __init__(self, reduction: str = "mean", delta: float = 1.0):
        self._reduce_by(reduction)
        if not real(delta, "delta", 0):
            raise BadInput("delta is 0: give a number above 0, or take L1Loss")
        self.delta = delta

    def forward(self, input: Any, target: Any) -> Any:
        return F.huber_loss(input, target, self.reduction, self.delta)


class KLDivLoss(_Loss):
    """Kullback-Leibler divergence of log-probabilities; reduction="batchmean" is the divergence as defined."""

    def __init__(self, reduction: str = "mean", log_target: bool = False):
        if reduction != "batchmean":
            check_reduction(reduction)
        self.reduction = reduction
        self.log_target = log_target

    def forward(self, input: Any, target: Any) -> Any:
        return F.kl_div(input, target, self.reduction, self.log_target)


class BCEWithLogitsLoss(_Loss):
    """Binary cross-entropy of logits; targets in [0, 1] of the same shape."""

    replayable = True

    def __init__(self, weight: Any = None, reduction: str = "mean", pos_weight: Any = None):
        self.weight = weight
        self._reduce_by(reduction)
        self.pos_weight = pos_weight

    def forward(self, input: Any, target: Any) -> Any:
        return F.binary_cross_entropy_with_logits(input, target, self.weight, self.reduction, self.pos_weight)


class BCELoss(_Loss):
    """Binary cross-entropy of probabilities; targets in [0, 1] of the same shape."""

    def __init__(self, weight: Any = None, reduction: str = "mean"):
        self.weight = weight
        self._reduce_by(reduction)

    def forward(self, input: Any, target: Any) -> Any:
        return F.binary_cross_entropy(input, target, self.weight, self.reduction)


class NLLLoss(_Loss):
    """-input[target] for log-probabilities (N, C) or (N, C, d1...) and whole-number targets."""

    def __init__(self, weight: Any = None, ignore_index: int = -100, reduction: str = "mean"):
        self.weight = weight
        self.ignore_index = whole(ignore_index, "ignore_index")
        self._reduce_by(reduction)

    def forward(self, input: Any, target: Any) -> Any:
        return F.nll_loss(input, target, self.weight, self.ignore_index, self.reduction)


class CrossEntropyLoss(_Loss):
    """Cross-entropy of logits (N, C) or (N, C, d1...) and whole-number targets (N,) or (N, d1...), or probabilities."""

    replayable = True

    def __init__(
        self,
        weight: Any = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ):
        self.weight = weight
        self.ignore_index = whole(ignore_index, "ignore_index")
        self._reduce_by(reduction)
        self.label_smoothing = real(label_smoothing, "label_smoothing", 0, 1)

    def forward(self, input: Any, target: Any) -> Any:
        return F.cross_entropy(input, target, self.weight, self.ignore_index, self.reduction, self.label_smoothing)
