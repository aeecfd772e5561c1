"""Several local steps do not blur the text: the attacker takes them itself, one after the other.

A person trains step after step, each on another window of a play, and sends only where that led. The first window
is read by the span test; with it, the attacker repeats the first step, takes it away, and reads the second.

    fedlearn run leak_local_steps --data shakespeare
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from clients import Client
from fedlearn.attacks.peel import Peel
from fedlearn.attacks.span import SpanTest
from fedlearn.datasets import load_script
from fedlearn.datasets.text import Script
from fedlearn.models.chars import CharLSTM
from fedlearn.seeding import stream
from fedlearn.strategies import FedAvg
from scenarios.leak_lab import Lab, Painter, in_the_plain, laboratory
from scenarios.leak_lstm import HIDDEN, exact, some_windows
from scenarios.options import Options, Outcome

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STEPS = (1, 2, 4, 8)
LENGTH = 16
MOMENTUM = 0.9


def run(options: Options) -> Outcome:
    options = options.filled(data="sample_play", lr=0.1)
    script = load_script(options.data)
    with laboratory("leak_local_steps", options, {"name": script.name, "sha256": script.sha256}) as lab:
        figures: dict[str, float] = {}
        lines, table = [], []
        for count in STEPS:
            peeled, once, order = attack(lab, script, count)
            figures |= {f"peeled_{count}": peeled, f"span_{count}": once}
            table.append(order)
            lines.append(f"{count} steps: {peeled:.0%} of the text by peeling, {once:.0%} by the span test alone")
        figures["peeled_momentum"], _, _ = attack(lab, script, STEPS[-1], MOMENTUM)
        lines.append(f"{STEPS[-1]} steps with momentum {MOMENTUM}: {figures['peeled_momentum']:.0%} by peeling")
        conclusion = "An update after several local steps still gives its text away: training longer is no protection."
        return lab.end(figures, "\n".join([*lines, lab.picture(heat(table)), conclusion]))


def attack(lab: Lab, script: Script, count: int, momentum: float = 0.0) -> tuple[float, float, list[bool]]:
    """The share of the text found by peeling and by one span test; and which windows were found, by peeling."""
    alphabet, data, truth = some_windows(script, LENGTH, count, lab.options.seed)
    model = CharLSTM(len(alphabet), HIDDEN, rng=stream(lab.options.seed, "model"))
    strategy = FedAvg(epochs=1, batch_size=1, lr=lab.options.lr, momentum=momentum, max_weight=count)
    view = lab.record(
        f"steps-{count}-momentum-{momentum}", model, [Client("reader", data)], in_the_plain(), strategy,
        {"characters": alphabet.characters},
    )  # fmt: skip
    (peeled,), (once,) = Peel().run(view), SpanTest().run(view)
    return exact(truth, peeled.texts), exact(truth, once.texts), [text in peeled.texts for text in truth]


def heat(table: list[list[bool]]) -> Painter:
    """A painter: by number of local steps, how many windows were recovered."""
    image = np.full((len(table), max(map(len, table))), np.nan)
    for row, found in enumerate(table):
        image[row, : len(found)] = sorted(found, reverse=True)

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        axes.imshow(image, aspect="auto", cmap="RdYlGn", vmin=0, vmax=1)
        axes.set_yticks(range(len(STEPS)), [str(count) for count in STEPS])
        axes.set(xlabel="window", ylabel="local steps", title="recovered exactly (green)")

    return paint


if __name__ == "__main__":
    from scenarios.cli import run_module

    run_module("leak_local_steps")
