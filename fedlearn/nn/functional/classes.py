"""Losses of scores for classes: cross-entropy, and the negative log-likelihood that it is made of."""

from __future__ import annotations

from typing import Any

import numpy as np

from fedlearn.autograd import fused, ops
from fedlearn.autograd.node import raw
from fedlearn.autograd.places import all_below, check_range, indices
from fedlearn.checked import as_array
from fedlearn.errors import BadInput, ShapeError
from fedlearn.nn.functional.arguments import (
    constants,
    finite,
    floats,
    has_shape,
    real,
    same_shape,
    whole,
)
from fedlearn.nn.functional.losses import check_reduction, reduced, undefined


def nll_loss(input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: str = "mean") -> Any:
    """-input[target] for log-probabilities; shapes, weights and ignored targets as in `cross_entropy`."""
    check_reduction(reduction)
    logp, target = _classes_last(floats(input, "nll_loss's input"), indices(target, "target"), "nll_loss")
    known, kept = _known(target, ignore_index, logp.shape[-1])
    losses = -ops.pick(logp, index=known)
    return _shared(losses, _share(known, kept, weight, logp), kept, reduction)


def cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Any:
    """-log softmax(input)[target] for logits (N, C) and whole numbers (N,), or (N, C, d1...) and (N, d1...).

    Without a batch, logits (C,) and one whole number. A target of `ignore_index` counts for nothing, and where all
    are ignored the mean is nan and the gradient 0; `weight` (C,) weighs the classes, and the mean is then weighted;
    `label_smoothing` is the share of a target spread evenly over all classes. Floating-point targets of the logits'
    shape are probabilities of the classes. Raises `BadInput` for a target or a share out of range.
    """
    check_reduction(reduction)
    smoothing = 0.0 if label_smoothing == 0.0 else real(label_smoothing, "label_smoothing", 0, 1)
    logits = floats(input, "cross_entropy's input")
    if (target if type(target) is np.ndarray else as_array("target", raw(target))).dtype.kind == "f":
        return _against_probabilities(logits, floats(target, "target"), weight, reduction, smoothing)
    logits, target = _classes_last(logits, indices(target, "target"), "cross_entropy")
    known, kept = _known(target, ignore_index, logits.shape[-1])
    if kept is not None:
        logits = ops.where(kept[..., None], logits, 0.0)
    share = _share(known, kept, weight, logits)
    if share is None and reduction == "mean" and known.size:
        if known.ndim != 1:
            logits, known = logits.reshape(-1, logits.shape[-1]), known.reshape(-1)
        return fused.cross_entropy(logits, target=known, smoothing=smoothing, average=True)
    if weight is None or not smoothing:
        return _shared(_each(logits, known, smoothing), share, kept, reduction)
    logp = ops.log_softmax(logits, axis=-1)
    spread = -(logp * _of_classes(weight)).sum(axis=-1)
    losses = (1 - smoothing) * (-ops.pick(logp, index=known) * share) + smoothing / logp.shape[-1] * spread
    if kept is not None:
        losses = ops.where(kept, losses, 0.0)
    if reduction != "mean":
        return reduced(losses, reduction)
    total = share.sum()  # type: ignore[union-attr]
    return reduced(losses, "sum") / total if total else undefined(losses)


def _each(logits: Any, target: np.ndarray, smoothing: float) -> Any:
    """The loss of each target."""
    if not target.ndim:
        return fused.cross_entropy(ops.unsqueeze(logits, 0), target=target[None], smoothing=smoothing)[0]
    if not target.size:
        return logits.sum(axis=-1)
    return fused.cross_entropy(logits, target=target, smoothing=smoothing)


def _against_probabilities(logits: Any, target: Any, weight: Any, reduction: str, smoothing: float) -> Any:
    if target.ndim == logits.ndim - 1:
        raise BadInput(
            f"cross_entropy's target is {target.dtype}, which is read as probabilities of the input's shape: "
            "give classes as whole numbers, as target.long()"
        )
    same_shape(logits, target, "cross_entropy against probabilities")
    if not logits.ndim:
        raise ShapeError("cross_entropy takes logits (C,), (N, C) or (N, C, d1...), not a single number")
    logits, target = _channels_last(logits), _channels_last(target)
    classes = logits.shape[-1]
    has_shape(weight, (classes,), "cross_entropy's weight, one number a class,")
    if smoothing:
        target = target * (1 - smoothing) + smoothing / classes
    terms = target * ops.log_softmax(logits, axis=-1)
    losses = -(terms if weight is None else terms * _of_classes(weight)).sum(axis=-1)
    return reduced(losses, reduction)


def _known(target: np.ndarray, ignore_index: Any, classes: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Targets with 0 for the ignored ones, and where they are kept; None if all are."""
    usual = type(ignore_index) is int and ignore_index < 0
    ignored = ignore_index if usual else whole(ignore_index, "ignore_index")
    if ignored < 0 and target.size and all_below(target, classes):
        return target, None
    kept = np.asarray(target != ignored)
    known = np.where(kept, target, 0).astype(np.int64)
    check_range(known, classes, "target class")
    return known, None if kept.all() else kept


def _share(known: np.ndarray, kept: np.ndarray | None, weight: Any, logits: Any) -> np.ndarray | None:
    """The weight of each loss, by its class and by whether it is ignored; None if every weight is 1."""
    if weight is None:
        return None if kept is None else kept.astype(logits.dtype)
    has_shape(weight, logits.shape[-1:], "the weight of classes, one number each,")
    share = _of_classes(weight)[known]
    return share if kept is None else np.where(kept, share, 0).astype(share.dtype)


def _of_classes(weight: Any) -> np.ndarray:
    found: np.ndarray = finite(constants(weight, "the weight of classes"), "the weight of classes")
    return found


def _shared(losses: Any, share: np.ndarray | None, kept: np.ndarray | None, reduction: str) -> Any:
    """Losses (...) reduced, each counting for its share."""
    if kept is not None:
        losses = ops.where(kept, losses, 0.0)
    if share is None:
        return reduced(losses, reduction)
    if reduction != "mean":
        return reduced(losses * share, reduction)
    total = share.sum()
    return reduced(losses * share, "sum") / total if total else undefined(losses)


def _channels_last(x: Any) -> Any:
    return ops.transpose(x, axes=(0, *range(2, x.ndim), 1)) if x.ndim > 2 else x


def _classes_last(logits: Any, target: np.ndarray, name: str) -> tuple[Any, np.ndarray]:
    logits = _channels_last(logits)
    shape = logits.shape
    if not shape or shape[:-1] != target.shape:
        raise ShapeError(f"{name}: logits {shape} (classes last) do not fit targets of shape {target.shape}")
    if not shape[-1] and target.size:
        raise BadInput(f"{name}: logits {shape} have no class (classes last): give one or more")
    return logits, target
