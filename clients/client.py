"""The client side of a session: local data, local training, and the protection's client half.

A number's way up starts here: `LocalSession.run` reads the request, trains, encodes the update into integers,
lets the protection make its payload of them and signs it. Nothing else about the client leaves this file.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgpack
import numpy as np

from fedlearn import nn
from fedlearn.crypto.keyfiles import read_secret, write_secret
from fedlearn.crypto.signing import SigningKey
from fedlearn.datasets.bags import Examples
from fedlearn.errors import BadInput, ProtocolError
from fedlearn.logs import about
from fedlearn.models.base import Model
from fedlearn.protocol import (
    AGGREGATOR,
    Body,
    Enrolment,
    Inbox,
    Lost,
    Message,
    Reply,
    RunPlan,
    Step,
    TrainRequest,
    Update,
)
from fedlearn.secure import PROTECTIONS
from fedlearn.secure.base import ClientHalf
from fedlearn.secure.layout import Layout
from fedlearn.secure.seal import Sealed, model_digest, seal
from fedlearn.seeding import stream
from fedlearn.strategies import STRATEGIES

log = logging.getLogger(__name__)
B = TypeVar("B", bound=Body)


@dataclass
class Client:
    """One participant: its name (for people who read logs) and its private examples."""

    name: str
    data: Examples


class LocalSession:
    """Runs any number of clients of one session in this process; one model object serves them all.

    clients: by number. vault: where their signing keys are kept (a file of mode 0600), so that they survive
    this process; None keeps them in memory.
    """

    def __init__(self, clients: Mapping[int, Client], vault: Path | None = None):
        self._clients = clients
        self._vault = vault
        self._signing: dict[int, SigningKey] = {}
        self._attempt: tuple[int, int] | None = None
        self._halves: dict[int, ClientHalf] = {}

    def enrol(self, session: bytes) -> list[bytes]:
        """Each client's `Enrolment` message: the public key of a signing key made for this session."""
        self._signing = _new_keys(self._clients, self._vault)
        keys = self._signing.items()
        return [Message(session, Step(0), i, AGGREGATOR, Enrolment(key.public)).to_bytes() for i, key in keys]

    def join(self, plan: bytes) -> None:
        """Agree to a session's plan, and build from it all that local training needs."""
        first = Message.from_bytes(plan)
        self._session = first.session
        self._plan = first.expect(RunPlan, session=self._session, sender=AGGREGATOR)
        self._model: Model = nn.build(self._plan.model)
        self._layout = Layout.from_dict(self._plan.layout)
        strategy, protection = self._plan.strategy, self._plan.protection
        self._strategy = STRATEGIES.load(strategy["name"])(**strategy["arguments"])
        self._protection = PROTECTIONS.load(protection["name"]).rebuild(protection["arguments"])
        if self._protection.signed and not self._signing and self._vault is not None:
            self._signing = _old_keys(self._vault)

    def run(self, client: int, step: Step, broadcast: bytes, inbox: bytes) -> Reply | Lost:
        """One client's answer to a step; its own fault is logged where it happens and costs this client only."""
        with about(self._clients[client].name, step.round):
            try:
                return Reply(client, self._answer(client, step, broadcast, inbox))
            except BadInput as error:
                log.error("%s", error)
                return Lost(client, str(error), refused=True)
            except Exception as error:
                log.exception("client failed in %s", step)
                return Lost(client, f"{type(error).__name__}: {error}")

    def _answer(self, client: int, step: Step, broadcast: bytes, inbox: bytes) -> bytes:
        weights, vector = None, None
        if step.phase == self._protection.training_phase:
            weights = self._read(broadcast, TrainRequest, step).weights
            vector = self._train(client, step, weights)
        told = self._read(inbox, Inbox, step).payload if inbox else b""
        payload = self._half(client, step).step(step.phase, told, vector)
        if self._protection.signed and weights is not None:
            sealed = Sealed(model_digest(weights), payload)
            payload = seal(self._signing[client], self._plan, step, client, sealed)
        return Message(self._session, step, client, AGGREGATOR, Update(payload)).to_bytes()

    def _read(self, data: bytes, kind: type[B], step: Step) -> B:
        return Message.from_bytes(data).expect(kind, session=self._session, step=step, sender=AGGREGATOR)

    def _half(self, client: int, step: Step) -> ClientHalf:
        """The client's half of the protection; it lives for one attempt."""
        if self._attempt != (step.round, step.attempt):
            self._attempt, self._halves = (step.round, step.attempt), {}
        if client not in self._halves:
            self._halves[client] = self._protection.client(self._plan, client)
        return self._halves[client]

    def _train(self, client: int, step: Step, weights: np.ndarray) -> np.ndarray:
        """Local training from the global weights; the encoded update, int64 (n,)."""
        model = self._model
        if weights.shape != model.vector.shape:
            raise ProtocolError(
                f"the request has {weights.size} weights, the plan's model {model.vector.size}: "
                "the model must keep the parameters it had at the start of the run"
            )
        model.vector[:] = weights
        model.train()
        rng = stream(self._plan.seed, "local", step.round, client)
        update = self._strategy.local_update(model, self._clients[client].data, {}, rng)
        return self._layout.encode(update)


def _new_keys(clients: Iterable[int], vault: Path | None) -> dict[int, SigningKey]:
    keys = {client: SigningKey() for client in clients}
    if vault is not None:
        write_secret(vault, msgpack.packb({client: key.to_bytes() for client, key in keys.items()}))
    return keys


def _old_keys(vault: Path) -> dict[int, SigningKey]:
    """The keys that a worker which has died had made for the same clients."""
    secrets = msgpack.unpackb(read_secret(vault), strict_map_key=False)
    return {client: SigningKey(secret) for client, secret in secrets.items()}
