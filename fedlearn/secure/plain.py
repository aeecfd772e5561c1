"""No protection: the aggregator reads every update. The sums are the same integers as under encryption."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from fedlearn.checked import takes_plain
from fedlearn.configured import make_plain
from fedlearn.crypto import FixedPoint
from fedlearn.errors import ProtocolError, RoundVoid
from fedlearn.protocol import PartialSum, RunPlan, Step
from fedlearn.secure.base import DEFAULT_CODEC, ClientHalf, FoldingHalf, Protection, Settings
from fedlearn.secure.layout import Layout
from fedlearn.secure.layouts import layout_of_plan
from fedlearn.spec import read_settings
from fedlearn.wording import many


@dataclass(frozen=True)
class Plain(Protection):
    """Updates travel as the codec's integers, readable by the aggregator and whoever listens.

    codec: fixed-point codec of the updates, by default 24 bits, bound 4, up to 100 addends.
    """

    codec: FixedPoint = DEFAULT_CODEC

    name = "none"
    fold_in_worker = True
    adds_noise = ("aggregator", "clients")
    min_cohort = 1

    def __post_init__(self) -> None:
        make_plain(self)

    @classmethod
    @takes_plain
    def from_spec(cls, argument: str | None, settings: Settings) -> Self:
        read_settings(argument, {}, "protection none")
        return cls(settings.codec)

    def client(self, plan: RunPlan, client: int) -> PlainClient:
        return PlainClient(self.codec.dtype)

    def server(self, plan: RunPlan, step: Step) -> PlainServer:
        return PlainServer(self.codec.dtype, layout_of_plan(plan))


class PlainClient(ClientHalf):
    def __init__(self, dtype: np.dtype):
        self._dtype = dtype

    def step(self, phase: str, inbox: bytes, vector: np.ndarray | None) -> bytes:
        assert vector is not None
        return vector.astype(self._dtype).tobytes()


class PlainServer(FoldingHalf):
    """Adds integers as they arrive, each client's within the range that an honest one's has. layout: the plan's."""

    def __init__(self, dtype: np.dtype, layout: Layout):
        self._dtype = dtype
        self._layout = layout
        self._total = np.zeros(len(layout), np.int64)

    def receive(self, phase: str, client: int, payload: bytes) -> None:
        wanted = self.would_take(len(self._total))
        if len(payload) != wanted:
            raise ProtocolError(
                f"its update has {many(len(payload), 'byte')}, the plan says {wanted}: its model is another one"
            )
        vector = np.frombuffer(payload, self._dtype)
        self._layout.check(vector, 1)
        self._total += vector
        self.addends += 1

    def receive_sum(self, partial: PartialSum) -> None:
        if partial.total.shape != self._total.shape:
            raise ProtocolError(
                f"the worker's sum has shape {partial.total.shape}, the plan says {self._total.shape}: "
                "its model is another one"
            )
        self._layout.check(partial.total, len(partial.clients))
        self._total += partial.total
        self.addends += len(partial.clients)

    def would_take(self, lanes: int) -> int:
        return lanes * self._dtype.itemsize

    def finish(self, replies: Mapping[int, bytes]) -> np.ndarray:
        if not self.addends:
            raise RoundVoid("no update arrived: there is nothing to add up")
        return self._total
