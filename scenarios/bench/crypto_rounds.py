"""Whole rounds of the protections that many parties work for: threshold decryption, and masks with dropouts."""

from __future__ import annotations

import secrets
import time

import numpy as np

from fedlearn.crypto import EncryptedVector, FixedPoint
from fedlearn.crypto.agreement import AgreementKey, seal, unseal
from fedlearn.crypto.masks import add_masks, to_signed
from fedlearn.crypto.neighbours import choose_neighbourhood, neighbours
from fedlearn.crypto.shamir import SHARE_BYTES, join, split
from fedlearn.crypto.threshold import deal
from fedlearn.errors import FedlearnError

CODEC = FixedPoint(bits=24, bound=1.0, addends=100)


def threshold_round(key_bits: int, threshold: int, trustees: int, size: int, clients: int) -> dict[str, float]:
    """Seconds of each step of a sum that `threshold` trustees open together, and milliseconds a ciphertext."""
    values = np.random.default_rng(0).integers(-CODEC.limit, CODEC.limit, (clients, size))
    start = time.perf_counter()
    key, shares = deal(threshold, trustees, key_bits)
    dealt = time.perf_counter()
    total = EncryptedVector.sum(key.public.encrypt(v, CODEC) for v in values)
    summed = time.perf_counter()
    answers = [share.partial_decrypt(total, b"bench") for share in shares[:threshold]]
    answered = time.perf_counter()
    key.verify(total, answers[0], b"bench")
    verified = time.perf_counter()
    opened, _ = key.combine(total, answers, b"bench")
    combined = time.perf_counter()
    if not np.array_equal(opened, values.sum(axis=0)):
        raise FedlearnError("the trustees opened another sum")
    each = 1e3 / len(total.ciphertexts)
    return {
        "deal_s": dealt - start,
        "encrypt_and_add_s": summed - dealt,
        "trustee_ms_per_ciphertext": (answered - summed) / threshold * each,
        "verify_ms_per_ciphertext_and_trustee": (verified - answered) * each,
        "combine_with_verification_s": combined - verified,
        "end_to_end_s": combined - dealt,
    }


def masks_round(clients: int, size: int, vanish: float) -> dict[str, float]:
    """Seconds of a round of masks, all parties' work in one thread; `vanish` of the clients leave after sending.

    Half of those leave before their masked vector, half after it.
    """
    plan = choose_neighbourhood(clients)
    bits = FixedPoint(bits=24, bound=1.0, addends=clients).lane_bits
    values = np.random.default_rng(0).integers(-(2**23) + 1, 2**23, (clients, size))
    start = time.perf_counter()
    graph = neighbours(range(1, clients + 1), plan.degree, secrets.token_bytes(16))
    parties = {name: _Party(name, near, plan.threshold) for name, near in graph.items()}
    keys = {name: (party.pairs.public, party.letters.public) for name, party in parties.items()}
    letters = {name: party.send_shares(keys) for name, party in parties.items()}
    for name, party in parties.items():
        party.receive_shares({other: letters[other][name] for other in graph[name]})
    gone = int(clients * vanish)
    silent = set(range(1, gone // 2 + 1))
    late = set(range(gone // 2 + 1, gone + 1))
    total = np.zeros(size, np.int64)
    for name in parties.keys() - silent:
        total += parties[name].mask(values[name - 1], bits).astype(np.int64)
    answering = [parties[name] for name in parties.keys() - silent - late]
    for name in parties:
        which = 1 if name in silent else 0
        shares = {p.name: p.held[name][which] for p in answering if name in p.held}
        secret = join(shares, plan.threshold)
        if name in silent:
            plus, minus = _pair_seeds(AgreementKey(secret), name, [n for n in graph[name] if n not in silent], keys)
            total = add_masks(total, plus, minus, bits).astype(np.int64)
        else:
            total = add_masks(total, [], [secret], bits).astype(np.int64)
    seconds = time.perf_counter() - start
    if not np.array_equal(to_signed(total, bits), values[len(silent) :].sum(axis=0)):
        raise FedlearnError("the masks did not vanish")
    return {"degree": plan.degree, "threshold": plan.threshold, "insecurity": plan.insecurity, "round_s": seconds}


class _Party:
    def __init__(self, name: int, near: tuple[int, ...], threshold: int):
        self.name, self.near, self.threshold = name, near, threshold
        self.pairs, self.letters = AgreementKey(), AgreementKey()
        self.own = secrets.token_bytes(32)
        self.held: dict[int, tuple[bytes, bytes]] = {}

    def send_shares(self, keys: dict[int, tuple[bytes, bytes]]) -> dict[int, bytes]:
        holders = (self.name, *self.near)
        own, pairs = (split(secret, self.threshold, holders) for secret in (self.own, self.pairs.secret))
        self.held[self.name] = own[self.name], pairs[self.name]
        self.channels = {other: self.letters.agree(keys[other][1], b"letter") for other in self.near}
        self.seeds = _pair_seeds(self.pairs, self.name, self.near, keys)
        return {o: seal(self.channels[o], own[o] + pairs[o], bytes([self.name, o])) for o in self.near}

    def receive_shares(self, letters: dict[int, bytes]) -> None:
        for other, letter in letters.items():
            both = unseal(self.channels[other], letter, bytes([other, self.name]))
            self.held[other] = both[:SHARE_BYTES], both[SHARE_BYTES:]

    def mask(self, values: np.ndarray, bits: int) -> np.ndarray:
        plus, minus = self.seeds
        return add_masks(values, [self.own, *plus], minus, bits)


def _pair_seeds(
    key: AgreementKey, name: int, near: tuple[int, ...] | list[int], keys: dict[int, tuple[bytes, bytes]]
) -> tuple[list[bytes], list[bytes]]:
    """Seeds to add (shared with later names) and to take away (with earlier ones)."""
    seeds = [(other, key.agree(keys[other][0], b"mask")) for other in near]
    return [seed for other, seed in seeds if other > name], [seed for other, seed in seeds if other < name]
