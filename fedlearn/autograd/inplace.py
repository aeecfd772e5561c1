"""Changes in place: `t[...] = value`, `t += value` and their kin. Never lost without a word.

Where nothing is to be recorded, the tensor's own memory is changed, and the change is announced (watch.py). Where the
tensor or the value wants a gradient, the change is an op like any other: the same Tensor object goes on as its result,
in new memory, so that what others have recorded of the old numbers stays right. What is written into a view, as in
`t[0][1] = v`, reaches the tensor that it shows, or is refused where a backward pass has freed what the view was made
from. A tensor that the user made with requires_grad=True is changed within `no_grad()` only, as in PyTorch.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from fedlearn.autograd import watch
from fedlearn.autograd.arrays import refuse_other_than_numbers
from fedlearn.autograd.graph import Op
from fedlearn.autograd.mode import mode
from fedlearn.autograd.node import FREED, Node, next_id, raw
from fedlearn.autograd.ops import astype, reshape, setitem
from fedlearn.checked import as_array
from fedlearn.errors import BadInput, FedlearnError, GraphError, ShapeError


def update(target: Any, op: Op, other: Any) -> Any:
    """`target op= other`; the shape and the precision of `target` stay."""
    recorded = mode.recording and (target._wanted or wants_gradient(other))
    if recorded and target._wanted and target._made is None:
        raise GraphError(
            f"a {target._data.shape} tensor with requires_grad=True is changed in place while operations are recorded: "
            "do it within no_grad()"
        )
    before = _twin(target)
    result = op(before, other)
    if result._data.shape != target._data.shape:
        raise ShapeError(f"{op} in place gives {result._data.shape}, which does not go into {target._data.shape}")
    if not np.can_cast(result._data.dtype, target._data.dtype, "same_kind"):
        raise BadInput(f"{op} in place gives {result._data.dtype}, which does not go into {target._data.dtype}")
    if not recorded:
        _overwrite(target, ..., result._data)
    else:
        _go_on_as(target, before, result)
    return target


def write(target: Any, index: Any, value: Any) -> None:
    """`target[index] = value`, for a plain index."""
    if not (mode.recording and (wants_gradient(value) or target._made is not None)):
        _overwrite(target, index, raw(value))
        return
    if target._wanted and target._made is None:
        raise GraphError(
            f"a computed value is written into a {target._data.shape} tensor with requires_grad=True: "
            "it cannot be both what is differentiated and a result"
        )
    if target._made is None and target._memory is not None and target._memory.array is not target._data:
        raise GraphError(
            f"a value that wants a gradient is written into a {target._data.shape} view of a tensor that has none: "
            "write into that tensor itself, as t[0, 1] = value, or into clone() of the view"
        )
    if target._data.dtype.kind != "f":
        raise BadInput(f"a value that wants a gradient is written into a {target._data.dtype} tensor: make it float32")
    if isinstance(value, Node):
        if _shown(value) is target and value._made[3] == {"index": index}:
            return  # t[0] += v has reached t through the view t[0]
        room = _at(target, index).ndim
        if value._data.ndim > room:  # leading axes of 1 do not count
            value = reshape(value, shape=value._data.shape[value._data.ndim - room :])
    before = _twin(target)
    _go_on_as(target, before, setitem(before, value, index=index))


def _at(target: Any, index: Any) -> Any:
    try:
        return target._data[index]
    except (IndexError, ValueError) as error:
        raise ShapeError(f"[{index}] is no place in a tensor of shape {target._data.shape}: {error}") from error


def wants_gradient(value: Any) -> bool:
    """True where a Tensor, or one within nested lists, wants a gradient."""
    if isinstance(value, Node):
        return value._wanted
    return isinstance(value, list | tuple) and any(wants_gradient(part) for part in value)


def _overwrite(target: Any, index: Any, value: Any) -> None:
    if target._made is not None:
        raise GraphError(
            "a computed tensor cannot be written to unrecorded: its history would not explain it; detach() it"
        )
    try:
        if not isinstance(value, float | int):
            value = as_array("the numbers to write", value)
            refuse_other_than_numbers(value)
        whole = target._data.dtype.kind not in "iu" or bool(np.all(np.abs(value) < 2.0**63))
        if whole:
            mode.quietly(operator.setitem, target._data, index, value)
    except FedlearnError:
        raise
    except (ValueError, IndexError, TypeError, OverflowError) as error:
        raise ShapeError(f"{np.shape(value)} does not go into {target._data.shape}[{index}]: {error}") from error
    if not whole:
        raise BadInput(
            f"nan, infinity or a number beyond 2^63 is written into a {target._data.dtype} tensor: it holds whole "
            "numbers"
        )
    watch.announce([target], next_id())


def _twin(target: Any) -> Any:
    """The tensor as it is now, for what is recorded of it from now on."""
    twin = Node.computed.__new__(Node.computed)
    twin.__dict__.update(target.__dict__)
    return twin


def _go_on_as(target: Any, before: Any, result: Any) -> None:
    if type(target) is not Node.computed:
        raise GraphError(f"a recorded value is written into a {type(target).__name__}: it holds plain numbers only")
    if result._data.dtype != target._data.dtype:
        result = astype(result, dtype=target._data.dtype)
    memory = before._memory
    if before._made is FREED and memory is not None and memory.array is not before._data:
        raise GraphError(
            f"a view {target._data.shape} is changed in place after a backward pass freed its graph: it is not known "
            "any more which tensor it shows; write into that tensor itself, or into clone() of the view"
        )
    source = _shown(before)
    if source is not None:
        result = _write_through(before, source, result)
    target.__dict__.update({"_memory": None, **result.__dict__, "_past": before})


def _shown(view: Any) -> Any:
    """The tensor whose memory a recorded view shows, as long as it does; else None."""
    if view._made is None or view._made is FREED:
        return None
    op, inputs, *_ = view._made
    if not op.view or len(inputs) != 1 or not watch.is_shared(view._data, inputs[0]._data):
        return None
    return inputs[0]


def _write_through(view: Any, source: Any, value: Any) -> Any:
    """`value` in the places of `source` that the view shows; the view of what `source` is then."""
    if source._made is None:
        raise GraphError(
            f"a view of a {source._data.shape} tensor with requires_grad=True is changed in place while operations are "
            "recorded: write into that tensor itself, within no_grad(), or into clone() of the view"
        )
    op, _, values, params, kept = view._made
    places = op.forward(np.arange(source._data.size).reshape(source._data.shape), **params)
    before = _twin(source)
    view._made = (op, (before,), values, params, kept)  # of `source` itself it would be a circle
    flat = reshape(before, shape=(source._data.size,))
    _go_on_as(source, before, reshape(setitem(flat, value, index=places), shape=source._data.shape))
    return op(source, **params)
