"""Side by side, narrowed or one by one: a client's update is the same, bit for bit, and its faults are its own."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator import Aggregator
from clients import Client, InlinePool
from clients.encoded import Encoded, RunningSum, addable
from clients.task import Task
from clients.training import LocalTraining
from fedlearn import nn
from fedlearn.autograd import recorded_steps
from fedlearn.autograd.recurrent import KernelPlan
from fedlearn.crypto import FixedPoint
from fedlearn.datasets.bags import Bags
from fedlearn.datasets.examples import Arrays, View
from fedlearn.errors import BadInput
from fedlearn.logs import mark_records
from fedlearn.models.base import Model
from fedlearn.models.convnet import ConvNet
from fedlearn.models.mlp import MLP
from fedlearn.protocol import Lost, RunPlan
from fedlearn.sampling import Sampler, sample_cohort
from fedlearn.secure.layouts import layout_of
from fedlearn.secure.rounds import RoundLayout
from fedlearn.seeding import LocalRandom, local_random
from fedlearn.strategies import FedAvg
from fedlearn.strategies.base import Output
from fedlearn.strategies.fednova import FedNova
from fedlearn.strategies.fedprox import FedProx
from fedlearn.strategies.scaffold import Scaffold
from fedlearn.training.flat import FlatModel, stack_size
from fedlearn.training.narrow import NarrowModel, Support
from fedlearn.training.stacks import Stack, StackedViews, stack
from fedlearn.travel import description
from tests.toys import FailingBags, toy_bags, toy_model, toy_plain

STRATEGIES = (FedAvg, FedProx, FedNova)


def draw(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def dense(count: int, width: int, classes: int, seed: int) -> Arrays:
    rng = draw(seed)
    return Arrays(rng.standard_normal((count, width), dtype=np.float32), rng.integers(classes, size=count))


def plan(model: Model, strategy: FedAvg, **kernels) -> RunPlan:
    protection = toy_plain()
    layout = layout_of(strategy.outputs(model.vector.size), protection.codec, strategy.max_weight)
    return RunPlan(
        session=bytes(16), roster={}, model=model.spec(), vocabulary={},
        strategy=description(strategy),
        protection=description(protection),
        keys={}, layout=layout.to_dict(), sampled=4, rounds=1,
        kernels={"stack": "auto", "fold": False, "recurrent": KernelPlan().to_dict()} | kernels, seed=3,
    )  # fmt: skip


def updates(model: Model, clients: list[Client], strategy: FedAvg, stack: str) -> dict[int, bytes | Lost]:
    """By client: the bytes of its whole encoded vector, or why it is lost."""
    agreed, weights = plan(model, strategy, stack=stack), model.vector.copy()
    training = LocalTraining(agreed, clients)
    task = Task(1, weights, {}, RoundLayout.of(agreed, training.layout, 1, weights, {}))
    found: dict[int, bytes | Lost] = {}
    for result in training.updates(range(len(clients)), task):
        if isinstance(result, Lost):
            found[result.client] = result
        else:
            found |= {client: vector.tobytes() for client, vector in result.vectors(len(training.layout))}
    assert sorted(found) == list(range(len(clients)))
    return found


@settings(deadline=None, max_examples=60)
@given(
    widths=st.builds(
        lambda inner, classes: [*inner, classes],
        st.lists(st.integers(1, 70), min_size=1, max_size=3),
        st.integers(2, 70),
    ),
    clients=st.integers(1, 40),
    examples=st.integers(1, 33),
    batch_size=st.integers(1, 40),
    epochs=st.integers(1, 2),
    strategy=st.sampled_from(STRATEGIES),
    momentum=st.sampled_from([0.0, 0.5]),
    weight_decay=st.sampled_from([0.0, 0.01]),
    seed=st.integers(0, 99),
)
def test_stacking_changes_no_bit_of_an_update(
    widths, clients, examples, batch_size, epochs, strategy, momentum, weight_decay, seed
):
    strategy = strategy(epochs, batch_size, 0.1, momentum, weight_decay)
    model = MLP(widths, rng=draw(seed))
    data = [dense(examples, widths[0], widths[-1], seed + i) for i in range(clients)]
    side_by_side = FlatModel(model, clients)
    together = strategy.local_update(side_by_side, stack(data), {}, LocalRandom(seed, 1, range(clients)))
    alone = FlatModel(model)
    for i in range(clients):
        alone.load(model.vector)
        one = strategy.local_update(alone, data[i], {}, local_random(seed, 1, i))
        assert one.vectors["delta"].tobytes() == together.vectors["delta"][i].tobytes()
        assert one.loss == pytest.approx(together.loss[i], rel=1e-6)
        assert one.examples == together.examples
    assert np.any(together.vectors["delta"])


@pytest.mark.parametrize("activation", [nn.ReLU, nn.Tanh, nn.Sigmoid, nn.GELU, nn.LeakyReLU, nn.Softplus])
@pytest.mark.parametrize("clients", [2, 5, 17])
def test_every_activation_that_stacks_keeps_its_bits(activation, clients):
    model = MLP((9, 13, 4), rng=draw(0))
    model.body = nn.Sequential(nn.Linear(9, 13, rng=draw(1)), activation(), nn.Linear(13, 4, rng=draw(2)))
    data = [dense(7, 9, 4, i) for i in range(clients)]
    together = FlatModel(model, clients).gradient(stack(data))[1]
    for i in range(clients):
        assert FlatModel(model).gradient(data[i])[1].tobytes() == together[i].tobytes()


def test_clients_of_many_sizes_are_the_same_stacked_or_not():
    model, strategy = MLP((6, 5, 3), rng=draw(0)), FedAvg(2, 4, 0.1, max_weight=64)
    images = dense(50, 6, 3, 1)
    clients = [Client(f"c{i}", View(images, draw(i).integers(50, size=4 + i % 3))) for i in range(20)]
    clients += [Client("own", dense(5, 6, 3, 7)), Client("alike", dense(5, 6, 3, 8)), Client("one", dense(1, 6, 3, 9))]
    results = [updates(model, clients, strategy, choice) for choice in ("on", "auto", "off")]
    assert results[0] == results[1] == results[2]


def test_a_view_and_its_copy_train_the_same():
    model, strategy, images = MLP((6, 5, 3), rng=draw(0)), FedAvg(1, 4, 0.1, max_weight=64), dense(30, 6, 3, 1)
    rows = [draw(i).integers(30, size=9) for i in range(5)]
    views = [Client("v", View(images, some)) for some in rows]
    copies = [Client("c", images.take(some)) for some in rows]
    assert updates(model, views, strategy, "on") == updates(model, copies, strategy, "on")
    assert np.array_equal(views[0].data.targets, copies[0].data.targets)
    assert np.array_equal(views[0].data.inputs[0], copies[0].data.inputs[0])


class InOnePiece(list):
    """Clients with views of one array, and what they hold in one piece."""

    asked = 0

    def together(self, numbers: list[int]) -> StackedViews:
        self.asked += 1
        return StackedViews.of([self[number].data for number in numbers])


def viewers(rows: list[np.ndarray], kind: type[list]) -> list[Client]:
    images = dense(30, 6, 3, 1)
    return kind(Client(f"v{number}", View(images, some)) for number, some in enumerate(rows))


class Noting(FedAvg):
    """Notes how many copies of the model it trains at a time."""

    copies: ClassVar[list[int]] = []

    def local_update(self, model, data, state, rng):
        self.copies.append(len(model.vector))
        return super().local_update(model, data, state, rng)


@pytest.mark.parametrize(("clients", "copies"), [
    (1, [1]), (3, [3]), (4, [4]), (5, [3, 2]), (8, [4, 4]), (9, [3, 3, 3]), (10, [4, 4, 2]),
])  # fmt: skip
def test_clients_are_stacked_in_the_fewest_turns_of_about_one_length(clients, copies):
    model, data = MLP((6, 8000, 3), rng=draw(0)), [dense(2, 6, 3, seed) for seed in range(clients)]
    assert stack_size(model, "on") == 4
    Noting.copies.clear()
    updates(model, [Client(str(i), each) for i, each in enumerate(data)], Noting(1, 2, 0.1, max_weight=8), "on")
    assert Noting.copies == copies


class UpToTwoFewer(Sampler):
    """Cohorts of changing size."""

    public = True

    def sample(self, seed: int, round: int, population: int, size: int) -> list[int]:
        return sample_cohort(seed, round, population, size - round % 3)


@pytest.mark.parametrize("kind", [list, InOnePiece])
@pytest.mark.parametrize("strategy", [FedAvg(1, 4, 0.1, max_weight=8), Scaffold(1, 4, 0.1)])
def test_cohorts_of_about_one_size_share_stacks_and_their_recorded_steps(kind, strategy):
    rows = [draw(i).integers(30, size=8) for i in range(20)]

    def fitted(stack: str) -> tuple[bytes, int]:
        model, recorded, before = MLP((6, 5, 3), rng=draw(0)), [0], recorded_steps().programs

        def evaluate(model: Model) -> dict[str, float]:
            recorded.append(recorded_steps().programs - before)
            return {}

        sampler = UpToTwoFewer()
        aggregator = Aggregator(
            model, strategy, toy_plain(), cohort=16, sampler=sampler, stack=stack, evaluate=evaluate
        )
        aggregator.fit(InlinePool(viewers(rows, kind)), 9, progress=False)
        return model.vector.tobytes(), max(recorded)

    together, alone = fitted("on"), fitted("off")
    assert together[0] == alone[0]
    assert together[1] == 2  # of 15 copies, which came first, and of 16: 14 clients are trained by 15


@pytest.mark.parametrize("clients", [1, 7, 300])
def test_a_source_that_has_examples_in_one_piece_is_asked_for_them_and_changes_no_bit(clients):
    model, strategy = MLP((6, 5, 3), rng=draw(0)), FedAvg(1, 4, 0.1, max_weight=64)
    rows = [draw(i).integers(-30, 30, size=9) for i in range(clients)]
    pieces = viewers(rows, InOnePiece)
    assert updates(model, pieces, strategy, "on") == updates(model, viewers(rows, list), strategy, "on")
    assert pieces.asked == -(-clients // 256)
    assert updates(model, pieces, strategy, "off") == updates(model, viewers(rows, list), strategy, "off")
    assert pieces.asked == -(-clients // 256)  # one by one, there is no use for it


def test_a_fault_in_one_piece_costs_its_own_client_only():
    model, strategy = MLP((6, 5, 3), rng=draw(0)), FedAvg(1, 4, 0.1, max_weight=64)
    rows = [draw(i).integers(30, size=9) for i in range(5)]
    good = updates(model, viewers(rows, list), strategy, "on")
    rows[3][2] = 30
    found = updates(model, viewers(rows, InOnePiece), strategy, "on")
    assert isinstance(found[3], Lost)
    assert "out of bounds" in found[3].reason or "cannot be taken" in found[3].reason
    assert all(found[client] == good[client] for client in (0, 1, 2, 4))
    rows[3][2] = 0
    broken = viewers(rows, InOnePiece)
    broken[1].data.whole.features[:] = np.nan
    assert all(
        isinstance(lost, Lost) and "NaN" in lost.reason for lost in updates(model, broken, strategy, "on").values()
    )


@pytest.mark.parametrize("choice", ["on", "off"])
def test_a_fault_in_a_stack_costs_its_own_client_only(choice, caplog):
    mark_records()
    model, strategy = MLP((6, 5, 3), rng=draw(0)), FedAvg(1, 4, 0.1, max_weight=64)
    clients = [Client(f"c{i}", dense(8, 6, 3, i)) for i in range(6)]
    good = updates(model, clients, strategy, choice)
    clients[1].data.features[3, 2] = np.nan
    clients[2].data.targets[0] = 3
    clients[4] = Client("alice", FailingBags(OSError("disk on fire"), size=8))
    found = updates(model, clients, strategy, choice)
    assert {client for client, result in found.items() if isinstance(result, Lost)} == {1, 2, 4}
    assert all(found[client] == good[client] for client in (0, 3, 5))
    assert found[1].refused
    assert "NaN" in found[1].reason
    assert "target class 3 is out of range" in found[2].reason
    assert found[4].reason == "OSError: disk on fire"
    assert {record.client for record in caplog.records} == {"c1", "c2", "alice"}


def test_a_client_that_cannot_be_made_is_lost_alone():
    class Source(list):
        def __getitem__(self, number):
            if number == 1:
                raise OSError("no such file")
            return super().__getitem__(number)

    model, strategy = MLP((6, 5, 3), rng=draw(0)), FedAvg(1, 4, 0.1, max_weight=64)
    found = updates(model, Source(Client("c", dense(8, 6, 3, i)) for i in range(3)), strategy, "on")
    assert found[1] == Lost(1, "OSError: no such file")
    assert isinstance(found[0], bytes)


@pytest.mark.parametrize("dim", [1, 5])
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_training_on_a_clients_own_words_changes_no_bit(dim, strategy, momentum):
    strategy = strategy(2, 4, 0.5, momentum)
    assert strategy.leaves_untouched_weights
    model, bags = toy_model(dim), toy_bags(11, seed=4)
    start = model.vector.copy()
    narrow = NarrowModel(model)
    data, support = narrow.narrow(start, [narrow.own_words(bags)])
    assert narrow.vector.size < start.size
    own = np.empty_like(narrow.vector)
    support.gather(start, own)
    assert own.tobytes() == narrow.vector.tobytes()
    short = strategy.local_update(narrow, data, {}, LocalRandom(0, 1, [0]))
    whole = strategy.local_update(model, bags, {}, local_random(0, 1, 0))
    spread = np.zeros_like(start)
    support.add_to(spread, short.vectors["delta"])
    assert np.array_equal(spread, whole.vectors["delta"])
    assert short.loss == whole.loss


def test_weight_decay_moves_every_word_and_is_not_narrowed():
    strategy = FedAvg(1, 4, 0.5, weight_decay=0.1, max_weight=64)
    model = toy_model(3)
    (vector,) = updates(model, [Client("c", toy_bags(5, 1))], strategy, "auto").values()
    moved = np.frombuffer(vector, np.int64)[: model.vector.size]
    assert np.count_nonzero(moved) > 0.9 * moved.size


def test_a_word_out_of_the_vocabulary_is_refused_and_no_words_at_all_are_fine():
    far = Bags(np.array([40], np.int32), np.array([0, 1]), np.ones(1, np.float32))
    below = Bags(np.array([0], np.int32), np.array([0, 1]), np.ones(1, np.float32))
    below.indices[0] = -1  # its owner's to change
    empty = Bags(np.zeros(0, np.int32), np.array([0, 0]), np.ones(1, np.float32))
    clients = [Client("far", far), Client("below", below), Client("empty", empty)]
    found = updates(toy_model(3), clients, FedAvg(1, 4, 0.5, max_weight=64), "auto")
    assert all(found[client].refused and "out of range" in found[client].reason for client in (0, 1))
    assert isinstance(found[2], bytes)


def test_stacks_are_for_models_that_can_and_gain():
    small, large = MLP((64, 32, 10)), MLP((512, 512, 10))
    assert [stack_size(small, choice) for choice in ("auto", "on", "off")] == [108, 108, 1]
    assert [stack_size(large, choice) for choice in ("auto", "on", "off")] == [1, 4, 1]
    assert stack_size(ConvNet(), "auto") == 1
    with pytest.raises(BadInput, match=r"Conv2d.*cannot be stacked: choose auto"):
        stack_size(ConvNet(), "on")
    with pytest.raises(BadInput, match="stack is 'maybe'"):
        Aggregator(toy_model(), FedAvg(), toy_plain(), stack="maybe").fit(InlinePool([Client("c", toy_bags(3, 0))]), 1)


def test_examples_of_a_stack_are_taken_client_by_client():
    data = [dense(4, 3, 2, i) for i in range(3)]
    order = np.array([[3, 0], [1, 1], [2, 3]])
    taken = stack(data).take(order)
    assert isinstance(taken, Stack)
    assert len(taken) == 2
    for i in range(3):
        assert np.array_equal(taken.features[i], data[i].features[order[i]])
        assert np.array_equal(taken.take(slice(1, 2)).targets[i], data[i].targets[order[i][1:]])


@pytest.mark.parametrize("bits", [8, 24, 30, 31, 32, 40])
def test_no_sum_of_updates_overflows_however_many_there_are(bits):
    """All at the limit, in pieces of every size; with a support that names some of the rows."""
    codec = FixedPoint(bits=bits, bound=1.0, addends=1 << 12)
    layout = layout_of({"delta": Output(7)}, codec, max_weight=1)
    length, most = len(layout), min(addable(codec), 200)
    sign = np.where(np.arange(length) % 2, 1, -1)
    support = Support(begin=1, end=7, width=2, most=3, rows=[np.array([0, 1, 2])])
    total, count = RunningSum(layout), 0
    for size in [1, most, most, max(1, most // 2), most, 1] * 3:
        total.add(Encoded(range(size), np.tile((codec.limit * sign).astype(codec.dtype), (size, 1))))
        total.add(Encoded([0], (codec.limit * sign).astype(codec.dtype)[None], support))
        count += size + 1
    assert total.total().tolist() == [count * codec.limit * int(one) for one in sign]
    assert total.total().dtype == np.int64
