"""The Gaussian mechanism on integers: what a client does to its update, and what is read out of the opened sum.

A client clips its update to an l2 norm of C, scales it so that C becomes S steps, rounds it to integers, and checks on
the integers, exactly, that their norm is at most S: so one client moves the sum by at most S, and no rounding or float
is part of the proof. Exact integer noise (`fedlearn.privacy.discrete`) goes into the same sum. As vectors are divided
by C before they become integers, all integers stay the same where C is adapted from round to round.

Sums of discrete Gaussians: Kairouz, Liu, Steinke 2021, "The distributed discrete Gaussian mechanism for federated
learning with secure aggregation", whose extra divergence is below 1e-1700 for the sigma of at least 20 asked for here.
A discrete Gaussian of variance s^2 is a rounded continuous one of variance s^2 - 4 (Peikert 2010, "An efficient and
parallel Gaussian sampler for lattices", theorem 3.1), to a relative 1e-34: therefore `charged`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import ClassVar

import numpy as np

from fedlearn.checked import real_array, takes_plain
from fedlearn.errors import PrivacyError, ShapeError
from fedlearn.privacy.discrete import LARGEST_SIGMA, DiscreteGaussian
from fedlearn.privacy.limits import SMALLEST_NOISE, check_plain, privacy_errors
from fedlearn.wording import many

MOST_STEPS = 1 << 31  # a sum of squares stays an int64
SMALLEST_SIGMA = 20
NOISE_REACH = 12  # standard deviations; a value's noise lies beyond with a probability below 2^-102
_ROUNDINGS = 8  # tries to round before the rest is cut off


@dataclass(frozen=True)
class GaussianMechanism:
    """Both halves: `encode` on a client's side, `decode` on the sum's.

    noise        z: the standard deviation of the noise in a sum, divided by the clip
    steps        S: the integer that the clip is scaled to, from 1 to 2^31; about 50 sqrt(length) or more loses little
    expected     the cohort's expected size, which the sum is divided by; never the size that came about
    min_cohort   the fewest addends of a sum that is opened, each of which brings noise
    honest       the share of a sum's addends whose noise is counted on, in (0, 1]
    Where one party adds all the noise, min_cohort and honest are 1.

    Raises `PrivacyError` for values out of range, and for noise of under 20 steps a client.
    """

    noise: float
    steps: int
    expected: float
    min_cohort: int = 1
    honest: float = 1.0

    name: ClassVar[str] = "mechanism"

    def __post_init__(self) -> None:
        check_plain(self)
        if not SMALLEST_NOISE <= self.noise < math.inf:
            raise PrivacyError(f"the noise is {self.noise:g}, it must be at least {SMALLEST_NOISE} and finite")
        if not 1 <= self.steps <= MOST_STEPS:
            raise PrivacyError(f"the clip is scaled to {many(self.steps, 'step')}, it must be 1 to 2^31 of them")
        if not (math.isfinite(self.expected) and self.expected > 0):
            raise PrivacyError(f"the expected cohort is {self.expected:g}, it must be above 0 and finite")
        if self.min_cohort < 1:
            raise PrivacyError(f"a sum of {many(self.min_cohort, 'addend')} has no noise: at least 1 is needed")
        if self.min_cohort > MOST_STEPS:
            raise PrivacyError(f"a sum of {self.min_cohort!s:.20} addends is larger than any: at most 2^31")
        if not 0 < self.honest <= 1:
            raise PrivacyError(f"the honest share is {self.honest:g}, it must be above 0 and at most 1")
        if self.honest * self.min_cohort < 1:
            raise PrivacyError(
                f"an honest share of {self.honest:g} of {many(self.min_cohort, 'client')} is less than one whose noise "
                "is counted on: raise min_cohort"
            )
        if self.sigma < SMALLEST_SIGMA:
            raise PrivacyError(
                f"noise of {many(self.sigma, 'step')} a client, at least {SMALLEST_SIGMA} are needed for the noises' "
                "sum to be accounted for: scale to more steps (more bits in the codec), add more noise, or count on "
                "fewer clients"
            )
        if self.sigma > LARGEST_SIGMA:
            raise PrivacyError(f"noise of {many(self.sigma, 'step')} a client is more than 2^32: scale to fewer steps")

    @cached_property
    def sigma(self) -> int:
        """Standard deviation of one client's noise in steps: z S / sqrt(honest min_cohort), rounded up exactly."""
        variance = (Fraction(self.noise) * self.steps) ** 2 / (Fraction(self.honest) * self.min_cohort)
        return math.isqrt(math.ceil(variance) - 1) + 1

    @property
    def charged(self) -> float:
        """The noise that an accountant is told: of the continuous Gaussian that a sum with the least noise refines."""
        variance = Fraction(self.honest) * self.min_cohort * self.sigma**2
        return math.sqrt(variance - 4) / self.steps * (1 - 1e-12)

    @property
    def bound(self) -> int:
        """The largest integer that a client sends, but for a probability below 2^-102 a value: what lanes must hold."""
        return self.steps + NOISE_REACH * self.sigma

    @privacy_errors()
    @takes_plain
    def encode(self, updates: np.ndarray, clip: float, noise: DiscreteGaussian | None = None) -> np.ndarray:
        """The integers that leave a client: its quantised update and its noise, int64 of the same shape.

        updates: floats (n,), or (K, n) of K clients. noise: of `sigma` (default: fresh, from a secret key).
        """
        noise = DiscreteGaussian(self.sigma) if noise is None else noise
        if noise.sigma != self.sigma:
            raise PrivacyError(f"noise of sigma {noise.sigma} was given, this mechanism adds {self.sigma}")
        q = self.quantise(updates, clip)
        q += noise.sample(q.size).reshape(q.shape)
        return q

    @privacy_errors()
    @takes_plain
    def quantise(self, updates: np.ndarray, clip: float) -> np.ndarray:
        """Clipped and rounded to the nearest, as `quantised` has it, to a norm of at most S."""
        return quantised(updates, clip, self.steps)

    @privacy_errors()
    @takes_plain
    def decode(self, total: np.ndarray, clip: float) -> np.ndarray:
        """The mean update over the expected cohort, float64, of an opened sum of integers of any shape."""
        return _checked(clip, total) * (clip / self.steps / self.expected)


@privacy_errors()
@takes_plain
def quantised(updates: np.ndarray, clip: float, steps: int, coins: np.ndarray | None = None) -> np.ndarray:
    """Clipped to a norm of C, scaled so that C is S steps, rounded to the nearest: int64, of the same shape.

    The squares of each client's integers sum to at most S^2, exactly. updates: floats (n,), or (K, n) of K clients. A
    client whose update is not finite counts as one of zeros: a refusal would tell about its data. coins: uniform
    numbers in [0, 1) of the updates' shape, by which values are rounded down or up instead.
    """
    x = _checked(clip, updates)
    scaled = _scaled(np.atleast_2d(x), clip, steps)
    if coins is not None and np.shape(coins) != x.shape:
        raise ShapeError(f"coins of shape {np.shape(coins)} for updates of shape {x.shape}: give one for each value")
    chance = None if coins is None else np.atleast_2d(coins)
    q = _rounded(scaled, chance)
    for tries in range(1_000):
        squares = np.einsum("kn,kn->k", q, q)
        long = np.flatnonzero(squares > steps**2)
        if not long.size:
            integers: np.ndarray = q.reshape(x.shape)
            return integers
        scaled[long] *= (steps / np.sqrt(squares[long]) * (1 - 1e-9))[:, None]
        if tries < _ROUNDINGS:
            q[long] = _rounded(scaled[long], None if chance is None else chance[long])
        else:
            q[long] = np.trunc(scaled[long])
    raise AssertionError("cutting off never raises a norm")


def _rounded(scaled: np.ndarray, coins: np.ndarray | None) -> np.ndarray:
    """To the nearest, int64; by coins down or up."""
    found: np.ndarray = (np.rint(scaled) if coins is None else np.floor(scaled + coins)).astype(np.int64)
    return found


def _checked(clip: float, array: np.ndarray) -> np.ndarray:
    """The array as float64, which may hold nan."""
    if clip <= 0:
        raise PrivacyError(f"the clip is {clip:g}, it must be above 0 and finite")
    numbers = real_array("updates", array, nan=True)
    if numbers.ndim not in (1, 2):
        raise ShapeError(f"an array of shape {numbers.shape} is no update: give (n,), or (clients, n)")
    return numbers


def _scaled(x: np.ndarray, clip: float, steps: int) -> np.ndarray:
    """S min(1, C / norm) x / C for each row, zeros where a row is not finite; no norm or quotient overflows."""
    finite = np.isfinite(x).all(axis=1)
    x = np.where(finite[:, None], x, 0.0)
    largest = np.abs(x).max(axis=1, initial=0.0)
    unit = x / np.where(largest > 0, largest, 1.0)[:, None]
    norm = np.sqrt(np.square(unit).sum(axis=1))  # each row's in the same order, whatever stands beside it
    with np.errstate(over="ignore", divide="ignore"):
        factor = steps * np.minimum(largest / clip, 1 / norm)
    found: np.ndarray = unit * np.where(largest > 0, factor, 0.0)[:, None]
    return found
