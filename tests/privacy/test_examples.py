"""Where single examples are protected: what one of them can do, what it is charged, and how figures are labelled."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator import Aggregator, RunFolder, ask
from aggregator.cohorts import cohorts_of
from aggregator.spending import terms_of
from clients import Client, InlinePool, Policy
from clients.behaviours.flips import SignFlip
from fedlearn.datasets.examples import Arrays, View
from fedlearn.errors import BadInput, PrivacyError
from fedlearn.models.mlp import MLP
from fedlearn.privacy import Pld, Privacy, Rdp, Release, Terms
from fedlearn.privacy.coins import drawn
from fedlearn.privacy.ledger import Ledger
from fedlearn.sampling import Uniform
from fedlearn.secure.layouts import layout_of
from fedlearn.seeding import LocalRandom
from fedlearn.strategies import FedAvg
from fedlearn.strategies.base import LocalUpdate, Output
from fedlearn.strategies.fedavgm import FedAvgM
from fedlearn.training.flat import FlatModel
from fedlearn.training.stacks import StackedViews, singles
from tests.privacy.test_in_runs import SETTINGS, people, protection, train
from tests.toys import toy_model

ASKED = "noise=1,clip=0.3,unit=example,rate=0.5,examples=30"
ONE_STEP = FedAvg(epochs=1, batch_size=4, lr=0.5)


def run(privacy=ASKED, spec="none", **more):
    return train(spec, privacy, strategy=more.pop("strategy", ONE_STEP), **more)


def terms(**changes) -> Terms:
    given = {"where": "aggregator", "noise": 1.0, "clip": 0.3, "steps": 1 << 12, "expected": 20.0,
             "unit": "example", "rate": 0.5, "most": 8}  # fmt: skip
    return Terms(**given | changes)


def test_a_round_is_the_sum_of_single_examples_each_clipped():
    """By hand: every drawn example of every client is trained alone from the model, and clipped by itself."""
    start = toy_model()
    before = start.vector.copy()
    asked = Privacy.parse("noise=0.001,clip=0.05,unit=example,rate=0.5,examples=30", seed=7)
    after, _, _ = run(asked, rounds=1)
    told = terms_of(asked, protection(), cohorts_of(asked, protection(), Uniform(), None, 6, 6, 1), 5)
    total = np.zeros(before.size)
    clipped = count = 0
    for number, client in enumerate(people()):
        for row in told.drawn(len(client.data), 1, number):
            model = FlatModel(toy_model())
            update = ONE_STEP.local_update(model, client.data.take(np.array([row])), {}, np.random.default_rng(0))
            delta = update.vectors["delta"].astype(np.float64)
            norm = np.linalg.norm(delta)
            total += delta * min(1.0, 0.05 / norm)
            clipped, count = clipped + (norm > 0.05), count + 1
    assert 5 < count < 25
    assert clipped
    np.testing.assert_allclose(after - before, total / 15, atol=2e-5)  # an expected half of 30; the noise is that small


@pytest.mark.parametrize(("where", "parts"), [("clients", 6 / 3), ("aggregator", 1)])
def test_noise_is_added_by_whom_it_is_for_to_add(where, parts):
    """By the same test seed, once so little that it does not show: 4 clips for the expected 15 examples.

    Of the six clients three would be enough.
    """
    spec = f"clip=0.3,unit=example,rate=0.5,examples=30,where={where}"
    much, little = (run(f"noise={noise},{spec}", rounds=1)[0] for noise in (4, 0.001))
    assert np.std(much - little) == pytest.approx(4 * 0.3 / 15 * parts**0.5, rel=0.4)


class InOnePiece(list):
    def together(self, numbers):
        return StackedViews.of([self[number].data for number in numbers])


def test_examples_are_drawn_one_by_one_from_a_source_that_has_all_in_one_piece():
    whole = Arrays(np.random.default_rng(0).normal(size=(30, 5)).astype(np.float32), np.arange(30) % 3)
    rows = [np.arange(start, start + 9) for start in range(0, 18, 3)]
    found = [
        trained(kind(Client(f"c{i}", View(whole, some)) for i, some in enumerate(rows))) for kind in (list, InOnePiece)
    ]
    assert found[0] == found[1]


def trained(clients) -> bytes:
    model = MLP((5, 4, 3), rng=np.random.default_rng(0))
    asked = Privacy.parse("noise=0.5,clip=0.3,unit=example,rate=0.5,examples=54", seed=7)
    Aggregator(model, ONE_STEP, protection(), privacy=asked, stack="on").fit(InlinePool(clients), 1)
    return model.vector.tobytes()


@pytest.mark.parametrize("kind", ["arrays", "view", "bags"])
def test_gradients_of_single_examples_come_from_one_pass(kind):
    rng = np.random.default_rng(0)
    whole = Arrays(rng.normal(size=(12, 5)).astype(np.float32), rng.integers(0, 3, 12))
    data = {"arrays": whole, "view": View(whole, np.arange(12)[::-1]), "bags": people(1)[0].data}[kind]
    model = toy_model() if kind == "bags" else MLP((5, 4, 3), rng=rng)
    rows = np.array([2, 0, 3])
    stacked, alone = FlatModel(model, 3), FlatModel(model)
    together = ONE_STEP.local_update(stacked, singles(data, rows), {}, LocalRandom(0, 1, range(3)))
    for place, row in enumerate(rows):
        alone.load(model.vector)
        one = ONE_STEP.local_update(alone, data.take(np.array([row])), {}, np.random.default_rng(0))
        np.testing.assert_array_equal(together.vectors["delta"][place], one.vectors["delta"])


@settings(max_examples=40)
@given(st.integers(0, 30), st.integers(1, 4), st.floats(1e-3, 1e3), st.booleans())
def test_no_example_moves_a_clients_lanes_by_more_than_the_clip(count, most, length, adaptive):
    """Nor where lanes are full and cut off."""
    made = terms(most=most, adaptive=0.5 if adaptive else 0.0)
    layout = layout_of({"delta": Output(6)}, SETTINGS.codec, 1, made)
    updates = np.abs(np.random.default_rng(count).normal(size=(count + 1, 6))) * length  # all in one direction
    rows = layout.encode(LocalUpdate({"delta": updates}, 1, np.zeros(count + 1))).astype(np.int64)
    with_it, without = (layout.added(part).astype(np.int64) for part in (rows, rows[:-1]))
    assert int(((with_it - without) ** 2).sum()) <= made.steps**2
    assert np.abs(with_it).max() <= made.full <= made.lane_bound


def test_coins_are_fair_secret_and_each_examples_own():
    assert drawn(10, 1.0).tolist() == list(range(10))
    assert drawn(0, 0.5).size == 0
    assert len(drawn(100_000, 0.05)) == pytest.approx(5_000, abs=5 * 69)
    assert drawn(1_000, 0.5).tolist() != drawn(1_000, 0.5).tolist()
    assert drawn(1_000, 0.5, "7 1 2").tolist() == drawn(1_000, 0.5, "7 1 2").tolist()
    assert drawn(1_000, 0.5, "7 1 2")[:400].tolist() == drawn(1_000, 0.5, "7 1 2").tolist()[:400]


def test_epsilon_is_that_of_opacus(tmp_path):
    """Opacus' RDPAccountant, 60 steps of noise 1 at rate 0.1: 6.331062; by dp-accounting's PLD 5.572689."""
    asked = Privacy.parse("noise=1,clip=0.3,unit=example,rate=0.1,examples=30,delta=0.00001")
    _, history, _ = run(asked, rounds=60, folder=RunFolder(tmp_path / "run", {}, {}))
    rows = Ledger.load(tmp_path / "run" / "privacy.ledger").rows
    assert {row.q for row in rows} == {0.1}
    assert Rdp().epsilon([Release(0.1, rows[0].noise, 60)], 1e-5) == pytest.approx(6.331062, abs=1e-3)
    assert history.rounds[-1].epsilon == pytest.approx(5.572689, abs=1e-3)


def test_it_holds_against_the_aggregator_too_where_that_sees_sums_only():
    _, history, _ = run(ASKED, "paillier", rounds=3)
    last = history.rounds[-1]
    assert last.epsilon == last.epsilon_aggregator
    assert last.epsilon == pytest.approx(Pld().epsilon([Release(0.5, 1.0, 3)], 30**-1.1), abs=1e-6)
    assert run(ASKED, "none", rounds=1)[1].rounds[-1].epsilon_aggregator == float("inf")


def test_record_and_run_say_of_what_the_figures_are(tmp_path):
    _, history, _ = run(rounds=1, folder=RunFolder(tmp_path / "run", {}, {}))
    assert history.rounds[0].unit == history.privacy["unit"] == "example"
    assert json.loads((tmp_path / "run" / "run.json").read_text())["outcome"]["privacy"]["unit"] == "example"
    assert train(rounds=1)[1].rounds[0].unit == "client"


@pytest.mark.parametrize("more", ["", ",adaptive=0.5"])
def test_protections_and_stacks_change_no_bit(more):
    runs = [run(f"{ASKED}{more},where=clients", spec)[0] for spec in ("none", "masks")]
    runs.append(run(f"{ASKED}{more},where=clients", stack="off")[0])
    assert len({weights.tobytes() for weights in runs}) == 1


def test_noise_for_an_epsilon_costs_it_and_not_more():
    _, history, _ = run("epsilon=3,clip=0.3,unit=example,rate=0.2,examples=30", "paillier", rounds=4)
    assert 2.99 < history.rounds[-1].epsilon <= 3


def test_any_server_step_will_do():
    assert run(strategy=FedAvgM(epochs=1, lr=0.5, beta=0.5), rounds=2)[1].counted == 2


@pytest.mark.parametrize(
    ("privacy", "named"),
    [
        ("noise=1,clip=1,rate=0.5", "rate has no effect with unit=client"),
        ("noise=1,clip=1,examples=9", "examples has no effect with unit=client"),
        ("noise=1,clip=1,unit=example", "give examples=N"), ("noise=1,clip=1,unit=people", "unit"),
        ("noise=1,clip=1,unit=example,examples=1", "at least 2"),
        ("noise=1,clip=1,unit=example,examples=30,rate=0", "rate is 0"),
        ("noise=1,clip=1,unit=example,examples=30,rate=1.5", "rate is 1.5"),
        ("noise=1,clip=1,unit=example,examples=30,delta=0.04", "delta is 0.04 for 30 examples"),
    ],
)  # fmt: skip
def test_what_protects_no_example_is_refused_by_name(privacy, named):
    with pytest.raises(BadInput, match=named):
        run(privacy)


def test_what_is_no_single_step_on_an_example_is_refused():
    with pytest.raises(PrivacyError, match="give epochs=1"):
        run(strategy=FedAvg(epochs=2))
    with pytest.raises(PrivacyError, match="unit=example is for training"):
        ask("classes:2", InlinePool(people()), protection(), privacy=ASKED)
    with pytest.raises(BadInput, match="these clients demand noise for all that they hold"):
        run(pool=InlinePool(people(), policy=Policy(least_noise=0.5)))
    bad = [Client(each.name, each.data, behaviour=SignFlip()) for each in people()]
    with pytest.raises(BadInput, match="whole update"):
        run(pool=InlinePool(bad))


@pytest.mark.parametrize("changes", [{"unit": "client"}, {"rate": 0.0}, {"most": 0}, {"unit": "people"}])
def test_terms_that_are_none_are_refused(changes):
    with pytest.raises(PrivacyError):
        terms(**changes)
