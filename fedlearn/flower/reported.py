"""The content of one kind of a Flower app's replies, and both of its halves: replies into vectors, a mean back.

Arrays go as differences to those that the node was sent: small numbers, so that a codec's bound fits. A metric is a
vector of one number. Weights are the app's own counts of examples.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict

from fedlearn.crypto import FixedPoint
from fedlearn.errors import BadInput, CodecError, ProtocolError, ShapeError
from fedlearn.protocol import TrainRequest
from fedlearn.secure.aggregate import Aggregate
from fedlearn.secure.layout import Layout
from fedlearn.secure.layouts import layout_of
from fedlearn.strategies.base import LocalUpdate, Output

ARRAYS = "arrays"  # the vector of all arrays without a bound of their own
KINDS = "fiu"  # NumPy's letters of the types that can be averaged


@dataclass(frozen=True)
class Reported:
    """The shape of replies, the same for all nodes.

    arrays       name, shape and type of each array, in order; none in replies to an evaluation
    bounds       of arrays that have one of their own, by name; metrics: the bound of each metric
    weighted_by  the metric that counts a node's examples; max_weight: the most of them
    """

    arrays: tuple[tuple[str, tuple[int, ...], str], ...]
    metrics: Mapping[str, float]
    weighted_by: str
    max_weight: int
    bounds: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(
        cls, arrays: ArrayRecord | None, bounds: Mapping[str, float], metrics: Mapping[str, float],
        weighted_by: str, max_weight: int,
    ) -> Reported:  # fmt: skip
        """The replies to such a message.

        arrays: that nodes are sent, None where they send none back. bounds: by name or pattern, as "*running_var".
        Raises `BadInput` for arrays that cannot be averaged, and for bounds of none.
        """
        found = {name: array.numpy() for name, array in (arrays or {}).items()}
        for name, value in found.items():
            if value.dtype.kind not in KINDS:
                raise BadInput(f"array {name!r} is of type {value.dtype}: only real numbers can be averaged")
        own = {n: float(bounds[p]) for p in reversed(list(bounds)) for n in found if fnmatchcase(n, p)}
        unknown = [p for p in bounds if arrays is not None and not any(fnmatchcase(n, p) for n in found)]
        if unknown:
            raise BadInput(f"bounds names {unknown[0]!r}, the arrays are {', '.join(found)}: name one of them")
        shapes = tuple((name, value.shape, str(value.dtype)) for name, value in found.items())
        return cls(shapes, dict(metrics), weighted_by, max_weight, own)

    def to_dict(self) -> dict[str, Any]:
        rows = [[name, list(shape), kind] for name, shape, kind in self.arrays]
        about = {"weighted_by": self.weighted_by, "max_weight": self.max_weight}
        return {"name": "flower", "arrays": rows, "bounds": dict(self.bounds), "metrics": dict(self.metrics), **about}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Reported:
        """Read `to_dict`; raises `ProtocolError` for what is none."""
        try:
            rows = tuple((str(n), tuple(map(int, shape)), str(np.dtype(kind))) for n, shape, kind in data["arrays"])
            bounds, metrics = ({str(n): float(b) for n, b in data[part].items()} for part in ("bounds", "metrics"))
            return cls(rows, metrics, str(data["weighted_by"]), int(data["max_weight"]), bounds)
        except (KeyError, TypeError, ValueError, AttributeError):
            raise ProtocolError(f"the plan's replies are {data!r:.80}: all parties must run one version") from None

    def layout(self, codec: FixedPoint) -> Layout:
        """Raises `CodecError` where a bound or max_weight does not fit the codec."""
        outputs = {}
        if common := sum(math.prod(shape) for name, shape, _ in self.arrays if name not in self.bounds):
            outputs[ARRAYS] = Output(common)
        outputs |= {
            f"array {name}": Output(math.prod(shape), self.bounds[name])
            for name, shape, _ in self.arrays
            if name in self.bounds
        }
        outputs |= {f"metric {name}": Output(1, bound) for name, bound in self.metrics.items()}
        return layout_of(outputs, codec, self.max_weight)

    def check_sent(self, sent: RecordDict) -> None:
        """Raise `ShapeError` unless the strategy sends arrays of the first round's names and shapes."""
        if not self.arrays:
            return
        agreed = {name: shape for name, shape, _ in self.arrays}
        found = {name: tuple(array.shape) for name, array in arrays_of(sent, "the strategy sends").items()}
        for name in [*agreed, *found]:
            if agreed.get(name) != found.get(name):
                raise ShapeError(
                    f"the strategy sends array {name!r} as {found.get(name)}, in the first round it was "
                    f"{agreed.get(name)}: names and shapes stay the same for a run"
                )

    def update(self, sent: RecordDict, reply: RecordDict) -> LocalUpdate:
        """One node's reply as vectors; raises `BadInput` for one that is not as agreed."""
        weight, metrics = self._metrics(reply)
        vectors = {f"metric {name}": np.array([metrics[name]]) for name in self.metrics}
        if self.arrays:
            changed = self._changes(arrays_of(sent, "it was sent"), arrays_of(reply, "its reply has"))
            common = [value.ravel() for name, value in changed.items() if name not in self.bounds]
            vectors |= {ARRAYS: np.concatenate(common)} if common else {}
            vectors |= {f"array {name}": changed[name].ravel() for name in self.bounds}
        elif reply.array_records:
            raise ProtocolError("its reply to an evaluation has arrays, which are not agreed on: leave them out")
        return LocalUpdate(vectors, weight, 0.0)

    def _changes(self, sent: ArrayRecord, got: ArrayRecord) -> dict[str, np.ndarray]:
        names = [name for name, _, _ in self.arrays]
        if list(got) != names:
            odd = sorted(set(got).symmetric_difference(names)) or names
            raise ShapeError(f"its reply has other arrays than it was sent ({odd[0]!r}): return the same, in order")
        changed = {}
        for name, shape, kind in self.arrays:
            value = got[name].numpy()
            if value.shape != shape or value.dtype.kind not in KINDS:
                raise ShapeError(
                    f"array {name!r} came back as {value.dtype} {value.shape}, the plan says {kind} {shape}"
                )
            changed[name] = value.astype(np.float64) - sent[name].numpy()
        return changed

    def _metrics(self, reply: RecordDict) -> tuple[int, dict[str, Any]]:
        records = list(reply.metric_records.values())
        if len(records) != 1:
            raise ProtocolError(f"its reply has {len(records)} MetricRecords, one is needed")
        metrics = dict(records[0])
        weight = metrics.pop(self.weighted_by, None)
        if metrics.keys() != self.metrics.keys():
            odd = sorted(metrics.keys() ^ self.metrics.keys())[0]
            raise BadInput(f"metric {odd!r} is in its reply or in SecureSums(metrics=), not in both: name it in both")
        if isinstance(weight, bool) or not isinstance(weight, int | float) or weight != int(weight):
            raise BadInput(f"{self.weighted_by} is {weight!r:.80}: a whole number of examples is needed")
        if not 1 <= weight <= self.max_weight:
            raise BadInput(
                f"{self.weighted_by} is {weight:.0f}, SecureSums allows 1 to {self.max_weight}: raise its max_weight"
            )
        lists = [name for name, value in metrics.items() if isinstance(value, list)]
        if lists:
            raise BadInput(f"metric {lists[0]!r} is a list: give each of its numbers a name")
        return int(weight), metrics

    def check_bounds(self, update: LocalUpdate, sent: RecordDict, reply: RecordDict, codec: FixedPoint) -> None:
        """Raise `CodecError` naming an array or metric that leaves its bound, under a codec that refuses that."""
        if codec.overflow != "refuse":
            return
        for name, bound in self.metrics.items():
            if not abs(update.vectors[f"metric {name}"][0]) <= bound:
                raise CodecError(f"metric {name!r} is beyond its bound {bound:g}: raise it in SecureSums(metrics=)")
        if not self.arrays:
            return
        for name, value in self._changes(arrays_of(sent, ""), arrays_of(reply, "")).items():
            most, bound = np.abs(value).max(initial=0), self.bounds.get(name, codec.bound)
            if np.isnan(most):
                raise CodecError(
                    f"array {name!r} came back with nan: lower the learning rate, or look at the client's examples"
                )
            if not most * update.examples / self.max_weight <= bound:
                raise CodecError(
                    f"array {name!r} changed by {most:g}, times its weight {update.examples}/{self.max_weight} that is "
                    f"beyond the bound {bound:g}: SecureSums(bounds={{{name!r}: ...}}), or a lower learning rate"
                )

    def error_bound(self, codec: FixedPoint, mean: Aggregate) -> float:
        """The most by which an array's mean differs from the exact one; of metrics where there are no arrays."""
        assert mean.weight is not None
        if mean.clipped:
            return mean.error_bound
        bounds = [self.bounds.get(name, codec.bound) for name, _, _ in self.arrays] or list(self.metrics.values())
        widest = replace(codec, bound=max(bounds))
        return widest.error_bound(mean.addends, mean.weight, self.max_weight)

    def reply(self, sent: RecordDict, mean: Aggregate, asked: Message) -> Message:
        """The one reply that a strategy gets in place of all: the weighted mean, and the sum of weights."""
        assert mean.weight is not None
        metrics: dict[str, float] = {name: float(mean.mean[f"metric {name}"][0]) for name in self.metrics}
        records = RecordDict({"metrics": MetricRecord({self.weighted_by: mean.weight, **metrics})})
        if self.arrays:
            (name,) = sent.array_records
            records[name] = ArrayRecord(self._arrays(sent.array_records[name], mean.mean))
        return Message(records, reply_to=asked)

    def _arrays(self, sent: ArrayRecord, mean: Mapping[str, np.ndarray]) -> dict[str, Array]:
        rest, arrays = mean.get(ARRAYS, np.zeros(0)), {}
        for name, shape, kind in self.arrays:
            size = math.prod(shape)
            if name in self.bounds:
                change = mean[f"array {name}"]
            else:
                change, rest = rest[:size], rest[size:]
            value = sent[name].numpy() + change.reshape(shape)
            dtype = np.dtype(kind)
            arrays[name] = Array(np.asarray(value if dtype.kind == "f" else np.rint(value)).astype(dtype))
        return arrays


def arrays_of(records: RecordDict, whose: str) -> ArrayRecord:
    """The one ArrayRecord; raises `ProtocolError` where there are more or none."""
    found = list(records.array_records.values())
    if len(found) != 1:
        raise ProtocolError(f"{whose} {len(found)} ArrayRecords, one is needed")
    return found[0]


def request_of(sent: RecordDict) -> TrainRequest:
    """A request that says which arrays nodes were sent, by their SHA-256: what they sign that they trained from."""
    digest = hashlib.sha256()
    for record in sent.array_records.values():
        for name, array in record.items():
            head = f"{name}\0{array.dtype}\0{tuple(array.shape)}\0{array.stype}\0{len(array.data)}\0"
            digest.update(head.encode() + array.data)
    return TrainRequest(np.frombuffer(digest.digest(), "<f4"))
