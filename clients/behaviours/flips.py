"""The two simplest: a client with wrong labels, and one that walks backwards."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from clients.behaviours.base import Behaviour, Crew, Honest, check_group, check_positive, with_delta
from fedlearn.configured import make_plain, make_whole
from fedlearn.datasets.bags import Bags
from fedlearn.datasets.examples import Arrays, Examples
from fedlearn.strategies.base import LocalUpdate


@dataclass(frozen=True)
class LabelFlip(Behaviour):
    """Trains honestly on class C - 1 - l for class l: spam as ham and ham as spam.

    As Fang et al. 2020, "Local Model Poisoning Attacks to Byzantine-Robust Federated Learning", number the flip.
    """

    classes: int

    def __post_init__(self) -> None:
        make_whole(self, "classes", 2)

    @classmethod
    def of(cls, crew: Crew) -> Self:
        return cls(crew.classes)

    def examples(self, data: Examples) -> Examples:
        targets = data.targets
        flipped = np.subtract(self.classes - 1, targets, dtype=targets.dtype)
        return replace(data, labels=flipped) if isinstance(data, Bags) else Arrays(data.inputs[0], flipped)


@dataclass(frozen=True)
class SignFlip(Behaviour):
    """Sends -scale times its honest delta (Li et al. 2019, "RSA", among their attacks).

    group: clients of a group, whose mean is to be that where the others send about the same honest delta.
    """

    scale: float = 1.0
    group: int = 1

    def __post_init__(self) -> None:
        make_plain(self)
        check_group(self.group)
        check_positive("sign-flip", "scale", self.scale, "1 is the plain flip")

    @classmethod
    def of(cls, crew: Crew, scale: float = 1.0, group: int = 1) -> Self:
        return cls(scale, group)

    def update(self, update: LocalUpdate, honest: Honest) -> LocalUpdate:
        outweighs = self.group - 1  # the others' deltas
        return with_delta(update, -(outweighs + self.group * self.scale) * update.vectors["delta"])
