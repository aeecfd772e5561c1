"""Signals that end a run: the first unwinds it, those while it unwinds are ignored, and none is lost for good."""

from __future__ import annotations

import signal
import subprocess
import sys

HEAD = """
import os, signal
from scenarios.command.interrupts import interruptible

def struck():
    os.kill(os.getpid(), signal.SIGTERM)
"""
TWICE = """
with interruptible():
    try:
        struck()
    finally:
        struck()
        print("ended in good order")
"""
FINALIZED = """
class Finalized:
    def __del__(self):
        struck()  # raises, and Python ignores that

with interruptible():
    Finalized()
    print("went on")
    struck()
    print("was not stopped")
"""


def test_a_signal_unwinds_the_run_and_others_do_not_disturb_that():
    assert _printed(TWICE) == "ended in good order"


def test_a_signal_within_a_finalizer_is_followed_by_the_next():
    assert _printed(FINALIZED) == "went on"


def _printed(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", HEAD + program], capture_output=True, text=True)
    assert done.returncode == 1, done.stderr  # typer's exit, which no command turned into a status here
    assert "fedlearn: interrupted" in done.stderr
    assert f"Exit: {128 + signal.SIGTERM}" in done.stderr
    return done.stdout.strip()
