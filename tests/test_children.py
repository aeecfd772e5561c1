"""How a child process ended, as whoever waits for it is told."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from multiprocessing import active_children, get_context

import pytest

from aggregator import Aggregator
from clients import Client, ProcessPool
from fedlearn.children import end_of, said_of, signals_later
from fedlearn.testing.toys import dense_examples, dense_model


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


def test_a_signal_waits_for_what_must_be_whole():
    done = []

    def struck() -> None:
        with signals_later():
            with signals_later():
                signal.raise_signal(signal.SIGINT)
                done.append("inner")
            done.append("outer")

    with pytest.raises(KeyboardInterrupt):
        struck()
    assert done == ["inner", "outer"]


def test_a_signal_that_waited_is_not_lost_to_an_error():
    def struck() -> None:
        with signals_later():
            signal.raise_signal(signal.SIGINT)
            raise ValueError("cannot start")

    with pytest.raises(KeyboardInterrupt) as caught:
        struck()
    assert isinstance(caught.value.__context__, ValueError)


def test_ctrl_c_while_workers_start_leaves_none_of_them(tmp_path):
    def strike() -> None:
        while not active_children():
            time.sleep(0.001)
        os.kill(os.getpid(), signal.SIGINT)

    aggregator, pool = federation(folder=tmp_path / "run")
    threading.Thread(target=strike, daemon=True).start()
    with pytest.raises(KeyboardInterrupt) as caught:
        aggregator.fit(pool, 1, progress=False)
    assert not active_children()  # while `caught` still holds what the frames held
    assert caught
    assert json.loads((tmp_path / "run" / "run.json").read_text())["outcome"] == {"state": "interrupted"}


def federation(**options):
    people = [Client(f"client-{i}", dense_examples(4, seed=i)) for i in range(4)]
    return Aggregator(dense_model(), protection="none", **options), ProcessPool(people, workers=2)
