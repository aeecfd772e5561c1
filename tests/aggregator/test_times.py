"""Simulated time by formula: distributions, when a round closes, what a network and faults make of it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from aggregator import Faults, RoundRecord
from aggregator.clock import Distribution, close
from aggregator.costs import Cost, Network, simulate
from aggregator.faults import Fates
from aggregator.watching import Outlook, Pace, Phase, span
from fedlearn.errors import BadInput
from fedlearn.protocol import Lost
from fedlearn.secure import Masks, Plain
from fedlearn.secure.price import Price
from tests.toys import toy_codec

U = np.array([[0.0, 0.0], [0.5, 0.0], [0.5, 0.25], [0.5, 0.5], [0.9, 0.125]])


def normal(u: float, v: float) -> float:
    return math.sqrt(-2 * math.log(1 - u)) * math.cos(2 * math.pi * v)


@pytest.mark.parametrize(("text", "formula"), [
    ("3", lambda u, v: 3),
    ("uniform(1,5)", lambda u, v: 1 + 4 * u),
    ("exponential(2)", lambda u, v: -2 * math.log(1 - u)),
    ("lognormal(1,0.5)", lambda u, v: math.exp(1 + 0.5 * normal(u, v))),
    ("lognormal(-1,0)", lambda u, v: math.exp(-1)),
    ("uniform(2,2)", lambda u, v: 2),
    ("0.5", lambda u, v: 0.5),
    ("uniform(0.25,0.5)", lambda u, v: 0.25 + 0.25 * u),
    ("exponential(0.5)", lambda u, v: -0.5 * math.log(1 - u)),
])  # fmt: skip
def test_a_distribution_is_its_formula(text, formula):
    found = Distribution.parse(text)
    np.testing.assert_allclose(found.at(U), [formula(u, v) for u, v in U.tolist()], rtol=1e-12)
    assert str(found) == text


@pytest.mark.parametrize(("text", "error"), [
    ("0", "0 cannot be drawn from: give x, more than 0"),
    ("uniform(0,1)", "uniform(0,1) cannot be drawn from: give uniform(low,high) with 0 < low <= high"),
    ("uniform(2,1)", "uniform(2,1) cannot be drawn from: give uniform(low,high) with 0 < low <= high"),
    ("exponential(0)", "exponential(0) cannot be drawn from: give exponential(mean) with mean > 0"),
    ("exponential(1,2)", "exponential(1,2) cannot be drawn from: give exponential(mean) with mean > 0"),
    ("lognormal(1,-0.1)", "lognormal(1,-0.1) cannot be drawn from: give lognormal(mu,sigma) with sigma >= 0"),
    ("1000000001", "1e+09 goes up to 1e+09, 1e+09 is allowed: choose smaller parameters"),
    ("exponential(3e7)", "exponential(3e+07) goes up to 1.1e+09, 1e+09 is allowed: choose smaller parameters"),
])  # fmt: skip
def test_a_distribution_that_cannot_be_is_refused(text, error):
    with pytest.raises(BadInput) as refused:
        Distribution.parse(text)
    assert str(refused.value) == error


def test_the_largest_that_may_be_drawn_is_taken():
    assert Distribution.parse("1e9").at(U[:1]).tolist() == [1e9]


@pytest.mark.parametrize(("arrivals", "wanted", "deadline", "seconds", "counted"), [
    ([3, 1, 2], 2, math.inf, 2, "FTT"),
    ([3, 1, 2], 3, math.inf, 3, "TTT"),
    ([3, 1, math.inf], 3, math.inf, 3, "TTF"),
    ([3, 1, math.inf], 3, 5, 5, "TTF"),
    ([3, 1, 2], 3, 2, 2, "FTT"),
    ([3, 1, 2], 3, 2.5, 2.5, "FTT"),
    ([3, 1, 2], 3, 3, 3, "TTT"),
    ([math.inf, 1, 2], 3, 9, 9, "FTT"),
    ([math.inf, 1, 2], 3, math.inf, 2, "FTT"),
    ([math.inf, math.inf], 2, math.inf, 0, "FF"),
    ([3, 1, 2], 2, 2, 2, "FTT"),
    ([3, 1, 2], 1, 9, 1, "FTF"),
    ([2, 2, 2], 2, 9, 2, "TTF"),
    ([math.inf], 1, math.inf, 0, "F"),
    ([4], 1, 3, 3, "F"),
])  # fmt: skip
def test_a_round_closes(arrivals, wanted, deadline, seconds, counted):
    found = close(np.array(arrivals, float), wanted, deadline)
    assert (found.seconds, "".join("FT"[int(c)] for c in found.counted)) == (seconds, counted)


def test_a_silent_client_is_gone_up_to_training_and_a_crashed_one_after_it():
    fates = Fates({1: Lost(1, "")}, {2: Lost(2, "")})
    masks = Masks(toy_codec())
    gone = {phase: list(fates.gone(phase, masks)) for phase in masks.phases}
    assert gone == {"keys": [], "shares": [], "update": [1], "check": [2], "unmask": [2]}
    assert list(fates.gone("update", Plain(toy_codec()))) == [1]


def test_reasons_and_seconds_of_a_round():
    faults = Faults(straggle=1.0, slower=Distribution("constant", (3.0,)), deadline=7.0)
    fates = faults.draw(0, 1, [5, 6, 7], 2, np.array([1.0, 2.0, 4.0]))
    assert {client: lost.reason for client, lost in fates.silent.items()} == {7: "late: 12.00 s, deadline 7 s"}
    assert (fates.seconds, fates.crashed) == (6.0, {})
    quicker = Faults(crash=1.0).draw(0, 1, [5, 6, 7], 1, np.array([3.0, 1.0, 2.0]))
    assert {c: lost.reason for c, lost in quicker.silent.items()} == dict.fromkeys(
        (5, 7), "not needed: 1 other was quicker"
    )
    assert {c: lost.reason for c, lost in quicker.crashed.items()} == {6: "crashed after uploading"}
    gone = Faults(dropout=1.0, deadline=4.0).draw(0, 1, [5], 1)
    assert (gone.silent[5].reason, gone.seconds) == ("dropped out", 4.0)
    assert Faults().draw(0, 1, [5, 6], 2).seconds == 1.0


@pytest.mark.parametrize(("more", "cohort", "sampled"), [(0.1, 10, 11), (0.3, 10, 13), (0.25, 10, 13), (0, 7, 7)])
def test_over_selection_asks_for_so_many_more(more, cohort, sampled):
    faults = Faults(over_select=more)
    assert faults.sampled(cohort) == faults.sampled(cohort, sampled) == sampled
    with pytest.raises(BadInput, match=f"of a cohort of {cohort} samples {sampled} clients, there are {sampled - 1}"):
        faults.sampled(cohort, sampled - 1)


@pytest.mark.parametrize(("name", "bad", "good"), [
    ("dropout", 1.01, 1.0), ("dropout", -0.01, 0.0), ("crash", 1.01, 1.0), ("straggle", -0.01, 0.0),
    ("deadline", 0.0, 1e-9), ("over_select", 100.01, 100), ("over_select", -0.01, 0.0),
])  # fmt: skip
def test_faults_at_their_limits(name, bad, good):
    Faults(**{name: good})
    with pytest.raises(BadInput, match=f"faults: {name} is {bad}, "):
        Faults(**{name: bad})


COST = Cost(phases=2, up=1e6, down=2e6, openers=0, client=0.5, adding=0.25, opening=0.125)


def test_a_round_is_travel_both_ways_and_computing():
    network = Network.parse("up=10Mbit,down=50Mbit,latency=40ms,slower=3")
    assert (network.up, network.down, network.latency) == (1e7, 5e7, 0.04)
    travel = 2 * 2 * 0.04 + 8 * (1e6 / 1e7 + 2e6 / 5e7)
    np.testing.assert_allclose(network.seconds(COST, np.array([1.0, 3.0])), [travel + 0.5, travel + 1.5])
    found = simulate(COST, network, Faults(), 4, 3, seed=0)
    np.testing.assert_allclose(found.client_seconds, np.full((3, 4), travel + 1.5))
    np.testing.assert_allclose(found.round_seconds, np.full(3, travel + 1.5 + 0.375))
    assert found.counted == 4
    late = simulate(COST, network, Faults(deadline=1.0), 4, 2, seed=0)
    np.testing.assert_allclose(late.round_seconds, np.full(2, 1.375))
    assert late.counted == 0
    assert simulate(COST, network, Faults(over_select=0.5), 4, 2, seed=0).client_seconds.shape == (2, 6)


@pytest.mark.parametrize(("name", "up", "down", "latency", "mu", "sigma"), [
    ("home", 20e6, 100e6, 0.010, 0.3, 0.4), ("4g", 10e6, 30e6, 0.025, 1.0, 0.5),
    ("data-centre", 10e9, 10e9, 0.0005, 0.0, 0.05),
])  # fmt: skip
def test_networks_that_have_a_name(name, up, down, latency, mu, sigma):
    slower = Distribution("lognormal", (mu, sigma))
    assert Network.parse(name) == Network(up, down, latency, slower)
    assert Network.parse(f"{name},up=300kbit,latency=2s") == Network(3e5, down, 2.0, slower)
    assert Network.parse("up=1.5Gbit").down == 100e6


@pytest.mark.parametrize("bad", ["up=0Mbit", "up=10", "up=10mbit", "latency=5Mbit", "up=Mbit", "nowhere"])
def test_a_network_without_units_is_none(bad):
    with pytest.raises(BadInput):
        Network.parse(bad)


@pytest.mark.parametrize(("seconds", "text"), [
    (0, "0.0 s"), (0.024, "0.02 s"), (0.44, "0.4 s"), (9.94, "9.9 s"), (9.99, "10.0 s"), (10, "10 s"), (59.4, "59 s"),
    (59.6, "1 min 0 s"), (200, "3 min 20 s"), (3599, "59 min 59 s"), (3600, "1 h 0 min"), (7500, "2 h 5 min"),
])  # fmt: skip
def test_a_time_for_people(seconds, text):
    assert span(seconds) == text


def outlook(**changes) -> Outlook:
    facts = dict(rounds=4, cohort=3, population=1000, does="train", strategy="fedavg", protection="masks",
                 hiding="masking", price=Price(2.0, 4.0))  # fmt: skip
    return Outlook(**facts | changes)


def test_what_a_run_is_about_to_do():
    assert outlook().a_round == 10.0
    assert str(outlook()) == (
        "1,000 clients, 3 a round, train in 4 rounds (fedavg, masks); masking and opening sums take about 10 s a "
        "round, 4.0 s of it the opening, so 40 s in all, and training comes on top"
    )
    assert str(outlook(cohort=1000, rounds=1, price=Price())) == (
        "1,000 clients train in 1 round (fedavg, masks); the first round will tell how long that takes"
    )
    assert str(outlook(done=3)) == (
        "1,000 clients, 3 a round, train in 4 rounds, 3 of them done (fedavg, masks); masking and opening sums take "
        "about 10 s a round, 4.0 s of it the opening, so 10 s for the rest, and training comes on top"
    )
    assert str(outlook(done=4)) == "1,000 clients, 3 a round, train in 4 rounds, 4 of them done (fedavg, masks)"
    assert (str(Phase(1, "update", 3, 2000)), str(Phase(1, "open"))) == ("update 3 of 2,000", "open")


def test_the_time_that_is_left(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    pace = Pace(5, 2, outlook())
    assert pace.left() == 10 + 3 * 10  # as forecast
    now[0] += 4
    assert pace.left() == 6 + 3 * 10
    pace.phase(Phase(2, "update", 1, 3))
    assert pace.left() == (3 * 4 + 4 - 4) + 3 * (3 * 4 + 4)  # as the first client did, and the opening
    now[0] += 2
    pace.phase(Phase(2, "update", 2, 3))
    assert pace.left() == (3 * 3 + 4 - 6) + 3 * (3 * 3 + 4)  # as two did
    now[0] += 2
    pace.round(RoundRecord(2))
    assert pace.left() == 8 + 2 * 8
    now[0] += 2
    assert pace.left() == 6 + 2 * 8
    now[0] += 14
    pace.round(RoundRecord(3))
    assert pace.left() == 12 + 12
    now[0] += 50
    assert pace.left() == 12
    pace.round(RoundRecord(5))
    assert pace.left() is None
    assert Pace(5, 1).left() is None
    assert Pace(5, 1, outlook(price=Price())).left() is None
