"""Was this message among somebody's? Asked of one update, and of sums of ever more people's.

Some of the candidates are one person's, most are nobody's. The attacker scores each, from the words that moved and
the messages it recovers.

    fedlearn run leak_membership
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fedlearn.attacks.membership import Membership
from fedlearn.attacks.scores import auc, roc, true_positives_at
from fedlearn.datasets.dataset import MESSAGES
from fedlearn.privacy.asked import Privacy
from fedlearn.wording import many
from scenarios.command import build
from scenarios.command.options import Options
from scenarios.command.outcome import Outcome
from scenarios.command.takes import for_story
from scenarios.leak_lab import Lab, Mail, hidden, laboratory, local_training
from scenarios.pictures import Painter

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COHORTS = (1, 10, 50)
EACH = 16
OTHERS = 1000  # messages that nobody trained on, at most
LEAST = 5e-4  # the smallest false positive rate that the picture shows

Scores = tuple[np.ndarray, np.ndarray]  # of members, of others


TAKES = for_story(task=MESSAGES, data="sample", dim=16, epochs=5, batch_size=8, lr=0.5, dp=None)


def run(options: Options) -> Outcome:
    options = TAKES.fill(options)
    mail = Mail.load(options)
    with laboratory("leak_membership", options, mail.data_set) as lab:
        figures: dict[str, float] = {}
        lines, shown = [], {}
        asked = build.privacy(options)
        sums = [(people, None) for people in COHORTS] + [(people, asked) for people in COHORTS[1:] if asked]
        for people, noise in lab.steps(sums, "sums"):
            of_messages, of_words = attack(lab, mail, people, noise)
            name, told = (f"{people}_dp", f"{people}, noise") if noise else (f"{people}", in_the_sum(people))
            shown[told] = of_messages
            for what, (members, others) in (("message", of_messages), ("word", of_words)):
                row = {
                    f"auc_{what}_{name}": auc(members, others),
                    f"tpr1_{what}_{name}": true_positives_at(members, others, 0.01),
                    f"tpr01_{what}_{name}": true_positives_at(members, others, 0.001),
                }
                figures |= row
                area, at_1, at_01 = row.values()
                lines.append(
                    f"{told:<16}  {what + 's:':<9} AUC {area:.3f}, "
                    f"found at 1% false alarms {at_1:.2f}, at 0.1% {at_01:.2f}"
                )
        if asked:
            lines.append(f"noise: the sum with --dp {options.dp}")
        conclusion = "One person's update tells what it was trained on; the larger a sum, the less it tells of one."
        return lab.conclude(figures, lines, curves(shown), conclusion, CAPTION)


def in_the_sum(people: int) -> str:
    return many(people, "person alone", "people summed")


def attack(lab: Lab, mail: Mail, people: int, privacy: Privacy | None = None) -> tuple[Scores, Scores]:
    """Scores of the first person's messages and words, and of messages and words that are not theirs.

    privacy: noise in the sum.
    """
    clients = mail.clients(people, EACH)
    training = local_training(lab.options, EACH)
    name = f"people-{people}{'-noised' if privacy else ''}"
    view = mail.record(lab, name, clients, hidden(lab.options, people), training, privacy)
    members = mail.worded(clients[0])
    rest = max(1, len(mail.corpus) - people * EACH)
    (strangers,) = mail.clients(1, min(OTHERS, rest), skip=people * EACH)
    candidates = (*members, *mail.worded(strangers))
    (found,) = Membership(candidates).run(view)
    messages = found.scores[: len(members)], found.scores[len(members) :]
    (found,) = Membership().run(view)
    mine = set().union(*map(set, members))
    is_mine = np.array([word in mine for word in mail.words.words])
    return messages, (found.scores[is_mine], found.scores[~is_mine])


CAPTION = (
    "Was this message trained on? Of one person's messages the share that is found, by the share of others' messages "
    "that is taken for theirs. Towards the upper left the attack gets more."
)


def curves(shown: dict[str, Scores]) -> Painter:
    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        for told, (members, others) in shown.items():
            false, true = roc(members, others)
            axes.step(np.maximum(false, LEAST), true, where="post", label=told)
        chance = np.geomspace(LEAST, 1)
        axes.plot(chance, chance, "k:", label="chance")
        axes.set_xscale("log")
        axes.set(xlabel="false positive rate (log)", ylabel="true positive rate")
        axes.legend()

    return paint


if __name__ == "__main__":
    from scenarios.command.main import run_module

    run_module("leak_membership")
