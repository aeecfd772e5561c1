"""How many examples of each class a trained model takes for each, on clients' own data: the confusion matrix of all.

The model goes down within the plan, its weights too, so that all parties agree on which one it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np

from fedlearn import nn
from fedlearn.autograd import no_grad
from fedlearn.checked import takes_plain
from fedlearn.configured import make_whole
from fedlearn.datasets.examples import Examples
from fedlearn.errors import BadInput
from fedlearn.models.base import Model
from fedlearn.models.kinds import Features, Kind, Words
from fedlearn.queries.base import MOST, Counts, Query, Totals, check_most, labels_of
from fedlearn.queries.classes import MOST_CLASSES


@dataclass(frozen=True)
class Confusion(Query):
    """Use `of`. model: its architecture, as `Module.spec()`. weights: its vector, as bytes of little-endian float32."""

    model: Mapping[str, Any] = field(default_factory=dict)
    weights: bytes = b""
    classes: int = 2
    most: int = MOST

    reads: ClassVar[tuple[type[Kind], ...]] = (Features, Words)

    def __post_init__(self) -> None:
        make_whole(self, "classes", least=2, most=MOST_CLASSES)
        check_most(self)
        if not (isinstance(self.model, Mapping) and self.model and isinstance(self.weights, bytes)):
            raise BadInput(
                f"query {self.name} needs a model and its weights: give --from RUN, or ask in Python, "
                f"{type(self).__name__}.of(model)"
            )
        if len(self.weights) % 4 or not np.isfinite(np.frombuffer(self.weights, "<f4")).all():
            raise BadInput(f"the weights of query {self.name} are no float32 values, or not finite: train once more")

    @classmethod
    @takes_plain
    def of(cls, model: Model, classes: int = 2, most: int = MOST) -> Self:
        """The question of what this model takes for what, as it is now."""
        return cls(model.spec(), model.vector.astype("<f4").tobytes(), classes, most)

    def entries(self) -> Mapping[str, Counts]:
        return {"examples": Counts(self.classes**2, self.most)}

    def count(self, data: Examples, asked: np.ndarray) -> Totals:
        labels = labels_of(data, self.classes)
        taken = self._taken(data) if len(labels) else labels
        return {"examples": np.bincount(labels * self.classes + taken, minlength=self.classes**2)}

    def answer(self, asked: np.ndarray, totals: Totals) -> dict[str, Any]:
        """confusion: how many of each class (outer) are taken for each (inner). accuracy: None of no examples."""
        found = totals["examples"].reshape(self.classes, self.classes)
        right, every = float(np.trace(found)), float(found.sum())
        return {"confusion": found.tolist(), "accuracy": right / every if every > 0 else None}

    def _taken(self, data: Examples) -> np.ndarray:
        """The class that the model takes each example for, int64 (n,)."""
        try:
            with no_grad():
                outputs: np.ndarray = self._model(*data.inputs).numpy()
        except TypeError as error:
            raise BadInput(f"the model does not take examples of {len(data.inputs)} inputs: {error}") from None
        found: np.ndarray
        if outputs.ndim == 1 and self.classes == 2:
            found = (outputs > 0).astype(np.int64)
            return found
        if outputs.shape != (len(data), self.classes):
            raise BadInput(
                f"the model gives outputs {outputs.shape} for {len(data)} examples of {self.classes} classes"
            )
        found = outputs.argmax(axis=1)
        return found

    @cached_property
    def _model(self) -> Model:
        weights = np.frombuffer(self.weights, "<f4")
        model = nn.build_of_others(self.model, weights.size)
        if not isinstance(model, Model) or model.vector.size != weights.size:
            raise BadInput(
                f"the model of query {self.name} does not have {weights.size} weights: "
                f"ask by {type(self).__name__}.of(...)"
            )
        model.vector[:] = weights
        model.eval()
        return model
