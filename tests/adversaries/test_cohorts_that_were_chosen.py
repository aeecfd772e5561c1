"""An aggregator that chooses cohorts by itself: openers and clients draw them from the plan, and refuse others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from aggregator import Aggregator, RunFolder
from aggregator.spending import Spending
from clients import InlinePool, ProcessPool
from clients.session import LocalSession
from fedlearn.availability import Diurnal, Trace
from fedlearn.errors import BadInput
from fedlearn.protocol import Lost, RunPlan
from fedlearn.sampling import Poisson, Sampler, Uniform, described, not_drawn
from fedlearn.secure import Masks, Threshold
from fedlearn.weighted import Weighted
from tests.secure.plans import plan_of
from tests.toys import fitted, toy_clients, toy_codec, toy_model, toy_paillier, toy_plain, toy_strategy

CLIENTS, COHORT = 8, 4


class Chosen(Sampler):
    """Takes whom the aggregator likes."""

    public = True

    def __init__(self, cohort):
        self._cohort = cohort

    def sample(self, seed, round, population, size):
        return list(self._cohort)


@pytest.fixture
def _plan_says_uniform(monkeypatch):
    """The aggregator lies to all others about its sampler."""
    monkeypatch.setattr("fedlearn.sampling.description", lambda _: UNIFORM)


class Obedient(LocalSession):
    """Clients that do what they are asked, whoever was drawn."""

    def _answers(self, step, broadcast, inboxes):
        hides, self.hides = self.hides, False
        try:
            yield from super()._answers(step, broadcast, inboxes)
        finally:
            self.hides = hides


class ObedientPool(InlinePool):
    def open(self):
        super().open()
        self._session = Obedient(self._clients, policy=self._policy)


UNIFORM = {"class": "fedlearn.sampling:Uniform", "name": "uniform", "arguments": {}}
PROTECTIONS = {
    "paillier": toy_paillier,
    "threshold": lambda: Threshold(2, 2, key_bits=512, codec=toy_codec(), insecure_test_key=True),
    "masks": lambda: Masks(toy_codec()),
}


def another_than_drawn(seed: int = 0) -> list[int]:
    drawn = Uniform().sample(seed, 1, CLIENTS, COHORT)
    return sorted([*drawn[1:], next(c for c in range(CLIENTS) if c not in drawn)])


@pytest.mark.usefixtures("_plan_says_uniform")
@pytest.mark.parametrize("protection", PROTECTIONS)
def test_a_client_that_was_not_drawn_refuses_and_the_others_go_on(protection):
    cohort = another_than_drawn()
    aggregator = Aggregator(
        toy_model(), toy_strategy(), PROTECTIONS[protection](), cohort=COHORT, sampler=Chosen(cohort)
    )
    history = fitted(aggregator, InlinePool(toy_clients(CLIENTS)), 1)
    (stranger,) = set(cohort) - set(Uniform().sample(0, 1, CLIENTS, COHORT))
    assert history.rounds[0].lost.keys() == {stranger}
    assert history.rounds[0].clients_ok == COHORT - 1


@pytest.mark.usefixtures("_plan_says_uniform")
@pytest.mark.parametrize("protection", ["paillier", "threshold"])
def test_openers_open_no_sum_with_a_client_that_was_not_drawn(protection):
    aggregator = Aggregator(
        toy_model(), toy_strategy(), PROTECTIONS[protection](), cohort=COHORT, sampler=Chosen(another_than_drawn())
    )
    history = fitted(aggregator, ObedientPool(toy_clients(CLIENTS)), 1)
    assert "whom the plan's sampler does not draw in round 1" in str(history.rounds[0].void)


@pytest.mark.parametrize(
    "protection",
    [
        toy_paillier(codec=toy_codec(32)),
        Threshold(2, 2, key_bits=512, codec=toy_codec(32), insecure_test_key=True),
    ],
    ids=["paillier", "threshold"],
)
def test_who_could_read_single_updates_checks_secret_cohorts_too(protection, monkeypatch):
    """Trustees are not told the coins, which would tell them who takes part: they check sizes and repeats."""
    monkeypatch.setattr(Spending, "cohort", lambda *_: list(range(13)))
    aggregator = Aggregator(
        toy_model(), toy_strategy(), protection, cohort=14, sampler="poisson", privacy="noise=1,clip=0.3"
    )
    history = fitted(aggregator, InlinePool(toy_clients(24)), 2)
    refused = ["whom the plan's sampler does not draw" in str(record.void) for record in history.rounds]
    assert refused == [protection.name == "paillier"] * 2
    assert [bool(record.void) for record in history.rounds] == refused


@pytest.mark.usefixtures("_plan_says_uniform")
def test_whoever_is_drawn_trains_and_nothing_is_checked_where_the_aggregator_reads_all():
    for protection in (toy_paillier(), Masks(toy_codec())):
        history = Aggregator(toy_model(), toy_strategy(), protection, cohort=COHORT).fit(toy_clients(CLIENTS), 2)
        assert [record.clients_ok for record in history.rounds] == [COHORT, COHORT]
    chosen = Chosen(another_than_drawn())
    history = Aggregator(toy_model(), toy_strategy(), toy_plain(), cohort=COHORT, sampler=chosen).fit(
        toy_clients(CLIENTS), 1
    )
    assert history.rounds[0].clients_ok == COHORT


def plan_with(sampling: dict) -> RunPlan:
    plan = plan_of(toy_plain(), 3)
    return replace(plan, sampling=sampling)


TRACE = Trace(np.array([[client, 1 + client % 3, 9] for client in range(50)]))


class Rising(Sampler):
    """A user's own: those whose numbers follow the round's."""

    public = True

    def __init__(self, start: int = 0):
        self.start = start

    def sample(self, seed, round, population, size):
        return sorted((self.start + round + i) % population for i in range(size))


@pytest.mark.parametrize(
    "sampler", [Uniform(), Poisson(), Weighted(np.arange(1.0, 51.0), public=True), Diurnal(24), TRACE, Rising(4)]
)
def test_every_party_draws_what_the_aggregator_draws(sampler):
    plan = plan_with(described(sampler, 50, 10))
    for round in (1, 2, 7):
        drawn = sampler.sample(plan.seed, round, 50, 10)
        assert not_drawn(plan, round, drawn) == []
        assert not_drawn(plan, round, range(50)) == sorted(set(range(50)) - set(drawn))


def test_of_weights_that_are_not_public_the_plan_says_nothing_and_nobody_is_refused():
    plan = plan_with(described(Weighted(np.arange(1.0, 51.0)), 50, 10))
    assert plan.sampling["sampler"] == {}
    assert not_drawn(plan, 1, range(50)) == []


@pytest.mark.parametrize(
    "change",
    [{"population": 0}, {"population": 10**9}, {"size": 51}, {"size": None}, {"sampler": {"class": "os:system"}}],
)
def test_a_plan_that_says_nonsense_of_sampling_is_refused(change):
    with pytest.raises(BadInput):
        not_drawn(plan_with(described(Uniform(), 50, 10) | change), 1, range(50))


@pytest.mark.parametrize("sampler", [Rising(), Diurnal(4), Weighted(range(1, CLIENTS + 1), public=True)])
def test_samplers_of_ones_own_reach_the_openers_and_clients_of_a_real_run(sampler):
    pool = ProcessPool(toy_clients(CLIENTS), workers=2)
    aggregator = Aggregator(toy_model(), toy_strategy(), toy_paillier(), cohort=3, sampler=sampler)
    history = fitted(aggregator, pool, 2)
    assert [record.clients_ok for record in history.rounds] == [3, 3]


def test_a_plan_does_not_have_anybody_import_a_module(tmp_path, monkeypatch):
    """The module would leave a mark; clients and openers refuse the plan that names it."""
    mark = tmp_path / "mark"
    (tmp_path / "hostile_module.py").write_text(f"open({str(mark)!r}, 'w')\nclass Anything: pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    named = {"class": "hostile_module:Anything", "name": "uniform", "arguments": {}}
    monkeypatch.setattr("fedlearn.sampling.description", lambda _: named)
    aggregator = Aggregator(toy_model(), toy_strategy(), toy_paillier(), cohort=COHORT)
    for pool in (InlinePool(toy_clients(CLIENTS)), ProcessPool(toy_clients(CLIENTS), 2)):
        with pytest.raises(BadInput, match="hostile_module is named by a file of others"):
            aggregator.fit(pool, 1)
    monkeypatch.setattr(LocalSession, "join", joined_blindly)
    history = fitted(aggregator, ObedientPool(toy_clients(CLIENTS)), 1)
    assert "opener:0" in history.rounds[0].void
    assert not mark.exists()


def joined_blindly(self, plan):
    """A client that looks at nothing of sampling."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("clients.session.not_drawn", lambda *_: [])
        JOIN(self, plan)


JOIN = LocalSession.join


class Uninvited(ObedientPool):
    """A client that is not asked answers first, and one that is asked says nothing at all."""

    def exchange(self, step, broadcast, inboxes):
        silent, *_ = inboxes
        (uninvited,) = [client for client in range(COHORT + 1) if client not in inboxes]
        yield from super().exchange(step, broadcast, {uninvited: b""})
        yield from super().exchange(step, broadcast, {c: inbox for c, inbox in inboxes.items() if c != silent})


@pytest.mark.parametrize("protection", [toy_plain, toy_paillier])
def test_who_was_not_asked_is_not_heard_and_who_says_nothing_is_not_counted(protection, tmp_path):
    model, expected = toy_model(), toy_model()
    folder = RunFolder(tmp_path / "run", {}, {}, record=True)  # so that nobody adds up updates before they are sent
    aggregator = Aggregator(model, toy_strategy(), protection(), cohort=COHORT, folder=folder)
    history = aggregator.fit(Uninvited(toy_clients(COHORT + 1)), 1)
    silent, *others = Uniform().sample(0, 1, COHORT + 1, COHORT)
    assert history.rounds[0].lost == {silent: "gave no answer"}
    assert history.rounds[0].clients_ok == COHORT - 1

    class Rest(InlinePool):
        def exchange(self, step, broadcast, inboxes):
            yield Lost(silent, "gone")
            yield from super().exchange(step, broadcast, {client: inboxes[client] for client in others})

    Aggregator(expected, toy_strategy(), toy_plain(), cohort=COHORT).fit(Rest(toy_clients(COHORT + 1)), 1)
    assert model.vector.tobytes() == expected.vector.tobytes()
