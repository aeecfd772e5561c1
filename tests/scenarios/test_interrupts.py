"""Signals that end a run: the first unwinds it, those while it unwinds are ignored, and none is lost for good."""

from __future__ import annotations

import signal
import subprocess
import sys

HEAD = """
import os, signal, time
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
    Finalized()  # again, and so does whoever sends it once more
    time.sleep(60)
    print("was not stopped")
"""
STARTING = """
import multiprocessing
from fedlearn.children import start_shielded

class Child(multiprocessing.get_context("fork").Process):
    def start(self):
        struck()
        super().start()

with interruptible():
    child = Child(target=print, args=("the child is whole",))
    try:
        start_shielded(child)
    finally:
        child.join()
"""


def test_a_signal_unwinds_the_run_and_others_do_not_disturb_that():
    assert _printed(TWICE) == "ended in good order"


def test_a_signal_that_a_finalizer_swallowed_comes_again():
    assert _printed(FINALIZED) == "went on"


def test_a_signal_while_a_child_starts_waits_until_it_is_whole():
    assert _printed(STARTING) == "the child is whole"


def _printed(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", HEAD + program], capture_output=True, text=True)
    assert done.returncode == 1, done.stderr  # typer's exit, which no command turned into a status here
    assert "fedlearn: interrupted" in done.stderr
    assert f"Exit: {128 + signal.SIGTERM}" in done.stderr
    return done.stdout.strip()
