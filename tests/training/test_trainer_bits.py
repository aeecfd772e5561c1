"""Recorded steps of a Trainer end at the bits of the tape."""

from __future__ import annotations

import numpy as np
import pytest

from fedlearn import Trainer, nn, optim
from fedlearn.autograd import no_replay
from tests.training.test_trainer import clusters, rng

LOSSES = {
    "classes": (nn.CrossEntropyLoss(), lambda labels: labels),
    "smoothed": (nn.CrossEntropyLoss(label_smoothing=0.1), lambda labels: labels),
    "ignored": (nn.CrossEntropyLoss(ignore_index=1), lambda labels: labels),
    "weighted": (nn.CrossEntropyLoss(np.array([1, 2, 3], np.float32)), lambda labels: labels),
    "squares": (nn.MSELoss(), lambda labels: np.eye(3, dtype=np.float32)[labels]),
    "logits": (nn.BCEWithLogitsLoss(), lambda labels: np.eye(3, dtype=np.float32)[labels]),
}
OPTIMIZERS = {
    "sgd": lambda members: optim.SGD(members, lr=0.3),
    "momentum": lambda members: optim.SGD(members, lr=0.1, momentum=0.9, weight_decay=0.01),
    "adam": lambda members: optim.Adam(members, lr=0.01),
}


@pytest.mark.parametrize("kind", list(OPTIMIZERS))
@pytest.mark.parametrize("name", list(LOSSES))
def test_recorded_steps_train_to_the_tapes_bits(name, kind):
    loss, targets = LOSSES[name]
    data, labels = clusters(50)

    def trained() -> list[bytes]:
        model = nn.Sequential(nn.Linear(2, 8, rng=rng()), nn.Tanh(), nn.Linear(8, 3, rng=rng()))
        model[0].bias.requires_grad_(False)
        optimizer = OPTIMIZERS[kind](model.parameters())
        history = Trainer(model, rng(1)).fit(data, targets(labels), 16, 3, optimizer, loss)
        found = [np.asarray(history.losses).tobytes(), model.vector.tobytes()]
        return found + [p.grad.numpy().tobytes() for p in model.parameters() if p.grad is not None]

    with no_replay():
        expected = trained()
    assert trained() == expected
    assert len(expected) == 5


PICTURES = {
    "halved": lambda: (nn.Conv2d(2, 3, 3, padding=1, rng=rng()), nn.ReLU(), nn.MaxPool2d(2)),
    "averaged": lambda: (nn.Conv2d(2, 3, 3, padding=1, rng=rng()), nn.Tanh(), nn.AvgPool2d(2)),
    "meeting": lambda: (nn.Conv2d(2, 3, (2, 3), (1, 2), 1, dilation=2, rng=rng()), nn.MaxPool2d(3, 1, 1)),
    "grouped": lambda: (nn.Conv2d(2, 4, 2, groups=2, bias=False, rng=rng()), nn.MaxPool2d(2, ceil_mode=True)),
    "dropped": lambda: (nn.Conv2d(2, 3, 1, rng=rng()), nn.Dropout(0.3, rng=rng(5)), nn.MaxPool2d((1, 3))),
}


@pytest.mark.parametrize("name", list(PICTURES))
def test_networks_of_pictures_are_recorded_and_train_to_the_tapes_bits(name):
    data = rng(2).standard_normal((20, 2, 6, 6), np.float32)
    labels = rng(3).integers(0, 3, 20)

    def trained() -> tuple[bytes, int]:
        body = nn.Sequential(*PICTURES[name](), nn.Flatten())
        model = nn.Sequential(body, nn.Linear(body(data[:1]).shape[1], 3, rng=rng()))
        optimizer = optim.SGD(model.parameters(), lr=0.3)
        history = Trainer(model, rng(1)).fit(data, labels, 5, 2, optimizer, nn.CrossEntropyLoss())
        return model.vector.tobytes(), history.recorded_bytes

    with no_replay():
        expected = trained()
    found = trained()
    assert found[0] == expected[0]
    assert found[1] > expected[1] == 0


class Partly(nn.Module):
    """Has a layer that no output depends on."""

    replayable = True

    def __init__(self) -> None:
        self.used, self.unused = nn.Linear(2, 3, rng=rng()), nn.Linear(2, 3, rng=rng())

    def forward(self, x):
        return self.used(x)


def test_a_parameter_without_a_part_in_the_loss_has_no_gradient_and_does_not_decay():
    data, labels = clusters(48)
    model = Partly()
    before = model.unused.weight.numpy().copy()
    optimizer = optim.SGD(model.parameters(), lr=0.3, momentum=0.9, weight_decay=0.5)
    Trainer(model, rng(1)).fit(data, labels, 16, 3, optimizer, nn.CrossEntropyLoss())
    assert model.unused.weight.grad is None
    assert np.array_equal(model.unused.weight.numpy(), before)


class Keeping(optim.SGD):
    """Keeps every gradient that it was given."""

    def step(self, closure=None):
        self.kept = [*getattr(self, "kept", []), *(p.grad for group in self.param_groups for p in group["params"])]
        self.bytes = [*getattr(self, "bytes", []), *(g.numpy().tobytes() for g in self.kept[-2:])]
        return super().step(closure)


def test_gradients_that_an_optimizer_keeps_stay_its_own():
    data, labels = clusters(96)
    model = nn.Sequential(nn.Linear(2, 3, rng=rng()))
    optimizer = Keeping(model.parameters(), lr=0.3)
    Trainer(model, rng(1)).fit(data, labels, 16, 2, optimizer, nn.CrossEntropyLoss())
    assert len(optimizer.kept) == 24
    assert [g.numpy().tobytes() for g in optimizer.kept] == optimizer.bytes
