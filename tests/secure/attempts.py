"""An attempt under `masks` played a phase at a time, and the bytes of its messages taken apart."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from fedlearn.crypto.signing import SigningKey
from fedlearn.errors import BadInput, ProtocolError, RoundVoid
from fedlearn.protocol import Step
from fedlearn.secure import Masks
from tests.secure.plans import plan_of

PHASES = Masks.phases


class Attempt:
    """An attempt as a session plays it, a phase at a time. length: of the vectors."""

    def __init__(self, protection: Masks, count: int, length: int = 9, seed: int = 0):
        self.signing = {client: SigningKey() for client in range(count)}
        roster = {client: key.public for client, key in self.signing.items()}
        self.plan = plan = replace(plan_of(protection, length, cohort=count), roster=roster)
        limit = protection.codec.limit
        self.vectors = np.random.default_rng(seed).integers(-limit, limit + 1, (count, length))
        self.protection = protection
        self.server = protection.server(plan, Step(1))
        self.clients = {client: protection.client(plan, client) for client in range(count)}
        for client, half in self.clients.items():
            half.identify(self.signing[client], Step(1))
        self.alive = list(range(count))
        self.summed: list[int] = []
        self.refused: dict[int, str] = {}

    def play(self, phase: str, vanish=(), change_up=None, change_down=None) -> None:
        """vanish: clients that never answer. change: (client, bytes) -> bytes, damage on the way."""
        inboxes = self.server.inboxes(phase, self.alive)
        for client, inbox in inboxes.items():
            try:
                if client in vanish:
                    raise ProtocolError("vanished")
                inbox = change_down(client, inbox) if change_down else inbox
                payload = self.clients[client].step(phase, inbox, self.vectors[client] if phase == "update" else None)
                self.server.receive(phase, client, change_up(client, payload) if change_up else payload)
            except BadInput as error:
                self.refused[client] = str(error)
                self.alive.remove(client)
        if phase == "update":
            self.summed = list(self.alive)
        if max(len(self.alive), len(self.summed)) < self.protection.min_cohort:
            raise RoundVoid("too few clients answered")

    def upto(self, last: str) -> Attempt:
        """Play the phases before `last`, with everybody."""
        for phase in PHASES[: PHASES.index(last)]:
            self.play(phase)
        return self

    def finish(self) -> np.ndarray:
        return self.server.finish({})

    def plain_sum(self) -> np.ndarray:
        return self.vectors[self.summed].sum(axis=0)


def records(payload: bytes, width: int) -> dict[int, bytes]:
    return dict(struct.Struct(f">I{width}s").iter_unpack(payload))


def table(entries: Mapping[int, bytes]) -> bytes:
    return b"".join(struct.pack(">I", client) + entries[client] for client in sorted(entries))


def survivors(*clients: int) -> bytes:
    return table(dict.fromkeys(clients, b""))
