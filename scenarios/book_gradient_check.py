"""Weidman's Deep Learning from Scratch, chapter 1: what the chain rule says against what a small step shows.

Every function, from a square to an LSTM over 25 steps, is moved a little forward and back along random
directions; the slope so measured is held against the gradient, and the slope of the gradient against the second
derivative. Then the check is shown to catch a fault: a loss of one form with the gradient of another.

    fedlearn run book_gradient_check
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from fedlearn import Tensor, grad, nn
from fedlearn.nn import functional as F
from fedlearn.seeding import stream
from scenarios.command.options import Options
from scenarios.command.outcome import Claim, Outcome
from scenarios.command.takes import for_story
from scenarios.pictures import Picture
from scenarios.story import telling

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DIRECTIONS = 10
STEP = 1e-5
STEPS = np.logspace(-10, 0, 41)
Case = tuple[Callable[[], Tensor], Sequence[Tensor]]  # a scalar, and the tensors it depends on


TAKES = for_story()


def run(options: Options) -> Outcome:
    options = TAKES.fill(options)
    rng = stream(options.seed, "scenario")
    with telling("book_gradient_check", options, {"name": "none"}) as story:
        errors = {}
        for name, case in story.steps(list(cases(rng).items()), "checking"):
            errors[name] = worst_error(*case, rng), worst_error(*gradient_as_function(*case, rng), rng)
        mismatch = mixed_loss_mismatch(rng)
        picture = story.picture("steps", Picture(lambda figure: steps(figure, rng), POINT, CAPTION))
        claims = [
            Claim("largest_first_order_error", max(first for first, _ in errors.values())),
            Claim("largest_second_order_error", max(second for _, second in errors.values())),
            Claim("mixed_loss_mismatch", mismatch),
        ]
        table = "\n".join(f"{name:<22}{first:>12.1e}{second:>12.1e}" for name, (first, second) in errors.items())
        text = (
            f"{'relative error of':<22}{'gradient':>12}{'second':>12}\n{table}\n"
            f"a binary cross-entropy with the gradient of a softmax one is off by {mismatch:.0%}: the check sees it\n"
            f"{picture}\n"
            f"What the engine computes is what a step of {STEP:g} measures, in first and second derivatives."
        )
        return story.end(text, claims)


def cases(rng: np.random.Generator) -> dict[str, Case]:
    """The chapter's functions, then layers, in float64."""
    x, weights = leaf(rng, 4, 3), leaf(rng, 3, 2)
    labels = rng.integers(0, 3, 4)
    image = rng.standard_normal((2, 1, 6, 6))
    sequence = rng.standard_normal((25, 2, 3))
    found: dict[str, Case] = {
        "square": (lambda: (x**2).sum(), [x]),
        "leaky ReLU": (lambda: (F.leaky_relu(x, 0.2) ** 2).sum(), [x]),
        "sigmoid of a square": (lambda: F.sigmoid(x**2).sum(), [x]),
        "matrix product": (lambda: ((x @ weights) ** 2).sum(), [x, weights]),
        "sigmoid of a product": (lambda: F.sigmoid(x @ weights).sum(), [x, weights]),
        "softmax cross-entropy": (lambda: F.cross_entropy(x, labels), [x]),
    }
    layers: dict[str, tuple[nn.Module, np.ndarray]] = {
        "two dense layers": (
            nn.Sequential(nn.Linear(3, 5, rng=rng), nn.Tanh(), nn.Linear(5, 1, rng=rng)),
            rng.standard_normal((6, 3)),
        ),
        "convolution": (nn.Conv2d(1, 3, 3, stride=2, padding=1, rng=rng), image),
        "RNN, 25 steps": (nn.RNN(3, 4, rng=rng), sequence),
        "GRU, 25 steps": (nn.GRU(3, 4, rng=rng), sequence),
        "LSTM, 25 steps": (nn.LSTM(3, 4, rng=rng), sequence),
    }
    return found | {name: of_layer(layer.double(), data, rng) for name, (layer, data) in layers.items()}


def leaf(rng: np.random.Generator, *shape: int) -> Tensor:
    return Tensor(rng.standard_normal(shape), requires_grad=True)


def of_layer(layer: nn.Module, data: np.ndarray, rng: np.random.Generator) -> Case:
    """The mean squared distance of the layer's output from random numbers, in its parameters."""

    def output() -> Tensor:
        said = layer(data)
        found: Tensor = said[0] if isinstance(said, tuple) else said
        return found

    goal = rng.standard_normal(output().shape)
    return lambda: ((output() - goal) ** 2).mean(), list(layer.parameters())


def worst_error(
    function: Callable[[], Tensor], leaves: Sequence[Tensor], rng: np.random.Generator, step: float = STEP
) -> float:
    """Largest difference of gradient and measured slope along random directions, relative to the gradient.

    function: computes a scalar from the float64 `leaves`, which are moved by `step` and put back.
    """
    gradients = [g.numpy() for g in grad(function(), leaves, allow_unused=True)]
    size = max(float(np.sqrt(sum(np.sum(g**2) for g in gradients))), 1e-12)
    worst = 0.0
    for _ in range(DIRECTIONS):
        direction = [rng.standard_normal(x.shape) for x in leaves]
        length = np.sqrt(sum(np.sum(d**2) for d in direction))
        direction = [d / length for d in direction]
        claimed = sum(float(np.sum(g * d)) for g, d in zip(gradients, direction, strict=True))
        worst = max(worst, abs(claimed - slope(function, leaves, direction, step)) / size)
    return worst


def slope(
    function: Callable[[], Tensor], leaves: Sequence[Tensor], direction: Sequence[np.ndarray], step: float
) -> float:
    """(f(x + step d) - f(x - step d)) / (2 step), the chapter's first listing in many dimensions."""
    before = [x.numpy().copy() for x in leaves]
    ends = []
    for sign in (1, -1):
        for x, start, d in zip(leaves, before, direction, strict=True):
            x[...] = start + sign * step * d
        ends.append(function().item())
    for x, start in zip(leaves, before, strict=True):
        x[...] = start
    return float((ends[0] - ends[1]) / (2 * step))


def gradient_as_function(function: Callable[[], Tensor], leaves: Sequence[Tensor], rng: np.random.Generator) -> Case:
    """The gradient along one fixed direction: a scalar whose gradient is a row of second derivatives."""
    along = [rng.standard_normal(x.shape) for x in leaves]

    def directional() -> Tensor:
        gradients = grad(function(), leaves, create_graph=True)
        parts = [(g * d).sum() for g, d in zip(gradients, along, strict=True)]
        found: Tensor = sum(parts[1:], parts[0])
        return found

    return directional, leaves


def mixed_loss_mismatch(rng: np.random.Generator) -> float:
    """How far softmax(x) - target is from the gradient of -sum t log p + (1 - t) log(1 - p), relative to the latter.

    lincoln's SoftmaxCrossEntropyLoss computes the one as value and the other as gradient.
    """
    x = leaf(rng, 8, 5)
    target = np.eye(5)[rng.integers(0, 5, 8)]
    p = F.softmax(x)
    value = -(target * p.log() + (1 - target) * (1 - p).log()).sum()
    right = grad(value, x)[0].numpy()
    return float(np.linalg.norm(p.numpy() - target - right) / np.linalg.norm(right))


POINT = "A measured slope is best with a step in the middle: a long one bends, a short one rounds"
CAPTION = "How far the slope of a sum of sigmoids of squares, measured over a step, is from the one that is computed."


def steps(figure: Figure, rng: np.random.Generator) -> None:
    """The error of the measured slope by the length of the step: too long bends, too short rounds."""
    start, direction = rng.standard_normal(50), [np.ones(50) / np.sqrt(50)]
    axes = figure.subplots()
    for kind in (np.float32, np.float64):
        x = Tensor(start.astype(kind), requires_grad=True)

        def chained(x: Tensor = x) -> Tensor:
            found: Tensor = F.sigmoid(x**2).sum()
            return found

        exact = float(np.sum(grad(chained(), x)[0].numpy() * direction[0]))
        errors = [abs(slope(chained, [x], direction, step) - exact) for step in STEPS]
        axes.loglog(STEPS, errors, marker="os"[kind is np.float64], markersize=4, label=np.dtype(kind).name)
    axes.set(xlabel="step", ylabel="|measured - computed slope|")
    axes.grid()
    axes.legend()


if __name__ == "__main__":
    from scenarios.command.main import run_module

    run_module("book_gradient_check")
