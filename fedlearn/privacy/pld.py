"""Privacy loss distributions: what each release says, as a distribution of log-likelihood ratios that adds up.

A pair of distributions P, Q is a release seen from two adjacent federations; its loss is ln(P / Q) at a draw of P. The
loss is put on a grid by connecting the dots: between grid points, delta as a function of e^epsilon is replaced by its
chord, which lies above it, so that every epsilon is an upper bound (Doroshenko, Ghazi, Kamath, Kumar, Manurangsi 2022,
"Connect the dots: tighter discrete approximations of privacy loss distributions"). Losses add up, so distributions are
convolved, by Fourier transforms (Koskela, Jalko, Honkela 2020). For Gaussians under Poisson samples the pairs below
dominate all others (Zhu, Dong, Wang 2022).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft
from scipy.special import log_ndtr, ndtr

from fedlearn.configured import real_number
from fedlearn.errors import PrivacyError
from fedlearn.privacy.accounting import Accountant, AnalyticGaussian, Release
from fedlearn.privacy.limits import privacy_errors

REACH = 10.0  # standard deviations beyond which a draw has probability 1e-23
TAIL = 1e-15  # probability that is left out of a composed distribution, and added to delta
MOST_POINTS = 1 << 22  # of a grid: a wider one gets larger steps
BLOCK = 16  # grid points that a bound takes as one
FEWEST_POINTS = 1 << 8  # a narrower one gets smaller steps, down to
SMALLEST_STEP = 1e-6  # under which rounding errors would count
_SLOPES = np.geomspace(0.01, 1000, 40)


@dataclass(frozen=True)
class Pld(Accountant):
    """Bounds epsilon by adding up privacy losses on a grid.

    step: of the grid. 1e-4 agrees with finer ones to 2e-5, over 10,000 rounds too; 3e-4 is three times
    quicker, and up to 2e-4 above.
    """

    step: float = 1e-4

    def __post_init__(self) -> None:
        with privacy_errors():
            object.__setattr__(self, "step", real_number("the step of the grid", self.step, usual="1e-4"))
        if not SMALLEST_STEP <= self.step <= 0.1:
            raise PrivacyError(f"the step of the grid is {self.step:g}, it must be from 1e-6 to 0.1")

    def bound(self, releases: Sequence[Release], delta: float) -> float:
        """Exact where no release is sampled."""
        if any(release.sampling == "fixed" and release.rate < 1 for release in releases):
            raise PrivacyError("the pld accountant has no bound for samples of a fixed size: use rdp, or charge rate 1")
        mu = math.sqrt(sum(r.count / r.relative_noise**2 for r in releases if r.rate == 1))
        sampled = [release for release in releases if release.rate < 1]
        if not sampled:
            return AnalyticGaussian(mu).epsilon(delta)
        whole = [Release(1.0, 1 / mu)] if mu else []
        if sampled[0].adjacency == "replace-one":
            return self._epsilon([*sampled, *whole], [Replaced, Removed], delta)
        return max(self._epsilon([*sampled, *whole], [kind, kind], delta) for kind in (Removed, Added))

    def _epsilon(self, releases: list[Release], kinds: list[type[Pair]], delta: float) -> float:
        """The epsilon of releases. kinds: the pair of a sampled release, and of one that is not."""
        counts: dict[Pair, int] = {}
        for release in releases:
            pair = kinds[release.rate == 1](release.rate, release.noise)
            counts[pair] = counts.get(pair, 0) + release.count
        widest = max(high - low for low, high in (pair.losses() for pair in counts))
        step = min(max(self.step, widest / MOST_POINTS), max(SMALLEST_STEP, widest / FEWEST_POINTS))
        while True:
            parts = [(Losses.of(pair, step), count) for pair, count in counts.items()]
            first, last = window(parts)
            if last - first < MOST_POINTS:
                return composed(parts, first, last).epsilon(delta)
            step *= 1.1 * (last - first) / MOST_POINTS


@dataclass(frozen=True)
class Pair(ABC):
    """Two distributions of one opened sum, divided by the clip. rate, noise: as in `Release`."""

    rate: float
    noise: float

    @abstractmethod
    def losses(self) -> tuple[float, float]:
        """The least and the largest loss, but for draws beyond `REACH`."""

    @abstractmethod
    def delta(self, epsilon: np.ndarray) -> np.ndarray:
        """sup over events E of P(E) - e^epsilon Q(E), float64 like epsilon."""

    def _loss(self, x: float) -> float:
        """ln of the density of (1 - q) N(0, z^2) + q N(1, z^2) over that of N(0, z^2)."""
        rest = math.log1p(-self.rate) if self.rate < 1 else -math.inf
        return float(np.logaddexp(rest, math.log(self.rate) + (2 * x - 1) / (2 * self.noise**2)))

    def _where(self, loss: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The points at which `_loss` has a value (-inf: nowhere, as all are larger), and ln(e^loss - (1 - q))."""
        rest = math.log1p(-self.rate) if self.rate < 1 else -math.inf
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            excess = np.where(loss > rest, loss + np.log(-np.expm1(np.minimum(rest - loss, 0))), -np.inf)
        return self.noise**2 * (excess - math.log(self.rate)) + 0.5, excess


class Removed(Pair):
    """P: with the client, by a coin, (1 - q) N(0, z^2) + q N(1, z^2). Q: without it, N(0, z^2)."""

    def losses(self) -> tuple[float, float]:
        return self._loss(-REACH * self.noise), self._loss(1 + REACH * self.noise)

    def delta(self, epsilon: np.ndarray) -> np.ndarray:
        x, excess = self._where(epsilon)
        inside = self.rate * ndtr((1 - x) / self.noise) - np.exp(excess + log_ndtr(-x / self.noise))
        found: np.ndarray = np.where(np.isneginf(x), -np.expm1(np.minimum(epsilon, 0)), inside)
        return found


class Added(Pair):
    """The same the other way round."""

    def losses(self) -> tuple[float, float]:
        return -self._loss(REACH * self.noise), -self._loss(-REACH * self.noise)

    def delta(self, epsilon: np.ndarray) -> np.ndarray:
        x, excess = self._where(-epsilon)
        # P(E) - e^epsilon Q(E) = e^epsilon ((e^-epsilon - (1 - q)) P(E) - q N(1, z^2)(E)), where E is all below x
        first = np.exp(epsilon + excess + log_ndtr(x / self.noise))
        second = self.rate * np.exp(epsilon + log_ndtr((x - 1) / self.noise))
        found: np.ndarray = np.where(np.isneginf(x), 0.0, first - second)
        return found


class Replaced(Pair):
    """P: (1 - q) N(0, z^2) + q N(1, z^2). Q: the opposite update, (1 - q) N(0, z^2) + q N(-1, z^2)."""

    def losses(self) -> tuple[float, float]:
        x = 1 + REACH * self.noise
        largest = self._loss(x) - self._loss(-x)
        return -largest, largest

    def delta(self, epsilon: np.ndarray) -> np.ndarray:
        q, z = self.rate, self.noise
        # P / Q = e^epsilon is a quadratic equation in e^(x / z^2); its root is x = z^2 (epsilon / 2 + asinh(s)), with
        # s = (1 - q) sinh(epsilon / 2) / (q e^(-1 / 2z^2)), here by its logarithm.
        half = np.abs(epsilon) / 2
        with np.errstate(divide="ignore"):
            log_s = half + np.log(-np.expm1(-2 * half) / 2) + math.log1p(-q) - math.log(q) + 1 / (2 * z * z)
        turned = np.where(log_s < 20, np.arcsinh(np.exp(np.minimum(log_s, 20))), log_s + math.log(2))
        x = z * z * (epsilon / 2 + np.sign(epsilon) * turned)
        p = (1 - q) * ndtr(-x / z) + q * ndtr((1 - x) / z)
        log_q = np.logaddexp(math.log1p(-q) + log_ndtr(-x / z), math.log(q) + log_ndtr((-1 - x) / z))
        found: np.ndarray = p - np.exp(epsilon + log_q)
        return found


@dataclass(frozen=True, eq=False)
class Losses:
    """A distribution of losses on a grid: `masses[i]` at (first + i) step, `infinite` beyond all."""

    masses: np.ndarray
    first: int
    infinite: float
    step: float

    @classmethod
    def of(cls, pair: Pair, step: float) -> Losses:
        """By connecting the dots."""
        low, high = pair.losses()
        first, last = math.floor(low / step) - 1, math.ceil(high / step) + 1
        delta = pair.delta(step * np.arange(first, last + 1))
        falls = np.append(delta[:-1] - delta[1:], 0.0)
        masses = np.maximum(0.0, (math.exp(step) * np.append(0.0, falls[:-1]) - falls) / math.expm1(step))
        masses[0] = max(0.0, 1 - masses[1:].sum() - delta[-1])  # all that lies below the grid
        return cls(masses, first, float(delta[-1]), step)

    def log_moment(self, slopes: np.ndarray) -> np.ndarray:
        """A bound on ln E[e^{slope loss}] of the finite losses, for slopes of one sign: a block counts as its worst."""
        blocks = np.append(self.masses, np.zeros(-len(self.masses) % BLOCK)).reshape(-1, BLOCK).sum(axis=1)
        places = np.flatnonzero(blocks)
        blocks = blocks[places]
        worst = BLOCK - 1 if slopes[0] > 0 else 0
        exponents = np.multiply.outer(slopes, self.step * (self.first + worst + BLOCK * places))
        ends = exponents.max(axis=1)
        found: np.ndarray = ends + np.log((np.exp(exponents - ends[:, None]) * blocks).sum(axis=1))
        return found

    def epsilon(self, delta: float) -> float:
        """The least epsilon >= 0 for a delta; infinite where there is none."""
        if self.infinite >= delta:
            return math.inf
        decay = np.exp(-self.step * np.arange(1, len(self.masses) + 1))

        def above(place: int) -> tuple[float, float]:
            """P(loss > epsilon) and E[e^{epsilon - loss}] over these losses, of the epsilon at a grid point."""
            masses = self.masses[place + 1 :]
            return self.infinite + float(masses.sum()), float(np.einsum("i,i", masses, decay[: len(masses)]))

        low, high = max(0, -self.first) - 1, len(self.masses) - 1  # no more than delta at `high`, maybe at `low`
        while high - low > 1:
            middle = (low + high) // 2
            mass, weight = above(middle)
            low, high = (middle, high) if mass - weight > delta else (low, middle)
        mass, weight = above(high - 1)
        if mass <= delta:  # any epsilon will do
            return 0.0
        # from the grid point before on, delta is linear in e^epsilon
        return (self.first + high - 1) * self.step + math.log((mass - delta) / weight)


def window(parts: Sequence[tuple[Losses, int]]) -> tuple[int, int]:
    """Grid points between which a sum of losses lies but for a probability of `TAIL`, by Chernoff's bound.

    parts: distributions on grids of one step, and how often each is drawn.
    """
    step = parts[0][0].step
    first = sum(count * part.first for part, count in parts)
    last = sum(count * (part.first + len(part.masses) - 1) for part, count in parts)
    up = sum(count * part.log_moment(_SLOPES) for part, count in parts)
    down = sum(count * part.log_moment(-_SLOPES) for part, count in parts)
    allowed = math.log(2 / TAIL)
    return (
        max(first, math.floor(-float(np.min((down + allowed) / _SLOPES)) / step)),
        min(last, math.ceil(float(np.min((up + allowed) / _SLOPES)) / step)),
    )


def composed(parts: Sequence[tuple[Losses, int]], first: int, last: int) -> Losses:
    """The sum of independent losses within a `window`; what lies outside counts as infinite."""
    if len(parts) == 1 and parts[0][1] == 1:
        return parts[0][0]
    size = next_fast_len(last - first + 1, real=True)
    product = np.ones(size // 2 + 1, complex)
    for part, count in parts:
        padded = np.zeros(size * -(-len(part.masses) // size))
        padded[: len(part.masses)] = part.masses
        product *= rfft(padded.reshape(-1, size).sum(axis=0)) ** count
    masses = np.maximum(0.0, irfft(product, size))
    start = sum(count * part.first for part, count in parts)
    finite = math.fsum(count * math.log1p(-part.infinite) for part, count in parts)
    return Losses(np.roll(masses, (start - first) % size), first, TAIL - math.expm1(finite), parts[0][0].step)
