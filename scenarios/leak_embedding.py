"""Read one update of a word model as a curious aggregator does that has only its own transcript.

Bob trains on a single mail and sends his update. In the plain, the rows that moved spell the mail. Encrypted,
the aggregator plays a game: told that the mail was one of two, it does no better than a coin. And the sum of
several people's updates, which is opened by design, still names every word, though not whose it was.

    fedlearn run leak_embedding
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from clients import Client
from fedlearn.attacks.changed_rows import ChangedRows
from fedlearn.attacks.two_candidates import guess_candidates
from fedlearn.datasets import load_corpus, split
from fedlearn.datasets.bags import Bags, encode_texts
from fedlearn.datasets.dataset import MESSAGES
from fedlearn.datasets.tokens import tokenize
from fedlearn.datasets.vocabulary import ExplicitVocabulary
from fedlearn.defaults import KEY_BITS, MIN_COHORT
from fedlearn.models.kinds import Words
from fedlearn.privacy.asked import Privacy
from fedlearn.protocol import PartyView
from fedlearn.seeding import stream
from scenarios.command import build, coding
from scenarios.command.options import Options
from scenarios.command.outcome import Outcome
from scenarios.command.takes import for_story
from scenarios.leak_lab import Lab, laboratory
from scenarios.pictures import GOT, KEPT, Painter

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAIL = "my computer password is pizza"
OTHER = "your meeting today was moved"
SMALL_TALK = f"{MAIL} {OTHER} the a to and of in you that it for on with we at are this have be not tomorrow see"
TRIALS = 400
SUMMED = 10
Z = 3.2905  # 99.9% two-sided


TAKES = for_story(
    reads=(Words,), task=MESSAGES, data="sample", model="spam", dim=1, epochs=1, batch_size=16, lr=1.0,
    strategy="fedavg", key_bits=KEY_BITS, insecure_test_key=False, min_cohort=MIN_COHORT, max_overlap=None, codec="",
    dp=None,
)  # fmt: skip


def run(options: Options) -> Outcome:
    options = TAKES.fill(options)
    corpus = load_corpus(options.data)
    private, public = split(corpus, seed=options.seed)
    # The vocabulary comes from public texts and small talk: nobody's mail had to be read to agree on it.
    words = ExplicitVocabulary.from_public_texts([*public.texts, SMALL_TALK], 10_000)
    with laboratory("leak_embedding", options, {"name": corpus.name, "sha256": corpus.sha256}) as lab:
        recall, precision, words_read = one_plain_update(lab, words)
        rate, low, high = two_mail_game(lab)
        union, guessed, _ = sum_of_many(lab, words, private.texts)
        figures = {
            "recall": recall, "precision": precision,
            "game_rate": rate, "game_low": low, "game_high": high, "game_trials": TRIALS,
            "sum_recall": union, "sum_attribution": guessed, "sum_chance": 1 / SUMMED,
        }  # fmt: skip
        lines = [
            f"plain:      the aggregator read: {' '.join(words_read)}",
            f"encrypted:  told it was one of two mails, it named the right one in {rate:.1%} of {TRIALS} trials "
            f"(99.9% interval {low:.1%} to {high:.1%}; a coin has 50%)",
            f"the sum:    of {SUMMED} people's updates, it named {union:.0%} of all their words; whose a word was, "
            f"it guessed right in {guessed:.0%} of cases (chance {1 / SUMMED:.0%})",
        ]
        if (asked := build.privacy(options)) is not None:
            noised, _, right = sum_of_many(lab, words, private.texts, asked)
            figures |= {"noised_recall": noised, "noised_precision": right}
            lines.append(
                f"with noise: --dp {options.dp}: of the same sum it named {noised:.0%} of the words, and of those that "
                f"it named {right:.0%} were any"
            )
        conclusion = "Encryption hides who wrote a word, not that it was written: the sum is opened by design."
        return lab.conclude(figures, lines, bars(figures), conclusion, CAPTION, (7.6, 4.8))


def one_plain_update(lab: Lab, words: ExplicitVocabulary) -> tuple[float, float, list[str]]:
    """Recall and precision of the words that the aggregator reads from Bob's unprotected update."""
    bob = Client("bob", mails([MAIL], words))
    view = federate(lab, "plain", "none", [bob], words)
    words_read = set(ChangedRows().run(view)[0].words)
    truth = set(tokenize(MAIL))
    in_order = [word for word in tokenize(MAIL) if word in words_read] + sorted(words_read - truth)
    return len(words_read & truth) / len(truth), len(words_read & truth) / len(words_read), in_order


def two_mail_game(lab: Lab) -> tuple[float, float, float]:
    """How often the aggregator says which of two mails an encrypted update comes from, and the interval.

    Exactly half of the clients hold each mail, so that the opened sum tells nothing about any one of them.
    """
    words = ExplicitVocabulary.from_public_texts([SMALL_TALK], 64)
    candidates = [mails([MAIL], words), mails([OTHER], words)]
    truth = stream(lab.options.seed, "scenario").permutation(np.arange(TRIALS) % 2)
    players = [Client(f"player-{i}", candidates[held]) for i, held in enumerate(truth)]
    view = federate(lab, "game", "paillier", players, words)
    guesses = guess_candidates(view, candidates)
    rate = float(np.mean([guesses[player] == held for player, held in enumerate(truth)]))
    return rate, *wilson(rate, TRIALS)


def sum_of_many(
    lab: Lab, words: ExplicitVocabulary, texts: Sequence[str], privacy: Privacy | None = None
) -> tuple[float, float, float]:
    """Of an opened sum: recall of all words in it, how often the holder of one person's word is guessed right, and the
    precision of the words. privacy: noise in it.

    The aggregator saw who sent a payload, but the payloads tell it nothing about who holds a word, so it can
    only name somebody.
    """
    held = [set(tokenize(text)) & set(words.words) for text in texts[:SUMMED]]
    people = [Client(f"person-{i}", mails([text], words)) for i, text in enumerate(texts[:SUMMED])]
    view = federate(lab, "noised" if privacy else "sum", "paillier", people, words, privacy)
    found = set(next(finding.words for finding in ChangedRows().run(view) if finding.about == "sum"))
    everything = set().union(*held)
    single = sorted(word for word in found if sum(word in mine for mine in held) == 1)
    named = stream(lab.options.seed, "attack").integers(SUMMED, size=len(single))
    right = [word in held[person] for word, person in zip(single, named, strict=True)]
    guessed = float(np.mean(right)) if right else 0.0
    return len(found & everything) / len(everything), guessed, len(found & everything) / max(1, len(found))


def federate(
    lab: Lab, name: str, protection: str, clients: Sequence[Client], words: ExplicitVocabulary,
    privacy: Privacy | None = None,
) -> PartyView:  # fmt: skip
    """The aggregator's view of one recorded round under this protection."""
    options = build.under(lab.options, protection)
    model = build.model(options, Words(len(words)))
    hidden = build.protection(options, len(clients))
    compression = coding.compression(options)
    return lab.record(name, model, clients, hidden, build.strategy(options), words.to_dict(), privacy, compression)


def mails(texts: Sequence[str], words: ExplicitVocabulary) -> Bags:
    return encode_texts(texts, np.zeros(len(texts), np.int8), words)


def wilson(rate: float, trials: int) -> tuple[float, float]:
    """Wilson's score interval for a binomial rate (Wilson 1927) at 99.9%."""
    centre = (rate + Z**2 / (2 * trials)) / (1 + Z**2 / trials)
    half = Z / (1 + Z**2 / trials) * math.sqrt(rate * (1 - rate) / trials + Z**2 / (4 * trials**2))
    return centre - half, centre + half


CAPTION = (
    "How often the aggregator is right, of 1. Orange: what it got; blue: no better than guessing, which the black "
    "marks show. Plain and encrypted are one mail's update, the sums are those of several people, opened."
)


def bars(figures: Mapping[str, float]) -> Painter:
    """A painter: how often the aggregator is right, and what chance gives."""
    rates = {
        "a word of one mail,\nplain": (figures["recall"], 0.0),
        "which of two mails,\nencrypted": (figures["game_rate"], 0.5),
        f"a word of {SUMMED} people's,\nfrom their sum": (figures["sum_recall"], 0.0),
        "whose word it was,\nfrom their sum": (figures["sum_attribution"], figures["sum_chance"]),
    }
    rate, low, high = (figures[f"game_{name}"] for name in ("rate", "low", "high"))

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        colours = [KEPT if chance else GOT for _, chance in rates.values()]
        axes.bar(list(rates), [right for right, _ in rates.values()], color=colours)
        axes.tick_params(axis="x", labelsize="small")
        axes.errorbar([1], [rate], [[rate - low], [high - rate]], color="k", capsize=6, label="99.9% interval")
        guessed = {place: chance for place, (_, chance) in enumerate(rates.values()) if chance}
        axes.scatter(list(guessed), list(guessed.values()), marker="_", s=2000, color="black", label="chance")
        axes.set(ylabel="share named rightly", ylim=(0, 1.05))
        axes.legend(loc="upper right", markerscale=0.3)

    return paint


if __name__ == "__main__":
    from scenarios.command.main import run_module

    run_module("leak_embedding")
