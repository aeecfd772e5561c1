"""Many small clients: the same model whoever runs them, few bytes between processes, the numbers of a plain loop."""

from __future__ import annotations

import json

import numpy as np
import pytest

from aggregator import Aggregator, RunFolder
from clients import Client, InlinePool, ProcessPool
from fedlearn.crypto import FixedPoint
from fedlearn.datasets.examples import Arrays, View
from fedlearn.errors import BadInput, ProtocolError
from fedlearn.models.mlp import MLP
from fedlearn.protocol import Message, PartialSum, PartyView, Update
from fedlearn.protocol.messages import HEADER
from fedlearn.sampling import sample_cohort
from fedlearn.secure import Plain
from fedlearn.seeding import local_random
from fedlearn.strategies import FedAvg
from tests.toys import fitted, toy_bags, toy_model, toy_paillier, toy_plain, toy_strategy

LR, BATCH, EXAMPLES, POPULATION, COHORT, ROUNDS = 0.1, 10, 20, 200, 25, 20


class Crowd:
    """Clients made when they are sampled; those of one number in seven have a few examples less."""

    def __init__(self, ragged: bool = False):
        rng = np.random.default_rng(0)
        labels = rng.integers(10, size=600)
        features = (rng.standard_normal((10, 64))[labels] + rng.standard_normal((600, 64))).astype(np.float32)
        self.images = Arrays(features, labels)
        self.rows = rng.integers(600, size=(POPULATION, EXAMPLES))
        self.ragged = ragged

    def __len__(self) -> int:
        return POPULATION

    def __getitem__(self, number: int) -> Client:
        rows = self.rows[number]
        return Client(f"client-{number}", View(self.images, rows[:13] if self.ragged and number % 7 == 0 else rows))


def mlp() -> MLP:
    return MLP((64, 32, 10), rng=np.random.default_rng(1))


def strategy() -> FedAvg:
    return FedAvg(1, BATCH, LR, max_weight=EXAMPLES)


def fit(pool, rounds=3, folder=None, **more):
    model = mlp()
    codec = FixedPoint(bits=24, bound=4.0, addends=COHORT)
    aggregator = Aggregator(model, strategy(), Plain(codec), cohort=COHORT, seed=4, folder=folder, **more)
    return model.vector, aggregator.fit(pool, rounds)


def plain_loop(crowd: Crowd, rounds: int) -> np.ndarray:
    """FedAvg of a 64-32-10 network as one would write it in NumPy, in float64."""
    weights = [parameter.numpy().astype(np.float64) for parameter in mlp().parameters()]
    for round in range(1, rounds + 1):
        deltas, examples = [], []
        for number in sample_cohort(4, round, POPULATION, COHORT):
            data = crowd[number].data
            w1, b1, w2, b2 = (w.copy() for w in weights)
            order = local_random(4, round, number).permutation(len(data))
            for start in range(0, len(data), BATCH):
                rows = data.rows[order[start : start + BATCH]]
                x, y = crowd.images.features[rows].astype(np.float64), crowd.images.targets[rows]
                hidden = np.maximum(x @ w1.T + b1, 0)
                scores = np.exp(hidden @ w2.T + b2)
                error = scores / scores.sum(axis=1, keepdims=True)
                error[np.arange(len(y)), y] -= 1
                error /= len(y)
                back = (error @ w2) * (hidden > 0)
                w2 -= LR * error.T @ hidden
                b2 -= LR * error.sum(axis=0)
                w1 -= LR * back.T @ x
                b1 -= LR * back.sum(axis=0)
            deltas.append([new - old for new, old in zip((w1, b1, w2, b2), weights, strict=True)])
            examples.append(len(data))
        share = np.array(examples) / sum(examples)
        weights = [w + sum(s * d[i] for s, d in zip(share, deltas, strict=True)) for i, w in enumerate(weights)]
    return np.concatenate([w.ravel() for w in weights])


@pytest.mark.parametrize("ragged", [False, True])
def test_twenty_rounds_are_those_of_a_plain_numpy_loop(ragged):
    crowd = Crowd(ragged)
    expected = plain_loop(crowd, ROUNDS)
    for stack in ("on", "off"):
        weights, _ = fit(InlinePool(crowd), ROUNDS, stack=stack)
        assert np.abs(weights).sum(dtype=np.float64) == pytest.approx(np.abs(expected).sum(), rel=1e-4)
        assert np.max(np.abs(weights - expected)) < 1e-3
    assert np.max(np.abs(expected - mlp().vector)) > 0.05


def test_every_pool_number_of_workers_and_stack_gives_the_same_model_and_record():
    results = [fit(InlinePool(Crowd(ragged=True)), stack=stack)[1] for stack in ("auto", "on", "off")]
    results += [fit(ProcessPool(Crowd(ragged=True), workers))[1] for workers in (1, 3, 4)]
    results += [fit(ProcessPool([Crowd(ragged=True)[i] for i in range(POPULATION)], 2), stack="off")[1]]
    for history in results[1:]:
        assert history.model_sha256 == results[0].model_sha256
        for mine, theirs in zip(history.rounds, results[0].rounds, strict=True):
            assert mine.to_dict() | {"seconds": 0} == theirs.to_dict() | {"seconds": 0}


def rows_of(folder: RunFolder) -> list[dict]:
    return [json.loads(line) for line in (folder.path / "transcript.jsonl").read_text().splitlines()]


def test_a_worker_sends_one_sum_a_round_and_the_transcript_says_so(tmp_path):
    folder = RunFolder(tmp_path / "run", {"seed": 4}, {"name": "toy"})
    _, history = fit(ProcessPool(Crowd(), 2), 2, folder)
    up = [row for row in rows_of(folder) if row["to"] == "aggregator"]
    assert [(row["round"], row["type"]) for row in up] == [(r, "PartialSum") for r in (1, 1, 2, 2)]
    assert {row["from"] for row in up} == {"worker:0", "worker:1"}
    lanes = mlp().vector.size + 5
    assert all(row["bytes"] < 8 * lanes + 4 * COHORT + 100 for row in up)
    # What the clients would have sent by themselves is what a round costs them, whoever runs them.
    assert history.rounds[0].bytes_up == COHORT * (HEADER.size + 4 * lanes)


def test_a_recorded_run_and_a_protected_one_send_every_update_by_itself(tmp_path):
    folder = RunFolder(tmp_path / "run", {"seed": 4}, {"name": "toy"}, record=True)
    weights, history = fit(InlinePool(Crowd()), 2, folder)
    seen = list(PartyView.load(folder.path).bodies(Update))
    assert len(seen) == 2 * COHORT
    folded, same = fit(InlinePool(Crowd()), 2)
    assert weights.tobytes() == folded.tobytes()
    assert [r.bytes_up for r in history.rounds] == [r.bytes_up for r in same.rounds]
    protected = RunFolder(tmp_path / "protected", {"seed": 4}, {"name": "toy"})
    clients = [Client(f"c{i}", toy_bags(6, i)) for i in range(3)]
    Aggregator(toy_model(), toy_strategy(), toy_paillier(), folder=protected).fit(InlinePool(clients), 1)
    kinds = [row["type"] for row in rows_of(protected) if row["from"].startswith(("client", "worker"))]
    assert kinds.count("Update") >= 3
    assert "PartialSum" not in kinds


def test_a_digest_has_sizes_and_no_hashes(tmp_path):
    found = {}
    for mode in ("full", "digest"):
        folder = RunFolder(tmp_path / mode, {"seed": 4}, {"name": "toy"}, transcript=mode)
        fit(InlinePool(Crowd()), 2, folder)
        found[mode] = rows_of(folder)
    assert all(len(row["sha256"]) == 64 for row in found["full"])
    assert not any("sha256" in row for row in found["digest"])
    for full, digest in zip(found["full"], found["digest"], strict=True):
        assert {k: v for k, v in full.items() if k not in ("sha256", "session")} == {
            k: v for k, v in digest.items() if k != "session"
        }
    with pytest.raises(BadInput, match="transcript is 'brief': choose full or digest"):
        RunFolder(tmp_path / "brief", {}, {}, transcript="brief")


def test_a_sum_says_whose_it_is_and_damage_is_noticed():
    body = PartialSum((3, 70_000), np.array([2**40, -5], np.int64))
    again = PartialSum.from_bytes(body.to_bytes())
    assert again.clients == body.clients
    assert again.total.tolist() == body.total.tolist()
    for damaged in (b"", body.to_bytes()[:9], body.to_bytes()[:-1]):
        with pytest.raises(ProtocolError, match="cannot have"):
            PartialSum.from_bytes(damaged)


class WrongSums(InlinePool):
    """A pool whose worker says that it added up other clients than it did."""

    def exchange(self, step, broadcast, inboxes):
        for answer in super().exchange(step, broadcast, inboxes):
            message = Message.from_bytes(answer.data)
            body = PartialSum(message.body.clients[1:], message.body.total)
            lie = Message(message.session, message.step, message.sender, message.recipient, body)
            yield type(answer)(answer.clients, lie.to_bytes())


def test_a_worker_that_contradicts_itself_is_refused():
    model = mlp()
    aggregator = Aggregator(model, strategy(), toy_plain(), cohort=5)
    history = fitted(aggregator, WrongSums(Crowd()), 1)
    assert "added up other clients than it says" in history.rounds[0].void
    assert model.vector.tobytes() == mlp().vector.tobytes()
