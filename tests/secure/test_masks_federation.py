"""Federations under masks: the same model as without, through whatever clients vanish."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from aggregator import Aggregator, RunFolder
from clients import Client, InlinePool, ProcessPool
from fedlearn.crypto.lanes import residues_from_bytes
from fedlearn.crypto.masks import to_signed
from fedlearn.protocol import Lost, PartyView, Reply, Step, Update
from fedlearn.secure import Masks
from fedlearn.strategies.scaffold import Scaffold
from tests.secure.attempts import PHASES
from tests.toys import FailingBags, fitted, toy_clients, toy_codec, toy_model, toy_plain, toy_strategy


class LossyPool(InlinePool):
    """Loses clients at the steps that `lost` names by phase, as if their machines had gone."""

    def __init__(self, clients, lost: Mapping[str, list[int]]):
        super().__init__(clients)
        self.lost = lost

    def exchange(self, step: Step, broadcast: bytes, inboxes: Mapping[int, bytes]) -> Iterator[Reply | Lost]:
        gone = [client for client in self.lost.get(step.phase, ()) if client in inboxes]
        yield from (Lost(client, "vanished") for client in gone)
        yield from super().exchange(step, broadcast, {c: inbox for c, inbox in inboxes.items() if c not in gone})


def train(protection, pool, rounds: int = 2, **more):
    model = toy_model()
    history = fitted(Aggregator(model, toy_strategy(), protection, seed=5, **more), pool, rounds)
    return model.vector.tobytes(), history


def test_a_federation_under_masks_trains_the_same_model_as_without():
    weights, history = train(toy_plain(), InlinePool(toy_clients(6)))
    for protection, pool in [
        (Masks(toy_codec()), InlinePool(toy_clients(6))),
        (Masks(toy_codec(), neighbours=2), InlinePool(toy_clients(6))),
        (Masks(toy_codec()), ProcessPool(toy_clients(6), workers=2)),
    ]:
        masked, other = train(protection, pool)
        assert masked == weights
        assert other.model_sha256 == history.model_sha256
    assert set(other.rounds[0].seconds) == {*PHASES, "open"}


def test_a_federation_recovers_from_clients_that_vanish_at_every_step():
    """Those lost before their update arrives are left out of the sum, those lost after it stay in it."""
    clients = toy_clients(12)
    failing = [*clients[:11], Client("alice", FailingBags(OSError("no space")))]
    lost = {"keys": [0], "shares": [1], "check": [2], "unmask": [3]}
    weights, history = train(Masks(toy_codec()), LossyPool(failing, lost))
    plain, _ = train(toy_plain(), LossyPool(failing, {"update": [0, 1]}))
    assert weights == plain
    for record in history.rounds:
        assert record.void is None
        assert record.clients_ok == 9
        assert record.lost == {**dict.fromkeys(range(4), "vanished"), 11: "failed at its task"}


def test_clients_that_vanish_after_their_update_are_told_that_it_counted():
    class Settling(LossyPool):
        def settle(self, notice, clients, rounds):
            self.counted = list(clients)
            super().settle(notice, clients, rounds)

    pool = Settling(toy_clients(6), {"keys": [0], "check": [2], "unmask": [3]})
    history = Aggregator(toy_model(), Scaffold(), Masks(toy_codec()), seed=5).fit(pool, 1)
    assert history.rounds[0].void is None
    assert pool.counted == [1, 2, 3, 4, 5]


def test_few_clients_left_to_unmask_are_enough_if_they_meet_the_threshold():
    weights, history = train(Masks(toy_codec()), LossyPool(toy_clients(3), {"unmask": [1]}))
    plain, _ = train(toy_plain(), InlinePool(toy_clients(3)))
    assert weights == plain
    assert history.rounds[0].clients_ok == 3


def test_a_federation_that_loses_too_many_voids_the_round_and_keeps_the_model():
    weights, history = train(Masks(toy_codec()), LossyPool(toy_clients(6), {"check": [0, 1, 2]}))
    assert weights == toy_model().vector.tobytes()
    assert "3 of the 6 holders of client-0's shares are left, 4 are needed" in history.rounds[0].void
    weights, history = train(Masks(toy_codec()), LossyPool(toy_clients(4), {"update": [0, 1]}))
    assert "2 clients answered, 3 are needed" in history.rounds[0].void


def test_the_aggregator_sees_no_clients_update(tmp_path):
    """What it receives under masks holds none of the plain updates, which the same run without masks shows."""
    seen = {}
    for name, protection in (("plain", toy_plain()), ("masks", Masks(toy_codec()))):
        folder = RunFolder(tmp_path / name, {"seed": 5}, {"name": "toy"}, record=True)
        train(protection, InlinePool(toy_clients(4)), folder=folder)
        view = PartyView.load(folder.path)
        seen[name] = [b.payload for m, b in view.bodies(Update) if m.step.phase == "update"]
    length = len(seen["plain"][0]) // 4
    bits = toy_codec().lane_bits
    plain = [np.frombuffer(payload, "<i4").tolist() for payload in seen["plain"]]
    masked = [to_signed(residues_from_bytes(p[32:], bits, length), bits).tolist() for p in seen["masks"]]
    assert len(plain) == len(masked) == 8
    for one in masked:
        assert all(sum(map(int.__eq__, one, other)) < 3 for other in plain)
