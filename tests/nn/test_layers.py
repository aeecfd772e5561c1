"""First and second derivatives of every layer and loss, by its input and by its parameters, against differences."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedlearn import Tensor, nn
from fedlearn.autograd import gradcheck, gradgradcheck
from fedlearn.errors import BadInput, ShapeError
from fedlearn.models import CharGRU
from fedlearn.nn import functional as F
from tests.autograd.cases import seeds
from tests.autograd.draws import apart, normal


def read_only(size: int) -> np.ndarray:
    array = np.zeros(size)
    array.flags.writeable = False
    return array


class Listed(nn.Module):
    """Runs what its containers hold."""

    def __init__(self, layers: nn.ModuleList, named: nn.ModuleDict):
        self.layers, self.named = layers, named

    def forward(self, x):
        for layer in [*self.layers, *self.named.values()]:
            x = layer(x)
        return x


# A layer, and the shape of its input for two numbers that hypothesis draws.
LAYERS = {
    "Linear": (lambda: nn.Linear(3, 2), lambda n, m: (n, m, 3)),
    "Conv2d": (lambda: nn.Conv2d(2, 2, (2, 3), stride=(2, 1), padding=1), lambda n, m: (n, 2, m + 1, n)),
    "MaxPool2d": (lambda: nn.MaxPool2d(2, padding=1), lambda n, m: (1, 2, n, m)),
    "AvgPool2d": (lambda: nn.AvgPool2d(2, stride=1), lambda n, m: (n, 1, m + 1, n + 1)),
    "BatchNorm1d": (lambda: nn.BatchNorm1d(3), lambda n, m: (n + 2, 3, m)),
    "BatchNorm2d": (lambda: nn.BatchNorm2d(2), lambda n, m: (n, 2, m, 3)),
    "LayerNorm": (lambda: nn.LayerNorm((2, 3)), lambda n, m: (n, m, 2, 3)),
    "LSTM": (lambda: nn.LSTM(2, 3, num_layers=2), lambda n, m: (n, m, 2)),
    "GRU": (lambda: nn.GRU(2, 3, batch_first=True), lambda n, m: (n, m, 2)),
    "RNN": (lambda: nn.RNN(2, 3), lambda n, m: (n, m, 2)),
    "LSTMCell": (lambda: nn.LSTMCell(2, 3), lambda n, m: (n, 2)),
    "GRUCell": (lambda: nn.GRUCell(2, 3), lambda n, m: (n, 2)),
    "RNNCell": (lambda: nn.RNNCell(2, 3), lambda n, m: (n, 2)),
    "Sequential": (
        lambda: nn.Sequential(nn.Linear(3, 2), nn.GELU(), nn.Flatten(), nn.Softmax(-1)),
        lambda n, m: (n, m, 3),
    ),
    "kinks": (lambda: nn.Sequential(nn.LeakyReLU(), nn.Linear(3, 2)), lambda n, m: (n, 3)),
    "ReLU": (lambda: nn.Sequential(nn.ReLU(), nn.Linear(3, 2)), lambda n, m: (n, 3)),
    "Conv2d in groups": (lambda: nn.Conv2d(4, 2, 2, groups=2, padding="same"), lambda n, m: (n, 4, m + 1, 2)),
    "Conv1d": (lambda: nn.Conv1d(2, 3, 2, stride=2, dilation=2), lambda n, m: (n, 2, m + 3)),
    "ConvTranspose2d": (lambda: nn.ConvTranspose2d(2, 3, 2, stride=2, padding=1), lambda n, m: (n, 2, m + 1, 2)),
    "AdaptiveAvgPool2d": (lambda: nn.AdaptiveAvgPool2d((2, None)), lambda n, m: (1, n, m + 1, 2)),
    "GroupNorm": (lambda: nn.GroupNorm(2, 4), lambda n, m: (n, 4, m + 1)),
    "both ways": (lambda: nn.LSTM(2, 3, num_layers=2, bidirectional=True), lambda n, m: (n, m, 2)),
    "GRU both ways": (lambda: nn.GRU(2, 3, bidirectional=True, bias=False), lambda n, m: (n, m, 2)),
    "smooth kinks": (
        lambda: nn.Sequential(nn.ELU(0.7), nn.CELU(2.0), nn.SELU(), nn.Mish(), nn.SiLU(), nn.LogSigmoid()),
        lambda n, m: (n, m),
    ),
    "hard": (lambda: nn.Sequential(nn.Hardtanh(-9, 9), nn.Hardsigmoid(), nn.ReLU6()), lambda n, m: (n, m)),
    "others": (
        lambda: nn.Sequential(
            nn.Hardswish(), nn.PReLU(), nn.Tanhshrink(), nn.Softsign(), nn.Identity(), nn.Softmin(-1)
        ),
        lambda n, m: (n, m),
    ),
    "containers": (
        lambda: Listed(nn.ModuleList([nn.Linear(2, 2)]), nn.ModuleDict({"a": nn.GELU("tanh")})),
        lambda n, m: (n, 2),
    ),
    "smooth": (lambda: nn.Sequential(nn.Softplus(), nn.Sigmoid(), nn.Tanh(), nn.LogSoftmax(-1)), lambda n, m: (n, m)),
}


def with_parameters(layer: nn.Module):
    """The layer as a function of its input and of all its parameters, and these parameters."""
    slots = [
        (part, name)
        for part in layer.modules()
        for name, value in vars(part).items()
        if isinstance(value, nn.Parameter)
    ]
    values = [Tensor(vars(part)[name].numpy(), requires_grad=True) for part, name in slots]

    def run(x: Tensor, *parameters: Tensor) -> Tensor:
        for (part, name), value in zip(slots, parameters, strict=True):
            vars(part)[name] = value
        y = layer(x)
        return y[0] if isinstance(y, tuple) else y

    return run, values


@pytest.mark.parametrize(("make", "shape"), LAYERS.values(), ids=LAYERS)
@settings(max_examples=4)
@given(n=st.integers(1, 3), m=st.integers(1, 3), seed=seeds)
def test_layers(make, shape, n, m, seed):
    rng = np.random.default_rng(seed)
    layer = make().double()
    layer.vector[:] = rng.normal(0, 0.7, layer.vector.shape)
    run, parameters = with_parameters(layer)
    inputs = [Tensor(apart(rng, shape(n, m)), requires_grad=True), *parameters]
    assert gradcheck(run, inputs, rng, directions=2)
    assert gradgradcheck(run, inputs, rng, directions=2)


LOSSES = {
    "MSELoss": lambda x: nn.MSELoss()(x, np.ones((3, 2))),
    "BCELoss": lambda x: nn.BCELoss()(x.sigmoid(), np.full((3, 2), 0.3)),
    "BCEWithLogitsLoss": lambda x: nn.BCEWithLogitsLoss(pos_weight=np.array([1.0, 2.0]))(x, np.full((3, 2), 0.3)),
    "NLLLoss": lambda x: nn.NLLLoss(ignore_index=1)(x, np.array([0, 1, 0])),
    "CrossEntropyLoss": lambda x: nn.CrossEntropyLoss(label_smoothing=0.1, ignore_index=0)(x, np.array([0, 1, 1])),
    "L1Loss": lambda x: nn.L1Loss()(x, np.ones((3, 2))),
    "SmoothL1Loss": lambda x: nn.SmoothL1Loss(beta=0.5)(x, np.ones((3, 2))),
    "HuberLoss": lambda x: nn.HuberLoss(delta=0.5)(x, np.ones((3, 2))),
    "KLDivLoss": lambda x: nn.KLDivLoss("batchmean")(F.log_softmax(x, 1), np.full((3, 2), 0.5)),
    "weighted": lambda x: nn.CrossEntropyLoss(weight=np.array([0.5, 2.0]))(x, np.array([0, 1, 1])),
}


def test_every_layer_and_loss_is_checked():
    checked = {type(part) for make, _ in LAYERS.values() for part in make().modules()}
    checked |= {getattr(nn, name) for name in LOSSES if name != "weighted"}
    checked |= {nn.Embedding, nn.EmbeddingBag, nn.Dropout}  # below
    kinds = {kind for kind in vars(nn).values() if isinstance(kind, type) and issubclass(kind, nn.Module)}
    assert kinds - checked == {nn.Module, nn.ParameterList}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_losses(loss):
    inputs = [Tensor(normal(np.random.default_rng(0), (3, 2)), requires_grad=True)]
    assert gradcheck(loss, inputs)
    assert gradgradcheck(loss, inputs)


@pytest.mark.parametrize("name", ["Embedding", "EmbeddingBag"])
def test_embeddings(name):
    layer = getattr(nn, name)(5, 2).double()
    run, parameters = with_parameters(layer)
    indices = Tensor(np.array([[0, 3, 3], [4, 0, 1]]))
    assert gradcheck(lambda w: run(indices, w) ** 2, parameters)
    assert gradgradcheck(lambda w: run(indices, w) ** 2, parameters)


def test_dropout():
    x = Tensor(normal(np.random.default_rng(0), (3, 4)), requires_grad=True)

    def run(x):
        return nn.Dropout(0.4, rng=np.random.default_rng(1))(x) ** 2

    assert gradcheck(run, [x])
    assert gradgradcheck(run, [x])


def test_gradcheck_sees_a_wrong_gradient():
    def wrong(x: Tensor) -> Tensor:
        return x * x.detach()  # the derivative of a square, but for the factor 2

    with pytest.raises(AssertionError, match="differences"):
        gradcheck(wrong, [Tensor(np.array([1.0, 2.0]), requires_grad=True)])
    with pytest.raises(BadInput, match="float64"):
        gradcheck(wrong, [Tensor([1.0], requires_grad=True)])
    with pytest.raises(BadInput, match="requires_grad"):
        gradgradcheck(wrong, [Tensor(np.ones(2))])


def test_dropout_draws_from_the_generator_it_is_given():
    x = np.ones((50, 40), np.float32)
    layer = nn.Dropout(0.25, rng=np.random.default_rng(0))
    first = layer(x)
    assert set(np.unique(first).round(4)) == {0.0, np.float32(1 / 0.75).round(4)}
    assert first.mean() == pytest.approx(1, abs=0.05)
    model = nn.Sequential(layer, nn.LSTM(40, 3, num_layers=2, dropout=0.5))
    draws = [model.use_rng(np.random.default_rng(7))[0](x) for _ in range(2)]
    np.testing.assert_array_equal(*draws)
    assert model[1].rng is layer.rng
    assert layer.eval()(x) is x
    assert not F.dropout(x, 1.0).any()
    with pytest.raises(BadInput):
        F.dropout(x, 1.5)


@pytest.mark.parametrize("name", ["LSTM", "GRU", "RNN"])
def test_dropout_stands_between_layers_and_only_in_training(name):
    x = np.ones((4, 2, 3), np.float32)
    two = getattr(nn, name)(3, 8, num_layers=2, dropout=0.5, rng=np.random.default_rng(0))
    dropped = two(x)[0].numpy()
    assert (dropped != two.eval()(x)[0].numpy()).any()
    np.testing.assert_array_equal(two(x)[0].numpy(), two(x)[0].numpy())


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN, CharGRU])
def test_dropout_without_layers_to_stand_between_is_refused(kind):
    with pytest.raises(BadInput, match=r"dropout is 0\.5, but it stands between layers, and there is only one"):
        kind(3, 8, dropout=0.5)


@pytest.mark.parametrize("odd", [[0.0, 0.0], (0.0, 0.0), np.zeros(2, int), Tensor(np.zeros(2, int)), read_only(2)])
def test_running_statistics_that_cannot_be_written_into_are_refused(odd):
    kept = np.ones(2)
    for mean, var in ((odd, kept), (kept, odd)):
        with pytest.raises(BadInput, match="give an array of floats or a Tensor"):
            F.batch_norm(np.ones((3, 2)), mean, var, training=True)
    assert (kept == 1).all()
    assert F.batch_norm(np.ones((3, 2)), odd, kept).shape == (3, 2)


def test_nested_lists_of_unequal_length_are_told_as_such():
    x, uneven = np.ones((2, 2), np.float32), [[1], [1, 2]]
    for call in (
        lambda: F.batch_norm(x, None, None, weight=uneven, training=True),
        lambda: F.layer_norm(x, 2, bias=uneven),
        lambda: F.cross_entropy(x, uneven),
        lambda: F.cross_entropy(x, [0, 1], weight=uneven),
        lambda: F.binary_cross_entropy_with_logits(x, x, pos_weight=uneven),
        lambda: F.mse_loss(x, x, weight=uneven),
        lambda: F.embedding_bag([0], x, uneven),
        lambda: F.conv2d(np.ones((1, 1, 2, 2)), np.ones((1, 1, 1, 1)), uneven),
    ):
        with pytest.raises(ShapeError, match="unequal length"):
            call()
