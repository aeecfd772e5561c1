"""Tests of the bridge need Flower, whose pins are not ours: an environment of its own has it, see `make flower`."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from importlib.util import find_spec

import pytest

collect_ignore_glob = [] if find_spec("flwr") else ["test_[!v]*.py"]


@pytest.fixture(autouse=True)
def _no_process_is_left() -> Iterator[None]:
    """A run ends the processes that it starts, whichever way it went."""
    yield
    assert not multiprocessing.active_children()
