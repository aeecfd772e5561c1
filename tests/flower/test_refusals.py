"""What nodes and the server refuse of each other, with their words: each row does not keep to the bridge."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg, Strategy

from aggregator.flower import sums
from aggregator.flower.known import ChosenNodes
from aggregator.flower.wrapped import innermost
from clients.client import Client
from clients.flower import internals
from clients.flower.app import client_app
from clients.flower.nodes import FIRST_NODE
from clients.flower.opening import opened
from clients.flower.party import SESSIONS, answer, policy_of, record_of
from clients.flower.secure import secure_mod
from fedlearn.crypto import FixedPoint
from fedlearn.errors import BadInput, FedlearnError, ProtocolError
from fedlearn.flower.letters import ACTION, NAME, QUERY, Letter, answer_of
from fedlearn.flower.reported import Reported
from fedlearn.protocol import AGGREGATOR, Loss, Refusal, Step
from fedlearn.protocol import Message as Wire
from fedlearn.secure import Masks
from fedlearn.secure.paillier import KEY_HOLDER
from scenarios.flower import SecureSums
from tests.clients import test_pools as toys
from tests.flower.test_secure_sums import CODEC, NO_EVALUATION, NODES, client, run, secure
from tests.toys import FailingBags

SESSION = b"s" * 16
MASKS = Masks(codec=CODEC, min_cohort=3, corrupt=0.0)


@pytest.fixture(autouse=True)
def _quiet():
    logging.getLogger("flwr").setLevel(logging.ERROR)


def node_of(**config) -> Context:
    return Context(1, FIRST_NODE, {name.replace("_", "-"): value for name, value in config.items()}, RecordDict(), {})


def message_with(letter: Letter | None, kind: str = "train") -> Message:
    with internals.identity(1):
        return Message(RecordDict({NAME: letter.record()} if letter else {}), FIRST_NODE, kind)


def mine(context: Context) -> Client:
    raise AssertionError("no client is made for a letter that is refused")


HELLO = Letter(Letter.HELLO)


@pytest.mark.parametrize(
    ("letter", "config", "said"),
    [
        (None, {"partition_id": 0}, "this ClientApp answers a FlowerPool of fedlearn only"),
        (HELLO, {}, "this node's partition-id is None: start it with --node-config 'partition-id=0'"),
        (HELLO, {"partition_id": -1}, "this node's partition-id is -1: start it with"),
        (HELLO, {"partition_id": "1"}, "this node's partition-id is '1': start it with"),
        (Letter(Letter.ENROL, SESSION, 2), {"partition_id": 1}, "a letter for client-2 came to the node of client-1"),
    ],
)
def test_a_node_with_a_client_of_ours_refuses(letter, config, said):
    with pytest.raises(FedlearnError, match=said):
        client_app(mine)(message_with(letter, QUERY), node_of(**config))


@pytest.mark.parametrize("number", [0, 1, 300])
def test_a_node_with_a_client_of_ours_says_its_number(number):
    reply = client_app(mine)(message_with(HELLO, QUERY), node_of(partition_id=number))
    assert int.from_bytes(answer_of(reply), "big") == number
    assert len(answer_of(reply)) == 8
    assert QUERY.endswith(ACTION)


@pytest.mark.parametrize(
    ("letter", "said"),
    [
        (Letter("sing", SESSION), "a letter asks for 'sing': run one release on all sides"),
        (Letter(Letter.OPEN, SESSION), "a letter asks for 'open': run one release"),
        (Letter(Letter.STEP, SESSION), "this node has no plan of the session: send it again"),
    ],
)
def test_a_party_refuses_a_letter(letter, said):
    with pytest.raises(ProtocolError, match=said):
        answer(letter, node_of(), {}, policy_of({}, None))


@pytest.mark.parametrize(
    ("error", "code"), [(BadInput("these are not mine"), Loss.REFUSED), (OSError("disk on fire"), Loss.FAILED)]
)
def test_under_no_protection_too_a_node_says_by_a_code_alone_whether_it_refused_or_failed(error, code):
    letter = Letter(Letter.STEP, toys.SESSION, 2, toys.STEP, plan=toys.plan(), broadcast=toys.request())
    node = node_of(partition_id=2, fedlearn_protections="none")
    reply = client_app(lambda context: Client("sue", FailingBags(error)))(message_with(letter, QUERY), node)
    assert Wire.from_bytes(answer_of(reply)) == Wire(toys.SESSION, toys.STEP, 2, AGGREGATOR, Loss(code))


@pytest.mark.parametrize("ask", [Letter.ENROL, Letter.STEP, "sing"])
def test_an_opener_trains_nothing(ask, tmp_path):
    context = node_of(fedlearn_role="opener", fedlearn_keys=str(tmp_path))
    with pytest.raises(ProtocolError, match="this node's role is to open sums: it has no data, and trains nothing"):
        opened(Letter(ask, SESSION), context)


def test_an_opener_without_a_secret_says_so_before_the_first_round(tmp_path):
    context = node_of(fedlearn_role="opener", fedlearn_keys=str(tmp_path))
    said = Wire.from_bytes(opened(Letter(Letter.KEY, SESSION), context))
    assert (said.session, said.step, said.sender, said.recipient) == (SESSION, Step(0), KEY_HOLDER, AGGREGATOR)
    assert isinstance(said.body, Refusal)
    assert "holds 0 secrets: an opener has one" in said.body.reason


def test_a_node_keeps_the_last_sessions_and_all_that_is_the_apps():
    context = node_of()
    context.state["own"] = ConfigRecord({"n": 1})
    for number in range(SESSIONS + 2):
        record_of(context, bytes([number] * 16))["plan"] = bytes([number])
    kept = [name for name in context.state if name != "own"]
    assert len(kept) == SESSIONS == 4
    assert [context.state[name]["plan"] for name in kept] == [bytes([number]) for number in (2, 3, 4, 5)]
    assert record_of(context, bytes([2] * 16))["plan"] == b"\2"  # the oldest of them, as it was
    assert context.state["own"]["n"] == 1


def lost_nodes(node: int, arrays: dict) -> dict:
    if node == 0:
        raise BadInput("these examples are not mine")
    raise RuntimeError("no memory")


def test_a_node_says_whether_it_refused_or_failed(caplog):
    run(secure(protection=MASKS), client(change=lost_nodes))
    assert "client-0: refused its task; client-1: failed at its task (2 more alike)" in caplog.text


def answering(reply) -> ClientApp:
    app = ClientApp()
    app.train(mods=[secure_mod])(lambda message, context: reply(message))
    return app


class OnItsWay:
    """A grid whose messages somebody changes before they come to the nodes."""

    def __init__(self, change, grid):
        self._change, self._grid = change, grid

    def __getattr__(self, name):
        return getattr(self._grid, name)

    def send_and_receive(self, messages, *, timeout=None):
        messages = list(messages)
        for message in messages:
            self._change(message.content)
        return self._grid.send_and_receive(messages, timeout=timeout)


def other_arrays(content: RecordDict) -> None:
    if "arrays" in content:
        arrays = content["arrays"]
        content["arrays"] = ArrayRecord({name: Array(array.numpy() + 1) for name, array in arrays.items()})


def other_plan(content: RecordDict) -> None:
    """Its layout is of integers that are a bit shorter than its protection's."""
    if content[NAME]["plan"]:
        message = Wire.from_bytes(content[NAME]["plan"])
        codec = FixedPoint(CODEC.bits - 1, CODEC.bound, CODEC.addends)
        layout = Reported.from_dict(message.body.strategy).layout(codec)
        content[NAME]["plan"] = replace(message, body=replace(message.body, layout=layout.to_dict())).to_bytes()


@pytest.mark.parametrize(
    ("app", "change", "said"),
    [
        (answering(lambda message: 5), None, "the app returned a int, a Message is needed"),
        (
            answering(lambda message: Message(Error(1, "no rows"), reply_to=message)),
            None,
            "the app answered with an error: no rows",
        ),
        (client(), other_arrays, "the arrays are not those that the request names: a replay"),
        (client(), other_plan, "this node takes no part: the plan's layout is not that of its replies"),
    ],
    ids=["no message", "an error", "other arrays", "another layout"],
)
def test_a_node_under_secure_sums_refuses(app, change, said, caplog):
    between = partial(OnItsWay, change) if change else lambda grid: grid
    with pytest.raises(FedlearnError, match=f"0 clients answered, 3 are needed; lost {NODES}: "):
        run(secure(protection=MASKS), app, between=between)
    assert said in caplog.text


class Sends(FedAvg):
    """Changes the messages that FedAvg would send."""

    def __init__(self, change, **options):
        super().__init__(**options)
        self._change = change

    def configure_train(self, *given):
        return self._change(list(super().configure_train(*given)))


def one_is_sent_more(messages):
    content = RecordDict(messages[0].content)
    other_arrays(content)
    messages[0].content = content
    return messages


def all_are_sent_our_record(messages):
    for message in messages:
        message.content = RecordDict({**message.content, NAME: ConfigRecord()})
    return messages


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (one_is_sent_more, "sends nodes different arrays, of which there is no one mean: send all the"),
        (all_are_sent_our_record, f"the strategy sends a record named '{NAME}': that is SecureSums' own"),
    ],
)
def test_what_a_strategy_sends_must_be_the_same_for_all(change, said):
    with pytest.raises(BadInput, match=said):
        run(secure(Sends(change, **NO_EVALUATION), MASKS), client())


class Started(FedAvg):
    def start(self, *given, **named):
        raise AssertionError("SecureSums would not run it")


class Bare(FedAvg):
    pass


class Alone(Strategy):
    configure_train = aggregate_train = configure_evaluate = aggregate_evaluate = summary = lambda self, *given: None


@pytest.mark.parametrize(
    ("strategy", "said"),
    [
        (Started(), "Started has a start of its own, which SecureSums would not run: take FedAvg or one made of it"),
        (Alone(), "Alone is no FedAvg, nor wraps one: take FedAvg"),
        (5, "SecureSums is given 5: give a strategy of flwr"),
    ],
)
def test_a_strategy_that_cannot_be_given_a_mean_is_refused(strategy, said):
    with pytest.raises(BadInput, match=said):
        innermost(strategy)


def test_a_strategy_made_of_fedavg_is_taken_within_any_wrapper():
    inner, wrapper = Bare(), Alone()
    wrapper.strategy = inner
    assert innermost(wrapper) is innermost(inner) is inner


def clocked(monkeypatch) -> list[float]:
    """A clock that goes on with sleeping only."""
    now = [10.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.setattr("time.sleep", lambda seconds: now.append(now.pop() + seconds))
    return now


class Noting(Grid):
    """Notes what it is asked; has nodes 1 and 2."""

    def __init__(self):
        self.run_set, self.asked = None, []

    def set_run(self, run):
        self.run_set = run

    @property
    def run(self):
        return self.run_set

    def create_message(self, *given):
        self.asked.append(given)
        return "made"

    def get_node_ids(self):
        return [1, 2]

    def push_messages(self, messages):
        return (f"id of {message}" for message in messages)

    def pull_messages(self, message_ids):
        return (f"reply to {each}" for each in message_ids)

    def send_and_receive(self, messages, *, timeout=None):
        return (f"reply to {message} in {timeout}" for message in messages)


def test_a_strategy_sees_its_grid_through_the_nodes_that_are_chosen(monkeypatch):
    now, grid = clocked(monkeypatch), Noting()
    seen = ChosenNodes(grid, lambda node: node == 2, 3.0)
    seen.set_run("r")
    assert (grid.run_set, seen.run) == ("r", "r")
    assert seen.create_message("c", "train", 2, "g") == "made"
    assert grid.asked == [("c", "train", 2, "g", None)]
    assert seen.push_messages(["m"]) == ["id of m"]
    assert seen.pull_messages(["m"]) == ["reply to m"]
    assert seen.send_and_receive(["m"], timeout=5) == ["reply to m in 5"]
    now[0] += 3.0
    assert seen.get_node_ids() == [2]
    now[0] += 0.5
    with pytest.raises(BadInput, match="waits for more nodes than the 1 that are there, for 3 s now: start more"):
        seen.get_node_ids()


class Drops(FedAvg):
    def aggregate_train(self, server_round, replies):
        arrays, metrics = super().aggregate_train(server_round, replies)
        return ArrayRecord({"w": arrays["w"]}), metrics


def test_a_strategy_may_leave_out_a_counter_at_its_end_and_void_rounds_give_none():
    assert list(run(secure(Drops(**NO_EVALUATION), MASKS), client()).arrays) == ["w"]


def test_the_log_says_how_many_were_lost_where_some_were(caplog):
    caplog.set_level(logging.INFO)
    for lost in (False, True):
        rows = {"metrics": lambda node, lost=lost: {"num-examples": 0} if lost and node == 1 else {}}
        run(secure(protection=MASKS), client(**rows))
    said = [record.getMessage() for record in caplog.records if record.name == sums.log.name]
    assert said == [
        f"train, round 1: the sum of {NODES} nodes was opened",
        f"train, round 1: the sum of {NODES - 1} nodes was opened, 1 lost",
    ]


def test_a_strategy_waits_for_nodes_as_long_as_start_says_where_no_deadline_does(monkeypatch):
    now = clocked(monkeypatch)
    monkeypatch.setattr(Noting, "get_node_ids", lambda grid: now.append(now.pop() + 10.0) or [1, 2])
    options = {"strategy": FedAvg(min_available_nodes=NODES, **NO_EVALUATION), "protection": MASKS}
    for deadline, timeout, waited in ((None, 7, 7), (None, 9, 9), (5, 9, 5)):
        waiting = SecureSums(**options, deadline=deadline)
        with internals.identity(1), pytest.raises(BadInput, match=f"that are there, for {waited} s now"):
            waiting.start(Noting(), ArrayRecord({"w": Array(np.zeros(2))}), timeout=timeout)
