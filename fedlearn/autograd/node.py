"""The record's entry for a tensor: its numbers, and how they were made.

Ops read and make nodes; `Tensor` (tensor.py) is the node that users hold, with operators and methods. So the table of
ops stands below the class that it serves.
"""

from __future__ import annotations

import itertools
from typing import Any, ClassVar

import numpy as np

next_id = itertools.count(1).__next__  # one clock: of tensors as they are made, and of changes in place
FREED = ("freed",)  # stands in `_made` once a backward pass has let the inputs go


class Memory:
    """Numbers that several tensors may show, and when they were last changed in place (see watch.py)."""

    __slots__ = ("array", "changed", "seen")

    def __init__(self, array: np.ndarray):
        self.array = array
        self.changed = 0
        self.seen: tuple[int, int] | None = None  # when the array was last given out, and its checksum then


class Node:
    """An array, when it was made, and from what."""

    computed: ClassVar[type[Node]]  # the class of what ops make: `Tensor`, set where that is defined

    _data: np.ndarray
    _id: int
    _made: Any = None  # (op, inputs, their arrays, params, kept) once computed; None for a leaf
    _past: Node | None = None  # what it was before a recorded change in place
    _grad: Any = None
    _memory: Memory | None = None  # shared by all tensors that show the same memory; None where nobody asked yet
    _wanted = False  # whether a gradient of it is: `requires_grad`, as users see it


def raw(x: Any) -> Any:
    """The array of a tensor; anything else as it is."""
    return x._data if isinstance(x, Node) else x
