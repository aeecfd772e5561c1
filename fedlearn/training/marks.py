"""How good a model is on one client's own examples."""

from __future__ import annotations

import numpy as np

from fedlearn.autograd import no_grad
from fedlearn.classes import names_a_class
from fedlearn.datasets.examples import Examples
from fedlearn.models.base import Model
from fedlearn.models.kinds import Features, Sequences, Words
from fedlearn.nn.modes import in_use


def marks(model: Model, data: Examples) -> dict[str, float]:
    """`loss`, the mean of an example in nats; and `accuracy`, the share judged rightly, of a model that knows classes.

    Targets below 0, as the -100 that losses ignore, name no class and are not judged. If all are below 0, there is no
    accuracy. The model computes as in use: without dropout, and without changing.
    """
    with in_use(model), no_grad():
        found = {"loss": float(np.asarray(model.loss(data).numpy()))}
        if model.reads in (Words, Features, Sequences):
            outputs, targets = model(*data.inputs).numpy(), np.asarray(data.targets)
            found |= _accuracy(outputs, targets)
        return found


def _accuracy(outputs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
    """The share judged rightly, by a logit each or a score for each class."""
    if outputs.ndim == targets.ndim:
        right = ((outputs > 0) == (targets > 0.5)) & names_a_class(outputs)
    else:
        right = (outputs.argmax(axis=-1) == targets) & names_a_class(outputs, -1)
    right = right[targets >= 0]
    return {"accuracy": float(np.mean(right))} if right.size else {}
