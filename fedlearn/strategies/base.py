"""The parts of a federated algorithm: local training and the server's step. Each algorithm is one class in one file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np

from fedlearn.configured import Named, arguments_of
from fedlearn.datasets.examples import Examples
from fedlearn.models.base import Trainable
from fedlearn.training.loop import Shuffles

State = dict[str, np.ndarray]
MOST_EPOCHS, MOST_EXAMPLES = 10**6, 2**40  # of local training: what more is asked for, clients refuse


@dataclass(frozen=True, eq=False)
class LocalUpdate:
    """The result of local training, before any protection: it never leaves a client as it is.

    vectors   by name, flat float32; "delta" = w_local - w_global, (P,)
    examples  how many examples stand behind it: its weight in the mean
    loss      mean training loss per example over the local epochs, in nats
    state     what this client keeps for the next time it is sampled, by the names of `Strategy.keeps`, float32

    Of K stacked clients, which have equally many examples: vectors (K, P), or (n,) where all have the same, losses
    (K,) and states (K, n).
    """

    vectors: dict[str, np.ndarray]
    examples: int
    loss: float | np.ndarray
    state: State = field(default_factory=dict)

    @classmethod
    def stacked(cls, updates: Sequence[Self]) -> Self:
        """Stack the updates of several clients with equally many examples, as if they had been trained stacked."""
        first = updates[0]
        vectors = {name: np.stack([update.vectors[name] for update in updates]) for name in first.vectors}
        state = {name: np.stack([update.state[name] for update in updates]) for name in first.state}
        return cls(vectors, first.examples, np.array([update.loss for update in updates]), state)

    def among(self, clients: slice) -> Self:
        """The updates of some of the stacked clients."""
        if clients == slice(0, np.size(self.loss)):
            return self
        vectors = {name: vector[clients] if vector.ndim > 1 else vector for name, vector in self.vectors.items()}
        state = {name: each[clients] for name, each in self.state.items()}
        return replace(self, vectors=vectors, loss=np.asarray(self.loss)[clients], state=state)


@dataclass(frozen=True)
class RoundContext:
    """The facts of a round whose sum was opened.

    round       its number, from 1; rounds: of the run
    attempt     the one that succeeded, from 0
    population  clients in the federation; addends: clients in the sum
    """

    round: int
    rounds: int
    attempt: int
    population: int
    addends: int

    @property
    def participation(self) -> float:
        """The share of all clients whose updates are in the sum."""
        return self.addends / self.population


@dataclass(frozen=True)
class Output:
    """One vector in every `LocalUpdate`: its length, and its own bound where that is not the codec's."""

    length: int
    bound: float | None = None


class Strategy(Named, ABC):
    """One federated algorithm, both halves of it: what clients do, and what the server does with the mean.

    A new one defines `local_update` and `server_step`, and `outputs` where clients send more than a delta. A dataclass
    needs no more: its fields are its arguments. Another class keeps each parameter of `__init__` as an attribute, or
    defines `arguments`.

    name        how messages and records call it; by default the class's name in lower case
    max_weight  public limit of a client's weight in the mean; larger counts are capped, and counted
    leaves_untouched_weights  True if a weight with zero gradient in every step does not change, and all outputs are
                0 at it: training may then leave such weights out. Must be False if `broadcasts` or `keeps` is not
                empty, or if an output is a sum over all weights: without the zeros it is added up in another order. A
                class with local training of its own does not inherit it
    """

    max_weight: int = 4096
    leaves_untouched_weights: bool = False

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        own = vars(cls)
        if "leaves_untouched_weights" not in own and {"outputs", "local_update", "adjusted"} & set(own):
            cls.leaves_untouched_weights = False

    def arguments(self) -> dict[str, Any]:
        """The arguments that construct it again, by parameter: numbers, text, or lists and dicts of them."""
        return arguments_of(self)

    def outputs(self, parameters: int) -> Mapping[str, Output]:
        """The vectors in each `LocalUpdate` by name, for a model of so many parameters; one is "delta"."""
        return {"delta": Output(parameters)}

    def broadcasts(self, parameters: int) -> Mapping[str, int]:
        """The vectors of the server's state that go to clients with the weights: names and lengths. All 0 at first."""
        return {}

    def keeps(self, parameters: int) -> Mapping[str, int]:
        """The vectors that a client keeps between rounds: names and lengths. All 0 at first."""
        return {}

    @abstractmethod
    def local_update(self, model: Trainable, data: Examples, state: State, rng: Shuffles) -> LocalUpdate:
        """Train `model`, which holds the global weights, on one client's examples.

        state: by name, float32: what the server broadcasts, (n,), and what the client has kept, (n,) or (K, n).

        With K stacked clients the model is a `FlatModel` with K copies, the examples are a `Stack`, and every array
        has an axis of clients in front. Code that works on trailing axes serves both.
        """

    @abstractmethod
    def server_step(
        self, weights: np.ndarray, mean: Mapping[str, np.ndarray], state: State, context: RoundContext
    ) -> tuple[np.ndarray, State]:
        """New global weights (P,) float32, and new state, from the old ones and the outputs' weighted means (float64).

        weights, mean and state are not to be written to. context: the round that the means are of.
        """
