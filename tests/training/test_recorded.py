"""Steps that are run again from a record have the tape's bits, and where they could not, the tape takes them."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest

from aggregator import Aggregator
from clients import Client, InlinePool
from fedlearn.autograd import no_replay, recurrent
from fedlearn.crypto import FixedPoint
from fedlearn.datasets.examples import Arrays
from fedlearn.models import MLP, MODELS
from fedlearn.models.base import Model
from fedlearn.models.convnet import ConvNet
from fedlearn.nn.stackable import unstackable
from fedlearn.secure import Plain
from fedlearn.strategies import FedAvg
from fedlearn.training import recorded
from fedlearn.training.flat import FlatModel
from fedlearn.training.recorded import PROGRAMS
from fedlearn.training.stacks import batch_shape, stack
from tests.contracts.samples import samples_for


def batch(seed: int, examples: int = 6, copies: tuple[int, ...] = ()) -> Any:
    rng = np.random.default_rng(seed)
    parts = [
        Arrays(rng.random((examples, 6), np.float32), rng.integers(3, size=examples)) for _ in range(*copies or (1,))
    ]
    return stack(parts) if copies else parts[0]


def programs(flat: FlatModel) -> int:
    return len(flat._recorded._programs) if flat._recorded else 0


def trained(model: Model, examples: Any, strategy: FedAvg, copies: int | None, rounds: int = 3) -> list[bytes]:
    flat, found = FlatModel(model, copies), []
    start = flat.vector.copy()
    for seed in range(rounds):
        flat.vector[...] = start
        rng = np.random.default_rng(seed)
        draws = rng if copies is None else _Stacked(rng, copies)
        update = strategy.local_update(flat, examples, {}, draws)  # type: ignore[arg-type]
        found += [update.vectors["delta"].tobytes(), np.asarray(update.loss).tobytes()]
    return found


class _Stacked:
    def __init__(self, rng: np.random.Generator, copies: int):
        self._rng, self._copies = rng, copies

    def permutation(self, n: int) -> np.ndarray:
        return np.stack([self._rng.permutation(n) for _ in range(self._copies)])


@pytest.mark.parametrize("stacked", [False, True])
@pytest.mark.parametrize("name", list(MODELS.entries))
def test_every_model_trains_to_the_same_bits_with_and_without_replay(name: str, stacked: bool):
    model, clients = samples_for(MODELS.load(name))
    if stacked and (unstackable(model) or batch_shape(clients[0]) is None):
        pytest.skip("is not stacked")
    examples = stack(clients) if stacked else clients[0]
    copies = len(clients) if stacked else None
    for strategy in (FedAvg(2, 4, 0.3), FedAvg(2, 4, 0.3, momentum=0.9), FedAvg(2, 4, 0.01, optimizer="adam")):
        with no_replay():
            expected = trained(model, examples, strategy, copies)
        assert trained(model, examples, strategy, copies) == expected


@pytest.mark.parametrize("stacked", [False, True])
@pytest.mark.parametrize("name", ["mlp", "spam"])
def test_compiled_steps_end_at_the_bits_of_numpys(name: str, stacked: bool):
    pytest.importorskip("numba")
    model, clients = samples_for(MODELS.load(name))
    given = (stack(clients), FedAvg(2, 4, 0.3), len(clients)) if stacked else (clients[0], FedAvg(2, 4, 0.3), None)
    expected, before = trained(model, *given), recurrent.current()
    recurrent.use(recurrent.KernelPlan(compiled=True))
    try:
        assert trained(model, *given) == expected
    finally:
        recurrent.use(before)


@pytest.mark.parametrize("copies", [(), (5,)])
def test_the_third_step_of_a_shape_is_a_programs(copies):
    flat = FlatModel(MLP((6, 5, 3), rng=np.random.default_rng(0)), *copies)
    counts = []
    for seed in range(3):
        flat.gradient(batch(seed, copies=copies))
        counts.append(programs(flat))
    assert counts == [0, 1, 1]
    with no_replay():
        flat.gradient(batch(4, copies=copies))
    for examples in range(1, 20):
        flat.gradient(batch(0, examples, copies))
        flat.gradient(batch(1, examples, copies))
    assert programs(flat) == PROGRAMS  # no more, whatever shapes come


@pytest.mark.parametrize("name", ["mlp", "conv", "spam"])
def test_these_models_run_programs(name: str):
    model, clients = samples_for(MODELS.load(name))
    flat = FlatModel(model)
    for _ in range(3):
        both(flat, clients[0])
    assert programs(flat) == 1


@pytest.mark.parametrize("copies", [(), (5,)])
def test_the_slices_that_training_takes_of_shuffled_examples_run_a_program(copies):
    flat, examples = FlatModel(MLP((6, 5, 3), rng=np.random.default_rng(0)), *copies), batch(0, 12, copies)
    for start in (0, 6, 0, 6):
        both(flat, examples.take(slice(start, start + 6)))
    assert programs(flat) == 1


def test_the_memory_of_programs_is_bounded(monkeypatch):
    flat = ready()
    assert flat._recorded is not None
    size = flat._recorded._programs[0].bytes
    assert 4 * (6 * (6 + 5 + 3) + 33) < size < 40 * 6 * (6 + 5 + 3)
    monkeypatch.setattr(recorded, "LARGEST", 3 * size)
    for examples in (5, 4, 3):
        for seed in range(2):
            both(flat, batch(seed, examples))
    assert sum(program.bytes for program in flat._recorded._programs) <= 3 * size
    monkeypatch.setattr(recorded, "LARGEST", size // 2)
    small = FlatModel(MLP((6, 5, 3), rng=np.random.default_rng(0)))
    for seed in range(4):
        both(small, batch(seed))
    assert programs(small) == 0


def test_between_steps_no_more_memory_is_kept_than_is_told():
    images = np.random.default_rng(0).random((40, 256), np.float32)
    flat, examples = FlatModel(ConvNet(16, 3)), Arrays(images, np.arange(40) % 3)
    flat.gradient(examples)
    tracemalloc.start()
    for _ in range(3):
        flat.gradient(examples)
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert flat._recorded is not None
    assert kept < 1.1 * flat._recorded.bytes + 100_000  # and Python's objects


@pytest.mark.parametrize("kind", ["on", "off"])
def test_a_federation_ends_at_the_same_bits_with_and_without_replay(kind):
    def trained_model() -> bytes:
        rng = np.random.default_rng(5)
        model = MLP((6, 5, 3), rng=np.random.default_rng(0))
        parts = [Arrays(rng.random((10, 6), np.float32), rng.integers(3, size=10)) for _ in range(6)]
        clients = [Client(f"c{i}", part) for i, part in enumerate(parts)]
        codec = FixedPoint(bits=24, bound=4.0, addends=6)
        Aggregator(model, FedAvg(2, 4, 0.3, max_weight=10), Plain(codec), stack=kind).fit(InlinePool(clients), 3)
        return model.vector.tobytes()

    with no_replay():
        expected = trained_model()
    assert trained_model() == expected


def both(flat: FlatModel, examples: Any) -> None:
    """Asserts that the tape and whatever `flat` does give the same bits."""
    with no_replay():
        loss, gradient = flat.gradient(examples)
    mine, own = flat.gradient(examples)
    assert (mine.tobytes(), own.tobytes()) == (loss.tobytes(), gradient.tobytes())


def ready() -> FlatModel:
    """A model that runs a program."""
    flat = FlatModel(MLP((6, 5, 3), rng=np.random.default_rng(0)))
    for seed in range(3):
        flat.gradient(batch(seed))
    assert programs(flat) == 1
    return flat
