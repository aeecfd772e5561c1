"""The charge of privacy for sums that are opened: those of training, and a second one of the same round beside them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Protocol, Self

import numpy as np

from aggregator.spending import Spending
from fedlearn.errors import PrivacyError
from fedlearn.privacy.sumnoise import SumNoise
from fedlearn.privacy.terms import Terms
from fedlearn.protocol import ClientId, Step
from fedlearn.secure.aggregate import Aggregate
from fedlearn.seeding import stream


class Charges(Protocol):
    """The accounting of one session's sums, as `Spending` has it for those of training."""

    @property
    def terms(self) -> Terms: ...

    @property
    def coins(self) -> bytes | None: ...

    def charge(self, session: bytes, step: Step, clients: Collection[ClientId]) -> None: ...

    def counted(self, clients: Collection[ClientId]) -> None: ...

    def released(self, total: np.ndarray, round: int, group: int = 0) -> np.ndarray: ...


def totals_of(aggregate: Aggregate, charges: Charges | None) -> Mapping[str, np.ndarray]:
    """An opened sum by output. With noise only the mean over the expected clients is known: it times their number."""
    if charges is None:
        return aggregate.sums
    return {name: mean * charges.terms.expected for name, mean in aggregate.mean.items()}


class Surcharge:
    """Enters second sums in the ledger of a run: of clients that are in the round's first sum, with as much noise.

    The rows of one round share its coins, so that both cost what one sum with less noise does (`ledger.epsilon`).
    Made by `of`.
    """

    def __init__(self, spending: Spending, terms: Terms):
        self.terms = terms
        self._spending = spending
        self._noise = SumNoise()
        self._charged: tuple[int, int] | None = None

    @classmethod
    def of(cls, spending: Spending, clip: float | None, what: str) -> Self:
        """The surcharge on a run.

        clip: the largest l2 norm of what one client adds. what: the second sum, for messages.

        Raises `PrivacyError` where clip is missing, or the run's noise does not allow a second sum.
        """
        first = spending.terms
        if clip is None:
            raise PrivacyError(
                f"{what} with noise needs a bound on what one client can add: give clip=C, the largest l2 norm of its "
                "counts, as clip=20 where clients have 20 examples"
            )
        if first.unit != "client":
            raise PrivacyError(f"{what} counts whole clients, and unit=example protects single examples: leave one out")
        if first.bands > 1:
            raise PrivacyError(
                f"{what} opens a second sum of each client's turn, for which noise that is correlated over rounds "
                "leaves no room: take another sampler than rotation, or where=clients"
            )
        seed = None if first.seed is None else int(stream(first.seed, "survey").integers(2**62))
        expected = spending.cohorts.expected * spending.cohorts.groups
        return cls(spending, replace(first, clip=clip, adaptive=0.0, seed=seed, expected=expected))

    @property
    def coins(self) -> bytes | None:
        return self._spending.coins

    def charge(self, session: bytes, step: Step, clients: Collection[ClientId]) -> None:
        """The sum of these clients is about to be opened; returns when that is on the disk. Once an attempt."""
        if self._charged != (step.round, step.attempt):
            self._spending.enter_row(session, step)
            self._charged = (step.round, step.attempt)

    def counted(self, clients: Collection[ClientId]) -> None:
        """They were counted with the round's first sum."""

    def released(self, total: np.ndarray, round: int, group: int = 0) -> np.ndarray:
        """An opened sum as it may be used: with noise, where that is for the aggregator to add."""
        return self._noise.released(self.terms, total, round, group)
