"""How good a trained model is on clients' own data, and to whom: from sums only, no client's figures are known.

Beside what the model takes for what, each client enters itself in one bin of a histogram of accuracies, and in one of
losses. The sums are the distribution over clients: deciles, and how the worst served tenth fares.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from fedlearn.configured import make_real, make_whole
from fedlearn.datasets.examples import Examples
from fedlearn.queries.base import Counts, Totals
from fedlearn.queries.confusion import Confusion
from fedlearn.training.marks import marks

MOST_BINS = 10_000
DECILES = tuple(tenth / 10 for tenth in range(1, 10))


@dataclass(frozen=True)
class Evaluation(Confusion):
    """How good a trained model is, and to whom. Made by `of`.

    bins: of each histogram of clients, of accuracies from 0 to 1, and of mean losses. loss_step: nats in a bin of
    losses; the last one holds all that are larger. The others: as in `Confusion`. All counts are one vector, so that
    differential privacy can bound it.
    """

    bins: int = 50
    loss_step: float = 0.1

    name = "evaluation"
    additive: ClassVar[bool] = False  # a client counts once in a histogram, whatever it has

    def __post_init__(self) -> None:
        super().__post_init__()
        make_whole(self, "bins", least=2, most=MOST_BINS)
        make_real(self, "loss_step", above=0, usual="0.1 is a usual step")

    def entries(self) -> Mapping[str, Counts]:
        return {"counts": Counts(self.classes**2 + 2 * self.bins, self.most)}

    def count(self, data: Examples, asked: np.ndarray) -> Totals:
        examples = self._confused(data, asked)
        counts = np.zeros(self.classes**2 + 2 * self.bins, np.int64)
        if not examples.any():
            return {"counts": counts}
        counts[: self.classes**2] = examples
        right = int(np.trace(examples.reshape(self.classes, self.classes)))
        loss = marks(self._model, data)["loss"]  # `_confused` has loaded the asked weights
        counts[self.classes**2 + min(right * self.bins // int(examples.sum()), self.bins - 1)] = 1
        place = self.bins - 1 if not np.isfinite(loss) else min(int(max(loss, 0.0) / self.loss_step), self.bins - 1)
        counts[self.classes**2 + self.bins + place] = 1
        return {"counts": counts}

    def answer(self, asked: np.ndarray, totals: Totals) -> dict[str, Any]:
        """confusion, accuracy, f1: of all examples; f1 of class 1 of two, else the mean over classes.

        accuracy_deciles: what a tenth, two tenths... of the clients stay below, to a bin; loss_deciles: the same of
        their mean losses in nats. worst_tenth: the mean accuracy of the tenth of clients that is served worst, to half
        a bin. loss: the mean over clients of their losses, to half a bin. losses: clients by mean loss, from 0, `step`
        a bin.
        """
        ends = [self.classes**2, self.classes**2 + self.bins]
        examples, accuracies, losses = np.split(totals["counts"], ends)
        found = examples.reshape(self.classes, self.classes)
        every, clients, losers = (float(part.sum()) for part in (found, accuracies, losses))
        top = self.bins * self.loss_step
        return {
            "confusion": found.tolist(),
            "accuracy": float(np.trace(found)) / every if every > 0 else None,
            "f1": self._f1(found),
            "accuracy_deciles": self._deciles(accuracies, clients, 1.0) if clients > 0 else None,
            "worst_tenth": self._lowest(accuracies, clients / 10) if clients > 0 else None,
            "loss": top * self._lowest(losses, losers) if losers > 0 else None,
            "loss_deciles": self._deciles(losses, losers, top) if losers > 0 else None,
            "losses": {"step": self.loss_step, "clients": losses.tolist()},
        }

    def _f1(self, found: np.ndarray) -> float | None:
        both = found.sum(axis=0) + found.sum(axis=1)
        each = np.clip(2 * np.diag(found) / np.where(both > 0, both, 1), 0, 1)  # noise may carry it outside
        if not (both > 0).any():
            return None
        return float(each[1]) if self.classes == 2 else float(each.mean())

    def _deciles(self, spread: np.ndarray, clients: float, top: float) -> dict[str, float]:
        """The deciles of clients. spread: clients by bin, from 0 to `top`."""
        return {f"p{round(100 * share)}": top * self._below(spread, share * clients) for share in DECILES}

    def _below(self, spread: np.ndarray, clients: float) -> float:
        """The upper edge of the bin in which so many clients are reached, from the lowest on; as a part of all bins."""
        reached = np.flatnonzero(np.cumsum(spread) >= clients * (1 - 1e-12))
        return float(int(reached[0]) + 1 if reached.size else self.bins) / self.bins

    def _lowest(self, spread: np.ndarray, clients: float) -> float:
        """The mean of the middles of bins over so many clients, the lowest ones; a part of one counts as a part."""
        taken = np.diff(np.minimum(np.cumsum(np.clip(spread, 0, None)), clients), prepend=0.0)
        middles = (np.arange(self.bins) + 0.5) / self.bins
        return float(taken @ middles / max(taken.sum(), 1e-300))
