"""The journal: which sums were asked for and what was opened, on the disk before anybody acts on it.

A round is opened once, whatever happens to the process in between. Before a sum can become readable to anybody, the
journal says that it will be asked for; when it was opened, the journal holds it before it is applied. A run that goes
on after an end in between takes the opened sum from here. Where there is none, the round is trained again with exactly
the same clients, or left void: the sums of two cohorts would give away their difference.

Entries are kept until a checkpoint that makes them needless is forced to the disk (`aggregator/checkpoints.py`).
"""

from __future__ import annotations

import logging
import os
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from zlib import crc32

import msgpack
import numpy as np

from fedlearn.disk import append, aside, force, write_atomic
from fedlearn.protocol import ClientId, Step
from fedlearn.untrusted import content

log = logging.getLogger(__name__)
HEAD = struct.Struct("<II")  # of an entry: its length and its CRC-32


@dataclass(frozen=True, eq=False)
class OpenedSum:
    """An opened sum, int64 (n,), of the vectors of so many clients (`addends`), and of which group of the cohort."""

    total: np.ndarray
    addends: int
    clients: Sequence[ClientId]
    group: int = 0


@dataclass(frozen=True, eq=False)
class Entry:
    """The journal's entry for a round whose sums may have been opened.

    model    the digest of what was trained (`fedlearn.secure.signed.model_digest`): the sums belong to nothing else
    clients  whose updates are in them, or were to be
    sums     the opened ones, one where the cohort is not cut into groups; none where nothing came of what was asked for
    lost     by client, why. seconds: by phase
    """

    round: int
    attempt: int
    model: bytes
    clients: Sequence[ClientId] = ()
    sums: Sequence[OpenedSum] = ()
    lost: Mapping[ClientId, str] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        sums = [(np.asarray(s.total, "<i8").tobytes(), s.addends, list(s.clients), s.group) for s in self.sums]
        body: bytes = msgpack.packb(self.__dict__ | {"clients": list(self.clients), "sums": sums})
        return HEAD.pack(len(body), crc32(body)) + body

    @classmethod
    def from_body(cls, body: bytes) -> Entry | None:
        """None for what `to_bytes` never made."""
        try:
            match msgpack.unpackb(body, strict_map_key=False):
                case {
                    "round": int(),
                    "attempt": int(),
                    "model": bytes(),
                    "clients": list(clients),
                    "sums": list(sums),
                    "lost": dict(lost),
                    "seconds": dict(seconds),
                    **others,
                } as values if not others and _are(int, clients) and _are(int, lost) and _are(str, seconds):
                    return cls(**values | {"sums": [_sum(*each) for each in sums]})
        except (ValueError, TypeError, RecursionError, msgpack.UnpackException):
            pass
        return None


def _sum(total: bytes, addends: int, clients: list[int], group: int) -> OpenedSum:
    if not (isinstance(clients, list) and _are(int, [addends, group, *clients])):
        raise ValueError("no opened sum")
    return OpenedSum(np.frombuffer(total, "<i8"), addends, clients, group)


def _are(kind: type, values: Iterable[object]) -> bool:
    return all(type(value) is kind for value in values)


class Journal:
    """The entries of one run, in a file; without a path in nothing, for a run that cannot be resumed."""

    def __init__(self, path: Path | None = None):
        self._path = path
        self._entries: dict[int, Entry] = {}  # by round, the last of each
        self._earlier: dict[int, Entry] = {}  # those of earlier sessions
        self._asked: Entry | None = None  # the last, of this session

    def open(self) -> None:
        """Find what an earlier session left. A last entry that is not whole was never acted on.

        What cannot be read is kept beside it. Openers and clients remember on their own account what they opened.
        """
        if self._path is None or not self._path.exists():
            return
        data, at = content(self._path), 0
        while len(head := data[at : at + HEAD.size]) == HEAD.size:
            length, check = HEAD.unpack(head)
            body = data[at + HEAD.size : at + HEAD.size + length]
            entry = Entry.from_body(body) if crc32(body) == check else None
            if entry is None:
                break
            self._entries[entry.round] = entry
            at += HEAD.size + length
        if at < len(data):
            moved = aside(self._path)
            moved.write_bytes(data)
            log.warning(
                "the journal is not whole from byte %d on, and goes on before it; it is kept as %s", at, moved.name
            )
            os.truncate(self._path, at)
        self._earlier = dict(self._entries)

    def asked(self, step: Step, model: bytes, clients: Sequence[ClientId] = ()) -> None:
        """The sum of this round and attempt is about to become readable; returns when that is on the disk.

        model: as in `Entry`. clients: whose updates are in the sum, where that is settled.
        """
        before = self._asked
        if self._path is not None and (before is None or (before.round, before.attempt) != (step.round, step.attempt)):
            self._asked = Entry(step.round, step.attempt, model, clients=tuple(clients))
            self._add(self._asked)

    def opened(self, sums: Sequence[OpenedSum], lost: Mapping[ClientId, str], seconds: Mapping[str, float]) -> None:
        """Enter the opening of what was asked for last, as in `Entry`; returns when it is on the disk."""
        if self._asked is not None:
            clients = [client for each in sums for client in each.clients]
            self._add(replace(self._asked, clients=clients, sums=sums, lost=lost, seconds=seconds))

    def earlier(self, round: int) -> Entry | None:
        """The entry that an earlier session left of a round; None where its sum cannot have been opened."""
        return self._earlier.get(round)

    @property
    def last_opened(self) -> Entry | None:
        """The last round whose sum an earlier session left here."""
        opened = [entry for entry in self._earlier.values() if entry.sums]
        return max(opened, key=lambda entry: entry.round, default=None)

    def forget(self, round: int) -> None:
        """A checkpoint of this round is on the disk, which holds what came of all rounds up to it."""
        if self._path is None or not self._path.exists():
            return
        self._entries = {number: entry for number, entry in self._entries.items() if number > round}
        left = b"".join(entry.to_bytes() for entry in self._entries.values())
        if self._path.stat().st_size != len(left):
            write_atomic(self._path, left)

    def _add(self, entry: Entry) -> None:
        assert self._path is not None
        self._entries[entry.round] = entry
        new = not self._path.exists()
        append(self._path, entry.to_bytes())
        if new:
            force(self._path.parent)
