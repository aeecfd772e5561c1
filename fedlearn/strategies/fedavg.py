"""Federated averaging (McMahan et al. 2017, "Communication-Efficient Learning", Algorithm 1)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedlearn.configured import make_real, make_whole
from fedlearn.datasets.examples import Examples
from fedlearn.errors import BadInput
from fedlearn.models.base import Trainable
from fedlearn.optim.rules import mean_towards, square_towards
from fedlearn.parts import in_parts
from fedlearn.strategies.base import MOST_EPOCHS, MOST_EXAMPLES, LocalUpdate, RoundContext, State, Strategy
from fedlearn.training.loop import Shuffles, train_epochs


@dataclass(frozen=True)
class FedAvg(Strategy):
    """Clients run E epochs of SGD from the global weights; the server adds the mean of their deltas.

    The mean is weighted by examples: a client with w of them enters as w / max_weight times its delta, so
    that the weights themselves can stay private.

    epochs, batch_size, lr, momentum, weight_decay: of the local SGD (E, B and eta in the paper).
    optimizer: "adam" in place of that SGD, where the algorithm allows it.
    """

    epochs: int = 1
    batch_size: int = 32
    lr: float = 0.1
    momentum: float = 0.0
    weight_decay: float = 0.0
    max_weight: int = 4096
    optimizer: str = "sgd"

    name = "fedavg"
    local_optimizers: ClassVar[tuple[str, ...]] = ("sgd", "adam")

    def __post_init__(self) -> None:
        make_whole(self, "epochs", least=1, most=MOST_EPOCHS)
        make_whole(self, "batch_size", least=1, most=MOST_EXAMPLES)
        make_whole(self, "max_weight", least=1, most=MOST_EXAMPLES)
        make_real(self, "lr", above=0, usual="0.1 is a usual start")
        make_real(self, "momentum", least=0, below=1, usual="0.9 is usual, 0 is none")
        make_real(self, "weight_decay", least=0, usual="0 is none")
        if self.optimizer not in self.local_optimizers:
            raise BadInput(f"{self.name} optimizer {self.optimizer!r}: choose {' or '.join(self.local_optimizers)}")
        if self.optimizer == "adam" and self.momentum:
            raise BadInput(f"momentum {self.momentum} has no effect under adam, which has its own: leave it out")

    @property
    def leaves_untouched_weights(self) -> bool:  # type: ignore[override]
        return self.weight_decay == 0

    def local_update(self, model: Trainable, data: Examples, state: State, rng: Shuffles) -> LocalUpdate:
        weights = model.vector
        start, rules = weights.copy(), [(part, RULES[self.optimizer](self)) for part in in_parts(weights.shape)]

        def step(gradient: np.ndarray) -> None:
            gradient = self.adjusted(gradient, weights, start)
            if self.weight_decay:
                gradient = gradient + self.weight_decay * weights
            for part, rule in rules:
                some = weights[part]
                np.subtract(some, rule(gradient[part]), out=some)

        loss = train_epochs(model, data, self.epochs, self.batch_size, rng, step)
        return LocalUpdate({"delta": np.subtract(weights, start, out=start)}, examples=len(data), loss=loss)

    def adjusted(self, gradient: np.ndarray, weights: np.ndarray, start: np.ndarray) -> np.ndarray:
        """The local gradient as an algorithm changes it, given the weights now and at the start; FedAvg does not."""
        return gradient

    def server_step(
        self, weights: np.ndarray, mean: Mapping[str, np.ndarray], state: State, context: RoundContext
    ) -> tuple[np.ndarray, State]:
        return (weights + mean["delta"]).astype(np.float32), state


Rule = Callable[[np.ndarray], np.ndarray]  # from a gradient, whose memory it may use, to what the weights lose


def sgd(training: FedAvg) -> Rule:
    """Stochastic gradient descent, with momentum where there is some."""
    velocity = np.zeros((), np.float32)

    def rule(gradient: np.ndarray) -> np.ndarray:
        nonlocal velocity
        change = gradient
        if training.momentum:
            change = velocity = training.momentum * velocity + gradient
        found: np.ndarray = np.multiply(change, training.lr, out=gradient)
        return found

    return rule


def adam(training: FedAvg) -> Rule:
    """Kingma and Ba 2015, Algorithm 1, with the betas and epsilon that they advise; it begins anew every round."""
    mean = size = np.zeros(0, np.float32)
    steps = 0

    def rule(gradient: np.ndarray) -> np.ndarray:
        nonlocal mean, size, steps
        if not steps:
            mean, size = np.zeros_like(gradient), np.zeros_like(gradient)
        steps += 1
        mean_towards(mean, gradient, 0.9)
        square_towards(size, gradient, 0.999)
        found: np.ndarray = training.lr / (1 - 0.9**steps) * mean / (np.sqrt(size / (1 - 0.999**steps)) + 1e-8)
        return found

    return rule


RULES: dict[str, Callable[[FedAvg], Rule]] = {"sgd": sgd, "adam": adam}
