"""How good a model is on one client's own examples."""

from __future__ import annotations

import numpy as np

from fedlearn.autograd import no_grad
from fedlearn.datasets.examples import Examples
from fedlearn.models.base import Model
from fedlearn.models.kinds import Features, Sequences, Words
from fedlearn.nn.modes import in_use


def marks(model: Model, data: Examples) -> dict[str, float]:
    """`loss`, the mean of an example in nats; of a model that tells classes apart the share judged rightly, `accuracy`.

    The model computes as in use: without dropout, and without changing.
    """
    with in_use(model), no_grad():
        found = {"loss": float(np.asarray(model.loss(data).numpy()))}
        if model.reads in (Words, Features, Sequences):
            outputs, targets = model(*data.inputs).numpy(), np.asarray(data.targets)
            one_logit = outputs.ndim == targets.ndim
            right = (outputs > 0) == (targets > 0.5) if one_logit else outputs.argmax(axis=-1) == targets
            found["accuracy"] = float(np.mean(right))
        return found
