"""Key holder and trustees that are nodes of the federation, each with its key on a machine of its own."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping

from flwr.app import Message as FlowerMessage
from flwr.app import RecordDict
from flwr.serverapp import Grid

from fedlearn.errors import BadInput, CryptoKeyError, ProtocolError
from fedlearn.flower.letters import NAME, Letter, answer_of, for_opener
from fedlearn.protocol import Message, OpenerKey, Refusal, RunPlan, party_name
from fedlearn.protocol.parties import is_opener
from fedlearn.untrusted import escaped
from fedlearn.wording import many

log = logging.getLogger(__name__)

LOOK = 0.5  # seconds between two looks for nodes
ROLE = b"opener"
LONGEST_REASON = 200  # characters, of what a node says


def find_openers(grid: Grid, wanted: int, asks: str, deadline: float) -> frozenset[int]:
    """The nodes whose role is to open sums; raises `BadInput` where fewer than wanted are there in time."""
    until, asked, found = time.monotonic() + deadline, set[int](), set[int]()
    while True:
        fresh = [node for node in grid.get_node_ids() if node not in asked]
        asked.update(fresh)
        replies = _sent(grid, {node: Letter(Letter.HELLO) for node in fresh}, asks, deadline)
        found |= {node for node, data in replies.items() if data == ROLE}
        if len(found) >= wanted:
            return frozenset(found)
        if time.monotonic() >= until:
            raise BadInput(
                f"{len(found)} of {many(wanted, 'opener is', 'openers are')} there: start nodes with --node-config "
                '\'fedlearn-role="opener" fedlearn-keys="FOLDER"\', and with secure_mod in their ClientApp'
            )
        time.sleep(LOOK)


class NodeOpeners:
    """The openers of one session, at nodes. What they are told goes along with what they are asked.

    A node that gives no answer is absent in the round, and may be there again in the next.
    """

    def __init__(self, grid: Grid, nodes: frozenset[int], asks: str, deadline: float, session: bytes):
        self._grid, self._asks, self._deadline, self._session = grid, asks, deadline, session
        self._unknown = nodes
        self._nodes: dict[int, int] = {}
        self._plan = b""
        self._attempt: tuple[int, int] | None = None
        self._updates: list[bytes] = []
        self._requests: dict[int, list[bytes]] = {}
        self.gone: dict[int, str] = {}
        self.absent: dict[str, str] = {}

    @property
    def left(self) -> int:
        return len(self._nodes)

    def keys(self) -> dict[int, bytes]:
        """Raises `CryptoKeyError` where a node has no key, or two have one place."""
        letters = {node: Letter(Letter.KEY, self._session) for node in self._unknown}
        keys: dict[int, bytes] = {}
        for node, data in _sent(self._grid, letters, self._asks, self._deadline).items():
            if isinstance(data, str):
                raise CryptoKeyError(f"opener at node {node}: {data}")
            message = Message.from_bytes(data)
            if isinstance(message.body, Refusal):
                raise CryptoKeyError(f"opener at node {node}: {escaped(message.body.reason, LONGEST_REASON)}")
            message.expect(OpenerKey, session=self._session)
            if message.sender in keys or not is_opener(message.sender):
                raise CryptoKeyError(f"two nodes have the key of {party_name(message.sender)}: give each its own")
            keys[message.sender] = data
            self._nodes[message.sender] = node
        return keys

    def tell(self, message: bytes) -> None:
        """Note the plan, or an update; the first of an attempt ends what belongs to those before it."""
        read = Message.from_bytes(message)
        if isinstance(read.body, RunPlan):
            self._plan = message
            return
        attempt = (read.step.round, read.step.attempt)
        if attempt != self._attempt:
            self._attempt, self._updates, self._requests = attempt, [], {}
        self._updates.append(message)

    def ask(self, requests: Mapping[int, bytes], take: Callable[[int, bytes], bool], enough: int | None = None) -> None:
        letters = {}
        for party, request in requests.items():
            asked = self._requests.setdefault(party, [])
            asked.append(request)
            inbox = for_opener(self._updates, asked)
            letters[self._nodes[party]] = Letter(Letter.OPEN, self._session, plan=self._plan, inbox=inbox)
        replies = _sent(self._grid, letters, self._asks, self._deadline)
        for party in requests:
            data = replies[self._nodes[party]]
            if isinstance(data, str):
                self.absent[party_name(party)] = data
                log.warning("%s: %s", party_name(party), data)
            else:
                take(party, data)

    def close(self) -> None:
        """Nodes are Flower's to end."""


def _sent(grid: Grid, letters: Mapping[int, Letter], asks: str, deadline: float) -> dict[int, bytes | str]:
    """By node its answer, or in words why there is none."""
    messages = [
        FlowerMessage(RecordDict({NAME: letter.record()}), node, asks, group_id="0") for node, letter in letters.items()
    ]
    answers: dict[int, bytes | str] = dict.fromkeys(letters, f"gave no answer within {deadline:.0f} s")
    for reply in grid.send_and_receive(messages, timeout=deadline) if messages else ():
        answers[reply.metadata.src_node_id] = _read(reply)
    return answers


def _read(reply: FlowerMessage) -> bytes | str:
    if reply.has_error():
        return f"its node gave an error: {escaped(reply.error.reason or '', LONGEST_REASON)}"
    try:
        return answer_of(reply)
    except ProtocolError as error:
        return str(error)
