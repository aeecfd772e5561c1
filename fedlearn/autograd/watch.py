"""In-place changes: noticed, so that a backward pass never runs on numbers that are no longer there.

A vjp reads the arrays of its inputs after the fact. Whoever writes into one of them in between would get
wrong gradients without a word. The engine itself never writes; a user does, by `tensor[...] = value`, by
an optimizer's step, or through the array that `tensor.data` or `module.vector` gave out. The first two
announce the change. For an array given out, a checksum is taken at that moment; if it differs later, the
array was changed after that moment. `tensor.numpy()` gives a read-only view and costs nothing.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import numpy as np

from fedlearn.autograd.node import Node
from fedlearn.errors import GraphError

# When any array was last given out or announced as changed, on the clock that also numbers tensors.
# A tensor made after that has nothing to check.
latest = 0


def announce(tensor: Node, now: int) -> None:
    """The tensor's numbers have just been changed."""
    global latest
    latest = now
    tensor._changed = now
    tensor._seen = None


def look(tensor: Node, now: int) -> None:
    """The tensor's array is about to be given out: remember what it holds."""
    global latest
    latest = now
    for t in _memory_of(tensor):
        checksum = _checksum(t)
        if t._seen is not None and t._seen[1] != checksum:
            t._changed = t._seen[0]
        t._seen = (now, checksum)


def refuse_stale(made: Node) -> None:
    """Raise `GraphError` if `made` or what it was made from has changed since it was made."""
    op, inputs, *_ = made._made
    for x in (made, *inputs):
        if isinstance(x, Node) and any(_changed_since(t, made._id) for t in _memory_of(x)):
            raise GraphError(
                f"a {x._data.shape} tensor that the backward pass of {op.name} needs was changed in place "
                "after it was used: change it after backward(), or run the forward pass again"
            )


def _changed_since(tensor: Node, moment: int) -> bool:
    if tensor._seen is not None and tensor._seen[0] > moment and _checksum(tensor) != tensor._seen[1]:
        return True
    return tensor._changed > moment


def _memory_of(tensor: Node) -> Iterator[Node]:
    """The tensor and, where it is a view, those whose memory it shows."""
    yield tensor
    while tensor._made is not None and tensor._made[1:]:
        source = next(x for x in tensor._made[1] if isinstance(x, Node))
        if not np.may_share_memory(tensor._data, source._data):
            return
        tensor = source
        yield tensor


def _checksum(tensor: Node) -> int:
    return zlib.crc32(np.ascontiguousarray(tensor._data).data)
