"""How many examples of each class a trained model takes for each, on clients' own data: the confusion matrix of all.

The model's architecture stands in the plan, and its weights go down in the request, as those of training do. So one
plan can ask about a model again and again while it learns. Of a model of characters each one counts as an example.
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
from fedlearn.classes import refuse_nameless
from fedlearn.configured import make_whole
from fedlearn.datasets.examples import Arrays, Examples
from fedlearn.errors import BadInput
from fedlearn.models.base import Model
from fedlearn.models.kinds import Characters, Features, Kind, Words
from fedlearn.nn.spec import MOST_WEIGHTS
from fedlearn.queries.base import MOST, NO_EXAMPLES, Counts, Query, Totals, check_most, labels_of
from fedlearn.queries.classes import MOST_CLASSES
from fedlearn.wording import many


@dataclass(frozen=True)
class Confusion(Query):
    """How many examples of each class a trained model takes for each. Made by `of`.

    model: its architecture, as `Module.spec()`. classes: of labels; of characters, how many there are. weights: its
    vector, as bytes of little-endian float32, for the first request; clients are not given them with the query.
    parameters: how many these are, where they are not given.
    """

    model: Mapping[str, Any] = field(default_factory=dict)
    weights: bytes = field(default=b"", repr=False)
    classes: int = 2
    most: int = MOST
    parameters: int = 0

    reads: ClassVar[tuple[type[Kind], ...]] = (Features, Words)

    def __post_init__(self) -> None:
        make_whole(self, "classes", least=2, most=MOST_CLASSES)
        make_whole(self, "parameters", least=0, most=MOST_WEIGHTS)
        check_most(self)
        given = isinstance(self.weights, bytes) and bool(self.weights or self.parameters)
        if not (isinstance(self.model, Mapping) and self.model and given):
            raise BadInput(
                f"query {self.name} needs a model and its weights: give --from RUN, or ask in Python, "
                f"{type(self).__name__}.of(model)"
            )
        if len(self.weights) % 4 or not np.isfinite(np.frombuffer(self.weights, "<f4")).all():
            raise BadInput(f"the weights of query {self.name} are no float32 values, or not finite: train once more")
        if self.weights:
            object.__setattr__(self, "parameters", len(self.weights) // 4)

    @classmethod
    @takes_plain
    def of(cls, model: Model, classes: int = 2, most: int = MOST) -> Self:
        """The question of what this model takes for what, as it is now."""
        return cls(model.spec(), model.vector.astype("<f4").tobytes(), classes, most)

    def arguments(self) -> dict[str, Any]:
        """All but the weights, which a request says."""
        return {name: value for name, value in super().arguments().items() if name != "weights"}

    @property
    def asks(self) -> int:
        return self.parameters

    def first(self) -> np.ndarray:
        """The weights, float32 (P,); raises `BadInput` where they were not given."""
        if not self.weights:
            raise BadInput(f"query {self.name} was given no weights: ask by {type(self).__name__}.of(model)")
        return np.frombuffer(self.weights, "<f4").astype(np.float32)

    def entries(self) -> Mapping[str, Counts]:
        return {"examples": Counts(self.classes**2, self.most)}

    def count(self, data: Examples, asked: np.ndarray) -> Totals:
        return {"examples": self._confused(data, asked)}

    def answer(self, asked: np.ndarray, totals: Totals) -> dict[str, Any]:
        """Two values: confusion, how many of each class (outer) are taken for each (inner); accuracy, None of none."""
        found = totals["examples"].reshape(self.classes, self.classes)
        right, every = float(np.trace(found)), float(found.sum())
        return {"confusion": found.tolist(), "accuracy": right / every if every > 0 else None}

    def note(self, values: Mapping[str, Any]) -> str:
        return NO_EXAMPLES if values["accuracy"] is None else ""

    def _confused(self, data: Examples, asked: np.ndarray) -> np.ndarray:
        """How many of each class the model of these weights takes for each, int64 (classes^2,)."""
        labels = labels_of(self._flat(data), self.classes)
        if len(labels) > self.most:
            raise BadInput(
                f"it has {many(len(labels), 'label')}, query {self.name} allows {self.most:,} of one client: "
                f"ask with most={len(labels)} or more"
            )
        taken = self._taken(data, asked).ravel() if len(labels) else labels
        return np.bincount(labels * self.classes + taken, minlength=self.classes**2)

    def _flat(self, data: Examples) -> Examples:
        """The examples with a label each; of texts the characters."""
        if self._model.reads is not Characters:
            return data
        targets = np.asarray(data.targets).ravel()
        return Arrays(np.zeros((len(targets), 0), np.float32), targets)

    def _taken(self, data: Examples, asked: np.ndarray) -> np.ndarray:
        """The class that the model takes each example for, int64, as the targets lie."""
        model = self._learned(asked)
        try:
            with no_grad():
                said = model(*data.inputs)
        except TypeError as error:
            raise BadInput(f"the model does not take examples of {many(len(data.inputs), 'input')}: {error}") from None
        outputs: np.ndarray = (said[0] if isinstance(said, tuple) else said).numpy()
        if outputs.ndim == 1 and self.classes == 2:
            refuse_nameless(outputs)
            return (outputs > 0).astype(np.int64)
        if outputs.ndim == 3:  # characters, the places of a text first
            outputs = outputs.swapaxes(0, 1)
        if outputs.shape != (*np.shape(data.targets), self.classes):
            raise BadInput(
                f"the model gives outputs {outputs.shape} for {many(len(data), 'example')} of "
                f"{many(self.classes, 'class', 'classes')}"
            )
        refuse_nameless(outputs, -1)
        found: np.ndarray = outputs.argmax(axis=-1)
        return found

    def _learned(self, asked: np.ndarray) -> Model:
        """The model with the weights of a request; raises `BadInput` for some that are not finite."""
        if not np.isfinite(asked).all():
            raise BadInput("the model's weights are not finite, it takes nothing for anything: train with a lower lr")
        self._model.vector[:] = asked
        return self._model

    @cached_property
    def _model(self) -> Model:
        model = nn.build_of_others(self.model, self.parameters)
        if not isinstance(model, Model) or model.vector.size != self.parameters:
            raise BadInput(
                f"the model of query {self.name} does not have {many(self.parameters, 'weight')}: "
                f"ask by {type(self).__name__}.of(...)"
            )
        model.eval()
        return model
