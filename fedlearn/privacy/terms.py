"""The terms of noise that all parties of a run agree on: a part of the plan, from which each computes its share.

Who adds noise to a sum, and so who is left that sees one without:

clients     each its share, before its vector leaves it. Nobody sees an exact sum, if enough of them are honest.
opener      the key holder, to the sum that it opened, which it alone has seen.
aggregator  it has seen every update. The noise protects against who sees the models: central differential privacy.

A unit is what the clip is of, and what is protected: all that a client holds, or a single example. Examples are drawn
by each client with coins of its own; what they send is clipped one by one and added up before it leaves the client.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from hashlib import sha256
from typing import Any, ClassVar, Literal, Self

import numpy as np

from fedlearn.checked import real_array, takes_plain
from fedlearn.errors import BadInput, PrivacyError, ProtocolError
from fedlearn.privacy.adaptive import is_below, lane_steps, update_steps
from fedlearn.privacy.banded import CARRIED, MOST_BANDS, SWELL, BandedNoise, stretch, swell
from fedlearn.privacy.coins import drawn
from fedlearn.privacy.discrete import DiscreteGaussian
from fedlearn.privacy.limits import check_plain, privacy_errors
from fedlearn.privacy.mechanism import MOST_STEPS, NOISE_REACH, GaussianMechanism, quantised
from fedlearn.wording import many

Where = Literal["clients", "opener", "aggregator"]
MOST_LIMIT = 1 << 63
Unit = Literal["client", "example"]
FEWEST_FULL = 8  # examples of the clip's length that a client's lane holds, however few are expected


@dataclass(frozen=True)
class Terms:
    """Fields that are not here: as in `GaussianMechanism`, with expected units in the place of clients.

    where     who adds noise
    clip      C, the largest l2 norm of an update; where it adapts, that of the first round
    seed      of noise that anybody can compute again, for tests; None for secret noise
    adaptive  the quantile of norms that the clip follows (`fedlearn.privacy.adaptive`); 0 for a fixed clip
    unit      what is clipped
    rate      the chance of each example to be drawn; 1 for whole clients
    most      a client's lane holds so many examples of the clip's length, and its sum is cut off there; 1 for whole
              clients
    bands     noise is correlated over so many rounds, in at most one of which a client is (`fedlearn.privacy.banded`);
              1 for fresh noise in each round
    length    of a vector, at most, where noise is correlated

    Raises `PrivacyError` for values that protect nobody.
    """

    where: Where
    noise: float
    clip: float
    steps: int
    expected: float
    min_cohort: int = 1
    honest: float = 1.0
    seed: int | None = None
    adaptive: float = 0.0
    unit: Unit = "client"
    rate: float = 1.0
    most: int = 1
    bands: int = 1
    length: int = 0

    name: ClassVar[str] = "terms"

    def __post_init__(self) -> None:
        check_plain(self)
        if self.clip <= 0:
            raise PrivacyError(f"the clip is {self.clip:g}, it must be above 0 and finite")
        if self.where != "clients" and (self.min_cohort, self.honest) != (1, 1):
            raise PrivacyError(f"the {self.where} adds all the noise: no share of a cohort's can be counted on")
        if not 0 <= self.adaptive < 1:
            raise PrivacyError(f"the clip is to follow the quantile {self.adaptive:g}: take one above 0 and below 1")
        if (
            not 0 < self.rate <= 1
            or not 1 <= self.most <= MOST_LIMIT
            or (self.unit == "client" and (self.rate, self.most) != (1, 1))
        ):
            raise PrivacyError(
                f"a {self.unit} is drawn at the rate {self.rate:g}, {self.most} fill a lane: no such terms"
            )
        if not 1 <= self.bands <= MOST_BANDS or not 0 <= self.length <= MOST_LIMIT:
            raise PrivacyError(
                f"noise is to be correlated over {many(self.bands, 'round')}: it must be 1 to {MOST_BANDS}"
            )
        if self.bands > 1 and (self.where == "clients" or self.unit != "client" or not self.length):
            raise PrivacyError("correlated noise is for one party to add, and protects whole clients")
        self.mechanism  # noqa: B018  # refuses what it cannot do

    @classmethod
    @privacy_errors()
    @takes_plain
    def fitting(
        cls,
        limit: int,
        *,
        where: Where,
        noise: float,
        clip: float,
        expected: float,
        min_cohort: int,
        honest: float,
        seed: int | None,
        adaptive: float = 0.0,
        unit: Unit = "client",
        rate: float = 1.0,
        most: int = 1,
    ) -> Self:
        """The terms whose clip is scaled to as many steps as fit integers of at most `limit`."""
        more: dict[str, Any] = {"seed": seed, "adaptive": adaptive, "unit": unit, "rate": rate, "most": most}
        if not (
            0 < limit <= MOST_LIMIT and noise > 0 and honest > 0 and 0 < most <= limit and 0 < min_cohort <= MOST_STEPS
        ):
            raise PrivacyError(
                f"lanes of {limit!s:.20}, noise {noise:g}, honest {honest:g}, min_cohort {min_cohort!s:.20}, most "
                f"{most!s:.20}: all are above 0, and no lane over 63 bits"
            )
        if where != "clients":
            return cls(where, noise, clip, max(1, min(limit // most, MOST_STEPS)), expected, **more)
        share = noise / math.sqrt(honest * min_cohort)
        steps = min(math.floor(limit / (most + NOISE_REACH * share)), MOST_STEPS)
        while steps > 1 and most * steps + NOISE_REACH * math.ceil(share * steps + 1e-6) > limit:
            steps -= 1
        return cls(where, noise, clip, max(1, steps), expected, min_cohort, honest, **more)

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> Self | None:
        """Read what `to_dict` gave, None for nothing; raises `ProtocolError` for anything else."""
        if isinstance(data, Mapping) and not data:
            return None
        try:
            return cls(**{field.name: data[field.name] for field in fields(cls)})
        except (BadInput, KeyError, IndexError, TypeError, ValueError, OverflowError) as error:
            raise ProtocolError(f"no terms of privacy: {error}; all parties must run one version") from None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @cached_property
    def mechanism(self) -> GaussianMechanism:
        return GaussianMechanism(self.noise, self.steps, self.expected, self.min_cohort, self.honest)

    @property
    def lane_bound(self) -> int:
        """The largest integer in a client's lanes."""
        return self.full + (NOISE_REACH * self.mechanism.sigma if self.where == "clients" else 0)

    @property
    def full(self) -> int:
        """The largest integer in a client's lanes before noise."""
        return self.most * self.steps

    @property
    def sum_margin(self) -> int:
        """How far noise that one party adds carries a sum beyond what its vectors add up to."""
        if self.where == "clients":
            return 0
        reach = NOISE_REACH * self.mechanism.sigma
        return reach if self.bands == 1 else math.ceil(SWELL * reach) + CARRIED

    def deviation(self, round: int) -> float:
        """Standard deviation, in steps, of the noise of one party in a round."""
        return self.mechanism.sigma * (1.0 if self.bands == 1 else swell(self.bands, round))

    @property
    def charged(self) -> float:
        """The noise that an accountant is told for each sum that a client is in: of one Gaussian that costs as much."""
        charged = self.mechanism.charged
        return charged if self.bands == 1 else charged / stretch(self.bands, self.length, self.steps)

    @property
    def promised(self) -> float:
        """The same for people: the noise that was asked for, over what one turn of a client moves."""
        return self.noise if self.bands == 1 else self.noise / stretch(self.bands, self.length, self.steps)

    @privacy_errors()
    @takes_plain
    def correlated(self, key: bytes) -> BandedNoise:
        """The noise of all rounds that one party adds, where `bands` is above 1. key: that party's secret."""
        known = key if self.seed is None else sha256(f"fedlearn banded {self.seed}".encode()).digest()
        return BandedNoise(self.mechanism.sigma, self.bands, known)

    @cached_property
    def lane(self) -> int:
        """Steps of a client's answer, whether its norm is at most the clip; 0 where the clip is fixed."""
        return lane_steps(self.noise, self.steps, self.expected) if self.adaptive else 0

    @property
    def _for_updates(self) -> int:
        """Steps of an update that is as long as the clip."""
        return update_steps(self.steps, self.lane)

    @property
    def step(self) -> float:
        """The size of one integer of an update."""
        return self.clip / self._for_updates

    def quantise(self, updates: np.ndarray, coins: np.ndarray | None = None) -> np.ndarray:
        """A client's integers (n,), or (K, n), of a norm of at most `steps`; with its answer in a last lane, if any."""
        q = quantised(updates, self.clip, self._for_updates, coins)
        if not self.adaptive:
            return q
        answer = np.where(is_below(updates, self.clip), self.lane, -self.lane)
        return np.concatenate([q, answer[..., None]], axis=-1)

    def decode(self, total: np.ndarray) -> np.ndarray:
        """The mean update over the expected cohort, float64, of an opened sum without the lane of answers."""
        return real_array("sums", total) * (self.step / self.expected)

    @privacy_errors()
    @takes_plain
    def below(self, answers: int) -> float:
        """The share of clients whose norm is at most the clip, of the opened lane of answers."""
        if not self.lane or abs(answers) > MOST_LIMIT:
            raise PrivacyError(
                f"{answers!s:.20} answers: no sum of a lane has so many, and a fixed clip no lane of them"
            )
        return answers / (2 * self.lane * self.expected) + 0.5

    def clipped_at(self, clip: float) -> Self:
        """The same for a round with another clip: all integers stay as they are, and the noise too."""
        return replace(self, clip=clip)

    @privacy_errors()
    @takes_plain
    def drawn(self, examples: int, round: int, client: int) -> np.ndarray:
        """The numbers of a client's examples that are in a round, by coins of its own; int64 (n,)."""
        return drawn(examples, self.rate, None if self.seed is None else f"{self.seed} {round} {client}")

    @privacy_errors()
    @takes_plain
    def draw(self, length: int, round: int, whose: int | str) -> np.ndarray:
        """The noise of one party in a round, int64 (n,). whose: a client's number, or the name of a sum."""
        if self.seed is None:
            return self._secret.sample(length)
        key = sha256(f"fedlearn noise {self.seed} {round} {whose}".encode()).digest()
        return DiscreteGaussian(self.mechanism.sigma, key).sample(length)

    @cached_property
    def _secret(self) -> DiscreteGaussian:
        return DiscreteGaussian(self.mechanism.sigma)
