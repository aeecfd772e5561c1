"""Text out of one update of a character LSTM, exactly and in order, without any optimisation.

One person trains one step on a few windows of a play. The states that the text drove the model through span the
rows of the recurrent weight's gradient; reading on from the beginning, only the right next character stays in that
span. Once the windows hold more states than the model has units, nothing can be told, and the attack says so.

    fedlearn run leak_lstm --data shakespeare
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from clients import Client
from fedlearn.attacks.span import SpanTest, TextFound
from fedlearn.datasets import load_script
from fedlearn.datasets.bags import Arrays
from fedlearn.datasets.text import Alphabet, Script, windows
from fedlearn.models.chars import CharLSTM
from fedlearn.seeding import stream
from fedlearn.strategies import FedAvg
from scenarios.leak_lab import Lab, Painter, in_the_plain, laboratory
from scenarios.options import Options, Outcome

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HIDDEN = 128
SHAPES = ((1, 8), (1, 16), (1, 32), (4, 32), (8, 16), (8, 32))  # windows, characters in each


def run(options: Options) -> Outcome:
    options = options.filled(data="sample_play", lr=2.0)
    script = load_script(options.data)
    with laboratory("leak_lstm", options, {"name": script.name, "sha256": script.sha256}) as lab:
        figures: dict[str, float] = {}
        lines, points = [], []
        for batch, length in SHAPES:
            found, truth = attack(lab, script, batch, length)
            share = exact(truth, found.texts)
            figures[f"exact_{batch}x{length}"] = share
            points.append((batch * (length - 1) / HIDDEN, share))
            told = f"rank {found.rank} of {HIDDEN}" + (", and it says that it cannot tell" * found.above_bound)
            lines.append(f"{batch} x {length:>2} characters: {share:.0%} recovered, {told}")
            if (batch, length) == (1, 32):
                lines += [f"    {text!r}" for text in found.texts]
            if found.above_bound:
                figures["knows"] = 1.0
        conclusion = "A gradient of an LSTM is its text, as long as the text is shorter than the model is wide."
        return lab.end(figures, "\n".join([*lines, lab.picture(steps(points)), conclusion]))


def attack(lab: Lab, script: Script, batch: int, length: int) -> tuple[TextFound, list[str]]:
    """What the span test found, and the texts that were there."""
    alphabet, data, truth = some_windows(script, length, batch, lab.options.seed)
    model = CharLSTM(len(alphabet), HIDDEN, rng=stream(lab.options.seed, "model"))
    strategy = FedAvg(epochs=1, batch_size=batch, lr=lab.options.lr, max_weight=batch)
    view = lab.record(
        f"{batch}x{length}", model, [Client("reader", data)], in_the_plain(), strategy,
        {"characters": alphabet.characters},
    )  # fmt: skip
    return SpanTest().run(view)[0], truth


def some_windows(script: Script, length: int, count: int, seed: int) -> tuple[Alphabet, Arrays, list[str]]:
    """The public alphabet, `count` windows of a text, and each with the character that follows it."""
    alphabet = Alphabet(script.text)
    every = windows(script.text, alphabet, length)
    data = every.take(stream(seed, "scenario").choice(len(every), count, replace=False))
    pairs = zip(data.features, data.targets, strict=True)
    return alphabet, data, [alphabet.decode(np.append(inputs, targets[-1])) for inputs, targets in pairs]


def exact(truth: list[str], found: tuple[str, ...]) -> float:
    """The share of characters in texts that were found without an error."""
    return sum(len(text) for text in truth if text in found) / sum(map(len, truth))


def steps(points: list[tuple[float, float]]) -> Painter:
    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        axes.plot(*zip(*sorted(points), strict=True), marker="o", drawstyle="steps-post")
        axes.axvline(1.0, color="k", linestyle=":")
        axes.set(xlabel="batch x (length - 1) / hidden units", ylabel="characters recovered", ylim=(-0.05, 1.05))

    return paint


if __name__ == "__main__":
    from scenarios.cli import run_module

    run_module("leak_lstm")
