"""Key holders and trustees that answer wrongly: what such a process runs in the place of `aggregator.openers._serve`.

Which of them lies, when and how is told by an environment variable, which child processes inherit.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from aggregator import openers
from fedlearn.protocol import Message, Opened, OpenerKey, Refusal, Step
from tests.adversaries.parties import resealed

LIE = "FEDLEARN_TEST_LIE"
HONEST = openers._serve
TOO_LATE = 60.0  # seconds, far beyond the deadline of a random run


def silent(data: bytes, said: list[bytes], rng: random.Random) -> list[bytes]:
    return []


def garbage(data: bytes, said: list[bytes], rng: random.Random) -> list[bytes]:
    return [rng.randbytes(len(data))]


def cut(data: bytes, said: list[bytes], rng: random.Random) -> list[bytes]:
    return [data[: rng.randrange(len(data))]]


def twice(data: bytes, said: list[bytes], rng: random.Random) -> list[bytes]:
    return [data, data]


def floods(data: bytes, said: list[bytes], rng: random.Random) -> Iterator[bytes]:
    """For ever, and none of it is an answer."""
    while True:
        yield resealed(data, step=Step(0, 0, "open"))


def wrong_values(data: bytes, said: list[bytes], rng: random.Random) -> list[bytes]:
    """A plausible one under paillier: some values are others, of the same size. Under threshold a wrong share."""
    payload = bytearray(Message.from_bytes(data).body.to_bytes())
    values = np.frombuffer(payload, "<i4", len(payload) // 4)
    values[:: 2 * rng.randrange(1, 4)] ^= 1
    return [resealed(data, body=Opened(bytes(payload)))]


def wrong_bit(data: bytes, said: list[bytes], rng: random.Random) -> list[bytes]:
    payload = bytearray(Message.from_bytes(data).body.to_bytes())
    payload[rng.randrange(len(payload))] ^= 1 << rng.randrange(8)
    return [resealed(data, body=Opened(bytes(payload)))]


def noise(data: bytes, said: list[bytes], rng: random.Random) -> list[bytes]:
    return [resealed(data, body=Opened(rng.randbytes(rng.choice((0, 8, 10**6)))))]


def earlier(data: bytes, said: list[bytes], rng: random.Random) -> list[bytes]:
    """What it said before, as if it were said now; its key where it said no more."""
    return [resealed(data, body=Opened(Message.from_bytes(said[-1]).body.to_bytes()))]


def replayed(data: bytes, said: list[bytes], rng: random.Random) -> list[bytes]:
    return [said[-1], said[-1]]


def in_anothers_name(data: bytes, said: list[bytes], rng: random.Random) -> list[bytes]:
    return [resealed(data, sender=rng.choice((-16, -17, -18, -1, 0)))]


def of_another_kind(data: bytes, said: list[bytes], rng: random.Random) -> list[bytes]:
    return [resealed(data, body=OpenerKey(b"key"))]


def of_another_step(data: bytes, said: list[bytes], rng: random.Random) -> list[bytes]:
    return [resealed(data, step=Step(rng.randrange(9), rng.randrange(3), "open"))]


def refusing(data: bytes, said: list[bytes], rng: random.Random) -> list[bytes]:
    return [resealed(data, body=Refusal("\x1b[2J" * rng.choice((1, 10**5))))]


def late(data: bytes, said: list[bytes], rng: random.Random) -> list[bytes]:
    time.sleep(rng.choice((0.5, TOO_LATE)))
    return [data]


def slow(data: bytes, said: list[bytes], rng: random.Random) -> list[bytes]:
    """No lie: longer than others are waited for once enough have answered."""
    time.sleep(4.0)
    return [data]


LIES = {
    lie.__name__: lie
    for lie in (
        silent, floods, garbage, cut, twice, wrong_values, wrong_bit, noise, earlier, replayed, in_anothers_name,
        of_another_kind, of_another_step, refusing, late, slow,
    )
}  # fmt: skip


@contextmanager
def lying(lies: Mapping[int, str], round: int, phase: str, seed: int) -> Iterator[None]:
    """Meanwhile openers that are started tell lies, by their number, in this phase of this round."""
    told = json.dumps({"lies": dict(lies), "round": round, "phase": phase, "seed": seed})
    with patch.dict(os.environ, {LIE: told}), patch.object(openers, "_serve", serve):
        yield


def serve(connection: Connection, data: bytes, session: bytes, memory: Path | None) -> None:
    HONEST(Lying(connection), data, session, memory)  # type: ignore[arg-type]


class Lying:
    """The pipe of an opener: what it sends is another thing where it is to lie."""

    def __init__(self, connection: Connection):
        self._connection = connection
        self._told: dict[str, Any] = json.loads(os.environ[LIE])
        self._said: list[bytes] = []

    def recv_bytes(self) -> bytes:
        return self._connection.recv_bytes()

    def send_bytes(self, data: bytes) -> None:
        message, told = Message.from_bytes(data), self._told
        lie, sent = told["lies"].get(str(message.sender)), iter([data])
        if lie and (message.step.round, message.step.phase) == (told["round"], told["phase"]):
            sent = iter(LIES[lie](data, self._said, random.Random(told["seed"])))
        self._said.append(data)
        for each in sent:
            self._connection.send_bytes(each)
