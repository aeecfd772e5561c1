"""Rules of the threat model and figures of a run, each of which one changed line of code would break unseen."""

from __future__ import annotations

import math
import secrets
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import aggregator.checkpoints as checkpoints
from aggregator import Aggregator, History, Poisson, RoundRecord, RunFolder
from aggregator.openers import Openers
from clients import InlinePool
from clients.session import LocalSession
from fedlearn import nn
from fedlearn.channel import Deadline
from fedlearn.crypto import EncryptedVector, FixedPoint
from fedlearn.crypto.signing import SigningKey
from fedlearn.errors import BadInput, OpeningRefused, ProtocolError
from fedlearn.models.spam import SpamClassifier
from fedlearn.protocol import AGGREGATOR, EVERYBODY, Message, OpenRequest, Refusal, Reply, Step
from fedlearn.sampling import RARE
from fedlearn.secure import Masks
from fedlearn.secure.paillier import KEY_HOLDER, KeyHolder
from fedlearn.secure.signed import Signed, check_signed, sign
from fedlearn.strategies.base import RoundContext
from fedlearn.strategies.fedavgm import FedAvgM
from tests.secure.plans import plan_of
from tests.toys import TOY_BITS, WORDS, toy_clients, toy_codec, toy_model, toy_paillier, toy_plain, toy_strategy


def test_a_signature_is_worth_nothing_under_another_plan():
    key, step = SigningKey(), Step(1, 0, "update")
    plan = replace(plan_of(toy_paillier(), 4), roster={0: key.public})
    data = sign(key, plan, step, 0, Signed(bytes(32), b"payload"))
    assert check_signed(plan, step, 0, data).payload == b"payload"
    for other in (replace(plan, session=secrets.token_bytes(16)), replace(plan, seed=1), replace(plan, rounds=2)):
        with pytest.raises(ProtocolError, match="did not sign this payload"):
            check_signed(other, step, 0, data)


def test_an_opener_whose_key_the_plan_does_not_name_opens_nothing():
    session = secrets.token_bytes(16)
    openers = Openers(toy_paillier(), session)
    try:
        own, answers = Message.from_bytes(openers.keys()[KEY_HOLDER]).body.payload, []
        for key in (own[:-1] + bytes([own[-1] ^ 1]), b""):
            plan = replace(plan_of(toy_paillier(), 4, {KEY_HOLDER: key}), session=session)
            openers.tell(Message(session, Step(0), AGGREGATOR, EVERYBODY, plan).to_bytes())
            request = Message(session, Step(1, 0, "open"), AGGREGATOR, KEY_HOLDER, OpenRequest(b"")).to_bytes()
            openers.ask({KEY_HOLDER: request}, lambda party, message: not answers.append(message))
            answer = Message.from_bytes(answers[-1]).body
            assert isinstance(answer, Refusal)
            assert "names another key" in answer.reason
            for deadline in (openers._deadline, openers._deadlines["open"]):
                assert deadline.seconds == Deadline.LEAST  # it has answered, and at once
            break  # an opener learns one plan
    finally:
        openers.close()


def test_a_second_attempt_begins_with_halves_of_its_own():
    """Masks answer each phase of an attempt once, with keys drawn for it."""
    sessions: list[LocalSession] = []

    class Watched(InlinePool):
        def start(self, plan: bytes, log: Path | None = None) -> None:
            super().start(plan, log)
            sessions.append(self._session)

        def exchange(self, step, broadcast, inboxes):
            if step.phase == "keys" and step.attempt == 0:
                asked = {c: b"" for c in inboxes}
                first, second = (
                    {a.client: a.data for a in sessions[0].exchange(Step(step.round, attempt, "keys"), b"", asked)}
                    for attempt in (0, 1)
                )
                bodies = [Message.from_bytes(data).body.payload for data in (*first.values(), *second.values())]
                assert len(set(bodies)) == len(bodies)
                again = list(sessions[0].exchange(Step(step.round, 2, "keys"), b"", asked))
                assert all(isinstance(answer, Reply) for answer in again)
            yield from super().exchange(step, broadcast, inboxes)

    model = toy_model()
    history = Aggregator(model, toy_strategy(), Masks(toy_codec())).fit(Watched(toy_clients(4)), 1)
    assert history.counted == 1


class Dropping(SpamClassifier):
    def __init__(self, vocabulary: int, *, rng=None):
        super().__init__(vocabulary, rng=rng)
        self.drop = nn.Dropout(0.5)


def test_models_are_evaluated_in_evaluation_mode():
    seen: list[bool] = []

    def evaluate(model) -> dict[str, float]:
        seen.extend([model.training, model.drop.training])
        return {}

    Aggregator(Dropping(WORDS), toy_strategy(), toy_plain(), evaluate=evaluate).fit(InlinePool(toy_clients()), 1)
    assert seen == [False, False]


def test_the_servers_rate_scales_its_step():
    weights, mean = np.zeros(3, np.float32), {"delta": np.array([1.0, -2.0, 0.5])}
    context = RoundContext(1, rounds=2, attempt=0, population=3, addends=3)
    moved, state = FedAvgM(beta=0.5, server_lr=0.25).server_step(weights, mean, {}, context)
    assert moved.tolist() == [0.25, -0.5, 0.125]
    moved, _ = FedAvgM(beta=0.5, server_lr=0.25).server_step(moved, mean, state, context)
    assert moved.tolist() == [0.625, -1.25, 0.3125]


def test_the_error_bound_of_a_run_is_that_of_its_worst_round():
    records = [RoundRecord(i, error_bound=bound) for i, bound in enumerate((0.1, 0.4, 0.2), 1)]
    assert History(records).error_bound == 0.4
    assert History([*records, RoundRecord(4, void="nobody came")]).error_bound == 0.4
    assert History([*records, RoundRecord(4)]).error_bound is None


@pytest.mark.parametrize("size", [1, 2, 10, 100, 1000])
def test_a_poisson_run_is_made_for_no_more_clients_than_come_once_in_a_million_million_rounds(size):
    limit = Poisson.limit(size)

    def chernoff(m: int) -> float:
        """Of X >= m, by Mitzenmacher and Upfal 2005, theorem 4.4."""
        return math.exp(-(m * math.log(m / size) - m + size))

    assert chernoff(limit + 1) <= RARE < chernoff(limit)


def test_checkpoints_are_forced_to_the_disk(tmp_path, monkeypatch):
    forced: list[str] = []
    force = checkpoints.force
    monkeypatch.setattr(checkpoints, "force", lambda path: (forced.append(path.name), force(path))[1])
    folder = RunFolder(tmp_path / "run", {}, {})
    Aggregator(toy_model(), toy_strategy(), toy_plain(), folder=folder).fit(InlinePool(toy_clients()), 3)
    assert forced[-3:] == ["metrics.jsonl", "round-000003.safetensors", "checkpoint"]


def test_a_run_is_not_resumed_with_an_option_that_it_did_not_have(tmp_path):
    Aggregator(toy_model(), toy_strategy(), toy_plain(), folder=RunFolder(tmp_path / "run", {"lr": 1}, {})).fit(
        InlinePool(toy_clients()), 1
    )
    with pytest.raises(BadInput, match="newer"):
        RunFolder(tmp_path / "run", {"lr": 1, "newer": 2}, {}, resume=True)
    RunFolder(tmp_path / "run", {"lr": 1, "newer": None}, {}, resume=True)  # as it was: not set
    with pytest.raises(BadInput, match="lr"):
        RunFolder(tmp_path / "run", {}, {}, resume=True)


def test_a_sum_under_another_codec_is_not_opened():
    holder = KeyHolder(key_bits=TOY_BITS, min_cohort=3, max_overlap=None, insecure_test_key=True)
    holder.join(plan_of(toy_paillier(), 4))
    vectors = [holder._public.encrypt(np.arange(4), toy_codec()) for _ in range(3)]
    for client, vector in enumerate(vectors):
        holder.submit(Step(1), client, Signed(bytes(32), vector.to_bytes()))
    total = EncryptedVector.sum(vectors)
    with pytest.raises(OpeningRefused, match="not the product"):
        holder.open(Step(1), replace(total, codec=FixedPoint(24, 2.0, 16)).to_bytes())
    assert np.frombuffer(holder.open(Step(1), total.to_bytes()), "<i8", 4).tolist() == [0, 3, 6, 9]
