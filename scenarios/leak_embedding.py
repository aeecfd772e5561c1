"""What one update of a word model tells a curious aggregator that reads only its own transcript.

Bob trains on a single mail and sends his update. In the plain, the rows that moved spell the mail. Encrypted,
the aggregator plays a game: told that the mail was one of two, it does no better than a coin. And the sum of
several people's updates, which is opened by design, still names every word, though not whose it was.

    fedlearn run leak_embedding
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from aggregator import Aggregator, RunFolder
from clients import Client, InlinePool
from fedlearn.attacks.changed_rows import ChangedRows
from fedlearn.attacks.two_candidates import guess_candidates
from fedlearn.datasets import load_corpus, split
from fedlearn.datasets.bags import Bags, encode_texts
from fedlearn.datasets.tokens import tokenize
from fedlearn.datasets.vocabulary import ExplicitVocabulary
from fedlearn.models.spam import SpamClassifier
from fedlearn.protocol import PartyView
from fedlearn.seeding import stream
from scenarios.options import Claim, Options, Outcome

MAIL = "my computer password is pizza"
OTHER = "your meeting today was moved"
SMALL_TALK = f"{MAIL} {OTHER} the a to and of in you that it for on with we at are this have be not tomorrow see"
TRIALS = 400
SUMMED = 10
Z = 3.2905  # 99.9% two-sided


def run(options: Options) -> Outcome:
    options = options.filled(data="sample", model="spam", dim=1, epochs=1, batch_size=16, lr=1.0)
    corpus = load_corpus(options.data)
    private, public = split(corpus, seed=options.seed)
    folder = options.folder("leak_embedding", {"name": corpus.name, "sha256": corpus.sha256})
    # The vocabulary comes from public texts and small talk: nobody's mail had to be read to agree on it.
    words = ExplicitVocabulary.from_public_texts([*public.texts, SMALL_TALK], 10_000)

    recall, precision, said = one_plain_update(options, folder, words)
    rate, low, high = two_mail_game(options, folder)
    union, guessed, chance = sum_of_many(options, folder, words, private.texts)

    claims = [
        Claim("recall", recall), Claim("precision", precision),
        Claim("game_rate", rate), Claim("game_low", low), Claim("game_high", high),
        Claim("game_trials", TRIALS), Claim("sum_recall", union),
        Claim("sum_attribution", guessed), Claim("sum_chance", chance),
    ]  # fmt: skip
    folder.write_outcome({"state": "done", "claims": {claim.name: claim.value for claim in claims}})
    story = (
        f"plain:      the aggregator read: {' '.join(said)}\n"
        f"encrypted:  told it was one of two mails, it named the right one in {rate:.1%} of {TRIALS} trials "
        f"(99.9% interval {low:.3f} to {high:.3f}; a coin has 0.5)\n"
        f"the sum:    of {SUMMED} people's updates named {union:.0%} of all their words; whose word it was, "
        f"it guessed in {guessed:.0%} of cases (chance {chance:.0%})\n"
        "Encryption hides who wrote a word, not that it was written: the sum is opened by design."
    )
    return Outcome(folder.path, options.seed, 1, claims=claims, story=story)


def one_plain_update(options: Options, folder: RunFolder, words: ExplicitVocabulary) -> tuple[float, float, list[str]]:
    """Recall and precision of the words that the aggregator reads from Bob's unprotected update."""
    bob = Client("bob", mails([MAIL], words))
    view = federate(replace(options, protection="none"), folder, "plain", [bob], words)
    said = set(ChangedRows().run(view)[0].words)
    truth = set(tokenize(MAIL))
    in_order = [word for word in tokenize(MAIL) if word in said] + sorted(said - truth)
    return len(said & truth) / len(truth), len(said & truth) / len(said), in_order


def two_mail_game(options: Options, folder: RunFolder) -> tuple[float, float, float]:
    """How often the aggregator says which of two mails an encrypted update comes from, and the interval.

    Exactly half of the clients hold each mail, so that the opened sum tells nothing about any one of them.
    """
    words = ExplicitVocabulary.from_public_texts([SMALL_TALK], 64)
    candidates = [mails([MAIL], words), mails([OTHER], words)]
    truth = stream(options.seed, "scenario").permutation(np.arange(TRIALS) % 2)
    players = [Client(f"player-{i}", candidates[held]) for i, held in enumerate(truth)]
    view = federate(replace(options, protection="paillier"), folder, "game", players, words)
    guesses = guess_candidates(view, candidates)
    rate = float(np.mean([guesses[player] == held for player, held in enumerate(truth)]))
    return rate, *wilson(rate, TRIALS)


def sum_of_many(
    options: Options, folder: RunFolder, words: ExplicitVocabulary, texts: Sequence[str]
) -> tuple[float, float, float]:
    """Of an opened sum: recall of all words in it, and how often their holder is guessed right, beside chance.

    The aggregator saw who sent a payload, but the payloads tell it nothing about who holds a word, so it can
    only name somebody.
    """
    held = [set(tokenize(text)) & set(words.words) for text in texts[:SUMMED]]
    people = [Client(f"person-{i}", mails([text], words)) for i, text in enumerate(texts[:SUMMED])]
    view = federate(replace(options, protection="paillier"), folder, "sum", people, words)
    found = set(next(finding.words for finding in ChangedRows().run(view) if finding.about == "sum"))
    everything = set().union(*held)
    single = sorted(word for word in found if sum(word in mine for mine in held) == 1)
    named = stream(options.seed, "attack").integers(SUMMED, size=len(single))
    right = [word in held[person] for word, person in zip(single, named, strict=True)]
    return len(found & everything) / len(everything), float(np.mean(right)), 1 / SUMMED


def federate(
    options: Options, folder: RunFolder, name: str, clients: list[Client], words: ExplicitVocabulary
) -> PartyView:
    """One recorded round; returns the aggregator's view of it."""
    recorded = RunFolder(
        folder.path / name, options.configuration(f"leak_embedding/{name}"), folder.data_set, record=True
    )
    model = options.model_class(SpamClassifier)(len(words), options.dim, rng=stream(options.seed, "model"))
    aggregator = Aggregator(
        model,
        strategy=options.build_strategy(),
        protection=options.build_protection(len(clients), bound=4.0),
        seed=options.seed,
        vocabulary=words.to_dict(),
        folder=recorded,
    )
    aggregator.fit(InlinePool(clients), rounds=1)
    return PartyView.load(recorded.path)


def mails(texts: Sequence[str], words: ExplicitVocabulary) -> Bags:
    return encode_texts(texts, np.zeros(len(texts), np.int8), words)


def wilson(rate: float, trials: int) -> tuple[float, float]:
    """Wilson's score interval for a binomial rate (Wilson 1927) at 99.9%."""
    centre = (rate + Z**2 / (2 * trials)) / (1 + Z**2 / trials)
    half = Z / (1 + Z**2 / trials) * math.sqrt(rate * (1 - rate) / trials + Z**2 / (4 * trials**2))
    return centre - half, centre + half


if __name__ == "__main__":
    from scenarios.cli import run_module

    run_module("leak_embedding")
