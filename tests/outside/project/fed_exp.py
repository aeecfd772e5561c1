"""FedExP (Jhunjhunwala et al. 2023, "FedExP: Speeding Up Federated Averaging via Extrapolation", Algorithm 1)."""

from dataclasses import dataclass

import numpy as np

from fedlearn.errors import BadInput
from fedlearn.strategies import FedAvg
from fedlearn.strategies.base import LocalUpdate, Output


@dataclass(frozen=True)
class FedExP(FedAvg):
    """The server steps further than the mean delta where clients' deltas point apart, by their mean squared norm.

    eps: keeps the step finite. The largest step of the run so far is the server's state.
    """

    eps: float = 1e-3

    def __post_init__(self):
        super().__post_init__()
        if not (isinstance(self.eps, float) and 0 < self.eps < float("inf")):
            raise BadInput(f"eps is {self.eps!r}, it must be above 0 and finite: 0.001 is usual")

    def outputs(self, parameters):
        return {"delta": Output(parameters), "square": Output(1, bound=64.0)}

    def local_update(self, model, data, state, rng):
        update = super().local_update(model, data, state, rng)
        square = (update.vectors["delta"] ** 2).sum(axis=-1, keepdims=True)
        return LocalUpdate({**update.vectors, "square": square}, update.examples, update.loss)

    def server_step(self, weights, mean, state, context):
        norm = float((mean["delta"] ** 2).sum())
        step = max(1.0, float(mean["square"][0]) / (2 * (norm + self.eps)))
        largest = np.maximum(state.get("largest", np.ones(1)), step)
        return (weights + step * mean["delta"]).astype(np.float32), {"largest": largest}
