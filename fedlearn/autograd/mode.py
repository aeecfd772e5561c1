"""How operations run in this thread: whether they are recorded, and without NumPy's floating-point warnings."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from contextlib import ContextDecorator
from inspect import iscoroutinefunction, isgeneratorfunction
from typing import Any

import numpy as np

from fedlearn.errors import BadInput


class _Mode(threading.local):
    recording = True
    replaying = True

    def __init__(self) -> None:
        # 1/0 is inf and 0/0 is nan without a warning, as in PyTorch. NumPy keeps its settings in a context variable;
        # running in a context of our own costs a twentieth of what `np.errstate` does.
        context = contextvars.copy_context()
        context.run(np.seterr, all="ignore")
        self.quietly: Callable[..., Any] = context.run


mode = _Mode()


def plainly(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Stands for `mode.quietly` where the context is entered already: within a backward pass."""
    return function(*args, **kwargs)


def all_quietly(function: Callable[[], Any]) -> Any:
    """Calls the function, and whatever ops it calls, in one context without warnings."""
    before = mode.quietly
    mode.quietly = plainly
    try:
        return before(function)
    finally:
        mode.quietly = before


class _Recording(ContextDecorator):
    """Recording switched on or off within a `with` block or a decorated function; may be nested."""

    recording: bool

    def __new__(cls, function: Callable[..., Any] | None = None) -> Any:
        """Of a function, as `@no_grad` without brackets gives it, the decorated function."""
        if function is None:
            return super().__new__(cls)
        if not callable(function):
            raise BadInput(f"{cls.__name__} takes a function to decorate, or nothing, not {function!r:.60}")
        return cls()(function)

    def __init__(self) -> None:
        self.before: list[bool] = []

    def __call__(self, function: Callable[..., Any]) -> Any:
        if isgeneratorfunction(function) or iscoroutinefunction(function):
            name = type(self).__name__
            raise BadInput(f"{name} would end before {function.__name__}() computes: write `with {name}():` within it")
        return super().__call__(function)

    def __enter__(self) -> None:
        self.before.append(mode.recording)
        mode.recording = self.recording

    def __exit__(self, *_: Any) -> None:
        mode.recording = self.before.pop()


class no_grad(_Recording):  # noqa: N801 (PyTorch's name)
    """Within it nothing is recorded: results want no gradient. A `with` block or a decorator; may be nested."""

    recording = False


class enable_grad(_Recording):  # noqa: N801 (PyTorch's name)
    """Within it operations are recorded again, as outside of any `no_grad`."""

    recording = True


class no_replay(ContextDecorator):  # noqa: N801 (as no_grad)
    """Within it every backward pass is found out anew: the same bits, slower. A `with` block or a decorator."""

    def __init__(self) -> None:
        self.before: list[bool] = []

    def __enter__(self) -> None:
        self.before.append(mode.replaying)
        mode.replaying = False

    def __exit__(self, *_: Any) -> None:
        mode.replaying = self.before.pop()
