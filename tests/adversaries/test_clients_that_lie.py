"""A client that breaks the protocol costs its own update, and nobody else's; it ends no run."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from pathlib import Path

import gmpy2
import numpy as np
import pytest

from fedlearn.crypto import EncryptedVector, PublicKey
from fedlearn.errors import NothingLearned
from fedlearn.protocol import Enrolment, Message, Refusal, RunPlan, TrainRequest, Update
from fedlearn.secure import Masks, Threshold
from fedlearn.secure.paillier import KEY_HOLDER
from fedlearn.secure.signed import MODEL_BYTES, Signed, sign
from tests.adversaries.parties import LyingPool, honest_rest, resealed, trained
from tests.toys import toy_clients, toy_codec, toy_paillier, toy_plain

LIAR, COUNT = 2, 5


def threshold() -> Threshold:
    return Threshold(2, 3, 256, toy_codec(), insecure_test_key=True)


PROTECTIONS = {"none": toy_plain, "paillier": toy_paillier, "threshold": threshold, "masks": lambda: Masks(toy_codec())}
SIGNED = ("paillier", "threshold")


def said(data: bytes) -> bytes:
    return Message.from_bytes(data).body.payload


LIES = {
    "in another's name": lambda client, step, data: resealed(data, sender=(client + 1) % COUNT),
    "as an opener": lambda client, step, data: resealed(data, sender=-16),
    "as nobody": lambda client, step, data: data[:42] + struct.pack(">i", -5) + data[46:],
    "to nobody": lambda client, step, data: data[:46] + struct.pack(">i", -7) + data[50:],
    "to another client": lambda client, step, data: resealed(data, recipient=0),
    "of another round": lambda client, step, data: resealed(data, step=type(step)(step.round + 1, 0, step.phase)),
    "of another session": lambda client, step, data: resealed(data, session=bytes(16)),
    "as a refusal": lambda client, step, data: resealed(data, body=Refusal("no")),
    "as an enrolment": lambda client, step, data: resealed(data, body=Enrolment(bytes(32))),
    "nothing": lambda client, step, data: b"",
    "noise": lambda client, step, data: bytes(range(256)),
    "cut short": lambda client, step, data: data[:-3],
    "an empty update": lambda client, step, data: resealed(data, body=Update(b"")),
    "a longer update": lambda client, step, data: resealed(data, body=Update(said(data) + bytes(8))),
}


@pytest.mark.parametrize("name", PROTECTIONS)
def test_a_message_that_is_not_the_clients_own_costs_that_client_only(name, tmp_path):
    """One lie a round, and the run goes on."""
    protection = PROTECTIONS[name]()
    lies = ["noise", "in another's name"] if name == "threshold" else list(LIES)

    def change(client, step, data):
        return LIES[lies[step.round - 1]](client, step, data) if step.phase == protection.training_phase else data

    pool = LyingPool(toy_clients(COUNT), LIAR, change)
    weights, history = trained(pool, protection, rounds=len(lies), folder=tmp_path / "run")
    came = {lie: (record.void, set(record.lost)) for lie, record in zip(lies, history.rounds, strict=True)}
    assert came == dict.fromkeys(lies, (None, {LIAR}))
    assert weights == honest_rest(LIAR, COUNT, rounds=len(lies))
    rows = [json.loads(line) for line in (tmp_path / "run" / "transcript.jsonl").read_text().splitlines()]
    updates = [row["from"] for row in rows if row["type"] == "Update" and row["to"] == "aggregator"]
    assert updates.count("client:0") >= len(lies)
    assert all(updates.count(f"client:{i}") == updates.count("client:0") for i in range(COUNT) if i != LIAR)


@pytest.mark.parametrize("name", PROTECTIONS)
def test_a_second_answer_is_not_heard(name):
    protection = PROTECTIONS[name]()
    pool = LyingPool(toy_clients(COUNT), LIAR, lambda client, step, data: [data, data])
    weights, history = trained(pool, protection)
    assert [(record.void, record.lost) for record in history.rounds] == [(None, {})]
    assert weights == trained(LyingPool(toy_clients(COUNT), LIAR, lambda client, step, data: data), toy_plain())[0]


class Insider(LyingPool):
    """Knows its own signing key and the plan: what it signs is signed."""

    def __init__(self, clients, liar: int, forge):
        super().__init__(clients, liar, self._forged)
        self._forge = forge

    def start(self, plan: bytes, log: Path | None = None) -> None:
        message = Message.from_bytes(plan)
        self.plan = message.expect(RunPlan, session=message.session)
        super().start(plan, log)

    def _forged(self, client, step, data):
        payload = said(data)
        signed = Signed(payload[:MODEL_BYTES], payload[MODEL_BYTES + 64 :])
        forged = self._forge(self.plan, signed)
        again = sign(self._session._signing[client], self.plan, step, client, forged)
        return resealed(data, body=Update(again))


@pytest.mark.parametrize("name", SIGNED)
def test_a_client_that_signs_another_model_is_the_one_that_is_lost(name):
    """It answers first: an opener that heard it would blame the next honest one, and void every round."""
    protection = PROTECTIONS[name]()
    pool = Insider(toy_clients(COUNT), 0, lambda plan, signed: Signed(bytes(32), signed.payload))
    weights, history = trained(pool, protection)
    assert [(record.void, set(record.lost)) for record in history.rounds] == [(None, {0})]
    assert "another model" in history.rounds[0].lost[0]
    assert weights == honest_rest(0, COUNT)


@pytest.mark.parametrize("lane", ["one lane out of range", "a plaintext of n / 3", "the negative weight of all"])
def test_lanes_out_of_range_void_the_round_and_end_nothing(lane):
    """Nobody can see that an encrypted value is small: what can be seen is that the sum is not one of updates."""

    def forge(plan, signed):
        public = PublicKey.from_bytes(plan.keys[KEY_HOLDER], insecure_test_key=True)
        vector = EncryptedVector.from_bytes(signed.payload, public)
        plaintexts = {"a plaintext of n / 3": public.phe.n // 3}
        plaintexts["one lane out of range"] = 2 ** (toy_codec().lane_bits - 1) - 1
        if lane in plaintexts:
            cipher = int(public.phe.raw_encrypt(plaintexts[lane]))
            return Signed(signed.model, with_first(vector, cipher).to_bytes())
        values = [0] * len(vector)
        values[-5] = -1000
        wide = public.encrypt(np.array(values), toy_codec())
        return Signed(signed.model, wide.to_bytes())

    with pytest.raises(NothingLearned) as ended:
        trained(Insider(toy_clients(COUNT), LIAR, forge), toy_paillier())
    assert all(record.void for record in ended.value.history.rounds)


def with_first(vector: EncryptedVector, cipher: int) -> EncryptedVector:
    """The same with another first ciphertext."""
    return replace(vector, ciphertexts=[gmpy2.mpz(cipher), *vector.ciphertexts[1:]])


def test_a_request_is_no_answer():
    def asks(client, step, data):
        return resealed(data, body=TrainRequest(np.ones(3, np.float32)))

    pool = LyingPool(toy_clients(COUNT), LIAR, asks)
    _, history = trained(pool, toy_plain())
    assert [set(record.lost) for record in history.rounds] == [{LIAR}]
