"""Large arrays used again: a fresh one costs the machine a page fault for every 4 kB, a fifth of a step's time."""

from __future__ import annotations

import math
import sys
import threading
from typing import Any

import numpy as np

LARGE = 1 << 17  # bytes; below that the allocator keeps the memory itself
MOST = 24  # buffers remembered, the most recently used

_pool: list[np.ndarray] = []
_lock = threading.Lock()


def empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An array of anything, as `np.empty`, in memory that nobody refers to any more where there is some.

    Every view refers to the array that owns its memory, so a buffer is free again when the pool's
    reference is the only one left.
    """
    dtype = np.dtype(dtype)
    nbytes = math.prod(shape) * dtype.itemsize
    if nbytes < LARGE:
        return np.empty(shape, dtype)
    with _lock:
        for i in range(len(_pool)):
            if _pool[i].nbytes == nbytes and sys.getrefcount(_pool[i]) == 2:  # the pool's and the call's own
                _pool.append(_pool.pop(i))
                break
        else:
            _pool.append(np.empty(nbytes, np.uint8))
            del _pool[:-MOST]
        return _pool[-1].view(dtype).reshape(shape)


def zeros(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An array of zeros, in such memory."""
    array = empty(shape, dtype)
    array.fill(0)
    return array
