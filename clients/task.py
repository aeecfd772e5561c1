"""A round's values, as its clients train from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from clients.memory import ClientMemory
from fedlearn.errors import PoolFailure
from fedlearn.secure.rounds import RoundLayout


@dataclass(frozen=True, eq=False)
class Task:
    """The values that clients train from in a round.

    weights, state: as in a `TrainRequest`. memory: where clients keep their state between rounds; None where the
    strategy has them keep none. layout: as it is in this round.
    """

    round: int
    weights: np.ndarray
    state: Mapping[str, np.ndarray]
    layout: RoundLayout
    memory: ClientMemory | None = None

    @property
    def kept(self) -> ClientMemory:
        """The memory of clients that keep state; a pool opens it before the first round."""
        if self.memory is None:
            raise PoolFailure("the strategy has clients keep state, and the pool was not told where: call `remember`")
        return self.memory
