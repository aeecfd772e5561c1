"""Renyi differential privacy (Mironov 2017): divergences of every order add up over releases.

Poisson samples, zero-out: Mironov, Talwar, Zhang 2019, "Renyi differential privacy of the sampled Gaussian mechanism":
the moment E[(1 - q + q e^{(2x - 1) / 2z^2})^alpha] of x ~ N(0, z^2), by their sum for integer orders and by quadrature
for the others. Samples of a fixed size, replace-one: Wang, Balle, Kasiviswanathan 2019, "Subsampled Renyi differential
privacy and analytical moments accountant", theorem 9. To epsilon: Canonne, Kamath, Steinke 2020, proposition 12.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import gammaln, logsumexp

from fedlearn.errors import PrivacyError
from fedlearn.privacy.accounting import Accountant, Release

# As in Opacus and dp-accounting, so that figures can be compared; any subset is sound.
ORDERS = np.array([*(1 + i / 10 for i in range(1, 100)), *range(11, 64), 128, 256, 512, 1024], np.float64)
POINTS = 20_001  # of the quadrature, at whose ends the integrand lies below e^-70


@dataclass(frozen=True)
class Rdp(Accountant):
    """The least epsilon over all `ORDERS`."""

    def bound(self, releases: Sequence[Release], delta: float) -> float:
        total = sum(release.count * divergences(release) for release in releases)
        return float(np.min(total + np.log1p(-1 / ORDERS) - np.log(delta * ORDERS) / (ORDERS - 1)))


def divergences(release: Release) -> np.ndarray:
    """Renyi divergences of one sum, one for each of `ORDERS`, float64; raises `PrivacyError` for no known bound."""
    whole: np.ndarray = ORDERS / (2 * release.relative_noise**2)
    if release.rate == 1:
        return whole
    if release.sampling == "fixed":
        sampled = _fixed(release.rate, release.relative_noise)
    elif release.adjacency == "replace-one":
        raise PrivacyError("the rdp accountant has no bound for Poisson samples under replace-one: use pld")
    else:
        sampled = _poisson(release.rate, release.noise)
    return whole.clip(max=sampled)


@lru_cache(maxsize=64)
def _poisson(q: float, z: float) -> np.ndarray:
    found = np.empty_like(ORDERS)
    integer = np.mod(ORDERS, 1) == 0
    found[integer] = [_integer_moment(q, z, int(order)) for order in ORDERS[integer]]
    found[~integer] = _moments(q, z, ORDERS[~integer])
    found /= ORDERS - 1
    found.flags.writeable = False
    return found


def _integer_moment(q: float, z: float, order: int) -> float:
    """log sum_k C(order, k) q^k (1 - q)^(order - k) e^{k (k - 1) / 2z^2}."""
    k = np.arange(order + 1)
    terms = _log_choose(order, k) + k * math.log(q) + (order - k) * math.log1p(-q) + k * (k - 1) / (2 * z * z)
    return float(logsumexp(terms))


def _moments(q: float, z: float, orders: np.ndarray) -> np.ndarray:
    """Logarithms of moments by the trapezoidal rule, which is exact to rounding for a smooth integrand like this."""
    x = np.linspace(-12 * z, orders.max() + 12 * z, POINTS)
    loss = np.logaddexp(math.log1p(-q), math.log(q) + (2 * x - 1) / (2 * z * z))
    density = -0.5 * (x / z) ** 2 - math.log(z * math.sqrt(2 * math.pi)) + math.log(x[1] - x[0])
    return np.array([logsumexp(order * loss + density) for order in orders])


@lru_cache(maxsize=64)
def _fixed(q: float, z: float) -> np.ndarray:
    """Divergences of samples of a fixed size.

    z: relative to twice the clip. For orders that are no integers by convexity of the moments (corollary 10).
    """
    highest = int(ORDERS.max())
    # the term of j clients' worth of the theorem's sum, without its binomial coefficient
    j = np.arange(2, highest + 1)
    log_terms = j * math.log(q) + math.log(2) + (j - 1) * j / (2 * z * z)
    second = 1 / (z * z)  # the divergence of order 2
    log_terms[0] = 2 * math.log(q) + min(math.log(4) + second + math.log(-math.expm1(-second)), math.log(2) + second)

    def moment(order: int) -> float:
        terms = _log_choose(order, j[: order - 1]) + log_terms[: order - 1]
        return float(logsumexp(np.append(terms, 0.0)))

    below, above = np.floor(ORDERS).astype(int), np.ceil(ORDERS).astype(int)
    known = {order: moment(order) for order in {*below.tolist(), *above.tolist()}}
    low, high = np.array([known[o] for o in below.tolist()]), np.array([known[o] for o in above.tolist()])
    found: np.ndarray = (low + (ORDERS - below) * (high - low)) / (ORDERS - 1)
    found.flags.writeable = False
    return found


def _log_choose(n: int, k: np.ndarray) -> np.ndarray:
    found: np.ndarray = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    return found
