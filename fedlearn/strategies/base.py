"""What an algorithm is made of: its change to local training and the server's step, in one class a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from fedlearn.datasets.bags import Examples
from fedlearn.models.base import Model

State = dict[str, np.ndarray]


@dataclass(frozen=True)
class LocalUpdate:
    """What local training produced, before any protection: it never leaves a client as it is.

    vectors   by name, flat float32; "delta" = w_local - w_global, (P,)
    examples  how many examples stand behind it: its weight in the mean
    loss      mean training loss per example over the local epochs, in nats
    state     what this client keeps for the next time it is sampled
    """

    vectors: dict[str, np.ndarray]
    examples: int
    loss: float
    state: State = field(default_factory=dict)


@dataclass(frozen=True)
class Output:
    """One vector in every `LocalUpdate`: its length, and its own bound where that is not the codec's."""

    length: int
    bound: float | None = None


class Strategy(Protocol):
    """Configuration of one federated algorithm; `arguments()` rebuilds it on the other side of the wire.

    name        its name in the registry
    max_weight  public limit of a client's weight in the mean; larger counts are capped, and counted
    """

    name: str

    @property
    def max_weight(self) -> int: ...

    def arguments(self) -> dict[str, Any]: ...

    def outputs(self, parameters: int) -> Mapping[str, Output]:
        """The vectors in each `LocalUpdate` by name, for a model of so many parameters."""
        ...

    def local_update(self, model: Model, data: Examples, state: State, rng: np.random.Generator) -> LocalUpdate:
        """Train `model`, which holds the global weights, on one client's examples."""
        ...

    def server_step(
        self, weights: np.ndarray, mean: Mapping[str, np.ndarray], state: State
    ) -> tuple[np.ndarray, State]:
        """New global weights (P,) float32 from the old ones and the weighted means (float64) of the outputs."""
        ...
