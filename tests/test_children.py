"""How a child process ended, as whoever waits for it is told."""

from __future__ import annotations

import os
import time
from multiprocessing import get_context

import pytest

from fedlearn.children import end_of, said_of


@pytest.mark.parametrize(("target", "argument", "how"), [
    (os._exit, 0, "exit status 0"), (os._exit, 3, "exit status 3"), (time.sleep, 100, "SIGKILL"),
])  # fmt: skip
def test_a_process_is_waited_for_then_killed_and_how_it_ended_is_said(target, argument, how):
    process = get_context("fork").Process(target=target, args=(argument,), name="child")
    process.start()
    patience = 0.01 if target is time.sleep else 100
    assert end_of(process, patience) == how
    assert said_of(process, 0.0) == f"child (pid {process.pid}) ended by {how}"
    assert not process.is_alive()
