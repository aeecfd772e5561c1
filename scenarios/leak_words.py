"""The words of one person's messages, whatever the local training: small or large batches, few or many epochs,
SGD or Adam, with weight decay or without.

Only rows of words that occurred have a gradient. What the public rules do to every other row, the attacker does too.
One step of Adam shows but the signs of gradients: there a decay ten times as strong would hide up to 1% of the words.

    fedlearn run leak_words --data sms_spam
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from fedlearn.attacks.changed_rows import ChangedRows
from fedlearn.datasets.dataset import MESSAGES
from fedlearn.strategies import FedAvg
from scenarios.command.options import Options
from scenarios.command.outcome import Outcome
from scenarios.command.takes import for_story
from scenarios.leak_lab import Lab, Mail, in_the_plain, laboratory
from scenarios.pictures import GOT, Painter

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EACH = 64  # messages of one person
BATCHES, EPOCHS = (8, 16, 64), (1, 2, 3, 4, 5)
RULES = {"sgd": (0.5, 1e-3), "adam": (0.01, 1e-4)}  # learning rate, weight decay

Row = tuple[float, float, float]  # precision, recall, seconds


TAKES = for_story(task=MESSAGES, data="sample", dim=16)


def run(options: Options) -> Outcome:
    options = TAKES.fill(options)
    mail = Mail.load(options)
    with laboratory("leak_words", options, mail.data_set) as lab:
        figures: dict[str, float] = {}
        lines, pictured = [], {}
        for name, strategies in lab.steps(list(trainings()), "rules of training"):
            rows = [attack(lab, mail, f"{name}-{i}", strategy) for i, strategy in enumerate(strategies)]
            precision, recall, seconds = zip(*rows, strict=True)
            figures |= {f"precision_{name}": min(precision), f"recall_{name}": min(recall)}
            figures[f"seconds_{name}"] = max(seconds)
            pictured[name] = np.reshape(precision, (len(BATCHES), -1)) * np.reshape(recall, (len(BATCHES), -1))
            lines.append(
                f"{name.replace('_', ' '):>16}: in the worst of {len(rows)} cases precision {min(precision):.3f}, "
                f"recall {min(recall):.3f}, {max(seconds):.3f} s of processor time"
            )
        conclusion = "However one trains on one's own messages, the update names each of their words and no other."
        return lab.conclude(figures, lines, worst(pictured), conclusion, CAPTION)


def trainings() -> Iterator[tuple[str, list[FedAvg]]]:
    """For each rule of local training, by name, every size of batch and number of epochs."""
    for (rule, (lr, decay)), decayed in product(RULES.items(), (False, True)):
        yield (
            rule + "_decay" * decayed,
            [
                FedAvg(epochs, batch, lr, weight_decay=decay * decayed, max_weight=EACH, optimizer=rule)
                for batch, epochs in product(BATCHES, EPOCHS)
            ],
        )


def attack(lab: Lab, mail: Mail, name: str, strategy: FedAvg) -> Row:
    """Precision and recall of the words found in one update, and the attack's processor time in seconds."""
    people = mail.clients(1, EACH)
    view = mail.record(lab, name, people, in_the_plain(), strategy)
    began = time.process_time()
    (finding,) = ChangedRows().run(view)
    seconds = time.process_time() - began
    found, truth = set(finding.words), set().union(*mail.messages(people))
    return len(found & truth) / max(1, len(found)), len(found & truth) / len(truth), seconds


CAPTION = (
    f"The worst of {len(BATCHES) * len(EPOCHS)} cases for each rule, with batches of {BATCHES[0]} to {BATCHES[-1]} "
    f"messages and {EPOCHS[0]} to {EPOCHS[-1]} epochs: the share of the words that is named, times the share of the "
    "named that is right."
)


def worst(shown: dict[str, np.ndarray]) -> Painter:
    """A painter: for each rule, the least of precision times recall over batches and epochs."""

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        names = [name.replace("_", ", ") for name in shown]
        bars = axes.bar(names, [image.min() for image in shown.values()], color=GOT)
        axes.bar_label(bars, fmt="%.2f")
        axes.set(xlabel="rule of local training", ylabel="precision x recall, of 1", ylim=(0, 1.1))

    return paint


if __name__ == "__main__":
    from scenarios.command.main import run_module

    run_module("leak_words")
