"""How updates are made smaller than the codec's bits make them, by rules that sums survive: a part of the plan.

auto      The bound follows the updates. Beside its update each client enters by how many powers of two another bound
          would have suited it better: the one with the least squared error of rounding and clipping (the choice of
          Banner et al. 2019, "Post training 4-bit quantization", section 3, but measured and not modelled). The mean
          of a round's entries moves the next round's bound, which its request says.
feedback  Clients keep what rounding and clipping took from their updates, and add it to the next one (Seide et al.
          2014; Karimireddy et al. 2019, "Error feedback fixes SignSGD").
share     A round sends this share of the weights only, the same ones of all clients (random mask, Konecny et al. 2016,
          section 2), which every party draws from the seed. The rest of the model stays as it is in that round, and the
          mean of what was sent is applied 1 / share times, so that over rounds it is the updates' own; with feedback
          once, since what was not sent comes later.

What clients choose by themselves, as each its largest values, has no sum: lanes of two clients would hold different
weights, and whoever says which it chose says what it has learned.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from fedlearn.configured import make_plain, make_real
from fedlearn.crypto import FixedPoint
from fedlearn.crypto.codec import MAX_FRACTION_BITS
from fedlearn.errors import BadInput, ProtocolError
from fedlearn.protocol import RunPlan
from fedlearn.seeding import stream
from fedlearn.wording import many

if TYPE_CHECKING:
    from fedlearn.strategies.base import Output

FINER = "finer "  # the name of the number beside an output, with that of the output
BROADCAST = "fraction_bits"  # what a request says of the round's bounds: of each output, float32
MOST_FINER = 7  # powers of two that a client may move a bound by: one that lies moves the mean a little
TRIED = 4  # bounds a client compares: the one that clips nothing, and its halves


@dataclass(frozen=True)
class Compression:
    """The compression of a run beside its codec's bits; by default there is none.

    auto, feedback, share: as at the head of this file; share is above 0 and at most 1. most_clipped: of the values of a
    round, the share that a fixed bound may clip; more end the run.
    """

    auto: bool = False
    feedback: bool = False
    share: float = 1.0
    most_clipped: float = 0.1

    name: ClassVar[str] = "compression"

    def __post_init__(self) -> None:
        make_plain(self)
        make_real(self, "share", above=0, usual="0.1 sends a tenth of the weights a round")
        if self.share > 1:
            raise BadInput(f"compression share is {self.share:g}, the most is 1, all of the weights: lower it")
        make_real(self, "most_clipped", least=0, usual="0.1 allows a tenth of the values")

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`; raises `ProtocolError` for anything that it did not make."""
        known = {f.name for f in fields(cls)}
        if not isinstance(data, Mapping) or not set(data) <= known:
            raise ProtocolError(f"no compression: {data!r:.80}; all parties must run one version")
        try:
            return cls(**data)
        except (BadInput, TypeError) as error:
            raise ProtocolError(f"no compression: {error}; all parties must run one version") from None

    @staticmethod
    @lru_cache(maxsize=4)
    def of_plan(plan: RunPlan) -> Compression:
        """The compression of the plan; needed in every round, so one object serves a plan and process."""
        return Compression.read(plan.compression)

    def to_dict(self) -> dict[str, Any]:
        return {} if self == NO_COMPRESSION else asdict(self)

    @property
    def whole(self) -> bool:
        """True if vectors are encoded in their full length: what is kept or left out is told by place."""
        return self.feedback or self.share < 1

    def lanes(self, outputs: Mapping[str, Output]) -> dict[str, int]:
        """How many lanes of each output are sent, by name: of those that have one for each weight, a share."""
        shared = of_weights(outputs)
        return {
            name: self.sent_of(output.length) if name in shared else output.length for name, output in outputs.items()
        }

    def sent_of(self, parameters: int) -> int:
        """How many of a model's weights a round sends."""
        return parameters if self.share == 1 else max(min(2, parameters), round(self.share * parameters))

    def most_parameters(self, lanes: int) -> int:
        """How many weights a model may have whose updates take so many lanes."""
        return lanes if self.share == 1 else int(lanes / self.share) + 1

    def sent(self, seed: int, round: int, parameters: int) -> np.ndarray | None:
        """Which weights a round sends, int64, rising; None for all. Everybody draws the same."""
        if self.share == 1:
            return None
        drawn = stream(seed, "mask", round).choice(parameters, self.sent_of(parameters), replace=False)
        found: np.ndarray = np.sort(drawn)
        return found

    def keeps(self, outputs: Mapping[str, Output]) -> dict[str, int]:
        """The vectors that clients keep beside those of the strategy: names and lengths."""
        return {kept(name): output.length for name, output in outputs.items()} if self.feedback else {}


NO_COMPRESSION = Compression()


def of_weights(outputs: Mapping[str, Output]) -> frozenset[str]:
    """The outputs of a strategy that have a value for each weight of the model, as `delta` has, by name."""
    parameters = outputs["delta"].length if "delta" in outputs else 0
    return frozenset(name for name, output in outputs.items() if output.length == parameters)


def kept(name: str) -> str:
    """The name under which a client keeps the rest of an output."""
    return f"left of {name}"


def finer(values: np.ndarray, codec: FixedPoint) -> np.ndarray:
    """By how many powers of two a finer codec suits values (n,), or (K, n), better: int64, scalar or (K,).

    Negative where a coarser one does; at most `MOST_FINER` either way, and 0 of values that are all 0.
    """
    rows = np.atleast_2d(np.asarray(values, np.float64))
    largest = np.abs(rows).max(axis=1, initial=0.0)
    clipping_none = np.floor(np.log2(codec.limit / np.where(largest > 0, largest, 1.0)))
    errors = np.stack([_squared_error(rows, clipping_none + more, codec) for more in range(TRIED)])
    best = clipping_none + errors.argmin(axis=0)
    found = np.where(largest > 0, np.clip(best - codec.fraction_bits, -MOST_FINER, MOST_FINER), 0).astype(np.int64)
    return found if np.ndim(values) > 1 else found[0]


def _squared_error(rows: np.ndarray, fraction_bits: np.ndarray, codec: FixedPoint) -> np.ndarray:
    """Of each row, by rounding and clipping, with steps of 2^-fraction_bits."""
    scaled = np.ldexp(rows, fraction_bits.astype(np.int64)[:, None])
    within = np.clip(scaled, -codec.limit, codec.limit)
    above = within - np.floor(within)
    rounded = above * (1 - above) if codec.rounding == "stochastic" else np.minimum(above, 1 - above) ** 2
    errors = ((scaled - within) ** 2 + rounded).sum(axis=1)
    found: np.ndarray = np.ldexp(errors, -2 * fraction_bits.astype(np.int64))
    return found


def fraction_bits(state: Mapping[str, np.ndarray], outputs: int) -> list[int]:
    """The bounds that a request says; raises `ProtocolError` for one that says none."""
    said = np.asarray(state.get(BROADCAST, ()))
    if said.shape != (outputs,) or not np.isin(said, np.arange(MAX_FRACTION_BITS + 1)).all():
        raise ProtocolError(
            f"a request with the bounds {said.tolist()!r:.80}: {many(outputs, 'whole number is', 'whole numbers are')} "
            "needed"
        )
    return [int(bits) for bits in said]
