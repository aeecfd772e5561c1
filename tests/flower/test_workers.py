"""Workers that are late, or cannot begin: whoever runs them is told which nodes, and no process is left."""

from __future__ import annotations

import signal
import sys
import time

import pytest
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.clientapp import ClientApp

from clients.flower import internals, workers
from clients.flower.nodes import FIRST_NODE, Terms
from clients.flower.workers import Workers
from fedlearn.errors import BadInput, PoolFailure

slow = ClientApp()


@slow.query()
def sleep(message, context):
    time.sleep(message.content["c"]["seconds"])
    return Message(RecordDict(), reply_to=message)


def asked(*nodes: int, seconds: float = 0.0) -> list[Message]:
    content = RecordDict({"c": ConfigRecord({"seconds": seconds})})
    with internals.identity(1):
        messages = [Message(content, FIRST_NODE + node, "query") for node in nodes]
    for number, message in enumerate(messages):
        internals.stamp(message, str(number), 1)
    return messages


def test_nodes_that_are_late_are_named_and_their_workers_are_ended(monkeypatch):
    some = Workers(3, slow, Terms(1, 0, 1))
    try:
        (worker,) = some._workers  # more than nodes would have nothing to do
        assert worker.process.daemon  # it ends with this process, however that ends
        assert [number for number, _ in some.answers(asked(*[0] * 9), time.monotonic() + 60)] == list(range(9))
        monkeypatch.setattr("time.monotonic", lambda: 10.0)
        assert list(some.answers(asked(0), 10.0)) == []  # too late to begin
        monkeypatch.undo()
        monkeypatch.setattr(workers, "LATE", 0.2)
        monkeypatch.setattr(workers, "PATIENCE", 0.2)
        with pytest.raises(PoolFailure, match="nodes with partition-id 0 did not answer within the timeout"):
            list(some.answers(asked(0, seconds=4.0), time.monotonic() + 0.1))
    finally:
        some.close()
    assert worker.process.exitcode in (-signal.SIGTERM, -signal.SIGKILL)  # it was given no more time than is said


APP = """
import multiprocessing, os
from flwr.clientapp import ClientApp

app = ClientApp()

@app.query()
def answer(message, context):
    return message

if multiprocessing.current_process().name == "flower-worker-0":
    {fault}
"""


@pytest.mark.parametrize(
    ("fault", "error", "said"),
    [
        (
            "raise KeyError('no such column')",
            BadInput,
            r"cannot be built in a worker process \(KeyError: 'no such column'\): take workers=1",
        ),
        ("os._exit(3)", PoolFailure, "flower-worker-0 .*before it was ready: its error stands above"),
    ],
    ids=["an error", "an end"],
)
def test_an_app_that_does_not_begin_in_a_worker_ends_all_of_them(fault, error, said, tmp_path, monkeypatch):
    name = f"app_that_{error.__name__.lower()}"
    (tmp_path / f"{name}.py").write_text(APP.format(fault=fault))
    monkeypatch.syspath_prepend(tmp_path)
    module = __import__(name)
    try:
        with pytest.raises(error, match=said):
            Workers(2, module.app, Terms(2, 0, 1))
    finally:
        del sys.modules[name]
