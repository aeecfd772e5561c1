"""A client under `masks`: its vector leaves under masks that only it, or only it and one neighbour, can make.

All keys and seeds are drawn anew for each attempt, so that masks of two rounds, attempts or sessions have nothing in
common and no letter of one fits another. The client answers each phase once, in order. Of each neighbour it reveals a
share of the seed if the one set of survivors that it vouched for has it, else a share of the mask key: never both.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import msgpack
import numpy as np

from fedlearn.crypto.agreement import AgreementKey, seal, unseal
from fedlearn.crypto.lanes import residues_to_bytes
from fedlearn.crypto.masks import SEED_BYTES, add_masks
from fedlearn.crypto.shamir import split
from fedlearn.crypto.signing import SigningKey
from fedlearn.errors import CiphertextError, ProtocolError
from fedlearn.groups import check_together
from fedlearn.protocol import AGGREGATOR, RunPlan, Step, party_name
from fedlearn.secure.base import ClientHalf
from fedlearn.secure.masks.wire import (
    KEY_SHARE,
    LETTER_BYTES,
    LETTER_KEY,
    MASK_KEY,
    PHASES,
    SEED_SHARE,
    VOUCHER_BYTES,
    Circle,
    Invitation,
    check_keys,
    commitment,
    letter_context,
    read_part,
    signed_keys,
    voucher_context,
    write_table,
)
from fedlearn.wording import many

if TYPE_CHECKING:
    from fedlearn.secure.masks import Masks


TOLD = ("invited", "peers", "held", "survivor_table")  # what a client is told in the phases, or makes of it


class MasksClient(ClientHalf):
    """One client in one attempt. Where it refuses, it raises `ProtocolError` and has sent nothing."""

    _signing: SigningKey
    _where: Step
    _invited: tuple[tuple[int, ...], bytes]  # all clients of the cohort, and the digest from which the circle follows
    _circle: Circle
    _peers: dict[int, bytes]  # public keys of the neighbours
    _pairs: dict[int, bytes]  # keys agreed with the neighbours, for letters
    _held: dict[int, bytes]  # by owner: its shares, the client's own among them
    _survivor_table: bytes  # as the aggregator sent it
    _survivors: frozenset[int]

    def __init__(self, protection: Masks, plan: RunPlan, client: int):
        self._protection = protection
        self._plan = plan
        self._client = client
        self._answered = 0
        self._mask_key = AgreementKey()
        self._letter_key = AgreementKey()
        self._seed = secrets.token_bytes(SEED_BYTES)

    def identify(self, key: SigningKey, step: Step) -> None:
        self._signing, self._where = key, step

    def to_state(self) -> bytes:
        """Keys, seed, what neighbours sent, and the phase; never to be seen by anybody else, nor gone back to."""
        secrets_ = {"mask": self._mask_key.secret, "letter": self._letter_key.secret, "seed": self._seed}
        told = {name: getattr(self, f"_{name}") for name in TOLD if hasattr(self, f"_{name}")}
        data: bytes = msgpack.packb({"answered": self._answered, **secrets_, **told})
        return data

    def from_state(self, data: bytes) -> None:
        kept = msgpack.unpackb(data, strict_map_key=False, use_list=False)
        self._answered, self._seed = kept["answered"], kept["seed"]
        self._mask_key, self._letter_key = AgreementKey(kept["mask"]), AgreementKey(kept["letter"])
        for name in TOLD:
            if name in kept:
                setattr(self, f"_{name}", kept[name])
        if "invited" in kept:
            self._circle = self._protection.circle(*self._invited)
            self._agree_with_peers()
        if "survivor_table" in kept:
            self._survivors = frozenset(read_part(self._survivor_table, 0, self._circle.neighbours, AGGREGATOR))

    def step(self, phase: str, inbox: bytes, vector: np.ndarray | None) -> bytes:
        expected = PHASES[self._answered] if self._answered < len(PHASES) else "over"
        if phase != expected:
            raise ProtocolError(
                f"asked for phase {phase}, this attempt is at {expected}: each is answered once, in order"
            )
        match phase:
            case "keys":
                keys = self._mask_key.public + self._letter_key.public
                payload = signed_keys(self._signing, self._plan, self._where, self._client, keys)
            case "shares":
                payload = self._share_secrets(Invitation.from_bytes(inbox))
            case "update":
                assert vector is not None
                payload = self._mask(inbox, vector)
            case "check":
                payload = self._vouch(inbox)
            case _:
                payload = self._reveal(inbox)
        self._answered += 1
        return payload

    def _share_secrets(self, invitation: Invitation) -> bytes:
        """Split seed and mask key among neighbours: a letter to each, which the aggregator passes on unread."""
        me, roster = self._client, invitation.roster
        fewest, most = self._protection.min_cohort, self._protection.codec.addends
        if me not in roster or not fewest <= len(roster) <= most:
            raise ProtocolError(
                f"invited to a cohort of {many(len(roster), 'client')}: this one must be among them, "
                f"and they must be {fewest} (min_cohort) to {most} (addends of the codec)"
            )
        self._invited = (roster, invitation.digest)
        self._circle = self._protection.circle(*self._invited)
        near = self._circle.neighbours[me]
        if invitation.keys.keys() != set(near):
            raise ProtocolError("invited with keys of other clients than the neighbours on the circle")
        self._check_known(invitation)
        self._peers = dict(invitation.keys)
        self._agree_with_peers()
        shares = self._split()
        self._held = {me: shares.pop(me)}
        return write_table({to: seal(self._pairs[to], share, letter_context(me, to)) for to, share in shares.items()})

    def _agree_with_peers(self) -> None:
        self._pairs = {peer: self._letter_key.agree(keys[LETTER_KEY], b"letters") for peer, keys in self._peers.items()}

    def _check_known(self, invitation: Invitation) -> None:
        """Raise `ProtocolError` for strangers, clients of other groups, or keys that are not the neighbours' own."""
        strangers = set(invitation.roster).difference(self._plan.roster)
        if strangers:
            raise ProtocolError(f"invited to a cohort with {party_name(min(strangers))}, which is not in the roster")
        check_together(self._plan, self._where.round, self._client, invitation.roster)
        for peer, keys in invitation.keys.items():
            check_keys(self._plan, self._where, peer, keys)

    def _split(self) -> dict[int, bytes]:
        """By holder: its share of the seed, then of the mask key. A holder's point is its number + 1."""
        holders, threshold = self._circle.holders(self._client), self._circle.threshold
        points = [holder + 1 for holder in holders]
        seeds, keys = (split(secret, threshold, points) for secret in (self._seed, self._mask_key.secret))
        return {holder: seeds[holder + 1] + keys[holder + 1] for holder in holders}

    def _mask(self, inbox: bytes, vector: np.ndarray) -> bytes:
        """Keep the letters; add the own mask, and those shared with each neighbour who sent one, modulo 2^bits."""
        me, bits = self._client, self._protection.codec.lane_bits
        for owner, letter in read_part(inbox, LETTER_BYTES, self._peers, AGGREGATOR).items():
            self._held[owner] = self._unseal(owner, letter, letter_context(owner, me))
        self._require(len(self._held), "shared their secrets")
        pairs = {o: self._mask_key.agree(self._peers[o][MASK_KEY], b"masks") for o in self._held if o != me}
        plus = [self._seed, *(seed for other, seed in pairs.items() if other > me)]
        minus = [seed for other, seed in pairs.items() if other < me]
        return commitment(self._seed) + residues_to_bytes(add_masks(vector, plus, minus, bits), bits)

    def _vouch(self, inbox: bytes) -> bytes:
        """Send surviving neighbours authenticated letters that name the survivors this client was given."""
        self._survivor_table = inbox
        self._survivors = frozenset(read_part(inbox, 0, self._circle.neighbours, AGGREGATOR))
        if self._client not in self._survivors or len(self._survivors) < self._protection.min_cohort:
            raise ProtocolError(
                f"told of {many(len(self._survivors), 'survivor')}: this client must be among them, "
                f"and at least {self._protection.min_cohort} must be left"
            )
        unheard = self._survivors.intersection(self._peers).difference(self._held)
        if unheard:
            raise ProtocolError(f"{party_name(min(unheard))} is said to survive, but its letter never came")
        me, others = self._client, self._voters()
        self._require(len(others) + 1, "sent an update")
        return write_table({to: seal(self._pairs[to], b"", voucher_context(me, to, inbox)) for to in others})

    def _reveal(self, inbox: bytes) -> bytes:
        """One share of each neighbour's secrets, if the aggregator named the same survivors to enough neighbours."""
        me = self._client
        vouchers = read_part(inbox, VOUCHER_BYTES, self._voters(), AGGREGATOR)
        for peer, voucher in vouchers.items():
            self._unseal(peer, voucher, voucher_context(peer, me, self._survivor_table))
        self._require(len(vouchers) + 1, "vouch for the survivors")
        return write_table(
            {o: pair[SEED_SHARE if o in self._survivors else KEY_SHARE] for o, pair in self._held.items()}
        )

    def _voters(self) -> list[int]:
        """Neighbours that survive."""
        return [owner for owner in self._held if owner in self._survivors and owner != self._client]

    def _require(self, holders: int, did: str) -> None:
        if holders < self._circle.threshold:
            raise ProtocolError(
                f"{many(holders, 'holder')} {did}, {self._circle.threshold} are needed: nothing is revealed"
            )

    def _unseal(self, sender: int, letter: bytes, context: bytes) -> bytes:
        try:
            return unseal(self._pairs[sender], letter, context)
        except CiphertextError:
            raise ProtocolError(
                f"what {party_name(sender)} sent is damaged, forged, or speaks of other survivors: nothing is revealed"
            ) from None
