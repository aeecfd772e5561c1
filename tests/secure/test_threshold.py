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
from fedlearn.errors import BadInput, CryptoKeyError, FedlearnError, OpeningRefused, RoundVoid
from fedlearn.protocol import Step
from fedlearn.sampling import Sampler
from fedlearn.secure import Threshold
from fedlearn.secure.base import Settings
from fedlearn.secure.echoes import RECORD, what_is_echoed
from fedlearn.secure.signed import Signed
from fedlearn.secure.threshold import Trustee, deal_into
from tests.secure.plans import plan_of
from tests.toys import toy_clients, toy_codec, toy_model, toy_plain, toy_strategy

BITS = 256  # of the toy key: speed is what is wanted here


def model_of(step: Step) -> bytes:
    """The hash of the global model of a round: another one in each."""
    return step.round.to_bytes(32, "big")


def threshold(t: int = 2, n: int = 3, **changes) -> Threshold:
    return Threshold(t, n, **{"key_bits": BITS, "codec": toy_codec(), "insecure_test_key": True} | changes)


class Turns(Sampler):
    """Any two cohorts share a client at most; the fourth shares two with the first."""

    def sample(self, seed, round, population, size):
        return [(0, 1, 2), (2, 3, 4), (4, 5, 6), (0, 1, 3)][round - 1]


def train(protection, rounds: int = 2, clients: int = 3, **more):
    model = toy_model()
    aggregator = Aggregator(model, toy_strategy(), protection, seed=5, **more)
    history = aggregator.fit(InlinePool(toy_clients(clients)), rounds)
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

    turns = {"clients": 7, "cohort": 3, "sampler": Turns()}
    weights, history = train(threshold(max_overlap=1), rounds=4, evaluate=kill_one, **turns)
    assert [record.void for record in history.rounds][:3] == [None] * 3
    assert "2 clients of this cohort took part in round 1" in history.rounds[3].void
    assert weights == train(toy_plain(), rounds=3, **turns)[0]


def test_fewer_than_the_threshold_end_the_run_with_what_to_do():
    def kill_two(model):
        for name in ("opener:0", "opener:2"):
            trustees()[name].kill()
        return {}

    with pytest.raises(FedlearnError, match=r"1 trustee signed the sum, 2 are needed.*opener:0 ended.*resume=True"):
        train(threshold(), evaluate=kill_two)


@pytest.fixture(scope="module")
def dealt(tmp_path_factory):
    """A vault with a 2-of-3 key, and its trustees."""
    vault = tmp_path_factory.mktemp("vault")
    deal_into(2, 3, BITS, True, vault)
    shares = sorted(vault.glob("*.share"))
    assert {stat.S_IMODE(path.stat().st_mode) for path in shares} == {0o600}
    assert len({read_secret(path) for path in shares}) == 3
    openers = [Trustee(**spec.arguments) for spec in threshold().openers(vault)]
    plan = plan_of(threshold(), 4, {-16 - i: opener.public_key() for i, opener in enumerate(openers)}, rounds=7)
    assert threshold().client(plan, 0)._updates == 3 * 7  # which decides how large a table pays
    return vault, openers


def played(dealt, step: Step):
    """A server half that holds a sum of three, and every trustee's reply by party."""
    _, openers = dealt
    protection = threshold()
    plan = plan_of(protection, 4, {-16 - i: trustee.public_key() for i, trustee in enumerate(openers)}, rounds=99)
    server = protection.server(plan, step)
    for client in range(3):
        payload = protection.client(plan, client).step("update", b"", np.arange(4) + client)
        server.receive("update", client, payload)
        for trustee in openers:
            trustee.join(plan)
            trustee.submit(step, client, Signed(model_of(step), payload))
    return server, opening(server, openers, step)


def opening(server, openers, step: Step, absent=()) -> dict[int, bytes]:
    """Both exchanges with the trustees, but those that are absent in the second one; their last replies."""
    replies = {}
    for phase in server.opening:
        at = Step(step.round, step.attempt, phase)
        requests = server.requests(phase, replies)
        replies = {p: openers[-16 - p].open(at, r) for p, r in requests.items() if phase == "echo" or p not in absent}
    return replies


def test_shares_lie_in_files_that_nobody_else_can_read_and_only_until_they_are_read(dealt):
    vault, _ = dealt
    assert not list(vault.glob("*.share"))


def test_any_two_of_three_open_the_sum_and_one_does_not(dealt):
    server, replies = played(dealt, Step(1))
    for absent in replies:
        rest = {party: reply for party, reply in replies.items() if party != absent}
        assert server.finish(rest).tolist() == [3, 6, 9, 12]
    for party, reply in replies.items():
        with pytest.raises(RoundVoid, match="1 valid partial decryption, 2 are needed"):
            server.finish({party: reply})


def test_a_forged_or_replayed_share_is_named_and_done_without(dealt, caplog):
    old_server, old = played(dealt, Step(2))
    server, replies = played(dealt, Step(3))
    lying = replies | {-17: old[-17]}
    with caplog.at_level(logging.WARNING):
        assert server.finish(lying).tolist() == old_server.finish(old).tolist()
    assert "trustee 2" in caplog.text
    with pytest.raises(RoundVoid, match="1 valid partial decryption, 2 are needed"):
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
    protection = Threshold.from_spec("3/4", Settings(toy_codec(), 2048))
    assert (protection.threshold, protection.trustees, protection.key_bits) == (3, 4, 2048)
    assert (protection.colluding, Threshold().colluding, Threshold(3, 5).colluding) == (1, 2, 0)
    assert Threshold.rebuild(protection.arguments()) == protection
    for spec in ("3", "a/b", "3/", "3/5/7", "-1/2"):
        with pytest.raises(BadInput, match="threshold:4/5"):
            Threshold.from_spec(spec, Settings(toy_codec()))
    for t, n in ((1, 5), (6, 5), (0, 0)):
        with pytest.raises(CryptoKeyError, match=f"threshold {t} of {n}"):
            Threshold(t, n)
    with pytest.raises(CryptoKeyError, match="at least 2048"):
        Threshold(key_bits=1024)


@pytest.mark.parametrize(("t", "n"), [(2, 4), (2, 5), (3, 6)])
def test_a_threshold_at_which_two_sums_of_one_round_could_be_opened_is_refused(t, n):
    with pytest.raises(BadInput, match=f"threshold {t}/{n}: two sets of trustees .* at least {n // 2 + 1}"):
        Threshold(t, n)


def signed_by(openers, plan, step: Step, clients):
    """The clients' updates shown to some trustees, and the server half that holds their sum."""
    protection = threshold(3, 4)
    server = protection.server(plan, step)
    for client in clients:
        payload = protection.client(plan, client).step("update", b"", np.arange(4) + client)
        server.receive("update", client, payload)
        for trustee in openers:
            trustee.submit(step, client, Signed(model_of(step), payload))
    return server


def test_two_sums_of_one_round_are_not_both_opened_though_a_trustee_helps(tmp_path):
    """Of four trustees, three of whom open: one signs whatever it is asked to, and the rest see different cohorts."""
    protection = threshold(3, 4)
    assert protection.colluding == 1
    deal_into(3, 4, BITS, True, tmp_path)
    trustees = {spec.party: Trustee(**spec.arguments) for spec in protection.openers(tmp_path)}
    plan = plan_of(protection, 4, {party: trustee.public_key() for party, trustee in trustees.items()}, rounds=9)
    for trustee in trustees.values():
        trustee.join(plan)
    *honest, helper = trustees
    step, echo, opened = Step(1), Step(1, 0, "echo"), Step(1, 0, "open")
    four = signed_by([trustees[party] for party in (*honest[:2], helper)], plan, step, range(4))
    request = four.requests("echo", {})[helper]
    shown = four.requests("open", {party: trustees[party].open(echo, request) for party in (*honest[:2], helper)})
    assert four.finish({party: trustees[party].open(opened, shown[party]) for party in shown}).sum() == 48

    last = honest[2]
    three = signed_by([trustees[last]], plan, step, range(3))
    echoes = {last: trustees[last].open(echo, three.requests("echo", {})[last])}
    echoes[helper] = trustees[helper]._signing.sign(
        *what_is_echoed(plan, step, three.total)
    )  # it would not, were it honest
    with pytest.raises(RoundVoid, match="2 trustees signed the sum, 3 are needed"):
        three.requests("open", echoes)
    records = b"".join(RECORD.pack(party, signature) for party, signature in echoes.items())
    for more in (b"", RECORD.pack(helper, echoes[helper]), shown[last] if last in shown else shown[helper]):
        with pytest.raises(OpeningRefused, match=r"[12] trustees? signed this sum, 3 are needed to open it"):
            trustees[last].open(opened, records + more)
    with pytest.raises(OpeningRefused, match="no list of echoes"):
        trustees[last].open(opened, records[:-1])
    with pytest.raises(OpeningRefused, match="one opening a round"):
        trustees[honest[0]].open(echo, request)
    with pytest.raises(OpeningRefused, match="echo before they open"):
        trustees[honest[0]].open(opened, shown[helper])
