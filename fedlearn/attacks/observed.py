"""A view made readable with public knowledge: the run plan says what its bytes mean."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from fedlearn import nn
from fedlearn.attacks.base import NotReadable
from fedlearn.crypto import FixedPoint
from fedlearn.errors import BadInput, FedlearnError
from fedlearn.groups import groups_of
from fedlearn.models.base import Model
from fedlearn.privacy.terms import Terms
from fedlearn.protocol import AGGREGATOR, Opened, PartyView, RunPlan, Step, TrainRequest, Update, transcript_name
from fedlearn.registry import importing_nothing
from fedlearn.secure.base import Protection
from fedlearn.secure.compression import Compression
from fedlearn.secure.layouts import layout_of_plan
from fedlearn.secure.noised import PrivateLayout
from fedlearn.secure.rounds import RoundLayout
from fedlearn.secure.signed import check_signed
from fedlearn.strategies import Strategy
from fedlearn.travel import rebuilt
from fedlearn.wording import many


@dataclass(frozen=True, eq=False)
class Vector:
    """Integers that could be read. about: whose update, or "sum" of the round; addends: clients in it."""

    about: str
    round: int
    values: np.ndarray
    addends: int = 1

    @property
    def is_sum(self) -> bool:
        return self.about == "sum"


class Observed:
    """The plan, requests, plain updates and opened sums in one party's view."""

    def __init__(self, view: PartyView):
        plans = {message.session: body for message, body in view.bodies(RunPlan)}
        if not plans:
            raise NotReadable(f"the {view.party}'s transcript holds no run plan: record the run from its start")
        trained = [plan for plan in plans.values() if plan.model]
        self.plan = (trained or [*plans.values()])[-1]
        beside = {session for session, plan in plans.items() if trained and not plan.model}  # what clients measured
        self.view = replace(view, messages=tuple(m for m in view.messages if m.session not in beside))
        self.layout = layout_of_plan(self.plan)
        self.compression = Compression.of_plan(self.plan)
        self._layouts: dict[int, RoundLayout] = {}

    @cached_property
    def model(self) -> Model:
        """The public architecture, with weights of no meaning; raises `NotReadable` where nothing was trained."""
        if not self.plan.model:
            raise NotReadable(f"clients answered query {self.plan.strategy['name']}, and trained no model")
        with importing_nothing():
            most = self.compression.most_parameters(len(self.layout))
            model = nn.build_of_others(self.plan.model, most)
        if not isinstance(model, Model):
            raise NotReadable(
                f"the run's model is a {type(model).__name__}, which says no loss: nothing can be read of it"
            )
        return model

    @cached_property
    def weights(self) -> dict[int, np.ndarray]:
        """The global model (P,) float32 by round, from the requests to train."""
        return {round: request.weights for round, request in self._requests.items()}

    @cached_property
    def _requests(self) -> dict[int, TrainRequest]:
        return {message.step.round: body for message, body in self.view.bodies(TrainRequest)}

    @property
    def words(self) -> list[str]:
        """The public vocabulary, a word or character a row of the embedding."""
        vocabulary = self.plan.vocabulary
        if not vocabulary:
            raise NotReadable("the run's plan names no vocabulary: its model reads neither words nor characters")
        for kind in ("words", "characters"):
            if kind in vocabulary:
                return list(vocabulary[kind])
        raise NotReadable(
            "the run's vocabulary is hashed, and a row is no word: run again with vocabulary=explicit:FILE, "
            "a public list with a word on each line"
        )

    @property
    def training(self) -> dict[str, Any]:
        """The public arguments of local training: epochs, batch_size, lr..."""
        arguments: dict[str, Any] = self.plan.strategy["arguments"]
        return arguments

    @cached_property
    def strategy(self) -> Strategy:
        """The algorithm, as every client runs it; raises `NotReadable` where its clients keep state of their own."""
        with importing_nothing():  # the plan is a file of others
            strategy = rebuilt(self.plan.strategy, Strategy)
        if strategy.keeps(1):
            raise NotReadable(f"clients of {strategy.name} keep state of their own: their training cannot be replayed")
        return strategy

    @property
    def is_plain(self) -> bool:
        return bool(self.plan.protection["name"] == "none")

    @property
    def codec(self) -> FixedPoint:
        """The fixed-point codec of the updates."""
        return FixedPoint.from_dict(self.plan.protection["arguments"]["codec"])

    def payloads(self) -> Iterator[tuple[int, int, bytes]]:
        """(client, round, payload) of every update that holds a vector, without its signature."""
        phase = self._protection.training_phase
        for step, client, payload in self._updates():
            if step.phase == phase:
                yield client, step.round, payload

    def readable(self) -> list[Vector]:
        """All vectors that could be read: every client's under no protection, opened sums under any other.

        Raises `NotReadable` where there is none, and for one that no client's training can have made.
        """
        found = [self._checked(vector) for vector in (self._plain() if self.is_plain else self._sums())]
        if not found:
            raise NotReadable(
                "every update in this transcript is encrypted and no sum was opened: there is nothing to read"
            )
        return found

    def total(self, vectors: list[Vector]) -> Vector:
        """The sum of plain updates of one round: what encryption would have left of them."""
        return Vector("sum", vectors[0].round, np.sum([v.values for v in vectors], axis=0), len(vectors))

    def segment(self, vector: Vector, name: str) -> np.ndarray:
        """The integers of one segment of the layout, for example "delta"; 0 at weights that the round did not send."""
        start = 0
        for segment in self.layout.segments:
            if segment.name == name:
                found = vector.values[start : start + segment.length]
                whole = segment.kind != "vector" or self.compression.share == 1
                return found if whole else self._layout(vector.round).spread(name, found)
            start += segment.length
        raise NotReadable(f"the updates of this run hold no {name!r}: its strategy sends none")

    @cached_property
    def terms(self) -> Terms | None:
        """The plan's terms of noise; None where there is none."""
        return Terms.read(self.plan.privacy)

    def noise(self, vector: Vector) -> float:
        """Standard deviation of the noise in each integer of a vector, 0 where there is none; it is public."""
        if self.terms is None:
            return 0.0
        if self.terms.where == "clients":
            parts = vector.addends
        else:  # an aggregator's own noise is in no message
            parts = 1 if self.terms.where == "opener" and vector.is_sum else 0
        return self.terms.deviation(vector.round) * math.sqrt(parts)

    def examples(self, vector: Vector) -> int:
        """How many examples stand behind a vector; under differential privacy nobody knows, and each client is one."""
        if self.terms is not None:
            return vector.addends
        weight = next(segment for segment in self.layout.beside if segment.name == "weight")
        return weight.read(self.segment(vector, "weight"))

    def mean(self, vector: Vector) -> np.ndarray:
        """The delta (P,) float64: of one client its own, of a sum the mean weighted by examples."""
        return self._layout(vector.round).decode(vector.values, vector.addends).mean["delta"]

    def _layout(self, round: int) -> RoundLayout:
        """The layout of a round, with the weights that it sends, which are drawn once."""
        if round not in self._layouts:
            try:
                request = self._requests[round]
                with importing_nothing():
                    made = RoundLayout.of(self.plan, self.layout, round, request.weights, request.state)
            except BadInput as error:
                raise NotReadable(str(error)) from None
            self._layouts[round] = made
        return self._layouts[round]

    def steps(self, vector: Vector) -> int:
        """How many local steps each client took, by its share of the examples."""
        each = self.examples(vector) / vector.addends
        batch = self.training.get("batch_size", each)
        return int(self.training.get("epochs", 1) * math.ceil(each / batch))

    def unit(self, vector: Vector) -> float:
        """The size of one integer of a vector, in the delta of a client with the largest weight."""
        if isinstance(layout := self._layout(vector.round).layout, PrivateLayout):
            return layout.terms.step
        return 2.0**-layout.codec.fraction_bits

    def rounding(self, vector: Vector, suffix: str) -> float:
        """Standard deviation, in the codec's integers, of rounding one number of the parameter whose name ends so.

        Both the codec rounds, and float32 where a delta was subtracted.
        """
        weights = self.part(self.weights[vector.round], suffix)
        share = min(1.0, self.examples(vector) / vector.addends / self.layout.max_weight)
        ulps = float(np.median(np.spacing(np.abs(weights)))) * share / self.unit(vector)
        return float(np.sqrt((1.0 + ulps**2) * vector.addends / 12.0 + self.noise(vector) ** 2))

    def part(self, flat: np.ndarray, suffix: str) -> np.ndarray:
        """Of a vector of parameters (P,), the one whose name ends so, in its own shape."""
        start = 0
        for name, parameter in self.model.named_parameters():
            size = parameter.data.size
            if name.endswith(suffix):
                return flat[start : start + size].reshape(parameter.data.shape)
            start += size
        raise NotReadable(f"the run's model has no parameter {suffix!r}: this attack needs one")

    def parameter(self, vector: Vector, suffix: str) -> np.ndarray:
        """The delta of the parameter whose name ends so, in integers, in its own shape."""
        return self.part(self.segment(vector, "delta"), suffix)

    def _checked(self, vector: Vector) -> Vector:
        """The vector, if it fits the plan and followed a request with weights that are numbers."""
        of = f"{vector.about} of round {vector.round}"
        if vector.values.shape != (len(self.layout),):
            raise NotReadable(
                f"{of} has {many(vector.values.size, 'integer')}, the plan says {len(self.layout)}: damaged"
            )
        if not self.plan.model:
            return vector  # of counts, without weights
        most = vector.addends * self.layout.max_weight
        if not 1 <= self.examples(vector) <= most:
            raise NotReadable(
                f"{of} is of {many(self.examples(vector), 'example')}, it must be of 1 to {most}: damaged"
            )
        if vector.round not in self.weights:
            raise NotReadable(f"the {self.view.party}'s transcript holds no weights of round {vector.round}")
        if not np.isfinite(self.weights[vector.round]).all():
            raise NotReadable(f"the model of round {vector.round} had diverged, its weights are no numbers: see others")
        return vector

    @cached_property
    def _protection(self) -> Protection:
        with importing_nothing():
            return rebuilt(self.plan.protection, Protection)

    def _updates(self) -> Iterator[tuple[Step, int, bytes]]:
        for message, update in self.view.bodies(Update):
            payload = update.payload
            if self._protection.signed and message.step.phase == self._protection.training_phase:
                payload = check_signed(self.plan, message.step, message.sender, payload).payload
            yield message.step, message.sender, payload

    def _plain(self) -> Iterator[Vector]:
        for client, round, payload in self.payloads():
            yield Vector(transcript_name(client), round, np.frombuffer(payload, self.codec.dtype).astype(np.int64))

    def _sums(self) -> Iterator[Vector]:
        """Rebuild the aggregator's view of its messages: each attempt is handed to its half of the protection again."""
        if self.view.party != transcript_name(AGGREGATOR):
            return
        received: dict[tuple[int, int], dict[str, dict[int, bytes]]] = defaultdict(lambda: defaultdict(dict))
        for step, client, payload in self._updates():
            received[step.round, step.attempt][step.phase][client] = payload
        opened: dict[Step, dict[int, bytes]] = defaultdict(dict)
        for message, body in self.view.bodies(Opened):
            opened[replace(message.step, phase="")][message.sender] = body.payload
        for (round, attempt), phases in received.items():
            for number, group in enumerate(self._groups(round)):
                at = Step(round, attempt, group=number)
                if self.plan.keys and at not in opened:
                    continue  # refused by the openers, or never asked for
                half = self._protection.server(self.plan, at)
                try:
                    for phase in self._protection.phases:
                        answers = {c: p for c, p in phases[phase].items() if group is None or c in group}
                        half.inboxes(phase, list(answers))
                        for client, payload in answers.items():
                            half.receive(phase, client, payload)
                    yield Vector("sum", round, half.finish(opened[at]), half.addends)
                except FedlearnError:
                    continue  # a void attempt: there is no sum

    def _groups(self, round: int) -> Sequence[Collection[int] | None]:
        """The groups whose sums were opened one by one; one that is None where the cohort had one sum."""
        return groups_of(self.plan, round) if self.plan.group_size else [None]
