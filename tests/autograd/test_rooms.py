"""Rooms of recurrent layers: used again for the next sequence of a shape, and never shared by two graphs."""

from __future__ import annotations

import gc
import threading
from typing import Any

import numpy as np
import pytest

from fedlearn import Tensor, nn
from fedlearn.autograd import no_grad, no_replay
from fedlearn.autograd.recurrent import rooms as module
from fedlearn.autograd.recurrent.rooms import KEPT, rooms


@pytest.fixture(autouse=True)
def no_rooms():
    rooms._free.clear()


def layer(kind: str, hidden: int = 5) -> Any:
    return getattr(nn, kind)(3, hidden, rng=np.random.default_rng(0))


def draw(seed: int, steps: int = 4, batch: int = 2) -> Tensor:
    return Tensor(np.random.default_rng(seed).standard_normal((steps, batch, 3), np.float32), requires_grad=True)


def gradients(recurrent: Any, x: Tensor) -> list[bytes]:
    y, _ = recurrent(x)
    found = fresh(recurrent, x, y)
    return [y.numpy().tobytes(), *found]


def fresh(recurrent: Any, x: Tensor, y: Any, **how: Any) -> list[bytes]:
    """The gradients of sum(y y), and none kept."""
    (y * y).sum().backward(**how)
    leaves = [x, *recurrent.parameters()]
    found = [leaf.grad.numpy().tobytes() for leaf in leaves]
    for leaf in leaves:
        leaf.grad = None
    return found


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_a_room_is_used_again_with_the_bits_of_a_new_one(kind):
    recurrent = layer(kind)
    with no_replay():
        expected = [gradients(recurrent, draw(seed)) for seed in range(4)]
    assert not rooms._free
    assert [gradients(recurrent, draw(seed)) for seed in range(4)] == expected
    assert len(rooms._free) == 1


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_graphs_that_live_at_once_and_outputs_that_are_kept_share_nothing(kind):
    recurrent, inputs = layer(kind), [draw(seed) for seed in range(3)]
    expected = [gradients(recurrent, x) for x in inputs]
    outputs = [recurrent(x)[0] for x in inputs]
    before = [y.numpy().tobytes() for y in outputs]
    assert [fresh(recurrent, x, y, retain_graph=True) for x, y in zip(inputs, outputs, strict=True)] == [
        found for _, *found in expected
    ]
    assert fresh(recurrent, inputs[0], outputs[0]) == expected[0][1:]  # once more
    with no_grad():
        for seed in range(5):
            recurrent(draw(seed + 9))
    assert [y.numpy().tobytes() for y in outputs] == before


def test_rooms_come_back_when_their_graphs_are_gone_and_are_bounded(monkeypatch):
    recurrent = layer("LSTM")
    y, _ = recurrent(draw(0))
    assert not rooms._free
    del y, _
    gc.collect()
    assert len(rooms._free) == 1
    size = rooms.bytes
    assert 0 < size < KEPT
    monkeypatch.setattr(module, "KEPT", 4 * size)
    for steps in range(1, 12):
        gradients(recurrent, draw(0, steps))
        assert rooms.bytes <= 4 * size
    kept = [recurrent(draw(0, 4)) for _ in range(9)]
    del kept
    gc.collect()
    assert rooms.bytes <= 4 * size


def test_every_thread_has_rooms_of_its_own():
    recurrent, found = layer("GRU"), []
    expected = gradients(recurrent, draw(1))

    def work() -> None:
        found.append((len(rooms._free), gradients(layer("GRU"), draw(1)), len(rooms._free)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [(0, expected, 1)]
