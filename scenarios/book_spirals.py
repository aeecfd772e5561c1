"""The spiral of the article that builds a small library in NumPy (dll_numpy), with a momentum that is stored.

Three arms of 100 points, one hidden layer. The article's code forgets its velocity at every step, so that a rate
of 1.0 with momentum 0.9 passes for a working one; with the velocity kept, that rate diverges, and a tenth of it
learns everything.

    fedlearn run book_spirals
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from fedlearn import Trainer, nn, optim
from fedlearn.autograd import no_grad
from fedlearn.datasets import load_samples
from fedlearn.datasets.dense import Samples
from fedlearn.seeding import stream
from scenarios.command.options import Options
from scenarios.command.outcome import Claim, Outcome
from scenarios.command.takes import for_story
from scenarios.pictures import Picture
from scenarios.story import Story, telling

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOMENTUM = 0.9
ARTICLE_RATE = 1.0


TAKES = for_story(dim=100, epochs=200, batch_size=20, lr=0.1)


def run(options: Options) -> Outcome:
    options = TAKES.fill(options)
    points = load_samples("spirals")
    with telling("book_spirals", options, {"name": points.name, "sha256": points.sha256}) as story:
        model = network(options, points)
        first, _ = Trainer(model).evaluate(points.features, points.labels, nn.CrossEntropyLoss())
        loss, accuracy = train(model, points, options, options.lr, MOMENTUM, story)
        with np.errstate(all="ignore"):  # what diverges may overflow
            _, diverged = train(network(options, points), points, options, ARTICLE_RATE, MOMENTUM, story)
        _, forgetful = train(network(options, points), points, options, ARTICLE_RATE, 0.0, story)
        point = f"A network of one hidden layer tells {accuracy:.1%} of the spiral's points apart"
        paint = partial(boundary, model=model, points=points)
        picture = story.picture("boundary", Picture(paint, point, CAPTION, (5.5, 5.6)))
        claims = [
            Claim("first_loss", first, "nats"), Claim("accuracy", accuracy),
            Claim("accuracy_at_rate_1", diverged), Claim("accuracy_without_velocity", forgetful),
        ]  # fmt: skip
        text = (
            f"before training the loss is {first:.3f} nats; guessing among three has ln 3 = {np.log(3):.3f}\n"
            f"rate {options.lr:g}, momentum {MOMENTUM}: {accuracy:.1%} of the points in their arm, loss {loss:.4f}\n"
            f"rate {ARTICLE_RATE:g}, momentum {MOMENTUM}: {diverged:.1%}, it diverges\n"
            f"rate {ARTICLE_RATE:g}, velocity forgotten: {forgetful:.1%}, which is how the fault went unnoticed\n"
            f"{picture}\n"
            "Accuracy is that on the points learned, as in the article; the points are synthetic."
        )
        return story.end(text, claims, {"loss": loss, "accuracy": accuracy}, model)


def network(options: Options, points: Samples) -> nn.Sequential:
    rng = stream(options.seed, "model")
    inputs = points.features.shape[1]
    return nn.Sequential(
        nn.Linear(inputs, options.dim, rng=rng), nn.ReLU(), nn.Linear(options.dim, points.classes, rng=rng)
    )


def train(
    model: nn.Sequential, points: Samples, options: Options, lr: float, momentum: float, story: Story
) -> tuple[float, float]:
    """Loss and accuracy on the training points after training on them."""
    trainer = Trainer(model, stream(options.seed, "local"))
    optimizer = optim.SGD(model.parameters(), lr=lr, momentum=momentum)
    data, loss = (points.features, points.labels), nn.CrossEntropyLoss()
    trainer.fit(*data, options.batch_size, options.epochs, optimizer, loss, progress=story.shown)
    reached, accuracy = trainer.evaluate(*data, loss)
    assert accuracy is not None
    return reached, accuracy


CAPTION = "Points of three arms, and, behind them, the arm that the network expects at each place of the plane."


def boundary(figure: Figure, model: nn.Sequential, points: Samples) -> None:
    """The class the model gives to each place of the plane, with the points on it."""
    side = np.linspace(-1.3, 1.3, 300, dtype=np.float32)
    places = np.stack(np.meshgrid(side, side), axis=-1)
    with no_grad():
        classes = model(places.reshape(-1, 2)).numpy().argmax(axis=1).reshape(places.shape[:2])
    axes = figure.subplots()
    levels = np.arange(points.classes + 1) - 0.5
    axes.contourf(side, side, classes, levels=levels, cmap="viridis", alpha=0.35)
    across, up = points.features.T
    axes.scatter(across, up, c=points.labels, cmap="viridis", s=14, edgecolors="black", linewidths=0.4)
    axes.set(aspect="equal", xlabel="x", ylabel="y")


if __name__ == "__main__":
    from scenarios.command.main import run_module

    run_module("book_spirals")
