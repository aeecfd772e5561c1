"""The roster: with which key each client signs, by what clients enrolled with."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from fedlearn.crypto.signing import PUBLIC_BYTES
from fedlearn.errors import ProtocolError
from fedlearn.protocol import AGGREGATOR, ClientId, Enrolment, Message, Step, Transcript, party_name
from fedlearn.wording import many

log = logging.getLogger(__name__)


def enrolled(messages: Iterable[bytes], session: bytes, transcript: Transcript) -> dict[ClientId, bytes]:
    """Keys by client. What is no enrolment, or a second one of a client, costs nobody else anything and is logged."""
    roster: dict[ClientId, bytes] = {}
    for data in messages:
        try:
            message = Message.from_bytes(data)
            key = message.expect(Enrolment, session=session, step=Step(0), recipient=AGGREGATOR).payload
            if message.sender < 0 or len(key) != PUBLIC_BYTES:
                raise ProtocolError(f"{party_name(message.sender)} enrolled with a key of {many(len(key), 'byte')}")
            if message.sender in roster:
                raise ProtocolError(f"{party_name(message.sender)} enrolled twice: its first key counts")
        except ProtocolError as error:
            log.warning("an enrolment that does not count: %s", error)
            continue
        transcript.saw(data)
        roster[message.sender] = key
    return roster
