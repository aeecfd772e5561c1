"""The bridge's small parts by hand: what is refused, what is told, and what a node's app finds."""

from __future__ import annotations

import io
import logging
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Array, ConfigRecord, Error, Message, RecordDict
from threadpoolctl import threadpool_info, threadpool_limits

from clients.flower import internals
from clients.flower.grid import DirectGrid, Inline, about
from clients.flower.nodes import FIRST_NODE, Nodes, Terms, partition
from clients.flower.opening import Duties, is_opener
from clients.flower.seeds import kept, one_thread, seed_all
from fedlearn.errors import BadInput, ClientFailure
from scenarios.flower import run_direct


def app(message: Message, context) -> Message:
    """Fails on nodes that the message names; else says who it is, and counts its messages."""
    asked = message.content["c"]
    node = context.node_config["partition-id"]
    if node in asked["failing"]:
        raise KeyError("why")
    seen = context.state.setdefault("seen", ConfigRecord({"n": 0}))
    seen["n"] += 1
    told = {"node": node, "of": context.node_config["num-partitions"], "n": seen["n"], "draw": random.random()}
    return Message(RecordDict({"c": ConfigRecord(told | dict(context.run_config))}), reply_to=message)


WRONG_KIND = "TypeError: the ClientApp returned a int, a Message is needed"


def saying(message: Message, context):
    """Node 1 returns no message, others say that they failed."""
    return 5 if context.node_config["partition-id"] == 1 else Message(Error(1, "no rows"), reply_to=message)


def made(nodes: int = 3, told=lambda *said: None, **more) -> DirectGrid:
    terms = Terms(nodes, 5, 1, {"lr": 0.5}, **more)
    return DirectGrid(Inline(Nodes(app, terms)), terms, told)


def asked(grid: DirectGrid, *numbers: int, kind: str = "train", failing=()) -> list[Message]:
    content = RecordDict({"c": ConfigRecord({"server-round": 2, "failing": list(failing)})})
    with internals.identity(1):
        return [grid.create_message(content, kind, FIRST_NODE + number, "2") for number in numbers]


def answered(grid, messages, **more) -> list[Message]:
    with internals.identity(1):
        return list(grid.send_and_receive(messages, **more))


def ask_all(grid, context) -> None:
    """A server that sends each node one message."""
    list(grid.send_and_receive([Message(RecordDict(), node, "train") for node in grid.get_node_ids()]))


def test_replies_stand_in_the_order_of_the_messages_and_are_told_one_by_one(caplog):
    told = []
    grid = made(told=lambda what, done, of: told.append((what, done, of)))
    replies = answered(grid, asked(grid, 2, 0))
    assert [dict(reply.content["c"])["node"] for reply in replies] == [2, 0]
    assert [reply.content["c"]["n"] for reply in answered(grid, asked(grid, 2, 1))] == [2, 1]
    assert replies[0].content["c"]["of"] == 3
    assert replies[0].content["c"]["lr"] == 0.5
    assert told == [("train, round 2", 1, 2), ("train, round 2", 2, 2)] * 2
    assert "not reached in time" not in caplog.text
    assert (grid.messages, grid.failures) == (4, 0)
    with internals.identity(1):
        ids = grid.push_messages(asked(grid, 1, 0))
        assert [reply.metadata.reply_to_message_id for reply in grid.pull_messages(ids)] == ids
    assert answered(grid, []) == []
    assert grid.get_node_ids() == [FIRST_NODE, FIRST_NODE + 1, FIRST_NODE + 2]


def test_a_node_draws_what_its_number_and_its_message_decide():
    first, again = (answered(grid, asked(grid, 0, 1)) for grid in (made(), made()))
    draws = [reply.content["c"]["draw"] for reply in first]
    assert draws == [reply.content["c"]["draw"] for reply in again]
    assert draws[0] != draws[1]
    seed_all(5, 1, 0)
    assert draws[0] == random.random()
    numbers = np.random.random(), random.random()  # noqa: NPY002
    seed_all(5, 1, 0)
    random.random()
    assert (np.random.random(), random.random()) == numbers  # noqa: NPY002
    before = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    with kept():
        seed_all(6)
        drawn = random.random(), np.random.random()  # noqa: NPY002
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before  # noqa: NPY002
    assert drawn == (
        0.09096822777109914,
        0.7003084715040329,
    )  # a seed is of one model in every release


def test_linear_algebra_has_one_thread_meanwhile():
    def threads() -> set[int]:
        return {each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"}

    with threadpool_limits(2):
        before = threads()
        with one_thread():
            assert threads() == {1}
        assert threads() == before


def test_who_comes_too_late_is_left_out(caplog, monkeypatch):
    monkeypatch.setattr("time.monotonic", lambda: 10.0)
    grid = made()
    assert answered(grid, asked(grid, 0, 1), timeout=0.0) == []
    assert "train, round 2: 2 of 2 nodes not reached in time" in caplog.text


@pytest.mark.parametrize("number", [-1, 3])
def test_a_message_to_nobody_is_refused(number):
    grid = made()
    with pytest.raises(BadInput, match=f"a message is for node {FIRST_NODE + number}, which is none of the 3 nodes"):
        answered(grid, asked(grid, number))


def test_failures_are_shown_once_and_end_a_round_of_training_where_all_fail(caplog):
    grid = made(4)
    replies = answered(grid, asked(grid, 0, 1, 2, failing=[1, 2]))
    assert [reply.has_error() for reply in replies] == [False, True, True]
    assert replies[1].error.reason == "KeyError: 'why'"
    shown = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert len(shown) == 1
    assert shown[0].startswith("train, round 2, node with partition-id 1 failed, and 1 more node alike:\nTraceback")
    answered(grid, asked(grid, 0, 3, failing=[3]))
    assert caplog.records[-1].getMessage() == ("train, round 2, node with partition-id 3 failed:\nKeyError: 'why'")
    assert (grid.messages, grid.failures) == (5, 3)
    answered(grid, asked(grid, 0, 1, kind="evaluate", failing=[0, 1]))
    with pytest.raises(ClientFailure, match="train, round 2: each of the 2 nodes failed, the first at partition-id 0:"):
        answered(grid, asked(grid, 0, 1, failing=[0, 1]))
    again = answered(grid, asked(grid, 0))
    assert again[0].content["c"]["n"] == 3  # what a message that failed did to the state is taken back


def test_an_error_that_the_app_answers_with_is_shown_by_its_words(caplog):
    grid = DirectGrid(Inline(Nodes(saying, Terms(3, 5, 1))), Terms(3, 5, 1), lambda *said: None)
    replies = answered(grid, asked(grid, 0, 1, 2, kind="evaluate"))
    assert [reply.error.reason for reply in replies if reply.has_error()] == ["no rows", WRONG_KIND, "no rows"]
    said = [record.getMessage() for record in caplog.records]
    assert said[0] == "evaluate, round 2, node with partition-id 0 failed, and 1 more node alike:\nno rows"
    assert said[1].endswith(WRONG_KIND)
    with pytest.raises(ClientFailure, match=r"each of the 1 node failed, the first at partition-id 0:\nno rows"):
        answered(grid, asked(grid, 0))


def test_what_a_message_is_about():
    grid = made()
    assert about(asked(grid, 0)[0]) == "train, round 2"
    with internals.identity(1):
        assert about(grid.create_message(RecordDict(), "train", FIRST_NODE, "7")) == "train, round 7"
        assert about(grid.create_message(RecordDict(), "query", FIRST_NODE, "")) == "query"


def test_nodes_are_numbered_from_a_million():
    assert [partition(message) for message in asked(made(), 0, 2)] == [0, 2]


def test_an_app_that_waits_for_more_nodes_is_told(monkeypatch):
    now = [10.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    grid = made()
    for _ in range(5):  # rounds: no look of an app that sends messages is in vain
        grid.get_node_ids()
        answered(grid, asked(grid, 0))
        now[0] += 0.6
    for _ in range(3):
        grid.get_node_ids()
        now[0] += 0.5
        grid.get_node_ids()  # so soon: one look
        now[0] += 0.1
    with ThreadPoolExecutor() as others:  # where Flower's older servers look, as often as they like
        assert others.submit(grid.get_node_ids).result() == [FIRST_NODE + node for node in range(3)]
    with pytest.raises(BadInput, match="the app waits for more nodes than the 3 there are"):
        grid.get_node_ids()


def test_a_node_finds_the_values_of_the_run():
    given = {"a": True, "b": 1, "c": 0.5, "d": "x"}
    found = []

    def node(message: Message, context) -> Message:
        found.append(dict(context.run_config))
        return Message(RecordDict(), reply_to=message)

    done = run_direct(ask_all, node, 1, run_config=given)
    assert found == [given]
    assert (done.context.run_id, done.context.run_config, done.messages) == (1, given, 1)


class Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


def test_progress_is_a_line_on_a_terminal_that_is_seen_at_once_and_goes(monkeypatch):
    now, seen = [10.0], io.BytesIO()
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.setattr("sys.stderr", Terminal(seen))
    before = []

    def node(message: Message, context) -> Message:
        before.append(seen.getvalue())
        now[0] += 0.1 if len(before) == 3 else 0  # of the lines in between the second comes too soon
        return Message(RecordDict(), reply_to=message)

    run_direct(ask_all, node, 4)
    one, three, gone = b"\r\x1b[2Ktrain: 1 of 4 nodes", b"\r\x1b[2Ktrain: 3 of 4 nodes", b"\r\x1b[2K"
    assert before == [b"", one, one, one + three]
    assert seen.getvalue() == one + three + gone + gone


@pytest.mark.parametrize("stream", [None, io.StringIO(), Terminal(io.BytesIO())], ids=["none", "a file", "a terminal"])
def test_progress_is_no_line_where_it_is_told_or_nobody_sees_it(stream, monkeypatch):
    monkeypatch.setattr("sys.stderr", stream)
    told = []
    own = (lambda *about: told.append(about)) if isinstance(stream, Terminal) else None
    run_direct(ask_all, lambda message, context: Message(RecordDict(), reply_to=message), 2, progress=own)
    assert told == ([("train", 1, 2), ("train", 2, 2)] if own else [])
    if stream is not None:
        stream.flush()
        stream.seek(0)
        assert stream.read() == ""


@pytest.mark.parametrize("values", [
    np.arange(6.0).reshape(2, 3), np.array(2.5, np.float32), np.arange(3, dtype=">i2"), np.zeros((0, 2)),
    np.arange(6.0).reshape(2, 3).T, np.array([1 + 2j]),
])  # fmt: skip
def test_quick_arrays_are_flowers_own_bytes(values):
    theirs = Array(values)
    with internals.quick_arrays():
        ours = Array(values)
        assert (ours.data, ours.dtype, tuple(ours.shape)) == (theirs.data, theirs.dtype, tuple(theirs.shape))
        read = ours.numpy()
        np.testing.assert_array_equal(read, values)
        assert read.flags.writeable
        assert read.dtype == values.dtype


def test_what_is_no_plain_array_is_left_to_numpy():
    data = Array(np.arange(3.0)).data
    assert internals._plain(data).tolist() == [0, 1, 2]
    empty = Array(np.zeros((0, 2))).data
    for bad in (empty, data[:-1], data + b"\0", b"x" + data[1:], data[:9], data.replace(b"False", b"True ")):
        assert internals._plain(bad) is None


def test_the_duties_of_an_opener():
    plain = Duties.of({"fedlearn-keys": "folder", "partition-id": 3})
    assert (plain.least_cohort, plain.insecure_test_key, plain.keys.folder) == (2, False, Path("folder"))
    assert plain.keys.passphrase_file is None
    more = Duties.of({"fedlearn-keys": "f", "fedlearn-least-cohort": 7, "fedlearn-insecure-test-key": True,
                      "fedlearn-passphrase-file": "p"})  # fmt: skip
    assert (more.least_cohort, more.insecure_test_key, more.keys.passphrase_file) == (7, True, Path("p"))
    with pytest.raises(BadInput, match="has fedlearn-cohort: choose "):
        Duties.of({"fedlearn-cohort": 3})
    with pytest.raises(BadInput, match="has no fedlearn-keys"):
        Duties.of({})
    for config, wanted in (({"least-cohort": "many"}, "fedlearn-least-cohort"), ({"least-cohort": 1}, "at least 2"),
                           ({"insecure-test-key": "yes"}, "fedlearn-insecure-test-key")):  # fmt: skip
        with pytest.raises(BadInput, match=wanted):
            Duties.of({"fedlearn-keys": "f"} | {f"fedlearn-{name}": value for name, value in config.items()})

    class Context:
        def __init__(self, **config):
            self.node_config = config

    assert is_opener(Context(**{"fedlearn-role": "opener"}))
    assert not is_opener(Context())
    with pytest.raises(BadInput, match='has fedlearn-role="boss"'):
        is_opener(Context(**{"fedlearn-role": "boss"}))


def test_the_strategy_within_says_what_it_is():
    from flwr.serverapp.strategy import FedAvg

    from scenarios.flower import SecureSums

    said = []

    class Told(FedAvg):
        def summary(self) -> None:
            said.append(self.fraction_train)

    SecureSums(Told(fraction_train=0.5, fraction_evaluate=0.0)).summary()
    assert said == [0.5]
    SecureSums(Told(fraction_evaluate=0.0), max_weight=1)  # nodes that all count alike
    with pytest.raises(BadInput, match=r"fraction_evaluate is 0.25, and SecureSums is not told"):
        SecureSums(Told(fraction_evaluate=0.25))
    for given, text in (
        ({"protection": "none"}, "protection none hides nothing"), ({"max_weight": 0}, "max_weight is 0"),
        ({"deadline": 0}, "deadline is 0"), ({"openers": "cloud"}, "openers is 'cloud': choose process or node"),
        ({"openers": "node", "protection": "masks"}, "protection masks has no openers"),
    ):  # fmt: skip
        with pytest.raises(BadInput, match=text):
            SecureSums(Told(fraction_evaluate=0.0), **given)
