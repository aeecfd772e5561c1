"""Threshold Paillier: a key that nobody holds. t of n trustees together open a sum, fewer learn nothing.

A dealer, a process that ends before the session starts, makes the key and leaves each trustee its share in a file
of mode 0600. Trustees check signatures and count clients as a key holder does; each proves that its partial
decryption is right, and the aggregator combines t of them. It needs no trust in any one trustee, only in the dealer
to have forgotten the primes, and in fewer than t trustees colluding.

An opening takes two exchanges. First each trustee signs, once a round, which sum it saw (an echo); it decrypts only
when shown the echoes of t trustees for that very sum. Any two sets of t share more than `colluding` trustees where
2t > n + colluding, so that an honest one is in both, and no two sums of one round can be opened (quorums that
intersect: Malkhi and Reiter 1998, "Byzantine quorum systems").
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np

from fedlearn.checked import takes_plain
from fedlearn.configured import make_plain
from fedlearn.crypto import EncryptedVector, FixedPoint, PublicKey
from fedlearn.crypto.keyfiles import read_secret, write_secret
from fedlearn.crypto.keys import KEY_BITS, check_bits
from fedlearn.crypto.signing import PUBLIC_BYTES, SigningKey
from fedlearn.crypto.threshold import KeyShare, PartialDecryption, ThresholdKey, check_parties, deal
from fedlearn.disk import write_atomic
from fedlearn.errors import (
    BadInput,
    CiphertextError,
    CryptoKeyError,
    FedlearnError,
    OpeningRefused,
    ProtocolError,
    RoundVoid,
)
from fedlearn.protocol import FIRST_OPENER, RunPlan, Step, party_name
from fedlearn.secure.base import DEFAULT_CODEC, MIN_COHORT, DealerSpec, OpenerSpec, Settings
from fedlearn.secure.echoes import echoed, read_echoes, what_is_echoed, write_echoes
from fedlearn.secure.encrypted import (
    AddingServer,
    CountingOpener,
    EncryptedSums,
    EncryptingClient,
    check_sums,
    proof_context,
)
from fedlearn.secure.kept import SHARED, KeptKeys, kept_share, share_name
from fedlearn.secure.layout import vector_length
from fedlearn.secure.price import cores, power_seconds
from fedlearn.spec import Key, read_settings
from fedlearn.untrusted import content
from fedlearn.wording import many

log = logging.getLogger(__name__)
PARTIES = (4, 5)  # t of n, where nobody says others
ECHO = "echo"  # the phase in which trustees say which sum they saw


@dataclass(frozen=True)
class Threshold(EncryptedSums):
    """Paillier's encryption under a key shared among `trustees`, `threshold` of whom open a sum.

    threshold, trustees: t and n, 2 <= t <= n and n < 2t. The rest is as in `Paillier`; keys that are kept say t and n,
    and shares of up to n - t trustees may be lost.

    With up to `colluding` = 2t - n - 1 trustees that help the aggregator to cheat, a round still has one opening; t of
    them open anything. Up to n - t may be absent.
    """

    threshold: int = PARTIES[0]
    trustees: int = PARTIES[1]
    key_bits: int = KEY_BITS
    codec: FixedPoint = DEFAULT_CODEC
    min_cohort: int = MIN_COHORT
    max_overlap: int | None = None
    insecure_test_key: bool = False
    keys: KeptKeys | None = field(default=None, compare=False)

    name = "threshold"

    def __post_init__(self) -> None:
        make_plain(self)
        if self.keys is not None:
            self._take(self.keys)
        check_parties(self.threshold, self.trustees)
        if 2 * self.threshold <= self.trustees:
            raise BadInput(
                f"threshold {self.threshold}/{self.trustees}: two sets of trustees could each open another sum of one "
                f"round; at least {self.trustees // 2 + 1} of {self.trustees} are needed"
            )
        check_sums(self.min_cohort, self.max_overlap)
        check_bits(self.key_bits, self.insecure_test_key)

    def _take(self, keys: KeptKeys) -> None:
        """Be as the kept keys are; raises `CryptoKeyError` where another t, n or size was asked for."""
        key = keys.shared(self.insecure_test_key)
        asked, held = (self.threshold, self.trustees), (key.threshold, key.trustees)
        if asked not in (PARTIES, held):
            raise CryptoKeyError(
                f"threshold {asked[0]}/{asked[1]}: the key in {keys.folder} is {held[0]}/{held[1]}, leave T/N out"
            )
        keys.check_bits(self.key_bits, key.public.bits)
        there = keys.shares(key.trustees)
        if len(there) < key.threshold:
            raise CryptoKeyError(
                f"{keys.folder} holds {len(there)} of {many(key.trustees, 'share')}, {key.threshold} are needed to "
                "open a sum: bring them back, or make new keys with fedlearn keys generate"
            )
        for name, value in (("threshold", held[0]), ("trustees", held[1]), ("key_bits", key.public.bits)):
            object.__setattr__(self, name, value)

    @classmethod
    @takes_plain
    def from_spec(cls, argument: str | None, settings: Settings) -> Self:
        """`threshold:T/N`; where nothing is said, 4/5 or as the kept keys are."""
        parties = {"T/N": Key(Annotated[Any, parties_in], example="4/5")}
        default = "/".join(map(str, PARTIES))
        threshold, trustees = read_settings(argument or default, parties, "protection threshold")["T/N"]
        return cls(
            threshold, trustees, settings.key_bits, settings.codec, settings.min_cohort,
            settings.max_overlap, settings.insecure_test_key, settings.keys,
        )  # fmt: skip

    @property
    def colluding(self) -> int:
        """How many trustees may help the aggregator without there being two openings of one round."""
        return 2 * self.threshold - self.trustees - 1

    @property
    def _numbers(self) -> range:
        """The trustees, by number."""
        return range(1, self.trustees + 1)

    def client(self, plan: RunPlan, client: int) -> EncryptingClient:
        return EncryptingClient(self.encryption_key(plan), self.codec, plan.sampled * plan.rounds)

    def server(self, plan: RunPlan, step: Step) -> ThresholdServer:
        return ThresholdServer(self._key(plan), self.codec, plan, step)

    def opening_seconds(self) -> float:
        side_by_side = min(cores(), self.trustees)
        answers = self.trustees * power_seconds(self.key_bits, self.key_bits) / side_by_side
        return answers + power_seconds(2 * self.key_bits, self.key_bits) / cores()

    def encryption_key(self, plan: RunPlan) -> PublicKey:
        return self._key(plan).public

    def check_keys(self, plan: RunPlan) -> None:
        super().check_keys(plan)
        key, named = self._key(plan), set(plan.keys)
        if (key.threshold, key.trustees) != (self.threshold, self.trustees):
            raise ProtocolError(
                f"the plan says threshold:{self.threshold}/{self.trustees}, and its key is "
                f"{key.threshold}/{key.trustees}: whose is it?"
            )
        if not named <= {party_of(i) for i in self._numbers} or len(named) < self.threshold:
            raise ProtocolError(
                f"the plan has keys of {many(len(named), 'trustee')}, which are not those of the protection"
            )

    def _key(self, plan: RunPlan) -> ThresholdKey:
        """The key that all trustees name."""
        named = {key[PUBLIC_BYTES:] for key in plan.keys.values()}
        if len(named) != 1:
            raise ProtocolError(
                f"the trustees name {many(len(named), 'different key')} in the plan, all must hold shares of one"
            )
        return _read_key(named.pop(), self.insecure_test_key)

    def dealer(self, vault: Path) -> DealerSpec | None:
        if self.keys is not None:
            return None
        arguments = {
            "threshold": self.threshold,
            "trustees": self.trustees,
            "key_bits": self.key_bits,
            "insecure_test_key": self.insecure_test_key,
            "vault": vault,
        }
        return DealerSpec("fedlearn.secure.threshold:deal_into", arguments)

    def openers(self, vault: Path) -> tuple[OpenerSpec, ...]:
        folder, kept = (vault, None) if self.keys is None else (self.keys.folder, self.keys)
        arguments = {
            "key": folder / SHARED,
            "min_cohort": self.min_cohort,
            "max_overlap": self.max_overlap,
            "insecure_test_key": self.insecure_test_key,
            "kept": kept,
        }
        present = self._numbers if kept is None else kept.shares(self.trustees)
        for lost in sorted(set(self._numbers) - set(present)):
            log.warning("%s is lost: the other trustees open sums without it", folder / share_name(lost))
        return tuple(
            OpenerSpec(
                party_of(i), "fedlearn.secure.threshold:Trustee", arguments | {"share": folder / share_name(i)},
                asks=kept is not None,
            )
            for i in present
        )  # fmt: skip


def party_of(trustee: int) -> int:
    """Trustee 1, 2... is opener 0, 1..."""
    return FIRST_OPENER - (trustee - 1)


def parties_in(text: str) -> tuple[int, int]:
    """(t, n) of a text "t/n"."""
    threshold, _, trustees = (part.strip() for part in text.partition("/"))
    if not (threshold.isdecimal() and trustees.isdecimal()):
        raise BadInput(f"protection threshold with {text!r}: two whole numbers are needed, as in threshold:4/5")
    return int(threshold), int(trustees)


@lru_cache(maxsize=4)
def _read_key(data: bytes, insecure_test_key: bool) -> ThresholdKey:
    """One object a key and process: its randomiser's table is built once."""
    return ThresholdKey.from_bytes(data, insecure_test_key=insecure_test_key)


def deal_into(
    threshold: int, trustees: int, key_bits: int, insecure_test_key: bool, vault: Path, passphrase: str | None = None
) -> ThresholdKey:
    """The dealer's life: a key, its shares in a file each, and the primes forgotten."""
    key, shares = deal(threshold, trustees, key_bits, insecure_test_key=insecure_test_key)
    for share in shares:
        write_secret(vault / share_name(share.trustee), share.to_bytes(), passphrase)
    write_atomic(vault / SHARED, key.to_bytes())
    return key


class Trustee(CountingOpener):
    """Holds one share, and uses it on nothing but the sum of what enough clients signed."""

    def __init__(
        self,
        key: Path,
        share: Path,
        min_cohort: int,
        max_overlap: int | None,
        insecure_test_key: bool,
        kept: KeptKeys | None = None,
    ):
        self._key = ThresholdKey.from_bytes(content(key), insecure_test_key=insecure_test_key)
        if kept is None:
            self._share = KeyShare.from_bytes(read_secret(share), self._key)
            share.unlink()  # it is needed nowhere else, and a file is easier to take than memory
        else:
            self._share = kept_share(share, kept.passphrase_file, self._key)
        self._signing = SigningKey()
        self._promised: tuple[Step, EncryptedVector] | None = None  # what was authorised last
        super().__init__(self._key.public, min_cohort, max_overlap)

    def to_state(self) -> bytes:
        return self._signing.to_bytes()

    def from_state(self, data: bytes) -> None:
        self._signing = SigningKey(data)

    def public_key(self) -> bytes:
        """The keys that its echoes are checked with, and the key of which it holds a share."""
        return self._signing.public + self._key.to_bytes()

    def open(self, step: Step, request: bytes) -> bytes:
        """In phase echo the signature of a sum, if it may be opened; in phase open its partial decryption."""
        if step.phase == ECHO:
            self._promised = None  # also where this one is refused
            self._promised = step, self.authorise(step, request)
            return self._signing.sign(*what_is_echoed(self.plan, *self._promised))
        promised, total = self._promised or (None, None)
        if total is None or replace(step, phase=ECHO) != promised:
            raise OpeningRefused(f"no sum of {step} was authorised: trustees echo before they open")
        self._check_echoes(step, total, request)
        self._promised = None
        return self._share.partial_decrypt(total, proof_context(self.plan, step)).to_bytes(self._key)

    def _check_echoes(self, step: Step, total: EncryptedVector, request: bytes) -> None:
        """Raise `OpeningRefused` unless enough trustees signed this very sum."""
        echoes = dict(read_echoes(request))  # one a trustee
        right = sum(echoed(self.plan, step, total, party, signature) for party, signature in echoes.items())
        if right < self._key.threshold:
            raise OpeningRefused(
                f"{many(right, 'trustee')} signed this sum, {self._key.threshold} are needed to open it"
            )


class ThresholdServer(AddingServer):
    """The aggregator's half: asks every trustee, and combines t partial decryptions whose proofs are right."""

    opening = (ECHO, "open")

    def __init__(self, key: ThresholdKey, codec: FixedPoint, plan: RunPlan, step: Step):
        super().__init__(key.public, codec, vector_length(plan))
        self._key = key
        self.enough = key.threshold
        self._plan = plan
        self._step = step
        self._context = proof_context(plan, step)
        self._partials: dict[int, PartialDecryption] = {}  # by party, those whose proof is right

    def requests(self, phase: str, replies: Mapping[int, bytes]) -> dict[int, bytes]:
        """First the sum, to be echoed; then the echoes, to whoever gave one."""
        if phase == ECHO:
            request = self.total.to_bytes()
            return dict.fromkeys(self._plan.keys, request)
        right = {party: echo for party, echo in replies.items() if self._is_right(ECHO, party, echo)}
        if len(right) < self._key.threshold:
            raise RoundVoid(f"{many(len(right), 'trustee')} signed the sum, {self._key.threshold} are needed")
        return dict.fromkeys(right, write_echoes(right))

    def answered(self, phase: str, party: int, payload: bytes) -> None:
        """Check an echo, or a partial decryption, whose proof is not looked at twice."""
        if phase == ECHO:
            if not echoed(self._plan, self._step, self.total, party, payload):
                raise ProtocolError("it signed another sum, or nothing")
        elif party not in self._partials:
            partial = PartialDecryption.from_bytes(payload, self._key)
            if party_of(partial.trustee) != party:
                raise CiphertextError(f"it answered in the name of trustee {partial.trustee}")
            self._key.verify(self.total, partial, self._context)
            self._partials[party] = partial

    def _is_right(self, phase: str, party: int, payload: bytes) -> bool:
        try:
            self.answered(phase, party, payload)
        except FedlearnError as error:
            log.warning("%s: %s", party_name(party), error)
            return False
        return True

    def finish(self, replies: Mapping[int, bytes]) -> np.ndarray:
        right = [self._partials[party] for party, data in replies.items() if self._is_right("open", party, data)]
        try:
            return self._key.combine_verified(self.total, right, cores())
        except CiphertextError as error:
            raise RoundVoid(str(error)) from None
