"""One kind of protected replies, of training or of evaluation: a session of its own, of which each round is a sum."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from flwr.app import Message, RecordDict
from flwr.serverapp import Grid

from aggregator.asked import AskedOpeners
from aggregator.groups import RoundTask
from aggregator.session import Session
from aggregator.work import Work
from fedlearn.crypto import FixedPoint
from fedlearn.errors import BadInput, CodecError, RoundVoid
from fedlearn.flower.gridpool import GridPool
from fedlearn.flower.letters import NAME
from fedlearn.flower.reported import Reported, request_of
from fedlearn.logs import TOLD
from fedlearn.privacy.terms import Terms
from fedlearn.protocol import Transcript
from fedlearn.secure.base import Protection
from fedlearn.secure.layout import Layout
from fedlearn.wording import many

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Opened:
    """One opened sum: its figures, and its cost.

    kind         "train" or "evaluate"; round: the strategy's
    addends      nodes in the sum; weight: their examples in all; lost: how many were lost
    error_bound  the most by which the mean of an array differs from the exact one, by the codec
    bytes_up, bytes_down, bytes_openers: of our messages, within Flower's; the app's own arrays down are not in it
    seconds      by phase: "update" is training and encrypting, "open" the opening
    """

    kind: str
    round: int
    addends: int
    weight: int
    lost: int
    error_bound: float
    bytes_up: int
    bytes_down: int
    bytes_openers: int
    seconds: dict[str, float]


class _Replies(Work):
    """The work of nodes: what their app replies."""

    name = "flower"
    model: Mapping[str, Any] = MappingProxyType({})
    does = "answer as their Flower app does"

    def __init__(self, reported: Reported):
        self._reported = reported
        self.described = reported.to_dict()

    def layout(self, codec: FixedPoint, terms: Terms | None) -> Layout:
        return self._reported.layout(codec)


class Sums:
    """The session, from its first round to its end.

    kind: as in `Opened`. messages: the first round's, as the strategy made them. rounds: the most that there will be.
    openers: as in `Session`.
    """

    def __init__(
        self,
        kind: str,
        grid: Grid,
        messages: Sequence[Message],
        reported: Reported,
        protection: Protection,
        rounds: int,
        deadline: float,
        openers: Callable[[bytes], AskedOpeners] | None = None,
    ):
        if len(messages) > protection.codec.addends:
            raise CodecError(
                f"{many(len(messages), 'node is', 'nodes are')} asked, and the codec is made for "
                f"{protection.codec.addends}: set addends={len(messages)} or more in the protection's codec"
            )
        self._kind, self._reported, self._codec = kind, reported, protection.codec
        self._nodes = {node: number for number, node in enumerate(sorted(grid.get_node_ids()))}
        self._pool = GridPool(grid, {number: node for node, number in self._nodes.items()}, kind, deadline)
        self._session = Session(
            self._pool, _Replies(reported), protection, vocabulary={}, seed=0,
            cohort=len(messages), sampled=min(len(self._nodes), protection.codec.addends), rounds=rounds,
            deadline=deadline, openers=openers,
        )  # fmt: skip
        self._transcript = Transcript()
        try:
            self._session.start(self._transcript, None)
        except BaseException:
            self._session.close()
            raise

    @property
    def known(self) -> frozenset[int]:
        """The nodes that take part: those that were there at the beginning, and enrolled."""
        return frozenset(node for node, number in self._nodes.items() if number in self._pool.enrolled)

    def collect(self, round: int, messages: Sequence[Message]) -> tuple[Message, Opened] | None:
        """The one reply in place of all, or None where the round is void: then the log says why."""
        sent = _same_for_all(messages)
        self._reported.check_sent(sent)
        carrying = {self._nodes[message.metadata.dst_node_id]: message for message in messages}
        self._pool.carrying = carrying
        up, down, openers = self._travelled()
        try:
            collected = self._session.collect(RoundTask(round, tuple(carrying), request_of(sent)))
        except RoundVoid as void:
            log.warning("%s, round %d is void, the model stays as it was: %s", self._kind, round, void)
            return None
        ((_, aggregate),) = collected.opened
        assert aggregate.weight is not None
        now = self._travelled()
        opened = Opened(
            self._kind, round, aggregate.addends, aggregate.weight, len(collected.lost),
            self._reported.error_bound(self._codec, aggregate),
            now[0] - up, now[1] - down, now[2] - openers, dict(collected.seconds),
        )  # fmt: skip
        lost = f", {opened.lost} lost" if opened.lost else ""
        log.log(TOLD, "%s, round %d: the sum of %s was opened%s", self._kind, round, many(opened.addends, "node"), lost)
        return self._reported.reply(sent, aggregate, messages[0]), opened

    def _travelled(self) -> tuple[int, int, int]:
        seen = self._transcript
        return seen.bytes_up, seen.bytes_down, seen.bytes_openers

    def close(self) -> None:
        self._session.close()


def _same_for_all(messages: Sequence[Message]) -> RecordDict:
    """The content that all nodes are sent; raises `BadInput` where it differs, since their sum would mean nothing."""
    first = messages[0].content
    if NAME in first:
        raise BadInput(f"the strategy sends a record named {NAME!r}: that is SecureSums' own")
    digests = {request_of(message.content).to_bytes() for message in {id(m.content): m for m in messages}.values()}
    if len(digests) > 1:
        raise BadInput("the strategy sends nodes different arrays, of which there is no one mean: send all the same")
    return first
