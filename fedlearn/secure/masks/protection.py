"""Masks: clients hide their vectors under one-time masks that vanish in the sum, and nobody needs a key holder.

Bonawitz et al. (CCS 2017) on the sparse graph of Bell et al. (CCS 2020), semi-honest. A client's vector leaves as
x + PRG(own seed) +- PRG(seed of each pair), modulo 2^lane_bits. An attempt has five phases:

keys    each client's public keys, signed, from which every pair of neighbours agrees on the seed of its mask
shares  own seed and mask key, shared (Shamir) among neighbours, a sealed letter to each
update  the masked vector
check   neighbours vouch to one another for the set of survivors that the aggregator named
unmask  holders reveal shares: of the seed of each survivor, of the mask key of each client that vanished

The masks of pairs cancel in the sum. The own seed is there for a client that is believed to have vanished, whose
vector yet arrives: knowing its mask key does not uncover it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Self

from fedlearn.checked import takes_plain
from fedlearn.configured import make_plain
from fedlearn.crypto import FixedPoint
from fedlearn.crypto.neighbours import (
    Neighbourhood,
    check_fractions,
    choose_neighbourhood,
    neighbourhood,
    neighbours,
)
from fedlearn.errors import BadInput
from fedlearn.protocol import RunPlan, Step
from fedlearn.secure.base import DEFAULT_CODEC, MIN_COHORT, Protection, Settings
from fedlearn.secure.masks.client import MasksClient
from fedlearn.secure.masks.server import MasksServer
from fedlearn.secure.masks.wire import PHASES, Circle
from fedlearn.spec import Key, read_settings


@dataclass(frozen=True)
class Masks(Protection):
    """Pairwise masks with recovery from dropouts; exact, as sums of integers modulo 2^lane_bits are.

    codec: fixed-point codec of the updates, by default 24 bits, bound 4, up to 100 addends.
    min_cohort: clients take part in, and unmask, no sum of fewer addends; at least 3.
    neighbours: how many clients each shares masks and secrets with; rounded up to an even number, or to all others.
        By default as many as keep the guarantee: 2^-40 for secrecy, 2^-20 for completion (`guarantee`).
    corrupt: fraction of a cohort that may pool what it sees with the aggregator.
    dropouts: fraction of a cohort that may vanish in a round.
    """

    codec: FixedPoint = DEFAULT_CODEC
    min_cohort: int = MIN_COHORT
    neighbours: int | None = None
    corrupt: float = 0.2
    dropouts: float = 0.3

    name = "masks"
    phases = PHASES
    reveals = "unmask"
    enrolled = True
    hiding = "masking"

    def __post_init__(self) -> None:
        make_plain(self)
        if self.min_cohort < 3:
            raise BadInput(f"min_cohort is {self.min_cohort}, masks of fewer than 3 clients hide nothing: raise it")
        if self.neighbours is not None and self.neighbours < 2:
            raise BadInput(f"neighbours is {self.neighbours}, at least 2 are needed: raise it")
        check_fractions(self.corrupt, self.dropouts)

    @classmethod
    @takes_plain
    def from_spec(cls, argument: str | None, settings: Settings) -> Self:
        """By what --protection says. argument: the number of neighbours, as in `masks:20`."""
        keys = {"neighbours": Key(int, example="20")}
        return cls(settings.codec, settings.min_cohort, **read_settings(argument, keys, "protection masks"))

    @takes_plain
    def guarantee(self, cohort: int) -> Neighbourhood:
        """Neighbours and threshold for so many clients, and the probabilities that secrecy or completion fails.

        Raises `CryptoKeyError` where no threshold survives `corrupt` and `dropouts`.
        """
        return _guarantee(cohort, self.neighbours, self.corrupt, self.dropouts)

    def circle(self, roster: tuple[int, ...], context: bytes) -> Circle:
        """The public graph of an attempt; its random order follows from `context`."""
        return _circle(roster, context, self.guarantee(len(roster)))

    def client(self, plan: RunPlan, client: int) -> MasksClient:
        return MasksClient(self, plan, client)

    def server(self, plan: RunPlan, step: Step) -> MasksServer:
        return MasksServer(self, plan, step)


@lru_cache(maxsize=64)
def _guarantee(cohort: int, degree: int | None, corrupt: float, dropouts: float) -> Neighbourhood:
    if degree is None:
        return choose_neighbourhood(cohort, corrupt, dropouts)
    return neighbourhood(cohort, min(degree + degree % 2, cohort - 1), corrupt, dropouts)


@lru_cache(maxsize=4)
def _circle(roster: tuple[int, ...], context: bytes, chosen: Neighbourhood) -> Circle:
    """One object an attempt and process: the graph is public, and the same for all."""
    return Circle(neighbours(roster, chosen.degree, context), chosen.threshold)
