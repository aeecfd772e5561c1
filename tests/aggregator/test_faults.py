"""Simulated faults: who is lost follows from the seed alone, and what is averaged is exactly what is recorded."""

from __future__ import annotations

import json
import math
from functools import cache
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aggregator import Aggregator, Faults, RoundRecord, RunFolder
from aggregator.clock import Distribution
from clients import Client, InlinePool, ProcessPool
from fedlearn.errors import BadInput
from fedlearn.protocol import PartyView, Update
from fedlearn.secure import Masks, Threshold
from fedlearn.seeding import local_random
from tests.scenarios.command import fedlearn, last_json
from tests.toys import FailingBags, fitted, toy_clients, toy_codec, toy_model, toy_paillier, toy_plain, toy_strategy

CRASHED = "crashed after uploading"
SEED, PEOPLE = 5, 10
EVERYTHING = "dropout=0.1,straggle=0.4:lognormal(1.0,0.5),crash=0.1,time=uniform(0.5,1.5),deadline=6,over_select=0.4"
COHORT = 7  # over-selected by 0.4, it is all of PEOPLE


def train(faults: Faults | None, protection=None, pool=None, rounds=1, **more):
    """Weights and history of a toy federation."""
    model = toy_model()
    aggregator = Aggregator(model, toy_strategy(), protection or toy_plain(), faults=faults, seed=SEED, **more)
    history = fitted(aggregator, pool or InlinePool(toy_clients(PEOPLE)), rounds)
    return model.vector.copy(), history


def masks() -> Masks:
    return Masks(toy_codec())


def threshold() -> Threshold:
    return Threshold(2, 3, key_bits=256, codec=toy_codec(), insecure_test_key=True)


def counted_in(record: RoundRecord) -> set[int]:
    """Of PEOPLE, all sampled: whose update counts by the record."""
    return {client for client in range(PEOPLE) if record.lost.get(client, CRASHED) == CRASHED}


@cache
def learned() -> tuple[np.ndarray, np.ndarray]:
    """What each of PEOPLE learns in round 1, float64 (PEOPLE, P), and from how many examples."""
    updates = [
        toy_strategy().local_update(toy_model(), client.data, {}, local_random(SEED, 1, number))
        for number, client in enumerate(toy_clients(PEOPLE))
    ]
    deltas = [update.vectors["delta"].astype(np.float64) for update in updates]
    return np.array(deltas), np.array([update.examples for update in updates])


def mean_of(counted: set[int]) -> np.ndarray:
    deltas, examples = learned()
    return np.average(deltas[sorted(counted)], axis=0, weights=examples[sorted(counted)])


def check_the_mean(faults: Faults, protection, cohort: int) -> tuple[RoundRecord, np.ndarray]:
    weights, history = train(faults, protection, cohort=cohort)
    record = history.rounds[0]
    moved = weights.astype(np.float64) - toy_model().vector
    counted = counted_in(record)
    if record.void:
        assert not np.any(moved)
        return record, weights
    assert (record.clients_ok, record.clients_failed) == (len(counted), PEOPLE - len(counted))
    assert record.clients_ok <= cohort
    assert np.max(np.abs(moved - mean_of(counted))) <= record.error_bound + 1e-7
    for client in range(PEOPLE):  # the mean of one more, or of one less, is another
        if others := counted ^ {client}:
            assert np.max(np.abs(moved - mean_of(others))) > 10 * record.error_bound
    return record, weights


@pytest.mark.parametrize("protection", [toy_plain, masks])
@settings(max_examples=25, deadline=None)
@given(
    dropout=st.floats(0, 0.6), crash=st.floats(0, 0.6), straggle=st.floats(0, 1),
    sigma=st.floats(0, 2), deadline=st.sampled_from([0.8, 2.0, math.inf]), cohort=st.sampled_from([3, 7, 10]),
)  # fmt: skip
@example(dropout=0.0, crash=1.0, straggle=0.0, sigma=0.0, deadline=2.0, cohort=10)
@example(dropout=0.2, crash=0.2, straggle=0.5, sigma=1.0, deadline=2.0, cohort=7)
def test_the_aggregate_is_the_mean_of_exactly_the_clients_recorded(
    protection, dropout, crash, straggle, sigma, deadline, cohort
):
    slower = Distribution("lognormal", (0.5, sigma))
    time = Distribution("uniform", (0.5, 1.5))
    faults = Faults(dropout, crash, straggle, slower, time, deadline, over_select=PEOPLE / cohort - 1)
    record, _ = check_the_mean(faults, protection(), cohort)
    assert record.simulated_seconds <= deadline


@pytest.mark.parametrize("protection", [toy_plain, toy_paillier, threshold, masks])
def test_the_same_clients_are_lost_and_counted_under_every_protection(protection):
    record, weights = check_the_mean(Faults.parse(EVERYTHING), protection(), COHORT)
    plain, history = train(Faults.parse(EVERYTHING), cohort=COHORT)
    assert record.lost == history.rounds[0].lost
    assert {reason.split(":")[0] for reason in record.lost.values()} >= {"dropped out", "not needed"}
    assert weights.tobytes() == plain.tobytes()


def test_a_client_that_crashes_under_masks_is_in_the_sum_and_missing_at_the_end(tmp_path):
    folder = RunFolder(tmp_path / "run", {"seed": SEED}, {}, record=True)
    lost = train(Faults(crash=0.3), masks(), folder=folder)[1].rounds[0].lost
    senders: dict[str, set[int]] = {}
    for message, _ in PartyView.load(folder.path).bodies(Update):
        senders.setdefault(message.step.phase, set()).add(message.sender)
    assert set(lost.values()) == {CRASHED}
    assert senders["update"] == set(range(PEOPLE))
    assert senders["check"] == senders["unmask"] == set(range(PEOPLE)) - lost.keys()


def test_a_client_that_drops_out_under_masks_has_shared_its_secrets(tmp_path):
    folder = RunFolder(tmp_path / "run", {"seed": SEED}, {}, record=True)
    _, history = train(Faults(dropout=0.2), masks(), folder=folder)
    phases: dict[int, set[str]] = {}
    for message, _ in PartyView.load(folder.path).bodies(Update):
        phases.setdefault(message.sender, set()).add(message.step.phase)
    assert history.rounds[0].lost
    for client in history.rounds[0].lost:
        assert phases[client] == {"keys", "shares"}


@pytest.mark.parametrize("protection", [toy_plain, masks])
def test_who_cannot_count_is_not_trained(protection):
    lost = train(Faults.parse(EVERYTHING), protection(), cohort=COHORT)[1].rounds[0].lost
    silent = {client for client, reason in lost.items() if reason != CRASHED}
    clients = toy_clients(PEOPLE)
    for client in silent:
        clients[client] = Client("nobody", FailingBags(OSError("it was read")))
    again = train(Faults.parse(EVERYTHING), protection(), pool=InlinePool(clients), cohort=COHORT)[1].rounds[0].lost
    assert silent
    assert again == lost


def test_pools_workers_and_stacks_change_neither_the_losses_nor_a_bit():
    def fit(pool=None, **more):
        weights, history = train(Faults.parse(EVERYTHING), pool=pool, rounds=3, cohort=COHORT, **more)
        return weights.tobytes(), [(r.lost, r.simulated_seconds, r.bytes_up, r.bytes_down) for r in history.rounds]

    expected = fit()
    assert fit(stack="off") == expected
    for workers in (1, 3):
        assert fit(ProcessPool(toy_clients(PEOPLE), workers=workers)) == expected


def test_a_real_failure_comes_on_top():
    clients = toy_clients(PEOPLE)
    lost = train(Faults(crash=0.3))[1].rounds[0].lost
    crashed, *_ = lost
    fine = next(client for client in range(PEOPLE) if client not in lost)
    for client in (crashed, fine):
        clients[client] = Client("alice", FailingBags(OSError("no space")))
    record = train(Faults(crash=0.3), pool=InlinePool(clients))[1].rounds[0]
    assert record.lost == lost | {crashed: "OSError: no space", fine: "OSError: no space"}
    assert record.clients_ok == PEOPLE - 2


def test_too_few_left_make_a_void_round_that_says_who_is_missing():
    weights, history = train(Faults(dropout=0.9), toy_paillier(), rounds=2)
    record = history.rounds[0]
    assert weights.tobytes() == toy_model().vector.tobytes()
    assert "3 are needed" in record.void
    assert set(record.lost.values()) == {"dropped out"}
    assert record.clients_failed == PEOPLE
    assert record.simulated_seconds == 1.0  # the last of those who answered
    assert history.counted == 0


def test_masks_that_cannot_be_taken_off_make_a_void_round():
    _, history = train(Faults(crash=0.9), masks())
    assert "holders of client" in history.rounds[0].void or "are needed" in history.rounds[0].void
    assert set(history.rounds[0].lost.values()) == {CRASHED}


def test_over_selection_completes_the_cohort_and_is_refused_where_it_cannot():
    _, history = train(Faults(dropout=0.1, time=Distribution.parse("exponential(2)"), over_select=1.0), cohort=5)
    assert history.rounds[0].clients_ok == 5
    assert set(history.rounds[0].lost.values()) <= {"dropped out", "not needed: 5 others were quicker"}
    with pytest.raises(BadInput, match=r"over_select=0.5 of a cohort of 7 samples 11 clients, there are 10"):
        train(Faults(over_select=0.5), cohort=7)
    assert [Faults(over_select=more).sampled(10) for more in (0.1, 1e-11, 4e-11, 1e-9)] == [11, 10, 10, 11]
    with pytest.raises(BadInput, match="a cohort of 4 clients does not fit a codec of 3 addends"):
        train(Faults(over_select=1.0), Masks(toy_codec(addends=3)), cohort=2)


@given(
    seed=st.integers(0, 2**32), round=st.integers(1, 1000),
    clients=st.sets(st.integers(0, 10**6), min_size=2, max_size=30),
)  # fmt: skip
def test_a_clients_fate_is_its_own(seed, round, clients):
    """Whoever else is sampled: but for the closing of the round, which depends on all."""
    faults = Faults.parse("dropout=0.3,straggle=0.5:exponential(3),crash=0.3,deadline=4")
    order = sorted(clients)
    whole = faults.draw(seed, round, order, len(order))
    some = order[::2]
    part = faults.draw(seed, round, some, len(some))
    assert part.silent == {client: loss for client, loss in whole.silent.items() if client in some}
    assert part.crashed == {client: loss for client, loss in whole.crashed.items() if client in some}
    assert faults.draw(seed, round, order, len(order)) == whole


def test_faults_are_as_frequent_as_asked():
    crowd = range(20_000)
    fates = Faults.parse("dropout=0.1,straggle=0.5:lognormal(1.0,0.5),crash=0.05,deadline=5").draw(1, 1, crowd, 20_000)
    kinds = [loss.reason.split(":")[0] for loss in fates.silent.values()]
    late = 0.9 * 0.5 * (1 - NormalDist(1.0, 0.5).cdf(math.log(5)))
    shares = {"dropped out": kinds.count("dropped out"), "late": kinds.count("late"), "crashed": len(fates.crashed)}
    expected = {"dropped out": 0.1, "late": late, "crashed": 0.05 * (0.9 - late)}
    for kind, share in expected.items():  # five standard deviations
        assert abs(shares[kind] / 20_000 - share) < 5 * math.sqrt(share * (1 - share) / 20_000)
    assert fates.seconds == 5


@pytest.mark.parametrize(
    ("spec", "quantile"),
    [
        ("uniform(2,6)", lambda p: 2 + 4 * p),
        ("exponential(3)", lambda p: -3 * math.log(1 - p)),
        ("lognormal(1,0.5)", lambda p: math.exp(NormalDist(1, 0.5).inv_cdf(p))),
        ("7", lambda p: 7),
    ],
)
def test_distributions_have_the_quantiles_of_their_names(spec, quantile):
    values = np.sort(Distribution.parse(spec).at(np.random.default_rng(0).random((100_000, 2))))
    for p in (0.05, 0.5, 0.95):
        assert values[int(p * 100_000)] == pytest.approx(quantile(p), rel=0.03)


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("", "faults has no value in ''"),
        ("drop=0.1", "faults has no 'drop'.* it takes dropout, crash"),
        ("dropout", "no value for dropout: write one, as in dropout=0.1"),
        ("dropout=0.1,dropout=0.2", "dropout twice, the second time as 'dropout=0.2'"),
        ("dropout=often", "dropout is 'often', a number is needed"),
        ("dropout=1.5", "dropout is 1.5, a probability from 0 to 1"),
        ("crash=-0.1", "crash is -0.1, a probability"),
        ("dropout=nan", "dropout is 'nan', a number is needed"),
        ("straggle=2:lognormal(1,1)", "straggle is 2.0, a probability"),
        ("straggle=0.2", "straggle=0.2 does not say by what factor"),
        ("straggle=0.2:normal(1,1)", r"'normal\(1,1\)' is no distribution"),
        ("straggle=0.2:lognormal(1)", r"lognormal\(1\) cannot be drawn from"),
        ("straggle=0.2:lognormal(1,-1)", r"lognormal\(1,-1\) cannot be drawn from: .* sigma >= 0"),
        ("straggle=0.2:lognormal(50,1)", r"lognormal\(50,1\) goes up to .*, 1e\+09 is allowed"),
        ("time=uniform(3,1)", r"uniform\(3,1\) cannot be drawn from: .* low <= high"),
        ("time=0", "0 cannot be drawn from"),
        ("deadline=0", "deadline is 0.0, it must be more than 0"),
        ("deadline=nan", "deadline is 'nan'"),
        ("over_select=-1", "over_select is -1.0, a fraction"),
        ("over_select=1e308", r"over_select is 1e\+308, a fraction from 0 to 100"),
    ],
)
def test_a_spec_that_cannot_be_is_refused(spec, says):
    with pytest.raises(BadInput, match=says):
        Faults.parse(spec)


def test_no_faults_is_none_and_records_no_time():
    assert Faults.parse("none") is None
    assert train(None)[1].rounds[0].simulated_seconds is None


def test_the_command_records_losses_and_resumes_with_the_same_faults_only(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    options = ["run", "spam", "--protection", "none", "--clients", "8", "--cohort", "5", "--quiet", "--json"]
    options += ["--vocabulary", "hashed:64", "--faults", EVERYTHING]
    assert fedlearn(*options, "--rounds", "4", "--out", "whole") == 0
    whole = last_json(capsys)
    assert fedlearn(*options, "--rounds", "4", "--pool", "processes", "--out", "processes") == 0
    assert last_json(capsys)["model_sha256"] == whole["model_sha256"]
    rows = [json.loads(line) for line in (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()]
    claims = {claim["name"]: claim["value"] for claim in whole["claims"]}
    assert claims["simulated_seconds"] == sum(row["simulated_seconds"] for row in rows)
    assert claims["clients_lost"] == sum(row["clients_failed"] for row in rows)
    assert [row["clients_ok"] + row["clients_failed"] for row in rows] == [7] * 4

    for stale in sorted((tmp_path / "whole" / "checkpoint").iterdir())[1:]:
        stale.unlink()  # as if it had ended a round earlier
    assert fedlearn(*options[:-1], "none", "--rounds", "4", "--out", "whole", "--resume") == 2
    assert "cannot resume with --faults 'none'" in capsys.readouterr().err
    assert fedlearn(*options, "--rounds", "4", "--out", "whole", "--resume") == 0
    assert last_json(capsys)["model_sha256"] == whole["model_sha256"]


def test_a_run_of_void_rounds_has_failed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    options = ["run", "spam", "--protection", "none", "--vocabulary", "hashed:64", "--quiet", "--rounds", "2"]
    assert fedlearn(*options, "--faults", "dropout=1", "--out", "run") == 1
    assert "none of 2 rounds counted" in capsys.readouterr().err
    assert json.loads((tmp_path / "run" / "run.json").read_text())["outcome"]["state"] == "failed"
    assert fedlearn(*options, "--faults", "dropout=2", "--out", "other") == 2
    assert not (tmp_path / "other").exists()
