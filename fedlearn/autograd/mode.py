"""Whether operations are recorded at all: `no_grad` switches recording off, for this thread only."""

from __future__ import annotations

import threading
from contextlib import ContextDecorator
from typing import Any


class _Mode(threading.local):
    recording = True


mode = _Mode()


class no_grad(ContextDecorator):  # noqa: N801 (PyTorch's name)
    """Within it nothing is recorded: results want no gradient. A `with` block or a decorator; may be nested."""

    def __init__(self) -> None:
        self.before: list[bool] = []

    def __enter__(self) -> None:
        self.before.append(mode.recording)
        mode.recording = False

    def __exit__(self, *_: Any) -> None:
        mode.recording = self.before.pop()
