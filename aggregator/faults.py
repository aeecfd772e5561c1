"""Faults as an event of the model: who vanishes, crashes or comes too late in a round, drawn from the run's seed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Self

import numpy as np

from aggregator.clock import DRAWS, Distribution, close
from fedlearn.errors import BadInput
from fedlearn.protocol import Lost
from fedlearn.secure.base import Protection
from fedlearn.seeding import uniforms
from fedlearn.spec import Key, read_settings, read_value
from fedlearn.wording import many


@dataclass(frozen=True)
class Fates:
    """The fates of a round's cohort.

    silent   clients whose update never counts, and why: nobody needs to train them
    crashed  clients whose update arrives, and that are gone after it
    seconds  simulated, until the round closes; None where no time is simulated
    """

    silent: dict[int, Lost] = field(default_factory=dict)
    crashed: dict[int, Lost] = field(default_factory=dict)
    seconds: float | None = None

    def gone(self, phase: str, protection: Protection) -> dict[int, Lost]:
        """The clients that do not answer in a phase: crashed clients come as far as training, silent ones up to it."""
        if phase == protection.training_phase:
            return self.silent
        trained = protection.phases.index(phase) > protection.phases.index(protection.training_phase)
        return self.crashed if trained else {}


NO_FAULTS = Fates()
ONE = Distribution("constant", (1.0,))
MOST = 100  # times a cohort, over-selected


@dataclass(frozen=True)
class Faults:
    """How often clients fail, and how long the aggregator waits for them. Nobody sleeps: all time is simulated.

    dropout      probability that a client vanishes when it is asked to train: it answers nothing from then on. Under
                 masks it has shared its secrets by then, so that its neighbours take its masks off the sum.
    crash        probability that a client vanishes right after its update: that counts, under every protection, and
                 what a later phase wants of the client never comes (masks: its vote and the shares it holds).
    straggle     probability that a client's time is longer by a factor drawn from `slower`
    slower       by what factor
    time         simulated seconds from request to update of a client that does not straggle
    deadline     simulated seconds after which the round is closed; who comes later is lost
    over_select  so many more clients are sampled, as a fraction of the cohort; the round is closed once as many
                 updates as the cohort are in, and the other clients are lost as not needed

    A round closes when its cohort is complete, else at the deadline; without one, with the last update that comes.
    What happens to a client in a round follows from (seed, round, client), and from the others' times where a round
    closes before all are in: not from pool, workers or order.
    """

    dropout: float = 0.0
    crash: float = 0.0
    straggle: float = 0.0
    slower: Distribution = ONE
    time: Distribution = ONE
    deadline: float = math.inf
    over_select: float = 0.0

    def __post_init__(self) -> None:
        for name in ("dropout", "crash", "straggle"):
            if not 0 <= getattr(self, name) <= 1:
                raise BadInput(f"faults: {name} is {getattr(self, name)}, a probability from 0 to 1 is needed")
        if not self.deadline > 0:
            raise BadInput(f"faults: deadline is {self.deadline}, it must be more than 0 simulated seconds")
        if not 0 <= self.over_select <= MOST:
            raise BadInput(f"faults: over_select is {self.over_select}, a fraction from 0 to {MOST} is needed")

    @classmethod
    def parse(cls, spec: str) -> Self | None:
        """From `dropout=0.1,straggle=0.2:lognormal(1.0,0.5),crash=0.01,deadline=5`; None for "none".

        Raises `BadInput` for an unknown or repeated key, a value that is no number or out of range, a distribution
        that cannot be drawn from.
        """
        if spec.strip() == "none":
            return None
        values = read_settings(spec, KEYS, "faults", positional=False)
        if "straggle" in values:
            values |= values["straggle"]._asdict()
        return cls(**values)

    def sampled(self, cohort: int, population: float = math.inf) -> int:
        """Clients to sample so that a cohort of so many comes together; `BadInput` where there are not as many."""
        size = math.ceil(round(cohort * (1 + self.over_select), 9))  # 1.1 times 10 are 11
        if size > population:
            raise BadInput(
                f"over_select={self.over_select} of a cohort of {cohort} samples {many(size, 'client')}, there "
                f"are {population}: lower it, or the cohort"
            )
        return size

    def draw(
        self, seed: int, round: int, clients: Sequence[int], wanted: int, seconds: np.ndarray | None = None
    ) -> Fates:
        """Draw what happens to these clients in a round that is complete with `wanted` updates.

        seconds: from request to update of each, (K,), for who knows better than `time`.
        """
        u = uniforms(seed, "faults", round, clients, 3 + 2 * DRAWS)
        gone, crashes, straggles = (u[:, :3] < (self.dropout, self.crash, self.straggle)).T
        if seconds is None:
            seconds = self.time.at(u[:, 3 : 3 + DRAWS])
        seconds = np.where(straggles, seconds * self.slower.at(u[:, 3 + DRAWS :]), seconds)
        closing = close(np.where(gone, math.inf, seconds), wanted, self.deadline)
        lost = {}
        for row in np.flatnonzero(~closing.counted).tolist():
            if gone[row]:
                reason = "dropped out"
            elif seconds[row] > self.deadline:
                reason = f"late: {seconds[row]:.2f} s, deadline {self.deadline:g} s"
            else:
                reason = f"not needed: {many(wanted, 'other was', 'others were')} quicker"
            lost[clients[row]] = reason
        rows = np.flatnonzero(closing.counted & crashes).tolist()
        crashed = {clients[row]: "crashed after uploading" for row in rows}
        return Fates(_losses(lost), _losses(crashed), closing.seconds)


def _losses(reasons: dict[int, str]) -> dict[int, Lost]:
    return {client: Lost(client, reason) for client, reason in reasons.items()}


class Straggle(NamedTuple):
    """How often clients straggle, and by what factor: `0.2:lognormal(1.0,0.5)`."""

    straggle: float
    slower: Distribution

    @classmethod
    def parse(cls, text: str) -> Self:
        often, colon, slower = text.partition(":")
        if not colon:
            raise BadInput(f"faults: straggle={text} does not say by what factor, as {EXAMPLE}")
        return cls(read_value(often, Key(float), "faults: straggle", EXAMPLE), Distribution.parse(slower))


EXAMPLE = "straggle=0.2:lognormal(1.0,0.5)"
KEYS = {
    "dropout": Key(float, example="0.1"),
    "crash": Key(float, example="0.01"),
    "straggle": Key(Straggle, example="0.2:lognormal(1.0,0.5)"),
    "time": Key(Distribution, example="exponential(2)"),
    "deadline": Key(float, example="5"),
    "over_select": Key(float, example="0.3"),
}
