"""Common parts of the leak stories: recorded rounds in one run folder, the mail that clients hold, picture, end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from aggregator import Aggregator, RunFolder
from clients import Client, InlinePool
from fedlearn.crypto import FixedPoint
from fedlearn.datasets import Corpus, load_corpus
from fedlearn.datasets.bags import Bags, encode
from fedlearn.datasets.vocabulary import ExplicitVocabulary
from fedlearn.errors import BadInput
from fedlearn.models import MODELS
from fedlearn.models.base import Model
from fedlearn.privacy.asked import Privacy
from fedlearn.protocol import PartyView
from fedlearn.secure import Masks, Paillier, Plain
from fedlearn.secure.base import DEFAULT_CODEC, Protection
from fedlearn.secure.compression import Compression
from fedlearn.seeding import stream
from fedlearn.strategies import FedAvg, Strategy
from fedlearn.wording import many
from scenarios.command import build
from scenarios.command.options import Options
from scenarios.command.outcome import Claim, Outcome
from scenarios.pictures import Painter, Picture
from scenarios.story import Story, keeping


@contextmanager
def laboratory(scenario: str, options: Options, data: dict[str, Any]) -> Iterator[Lab]:
    """A leak story in a run folder of its own. data: what the scenario says of its data set."""
    folder = build.folder(options, scenario, data)
    with keeping(folder):
        yield Lab(folder, options)


class Lab(Story):
    """A story that runs recorded rounds, each in a folder of its own, and hands out what the aggregator saw."""

    def __init__(self, folder: RunFolder, options: Options):
        super().__init__(folder, options)
        self._rounds = 0

    def record(
        self,
        name: str,
        model: Model,
        clients: Sequence[Client],
        protection: Protection,
        strategy: Strategy,
        vocabulary: dict[str, Any] | None = None,
        privacy: Privacy | None = None,
        compression: Compression | None = None,
    ) -> PartyView:
        """The aggregator's view of a round that is recorded in the folder `name`."""
        folder = self.one_more(name, protection)
        aggregator = Aggregator(
            model, strategy, protection, seed=self.options.seed, vocabulary=vocabulary, folder=folder,
            privacy=privacy, compression=compression,
        )  # fmt: skip
        aggregator.fit(InlinePool(clients), rounds=1, progress=False)
        return PartyView.load(folder.path)

    def one_more(self, name: str, protection: Protection) -> RunFolder:
        """The folder of one more recorded round under this protection."""
        self._rounds += 1
        return self.inner(name, build.under(self.options, protection.name))

    def conclude(
        self,
        figures: Mapping[str, float],
        lines: Sequence[str],
        paint: Painter,
        conclusion: str,
        caption: str,
        size: tuple[float, float] = (7.0, 4.8),
    ) -> Outcome:
        """Keep the figures as claims and draw the story's one picture; the conclusion is its last line, and its title.

        caption: what is seen in the picture.
        """
        claims = [Claim(name, float(value)) for name, value in figures.items()]
        picture = self.picture(self.scenario, Picture(paint, conclusion.rstrip("."), caption, size))
        return self.end("\n".join([*lines, picture, conclusion]), claims, rounds=self._rounds)


@dataclass(frozen=True)
class Mail:
    """A corpus dealt out to clients. Its word list stands for a public dictionary, in which every word has a row."""

    corpus: Corpus
    words: ExplicitVocabulary
    seed: int

    @classmethod
    def load(cls, options: Options) -> Mail:
        corpus = load_corpus(options.data).without_duplicates()
        return cls(corpus, ExplicitVocabulary.from_public_texts(corpus.texts, len(corpus) * 100), options.seed)

    @property
    def data_set(self) -> dict[str, Any]:
        return {"name": self.corpus.name, "sha256": self.corpus.sha256}

    def clients(self, count: int, each: int, skip: int = 0) -> list[Client]:
        """`count` clients of `each` messages; skip: messages passed over, in the order that the seed gives.

        Raises `BadInput` for a corpus that has not so many.
        """
        if len(self.corpus) < skip + count * each:
            raise BadInput(
                f"{self.corpus.name} has {many(len(self.corpus), 'different message')}, this story needs "
                f"{skip + count * each}: give a larger data set"
            )
        order = stream(self.seed, "partition").permutation(len(self.corpus))[skip : skip + count * each]
        parts = np.array_split(order, count)
        return [Client(f"person-{i}", encode(self.corpus.take(part), self.words)) for i, part in enumerate(parts)]

    def messages(self, clients: Sequence[Client]) -> list[set[str]]:
        """The truth: each client's messages, one after the other, as sets of words."""
        return [set(message) for client in clients for message in self.worded(client)]

    def worded(self, client: Client) -> list[tuple[str, ...]]:
        """One client's messages in words."""
        bags = client.data
        assert isinstance(bags, Bags)
        pairs = zip(bags.offsets[:-1], bags.offsets[1:], strict=True)
        return [tuple(self.words.words[i] for i in bags.indices[low:high]) for low, high in pairs]

    def model(self, dim: int) -> Model:
        model: Model = MODELS.load("spam")(len(self.words), dim, rng=stream(self.seed, "model"))
        return model

    def record(
        self,
        lab: Lab,
        name: str,
        clients: Sequence[Client],
        protection: Protection,
        strategy: Strategy,
        privacy: Privacy | None = None,
        compression: Compression | None = None,
    ) -> PartyView:
        """The aggregator's view of a recorded round in which these clients trained on their mail."""
        model = self.model(lab.options.dim)
        return lab.record(name, model, clients, protection, strategy, self.words.to_dict(), privacy, compression)


def local_training(options: Options, examples: int) -> FedAvg:
    """The local training that the options name; a client of so many examples has the largest weight."""
    return FedAvg(epochs=options.epochs, batch_size=options.batch_size, lr=options.lr, max_weight=examples)


def in_the_plain(bits: int = 28) -> Plain:
    """No protection; at 28 bits and bound 4, updates are rounded to 2^-24, at 20 bits to 2^-16."""
    return Plain(fine_codec(bits))


def hidden(options: Options, people: int) -> Protection:
    """The protection of so many people's updates in their sum; one person's is hidden by nothing.

    Masks refuse two people, each of whom can take itself out of the sum. A key holder opens it if told to beforehand.
    """
    if people == 1:
        return in_the_plain()
    if people == 2:
        return Paillier(options.key_bits, fine_codec(), min_cohort=people, insecure_test_key=options.insecure_test_key)
    return Masks(fine_codec(), min_cohort=people)


def fine_codec(bits: int = 28) -> FixedPoint:
    return replace(DEFAULT_CODEC, bits=bits)
