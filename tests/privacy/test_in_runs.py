"""Privacy in whole federations: what is released, what is charged for it, and what is refused."""

from __future__ import annotations

import json
import math
import os
from dataclasses import replace

import numpy as np
import pytest

from aggregator import Aggregator, RunFolder
from aggregator.cohorts import cohorts_of
from aggregator.spending import COARSE, terms_of
from clients import Client, InlinePool, ProcessPool
from fedlearn.crypto import FixedPoint
from fedlearn.errors import BadInput, LedgerError, PrivacyError
from fedlearn.privacy import AnalyticGaussian, Pld, Privacy, Release
from fedlearn.privacy.ledger import Ledger, epsilon
from fedlearn.sampling import Poisson, Uniform
from fedlearn.secure import PROTECTIONS, Plain
from fedlearn.secure.base import Settings
from fedlearn.secure.layouts import layout_of
from fedlearn.strategies import STRATEGIES, FedAvg
from fedlearn.strategies.base import LocalUpdate, Output
from tests.toys import TOY_BITS, toy_bags, toy_model

SETTINGS = Settings(FixedPoint(bits=24, bound=4.0, addends=64), TOY_BITS, insecure_test_key=True)
SPECS = ("none", "paillier", "threshold:2/3", "masks")
ADDED = [(spec, where) for spec in SPECS for where in PROTECTIONS.load(PROTECTIONS.split(spec)[0]).adds_noise]


def people(count: int = 6) -> list[Client]:
    return [Client(f"client-{i}", toy_bags(5, seed=i)) for i in range(count)]


def protection(spec: str = "none"):
    return PROTECTIONS.parse(spec, SETTINGS)


def train(spec="none", privacy="noise=1,clip=0.3", pool=None, rounds=2, count=6, **more):
    """Weights, history and aggregator of a toy federation."""
    model = toy_model()
    asked = Privacy.parse(privacy, seed=7) if isinstance(privacy, str) else privacy
    strategy = more.pop("strategy", FedAvg(epochs=2, batch_size=4, lr=0.5))
    aggregator = Aggregator(model, strategy, protection(spec), seed=5, privacy=asked, **more)
    history = aggregator.fit(pool or InlinePool(people(count)), rounds)
    return model.vector.copy(), history, aggregator


def test_with_a_test_seed_protections_pools_and_stacks_change_no_bit():
    by_party: dict[bool, set[bytes]] = {True: set(), False: set()}  # of noise by clients, and by one party
    for spec, where in ADDED:
        weights, _, _ = train(spec, f"noise=1,clip=0.3,where={where}")
        by_party[where == "clients"].add(weights.tobytes())
    for stack in ("on", "off"):
        weights, _, _ = train("none", "noise=1,clip=0.3,where=clients", ProcessPool(people(), workers=2), stack=stack)
        by_party[True].add(weights.tobytes())
    assert [len(seen) for seen in by_party.values()] == [1, 1]


def test_without_a_test_seed_no_two_runs_are_alike():
    for where in ("aggregator", "clients"):
        asked = Privacy(noise=1, clip=0.3, where=where)
        assert train(privacy=asked)[0].tobytes() != train(privacy=asked)[0].tobytes()


@pytest.mark.parametrize(("spec", "where"), ADDED)
def test_a_round_releases_the_noised_mean_and_nothing_else(spec, where):
    _, history, aggregator = train(spec, f"noise=1,clip=0.3,where={where}", rounds=1)
    record = history.rounds[0]
    assert (record.weight, record.clipped, record.capped, record.error_bound) == (None, None, None, None)
    assert record.train_loss is None
    assert aggregator.protection.codec.bits == 24


def test_epsilons_are_those_of_the_rows():
    _, history, _ = train("none", "noise=2,clip=0.3,delta=0.01", rounds=3)
    row = history.rounds[-1]
    assert row.epsilon == pytest.approx(AnalyticGaussian(math.sqrt(3) / 2).epsilon(0.01), rel=1e-4)
    assert row.epsilon_aggregator == math.inf  # it reads every update
    _, history, _ = train("paillier", "noise=2,clip=0.3,delta=0.01", rounds=3)
    assert history.rounds[-1].epsilon_aggregator == history.rounds[-1].epsilon == pytest.approx(row.epsilon, rel=1e-6)
    assert [record.epsilon for record in history.rounds] == sorted(record.epsilon for record in history.rounds)


def test_secret_coins_amplify_and_no_plan_names_them(tmp_path):
    asked = Privacy(noise=1, clip=0.3)
    _, history, _ = train("paillier", asked, count=60, cohort=12, sampler="poisson", rounds=3, folder=tmp_path / "run")
    delta = 60**-1.1
    expected = Pld().epsilon([Release(0.2, 1.0, 3)], delta)
    assert expected <= history.rounds[-1].epsilon < 1.02 * expected  # void rounds tell a little
    assert history.rounds[-1].epsilon < history.rounds[-1].epsilon_aggregator < math.inf
    assert oct((tmp_path / "run" / "cohorts.key").stat().st_mode)[-3:] == "600"
    cohorts = cohorts_of(asked, protection("paillier"), Poisson(), None, 60, 12, 3)
    rows = Ledger.load(tmp_path / "run" / "privacy.ledger").rows
    for record, accountant in zip(history.rounds, (Pld(COARSE), Pld(COARSE), Pld()), strict=True):
        assert record.epsilon == epsilon(rows[: record.round], delta - cohorts.told(record.round), accountant)
    run = json.loads((tmp_path / "run" / "run.json").read_text())["outcome"]["privacy"]
    assert run["epsilon"] == history.rounds[-1].epsilon
    assert (run["rate"], run["sums"], run["insecure"]) == (0.2, 3, False)


def test_cohorts_under_secret_coins_do_not_follow_from_the_seed():
    asked = Privacy(noise=1, clip=0.3)
    runs = [
        [
            record.clients_ok
            for record in train("none", asked, count=40, cohort=20, sampler="poisson", rounds=6)[1].rounds
        ]
        for _ in range(2)
    ]
    assert runs[0] != runs[1]


@pytest.mark.parametrize("more", [{"sampler": "uniform"}, {"sampler": "poisson", "faults": "over_select=0.5"}])
def test_other_cohorts_are_charged_without_amplification(more):
    _, history, _ = train("paillier", "noise=2,clip=0.3", count=20, cohort=6, rounds=3, **more)
    assert history.privacy["rate"] == 1
    assert history.rounds[-1].epsilon == history.rounds[-1].epsilon_aggregator


@pytest.mark.parametrize("more", [{}, {"cohort": 12, "sampler": "poisson"}, {"cohort": 12}])
@pytest.mark.parametrize("where", ["clients", "opener"])
def test_noise_for_an_epsilon_costs_it_at_the_end_and_not_more(more, where):
    _, history, _ = train("paillier", f"epsilon=3,clip=0.3,where={where}", count=60, rounds=4, **more)
    assert 2.99 < history.rounds[-1].epsilon <= 3


def test_no_client_moves_the_mean_by_more_than_its_clip():
    start = toy_model().vector.copy()
    moved = [np.linalg.norm(train(privacy=f"noise=0.001,clip={clip}", rounds=1)[0] - start) for clip in (1e-3, 1e-2)]
    assert 1e-4 < moved[0] <= 1.01e-3  # the mean of vectors that long, with hardly any noise
    assert moved[1] == pytest.approx(10 * moved[0], rel=0.05)  # all of them are longer than either clip


@pytest.mark.parametrize("spec", ["none", "paillier"])
def test_a_resumed_run_goes_on_as_if_nothing_had_been(tmp_path, spec):
    whole, history, _ = train(spec, rounds=4, count=20, cohort=8, sampler="poisson")
    folder = tmp_path / "run"
    train(spec, rounds=2, count=20, cohort=8, sampler="poisson", folder=RunFolder(folder, {"seed": 5}, {}))
    resumed, after, _ = train(
        spec, rounds=4, count=20, cohort=8, sampler="poisson", folder=RunFolder(folder, {"seed": 5}, {}, resume=True)
    )
    assert resumed.tobytes() == whole.tobytes()
    assert [r.epsilon for r in after.rounds] == pytest.approx([r.epsilon for r in history.rounds], abs=2e-4)
    assert [r.epsilon_aggregator for r in after.rounds] == [r.epsilon_aggregator for r in history.rounds]


def test_an_epsilon_is_for_as_many_rounds_as_were_asked_for(tmp_path):
    folder, asked = tmp_path / "run", Privacy(epsilon=2, clip=0.3)
    train(rounds=2, privacy=asked, folder=RunFolder(folder, {"seed": 5}, {}))
    with pytest.raises(PrivacyError, match="shared among as many rounds"):
        train(rounds=4, privacy=asked, folder=RunFolder(folder, {"seed": 5}, {}, resume=True))


@pytest.mark.parametrize("harm", ["missing", "cut", "shorter", "changed"])
def test_a_ledger_that_is_not_whole_stops_a_resume(tmp_path, harm):
    folder = tmp_path / "run"
    train(rounds=2, folder=RunFolder(folder, {"seed": 5}, {}))
    ledger = folder / "privacy.ledger"
    lines = ledger.read_text().splitlines(keepends=True)
    ledger.unlink()
    if harm != "missing":
        lines = {"cut": [*lines[:-1], lines[-1][:20]], "shorter": lines[:-1],
                 "changed": [lines[0], lines[1].replace('"count": 1', '"count": 0'), *lines[2:]]}[harm]  # fmt: skip
        ledger.write_text("".join(lines))
    with pytest.raises(LedgerError, match="begin another run"):
        train(rounds=4, folder=RunFolder(folder, {"seed": 5}, {}, resume=True))


@pytest.mark.parametrize(
    ("harm", "named"),
    [
        (lambda key: key.unlink(), "No such file"),
        (lambda key: os.truncate(key, 31), "31 bytes in the place of 32"),
        (lambda key: key.chmod(0o644), "others can read it"),
    ],
)
def test_a_key_of_the_cohorts_that_cannot_be_used_stops_a_resume(harm, named, tmp_path):
    folder, asked = tmp_path / "run", Privacy(noise=1, clip=0.3)
    more = {"count": 20, "cohort": 8, "sampler": "poisson", "privacy": asked}
    train(rounds=2, folder=RunFolder(folder, {"seed": 5}, {}), **more)
    harm(folder / "cohorts.key")
    with pytest.raises(LedgerError, match=f"the key of the cohorts is needed, and .*{named}"):
        train(rounds=4, folder=RunFolder(folder, {"seed": 5}, {}, resume=True), **more)


def test_void_rounds_are_free():
    _, history, _ = train("paillier", rounds=6, faults="dropout=0.55")
    void = [record.void is not None for record in history.rounds]
    assert 0 < sum(void) < 6
    assert history.privacy["sums"] == 6 - sum(void)


@pytest.mark.parametrize(
    ("privacy", "named"),
    [
        ("noise=1", "clip"), ("clip=0.3", "noise=Z or epsilon=E"), ("noise=1,epsilon=1,clip=1", "one of them"),
        ("epsilon=0,clip=0.3", "epsilon is 0"), ("noise=1,clip=0", "clip is 0"), ("noise=0,clip=1", "noise is 0"),
        ("noise=1,clip=0.3,delta=0.5", "delta is 0.5 for 6 clients"), ("noise=1,clip=1,honest=0", "honest is 0"),
        ("noise=1,clip=0.3,where=moon", "where"), ("noise=1,clip=0.3,where=opener", "nobody but aggregator or clients"),
        ("noise=1,clip=0.3,where=clients,honest=0.1", "less than one"), ("nose=1,clip=1", "nose"),
        ("noise=nan,clip=1", "nan"), ("noise=1,clip=inf", "inf"), ("noise=1,clip=0.3,delta=0", "delta is 0"),
    ],
)  # fmt: skip
def test_what_protects_nobody_is_refused_by_name(privacy, named):
    with pytest.raises(BadInput, match=named):
        train(privacy=privacy)


def test_noise_of_too_few_steps_is_refused():
    coarse = Plain(FixedPoint(bits=8, bound=4.0, addends=16))
    aggregator = Aggregator(toy_model(), None, coarse, privacy="noise=0.1,clip=0.3")
    with pytest.raises(PrivacyError, match="at least 20"):
        aggregator.fit(people())


@pytest.mark.parametrize("name", STRATEGIES.entries)
def test_strategies_send_one_delta_or_are_refused(name):
    strategy = STRATEGIES.parse(name)
    one = set(strategy.outputs(9)) == {"delta"} and not strategy.keeps(9)
    if one:
        assert train(strategy=strategy, rounds=1)[1].counted == 1
    else:
        with pytest.raises(PrivacyError, match=name):
            train(strategy=strategy, rounds=1)


@pytest.mark.parametrize(("spec", "count"), [("masks", 3), ("paillier", 64)])
def test_the_noise_of_all_clients_has_the_variance_that_is_stated(spec, count):
    """And the sum of their lanes is that of their integers, bit for bit: what is left beside the updates is noise."""
    guard = PROTECTIONS.parse(spec, replace(SETTINGS, min_cohort=count))
    made = cohorts_of(Privacy(noise=1, clip=0.3, where="clients"), guard, Uniform(), None, 100, count, 1)
    terms = terms_of(Privacy(noise=1.5, clip=0.3, where="clients", honest=1), guard, made, 0)
    layout = layout_of({"delta": Output(60_000)}, guard.codec, 4096, terms)
    rng = np.random.default_rng(0)
    exact = noised = np.zeros(60_000, np.int64)
    for client in range(count):
        update = rng.normal(size=60_000).astype(np.float32)
        lanes = layout.encode(LocalUpdate({"delta": update}, 5, 0.1))[None]
        exact = exact + lanes[0]
        layout.blur(lanes, 1, [client])
        assert np.abs(lanes).max() <= terms.lane_bound <= guard.codec.limit
        noised = noised + lanes[0]
    stated = (1.5 * terms.steps) ** 2
    assert np.var(noised - exact) == pytest.approx(stated, rel=0.02)
    assert np.mean(noised - exact) == pytest.approx(0, abs=5 * stated**0.5 / 60_000**0.5)
    mean = layout.decode(noised, count).mean["delta"]
    np.testing.assert_array_equal(mean, noised * (0.3 / terms.steps / count))


def test_lanes_are_of_16_bits_where_few_weights_lose_little():
    model = toy_model()
    aggregator = Aggregator(model, None, "none", privacy="noise=1,clip=0.3")
    aggregator.fit(people(), 1)
    assert aggregator.protection.codec.bits == 16
