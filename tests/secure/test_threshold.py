"""Threshold Paillier in a federation: t of n trustees open sums, some may be gone or lie, fewer than t cannot."""

from __future__ import annotations

import logging
import multiprocessing
import stat

import numpy as np
import pytest

from aggregator import Aggregator
from clients import InlinePool
from fedlearn.crypto.keyfiles import read_secret
from fedlearn.errors import BadInput, CryptoKeyError, FedlearnError, RoundVoid
from fedlearn.protocol import Step
from fedlearn.secure import Threshold
from fedlearn.secure.base import Settings
from fedlearn.secure.signed import Signed
from fedlearn.secure.threshold import Trustee, deal_into
from tests.secure.plans import plan_of
from tests.toys import toy_clients, toy_codec, toy_model, toy_plain, toy_strategy

BITS = 256  # of the toy key: speed is what is wanted here
MODEL = bytes(32)


def threshold(t: int = 2, n: int = 3, **changes) -> Threshold:
    return Threshold(t, n, **{"key_bits": BITS, "codec": toy_codec(), "insecure_test_key": True} | changes)


def train(protection, rounds: int = 2, **more):
    model = toy_model()
    history = Aggregator(model, toy_strategy(), protection, seed=5, **more).fit(InlinePool(toy_clients()), rounds)
    return model.vector.tobytes(), history


def trustees() -> dict[str, multiprocessing.Process]:
    return {p.name: p for p in multiprocessing.active_children() if p.name.startswith("opener:")}


def test_the_model_is_the_one_of_an_unprotected_run_and_every_trustee_a_process():
    seen = []
    weights, _ = train(threshold(), evaluate=lambda model: seen.append(sorted(trustees())) or {})
    assert weights == train(toy_plain())[0]
    assert seen == [["opener:0", "opener:1", "opener:2"]] * 2
    assert not trustees()


def test_the_round_survives_absent_trustees_down_to_the_threshold():
    def kill_one(model):
        if "opener:1" in trustees():
            trustees()["opener:1"].kill()
        return {}

    weights, history = train(threshold(), rounds=3, evaluate=kill_one)
    assert [record.void for record in history.rounds] == [None] * 3
    assert weights == train(toy_plain(), rounds=3)[0]


def test_fewer_than_the_threshold_end_the_run_with_what_to_do():
    def kill_two(model):
        for name in ("opener:0", "opener:2"):
            trustees()[name].kill()
        return {}

    with pytest.raises(FedlearnError, match=r"1 valid partial decryptions, 2 are needed.*opener:0 ended.*--resume"):
        train(threshold(), evaluate=kill_two)


@pytest.fixture(scope="module")
def dealt(tmp_path_factory):
    """A vault with a 2-of-3 key, and its trustees."""
    vault = tmp_path_factory.mktemp("vault")
    deal_into(2, 3, BITS, True, vault)
    specs = threshold().openers(vault)
    return vault, [Trustee(**spec.arguments) for spec in specs]


def played(dealt, step: Step):
    """A server half that holds a sum of three, and every trustee's reply by party."""
    _, openers = dealt
    protection = threshold()
    plan = plan_of(protection, 4, {-16 - i: trustee.public_key() for i, trustee in enumerate(openers)})
    server = protection.server(plan, step)
    for client in range(3):
        payload = protection.client(plan, client).step("update", b"", np.arange(4) + client)
        server.receive("update", client, payload)
        for trustee in openers:
            trustee.join(plan)
            trustee.submit(step, client, Signed(MODEL, payload))
    requests = server.requests()
    replies = {party: openers[-16 - party].open(step, request) for party, request in requests.items()}
    return server, replies


def test_shares_lie_in_files_that_nobody_else_can_read(dealt):
    vault, _ = dealt
    files = sorted(vault.glob("*.share"))
    assert len(files) == 3
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert len({read_secret(path) for path in files}) == 3


def test_any_two_of_three_open_the_sum_and_one_does_not(dealt):
    server, replies = played(dealt, Step(1))
    for absent in replies:
        rest = {party: reply for party, reply in replies.items() if party != absent}
        assert server.finish(rest).tolist() == [3, 6, 9, 12]
    for party, reply in replies.items():
        with pytest.raises(RoundVoid, match="1 valid partial decryptions, 2 are needed"):
            server.finish({party: reply})


def test_a_forged_or_replayed_share_is_named_and_done_without(dealt, caplog):
    old_server, old = played(dealt, Step(2))
    server, replies = played(dealt, Step(3))
    lying = replies | {-17: old[-17]}
    with caplog.at_level(logging.WARNING):
        assert server.finish(lying).tolist() == old_server.finish(old).tolist()
    assert "trustee 2" in caplog.text
    with pytest.raises(RoundVoid, match="trustee 2"):
        server.finish({-16: replies[-16], -17: old[-17]})
    damaged = replies[-16][:-1] + bytes([replies[-16][-1] ^ 1])
    assert server.finish(replies | {-16: damaged}).tolist() == [3, 6, 9, 12]


def test_a_trustee_cannot_answer_in_the_name_of_another(dealt, caplog):
    """Else its wrong answer would be laid to the other's account."""
    _, old = played(dealt, Step(4))
    server, replies = played(dealt, Step(5))
    with caplog.at_level(logging.WARNING):
        assert server.finish(replies | {-17: old[-16]}).tolist() == [3, 6, 9, 12]
    assert caplog.messages == ["opener:1: it answered in the name of trustee 1"]


def test_configuration():
    protection = Threshold.from_spec("2/4", Settings(toy_codec(), 2048))
    assert (protection.threshold, protection.trustees, protection.key_bits) == (2, 4, 2048)
    assert Threshold.rebuild(protection.arguments()) == protection
    for spec in ("3", "a/b", "3/", "3/5/7", "-1/2"):
        with pytest.raises(BadInput, match="threshold:3/5"):
            Threshold.from_spec(spec, Settings(toy_codec()))
    for t, n in ((1, 5), (6, 5), (0, 0)):
        with pytest.raises(CryptoKeyError, match=f"threshold {t} of {n}"):
            Threshold(t, n)
    with pytest.raises(CryptoKeyError, match="at least 2048"):
        Threshold(key_bits=1024)
