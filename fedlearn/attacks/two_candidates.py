"""A game that the aggregator can lose: which of two known mails was it?

The strongest position short of a key: the attacker knows both mails, the model, the algorithm and even the
seed of the client's shuffling, so it computes both possible updates exactly and has only to say which of them
a payload holds. That is the indistinguishability game of encryption (Goldwasser and Micali 1984; Paillier 1999 reduces
it to deciding n-th residues, the DCR assumption).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from fedlearn.attacks.base import NotReadable
from fedlearn.attacks.observed import Observed
from fedlearn.crypto import EncryptedVector, PublicKey
from fedlearn.datasets.examples import Examples
from fedlearn.protocol import PartyView
from fedlearn.seeding import local_random
from fedlearn.training.flat import FlatModel


def guess_candidates(view: PartyView, candidates: Sequence[Examples]) -> dict[int, int]:
    """For every client in the view: the index of the candidate that its (first) update most looks like.

    Raises `NotReadable` for payloads that are neither plain nor Paillier's.
    """
    observed = Observed(view)
    unlikeness = _plain_unlikeness(observed) if observed.is_plain else _encrypted_unlikeness(observed)
    guesses: dict[int, int] = {}
    for client, round, payload in observed.payloads():
        vectors = [replayed(observed, observed.weights[round], round, client, data) for data in candidates]
        guesses.setdefault(client, int(np.argmin([unlikeness(payload, vector) for vector in vectors])))
    return guesses


def replayed(observed: Observed, weights: np.ndarray, round: int, client: int, data: Examples) -> np.ndarray:
    """The very integers that the client would have sent, had it held `data`, int64 (n,)."""
    model = FlatModel(observed.model)
    model.load(weights)
    update = observed.strategy.local_update(model, data, {}, local_random(observed.plan.seed, round, client))
    return observed.layout.encode(update).astype(np.int64)


# How little a payload looks like a vector of integers; 0.0 is certainty.
Unlikeness = Callable[[bytes, np.ndarray], float]


def _plain_unlikeness(observed: Observed) -> Unlikeness:
    dtype = observed.codec.dtype
    return lambda payload, vector: float(np.count_nonzero(np.frombuffer(payload, dtype) != vector))


def _encrypted_unlikeness(observed: Observed) -> Unlikeness:
    if not observed.plan.keys:
        raise NotReadable(f"protection {observed.plan.protection['name']} has no key to play this game against")
    toy = observed.plan.protection["arguments"]["insecure_test_key"]
    public = PublicKey.from_bytes(next(iter(observed.plan.keys.values())), insecure_test_key=toy)
    return lambda payload, vector: residue_size(EncryptedVector.from_bytes(payload, public), vector)


def residue_size(encrypted: EncryptedVector, vector: np.ndarray) -> float:
    """Take the candidate out of a ciphertext: what is left is r^n if it was the right one.

    Returns the mean size of what is left, relative to n^2: 0 for a ciphertext without a randomiser, where the
    game is won; with one, both candidates leave a number that looks uniform, and the smaller is a coin toss.
    """
    n, nsquare = encrypted.public.modulus, encrypted.public.nsquare
    plaintexts = encrypted.packing.pack(vector)
    left = [c * (1 - n * m) % nsquare for c, m in zip(encrypted.ciphertexts, plaintexts, strict=True)]
    return float(np.mean([float((rest << 64) // nsquare) / 2.0**64 for rest in left]))
