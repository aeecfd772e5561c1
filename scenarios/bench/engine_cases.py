"""The steps that `fedlearn bench engine` times: each once with this engine and once with PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from fedlearn import grad, nn, optim
from fedlearn.autograd import recurrent
from fedlearn.datasets.bags import Bags
from fedlearn.datasets.examples import Arrays, Examples
from fedlearn.extras import numba_works
from fedlearn.models.chars import CharLSTM
from fedlearn.models.convnet import ConvNet
from fedlearn.models.mlp import MLP
from fedlearn.models.spam import SpamClassifier
from fedlearn.nn import functional as F
from fedlearn.training.flat import FlatModel
from fedlearn.training.narrow import NarrowModel
from fedlearn.training.stacks import Stack
from fedlearn.training.supervised import Supervised
from scenarios.bench import floors

Step = Callable[[], Any]
CHARACTERS, LENGTH = 62, 64
LR = 1e-6  # a step is repeated thousands of times: training must not drive its numbers to 0


@dataclass(frozen=True)
class Case:
    """`ours`, `torch` and `floor` prepare a step and return it; a step trains `clients` clients.

    floor: the same step in bare NumPy, its derivatives written by hand.
    """

    name: str
    ours: Callable[[], Step]
    torch: Callable[[], Step] | None = None
    clients: int = 1
    floor: Callable[[], Step] | None = None


def cases() -> Iterator[Case]:
    """All of them; recorded steps and recurrent layers also compiled, where numba is installed."""
    yield Case("mlp", mlp, torch_mlp, floor=bare_mlp)
    yield Case("mlp_double_backward", mlp_twice, torch_mlp_twice)
    for dim in (1, 16):
        yield Case(f"spam_dim_{dim}", partial(spam, dim), partial(torch_spam, dim))
    many = (35_000, 64)
    yield Case("spam_of_35000_words", partial(spam, 16, *many), partial(torch_spam, 16, *many))
    recorded = [
        Case("mlp_in_trainer", trained_mlp, torch_mlp, floor=bare_mlp),
        Case("mlp_in_local_training", flat_mlp, torch_mlp, floor=bare_mlp),
        Case("mlp_stacked_100", partial(flat_mlp, 100), clients=100, floor=partial(bare_mlp, 100)),
        Case("conv_in_local_training", conv, torch_conv),
        Case("spam_dim_16_in_local_training", partial(narrow_spam, 16), partial(torch_spam, 16)),
        Case("spam_of_35000_words_in_local_training", partial(narrow_spam, 16, *many), partial(torch_spam, 16, *many)),
    ]
    yield from recorded
    if numba_works():
        for case in recorded:
            yield replace(case, name=f"{case.name}_compiled", ours=partial(_compiled, case.ours))
    for compiled in (False, True) if numba_works() else (False,):
        mark = "_compiled" if compiled else ""
        for hidden in (128, 256):
            name = f"char_lm_{hidden}{mark}"
            yield Case(name, partial(char_lm, hidden, compiled), partial(torch_char_lm, hidden))
        for hidden, batch in ((32, 4), (32, 10), (64, 4), (64, 10)):
            name = f"lstm_{hidden}_batch_{batch}{mark}"
            yield Case(
                name, partial(layer, "LSTM", hidden, batch, compiled), partial(torch_layer, "LSTM", hidden, batch)
            )
    for hidden, batch in ((32, 4), (64, 10)):
        name = f"gru_{hidden}_batch_{batch}"
        yield Case(name, partial(layer, "GRU", hidden, batch), partial(torch_layer, "GRU", hidden, batch))


def _draw() -> np.random.Generator:
    return np.random.default_rng(0)


def _step(optimizer: Any, loss: Callable[[], Any]) -> Step:
    """One training step; the same three lines with either library."""

    def step() -> None:
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()

    return step


def _torch() -> Any:
    import torch

    return torch


# A multi-layer perceptron 64-32-10 on batches of 10


def _digits(clients: int = 1) -> tuple[np.ndarray, np.ndarray]:
    shape = (10,) if clients == 1 else (clients, 10)
    return _draw().standard_normal((*shape, 64), np.float32), _draw().integers(0, 10, shape)


def _mlp() -> nn.Module:
    draw = _draw()
    return nn.Sequential(nn.Linear(64, 32, rng=draw), nn.Tanh(), nn.Linear(32, 10, rng=draw))


def _torch_mlp() -> Any:
    layers = _torch().nn
    return layers.Sequential(layers.Linear(64, 32), layers.Tanh(), layers.Linear(32, 10))


def mlp() -> Step:
    model, (x, y) = _mlp(), _digits()
    return _step(optim.SGD(model.parameters(), lr=LR), lambda: F.cross_entropy(model(x), y))


def torch_mlp() -> Step:
    torch, model, (x, y) = _torch(), _torch_mlp(), map(_torch().as_tensor, _digits())
    loss = torch.nn.functional.cross_entropy
    return _step(torch.optim.SGD(model.parameters(), lr=LR), lambda: loss(model(x), y))


def trained_mlp() -> Step:
    """A step as `Trainer` takes it: gradients in `.grad`, and an optimizer that reads them there."""
    model, (x, y) = _mlp(), _digits()
    steps, optimizer = Supervised(model, nn.CrossEntropyLoss()), optim.SGD(model.parameters(), lr=LR)

    def step() -> None:
        optimizer.zero_grad()
        steps.backward(x, y)
        optimizer.step()

    return step


def mlp_twice() -> Step:
    """The gradient of the squared norm of the gradient, as an attack on gradients takes it."""
    model, (x, y) = _mlp(), _digits()
    weights = list(model.parameters())

    def step() -> None:
        first = grad(F.cross_entropy(model(x), y), weights, create_graph=True)
        total = (first[0] * first[0]).sum()
        for g in first[1:]:
            total = total + (g * g).sum()
        grad(total, weights)

    return step


def torch_mlp_twice() -> Step:
    torch, model, (x, y) = _torch(), _torch_mlp(), map(_torch().as_tensor, _digits())
    weights = list(model.parameters())

    def step() -> None:
        loss = torch.nn.functional.cross_entropy(model(x), y)
        first = torch.autograd.grad(loss, weights, create_graph=True)
        torch.autograd.grad(sum((g * g).sum() for g in first), weights)

    return step


def flat_mlp(clients: int = 1) -> Step:
    """A client, or a hundred side by side, as a pool trains them; with ReLU."""
    alone, (x, y) = clients == 1, _digits(clients)
    model = FlatModel(MLP((64, 32, 10), rng=_draw()), None if alone else clients)
    return _local(model, Arrays(x, y) if alone else Stack(x, y))


def _local(model: FlatModel, batch: Examples) -> Step:
    """A step of plain local training: the gradient of a batch, and the weights less a share of it."""

    def step() -> None:
        _, gradient = model.gradient(batch)
        np.subtract(model.vector, np.multiply(gradient, LR, out=gradient), out=model.vector)

    return step


def conv() -> Step:
    """Two convolutions of 3 x 3, halving, and a linear head, on ten pictures of 8 x 8."""
    return _local(FlatModel(ConvNet(rng=_draw())), Arrays(*_digits()))


def torch_conv() -> Step:
    torch, (x, y) = _torch(), map(_torch().as_tensor, _digits())
    nn, x = torch.nn, x.reshape(10, 1, 8, 8)
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64, 10),
    )  # fmt: skip
    return _step(torch.optim.SGD(model.parameters(), lr=LR), lambda: nn.functional.cross_entropy(model(x), y))


def bare_mlp(clients: int = 1) -> Step:
    x, y = _digits(clients)
    weights = [parameter.numpy().copy() for parameter in MLP((64, 32, 10), rng=_draw()).parameters()]
    if clients > 1:
        weights = [np.repeat(weight[None], clients, axis=0) for weight in weights]
    return partial(floors.step, weights, x, y, LR)


# The spam classifier: batches of 32 mails with a vocabulary of 10,000, or of 64 with one of 35,000


def _mails(vocabulary: int, mails: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    draw = _draw()
    sizes = draw.integers(10, 120, mails)
    indices = draw.zipf(1.3, sizes.sum()) % vocabulary
    offsets = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    return indices, offsets, draw.integers(0, 2, (mails, 1)).astype(np.float32)


def spam(dim: int, vocabulary: int = 10_000, mails: int = 32) -> Step:
    words, head = nn.EmbeddingBag(vocabulary, dim, rng=_draw()), nn.Linear(dim, 1, rng=_draw())
    indices, offsets, y = _mails(vocabulary, mails)
    optimizer = optim.SGD([*words.parameters(), *head.parameters()], lr=LR)
    return _step(optimizer, lambda: F.binary_cross_entropy_with_logits(head(words(indices, offsets)), y))


def narrow_spam(dim: int, vocabulary: int = 10_000, mails: int = 32) -> Step:
    """The step as a pool takes it: of the rows that the client's own words name."""
    indices, offsets, y = _mails(vocabulary, mails)
    bags = Bags(indices.astype(np.int32), np.append(offsets, len(indices)), y.ravel())
    model = SpamClassifier(vocabulary, dim, rng=_draw())
    narrow = NarrowModel(model)
    return _local(narrow, narrow.narrow(model.vector, [narrow.own_words(bags)])[0])


def torch_spam(dim: int, vocabulary: int = 10_000, mails: int = 32) -> Step:
    torch = _torch()
    words, head = torch.nn.EmbeddingBag(vocabulary, dim), torch.nn.Linear(dim, 1)
    indices, offsets, y = map(torch.as_tensor, _mails(vocabulary, mails))
    loss = torch.nn.functional.binary_cross_entropy_with_logits
    optimizer = torch.optim.SGD([*words.parameters(), *head.parameters()], lr=LR)
    return _step(optimizer, lambda: loss(head(words(indices, offsets)), y))


# A character language model, embedding as wide as the LSTM, 64 steps of 32 sequences


def _text() -> tuple[np.ndarray, np.ndarray]:
    return _draw().integers(0, CHARACTERS, (32, LENGTH)), _draw().integers(0, CHARACTERS, (32, LENGTH))


def _planned(step: Step, plan: recurrent.KernelPlan) -> Step:
    """The step, under a kernel plan of its own."""

    def planned() -> None:
        recurrent.use(plan)
        step()

    return planned


def _compiled(ours: Callable[[], Step]) -> Step:
    return _planned(ours(), recurrent.KernelPlan(compiled=True))


def char_lm(hidden: int, compiled: bool) -> Step:
    model, (x, y) = CharLSTM(CHARACTERS, hidden, rng=_draw()), _text()
    following = np.ascontiguousarray(y.T).ravel()

    def loss() -> Any:
        return F.cross_entropy(model(x)[0].reshape(-1, CHARACTERS), following)

    step = _step(optim.SGD(model.parameters(), lr=LR), loss)
    return _planned(step, recurrent.KernelPlan(compiled=compiled))


def torch_char_lm(hidden: int) -> Step:
    torch = _torch()
    embedding, head = torch.nn.Embedding(CHARACTERS, hidden), torch.nn.Linear(hidden, CHARACTERS)
    layer = torch.nn.LSTM(hidden, hidden)
    x, y = (torch.as_tensor(np.ascontiguousarray(ids.T)) for ids in _text())
    following = y.ravel()

    def loss() -> Any:
        logits = head(layer(embedding(x))[0]).reshape(-1, CHARACTERS)
        return torch.nn.functional.cross_entropy(logits, following)

    weights = [*embedding.parameters(), *layer.parameters(), *head.parameters()]
    return _step(torch.optim.SGD(weights, lr=LR), loss)


# A recurrent layer alone


def layer(kind: str, hidden: int, batch: int, compiled: bool = False) -> Step:
    found, x = (
        getattr(nn, kind)(hidden, hidden, rng=_draw()),
        _draw().standard_normal((LENGTH, batch, hidden), np.float32),
    )
    step = _step(optim.SGD(found.parameters(), lr=LR), lambda: found(x)[0].sum())
    return _planned(step, recurrent.KernelPlan(compiled=compiled))


def torch_layer(kind: str, hidden: int, batch: int) -> Step:
    torch = _torch()
    found = getattr(torch.nn, kind)(hidden, hidden)
    x = torch.as_tensor(_draw().standard_normal((LENGTH, batch, hidden), np.float32))
    return _step(torch.optim.SGD(found.parameters(), lr=LR), lambda: found(x)[0].sum())
