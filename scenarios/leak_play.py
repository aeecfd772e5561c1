"""The play of the leak stories about text: windows of it that one reader trains on."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

from clients import Client
from fedlearn.datasets import load_script
from fedlearn.datasets.examples import Arrays
from fedlearn.datasets.text import Alphabet, Script, windows
from fedlearn.errors import BadInput
from fedlearn.models.chars import CharLSTM
from fedlearn.protocol import PartyView
from fedlearn.seeding import stream
from fedlearn.strategies import FedAvg
from fedlearn.wording import many
from scenarios.command.options import Options
from scenarios.leak_lab import Lab, in_the_plain

HIDDEN = 128  # units of the model


@dataclass(frozen=True)
class Play:
    """A play and its characters, which are public."""

    script: Script
    alphabet: Alphabet
    seed: int

    @classmethod
    def load(cls, options: Options) -> Play:
        script = load_script(options.data)
        return cls(script, Alphabet(script.text), options.seed)

    @property
    def data_set(self) -> dict[str, Any]:
        return {"name": self.script.name, "sha256": self.script.sha256}

    def windows(self, count: int, length: int) -> tuple[Arrays, list[str]]:
        """`count` windows of the text, drawn by the seed, and each in characters with the one that follows it.

        Raises `BadInput` for a text that is too short.
        """
        every = windows(self.script.text, self.alphabet, length)
        if len(every) < count:
            raise BadInput(
                f"{self.script.name} has {many(len(every), 'window')} of {many(length, 'character')}, this story needs "
                f"{count}: give a longer text"
            )
        data = every.take(stream(self.seed, "scenario").choice(len(every), count, replace=False))
        pairs = zip(data.features, data.targets, strict=True)
        return data, [self.alphabet.decode(np.append(inputs, targets[-1])) for inputs, targets in pairs]

    def record(self, lab: Lab, name: str, data: Arrays, batch_size: int, momentum: float = 0.0) -> PartyView:
        """The aggregator's view of a recorded round in which one reader went once over these windows, in the plain."""
        model = CharLSTM(len(self.alphabet), HIDDEN, rng=stream(self.seed, "model"))
        strategy = FedAvg(epochs=1, batch_size=batch_size, lr=lab.options.lr, momentum=momentum, max_weight=len(data))
        vocabulary = {"characters": self.alphabet.characters}
        return lab.record(name, model, [Client("reader", data)], in_the_plain(), strategy, vocabulary)


def exact(truth: list[str], found: Collection[str]) -> float:
    """The share of characters in texts that were found without an error."""
    return sum(len(text) for text in truth if text in found) / sum(map(len, truth))
