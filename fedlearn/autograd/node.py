"""What the record knows of a tensor: its numbers, and how they were made.

Ops read and make nodes; `Tensor` (tensor.py) is the node that users hold, with operators and methods. So the table of
ops stands below the class that it serves.
"""

from __future__ import annotations

import itertools
from typing import Any, ClassVar

import numpy as np

next_id = itertools.count(1).__next__  # one clock: of tensors as they are made, and of changes in place
FREED = ("freed",)  # stands in `_made` once a backward pass has let the inputs go


class Node:
    """An array, when it was made, and from what."""

    computed: ClassVar[type[Node]]  # the class of what ops make: `Tensor`, set where that is defined

    _data: np.ndarray
    _id: int
    _made: Any = None  # (op, inputs, their arrays, params, kept) once computed; None for a leaf
    _grad: Any = None
    _changed = 0  # these two: see watch.py
    _seen: tuple[int, int] | None = None
    requires_grad = False


def raw(x: Any) -> Any:
    """The array of a tensor; anything else as it is."""
    return x._data if isinstance(x, Node) else x
