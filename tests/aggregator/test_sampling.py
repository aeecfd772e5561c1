"""Cohorts: who is drawn how often, what is refused, and what a round does with too many or too few."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from aggregator import Aggregator, Faults
from aggregator.sampling import SAMPLERS, Weighted
from clients import Client, InlinePool
from fedlearn.availability import Diurnal, Trace
from fedlearn.crypto import FixedPoint
from fedlearn.errors import BadInput, CodecError
from fedlearn.sampling import RARE, Poisson, Sampler, Uniform, sample_cohort
from fedlearn.secure import Plain
from scenarios.command import build
from scenarios.command.options import Options
from tests.scenarios.command import fedlearn, last_json
from tests.toys import toy_bags, toy_model, toy_paillier, toy_plain, toy_strategy

ROUNDS = range(1, 2001)
TRACE = [(0, 1, 4), (1, 3, 3), (2, 2, 9), (2, 1, 1), (4, 4, 6)]


def sampled(sampler: Sampler, population: int, size: int, rounds: range = ROUNDS) -> np.ndarray:
    """Who takes part, bool (rounds, population); whatever the sampler, without repetition and in order."""
    table = np.zeros((len(rounds), population), bool)
    for row, round in enumerate(rounds):
        cohort = sampler.sample(3, round, population, size)
        assert cohort == sorted(set(cohort))
        assert all(type(client) is int for client in cohort)
        assert len(cohort) <= sampler.limit(size)
        table[row, cohort] = True
    return table


def fit(sampler: Sampler | None, protection=None, rounds=12, cohort=4, clients=10, **more):
    model = toy_model()
    pool = InlinePool([Client(str(i), toy_bags(6, i)) for i in range(clients)])
    protection = protection or Plain(FixedPoint(bits=24, bound=4.0, addends=64))
    aggregator = Aggregator(model, toy_strategy(), protection, cohort=cohort, sampler=sampler, seed=3, **more)
    return model.vector, aggregator.fit(pool, rounds)


def test_uniform_is_the_default_and_draws_what_it_always_drew():
    assert Uniform().sample(4, 7, 200, 5) == sample_cohort(4, 7, 200, 5) == [69, 81, 83, 115, 166]
    assert fit(None)[0].tobytes() == fit(Uniform())[0].tobytes()
    assert Uniform().sample(4, 7, 5, 5) == [0, 1, 2, 3, 4]


def test_every_client_is_in_a_poisson_round_by_itself_with_the_same_probability():
    table = sampled(Poisson(), 40, 10, range(1, 8001))
    sizes = table.sum(axis=1)
    # The number of clients is binomial (chi square of its counts), so it varies as no fixed cohort does.
    expected = len(table) * stats.binom.pmf(np.arange(41), 40, 0.25)
    common = expected > 5
    observed = np.bincount(sizes, minlength=41)
    seen = [*observed[common], observed[~common].sum()]
    assert stats.chisquare(seen, [*expected[common], expected[~common].sum()]).pvalue > 1e-3
    # Each as often as the others, and two together as often as independent ones.
    assert abs(table.mean() - 0.25) < 3 * np.sqrt(0.25 * 0.75 / table.size)
    each = table.sum(axis=0)
    assert stats.chisquare(each, np.full(40, each.sum() / 40)).pvalue > 1e-3
    pairs = (table.T.astype(float) @ table) / len(table)
    off = pairs[~np.eye(40, dtype=bool)]
    assert np.abs(off - 0.0625).max() < 5 * np.sqrt(0.0625 * 0.9375 / len(table))


@given(st.integers(1, 3000), st.integers(0, 20_000))
def test_a_poisson_round_over_its_limit_is_as_rare_as_stated(size, more):
    limit = Poisson.limit(size)
    assert stats.binom.sf(limit, size + more, size / (size + more)) <= RARE
    assert limit <= size + 8.5 * np.sqrt(size) + 26  # and not far from what it takes


def test_a_weighted_draw_takes_clients_one_after_the_other_in_proportion():
    weights = np.array([5.0, 0.0, 1.0, 3.0, 1.0])
    table = sampled(Weighted(weights), 5, 2)
    assert not table[:, 1].any()
    assert (table.sum(axis=1) == 2).all()
    p = weights / weights.sum()
    pairs = {
        (i, j): p[i] * p[j] / (1 - p[i]) + p[j] * p[i] / (1 - p[j]) for i in range(5) for j in range(i) if p[i] * p[j]
    }
    seen = [np.count_nonzero(table[:, i] & table[:, j]) for i, j in pairs]
    assert stats.chisquare(seen, [len(ROUNDS) * chance for chance in pairs.values()]).pvalue > 1e-3


def test_weighted_everybody_is_everybody():
    assert Weighted([2, 1, 7]).sample(0, 1, 3, 3) == [0, 1, 2]


def test_a_trace_says_who_can_be_drawn():
    trace = Trace(np.array(TRACE))
    assert [trace.sample(0, round, 5, 5) for round in (1, 2, 3, 4, 6, 9, 10)] == [
        [0, 2], [0, 2], [0, 1, 2], [0, 2, 4], [2, 4], [2], [],
    ]  # fmt: skip
    table = sampled(Trace(np.array([(client, 1, 9999) for client in (1, 4, 5, 8)])), 9, 2)
    assert table.sum(axis=0)[[0, 2, 3, 6, 7]].sum() == 0
    assert stats.chisquare(table.sum(axis=0)[[1, 4, 5, 8]]).pvalue > 1e-3


def test_by_day_half_of_the_clients_are_awake_each_at_its_own_hours():
    pattern = Diurnal(24)
    awake = np.zeros((72, 400), bool)
    for round in range(72):
        awake[round, pattern.available(5, round, 400)] = True
    assert np.array_equal(awake[:24], awake[24:48])
    assert (awake[:24].sum(axis=0) == 12).all()
    assert (np.diff(awake.astype(int), axis=0) == 1).sum(axis=0).max() <= 3  # they wake once a day
    assert 150 < awake.sum(axis=1).min() <= awake.sum(axis=1).max() < 250
    assert set(pattern.sample(5, 3, 400, 50)) <= set(np.flatnonzero(awake[3]).tolist())


@pytest.mark.parametrize(
    "text",
    ["client,from,to\n0,1,4\n1,3,3\n\n2,2,9\n2,1,1\n4,4,6\n",
     "\n".join(json.dumps({"client": c, "from": a, "to": b}) for c, a, b in TRACE)],
    ids=["csv", "json lines"],
)  # fmt: skip
def test_a_trace_is_read_from_either_form(tmp_path, text):
    file = tmp_path / "trace"
    file.write_text(text)
    built = SAMPLERS.parse(f"availability:{file}", list)
    for round in range(1, 11):
        assert built.sample(0, round, 5, 2) == Trace(np.array(TRACE)).sample(0, round, 5, 2)


@pytest.mark.parametrize(
    ("spec", "text", "says"),
    [
        ("uniform:7", "", "uniform takes no argument"),
        ("poison", "", "did you mean 'poisson'"),
        ("weighted:{}", "1\nx\n2", "line 2: 'x' is no weight"),
        ("weighted:{}", "1\n-1\n2", "client-1 has weight -1"),
        ("weighted:{}", "1\nnan\n2", "client-1 has weight nan"),
        ("weighted:{}", "1\n2", "2 weights for 3 clients"),
        ("weighted:{}", "1\n0\n0", "weight above 0, there are 1"),
        ("weighted:{}.gone", "", "cannot be read"),
        ("availability", "", "needs a trace or a pattern"),
        ("availability:diurnal=x", "", "diurnal is 'x', a whole number is needed"),
        ("availability:diurnal=1", "", "at least 2 rounds"),
        ("availability:{}", "0,1\n", "line 1: '0,1' is no interval"),
        ("availability:{}", "client,from,to\n0,1,z", "line 2"),
        ("availability:{}", '{"client": 0, "from": 1}', "is no interval"),
        ("availability:{}", '{"client": 0, "from": 1, "to": 2.5}', "whole numbers"),
        ("availability:{}", "0,1,9223372036854775808", r"whole numbers under 2\^63"),
        ("availability:{}", "3,1,2", "names a client number 3, there are 3"),
        ("availability:{}", "0,5,2", "client-0 from round 5 to 2"),
        ("availability:{}", "0,0,2", "from round 0 to 2"),
    ],
)
def test_what_cannot_be_sampled_by_is_refused_before_anything_is_written(tmp_path, spec, text, says):
    file = tmp_path / "file"
    file.write_text(text)
    with pytest.raises(BadInput, match=says):
        fit(SAMPLERS.parse(spec.format(file), list), cohort=2, clients=3)


def test_a_round_with_fewer_than_may_be_opened_is_void_and_nobody_trains(tmp_path):
    sampler = Trace(np.array([(c, 1, 2) for c in range(4)] + [(5, 3, 3), (6, 3, 3)]))
    weights, history = fit(sampler, toy_paillier(), rounds=4)
    assert [record.clients_ok for record in history.rounds] == [4, 4, 0, 0]
    assert [record.void for record in history.rounds[2:]] == [
        "2 clients were sampled, it takes 3 to 4", "0 clients were sampled, it takes 3 to 4",
    ]  # fmt: skip
    assert history.rounds[2].bytes_down == 0
    void = [record for record in history.rounds if record.void]
    assert (history.summary()["rounds"], history.summary()["void"]) == (len(history.rounds), len(void))
    assert 0 < len(void) < len(history.rounds)
    assert weights.tobytes() == fit(sampler, toy_paillier(), rounds=2)[0].tobytes()


def test_a_poisson_run_trains_on_cohorts_of_many_sizes():
    _, history = fit(Poisson(), rounds=30, clients=20)
    sizes = [record.clients_ok + record.clients_failed for record in history.rounds]
    assert sizes == [len(Poisson().sample(3, r, 20, 4)) for r in range(1, 31)]
    assert len(set(sizes)) > 4
    assert [record.clients_ok for record in history.rounds] == sizes


def test_a_poisson_round_is_complete_with_all_that_were_drawn():
    faults = Faults.parse("straggle=0.5:uniform(2,3),deadline=100")
    _, history = fit(Poisson(), rounds=30, clients=20, faults=faults)
    assert [record.clients_ok for record in history.rounds] == [
        len(Poisson().sample(3, r, 20, 4)) for r in range(1, 31)
    ]
    assert max(record.simulated_seconds for record in history.rounds) <= 3


def test_more_than_a_run_is_made_for_is_void():
    class TooMany(Uniform):
        def sample(self, seed, round, population, size):
            return list(range(size + (round == 2)))

    _, history = fit(TooMany(), rounds=3)
    assert [record.void for record in history.rounds] == [None, "5 clients were sampled, it takes 1 to 4", None]


def test_a_codec_must_hold_the_largest_cohort():
    with pytest.raises(CodecError, match=r"20 clients does not fit a codec of 16 addends"):
        fit(Poisson(), toy_plain(), cohort=4, clients=20)
    assert Poisson.limit(100) > 150
    protection = build.protection(Options(cohort=100, sampler="poisson", protection="none"), 100, bound=4.0)
    assert protection.codec.addends == Poisson.limit(100)


def test_faults_close_a_poisson_round_for_nobody_but_an_over_selected_one_at_its_size():
    faults = Faults.parse("straggle=0.5:lognormal(0,1)")
    _, history = fit(Poisson(), rounds=10, clients=20, faults=faults)
    assert all(not record.clients_failed for record in history.rounds)
    _, history = fit(None, rounds=5, clients=20, faults=Faults.parse("over_select=0.5"))
    assert [(record.clients_ok, record.clients_failed) for record in history.rounds] == [(4, 2)] * 5


def test_the_command_takes_samplers_and_holds_a_resumed_run_to_its_own(tmp_path, capsys):
    common = ["run", "digits", "--clients", "50", "--cohort", "10", "--rounds", "3", "--quiet", "--json"]
    for spec in ("poisson", "weighted", "availability:diurnal=4"):
        out = tmp_path / spec.partition(":")[0]
        assert fedlearn(*common, "--sampler", spec, "--out", str(out)) == 0
        assert last_json(capsys)["rounds"] == 3
    assert fedlearn(*common, "--sampler", "uniform", "--out", str(tmp_path / "poisson"), "--resume") == 2
    assert "cannot resume with --sampler 'uniform'" in capsys.readouterr().err
    assert fedlearn("list") == 0
    listed = capsys.readouterr().out
    assert all(entry.summary in listed for entry in SAMPLERS.entries.values())


def test_a_file_of_weights_belongs_to_the_configuration_with_what_it_says(tmp_path):
    file = tmp_path / "weights.txt"
    file.write_text("1\n2\n3\n")
    before = build.configuration(Options(sampler=f"weighted:{file}"), "digits")
    assert build.configuration(Options(sampler=f"weighted:{file}"), "digits") == before
    file.write_text("1\n2\n4\n")
    assert build.configuration(Options(sampler=f"weighted:{file}"), "digits") != before
    assert build.configuration(Options(), "digits") | {"sampler": "poisson"} == build.configuration(
        Options(sampler="poisson"), "digits"
    )
