"""The Trainer."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from fedlearn import Trainer, nn, optim
from fedlearn.autograd import no_replay, recorded_steps
from fedlearn.errors import BadInput, ShapeError
from fedlearn.training.supervised import Supervised


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def clusters(count: int = 120) -> tuple[np.ndarray, np.ndarray]:
    labels = np.arange(count) % 3
    centres = np.array([[0, 2], [2, -1], [-2, -1]], np.float32)
    return centres[labels] + rng().normal(0, 0.4, (count, 2)).astype(np.float32), labels


def test_a_trainer_learns_and_tells_how():
    data, labels = clusters()
    model = nn.Sequential(nn.Linear(2, 8, rng=rng()), nn.Tanh(), nn.Linear(8, 3, rng=rng()))
    trainer = Trainer(model, rng(1))
    history = trainer.fit(
        data, labels, 16, 30, optim.SGD(model.parameters(), lr=0.3), nn.CrossEntropyLoss(), (data, labels)
    )
    assert len(history.losses) == 30
    assert history.losses[-1] < 0.1 < history.losses[0]
    assert history.epochs[-1].validation_accuracy > 0.97
    assert not history.stopped_early
    loss, accuracy = trainer.evaluate(data, labels, nn.CrossEntropyLoss(), batch_size=7)
    assert loss == pytest.approx(history.epochs[-1].validation_loss, rel=1e-4)
    assert accuracy == history.epochs[-1].validation_accuracy


class Watched(nn.Module):
    """Tells what it was given, and in which mode."""

    def __init__(self):
        self.inner = nn.Linear(1, 1)
        self.seen: list[tuple[bool, list[float]]] = []

    def forward(self, x):
        self.seen.append((self.training, x.ravel().tolist()))
        return self.inner(x)


def test_what_recorded_steps_keep_is_told():
    data, labels = clusters()

    def kept() -> int:
        model = nn.Sequential(nn.Linear(2, 8, rng=rng()), nn.Tanh(), nn.Linear(8, 3, rng=rng()))
        optimizer, loss = optim.SGD(model.parameters(), lr=0.3), nn.CrossEntropyLoss()
        return Trainer(model, rng(1)).fit(data, labels, 16, 2, optimizer, loss).recorded_bytes

    gc.collect()
    before = recorded_steps()
    assert kept() > 16 * 8 * 4  # at least what one layer gives for a batch
    with no_replay():
        assert kept() == 0
    gc.collect()
    assert recorded_steps() == before  # programs go with what trained


def test_the_programs_of_a_process_are_counted():
    model = nn.Sequential(nn.Linear(2, 3, rng=rng()))
    gc.collect()
    steps, before = Supervised(model, nn.CrossEntropyLoss()), recorded_steps()
    for _ in range(4):
        model.zero_grad()
        steps.backward(*clusters(6))
    after = recorded_steps()
    assert after.programs == before.programs + 1
    assert after.bytes == before.bytes + steps.recorded_bytes


def test_an_epoch_trains_on_every_example_once_in_an_order_of_its_own():
    data = np.arange(7, dtype=np.float32)[:, None]
    model, loss = Watched(), nn.MSELoss()
    trainer = Trainer(model, rng())
    still = optim.SGD(model.parameters(), lr=0.0)
    history = trainer.fit(data, data, 3, 2, still, loss, (data, data))
    first, second = model.seen[:3], model.seen[4:7]
    for epoch in first, second:
        assert [len(batch) for _, batch in epoch] == [3, 3, 1]
        assert sorted(x for _, batch in epoch for x in batch) == list(range(7))
        assert all(training for training, _ in epoch)
    assert first != second
    assert model.seen[3] == model.seen[7] == (False, data.ravel().tolist())
    assert history.losses == pytest.approx([trainer.evaluate(data, data, loss)[0]] * 2)


def test_the_same_generator_gives_the_same_training():
    data, labels = clusters()

    def vector():
        model = nn.Linear(2, 3, rng=rng())
        optimizer = optim.SGD(model.parameters(), lr=0.1)
        Trainer(model, rng(1)).fit(data, labels, 7, 2, optimizer, nn.CrossEntropyLoss())
        return model.vector

    np.testing.assert_array_equal(vector(), vector())


def test_training_stops_early_and_returns_to_the_best(capsys):
    data, labels = clusters(60)
    wrong = (labels + 1) % 3  # what is learned makes this worse
    model = nn.Linear(2, 3, rng=rng())
    optimizer = optim.SGD(model.parameters(), lr=0.5)
    trainer = Trainer(model, rng(1))
    history = trainer.fit(
        data, labels, 16, 50, optimizer, nn.CrossEntropyLoss(), (data, wrong), patience=3, progress=True
    )
    assert history.stopped_early
    assert len(history.epochs) == history.best.number + 3
    assert trainer.evaluate(data, wrong, nn.CrossEntropyLoss())[0] == pytest.approx(history.best.validation_loss)
    assert "epochs" in capsys.readouterr().err


def test_regression_has_no_accuracy():
    data = rng().normal(size=(40, 2)).astype(np.float32)
    model = nn.Linear(2, 1, rng=rng())
    goal = data.sum(axis=1, keepdims=True)
    history = Trainer(model, rng()).fit(
        data, goal, 8, 60, optim.Adam(model.parameters(), lr=0.05), nn.MSELoss(), (data, goal)
    )
    assert history.best.validation_loss < 1e-3
    assert history.best.validation_accuracy is None


def test_what_does_not_fit_is_refused():
    model = nn.Linear(2, 1)
    optimizer, loss = optim.SGD(model.parameters()), nn.MSELoss()
    with pytest.raises(ShapeError):
        Trainer(model).fit(np.zeros((3, 2)), np.zeros((4, 1)), 2, 1, optimizer, loss)
    held_out = np.zeros((1024, 2)), np.zeros((2048, 1))  # which fit as far as the first batch goes
    with pytest.raises(ShapeError, match="1,024 examples and 2,048 targets: give one"):
        Trainer(model).fit(np.zeros((3, 2)), np.zeros((3, 1)), 2, 1, optimizer, loss, held_out)
    with pytest.raises(ShapeError, match="0 examples"):
        Trainer(model).evaluate(np.zeros((0, 2)), np.zeros((0, 1)), loss)
    with pytest.raises(BadInput):
        Trainer(model).fit(np.zeros((3, 2)), np.zeros((3, 1)), 0, 1, optimizer, loss)


class Scores(nn.Module):
    """Gives its input times one number: scores (N, classes, ...)."""

    def __init__(self):
        self.scale = nn.Parameter(np.ones(1, np.float32))

    def forward(self, x):
        return x * self.scale


WEIGHTS = np.array([1, 2, 5], np.float32)


@pytest.mark.parametrize("kind", [nn.CrossEntropyLoss, nn.NLLLoss])
@pytest.mark.parametrize("weight", [None, WEIGHTS], ids=["plain", "weighted"])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("ignored", [-100, 1])
@pytest.mark.parametrize("places", [(), (4,)], ids=["one", "sequences"])
def test_means_over_batches_are_over_the_targets_that_count(kind, weight, reduction, ignored, places):
    scores = rng().normal(size=(30, 3, *places)).astype(np.float32)
    target = rng(1).integers(0, 3, (30, *places))
    target[np.arange(30) % 3 > 0] = ignored
    target[:7] = ignored  # a batch of these alone
    counts = target != ignored
    model, loss = Scores(), kind(weight, ignore_index=ignored, reduction=reduction)
    found, accuracy = Trainer(model).evaluate(scores, target, loss, batch_size=7)
    together = kind(weight, ignore_index=ignored)(scores, target).item()
    assert found == pytest.approx(together, abs=1e-6)
    assert accuracy == np.mean((scores.argmax(1) == target)[counts])
    history = Trainer(model, rng()).fit(scores, target, 7, 1, optim.SGD(model.parameters(), lr=0.0), loss)
    assert history.losses == pytest.approx([together], abs=1e-6)


def test_a_loss_of_ones_own_ignores_what_it_says():
    class Own(nn.Module):
        ignore_index = 0

        def forward(self, output, target):
            return nn.functional.cross_entropy(output, target, ignore_index=0)

    scores, target = rng().normal(size=(6, 2)).astype(np.float32), np.array([0, 0, 0, 0, 1, 1])
    found, accuracy = Trainer(Scores()).evaluate(scores, target, Own(), batch_size=4)
    assert found == pytest.approx(Own()(scores, target).item())
    assert accuracy == np.mean(scores[4:].argmax(1) == 1)


def test_where_no_target_counts_there_is_no_mean():
    model, nothing = Scores(), np.full(3, -100)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    for ask in (
        lambda loss: Trainer(model).evaluate(np.ones((3, 2)), nothing, loss),
        lambda loss: Trainer(model).fit(np.ones((3, 2)), nothing, 2, 1, optimizer, loss),
    ):
        with pytest.raises(BadInput, match="none of 3 targets counts, since the loss ignores -100"):
            ask(nn.CrossEntropyLoss())
        with pytest.raises(BadInput, match='reduction="none"'):
            ask(nn.CrossEntropyLoss(reduction="none"))
        with pytest.raises(BadInput, match="loss is a str"):
            ask("mse")


@pytest.mark.parametrize("shape", [(4,), (4, 1)])
def test_whole_numbers_that_are_no_classes_have_no_accuracy(shape):
    numbers = np.arange(4).reshape(shape)
    loss, accuracy = Trainer(Scores()).evaluate(numbers.astype(np.float32) + 1, numbers, nn.MSELoss())
    assert (loss, accuracy) == (1, None)


class Scripted(nn.Module):
    """A loss that is what the script says, epoch by epoch, whatever the model does."""

    def __init__(self, script):
        self.script = list(script)

    def forward(self, output, target):
        return (output * 0).sum() + self.script.pop(0)


@pytest.mark.parametrize(
    ("script", "best", "epochs"),
    [([np.nan, 3.0, 2.0, 5.0, 5.0], 3, 5), ([2.0, np.nan, 1.0, np.nan, np.nan], 3, 5), ([np.nan, np.nan], 1, 2)],
)
def test_an_epoch_that_diverged_is_never_the_best(script, best, epochs):
    model = nn.Linear(1, 1, rng=rng())
    before = model.weight.numpy().copy()
    optimizer = optim.SGD(model.parameters(), lr=0.1, weight_decay=0.5)
    history = Trainer(model, rng()).fit([[1.0]], [[1.0]], 1, 9, optimizer, Scripted(script), patience=2)
    assert (history.best.number, len(history.epochs)) == (best, epochs)
    if np.isnan(script).all():
        assert (model.weight.numpy() == before).all()  # nothing was better than the beginning


def test_an_output_of_nan_is_no_class():
    model = nn.Linear(2, 3, rng=rng())
    model.weight[...] = np.nan
    assert Trainer(model).evaluate(np.ones((2, 2), np.float32), np.array([0, 0]), nn.CrossEntropyLoss())[1] == 0


@pytest.mark.parametrize("odd", [0, 1.5, "2", None, True])
def test_odd_numbers_of_epochs_and_examples_are_refused(odd):
    model = nn.Linear(1, 1)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    for batch_size, epochs in ((odd, 1), (1, odd)):
        with pytest.raises(BadInput):
            Trainer(model).fit(np.ones((1, 1)), np.ones((1, 1)), batch_size, epochs, optimizer, nn.MSELoss())
