"""`run_direct`: the same bits from the same seed, a client's own traceback, and nothing that waits for ever."""

from __future__ import annotations

import logging
import os
import random
import signal
import time

import numpy as np
import pytest
from flwr.app import ConfigRecord, Message, MetricRecord, RecordDict
from flwr.client import NumPyClient
from flwr.clientapp import ClientApp
from flwr.server import ServerAppComponents, ServerConfig
from flwr.server.strategy import FedAvg as OlderFedAvg
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import FedAvg

from clients.flower.workers import Workers
from fedlearn.errors import BadInput, ClientFailure, PoolFailure
from scenarios.flower import run_direct
from tests.flower import w1


@pytest.fixture(autouse=True)
def _quiet():
    logging.getLogger("flwr").setLevel(logging.ERROR)


def final(nodes: int = 30, rounds: int = 3, **options) -> bytes:
    return w1.bits(run_direct(w1.server_app(rounds, 0.3), w1.client_app, nodes, **options).context.state)


def test_the_same_seed_gives_the_same_bits_on_any_number_of_workers():
    random.seed(1)
    once = final(seed=4)
    random.seed(2)  # whatever the caller's are
    assert final(seed=4) == once
    assert final(seed=4, workers=2) == once
    assert final(seed=5) != once


def test_the_loss_falls_and_every_message_is_counted():
    losses = []
    app = ServerApp()

    @app.main()
    def main(grid, context):
        result = FedAvg(fraction_evaluate=0.0).start(grid, w1.start(), num_rounds=8)
        losses.extend(record["train_loss"] for record in result.train_metrics_clientapp.values())

    began = time.monotonic()
    done = run_direct(app, w1.client_app, 20)
    assert 0 < done.seconds <= time.monotonic() - began
    assert losses[-1] < losses[0] - 0.1
    assert (done.messages, done.failures) == (160, 0)


def test_the_callers_random_numbers_go_on_as_if_nothing_had_run():
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    expected = random.random(), np.random.random()  # noqa: NPY002
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    final(5, 1)
    assert (random.random(), np.random.random()) == expected  # noqa: NPY002


def asking(nodes: list[int], rounds: int, seen: list[RecordDict], **config) -> ServerApp:
    """A ServerApp that asks the nodes at these places a question a round, and keeps the replies."""
    app = ServerApp()

    @app.main()
    def main(grid, context):
        ids = list(grid.get_node_ids())
        for round in range(1, rounds + 1):
            record = RecordDict({"config": ConfigRecord({"server-round": round, **config})})
            messages = [Message(record, ids[node], "query") for node in nodes]
            seen.extend(reply.content for reply in grid.send_and_receive(messages, timeout=60))

    return app


counting = ClientApp()


@counting.query()
def count(message, context):
    """How often this node was asked; it also spoils what it was sent, which must concern no other node."""
    times = context.state.metric_records.get("times", MetricRecord({"n": 0}))["n"] + 1
    context.state["times"] = MetricRecord({"n": times})
    clean = int("spoiled" not in message.content["config"])
    message.content["config"]["spoiled"] = True
    about = {"n": times, "node": context.node_config["partition-id"], "of": context.node_config["num-partitions"]}
    return Message(RecordDict({"m": MetricRecord({**about, "clean": clean, "pid": os.getpid()})}), reply_to=message)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_node_remembers_in_its_own_context(workers, monkeypatch):
    seen: list[RecordDict] = []
    ended, close = [], Workers.close
    monkeypatch.setattr(
        Workers, "close", lambda some: close(some) or ended.extend(each.process.exitcode for each in some._workers)
    )
    run_direct(asking([2, 0, 3], 2, seen), counting, 5, workers=workers)
    found = [(m["m"]["node"], m["m"]["n"], m["m"]["of"], m["m"]["clean"]) for m in seen]
    assert found == [(2, 1, 5, 1), (0, 1, 5, 1), (3, 1, 5, 1), (2, 2, 5, 1), (0, 2, 5, 1), (3, 2, 5, 1)]
    assert len({m["m"]["pid"] for m in seen}) == workers
    assert ended == [0] * (workers if workers > 1 else 0)  # by themselves, when there was no more to do
    assert (os.getpid() in {m["m"]["pid"] for m in seen}) == (workers == 1)


failing = ClientApp()


@failing.query()
@failing.train()
def fail(message, context):
    if context.node_config["partition-id"] != 1:
        context.state["half"] = MetricRecord({"done": 1})
        raise_on_purpose()
    return Message(RecordDict(), reply_to=message)


def raise_on_purpose():
    raise KeyError("column age")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_client_that_raises_is_shown_with_node_and_round_and_the_run_goes_on(workers, caplog):
    app, replies = ServerApp(), []

    @app.main()
    def main(grid, context):
        for round in (1, 2):
            record = RecordDict({"config": ConfigRecord({"server-round": round})})
            replies.append(grid.send_and_receive([Message(record, node, "train") for node in grid.get_node_ids()]))

    done = run_direct(app, failing, 4, workers=workers)
    assert (done.messages, done.failures) == (8, 6)
    assert [reply.has_error() for reply in replies[1]] == [True, False, True, True]
    assert replies[0][0].error.reason == "KeyError: 'column age'"
    first, second = (record.getMessage() for record in caplog.records if record.levelno == logging.ERROR)
    assert first.startswith("train, round 1, node with partition-id 0 failed, and 2 more nodes alike:")
    assert "in raise_on_purpose" in first
    assert "clients/flower" not in first  # the app's own frames, no others
    assert second == "train, round 2, node with partition-id 0 failed, and 2 more nodes alike:\nKeyError: 'column age'"


def test_where_no_node_can_train_the_run_ends_with_the_clients_own_error():
    app = ServerApp()
    app.main()(lambda grid, context: FedAvg(fraction_evaluate=0.0).start(grid, w1.start()))
    broken = ClientApp()
    broken.train()(lambda message, context: raise_on_purpose())
    with pytest.raises(
        ClientFailure, match=r"(?s)round 1: each of the 3 nodes failed.*partition-id .*raise_on_purpose"
    ) as caught:
        run_direct(app, broken, 3)
    assert isinstance(caught.value.__cause__, KeyError)  # so a debugger steps into the client


def test_an_app_that_waits_for_more_nodes_is_told_so():
    app = ServerApp()
    app.main()(lambda grid, context: FedAvg(min_available_nodes=10).start(grid, w1.start()))
    with pytest.raises(BadInput, match="waits for more nodes than the 3 there are: give more nodes"):
        run_direct(app, w1.client_app, 3)


def test_pushed_messages_are_answered_when_they_are_pulled():
    app, found = ServerApp(), []

    @app.main()
    def main(grid, context):
        ids = list(
            grid.push_messages([Message(RecordDict({"config": ConfigRecord()}), grid.get_node_ids()[1], "query")])
        )
        found.extend(grid.pull_messages(ids))
        assert list(grid.pull_messages(ids)) == []

    run_direct(app, counting, 2)
    assert found[0].content["m"]["node"] == 1


def test_a_message_to_no_node_is_refused():
    app = ServerApp()
    app.main()(lambda grid, context: grid.send_and_receive([Message(RecordDict(), 77, "query")]))
    with pytest.raises(BadInput, match="for node 77, which is none of the 2 nodes"):
        run_direct(app, counting, 2)


def test_a_timeout_ends_the_wait_between_nodes(caplog):
    app, found = ServerApp(), []

    @app.main()
    def main(grid, context):
        messages = [Message(RecordDict({"config": ConfigRecord()}), node, "query") for node in grid.get_node_ids()]
        found.extend(grid.send_and_receive(messages, timeout=0.0))

    run_direct(app, counting, 3)
    assert found == []
    assert "3 of 3 nodes not reached in time" in caplog.text


def test_progress_is_told():
    told: list[tuple[str, int, int]] = []
    run_direct(asking([0, 1], 1, []), counting, 2, progress=lambda *about: told.append(about))
    assert told == [("query, round 1", 1, 2), ("query, round 1", 2, 2)]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"nodes": 0}, "nodes is 0, it must be at least 1"),
        ({"nodes": 2.5}, "nodes is 2.5, a whole number is needed"),
        ({"workers": 0}, "workers is 0, it must be at least 1"),
        ({"seed": -1}, "seed is -1"),
        ({"run_config": {"x": [1]}}, r"run_config has 'x': \[1\]"),
        ({"run_config": {"x": None}}, "run_config has 'x': None, a number, a truth value or a text is needed"),
        ({"run_config": {1: 2}}, "run_config has 1: 2, a number"),
        ({"client_app": "mine"}, "client_app 'mine': give a Flower app"),
        ({"server_app": "mine"}, "server_app is 'mine', client_app .*: give a Flower app of each"),
    ],
)
def test_bad_arguments_are_named(options, said):
    with pytest.raises(BadInput, match=said):
        run_direct(**{"server_app": w1.server_app(), "client_app": counting, "nodes": 2} | options)


def test_an_app_that_cannot_be_sent_to_workers_is_refused_by_name():
    lock_of = (line for line in "ab")
    app = ClientApp()
    app.query()(lambda message, context: next(lock_of))
    with pytest.raises(BadInput, match=r"cannot be sent to worker processes \(.*generator.*\).*workers=1"):
        run_direct(asking([0], 1, []), app, 2, workers=2)


killed = ClientApp()


@killed.query()
def die(message, context):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_that_is_killed_ends_the_run_with_its_nodes_named():
    with pytest.raises(
        PoolFailure, match=r"flower-worker-1 .* ended by SIGKILL while it ran nodes with partition-id 1, 3"
    ):
        run_direct(asking([1, 3], 1, []), killed, 4, workers=2)


def test_the_run_config_reaches_both_sides_and_no_node_changes_anothers():
    config = {"lr": 0.5}
    app, client = ServerApp(), ClientApp()

    @client.query()
    def tell(message, context):
        context.run_config["lr"] += 1
        return Message(RecordDict({"m": MetricRecord({"lr": context.run_config["lr"]})}), reply_to=message)

    found = []

    @app.main()
    def main(grid, context):
        assert context.run_config == config
        messages = [Message(RecordDict(), node, "query") for node in grid.get_node_ids()]
        found.extend(reply.content["m"]["lr"] for reply in grid.send_and_receive(messages))

    run_direct(app, client, 2, run_config=config)
    assert found == [1.5, 1.5]
    assert config == {"lr": 0.5}


class Older(NumPyClient):
    def fit(self, parameters, config):
        return [parameters[0] + 1], 5, {}

    def evaluate(self, parameters, config):
        return float(parameters[0].sum()), 5, {}

    def get_parameters(self, config):
        return [np.zeros(3)]


def test_an_app_of_the_older_kind_runs_as_it_stands():
    strategy = OlderFedAvg(min_available_clients=4)
    server = ServerApp(
        server_fn=lambda context: ServerAppComponents(strategy=strategy, config=ServerConfig(num_rounds=2))
    )
    done = run_direct(server, ClientApp(lambda context: Older().to_client()), 4)
    assert (done.messages, done.failures) == (1 + 2 * 8, 0)
