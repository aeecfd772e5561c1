"""A view made readable with public knowledge: the run plan says what its bytes mean."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from fedlearn import nn
from fedlearn.crypto import FixedPoint
from fedlearn.errors import BadInput
from fedlearn.models.base import Model
from fedlearn.protocol import Opened, PartyView, RunPlan, TrainRequest, Update, party_name
from fedlearn.secure.layout import Layout
from fedlearn.secure.plain import wire_dtype
from fedlearn.secure.seal import unseal


class NotReadable(BadInput):
    """The transcript does not hold what the attack needs; the message says what is missing."""


@dataclass(frozen=True)
class Vector:
    """Integers that crossed the wire readable. about: whose update, or "sum" of the round."""

    about: str
    round: int
    values: np.ndarray

    @property
    def is_sum(self) -> bool:
        return self.about == "sum"


@dataclass(frozen=True)
class Finding:
    """What an attack claims to have found out about one update or one sum."""

    attack: str
    about: str
    round: int
    words: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        return f"round {self.round}, {self.about}: {' '.join(self.words) or '(nothing)'}"


class Observed:
    """The plan, requests, plain updates and opened sums in one party's view."""

    def __init__(self, view: PartyView):
        self.view = view
        plans = [body for _, body in view.bodies(RunPlan)]
        if not plans:
            raise NotReadable(f"the {view.party}'s transcript holds no run plan: record the run from its start")
        self.plan = plans[-1]
        self.layout = Layout.from_dict(self.plan.layout)

    @cached_property
    def model(self) -> Model:
        """The public architecture, with weights of no meaning."""
        return nn.build(self.plan.model)

    @property
    def words(self) -> list[str]:
        """The public vocabulary, a word a row of the embedding."""
        if "words" not in self.plan.vocabulary:
            raise NotReadable(
                "the run's vocabulary is hashed, a row is no word: hash a dictionary to see which words fit, "
                "or run with an explicit vocabulary"
            )
        return self.plan.vocabulary["words"]

    @property
    def is_plain(self) -> bool:
        return self.plan.protection["name"] == "none"

    @property
    def codec(self) -> FixedPoint:
        """The fixed-point codec of the updates."""
        return FixedPoint.from_dict(self.plan.protection["arguments"]["codec"])

    def requests(self) -> Iterator[tuple[int, np.ndarray]]:
        """(round, global weights float32 (P,)) of every request to train."""
        for message, body in self.view.bodies(TrainRequest):
            yield message.step.round, body.weights

    def payloads(self) -> Iterator[tuple[int, int, bytes]]:
        """(client, round, payload) of every update, without its signature."""
        for message, update in self.view.bodies(Update):
            payload = update.payload
            if self.plan.roster:
                payload = unseal(self.plan, message.step, message.sender, payload).payload
            yield message.sender, message.step.round, payload

    def readable(self) -> Iterator[Vector]:
        """All vectors that could be read: every client's under no protection, opened sums under any other."""
        for client, round, payload in self.payloads() if self.is_plain else ():
            values = np.frombuffer(payload, wire_dtype(self.codec)).astype(np.int64)
            yield Vector(party_name(client), round, values)
        for message, opened in self.view.bodies(Opened):
            yield Vector("sum", message.step.round, np.frombuffer(opened.payload, "<i8"))

    def segment(self, vector: Vector, name: str) -> np.ndarray:
        """The integers of one segment of the layout, for example "delta"."""
        start = 0
        for segment in self.layout.segments:
            if segment.name == name:
                return vector.values[start : start + segment.length]
            start += segment.length
        raise NotReadable(f"the updates of this run hold no {name!r}: its strategy sends none")

    def parameter(self, vector: Vector, suffix: str) -> np.ndarray:
        """The delta of the parameter whose name ends so, in its own shape."""
        delta, start = self.segment(vector, "delta"), 0
        for name, parameter in self.model.named_parameters():
            size = parameter.data.size
            if name.endswith(suffix):
                return delta[start : start + size].reshape(parameter.data.shape)
            start += size
        raise NotReadable(f"the run's model has no parameter {suffix!r}: this attack needs one")
