"""A message to some clients that each answers by itself; an answer of another kind does not count."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import TypeVar

from aggregator.parties import Parties
from fedlearn.errors import BadInput, ProtocolError
from fedlearn.protocol import EVERYBODY, Body, ClientId, LeftOut, Lost, Reply, Step, party_name

log = logging.getLogger(__name__)
B = TypeVar("B", bound=Body)


def replies(
    parties: Parties, step: Step, body: Body, clients: Sequence[ClientId], kind: type[B]
) -> Iterator[tuple[ClientId, B]]:
    """The clients' answers to a broadcast, as they come; both ways are entered in the transcript.

    Of whoever gives none, or another one, the log says so.
    """
    broadcast = parties.say(step, EVERYBODY, body, clients)
    waiting = set(clients)
    for answer in parties.pool.exchange(step, broadcast, dict.fromkeys(clients, b"")):
        try:
            if isinstance(answer, Lost):
                raise ProtocolError(answer.reason)
            if not isinstance(answer, Reply) or answer.client not in waiting:
                raise ProtocolError("it was not asked, or answered before: what it says does not count")
            said = parties.read(answer.data, kind, step, answer.client)
        except BadInput as error:
            log.warning("%s did not answer in %s: %s", party_name(answer.clients[0]), step, error)
            continue
        waiting.remove(answer.client)
        parties.transcript.saw(answer.data)
        yield answer.client, said


def tell_left_out(parties: Parties, step: Step, clients: Sequence[ClientId]) -> None:
    """Tell clients of the step's group that the round goes on without them: 56 bytes each way, under any protection."""
    for _ in replies(parties, step, LeftOut(), clients, LeftOut):
        pass  # whoever did not hear it loses nothing: its update is in no sum, and what it keeps stays as it was
