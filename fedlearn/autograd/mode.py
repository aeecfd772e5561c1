"""Whether operations are recorded at all: `no_grad` switches recording off, for this thread only."""

from __future__ import annotations

import threading
from contextlib import ContextDecorator
from typing import Any


class _Mode(threading.local):
    recording = True


mode = _Mode()


class recording(ContextDecorator):  # noqa: N801 (reads as a statement)
    """Within it, operations are recorded or not, as told. A `with` block or a decorator; may be nested."""

    def __init__(self, on: bool):
        self.on = on
        self.before: list[bool] = []

    def __enter__(self) -> None:
        self.before.append(mode.recording)
        mode.recording = self.on

    def __exit__(self, *_: Any) -> None:
        mode.recording = self.before.pop()


class no_grad(recording):  # noqa: N801 (PyTorch's name)
    """Within it nothing is recorded: results want no gradient. A `with` block or a decorator."""

    def __init__(self) -> None:
        super().__init__(False)
