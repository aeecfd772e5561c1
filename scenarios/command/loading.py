"""Loading what a command needs: modules, classes and functions, which stay for good.

Python's collector of unused objects would go through all of them a hundred times while they are made, and through each
again whenever it looks at everything.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

MANY = 50  # modules: after fewer it is not worth it


@contextmanager
def loading() -> Iterator[None]:
    """Meanwhile nothing is collected; what is there at the end is never looked through again, if much was loaded."""
    before, collecting = len(sys.modules), gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if len(sys.modules) - before > MANY:
            gc.freeze()
        if collecting:
            gc.enable()
