"""Images out of one update: divided out of a linear layer, searched for behind a convolutional one.

People train one step on handwritten digits. Where the first layer is linear, its gradient holds the images, one
neuron each; where it is a convolution with sigmoids, a search for images with the same gradient ends at them.

    fedlearn run leak_digits
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from clients import Client
from fedlearn import nn
from fedlearn.attacks.base import NotReadable
from fedlearn.attacks.labels import LabelCounts
from fedlearn.attacks.linear import LinearInversion, invert_linear
from fedlearn.attacks.matching import GradientMatching
from fedlearn.attacks.scores import psnr
from fedlearn.autograd import Tensor
from fedlearn.datasets import load_samples
from fedlearn.datasets.dataset import CLASSES
from fedlearn.datasets.examples import Arrays, Examples
from fedlearn.models.base import Model
from fedlearn.models.mlp import MLP
from fedlearn.nn import functional as F
from fedlearn.privacy.asked import Privacy
from fedlearn.protocol import PartyView
from fedlearn.seeding import stream
from fedlearn.strategies import FedAvg
from fedlearn.wording import many
from scenarios.command import build
from scenarios.command.options import Options
from scenarios.command.outcome import Outcome
from scenarios.command.takes import for_story
from scenarios.leak_lab import Lab, hidden, in_the_plain, laboratory
from scenarios.pictures import GOT_MAP, Painter

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH, BATCH = 512, 8
COUNTED = (1, 8, 32)  # images of one step, whose labels are counted
FOUND = 1e-3  # the largest difference of a pixel of an image that counts as found
SIDE = 8
SEARCHES = (("dlg", "sigmoid"), ("idlg", "sigmoid"), ("cosine", "relu"))  # methods, and what squashes


class SmoothConvNet(Model):
    """Two convolutions with sigmoids, or with ReLU, and a linear head, for images of 8 x 8 as rows of 64."""

    features = SIDE * SIDE

    def __init__(self, classes: int = 10, channels: int = 12, squash: str = "sigmoid", *, rng: Any = None):
        self.first = nn.Conv2d(1, channels, 3, padding=1, rng=rng)
        self.second = nn.Conv2d(channels, channels, 3, stride=2, padding=1, rng=rng)
        self.head = nn.Linear(channels * SIDE * SIDE // 4, classes, rng=rng)
        self.squash = {"sigmoid": F.sigmoid, "relu": F.relu}[squash]
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -0.5, 0.5, rng)  # as in the paper, so that sigmoids are not all alike

    def forward(self, images: Any) -> Tensor:
        x = self.squash(self.first(images.reshape(-1, 1, SIDE, SIDE)))
        x = self.squash(self.second(x))
        found: Tensor = self.head(x.reshape(x.shape[0], -1))
        return found

    def loss(self, batch: Examples) -> Tensor:
        found: Tensor = F.cross_entropy(self(*batch.inputs), batch.targets)
        return found


TAKES = for_story(task=CLASSES, data="digits", lr=0.2, dp=None)


def run(options: Options) -> Outcome:
    options = TAKES.fill(options)
    samples = load_samples(options.data)
    data = samples.examples()
    with laboratory("leak_digits", options, {"name": samples.name, "sha256": samples.sha256}) as lab:
        one, several = chosen(data, 1, options.seed), chosen(data, BATCH, options.seed)
        figures = {"linear_error_float64": exact_error(one, options.seed)}
        found = linear(lab, one, "linear-1")
        figures["linear_error_transcript"] = float(np.abs(found[:1] - one.features).max()) if len(found) else np.inf
        found = linear(lab, several, f"linear-{BATCH}")
        figures |= graded(found, several.features)
        figures |= {f"labels_{count}": labels_right(lab, chosen(data, count, options.seed)) for count in COUNTED}
        pairs = {f"linear, {BATCH}": [(x, nearest(x, found)) for x in several.features]}
        lines = [
            f"one image, a linear layer: off by {figures['linear_error_float64']:.0e} from a float64 gradient, "
            f"by {figures['linear_error_transcript']:.0e} from the transcript",
            f"{BATCH} images, {WIDTH} ReLU units: {figures['found']:.0%} found, "
            f"{many(round(figures['false_images']), 'mixture')} taken for images",
            "labels counted right: " + ", ".join(f"{figures[f'labels_{count}']:.0%} of {count}" for count in COUNTED),
        ]
        for method, squash in lab.steps(SEARCHES, "searches"):
            guess = matched(lab, one, method, squash)
            figures[f"psnr_{method}_{squash}"] = psnr(one.features[0], guess)
            pairs[f"{method},\n{squash}"] = [(one.features[0], guess)]
            lines.append(f"searched for, {method}, {squash}: {figures[f'psnr_{method}_{squash}']:.0f} dB")
        if (asked := build.privacy(options)) is not None:
            crowd = chosen(data, COUNTED[-1], options.seed)
            for name, noise in (("sum", None), ("dp", asked)):
                labels, seen = summed(lab, crowd, name, noise)
                figures |= {f"labels_{name}": labels, f"found_{name}": seen}
                people = many(len(crowd), "person", "people")
                what = f"the same with --dp {options.dp}" if noise else f"the sum of {people} of one image"
                lines.append(f"{what}: labels counted right: {labels:.0%}, images found: {seen:.0%}")
            classes = len(np.unique(data.targets))
            figures["labels_chance"] = counted(np.full(classes, len(crowd) / classes), crowd)
            lines.append(f"as many of each class would be {figures['labels_chance']:.0%} right")
        conclusion = "An update of an image model shows the images that it was trained on."
        return lab.conclude(figures, lines, images(pairs), conclusion, CAPTION, (9.0, 3.0))


def chosen(data: Arrays, count: int, seed: int) -> Arrays:
    return data.take(stream(seed, "scenario").choice(len(data), count, replace=False))


def exact_error(data: Arrays, seed: int) -> float:
    """The largest error of a pixel, from one image's gradient in float64."""
    model = MLP((SIDE * SIDE, WIDTH, 10), rng=stream(seed, "model")).double()
    features = data.features.astype(np.float64)
    model.loss(Arrays(features, data.targets)).backward()
    weight, bias = (np.asarray(parameter.grad) for parameter in list(model.parameters())[:2])
    return float(np.abs(invert_linear(weight, bias, 1e-14)[0][:1] - features).max())


def linear(lab: Lab, data: Arrays, name: str) -> np.ndarray:
    """The images that two neurons agree on."""
    return LinearInversion().run(one_step(lab, name, wide(lab), data))[0].inputs


def wide(lab: Lab) -> MLP:
    return MLP((SIDE * SIDE, WIDTH, 10), rng=stream(lab.options.seed, "model"))


def matched(lab: Lab, data: Arrays, method: str, squash: str) -> np.ndarray:
    model = SmoothConvNet(squash=squash, rng=stream(lab.options.seed, "model"))
    view = one_step(lab, f"{method}-{squash}", model, data)
    found: np.ndarray = GradientMatching(method, seed=lab.options.seed).run(view)[0].inputs[0]
    return found


def one_step(lab: Lab, name: str, model: Model, data: Arrays) -> PartyView:
    strategy = FedAvg(epochs=1, batch_size=len(data), lr=lab.options.lr, max_weight=len(data))
    return lab.record(name, model, [Client("person", data)], in_the_plain(), strategy)


def summed(lab: Lab, data: Arrays, name: str, privacy: Privacy | None) -> tuple[float, float]:
    """Of an opened sum of people of one image each, the shares of labels and of images that it gives away."""
    people = [Client(f"person-{i}", data.take(slice(i, i + 1))) for i in range(len(data))]
    strategy = FedAvg(epochs=1, batch_size=1, lr=lab.options.lr, max_weight=1)
    view = lab.record(name, wide(lab), people, hidden(lab.options, len(people)), strategy, privacy=privacy)
    try:
        images = LinearInversion().run(view)[0].inputs
    except NotReadable:
        images = np.zeros((0, SIDE * SIDE))
    (labels,) = LabelCounts().run(view)
    return counted(labels.counts, data), graded(images, data.features)["found"]


def graded(found: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """The share of images found, and how many of the findings are none."""
    apart = np.abs(found[:, None] - truth[None]).max(axis=2) if len(found) else np.full((1, len(truth)), np.inf)
    return {"found": float(np.mean(apart.min(axis=0) <= FOUND)), "false_images": float(np.sum(apart.min(1) > FOUND))}


def labels_right(lab: Lab, data: Arrays) -> float:
    """The share of labels in the truth that the counts name too."""
    (found,) = LabelCounts().run(one_step(lab, f"labels-{len(data)}", wide(lab), data))
    return counted(found.counts, data)


def counted(counts: Sequence[int] | np.ndarray, data: Arrays) -> float:
    """The share of the labels that so many of each are right for."""
    return float(np.minimum(counts, np.bincount(data.targets, minlength=len(counts))).sum() / len(data))


def nearest(image: np.ndarray, found: np.ndarray) -> np.ndarray:
    return found[np.abs(found - image).max(axis=1).argmin()] if len(found) else np.zeros_like(image)


CAPTION = (
    "Above what a person trained on, below, in orange, what the update gave away: divided out, or searched for by "
    "gradient matching. Pictures of 8 x 8 pixels; dark is ink."
)


def images(pairs: dict[str, list[tuple[np.ndarray, np.ndarray]]]) -> Painter:
    """A painter: originals above, what was recovered below, by the way that it was."""
    titled = [(title, pair) for title, group in pairs.items() for pair in group]

    def paint(figure: Figure) -> None:
        grid = figure.subplots(2, len(titled))
        for column, (title, pair) in zip(grid.T, titled, strict=True):
            for axes, image, colours in zip(column, pair, ("Greys", GOT_MAP), strict=True):
                axes.imshow(image.reshape(SIDE, SIDE), cmap=colours, vmin=0, vmax=1)
                axes.set(xticks=[], yticks=[])
            column[0].set_title(title, fontsize=8)
        for axes, side in zip(grid[:, 0], ("original", "recovered"), strict=True):
            axes.set_ylabel(side)

    return paint


if __name__ == "__main__":
    from scenarios.command.main import run_module

    run_module("leak_digits")
