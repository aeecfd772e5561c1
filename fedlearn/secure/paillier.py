"""Paillier: clients encrypt and sign, the aggregator adds what it cannot read, one key holder opens only sums.

Trust: the key holder holds the whole key and is shown the signed ciphertexts, so that the aggregator cannot cheat
it; it is trusted to open nothing but their sum. That an opened sum is what the ciphertexts hold, it proves. Where
nobody should be trusted so far, use `threshold`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Self

import numpy as np
from gmpy2 import mpz

from fedlearn.checked import takes_plain
from fedlearn.configured import make_plain
from fedlearn.crypto import FixedPoint, PublicKey, generate_keypair, openings, parallel
from fedlearn.crypto.integers import integers_from_bytes, integers_to_bytes
from fedlearn.crypto.keys import KEY_BITS, check_bits
from fedlearn.errors import CiphertextError, CodecError, OpeningRefused, ProtocolError, RoundVoid
from fedlearn.privacy.sumnoise import SumNoise
from fedlearn.privacy.terms import Terms
from fedlearn.protocol import FIRST_OPENER, RunPlan, Step
from fedlearn.secure.base import DEFAULT_CODEC, MIN_COHORT, OpenerSpec, Settings
from fedlearn.secure.encrypted import (
    AddingServer,
    CountingOpener,
    EncryptedSums,
    EncryptingClient,
    check_sums,
    proof_context,
)
from fedlearn.secure.kept import KeptKeys, kept_pair
from fedlearn.secure.layout import vector_length
from fedlearn.secure.price import cores, power_seconds
from fedlearn.spec import read_settings
from fedlearn.wording import many

KEY_HOLDER = FIRST_OPENER


@dataclass(frozen=True)
class Paillier(EncryptedSums):
    """Additively homomorphic encryption of the packed update (Paillier 1999), semantically secure under DCR.

    key_bits: size of n; 3072 (128-bit security) by default, at least 2048 unless insecure_test_key.
    codec: fixed-point codec of the updates, by default 24 bits, bound 4, up to 100 addends.
    min_cohort: the key holder opens no sum of fewer clients' updates.
    max_overlap: it opens no sum of a cohort that shares more clients with an earlier one; None for no limit.
    keys: a pair that is kept for several runs (`fedlearn keys generate`), whose size is then key_bits; None makes one.
    """

    key_bits: int = KEY_BITS
    codec: FixedPoint = DEFAULT_CODEC
    min_cohort: int = MIN_COHORT
    max_overlap: int | None = None
    insecure_test_key: bool = False
    keys: KeptKeys | None = field(default=None, compare=False)

    name = "paillier"
    adds_noise = ("opener", "clients")

    def __post_init__(self) -> None:
        make_plain(self)
        check_sums(self.min_cohort, self.max_overlap)
        if self.keys is not None:
            bits = self.keys.pair(self.insecure_test_key).bits
            self.keys.check_bits(self.key_bits, bits)
            object.__setattr__(self, "key_bits", bits)
        check_bits(self.key_bits, self.insecure_test_key)

    @classmethod
    @takes_plain
    def from_spec(cls, argument: str | None, settings: Settings) -> Self:
        read_settings(argument, {}, "protection paillier")
        return cls(
            settings.key_bits, settings.codec, settings.min_cohort, settings.max_overlap, settings.insecure_test_key,
            settings.keys,
        )  # fmt: skip

    def client(self, plan: RunPlan, client: int) -> EncryptingClient:
        return EncryptingClient(self.encryption_key(plan), self.codec, plan.sampled * plan.rounds)

    def server(self, plan: RunPlan, step: Step) -> PaillierServer:
        return PaillierServer(
            self.encryption_key(plan),
            self.codec,
            vector_length(plan),
            proof_context(plan, step),
            proven=_noise_of(plan) is None,
        )

    def opening_seconds(self) -> float:
        return 2 * power_seconds(self.key_bits, self.key_bits // 2) / cores()  # modulo each prime's square

    def encryption_key(self, plan: RunPlan) -> PublicKey:
        if set(plan.keys) != {KEY_HOLDER}:
            raise ProtocolError(
                f"the plan has {many(len(plan.keys), 'key')}, of one key holder there is one: whose are they?"
            )
        return _read_key(plan.keys[KEY_HOLDER], self.insecure_test_key)

    def openers(self, vault: Path) -> tuple[OpenerSpec, ...]:
        arguments = {
            "key_bits": self.key_bits,
            "min_cohort": self.min_cohort,
            "max_overlap": self.max_overlap,
            "insecure_test_key": self.insecure_test_key,
            "keys": self.keys,
        }
        holder = "fedlearn.secure.paillier:KeyHolder"
        return (OpenerSpec(KEY_HOLDER, holder, arguments, asks=self.keys is not None, trusted=True),)


@lru_cache(maxsize=4)
def _read_key(data: bytes, insecure_test_key: bool) -> PublicKey:
    """One object a key and process: its randomiser's table is built once."""
    return PublicKey.from_bytes(data, insecure_test_key=insecure_test_key)


class PaillierServer(AddingServer):
    """The aggregator's half. It takes no sum but what the ciphertexts hold: the key holder proves that.

    An answer is the sum (i8 each, little-endian), then two numbers as long as n: the last plaintext, which has lanes
    that hold no value, and the proof (`fedlearn.crypto.openings`). Where the key holder adds noise nothing can be
    `proven`, and the sum is all.
    """

    def __init__(self, public: PublicKey, codec: FixedPoint, length: int, context: bytes, proven: bool):
        super().__init__(public, codec, length)
        self._context = context
        self._proven = proven

    def requests(self, phase: str, replies: Mapping[int, bytes]) -> dict[int, bytes]:
        return {KEY_HOLDER: self.total.to_bytes()}

    def finish(self, replies: Mapping[int, bytes]) -> np.ndarray:
        if KEY_HOLDER not in replies:
            raise RoundVoid("the key holder did not open the sum")
        opened, values, width = replies[KEY_HOLDER], len(self.total), self._public.modulus_bytes
        expected = 8 * values + (2 * width if self._proven else 0)
        if len(opened) != expected:
            raise RoundVoid(f"the key holder sent {many(len(opened), 'byte')} for a sum that takes {expected}")
        total = np.frombuffer(opened, "<i8", values)
        if self._proven and not self._holds(total, *integers_from_bytes(opened[8 * values :], width)):
            raise RoundVoid("the sum that the key holder sent is not what the ciphertexts hold: it is not used")
        return total

    def _holds(self, total: np.ndarray, last: mpz, root: mpz) -> bool:
        packing = self.total.packing
        rest = len(total) - (len(self.total.ciphertexts) - 1) * packing.lanes
        try:
            fits = np.array_equal(packing.unpack([last], rest), total[-rest:])
            plaintexts = [*packing.pack(total)[:-1], last]
        except (CiphertextError, CodecError):
            return False
        return fits and openings.verify(self._public, self.total.ciphertexts, plaintexts, root, self._context)


class KeyHolder(CountingOpener):
    """Alone has the private key, made or read here and never sent."""

    def __init__(
        self,
        key_bits: int,
        min_cohort: int,
        max_overlap: int | None,
        insecure_test_key: bool,
        keys: KeptKeys | None = None,
    ):
        if keys is None:
            self._public, self._private = generate_keypair(key_bits, insecure_test_key=insecure_test_key)
        else:
            self._public, self._private = kept_pair(keys, insecure_test_key)
        super().__init__(self._public, min_cohort, max_overlap)
        self._noise = SumNoise()

    def recall(self, memory: Path) -> None:
        super().recall(memory)
        self._noise.keep(memory.with_name(f"{memory.name}.noise"), fresh=not self._opened.opened)

    def public_key(self) -> bytes:
        return self._public.to_bytes()

    def open(self, step: Step, request: bytes) -> bytes:
        terms = _noise_of(self.plan)
        if terms is not None and terms.bands > 1 and self._opened.was_opened((step.round, step.group)):
            raise OpeningRefused(f"round {step.round} was opened before: its noise must not be seen with another sum")
        total = self.authorise(step, request)
        opened = parallel.decrypt(self._private, total, cores())
        if terms is not None:
            return self._noise.added(terms, opened, step.round, step.group).astype("<i8").tobytes()
        last = self._private.raw_decrypt(total.ciphertexts[-1:])
        plaintexts = [*total.packing.pack(opened)[:-1], *last]
        root = openings.prove(self._private, total.ciphertexts, plaintexts, proof_context(self.plan, step))
        return opened.astype("<i8").tobytes() + integers_to_bytes([*last, root], self._public.modulus_bytes)


def _noise_of(plan: RunPlan) -> Terms | None:
    """The terms of the noise that the key holder adds; None where it adds none."""
    terms = Terms.read(plan.privacy)
    return terms if terms is not None and terms.where == "opener" else None
