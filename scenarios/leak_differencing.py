"""Attacks on the protocol: each shown, and then shown to be stopped, or shown not to be.

Five people hide their updates in a sum. The attackers are an aggregator, alone or with the other four: they subtract
what they know, compare two sums, give one person a model of its own, and send an old answer again.

    fedlearn run leak_differencing
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from textwrap import shorten
from typing import TYPE_CHECKING

import numpy as np

from aggregator import Aggregator
from clients import Client, InlinePool
from fedlearn.attacks.changed_rows import WordsFound
from fedlearn.attacks.differencing import Collusion, Differencing
from fedlearn.datasets.dataset import MESSAGES
from fedlearn.defaults import KEY_BITS
from fedlearn.errors import BadInput, NothingLearned
from fedlearn.protocol import Message, PartyView, Step, TrainRequest
from fedlearn.protocol.pool import Answer
from fedlearn.secure import Masks, Paillier
from fedlearn.secure.base import Protection
from scenarios import pictures
from scenarios.command.options import Options
from scenarios.command.outcome import Outcome
from scenarios.command.takes import for_story
from scenarios.leak_lab import Lab, Mail, fine_codec, laboratory, local_training

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PEOPLE, EACH = 5, 4
ATTACKS = {
    "collusion": f"{PEOPLE - 1} of {PEOPLE} subtract themselves",
    "differencing": "two sessions, one without the last person",
    "min_cohort": "a sum of two people",
    "max_overlap": "the same people summed again in one session",
    "model_hash": "one person given another model, paillier",
    "model_hash_masks": "one person given another model, masks",
    "replay": "an old answer sent again",
}


class TwoFaced(InlinePool):
    """An aggregator's way of giving the last client another model: all weights zero, but one."""

    def exchange(self, step: Step, broadcast: bytes, inboxes: Mapping[int, bytes]) -> Iterator[Answer]:
        for client, inbox in inboxes.items():
            sent = broadcast
            if client == len(self) - 1 and broadcast:
                message = Message.from_bytes(broadcast)
                assert isinstance(message.body, TrainRequest)
                weights = np.zeros_like(message.body.weights)
                weights[-1] = 1.0
                sent = replace(message, body=replace(message.body, weights=weights)).to_bytes()
            yield from super().exchange(step, sent, {client: inbox})


class Repeating(InlinePool):
    """Answers every round with what was sent in the first."""

    def exchange(self, step: Step, broadcast: bytes, inboxes: Mapping[int, bytes]) -> Iterator[Answer]:
        if step.round == 1:
            self._first = list(super().exchange(step, broadcast, inboxes))
        yield from self._first


TAKES = for_story(
    task=MESSAGES, data="sample", dim=1, epochs=2, batch_size=4, lr=0.5, key_bits=KEY_BITS, insecure_test_key=False
)


def run(options: Options) -> Outcome:
    options = TAKES.fill(options)
    mail = Mail.load(options)
    people = mail.clients(PEOPLE, EACH)
    truth = set().union(*map(set, mail.worded(people[-1])))
    with laboratory("leak_differencing", options, mail.data_set) as lab:
        everybody = record(lab, mail, "everybody", people)
        collusion = Collusion({i: person.data for i, person in enumerate(people[:-1])}).run(everybody)[0]
        difference = Differencing(record(lab, mail, "one-less", people[:-1])).run(everybody)[0]
        figures = graded("collusion", collusion, truth) | graded("differencing", difference, truth)
        guards = {
            "min_cohort": refused_cohort(lab, mail, people),
            "max_overlap": stopped(lab, mail, people, paillier(lab, max_overlap=1), InlinePool, rounds=2),
            "model_hash": stopped(lab, mail, people, paillier(lab), TwoFaced),
            "model_hash_masks": stopped(lab, mail, people, Masks(fine_codec()), TwoFaced),
            "replay": stopped(lab, mail, people, paillier(lab), Repeating, rounds=2),
        }
        figures |= {f"stopped_{name}": float(bool(reason)) for name, reason in guards.items()}
        lines = [
            f"{ATTACKS['collusion']}: the last one's words at precision {figures['collusion_precision']:.2f}, "
            f"recall {figures['collusion_recall']:.2f}; nothing stops it",
            f"{ATTACKS['differencing']}: precision {figures['differencing_precision']:.2f}, "
            f"recall {figures['differencing_recall']:.2f}; no opener remembers another session",
            *(f"{ATTACKS[name]}: {verdict(reason)}" for name, reason in guards.items()),
        ]
        conclusion = "A sum protects one person only from those who do not know the rest of it."
        return lab.conclude(figures, lines, marks(figures), conclusion, CAPTION)


def verdict(reason: str) -> str:
    return f"stopped: {shorten(reason, 150, placeholder=' ...')}" if reason else "NOT stopped"


def paillier(lab: Lab, max_overlap: int | None = None) -> Paillier:
    options = lab.options
    return Paillier(
        options.key_bits, fine_codec(), max_overlap=max_overlap, insecure_test_key=options.insecure_test_key
    )


def record(lab: Lab, mail: Mail, name: str, people: Sequence[Client]) -> PartyView:
    return mail.record(lab, name, people, paillier(lab), local_training(lab.options, EACH))


def refused_cohort(lab: Lab, mail: Mail, people: Sequence[Client]) -> str:
    """Why two people's sum is not opened."""
    try:
        record(lab, mail, "two", people[:2])
    except BadInput as error:
        return str(error)
    return ""


def stopped(
    lab: Lab, mail: Mail, people: Sequence[Client], protection: Protection, pool: type[InlinePool], rounds: int = 1
) -> str:
    """Why the last round was void, or why some of its updates did not count; nothing where all went well."""
    aggregator = Aggregator(
        mail.model(lab.options.dim), local_training(lab.options, EACH), protection, seed=lab.options.seed
    )
    try:
        last = aggregator.fit(pool(people), rounds, progress=False).rounds[-1]
    except NothingLearned as failed:
        last = failed.history.rounds[-1]
    except BadInput as error:
        return str(error)
    return last.void or "; ".join(sorted(set(last.lost.values())))


def graded(name: str, found: WordsFound, truth: set[str]) -> dict[str, float]:
    right = len(set(found.words) & truth)
    return {f"{name}_precision": right / max(1, len(found.words)), f"{name}_recall": right / len(truth)}


CAPTION = "Ways to get one person's update out of sums: orange, the attack got it; blue, a guard stopped it."


def marks(figures: dict[str, float]) -> pictures.Painter:
    """A painter: each attack, and whether a guard stops it."""

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        stopped = [bool(figures.get(f"stopped_{name}", False)) for name in ATTACKS]
        axes.barh(list(ATTACKS.values()), 1.0, color=[pictures.KEPT if on else pictures.GOT for on in stopped])
        for place, on in enumerate(stopped):
            axes.text(0.5, place, "stopped" if on else "not stopped", ha="center", va="center", color="white")
        axes.invert_yaxis()
        axes.set_xticks([])
        axes.set(xlim=(0, 1))

    return paint


if __name__ == "__main__":
    from scenarios.command.main import run_module

    run_module("leak_differencing")
