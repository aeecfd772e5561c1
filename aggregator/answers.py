"""Answers of openers: each is asked, and what comes back is read, checked and named before it counts."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from aggregator.parties import Parties
from fedlearn.errors import FedlearnError, OpeningRefused
from fedlearn.protocol import Message, Opened, OpenRequest, Refusal, Step, party_name
from fedlearn.secure.base import ServerHalf
from fedlearn.untrusted import escaped

log = logging.getLogger(__name__)
LONGEST_REASON = 400  # characters, of what an opener says


def answers(
    parties: Parties, half: ServerHalf, step: Step, payloads: Mapping[int, bytes], refusals: list[str]
) -> dict[int, bytes]:
    """The openers' answers to a request each, by party; who gives none, or a wrong one, is entered in `refusals`."""
    requests = {}
    for party, payload in payloads.items():
        requests[party] = parties.say(step, party, OpenRequest(payload))
    replies: dict[int, bytes] = {}

    def take(party: int, data: bytes) -> bool:
        try:
            replies[party] = _payload(parties, half, step, party, data)
        except FedlearnError as error:
            said = f"{'refused' if isinstance(error, OpeningRefused) else 'gave no answer'}: {error}"
            log.warning("%s, asked in %s, %s", party_name(party), step, said)
            refusals.append(f"{party_name(party)} {said}")
            parties.openers.absent[party_name(party)] = said
        return party in replies

    parties.openers.ask(requests, take, half.enough)
    return replies


def _payload(parties: Parties, half: ServerHalf, step: Step, party: int, data: bytes) -> bytes:
    """Read an opener's message; raises a `FedlearnError` where it refused, or gave what is no answer."""
    if Message.kind_of(data) == Refusal.kind:
        refusal = parties.read(data, Refusal, step, party)
        parties.transcript.saw(data)
        raise OpeningRefused(escaped(refusal.reason, LONGEST_REASON))
    payload = parties.read(data, Opened, step, party).payload
    parties.transcript.saw(data)
    half.answered(step.phase, party, payload)
    return payload
