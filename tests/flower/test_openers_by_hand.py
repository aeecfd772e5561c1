"""Nodes that open sums, and a server that asks them: what each is told, what is refused, and how long it takes."""

from __future__ import annotations

import pytest
from flwr.app import Context, Message, RecordDict

from aggregator.flower.openers import NodeOpeners, find_openers
from clients.flower import internals
from clients.flower.grid import DirectGrid, Inline
from clients.flower.nodes import FIRST_NODE, Nodes, Terms
from fedlearn.errors import BadInput, CryptoKeyError, ProtocolError
from fedlearn.flower.letters import Letter, answered, of_opener
from fedlearn.protocol import AGGREGATOR, OpenerKey, Refusal, Step, Update
from fedlearn.protocol import Message as Wire
from fedlearn.secure.paillier import KEY_HOLDER
from tests.flower.test_refusals import SESSION, clocked


def grid_of(answers, nodes: int = 3) -> DirectGrid:
    """A grid whose nodes answer as told: from the letter and the node, bytes, or an exception that it raises."""

    def app(message: Message, context: Context) -> Message:
        data = answers(Letter.of(message.content), context.node_config["partition-id"])
        if isinstance(data, Exception):
            raise data
        return answered(data, message) if isinstance(data, bytes) else Message(RecordDict(), reply_to=message)

    terms = Terms(nodes, 0, 1)
    return DirectGrid(Inline(Nodes(app, terms)), terms, lambda *said: None)


def openers_of(answers, nodes: int = 3, deadline: float = 60.0) -> NodeOpeners:
    ids = frozenset(range(FIRST_NODE, FIRST_NODE + nodes))
    return NodeOpeners(grid_of(answers, nodes), ids, "query", deadline, SESSION)


def key_of(party: int, session: bytes = SESSION, step: int = 0) -> bytes:
    return Wire(session, Step(step), party, AGGREGATOR, OpenerKey(b"key")).to_bytes()


REFUSES = Wire(SESSION, Step(0), KEY_HOLDER, AGGREGATOR, Refusal("r" * 300)).to_bytes()


@pytest.mark.parametrize(
    ("answers", "deadline", "said"),
    [
        (lambda letter, node: key_of(KEY_HOLDER), 60, "two nodes have the key of .*: give each its own"),
        (lambda letter, node: key_of(node), 60, "two nodes have the key of client"),
        (lambda letter, node: key_of(KEY_HOLDER, b"t" * 16), 60, "session"),
        (lambda letter, node: KeyError("x"), 60, "opener at node 100000.: its node gave an error: KeyError: 'x'$"),
        (lambda letter, node: KeyError("x" * 300), 60, "its node gave an error: KeyError: 'x{189}[^x]*$"),
        (lambda letter, node: None, 60, "opener at node 100000.: it answered in the clear"),
        (lambda letter, node: REFUSES, 60, "opener at node 100000.: r{200}[^r]*$"),
        (lambda letter, node: b"", 0, "opener at node 100000.: gave no answer within 0 s"),
    ],
    ids=["one key twice", "no opener", "another session", "an error", "a long error", "the clear", "no key", "silence"],
)
def test_openers_that_show_no_key_of_their_own_are_refused(answers, deadline, said):
    with internals.identity(1), pytest.raises((CryptoKeyError, ProtocolError), match=said):
        openers_of(answers, deadline=deadline).keys()


def update(round: int, attempt: int = 0, payload: bytes = b"") -> bytes:
    return Wire(SESSION, Step(round, attempt, "update"), 0, AGGREGATOR, Update(payload)).to_bytes()


def test_an_opener_is_told_the_updates_of_the_attempt_and_all_that_it_was_asked_in_it(caplog):
    asked = []

    def answers(letter: Letter, node: int):
        if letter.ask == Letter.KEY:
            return key_of(KEY_HOLDER)
        asked.append(of_opener(letter.inbox))
        return b"sum" if len(asked) < 4 else KeyError("gone")

    openers, took = openers_of(answers, 1), []

    def ask(request: bytes) -> None:
        openers.ask({KEY_HOLDER: request}, lambda party, data: bool(took.append((party, data))) or True)

    with internals.identity(1):
        assert openers.keys() == {KEY_HOLDER: key_of(KEY_HOLDER)}
        assert openers.left == 1
        for told, request in [(update(1), b"one"), (update(1, payload=b"more"), b"two"), (update(1, 1), b"three")]:
            openers.tell(told)
            ask(request)
        openers.tell(update(2))
        ask(b"four")
    assert asked == [
        ([update(1)], [b"one"]),
        ([update(1), update(1, payload=b"more")], [b"one", b"two"]),
        ([update(1, 1)], [b"three"]),
        ([update(2)], [b"four"]),
    ]
    assert took == [(KEY_HOLDER, b"sum")] * 3
    assert list(openers.absent.values()) == ["its node gave an error: KeyError: 'gone'"]
    assert "its node gave an error: KeyError: 'gone'" in caplog.text
    openers.close()


class Coming(DirectGrid):
    """Nodes that come one at each look, and the messages that they were sent."""

    looks = 0

    def get_node_ids(self) -> list[int]:
        self.looks += 1
        return [FIRST_NODE + node for node in range(min(self.looks, self._terms.nodes))]

    def send_and_receive(self, messages, *, timeout=None) -> list[Message]:
        messages = list(messages)
        assert messages, "nothing is sent where there is nobody new"
        return super().send_and_receive(messages, timeout=timeout)


def coming(nodes: int) -> Coming:
    grid = grid_of(lambda letter, node: b"client" if node == 1 else b"opener", nodes)
    return Coming(grid._runner, grid._terms, grid._told)


def test_openers_are_looked_for_until_there_are_enough_of_them(monkeypatch):
    now = clocked(monkeypatch)
    grid = coming(5)
    with internals.identity(1):
        assert find_openers(grid, 3, "query", 60.0) == {FIRST_NODE, FIRST_NODE + 2, FIRST_NODE + 3}
    assert grid.messages == 4  # each node is asked once
    assert now == [11.5]


def test_openers_are_looked_for_no_longer_than_the_deadline(monkeypatch):
    now = clocked(monkeypatch)
    grid = coming(2)
    with internals.identity(1), pytest.raises(BadInput, match="1 of 2 openers are there: start nodes with"):
        find_openers(grid, 2, "query", 1.5)
    assert now == [11.5]
    assert (grid.looks, grid.messages) == (4, 2)
