"""Encryption, sums and decryption on several cores.

Lists of powers are taken without the interpreter lock, so decryption runs in threads and the key stays in its
process. Table look-ups and single products are too short for that: encryption and sums run in worker
processes, which are started afresh (no thread is forked) and hold public data only.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from itertools import count, repeat
from tempfile import NamedTemporaryFile
from typing import Any

import numpy as np
from gmpy2 import mpz

from fedlearn.crypto.codec import FixedPoint
from fedlearn.crypto.integers import integers_from_bytes, integers_to_bytes
from fedlearn.crypto.keys import PrivateKey, PublicKey
from fedlearn.crypto.packing import LanePacking
from fedlearn.crypto.vector import EncryptedVector, check_ciphertexts, parse
from fedlearn.errors import CiphertextError
from fedlearn.parts import shared_out


def decrypt(private: PrivateKey, vector: EncryptedVector, threads: int) -> np.ndarray:
    """`private.decrypt(vector)` with the ciphertexts shared out over up to `threads` threads."""
    slices = vector.slices(threads)
    with ThreadPoolExecutor(len(slices)) as pool:
        parts = list(pool.map(private.decrypt, slices))
    return np.concatenate(parts).reshape(vector.shape)


class CryptoWorkers:
    """`workers` processes that encrypt and add slices of vectors side by side; a context manager.

    Each worker makes its own table on first use. Whoever sums here is one party adding what it received:
    parties' own workers must not add up vectors of different clients.
    """

    def __init__(self, workers: int):
        self.workers = workers
        self._pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))

    def encrypt(self, public: PublicKey, values: np.ndarray, codec: FixedPoint) -> EncryptedVector:
        """`public.encrypt(values, codec)`."""
        packing = LanePacking(codec.lane_bits, public.modulus)
        flat = values.ravel()
        shares = shared_out(packing.plaintexts(flat.size), self.workers)
        parts = [flat[share.start * packing.lanes : share.stop * packing.lanes] for share in shares]
        jobs = [self._pool.submit(_encrypt, public, part, codec) for part in parts]
        ciphertexts = [c for job in jobs for c in integers_from_bytes(job.result(), public.ciphertext_bytes)]
        return EncryptedVector(public, codec, values.shape, 1, ciphertexts)

    def sum(self, messages: Sequence[bytes], public: PublicKey) -> EncryptedVector:
        """The sum of vectors received as bytes, each checked as `EncryptedVector.from_bytes` does.

        Raises what reading or adding them one by one raises; of one that cannot be read it names the place.
        """
        with ThreadPoolExecutor(self.workers) as threads:  # digests are checked without the interpreter lock
            parsed = list(threads.map(_parse_named, count(), messages, repeat(public)))
        total = EncryptedVector.sum(vector for vector, _ in parsed)
        width, length = public.ciphertext_bytes, len(parsed[0][1])
        with NamedTemporaryFile() as file:  # quicker than shared memory, of which containers have little
            for _, payload in parsed:
                file.write(payload)
            file.flush()
            jobs = [
                self._pool.submit(_sum, public, file.name, len(parsed), length, share)
                for share in shared_out(length // width, self.workers)
            ]
            total.ciphertexts = [c for job in jobs for c in integers_from_bytes(job.result(), width)]
        return total

    def close(self) -> None:
        """End the worker processes."""
        self._pool.shutdown()

    def __enter__(self) -> CryptoWorkers:
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()


def _encrypt(public: PublicKey, values: np.ndarray, codec: FixedPoint) -> bytes:
    vector = public.encrypt(values, codec)
    return integers_to_bytes(vector.ciphertexts, public.ciphertext_bytes)


def _parse_named(place: int, data: bytes, public: PublicKey) -> tuple[EncryptedVector, memoryview]:
    try:
        return parse(data, public)
    except CiphertextError as error:
        raise CiphertextError(f"vector {place}: {error}") from None


def _sum(public: PublicKey, name: str, payloads: int, length: int, share: slice) -> bytes:
    """One share of the ciphertexts of so many payloads, which lie in a file, each of `length` bytes, added up."""
    total: list[mpz] = []
    width = public.ciphertext_bytes
    with open(name, "rb") as file:
        for place in range(payloads):
            file.seek(place * length + share.start * width)
            ciphertexts = integers_from_bytes(file.read((share.stop - share.start) * width), width)
            try:
                check_ciphertexts(ciphertexts, public, share.start)
            except CiphertextError as error:
                raise CiphertextError(f"vector {place}: {error}") from None
            nsquare = public.nsquare
            total = [a * b % nsquare for a, b in zip(total, ciphertexts, strict=True)] if total else ciphertexts
    return integers_to_bytes(total, width)
