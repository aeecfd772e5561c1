"""The graph of clients that share masks: sparse, in place of all pairs (Bell et al., CCS 2020, section 3).

Clients stand on a circle in random order, each joined to the k/2 nearest on either side (a Harary graph). Where a
fraction of the clients are corrupt and a fraction drop out, both placed by the random order, three things can go
wrong, and k and the threshold t of the secret sharing are chosen so that they hardly ever do:

- some client has t or more corrupt neighbours, who can open its secrets;
- the honest clients who stay fall apart into groups, whose sums the server then sees apart: this needs k/2 neighbours
  on the circle to be corrupt or gone;
- some client keeps fewer than t neighbours, so that the round cannot be finished.

A client's secrets are shared among its neighbours and itself. t is always more than half of these holders, so that no
two sets of t holders are disjoint: honest holders who agree on who is gone open one secret of a client, never both.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fedlearn.checked import takes_plain, whole_array
from fedlearn.errors import CryptoKeyError
from fedlearn.wording import many

MOST_CLIENTS = 10**7


@dataclass(frozen=True)
class Neighbourhood:
    """Degree and threshold for `clients`, and what they guarantee, as bounds on probabilities a round.

    `insecurity`: that an honest client's secrets can be opened, or the sum of a part of the honest clients be seen,
    when `corrupt` clients work with a server that follows the protocol. `failure`: that the round fails though at most
    `dropouts` clients vanish. With all pairs (degree = clients - 1) both are certain: 0 or 1.
    """

    clients: int
    degree: int
    threshold: int
    corrupt: int
    dropouts: int
    insecurity: float
    failure: float


@takes_plain
def choose_neighbourhood(
    clients: int,
    corrupt_fraction: float = 0.2,
    dropout_fraction: float = 0.3,
    *,
    insecurity: float = 2.0**-40,
    failure: float = 2.0**-20,
) -> Neighbourhood:
    """The smallest degree whose probabilities stay within `insecurity` and `failure`, else all pairs.

    Raises `CryptoKeyError` for fewer than 3 clients, or if corrupt clients and dropouts leave no threshold at all.
    """
    corrupt, dropouts = _counts(clients, corrupt_fraction, dropout_fraction)
    log_factorial = _log_factorial(clients)
    for degree in range(2, clients - 1, 2):
        thresholds, insecure, stuck = _bounds(log_factorial, corrupt, dropouts, degree)
        fit = np.flatnonzero((insecure <= insecurity) & (stuck <= failure))
        if fit.size:
            best = fit[0]
            chosen = int(thresholds[best]), corrupt, dropouts, float(insecure[best]), float(stuck[best])
            return Neighbourhood(clients, degree, *chosen)
    threshold = max(corrupt, clients // 2) + 1
    if threshold > clients - dropouts:
        raise CryptoKeyError(
            f"{many(dropouts, 'dropout')} of {many(clients, 'client')} would leave fewer than the "
            f"{many(threshold, 'holder')} a secret needs: lower the fractions to be survived, or take more clients"
        )
    return Neighbourhood(clients, clients - 1, threshold, corrupt, dropouts, 0.0, 0.0)


@takes_plain
def neighbourhood(
    clients: int, degree: int, corrupt_fraction: float = 0.2, dropout_fraction: float = 0.3
) -> Neighbourhood:
    """A degree that was decided otherwise, the smallest threshold above half of the holders, and what they guarantee.

    Raises `CryptoKeyError` for fewer than 3 clients, impossible fractions, or a degree that `neighbours` refuses.
    """
    _check_degree(clients, degree)
    corrupt, dropouts = _counts(clients, corrupt_fraction, dropout_fraction)
    threshold = (degree + 1) // 2 + 1
    if degree == clients - 1:
        chances = float(corrupt >= threshold), float(clients - dropouts < threshold)
    else:
        _, insecure, stuck = _bounds(_log_factorial(clients), corrupt, dropouts, degree)
        chances = min(1.0, float(insecure[0])), min(1.0, float(stuck[0]))
    return Neighbourhood(clients, degree, threshold, corrupt, dropouts, *chances)


@takes_plain
def check_fractions(corrupt: float, dropouts: float) -> None:
    """Raise `CryptoKeyError` for fractions of clients that no guarantee can be given for."""
    if not (corrupt >= 0 and dropouts >= 0 and corrupt + dropouts < 1):  # as with NaN
        raise CryptoKeyError(f"corrupt={corrupt} and dropouts={dropouts}: neither below 0, together below 1")


def _counts(clients: int, corrupt_fraction: float, dropout_fraction: float) -> tuple[int, int]:
    """The numbers of corrupt clients and of clients that vanish."""
    if clients < 3:
        raise CryptoKeyError(f"masks for {many(clients, 'client')} hide nothing: at least 3 are needed")
    if clients > MOST_CLIENTS:
        raise CryptoKeyError(f"{many(clients, 'client')}: a guarantee is computed for up to {MOST_CLIENTS:,}")
    check_fractions(corrupt_fraction, dropout_fraction)
    return math.ceil(corrupt_fraction * clients), math.floor(dropout_fraction * clients)


@takes_plain
def neighbours(clients: Sequence[int], degree: int, context: bytes) -> dict[int, tuple[int, ...]]:
    """Each client's neighbours on a circle whose order follows from `context` (public, fresh for each round).

    Neighbourhood is mutual. `degree` is even, or joins all pairs. Raises `CryptoKeyError` for another degree.
    """
    clients = whole_array("clients", clients, 1).tolist()
    count = len(clients)
    _check_degree(count, degree)
    if degree == count - 1:
        return {client: tuple(other for other in clients if other != client) for client in clients}
    seed = int.from_bytes(hashlib.sha256(b"fedlearn/neighbours/1" + context).digest(), "big")
    circle = [clients[i] for i in np.random.Generator(np.random.Philox(seed % 2**128)).permutation(count)]
    steps = [step for distance in range(1, degree // 2 + 1) for step in (-distance, distance)]
    return {client: tuple(circle[(place + step) % count] for step in steps) for place, client in enumerate(circle)}


def _check_degree(clients: int, degree: int) -> None:
    if degree != clients - 1 and (degree % 2 or not 2 <= degree < clients):
        raise CryptoKeyError(
            f"degree {degree} for {many(clients, 'client')}: an even number below {clients}, or {clients - 1}"
        )


def _log_factorial(clients: int) -> np.ndarray:
    return np.concatenate([[0.0], np.log(np.arange(1, clients + 1)).cumsum()])


def _bounds(
    log_factorial: np.ndarray, corrupt: int, dropouts: int, degree: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Thresholds above half of the holders, on a circle of an even degree; for each, what it guarantees."""
    clients = len(log_factorial) - 1
    thresholds = np.arange(degree // 2 + 1, degree + 1)
    opened = clients * _tails(log_factorial, corrupt, degree)[thresholds]
    stuck = clients * _tails(log_factorial, dropouts, degree)[degree - thresholds + 1]
    return thresholds, opened + _disconnected(log_factorial, corrupt + dropouts, degree), stuck


def _log_choose(log_factorial: np.ndarray, total: int, chosen: np.ndarray | int) -> np.ndarray:
    logs: np.ndarray = log_factorial[total] - log_factorial[chosen] - log_factorial[total - chosen]
    return logs


def _tails(log_factorial: np.ndarray, marked: int, draws: int) -> np.ndarray:
    """P(at least h hits), h = 0..draws, drawing neighbours among the others, `marked` of them (hypergeometric)."""
    others = len(log_factorial) - 2
    hits = np.arange(max(0, draws - (others - marked)), min(draws, marked) + 1)
    logs = _log_choose(log_factorial, marked, hits) + _log_choose(log_factorial, others - marked, draws - hits)
    chances = np.zeros(draws + 1)
    chances[hits] = np.exp(logs - _log_choose(log_factorial, others, draws))
    return chances[::-1].cumsum()[::-1]


def _disconnected(log_factorial: np.ndarray, gone: int, degree: int) -> float:
    """A bound on the probability that some degree / 2 clients in a row on the circle are all among the `gone`."""
    clients, run = len(log_factorial) - 1, degree // 2
    if run > gone:
        return 0.0
    in_a_row = _log_choose(log_factorial, gone, run) - _log_choose(log_factorial, clients, run)
    return float(clients * np.exp(in_a_row))
