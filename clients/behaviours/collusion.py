"""Clients that know each other's examples and agree on what all of them send.

They are less than omniscient: mean and spread of honest updates are estimated from what they themselves would
honestly have sent, one update a colluder, from the weights that everybody was given. All of them send the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Self

import numpy as np

from clients.behaviours.base import Behaviour, Crew, Honest, check_group, check_positive, with_delta
from fedlearn.configured import make_plain
from fedlearn.datasets.examples import Examples
from fedlearn.errors import BadInput
from fedlearn.strategies.base import LocalUpdate
from fedlearn.wording import many


@dataclass(frozen=True, eq=False)
class ALIE(Behaviour):
    """Mean minus z standard deviations of the colluders' honest deltas, coordinate by coordinate.

    Baruch, Baruch and Goldberg 2019, "A Little Is Enough", their attack on convergence: near enough to the mean to
    pass for honest, far enough on one side to bend it. Deltas point against gradients, hence the sign. group: clients
    of a group, whose mean is to be that vector.
    """

    colluders: Mapping[int, Examples]
    z: float
    group: int = 1

    def __post_init__(self) -> None:
        make_plain(self)
        check_group(self.group)

    @classmethod
    def of(cls, crew: Crew, z: float | None = None, group: int = 1) -> Self:
        if len(crew.colluders) < 2:
            raise BadInput("alie of one client: it takes at least 2 to estimate a spread")
        return cls(crew.colluders, largest_z(crew.cohort, crew.corrupted) if z is None else z, group)

    def update(self, update: LocalUpdate, honest: Honest) -> LocalUpdate:
        deltas = honest_deltas(self.colluders, honest)
        mean = deltas.mean(axis=0)
        return with_delta(update, for_a_group(mean - self.z * deltas.std(axis=0), mean, self.group))


@dataclass(frozen=True, eq=False)
class IPM(Behaviour):
    """-epsilon times the mean of the colluders' honest deltas: inner product manipulation.

    Xie, Koyejo and Gupta 2020, "Fall of Empires". The mean of n clients with m malicious points backwards
    where m * epsilon > n - m; less slows it, and passes rules that look for distance. group: as in `ALIE`.
    """

    colluders: Mapping[int, Examples]
    epsilon: float
    group: int = 1

    def __post_init__(self) -> None:
        make_plain(self)
        check_group(self.group)
        check_positive("ipm", "epsilon", self.epsilon, "0.5 is a usual start")

    @classmethod
    def of(cls, crew: Crew, epsilon: float = 0.5, group: int = 1) -> Self:
        return cls(crew.colluders, epsilon, group)

    def update(self, update: LocalUpdate, honest: Honest) -> LocalUpdate:
        mean = honest_deltas(self.colluders, honest).mean(axis=0)
        return with_delta(update, for_a_group(-self.epsilon * mean, mean, self.group))


def honest_deltas(colluders: Mapping[int, Examples], honest: Honest) -> np.ndarray:
    """The update that each colluder would honestly have sent, float64 (m, P)."""
    return np.stack([honest(number, data).vectors["delta"] for number, data in colluders.items()]).astype(np.float64)


def for_a_group(wanted: np.ndarray, mean: np.ndarray, group: int) -> np.ndarray:
    """The update of one client that makes its group's mean `wanted`, where the others send about `mean`."""
    sent: np.ndarray = mean + group * (wanted - mean)
    return sent


def largest_z(cohort: int, corrupted: int) -> float:
    """z_max for n = cohort and m = corrupted: Phi(z) = (n - m - s) / (n - m), with s = floor(n / 2 + 1) - m.

    This is the form in which the attack is commonly implemented.
    So far from the mean, as many honest clients as a majority still lacks stand further out on the same side.
    """
    honest, supporters = cohort - corrupted, cohort // 2 + 1 - corrupted
    if honest < 1 or not 0.5 < (honest - supporters) / honest < 1:
        raise BadInput(
            f"alie with {corrupted} of {many(cohort, 'client')} a round has no z above 0 and finite by the usual "
            "formula: set one, as in alie:0.2,z=1"
        )
    return NormalDist().inv_cdf((honest - supporters) / honest)
