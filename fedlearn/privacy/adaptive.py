"""A clip that follows the norms of updates, so that nobody has to know them beforehand.

Andrew, Thakkar, McMahan, Ramaswamy 2021, "Differentially private learning with adaptive clipping", algorithm 1: each
client says, beside its update, whether its norm is at most the clip; the clip of the next round rises where fewer are
than the wanted quantile, and falls where more are. The count has noise, as all that is released.

Here the answer is one more lane of the same vector: +B steps for yes, -B for no. The update is clipped to U steps with
U^2 + B^2 <= S^2, so that the whole vector has a norm of at most S as one without the lane has, and gets the same noise.
The accountant is told nothing new; the price is an update of U / S of the size under the noise of S. That is the
paper's noise z_delta = (z^-2 - (2 sigma_b)^-2)^(-1/2), with B / S = z / 2 sigma_b.
"""

from __future__ import annotations

import math

import numpy as np

PACE = 0.2  # of the clip, in its logarithm, a round: the paper's eta_C
SPREAD = 20.0  # clients for each one of the count's standard deviation: the paper's sigma_b is a twentieth of a cohort
LIMITS = (1e-30, 1e30)  # of a clip, which a float32 holds
LARGEST_SHARE = 0.5  # of the clip's steps: the update's noise grows by 15% at most, however small a cohort is


def lane_steps(noise: float, steps: int, expected: float) -> int:
    """B: what a client's answer is in steps. noise: z. steps: S. expected: clients in a round."""
    return max(1, round(min(LARGEST_SHARE, noise * SPREAD / (2 * expected)) * steps))


def update_steps(steps: int, lane: int) -> int:
    """U: what is left for the update beside a lane of so many steps."""
    return math.isqrt(steps**2 - lane**2)


def is_below(updates: np.ndarray, clip: float) -> np.ndarray:
    """True for an update whose norm is at most the clip, bool (), or (K,) of (K, n); a NaN makes it one of zeros."""
    x = np.asarray(updates, np.float64)
    finite = np.isfinite(x).all(axis=-1, keepdims=True)
    below: np.ndarray = np.sqrt(np.square(np.where(finite, x, 0.0)).sum(axis=-1)) <= clip
    return below


def next_clip(clip: float, below: float, quantile: float) -> float:
    """The clip of the next round, a float32. below: the share of clients at or under the clip, with noise."""
    moved = clip * math.exp(-PACE * (min(1.0, max(0.0, below)) - quantile))
    return float(np.float32(min(max(moved, LIMITS[0]), LIMITS[1])))
