"""Checks that every protection must pass: its halves, played through one attempt without a federation around them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from fedlearn.crypto.signing import SigningKey
from fedlearn.errors import OpeningRefused, RoundVoid
from fedlearn.protocol import RunPlan, Step
from fedlearn.registry import find
from fedlearn.secure.base import Opener, Protection
from fedlearn.secure.layout import Layout
from fedlearn.secure.segments import Segment
from fedlearn.secure.signed import Signed
from fedlearn.testing.toys import plain_data
from fedlearn.travel import description
from fedlearn.wording import many

CLIENTS, LENGTH = 5, 9


def check_protection(protection: Protection) -> None:
    """Raise `AssertionError` unless `protection` sums what clients send, exactly, and opens no more than that.

    * Its arguments rebuild it, through the bytes of a run plan.
    * The sum of all clients' vectors comes out exactly, and so does that of the rest where one vanishes.
    * Fewer than `min_cohort` clients' sum does not come out.
    * What a client sends has the same length whatever its vector holds.

    The codec must hold 5 addends. Openers run in this process: nothing here shows that they are apart.
    """
    arguments = protection.arguments()
    again = type(protection).rebuild(_mapping(plain_data(arguments)))
    assert again.arguments() == arguments, f"rebuilt from its arguments, it has others: {again.arguments()}"
    with TemporaryDirectory() as folder:
        for number, vanish in enumerate((set(), {2})):
            vault = Path(folder) / str(number)
            vault.mkdir(mode=0o700)
            _check_sum(again, vault, vanish)
        vault = Path(folder) / "few"
        vault.mkdir(mode=0o700)
        _check_too_few(again, vault)


def _mapping(value: object) -> dict[str, object]:
    assert isinstance(value, dict), f"arguments() gives a {type(value).__name__}: give a dict of plain data"
    return value


def _vectors(protection: Protection) -> np.ndarray:
    """Whole numbers as clients encode them, int64 (K, n): random ones, all zero, the largest, the smallest."""
    limit = protection.codec.limit
    vectors = np.random.default_rng(1).integers(-limit, limit + 1, (CLIENTS, LENGTH))
    vectors[1], vectors[3], vectors[4] = 0, limit, -limit
    return vectors


def _check_sum(protection: Protection, vault: Path, vanish: Collection[int]) -> None:
    vectors = _vectors(protection)
    with _attempt(protection, vault) as attempt:
        total = attempt.play(vectors, vanish)
    expected = np.delete(vectors, list(vanish), axis=0).sum(axis=0)
    assert np.array_equal(total, expected), f"the sum is {total}, of the integers it is {expected}: it must be exact"
    lengths = {phase: sorted(sizes) for phase, sizes in attempt.sizes.items() if phase == protection.training_phase}
    assert all(len(sizes) == 1 for sizes in lengths.values()), (
        f"payloads of {lengths} bytes: a client's must not depend on its vector"
    )


def _check_too_few(protection: Protection, vault: Path) -> None:
    if protection.min_cohort < 2:
        return
    vanish = range(protection.min_cohort - 1, CLIENTS)
    try:
        with _attempt(protection, vault) as attempt:
            attempt.play(_vectors(protection), vanish)
    except (RoundVoid, OpeningRefused):
        return
    raise AssertionError(
        f"a sum of {many(CLIENTS - len(vanish), 'client')} was opened, min_cohort is {protection.min_cohort}"
    )


class _Attempt:
    def __init__(
        self, protection: Protection, plan: RunPlan, openers: dict[int, Opener], signing: dict[int, SigningKey]
    ):
        self._signing = signing
        self._protection = protection
        self._plan = plan
        self._openers = openers
        self.sizes: dict[str, set[int]] = {}

    def play(self, vectors: np.ndarray, vanish: Collection[int]) -> np.ndarray:
        """The opened sum; vanish: clients that never answer in the phase in which clients train."""
        protection = self._protection
        server = protection.server(self._plan, Step(1))
        clients = {i: protection.client(self._plan, i) for i in range(CLIENTS)}
        if protection.enrolled:
            for client, half in clients.items():
                half.identify(self._signing[client], Step(1))
        alive = list(clients)
        for phase in protection.phases:
            step, training = Step(1, 0, phase), phase == protection.training_phase
            for client, inbox in server.inboxes(phase, alive).items():
                if training and client in vanish:
                    alive.remove(client)
                    continue
                payload = clients[client].step(phase, inbox, vectors[client] if training else None)
                self.sizes.setdefault(phase, set()).add(len(payload))
                server.receive(phase, client, payload)
                if training and protection.signed:
                    for opener in self._openers.values():
                        opener.submit(step, client, Signed(bytes(32), payload))
            if max(len(alive), server.addends) < protection.min_cohort:
                raise RoundVoid("too few clients are left")
        replies: dict[int, bytes] = {}
        for phase in server.opening:
            step, requests = Step(1, 0, phase), server.requests(phase, replies)
            replies = {party: self._openers[party].open(step, request) for party, request in requests.items()}
        return server.finish(replies)


@contextmanager
def _attempt(protection: Protection, vault: Path) -> Iterator[_Attempt]:
    dealer = protection.dealer(vault)
    if dealer is not None:
        find(dealer.factory)(**dealer.arguments)
    openers: dict[int, Opener] = {s.party: find(s.factory)(**s.arguments) for s in protection.openers(vault)}
    signing = {client: SigningKey() for client in range(CLIENTS)} if protection.has_roster else {}
    plan = RunPlan(
        session=bytes(16),
        roster={client: key.public for client, key in signing.items()},
        model={},
        vocabulary={},
        strategy={},
        protection=description(protection),
        keys={party: opener.public_key() for party, opener in openers.items()},
        layout=Layout((Segment("delta", LENGTH, protection.codec),), max_weight=1).to_dict(),
        sampled=CLIENTS,
        rounds=1,
        kernels={},
        seed=0,
    )
    for opener in openers.values():
        opener.join(plan)
    yield _Attempt(protection, plan, openers, signing)
