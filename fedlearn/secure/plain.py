"""No protection: the aggregator reads every update. The sums are the same integers as under encryption."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from fedlearn.crypto import FixedPoint
from fedlearn.errors import BadInput, ProtocolError
from fedlearn.protocol import PartialSum, RunPlan, Step, party_name
from fedlearn.secure.base import DealerSpec, OpenerSpec, Settings


class Plain:
    """Updates travel as the codec's integers, readable by the aggregator and whoever listens.

    codec: fixed-point codec of the updates, by default 24 bits, bound 4, up to 100 addends.
    """

    name = "none"
    phases: tuple[str, ...] = ("update",)
    training_phase = "update"
    signed = False
    fold_in_worker = True
    min_cohort = 1

    def __init__(self, codec: FixedPoint | None = None):
        self.codec = codec or FixedPoint(bits=24, bound=4.0, addends=100)

    def arguments(self) -> dict[str, Any]:
        return {"codec": self.codec.to_dict()}

    @classmethod
    def rebuild(cls, arguments: dict[str, Any]) -> Self:
        return cls(FixedPoint.from_dict(arguments["codec"]))

    @classmethod
    def from_spec(cls, argument: str | None, settings: Settings) -> Self:
        if argument is not None:
            raise BadInput(f"protection none takes no argument, got {argument!r}: leave it out")
        return cls(settings.codec)

    def client(self, plan: RunPlan, client: int) -> PlainClient:
        return PlainClient(self.codec.dtype)

    def server(self, plan: RunPlan, step: Step) -> PlainServer:
        return PlainServer(self.codec.dtype)

    def dealer(self, vault: Path) -> DealerSpec | None:
        return None

    def openers(self, vault: Path) -> tuple[OpenerSpec, ...]:
        return ()


class PlainClient:
    def __init__(self, dtype: np.dtype):
        self._dtype = dtype

    def step(self, phase: str, inbox: bytes, vector: np.ndarray | None) -> bytes:
        assert vector is not None
        return vector.astype(self._dtype).tobytes()


class PlainServer:
    def __init__(self, dtype: np.dtype):
        self._dtype = dtype
        self._total: np.ndarray | None = None
        self.addends = 0

    def inboxes(self, phase: str, cohort: Sequence[int]) -> dict[int, bytes]:
        return dict.fromkeys(cohort, b"")

    def receive(self, phase: str, client: int, payload: bytes) -> None:
        if len(payload) % self._dtype.itemsize:
            raise ProtocolError(f"client {client} sent {len(payload)} bytes, not a row of {self._dtype}: send it again")
        self._add(np.frombuffer(payload, self._dtype), party_name(client))
        self.addends += 1

    def receive_sum(self, partial: PartialSum) -> None:
        self._add(partial.total, f"the worker of {len(partial.clients)} clients")
        self.addends += len(partial.clients)

    def would_take(self, lanes: int) -> int:
        return lanes * self._dtype.itemsize

    def _add(self, vector: np.ndarray, sender: str) -> None:
        if self._total is None:
            self._total = vector.astype(np.int64)
        elif vector.shape != self._total.shape:
            raise ProtocolError(
                f"{sender} sent {vector.size} values, the cohort sends {self._total.size}: its model is another one"
            )
        else:
            self._total += vector

    def requests(self) -> dict[int, bytes]:
        return {}

    def finish(self, replies: Mapping[int, bytes]) -> np.ndarray:
        assert self._total is not None
        return self._total
