"""Which opened sums together tell the sum of too few clients: the audit that openers make before they open another.

Each opened sum is a row of 0 and 1, a column a client. Whoever knows the sums knows every linear combination of them,
so that no combination may be nonzero in fewer than `min_cohort` columns (Chin and Ozsoyoglu 1982, "Auditing and
inference control in statistical databases"). Seven cohorts, any two of which share a single client, can give away all
seven clients: a limit on overlaps alone stops no such thing, but makes it take more sums (Dobkin, Jones and Lipton
1979, "Secure databases: protection against user influence").

Rows are reduced modulo a secret random prime, so that no row is lost and none can be chosen to hide. A combination of
t reduced rows is nonzero at their t pivots; so t is under `min_cohort`, and the rest must nearly cancel. Up to two
rows that is decided by counting, which is all there is to decide for min_cohort 3; for more rows the subsets are tried,
up to `MOST_TRIALS` of them, and what would take longer is refused.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from itertools import combinations
from math import comb

import gmpy2
import numpy as np

from fedlearn.checked import members
from fedlearn.configured import whole_number
from fedlearn.errors import OpeningRefused
from fedlearn.wording import many

PRIME_BITS = 30  # products of two residues fit 64 bits
MOST_TRIALS = 20_000


class CohortAudit:
    """The cohorts whose sums were opened from values that did not change in between, and what may follow them.

    min_cohort: the fewest clients whose sum anybody may learn.
    """

    def __init__(self, min_cohort: int):
        self._least = whole_number("min_cohort", min_cohort, 1)
        self._prime = int(gmpy2.next_prime((1 << PRIME_BITS) + secrets.randbelow(1 << PRIME_BITS)))
        self._clients: dict[int, int] = {}  # their columns
        self._rows: list[np.ndarray] = []  # reduced: 1 at their own pivot, 0 at every other
        self._pivots: list[int] = []

    def enter(self, cohort: Iterable[int]) -> None:
        """Count this cohort's sum among those that were opened.

        Raises `OpeningRefused`, and changes nothing, where it would tell too much together with those before it.
        """
        self._clients, self._rows, self._pivots = self._reduced_with(members("the cohort", cohort, int))

    def _reduced_with(self, cohort: Iterable[int]) -> tuple[dict[int, int], list[np.ndarray], list[int]]:
        columns = dict(self._clients)
        for client in cohort:
            columns.setdefault(client, len(columns))
        rows = [np.pad(row, (0, len(columns) - len(row))) for row in self._rows]
        new = np.zeros(len(columns), np.int64)
        new[[columns[client] for client in cohort]] = 1
        pivots = list(self._pivots)
        for row, pivot in zip(rows, pivots, strict=True):
            new = (new - new[pivot] * row) % self._prime
        if new.any():
            pivot = int(np.flatnonzero(new)[0])
            new = new * pow(int(new[pivot]), -1, self._prime) % self._prime
            changed = np.array([row[pivot] != 0 for row in rows] + [True])
            rows = [(row - row[pivot] * new) % self._prime for row in rows]
            rows.append(new)
            pivots.append(pivot)
            self._check_combinations(_linked(np.delete(np.stack(rows), pivots, axis=1), changed), len(rows))
        return columns, rows, pivots

    def _check_combinations(self, table: np.ndarray, opened: int) -> None:
        """Raise `OpeningRefused` where rows of the table, which has what lies beside the pivots, tell too much."""
        for together in range(1, min(self._least - 1, len(table)) + 1):
            spare = self._least - 1 - together  # columns that may stay nonzero beside the pivots
            if self._some_combination(table, together, spare):
                raise OpeningRefused(
                    f"this sum, with {opened - 1} opened before it, would tell the sum of fewer than "
                    f"{many(self._least, 'client')}"
                )

    def _some_combination(self, table: np.ndarray, together: int, spare: int) -> bool:
        """True if so many rows, each with a factor that is not 0, cancel but for `spare` columns."""
        if together == 1:
            return bool((np.count_nonzero(table, axis=1) <= spare).any())
        if together == 2:
            return self._some_pair(table, spare)
        width = min(spare, table.shape[1])
        if comb(len(table), together) * comb(table.shape[1], width) > MOST_TRIALS:
            raise OpeningRefused(
                f"{many(len(table), 'cohort')} of one model cannot be audited for combinations of under "
                f"{many(self._least, 'client')}: open fewer of them"
            )
        return any(
            self._rank(np.delete(table[list(cohorts)], columns, axis=1)) < together
            for cohorts in combinations(range(len(table)), together)
            for columns in combinations(range(table.shape[1]), width)
        )

    def _some_pair(self, table: np.ndarray, spare: int) -> bool:
        """The factor that cancels most columns of two rows is the ratio that they have most often."""
        filled, inverse = table != 0, self._inverse(table)
        for i, j in combinations(range(len(table)), 2):
            both = filled[i] & filled[j]  # some column, or either row would have been enough without the other
            left = np.count_nonzero(filled[i] | filled[j])
            if left - np.count_nonzero(both) > spare:
                continue
            ratios = table[i, both] * inverse[j, both] % self._prime
            if left - np.unique(ratios, return_counts=True)[1].max() <= spare:
                return True
        return False

    def _inverse(self, values: np.ndarray) -> np.ndarray:
        """Of each residue, 0 of 0: by Fermat, value^(prime - 2)."""
        result, power, exponent = np.ones_like(values), values, self._prime - 2
        while exponent:
            if exponent & 1:
                result = result * power % self._prime
            power = power * power % self._prime
            exponent >>= 1
        return result

    def _rank(self, rows: np.ndarray) -> int:
        rows, rank = rows.copy(), 0
        for column in range(rows.shape[1]):
            found = np.flatnonzero(rows[rank:, column])
            if not found.size:
                continue
            rows[[rank, rank + found[0]]] = rows[[rank + found[0], rank]]
            rows[rank] = rows[rank] * pow(int(rows[rank, column]), -1, self._prime) % self._prime
            for row in range(rank + 1, len(rows)):
                rows[row] = (rows[row] - rows[row, column] * rows[rank]) % self._prime
            rank += 1
            if rank == len(rows):
                break
        return rank


def _linked(table: np.ndarray, changed: np.ndarray) -> np.ndarray:
    """The rows that changed, and those that share columns with them or with another of these.

    Groups of one round share none. A combination with rows beyond these has them beside it: fewer columns without them.
    """
    filled, linked = table != 0, changed
    while True:
        columns = filled[linked].any(axis=0)
        more = linked | filled[:, columns].any(axis=1)
        if np.array_equal(more, linked):
            part: np.ndarray = table[np.ix_(linked, columns)]
            return part
        linked = more
