"""Compression at the aggregator: what goes together, how bounds follow opened sums, and when too much is clipped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ldexp

import numpy as np

from aggregator.history import RoundRecord
from aggregator.robust.base import Rule
from fedlearn.crypto import FixedPoint
from fedlearn.crypto.codec import MAX_FRACTION_BITS
from fedlearn.errors import BadInput, CodecError
from fedlearn.privacy.asked import Privacy
from fedlearn.secure.aggregate import Aggregate
from fedlearn.secure.compression import BROADCAST, Compression
from fedlearn.strategies.base import Output, State, Strategy


@dataclass(frozen=True)
class Compressing:
    """The aggregator's part in a run's compression. Made by `agreed`; outputs: of the strategy, by name.

    clip: of differential privacy, which bounds updates where there is one.
    """

    compression: Compression
    codec: FixedPoint
    outputs: Mapping[str, Output]
    clip: float | None

    @classmethod
    def agreed(
        cls, asked: Compression, codec: FixedPoint, strategy: Strategy, parameters: int, privacy: Privacy | None,
        rule: Rule | None,
    ) -> Compressing:  # fmt: skip
        """The compression as it can be; raises `BadInput` for what does not go together."""
        if asked.feedback and privacy is not None:
            raise BadInput(
                "error feedback with noise: what rounding takes away is far below the noise, and what a clip takes is "
                "not to come back: leave feedback out"
            )
        if privacy is not None and privacy.unit == "example" and (asked.share < 1 or codec.rounding == "stochastic"):
            raise BadInput("sparsify or rounding=stochastic with unit=example: single examples are rounded whole")
        if asked.auto and privacy is None and codec.overflow == "refuse":
            raise BadInput("bound=auto moves a bound that clips, and overflow is refuse: set overflow=clip")
        if asked.share < 1 and strategy.keeps(parameters) and not asked.feedback:
            raise BadInput(
                f"sparsify {asked.share:g} under strategy {strategy.name}, whose clients keep what they sent: what is "
                "not sent would be lost; set feedback=true in the codec, or take another strategy"
            )
        if asked.share < 1 and rule is not None and rule.trusts:
            raise BadInput(f"sparsify {asked.share:g} with {rule}, which compares whole updates: leave one out")
        clip = privacy.clip if asked.auto and privacy is not None else None
        if privacy is not None:  # lanes are scaled to the clip, and nobody knows what would suit updates better
            asked = replace(asked, auto=False)
        return cls(asked, codec, strategy.outputs(parameters), clip)

    def first(self) -> State:
        """The bounds of the first round, as they are broadcast: the codec's."""
        if not self.compression.auto:
            return {}
        codecs = [replace(self.codec, bound=output.bound or self.codec.bound) for output in self.outputs.values()]
        return {BROADCAST: np.array([codec.fraction_bits for codec in codecs], np.float32)}

    def scaled(self, mean: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """The mean as it is applied: times 1 / share, so that over rounds it is the updates' own.

        With feedback as it is, since what was not sent comes later.
        """
        if self.compression.share == 1 or self.compression.feedback:
            return mean
        sent = self.compression.lanes(self.outputs)
        return {name: values * (self.outputs[name].length / sent[name]) for name, values in mean.items()}

    def moved(self, state: Mapping[str, np.ndarray], found: Aggregate) -> State:
        """The bounds of the next round."""
        if not self.compression.auto:
            return {}
        finer = np.rint([found.finer[name] for name in self.outputs])
        return {BROADCAST: np.clip(state[BROADCAST] + finer, 0, MAX_FRACTION_BITS).astype(np.float32)}

    def enter(self, record: RoundRecord, state: Mapping[str, np.ndarray], found: Aggregate) -> None:
        """Write a round's bounds into its record; `CodecError` where a fixed one clips more than is allowed.

        One client more may clip all of its values: what a single one sends never ends a run.
        """
        if self.compression.auto:
            bits = zip(self.outputs, state[BROADCAST], strict=True)
            record.bound = {name: ldexp(self.codec.limit, -int(each)) for name, each in bits}
            return
        if self.clip is not None:
            record.bound = dict.fromkeys(self.outputs, self.clip)
        of_each = sum(self.compression.lanes(self.outputs).values())
        values, clipped, most = found.addends * of_each, found.clipped or 0, self.compression.most_clipped
        if clipped > most * values + of_each:
            raise CodecError(
                f"{clipped / values:.1%} of the values of round {record.round} were clipped at the bound "
                f"{self.codec.bound:g}, {most:.0%} may be: raise bound, bound=auto or most_clipped in the codec"
            )
