"""Text out of one update of a character LSTM, exactly and in order, without any optimisation.

One person trains one step on a few windows of a play. The states that the text drove the model through span the
rows of the recurrent weight's gradient; reading on from the beginning, only the right next character stays in that
span. Once the windows hold more states than the model has units, nothing can be told, and the attack says so.

    fedlearn run leak_lstm --data shakespeare
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedlearn.attacks.span import SpanTest
from fedlearn.datasets.dataset import CHARACTERS
from scenarios.command.options import Options
from scenarios.command.outcome import Outcome
from scenarios.command.takes import for_story
from scenarios.leak_lab import laboratory
from scenarios.leak_play import HIDDEN, Play, exact
from scenarios.pictures import GOT, Painter

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHAPES = ((1, 8), (1, 16), (1, 32), (4, 32), (8, 16), (8, 32))  # windows, characters in each


TAKES = for_story(task=CHARACTERS, data="sample_play", lr=2.0)


def run(options: Options) -> Outcome:
    options = TAKES.fill(options)
    play = Play.load(options)
    with laboratory("leak_lstm", options, play.data_set) as lab:
        figures: dict[str, float] = {}
        lines, points, knows = [], [], True
        for batch, length in lab.steps(SHAPES, "updates"):
            data, truth = play.windows(batch, length)
            (found,) = SpanTest().run(play.record(lab, f"{batch}x{length}", data, batch))
            share = figures[f"exact_{batch}x{length}"] = exact(truth, found.texts)
            room = batch * (length - 1) / HIDDEN
            points.append((room, share))
            knows &= found.above_bound == (room >= 1)
            sentence = f"rank {found.rank} of {HIDDEN}" + ", and it says that it cannot tell" * found.above_bound
            lines.append(f"{batch} x {length:>2} characters: {share:>4.0%} recovered, {sentence}")
            if (batch, length) == (1, 32):
                lines += [f"    {text!r}" for text in found.texts]
        figures["knows"] = knows
        conclusion = "A gradient of an LSTM is its text, as long as the text is shorter than the model is wide."
        return lab.conclude(figures, lines, against_room(points), conclusion, CAPTION)


CAPTION = (
    "A point is an update: the share of its characters that is recovered exactly, by how many states of the text there "
    "are for each hidden unit. Left of the line there are equations enough."
)


def against_room(points: list[tuple[float, float]]) -> Painter:
    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        axes.plot(*zip(*points, strict=True), "o", color=GOT, label="an update")
        axes.axvline(1.0, color="k", linestyle=":", label="the bound: as many states as units")
        across = "states for each hidden unit: batch x (length - 1) / units"
        axes.set(xlabel=across, ylabel="share of characters", ylim=(-0.05, 1.05))
        axes.legend(loc="center left")

    return paint


if __name__ == "__main__":
    from scenarios.command.main import run_module

    run_module("leak_lstm")
