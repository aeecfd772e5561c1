"""Modules: their parameters in one flat array, their state, their description."""

from __future__ import annotations

import copy
import json
import pickle

import numpy as np
import pytest

from fedlearn import Tensor, nn, no_grad, optim
from fedlearn.errors import BadInput, ShapeError
from fedlearn.nn import functional as F


class Net(nn.Module):
    """Own parameters, children and a shared one, in an order worth checking."""

    def __init__(self, width: int, *, rng: np.random.Generator | None = None):
        self.body = nn.Sequential(nn.Linear(3, width, rng=rng), nn.Tanh(), nn.Linear(width, 3, rng=rng))
        self.scale = nn.Parameter(np.ones(3, np.float32))
        self.seen = nn.Buffer(np.zeros(2, np.float32))
        self.again = self.body[0]

    def forward(self, x):
        return self.body(x) * self.scale


@pytest.fixture
def net() -> Net:
    return Net(4, rng=np.random.default_rng(0))


def test_names_in_pytorchs_order(net):
    names = ["scale", "body.0.weight", "body.0.bias", "body.2.weight", "body.2.bias"]
    assert [name for name, _ in net.named_parameters()] == names
    assert [name for name, _ in net.named_buffers()] == ["seen"]
    assert set(net.state_dict()) == {*names, "seen", "again.weight", "again.bias"}
    assert [name for name, _ in net.named_children()] == ["body", "again"]


def test_the_vector_is_the_memory_of_the_parameters(net):
    assert net.vector.shape == (3 + 12 + 4 + 12 + 3,)
    assert net.vector.dtype == np.float32
    net.vector[:] = np.arange(34)
    assert net.scale.numpy().tolist() == [0, 1, 2]
    assert net.body[2].bias.numpy().tolist() == [31, 32, 33]
    net.scale[...] = 7
    assert net.vector[:3].tolist() == [7, 7, 7]
    assert np.shares_memory(net.vector, net.vector)


def test_the_vector_survives_loading_stepping_and_looking_at_a_part(net):
    vector = net.vector
    part = net.body[2].vector
    assert np.shares_memory(part, vector)
    assert part.shape == (15,)
    net.load_state_dict(Net(4, rng=np.random.default_rng(1)).state_dict())
    F.mse_loss(net(np.ones((2, 3), np.float32)), np.zeros((2, 3), np.float32)).backward()
    before = vector.copy()
    optim.SGD(net.parameters(), lr=0.1).step()
    assert (vector != before).any()
    assert np.shares_memory(vector, net.vector)
    np.testing.assert_array_equal(np.concatenate([p.numpy().ravel() for p in net.parameters()]), vector)


def test_a_part_looked_at_first_joins_the_whole_later(net):
    net.body.vector[:] = 1
    net.vector[:] = 2
    assert net.body.vector.tolist() == [2] * 31


def test_copies_have_memory_of_their_own(net):
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        np.testing.assert_array_equal(twin.vector, net.vector)
        twin.vector[:] = 0
        assert net.vector.any()
        assert twin.again is twin.body[0]


def test_a_state_dict_is_a_copy_and_loads_strictly(net):
    state = net.state_dict()
    net.vector[:] = 0
    assert state["scale"].tolist() == [1, 1, 1]
    net.load_state_dict(state)
    assert net.scale.numpy().tolist() == [1, 1, 1]
    with pytest.raises(ShapeError, match=r"missing"):
        net.load_state_dict({name: value for name, value in state.items() if name != "scale"})
    with pytest.raises(ShapeError, match=r"unknown"):
        net.load_state_dict({**state, "other": np.ones(2)})
    net.load_state_dict({"scale": np.zeros(3)}, strict=False)
    assert net.vector[:3].tolist() == [0, 0, 0]


def test_a_state_dict_of_another_model_writes_nothing(net):
    before = net.vector.copy()
    with pytest.raises(ShapeError, match=r"\(4, 3\).*\(5, 3\)"):
        net.load_state_dict(Net(5).state_dict())
    np.testing.assert_array_equal(net.vector, before)


def test_a_description_builds_the_same_architecture(net):
    spec = net.spec()
    assert json.loads(json.dumps(spec)) == spec
    twin = nn.build(json.loads(json.dumps(spec)), np.random.default_rng(0))
    np.testing.assert_array_equal(twin.vector, net.vector)
    bag = nn.Sequential(nn.EmbeddingBag(9, 2, mode="sum"), nn.Linear(in_features=2, out_features=1, bias=False))
    rebuilt = nn.build(bag.spec())
    assert rebuilt.spec() == bag.spec()
    assert rebuilt[0].mode == "sum"
    assert rebuilt[1].bias is None


@pytest.mark.parametrize(
    "spec",
    [
        {"class": "os:system", "args": ["true"], "kwargs": {}},
        {"class": "fedlearn.nn.layers:Nothing", "args": [], "kwargs": {}},
        {"class": "no.such.module:Linear", "args": [], "kwargs": {}},
        {"class": "", "args": [], "kwargs": {}},
        {"class": "fedlearn.nn.layers:Linear", "args": [1], "kwargs": {"colour": 2}},
        {"class": "fedlearn.nn.layers:Linear"},
        {"class": "fedlearn.nn.layers:Linear", "args": 3, "kwargs": {}},
        {"class": "fedlearn.nn.layers:Linear", "args": [3, 2], "kwargs": []},
        {"class": "fedlearn.nn.layers:Linear", "args": [-1, 2], "kwargs": {}},
        {"class": "fedlearn.nn.recurrent:LSTM", "args": ["a", 2], "kwargs": {}},
        {"class": "fedlearn.nn.normalization:BatchNorm1d", "args": [-1], "kwargs": {}},
        [],
    ],
)
def test_a_description_of_anything_else_is_refused(spec):
    with pytest.raises(BadInput):
        nn.build(spec)


def test_an_argument_that_a_description_cannot_hold_is_refused():
    with pytest.raises(BadInput, match="ndarray"):
        nn.CrossEntropyLoss(weight=np.ones(3)).spec()


def test_modes_and_gradients_reach_every_part(net):
    assert not any(module.training for module in net.eval().modules())
    assert all(module.training for module in net.train().modules())
    net(np.ones((1, 3), np.float32)).sum().backward()
    net.zero_grad(set_to_none=False)
    assert all((p.grad.numpy() == 0).all() for p in net.parameters())
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())
    net.requires_grad_(False)
    assert not net(np.ones((1, 3), np.float32)).requires_grad


def test_double_precision_and_back(net):
    assert net.double().vector.dtype == np.float64
    assert net(np.ones((1, 3))).dtype == np.float64
    assert net.float().vector.dtype == np.float32
    norm = nn.BatchNorm1d(2).double()
    assert (norm.running_mean.dtype, norm.num_batches_tracked.dtype) == (np.float64, np.int64)


def test_the_same_generator_gives_the_same_numbers_and_none_gives_others():
    def numbers(rng):
        return nn.Linear(3, 2, rng=rng).vector

    np.testing.assert_array_equal(numbers(np.random.default_rng(3)), numbers(np.random.default_rng(3)))
    assert (numbers(None) != numbers(None)).any()


def test_a_module_without_forward_says_so():
    with pytest.raises(BadInput, match=r"Bare has no forward\(\): define it in the class"):
        type("Bare", (nn.Module,), {})()(1)


def test_sequential_by_name_and_its_contents():
    named = nn.Sequential({"hidden": nn.Linear(2, 3), "out": nn.Linear(3, 1)})
    assert next(named.named_parameters())[0] == "hidden.weight"
    assert len(named) == 2
    assert named[1] is named.out
    with pytest.raises(BadInput, match="Module"):
        nn.Sequential(np.tanh)
    assert repr(nn.Sequential(nn.Linear(2, 1, bias=False))) == "Sequential(\n  (0): Linear(2, 1, bias=False)\n)"


def test_a_bag_touches_only_its_rows():
    bag = nn.EmbeddingBag(1000, 2, mode="sum", rng=np.random.default_rng(0))
    before = bag.vector.copy()
    bag(np.array([3, 5, 5]), np.array([0, 1])).sum().backward()
    assert bag.weight._grad.rows.tolist() == [3, 5]
    optim.SGD(bag.parameters(), lr=1.0).step()
    moved = np.flatnonzero((bag.vector != before).reshape(1000, 2).any(axis=1))
    assert moved.tolist() == [3, 5]
    expected = np.zeros((1000, 2))
    expected[3], expected[5] = 1, 2
    np.testing.assert_array_equal(bag.weight.grad.numpy(), expected)


def test_row_gradients_add_up_with_each_other_and_with_dense_ones():
    bag = nn.EmbeddingBag(6, 1, mode="sum")
    for indices in ([1, 2], [2, 3]):
        bag(np.array([indices])).sum().backward()
    assert bag.weight._grad.rows.tolist() == [1, 2, 3]
    bag.weight.sum().backward()
    bag(np.array([[0]])).sum().backward()
    assert bag.weight.grad.numpy().ravel().tolist() == [2, 2, 3, 2, 1, 1]
    bag.zero_grad()
    (bag(np.array([[0, 1]])).sum() + (bag.weight * 2).sum()).backward()
    assert bag.weight.grad.numpy().ravel().tolist() == [3, 3, 2, 2, 2, 2]


def test_no_grad_evaluation_gives_tensors():
    with no_grad():
        assert isinstance(nn.Linear(2, 1)(np.ones((1, 2), np.float32)), Tensor)


@pytest.mark.parametrize("mode", ["sum", "mean"])
def test_many_and_large_bags_give_what_few_and_small_ones_do(mode):
    rng = np.random.default_rng(0)
    bag = nn.EmbeddingBag(3000, 2, mode=mode, rng=rng).double()
    indices, sizes = rng.integers(0, 3000, 6000), rng.integers(0, 13, 1000)
    sizes[-1] = 0
    offsets = np.minimum(np.concatenate([[0], np.cumsum(sizes)[:-1]]), 6000)
    weights = rng.standard_normal((1000, 2))
    whole = bag(indices, offsets)
    whole.backward(weights)
    expected = bag.weight.grad.numpy()
    bag.zero_grad()
    for start in range(0, 1000, 50):
        ends = [*offsets, 6000]
        first, last = ends[start], ends[start + 50]
        part = bag(indices[first:last], offsets[start : start + 50] - first)
        np.testing.assert_allclose(part.numpy(), whole.numpy()[start : start + 50], rtol=1e-12, atol=1e-14)
        part.backward(weights[start : start + 50])
    np.testing.assert_allclose(bag.weight.grad.numpy(), expected, rtol=1e-10, atol=1e-12)
