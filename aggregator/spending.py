"""The cost of a run's privacy: terms for its plan, secret coins, and a row in the ledger before each opening.

Amplification by sampling needs coins that are secret, of each client's own, and that no answer's time decides: so they
follow from a key in the run folder (mode 0600) and not from the seed. All other cohorts are charged as if everybody
knew them.
"""

from __future__ import annotations

import logging
import math
import secrets
from collections.abc import Collection
from contextlib import suppress
from dataclasses import is_dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np

from aggregator.cohorts import Cohorts
from aggregator.coins import coins_of_tests, read_coins
from aggregator.history import History, RoundRecord
from fedlearn.crypto.keyfiles import SEED_BYTES, write_secret
from fedlearn.errors import PrivacyError, RoundVoid
from fedlearn.privacy import Privacy, Terms
from fedlearn.privacy.adaptive import next_clip
from fedlearn.privacy.banded import MOST_BANDS
from fedlearn.privacy.ledger import Ledger, Row, epsilon, epsilon_aggregator, most_sums
from fedlearn.privacy.sumnoise import SumNoise
from fedlearn.protocol import ClientId, Step
from fedlearn.sampling import round_seed
from fedlearn.secure.base import Protection
from fedlearn.secure.noised import CLIP
from fedlearn.strategies.base import Strategy
from fedlearn.wording import many

log = logging.getLogger(__name__)
LEDGER, COINS, NOISE = "privacy.ledger", "cohorts.key", "noise.key"  # files in the run folder
NEXT_CLIP = "privacy.clip"  # an array in checkpoints: the clip of the next round, where it adapts
COUNTS = "privacy.opened"  # an array in checkpoints: in how many opened sums each client was
NARROW_BITS = 16  # of lanes, where so few lose little
COARSE = 3e-4  # step of the accountant's grid until the last round: three times quicker, and 0.0002 above in 10,000
ENOUGH_STEPS = 50  # times the root of the number of weights: rounding then shortens an update by 1% at most


def spendable(asked: Privacy, cohorts: Cohorts) -> float:
    """The part of delta left for the noise; raises `PrivacyError` where void rounds take more than half of it."""
    delta, told = asked.delta_for(cohorts.population), cohorts.told(cohorts.rounds)
    if told > delta / 2:
        raise PrivacyError(
            f"privacy delta is {delta:.3g}, and {told:.3g} of it would go to rounds that are void for lack of "
            f"one client: lower min_cohort, {cohorts.least} of {cohorts.size} expected, or raise the cohort"
        )
    return delta - told


def terms_of(asked: Privacy, protection: Protection, cohorts: Cohorts, seed: int, length: int = 0) -> Terms:
    """The terms that parties agree on. seed: of public cohorts. length: of a vector, where clients take turns.

    Raises `PrivacyError` for what protects nobody.
    """
    where = asked.where_under(protection.name, protection.adds_noise)
    delta, bands = spendable(asked, cohorts), 1
    if where != "clients" and asked.unit == "client":
        bands = min(cohorts.sampler.apart(cohorts.population, cohorts.sampled), MOST_BANDS)

    def scaled(noise: float) -> Terms:
        assert asked.clip is not None
        terms = Terms.fitting(
            protection.codec.limit, where=where, noise=noise, clip=asked.clip, expected=cohorts.expected,
            min_cohort=cohorts.least, honest=asked.honest, seed=asked.seed, adaptive=asked.adaptive or 0.0,
            unit=asked.unit, rate=asked.example_rate, most=cohorts.most_examples if asked.unit == "example" else 1,
        )  # fmt: skip
        return terms if bands == 1 else replace(terms, bands=bands, length=length + 1)  # and a lane where it adapts

    if asked.noise is not None:
        return scaled(asked.noise)
    assert asked.epsilon is not None
    from fedlearn.privacy import Pld  # runs without noise do not wait for its Fourier transforms

    count = cohorts.rounds if cohorts.amplified or asked.unit == "example" else cohorts.most(seed)
    wanted = Pld().noise(asked.epsilon, delta, lambda noise: cohorts.releases(noise, count))
    terms = scaled(wanted)
    while terms.charged < wanted:
        terms = scaled(terms.noise * wanted / terms.charged * (1 + 1e-9))
    return terms


def narrowed(asked: Privacy, protection: Protection, cohorts: Cohorts, seed: int, weights: int) -> Protection:
    """The same protection with lanes of 16 bits, where rounding then shortens an update by no more than 1%."""
    if not is_dataclass(protection):
        return protection
    narrow: Protection = replace(protection, codec=replace(protection.codec, bits=NARROW_BITS))
    with suppress(PrivacyError):
        if terms_of(asked, narrow, cohorts, seed, weights).steps >= ENOUGH_STEPS * math.sqrt(weights):
            return narrow
    return protection


def check_strategy(strategy: Strategy, parameters: int, unit: str) -> None:
    """Raise `PrivacyError` for an algorithm whose clients send or keep more than one vector that can be clipped.

    Where single examples are protected, also for one that steps on an example more than once.
    """
    epochs = strategy.arguments().get("epochs", 1)
    if unit == "example" and epochs != 1:
        raise PrivacyError(
            f"privacy unit=example takes one step on each example, and strategy {strategy.name} has epochs={epochs}: "
            "give epochs=1"
        )
    beside = [*(strategy.outputs(parameters).keys() - {"delta"}), *strategy.keeps(parameters)]
    if beside:
        raise PrivacyError(
            f"privacy under strategy {strategy.name}: its clients send or keep {', '.join(sorted(beside))} beside "
            "their delta, which no clip bounds; take fedavg, fedavgm, fedadam, fedyogi, fedadagrad or fedprox"
        )


class Spending:
    """The ledger of a run, in how many opened sums each client was, and both epsilons. Made by `of`."""

    def __init__(self, asked: Privacy, terms: Terms, cohorts: Cohorts, protection: Protection):
        self.terms = terms
        self.cohorts = cohorts
        self.protection = protection
        self.delta = asked.delta_for(cohorts.population)
        self.clip = float(np.float32(terms.clip))  # of the next round, as it is sent
        self._exposed = protection.fold_in_worker  # the aggregator reads single updates
        self._counts = np.zeros(cohorts.population, np.int32)
        self._charged: tuple[int, int] | None = None
        self._ledger = Ledger.unkept()
        self._noise = SumNoise()
        self._coins = coins_of_tests(terms.seed) if terms.seed is not None else secrets.token_bytes(SEED_BYTES)
        if terms.seed is not None:
            log.warning("INSECURE: noise and cohorts follow from a seed, anybody can compute them: for tests only")

    @classmethod
    def of(cls, asked: Privacy, protection: Protection, fixed: bool, length: int, cohorts: Cohorts, seed: int) -> Self:
        """Begin the ledger of a run with this demand; raises `PrivacyError` where that protects nobody.

        fixed: the protection's lanes are as the user wants them. length: of a client's vector. seed: of public cohorts.
        """
        if not fixed:
            protection = narrowed(asked, protection, cohorts, seed, length)
        terms = terms_of(asked, protection, cohorts, seed, length)
        if terms.steps < ENOUGH_STEPS * math.sqrt(length):
            log.warning(
                "the clip is %s for %s: rounding may take most of an update; raise bits in the codec%s",
                many(terms.steps, "step"), many(length, "number"),
                ", or min_cohort" if terms.where == "clients" else "",
            )  # fmt: skip
        return cls(asked, terms, cohorts, protection)

    @property
    def coins(self) -> bytes | None:
        """The key of secret cohorts, for who may know; None where cohorts are public."""
        return self._coins if self.secret else None

    @property
    def secret(self) -> bool:
        """True if cohorts follow from secret coins."""
        return self.cohorts.amplified

    def open(self, folder: Path, resume: bool) -> None:
        """Keep ledger and coins in a run folder, or go on with those in it; `LedgerError` where one is missing."""
        path, coins = folder / LEDGER, folder / COINS
        self._noise.keep(folder / NOISE, fresh=not resume)
        if not resume:
            if self.secret and self.terms.seed is None:
                write_secret(coins, self._coins)
            self._ledger = Ledger.create(path)
            return
        self._ledger = Ledger.load(path)
        noise = self.terms.charged
        for row in self._ledger.rows:
            if not math.isclose(row.noise, noise, rel_tol=1e-9):
                raise PrivacyError(
                    f"the sums of {folder} so far had noise {row.noise:g}, these would have {noise:g}: an epsilon was "
                    "shared among as many rounds as were asked for then; go on with as many"
                )
        if self.secret and self.terms.seed is None:
            self._coins = read_coins(coins)

    def recall(self, state: dict[str, np.ndarray]) -> None:
        """Take what `state` gave out of a checkpoint's arrays. Raises `LedgerError` for a ledger that lost rows."""
        self.clip = float(state.pop(NEXT_CLIP, [self.clip])[0])
        counts = state.pop(COUNTS, None)
        if counts is not None:
            self._counts[:] = counts[:-1]
            self._ledger.check_length(int(counts[-1]))

    def state(self) -> dict[str, np.ndarray]:
        """For a checkpoint: each client's count, and at the end the number of rows; the next clip, where it adapts."""
        counts = {COUNTS: np.append(self._counts, np.int32(len(self._ledger.rows)))}
        return counts | ({NEXT_CLIP: np.array([self.clip])} if self.terms.adaptive else {})

    @property
    def beside(self) -> dict[str, np.ndarray]:
        """Sent to clients with the weights: the round's clip, where it adapts."""
        return {CLIP: np.array([self.clip], np.float32)} if self.terms.adaptive else {}

    def cohort(self, seed: int, round: int, population: int, size: int) -> list[ClientId]:
        """In the place of `Sampler.sample`: by secret coins where these are claimed, else by the public seed."""
        coins = round_seed(self._coins, round) if self.secret else seed
        return self.cohorts.sampler.sample(coins, round, population, size)

    def charge(self, session: bytes, step: Step, clients: Collection[ClientId]) -> None:
        """The sum of these clients is about to be opened; returns when that is on the disk. Once an attempt.

        Raises `RoundVoid` for a second sum of a round whose noise is correlated with others'.
        """
        if self._charged == (step.round, step.attempt):
            return
        if self.terms.bands > 1 and any(row.round == step.round for row in self._ledger.rows):
            raise RoundVoid("its sum may have been opened before, and its noise must not be seen with another sum")
        self.counted(clients)
        self.enter_row(session, step)
        self._charged = (step.round, step.attempt)

    def enter_row(self, session: bytes, step: Step) -> None:
        """Have the ledger say that a sum of this round is about to be opened; returns when that is on the disk."""
        count = max(1, int(self._counts.max()))
        row = Row(session.hex(), step.round, step.attempt, self.cohorts.rate, self.terms.charged, count)
        self._ledger.charge(row)

    def counted(self, clients: Collection[ClientId]) -> None:
        """One more opened sum has these clients in it."""
        self._counts[list(clients)] += 1

    def released(self, total: np.ndarray, round: int, group: int = 0) -> np.ndarray:
        """An opened sum as it may be used: with noise, where that is for the aggregator to add."""
        return self._noise.released(self.terms, total, round, group)

    def epsilons(self, rounds: int) -> tuple[float, float]:
        """After so many rounds: for who sees the models, and no coins that are secret; and for the aggregator."""
        from fedlearn.privacy import Pld  # as in `terms_of`

        rows, known = self._ledger.rows, epsilon_aggregator(self._ledger.rows, self.delta)
        accountant = Pld() if rounds == self.cohorts.rounds else Pld(COARSE)
        if self.terms.unit == "example":  # by coins of the clients' own, which the aggregator does not know either
            known = epsilon(rows, self.delta, accountant)
        models = epsilon(rows, self.delta - self.cohorts.told(rounds), accountant) if self.secret else known
        return models, math.inf if self._exposed and rows else known

    def enter(self, record: RoundRecord, history: History) -> None:
        """Write into a round's record, and its run's history, what all rounds so far cost."""
        models, known = self.epsilons(record.round)
        record.epsilon, record.epsilon_aggregator, record.unit = models, known, self.terms.unit
        if self.terms.adaptive:
            self._adapt(record)
        history.privacy = {
            "unit": self.terms.unit, "adjacency": "zero-out", "epsilon": models,
            "epsilon_aggregator": known if math.isfinite(known) else "infinite",
            "delta": self.delta, "noise": self.terms.noise, "clip": self.terms.clip, "where": self.terms.where,
            "rate": self.cohorts.rate, "sums": len(self._ledger.rows), "most_sums": most_sums(self._ledger.rows),
            "insecure": self.terms.seed is not None,
            **({"bands": self.terms.bands} if self.terms.bands > 1 else {}),
            **({"groups": self.cohorts.groups} if self.cohorts.groups > 1 else {}),
            **({"adaptive": self.terms.adaptive, "next_clip": self.clip} if self.terms.adaptive else {}),
        }  # fmt: skip

    def _adapt(self, record: RoundRecord) -> None:
        """Have the clip follow what a round's sum says; a void round leaves it as it is."""
        record.clip = self.clip
        if record.below is not None:
            self.clip = next_clip(self.clip, record.below, self.terms.adaptive)
        record.next_clip = self.clip
