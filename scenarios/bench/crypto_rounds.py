"""Whole rounds of the protections that many parties work for: threshold decryption, and masks with dropouts."""

from __future__ import annotations

import time

import numpy as np
from gmpy2 import mpz

from fedlearn.crypto import EncryptedVector, FixedPoint
from fedlearn.crypto.modexp import powers
from fedlearn.crypto.signing import SigningKey
from fedlearn.crypto.threshold import deal
from fedlearn.errors import FedlearnError
from fedlearn.protocol import RunPlan, Step
from fedlearn.secure import Masks
from fedlearn.secure.layout import Layout
from fedlearn.secure.segments import Segment
from scenarios.bench.crypto_schemes import CODEC


def threshold_round(key_bits: int, threshold: int, trustees: int, size: int, clients: int) -> dict[str, float]:
    """Processor seconds of each step of a sum that `threshold` trustees open, and milliseconds per ciphertext.

    opening_floor_s: the time of the powers alone that opening takes. Of each ciphertext each trustee takes one modulo
    n, and whoever combines takes one modulo n^2.
    """
    values = np.random.default_rng(0).integers(-CODEC.limit, CODEC.limit, (clients, size))
    start = time.process_time()
    key, shares = deal(threshold, trustees, key_bits)
    dealt = time.process_time()
    total = EncryptedVector.sum(key.public.encrypt(v, CODEC) for v in values)
    summed = time.process_time()
    answers = [share.partial_decrypt(total, b"bench") for share in shares[:threshold]]
    answered = time.process_time()
    key.verify(total, answers[0], b"bench")
    verified = time.process_time()
    opened, _ = key.combine(total, answers, b"bench")
    combined = time.process_time()
    if not np.array_equal(opened, values.sum(axis=0)):
        raise FedlearnError("the trustees opened another sum")
    each, n = 1e3 / len(total.ciphertexts), key.public.modulus
    floor = len(total.ciphertexts) * (threshold * _seconds_of_power(n, n) + _seconds_of_power(n, n * n))
    return {
        "deal_s": dealt - start,
        "encrypt_and_add_s": summed - dealt,
        "trustee_ms_per_ciphertext": (answered - summed) / threshold * each,
        "verify_ms_per_ciphertext_and_trustee": (verified - answered) * each,
        "combine_with_verification_s": combined - verified,
        "end_to_end_s": combined - dealt,
        "opening_floor_s": floor,
        "opening_of_floor": floor / (answered - summed + combined - verified),
    }


def _seconds_of_power(exponent: mpz, modulus: mpz) -> float:
    """The least processor seconds of one power."""
    least, bases = float("inf"), [modulus // number for number in (3, 5, 7, 11)]
    for _ in range(5):
        start = time.process_time()
        powers(bases, exponent, modulus)
        least = min(least, (time.process_time() - start) / len(bases))
    return least


def masks_round(clients: int, size: int, vanish: float) -> dict[str, float]:
    """Processor seconds of a round of masks, all parties' work in one thread.

    A fraction `vanish` of the clients leaves: half of them before sending the masked vector, half after it.
    """
    codec = FixedPoint(bits=24, bound=1.0, addends=clients)
    protection = Masks(codec)
    layout = Layout((Segment("delta", size, codec),), max_weight=1).to_dict()
    signing = {client: SigningKey() for client in range(clients)}
    roster = {client: key.public for client, key in signing.items()}
    plan = RunPlan(bytes(16), roster, {}, {}, {}, {}, {}, layout, sampled=clients, rounds=1, kernels={}, seed=0)
    values = np.random.default_rng(0).integers(-codec.limit, codec.limit + 1, (clients, size))
    gone = int(clients * vanish)
    leave = {"update": set(range(gone // 2)), "check": set(range(gone // 2, gone))}
    start = time.process_time()
    server = protection.server(plan, Step(1))
    halves = {client: protection.client(plan, client) for client in range(clients)}
    for client, half in halves.items():
        half.identify(signing[client], Step(1))
    alive = list(range(clients))
    for phase in protection.phases:
        inboxes = server.inboxes(phase, alive)
        alive = [client for client in alive if client not in leave.get(phase, ())]
        for client in alive:
            vector = values[client] if phase == protection.training_phase else None
            server.receive(phase, client, halves[client].step(phase, inboxes[client], vector))
    total = server.finish({})
    seconds = time.process_time() - start
    if not np.array_equal(total, values[gone // 2 :].sum(axis=0)):
        raise FedlearnError("the masks did not vanish")
    chosen = protection.guarantee(clients)
    return {"degree": chosen.degree, "threshold": chosen.threshold, "insecurity": chosen.insecurity, "round_s": seconds}
