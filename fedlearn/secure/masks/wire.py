"""The agreement between the halves of `masks`: how their messages are laid out, and who is whose neighbour.

A table is a run of records in ascending order of client: its number (u32, big-endian) and a field of fixed width.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from fedlearn.crypto.agreement import KEY_BYTES
from fedlearn.crypto.shamir import SHARE_BYTES
from fedlearn.crypto.signing import SIGNATURE_BYTES, SigningKey, check_signature
from fedlearn.errors import CryptoKeyError, ProtocolError
from fedlearn.protocol import AGGREGATOR, RunPlan, Step, party_name
from fedlearn.wording import many

PHASES: tuple[str, ...] = ("keys", "shares", "update", "check", "unmask")

# A client's public keys and its signature of them: one key agrees on masks, one seals letters. The secret of the first
# is opened if it vanishes.
KEYS_BYTES = 2 * KEY_BYTES + SIGNATURE_BYTES
MASK_KEY, LETTER_KEY = slice(0, KEY_BYTES), slice(KEY_BYTES, 2 * KEY_BYTES)
_BOTH_KEYS, _SIGNATURE = slice(0, 2 * KEY_BYTES), slice(2 * KEY_BYTES, KEYS_BYTES)
# What a letter holds: a share of the seed of its sender's own mask, and one of its mask key.
SEED_SHARE, KEY_SHARE = slice(0, SHARE_BYTES), slice(SHARE_BYTES, None)
VOUCHER_BYTES = 28  # an empty letter: nonce and tag
LETTER_BYTES = 2 * SHARE_BYTES + VOUCHER_BYTES
DIGEST_BYTES = 32

_NUMBER = struct.Struct(">I")
_DIRECTION = struct.Struct(">II")


@dataclass(frozen=True)
class Circle:
    """The clients of an attempt, their neighbours, and how many holders open a secret. Public."""

    neighbours: Mapping[int, tuple[int, ...]]
    threshold: int

    def holders(self, owner: int) -> tuple[int, ...]:
        """The holders of shares of a client's secrets: itself and its neighbours."""
        return (owner, *self.neighbours[owner])


@dataclass(frozen=True)
class Invitation:
    """Aggregator to one client: everybody who takes part, the digest of all their keys, and its neighbours' keys.

    The digest decides who stands where on the circle; nobody knows it before the last key is in.
    """

    roster: tuple[int, ...]
    digest: bytes
    keys: Mapping[int, bytes]

    def to_bytes(self) -> bytes:
        return self.digest + _NUMBER.pack(len(self.roster)) + write_numbers(self.roster) + write_table(self.keys)

    @classmethod
    def from_bytes(cls, data: bytes) -> Invitation:
        start = DIGEST_BYTES + _NUMBER.size
        if len(data) < start:
            raise ProtocolError(
                f"the aggregator's invitation has {many(len(data), 'byte')}, at least {start} are expected"
            )
        end = start + _NUMBER.size * _NUMBER.unpack_from(data, DIGEST_BYTES)[0]
        roster = _read(data[start:end], 0, AGGREGATOR)
        return cls(tuple(roster), data[:DIGEST_BYTES], _read(data[end:], KEYS_BYTES, AGGREGATOR))


def digest_of(keys: Mapping[int, bytes]) -> bytes:
    return hashlib.sha256(b"fedlearn/masks/keys" + write_table(keys)).digest()


def signed_keys(key: SigningKey, plan: RunPlan, step: Step, client: int, keys: bytes) -> bytes:
    """A client's public keys for one attempt, with its signature of them."""
    return keys + key.sign(*_about_keys(plan, step, client, keys))


def check_keys(plan: RunPlan, step: Step, client: int, signed: bytes) -> None:
    """Raise `ProtocolError` unless `signed` is what that client of the roster announced for this very attempt.

    An earlier attempt's would do harm: the secret of a client that vanished in it is known.
    """
    if client not in plan.roster:
        raise ProtocolError(
            f"{party_name(client)} is not in the roster of {many(len(plan.roster), 'client')}: who is it?"
        )
    try:
        _check(plan.roster[client], signed[_SIGNATURE], _about_keys(plan, step, client, signed[_BOTH_KEYS]))
    except (ProtocolError, CryptoKeyError):
        raise ProtocolError(
            f"{party_name(client)} did not sign the keys that are said to be its own in round {step.round}, "
            f"attempt {step.attempt}: somebody put them there"
        ) from None


@lru_cache(maxsize=4096)
def _check(public: bytes, signature: bytes, fields: tuple[bytes, ...]) -> None:
    """Once a process: in a simulation many neighbours check one signature, which is public."""
    check_signature(public, signature, *fields)


def _about_keys(plan: RunPlan, step: Step, client: int, keys: bytes) -> tuple[bytes, ...]:
    return (b"mask keys", plan.digest, f"{step.round}/{step.attempt}/{client}".encode(), keys)


def commitment(seed: bytes) -> bytes:
    """The commitment of a client to the seed of its own mask, 256 random bits, so that false shares are noticed."""
    return hashlib.sha256(b"fedlearn/masks/seed" + seed).digest()


def letter_context(sender: int, recipient: int) -> bytes:
    return b"fedlearn/masks/letter" + _DIRECTION.pack(sender, recipient)


def voucher_context(sender: int, recipient: int, survivors: bytes) -> bytes:
    """What a voucher is bound to. survivors: the table that `sender` was given, byte for byte."""
    return b"fedlearn/masks/voucher" + _DIRECTION.pack(sender, recipient) + survivors


def write_table(table: Mapping[int, bytes]) -> bytes:
    return b"".join(_NUMBER.pack(client) + table[client] for client in sorted(table))


def write_numbers(clients: Iterable[int]) -> bytes:
    """A table of fields of width 0."""
    return write_table(dict.fromkeys(clients, b""))


def read_table(data: bytes, width: int, expected: Collection[int], sender: int) -> dict[int, bytes]:
    """A table with a record for each of `expected`; raises `ProtocolError` naming the sender of any other."""
    table = read_part(data, width, expected, sender)
    if len(table) != len(expected):
        raise ProtocolError(f"{party_name(sender)} sent {many(len(table), 'record')}, {len(expected)} are expected")
    return table


def read_part(data: bytes, width: int, allowed: Collection[int], sender: int) -> dict[int, bytes]:
    """A table with records for some of `allowed`; raises `ProtocolError` naming the sender of any other."""
    table = _read(data, width, sender)
    strangers = table.keys() - set(allowed)
    if strangers:
        raise ProtocolError(
            f"{party_name(sender)} sent a record for {party_name(min(strangers))}, which has no part in it"
        )
    return table


def _read(data: bytes, width: int, sender: int) -> dict[int, bytes]:
    record = struct.Struct(f">I{width}s")
    if len(data) % record.size:
        raise ProtocolError(
            f"{party_name(sender)} sent a table of {many(len(data), 'byte')}, a record has {record.size}: send it again"
        )
    table = dict(record.iter_unpack(data))
    if len(table) * record.size != len(data) or list(table) != sorted(table):
        raise ProtocolError(f"{party_name(sender)} sent a table out of order: each client once, ascending")
    return table
