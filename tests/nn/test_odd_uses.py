"""What layers and models are given that nobody expects, and what stays as it was where they refuse it."""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest

from aggregator import Aggregator
from clients import Client, InlinePool
from fedlearn import Tensor, nn, optim
from fedlearn.datasets.examples import Arrays
from fedlearn.errors import BadInput, ShapeError
from fedlearn.models import Model
from fedlearn.nn import functional as F
from fedlearn.secure import Plain
from fedlearn.training.marks import marks


class Net(Model):
    def __init__(self, *, rng=None):
        self.head = nn.Linear(2, 2, rng=rng)

    def loss(self, batch):
        return F.cross_entropy(self.head(*batch.inputs), batch.targets)


class InADeque(Net):
    def __init__(self, *, rng=None):
        self.first = deque([nn.Linear(2, 2, rng=rng)])
        super().__init__(rng=rng)

    def loss(self, batch):
        return F.cross_entropy(self.head(self.first[0](*batch.inputs)), batch.targets)


class OfAPlainTensor(Net):
    def __init__(self, *, rng=None):
        self.scale = Tensor(1.0, requires_grad=True)
        super().__init__(rng=rng)


class OfAClass(Net):
    shared = nn.Linear(2, 2, rng=np.random.default_rng(0))


class OfAClassWithoutWeights(Net):
    shared = nn.ReLU()


def fit(model):
    people = [Client(str(i), Arrays(np.eye(2, dtype=np.float32), np.arange(2))) for i in range(2)]
    return Aggregator(model, protection=Plain()).fit(InlinePool(people), 1)


ARRAY = np.ones(2)
ODD = {
    "a number for a row": lambda: nn.Linear(2, 2)(3.0),
    "a class count": lambda: F.one_hot(np.arange(2), ARRAY),
    "a norm's order": lambda: F.normalize(np.eye(2), ARRAY),
    "a reduction": lambda: F.kl_div(np.eye(2), np.eye(2), ARRAY),
    "padding": lambda: F.pad(np.eye(2), np.array(1)),
    "a closure": lambda: optim.SGD(nn.Linear(1, 1).parameters()).step(3),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_arguments_are_refused_by_typed_errors(name):
    with pytest.raises(BadInput):
        ODD[name]()


def test_a_layer_made_of_its_input_says_how_it_is_called():
    with pytest.raises(TypeError, match=r"as ReLU\(\)\(x\)") as caught:
        nn.ReLU(Tensor(np.eye(3)))
    assert "\n" not in str(caught.value)


def test_parts_in_a_deque_are_found_and_trained():
    model = InADeque(rng=np.random.default_rng(0))
    assert [name for name, _ in model.named_children()] == ["first.0", "head"]
    before = model.first[0].weight.numpy().copy()
    fit(model)
    assert np.abs(model.first[0].weight.numpy() - before).max() > 0
    model.first.append(nn.Linear(2, 2))
    assert nn.module_differences(model, InADeque())


@pytest.mark.parametrize(("kind", "name"), [(OfAPlainTensor, "scale"), (OfAClass, "shared")])
def test_what_no_client_would_train_is_refused(kind, name):
    with pytest.raises(BadInput, match=f"{kind.__name__}.{name} would not be trained"):
        fit(kind())
    fit(OfAClassWithoutWeights())


@pytest.mark.parametrize("keys", [(1, "1"), ("a.0", "a")])
def test_two_parts_of_one_name_are_refused(keys):
    class Held(nn.Module):
        def __init__(self):
            self.parts = {keys[0]: nn.Linear(1, 1), keys[1]: [nn.Linear(1, 1)] if keys[1] == "a" else nn.Linear(1, 1)}

    for listed in (Held().state_dict, lambda: list(Held().parameters())):
        with pytest.raises(BadInput, match="two parts of the Held are named parts"):
            listed()


def test_a_state_that_cannot_be_held_writes_nothing():
    layer = nn.BatchNorm1d(2)
    before = layer.state_dict()
    for wrong in (1e30, np.nan, np.uint64(2**63)):
        with pytest.raises(BadInput, match="whole numbers"):
            layer.load_state_dict({**before, "weight": np.full(2, 7.0), "num_batches_tracked": np.array(wrong)})
        np.testing.assert_array_equal(layer.weight.numpy(), [1, 1])


@pytest.mark.parametrize("momentum", [0.1, None])
def test_a_batch_that_is_refused_is_not_counted(momentum):
    layer, other = (nn.BatchNorm1d(2, momentum=momentum) for _ in range(2))
    batch = np.arange(6, dtype=np.float32).reshape(3, 2)
    with pytest.raises(ShapeError):
        layer(batch[:1])
    for each in (layer, other):
        each(batch)
    assert all(np.array_equal(value, other.state_dict()[name]) for name, value in layer.state_dict().items())


@pytest.mark.parametrize("rng", [0, "x", np.random.RandomState(0), np.random, 1.5])
def test_what_is_no_generator_is_refused(rng):
    model = nn.Sequential(nn.Linear(1, 1), nn.Dropout())
    for drawing in (
        lambda: nn.Linear(1, 1, rng=rng),
        lambda: nn.LSTM(1, 1, rng=rng),
        lambda: nn.Dropout(rng=rng),
        lambda: nn.init.normal_(Tensor([1.0]), rng=rng),
        lambda: F.dropout(np.ones(2), rng=rng),
        lambda: model.use_rng(rng),
        lambda: nn.build(model.spec(), rng),
    ):
        with pytest.raises(BadInput, match="default_rng"):
            drawing()


@pytest.mark.parametrize(
    "given",
    [
        lambda: nn.Linear(True, 2),
        lambda: nn.LSTM(2, 3, np.True_),
        lambda: nn.Conv2d(1, 1, 3, stride=True),
        lambda: nn.Embedding(2, 2, padding_idx=False),
        lambda: nn.Flatten(True),
        lambda: nn.Flatten(2, 1)(np.zeros((2, 3, 4))),
        lambda: nn.init.uniform_(Tensor([1.0]), -1e308, 1e308),
        lambda: nn.init.kaiming_uniform_(Tensor([[1.0]]), a=1e200),
        lambda: F.scaled_dot_product_attention(np.ones((2, 2)), np.ones((2, 2)), np.ones((2, 2)), np.eye(2, dtype=int)),
    ],
)
def test_a_truth_value_is_no_size_and_other_odd_arguments(given):
    with pytest.raises(BadInput):
        given()


def test_masks_select_where_they_drop_too():
    for masked in (
        lambda x: F.dropout(x, 0.999, rng=np.random.default_rng(0)),
        lambda x: F.leaky_relu(x, 0.0),
    ):
        x = Tensor(np.array([-1.0, -4.0]) if masked(np.array([-1.0]))[0] == 0 else np.ones(2), requires_grad=True)
        masked(x).sqrt().sum().backward()
        np.testing.assert_array_equal(x.grad.numpy(), [0, 0])


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (lambda: F.conv1d(np.ones((2, 3, 4)), np.ones((5, 2, 3))), ["conv1d", "(2, 3, 4)", "(5, 2, 3)"]),
        (lambda: F.conv1d(np.ones((2, 3, 4)), np.ones((5, 3, 3)), groups=2), ["conv1d", "2 groups"]),
        (lambda: F.conv1d(np.ones((2, 3, 4)), np.ones((5, 3, 3)), np.ones(4)), ["conv1d's bias", "(5,)", "(4,)"]),
        (lambda: nn.Conv1d(3, 4, 3)(np.ones((2, 5, 6))), ["conv1d", "(2, 5, 6)"]),
        (lambda: F.conv2d(np.ones((2, 3, 4, 4)), np.ones((5, 2, 3, 3))), ["conv2d", "(5, 2, 3, 3)"]),
        (lambda: nn.BatchNorm1d(3)(np.ones((2, 4))), ["BatchNorm1d(3)", "3 channels", "(2, 4)", "has 4"]),
        (lambda: nn.BatchNorm1d(3)(np.ones(3)), ["2 or 3 axes", "(3,)"]),
        (lambda: nn.BatchNorm2d(3)(np.ones((2, 3, 4))), ["4 axes", "(2, 3, 4)"]),
        (
            lambda: nn.Linear(1, 1).load_state_dict({"weight": np.full((1, 1), 1e300), "bias": np.ones(1)}),
            ["weight", "3.4e+38", "double()"],
        ),
    ],
)
def test_an_error_names_what_was_called_and_both_sizes(run, words):
    with pytest.raises(BadInput) as error:
        run()
    assert all(word in str(error.value) for word in words)


def test_infinite_numbers_are_loaded_as_they_are():
    layer = nn.Linear(1, 2)
    layer.load_state_dict({"weight": np.array([[np.inf], [np.nan]]), "bias": np.array([1e38, -np.inf])})
    assert np.isposinf(layer.weight.numpy()[0, 0])


def test_measuring_a_client_leaves_every_part_in_its_own_mode():
    model = Net()
    model.head.eval()
    marks(model, Arrays(np.eye(2, dtype=np.float32), np.arange(2)))
    assert (model.training, model.head.training) == (True, False)


def test_an_infinite_limit_measures_gradients_and_scales_none():
    layer = nn.Linear(1, 1)
    layer.weight.grad, layer.bias.grad = np.array([[3.0]]), np.array([4.0])
    assert nn.utils.clip_grad_norm_(layer.parameters(), np.inf) == 5
    assert layer.weight.grad.item() == 3


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_an_empty_batch_is_padded_with_its_own_numbers(mode):
    layer = nn.Conv2d(3, 4, 3, padding=1, padding_mode=mode)
    assert layer(np.zeros((0, 3, 5, 5), np.float32)).shape == (0, 4, 5, 5)
    with pytest.raises(BadInput, match=f"{mode} padding"):
        F.pad(np.zeros((2, 0)), (1, 1), mode)


@pytest.mark.parametrize(
    "change",
    [
        lambda row, _: row.insert("first", nn.Tanh()),
        lambda row, _: row.extend([nn.Tanh(), np.tanh]),
        lambda row, _: row.__iadd__([nn.Tanh(), 3]),
        lambda row, _: row.append(np.tanh),
        lambda _, named: named.update({"b": nn.Tanh(), "c": 3}),
        lambda _, named: named.update({"b": nn.Tanh(), "c.d": nn.Tanh()}),
    ],
)
def test_a_change_of_parts_that_is_refused_changes_none(change):
    row, named = nn.ModuleList([nn.ReLU()]), nn.ModuleDict({"a": nn.ReLU()})
    with pytest.raises(BadInput):
        change(row, named)
    assert [len(row), list(named)] == [1, ["a"]]


@pytest.mark.parametrize("wanted", ["no", None, 2, np.ones(2)])
def test_a_gradient_is_wanted_or_not(wanted):
    for ask in (lambda: Tensor([1.0], requires_grad=wanted), lambda: nn.Linear(1, 1).requires_grad_(wanted)):
        with pytest.raises(BadInput, match="give True or False"):
            ask()
    assert not Tensor([1.0], requires_grad=0).requires_grad


@pytest.mark.parametrize(
    "run",
    [
        lambda x: x.expand_as(None),
        lambda x: x.view_as([1]),
        lambda x: x.type_as("float"),
        lambda x: x.astype("abc"),
        lambda x: x.to(np.ones(2)),
        lambda x: x.lerp(None, 0.5),
        lambda x: x.diff(10**30, 5),
        lambda x: F.mse_loss(x, x, np.ones(2)),
        lambda x: F.gelu(x, np.ones(2)),
    ],
)
def test_odd_arguments_are_refused_in_our_words(run):
    with pytest.raises(BadInput):
        run(Tensor(np.ones((2, 3))))


def test_more_differences_than_numbers_leave_none():
    assert Tensor(np.ones((2, 3))).diff(10**30).shape == (2, 0)
    assert Tensor(np.ones((2, 3, 4))).transpose(np.array([2, 0, 1])).shape == (4, 2, 3)
