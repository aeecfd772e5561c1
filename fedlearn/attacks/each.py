"""The base of attacks that read each plain update and each opened sum by itself."""

from __future__ import annotations

import logging
from abc import abstractmethod
from typing import Generic, TypeVar

from fedlearn.attacks.base import Attack, Finding, NotReadable
from fedlearn.attacks.observed import Observed, Vector
from fedlearn.protocol import PartyView
from fedlearn.wording import many

log = logging.getLogger(__name__)
F = TypeVar("F", bound=Finding)


class EachVector(Attack, Generic[F]):
    """An attack that reads each plain update and each opened sum of a view by itself."""

    def run(self, view: PartyView) -> list[F]:
        """A finding for each vector that could be read; raises `NotReadable` where there is none."""
        observed = Observed(view)
        findings: list[F] = []
        refusals: list[NotReadable] = []
        for vector in observed.readable():
            try:
                findings.append(self.read(observed, vector))
            except NotReadable as refusal:
                refusals.append(refusal)
        if not findings:
            raise refusals[0]
        if refusals:
            count = many(len(refusals) + len(findings), "vector")
            log.warning("%s of %s left out: %s", f"{len(refusals):,}", count, refusals[0])
        return findings

    @abstractmethod
    def read(self, observed: Observed, vector: Vector) -> F:
        """Read one vector; raises `NotReadable` where it tells nothing."""
