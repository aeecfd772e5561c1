"""Checks that every behaviour of malicious clients must pass."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np

from fedlearn.datasets.examples import Examples
from fedlearn.strategies.base import LocalUpdate
from fedlearn.testing.toys import same_bits


def check_behaviour(behaviour: Any, data: Examples) -> None:
    """Raise `AssertionError` unless `behaviour` can be one client's among honest ones, with examples like these.

    It is picklable, trains on at least one example, leaves what it is given alone, and sends vectors of the same names
    and lengths as an honest client does.
    """
    again = pickle.loads(pickle.dumps(behaviour))
    before = [array.tobytes() for array in (*data.inputs, data.targets)]
    poisoned = behaviour.examples(data)
    assert len(poisoned) >= 1, "examples() leaves nothing to train on"
    assert len(again.examples(data)) == len(poisoned), "a pickled copy trains on other examples"
    assert [array.tobytes() for array in (*data.inputs, data.targets)] == before, "examples() wrote to the data"
    rng = np.random.default_rng(2)
    deltas = {i: rng.standard_normal(8).astype(np.float32) for i in range(100)}

    def honest(number: int, data: Examples) -> LocalUpdate:
        return LocalUpdate({"delta": deltas[number]}, 4, 0.5)

    update = LocalUpdate({"delta": deltas[0].copy(), "more": np.ones(1)}, 4, 0.5)
    sent = behaviour.update(update, honest)
    assert same_bits(update.vectors["delta"], deltas[0]), "update() wrote to the honest update: make a new one"
    copied = again.update(update, honest)
    for name, vector in update.vectors.items():
        assert name in sent.vectors, f"update() dropped the vector {name!r}, which the strategy needs"
        assert sent.vectors[name].shape == vector.shape, f"vector {name!r} has shape {sent.vectors[name].shape} now"
        assert same_bits(sent.vectors[name], copied.vectors[name]), f"a pickled copy sends another {name!r}"
