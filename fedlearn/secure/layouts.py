"""Which layout a protected vector has: that of a strategy's outputs and their noise, or of what a plan says."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from operator import index
from typing import Any

from fedlearn.crypto import FixedPoint
from fedlearn.errors import ProtocolError
from fedlearn.privacy.terms import Terms
from fedlearn.protocol import RunPlan
from fedlearn.secure.compression import FINER, MOST_FINER, NO_COMPRESSION, Compression
from fedlearn.secure.counts import CountLayout
from fedlearn.secure.layout import BOOKKEEPING, LOSS_BOUND, MOST_EXCESS, Layout, check_max_weight
from fedlearn.secure.noised import PrivateLayout
from fedlearn.secure.segments import Segment, codec_of, number_beside
from fedlearn.strategies.base import Output
from fedlearn.wording import many

MOST_LANES = 2**30  # of a segment that others describe


def layout_of(
    outputs: Mapping[str, Output], codec: FixedPoint, max_weight: int, terms: Terms | None = None,
    compression: Compression = NO_COMPRESSION,
) -> Layout:  # fmt: skip
    """The layout of a strategy's outputs, and the bookkeeping beside them.

    codec: of the outputs' values, but for a bound of their own. terms: of noise. Raises `CodecError` where max_weight
    does not fit the codec's integers, or `PrivateLayout` for these terms.
    """
    sent = compression.lanes(outputs)
    if terms is not None:
        return PrivateLayout.of_lengths(sent, codec, terms)
    check_max_weight(codec, max_weight)
    segments = [
        Segment(name, sent[name], codec_of("vector", output.bound or codec.bound, codec))
        for name, output in outputs.items()
    ]
    counted, excess = max(codec.limit, sum(sent.values())), max(codec.limit, MOST_EXCESS)
    bounds = dict(weight=max(codec.limit, max_weight), loss=LOSS_BOUND, clipped=counted, excess=excess, capped=1)
    for name in BOOKKEEPING:
        kind = "loss" if name == "loss" else "count"
        segments.append(number_beside(name, kind, float(bounds[name]), codec))
    if compression.auto:
        segments += [number_beside(FINER + name, "finer", float(MOST_FINER), codec) for name in outputs]
    return Layout(tuple(segments), max_weight)


@lru_cache(maxsize=4)
def layout_of_plan(plan: RunPlan) -> Layout:
    """The layout and codec of the plan; needed in every round, so one object serves a plan and process."""
    arguments = plan.protection.get("arguments")
    codec = arguments.get("codec") if isinstance(arguments, Mapping) else None
    layout, terms = read_layout(plan.layout, FixedPoint.from_dict(codec)), Terms.read(plan.privacy)
    return layout if terms is None else PrivateLayout(layout.segments, layout.max_weight, terms)


def read_layout(data: Mapping[str, Any], codec: FixedPoint) -> Layout:
    """Read what `Layout.to_dict` gave. codec: that of all updates. Raises `ProtocolError` for what is none."""
    try:
        rows = [(str(name), index(n), str(kind), float(bound)) for name, n, kind, bound in data["segments"]]
        max_weight = index(data["max_weight"])
    except (KeyError, TypeError, ValueError):
        raise ProtocolError(f"no layout of a vector: {data!r:.80}; all parties must run one version") from None
    if not all(0 <= length <= MOST_LANES for _, length, *_ in rows):
        raise ProtocolError(f"no layout of a vector: segments have 0 to {MOST_LANES:,} lanes, not {data!r:.80}")
    segments = tuple(_segment(*row, codec) for row in rows)
    counts = bool(segments) and segments[0].kind == "count"  # updates begin with a vector
    return CountLayout(segments, max_weight) if counts else Layout(segments, max_weight)


def _segment(name: str, length: int, kind: str, bound: float, codec: FixedPoint) -> Segment:
    """Read a row of a plan's layout; raises `ProtocolError` for a number in other lanes than it takes."""
    if kind == "vector" or codec_of(kind, bound, codec).bits == codec.bits:
        return Segment(name, length, codec_of(kind, bound, codec), kind)
    beside = number_beside(name, kind, bound, codec)
    if beside.length != length:
        raise ProtocolError(f"no layout of a vector: {name} takes {many(beside.length, 'lane')}, not {length}")
    return beside
