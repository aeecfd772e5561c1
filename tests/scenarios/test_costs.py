"""The story of what protection costs: its bytes are those of the wire, its rounds those of the simulated clock."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator import Faults
from aggregator.clock import Distribution
from aggregator.costs import NETWORKS, Cost, Network, simulate
from fedlearn.errors import BadInput
from fedlearn.protocol.messages import HEADER
from scenarios.costs import conclusion, extra_seconds
from tests.scenarios.command import fedlearn, last_json, last_of_each

BUCKETS, CLIENTS = 64, 4
TOY = [
    "run", "costs", "--vocabulary", f"hashed:{BUCKETS}", "--clients", str(CLIENTS), "--quiet", "--out", "run",
]  # fmt: skip
KEY = ["--key-bits", "256", "--insecure-test-key"]
COST = Cost(phases=5, up=1e6, down=2e6, openers=0.0, client=0.5, adding=0.25, opening=0.125)
LINK = Network(up=8e6, down=16e6, latency=0.01, slower=Distribution("constant", (3.0,)))


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def wire_bytes(folder: Path, round: int) -> tuple[float, float, int]:
    """Up and down of a client, and of all openers, from the rows of a run's transcript."""
    up = down = openers = 0
    for line in (folder / "transcript.jsonl").read_text().splitlines():
        row = json.loads(line)
        if row["round"] == round:
            up += row["bytes"] if row["from"].startswith("client") and row["to"] == "aggregator" else 0
            down += row["bytes"] if row["to"].startswith("client") else 0
            openers += row["bytes"] if "opener" in row["from"] + row["to"] else 0
    return up / CLIENTS, down / CLIENTS, openers


def test_all_protections_side_by_side(capsys):
    assert fedlearn(*TOY, *KEY, "--json") == 0
    result = last_json(capsys)
    claims = {claim["name"]: claim["value"] for claim in result["claims"]}
    weights = BUCKETS + 1  # a weight a bucket and a bias
    assert claims["bytes_up_none"] == HEADER.size + 4 * (weights + 5)  # and five lanes of bookkeeping
    assert claims["bytes_down_none"] == HEADER.size + 4 + 4 * weights  # after how many vectors of state there are
    for name in ("none", "masks", "paillier", "threshold_4_of_5"):
        assert (
            claims[f"bytes_up_{name}"],
            claims[f"bytes_down_{name}"],
            claims[f"bytes_openers_{name}"],
        ) == wire_bytes(Path("run") / name, round=2)
        assert claims[f"client_seconds_{name}"] > 0
        for network in NETWORKS.entries:
            middle, p90, p99 = (claims[f"round_{quantile}_{network}_{name}"] for quantile in ("median", "p90", "p99"))
            assert claims[f"client_seconds_{name}"] / 2 < middle <= p90 <= p99
    assert claims["bytes_openers_none"] == claims["bytes_openers_masks"] == 0
    assert claims["bytes_openers_threshold_4_of_5"] > 4 * claims["bytes_openers_paillier"] > 0
    assert claims["different_models"] == 1
    assert json.loads(Path("run/run.json").read_text())["outcome"]["state"] == "done"
    assert Path("run/costs.png").stat().st_size > 1000
    assert Path("run/costs.svg").stat().st_size > 1000


def test_a_network_of_the_users_own_stands_alone(capsys):
    assert fedlearn(*TOY, "--protection", "none,paillier", "--network", "up=10Gbit,down=10Gbit") == 0
    said = capsys.readouterr().out.splitlines()
    assert said[-1].startswith("Over given links, a round takes, against none, ")
    assert [line.split()[:2] for line in said if line.startswith("given ")] == [
        ["given", "none"],
        ["given", "paillier"],
    ]


@pytest.mark.parametrize(
    ("network", "more", "says"),
    [
        ({"up": 8e3}, {"up": 2e6, "client": 1.0},
         "2.0 times under paillier: what makes paillier dear is bytes, not computing or latency"),
        ({}, {"up": 2e6, "client": 9.0},
         "18.0 times under paillier: what makes paillier dear is computing, not bytes or latency"),
        ({"latency": 0.025}, {"phases": 5, "client": 0.6},
         "1.5 times under paillier: what makes paillier dear is latency, not computing or bytes"),
        ({}, {"client": 0.1}, "0.2 times under paillier: none is dear here."),
    ],
)  # fmt: skip
def test_the_conclusion_is_what_the_figures_say(network, more, says):
    """Of given costs, since measured ones differ from one machine to the next."""
    links = Network(**{"up": 1e12, "down": 1e12, "latency": 1e-9, "slower": Distribution("constant", (1.0,))} | network)
    costs = {"none": Cost(1, 1e6, 1e6, 0, 0.5, 0, 0)}
    costs["paillier"] = replace(costs["none"], **more)
    simulated = {spec: simulate(cost, links, Faults(), cohort=4, rounds=2, seed=0) for spec, cost in costs.items()}
    said = conclusion(costs, {"given": simulated}, {"given": links})
    assert said.startswith(f"Over given links, a round takes, against none, {says}")


def test_the_seconds_that_protection_costs_are_told_apart():
    longer, base = Cost(5, 1e6, 2e6, 0, 0.8, 0.1, 0.1), Cost(1, 5e5, 1e6, 0, 0.5, 0, 0)
    extra = extra_seconds(longer, base, LINK, longer=3.0)
    assert extra == pytest.approx({"latency": 2 * 4 * 0.01, "bytes": 0.5 + 0.5, "computing": 3.0 - 1.08})


def test_losses_of_the_simulated_rounds_are_counted(capsys):
    options = ["--protection", "none", "--network", "home", "--faults", "dropout=0.5,over_select=0.5"]
    assert fedlearn(*TOY, *options) == 0
    said = capsys.readouterr().out.splitlines()
    (row,) = [line.split() for line in said if line.startswith("home ")]
    assert 2.5 < float(row[-1]) < 3.1  # of 6 clients half answer; more than 4 are not wanted


def test_a_round_is_travel_computing_adding_and_opening():
    """2 x 5 x 10 ms of latency, a second up, a second down, 3 x 0.5 s of computing; then 0.375 s for the sum."""
    simulated = simulate(COST, LINK, Faults(), cohort=4, rounds=3, seed=0)
    np.testing.assert_allclose(simulated.client_seconds, np.full((3, 4), 3.6))
    np.testing.assert_allclose(simulated.round_seconds, np.full(3, 3.975))
    assert simulated.counted == 4


def test_stragglers_and_deadlines_are_those_of_the_fault_model():
    everybody = Distribution("constant", (10.0,))
    late = simulate(COST, LINK, Faults(straggle=1.0, slower=everybody), cohort=4, rounds=2, seed=0)
    np.testing.assert_allclose(late.round_seconds, 36.375)
    cut = simulate(COST, LINK, Faults(straggle=0.5, slower=everybody, deadline=5), cohort=100, rounds=50, seed=0)
    np.testing.assert_allclose(cut.round_seconds, 5.375)
    assert 47 < cut.counted < 53


def test_over_selection_shortens_rounds():
    home = Network.parse("home")
    usual, over = (simulate(COST, home, Faults(over_select=x), 20, 200, seed=1) for x in (0, 0.5))
    assert np.all(
        np.quantile(over.round_seconds, [0.5, 0.9, 0.99]) < np.quantile(usual.round_seconds, [0.5, 0.9, 0.99])
    )
    assert usual.counted == over.counted == 20


def test_devices_are_as_slow_as_their_distribution_says():
    """The slowest of a hundred is at its 99th percentile, or around it."""
    network = Network(1e12, 1e12, 1e-9, Distribution("lognormal", (1.0, 0.5)))
    seconds = simulate(Cost(1, 0, 0, 0, 1.0, 0, 0), network, Faults(), 100, 300, seed=0)
    assert np.median(seconds.client_seconds) == pytest.approx(math.e, rel=0.02)
    assert np.quantile(seconds.client_seconds, 0.9) == pytest.approx(math.exp(1 + 0.5 * 1.2816), rel=0.03)
    assert np.median(seconds.round_seconds) == pytest.approx(math.exp(1 + 0.5 * 2.46), rel=0.05)


@given(st.floats(0.001, 1000), st.sampled_from(["up", "down", "latency"]))
def test_a_better_link_is_never_slower(factor, key):
    values = {"up": LINK.up, "down": LINK.down, "latency": LINK.latency} | {key: getattr(LINK, key) * factor}
    other = Network(**values, slower=LINK.slower)
    slower = np.ones(1)
    better = factor < 1 if key == "latency" else factor > 1
    difference = other.seconds(COST, slower)[0] - LINK.seconds(COST, slower)[0]
    assert difference <= 1e-9 if better or factor == 1 else difference >= -1e-9


def test_a_network_is_a_name_and_what_differs():
    assert Network.parse("4g") == NETWORKS.load("4g")
    assert Network.parse("up=10Mbit,down=1.5Gbit,latency=40ms,slower=lognormal(0.5,0.5)") == Network(
        1e7, 1.5e9, 0.04, Distribution("lognormal", (0.5, 0.5))
    )
    assert Network.parse("4g,up=2Mbit").up == 2e6
    assert Network.parse("4g,up=2Mbit").down == Network.parse("4g").down
    assert Network.parse("latency=2s").up == Network.parse("home").up


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("5g", "unknown network '5g'"),
        ("up=10", "'10' is no such quantity: give a number above 0 with its unit, kbit or Mbit"),
        ("up=0Mbit", "'0Mbit' is no such quantity"),
        ("up=-1Mbit", "'-1Mbit' is no such quantity"),
        ("up=1e400Mbit", "'1e400Mbit' is no such quantity"),
        ("latency=1.2.3ms", "'1.2.3ms' is no such quantity: .* ms or s"),
        ("home,speed=3", "network has no 'speed': it takes up, down, latency, slower"),
        ("slower=0", "0 cannot be drawn from"),
    ],
)
def test_a_network_that_cannot_be_is_refused(spec, says):
    with pytest.raises(BadInput, match=says):
        Network.parse(spec)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--network", "5g"], "unknown network '5g'"),
        (["--protection", "none,rot13"], "unknown protection 'rot13'"),
        (["--faults", "dropout=2"], "dropout is 2.0"),
        (["--pool", "processes"], "--pool processes has no effect in this scenario"),
        (["--clients", "2"], "2 clients"),
        (["--rounds", "0"], "--rounds is 0"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(arguments, says, capsys):
    assert fedlearn(*last_of_each(*TOY, *arguments)) == 2
    assert says in capsys.readouterr().err
    assert not Path("run").exists()
