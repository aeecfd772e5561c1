"""Text out of one update of a character LSTM by trying: four searches by gradients, side by side.

One person trains one step on a line of a play. Each attacker looks for a text whose gradient is the one in the update,
with what it descends on taken from a paper; the span test, which searches nothing, stands beside them.

    fedlearn run leak_matching --data shakespeare
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from clients import Client
from fedlearn.attacks.matching_text import METHODS, TextMatching
from fedlearn.attacks.scores import rouge
from fedlearn.attacks.span import SpanTest
from fedlearn.datasets import load_script
from fedlearn.datasets.text import Script
from fedlearn.models.chars import CharLSTM
from fedlearn.protocol import PartyView
from fedlearn.seeding import stream
from fedlearn.strategies import FedAvg
from scenarios.leak_lab import Lab, Painter, in_the_plain, laboratory
from scenarios.leak_lstm import HIDDEN, some_windows
from scenarios.options import Options, Outcome

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LENGTHS = (8, 16)


def run(options: Options) -> Outcome:
    options = options.filled(data="sample_play", lr=1.0)
    script = load_script(options.data)
    with laboratory("leak_matching", options, {"name": script.name, "sha256": script.sha256}) as lab:
        figures: dict[str, float] = {}
        lines = []
        for length in LENGTHS:
            view, truth = one_update(lab, script, length)
            lines.append(f"{length} characters, {truth!r}:")
            for name in (*METHODS, "span"):
                began = time.perf_counter()
                text = read(view, name, options.seed)
                seconds = time.perf_counter() - began
                row = {f"rouge{n}_{name}_{length}": rouge(truth, text, n) for n in (1, 2)}
                figures |= row | {f"exact_{name}_{length}": float(text == truth), f"seconds_{name}_{length}": seconds}
                one, two = row.values()
                lines.append(f"{name:>8}: ROUGE-1 {one:.2f}, ROUGE-2 {two:.2f}, {seconds:4.1f} s, {text!r}")
        conclusion = "Searches give back most of a short text; the span test gives back all of it, at once."
        return lab.end(figures, "\n".join([*lines, lab.picture(bars(figures)), conclusion]))


def one_update(lab: Lab, script: Script, length: int) -> tuple[PartyView, str]:
    """What the aggregator saw of one step on one window of a text; and that text."""
    alphabet, data, (truth,) = some_windows(script, length, 1, lab.options.seed)
    model = CharLSTM(len(alphabet), HIDDEN, rng=stream(lab.options.seed, "model"))
    strategy = FedAvg(epochs=1, batch_size=1, lr=lab.options.lr, max_weight=1)
    view = lab.record(
        f"length-{length}", model, [Client("reader", data)], in_the_plain(), strategy,
        {"characters": alphabet.characters},
    )  # fmt: skip
    return view, truth


def read(view: PartyView, name: str, seed: int) -> str:
    """The text that an attack finds, or nothing."""
    attack = SpanTest() if name == "span" else TextMatching(name, seed=seed)
    return next(iter(attack.run(view)[0].texts), "")


def bars(figures: dict[str, float]) -> Painter:
    def paint(figure: Figure) -> None:
        names = (*METHODS, "span")
        places = np.arange(len(names))
        for axes, length in zip(figure.subplots(1, len(LENGTHS), sharey=True, squeeze=False)[0], LENGTHS, strict=True):
            for shift, score in ((-0.2, "rouge2"), (0.2, "exact")):
                heights = [figures[f"{score}_{name}_{length}"] for name in names]
                axes.bar(places + shift, heights, 0.4, label={"rouge2": "ROUGE-2", "exact": "exact"}[score])
            axes.set_xticks(places, names)
            axes.set(title=f"{length} characters", ylim=(0, 1.05))
        axes.legend()

    return paint


if __name__ == "__main__":
    from scenarios.cli import run_module

    run_module("leak_matching")
