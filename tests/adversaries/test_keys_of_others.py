"""Whose keys they are: an aggregator that puts its own in place of a client's, or makes clients up, is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aggregator import Aggregator
from clients import InlinePool, Policy, ProcessPool
from clients.session import LocalSession
from fedlearn.crypto.agreement import AgreementKey
from fedlearn.crypto.signing import SigningKey
from fedlearn.errors import BadInput, CryptoKeyError, NothingLearned, ProtocolError
from fedlearn.protocol import AGGREGATOR, Enrolment, Message, RunPlan, Step
from fedlearn.secure import Masks, Threshold
from fedlearn.secure.masks.wire import LETTER_KEY, MASK_KEY, Invitation, signed_keys
from fedlearn.secure.pki import Pki, private_name, public_name
from tests.adversaries.test_plans_that_ask_for_less import lied_to
from tests.secure.attempts import Attempt
from tests.toys import toy_clients, toy_codec, toy_model, toy_paillier, toy_plain, toy_strategy

POOLS = {"inline": InlinePool, "processes": ProcessPool}
PROTECTIONS = {
    "paillier": toy_paillier,
    "threshold": lambda: Threshold(2, 3, key_bits=256, codec=toy_codec(), insecure_test_key=True),
    "masks": lambda: Masks(toy_codec()),
}
QUICK = ["paillier", "masks", pytest.param("threshold", marks=pytest.mark.slow)]


def invited_with(keys) -> Attempt:
    """An attempt at masks in which client 0 is invited with other keys than its neighbour announced; keys: made of the
    plan, the honest keys and the neighbour's number."""
    attempt = Attempt(Masks(toy_codec()), 4).upto("shares")
    honest = Invitation.from_bytes(attempt.server.inboxes("shares", attempt.alive)[0])
    forged = replace(honest, keys={**honest.keys, 2: keys(attempt.plan, honest.keys[2])})
    attempt.clients[0].step("shares", forged.to_bytes(), None)
    return attempt


def own_keys(sign: SigningKey, plan: RunPlan, step: Step) -> bytes:
    """Keys of the aggregator's own, under a signature that it can make."""
    return signed_keys(sign, plan, step, 2, AgreementKey().public + AgreementKey().public)


@pytest.mark.parametrize(
    "keys",
    [
        lambda plan, honest: AgreementKey().public + honest[32:],  # agrees on the mask in the neighbour's place
        lambda plan, honest: honest[:32] + AgreementKey().public + honest[64:],  # reads the letters to it
        lambda plan, honest: own_keys(SigningKey(), plan, Step(1)),
        lambda plan, honest: honest[:64] + bytes(64),
    ],
)
def test_an_aggregator_cannot_put_its_keys_in_place_of_a_neighbours(keys):
    with pytest.raises(ProtocolError, match="client-2 did not sign the keys that are said to be its own"):
        invited_with(keys)


@pytest.mark.parametrize("earlier", [Step(1, 1), Step(2, 0)])
def test_keys_of_another_attempt_are_refused(earlier):
    """The mask key of whoever vanished in that attempt is known to the aggregator."""
    attempt = Attempt(Masks(toy_codec()), 4).upto("shares")
    honest = Invitation.from_bytes(attempt.server.inboxes("shares", attempt.alive)[0])
    old = signed_keys(attempt.signing[2], attempt.plan, earlier, 2, honest.keys[2][:64])
    with pytest.raises(ProtocolError, match="client-2 did not sign"):
        attempt.clients[0].step("shares", replace(honest, keys={**honest.keys, 2: old}).to_bytes(), None)


def test_clients_that_never_enrolled_are_no_cohort():
    attempt = Attempt(Masks(toy_codec()), 4).upto("shares")
    honest = Invitation.from_bytes(attempt.server.inboxes("shares", attempt.alive)[0])
    forged = replace(honest, roster=(*honest.roster, 7), keys={**honest.keys, 7: honest.keys[2]})
    with pytest.raises(ProtocolError, match="client-7, which is not in the roster"):
        attempt.clients[0].step("shares", forged.to_bytes(), None)


@pytest.mark.parametrize("part", [MASK_KEY, LETTER_KEY])
def test_a_client_whose_keys_nobody_can_agree_with_is_lost_alone(part):
    """It signs them well; its neighbours would all fail at them."""
    attempt = Attempt(Masks(toy_codec()), 7)

    def useless(client: int, payload: bytes) -> bytes:
        if client != 3:
            return payload
        keys = payload[: part.start] + bytes(32) + payload[part.stop : 64]
        return signed_keys(attempt.signing[3], attempt.plan, Step(1), 3, keys)

    attempt.play("keys", change_up=useless)
    for phase in Masks.phases[1:]:
        attempt.play(phase)
    assert list(attempt.refused) == [3]
    assert attempt.finish().tolist() == attempt.plain_sum().tolist()


def test_a_client_that_signs_badly_is_lost_alone():
    attempt = Attempt(Masks(toy_codec()), 7)
    attempt.play("keys", change_up=lambda c, payload: payload[:-1] + bytes([payload[-1] ^ 1]) if c == 3 else payload)
    for phase in Masks.phases[1:]:
        attempt.play(phase)
    assert list(attempt.refused) == [3]
    assert "client-3 did not sign" in attempt.refused[3]
    assert attempt.finish().tolist() == attempt.plain_sum().tolist()


@pytest.mark.parametrize("protection", QUICK)
def test_a_client_looks_for_its_own_key_in_the_roster(protection):
    stranger = SigningKey().public
    with pytest.raises(BadInput, match="the plan's roster has another key for client-1 than its own"):
        lied_to(InlinePool(toy_clients(4)), PROTECTIONS[protection](), roster=lambda roster: {**roster, 1: stranger})


@pytest.fixture(scope="module")
def known(tmp_path_factory) -> Pki:
    """Keys of five clients that were agreed outside of any aggregator."""
    pki = Pki(tmp_path_factory.mktemp("pki"))
    pki.make(5)
    return pki


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("protection", QUICK)
def test_known_clients_train_as_any_others(known, protection, pool):
    models = []
    for policy, pki in ((Policy(pki=known), known.folder), (None, None)):
        model = toy_model()
        agreed = PROTECTIONS[protection]()
        history = Aggregator(model, toy_strategy(), agreed, seed=5, pki=pki).fit(
            POOLS[pool](toy_clients(4), policy=policy), 1
        )
        assert history.rounds[0].clients_ok == 4
        models.append(model.vector.tobytes())
    assert models[0] == models[1]


@pytest.mark.parametrize("protection", PROTECTIONS)
@pytest.mark.parametrize(
    ("client", "says"),
    [(3, "has key .* for client-3, in .* it is .*: somebody is in its place"), (7, "client-7, who is that")],
)
def test_clients_refuse_a_roster_of_others(known, protection, client, says):
    """Worker 0 has clients 0 and 2 only: it knows of client 3 by the agreed keys alone."""
    pool = InlinePool(toy_clients(3), Policy(pki=known))
    stranger = SigningKey().public
    with pytest.raises(BadInput, match=says):
        lied_to(pool, PROTECTIONS[protection](), roster=lambda roster: {**roster, client: stranger})


@pytest.mark.parametrize("protection", ["paillier", "threshold"])
def test_openers_open_nothing_of_clients_that_nobody_knows(known, protection):
    """The aggregator runs clients that it made up, which demand nothing."""
    aggregator = Aggregator(toy_model(), toy_strategy(), PROTECTIONS[protection](), pki=known)
    with pytest.raises(NothingLearned, match=r"opener:0 refused: the plan's roster has key .* is in its place"):
        aggregator.fit(InlinePool(toy_clients(4)), 1)


def test_known_clients_take_part_where_clients_sign_only(known):
    with pytest.raises(BadInput, match="names protection none, where clients do not sign"):
        Aggregator(toy_model(), toy_strategy(), toy_plain()).fit(InlinePool(toy_clients(), Policy(pki=known)), 1)
    with pytest.raises(BadInput, match="pki has no effect under protection none"):
        Aggregator(toy_model(), toy_strategy(), toy_plain(), pki=known)


def test_damaged_keys_are_refused_by_name(tmp_path):
    with pytest.raises(CryptoKeyError, match="is no folder: make keys with fedlearn keys pki"):
        Aggregator(toy_model(), toy_strategy(), toy_paillier(), pki=tmp_path / "nowhere")
    pki = Pki(tmp_path)
    pki.make(2)
    with pytest.raises(CryptoKeyError, match="exists and is not overwritten"):
        pki.make(2)
    (tmp_path / public_name(0)).write_bytes(SigningKey().public)
    with pytest.raises(CryptoKeyError, match="does not belong to the public key beside it"):
        pki.signing_key(0)
    (tmp_path / public_name(0)).write_bytes(bytes(33))
    with pytest.raises(CryptoKeyError, match="is no Ed25519 public key of 32 raw bytes"):
        pki.public(0)
    (tmp_path / private_name(1)).chmod(0o644)
    with pytest.raises(CryptoKeyError, match="others can read it"):
        pki.signing_key(1)
    with pytest.raises(CryptoKeyError, match=f"{public_name(2)} cannot be read"):
        pki.public(2)
    with pytest.raises(BadInput, match=r"pki is 'here': give Pki\(folder\)"):
        Policy(pki="here")


class Enrolling(LocalSession):
    """Its first client enrols in another's name too; `extra` are whole messages, made of the session's number."""

    extra = staticmethod(lambda session: [])

    def enrol(self, session, numbers):
        return [*super().enrol(session, numbers), *self.extra(session)]


class EnrollingPool(InlinePool):
    def __init__(self, clients, extra):
        super().__init__(clients)
        self.extra = extra

    def open(self):
        super().open()
        self._session = Enrolling(self._clients, policy=self._policy)
        self._session.extra = self.extra


def enrolment(session: bytes, sender: int, key: bytes) -> bytes:
    return Message(session, Step(0), sender, AGGREGATOR, Enrolment(key)).to_bytes()


@pytest.mark.parametrize("protection", PROTECTIONS)
def test_who_enrols_again_for_another_takes_nobodys_place(protection):
    def extra(session):
        return [
            enrolment(session, 2, SigningKey().public), enrolment(bytes(16), 1, SigningKey().public),
            enrolment(session, 9, b"short"), enrolment(session, -1, SigningKey().public), b"nothing",
        ]  # fmt: skip

    history = Aggregator(toy_model(), toy_strategy(), PROTECTIONS[protection]()).fit(
        EnrollingPool(toy_clients(4), extra), 1
    )
    assert history.rounds[0].clients_ok == 4
    assert not history.rounds[0].lost
