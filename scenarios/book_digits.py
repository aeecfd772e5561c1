"""Weidman's Deep Learning from Scratch, chapters 3 and 4: one network, made better step by step.

The book's images are MNIST's, 70,000 of 28 x 28. Those are not at hand, so scikit-learn's 1,797 images of 8 x 8
are used: the accuracies are not the book's, only the order of the steps can be compared.

    fedlearn run book_digits
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fedlearn import Trainer, nn, optim
from fedlearn.autograd import no_grad
from fedlearn.datasets import load_samples
from fedlearn.datasets.dense import Samples, split_samples
from fedlearn.models.convnet import ConvNet
from fedlearn.nn import functional as F
from fedlearn.seeding import stream
from scenarios.command.options import Options
from scenarios.command.outcome import Claim, Outcome
from scenarios.command.takes import for_story
from scenarios.pictures import Picture, curves
from scenarios.story import Story, telling

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIDE, CLASSES = 8, 10
BOOK = "57.2, 62.5, 92.6, 94.1, 94.8, 94.8 and 97.5%"  # of its seven runs, on MNIST
SHOWN = 8


@dataclass(frozen=True)
class Rung:
    """One network of the ladder and how it is trained. lr: relative to that of the run."""

    name: str
    model: nn.Module
    loss: nn.Module
    momentum: float
    lr: float = 1.0


TAKES = for_story(dim=89, epochs=30, batch_size=60, lr=0.1)


def run(options: Options) -> Outcome:
    options = TAKES.fill(options)
    digits = load_samples("digits")
    train, test = split_samples(digits, seed=options.seed)
    with telling("book_digits", options, {"name": digits.name, "sha256": digits.sha256}) as story:
        rungs = ladder(options)
        accuracies = {rung.name: climb(rung, train, test, options, story) for rung in rungs}
        reached = {name: history[-1] for name, history in accuracies.items()}
        top = rungs[-1].model
        errors = {name: [1 - accuracy for accuracy in history] for name, history in accuracies.items()}
        first, last = (1 - reached[name] for name in ("squared error", "convolution"))
        best = f"From squared errors to a convolution: {first:.1%} misread become {last:.1%}"
        pictures = [
            story.picture("accuracy", Picture(curves(errors, "epoch", "share misread (log)", log=True), best, LADDER)),
            story.picture("misread", misread(top, test)),
        ]
        wrong = round(len(test) * (1 - reached["convolution"]))
        lines = [f"{name:<16}{accuracy:>7.1%}" for name, accuracy in reached.items()]
        lines += [f"the book's seven runs, on MNIST: {BOOK}", *dict.fromkeys(pictures)]
        lines += [
            f"The convolution misreads {wrong} of {len(test)} held-out images of scikit-learn's digits, not MNIST."
        ]
        claims = [Claim(name.replace(" ", "_").replace("-", "_"), accuracy) for name, accuracy in reached.items()]
        return story.end("\n".join(lines), claims, {"accuracy": reached["convolution"]}, top)


def ladder(options: Options) -> list[Rung]:
    """The chapters' networks, from the plainest to the convolution."""
    rng = stream(options.seed, "model")
    pixels = SIDE * SIDE

    def dense(*between: nn.Module) -> nn.Module:
        first, last = nn.Linear(pixels, options.dim, rng=rng), nn.Linear(options.dim, CLASSES, rng=rng)
        return nn.Sequential(first, nn.Tanh(), *between, last)

    dropout = nn.Dropout(0.2, rng=stream(options.seed, "local", client=1))
    softmax = nn.CrossEntropyLoss()
    return [
        Rung("squared error", dense(), SquaredError(), 0.0),
        Rung("cross-entropy", dense(), softmax, 0.0),
        Rung("momentum", dense(), softmax, 0.9),
        Rung("dropout", dense(dropout, nn.Linear(options.dim, options.dim, rng=rng), nn.Tanh()), softmax, 0.9),
        Rung("convolution", ConvNet(SIDE, CLASSES, rng=rng), softmax, 0.9, 0.5),
    ]


class SquaredError(nn.Module):
    """Mean squared distance of sigmoid(logits) from the class as a row of zeros and a one."""

    def forward(self, logits: Any, target: np.ndarray) -> Any:
        return F.mse_loss(F.sigmoid(logits), np.eye(CLASSES, dtype=np.float32)[target])


def climb(rung: Rung, train: Samples, test: Samples, options: Options, story: Story) -> list[float]:
    """Train one network; its accuracy on held-out images after each epoch."""
    optimizer = optim.SGD(rung.model.parameters(), lr=options.lr * rung.lr, momentum=rung.momentum)
    history = Trainer(rung.model, stream(options.seed, "local")).fit(
        train.features, train.labels, options.batch_size, options.epochs, optimizer, rung.loss,
        validation=(test.features, test.labels), progress=story.shown,
    )  # fmt: skip
    return [float(epoch.validation_accuracy or 0.0) for epoch in history.epochs]


LADDER = "Share of held-out images that are taken for another digit, after each epoch; lower is better."


def misread(model: nn.Module, test: Samples) -> Picture:
    """The first few held-out images that the model takes for another digit."""
    with no_grad():
        predicted = model(test.features).numpy().argmax(axis=1)
    wrong = np.flatnonzero(predicted != test.labels)

    def paint(figure: Figure) -> None:
        for axes, i in zip(np.ravel(figure.subplots(1, max(1, len(wrong[:SHOWN])))), wrong, strict=False):
            axes.set_axis_off()
            axes.imshow(test.features[i].reshape(SIDE, SIDE), cmap="gray_r")
            axes.set_title(f"{test.labels[i]}, read {predicted[i]}", fontsize=9)

    point = f"The convolution misreads {len(wrong)} of {len(test)} held-out images"
    return Picture(paint, point, "Above each image the digit that was meant, and the one that was read.", (8.0, 2.2))


if __name__ == "__main__":
    from scenarios.command.main import run_module

    run_module("book_digits")
