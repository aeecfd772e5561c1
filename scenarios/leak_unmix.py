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
from scenarios.leak_lab import Lab, Mail, Painter, hidden, laboratory, local_training
from scenarios.options import Options, Outcome

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIZES = (8, 16, 32)  # messages of one person
PEOPLE = 5  # whose updates are summed, 8 messages each
ADAM_LR = 0.01


def run(options: Options) -> Outcome:
    options = options.filled(data="sample", dim=16, epochs=5, batch_size=8, lr=0.5)
    mail = Mail.load(options)
    with laboratory("leak_unmix", options, mail.data_set) as lab:
        figures: dict[str, float] = {}
        lines = []
        for size in SIZES:
            truth, found, score = attack(lab, mail, 1, size)
            figures |= named(score, str(size))
            lines.append(f"{size:>3} messages of one person: {told(score)}")
            if size == SIZES[0]:
                picture = lab.picture(matrix(truth, found))
                example = max(found.messages, key=len)
        _, _, score = attack(lab, mail, PEOPLE, SIZES[0])
        figures |= named(score, "sum")
        lines.append(f"the sum of {PEOPLE} people of {SIZES[0]} messages, masked: {told(score)}")
        _, _, score = attack(lab, mail, 1, SIZES[-1], optimizer="adam", lr=ADAM_LR)
        figures |= named(score, "adam")
        lines.append(f"{SIZES[-1]:>3} messages of one person who trains by Adam: {told(score)}")
        story = "\n".join(
            [
                *lines,
                f"one of the messages, in the order of the word list: {' '.join(sorted(example))}",
                picture,
                "An update of a word model, or the sum of several, holds whole messages, and encryption of the parts "
                "does not take them out of the sum.",
            ]
        )
        return lab.end(figures, story)


def attack(
    lab: Lab, mail: Mail, people: int, each: int, **training: Any
) -> tuple[list[set[str]], MessagesFound, Unmixed]:
    """The true messages, what was found, and how well they match. training: changes to the local training."""
    clients = mail.clients(people, each)
    protection = hidden(lab.options, people)
    view = lab.record(
        "-".join([f"{people}-of-{each}", *map(str, training.values())]), mail.model(lab.options.dim), clients,
        protection, replace(local_training(lab.options, each), **training), mail.words.to_dict(),
    )  # fmt: skip
    (found,) = Unmix().run(view)
    truth = mail.messages(clients)
    return truth, found, unmixed(truth, found.private, found.messages)


def named(score: Unmixed, which: str) -> dict[str, float]:
    names = ("isolated", "precision", "recall")
    return {f"{name}_{which}": getattr(score, name) for name in names}


def told(score: Unmixed) -> str:
    return (
        f"{score.isolated:.0%} of those with two words of their own isolated, "
        f"pairs of message and word at precision {score.precision:.3f} and recall {score.recall:.3f}"
    )


def matrix(truth: Sequence[set[str]], found: MessagesFound) -> Painter:
    """A painter: which word stands in which message, in truth and as recovered."""
    words = sorted(set().union(*truth), key=lambda word: [word not in message for message in truth])
    best = [nearest(message, found.messages) for message in truth]
    images = [np.array([[word in message for word in words] for message in side]) for side in (truth, best)]

    def paint(figure: Figure) -> None:
        for axes, image, title in zip(figure.subplots(2, 1), images, ("the messages", "recovered"), strict=True):
            axes.imshow(image, aspect="auto", cmap="Greys", interpolation="nearest")
            axes.set(title=title, xlabel="word", ylabel="message")

    return paint


def nearest(message: set[str], found: Sequence[set[str]]) -> set[str]:
    """The recovered message with most words in common."""
    return max(found, key=lambda got: len(got & message), default=set())


if __name__ == "__main__":
    from scenarios.cli import run_module

    run_module("leak_unmix")
