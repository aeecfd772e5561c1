"""Memory that a forked child must not use: secrets that serve once, and locks whose holders it does not have.

A child is told by `os.register_at_fork`, not by its process number, which repeats in another PID namespace. Forks that
Python does not make (a C library's own) are not noticed.
"""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Forgetful(Protocol):
    """Something with state that must not be used in two processes."""

    def forget(self) -> None:
        """Replace locks, drop secrets. Runs first thing in a forked child, where there is one thread."""


_known: weakref.WeakSet[Forgetful] = weakref.WeakSet()


def forget_in_children(thing: Forgetful) -> None:
    """Have `thing.forget()` called in every child that is forked from now on, as long as `thing` lives."""
    _known.add(thing)


def _forget_all() -> None:
    for thing in list(_known):
        thing.forget()


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_forget_all)
