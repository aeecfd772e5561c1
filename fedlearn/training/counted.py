"""Which targets count in a loss, and for how much: what a loss ignores is in no mean and in no share of right ones."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from fedlearn.autograd.places import check_range
from fedlearn.errors import BadInput
from fedlearn.nn.functional.arguments import constants
from fedlearn.nn.losses import CrossEntropyLoss, NLLLoss
from fedlearn.nn.module import Module
from fedlearn.wording import many

Rows = slice | np.ndarray


class Counted:
    """The targets (N, ...) that count in `loss`, a module that gives the mean or the sum over a batch.

    kept: True for each target that counts; None if all do. A whole-number target that equals the loss's `ignore_index`
    does not count. Raises `BadInput` for reduction="none", which gives no single number, and if no target counts.
    """

    def __init__(self, loss: Module, target: np.ndarray):
        if not isinstance(loss, Module):
            raise BadInput(f"loss is a {type(loss).__name__}: give a module, as nn.CrossEntropyLoss()")
        reduction = getattr(loss, "reduction", "mean")
        if reduction == "none":
            raise BadInput('the loss has reduction="none", one number is needed: give reduction="mean"')
        self._summed = reduction == "sum"
        self._target = target
        self.kept = self._kept(loss)
        self._shares = self._of_examples(loss)

    def mean(self, batches: Iterable[tuple[Rows, float]]) -> float:
        """The mean over some batches, each given as the numbers of its examples and its loss.

        It equals the loss of all examples at once. It is a mean per example, or per target that counts where some do
        not. It is weighted where `CrossEntropyLoss` or `NLLLoss` has weights of classes.
        """
        total = count = 0.0
        for rows, loss in batches:
            share = len(self._target[rows]) if self._shares is None else float(self._shares[rows].sum())
            if share:  # else the mean over nothing is nan
                total += loss if self._summed else loss * share
                count += share
        return total / count if count else np.nan

    def right(self, hits: np.ndarray) -> float:
        """The share of True among the targets that count; hits: truths of the targets' shape."""
        return float(np.mean(hits if self.kept is None else hits[self.kept]))

    def _kept(self, loss: Module) -> np.ndarray | None:
        ignored = getattr(loss, "ignore_index", None)
        if ignored is None or self._target.dtype.kind not in "iu":
            return None
        kept = np.asarray(self._target != ignored)
        if not kept.any():
            targets = many(kept.size, "target")
            raise BadInput(f"none of {targets} counts, since the loss ignores {ignored}: give others")
        return None if kept.all() else kept

    def _of_examples(self, loss: Module) -> np.ndarray | None:
        """How much each example counts, float64 (N,); None if all count alike."""
        target, kept = self._target, self.kept
        weight = loss.weight if isinstance(loss, CrossEntropyLoss | NLLLoss) and target.dtype.kind in "iu" else None
        if weight is None:
            each = kept
        else:
            of_classes = constants(weight, "the weight of classes")
            known = target if kept is None else np.where(kept, target, 0)
            check_range(known, len(of_classes), "target class")
            each = of_classes[known] if kept is None else np.where(kept, of_classes[known], 0)
        return None if each is None else each.reshape(len(target), -1).sum(axis=1, dtype=np.float64)
