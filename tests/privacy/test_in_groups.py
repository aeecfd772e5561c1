"""Noise where cohorts are cut into groups: in each group's sum, charged once a round, and before any rule."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from aggregator import Aggregator, RunFolder
from clients import InlinePool
from fedlearn.errors import BadInput, PrivacyError
from fedlearn.privacy.asked import Privacy
from fedlearn.secure import Masks
from fedlearn.strategies import FedAvg
from tests.toys import fitted, toy_clients, toy_codec, toy_model, toy_paillier, toy_plain, toy_strategy

COUNT, SIZE, CLIP = 12, 3, 0.3


def run(protection, *, rounds=2, strategy=None, privacy=None, folder=None, **settings):
    asked = privacy or Privacy(noise=1, clip=CLIP, where="clients", seed=3)
    model = toy_model()
    aggregator = Aggregator(
        model, strategy or toy_strategy(), protection, seed=5, privacy=asked, folder=folder,
        **{"robust": "nnm+trimmed", "group_size": SIZE, **settings},
    )  # fmt: skip
    return fitted(aggregator, InlinePool(toy_clients(COUNT)), rounds), model.vector.copy()


@pytest.mark.parametrize("protection", [lambda: Masks(toy_codec()), toy_paillier], ids=["masks", "paillier"])
def test_groups_with_noise_give_the_same_model_under_every_protection(protection):
    history, model = run(protection())
    plain, expected = run(toy_plain())
    assert np.array_equal(model, expected)
    assert history.rounds[-1].robust == plain.rounds[-1].robust
    assert history.privacy["groups"] == 4
    assert history.rounds[-1].train_loss is None


def test_noise_is_the_same_whoever_adds_all_of_it():
    by_opener = run(toy_paillier(), privacy=Privacy(noise=1, clip=CLIP, where="opener", seed=3))
    by_aggregator = run(toy_plain(), privacy=Privacy(noise=1, clip=CLIP, where="aggregator", seed=3))
    assert np.array_equal(by_opener[1], by_aggregator[1])


@pytest.mark.parametrize("where", ["clients", "aggregator"])
def test_each_groups_sum_has_all_the_noise_that_is_charged(where):
    """Nobody learns anything, so that a group's mean is its noise: z times the clip, shared among its clients."""
    asked = Privacy(noise=1, clip=CLIP, where=where, honest=1.0)
    still = FedAvg(epochs=1, batch_size=4, lr=1e-9)
    history, model = run(toy_plain(), rounds=6, strategy=still, privacy=asked, robust="median")
    norms = [norm for record in history.rounds for norm in record.robust["norms"]]
    assert len(set(norms)) == 24  # a group's noise is its own
    expected = CLIP / SIZE * math.sqrt(model.size)
    assert np.mean(norms) == pytest.approx(expected, rel=4 / math.sqrt(2 * model.size * 24))


@pytest.mark.parametrize("sampler", ["uniform", "poisson"])
def test_a_round_is_charged_once_and_sampling_is_not_counted_on(tmp_path, sampler):
    """Anybody can draw groups, so that the coins of a Poisson sample are no secret either."""
    folder = RunFolder(tmp_path / "run", {}, {})
    history, _ = run(toy_paillier(), folder=folder, sampler=sampler, cohort=9, privacy=Privacy(noise=2, clip=CLIP))
    _, *rows = (tmp_path / "run" / "privacy.ledger").read_text().splitlines()
    charged = [json.loads(row.rpartition(" ")[0]) for row in rows]
    assert [(row["round"], row["q"]) for row in charged] == [
        (record.round, 1.0) for record in history.rounds if record.void is None
    ]
    assert not (tmp_path / "run" / "cohorts.key").exists()
    last = history.rounds[-1]
    assert last.epsilon == last.epsilon_aggregator


def test_groups_cost_what_one_sum_costs():
    alone = run(toy_plain(), robust=None, group_size=None)[0].rounds[-1].epsilon
    assert run(toy_plain())[0].rounds[-1].epsilon == pytest.approx(alone, rel=1e-6)


def test_a_clip_adapts_to_all_groups():
    asked = Privacy(noise=1, clip=CLIP, where="clients", adaptive=0.8, seed=3)
    history, _ = run(toy_plain(), privacy=asked)
    assert history.rounds[0].below is not None
    assert history.rounds[1].clip != pytest.approx(CLIP)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (
            {"cohort": 2, "robust": None, "group_size": None},
            "a cohort of 2 clients has less noise than 3 of them add: raise",
        ),
        ({"group_size": 2}, "a group of 2 clients has less noise than 3 of them add: raise the group"),
        ({"strategy": "scaffold"}, "beside their delta"),
    ],
)
def test_what_is_refused(settings, says):
    with pytest.raises(PrivacyError, match=says):
        run(toy_plain(), **settings)


def test_nobody_can_ask_for_noise_on_what_a_rule_gives():
    with pytest.raises(BadInput, match="where is 'rule', one of clients, opener, aggregator"):
        Privacy.parse("noise=1,clip=0.3,where=rule")
