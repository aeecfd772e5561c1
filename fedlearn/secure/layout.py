"""The layout of one protected vector, lane by lane, and how a local update gets in and the mean gets out.

A client with w examples enters as (w / max_weight) * value, quantised; w itself travels in a lane of its own, and so
do the loss, the counts of clipped coordinates and capped weights, and how far beyond the bound the worst of the
clipped lay. Nothing about one client leaves it beside the vector; of the sum, only totals are read. Lanes need
bits + ceil(log2 addends) and no more; a number beside the vector takes several where one is too narrow for it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from fedlearn.crypto import FixedPoint
from fedlearn.crypto.codec import MAX_LANE_BITS
from fedlearn.errors import CodecError, ProtocolError, RoundVoid, ShapeError
from fedlearn.protocol import RunPlan
from fedlearn.secure.aggregate import Aggregate
from fedlearn.secure.compression import BROADCAST, FINER, MOST_FINER, finer, fraction_bits
from fedlearn.secure.segments import LEAST_BITS, Segment
from fedlearn.wording import many

if TYPE_CHECKING:
    from fedlearn.strategies.base import LocalUpdate

LOSS_BOUND = 64.0  # nats: a loss above it is reported as 64
MOST_EXCESS = (1 << (LEAST_BITS - 1)) - 1  # in steps of the excess, where the updates have few bits
Coins = Mapping[str, np.ndarray]
BOOKKEEPING = ("weight", "loss", "clipped", "excess", "capped")


@dataclass(frozen=True)
class Layout:
    """Segments of a protected vector, in order: the strategy's outputs, then the bookkeeping lanes."""

    segments: tuple[Segment, ...]
    max_weight: int
    whole: ClassVar[bool] = False  # encodes vectors of the model's full length only

    def __len__(self) -> int:
        return self._length

    @cached_property
    def _length(self) -> int:
        return sum(segment.length for segment in self.segments)

    @property
    def codec(self) -> FixedPoint:
        """The codec of the strategy's first output; all lanes have its bits."""
        return self.segments[0].codec

    def at(self, fraction_bits: Sequence[int]) -> Layout:
        """The same with these steps of the outputs, 2^-f each, and the largest bounds that they allow."""
        moved = [
            replace(segment, codec=replace(segment.codec, bound=math.ldexp(segment.codec.limit, -bits)))
            for segment, bits in zip(self.vectors, fraction_bits, strict=True)
        ]
        return replace(self, segments=(*moved, *self.beside))

    @cached_property
    def vectors(self) -> tuple[Segment, ...]:
        return tuple(segment for segment in self.segments if segment.kind == "vector")

    @cached_property
    def beside(self) -> tuple[Segment, ...]:
        """The numbers beside the vectors."""
        return self.segments[len(self.vectors) :]

    @cached_property
    def _beside(self) -> dict[str, Segment]:
        """The numbers beside the vectors, by name."""
        return {segment.name: segment for segment in self.beside}

    def encode(self, update: LocalUpdate, coins: Coins | None = None) -> np.ndarray:
        """One client's vector (n,), or those of K stacked clients (K, n), of the codec's dtype.

        coins: by output uniform numbers of its shape, for stochastic rounding.
        Raises `CodecError` for NaN, infinity or a value out of bounds.
        """
        weight = min(update.examples, self.max_weight)
        share = np.float64(weight / self.max_weight)
        lanes = np.empty((*np.shape(update.loss), len(self)), self.codec.dtype)
        beside = self._beside
        numbers: dict[str, Any] = {"weight": weight, "clipped": 0, "excess": 0}
        numbers["capped"] = int(update.examples > self.max_weight)
        at = 0
        for segment in self.vectors:
            name, codec, values = segment.name, segment.codec, update.vectors[segment.name]
            check_length(segment, values)
            if codec.overflow == "clip":
                relative = np.abs(values * share) / codec.bound
                numbers["clipped"] = numbers["clipped"] + np.count_nonzero(relative > 1, axis=-1)
                numbers["excess"] = np.maximum(numbers["excess"], relative.max(axis=-1, initial=1) - 1)
            out = lanes[..., at : at + segment.length]
            codec.encode(values, scale=share, out=out, coins=None if coins is None else coins[name])
            if FINER + name in beside:
                numbers[FINER + name] = finer(values * share, codec)
            at += segment.length
        if not isinstance(numbers["excess"], int):
            numbers["excess"] = np.ceil(numbers["excess"] * self._excess_steps)
        numbers["loss"] = beside["loss"].codec.encode(np.asarray(update.loss), scale=share)
        for name, segment in beside.items():
            segment.write(numbers[name], lanes[..., at : at + segment.length])
            at += segment.length
        return lanes

    def entered(self, lanes: np.ndarray, examples: int) -> dict[str, np.ndarray]:
        """The values that a client's lanes, (n,) or (K, n), stand for in the mean, float64, by output."""
        share = min(examples, self.max_weight) / self.max_weight
        ends = np.cumsum([segment.length for segment in self.vectors])
        parts = np.split(lanes, ends, axis=-1)[:-1]
        return {
            segment.name: np.ldexp(part.astype(np.float64), -segment.codec.fraction_bits) / share
            for segment, part in zip(self.vectors, parts, strict=True)
        }

    @property
    def _excess_steps(self) -> int:
        """Resolution of the "excess" lane: how many integer steps stand for one bound.

        Coarse, so that an excess of many bounds still fits.
        """
        return 1 << (max(self.codec.bits, LEAST_BITS) // 3)

    def blur(self, lanes: np.ndarray, round: int, clients: Sequence[int]) -> None:
        """Add to these clients' lanes (K, n) the noise that is theirs to add, in place: none."""

    @property
    def broadcasts(self) -> Mapping[str, int]:
        """The vectors of a request that decide how those of its round are read: names and lengths."""
        return {BROADCAST: len(self.vectors)} if self._moves else {}

    def in_round(self, state: Mapping[str, np.ndarray]) -> Layout:
        """The layout of one round. state: of its request; raises `ProtocolError` for one that no vector fits."""
        return self.at(fraction_bits(state, len(self.vectors))) if self._moves else self

    @cached_property
    def _moves(self) -> bool:
        """True if bounds follow the updates."""
        return any(segment.kind == "finer" for segment in self.segments)

    def narrowed(self, length: int) -> Layout:
        """The same for an update whose first vector is cut down to so many values."""
        first, *others = self.segments
        return Layout((replace(first, length=length), *others), self.max_weight)

    def check(self, total: np.ndarray, addends: int) -> None:
        """Raise `ProtocolError` for an int64 sum (n,) to which no vectors of `addends` honest clients add up."""
        if total.shape != (len(self),):
            raise ShapeError(f"a sum of shape {total.shape}, the layout needs ({len(self)},)")
        at = 0
        for segment in self.segments:
            part, at = total[at : at + segment.length], at + segment.length
            least, most = self._possible(segment, addends)
            low, high = segment.range(part, (least, most))
            if not (least <= low and high <= most):
                worst = low if low < least else high
                raise ProtocolError(
                    f"lane {segment.name!r} holds {worst}, of {many(addends, 'honest client')} it is {least} to {most}"
                )

    def _possible(self, segment: Segment, addends: int) -> tuple[int, int]:
        """The least and the largest sum of one lane."""
        most = addends * segment.codec.limit
        match segment.name if segment.kind == "count" else segment.kind:
            case "finer":
                return -addends * MOST_FINER, addends * MOST_FINER
            case "weight":
                return addends, addends * self.max_weight
            case "capped":
                return 0, addends
            case "clipped" | "excess":
                return 0, most
        return -most, most

    def decode(self, total: np.ndarray, addends: int) -> Aggregate:
        """Means and totals from the opened sum, int64 (n,), of `addends` clients' vectors.

        Raises `RoundVoid` for a sum that `check` refuses: nothing of it is used.
        """
        sums = self._opened(total, addends)
        beside = self._beside
        numbers = {name: segment.read(sums[name]) for name, segment in beside.items()}
        weight, excess = numbers["weight"], numbers["excess"]
        beyond = excess / self._excess_steps if excess < beside["excess"].codec.limit else np.inf
        return Aggregate(
            loss=float(beside["loss"].codec.decode(np.array(numbers["loss"]), weight, self.max_weight)),
            mean={s.name: s.codec.decode(sums[s.name], weight, self.max_weight) for s in self.vectors},
            addends=addends,
            weight=weight,
            clipped=numbers["clipped"],
            capped=numbers["capped"],
            finer={name.removeprefix(FINER): n / addends for name, n in numbers.items() if name.startswith(FINER)},
            error_bound=max(
                s.codec.error_bound(addends, weight, self.max_weight, clipped=beyond * s.codec.bound)
                for s in self.vectors
            ),
        )

    def _opened(self, total: np.ndarray, addends: int) -> dict[str, np.ndarray]:
        """An opened sum by name of its segments; raises `RoundVoid` for one that `check` refuses."""
        self._check_opened(total, addends)
        found, at = {}, 0
        for segment in self.segments:
            found[segment.name] = total[at : at + segment.length]
            at += segment.length
        return found

    def _check_opened(self, total: np.ndarray, addends: int) -> None:
        try:
            self.check(total, addends)
        except ProtocolError as error:
            raise RoundVoid(f"the opened sum cannot be one of updates, so it is not used: {error}") from None

    def to_dict(self) -> dict[str, Any]:
        """Plain data, without the codec: each segment says its kind and bound, the plan's codec the rest."""
        rows = [(s.name, s.length, s.kind, s.codec.bound) for s in self.segments]
        return {"segments": rows, "max_weight": self.max_weight}


def check_max_weight(codec: FixedPoint, max_weight: int) -> None:
    """Raise `CodecError` where the sum of the largest weights does not fit 63 bits."""
    most = (1 << (MAX_LANE_BITS - 1)) // codec.addends
    if not 1 <= max_weight <= most:
        raise CodecError(
            f"max_weight is {max_weight}, a sum of {many(codec.addends, 'addend')} holds weights of 1 to {most}: "
            "lower the strategy's max_weight, or addends in the codec"
        )


def check_length(segment: Segment, values: np.ndarray) -> None:
    if values.shape[-1:] != (segment.length,):
        raise ShapeError(
            f"update {segment.name!r} has shape {values.shape}, the plan says ({segment.length},): "
            "the model must keep the parameters it had at the start of the run"
        )


def vector_length(plan: RunPlan) -> int:
    """How many lanes every client's vector has."""
    return sum(length for _, length, *_ in plan.layout["segments"])
