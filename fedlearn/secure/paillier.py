"""Paillier: clients encrypt, the aggregator adds what it cannot read, one key holder opens only sums.

Trust: the key holder and the aggregator do not collude (together they can open a single update). Until
clients sign what they send, the number of addends is what the aggregator claims it to be.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Self

import numpy as np

from fedlearn.crypto import EncryptedVector, FixedPoint, PublicKey, generate_keypair
from fedlearn.crypto.keys import check_bits
from fedlearn.crypto.packing import LanePacking
from fedlearn.crypto.randomisers import DjnRandomiser
from fedlearn.errors import BadInput, FedlearnError, OpeningRefused
from fedlearn.protocol import FIRST_OPENER, RunPlan, Step
from fedlearn.secure.base import OpenerSpec, Settings

KEY_HOLDER = FIRST_OPENER


class Paillier:
    """Additively homomorphic encryption of the packed update (Paillier 1999), semantically secure under DCR.

    key_bits: size of n; 3072 (128-bit security) by default, at least 2048 unless insecure_test_key.
    codec: fixed-point codec of the updates, by default 24 bits, bound 4, up to 100 addends.
    min_cohort: the key holder opens no sum of fewer addends.
    """

    name = "paillier"
    phases: tuple[str, ...] = ("update",)
    training_phase = "update"

    def __init__(
        self,
        key_bits: int = 3072,
        codec: FixedPoint | None = None,
        min_cohort: int = 3,
        insecure_test_key: bool = False,
    ):
        if min_cohort < 2:
            raise BadInput(f"min_cohort is {min_cohort}, a sum of fewer than 2 updates is no secret: raise it")
        check_bits(key_bits, insecure_test_key)
        self.key_bits = key_bits
        self.codec = codec or FixedPoint(bits=24, bound=4.0, addends=100)
        self.min_cohort = min_cohort
        self.insecure_test_key = insecure_test_key

    def arguments(self) -> dict[str, Any]:
        return {
            "key_bits": self.key_bits,
            "codec": self.codec.to_dict(),
            "min_cohort": self.min_cohort,
            "insecure_test_key": self.insecure_test_key,
        }

    @classmethod
    def rebuild(cls, arguments: dict[str, Any]) -> Self:
        return cls(**arguments | {"codec": FixedPoint.from_dict(arguments["codec"])})

    @classmethod
    def from_spec(cls, argument: str | None, settings: Settings) -> Self:
        if argument is not None:
            raise BadInput(f"protection paillier takes no argument, got {argument!r}: use --key-bits for its size")
        return cls(settings.key_bits, settings.codec, settings.min_cohort, settings.insecure_test_key)

    def client(self, plan: RunPlan, client: int) -> PaillierClient:
        return PaillierClient(self._public_key(plan), self.codec, plan.cohort * plan.rounds)

    def server(self, plan: RunPlan) -> PaillierServer:
        return PaillierServer(self._public_key(plan))

    def _public_key(self, plan: RunPlan) -> PublicKey:
        return _read_key(plan.keys[KEY_HOLDER], self.insecure_test_key)

    def openers(self) -> tuple[OpenerSpec, ...]:
        arguments = {
            "key_bits": self.key_bits,
            "min_cohort": self.min_cohort,
            "insecure": self.insecure_test_key,
        }
        return (OpenerSpec(KEY_HOLDER, "fedlearn.secure.paillier:KeyHolder", arguments),)


@lru_cache(maxsize=4)
def _read_key(data: bytes, insecure_test_key: bool) -> PublicKey:
    """One object a key and process: its randomiser's table is built once."""
    return PublicKey.from_bytes(data, insecure_test_key=insecure_test_key)


@lru_cache(maxsize=2)
def _randomiser(public: PublicKey, ciphertexts: int) -> DjnRandomiser:
    """One table a run and process, of the size that pays for so many ciphertexts."""
    return DjnRandomiser(public, ciphertexts)


class PaillierClient:
    """Holds the public key only. updates: how many the run will encrypt, which decides how large a table pays."""

    def __init__(self, public: PublicKey, codec: FixedPoint, updates: int):
        self._public = public
        self._codec = codec
        self._updates = updates

    def step(self, phase: str, inbox: bytes, vector: np.ndarray | None) -> bytes:
        assert vector is not None
        an_update = LanePacking(self._codec.lane_bits, self._public.modulus).plaintexts(len(vector))
        randomiser = _randomiser(self._public, self._updates * an_update)
        return self._public.encrypt(vector, self._codec, randomiser).to_bytes()


class PaillierServer:
    """Adds ciphertexts as they arrive: memory of one vector, whatever the cohort."""

    def __init__(self, public: PublicKey):
        self._public = public
        self._total: EncryptedVector | None = None

    def inboxes(self, phase: str, cohort: Sequence[int]) -> dict[int, bytes]:
        return dict.fromkeys(cohort, b"")

    def receive(self, phase: str, client: int, payload: bytes) -> None:
        vector = EncryptedVector.from_bytes(payload, self._public)
        if self._total is None:
            self._total = vector
        else:
            self._total += vector

    def requests(self) -> dict[int, bytes]:
        assert self._total is not None
        return {KEY_HOLDER: self._total.to_bytes()}

    def finish(self, replies: Mapping[int, bytes]) -> np.ndarray:
        return np.frombuffer(replies[KEY_HOLDER], "<i8")


class KeyHolder:
    """Alone has the private key, made here and never sent. Opens one sum a round, of enough addends."""

    def __init__(self, key_bits: int, min_cohort: int, insecure: bool):
        self._public, self._private = generate_keypair(key_bits, insecure_test_key=insecure)
        self._min_cohort = min_cohort
        self._opened: set[tuple[bytes, int]] = set()

    def public_key(self) -> bytes:
        return self._public.to_bytes()

    def open(self, session: bytes, step: Step, request: bytes) -> bytes:
        if (session, step.round) in self._opened:
            raise OpeningRefused(f"a sum of round {step.round} was opened before: one opening a session and round")
        try:
            total = EncryptedVector.from_bytes(request, self._public)
        except FedlearnError as error:
            raise OpeningRefused(str(error)) from None
        if total.addends < self._min_cohort:
            raise OpeningRefused(f"the sum has {total.addends} addends, at least {self._min_cohort} are required")
        self._opened.add((session, step.round))
        return self._private.decrypt(total).astype("<i8").tobytes()
