"""Whole messages, not only words, come out of one update of a word model, and out of an opened sum too.

The rows of words that only one message holds move equally, and give it away; words of several messages are then
found as small sums. The attacker reads its own transcript, once of one person's unprotected update and once of
the sum of several people's, who hid theirs behind masks.

    fedlearn run leak_unmix
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fedlearn.attacks.scores import Unmixed, unmixed
from fedlearn.attacks.unmix import MessagesFound, Unmix
from fedlearn.datasets.dataset import MESSAGES
from fedlearn.privacy.asked import Privacy
from fedlearn.wording import many
from scenarios.command import build
from scenarios.command.options import Options
from scenarios.command.outcome import Outcome
from scenarios.command.takes import for_story
from scenarios.leak_lab import Lab, Mail, hidden, laboratory, local_training
from scenarios.pictures import GOT_MAP, Painter

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIZES = (8, 16, 32)  # messages of one person
PEOPLE = 5  # whose updates are summed, 8 messages each
ADAM_LR = 0.01


TAKES = for_story(task=MESSAGES, data="sample", dim=16, epochs=5, batch_size=8, lr=0.5, dp=None)


def run(options: Options) -> Outcome:
    options = TAKES.fill(options)
    mail = Mail.load(options)
    with laboratory("leak_unmix", options, mail.data_set) as lab:
        figures: dict[str, float] = {}
        lines = ["                                              isolated  pairs: precision, recall"]
        for size in lab.steps(SIZES, "updates"):
            truth, found, score = attack(lab, mail, 1, size)
            figures |= named(score, str(size))
            lines.append(row(f"{many(size, 'message')} of one person", score))
            if size == SIZES[0]:
                paint = matrix(truth, found)
                example = max(found.messages, key=len)
        _, _, score = attack(lab, mail, PEOPLE, SIZES[0])
        figures |= named(score, "sum")
        lines.append(row(f"{PEOPLE} people of {SIZES[0]} messages each, masked and summed", score))
        if (asked := build.privacy(options)) is not None:
            _, _, score = attack(lab, mail, PEOPLE, SIZES[0], asked)
            figures |= named(score, "noised")
            lines.append(row(f"the same with --dp {options.dp}", score))
        _, _, score = attack(lab, mail, 1, SIZES[-1], optimizer="adam", lr=ADAM_LR)
        figures |= named(score, "adam")
        lines.append(row(f"{SIZES[-1]} messages of one person who trains by Adam", score))
        lines += [
            "isolated: of messages with two words of their own or more, those whose own words were found together",
            "pairs: of a message and a word that stands in it",
            f"one of the messages found, its words sorted: {' '.join(sorted(example))}",
        ]
        conclusion = "An update of a word model holds whole messages, and so does the sum of encrypted ones."
        return lab.conclude(figures, lines, paint, conclusion, CAPTION)


def attack(
    lab: Lab, mail: Mail, people: int, each: int, privacy: Privacy | None = None, **training: Any
) -> tuple[list[set[str]], MessagesFound, Unmixed]:
    """The true messages, what was found, and how well they match. privacy: noise in the sum. training: changes."""
    clients = mail.clients(people, each)
    name = "-".join([f"{people}-of-{each}", *map(str, training.values()), *(["noised"] if privacy else [])])
    strategy = replace(local_training(lab.options, each), **training)
    (found,) = Unmix().run(mail.record(lab, name, clients, hidden(lab.options, people), strategy, privacy))
    truth = mail.messages(clients)
    return truth, found, unmixed(truth, found.private, found.messages)


def named(score: Unmixed, which: str) -> dict[str, float]:
    names = ("isolated", "precision", "recall")
    return {f"{name}_{which}": getattr(score, name) for name in names}


def row(what: str, score: Unmixed) -> str:
    return f"{what:<46}{score.isolated:>8.0%}  {score.precision:>16.3f}, {score.recall:.3f}"


CAPTION = "A row is a message, a column a word; dark: the word stands in the message. Below, in orange, what was got."


def matrix(truth: Sequence[set[str]], found: MessagesFound) -> Painter:
    """A painter: which word stands in which message, in truth and as recovered."""
    words = sorted(set().union(*truth), key=lambda word: [word not in message for message in truth])
    best = [nearest(message, found.messages) for message in truth]
    images = [np.array([[word in message for word in words] for message in side]) for side in (truth, best)]

    def paint(figure: Figure) -> None:
        sides = zip(figure.subplots(2, 1), images, ("the messages", "recovered"), ("Greys", GOT_MAP), strict=True)
        for axes, image, title, colours in sides:
            axes.imshow(image, aspect="auto", cmap=colours, vmin=0, vmax=1, interpolation="nearest")
            axes.set(title=title, xlabel="word", ylabel="message")

    return paint


def nearest(message: set[str], found: Sequence[set[str]]) -> set[str]:
    """The recovered message with most words in common."""
    return max(found, key=lambda got: len(got & message), default=set())


if __name__ == "__main__":
    from scenarios.command.main import run_module

    run_module("leak_unmix")
