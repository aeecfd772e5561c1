"""The seam: an attack is handed what one party saw, and returns findings of a type of its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from fedlearn.configured import Named
from fedlearn.errors import BadInput
from fedlearn.protocol import PartyView


class NotReadable(BadInput):
    """The transcript does not hold what the attack needs; the message says what is missing."""


@dataclass(frozen=True, eq=False)
class Finding(ABC):
    """A claim of an attack about one update ("client:3") or one opened sum ("sum")."""

    attack: str
    about: str
    round: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values: arrays as lists."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: v.tolist() if isinstance(v, np.ndarray) else v for name, v in values.items()}

    def __str__(self) -> str:
        return f"round {self.round}, {self.about}: {self.summary()}"

    @abstractmethod
    def summary(self) -> str:
        """The finding in words, for the terminal."""


class Attack(Named, ABC):
    """One way to read a transcript; its configuration are its attributes. A new one defines `run`.

    name: in the registry and in findings; by default the class's name in lower case.
    """

    @abstractmethod
    def run(self, view: PartyView) -> Sequence[Finding]:
        """Findings from one party's view, and from nothing else; raises `NotReadable` where it supports none."""
