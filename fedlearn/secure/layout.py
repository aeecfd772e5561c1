"""What one protected vector holds, lane by lane, and how a local update gets in and the mean gets out.

A client with w examples enters as (w / max_weight) * value, quantised; w itself travels in a lane of its own, and so
do the loss, the counts of clipped coordinates and capped weights, and how far beyond the bound the worst of the
clipped lay. Nothing about one client leaves it beside the vector; of the sum, only totals are read. Lanes need
bits + ceil(log2 addends) and no more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from fedlearn.crypto import FixedPoint
from fedlearn.errors import ShapeError
from fedlearn.strategies.base import LocalUpdate, Output

LOSS_BOUND = 64.0  # nats: a loss above it is reported as 64
BOOKKEEPING = ("weight", "loss", "clipped", "excess", "capped")


@dataclass(frozen=True)
class Segment:
    """A run of lanes. weighted: values enter as (w / max_weight) * value."""

    name: str
    length: int
    codec: FixedPoint
    weighted: bool


@dataclass(frozen=True)
class Aggregate:
    """What the opened sum says about the cohort, and nothing about one client.

    mean      by output name, float64: the mean over clients weighted by examples
    addends   clients in the sum
    weight    their examples in all (capped counts)
    loss      mean training loss per example, nats
    clipped   coordinates clipped at the codec's bound (0 where it refuses)
    capped    clients whose example count was capped at max_weight
    error_bound  largest possible |error| of a coordinate of any output's mean, by quantisation and by clipping;
                infinite where values were clipped that lay too far beyond the bound to say
    """

    mean: dict[str, np.ndarray]
    addends: int
    weight: int
    loss: float
    clipped: int
    capped: int
    error_bound: float


@dataclass(frozen=True)
class Layout:
    """Segments of a protected vector, in order: the strategy's outputs, then the bookkeeping lanes."""

    segments: tuple[Segment, ...]
    max_weight: int

    @classmethod
    def of(cls, outputs: Mapping[str, Output], codec: FixedPoint, max_weight: int) -> Self:
        """outputs: the strategy's vectors; codec: that of their values, but for a bound of their own.

        Raises `CodecError` where max_weight does not fit the codec's integers.
        """
        integers = replace(codec, bound=float(2 ** (codec.bits - 1) - 1), overflow="clip", rounding="nearest")
        # Refused here, at the start of a run, if the largest weight does not fit a lane.
        replace(integers, overflow="refuse").encode(np.array([max_weight], np.float64))
        loss = replace(codec, bound=LOSS_BOUND, overflow="clip", rounding="nearest")
        segments = [
            Segment(name, output.length, replace(codec, bound=output.bound or codec.bound), True)
            for name, output in outputs.items()
        ]
        segments += [Segment(name, 1, loss if name == "loss" else integers, name == "loss") for name in BOOKKEEPING]
        return cls(tuple(segments), max_weight)

    def __len__(self) -> int:
        return sum(segment.length for segment in self.segments)

    @property
    def codec(self) -> FixedPoint:
        """That of the strategy's first output; all lanes have its bits."""
        return self.segments[0].codec

    def encode(self, update: LocalUpdate) -> np.ndarray:
        """One client's vector (n,), or those of K stacked clients (K, n), of the codec's dtype.

        Raises `CodecError` for NaN, infinity or a value out of bounds.
        """
        weight = min(update.examples, self.max_weight)
        share = np.float64(weight / self.max_weight)
        lanes = np.empty((*np.shape(update.loss), len(self)), self.codec.dtype)
        clipped: int | np.ndarray = 0
        excess: float | np.ndarray = 0.0
        at = 0
        for segment in self.segments[: -len(BOOKKEEPING)]:
            values = self._fitting(segment, update.vectors[segment.name])
            if segment.codec.overflow == "clip":
                relative = np.abs(values * share) / segment.codec.bound
                clipped = clipped + np.count_nonzero(relative > 1, axis=-1)
                excess = np.maximum(excess, relative.max(axis=-1, initial=1) - 1)
            segment.codec.encode(values, share=share, out=lanes[..., at : at + segment.length])
            at += segment.length
        _, loss, integers, *_ = (segment.codec for segment in self.segments[-len(BOOKKEEPING) :])
        lanes[..., at] = weight
        lanes[..., at + 1] = loss.encode(np.asarray(update.loss), share=share)
        lanes[..., at + 2] = np.minimum(clipped, integers.limit)
        lanes[..., at + 3] = np.minimum(np.ceil(excess * self._excess_steps), integers.limit)
        lanes[..., at + 4] = update.examples > self.max_weight
        return lanes

    @property
    def _excess_steps(self) -> int:
        """In how many steps an excess of one bound is told: coarsely, so that one of many bounds fits a lane."""
        return 1 << (self.codec.bits // 3)

    @staticmethod
    def _fitting(segment: Segment, values: np.ndarray) -> np.ndarray:
        if values.shape[-1:] != (segment.length,):
            raise ShapeError(
                f"update {segment.name!r} has shape {values.shape}, the plan says ({segment.length},): "
                "the model must keep the parameters it had at the start of the run"
            )
        return values

    def narrowed(self, length: int) -> Layout:
        """The same for an update whose first vector is cut down to so many values."""
        first, *others = self.segments
        return Layout((replace(first, length=length), *others), self.max_weight)

    def decode(self, total: np.ndarray, addends: int) -> Aggregate:
        """Means and totals from the opened sum, int64 (n,), of `addends` clients' vectors."""
        if total.shape != (len(self),):
            raise ShapeError(f"opened sum has shape {total.shape}, the layout needs ({len(self)},)")
        bounds = np.cumsum([segment.length for segment in self.segments])[:-1]
        sums = dict(zip((s.name for s in self.segments), np.split(total, bounds), strict=True))
        weight, excess = int(sums["weight"][0]), int(sums["excess"][0])
        beyond = excess / self._excess_steps if excess < self.codec.limit else np.inf
        means = {s.name: s.codec.decode(sums[s.name], weight, self.max_weight) for s in self.segments if s.weighted}
        return Aggregate(
            loss=float(means.pop("loss")[0]),
            mean=means,
            addends=addends,
            weight=weight,
            clipped=int(sums["clipped"][0]),
            capped=int(sums["capped"][0]),
            error_bound=max(
                s.codec.error_bound(addends, weight, self.max_weight, clipped=beyond * s.codec.bound)
                for s in self.segments[: -len(BOOKKEEPING)]
            ),
        )

    def to_dict(self) -> dict[str, Any]:
        rows = [(s.name, s.length, s.codec.to_dict(), s.weighted) for s in self.segments]
        return {"segments": rows, "max_weight": self.max_weight}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Read what `to_dict` gave."""
        rows = data["segments"]
        segments = tuple(Segment(name, n, FixedPoint.from_dict(codec), weighted) for name, n, codec, weighted in rows)
        return cls(segments, data["max_weight"])


def lanes(layout: dict[str, Any]) -> int:
    """The length of a vector of this layout, as `Layout.to_dict` gave it: a round need not build it to know."""
    return sum(length for _, length, *_ in layout["segments"])
