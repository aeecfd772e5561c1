"""The user's demand: how much noise, or how small an epsilon, and who is to add it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import ClassVar, Self

from fedlearn.checked import takes_plain
from fedlearn.errors import PrivacyError
from fedlearn.privacy.limits import SMALLEST_DELTA, SMALLEST_NOISE, check_plain, privacy_errors
from fedlearn.privacy.terms import Unit, Where
from fedlearn.spec import keys_of, read_settings

HONEST = 0.8  # as masks count on at most a fifth of a cohort that is corrupt
MOST_UNITS = 10**12
DELTA_POWER = -1.1  # of the number of clients, or examples, where no delta is asked for
EXAMPLE_RATE = 0.05


@dataclass(frozen=True)
class Privacy:
    """Differential privacy of a run: what each client holds is protected, all of it together, or each example.

    noise    standard deviation of a sum's noise, divided by the clip. Or:
    epsilon  what all rounds together may cost; the noise follows from it
    clip     the largest l2 norm of a client's update; longer ones are shortened to it
    delta    below 1 / clients; by default clients^-1.1. Of unit="example" the same of examples
    where    who adds noise: "clients", "opener" (the key holder) or "aggregator"; by default as the protection has it
    adaptive the quantile of norms that the clip is to follow from round to round, as 0.8 (default: it stays as it is)
    unit     "client" for all that a client holds, or "example" for each of its examples by itself
    rate     of unit="example": the chance of each example to be in a round (default: 0.05)
    examples of unit="example": how many all clients hold together, which is public; the mean is over rate times these
    honest   the share of a sum's clients whose noise is counted on, where clients add it
    seed     of noise and cohorts that anybody can compute again: for tests only, since it protects nobody

    Raises `PrivacyError` for values that protect nobody, each with what to give instead.
    """

    noise: float | None = None
    epsilon: float | None = None
    clip: float | None = None
    delta: float | None = None
    where: Where | None = None
    honest: float = HONEST
    seed: int | None = None
    adaptive: float | None = None
    unit: Unit = "client"
    rate: float | None = None
    examples: int | None = None

    name: ClassVar[str] = "privacy"

    def __post_init__(self) -> None:
        check_plain(self)
        if self.clip is None:
            raise PrivacyError("privacy has no clip: give clip=C, the largest l2 norm of an update, as in clip=0.3")
        if not self.clip > 0:
            raise PrivacyError(f"privacy clip is {self.clip:g}, it must be above 0: 0.3 is a usual start")
        if (self.noise is None) == (self.epsilon is None):
            raise PrivacyError("privacy takes noise=Z or epsilon=E, one of them, as in epsilon=3,clip=0.3")
        if self.noise is not None and self.noise < SMALLEST_NOISE:
            raise PrivacyError(f"privacy noise is {self.noise:g}, it must be at least {SMALLEST_NOISE}: 1 is usual")
        if self.epsilon is not None and not self.epsilon > 0:
            raise PrivacyError(f"privacy epsilon is {self.epsilon:g}, it would take endless noise: give 1 to 8")
        if self.delta is not None and not SMALLEST_DELTA <= self.delta < 1:
            raise PrivacyError(
                f"privacy delta is {self.delta:g}, it must be at least {SMALLEST_DELTA:g} and below 1 / clients"
            )
        if not 0 < self.honest <= 1:
            raise PrivacyError(f"privacy honest is {self.honest:g}, a share above 0 and up to 1 is needed, as 0.8")
        if self.adaptive is not None and not 0 < self.adaptive < 1:
            raise PrivacyError(
                f"privacy adaptive is {self.adaptive:g}, a quantile above 0 and below 1 is needed: 0.8 is usual"
            )
        self._check_unit()
        if self.seed is not None and self.seed < 0:
            raise PrivacyError(f"privacy seed is {self.seed}, it must be 0 or more")

    @classmethod
    @takes_plain
    def parse(cls, text: str, seed: int | None = None) -> Self:
        """From `noise=Z,clip=C` or `epsilon=E,clip=C`, with the other fields where they are said."""
        keys = {name: key for name, key in keys_of(cls).items() if name in _SAID}
        return cls(**read_settings(text, keys, "privacy", positional=False), seed=seed)

    def _check_unit(self) -> None:
        if self.unit == "client":
            for name in ("rate", "examples"):
                if getattr(self, name) is not None:
                    raise PrivacyError(
                        f"privacy {name} has no effect with unit=client: leave it out, or add unit=example"
                    )
            return
        if self.rate is not None and not 0 < self.rate <= 1:
            raise PrivacyError(f"privacy rate is {self.rate:g}, a chance above 0 and up to 1 is needed, as 0.05")
        if self.examples is not None and self.examples < 2:
            raise PrivacyError(f"privacy examples is {self.examples}, at least 2 are needed")

    @property
    def example_rate(self) -> float:
        """The chance of each example to be drawn by its client; 1 where whole clients are protected."""
        return 1.0 if self.unit == "client" else self.rate or EXAMPLE_RATE

    @privacy_errors()
    @takes_plain
    def units(self, clients: int) -> int:
        """How many units so many clients have; raises `PrivacyError` where nobody said how many examples they hold."""
        if self.unit == "client":
            return clients
        if self.examples is None:
            raise PrivacyError("privacy unit=example needs to know how many examples all clients hold: give examples=N")
        return self.examples

    @privacy_errors()
    @takes_plain
    def delta_for(self, clients: int) -> float:
        """Raises `PrivacyError` for one that does not protect among so many."""
        units, unit = self.units(clients), self.unit
        if not 2 <= units <= MOST_UNITS:
            raise PrivacyError(
                f"privacy of a {unit} among {units!s:.20}: it takes 2, one of which is protected, to 10^12"
            )
        delta = units**DELTA_POWER if self.delta is None else self.delta
        if delta >= 1 / units:
            raise PrivacyError(
                f"privacy delta is {delta:g} for {units} {unit}s: at 1 / {unit}s, publishing one {unit}'s data would "
                "pass for private; lower it"
            )
        return delta

    @privacy_errors()
    @takes_plain
    def where_under(self, protection: str, able: tuple[Where, ...]) -> Where:
        """The party that adds noise. able: who can under this protection, the usual one first; else `PrivacyError`."""
        where = self.where or able[0]
        if where not in able:
            raise PrivacyError(
                f"privacy where={where}: nobody but {' or '.join(able)} can add noise under protection {protection}"
            )
        return where


_SAID = [field.name for field in fields(Privacy) if field.name != "seed"]
