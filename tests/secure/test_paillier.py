"""Paillier's halves: what the aggregator adds unread is exactly the plain sum, and the key holder has rules."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedlearn.crypto import EncryptedVector, FixedPoint, PublicKey, generate_keypair
from fedlearn.errors import BadInput, CiphertextError, CryptoKeyError, OpeningRefused
from fedlearn.protocol import RunPlan, Step
from fedlearn.secure import Paillier, Plain
from fedlearn.secure.base import Settings
from fedlearn.secure.paillier import KEY_HOLDER, KeyHolder
from tests.toys import TOY_BITS, toy_codec, toy_paillier

SESSION = bytes(16)


def plan_of(protection, keys) -> RunPlan:
    about = {"name": protection.name, "arguments": protection.arguments()}
    return RunPlan({}, {}, {}, about, keys, {}, cohort=3, rounds=1, kernels={}, seed=0)


@pytest.fixture(scope="module")
def holder() -> KeyHolder:
    return KeyHolder(TOY_BITS, min_cohort=3, insecure=True)


@pytest.fixture(scope="module")
def public(holder) -> PublicKey:
    return PublicKey.from_bytes(holder.public_key(), insecure_test_key=True)


rounds = iter(range(1, 10**6))


@settings(max_examples=40)
@given(
    length=st.integers(1, 70), bits=st.integers(8, 40), addends=st.integers(3, 12),
    dropped=st.integers(0, 4), seed=st.integers(0, 2**32),
)  # fmt: skip
def test_opened_sum_equals_the_plain_integer_sum_bit_for_bit(holder, length, bits, addends, dropped, seed):
    codec = FixedPoint(bits=bits, bound=1.0, addends=addends)
    rng = np.random.default_rng(seed)
    sent = rng.integers(-codec.limit, codec.limit + 1, size=(max(3, addends - dropped), length))
    protections = (Plain(codec), toy_paillier(codec=codec))
    step, totals = Step(next(rounds)), []
    for protection, keys in zip(protections, ({}, {KEY_HOLDER: holder.public_key()}), strict=True):
        plan = plan_of(protection, keys)
        server = protection.server(plan)
        for client, vector in enumerate(sent):
            server.receive("update", client, protection.client(plan, client).step("update", b"", vector))
        replies = {party: holder.open(SESSION, step, request) for party, request in server.requests().items()}
        totals.append(server.finish(replies))
    assert totals[0].tolist() == sent.sum(axis=0).tolist()
    assert totals[1].tolist() == totals[0].tolist()


def summed(public, addends: int, codec=None) -> bytes:
    codec = codec or toy_codec()
    one = np.arange(5)
    return EncryptedVector.sum(public.encrypt(one, codec) for _ in range(addends)).to_bytes()


def test_the_key_holder_opens_no_small_sum_and_no_second_one(holder, public):
    with pytest.raises(OpeningRefused, match="2 addends, at least 3"):
        holder.open(SESSION, Step(10**7), summed(public, 2))
    opened = holder.open(SESSION, Step(10**7), summed(public, 3))
    assert np.frombuffer(opened, "<i8").tolist() == [0, 3, 6, 9, 12]
    with pytest.raises(OpeningRefused, match="one opening a session and round"):
        holder.open(SESSION, Step(10**7, attempt=1), summed(public, 3))
    assert holder.open(bytes(15) + b"2", Step(10**7), summed(public, 3)) == opened


def test_the_key_holder_opens_nothing_under_another_key(holder):
    other, _ = generate_keypair(TOY_BITS, insecure_test_key=True)
    with pytest.raises(OpeningRefused, match="key"):
        holder.open(SESSION, Step(10**8), summed(other, 3))
    with pytest.raises(OpeningRefused):
        holder.open(SESSION, Step(10**8), b"not a vector")


def test_a_refused_opening_does_not_use_up_the_round(holder, public):
    with pytest.raises(OpeningRefused):
        holder.open(SESSION, Step(10**9), summed(public, 1))
    holder.open(SESSION, Step(10**9), summed(public, 3))


def test_the_aggregator_refuses_a_damaged_or_foreign_payload(holder, public):
    protection = toy_paillier()
    server = protection.server(plan_of(protection, {KEY_HOLDER: holder.public_key()}))
    good = public.encrypt(np.arange(5), toy_codec()).to_bytes()
    server.receive("update", 0, good)
    for bad in (good[:-1], b"", good[:40] + bytes([good[40] ^ 1]) + good[41:]):
        with pytest.raises(CiphertextError):
            server.receive("update", 1, bad)
    other, _ = generate_keypair(TOY_BITS, insecure_test_key=True)
    with pytest.raises((CiphertextError, CryptoKeyError)):
        server.receive("update", 1, other.encrypt(np.arange(5), toy_codec()).to_bytes())
    with pytest.raises(BadInput):
        server.receive("update", 1, public.encrypt(np.arange(6), toy_codec()).to_bytes())


def test_configuration_is_checked_and_survives_the_plan():
    with pytest.raises(CryptoKeyError, match=r"1024-bit .* at least 2048"):
        Paillier(key_bits=1024)
    with pytest.raises(BadInput, match="min_cohort is 1"):
        Paillier(min_cohort=1)
    with pytest.raises(BadInput, match="--key-bits"):
        Paillier.from_spec("2048", Settings(toy_codec()))
    protection = toy_paillier(min_cohort=5)
    assert Paillier.rebuild(protection.arguments()).arguments() == protection.arguments()
    assert Paillier().key_bits == 3072


def test_the_default_ciphertext_is_within_eight_bytes_a_weight():
    public, _ = generate_keypair(2048)
    codec = FixedPoint(bits=24, bound=4.0, addends=100)
    payload = public.encrypt(np.zeros(2**14 + 5, np.int64), codec).to_bytes()
    assert len(payload) / (2**14 + 5) <= 8.0
