"""Threshold Paillier: a key that nobody holds. t of n trustees together open a sum, fewer learn nothing.

A dealer, a process that ends before the session starts, makes the key and leaves each trustee its share in a file
of mode 0600. Trustees check signatures and count clients as a key holder does; each proves that its partial
decryption is right, and the aggregator combines t of them. It needs no trust in any one trustee, only in the dealer
to have forgotten the primes, and in fewer than t trustees colluding.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np

from fedlearn.crypto import FixedPoint
from fedlearn.crypto.keyfiles import read_secret, write_secret
from fedlearn.crypto.keys import KEY_BITS, check_bits
from fedlearn.crypto.threshold import KeyShare, PartialDecryption, ThresholdKey, check_parties, deal
from fedlearn.errors import BadInput, CiphertextError, ProtocolError, RoundVoid
from fedlearn.protocol import FIRST_OPENER, RunPlan, Step, party_name
from fedlearn.secure.base import DEFAULT_CODEC, MIN_COHORT, DealerSpec, OpenerSpec, Settings
from fedlearn.secure.encrypted import AddingServer, CountingOpener, EncryptedSums, EncryptingClient, check_min_cohort
from fedlearn.secure.layout import lanes
from fedlearn.spec import Key, read_settings

log = logging.getLogger(__name__)
KEY_FILE = "threshold.key"


@dataclass(frozen=True)
class Threshold(EncryptedSums):
    """Paillier's encryption under a key shared among `trustees`, `threshold` of whom open a sum.

    threshold, trustees: t and n, 2 <= t <= n. The rest is as in `Paillier`.
    """

    threshold: int = 3
    trustees: int = 5
    key_bits: int = KEY_BITS
    codec: FixedPoint = DEFAULT_CODEC
    min_cohort: int = MIN_COHORT
    max_overlap: int | None = None
    insecure_test_key: bool = False

    name = "threshold"

    def __post_init__(self) -> None:
        check_parties(self.threshold, self.trustees)
        check_min_cohort(self.min_cohort)
        check_bits(self.key_bits, self.insecure_test_key)

    @classmethod
    def from_spec(cls, argument: str | None, settings: Settings) -> Self:
        """`threshold:T/N`, 3/5 where nothing is said."""
        parties = {"T/N": Key(Annotated[Any, _parties], example="3/5")}
        threshold, trustees = read_settings(argument or "3/5", parties, "protection threshold")["T/N"]
        return cls(
            threshold, trustees, settings.key_bits, settings.codec, settings.min_cohort,
            settings.max_overlap, settings.insecure_test_key,
        )  # fmt: skip

    def client(self, plan: RunPlan, client: int) -> EncryptingClient:
        return EncryptingClient(self._key(plan).public, self.codec, plan.sampled * plan.rounds)

    def server(self, plan: RunPlan, step: Step) -> ThresholdServer:
        return ThresholdServer(self._key(plan), self.codec, plan, step)

    def _key(self, plan: RunPlan) -> ThresholdKey:
        """The key that all trustees name."""
        named = set(plan.keys.values())
        if len(named) != 1:
            raise ProtocolError(
                f"the trustees name {len(named)} different keys in the plan, all must hold shares of one"
            )
        return _read_key(named.pop(), self.insecure_test_key)

    def dealer(self, vault: Path) -> DealerSpec | None:
        arguments = {
            "threshold": self.threshold,
            "trustees": self.trustees,
            "key_bits": self.key_bits,
            "insecure_test_key": self.insecure_test_key,
            "vault": vault,
        }
        return DealerSpec("fedlearn.secure.threshold:deal_into", arguments)

    def openers(self, vault: Path) -> tuple[OpenerSpec, ...]:
        arguments = {
            "key": vault / KEY_FILE,
            "min_cohort": self.min_cohort,
            "max_overlap": self.max_overlap,
            "insecure_test_key": self.insecure_test_key,
        }
        return tuple(
            OpenerSpec(_party(i), "fedlearn.secure.threshold:Trustee", arguments | {"share": _share_file(vault, i)})
            for i in range(1, self.trustees + 1)
        )


def _party(trustee: int) -> int:
    """Trustee 1, 2... is opener 0, 1..."""
    return FIRST_OPENER - (trustee - 1)


def _share_file(vault: Path, trustee: int) -> Path:
    return vault / f"trustee-{trustee}.share"


def _parties(text: str) -> tuple[int, int]:
    threshold, _, trustees = (part.strip() for part in text.partition("/"))
    if not (threshold.isdecimal() and trustees.isdecimal()):
        raise BadInput(f"protection threshold with {text!r}: two whole numbers are needed, as in threshold:3/5")
    return int(threshold), int(trustees)


@lru_cache(maxsize=4)
def _read_key(data: bytes, insecure_test_key: bool) -> ThresholdKey:
    """One object a key and process: its randomiser's table is built once."""
    return ThresholdKey.from_bytes(data, insecure_test_key=insecure_test_key)


def deal_into(threshold: int, trustees: int, key_bits: int, insecure_test_key: bool, vault: Path) -> None:
    """The dealer's life: a key, its shares in a file each, and the primes forgotten."""
    key, shares = deal(threshold, trustees, key_bits, insecure_test_key=insecure_test_key)
    (vault / KEY_FILE).write_bytes(key.to_bytes())
    for share in shares:
        write_secret(_share_file(vault, share.trustee), share.to_bytes())


class Trustee(CountingOpener):
    """Holds one share, and uses it on nothing but the sum of what enough clients signed."""

    def __init__(self, key: Path, share: Path, min_cohort: int, max_overlap: int | None, insecure_test_key: bool):
        self._key = ThresholdKey.from_bytes(key.read_bytes(), insecure_test_key=insecure_test_key)
        self._share = KeyShare.from_bytes(read_secret(share), self._key)
        super().__init__(self._key.public, min_cohort, max_overlap)

    def public_key(self) -> bytes:
        return self._key.to_bytes()

    def open(self, step: Step, request: bytes) -> bytes:
        total = self.authorise(step, request)
        return self._share.partial_decrypt(total, _context(self.plan, step)).to_bytes(self._key)


def _context(plan: RunPlan, step: Step) -> bytes:
    """What a partial decryption is proven for: it is worth nothing in another session or attempt."""
    return plan.digest + f"{step.round}/{step.attempt}".encode()


class ThresholdServer(AddingServer):
    """The aggregator's half: asks every trustee, and combines t partial decryptions whose proofs are right."""

    def __init__(self, key: ThresholdKey, codec: FixedPoint, plan: RunPlan, step: Step):
        super().__init__(key.public, codec, lanes(plan))
        self._key = key
        self._context = _context(plan, step)

    def requests(self) -> dict[int, bytes]:
        request = self.total.to_bytes()
        return {_party(i): request for i in range(1, self._key.trustees + 1)}

    def finish(self, replies: Mapping[int, bytes]) -> np.ndarray:
        partials = []
        for party, data in replies.items():
            try:
                partial = PartialDecryption.from_bytes(data, self._key)
                if _party(partial.trustee) != party:
                    raise CiphertextError(f"it answered in the name of trustee {partial.trustee}")
                partials.append(partial)
            except CiphertextError as error:
                log.warning("%s: %s", party_name(party), error)
        try:
            total, rejected = self._key.combine(self.total, partials, self._context)
        except CiphertextError as error:
            raise RoundVoid(str(error)) from None
        for reason in rejected.values():
            log.warning("%s", reason)
        return total
