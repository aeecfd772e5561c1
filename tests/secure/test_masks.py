"""Masks: the sum comes out exactly whoever vanishes when, or not at all; and nobody gets both shares of a client."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aggregator import Aggregator, RunFolder
from clients import Client, InlinePool, ProcessPool
from fedlearn.crypto import FixedPoint
from fedlearn.crypto.lanes import residues_from_bytes
from fedlearn.crypto.masks import to_signed
from fedlearn.crypto.shamir import SHARE_BYTES
from fedlearn.errors import BadInput, CryptoKeyError, ProtocolError, RoundVoid
from fedlearn.protocol import Lost, PartyView, Reply, RunPlan, Step, Update
from fedlearn.secure import PROTECTIONS, Masks
from fedlearn.secure.base import Settings
from fedlearn.secure.layout import Layout, Segment
from tests.toys import FailingBags, toy_clients, toy_codec, toy_model, toy_plain, toy_strategy

PHASES = Masks.phases
STAYS = len(PHASES)


class Attempt:
    """An attempt as a session plays it, a phase at a time. length: of the vectors."""

    def __init__(self, protection: Masks, count: int, length: int = 9, seed: int = 0):
        layout = Layout((Segment("delta", length, protection.codec, True),), max_weight=1)
        about = {"name": protection.name, "arguments": protection.arguments()}
        plan = RunPlan(bytes(16), {}, {}, {}, {}, about, {}, layout.to_dict(), count, 1, {}, 0)
        limit = protection.codec.limit
        self.vectors = np.random.default_rng(seed).integers(-limit, limit + 1, (count, length))
        self.protection = protection
        self.server = protection.server(plan, Step(1))
        self.clients = {client: protection.client(plan, client) for client in range(count)}
        self.alive = list(range(count))
        self.summed: list[int] = []
        self.refused: dict[int, str] = {}

    def play(self, phase: str, vanish=(), change_up=None, change_down=None) -> None:
        """vanish: clients that never answer. change: (client, bytes) -> bytes, damage on the way."""
        inboxes = self.server.inboxes(phase, self.alive)
        for client, inbox in inboxes.items():
            try:
                if client in vanish:
                    raise ProtocolError("vanished")
                told = change_down(client, inbox) if change_down else inbox
                payload = self.clients[client].step(phase, told, self.vectors[client] if phase == "update" else None)
                self.server.receive(phase, client, change_up(client, payload) if change_up else payload)
            except BadInput as error:
                self.refused[client] = str(error)
                self.alive.remove(client)
        if phase == "update":
            self.summed = list(self.alive)
        if max(len(self.alive), len(self.summed)) < self.protection.min_cohort:
            raise RoundVoid("too few clients answered")

    def upto(self, last: str) -> Attempt:
        """Play the phases before `last`, with everybody."""
        for phase in PHASES[: PHASES.index(last)]:
            self.play(phase)
        return self

    def finish(self) -> np.ndarray:
        return self.server.finish({})

    def plain_sum(self) -> np.ndarray:
        return self.vectors[self.summed].sum(axis=0)


@settings(max_examples=40, deadline=None)
@given(
    bits=st.integers(2, 50), fates=st.lists(st.sampled_from([*range(STAYS), *[STAYS] * 9]), min_size=3, max_size=14),
    length=st.integers(1, 80), seed=st.integers(0, 2**32),
)  # fmt: skip
@example(bits=24, fates=[STAYS] * 3, length=5, seed=0)
@example(bits=24, fates=[0, 1, 2, 3, 4, *[STAYS] * 9], length=5, seed=0)
def test_the_sum_is_exact_whoever_vanishes_when_or_the_round_is_void(bits, fates, length, seed):
    """All pairs: it is void exactly if fewer than min_cohort add, or fewer than the threshold stay to the end."""
    protection = Masks(FixedPoint(bits=bits, bound=1.0, addends=len(fates)))
    attempt = Attempt(protection, len(fates), length, seed)
    joined = sum(fate > 0 for fate in fates)
    added = sum(fate > PHASES.index("update") for fate in fates)
    stayed = sum(fate == STAYS for fate in fates)
    try:
        for number, phase in enumerate(PHASES):
            attempt.play(phase, {client for client, fate in enumerate(fates) if fate == number})
        total = attempt.finish()
    except RoundVoid:
        assert min(joined, added) < 3 or stayed < protection.guarantee(joined).threshold
    else:
        assert total.dtype == np.int64
        assert total.tolist() == attempt.plain_sum().tolist()
        assert attempt.server.addends == added
        assert stayed >= protection.guarantee(joined).threshold


@pytest.mark.parametrize("count", range(3, 22))
def test_any_number_of_shares_works(count):
    """Even or odd: all pairs, as many shares as clients, as many vanishing as the threshold leaves."""
    protection = Masks(toy_codec(addends=21))
    attempt = Attempt(protection, count).upto("update")
    spare = count - protection.guarantee(count).threshold
    attempt.play("update", vanish=range(min(spare, count - 3)))
    attempt.play("check")
    attempt.play("unmask")
    assert attempt.finish().tolist() == attempt.plain_sum().tolist()


@pytest.mark.parametrize("neighbours", range(2, 25))
def test_any_number_of_neighbours_works(neighbours):
    """On a circle an odd number is rounded up; more than there are others means all pairs."""
    protection = Masks(toy_codec(addends=23), neighbours=neighbours)
    chosen = protection.guarantee(23)
    assert chosen.degree == min(neighbours + neighbours % 2, 22)
    assert 2 * chosen.threshold > chosen.degree + 1
    attempt = Attempt(protection, 23).upto("update")
    attempt.play("update", vanish=[7] if neighbours > 2 else [])
    attempt.play("check")
    attempt.play("unmask", vanish=[3] if neighbours > 4 else [])
    assert attempt.finish().tolist() == attempt.plain_sum().tolist()


@pytest.mark.parametrize("neighbours", [None, 20])
def test_fifty_clients_a_fifth_of_whom_vanish_at_different_steps(neighbours):
    attempt = Attempt(Masks(toy_codec(addends=50), neighbours=neighbours), 50, 500)
    gone = np.random.default_rng(3).permutation(50)[:10].reshape(5, 2)
    for phase, vanish in zip(PHASES, gone, strict=True):
        attempt.play(phase, vanish)
    assert attempt.finish().tolist() == attempt.plain_sum().tolist()
    assert len(attempt.summed) == 44
    assert len(attempt.alive) == 40


@pytest.mark.parametrize("phase", PHASES[1:])
def test_too_many_dropouts_void_the_round_and_say_why(phase):
    attempt = Attempt(Masks(toy_codec()), 10).upto(phase)
    threshold = attempt.protection.guarantee(10).threshold
    attempt.play(phase, vanish=range(10 - threshold + 1))
    reason = rf"{threshold - 1} of the 10 holders of client:\d's shares are left, {threshold} are needed"
    with pytest.raises(RoundVoid, match=reason):
        [*map(attempt.play, PHASES[PHASES.index(phase) + 1 :]), attempt.finish()]


def test_one_masked_vector_says_nothing_and_is_another_in_each_attempt():
    """The residues of vectors of zeros take every value equally often; so do those of two clients of three."""
    seen = []
    for _ in range(2):
        attempt = Attempt(Masks(FixedPoint(bits=8, bound=1.0, addends=4)), 3, 64_000).upto("update")
        attempt.vectors[:] = 0
        attempt.play("update", change_up=lambda client, payload: seen.append(payload) or payload)
    residues = [residues_from_bytes(payload[32:], 10, 64_000) for payload in seen]
    pair = (residues[0] + residues[1]) % 1024
    for one in (*residues, pair):
        counts = np.bincount(one.astype(np.int64), minlength=1024)
        assert ((counts - 62.5) ** 2 / 62.5).sum() < 1300  # chi square: 1023 degrees of freedom, p < 1e-8
    for i, one in enumerate(residues):
        for other in residues[:i]:
            assert np.count_nonzero(one == other) < 200


def records(payload: bytes, width: int) -> dict[int, bytes]:
    return dict(struct.Struct(f">I{width}s").iter_unpack(payload))


def table(entries: Mapping[int, bytes]) -> bytes:
    return b"".join(struct.pack(">I", client) + entries[client] for client in sorted(entries))


def survivors(*clients: int) -> bytes:
    return table(dict.fromkeys(clients, b""))


def test_one_share_a_client_is_revealed_and_only_once():
    attempt = Attempt(Masks(toy_codec()), 5).upto("update")
    attempt.play("update", vanish=[4])
    attempt.play("check")
    inbox = attempt.server.inboxes("unmask", attempt.alive)[0]
    revealed = records(attempt.clients[0].step("unmask", inbox, None), SHARE_BYTES)
    assert sorted(revealed) == [0, 1, 2, 3, 4]
    for phase in PHASES:
        with pytest.raises(ProtocolError, match="each is answered once, in order"):
            attempt.clients[0].step(phase, inbox, attempt.vectors[0])


def test_a_client_vouches_for_one_set_of_survivors():
    attempt = Attempt(Masks(toy_codec()), 5).upto("check")
    attempt.clients[0].step("check", survivors(0, 1, 2, 3), None)
    with pytest.raises(ProtocolError, match="each is answered once, in order"):
        attempt.clients[0].step("check", survivors(0, 2, 3, 4), None)


def test_an_aggregator_that_wants_both_shares_of_a_client_is_refused():
    """It tells two clients that 4 vanished and the others that it survived. At most one camp is a majority."""
    attempt = Attempt(Masks(toy_codec()), 5).upto("check")
    camps = {client: (0, 1, 2, 3) if client < 2 else (0, 1, 2, 3, 4) for client in range(5)}
    said = {c: records(attempt.clients[c].step("check", survivors(*camps[c]), None), 28) for c in range(5)}

    def unmask(client: int, senders) -> bytes:
        inbox = {sender: said[sender][client] for sender in senders if sender != client}
        return attempt.clients[client].step("unmask", table(inbox), None)

    for client in range(4):
        with pytest.raises(ProtocolError, match=r"client:\d sent is damaged, forged, or speaks of other survivors"):
            unmask(client, range(4))
    for client in (0, 1):
        with pytest.raises(ProtocolError, match="2 holders vouch for the survivors, 3 are needed"):
            unmask(client, (0, 1))
    for client in (2, 3, 4):
        unmask(client, (2, 3, 4))


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (survivors(0, 1), "told of 2 survivors"),
        (survivors(1, 2, 3), "told of 3 survivors: this client must be among them"),
        (survivors(0, 1, 2, 9), "client:9, which has no part in it"),
        (survivors(0, 1) + survivors(1, 2), "each client once, ascending"),
        (survivors(1, 2) + survivors(0), "each client once, ascending"),
        (survivors(0, 1, 2)[:-1], "11 bytes"),
        (b"", "told of 0 survivors"),
        (survivors(0, 1, 2, 4), "client:4 is said to survive, but its letter never came"),
    ],
)
def test_survivors_that_cannot_be_are_refused(told, said):
    attempt = Attempt(Masks(toy_codec()), 6).upto("shares")
    attempt.play("shares", vanish=[4])
    attempt.play("update")
    with pytest.raises(ProtocolError, match=said):
        attempt.clients[0].step("check", told, None)
    with pytest.raises(ProtocolError, match="this attempt is at check"):
        attempt.clients[0].step("unmask", b"", None)


def test_too_few_survivors_among_the_holders_are_refused():
    attempt = Attempt(Masks(toy_codec()), 9).upto("check")
    with pytest.raises(ProtocolError, match="4 holders sent an update, 5 are needed"):
        attempt.clients[0].step("check", survivors(0, 1, 2, 3), None)


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("damage", [lambda p: p[:-1], lambda p: p + b"\0", lambda p: b""])
def test_a_damaged_payload_costs_its_sender_only(phase, damage):
    attempt = Attempt(Masks(toy_codec()), 7)
    for each in PHASES:
        attempt.play(each, change_up=lambda c, p, each=each: damage(p) if (each, c) == (phase, 2) else p)
    assert "client:2 sent" in attempt.refused[2]
    assert list(attempt.refused) == [2]
    assert attempt.finish().tolist() == attempt.plain_sum().tolist()
    assert (2 in attempt.summed) == (phase in ("check", "unmask"))


def test_records_about_others_out_of_order_or_twice_are_refused():
    attempt = Attempt(Masks(toy_codec(), neighbours=2), 7).upto("shares")
    inboxes = attempt.server.inboxes("shares", attempt.alive)
    letters = records(attempt.clients[0].step("shares", inboxes[0], None), 94)
    one, other = sorted(letters)
    stranger = next(client for client in range(1, 7) if client not in letters)
    record = {client: struct.pack(">I", client) + letters.get(client, bytes(94)) for client in range(7)}
    for payload, said in [
        (record[other] + record[one], "out of order"),
        (record[one] * 2, "out of order"),
        (record[one], "sent 1 records, 2 are expected"),
        (b"".join(sorted([record[one], record[stranger]])), f"record for client:{stranger}"),
    ]:
        with pytest.raises(ProtocolError, match=f"client:0 .*{said}"):
            attempt.server.receive("shares", 0, payload)


@pytest.mark.parametrize("phase", ["update", "unmask"])
def test_a_letter_damaged_under_way_is_noticed_by_its_recipient(phase):
    """Letters and vouchers are authenticated: the aggregator can lose one, not change one."""
    attempt = Attempt(Masks(toy_codec()), 7).upto(phase)
    flip = {"update": 4 + 50, "unmask": 4 + 20}[phase]  # inside the first record, from client 0
    attempt.play(phase, change_down=lambda c, b: b[:flip] + bytes([b[flip] ^ 1]) + b[flip + 1 :] if c == 5 else b)
    assert "client:0 sent is damaged, forged" in attempt.refused[5]
    for each in PHASES[PHASES.index(phase) + 1 :]:
        attempt.play(each)
    assert attempt.finish().tolist() == attempt.plain_sum().tolist()


@pytest.mark.parametrize("vanish", [[], [3]])
def test_false_shares_void_the_round_instead_of_spoiling_the_sum(vanish):
    """A holder lies about its share of client 3's secret, of the seed or of the key."""
    attempt = Attempt(Masks(toy_codec()), 4).upto("update")
    attempt.play("update", vanish)
    attempt.play("check")

    def lie(client: int, payload: bytes) -> bytes:
        shares = records(payload, SHARE_BYTES)
        return table({o: bytes([*s[:-1], s[-1] ^ 1]) if o == 3 and client == 0 else s for o, s in shares.items()})

    attempt.play("unmask", change_up=lie)
    with pytest.raises(RoundVoid, match="client:3's secrets do not give what it announced"):
        attempt.finish()


def invitation(roster, keys: Mapping[int, bytes], digest: bytes = bytes(32)) -> bytes:
    return digest + struct.pack(">I", len(roster)) + survivors(*roster) + table(keys)


@pytest.mark.parametrize(
    ("inbox", "said"),
    [
        (b"", "invitation has 0 bytes"),
        (invitation([1, 2, 3], {}), "must be among them"),
        (invitation([0, 1], {}), r"2 clients: .* 3 \(min_cohort\) to 16 \(addends"),
        (invitation(range(17), {}), "cohort of 17 clients"),
        (invitation([0, 1, 2], {1: bytes(64)}), "other clients than the neighbours"),
        (invitation([0, 1, 2], {1: bytes(64), 5: bytes(64)}), "other clients than the neighbours"),
        (invitation([0, 1, 2], {1: bytes(64), 2: bytes(64)}), "cannot be agreed with"),
        (invitation([0, 1, 2], {1: bytes(64), 2: bytes(63)}), "its records have|a record has"),
        (bytes(32) + b"\xff\xff\xff\xff" + survivors(0, 1, 2), "cohort of 3|other clients"),
    ],
)
def test_invitations_that_cannot_be_are_refused(inbox, said):
    client = Attempt(Masks(toy_codec()), 3).clients[0]
    client.step("keys", b"", None)
    with pytest.raises(BadInput, match=said):
        client.step("shares", inbox, None)


def test_an_aggregator_does_not_choose_a_clients_neighbours():
    """On a sparse graph the keys must be those of the neighbours that roster and digest give."""
    attempt = Attempt(Masks(toy_codec(), neighbours=4), 12).upto("shares")
    inboxes = attempt.server.inboxes("shares", attempt.alive)
    assert len(inboxes[0]) == 32 + 4 + 12 * 4 + 4 * (4 + 64)  # nobody else's keys
    with pytest.raises(ProtocolError, match="other clients than the neighbours"):
        attempt.clients[0].step("shares", bytes([inboxes[0][0] ^ 1]) + inboxes[0][1:], None)


def test_the_guarantee_is_stated():
    chosen = Masks().guarantee(100)
    assert (chosen.degree, chosen.threshold) == (68, 35)
    assert chosen.insecurity <= 2**-40
    assert chosen.failure <= 2**-20
    same = Masks(neighbours=68).guarantee(100)  # counted with exact binomials
    assert (same.degree, same.threshold, same.corrupt, same.dropouts) == (68, 35, 20, 30)
    assert same.insecurity == pytest.approx(chosen.insecurity, rel=1e-6)
    assert same.failure == pytest.approx(chosen.failure, rel=1e-6)
    few = Masks(neighbours=20).guarantee(100)
    assert few.insecurity > 0.01
    everybody = Masks(neighbours=99).guarantee(100)
    assert (everybody.degree, everybody.insecurity, everybody.failure) == (99, 0, 0)
    assert Masks(neighbours=99, dropouts=0.5).guarantee(100).failure == 1
    with pytest.raises(CryptoKeyError, match="fewer than the 51 holders"):
        Masks(dropouts=0.5).guarantee(100)


def test_configuration_is_checked_and_survives_the_plan():
    with pytest.raises(BadInput, match="min_cohort is 2"):
        Masks(min_cohort=2)
    with pytest.raises(BadInput, match="neighbours is 1"):
        Masks(neighbours=1)
    with pytest.raises(BadInput, match="together below 1"):
        Masks(corrupt=0.5, dropouts=0.5)
    context = Settings(toy_codec(), min_cohort=4)
    for bad in ("masks:", "masks:many", "masks:-3", "masks:2.5"):
        with pytest.raises(BadInput, match="give the number of neighbours"):
            PROTECTIONS.parse(bad, context)
    assert PROTECTIONS.parse("masks", context).neighbours is None
    protection = PROTECTIONS.parse("masks:20", context)
    assert (protection.neighbours, protection.min_cohort, protection.codec) == (20, 4, toy_codec())
    assert Masks.rebuild(protection.arguments()).arguments() == protection.arguments()


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
    history = Aggregator(model, toy_strategy(), protection, seed=5, **more).fit(pool, rounds)
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
        assert record.lost == {**dict.fromkeys(range(4), "vanished"), 11: "OSError: no space"}


def test_few_clients_left_to_unmask_are_enough_if_they_meet_the_threshold():
    weights, history = train(Masks(toy_codec()), LossyPool(toy_clients(3), {"unmask": [1]}))
    plain, _ = train(toy_plain(), InlinePool(toy_clients(3)))
    assert weights == plain
    assert history.rounds[0].clients_ok == 3


def test_a_federation_that_loses_too_many_voids_the_round_and_keeps_the_model():
    weights, history = train(Masks(toy_codec()), LossyPool(toy_clients(6), {"check": [0, 1, 2]}))
    assert weights == toy_model().vector.tobytes()
    assert "3 of the 6 holders of client:0's shares are left, 4 are needed" in history.rounds[0].void
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
