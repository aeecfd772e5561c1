"""The aggregator under `masks`: it passes on letters that it cannot read, adds vectors that it cannot read, and takes
the masks off the sum with what the holders reveal."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from fedlearn.crypto.agreement import AgreementKey
from fedlearn.crypto.lanes import residue_bytes, residues_from_bytes
from fedlearn.crypto.masks import add_masks, to_signed
from fedlearn.crypto.shamir import SHARE_BYTES, combine
from fedlearn.errors import CiphertextError, ProtocolError, RoundVoid
from fedlearn.protocol import RunPlan, Step, party_name
from fedlearn.secure.base import ServerHalf
from fedlearn.secure.layout import vector_length
from fedlearn.secure.masks.wire import (
    DIGEST_BYTES,
    KEYS_BYTES,
    LETTER_BYTES,
    LETTER_KEY,
    MASK_KEY,
    VOUCHER_BYTES,
    Circle,
    Invitation,
    check_keys,
    commitment,
    digest_of,
    read_table,
    write_numbers,
    write_table,
)
from fedlearn.wording import many

if TYPE_CHECKING:
    from fedlearn.secure.masks import Masks


class MasksServer(ServerHalf):
    """The aggregator in one attempt. Memory of one vector, and of every letter."""

    _circle: Circle
    _survivors: frozenset[int]

    def __init__(self, protection: Masks, plan: RunPlan, step: Step):
        self._protection = protection
        self._plan = plan
        self._step = step
        self._bits = protection.codec.lane_bits
        self._length = vector_length(plan)
        self._probe = AgreementKey()
        self._keys: dict[int, bytes] = {}
        self._letters: dict[int, dict[int, bytes]] = {}  # by sender and recipient
        self._commitments: dict[int, bytes] = {}
        self._vouchers: dict[int, dict[int, bytes]] = {}  # by sender and recipient
        self._revealed: dict[int, dict[int, bytes]] = {}  # by owner and holder
        self._total = np.zeros(self._length, np.uint64)

    def inboxes(self, phase: str, cohort: Sequence[int]) -> dict[int, bytes]:
        match phase:
            case "keys":
                return dict.fromkeys(cohort, b"")
            case "shares":
                return self._invite(cohort)
        self._check_holders(cohort)
        match phase:
            case "update":
                return {client: write_table(self._addressed(self._letters, client)) for client in cohort}
            case "check":
                self._survivors = frozenset(cohort)
                return dict.fromkeys(cohort, write_numbers(cohort))
            case _:
                return {client: write_table(self._addressed(self._vouchers, client)) for client in cohort}

    def receive(self, phase: str, client: int, payload: bytes) -> None:
        match phase:
            case "keys":
                _check_length(client, payload, KEYS_BYTES)
                # Else its neighbours would refuse it, and be lost with it.
                check_keys(self._plan, self._step, client, payload)
                for part in (MASK_KEY, LETTER_KEY):
                    self._probe.agree(payload[part], b"probe")
                self._keys[client] = payload
            case "shares":
                near = self._circle.neighbours[client]
                self._letters[client] = read_table(payload, LETTER_BYTES, near, client)
            case "update":
                _check_length(client, payload, DIGEST_BYTES + residue_bytes(self._length, self._bits))
                self._commitments[client] = payload[:DIGEST_BYTES]
                self._total += residues_from_bytes(payload[DIGEST_BYTES:], self._bits, self._length)
            case "check":
                voters = self._survivors.intersection(self._circle.neighbours[client])
                self._vouchers[client] = read_table(payload, VOUCHER_BYTES, voters, client)
            case _:
                owners = self._letters.keys() & self._circle.holders(client)
                for owner, share in read_table(payload, SHARE_BYTES, owners, client).items():
                    self._revealed.setdefault(owner, {})[client] = share

    @property
    def addends(self) -> int:  # type: ignore[override]
        return len(self._commitments)

    def finish(self, replies: Mapping[int, bytes]) -> np.ndarray:
        self._check_holders({holder for shares in self._revealed.values() for holder in shares})
        own_seeds = [self._seed(owner) for owner in self._survivors]
        added: list[bytes] = []
        subtracted: list[bytes] = []
        for vanished in self._letters.keys() - self._survivors:
            for other, seed in self._pair_masks(vanished):
                (added if other < vanished else subtracted).append(seed)
        return to_signed(add_masks(self._total, subtracted, added + own_seeds, self._bits), self._bits)

    def _invite(self, cohort: Sequence[int]) -> dict[int, bytes]:
        digest, roster = digest_of(self._keys), tuple(sorted(cohort))
        self._circle = self._protection.circle(roster, digest)
        near = self._circle.neighbours
        return {
            client: Invitation(roster, digest, {other: self._keys[other] for other in near[client]}).to_bytes()
            for client in roster
        }

    def _addressed(self, letters: Mapping[int, Mapping[int, bytes]], client: int) -> dict[int, bytes]:
        """The messages that arrived for one client, by sender."""
        senders = letters.keys() & self._circle.neighbours[client]
        return {sender: letters[sender][client] for sender in senders}

    def _check_holders(self, alive: Collection[int]) -> None:
        """Raise `RoundVoid` once the secrets of some client who shared them can no longer be joined."""
        left = self._letters.keys() & set(alive)
        for owner in self._letters:
            holders = self._circle.holders(owner)
            still = len(left.intersection(holders))
            if still < self._circle.threshold:
                raise RoundVoid(
                    f"{still} of the {many(len(holders), 'holder')} of {party_name(owner)}'s shares are left, "
                    f"{self._circle.threshold} are needed to take its masks off: too many clients vanished"
                )

    def _seed(self, owner: int) -> bytes:
        """The seed of a survivor's own mask."""
        seed = self._secret_of(owner)
        if commitment(seed) != self._commitments[owner]:
            raise _wrong_shares(owner)
        return seed

    def _pair_masks(self, owner: int) -> Iterator[tuple[int, bytes]]:
        """The seeds of masks that survivors share with one who vanished, by survivor."""
        key = AgreementKey(self._secret_of(owner))
        if key.public != self._keys[owner][MASK_KEY]:
            raise _wrong_shares(owner)
        for other in self._survivors.intersection(self._circle.neighbours[owner]):
            yield other, key.agree(self._keys[other][MASK_KEY], b"masks")

    def _secret_of(self, owner: int) -> bytes:
        shares = {holder + 1: share for holder, share in self._revealed[owner].items()}
        try:
            return combine(shares, self._circle.threshold)
        except CiphertextError:
            raise _wrong_shares(owner) from None


def _wrong_shares(owner: int) -> RoundVoid:
    return RoundVoid(
        f"the shares revealed of {party_name(owner)}'s secrets do not give what it announced: "
        "it, or a holder, sent false ones"
    )


def _check_length(client: int, payload: bytes, expected: int) -> None:
    if len(payload) != expected:
        raise ProtocolError(
            f"{party_name(client)} sent {many(len(payload), 'byte')}, {expected} are expected: send it again"
        )
