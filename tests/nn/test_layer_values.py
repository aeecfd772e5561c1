"""What layers begin with, carry on, tell and refuse."""

from __future__ import annotations

import inspect
import platform

import numpy as np
import pytest

from fedlearn import Tensor, nn
from fedlearn.autograd.memory import keep_freed
from fedlearn.errors import BadInput, ShapeError
from fedlearn.nn import functional as F


def test_a_carried_state_is_detached_and_ends_the_graph():
    layer = nn.LSTM(2, 3, rng=np.random.default_rng(0))
    x = np.random.default_rng(1).standard_normal((4, 1, 2)).astype(np.float32)
    _, state = layer(x)
    y, _ = layer(x, tuple(part.detach() for part in state))
    y.sum().backward()
    alone = layer.weight_hh_l0.grad.numpy().copy()
    layer.zero_grad()
    y, _ = layer(x, layer(x)[1])
    y.sum().backward()
    assert np.abs(layer.weight_hh_l0.grad.numpy() - alone).max() > 1e-4


def test_layers_in_a_mixture():
    gru, lstm = nn.GRU(2, 3), nn.LSTM(3, 4)
    y, (h, c) = lstm(gru(np.ones((5, 2, 2), np.float32))[0])
    assert (y.shape, h.shape, c.shape) == ((5, 2, 4), (1, 2, 4), (1, 2, 4))
    y.sum().backward()
    assert all(np.abs(p.grad.numpy()).max() > 0 for p in gru.parameters())


@pytest.mark.parametrize(
    "run",
    [
        lambda: nn.Linear(3, 2)(np.ones((2, 4))),
        lambda: nn.LSTM(3, 2)(np.ones((2, 4))),
        lambda: nn.LSTM(3, 2)(np.ones((2, 1, 3)), np.zeros((1, 1, 2))),
        lambda: nn.LSTM(3, 2).embedded(np.array([1]), np.ones((2, 3))),
        lambda: nn.GRUCell(3, 2)(np.ones((1, 4))),
        lambda: nn.RNNCell(3, 2)(np.ones((1, 2, 3))),
        lambda: nn.Conv2d(1, 1, 5)(np.ones((1, 1, 4, 4))),
        lambda: nn.Conv2d(2, 1, 2)(np.ones((1, 1, 4, 4))),
        lambda: nn.BatchNorm2d(3)(np.ones((4, 3))),
        lambda: nn.BatchNorm1d(3)(np.ones((1, 3))),
        lambda: nn.LayerNorm(3)(np.ones((2, 4))),
        lambda: F.mse_loss(np.ones(3), np.ones((3, 1))),
        lambda: F.cross_entropy(np.ones((3, 2)), np.zeros(2, int)),
    ],
)
def test_shapes_that_do_not_fit_are_named(run):
    with pytest.raises(ShapeError, match=r"\(\d"):
        run()


@pytest.mark.parametrize(
    "run",
    [
        lambda: F.cross_entropy(np.ones((2, 2)), np.array([0, 2])),
        lambda: F.cross_entropy(np.ones((2, 2)), np.array([0, -1])),
        lambda: F.cross_entropy(np.ones((2, 2)), np.array([0.0, 1.0])),
        lambda: F.cross_entropy(np.ones((2, 2)), np.array([0, 1]), label_smoothing=1.5),
        lambda: F.nll_loss(np.ones((2, 2)), np.array([0, 5])),
        lambda: nn.Embedding(3, 1)(np.array([3])),
        lambda: nn.Embedding(3, 1)(np.array([-1])),
        lambda: nn.EmbeddingBag(3, 1)(np.array([0]), np.array([1])),
        lambda: nn.EmbeddingBag(3, 1)(np.array([0])),
        lambda: nn.EmbeddingBag(3, 1, mode="max")(np.array([[0]])),
        lambda: F.binary_cross_entropy(np.array([1.5]), np.array([1.0])),
        lambda: F.mse_loss(np.ones(1), np.ones(1), reduction="best"),
        lambda: nn.RNN(2, 3, nonlinearity="sine"),
        lambda: nn.LSTM(0, 3),
        lambda: nn.GRUCell(2, 0),
        lambda: nn.Linear(-1, 3),
        lambda: nn.Embedding(3, -1),
        lambda: nn.Conv2d(-1, 1, 2),
        lambda: nn.init.calculate_gain("cube"),
        lambda: nn.init.xavier_uniform_(Tensor(np.zeros(3))),
    ],
)
def test_bad_values_are_refused(run):
    with pytest.raises(BadInput):
        run()


def test_initial_values():
    rng = np.random.default_rng(0)
    weight = nn.Parameter(np.zeros((200, 300), np.float32))
    for fill, std in [
        (nn.init.xavier_uniform_, (2 / 500) ** 0.5),
        (nn.init.xavier_normal_, (2 / 500) ** 0.5),
        (nn.init.kaiming_uniform_, (2 / 300) ** 0.5),
        (nn.init.kaiming_normal_, (2 / 300) ** 0.5),
    ]:
        assert fill(weight, rng=rng).numpy().std() == pytest.approx(std, rel=0.02)
    product = nn.init.orthogonal_(weight, rng=rng).numpy() @ weight.numpy().T
    np.testing.assert_allclose(product, np.eye(200), atol=1e-5)
    assert nn.init.constant_(weight, 3.0).numpy().min() == 3


def test_a_summary_counts_what_there_is():
    lines = nn.Sequential(nn.Linear(30, 50), nn.Linear(50, 2)).summary().splitlines()
    assert lines[0].split() == ["0.weight", "(50,", "30)", "1,500"]
    assert lines[-1].split() == ["all", "1,652"]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_the_c_library_is_told_to_keep_memory():
    assert keep_freed()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_refused(value):
    x, weight = Tensor(np.zeros((2, 2)), requires_grad=True), np.array([value, 1.0])
    ones, each = np.ones((2, 2)), np.full((2, 2), value)
    for loss in (
        lambda: F.cross_entropy(x, [0, 1], weight=weight),
        lambda: F.cross_entropy(x, [0, -100], weight=weight, reduction="none"),
        lambda: F.cross_entropy(x, ones / 2, weight=weight),
        lambda: F.nll_loss(x, [0, 1], weight=weight, reduction="sum"),
        lambda: F.binary_cross_entropy_with_logits(x, ones, pos_weight=weight),
        lambda: F.binary_cross_entropy_with_logits(x, ones, weight=weight),
        lambda: F.binary_cross_entropy(x.sigmoid(), ones, weight=weight),
        lambda: F.mse_loss(x, ones, weight=each),
        lambda: F.huber_loss(x, ones, weight=each),
    ):
        with pytest.raises(BadInput, match=r"weight.* holds a number that is not finite"):
            loss()


def test_an_input_of_another_width_is_told_the_layers_own():
    with pytest.raises(ShapeError, match="takes 4 columns, the input has 5 columns"):
        nn.Sequential(nn.Linear(4, 3))(np.ones((2, 5), np.float32))


SIZES = {
    "Linear": (2, 3), "Embedding": (3, 2), "EmbeddingBag": (3, 2), "Conv1d": (2, 2, 3), "Conv2d": (2, 2, 3),
    "ConvTranspose2d": (2, 2, 3), "LSTM": (2, 3), "GRU": (2, 3), "RNN": (2, 3), "LSTMCell": (2, 3), "GRUCell": (2, 3),
    "RNNCell": (2, 3), "LayerNorm": (3,), "BatchNorm1d": (3,), "BatchNorm2d": (3,), "GroupNorm": (1, 3),
    "MaxPool2d": (2,), "AvgPool2d": (2,), "PReLU": (1,),
}  # fmt: skip


@pytest.mark.parametrize("wrong", [-1, "2", 2.5, True, None])
@pytest.mark.parametrize(("name", "place"), [(name, i) for name, sizes in SIZES.items() for i in range(len(sizes))])
def test_a_wrong_size_is_called_by_its_argument(name, place, wrong):
    kind = getattr(nn, name)
    argument = list(inspect.signature(kind.__init__).parameters)[1 + place]
    given = [*SIZES[name][:place], wrong, *SIZES[name][place + 1 :]]
    with pytest.raises(BadInput, match=argument):
        kind(*given)
