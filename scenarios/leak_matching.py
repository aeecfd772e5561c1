"""Text out of one update of a character LSTM by trying: four searches by gradients, side by side.

One person trains one step on a line of a play. Each attacker looks for a text whose gradient is the one in the update,
with what it descends on taken from a paper; the span test, which searches nothing, stands beside them.

    fedlearn run leak_matching --data shakespeare
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from fedlearn.attacks.matching_text import METHODS, TextMatching
from fedlearn.attacks.scores import rouge
from fedlearn.attacks.span import SpanTest
from fedlearn.datasets.dataset import CHARACTERS
from fedlearn.protocol import PartyView
from fedlearn.wording import many
from scenarios.command.options import Options
from scenarios.command.outcome import Outcome
from scenarios.command.takes import for_story
from scenarios.leak_lab import laboratory
from scenarios.leak_play import Play
from scenarios.pictures import GOT, Painter

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LENGTHS = (8, 16)


TAKES = for_story(task=CHARACTERS, data="sample_play", lr=1.0)


def run(options: Options) -> Outcome:
    options = TAKES.fill(options)
    play = Play.load(options)
    with laboratory("leak_matching", options, play.data_set) as lab:
        figures: dict[str, float] = {}
        lines = []
        for length in LENGTHS:
            data, (truth,) = play.windows(1, length)
            view = play.record(lab, f"length-{length}", data, 1)
            lines.append(f"{many(length, 'character')}, {truth!r}:")
            for name in lab.steps((*METHODS, "span"), many(length, "character")):
                began = time.perf_counter()
                text = read(view, name, options.seed)
                seconds = time.perf_counter() - began
                row = {f"rouge{n}_{name}_{length}": rouge(truth, text, n) for n in (1, 2)}
                figures |= row | {f"exact_{name}_{length}": float(text == truth), f"seconds_{name}_{length}": seconds}
                one, two = row.values()
                lines.append(f"{name:>8}: ROUGE-1 {one:.2f}, ROUGE-2 {two:.2f}, {seconds:4.1f} s, {text!r}")
        conclusion = "Searches give back most of a short text; the span test gives back all of it, at once."
        return lab.conclude(figures, lines, bars(figures), conclusion, CAPTION, (8.0, 4.6))


def read(view: PartyView, name: str, seed: int) -> str:
    """The text that an attack finds, or nothing."""
    attack = SpanTest() if name == "span" else TextMatching(name, seed=seed)
    return next(iter(attack.run(view)[0].texts), "")


CAPTION = (
    "How much of a text of so many characters is recovered from its gradient: the share of its pairs of characters "
    "(ROUGE-2), and whether it is the text exactly (1 or 0). Four searches, and the span test."
)


def bars(figures: dict[str, float]) -> Painter:
    def paint(figure: Figure) -> None:
        names = (*METHODS, "span")
        places = np.arange(len(names))
        for axes, length in zip(figure.subplots(1, len(LENGTHS), sharey=True, squeeze=False)[0], LENGTHS, strict=True):
            for shift, score, hatch in ((-0.2, "rouge2", ""), (0.2, "exact", "//")):
                heights = [figures[f"{score}_{name}_{length}"] for name in names]
                label = {"rouge2": "ROUGE-2", "exact": "exact"}[score]
                axes.bar(places + shift, heights, 0.4, label=label, color=GOT, hatch=hatch, edgecolor="white")
            axes.set_xticks(places, names)
            axes.set(title=many(length, "character"), ylim=(0, 1.05))
        figure.axes[0].set_ylabel("score, of 1")
        figure.legend(*axes.get_legend_handles_labels(), loc="outside right upper")

    return paint


if __name__ == "__main__":
    from scenarios.command.main import run_module

    run_module("leak_matching")
