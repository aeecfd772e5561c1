"""Who wrote together: messages out of one opened sum, sorted by sender, though no sender is named.

Each person's model moves its own way while it trains, and leaves that direction on every message it saw. The same
is done again with updates rounded to 2^-16, which changes little.

    fedlearn run leak_sender
    fedlearn run leak_sender --data sms_spam --clients 50
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fedlearn.attacks.base import NotReadable
from fedlearn.attacks.scores import adjusted_rand
from fedlearn.attacks.senders import Senders, SendersFound
from fedlearn.datasets.dataset import MESSAGES
from fedlearn.privacy.asked import Privacy
from fedlearn.secure import Masks
from fedlearn.wording import many
from scenarios.command import build
from scenarios.command.options import Options
from scenarios.command.outcome import Outcome
from scenarios.command.takes import for_story
from scenarios.leak_lab import Lab, Mail, fine_codec, laboratory, local_training
from scenarios.pictures import MARKERS, PALETTE, Painter

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROUNDED = {"fine": 28, "coarse": 20}  # bits of the codec at bound 4: steps of 2^-24 and 2^-16


TAKES = for_story(task=MESSAGES, data="sample", clients=4, dim=16, epochs=5, batch_size=8, lr=0.5, dp=None)


def run(options: Options) -> Outcome:
    options = TAKES.fill(options)
    mail = Mail.load(options)
    with laboratory("leak_sender", options, mail.data_set) as lab:
        figures: dict[str, float] = {}
        lines = []
        for name, bits in ROUNDED.items():
            found, truth = attack(lab, mail, name, bits)
            figures[f"ari_{name}"] = adjusted_rand(truth, found.senders.tolist())
            figures[f"messages_{name}"] = len(truth)
            lines.append(
                f"steps of 2^-{bits - 4}: {many(len(truth), 'message')} of "
                f"{many(options.clients, 'person', 'people')}, adjusted Rand index {figures[f'ari_{name}']:.3f}"
            )
            if name == "fine":
                paint = scatter(found, truth)
        if (asked := build.privacy(options)) is not None:
            figures |= noised(lab, mail, asked)
            lines.append(
                f"with --dp {options.dp}: {many(round(figures['messages_dp']), 'message')}, "
                f"adjusted Rand index {figures['ari_dp']:.3f}"
            )
        conclusion = (
            "An opened sum tells which messages have one sender: whoever knows who sent one knows who sent the rest."
        )
        return lab.conclude(figures, lines, paint, conclusion, CAPTION)


def attack(
    lab: Lab, mail: Mail, name: str, bits: int, privacy: Privacy | None = None
) -> tuple[SendersFound, list[int]]:
    """The finding, and the true sender of each message in it."""
    clients = mail.clients(lab.options.clients, each(mail))
    training = local_training(lab.options, each(mail))
    (found,) = Senders().run(mail.record(lab, name, clients, Masks(fine_codec(bits)), training, privacy))
    held = [set().union(*map(set, mail.worded(client))) for client in clients]
    return found, [int(np.argmax([len(mine & set(message)) for mine in held])) for message in found.messages]


def noised(lab: Lab, mail: Mail, privacy: Privacy) -> dict[str, float]:
    """The figures of a sum with noise, out of which there may be nothing to sort."""
    try:
        found, truth = attack(lab, mail, "noised", ROUNDED["fine"], privacy)
    except NotReadable:
        return {"ari_dp": 0.0, "messages_dp": 0.0}
    return {"ari_dp": adjusted_rand(truth, found.senders.tolist()), "messages_dp": len(truth)}


def each(mail: Mail) -> int:
    """Messages of one person: few where the corpus says the same things over and over."""
    return 6 if mail.corpus.synthetic else 16


CAPTION = (
    "Each mark is a message read out of one opened sum, placed by the direction of its trace. Colour and shape say who "
    "sent it, which the attack was not told."
)


def scatter(found: SendersFound, truth: list[int]) -> Painter:
    """A painter: each message at its direction, seen along the two axes in which directions differ most."""
    signed = found.directions * np.sign(found.directions @ found.directions[0])[:, None]
    around = signed - signed.mean(axis=0)
    places = around @ np.linalg.svd(around, full_matrices=False)[2][:2].T

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        for number, sender in enumerate(sorted(set(truth))):
            own = places[np.array(truth) == sender]
            colour, marker = PALETTE[number % len(PALETTE)], MARKERS[number % len(MARKERS)]
            axes.scatter(own[:, 0], own[:, 1], s=30, label=f"person {sender + 1}", color=colour, marker=marker)
        axes.set(xlabel="first direction", ylabel="second direction")
        if len(set(truth)) <= len(PALETTE):
            axes.legend()

    return paint


if __name__ == "__main__":
    from scenarios.command.main import run_module

    run_module("leak_sender")
