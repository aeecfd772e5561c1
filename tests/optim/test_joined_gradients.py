"""Gradients that lie end to end in memory."""

from __future__ import annotations

import copy
import pickle

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fedlearn import Tensor, nn, optim
from fedlearn.autograd.tensor import wrap


@given(order=st.permutations([0, 1, 2]), again=st.permutations([0, 1, 2]), maximize=st.booleans())
def test_gradients_that_lie_end_to_end_in_any_order_are_each_parameters_own(order, again, maximize):
    """As those of a recorded step do: they are read where they are, once they have been seen to lie so."""
    parameters = [nn.Parameter(np.full((2, n), float(n), np.float32)) for n in (1, 2, 3)]
    optimizer = optim.SGD(parameters, lr=1.0, maximize=maximize)
    memory = np.arange(12, dtype=np.float32)
    for arrangement in (order, order, again, [0, 1, 2], [0, 1, 2]):
        memory += 1
        before, start, gradients = [p.numpy().copy() for p in parameters], 0, {}
        for number in arrangement:
            size = parameters[number].size
            gradients[number] = memory[start : start + size].reshape(2, -1)
            start += size
        for number, p in enumerate(parameters):
            p.grad = wrap(gradients[number])
        for _ in range(2):
            optimizer.step()
        for number, p in enumerate(parameters):
            change = 2 * gradients[number] if maximize else -2 * gradients[number]
            assert np.array_equal(p.numpy(), before[number] + change)


def test_an_optimizer_that_has_read_joined_gradients_can_be_copied_and_pickled():
    parameters = [nn.Parameter(np.ones(n, np.float32)) for n in (2, 3)]
    optimizer = optim.SGD(parameters, lr=0.5, momentum=0.5)
    memory = np.arange(5, dtype=np.float32)
    for p, gradient in zip(parameters, (memory[:2], memory[2:]), strict=True):
        p.grad = wrap(gradient)
    optimizer.step()
    copies = [pickle.loads(pickle.dumps(optimizer)), copy.deepcopy(optimizer)]
    optimizer.step()
    for other in copies:
        members = other.param_groups[0]["params"]
        for p, gradient in zip(members, (memory[:2], memory[2:]), strict=True):
            p.grad = wrap(gradient.copy())
        other.step()
        assert all(np.array_equal(p.numpy(), q.numpy()) for p, q in zip(members, parameters, strict=True))


def test_betas_may_be_an_array():
    made = optim.AdamW([Tensor(np.ones(2), requires_grad=True)], betas=np.array([0.8, 0.9], np.float32))
    assert made.param_groups[0]["betas"] == (np.float32(0.8), np.float32(0.9))
    assert all(type(beta) is float for beta in made.param_groups[0]["betas"])
