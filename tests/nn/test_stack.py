"""Stacked copies of a model: the same bits as one at a time."""

from __future__ import annotations

import numpy as np
import pytest

from fedlearn import nn, optim
from fedlearn.errors import BadInput
from fedlearn.nn import functional as F


@pytest.mark.parametrize("make", [lambda p: optim.SGD(p, lr=0.1), lambda p: optim.Adam(p, lr=0.01)])
def test_stacked_clients_have_the_same_bits_as_one_at_a_time(make):
    model = nn.Sequential(
        nn.Linear(64, 32, rng=np.random.default_rng(0)), nn.ReLU(), nn.Linear(32, 10, rng=np.random.default_rng(0))
    )
    x = np.random.default_rng(0).standard_normal((7, 3, 10, 64)).astype(np.float32)  # clients, steps, batch, features
    y = np.random.default_rng(0).integers(0, 10, (7, 3, 10))
    stack = nn.Stacked(model, 7)
    optimizer = make(stack.parameters())
    for step in range(3):
        optimizer.zero_grad()
        logits = stack(x[:, step])
        losses = F.cross_entropy(logits.reshape(-1, 10), y[:, step].ravel(), reduction="none")
        losses.reshape(7, 10).mean(axis=1).sum().backward()
        optimizer.step()
    start = model.vector.copy()
    for client in range(7):
        model.vector[:] = start
        optimizer = make(model.parameters())
        for step in range(3):
            optimizer.zero_grad()
            F.cross_entropy(model(x[client, step]), y[client, step]).backward()
            optimizer.step()
        np.testing.assert_array_equal(stack.vectors[client], model.vector)


def test_only_what_stacks_is_stacked():
    for make in (lambda: nn.Stacked(nn.Sequential(nn.Conv2d(1, 1, 3)), 2), lambda: nn.Stacked(nn.Linear(2, 1), 0)):
        with pytest.raises(BadInput):
            make()
