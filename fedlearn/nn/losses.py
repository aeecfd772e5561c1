"""Losses as modules: what was predicted, what is true -> one number, or one each with reduction="none"."""

from __future__ import annotations

from typing import Any

from fedlearn.nn import functional as F
from fedlearn.nn.module import Module


class MSELoss(Module):
    """Mean (or sum) of squared differences."""

    def __init__(self, reduction: str = "mean"):
        self.reduction = reduction

    def forward(self, input: Any, target: Any) -> Any:
        return F.mse_loss(input, target, self.reduction)


class BCEWithLogitsLoss(Module):
    """Binary cross-entropy of logits; targets in [0, 1] of the same shape."""

    def __init__(self, weight: Any = None, reduction: str = "mean", pos_weight: Any = None):
        self.weight = weight
        self.reduction = reduction
        self.pos_weight = pos_weight

    def forward(self, input: Any, target: Any) -> Any:
        return F.binary_cross_entropy_with_logits(input, target, self.weight, self.reduction, self.pos_weight)


class BCELoss(Module):
    """Binary cross-entropy of probabilities; targets in [0, 1] of the same shape."""

    def __init__(self, weight: Any = None, reduction: str = "mean"):
        self.weight = weight
        self.reduction = reduction

    def forward(self, input: Any, target: Any) -> Any:
        return F.binary_cross_entropy(input, target, self.weight, self.reduction)


class NLLLoss(Module):
    """-input[target] for log-probabilities (N, C) or (N, C, d1...) and whole-number targets."""

    def __init__(self, weight: Any = None, ignore_index: int = -100, reduction: str = "mean"):
        self.weight = weight
        self.ignore_index = ignore_index
        self.reduction = reduction

    def forward(self, input: Any, target: Any) -> Any:
        return F.nll_loss(input, target, self.weight, self.ignore_index, self.reduction)


class CrossEntropyLoss(Module):
    """Cross-entropy of logits (N, C) or (N, C, d1...) and whole-number targets (N,) or (N, d1...)."""

    def __init__(
        self,
        weight: Any = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ):
        self.weight = weight
        self.ignore_index = ignore_index
        self.reduction = reduction
        self.label_smoothing = label_smoothing

    def forward(self, input: Any, target: Any) -> Any:
        return F.cross_entropy(input, target, self.weight, self.ignore_index, self.reduction, self.label_smoothing)
