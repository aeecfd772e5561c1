"""Several local steps do not blur the text: the attacker takes them itself, one after the other.

A person trains step after step, each on another window of a play, and sends only where that led. The first window
is read by the span test; with it, the attacker repeats the first step, takes it away, and reads the second.

    fedlearn run leak_local_steps --data shakespeare
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fedlearn.attacks.peel import Peel
from fedlearn.attacks.span import SpanTest
from fedlearn.datasets.dataset import CHARACTERS
from scenarios import pictures
from scenarios.command.options import Options
from scenarios.command.outcome import Outcome
from scenarios.command.takes import for_story
from scenarios.leak_lab import Lab, laboratory
from scenarios.leak_play import Play, exact

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STEPS = (1, 2, 4, 8)
LENGTH = 16
MOMENTUM = 0.9


TAKES = for_story(task=CHARACTERS, data="sample_play", lr=0.1)


def run(options: Options) -> Outcome:
    options = TAKES.fill(options)
    play = Play.load(options)
    with laboratory("leak_local_steps", options, play.data_set) as lab:
        figures: dict[str, float] = {}
        lines, table = [], []
        for count in lab.steps(STEPS, "updates"):
            peeled, once, found = attack(lab, play, count)
            figures |= {f"peeled_{count}": peeled, f"span_{count}": once}
            table.append(found)
            steps = f"{count} step" + "s" * (count > 1)
            lines.append(f"{steps:<7}  {peeled:>4.0%} of the text by peeling, {once:>4.0%} by the span test alone")
        figures["peeled_momentum"], _, _ = attack(lab, play, STEPS[-1], MOMENTUM)
        lines.append(f"{STEPS[-1]} steps with momentum {MOMENTUM}: {figures['peeled_momentum']:.0%} by peeling")
        conclusion = "An update after several local steps still gives its text away: training longer is no protection."
        return lab.conclude(figures, lines, heat(table), conclusion, CAPTION)


def attack(lab: Lab, play: Play, count: int, momentum: float = 0.0) -> tuple[float, float, list[bool]]:
    """The share of the text found by peeling and by one span test; and which windows were found, by peeling."""
    data, truth = play.windows(count, LENGTH)
    view = play.record(lab, f"steps-{count}-momentum-{momentum}", data, 1, momentum)
    (peeled,), (once,) = Peel().run(view), SpanTest().run(view)
    return exact(truth, peeled.texts), exact(truth, once.texts), [text in peeled.texts for text in truth]


CAPTION = (
    "A row is an update after so many local steps, each on a window of text of its own. Dark orange: the window was "
    "recovered letter by letter; white: it was not; grey: there is no such window."
)


def heat(table: list[list[bool]]) -> pictures.Painter:
    """A painter: by number of local steps, how many windows were recovered."""
    image = np.full((len(table), max(map(len, table))), np.nan)
    for row, found in enumerate(table):
        image[row, : len(found)] = sorted(found, reverse=True)

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        axes.set_facecolor("0.85")
        axes.imshow(image, aspect="auto", cmap=pictures.GOT_MAP, vmin=0, vmax=1)
        axes.set_xticks(range(image.shape[1]), [str(number + 1) for number in range(image.shape[1])])
        axes.set_yticks(range(len(STEPS)), [str(count) for count in STEPS])
        axes.set(xlabel="window", ylabel="local steps")

    return paint


if __name__ == "__main__":
    from scenarios.command.main import run_module

    run_module("leak_local_steps")
