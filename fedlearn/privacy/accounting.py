"""Privacy accounting: releases of noised sums go in, and the epsilon that all of them cost together comes out.

Adjacency, that is, which two federations nobody may tell apart:

zero-out      one client sends zeros instead of its update. Whether it took part, and how many did, is not hidden.
              For Poisson samples the arithmetic is that of adding or removing a client.
replace-one   one client's update is exchanged for another one. The sum may move by twice the clip.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from fedlearn.checked import members, takes_plain
from fedlearn.configured import real_number
from fedlearn.errors import PrivacyError
from fedlearn.privacy.limits import SMALLEST_DELTA, SMALLEST_NOISE, check_plain, privacy_errors
from fedlearn.wording import many

Adjacency = Literal["zero-out", "replace-one"]
Sampling = Literal["poisson", "fixed"]
_CALIBRATED = 1e-5  # relative error of a noise that was searched for, always to the side of more noise


@dataclass(frozen=True)
class Release:
    """`count` sums, each opened once with Gaussian noise.

    rate: the chance of a client to be in one, in (0, 1]; 1 claims no amplification. noise: its standard deviation
    divided by the clip. sampling: "poisson" where each client is in by a coin of its own, "fixed" where as many are
    drawn without replacement. The coins must be secret from whoever the epsilon is stated for.
    Raises `PrivacyError` for numbers out of range, and for fixed samples under zero-out, which nothing here bounds.
    """

    rate: float
    noise: float
    count: int = 1
    adjacency: Adjacency = "zero-out"
    sampling: Sampling = "poisson"

    def __post_init__(self) -> None:
        check_plain(self)
        if not 0 < self.rate <= 1:
            raise PrivacyError(f"the sampling rate is {self.rate:g}, it must be above 0 and at most 1")
        if not SMALLEST_NOISE <= self.noise < math.inf:
            raise PrivacyError(f"the noise is {self.noise:g}, it must be at least {SMALLEST_NOISE} and finite")
        if self.count < 1:
            raise PrivacyError(
                f"{many(self.count, 'release is', 'releases are')} to be accounted for, at least 1 is needed"
            )
        if self.sampling == "fixed" and self.adjacency == "zero-out" and self.rate < 1:
            raise PrivacyError(
                "samples of a fixed size are not amplified under zero-out: choose replace-one, or charge rate 1"
            )

    @property
    def relative_noise(self) -> float:
        """Noise divided by how far one client can move a sum: by the clip, or by twice the clip."""
        return self.noise / (2 if self.adjacency == "replace-one" else 1)


class Accountant(ABC):
    """One way to bound the privacy loss of several releases. Each accountant gives an upper bound."""

    @abstractmethod
    def bound(self, releases: Sequence[Release], delta: float) -> float:
        """An epsilon such that all releases together are (epsilon, delta) private; arguments are checked already."""

    @privacy_errors()
    @takes_plain
    def epsilon(self, releases: Sequence[Release], delta: float) -> float:
        """Same as `bound`, and 0 for no release.

        Raises `PrivacyError` for a delta outside of [1e-9, 1), for releases of different adjacency, or of a kind that
        this accountant cannot bound.
        """
        check_delta(delta)
        releases = members("releases", releases, Release)
        if len({release.adjacency for release in releases}) > 1:
            raise PrivacyError("releases under zero-out and replace-one have no common epsilon: choose one adjacency")
        return max(0.0, self.bound(releases, delta)) if releases else 0.0

    @privacy_errors()
    @takes_plain
    def noise(self, epsilon: float, delta: float, releases: Callable[[float], Sequence[Release]]) -> float:
        """The least noise z, to 5 digits and rounded up, for which `releases(z)` cost at most epsilon.

        Raises `PrivacyError` for an epsilon that is not above 0, or that no noise from 0.01 to 1e6 gives.
        """
        if epsilon <= 0:
            raise PrivacyError(f"epsilon is {epsilon:g}, it must be above 0: 0 would take endless noise")

        from scipy.optimize import brentq  # a quarter of a second, which runs without noise do not wait for

        def excess(log_noise: float) -> float:
            found = self.epsilon(releases(math.exp(log_noise)), delta)
            return math.log(max(found, 1e-12) / epsilon)

        low, high = -1.0, 0.0
        while excess(high) > 0:
            low, high = high, high + 1
            if high > math.log(1e6):
                raise PrivacyError(f"epsilon {epsilon:g} takes noise above 1e6: raise epsilon, or release less")
        while excess(low) <= 0:
            low, high = low - 1, low
            if low < math.log(0.01):
                raise PrivacyError(f"epsilon {epsilon:g} is reached with noise below 0.01: lower it, or delta")
        root = float(brentq(excess, low, high, xtol=_CALIBRATED / 4, rtol=1e-12))
        while excess(root) > 0:
            root += _CALIBRATED / 2
        return math.exp(root)


@privacy_errors()
@takes_plain
def check_delta(delta: float) -> None:
    """Raise `PrivacyError` for a delta outside of [1e-9, 1)."""
    if not SMALLEST_DELTA <= delta < 1:
        raise PrivacyError(f"delta is {delta:g}, it must be at least {SMALLEST_DELTA:g} and below 1")


@dataclass(frozen=True)
class AnalyticGaussian:
    """Exactly what Gaussian noise costs whose distributions lie mu standard deviations apart.

    Balle and Wang 2018, "Improving the Gaussian mechanism for differential privacy", theorem 5. Sums that are opened
    one after the other, each with the same client in it, cost what one does with mu^2 = sum of 1 / noise^2.
    """

    mu: float

    def __post_init__(self) -> None:
        if not (isinstance(self.mu, float) and self.mu == math.inf):
            object.__setattr__(self, "mu", real_number("mu", self.mu, least=0.0, usual="1 / noise"))

    @privacy_errors()
    @takes_plain
    def delta(self, epsilon: float) -> float:
        """The least delta for an epsilon."""
        if self.mu == 0:
            return 0.0
        from scipy.special import log_ndtr, ndtr  # as above, a tenth of a second

        a, b = self.mu / 2, epsilon / self.mu
        return float(ndtr(a - b) - math.exp(epsilon + log_ndtr(-a - b)))

    @privacy_errors()
    @takes_plain
    def epsilon(self, delta: float) -> float:
        """The least epsilon for a delta, to 1e-9; infinite where mu is."""
        check_delta(delta)
        if math.isinf(self.mu):
            return math.inf
        if self.delta(0.0) <= delta:
            return 0.0
        from scipy.optimize import brentq  # as above

        high = self.mu**2 / 2 + 7 * self.mu  # 7 standard deviations out: its delta is below all that are asked for
        return float(brentq(lambda e: self.delta(e) - delta, 0.0, high, xtol=1e-10, rtol=1e-14))
