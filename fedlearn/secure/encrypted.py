"""The common parts of protections by encrypted sums: the client that encrypts, the server that adds unread, and the
opener that counts for itself what it is asked to open.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from gmpy2 import mpz

from fedlearn.checked import takes_plain
from fedlearn.configured import whole_number
from fedlearn.crypto import EncryptedVector, FixedPoint, PublicKey
from fedlearn.crypto.keys import Randomiser
from fedlearn.crypto.packing import LanePacking
from fedlearn.crypto.randomisers import DjnRandomiser, OrdinaryRandomiser
from fedlearn.errors import BadInput, FedlearnError, OpeningRefused, ProtocolError, RoundVoid
from fedlearn.groups import group_of
from fedlearn.protocol import RunPlan, Step, party_name
from fedlearn.sampling import not_drawn
from fedlearn.secure.base import ClientHalf, Opener, Protection, ServerHalf
from fedlearn.secure.kept import KeptKeys
from fedlearn.secure.opened import OpenedRounds
from fedlearn.secure.price import Price, power_seconds
from fedlearn.secure.signed import Signed
from fedlearn.wording import many

FEWEST_ADDENDS = 2  # a sum of one update is no secret
MOST_VALUES = 10**12  # of one update: no machine holds as many


class EncryptedSums(Protection):
    """The phases of such a protection: one exchange, in which clients train, encrypt and sign.

    keys: the folder of keys that are kept over several runs; None for new ones. Clients are not told of it.
    """

    signed = True
    hiding = "encrypting"
    key_bits: int
    max_overlap: int | None
    keys: KeptKeys | None = None

    @abstractmethod
    def encryption_key(self, plan: RunPlan) -> PublicKey:
        """The key that clients encrypt under; raises `BadInput` where the plan has no such key."""

    def check_keys(self, plan: RunPlan) -> None:
        bits = self.encryption_key(plan).bits
        if bits != self.key_bits:
            raise ProtocolError(f"the plan says key_bits={self.key_bits}, and its key has {bits}: whose is it?")

    def fingerprint(self, plan: RunPlan) -> str:
        return self.encryption_key(plan).fingerprint.hex()

    @takes_plain
    def check_cohorts(self, cohort: int, population: int) -> None:
        least = max(0, 2 * cohort - population)
        if self.max_overlap is not None and least > self.max_overlap:
            raise BadInput(
                f"max_overlap is {self.max_overlap}, and any two cohorts of {cohort} of {many(population, 'client')} "
                f"share {least} or more, so that one round is opened and no other: raise it, or sample fewer clients"
            )

    @takes_plain
    def price(self, values: int) -> Price:
        whole_number("values", values, 0, MOST_VALUES)
        ciphertexts = LanePacking(self.codec.lane_bits, mpz(1) << (self.key_bits - 1)).plaintexts(values)
        # A client's randomisers come from a table, of some eight bits of the exponent a step, which is half as long.
        table = power_seconds(2 * self.key_bits, self.key_bits // 2) / 8
        return Price(ciphertexts * table, ciphertexts * self.opening_seconds())

    @abstractmethod
    def opening_seconds(self) -> float:
        """Of one ciphertext, until its openers have opened it."""

    def arguments(self) -> dict[str, Any]:
        return {name: value for name, value in super().arguments().items() if name != "keys"}


def check_sums(min_cohort: int, max_overlap: int | None) -> None:
    """Raise `BadInput` for limits of sums that protect nobody, or that no sum can keep to."""
    if max_overlap is not None and max_overlap < 0:
        raise BadInput(f"max_overlap is {max_overlap}, two cohorts share 0 clients at least: give 0 or more")
    if min_cohort < FEWEST_ADDENDS:
        raise BadInput(
            f"min_cohort is {min_cohort}, a sum of fewer than {FEWEST_ADDENDS} updates is no secret: raise it"
        )


def proof_context(plan: RunPlan, step: Step) -> bytes:
    """The context of openers' proofs: a proof is worth nothing in another session, attempt or group."""
    return plan.digest + f"{step.round}/{step.attempt}/{step.group}".encode()


@lru_cache(maxsize=2)
def _randomiser(public: PublicKey, ciphertexts: int) -> Randomiser:
    """Cached per process: one run's randomiser, with a table sized for that many ciphertexts if the key allows one."""
    return DjnRandomiser(public, ciphertexts) if public.blum else OrdinaryRandomiser(public)


class EncryptingClient(ClientHalf):
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


class AddingServer(ServerHalf):
    """Adds ciphertexts as they arrive: memory of one vector, whatever the cohort.

    codec, length: of every client's vector, as the plan has them.
    """

    def __init__(self, public: PublicKey, codec: FixedPoint, length: int):
        self._public = public
        self._codec = codec
        self._length = length
        self._total: EncryptedVector | None = None

    def receive(self, phase: str, client: int, payload: bytes) -> None:
        vector = EncryptedVector.from_bytes(payload, self._public)
        if vector.shape != (self._length,):
            raise ProtocolError(
                f"its update has shape {vector.shape}, the plan says ({self._length},): its model is another one"
            )
        if vector.codec != self._codec:
            raise ProtocolError(f"its update was encoded by {vector.codec}, the plan says {self._codec}")
        _check_fresh(vector)
        if self._total is None:
            self._total = vector
        else:
            self._total += vector

    @property
    def addends(self) -> int:  # type: ignore[override]
        return 0 if self._total is None else self._total.addends

    @property
    def total(self) -> EncryptedVector:
        if self._total is None:
            raise RoundVoid("no encrypted update arrived: there is nothing to open")
        return self._total


@dataclass
class _Account:
    """Of one group: who sent, the product of what they sent, and what was wrong with any of it, "" if nothing was."""

    senders: set[int] = field(default_factory=set)
    total: EncryptedVector | None = None
    complaint: str = ""


class CountingOpener(Opener):
    """An opener's own account of a round: the product of the signed ciphertexts, and whose they are.

    Key holder and trustee add what they do with a sum that may be opened.

    min_cohort   the fewest clients in a sum that is opened; counted here, not claimed by anybody
    max_overlap  the most clients that the cohorts of two opened rounds may share, None for no limit: rounds
                 whose cohorts differ by one client give away that client's update, but for what the others
                 changed in between

    Where the plan cuts cohorts into groups, each group's sum is opened by itself, under the rules of a cohort's.
    Rounds are opened in rising order, each sum once, from 1 to as many as the plan says (`OpenedRounds`).
    """

    def __init__(self, public: PublicKey, min_cohort: int, max_overlap: int | None):
        self._public = public
        self._min_cohort = min_cohort
        self._opened = OpenedRounds(min_cohort, max_overlap)
        self._begin(Step(0))

    def recall(self, memory: Path) -> None:
        self._opened.recall(memory)

    def _begin(self, step: Step) -> None:
        self._step = (step.round, step.attempt)
        self._accounts: dict[int, _Account] = {}  # by group
        self._model = b""  # that the round's updates were trained from, after the first
        self._complaint = ""

    def submit(self, step: Step, client: int, signed: Signed) -> None:
        """Enter one client's signed update. What is wrong with it is kept, and said at the opening."""
        if (step.round, step.attempt) < self._step:
            return  # of an attempt that is over: it is in no sum
        if (step.round, step.attempt) > self._step:
            self._begin(step)
        try:
            account = self._accounts.setdefault(group_of(self.plan, step.round, client), _Account())
        except BadInput as error:
            self.complain(f"{party_name(client)}: {error}")
            return
        try:
            self._enter(account, client, signed)
        except BadInput as error:
            account.complaint = account.complaint or f"{party_name(client)}: {error}"

    def complain(self, reason: str) -> None:
        self._complaint = self._complaint or reason

    def _enter(self, account: _Account, client: int, signed: Signed) -> None:
        if client in account.senders:
            raise ProtocolError("a second update in one attempt: one is allowed")
        if self._model not in (b"", signed.model):
            raise ProtocolError("it trained another model than the rest of the cohort: all must get the same")
        vector = EncryptedVector.from_bytes(signed.payload, self._public)
        _check_fresh(vector)
        account.total = vector if account.total is None else account.total + vector
        account.senders.add(client)
        self._model = signed.model

    def authorise(self, step: Step, request: bytes) -> EncryptedVector:
        """The sum that may be opened; raises `OpeningRefused` with the rule that forbids it.

        request: the aggregator's own sum, which must be the product of what the clients signed.
        """
        number, account = (step.round, step.group), self._accounts.get(step.group, _Account())
        self._opened.check_number(number, self.plan.rounds)
        if self._complaint or account.complaint:
            raise OpeningRefused(self._complaint or account.complaint)
        if (step.round, step.attempt) != self._step or account.total is None:
            raise OpeningRefused(f"no signed update of {step} was seen: nothing can be opened")
        if len(account.senders) < self._min_cohort:
            raise OpeningRefused(
                f"{many(len(account.senders), 'client')} signed, at least {self._min_cohort} are required"
            )
        others = not_drawn(self.plan, step.round, account.senders, self.coins)
        if others:
            raise OpeningRefused(
                f"{party_name(others[0])} signed, whom the plan's sampler does not draw in round {step.round}: "
                "the cohort is not for the aggregator to choose"
            )
        self._opened.check_overlap(number, account.senders)
        try:
            asked = EncryptedVector.from_bytes(request, self._public)
        except FedlearnError as error:
            raise OpeningRefused(str(error)) from None
        if asked.ciphertexts != account.total.ciphertexts or asked.codec != account.total.codec:
            raise OpeningRefused(
                "the sum is not the product of the updates that clients signed: scaled, dropped, or replaced"
            )
        self._opened.enter(number, self._model, account.senders)
        return account.total


def _check_fresh(vector: EncryptedVector) -> None:
    if vector.addends != 1:
        raise ProtocolError(f"its update claims {many(vector.addends, 'addend')}, a client's has 1")
