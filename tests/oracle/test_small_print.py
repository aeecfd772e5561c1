"""Small print of PyTorch's that people rely on, and calls that cannot be meant: one line each."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fedlearn import Tensor, nn, optim
from fedlearn.errors import BadInput
from fedlearn.nn import functional as F

torch = pytest.importorskip("torch")
TF, TN = torch.nn.functional, torch.nn

LOGITS = np.array([[1.0, 2.0, 3.0], [-np.inf] * 3])
EQUAL = np.ones((2, 3))
NOBODY = np.array([-100, -100])
IMAGES = np.zeros((0, 1, 4, 4))


def both(f, g, *arrays):
    """The values and the gradients of the first array, here and there."""
    found = []
    for function, make in (
        (f, lambda a: Tensor(a, requires_grad=True)),
        (g, lambda a: torch.tensor(a).requires_grad_()),
    ):
        x = make(arrays[0])
        rest = arrays[1:] if function is f else [torch.tensor(a) for a in arrays[1:]]
        value = function(x, *rest)
        value.sum().backward()
        found.append((np.asarray(value.detach().numpy()), x.grad.numpy()))
    return found


VALUES = {
    "one row without a batch": (F.cross_entropy, None, LOGITS[0], np.array(1)),
    "each loss of one row": ((F.cross_entropy, {"reduction": "none"}), None, LOGITS[0], np.array(1)),
    "smoothing of one row": ((F.cross_entropy, {"label_smoothing": 0.1}), None, LOGITS[0], np.array(1)),
    "a tie of the largest": (lambda x: x.max(1), lambda x: x.max(1).values, np.ones((2, 2))),
    "shares of the largest": (lambda x: x.amax(1), lambda x: x.amax(1), np.ones((2, 2))),
    "a variance of one": (lambda x: x.var(1), lambda x: x.var(1), np.ones((2, 1))),
    "nothing to a power": (lambda x: x**-2.0, lambda x: x**-2.0, np.zeros(2)),
    "a rectifier of nan": (F.relu, TF.relu, np.array([np.nan, 1.0])),
    "gelu by tanh": (nn.GELU("tanh"), TN.GELU("tanh"), np.array([2.0, -1.0])),
    "softmax of three axes": (nn.Softmax(), TN.Softmax(), np.arange(8.0).reshape(2, 2, 2)),
    "softmax of four axes": (nn.Softmax(), TN.Softmax(), np.arange(16.0).reshape(1, 4, 2, 2)),
    "a small target of a confident guess": (
        F.binary_cross_entropy_with_logits, TF.binary_cross_entropy_with_logits, np.array([-20.0, 15.0]), np.zeros(2),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.filterwarnings("ignore:Implicit dimension", "ignore:var")
def test_values_and_gradients_are_pytorchs(name):
    ours, theirs, *arrays = VALUES[name]
    ours, options = ours if isinstance(ours, tuple) else (ours, {})
    theirs = theirs or TF.cross_entropy
    call = (lambda *a: ours(*a, **options)), (lambda *a: theirs(*a, **options))
    (value, gradient), (right, right_gradient) = both(*call, *arrays)
    np.testing.assert_allclose(value, right, rtol=1e-12)
    np.testing.assert_allclose(gradient, right_gradient, rtol=1e-12)


@pytest.mark.parametrize("loss", [F.cross_entropy, F.nll_loss])
def test_of_nobody_the_loss_is_nan_and_the_gradient_0(loss):
    x = Tensor(EQUAL, requires_grad=True)
    value = loss(x, NOBODY)
    value.backward()
    assert math.isnan(value.item())
    assert not x.grad.numpy().any()


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_a_row_that_is_ignored_may_hold_anything(reduction):
    x = Tensor(LOGITS, requires_grad=True)
    loss = F.cross_entropy(x, np.array([0, -100]), reduction=reduction)
    loss.backward()
    assert loss.item() == pytest.approx(2.4076059644443806)
    assert not x.grad.numpy()[1].any()


EMPTY = {
    "conv": (lambda m: m.Conv2d(1, 2, 2), IMAGES),
    "conv, a line": (lambda m: m.Conv1d(1, 2, 2), IMAGES[:, :, 0]),
    "transposed": (lambda m: m.ConvTranspose2d(1, 2, 2), IMAGES),
    "largest": (lambda m: m.MaxPool2d(2), IMAGES),
    "means": (lambda m: m.AvgPool2d(2), IMAGES),
    "flat": (lambda m: m.Flatten(), IMAGES),
    "layer norm": (lambda m: m.LayerNorm(4), IMAGES),
    "embedding": (lambda m: m.Embedding(3, 2), np.zeros((0, 4), np.int64)),
    "lstm": (lambda m: m.LSTM(2, 3), np.zeros((4, 0, 2))),
    "gru": (lambda m: m.GRU(2, 3, bidirectional=True, num_layers=2), np.zeros((4, 0, 2))),
    "cell": (lambda m: m.GRUCell(2, 3), np.zeros((0, 2))),
    "dropout": (lambda m: m.Dropout(), IMAGES),
    "softmax": (lambda m: m.Softmax(0), np.zeros((0, 3))),
}


@pytest.mark.parametrize("name", EMPTY)
def test_an_empty_batch_has_an_empty_result(name):
    make, batch = EMPTY[name]
    given = batch.astype(np.float32) if batch.dtype.kind == "f" else batch
    ours, theirs = make(nn)(given), make(TN)(torch.tensor(given))
    ours, theirs = (result[0] if isinstance(result, tuple) else result for result in (ours, theirs))
    assert ours.shape == tuple(theirs.shape)


PARAMETERS = [nn.Parameter(1.0)]
REFUSED = {
    "three sizes of two": lambda: F.conv2d(np.ones((1, 1, 3, 3)), np.ones((1, 1, 2, 2)), padding=(1, 1, 9)),
    "a stride of 0": lambda: F.max_pool2d(np.ones((1, 1, 4, 4)), 2, 0),
    "an average of stride 0": lambda: F.avg_pool2d(np.ones((1, 1, 4, 4)), 2, 0),
    "padding beyond the window": lambda: F.max_pool2d(np.ones((1, 1, 4, 4)), 2, 2, 2),
    "a kernel of 0": lambda: nn.Conv2d(1, 1, 0)(np.ones((1, 1, 4, 4))),
    "a stride of one and a half": lambda: F.conv2d(np.ones((1, 1, 3, 3)), np.ones((1, 1, 2, 2)), stride=1.5),
    "four weights of three classes": lambda: F.cross_entropy(EQUAL, [0, 1], weight=np.ones(4)),
    "one bias of two channels": lambda: F.conv2d(np.ones((1, 1, 3, 3)), np.ones((2, 1, 2, 2)), np.ones(1)),
    "one weight of a batch norm": lambda: F.batch_norm(EQUAL, None, None, np.ones(1), training=True),
    "weights of a layer norm": lambda: F.layer_norm(EQUAL, (3,), np.ones((1, 3))),
    "weights of another rank": lambda: F.binary_cross_entropy(EQUAL / 2, EQUAL, np.ones((2, 2, 3))),
    "a target beyond 1": lambda: F.binary_cross_entropy(np.array([0.5]), np.array([2.0])),
    "a rate of steps and a half": lambda: optim.lr_scheduler.StepLR(optim.SGD(PARAMETERS), 2.5),
    "no rate": lambda: optim.SGD(PARAMETERS, lr=None),
    "a rate that is text": lambda: optim.SGD(PARAMETERS, lr="0.1"),
    "dropout beyond 1": lambda: nn.Dropout(1.5),
    "a longer axis squeezed": lambda: Tensor([1.0, 2.0, 3.0]).squeeze(0),
    "a flat axis that is not there": lambda: nn.Flatten(5)(EQUAL),
    "flat from the second of one": lambda: nn.Flatten()(np.ones(2)),
    "a gradient of whole numbers": lambda: setattr(nn.Parameter([1.0]), "grad", np.array([1])),
    "whole numbers to be differentiated": lambda: Tensor(np.arange(2)).requires_grad_(),
    "a window that is text": lambda: nn.AdaptiveAvgPool2d("x"),
    "three sizes of an image": lambda: nn.AdaptiveAvgPool2d((1, 2, 3)),
    "products over -1 axes": lambda: np.tensordot(Tensor(EQUAL), Tensor(EQUAL.T), axes=-1),
    "a padding that is short": lambda: F.pad(EQUAL, (1,)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_meant_is_refused(name):
    with pytest.raises(BadInput):
        REFUSED[name]()


def test_shapes_and_kinds_of_results():
    assert nn.Conv2d(4, 8, 3, 1, 1, 1, 2).weight.shape == TN.Conv2d(4, 8, 3, 1, 1, 1, 2).weight.shape
    assert type(nn.Sequential(nn.ReLU(), nn.Tanh(), nn.ReLU())[:2]) is nn.Sequential
    assert Tensor([1.0, 2.0])[[]].shape == (0,)
    assert nn.Conv2d(1, 2, np.int64(3), stride=(np.int32(2),)).stride == (2, 2)
    assert nn.LayerNorm(np.int64(3)).weight.shape == (3,)
    assert nn.Linear(1, 1).load_state_dict({"weight": [[1.0]]}, strict=False).missing_keys == ["bias"]
    x = Tensor([1.0, 2.0], requires_grad=True)
    given = Tensor([1.0, 1.0])
    x.backward(given)
    assert x.grad is not given
