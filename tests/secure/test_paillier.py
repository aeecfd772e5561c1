"""Paillier's halves: what the aggregator adds unread is exactly the plain sum, and the key holder has rules."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedlearn.crypto import EncryptedVector, FixedPoint, PublicKey, generate_keypair
from fedlearn.crypto.randomisers import OrdinaryRandomiser
from fedlearn.errors import BadInput, CiphertextError, CryptoKeyError, OpeningRefused, ProtocolError, RoundVoid
from fedlearn.privacy.terms import Terms
from fedlearn.protocol import Step
from fedlearn.secure import Paillier, Plain, encrypted
from fedlearn.secure.base import Settings
from fedlearn.secure.opened import OpenedRounds
from fedlearn.secure.paillier import KEY_HOLDER, KeyHolder, PaillierServer
from fedlearn.secure.signed import Signed
from tests.crypto.known import PUBLIC
from tests.secure.plans import plan_of
from tests.toys import TOY_BITS, toy_codec, toy_paillier


def model_of(step: Step) -> bytes:
    """The hash of the global model of a round: another one in each."""
    return step.round.to_bytes(32, "big")


@pytest.fixture(scope="module")
def holder() -> KeyHolder:
    return key_holder()


@pytest.fixture(scope="module")
def of_short_plans() -> KeyHolder:
    """Its plans end with the round, so that nobody makes a large table for all that could follow."""
    return key_holder()


def key_holder(**changes) -> KeyHolder:
    defaults = {"key_bits": TOY_BITS, "min_cohort": 3, "max_overlap": None, "insecure_test_key": True}
    holder = KeyHolder(**defaults | changes)
    holder.join(plan_of(toy_paillier(), 5, rounds=10**9))
    return holder


def public_of(holder: KeyHolder) -> PublicKey:
    return PublicKey.from_bytes(holder.public_key(), insecure_test_key=True)


rounds = iter(range(1, 10**6))


@settings(max_examples=40)
@given(
    length=st.integers(1, 70), bits=st.integers(8, 40), addends=st.integers(3, 12),
    dropped=st.integers(0, 4), seed=st.integers(0, 2**32),
)  # fmt: skip
def test_opened_sum_equals_the_plain_integer_sum_bit_for_bit(of_short_plans, length, bits, addends, dropped, seed):
    codec = FixedPoint(bits=bits, bound=1.0, addends=addends)
    rng = np.random.default_rng(seed)
    sent = rng.integers(-codec.limit, codec.limit + 1, size=(max(3, addends - dropped), length))
    protections = (Plain(codec), toy_paillier(codec=codec))
    step, totals = Step(next(rounds)), []
    for protection, keys in zip(protections, ({}, {KEY_HOLDER: of_short_plans.public_key()}), strict=True):
        plan = plan_of(protection, length, keys, rounds=step.round)
        of_short_plans.join(plan)
        server = protection.server(plan, step)
        for client, vector in enumerate(sent):
            payload = protection.client(plan, client).step("update", b"", vector)
            server.receive("update", client, payload)
            if keys:
                of_short_plans.submit(step, client, Signed(model_of(step), payload))
        replies = {party: of_short_plans.open(step, request) for party, request in server.requests("open", {}).items()}
        totals.append(server.finish(replies))
        assert server.addends == len(sent)
    assert totals[0].tolist() == sent.sum(axis=0).tolist()
    assert totals[1].tolist() == totals[0].tolist()


class Round:
    """A round as an aggregator plays it with a key holder; `total` is what it will ask for."""

    def __init__(self, holder: KeyHolder, step: Step, clients, value: int = 1, model: bytes | None = None):
        self.holder, self.step = holder, step
        self.vectors = {i: public_of(holder).encrypt(np.full(5, value + i), toy_codec()) for i in clients}
        for client, vector in self.vectors.items():
            holder.submit(step, client, Signed(model or model_of(step), vector.to_bytes()))
        self.total = EncryptedVector.sum(self.vectors.values())

    def open(self, total=None) -> list[int]:
        reply = self.holder.open(self.step, (total or self.total).to_bytes())
        return np.frombuffer(reply, "<i8", len(self.total)).tolist()


def test_the_key_holder_opens_one_sum_a_round():
    holder = key_holder()
    first = Round(holder, Step(1), range(3))
    assert first.open() == [6] * 5
    with pytest.raises(OpeningRefused, match="one opening a round"):
        first.open()
    with pytest.raises(OpeningRefused, match="one opening a round"):
        Round(holder, Step(1, attempt=1), range(3)).open()
    assert Round(holder, Step(2), range(4)).open() == [10] * 5


def test_addends_are_counted_and_not_claimed():
    holder = key_holder()
    two = Round(holder, Step(1), range(2))
    with pytest.raises(OpeningRefused, match="2 clients signed, at least 3"):
        two.open()
    with pytest.raises(OpeningRefused, match="2 clients signed"):
        two.open(two.total + two.vectors[0])  # claims three addends
    again = Round(holder, Step(1, attempt=1), range(2))
    holder.submit(again.step, 1, Signed(model_of(again.step), again.vectors[1].to_bytes()))
    with pytest.raises(OpeningRefused, match=r"client-1: a second update"):
        again.open()
    assert Round(holder, Step(1, attempt=2), range(3)).open() == [6] * 5  # a refusal does not use up the round


@pytest.mark.parametrize("cheat", ["scaled", "dropped", "added", "replaced", "old"])
def test_a_sum_that_is_not_the_product_of_what_clients_signed_is_refused(cheat):
    holder = key_holder()
    earlier = Round(holder, Step(1), range(4))
    played = Round(holder, Step(2), range(4))
    vectors = list(played.vectors.values())
    other = public_of(holder).encrypt(np.full(5, 9), toy_codec())
    total = {
        "scaled": lambda: vectors[0] * 2 + vectors[1] + vectors[2],
        "dropped": lambda: EncryptedVector.sum(vectors[:3]),
        "added": lambda: played.total + other,
        "replaced": lambda: EncryptedVector.sum([*vectors[:3], other]),
        "old": lambda: earlier.total,
    }[cheat]()
    with pytest.raises(OpeningRefused, match="not the product"):
        played.open(total)
    assert played.open() == [10] * 5


def test_everybody_must_have_trained_the_same_model():
    holder = key_holder()
    played = Round(holder, Step(1), range(3))
    strange = public_of(holder).encrypt(np.zeros(5, np.int64), toy_codec())
    holder.submit(Step(1), 3, Signed(bytes([1]) * 32, strange.to_bytes()))
    with pytest.raises(OpeningRefused, match=r"client-3: it trained another model"):
        played.open(played.total + strange)


def test_a_client_counts_once_whatever_its_ciphertext_claims():
    holder = key_holder()
    played = Round(holder, Step(1), range(3))
    double = played.vectors[0] + played.vectors[1]
    holder.submit(Step(1), 3, Signed(model_of(Step(1)), double.to_bytes()))
    with pytest.raises(OpeningRefused, match="claims 2 addends"):
        played.open(played.total + double)


def test_cohorts_may_overlap_as_much_as_is_allowed():
    holder = key_holder(max_overlap=3)
    assert Round(holder, Step(1), range(4)).open() == [10] * 5
    with pytest.raises(OpeningRefused, match="4 clients of this cohort took part in round 1, at most 3"):
        Round(holder, Step(2), range(5)).open()
    with pytest.raises(OpeningRefused, match="would tell the sum of fewer than 3 clients"):
        Round(holder, Step(3), range(1, 5)).open()  # which shares no more than 3, and differs by two clients
    assert Round(holder, Step(4), range(2, 6)).open() == [18] * 5


def test_sums_of_one_model_are_audited_even_where_cohorts_may_overlap():
    holder, same = key_holder(), bytes(range(32))
    lines = [(0, 1, 2), (0, 3, 4), (0, 5, 6), (1, 3, 5), (1, 4, 6), (2, 3, 6), (2, 4, 5)]  # any two share one client
    opened = []
    for round, line in enumerate(lines, 1):
        try:
            Round(holder, Step(round), line, model=same).open()
            opened.append(line)
        except OpeningRefused as refused:
            assert "fewer than 3 clients" in str(refused)  # noqa: PT017
    assert 1 < len(opened) < 7
    assert Round(holder, Step(9), lines[-1]).open() is not None  # of another model


def test_rounds_are_opened_in_rising_order_and_as_many_as_the_plan_has():
    holder = key_holder()
    holder.join(plan_of(toy_paillier(), 5, rounds=7))
    Round(holder, Step(3), range(3)).open()
    for round in (8, 4_000_000_000):
        with pytest.raises(OpeningRefused, match=f"round {round} is asked for after round 3.*rounds 1 to 7"):
            Round(holder, Step(round), range(3)).open()
    fresh = key_holder()
    fresh.join(plan_of(toy_paillier(), 5, rounds=7))
    Round(fresh, Step(3), range(3)).open()
    with pytest.raises(OpeningRefused, match="round 2 is asked for after round 3"):
        Round(fresh, Step(2), range(3)).open()
    for round in (0, 8):
        unused = key_holder()
        unused.join(plan_of(toy_paillier(), 5, rounds=7))
        with pytest.raises(OpeningRefused, match=f"round {round} is asked for after round 0: the plan has rounds 1 to"):
            Round(unused, Step(round), range(3)).open()


def test_what_earlier_sessions_opened_is_not_gone_back_behind(tmp_path):
    before, now = OpenedRounds(3, None), OpenedRounds(3, None)
    before.recall(tmp_path / "memory")
    before.enter((3, 0), bytes(32), range(3))
    now.recall(tmp_path / "memory")
    for round in (3, 4):
        now.check_number((round, 0), 7)
    with pytest.raises(OpeningRefused, match="round 2 is asked for after round 3"):
        now.check_number((2, 0), 7)


@pytest.mark.parametrize("bands", [1, 2])
def test_only_a_sum_with_fresh_noise_is_opened_once_more_after_a_restart(bands, tmp_path):
    terms = Terms("opener", 1.0, 0.3, 1 << 12, 3.0, bands=bands, length=5)
    plan = replace(plan_of(toy_paillier(), 5, rounds=9), privacy=terms.to_dict())
    for restarted in (False, True):
        holder = key_holder()
        holder.recall(tmp_path / "memory")
        holder.join(plan)
        played = Round(holder, Step(1), range(3))
        if restarted and bands > 1:
            with pytest.raises(OpeningRefused, match="round 1 was opened before: its noise must not be seen with anot"):
                played.open()
        else:
            assert len(played.open()) == 5
    assert (tmp_path / "memory.noise").exists() == (bands > 1)
    if bands == 1:
        return
    assert len(Round(holder, Step(2), range(3)).open()) == 5
    (tmp_path / "memory.noise").unlink()
    holder = key_holder()
    holder.recall(tmp_path / "memory")
    holder.join(plan)
    with pytest.raises(CryptoKeyError, match=r"memory\.noise: No such file"):  # other noise would show the sums
        Round(holder, Step(3), range(3)).open()


def test_the_key_holder_opens_nothing_it_has_not_seen_or_under_another_key(holder):
    step = Step(10**8)
    other, _ = generate_keypair(TOY_BITS, insecure_test_key=True)
    with pytest.raises(OpeningRefused, match="nothing can be opened"):
        holder.open(step, other.encrypt(np.arange(5), toy_codec()).to_bytes())
    played = Round(holder, step, range(3))
    foreign = EncryptedVector.sum(other.encrypt(np.arange(5), toy_codec()) for _ in range(3))
    with pytest.raises(OpeningRefused, match="key"):
        played.open(foreign)
    holder.submit(Step(10**8, 1), 0, Signed(model_of(step), foreign.to_bytes()))
    with pytest.raises(OpeningRefused, match="client-0"):
        holder.open(Step(10**8, 1), foreign.to_bytes())


def test_a_clients_table_is_for_all_ciphertexts_of_its_run(monkeypatch):
    asked, public = [], generate_keypair(128, insecure_test_key=True)[0]
    monkeypatch.setattr(encrypted, "DjnRandomiser", lambda _, count: asked.append(count) or OrdinaryRandomiser(public))
    client = encrypted.EncryptingClient(public, FixedPoint(12, 1.0, 16), updates=7)
    client.step("update", b"", np.zeros(17, np.int64))  # 7 lanes of 16 bits in 126
    client.step("update", b"", np.zeros(17, np.int64))
    assert asked == [7 * 3]


def test_clients_encrypt_to_a_key_that_makes_no_claim_about_its_primes():
    _, private = generate_keypair(TOY_BITS, insecure_test_key=True)
    plain = PublicKey(private.public.n, blum=False, insecure_test_key=True)
    client = toy_paillier().client(plan_of(toy_paillier(), 5, {KEY_HOLDER: plain.to_bytes()}, cohort=4, rounds=7), 0)
    assert client._updates == 4 * 7  # which decides how large a table pays
    payload = client.step("update", b"", np.arange(5))
    assert private.decrypt(EncryptedVector.from_bytes(payload, plain)).tolist() == [0, 1, 2, 3, 4]


@pytest.fixture
def server(holder):
    """The aggregator's half, for vectors of 5 integers."""
    protection = toy_paillier()
    return protection.server(plan_of(protection, 5, {KEY_HOLDER: holder.public_key()}), Step(1))


def test_opening_is_forecast_to_take_far_longer_with_a_longer_key():
    assert Paillier(3072).opening_seconds() > 5 * toy_paillier().opening_seconds() > 0


def test_a_sum_counts_nobody_before_the_first_update(server):
    assert server.addends == 0
    with pytest.raises(RoundVoid, match="nothing to open"):
        server.requests("open", {})


def test_the_aggregator_refuses_a_damaged_or_foreign_payload(holder, server):
    good = public_of(holder).encrypt(np.arange(5), toy_codec()).to_bytes()
    other, _ = generate_keypair(TOY_BITS, insecure_test_key=True)
    for bad in (good[:-1], b"", good[:40] + bytes([good[40] ^ 1]) + good[41:]):
        with pytest.raises(CiphertextError):
            server.receive("update", 1, bad)
    with pytest.raises(CiphertextError, match="is expected"):
        server.receive("update", 1, other.encrypt(np.arange(5), toy_codec()).to_bytes())
    server.receive("update", 0, good)
    assert server.addends == 1


def test_an_update_that_the_plan_does_not_describe_is_refused_even_if_it_comes_first(holder, server):
    """Taken as the measure of the others, it would have them refused in its place."""
    public = public_of(holder)
    right = public.encrypt(np.arange(5), toy_codec())
    for bad, said in [
        (public.encrypt(np.arange(6), toy_codec()), r"shape \(6,\), the plan says \(5,\)"),
        (public.encrypt(np.arange(5), toy_codec(addends=17)), r"addends=17.* the plan says .*addends=16"),
        (right + right, "claims 2 addends"),
    ]:
        with pytest.raises(ProtocolError, match=said):
            server.receive("update", 0, bad.to_bytes())
    server.receive("update", 1, right.to_bytes())
    assert server.addends == 1


@pytest.mark.parametrize("reply", [b"", bytes(39), bytes(48)])
def test_a_reply_that_is_no_sum_voids_the_round(holder, server, reply):
    server.receive("update", 0, public_of(holder).encrypt(np.arange(5), toy_codec()).to_bytes())
    with pytest.raises(RoundVoid, match=f"sent {len(reply)} bytes for a sum that takes 168"):
        server.finish({KEY_HOLDER: reply})
    with pytest.raises(RoundVoid, match="did not open"):
        server.finish({})


def test_a_sum_with_the_key_holders_noise_comes_alone():
    codec = FixedPoint(12, 1.0, 16)
    server = PaillierServer(PUBLIC, codec, 2, b"", proven=False)
    server.receive("update", 0, PUBLIC.encrypt(np.arange(2), codec).to_bytes())
    assert server.finish({KEY_HOLDER: np.array([5, -7], "<i8").tobytes()}).tolist() == [5, -7]
    with pytest.raises(RoundVoid, match="sent 17 bytes for a sum that takes 16"):
        server.finish({KEY_HOLDER: bytes(17)})


def test_configuration_is_checked_and_survives_the_plan():
    with pytest.raises(CryptoKeyError, match=r"1024-bit .* at least 2048"):
        Paillier(key_bits=1024)
    with pytest.raises(BadInput, match="min_cohort is 1"):
        Paillier(min_cohort=1)
    with pytest.raises(BadInput, match="max_overlap is -1"):
        Paillier(max_overlap=-1)
    assert Paillier(max_overlap=0).max_overlap == 0
    with pytest.raises(BadInput, match="protection paillier takes no argument"):
        Paillier.from_spec("2048", Settings(toy_codec()))
    protection = toy_paillier(min_cohort=5)
    assert Paillier.rebuild(protection.arguments()) == protection
    assert Paillier().key_bits == 3072


def test_the_default_ciphertext_is_within_eight_bytes_a_weight():
    public, _ = generate_keypair(2048)
    codec = FixedPoint(bits=24, bound=4.0, addends=100)
    payload = public.encrypt(np.zeros(2**14 + 5, np.int64), codec).to_bytes()
    assert len(payload) / (2**14 + 5) <= 8.0
