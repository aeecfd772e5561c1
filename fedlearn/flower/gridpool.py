"""Nodes behind a Flower `Grid` as a pool: its messages go to them inside Flower's, their answers come back so.

Whether these nodes are in one process, in Ray, or on other machines is Flower's matter. A node that is lost, or silent
for longer than the deadline, is a lost client.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from flwr.app import Message, RecordDict
from flwr.serverapp import Grid

from fedlearn.errors import BadInput, ProtocolError
from fedlearn.flower.letters import NAME, Letter, answer_of
from fedlearn.protocol import Answer, ClientId, Lost, Partial, PartialSum, Reply, RunPlan, Step
from fedlearn.protocol import Message as Wire
from fedlearn.strategies.base import Strategy
from fedlearn.travel import rebuilt
from fedlearn.untrusted import escaped
from fedlearn.wording import many

log = logging.getLogger(__name__)
LONGEST_REASON = 200  # characters, of what a node says


class GridPool:
    """The clients of one session, each at a node.

    nodes: node ids by client. asks: the type of its messages, as "train". deadline: seconds that answers are waited
    for, None for as long as the grid does. carrying: the app's own messages by client, which the letters of a training
    phase go along with. enrolled: who has a key in the session.
    """

    def __init__(self, grid: Grid, nodes: Mapping[ClientId, int], asks: str, deadline: float | None = None):
        self._grid = grid
        self._nodes = dict(nodes)
        self._asks = asks
        self._deadline = deadline
        self._plan = b""
        self._session = b""
        self._have_plan: set[ClientId] = set()
        self.carrying: Mapping[ClientId, Message] = {}
        self.enrolled: frozenset[ClientId] = frozenset()

    def __len__(self) -> int:
        return len(self._nodes)

    def wait_at_most(self, seconds: float) -> None:
        self._deadline = seconds

    def open(self) -> None:
        """Nodes are there already."""

    def enrol(self, session: bytes) -> list[bytes]:
        """Raises `BadInput` where no node enrols: then its ClientApp is not one of ours."""
        letters = {client: Letter(Letter.ENROL, session, client) for client in self._nodes}
        answers = list(self._answers(letters, {}))
        found = [answer.data for answer in answers if isinstance(answer, Reply)]
        self.enrolled = frozenset(answer.client for answer in answers if isinstance(answer, Reply))
        lost = [answer for answer in answers if isinstance(answer, Lost)]
        if not found:
            said = f"the first: {lost[0].reason}" if lost else "none answered"
            raise BadInput(
                f"none of {many(len(self._nodes), 'node')} enrolled for {self._asks!r} ({said}): its ClientApp needs "
                f"@app.{self._asks.partition('.')[0]}(mods=[secure_mod, ...]) of scenarios.flower"
            )
        for each in lost:
            log.warning("node %s does not take part: %s", self._nodes[each.client], each.reason)
        return found

    def start(self, plan: bytes, log: Path | None = None) -> None:
        """The plan goes along with each node's first message. Raises `BadInput` where clients would keep state."""
        message = Wire.from_bytes(plan)
        agreed = message.body
        if isinstance(agreed, RunPlan) and agreed.model and rebuilt(agreed.strategy, Strategy).keeps(1):
            raise BadInput(
                f"clients of {agreed.strategy['name']} keep state between rounds, and nodes do not: take another"
            )
        self._plan, self._session = plan, message.session
        self._have_plan = set()

    def exchange(self, step: Step, broadcast: bytes, inboxes: Mapping[ClientId, bytes]) -> Iterator[Answer]:
        letters = {}
        for client, inbox in inboxes.items():
            plan = b"" if client in self._have_plan else self._plan
            letters[client] = Letter(Letter.STEP, self._session, client, step, plan, broadcast, inbox)
        for answer in self._answers(letters, self.carrying if broadcast else {}):
            (client,) = answer.clients
            if isinstance(answer, Lost):
                self._have_plan.discard(client)
            else:
                self._have_plan.add(client)
            yield answer

    def _answers(self, letters: Mapping[ClientId, Letter], carrying: Mapping[ClientId, Message]) -> Iterator[Answer]:
        messages = [self._message(client, letter, carrying.get(client)) for client, letter in letters.items()]
        clients = {self._nodes[client]: client for client in letters}
        began = time.monotonic()
        replies = self._grid.send_and_receive(messages, timeout=self._deadline)
        for reply in replies:
            client = clients.pop(reply.metadata.src_node_id, None)
            if client is not None:
                yield _answer(client, reply)
        for client in clients.values():
            yield Lost(client, f"gave no answer within {time.monotonic() - began:.0f} s")

    def _message(self, client: ClientId, letter: Letter, carrier: Message | None) -> Message:
        records = RecordDict({NAME: letter.record()})
        kind, group = self._asks, str(letter.step.round)
        if carrier is not None:
            records = RecordDict({**carrier.content, NAME: letter.record()})
            kind, group = carrier.metadata.message_type, carrier.metadata.group_id
        return Message(records, self._nodes[client], kind, group_id=group)

    def remember(self, folder: Path, round: int, counted: Sequence[ClientId] = ()) -> None:
        """Nodes keep what they must in their own contexts."""

    def settle(self, notice: bytes, clients: Sequence[ClientId], rounds: Sequence[int]) -> None:
        """No strategy whose clients keep state came so far."""

    def close(self) -> None:
        """Nodes are Flower's to end."""


def _answer(client: ClientId, reply: Message) -> Answer:
    if reply.has_error():
        return Lost(client, f"its node gave an error: {escaped(reply.error.reason or '', LONGEST_REASON)}")
    try:
        data = answer_of(reply)
        if Wire.kind_of(data) == PartialSum.kind:
            return Partial((client,), data)
        return Reply(client, data)
    except ProtocolError as error:
        return Lost(client, str(error))
