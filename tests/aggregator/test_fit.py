"""Whole federations through the Python interface: what is averaged, who survives what, what stays on disk."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import signal
from pathlib import Path

import numpy as np
import pytest

from aggregator import Aggregator, RunFolder
from clients import Client, InlinePool, ProcessPool
from fedlearn.crypto import FixedPoint
from fedlearn.datasets.bags import Bags
from fedlearn.errors import BadInput, CodecError, FedlearnError, NothingLearned
from fedlearn.protocol import FIRST_OPENER, Opened, OpenRequest, PartyView, RunPlan, TrainRequest, Update
from fedlearn.secure import Plain
from fedlearn.seeding import local_random
from fedlearn.strategies import FedAvg
from tests.toys import FailingBags, fitted, toy_bags, toy_clients, toy_model, toy_paillier, toy_plain, toy_strategy


def train(protection=None, clients=None, pool=None, rounds=3, folder=None, strategy=None, **more):
    """Weights and history of a toy federation."""
    model = toy_model()
    pool = pool or InlinePool(clients or toy_clients())
    protection = protection or toy_plain()
    aggregator = Aggregator(model, strategy or toy_strategy(), protection, folder=folder, seed=5, **more)
    history = fitted(aggregator, pool, rounds)
    return model.vector.copy(), history


def run_folder(path: Path, **changes) -> RunFolder:
    return RunFolder(path, {"seed": 5}, {"name": "toy"}, **changes)


def test_the_mean_is_the_weighted_mean_of_everybody_and_not_one_clients_model():
    """The book's chapter 15 sums the encrypted models of all and then decrypts Sue's alone."""
    clients, strategy = toy_clients(3), toy_strategy()
    start = toy_model().vector.copy()
    deltas, weights = [], []
    for number, client in enumerate(clients):
        model = toy_model()
        update = strategy.local_update(model, client.data, {}, local_random(5, 1, number))
        deltas.append(update.vectors["delta"].astype(np.float64))
        weights.append(update.examples)
    mean = np.average(deltas, axis=0, weights=weights)
    trained, history = train(toy_paillier(), clients, rounds=1)
    assert np.max(np.abs(trained - start - mean)) <= history.rounds[0].error_bound + 1e-7
    for delta in deltas:
        assert np.max(np.abs(trained - start - delta)) > 1000 * history.rounds[0].error_bound


def test_another_seed_gives_another_model():
    a, _ = train(cohort=2, clients=toy_clients(6))
    model = toy_model()
    Aggregator(model, toy_strategy(), toy_plain(), cohort=2, seed=6).fit(InlinePool(toy_clients(6)), 3)
    assert a.tobytes() != model.vector.tobytes()


def test_rounds_are_recorded_with_totals_only():
    _, history = train(toy_paillier(), rounds=2)
    record = history.rounds[-1]
    assert (record.round, record.clients_ok, record.clients_failed, record.attempts) == (2, 3, 0, 1)
    assert record.weight == sum(len(client.data) for client in toy_clients())
    assert (record.clipped, record.capped, record.void) == (0, 0, None)
    assert set(record.seconds) == {"update", "open"}
    assert record.bytes_up > 0
    assert history.bytes_up == sum(r.bytes_up for r in history.rounds)


def test_large_weights_are_capped_and_counted_and_clipping_too():
    codec = FixedPoint(bits=24, bound=0.01, addends=16, overflow="clip")
    strategy = FedAvg(epochs=2, batch_size=4, lr=0.5, max_weight=8)
    _, history = train(Plain(codec), strategy=strategy, rounds=1, compression="most_clipped=1")
    assert history.rounds[0].capped == 1  # clients of 5, 8 and 11 examples
    assert history.rounds[0].weight == 5 + 8 + 8
    assert history.rounds[0].clipped > 0
    assert history.error_bound > 0.01  # what was clipped away is in it


def test_where_values_are_clipped_far_beyond_the_bound_no_error_bound_is_stated():
    codec = FixedPoint(bits=24, bound=1e-6, addends=16, overflow="clip")
    strategy = FedAvg(epochs=2, batch_size=4, lr=50.0)
    _, history = train(Plain(codec), strategy=strategy, rounds=2, compression="most_clipped=1")
    assert history.rounds[0].error_bound is history.error_bound is None


def test_a_bound_that_clips_more_than_is_allowed_ends_the_run():
    codec = FixedPoint(bits=24, bound=0.0005, addends=16, overflow="clip")
    with pytest.raises(CodecError, match=r"% of the values of round 1 were clipped at the bound 0.0005, 10% may be"):
        train(Plain(codec), rounds=1)


def test_evaluation_is_the_scenarios(tmp_path):
    def evaluate(model):
        return {"loss": np.float32(1.5), "accuracy": np.any(model.vector)}

    _, history = train(evaluate=evaluate, folder=run_folder(tmp_path / "run"))
    assert history.metrics == {"loss": 1.5, "accuracy": 1.0}
    assert history.rounds[-1].train_loss != 1.5
    last = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1])
    assert (last["loss"], last["accuracy"]) == (1.5, 1.0)


def test_a_failing_client_is_left_out_and_named():
    clients = [*toy_clients(3), Client("alice", FailingBags(OSError("no space")))]
    weights, history = train(toy_paillier(), clients)
    assert [r.clients_failed for r in history.rounds] == [1, 1, 1]
    assert history.rounds[0].lost == {3: "failed at its task"}
    alone, _ = train(clients=toy_clients(3))
    assert weights.tobytes() == alone.tobytes()


class Broken:
    """Examples whose reading fails in the same way for every client."""

    def __len__(self) -> int:
        return 4

    def take(self, order: object) -> object:
        raise KeyError("no column 'secret-text'")


@pytest.mark.parametrize("pool", [InlinePool, ProcessPool])
def test_where_every_client_fails_alike_the_run_stops_at_once_and_says_why(pool, tmp_path):
    folder = run_folder(tmp_path / "run")
    with pytest.raises(FedlearnError, match="every client of round 1 failed alike: KeyError") as caught:
        Aggregator(toy_model(), protection=toy_plain(), folder=folder).fit(pool([Client("x", Broken())] * 3), 5)
    assert "line" in str(caught.value.__cause__)
    assert "in take" in str(caught.value.__cause__)
    assert not (folder.path / "metrics.jsonl").exists()


def test_under_protection_the_traceback_stays_with_the_clients():
    protection = toy_paillier()
    with pytest.raises(FedlearnError, match="every client of round 1 failed; only the processes that they") as caught:
        Aggregator(toy_model(), protection=protection).fit(InlinePool([Client("x", Broken())] * 3), 5)
    assert caught.value.__cause__ is None
    assert "secret-text" not in str(caught.value)


def test_clients_that_fail_in_different_ways_make_a_void_round_and_a_run_without_rounds_fails():
    clients = [
        Client(f"{i}", FailingBags(OSError(f"the {what} failed"))) for i, what in enumerate(("disk", "link", "fan"))
    ]
    with pytest.raises(NothingLearned, match="none of 2 rounds counted, so nothing was learned: 2 because") as caught:
        Aggregator(toy_model(), toy_strategy(), toy_plain()).fit(InlinePool(clients), 2)
    assert "the link failed" in str(caught.value)
    assert [record.attempts for record in caught.value.history.rounds] == [1, 1]


def test_too_few_updates_make_a_void_round_and_leave_the_model():
    clients = [*toy_clients(2), Client("alice", FailingBags(OSError("no space")))]
    weights, history = train(toy_paillier(), clients, rounds=2)
    assert weights.tobytes() == toy_model().vector.tobytes()
    assert "2 clients answered, 3 are needed" in history.rounds[0].void
    assert "client-2: failed at its task" in history.rounds[0].void
    assert history.rounds[1].void


def test_a_codec_that_cannot_hold_an_update_ends_the_run_with_the_reason(tmp_path):
    tight = Plain(FixedPoint(bits=24, bound=1e-4, addends=16))
    with pytest.raises(BadInput, match=r"outside the bound 0.0001"):
        train(tight, folder=run_folder(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_nan_in_every_update_ends_the_run_with_the_reason():
    good = toy_bags(6, 0)
    broken = Bags(good.indices, good.offsets, np.full(6, np.nan, np.float32))
    with pytest.raises(BadInput, match="20 of 20 values are NaN or infinite"):
        train(clients=[Client("bob", broken)])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"rounds": 0}, "rounds is 0"),
        ({"cohort": 4}, "cohort of 4 cannot be sampled from 3"),
        ({"cohort": 0}, "cohort of 0"),
        ({"cohort": 2, "protection": toy_paillier()}, "cohort of 2 clients is under the minimum of 3"),
    ],
)
def test_a_configuration_that_cannot_work_is_refused_before_anything_is_written(change, says, tmp_path):
    with pytest.raises(BadInput, match=says):
        train(folder=run_folder(tmp_path / "run"), **change)
    assert not (tmp_path / "run").exists()


def test_a_codec_too_narrow_for_the_cohort_is_refused():
    with pytest.raises(CodecError, match="cohort of 3 clients does not fit a codec of 2 addends"):
        train(Plain(FixedPoint(bits=24, bound=4.0, addends=2)))


def test_no_clients_at_all():
    with pytest.raises(BadInput, match="0 clients"):
        Aggregator(toy_model(), toy_strategy(), toy_plain()).fit(InlinePool([]), 1)


class KillsItsWorkerOnce:
    """Reading it kills the process, once: afterwards it is the toy data it wraps."""

    def __init__(self, mark: Path, bags):
        self.mark, self.bags = mark, bags

    def __len__(self):
        return len(self.bags)

    def take(self, order):
        if not self.mark.exists():
            self.mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return self.bags.take(order)


def test_a_killed_worker_costs_an_attempt_and_changes_no_bit(tmp_path):
    expected, _ = train()
    clients = toy_clients()
    clients[1] = Client("client-1", KillsItsWorkerOnce(tmp_path / "mark", clients[1].data))
    weights, history = train(toy_paillier(), pool=ProcessPool(clients, workers=2))
    assert [r.attempts for r in history.rounds] == [2, 1, 1]
    assert [r.clients_failed for r in history.rounds] == [0, 0, 0]
    assert weights.tobytes() == expected.tobytes()


class KillsItsWorker(KillsItsWorkerOnce):
    def take(self, order):
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_that_dies_every_time_costs_its_clients_and_nobody_else(tmp_path):
    clients = toy_clients()
    clients[1] = Client("client-1", KillsItsWorker(tmp_path, toy_bags(4, 0)))
    for protection, void in ((toy_plain(), None), (toy_paillier(), "2 clients answered, 3 are needed; lost 1")):
        weights, history = train(protection, pool=ProcessPool(clients, workers=2), rounds=1)
        record = history.rounds[0]
        assert (record.attempts, list(record.lost)) == (3, [1])
        assert "ended by SIGKILL" in record.lost[1]
        assert (record.void is None) == (void is None)
        assert (void or "") in (record.void or "")
        assert record.clients_ok == (0 if void else 2)
        assert (weights.tobytes() == toy_model().vector.tobytes()) == bool(void)


@pytest.mark.parametrize(
    ("found", "says"),
    [({"clients_ok": 1.0}, "'clients_ok', which is a field"), ({"metrics": 1.0}, "'metrics', which"),
     ({3: 1.0}, "a metric named 3"),
     ({"f1": "high"}, "f1='high'"), (0.5, "returned 0.5: return a dictionary")],
)  # fmt: skip
def test_a_metric_that_a_record_cannot_hold_ends_the_run_at_its_first_evaluation(found, says, tmp_path):
    aggregator = Aggregator(
        toy_model(), protection=toy_plain(), evaluate=lambda _: found, folder=run_folder(tmp_path / "run")
    )
    with pytest.raises(BadInput, match=re.escape(says)):
        aggregator.fit(InlinePool(toy_clients()), rounds=2)
    assert not (tmp_path / "run").exists()


def test_under_encryption_nobody_but_the_key_holder_can_read_an_update(tmp_path):
    """What each party saw: the aggregator no plain update, the key holder signed ciphertexts and one sum a round."""
    folder = run_folder(tmp_path / "run", record=True)
    train(toy_paillier(), folder=folder, rounds=2)
    plain = run_folder(tmp_path / "plain", record=True)
    train(toy_plain(), folder=plain, rounds=2)
    readable = [body.payload for _, body in PartyView.load(plain.path).bodies(Update)]
    seen = (folder.path / "payloads.bin").read_bytes()
    assert len(readable) == 6
    assert not any(payload in seen for payload in readable)
    holder = PartyView.load(folder.path, FIRST_OPENER)
    assert len(list(holder.bodies(Update))) == 6
    assert not list(holder.bodies(TrainRequest))
    assert [m.step.round for m, _ in holder.bodies(OpenRequest)] == [1, 2]
    assert len(list(holder.bodies(RunPlan))) == 1
    aggregator = PartyView.load(folder.path)
    answers = [body.payload for _, body in aggregator.bodies(Opened)]
    for number, answer in enumerate(answers):
        cohort = [np.frombuffer(payload, "<i4").astype(np.int64) for payload in readable[3 * number :][:3]]
        assert np.frombuffer(answer, "<i8", len(cohort[0])).tolist() == sum(cohort).tolist()


def test_the_private_key_is_never_in_this_process():
    """The key holder is a child process even under the inline pool, and ends with the run."""
    seen = []
    train(toy_paillier(), rounds=1, evaluate=lambda model: seen.extend(multiprocessing.active_children()) or {})
    assert [process.name for process in seen] == ["opener:0"]
    assert not multiprocessing.active_children()


def test_a_dead_key_holder_ends_the_run_with_what_to_do():
    def kill(model):
        multiprocessing.active_children()[0].kill()
        return {}

    with pytest.raises(FedlearnError, match=r"opener:0 ended .* resume=True"):
        train(toy_paillier(), rounds=2, evaluate=kill)


def test_the_plan_stands_in_the_transcript_for_everybody(tmp_path):
    train(rounds=1, folder=run_folder(tmp_path / "run"))
    rows = [json.loads(line) for line in (tmp_path / "run" / "transcript.jsonl").read_text().splitlines()]
    plans = [row for row in rows if row["type"] == "RunPlan"]
    assert [(row["from"], row["round"]) for row in plans] == [("aggregator", 0)]
    assert plans[0]["bytes"] > 0
