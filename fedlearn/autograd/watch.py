"""In-place changes: noticed, so that a backward pass never runs on numbers that are no longer there.

A vjp reads the arrays of its inputs after the fact. Whoever writes into one of them in between would get wrong
gradients without a word. The engine itself never writes; a user does: by `tensor[...] = value` or `tensor -= value`, by
an optimizer's step, or through the array that `tensor.data` or `module.vector` gave out. The first two announce the
change to the memory that they wrote into, which a tensor shares with its views and with what `detach()` made of it. For
an array given out, a checksum is taken at that moment; if it differs later, the array was changed after that moment.
`tensor.numpy()` gives a read-only view and costs nothing.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable

import numpy as np

from fedlearn.autograd.node import Memory, Node
from fedlearn.errors import GraphError

# When any array was last given out or announced as changed, on the clock that also numbers tensors.
# A tensor made after that has nothing to check.
latest = 0


def announce(tensors: Iterable[Node], now: int) -> None:
    """These tensors' numbers have just been changed."""
    global latest
    latest = now
    for tensor in tensors:
        memory = tensor._memory
        if memory is None or memory.array is not tensor._data:
            memory = memory_of(tensor)
        memory.changed = now
        memory.seen = None


def look(tensor: Node, now: int) -> None:
    """The tensor's array is about to be given out: remember what it holds."""
    global latest
    latest = now
    memory = memory_of(tensor)
    checksum = _checksum(memory.array)
    if memory.seen is not None and memory.seen[1] != checksum:
        memory.changed = memory.seen[0]
    memory.seen = (now, checksum)


def memory_of(tensor: Node) -> Memory:
    """The facts about the tensor's memory; made anew where its numbers have moved, as into a module's vector."""
    memory = tensor._memory
    if memory is None or not is_shared(tensor._data, memory.array):
        memory = tensor._memory = Memory(tensor._data)
    return memory


def share(view: Node, source: Node) -> None:
    """`view` may show the memory of `source`: then a change of one is a change of the other."""
    array, memory = source._data, source._memory
    if memory is None or memory.array is not array:
        if not is_shared(view._data, array):
            return
        memory = memory_of(source)
    elif view._data.base is not array and not is_shared(view._data, array):
        return
    view._memory = memory


def is_shared(array: np.ndarray, other: np.ndarray) -> bool:
    """True where two arrays show the same memory; the answer is mostly found without comparing addresses."""
    base = array.base
    if array is other or base is other or other.base is array:
        return True
    return base is not None and (base is other.base or np.may_share_memory(array, other))


def refuse_stale(made: Node) -> None:
    """Raise `GraphError` if `made` or what it was made from has changed since it was made."""
    op, inputs, *_ = made._made
    for x in (made, *inputs):
        if isinstance(x, Node) and x._memory is not None and _changed_since(x._memory, made._id):
            raise GraphError(
                f"a {x._data.shape} tensor that the backward pass of {op} needs was changed in place "
                "after it was used: change it after backward(), or run the forward pass again"
            )


def _changed_since(memory: Memory, moment: int) -> bool:
    if memory.seen is not None and memory.seen[0] > moment and _checksum(memory.array) != memory.seen[1]:
        return True
    return memory.changed > moment


def _checksum(array: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(array).data)
