"""The facts of an opened sum, once it is taken apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True, eq=False)
class Aggregate:
    """The facts that an opened sum tells about the cohort, and none about one client.

    mean      by output name, float64: the mean over clients weighted by examples
    addends   clients in the sum
    weight    their examples in all (capped counts)
    loss      mean training loss per example, nats
    clipped   coordinates clipped at the codec's bound (0 where it refuses)
    capped    clients whose example count was capped at max_weight
    error_bound  largest possible |error| of a coordinate of any output's mean, by quantisation and by clipping;
                infinite where values were clipped that lay too far beyond the bound to say
    below     the share of clients whose update is no longer than the clip, with noise; None where the clip is fixed
    finer     by how many powers of two another bound would have suited the cohort better, by output, where they say so
    sums      of counts, by name, int64: the answers to a query, which has no mean and no weights

    Under differential privacy the mean is of clipped updates, each of weight 1, with noise; the rest is not known.
    """

    mean: dict[str, np.ndarray]
    addends: int
    weight: int | None = None
    loss: float | None = None
    clipped: int | None = None
    capped: int | None = None
    error_bound: float = np.inf
    sums: Mapping[str, np.ndarray] = field(default_factory=dict)
    finer: Mapping[str, float] = field(default_factory=dict)
    below: float | None = None
