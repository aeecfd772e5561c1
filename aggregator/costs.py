"""The costs of a round: bytes and seconds that were measured, over links and devices that are simulated.

Time is that of `aggregator.clock`: a client's runs from the request to its last message, and stragglers, deadlines and
over-selection are those of `aggregator.faults`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Self

import numpy as np

from aggregator.clock import DRAWS, Distribution
from aggregator.faults import Faults
from aggregator.named import NETWORKS as NETWORKS
from fedlearn.errors import BadInput
from fedlearn.seeding import uniforms
from fedlearn.spec import Key, read_settings

RATES = {"kbit": 1e3, "Mbit": 1e6, "Gbit": 1e9}
TIMES = {"ms": 1e-3, "s": 1.0}


@dataclass(frozen=True)
class Cost:
    """One round as it was measured.

    phases   exchanges of messages with each client
    up, down: bytes that one client sends and receives
    openers  bytes between the aggregator and the key holder or trustees, all of them together
    client   seconds that one client computes, here
    adding, opening: seconds of the aggregator, and of those who open the sum
    """

    phases: int
    up: float
    down: float
    openers: float
    client: float
    adding: float
    opening: float


@dataclass(frozen=True)
class Network:
    """Links and devices of the clients; aggregator and openers are as fast as here, and their own links no bottleneck.

    up, down: bits a second of a client's link. latency: seconds one way, half of what ping shows.
    slower: how many times longer than here a client computes.
    """

    up: float
    down: float
    latency: float
    slower: Distribution

    @classmethod
    def parse(cls, spec: str) -> Self:
        """A name of `NETWORKS`, or `up=10Mbit,down=50Mbit,latency=40ms,slower=lognormal(0.5,0.5)`, or both.

        What is not said is as at `home`, or as in the network that is named first. Raises `BadInput` for an unknown
        name or key, and for a value without its unit.
        """
        first, comma, rest = (part.strip() for part in spec.partition(","))
        if "=" in first:
            first, comma, rest = "home", ",", spec
        known: Self = NETWORKS.load(first)
        return replace(known, **read_settings(rest if comma else None, KEYS, "network", positional=False))

    def seconds(self, cost: Cost, slower: np.ndarray) -> np.ndarray:
        """How long clients take for a round, (K,). slower: how many times longer than here each computes, (K,)."""
        travel = 2 * cost.phases * self.latency + 8 * (cost.up / self.up + cost.down / self.down)
        return travel + cost.client * slower


def _quantity(units: dict[str, float]) -> Callable[[str], float]:
    """Reads a number above 0 with its unit."""

    def read(text: str) -> float:
        found = re.fullmatch(r"(\d+\.?\d*)\s*(\w+)", text)
        if not found or found[2] not in units or not float(found[1]):
            raise BadInput(f"{text!r} is no such quantity: give a number above 0 with its unit, {' or '.join(units)}")
        return float(found[1]) * units[found[2]]

    return read


KEYS = {
    "up": Key(Annotated[float, _quantity(RATES)], example="10Mbit"),
    "down": Key(Annotated[float, _quantity(RATES)], example="50Mbit"),
    "latency": Key(Annotated[float, _quantity(TIMES)], example="40ms"),
    "slower": Key(Distribution, example="lognormal(0.5,0.5)"),
}

HOME = Network(20e6, 100e6, 0.010, Distribution("lognormal", (0.3, 0.4)))
MOBILE = Network(10e6, 30e6, 0.025, Distribution("lognormal", (1.0, 0.5)))
DATA_CENTRE = Network(10e9, 10e9, 0.0005, Distribution("lognormal", (0.0, 0.05)))


@dataclass(frozen=True, eq=False)
class Simulated:
    """Many rounds of simulated time.

    client_seconds  of each client in each round (R, K), without straggling
    round_seconds   of each round (R,)
    counted         the mean number of updates that a round is closed with
    """

    client_seconds: np.ndarray
    round_seconds: np.ndarray
    counted: float


def simulate(cost: Cost, network: Network, faults: Faults, cohort: int, rounds: int, seed: int) -> Simulated:
    """`rounds` rounds that are complete with the updates of `cohort` clients.

    Of several phases each waits for the slowest client, which is the same in all of them: so a round takes as long as
    the slowest client that it waits for, and then the sum is opened.
    """
    sampled = range(faults.sampled(cohort))
    clients, ends = [], []
    counted = 0
    for round in range(1, rounds + 1):
        slower = network.slower.at(uniforms(seed, "scenario", round, sampled, DRAWS))
        seconds = network.seconds(cost, slower)
        fates = faults.draw(seed, round, sampled, cohort, seconds)
        clients.append(seconds)
        ends.append((fates.seconds or 0.0) + cost.adding + cost.opening)
        counted += len(sampled) - len(fates.silent)
    return Simulated(np.array(clients), np.array(ends), counted / rounds)
